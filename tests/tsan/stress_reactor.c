/*
 * stress_reactor -- reactor_run between real reactors on io_uring: stress_reactor COUNT [MASK]
 *
 * Every reactor sends numbered messages to every other in bursts that overflow a ring, pauses for a
 * timer now and then so that its peers fall asleep, and has its helper thread run jobs beside. A
 * message that arrives is sent home; home counts it. Checked: order for each pair and direction,
 * nothing lost, nobody sleeps through a wake-up (the program would stand still and be stopped).
 *
 * ThreadSanitizer does not see what the kernel orders: a completion that one ring posts into
 * another is no edge to it. Nothing rests on one: mail is published by atomics, jobs by a mutex, and
 * a wake-up says only "look".
 */
#include "core/uring.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    REACTORS_MAX = 4,
    ROUNDS = 12000,
    BURST_MAX = MAILBOX_SLOTS + 64,
    PAUSE_US_MAX = 3000,
    SECONDS_MAX = 25,
    MEMORY_BYTES = 16 << 20,
};

struct node;

struct message {
    struct op op;
    struct node *home;
    uint32_t to;
    uint32_t number; /* of its pair */
};

struct node { /* one reactor and what runs on it */
    struct reactor reactor;
    struct node *nodes; /* [count] */
    struct message messages[BURST_MAX];
    uint32_t out; /* of messages, not yet home */
    uint32_t rounds_left;
    uint32_t sent[REACTORS_MAX];     /* to each */
    uint32_t returned[REACTORS_MAX]; /* by each */
    uint32_t arrived[REACTORS_MAX];  /* from each */
    uint32_t nodes_done;             /* of node 0: who has finished its rounds */
    struct timer pause;
    struct job job;
    struct op farewell;
    bool job_runs;
};

static void burst_send(struct node *node);
static void message_arrived(struct op *op);
static void message_home(struct op *op);
static void pause_over(struct op *op);
static void job_ended(struct op *op);
static void node_done(struct op *op);
static void node_stop(struct op *op);

static uint32_t random_below(struct node *node, uint32_t bound)
{
    return reactor_random(&node->reactor) % bound;
}

static int64_t job_run(struct job *job, struct files *files)
{
    return 7;
}

static void job_ended(struct op *op)
{
    struct node *node = container_of(op, struct node, job.op);
    assert(op->result == 7);
    node->job_runs = false;
}

static void burst_send(struct node *node)
{
    /* Mostly one: then both sides fall asleep all the time, which is when a wake-up is lost. */
    uint32_t count = random_below(node, 16) ? 1 : 1 + random_below(node, BURST_MAX);
    node->out = count;
    for (uint32_t i = 0; i < count; i++) {
        struct message *message = &node->messages[i];
        message->home = node;
        do {
            message->to = random_below(node, node->reactor.count);
        } while (message->to == node->reactor.index);
        message->number = node->sent[message->to]++;
        reactor_run(&node->reactor, &node->nodes[message->to].reactor, &message->op,
                    message_arrived);
    }
    if (!node->job_runs) {
        node->job_runs = true;
        node->job.run = job_run;
        reactor_job(&node->reactor, &node->job, job_ended);
    }
}

static void message_arrived(struct op *op)
{
    struct message *message = container_of(op, struct message, op);
    struct node *here = &message->home->nodes[message->to];
    uint32_t from = message->home->reactor.index;
    assert(message->number == here->arrived[from]);
    here->arrived[from]++;
    reactor_run(&here->reactor, &message->home->reactor, op, message_home);
}

static void message_home(struct op *op)
{
    struct message *message = container_of(op, struct message, op);
    struct node *node = message->home;
    assert(message->number == node->returned[message->to]);
    node->returned[message->to]++;
    if (--node->out > 0) {
        return;
    }
    if (--node->rounds_left == 0) {
        reactor_run(&node->reactor, &node->nodes[0].reactor, &node->farewell, node_done);
    } else if (random_below(node, 16) == 0) {
        timer_start(&node->reactor, &node->pause, random_below(node, PAUSE_US_MAX), pause_over);
    } else {
        burst_send(node);
    }
}

static void pause_over(struct op *op)
{
    burst_send(container_of(op, struct node, pause.op));
}

/* On node 0; the last one to finish lets everyone stop. */
static void node_done(struct op *op)
{
    struct node *first = container_of(op, struct node, farewell)->nodes;
    if (++first->nodes_done == first->reactor.count) {
        for (uint32_t i = 0; i < first->reactor.count; i++) {
            struct node *node = &first->nodes[i];
            reactor_run(&first->reactor, &node->reactor, &node->farewell, node_stop);
        }
    }
}

static void node_stop(struct op *op)
{
    reactor_stop(&container_of(op, struct node, farewell)->reactor);
}

static void *node_loop(void *argument)
{
    struct node *node = argument;
    burst_send(node);
    reactor_loop(&node->reactor);
    while (node->job_runs) {
        reactor_turn(&node->reactor, false);
    }
    reactor_turn(&node->reactor, false); /* submits the last wake-ups */
    return NULL;
}

static void nodes_start(struct node *nodes, uint32_t count, const struct features *features)
{
    static struct reactor *peers[REACTORS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        struct uring_options options = {.pin_cpu = -1, .features = features};
        char why[400] = "out of memory";
        nodes[i].nodes = nodes;
        nodes[i].rounds_left = ROUNDS;
        if (reactor_init(&nodes[i].reactor, i, count, peers, MEMORY_BYTES, i, NULL) != 0 ||
            uring_attach(&nodes[i].reactor, &options, why, sizeof(why)) != 0) {
            fprintf(stderr, "%s\n", why);
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    uint32_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 2;
    struct features features;
    char unknown[64];
    features_probe(&features);
    if (count < 2 || count > REACTORS_MAX ||
        (argc > 2 && !features_hide(&features, argv[2], unknown, sizeof(unknown)))) {
        fprintf(stderr, "stress_reactor COUNT [MASK]: COUNT from 2 to %d\n", REACTORS_MAX);
        return 1;
    }
    alarm(SECONDS_MAX); /* somebody sleeps through a wake-up */
    struct node *nodes = aligned_alloc(alignof(struct node), count * sizeof(struct node));
    if (!nodes) {
        return 1;
    }
    memset(nodes, 0, count * sizeof(struct node));
    nodes_start(nodes, count, &features);
    pthread_t threads[REACTORS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        pthread_create(&threads[i], NULL, node_loop, &nodes[i]);
    }
    uint64_t mail = 0, sleeps = 0;
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        mail += metric_value(&nodes[i].reactor.metrics, METRIC_MAIL);
        sleeps += metric_value(&nodes[i].reactor.metrics, METRIC_SLEEPS);
    }
    for (uint32_t i = 0; i < count; i++) {
        uring_detach(&nodes[i].reactor);
        reactor_deinit(&nodes[i].reactor);
    }
    free(nodes);
    printf("%llu messages, %llu sleeps, %u reactors\n", (unsigned long long)mail,
           (unsigned long long)sleeps, count);
    return 0;
}
