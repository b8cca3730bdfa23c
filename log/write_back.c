/* write_back -- presses, writes, settlings, releases. */
#include "log/write_back.h"

#include "core/metrics.h"
#include "log/log.h"
#include "log/log_files.h"
#include "log/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    GATHERED_BYTES = 256 << 10, /* a log writes whole blocks once it has so many */
    WRITE_BYTES_MAX = 1 << 20,
    PRESSES_PER_TURN = 128,
    IDLE_PER_TURN = 128,
};

static void press_go_on(struct op *op);  /* what the wanted journal files hold, some each turn */
static void writes_go_on(struct op *op); /* begin a write */
static void write_held(struct op *op);   /* its file is open */
static void write_ended(struct op *op);
static void settle_maybe(struct store *store);
static void settle_gather(struct op *op); /* what this settling covers, some segments each turn */
static void settle_ended(struct op *op);  /* the job is done */
static void settle_apply(struct op *op);  /* what it made durable, some segments each turn */
static void idle_passed(struct op *op);
static void press_again(struct store *store);
static void press_soon(struct store *store);

bool write_back_init(struct store *store)
{
    list_init(&store->writes_queue);
    list_init(&store->settle_pending);
    list_init(&store->unsettled);
    bool is_whole = true;
    for (int i = 0; i < WRITES_MAX; i++) {
        store->writes[i] = (struct write){
            .store = store, .bounce = aligned_alloc(FILE_BLOCK_BYTES, FILE_BLOCK_BYTES)};
        is_whole &= store->writes[i].bounce != NULL;
    }
    return is_whole;
}

void write_back_deinit(struct store *store)
{
    for (int i = 0; i < WRITES_MAX; i++) {
        free(store->writes[i].bounce);
        store->writes[i].bounce = NULL;
    }
}

static bool is_writing(const struct store *store)
{
    for (int i = 0; i < WRITES_MAX; i++) {
        if (store->writes[i].segment) {
            return true;
        }
    }
    return false;
}

bool write_back_drain(struct store *store)
{
    if (is_writing(store) || store->settling || store->is_press_due || store->is_writes_due) {
        return false;
    }
    if (list_is_empty(&store->unsettled) && list_is_empty(&store->settle_pending)) {
        return true;
    }
    store->is_settle_wanted = true;
    store->data_wanted = store->journal.ring.head;
    press_again(store);
    press_soon(store);
    return false;
}

/* -- marks ------------------------------------------------------------------------------------- */

bool write_back_can_mark(struct log *log)
{
    if (!log->mark_spare) {
        log->mark_spare = malloc(sizeof(struct mark));
    }
    return log->mark_spare != NULL;
}

void write_back_mark(struct log *log, const struct journal_append *entry)
{
    struct store *store = log->store;
    log->appended_us = reactor_now_us(store->reactor);
    list_push(&store->unsettled, &log->unsettled_link);
    if (!timer_is_running(&store->idle_timer)) {
        timer_start(store->reactor, &store->idle_timer, store->options.idle_us, idle_passed);
    }
    if (log->marks_last && log->marks_last->ordinal == entry->file_ordinal) {
        return;
    }
    struct mark *mark = log->mark_spare;
    log->mark_spare = NULL;
    *mark = (struct mark){
        .ordinal = entry->file_ordinal,
        .sequence = entry->log_sequence,
        .segment_base = entry->segment_base,
        .position = entry->position,
        .log = log,
    };
    if (log->marks_last) {
        log->marks_last->next = mark;
    } else {
        log->marks = mark;
    }
    log->marks_last = mark;
    link_init(&mark->holder_link);
    list_push(&store_holders(store, mark->ordinal)->marks, &mark->holder_link);
}

uint64_t write_back_data_from(const struct log *log)
{
    return log->marks ? log->marks->sequence : log->sequence;
}

static void mark_pop(struct log *log)
{
    struct mark *mark = log->marks;
    log->marks = mark->next;
    if (!log->marks) {
        log->marks_last = NULL;
        link_remove(&log->unsettled_link);
    }
    link_remove(&mark->holder_link);
    free(mark);
}

/* A mark goes when all DATA up to the next one is settled. */
static void marks_pop(struct log *log)
{
    uint32_t i = log->segments_count;
    while (i > 0 && log->marks && log->segments[i - 1]->base_offset > log->marks->segment_base) {
        i--;
    }
    for (; i > 0 && i <= log->segments_count; i++) { /* the first that is not settled */
        if (log->segments[i - 1]->settled < log->segments[i - 1]->appended) {
            break;
        }
    }
    const struct segment *unsettled = i <= log->segments_count ? log->segments[i - 1] : NULL;
    while (log->marks) {
        const struct mark *next = log->marks->next;
        if (unsettled && (!next || next->segment_base > unsettled->base_offset ||
                          (next->segment_base == unsettled->base_offset &&
                           next->position > unsettled->settled))) {
            break;
        }
        mark_pop(log);
    }
}

static void segment_forget(struct segment *segment)
{
    struct store *store = segment->log->store;
    link_remove(&segment->write_link);
    link_remove(&segment->settle_link);
    if (segment->is_pressed) {
        segment->is_pressed = false;
        store->pressed_count--;
    }
}

void write_back_stop(struct log *log)
{
    for (uint32_t i = log->segments_count; i > 0 && !log->segments[i - 1]->is_cut; i--) {
        segment_forget(log->segments[i - 1]);
    }
    settle_maybe(log->store); /* it may have waited for this one */
}

void write_back_forget(struct log *log)
{
    while (log->marks) {
        mark_pop(log);
    }
    free(log->mark_spare);
    log->mark_spare = NULL;
    write_back_stop(log);
}

/* -- what is to be written --------------------------------------------------------------------- */

static void writes_soon(struct store *store)
{
    if (!store->is_writes_due && !list_is_empty(&store->writes_queue)) {
        store->is_writes_due = true;
        reactor_background(store->reactor, &store->writes_op, writes_go_on);
    }
}

static void write_wanted(struct segment *segment, uint32_t to)
{
    struct store *store = segment->log->store;
    if (to > segment->write_to) {
        segment->write_to = to;
    }
    if (segment->written < segment->write_to && !segment->is_writing) {
        list_push(&store->writes_queue, &segment->write_link);
        writes_soon(store);
    }
}

static void press_segment(struct segment *segment)
{
    if (segment->written >= segment->committed) {
        return;
    }
    if (!segment->is_pressed) {
        segment->is_pressed = true;
        segment->log->store->pressed_count++;
    }
    write_wanted(segment, segment->committed);
}

/* All that is committed shall be written, and then settled. */
static void press_log(struct log *log)
{
    if (log->dropped) {
        return; /* its marks go with it */
    }
    log->is_press_late = log_active(log)->committed < log_active(log)->appended;
    for (uint32_t i = log->segments_count; i > 0; i--) {
        struct segment *segment = log->segments[i - 1];
        press_segment(segment);
        if (log->marks && segment->base_offset <= log->marks->segment_base) {
            break;
        }
    }
    log->store->is_settle_wanted = true;
}

void write_back_committed(struct segment *segment)
{
    struct log *log = segment->log;
    if (log->store->offline || log->dropped) {
        return;
    }
    if (log->is_press_late) { /* its mark was to go, and these bytes were on their way */
        log->is_press_late = false;
        press_log(log);
        settle_maybe(log->store);
    } else if (segment->is_sealed) {
        write_wanted(segment, segment->committed);
    } else if (segment->committed - block_floor(segment->written) >= GATHERED_BYTES) {
        write_wanted(segment, block_floor(segment->committed));
    }
}

void write_back_sealed(struct segment *segment)
{
    list_push(&segment->log->store->settle_pending, &segment->settle_link);
    write_back_committed(segment);
}

/* -- pressed ----------------------------------------------------------------------------------- */

static void press_soon(struct store *store)
{
    if (!store->is_press_due && !store->offline) {
        store->is_press_due = true;
        reactor_background(store->reactor, &store->press_op, press_go_on);
    }
}

void write_back_press(struct store *store, uint64_t ordinal)
{
    if (ordinal > store->wanted) {
        store->wanted = ordinal;
    }
    press_soon(store);
}

void write_back_press_data(struct store *store)
{
    if (store->data_wanted < store->journal.ring.head) {
        store->data_wanted = store->journal.ring.head;
        press_soon(store);
    }
}

static bool press_one(struct store *store, uint64_t ordinal)
{
    struct holders *holders = store_holders(store, ordinal);
    struct link *link = list_first(&holders->marks);
    if (link) {
        list_push(&holders->marks_pressed, link);
        press_log(container_of(link, struct mark, holder_link)->log);
        return true;
    }
    link = ordinal <= store->wanted ? list_first(&holders->states) : NULL;
    if (link) {
        list_push(&holders->states_pressed, link);
        struct log *log = container_of(link, struct log, state_link);
        if (!log->dropped) { /* a dropped one lets go when its directory is removed */
            store_want_state(store, log);
        }
        return true;
    }
    return false;
}

static uint64_t press_end(const struct store *store)
{
    uint64_t wanted = store->wanted > store->data_wanted ? store->wanted : store->data_wanted;
    uint64_t head = store->journal.ring.head;
    return wanted < head ? wanted : head;
}

static void press_go_on(struct op *op)
{
    struct store *store = container_of(op, struct store, press_op);
    store->is_press_due = false;
    if (store->offline) {
        return;
    }
    uint32_t pressed = 0;
    for (uint64_t ordinal = store->journal.oldest_ordinal; ordinal <= press_end(store); ordinal++) {
        while (press_one(store, ordinal)) {
            if (++pressed == PRESSES_PER_TURN) {
                press_soon(store);
                return;
            }
        }
    }
    store->data_wanted = 0; /* all of it is on its way; what comes later was not meant */
    settle_maybe(store);
    store_go_on(store);
}

/* A settling is over. What was pressed and is still there is pressed once more: a block that took
 * more bytes meanwhile counts as settled only when it is full, or nothing came. */
static void press_again(struct store *store)
{
    bool is_again = false;
    for (uint64_t ordinal = store->journal.oldest_ordinal; ordinal <= store->journal.ring.head;
         ordinal++) {
        struct holders *holders = store_holders(store, ordinal);
        list_move(&holders->marks, &holders->marks_pressed);
        is_again |= ordinal <= store->wanted && !list_is_empty(&holders->marks);
    }
    if (is_again) {
        press_soon(store);
    }
}

static bool holders_are_empty(const struct holders *holders)
{
    return list_is_empty(&holders->marks) && list_is_empty(&holders->marks_pressed) &&
           list_is_empty(&holders->states) && list_is_empty(&holders->states_pressed) &&
           holders->states_in_flight == 0;
}

void write_back_release(struct store *store)
{
    uint64_t ordinal = store->journal.oldest_ordinal;
    while (ordinal < store->journal.ring.head && holders_are_empty(store_holders(store, ordinal))) {
        ordinal++;
    }
    if (ordinal > store->journal.oldest_ordinal && !store->journal.offline) {
        journal_release(&store->journal, ordinal);
    }
}

/* Silent logs are written out, so that a stop has little to do and their chunks can go. */
static void idle_passed(struct op *op)
{
    struct store *store = container_of(op, struct store, idle_timer.op);
    uint64_t now_us = reactor_now_us(store->reactor);
    uint64_t idle_us = store->options.idle_us;
    uint32_t pressed = 0;
    struct link *link = store->unsettled.head.next;
    if (store->offline || store->stopping) {
        return;
    }
    for (; link != &store->unsettled.head && pressed < IDLE_PER_TURN; link = link->next) {
        struct log *log = container_of(link, struct log, unsettled_link);
        if (now_us - log->appended_us < idle_us) {
            break;
        }
        press_log(log);
        pressed++;
    }
    settle_maybe(store);
    if (link != &store->unsettled.head || pressed > 0) {
        timer_start(store->reactor, &store->idle_timer, idle_us / 2, idle_passed);
    }
}

/* -- writes ------------------------------------------------------------------------------------ */

static struct write *write_free(struct store *store)
{
    for (int i = 0; i < WRITES_MAX; i++) {
        if (!store->writes[i].segment) {
            return &store->writes[i];
        }
    }
    return NULL;
}

/* From the block in which `written` lies: whole blocks from where they are, or one block copied. */
static void write_begin(struct write *write, struct segment *segment)
{
    uint32_t start = block_floor(segment->written);
    const struct chunk *chunk = chunks_find(&segment->chunks, start);
    assert(chunk && segment->write_to <= segment->committed);
    uint32_t end = chunk->position + chunk->used;
    end = segment->write_to < end ? segment->write_to : end;
    end = end - start < WRITE_BYTES_MAX ? end : start + WRITE_BYTES_MAX;
    uint8_t *from = chunk->data + (start - chunk->position);
    write->segment = segment;
    write->io = (struct file_io){.position = start};
    if (chunk->capacity >= FILE_BLOCK_BYTES && block_floor(end) > start) {
        end = block_floor(end);
        write->io.buffer = from;
        write->io.bytes = end - start;
    } else {
        memcpy(write->bounce, from, end - start);
        memset(write->bounce + (end - start), 0, FILE_BLOCK_BYTES - (end - start));
        write->io.buffer = write->bounce;
        write->io.bytes = FILE_BLOCK_BYTES;
    }
    write->end = end;
    segment->is_writing = true;
    segment->log->busy++;
    if (segment_hold(segment, &write->io.op, write_held)) {
        write->io.op.result = 0;
        write_held(&write->io.op);
    }
}

static void writes_go_on(struct op *op)
{
    struct store *store = container_of(op, struct store, writes_op);
    store->is_writes_due = false;
    struct link *link = list_first(&store->writes_queue);
    struct write *write = write_free(store);
    if (!link || !write || store->offline) {
        return;
    }
    link_remove(link);
    write_begin(write, container_of(link, struct segment, write_link));
    writes_soon(store);
}

static void write_held(struct op *op)
{
    struct write *write = container_of(op, struct write, io.op);
    if (op->result < 0) {
        write->is_held = false;
        write_ended(op);
        return;
    }
    write->is_held = true;
    write->io.fd = write->segment->fd;
    reactor_write(write->store->reactor, &write->io, write_ended);
}

static void write_ended(struct op *op)
{
    struct write *write = container_of(op, struct write, io.op);
    struct store *store = write->store;
    struct segment *segment = write->segment;
    struct log *log = segment->log;
    if (write->is_held) {
        segment_drop(segment);
    }
    segment->is_writing = false;
    write->segment = NULL;
    if (op->result < 0) {
        store_fail(store, (int)op->result);
    } else if (!log->dropped) {
        segment->written = write->end;
        metric_add(&store->reactor->metrics, METRIC_WRITE_BACK_BYTES, write->io.bytes);
        list_push(&store->settle_pending, &segment->settle_link);
        if (segment->written < segment->write_to) {
            write_wanted(segment, segment->write_to);
        } else if (segment->is_pressed) {
            segment->is_pressed = false;
            store->pressed_count--;
        }
        write_back_committed(segment);
    }
    writes_soon(store);
    settle_maybe(store);
    log_came_home(log);
    store_go_on(store);
}

/* -- settling ---------------------------------------------------------------------------------- */

enum {
    SETTLE_SEGMENTS_MAX = 1024, /* in one job; the others in the next */
    SETTLE_ENTRIES = 32 * 1024, /* of indexes, encoded in one step: about 100 us */
};

struct settle_task {
    struct segment *segment;
    struct index_task index;
    uint32_t settle_to;
};

struct settle_job {
    struct job job;
    struct store *store;
    struct op step;
    int flush_fd; /* the ballast */
    int64_t result;
    uint32_t count;
    uint32_t applied;
    bool is_encoding; /* the last task */
    struct settle_task tasks[];
};

/* Files are cut in their order: the STATE names the first that may not be. */
static bool is_cut_before(const struct segment *segment)
{
    const struct log *log = segment->log;
    if (segment->base_offset == log->segments[0]->base_offset) {
        return true;
    }
    return log_segment(log, segment->base_offset - 1)->is_cut;
}

static int64_t settle_run(struct job *job, struct files *files)
{
    struct settle_job *settle = container_of(job, struct settle_job, job);
    for (uint32_t i = 0; i < settle->count; i++) {
        int result = index_task_run(&settle->tasks[i].index, files, settle->flush_fd);
        if (result < 0) {
            return result;
        }
    }
    return files_flush_all(files, settle->flush_fd);
}

static bool settle_take(struct settle_job *settle, struct segment *segment)
{
    struct log *log = segment->log;
    struct settle_task *task = &settle->tasks[settle->count];
    bool is_whole =
        segment->is_sealed && segment->written == segment->appended && !segment->is_extending;
    *task = (struct settle_task){.segment = segment, .settle_to = segment->written};
    if (!index_task_begin(&task->index, segment, segment->written,
                          is_whole && !segment->is_index_whole,
                          is_whole && segment->is_index_whole && is_cut_before(segment))) {
        return false;
    }
    settle->count++;
    link_remove(&segment->settle_link);
    log->busy++;
    return true;
}

static void settle_maybe(struct store *store)
{
    if (!store->is_settle_wanted || store->pressed_count > 0 || store->settling ||
        store->is_press_due || store->offline) {
        return;
    }
    store->is_settle_wanted = false;
    if (list_is_empty(&store->settle_pending)) {
        return;
    }
    struct settle_job *settle =
        malloc(sizeof(*settle) + SETTLE_SEGMENTS_MAX * sizeof(struct settle_task));
    if (!settle) {
        return; /* pressed again when the next file is wanted */
    }
    *settle =
        (struct settle_job){.job.run = settle_run, .store = store, .flush_fd = store->ballast_fd};
    store->settling = settle;
    reactor_ready(store->reactor, &settle->step, settle_gather);
}

/* The next of this step's; false: there is none, or no memory for it. */
static bool settle_take_next(struct settle_job *settle)
{
    struct link *link = list_first(&settle->store->settle_pending);
    return link && settle->count < SETTLE_SEGMENTS_MAX &&
           settle_take(settle, container_of(link, struct segment, settle_link));
}

static void settle_gather(struct op *op)
{
    struct settle_job *settle = container_of(op, struct settle_job, step);
    struct store *store = settle->store;
    uint32_t entries = SETTLE_ENTRIES;
    bool is_all = store->offline;
    for (uint32_t i = 0; i < store->options.step_items && !is_all && entries > 0; i++) {
        if (!settle->is_encoding && !settle_take_next(settle)) {
            is_all = true;
        } else {
            struct settle_task *task = &settle->tasks[settle->count - 1];
            settle->is_encoding = !index_task_encode(&task->index, task->segment, &entries);
        }
    }
    if (!is_all) {
        reactor_ready(store->reactor, op, settle_gather);
    } else if (store->offline) {
        settle->result = -EIO;
        reactor_ready(store->reactor, op, settle_apply);
    } else {
        store->is_settle_wanted |= settle->count == SETTLE_SEGMENTS_MAX;
        snapshots_flush_begun(store);
        reactor_job(store->reactor, &settle->job, settle_ended);
    }
}

/* These bytes are durable where they belong, unless the last block has grown since. */
static void segment_settle(struct segment *segment, uint32_t settle_to)
{
    struct store *store = segment->log->store;
    uint32_t settled = settle_to == segment->appended ? settle_to : block_floor(settle_to);
    if (settled > segment->settled) {
        segment->settled = settled;
        chunks_settled(&segment->chunks, &store->tail, settled);
    }
    if (segment->written > segment->settled || (segment->is_sealed && !segment->is_cut)) {
        list_push(&store->settle_pending, &segment->settle_link);
    }
}

static void settle_ended(struct op *op)
{
    struct settle_job *settle = container_of(op, struct settle_job, job.op);
    settle->result = op->result;
    if (op->result < 0) {
        store_fail(settle->store, (int)op->result);
    }
    settle_apply(&settle->step);
}

static void settle_apply(struct op *op)
{
    struct settle_job *settle = container_of(op, struct settle_job, step);
    struct store *store = settle->store;
    if (settle->result >= 0 && !snapshots_flushed(store, store->options.step_items)) {
        reactor_ready(store->reactor, op, settle_apply);
        return;
    }
    for (uint32_t i = 0; i < store->options.step_items && settle->applied < settle->count; i++) {
        struct settle_task *task = &settle->tasks[settle->applied++];
        struct segment *segment = task->segment;
        struct log *log = segment->log;
        if (settle->result >= 0 && !log->dropped) {
            index_task_settled(&task->index, segment);
            segment_settle(segment, task->settle_to);
            marks_pop(log);
        }
        index_task_free(&task->index);
        log_came_home(log);
    }
    if (settle->applied < settle->count) {
        reactor_ready(store->reactor, op, settle_apply);
        return;
    }
    store->settling = NULL;
    free(settle);
    press_again(store);
    write_back_release(store);
    settle_maybe(store);
    store_resume(store);
    store_go_on(store);
}
