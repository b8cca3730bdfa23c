#include "core/sim.h"

#include <errno.h>

enum {
    TURN_US_MAX = 8,      /* what a turn of a reactor takes, at most */
    STALL_US_MAX = 20000, /* a core that the kernel takes away */
    STORY_BYTES = 8,
};

static const struct backend backend; /* its rows stand below */

/* -- events: a heap by time ---------------------------------------------------------------------- */

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void event_place(struct sim *sim, struct sim_event *event, uint32_t place)
{
    sim->events[place] = event;
    event->place = place;
}

/* Up or down from `place`, to where it belongs. */
static void event_sift(struct sim *sim, struct sim_event *event, uint32_t place)
{
    while (place > 1 && event_before(event, sim->events[place / 2])) {
        event_place(sim, sim->events[place / 2], place);
        place /= 2;
    }
    for (uint32_t child; (child = place * 2) <= sim->events_count; place = child) {
        if (child < sim->events_count && event_before(sim->events[child + 1], sim->events[child])) {
            child++;
        }
        if (!event_before(sim->events[child], event)) {
            break;
        }
        event_place(sim, sim->events[child], place);
    }
    event_place(sim, event, place);
}

void sim_event_start(struct sim *sim, struct sim_event *event, uint64_t delay_us,
                     void (*fire)(struct sim *sim, struct sim_event *event))
{
    sim_event_cancel(sim, event);
    event->at_us = sim->now_us + delay_us;
    event->order = sim_draw(&sim->random);
    event->fire = fire;
    sim->events = sim_room(&sim->options.memory, sim->events, &sim->events_capacity,
                           sim->events_count + 2, sizeof(struct sim_event *));
    sim->events_count++;
    event_sift(sim, event, sim->events_count);
}

void sim_event_cancel(struct sim *sim, struct sim_event *event)
{
    uint32_t place = event->place;
    if (!place) {
        return;
    }
    event->place = 0;
    struct sim_event *last = sim->events[sim->events_count--];
    if (last != event) {
        event_sift(sim, last, place);
    }
}

/* -- worlds and nodes -------------------------------------------------------------------------- */

static void node_stop(struct sim_node *node);

void sim_init(struct sim *sim, const struct sim_options *options)
{
    *sim = (struct sim){.options = *options};
    sim->random.state = options->seed;
    sim->wall_ms = INT64_C(1790000000000); /* some day in 2026 */
    sim->stall_percent = sim_chance(&sim->random, 50) ? 0 : 1;
    sim->latency_us = UINT64_C(1) << sim_below(&sim->random, 10);
}

void sim_deinit(struct sim *sim)
{
    for (struct sim_node *node = sim->nodes, *next; node; node = next) {
        next = node->next;
        node_stop(node);
        sim_disk_free(node->disk);
        if (node->fds) {
            sim_give(&sim->options.memory, node->fds);
        }
        sim_give(&sim->options.memory, node);
    }
    sim_network_free(sim);
    sim_stacks_free(sim);
    if (sim->events) {
        sim_give(&sim->options.memory, sim->events);
    }
}

struct sim_node *sim_node_new(struct sim *sim, struct sim_disk *disk)
{
    struct sim_node *node = sim_take(&sim->options.memory, sizeof *node);
    node->sim = sim;
    node->disk = disk;
    node->fds_max = 1024;
    node->next_port = 40000;
    node->next = sim->nodes;
    sim->nodes = node;
    return node;
}

void sim_attach(struct reactor *reactor, struct sim_node *node)
{
    assert(reactor->index < SIM_CORES_MAX);
    struct sim_core *core = &node->cores[reactor->index];
    assert(!core->reactor);
    *core = (struct sim_core){.node = node, .reactor = reactor, .ended_tail = &core->ended};
    if (node->cores_count <= reactor->index) {
        node->cores_count = reactor->index + 1;
    }
    reactor_attach(reactor, &backend, core);
}

static void io_free(struct sim *sim, struct sim_io *io)
{
    if (io->hot) { /* who still looks at it is found by the address sanitizer */
        sim_give(&sim->options.memory, io->hot);
    }
    sim_give(&sim->options.memory, io);
}

/* The process is no more. */
static void node_stop(struct sim_node *node)
{
    struct sim *sim = node->sim;
    sim_network_cut(node);
    for (uint32_t i = 0; i < node->cores_count; i++) {
        struct sim_core *core = &node->cores[i];
        sim_job_drop(core);
        for (struct sim_io *io; (io = core->ended);) {
            core->ended = io->next;
            io_free(sim, io);
        }
        *core = (struct sim_core){0};
    }
    node->cores_count = 0;
    for (struct sim_io *io; (io = node->ios);) {
        node->ios = io->next;
        sim_event_cancel(sim, &io->event);
        io_free(sim, io);
    }
    for (uint32_t i = 0; i < node->fds_capacity; i++) {
        node->fds[i] = (struct sim_fd){0};
    }
}

void sim_node_cut(struct sim_node *node, enum sim_cut cut)
{
    struct sim *sim = node->sim;
    sim_say(sim, "cut", cut, node->points, 0);
    node_stop(node);
    struct sim_disk *image = sim_disk_image(node->disk, cut, &sim->random);
    sim_disk_free(node->disk);
    node->disk = image;
}

/* -- steps ------------------------------------------------------------------------------------- */

/* When the core could turn next; UINT64_MAX: not by itself. */
static uint64_t core_due_us(const struct sim_core *core)
{
    uint64_t due_us = core->asleep && !core->ended ? core->wake_us : 0;
    return core->reactor ? (due_us > core->stall_us ? due_us : core->stall_us) : UINT64_MAX;
}

static void core_turn(struct sim_core *core)
{
    struct sim *sim = core->node->sim;
    struct sim_node *node = core->node;
    struct reactor *reactor = core->reactor;
    core->asleep = false;
    sim_say(sim, "turn", reactor->index, 0, 0);
    sim_inside(node, true);
    reactor_turn(reactor, false);
    sim_inside(node, false);
    sim->now_us += sim_below(&sim->random, TURN_US_MAX + 1);
    if (sim_chance(&sim->random, sim->stall_percent)) {
        core->stall_us = sim->now_us + sim_below(&sim->random, STALL_US_MAX);
    }
    uint64_t sleep_us = reactor_sleep_us(reactor);
    if (sleep_us > 0) {
        core->asleep = true;
        core->wake_us = sleep_us == UINT64_MAX ? UINT64_MAX : reactor->now_us + sleep_us;
        atomic_store(&reactor->mailroom.sleeping, true);
    }
}

bool sim_step(struct sim *sim)
{
    struct sim_core *ready[64];
    uint32_t ready_count = 0;
    uint64_t wake_us = UINT64_MAX;
    for (struct sim_node *node = sim->nodes; node; node = node->next) {
        for (uint32_t i = 0; i < node->cores_count && ready_count < 64; i++) {
            struct sim_core *core = &node->cores[i];
            uint64_t due_us = core_due_us(core);
            if (due_us <= sim->now_us) {
                ready[ready_count++] = core;
            } else if (due_us < wake_us) {
                wake_us = due_us;
            }
        }
    }
    struct sim_event *event = sim->events_count ? sim->events[1] : NULL;
    sim->steps++;
    if (event && event->at_us <= sim->now_us && (!ready_count || sim_chance(&sim->random, 50))) {
        sim_event_cancel(sim, event);
        event->fire(sim, event);
    } else if (ready_count) {
        core_turn(ready[sim_below(&sim->random, ready_count)]);
    } else if (event && event->at_us <= wake_us) {
        sim->now_us = event->at_us;
    } else if (wake_us != UINT64_MAX) {
        sim->now_us = wake_us;
    } else {
        return false;
    }
    return true;
}

bool sim_run(struct sim *sim, bool (*done)(void *context), void *context, uint64_t steps_max)
{
    for (uint64_t i = 0; i < steps_max; i++) {
        if (done(context)) {
            return !sim->complaint;
        }
        if (sim->complaint || !sim_step(sim)) {
            return false;
        }
    }
    return done(context) && !sim->complaint;
}

/* -- what happened ----------------------------------------------------------------------------- */

void sim_say(struct sim *sim, const char *what, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t word = 0;
    memcpy(&word, what, strnlen(what, STORY_BYTES));
    sim->trace = sim_mix(sim->trace ^ word) + sim_mix(sim->now_us ^ a << 32);
    sim->trace = sim_mix(sim->trace ^ a) ^ sim_mix(b + 1) ^ sim_mix(c + 2);
    if (sim->options.story) {
        fprintf(sim->options.story, "%12lu %-8s %ld %ld %ld\n", (unsigned long)sim->now_us, what,
                (long)a, (long)b, (long)c);
    }
}

void sim_complain(struct sim *sim, const char *complaint)
{
    sim_say(sim, "complain", 0, 0, 0);
    if (sim->options.story) {
        fprintf(sim->options.story, "%s\n", complaint);
    }
    sim->complaint = sim->complaint ? sim->complaint : complaint;
}

void sim_at(struct sim_node *node, enum sim_point point)
{
    if (node->disk->complaint) {
        sim_complain(node->sim, node->disk->complaint);
        node->disk->complaint = NULL;
    }
    node->points++;
    if (node->point) {
        node->point(node, point);
    }
}

void sim_inside(struct sim_node *node, bool inside)
{
    struct sim_options *options = &node->sim->options;
    if (options->inside) {
        options->inside(options->context, node, inside);
    }
}

/* Mostly about the world's typical latency, now and then much more. */
uint64_t sim_disk_latency(struct sim *sim)
{
    uint64_t us = sim_between(&sim->random, sim->latency_us / 4, sim->latency_us * 2);
    return sim_chance(&sim->random, 3) ? us * sim_between(&sim->random, 2, 100) : us;
}

/* -- operations -------------------------------------------------------------------------------- */

static struct sim_core *core_of(struct reactor *reactor)
{
    return reactor->backend_state;
}

struct sim_io *sim_io_new(struct sim_core *core, enum sim_io_kind kind, int fd, struct op *op)
{
    struct sim_node *node = core->node;
    struct sim_io *io = sim_take(&node->sim->options.memory, sizeof *io);
    io->core = core;
    io->kind = kind;
    io->fd = fd;
    io->op = op;
    io->next = node->ios;
    io->link = &node->ios;
    if (io->next) {
        io->next->link = &io->next;
    }
    node->ios = io;
    return io;
}

void sim_io_end(struct sim_io *io, int64_t result)
{
    struct sim_core *core = io->core;
    sim_event_cancel(core->node->sim, &io->event);
    *io->link = io->next;
    if (io->next) {
        io->next->link = io->link;
    }
    io->next = NULL;
    io->result = result;
    *core->ended_tail = io;
    core->ended_tail = &io->next;
    sim_say(core->node->sim, "end", io->kind, io->fd, result);
}

/* After so many, some fail. */
bool sim_fails(struct sim_node *node, enum sim_failing failing, const struct sim_inode *inode)
{
    const struct sim_inode *only = node->failings[failing].only;
    if (node->failings[failing].after == 0 || (only && only != inode)) {
        return false;
    }
    if (node->failings[failing].after > 1) {
        node->failings[failing].after--;
        return false;
    }
    if (node->failings[failing].count != UINT64_MAX && --node->failings[failing].count == 0) {
        node->failings[failing].after = 0;
    }
    return true;
}

/* -- file descriptors -------------------------------------------------------------------------- */

int sim_fd_new(struct sim_node *node, struct sim_fd **fd)
{
    uint32_t place = 0;
    while (place < node->fds_capacity && node->fds[place].kind != SIM_FD_FREE) {
        place++; /* the lowest free one, as the kernel gives them out */
    }
    if (place >= node->fds_max) {
        return -EMFILE;
    }
    node->fds = sim_room(&node->sim->options.memory, node->fds, &node->fds_capacity, place + 1,
                         sizeof(struct sim_fd));
    *fd = &node->fds[place];
    return SIM_FD_FIRST + (int)place;
}

struct sim_fd *sim_fd_of(struct sim_node *node, int fd, int kind)
{
    uint32_t place = (uint32_t)(fd - SIM_FD_FIRST);
    if (fd < SIM_FD_FIRST || place >= node->fds_capacity || (int)node->fds[place].kind != kind) {
        sim_complain(node->sim, "an operation on a file descriptor that is not open");
        return NULL;
    }
    return &node->fds[place];
}

void sim_fd_close(struct sim_node *node, int fd)
{
    uint32_t place = (uint32_t)(fd - SIM_FD_FIRST);
    if (fd < SIM_FD_FIRST || place >= node->fds_capacity || !node->fds[place].kind) {
        sim_complain(node->sim, "a file descriptor is closed that is not open");
        return;
    }
    if (node->fds[place].pending > 0) {
        sim_complain(node->sim, "a file descriptor is closed under an operation");
    }
    sim_say(node->sim, "close", fd, 0, 0);
    if (node->fds[place].kind == SIM_FD_FILE) {
        struct sim_inode *inode = node->fds[place].inode;
        inode->locked = inode->locked && !node->fds[place].locks;
        sim_inode_drop(node->disk, inode);
    } else {
        sim_network_close(node, fd);
    }
    node->fds[place] = (struct sim_fd){0};
}

/* -- the disk's operations ----------------------------------------------------------------------- */

static uint64_t bytes_hash(const uint8_t *bytes, size_t count)
{
    uint64_t hash = count;
    for (size_t i = 0; i + 8 <= count; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 32;
    }
    return hash;
}

static int64_t disk_read(struct sim_io *io)
{
    struct sim_node *node = io->core->node;
    struct file_io *file_io = container_of(io->op, struct file_io, op);
    if (sim_fails(node, SIM_FAILING_READ, io->inode)) {
        return node->failings[SIM_FAILING_READ].error;
    }
    return (int64_t)sim_disk_read(node->disk, io->inode, file_io->position, file_io->buffer,
                                  file_io->bytes, &node->sim->random);
}

static int64_t disk_write(struct sim_io *io)
{
    struct sim_node *node = io->core->node;
    struct file_io *file_io = container_of(io->op, struct file_io, op);
    if (!io->change) {
        return -ENOSPC;
    }
    if (memcmp(io->change->data, file_io->buffer, file_io->bytes) != 0) {
        sim_complain(node->sim, "a buffer was changed while it was being written");
    }
    if (sim_fails(node, SIM_FAILING_WRITE, io->inode)) {
        sim_disk_write_fail(node->disk, io->change, &node->sim->random);
        return node->failings[SIM_FAILING_WRITE].error;
    }
    sim_disk_write_end(node->disk, io->change, file_io->durable);
    return file_io->bytes;
}

static int64_t disk_flush(struct sim_io *io)
{
    struct sim_node *node = io->core->node;
    if (sim_fails(node, SIM_FAILING_FLUSH, io->inode)) {
        sim_disk_flush_fail(node->disk, io->inode, &node->sim->random);
        return node->failings[SIM_FAILING_FLUSH].error;
    }
    sim_disk_flush(node->disk, io->inode, io->begin);
    return 0;
}

/* The device is done; the program is told at its next turn. */
static void disk_ended(struct sim *sim, struct sim_event *event)
{
    struct sim_io *io = container_of(event, struct sim_io, event);
    struct sim_node *node = io->core->node;
    bool reading = io->kind == SIM_IO_READ;
    int64_t result = reading                    ? disk_read(io)
                     : io->kind == SIM_IO_WRITE ? disk_write(io)
                                                : disk_flush(io);
    sim_inode_drop(node->disk, io->inode);
    sim_fd_of(node, io->fd, SIM_FD_FILE)->pending--;
    sim_io_end(io, result);
    if (!reading) {
        sim_at(node, SIM_POINT_END);
    }
}

static struct sim_io *disk_begin(struct reactor *reactor, enum sim_io_kind kind, int fd,
                                 struct op *op)
{
    struct sim_core *core = core_of(reactor);
    struct sim_fd *entry = sim_fd_of(core->node, fd, SIM_FD_FILE);
    struct sim_io *io = sim_io_new(core, kind, fd, op);
    if (!entry) {
        sim_io_end(io, -EBADF);
        return NULL;
    }
    entry->pending++;
    io->inode = entry->inode;
    sim_inode_hold(io->inode);
    return io;
}

static void disk_go(struct sim_io *io)
{
    struct sim *sim = io->core->node->sim;
    sim_event_start(sim, &io->event, sim_disk_latency(sim), disk_ended);
    if (io->kind != SIM_IO_READ) {
        sim_at(io->core->node, SIM_POINT_BEGIN);
    }
}

static void backend_read(struct reactor *reactor, struct file_io *file_io)
{
    struct sim_io *io = disk_begin(reactor, SIM_IO_READ, file_io->fd, &file_io->op);
    if (io) {
        sim_say(io->core->node->sim, "read", file_io->fd, file_io->position, file_io->bytes);
        disk_go(io);
    }
}

static void backend_write(struct reactor *reactor, struct file_io *file_io)
{
    struct sim_io *io = disk_begin(reactor, SIM_IO_WRITE, file_io->fd, &file_io->op);
    if (!io) {
        return;
    }
    struct sim_node *node = io->core->node;
    sim_say(node->sim, "write", file_io->fd, file_io->position,
            bytes_hash(file_io->buffer, file_io->bytes));
    io->change = sim_disk_write_begin(node->disk, io->inode, file_io->position, file_io->buffer,
                                      file_io->bytes);
    disk_go(io);
}

static void backend_flush(struct reactor *reactor, int fd, struct op *op)
{
    struct sim_io *io = disk_begin(reactor, SIM_IO_FLUSH, fd, op);
    if (io) {
        io->begin = io->core->node->disk->count;
        sim_say(io->core->node->sim, "flush", fd, 0, 0);
        disk_go(io);
    }
}

static void backend_job(struct reactor *reactor, struct job *job)
{
    struct sim_core *core = core_of(reactor);
    op_queue_push(&core->jobs, &job->op);
    sim_job_start(core);
}

static void backend_close(struct reactor *reactor, int fd)
{
    sim_fd_close(core_of(reactor)->node, fd);
}

static void backend_wake(struct reactor *reactor, struct reactor *target)
{
    core_of(target)->asleep = false;
}

static void backend_entropy(struct reactor *reactor, void *bytes, size_t count)
{
    struct sim *sim = core_of(reactor)->node->sim;
    for (size_t i = 0; i < count; i++) {
        ((uint8_t *)bytes)[i] = (uint8_t)sim_draw(&sim->random);
    }
}

/* Tell the program what has ended. */
static uint32_t backend_turn(struct reactor *reactor, uint64_t sleep_us)
{
    struct sim_core *core = core_of(reactor);
    struct sim *sim = core->node->sim;
    struct sim_io *ended = core->ended;
    uint32_t count = 0;
    core->ended = NULL;
    core->ended_tail = &core->ended;
    for (struct sim_io *io; (io = ended); count++) {
        ended = io->next;
        sim_at(core->node, SIM_POINT_TOLD);
        io->op->result = io->result;
        io->op->then(io->op);
        io_free(sim, io);
    }
    return count;
}

/* Looking at the clock takes time. */
static void backend_clock(struct reactor *reactor, uint64_t *now_us, int64_t *wall_ms)
{
    struct sim *sim = core_of(reactor)->node->sim;
    *now_us = ++sim->now_us;
    *wall_ms = sim->wall_ms + (int64_t)(sim->now_us / 1000);
}

static const struct backend backend = {
    .name = "sim",
    .listen = sim_listen,
    .accept = sim_accept,
    .refuse = sim_refuse,
    .receive = sim_receive,
    .send = sim_send,
    .shutdown = sim_shutdown,
    .close = backend_close,
    .read = backend_read,
    .write = backend_write,
    .flush = backend_flush,
    .job = backend_job,
    .wake = backend_wake,
    .entropy = backend_entropy,
    .turn = backend_turn,
    .clock = backend_clock,
};
