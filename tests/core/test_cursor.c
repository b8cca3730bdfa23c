#include "core/cursor.h"

#include <criterion/criterion.h>

static struct cursor cursor_over(const void *data, size_t bytes)
{
    struct cursor cursor;
    cursor_init(&cursor, data, bytes);
    return cursor;
}

#define CURSOR(...) \
    cursor_over((const uint8_t[]){__VA_ARGS__}, sizeof(const uint8_t[]){__VA_ARGS__})

Test(cursor, reads_integers_big_endian)
{
    struct cursor cursor = CURSOR(0xff, 0x01, 0x02, 0xff, 0xfe, 0x80, 0, 0, 1, 0, 1, 2, 3, 4, 5, 6,
                                  7, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0);
    cr_assert_eq(cursor_int8(&cursor), -1);
    cr_assert_eq(cursor_uint16(&cursor), 0x0102);
    cr_assert_eq(cursor_int16(&cursor), -2);
    cr_assert_eq(cursor_int32(&cursor), INT32_MIN + 1);
    cr_assert_eq(cursor_int64(&cursor), 0x0001020304050607);
    cr_assert_eq(cursor_float64(&cursor), 1.5);
    cr_assert(cursor_is_done(&cursor));
}

Test(cursor, fails_for_good_when_bytes_are_missing)
{
    struct cursor cursor = CURSOR(1, 2, 3);
    cr_assert_eq(cursor_int32(&cursor), 0);
    cr_assert(cursor.failed);
    cr_assert_eq(cursor_int8(&cursor), 0, "the bytes that were there are gone too");
    cr_assert_eq(cursor_left(&cursor), 0);
    cr_assert(view_is_null(cursor_string(&cursor)) || cursor.failed);
    cr_assert_eq(cursor_count(&cursor, 1), 0);
    cr_assert_not(cursor_is_done(&cursor));
}

Test(cursor, is_not_done_while_bytes_are_left)
{
    struct cursor cursor = CURSOR(1, 2);
    cursor_int8(&cursor);
    cr_assert_not(cursor_is_done(&cursor));
    cursor_int8(&cursor);
    cr_assert(cursor_is_done(&cursor));
}

Test(cursor, reads_varints)
{
    struct cursor cursor = CURSOR(0x00, 0x7f, 0x80, 0x01, 0xac, 0x02, 0xff, 0xff, 0xff, 0xff, 0x0f);
    cr_assert_eq(cursor_uvarint32(&cursor), 0);
    cr_assert_eq(cursor_uvarint32(&cursor), 127);
    cr_assert_eq(cursor_uvarint32(&cursor), 128);
    cr_assert_eq(cursor_uvarint32(&cursor), 300);
    cr_assert_eq(cursor_uvarint32(&cursor), UINT32_MAX);
    cr_assert(cursor_is_done(&cursor));

    cursor = CURSOR(0x01, 0x02, 0xff, 0xff, 0xff, 0xff, 0x0f);
    cr_assert_eq(cursor_varint32(&cursor), -1);
    cr_assert_eq(cursor_varint32(&cursor), 1);
    cr_assert_eq(cursor_varint32(&cursor), INT32_MIN);
    cr_assert(cursor_is_done(&cursor));

    cursor = CURSOR(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
    cr_assert_eq(cursor_varint64(&cursor), INT64_MIN);
    cr_assert(cursor_is_done(&cursor));
}

Test(cursor, refuses_overlong_varints)
{
    struct cursor cursor = CURSOR(0x80, 0x80, 0x80, 0x80, 0x80, 0x00);
    cr_assert_eq(cursor_uvarint32(&cursor), 0);
    cr_assert(cursor.failed, "six bytes");

    cursor = CURSOR(0xff, 0xff, 0xff, 0xff, 0x1f);
    cursor_uvarint32(&cursor);
    cr_assert(cursor.failed, "a 33rd bit");

    cursor = CURSOR(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00);
    cursor_uvarint64(&cursor);
    cr_assert(cursor.failed, "eleven bytes");

    cursor = CURSOR(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02);
    cursor_uvarint64(&cursor);
    cr_assert(cursor.failed, "a 65th bit");

    cursor = CURSOR(0x80, 0x80);
    cursor_uvarint32(&cursor);
    cr_assert(cursor.failed, "its end is missing");
}

Test(cursor, reads_strings_in_both_forms)
{
    struct cursor cursor = CURSOR(0, 2, 'h', 'i', 3, 'h', 'o', 0, 0, 1);
    cr_assert(view_equal_text(cursor_string(&cursor), "hi"));
    cr_assert(view_equal_text(cursor_compact_string(&cursor), "ho"));
    cr_assert(view_equal_text(cursor_string(&cursor), ""));
    cr_assert(view_equal_text(cursor_compact_string(&cursor), ""));
    cr_assert(cursor_is_done(&cursor));
}

Test(cursor, reads_bytes_in_both_forms)
{
    struct cursor cursor = CURSOR(0, 0, 0, 1, 9, 2, 8);
    cr_assert_eq(cursor_bytes(&cursor).data[0], 9);
    cr_assert_eq(cursor_compact_bytes(&cursor).data[0], 8);
    cr_assert(cursor_is_done(&cursor));
}

Test(cursor, takes_null_only_where_null_may_be)
{
    struct cursor cursor = CURSOR(0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0);
    cr_assert(view_is_null(cursor_string_or_null(&cursor)));
    cr_assert(view_is_null(cursor_compact_string_or_null(&cursor)));
    cr_assert(view_is_null(cursor_bytes_or_null(&cursor)));
    cr_assert(view_is_null(cursor_compact_bytes_or_null(&cursor)));
    cr_assert(cursor_is_done(&cursor));

    cursor = CURSOR(0xff, 0xff);
    cursor_string(&cursor);
    cr_assert(cursor.failed);
    cursor = CURSOR(0);
    cursor_compact_string(&cursor);
    cr_assert(cursor.failed);
    cursor = CURSOR(0xff, 0xff, 0xff, 0xff);
    cursor_bytes(&cursor);
    cr_assert(cursor.failed);
    cursor = CURSOR(0);
    cursor_compact_bytes(&cursor);
    cr_assert(cursor.failed);
    cursor = CURSOR(0xff, 0xff, 0xff, 0xff);
    cr_assert_eq(cursor_count(&cursor, 1), 0);
    cr_assert(cursor.failed);
    cursor = CURSOR(0);
    cr_assert_eq(cursor_compact_count(&cursor, 1), 0);
    cr_assert(cursor.failed);
}

Test(cursor, refuses_lengths_below_null)
{
    struct cursor cursor = CURSOR(0xff, 0xfe, 0, 0);
    cursor_string_or_null(&cursor);
    cr_assert(cursor.failed);
    cursor = CURSOR(0x80, 0, 0, 0, 0);
    cursor_bytes_or_null(&cursor);
    cr_assert(cursor.failed);
    cursor = CURSOR(0xff, 0xff, 0xff, 0xfe, 0);
    cr_assert_eq(cursor_count_or_null(&cursor, 1), 0);
    cr_assert(cursor.failed);
}

Test(cursor, refuses_lengths_beyond_its_end)
{
    struct cursor cursor = CURSOR(0, 3, 'a', 'b');
    cursor_string(&cursor);
    cr_assert(cursor.failed);
    cursor = CURSOR(0x7f, 0xff, 0xff, 0xff, 1);
    cursor_bytes(&cursor);
    cr_assert(cursor.failed);
    cursor = CURSOR(0xff, 0xff, 0xff, 0xff, 0x0f, 1);
    cursor_compact_bytes(&cursor);
    cr_assert(cursor.failed);
}

Test(cursor, refuses_a_compact_string_longer_than_a_string_can_be)
{
    uint8_t data[3 + 32768] = {0x81, 0x80, 0x02};
    struct cursor cursor = cursor_over(data, sizeof data);
    cursor_compact_string(&cursor);
    cr_assert(cursor.failed, "32768 bytes");
    data[0] = 0x80;
    cursor = cursor_over(data, sizeof data);
    cr_assert_eq(cursor_compact_string(&cursor).bytes, 32767);
}

Test(cursor, believes_a_count_only_if_so_many_items_could_follow)
{
    struct cursor cursor = CURSOR(0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8);
    cr_assert_eq(cursor_count(&cursor, 4), 2);
    cursor = CURSOR(0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7);
    cr_assert_eq(cursor_count(&cursor, 4), 0);
    cr_assert(cursor.failed);
    cursor = CURSOR(0x7f, 0xff, 0xff, 0xff, 0, 0);
    cr_assert_eq(cursor_count(&cursor, 1), 0);
    cr_assert(cursor.failed);
    cursor = CURSOR(0xff, 0xff, 0xff, 0xff, 0x0f, 0);
    cr_assert_eq(cursor_compact_count(&cursor, 1), 0);
    cr_assert(cursor.failed);
    cursor = CURSOR(3, 0, 0);
    cr_assert_eq(cursor_compact_count(&cursor, 1), 2);
}

Test(cursor, walks_tagged_fields)
{
    struct cursor cursor = CURSOR(2, 0, 2, 0x12, 0x34, 5, 1, 9, 77);
    struct cursor_tags tags = cursor_tags(&cursor);
    cr_assert(cursor_tags_next(&cursor, &tags));
    cr_assert_eq(tags.tag, 0);
    cr_assert_eq(cursor_int16(&tags.value), 0x1234);
    cr_assert(cursor_tags_next(&cursor, &tags));
    cr_assert_eq(tags.tag, 5);
    cursor_skip(&tags.value);
    cr_assert_not(cursor_tags_next(&cursor, &tags));
    cr_assert_eq(cursor_int8(&cursor), 77);
    cr_assert(cursor_is_done(&cursor));
}

Test(cursor, refuses_a_tagged_value_of_another_size)
{
    struct cursor cursor = CURSOR(1, 0, 3, 1, 2, 3);
    struct cursor_tags tags = cursor_tags(&cursor);
    cr_assert(cursor_tags_next(&cursor, &tags));
    cursor_int16(&tags.value);
    cr_assert_not(cursor_tags_next(&cursor, &tags));
    cr_assert(cursor.failed, "too long");

    cursor = CURSOR(1, 0, 1, 1, 2, 3);
    tags = cursor_tags(&cursor);
    cr_assert(cursor_tags_next(&cursor, &tags));
    cursor_int16(&tags.value);
    cr_assert_not(cursor_tags_next(&cursor, &tags));
    cr_assert(cursor.failed, "too short");
}

Test(cursor, refuses_tags_that_do_not_rise_or_do_not_fit)
{
    struct cursor twice = CURSOR(2, 1, 1, 0, 1, 1, 0);
    cursor_skip_tags(&twice);
    cr_assert(twice.failed, "a tag twice");
    struct cursor falling = CURSOR(2, 2, 1, 0, 1, 1, 0);
    cursor_skip_tags(&falling);
    cr_assert(falling.failed, "out of order");
    struct cursor beyond = CURSOR(1, 0, 3, 1, 2);
    cursor_skip_tags(&beyond);
    cr_assert(beyond.failed, "a size past the end");
    struct cursor many = CURSOR(0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0);
    cursor_skip_tags(&many);
    cr_assert(many.failed, "2^32 - 1 fields");
    uint8_t crowd[1 + 2 * (CURSOR_TAGS_MAX + 1)] = {CURSOR_TAGS_MAX};
    for (uint8_t i = 0; i <= CURSOR_TAGS_MAX; i++) {
        crowd[1 + 2 * i] = i;
    }
    struct cursor crowded;
    cursor_init(&crowded, crowd, sizeof crowd - 2);
    cursor_skip_tags(&crowded);
    cr_assert(cursor_is_done(&crowded), "as many as there may be");
    crowd[0]++;
    cursor_init(&crowded, crowd, sizeof crowd);
    cursor_skip_tags(&crowded);
    cr_assert(crowded.failed, "one more");
    struct cursor empty = CURSOR(0);
    cursor_skip_tags(&empty);
    cr_assert(cursor_is_done(&empty));
    struct cursor last = CURSOR(1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0);
    cursor_skip_tags(&last);
    cr_assert(cursor_is_done(&last), "the last tag there is");
}
