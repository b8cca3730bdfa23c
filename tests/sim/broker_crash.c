/*
 * broker_crash -- the broker itself, unmodified, on one to four cores in one thread: clients write
 * and read through the protocol while its process is killed, its power cut, or it is stopped and
 * started again on other cores.
 *
 *      topics --- a writer and a reader each ---+
 *                                               v
 *      life: start -> requests ... -> cut or clean stop -> next life, until all is written and read
 *                       |  at any point
 *                       v
 *      image: start on other cores -> a reader per topic, up to the high watermark -> ledger
 *
 * At the end everything that was sent is there, once, in order, byte for byte.
 */
#include "shard/broker.h"
#include "shard/settings.h"
#include "tests/sim/player.h"

enum {
    TOPICS_MAX = 4,
    LIVES_MAX = 5,
    CORE_MEMORY_BYTES = 128 << 20,
    STEPS_MAX = 1 << 22,
    IMAGE_STEPS_MAX = 1 << 20,
};

struct house { /* a computer and the broker on it */
    struct computer computer;
    struct broker broker;
};

struct scene {
    struct proof *proof;
    struct house house;
    struct config config;
    struct broker_options options;
    struct sim_random random, dice;
    uint32_t rate;
    struct ledger_topic topics[TOPICS_MAX];
    uint32_t topics_count;
    struct player writers[TOPICS_MAX], readers[TOPICS_MAX];
};

/* -- the broker -------------------------------------------------------------------------------- */

static void settings_set(struct config *config, const char *format, uint64_t value)
{
    char assignment[128], why[512];
    snprintf(assignment, sizeof assignment, format, (unsigned long)value);
    bool good = config_override(config, assignment, why, sizeof why);
    assert(good);
}

static void options_draw(struct scene *scene)
{
    char why[512];
    int error = config_init(&scene->config, settings_table, SETTINGS_COUNT);
    assert(!error);
    settings_set(&scene->config, "log.dirs=/data", 0);
    settings_set(&scene->config, "listeners=PLAINTEXT://127.0.0.1:%lu", PLAYER_PORT);
    settings_set(&scene->config, "auto.create.topics.enable=false", 0);
    bool good = settings_resolve(&scene->config, &scene->options, why, sizeof why);
    if (!good) {
        fprintf(stderr, "%s\n", why);
    }
    assert(good);
}

static bool house_start(struct scene *scene, struct house *house, uint32_t cores)
{
    struct op op = {0};
    computer_start(&house->computer, cores, CORE_MEMORY_BYTES);
    computer_enter(&house->computer);
    bool good = broker_init(&house->broker, &scene->options, house->computer.peers, cores) == 0;
    assert(good);
    broker_start(&house->broker, &op, computer_then);
    good = computer_wait(&house->computer, &op);
    computer_leave(&house->computer);
    if (!good || op.result < 0) {
        return proof_fail(scene->proof, "the broker does not start: %ld, %s %s", (long)op.result,
                          house->broker.problem,
                          house->computer.sim.complaint ? house->computer.sim.complaint : "");
    }
    return true;
}

static bool house_stop(struct scene *scene, struct house *house)
{
    struct op op = {0};
    computer_enter(&house->computer);
    broker_stop(&house->broker, &op, computer_then);
    bool good = computer_wait(&house->computer, &op);
    computer_leave(&house->computer);
    if (!good || op.result < 0) {
        return proof_fail(scene->proof, "the broker does not stop: %ld %s", (long)op.result,
                          house->computer.sim.complaint ? house->computer.sim.complaint : "");
    }
    return true;
}

/* -- images ------------------------------------------------------------------------------------ */

struct look {
    struct scene *scene;
    struct house house;
    struct player readers[TOPICS_MAX];
};

static bool look_is_over(void *context)
{
    struct look *look = context;
    bool over = true;
    for (uint32_t i = 0; i < look->scene->topics_count; i++) {
        over = over && player_has_caught_up(&look->readers[i]);
    }
    return over || look->scene->proof->failed;
}

static void look_judge(struct look *look)
{
    struct scene *scene = look->scene;
    for (uint32_t i = 0; i < scene->topics_count; i++) {
        struct ledger_topic *topic = &scene->topics[i];
        for (uint32_t j = 0; j < topic->partitions_count; j++) {
            uint32_t told = line_told(&topic->lines[j]);
            if (look->readers[i].read[j] < told) {
                proof_fail(scene->proof, "%s-%u: %u batches acknowledged or read, %u recovered",
                           topic->name, j, told, look->readers[i].read[j]);
            }
        }
    }
}

static void image_check(struct scene *scene, struct sim_disk *image)
{
    struct look *look = sim_take(&memory_of_simulators, sizeof *look);
    look->scene = scene;
    computer_open(&look->house.computer, sim_draw(&scene->random), image, NULL);
    uint32_t cores = (uint32_t)sim_between(&scene->random, 1, COMPUTER_CORES_MAX);
    if (house_start(scene, &look->house, cores)) {
        for (uint32_t i = 0; i < scene->topics_count; i++) {
            player_init(&look->readers[i], scene->proof, &look->house.computer, &scene->random,
                        &scene->topics[i]);
            look->readers[i].is_looking = true;
            player_read(&look->readers[i]);
        }
        if (!sim_run(&look->house.computer.sim, look_is_over, look, IMAGE_STEPS_MAX)) {
            const char *complaint = look->house.computer.sim.complaint;
            proof_fail(scene->proof, "what was recovered cannot be read: %s",
                       complaint ? complaint : "it stands still");
        } else if (!scene->proof->failed) {
            look_judge(look);
        }
        for (uint32_t i = 0; i < scene->topics_count; i++) {
            player_deinit(&look->readers[i]);
        }
    }
    computer_close(&look->house.computer);
    sim_give(&memory_of_simulators, look);
}

static void scene_point(struct sim_node *node, enum sim_point point)
{
    struct scene *scene = node->context;
    struct process_memory *was = process_memory_use(NULL);
    if (proof_wants_image(scene->proof, &scene->random, scene->rate)) {
        enum sim_cut cut = sim_chance(&scene->random, 25) ? SIM_CUT_KILL : SIM_CUT_POWER;
        image_check(scene, sim_disk_image(node->disk, cut, &scene->random));
    }
    process_memory_use(was);
}

/* -- lives ------------------------------------------------------------------------------------- */

static bool scene_is_over(void *context)
{
    struct scene *scene = context;
    bool over = true;
    for (uint32_t i = 0; i < scene->topics_count; i++) {
        struct ledger_topic *topic = &scene->topics[i];
        over = over && player_has_written(&scene->writers[i]);
        for (uint32_t j = 0; over && j < topic->partitions_count; j++) {
            over = scene->readers[i].read[j] == topic->lines[j].count;
        }
    }
    return over || scene->proof->failed;
}

static void players_start(struct scene *scene)
{
    for (uint32_t i = 0; i < scene->topics_count; i++) {
        uint32_t batches = (uint32_t)sim_between(&scene->dice, 5, 60);
        uint32_t bytes_max = 1u << sim_between(&scene->dice, 6, 16);
        player_init(&scene->writers[i], scene->proof, &scene->house.computer, &scene->dice,
                    &scene->topics[i]);
        player_init(&scene->readers[i], scene->proof, &scene->house.computer, &scene->dice,
                    &scene->topics[i]);
        player_write(&scene->writers[i], batches, bytes_max);
        player_read(&scene->readers[i]);
    }
}

static bool life_play(struct scene *scene, bool last)
{
    struct house *house = &scene->house;
    if (!house_start(scene, house, (uint32_t)sim_between(&scene->dice, 1, COMPUTER_CORES_MAX))) {
        return false;
    }
    uint64_t steps = last ? STEPS_MAX : sim_between(&scene->dice, 100, 20000);
    bool over = sim_run(&house->computer.sim, scene_is_over, scene, steps);
    const char *complaint = house->computer.sim.complaint;
    if (scene->proof->failed) {
        return false;
    }
    if (complaint || (last && !over)) {
        return proof_fail(scene->proof, "it does not come to an end: %s",
                          complaint ? complaint : "it stands still");
    }
    if (sim_chance(&scene->dice, last ? 100 : 30) && !house_stop(scene, house)) {
        return false;
    }
    computer_cut(&house->computer, sim_chance(&scene->dice, 50) ? SIM_CUT_KILL : SIM_CUT_POWER);
    return !scene->proof->failed;
}

static void scene_play(struct proof *proof)
{
    static struct scene scene;
    scene = (struct scene){.proof = proof, .dice = {proof->seed * 15485863}};
    options_draw(&scene);
    scene.topics_count = (uint32_t)sim_between(&scene.dice, 1, TOPICS_MAX);
    scene.rate = (uint32_t)sim_between(&scene.dice, 5, 60);
    for (uint32_t i = 0; i < scene.topics_count; i++) {
        struct ledger_topic *topic = &scene.topics[i];
        snprintf(topic->name, sizeof topic->name, "topic-%u", i);
        topic->partitions_count = (uint32_t)sim_between(&scene.dice, 1, PLAYER_PARTITIONS_MAX);
        for (uint32_t j = 0; j < topic->partitions_count; j++) {
            line_init(&topic->lines[j], i, j, BATCH_NO_PRODUCER_ID);
        }
    }
    computer_open(&scene.house.computer, proof->seed, NULL, proof->story);
    scene.house.computer.node->point = scene_point;
    scene.house.computer.node->context = &scene;
    players_start(&scene);
    uint32_t lives = (uint32_t)sim_between(&scene.dice, 1, LIVES_MAX);
    for (uint32_t life = 0; life < lives && life_play(&scene, life + 1 == lives); life++) {
    }
    proof->trace = scene.house.computer.sim.trace;
    for (uint32_t i = 0; i < scene.topics_count; i++) {
        player_deinit(&scene.writers[i]);
        player_deinit(&scene.readers[i]);
    }
    computer_close(&scene.house.computer);
    for (uint32_t i = 0; i < scene.topics_count; i++) {
        for (uint32_t j = 0; j < scene.topics[i].partitions_count; j++) {
            line_deinit(&scene.topics[i].lines[j]);
        }
    }
    config_deinit(&scene.config);
}

int main(int argc, char **argv)
{
    return proof_main(argc, argv, 20, scene_play);
}
