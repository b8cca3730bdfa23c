/*
 * The readers of core/cursor in any order: the first half of the input chooses them, the second
 * half is what they read. A varint that was accepted is the one that the writer would write, but
 * for zero groups at its end.
 */
#include <assert.h>
#include <stddef.h>

#include "core/cursor.h"
#include "core/writer.h"

static size_t varint_bytes(uint64_t value)
{
    struct writer measure;
    writer_init_measure(&measure);
    writer_uvarint64(&measure, value);
    return writer_position(&measure);
}

static void view_touch(struct view view)
{
    volatile uint8_t sum = 0;
    for (int32_t i = 0; i < view.bytes; i++) {
        sum = (uint8_t)(sum + view.data[i]);
    }
}

static void varint_read(struct cursor *cursor, bool is_long)
{
    size_t before = cursor_left(cursor);
    uint64_t value = is_long ? cursor_uvarint64(cursor) : cursor_uvarint32(cursor);
    size_t bytes = before - cursor_left(cursor);
    if (!cursor->failed) {
        assert(bytes >= varint_bytes(value) && bytes <= (is_long ? 10 : 5));
        assert(is_long || value <= UINT32_MAX);
    }
}

static void one_read(struct cursor *cursor, uint8_t choice)
{
    switch (choice % 16) {
    case 0:
        varint_read(cursor, false);
        break;
    case 1:
        varint_read(cursor, true);
        break;
    case 2:
        cursor_varint32(cursor);
        cursor_varint64(cursor);
        break;
    case 3:
        view_touch(cursor_string(cursor));
        break;
    case 4:
        view_touch(cursor_string_or_null(cursor));
        break;
    case 5:
        view_touch(cursor_compact_string(cursor));
        break;
    case 6:
        view_touch(cursor_compact_string_or_null(cursor));
        break;
    case 7:
        view_touch(cursor_bytes(cursor));
        break;
    case 8:
        view_touch(cursor_compact_bytes_or_null(cursor));
        break;
    case 9:
        assert((size_t)cursor_count(cursor, 3) * 3 <= cursor_left(cursor));
        break;
    case 10:
        assert(cursor_compact_count_or_null(cursor, 1) >= -1);
        break;
    case 11:
        cursor_skip_tags(cursor);
        break;
    case 12:
        cursor_uuid(cursor);
        break;
    case 13:
        cursor_int64(cursor);
        break;
    case 14:
        cursor_float64(cursor);
        break;
    default:
        cursor_int16(cursor);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    size_t choices = bytes / 2;
    struct cursor cursor;
    cursor_init(&cursor, data + choices, bytes - choices);
    for (size_t i = 0; i < choices; i++) {
        size_t before = cursor_left(&cursor);
        one_read(&cursor, data[i]);
        assert(cursor_left(&cursor) <= before);
        assert(!cursor.failed || cursor_left(&cursor) == 0);
    }
    return 0;
}
