/* A store in trouble, and at rest: a simulated disk that is full, fails, or is left alone. */
#include "tests/log/store_fixture.h"

#include <errno.h>

Test(store_trouble, refuses_appends_on_a_full_disk_and_takes_them_when_there_is_room)
{
    static struct place place;
    static struct known known[2];
    place_init_sim(&place, 1, 4 << 20);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known[0], &place, "stays", &known_settings);
    known_init(&known[1], &place, "goes", &known_settings);
    append_under_load(&place, &known[1], 1, 100, 5, 20000);
    uint32_t refused = 0;
    while (refused < 10) {
        struct known_batch *batch = known_append(&known[0], 10000);
        known_wait(&known[0]);
        cr_assert(batch->append.op.result == 0 || batch->append.op.result == -ENOSPC);
        refused += batch->append.op.result == -ENOSPC;
        cr_assert_lt(known[0].count, 1000);
    }
    cr_assert_gt(known[0].log->log_end, 50);
    known_verify(&known[0]);
    known_verify(&known[1]);
    log_drop(known[1].log, &place.op, place_op_done);
    place_wait(&place);
    cr_assert_eq(place.op.result, 0);
    /* a while in which silent logs are settled: that flushes, and removed files give back their
     * space when their removal is durable */
    place_let_pass(&place, 30 * 1000 * 1000);
    int64_t log_end = known[0].log->log_end;
    struct known_batch *batch = known_append(&known[0], 10000);
    known_wait(&known[0]);
    cr_assert_eq(batch->append.op.result, 0);
    cr_assert_eq(batch->append.base_offset, log_end);
    known_verify(&known[0]);
    struct clean_stop_log stops[2];
    cr_assert_eq(place_close(&place, stops), 1);
    known_deinit(&known[0]);
    known_deinit(&known[1]);
    place_deinit_sim(&place);
}

/* Appends until something fails; what was acknowledged can be read, nothing else is taken. */
static void goes_offline(enum sim_failing failing, uint64_t after)
{
    static struct place place;
    static struct known known;
    place_init_sim(&place, 1 + after, 64 << 20);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known, &place, "topic", &known_settings);
    place.node->failings[failing].after = after;
    place.node->failings[failing].count = UINT64_MAX;
    place.node->failings[failing].error = -EIO;
    while (!place.store.offline) {
        cr_assert_lt(known.count, 10000);
        known_append(&known, place_random(&place, 3000));
        known_append(&known, place_random(&place, 3000));
        known_wait(&known);
    }
    place.node->failings[failing].after = 0; /* well again: that changes nothing */
    struct known_batch *batch = known_append(&known, 100);
    known_wait(&known);
    cr_assert_eq(batch->append.op.result, -EIO);
    for (uint32_t i = 0; i < known.count; i++) {
        int64_t result = known.batches[i].append.op.result;
        cr_assert(result == 0 || result == -EIO);
    }
    known_verify(&known);
    cr_assert_eq(place_close(&place, NULL), -EIO);
    known_deinit(&known);
    place_deinit_sim(&place);
}

Test(store_trouble, goes_offline_when_a_write_fails)
{
    for (uint64_t after = 1; after < 200; after += 7) {
        goes_offline(SIM_FAILING_WRITE, after);
    }
}

Test(store_trouble, goes_offline_when_a_flush_fails)
{
    goes_offline(SIM_FAILING_FLUSH, 1);
    goes_offline(SIM_FAILING_FLUSH, 3);
}

Test(store_trouble, settles_silent_logs_and_then_does_nothing)
{
    static struct place place;
    static struct known known[3];
    place_init_sim(&place, 5, 64 << 20);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known[0], &place, "one", &known_settings);
    known_init(&known[1], &place, "two", &known_settings);
    known_init(&known[2], &place, "three", &known_settings);
    append_under_load(&place, known, 3, 20, 3, 1000);
    for (uint64_t steps = 0; place_turn(&place); steps++) {
        cr_assert_lt(steps, 1 << 20, "it never comes to rest");
    }
    cr_assert_null(known[0].log->marks);
    cr_assert_eq(known[0].log->segments[0]->settled, known[0].log->segments[0]->appended);
    append_under_load(&place, known, 3, 40, 3, 1000);
    for (int i = 0; i < 3; i++) {
        all_succeeded(&known[i]);
        known_verify(&known[i]);
    }
    struct clean_stop_log stops[3];
    cr_assert_eq(place_close(&place, stops), 3);
    for (int i = 0; i < 3; i++) {
        known_deinit(&known[i]);
    }
    place_deinit_sim(&place);
}

Test(store_trouble, costs_a_quiet_partition_half_a_kilobyte_of_tail)
{
    static struct place place;
    place_init_sim(&place, 9, 256 << 20);
    place.options.journal_bytes = 4 << 20;
    place.options.journal_file_bytes = 1 << 20;
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    enum { LOGS = 300 };
    static struct known_batch batches[LOGS];
    static struct known counter;
    counter = (struct known){.place = &place, .count = LOGS};
    struct batch header = make_header();
    for (int i = 0; i < LOGS; i++) {
        char topic[32];
        static const uint8_t topic_id[16];
        snprintf(topic, sizeof(topic), "topic%d", i);
        struct log *log = store_create_log(&place.store, topic_id, topic, 0, &known_settings, 0);
        batches[i] = (struct known_batch){.known = &counter};
        batches[i].bytes = known_bytes(&place, 100, 1000, &header, &batches[i].append.bytes);
        batches[i].append.batch = batches[i].bytes;
        log_append(log, &batches[i].append, known_ended);
    }
    known_wait(&counter);
    cr_assert_leq(place.reactor->slabs.budgets[BUDGET_TAIL].bytes, LOGS * 512);
    static struct clean_stop_log stops[LOGS];
    cr_assert_eq(place_close(&place, stops), LOGS);
    for (int i = 0; i < LOGS; i++) {
        free(batches[i].bytes);
    }
    place_deinit_sim(&place);
}

Test(store_trouble, does_not_start_where_a_state_fits_into_no_commit)
{
    static struct place place;
    place_init(&place);
    place.options.journal_file_bytes = 16 << 10; /* commits of half of it */
    cr_assert_eq(place_open(&place, NULL, 0), -ENOMEM);
    cr_assert_not_null(strstr(place.store.problem, place.directory), "%s", place.store.problem);
    cr_assert_not_null(strstr(place.store.problem, "odradek.memory.bytes"));
    place.options.journal_file_bytes = 32 << 10;
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    cr_assert_eq(place.store.problem[0], '\0');
    static struct clean_stop_log stops[1];
    cr_assert_eq(place_close(&place, stops), 0);
    place_deinit(&place);
}
