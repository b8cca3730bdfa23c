#include "log/record.h"
#include "shard/metadata_log.h"
#include "tests/log/world.h"

enum { NODE_ID = 1, TOPICS_MAX = 64 };

struct opened {
    struct metadata_log log;
    struct metadata_load load;
    bool ended;
};

/* What a process holds when it is killed goes with it: no leak. Steps of the last one are taken so. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

static void steps_before_the_end(struct world *world, uint64_t count, const bool *ended)
{
    if (__lsan_disable) {
        __lsan_disable();
    }
    for (uint64_t step = 0; step < count && !(ended && *ended); step++) {
        sim_step(&world->sim);
    }
    if (__lsan_enable) {
        __lsan_enable();
    }
}

static void opened_ended(struct op *op)
{
    container_of(op, struct opened, load.job.op)->ended = true;
}

static int64_t open_log(struct world *world, struct opened *opened)
{
    *opened = (struct opened){0};
    metadata_log_open(&opened->log, world->reactor, "/data", NODE_ID, &opened->load, opened_ended);
    world_wait(world, &opened->ended);
    return opened->load.job.op.result;
}

/* A process that is gone has nothing to close; this gives back what the test's own holds. */
static void forget(struct opened *opened)
{
    metadata_load_free(&opened->load);
    free(opened->log.epochs);
}

static void begin_epoch(struct world *world, struct opened *opened)
{
    struct awaited awaited = {0};
    metadata_log_begin_epoch(&opened->log, &awaited.op, awaited_ended);
    world_nudge(world);
    cr_assert_eq(await(world, &awaited), 0);
}

static void add_topic(struct metadata_batches *batches, uint32_t number)
{
    char name[32];
    snprintf(name, sizeof name, "topic-%u", number);
    struct metadata_record record = {.type = METADATA_TOPIC, .topic = {.name = view_of_text(name)}};
    memcpy(record.topic.topic_id.bytes, &number, sizeof number);
    metadata_batches_add(batches, &record);
    metadata_batches_end(batches);
}

static void append_begin(struct opened *opened, struct metadata_batches *batches, uint32_t number,
                         struct awaited *awaited)
{
    metadata_batches_init(batches, opened->log.end_offset, opened->log.epoch, 1700000000000);
    add_topic(batches, number);
    cr_assert(!batches->failed);
    metadata_log_append(&opened->log, batches, &awaited->op, awaited_ended);
}

static int64_t append(struct world *world, struct opened *opened, uint32_t number)
{
    struct metadata_batches batches;
    struct awaited awaited = {0};
    append_begin(opened, &batches, number, &awaited);
    world_nudge(world);
    int64_t result = await(world, &awaited);
    metadata_batches_deinit(&batches);
    return result;
}

/* A new world, and in it a log of so many topics. */
static void start_with(struct world *world, uint64_t seed, struct opened *opened, uint32_t topics)
{
    world_open(world, seed);
    cr_assert_eq(open_log(world, opened), 0);
    begin_epoch(world, opened);
    for (uint32_t i = 0; i < topics; i++) {
        cr_assert_eq(append(world, opened, i), 0);
    }
}

/* The numbers of the topics in batches, added to `seen`; how many there are now. */
static uint32_t read_topics(const uint8_t *bytes, size_t count, uint32_t *seen, uint32_t seen_count)
{
    struct memory heap;
    struct arena arena;
    memory_init_heap(&heap);
    arena_init(&arena, &heap, 1 << 20);
    struct batch_walk walk = batch_walk(bytes, count);
    struct batch batch;
    while (batch_walk_next(&walk, &batch)) {
        struct records records = records_of(&batch, batch.bytes + BATCH_HEADER_BYTES,
                                            batch.batch_bytes - BATCH_HEADER_BYTES);
        struct record record;
        while (!(batch.attributes & BATCH_CONTROL) && records_next(&records, &record)) {
            struct metadata_record decoded;
            cr_assert(metadata_record_decode(&decoded, record.value, &arena));
            memcpy(&seen[seen_count++], decoded.topic.topic_id.bytes, sizeof *seen);
        }
    }
    cr_assert_eq(walk.state, BATCH_WHOLE);
    arena_give_all(&arena);
    return seen_count;
}

/* How many topics the next process finds: numbers 0 to the last but one, and any last one. */
static uint32_t find_again(struct world *world, struct opened *opened)
{
    uint32_t seen[TOPICS_MAX];
    cr_assert_eq(open_log(world, opened), 0, "seed %lu: %s", (unsigned long)world->sim.options.seed,
                 opened->load.problem);
    uint32_t count = read_topics(opened->load.snapshot, opened->load.snapshot_bytes, seen, 0);
    count = read_topics(opened->load.batches, opened->load.batches_bytes, seen, count);
    for (uint32_t i = 0; i + 1 < count; i++) {
        cr_assert_eq(seen[i], i);
    }
    return count;
}

/* It takes one more topic, which stays. */
static void goes_on_behind(struct world *world, struct opened *opened, uint32_t topics)
{
    int32_t epoch = opened->log.epoch;
    begin_epoch(world, opened);
    cr_assert_eq(opened->log.epoch, epoch + 1);
    cr_assert_eq(append(world, opened, topics), 0);
    forget(opened);
    cr_assert_eq(find_again(world, opened), topics + 1);
    forget(opened);
}

Test(metadata_log, reads_back_what_was_appended_after_a_power_cut)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct world world;
        struct opened opened;
        struct metadata_batches batches;
        struct awaited awaited = {0};
        uint32_t told = (uint32_t)(seed % 7);
        start_with(&world, seed, &opened, told);
        append_begin(&opened, &batches, told, &awaited); /* and one that is cut off somewhere */
        steps_before_the_end(&world, seed * 3 % 40, NULL);
        world_cut(&world, SIM_CUT_POWER);
        metadata_batches_deinit(&batches);
        forget(&opened);

        uint32_t count = find_again(&world, &opened);
        cr_assert(count == told || count == told + 1, "seed %lu: %u of %u", seed, count, told);
        goes_on_behind(&world, &opened, count);
        world_close(&world);
    }
}

static void snapshot_begin(struct opened *opened, struct metadata_batches *batches, uint32_t topics,
                           struct awaited *awaited)
{
    metadata_batches_init(batches, 0, opened->log.epoch, 1700000000000);
    metadata_batches_snapshot_header(batches, 1700000000000);
    for (uint32_t i = 0; i < topics; i++) {
        add_topic(batches, i);
    }
    metadata_batches_snapshot_footer(batches);
    metadata_log_snapshot(&opened->log, batches, &awaited->op, awaited_ended);
}

Test(metadata_log, has_the_old_or_the_new_snapshot_wherever_the_power_fails)
{
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct world world;
        struct opened opened;
        struct metadata_batches batches;
        struct awaited awaited = {0};
        start_with(&world, seed, &opened, 5);
        snapshot_begin(&opened, &batches, 5, &awaited);
        steps_before_the_end(&world, seed, &awaited.ended);
        world_cut(&world, seed % 2 ? SIM_CUT_POWER : SIM_CUT_KILL);
        metadata_batches_deinit(&batches);
        forget(&opened);

        cr_assert_eq(find_again(&world, &opened), 5, "seed %lu", seed);
        cr_assert_eq(opened.log.end_offset, 5);
        goes_on_behind(&world, &opened, 5);
        world_close(&world);
    }
}

Test(metadata_log, refuses_a_damaged_batch_before_a_good_one)
{
    static const char name[] = "/data/__cluster_metadata-0/00000000000000000000.log";
    struct world world;
    struct opened opened;
    char *text;
    start_with(&world, 5, &opened, 3);
    forget(&opened);
    int64_t bytes = world_read(&world, name, &text);
    cr_assert_gt(bytes, 200);
    text[BATCH_HEADER_BYTES + 5] ^= 1;
    world_write(&world, name, text, (size_t)bytes);
    cr_assert_eq(open_log(&world, &opened), -EBADMSG);
    cr_assert(strstr(opened.load.problem, name), "%s", opened.load.problem);
    forget(&opened);

    text[BATCH_HEADER_BYTES + 5] ^= 1;
    text[bytes - 1] ^= 1; /* at the end it is a write that nobody was told of */
    world_write(&world, name, text, (size_t)bytes);
    free(text);
    cr_assert_eq(find_again(&world, &opened), 2);
    forget(&opened);
    world_close(&world);
}

static void let_fail(struct world *world, enum sim_failing failing, uint64_t count)
{
    world->node->failings[failing].after = 1;
    world->node->failings[failing].count = count;
    world->node->failings[failing].error = -EIO;
}

Test(metadata_log, writes_nothing_more_once_a_write_or_flush_has_failed)
{
    for (enum sim_failing failing = SIM_FAILING_WRITE; failing <= SIM_FAILING_FLUSH; failing++) {
        struct world world;
        struct opened opened;
        start_with(&world, 9, &opened, 0);
        let_fail(&world, failing, UINT64_MAX);
        int64_t first = append(&world, &opened, 0);
        int64_t second = first < 0 ? first : append(&world, &opened, 1);
        cr_assert_eq(second, -EIO);
        cr_assert(opened.log.failed);
        forget(&opened);
        world_close(&world);
    }
}

/* Until there is no room for the next one, which does not stay in part either. */
static uint32_t append_until_full(struct world *world, struct opened *opened)
{
    struct sim_disk *disk = world->node->disk;
    uint32_t count = 0;
    disk->bytes_max = disk->bytes_used;
    for (int64_t result = 0; result != -ENOSPC; count += result == 0) {
        cr_assert_lt(count, TOPICS_MAX - 2);
        result = append(world, opened, count);
        cr_assert(result == 0 || result == -ENOSPC);
    }
    return count;
}

Test(metadata_log, goes_on_when_a_full_disk_has_room_again)
{
    struct world world;
    struct opened opened;
    start_with(&world, 3, &opened, 0);
    uint32_t count = append_until_full(&world, &opened);
    cr_assert_eq(append(&world, &opened, count), -ENOSPC);
    cr_assert(!opened.log.failed);
    world.node->disk->bytes_max = UINT64_MAX;
    cr_assert_eq(append(&world, &opened, count), 0);
    forget(&opened);
    cr_assert_eq(find_again(&world, &opened), count + 1);
    goes_on_behind(&world, &opened, count + 1);
    world_close(&world);
}

Test(metadata_log, goes_on_as_it_is_when_there_is_no_room_for_a_snapshot)
{
    struct world world;
    struct opened opened;
    struct metadata_batches batches;
    start_with(&world, 3, &opened, 5);
    world.node->disk->bytes_max = world.node->disk->bytes_used;
    for (int64_t expected = -ENOSPC; expected <= 0; expected += ENOSPC) {
        struct awaited awaited = {0};
        snapshot_begin(&opened, &batches, 5, &awaited);
        world_nudge(&world);
        cr_assert_eq(await(&world, &awaited), expected);
        metadata_batches_deinit(&batches);
        cr_assert(!opened.log.failed);
        cr_assert_eq(opened.log.start_offset, expected ? 0 : opened.log.end_offset);
        world.node->disk->bytes_max = UINT64_MAX;
    }
    forget(&opened);
    cr_assert_eq(find_again(&world, &opened), 5);
    goes_on_behind(&world, &opened, 5);
    world_close(&world);
}

/* It must not come back, with the empty log behind it, when records were appended since. */
Test(metadata_log, forgets_a_snapshot_that_had_no_room)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world world;
        struct opened opened;
        struct metadata_batches batches;
        struct awaited awaited = {0};
        start_with(&world, seed, &opened, 5);
        world.node->disk->bytes_max = world.node->disk->bytes_used + seed * 512;
        snapshot_begin(&opened, &batches, 5, &awaited);
        world_nudge(&world);
        int64_t result = await(&world, &awaited);
        cr_assert(result == 0 || result == -ENOSPC);
        metadata_batches_deinit(&batches);
        world.node->disk->bytes_max = UINT64_MAX;
        cr_assert_eq(append(&world, &opened, 5), 0);
        world_cut(&world, SIM_CUT_POWER);
        forget(&opened);
        cr_assert_eq(find_again(&world, &opened), 6, "seed %lu", seed);
        goes_on_behind(&world, &opened, 6);
        world_close(&world);
    }
}
