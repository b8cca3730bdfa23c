#include "log/producers.h"

#include "core/big_endian.h"
#include "core/crc32c.h"
#include "tests/log/kafka_bytes.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PID = 4711 };

/* A batch of `count` records as it arrives, or, with its base offset, as it is appended. */
static struct batch batch_of(int64_t producer_id, int16_t epoch, int32_t sequence, int32_t count)
{
    return (struct batch){
        .producer_id = producer_id,
        .producer_epoch = epoch,
        .base_sequence = sequence,
        .records_count = count,
        .last_offset_delta = count - 1,
        .max_timestamp = 1000,
    };
}

static enum refusal refusal_of(const struct producers *producers, struct batch batch)
{
    struct producer_batch found;
    enum refusal refusal;
    enum producers_answer answer = producers_check(producers, &batch, &found, &refusal);
    cr_assert_neq(answer, PRODUCERS_DUPLICATE);
    cr_assert_eq(answer == PRODUCERS_REFUSED, refusal != REFUSAL_NONE);
    return refusal;
}

static void append(struct producers *producers, struct batch batch, int64_t base_offset)
{
    cr_assert_eq(refusal_of(producers, batch), REFUSAL_NONE);
    batch.base_offset = base_offset;
    cr_assert_eq(producers_apply(producers, &batch), 0);
}

Test(producers, accept_any_first_sequence_of_an_unknown_one)
{
    struct producers producers;
    producers_init(&producers, 100);
    cr_expect_eq(refusal_of(&producers, batch_of(PID, 0, 12345, 1)), REFUSAL_NONE);
    append(&producers, batch_of(PID, 0, 12345, 5), 0);
    cr_expect_eq(refusal_of(&producers, batch_of(PID + 1, 7, 99, 1)), REFUSAL_NONE);
    producers_deinit(&producers);
}

Test(producers, notice_a_gap)
{
    struct producers producers;
    producers_init(&producers, 100);
    append(&producers, batch_of(PID, 0, 0, 5), 0);
    cr_expect_eq(refusal_of(&producers, batch_of(PID, 0, 5, 1)), REFUSAL_NONE);
    cr_expect_eq(refusal_of(&producers, batch_of(PID, 0, 6, 1)),
                 REFUSAL_OUT_OF_ORDER_SEQUENCE_NUMBER);
    cr_expect_eq(refusal_of(&producers, batch_of(PID, 0, 4, 1)),
                 REFUSAL_OUT_OF_ORDER_SEQUENCE_NUMBER);
    cr_expect_eq(refusal_of(&producers, batch_of(PID, 0, 0, 4)),
                 REFUSAL_OUT_OF_ORDER_SEQUENCE_NUMBER); /* not the same batch */
    producers_deinit(&producers);
}

Test(producers, go_from_the_last_sequence_to_zero)
{
    struct producers producers;
    producers_init(&producers, 100);
    append(&producers, batch_of(PID, 0, INT32_MAX - 2, 5), 0); /* ... MAX, 0, 1 */
    cr_expect_eq(refusal_of(&producers, batch_of(PID, 0, 3, 1)),
                 REFUSAL_OUT_OF_ORDER_SEQUENCE_NUMBER);
    append(&producers, batch_of(PID, 0, 2, 1), 5);
    append(&producers, batch_of(PID + 1, 0, INT32_MAX - 1, 2), 6);
    cr_expect_eq(refusal_of(&producers, batch_of(PID + 1, 0, 0, 1)), REFUSAL_NONE);

    struct batch again = batch_of(PID, 0, INT32_MAX - 2, 5);
    struct producer_batch found;
    enum refusal refusal;
    cr_assert_eq(producers_check(&producers, &again, &found, &refusal), PRODUCERS_DUPLICATE);
    cr_expect_eq(found.last_offset, 4);
    producers_deinit(&producers);
}

Test(producers, recognise_a_retry_of_the_last_five_batches)
{
    struct producers producers;
    producers_init(&producers, 100);
    for (int i = 0; i < 7; i++) {
        append(&producers, batch_of(PID, 3, i * 10, 10), 1000 + i * 10);
    }
    for (int i = 0; i < 7; i++) {
        struct batch again = batch_of(PID, 3, i * 10, 10);
        struct producer_batch found;
        enum refusal refusal;
        enum producers_answer answer = producers_check(&producers, &again, &found, &refusal);
        if (i < 2) {
            cr_expect_eq(answer, PRODUCERS_REFUSED);
            cr_expect_eq(refusal, REFUSAL_OUT_OF_ORDER_SEQUENCE_NUMBER);
        } else {
            cr_assert_eq(answer, PRODUCERS_DUPLICATE);
            cr_expect_eq(found.last_offset, 1000 + i * 10 + 9);
            cr_expect_eq(found.offset_delta, 9);
            cr_expect_eq(found.timestamp, 1000);
        }
    }
    producers_deinit(&producers);
}

Test(producers, fence_an_older_epoch_and_start_a_newer_one_at_zero)
{
    struct producers producers;
    producers_init(&producers, 100);
    append(&producers, batch_of(PID, 5, 0, 10), 0);
    cr_expect_eq(refusal_of(&producers, batch_of(PID, 4, 10, 1)), REFUSAL_INVALID_PRODUCER_EPOCH);
    cr_expect_eq(refusal_of(&producers, batch_of(PID, 4, 0, 10)), REFUSAL_INVALID_PRODUCER_EPOCH);
    cr_expect_eq(refusal_of(&producers, batch_of(PID, 6, 10, 1)),
                 REFUSAL_OUT_OF_ORDER_SEQUENCE_NUMBER);
    append(&producers, batch_of(PID, 6, 0, 10), 10);
    cr_expect_eq(producers_find(&producers, PID)->batches_count, 1);
    producers_deinit(&producers);
}

Test(producers, keep_to_their_transaction)
{
    struct producers producers;
    producers_init(&producers, 100);
    struct batch first = batch_of(PID, 0, 0, 2);
    first.attributes = BATCH_TRANSACTIONAL;
    append(&producers, first, 40);
    cr_expect_eq(producers_first_open_offset(&producers), 40);
    cr_expect_eq(refusal_of(&producers, batch_of(PID, 0, 2, 1)), REFUSAL_INVALID_TXN_STATE);

    struct batch marker = batch_of(PID, 0, BATCH_NO_SEQUENCE, 1);
    marker.attributes = BATCH_TRANSACTIONAL | BATCH_CONTROL;
    marker.base_offset = 42;
    cr_assert_eq(producers_apply_marker(&producers, &marker, 9), 0);
    cr_expect_eq(producers_first_open_offset(&producers), -1);
    cr_expect_eq(producers_find(&producers, PID)->coordinator_epoch, 9);
    cr_expect_eq(refusal_of(&producers, batch_of(PID, 0, 2, 1)), REFUSAL_NONE);
    producers_deinit(&producers);
}

Test(producers, forget_who_wrote_longest_ago_when_there_are_too_many)
{
    struct producers producers;
    producers_init(&producers, 10);
    producers.now_s = 1000;
    struct batch transactional = batch_of(1, 0, 0, 1);
    transactional.attributes = BATCH_TRANSACTIONAL;
    append(&producers, transactional, 0);
    for (int64_t id = 2; id <= 10; id++) {
        append(&producers, batch_of(id, 0, 0, 1), id);
    }
    append(&producers, batch_of(2, 0, 1, 1), 11); /* 3 is now the oldest without a transaction */
    producers.now_s = 1000 + PRODUCER_ACTIVE_S;   /* and too old for a retry */
    append(&producers, batch_of(11, 0, 0, 1), 12);
    cr_expect_eq(producers.table.count, 10);
    cr_expect(producers_find(&producers, 1));
    cr_expect(producers_find(&producers, 2));
    cr_expect(!producers_find(&producers, 3));
    cr_expect(producers_find(&producers, 11));
    producers_deinit(&producers);
}

Test(producers, expire_after_silence)
{
    struct producers producers;
    producers_init(&producers, 1000);
    for (int64_t id = 0; id < 100; id++) {
        struct batch batch = batch_of(id, 0, 0, 1);
        batch.max_timestamp = 99 - id; /* a client may say what it likes */
        batch.attributes = id == 5 ? BATCH_TRANSACTIONAL : 0;
        producers.now_s = (uint32_t)id + 1;
        append(&producers, batch, id);
    }
    producers.now_s = 150;
    int slices = 1;
    while (!producers_expire(&producers, INT64_MAX, 100000, 10)) {
        slices++;
    }
    cr_expect_eq(slices, 11);
    cr_expect_eq(producers.table.count, 51);
    for (int64_t id = 0; id < 100; id++) {
        cr_expect_eq(producers_find(&producers, id) != NULL, id >= 50 || id == 5);
    }
    producers_deinit(&producers);
}

/* When it wrote is not known; what its records say may be any time. */
Test(producers, known_from_before_the_start_have_an_hour_to_write_again)
{
    enum { DAY_MS = 24 * 3600 * 1000, LOADED_S = 100 };
    struct producers producers;
    producers_init(&producers, 1000);
    append(&producers, batch_of(1, 0, 0, 1), 0); /* loaded: by no clock of ours */
    append(&producers, batch_of(2, 0, 0, 1), 1);
    producers.loaded_s = LOADED_S;
    producers.now_s = LOADED_S + 3599;
    cr_expect(producers_expire(&producers, 10LL * DAY_MS, DAY_MS, 10));
    cr_expect_eq(producers.table.count, 2);
    append(&producers, batch_of(2, 0, 1, 1), 2);
    producers.now_s++;
    cr_expect(producers_expire(&producers, 10LL * DAY_MS, DAY_MS, 10));
    cr_expect(!producers_find(&producers, 1));
    cr_expect(producers_find(&producers, 2));
    producers_deinit(&producers);
}

/* A table that forgets at random against an array that does the same. */
Test(producers, find_who_is_there_and_nobody_else)
{
    enum { IDS = 200 };
    struct producers producers;
    int32_t next[IDS] = {0}; /* 0: not there */
    producers_init(&producers, 10000);
    producers.now_s = 2000;
    srandom(1);
    for (int step = 0; step < 50000; step++) {
        int id = (int)(random() % IDS);
        if (random() % 3 == 0) { /* only this one is old enough to go */
            struct batch batch = batch_of(id, 0, next[id], 1);
            producers.now_s = 1;
            cr_assert_eq(producers_apply(&producers, &batch), 0);
            producers.now_s = 2000;
            uint32_t before = producers.table.count;
            (void)!producers_expire(&producers, 0, 1000 * 1000, UINT32_MAX);
            cr_assert_eq(producers.table.count, before - 1);
            next[id] = 0;
        } else {
            append(&producers, batch_of(id, 0, next[id], 1), step);
            next[id]++;
        }
        int probe = (int)(random() % IDS);
        const struct producer *found = producers_find(&producers, probe);
        cr_assert_eq(found != NULL, next[probe] > 0);
    }
    producers_deinit(&producers);
}

static struct producers some(void)
{
    struct producers producers;
    producers_init(&producers, 100);
    for (int64_t id = 0; id < 9; id++) {
        for (int64_t i = 0; i <= id; i++) {
            struct batch batch = batch_of(id, (int16_t)id, (int32_t)i * 3, 3);
            batch.attributes = id == 7 ? BATCH_TRANSACTIONAL : 0;
            append(&producers, batch, id * 1000 + i * 3);
        }
    }
    return producers;
}

static void expect_same(const struct producers *left, const struct producers *right)
{
    cr_assert_eq(left->table.count, right->table.count);
    for (int64_t id = 0; id < 9; id++) {
        const struct producer *a = producers_find(left, id), *b = producers_find(right, id);
        cr_assert(a && b);
        cr_expect_eq(a->producer_epoch, b->producer_epoch);
        cr_expect_eq(a->batches_count, b->batches_count);
        cr_expect_eq(a->last_timestamp, b->last_timestamp);
        cr_expect_eq(a->txn_first_offset, b->txn_first_offset);
        cr_expect_eq(memcmp(a->batches, b->batches, a->batches_count * sizeof(*a->batches)), 0);
    }
}

Test(producers, come_back_from_their_encoding)
{
    struct producers producers = some(), decoded;
    producers_init(&decoded, 100);
    size_t bytes = producers_encoded_bytes(&producers);
    uint8_t *encoded = malloc(bytes);
    producers_encode(&producers, encoded);
    cr_assert_eq(producers_decode(&decoded, encoded, bytes), 0);
    expect_same(&producers, &decoded);
    for (size_t cut = 0; cut < bytes; cut++) {
        cr_assert_eq(producers_decode(&decoded, encoded, cut), -EBADMSG, "%zu bytes", cut);
        cr_assert_eq(decoded.table.count, 0);
    }
    encoded[0] = 2;
    cr_expect_eq(producers_decode(&decoded, encoded, bytes), -EBADMSG);
    free(encoded);
    producers_deinit(&decoded);
    producers_deinit(&producers);
}

/* The file, made in pieces of so many bytes. */
static uint8_t *snapshot_of(const struct producers *producers, size_t piece, size_t *count)
{
    struct producers_snapshot snapshot;
    producers_snapshot_begin(&snapshot, producers);
    uint8_t *bytes = malloc(1 << 20);
    *count = 0;
    for (size_t got; (got = producers_snapshot_next(&snapshot, bytes + *count, piece)) > 0;) {
        cr_assert_leq(got, piece);
        *count += got;
        cr_assert_leq(*count + piece, 1 << 20);
    }
    big_endian_store32(bytes + SNAPSHOT_CRC_POSITION, snapshot.crc);
    return bytes;
}

Test(producers, read_and_write_a_snapshot_as_kafka_does)
{
    struct producers producers;
    producers_init(&producers, 100);
    cr_assert_eq(producers_snapshot_decode(&producers, kafka_snapshot, sizeof(kafka_snapshot)), 0);
    cr_assert_eq(producers.table.count, 2);
    const struct producer *first = producers_find(&producers, 4711);
    cr_expect_eq(first->producer_epoch, 3);
    cr_expect_eq(first->batches[0].last_sequence, 21);
    cr_expect_eq(first->batches[0].last_offset, 104);
    cr_expect_eq(first->coordinator_epoch, 9);
    cr_expect_eq(first->txn_first_offset, -1);
    const struct producer *second = producers_find(&producers, 4712);
    cr_expect_eq(second->batches_count, 0);
    cr_expect_eq(second->txn_first_offset, 77);

    size_t count;
    uint8_t *bytes = snapshot_of(&producers, SNAPSHOT_PIECE_BYTES_MIN, &count);
    cr_assert_eq(count, sizeof(kafka_snapshot));
    cr_expect_eq(memcmp(bytes, kafka_snapshot, sizeof(kafka_snapshot)), 0);
    free(bytes);
    producers_deinit(&producers);
}

/* More of them than a STATE has: nothing is lost, and Kafka finds its part as it wants it. */
Test(producers, have_all_their_batches_in_a_large_snapshot)
{
    enum { MANY = 1000 };
    struct producers producers, decoded;
    producers_init(&producers, MANY);
    producers_init(&decoded, MANY);
    for (int64_t i = 0; i < 3 * MANY; i++) {
        append(&producers, batch_of(i % MANY, 0, (int32_t)(i / MANY), 1), i);
    }
    for (size_t piece = SNAPSHOT_PIECE_BYTES_MIN; piece <= 64 << 10; piece *= 4) {
        size_t count;
        uint8_t *bytes = snapshot_of(&producers, piece, &count);
        cr_assert_eq(big_endian_load32(bytes + 6), MANY);
        cr_assert_eq(big_endian_load64(bytes + 10 + 46), 1);
        cr_assert_eq(big_endian_load32(bytes + 2), crc32c(0, bytes + 6, count - 6));
        cr_assert_eq(producers_snapshot_decode(&decoded, bytes, count), 0);
        cr_assert_eq(decoded.table.count, MANY);
        expect_same(&producers, &decoded);
        cr_assert_eq(producers_find(&decoded, MANY - 1)->batches_count, 3);
        bytes[count - 1] ^= 1;
        cr_assert_eq(producers_snapshot_decode(&decoded, bytes, count), -EBADMSG);
        free(bytes);
    }
    producers_deinit(&decoded);
    producers_deinit(&producers);
}

/* A client with ever new ids takes nobody's place who may still have to repeat something. */
Test(producers, refuse_new_ones_while_all_are_active)
{
    struct producers producers;
    struct budget budget = {.bytes_max = 8 * PRODUCER_CHARGE_BYTES};
    producers_init(&producers, 1000);
    producers.now_s = 1000;
    producers_charge(&producers, &budget);
    for (int64_t id = 0; id < 8; id++) {
        append(&producers, batch_of(id, 0, 0, 1), id);
    }
    cr_assert_eq(budget.bytes, budget.bytes_max);
    cr_expect_eq(refusal_of(&producers, batch_of(8, 0, 0, 1)), REFUSAL_THROTTLING_QUOTA_EXCEEDED);
    cr_expect_eq(refusal_of(&producers, batch_of(0, 0, 1, 1)), REFUSAL_NONE);
    producers.now_s += PRODUCER_ACTIVE_S - 1;
    cr_expect_eq(refusal_of(&producers, batch_of(8, 0, 0, 1)), REFUSAL_THROTTLING_QUOTA_EXCEEDED);
    append(&producers, batch_of(0, 0, 1, 1), 8);
    producers.now_s += 1;
    append(&producers, batch_of(8, 0, 0, 1), 9); /* in the place of 1 */
    cr_expect_eq(producers.table.count, 8);
    cr_expect_not(producers_find(&producers, 1));
    cr_expect(producers_find(&producers, 0));
    cr_expect(producers_forget_idle(&producers, 100)); /* 2 to 7 */
    cr_expect_eq(producers.table.count, 2);
    cr_expect_eq(budget.bytes, 2 * PRODUCER_CHARGE_BYTES);
    producers_deinit(&producers);
    cr_expect_eq(budget.bytes, 0);
}

Test(producers, refuse_a_snapshot_that_is_damaged)
{
    struct producers producers;
    producers_init(&producers, 100);
    uint8_t bytes[sizeof(kafka_snapshot)];
    for (size_t cut = 0; cut < sizeof(bytes); cut++) {
        cr_assert_eq(producers_snapshot_decode(&producers, kafka_snapshot, cut), -EBADMSG);
    }
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        memcpy(bytes, kafka_snapshot, sizeof(bytes));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_eq(producers_snapshot_decode(&producers, bytes, sizeof(bytes)), -EBADMSG);
        cr_assert_eq(producers.table.count, 0);
    }
    memcpy(bytes, kafka_snapshot, sizeof(bytes));
    big_endian_store32(bytes + 6, INT32_MAX); /* a count that nobody sent */
    big_endian_store32(bytes + 2, crc32c(0, bytes + 6, sizeof(bytes) - 6));
    cr_expect_eq(producers_snapshot_decode(&producers, bytes, sizeof(bytes)), -EBADMSG);
    producers_deinit(&producers);
}
