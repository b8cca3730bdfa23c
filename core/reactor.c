#include "core/reactor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAIL_BATCH = 64,
    BACKGROUND_BUSY = 1, /* slices in a turn that had other work */
    BACKGROUND_IDLE = 16,
    BACKGROUND_US_MAX = 200, /* no further slice after this */
    SPILL_RETRY_US = 50,     /* a full ring's reader is behind: look again, do not spin */
};

/* -- starting ---------------------------------------------------------------------------------- */

static void random_seed(uint64_t random[4], uint64_t seed) /* splitmix64, as its authors advise */
{
    for (uint32_t i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15;
        uint64_t x = seed;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
        x = (x ^ x >> 27) * 0x94d049bb133111eb;
        random[i] = x ^ x >> 31;
    }
}

int reactor_init(struct reactor *reactor, uint32_t index, uint32_t count, struct reactor **peers,
                 uint64_t memory_bytes, uint64_t seed, struct reports *reports)
{
    assert(index < count && count <= MAILROOM_REACTORS_MAX);
    memset(reactor, 0, sizeof(*reactor));
    reactor->index = index;
    reactor->count = count;
    reactor->peers = peers;
    reactor->reports = reports;
    random_seed(reactor->random, seed);

    struct mailroom *mailroom = &reactor->mailroom;
    size_t mailboxes_bytes = count * sizeof(struct mailbox);
    mailroom->from = aligned_alloc(alignof(struct mailbox), mailboxes_bytes);
    mailroom->spilled = calloc(count, sizeof(struct op_queue));
    int error = -ENOMEM;
    if (mailroom->from && mailroom->spilled) {
        memset(mailroom->from, 0, mailboxes_bytes);
        error = slabs_init(&reactor->slabs, memory_bytes);
    }
    if (error) {
        reactor_deinit(reactor);
        return error;
    }
    peers[index] = reactor;
    return 0;
}

void reactor_deinit(struct reactor *reactor)
{
    slabs_deinit(&reactor->slabs);
    free(reactor->mailroom.from);
    free(reactor->mailroom.spilled);
    reactor->mailroom.from = NULL;
    reactor->mailroom.spilled = NULL;
}

void reactor_attach(struct reactor *reactor, const struct backend *backend, void *state)
{
    assert(!reactor->backend);
    reactor->backend = backend;
    reactor->backend_state = state;
    reactor_awake(reactor);
    timers_init(&reactor->timers, reactor->now_us);
}

/* -- operations: each says what it waits for, the backend does it -------------------------------- */

static void op_begin(struct op *op, op_fn *then, const char *waits_for)
{
    op->then = then;
    op->waits_for = waits_for;
}

int reactor_listen(struct reactor *reactor, struct listen_address *address)
{
    return reactor->backend->listen(reactor, address);
}

void reactor_accept(struct reactor *reactor, int listener, struct op *op, op_fn *then)
{
    op_begin(op, then, "accept");
    reactor->backend->accept(reactor, listener, op);
}

bool reactor_refuse(struct reactor *reactor, int listener)
{
    return reactor->backend->refuse(reactor, listener);
}

void reactor_receive(struct reactor *reactor, struct receive *receive, op_fn *then)
{
    op_begin(&receive->op, then, "receive");
    reactor->backend->receive(reactor, receive);
}

void reactor_send(struct reactor *reactor, struct send *send, op_fn *then)
{
    assert(send->iov_count <= SEND_IOV_MAX);
    op_begin(&send->op, then, "send");
    reactor->backend->send(reactor, send);
}

void reactor_shutdown(struct reactor *reactor, int fd)
{
    reactor->backend->shutdown(reactor, fd);
}

void reactor_close(struct reactor *reactor, int fd)
{
    reactor->backend->close(reactor, fd);
}

static void file_io_check(const struct file_io *io)
{
    assert((uintptr_t)io->buffer % FILE_BLOCK_BYTES == 0);
    assert(io->bytes % FILE_BLOCK_BYTES == 0);
    assert(io->position % FILE_BLOCK_BYTES == 0);
}

void reactor_read(struct reactor *reactor, struct file_io *io, op_fn *then)
{
    file_io_check(io);
    op_begin(&io->op, then, "disk read");
    reactor->backend->read(reactor, io);
}

void reactor_write(struct reactor *reactor, struct file_io *io, op_fn *then)
{
    file_io_check(io);
    op_begin(&io->op, then, "disk write");
    reactor->backend->write(reactor, io);
}

void reactor_flush(struct reactor *reactor, int fd, struct op *op, op_fn *then)
{
    op_begin(op, then, "disk flush");
    reactor->backend->flush(reactor, fd, op);
}

void reactor_job(struct reactor *reactor, struct job *job, op_fn *then)
{
    op_begin(&job->op, then, "job");
    reactor->backend->job(reactor, job);
}

/* -- mail -------------------------------------------------------------------------------------- */

static uint64_t bit_of(uint32_t index)
{
    return 1ull << index % 64;
}

void reactor_run(struct reactor *reactor, struct reactor *target, struct op *op, op_fn *then)
{
    if (target == reactor) {
        reactor_ready(reactor, op, then);
        return;
    }
    op_begin(op, then, "mailbox");
    struct mailroom *mailroom = &reactor->mailroom;
    uint32_t word = target->index / 64;
    bool spilling = mailroom->spilling[word] & bit_of(target->index);
    if (spilling || !mailbox_push(&target->mailroom.from[reactor->index], op)) {
        op_queue_push(&mailroom->spilled[target->index], op);
        mailroom->spilling[word] |= bit_of(target->index);
    }
    mailroom->touched[word] |= bit_of(target->index);
}

/* Refill the target's ring from our spill list. */
static void mail_unspill(struct reactor *reactor, struct reactor *target)
{
    struct mailroom *mailroom = &reactor->mailroom;
    struct op_queue *spilled = &mailroom->spilled[target->index];
    struct mailbox *mailbox = &target->mailroom.from[reactor->index];
    while (spilled->head) {
        struct op *op = spilled->head;
        struct op *next = op->next; /* once pushed, it is the target's */
        if (!mailbox_push(mailbox, op)) {
            return;
        }
        spilled->head = next;
    }
    spilled->tail = NULL;
    mailroom->spilling[target->index / 64] &= ~bit_of(target->index);
}

/* The batch of this turn is complete: say that there is mail, wake who sleeps. */
static void mail_publish(struct reactor *reactor)
{
    struct mailroom *mailroom = &reactor->mailroom;
    for (uint32_t word = 0; word < MAILROOM_WORDS; word++) {
        uint64_t touched = mailroom->touched[word] | mailroom->spilling[word];
        mailroom->touched[word] = 0;
        for (; touched; touched &= touched - 1) {
            struct reactor *target = reactor->peers[word * 64 + __builtin_ctzll(touched)];
            struct mailroom *theirs = &target->mailroom;
            if (mailroom->spilling[word] & bit_of(target->index)) {
                mail_unspill(reactor, target);
            }
            /* Sequentially consistent, as are the stores and loads in reactor_turn: either we see
             * that it sleeps, or it sees our bit before it does. */
            atomic_fetch_or(&theirs->has_mail[reactor->index / 64], bit_of(reactor->index));
            if (atomic_load(&theirs->sleeping) && atomic_exchange(&theirs->sleeping, false)) {
                reactor->backend->wake(reactor, target);
            }
        }
    }
}

static bool mail_waits(const struct mailroom *mailroom)
{
    for (uint32_t word = 0; word < MAILROOM_WORDS; word++) {
        if (atomic_load(&mailroom->has_mail[word])) {
            return true;
        }
    }
    return false;
}

/* At most a full ring of one sender: what it sends meanwhile is for the next turn. */
static uint32_t mail_drain_from(struct reactor *reactor, uint32_t sender)
{
    struct mailroom *mailroom = &reactor->mailroom;
    struct op *ops[MAIL_BATCH];
    uint32_t total = 0;
    while (total < MAILBOX_SLOTS) {
        uint32_t count = mailbox_drain(&mailroom->from[sender], ops, MAIL_BATCH);
        for (uint32_t i = 0; i < count; i++) {
            ops[i]->then(ops[i]);
        }
        total += count;
        if (count < MAIL_BATCH) {
            return total;
        }
    }
    atomic_fetch_or(&mailroom->has_mail[sender / 64], bit_of(sender));
    return total;
}

static uint32_t mail_drain(struct reactor *reactor)
{
    struct mailroom *mailroom = &reactor->mailroom;
    uint32_t total = 0;
    for (uint32_t word = 0; word < MAILROOM_WORDS; word++) {
        if (atomic_load_explicit(&mailroom->has_mail[word], memory_order_relaxed) == 0) {
            continue;
        }
        uint64_t senders = atomic_exchange(&mailroom->has_mail[word], 0);
        for (; senders; senders &= senders - 1) {
            total += mail_drain_from(reactor, word * 64 + __builtin_ctzll(senders));
        }
    }
    if (total) {
        metric_add(&reactor->metrics, METRIC_MAIL, total);
    }
    return total;
}

/* -- later, time, chance ----------------------------------------------------------------------- */

void reactor_ready(struct reactor *reactor, struct op *op, op_fn *then)
{
    op_begin(op, then, "ready");
    op_queue_push(&reactor->ready, op);
}

void reactor_background(struct reactor *reactor, struct op *op, op_fn *then)
{
    op_begin(op, then, "background");
    op_queue_push(&reactor->background, op);
}

uint64_t reactor_now_us(const struct reactor *reactor)
{
    return reactor->now_us;
}

int64_t reactor_wall_ms(const struct reactor *reactor)
{
    return reactor->wall_ms;
}

static uint64_t rotate_left(uint64_t x, uint32_t bits)
{
    return x << bits | x >> (64 - bits);
}

uint64_t reactor_random(struct reactor *reactor)
{
    uint64_t *s = reactor->random;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

void reactor_entropy(struct reactor *reactor, void *bytes, size_t count)
{
    reactor->backend->entropy(reactor, bytes, count);
}

/* -- the loop ---------------------------------------------------------------------------------- */

static uint32_t ready_run(struct reactor *reactor)
{
    struct op_queue now = reactor->ready; /* what becomes ready meanwhile is for the next turn */
    reactor->ready = (struct op_queue){0};
    uint32_t count = 0;
    for (struct op *op; (op = op_queue_pop(&now)); count++) {
        op->then(op);
    }
    return count;
}

static uint32_t background_run(struct reactor *reactor, bool busy)
{
    if (op_queue_is_empty(&reactor->background)) {
        return 0;
    }
    uint32_t limit = busy ? BACKGROUND_BUSY : BACKGROUND_IDLE;
    uint64_t begun_us, now_us;
    int64_t wall_ms;
    reactor->backend->clock(reactor, &begun_us, &wall_ms);
    uint32_t count = 0;
    do {
        struct op *op = op_queue_pop(&reactor->background);
        op->then(op);
        count++;
        reactor->backend->clock(reactor, &now_us, &wall_ms);
    } while (count < limit && now_us - begun_us < BACKGROUND_US_MAX &&
             !op_queue_is_empty(&reactor->background));
    return count;
}

uint64_t reactor_sleep_us(const struct reactor *reactor)
{
    if (!op_queue_is_empty(&reactor->ready) || !op_queue_is_empty(&reactor->background) ||
        mail_waits(&reactor->mailroom) || reactor->stopping) {
        return 0;
    }
    uint64_t due_us = timers_next_us(&reactor->timers);
    uint64_t sleep_us = UINT64_MAX;
    if (due_us != UINT64_MAX) {
        sleep_us = due_us > reactor->now_us ? due_us - reactor->now_us : 0;
    }
    for (uint32_t word = 0; word < MAILROOM_WORDS; word++) {
        if (reactor->mailroom.spilling[word] && sleep_us > SPILL_RETRY_US) {
            sleep_us = SPILL_RETRY_US;
        }
    }
    return sleep_us;
}

void reactor_awake(struct reactor *reactor)
{
    atomic_store_explicit(&reactor->mailroom.sleeping, false, memory_order_relaxed);
    reactor->backend->clock(reactor, &reactor->now_us, &reactor->wall_ms);
}

bool reactor_turn(struct reactor *reactor, bool may_sleep)
{
    uint64_t begun_us = reactor->now_us;
    reactor_awake(reactor);
    if (reactor->turned) { /* the turn before, up to this one */
        metric_observe(&reactor->metrics, HISTOGRAM_TURN_US, reactor->now_us - begun_us);
    }
    reactor->turned = true;
    uint64_t sleep_us = may_sleep ? reactor_sleep_us(reactor) : 0;
    if (sleep_us) {
        atomic_store(&reactor->mailroom.sleeping, true);
        if (mail_waits(&reactor->mailroom)) { /* the last look; see mail_publish */
            atomic_store(&reactor->mailroom.sleeping, false);
            sleep_us = 0;
        }
    }
    uint32_t count = reactor->backend->turn(reactor, sleep_us);
    count += mail_drain(reactor);
    count += timers_run(&reactor->timers, reactor->now_us);
    count += ready_run(reactor);
    count += background_run(reactor, count > 0);
    mail_publish(reactor);
    metric_add(&reactor->metrics, METRIC_TURNS, 1);
    if (sleep_us) {
        metric_add(&reactor->metrics, METRIC_SLEEPS, 1);
    }
    return count > 0;
}

void reactor_loop(struct reactor *reactor)
{
    while (!reactor->stopping) {
        reactor_turn(reactor, true);
    }
    reactor_turn(reactor, false); /* hands the kernel what the last one left: wake-ups of others */
}

void reactor_stop(struct reactor *reactor)
{
    reactor->stopping = true;
}
