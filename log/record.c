#include "log/record.h"

#include <assert.h>

struct records records_of(const struct batch *batch, const void *body, size_t bytes)
{
    struct records records = {
        .base_offset = batch->base_offset,
        .base_timestamp = batch->base_timestamp,
        .log_append_time = batch->max_timestamp,
        .is_log_append_time = batch->attributes & BATCH_LOG_APPEND_TIME,
        .records_left = batch->records_count,
        .broken = batch->records_count < 0,
    };
    cursor_init(&records.cursor, body, bytes);
    return records;
}

bool record_start_read(struct record_start *start, struct cursor *cursor)
{
    int32_t bytes = cursor_varint32(cursor);
    const uint8_t *record = cursor->at;
    cursor_int8(cursor); /* attributes: none are defined */
    start->timestamp_delta = cursor_varint64(cursor);
    start->offset_delta = cursor_varint32(cursor);
    if (cursor->failed || bytes < cursor->at - record) {
        return false;
    }
    start->bytes_behind = (uint32_t)(bytes - (cursor->at - record));
    return true;
}

/* A key, value or header's value: any negative length is null, as Kafka reads it. */
static struct view read_view(struct cursor *cursor)
{
    int32_t bytes = cursor_varint32(cursor);
    return bytes < 0 ? VIEW_NULL : cursor_view(cursor, bytes);
}

bool record_headers_next(struct cursor *cursor, struct record_header *header)
{
    if (cursor_left(cursor) == 0) {
        return false;
    }
    header->key = cursor_view(cursor, cursor_varint32(cursor));
    header->value = read_view(cursor);
    return !cursor->failed;
}

bool record_rest_read(struct record *record, struct cursor *rest)
{
    record->key = read_view(rest);
    record->value = read_view(rest);
    record->headers_count = cursor_varint32(rest);
    if (rest->failed || record->headers_count < 0) {
        return false;
    }
    record->headers = view_of(rest->at, (int32_t)cursor_left(rest));
    struct record_header header;
    for (int32_t i = 0; i < record->headers_count; i++) {
        if (!record_headers_next(rest, &header)) {
            return false;
        }
    }
    return cursor_is_done(rest);
}

/* Deltas come from strangers: sums wrap, as Java's do. */
static int64_t sum(int64_t base, int64_t delta)
{
    return (int64_t)((uint64_t)base + (uint64_t)delta);
}

bool records_next(struct records *records, struct record *record)
{
    if (records->broken) {
        return false;
    }
    if (records->records_left == 0) {
        records->broken = !cursor_is_done(&records->cursor);
        return false;
    }
    records->records_left--;
    records->broken = true;
    struct record_start start;
    struct cursor rest;
    if (!record_start_read(&start, &records->cursor) ||
        start.bytes_behind > cursor_left(&records->cursor)) {
        return false;
    }
    cursor_init(&rest, records->cursor.at, start.bytes_behind);
    records->cursor.at += start.bytes_behind;
    records->broken = !record_rest_read(record, &rest);
    int64_t timestamp = sum(records->base_timestamp, start.timestamp_delta);
    record->timestamp = records->is_log_append_time ? records->log_append_time : timestamp;
    record->offset = sum(records->base_offset, start.offset_delta);
    return !records->broken;
}

/* -- writing ----------------------------------------------------------------------------------- */

static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

size_t record_varint_bytes(int64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(zigzag(value) | 1);
    return (bits + 6) / 7;
}

uint8_t *record_varint_write(int64_t value, uint8_t *to)
{
    uint64_t left = zigzag(value);
    for (; left >= 0x80; left >>= 7) {
        *to++ = (uint8_t)(left | 0x80);
    }
    *to++ = (uint8_t)left;
    return to;
}

static size_t view_bytes(struct view view)
{
    return view_is_null(view) ? record_varint_bytes(-1)
                              : record_varint_bytes(view.bytes) + (size_t)view.bytes;
}

static uint8_t *write_raw(struct view view, uint8_t *to)
{
    if (view.bytes > 0) {
        memcpy(to, view.data, (size_t)view.bytes);
        to += view.bytes;
    }
    return to;
}

static uint8_t *write_view(struct view view, uint8_t *to)
{
    return write_raw(view, record_varint_write(view_is_null(view) ? -1 : view.bytes, to));
}

static size_t body_bytes(const struct record *record, int64_t timestamp_delta, int32_t offset_delta)
{
    return 1 + record_varint_bytes(timestamp_delta) + record_varint_bytes(offset_delta) +
           view_bytes(record->key) + view_bytes(record->value) +
           record_varint_bytes(record->headers_count) +
           (record->headers_count > 0 ? (size_t)record->headers.bytes : 0);
}

size_t record_bytes(const struct record *record, int64_t timestamp_delta, int32_t offset_delta)
{
    size_t bytes = body_bytes(record, timestamp_delta, offset_delta);
    return record_varint_bytes((int64_t)bytes) + bytes;
}

uint8_t *record_write(const struct record *record, int64_t timestamp_delta, int32_t offset_delta,
                      uint8_t *to)
{
    size_t bytes = body_bytes(record, timestamp_delta, offset_delta);
    assert(bytes <= INT32_MAX);
    to = record_varint_write((int64_t)bytes, to);
    *to++ = 0;
    to = record_varint_write(timestamp_delta, to);
    to = record_varint_write(offset_delta, to);
    to = write_view(record->key, to);
    to = write_view(record->value, to);
    to = record_varint_write(record->headers_count, to);
    return record->headers_count > 0 ? write_raw(record->headers, to) : to;
}
