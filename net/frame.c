#include "net/frame.h"

#include "core/cursor.h"
#include "net/connection.h"

#include <assert.h>

enum {
    FRAME_GROWTH = 4,
    FRAMES_PER_STEP_MAX = 32, /* handed up in one go: some microseconds each */
    /* Some 100 us, and as many again when the pages are new: */
    MOVE_BYTES_MAX = 256 << 10,    /* copied in one step to a larger slab */
    RECEIVE_BYTES_MAX = 512 << 10, /* copied by the kernel in one go */
};

static void input_received(struct op *op);
static void input_resumed(struct op *op);
static void server_fed(struct op *op);

/* -- memory -------------------------------------------------------------------------------------- */

static struct slabs *slabs_of(const struct connection *connection)
{
    return &connection->server->reactor->slabs;
}

/* An eighth of a term is left to those who have begun. */
static bool term_is_tight(const struct slabs *slabs, enum budget_term term)
{
    const struct budget *budget = &slabs->budgets[term];
    return budget->bytes > budget->bytes_max - budget->bytes_max / 8;
}

/* Large pieces leave the last quarter of the term to small ones, so that a few who send much do not
 * keep out the many who send little. */
static bool has_room(const struct slabs *slabs, uint64_t bytes)
{
    const struct budget *budget = &slabs->budgets[BUDGET_FRAMES];
    uint64_t limit = budget->bytes_max;
    if (bytes > FRAME_LARGE_BYTES) {
        limit -= limit / 4;
    }
    return bytes <= SLAB_BYTES_MAX && budget->bytes + slab_bytes(bytes) <= limit;
}

static bool reserve_is_free(const struct slabs *slabs)
{
    return slabs->budgets[BUDGET_RESERVE].bytes == 0;
}

static bool frame_take(struct slabs *slabs, struct frame *frame, enum budget_term term,
                       uint64_t bytes)
{
    frame->data = slab_take(slabs, term, bytes);
    frame->slab_bytes = frame->data ? (uint32_t)slab_bytes(bytes) : 0;
    frame->term = term;
    return frame->data != NULL;
}

static void frame_free(struct slabs *slabs, struct frame *frame)
{
    slab_give(slabs, frame->term, frame->data, frame->slab_bytes);
    frame->data = NULL;
}

static void input_wait_for_memory(struct connection *connection, uint64_t bytes)
{
    struct input *input = &connection->input;
    input->wanted_bytes = (uint32_t)bytes;
    if (input->hungry_us == 0) {
        input->hungry_us = reactor_now_us(connection->server->reactor);
        list_push(&connection->server->hungry, &input->hungry);
    } else { /* it was its turn, and what there was is gone again */
        list_push_first(&connection->server->hungry, &input->hungry);
    }
    link_remove(&input->unfinished); /* that it does not get on is not its fault */
    server_arm_sweep(connection->server);
}

/* The frame under way goes on in its larger slab. False: it is long, and goes on in input_resumed. */
static bool input_move(struct connection *connection)
{
    struct input *input = &connection->input;
    uint32_t left = input->partial_bytes - input->moved_bytes;
    uint32_t part = left < MOVE_BYTES_MAX ? left : MOVE_BYTES_MAX;
    memcpy(input->larger.data + input->moved_bytes, input->partial.data + input->moved_bytes, part);
    input->moved_bytes += part;
    if (part < left) {
        assert(!input->resume_due);
        input->resume_due = true;
        reactor_ready(connection->server->reactor, &input->resume, input_resumed);
        return false;
    }
    frame_free(slabs_of(connection), &input->partial);
    input->partial = input->larger;
    input->larger.data = NULL;
    return true;
}

/* Room for the rest of the frame under way, as far as has come: `more` bytes are at hand. False: not
 * yet. */
static bool input_grow(struct connection *connection, uint32_t more)
{
    struct input *input = &connection->input;
    struct slabs *slabs = slabs_of(connection);
    struct frame *partial = &input->partial;
    uint64_t wanted = (uint64_t)input->partial_bytes + more;
    wanted = wanted < partial->bytes ? wanted * FRAME_GROWTH : partial->bytes;
    wanted = wanted < partial->bytes ? wanted : partial->bytes;

    struct frame grown = {.bytes = partial->bytes};
    bool taken = has_room(slabs, wanted) && frame_take(slabs, &grown, BUDGET_FRAMES, wanted);
    if (!taken && reserve_is_free(slabs)) { /* all of it: only what arrives is ever touched */
        taken = frame_take(slabs, &grown, BUDGET_RESERVE, partial->bytes);
    }
    if (!taken) {
        input_wait_for_memory(connection, wanted);
        return false;
    }
    input->hungry_us = 0;
    if (partial->data) {
        input->larger = grown;
        input->moved_bytes = 0;
        return input_move(connection);
    }
    *partial = grown;
    return true;
}

/* -- frames out of bytes ------------------------------------------------------------------------- */

/* May the next frame be handed up? Waits in the line for memory if that is what is missing. */
static bool input_may_start(struct connection *connection)
{
    struct input *input = &connection->input;
    if (input->busy || connection->closing || connection->server->stopping ||
        connection->output.replies_count >= REQUESTS_PER_CONNECTION_MAX ||
        link_is_listed(&input->hungry)) {
        return false;
    }
    if (term_is_tight(slabs_of(connection), BUDGET_REPLIES) ||
        term_is_tight(slabs_of(connection), BUDGET_SCRATCH)) {
        input_wait_for_memory(connection, 0);
        return false;
    }
    return true;
}

static bool frame_has_begun(const struct input *input)
{
    return input->prefix_bytes == FRAME_PREFIX_BYTES;
}

/* The size that stands before a frame; how many bytes of it were there. */
static uint32_t input_read_prefix(struct connection *connection, const uint8_t *data,
                                  uint32_t bytes)
{
    struct input *input = &connection->input;
    uint32_t part = FRAME_PREFIX_BYTES - input->prefix_bytes;
    part = part < bytes ? part : bytes;
    memcpy(input->prefix + input->prefix_bytes, data, part);
    input->prefix_bytes += part;
    if (frame_has_begun(input)) {
        struct cursor cursor;
        cursor_init(&cursor, input->prefix, FRAME_PREFIX_BYTES);
        int32_t claimed = cursor_int32(&cursor);
        if (claimed < FRAME_BYTES_MIN ||
            (uint32_t)claimed > connection->server->options.frame_bytes_max) {
            connection_close(connection, "a frame's size cannot be");
        }
        input->partial = (struct frame){.bytes = (uint32_t)claimed};
        input->partial_bytes = 0;
    }
    return part;
}

static void input_hand_up(struct connection *connection)
{
    struct input *input = &connection->input;
    struct frame frame = input->partial;
    input->partial = (struct frame){0};
    input->prefix_bytes = 0;
    input->busy = true;
    input->hungry_us = 0;
    input->frames_out++;
    link_remove(&input->unfinished);
    connection->server->request(connection, frame);
}

/* Copy what belongs to the frame under way. False: there is no room for it now. */
static bool input_fill(struct connection *connection, const uint8_t *data, uint32_t bytes,
                       uint32_t *taken)
{
    struct input *input = &connection->input;
    struct frame *partial = &input->partial;
    uint32_t part = partial->bytes - input->partial_bytes;
    part = part < bytes ? part : bytes;
    if (input->partial_bytes + part > partial->slab_bytes && !input_grow(connection, part)) {
        return false;
    }
    memcpy(partial->data + input->partial_bytes, data, part);
    input->partial_bytes += part;
    *taken = part;
    return true;
}

/* How many bytes could be dealt with; the others have to be kept. */
static uint32_t input_parse(struct connection *connection, const uint8_t *data, uint32_t bytes)
{
    struct input *input = &connection->input;
    uint32_t at = 0;
    input->parsing = true;
    for (uint32_t handed = 0; at < bytes && !connection->closing;) {
        if (!frame_has_begun(input)) {
            if (handed == FRAMES_PER_STEP_MAX || !input_may_start(connection)) {
                break;
            }
            at += input_read_prefix(connection, data + at, bytes - at);
            continue;
        }
        uint32_t taken;
        if (!input_fill(connection, data + at, bytes - at, &taken)) {
            break;
        }
        at += taken;
        if (input->partial_bytes == input->partial.bytes) {
            handed++;
            input_hand_up(connection);
        }
    }
    input->parsing = false;
    return at;
}

/* A frame is under way: its clock starts, or starts again because the frame has grown. */
static void input_watch_progress(struct connection *connection)
{
    struct server *server = connection->server;
    struct input *input = &connection->input;
    bool is_unfinished = input->prefix_bytes > 0;
    if (!is_unfinished || link_is_listed(&input->hungry)) {
        link_remove(&input->unfinished);
    } else if (!link_is_listed(&input->unfinished)) {
        input->unfinished_us = reactor_now_us(server->reactor);
        list_push(&server->unfinished, &input->unfinished);
        server_arm_sweep(server);
    }
}

/* -- bytes that must wait ------------------------------------------------------------------------ */

static void input_keep(struct connection *connection, const uint8_t *data, uint32_t bytes)
{
    struct input *input = &connection->input;
    struct slabs *slabs = slabs_of(connection);
    assert(!input->kept.data);
    if (!frame_take(slabs, &input->kept, BUDGET_FRAMES, bytes) &&
        !(reserve_is_free(slabs) && frame_take(slabs, &input->kept, BUDGET_RESERVE, bytes))) {
        connection_close(connection, "no memory to receive into");
        return;
    }
    memcpy(input->kept.data, data, bytes);
    input->kept.bytes = bytes;
    input->kept_at = 0;
}

static void input_drop_kept(struct connection *connection)
{
    if (connection->input.kept.data) {
        frame_free(slabs_of(connection), &connection->input.kept);
    }
}

static void input_resumed(struct op *op)
{
    struct input *input = container_of(op, struct input, resume);
    struct connection *connection = container_of(input, struct connection, input);
    input->resume_due = false;
    if (input->larger.data && !connection->closing && !input_move(connection)) {
        return;
    }
    if (input->kept.data && !connection->closing) {
        input->kept_at += input_parse(connection, input->kept.data + input->kept_at,
                                      input->kept.bytes - input->kept_at);
        if (input->kept_at == input->kept.bytes) {
            input_drop_kept(connection);
        }
    } else if (frame_has_begun(input) && !connection->closing &&
               input->partial_bytes == input->partial.slab_bytes) {
        (void)input_grow(connection, 0); /* it waited for memory; if it must again, it is listed */
    }
    input_watch_progress(connection);
    input_go_on(connection);
    connection_settle(connection);
}

/* -- receiving ------------------------------------------------------------------------------------ */

static void input_receive(struct connection *connection)
{
    struct input *input = &connection->input;
    struct frame *partial = &input->partial;
    input->receive.fd = connection->fd;
    input->receive.into = NULL;
    if (frame_has_begun(input) && partial->bytes >= FRAME_LARGE_BYTES && partial->data) {
        uint32_t room = partial->slab_bytes < partial->bytes ? partial->slab_bytes : partial->bytes;
        input->receive.into = partial->data + input->partial_bytes;
        room -= input->partial_bytes;
        input->receive.bytes_max = room < RECEIVE_BYTES_MAX ? room : RECEIVE_BYTES_MAX;
    }
    input->receiving = true;
    reactor_receive(connection->server->reactor, &input->receive, input_received);
}

/* Straight into the slab of the frame under way: it is whole, or wants a larger slab. */
static void input_filled(struct connection *connection, uint32_t bytes)
{
    struct input *input = &connection->input;
    input->partial_bytes += bytes;
    if (input->partial_bytes == input->partial.bytes) {
        input->parsing = true;
        input_hand_up(connection);
        input->parsing = false;
    } else if (input->partial_bytes == input->partial.slab_bytes) {
        link_remove(&input->unfinished);
        (void)input_grow(connection, 0);
    }
}

static void input_received(struct op *op)
{
    struct input *input = container_of(op, struct input, receive.op);
    struct connection *connection = container_of(input, struct connection, input);
    input->receiving = false;
    if (op->result <= 0) {
        connection_close(connection, NULL);
        return;
    }
    uint32_t bytes = (uint32_t)op->result;
    metric_add(&connection->server->reactor->metrics, METRIC_BYTES_IN, bytes);
    connection_touch(connection);
    if (connection->closing) {
        connection_settle(connection);
        return;
    }
    if (input->receive.into) {
        input_filled(connection, bytes);
    } else {
        uint32_t done = input_parse(connection, input->receive.data, bytes);
        if (done < bytes && !connection->closing) {
            input_keep(connection, input->receive.data + done, bytes - done);
        }
    }
    input_watch_progress(connection);
    input_go_on(connection);
    connection_settle(connection);
}

void input_go_on(struct connection *connection)
{
    struct input *input = &connection->input;
    if (connection->closing || input->receiving || input->resume_due || input->parsing ||
        link_is_listed(&input->hungry)) {
        return;
    }
    if (!frame_has_begun(input) && !input_may_start(connection)) {
        return;
    }
    if (input->kept.data) {
        input->resume_due = true;
        reactor_ready(connection->server->reactor, &input->resume, input_resumed);
    } else {
        input_receive(connection);
    }
}

/* -- the line for memory -------------------------------------------------------------------------- */

void server_feed(struct server *server)
{
    if (!list_is_empty(&server->hungry) && !server->feed_due) {
        server->feed_due = true;
        reactor_ready(server->reactor, &server->feed, server_fed);
    }
}

/* The first in line, if there is enough for it; then the next, one a step. */
static void server_fed(struct op *op)
{
    struct server *server = container_of(op, struct server, feed);
    struct slabs *slabs = &server->reactor->slabs;
    server->feed_due = false;
    struct link *first = list_first(&server->hungry);
    if (!first) {
        return;
    }
    struct input *input = container_of(first, struct input, hungry);
    bool may_have =
        input->wanted_bytes > 0
            ? has_room(slabs, input->wanted_bytes) || reserve_is_free(slabs)
            : !term_is_tight(slabs, BUDGET_REPLIES) && !term_is_tight(slabs, BUDGET_SCRATCH);
    if (!may_have) {
        return; /* whoever gives memory back calls again */
    }
    link_remove(first);
    if (!input->resume_due) {
        input->resume_due = true;
        reactor_ready(server->reactor, &input->resume, input_resumed);
    }
    server_feed(server);
}

/* -- its life ------------------------------------------------------------------------------------- */

void input_init(struct connection *connection)
{
    struct input *input = &connection->input;
    link_init(&input->unfinished);
    link_init(&input->hungry);
}

void input_start(struct connection *connection)
{
    input_go_on(connection);
}

void input_close(struct connection *connection)
{
    struct input *input = &connection->input;
    struct slabs *slabs = slabs_of(connection);
    link_remove(&input->unfinished);
    link_remove(&input->hungry);
    if (!input->receiving && !input->parsing) { /* else when that has ended */
        if (input->partial.data) {
            frame_free(slabs, &input->partial);
        }
        if (input->larger.data) {
            frame_free(slabs, &input->larger);
        }
        input_drop_kept(connection);
    }
    server_feed(connection->server);
}

bool input_is_home(const struct input *input)
{
    return !input->receiving && !input->resume_due && !input->parsing && input->frames_out == 0;
}

void connection_next(struct connection *connection)
{
    assert(connection->input.busy);
    connection->input.busy = false;
    input_go_on(connection);
}

void frame_empty(struct connection *connection, struct frame *frame)
{
    frame_free(slabs_of(connection), frame);
    server_feed(connection->server);
}

void frame_give(struct connection *connection, struct frame *frame)
{
    assert(connection->input.frames_out > 0);
    frame_empty(connection, frame);
    connection->input.frames_out--;
    connection_settle(connection);
}
