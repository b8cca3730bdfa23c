#include "tests/codec/fill.h"

enum { FILL_ITEMS_MAX = 2000 };

void fill_init(struct fill *fill, uint64_t seed, struct arena *arena)
{
    *fill = (struct fill){.state = seed, .items_left = FILL_ITEMS_MAX, .arena = arena};
}

uint64_t fill_random(struct fill *fill)
{
    uint64_t mixed = fill->state += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return mixed ^ mixed >> 31;
}

static bool one_in(struct fill *fill, uint32_t count)
{
    return fill_random(fill) % count == 0;
}

bool fill_bool(struct fill *fill)
{
    return one_in(fill, 2);
}

int64_t fill_int64(struct fill *fill)
{
    switch (fill_random(fill) % 6) {
    case 0:
        return 0;
    case 1:
        return -1;
    case 2:
        return INT64_MAX;
    case 3:
        return INT64_MIN;
    default:
        return (int64_t)(fill_random(fill) >> fill_random(fill) % 64);
    }
}

int32_t fill_int32(struct fill *fill)
{
    int64_t value = fill_int64(fill);
    return (int32_t)(value >> (value == INT64_MAX || value == INT64_MIN ? 32 : 0));
}

uint32_t fill_uint32(struct fill *fill)
{
    return (uint32_t)fill_int32(fill);
}

int16_t fill_int16(struct fill *fill)
{
    int32_t value = fill_int32(fill);
    return (int16_t)(value >> (value == INT32_MAX || value == INT32_MIN ? 16 : 0));
}

uint16_t fill_uint16(struct fill *fill)
{
    return (uint16_t)fill_int16(fill);
}

int8_t fill_int8(struct fill *fill)
{
    return (int8_t)fill_random(fill);
}

double fill_float64(struct fill *fill)
{
    return (double)fill_int64(fill) / 3;
}

struct uuid fill_uuid(struct fill *fill)
{
    struct uuid uuid = {{0}};
    if (!one_in(fill, 4)) {
        for (int i = 0; i < 16; i++) {
            uuid.bytes[i] = (uint8_t)fill_random(fill);
        }
    }
    return uuid;
}

/* Mostly short; sometimes so long that a varint of the length takes two or three bytes. */
static int32_t random_length(struct fill *fill)
{
    switch (fill_random(fill) % 16) {
    case 0:
        return 0;
    case 1:
        return 120 + (int32_t)(fill_random(fill) % 16);
    case 2:
        return one_in(fill, 16) ? 16380 + (int32_t)(fill_random(fill) % 16) : 1;
    default:
        return 1 + (int32_t)(fill_random(fill) % 20);
    }
}

struct view fill_string(struct fill *fill)
{
    static const char *const letters[] = {"a", ".", "Z", "\n", "\u00e9", "\u5b57", "\U0001f9f5"};
    int32_t length = random_length(fill);
    uint8_t *data = arena_take(fill->arena, (size_t)length);
    for (int32_t at = 0; at < length;) {
        const char *letter = letters[fill_random(fill) % 7];
        int32_t bytes = (int32_t)strlen(letter);
        if (at + bytes > length) {
            letter = "b";
            bytes = 1;
        }
        memcpy(data + at, letter, (size_t)bytes);
        at += bytes;
    }
    return view_of(data, length);
}

struct view fill_string_or_null(struct fill *fill)
{
    return one_in(fill, 4) ? VIEW_NULL : fill_string(fill);
}

struct view fill_bytes(struct fill *fill)
{
    int32_t length = random_length(fill);
    uint8_t *data = arena_take(fill->arena, (size_t)length);
    for (int32_t i = 0; i < length; i++) {
        data[i] = (uint8_t)fill_random(fill);
    }
    return view_of(data, length);
}

struct view fill_bytes_or_null(struct fill *fill)
{
    return one_in(fill, 4) ? VIEW_NULL : fill_bytes(fill);
}

int32_t fill_count(struct fill *fill)
{
    uint32_t count = (uint32_t)(fill_random(fill) % 5);
    if (one_in(fill, 40)) {
        count = 120 + (uint32_t)(fill_random(fill) % 16);
    }
    if (count > fill->items_left) {
        count = fill->items_left;
    }
    fill->items_left -= count;
    return (int32_t)count;
}

int32_t fill_count_or_null(struct fill *fill)
{
    return one_in(fill, 4) ? -1 : fill_count(fill);
}

void *fill_items(struct fill *fill, int32_t count, size_t item_bytes)
{
    return count > 0 ? arena_take(fill->arena, (size_t)count * item_bytes) : NULL;
}
