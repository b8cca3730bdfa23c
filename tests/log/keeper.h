/*
 * keeper -- keeps one log by hand, as a store would, for tests of recovery: what it appends goes to
 * a real journal on a simulated disk, and what should be in the segment is remembered here.
 */
#ifndef TESTS_LOG_KEEPER_H
#define TESTS_LOG_KEEPER_H

#include "log/clean_stop.h"
#include "log/journal.h"
#include "log/recovery.h"
#include "tests/log/make.h"
#include "tests/log/world.h"

enum { KEEPER_BYTES_MAX = 1 << 20, KEEPER_FILE_BYTES = 1 << 20, KEEPER_COMMIT_BYTES = 256 << 10 };

struct keeper {
    struct world world;
    struct recovery recovery;
    struct journal journal;
    bool has_journal;
    struct log_state state;          /* what is true now; the keeper's own copy */
    uint8_t bytes[KEEPER_BYTES_MAX]; /* of the active segment */
};

static inline void keeper_nothing(void *context, uint64_t ordinal)
{
}

static inline void keeper_room(void *context)
{
}

static inline void keeper_failed(void *context, int error)
{
}

static inline void keeper_recovered(struct op *op)
{
    container_of(container_of(op, struct job, op), struct recovery, job)->job.op.waits_for = NULL;
}

static inline bool keeper_has_recovered(void *context)
{
    return ((struct recovery *)context)->job.op.waits_for == NULL;
}

static inline struct recovery_options keeper_options(void)
{
    return (struct recovery_options){
        .directory = "/data", .node_id = 1, .index_interval_bytes = 4096};
}

static inline int64_t keeper_recover_as(struct keeper *keeper, struct recovery_options options)
{
    keeper->recovery = (struct recovery){.options = options};
    recovery_begin(&keeper->recovery, keeper->world.reactor, keeper_recovered);
    cr_assert(
        sim_run(&keeper->world.sim, keeper_has_recovered, &keeper->recovery, WORLD_STEPS_MAX));
    return keeper->recovery.job.op.result;
}

static inline void keeper_recover(struct keeper *keeper)
{
    int64_t result = keeper_recover_as(keeper, keeper_options());
    cr_assert_eq(result, 0, "%s", keeper->recovery.problem);
}

static inline void keeper_finish_recovery(struct keeper *keeper)
{
    recovery_finish(&keeper->recovery, keeper->world.reactor, keeper_recovered);
    cr_assert(
        sim_run(&keeper->world.sim, keeper_has_recovered, &keeper->recovery, WORLD_STEPS_MAX));
    cr_assert_eq(keeper->recovery.job.op.result, 0);
}

static inline void keeper_open_journal(struct keeper *keeper, uint32_t core)
{
    struct journal_options options = {
        .directory = "/data",
        .start = keeper->recovery.start,
        .core = core,
        .salt = keeper->recovery.salt,
        .file_bytes = KEEPER_FILE_BYTES,
        .files_max = 4,
        .commit_bytes_max = KEEPER_COMMIT_BYTES,
        .ends_max = 16,
        .pressed = keeper_nothing,
        .room = keeper_room,
        .failed = keeper_failed,
    };
    struct awaited opened = {0};
    journal_open(&keeper->journal, keeper->world.reactor, &options, &opened.op, awaited_ended);
    cr_assert_eq(await(&keeper->world, &opened), 0);
    keeper->has_journal = true;
}

/* An empty directory, recovered; a journal; a log that nobody has appended to. */
static inline struct keeper *keeper_new(uint64_t seed)
{
    struct keeper *keeper = calloc(1, sizeof(*keeper));
    world_open(&keeper->world, seed);
    keeper_recover(keeper);
    keeper_open_journal(keeper, 0);
    keeper->state = (struct log_state){
        .log_id = (uint64_t)keeper->recovery.start << 32 | 1,
        .topic_id = {0xaa, 2, 3},
        .name = "orders-0",
        .max_timestamp = -1,
    };
    epochs_init(&keeper->state.epochs);
    producers_init(&keeper->state.producers, PRODUCERS_MAX);
    return keeper;
}

static inline void keeper_close_journal(struct keeper *keeper)
{
    struct awaited closed = {0};
    journal_close(&keeper->journal, &closed.op, awaited_ended);
    cr_assert_eq(await(&keeper->world, &closed), 0);
    keeper->has_journal = false;
}

/* A journal's few allocations would be lost with its process; here they are given back first, in
 * ways that touch no file that matters. */
static inline void keeper_cut(struct keeper *keeper, enum sim_cut cut)
{
    if (keeper->has_journal) {
        keeper_close_journal(keeper);
    }
    world_cut(&keeper->world, cut);
    recovery_free(&keeper->recovery);
}

static inline void keeper_free(struct keeper *keeper)
{
    if (keeper->has_journal) {
        keeper_close_journal(keeper);
    }
    recovery_free(&keeper->recovery);
    state_deinit(&keeper->state);
    world_close(&keeper->world);
    free(keeper);
}

struct keeper_append {
    struct journal_append append;
    bool ended;
};

static inline void keeper_appended(struct op *op)
{
    struct journal_append *append = container_of(op, struct journal_append, op);
    container_of(append, struct keeper_append, append)->ended = true;
}

static inline void keeper_append(struct keeper *keeper, struct journal_append append)
{
    struct keeper_append out = {.append = append};
    out.append.log_id = keeper->state.log_id;
    out.append.log_sequence = ++keeper->state.log_sequence;
    cr_assert(journal_has_room(&keeper->journal,
                               append.type == ENTRY_DATA ? CLAIM_DATA : CLAIM_RELEASE,
                               append.bytes[0].iov_len));
    journal_append(&keeper->journal, &out.append, keeper_appended);
    world_nudge(&keeper->world);
    world_wait(&keeper->world, &out.ended);
    cr_assert_eq(out.append.op.result, 0);
}

static inline void keeper_append_state(struct keeper *keeper)
{
    uint32_t count = state_bytes(&keeper->state);
    uint8_t *bytes = malloc(count);
    if (keeper->state.placed < keeper->state.position) {
        keeper->state.placed = keeper->state.position;
    }
    state_encode(&keeper->state, bytes);
    keeper_append(keeper, (struct journal_append){.type = ENTRY_STATE, .bytes = {{bytes, count}}});
    free(bytes);
}

/* Bytes of the segment as the keeper has them. */
static inline void keeper_append_data(struct keeper *keeper, uint32_t from, uint32_t end,
                                      uint32_t rest)
{
    keeper_append(keeper, (struct journal_append){
                              .type = ENTRY_DATA,
                              .segment_base = keeper->state.segment_base,
                              .position = from,
                              .rest_bytes = rest,
                              .bytes = {{keeper->bytes + from, end - from}},
                          });
}

/* A batch at the end of the segment, in memory only; its bytes. */
static inline uint32_t keeper_make_batch(struct keeper *keeper, int count, int64_t producer_id)
{
    struct log_state *state = &keeper->state;
    uint8_t *at = keeper->bytes + state->position;
    size_t bytes = make_batch(at, KEEPER_BYTES_MAX - state->position, count);
    struct batch header = parsed(at, bytes);
    if (producer_id >= 0) {
        header.producer_id = producer_id;
        header.producer_epoch = 0;
        header.base_sequence = (int32_t)state->log_end;
        batch_seal(at, &header, (uint32_t)bytes);
    }
    batch_place(at, state->log_end, 4);
    header = parsed(at, bytes);
    if (producer_id >= 0) {
        cr_assert_eq(producers_apply(&state->producers, &header), 0);
    }
    cr_assert_geq(epochs_assign(&state->epochs, 4, state->log_end), 0);
    if (header.max_timestamp > state->max_timestamp) {
        state->max_timestamp = header.max_timestamp;
        state->max_timestamp_offset = batch_last_offset(&header);
    }
    state->log_end = batch_last_offset(&header) + 1;
    state->position += (uint32_t)bytes;
    return (uint32_t)bytes;
}

static inline void keeper_append_batch(struct keeper *keeper, int count, int64_t producer_id)
{
    uint32_t from = keeper->state.position;
    keeper_make_batch(keeper, count, producer_id);
    keeper_append_data(keeper, from, keeper->state.position, 0);
}

/* The first after everything was settled: with the rest of the block, which it makes grow. */
static inline void keeper_append_data_with_rest(struct keeper *keeper, uint32_t from, uint32_t end)
{
    uint32_t rest = from % FILE_BLOCK_BYTES;
    keeper_append_data(keeper, from - rest, end, rest);
}

static inline void keeper_append_first_batch(struct keeper *keeper, int count, int64_t producer_id)
{
    uint32_t from = keeper->state.position;
    keeper_make_batch(keeper, count, producer_id);
    keeper_append_data_with_rest(keeper, from, keeper->state.position);
}

/* The log's directory and segment, as the job of a first append or a roll makes them. */
static inline int64_t keeper_make_files(struct files *files, void *context)
{
    struct keeper *keeper = context;
    char path[512];
    snprintf(path, sizeof(path), "/data/%s", keeper->state.name);
    (void)!files_make_directory(files, path);
    snprintf(path, sizeof(path), "/data/%s/%020ld.log", keeper->state.name,
             (long)keeper->state.segment_base);
    int fd = files_open(files, path, FILES_CREATE);
    cr_assert_geq(fd, 0);
    cr_assert_eq(files_allocate(files, fd, 0, 64 << 10), 0);
    files_close(files, fd);
    return 0;
}

/* Write back and settle everything. */
static inline int64_t keeper_settle(struct files *files, void *context)
{
    struct keeper *keeper = context;
    char path[512];
    snprintf(path, sizeof(path), "/data/%s/%020ld.log", keeper->state.name,
             (long)keeper->state.segment_base);
    int fd = files_open(files, path, FILES_CREATE);
    cr_assert_geq(fd, 0);
    cr_assert_eq(files_write(files, fd, keeper->bytes, keeper->state.position, 0),
                 keeper->state.position);
    cr_assert_eq(files_flush_all(files, fd), 0);
    files_close(files, fd);
    keeper->state.data_from = keeper->state.log_sequence + 1;
    return 0;
}

/* What recovery found is what the keeper knows. */
static inline void keeper_check(struct keeper *keeper)
{
    const struct log_state *knows = &keeper->state;
    cr_assert_eq(keeper->recovery.logs_count, 1);
    const struct log_state *found = &keeper->recovery.logs[0];
    cr_assert_str_eq(found->name, knows->name);
    cr_assert_eq(found->log_id, knows->log_id);
    cr_assert_eq(found->log_sequence, knows->log_sequence + 1);
    cr_assert_eq(found->data_from, found->log_sequence);
    cr_assert_eq(found->segment_base, knows->segment_base);
    cr_assert_eq(found->uncut_base, knows->segment_base);
    cr_assert_eq(found->position, knows->position);
    cr_assert_eq(found->log_end, knows->log_end);
    cr_assert_eq(found->max_timestamp, knows->max_timestamp);
    cr_assert_eq(found->max_timestamp_offset, knows->max_timestamp_offset);
    cr_assert_eq(found->producers.table.count, knows->producers.table.count);
    cr_assert_eq(found->epochs.count, knows->epochs.count);
    if (knows->position > 0) {
        char path[512], *text;
        snprintf(path, sizeof(path), "/data/%s/%020ld.log", knows->name, (long)knows->segment_base);
        int64_t bytes = world_read(&keeper->world, path, &text);
        cr_assert_geq(bytes, knows->position, "%s has %ld bytes", path, (long)bytes);
        cr_assert_arr_eq(text, keeper->bytes, knows->position);
        for (int64_t i = knows->position; i < bytes; i++) {
            cr_assert_eq(text[i], 0, "byte %ld behind the end is not zero", (long)i);
        }
        free(text);
    }
}

#endif
