#define _GNU_SOURCE
#include "core/uring.h"

#include "tests/core/reactor_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Each flow is tried with all features found, and with all of them hidden. */
static const char *const masks[] = {"", "all", "buffer_ring", "msg_ring,ring_fd"};
enum { MASKS = sizeof(masks) / sizeof(masks[0]) };

struct flag {
    struct op op;
    bool done;
};

static void flag_set(struct op *op)
{
    container_of(op, struct flag, op)->done = true;
}

/* -- an echo over loopback --------------------------------------------------------------------- */

enum { ECHO_BYTES = 3 << 20, ECHO_PIECE_BYTES = 150 * 1000 };

struct echo { /* a client writes, a server sends all back, the client compares */
    struct fixture fixture;
    struct op accept;
    struct receive server_receive, client_receive;
    struct send server_send, client_send;
    struct iovec server_iov, client_iov[2];
    uint8_t held[URING_BUFFER_BYTES]; /* what the server has yet to send */
    uint8_t *sent, *back;
    size_t sent_bytes, back_bytes;
    size_t asked_bytes; /* of the client's send */
    bool into;          /* the client receives into its own memory */
    bool done;          /* all came back */
    bool server_ended;
};

static struct reactor *echo_reactor(struct echo *echo)
{
    return &echo->fixture.reactors[0];
}

static void server_sent(struct op *op);

static void server_send(struct echo *echo)
{
    echo->server_send.iov_count = 1;
    reactor_send(echo_reactor(echo), &echo->server_send, server_sent);
}

static void server_received(struct op *op)
{
    struct echo *echo = container_of(op, struct echo, server_receive.op);
    if (op->result <= 0) {
        echo->server_ended = true;
        reactor_close(echo_reactor(echo), echo->server_receive.fd);
        return;
    }
    memcpy(echo->held, echo->server_receive.data, op->result);
    echo->server_iov = (struct iovec){echo->held, op->result};
    echo->server_send.iov = &echo->server_iov;
    echo->server_send.fd = echo->server_receive.fd;
    server_send(echo);
}

static void server_sent(struct op *op)
{
    struct echo *echo = container_of(op, struct echo, server_send.op);
    cr_assert_geq(op->result, 0);
    bool waited = echo->server_send.iov_count == 0;
    echo->server_iov.iov_base = (uint8_t *)echo->server_iov.iov_base + op->result;
    echo->server_iov.iov_len -= op->result;
    if (waited) {
        server_send(echo);
    } else if (echo->server_iov.iov_len > 0) { /* full: wait for room */
        echo->server_send.iov_count = 0;
        reactor_send(echo_reactor(echo), &echo->server_send, server_sent);
    } else {
        reactor_receive(echo_reactor(echo), &echo->server_receive, server_received);
    }
}

static void accepted(struct op *op)
{
    struct echo *echo = container_of(op, struct echo, accept);
    cr_assert_geq(op->result, 0);
    echo->server_receive.fd = op->result;
    reactor_receive(echo_reactor(echo), &echo->server_receive, server_received);
}

static void client_sent(struct op *op)
{
    struct echo *echo = container_of(op, struct echo, client_send.op);
    cr_assert_geq(op->result, 0);
    echo->sent_bytes += op->result;
    if (echo->sent_bytes == ECHO_BYTES) {
        return;
    }
    if (echo->client_send.iov_count > 0 && (size_t)op->result < echo->asked_bytes) {
        echo->client_send.iov_count = 0;
        reactor_send(echo_reactor(echo), &echo->client_send, client_sent);
        return;
    }
    size_t bytes = ECHO_BYTES - echo->sent_bytes;
    bytes = bytes < ECHO_PIECE_BYTES ? bytes : ECHO_PIECE_BYTES;
    uint8_t *from = echo->sent + echo->sent_bytes;
    echo->client_iov[0] = (struct iovec){from, bytes / 3};
    echo->client_iov[1] = (struct iovec){from + bytes / 3, bytes - bytes / 3};
    echo->client_send.iov = echo->client_iov;
    echo->client_send.iov_count = 2;
    echo->asked_bytes = bytes;
    reactor_send(echo_reactor(echo), &echo->client_send, client_sent);
}

static void client_receive(struct echo *echo);

static void client_received(struct op *op)
{
    struct echo *echo = container_of(op, struct echo, client_receive.op);
    cr_assert_gt(op->result, 0);
    if (!echo->into) {
        memcpy(echo->back + echo->back_bytes, echo->client_receive.data, op->result);
    }
    echo->back_bytes += op->result;
    echo->done = echo->back_bytes == ECHO_BYTES;
    if (!echo->done) {
        client_receive(echo);
    }
}

static void client_receive(struct echo *echo)
{
    if (echo->into) {
        echo->client_receive.into = echo->back + echo->back_bytes;
        echo->client_receive.bytes_max = ECHO_BYTES - echo->back_bytes;
    }
    reactor_receive(echo_reactor(echo), &echo->client_receive, client_received);
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void echo_run(const char *mask, bool into)
{
    struct echo *echo = calloc(1, sizeof(*echo));
    fixture_init(&echo->fixture, 1, mask);
    struct reactor *reactor = echo_reactor(echo);
    echo->into = into;
    echo->sent = malloc(ECHO_BYTES);
    echo->back = calloc(1, ECHO_BYTES);
    for (size_t i = 0; i < ECHO_BYTES; i++) {
        echo->sent[i] = reactor_random(reactor);
    }
    struct listen_address address = {.host = "127.0.0.1"};
    int listener = reactor_listen(reactor, &address);
    cr_assert_geq(listener, 0);
    cr_assert_neq(address.port, 0);
    reactor_accept(reactor, listener, &echo->accept, accepted);
    int client = connect_to(address.port);
    echo->client_receive.fd = echo->client_send.fd = client;
    client_receive(echo);
    echo->client_send.op.result = 0;
    client_sent(&echo->client_send.op);
    fixture_turn_until(&echo->fixture, &echo->done);
    cr_assert_eq(memcmp(echo->sent, echo->back, ECHO_BYTES), 0);

    reactor_shutdown(reactor, client);
    fixture_turn_until(&echo->fixture, &echo->server_ended);
    reactor_close(reactor, client);
    reactor_close(reactor, listener);
    fixture_deinit(&echo->fixture);
    free(echo->sent);
    free(echo->back);
    free(echo);
}

/* -- a peer that does not read ------------------------------------------------------------------ */

struct full {
    struct fixture fixture;
    struct send send;
    struct iovec iov;
    uint8_t bytes[256 << 10];
    uint32_t ended;
};

static void full_sent(struct op *op)
{
    container_of(op, struct full, send.op)->ended++;
}

static void full_turn(struct full *full)
{
    for (uint32_t i = 0; i < 20; i++) {
        reactor_turn(&full->fixture.reactors[0], false);
    }
}

Test(uring, sends_what_the_socket_takes_and_then_waits_for_room)
{
    struct full *full = calloc(1, sizeof *full);
    struct reactor *reactor = &full->fixture.reactors[0];
    fixture_init(&full->fixture, 1, "");
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    size_t taken = 0;
    do { /* each ends, though nobody reads */
        full->iov = (struct iovec){full->bytes, sizeof full->bytes};
        full->send.fd = pair[0];
        full->send.iov = &full->iov;
        full->send.iov_count = 1;
        full->ended = 0;
        reactor_send(reactor, &full->send, full_sent);
        full_turn(full);
        cr_assert_eq(full->ended, 1);
        cr_assert_geq(full->send.op.result, 0);
        taken += full->send.op.result;
    } while (full->send.op.result > 0);
    full->send.iov_count = 0;
    full->ended = 0;
    reactor_send(reactor, &full->send, full_sent);
    full_turn(full);
    cr_assert_eq(full->ended, 0);
    while (taken > 0) {
        ssize_t bytes = recv(pair[1], full->bytes, sizeof full->bytes, 0);
        cr_assert_gt(bytes, 0);
        taken -= bytes;
    }
    full_turn(full);
    cr_assert_eq(full->ended, 1);
    cr_assert_eq(full->send.op.result, 0);
    reactor_send(reactor, &full->send, full_sent); /* there is room */
    full_turn(full);
    cr_assert_eq(full->ended, 2);
    close(pair[1]);
    full->iov = (struct iovec){full->bytes, sizeof full->bytes};
    full->send.iov_count = 1;
    reactor_send(reactor, &full->send, full_sent);
    full_turn(full);
    cr_assert_eq(full->ended, 3);
    cr_assert_eq(full->send.op.result, -EPIPE);
    reactor_close(reactor, pair[0]);
    fixture_deinit(&full->fixture);
    free(full);
}

/* -- echoes ------------------------------------------------------------------------------------ */

Test(uring, echoes_through_hot_buffers)
{
    for (uint32_t i = 0; i < MASKS; i++) {
        echo_run(masks[i], false);
    }
}

Test(uring, receives_straight_into_given_memory)
{
    for (uint32_t i = 0; i < MASKS; i++) {
        echo_run(masks[i], true);
    }
}

/* -- many sockets, few buffers ----------------------------------------------------------------- */

enum { CROWD = 100 };

struct crowd {
    struct fixture fixture;
    struct receive receives[CROWD];
    uint32_t received;
    bool all;
};

static struct crowd *crowd;

static void crowd_received(struct op *op)
{
    struct receive *receive = container_of(op, struct receive, op);
    cr_assert_eq(op->result, 1);
    cr_assert_eq(receive->data[0], receive - crowd->receives);
    crowd->all = ++crowd->received == CROWD;
}

Test(uring, serves_more_ready_sockets_than_it_has_buffers)
{
    crowd = calloc(1, sizeof(*crowd));
    for (uint32_t m = 0; m < MASKS; m++) {
        memset(crowd, 0, sizeof(*crowd));
        fixture_init(&crowd->fixture, 1, masks[m]);
        int pairs[CROWD][2];
        for (uint32_t i = 0; i < CROWD; i++) {
            cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
            crowd->receives[i].fd = pairs[i][0];
            reactor_receive(&crowd->fixture.reactors[0], &crowd->receives[i], crowd_received);
        }
        reactor_turn(&crowd->fixture.reactors[0], false);
        for (uint32_t i = 0; i < CROWD; i++) {
            uint8_t byte = i;
            cr_assert_eq(write(pairs[i][1], &byte, 1), 1);
        }
        fixture_turn_until(&crowd->fixture, &crowd->all);
        for (uint32_t i = 0; i < CROWD; i++) {
            close(pairs[i][0]);
            close(pairs[i][1]);
        }
        fixture_deinit(&crowd->fixture);
    }
    free(crowd);
}

/* -- more operations than the queues hold ------------------------------------------------------ */

enum { FLOOD = 5000 };

static uint32_t flood_left;
static bool flood_over;

static void flood_done(struct op *op)
{
    cr_assert_eq(op->result, 0);
    flood_over = --flood_left == 0;
}

Test(uring, overflows_neither_of_its_queues)
{
    struct fixture fixture = {.count = 1};
    char why[256];
    features_probe(&fixture.features);
    struct uring_options options = {.entries = 64, .pin_cpu = -1, .features = &fixture.features};
    cr_assert_eq(reactor_init(&fixture.reactors[0], 0, 1, fixture.peers, 1 << 20, 1, NULL), 0);
    cr_assert_eq(uring_attach(&fixture.reactors[0], &options, why, sizeof(why)), 0);
    flood_left = FLOOD;
    static struct op flushes[FLOOD];
    char path[] = "/tmp/odradek-flood-XXXXXX";
    int fd = mkstemp(path);
    for (uint32_t i = 0; i < FLOOD; i++) {
        reactor_flush(&fixture.reactors[0], fd, &flushes[i], flood_done);
    }
    fixture_turn_until(&fixture, &flood_over);
    close(fd);
    unlink(path);
    fixture_deinit(&fixture);
}

/* -- files ------------------------------------------------------------------------------------- */

enum { FILE_BYTES = 1 << 20, FILE_TAIL_BYTES = 100 };

struct disk {
    struct fixture fixture;
    struct job job;
    struct file_io io;
    char path[64];
    int fd;
    bool done;
};

static void disk_done(struct op *op)
{
    struct disk *disk = container_of(op, struct disk, io.op);
    disk->done = true;
}

static void disk_job_done(struct op *op)
{
    container_of(op, struct disk, job.op)->done = true;
}

static int64_t disk_open(struct job *job, struct files *files)
{
    struct disk *disk = container_of(job, struct disk, job);
    disk->fd = files_open(files, disk->path, FILES_CREATE | FILES_DIRECT);
    return disk->fd < 0 ? disk->fd : files_allocate(files, disk->fd, 0, FILE_BYTES);
}

static int64_t disk_make_odd(struct job *job, struct files *files)
{
    struct disk *disk = container_of(job, struct disk, job);
    return files_truncate(files, disk->fd, FILE_BYTES / 2 + FILE_TAIL_BYTES);
}

static int64_t disk_io(struct disk *disk,
                       void (*begin)(struct reactor *, struct file_io *, op_fn *))
{
    disk->done = false;
    begin(&disk->fixture.reactors[0], &disk->io, disk_done);
    cr_assert_not(disk->done, "ends inside the call");
    fixture_turn_until(&disk->fixture, &disk->done);
    return disk->io.op.result;
}

static int64_t disk_job(struct disk *disk, int64_t (*run)(struct job *, struct files *))
{
    disk->done = false;
    disk->job.run = run;
    reactor_job(&disk->fixture.reactors[0], &disk->job, disk_job_done);
    fixture_turn_until(&disk->fixture, &disk->done);
    return disk->job.op.result;
}

static void disk_run(const char *mask)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    fixture_init(&disk->fixture, 1, mask);
    struct reactor *reactor = &disk->fixture.reactors[0];
    snprintf(disk->path, sizeof(disk->path), "/tmp/odradek-disk-%d", getpid());
    cr_assert_eq(disk_job(disk, disk_open), 0);

    uint8_t *wrote = slab_take(&reactor->slabs, BUDGET_JOURNAL, FILE_BYTES);
    uint8_t *read = slab_take(&reactor->slabs, BUDGET_JOURNAL, FILE_BYTES);
    for (size_t i = 0; i < FILE_BYTES; i++) {
        wrote[i] = reactor_random(reactor);
    }
    disk->io = (struct file_io){.fd = disk->fd, .buffer = wrote, .bytes = FILE_BYTES};
    cr_assert_eq(disk_io(disk, reactor_write), FILE_BYTES);
    disk->io.durable = true;
    cr_assert_eq(disk_io(disk, reactor_write), FILE_BYTES);
    struct flag flushed = {.done = false};
    reactor_flush(reactor, disk->fd, &flushed.op, flag_set);
    fixture_turn_until(&disk->fixture, &flushed.done);
    cr_assert_eq(flushed.op.result, 0);

    disk->io = (struct file_io){.fd = disk->fd, .buffer = read, .bytes = FILE_BYTES};
    cr_assert_eq(disk_io(disk, reactor_read), FILE_BYTES);
    cr_assert_eq(memcmp(wrote, read, FILE_BYTES), 0);
    disk->io.position = FILE_BYTES;
    cr_assert_eq(disk_io(disk, reactor_read), 0, "nothing lies behind the end");
    cr_assert_eq(disk_job(disk, disk_make_odd), 0);
    disk->io.position = 0;
    cr_assert_eq(disk_io(disk, reactor_read), FILE_BYTES / 2 + FILE_TAIL_BYTES);
    cr_assert_eq(memcmp(wrote, read, FILE_BYTES / 2 + FILE_TAIL_BYTES), 0);
    disk->io.fd = -1;
    cr_assert_eq(disk_io(disk, reactor_read), -EBADF);

    close(disk->fd);
    unlink(disk->path);
    slab_give(&reactor->slabs, BUDGET_JOURNAL, wrote, FILE_BYTES);
    slab_give(&reactor->slabs, BUDGET_JOURNAL, read, FILE_BYTES);
    fixture_deinit(&disk->fixture);
    free(disk);
}

Test(uring, reads_what_it_wrote)
{
    for (uint32_t i = 0; i < MASKS; i++) {
        disk_run(masks[i]);
    }
}

/* -- jobs -------------------------------------------------------------------------------------- */

enum { JOBS = 100 };

static uint32_t jobs_run_count, jobs_ended_count;
static bool jobs_over;

struct numbered_job {
    struct job job;
    uint32_t number;
};

static int64_t numbered_run(struct job *job, struct files *files)
{
    cr_assert_eq(container_of(job, struct numbered_job, job)->number, jobs_run_count);
    return jobs_run_count++;
}

static void numbered_ended(struct op *op)
{
    cr_assert_eq(op->result, jobs_ended_count);
    jobs_over = ++jobs_ended_count == JOBS;
}

Test(uring, runs_jobs_in_their_order)
{
    static struct numbered_job jobs[JOBS];
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture_init(fixture, 1, "");
    for (uint32_t i = 0; i < JOBS; i++) {
        jobs[i] = (struct numbered_job){.job = {.run = numbered_run}, .number = i};
        reactor_job(&fixture->reactors[0], &jobs[i].job, numbered_ended);
    }
    fixture_turn_until(fixture, &jobs_over);
    fixture_deinit(fixture);
    free(fixture);
}

/* -- several reactors -------------------------------------------------------------------------- */

enum { TRIPS = 2000 };

struct traveller { /* goes from reactor to reactor and comes home */
    struct op op;
    struct fixture *fixture;
    uint32_t at, left;
};

static void traveller_arrived(struct op *op)
{
    struct traveller *traveller = container_of(op, struct traveller, op);
    struct fixture *fixture = traveller->fixture;
    struct reactor *here = &fixture->reactors[traveller->at];
    if (traveller->left == 0) {
        reactor_stop(here);
        if (traveller->at + 1 == fixture->count) {
            return;
        }
    } else {
        traveller->left--;
    }
    traveller->at = (traveller->at + 1) % fixture->count;
    reactor_run(here, &fixture->reactors[traveller->at], op, traveller_arrived);
}

static void *loop(void *reactor)
{
    reactor_loop(reactor);
    return NULL;
}

static void travel(const char *mask)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture_init(fixture, 3, mask);
    struct traveller traveller = {.fixture = fixture, .left = 3 * TRIPS};
    reactor_ready(&fixture->reactors[0], &traveller.op, traveller_arrived);
    pthread_t threads[3];
    for (uint32_t i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, loop, &fixture->reactors[i]);
    }
    for (uint32_t i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_assert_geq(metric_value(&fixture->reactors[1].metrics, METRIC_MAIL), TRIPS);
    fixture_deinit(fixture);
    free(fixture);
}

Test(uring, wakes_a_sleeping_reactor)
{
    for (uint32_t i = 0; i < MASKS; i++) {
        travel(masks[i]);
    }
}

/* -- idle -------------------------------------------------------------------------------------- */

static void ignore(struct op *op)
{
}

Test(uring, sleeps_until_the_timer_and_turns_for_nothing_else)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture_init(fixture, 1, "");
    struct reactor *reactor = &fixture->reactors[0];
    reactor_turn(reactor, false);
    cr_assert_eq(reactor_sleep_us(reactor), UINT64_MAX, "no timer, no time limit");
    struct timer timer = {0};
    timer_start(reactor, &timer, 150 * 1000, ignore);
    uint64_t begun_us = reactor_now_us(reactor);
    uint64_t turns = metric_value(&reactor->metrics, METRIC_TURNS);
    while (timer_is_running(&timer)) {
        reactor_turn(reactor, true);
    }
    cr_assert_geq(reactor_now_us(reactor) - begun_us, 150 * 1000);
    cr_assert_leq(metric_value(&reactor->metrics, METRIC_TURNS) - turns, 6);
    fixture_deinit(fixture);
    free(fixture);
}

static void stop_there(struct op *op)
{
    struct traveller *traveller = container_of(op, struct traveller, op);
    reactor_stop(&traveller->fixture->reactors[traveller->at]);
}

Test(uring, costs_nothing_while_idle)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture_init(fixture, 2, "");
    struct reactor *idle = &fixture->reactors[1];
    pthread_t thread;
    pthread_create(&thread, NULL, loop, idle);
    const struct timespec moment = {.tv_nsec = 1000 * 1000};
    const struct timespec watching = {.tv_nsec = 300 * 1000 * 1000};
    while (!atomic_load(&idle->mailroom.sleeping)) {
        nanosleep(&moment, NULL);
    }
    uint64_t turns = metric_value(&idle->metrics, METRIC_TURNS);
    nanosleep(&watching, NULL);
    cr_assert_eq(metric_value(&idle->metrics, METRIC_TURNS), turns, "not one turn");

    struct traveller traveller = {.fixture = fixture, .at = 1};
    uring_post(idle, &traveller.op, stop_there); /* as from the thread that waits for signals */
    pthread_join(thread, NULL);
    fixture_deinit(fixture);
    free(fixture);
}

/* -- at a limit -------------------------------------------------------------------------------- */

Test(uring, says_so_when_there_is_no_descriptor_for_a_connection)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture_init(fixture, 1, "");
    struct reactor *reactor = &fixture->reactors[0];
    struct listen_address address = {.host = "127.0.0.1"};
    int listener = reactor_listen(reactor, &address);
    int client = connect_to(address.port);
    struct rlimit limit = {client + 1, client + 1};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    struct flag accepted = {.done = false};
    reactor_accept(reactor, listener, &accepted.op, flag_set);
    fixture_turn_until(fixture, &accepted.done);
    cr_assert_eq(accepted.op.result, -EMFILE);
    fixture_deinit(fixture);
    free(fixture);
}

Test(uring, refuses_addresses_it_cannot_use)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture_init(fixture, 1, "");
    struct reactor *reactor = &fixture->reactors[0];
    struct listen_address name = {.host = "localhost"};
    cr_assert_eq(reactor_listen(reactor, &name), -EINVAL, "names are for others to look up");
    struct listen_address first = {.host = "127.0.0.1"};
    int listener = reactor_listen(reactor, &first);
    struct listen_address again = first;
    cr_assert_eq(reactor_listen(reactor, &again), -EADDRINUSE);
    struct listen_address elsewhere = {.host = "192.0.2.1", .port = 1};
    cr_assert_eq(reactor_listen(reactor, &elsewhere), -EADDRNOTAVAIL);
    struct listen_address six = {.host = "::1"};
    int other = reactor_listen(reactor, &six);
    cr_assert(other == -EADDRNOTAVAIL || other == -EAFNOSUPPORT || other >= 0);
    cr_assert_eq(other >= 0, six.port != 0);
    reactor_close(reactor, listener);
    fixture_deinit(fixture);
    free(fixture);
}

/* -- ending ------------------------------------------------------------------------------------ */

static bool receive_ended;

static void receive_end_note(struct op *op)
{
    receive_ended = true;
}

Test(uring, brings_a_pending_accept_and_receive_home_at_shutdown)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    for (uint32_t i = 0; i < MASKS; i++) {
        fixture_init(fixture, 1, masks[i]);
        struct reactor *reactor = &fixture->reactors[0];
        struct listen_address address = {.host = "127.0.0.1"};
        int listener = reactor_listen(reactor, &address);
        struct flag accepted = {.done = false};
        reactor_accept(reactor, listener, &accepted.op, flag_set);
        int client = connect_to(address.port);
        fixture_turn_until(fixture, &accepted.done);
        int served = accepted.op.result;

        struct receive waiting = {.fd = served};
        struct flag stopped = {.done = false};
        reactor_accept(reactor, listener, &stopped.op, flag_set);
        receive_ended = false;
        reactor_receive(reactor, &waiting, receive_end_note);
        reactor_turn(reactor, false);
        reactor_turn(reactor, false);
        cr_assert_not(receive_ended);
        reactor_shutdown(reactor, served);
        reactor_shutdown(reactor, listener);
        fixture_turn_until(fixture, &receive_ended);
        cr_assert_leq(waiting.op.result, 0);
        fixture_turn_until(fixture, &stopped.done);
        cr_assert_lt(stopped.op.result, 0);
        reactor_close(reactor, served);
        reactor_close(reactor, listener);
        close(client);
        fixture_deinit(fixture);
    }
    free(fixture);
}
