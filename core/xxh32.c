#include "core/xxh32.h"

#include <string.h>

/* The primes of the algorithm. */
#define P1 2654435761u
#define P2 2246822519u
#define P3 3266489917u
#define P4 668265263u
#define P5 374761393u

enum { STRIPE_BYTES = 16 };

static uint32_t rotated(uint32_t value, int bits)
{
    return value << bits | value >> (32 - bits);
}

static uint32_t load_little(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return value;
}

void xxh32_start(struct xxh32 *xxh32, const void *from)
{
    *xxh32 = (struct xxh32){.from = from, .at = from, .lanes = {P1 + P2, P2, 0, 0u - P1}};
}

void xxh32_advance(struct xxh32 *xxh32, const void *to)
{
    for (; (const uint8_t *)to - xxh32->at >= STRIPE_BYTES; xxh32->at += STRIPE_BYTES) {
        for (int i = 0; i < 4; i++) {
            uint32_t input = load_little(xxh32->at + i * 4);
            xxh32->lanes[i] = rotated(xxh32->lanes[i] + input * P2, 13) * P1;
        }
    }
}

uint32_t xxh32_end(struct xxh32 *xxh32, const void *end)
{
    xxh32_advance(xxh32, end);
    uint32_t hash = P5;
    if (xxh32->at != xxh32->from) {
        hash = rotated(xxh32->lanes[0], 1) + rotated(xxh32->lanes[1], 7) +
               rotated(xxh32->lanes[2], 12) + rotated(xxh32->lanes[3], 18);
    }
    hash += (uint32_t)((const uint8_t *)end - xxh32->from);
    const uint8_t *at = xxh32->at;
    for (; (const uint8_t *)end - at >= 4; at += 4) {
        hash = rotated(hash + load_little(at) * P3, 17) * P4;
    }
    for (; at < (const uint8_t *)end; at++) {
        hash = rotated(hash + *at * P5, 11) * P1;
    }
    hash = (hash ^ hash >> 15) * P2;
    hash = (hash ^ hash >> 13) * P3;
    return hash ^ hash >> 16;
}

uint32_t xxh32(const void *from, size_t bytes)
{
    struct xxh32 hash;
    xxh32_start(&hash, from);
    return xxh32_end(&hash, (const uint8_t *)from + bytes);
}
