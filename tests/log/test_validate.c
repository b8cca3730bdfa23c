#include "log/validate.h"

#include "core/big_endian.h"
#include "tests/log/kafka_bytes.h"
#include "tests/log/make.h"

#include <stdlib.h>
#include <string.h>

#define NOW_MS INT64_C(1700000001000)

static const struct validation_rules open_rules = {
    .batch_bytes_max = 1 << 20,
    .zstd_allowed = true,
    .keeps_codec = true,
    .now_ms = NOW_MS,
    .before_max_ms = INT64_MAX,
    .after_max_ms = 3600000,
};

/* Validates a copy that ends where a sanitizer sees it, `budget` bytes a step. The batch in the
 * result is no longer to be looked at. */
static struct validation validated_by(const struct validation_rules *rules, const void *bytes,
                                      size_t count, size_t budget)
{
    uint8_t *copy = malloc(count + 1);
    memcpy(copy + 1, bytes, count);
    struct validation validation;
    void *memory = NULL;
    if (validation_start(&validation, rules, copy + 1, count) == VALIDATION_MORE) {
        size_t memory_bytes = validation_memory_bytes(&validation);
        memory = aligned_alloc(64, (memory_bytes + 127) & ~(size_t)63);
        validation_give_memory(&validation, memory, memory_bytes);
        for (size_t left = budget; validation_step(&validation, &left) == VALIDATION_MORE;
             left = budget) {
        }
    }
    free(memory);
    free(copy);
    return validation;
}

static struct validation validated(const struct validation_rules *rules, const void *bytes,
                                   size_t count)
{
    struct validation first = validated_by(rules, bytes, count, 65536);
    static const size_t budgets[] = {1, 7, 100};
    for (size_t i = 0; i < 3; i++) { /* where it stops in between makes no difference */
        struct validation again = validated_by(rules, bytes, count, budgets[i]);
        cr_assert_eq(again.refusal, first.refusal, "%s / %s", again.why, first.why);
        cr_assert_eq(again.errors_count, first.errors_count);
        cr_assert_eq(again.must_rebuild, first.must_rebuild);
        cr_assert_eq(again.max_timestamp, first.max_timestamp);
    }
    return first;
}

static enum refusal refusal_of(const void *bytes, size_t count)
{
    return validated(&open_rules, bytes, count).refusal;
}

/* The CRC made good again after a change of the bytes. */
static void reseal(uint8_t *bytes, size_t count)
{
    struct batch batch = {.bytes = bytes, .batch_bytes = (uint32_t)count};
    big_endian_store32(bytes + BATCH_CRC, batch_crc(&batch));
}

struct sample {
    const uint8_t *bytes;
    size_t count;
};

static const struct sample samples[] = {
    {kafka_batch_none, sizeof(kafka_batch_none)},     {kafka_batch_gzip, sizeof(kafka_batch_gzip)},
    {kafka_batch_snappy, sizeof(kafka_batch_snappy)}, {kafka_batch_lz4, sizeof(kafka_batch_lz4)},
    {kafka_batch_zstd, sizeof(kafka_batch_zstd)},
};

Test(validate, accepts_what_kafka_wrote_in_every_codec)
{
    for (int codec = 0; codec < CODECS; codec++) {
        struct validation result =
            validated(&open_rules, samples[codec].bytes, samples[codec].count);
        cr_expect_eq(result.refusal, REFUSAL_NONE, "codec %d: %s", codec, result.why);
        cr_expect(result.is_crc_checked);
        cr_expect(!result.must_stamp);
        cr_expect(!result.must_rebuild);
        cr_expect_eq(result.max_timestamp, 1700000000030);
        if (codec != CODEC_NONE) {
            cr_expect_eq(result.plain_bytes, samples[0].count - BATCH_HEADER_BYTES);
        }
    }
}

Test(validate, refuses_every_prefix_and_every_flipped_bit)
{
    uint8_t bytes[1024];
    for (int codec = 0; codec < CODECS; codec++) {
        size_t count = samples[codec].count;
        for (size_t cut = 0; cut < count; cut++) {
            enum refusal refusal = refusal_of(samples[codec].bytes, cut);
            cr_assert_eq(refusal, cut == 0 ? REFUSAL_INVALID_RECORD : REFUSAL_CORRUPT_MESSAGE);
        }
        memcpy(bytes, samples[codec].bytes, count);
        for (size_t bit = 0; bit < count * 8; bit++) {
            if (bit / 8 >= BATCH_PARTITION_LEADER_EPOCH && bit / 8 < BATCH_MAGIC) {
                continue; /* the broker writes this anew */
            }
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            cr_assert_neq(refusal_of(bytes, count), REFUSAL_NONE, "bit %zu", bit);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

Test(validate, survives_every_changed_byte_under_a_good_crc)
{
    uint8_t bytes[1024];
    for (int codec = 0; codec < CODECS; codec++) {
        size_t count = samples[codec].count;
        for (size_t at = BATCH_ATTRIBUTES; at < count; at++) {
            for (int change = 1; change < 256; change += 37) {
                memcpy(bytes, samples[codec].bytes, count);
                bytes[at] ^= (uint8_t)change;
                reseal(bytes, count);
                validated_by(&open_rules, bytes, count, 4096);
            }
        }
    }
}

Test(validate, wants_exactly_one_batch_of_version_2)
{
    uint8_t bytes[1024];
    size_t count = make_batch(bytes, 500, 2);
    size_t second = make_batch(bytes + count, 500, 1);
    cr_expect_eq(refusal_of(bytes, count), REFUSAL_NONE);
    cr_expect_eq(refusal_of(bytes, count + second), REFUSAL_INVALID_RECORD);
    cr_expect_eq(refusal_of(bytes, count + second - 1), REFUSAL_CORRUPT_MESSAGE);
    cr_expect_eq(refusal_of(bytes, count + 1), REFUSAL_CORRUPT_MESSAGE);
    cr_expect_eq(refusal_of(bytes, 0), REFUSAL_INVALID_RECORD);
    static const uint8_t magics[] = {0, 1, 3, 255};
    for (int i = 0; i < 4; i++) {
        bytes[BATCH_MAGIC] = magics[i];
        cr_expect_eq(refusal_of(bytes, count), REFUSAL_INVALID_RECORD);
    }
}

Test(validate, refuses_a_batch_that_is_too_large)
{
    uint8_t bytes[256];
    size_t count = make_batch(bytes, sizeof(bytes), 2);
    struct validation_rules rules = open_rules;
    rules.batch_bytes_max = (uint32_t)count;
    cr_expect_eq(validated(&rules, bytes, count).refusal, REFUSAL_NONE);
    rules.batch_bytes_max--;
    cr_expect_eq(validated(&rules, bytes, count).refusal, REFUSAL_MESSAGE_TOO_LARGE);
}

static enum refusal refusal_with(size_t field, int64_t value, size_t field_bytes)
{
    uint8_t bytes[256], wide[8];
    size_t count = make_batch(bytes, sizeof(bytes), 3);
    big_endian_store64(wide, (uint64_t)value);
    memcpy(bytes + field, wide + 8 - field_bytes, field_bytes);
    reseal(bytes, count);
    return refusal_of(bytes, count);
}

Test(validate, refuses_headers_that_make_no_sense)
{
    cr_expect_eq(refusal_with(BATCH_BASE_OFFSET, 1, 8), REFUSAL_INVALID_RECORD);
    cr_expect_eq(refusal_with(BATCH_BASE_OFFSET, -1, 8), REFUSAL_INVALID_RECORD);
    static const int32_t counts[] = {0, 2, 4, -1, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        cr_expect_eq(refusal_with(BATCH_RECORDS_COUNT, counts[i], 4), REFUSAL_INVALID_RECORD);
        cr_expect_eq(refusal_with(BATCH_LAST_OFFSET_DELTA, counts[i] == 2 ? 3 : counts[i], 4),
                     REFUSAL_INVALID_RECORD);
    }
    cr_expect_eq(refusal_with(BATCH_ATTRIBUTES, BATCH_CONTROL, 2), REFUSAL_INVALID_RECORD);
    cr_expect_eq(refusal_with(BATCH_PRODUCER_ID, 5, 8), REFUSAL_INVALID_RECORD);
    for (int codec = 5; codec <= 7; codec++) {
        cr_expect_eq(refusal_with(BATCH_ATTRIBUTES, codec, 2),
                     REFUSAL_UNSUPPORTED_COMPRESSION_TYPE);
    }
    for (int codec = 1; codec <= 4; codec++) { /* known, but this is no stream of it */
        cr_expect_eq(refusal_with(BATCH_ATTRIBUTES, codec, 2), REFUSAL_INVALID_RECORD);
    }
    cr_expect_eq(refusal_with(BATCH_ATTRIBUTES, 0, 2), REFUSAL_NONE);
}

Test(validate, knows_zstd_from_version_7_on)
{
    struct validation_rules rules = open_rules;
    rules.zstd_allowed = false;
    cr_expect_eq(validated(&rules, kafka_batch_zstd, sizeof(kafka_batch_zstd)).refusal,
                 REFUSAL_UNSUPPORTED_COMPRESSION_TYPE);
    cr_expect_eq(validated(&rules, kafka_batch_lz4, sizeof(kafka_batch_lz4)).refusal, REFUSAL_NONE);
}

Test(validate, counts_the_records_that_are_there)
{
    uint8_t bytes[1024];
    for (int codec = 0; codec < CODECS; codec++) {
        size_t count = samples[codec].count;
        for (uint32_t claimed = 4; claimed <= 6; claimed++) {
            memcpy(bytes, samples[codec].bytes, count);
            big_endian_store32(bytes + BATCH_RECORDS_COUNT, claimed);
            big_endian_store32(bytes + BATCH_LAST_OFFSET_DELTA, claimed - 1);
            reseal(bytes, count);
            cr_expect_eq(refusal_of(bytes, count),
                         claimed == 5 ? REFUSAL_NONE : REFUSAL_INVALID_RECORD);
        }
    }
}

Test(validate, refuses_offset_deltas_out_of_order)
{
    uint8_t bytes[256];
    size_t count = make_batch(bytes, sizeof(bytes), 2);
    bytes[BATCH_HEADER_BYTES + 3] = 2; /* the first record's delta becomes 1 */
    reseal(bytes, count);
    cr_expect_eq(refusal_of(bytes, count), REFUSAL_INVALID_RECORD);
    struct validation_rules rules = open_rules; /* what is built anew is put right, as in Kafka */
    rules.keeps_codec = false;
    rules.codec = CODEC_LZ4;
    struct validation result = validated(&rules, bytes, count);
    cr_expect_eq(result.refusal, REFUSAL_NONE);
    cr_expect(result.must_rebuild);
    cr_expect_eq(result.codec, CODEC_LZ4);
}

Test(validate, wants_keys_on_a_compacted_topic)
{
    struct validation_rules rules = open_rules;
    rules.compacted = true;
    for (int codec = 0; codec < CODECS; codec++) {
        struct validation result = validated(&rules, samples[codec].bytes, samples[codec].count);
        cr_expect_eq(result.refusal, REFUSAL_INVALID_RECORD);
        cr_assert_eq(result.errors_count, 1);
        cr_expect_eq(result.errors[0].record_index, 1);
        cr_expect_eq(result.errors[0].error, VALIDATION_NO_KEY);
    }
}

Test(validate, keeps_timestamps_within_their_bounds)
{
    struct validation_rules rules = open_rules;
    rules.before_max_ms = NOW_MS - 1700000000000; /* only the fifth is older */
    struct validation result = validated(&rules, kafka_batch_none, sizeof(kafka_batch_none));
    cr_expect_eq(result.refusal, REFUSAL_INVALID_TIMESTAMP);
    cr_assert_eq(result.errors_count, 1);
    cr_expect_eq(result.errors[0].record_index, 4);
    cr_expect_eq(result.errors[0].error, VALIDATION_TIMESTAMP_OUT_OF_RANGE);

    rules = open_rules;
    rules.now_ms = 1700000000000;
    rules.after_max_ms = 15; /* 20 and 30 ms later are too late */
    result = validated(&rules, kafka_batch_zstd, sizeof(kafka_batch_zstd));
    cr_expect_eq(result.refusal, REFUSAL_INVALID_TIMESTAMP);
    cr_assert_eq(result.errors_count, 2);
    cr_expect_eq(result.errors[0].record_index, 2);
    cr_expect_eq(result.errors[1].record_index, 3);

    rules.log_append_time = true; /* then nobody asks for them */
    result = validated(&rules, kafka_batch_zstd, sizeof(kafka_batch_zstd));
    cr_expect_eq(result.refusal, REFUSAL_NONE);
}

Test(validate, lists_a_bounded_number_of_errors)
{
    static uint8_t bytes[65536];
    size_t count = make_batch(bytes, sizeof(bytes), 1000);
    struct validation_rules rules = open_rules;
    rules.before_max_ms = 1000;
    struct validation result = validated_by(&rules, bytes, count, 65536);
    cr_expect_eq(result.refusal, REFUSAL_INVALID_TIMESTAMP);
    cr_expect_eq(result.errors_count, 1000);
    cr_expect_eq(result.errors[VALIDATION_ERRORS_MAX - 1].record_index, VALIDATION_ERRORS_MAX - 1);
}

Test(validate, stamps_the_largest_timestamp_that_it_found)
{
    uint8_t bytes[1024];
    for (int codec = 0; codec < CODECS; codec++) {
        size_t count = samples[codec].count;
        memcpy(bytes, samples[codec].bytes, count);
        big_endian_store64(bytes + BATCH_MAX_TIMESTAMP, 99); /* a lie */
        reseal(bytes, count);
        struct validation result = validated(&open_rules, bytes, count);
        cr_expect_eq(result.refusal, REFUSAL_NONE);
        cr_expect(result.must_stamp);
        cr_expect_eq(result.max_timestamp, 1700000000030);
        batch_stamp(bytes, count, result.log_append_time, result.max_timestamp);
        cr_expect_eq(memcmp(bytes, samples[codec].bytes, count), 0);
    }
}

Test(validate, stamps_the_time_of_the_append)
{
    struct validation_rules rules = open_rules;
    rules.log_append_time = true;
    for (int headers_only = 0; headers_only < 2; headers_only++) {
        rules.headers_only = headers_only;
        struct validation result = validated(&rules, kafka_batch_lz4, sizeof(kafka_batch_lz4));
        cr_expect_eq(result.refusal, REFUSAL_NONE);
        cr_expect(result.is_crc_checked);
        cr_expect(result.must_stamp);
        cr_expect(result.log_append_time);
        cr_expect_eq(result.max_timestamp, NOW_MS);
    }
}

Test(validate, lets_no_producer_set_the_time_of_the_append)
{
    uint8_t bytes[256];
    size_t count = make_batch(bytes, sizeof(bytes), 2);
    batch_stamp(bytes, count, true, NOW_MS);
    struct validation result = validated(&open_rules, bytes, count);
    cr_expect_eq(result.refusal, REFUSAL_NONE); /* the bit is cleared, and that is all */
    cr_expect(result.must_stamp);
    cr_expect(!result.log_append_time);
    cr_expect_eq(result.max_timestamp, NOW_MS);

    struct validation_rules rules = open_rules;
    rules.log_append_time = true;
    result = validated(&rules, bytes, count);
    cr_expect_eq(result.refusal, REFUSAL_INVALID_TIMESTAMP);
    cr_expect_eq(result.errors_count, 2);
    rules.headers_only = true;
    cr_expect_eq(validated(&rules, bytes, count).refusal, REFUSAL_INVALID_TIMESTAMP);

    batch_stamp(bytes, count, true, BATCH_NO_TIMESTAMP);
    cr_expect_eq(refusal_of(bytes, count), REFUSAL_INVALID_TIMESTAMP);
}

Test(validate, leaves_records_of_trusted_producers_alone)
{
    struct validation_rules rules = open_rules;
    rules.headers_only = true;
    struct validation validation;
    cr_assert_eq(validation_start(&validation, &rules, kafka_batch_gzip, sizeof(kafka_batch_gzip)),
                 VALIDATION_DONE);
    cr_expect_eq(validation.refusal, REFUSAL_NONE);
    cr_expect(!validation.is_crc_checked);
    cr_expect_eq(validation.max_timestamp, 1700000000030);
    uint8_t bytes[256];
    size_t count = make_batch(bytes, sizeof(bytes), 2);
    big_endian_store32(bytes + BATCH_RECORDS_COUNT, 3);
    cr_expect_eq(validated(&rules, bytes, count).refusal, REFUSAL_INVALID_RECORD);
    rules.keeps_codec = false; /* what is built anew has to be read */
    rules.codec = CODEC_ZSTD;
    cr_expect_eq(validated(&rules, bytes, count).refusal, REFUSAL_CORRUPT_MESSAGE);
}

Test(validate, refuses_a_record_that_is_malformed)
{
    static const uint8_t bodies[][12] = {
        {7, 14, 0, 0, 0, 1, 1, 0}, /* longer than the sum of its parts */
        {7, 10, 0, 0, 0, 1, 1, 0}, /* shorter */
        {11, 20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f}, /* 2^31 - 1 headers */
        {11, 20, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 0}, /* a key of 2^31 - 1 bytes */
        {9, 16, 0, 0, 0, 1, 1, 2, 1, 1},                       /* a header without a key */
        {8, 12, 0, 0, 0, 1, 1, 0, 0},                          /* a byte too many */
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        uint8_t bytes[128];
        struct batch header = make_header();
        header.records_count = 1;
        memcpy(bytes + BATCH_HEADER_BYTES, bodies[i] + 1, bodies[i][0]);
        batch_seal(bytes, &header, BATCH_HEADER_BYTES + bodies[i][0]);
        cr_expect_eq(refusal_of(bytes, BATCH_HEADER_BYTES + bodies[i][0]), REFUSAL_INVALID_RECORD,
                     "body %zu", i);
    }
}
