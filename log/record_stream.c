#include "log/record_stream.h"

#include "log/record.h"

#include <errno.h>

enum { LENGTH_BYTES_MAX = 5 };

size_t record_stream_memory_bytes(const struct batch *batch)
{
    return body_memory_bytes(batch);
}

int record_stream_start(struct record_stream *stream, const struct batch *batch, void *memory,
                        size_t memory_bytes)
{
    *stream = (struct record_stream){
        .index = -1,
        .records_left = batch->records_count,
        .is_log_append_time = batch->attributes & BATCH_LOG_APPEND_TIME,
        .base_timestamp = batch->base_timestamp,
        .log_append_time = batch->max_timestamp,
    };
    return body_start(&stream->body, batch, memory, memory_bytes);
}

static bool read_start(struct record_stream *stream)
{
    struct record_start start;
    struct cursor cursor;
    cursor_init(&cursor, stream->body.at, body_left(&stream->body));
    if (!record_start_read(&start, &cursor)) {
        return false;
    }
    stream->body.at = cursor.at;
    uint64_t timestamp = (uint64_t)stream->base_timestamp + (uint64_t)start.timestamp_delta;
    stream->timestamp = stream->is_log_append_time ? stream->log_append_time : (int64_t)timestamp;
    stream->offset_delta = start.offset_delta;
    stream->bytes_behind_deltas = stream->record_left = start.bytes_behind;
    return true;
}

/* The rest of a record that lies at hand as a whole. */
static bool read_rest(struct record_stream *stream)
{
    struct record record;
    struct cursor rest;
    cursor_init(&rest, stream->body.at, stream->record_left);
    if (!record_rest_read(&record, &rest)) {
        return false;
    }
    stream->has_key = !view_is_null(record.key);
    stream->body.at += stream->record_left;
    stream->record_left = 0;
    return true;
}

/* -- a record in parts ---------------------------------------------------------------------------- */

/* A varint within the record. */
static bool read_length(struct record_stream *stream, int32_t *value)
{
    size_t left = body_left(&stream->body);
    struct cursor cursor;
    cursor_init(&cursor, stream->body.at, left < stream->record_left ? left : stream->record_left);
    *value = cursor_varint32(&cursor);
    stream->record_left -= (uint32_t)(cursor.at - stream->body.at);
    stream->body.at = cursor.at;
    return !cursor.failed;
}

/* The length of a key or value, to be skipped next; any negative one is null, as Kafka reads it. */
static bool read_skip(struct record_stream *stream, int32_t *bytes)
{
    if (!read_length(stream, bytes)) {
        return false;
    }
    stream->skip_left = *bytes < 0 ? 0 : (uint32_t)*bytes;
    return stream->skip_left <= stream->record_left;
}

static bool skip_is_done(struct record_stream *stream)
{
    size_t left = body_left(&stream->body);
    uint32_t count = left < stream->skip_left ? (uint32_t)left : stream->skip_left;
    stream->body.at += count;
    stream->skip_left -= count;
    stream->record_left -= count;
    return stream->skip_left == 0;
}

/* One part of a record. False: malformed. */
static bool read_part(struct record_stream *stream)
{
    int32_t bytes;
    switch (stream->part) {
    case RECORD_START:
        if (!read_start(stream)) {
            return false;
        }
        if (stream->record_left > BODY_WINDOW_BYTES / 2) {
            stream->part = RECORD_KEY_LENGTH;
        } else if (stream->record_left > body_left(&stream->body)) {
            stream->part = RECORD_REST;
        } else {
            return read_rest(stream);
        }
        return true;
    case RECORD_REST:
        stream->part = RECORD_START;
        return stream->record_left <= body_left(&stream->body) && read_rest(stream);
    case RECORD_KEY_LENGTH:
        stream->part = RECORD_KEY;
        if (!read_skip(stream, &bytes)) {
            return false;
        }
        stream->has_key = bytes >= 0;
        return true;
    case RECORD_KEY:
    case RECORD_VALUE:
    case RECORD_HEADER_KEY:
        if (skip_is_done(stream)) {
            stream->part++;
        }
        return true;
    case RECORD_VALUE_LENGTH:
        stream->part = RECORD_VALUE;
        return read_skip(stream, &bytes);
    case RECORD_HEADERS_COUNT:
        stream->part = RECORD_HEADER_KEY_LENGTH;
        if (!read_length(stream, &bytes)) {
            return false;
        }
        stream->headers_left = (uint32_t)bytes; /* each takes two bytes at least */
        return bytes >= 0 && stream->headers_left <= stream->record_left / 2;
    case RECORD_HEADER_KEY_LENGTH:
        stream->part = RECORD_HEADER_KEY;
        return read_skip(stream, &bytes) && bytes >= 0;
    case RECORD_HEADER_VALUE_LENGTH:
        stream->part = RECORD_HEADER_VALUE;
        return read_skip(stream, &bytes);
    case RECORD_HEADER_VALUE:
        if (skip_is_done(stream)) {
            stream->headers_left--;
            stream->part = RECORD_HEADER_KEY_LENGTH;
        }
        return true;
    }
    return false;
}

/* Bytes to have at hand for the next part. */
static size_t part_wants(const struct record_stream *stream)
{
    switch (stream->part) {
    case RECORD_START:
        return RECORD_START_BYTES_MAX;
    case RECORD_REST:
        return stream->record_left;
    default:
        return stream->skip_left > 0 ? 1 : LENGTH_BYTES_MAX;
    }
}

/* A little more: a part of a record, which may end it, or nothing yet. False: malformed. */
static bool advance(struct record_stream *stream, bool *is_record)
{
    int result = body_fill(&stream->body, part_wants(stream));
    if (result < 0) {
        return result == -EAGAIN;
    }
    if (stream->skip_left > 0 && !body_left(&stream->body)) {
        return false;
    }
    if (!read_part(stream)) {
        return false;
    }
    if (stream->part == RECORD_HEADER_KEY_LENGTH && stream->headers_left == 0) {
        stream->part = RECORD_START;
    }
    *is_record = stream->part == RECORD_START;
    return !*is_record || stream->record_left == 0;
}
/* There should be no more records: is it the end? False: not even that. */
static bool expect_end(struct record_stream *stream, bool *is_end)
{
    int result = body_fill(&stream->body, 1);
    *is_end = result == 0 && body_left(&stream->body) == 0;
    return *is_end || (result == -EAGAIN && body_left(&stream->body) == 0);
}

static void charge(struct record_stream *stream, size_t *budget, const uint8_t *was_at)
{
    size_t used = RECORD_START_BYTES_MAX; /* what is empty costs time as well */
    used += body_is_inflated(&stream->body) ? body_work(&stream->body)
                                            : (size_t)(stream->body.at - was_at);
    *budget -= used < *budget ? used : *budget;
}

enum record_stream_progress record_stream_next(struct record_stream *stream, size_t *budget)
{
    while (!stream->broken) {
        if (*budget == 0) {
            return RECORD_STREAM_MORE;
        }
        const uint8_t *at = stream->body.at;
        bool is_end = false, is_record = false;
        if (stream->part == RECORD_START && stream->records_left <= 0) {
            stream->broken = !expect_end(stream, &is_end);
        } else {
            stream->broken = !advance(stream, &is_record);
        }
        charge(stream, budget, at);
        if (is_end) {
            return RECORD_STREAM_END;
        }
        if (is_record && !stream->broken) {
            stream->index++;
            stream->records_left--;
            return RECORD_STREAM_RECORD;
        }
    }
    return RECORD_STREAM_BROKEN;
}
