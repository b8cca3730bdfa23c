/*
 * record -- one record of a batch, and records in memory one after the other.
 *
 *     length | attributes 0 | timestamp delta | offset delta | key | value | headers
 *
 * All numbers are zigzag varints; a key or value is its length (negative: null) and its bytes.
 * Offsets and timestamps are told from the batch's base. The body of a compressed batch is such a
 * sequence too, as one stream: log/record_stream reads it piece by piece.
 */
#ifndef LOG_RECORD_H
#define LOG_RECORD_H

#include "core/cursor.h"
#include "log/batch.h"

struct record {
    int64_t offset;
    int64_t timestamp;
    struct view key; /* these three point into the batch */
    struct view value;
    struct view headers; /* encoded; record_headers_next reads them */
    int32_t headers_count;
};

struct record_header {
    struct view key; /* never null */
    struct view value;
};

/* The records of a batch whose body lies decoded in memory:
 *
 *     struct records records = records_of(&batch, body, bytes);
 *     while (records_next(&records, &record)) { ... }
 *     if (records.broken) ...
 *
 * broken: the body is not exactly batch->records_count well-formed records. */
struct records {
    struct cursor cursor;
    int64_t base_offset;
    int64_t base_timestamp;
    int64_t log_append_time; /* BATCH_NO_TIMESTAMP: each record has its own */
    int32_t records_left;
    bool is_log_append_time;
    bool broken;
};

struct records records_of(const struct batch *batch, const void *body, size_t bytes);
[[nodiscard]] bool records_next(struct records *records, struct record *record);

/* -- one record, in two halves ------------------------------------------------------------------- */

struct record_start { /* its length, attributes, and the two deltas */
    int64_t timestamp_delta;
    int32_t offset_delta;
    uint32_t bytes_behind; /* the deltas: key, value and headers */
};
enum { RECORD_START_BYTES_MAX = 5 + 1 + 10 + 5 };

/* Steps over it. False: malformed. */
[[nodiscard]] bool record_start_read(struct record_start *start, struct cursor *cursor);

/* rest: of exactly bytes_behind. Sets key, value and headers. False: malformed. */
[[nodiscard]] bool record_rest_read(struct record *record, struct cursor *rest);

/* The headers one by one; start with a cursor over record->headers. They are known to be whole. */
[[nodiscard]] bool record_headers_next(struct cursor *cursor, struct record_header *header);

/* Bytes that the record takes, told from the batch's base. */
size_t record_bytes(const struct record *record, int64_t timestamp_delta, int32_t offset_delta);
/* Writes it; `to` has room for record_bytes(). Returns the end of what was written. */
uint8_t *record_write(const struct record *record, int64_t timestamp_delta, int32_t offset_delta,
                      uint8_t *to);

/* Zigzag varints, for who writes records piece by piece. */
enum { RECORD_VARINT_BYTES_MAX = 10 };
size_t record_varint_bytes(int64_t value);
uint8_t *record_varint_write(int64_t value, uint8_t *to);

#endif
