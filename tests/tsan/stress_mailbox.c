/*
 * stress_mailbox -- the mailbox ring alone, between every two of several threads.
 *
 * Each thread sends numbered messages to each other thread in bursts of random size and drains in
 * batches of random size, so that rings are found full, empty and at their wrap. Order for each
 * pair, nothing lost, nothing doubled; what a message carries was written before it was pushed.
 */
#include "core/mailbox.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, MESSAGES = 20000 /* for each ordered pair */ };

struct message {
    struct op op;
    uint32_t number;
};

struct stress {
    struct mailbox *mailboxes[THREADS][THREADS]; /* [reader][writer] */
    struct message *messages[THREADS][THREADS];  /* [writer][reader], the writer's until pushed */
};

struct worker {
    struct stress *stress;
    uint32_t index;
    uint64_t random;
};

static uint32_t random_below(struct worker *worker, uint32_t bound)
{
    worker->random = worker->random * 6364136223846793005u + 1442695040888963407u;
    return (worker->random >> 33) % bound;
}

static void send_burst(struct worker *worker, uint32_t to, uint32_t *sent)
{
    struct message *messages = worker->stress->messages[worker->index][to];
    struct mailbox *mailbox = worker->stress->mailboxes[to][worker->index];
    for (uint32_t left = random_below(worker, 2 * MAILBOX_SLOTS); left > 0; left--) {
        if (*sent == MESSAGES) {
            return;
        }
        messages[*sent].number = *sent;
        messages[*sent].op.result = worker->index;
        if (!mailbox_push(mailbox, &messages[*sent].op)) {
            return;
        }
        ++*sent;
    }
}

static void drain_some(struct worker *worker, uint32_t from, uint32_t *received)
{
    struct op *ops[MAILBOX_SLOTS];
    uint32_t count = mailbox_drain(worker->stress->mailboxes[worker->index][from], ops,
                                   1 + random_below(worker, MAILBOX_SLOTS));
    for (uint32_t i = 0; i < count; i++) {
        struct message *message = container_of(ops[i], struct message, op);
        assert(message->number == *received);
        assert(ops[i]->result == from);
        ops[i]->result = -1; /* the reader's now: a race would be seen */
        ++*received;
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    uint32_t sent[THREADS] = {0}, received[THREADS] = {0};
    for (bool done = false; !done;) {
        done = true;
        for (uint32_t peer = 0; peer < THREADS; peer++) {
            if (peer != worker->index) {
                send_burst(worker, peer, &sent[peer]);
                drain_some(worker, peer, &received[peer]);
                done = done && sent[peer] == MESSAGES && received[peer] == MESSAGES;
            }
        }
        sched_yield();
    }
    return NULL;
}

static void *checked(void *memory)
{
    if (!memory) {
        abort();
    }
    return memory;
}

int main(void)
{
    struct stress stress;
    for (uint32_t i = 0; i < THREADS; i++) {
        for (uint32_t j = 0; j < THREADS; j++) {
            struct mailbox *mailbox =
                checked(aligned_alloc(alignof(struct mailbox), sizeof(*mailbox)));
            atomic_init(&mailbox->written, UINT32_MAX - MESSAGES / 2); /* wraps on the way */
            atomic_init(&mailbox->read, UINT32_MAX - MESSAGES / 2);
            stress.mailboxes[i][j] = mailbox;
            stress.messages[i][j] = checked(calloc(MESSAGES, sizeof(struct message)));
        }
    }
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.stress = &stress, .index = i, .random = i};
        pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (uint32_t i = 0; i < THREADS * THREADS; i++) {
        free(stress.mailboxes[i / THREADS][i % THREADS]);
        free(stress.messages[i / THREADS][i % THREADS]);
    }
    printf("%d messages between %d threads\n", MESSAGES * THREADS * (THREADS - 1), THREADS);
    return 0;
}
