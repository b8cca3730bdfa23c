#include "log/body.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const uint8_t *compressed(const struct batch *batch, size_t *bytes)
{
    *bytes = batch->batch_bytes - BATCH_HEADER_BYTES;
    return batch->bytes + BATCH_HEADER_BYTES;
}

size_t body_memory_bytes(const struct batch *batch)
{
    if (batch_codec(batch) == CODEC_NONE) {
        return 0;
    }
    size_t bytes;
    const uint8_t *from = compressed(batch, &bytes);
    size_t needed = inflate_memory_bytes((enum codec)batch_codec(batch), from, bytes);
    return needed == 0 ? 0 : BODY_WINDOW_BYTES + needed;
}

int body_start(struct body *body, const struct batch *batch, void *memory, size_t memory_bytes)
{
    size_t bytes;
    const uint8_t *from = compressed(batch, &bytes);
    if (batch_codec(batch) == CODEC_NONE) {
        *body = (struct body){.at = from, .end = from + bytes, .ended = true};
        return 0;
    }
    size_t needed = body_memory_bytes(batch);
    if (needed == 0) {
        return -EBADMSG;
    }
    assert(memory_bytes >= needed);
    *body = (struct body){.at = memory, .end = memory, .window = memory};
    return inflate_start(&body->inflate, (enum codec)batch_codec(batch), from, bytes,
                         body->window + BODY_WINDOW_BYTES, memory_bytes - BODY_WINDOW_BYTES);
}

int body_fill(struct body *body, size_t bytes)
{
    assert(bytes <= BODY_WINDOW_BYTES / 2);
    if (body_left(body) >= bytes || body->ended) {
        return 0;
    }
    size_t left = body_left(body);
    memmove(body->window, body->at, left);
    body->at = body->window;
    body->end = body->window + left;
    int64_t count = inflate_read(&body->inflate, body->window + left, BODY_WINDOW_BYTES - left);
    if (count < 0) {
        return (int)count;
    }
    body->ended = count == 0;
    body->end += count;
    return body->ended || body_left(body) >= bytes ? 0 : -EAGAIN;
}
