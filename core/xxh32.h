/*
 * xxh32 -- the hash that lz4 frames check themselves with. Seed 0.
 *
 * For bytes that lie in one piece but are to be hashed bit by bit:
 *
 *     xxh32_start(&hash, from);
 *     xxh32_advance(&hash, to);  ...  with to growing
 *     value = xxh32_end(&hash, end);
 */
#ifndef CORE_XXH32_H
#define CORE_XXH32_H

#include <stddef.h>
#include <stdint.h>

struct xxh32 {
    const uint8_t *from;
    const uint8_t *at; /* hashed up to here: whole stripes of 16 bytes */
    uint32_t lanes[4];
};

void xxh32_start(struct xxh32 *xxh32, const void *from);
void xxh32_advance(struct xxh32 *xxh32, const void *to);
[[nodiscard]] uint32_t xxh32_end(struct xxh32 *xxh32, const void *end);

[[nodiscard]] uint32_t xxh32(const void *from, size_t bytes);

#endif
