/*
 * read -- from an offset to bytes: locate, then pin piece by piece.
 *
 *      log_locate    segment --> sparse index --> headers, one after the other --> the batch
 *      log_pin       a tail chunk where there is one, else a buffer read from disk
 *
 * Headers are looked at in the tail, or in windows read from disk: those bytes may be damaged, and
 * are believed only within the segment. Buffers come from BUDGET_READS; when it is used up, reads
 * wait for one that is given back.
 */
#include "core/metrics.h"
#include "log/log.h"
#include "log/store.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    SCAN_BYTES = 64 << 10,     /* of a window: an index interval and some large batches' headers */
    HEADERS_PER_TURN = 1 << 10 /* of batches in the tail */
};

static void locate_go_on(struct op *op); /* opened, loaded, or memory may be there */
static void locate_held(struct op *op);  /* the file is open */
static void locate_read(struct op *op);  /* a window of it is in memory */
static void pin_go_on(struct op *op);
static void pin_held(struct op *op);
static void pin_read(struct op *op);

/* -- buffers ----------------------------------------------------------------------------------- */

/* NULL: op waits for one, and `then` runs as soon as one may be had; or, with op->result set, it may
 * not wait, or none of this store's reads will ever give one back. */
static uint8_t *buffer_take(struct store *store, uint32_t bytes, bool may_wait, struct op *op,
                            op_fn *then)
{
    uint8_t *buffer = slab_take(&store->reactor->slabs, BUDGET_READS, bytes);
    if (buffer) {
        store->reads_out++;
        return buffer;
    }
    op->then = then;
    op->waits_for = "memory for reads";
    op->result = 0;
    if (may_wait && store->reads_out > 0) {
        op_queue_push(&store->read_waits, op);
    } else {
        op->result = -ENOBUFS;
        reactor_ready(store->reactor, op, then);
    }
    return NULL;
}

/* One that waits for a buffer may try. */
static void buffer_offer(struct store *store)
{
    struct op *op = op_queue_pop(&store->read_waits);
    if (op) {
        reactor_ready(store->reactor, op, op->then);
    }
}

static void buffer_give(struct store *store, uint8_t *buffer, uint32_t bytes)
{
    slab_give(&store->reactor->slabs, BUDGET_READS, buffer, bytes);
    store->reads_out--;
    buffer_offer(store);
}

/* Whoever was offered one may have ended without: while none is out, nobody else would offer. */
static void buffer_pass_on(struct store *store)
{
    if (store->reads_out == 0) {
        buffer_offer(store);
    }
}

/* -- locate ------------------------------------------------------------------------------------ */

/* A header of a batch at `position`, whose bytes may be spread over chunks. */
static bool tail_header(const struct segment *segment, uint32_t position,
                        uint8_t header[BATCH_HEADER_BYTES])
{
    for (uint32_t done = 0; done < BATCH_HEADER_BYTES;) {
        const struct chunk *chunk = chunks_find(&segment->chunks, position + done);
        if (!chunk) {
            return false;
        }
        uint32_t at = position + done - chunk->position;
        uint32_t piece = chunk->used - at;
        uint32_t left = BATCH_HEADER_BYTES - done;
        piece = piece < left ? piece : left;
        memcpy(header + done, chunk->data + at, piece);
        done += piece;
    }
    return true;
}

enum scan {
    SCAN_FOUND,
    SCAN_NEEDS_BYTES,
    SCAN_LATER /* enough for this turn */,
    SCAN_PASSED /* the segment ends before it */,
    SCAN_BROKEN
};

/* One header further: found, or scan_position behind this batch (SCAN_PASSED at the end). */
static enum scan scan_header(struct log_locate *locate, const uint8_t *header)
{
    const struct segment *segment = locate->segment;
    struct batch batch;
    uint32_t left = segment->readable - locate->scan_position;
    /* only the header's bytes are looked at; the length is believed if the segment can hold it */
    if (left < BATCH_HEADER_BYTES || batch_parse(&batch, header, INT32_MAX) != BATCH_WHOLE ||
        batch.batch_bytes > left || batch.last_offset_delta < 0) {
        return SCAN_BROKEN;
    }
    if (batch_last_offset(&batch) < locate->offset) {
        locate->scan_position += batch.batch_bytes;
        return locate->scan_position < segment->readable ? SCAN_NEEDS_BYTES : SCAN_PASSED;
    }
    uint32_t bytes = left < locate->bytes_max ? left : locate->bytes_max;
    if (locate->whole_first && bytes < batch.batch_bytes) {
        bytes = batch.batch_bytes;
    }
    locate->segment_base = segment->base_offset;
    locate->position = locate->scan_position;
    locate->bytes = bytes;
    locate->first_bytes = batch.batch_bytes;
    return SCAN_FOUND;
}

static enum scan scan_tail(struct log_locate *locate)
{
    uint8_t header[BATCH_HEADER_BYTES];
    enum scan scan = SCAN_NEEDS_BYTES;
    uint32_t headers = 0;
    while (scan == SCAN_NEEDS_BYTES && headers < HEADERS_PER_TURN &&
           tail_header(locate->segment, locate->scan_position, header)) {
        scan = scan_header(locate, header);
        headers++;
    }
    return scan == SCAN_NEEDS_BYTES && headers == HEADERS_PER_TURN ? SCAN_LATER : scan;
}

static enum scan scan_window(struct log_locate *locate, int64_t window_bytes)
{
    enum scan scan = SCAN_NEEDS_BYTES;
    while (scan == SCAN_NEEDS_BYTES) {
        uint64_t at = locate->scan_position - locate->io.position;
        if (locate->scan_position >= locate->segment->written) {
            return scan; /* what follows in its block is in the tail */
        }
        if (at + BATCH_HEADER_BYTES > (uint64_t)window_bytes) {
            return at == locate->scan_position % FILE_BLOCK_BYTES ? SCAN_BROKEN : scan;
        }
        scan = scan_header(locate, locate->io.buffer + at);
    }
    return scan;
}

static void locate_in(struct log_locate *locate, struct segment *segment)
{
    locate->segment = segment;
    locate->scan_position = offset_index_lookup(&segment->offset_index, locate->offset);
}

/* True: done, op.result is set. False: something is out. */
static bool locate_step(struct log_locate *locate)
{
    struct log *log = locate->log;
    for (;;) {
        if (log->dropped) {
            locate->op.result = -ESTALE;
            return true;
        }
        if (!locate->segment) {
            if (!log_open(log, &locate->io.op, locate_go_on)) {
                return false;
            }
            locate->segment = log_segment(log, locate->offset);
            locate->is_indexed = false;
        }
        if (!locate->is_indexed) {
            if (!segment_load(locate->segment, &locate->io.op, locate_go_on)) {
                return false;
            }
            locate_in(locate, locate->segment);
            locate->is_indexed = true;
        }
        enum scan scan =
            locate->scan_position < locate->segment->readable ? scan_tail(locate) : SCAN_PASSED;
        switch (scan) {
        case SCAN_FOUND:
            locate->op.result = 0;
            return true;
        case SCAN_BROKEN:
            locate->op.result = -EIO;
            return true;
        case SCAN_PASSED: {
            struct segment *next = log_segment_after(log, locate->segment);
            if (!next) { /* nothing there yet */
                locate->segment_base = locate->segment->base_offset;
                locate->position = locate->segment->readable;
                locate->op.result = 0;
                return true;
            }
            locate->segment = next;
            locate->is_indexed = false;
            break;
        }
        case SCAN_LATER:
            locate->io.op.result = 0;
            reactor_ready(log->store->reactor, &locate->io.op, locate_go_on);
            return false;
        case SCAN_NEEDS_BYTES:
            if (segment_hold(locate->segment, &locate->io.op, locate_held)) {
                locate->io.op.result = 0;
                locate_held(&locate->io.op);
            }
            return false;
        }
    }
}

/* Where the log begins and ends, by the time the bytes were found. */
static void locate_tell(struct log_locate *locate)
{
    locate->log_start = locate->log->log_start;
    locate->log_end = locate->log->log_end;
    locate->high_watermark = locate->log->high_watermark;
}

bool log_locate(struct log *log, struct log_locate *locate, op_fn *then)
{
    locate->op.then = then;
    locate->op.waits_for = "locate";
    locate->op.result = 0;
    locate->log = log;
    locate->segment = NULL;
    locate->bytes = 0;
    locate_tell(locate);
    struct segment *active = log_active(log);
    locate->segment_base = active->base_offset;
    locate->position = active->readable;
    if (log->dropped) {
        locate->op.result = -ESTALE;
        return true;
    }
    if (locate->offset < log->log_start || locate->offset > log->log_end) {
        locate->op.result = REFUSAL_OFFSET_OUT_OF_RANGE;
        return true;
    }
    if (locate->offset == log->log_end || locate_step(locate)) {
        return true;
    }
    log->busy++; /* locate_end */
    return false;
}

static void locate_end(struct log_locate *locate, int64_t result)
{
    struct log *log = locate->log;
    locate->op.result = result;
    locate_tell(locate); /* there may be more now than when it began, and `bytes` of it */
    locate->op.then(&locate->op);
    log_came_home(log);
}

static void locate_go_on(struct op *op)
{
    struct log_locate *locate = container_of(op, struct log_locate, io.op);
    struct store *store = locate->log->store;
    if (op->result < 0) {
        locate_end(locate, op->result);
    } else if (locate_step(locate)) {
        locate_end(locate, locate->op.result);
    }
    buffer_pass_on(store);
}

static void locate_held(struct op *op)
{
    struct log_locate *locate = container_of(op, struct log_locate, io.op);
    struct segment *segment = locate->segment;
    struct store *store = locate->log->store;
    if (op->result < 0) {
        locate_end(locate, op->result);
        return;
    }
    uint32_t position = block_floor(locate->scan_position);
    uint64_t left = block_ceiling(segment->written) - position;
    locate->io.buffer = buffer_take(store, SCAN_BYTES, true, op, locate_go_on);
    if (!locate->io.buffer) {
        segment_drop(segment); /* asked for again with the memory */
        return;
    }
    locate->io.fd = segment->fd;
    locate->io.position = position;
    locate->io.bytes = left < SCAN_BYTES ? (uint32_t)left : SCAN_BYTES;
    reactor_read(store->reactor, &locate->io, locate_read);
}

static void locate_read(struct op *op)
{
    struct log_locate *locate = container_of(op, struct log_locate, io.op);
    struct store *store = locate->log->store;
    segment_drop(locate->segment);
    enum scan scan = op->result < 0 ? SCAN_BROKEN : scan_window(locate, op->result);
    if (op->result > 0) {
        metric_add(&store->reactor->metrics, METRIC_READ_BYTES, (uint64_t)op->result);
    }
    buffer_give(store, locate->io.buffer, SCAN_BYTES);
    switch (scan) {
    case SCAN_FOUND:
        locate_end(locate, 0);
        break;
    case SCAN_BROKEN:
        locate_end(locate, -EIO);
        break;
    case SCAN_PASSED:
    case SCAN_LATER:
    case SCAN_NEEDS_BYTES:
        if (locate_step(locate)) {
            locate_end(locate, locate->op.result);
        }
        break;
    }
}

/* -- pin --------------------------------------------------------------------------------------- */

/* True: done, op.result is set. */
static bool pin_step(struct log_pin *pin)
{
    struct log *log = pin->log;
    struct segment *segment = log->dropped ? NULL : log_find_segment(log, pin->segment_base);
    if (!segment || pin->position >= segment->readable || pin->bytes_max == 0) {
        pin->op.result = -ESTALE;
        return true;
    }
    uint32_t left = segment->readable - pin->position;
    uint32_t bytes = left < pin->bytes_max ? left : pin->bytes_max;
    struct chunk *chunk = chunks_find(&segment->chunks, pin->position);
    if (chunk) {
        uint32_t at = pin->position - chunk->position;
        bytes = chunk->used - at < bytes ? chunk->used - at : bytes;
        atomic_fetch_add_explicit(&chunk->readers, 1, memory_order_relaxed);
        pin->chunk = chunk;
        pin->data = chunk->data + at;
        pin->op.result = bytes;
        return true;
    }
    assert(pin->position < segment->written); /* what is not written is in the tail */
    uint32_t bytes_max = log->store->options.fetch_read_bytes - pin->position % FILE_BLOCK_BYTES;
    bytes = bytes < bytes_max ? bytes : bytes_max;
    uint32_t written = segment->written - pin->position;
    pin->want = bytes < written ? bytes : written;
    pin->segment = segment;
    if (segment_hold(segment, &pin->io.op, pin_held)) {
        pin->io.op.result = 0;
        pin_held(&pin->io.op);
    }
    return false;
}

bool log_pin(struct log *log, struct log_pin *pin, op_fn *then)
{
    pin->op.then = then;
    pin->op.waits_for = "segment bytes";
    pin->log = log;
    pin->chunk = NULL;
    pin->io.buffer = NULL;
    if (pin_step(pin)) {
        return true;
    }
    log->busy++; /* pin_end */
    return false;
}

static void pin_end(struct log_pin *pin, int64_t result)
{
    struct log *log = pin->log;
    pin->op.result = result;
    pin->op.then(&pin->op);
    log_came_home(log);
}

static void pin_go_on(struct op *op)
{
    struct log_pin *pin = container_of(op, struct log_pin, io.op);
    struct store *store = pin->log->store;
    if (op->result < 0) {
        pin_end(pin, op->result);
    } else if (pin_step(pin)) {
        pin_end(pin, pin->op.result);
    }
    buffer_pass_on(store);
}

static void pin_held(struct op *op)
{
    struct log_pin *pin = container_of(op, struct log_pin, io.op);
    struct store *store = pin->log->store;
    if (op->result < 0) {
        pin_end(pin, op->result);
        return;
    }
    uint32_t position = block_floor(pin->position);
    pin->io.bytes = (uint32_t)block_ceiling(pin->position + pin->want) - position;
    pin->io.buffer = buffer_take(store, pin->io.bytes, !pin->holds_others, op, pin_go_on);
    if (!pin->io.buffer) {
        segment_drop(pin->segment);
        return;
    }
    pin->io.fd = pin->segment->fd;
    pin->io.position = position;
    reactor_read(store->reactor, &pin->io, pin_read);
}

static void pin_read(struct op *op)
{
    struct log_pin *pin = container_of(op, struct log_pin, io.op);
    struct store *store = pin->log->store;
    segment_drop(pin->segment);
    int64_t bytes = op->result < 0 ? -EIO : op->result - pin->position % FILE_BLOCK_BYTES;
    if (bytes <= 0) {
        buffer_give(store, pin->io.buffer, pin->io.bytes);
        pin->io.buffer = NULL;
        pin_end(pin, -EIO);
        return;
    }
    metric_add(&store->reactor->metrics, METRIC_READ_BYTES, (uint64_t)op->result);
    pin->data = pin->io.buffer + pin->position % FILE_BLOCK_BYTES;
    pin->store = store;
    pin_end(pin, bytes < pin->want ? bytes : pin->want);
}

void log_unpin(struct log_pin *pin)
{
    if (pin->chunk) {
        chunk_unread(pin->chunk);
        pin->chunk = NULL;
    } else {
        buffer_give(pin->store, pin->io.buffer, pin->io.bytes);
        pin->io.buffer = NULL;
    }
}
