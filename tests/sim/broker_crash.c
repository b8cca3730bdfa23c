/*
 * broker_crash -- the whole broker on 1 to 4 simulated cores, and clients that do not let go.
 *
 *      senders, consumers, visitors ==network==> broker ==> disk
 *                                                    |  at any point          |
 *      life:  start -> traffic -> cut or stop, in its middle or at its end    | image:
 *             start on other cores -> they come again, and go on -> ...       v start, audit
 *
 * At the end of a life nothing is left to say: all that was asked is answered, and consumers that
 * wait at the broker have been told of every record. Then all is audited over the wire, everybody
 * leaves, and no memory of a request is left. A hundred clients that only ask and never read
 * (deaf.h) change nothing of that. After a clean stop no memory at all is left.
 */
#include "shard/broker.h"
#include "tests/sim/audit.h"
#include "tests/sim/consumer.h"
#include "tests/sim/deaf.h"
#include "tests/sim/sender.h"
#include "tests/sim/trouble.h"
#include "tests/sim/visitor.h"

enum {
    SENDERS_MAX = 5,
    CONSUMERS_MAX = 4,
    VISITORS_MAX = 3,
    DEAFS_MAX = 100, /* in few scenes: they only cost time */
    LIVES_MAX = 3,
    DROPS_MAX = 12,
    LIFE_STEPS_MAX = 1 << 23,
    QUIET_US_MAX = 300 * 1000 * 1000, /* after the last batch; far less than a fetch would wait */
    LEAVE_US = 5 * 1000 * 1000, /* and connections.max.idle.ms: then all connections are gone */
    STOP_US_MAX = 20 * 1000 * 1000,
    PACKING_BYTES = 256 << 20,
};

struct host { /* a computer and the broker on it */
    struct computer computer;
    struct broker broker;
};

struct scene {
    struct proof *proof;
    struct host host;
    struct config config;
    struct broker_options options;
    char texts[3][24]; /* topic defaults */
    struct world world;
    struct trouble trouble;
    struct sim_random random; /* of images: what they draw disturbs nothing */
    uint64_t memory_bytes;    /* of a core */
    uint32_t rate;
    struct sender senders[SENDERS_MAX];
    struct consumer consumers[CONSUMERS_MAX];
    struct visitor visitors[VISITORS_MAX];
    struct deaf deafs[DEAFS_MAX];
    uint32_t senders_count, consumers_count, visitors_count, deafs_count;
    uint64_t silent_us; /* when the last batch was acknowledged; 0: not yet */
    uint64_t until_us;
};

/* -- a broker ---------------------------------------------------------------------------------- */

static bool host_start(struct scene *scene, struct host *host, uint32_t cores, const char *when)
{
    struct computer *computer = &host->computer;
    struct broker_options options = scene->options;
    struct op op = {0};
    options.journal_bytes *= cores; /* each has its part */
    computer_start(computer, cores, scene->memory_bytes);
    computer_enter(computer);
    int error = broker_init(&host->broker, &options, computer->peers, cores);
    bool ended = false;
    if (!error) {
        broker_start(&host->broker, &op, computer_then);
        ended = computer_wait(computer, &op);
    }
    computer_leave(computer);
    if (error || !ended || op.result < 0) {
        return proof_fail(scene->proof, "%s: the broker %s: %d, %s; %s", when,
                          ended ? "does not start" : "never starts", error ? error : (int)op.result,
                          host->broker.problem,
                          computer->sim.complaint ? computer->sim.complaint : "");
    }
    return true;
}

static bool memory_is_home(struct scene *scene, struct host *host, uint32_t terms)
{
    for (uint32_t i = 0; i < host->computer.cores; i++) {
        for (uint32_t term = 0; term < BUDGET_TERMS; term++) {
            uint64_t bytes = host->computer.reactors[i].slabs.budgets[term].bytes;
            if ((terms >> term & 1) && bytes != 0) {
                return proof_fail(scene->proof, "core %u: %lu bytes of budget %u are still taken",
                                  i, (unsigned long)bytes, term);
            }
        }
    }
    return true;
}

/* In the middle of anything. Nothing is left of it but what is on the disk. */
static bool host_stop(struct scene *scene, struct host *host)
{
    struct computer *computer = &host->computer;
    struct op op = {0};
    uint64_t began_us = computer->sim.now_us;
    computer_enter(computer);
    broker_stop(&host->broker, &op, computer_then);
    bool ended = computer_wait(computer, &op);
    computer_leave(computer);
    if (!ended || op.result < 0 || computer->sim.now_us - began_us > STOP_US_MAX) {
        return proof_fail(scene->proof, "a clean stop %s: %d; %s", ended ? "fails" : "never ends",
                          (int)op.result, computer->sim.complaint ? computer->sim.complaint : "");
    }
    computer_enter(computer);
    broker_deinit(&host->broker);
    computer_leave(computer);
    size_t pieces = process_memory_pieces(computer->memory);
    return memory_is_home(scene, host, (1u << BUDGET_TERMS) - 1) &&
           (pieces == 0 ||
            proof_fail(scene->proof, "a clean stop leaves %zu pieces of memory", pieces));
}

/* -- images ------------------------------------------------------------------------------------ */

static void image_check(struct scene *scene, struct sim_disk *disk)
{
    struct host *host = sim_take(&memory_of_simulators, sizeof *host);
    uint32_t cores = (uint32_t)sim_between(&scene->random, 1, COMPUTER_CORES_MAX);
    computer_open(&host->computer, sim_draw(&scene->random), disk,
                  scene->proof->image == scene->proof->only_image ? scene->proof->story : NULL);
    if (host_start(scene, host, cores, "image")) {
        audit(scene->proof, &host->computer, &scene->world.book, &scene->random, "image");
    }
    computer_close(&host->computer);
    sim_give(&memory_of_simulators, host);
}

static enum sim_cut cut_draw(struct sim_random *random)
{
    return sim_chance(random, 30) ? SIM_CUT_KILL : SIM_CUT_POWER;
}

static void scene_point(struct sim_node *node, enum sim_point point)
{
    struct scene *scene = node->context;
    struct process_memory *was = process_memory_use(NULL);
    if (proof_wants_image(scene->proof, &scene->random, scene->rate)) {
        struct sim_disk *image =
            sim_disk_image(node->disk, cut_draw(&scene->random), &scene->random);
        image->bytes_max = COMPUTER_DISK_BYTES;
        image_check(scene, image);
    }
    process_memory_use(was);
}

/* -- clients ----------------------------------------------------------------------------------- */

static void clients_init(struct scene *scene)
{
    struct sim_random *dice = &scene->world.dice;
    scene->senders_count = (uint32_t)sim_between(dice, 1, SENDERS_MAX);
    scene->consumers_count = (uint32_t)sim_between(dice, 0, CONSUMERS_MAX);
    scene->visitors_count = (uint32_t)sim_between(dice, 0, VISITORS_MAX);
    for (uint32_t i = 0; i < scene->senders_count; i++) {
        sender_init(&scene->senders[i], &scene->world, i);
    }
    for (uint32_t i = 0; i < scene->consumers_count; i++) {
        consumer_init(&scene->consumers[i], &scene->world);
    }
    for (uint32_t i = 0; i < scene->visitors_count; i++) {
        visitor_init(&scene->visitors[i], &scene->world, i == 0); /* one deletes, or none */
    }
    for (uint32_t i = 0; i < scene->deafs_count; i++) {
        deaf_init(&scene->deafs[i], &scene->world);
    }
}

static void clients_each(struct scene *scene, void (*act)(struct client *client))
{
    for (uint32_t i = 0; i < scene->senders_count; i++) {
        act(&scene->senders[i].client);
    }
    for (uint32_t i = 0; i < scene->consumers_count; i++) {
        act(&scene->consumers[i].client);
    }
    for (uint32_t i = 0; i < scene->visitors_count; i++) {
        act(&scene->visitors[i].client);
    }
}

static void deafs_each(struct scene *scene, void (*act)(struct deaf *deaf))
{
    for (uint32_t i = 0; i < scene->deafs_count; i++) {
        act(&scene->deafs[i]);
    }
}

static void clients_start(struct scene *scene)
{
    struct sim_random *dice = &scene->world.dice;
    uint32_t batches = (uint32_t)sim_between(dice, 5, 150);
    for (uint32_t i = 0; i < scene->senders_count; i++) {
        sender_start(&scene->senders[i], (uint32_t)sim_below(dice, batches + 1));
    }
    for (uint32_t i = 0; i < scene->consumers_count; i++) {
        consumer_start(&scene->consumers[i]);
    }
    for (uint32_t i = 0; i < scene->visitors_count; i++) {
        visitor_start(&scene->visitors[i], (uint32_t)sim_below(dice, 12));
    }
    deafs_each(scene, deaf_start);
}

static bool clients_are_done(struct scene *scene)
{
    bool silent = true, read = true;
    for (uint32_t i = 0; i < scene->senders_count; i++) {
        silent = silent && sender_is_done(&scene->senders[i]);
    }
    for (uint32_t i = 0; i < scene->visitors_count; i++) {
        silent = silent && visitor_is_done(&scene->visitors[i]);
    }
    for (uint32_t i = 0; silent && i < scene->consumers_count; i++) {
        read = read && consumer_is_done(&scene->consumers[i]);
    }
    uint64_t now_us = scene->host.computer.sim.now_us;
    if (silent && scene->silent_us == 0) {
        scene->silent_us = now_us;
    }
    if (silent && !read && now_us - scene->silent_us > QUIET_US_MAX) {
        proof_fail(scene->proof, "a consumer is not told of records that were acknowledged");
    }
    return silent && read;
}

static void client_check(struct client *client)
{
    (void)client_is_served(client);
}

static bool life_is_over(void *context)
{
    struct scene *scene = context;
    if (scene->host.computer.sim.steps % 64 != 0) { /* looking is not for nothing */
        return scene->proof->failed;
    }
    clients_each(scene, client_check);
    return clients_are_done(scene) || scene->proof->failed;
}

/* -- lives ------------------------------------------------------------------------------------- */

static bool time_is_up(void *context)
{
    struct scene *scene = context;
    return scene->host.computer.sim.now_us >= scene->until_us;
}

static void time_passes(struct sim *sim, struct sim_event *event)
{
}

/* Everybody leaves, and nothing of them stays. Sessions outlive their connections. */
static bool clients_leave(struct scene *scene)
{
    struct sim *sim = &scene->host.computer.sim;
    struct sim_event event = {0};
    clients_each(scene, client_rest);
    deafs_each(scene, deaf_rest);
    scene->until_us = sim->now_us + scene->options.idle_us + LEAVE_US;
    sim_event_start(sim, &event, scene->options.idle_us + LEAVE_US, time_passes);
    sim_run(sim, time_is_up, scene, LIFE_STEPS_MAX);
    sim_event_cancel(sim, &event);
    for (uint32_t i = 0; i < scene->host.computer.cores; i++) {
        uint32_t count = scene->host.broker.servers[i]->connections_count;
        if (count != 0) {
            return proof_fail(scene->proof, "core %u: %u connections, and nobody is there", i,
                              count);
        }
    }
    return memory_is_home(scene, &scene->host,
                          1u << BUDGET_FRAMES | 1u << BUDGET_RESERVE | 1u << BUDGET_REPLIES);
}

/* Until nobody has anything left to do, or for so many steps. False: the proof has failed. */
static bool traffic_run(struct scene *scene, uint64_t steps_max, bool *over)
{
    struct sim *sim = &scene->host.computer.sim;
    scene->silent_us = 0;
    *over = sim_run(sim, life_is_over, scene, steps_max);
    return !scene->proof->failed &&
           (!sim->complaint || proof_fail(scene->proof, "%s", sim->complaint));
}

/* One batch at a time, into a silence in which consumers wait: each of them must wake them. */
static bool trickle(struct scene *scene)
{
    struct sim_random *dice = &scene->world.dice;
    bool over = true;
    for (uint64_t drops = sim_below(dice, DROPS_MAX + 1); over && drops > 0; drops--) {
        sender_start(&scene->senders[sim_below(dice, scene->senders_count)], 1);
        if (!traffic_run(scene, LIFE_STEPS_MAX, &over)) {
            return false;
        }
    }
    return over || proof_fail(scene->proof, "a single batch does not come to its end");
}

/* To the end of what was drawn for it, or to the middle. False: the proof has failed. */
static bool life_run(struct scene *scene, bool early)
{
    struct sim_random *dice = &scene->world.dice;
    bool over;
    if (!traffic_run(scene, early ? sim_between(dice, 100, 20000) : LIFE_STEPS_MAX, &over)) {
        return false;
    }
    if (early) {
        return true;
    }
    if (!over) {
        return proof_fail(scene->proof, "a life does not end");
    }
    trouble_end(&scene->trouble);
    return trickle(scene) &&
           audit(scene->proof, &scene->host.computer, &scene->world.book, dice,
                 "at the end of a life") &&
           clients_leave(scene);
}

static enum trouble_kind trouble_draw(struct scene *scene, bool early)
{
    struct sim_random *dice = &scene->world.dice;
    if (early && sim_chance(dice, 20)) {
        return sim_chance(dice, 60) ? TROUBLE_OFFLINE : TROUBLE_METADATA;
    }
    if (scene->world.passing_trouble && sim_chance(dice, 60)) {
        return sim_chance(dice, 50) ? TROUBLE_FULL : TROUBLE_READS;
    }
    return TROUBLE_NONE;
}

static bool life_play(struct scene *scene, bool last)
{
    struct sim_random *dice = &scene->world.dice;
    uint32_t cores = (uint32_t)sim_between(dice, 1, COMPUTER_CORES_MAX);
    bool early = !last && sim_chance(dice, 60);
    clients_start(scene); /* before there is anybody to connect to */
    if (!host_start(scene, &scene->host, cores, "start")) {
        return false;
    }
    enum trouble_kind kind = trouble_draw(scene, early);
    bool lasts = kind == TROUBLE_OFFLINE || kind == TROUBLE_METADATA;
    trouble_begin(&scene->trouble, &scene->world, kind);
    if (!life_run(scene, early)) {
        trouble_end(&scene->trouble);
        return false;
    }
    if (!lasts) {
        trouble_end(&scene->trouble);
    }
    if (!lasts && sim_chance(dice, 40) && !host_stop(scene, &scene->host)) {
        return false;
    }
    trouble_end(&scene->trouble);
    clients_each(scene, client_wake); /* an answer of this life is not one of the next */
    computer_cut(&scene->host.computer, cut_draw(dice));
    return !scene->proof->failed;
}

/* -- a scene ----------------------------------------------------------------------------------- */

static void setting(struct scene *scene, const char *assignment)
{
    char why[256];
    bool good = config_override(&scene->config, assignment, why, sizeof why);
    assert(good);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* What topics do to the codec of what comes. */
static void codec_draw(struct scene *scene)
{
    static const char *const types[] = {"uncompressed", "gzip", "snappy", "lz4", "zstd"};
    struct sim_random *dice = &scene->world.dice;
    uint64_t drawn = sim_below(dice, sizeof types / sizeof types[0] * 4);
    if (drawn < sizeof types / sizeof types[0]) {
        scene->options.settings.topic_defaults[TOPIC_CONFIG_COMPRESSION_TYPE] = types[drawn];
        scene->world.book.repacked = true;
        scene->world.book.fetch_version_min = drawn == CODEC_ZSTD ? 10 : 4;
    }
}

/* As main.c does it, and then so small that everything rolls, fills and is used again soon. */
static void options_draw(struct scene *scene)
{
    static const enum topic_config_id ids[] = {TOPIC_CONFIG_SEGMENT_BYTES,
                                               TOPIC_CONFIG_INDEX_INTERVAL_BYTES,
                                               TOPIC_CONFIG_SEGMENT_INDEX_BYTES};
    struct sim_random *dice = &scene->world.dice;
    char text[64], why[256];
    int error = config_init(&scene->config, settings_table, SETTINGS_COUNT);
    assert(!error);
    setting(scene, "log.dirs=/data");
    snprintf(text, sizeof text, "listeners=PLAINTEXT://127.0.0.1:%d", BROKER_PORT);
    setting(scene, text);
    snprintf(text, sizeof text, "num.partitions=%d",
             (int)sim_between(dice, 1, BOOK_PARTITIONS_MAX));
    setting(scene, text);
    bool good = settings_resolve(&scene->config, &scene->options, why, sizeof why);
    assert(good);
    uint32_t segment_bytes = 8192u << sim_below(dice, 8);
    uint32_t file_bytes = 65536u << sim_below(dice, 3);
    scene->options.journal_file_bytes = file_bytes;
    scene->options.journal_bytes = (uint64_t)file_bytes * sim_between(dice, JOURNAL_FILES_MIN, 8);
    snprintf(scene->texts[0], sizeof scene->texts[0], "%u", segment_bytes);
    snprintf(scene->texts[1], sizeof scene->texts[1], "%u", 64u << sim_below(dice, 7));
    snprintf(scene->texts[2], sizeof scene->texts[2], "%u", 65536);
    for (uint32_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        scene->options.settings.topic_defaults[ids[i]] = scene->texts[i];
    }
    codec_draw(scene);
    /* A request of one batch for each partition must find room, however little memory there is. */
    scene->memory_bytes = UINT64_C(4) << (20 + (scene->deafs_count ? 2 : sim_below(dice, 4)));
    uint32_t batch_bytes = (uint32_t)(scene->memory_bytes >> 9);
    if (scene->world.book.packed_percent > 0 || scene->world.book.repacked) {
        scene->memory_bytes = PACKING_BYTES; /* zstd alone needs so much */
    }
    scene->world.batch_bytes_max = least(batch_bytes, segment_bytes - 1024);
}

static void world_draw(struct scene *scene)
{
    struct world *world = &scene->world;
    world->pause_us_max = 1u << sim_between(&world->dice, 4, 14);
    world->hang_up_permille = sim_chance(&world->dice, 50) ? 0 : 20;
    world->names_count = (uint32_t)sim_between(&world->dice, 1, NAMES_MAX);
    world->names_lasting = (uint32_t)sim_between(&world->dice, 0, world->names_count);
    for (uint32_t i = 0; i < world->names_count; i++) {
        snprintf(world->names[i], sizeof world->names[i], "topic-%u", i);
    }
    scene->rate = (uint32_t)sim_between(&world->dice, 20, 400);
    world->passing_trouble = sim_chance(&world->dice, 30);
    world->doze_percent = sim_chance(&world->dice, 30) ? 10 : 0;
    world->book.packed_percent = sim_chance(&world->dice, 50) ? 30 : 0;
    /* What they ask for is as large as all memory, or it would be no burden. */
    if (sim_chance(&world->dice, 10)) {
        scene->deafs_count = (uint32_t)sim_between(&world->dice, 1, DEAFS_MAX);
        world->book.packed_percent = 0;
        world->passing_trouble = false;
    }
    world->large_percent = scene->deafs_count > 0 ? 100 : 20;
}

static void scene_play(struct proof *proof)
{
    static struct scene scene;
    scene = (struct scene){.proof = proof};
    struct world *world = &scene.world;
    world->proof = proof;
    world->computer = &scene.host.computer;
    world->dice.state = proof->seed * 15485863;
    world_draw(&scene);
    options_draw(&scene);
    uint32_t lives = (uint32_t)sim_between(&world->dice, 1, LIVES_MAX);
    computer_open(&scene.host.computer, proof->seed, NULL, proof->story);
    scene.host.computer.node->point = scene_point;
    scene.host.computer.node->context = &scene;
    clients_init(&scene);
    for (uint32_t life = 0; life < lives && life_play(&scene, life + 1 == lives); life++) {
    }
    proof->trace = scene.host.computer.sim.trace;
    clients_each(&scene, client_deinit);
    deafs_each(&scene, deaf_deinit);
    computer_close(&scene.host.computer);
    book_deinit(&world->book);
    config_deinit(&scene.config);
}

int main(int argc, char **argv)
{
    return proof_main(argc, argv, 40, scene_play);
}
