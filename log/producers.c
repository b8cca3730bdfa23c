#include "log/producers.h"

#include "core/big_endian.h"
#include "core/crc32c.h"
#include "core/cursor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    NO_COORDINATOR_EPOCH = -1,
    NO_TXN = -1,
    LOADED_GRACE_MS = 3600 * 1000,
    OLDEST_MAX = 16, /* looked at for one that may go: those before it have transactions open */
};

void producers_init(struct producers *producers, uint32_t producers_max)
{
    assert(producers_max > 0 && producers_max <= PRODUCERS_MAX);
    *producers = (struct producers){.producers_max = producers_max};
    producer_table_init(&producers->table);
}

static void charge(struct producers *producers, int64_t count)
{
    if (producers->charged) {
        producers->charged->bytes += (uint64_t)(count * PRODUCER_CHARGE_BYTES);
    }
}

void producers_clear(struct producers *producers)
{
    charge(producers, -(int64_t)producers->table.count);
    producer_table_deinit(&producers->table);
    producers->expire_at = 0;
}

void producers_deinit(struct producers *producers)
{
    producers_clear(producers);
}

void producers_charge(struct producers *producers, struct budget *charged)
{
    charge(producers, -(int64_t)producers->table.count);
    producers->charged = charged;
    charge(producers, producers->table.count);
}

const struct producer *producers_find(const struct producers *producers, int64_t producer_id)
{
    return producer_table_find(&producers->table, producer_id);
}

/* -- coming and going -------------------------------------------------------------------------- */

static void forget(struct producers *producers, uint32_t place)
{
    producer_table_remove(&producers->table, place);
    charge(producers, -1);
}

static bool is_full(const struct producers *producers)
{
    const struct budget *charged = producers->charged;
    return producers->table.count >= producers->producers_max ||
           (charged && charged->bytes + PRODUCER_CHARGE_BYTES > charged->bytes_max);
}

/* The one that wrote longest ago, without a transaction. */
static uint32_t oldest_idle(const struct producers *producers)
{
    uint32_t place = producers->table.oldest;
    for (int i = 0; i < OLDEST_MAX && place != NO_PRODUCER; i++) {
        const struct producer *producer = producer_at(&producers->table, place);
        if (producer->txn_first_offset == NO_TXN) {
            return place;
        }
        place = producer->newer;
    }
    return NO_PRODUCER;
}

/* Its last batch was so long ago that no retry of it can come. */
static bool is_too_old(const struct producers *producers, uint32_t place)
{
    uint32_t touched_s = producer_at(&producers->table, place)->touched_s;
    return producers->now_s - (touched_s ? touched_s : producers->loaded_s) >= PRODUCER_ACTIVE_S;
}

/* Is there a place for a new one? */
static bool has_place(const struct producers *producers)
{
    if (!is_full(producers)) {
        return true;
    }
    uint32_t place = oldest_idle(producers);
    return place != NO_PRODUCER && is_too_old(producers, place);
}

/* The producer, made if it is not there. NULL: no memory. Nothing else fails: what comes from a
 * leader or the disk is applied, and nobody goes if all have transactions open. */
static struct producer *find_or_make(struct producers *producers, int64_t producer_id)
{
    struct producer *known = producer_table_find(&producers->table, producer_id);
    if (known) {
        return known;
    }
    uint32_t place = is_full(producers) ? oldest_idle(producers) : NO_PRODUCER;
    if (place != NO_PRODUCER) {
        forget(producers, place);
    }
    struct producer *producer = producer_table_add(&producers->table, producer_id);
    if (producer) {
        producer->producer_epoch = BATCH_NO_PRODUCER_EPOCH;
        producer->coordinator_epoch = NO_COORDINATOR_EPOCH;
        producer->last_timestamp = BATCH_NO_TIMESTAMP;
        producer->txn_first_offset = NO_TXN;
        producer->touched_s = producers->now_s;
        charge(producers, 1);
    }
    return producer;
}

/* -- checking and applying ---------------------------------------------------------------------- */

static bool find_duplicate(const struct producer *producer, const struct batch *batch,
                           struct producer_batch *found)
{
    if (producer->producer_epoch != batch->producer_epoch) {
        return false;
    }
    for (uint8_t i = 0; i < producer->batches_count; i++) {
        const struct producer_batch *known = &producer->batches[i];
        if (known->last_sequence == batch_last_sequence(batch) &&
            batch_sequence_sub(known->last_sequence, known->offset_delta) == batch->base_sequence) {
            *found = *known;
            return true;
        }
    }
    return false;
}

/* The sequence that must come next. After a marker, or a snapshot that held only one, it is 0. */
static int32_t next_sequence(const struct producer *producer, const struct batch *batch)
{
    if (producer->producer_epoch != batch->producer_epoch || producer->batches_count == 0) {
        return 0;
    }
    return batch_sequence_add(producer->batches[producer->batches_count - 1].last_sequence, 1);
}

enum producers_answer producers_check(const struct producers *producers, const struct batch *batch,
                                      struct producer_batch *found, enum refusal *refusal)
{
    assert(batch_has_producer(batch) && !(batch->attributes & BATCH_CONTROL));
    *refusal = REFUSAL_NONE;
    const struct producer *producer = producers_find(producers, batch->producer_id);
    if (!producer && !has_place(producers)) {
        *refusal = REFUSAL_THROTTLING_QUOTA_EXCEEDED;
        return PRODUCERS_REFUSED;
    }
    if (!producer || producer->producer_epoch == BATCH_NO_PRODUCER_EPOCH) {
        return PRODUCERS_NEW; /* what it wrote before may be gone: any sequence is good */
    }
    if (find_duplicate(producer, batch, found)) {
        return PRODUCERS_DUPLICATE;
    }
    bool is_transactional = batch->attributes & BATCH_TRANSACTIONAL;
    if (batch->producer_epoch < producer->producer_epoch) {
        *refusal = REFUSAL_INVALID_PRODUCER_EPOCH;
    } else if (batch->base_sequence != next_sequence(producer, batch)) {
        *refusal = REFUSAL_OUT_OF_ORDER_SEQUENCE_NUMBER;
    } else if (producer->txn_first_offset != NO_TXN && !is_transactional) {
        *refusal = REFUSAL_INVALID_TXN_STATE;
    }
    return *refusal == REFUSAL_NONE ? PRODUCERS_NEW : PRODUCERS_REFUSED;
}

static void enter_epoch(struct producer *producer, int16_t epoch)
{
    if (producer->producer_epoch != epoch) {
        producer->producer_epoch = epoch;
        producer->batches_count = 0;
    }
}

static void add_batch(struct producer *producer, const struct producer_batch *batch)
{
    if (producer->batches_count == PRODUCER_BATCHES_MAX) {
        producer->batches_count--;
        memmove(producer->batches, producer->batches + 1,
                producer->batches_count * sizeof(*producer->batches));
    }
    producer->batches[producer->batches_count++] = *batch;
}

static struct producer *touched(struct producers *producers, int64_t producer_id)
{
    struct producer *producer = find_or_make(producers, producer_id);
    if (producer) {
        producer->touched_s = producers->now_s;
        producer_table_touch(&producers->table, producer);
    }
    return producer;
}

int producers_apply(struct producers *producers, const struct batch *batch)
{
    struct producer *producer = touched(producers, batch->producer_id);
    if (!producer) {
        return -ENOMEM;
    }
    enter_epoch(producer, batch->producer_epoch);
    struct producer_batch newest = {
        .last_sequence = batch_last_sequence(batch),
        .offset_delta = batch->last_offset_delta,
        .last_offset = batch_last_offset(batch),
        .timestamp = batch->max_timestamp,
    };
    add_batch(producer, &newest);
    producer->last_timestamp = batch->max_timestamp;
    if ((batch->attributes & BATCH_TRANSACTIONAL) && producer->txn_first_offset == NO_TXN) {
        producer->txn_first_offset = batch->base_offset;
    }
    return 0;
}

int producers_apply_marker(struct producers *producers, const struct batch *batch,
                           int32_t coordinator_epoch)
{
    struct producer *producer = touched(producers, batch->producer_id);
    if (!producer) {
        return -ENOMEM;
    }
    enter_epoch(producer, batch->producer_epoch);
    producer->coordinator_epoch = coordinator_epoch;
    producer->txn_first_offset = NO_TXN;
    producer->last_timestamp = batch->max_timestamp;
    return 0;
}

int64_t producers_first_open_offset(const struct producers *producers)
{
    int64_t first = NO_TXN;
    for (uint32_t place = 0; place < producers->table.count; place++) {
        int64_t offset = producer_at(&producers->table, place)->txn_first_offset;
        if (offset != NO_TXN && (first == NO_TXN || offset < first)) {
            first = offset;
        }
    }
    return first;
}

/* By our clock since its last write. Of one that has not written since we started only the time is
 * known that it gave its last batch itself. Kafka goes by that alone; but it may be any, as of old
 * lines that are sent late, and who forgets a producer takes its next batch though one before it was
 * refused. So such a one first gets the time to write again. */
static bool is_expired(const struct producers *producers, const struct producer *producer,
                       int64_t now_ms, int64_t expiration_ms)
{
    uint32_t since_s = producer->touched_s ? producer->touched_s : producers->loaded_s;
    int64_t silent_ms = (int64_t)(producers->now_s - since_s) * 1000;
    if (silent_ms >= expiration_ms) {
        return true;
    }
    int64_t told_ms = (int64_t)((uint64_t)now_ms - (uint64_t)producer->last_timestamp);
    return !producer->touched_s && told_ms >= expiration_ms && silent_ms >= LOADED_GRACE_MS;
}

bool producers_expire(struct producers *producers, int64_t now_ms, int64_t expiration_ms,
                      uint32_t count_max)
{
    const struct producer_table *table = &producers->table;
    for (uint32_t looked_at = 0; looked_at < count_max; looked_at++) {
        if (producers->expire_at >= table->count) {
            producers->expire_at = 0;
            return true;
        }
        const struct producer *producer = producer_at(table, producers->expire_at);
        if (producer->txn_first_offset == NO_TXN &&
            is_expired(producers, producer, now_ms, expiration_ms)) {
            forget(producers, producers->expire_at); /* the last one moves here: look again */
        } else {
            producers->expire_at++;
        }
    }
    return false;
}

bool producers_forget_idle(struct producers *producers, uint32_t count_max)
{
    for (uint32_t forgotten = 0; forgotten < count_max; forgotten++) {
        uint32_t place = oldest_idle(producers);
        if (place == NO_PRODUCER || !is_too_old(producers, place)) {
            return true;
        }
        forget(producers, place);
    }
    return false;
}

/*
 * -- STATE: version 1, count, producers from the one that wrote longest ago ----------------------
 *     id 8, epoch 2, batches 1, coordinator epoch 4, timestamp 8, transaction's first offset 8,
 *     and for each batch: last sequence 4, offset delta 4, last offset 8, timestamp 8
 */
enum { ENCODING_VERSION = 1, ENCODED_HEAD = 5, ENCODED_PRODUCER = 31, ENCODED_BATCH = 24 };

static_assert(ENCODED_PRODUCER + PRODUCER_BATCHES_MAX * ENCODED_BATCH == PRODUCER_ENCODED_BYTES_MAX,
              "a STATE's bound");

size_t producers_encoded_bytes(const struct producers *producers)
{
    size_t bytes = ENCODED_HEAD + (size_t)producers->table.count * ENCODED_PRODUCER;
    for (uint32_t place = 0; place < producers->table.count; place++) {
        bytes += (size_t)producer_at(&producers->table, place)->batches_count * ENCODED_BATCH;
    }
    return bytes;
}

static uint8_t *encode_head(const struct producers *producers, uint8_t *at)
{
    at[0] = ENCODING_VERSION;
    big_endian_store32(at + 1, producers->table.count);
    return at + ENCODED_HEAD;
}

static uint8_t *encode_producer(const struct producer *producer, uint8_t *at)
{
    big_endian_store64(at, (uint64_t)producer->producer_id);
    big_endian_store16(at + 8, (uint16_t)producer->producer_epoch);
    at[10] = producer->batches_count;
    big_endian_store32(at + 11, (uint32_t)producer->coordinator_epoch);
    big_endian_store64(at + 15, (uint64_t)producer->last_timestamp);
    big_endian_store64(at + 23, (uint64_t)producer->txn_first_offset);
    at += ENCODED_PRODUCER;
    for (uint8_t i = 0; i < producer->batches_count; i++, at += ENCODED_BATCH) {
        big_endian_store32(at, (uint32_t)producer->batches[i].last_sequence);
        big_endian_store32(at + 4, (uint32_t)producer->batches[i].offset_delta);
        big_endian_store64(at + 8, (uint64_t)producer->batches[i].last_offset);
        big_endian_store64(at + 16, (uint64_t)producer->batches[i].timestamp);
    }
    return at;
}

void producers_encode(const struct producers *producers, void *to)
{
    uint8_t *at = encode_head(producers, to);
    for (uint32_t place = producers->table.oldest; place != NO_PRODUCER;
         place = producer_at(&producers->table, place)->newer) {
        at = encode_producer(producer_at(&producers->table, place), at);
    }
}

/* A batch that cannot be would break the arithmetic on sequences. */
static bool is_possible(const struct producer_batch *batch)
{
    return batch->last_sequence >= BATCH_NO_SEQUENCE && batch->offset_delta >= 0 &&
           batch->last_offset >= 0;
}

/* 0, -EBADMSG, -ENOMEM */
static int decode_producer(struct producers *producers, struct cursor *cursor)
{
    int64_t producer_id = cursor_int64(cursor);
    if (cursor->failed || producer_id < 0 || producers_find(producers, producer_id)) {
        return -EBADMSG;
    }
    struct producer *producer = find_or_make(producers, producer_id);
    if (!producer) {
        return -ENOMEM;
    }
    producer->producer_epoch = cursor_int16(cursor);
    uint8_t batches_count = (uint8_t)cursor_int8(cursor);
    producer->coordinator_epoch = cursor_int32(cursor);
    producer->last_timestamp = cursor_int64(cursor);
    producer->txn_first_offset = cursor_int64(cursor);
    if (batches_count > PRODUCER_BATCHES_MAX || producer->txn_first_offset < NO_TXN) {
        return -EBADMSG;
    }
    for (uint8_t i = 0; i < batches_count; i++) {
        struct producer_batch batch; /* statements: an initialiser has no order */
        batch.last_sequence = cursor_int32(cursor);
        batch.offset_delta = cursor_int32(cursor);
        batch.last_offset = cursor_int64(cursor);
        batch.timestamp = cursor_int64(cursor);
        if (!is_possible(&batch)) {
            return -EBADMSG;
        }
        add_batch(producer, &batch);
    }
    return cursor->failed ? -EBADMSG : 0;
}

int producers_decode(struct producers *producers, const void *from, size_t bytes)
{
    producers_clear(producers);
    struct cursor cursor;
    cursor_init(&cursor, from, bytes);
    int result = cursor_int8(&cursor) == ENCODING_VERSION ? 0 : -EBADMSG;
    int32_t count = cursor_count(&cursor, ENCODED_PRODUCER);
    for (int32_t i = 0; i < count && result == 0; i++) {
        result = decode_producer(producers, &cursor);
    }
    if (result == 0 && !cursor_is_done(&cursor)) {
        result = -EBADMSG;
    }
    if (result < 0) {
        producers_clear(producers);
    }
    return result;
}

/*
 * -- Kafka's snapshot: version 1, CRC of all behind it, count, producers --------------------------
 *     id 8, epoch 2, last sequence 4, last offset 8, offset delta 4, timestamp 8,
 *     coordinator epoch 4, transaction's first offset 8
 */
enum {
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_COUNT_POSITION = 6,
    SNAPSHOT_HEAD_BYTES = 10,
    SNAPSHOT_PRODUCER_BYTES = 46
};

static_assert((int)SNAPSHOT_PIECE_BYTES_MIN >= (int)PRODUCER_ENCODED_BYTES_MAX &&
                  (int)SNAPSHOT_PIECE_BYTES_MIN >= (int)SNAPSHOT_PRODUCER_BYTES,
              "one producer fits a piece");

static void snapshot_producer(const struct producer *producer, uint8_t *at)
{
    struct producer_batch last = {.last_sequence = BATCH_NO_SEQUENCE, .last_offset = -1};
    if (producer->batches_count > 0) {
        last = producer->batches[producer->batches_count - 1];
    }
    big_endian_store64(at, (uint64_t)producer->producer_id);
    big_endian_store16(at + 8, (uint16_t)producer->producer_epoch);
    big_endian_store32(at + 10, (uint32_t)last.last_sequence);
    big_endian_store64(at + 14, (uint64_t)last.last_offset);
    big_endian_store32(at + 22, (uint32_t)last.offset_delta);
    big_endian_store64(at + 26, (uint64_t)producer->last_timestamp);
    big_endian_store32(at + 34, (uint32_t)producer->coordinator_epoch);
    big_endian_store64(at + 38, (uint64_t)producer->txn_first_offset);
}

void producers_snapshot_begin(struct producers_snapshot *snapshot,
                              const struct producers *producers)
{
    *snapshot = (struct producers_snapshot){.producers = producers, .stage = SNAPSHOT_HEAD};
}

/* Of one stage, as many as there is room for. */
static uint8_t *snapshot_some(struct producers_snapshot *snapshot, uint8_t *at, const uint8_t *end)
{
    const struct producer_table *table = &snapshot->producers->table;
    bool is_own = snapshot->stage == SNAPSHOT_OWN;
    size_t bytes_max = is_own ? PRODUCER_ENCODED_BYTES_MAX : SNAPSHOT_PRODUCER_BYTES;
    while (snapshot->next != NO_PRODUCER && (size_t)(end - at) >= bytes_max) {
        const struct producer *producer = producer_at(table, snapshot->next);
        if (is_own) {
            at = encode_producer(producer, at);
        } else {
            snapshot_producer(producer, at);
            at += SNAPSHOT_PRODUCER_BYTES;
        }
        snapshot->next = producer->newer;
    }
    if (snapshot->next == NO_PRODUCER) {
        bool is_large = table->count > STATE_PRODUCERS_MAX;
        snapshot->stage = !is_own && is_large ? SNAPSHOT_OWN_HEAD : SNAPSHOT_END;
    }
    return at;
}

size_t producers_snapshot_next(struct producers_snapshot *snapshot, uint8_t *to, size_t room)
{
    const struct producer_table *table = &snapshot->producers->table;
    uint8_t *at = to, *summed = to;
    assert(room >= SNAPSHOT_PIECE_BYTES_MIN);
    switch (snapshot->stage) {
    case SNAPSHOT_HEAD:
        big_endian_store16(at, SNAPSHOT_VERSION);
        big_endian_store32(at + SNAPSHOT_CRC_POSITION, 0);
        big_endian_store32(at + SNAPSHOT_COUNT_POSITION, table->count);
        at += SNAPSHOT_HEAD_BYTES;
        summed += SNAPSHOT_COUNT_POSITION;
        snapshot->next = table->oldest;
        snapshot->stage = SNAPSHOT_KAFKAS;
        break;
    case SNAPSHOT_OWN_HEAD:
        at = encode_head(snapshot->producers, at);
        snapshot->next = table->oldest;
        snapshot->stage = SNAPSHOT_OWN;
        break;
    case SNAPSHOT_KAFKAS:
    case SNAPSHOT_OWN:
    case SNAPSHOT_END:
        break;
    }
    if (snapshot->stage == SNAPSHOT_KAFKAS || snapshot->stage == SNAPSHOT_OWN) {
        at = snapshot_some(snapshot, at, to + room);
    }
    snapshot->crc = crc32c(snapshot->crc, summed, (size_t)(at - summed));
    return (size_t)(at - to);
}

static int decode_snapshot_producer(struct producers *producers, struct cursor *cursor)
{
    int64_t producer_id = cursor_int64(cursor);
    if (producer_id < 0 || producers_find(producers, producer_id)) {
        return -EBADMSG;
    }
    struct producer *producer = find_or_make(producers, producer_id);
    if (!producer) {
        return -ENOMEM;
    }
    producer->producer_epoch = cursor_int16(cursor);
    struct producer_batch last;
    last.last_sequence = cursor_int32(cursor);
    last.last_offset = cursor_int64(cursor);
    last.offset_delta = cursor_int32(cursor);
    last.timestamp = cursor_int64(cursor);
    producer->last_timestamp = last.timestamp;
    producer->coordinator_epoch = cursor_int32(cursor);
    int64_t txn_first_offset = cursor_int64(cursor);
    producer->txn_first_offset = txn_first_offset < 0 ? NO_TXN : txn_first_offset;
    if (last.last_offset < 0) { /* only a marker is known of it */
        return 0;
    }
    if (!is_possible(&last)) {
        return -EBADMSG;
    }
    add_batch(producer, &last);
    return 0;
}

int producers_snapshot_decode(struct producers *producers, const void *from, size_t bytes)
{
    producers_clear(producers);
    struct cursor cursor;
    cursor_init(&cursor, from, bytes);
    int16_t version = cursor_int16(&cursor);
    uint32_t crc = cursor_uint32(&cursor);
    if (version != SNAPSHOT_VERSION || cursor.failed ||
        crc != crc32c(0, cursor.at, cursor_left(&cursor))) {
        return -EBADMSG;
    }
    int32_t count = cursor_count(&cursor, SNAPSHOT_PRODUCER_BYTES);
    size_t kafkas_bytes = (size_t)count * SNAPSHOT_PRODUCER_BYTES;
    if (!cursor.failed &&
        cursor_left(&cursor) > kafkas_bytes) { /* ours: all of it once more, in full */
        (void)cursor_take(&cursor, kafkas_bytes);
        size_t left = cursor_left(&cursor);
        return producers_decode(producers, cursor_take(&cursor, left), left);
    }
    int result = 0;
    for (int32_t i = 0; i < count && result == 0; i++) {
        result = decode_snapshot_producer(producers, &cursor);
    }
    if (result == 0 && !cursor_is_done(&cursor)) {
        result = -EBADMSG;
    }
    if (result < 0) {
        producers_clear(producers);
    }
    return result;
}
