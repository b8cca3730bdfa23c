/* store -- its journal's room and pressure, STATEs, and what happens when it fails. */
#include "log/store.h"

#include "log/log_files.h"
#include "log/snapshot.h"
#include "log/write_back.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RETRY_US = 5 * 1000,
    CORE_SHIFT = 24, /* of a log id's counter: 256 cores, 16 million logs in one start */
};

static void states_go_on(struct op *op);
static void state_durable(struct op *op);
static void resume_go_on(struct op *op);
static void retry_passed(struct op *op);
static void fail_go_on(struct op *op);

struct holders *store_holders(struct store *store, uint64_t ordinal)
{
    return &store->holders[ordinal % store->holders_count];
}

/* -- logs -------------------------------------------------------------------------------------- */

struct log *store_create_log(struct store *store, const uint8_t topic_id[16], const char *topic,
                             int32_t partition, const struct log_settings *settings,
                             int32_t leader_epoch)
{
    if (store->log_counter == 1U << CORE_SHIFT) { /* an id is never used again */
        report(store->reactor->reports, REPORT_ERROR, reactor_wall_ms(store->reactor), "log ids",
               "%s: a core has made all the logs that it can between two starts. New partitions "
               "cannot be written until the broker is started again",
               store->options.directory);
        return NULL;
    }
    struct log_state state = {
        .log_id = (uint64_t)store->options.start << 32 |
                  (uint64_t)store->options.core << CORE_SHIFT | store->log_counter,
        .log_sequence = 1,
        .partition = partition,
        .max_timestamp = BATCH_NO_TIMESTAMP,
    };
    memcpy(state.topic_id, topic_id, sizeof(state.topic_id));
    int bytes = snprintf(state.name, sizeof(state.name), "%s-%d", topic, (int)partition);
    if (bytes >= (int)sizeof(state.name)) {
        return NULL;
    }
    epochs_init(&state.epochs);
    producers_init(&state.producers, PRODUCERS_MAX);
    producer_table_seed(&state.producers.table, store->options.salt);
    struct log *log = NULL;
    if (epochs_assign(&state.epochs, leader_epoch, 0) >= 0) {
        log = log_new(store, &state, settings);
    }
    if (log) {
        store->log_counter++;
        log->is_listed = true;
        log_active(log)->is_loaded = true;
    }
    state_deinit(&state);
    return log;
}

/* -- STATEs ------------------------------------------------------------------------------------ */

static int64_t uncut_base(const struct log *log)
{
    for (uint32_t i = log->segments_count; i > 1; i--) {
        if (log->segments[i - 2]->is_cut) {
            return log->segments[i - 1]->base_offset; /* those before it were cut before it */
        }
    }
    return log->segments[0]->base_offset;
}

static void state_of(const struct log *log, struct log_state *state)
{
    const struct segment *active = log_active(log);
    *state = (struct log_state){
        .log_id = log->id,
        .log_sequence = log->sequence,
        .data_from = write_back_data_from(log),
        .dropped = log->dropped,
        .partition = log->partition,
        .segment_base = active->base_offset,
        .position = log->end_position,
        .placed = active->appended,
        .uncut_base = uncut_base(log),
        .log_start = log->log_start,
        .log_end = log->next_offset,
        .high_watermark = log->high_watermark,
        .max_timestamp = active->time_index.max_timestamp,
        .max_timestamp_offset = active->time_index.max_offset,
        .index_bytes = active->offset_entries_settled * OFFSET_INDEX_ENTRY_BYTES,
        .time_index_bytes = active->time_entries_settled * TIME_INDEX_ENTRY_BYTES,
        .epochs = log->epochs, /* looked at only, as what follows */
    };
    if (producers_count(&log->producers) <= STATE_PRODUCERS_MAX) {
        state->producers = log->producers;
    } else {
        state->basis = log->basis;
    }
    memcpy(state->topic_id, log->topic_id, sizeof(state->topic_id));
    snprintf(state->name, sizeof(state->name), "%s", log->name);
}

static void states_soon(struct store *store)
{
    if (!store->is_state_due && !list_is_empty(&store->state_queue) && !store->offline) {
        store->is_state_due = true;
        reactor_ready(store->reactor, &store->state_op, states_go_on);
    }
}

void store_want_state(struct store *store, struct log *log)
{
    if (store->offline) {
        return;
    }
    if (log->is_state_out) {
        log->is_state_wanted = true; /* when that one is durable */
        return;
    }
    list_push(&store->state_queue, &log->state_queue_link);
    states_soon(store);
}

/* 0: not now. Otherwise its bytes. */
static uint32_t state_write(struct store *store, struct log *log, enum journal_claim claim)
{
    struct log_state state;
    state_of(log, &state);
    uint32_t bytes = state_bytes(&state);
    if (!journal_has_room(&store->journal, claim, bytes)) {
        return 0;
    }
    void *buffer = malloc(bytes);
    if (!buffer) {
        store_retry_later(store);
        return 0;
    }
    state_encode(&state, buffer);
    log->state_entry = (struct journal_append){
        .log_id = log->id,
        .log_sequence = log->sequence++,
        .type = ENTRY_STATE,
        .bytes = {{.iov_base = buffer, .iov_len = bytes}},
    };
    log->is_state_out = true;
    log->state_base = state.segment_base;
    log->is_dropped_said = log->dropped;
    log->said_snapshot = state.basis.is_file ? state.basis.offset : -1;
    store->states_out++;
    journal_append(&store->journal, &log->state_entry, state_durable);
    store_holders(store, log->state_entry.file_ordinal)->states_in_flight++;
    free(buffer);
    snapshot_maybe(log);
    return bytes;
}

static bool is_queued(const struct log *log)
{
    return link_is_listed(&log->state_queue_link);
}

static struct log *queued_of_states(const struct list *states)
{
    for (struct link *link = list_first(states); link; link = list_next(states, link)) {
        struct log *log = container_of(link, struct log, state_link);
        if (is_queued(log)) {
            return log;
        }
    }
    return NULL;
}

static struct log *queued_of_marks(const struct list *marks)
{
    for (struct link *link = list_first(marks); link; link = list_next(marks, link)) {
        struct log *log = container_of(link, struct mark, holder_link)->log;
        if (log->dropped && is_queued(log)) { /* it is written out no more */
            return log;
        }
    }
    return NULL;
}

/* One that wants a STATE, without which the oldest journal file cannot be released; or NULL. What
 * stands before it in a list has its STATE on the way: no more of those than a commit holds. */
static struct log *queued_of_oldest(struct store *store)
{
    const struct holders *oldest = store_holders(store, store->journal.oldest_ordinal);
    struct log *log = queued_of_states(&oldest->states_pressed);
    log = log ? log : queued_of_states(&oldest->states);
    log = log ? log : queued_of_marks(&oldest->marks_pressed);
    return log ? log : queued_of_marks(&oldest->marks);
}

/* In turn; when the last file must be kept for those that release the oldest, only these. When the
 * store opens no file is released yet. */
static uint32_t state_write_next(struct store *store)
{
    struct log *log = container_of(list_first(&store->state_queue), struct log, state_queue_link);
    enum journal_claim claim = store->step == STORE_OPENING ? CLAIM_RELEASE : CLAIM_STATE;
    uint32_t bytes = state_write(store, log, claim);
    if (bytes == 0) {
        log = queued_of_oldest(store);
        bytes = log ? state_write(store, log, CLAIM_RELEASE) : 0;
    }
    if (bytes > 0) {
        link_remove(&log->state_queue_link);
    }
    return bytes;
}

static void states_go_on(struct op *op)
{
    struct store *store = container_of(op, struct store, state_op);
    store->is_state_due = false;
    uint32_t spent_bytes = 0;
    for (uint32_t i = 0; i < store->options.step_items && spent_bytes < store->options.step_bytes;
         i++) {
        if (list_is_empty(&store->state_queue) || store->offline || store->journal.offline) {
            return;
        }
        uint32_t bytes = state_write_next(store);
        if (bytes == 0) {
            return; /* store_resume comes back to it */
        }
        spent_bytes += bytes;
    }
    states_soon(store);
}

static void state_durable(struct op *op)
{
    struct log *log = container_of(op, struct log, state_entry.op);
    struct store *store = log->store;
    uint64_t ordinal = log->state_entry.file_ordinal;
    struct holders *holders = store_holders(store, ordinal);
    log->is_state_out = false;
    store->states_out--;
    holders->states_in_flight--;
    log->busy++;
    if (op->result < 0) {
        store_fail(store, -EIO);
    } else {
        list_push(&holders->states, &log->state_link); /* out of where the last one was */
        log->told_base = log->state_base;
        log->is_dropped_told = log->is_dropped_said;
        log->told_snapshot = log->said_snapshot;
        write_back_release(store);
        if (ordinal <= store->wanted) { /* its file was pressed before this STATE was known in it */
            write_back_press(store, ordinal);
        }
        if (log->is_state_wanted) {
            log->is_state_wanted = false;
            store_want_state(store, log);
        }
    }
    append_pump(log);
    log_came_home(log);
    store_go_on(store);
}

/* -- room -------------------------------------------------------------------------------------- */

void store_resume(struct store *store)
{
    states_soon(store);
    if (!store->is_resuming && !list_is_empty(&store->append_waits)) {
        store->is_resuming = true;
        reactor_ready(store->reactor, &store->resume_op, resume_go_on);
    }
}

static void resume_go_on(struct op *op)
{
    struct store *store = container_of(op, struct store, resume_op);
    store->is_resuming = false;
    for (uint32_t i = 0; i < store->options.step_items; i++) {
        struct link *link = list_first(&store->append_waits);
        if (!link) {
            return;
        }
        struct log *log = container_of(link, struct log, wait_link);
        link_remove(link);
        append_pump(log);
        if (link_is_listed(link)) {
            return; /* it waits again; so would the others */
        }
    }
    store_resume(store);
}

void store_retry_later(struct store *store)
{
    if (!timer_is_running(&store->retry_timer)) {
        timer_start(store->reactor, &store->retry_timer, RETRY_US, retry_passed);
    }
}

static void retry_passed(struct op *op)
{
    struct store *store = container_of(op, struct store, retry_timer.op);
    store_resume(store);
    store_go_on(store); /* closing waits by the same timer */
}

/* -- failing ----------------------------------------------------------------------------------- */

void store_fail(struct store *store, int error)
{
    if (store->offline) {
        return;
    }
    store->offline = true;
    struct reactor *reactor = store->reactor;
    report(reactor->reports, REPORT_ERROR, reactor_wall_ms(reactor), "store",
           "%s is offline: %s. Nothing more is written there; a restart recovers what was "
           "acknowledged",
           store->options.directory, strerror(-error));
    if (store->options.failed) {
        store->options.failed(store->options.context, error);
    }
    store->failing = store->logs;
    store->is_fail_due = true;
    reactor_ready(reactor, &store->fail_op, fail_go_on);
    store_go_on(store);
}

/* What waits for a STATE, or for room, waits no more: some logs each turn. */
static void fail_go_on(struct op *op)
{
    struct store *store = container_of(op, struct store, fail_op);
    for (uint32_t i = 0; i < store->options.step_items && store->failing; i++) {
        struct log *log = store->failing;
        store->failing = log->next;
        log->busy++;
        append_pump(log);
        log_commit_ended(log);
        log_came_home(log); /* a drop that waited for a STATE ends now */
    }
    store->is_fail_due = store->failing != NULL;
    if (store->is_fail_due) {
        reactor_ready(store->reactor, &store->fail_op, fail_go_on);
    }
}
