/*
 * program -- the store as a process of a simulated computer: started, read and stopped in a
 * straight line.
 *
 * Each function acts as the process; none returns before the world has played what it takes.
 */
#ifndef TESTS_SIM_PROGRAM_H
#define TESTS_SIM_PROGRAM_H

#include "log/recovery.h"
#include "log/store.h"
#include "tests/sim/ledger.h"
#include "tests/sim/proof.h"

struct shape { /* what a scene drew for its stores */
    uint32_t journal_file_bytes;
    uint32_t step_bytes, step_items; /* of one step: small ones yield in the middle of everything */
    uint64_t journal_bytes;          /* of a core */
    uint32_t read_bytes;
    uint32_t fds_max;
    uint64_t idle_us;
    uint64_t memory_bytes; /* of a core */
    struct log_settings settings;
};

struct program {
    struct computer *computer;
    const struct shape *shape;
    struct recovery recovery;
    struct store stores[COMPUTER_CORES_MAX];
    uint32_t cores;
    bool open;
    int failures; /* of stores that told of one */
    char problem[640];
};

/* Recovery, stores, the end of recovery. False: see problem. */
bool program_start(struct program *program, struct computer *computer, const struct shape *shape,
                   uint32_t cores);
/* A clean stop. */
bool program_stop(struct program *program);
/* The computer was cut, or is about to be closed. */
void program_forget(struct program *program);

struct log *program_log(struct program *program, const char *name); /* or NULL */
struct log *program_create(struct program *program, const struct line *line, uint32_t core);

/* All batches from the log's start to its end, in the simulator's memory. NULL: see problem. */
uint8_t *program_read(struct program *program, struct log *log, size_t *count);
/* One append. op.result as log_append says; -ETIME: it never ended. */
void program_append(struct program *program, struct log *log, const struct sent *sent,
                    struct log_append *append);
/* The offset of the first record with that timestamp or a later one; -2: see problem. */
int64_t program_look_up(struct program *program, struct log *log, int64_t timestamp);

#endif
