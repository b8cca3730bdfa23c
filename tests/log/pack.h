/*
 * pack -- a batch with its records compressed, as a client would send it, and its plain records.
 */
#ifndef TESTS_LOG_PACK_H
#define TESTS_LOG_PACK_H

#include "core/deflate.h"
#include "log/batch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static inline void *pack_memory(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 127) & ~(size_t)63);
    assert(memory);
    return memory;
}

/* The same batch (uncompressed) with this codec, at `to`. Its bytes; 0: it does not fit. */
static inline size_t pack(const uint8_t *plain, size_t plain_bytes, enum codec codec, uint8_t *to,
                          size_t bytes_max)
{
    struct batch batch;
    struct deflate deflate;
    enum batch_state state = batch_parse(&batch, plain, plain_bytes);
    assert(state == BATCH_WHOLE);
    size_t body_bytes = plain_bytes - BATCH_HEADER_BYTES;
    size_t memory_bytes = deflate_memory_bytes(codec, DEFLATE_LEVEL_DEFAULT, body_bytes);
    void *memory = pack_memory(memory_bytes);
    deflate_start(&deflate, codec, DEFLATE_LEVEL_DEFAULT, body_bytes, memory, memory_bytes,
                  to + BATCH_HEADER_BYTES, bytes_max - BATCH_HEADER_BYTES);
    bool fits = deflate_write(&deflate, plain + BATCH_HEADER_BYTES, body_bytes) == 0 &&
                deflate_end(&deflate) == 0;
    free(memory);
    if (!fits) {
        return 0;
    }
    batch.attributes = (int16_t)codec;
    batch_seal(to, &batch, (uint32_t)(BATCH_HEADER_BYTES + deflate.bytes_used));
    return BATCH_HEADER_BYTES + deflate.bytes_used;
}

/* The plain records of a batch. How many bytes; -1: they are not `bytes_max` at the most, or no
 * stream of their codec. */
static inline int64_t unpack(const struct batch *batch, uint8_t *into, size_t bytes_max)
{
    const uint8_t *body = batch->bytes + BATCH_HEADER_BYTES;
    size_t body_bytes = batch->batch_bytes - BATCH_HEADER_BYTES;
    enum codec codec = (enum codec)batch_codec(batch);
    if (codec == CODEC_NONE) {
        memcpy(into, body, body_bytes < bytes_max ? body_bytes : 0);
        return body_bytes < bytes_max ? (int64_t)body_bytes : -1;
    }
    size_t memory_bytes = inflate_memory_bytes(codec, body, body_bytes);
    struct inflate inflate;
    int64_t done = 0, more = -1;
    void *memory = pack_memory(memory_bytes);
    if (inflate_start(&inflate, codec, body, body_bytes, memory, memory_bytes) == 0) {
        while ((size_t)done < bytes_max &&
               ((more = inflate_read(&inflate, into + done, bytes_max - (size_t)done)) > 0 ||
                more == -EAGAIN)) {
            done += more > 0 ? more : 0;
        }
    }
    free(memory);
    return more < 0 ? -1 : done;
}

#endif
