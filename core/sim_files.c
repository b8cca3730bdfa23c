/*
 * sim_files -- jobs of the simulated world, and the file system as they see it.
 *
 *      scheduler                          job's stack
 *      start ------------------------->   run(job, files)
 *      ... others turn, time passes  <--- files_write(...)
 *      the write ends on the disk  --->   ... its result
 *      told at the reactor's turn    <--- return
 *
 * A job runs on a stack of its own, so that the world can go on, or end, between any two of its
 * calls and while one is under way. A call takes effect when it ends; a write is in flight until
 * then. At a cut the stack is dropped as it is.
 */
#include "core/sim.h"

#include <errno.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

enum { STACK_BYTES = 1 << 20, GUARD_BYTES = 4096, WRITE_BYTES_MAX = 64 << 10 };

enum call_kind {
    CALL_OPEN,
    CALL_CLOSE,
    CALL_READ,
    CALL_WRITE,
    CALL_BYTES,
    CALL_TRUNCATE,
    CALL_ALLOCATE,
    CALL_FLUSH,
    CALL_RENAME,
    CALL_UNLINK,
    CALL_MAKE_DIRECTORY,
    CALL_REMOVE_DIRECTORY,
    CALL_FLUSH_DIRECTORY,
    CALL_FLUSH_ALL,
    CALL_LIST,
    CALL_FREE_BYTES,
    CALL_LOCK,
};

struct call { /* lives on the job's stack */
    enum call_kind kind;
    const char *path, *path_to;
    int fd;
    int flags;
    void *buffer; /* read into, or written from */
    uint64_t bytes, position;
    int64_t result;

    /* while it is under way */
    struct sim_inode *inode; /* held */
    struct sim_change *change;
    uint64_t begin;
};

struct sim_job {
    struct sim_core *core;
    struct sim_event event;
    struct job *job;
    struct files files;
    struct call *call;
    bool returned;
    int64_t result;
    uint8_t *stack;
    ucontext_t own, scheduler;
    void *own_fake, *scheduler_fake; /* the address sanitizer's */
    const void *scheduler_stack;
    size_t scheduler_stack_bytes;
};

static const struct files_ops files_ops; /* its rows stand below */

/* -- stacks ------------------------------------------------------------------------------------ */

struct stack { /* the first bytes of an idle one */
    void *next;
};

static uint8_t *stack_take(struct sim *sim)
{
    uint8_t *stack = sim->stacks;
    if (stack) {
        sim->stacks = ((struct stack *)stack)->next;
        return stack;
    }
    stack = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert(stack != MAP_FAILED);
    int error = mprotect(stack, GUARD_BYTES, PROT_NONE);
    assert(!error);
    return stack + GUARD_BYTES;
}

static void stack_give(struct sim *sim, uint8_t *stack)
{
#ifdef WITH_ASAN
    __asan_unpoison_memory_region(stack, STACK_BYTES);
#endif
    ((struct stack *)stack)->next = sim->stacks;
    sim->stacks = stack;
}

void sim_stacks_free(struct sim *sim)
{
    while (sim->stacks) {
        uint8_t *stack = sim->stacks;
        sim->stacks = ((struct stack *)stack)->next;
        munmap(stack - GUARD_BYTES, GUARD_BYTES + STACK_BYTES);
    }
}

/* -- to a job's stack and back ----------------------------------------------------------------- */

static void job_begun(struct sim_job *job)
{
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(job->own_fake, &job->scheduler_stack,
                                    &job->scheduler_stack_bytes);
#endif
}

static void job_leave(struct sim_job *job, bool for_good)
{
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(for_good ? NULL : &job->own_fake, job->scheduler_stack,
                                   job->scheduler_stack_bytes);
#endif
    swapcontext(&job->own, &job->scheduler);
    job_begun(job);
}

static void job_main(uint32_t low, uint32_t high)
{
    struct sim_job *job = (struct sim_job *)(uintptr_t)(low | (uint64_t)high << 32);
    job_begun(job);
    job->result = job->job->run(job->job, &job->files);
    job->returned = true;
    job_leave(job, true);
}

/* The job goes on, up to its next call or its end. */
static void job_enter(struct sim_job *job)
{
    job->call = NULL;
    sim_inside(job->core->node, true);
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(&job->scheduler_fake, job->stack, STACK_BYTES);
#endif
    swapcontext(&job->scheduler, &job->own);
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(job->scheduler_fake, NULL, NULL);
#endif
    sim_inside(job->core->node, false);
}

/* -- what calls do ----------------------------------------------------------------------------- */

static struct sim_fd *call_fd(struct sim_node *node, const struct call *call)
{
    return sim_fd_of(node, call->fd, SIM_FD_FILE);
}

static int64_t call_open(struct sim_node *node, const struct call *call)
{
    struct sim_fd *entry;
    struct sim_inode *inode;
    int fd = sim_fd_new(node, &entry);
    if (fd < 0) {
        return fd;
    }
    int error = sim_disk_open(node->disk, call->path, call->flags, &inode);
    if (error) {
        return error;
    }
    *entry = (struct sim_fd){.kind = SIM_FD_FILE, .flags = call->flags, .inode = inode};
    return fd;
}

static bool is_aligned(const struct call *call)
{
    return ((uintptr_t)call->buffer | call->bytes | call->position) % FILE_BLOCK_BYTES == 0;
}

static int64_t call_read(struct sim_node *node, const struct call *call)
{
    struct sim_fd *entry = call_fd(node, call);
    if (!entry || ((entry->flags & FILES_DIRECT) && !is_aligned(call))) {
        return -EINVAL;
    }
    if (sim_fails(node, SIM_FAILING_READ, entry->inode)) {
        return node->failings[SIM_FAILING_READ].error;
    }
    return (int64_t)sim_disk_read(node->disk, entry->inode, call->position, call->buffer,
                                  call->bytes, &node->sim->random);
}

static int64_t call_write(struct sim_node *node, const struct call *call)
{
    if (!call->change) {
        return call->result;
    }
    if (sim_fails(node, SIM_FAILING_WRITE, call->inode)) {
        sim_disk_write_fail(node->disk, call->change, &node->sim->random);
        return node->failings[SIM_FAILING_WRITE].error;
    }
    sim_disk_write_end(node->disk, call->change, false);
    return (int64_t)call->bytes;
}

static int64_t call_flush(struct sim_node *node, const struct call *call)
{
    if (!call->inode) {
        return -EBADF;
    }
    if (sim_fails(node, SIM_FAILING_FLUSH, call->inode)) {
        sim_disk_flush_fail(node->disk, call->inode, &node->sim->random);
        return node->failings[SIM_FAILING_FLUSH].error;
    }
    if (call->kind == CALL_FLUSH_ALL) {
        sim_disk_flush_all(node->disk, call->begin);
    } else {
        sim_disk_flush(node->disk, call->inode, call->begin);
    }
    return 0;
}

static int64_t call_flush_directory(struct sim_node *node, const struct call *call)
{
    struct sim_inode *inode;
    int error = sim_disk_find(node->disk, call->path, &inode);
    if (error) {
        return error;
    }
    if (sim_fails(node, SIM_FAILING_FLUSH, inode)) {
        return node->failings[SIM_FAILING_FLUSH].error;
    }
    sim_disk_flush_directory(node->disk, inode, call->begin);
    return 0;
}

static int64_t call_remove(struct sim_node *node, const struct call *call)
{
    if (sim_fails(node, SIM_FAILING_REMOVE, NULL)) {
        return node->failings[SIM_FAILING_REMOVE].error;
    }
    return sim_disk_remove(node->disk, call->path, call->kind == CALL_REMOVE_DIRECTORY);
}

static int64_t call_list(struct sim_node *node, struct call *call)
{
    struct sim_inode *inode;
    int error = sim_disk_find(node->disk, call->path, &inode);
    if (error) {
        return error;
    }
    uint32_t count = inode->names.count;
    struct files_entry *entries =
        sim_take(&node->sim->options.memory, (count + 1) * sizeof *entries);
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_entry *from = &inode->names.entries[i];
        memcpy(entries[i].name, from->name, strlen(from->name));
        entries[i].is_directory = from->inode->is_directory;
        entries[i].bytes = from->inode->current.bytes;
    }
    call->buffer = entries; /* copied, and given back, on the job's side */
    return inode->is_directory ? (int64_t)count : -ENOTDIR;
}

static int64_t call_resize(struct sim_node *node, const struct call *call)
{
    struct sim_fd *entry = call_fd(node, call);
    if (!entry) {
        return -EBADF;
    }
    if (call->kind == CALL_TRUNCATE) {
        return sim_disk_truncate(node->disk, entry->inode, call->bytes);
    }
    return sim_disk_allocate(node->disk, entry->inode, call->position, call->bytes) ? -ENOSPC : 0;
}

static int64_t call_lock(struct sim_node *node, const struct call *call)
{
    struct sim_fd *entry = call_fd(node, call);
    if (!entry || (entry->inode->locked && !entry->locks)) {
        return entry ? -EAGAIN : -EBADF;
    }
    entry->inode->locked = entry->locks = true;
    return 0;
}

static int64_t call_close(struct sim_node *node, const struct call *call)
{
    sim_fd_close(node, call->fd);
    return 0;
}

static int64_t call_do(struct sim_node *node, struct call *call)
{
    struct sim_disk *disk = node->disk;
    switch (call->kind) {
    case CALL_OPEN:
        return call_open(node, call);
    case CALL_CLOSE:
        return call_close(node, call);
    case CALL_READ:
        return call_read(node, call);
    case CALL_WRITE:
        return call_write(node, call);
    case CALL_BYTES:
        return call_fd(node, call) ? (int64_t)call_fd(node, call)->inode->current.bytes : -EBADF;
    case CALL_TRUNCATE:
    case CALL_ALLOCATE:
        return call_resize(node, call);
    case CALL_FLUSH:
    case CALL_FLUSH_ALL:
        return call_flush(node, call);
    case CALL_RENAME:
        return sim_disk_rename(disk, call->path, call->path_to);
    case CALL_UNLINK:
    case CALL_REMOVE_DIRECTORY:
        return call_remove(node, call);
    case CALL_MAKE_DIRECTORY:
        return sim_disk_make_directory(disk, call->path);
    case CALL_FLUSH_DIRECTORY:
        return call_flush_directory(node, call);
    case CALL_LIST:
        return call_list(node, call);
    case CALL_FREE_BYTES:
        return disk->bytes_used < disk->bytes_max ? (int64_t)(disk->bytes_max - disk->bytes_used)
                                                  : 0;
    case CALL_LOCK:
        return call_lock(node, call);
    }
    return -ENOSYS;
}

static bool call_changes(const struct call *call)
{
    return call->kind != CALL_READ && call->kind != CALL_BYTES && call->kind != CALL_LIST &&
           call->kind != CALL_FREE_BYTES && call->kind != CALL_LOCK && call->kind != CALL_CLOSE;
}

/* -- the life of a job ------------------------------------------------------------------------- */

static void job_called(struct sim *sim, struct sim_event *event);

/* A write longer than this comes to the disk in pieces, and a cut can fall between them. */
static void write_begin(struct sim_node *node, struct call *call)
{
    struct sim_fd *entry = call_fd(node, call);
    call->change = NULL;
    call->result = 0;
    if (!entry || (entry->flags & FILES_READ)) {
        call->result = -EBADF;
    } else if ((entry->flags & FILES_DIRECT) && !is_aligned(call)) {
        call->result = -EINVAL;
    } else if (call->bytes > 0) {
        call->change = sim_disk_write_begin(node->disk, entry->inode, call->position, call->buffer,
                                            call->bytes);
        call->result = call->change ? 0 : -ENOSPC;
    }
}

static void call_begin(struct sim_job *job)
{
    struct sim_node *node = job->core->node;
    struct sim *sim = node->sim;
    struct call *call = job->call;
    uint64_t latency_us = sim_between(&sim->random, 0, 20);
    sim_say(sim, "call", call->kind, call->fd, call->position + call->bytes);
    if (call_changes(call)) {
        sim_at(node, SIM_POINT_CALL);
        latency_us = sim_disk_latency(sim);
    }
    call->begin = node->disk->count;
    call->inode = NULL;
    if (call->kind == CALL_WRITE) {
        write_begin(node, call);
    } else if ((call->kind == CALL_FLUSH || call->kind == CALL_FLUSH_ALL) && call_fd(node, call)) {
        call->inode = call_fd(node, call)->inode;
        sim_inode_hold(call->inode);
    }
    sim_event_start(sim, &job->event, latency_us, job_called);
}

static void job_go_on(struct sim_job *job)
{
    job_enter(job);
    if (!job->returned) {
        call_begin(job);
        return;
    }
    struct sim_core *core = job->core;
    struct sim *sim = core->node->sim;
    sim_io_end(sim_io_new(core, SIM_IO_JOB, -1, &job->job->op), job->result);
    stack_give(sim, job->stack);
    sim_give(&sim->options.memory, job);
    core->job = NULL;
    sim_job_start(core);
}

/* The call under way has ended. */
static void job_called(struct sim *sim, struct sim_event *event)
{
    struct sim_job *job = container_of(event, struct sim_job, event);
    struct sim_node *node = job->core->node;
    if (job->call) { /* none: the job is about to begin */
        struct call *call = job->call;
        call->result = call_do(node, call);
        if (call->inode) {
            sim_inode_drop(node->disk, call->inode);
        }
        sim_say(sim, "called", call->kind, call->fd, call->result);
        if (call->kind == CALL_FLUSH || call->kind == CALL_FLUSH_ALL ||
            call->kind == CALL_FLUSH_DIRECTORY) {
            sim_at(node, SIM_POINT_END);
        }
    }
    job_go_on(job);
}

void sim_job_start(struct sim_core *core)
{
    struct sim *sim = core->node->sim;
    if (core->job || op_queue_is_empty(&core->jobs)) {
        return;
    }
    struct sim_job *job = sim_take(&sim->options.memory, sizeof *job);
    struct op *op = op_queue_pop(&core->jobs);
    job->core = core;
    job->job = container_of(op, struct job, op);
    job->files = (struct files){.ops = &files_ops, .state = job};
    job->stack = stack_take(sim);
    getcontext(&job->own);
    job->own.uc_stack.ss_sp = job->stack;
    job->own.uc_stack.ss_size = STACK_BYTES;
    job->own.uc_link = NULL;
    uint64_t address = (uintptr_t)job;
    makecontext(&job->own, (void (*)(void))job_main, 2, (uint32_t)address,
                (uint32_t)(address >> 32));
    core->job = job;
    sim_event_start(sim, &job->event, sim_between(&sim->random, 1, 50), job_called);
}

void sim_job_drop(struct sim_core *core)
{
    struct sim_job *job = core->job;
    if (!job) {
        return;
    }
    struct sim *sim = core->node->sim;
    sim_event_cancel(sim, &job->event);
    stack_give(sim, job->stack);
    sim_give(&sim->options.memory, job);
    core->job = NULL;
}

/* -- files_ops: on the job's stack --------------------------------------------------------------- */

static int64_t call(struct files *files, struct call *call)
{
    struct sim_job *job = files->state;
    job->call = call;
    job_leave(job, false);
    return call->result;
}

static int files_sim_open(struct files *files, const char *path, int flags)
{
    return (int)call(files, &(struct call){.kind = CALL_OPEN, .path = path, .flags = flags});
}

static void files_sim_close(struct files *files, int fd)
{
    call(files, &(struct call){.kind = CALL_CLOSE, .fd = fd});
}

static int64_t files_sim_read(struct files *files, int fd, void *buffer, size_t bytes,
                              uint64_t position)
{
    return call(
        files,
        &(struct call){
            .kind = CALL_READ, .fd = fd, .buffer = buffer, .bytes = bytes, .position = position});
}

static int64_t files_sim_write(struct files *files, int fd, const void *buffer, size_t bytes,
                               uint64_t position)
{
    size_t done = 0;
    do {
        size_t piece = bytes - done < WRITE_BYTES_MAX ? bytes - done : WRITE_BYTES_MAX;
        int64_t result = call(files, &(struct call){.kind = CALL_WRITE,
                                                    .fd = fd,
                                                    .buffer = (uint8_t *)buffer + done,
                                                    .bytes = piece,
                                                    .position = position + done});
        if (result < 0) {
            return result;
        }
        done += piece;
    } while (done < bytes);
    return (int64_t)bytes;
}

static int64_t files_sim_bytes(struct files *files, int fd)
{
    return call(files, &(struct call){.kind = CALL_BYTES, .fd = fd});
}

static int files_sim_truncate(struct files *files, int fd, uint64_t bytes)
{
    return (int)call(files, &(struct call){.kind = CALL_TRUNCATE, .fd = fd, .bytes = bytes});
}

static int files_sim_allocate(struct files *files, int fd, uint64_t position, uint64_t bytes)
{
    return (int)call(
        files,
        &(struct call){.kind = CALL_ALLOCATE, .fd = fd, .position = position, .bytes = bytes});
}

static int files_sim_flush(struct files *files, int fd)
{
    return (int)call(files, &(struct call){.kind = CALL_FLUSH, .fd = fd});
}

static int files_sim_rename(struct files *files, const char *from, const char *to)
{
    return (int)call(files, &(struct call){.kind = CALL_RENAME, .path = from, .path_to = to});
}

static int files_sim_unlink(struct files *files, const char *path)
{
    return (int)call(files, &(struct call){.kind = CALL_UNLINK, .path = path});
}

static int files_sim_make_directory(struct files *files, const char *path)
{
    return (int)call(files, &(struct call){.kind = CALL_MAKE_DIRECTORY, .path = path});
}

static int files_sim_remove_directory(struct files *files, const char *path)
{
    return (int)call(files, &(struct call){.kind = CALL_REMOVE_DIRECTORY, .path = path});
}

static int files_sim_flush_directory(struct files *files, const char *path)
{
    return (int)call(files, &(struct call){.kind = CALL_FLUSH_DIRECTORY, .path = path});
}

static int files_sim_flush_all(struct files *files, int fd)
{
    return (int)call(files, &(struct call){.kind = CALL_FLUSH_ALL, .fd = fd});
}

static int64_t files_sim_list(struct files *files, const char *path, struct files_entry **entries)
{
    struct sim_job *job = files->state;
    struct call list = {.kind = CALL_LIST, .path = path};
    int64_t count = call(files, &list);
    *entries = NULL;
    if (count >= 0) { /* the caller's memory is the node's, not the simulator's */
        *entries = malloc((size_t)(count + 1) * sizeof **entries);
        if (!*entries) {
            count = -ENOMEM;
        } else {
            memcpy(*entries, list.buffer, (size_t)count * sizeof **entries);
        }
    }
    if (list.buffer) {
        sim_give(&job->core->node->sim->options.memory, list.buffer);
    }
    return count;
}

static int64_t files_sim_free_bytes(struct files *files, const char *path)
{
    return call(files, &(struct call){.kind = CALL_FREE_BYTES, .path = path});
}

static int files_sim_lock(struct files *files, int fd)
{
    return (int)call(files, &(struct call){.kind = CALL_LOCK, .fd = fd});
}

static const struct files_ops files_ops = {
    .open = files_sim_open,
    .close = files_sim_close,
    .read = files_sim_read,
    .write = files_sim_write,
    .bytes = files_sim_bytes,
    .truncate = files_sim_truncate,
    .allocate = files_sim_allocate,
    .flush = files_sim_flush,
    .rename = files_sim_rename,
    .unlink = files_sim_unlink,
    .make_directory = files_sim_make_directory,
    .remove_directory = files_sim_remove_directory,
    .flush_directory = files_sim_flush_directory,
    .flush_all = files_sim_flush_all,
    .list = files_sim_list,
    .free_bytes = files_sim_free_bytes,
    .lock = files_sim_lock,
};
