#include "core/cursor.h"
#include "core/writer.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct memory memory;
static struct writer writer;
static uint8_t *joined_data;

static void setup(void)
{
    memory_init_heap(&memory);
    writer_init(&writer, &memory, 1 << 20);
}

static void teardown(void)
{
    writer_give_all(&writer);
    free(joined_data);
}

TestSuite(writer, .init = setup, .fini = teardown);

/* All pieces as one, every hole filled with the character that its name points to. Until the next
 * one, or the test's end. */
static struct view joined(void)
{
    cr_assert(writer_finish(&writer));
    size_t bytes = writer_position(&writer);
    free(joined_data);
    uint8_t *data = joined_data = malloc(bytes + 1);
    size_t at = 0;
    for (struct writer_piece *piece = writer.first; piece; piece = piece->next) {
        memcpy(data + at, piece->data, piece->bytes);
        at += piece->bytes;
        if (piece->hole_bytes > 0) {
            memset(data + at, *(const char *)piece->hole_name, piece->hole_bytes);
            at += piece->hole_bytes;
        }
    }
    cr_assert_eq(at, bytes, "the pieces are as long as the writer says");
    return view_of(data, (int32_t)bytes);
}

Test(writer, writes_integers_big_endian)
{
    writer_int8(&writer, -1);
    writer_int16(&writer, -2);
    writer_uint16(&writer, 0x0102);
    writer_int32(&writer, INT32_MIN + 1);
    writer_int64(&writer, 0x0001020304050607);
    writer_float64(&writer, 1.5);
    static const uint8_t expected[] = {0xff, 0xff, 0xfe, 1, 2,    0x80, 0, 0, 1, 0, 1, 2, 3,
                                       4,    5,    6,    7, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0};
    cr_assert(view_equal(joined(), view_of(expected, sizeof expected)));
}

Test(writer, writes_varints_that_the_cursor_reads)
{
    for (int shift = 0; shift < 64; shift++) {
        writer_uvarint64(&writer, UINT64_MAX >> shift);
        writer_varint64(&writer, INT64_MIN >> shift);
        writer_varint64(&writer, INT64_MAX >> shift);
        writer_uvarint32(&writer, UINT32_MAX >> (shift & 31));
        writer_varint32(&writer, INT32_MIN >> (shift & 31));
    }
    struct view all = joined();
    struct cursor cursor;
    cursor_init(&cursor, all.data, (size_t)all.bytes);
    for (int shift = 0; shift < 64; shift++) {
        cr_assert_eq(cursor_uvarint64(&cursor), UINT64_MAX >> shift);
        cr_assert_eq(cursor_varint64(&cursor), INT64_MIN >> shift);
        cr_assert_eq(cursor_varint64(&cursor), INT64_MAX >> shift);
        cr_assert_eq(cursor_uvarint32(&cursor), UINT32_MAX >> (shift & 31));
        cr_assert_eq(cursor_varint32(&cursor), INT32_MIN >> (shift & 31));
    }
    cr_assert(cursor_is_done(&cursor));
}

Test(writer, writes_strings_and_bytes_that_the_cursor_reads)
{
    struct view hi = view_of_text("hi");
    writer_string(&writer, hi);
    writer_compact_string(&writer, hi);
    writer_bytes(&writer, hi);
    writer_compact_bytes(&writer, hi);
    writer_string_or_null(&writer, VIEW_NULL);
    writer_compact_string_or_null(&writer, VIEW_NULL);
    writer_bytes_or_null(&writer, VIEW_NULL);
    writer_compact_bytes_or_null(&writer, VIEW_NULL);
    struct view all = joined();
    struct cursor cursor;
    cursor_init(&cursor, all.data, (size_t)all.bytes);
    cr_assert(view_equal(cursor_string(&cursor), hi));
    cr_assert(view_equal(cursor_compact_string(&cursor), hi));
    cr_assert(view_equal(cursor_bytes(&cursor), hi));
    cr_assert(view_equal(cursor_compact_bytes(&cursor), hi));
    cr_assert(view_is_null(cursor_string_or_null(&cursor)));
    cr_assert(view_is_null(cursor_compact_string_or_null(&cursor)));
    cr_assert(view_is_null(cursor_bytes_or_null(&cursor)));
    cr_assert(view_is_null(cursor_compact_bytes_or_null(&cursor)));
    cr_assert(cursor_is_done(&cursor));
}

Test(writer, never_moves_what_is_written)
{
    uint8_t *size = writer_reserve32(&writer);
    for (int i = 0; i < 100000; i++) {
        writer_int16(&writer, (int16_t)i);
    }
    writer_patch32(size, (uint32_t)writer_position(&writer));
    struct view all = joined();
    cr_assert_eq(all.bytes, 200004);
    struct cursor cursor;
    cursor_init(&cursor, all.data, (size_t)all.bytes);
    cr_assert_eq(cursor_int32(&cursor), 200004);
    for (int i = 0; i < 100000; i++) {
        cr_assert_eq(cursor_int16(&cursor), (int16_t)i);
    }
}

Test(writer, spreads_long_bytes_over_chunks)
{
    uint8_t *data = malloc(300000);
    for (int i = 0; i < 300000; i++) {
        data[i] = (uint8_t)(i * 7);
    }
    writer_int8(&writer, 0);
    writer_view(&writer, view_of(data, 300000));
    struct view all = joined();
    cr_assert(view_equal(view_of(all.data + 1, 300000), view_of(data, 300000)));
    free(data);
}

Test(writer, leaves_holes_that_count)
{
    static char names[] = "xyz";
    writer_hole(&writer, 3, &names[0]); /* before anything */
    writer_view(&writer, view_of_text("a"));
    writer_hole(&writer, 2, &names[1]);
    writer_hole(&writer, 1, &names[2]); /* one right behind the other */
    writer_view(&writer, view_of_text("bc"));
    writer_hole(&writer, 0, NULL); /* none */
    cr_assert(view_equal_text(joined(), "xxxayyzbc"));
}

Test(writer, leaves_thousands_of_holes)
{
    static char name = '.';
    for (int i = 0; i < 5000; i++) {
        writer_int8(&writer, 'a');
        writer_hole(&writer, 1, &name);
    }
    struct view all = joined();
    cr_assert_eq(all.bytes, 10000);
    for (int i = 0; i < 10000; i++) {
        cr_assert_eq(all.data[i], i % 2 ? '.' : 'a');
    }
}

Test(writer, joins_what_it_wrote)
{
    uint8_t copy[6000];
    for (int i = 0; i < 3000; i++) {
        writer_int16(&writer, (int16_t)i);
    }
    cr_assert(writer_finish(&writer));
    writer_join(&writer, copy);
    cr_assert(view_equal(view_of(copy, sizeof copy), joined()));
}

Test(writer, may_go_on_after_it_was_finished)
{
    writer_view(&writer, view_of_text("a"));
    cr_assert(writer_finish(&writer));
    writer_view(&writer, view_of_text("b"));
    cr_assert(view_equal_text(joined(), "ab"));
}

Test(writer, fails_for_good_past_its_limit)
{
    writer_init(&writer, &memory, 5000);
    for (int i = 0; i < 10000; i++) {
        writer_int64(&writer, i);
    }
    cr_assert_not(writer_finish(&writer));
    cr_assert_leq(writer.taken, 5000);
    writer_hole(&writer, 5, NULL);
    writer_view(&writer, view_of_text("more"));
    writer_patch32(writer_reserve32(&writer), 1);
    cr_assert_not(writer_finish(&writer));
}

Test(writer, fails_on_a_string_longer_than_a_string_can_be)
{
    static char text[INT16_MAX + 1];
    writer_string(&writer, view_of(text, INT16_MAX));
    writer_compact_string(&writer, view_of(text, INT16_MAX));
    cr_assert(writer_finish(&writer));
    writer_string(&writer, view_of(text, INT16_MAX + 1));
    cr_assert_not(writer_finish(&writer));

    writer_give_all(&writer);
    writer_compact_string(&writer, view_of(text, INT16_MAX + 1));
    writer_int8(&writer, 1);
    cr_assert_not(writer_finish(&writer));
}

Test(writer, measures_without_memory)
{
    static char name = 'x';
    writer_init_measure(&writer);
    writer_int32(&writer, 1);
    writer_uvarint32(&writer, 300);
    writer_compact_string(&writer, view_of_text("four"));
    writer_hole(&writer, 1000, &name);
    cr_assert_eq(writer_position(&writer), 4 + 2 + 5 + 1000);
    cr_assert_eq(writer.taken, 0);
}

Test(writer, has_written_nothing_at_first)
{
    cr_assert(writer_finish(&writer));
    cr_assert_null(writer.first);
    cr_assert_eq(writer_position(&writer), 0);
}

Test(writer, gives_back_a_large_one_in_parts)
{
    struct memory heap;
    struct writer large;
    memory_init_heap(&heap);
    writer_init(&large, &heap, 1 << 20);
    static uint8_t bytes[500 << 10];
    writer_view(&large, view_of(bytes, sizeof bytes));
    cr_assert(writer_finish(&large));
    uint32_t parts = 1;
    while (!writer_give_some(&large, 3)) {
        parts++;
    }
    cr_assert_gt(parts, 3); /* chunks of 64 KiB, but for the first */
    cr_assert_eq(large.taken, 0);
    writer_int8(&large, 1);
    cr_assert_eq(writer_position(&large), 1);
    writer_give_all(&large);
}
