/*
 * batch -- Kafka's RecordBatch, version 2: the unit that is sent, stored and read.
 *
 *     0            8       12      16     17   21          23                 27
 *     | base offset| length| epoch |magic | crc| attributes| last offset delta| base timestamp ..
 *     |<- not counted --->|               by length                           35
 *     |<------- outside the CRC -------------->|     .. | max timestamp | producer id | ..
 *                                                      35              43            51
 *     .. producer epoch | base sequence | records count | records, or one stream that holds them
 *       51              53              57              61
 *
 * What changes when a log takes a batch in (base offset, leader epoch) lies outside the CRC, so
 * the bytes are stored as they came. All numbers have their most significant byte first.
 *
 * A `struct batch` is a header read out, and a pointer to the bytes, which somebody else holds.
 */
#ifndef LOG_BATCH_H
#define LOG_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum batch_position { /* of each field */
                      BATCH_BASE_OFFSET = 0,
                      BATCH_LENGTH = 8,
                      BATCH_PARTITION_LEADER_EPOCH = 12,
                      BATCH_MAGIC = 16,
                      BATCH_CRC = 17,
                      BATCH_ATTRIBUTES = 21,
                      BATCH_LAST_OFFSET_DELTA = 23,
                      BATCH_BASE_TIMESTAMP = 27,
                      BATCH_MAX_TIMESTAMP = 35,
                      BATCH_PRODUCER_ID = 43,
                      BATCH_PRODUCER_EPOCH = 51,
                      BATCH_BASE_SEQUENCE = 53,
                      BATCH_RECORDS_COUNT = 57,
                      BATCH_HEADER_BYTES = 61,
                      BATCH_PREFIX_BYTES =
                          12, /* base offset and length: what length does not count */
};

enum batch_attribute {
    BATCH_CODEC_MASK = 0x07, /* enum codec */
    BATCH_LOG_APPEND_TIME = 0x08,
    BATCH_TRANSACTIONAL = 0x10,
    BATCH_CONTROL = 0x20,
    BATCH_DELETE_HORIZON = 0x40, /* base timestamp then says when tombstones may go */
};

/* What stands in a field that does not apply. */
#define BATCH_NO_TIMESTAMP INT64_C(-1)
#define BATCH_NO_PRODUCER_ID INT64_C(-1)
enum { BATCH_NO_PRODUCER_EPOCH = -1, BATCH_NO_SEQUENCE = -1, BATCH_NO_LEADER_EPOCH = -1 };

struct batch {
    const uint8_t *bytes; /* the whole batch; whoever made the view keeps them alive */
    uint32_t batch_bytes; /* all of it, prefix included */
    uint32_t crc;         /* as it claims */
    int64_t base_offset;
    int32_t last_offset_delta;
    int32_t partition_leader_epoch;
    int32_t records_count;
    int16_t attributes;
    int16_t producer_epoch;
    int32_t base_sequence;
    int64_t producer_id;
    int64_t base_timestamp;
    int64_t max_timestamp;
};

enum batch_state {
    BATCH_WHOLE,  /* the view is filled in */
    BATCH_TORN,   /* so far it may be one; more bytes are needed than are there */
    BATCH_BROKEN, /* no batch of version 2 starts here */
};

/* Look at what may be a batch at the start of `bytes`. Checks length and magic, not the CRC. */
[[nodiscard]] enum batch_state batch_parse(struct batch *batch, const void *bytes,
                                           size_t bytes_left);

/* A CRC is that much faster than looking at records, or inflating them (units of core/inflate.h). */
enum { BATCH_CRC_BYTES_PER_WORK = 16 };

/* Lengthens a CRC that has come from BATCH_ATTRIBUTES to *at by as much as *work allows, and lowers
 * it; true: to the end. */
[[nodiscard]] bool batch_crc_advance(const void *bytes, uint32_t batch_bytes, uint32_t *at,
                                     uint32_t *crc, size_t *work);

/* The CRC over everything that it covers; batch_crc(batch) == batch->crc says the bytes are good. */
[[nodiscard]] uint32_t batch_crc(const struct batch *batch);
[[nodiscard]] bool batch_is_intact(const struct batch *batch);

static inline int64_t batch_last_offset(const struct batch *batch)
{
    return (int64_t)((uint64_t)batch->base_offset + (uint64_t)(int64_t)batch->last_offset_delta);
}

static inline int batch_codec(const struct batch *batch)
{
    return batch->attributes & BATCH_CODEC_MASK;
}

static inline bool batch_has_producer(const struct batch *batch)
{
    return batch->producer_id > BATCH_NO_PRODUCER_ID;
}

/* Sequences run from 0 to INT32_MAX and start again at 0. */
int32_t batch_sequence_add(int32_t sequence, int32_t increment);
int32_t batch_sequence_sub(int32_t sequence, int32_t decrement);
int32_t batch_last_sequence(const struct batch *batch); /* BATCH_NO_SEQUENCE if it has none */

/* -- changing a batch in place ----------------------------------------------------------------- */

/* As the log takes it in. Outside the CRC. */
void batch_place(void *bytes, int64_t base_offset, int32_t partition_leader_epoch);

/* The timestamp type and largest timestamp that the broker vouches for; if they differ from what
 * stands there, the CRC, which is good, changes with them, and bits of the attributes that mean
 * nothing are cleared. */
void batch_stamp(void *bytes, size_t batch_bytes, bool log_append_time, int64_t max_timestamp);

/* -- walking ------------------------------------------------------------------------------------
 * Batches end to end, as in a segment, a fetch or a produce request:
 *
 *     struct batch_walk walk = batch_walk(bytes, count);
 *     while (batch_walk_next(&walk, &batch)) { ... }
 *     if (walk.state == BATCH_BROKEN) ...             (BATCH_WHOLE: all of the bytes were batches)
 */
struct batch_walk {
    const uint8_t *at; /* where the next one starts, or what could not be walked */
    size_t bytes_left;
    enum batch_state state;
};

static inline struct batch_walk batch_walk(const void *bytes, size_t bytes_left)
{
    return (struct batch_walk){.at = bytes, .bytes_left = bytes_left, .state = BATCH_WHOLE};
}

[[nodiscard]] bool batch_walk_next(struct batch_walk *walk, struct batch *batch);

/* -- building ------------------------------------------------------------------------------------
 * Records are appended behind the room for a header, uncompressed; batch_build_end writes the
 * header. For what the broker itself writes: control records, coordinators, cluster metadata.
 */
struct batch_builder {
    uint8_t *bytes; /* the caller's */
    size_t bytes_max;
    size_t bytes_used;
    bool overflow; /* sticky: something did not fit */
    int32_t records_count;
    int64_t base_timestamp; /* of the first record */
    int64_t max_timestamp;
};

struct record;

void batch_build_start(struct batch_builder *builder, void *bytes, size_t bytes_max);
/* record: timestamp, key, value and headers are taken; its offset is its place in the batch. */
void batch_build_record(struct batch_builder *builder, const struct record *record);
/* header: everything but crc, counts and timestamps. Returns the batch's bytes; 0: did not fit. */
[[nodiscard]] size_t batch_build_end(struct batch_builder *builder, const struct batch *header);

/* A header over records that already lie at bytes + BATCH_HEADER_BYTES, length included; all but its
 * CRC. */
void batch_write_header(void *bytes, const struct batch *header, uint32_t batch_bytes);
/* ... and the CRC. */
void batch_seal(void *bytes, const struct batch *header, uint32_t batch_bytes);

#endif
