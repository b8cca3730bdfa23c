#include "core/cursor.h"

#include <assert.h>

uint32_t cursor_uvarint32_long(struct cursor *cursor)
{
    uint32_t value = 0;
    for (int shift = 0; shift < 32; shift += 7) {
        uint8_t group = (uint8_t)cursor_int8(cursor);
        if (shift == 28 && group > 0x0f) {
            break; /* more than 32 bits */
        }
        value |= (uint32_t)(group & 0x7f) << shift;
        if (group < 0x80) {
            return value;
        }
    }
    cursor_fail(cursor);
    return 0;
}

uint64_t cursor_uvarint64_long(struct cursor *cursor)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t group = (uint8_t)cursor_int8(cursor);
        if (shift == 63 && group > 0x01) {
            break; /* more than 64 bits */
        }
        value |= (uint64_t)(group & 0x7f) << shift;
        if (group < 0x80) {
            return value;
        }
    }
    cursor_fail(cursor);
    return 0;
}

/* -1 is null, less cannot be. */
static struct view view_or_null(struct cursor *cursor, int64_t length, int32_t length_max)
{
    if (length == -1) {
        return VIEW_NULL;
    }
    if (length < 0 || length > length_max) {
        cursor_fail(cursor);
        return VIEW_NULL;
    }
    return cursor_view(cursor, (int32_t)length);
}

static struct view view_not_null(struct cursor *cursor, struct view view)
{
    if (view_is_null(view)) {
        cursor_fail(cursor);
    }
    return view;
}

static int64_t compact_length(struct cursor *cursor)
{
    return (int64_t)cursor_uvarint32(cursor) - 1;
}

struct view cursor_string_or_null(struct cursor *cursor)
{
    return view_or_null(cursor, cursor_int16(cursor), INT16_MAX);
}

struct view cursor_string(struct cursor *cursor)
{
    return view_not_null(cursor, cursor_string_or_null(cursor));
}

struct view cursor_compact_string_or_null(struct cursor *cursor)
{
    return view_or_null(cursor, compact_length(cursor), INT16_MAX);
}

struct view cursor_compact_string(struct cursor *cursor)
{
    return view_not_null(cursor, cursor_compact_string_or_null(cursor));
}

struct view cursor_bytes_or_null(struct cursor *cursor)
{
    return view_or_null(cursor, cursor_int32(cursor), INT32_MAX);
}

struct view cursor_bytes(struct cursor *cursor)
{
    return view_not_null(cursor, cursor_bytes_or_null(cursor));
}

struct view cursor_compact_bytes_or_null(struct cursor *cursor)
{
    return view_or_null(cursor, compact_length(cursor), INT32_MAX);
}

struct view cursor_compact_bytes(struct cursor *cursor)
{
    return view_not_null(cursor, cursor_compact_bytes_or_null(cursor));
}

static int32_t count_or_null(struct cursor *cursor, int64_t count, size_t item_bytes_min)
{
    assert(item_bytes_min > 0);
    if (count == -1) {
        return -1;
    }
    if (count < 0 || count > INT32_MAX || (size_t)count > cursor_left(cursor) / item_bytes_min) {
        cursor_fail(cursor);
        return 0;
    }
    return (int32_t)count;
}

static int32_t count_not_null(struct cursor *cursor, int32_t count)
{
    if (count < 0) {
        cursor_fail(cursor);
        return 0;
    }
    return count;
}

int32_t cursor_count_or_null(struct cursor *cursor, size_t item_bytes_min)
{
    return count_or_null(cursor, cursor_int32(cursor), item_bytes_min);
}

int32_t cursor_count(struct cursor *cursor, size_t item_bytes_min)
{
    return count_not_null(cursor, cursor_count_or_null(cursor, item_bytes_min));
}

int32_t cursor_compact_count_or_null(struct cursor *cursor, size_t item_bytes_min)
{
    return count_or_null(cursor, compact_length(cursor), item_bytes_min);
}

int32_t cursor_compact_count(struct cursor *cursor, size_t item_bytes_min)
{
    return count_not_null(cursor, cursor_compact_count_or_null(cursor, item_bytes_min));
}

struct cursor_tags cursor_tags(struct cursor *cursor)
{
    struct cursor_tags tags = {.left = cursor_uvarint32(cursor)};
    if (tags.left > CURSOR_TAGS_MAX) {
        cursor_fail(cursor);
        tags.left = 0;
    }
    return tags;
}

bool cursor_tags_next(struct cursor *cursor, struct cursor_tags *tags)
{
    bool last_was_whole = tags->tag_min == 0 || cursor_is_done(&tags->value);
    if (!last_was_whole) {
        cursor_fail(cursor);
    }
    if (tags->left == 0 || cursor->failed) {
        return false;
    }
    tags->left--;
    tags->tag = cursor_uvarint32(cursor);
    uint32_t bytes = cursor_uvarint32(cursor);
    const uint8_t *from = cursor_take(cursor, bytes);
    if (!from || tags->tag < tags->tag_min) {
        cursor_fail(cursor);
        return false;
    }
    tags->tag_min = (uint64_t)tags->tag + 1;
    cursor_init(&tags->value, from, bytes);
    return true;
}
