#include "log/journal.h"

#include "log/replay.h"
#include "tests/log/world.h"

enum { SALT = 99, BLOCK = JOURNAL_BLOCK_BYTES, COMMIT = 8 * BLOCK, APPENDS_MAX = 4096, ENDS = 8 };

struct bench {
    struct world world;
    struct journal journal;
    struct journal_append appends[APPENDS_MAX];
    uint32_t begun, ended;
    bool in_order; /* appends ended in the order they began */
    int64_t result;
    uint64_t pressed; /* the last ordinal wanted back */
    uint32_t rooms, failures;
    uint32_t wanted;
};

static void pressed(void *context, uint64_t ordinal)
{
    ((struct bench *)context)->pressed = ordinal;
}

static void room(void *context)
{
    ((struct bench *)context)->rooms++;
}

static void failed(void *context, int error)
{
    ((struct bench *)context)->failures++;
}

static struct bench *bench_new(uint32_t files_max, uint32_t file_bytes, uint32_t commit_bytes)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    world_open(&bench->world, 1);
    bench->in_order = true;
    struct journal_options options = {
        .directory = "/data",
        .start = 1,
        .salt = SALT,
        .file_bytes = file_bytes,
        .files_max = files_max,
        .commit_bytes_max = commit_bytes,
        .ends_max = ENDS,
        .pressed = pressed,
        .room = room,
        .failed = failed,
        .context = bench,
    };
    struct awaited opened = {0};
    journal_open(&bench->journal, bench->world.reactor, &options, &opened.op, awaited_ended);
    cr_assert_eq(await(&bench->world, &opened), 0);
    return bench;
}

static void bench_free(struct bench *bench)
{
    world_close(&bench->world);
    free(bench);
}

static void bench_close(struct bench *bench)
{
    struct awaited closed = {0};
    journal_close(&bench->journal, &closed.op, awaited_ended);
    cr_assert_eq(await(&bench->world, &closed), 0);
    cr_assert_eq(bench->world.reactor->slabs.budgets[BUDGET_JOURNAL].bytes, 0);
    bench_free(bench);
}

static struct bench *bench_of(struct op *op)
{
    struct journal_append *append = container_of(op, struct journal_append, op);
    return (struct bench *)append->bytes[1].iov_base; /* the second piece is empty */
}

static void appended(struct op *op)
{
    struct bench *bench = bench_of(op);
    bench->in_order &= op == &bench->appends[bench->ended].op;
    bench->ended++;
    bench->result = op->result;
}

static bool all_ended(void *context)
{
    struct bench *bench = context;
    return bench->ended >= bench->wanted;
}

static void bench_wait(struct bench *bench)
{
    world_nudge(&bench->world);
    bench->wanted = bench->begun;
    cr_assert(sim_run(&bench->world.sim, all_ended, bench, WORLD_STEPS_MAX), "it never ended");
}

/* Nothing more happens by itself. */
static void bench_rest(struct bench *bench)
{
    world_nudge(&bench->world);
    for (uint32_t i = 0; i < 10000 && sim_step(&bench->world.sim); i++) {
    }
}

static bool bench_append(struct bench *bench, enum entry_type type, uint32_t bytes)
{
    static uint8_t zeros[8 << 20];
    if (!journal_has_room(&bench->journal, type == ENTRY_DATA ? CLAIM_DATA : CLAIM_RELEASE,
                          bytes)) {
        return false;
    }
    struct journal_append *append = &bench->appends[bench->begun++];
    *append = (struct journal_append){
        .log_id = 5,
        .log_sequence = bench->begun,
        .type = type,
        .bytes = {{zeros, bytes}, {bench, 0}},
    };
    journal_append(&bench->journal, append, appended);
    return true;
}

static uint64_t metric(const struct bench *bench, enum metric name)
{
    return bench->world.reactor->metrics.values[name];
}

static void fill_with_data(struct bench *bench)
{
    for (;;) {
        while (bench_append(bench, ENTRY_DATA, 3 * BLOCK)) {
        }
        if (bench->begun == bench->ended) {
            uint64_t made = bench->rooms;
            bench_rest(bench); /* a file may still be made */
            if (bench->rooms == made || !journal_has_room(&bench->journal, CLAIM_DATA, 3 * BLOCK)) {
                return;
            }
        }
        bench_wait(bench);
    }
}

/* -- tests ------------------------------------------------------------------------------------- */

Test(journal, writes_what_one_turn_appended_in_one_commit)
{
    struct bench *bench = bench_new(3, 16 * BLOCK, COMMIT);
    for (int i = 0; i < 20; i++) {
        cr_assert(bench_append(bench, ENTRY_DATA, 100));
    }
    cr_assert_eq(bench->ended, 0, "an op ended inside its call");
    bench_wait(bench);
    cr_assert_eq(metric(bench, METRIC_COMMITS), 1);
    cr_assert_eq(metric(bench, METRIC_COMMIT_BYTES), BLOCK);
    cr_assert(bench->in_order);
    cr_assert_eq(bench->result, 0);
    bench_close(bench);
}

Test(journal, gathers_while_a_commit_is_in_flight_and_ends_appends_in_order)
{
    struct bench *bench = bench_new(3, 64 * BLOCK, COMMIT);
    cr_assert(bench_append(bench, ENTRY_DATA, 100));
    world_nudge(&bench->world);
    cr_assert_not_null(bench->journal.in_flight);
    for (int i = 0; i < 10; i++) {
        cr_assert(bench_append(bench, ENTRY_DATA, 100));
    }
    bench_wait(bench);
    cr_assert_eq(metric(bench, METRIC_COMMITS), 2);
    cr_assert(bench->in_order);
    bench_close(bench);
}

/* How many ops end in each step: never more than ENDS. */
static void bench_wait_in_slices(struct bench *bench, uint32_t wanted)
{
    world_nudge(&bench->world);
    while (bench->ended < wanted) {
        uint32_t before = bench->ended;
        cr_assert(sim_step(&bench->world.sim), "it never ended");
        cr_assert_leq(bench->ended - before, ENDS, "one step ended them all");
    }
}

Test(journal, ends_a_large_commit_in_slices_with_the_next_one_on_its_way)
{
    enum { FIRST = 10 * ENDS, SECOND = 3 };
    struct bench *bench = bench_new(3, 64 * BLOCK, COMMIT);
    for (uint32_t i = 0; i < FIRST; i++) {
        cr_assert(bench_append(bench, ENTRY_DATA, 100));
    }
    world_nudge(&bench->world);
    cr_assert_not_null(bench->journal.in_flight);
    for (uint32_t i = 0; i < SECOND; i++) {
        cr_assert(bench_append(bench, ENTRY_DATA, 100));
    }
    bench_wait_in_slices(bench, 1);
    cr_assert_not_null(bench->journal.in_flight, "the next commit waits for the ops of this one");
    cr_assert_lt(bench->ended, FIRST);
    bench_wait_in_slices(bench, FIRST + SECOND);
    cr_assert_eq(metric(bench, METRIC_COMMITS), 2);
    cr_assert(bench->in_order && bench->result == 0);
    bench_rest(bench);
    bench_close(bench);
}

Test(journal, fails_a_large_commit_in_slices_behind_what_is_durable)
{
    struct bench *bench = bench_new(3, 64 * BLOCK, COMMIT);
    bench->world.node->failings[SIM_FAILING_WRITE].after = 2; /* the second commit */
    bench->world.node->failings[SIM_FAILING_WRITE].count = 1;
    bench->world.node->failings[SIM_FAILING_WRITE].error = -EIO;
    for (int commit = 0; commit < 2; commit++) {
        for (uint32_t i = 0; i < 5 * ENDS; i++) {
            cr_assert(bench_append(bench, ENTRY_DATA, 100));
        }
        bench_wait_in_slices(bench, bench->begun);
        cr_assert_eq(bench->result, commit == 0 ? 0 : -EIO);
    }
    cr_assert_eq(bench->failures, 1);
    cr_assert(bench->in_order);
    bench_close(bench);
}

/* -- entries in slices -- */

/* The next slice of the append begun last; `follow` bytes come after it. */
static void bench_slice(struct bench *bench, struct journal_append *append, uint32_t bytes,
                        uint32_t follow)
{
    static uint8_t zeros[1 << 20];
    append->bytes[0] = (struct iovec){zeros, bytes};
    append->bytes[1] = (struct iovec){bench, 0};
    append->follow_bytes = follow;
    append->log_sequence++;
    journal_append(&bench->journal, append, appended);
}

Test(journal, writes_no_commit_before_the_slices_that_it_was_promised)
{
    enum { SLICE = 1000, WITH_HEADER = SLICE + ENTRY_HEADER_BYTES };
    struct bench *bench = bench_new(3, 64 * BLOCK, COMMIT);
    cr_assert(bench_append(bench, ENTRY_DATA, 100));
    world_nudge(&bench->world);
    cr_assert_not_null(bench->journal.in_flight);
    cr_assert(journal_has_room(&bench->journal, CLAIM_DATA, 3 * SLICE + 2 * ENTRY_HEADER_BYTES));
    struct journal_append *sliced = &bench->appends[2]; /* it ends behind the small one */
    *sliced = (struct journal_append){.log_id = 7, .type = ENTRY_DATA};
    bench_slice(bench, sliced, SLICE, 2 * WITH_HEADER);
    bench_rest(bench);
    cr_assert_eq(bench->ended, 1);
    cr_assert_null(bench->journal.in_flight, "a commit was written without what it was promised");
    uint32_t most = (uint32_t)journal_entry_bytes_max(&bench->journal);
    cr_assert_not(journal_has_room(&bench->journal, CLAIM_DATA, most - 2 * WITH_HEADER),
                  "what was promised was given away");
    cr_assert(bench_append(bench, ENTRY_DATA, 100)); /* another log's */
    bench_slice(bench, sliced, SLICE, WITH_HEADER);
    bench_rest(bench);
    cr_assert_null(bench->journal.in_flight);
    cr_assert_eq(bench->ended, 1, "an op ended before its commit");
    bench_slice(bench, sliced, SLICE, 0);
    bench->begun++;
    bench_wait(bench);
    cr_assert_eq(metric(bench, METRIC_COMMITS), 2);
    cr_assert(bench->in_order && bench->result == 0);
    cr_assert_eq(bench->journal.promised_bytes, 0);
    bench_close(bench);
}

Test(journal, fails_an_entry_in_slices_at_its_last_one)
{
    enum { SLICE = 1000, WITH_HEADER = SLICE + ENTRY_HEADER_BYTES };
    struct bench *bench = bench_new(3, 64 * BLOCK, COMMIT);
    bench->world.node->failings[SIM_FAILING_WRITE].after = 1;
    bench->world.node->failings[SIM_FAILING_WRITE].count = 1;
    bench->world.node->failings[SIM_FAILING_WRITE].error = -EIO;
    cr_assert(bench_append(bench, ENTRY_DATA, 100));
    world_nudge(&bench->world);
    struct journal_append *sliced = &bench->appends[1];
    *sliced = (struct journal_append){.log_id = 7, .type = ENTRY_DATA};
    bench_slice(bench, sliced, SLICE, 2 * WITH_HEADER);
    bench_rest(bench);
    cr_assert(bench->journal.offline);
    bench_slice(bench, sliced, SLICE, WITH_HEADER);
    bench_rest(bench);
    cr_assert_eq(bench->ended, 1, "it ended with slices to come");
    bench_slice(bench, sliced, SLICE, 0);
    bench->begun = 2;
    bench_wait(bench);
    cr_assert_eq(bench->result, -EIO);
    cr_assert_eq(bench->failures, 1);
    bench_close(bench);
}

Test(journal, says_when_there_is_room_again)
{
    struct bench *bench = bench_new(3, 64 * BLOCK, COMMIT);
    uint32_t most = (uint32_t)journal_entry_bytes_max(&bench->journal);
    cr_assert(bench_append(bench, ENTRY_DATA, most));
    cr_assert_not(bench_append(bench, ENTRY_DATA, 1), "the commit was full");
    bench_wait(bench);
    bench_rest(bench);
    cr_assert_gt(bench->rooms, 0);
    cr_assert(bench_append(bench, ENTRY_DATA, most));
    bench_wait(bench);
    bench_close(bench);
}

Test(journal, writes_a_large_commit_in_pieces_side_by_side)
{
    struct bench *bench = bench_new(3, 6 << 20, 5 << 19); /* 2.5 MiB */
    cr_assert(bench_append(bench, ENTRY_DATA, (uint32_t)journal_entry_bytes_max(&bench->journal)));
    bench_wait(bench);
    cr_assert_eq(metric(bench, METRIC_COMMITS), 1);
    cr_assert_eq(metric(bench, METRIC_COMMIT_BYTES), 5 << 19);
    bench_close(bench);
}

Test(journal, wants_files_back_early_and_leaves_the_last_one_to_states)
{
    struct bench *bench = bench_new(4, 16 * BLOCK, COMMIT);
    fill_with_data(bench);
    cr_assert_gt(bench->pressed, 0, "nothing was wanted back");
    cr_assert_lt(bench->pressed, bench->journal.ring.head);
    cr_assert_eq(journal_ring_free(&bench->journal.ring), 1);
    cr_assert(bench_append(bench, ENTRY_STATE, 3 * BLOCK), "what releases must have room");
    bench_wait(bench);
    bench_close(bench);
}

/* Also when it has begun: what stands in it may be all that is left to be said. */
Test(journal, keeps_the_last_file_for_what_releases_the_oldest)
{
    struct bench *bench = bench_new(3, 16 * BLOCK, COMMIT);
    fill_with_data(bench);
    while (journal_ring_free(&bench->journal.ring) > 0) {
        cr_assert(bench_append(bench, ENTRY_STATE, BLOCK));
        bench_wait(bench);
    }
    cr_assert_not(journal_has_room(&bench->journal, CLAIM_DATA, 16));
    cr_assert_not(journal_has_room(&bench->journal, CLAIM_STATE, 16));
    cr_assert(journal_has_room(&bench->journal, CLAIM_RELEASE, 16));
    journal_release(&bench->journal, bench->journal.ring.head);
    bench_rest(bench);
    cr_assert(journal_has_room(&bench->journal, CLAIM_STATE, 16));
    bench_close(bench);
}

Test(journal, uses_released_files_again_without_an_append_to_say_so)
{
    struct bench *bench = bench_new(3, 16 * BLOCK, COMMIT);
    for (uint32_t lap = 0; lap < 20; lap++) {
        fill_with_data(bench);
        while (bench_append(bench, ENTRY_STATE, BLOCK)) { /* up to the last byte */
            bench_wait(bench);
        }
        cr_assert_not(journal_has_room(&bench->journal, CLAIM_DATA, BLOCK));
        uint64_t head = bench->journal.ring.head;
        journal_release(&bench->journal, head);
        bench_rest(bench);
        cr_assert_eq(bench->journal.ring.oldest, head, "the release did not take effect");
        cr_assert(journal_has_room(&bench->journal, CLAIM_DATA, BLOCK));
    }
    cr_assert_gt(bench->journal.ring.head, 20);
    cr_assert(bench->in_order && bench->result == 0);
    bench_close(bench);
}

Test(journal, writes_no_file_again_before_the_release_is_durable)
{
    struct bench *bench = bench_new(3, 16 * BLOCK, COMMIT);
    fill_with_data(bench);
    while (bench->journal.head_bytes < 14 * BLOCK ||
           journal_ring_free(&bench->journal.ring) > 0) { /* one block is left, and the last */
        cr_assert(bench_append(bench, ENTRY_STATE, BLOCK / 2));
        bench_wait(bench);
    }
    cr_assert(bench_append(bench, ENTRY_STATE, BLOCK / 2));
    world_nudge(&bench->world);
    cr_assert_not_null(bench->journal.in_flight, "it has ended already");
    journal_release(&bench->journal, bench->journal.ring.head);
    bench_wait(bench); /* that one was written before the release: it cannot have said so */
    cr_assert_eq(bench->journal.ring.oldest, 1);
    cr_assert_not(journal_has_room(&bench->journal, CLAIM_RELEASE, BLOCK));
    bench_rest(bench);
    cr_assert(journal_has_room(&bench->journal, CLAIM_DATA, BLOCK));
    bench_close(bench);
}

Test(journal, ends_everything_when_a_write_fails_and_takes_no_more)
{
    struct bench *bench = bench_new(3, 64 * BLOCK, COMMIT);
    bench->world.node->failings[SIM_FAILING_WRITE].after = 2;
    bench->world.node->failings[SIM_FAILING_WRITE].count = 1;
    bench->world.node->failings[SIM_FAILING_WRITE].error = -EIO;
    uint32_t failures = 0;
    for (int i = 0; i < 50; i++) {
        if (bench_append(bench, ENTRY_DATA, 100)) {
            bench_wait(bench);
            failures += bench->result == -EIO;
            cr_assert(bench->result == -EIO || failures == 0, "it was tried again");
        }
    }
    cr_assert_geq(failures, 45);
    cr_assert_eq(bench->failures, 1);
    cr_assert(bench->journal.offline && bench->in_order);
    bench_close(bench);
}

Test(journal, stays_as_large_as_the_disk_lets_it)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    world_open(&bench->world, 1);
    bench_free(bench);
    bench = bench_new(1000, 16 << 20, COMMIT); /* the disk has 256 MiB */
    bench->journal.options.file_bytes = 16 << 20;
    for (uint64_t head = 0; head < 1000 && bench->journal.ring.files_max == 1000; head++) {
        journal_ring_prepare(&bench->journal.ring, 0);
        bench_rest(bench);
        if (journal_ring_has_next(&bench->journal.ring)) {
            journal_ring_advance(&bench->journal.ring);
        }
    }
    cr_assert_leq(bench->journal.ring.files_max, 16);
    cr_assert_geq(bench->journal.ring.files_max, 14);
    bench_close(bench);
}

Test(journal, cannot_be_opened_where_its_first_files_find_no_room)
{
    struct world world;
    world_open(&world, 1);
    struct journal journal;
    struct journal_options options = {
        .directory = "/data",
        .start = 1,
        .file_bytes = 128 << 20,
        .files_max = 3,
        .commit_bytes_max = COMMIT,
        .ends_max = ENDS,
    };
    struct awaited opened = {0};
    journal_open(&journal, world.reactor, &options, &opened.op, awaited_ended);
    cr_assert_eq(await(&world, &opened), -ENOSPC);
    cr_assert_eq(world.reactor->slabs.budgets[BUDGET_JOURNAL].bytes, 0);
    world_close(&world);
}

Test(journal, cannot_be_opened_without_memory_for_its_commits)
{
    struct world world;
    world_open(&world, 1);
    struct journal journal;
    struct journal_options options = {
        .directory = "/data",
        .start = 1,
        .file_bytes = 32 << 20,
        .files_max = 3,
        .commit_bytes_max = 16 << 20,
        .ends_max = ENDS,
    };
    struct awaited opened = {0};
    journal_open(&journal, world.reactor, &options, &opened.op, awaited_ended);
    cr_assert_eq(await(&world, &opened), -ENOMEM);
    world_close(&world);
}
