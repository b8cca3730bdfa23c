#include "net/reply.h"

#include "net/connection.h"

#include <assert.h>
#include <errno.h>

static void output_flushed(struct op *op);
static void output_go_on(struct connection *connection);
static void output_pinned(struct op *op);
static void output_sent(struct op *op);
static void output_has_room(struct op *op);

static struct connection *connection_of(struct output *output)
{
    return container_of(output, struct connection, output);
}

/* Later in this turn, together with what else gets ready till then. */
void output_flush(struct connection *connection)
{
    struct output *output = &connection->output;
    if (!output->flush_due) {
        output->flush_due = true;
        reactor_ready(connection->server->reactor, &output->flush, output_flushed);
    }
}

/* -- the order of replies ------------------------------------------------------------------------- */

void reply_init(struct reply *reply, struct connection *connection)
{
    struct output *output = &connection->output;
    reply->connection = connection;
    reply->next = NULL;
    reply->turn = NULL;
    reply->ready = false;
    reply->skipped = false;
    if (output->last) {
        output->last->next = reply;
    } else {
        output->first = reply;
    }
    output->last = reply;
    output->replies_count++;
}

bool reply_await_turn(struct reply *reply, struct op *op, op_fn *then)
{
    struct connection *connection = reply->connection;
    if (connection->output.first == reply) {
        return true;
    }
    assert(!reply->turn);
    op->then = then;
    reply->turn = op;
    if (connection->closing) {
        output_flush(connection);
    }
    return false;
}

static void reply_run_turn(struct connection *connection, struct reply *reply)
{
    if (reply->turn) {
        struct op *op = reply->turn;
        reply->turn = NULL;
        reactor_ready(connection->server->reactor, op, op->then);
    }
}

static void reply_say_unwanted(struct reply *reply)
{
    void (*unwanted)(struct reply * reply) = reply->unwanted;
    reply->unwanted = NULL;
    if (unwanted) {
        unwanted(reply);
    }
}

void reply_ready(struct reply *reply)
{
    assert(!reply->ready);
    reply->ready = true;
    if (!reply->skipped && !writer_finish(&reply->head)) {
        connection_close(reply->connection, "no memory for a reply");
    } else if (!reply->skipped) {
        size_t bytes = writer_position(&reply->head) - FRAME_PREFIX_BYTES;
        if (bytes > INT32_MAX) {
            connection_close(reply->connection, "a reply is too large");
        } else {
            assert(reply->head.first->bytes >= FRAME_PREFIX_BYTES);
            writer_patch32((uint8_t *)reply->head.first->data, (uint32_t)bytes);
        }
    }
    output_flush(reply->connection);
}

void reply_skip(struct reply *reply)
{
    reply->skipped = true;
    reply_ready(reply);
}

static void output_pop(struct connection *connection, bool sent)
{
    struct output *output = &connection->output;
    struct reply *reply = output->first;
    output->first = reply->next;
    if (!output->first) {
        output->last = NULL;
    }
    output->replies_count--;
    reply->done(reply, sent);
    if (output->first) {
        reply_run_turn(connection, output->first);
    }
}

/* -- gathering ------------------------------------------------------------------------------------ */

/* A place before the first reply moves to its start, once that is ready. False: it is not. */
static bool output_find_place(struct output *output, struct output_place *place)
{
    if (!place->reply && output->first && output->first->ready) {
        *place = (struct output_place){.reply = output->first, .piece = output->first->head.first};
    }
    return place->reply != NULL;
}

/* Past the place's piece: into the next one, the next reply, or to what is not ready yet. */
static bool output_step(struct output_place *place)
{
    struct reply *reply = place->reply;
    struct writer_piece *piece = place->piece->next;
    while (!piece) {
        do {
            reply = reply->next;
        } while (reply && reply->ready && reply->skipped);
        if (!reply || !reply->ready) {
            return false;
        }
        piece = reply->head.first;
    }
    *place = (struct output_place){.reply = reply, .piece = piece};
    return true;
}

static void output_add(struct output *output, const uint8_t *data, uint32_t bytes)
{
    output->iov[output->send.iov_count++] =
        (struct iovec){.iov_base = (void *)data, .iov_len = bytes};
    output->send_bytes += bytes;
    output->gathered.position += bytes;
}

enum hole_progress { HOLE_DONE, HOLE_FULL, HOLE_WAITS };

/* A piece has come. False: it is not for this send, or for none. */
static bool output_add_piece(struct connection *connection, struct reply_piece *piece)
{
    struct output *output = &connection->output;
    if (piece->op.result == -ENOBUFS && !piece->may_wait) {
        output->pins_failed = true;
        return false;
    }
    if (piece->op.result <= 0) {
        connection_close(connection, "records of a reply are gone");
        return false;
    }
    assert(piece->op.result <= piece->bytes_max);
    output_add(output, piece->data, (uint32_t)piece->op.result);
    output->pieces_count++;
    output->pieces_bytes += (uint32_t)piece->op.result;
    return true;
}

/* Pin the next pieces of the hole at the place. */
static enum hole_progress output_fill_hole(struct connection *connection)
{
    struct output *output = &connection->output;
    struct output_place *place = &output->gathered;
    uint64_t piece_end = (uint64_t)place->piece->bytes + place->piece->hole_bytes;
    while (place->position < piece_end) {
        uint32_t pinned = output->pieces_bytes;
        uint32_t room = pinned < output->pieces_bytes_max ? output->pieces_bytes_max - pinned : 0;
        if (output->pieces_count == REPLY_PIECES_MAX || room == 0 || output->pins_failed ||
            output->send.iov_count == SEND_IOV_MAX) {
            return HOLE_FULL;
        }
        uint64_t left = piece_end - place->position;
        struct reply_piece *piece = &output->pieces[output->pieces_count];
        *piece = (struct reply_piece){.reply = place->reply,
                                      .name = place->piece->hole_name,
                                      .position = (uint32_t)(place->position - place->piece->bytes),
                                      .bytes_max = left < room ? (uint32_t)left : room,
                                      .may_wait = output->pieces_count == 0};
        if (!place->reply->pin(place->reply, piece, output_pinned)) {
            output->pinning = true;
            return HOLE_WAITS;
        }
        if (!output_add_piece(connection, piece) && !output->pins_failed) {
            return HOLE_WAITS;
        }
    }
    return HOLE_DONE;
}

/* Fill the gather list as far as it goes. False: a piece has to be waited for, or all is over. */
static bool output_gather(struct connection *connection, bool *more)
{
    struct output *output = &connection->output;
    struct output_place *place = &output->gathered;
    *more = false;
    if (output->send.iov_count == 0) {
        *place = output->sent;
    }
    if (!output_find_place(output, place)) {
        return true;
    }
    for (;;) {
        if (place->position < place->piece->bytes) {
            if (output->send.iov_count == SEND_IOV_MAX ||
                output->send_bytes >= REPLY_ENCODED_BYTES_MAX) {
                *more = true;
                return true;
            }
            output_add(output, place->piece->data + place->position,
                       place->piece->bytes - (uint32_t)place->position);
        }
        switch (output_fill_hole(connection)) {
        case HOLE_WAITS:
            return false;
        case HOLE_FULL:
            *more = true;
            return true;
        case HOLE_DONE:
            break;
        }
        if (!output_step(place)) {
            return true;
        }
    }
}

/* -- sending -------------------------------------------------------------------------------------- */

static void output_flushed(struct op *op)
{
    struct output *output = container_of(op, struct output, flush);
    output->flush_due = false;
    output_go_on(connection_of(output));
}

static void output_unpin(struct output *output)
{
    for (uint32_t i = 0; i < output->pieces_count; i++) {
        struct reply_piece *piece = &output->pieces[i];
        piece->reply->unpin(piece->reply, piece);
    }
    output->pieces_count = 0;
    output->pieces_bytes = 0;
    output->pins_failed = false;
    output->send.iov_count = 0;
    output->send_bytes = 0;
}

/* Nothing can be sent any more: what is ready ends, the others hear that it is their turn. */
static void output_close(struct connection *connection)
{
    struct output *output = &connection->output;
    if (output->sending || output->pinning) {
        return; /* comes here again when that has ended */
    }
    output_unpin(output);
    output->sent = (struct output_place){0};
    link_remove(&output->stalled);
    struct reply *reply = output->first;
    output->first = output->last = NULL;
    output->replies_count = 0;
    while (reply) { /* those not ready stay, in order */
        struct reply *next = reply->next;
        reply->next = NULL;
        if (reply->ready) {
            reply->done(reply, false);
        } else {
            reply_run_turn(connection, reply);
            *(output->last ? &output->last->next : &output->first) = reply;
            output->last = reply;
            output->replies_count++;
            reply_say_unwanted(reply);
        }
        reply = next;
    }
}

/* Replies without a byte leave when those before them have. */
static void output_pop_skipped(struct connection *connection)
{
    struct output *output = &connection->output;
    while (output->first && output->first->ready && output->first->skipped) {
        output_pop(connection, true);
    }
}

static void output_go_on(struct connection *connection)
{
    struct output *output = &connection->output;
    if (output->sending || output->pinning) {
        return;
    }
    bool more = false;
    if (!connection->closing) {
        output_pop_skipped(connection);
        if (!output_gather(connection, &more) && !connection->closing) {
            return; /* a piece is on its way */
        }
    }
    if (connection->closing) {
        output_close(connection);
        connection_settle(connection);
        return;
    }
    if (output->send.iov_count == 0) {
        input_go_on(connection);
        connection_settle(connection);
        return;
    }
    output->send.fd = connection->fd;
    output->send.iov = output->iov;
    output->send.more = more;
    output->sending = true;
    reactor_send(connection->server->reactor, &output->send, output_sent);
}

static void output_pinned(struct op *op)
{
    struct reply_piece *piece = container_of(op, struct reply_piece, op);
    struct connection *connection = piece->reply->connection;
    connection->output.pinning = false;
    (void)output_add_piece(connection, piece);
    output_go_on(connection);
}

/* The socket has so many more bytes. Replies of which it has all are done. */
static void output_advance(struct connection *connection, uint64_t bytes)
{
    struct output *output = &connection->output;
    struct output_place *place = &output->sent;
    while (output_find_place(output, place)) {
        uint64_t left = place->piece->bytes + (uint64_t)place->piece->hole_bytes - place->position;
        if (bytes < left) {
            place->position += bytes;
            return;
        }
        bytes -= left;
        place->position = 0;
        place->piece = place->piece->next;
        if (!place->piece) {
            *place = (struct output_place){0};
            output_pop(connection, true);
            output_pop_skipped(connection);
        }
    }
    assert(bytes == 0);
}

/* What is pinned is let go, for as long as it takes. */
static void output_await_room(struct connection *connection)
{
    struct output *output = &connection->output;
    struct server *server = connection->server;
    if (!link_is_listed(&output->stalled)) {
        output->stalled_us = reactor_now_us(server->reactor);
        list_push(&server->stalled, &output->stalled);
        server_arm_sweep(server);
    }
    output->sending = true;
    reactor_send(server->reactor, &output->send, output_has_room);
}

static void output_has_room(struct op *op)
{
    struct output *output = container_of(op, struct output, send.op);
    struct connection *connection = connection_of(output);
    output->sending = false;
    if (op->result < 0) {
        connection_close(connection, NULL);
    }
    output_go_on(connection);
}

/* A socket is asked to take about as much as it took last. */
static void output_learn(struct output *output, uint64_t taken)
{
    if (taken < output->send_bytes) {
        output->pieces_bytes_max = taken < REPLY_PIECE_BYTES_MIN   ? REPLY_PIECE_BYTES_MIN
                                   : taken < REPLY_PIECE_BYTES_MAX ? (uint32_t)taken
                                                                   : REPLY_PIECE_BYTES_MAX;
    } else {
        link_remove(&output->stalled);
        output->pieces_bytes_max = output->pieces_bytes_max < REPLY_PIECE_BYTES_MAX / 2
                                       ? output->pieces_bytes_max * 2
                                       : REPLY_PIECE_BYTES_MAX;
    }
}

static void output_sent(struct op *op)
{
    struct output *output = container_of(op, struct output, send.op);
    struct connection *connection = connection_of(output);
    output->sending = false;
    if (op->result < 0) {
        connection_close(connection, NULL);
    } else if (op->result > 0) {
        metric_add(&connection->server->reactor->metrics, METRIC_BYTES_OUT, (uint64_t)op->result);
        connection_touch(connection);
    }
    uint64_t taken = op->result > 0 ? (uint64_t)op->result : 0;
    bool is_full = taken < output->send_bytes;
    output_learn(output, taken);
    output_unpin(output);
    if (!connection->closing) {
        output_advance(connection, taken);
        if (is_full) {
            output_await_room(connection);
            return;
        }
    }
    output_go_on(connection);
}

/* -- its life ------------------------------------------------------------------------------------- */

void output_init(struct output *output)
{
    *output = (struct output){.pieces_bytes_max = REPLY_PIECE_BYTES_MAX};
    link_init(&output->stalled);
}

bool output_is_home(const struct output *output)
{
    return !output->first && !output->flush_due && !output->sending && !output->pinning;
}
