/* A store on a real disk: what is appended is read back, whatever happens in between. */
#include "log/clean_stop.h"
#include "tests/log/store_fixture.h"

Test(store, appends_and_reads_back_from_the_tail)
{
    static struct place place;
    place_init(&place);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    struct known known;
    known_init(&known, &place, "topic", &known_settings);
    cr_assert_eq(known.log->log_end, 0);
    struct known_batch *first = known_append(&known, 100);
    cr_assert_eq(known.log->log_end, 0, "nothing is seen before it is durable");
    known_wait(&known);
    cr_assert_eq(first->append.op.result, 0);
    cr_assert_eq(first->append.base_offset, 0);
    cr_assert_eq(known.log->log_end, 1);
    for (int i = 0; i < 500; i++) {
        known_append(&known, place_random(&place, 3000));
    }
    known_wait(&known);
    cr_assert_eq(known.log->log_end, 501);
    known_verify(&known);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 1);
    known_deinit(&known);
    place_deinit(&place);
}

/* Appends to some logs, with at most `in_flight` of each pending, until each has `count` batches. */
static void append_under_load(struct place *place, struct known *known, uint32_t logs,
                              uint32_t count, uint32_t in_flight, uint32_t bytes_max)
{
    for (uint32_t left = logs * count; left > 0;) {
        for (uint32_t i = 0; i < logs; i++) {
            if (known[i].count < count && known[i].count - known[i].ended < in_flight) {
                known_append(&known[i], place_random(place, bytes_max));
                left--;
            }
        }
        reactor_turn(place->reactor, false);
    }
    for (uint32_t i = 0; i < logs; i++) {
        known_wait(&known[i]);
    }
}

static void all_succeeded(const struct known *known)
{
    int64_t next_offset = 0;
    for (uint32_t i = 0; i < known->count; i++) {
        const struct log_append *append = &known->batches[i].append;
        cr_assert_eq(append->op.result, 0, "batch %u: %lld", i, (long long)append->op.result);
        cr_assert_eq(append->base_offset, next_offset);
        next_offset = append->last_offset + 1;
    }
    cr_assert_eq(known->log->log_end, next_offset);
}

Test(store, uses_a_tiny_journal_again_and_again)
{
    static struct place place;
    static struct known known[5];
    place_init(&place);
    place.options.journal_file_bytes = 64 << 10;
    place.options.journal_bytes = 4 * (64 << 10);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    for (int i = 0; i < 5; i++) {
        char topic[16];
        snprintf(topic, sizeof(topic), "topic%d", i);
        known_init(&known[i], &place, topic, &known_settings);
    }
    append_under_load(&place, known, 5, 1500, 7, 1000);
    cr_assert_gt(place.store.journal.oldest_ordinal, 20);
    for (int i = 0; i < 5; i++) {
        all_succeeded(&known[i]);
        known_verify(&known[i]);
        known_deinit(&known[i]);
    }
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 5);
    place_deinit(&place);
}

Test(store, splits_batches_larger_than_a_commit)
{
    static struct place place;
    static struct known known;
    place_init(&place);
    place.options.journal_file_bytes = 64 << 10;
    place.options.journal_bytes = 4 * (64 << 10);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known, &place, "topic", &known_settings);
    append_under_load(&place, &known, 1, 40, 3, 500000);
    all_succeeded(&known);
    known_verify(&known);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 1);
    known_deinit(&known);
    place_deinit(&place);
}

Test(store, rolls_segments_by_size_and_reads_across_them)
{
    static struct place place;
    static struct known known;
    struct log_settings settings = known_settings;
    settings.segment_bytes = 32 << 10;
    settings.index_interval_bytes = 512;
    place_init(&place);
    place.options.fds_max = 4;
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known, &place, "topic", &settings);
    append_under_load(&place, &known, 1, 2000, 5, 1000);
    all_succeeded(&known);
    cr_assert_gt(known.log->segments_count, 20);
    known_verify(&known);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 1);
    known_deinit(&known);
    place_deinit(&place);
}
