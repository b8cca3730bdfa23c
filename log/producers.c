#include "log/producers.h"

#include "core/big_endian.h"
#include "core/crc32c.h"
#include "core/cursor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define NO_PLACE UINT32_MAX
enum { NO_COORDINATOR_EPOCH = -1, NO_TXN = -1 };

void producers_init(struct producers *producers, uint32_t producers_max)
{
    assert(producers_max > 0 && producers_max < INT32_MAX / 2);
    *producers =
        (struct producers){.producers_max = producers_max, .oldest = NO_PLACE, .newest = NO_PLACE};
}

void producers_deinit(struct producers *producers)
{
    free(producers->pool);
    free(producers->slots);
    producers_init(producers, producers->producers_max);
}

void producers_clear(struct producers *producers)
{
    producers_deinit(producers);
}

/* -- the table: producers in a pool, found through open addressing ------------------------------ */

static uint32_t home_slot(const struct producers *producers, int64_t producer_id)
{
    uint64_t mixed = (uint64_t)producer_id * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(mixed >> 32) & (producers->slots_count - 1);
}

/* The slot that holds the id, or the free one where it would be. */
static uint32_t find_slot(const struct producers *producers, int64_t producer_id)
{
    uint32_t slot = home_slot(producers, producer_id);
    while (producers->slots[slot] != 0 &&
           producers->pool[producers->slots[slot] - 1].producer_id != producer_id) {
        slot = (slot + 1) & (producers->slots_count - 1);
    }
    return slot;
}

static struct producer *find(const struct producers *producers, int64_t producer_id)
{
    if (producers->count == 0) {
        return NULL;
    }
    uint32_t place = producers->slots[find_slot(producers, producer_id)];
    return place == 0 ? NULL : &producers->pool[place - 1];
}

const struct producer *producers_find(const struct producers *producers, int64_t producer_id)
{
    return find(producers, producer_id);
}

static int grow(struct producers *producers)
{
    uint32_t room = producers->room ? producers->room * 2 : 1;
    uint32_t slots_count = room < 4 ? 8 : room * 2; /* at most half full */
    struct producer *pool = realloc(producers->pool, room * sizeof(*pool));
    if (!pool) {
        return -ENOMEM;
    }
    producers->pool = pool;
    uint32_t *slots = calloc(slots_count, sizeof(*slots));
    if (!slots) {
        return -ENOMEM;
    }
    free(producers->slots);
    producers->slots = slots;
    producers->slots_count = slots_count;
    producers->room = room;
    for (uint32_t place = 0; place < producers->count; place++) {
        slots[find_slot(producers, pool[place].producer_id)] = place + 1;
    }
    return 0;
}

static void unlink_age(struct producers *producers, const struct producer *producer)
{
    if (producer->older == NO_PLACE) {
        producers->oldest = producer->newer;
    } else {
        producers->pool[producer->older].newer = producer->newer;
    }
    if (producer->newer == NO_PLACE) {
        producers->newest = producer->older;
    } else {
        producers->pool[producer->newer].older = producer->older;
    }
}

static void link_newest(struct producers *producers, uint32_t place)
{
    struct producer *producer = &producers->pool[place];
    producer->older = producers->newest;
    producer->newer = NO_PLACE;
    if (producers->newest == NO_PLACE) {
        producers->oldest = place;
    } else {
        producers->pool[producers->newest].newer = place;
    }
    producers->newest = place;
}

/* Empties the slot, and moves back those behind it that would no longer be found. */
static void empty_slot(struct producers *producers, uint32_t slot)
{
    uint32_t mask = producers->slots_count - 1;
    uint32_t next = slot;
    for (;;) {
        next = (next + 1) & mask;
        if (producers->slots[next] == 0) {
            break;
        }
        uint32_t home =
            home_slot(producers, producers->pool[producers->slots[next] - 1].producer_id);
        if (((next - home) & mask) >= ((next - slot) & mask)) {
            producers->slots[slot] = producers->slots[next];
            slot = next;
        }
    }
    producers->slots[slot] = 0;
}

static void forget(struct producers *producers, uint32_t place)
{
    unlink_age(producers, &producers->pool[place]);
    empty_slot(producers, find_slot(producers, producers->pool[place].producer_id));
    uint32_t last = --producers->count;
    if (place == last) {
        return;
    }
    /* The last one of the pool takes the free place. */
    struct producer *moved = &producers->pool[place];
    producers->slots[find_slot(producers, producers->pool[last].producer_id)] = place + 1;
    *moved = producers->pool[last];
    if (moved->older == NO_PLACE) {
        producers->oldest = place;
    } else {
        producers->pool[moved->older].newer = place;
    }
    if (moved->newer == NO_PLACE) {
        producers->newest = place;
    } else {
        producers->pool[moved->newer].older = place;
    }
}

static void forget_oldest(struct producers *producers)
{
    uint32_t place = producers->oldest;
    while (place != NO_PLACE && producers->pool[place].txn_first_offset != NO_TXN) {
        place = producers->pool[place].newer;
    }
    if (place != NO_PLACE) {
        forget(producers, place);
    }
}

/* The producer, made if it is not there. NULL: no memory. Nothing else fails. */
static struct producer *find_or_make(struct producers *producers, int64_t producer_id)
{
    struct producer *known = find(producers, producer_id);
    if (known) {
        return known;
    }
    if (producers->count >= producers->producers_max) {
        forget_oldest(
            producers); /* nobody, if all have transactions open: their coordinator ends them */
    }
    if (producers->count == producers->room && grow(producers) < 0) {
        return NULL;
    }
    uint32_t place = producers->count++;
    producers->pool[place] = (struct producer){
        .producer_id = producer_id,
        .producer_epoch = BATCH_NO_PRODUCER_EPOCH,
        .coordinator_epoch = NO_COORDINATOR_EPOCH,
        .last_timestamp = BATCH_NO_TIMESTAMP,
        .txn_first_offset = NO_TXN,
    };
    producers->slots[find_slot(producers, producer_id)] = place + 1;
    link_newest(producers, place);
    return &producers->pool[place];
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
    const struct producer *producer = find(producers, batch->producer_id);
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
    if (producer && producer->newer != NO_PLACE) {
        unlink_age(producers, producer);
        link_newest(producers, (uint32_t)(producer - producers->pool));
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
    for (uint32_t place = 0; place < producers->count; place++) {
        int64_t offset = producers->pool[place].txn_first_offset;
        if (offset != NO_TXN && (first == NO_TXN || offset < first)) {
            first = offset;
        }
    }
    return first;
}

uint32_t producers_expire(struct producers *producers, int64_t now_ms, int64_t expiration_ms,
                          uint32_t count_max)
{
    uint32_t forgotten = 0;
    for (uint32_t looked_at = 0; looked_at < count_max && producers->count > 0; looked_at++) {
        if (producers->expire_at >= producers->count) {
            producers->expire_at = 0;
            break; /* once around */
        }
        const struct producer *producer = &producers->pool[producers->expire_at];
        int64_t silent_ms = (int64_t)((uint64_t)now_ms - (uint64_t)producer->last_timestamp);
        if (producer->txn_first_offset == NO_TXN && silent_ms >= expiration_ms) {
            forget(producers, producers->expire_at); /* the last one moves here: look again */
            forgotten++;
        } else {
            producers->expire_at++;
        }
    }
    return forgotten;
}

/*
 * -- STATE: version 1, count, producers from the one that wrote longest ago ----------------------
 *     id 8, epoch 2, batches 1, coordinator epoch 4, timestamp 8, transaction's first offset 8,
 *     and for each batch: last sequence 4, offset delta 4, last offset 8, timestamp 8
 */
enum { ENCODING_VERSION = 1, ENCODED_HEAD = 5, ENCODED_PRODUCER = 31, ENCODED_BATCH = 24 };

size_t producers_encoded_bytes(const struct producers *producers)
{
    size_t bytes = ENCODED_HEAD + (size_t)producers->count * ENCODED_PRODUCER;
    for (uint32_t place = 0; place < producers->count; place++) {
        bytes += (size_t)producers->pool[place].batches_count * ENCODED_BATCH;
    }
    return bytes;
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
    uint8_t *at = to;
    at[0] = ENCODING_VERSION;
    big_endian_store32(at + 1, producers->count);
    at += ENCODED_HEAD;
    for (uint32_t place = producers->oldest; place != NO_PLACE;
         place = producers->pool[place].newer) {
        at = encode_producer(&producers->pool[place], at);
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
    if (cursor->failed || producer_id < 0 || find(producers, producer_id)) {
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
enum { SNAPSHOT_VERSION = 1, SNAPSHOT_CRC = 2, SNAPSHOT_COUNT = 6, SNAPSHOT_HEAD = 10 };
enum { SNAPSHOT_PRODUCER = 46 };

size_t producers_snapshot_bytes(const struct producers *producers)
{
    return SNAPSHOT_HEAD + (size_t)producers->count * SNAPSHOT_PRODUCER;
}

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

void producers_snapshot_encode(const struct producers *producers, void *to)
{
    uint8_t *start = to, *at = start + SNAPSHOT_HEAD;
    for (uint32_t place = producers->oldest; place != NO_PLACE;
         place = producers->pool[place].newer) {
        snapshot_producer(&producers->pool[place], at);
        at += SNAPSHOT_PRODUCER;
    }
    big_endian_store16(start, SNAPSHOT_VERSION);
    big_endian_store32(start + SNAPSHOT_COUNT, producers->count);
    big_endian_store32(start + SNAPSHOT_CRC,
                       crc32c(0, start + SNAPSHOT_COUNT, (size_t)(at - start) - SNAPSHOT_COUNT));
}

static int decode_snapshot_producer(struct producers *producers, struct cursor *cursor)
{
    int64_t producer_id = cursor_int64(cursor);
    if (producer_id < 0 || find(producers, producer_id)) {
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
    int result = 0;
    int32_t count = cursor_count(&cursor, SNAPSHOT_PRODUCER);
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
