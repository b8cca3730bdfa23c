#include "net/connection.h"

#include "core/memory.h"
#include "tests/core/reactor_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A server on one end of a socket pair; the test plays the client on the other end. */
enum {
    REQUESTS_MAX = 4096,
    BACK_BYTES_MAX = 8 << 20,
    NAMED_BYTES = 1 << 20,
};

struct wire;

struct echo { /* one request: its frame comes back as it is */
    struct reply reply;
    struct frame frame;
    struct wire *wire;
    bool done;
    bool sent;
    struct op turn;
    bool has_turn;
    struct reply_piece *waiting; /* pinned later */
    op_fn *waiting_then;
    uint32_t pins;
};

struct wire {
    struct fixture fixture;
    struct memory memory;
    struct server server;
    int client;
    struct echo echoes[REQUESTS_MAX];
    uint32_t echoes_count;
    bool holds;           /* requests wait until the test answers them */
    bool refuses;         /* connection_next is not called by itself */
    uint32_t named_bytes; /* replies carry a hole of so many */
    bool pins_later;
    bool pins_scarcely; /* little at a time, and nothing on top of what is pinned already */
    bool stopped;
    struct op stop;
    uint8_t *said; /* the frames that the client has sent */
    size_t said_bytes;
    uint8_t *back; /* what it has received */
    size_t back_bytes;
    bool ended; /* the client has seen the end */
};

static uint8_t named[NAMED_BYTES];
static struct wire *the_wire; /* of the running test: server->request has no other way to it */

static bool echo_pin(struct reply *reply, struct reply_piece *piece, op_fn *then)
{
    struct echo *echo = container_of(reply, struct echo, reply);
    cr_assert_leq(piece->bytes_max, REPLY_PIECE_BYTES_MAX);
    cr_assert_eq(piece->name, (void *)echo);
    piece->data = named + piece->position;
    piece->op.result = piece->bytes_max;
    if (echo->wire->pins_scarcely) {
        cr_assert(echo->pins == 0 || !piece->may_wait);
        piece->op.result = piece->may_wait ? 1 + (int64_t)piece->bytes_max / 3 : -ENOBUFS;
    }
    echo->pins += piece->op.result > 0;
    if (echo->wire->pins_later) {
        piece->op.then = then;
        reactor_ready(&echo->wire->fixture.reactors[0], &piece->op, then);
        return false;
    }
    return true;
}

static void echo_unpin(struct reply *reply, struct reply_piece *piece)
{
    container_of(reply, struct echo, reply)->pins--;
}

static void echo_done(struct reply *reply, bool sent)
{
    struct echo *echo = container_of(reply, struct echo, reply);
    cr_assert_eq(echo->pins, 0);
    cr_assert_not(echo->done);
    echo->done = true;
    echo->sent = sent;
    writer_give_all(&reply->head);
    frame_give(reply->connection, &echo->frame);
}

static void echo_answer(struct echo *echo)
{
    writer_view(&echo->reply.head, view_of(echo->frame.data, (int32_t)echo->frame.bytes));
    writer_hole(&echo->reply.head, echo->wire->named_bytes, echo);
    reply_ready(&echo->reply);
}

static void echo_start(struct connection *connection, struct frame frame)
{
    struct wire *wire = the_wire;
    struct echo *echo = &wire->echoes[wire->echoes_count++];
    *echo = (struct echo){.frame = frame, .wire = wire};
    writer_init(&echo->reply.head, &wire->memory, 64 << 20);
    echo->reply.pin = echo_pin;
    echo->reply.unpin = echo_unpin;
    echo->reply.done = echo_done;
    (void)writer_reserve32(&echo->reply.head);
    reply_init(&echo->reply, connection);
    if (!wire->refuses) {
        connection_next(connection);
    }
    if (!wire->holds) {
        echo_answer(echo);
    }
}

static struct reactor *reactor_of(struct wire *wire)
{
    return &wire->fixture.reactors[0];
}

/* A further client; from now on it is the one that speaks. The one before: for the test to close. */
static int wire_connect(struct wire *wire)
{
    int pair[2], before = wire->client;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cr_assert_eq(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    wire->client = pair[1];
    server_adopt(&wire->server, pair[0]);
    return before;
}

static struct wire *wire_new(const struct server_options *options)
{
    struct wire *wire = calloc(1, sizeof *wire);
    the_wire = wire;
    fixture_init(&wire->fixture, 1, "");
    wire->back = malloc(BACK_BYTES_MAX);
    wire->said = malloc(BACK_BYTES_MAX);
    memory_init_slabs(&wire->memory, &reactor_of(wire)->slabs, BUDGET_REPLIES);
    static const struct server_options usual = {
        .frame_bytes_max = 16 << 20, .idle_us = 600000000, .progress_us = 600000000};
    server_init(&wire->server, reactor_of(wire), options ? options : &usual, wire, echo_start);
    wire_connect(wire);
    return wire;
}

static void wire_give(struct wire *wire)
{
    fixture_deinit(&wire->fixture);
    free(wire->said);
    free(wire->back);
    free(wire);
}

static void wire_stopped(struct op *op)
{
    container_of(op, struct wire, stop)->stopped = true;
}

/* Stops the server, and looks that everything was given back. */
static void wire_free(struct wire *wire)
{
    close(wire->client);
    server_stop(&wire->server, &wire->stop, wire_stopped);
    fixture_turn_until(&wire->fixture, &wire->stopped);
    for (uint32_t term = 0; term < BUDGET_TERMS; term++) {
        cr_assert_eq(reactor_of(wire)->slabs.budgets[term].bytes, 0, "term %u", term);
    }
    wire_give(wire);
}

static void wire_read(struct wire *wire)
{
    ssize_t bytes;
    while ((bytes = recv(wire->client, wire->back + wire->back_bytes,
                         BACK_BYTES_MAX - wire->back_bytes, 0)) > 0) {
        wire->back_bytes += (size_t)bytes;
    }
    wire->ended |= bytes == 0 || (bytes < 0 && errno == ECONNRESET);
}

static void wire_turn(struct wire *wire, uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++) {
        reactor_turn(reactor_of(wire), false);
        wire_read(wire);
    }
}

/* Sends all, and reads what comes meanwhile. */
static void wire_write(struct wire *wire, const void *data, size_t bytes)
{
    size_t at = 0;
    while (at < bytes && !wire->ended) {
        ssize_t sent = send(wire->client, (const uint8_t *)data + at, bytes - at, MSG_NOSIGNAL);
        at += sent > 0 ? (size_t)sent : 0;
        wire_turn(wire, 1);
    }
}

static void wire_await_bytes(struct wire *wire, size_t bytes)
{
    for (uint32_t i = 0; i < 1000000 && wire->back_bytes < bytes; i++) {
        wire_turn(wire, 1);
    }
    cr_assert_eq(wire->back_bytes, bytes);
}

static void wire_await_end(struct wire *wire)
{
    for (uint32_t i = 0; i < 10000000 && !wire->ended; i++) {
        wire_turn(wire, 1);
    }
    cr_assert(wire->ended);
}

/* A frame with its prefix, of bytes that tell frames apart; its whole size. */
static size_t make_frame(uint8_t *to, uint32_t bytes, uint8_t seed)
{
    big_endian_store32(to, bytes);
    for (uint32_t i = 0; i < bytes; i++) {
        to[4 + i] = (uint8_t)(seed + i * 7);
    }
    return 4 + bytes;
}

/* One more frame of what will be said; its whole size. */
static size_t wire_prepare(struct wire *wire, uint32_t bytes, uint8_t seed)
{
    size_t whole = make_frame(wire->said + wire->said_bytes, bytes, seed);
    wire->said_bytes += whole;
    cr_assert_leq(wire->said_bytes, BACK_BYTES_MAX);
    return whole;
}

/* All that was prepared. */
static void wire_say(struct wire *wire)
{
    wire_write(wire, wire->said, wire->said_bytes);
}

/* Two small ones, in one go; how large the first one is. */
static size_t wire_ask_twice(struct wire *wire)
{
    size_t first = wire_prepare(wire, 30, 1);
    wire_prepare(wire, 40, 2);
    wire_say(wire);
    return first;
}

static void wire_expect_echo(struct wire *wire)
{
    wire_await_bytes(wire, wire->said_bytes);
    cr_assert_eq(memcmp(wire->back, wire->said, wire->said_bytes), 0);
}

Test(connection, hands_up_a_frame_and_sends_the_reply)
{
    struct wire *wire = wire_new(NULL);
    wire_prepare(wire, 20, 1);
    wire_say(wire);
    wire_expect_echo(wire);
    wire_free(wire);
}

Test(connection, takes_many_frames_from_one_receive_in_order)
{
    struct wire *wire = wire_new(NULL);
    for (uint32_t i = 0; i < 300; i++) {
        wire_prepare(wire, 10 + i % 50, (uint8_t)i);
    }
    wire_say(wire);
    wire_expect_echo(wire);
    wire_free(wire);
}

Test(connection, does_not_mind_where_frames_are_cut)
{
    struct wire *wire = wire_new(NULL);
    wire_prepare(wire, 30, 1);
    wire_prepare(wire, 40, 2);
    for (size_t cut = 1; cut < wire->said_bytes; cut++) {
        wire_write(wire, wire->said, cut);
        wire_turn(wire, 3);
        wire_write(wire, wire->said + cut, wire->said_bytes - cut);
        wire_expect_echo(wire);
        wire->back_bytes = 0;
    }
    wire_free(wire);
}

Test(connection, receives_a_large_frame_whole)
{
    struct wire *wire = wire_new(NULL);
    wire_prepare(wire, 3 << 20, 3);
    wire_prepare(wire, 20, 4); /* one behind it */
    wire_say(wire);
    wire_expect_echo(wire);
    wire_free(wire);
}

static struct connection *connection_of(struct wire *wire)
{
    return container_of(list_first(&wire->server.connections), struct connection, link);
}

/* Nothing is copied in one go that takes long: not to a larger slab, not by the kernel. */
Test(connection, moves_and_sends_a_long_frame_bit_by_bit)
{
    struct wire *wire = wire_new(NULL);
    enum { BYTES = 7 << 20, STEP = 256 << 10, CHUNK = 64 << 10 };
    uint8_t *frame = malloc(BYTES + 4);
    size_t bytes = make_frame(frame, BYTES, 5);
    struct connection *connection = connection_of(wire);
    uint32_t moves = 0, sends = 0, moved_before = 0;
    for (size_t at = 0; wire->back_bytes < bytes;) {
        size_t part = bytes - at < STEP ? bytes - at : STEP;
        ssize_t sent = part > 0 ? send(wire->client, frame + at, part, MSG_NOSIGNAL) : 0;
        at += sent > 0 ? (size_t)sent : 0;
        wire_turn(wire, 1);
        uint32_t moved = connection->input.larger.data ? connection->input.moved_bytes : 0;
        cr_assert_leq(moved, moved_before + (moved_before == 0 ? 2 : 1) * STEP); /* begun, ready */
        moves += moved > moved_before;
        moved_before = moved;
        sends += connection->output.send_bytes > 0;
        cr_assert_leq(connection->output.send_bytes, REPLY_ENCODED_BYTES_MAX + CHUNK);
    }
    cr_assert_gt(moves, 10);
    cr_assert_gt(sends, 10);
    cr_assert_eq(memcmp(wire->back, frame, bytes), 0);
    free(frame);
    wire_free(wire);
}

Test(connection, gives_both_slabs_back_when_the_client_leaves_in_between)
{
    struct wire *wire = wire_new(NULL);
    enum { BYTES = 7 << 20 };
    uint8_t *frame = malloc(BYTES + 4);
    size_t bytes = make_frame(frame, BYTES, 5);
    struct connection *connection = connection_of(wire);
    for (size_t at = 0; !connection->input.larger.data;) {
        ssize_t sent = send(wire->client, frame + at, bytes - at, MSG_NOSIGNAL);
        at += sent > 0 ? (size_t)sent : 0;
        wire_turn(wire, 1);
    }
    connection_close(connection, NULL);
    wire_await_end(wire);
    free(frame);
    wire_free(wire);
}

Test(connection, takes_no_memory_for_bytes_that_have_not_come)
{
    struct wire *wire = wire_new(NULL);
    uint8_t frame[32];
    make_frame(frame, 10, 1);
    big_endian_store32(frame, 16 << 20); /* claims 16 MiB */
    wire_write(wire, frame, 14);
    wire_turn(wire, 5);
    cr_assert_leq(reactor_of(wire)->slabs.budgets[BUDGET_FRAMES].bytes, SLAB_BYTES_MIN);
    wire_free(wire);
}

Test(connection, closes_at_a_size_that_cannot_be)
{
    static const uint32_t sizes[] = {0, 9, 0x80000000, 0xffffffff, (16 << 20) + 1, 0x47455420};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct wire *wire = wire_new(NULL);
        uint8_t prefix[4];
        big_endian_store32(prefix, sizes[i]);
        wire_write(wire, prefix, 4);
        wire_await_end(wire);
        cr_assert_eq(wire->echoes_count, 0);
        cr_assert_eq(reactor_of(wire)->slabs.budgets[BUDGET_FRAMES].bytes_peak, 0);
        wire_free(wire);
    }
}

Test(connection, sends_replies_in_the_order_of_their_requests)
{
    struct wire *wire = wire_new(NULL);
    wire->holds = true;
    wire_ask_twice(wire);
    wire_turn(wire, 5);
    cr_assert_eq(wire->echoes_count, 2);
    echo_answer(&wire->echoes[1]);
    wire_turn(wire, 5);
    cr_assert_eq(wire->back_bytes, 0);
    echo_answer(&wire->echoes[0]);
    wire_expect_echo(wire);
    wire_free(wire);
}

static void echo_has_turn(struct op *op)
{
    container_of(op, struct echo, turn)->has_turn = true;
}

Test(connection, tells_a_request_when_all_before_it_are_answered)
{
    struct wire *wire = wire_new(NULL);
    wire->holds = true;
    wire_ask_twice(wire);
    wire_turn(wire, 5);
    cr_assert(reply_await_turn(&wire->echoes[0].reply, &wire->echoes[0].turn, echo_has_turn));
    struct echo *second = &wire->echoes[1];
    cr_assert_not(reply_await_turn(&second->reply, &second->turn, echo_has_turn));
    wire_turn(wire, 5);
    cr_assert_not(second->has_turn);
    echo_answer(&wire->echoes[0]);
    wire_turn(wire, 10);
    cr_assert(second->has_turn);
    echo_answer(second);
    wire_expect_echo(wire);
    wire_free(wire);
}

Test(connection, does_not_hand_up_the_next_frame_unasked)
{
    struct wire *wire = wire_new(NULL);
    wire->holds = wire->refuses = true;
    wire_ask_twice(wire);
    wire_turn(wire, 10);
    cr_assert_eq(wire->echoes_count, 1);
    connection_next(wire->echoes[0].reply.connection);
    wire_turn(wire, 10);
    cr_assert_eq(wire->echoes_count, 2);
    echo_answer(&wire->echoes[0]);
    echo_answer(&wire->echoes[1]);
    wire_expect_echo(wire);
    wire_free(wire);
}

static struct wire *wire_new_named(const struct server_options *options)
{
    struct wire *wire = wire_new(options);
    wire->named_bytes = NAMED_BYTES;
    for (uint32_t i = 0; i < NAMED_BYTES; i++) {
        named[i] = (uint8_t)(i * 31 >> 4);
    }
    return wire;
}

/* The first answer: what was said, and the named bytes behind it. */
static void wire_expect_named(struct wire *wire, size_t said_bytes)
{
    big_endian_store32(wire->said, (uint32_t)said_bytes - 4 + NAMED_BYTES);
    cr_assert_eq(memcmp(wire->back, wire->said, said_bytes), 0);
    cr_assert_eq(memcmp(wire->back + said_bytes, named, NAMED_BYTES), 0);
}

static void send_named_bytes(bool later, bool scarcely)
{
    struct wire *wire = wire_new_named(NULL);
    wire->pins_later = later;
    wire->pins_scarcely = scarcely;
    size_t first = wire_ask_twice(wire);
    wire_await_bytes(wire, wire->said_bytes + 2 * NAMED_BYTES);
    wire_expect_named(wire, first);
    wire_turn(wire, 5);
    cr_assert(wire->echoes[0].sent && wire->echoes[1].sent);
    wire_free(wire);
}

Test(connection, sends_named_bytes_piece_by_piece)
{
    send_named_bytes(false, false);
    send_named_bytes(true, false);
}

Test(connection, sends_what_it_has_pinned_when_there_is_no_memory_for_more)
{
    send_named_bytes(false, true);
    send_named_bytes(true, true);
}

/* The client has asked, and does not read for now. */
static void wire_ask_and_look_away(struct wire *wire)
{
    size_t bytes = wire_prepare(wire, 30, 1);
    cr_assert_eq(send(wire->client, wire->said, bytes, MSG_NOSIGNAL), (ssize_t)bytes);
    for (uint32_t i = 0; i < 100; i++) {
        reactor_turn(reactor_of(wire), false);
    }
    cr_assert_eq(wire->echoes_count, 1);
    cr_assert_not(wire->echoes[0].done);
}

Test(connection, pins_nothing_for_a_client_that_does_not_read)
{
    for (uint32_t later = 0; later < 2; later++) {
        struct wire *wire = wire_new_named(NULL);
        wire->pins_later = later;
        wire_ask_and_look_away(wire);
        cr_assert_eq(wire->echoes[0].pins, 0);
        wire_await_bytes(wire, wire->said_bytes + NAMED_BYTES); /* it reads after all */
        wire_expect_named(wire, wire->said_bytes);
        wire_turn(wire, 5);
        cr_assert(wire->echoes[0].sent);
        wire_free(wire);
    }
}

Test(connection, stops_reading_from_who_does_not_read)
{
    struct wire *wire = wire_new(NULL);
    wire->holds = true; /* nobody answers */
    uint8_t frame[128];
    size_t bytes = make_frame(frame, 100, 1), sent = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        ssize_t part = send(wire->client, frame, bytes, MSG_NOSIGNAL);
        sent += part > 0 ? (size_t)part : 0;
        reactor_turn(reactor_of(wire), false);
    }
    cr_assert_lt(sent, 20000 * bytes);
    cr_assert_eq(wire->echoes_count, REQUESTS_PER_CONNECTION_MAX);
    for (uint32_t i = 0; i < wire->echoes_count; i++) { /* so that all can come home */
        echo_answer(&wire->echoes[i]);
    }
    wire->holds = false;
    wire_turn(wire, 20);
    wire_free(wire);
}

Test(connection, closes_a_frame_that_does_not_get_on)
{
    static const struct server_options hasty = {
        .frame_bytes_max = 1 << 20, .idle_us = 600000000, .progress_us = 100000};
    struct wire *wire = wire_new(&hasty);
    uint8_t frame[64];
    make_frame(frame, 40, 1);
    wire_write(wire, frame, 9);
    wire_await_end(wire);
    wire_free(wire);
}

Test(connection, closes_who_is_silent_too_long)
{
    static const struct server_options hasty = {
        .frame_bytes_max = 1 << 20, .idle_us = 100000, .progress_us = 600000000};
    struct wire *wire = wire_new(&hasty);
    wire_await_end(wire);
    wire_free(wire);
}

static struct budget *budget_of(struct wire *wire, enum budget_term term)
{
    return &reactor_of(wire)->slabs.budgets[term];
}

Test(connection, draws_on_the_reserve_when_there_is_no_other_memory)
{
    struct wire *wire = wire_new(NULL);
    budget_of(wire, BUDGET_FRAMES)->bytes_max = 200 << 10;
    wire_prepare(wire, 3 << 20, 3);
    wire_say(wire);
    wire_expect_echo(wire);
    cr_assert_leq(budget_of(wire, BUDGET_FRAMES)->bytes_peak, 200 << 10);
    cr_assert_gt(budget_of(wire, BUDGET_RESERVE)->bytes_peak, 0);
    wire_free(wire);
}

Test(connection, waits_for_memory_that_others_hold)
{
    struct wire *wire = wire_new(NULL);
    budget_of(wire, BUDGET_FRAMES)->bytes_max = 1 << 20;
    budget_of(wire, BUDGET_RESERVE)->bytes_max = 0;
    wire->holds = true;
    wire_prepare(wire, 400 << 10, 3);
    wire_say(wire);
    for (uint32_t i = 0; i < 1000 && wire->echoes_count < 1; i++) {
        wire_turn(wire, 1);
    }
    int first = wire_connect(wire), second = wire->client;
    size_t at = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        ssize_t sent = send(second, wire->said + at, wire->said_bytes - at, MSG_NOSIGNAL);
        at += sent > 0 ? (size_t)sent : 0;
        wire_turn(wire, 1);
    }
    cr_assert_eq(wire->echoes_count, 1); /* its frame cannot grow */
    cr_assert_not(list_is_empty(&wire->server.hungry));
    cr_assert_not(wire->ended);
    echo_answer(&wire->echoes[0]);
    wire->client = first;
    wire_expect_echo(wire);
    wire->back_bytes = 0;
    wire->client = second;
    wire->holds = false;
    wire_write(wire, wire->said + at, wire->said_bytes - at);
    wire_expect_echo(wire);
    close(first);
    wire_free(wire);
}

Test(connection, closes_who_does_not_read_when_others_wait_for_memory)
{
    static const struct server_options hasty = {.frame_bytes_max = 1 << 20,
                                                .idle_us = 600000000,
                                                .progress_us = 600000000,
                                                .stalled_us = 1000};
    struct wire *wire = wire_new_named(&hasty);
    wire_ask_and_look_away(wire);
    cr_assert_eq(wire->server.connections_count, 1); /* memory is not short yet */
    cr_assert_not(list_is_empty(&wire->server.stalled));
    int deaf = wire_connect(wire);
    budget_of(wire, BUDGET_REPLIES)->bytes_max = budget_of(wire, BUDGET_REPLIES)->bytes;
    wire_say(wire); /* it has to wait for the first one's reply */
    cr_assert_eq(wire->echoes_count, 1);
    for (uint32_t i = 0; i < 100000000 && wire->echoes_count < 2; i++) {
        wire_turn(wire, 1);
    }
    cr_assert_eq(wire->echoes_count, 2);
    cr_assert(wire->echoes[0].done);
    cr_assert_not(wire->echoes[0].sent);
    wire_await_bytes(wire, wire->said_bytes + NAMED_BYTES);
    close(deaf);
    wire_free(wire);
}

Test(connection, gives_everything_back_when_the_client_leaves)
{
    struct wire *wire = wire_new(NULL);
    wire->holds = true;
    wire_prepare(wire, 30, 1);
    wire_prepare(wire, 40, 2);
    wire_write(wire, wire->said, wire->said_bytes - 10);
    wire_turn(wire, 5);
    shutdown(wire->client, SHUT_RDWR);
    wire_turn(wire, 20);
    cr_assert_eq(wire->server.connections_count, 1); /* a request is still out */
    echo_answer(&wire->echoes[0]);
    wire_turn(wire, 20);
    cr_assert_eq(wire->server.connections_count, 0);
    cr_assert_not(wire->echoes[0].sent);
    wire_free(wire);
}

Test(connection, answers_what_is_in_flight_when_it_stops)
{
    struct wire *wire = wire_new(NULL);
    wire->holds = true;
    wire_prepare(wire, 30, 1);
    wire_say(wire);
    wire_turn(wire, 5);
    server_stop(&wire->server, &wire->stop, wire_stopped);
    wire_turn(wire, 5);
    cr_assert_not(wire->stopped);
    echo_answer(&wire->echoes[0]);
    wire_expect_echo(wire);
    wire_await_end(wire);
    wire_turn(wire, 10);
    cr_assert(wire->stopped);
    close(wire->client);
    wire_give(wire);
}
