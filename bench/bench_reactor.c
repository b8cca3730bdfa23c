/*
 * bench_reactor -- what the machine itself costs, so that a regression can be seen.
 *
 *     bench_reactor [MASK [WHICH]]   MASK: features to hide, as odradek.features.mask
 *                                    WHICH: alone, echo or cross
 *
 * turn          one turn of the loop that runs one ready step
 * timer         one start and cancel among 100,000 running timers
 * slab          one take and give of 64 KiB
 * echo N        200 bytes there and back over loopback, N connections, both ends on one reactor
 * cross         a message to another reactor and back, both asleep in between
 * cross 64      the same, 64 at a time: per message
 */
#include "core/uring.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    MEMORY_BYTES = 256 << 20,
    TURNS = 1000 * 1000,
    TIMERS = 100 * 1000,
    PIECE_BYTES = 64 << 10,
    REQUEST_BYTES = 200,
    CONNECTIONS_MAX = 256,
    CROSS_BATCH_MAX = 64,
};

static double clock_s(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

struct stopwatch {
    double wall_s, cpu_s;
};

static struct stopwatch stopwatch_start(void)
{
    return (struct stopwatch){clock_s(CLOCK_MONOTONIC), clock_s(CLOCK_PROCESS_CPUTIME_ID)};
}

static void stopwatch_print(const struct stopwatch *begun, const char *what, uint64_t count)
{
    double wall_s = clock_s(CLOCK_MONOTONIC) - begun->wall_s;
    double cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) - begun->cpu_s;
    printf("%-10s %10.3f us each %10.3f us CPU\n", what, wall_s / (double)count * 1e6,
           cpu_s / (double)count * 1e6);
}

static void reactors_init(struct reactor *reactors, struct reactor **peers, uint32_t count,
                          const struct features *features)
{
    for (uint32_t i = 0; i < count; i++) {
        struct uring_options options = {.pin_cpu = -1, .features = features};
        char why[400] = "out of memory";
        if (reactor_init(&reactors[i], i, count, peers, MEMORY_BYTES, i, NULL) != 0 ||
            uring_attach(&reactors[i], &options, why, sizeof(why)) != 0) {
            fprintf(stderr, "%s\n", why);
            exit(1);
        }
    }
}

static void reactors_deinit(struct reactor *reactors, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uring_detach(&reactors[i]);
        reactor_deinit(&reactors[i]);
    }
}

/* -- alone ------------------------------------------------------------------------------------- */

struct step {
    struct op op;
    struct reactor *reactor;
    uint32_t left;
};

static void step_again(struct op *op)
{
    struct step *step = container_of(op, struct step, op);
    if (--step->left > 0) {
        reactor_ready(step->reactor, op, step_again);
    }
}

static void nothing(struct op *op)
{
}

static void bench_alone(const struct features *features)
{
    struct reactor reactor;
    struct reactor *peers[1];
    reactors_init(&reactor, peers, 1, features);
    struct step step = {.reactor = &reactor, .left = TURNS};
    struct stopwatch stopwatch = stopwatch_start();
    reactor_ready(&reactor, &step.op, step_again);
    while (step.left > 0) {
        reactor_turn(&reactor, true);
    }
    stopwatch_print(&stopwatch, "turn", TURNS);

    struct timer *timers = calloc(TIMERS, sizeof(*timers));
    for (uint32_t i = 0; timers && i < TIMERS; i++) {
        timer_start(&reactor, &timers[i], reactor_random(&reactor) % 600000000, nothing);
    }
    stopwatch = stopwatch_start();
    for (uint32_t i = 0; timers && i < TURNS; i++) {
        struct timer *timer = &timers[reactor_random(&reactor) % TIMERS];
        timer_cancel(&reactor, timer);
        timer_start(&reactor, timer, reactor_random(&reactor) % 600000000, nothing);
    }
    stopwatch_print(&stopwatch, "timer", TURNS);
    free(timers);

    stopwatch = stopwatch_start();
    for (uint32_t i = 0; i < TURNS; i++) {
        void *piece = slab_take(&reactor.slabs, BUDGET_TAIL, PIECE_BYTES);
        slab_give(&reactor.slabs, BUDGET_TAIL, piece, PIECE_BYTES);
    }
    stopwatch_print(&stopwatch, "slab", TURNS);
    reactors_deinit(&reactor, 1);
}

/* -- echo -------------------------------------------------------------------------------------- */

struct end { /* of a connection: sends what it received; the client's counts */
    struct reactor *reactor;
    struct receive receive;
    struct send send;
    struct iovec iov;
    uint32_t *trips_left; /* NULL: the server's */
    uint8_t bytes[REQUEST_BYTES];
};

static void end_receive(struct op *op);

static void end_received(struct op *op)
{
    struct end *end = container_of(op, struct end, receive.op);
    if (op->result != REQUEST_BYTES) { /* loopback keeps 200 bytes together */
        fprintf(stderr, "echo: %lld\n", (long long)op->result);
        exit(1);
    }
    memcpy(end->bytes, end->receive.data, REQUEST_BYTES);
    if (end->trips_left) {
        if (*end->trips_left == 0) {
            return;
        }
        --*end->trips_left;
    }
    end->iov = (struct iovec){end->bytes, REQUEST_BYTES};
    end->send.iov = &end->iov;
    end->send.iov_count = 1;
    reactor_send(end->reactor, &end->send, end_receive);
}

static void end_receive(struct op *op)
{
    struct end *end = container_of(op, struct end, send.op);
    reactor_receive(end->reactor, &end->receive, end_received);
}

static void note(struct op *op)
{
    op->waits_for = NULL;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        perror("connect");
        exit(1);
    }
    return fd;
}

static void bench_echo(const struct features *features, uint32_t connections, uint32_t trips)
{
    static struct end clients[CONNECTIONS_MAX], servers[CONNECTIONS_MAX];
    struct reactor reactor;
    struct reactor *peers[1];
    reactors_init(&reactor, peers, 1, features);
    struct listen_address address = {.host = "127.0.0.1"};
    int listener = reactor_listen(&reactor, &address);
    uint32_t left = trips;
    for (uint32_t i = 0; i < connections; i++) {
        struct op accept;
        reactor_accept(&reactor, listener, &accept, note);
        int client = connect_to(address.port);
        while (accept.waits_for) {
            reactor_turn(&reactor, true);
        }
        clients[i] = (struct end){.reactor = &reactor, .trips_left = &left};
        clients[i].receive.fd = clients[i].send.fd = client;
        servers[i] = (struct end){.reactor = &reactor};
        servers[i].receive.fd = servers[i].send.fd = (int)accept.result;
        end_receive(&servers[i].send.op);
        clients[i].iov = (struct iovec){clients[i].bytes, REQUEST_BYTES};
        clients[i].send.iov = &clients[i].iov;
        clients[i].send.iov_count = 1;
    }
    struct stopwatch stopwatch = stopwatch_start();
    for (uint32_t i = 0; i < connections; i++) {
        reactor_send(&reactor, &clients[i].send, end_receive);
    }
    while (left > 0) {
        reactor_turn(&reactor, true);
    }
    char what[32];
    snprintf(what, sizeof(what), "echo %u", connections);
    stopwatch_print(&stopwatch, what, trips);
    reactors_deinit(&reactor, 1);
    for (uint32_t i = 0; i < connections; i++) {
        close(clients[i].receive.fd);
        close(servers[i].receive.fd);
    }
    close(listener);
}

/* -- two reactors ------------------------------------------------------------------------------ */

struct traveller {
    struct op op;
    struct reactor *reactors;
    uint32_t *left;
};

static void traveller_away(struct op *op);

static void traveller_home(struct op *op)
{
    struct traveller *traveller = container_of(op, struct traveller, op);
    struct reactor *home = &traveller->reactors[0], *other = &traveller->reactors[1];
    if (*traveller->left > 0) {
        --*traveller->left;
        reactor_run(home, other, op, traveller_away);
    } else {
        reactor_stop(home);
    }
}

static void traveller_away(struct op *op)
{
    struct traveller *traveller = container_of(op, struct traveller, op);
    struct reactor *home = &traveller->reactors[0], *other = &traveller->reactors[1];
    if (*(volatile uint32_t *)traveller->left == 0) {
        reactor_stop(other);
    }
    reactor_run(other, home, op, traveller_home);
}

static void *loop(void *argument)
{
    struct reactor *reactor = argument;
    reactor_loop(reactor);
    reactor_turn(reactor, false); /* submits the last wake-up */
    return NULL;
}

static void bench_cross(const struct features *features, uint32_t batch, uint32_t trips)
{
    struct reactor reactors[2];
    struct reactor *peers[2];
    struct traveller travellers[CROSS_BATCH_MAX];
    reactors_init(reactors, peers, 2, features);
    uint32_t left = trips;
    struct stopwatch stopwatch = stopwatch_start();
    for (uint32_t i = 0; i < batch; i++) {
        travellers[i] = (struct traveller){.reactors = reactors, .left = &left};
        reactor_ready(&reactors[0], &travellers[i].op, traveller_home);
    }
    pthread_t threads[2];
    for (uint32_t i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, loop, &reactors[i]);
    }
    for (uint32_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    char what[32];
    snprintf(what, sizeof(what), batch == 1 ? "cross" : "cross %u", batch);
    stopwatch_print(&stopwatch, what, trips);
    reactors_deinit(reactors, 2);
}

int main(int argc, char **argv)
{
    struct features features;
    char unknown[64];
    features_probe(&features);
    if (argc > 1 && !features_hide(&features, argv[1], unknown, sizeof(unknown))) {
        fprintf(stderr, "no such feature: %s\n", unknown);
        return 1;
    }
    const char *which = argc > 2 ? argv[2] : "alone echo cross";
    if (strstr(which, "alone")) {
        bench_alone(&features);
    }
    if (strstr(which, "echo")) {
        bench_echo(&features, 1, 50 * 1000);
        bench_echo(&features, 16, 200 * 1000);
        bench_echo(&features, 256, 200 * 1000);
    }
    if (strstr(which, "cross")) {
        bench_cross(&features, 1, 50 * 1000);
        bench_cross(&features, CROSS_BATCH_MAX, 1000 * 1000);
    }
    return 0;
}
