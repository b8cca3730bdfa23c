/*
 * cursor -- the reader of bytes from strangers: from `at` to `end`, never beyond.
 *
 *     | read ....... | left ............ |
 *                    at                 end
 *
 * A read that finds too few bytes, or bytes that cannot be, fails the cursor for good: it then
 * stands at its end and every read returns 0 or null. So a decoder runs straight down and asks once,
 * at its end, whether all went well. All integers are big-endian. Views point into the bytes read.
 *
 * Where the wire may say null, use the reader `..._or_null`; for the others null is a failure.
 * `compact` is the form of flexible versions: an unsigned varint of the length plus one, 0 for null.
 */
#ifndef CORE_CURSOR_H
#define CORE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/big_endian.h"
#include "core/uuid.h"
#include "core/view.h"

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline void cursor_init(struct cursor *cursor, const void *data, size_t bytes)
{
    *cursor = (struct cursor){.at = data, .end = (const uint8_t *)data + bytes};
}

static inline size_t cursor_left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

/* Every byte was read and none was wrong. */
static inline bool cursor_is_done(const struct cursor *cursor)
{
    return !cursor->failed && cursor->at == cursor->end;
}

static inline void cursor_fail(struct cursor *cursor)
{
    cursor->at = cursor->end;
    cursor->failed = true;
}

/* The next `bytes` bytes, stepped over; NULL and failed when fewer are left. */
static inline const uint8_t *cursor_take(struct cursor *cursor, size_t bytes)
{
    if (bytes > cursor_left(cursor)) {
        cursor_fail(cursor);
        return NULL;
    }
    const uint8_t *taken = cursor->at;
    cursor->at += bytes;
    return taken;
}

static inline int8_t cursor_int8(struct cursor *cursor)
{
    const uint8_t *from = cursor_take(cursor, 1);
    return from ? (int8_t)*from : 0;
}

/* As Kafka reads it: any byte but 0 is true. */
static inline bool cursor_bool(struct cursor *cursor)
{
    return cursor_int8(cursor) != 0;
}

static inline uint16_t cursor_uint16(struct cursor *cursor)
{
    const uint8_t *from = cursor_take(cursor, 2);
    return from ? big_endian_load16(from) : 0;
}

static inline int16_t cursor_int16(struct cursor *cursor)
{
    return (int16_t)cursor_uint16(cursor);
}

static inline uint32_t cursor_uint32(struct cursor *cursor)
{
    const uint8_t *from = cursor_take(cursor, 4);
    return from ? big_endian_load32(from) : 0;
}

static inline int32_t cursor_int32(struct cursor *cursor)
{
    return (int32_t)cursor_uint32(cursor);
}

static inline int64_t cursor_int64(struct cursor *cursor)
{
    const uint8_t *from = cursor_take(cursor, 8);
    return from ? (int64_t)big_endian_load64(from) : 0;
}

static inline double cursor_float64(struct cursor *cursor)
{
    int64_t bits = cursor_int64(cursor);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline struct uuid cursor_uuid(struct cursor *cursor)
{
    struct uuid uuid = {{0}};
    const uint8_t *from = cursor_take(cursor, sizeof uuid.bytes);
    if (from) {
        memcpy(uuid.bytes, from, sizeof uuid.bytes);
    }
    return uuid;
}

/*
 * Base-128, low groups first. At most 5 or 10 bytes, and no bit beyond 32 or 64: anything longer
 * fails. Zero groups at the end are let through, as Kafka does.
 */
uint32_t cursor_uvarint32_long(struct cursor *cursor);
uint64_t cursor_uvarint64_long(struct cursor *cursor);

static inline uint32_t cursor_uvarint32(struct cursor *cursor)
{
    if (cursor->at < cursor->end && *cursor->at < 0x80) { /* nearly always */
        return *cursor->at++;
    }
    return cursor_uvarint32_long(cursor);
}

static inline uint64_t cursor_uvarint64(struct cursor *cursor)
{
    if (cursor->at < cursor->end && *cursor->at < 0x80) {
        return *cursor->at++;
    }
    return cursor_uvarint64_long(cursor);
}

/* Zigzag: 0, -1, 1, -2, ... as 0, 1, 2, 3, ... */
static inline int32_t cursor_varint32(struct cursor *cursor)
{
    uint32_t zigzag = cursor_uvarint32(cursor);
    return (int32_t)(zigzag >> 1 ^ -(zigzag & 1));
}

static inline int64_t cursor_varint64(struct cursor *cursor)
{
    uint64_t zigzag = cursor_uvarint64(cursor);
    return (int64_t)(zigzag >> 1 ^ -(zigzag & 1));
}

/* Bytes whose length the caller knows: at least 0, else failed. */
static inline struct view cursor_view(struct cursor *cursor, int32_t bytes)
{
    const uint8_t *from = NULL;
    if (bytes >= 0) {
        from = cursor_take(cursor, (size_t)bytes);
    } else {
        cursor_fail(cursor);
    }
    return from ? view_of(from, bytes) : VIEW_NULL;
}

/* A string's length is at most INT16_MAX, in compact form too. */
struct view cursor_string(struct cursor *cursor);
struct view cursor_string_or_null(struct cursor *cursor);
struct view cursor_compact_string(struct cursor *cursor);
struct view cursor_compact_string_or_null(struct cursor *cursor);

struct view cursor_bytes(struct cursor *cursor);
struct view cursor_bytes_or_null(struct cursor *cursor);
struct view cursor_compact_bytes(struct cursor *cursor);
struct view cursor_compact_bytes_or_null(struct cursor *cursor);

/*
 * How many items follow. It is believed only if the bytes left could hold that many of at least
 * item_bytes_min (> 0) each; otherwise 0, and failed. -1 is null.
 */
int32_t cursor_count(struct cursor *cursor, size_t item_bytes_min);
int32_t cursor_count_or_null(struct cursor *cursor, size_t item_bytes_min);
int32_t cursor_compact_count(struct cursor *cursor, size_t item_bytes_min);
int32_t cursor_compact_count_or_null(struct cursor *cursor, size_t item_bytes_min);

/*
 * The tagged fields at the end of a struct of a flexible version: a count, then for each its tag,
 * in rising order, its size and its value.
 *
 *     struct cursor_tags tags = cursor_tags(cursor);
 *     while (cursor_tags_next(cursor, &tags)) {
 *         switch (tags.tag) {
 *         case 0: ... read tags.value to its end ...
 *         default: cursor_skip(&tags.value);
 *         }
 *     }
 *
 * A value not read to its end is a failure, and so are two fields of one tag, or more than there can
 * be: no message of Kafka's has a dozen, and a struct is read in one go.
 */
enum { CURSOR_TAGS_MAX = 32 };

struct cursor_tags {
    uint32_t left; /* fields still to come */
    uint32_t tag;
    struct cursor value; /* of this field alone */

    /* cursor.c only */
    uint64_t tag_min; /* of the next field */
};

struct cursor_tags cursor_tags(struct cursor *cursor);
bool cursor_tags_next(struct cursor *cursor, struct cursor_tags *tags);

/* Over all that is left. */
static inline void cursor_skip(struct cursor *cursor)
{
    cursor->at = cursor->end;
}

/* Where no tag is known. */
static inline void cursor_skip_tags(struct cursor *cursor)
{
    struct cursor_tags tags = cursor_tags(cursor);
    while (cursor_tags_next(cursor, &tags)) {
        cursor_skip(&tags.value);
    }
}

#endif
