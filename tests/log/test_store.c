/* A store on a real disk: what is appended is read back, whatever happens in between. */
#include "log/write_back.h"
#include "tests/log/store_fixture.h"

#include <sys/stat.h>

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

Test(store, uses_a_tiny_journal_again_and_again)
{
    static struct place place;
    static struct known known[5];
    place_init(&place);
    place.options.journal_file_bytes = 64 << 10;
    place.options.journal_bytes = 4 * (64 << 10);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    for (int i = 0; i < 5; i++) {
        char topic[20];
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
    append_under_load(&place, &known, 1, 15, 3, 500000);
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
    for (int64_t offset = 0; offset < 2000; offset += 37) { /* known_append counts them up */
        cr_assert_eq(known_offset_of(&known, 1001 + offset), offset);
    }
    cr_assert_eq(known_offset_of(&known, 0), 0);
    cr_assert_eq(known_offset_of(&known, 3001), -1);
    cr_assert_eq(known_offset_of(&known, LOG_TIME_MAX), 1999);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 1);
    known_deinit(&known);
    place_deinit(&place);
}

/* With memory for one read: who holds it is not kept waiting for another, others wait for him. */
static void waits_for_no_second_read(struct place *place, struct known *known)
{
    struct known_read first, second, third;
    struct budget *reads = &place->reactor->slabs.budgets[BUDGET_READS];
    known_locate(&known[0], &first, 0, 8192);
    known_locate(&known[1], &second, 0, 8192);
    known_locate(&known[1], &third, 0, 8192);
    cr_assert_gt(known_pin(&known[0], &first, 8192), 0);
    uint64_t bytes_max = reads->bytes_max;
    reads->bytes_max = reads->bytes;
    second.pin = (struct log_pin){.segment_base = second.locate.segment_base,
                                  .position = second.locate.position,
                                  .bytes_max = 8192,
                                  .holds_others = true};
    cr_assert_not(log_pin(known[1].log, &second.pin, known_pinned)); /* the file has to be opened */
    place_until(place, &second.done);
    cr_assert_eq(second.pin.op.result, -ENOBUFS);
    third.pin = second.pin;
    third.pin.holds_others = false;
    cr_assert_not(log_pin(known[1].log, &third.pin, known_pinned));
    place_let_pass(place, 10000);
    cr_assert_not(third.done);
    log_unpin(&first.pin);
    place_until(place, &third.done);
    cr_assert_gt(third.pin.op.result, 0);
    log_unpin(&third.pin);
    reads->bytes_max = bytes_max;
}

Test(store, evicts_what_is_settled_and_reads_it_from_disk)
{
    static struct place place;
    static struct known known[2];
    place_init(&place);
    /* 6 MiB of tail for 20 MiB of records */
    place.reactor->slabs.budgets[BUDGET_TAIL].bytes_max = 6 << 20;
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known[0], &place, "one", &known_settings);
    known_init(&known[1], &place, "two", &known_settings);
    append_under_load(&place, known, 2, 1000, 20, 20000);
    for (int i = 0; i < 2; i++) {
        all_succeeded(&known[i]);
        cr_assert_null(chunks_find(&known[i].log->segments[0]->chunks, 0));
        known_verify(&known[i]);
        known_verify_from(&known[i], 500, 1);
        cr_assert_eq(known_offset_of(&known[i], 1001 + 77), 77);
    }
    cr_assert_eq(place.store.reads_out, 0);
    waits_for_no_second_read(&place, known);
    cr_assert_eq(place.store.reads_out, 0);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 2);
    known_deinit(&known[0]);
    known_deinit(&known[1]);
    place_deinit(&place);
}

static struct batch of_producer(int32_t sequence)
{
    struct batch header = make_header();
    header.producer_id = 7;
    header.producer_epoch = 0;
    header.base_sequence = sequence;
    return header;
}

Test(store, answers_a_retry_with_the_first_attempt)
{
    static struct place place;
    static struct known known;
    place_init(&place);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known, &place, "topic", &known_settings);
    struct batch header = of_producer(0), second = of_producer(1), far = of_producer(9);
    struct known_batch *first = known_append_as(&known, 10, &header);
    struct known_batch *pending = known_append_as(&known, 10, &header);
    while (!first->ended) {
        cr_assert(!pending->ended, "a retry ends no earlier than what it repeats");
        place_turn(&place);
    }
    known_wait(&known);
    cr_assert(pending->append.duplicate && pending->append.op.result == 0);
    cr_assert_eq(pending->append.base_offset, 0);
    known_append_as(&known, 10, &second);
    struct known_batch *durable = known_append_as(&known, 10, &header);
    struct known_batch *gap = known_append_as(&known, 10, &far);
    known_wait(&known);
    cr_assert(durable->append.duplicate && durable->append.op.result == 0);
    cr_assert_eq(durable->append.base_offset, 0);
    cr_assert_eq(gap->append.op.result, REFUSAL_OUT_OF_ORDER_SEQUENCE_NUMBER);
    cr_assert_eq(known.log->log_end, 2);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 1);
    known_deinit(&known);
    place_deinit(&place);
}

struct counting {
    struct log_watch watch;
    uint32_t count;
};

static void counts_news(struct log_watch *watch)
{
    container_of(watch, struct counting, watch)->count++;
}

Test(store, tells_watches_once_a_commit)
{
    static struct place place;
    static struct known known;
    place_init(&place);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known, &place, "topic", &known_settings);
    known_append(&known, 10);
    known_wait(&known);
    struct log_watchers watchers = {0};
    struct counting counting = {.count = 0};
    known.log->watchers = &watchers;
    log_watch(&watchers, &counting.watch, counts_news);
    for (int i = 0; i < 10; i++) {
        known_append(&known, 10); /* of one turn, so of one commit */
    }
    known_wait(&known);
    place_let_pass(&place, 1000);
    cr_assert_eq(counting.count, 1);
    log_unwatch(&counting.watch);
    known_append(&known, 10);
    known_wait(&known);
    place_let_pass(&place, 1000);
    cr_assert_eq(counting.count, 1);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 1);
    known_deinit(&known);
    place_deinit(&place);
}

enum { CROWD = 2000 };

struct crowd { /* who all watch one log */
    struct watching {
        struct log_watch watch;
        struct crowd *crowd;
        uint32_t count;
    } watching[CROWD];
    const struct metrics *metrics;
    uint64_t turn; /* the last one in which somebody was told, ... */
    uint32_t told; /* ... and how many, */
    uint32_t most; /* ... and the most in any turn */
};

static void crowd_told(struct log_watch *watch)
{
    struct watching *watching = container_of(watch, struct watching, watch);
    struct crowd *crowd = watching->crowd;
    uint64_t turn = metric_value(crowd->metrics, METRIC_TURNS);
    watching->count++;
    crowd->told = turn == crowd->turn ? crowd->told + 1 : 1;
    crowd->turn = turn;
    crowd->most = crowd->told > crowd->most ? crowd->told : crowd->most;
}

/* Also of a commit that comes while they are being told of the one before. */
Test(store, tells_a_crowd_in_many_turns)
{
    static struct place place;
    static struct known known;
    static struct crowd crowd;
    struct log_watchers watchers = {0};
    place_init(&place);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known, &place, "topic", &known_settings);
    known.log->watchers = &watchers;
    crowd.metrics = &place.reactor->metrics;
    for (uint32_t i = 0; i < CROWD; i++) {
        crowd.watching[i].crowd = &crowd;
        log_watch(&watchers, &crowd.watching[i].watch, crowd_told);
    }
    known_append(&known, 10);
    known_wait(&known);
    while (crowd.watching[CROWD - 1].count == 0) {
        place_turn(&place);
    }
    known_append(&known, 10);
    known_wait(&known);
    for (uint32_t i = 0; i < 100 * 1000 && crowd.watching[0].count < 2; i++) {
        place_turn(&place);
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        cr_assert_geq(crowd.watching[i].count, 2, "%u of %u", crowd.watching[i].count, i);
        log_unwatch(&crowd.watching[i].watch);
    }
    cr_assert_leq(crowd.most, 256);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 1);
    known_deinit(&known);
    place_deinit(&place);
}

Test(store, drops_a_log_under_load_and_with_pins)
{
    static struct place place;
    static struct known known[2];
    place_init(&place);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known[0], &place, "stays", &known_settings);
    known_init(&known[1], &place, "goes", &known_settings);
    append_under_load(&place, known, 2, 100, 20, 20000);
    struct known_read read;
    known_locate(&known[1], &read, 0, 1000);
    cr_assert_gt(known_pin(&known[1], &read, 1000), 0);
    uint8_t before = read.pin.data[20];
    for (int i = 0; i < 10; i++) {
        known_append(&known[1], 5000);
    }
    log_drop(known[1].log, &place.op, place_op_done);
    place_wait(&place);
    cr_assert_eq(place.op.result, 0);
    known_wait(&known[1]);
    cr_assert_eq(place.store.logs_count, 1);
    cr_assert_eq(read.pin.data[20], before);
    log_unpin(&read.pin);
    char path[128];
    snprintf(path, sizeof(path), "%s/goes-0", place.directory);
    cr_assert_neq(access(path, F_OK), 0);
    known_verify(&known[0]);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 1);
    cr_assert_str_eq(stops[0].name, "stays-0");
    cr_assert_eq(stops[0].log_end, 100);
    known_deinit(&known[0]);
    known_deinit(&known[1]);
    place_deinit(&place);
}

/* Else a crash before that would find its STATE in the journal, and not the bytes it speaks of. */
Test(store, keeps_what_a_dropped_log_has_in_the_journal_until_it_is_gone)
{
    static struct place place;
    static struct known known[2];
    place_init(&place);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known[0], &place, "stays", &known_settings);
    known_init(&known[1], &place, "goes", &known_settings);
    known_append(&known[1], 5000);
    known_wait(&known[1]);
    struct log *log = known[1].log;
    uint64_t data_from = write_back_data_from(log);
    cr_assert_lt(data_from, log->sequence);
    log_drop(log, &place.op, place_op_done);
    while (!log->is_dropped_told) {
        cr_assert_eq(write_back_data_from(log), data_from);
        place_turn(&place);
    }
    place_wait(&place);
    known_append(&known[0], 5000);
    known_wait(&known[0]);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 1);
    known_deinit(&known[0]);
    known_deinit(&known[1]);
    place_deinit(&place);
}

/* The memory is offered to the log that goes, and that has no use for it any more. */
Test(store, offers_memory_for_reads_to_the_next_when_a_waiting_log_is_dropped)
{
    static struct place place;
    static struct known known[3];
    static const char *const names[] = {"one", "goes", "three"};
    struct known_read reads[3];
    place_init(&place);
    place.reactor->slabs.budgets[BUDGET_TAIL].bytes_max = 6 << 20; /* so that reads are from disk */
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    for (int i = 0; i < 3; i++) {
        known_init(&known[i], &place, names[i], &known_settings);
    }
    append_under_load(&place, known, 3, 500, 20, 20000);
    for (int i = 0; i < 3; i++) {
        known_locate(&known[i], &reads[i], 0, 8192);
    }
    struct budget *budget = &place.reactor->slabs.budgets[BUDGET_READS];
    cr_assert_gt(known_pin(&known[0], &reads[0], 8192), 0);
    uint64_t bytes_max = budget->bytes_max;
    budget->bytes_max = budget->bytes;
    for (int i = 1; i < 3; i++) {
        reads[i].pin = reads[0].pin;
        cr_assert_not(log_pin(known[i].log, &reads[i].pin, known_pinned));
        place_let_pass(&place, 10000); /* its file is open, and it waits */
    }
    log_drop(known[1].log, &place.op, place_op_done);
    log_unpin(&reads[0].pin);
    place_until(&place, &reads[2].done);
    cr_assert_gt(reads[2].pin.op.result, 0);
    cr_assert(reads[1].done);
    cr_assert_eq(reads[1].pin.op.result, -ESTALE);
    log_unpin(&reads[2].pin);
    budget->bytes_max = bytes_max;
    place_wait(&place);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 2);
    for (int i = 0; i < 3; i++) {
        known_deinit(&known[i]);
    }
    place_deinit(&place);
}

Test(store, opens_and_searches_a_log_of_many_segments_in_steps)
{
    enum { SEGMENTS = 70 };
    static struct place place;
    static struct known known;
    struct log_settings settings = known_settings;
    settings.segment_bytes = 2000;
    place_init(&place);
    place_start(&place);
    known_init(&known, &place, "many", &settings);
    append_under_load(&place, &known, 1, SEGMENTS, 5, 50);
    known_append(&known, 1900);
    for (int i = 0; i < SEGMENTS; i++) {
        known_append(&known, 1500);
        known_wait(&known);
    }
    place_kill(&place);
    place.options.step_items = 1;
    place_start(&place);
    known_find(&known, "many-0", &settings);
    struct log *log = known.log;
    known_append(&known, 100);
    uint32_t turns = 0;
    while (!log->is_listed) {
        place_turn(&place);
        turns += log->busy > 0;
        cr_assert(log->is_listed || log->segments_count == 1, "not before all are there");
    }
    known_wait(&known);
    cr_assert_geq(log->segments_count, SEGMENTS);
    cr_assert_geq(turns, SEGMENTS);
    known_verify(&known);
    for (uint32_t i = 0; i < known.count; i += 13) {
        cr_assert_eq(known_offset_of(&known, 1001 + i), i);
    }
    cr_assert_eq(known_offset_of(&known, 1001 + known.count), -1);
    place_stop(&place);
    known_deinit(&known);
    place_deinit(&place);
}

Test(store, looks_at_so_many_headers_a_turn)
{
    static struct place place;
    static struct known known;
    struct log_settings settings = known_settings;
    settings.index_interval_bytes = 1 << 30;
    place_init(&place);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known, &place, "long", &settings);
    append_under_load(&place, &known, 1, 3000, 50, 10);
    struct known_read read = {.known = &known};
    read.locate = (struct log_locate){.offset = 10, .bytes_max = 100};
    cr_assert(log_locate(known.log, &read.locate, known_located), "a few at once");
    read.locate = (struct log_locate){.offset = 2999, .bytes_max = 100};
    cr_assert_not(log_locate(known.log, &read.locate, known_located));
    place_until(&place, &read.done);
    cr_assert_eq(read.locate.op.result, 0);
    cr_assert_gt(read.locate.bytes, 0);
    static struct clean_stop_log stops[8];
    cr_assert_eq(place_close(&place, stops), 1);
    known_deinit(&known);
    place_deinit(&place);
}

/* Rule: with nothing to do, a reactor sleeps; also while the latest record is on its way to disk. */
Test(store, sleeps_while_the_latest_record_is_not_durable)
{
    static struct place place;
    static struct known known;
    place_init_sim(&place, 1, 64 << 20);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known, &place, "topic", &known_settings);
    known_append(&known, 10);
    known_wait(&known);
    struct known_batch *latest = known_append(&known, 10);
    while (known.log->next_offset < 2) {
        place_wake(&place);
        place_turn(&place);
    }
    cr_assert_not(latest->ended);
    struct known_look_up look_up = {.lookup = {.target_ms = LOG_TIME_MAX}};
    log_look_up(known.log, &look_up.lookup, known_looked_up);
    bool has_slept = false;
    place_wake(&place);
    while (!latest->ended) {
        has_slept |= reactor_sleep_us(place.reactor) > 0;
        place_turn(&place);
    }
    cr_assert(has_slept);
    place_until(&place, &look_up.done);
    cr_assert_eq(look_up.lookup.op.result, 0);
    cr_assert_eq(look_up.lookup.offset, 1);
    struct clean_stop_log stops[1];
    cr_assert_eq(place_close(&place, stops), 1);
    known_deinit(&known);
    place_deinit_sim(&place);
}

/* What a file in its way keeps from being removed; the number of directories it left. */
static int retired_count(const struct place *place, const char *topic)
{
    char command[256];
    snprintf(command, sizeof(command), "exit $(ls %s | grep -c '^%s-0[.].*-delete$')",
             place->directory, topic);
    return WEXITSTATUS(system(command));
}

static void keep_from_removal(const struct place *place, const char *name)
{
    char path[192];
    snprintf(path, sizeof(path), "%s/%s/kept", place->directory, name);
    cr_assert_eq(mkdir(path, 0755), 0);
}

Test(store, gives_a_new_topic_nothing_of_a_dropped_one_whose_files_stay)
{
    static struct place place;
    static struct known known;
    struct log_settings settings = known_settings;
    settings.segment_bytes = 16 << 10;
    place_init(&place);
    place_start(&place);
    for (int round = 0; round < 2; round++) {
        known_init(&known, &place, "again", &settings);
        append_under_load(&place, &known, 1, 40, 5, 2000); /* many segments */
        known_verify(&known);
        keep_from_removal(&place, "again-0");
        log_drop(known.log, &place.op, place_op_done);
        place_wait(&place);
        cr_assert_eq(place.op.result, -EISDIR);
        known_deinit(&known);
        cr_assert_eq(retired_count(&place, "again"), round + 1);
    }
    known_init(&known, &place, "again", &settings);
    append_under_load(&place, &known, 1, 30, 5, 100);
    known_verify(&known);
    place_kill(&place);
    place_start(&place);
    cr_assert_eq(place.recovery.left_count, 2); /* tried again, and no reason not to start */
    known_find(&known, "again-0", &settings);
    cr_assert_eq(known.log->log_end, 30);
    known_verify(&known);
    place_stop(&place);
    known_deinit(&known);
    place_deinit(&place);
}

Test(store, retires_a_directory_that_stands_where_a_new_log_wants_its_own)
{
    static struct place place;
    static struct known known;
    char command[512];
    place_init(&place);
    place_start(&place);
    snprintf(command, sizeof(command),
             "mkdir -p %s/fresh-0/kept && cd %s/fresh-0 && "
             "head -c 100000 /dev/urandom >00000000000000000000.log && "
             "cp 00000000000000000000.log 00000000000000000007.log",
             place.directory, place.directory);
    cr_assert_eq(system(command), 0);
    known_init(&known, &place, "fresh", &known_settings);
    append_under_load(&place, &known, 1, 10, 5, 100);
    known_verify(&known);
    cr_assert_eq(retired_count(&place, "fresh"), 1);
    place_stop(&place);
    snprintf(command, sizeof(command), "test ! -e %s/fresh-0/00000000000000000007.log",
             place.directory);
    cr_assert_eq(system(command), 0);
    known_deinit(&known);
    place_deinit(&place);
}

/* Starts, appends, and stops as `stop` says, a few times; each time all that was there is there. */
static void goes_on_after(void (*stop)(struct place *place))
{
    static struct place place;
    static struct known known[3];
    struct log_settings settings[3] = {known_settings, known_settings, known_settings};
    settings[1].segment_bytes = 64 << 10;
    settings[1].index_interval_bytes = 512;
    place_init(&place);
    place.options.journal_file_bytes = 256 << 10;
    place.options.journal_bytes = 1 << 20;
    for (uint32_t life = 0; life < 3; life++) {
        static const char *const topics[3] = {"large", "rolling", "small"};
        static const char *const names[3] = {"large-0", "rolling-0", "small-0"};
        place_start(&place);
        for (int i = 0; i < 3; i++) {
            if (life == 0) {
                known_init(&known[i], &place, topics[i], &settings[i]);
            } else {
                known_find(&known[i], names[i], &settings[i]);
                cr_assert_eq(known[i].log->log_end, known[i].count);
                known_verify(&known[i]);
            }
        }
        append_under_load(&place, &known[0], 1, known[0].count + 100, 10, 20000);
        append_under_load(&place, &known[1], 1, known[1].count + 300, 3, 1000);
        append_under_load(&place, &known[2], 1, known[2].count + 1, 1, 100);
        for (int i = 0; i < 3; i++) {
            all_succeeded(&known[i]);
            known_verify_from(&known[i], known[i].count / 2, 1 << 20);
            cr_assert_eq(known_offset_of(&known[i], 1000 + known[i].count), known[i].count - 1);
        }
        stop(&place);
    }
    if (stop == place_stop) { /* of the last stop only */
        char path[128];
        snprintf(path, sizeof(path), "%s/large-0/%020d.snapshot", place.directory, 300);
        cr_assert_eq(access(path, F_OK), 0);
        snprintf(path, sizeof(path), "%s/large-0/%020d.snapshot", place.directory, 200);
        cr_assert_neq(access(path, F_OK), 0);
    }
    for (int i = 0; i < 3; i++) {
        known_deinit(&known[i]);
    }
    place_deinit(&place);
}

Test(store, goes_on_after_a_clean_stop)
{
    goes_on_after(place_stop);
}

Test(store, leaves_no_ballast_of_cores_that_are_no_more)
{
    static struct place place;
    char path[128];
    place_init(&place);
    place_start(&place);
    place_kill(&place);
    snprintf(path, sizeof(path), "%s/odradek-7.ballast", place.directory);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fclose(file);
    place_start(&place);
    cr_assert_neq(access(path, F_OK), 0);
    place_stop(&place);
    place_deinit(&place);
}

Test(store, goes_on_after_a_kill)
{
    goes_on_after(place_kill);
}

Test(store, looks_into_a_large_batch_in_steps)
{
    static struct place place;
    static struct known known;
    static struct clean_stop_log stops[1];
    place_init(&place);
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known, &place, "topic", &known_settings);
    for (uint32_t i = 0; i < 3; i++) {
        known_append(&known, 900000);
        known_wait(&known);
    }
    struct known_look_up look_up = {.lookup = {.target_ms = 1002}};
    log_look_up(known.log, &look_up.lookup, known_looked_up);
    uint32_t steps = 0;
    for (uint32_t before = 0; !look_up.done; steps += look_up.lookup.copied_bytes > 0) {
        before = look_up.lookup.copied_bytes;
        place_turn(&place);
        cr_assert_leq(look_up.lookup.copied_bytes, before + (256 << 10));
    }
    cr_assert_geq(steps, 4);
    cr_assert_eq(look_up.lookup.offset, 1);
    cr_assert_eq(place_close(&place, stops), 1);
    known_deinit(&known);
    place_deinit(&place);
}

/* -- in steps: none is long, however much there is ------------------------------------------------ */

enum { STEP_LOGS = 40, STEP_ITEMS = 4 };

static void step_logs_init(struct place *place, struct known *known)
{
    place_init(place);
    place->options.step_items = STEP_ITEMS;
    cr_assert_eq(place_open(place, NULL, 0), 0);
    for (uint32_t i = 0; i < STEP_LOGS; i++) {
        char topic[20];
        snprintf(topic, sizeof(topic), "topic%u", i);
        known_init(&known[i], place, topic, &known_settings);
        known_append(&known[i], 5000);
    }
    for (uint32_t i = 0; i < STEP_LOGS; i++) {
        known_wait(&known[i]);
    }
}

static uint32_t settled_count(const struct known *known)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < STEP_LOGS; i++) {
        count += log_active(known[i].log)->settled == log_active(known[i].log)->appended;
    }
    return count;
}

Test(store, settles_and_stops_in_steps)
{
    static struct place place;
    static struct known known[STEP_LOGS];
    static struct clean_stop_log stops[STEP_LOGS];
    step_logs_init(&place, known);
    write_back_press_data(&place.store);
    for (uint32_t count = 0; count < STEP_LOGS;) {
        uint32_t before = count;
        place_turn(&place);
        count = settled_count(known);
        cr_assert_leq(count - before, 2 * STEP_ITEMS, "all in one step"); /* of two steps */
    }
    store_close(&place.store, stops, &place.op, place_op_done);
    while (!place.done) {
        uint32_t before = place.store.logs_count;
        place_turn(&place);
        cr_assert_leq(before - place.store.logs_count, STEP_ITEMS, "all were freed in one step");
    }
    cr_assert_eq(place.op.result, STEP_LOGS);
    for (uint32_t i = 0; i < STEP_LOGS; i++) {
        cr_assert_eq(stops[i].log_end, 1);
        known_deinit(&known[i]);
    }
    place_deinit(&place);
}

Test(store, frees_what_a_dropped_log_has_in_steps)
{
    static struct place place;
    static struct known known;
    static struct clean_stop_log stops[1];
    struct log_settings settings = known_settings;
    settings.segment_bytes = 4096;
    place_init(&place);
    place.options.step_items = STEP_ITEMS;
    cr_assert_eq(place_open(&place, NULL, 0), 0);
    known_init(&known, &place, "topic", &settings);
    append_under_load(&place, &known, 1, 40, 5, 3500);
    uint32_t segments = known.log->segments_count;
    cr_assert_gt(segments, 3 * STEP_ITEMS);
    log_drop(known.log, &place.op, place_op_done);
    while (place.store.logs_count > 0) {
        uint32_t before = known.log->segments_count;
        place_turn(&place);
        uint32_t after = place.store.logs_count > 0 ? known.log->segments_count : 0;
        cr_assert_leq(before - after, STEP_ITEMS, "all were freed in one step");
    }
    place_wait(&place);
    cr_assert_eq(place.op.result, 0);
    known_deinit(&known);
    cr_assert_eq(place_close(&place, stops), 0);
    place_deinit(&place);
}
