/* Many producers on one log: STATEs stay small, and every retry is recognised after any stop. */
#include "log/snapshot.h"
#include "tests/log/store_fixture.h"

#include <errno.h>

enum { MANY = 4000 };

static struct batch by_producer(int64_t producer_id, int32_t sequence)
{
    struct batch header = make_header();
    header.producer_id = producer_id;
    header.producer_epoch = 0;
    header.base_sequence = sequence;
    return header;
}

static void allow_many(struct place *place)
{
    place->options.producers_max = 2 * MANY;
    place->reactor->slabs.budgets[BUDGET_PRODUCERS].bytes_max = 8 << 20;
}

static const struct log_settings rolling = {
    .segment_bytes = 256 << 10,
    .segment_ms = INT64_MAX,
    .index_interval_bytes = 4096,
    .index_bytes_max = 10 << 20,
};

static void wait_for_most(struct known *known)
{
    while (known->count - known->ended > 50) {
        place_turn(known->place);
    }
}

/* One batch of each, the next in its sequence. */
static void append_of_all(struct known *known, int64_t count, int32_t sequence)
{
    for (int64_t id = 0; id < count; id++) {
        struct batch header = by_producer(id, sequence);
        known_append_as(known, 250, &header);
        wait_for_most(known);
    }
    known_wait(known);
    for (uint32_t i = known->count - (uint32_t)count; i < known->count; i++) {
        cr_assert_eq(known->batches[i].append.op.result, 0);
        cr_assert_eq(known->batches[i].append.base_offset, i);
    }
}

/* Retries are neither appended again nor refused; they are no batches of the log. */
static void repeat_all(struct known *known, int64_t count, int32_t sequence)
{
    uint32_t before = known->count;
    for (int64_t id = 0; id < count; id++) {
        struct batch header = by_producer(id, sequence);
        known_append_as(known, 250, &header);
        wait_for_most(known);
    }
    known_wait(known);
    for (uint32_t i = before; i < known->count; i++) {
        const struct log_append *append = &known->batches[i].append;
        cr_assert_eq(append->op.result, 0, "producer %u: %ld", i - before, (long)append->op.result);
        cr_assert(append->duplicate);
        cr_assert_eq(append->base_offset, sequence * count + (i - before));
        free(known->batches[i].bytes);
    }
    known->count = known->ended = before;
}

static void goes_on_with_many(void (*stop)(struct place *place))
{
    static struct place place;
    static struct known known;
    place_init(&place);
    allow_many(&place);
    place.options.journal_file_bytes = 128 << 10;
    place.options.journal_bytes = 1 << 20;
    place_start(&place);
    known_init(&known, &place, "many", &rolling);
    bool has_file = false; /* when is a matter of time */
    for (int life = 0; life < 3; life++) {
        append_of_all(&known, MANY, life);
        for (int32_t sequence = 0; sequence <= life; sequence++) {
            repeat_all(&known, MANY, sequence);
        }
        has_file |= known.log->basis.is_file;
        stop(&place);
        allow_many(&place);
        place_start(&place);
        known_find(&known, "many-0", &rolling);
        cr_assert_eq(producers_count(&known.log->producers), MANY);
        cr_assert(known.log->basis.is_file || known.log->basis.encoded);
        for (int32_t sequence = 0; sequence <= life; sequence++) {
            repeat_all(&known, MANY, sequence);
        }
    }
    cr_assert_eq(known.log->log_end, 3 * MANY);
    cr_assert(has_file);
    place_stop(&place);
    known_deinit(&known);
    place_deinit(&place);
}

Test(snapshot, recognises_retries_of_many_producers_after_kills)
{
    goes_on_with_many(place_kill);
}

Test(snapshot, recognises_retries_of_many_producers_after_clean_stops)
{
    goes_on_with_many(place_stop);
}

/* What recovery reads behind a STATE stays bounded, and old files go. */
Test(snapshot, keeps_the_basis_near_and_few_files)
{
    static struct place place;
    static struct known known;
    enum { FEW = 40 };
    place_init(&place);
    place.options.journal_file_bytes = 128 << 10;
    place.options.journal_bytes = 1 << 20;
    place_start(&place);
    known_init(&known, &place, "few", &known_settings); /* one segment */
    uint64_t furthest = 0;
    for (int32_t round = 0; round < 300; round++) {
        append_of_all(&known, FEW, round);
        if (known.log->basis.bytes_since > furthest) {
            furthest = known.log->basis.bytes_since;
        }
    }
    cr_assert(known.log->basis.is_file);
    cr_assert_lt(furthest, 2 * place.options.journal_bytes);
    char command[256];
    snprintf(command, sizeof(command), "test $(ls %s/few-0 | grep -c snapshot) -le 3",
             place.directory);
    cr_assert_eq(system(command), 0);
    place_stop(&place);
    snprintf(command, sizeof(command), "ls %s/few-0/*%d.snapshot >/dev/null", place.directory,
             300 * FEW);
    cr_assert_eq(system(command), 0); /* Kafka's, at the log end */
    known_deinit(&known);
    place_deinit(&place);
}

Test(snapshot, is_not_taken_for_whole_when_it_is_damaged)
{
    static struct place place;
    static struct known known;
    place_init(&place);
    place_start(&place);
    known_init(&known, &place, "few", &known_settings);
    append_of_all(&known, STATE_PRODUCERS_MAX + 1, 0);
    place_stop(&place);
    char command[256];
    snprintf(command, sizeof(command),
             "printf x | dd of=$(ls %s/few-0/*.snapshot) bs=1 seek=700 conv=notrunc 2>/dev/null",
             place.directory);
    cr_assert_eq(system(command), 0);
    place.recovery = (struct recovery){
        .options = {.directory = place.directory, .node_id = 1, .index_interval_bytes = 4096}};
    recovery_begin(&place.recovery, place.reactor, place_recovered);
    place_wait(&place);
    cr_assert_eq(place.recovery.job.op.result, -EBADMSG);
    cr_assert_not_null(strstr(place.recovery.problem, "snapshot"), "%s", place.recovery.problem);
    recovery_free(&place.recovery);
    known_deinit(&known);
    place_deinit(&place);
}

/* -- memory ------------------------------------------------------------------------------------ */

Test(expiry, forgets_producers_that_have_been_silent_for_so_long)
{
    static struct place place;
    static struct known known;
    place_init_sim(&place, 1, 64 << 20);
    place.options.producers_expire_ms = 3600 * 1000;
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known, &place, "topic", &known_settings);
    append_of_all(&known, 10, 0); /* their records are from 1970, which is not looked at */
    cr_assert_eq(producers_count(&known.log->producers), 10);
    place_let_pass(&place, UINT64_C(601) * 1000 * 1000);
    cr_assert_eq(producers_count(&known.log->producers), 10);
    place_let_pass(&place, UINT64_C(3600) * 1000 * 1000);
    cr_assert_eq(producers_count(&known.log->producers), 0);
    cr_assert_eq(place.reactor->slabs.budgets[BUDGET_PRODUCERS].bytes, 0);
    struct batch header = by_producer(3, 77); /* nobody knows what came before */
    struct known_batch *batch = known_append_as(&known, 10, &header);
    known_wait(&known);
    cr_assert_eq(batch->append.op.result, 0);
    struct clean_stop_log stops[2];
    cr_assert_eq(place_close(&place, stops), 1);
    known_deinit(&known);
    place_deinit_sim(&place);
}

Test(expiry, makes_room_in_all_logs_when_memory_is_short)
{
    static struct place place;
    static struct known greedy, modest;
    place_init_sim(&place, 1, 64 << 20);
    struct budget *budget = &place.reactor->slabs.budgets[BUDGET_PRODUCERS];
    budget->bytes_max = 100 * PRODUCER_CHARGE_BYTES;
    place.options.producers_max = 1000;
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&greedy, &place, "greedy", &known_settings);
    known_init(&modest, &place, "modest", &known_settings);
    append_of_all(&greedy, 100, 0);
    for (int64_t id = 1000; id < 1050; id++) {
        struct batch header = by_producer(id, 0);
        struct known_batch *batch = known_append_as(&greedy, 10, &header);
        known_wait(&greedy);
        cr_assert_eq(batch->append.op.result, REFUSAL_THROTTLING_QUOTA_EXCEEDED);
    }
    cr_assert_eq(budget->bytes, budget->bytes_max);
    struct batch header = by_producer(5, 1); /* who is known goes on */
    struct known_batch *batch = known_append_as(&greedy, 10, &header);
    known_wait(&greedy);
    cr_assert_eq(batch->append.op.result, 0);
    place_let_pass(&place, (uint64_t)PRODUCER_ACTIVE_S * 1000 * 1000);
    header = by_producer(1, 0);
    for (int i = 0; i < 2; i++) { /* refused, and that makes room */
        batch = known_append_as(&modest, 10, &header);
        known_wait(&modest);
        cr_assert_eq(batch->append.op.result, i == 0 ? REFUSAL_THROTTLING_QUOTA_EXCEEDED : 0);
        place_let_pass(&place, 1000 * 1000);
    }
    struct clean_stop_log stops[2];
    cr_assert_eq(place_close(&place, stops), 2);
    cr_assert_eq(budget->bytes, 0);
    known_deinit(&greedy);
    known_deinit(&modest);
    place_deinit_sim(&place);
}

Test(expiry, lets_no_other_log_pay_for_one_at_its_own_limit)
{
    static struct place place;
    static struct known greedy, modest;
    place_init_sim(&place, 1, 64 << 20);
    place.options.producers_max = 50;
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&greedy, &place, "greedy", &known_settings);
    known_init(&modest, &place, "modest", &known_settings);
    append_of_all(&modest, 1, 0);
    place_let_pass(&place, (uint64_t)PRODUCER_ACTIVE_S * 1000 * 1000);
    append_of_all(&greedy, 50, 0);
    struct batch header = by_producer(1000, 0);
    struct known_batch *batch = known_append_as(&greedy, 10, &header);
    known_wait(&greedy);
    cr_assert_eq(batch->append.op.result, REFUSAL_THROTTLING_QUOTA_EXCEEDED);
    place_let_pass(&place, 1000 * 1000);
    cr_assert_eq(producers_count(&modest.log->producers), 1);
    struct clean_stop_log stops[2];
    cr_assert_eq(place_close(&place, stops), 2);
    known_deinit(&greedy);
    known_deinit(&modest);
    place_deinit_sim(&place);
}
