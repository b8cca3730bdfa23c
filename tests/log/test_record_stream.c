#include "log/record_stream.h"

#include "tests/log/kafka_bytes.h"
#include "tests/log/make.h"
#include "tests/log/pack.h"

#include <stdlib.h>
#include <string.h>

struct opened { /* a stream and its memory */
    struct record_stream stream;
    void *memory;
};

static struct opened *opened(const struct batch *batch)
{
    struct opened *opened = malloc(sizeof(*opened));
    size_t bytes = record_stream_memory_bytes(batch);
    opened->memory = aligned_alloc(64, (bytes + 127) & ~(size_t)63);
    cr_assert_eq(record_stream_start(&opened->stream, batch, opened->memory, bytes), 0);
    return opened;
}

static void closed(struct opened *opened)
{
    free(opened->memory);
    free(opened);
}

/* The next that is not a pause; counts the pauses. */
static enum record_stream_progress next(struct record_stream *stream, size_t budget, int *pauses)
{
    enum record_stream_progress progress;
    for (;;) {
        size_t left = budget;
        progress = record_stream_next(stream, &left);
        if (progress != RECORD_STREAM_MORE) {
            return progress;
        }
        ++*pauses;
    }
}

Test(record_stream, tells_what_each_record_says)
{
    static const struct {
        const uint8_t *bytes;
        size_t count;
    } samples[] = {{kafka_batch_none, sizeof(kafka_batch_none)},
                   {kafka_batch_gzip, sizeof(kafka_batch_gzip)},
                   {kafka_batch_snappy, sizeof(kafka_batch_snappy)},
                   {kafka_batch_lz4, sizeof(kafka_batch_lz4)},
                   {kafka_batch_zstd, sizeof(kafka_batch_zstd)}};
    for (int codec = 0; codec < CODECS; codec++) {
        struct batch batch = parsed(samples[codec].bytes, samples[codec].count);
        struct opened *reader = opened(&batch);
        int pauses = 0;
        for (int i = 0; i < 5; i++) {
            cr_assert_eq(next(&reader->stream, 1, &pauses), RECORD_STREAM_RECORD);
            cr_expect_eq(reader->stream.index, i);
            cr_expect_eq(reader->stream.offset_delta, i);
            cr_expect_eq(reader->stream.has_key, i != 1);
            cr_expect_eq(reader->stream.timestamp, 1700000000000 + (i == 4 ? -5 : i * 10));
        }
        cr_expect_eq(next(&reader->stream, 1, &pauses), RECORD_STREAM_END);
        cr_expect_eq(next(&reader->stream, 1, &pauses), RECORD_STREAM_END);
        closed(reader);
    }
}

Test(record_stream, stays_broken)
{
    uint8_t bytes[256];
    size_t count = make_batch(bytes, sizeof(bytes), 3);
    bytes[BATCH_HEADER_BYTES] += 2; /* the first record one byte longer */
    struct batch batch = parsed(bytes, count);
    struct opened *reader = opened(&batch);
    int pauses = 0;
    cr_expect_eq(next(&reader->stream, 100, &pauses), RECORD_STREAM_BROKEN);
    cr_expect_eq(next(&reader->stream, 100, &pauses), RECORD_STREAM_BROKEN);
    closed(reader);
}

Test(record_stream, stops_within_a_record_larger_than_its_window)
{
    enum { VALUE_BYTES = 10 * BODY_WINDOW_BYTES, PACKED_BYTES_MAX = 4096 };
    uint8_t *plain = malloc(VALUE_BYTES + 1024), *packed = malloc(PACKED_BYTES_MAX);
    uint8_t *value = calloc(1, VALUE_BYTES);
    struct batch_builder builder;
    batch_build_start(&builder, plain, VALUE_BYTES + 1024);
    struct record large = {.timestamp = 7, .value = view_of(value, VALUE_BYTES), .key = VIEW_NULL};
    struct record small = {.timestamp = 8, .value = VIEW_NULL, .key = view_of_text("key")};
    batch_build_record(&builder, &large);
    batch_build_record(&builder, &small);
    struct batch header = make_header();
    size_t count = batch_build_end(&builder, &header);

    struct batch batch = parsed(packed, pack(plain, count, CODEC_ZSTD, packed, PACKED_BYTES_MAX));
    struct opened *reader = opened(&batch);
    int pauses = 0;
    cr_expect_eq(next(&reader->stream, 1000, &pauses), RECORD_STREAM_RECORD);
    cr_expect_geq(pauses, 10); /* once a window at least */
    cr_expect(!reader->stream.has_key);
    cr_expect_eq(next(&reader->stream, 1000, &pauses), RECORD_STREAM_RECORD);
    cr_expect_eq(reader->stream.timestamp, 8);
    cr_expect(reader->stream.has_key);
    cr_expect_eq(next(&reader->stream, 1000, &pauses), RECORD_STREAM_END);
    closed(reader);
    free(value);
    free(packed);
    free(plain);
}
