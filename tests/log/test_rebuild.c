#include "log/rebuild.h"

#include "core/big_endian.h"
#include "tests/log/kafka_bytes.h"
#include "tests/log/make.h"
#include "tests/log/pack.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_BYTES_MAX = 1 << 20 };

static struct validation_rules rules_for(enum codec codec)
{
    return (struct validation_rules){
        .batch_bytes_max = BATCH_BYTES_MAX,
        .zstd_allowed = true,
        .codec = codec,
        .now_ms = 1700000001000,
        .before_max_ms = INT64_MAX,
        .after_max_ms = 3600000,
    };
}

/* Validates; the batch must be good. */
static void validate(struct validation *validation, const struct validation_rules *rules,
                     const void *bytes, size_t count)
{
    if (validation_start(validation, rules, bytes, count) == VALIDATION_MORE) {
        size_t memory_bytes = validation_memory_bytes(validation);
        void *memory = aligned_alloc(64, (memory_bytes + 127) & ~(size_t)63);
        validation_give_memory(validation, memory, memory_bytes);
        for (size_t left = 65536; validation_step(validation, &left) == VALIDATION_MORE;
             left = 65536) {
        }
        free(memory);
    }
    cr_assert_eq(validation->refusal, REFUSAL_NONE, "%s", validation->why);
}

/* Bytes of the new batch; 0: too large. */
static size_t rebuilt(const struct validation *validation, uint8_t *into, size_t bytes_max,
                      size_t budget)
{
    struct rebuild rebuild;
    size_t memory_bytes = rebuild_memory_bytes(validation, DEFLATE_LEVEL_DEFAULT);
    void *memory = aligned_alloc(64, (memory_bytes + 127) & ~(size_t)63);
    rebuild_start(&rebuild, validation, DEFLATE_LEVEL_DEFAULT, memory, memory_bytes, into,
                  bytes_max);
    for (size_t left = budget; rebuild_step(&rebuild, &left) == VALIDATION_MORE; left = budget) {
    }
    free(memory);
    if (rebuild.refusal == REFUSAL_MESSAGE_TOO_LARGE) {
        return 0;
    }
    cr_assert_eq(rebuild.refusal, REFUSAL_NONE);
    return rebuild.batch_bytes;
}

Test(rebuild, makes_every_codec_from_every_other)
{
    static const struct {
        const uint8_t *bytes;
        size_t count;
    } from[] = {{kafka_batch_none, sizeof(kafka_batch_none)},
                {kafka_batch_gzip, sizeof(kafka_batch_gzip)},
                {kafka_batch_snappy, sizeof(kafka_batch_snappy)},
                {kafka_batch_lz4, sizeof(kafka_batch_lz4)},
                {kafka_batch_zstd, sizeof(kafka_batch_zstd)}};
    for (int source = 0; source < CODECS; source++) {
        for (enum codec codec = CODEC_NONE; codec < CODECS; codec++) {
            struct validation_rules rules = rules_for(codec);
            struct validation first, second;
            validate(&first, &rules, from[source].bytes, from[source].count);
            cr_assert_eq(first.must_rebuild, codec != (enum codec)source);
            if (!first.must_rebuild) {
                continue;
            }
            for (size_t budget = 1; budget <= 100000; budget *= 10) {
                uint8_t bytes[2048], plain[2048];
                size_t count = rebuilt(&first, bytes, sizeof(bytes), budget);
                validate(&second, &rules, bytes, count); /* it is good, and is what it was */
                cr_assert(!second.must_rebuild && !second.must_stamp);
                cr_assert_eq(batch_codec(&second.batch), (int)codec);
                rules.codec = CODEC_NONE;
                validate(&second, &rules, bytes, count);
                size_t plain_count =
                    codec == CODEC_NONE ? count : rebuilt(&second, plain, sizeof(plain), budget);
                cr_assert_eq(plain_count, sizeof(kafka_batch_none));
                cr_assert_eq(
                    memcmp(codec == CODEC_NONE ? bytes : plain, kafka_batch_none, plain_count), 0);
                rules.codec = codec;
            }
        }
    }
}

Test(rebuild, puts_offset_deltas_and_base_timestamp_right)
{
    uint8_t body[1024], bytes[1024], packed[1024];
    struct batch header = make_header();
    uint8_t *at = body + BATCH_HEADER_BYTES;
    for (int i = 0; i < 3; i++) { /* the base timestamp is no record's, all deltas are 0 */
        struct record record = {.value = view_of_text("value")};
        at = record_write(&record, 10 + i, 0, at);
    }
    header.records_count = 3;
    header.last_offset_delta = 2;
    header.base_timestamp = 100;
    batch_seal(body, &header, (uint32_t)(at - body));

    struct validation_rules rules = rules_for(CODEC_LZ4);
    struct validation validation;
    validate(&validation, &rules, body, (size_t)(at - body));
    size_t count = rebuilt(&validation, packed, sizeof(packed), 65536);
    rules = rules_for(CODEC_NONE);
    validate(&validation, &rules, packed, count);
    count = rebuilt(&validation, bytes, sizeof(bytes), 65536);
    struct batch batch = parsed(bytes, count);
    cr_expect_eq(batch.base_timestamp, 110);
    cr_expect_eq(batch.max_timestamp, 112);
    struct records records =
        records_of(&batch, bytes + BATCH_HEADER_BYTES, count - BATCH_HEADER_BYTES);
    struct record record;
    for (int i = 0; i < 3; i++) {
        cr_assert(records_next(&records, &record));
        cr_expect_eq(record.offset, i);
        cr_expect_eq(record.timestamp, 110 + i);
    }
}

Test(rebuild, keeps_the_codec_where_only_deltas_are_wrong)
{
    uint8_t bytes[1024], plain[1024], packed[1024], again[1024];
    size_t count = make_batch(plain, sizeof(plain), 2);
    struct validation_rules rules = rules_for(CODEC_GZIP);
    struct validation validation;
    plain[BATCH_HEADER_BYTES + 3] = 2; /* the first record's delta becomes 1 */
    struct batch batch = parsed(plain, count);
    big_endian_store32(plain + BATCH_CRC, batch_crc(&batch));

    /* with the wrong deltas in it */
    size_t packed_bytes = pack(plain, count, CODEC_GZIP, bytes, sizeof(bytes));
    rules.keeps_codec = true;
    validate(&validation, &rules, bytes, packed_bytes);
    cr_assert(validation.must_rebuild);
    cr_expect_eq(validation.codec, CODEC_GZIP);
    count = rebuilt(&validation, packed, sizeof(packed), 65536);
    validate(&validation, &rules, packed, count);
    cr_expect(!validation.must_rebuild);
    rules = rules_for(CODEC_NONE);
    validate(&validation, &rules, packed, count);
    count = rebuilt(&validation, again, sizeof(again), 65536);
    size_t expected = make_batch(plain, sizeof(plain), 2);
    cr_assert_eq(count, expected);
    cr_expect_eq(memcmp(again, plain, expected), 0);
}

Test(rebuild, refuses_what_becomes_too_large)
{
    struct validation_rules rules = rules_for(CODEC_NONE);
    struct validation validation;
    validate(&validation, &rules, kafka_batch_zstd, sizeof(kafka_batch_zstd));
    uint8_t bytes[1024];
    for (size_t room = 0; room <= sizeof(kafka_batch_none); room++) {
        cr_expect_eq(rebuilt(&validation, bytes, room, 100),
                     room < sizeof(kafka_batch_none) ? 0 : room);
    }
}

Test(rebuild, takes_records_larger_than_its_windows)
{
    enum { VALUE_BYTES = 200000 };
    uint8_t *value = malloc(VALUE_BYTES), *bytes = malloc(BATCH_BYTES_MAX);
    uint8_t *packed = malloc(BATCH_BYTES_MAX), *plain = malloc(BATCH_BYTES_MAX);
    for (int i = 0; i < VALUE_BYTES; i++) {
        value[i] = (uint8_t)((unsigned)i * (unsigned)i >> 7);
    }
    struct batch_builder builder;
    batch_build_start(&builder, bytes, BATCH_BYTES_MAX);
    for (int i = 0; i < 3; i++) {
        struct record record = {.timestamp = 5, .value = view_of(value, VALUE_BYTES - i)};
        batch_build_record(&builder, &record);
    }
    struct batch header = make_header();
    size_t count = batch_build_end(&builder, &header);
    for (enum codec codec = CODEC_GZIP; codec < CODECS; codec++) {
        struct validation_rules rules = rules_for(codec);
        struct validation validation;
        validate(&validation, &rules, bytes, count);
        size_t packed_count = rebuilt(&validation, packed, BATCH_BYTES_MAX, 5000);
        rules = rules_for(CODEC_NONE);
        validate(&validation, &rules, packed, packed_count);
        cr_assert_eq(rebuilt(&validation, plain, BATCH_BYTES_MAX, 5000), count);
        cr_expect_eq(memcmp(plain, bytes, count), 0);
    }
    free(value);
    free(bytes);
    free(packed);
    free(plain);
}
