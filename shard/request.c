#include "shard/request.h"

#include "net/api.h"

#include <assert.h>

enum {
    /* A decoded request may take this many times its frame: an empty topic of three bytes is a
     * struct of fifty. Small frames may ask for long answers (Metadata), hence the floor. */
    ARENA_BYTES_PER_FRAME_BYTE = 16,
    ARENA_BYTES_MIN = 4 << 20,
    /* Of a message in one go: about 50 us. */
    SLICE_LEFT = 1024 * CODEC_STRUCT,
    SLICE_BYTES = 64 << 10,
    CHUNKS_PER_STEP_MAX = 64, /* of memory, given back */
};

static_assert(sizeof(struct request) <= 2 * SLAB_BYTES_MIN, "one small slab for each");

static void request_handle(struct op *op);
static void request_let_go(struct op *op);
static void request_decode_step(struct op *op);
static void request_encode_step(struct op *op);
static void request_done(struct reply *reply, bool sent);

static struct slabs *slabs_of(const struct request *request)
{
    return &request->shard->reactor->slabs;
}

/* -- its header ----------------------------------------------------------------------------------- */

/* UTF-8 of at least `lead` bytes for this lead byte; 0: none begins so. */
static uint32_t utf8_bytes(uint8_t lead)
{
    if (lead < 0x80) {
        return 1;
    }
    return lead >= 0xc2 && lead < 0xe0   ? 2
           : lead >= 0xe0 && lead < 0xf0 ? 3
           : lead >= 0xf0 && lead < 0xf5 ? 4
                                         : 0;
}

/* Clients name themselves for people to read: UTF-8 without control characters. */
static bool client_id_is_text(struct view id)
{
    for (int32_t i = 0; i < id.bytes;) {
        uint32_t bytes = utf8_bytes(id.data[i]);
        if (bytes == 0 || bytes > (uint32_t)(id.bytes - i) || id.data[i] < 0x20 ||
            id.data[i] == 0x7f) {
            return false;
        }
        for (uint32_t k = 1; k < bytes; k++) {
            if ((id.data[i + k] & 0xc0) != 0x80) {
                return false;
            }
        }
        i += (int32_t)bytes;
    }
    return true;
}

/* NULL: the request can be handled. Else why the connection is closed. */
static const char *request_read_header(struct request *request)
{
    struct cursor peek;
    cursor_init(&peek, request->frame.data, request->frame.bytes);
    request->api_key = cursor_int16(&peek);
    request->version = cursor_int16(&peek);
    const struct api *api = api_find(request->api_key);
    if (peek.failed || !api) {
        return "an unknown API was asked for";
    }
    request->is_supported = api_has_version(api, request->version);
    if (!request->is_supported && api->key != API_API_VERSIONS) {
        return "an unknown version of an API was asked for";
    }
    request->correlation_id = cursor_int32(&peek);
    if (!request->is_supported) {
        return peek.failed ? "a request's header cannot be read" : NULL; /* its form is unknown */
    }
    struct request_header header;
    cursor_init(&request->body, request->frame.data, request->frame.bytes);
    if (!request_header_decode(&header, &request->body,
                               api_request_header_version(api, request->version),
                               &request->arena)) {
        return "a request's header cannot be read";
    }
    request->client_id = view_is_null(header.client_id) ? view_of("", 0) : header.client_id;
    return client_id_is_text(request->client_id) ? NULL : "a client id is not text";
}

static void request_write_header(struct request *request)
{
    const struct api *api = api_find(request->api_key);
    struct response_header header = {.correlation_id = request->correlation_id};
    (void)writer_reserve32(&request->reply.head);
    response_header_encode(
        &header, &request->reply.head,
        request->is_supported ? api_response_header_version(api, request->version) : 0);
}

/* -- its life ------------------------------------------------------------------------------------- */

static size_t arena_bytes_max(const struct slabs *slabs)
{
    return slabs->budgets[BUDGET_SCRATCH].bytes_max / 2;
}

static void request_init(struct request *request, struct connection *connection, struct frame frame)
{
    struct shard *shard = connection->server->owner;
    struct slabs *slabs = &shard->reactor->slabs;
    *request = (struct request){.shard = shard,
                                .connection = connection,
                                .frame = frame,
                                .started_us = reactor_now_us(shard->reactor)};
    memory_init_slabs(&request->scratch, slabs, BUDGET_SCRATCH);
    memory_init_slabs(&request->replies, slabs, BUDGET_REPLIES);
    size_t arena_bytes = (size_t)frame.bytes * ARENA_BYTES_PER_FRAME_BYTE;
    arena_bytes = arena_bytes < ARENA_BYTES_MIN ? ARENA_BYTES_MIN : arena_bytes;
    size_t most = arena_bytes_max(slabs);
    arena_init(&request->arena, &request->scratch, arena_bytes < most ? arena_bytes : most);
    writer_init(&request->reply.head, &request->replies,
                slabs->budgets[BUDGET_REPLIES].bytes_max / 2);
    request->reply.done = request_done;
}

void request_start(struct connection *connection, struct frame frame)
{
    struct shard *shard = connection->server->owner;
    struct request *request = slab_take(&shard->reactor->slabs, BUDGET_SCRATCH, sizeof *request);
    if (!request) {
        connection_close(connection, "no memory for a request");
        frame_give(connection, &frame);
        return;
    }
    request_init(request, connection, frame);
    reply_init(&request->reply, connection);
    const char *cause = request_read_header(request);
    if (cause) {
        request_close(request, cause);
        return;
    }
    metric_add(&shard->reactor->metrics, METRIC_REQUESTS, 1);
    request_write_header(request);
    if (request->api_key == API_PRODUCE ||
        reply_await_turn(&request->reply, &request->op, request_handle)) {
        request_handle(&request->op);
    }
}

void request_may_take_more(struct request *request)
{
    request->arena.bytes_max = arena_bytes_max(slabs_of(request));
}

static void request_handle(struct op *op)
{
    struct request *request = container_of(op, struct request, op);
    if (request->connection->closing) {
        request_skip(request);
        return;
    }
    if (!request->is_supported) {
        api_versions_start_unsupported(request);
        return;
    }
    switch ((enum api_key)request->api_key) {
#define HANDLER(NAME, start) \
    case API_##NAME:         \
        start(request);      \
        break;
#include "shard/handlers.def"
#undef HANDLER
    }
}

/* -- long messages -------------------------------------------------------------------------------- */

void request_decode(struct request *request, codec_decode_fn *decode, void *message,
                    const char *cause, request_fn *then)
{
    request->slices.decode = decode;
    request->slices.into = message;
    request->slices.cause = cause;
    request->slices.then = then;
    request_decode_step(&request->op);
}

static void request_decode_step(struct op *op)
{
    struct request *request = container_of(op, struct request, op);
    if (request->connection->closing) {
        request_skip(request);
        return;
    }
    request->slices.walk.left = SLICE_LEFT;
    if (!request->slices.decode(request->slices.into, &request->body, request->version,
                                &request->arena, &request->slices.walk)) {
        reactor_ready(request->shard->reactor, op, request_decode_step);
    } else if (request->body.failed) {
        request_close(request, request->slices.cause);
    } else {
        request->slices.then(request);
    }
}

void request_encode(struct request *request, codec_encode_fn *encode, const void *message,
                    request_fn *then)
{
    request->slices.encode = encode;
    request->slices.from = message;
    request->slices.then = then;
    request_encode_step(&request->op);
}

static void request_encode_step(struct op *op)
{
    struct request *request = container_of(op, struct request, op);
    request->slices.walk.left = SLICE_LEFT;
    request->slices.walk.taken_max = request->reply.head.taken + SLICE_BYTES;
    if (!request->connection->closing &&
        !request->slices.encode(request->slices.from, &request->reply.head, request->version,
                                &request->slices.walk)) {
        reactor_ready(request->shard->reactor, op, request_encode_step);
    } else {
        request->slices.then(request);
    }
}

/* -- its end -------------------------------------------------------------------------------------- */

void request_reply(struct request *request)
{
    if (!request->reply.pin) {
        request->lets_go = true;
        reactor_ready(request->shard->reactor, &request->op, request_let_go);
    }
    reply_ready(&request->reply);
}

void request_skip(struct request *request)
{
    reply_skip(&request->reply);
}

void request_close(struct request *request, const char *cause)
{
    connection_close(request->connection, cause);
    reply_skip(&request->reply);
}

/* The reply is encoded and names nothing, so what it was made from need not wait until the client
 * reads; or all is over. Much memory is given back in steps. */
static void request_let_go(struct op *op)
{
    struct request *request = container_of(op, struct request, op);
    struct connection *connection = request->connection;
    request->lets_go = true;
    if (request->release) {
        request->release(request);
        request->release = NULL;
    }
    if (!arena_give_some(&request->arena, CHUNKS_PER_STEP_MAX) ||
        (request->is_done && !writer_give_some(&request->reply.head, CHUNKS_PER_STEP_MAX))) {
        reactor_ready(request->shard->reactor, op, request_let_go);
        return;
    }
    request->lets_go = false;
    frame_empty(connection, &request->frame);
    if (request->is_done) { /* the frame goes last: with it the connection may end */
        struct frame frame = request->frame;
        slab_give(slabs_of(request), BUDGET_SCRATCH, request, sizeof *request);
        frame_give(connection, &frame);
    }
}

static void request_done(struct reply *reply, bool sent)
{
    struct request *request = container_of(reply, struct request, reply);
    struct connection *connection = request->connection;
    struct reactor *reactor = request->shard->reactor;
    bool asks_for_next = request->api_key != API_PRODUCE;
    if (sent) {
        metric_observe(&reactor->metrics, HISTOGRAM_REQUEST_US,
                       reactor_now_us(reactor) - request->started_us);
    }
    request->is_done = true;
    if (!request->lets_go) {
        request_let_go(&request->op);
    }
    if (asks_for_next && !connection->closing) {
        connection_next(connection);
    }
}
