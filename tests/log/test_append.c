/* Appends in steps: none is long, whatever the load, and their order is kept. */
#include "log/write_back.h"
#include "tests/log/store_fixture.h"

enum { STEP = 16 << 10 };

static void place_init_steps(struct place *place, uint32_t step_items)
{
    place_init(place);
    place->options.step_bytes = STEP;
    place->options.step_items = step_items;
    cr_assert_eq(place_open(place, NULL, 0), 0);
}

/* A log with a directory, an extent and something in it: further appends wait for no job. */
static void known_init_ready(struct known *known, struct place *place, const char *topic)
{
    known_init(known, place, topic, &known_settings);
    known_append(known, 600000); /* the extent then covers what comes */
    known_wait(known);
    known_append(known, 10);
    known_wait(known);
}

static uint32_t appended(const struct known *known)
{
    return log_active(known->log)->appended;
}

static void places_end(struct place *place, struct known *known, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        known_wait(&known[i]);
        all_succeeded(&known[i]);
        known_verify(&known[i]);
        known_deinit(&known[i]);
    }
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(place, stops), count);
    place_deinit(place);
}

static uint64_t commits(const struct place *place)
{
    return place->reactor->metrics.values[METRIC_COMMITS];
}

Test(append, copies_a_large_batch_in_slices_and_commits_it_as_one)
{
    static struct place place;
    static struct known known;
    place_init_steps(&place, 0);
    known_init_ready(&known, &place, "topic");
    uint64_t commits_before = commits(&place);
    uint32_t before = appended(&known), steps = 0;
    known_append(&known, 200000);
    cr_assert_eq(appended(&known), before, "it was copied inside the call");
    for (uint32_t end = before + 200000; appended(&known) < end; steps++) {
        uint32_t at = appended(&known);
        place_turn(&place);
        cr_assert_leq(appended(&known) - at, STEP, "a step copied more");
        cr_assert_eq(commits(&place), commits_before, "a commit did not wait for the rest");
    }
    cr_assert_geq(steps, 200000 / STEP);
    known_wait(&known);
    cr_assert_eq(commits(&place), commits_before + 1);
    places_end(&place, &known, 1);
}

Test(append, lets_small_ones_pass_by_a_large_one)
{
    static struct place place;
    static struct known known[2];
    place_init_steps(&place, 0);
    known_init_ready(&known[0], &place, "large");
    known_init_ready(&known[1], &place, "small");
    uint32_t large_before = appended(&known[0]);
    known_append(&known[0], 200000);
    place_turn(&place);
    for (uint32_t i = 0; i < 5; i++) {
        uint32_t before = appended(&known[1]);
        known_append(&known[1], 100);
        place_turn(&place);
        cr_assert_gt(appended(&known[1]), before, "a small one waits for the large one");
    }
    cr_assert_lt(appended(&known[0]), large_before + 200000, "it is no large one any more");
    places_end(&place, known, 2);
}

Test(append, has_one_large_batch_under_way_at_a_time)
{
    static struct place place;
    static struct known known[3];
    place_init_steps(&place, 0);
    const char *topics[] = {"a", "b", "c"};
    uint32_t before[3];
    for (uint32_t i = 0; i < 3; i++) {
        known_init_ready(&known[i], &place, topics[i]);
        before[i] = appended(&known[i]);
    }
    for (uint32_t i = 0; i < 3; i++) {
        known_append(&known[i], 100000);
    }
    while (appended(&known[2]) < before[2] + 100000) {
        place_turn(&place);
        for (uint32_t i = 1; i < 3; i++) { /* in the order they came */
            bool is_before_whole = appended(&known[i - 1]) >= before[i - 1] + 100000;
            cr_assert(is_before_whole || appended(&known[i]) == before[i]);
        }
    }
    places_end(&place, known, 3);
}

Test(append, keeps_the_order_of_large_and_small_ones)
{
    static struct place place;
    static struct known known[2];
    place_init_steps(&place, 3);
    known_init_ready(&known[0], &place, "a");
    known_init_ready(&known[1], &place, "b");
    for (uint32_t i = 0; i < 200; i++) {
        struct known *one = &known[place_random(&place, 2)];
        known_append(one, place_random(&place, 4) == 0 ? 60000 : 1 + place_random(&place, 300));
        if (place_random(&place, 8) == 0) {
            place_turn(&place);
        }
    }
    places_end(&place, known, 2);
}

Test(append, places_only_so_many_small_ones_in_a_turn)
{
    enum { COUNT = 200, EACH_STEP = STEP / 2048 };
    static struct place place;
    static struct known known;
    place_init_steps(&place, 0);
    known_init_ready(&known, &place, "topic");
    place_turn(&place);
    int64_t first = known.log->next_offset;
    for (uint32_t i = 0; i < COUNT; i++) {
        known_append(&known, 10);
    }
    cr_assert_leq(known.log->next_offset - first, EACH_STEP, "all were placed inside the calls");
    while (known.log->next_offset < first + COUNT) {
        int64_t before = known.log->next_offset;
        place_turn(&place); /* two steps: a commit may end in it, too */
        cr_assert_leq(known.log->next_offset - before, 2 * EACH_STEP);
    }
    places_end(&place, &known, 1);
}

Test(append, ends_what_waits_for_a_failed_store_in_steps)
{
    enum { LOGS = 60, EACH = 10, ITEMS = 4, EACH_STEP = STEP / 2048 };
    static struct place place;
    static struct known known[LOGS];
    place_init_steps(&place, ITEMS);
    uint32_t ended = 0;
    for (uint32_t i = 0; i < LOGS; i++) {
        char topic[20];
        snprintf(topic, sizeof(topic), "topic%u", i);
        known_init(&known[i], &place, topic, &known_settings);
        for (uint32_t n = 0; n < EACH; n++) {
            known_append(&known[i], 100); /* waits for its directory */
        }
    }
    store_fail(&place.store, -EIO);
    while (ended < LOGS * EACH) {
        uint32_t before = ended;
        place_turn(&place);
        ended = 0;
        for (uint32_t i = 0; i < LOGS; i++) {
            ended += known[i].ended;
        }
        cr_assert_leq(ended - before, 2 * EACH_STEP, "one step told them all");
    }
    for (uint32_t i = 0; i < LOGS; i++) {
        for (uint32_t n = 0; n < EACH; n++) {
            cr_assert_eq(known[i].batches[n].append.op.result, -EIO);
        }
        known_deinit(&known[i]);
    }
    cr_assert_eq(place_close(&place, NULL), -EIO);
    place_deinit(&place);
}

Test(append, drops_a_log_in_the_middle_of_a_slice)
{
    static struct place place;
    static struct known known[2];
    place_init_steps(&place, 0);
    known_init_ready(&known[0], &place, "dropped");
    known_init_ready(&known[1], &place, "stays");
    uint32_t before = appended(&known[0]);
    struct known_batch *large = known_append(&known[0], 200000);
    struct known_batch *behind = known_append(&known[0], 100);
    known_append(&known[1], 100000);
    while (appended(&known[0]) == before) {
        place_turn(&place);
    }
    log_drop(known[0].log, &place.op, place_op_done);
    place_wait(&place);
    cr_assert_eq(place.op.result, 0);
    cr_assert(large->ended && behind->ended);
    cr_assert_eq(behind->append.op.result, -ESTALE);
    known_deinit(&known[0]);
    places_end(&place, &known[1], 1);
}

/* -- batches that nobody has read ------------------------------------------------------------------ */

static struct known_batch *append_unread(struct known *known, uint32_t value_bytes, bool is_corrupt,
                                         const struct batch *header)
{
    struct known_batch *batch = &known->batches[known->count++];
    batch->known = known;
    known->all_ended = false;
    batch->bytes =
        known_bytes(known->place, value_bytes, 1000 + known->count, header, &batch->append.bytes);
    if (is_corrupt) {
        batch->bytes[batch->append.bytes - 1] ^= 1;
    }
    batch->append.batch = batch->bytes;
    batch->append.is_unread = true;
    log_append(known->log, &batch->append, known_ended);
    return batch;
}

static struct batch header_of(int64_t producer_id, int32_t sequence)
{
    struct batch header = make_header();
    header.producer_id = producer_id;
    header.producer_epoch = 0;
    header.base_sequence = sequence;
    return header;
}

Test(append, takes_what_nobody_has_read_if_its_crc_is_good)
{
    static struct place place;
    static struct known known;
    place_init_steps(&place, 0);
    known_init(&known, &place, "topic", &known_settings);
    struct batch header = make_header();
    for (uint32_t i = 0; i < 300; i++) { /* ends in the middle of chunks, and at each size */
        append_unread(&known, place_random(&place, i % 20 == 0 ? 100000 : 4000), false, &header);
        if (place_random(&place, 4) == 0) {
            known_wait(&known);
        }
    }
    places_end(&place, &known, 1);
}

Test(append, refuses_what_nobody_has_read_if_its_crc_is_wrong_and_places_nothing)
{
    static struct place place;
    static struct known known;
    static const uint32_t sizes[] = {1, 100, 3000, 10000, 16000, 17000, 100000, 500000};
    place_init_steps(&place, 0);
    known_init(&known, &place, "topic", &known_settings);
    struct batch header = make_header();
    for (uint32_t round = 0; round < 40; round++) {
        append_unread(&known, place_random(&place, 6000), false, &header);
        known_wait(&known);
        uint32_t before = appended(&known);
        uint64_t sequence = known.log->sequence;
        struct known_batch *bad = append_unread(&known, sizes[round % 8], true, &header);
        known_wait(&known);
        cr_assert_eq(bad->append.op.result, REFUSAL_CORRUPT_MESSAGE);
        cr_assert_eq(bad->append.base_offset, -1);
        cr_assert_eq(appended(&known), before, "bytes of it were placed");
        cr_assert_eq(known.log->sequence, sequence, "the journal has something of it");
        cr_assert_eq(known.log->log_end, round + 1);
        if (round % 4 == 0) { /* the next one begins inside of a settled block */
            write_back_press_data(&place.store);
            while (log_active(known.log)->settled < before) {
                place_turn(&place);
            }
        }
    }
    known_verify(&known);
    known_deinit(&known);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 1);
    cr_assert_eq(place.reactor->slabs.budgets[BUDGET_TAIL].bytes, 0);
    place_deinit(&place);
}

Test(append, lets_no_header_decide_anything_whose_crc_is_wrong)
{
    static struct place place;
    static struct known known;
    place_init_steps(&place, 0);
    known_init(&known, &place, "topic", &known_settings);
    struct batch header = header_of(7, 0);
    append_unread(&known, 100, false, &header);
    known_wait(&known);
    struct known_batch *repeat = append_unread(&known, 100, true, &header);
    header = header_of(7, 5);
    struct known_batch *gap = append_unread(&known, 100, true, &header);
    known_wait(&known);
    cr_assert_eq(repeat->append.op.result, REFUSAL_CORRUPT_MESSAGE, "taken for a repeat");
    cr_assert_not(repeat->append.duplicate);
    cr_assert_eq(gap->append.op.result, REFUSAL_CORRUPT_MESSAGE);
    known.log->settings.segment_bytes = appended(&known) + 500;
    header = make_header();
    struct known_batch *rolling = append_unread(&known, 450, true, &header);
    known_wait(&known);
    cr_assert_eq(rolling->append.op.result, REFUSAL_CORRUPT_MESSAGE);
    cr_assert_eq(known.log->segments_count, 1, "it rolled the segment");
    header = header_of(7, 0);
    repeat = append_unread(&known, 100, false, &header);
    known_wait(&known);
    cr_assert_eq(repeat->append.op.result, 0);
    cr_assert(repeat->append.duplicate);
    known_verify(&known);
    known_deinit(&known);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 1);
    place_deinit(&place);
}

Test(append, drops_a_log_while_a_batch_is_on_its_way_to_the_tail)
{
    static struct place place;
    static struct known known;
    place_init_steps(&place, 0);
    known_init_ready(&known, &place, "topic");
    struct batch header = make_header();
    struct known_batch *large = append_unread(&known, 200000, false, &header);
    while (!large->append.is_reading) {
        place_turn(&place);
    }
    log_drop(known.log, &place.op, place_op_done);
    place_wait(&place);
    cr_assert_eq(place.op.result, 0);
    cr_assert_eq(large->append.op.result, -ESTALE);
    cr_assert_eq(place.reactor->slabs.budgets[BUDGET_TAIL].bytes, 0);
    known_deinit(&known);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 0);
    place_deinit(&place);
}

Test(append, sums_a_large_batch_in_slices)
{
    static struct place place;
    static struct known known;
    place_init_steps(&place, 0);
    known_init_ready(&known, &place, "topic");
    uint32_t steps = 0;
    struct batch header = make_header();
    struct known_batch *bad = append_unread(&known, 200000, true, &header);
    while (!bad->ended) {
        uint32_t before = bad->append.crc_at;
        place_turn(&place);
        cr_assert_leq(bad->append.crc_at - before, STEP, "a step summed more");
        steps++;
    }
    cr_assert_eq(bad->append.op.result, REFUSAL_CORRUPT_MESSAGE);
    cr_assert_geq(steps, 200000 / STEP);
    known_deinit(&known);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 1);
    place_deinit(&place);
}
