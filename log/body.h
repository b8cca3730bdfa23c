/*
 * body -- the records of a batch as plain bytes: from memory, or inflated through a window.
 *
 *     window   | read | at ... end |          |     what is left is moved to the front, then filled
 *
 * An uncompressed body lies at hand as a whole, and nothing is copied.
 */
#ifndef LOG_BODY_H
#define LOG_BODY_H

#include "core/inflate.h"
#include "log/batch.h"

enum { BODY_WINDOW_BYTES = 32 << 10 };

struct body {
    const uint8_t *at; /* decoded and not yet read */
    const uint8_t *end;

    /* body.c only */
    uint8_t *window; /* NULL: not compressed */
    bool ended;      /* nothing comes behind `end` */
    struct inflate inflate;
    uint64_t work_told;
};

/* Memory that body_start needs: 0 for an uncompressed body, and for one that is no stream. */
[[nodiscard]] size_t body_memory_bytes(const struct batch *batch);

/* 0, or -EBADMSG: not a stream of its codec. The batch's bytes and the memory (aligned to 64) stay
 * in place while it is read. */
[[nodiscard]] int body_start(struct body *body, const struct batch *batch, void *memory,
                             size_t memory_bytes);

/* Have `bytes` at hand, or all that there are; at most BODY_WINDOW_BYTES / 2. 0, or -EAGAIN: one
 * read was not enough, try again; -EBADMSG or -EFBIG: it cannot be inflated. */
[[nodiscard]] int body_fill(struct body *body, size_t bytes);

static inline size_t body_left(const struct body *body) /* at hand */
{
    return (size_t)(body->end - body->at);
}

static inline bool body_is_inflated(const struct body *body)
{
    return body->window;
}

/* Inflating that was done since the last call, in units of core/inflate.h. */
static inline size_t body_work(struct body *body)
{
    uint64_t work = body->inflate.work - body->work_told;
    body->work_told = body->inflate.work;
    return (size_t)work;
}

#endif
