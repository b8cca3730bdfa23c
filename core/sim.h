/*
 * sim -- a world played in one thread from one seed: clock, chance, disks and the network.
 *
 *      reactor.h -> backend --+                       +-- sim_disk      content, names, cuts
 *      files.h   -> jobs -----+-- sim: events by time-+-- sim_files     jobs, each on its stack
 *      clients of a test -----+                       +-- sim_network   streams of bytes, cut anywhere
 *
 * The second backend behind reactor.h. A world has computers (nodes); a node has a disk and the
 * reactors of one process. A step of the world does one thing: an operation ends, a job makes its
 * next call, bytes arrive, or one reactor turns. Which comes next, and how long each takes, is
 * drawn. If nothing can happen now, the clock jumps to when something can.
 *
 * Everything that happens is folded into a trace hash: two runs of a seed have the same one, or
 * something in the program depends on what no seed decides.
 *
 * A node can lose its power or its process at any step. The world forgets its reactors, jobs and
 * files at once, without running a line of theirs; the disk becomes what survived, and a new
 * process can be started on it. At each point where a cut could make a difference the test is
 * called, and can take an image of the disk without stopping the world.
 */
#ifndef CORE_SIM_H
#define CORE_SIM_H

#include "core/reactor.h"
#include "core/sim_disk.h"
#include "core/sim_network.h"

#include <stdio.h>

struct sim;
struct sim_node;

enum { SIM_CORES_MAX = 16, SIM_FD_FIRST = 100 };

/* Where the state of a disk, or what is known of it, is about to change or has just changed. */
enum sim_point {
    SIM_POINT_BEGIN, /* a write or flush was handed over */
    SIM_POINT_END,   /* it has ended, and the program does not know yet */
    SIM_POINT_TOLD,  /* ... and is about to be told */
    SIM_POINT_CALL,  /* a job is about to do something to the file system */
    SIM_POINT_SEND,  /* bytes were handed to the network */
};

struct sim_options {
    uint64_t seed;
    struct sim_memory memory;
    FILE *story; /* every event in words; NULL: none */
    /* Called around each stretch of a node's own code; may be NULL. */
    void (*inside)(void *context, struct sim_node *node, bool inside);
    void *context;
};

struct sim_event { /* embedded in what happens later */
    uint64_t at_us;
    uint64_t order; /* among events of one time: drawn */
    uint32_t place; /* in the heap, from 1; 0: not waiting */
    void (*fire)(struct sim *sim, struct sim_event *event);
};

enum sim_failing { /* which operations to let fail */
                   SIM_FAILING_READ,
                   SIM_FAILING_WRITE,
                   SIM_FAILING_FLUSH,
                   SIM_FAILING_REMOVE, /* of files and directories */
                   SIM_FAILINGS
};

struct sim_core { /* a reactor, as the world sees it */
    struct sim_node *node;
    struct reactor *reactor;
    struct sim_io *ended, **ended_tail; /* for its next turn */
    struct op_queue jobs;               /* waiting for the one that runs */
    struct sim_job *job;
    bool asleep;
    uint64_t wake_us;  /* if it is asleep, and nothing ends before */
    uint64_t stall_us; /* the kernel runs something else until then */
};

struct sim_fd {
    enum { SIM_FD_FREE, SIM_FD_FILE, SIM_FD_LISTENER, SIM_FD_CONNECTION } kind;
    int flags;
    bool locks;       /* the lock on its inode is this one's */
    uint32_t pending; /* operations on it */
    struct sim_inode *inode;
    struct sim_listener *listener;
    struct sim_connection *connection;
};

struct sim_node {
    struct sim *sim;
    struct sim_disk *disk;
    /* What a test wants to see; may be NULL. On the thread's own stack, between two steps of the
     * disk; it may make images and run other worlds, and touch nothing of this one. */
    void (*point)(struct sim_node *node, enum sim_point point);
    void *context;
    uint64_t points; /* how many so far */
    struct {
        uint64_t after;               /* this many succeed, the next ones fail; 0: none fails */
        uint64_t count;               /* how many fail then; UINT64_MAX: all */
        int error;                    /* -EIO */
        const struct sim_inode *only; /* of this file; NULL: of any */
    } failings[SIM_FAILINGS];
    uint32_t fds_max;

    /* sim*.c only */
    struct sim_node *next;
    struct sim_core cores[SIM_CORES_MAX];
    uint32_t cores_count;
    struct sim_fd *fds;
    uint32_t fds_capacity;
    struct sim_io *ios; /* in flight */
    struct sim_listener *listeners;
    uint16_t next_port;
};

struct sim {
    struct sim_options options;
    uint64_t now_us;
    int64_t wall_ms; /* at now_us == 0; a test may move it */
    struct sim_random random;
    uint64_t trace; /* the hash of all that happened */
    uint64_t steps;
    const char *complaint; /* the program did what no program may; the first such thing */

    /* sim*.c only */
    struct sim_node *nodes;
    struct sim_event **events; /* a heap, from index 1 */
    uint32_t events_count, events_capacity;
    struct sim_connection *connections;
    void *stacks;           /* idle ones, of jobs */
    uint32_t stall_percent; /* how often a core stands still for a while */
    uint64_t latency_us;    /* of the disk, typical */
};

void sim_init(struct sim *sim, const struct sim_options *options);
void sim_deinit(struct sim *sim);

/* A computer with that disk (the node's from now on). */
struct sim_node *sim_node_new(struct sim *sim, struct sim_disk *disk);
/* The reactors of a node's process, each after reactor_init. */
void sim_attach(struct reactor *reactor, struct sim_node *node);

/* The process, or the whole computer, is gone; connections break, in a while. Nobody may touch the
 * reactors any more but by reactor_deinit. A step of this node must not be under way. */
void sim_node_cut(struct sim_node *node, enum sim_cut cut);

/* One step. False: nothing will ever happen any more by itself. */
bool sim_step(struct sim *sim);
/* Until done(context), which is looked at after each step. False: it did not come to that within
 * so many steps, or the world stood still, or sim->complaint is set. */
bool sim_run(struct sim *sim, bool (*done)(void *context), void *context, uint64_t steps_max);

/* For a test's own actors. `event->fire` runs in so many microseconds. */
void sim_event_start(struct sim *sim, struct sim_event *event, uint64_t delay_us,
                     void (*fire)(struct sim *sim, struct sim_event *event));
void sim_event_cancel(struct sim *sim, struct sim_event *event);

/* -- sim*.c only ------------------------------------------------------------------------------- */

enum sim_io_kind { SIM_IO_READ, SIM_IO_WRITE, SIM_IO_FLUSH, SIM_IO_JOB, SIM_IO_NETWORK };

struct sim_io { /* an operation on its way, then waiting to be told */
    struct sim_event event;
    struct sim_io *next, **link; /* of the node's, or the core's ended */
    struct sim_core *core;
    enum sim_io_kind kind;
    int fd;
    struct op *op;
    int64_t result;
    struct sim_inode *inode; /* held while on its way */
    struct sim_change *change;
    uint64_t begin;         /* of a flush: the disk's count */
    uint8_t *hot;           /* a receive's own buffer */
    struct sim_io *waiting; /* the next accept of a listener */
};

struct sim_io *sim_io_new(struct sim_core *core, enum sim_io_kind kind, int fd, struct op *op);
void sim_io_end(struct sim_io *io, int64_t result); /* to be told at the next turn */
int sim_fd_new(struct sim_node *node, struct sim_fd **fd);
/* NULL, and a complaint, if it is none of that kind. */
struct sim_fd *sim_fd_of(struct sim_node *node, int fd, int kind);
void sim_fd_close(struct sim_node *node, int fd);
/* Does the next one fail? Asked once for each. */
bool sim_fails(struct sim_node *node, enum sim_failing failing, const struct sim_inode *inode);
void sim_say(struct sim *sim, const char *what, uint64_t a, uint64_t b, uint64_t c);
void sim_complain(struct sim *sim, const char *complaint);
void sim_at(struct sim_node *node, enum sim_point point);
void sim_inside(struct sim_node *node, bool inside);
uint64_t sim_disk_latency(struct sim *sim);

void sim_job_start(struct sim_core *core); /* the next one, if none runs */
void sim_job_drop(struct sim_core *core);
void sim_stacks_free(struct sim *sim);

#endif
