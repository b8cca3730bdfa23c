/*
 * reactor -- one thread, one ring, one loop: the only door to the kernel.
 *
 *      completions --> mail --> timers due --> ready --> background --> submit --> sleep if idle
 *          ^                                                                           |
 *          +---------------------------------------------------------------------------+
 *
 * One turn does each of these once. What is above core/ never makes a system call: it starts an
 * operation here and names what happens next. Two backends stand behind this header: io_uring
 * (core/uring.h) and the simulator (core/sim.h), which plays clock, random, network and disk from
 * one seed and runs any number of reactors in one thread.
 *
 * Everything here is called on the reactor's own thread, but for what says otherwise. Operations
 * end in `then`, on the same reactor, never inside the call that began them. Only a timer can be
 * taken back: to end a receive or send, shut the socket down and wait for it to come home.
 */
#ifndef CORE_REACTOR_H
#define CORE_REACTOR_H

#include "core/files.h"
#include "core/mailbox.h"
#include "core/metrics.h"
#include "core/op.h"
#include "core/report.h"
#include "core/slab.h"
#include "core/timer.h"

#include <sys/socket.h>
#include <sys/uio.h>

struct reactor;

/* Receive what has arrived on a socket.
 *   result   bytes, 0 at the peer's end, or -errno */
struct receive {
    struct op op;
    int fd;
    uint32_t bytes_max; /* room at `into` */
    uint8_t *into;      /* NULL: one of the reactor's hot buffers is used, ... */
    uint8_t *data;      /* ... and the bytes lie here, until `then` returns */
};

/* Send of a gather list what the socket takes now. With an empty list: nothing, but end when the
 * socket would take some. At most one send at a time per socket. It never waits with bytes in hand:
 * whose they are is for the caller to say.
 *   result   bytes taken, fewer than all when the socket is full, or -errno (the socket is then good
 *            for nothing more) */
struct send {
    struct op op;
    int fd;
    uint32_t iov_count;    /* at most SEND_IOV_MAX */
    struct iovec *iov;     /* borrowed until then; none of them is empty */
    bool more;             /* more follows at once: the kernel may hold this back for it */
    struct msghdr message; /* the backend's */
};
enum { SEND_IOV_MAX = 64 };

/* Read from or write to a file opened with FILES_DIRECT: buffer, position and bytes are multiples
 * of FILE_BLOCK_BYTES. Short transfers are resumed behind the seam.
 *   result   bytes (reading: fewer than asked only at the file's end), or -errno */
struct file_io {
    struct op op;
    int fd;
    uint32_t bytes;
    uint8_t *buffer; /* borrowed until then */
    uint64_t position;
    bool durable; /* a write: on stable storage before it ends (RWF_DSYNC) */
};
enum { FILE_BLOCK_BYTES = 4096 };

/* Blocking work in a straight line, off the reactor: jobs of one reactor run one after the other in
 * the order they began. `run` touches nothing but its job and `files`.
 *   result   what run returned */
struct job {
    struct op op;
    int64_t (*run)(struct job *job, struct files *files);
};

struct listen_address {
    char host[64]; /* numeric, IPv4 or IPv6 */
    uint16_t port; /* 0: any; reactor_listen stores the one it got */
};

/* -- network ----------------------------------------------------------------------------------- */

/* A listening socket, or -errno. */
[[nodiscard]] int reactor_listen(struct reactor *reactor, struct listen_address *address);

/* op->result: the connection's fd, or -errno. A connection may then be served by any reactor. */
void reactor_accept(struct reactor *reactor, int listener, struct op *op, op_fn *then);

/* After an accept ended with -EMFILE or -ENFILE: close the connection that has waited longest, with
 * a descriptor kept for this, so that its peer is not left hanging. False: none waits. */
bool reactor_refuse(struct reactor *reactor, int listener);

void reactor_receive(struct reactor *reactor, struct receive *receive, op_fn *then);
void reactor_send(struct reactor *reactor, struct send *send, op_fn *then);

/* Pending accepts, receives and sends of the socket end soon; fd stays taken until reactor_close. */
void reactor_shutdown(struct reactor *reactor, int fd);

/* Nothing may be pending on fd. */
void reactor_close(struct reactor *reactor, int fd);

/* -- disk -------------------------------------------------------------------------------------- */

void reactor_read(struct reactor *reactor, struct file_io *io, op_fn *then);
void reactor_write(struct reactor *reactor, struct file_io *io, op_fn *then);

/* All writes to the file that have ended are on stable storage. op->result: 0 or -errno. */
void reactor_flush(struct reactor *reactor, int fd, struct op *op, op_fn *then);

void reactor_job(struct reactor *reactor, struct job *job, op_fn *then);

/* -- other reactors ---------------------------------------------------------------------------- */

/* Run `then(op)` on `target`; the op comes home when somebody there runs it back. Messages from one
 * reactor to another arrive in the order they were sent. To itself: as reactor_ready. The only way
 * to another core. op->result is kept. */
void reactor_run(struct reactor *reactor, struct reactor *target, struct op *op, op_fn *then);

/* -- later on this reactor --------------------------------------------------------------------- */

/* Soon, behind what is ready now: for steps that yield so that no turn grows long. */
void reactor_ready(struct reactor *reactor, struct op *op, op_fn *then);

/* Behind requests: write-back, scrubbing. A turn runs a few of these, never none. */
void reactor_background(struct reactor *reactor, struct op *op, op_fn *then);

/* -- time and chance --------------------------------------------------------------------------- */

uint64_t reactor_now_us(const struct reactor *reactor); /* monotonic; read once a turn */
int64_t reactor_wall_ms(const struct reactor *reactor); /* since 1970, for others to see */
uint64_t reactor_random(struct reactor *reactor);       /* for decisions; cheap */
void reactor_entropy(struct reactor *reactor, void *bytes, size_t count); /* for identities */

/* -- the loop ---------------------------------------------------------------------------------- */

struct backend { /* one table per backend; each row is the operation of its name above */
    const char *name;
    int (*listen)(struct reactor *reactor, struct listen_address *address);
    void (*accept)(struct reactor *reactor, int listener, struct op *op);
    bool (*refuse)(struct reactor *reactor, int listener);
    void (*receive)(struct reactor *reactor, struct receive *receive);
    void (*send)(struct reactor *reactor, struct send *send);
    void (*shutdown)(struct reactor *reactor, int fd);
    void (*close)(struct reactor *reactor, int fd);
    void (*read)(struct reactor *reactor, struct file_io *io);
    void (*write)(struct reactor *reactor, struct file_io *io);
    void (*flush)(struct reactor *reactor, int fd, struct op *op);
    void (*job)(struct reactor *reactor, struct job *job);
    void (*wake)(struct reactor *reactor, struct reactor *target); /* it sleeps and has mail */
    void (*entropy)(struct reactor *reactor, void *bytes, size_t count);
    /* Submit what was begun and run what has ended; when nothing has, first sleep until something
     * ends, a wake, or sleep_us have passed (0: do not sleep, UINT64_MAX: no limit). After it
     * slept and before it runs anything it calls reactor_awake. How many ops ran. */
    uint32_t (*turn)(struct reactor *reactor, uint64_t sleep_us);
    void (*clock)(struct reactor *reactor, uint64_t *now_us, int64_t *wall_ms);
};

struct reactor {
    uint32_t index;          /* set before the thread starts, only read since, as the next three */
    uint32_t count;          /* reactors of this broker */
    struct reactor **peers;  /* [count], this one too */
    struct reports *reports; /* shared by all, thread-safe; outlives them */
    struct slabs slabs;      /* this reactor's memory */
    struct metrics metrics;  /* written here, read anywhere */

    /* reactor.c and the backend only */
    const struct backend *backend;
    void *backend_state;
    uint64_t now_us;
    int64_t wall_ms;
    uint64_t random[4]; /* xoshiro256** */
    struct timers timers;
    struct op_queue ready;
    struct op_queue background;
    struct mailroom mailroom;
    bool turned; /* at least once */
    bool stopping;
};

/* Memory and plain state, and its place in peers[]; then uring_attach or sim_attach gives it a backend.
 *   memory_bytes   this reactor's budget, shared out by core/budget.def
 *   0 or -errno */
[[nodiscard]] int reactor_init(struct reactor *reactor, uint32_t index, uint32_t count,
                               struct reactor **peers, uint64_t memory_bytes, uint64_t seed,
                               struct reports *reports);
void reactor_deinit(struct reactor *reactor);

/* For backends: from here on the reactor can do its work. */
void reactor_attach(struct reactor *reactor, const struct backend *backend, void *state);

/* One turn of the loop. True if anything ran. */
bool reactor_turn(struct reactor *reactor, bool may_sleep);

/* How long the next turn may sleep if nothing ends and no mail comes: 0 if there is work,
 * UINT64_MAX if not even a timer runs. */
uint64_t reactor_sleep_us(const struct reactor *reactor);

/* For backends: it has slept. Reads the clock. */
void reactor_awake(struct reactor *reactor);

/* Turns until reactor_stop was called, on this reactor. */
void reactor_loop(struct reactor *reactor);
void reactor_stop(struct reactor *reactor);

#endif
