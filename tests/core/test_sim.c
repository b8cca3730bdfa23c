#include "core/sim.h"

#include <criterion/criterion.h>
#include <errno.h>

enum { STEPS_MAX = 1 << 20, BLOCK = SIM_BLOCK_BYTES };

/* A world with one node of a few reactors, and what its program did. */
struct world {
    struct sim sim;
    struct sim_node *node;
    struct reactor reactors[4], *peers[4];
    uint32_t count;
    uint32_t ended; /* ops that came home */
    char order[256];
};

static void world_start(struct world *world, uint32_t count)
{
    world->count = count;
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(reactor_init(&world->reactors[i], i, count, world->peers, 16 << 20, i, NULL),
                     0);
    }
    for (uint32_t i = 0; i < count; i++) {
        sim_attach(&world->reactors[i], world->node);
    }
}

static struct world *world_new(uint64_t seed, uint32_t count)
{
    struct world *world = calloc(1, sizeof *world);
    sim_init(&world->sim, &(struct sim_options){.seed = seed});
    world->node = sim_node_new(&world->sim, sim_disk_new(&(struct sim_memory){0}, 64 << 20));
    world->node->context = world;
    world_start(world, count);
    return world;
}

static void world_stop(struct world *world)
{
    for (uint32_t i = 0; i < world->count; i++) {
        reactor_deinit(&world->reactors[i]);
    }
}

static void world_free(struct world *world)
{
    sim_deinit(&world->sim);
    world_stop(world);
    free(world);
}

struct step { /* an op that counts itself in */
    struct op op;
    struct world *world;
    struct reactor *reactor;
    struct timer timer;
    struct file_io io;
    struct job job;
    int fd;
    char letter;
    bool ended;
    int64_t result;
};

static void step_done(struct step *step, int64_t result)
{
    struct world *world = step->world;
    step->result = result;
    step->ended = true;
    world->order[world->ended++] = step->letter;
}

static bool step_ended(void *context)
{
    return ((struct step *)context)->ended;
}

static void step_wait(struct step *step)
{
    cr_assert(sim_run(&step->world->sim, step_ended, step, STEPS_MAX), "%s",
              step->world->sim.complaint ? step->world->sim.complaint : "it never ended");
}

static void timer_fired(struct op *op)
{
    step_done(container_of(op, struct step, timer.op), op->result);
}

static void io_ended(struct op *op)
{
    step_done(container_of(op, struct step, io.op), op->result);
}

static void op_ended(struct op *op)
{
    step_done(container_of(op, struct step, op), op->result);
}

static void job_ended(struct op *op)
{
    step_done(container_of(op, struct step, job.op), op->result);
}

static struct step step_of(struct world *world, uint32_t core, char letter)
{
    return (struct step){.world = world, .reactor = &world->reactors[core], .letter = letter};
}

Test(sim, jumps_to_when_the_next_timer_is_due)
{
    struct world *world = world_new(1, 1);
    struct step step = step_of(world, 0, 'a');
    timer_start(step.reactor, &step.timer, UINT64_C(3600000000), timer_fired);
    step_wait(&step);
    cr_assert_geq(world->sim.now_us, UINT64_C(3600000000));
    cr_assert_lt(world->sim.steps, 1000);
    cr_assert_not(sim_step(&world->sim) && sim_step(&world->sim) && sim_step(&world->sim));
    world_free(world);
}

/* -- messages ---------------------------------------------------------------------------------- */

static void visit_home(struct op *op)
{
    op_ended(op);
}

static void visit_there(struct op *op)
{
    struct step *step = container_of(op, struct step, op);
    struct world *world = step->world;
    reactor_run(&world->reactors[1], step->reactor, op, visit_home);
}

Test(sim, wakes_who_sleeps_when_mail_comes)
{
    struct world *world = world_new(2, 2);
    while (sim_step(&world->sim)) { /* until both sleep */
    }
    struct step step = step_of(world, 0, 'a'), start = step_of(world, 0, 't');
    reactor_run(step.reactor, &world->reactors[1], &step.op, visit_there);
    timer_start(step.reactor, &start.timer, 1000, timer_fired); /* 0 turns, and sends */
    world->node->cores[0].asleep = false;
    step_wait(&step);
    world_free(world);
}

/* -- files from reactors ----------------------------------------------------------------------- */

static int64_t open_run(struct job *job, struct files *files)
{
    struct step *step = container_of(job, struct step, job);
    step->fd = files_open(files, "/f", FILES_CREATE | FILES_DIRECT);
    if (step->fd >= 0) {
        cr_assert_eq(files_allocate(files, step->fd, 0, 16 * BLOCK), 0);
        cr_assert_eq(files_flush(files, step->fd), 0);
        cr_assert_eq(files_flush_directory(files, "/"), 0);
    }
    return step->fd;
}

static int file_open(struct world *world)
{
    struct step step = step_of(world, 0, 'o');
    step.job.run = open_run;
    reactor_job(step.reactor, &step.job, job_ended);
    step_wait(&step);
    cr_assert_geq(step.result, SIM_FD_FIRST);
    return (int)step.result;
}

static void io_set(struct step *step, int fd, uint8_t *buffer, uint64_t block, bool durable)
{
    step->io.fd = fd;
    step->io.buffer = buffer;
    step->io.bytes = BLOCK;
    step->io.position = block * BLOCK;
    step->io.durable = durable;
}

Test(sim, ends_writes_in_an_order_that_the_seed_draws)
{
    alignas(4096) static uint8_t buffers[8][BLOCK];
    char orders[2][256];
    for (uint64_t seed = 0; seed < 2; seed++) {
        struct world *world = world_new(seed + 100, 1);
        int fd = file_open(world);
        struct step steps[8];
        for (int i = 0; i < 8; i++) {
            steps[i] = step_of(world, 0, (char)('a' + i));
            io_set(&steps[i], fd, buffers[i], (uint64_t)i, false);
            reactor_write(steps[i].reactor, &steps[i].io, io_ended);
        }
        for (int i = 0; i < 8; i++) {
            step_wait(&steps[i]);
            cr_assert_eq(steps[i].result, BLOCK);
        }
        memcpy(orders[seed], world->order, 256);
        world_free(world);
    }
    cr_assert_str_neq(orders[0], orders[1]);
}

Test(sim, lets_the_nth_write_fail)
{
    alignas(4096) static uint8_t buffer[BLOCK];
    struct world *world = world_new(3, 1);
    int fd = file_open(world);
    world->node->failings[SIM_FAILING_WRITE].after = 2;
    world->node->failings[SIM_FAILING_WRITE].count = 1;
    world->node->failings[SIM_FAILING_WRITE].error = -EIO;
    for (int i = 0; i < 3; i++) {
        struct step step = step_of(world, 0, 'w');
        io_set(&step, fd, buffer, 0, true);
        reactor_write(step.reactor, &step.io, io_ended);
        step_wait(&step);
        cr_assert_eq(step.result, i == 1 ? -EIO : BLOCK);
    }
    world_free(world);
}

Test(sim, complains_when_a_buffer_changes_under_a_write)
{
    alignas(4096) static uint8_t buffer[BLOCK];
    struct world *world = world_new(4, 1);
    struct step step = step_of(world, 0, 'w');
    io_set(&step, file_open(world), buffer, 0, true);
    reactor_write(step.reactor, &step.io, io_ended);
    buffer[77]++;
    cr_assert_not(sim_run(&world->sim, step_ended, &step, STEPS_MAX));
    cr_assert_not_null(world->sim.complaint);
    world_free(world);
}

/* -- cuts -------------------------------------------------------------------------------------- */

/* A file that is opened, after a cut, by a new process; a step that reads its first block. */
static void read_back(struct world *world, uint8_t *buffer)
{
    struct step open = step_of(world, 0, 'o'), read = step_of(world, 0, 'r');
    open.job.run = open_run;
    reactor_job(open.reactor, &open.job, job_ended);
    step_wait(&open);
    io_set(&read, (int)open.result, buffer, 0, false);
    reactor_read(read.reactor, &read.io, io_ended);
    step_wait(&read);
    cr_assert_eq(read.result, BLOCK);
}

Test(sim, keeps_a_durable_write_over_a_power_cut_and_tears_one_in_flight)
{
    alignas(4096) static uint8_t first[BLOCK], second[BLOCK], found[BLOCK];
    memset(first, 1, BLOCK);
    memset(second, 2, BLOCK);
    uint32_t torn = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct world *world = world_new(seed, 1);
        int fd = file_open(world);
        struct step one = step_of(world, 0, 'a'), two = step_of(world, 0, 'b');
        io_set(&one, fd, first, 0, true);
        reactor_write(one.reactor, &one.io, io_ended);
        step_wait(&one);
        io_set(&two, fd, second, 0, true);
        reactor_write(two.reactor, &two.io, io_ended); /* and is never told */
        sim_node_cut(world->node, SIM_CUT_POWER);
        world_stop(world);
        world_start(world, 1);
        read_back(world, found);
        for (int i = 0; i < BLOCK; i++) {
            cr_assert(found[i] == 1 || found[i] == 2);
            torn += i > 0 && found[i] != found[i - 1];
        }
        cr_assert_not(two.ended);
        world_free(world);
    }
    cr_assert_gt(torn, 10);
}

/* -- jobs -------------------------------------------------------------------------------------- */

static int64_t letters_run(struct job *job, struct files *files)
{
    struct step *step = container_of(job, struct step, job);
    char path[] = {'/', step->letter, '\0'};
    int fd = files_open(files, path, FILES_CREATE);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(files_write(files, fd, &step->letter, 1, (uint64_t)i), 1);
        step->world->order[step->world->ended++] = step->letter;
    }
    struct files_entry *entries;
    int64_t count = files_list(files, "/", &entries);
    cr_assert_geq(count, 1);
    free(entries);
    char read[8];
    cr_assert_eq(files_read(files, fd, read, sizeof read, 0), 5);
    int64_t bytes = files_bytes(files, fd);
    files_close(files, fd);
    return bytes;
}

Test(sim, interleaves_jobs_of_different_cores_at_their_calls)
{
    struct world *world = world_new(5, 2);
    struct step a = step_of(world, 0, 'a'), b = step_of(world, 1, 'b'), c = step_of(world, 0, 'c');
    a.job.run = b.job.run = c.job.run = letters_run;
    reactor_job(a.reactor, &a.job, job_ended);
    reactor_job(b.reactor, &b.job, job_ended);
    reactor_job(c.reactor, &c.job, job_ended);
    step_wait(&a);
    step_wait(&b);
    step_wait(&c);
    cr_assert_eq(a.result, 5);
    const char *order = world->order;
    cr_assert_lt(strchr(order, 'b'), strrchr(order, 'a'));
    cr_assert_lt(strchr(order, 'a'), strrchr(order, 'b'));
    cr_assert_lt(strrchr(order, 'a') - 1, strchr(order, 'c')); /* the last is told, not done */
    world_free(world);
}

Test(sim, drops_a_job_in_the_middle_at_a_kill_and_keeps_what_it_did)
{
    struct world *world = world_new(6, 1);
    struct step step = step_of(world, 0, 'a');
    step.job.run = letters_run;
    reactor_job(step.reactor, &step.job, job_ended);
    while (world->ended < 3) {
        cr_assert(sim_step(&world->sim));
    }
    sim_node_cut(world->node, SIM_CUT_KILL);
    world_stop(world);
    struct sim_inode *inode;
    cr_assert_eq(sim_disk_find(world->node->disk, "/a", &inode), 0);
    cr_assert(inode->current.bytes == 3 || inode->current.bytes == 4);
    world_start(world, 1);
    struct step again = step_of(world, 0, 'a');
    again.job.run = letters_run;
    reactor_job(again.reactor, &again.job, job_ended);
    step_wait(&again);
    cr_assert_eq(again.result, 5);
    world_free(world);
}

static int64_t lock_run(struct job *job, struct files *files)
{
    int fd = files_open(files, "/lock", FILES_CREATE);
    int first = files_lock(files, fd);
    int other = files_open(files, "/lock", 0);
    int second = files_lock(files, other);
    files_close(files, fd);
    int third = files_lock(files, other);
    return first == 0 && second == -EAGAIN && third == 0;
}

Test(sim, locks_a_file_for_one)
{
    struct world *world = world_new(7, 1);
    struct step step = step_of(world, 0, 'l');
    step.job.run = lock_run;
    reactor_job(step.reactor, &step.job, job_ended);
    step_wait(&step);
    cr_assert_eq(step.result, 1);
    world_free(world);
}

/* -- one seed, one story ----------------------------------------------------------------------- */

static void point_images(struct sim_node *node, enum sim_point point)
{
    struct world *world = node->context;
    struct sim_random random = {node->points};
    struct sim_disk *image = sim_disk_image(node->disk, SIM_CUT_POWER, &random);
    sim_disk_free(image);
    cr_assert_lt(point, 5);
    cr_assert_leq(world->ended, 256);
}

/* Jobs, writes, messages and timers on four cores. */
static uint64_t story(uint64_t seed, bool with_images, uint64_t *points)
{
    alignas(4096) static uint8_t buffers[4][BLOCK];
    struct world *world = world_new(seed, 4);
    world->node->point = with_images ? point_images : NULL;
    struct step jobs[4], writes[4], visits[4], timers[4];
    for (uint32_t i = 0; i < 4; i++) {
        jobs[i] = step_of(world, i, (char)('a' + i));
        jobs[i].job.run = letters_run;
        reactor_job(jobs[i].reactor, &jobs[i].job, job_ended);
        visits[i] = step_of(world, i, 'v');
        reactor_run(visits[i].reactor, &world->reactors[1], &visits[i].op, visit_there);
        timers[i] = step_of(world, i, 't');
        timer_start(timers[i].reactor, &timers[i].timer, 5000, timer_fired);
    }
    int fd = file_open(world);
    for (uint32_t i = 0; i < 4; i++) {
        memset(buffers[i], (int)reactor_random(&world->reactors[i]) & 255, BLOCK);
        writes[i] = step_of(world, i, 'w');
        io_set(&writes[i], fd, buffers[i], i, i % 2);
        reactor_write(writes[i].reactor, &writes[i].io, io_ended);
    }
    for (uint32_t i = 0; i < 4; i++) {
        step_wait(&jobs[i]);
        step_wait(&writes[i]);
        step_wait(&visits[i]);
        step_wait(&timers[i]);
    }
    uint64_t trace = world->sim.trace;
    *points = world->node->points;
    world_free(world);
    return trace;
}

Test(sim, tells_the_same_story_of_the_same_seed)
{
    uint64_t points[2];
    for (uint64_t seed = 1; seed <= 10; seed++) {
        uint64_t trace = story(seed, false, &points[0]);
        cr_assert_eq(trace, story(seed, false, &points[1]));
        cr_assert_eq(trace, story(seed, true, &points[1])); /* images disturb nothing */
        cr_assert_eq(points[0], points[1]);
        cr_assert_gt(points[0], 40);
        cr_assert_neq(trace, story(seed + 1, false, &points[1]));
    }
}
