#include "log/validate.h"

#include "log/record.h"

#include <assert.h>

static enum validation_progress end(struct validation *validation, enum refusal refusal,
                                    const char *why)
{
    validation->refusal = refusal;
    validation->why = why;
    validation->state = VALIDATION_ENDED;
    return VALIDATION_DONE;
}

static bool looks_at_records(const struct validation *validation)
{
    return !validation->rules->headers_only || validation->must_rebuild;
}

/* -- the header --------------------------------------------------------------------------------- */

/* Is it one batch of a kind that we take, from its first byte to its last? */
static const char *frame_fault(struct validation *validation, const uint8_t *bytes, size_t count,
                               enum refusal *refusal)
{
    struct batch *batch = &validation->batch;
    struct batch next;
    *refusal = REFUSAL_INVALID_RECORD;
    if (count == 0) {
        return "no batch";
    }
    if (count > BATCH_MAGIC && bytes[BATCH_MAGIC] != 2) {
        return "batch of another version than 2";
    }
    *refusal = REFUSAL_CORRUPT_MESSAGE;
    if (batch_parse(batch, bytes, count) != BATCH_WHOLE) {
        return "batch cut short, or of a length that cannot be";
    }
    size_t behind = count - batch->batch_bytes;
    if (behind > 0 && batch_parse(&next, bytes + batch->batch_bytes, behind) != BATCH_WHOLE) {
        return "bytes behind the batch";
    }
    *refusal = REFUSAL_INVALID_RECORD;
    if (behind > 0) {
        return "more than one batch";
    }
    *refusal = REFUSAL_UNSUPPORTED_COMPRESSION_TYPE;
    int codec = batch_codec(batch);
    if (codec >= CODECS || (codec == CODEC_ZSTD && !validation->rules->zstd_allowed)) {
        return "codec not known, or not in this version of the request";
    }
    *refusal = REFUSAL_INVALID_RECORD;
    if (batch->base_offset != 0) {
        return "base offset is not 0";
    }
    *refusal = REFUSAL_MESSAGE_TOO_LARGE;
    if (batch->batch_bytes > validation->rules->batch_bytes_max) {
        return "batch larger than max.message.bytes";
    }
    *refusal = REFUSAL_NONE;
    return NULL;
}

/* Does the header make sense, its bytes being what the client meant? */
static const char *header_fault(const struct batch *batch)
{
    if (batch->last_offset_delta < 0 || batch->records_count <= 0) {
        return "no records";
    }
    if ((int64_t)batch->last_offset_delta + 1 != batch->records_count) {
        return "count of records and last offset delta differ";
    }
    if (batch->attributes & BATCH_CONTROL) {
        return "control batch from a client";
    }
    if (batch_has_producer(batch) && batch->base_sequence < 0) {
        return "producer id without a sequence";
    }
    return NULL;
}

enum validation_progress validation_start(struct validation *validation,
                                          const struct validation_rules *rules, const void *bytes,
                                          size_t count)
{
    *validation = (struct validation){
        .rules = rules,
        .log_append_time = rules->log_append_time,
        .max_timestamp = BATCH_NO_TIMESTAMP,
        .crc_at = BATCH_ATTRIBUTES,
    };
    enum refusal refusal;
    const char *fault = frame_fault(validation, bytes, count, &refusal);
    if (fault) {
        return end(validation, refusal, fault);
    }
    const struct batch *batch = &validation->batch;
    validation->codec = rules->keeps_codec ? (enum codec)batch_codec(batch) : rules->codec;
    validation->must_rebuild = validation->codec != (enum codec)batch_codec(batch);
    if (looks_at_records(validation)) {
        return VALIDATION_MORE;
    }
    bool says_append_time = batch->attributes & BATCH_LOG_APPEND_TIME;
    fault = header_fault(batch);
    if (fault) {
        return end(validation, REFUSAL_INVALID_RECORD, fault);
    }
    if (rules->log_append_time && says_append_time) {
        return end(validation, REFUSAL_INVALID_TIMESTAMP, "producer set LogAppendTime");
    }
    validation->max_timestamp = rules->log_append_time ? rules->now_ms : batch->max_timestamp;
    validation->must_stamp = rules->log_append_time || says_append_time;
    /* Who changes bytes vouches for them: then the CRC is checked first, else where they go. */
    return validation->must_stamp ? VALIDATION_MORE : end(validation, REFUSAL_NONE, NULL);
}

size_t validation_memory_bytes(const struct validation *validation)
{
    return looks_at_records(validation) ? record_stream_memory_bytes(&validation->batch) : 0;
}

void validation_give_memory(struct validation *validation, void *memory, size_t bytes)
{
    validation->memory = memory;
    validation->memory_bytes = bytes;
}

/* -- records ------------------------------------------------------------------------------------ */

static void add_error(struct validation *validation, enum validation_error error)
{
    if (validation->errors_count < VALIDATION_ERRORS_MAX) {
        validation->errors[validation->errors_count].record_index = validation->stream.index;
        validation->errors[validation->errors_count].error = error;
    }
    validation->errors_count++;
    validation->has_timestamp_error |= error != VALIDATION_NO_KEY;
}

/* Differences wrap, as Java's do. */
static bool is_out_of_range(const struct validation_rules *rules, int64_t timestamp)
{
    int64_t age = (int64_t)((uint64_t)rules->now_ms - (uint64_t)timestamp);
    int64_t ahead = (int64_t)(0 - (uint64_t)age);
    return age > rules->before_max_ms || ahead > rules->after_max_ms;
}

/* What the record takes in a batch that is built anew. */
static size_t rebuilt_bytes(const struct validation *validation)
{
    const struct record_stream *stream = &validation->stream;
    uint64_t delta = (uint64_t)stream->timestamp - (uint64_t)validation->first_timestamp;
    size_t bytes = 1 + record_varint_bytes((int64_t)delta) + record_varint_bytes(stream->index) +
                   stream->bytes_behind_deltas;
    return record_varint_bytes((int64_t)bytes) + bytes;
}

/* False: the batch is to be refused at once. */
static bool look_at_record(struct validation *validation)
{
    const struct validation_rules *rules = validation->rules;
    const struct record_stream *stream = &validation->stream;
    bool is_checked = !rules->log_append_time && stream->timestamp != BATCH_NO_TIMESTAMP;
    if (stream->index == 0) {
        validation->first_timestamp = stream->timestamp;
    }
    if (rules->compacted && !stream->has_key) {
        add_error(validation, VALIDATION_NO_KEY);
    } else if (is_checked && is_out_of_range(rules, stream->timestamp)) {
        add_error(validation, VALIDATION_TIMESTAMP_OUT_OF_RANGE);
    } else if (!is_checked && (validation->batch.attributes & BATCH_LOG_APPEND_TIME)) {
        add_error(validation, VALIDATION_TIMESTAMP_TYPE);
    }
    if (stream->timestamp > validation->max_timestamp) {
        validation->max_timestamp = stream->timestamp;
    }
    if (validation->codec != CODEC_NONE || validation->must_rebuild) {
        validation->plain_bytes += rebuilt_bytes(validation);
    }
    if (stream->offset_delta != stream->index) {
        if (validation->codec == CODEC_NONE && !validation->must_rebuild) {
            return false;
        }
        validation->must_rebuild = true;
    }
    return true;
}

static enum validation_progress end_records(struct validation *validation)
{
    if (validation->has_timestamp_error) {
        return end(validation, REFUSAL_INVALID_TIMESTAMP,
                   "One or more records have been rejected due to invalid timestamp");
    }
    if (validation->errors_count > 0) {
        return end(validation, REFUSAL_INVALID_RECORD,
                   "One or more records have been rejected: no key on a compacted topic");
    }
    const struct batch *batch = &validation->batch;
    bool says_append_time = batch->attributes & BATCH_LOG_APPEND_TIME;
    if (validation->log_append_time) {
        validation->max_timestamp = validation->rules->now_ms;
    }
    validation->must_stamp =
        !validation->must_rebuild && (says_append_time != validation->log_append_time ||
                                      batch->max_timestamp != validation->max_timestamp);
    return end(validation, REFUSAL_NONE, NULL);
}

/* -- steps -------------------------------------------------------------------------------------- */

static enum validation_progress check_crc(struct validation *validation, size_t *budget)
{
    const struct batch *batch = &validation->batch;
    if (!batch_crc_advance(batch->bytes, batch->batch_bytes, &validation->crc_at, &validation->crc,
                           budget)) {
        return VALIDATION_MORE;
    }
    if (validation->crc != batch->crc) {
        return end(validation, REFUSAL_CORRUPT_MESSAGE, "CRC differs");
    }
    validation->is_crc_checked = true;
    if (!looks_at_records(validation)) {
        return end(validation, REFUSAL_NONE, NULL);
    }
    const char *fault = header_fault(batch);
    if (fault) {
        return end(validation, REFUSAL_INVALID_RECORD, fault);
    }
    if (record_stream_start(&validation->stream, batch, validation->memory,
                            validation->memory_bytes) < 0) {
        return end(validation, REFUSAL_INVALID_RECORD, "records are no stream of their codec");
    }
    validation->state = VALIDATION_RECORDS;
    return VALIDATION_MORE;
}

static enum validation_progress check_records(struct validation *validation, size_t *budget)
{
    for (;;) {
        switch (record_stream_next(&validation->stream, budget)) {
        case RECORD_STREAM_RECORD:
            if (!look_at_record(validation)) {
                return end(validation, REFUSAL_INVALID_RECORD, "offset deltas are not 0, 1, 2 ..");
            }
            break;
        case RECORD_STREAM_MORE:
            return VALIDATION_MORE;
        case RECORD_STREAM_END:
            return end_records(validation);
        case RECORD_STREAM_BROKEN:
            return end(validation, REFUSAL_INVALID_RECORD,
                       "records are malformed, or not as many as the batch says");
        }
    }
}

enum validation_progress validation_step(struct validation *validation, size_t *budget)
{
    enum validation_progress progress = VALIDATION_MORE;
    if (validation->state == VALIDATION_CRC) {
        progress = check_crc(validation, budget);
    }
    if (validation->state == VALIDATION_RECORDS) {
        progress = check_records(validation, budget);
    }
    return validation->state == VALIDATION_ENDED ? VALIDATION_DONE : progress;
}
