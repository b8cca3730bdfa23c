/*
 * store_crash -- no acknowledged record is lost, whenever and however often the computer stops.
 *
 *      life:  start -> appends, drops, clean stops on 1 to 3 cores -> a cut -> next life
 *                          |  at any point
 *                          v
 *      image: start on other cores -> check -> cut again -> start -> the same -> appends go on
 *                |  at any point
 *                v
 *             image of an interrupted recovery, checked in the same way
 *
 * A scene draws segments, journals and caches so small that everything rolls, fills and is used
 * again within a few hundred appends. In some lives the disk begins to fail writes or flushes: then
 * appends may end with -EIO, and nothing that was acknowledged before is lost. In some it does not
 * remove files: what was dropped stays, and its name's next log has nothing of it.
 */
#include "tests/sim/program.h"

#include <errno.h>

enum {
    LINES_MAX = 8,
    LIVES_MAX = 3,
    OUT_MAX = 5,
    DEPTH_MAX = 2, /* images of images */
    INNER_IMAGES_MAX = 2,
    RETRIES = 4,
    LIFE_STEPS_MAX = 1 << 21,
};

struct scene;

struct actor { /* who appends to one line; lives in the process, but its memory does not */
    struct scene *scene;
    struct line *line;
    struct log *log;
    struct reactor *reactor;
    struct timer timer;
    struct op drop_op;
    uint32_t left; /* appends to go */
    uint32_t out;
    bool drops; /* ... and then the log is dropped, and made anew */
    struct slot {
        struct log_append append;
        struct actor *actor;
        uint32_t index; /* of the batch in its line */
        bool retry;
        bool taken;
        uint8_t *copy;
    } slots[OUT_MAX];
};

struct scene {
    struct proof *proof;
    struct computer computer;
    struct program program;
    struct shape shape;
    struct sim_random random; /* of images: what they draw disturbs nothing */
    struct sim_random dice;   /* of the workload */
    uint32_t rate;
    uint32_t bytes_max; /* of a batch */
    uint32_t pause_us_max;
    struct line lines[LINES_MAX];
    uint32_t lines_count;
    uint32_t incarnations;
    struct line dropped[LINES_MAX * LIVES_MAX]; /* never to be seen again */
    uint32_t dropped_count;
    struct actor actors[LINES_MAX];
    bool is_failing; /* the disk, in this life */
    bool is_keeping; /* ... and removes nothing: a dropped log's files stay */
};

/* -- the workload: on the logs' reactors ----------------------------------------------------------- */

static void actor_step(struct op *op);
static void actor_appended(struct op *op);
static void actor_dropped(struct op *op);

static void actor_pause(struct actor *actor)
{
    timer_start(actor->reactor, &actor->timer,
                sim_below(&actor->scene->dice, actor->scene->pause_us_max + 1), actor_step);
}

static void slot_append(struct actor *actor, struct slot *slot)
{
    const struct sent *sent = &actor->line->sent[slot->index];
    slot->actor = actor;
    slot->taken = true;
    slot->copy = sim_take(&memory_of_simulators, sent->batch_bytes);
    memcpy(slot->copy, sent->bytes, sent->batch_bytes);
    slot->append = (struct log_append){.batch = slot->copy,
                                       .bytes = sent->batch_bytes,
                                       .is_unread = sim_chance(&actor->scene->dice, 50)};
    actor->out++;
    log_append(actor->log, &slot->append, actor_appended);
}

static struct slot *slot_free(struct actor *actor)
{
    for (uint32_t i = 0; i < OUT_MAX; i++) {
        if (!actor->slots[i].taken) {
            return &actor->slots[i];
        }
    }
    return NULL;
}

static uint32_t batch_bytes_draw(struct scene *scene)
{
    uint32_t bytes_max = sim_chance(&scene->dice, 80) ? 300 : scene->bytes_max;
    bytes_max = bytes_max < scene->bytes_max ? bytes_max : scene->bytes_max;
    return (uint32_t)sim_between(&scene->dice, 1, bytes_max);
}

static void actor_step(struct op *op)
{
    struct actor *actor = container_of(op, struct actor, timer.op);
    struct scene *scene = actor->scene;
    struct line *line = actor->line;
    for (struct slot *slot; actor->left > 0 && (slot = slot_free(actor));) {
        uint32_t recent = line->count < OUT_MAX ? line->count : OUT_MAX;
        slot->retry = line->producer_id >= 0 && recent > 0 && sim_chance(&scene->dice, 5);
        if (slot->retry) { /* one of the last five again */
            slot->index = line->count - 1 - (uint32_t)sim_below(&scene->dice, recent);
        } else {
            line_send(line, batch_bytes_draw(scene), &scene->dice);
            slot->index = line->count - 1;
            actor->left--;
        }
        slot_append(actor, slot);
        if (sim_chance(&scene->dice, 50)) {
            break;
        }
    }
    if (actor->left > 0) {
        actor_pause(actor);
    } else if (actor->out == 0 && actor->drops && line->state == LINE_LIVE) {
        line->state = LINE_DROPPING;
        log_drop(actor->log, &actor->drop_op, actor_dropped);
    }
}

static void actor_appended(struct op *op)
{
    struct slot *slot = container_of(op, struct slot, append.op);
    struct actor *actor = slot->actor;
    struct scene *scene = actor->scene;
    struct sent *sent = &actor->line->sent[slot->index];
    actor->out--;
    slot->taken = false;
    sim_give(&memory_of_simulators, slot->copy);
    if (op->result == -EIO && scene->is_failing) {
        actor->left = 0;
        actor->drops = false;
        return;
    }
    if (op->result != 0) {
        proof_fail(scene->proof, "an append to %s ended with %ld", actor->line->name,
                   (long)op->result);
        return;
    }
    if (slot->append.base_offset != sent->base_offset || slot->append.duplicate != slot->retry) {
        proof_fail(scene->proof, "a batch of %s was appended at %ld, it should be at %ld%s",
                   actor->line->name, (long)slot->append.base_offset, (long)sent->base_offset,
                   slot->retry ? ", as a retry" : "");
        return;
    }
    sent->told = true;
    if (actor->left == 0 && actor->out == 0) {
        actor_pause(actor);
    }
}

/* The topic is made again under the same name. */
static void line_renew(struct scene *scene, struct line *line)
{
    struct line old = *line;
    uint32_t topic = (uint32_t)(line - scene->lines);
    assert(scene->dropped_count < LINES_MAX * LIVES_MAX);
    scene->dropped[scene->dropped_count++] = old;
    line_init(line, topic, ++scene->incarnations, old.producer_id, old.producers_count);
}

static void actor_dropped(struct op *op)
{
    struct actor *actor = container_of(op, struct actor, drop_op);
    struct scene *scene = actor->scene;
    struct line *line = actor->line;
    struct store *store = &scene->program.stores[actor->reactor->index];
    if (op->result == -EIO && scene->is_failing) {
        actor->drops = false;
        return;
    }
    if (op->result != 0 && !(op->result == -EIO && scene->is_keeping)) {
        proof_fail(scene->proof, "a drop of %s ended with %ld", line->name, (long)op->result);
        return;
    }
    line->state = LINE_DROPPED;
    line_renew(scene, line);
    actor->log = store_create_log(store, line->topic_id, line->topic, line->partition,
                                  &scene->shape.settings, 0);
    actor->drops = false;
    actor->left = (uint32_t)sim_between(&scene->dice, 1, 20);
    actor_pause(actor);
}

static bool life_is_over(void *context)
{
    struct scene *scene = context;
    for (uint32_t i = 0; i < scene->lines_count; i++) {
        const struct actor *actor = &scene->actors[i];
        if (actor->left > 0 || actor->out > 0 || actor->drops) {
            return scene->proof->failed;
        }
    }
    return true;
}

/* -- checks: a program that has just started ----------------------------------------------------- */

/* What was dropped is gone. */
static bool dropped_check(struct scene *scene, struct program *program, const char *when)
{
    for (uint32_t i = 0; i < scene->dropped_count; i++) {
        const struct log *log = program_log(program, scene->dropped[i].name);
        if (log && !memcmp(log->topic_id, scene->dropped[i].topic_id, 16)) {
            return proof_fail(scene->proof, "%s: %s was dropped, and is back", when,
                              scene->dropped[i].name);
        }
    }
    return true;
}

/* A log or none, against what was sent. found: how many batches it has. */
static bool line_found(struct scene *scene, struct program *program, const struct line *line,
                       const char *when, uint32_t *found)
{
    struct log *log = program_log(program, line->name);
    *found = 0;
    if (!log || memcmp(log->topic_id, line->topic_id, 16) != 0) {
        if (line->state == LINE_LIVE && line_told(line) > 0) {
            return proof_fail(scene->proof, "%s: %s is gone with %u acknowledged batches", when,
                              line->name, line_told(line));
        }
        return true;
    }
    size_t count;
    uint8_t *bytes = program_read(program, log, &count);
    if (!bytes) {
        return proof_fail(scene->proof, "%s: %s", when, program->problem);
    }
    const char *wrong = line_check(line, bytes, count, log->log_end, found);
    sim_give(&memory_of_simulators, bytes);
    if (wrong) {
        return proof_fail(scene->proof, "%s: %s: %s (%u sent, %u acknowledged, %u found, end %ld)",
                          when, line->name, wrong, line->count, line_told(line), *found,
                          (long)log->log_end);
    }
    return true;
}

/* Indexes: a batch is found by its time. */
static bool time_check(struct scene *scene, struct program *program, const struct line *line,
                       uint32_t found, const char *when, struct sim_random *random)
{
    if (found == 0) {
        return true;
    }
    const struct sent *sent = &line->sent[sim_below(random, found)];
    int64_t offset = program_look_up(program, program_log(program, line->name), sent->timestamp);
    if (offset != sent->base_offset) {
        return proof_fail(scene->proof, "%s: %s: time %ld is at %ld, it was found at %ld %s", when,
                          line->name, (long)sent->timestamp, (long)sent->base_offset, (long)offset,
                          offset == -2 ? program->problem : "");
    }
    return true;
}

static bool lines_check(struct scene *scene, struct program *program, const char *when,
                        uint32_t found[LINES_MAX], struct sim_random *random)
{
    for (uint32_t i = 0; i < scene->lines_count; i++) {
        const struct line *line = &scene->lines[i];
        if (!line_found(scene, program, line, when, &found[i]) ||
            !time_check(scene, program, line, found[i], when, random)) {
            return false;
        }
    }
    return dropped_check(scene, program, when);
}

/* A retry of what is there is recognised, and the next batch is taken. Nothing of this is in the
 * ledger: the image is thrown away. */
static bool line_goes_on(struct scene *scene, struct program *program, const struct line *line,
                         uint32_t found)
{
    struct log *log = program_log(program, line->name);
    struct log_append append;
    if (!log || memcmp(log->topic_id, line->topic_id, 16) != 0) {
        return true;
    }
    int64_t end = log->log_end;
    for (int i = 0; i < RETRIES && found > 0 && line->producer_id >= 0; i++) {
        uint32_t index = (uint32_t)sim_below(&scene->random, found);
        index = line_is_recent(line, index, found) ? index : found - 1;
        const struct sent *sent = &line->sent[index];
        program_append(program, log, sent, &append);
        if (append.op.result != 0 || !append.duplicate || append.base_offset != sent->base_offset) {
            return proof_fail(scene->proof, "%s: a retry of the batch at %ld: %ld, %s at %ld",
                              line->name, (long)sent->base_offset, (long)append.op.result,
                              append.duplicate ? "duplicate" : "new", (long)append.base_offset);
        }
    }
    if (found < line->count) {
        program_append(program, log, &line->sent[found], &append);
        if (append.op.result != 0 || append.duplicate || append.base_offset != end) {
            return proof_fail(scene->proof, "%s: the next batch: %ld, %s at %ld, not %ld",
                              line->name, (long)append.op.result,
                              append.duplicate ? "duplicate" : "new", (long)append.base_offset,
                              (long)end);
        }
        return line_found(scene, program, line, "after a further append", &found);
    }
    return true;
}

/* -- images ------------------------------------------------------------------------------------ */

struct look { /* at one image */
    struct scene *scene;
    struct computer computer;
    struct program program;
    uint32_t depth;
    uint32_t inner; /* images of this one's recovery to come */
};

static void image_check(struct scene *scene, struct sim_disk *disk, uint32_t depth);

static enum sim_cut cut_draw(struct scene *scene)
{
    return sim_chance(&scene->random, 25) ? SIM_CUT_KILL : SIM_CUT_POWER;
}

/* While an image is recovered. */
static void look_point(struct sim_node *node, enum sim_point point)
{
    struct look *look = node->context;
    struct scene *scene = look->scene;
    struct process_memory *was = process_memory_use(NULL);
    if (look->inner > 0 && !scene->proof->failed && sim_chance(&scene->random, 5)) {
        look->inner--;
        scene->proof->images++;
        image_check(scene, sim_disk_image(node->disk, cut_draw(scene), &scene->random),
                    look->depth + 1);
    }
    process_memory_use(was);
}

static bool look_start(struct look *look, const char *when)
{
    struct scene *scene = look->scene;
    uint32_t cores = (uint32_t)sim_between(&scene->random, 1, COMPUTER_CORES_MAX);
    if (!program_start(&look->program, &look->computer, &scene->shape, cores)) {
        return proof_fail(scene->proof, "%s: %s", when, look->program.problem);
    }
    return true;
}

/* Recovered once, cut again, recovered again: the same. Then it goes on. */
static bool look_through(struct look *look)
{
    struct scene *scene = look->scene;
    uint32_t found[LINES_MAX], again[LINES_MAX];
    bool inner = look->depth > 1;
    if (!look_start(look, inner ? "recovery after an interrupted one" : "recovery") ||
        !lines_check(scene, &look->program, inner ? "recovered at the second try" : "recovered",
                     found, &scene->random)) {
        return false;
    }
    look->inner = 0;
    if (sim_chance(&scene->random, 30)) {
        computer_cut(&look->computer, cut_draw(scene));
        if (!look_start(look, "recovery of a recovery") ||
            !lines_check(scene, &look->program, "recovered twice", again, &scene->random)) {
            return false;
        }
        if (memcmp(found, again, scene->lines_count * sizeof *found) != 0) {
            return proof_fail(scene->proof, "a second recovery finds other records");
        }
    }
    for (uint32_t i = 0; sim_chance(&scene->random, 50) && i < scene->lines_count; i++) {
        if (!line_goes_on(scene, &look->program, &scene->lines[i], found[i])) {
            return false;
        }
    }
    return true;
}

static void image_check(struct scene *scene, struct sim_disk *disk, uint32_t depth)
{
    struct look *look = sim_take(&memory_of_simulators, sizeof *look);
    look->scene = scene;
    look->depth = depth;
    look->inner = depth < DEPTH_MAX && sim_chance(&scene->random, 25)
                      ? (uint32_t)sim_between(&scene->random, 1, INNER_IMAGES_MAX)
                      : 0;
    computer_open(&look->computer, sim_draw(&scene->random), disk,
                  scene->proof->image == scene->proof->only_image ? scene->proof->story : NULL);
    look->computer.node->context = look;
    look->computer.node->point = look_point;
    look_through(look);
    computer_close(&look->computer);
    sim_give(&memory_of_simulators, look);
}

static void scene_point(struct sim_node *node, enum sim_point point)
{
    struct scene *scene = node->context;
    struct process_memory *was = process_memory_use(NULL);
    if (proof_wants_image(scene->proof, &scene->random, scene->rate)) {
        image_check(scene, sim_disk_image(node->disk, cut_draw(scene), &scene->random), 1);
    }
    process_memory_use(was);
}

/* -- lives ------------------------------------------------------------------------------------- */

static void actors_start(struct scene *scene)
{
    uint32_t appends = (uint32_t)sim_between(&scene->dice, 10, 80);
    for (uint32_t i = 0; i < scene->lines_count; i++) {
        struct line *line = &scene->lines[i];
        struct actor *actor = &scene->actors[i];
        *actor = (struct actor){.scene = scene, .line = line};
        actor->log = program_log(&scene->program, line->name);
        if (!actor->log) {
            uint32_t core = (uint32_t)sim_below(&scene->dice, scene->program.cores);
            actor->log = program_create(&scene->program, line, core);
        }
        actor->reactor = actor->log->store->reactor;
        actor->left = (uint32_t)sim_below(&scene->dice, appends + 1);
        actor->drops = sim_chance(&scene->dice, 10);
    }
    computer_enter(&scene->computer);
    for (uint32_t i = 0; i < scene->lines_count; i++) {
        actor_pause(&scene->actors[i]);
    }
    computer_leave(&scene->computer);
}

static void actors_gone(struct scene *scene)
{
    for (uint32_t i = 0; i < scene->lines_count; i++) {
        for (uint32_t j = 0; j < OUT_MAX; j++) {
            if (scene->actors[i].slots[j].taken) {
                sim_give(&memory_of_simulators, scene->actors[i].slots[j].copy);
            }
        }
        scene->actors[i] = (struct actor){0};
    }
}

/* From some write or flush on, none succeeds. */
static void disk_fails(struct scene *scene)
{
    enum sim_failing failing = sim_chance(&scene->dice, 50) ? SIM_FAILING_WRITE : SIM_FAILING_FLUSH;
    scene->is_failing = true;
    scene->computer.node->failings[failing].after = sim_between(&scene->dice, 1, 200);
    scene->computer.node->failings[failing].count = UINT64_MAX;
    scene->computer.node->failings[failing].error = -EIO;
}

/* After a cut that really happened: what is found now is what there is. */
static bool ledger_settle(struct scene *scene)
{
    uint32_t found[LINES_MAX];
    if (!lines_check(scene, &scene->program, "next life", found, &scene->dice)) {
        return false;
    }
    for (uint32_t i = 0; i < scene->lines_count; i++) {
        struct line *line = &scene->lines[i];
        const struct log *log = program_log(&scene->program, line->name);
        if (line->state == LINE_DROPPING && !(log && !memcmp(log->topic_id, line->topic_id, 16))) {
            line->state = LINE_DROPPED;
            line_renew(scene, line);
        } else {
            line->state = LINE_LIVE;
            line_settle(line, found[i]);
        }
    }
    return true;
}

/* For a while, or for the rest of the life, no file can be removed. */
static void disk_keeps(struct scene *scene)
{
    scene->is_keeping = true;
    scene->computer.node->failings[SIM_FAILING_REMOVE].after = sim_between(&scene->dice, 1, 4);
    scene->computer.node->failings[SIM_FAILING_REMOVE].count =
        sim_chance(&scene->dice, 50) ? sim_between(&scene->dice, 1, 4) : UINT64_MAX;
    scene->computer.node->failings[SIM_FAILING_REMOVE].error = -EIO;
}

static void disk_is_mended(struct scene *scene)
{
    struct sim_node *node = scene->computer.node;
    memset(node->failings, 0, sizeof node->failings);
    scene->is_failing = scene->is_keeping = false;
}

static bool life_play(struct scene *scene, bool last)
{
    struct computer *computer = &scene->computer;
    uint32_t cores = (uint32_t)sim_between(&scene->dice, 1, 3);
    bool early = sim_chance(&scene->dice, 40); /* the cut comes in the middle */
    uint64_t steps_max = early ? sim_between(&scene->dice, 50, 5000) : LIFE_STEPS_MAX;
    if (!program_start(&scene->program, computer, &scene->shape, cores)) {
        return proof_fail(scene->proof, "start: %s", scene->program.problem);
    }
    if (!ledger_settle(scene)) {
        return false;
    }
    if (sim_chance(&scene->dice, 15)) {
        disk_fails(scene);
    } else if (sim_chance(&scene->dice, 30)) {
        disk_keeps(scene);
    }
    actors_start(scene);
    bool over = sim_run(&computer->sim, life_is_over, scene, steps_max);
    if (scene->proof->failed) {
        return false;
    }
    if (computer->sim.complaint || (!over && !early)) {
        return proof_fail(scene->proof, "a life does not end: %s",
                          computer->sim.complaint ? computer->sim.complaint : "it stands still");
    }
    bool stops = over && !scene->is_failing && sim_chance(&scene->dice, 60);
    if (scene->is_keeping) {
        disk_is_mended(scene);
    }
    if (stops && !program_stop(&scene->program)) {
        return proof_fail(scene->proof, "stop: %s", scene->program.problem);
    }
    if (!last) {
        computer_cut(computer, sim_chance(&scene->dice, 50) ? SIM_CUT_KILL : SIM_CUT_POWER);
        actors_gone(scene);
        disk_is_mended(scene);
    }
    return !scene->proof->failed;
}

static void shape_draw(struct scene *scene, struct sim_random *random)
{
    uint32_t segment_bytes = 4096u << sim_between(random, 0, 6);
    scene->bytes_max = segment_bytes - 512;
    scene->shape = (struct shape){
        .journal_file_bytes = 32768u << sim_between(random, 0, 2),
        .read_bytes = 4096u << sim_between(random, 0, 4),
        .fds_max = (uint32_t)sim_between(random, 3, 16),
        .idle_us = UINT64_C(1000) << sim_below(random, 12),
        .memory_bytes = 64 << 20,
        .settings =
            {
                .segment_bytes = segment_bytes,
                .segment_ms = INT64_MAX,
                .index_interval_bytes = 1u << sim_between(random, 6, 12),
                .index_bytes_max = 1 << 16,
            },
    };
    scene->shape.journal_bytes =
        (uint64_t)scene->shape.journal_file_bytes * sim_between(random, 4, 8);
    scene->shape.step_bytes = 512u << sim_between(random, 0, 9);
    scene->shape.step_items = (uint32_t)sim_between(random, 1, 64);
    scene->lines_count = (uint32_t)sim_between(random, 1, LINES_MAX);
    scene->pause_us_max = 1u << sim_between(random, 4, 14);
    scene->rate = (uint32_t)sim_between(random, 1, 30);
    for (uint32_t i = 0; i < scene->lines_count; i++) {
        line_init(&scene->lines[i], i, scene->incarnations++,
                  sim_chance(random, 70) ? 1000 * (i + 1) : BATCH_NO_PRODUCER_ID,
                  sim_chance(random, 40) ? LINE_PRODUCERS_MAX >> sim_below(random, 3) : 1);
    }
}

static void scene_play(struct proof *proof)
{
    static struct scene scene;
    scene = (struct scene){.proof = proof, .dice = {proof->seed * 104729}};
    shape_draw(&scene, &scene.dice);
    uint32_t lives = (uint32_t)sim_between(&scene.dice, 1, LIVES_MAX);
    computer_open(&scene.computer, proof->seed, NULL, proof->story);
    scene.computer.node->disk->garbles = sim_chance(&scene.dice, 50);
    scene.computer.node->point = scene_point;
    scene.computer.node->context = &scene;
    for (uint32_t life = 0; life < lives && life_play(&scene, life + 1 == lives); life++) {
    }
    proof->trace = scene.computer.sim.trace;
    computer_close(&scene.computer);
    actors_gone(&scene);
    for (uint32_t i = 0; i < scene.lines_count; i++) {
        line_deinit(&scene.lines[i]);
    }
    for (uint32_t i = 0; i < scene.dropped_count; i++) {
        line_deinit(&scene.dropped[i]);
    }
}

int main(int argc, char **argv)
{
    return proof_main(argc, argv, 40, scene_play);
}
