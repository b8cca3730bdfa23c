#include "log/batch.h"

#include "core/big_endian.h"
#include "tests/log/kafka_bytes.h"
#include "tests/log/make.h"

#include <string.h>

Test(batch, reads_a_header_that_kafka_wrote)
{
    struct batch batch = parsed(kafka_batch_none, sizeof(kafka_batch_none));
    cr_expect_eq(batch.batch_bytes, sizeof(kafka_batch_none));
    cr_expect_eq(batch.base_offset, 0);
    cr_expect_eq(batch_last_offset(&batch), 4);
    cr_expect_eq(batch.records_count, 5);
    cr_expect_eq(batch.base_timestamp, 1700000000000);
    cr_expect_eq(batch.max_timestamp, 1700000000030);
    cr_expect_eq(batch.producer_id, 4711);
    cr_expect_eq(batch.producer_epoch, 3);
    cr_expect_eq(batch.base_sequence, 17);
    cr_expect_eq(batch_last_sequence(&batch), 21);
    cr_expect_eq(batch_codec(&batch), 0);
    cr_expect(batch_is_intact(&batch));
}

Test(batch, is_torn_at_every_prefix)
{
    struct batch batch;
    for (size_t bytes = 0; bytes < sizeof(kafka_batch_lz4); bytes++) {
        cr_assert_eq(batch_parse(&batch, kafka_batch_lz4, bytes), BATCH_TORN, "%zu bytes", bytes);
    }
}

Test(batch, is_broken_by_a_length_that_cannot_be)
{
    uint8_t bytes[128] = {[BATCH_MAGIC] = 2};
    static const int32_t lengths[] = {INT32_MIN, -1, 0, 48, INT32_MAX, INT32_MAX - 11};
    struct batch batch;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        big_endian_store32(bytes + BATCH_LENGTH, (uint32_t)lengths[i]);
        cr_expect_eq(batch_parse(&batch, bytes, sizeof(bytes)), BATCH_BROKEN, "%d", lengths[i]);
    }
    big_endian_store32(bytes + BATCH_LENGTH, 49);
    cr_expect_eq(batch_parse(&batch, bytes, sizeof(bytes)), BATCH_WHOLE);
}

Test(batch, is_broken_by_another_magic)
{
    uint8_t bytes[128];
    size_t count = make_batch(bytes, sizeof(bytes), 1);
    struct batch batch;
    for (int magic = 0; magic < 256; magic++) {
        bytes[BATCH_MAGIC] = (uint8_t)magic;
        cr_expect_eq(batch_parse(&batch, bytes, count), magic == 2 ? BATCH_WHOLE : BATCH_BROKEN);
    }
}

Test(batch, keeps_its_crc_when_placed)
{
    uint8_t bytes[256];
    size_t count = make_batch(bytes, sizeof(bytes), 3);
    batch_place(bytes, 1234567890123, 42);
    struct batch batch = parsed(bytes, count);
    cr_expect_eq(batch.base_offset, 1234567890123);
    cr_expect_eq(batch_last_offset(&batch), 1234567890125);
    cr_expect_eq(batch.partition_leader_epoch, 42);
    cr_expect(batch_is_intact(&batch));
}

Test(batch, has_a_new_crc_when_stamped)
{
    uint8_t bytes[256];
    size_t count = make_batch(bytes, sizeof(bytes), 3);
    uint32_t crc = parsed(bytes, count).crc;
    batch_stamp(bytes, count, false, 1002); /* as it is */
    cr_expect_eq(parsed(bytes, count).crc, crc);

    big_endian_store16(bytes + BATCH_ATTRIBUTES, 0xff80); /* bits without a meaning */
    batch_stamp(bytes, count, true, 5000);
    struct batch batch = parsed(bytes, count);
    cr_expect_eq(batch.attributes, BATCH_LOG_APPEND_TIME);
    cr_expect_eq(batch.max_timestamp, 5000);
    cr_expect_neq(batch.crc, crc);
    cr_expect(batch_is_intact(&batch));
}

Test(batch, is_stamped_without_being_read_if_it_is_large)
{
    static uint8_t bytes[2 << 20];
    size_t count = make_batch(bytes, sizeof(bytes), 50000);
    cr_assert_gt(count, 1 << 20);
    batch_stamp(bytes, count, true, 5000);
    struct batch batch = parsed(bytes, count);
    cr_expect_eq(batch.max_timestamp, 5000);
    cr_assert(batch_is_intact(&batch));
    bytes[count - 1] ^= 1; /* nobody vouches for what is broken */
    batch_stamp(bytes, count, true, 6000);
    batch = parsed(bytes, count);
    cr_assert_not(batch_is_intact(&batch));
}

Test(batch, is_not_intact_after_any_flipped_bit_that_the_crc_covers)
{
    uint8_t bytes[256];
    size_t count = make_batch(bytes, sizeof(bytes), 2);
    for (size_t bit = BATCH_CRC * 8; bit < count * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct batch batch = parsed(bytes, count);
        cr_assert(!batch_is_intact(&batch));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

Test(batch, counts_sequences_around_their_end)
{
    cr_expect_eq(batch_sequence_add(5, 3), 8);
    cr_expect_eq(batch_sequence_add(INT32_MAX, 1), 0);
    cr_expect_eq(batch_sequence_add(INT32_MAX - 1, 4), 2);
    cr_expect_eq(batch_sequence_sub(2, 4), INT32_MAX - 1);
    cr_expect_eq(batch_sequence_sub(0, 0), 0);
    cr_expect_eq(batch_sequence_sub(0, 1), INT32_MAX);
}

Test(batch, walks_batches_end_to_end)
{
    uint8_t bytes[2048];
    size_t used = 0;
    for (int i = 1; i <= 4; i++) {
        size_t count = make_batch(bytes + used, sizeof(bytes) - used, i);
        batch_place(bytes + used, i * 100, 7);
        used += count;
    }
    struct batch batch;
    struct batch_walk walk = batch_walk(bytes, used);
    for (int i = 1; i <= 4; i++) {
        cr_assert(batch_walk_next(&walk, &batch));
        cr_expect_eq(batch.base_offset, i * 100);
        cr_expect_eq(batch.records_count, i);
    }
    cr_expect(!batch_walk_next(&walk, &batch));
    cr_expect_eq(walk.state, BATCH_WHOLE);

    for (size_t cut = 0; cut < used; cut++) { /* stops in front of what is not whole */
        walk = batch_walk(bytes, cut);
        while (batch_walk_next(&walk, &batch)) {
        }
        cr_assert_eq(walk.at + walk.bytes_left, bytes + cut);
        cr_assert_eq(walk.state, walk.bytes_left == 0 ? BATCH_WHOLE : BATCH_TORN);
    }
}

Test(batch, builds_what_kafka_builds)
{
    struct batch batch = parsed(kafka_batch_none, sizeof(kafka_batch_none));
    struct records records = records_of(&batch, batch.bytes + BATCH_HEADER_BYTES,
                                        batch.batch_bytes - BATCH_HEADER_BYTES);
    uint8_t bytes[1024];
    struct batch_builder builder;
    struct record record;
    batch_build_start(&builder, bytes, sizeof(bytes));
    while (records_next(&records, &record)) {
        batch_build_record(&builder, &record);
    }
    cr_assert(!records.broken);
    cr_assert_eq(batch_build_end(&builder, &batch), sizeof(kafka_batch_none));
    cr_expect_eq(memcmp(bytes, kafka_batch_none, sizeof(kafka_batch_none)), 0);
}

Test(batch, is_not_built_where_it_does_not_fit)
{
    uint8_t bytes[256], guard[8];
    size_t whole = make_batch(bytes, sizeof(bytes), 1);
    struct record record = {
        .timestamp = 1000, .key = view_of_text("key 0"), .value = view_of_text("value 0")};
    struct batch header = make_header();
    memset(guard, 0x77, sizeof(guard));
    for (size_t room = 0; room <= whole; room++) {
        struct batch_builder builder;
        memset(bytes, 0x77, sizeof(bytes));
        batch_build_start(&builder, bytes, room);
        batch_build_record(&builder, &record);
        cr_expect_eq(batch_build_end(&builder, &header), room < whole ? 0 : whole);
        cr_expect_eq(memcmp(bytes + room, guard, sizeof(guard)), 0);
    }
}
