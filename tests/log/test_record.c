#include "log/record.h"

#include "tests/log/kafka_bytes.h"
#include "tests/log/make.h"

#include <stdlib.h>
#include <string.h>

static struct records records_in(const struct batch *batch)
{
    return records_of(batch, batch->bytes + BATCH_HEADER_BYTES,
                      batch->batch_bytes - BATCH_HEADER_BYTES);
}

/* A batch header that claims `count` records, for bodies made by hand. */
static struct batch claim(int32_t count)
{
    return (struct batch){.records_count = count};
}

static bool is_readable(int32_t count, const void *body, size_t bytes)
{
    struct batch batch = claim(count);
    /* an exact copy, so that a sanitizer sees a read past its end */
    uint8_t *copy = malloc(bytes + 1);
    memcpy(copy + 1, body, bytes);
    struct records records = records_of(&batch, copy + 1, bytes);
    struct record record;
    while (records_next(&records, &record)) {
    }
    free(copy);
    return !records.broken;
}

Test(record, reads_what_kafka_wrote)
{
    struct batch batch = parsed(kafka_batch_none, sizeof(kafka_batch_none));
    struct records records = records_in(&batch);
    struct record record[5];
    for (int i = 0; i < 5; i++) {
        cr_assert(records_next(&records, &record[i]));
        cr_expect_eq(record[i].offset, i);
        cr_expect_eq(record[i].timestamp, 1700000000000 + (i == 4 ? -5 : i * 10));
    }
    struct record none;
    cr_expect(!records_next(&records, &none));
    cr_expect(!records.broken);
    cr_expect(view_equal_text(record[0].key, "key0"));
    cr_expect(view_is_null(record[1].key));
    cr_expect(view_is_null(record[3].value));
    cr_expect(view_equal_text(record[4].value,
                              "a line of log that repeats, a line of log that repeats, number 4"));
    cr_expect_eq(record[0].headers_count, 0);
    cr_assert_eq(record[2].headers_count, 2);

    struct record_header header;
    struct cursor cursor;
    cursor_init(&cursor, record[2].headers.data, (size_t)record[2].headers.bytes);
    cr_assert(record_headers_next(&cursor, &header));
    cr_expect(view_equal_text(header.key, "trace"));
    cr_expect(view_equal(header.value, view_of("\1\2\3", 3)));
    cr_assert(record_headers_next(&cursor, &header));
    cr_expect(view_equal_text(header.key, "none"));
    cr_expect(view_is_null(header.value));
    cr_expect(!record_headers_next(&cursor, &header));
}

Test(record, has_the_batch_timestamp_where_the_broker_set_it)
{
    uint8_t bytes[256];
    size_t count = make_batch(bytes, sizeof(bytes), 2);
    batch_stamp(bytes, count, true, 777);
    struct batch batch = parsed(bytes, count);
    struct records records = records_in(&batch);
    struct record record;
    while (records_next(&records, &record)) {
        cr_expect_eq(record.timestamp, 777);
    }
    cr_expect(!records.broken);
}

Test(record, is_refused_at_every_prefix)
{
    struct batch batch = parsed(kafka_batch_none, sizeof(kafka_batch_none));
    const uint8_t *body = batch.bytes + BATCH_HEADER_BYTES;
    size_t bytes = batch.batch_bytes - BATCH_HEADER_BYTES;
    cr_assert(is_readable(5, body, bytes));
    for (size_t cut = 0; cut < bytes; cut++) {
        cr_assert(!is_readable(5, body, cut), "%zu of %zu bytes", cut, bytes);
    }
    cr_expect(!is_readable(4, body, bytes));
    cr_expect(!is_readable(6, body, bytes));
    cr_expect(!is_readable(-1, body, bytes));
}

Test(record, is_refused_when_its_length_is_not_the_sum_of_its_parts)
{
    static const uint8_t good[] = {12, 0, 0, 0, 1, 1, 0};
    cr_expect(is_readable(1, good, sizeof(good)));
    static const uint8_t longer[] = {14, 0, 0, 0, 1, 1, 0, 0};
    cr_expect(!is_readable(1, longer, sizeof(longer)));
    static const uint8_t shorter[] = {10, 0, 0, 0, 1, 1, 0};
    cr_expect(!is_readable(1, shorter, sizeof(shorter)));
    static const uint8_t negative[] = {13, 0, 0, 0, 1, 1, 0};
    cr_expect(!is_readable(1, negative, sizeof(negative)));
}

Test(record, is_refused_when_a_count_or_length_exceeds_what_is_there)
{
    static const uint8_t headers[] = {20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f};
    cr_expect(!is_readable(1, headers, sizeof(headers))); /* 2^31 - 1 headers */
    static const uint8_t fewer[] = {20, 0, 0, 0, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f};
    cr_expect(!is_readable(1, fewer, sizeof(fewer))); /* a negative count */
    static const uint8_t key[] = {20, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 0};
    cr_expect(!is_readable(1, key, sizeof(key)));
    static const uint8_t header_key[] = {16, 0, 0, 0, 1, 1, 2, 1, 1};
    cr_expect(!is_readable(1, header_key, sizeof(header_key))); /* a header's key is never null */
    static const uint8_t overlong[] = {0x98, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, 0, 0, 1, 1, 0};
    cr_expect(!is_readable(1, overlong, sizeof(overlong)));
}

Test(record, writes_varints_of_every_length)
{
    static const int64_t values[] = {0,   -1,   1,         63,        64,        -64,
                                     -65, 8191, INT32_MIN, INT32_MAX, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        uint8_t bytes[RECORD_VARINT_BYTES_MAX];
        size_t count = (size_t)(record_varint_write(values[i], bytes) - bytes);
        cr_expect_eq(count, record_varint_bytes(values[i]));
        struct cursor cursor;
        cursor_init(&cursor, bytes, count);
        cr_expect_eq(cursor_varint64(&cursor), values[i]);
        cr_expect(cursor_is_done(&cursor));
    }
}
