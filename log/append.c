/*
 * append -- one batch from the caller's bytes to log_end.
 *
 *      log_append --> queue of the log --> admitted --> placed: offsets, tail, journal entry
 *                        ^   |                             |
 *          append_pump --'   '- waits: directory,          v
 *          when it may go on    extent, rest, memory,   append_committed: log_end, `then`
 *                               journal room, a turn
 *
 * Only the first of a log's queue is looked at; what it lacks is fetched, and append_pump is called
 * again. So appends are placed in the order they came, and what refuses one batch (a sequence gap, a
 * full disk) is decided when all before it are placed.
 *
 * A batch goes to the journal in portions, each in one commit: one, if it fits in half of one. A
 * portion is admitted as a whole and copied in slices of step_bytes, one each turn. The logs whose
 * batches need more than one slice stand in a line, and the first one's is under way; small ones pass
 * by, and those of a turn take together as long as one slice.
 *
 * A batch that nobody has read is summed in the pass that copies it to the tail. One that is split, or
 * whose header decides something (a repeat, a gap, a roll), is summed before.
 */
#include "core/crc32c.h"
#include "log/expiry.h"
#include "log/log.h"
#include "log/log_files.h"
#include "log/snapshot.h"
#include "log/store.h"
#include "log/write_back.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    FULL_RETRY_US = 100 * 1000,   /* a full disk is asked again after this */
    EXTENT_FAST_US = 1000 * 1000, /* an extent used up within this is followed by a larger one */
    APPEND_BYTES = 2048,          /* what an append costs beside its bytes, as if it had more */
};

enum admission {
    ADMITTED,
    WAITS,
    ENDED,  /* op.result says how */
    READS,  /* on its way to the tail: read_into_tail goes on with it */
    UNREAD, /* first it is to be summed: sum_on */
};

static void append_opened(struct op *op);    /* the log's segments are known */
static void append_made(struct op *op);      /* the active segment has its file */
static void append_extended(struct op *op);  /* ... or more room */
static void append_held(struct op *op);      /* the file is open to read the rest from */
static void append_restored(struct op *op);  /* the block that will be rewritten is in memory */
static void larges_go_on(struct op *op);     /* a slice of the first large one */
static void turn_go_on(struct op *op);       /* those that the turn before had no time for */
static void append_committed(struct op *op); /* a part is durable */

static struct log_append *first_of(struct log *log)
{
    return container_of(log->appends.head, struct log_append, op);
}

void log_append(struct log *log, struct log_append *append, op_fn *then)
{
    append->op.then = then;
    append->op.waits_for = "append";
    append->log = log;
    append->placed_bytes = append->portion_left = 0;
    append->is_reading = append->is_in_tail = false;
    append->crc = 0;
    append->crc_at = BATCH_ATTRIBUTES;
    append->duplicate = false;
    append->base_offset = append->last_offset = -1;
    enum batch_state state = batch_parse(&append->header, append->batch, append->bytes);
    assert(state == BATCH_WHOLE && append->header.batch_bytes == append->bytes);
    bool is_first = op_queue_is_empty(&log->appends);
    op_queue_push(&log->appends, &append->op);
    if (is_first) {
        append_pump(log);
    }
}

static void append_end_soon(struct log *log, struct log_append *append, int64_t result)
{
    append->op.result = result;
    reactor_ready(log->store->reactor, &append->op, append->op.then);
}

/* Nothing is appended here any more: what is queued ends, whatever it waits for. */
static bool is_over(const struct log *log)
{
    return log->dropped || log->store->offline || log->store->journal.offline;
}

/* -- turns ------------------------------------------------------------------------------------- */

/* The turn has time for this one, too. The time is read once a turn, and so tells one from the next. */
static bool turn_take(struct store *store, uint32_t bytes)
{
    uint64_t now_us = reactor_now_us(store->reactor);
    if (now_us != store->turn_us) {
        store->turn_us = now_us;
        store->turn_bytes = 0;
    }
    bytes += APPEND_BYTES;
    if (store->turn_bytes > 0 && store->turn_bytes + bytes > store->options.step_bytes) {
        return false;
    }
    store->turn_bytes += bytes;
    return true;
}

static void turn_soon(struct store *store)
{
    if (!store->is_turn_due && !list_is_empty(&store->turn_waits)) {
        store->is_turn_due = true;
        reactor_ready(store->reactor, &store->turn_op, turn_go_on);
    }
}

static void turn_wait(struct log *log)
{
    list_push(&log->store->turn_waits, &log->turn_link);
    turn_soon(log->store);
}

static void turn_go_on(struct op *op)
{
    struct store *store = container_of(op, struct store, turn_op);
    store->is_turn_due = false;
    store->turn_us = reactor_now_us(store->reactor);
    store->turn_bytes = 0;
    bool is_used_up = false;
    for (struct link *link; !is_used_up && (link = list_first(&store->turn_waits));) {
        struct log *log = container_of(link, struct log, turn_link);
        link_remove(link);
        log->busy++;
        append_pump(log);
        is_used_up = link_is_listed(link);
        log_came_home(log);
    }
    turn_soon(store);
}

/* -- what an append may lack ------------------------------------------------------------------- */

/* Something is out for this log; when it is back, append_pump goes on. */
static void prepare_begin(struct log *log)
{
    log->is_preparing = true;
    log->busy++;
}

/* result < 0: what the first append lacks cannot be had. */
static void prepare_end(struct log *log, int64_t result)
{
    log->is_preparing = false;
    if (result == -ENOSPC) {
        log->full_us = reactor_now_us(log->store->reactor);
    }
    struct log_append *append = log->appends.head ? first_of(log) : NULL;
    if (result < 0 && append && append->placed_bytes == 0) {
        op_queue_pop(&log->appends);
        append_end_soon(log, append, result);
    }
    append_pump(log);
    log_came_home(log);
}

static bool is_known_full(const struct log *log)
{
    return log->full_us != 0 && reactor_now_us(log->store->reactor) - log->full_us < FULL_RETRY_US;
}

static enum admission ended(struct log_append *append, int64_t result)
{
    append->op.result = result;
    return ENDED;
}

static enum admission wait_for_store(struct log *log)
{
    list_push(&log->store->append_waits, &log->wait_link);
    return WAITS;
}

static enum admission wait_for_memory(struct log *log)
{
    write_back_press_data(log->store);
    store_retry_later(log->store);
    return wait_for_store(log);
}

/* Tells duplicates and what its producer may not send now. */
static enum admission check_producer(struct log *log, struct log_append *append)
{
    const struct batch *batch = &append->header;
    struct producer_batch found;
    enum refusal refusal;
    if (!batch_has_producer(batch) || batch->attributes & BATCH_CONTROL) {
        return ADMITTED;
    }
    log->producers.now_s = (uint32_t)(reactor_now_us(log->store->reactor) / 1000000);
    switch (producers_check(&log->producers, batch, &found, &refusal)) {
    case PRODUCERS_NEW:
        return snapshot_basis_ensure(log, batch->producer_id) < 0 ? ended(append, -ENOMEM)
                                                                  : ADMITTED;
    case PRODUCERS_REFUSED:
        if (refusal == REFUSAL_THROTTLING_QUOTA_EXCEEDED) {
            expiry_press(log);
        }
        return ended(append, refusal);
    case PRODUCERS_DUPLICATE:
        break;
    }
    append->duplicate = true;
    append->base_offset = found.last_offset - found.offset_delta;
    append->last_offset = found.last_offset;
    return ended(append, 0);
}

/* Kafka's rules. The batch's timestamps are compared with the segment's first batch's. */
static bool must_roll(const struct log *log, const struct batch *batch)
{
    const struct segment *active = log_active(log);
    if (active->appended == 0) {
        return false;
    }
    int64_t age_ms = reactor_wall_ms(log->store->reactor) - active->created_ms;
    if (active->first_timestamp >= 0 && batch->max_timestamp >= 0) {
        age_ms = batch->max_timestamp - active->first_timestamp;
    }
    return (uint64_t)active->appended + batch->batch_bytes > log->settings.segment_bytes ||
           age_ms > log->settings.segment_ms || offset_index_is_full(&active->offset_index) ||
           time_index_is_full(&active->time_index) ||
           log->next_offset + batch->last_offset_delta - active->base_offset > INT32_MAX;
}

/* How far the file may be allocated: to the segment's size limit, or to one batch beyond it. */
static uint64_t extent_end_max(const struct log *log, uint64_t needed)
{
    uint64_t limit = block_ceiling(log->settings.segment_bytes);
    limit = needed > limit ? needed : limit;
    return limit < INT32_MAX ? limit : block_floor(INT32_MAX);
}

/* The active segment's file, with its first extent; a STATE that tells of it is durable. */
static enum admission make_segment(struct log *log, struct log_append *append)
{
    struct segment *active = log_active(log);
    struct store *store = log->store;
    if (log->told_base != active->base_offset) {
        if (!log->is_state_out || log->state_base != active->base_offset) {
            store_want_state(store, log);
        }
        return WAITS; /* append_pump is called when it is durable */
    }
    if (is_known_full(log)) {
        return ended(append, -ENOSPC);
    }
    struct make_job *job = malloc(sizeof(*job));
    if (!job) {
        return ended(append, -ENOMEM);
    }
    uint64_t needed = block_ceiling(append->bytes);
    uint64_t bytes = needed > active->extent_bytes ? needed : active->extent_bytes;
    uint64_t bytes_max = extent_end_max(log, needed);
    *job = (struct make_job){
        .job.run = make_job_run,
        .segment = active,
        .place = {.directory = store->options.directory, .name = log->name},
        .has_directory = log->has_directory,
        .log_id = log->id,
        .base_offset = active->base_offset,
        .bytes = (uint32_t)(bytes < bytes_max ? bytes : bytes_max),
        .bytes_min = (uint32_t)needed,
    };
    memcpy(job->topic_id, log->topic_id, sizeof(job->topic_id));
    if (log->segments_count > 1) { /* a roll: nothing was appended since, or is before it ends */
        job->snapshot = snapshot_task_at(log, active->base_offset);
    }
    prepare_begin(log);
    reactor_job(store->reactor, &job->job, append_made);
    return WAITS;
}

/* What a job could not write; a full disk is another matter. */
static void fail_if_failed(struct store *store, int64_t result)
{
    if (result == -EIO || result == -EROFS) {
        store_fail(store, (int)result);
    }
}

static void append_made(struct op *op)
{
    struct make_job *job = container_of(op, struct make_job, job.op);
    struct segment *segment = job->segment;
    struct log *log = segment->log;
    int64_t result = op->result;
    if (result >= 0) {
        log->has_directory = true;
        segment->file_bytes = job->bytes;
        segment->extended_us = reactor_now_us(log->store->reactor);
        segment_keep_fd(segment, (int)result);
    }
    if (result >= 0 && job->snapshot.producers) {
        snapshot_written(log, segment->base_offset, segment->base_offset, 0);
    }
    free(job);
    fail_if_failed(log->store, result);
    prepare_end(log, result);
}

static bool extend_begin(struct log *log, uint64_t needed)
{
    struct segment *active = log_active(log);
    struct store *store = log->store;
    struct extend_job *job = malloc(sizeof(*job));
    if (!job) {
        return false;
    }
    uint64_t now_us = reactor_now_us(store->reactor);
    if (now_us - active->extended_us < EXTENT_FAST_US && active->extent_bytes < EXTENT_BYTES_MAX) {
        active->extent_bytes *= 2;
    }
    active->extended_us = now_us;
    uint64_t end = (uint64_t)active->file_bytes + active->extent_bytes;
    end = end > needed ? end : needed;
    uint64_t end_max = extent_end_max(log, needed);
    end = end < end_max ? end : end_max;
    /* a clean stop has cut the file inside a block, so the block is allocated again */
    uint32_t from = active->file_bytes ? active->file_bytes : block_floor(active->appended);
    end = end > from ? end : from + FILE_BLOCK_BYTES;
    *job = (struct extend_job){
        .job.run = extend_job_run,
        .segment = active,
        .place = {.directory = store->options.directory, .name = log->name},
        .base_offset = active->base_offset,
        .position = from,
        .bytes = (uint32_t)(end - from),
        .bytes_min = needed > from ? (uint32_t)(needed - from) : FILE_BLOCK_BYTES,
    };
    active->is_extending = true;
    log->busy++;
    reactor_job(store->reactor, &job->job, append_extended);
    return true;
}

static void append_extended(struct op *op)
{
    struct extend_job *job = container_of(op, struct extend_job, job.op);
    struct segment *segment = job->segment;
    struct log *log = segment->log;
    int64_t result = op->result;
    uint64_t now_us = reactor_now_us(log->store->reactor);
    segment->is_extending = false;
    if (result >= 0) {
        segment->file_bytes = job->position + job->bytes;
    }
    free(job);
    fail_if_failed(log->store, result);
    if (result == -ENOSPC) {
        log->full_us = now_us;
        segment->extent_bytes = EXTENT_BYTES_MIN;
    }
    if (segment->is_extent_waited_for) {
        segment->is_extent_waited_for = false;
        prepare_end(log, result);
    } /* else it was ahead of need: an append that lacks it will ask again */
    log_came_home(log);
}

static enum admission make_space(struct log *log, struct log_append *append, uint64_t needed)
{
    struct segment *active = log_active(log);
    if (needed <= active->file_bytes) {
        uint32_t left = active->file_bytes - active->appended;
        if (left < active->extent_bytes / 2 && !active->is_extending && !is_known_full(log) &&
            active->file_bytes < extent_end_max(log, 0)) {
            (void)extend_begin(log, needed); /* ahead of need */
        }
        return ADMITTED;
    }
    if (!active->is_extending) {
        if (is_known_full(log)) {
            return ended(append, -ENOSPC);
        }
        if (!extend_begin(log, needed)) {
            return ended(append, -ENOMEM);
        }
    }
    active->is_extent_waited_for = true;
    prepare_begin(log);
    return WAITS;
}

static void read_rest(struct log *log)
{
    log->rest_io.fd = log_active(log)->fd;
    reactor_read(log->store->reactor, &log->rest_io, append_restored);
}

/* The bytes of the last block, which the journal gets again: they were dropped, or this is the
 * first append since the start. */
static enum admission restore_rest(struct log *log)
{
    struct segment *active = log_active(log);
    struct store *store = log->store;
    log->rest_io = (struct file_io){
        .buffer = tail_take(&store->tail, FILE_BLOCK_BYTES),
        .bytes = FILE_BLOCK_BYTES,
        .position = block_floor(active->appended),
    };
    if (!log->rest_io.buffer) {
        return wait_for_memory(log);
    }
    prepare_begin(log);
    if (segment_hold(active, &log->rest_io.op, append_held)) {
        read_rest(log);
    }
    return WAITS;
}

static void append_held(struct op *op)
{
    struct log *log = container_of(op, struct log, rest_io.op);
    struct store *store = log->store;
    if (op->result < 0) {
        tail_give(&store->tail, log->rest_io.buffer, FILE_BLOCK_BYTES);
        prepare_end(log, op->result);
        return;
    }
    read_rest(log);
}

static void append_restored(struct op *op)
{
    struct log *log = container_of(op, struct log, rest_io.op);
    struct store *store = log->store;
    struct segment *active = log_active(log);
    uint32_t rest = active->appended % FILE_BLOCK_BYTES;
    int64_t result = op->result;
    segment_drop(active);
    if (result >= 0 && result < rest) {
        result = -EIO; /* the file is shorter than what is in it */
    }
    bool is_restored =
        result >= 0 && chunks_restore(&active->chunks, &store->tail, block_floor(active->appended),
                                      log->rest_io.buffer, rest);
    tail_give(&store->tail, log->rest_io.buffer, FILE_BLOCK_BYTES);
    if (result < 0 || is_restored) {
        prepare_end(log, result < 0 ? result : 0);
        return;
    }
    log->is_preparing = false;
    (void)wait_for_memory(log); /* and then it is read again */
    log_came_home(log);
}

/* -- the first of the queue -------------------------------------------------------------------- */

static uint32_t rest_of(const struct segment *active)
{
    return active->settled == active->appended ? active->settled % FILE_BLOCK_BYTES : 0;
}

/* How much of the batch goes into the next commit: at most half of one, so that there is soon room
 * for it, however many small ones pass by. */
static uint32_t portion_bytes(const struct log *log, const struct log_append *append)
{
    uint64_t max = journal_entry_bytes_max(&log->store->journal) / 2;
    uint32_t left = append->bytes - append->placed_bytes;
    return left < max ? left : (uint32_t)max;
}

/* As entries of step_bytes each: what they take of a commit. */
static uint32_t slices_bytes(const struct log *log, uint32_t bytes)
{
    uint32_t step_bytes = log->store->options.step_bytes;
    return bytes + (bytes + step_bytes - 1) / step_bytes * ENTRY_HEADER_BYTES;
}

/* Memory, journal room and what the entries need: from here on the portion waits for turns only. */
static enum admission admit_portion(struct log *log, struct log_append *append)
{
    struct store *store = log->store;
    struct segment *active = log_active(log);
    uint32_t bytes = portion_bytes(log, append);
    uint32_t rest = active->appended % FILE_BLOCK_BYTES;
    if (rest > 0 && !chunks_find(&active->chunks, active->appended - 1)) {
        return restore_rest(log);
    }
    if (!journal_has_room(&store->journal, CLAIM_DATA,
                          (uint64_t)rest_of(active) + slices_bytes(log, bytes) -
                              ENTRY_HEADER_BYTES)) {
        return wait_for_store(log);
    }
    if (!write_back_can_mark(log)) {
        return append->placed_bytes ? wait_for_store(log) : ended(append, -ENOMEM);
    }
    if (!append->is_in_tail &&
        !chunks_reserve(&active->chunks, &store->tail, active->appended, bytes)) {
        return wait_for_memory(log);
    }
    return ADMITTED;
}

static enum admission corrupt(struct log_append *append)
{
    append->duplicate = false;
    append->base_offset = append->last_offset = -1;
    return ended(append, REFUSAL_CORRUPT_MESSAGE);
}

/* Sums up to so many bytes of a batch that nobody has read. False: it is not what was meant. */
static bool sum_on(struct log_append *append, uint32_t bytes)
{
    uint32_t left = append->bytes - append->crc_at;
    bytes = bytes < left ? bytes : left;
    append->crc = crc32c(append->crc, append->batch + append->crc_at, bytes);
    append->crc_at += bytes;
    append->is_unread = bytes < left;
    return append->is_unread || append->crc == append->header.crc;
}

/* Its offsets; the bytes that change lie outside the CRC. */
static void append_number(struct log *log, struct log_append *append)
{
    append->segment = log_active(log);
    append->header.base_offset = log->next_offset;
    append->header.partition_leader_epoch = append->leader_epoch;
    append->base_offset = log->next_offset;
    append->last_offset = batch_last_offset(&append->header);
    batch_place(append->batch, append->base_offset, append->leader_epoch);
}

/* Into the tail, with the CRC in the same pass; nothing is placed before it was found good. */
static enum admission read_into_tail(struct log *log, struct log_append *append)
{
    struct store *store = log->store;
    struct segment *active = log_active(log);
    if (!append->is_reading) {
        append->is_reading = true;
        append_number(log, append);
        chunks_append(&active->chunks, active->appended, append->batch, BATCH_ATTRIBUTES);
    }
    uint32_t bytes = append->bytes - append->crc_at;
    bytes = bytes < store->options.step_bytes ? bytes : store->options.step_bytes;
    append->crc = chunks_append_summed(&active->chunks, active->appended + append->crc_at,
                                       append->batch + append->crc_at, bytes, append->crc);
    append->crc_at += bytes;
    if (append->crc_at < append->bytes) {
        return READS;
    }
    append->is_reading = append->is_unread = false;
    if (append->crc != append->header.crc) {
        chunks_take_back(&active->chunks, &store->tail, active->appended, active->settled);
        return corrupt(append);
    }
    append->is_in_tail = true;
    return is_over(log) ? READS : admit_portion(log, append); /* over: the next step ends it */
}

static enum admission admit(struct log *log, struct log_append *append)
{
    struct store *store = log->store;
    if (store->offline || store->journal.offline) {
        return ended(append, -EIO);
    }
    if (log->dropped) {
        return ended(append, -ESTALE);
    }
    if (append->placed_bytes > 0 || append->is_in_tail) { /* it was admitted before */
        return admit_portion(log, append);
    }
    if (!log_open(log, &log->open_op, append_opened)) {
        prepare_begin(log);
        return WAITS;
    }
    if (append->bytes > log->settings.segment_bytes) {
        return ended(append, REFUSAL_RECORD_LIST_TOO_LARGE);
    }
    enum admission checked = check_producer(log, append);
    bool rolls = checked == ADMITTED && must_roll(log, &append->header);
    bool is_split = portion_bytes(log, append) < append->bytes;
    bool is_begun = append->crc_at > BATCH_ATTRIBUTES;
    if (append->is_unread && (checked != ADMITTED || rolls || is_split || is_begun)) {
        return UNREAD; /* before its header decides anything */
    }
    if (checked != ADMITTED) {
        return checked;
    }
    if (rolls && log_roll(log) < 0) {
        return ended(append, -ENOMEM);
    }
    struct segment *active = log_active(log);
    if (log->told_base != active->base_offset ||
        (active->file_bytes == 0 && active->appended == 0)) {
        return make_segment(log, append);
    }
    enum admission admitted =
        make_space(log, append, block_ceiling((uint64_t)active->appended + append->bytes));
    if (admitted == ADMITTED) {
        admitted = admit_portion(log, append);
    }
    return admitted == ADMITTED && append->is_unread ? read_into_tail(log, append) : admitted;
}

static void append_opened(struct op *op)
{
    prepare_end(container_of(op, struct log, open_op), op->result);
}

/* -- placed ------------------------------------------------------------------------------------ */

/* The whole batch is in the tail: the log has it from here on, though nobody sees it yet. */
static void append_apply(struct log *log, struct log_append *append)
{
    struct segment *active = append->segment;
    const struct batch *batch = &append->header;
    uint32_t position = active->appended - append->bytes;
    if (active->first_timestamp < 0 && position == 0) {
        active->first_timestamp = batch->max_timestamp;
    }
    if (batch_has_producer(batch) && !(batch->attributes & BATCH_CONTROL) &&
        producers_apply(&log->producers, batch) < 0) {
        store_fail(log->store, -ENOMEM); /* a retry would be taken for news */
    }
    expiry_note(log);
    log->basis.bytes_since += append->bytes;
    log->written.bytes_since += append->bytes;
    time_index_note(&active->time_index, batch->max_timestamp, append->last_offset);
    if (offset_index_append(&active->offset_index, append->last_offset, position, append->bytes) ==
        1) {
        (void)time_index_append(&active->time_index); /* sparse: one less */
    }
    if (append->leader_epoch > epochs_latest(&log->epochs)) {
        log_assign_epoch(log, append->leader_epoch);
    }
    struct metrics *metrics = &log->store->reactor->metrics;
    metric_add(metrics, METRIC_BATCHES_IN, 1);
    metric_add(metrics, METRIC_RECORDS_IN, (uint64_t)batch->records_count);
    log->next_offset = append->last_offset + 1;
    log->end_position = active->appended;
}

/* What one step copies: into the tail, and to the journal. */
static void slice_place(struct log *log, struct log_append *append)
{
    struct store *store = log->store;
    struct segment *active = log_active(log);
    uint32_t bytes = append->portion_left;
    bytes = bytes < store->options.step_bytes ? bytes : store->options.step_bytes;
    uint8_t *from = append->batch + append->placed_bytes;
    append->portion_left -= bytes;
    append->entry.log_sequence = log->sequence++;
    append->entry.bytes[1] = (struct iovec){.iov_base = from, .iov_len = bytes};
    append->entry.follow_bytes = slices_bytes(log, append->portion_left);
    if (!append->is_in_tail) {
        chunks_append(&active->chunks, active->appended, from, bytes);
    }
    active->appended += bytes;
    append->placed_bytes += bytes;
    assert(active->appended <= active->file_bytes);
    if (append->placed_bytes == append->bytes) {
        append_apply(log, append);
    }
    journal_append(&store->journal, &append->entry, append_committed);
}

static void slice_place_next(struct log *log, struct log_append *append)
{
    append->entry.position = log_active(log)->appended;
    append->entry.rest_bytes = 0;
    append->entry.bytes[0].iov_len = 0;
    slice_place(log, append);
}

/* A portion of the first append: offsets, and its first slice. */
static void portion_place(struct log *log, struct log_append *append)
{
    struct segment *active = log_active(log);
    if (append->placed_bytes == 0) {
        append_number(log, append);
    }
    uint32_t rest = rest_of(active);
    append->portion_left = portion_bytes(log, append);
    active->settled -= rest; /* the block grows: it is not durable as a whole any more */
    append->entry = (struct journal_append){
        .log_id = log->id,
        .type = ENTRY_DATA,
        .segment_base = active->base_offset,
        .position = active->appended - rest,
        .rest_bytes = rest,
        .bytes = {{.iov_len = rest}},
    };
    if (rest > 0) {
        struct chunk *chunk = chunks_find(&active->chunks, active->appended - 1);
        append->entry.bytes[0].iov_base = chunk->data + (append->entry.position - chunk->position);
    }
    log->appends_in_flight++;
    log->is_part_out = true;
    slice_place(log, append);
    write_back_mark(log, &append->entry);
}

/* All slices of a portion are with the journal. */
static void portion_end(struct log *log, const struct log_append *append)
{
    log->is_part_out = append->placed_bytes < append->bytes;
    if (!log->is_part_out) {
        op_queue_pop(&log->appends);
    }
}

/* The first append ends here, or waits for the batch that it repeats. */
static void append_ended(struct log *log, struct log_append *append)
{
    op_queue_pop(&log->appends);
    if (append->duplicate && append->op.result == 0 && append->last_offset >= log->log_end) {
        op_queue_push(&log->repeats, &append->op);
    } else {
        append_end_soon(log, append, append->op.result);
    }
}

/* False: the turn has no time for more. */
static bool repeats_end(struct log *log)
{
    while (log->repeats.head) {
        struct log_append *append = container_of(log->repeats.head, struct log_append, op);
        int64_t result = append->last_offset < log->log_end ? 0 : log->dropped ? -ESTALE : -EIO;
        if (result != 0 && !is_over(log)) {
            return true; /* others wait for batches before this one, or a little longer */
        }
        if (!turn_take(log->store, 0)) {
            turn_wait(log);
            return false;
        }
        op_queue_pop(&log->repeats);
        append_end_soon(log, append, result);
    }
    return true;
}

/* -- large ones -------------------------------------------------------------------------------- */

static bool is_large(const struct log *log, const struct log_append *append)
{
    return append->bytes - append->placed_bytes > log->store->options.step_bytes;
}

static void larges_soon(struct store *store)
{
    if (!store->is_large_due && !list_is_empty(&store->larges)) {
        store->is_large_due = true;
        reactor_ready(store->reactor, &store->large_op, larges_go_on);
    }
}

/* What the first append needs is on its way, or a job reads the producers. */
static bool is_held(const struct log *log)
{
    return log->is_preparing || log->are_producers_lent;
}

static void large_join(struct log *log)
{
    if (!link_is_listed(&log->large_link)) {
        list_push(&log->store->larges, &log->large_link);
        larges_soon(log->store);
    }
}

enum large_progress {
    LARGE_MORE,  /* a turn for the next slice */
    LARGE_WAITS, /* append_pump is called when it may go on */
    LARGE_DONE,
};

/* One step of the first append, which came into the line as a large one. */
static enum large_progress large_step(struct log *log)
{
    struct log_append *append = log->appends.head ? first_of(log) : NULL;
    if (!append || is_held(log)) {
        return LARGE_DONE;
    }
    if (append->portion_left > 0) {
        slice_place_next(log, append);
    } else if (log->is_part_out) {
        return LARGE_WAITS;
    } else {
        switch (append->is_reading ? read_into_tail(log, append) : admit(log, append)) {
        case READS:
            return LARGE_MORE;
        case UNREAD:
            if (sum_on(append, log->store->options.step_bytes)) {
                return LARGE_MORE;
            }
            (void)corrupt(append);
            append_ended(log, append);
            return LARGE_DONE;
        case WAITS:
            return LARGE_WAITS;
        case ENDED:
            append_ended(log, append);
            return LARGE_DONE;
        case ADMITTED:
            portion_place(log, append);
        }
    }
    if (append->portion_left > 0) {
        return LARGE_MORE;
    }
    portion_end(log, append);
    return log->is_part_out ? LARGE_WAITS : LARGE_DONE;
}

static void larges_go_on(struct op *op)
{
    struct store *store = container_of(op, struct store, large_op);
    store->is_large_due = false;
    struct link *link = list_first(&store->larges);
    if (link) {
        struct log *log = container_of(link, struct log, large_link);
        log->busy++;
        enum large_progress progress = large_step(log);
        if (progress != LARGE_MORE) {
            link_remove(link);
        }
        if (progress == LARGE_DONE) {
            append_pump(log);
        }
        log_came_home(log);
    }
    larges_soon(store);
}

/* -- whatever may go on ------------------------------------------------------------------------ */

void append_pump(struct log *log)
{
    if (!repeats_end(log)) {
        return;
    }
    while (log->appends.head && (!is_held(log) || is_over(log))) {
        struct log_append *append = first_of(log);
        if (append->placed_bytes > 0 && log->is_part_out) {
            return;
        }
        if (is_large(log, append) && !is_over(log)) {
            large_join(log);
            return;
        }
        if (!turn_take(log->store, is_over(log) ? 0 : append->bytes)) {
            turn_wait(log);
            return;
        }
        switch (admit(log, append)) {
        case READS: /* only large ones take several steps */
        case WAITS:
            return;
        case UNREAD:
            if (!sum_on(append, append->bytes)) {
                (void)corrupt(append);
                append_ended(log, append);
            }
            break;
        case ENDED:
            append_ended(log, append);
            break;
        case ADMITTED:
            portion_place(log, append);
            portion_end(log, append);
            break;
        }
    }
}

/* -- committed --------------------------------------------------------------------------------- */

static void append_committed(struct op *op)
{
    struct log_append *append = container_of(op, struct log_append, entry.op);
    struct log *log = append->log;
    struct store *store = log->store;
    struct segment *segment = append->segment;
    bool is_whole = append->placed_bytes == append->bytes;
    int64_t result = op->result < 0 ? -EIO : 0;
    log->busy++;
    log->appends_in_flight--;
    if (result == 0) {
        segment->committed = append->entry.position + append->entry.rest_bytes +
                             (uint32_t)append->entry.bytes[1].iov_len;
        assert(segment->committed <= segment->appended);
    } else {
        store_fail(store, -EIO);
    }
    if (!is_whole) { /* the first of the queue still */
        log->is_part_out = false;
    } else {
        if (result == 0) {
            segment->readable = segment->committed;
            log->log_end = log->high_watermark = append->last_offset + 1;
            log_has_news(log);
        }
        append->op.result = result;
        append->op.then(&append->op); /* may free it */
    }
    if (result == 0 && !log->dropped) {
        write_back_committed(segment);
    }
    log_commit_ended(log);
    append_pump(log);
    log_came_home(log);
}
