/*
 * proof -- what the crash proofs have in common: a computer to cut, and the count of what was seen.
 *
 *      program [--seeds N] [--first SEED] [--images N] [--until-failure]     a run
 *      program --seed SEED [--image N] [--story]           exactly one of them again
 *
 * A scene (one seed) is a workload on a simulated computer. At points where a cut could make a
 * difference an image of its disk is taken, and looked at on another computer, while the workload
 * stands still. What is found wrong there is printed with the command that shows it again. Then the
 * scene is played a second time, without images: if that is another story, something in it depends
 * on what no seed decides.
 */
#ifndef TESTS_SIM_PROOF_H
#define TESTS_SIM_PROOF_H

#include "core/sim.h"
#include "tests/sim/process_memory.h"

enum { COMPUTER_CORES_MAX = 4, COMPUTER_DISK_BYTES = 256 << 20 };

/* A simulated world with one node in it, and the process that runs there. */
struct computer {
    struct sim sim;
    struct sim_node *node;
    uint32_t cores;
    struct reactor reactors[COMPUTER_CORES_MAX], *peers[COMPUTER_CORES_MAX];
    struct process_memory *memory, *outside;
};

/* disk: the computer's from now on; NULL: an empty one with a directory "/data". */
void computer_open(struct computer *computer, uint64_t seed, struct sim_disk *disk, FILE *story);
void computer_start(struct computer *computer, uint32_t cores, uint64_t memory_bytes);
/* Between computer_enter and computer_leave the caller acts as the process. */
void computer_enter(struct computer *computer);
void computer_leave(struct computer *computer);
/* For who acts as the process: begin something with `computer_then` and an op that was cleared,
 * and wait for it in a straight line. False: it never ended, or the simulator has a complaint. */
extern op_fn *const computer_then;
bool computer_wait(struct computer *computer, struct op *op);
void computer_cut(struct computer *computer, enum sim_cut cut); /* and the process is gone */
void computer_close(struct computer *computer);

struct proof {
    const char *program;
    uint64_t seed;  /* of this scene */
    uint64_t image; /* of this scene, now */
    uint64_t images_max;
    uint64_t only_image;      /* UINT64_MAX: all */
    struct sim_random random; /* at which points */
    FILE *story;
    bool failed;    /* this scene */
    uint64_t trace; /* out: what the scene's world came to */

    /* of the whole run */
    uint64_t scenes, scenes_failed, points, images;
};

/* Is it the turn of an image? rate: of so many points one is looked at. `random` starts anew for
 * each image, so that one of them can be looked at alone. */
bool proof_wants_image(struct proof *proof, struct sim_random *random, uint32_t rate);
/* Something is wrong in the present scene. Always false. */
bool proof_fail(struct proof *proof, const char *format, ...) __attribute__((format(printf, 2, 3)));
int proof_main(int argc, char **argv, uint64_t seeds, void (*scene)(struct proof *proof));

#endif
