#include "tests/sim/proof.h"

#include <stdarg.h>
#include <time.h>

enum { WAIT_STEPS_MAX = 1 << 19 };

/* -- the computer ------------------------------------------------------------------------------ */

static void inside_changed(void *context, struct sim_node *node, bool inside)
{
    struct computer *computer = context;
    if (inside) {
        computer->outside = process_memory_use(computer->memory);
    } else {
        process_memory_use(computer->outside);
    }
}

void computer_open(struct computer *computer, uint64_t seed, struct sim_disk *disk, FILE *story)
{
    *computer = (struct computer){0};
    sim_init(&computer->sim, &(struct sim_options){.seed = seed,
                                                   .memory = memory_of_simulators,
                                                   .story = story,
                                                   .inside = inside_changed,
                                                   .context = computer});
    if (!disk) {
        disk = sim_disk_new(&memory_of_simulators, COMPUTER_DISK_BYTES);
        int error = sim_disk_make_directory(disk, "/data");
        assert(!error);
        sim_disk_flush_all(disk, disk->count);
    }
    computer->node = sim_node_new(&computer->sim, disk);
    computer->node->context = computer;
}

void computer_start(struct computer *computer, uint32_t cores, uint64_t memory_bytes)
{
    assert(!computer->memory && cores <= COMPUTER_CORES_MAX);
    computer->memory = process_memory_new();
    computer->cores = cores;
    for (uint32_t i = 0; i < cores; i++) {
        int error = reactor_init(&computer->reactors[i], i, cores, computer->peers, memory_bytes,
                                 sim_draw(&computer->sim.random), NULL);
        assert(!error);
    }
    for (uint32_t i = 0; i < cores; i++) {
        sim_attach(&computer->reactors[i], computer->node);
    }
}

void computer_enter(struct computer *computer)
{
    for (uint32_t i = 0; i < computer->cores; i++) {
        computer->node->cores[i].asleep = false; /* there will be something to do */
    }
    inside_changed(computer, computer->node, true);
}

void computer_leave(struct computer *computer)
{
    inside_changed(computer, computer->node, false);
}

static const char arrived[] = "nothing more";

static void op_arrived(struct op *op)
{
    op->waits_for = arrived; /* it is ours again */
}

static bool op_has_arrived(void *context)
{
    return ((struct op *)context)->waits_for == arrived;
}

op_fn *const computer_then = op_arrived;

bool computer_wait(struct computer *computer, struct op *op)
{
    computer_leave(computer);
    bool arrived = sim_run(&computer->sim, op_has_arrived, op, WAIT_STEPS_MAX);
    computer_enter(computer);
    return arrived;
}

static void process_gone(struct computer *computer)
{
    for (uint32_t i = 0; i < computer->cores; i++) {
        reactor_deinit(&computer->reactors[i]);
    }
    if (computer->memory) {
        process_memory_drop(computer->memory);
    }
    computer->memory = NULL;
    computer->cores = 0;
}

void computer_cut(struct computer *computer, enum sim_cut cut)
{
    sim_node_cut(computer->node, cut);
    process_gone(computer);
}

void computer_close(struct computer *computer)
{
    sim_deinit(&computer->sim);
    process_gone(computer);
}

/* -- the run ----------------------------------------------------------------------------------- */

bool proof_wants_image(struct proof *proof, struct sim_random *random, uint32_t rate)
{
    proof->points += proof->images_max > 0;
    if (proof->failed || proof->image >= proof->images_max ||
        sim_below(&proof->random, rate) != 0) {
        return false;
    }
    proof->image++;
    proof->images++;
    random->state = sim_mix(proof->seed) + proof->image;
    return proof->only_image == UINT64_MAX || proof->image == proof->only_image;
}

bool proof_fail(struct proof *proof, const char *format, ...)
{
    if (!proof->failed) {
        va_list arguments;
        printf("seed %lu, image %lu: ", (unsigned long)proof->seed, (unsigned long)proof->image);
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
        printf("\n    %s --seed %lu --image %lu --story\n", proof->program,
               (unsigned long)proof->seed, (unsigned long)proof->image);
        fflush(stdout);
    }
    proof->failed = true;
    return false;
}

static void scene_play_twice(struct proof *proof, void (*scene)(struct proof *proof))
{
    uint64_t images_max = proof->images_max;
    proof->image = 0;
    proof->random.state = proof->seed;
    scene(proof);
    uint64_t trace = proof->trace;
    if (!proof->failed) {
        proof->images_max = 0;
        scene(proof);
        proof->images_max = images_max;
        if (!proof->failed && proof->trace != trace) {
            proof_fail(proof, "the same seed twice, and two stories");
        }
    }
}

int proof_main(int argc, char **argv, uint64_t seeds, void (*scene)(struct proof *proof))
{
    struct proof proof = {.program = argv[0], .images_max = 150, .only_image = UINT64_MAX};
    uint64_t first = 1;
    bool until_failure = false;
    for (int i = 1; i < argc; i++) {
        uint64_t number = i + 1 < argc ? strtoull(argv[i + 1], NULL, 10) : 0;
        if (!strcmp(argv[i], "--story")) {
            proof.story = stderr;
            continue;
        } else if (!strcmp(argv[i], "--until-failure")) {
            until_failure = true;
            continue;
        } else if (!strcmp(argv[i], "--seeds")) {
            seeds = number;
        } else if (!strcmp(argv[i], "--first")) {
            first = number;
        } else if (!strcmp(argv[i], "--seed")) {
            first = number;
            seeds = 1;
        } else if (!strcmp(argv[i], "--images")) {
            proof.images_max = number;
        } else if (!strcmp(argv[i], "--image")) {
            proof.only_image = number;
        } else {
            fprintf(stderr,
                    "%s: --seeds N, --first N, --seed N, --images N, --image N, --story, "
                    "--until-failure\n",
                    argv[0]);
            return 2;
        }
        i++;
    }
    for (uint64_t seed = first; seed < first + seeds && !(until_failure && proof.scenes_failed > 0);
         seed++) {
        proof.seed = seed;
        proof.failed = false;
        scene_play_twice(&proof, scene);
        proof.scenes++;
        proof.scenes_failed += proof.failed;
    }
    printf("seeds %lu to %lu, %lu points, %lu crash images\n", (unsigned long)first,
           (unsigned long)(first + seeds - 1), (unsigned long)proof.points,
           (unsigned long)proof.images);
    printf("%lu passed, %lu failed, 0 skipped\n",
           (unsigned long)(proof.scenes - proof.scenes_failed), (unsigned long)proof.scenes_failed);
    return proof.scenes_failed > 0;
}
