/*
 * fill -- values at random for the fields of a message, edges of their ranges more often than not.
 *
 * What it makes is what a peer may send: text is UTF-8, a NaN is left out (it has many forms).
 * Strings and arrays come from the arena. One seed, one message.
 */
#ifndef TESTS_CODEC_FILL_H
#define TESTS_CODEC_FILL_H

#include "net/codec.h"

struct fill {
    uint64_t state;      /* splitmix64 */
    uint32_t items_left; /* arrays are empty after that many, so that messages stay small */
    struct arena *arena; /* has room for them all */
};

void fill_init(struct fill *fill, uint64_t seed, struct arena *arena);

uint64_t fill_random(struct fill *fill);
bool fill_bool(struct fill *fill);
int8_t fill_int8(struct fill *fill);
int16_t fill_int16(struct fill *fill);
uint16_t fill_uint16(struct fill *fill);
int32_t fill_int32(struct fill *fill);
uint32_t fill_uint32(struct fill *fill);
int64_t fill_int64(struct fill *fill);
double fill_float64(struct fill *fill);
struct uuid fill_uuid(struct fill *fill);

struct view fill_string(struct fill *fill);
struct view fill_string_or_null(struct fill *fill);
struct view fill_bytes(struct fill *fill);
struct view fill_bytes_or_null(struct fill *fill);

int32_t fill_count(struct fill *fill);
int32_t fill_count_or_null(struct fill *fill);
void *fill_items(struct fill *fill, int32_t count, size_t item_bytes);

#endif
