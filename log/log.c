/* log -- its life: opened, rolled, watched, dropped. Appends are in append.c, reads in read.c. */
#include "log/log.h"

#include "log/expiry.h"
#include "log/log_files.h"
#include "log/snapshot.h"
#include "log/store.h"
#include "log/write_back.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TOLD_PER_TURN = 256 /* of those who watch logs */ };

static void log_listed(struct op *op);
static void news_told(struct op *op);
static void drop_begun(struct op *op);
static void drop_go_on(struct log *log);
static void drop_removed(struct op *op);
static void drop_empty(struct op *op);

/* -- made and unmade --------------------------------------------------------------------------- */

static void log_init(struct log *log, struct store *store, struct log_state *state,
                     const struct log_settings *settings)
{
    *log = (struct log){
        .store = store,
        .partition = state->partition,
        .settings = *settings,
        .log_start = state->log_start,
        .log_end = state->log_end,
        .high_watermark = state->log_end,
        .leader_epoch = epochs_latest(&state->epochs),
        .epochs = state->epochs,
        .id = state->log_id,
        .sequence = state->log_sequence,
        .next_offset = state->log_end,
        .end_position = state->position,
        .producers = state->producers,
        .basis = state->basis,
        .state_base = -1,
        .told_base = -1,
        .said_snapshot = -1,
        .told_snapshot = -1,
    };
    memcpy(log->topic_id, state->topic_id, sizeof(log->topic_id));
    log->producers.producers_max = store->options.producers_max;
    epochs_init(&state->epochs);
    producers_init(&state->producers, 1); /* moved: empty now */
    state->basis = (struct producers_basis){0};
    link_init(&log->wait_link);
    link_init(&log->turn_link);
    link_init(&log->large_link);
    link_init(&log->state_link);
    link_init(&log->state_queue_link);
    link_init(&log->unsettled_link);
    link_init(&log->news_link);
    link_init(&log->snapshot_link);
    link_init(&log->expiry_link);
}

struct log *log_new(struct store *store, struct log_state *state,
                    const struct log_settings *settings)
{
    struct log *log = malloc(sizeof(*log));
    char *name = strdup(state->name);
    struct segment **segments = malloc(sizeof(struct segment *));
    if (!log || !name || !segments) {
        goto no_memory;
    }
    log_init(log, store, state, settings);
    log->name = name;
    log->segments = segments;
    log->segments_room = 1;
    struct segment *active = segment_new(log, state->segment_base, state->position);
    if (!active) {
        state->epochs = log->epochs;
        state->producers = log->producers;
        state->basis = log->basis;
        goto no_memory;
    }
    active->offset_entries_settled = state->index_bytes / OFFSET_INDEX_ENTRY_BYTES;
    active->time_entries_settled = state->time_index_bytes / TIME_INDEX_ENTRY_BYTES;
    if (state->max_timestamp >= 0) {
        time_index_note(&active->time_index, state->max_timestamp, state->max_timestamp_offset);
    }
    log->segments[log->segments_count++] = active;
    log->producers.loaded_s = (uint32_t)(reactor_now_us(store->reactor) / 1000000);
    producers_charge(&log->producers, &store->reactor->slabs.budgets[BUDGET_PRODUCERS]);
    expiry_note(log);
    log->link = store->logs_end;
    *store->logs_end = log;
    store->logs_end = &log->next;
    store->logs_count++;
    return log;

no_memory:
    free(segments);
    free(name);
    free(log);
    return NULL;
}

bool log_empty(struct log *log, uint32_t *items)
{
    struct store *store = log->store;
    log->is_emptied = true;
    while (log->segments_count > 0 && *items > 0) {
        struct segment *last = log_active(log);
        if (chunks_drop_some(&last->chunks, &store->tail, items)) {
            segment_free(last);
            log->segments_count--;
            *items -= *items > 0;
        }
    }
    return log->segments_count == 0;
}

void log_free(struct log *log)
{
    struct store *store = log->store;
    assert(log->busy == 0 && log->appends_in_flight == 0 && !log->is_state_out);
    assert(op_queue_is_empty(&log->appends) && op_queue_is_empty(&log->repeats));
    if (store->telling == log) {
        store->telling = NULL;
    }
    write_back_forget(log);
    snapshot_forget(log);
    while (log->segments_count > 0) {
        segment_free(log->segments[--log->segments_count]);
    }
    link_remove(&log->wait_link);
    link_remove(&log->turn_link);
    link_remove(&log->large_link);
    link_remove(&log->state_link);
    link_remove(&log->state_queue_link);
    link_remove(&log->news_link);
    expiry_forget(log);
    *log->link = log->next;
    if (log->next) {
        log->next->link = log->link;
    } else {
        store->logs_end = log->link;
    }
    store->logs_count--;
    store->failing = store->failing == log ? log->next : store->failing;
    store->next = store->next == log ? log->next : store->next;
    epochs_deinit(&log->epochs);
    producers_deinit(&log->producers);
    free(log->segments);
    free(log->name);
    free(log);
}

/* -- segments ---------------------------------------------------------------------------------- */

static bool segments_grow(struct log *log, uint32_t count)
{
    if (log->segments_count + count <= log->segments_room) {
        return true;
    }
    uint32_t room = 2 * log->segments_room + count;
    struct segment **segments = realloc(log->segments, room * sizeof(struct segment *));
    if (!segments) {
        return false;
    }
    log->segments = segments;
    log->segments_room = room;
    return true;
}

int log_roll(struct log *log)
{
    struct segment *old = log_active(log);
    struct segment *next = segments_grow(log, 1) ? segment_new(log, log->next_offset, 0) : NULL;
    if (!next) {
        return -ENOMEM;
    }
    next->is_loaded = true;
    next->extent_bytes = old->extent_bytes;
    segment_seal(old);
    log->segments[log->segments_count++] = next;
    log->end_position = 0;
    write_back_sealed(old);
    store_want_state(log->store, log);
    return 0;
}

/* Which of them holds the offset: the last with a base that is not beyond it, or the first. */
static uint32_t segment_place(const struct log *log, int64_t offset)
{
    uint32_t low = 0;
    uint32_t high = log->segments_count;
    while (low < high) { /* the first one with a base beyond it */
        uint32_t middle = low + (high - low) / 2;
        if (log->segments[middle]->base_offset <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? low - 1 : 0;
}

struct segment *log_segment(const struct log *log, int64_t offset)
{
    return log->segments[segment_place(log, offset)];
}

struct segment *log_segment_after(const struct log *log, const struct segment *segment)
{
    uint32_t next = segment_place(log, segment->base_offset) + 1;
    return next < log->segments_count ? log->segments[next] : NULL;
}

struct segment *log_find_segment(const struct log *log, int64_t base_offset)
{
    struct segment *segment = log_segment(log, base_offset);
    return segment->base_offset == base_offset ? segment : NULL;
}

/* -- opening: a log that recovery found is listed on first use ---------------------------------- */

bool log_open(struct log *log, struct op *op, op_fn *then)
{
    struct store *store = log->store;
    if (log->is_listed) {
        return true;
    }
    op->then = then;
    op->waits_for = "a log's directory";
    bool is_first = op_queue_is_empty(&log->open_waits);
    op_queue_push(&log->open_waits, op);
    if (!is_first) {
        return false;
    }
    struct list_job *job = malloc(sizeof(*job));
    if (!job) {
        op_queue_pop(&log->open_waits);
        op->result = -ENOMEM;
        reactor_ready(store->reactor, op, then);
        return false;
    }
    struct segment *active = log_active(log);
    *job = (struct list_job){
        .job.run = list_job_run,
        .log = log,
        .place = {.directory = store->options.directory, .name = log->name},
        .active = {.base_offset = active->base_offset,
                   .end = active->appended,
                   .offset_bytes =
                       (int64_t)active->offset_entries_settled * OFFSET_INDEX_ENTRY_BYTES,
                   .time_bytes = (int64_t)active->time_entries_settled * TIME_INDEX_ENTRY_BYTES},
    };
    log->busy++;
    reactor_job(store->reactor, &job->job, log_listed);
    return false;
}

/* What is wrong with an index of the active segment was mended by recovery, or is an error. */
static int active_take(struct log *log, struct segment *active, struct segment_content *content)
{
    active->file_bytes = content->file_bytes > UINT32_MAX
                             ? block_floor(UINT32_MAX)
                             : block_floor((uint32_t)content->file_bytes);
    active->first_timestamp = content->first_timestamp;
    if (active->file_bytes < active->appended) { /* cut by a clean stop, inside a block */
        active->file_bytes = 0;
    }
    int64_t max_timestamp = active->time_index.max_timestamp; /* the STATE's */
    int64_t max_offset = active->time_index.max_offset;
    offset_index_deinit(&active->offset_index); /* of a try that failed */
    time_index_deinit(&active->time_index);
    offset_index_init(&active->offset_index, active->base_offset, log->settings.index_bytes_max,
                      log->settings.index_interval_bytes); /* the topic's settings by now */
    time_index_init(&active->time_index, active->base_offset, log->settings.index_bytes_max);
    offset_index_take(&active->offset_index, &content->offset_index);
    time_index_take(&active->time_index, &content->time_index);
    if (max_timestamp >= 0) {
        time_index_note(&active->time_index, max_timestamp, max_offset);
    }
    uint32_t count = active->offset_index.count;
    uint32_t indexed = count ? active->offset_index.entries[count - 1].position : 0;
    active->offset_index.bytes_unindexed = active->appended - indexed;
    active->offset_entries_settled = count;
    active->time_entries_settled = active->time_index.count;
    return content->index_error;
}

/* Some of the sealed segments. 0, or -ENOMEM */
static int sealed_take(struct log *log, struct list_job *job, uint32_t items)
{
    for (; items > 0 && job->taken_count < job->sealed_count; items--) {
        const struct listed_segment *listed = &job->sealed[job->taken_count];
        uint64_t bytes = listed->file_bytes;
        struct segment *sealed =
            segment_new(log, listed->base_offset,
                        bytes > INT32_MAX ? INT32_MAX : (uint32_t)bytes); /* load tells the end */
        if (!sealed) {
            return -ENOMEM;
        }
        sealed->is_sealed = sealed->is_cut = true;
        job->taken[job->taken_count++] = sealed;
    }
    return 0;
}

/* All of them are made: they are the log's. */
static int log_take(struct log *log, struct list_job *job)
{
    struct segment *active = log_active(log);
    assert(log->segments_count == 1 && job->active.base_offset == active->base_offset);
    if (active->appended > 0) {
        int result = active_take(log, active, &job->active);
        if (result < 0) {
            return result;
        }
    }
    job->taken[job->taken_count] = active;
    free(log->segments);
    log->segments = job->taken;
    log->segments_room = log->segments_count = job->sealed_count + 1;
    job->taken = NULL;
    job->taken_count = 0;
    active->is_loaded = true;
    log->is_listed = true;
    log->has_directory = active->appended > 0 || job->sealed_count > 0;
    return 0;
}

static void log_list_end(struct list_job *job, int64_t result)
{
    struct log *log = job->log;
    struct reactor *reactor = log->store->reactor;
    if (result < 0) {
        report(reactor->reports, REPORT_ERROR, reactor_wall_ms(reactor), "log",
               "cannot open %s/%s: %s", log->store->options.directory, log->name,
               strerror((int)-result));
    }
    while (job->taken_count > 0) {
        segment_free(job->taken[--job->taken_count]);
    }
    segment_content_free(&job->active);
    free(job->taken);
    free(job->sealed);
    free(job);
    struct op_queue waits = log->open_waits;
    log->open_waits = (struct op_queue){0};
    for (struct op *wait; (wait = op_queue_pop(&waits));) {
        wait->result = result;
        reactor_ready(reactor, wait, wait->then);
    }
    log_came_home(log);
}

static void log_listed(struct op *op)
{
    struct list_job *job = container_of(op, struct list_job, job.op);
    struct log *log = job->log;
    int64_t result = op->result;
    if (result >= 0 && !job->taken) {
        job->taken = malloc(((size_t)job->sealed_count + 1) * sizeof(*job->taken));
        result = job->taken ? 0 : -ENOMEM;
    }
    if (result >= 0) {
        result = sealed_take(log, job, log->store->options.step_items);
    }
    if (result >= 0 && job->taken_count < job->sealed_count) {
        op->result = 0;
        reactor_ready(log->store->reactor, op, log_listed);
        return;
    }
    log_list_end(job, result < 0 ? result : log_take(log, job));
}

/* -- news -------------------------------------------------------------------------------------- */

void log_watch(struct log_watchers *watchers, struct log_watch *watch,
               void (*fired)(struct log_watch *watch))
{
    *watch = (struct log_watch){
        .fired = fired, .of = watchers, .next = watchers->first, .link = &watchers->first};
    if (watch->next) {
        watch->next->link = &watch->next;
    }
    watchers->first = watch;
}

void log_unwatch(struct log_watch *watch)
{
    struct log_watchers *watchers = watch->of;
    if (!watchers) {
        return;
    }
    if (watchers->next == watch) {
        watchers->next = watch->next;
    }
    *watch->link = watch->next;
    if (watch->next) {
        watch->next->link = watch->link;
    }
    watch->of = NULL;
}

static void news_soon(struct store *store)
{
    if (!store->is_news_due) {
        store->is_news_due = true;
        reactor_ready(store->reactor, &store->news_op, news_told);
    }
}

void log_has_news(struct log *log)
{
    struct store *store = log->store;
    if (!log->watchers || !log->watchers->first || link_is_listed(&log->news_link)) {
        return;
    }
    list_push(&store->news, &log->news_link); /* once more if it is being told of older ones */
    news_soon(store);
}

static void news_told(struct op *op)
{
    struct store *store = container_of(op, struct store, news_op);
    store->is_news_due = false;
    for (uint32_t n = 0; n < TOLD_PER_TURN; n++) {
        struct link *link = list_first(&store->news);
        struct log *log = store->telling;
        if (log && log->watchers->next) {
            struct log_watch *watch = log->watchers->next;
            log->watchers->next = watch->next;
            watch->fired(watch);
        } else if (link) {
            log = container_of(link, struct log, news_link);
            link_remove(link);
            log->watchers->next = log->watchers->first;
            store->telling = log;
        } else {
            store->telling = NULL;
            return;
        }
    }
    news_soon(store);
}

void log_await_commit(struct log *log, struct op *op, op_fn *then)
{
    op->then = then;
    op->waits_for = "a commit";
    op->result = 0;
    op_queue_push(&log->commit_waits, op);
}

void log_commit_ended(struct log *log)
{
    for (struct op *op; (op = op_queue_pop(&log->commit_waits));) {
        reactor_ready(log->store->reactor, op, op->then);
    }
}

void log_assign_epoch(struct log *log, int32_t leader_epoch)
{
    if (leader_epoch <= epochs_latest(&log->epochs)) {
        return;
    }
    log->leader_epoch = leader_epoch;
    if (epochs_assign(&log->epochs, leader_epoch, log->next_offset) == 1 && log->told_base >= 0) {
        store_want_state(log->store, log);
    }
}

/* -- dropping ---------------------------------------------------------------------------------- */

/*
 * appends failed --> all is home --> STATE "dropped" is durable --> directory removed --> gone
 */
void log_drop(struct log *log, struct op *op, op_fn *then)
{
    assert(!log->dropped);
    op->then = then;
    op->waits_for = "a log's removal";
    log->drop_op = op;
    log->dropped = true;
    append_pump(log); /* what is queued ends */
    log_commit_ended(log);
    write_back_stop(log);
    log->busy++; /* until drop_begun */
    reactor_ready(log->store->reactor, &log->drop_step, drop_begun);
}

static void drop_begun(struct op *op)
{
    log_came_home(container_of(op, struct log, drop_step));
}

static void drop_end(struct log *log, int64_t result)
{
    log->drop_op->result = result;
    log->busy++; /* until it is empty */
    drop_empty(&log->drop_step);
}

/* What it still has in memory goes in steps. */
static void drop_empty(struct op *op)
{
    struct log *log = container_of(op, struct log, drop_step);
    struct store *store = log->store;
    uint32_t items = store->options.step_items;
    if (!log_empty(log, &items) || log->busy > 1 || !op_queue_is_empty(&log->appends)) {
        reactor_ready(store->reactor, op, drop_empty);
        return;
    }
    op = log->drop_op;
    log->busy--;
    log_free(log);
    reactor_ready(store->reactor, op, op->then);
    if (!store->offline) {
        write_back_release(store); /* its STATE held a journal file until now */
    }
}

static void drop_go_on(struct log *log)
{
    struct store *store = log->store;
    if (log->busy > 0 || log->appends_in_flight > 0 || log->is_state_out ||
        !op_queue_is_empty(&log->appends) || !op_queue_is_empty(&log->repeats)) {
        return;
    }
    if (store->offline) {
        drop_end(log, -EIO);
        return;
    }
    if (log->sequence > 1 && !log->is_dropped_told) { /* the journal knows of it */
        store_want_state(store, log);
        return;
    }
    struct remove_job *job = malloc(sizeof(*job));
    if (!job) {
        drop_end(log, -ENOMEM); /* the journal keeps it dropped; the directory stays */
        return;
    }
    *job = (struct remove_job){
        .job.run = remove_job_run,
        .log = log,
        .place = {.directory = store->options.directory, .name = log->name},
        .log_id = log->id,
    };
    log->busy++;
    reactor_job(store->reactor, &job->job, drop_removed);
}

static void drop_removed(struct op *op)
{
    struct remove_job *job = container_of(op, struct remove_job, job.op);
    struct log *log = job->log;
    int64_t result = op->result;
    free(job);
    log->busy--;
    drop_end(log, result);
}

void log_came_home(struct log *log)
{
    assert(log->busy > 0);
    log->busy--;
    if (log->dropped) {
        drop_go_on(log);
    }
}
