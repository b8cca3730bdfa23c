#define _GNU_SOURCE
#include "core/uring.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum {
    ENTRIES =
        1024, /* with its completions 200 KiB, so many rings fit into 8 MiB of locked memory */
    ENTRIES_MIN = 64,
    COMPLETIONS_PER_ENTRY = 8,    /* waiting receives are many and end together */
    WORKERS_MAX = 4,              /* kernel threads for flushes and the writes that may block */
    SUBMIT_TRIES_MAX = 10 * 1000, /* of 1 ms: the kernel is out of memory, and stays so */
};

static struct uring *uring_of(struct reactor *reactor)
{
    return reactor->backend_state;
}

/* -- attaching --------------------------------------------------------------------------------- */

static void explain_refused(char *why, size_t why_bytes)
{
    char disabled = '0';
    FILE *sysctl = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (sysctl) {
        disabled = fgetc(sysctl);
        fclose(sysctl);
    }
    if (disabled == '1' || disabled == '2') {
        snprintf(why, why_bytes,
                 "io_uring is switched off here (sysctl kernel.io_uring_disabled = %c): set it to "
                 "0%s",
                 disabled,
                 disabled == '1' ? ", or run as a member of the group in kernel.io_uring_group"
                                 : "");
    } else {
        snprintf(why, why_bytes,
                 "io_uring is forbidden here, as container runtimes do (seccomp): allow the system "
                 "calls io_uring_setup, io_uring_enter and io_uring_register");
    }
}

static void explain(int error, uint32_t entries, char *why, size_t why_bytes)
{
    struct utsname kernel;
    struct rlimit limit;
    switch (error) {
    case -EPERM:
    case -EACCES:
        explain_refused(why, why_bytes);
        return;
    case -ENOSYS:
    case -EINVAL:
        uname(&kernel);
        snprintf(why, why_bytes,
                 "io_uring of Linux 6.1 or newer is needed (%s): this is Linux %s; update it, or "
                 "see whether a container's seccomp profile hides the system call",
                 strerror(-error), kernel.release);
        return;
    case -ENOMEM:
        getrlimit(RLIMIT_MEMLOCK, &limit);
        snprintf(why, why_bytes,
                 "not even an io_uring of %u entries fits into the locked memory allowed to this "
                 "user (%llu KiB): raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=)",
                 entries, (unsigned long long)limit.rlim_cur / 1024);
        return;
    case -EMFILE:
        snprintf(why, why_bytes, "too few file descriptors: raise RLIMIT_NOFILE (ulimit -n)");
        return;
    default:
        snprintf(why, why_bytes, "io_uring: %s", strerror(-error));
    }
}

/* As large as locked memory allows. */
static int ring_init(struct uring *uring, uint32_t *entries)
{
    uint32_t flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
                     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_TASKRUN_FLAG;
    flags |= features_has(uring->features, FEATURE_DEFER_TASKRUN) ? IORING_SETUP_DEFER_TASKRUN
                                                                  : IORING_SETUP_COOP_TASKRUN;
    for (;;) {
        struct io_uring_params params = {.flags = flags,
                                         .cq_entries = *entries * COMPLETIONS_PER_ENTRY};
        int error = io_uring_queue_init_params(*entries, &uring->ring, &params);
        if (error != -ENOMEM || *entries <= ENTRIES_MIN) {
            return error;
        }
        *entries /= 2;
    }
}

static void news_await(struct reactor *reactor)
{
    struct io_uring_sqe *sqe = uring_sqe(reactor, uring_of(reactor), URING_NEWS);
    sqe->opcode = IORING_OP_POLL_ADD;
    sqe->fd = uring_of(reactor)->eventfd;
    sqe->poll32_events = POLLIN;
}

static const struct backend uring_backend;

int uring_attach(struct reactor *reactor, const struct uring_options *options, char *why,
                 size_t why_bytes)
{
    struct uring *uring = calloc(1, sizeof(*uring));
    if (!uring) {
        snprintf(why, why_bytes, "out of memory");
        return -ENOMEM;
    }
    uring->features = options->features;
    uring->pin_cpu = options->pin_cpu;
    uring->spare_fd = -1;
    uint32_t entries = options->entries ? options->entries : ENTRIES;
    int error = ring_init(uring, &entries);
    if (error) {
        explain(error, entries, why, why_bytes);
        free(uring);
        return error;
    }
    uring->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    error = uring->eventfd < 0 ? -errno : uring_net_init(uring);
    if (error) {
        explain(error, entries, why, why_bytes);
        io_uring_queue_exit(&uring->ring);
        uring_net_deinit(uring);
        if (uring->eventfd >= 0) {
            close(uring->eventfd);
        }
        free(uring);
        return error;
    }
    uring_jobs_init(uring);
    reactor_attach(reactor, &uring_backend, uring);
    news_await(reactor);
    return 0;
}

void uring_detach(struct reactor *reactor)
{
    struct uring *uring = uring_of(reactor);
    uring_jobs_deinit(uring);
    io_uring_queue_exit(&uring->ring);
    uring_net_deinit(uring);
    close(uring->eventfd);
    free(uring);
    reactor->backend = NULL;
    reactor->backend_state = NULL;
}

/* -- taking over ------------------------------------------------------------------------------- */

/* The ring's first turn: it belongs to this thread from now on. What makes it only better may fail;
 * the worker settings need the task to be known to io_uring, which ring_fd sees to. */
static void uring_enable(struct reactor *reactor)
{
    struct uring *uring = uring_of(reactor);
    uring->enabled = true;
    int error = shim_enable_rings(&uring->ring);
    assert(error == 0);
    if (features_has(uring->features, FEATURE_RING_FD)) {
        (void)io_uring_register_ring_fd(&uring->ring);
    }
    if (features_has(uring->features, FEATURE_IOWQ_MAX_WORKERS)) {
        unsigned int workers[2] = {WORKERS_MAX, WORKERS_MAX};
        (void)io_uring_register_iowq_max_workers(&uring->ring, workers);
    }
    if (uring->pin_cpu >= 0) {
        cpu_set_t cpu;
        CPU_ZERO(&cpu);
        CPU_SET(uring->pin_cpu, &cpu);
        (void)sched_setaffinity(0, sizeof(cpu), &cpu);
        if (features_has(uring->features, FEATURE_IOWQ_AFFINITY)) {
            (void)io_uring_register_iowq_aff(&uring->ring, sizeof(cpu), &cpu);
        }
    }
}

/* -- submitting -------------------------------------------------------------------------------- */

static bool is_transient(int error) /* -EBUSY: completions overflow, and are about to be run */
{
    return error == -EINTR || error == -EAGAIN || error == -EBUSY || error == -ETIME;
}

static void submit_full(struct reactor *reactor)
{
    struct uring *uring = uring_of(reactor);
    if (!uring->enabled) {
        uring_enable(reactor);
    }
    for (uint32_t tries = 0; io_uring_sq_space_left(&uring->ring) == 0; tries++) {
        int submitted = io_uring_submit(&uring->ring);
        assert(submitted >= 0 || is_transient(submitted));
        assert(tries < SUBMIT_TRIES_MAX);
        if (submitted <= 0 && submitted != -EINTR) {
            nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
        }
    }
}

struct io_uring_sqe *uring_sqe(struct reactor *reactor, void *subject, enum uring_tag tag)
{
    struct uring *uring = uring_of(reactor);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (!sqe) {
        submit_full(reactor);
        sqe = io_uring_get_sqe(&uring->ring);
    }
    assert(((uintptr_t)subject & URING_TAG_MASK) == 0);
    memset(sqe, 0, sizeof(*sqe));
    sqe->user_data = (uintptr_t)subject | tag;
    return sqe;
}

void uring_end_later(struct reactor *reactor, struct op *op, int64_t result)
{
    op->result = result;
    reactor_ready(reactor, op, op->then);
}

/* -- waking another reactor -------------------------------------------------------------------- */

static void uring_wake(struct reactor *reactor, struct reactor *target)
{
    struct uring *theirs = uring_of(target);
    if (!features_has(uring_of(reactor)->features, FEATURE_MSG_RING)) {
        (void)eventfd_write(theirs->eventfd, 1);
        return;
    }
    struct io_uring_sqe *sqe = uring_sqe(reactor, target, URING_WAKE_FAILED);
    sqe->opcode = IORING_OP_MSG_RING;
    sqe->fd = theirs->ring.ring_fd;
    sqe->off = URING_WOKEN; /* what arrives there */
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
}

/* Its ring is not enabled yet, or full. */
static void wake_failed(struct reactor *target)
{
    (void)eventfd_write(uring_of(target)->eventfd, 1);
}

static uint32_t news_arrived(struct reactor *reactor)
{
    eventfd_t value;
    (void)eventfd_read(uring_of(reactor)->eventfd, &value); /* first: later news count again */
    news_await(reactor);
    return uring_jobs_ended(reactor);
}

/* -- a turn ------------------------------------------------------------------------------------ */

static void complete(struct reactor *reactor, uint64_t user_data, int32_t result, uint32_t flags)
{
    void *subject = (void *)(uintptr_t)(user_data & ~(uint64_t)URING_TAG_MASK);
    switch ((enum uring_tag)(user_data & URING_TAG_MASK)) {
    case URING_WOKEN:
        break;
    case URING_WAKE_FAILED:
        wake_failed(subject);
        break;
    case URING_NEWS:
        news_arrived(reactor);
        break;
    case URING_PLAIN:
        ((struct op *)subject)->result = result;
        ((struct op *)subject)->then(subject);
        break;
    case URING_RECEIVE:
        uring_received(reactor, subject, result, flags);
        break;
    case URING_SEND:
        uring_sent(reactor, subject, result);
        break;
    case URING_READ:
        uring_has_read(reactor, subject, result);
        break;
    case URING_WRITE:
        uring_written(reactor, subject, result);
        break;
    }
}

/* Only what has ended by now: what ends meanwhile is for the next turn. */
static uint32_t complete_all(struct reactor *reactor)
{
    struct io_uring *ring = &uring_of(reactor)->ring;
    uint32_t count = io_uring_cq_ready(ring);
    for (uint32_t i = 0; i < count; i++) {
        struct io_uring_cqe *cqe;
        if (io_uring_peek_cqe(ring, &cqe) != 0) {
            return i;
        }
        uint64_t user_data = cqe->user_data;
        int32_t result = cqe->res;
        uint32_t flags = cqe->flags;
        io_uring_cqe_seen(ring, cqe); /* before it runs: an op may be begun again at once */
        complete(reactor, user_data, result, flags);
    }
    return count;
}

static bool kernel_has_work(const struct io_uring *ring)
{
    uint32_t flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED);
    return flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static uint32_t uring_turn(struct reactor *reactor, uint64_t sleep_us)
{
    struct uring *uring = uring_of(reactor);
    struct io_uring *ring = &uring->ring;
    if (!uring->enabled) {
        uring_enable(reactor);
    }
    uring_receive_starved(reactor);

    int error = 0;
    if (sleep_us) {
        struct __kernel_timespec timeout = {.tv_sec = sleep_us / 1000000,
                                            .tv_nsec = sleep_us % 1000000 * 1000};
        struct io_uring_cqe *first;
        error = io_uring_submit_and_wait_timeout(ring, &first, 1,
                                                 sleep_us == UINT64_MAX ? NULL : &timeout, NULL);
        reactor_awake(reactor);
    } else if (io_uring_sq_ready(ring) || kernel_has_work(ring)) {
        error = io_uring_submit_and_get_events(ring);
    }
    assert(error >= 0 || is_transient(error));
    return complete_all(reactor);
}

static void uring_clock(struct reactor *reactor, uint64_t *now_us, int64_t *wall_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *now_us = (uint64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    clock_gettime(CLOCK_REALTIME, &now);
    *wall_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void uring_entropy(struct reactor *reactor, void *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t got = getrandom((uint8_t *)bytes + done, count - done, 0);
        assert(got > 0 || errno == EINTR);
        done += got > 0 ? got : 0;
    }
}

static const struct backend uring_backend = {
    .name = "io_uring",
    .listen = uring_listen,
    .accept = uring_accept,
    .refuse = uring_refuse,
    .receive = uring_receive,
    .send = uring_send,
    .shutdown = uring_shutdown,
    .close = uring_close,
    .read = uring_read,
    .write = uring_write,
    .flush = uring_flush,
    .job = uring_job,
    .wake = uring_wake,
    .entropy = uring_entropy,
    .turn = uring_turn,
    .clock = uring_clock,
};
