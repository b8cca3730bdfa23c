/*
 * request -- one request from its frame to its reply, on its connection's core ("home").
 *
 *      frame --> request_start: header, version known? --> handler of shard/handlers.def
 *                                                          request_decode into arena
 *                                                              ... waits ...
 *                                                          request_encode into reply.head
 *                                                          request_reply
 *
 * A handler gets the request with its header decoded and ends by exactly one of request_reply,
 * request_skip (acks=0) and request_close. Only Produce starts while earlier requests of its
 * connection are unanswered, and asks for the next frame itself (connection_next); for all others
 * the next frame follows by itself when the reply was sent.
 */
#ifndef SHARD_REQUEST_H
#define SHARD_REQUEST_H

#include "core/arena.h"
#include "core/cursor.h"
#include "core/memory.h"
#include "net/codec.h"
#include "net/codec/header.h"
#include "net/connection.h"
#include "net/error.h"
#include "shard/shard.h"

struct request;
typedef void request_fn(struct request *request);

struct request {
    struct op op;        /* the handler's, for whatever it waits for but decoding and encoding */
    struct shard *shard; /* home */
    struct connection *connection;
    struct frame frame; /* decoded structs point into it; kept until the reply is encoded, ... */
    struct cursor body; /* behind the header */
    int16_t api_key;
    int16_t version;
    int32_t correlation_id;
    struct view client_id;
    uint64_t started_us;
    struct arena arena; /* decoded structs; ... or done, if it names what stands in here */
    struct reply reply;
    void *state;                              /* the handler's, in the arena */
    void (*release)(struct request *request); /* before the memory goes; NULL: nothing to release */

    /* request.c only */
    struct memory scratch;
    struct memory replies;
    bool is_supported; /* false: ApiVersions, in a version that is not ours */
    bool lets_go;      /* soon: request_let_go is on its way */
    bool is_done;      /* the reply is */
    struct {           /* a long message, decoded or encoded in slices */
        struct codec_walk walk;
        codec_decode_fn *decode;
        codec_encode_fn *encode;
        void *into;
        const void *from;
        const char *cause;
        request_fn *then;
    } slices;
};

/* server->request of every shard. */
void request_start(struct connection *connection, struct frame frame);

/*
 * Read the body into `message`, then go on with `then`: at once and inside of this call when it is
 * short, else after some turns. When it cannot be read, or the connection closes meanwhile, the
 * request ends here and `then` does not run.
 *   message   of the decoder's kind, in the arena
 *   cause     constant: why the connection is closed when the message cannot be read
 */
void request_decode(struct request *request, codec_decode_fn *decode, void *message,
                    const char *cause, request_fn *then);

/*
 * Write `message` as the reply's body, then go on with `then`, often request_reply: at once and
 * inside of this call when it is short, else after some turns. `then` runs once in any case; if the
 * connection closed meanwhile the body is not whole, and nobody will see it.
 *   message   stays as it is until then, with all that it points to
 */
void request_encode(struct request *request, codec_encode_fn *encode, const void *message,
                    request_fn *then);

/* The answer's size depends on what there is, not on who asks: its rows may take as much memory as the
 * largest requests. */
void request_may_take_more(struct request *request);

/* The response's header is in reply.head already; the body was encoded behind it. */
void request_reply(struct request *request);
void request_skip(struct request *request);
void request_close(struct request *request, const char *cause);

/* The handlers. */
#define HANDLER(NAME, start) void start(struct request *request);
#include "shard/handlers.def"
#undef HANDLER
void api_versions_start_unsupported(struct request *request);

#endif
