/*
 * uring -- the backend of reactor.h that does it for real: one io_uring for each reactor.
 *
 *      uring.c        the ring: attaching, submitting, sleeping, whose completion is this?
 *      uring_net.c    listen, accept, receive, send
 *      uring_disk.c   read, write, flush
 *      uring_jobs.c   the helper thread that runs jobs
 *
 * A completion carries the op's address and, in its three low bits, what kind it is. An op's
 * progress (a short transfer resumed) is kept in op->result until it ends. An op is never begun
 * twice: the kernel sees it once for each piece.
 *
 * The ring is made where uring_attach is called, enabled on the first turn, and from then on
 * belongs to the thread that took it; other threads touch only what says so below.
 */
#ifndef CORE_URING_H
#define CORE_URING_H

#include "core/features.h"
#include "core/reactor.h"
#include "core/uring_shim.h"

#include <pthread.h>

struct uring_options {
    uint32_t entries;                /* of the submission queue; 0: as many as serve well */
    int pin_cpu;                     /* this reactor's CPU; -1: where the kernel likes */
    const struct features *features; /* probed; outlives the ring */
};

/* Give the reactor its ring. 0 or -errno; then `why` says what is refused and what to change. */
[[nodiscard]] int uring_attach(struct reactor *reactor, const struct uring_options *options,
                               char *why, size_t why_bytes);

/* After the loop has ended. What is pending is dropped, a job that runs is waited for. */
void uring_detach(struct reactor *reactor);

/* Run `then(op)` on the reactor. From any thread, also one that is no reactor's: the one that waits
 * for signals, the one that serves HTTP. Costs a lock and a system call. */
void uring_post(struct reactor *target, struct op *op, op_fn *then);

/* -- uring*.c only ----------------------------------------------------------------------------- */

enum uring_tag {              /* what a completion is */
                 URING_WOKEN, /* a peer's wake-up, which needs no more than the turn it causes */
                 URING_WAKE_FAILED, /* our wake-up of the reactor it names did not go through */
                 URING_NEWS,        /* our eventfd was written: jobs have ended, or a wake-up */
                 URING_PLAIN,       /* an op whose result is the kernel's */
                 URING_RECEIVE,
                 URING_SEND,
                 URING_READ,
                 URING_WRITE,
                 URING_TAG_MASK = 7,
};

enum {
    URING_BUFFERS = 16, /* x 64 KiB: half of an L2 cache; more would only be colder */
    URING_BUFFER_BYTES = 64 << 10,
    URING_BUFFER_GROUP = 0,
};

struct uring_jobs {
    pthread_t thread;
    bool started;
    struct files files; /* the helper thread's */
    pthread_mutex_t mutex;
    pthread_cond_t begun;
    struct op_queue waiting; /* under mutex, as all below */
    struct op_queue ended;   /* also what was posted */
    bool stopping;
};

struct uring {
    struct io_uring ring;
    const struct features *features;
    int pin_cpu;
    bool enabled;
    int eventfd;
    int spare_fd; /* of nothing, to be had when there is no other; -1: not needed, or lost */
    struct io_uring_buf_ring *buffer_ring; /* NULL: poll, then recv */
    size_t buffer_ring_bytes;
    uint8_t *buffers;
    struct op_queue starved; /* receives that found data and no buffer, the oldest first */
    struct uring_jobs jobs;
};

/* A cleared submission entry; there is always one, as a full queue is submitted first. */
struct io_uring_sqe *uring_sqe(struct reactor *reactor, void *subject, enum uring_tag tag);

/* The op ends with this result, on the next turn; for what ended without the kernel. */
void uring_end_later(struct reactor *reactor, struct op *op, int64_t result);

[[nodiscard]] int uring_net_init(struct uring *uring);
void uring_net_deinit(struct uring *uring);
int uring_listen(struct reactor *reactor, struct listen_address *address);
void uring_accept(struct reactor *reactor, int listener, struct op *op);
bool uring_refuse(struct reactor *reactor, int listener);
void uring_receive(struct reactor *reactor, struct receive *receive);
void uring_received(struct reactor *reactor, struct receive *receive, int32_t result,
                    uint32_t flags);
void uring_receive_starved(struct reactor *reactor);
void uring_send(struct reactor *reactor, struct send *send);
void uring_sent(struct reactor *reactor, struct send *send, int32_t result);
void uring_shutdown(struct reactor *reactor, int fd);
void uring_close(struct reactor *reactor, int fd);

void uring_read(struct reactor *reactor, struct file_io *io);
void uring_has_read(struct reactor *reactor, struct file_io *io, int32_t result);
void uring_write(struct reactor *reactor, struct file_io *io);
void uring_written(struct reactor *reactor, struct file_io *io, int32_t result);
void uring_flush(struct reactor *reactor, int fd, struct op *op);

void uring_jobs_init(struct uring *uring);
void uring_jobs_deinit(struct uring *uring);
void uring_job(struct reactor *reactor, struct job *job);
uint32_t uring_jobs_ended(struct reactor *reactor);

#endif
