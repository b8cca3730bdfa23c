/*
 * store_life -- how a store is opened, and closed so that Apache Kafka may open the directory.
 *
 *      journal --> logs, some each turn --> a STATE for each --> open
 *
 *      STORE_SETTLING    all that is unsettled is written out and settled
 *      STORE_FINISHING   each log that was used: files cut, snapshot, epochs; then all is flushed
 *      STORE_TELLING     a final STATE for each
 *      STORE_WAITING     these are durable, and all that was out is home
 *      STORE_CLOSED      journal and files closed, logs gone
 *
 * The files of a log that nobody used since a clean stop are still as that stop left them.
 */
#include "log/checkpoint.h"
#include "log/clean_stop.h"
#include "log/expiry.h"
#include "log/log_files.h"
#include "log/snapshot.h"
#include "log/store.h"
#include "log/write_back.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COMMIT_BYTES_USUAL = 4 << 20,
    FETCH_READ_BYTES = 256 << 10,
    FDS_MAX = 256,
    IDLE_US = 10 * 1000 * 1000,
    STEP_BYTES = 256 << 10, /* two copies and a checksum of them: about 100 us */
    STEP_ITEMS = 64,
    CLOSE_RETRY_US = 5 * 1000, /* after a failure, until all is home */
    COMMIT_BYTES_MIN = 16 << 10,
    FINISHES_MAX = 64,   /* jobs out at once */
    FINISH_ITEMS = 4,    /* of a step: what it takes to begin one */
    PRODUCERS_SHARE = 4, /* one log may have a quarter of the budget's producers, ... */
    PRODUCERS_LEAST = 2 * STATE_PRODUCERS_MAX, /* ... or so many, however small that is */
};

static void ballast_opened(struct op *op);
static void journal_is_open(struct op *op);
static void adopt_go_on(struct op *op);
static void store_step(struct op *op);
static void finish_listed(struct op *op);
static void log_finished(struct op *op);
static void all_flushed(struct op *op);
static void journal_is_closed(struct op *op);

/* -- open -------------------------------------------------------------------------------------- */

static uint32_t commit_bytes_max(const struct store *store)
{
    uint64_t bytes = store->reactor->slabs.budgets[BUDGET_JOURNAL].bytes_max / 2;
    uint64_t half_file = store->options.journal_file_bytes / 2;
    uint32_t commit = COMMIT_BYTES_USUAL; /* a slab: a power of two */
    while (commit > FILE_BLOCK_BYTES && (commit > bytes || commit > half_file)) {
        commit /= 2;
    }
    return commit;
}

/* As much as fits; never more than may be pinned in the tail, since what is in the journal is. */
static uint32_t files_max(const struct store *store)
{
    uint64_t tail = store->reactor->slabs.budgets[BUDGET_TAIL].bytes_max;
    uint64_t bytes = store->options.journal_bytes < tail ? store->options.journal_bytes : tail;
    uint64_t files = bytes / store->options.journal_file_bytes;
    return files < JOURNAL_FILES_MIN ? JOURNAL_FILES_MIN : (uint32_t)files;
}

static void store_pressed(void *context, uint64_t ordinal)
{
    write_back_press(context, ordinal);
}

static void store_has_room(void *context)
{
    store_resume(context);
}

static void store_journal_failed(void *context, int error)
{
    store_fail(context, error);
}

static void store_end(struct store *store, int64_t result)
{
    struct op *op = store->op;
    store->op = NULL;
    op->result = result;
    op->then(op);
}

static_assert(COMMIT_HEADER_BYTES + ENTRY_HEADER_BYTES + (int)STATE_BYTES_MAX <=
                  (int)COMMIT_BYTES_MIN,
              "a STATE fits any commit");
static_assert(2 * (int)FILE_BLOCK_BYTES <= COMMIT_BYTES_MIN / 2,
              "so do the rest of a block, and a portion of half a commit in slices");

static bool commits_are_large_enough(struct store *store)
{
    uint32_t bytes = commit_bytes_max(store);
    if (bytes >= COMMIT_BYTES_MIN) {
        return true;
    }
    snprintf(store->problem, sizeof(store->problem),
             "the journal of core %u in %s could write no more than %u bytes at once, and %d are "
             "needed. Give the broker more memory (odradek.memory.bytes), or fewer cores (--cores)",
             store->options.core, store->options.directory, bytes, COMMIT_BYTES_MIN);
    return false;
}

static bool store_init(struct store *store, struct reactor *reactor,
                       const struct store_options *options)
{
    *store = (struct store){.reactor = reactor, .options = *options, .ballast_fd = -1};
    struct store_options *own = &store->options;
    own->fetch_read_bytes = own->fetch_read_bytes ? own->fetch_read_bytes : FETCH_READ_BYTES;
    own->fds_max = own->fds_max ? own->fds_max : FDS_MAX;
    own->idle_us = own->idle_us ? own->idle_us : IDLE_US;
    own->step_bytes = own->step_bytes ? own->step_bytes : STEP_BYTES;
    own->step_items = own->step_items ? own->step_items : STEP_ITEMS;
    if (own->producers_max == 0) {
        uint64_t bytes = reactor->slabs.budgets[BUDGET_PRODUCERS].bytes_max / PRODUCERS_SHARE;
        uint64_t fitting = bytes / PRODUCER_CHARGE_BYTES;
        own->producers_max = fitting < PRODUCERS_LEAST ? PRODUCERS_LEAST
                             : fitting > PRODUCERS_MAX ? PRODUCERS_MAX
                                                       : (uint32_t)fitting;
    }
    store->logs_end = &store->logs;
    store->holders_count = files_max(store) + 1;
    store->holders = malloc(store->holders_count * sizeof(*store->holders));
    if (!store->holders) {
        return false;
    }
    for (uint32_t i = 0; i < store->holders_count; i++) {
        struct holders *holders = &store->holders[i];
        holders->states_in_flight = 0;
        list_init(&holders->marks);
        list_init(&holders->marks_pressed);
        list_init(&holders->states);
        list_init(&holders->states_pressed);
    }
    tail_init(&store->tail, reactor);
    list_init(&store->append_waits);
    list_init(&store->turn_waits);
    list_init(&store->larges);
    list_init(&store->news);
    list_init(&store->state_queue);
    list_init(&store->fds);
    list_init(&store->loaded);
    list_init(&store->snapshots);
    list_init(&store->snapshots_flushing);
    list_init(&store->expiring);
    return write_back_init(store);
}

static void store_deinit(struct store *store)
{
    write_back_deinit(store);
    tail_deinit(&store->tail);
    free(store->holders);
    store->holders = NULL;
}

void store_open(struct store *store, struct reactor *reactor, const struct store_options *options,
                struct log_state **states, uint32_t states_count, struct op *op, op_fn *then)
{
    op->then = then;
    op->waits_for = "a store";
    struct ballast_job *job = malloc(sizeof(*job));
    bool is_ready = store_init(store, reactor, options);
    if (!job || !is_ready || !commits_are_large_enough(store)) {
        free(job);
        store_deinit(store);
        op->result = -ENOMEM;
        reactor_ready(reactor, op, then);
        return;
    }
    store->op = op;
    store->step = STORE_OPENING;
    store->open_states = states;
    store->open_count = states_count;
    *job = (struct ballast_job){.job.run = ballast_job_run, .store = store};
    reactor_job(reactor, &job->job, ballast_opened);
}

static void ballast_opened(struct op *op)
{
    struct ballast_job *job = container_of(op, struct ballast_job, job.op);
    struct store *store = job->store;
    int64_t result = op->result;
    free(job);
    if (result < 0) {
        store_deinit(store);
        store_end(store, result);
        return;
    }
    store->ballast_fd = (int)result;
    struct journal_options options = {
        .directory = store->options.directory,
        .start = store->options.start,
        .core = store->options.core,
        .salt = store->options.salt,
        .file_bytes = store->options.journal_file_bytes,
        .files_max = files_max(store),
        .commit_bytes_max = commit_bytes_max(store),
        .ends_max = store->options.step_items,
        .pressed = store_pressed,
        .room = store_has_room,
        .failed = store_journal_failed,
        .context = store,
    };
    journal_open(&store->journal, store->reactor, &options, &store->open_op, journal_is_open);
}

static void journal_is_open(struct op *op)
{
    struct store *store = container_of(op, struct store, open_op);
    if (op->result < 0) {
        int64_t result = op->result;
        store->offline = true;
        store->open_count = 0;
        segments_close_fds(store, &store->ballast_fd, 1);
        store->close_result = result;
        store->step = STORE_CLOSED;
        store_go_on(store);
        return;
    }
    reactor_ready(store->reactor, &store->open_op, adopt_go_on);
}

static void adopt_go_on(struct op *op)
{
    struct store *store = container_of(op, struct store, open_op);
    static const struct log_settings defaults = {
        .segment_bytes = 1 << 30,
        .segment_ms = INT64_C(7) * 24 * 3600 * 1000,
        .index_interval_bytes = 4096,
        .index_bytes_max = 10 << 20,
    };
    if (store->offline) {
        store->open_count = store->open_done;
    }
    for (uint32_t i = 0; i < store->options.step_items && store->open_done < store->open_count;
         i++) {
        struct log_state *state = store->open_states[store->open_done++];
        struct log *log = log_new(store, state, &defaults);
        if (log) {
            store_want_state(store, log);
        } else {
            store_fail(store, -ENOMEM);
        }
    }
    if (store->open_done < store->open_count) {
        reactor_ready(store->reactor, &store->open_op, adopt_go_on);
    } else {
        store_go_on(store);
    }
}

static bool states_are_told(const struct store *store)
{
    return store->states_out == 0 && list_is_empty(&store->state_queue);
}

/* -- close ------------------------------------------------------------------------------------- */

void store_close(struct store *store, struct clean_stop_log *logs, struct op *op, op_fn *then)
{
    assert(store->step == STORE_OPEN);
    op->then = then;
    op->waits_for = "a store's clean stop";
    store->op = op;
    store->stopping = true;
    store->step = STORE_SETTLING;
    store->stop_logs = logs;
    timer_cancel(store->reactor, &store->idle_timer);
    timer_cancel(store->reactor, &store->retry_timer);
    expiry_stop(store);
    store_go_on(store);
}

static bool has_files(const struct log *log)
{
    return log->has_directory || (!log->is_listed && log->next_offset > 0);
}

/* Its files are not what a clean stop leaves. */
static bool must_finish(const struct log *log)
{
    return has_files(log) && (log->is_listed || !log->store->options.was_clean);
}

static void finish_begin(struct log *log)
{
    struct store *store = log->store;
    struct segment *active = log_active(log);
    struct finish_job *job = calloc(1, sizeof(*job));
    if (!job) {
        store_fail(store, -ENOMEM);
        return;
    }
    job->job.run = finish_job_run;
    job->log = log;
    job->log_end = log->log_end;
    job->ballast_fd = store->ballast_fd;
    link_remove(&log->snapshot_link); /* this one is newer */
    log->written = (struct producers_basis){0};
    job->snapshot = snapshot_task_at(log, log->log_end);
    job->told_snapshot = log->told_snapshot;
    size_t room = (size_t)(log->epochs.count + 2) * CHECKPOINT_LINE_BYTES_MAX;
    job->epochs = malloc(room);
    segment_seal(active);
    uint32_t entries = UINT32_MAX; /* few: all was settled before */
    if (!job->epochs || !index_task_begin(&job->index, active, active->appended, true, true) ||
        !index_task_encode(&job->index, active, &entries)) {
        free(job->epochs);
        free(job);
        store_fail(store, -ENOMEM);
        return;
    }
    job->epochs_bytes = checkpoint_print_epochs(job->epochs, &log->epochs);
    log->busy++;
    store->finishes_out++;
    reactor_job(store->reactor, &job->job, log_finished);
}

static void log_finished(struct op *op)
{
    struct finish_job *job = container_of(op, struct finish_job, job.op);
    struct log *log = job->log;
    struct store *store = log->store;
    if (op->result < 0) {
        store_fail(store, (int)op->result);
    } else {
        struct segment *active = log_active(log);
        active->offset_entries_settled = job->index.offset_to;
        active->time_entries_settled = job->index.time_to;
        if (job->snapshot.producers) {
            snapshot_written(log, log->log_end, active->base_offset, log->end_position);
        }
    }
    index_task_free(&job->index);
    free(job->epochs);
    free(job);
    log->busy--;
    store->finishes_out--;
    store_go_on(store);
}

static void finish_listed(struct op *op)
{
    struct log *log = container_of(op, struct log, open_op);
    struct store *store = log->store;
    store->finishes_out--;
    if (op->result < 0) {
        store_fail(store, (int)op->result);
    } else if (!store->offline) {
        finish_begin(log);
    }
    store_go_on(store);
}

static void finish_some(struct store *store)
{
    uint32_t spent = 0;
    while (store->next && store->finishes_out < FINISHES_MAX && !store->offline) {
        struct log *log = store->next;
        if (spent >= store->options.step_items) {
            store_go_on(store);
            return;
        }
        store->next = log->next;
        if (!must_finish(log)) {
            spent++;
            continue;
        }
        spent += FINISH_ITEMS;
        store->finishes_out++;
        if (log_open(log, &log->open_op, finish_listed)) {
            store->finishes_out--;
            finish_begin(log);
        }
    }
}

static void flush_begin(struct store *store)
{
    struct flush_job *job = malloc(sizeof(*job));
    if (!job) {
        store_fail(store, -ENOMEM);
        return;
    }
    *job = (struct flush_job){.job.run = flush_job_run, .store = store};
    snapshots_flush_begun(store);
    store->finishes_out++;
    reactor_job(store->reactor, &job->job, all_flushed);
}

static void all_flushed(struct op *op)
{
    struct flush_job *job = container_of(op, struct flush_job, job.op);
    struct store *store = job->store;
    int64_t result = op->result;
    free(job);
    store->ballast_fd = -1;
    store->finishes_out--;
    if (result < 0) {
        store_fail(store, (int)result);
        return;
    }
    store->step = STORE_TELLING;
    store->next = store->logs;
    store_go_on(store);
}

static void tell_some(struct store *store)
{
    if (!snapshots_flushed(store, store->options.step_items)) { /* first what these name */
        store_go_on(store);
        return;
    }
    for (uint32_t i = 0; i < store->options.step_items && store->next; i++) {
        struct log *log = store->next;
        store->next = log->next;
        if (log->told_base >= 0) { /* the journal knows it */
            store_want_state(store, log);
        }
    }
    if (!store->next) {
        store->step = STORE_WAITING;
        store->next = store->logs;
    }
    store_go_on(store);
}

static void stop_log_fill(struct clean_stop_log *stop, const struct log *log)
{
    *stop = (struct clean_stop_log){
        .log_start = log->log_start,
        .log_end = log->log_end,
        .high_watermark = log->high_watermark,
        .log_start_moved = log->log_start > log->segments[0]->base_offset,
    };
    snprintf(stop->name, sizeof(stop->name), "%s", log->name);
}

static void empty_some(struct store *store)
{
    uint32_t items = store->options.step_items;
    for (struct log *log; (log = store->logs) && items > 0;) {
        if (log->segments_count > 0 && has_files(log) && store->stop_logs && !log->is_emptied) {
            stop_log_fill(&store->stop_logs[store->stop_count++], log);
        }
        if (log_empty(log, &items)) {
            log_free(log);
        }
    }
}

/* Something of the store's own is in the reactor's queues. */
static bool is_step_queued(const struct store *store)
{
    return store->is_press_due || store->is_writes_due || store->is_news_due ||
           store->is_resuming || store->is_state_due || store->is_fail_due || store->is_large_due ||
           store->is_turn_due || store->is_expiry_due || store->open_done < store->open_count;
}

static bool is_anything_out(const struct store *store)
{
    return store->finishes_out > 0 || store->states_out > 0 || store->settling ||
           is_step_queued(store);
}

static bool is_log_out(const struct log *log)
{
    return log->busy > 0 || log->appends_in_flight > 0 || !op_queue_is_empty(&log->appends) ||
           !op_queue_is_empty(&log->repeats);
}

static void close_retry(struct op *op)
{
    store_go_on(container_of(op, struct store, retry_timer.op));
}

/* From store->next on, some each turn: nothing begins anything for them any more, so who was home
 * stays there. False: store_step comes again. */
static bool logs_are_home(struct store *store)
{
    if (is_anything_out(store) || (store->next && is_log_out(store->next))) {
        timer_start(store->reactor, &store->retry_timer, CLOSE_RETRY_US, close_retry);
        return false;
    }
    for (uint32_t i = 0; i < store->options.step_items && store->next; i++) {
        if (is_log_out(store->next)) {
            break;
        }
        store->next = store->next->next;
    }
    if (store->next) {
        store_go_on(store);
    }
    return store->next == NULL;
}

static void journal_close_begin(struct store *store)
{
    store->step = STORE_CLOSING;
    journal_close(&store->journal, &store->close_op, journal_is_closed);
}

static void journal_is_closed(struct op *op)
{
    struct store *store = container_of(op, struct store, close_op);
    store->close_result = op->result < 0 ? op->result : 0;
    if (store->ballast_fd >= 0) {
        segments_close_fds(store, &store->ballast_fd, 1);
    }
    store->step = STORE_CLOSED;
    store_go_on(store);
}

static void store_step(struct op *op)
{
    struct store *store = container_of(op, struct store, step_op);
    store->is_step_due = false;
    if (store->offline && store->step < STORE_WAITING) { /* nothing can be made good any more */
        store->stop_logs = NULL;
        store->step = STORE_WAITING;
        store->next = store->logs;
    }
    switch (store->step) {
    case STORE_OPENING:
        if (store->open_done == store->open_count && states_are_told(store)) {
            store->step = STORE_OPEN;
            store_end(store, 0);
        }
        break;
    case STORE_SETTLING:
        if (write_back_drain(store) && store->snapshots_out == 0) {
            store->step = STORE_FINISHING;
            store->next = store->logs;
            store_go_on(store);
        }
        break;
    case STORE_FINISHING:
        finish_some(store);
        if (!store->next && store->finishes_out == 0 && !store->is_flush_begun) {
            store->is_flush_begun = true;
            flush_begin(store);
        }
        break;
    case STORE_TELLING:
        tell_some(store);
        break;
    case STORE_WAITING:
        if (!timer_is_running(&store->retry_timer) && (states_are_told(store) || store->offline) &&
            logs_are_home(store)) {
            journal_close_begin(store);
        }
        break;
    case STORE_CLOSED:
        empty_some(store);
        if (store->logs || (store->jobs == 0 && is_step_queued(store))) {
            store_go_on(store);
        } else if (store->jobs == 0) {
            timer_cancel(store->reactor, &store->idle_timer);
            timer_cancel(store->reactor, &store->retry_timer);
            expiry_stop(store);
            int64_t result = store->close_result < 0 ? store->close_result
                             : store->offline        ? -EIO
                                                     : 0;
            store_deinit(store);
            store_end(store, result < 0 ? result : store->stop_count);
        }
        break;
    case STORE_CLOSING:
    case STORE_OPEN:
        break;
    }
}

/* What opening or closing does next, if what it waited for is there. */
void store_go_on(struct store *store)
{
    if (store->op && !store->is_step_due) {
        store->is_step_due = true;
        reactor_ready(store->reactor, &store->step_op, store_step);
    }
}
