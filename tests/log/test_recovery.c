#include "log/recovery.h"

#include "log/offset_index.h"
#include "tests/log/keeper.h"

/* LeakSanitizer's, if it is there: what a killed process had is lost on purpose. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

static void leave_unchecked(bool start)
{
    if (start && __lsan_disable) {
        __lsan_disable();
    } else if (!start && __lsan_enable) {
        __lsan_enable();
    }
}

static bool exists(struct keeper *keeper, const char *path)
{
    char *text = NULL;
    int64_t bytes = world_read(&keeper->world, path, &text);
    free(text);
    return bytes >= 0;
}

static int64_t bytes_of(struct keeper *keeper, const char *path)
{
    char *text = NULL;
    int64_t bytes = world_read(&keeper->world, path, &text);
    free(text);
    return bytes;
}

static int64_t remove_path(struct files *files, void *context)
{
    return files_unlink(files, context);
}

static int64_t make_directory(struct files *files, void *context)
{
    return files_make_directory(files, context);
}

/* A log with a few batches, all of them in the journal alone. */
static struct keeper *keeper_with_batches(int count)
{
    struct keeper *keeper = keeper_new(1);
    keeper_append_state(keeper);
    world_run(&keeper->world, keeper_make_files, keeper);
    for (int i = 0; i < count; i++) {
        keeper_append_batch(keeper, 1 + i % 5, i % 3 ? 1000 + i % 3 : -1);
    }
    return keeper;
}

static void refused(struct keeper *keeper, struct recovery_options options, int64_t error,
                    const char *says)
{
    cr_assert_eq(keeper_recover_as(keeper, options), error, "%s", keeper->recovery.problem);
    cr_assert(strstr(keeper->recovery.problem, says), "%s", keeper->recovery.problem);
    cr_assert_null(keeper->recovery.logs);
    cr_assert_eq(keeper->recovery.lock_fd, -1);
}

/* -- whose directory it is --------------------------------------------------------------------- */

Test(recovery, formats_an_empty_directory_and_knows_it_again)
{
    struct keeper *keeper = keeper_new(1);
    struct recovery first = keeper->recovery;
    cr_assert(first.formatted && first.start == 1 && first.logs_count == 0);
    cr_assert_eq(strlen(first.cluster_id), 22);
    cr_assert_eq(strlen(first.directory_id), 22);
    cr_assert_neq(first.salt, 0);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper);
    cr_assert_not(keeper->recovery.formatted);
    cr_assert_not(keeper->recovery.was_clean);
    cr_assert_eq(keeper->recovery.start, 2);
    cr_assert_eq(keeper->recovery.salt, first.salt);
    cr_assert_str_eq(keeper->recovery.cluster_id, first.cluster_id);
    cr_assert_str_eq(keeper->recovery.directory_id, first.directory_id);
    keeper_free(keeper);
}

Test(recovery, takes_the_cluster_id_that_it_is_given)
{
    struct keeper *keeper = keeper_new(1);
    world_run(&keeper->world, remove_path, "/data/meta.properties");
    for (int slot = 0; slot < 3; slot++) {
        char path[64];
        snprintf(path, sizeof(path), "/data/odradek-1-0-%d.journal", slot);
        world_run(&keeper->world, remove_path, path);
    }
    keeper_cut(keeper, SIM_CUT_KILL);
    struct recovery_options options = keeper_options();
    strcpy(options.cluster_id, "a-cluster");
    cr_assert_eq(keeper_recover_as(keeper, options), 0, "%s", keeper->recovery.problem);
    cr_assert_str_eq(keeper->recovery.cluster_id, "a-cluster");
    keeper_free(keeper);
}

Test(recovery, refuses_what_is_not_its_own)
{
    struct keeper *keeper = keeper_new(1);
    keeper_cut(keeper, SIM_CUT_KILL);
    struct recovery_options options = keeper_options();
    options.node_id = 2;
    refused(keeper, options, -EBADMSG, "belongs to node 1, and node.id is 2");
    options = keeper_options();
    strcpy(options.cluster_id, "another");
    refused(keeper, options, -EBADMSG, "this is cluster another");

    const struct {
        const char *text, *says;
    } others[] = {
        {"version=1\ncluster.id=x\nnode.id=1\n", "belongs to Apache Kafka"},
        {"version=3\ncluster.id=x\nnode.id=1\n", "newer version of Odradek"},
        {"version=2\ncluster.id=x\nnode.id=1\nodradek.format=2\n", "newer version of Odradek"},
        {"version=2\ncluster.id=x\nnode.id=1\n", "cannot read /data/meta.properties"},
        {"version=2\ncluster.id=x\nnode.id=1\nodradek.format=1\ndirectory.id=x\n", "is not a uuid"},
        {"node.id=one\n", "cannot read /data/meta.properties"},
        {"", "cannot read /data/meta.properties"},
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        world_write(&keeper->world, "/data/meta.properties", others[i].text,
                    strlen(others[i].text));
        refused(keeper, keeper_options(), -EBADMSG, others[i].says);
    }
    world_run(&keeper->world, remove_path, "/data/meta.properties");
    refused(keeper, keeper_options(), -EBADMSG, "no meta.properties, and is not empty");
    keeper_free(keeper);
}

static int64_t take_lock(struct files *files, void *context)
{
    int fd = files_open(files, "/data/.lock", 0);
    cr_assert_geq(fd, 0);
    return files_lock(files, fd);
}

Test(recovery, refuses_a_directory_in_use)
{
    struct keeper *keeper = keeper_new(1);
    keeper_cut(keeper, SIM_CUT_KILL);
    cr_assert_eq(world_run(&keeper->world, take_lock, NULL), 0);
    refused(keeper, keeper_options(), -EAGAIN, "in use by another process");
    keeper_free(keeper);
}

/* -- bytes and their effect -------------------------------------------------------------------- */

Test(recovery, brings_back_what_only_the_journal_had)
{
    struct keeper *keeper = keeper_with_batches(40);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper);
    keeper_check(keeper);
    cr_assert(exists(keeper, "/data/orders-0/partition.metadata"));
    const struct producer *producer = producers_find(&keeper->recovery.logs[0].producers, 1001);
    cr_assert_not_null(producer);
    cr_assert_eq(producer->batches_count, PRODUCER_BATCHES_MAX);
    keeper_free(keeper);
}

Test(recovery, makes_indexes_that_lead_to_batches)
{
    struct keeper *keeper = keeper_with_batches(400);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper);
    keeper_check(keeper);
    const struct log_state *found = &keeper->recovery.logs[0];
    char *text;
    int64_t bytes = world_read(&keeper->world, "/data/orders-0/00000000000000000000.index", &text);
    cr_assert_eq(bytes, found->index_bytes);
    cr_assert_gt(bytes, 2 * OFFSET_INDEX_ENTRY_BYTES);
    struct offset_index index;
    offset_index_init(&index, 0, 1 << 20, 4096);
    cr_assert_eq(offset_index_load(&index, text, (size_t)bytes, found->position), 0);
    for (uint32_t i = 0; i < index.count; i++) {
        uint32_t position = index.entries[i].position;
        struct batch batch = parsed(keeper->bytes + position, found->position - position);
        cr_assert_eq(batch_last_offset(&batch), index.entries[i].relative_offset);
    }
    offset_index_deinit(&index);
    free(text);
    keeper_free(keeper);
}

Test(recovery, goes_on_from_a_state_whose_bytes_are_in_the_segment)
{
    struct keeper *keeper = keeper_with_batches(30);
    world_run(&keeper->world, keeper_settle, keeper);
    keeper_append_state(keeper);
    uint32_t block = keeper->state.position / 4096 * 4096, rest = keeper->state.position - block;
    uint32_t from = keeper->state.position;
    keeper_make_batch(keeper, 3, 1001);
    keeper_append_data(keeper, block, keeper->state.position, rest);
    cr_assert_gt(from, block);
    keeper_append_batch(keeper, 2, -1);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper);
    keeper_check(keeper);
    keeper_free(keeper);
}

Test(recovery, cuts_a_batch_that_lacks_its_end_at_any_byte)
{
    for (uint32_t missing = 1; missing < 200; missing += 13) {
        struct keeper *keeper = keeper_with_batches(3);
        struct log_state before = keeper->state;
        uint32_t bytes = keeper_make_batch(keeper, 10, -1);
        cr_assert_gt(bytes, missing);
        keeper_append_data(keeper, before.position, keeper->state.position - missing, 0);
        memset(keeper->bytes + before.position, 0, bytes);
        uint64_t sequence = keeper->state.log_sequence;
        struct epochs epochs = keeper->state.epochs;
        keeper->state = before;
        keeper->state.log_sequence = sequence;
        keeper->state.epochs = epochs;
        keeper_cut(keeper, SIM_CUT_POWER);
        keeper_recover(keeper);
        keeper_check(keeper);
        keeper_free(keeper);
    }
}

/* A STATE may come between the parts of a batch: it knows how far the first reaches. */
Test(recovery, keeps_a_batch_that_began_before_the_state_and_ended_after_it)
{
    for (int settled = 0; settled < 2; settled++) {
        struct keeper *keeper = keeper_with_batches(6);
        struct log_state before = keeper->state;
        uint32_t from = keeper->state.position, middle = from + 70;
        keeper_make_batch(keeper, 10, 1001);
        keeper_append_data(keeper, from, middle, 0);
        struct log_state after = keeper->state;
        if (settled) { /* and the first part is in the segment, durably, and its entry is gone */
            keeper->state.position = middle;
            world_run(&keeper->world, keeper_settle, keeper);
            after.data_from = before.data_from = keeper->state.data_from;
        }
        before.log_sequence = after.log_sequence;
        before.epochs = after.epochs;
        before.producers = after.producers;
        before.placed = middle;
        keeper->state = before;
        keeper_append_state(keeper);
        after.log_sequence = keeper->state.log_sequence;
        keeper->state = after;
        if (settled) {
            keeper_append_data_with_rest(keeper, middle, keeper->state.position);
        } else {
            keeper_append_data(keeper, middle, keeper->state.position, 0);
        }
        keeper_append_batch(keeper, 2, -1);
        keeper_cut(keeper, SIM_CUT_POWER);
        keeper_recover(keeper);
        keeper_check(keeper);
        keeper_free(keeper);
    }
}

Test(recovery, forgets_what_was_truncated_before_the_state)
{
    struct keeper *keeper = keeper_with_batches(10);
    struct log_state kept = keeper->state;
    keeper_append_batch(keeper, 5, -1); /* to be truncated away ... */
    keeper_append_batch(keeper, 5, -1);
    memset(keeper->bytes + kept.position, 0, keeper->state.position - kept.position);
    uint64_t sequence = keeper->state.log_sequence;
    struct epochs epochs = keeper->state.epochs;
    keeper->state = kept;
    keeper->state.log_sequence = sequence;
    keeper->state.epochs = epochs;
    keeper_append_state(keeper); /* ... by this */
    keeper_append_batch(keeper, 1, -1);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper);
    keeper_check(keeper);
    keeper_free(keeper);
}

/* -- again ------------------------------------------------------------------------------------- */

Test(recovery, can_be_interrupted_anywhere_and_run_again)
{
    bool finished = false;
    for (uint32_t steps = 0; !finished; steps += 1 + steps / 8) {
        struct keeper *keeper = keeper_with_batches(20);
        keeper_cut(keeper, SIM_CUT_POWER);
        keeper->recovery = (struct recovery){.options = keeper_options()};
        leave_unchecked(true);
        recovery_begin(&keeper->recovery, keeper->world.reactor, keeper_recovered);
        for (uint32_t i = 0; i < steps && !finished; i++) {
            finished = keeper_has_recovered(&keeper->recovery) || !sim_step(&keeper->world.sim);
        }
        leave_unchecked(false);
        finished = keeper_has_recovered(&keeper->recovery);
        world_cut(&keeper->world, SIM_CUT_POWER);
        if (finished) {
            recovery_free(&keeper->recovery);
        }
        keeper_recover(keeper);
        keeper_check(keeper);
        keeper_free(keeper);
    }
}

Test(recovery, says_the_same_each_time)
{
    struct keeper *keeper = keeper_with_batches(20);
    for (int i = 0; i < 4; i++) {
        keeper_cut(keeper, i % 2 ? SIM_CUT_KILL : SIM_CUT_POWER);
        keeper_recover(keeper);
        keeper_check(keeper);
        cr_assert_eq(keeper->recovery.start, 2u + i);
    }
    keeper_free(keeper);
}

Test(recovery, believes_the_newest_start_of_a_log)
{
    struct keeper *keeper = keeper_with_batches(5);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper); /* and the next start goes on, on another core, without finishing */
    keeper_open_journal(keeper, 1);
    keeper->state.data_from = keeper->state.log_sequence + 1;
    keeper_append_state(keeper);
    keeper_append_first_batch(keeper, 4, -1);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper);
    keeper_check(keeper);
    keeper_free(keeper);
}

Test(recovery, needs_nothing_of_old_journals_once_it_is_finished)
{
    struct keeper *keeper = keeper_with_batches(5);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper);
    keeper_open_journal(keeper, 0);
    keeper->state.data_from = keeper->state.log_sequence + 1;
    keeper_append_state(keeper);
    keeper_finish_recovery(keeper);
    cr_assert_not(exists(keeper, "/data/odradek-1-0-0.journal"));
    cr_assert(exists(keeper, "/data/odradek-2-0-0.journal"));
    keeper_append_first_batch(keeper, 4, -1);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper);
    keeper_check(keeper);
    keeper_free(keeper);
}

/* Half of a journal would look like a damaged one. */
Test(recovery, can_be_interrupted_while_it_removes_old_journals)
{
    bool finished = false;
    for (uint32_t steps = 0; !finished; steps++) {
        struct keeper *keeper = keeper_with_batches(500);
        while (keeper->journal.ring.head < 3) { /* the journal has several files */
            keeper_append_data(keeper, 0, keeper->state.position, 0);
        }
        keeper_cut(keeper, SIM_CUT_POWER);
        keeper_recover(keeper);
        keeper_open_journal(keeper, 0);
        keeper->state.data_from = keeper->state.log_sequence + 1;
        keeper_append_state(keeper);
        keeper_close_journal(keeper);
        leave_unchecked(true);
        recovery_finish(&keeper->recovery, keeper->world.reactor, keeper_recovered);
        for (uint32_t i = 0; i < steps && !keeper_has_recovered(&keeper->recovery); i++) {
            sim_step(&keeper->world.sim);
        }
        leave_unchecked(false);
        finished = keeper_has_recovered(&keeper->recovery);
        world_cut(&keeper->world, SIM_CUT_POWER);
        recovery_free(&keeper->recovery);
        keeper_recover(keeper);
        keeper_check(keeper);
        keeper_free(keeper);
    }
}

/* -- segments ---------------------------------------------------------------------------------- */

/* The log rolls: what was the active segment is sealed. */
static void roll(struct keeper *keeper)
{
    keeper->state.uncut_base = keeper->state.segment_base;
    keeper->state.segment_base = keeper->state.log_end;
    keeper->state.position = keeper->state.placed = 0;
    keeper->state.max_timestamp = -1;
    keeper_append_state(keeper);
    world_run(&keeper->world, keeper_make_files, keeper);
    memset(keeper->bytes, 0, sizeof(keeper->bytes));
}

Test(recovery, cuts_a_sealed_segment_whose_bytes_it_laid)
{
    struct keeper *keeper = keeper_with_batches(50);
    uint32_t end = keeper->state.position;
    roll(keeper);
    keeper_append_batch(keeper, 4, -1);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper);
    keeper_check(keeper);
    cr_assert_eq(bytes_of(keeper, "/data/orders-0/00000000000000000000.log"), end);
    keeper_free(keeper);
}

Test(recovery, cuts_a_sealed_segment_that_was_settled_before_the_roll)
{
    struct keeper *keeper = keeper_with_batches(50);
    uint32_t end = keeper->state.position;
    world_run(&keeper->world, keeper_settle, keeper);
    roll(keeper);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper);
    cr_assert_eq(bytes_of(keeper, "/data/orders-0/00000000000000000000.log"), end);
    cr_assert_gt(bytes_of(keeper, "/data/orders-0/00000000000000000000.timeindex"), 0);
    keeper_free(keeper);
}

Test(recovery, removes_segments_behind_the_active_one)
{
    struct keeper *keeper = keeper_with_batches(3);
    world_write(&keeper->world, "/data/orders-0/00000000000000000500.log", "x", 1);
    world_write(&keeper->world, "/data/orders-0/00000000000000000500.index", "x", 1);
    world_write(&keeper->world, "/data/orders-0/00000000000000000500.snapshot", "x", 1);
    keeper_cut(keeper, SIM_CUT_KILL);
    keeper_recover(keeper);
    keeper_check(keeper);
    cr_assert_not(exists(keeper, "/data/orders-0/00000000000000000500.log"));
    cr_assert_not(exists(keeper, "/data/orders-0/00000000000000000500.index"));
    cr_assert_not(exists(keeper, "/data/orders-0/00000000000000000500.snapshot"));
    keeper_free(keeper);
}

/* -- directories ------------------------------------------------------------------------------- */

static int64_t retire_orders(struct files *files, void *context)
{
    const struct keeper *keeper = context;
    char retired[LOG_NAME_BYTES_MAX + 1];
    return directory_retire(files, &(struct log_place){"/data", "orders-0"}, keeper->state.log_id,
                            retired);
}

static int64_t count_retired(struct files *files, void *context)
{
    struct files_entry *entries;
    int64_t count = files_list(files, "/data", &entries), retired = 0;
    for (int64_t i = 0; i < count; i++) {
        retired += directory_name_is_retired(entries[i].name);
    }
    free(entries);
    return retired;
}

Test(recovery, finishes_a_drop)
{
    struct keeper *keeper = keeper_with_batches(3);
    keeper->state.dropped = true;
    keeper_append_state(keeper);
    keeper_cut(keeper, SIM_CUT_KILL);
    keeper_recover(keeper);
    cr_assert_eq(keeper->recovery.logs_count, 0);
    cr_assert_not(exists(keeper, "/data/orders-0/00000000000000000000.log"));
    keeper_free(keeper);
}

/* Between the rename and the removal. */
Test(recovery, removes_what_was_retired_when_the_power_went)
{
    struct keeper *keeper = keeper_with_batches(3);
    keeper->state.dropped = true;
    keeper_append_state(keeper);
    cr_assert_eq(world_run(&keeper->world, retire_orders, keeper), 0);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper);
    cr_assert_eq(keeper->recovery.logs_count, 0);
    cr_assert_eq(keeper->recovery.left_count, 0);
    cr_assert_not(exists(keeper, "/data/orders-0/partition.metadata"));
    cr_assert_eq(world_run(&keeper->world, count_retired, NULL), 0);
    keeper_free(keeper);
}

/* It cannot be removed: the broker starts all the same, and the log does not come back. */
Test(recovery, starts_although_a_dropped_directory_cannot_be_removed)
{
    struct keeper *keeper = keeper_with_batches(3);
    keeper->state.dropped = true;
    keeper_append_state(keeper);
    cr_assert_eq(world_run(&keeper->world, make_directory, (void *)"/data/orders-0/kept"), 0);
    for (int start = 0; start < 2; start++) {
        keeper_cut(keeper, SIM_CUT_KILL);
        keeper_recover(keeper);
        cr_assert_eq(keeper->recovery.logs_count, 0);
        cr_assert_eq(keeper->recovery.left_count, 1);
        cr_assert_not(exists(keeper, "/data/orders-0/00000000000000000000.log"));
        cr_assert_eq(world_run(&keeper->world, count_retired, NULL), 1);
    }
    keeper_free(keeper);
}

Test(recovery, does_not_take_a_new_topic_for_the_dropped_one_of_its_name)
{
    struct keeper *keeper = keeper_with_batches(3);
    keeper->state.dropped = true;
    keeper_append_state(keeper); /* and the directory is still there */
    struct log_state *state = &keeper->state;
    state_deinit(state);
    *state = (struct log_state){
        .log_id = state->log_id + 1,
        .topic_id = {0xbb},
        .name = "orders-0",
        .max_timestamp = -1,
    };
    epochs_init(&state->epochs);
    producers_init(&state->producers, PRODUCERS_MAX);
    memset(keeper->bytes, 0, sizeof(keeper->bytes));
    keeper_append_state(keeper);
    keeper_append_batch(keeper, 2, -1);
    keeper_cut(keeper, SIM_CUT_KILL);
    keeper_recover(keeper);
    keeper_check(keeper);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper);
    keeper_check(keeper);
    keeper_free(keeper);
}

Test(recovery, removes_strays_without_records_and_leaves_others)
{
    static const uint8_t zeros[8192];
    struct keeper *keeper = keeper_with_batches(3);
    const char *directories[] = {"/data/blank-0", "/data/full-7", "/data/gone-1.abc-delete",
                                 "/data/__cluster_metadata-0"};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(world_run(&keeper->world, make_directory, (void *)directories[i]), 0);
    }
    world_write(&keeper->world, "/data/blank-0/00000000000000000000.log", zeros, sizeof(zeros));
    world_write(&keeper->world, "/data/full-7/00000000000000000000.log", keeper->bytes, 100);
    world_write(&keeper->world, "/data/gone-1.abc-delete/00000000000000000000.log", "x", 1);
    world_write(&keeper->world, "/data/__cluster_metadata-0/00000000000000000000.log", zeros, 10);
    keeper_cut(keeper, SIM_CUT_KILL);
    keeper_recover(keeper);
    keeper_check(keeper);
    cr_assert_not(exists(keeper, "/data/blank-0/00000000000000000000.log"));
    cr_assert(exists(keeper, "/data/full-7/00000000000000000000.log"));
    cr_assert_not(exists(keeper, "/data/gone-1.abc-delete/00000000000000000000.log"));
    cr_assert(exists(keeper, "/data/__cluster_metadata-0/00000000000000000000.log"));
    keeper_free(keeper);
}

/* -- what cannot be ---------------------------------------------------------------------------- */

Test(recovery, stops_at_a_gap_in_a_logs_entries)
{
    struct keeper *keeper = keeper_with_batches(3);
    keeper->state.log_sequence++;
    keeper_append_batch(keeper, 2, -1);
    keeper_cut(keeper, SIM_CUT_KILL);
    refused(keeper, keeper_options(), -EBADMSG, "is followed by");
    keeper_free(keeper);
}

Test(recovery, stops_at_entries_without_a_state)
{
    struct keeper *keeper = keeper_new(1);
    keeper_append_batch(keeper, 2, -1);
    keeper_cut(keeper, SIM_CUT_KILL);
    refused(keeper, keeper_options(), -EBADMSG, "no STATE");
    keeper_free(keeper);
}

Test(recovery, stops_at_bytes_that_are_no_batch)
{
    struct keeper *keeper = keeper_with_batches(3);
    uint32_t from = keeper->state.position;
    keeper_make_batch(keeper, 3, -1);
    keeper->bytes[from + BATCH_MAGIC] = 9;
    keeper_append_data(keeper, from, keeper->state.position, 0);
    keeper_cut(keeper, SIM_CUT_KILL);
    refused(keeper, keeper_options(), -EBADMSG, "no batch that could follow");
    keeper_free(keeper);
}

/* -- clean stop -------------------------------------------------------------------------------- */

static void clean_stopped(struct op *op)
{
    container_of(container_of(op, struct job, op), struct clean_stop, job)->broker_epoch = -1;
}

static bool has_clean_stopped(void *context)
{
    return ((struct clean_stop *)context)->broker_epoch == -1;
}

static void stop_cleanly(struct keeper *keeper)
{
    struct clean_stop_log log = {.log_start = 2,
                                 .log_end = keeper->state.log_end,
                                 .high_watermark = keeper->state.log_end,
                                 .log_start_moved = true};
    strcpy(log.name, keeper->state.name);
    struct clean_stop stop = {.directory = "/data",
                              .logs = &log,
                              .logs_count = 1,
                              .broker_epoch = 77,
                              .lock_fd = keeper->recovery.lock_fd};
    world_run(&keeper->world, keeper_settle, keeper);
    keeper_append_state(keeper);
    clean_stop_begin(&stop, keeper->world.reactor, clean_stopped);
    cr_assert(sim_run(&keeper->world.sim, has_clean_stopped, &stop, WORLD_STEPS_MAX));
    cr_assert_eq(stop.job.op.result, 0);
}

Test(recovery, trusts_its_own_clean_stop)
{
    struct keeper *keeper = keeper_with_batches(5);
    stop_cleanly(keeper);
    keeper_cut(keeper, SIM_CUT_POWER);
    keeper_recover(keeper);
    cr_assert(keeper->recovery.was_clean);
    keeper_check(keeper);
    cr_assert_not(exists(keeper, "/data/.kafka_cleanshutdown"));
    keeper_cut(keeper, SIM_CUT_POWER); /* and the start after it ends without a clean stop */
    keeper_recover(keeper);
    cr_assert_not(keeper->recovery.was_clean);
    keeper_check(keeper);
    keeper_free(keeper);
}

Test(recovery, leaves_after_a_clean_stop_what_kafka_reads)
{
    struct keeper *keeper = keeper_with_batches(5);
    stop_cleanly(keeper);
    char *text, expected[64];
    cr_assert_gt(world_read(&keeper->world, "/data/meta.properties", &text), 0);
    cr_assert(strstr(text, "version=1\n") && strstr(text, "node.id=1\n"), "%s", text);
    free(text);
    cr_assert_gt(world_read(&keeper->world, "/data/.kafka_cleanshutdown", &text), 0);
    cr_assert(strstr(text, "\"version\":0,\"brokerEpoch\":77"), "%s", text);
    free(text);
    snprintf(expected, sizeof(expected), "0\n1\norders 0 %ld\n", (long)keeper->state.log_end);
    const char *files[] = {"/data/recovery-point-offset-checkpoint",
                           "/data/replication-offset-checkpoint"};
    for (int i = 0; i < 2; i++) {
        cr_assert_gt(world_read(&keeper->world, files[i], &text), 0);
        cr_assert_str_eq(text, expected);
        free(text);
    }
    cr_assert_gt(world_read(&keeper->world, "/data/log-start-offset-checkpoint", &text), 0);
    cr_assert_str_eq(text, "0\n1\norders 0 2\n");
    free(text);
    cr_assert_gt(world_read(&keeper->world, "/data/cleaner-offset-checkpoint", &text), 0);
    cr_assert_str_eq(text, "0\n0\n");
    free(text);
    keeper_free(keeper);
}

Test(recovery, notices_that_kafka_was_here_after_its_clean_stop)
{
    struct keeper *keeper = keeper_with_batches(5);
    stop_cleanly(keeper);
    keeper_cut(keeper, SIM_CUT_POWER);
    const char *kafkas = "{\"version\":0,\"brokerEpoch\":78}";
    world_write(&keeper->world, "/data/.kafka_cleanshutdown", kafkas, strlen(kafkas));
    refused(keeper, keeper_options(), -EBADMSG, "has used the directory since our last stop");
    world_run(&keeper->world, remove_path, "/data/.kafka_cleanshutdown");
    refused(keeper, keeper_options(), -EBADMSG, "has used the directory since our last stop");
    keeper_free(keeper);
}
