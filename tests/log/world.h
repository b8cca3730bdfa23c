/*
 * world -- one simulated reactor and its disk, for tests of the store's parts: "/data" is there.
 */
#ifndef TESTS_LOG_WORLD_H
#define TESTS_LOG_WORLD_H

#include "core/sim.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORLD_STEPS_MAX = 1 << 22, WORLD_DISK_BYTES = 256 << 20 };

struct world {
    struct sim sim;
    struct sim_node *node;
    struct reactor *reactor, *peers[1];
};

static inline void world_start(struct world *world)
{
    world->reactor = calloc(1, sizeof(*world->reactor));
    cr_assert_eq(reactor_init(world->reactor, 0, 1, world->peers, 512 << 20, 1, NULL), 0);
    sim_attach(world->reactor, world->node);
}

static inline void world_open(struct world *world, uint64_t seed)
{
    *world = (struct world){0};
    sim_init(&world->sim, &(struct sim_options){.seed = seed});
    struct sim_disk *disk = sim_disk_new(&(struct sim_memory){0}, WORLD_DISK_BYTES);
    cr_assert_eq(sim_disk_make_directory(disk, "/data"), 0);
    sim_disk_flush_all(disk, disk->count);
    world->node = sim_node_new(&world->sim, disk);
    world_start(world);
}

static inline void world_close(struct world *world)
{
    cr_assert_null(world->sim.complaint, "%s", world->sim.complaint);
    sim_deinit(&world->sim);
    reactor_deinit(world->reactor);
    free(world->reactor);
}

/* The process dies, or the power fails, and a new process starts on what is left. */
static inline void world_cut(struct world *world, enum sim_cut cut)
{
    sim_node_cut(world->node, cut);
    reactor_deinit(world->reactor);
    free(world->reactor);
    world_start(world);
}

static inline bool world_flag(void *context)
{
    return *(bool *)context;
}

static inline void world_wait(struct world *world, bool *ended)
{
    cr_assert(sim_run(&world->sim, world_flag, ended, WORLD_STEPS_MAX), "%s",
              world->sim.complaint ? world->sim.complaint : "it never ended");
}

/* -- an op to wait for -------------------------------------------------------------------------- */

struct awaited {
    struct op op;
    bool ended;
};

static inline void awaited_ended(struct op *op)
{
    container_of(op, struct awaited, op)->ended = true;
}

static inline int64_t await(struct world *world, struct awaited *awaited)
{
    world_wait(world, &awaited->ended);
    awaited->ended = false;
    return awaited->op.result;
}

/* -- a job written as a function ----------------------------------------------------------------- */

struct errand {
    struct job job;
    int64_t (*run)(struct files *files, void *context);
    void *context;
    bool ended;
};

static inline int64_t errand_run(struct job *job, struct files *files)
{
    struct errand *errand = container_of(job, struct errand, job);
    return errand->run(files, errand->context);
}

static inline void errand_ended(struct op *op)
{
    container_of(op, struct errand, job.op)->ended = true;
}

static inline int64_t world_run(struct world *world,
                                int64_t (*run)(struct files *files, void *context), void *context)
{
    struct errand errand = {.job.run = errand_run, .run = run, .context = context};
    reactor_job(world->reactor, &errand.job, errand_ended);
    world_wait(world, &errand.ended);
    return errand.job.op.result;
}

static inline int64_t errand_nothing(struct files *files, void *context)
{
    return 0;
}

/* A sleeping reactor does not notice what a test began on it from outside: have it turn. */
static inline void world_nudge(struct world *world)
{
    world_run(world, errand_nothing, NULL);
}

/* -- whole files --------------------------------------------------------------------------------- */

struct whole_file {
    const char *path;
    const void *bytes;
    size_t count;
    char *text;
};

static inline int64_t whole_file_write(struct files *files, void *context)
{
    const struct whole_file *file = context;
    int fd = files_open(files, file->path, FILES_CREATE | FILES_TRUNCATE);
    if (fd < 0) {
        return fd;
    }
    int64_t result = files_write(files, fd, file->bytes, file->count, 0);
    files_close(files, fd);
    return result;
}

static inline int64_t whole_file_read(struct files *files, void *context)
{
    struct whole_file *file = context;
    return files_read_whole(files, file->path, 64 << 20, &file->text);
}

static inline void world_write(struct world *world, const char *path, const void *bytes,
                               size_t count)
{
    struct whole_file file = {.path = path, .bytes = bytes, .count = count};
    cr_assert_eq(world_run(world, whole_file_write, &file), (int64_t)count, "%s", path);
}

/* Bytes, or -errno; *text is malloc'd. */
static inline int64_t world_read(struct world *world, const char *path, char **text)
{
    struct whole_file file = {.path = path};
    int64_t result = world_run(world, whole_file_read, &file);
    *text = file.text;
    return result;
}

#endif
