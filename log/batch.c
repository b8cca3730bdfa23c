#include "log/batch.h"

#include "core/big_endian.h"
#include "core/crc32c.h"
#include "log/record.h"

#include <assert.h>

enum { MAGIC = 2 };

/* What stands in the 49 bytes behind the length at least; also what bounds it from above. */
enum { LENGTH_MIN = BATCH_HEADER_BYTES - BATCH_PREFIX_BYTES };

enum {
    STAMPED_END = BATCH_MAX_TIMESTAMP + 8, /* from the attributes up to here a stamp writes */
    SUMMED_BYTES_MAX = 32 << 10,           /* a longer batch is not read again for it */
};

enum batch_state batch_parse(struct batch *batch, const void *bytes, size_t bytes_left)
{
    const uint8_t *at = bytes;
    if (bytes_left > BATCH_MAGIC && at[BATCH_MAGIC] != MAGIC) {
        return BATCH_BROKEN;
    }
    if (bytes_left < BATCH_PREFIX_BYTES) {
        return BATCH_TORN;
    }
    int32_t length = (int32_t)big_endian_load32(at + BATCH_LENGTH);
    if (length < LENGTH_MIN || length > INT32_MAX - BATCH_PREFIX_BYTES) {
        return BATCH_BROKEN;
    }
    if (bytes_left < (size_t)length + BATCH_PREFIX_BYTES) {
        return BATCH_TORN;
    }
    *batch = (struct batch){
        .bytes = at,
        .batch_bytes = (uint32_t)length + BATCH_PREFIX_BYTES,
        .crc = big_endian_load32(at + BATCH_CRC),
        .base_offset = (int64_t)big_endian_load64(at + BATCH_BASE_OFFSET),
        .last_offset_delta = (int32_t)big_endian_load32(at + BATCH_LAST_OFFSET_DELTA),
        .partition_leader_epoch = (int32_t)big_endian_load32(at + BATCH_PARTITION_LEADER_EPOCH),
        .records_count = (int32_t)big_endian_load32(at + BATCH_RECORDS_COUNT),
        .attributes = (int16_t)big_endian_load16(at + BATCH_ATTRIBUTES),
        .producer_epoch = (int16_t)big_endian_load16(at + BATCH_PRODUCER_EPOCH),
        .base_sequence = (int32_t)big_endian_load32(at + BATCH_BASE_SEQUENCE),
        .producer_id = (int64_t)big_endian_load64(at + BATCH_PRODUCER_ID),
        .base_timestamp = (int64_t)big_endian_load64(at + BATCH_BASE_TIMESTAMP),
        .max_timestamp = (int64_t)big_endian_load64(at + BATCH_MAX_TIMESTAMP),
    };
    return BATCH_WHOLE;
}

uint32_t batch_crc(const struct batch *batch)
{
    return crc32c(0, batch->bytes + BATCH_ATTRIBUTES, batch->batch_bytes - BATCH_ATTRIBUTES);
}

bool batch_crc_advance(const void *bytes, uint32_t batch_bytes, uint32_t *at, uint32_t *crc,
                       size_t *work)
{
    uint32_t left = batch_bytes - *at;
    uint32_t piece = left / BATCH_CRC_BYTES_PER_WORK < *work
                         ? left
                         : (uint32_t)(*work * BATCH_CRC_BYTES_PER_WORK);
    *crc = crc32c(*crc, (const uint8_t *)bytes + *at, piece);
    *at += piece;
    *work -= piece / BATCH_CRC_BYTES_PER_WORK;
    return piece == left;
}

bool batch_is_intact(const struct batch *batch)
{
    return batch_crc(batch) == batch->crc;
}

/* A sequence, and a step forwards, are at most INT32_MAX, so 64 bits hold all that comes here. */
static int32_t sequence_wrap(int64_t sequence)
{
    return (int32_t)((uint64_t)sequence & INT32_MAX);
}

int32_t batch_sequence_add(int32_t sequence, int32_t increment)
{
    return sequence_wrap((int64_t)sequence + increment);
}

int32_t batch_sequence_sub(int32_t sequence, int32_t decrement)
{
    return sequence_wrap((int64_t)sequence - decrement);
}

int32_t batch_last_sequence(const struct batch *batch)
{
    if (batch->base_sequence == BATCH_NO_SEQUENCE) {
        return BATCH_NO_SEQUENCE;
    }
    return batch_sequence_add(batch->base_sequence, batch->last_offset_delta);
}

/* -- changing ---------------------------------------------------------------------------------- */

void batch_place(void *bytes, int64_t base_offset, int32_t partition_leader_epoch)
{
    big_endian_store64((uint8_t *)bytes + BATCH_BASE_OFFSET, (uint64_t)base_offset);
    big_endian_store32((uint8_t *)bytes + BATCH_PARTITION_LEADER_EPOCH,
                       (uint32_t)partition_leader_epoch);
}

void batch_stamp(void *bytes, size_t batch_bytes, bool log_append_time, int64_t max_timestamp)
{
    assert(batch_bytes >= BATCH_HEADER_BYTES);
    uint8_t *at = bytes;
    uint16_t attributes = big_endian_load16(at + BATCH_ATTRIBUTES);
    bool was_append_time = attributes & BATCH_LOG_APPEND_TIME;
    if (was_append_time == log_append_time &&
        (int64_t)big_endian_load64(at + BATCH_MAX_TIMESTAMP) == max_timestamp) {
        return;
    }
    uint32_t was = crc32c(0, at + BATCH_ATTRIBUTES, STAMPED_END - BATCH_ATTRIBUTES);
    attributes &= BATCH_CODEC_MASK | BATCH_TRANSACTIONAL | BATCH_CONTROL | BATCH_DELETE_HORIZON;
    attributes |= log_append_time ? BATCH_LOG_APPEND_TIME : 0;
    big_endian_store16(at + BATCH_ATTRIBUTES, attributes);
    big_endian_store64(at + BATCH_MAX_TIMESTAMP, (uint64_t)max_timestamp);
    uint32_t is = crc32c(0, at + BATCH_ATTRIBUTES, STAMPED_END - BATCH_ATTRIBUTES);
    uint32_t crc =
        batch_bytes > SUMMED_BYTES_MAX
            ? crc32c_changed(big_endian_load32(at + BATCH_CRC), was, is, batch_bytes - STAMPED_END)
            : crc32c(is, at + STAMPED_END, batch_bytes - STAMPED_END);
    big_endian_store32(at + BATCH_CRC, crc);
}

/* -- walking ----------------------------------------------------------------------------------- */

bool batch_walk_next(struct batch_walk *walk, struct batch *batch)
{
    if (walk->bytes_left == 0 || walk->state != BATCH_WHOLE) {
        return false;
    }
    walk->state = batch_parse(batch, walk->at, walk->bytes_left);
    if (walk->state != BATCH_WHOLE) {
        return false;
    }
    walk->at += batch->batch_bytes;
    walk->bytes_left -= batch->batch_bytes;
    return true;
}

/* -- building ---------------------------------------------------------------------------------- */

void batch_build_start(struct batch_builder *builder, void *bytes, size_t bytes_max)
{
    *builder = (struct batch_builder){
        .bytes = bytes,
        .bytes_max = bytes_max < INT32_MAX ? bytes_max : INT32_MAX,
        .bytes_used = BATCH_HEADER_BYTES,
        .overflow = bytes_max < BATCH_HEADER_BYTES,
        .base_timestamp = BATCH_NO_TIMESTAMP,
        .max_timestamp = BATCH_NO_TIMESTAMP,
    };
}

void batch_build_record(struct batch_builder *builder, const struct record *record)
{
    if (builder->records_count == 0) {
        builder->base_timestamp = record->timestamp;
    }
    int64_t timestamp_delta = record->timestamp - builder->base_timestamp;
    size_t bytes = record_bytes(record, timestamp_delta, builder->records_count);
    if (builder->overflow || bytes > builder->bytes_max - builder->bytes_used) {
        builder->overflow = true;
        return;
    }
    record_write(record, timestamp_delta, builder->records_count,
                 builder->bytes + builder->bytes_used);
    builder->bytes_used += bytes;
    builder->records_count++;
    if (record->timestamp > builder->max_timestamp) {
        builder->max_timestamp = record->timestamp;
    }
}

size_t batch_build_end(struct batch_builder *builder, const struct batch *header)
{
    if (builder->overflow || builder->records_count == 0) {
        return 0;
    }
    struct batch sealed = *header;
    sealed.records_count = builder->records_count;
    sealed.last_offset_delta = builder->records_count - 1;
    sealed.base_timestamp = builder->base_timestamp;
    sealed.max_timestamp = builder->max_timestamp;
    batch_seal(builder->bytes, &sealed, (uint32_t)builder->bytes_used);
    return builder->bytes_used;
}

void batch_write_header(void *bytes, const struct batch *header, uint32_t batch_bytes)
{
    assert(batch_bytes >= BATCH_HEADER_BYTES && batch_bytes <= INT32_MAX);
    uint8_t *at = bytes;
    big_endian_store64(at + BATCH_BASE_OFFSET, (uint64_t)header->base_offset);
    big_endian_store32(at + BATCH_LENGTH, batch_bytes - BATCH_PREFIX_BYTES);
    big_endian_store32(at + BATCH_PARTITION_LEADER_EPOCH, (uint32_t)header->partition_leader_epoch);
    at[BATCH_MAGIC] = MAGIC;
    big_endian_store16(at + BATCH_ATTRIBUTES, (uint16_t)header->attributes);
    big_endian_store32(at + BATCH_LAST_OFFSET_DELTA, (uint32_t)header->last_offset_delta);
    big_endian_store64(at + BATCH_BASE_TIMESTAMP, (uint64_t)header->base_timestamp);
    big_endian_store64(at + BATCH_MAX_TIMESTAMP, (uint64_t)header->max_timestamp);
    big_endian_store64(at + BATCH_PRODUCER_ID, (uint64_t)header->producer_id);
    big_endian_store16(at + BATCH_PRODUCER_EPOCH, (uint16_t)header->producer_epoch);
    big_endian_store32(at + BATCH_BASE_SEQUENCE, (uint32_t)header->base_sequence);
    big_endian_store32(at + BATCH_RECORDS_COUNT, (uint32_t)header->records_count);
}

void batch_seal(void *bytes, const struct batch *header, uint32_t batch_bytes)
{
    batch_write_header(bytes, header, batch_bytes);
    uint8_t *at = bytes;
    big_endian_store32(at + BATCH_CRC,
                       crc32c(0, at + BATCH_ATTRIBUTES, batch_bytes - BATCH_ATTRIBUTES));
}
