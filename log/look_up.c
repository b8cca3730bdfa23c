/*
 * look_up -- the offset of a timestamp.
 *
 *      segment whose records go so far --> time index --> offset index --> batches, one after the
 *      other --> the first that reaches the target, copied whole --> its records, in slices
 *
 * Lives on the log's core. All bytes come through log_pin.
 */
#include "core/crc32c.h"
#include "log/log.h"
#include "log/store.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    WALK_BYTES = 64 << 10,  /* pinned at once to walk over headers */
    SLICE_BYTES = 64 << 10, /* of records decoded in one turn */
    COPY_BYTES = 256 << 10, /* of a batch, copied and summed in one turn */
    SEGMENTS_PER_TURN = 64,
};

static void look_up_choose(struct op *op);  /* from segment to segment */
static void look_up_walk(struct op *op);    /* a piece is pinned: batch headers */
static void look_up_collect(struct op *op); /* a piece of the batch is pinned */
static void look_up_read(struct op *op);    /* some more of its records */

static struct log_lookup *lookup_of_pin(struct op *op)
{
    return container_of(op, struct log_lookup, pin.op);
}

static void look_up_end(struct log_lookup *lookup, int64_t result)
{
    struct log *log = lookup->log;
    struct slabs *slabs = &log->store->reactor->slabs;
    slab_give(slabs, BUDGET_READS, lookup->batch, lookup->batch_bytes);
    slab_give(slabs, BUDGET_SCRATCH, lookup->memory, lookup->memory_bytes);
    lookup->op.result = result;
    lookup->op.then(&lookup->op);
    log_came_home(log);
}

void log_look_up(struct log *log, struct log_lookup *lookup, op_fn *then)
{
    lookup->op.then = then;
    lookup->op.waits_for = "look-up by time";
    lookup->log = log;
    lookup->offset = lookup->timestamp_ms = -1;
    lookup->leader_epoch = -1;
    lookup->segment = lookup->chosen = NULL;
    lookup->batch = lookup->memory = NULL;
    lookup->batch_bytes = lookup->memory_bytes = 0;
    log->busy++; /* look_up_end */
    lookup->pin.op.result = 0;
    reactor_ready(log->store->reactor, &lookup->pin.op, look_up_choose);
}

/* -- which segment, and where in it ------------------------------------------------------------ */

static void look_up_pin(struct log_lookup *lookup, uint32_t bytes, op_fn *then)
{
    lookup->pin.segment_base = lookup->chosen->base_offset;
    lookup->pin.bytes_max = bytes;
    if (log_pin(lookup->log, &lookup->pin, then)) {
        reactor_ready(lookup->log->store->reactor, &lookup->pin.op, then);
    }
}

static void look_up_begin_walk(struct log_lookup *lookup)
{
    struct segment *segment = lookup->chosen;
    int64_t from = lookup->target_ms == LOG_TIME_MAX
                       ? segment->time_index.max_offset
                       : time_index_lookup(&segment->time_index, lookup->target_ms);
    if (lookup->target_ms == LOG_TIME_MAX) {
        lookup->wanted_ms = segment->time_index.max_timestamp;
    }
    lookup->pin.position = offset_index_lookup(&segment->offset_index, from);
    lookup->header_bytes = 0;
    if (lookup->pin.position >= segment->readable) {
        look_up_end(lookup, 0);
    } else {
        look_up_pin(lookup, WALK_BYTES, look_up_walk);
    }
}

/* Of the segment just loaded. True: no other need be looked at. */
static bool look_up_consider(struct log_lookup *lookup)
{
    struct segment *segment = lookup->segment;
    int64_t latest = segment->time_index.max_timestamp;
    if (lookup->target_ms != LOG_TIME_MAX) {
        lookup->chosen = latest >= lookup->target_ms ? segment : NULL;
        return lookup->chosen;
    }
    if (latest >= 0 && (!lookup->chosen || latest > lookup->wanted_ms)) {
        lookup->chosen = segment;
        lookup->wanted_ms = latest;
    }
    return false;
}

static void look_up_choose(struct op *op)
{
    struct log_lookup *lookup = lookup_of_pin(op);
    struct log *log = lookup->log;
    if (op->result < 0 || log->dropped) {
        look_up_end(lookup, op->result < 0 ? op->result : -ESTALE);
        return;
    }
    if (!log_open(log, op, look_up_choose)) {
        return;
    }
    lookup->wanted_ms = lookup->target_ms == LOG_TIME_MAX ? lookup->wanted_ms : lookup->target_ms;
    if (!lookup->segment) {
        lookup->segment = log_segment(log, log->log_start);
    }
    for (uint32_t seen = 0; lookup->segment; seen++) {
        if (seen == SEGMENTS_PER_TURN) {
            op->result = 0;
            reactor_ready(log->store->reactor, op, look_up_choose);
            return;
        }
        if (!segment_load(lookup->segment, op, look_up_choose)) {
            return;
        }
        if (look_up_consider(lookup)) {
            break;
        }
        lookup->segment = log_segment_after(log, lookup->segment);
    }
    if (!lookup->chosen) {
        look_up_end(lookup, 0); /* no record is so late */
        return;
    }
    lookup->segment = lookup->chosen; /* which may have been unloaded meanwhile */
    if (!segment_load(lookup->chosen, op, look_up_choose)) {
        return;
    }
    if (lookup->target_ms == LOG_TIME_MAX && !log->store->offline &&
        lookup->chosen->time_index.max_offset >= log->log_end) {
        lookup->segment = lookup->chosen = NULL; /* the latest record is about to be durable */
        log_await_commit(log, op, look_up_choose);
        return;
    }
    look_up_begin_walk(lookup);
}

/* -- which batch ------------------------------------------------------------------------------- */

/* The walk is at a batch with this header. */
static bool is_wanted(const struct log_lookup *lookup, const struct batch *batch)
{
    return batch->max_timestamp >= lookup->wanted_ms &&
           batch_last_offset(batch) >= lookup->log->log_start;
}

static void look_up_collect_next(struct log_lookup *lookup)
{
    uint32_t left = lookup->batch_bytes - lookup->copied_bytes;
    look_up_pin(lookup, left < COPY_BYTES ? left : COPY_BYTES, look_up_collect);
}

static void look_up_found_batch(struct log_lookup *lookup, const struct batch *batch)
{
    struct slabs *slabs = &lookup->log->store->reactor->slabs;
    lookup->batch = slab_take(slabs, BUDGET_READS, batch->batch_bytes);
    if (!lookup->batch) {
        look_up_end(lookup, -ENOBUFS);
        return;
    }
    lookup->batch_bytes = batch->batch_bytes;
    lookup->copied_bytes = 0;
    lookup->crc = 0;
    lookup->crc_at = BATCH_ATTRIBUTES;
    look_up_collect_next(lookup);
}

/* Steps over batches in what is pinned; a header that is cut by its end is gathered piece by piece. */
static void look_up_walk(struct op *op)
{
    struct log_lookup *lookup = lookup_of_pin(op);
    struct segment *segment = lookup->chosen;
    if (op->result < 0) {
        look_up_end(lookup, op->result);
        return;
    }
    uint32_t at = 0;
    uint32_t count = (uint32_t)op->result;
    struct batch batch;
    bool is_found = false, is_broken = false;
    while (!is_found && !is_broken && at < count) {
        uint32_t missing = BATCH_HEADER_BYTES - lookup->header_bytes;
        uint32_t piece = count - at < missing ? count - at : missing;
        memcpy(lookup->header + lookup->header_bytes, lookup->pin.data + at, piece);
        lookup->header_bytes += piece;
        at += piece;
        if (lookup->header_bytes < BATCH_HEADER_BYTES) {
            break;
        }
        uint32_t start = lookup->pin.position + at - BATCH_HEADER_BYTES;
        is_broken = batch_parse(&batch, lookup->header, INT32_MAX) != BATCH_WHOLE ||
                    batch.batch_bytes > segment->readable - start;
        is_found = !is_broken && is_wanted(lookup, &batch);
        if (!is_broken) {
            lookup->header_bytes = 0;
            uint64_t next = (uint64_t)start + (is_found ? 0 : batch.batch_bytes);
            at = (uint32_t)(next - lookup->pin.position); /* may lie beyond what is pinned */
            if (is_found) {
                break;
            }
        }
    }
    log_unpin(&lookup->pin);
    lookup->pin.position += at;
    if (is_broken) {
        look_up_end(lookup, -EIO);
    } else if (is_found) {
        look_up_found_batch(lookup, &batch);
    } else if (lookup->pin.position >= segment->readable) {
        look_up_end(lookup, 0);
    } else {
        look_up_pin(lookup, WALK_BYTES, look_up_walk);
    }
}

static void look_up_collect(struct op *op)
{
    struct log_lookup *lookup = lookup_of_pin(op);
    if (op->result < 0) {
        look_up_end(lookup, op->result);
        return;
    }
    memcpy(lookup->batch + lookup->copied_bytes, lookup->pin.data, (size_t)op->result);
    log_unpin(&lookup->pin);
    lookup->copied_bytes += (uint32_t)op->result;
    lookup->pin.position += (uint32_t)op->result;
    uint32_t crc_at = lookup->crc_at;
    if (lookup->copied_bytes > crc_at) {
        lookup->crc = crc32c(lookup->crc, lookup->batch + crc_at, lookup->copied_bytes - crc_at);
        lookup->crc_at = lookup->copied_bytes;
    }
    if (lookup->copied_bytes < lookup->batch_bytes) {
        look_up_collect_next(lookup);
        return;
    }
    struct batch batch;
    if (batch_parse(&batch, lookup->batch, lookup->batch_bytes) != BATCH_WHOLE ||
        lookup->crc != batch.crc) {
        look_up_end(lookup, -EIO);
        return;
    }
    size_t bytes = record_stream_memory_bytes(&batch);
    if (bytes > 0 && bytes <= SLAB_BYTES_MAX) {
        lookup->memory = slab_take(&lookup->log->store->reactor->slabs, BUDGET_SCRATCH, bytes);
        lookup->memory_bytes = bytes;
    }
    int result = bytes > 0 && !lookup->memory
                     ? -ENOBUFS
                     : record_stream_start(&lookup->stream, &batch, lookup->memory, bytes);
    if (result < 0) {
        look_up_end(lookup, result == -EBADMSG ? -EIO : result);
        return;
    }
    op->result = 0;
    look_up_read(op);
}

/* -- which record ------------------------------------------------------------------------------ */

static void look_up_read(struct op *op)
{
    struct log_lookup *lookup = lookup_of_pin(op);
    struct batch batch;
    enum batch_state state = batch_parse(&batch, lookup->batch, lookup->batch_bytes);
    assert(state == BATCH_WHOLE);
    size_t budget = SLICE_BYTES;
    for (;;) {
        switch (record_stream_next(&lookup->stream, &budget)) {
        case RECORD_STREAM_RECORD: {
            int64_t offset = batch.base_offset + lookup->stream.offset_delta;
            if (lookup->stream.timestamp >= lookup->wanted_ms && offset >= lookup->log->log_start) {
                lookup->offset = offset;
                lookup->timestamp_ms = lookup->stream.timestamp;
                lookup->leader_epoch = batch.partition_leader_epoch;
                look_up_end(lookup, 0);
                return;
            }
            break;
        }
        case RECORD_STREAM_MORE:
            reactor_ready(lookup->log->store->reactor, op, look_up_read);
            return;
        case RECORD_STREAM_END: { /* the records that are late enough lie before the log's start */
            struct slabs *slabs = &lookup->log->store->reactor->slabs;
            slab_give(slabs, BUDGET_READS, lookup->batch, lookup->batch_bytes);
            slab_give(slabs, BUDGET_SCRATCH, lookup->memory, lookup->memory_bytes);
            lookup->batch = lookup->memory = NULL;
            lookup->header_bytes = 0;
            if (lookup->pin.position >= lookup->chosen->readable) {
                look_up_end(lookup, 0);
            } else {
                look_up_pin(lookup, WALK_BYTES, look_up_walk);
            }
            return;
        }
        case RECORD_STREAM_BROKEN:
            look_up_end(lookup, -EIO);
            return;
        }
    }
}
