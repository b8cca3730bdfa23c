#include "log/rebuild.h"

#include "core/big_endian.h"
#include "log/record.h"

#include <assert.h>
#include <errno.h>

enum { COPY_BYTES_MAX = 16 << 10 }; /* a block to be compressed at most, before it is counted */

static size_t aligned(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

size_t rebuild_memory_bytes(const struct validation *validation, int codec_level)
{
    return aligned(body_memory_bytes(&validation->batch)) +
           deflate_memory_bytes(validation->codec, codec_level, validation->plain_bytes);
}

void rebuild_start(struct rebuild *rebuild, const struct validation *validation, int codec_level,
                   void *memory, size_t memory_bytes, void *into, size_t bytes_max)
{
    assert(validation->must_rebuild && validation->refusal == REFUSAL_NONE);
    *rebuild = (struct rebuild){
        .is_slow = deflate_is_slow(validation->codec, codec_level),
        .validation = validation,
        .into = into,
        .crc_at = BATCH_ATTRIBUTES,
    };
    if (bytes_max < BATCH_HEADER_BYTES) {
        rebuild->refusal = REFUSAL_MESSAGE_TOO_LARGE;
        return;
    }
    size_t body_bytes = aligned(body_memory_bytes(&validation->batch));
    assert(memory_bytes >= body_bytes);
    int result = body_start(&rebuild->body, &validation->batch, memory, body_bytes);
    assert(result == 0); /* validation read it to its end */
    deflate_start(&rebuild->deflate, validation->codec, codec_level, validation->plain_bytes,
                  (uint8_t *)memory + body_bytes, memory_bytes - body_bytes,
                  rebuild->into + BATCH_HEADER_BYTES, bytes_max - BATCH_HEADER_BYTES);
}

static void write_start(struct rebuild *rebuild)
{
    const struct batch *batch = &rebuild->validation->batch;
    struct record_start start;
    struct cursor cursor;
    cursor_init(&cursor, rebuild->body.at, body_left(&rebuild->body));
    bool is_read = record_start_read(&start, &cursor);
    assert(is_read);
    rebuild->body.at = cursor.at;
    uint64_t timestamp = (uint64_t)batch->base_timestamp + (uint64_t)start.timestamp_delta;
    if (batch->attributes & BATCH_LOG_APPEND_TIME) {
        timestamp = (uint64_t)batch->max_timestamp;
    }
    if (rebuild->records_done == 0) {
        rebuild->base_timestamp = (int64_t)timestamp;
    }
    int64_t delta = (int64_t)(timestamp - (uint64_t)rebuild->base_timestamp);
    int64_t bytes = 1 + (int64_t)record_varint_bytes(delta) +
                    (int64_t)record_varint_bytes(rebuild->records_done) + start.bytes_behind;
    uint8_t written[RECORD_START_BYTES_MAX];
    uint8_t *at = record_varint_write(bytes, written);
    *at++ = 0;
    at = record_varint_write(delta, at);
    at = record_varint_write(rebuild->records_done, at);
    /* What does not fit is noticed at the end: it is sticky. */
    (void)!deflate_write(&rebuild->deflate, written, (size_t)(at - written));
    rebuild->record_left = start.bytes_behind;
    rebuild->records_done++;
}

static size_t copy_behind(struct rebuild *rebuild, size_t budget)
{
    size_t count = body_left(&rebuild->body);
    count = count < rebuild->record_left ? count : rebuild->record_left;
    count = count < budget ? count : budget;
    count = count < COPY_BYTES_MAX ? count : COPY_BYTES_MAX;
    (void)!deflate_write(&rebuild->deflate, rebuild->body.at, count);
    rebuild->body.at += count;
    rebuild->record_left -= (uint32_t)count;
    return count;
}

static void end(struct rebuild *rebuild)
{
    const struct validation *validation = rebuild->validation;
    if (deflate_end(&rebuild->deflate) < 0) {
        rebuild->refusal = REFUSAL_MESSAGE_TOO_LARGE;
        return;
    }
    struct batch header = validation->batch;
    header.attributes = (int16_t)(validation->codec | (header.attributes & BATCH_TRANSACTIONAL) |
                                  (validation->log_append_time ? BATCH_LOG_APPEND_TIME : 0));
    header.base_timestamp = rebuild->base_timestamp;
    header.max_timestamp = validation->max_timestamp;
    rebuild->batch_bytes = (uint32_t)(BATCH_HEADER_BYTES + rebuild->deflate.bytes_used);
    batch_write_header(rebuild->into, &header, rebuild->batch_bytes);
}

static enum validation_progress seal(struct rebuild *rebuild, size_t *budget)
{
    if (!batch_crc_advance(rebuild->into, rebuild->batch_bytes, &rebuild->crc_at, &rebuild->crc,
                           budget)) {
        return VALIDATION_MORE;
    }
    big_endian_store32(rebuild->into + BATCH_CRC, rebuild->crc);
    return VALIDATION_DONE;
}

/* What was inflated and deflated since the last call. */
static size_t work_done(struct rebuild *rebuild)
{
    uint64_t work = rebuild->deflate.work - rebuild->work_told;
    rebuild->work_told = rebuild->deflate.work;
    return (size_t)work + body_work(&rebuild->body);
}

enum validation_progress rebuild_step(struct rebuild *rebuild, size_t *budget)
{
    while (rebuild->refusal == REFUSAL_NONE) {
        if (*budget == 0) {
            return VALIDATION_MORE;
        }
        if (rebuild->batch_bytes > 0) {
            return seal(rebuild, budget);
        }
        size_t used = RECORD_START_BYTES_MAX;
        bool at_start = rebuild->record_left == 0;
        if (at_start && rebuild->records_done == rebuild->validation->batch.records_count) {
            end(rebuild);
        } else {
            int result = body_fill(&rebuild->body, at_start ? RECORD_START_BYTES_MAX : 1);
            assert(result == 0 || result == -EAGAIN);
            if (result == 0 && at_start) {
                write_start(rebuild);
            } else if (result == 0) {
                used += copy_behind(rebuild, *budget);
            }
        }
        used += work_done(rebuild);
        *budget -= used < *budget ? used : *budget;
        if (rebuild->deflate.result < 0) {
            rebuild->refusal = REFUSAL_MESSAGE_TOO_LARGE;
        }
    }
    return VALIDATION_DONE;
}
