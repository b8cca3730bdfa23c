/*
 * connection -- one client's socket: frames in, replies out, in order.
 *
 *      socket --> input (net/frame.h) --> server->request(connection, frame)
 *                                              |  reply_init, later reply_ready
 *      socket <-- output (net/reply.h) <-------'  in the order of the requests
 *
 * The next frame is handed up only when the request before it says so (connection_next): Produce
 * when its shares have left, anything else when its reply has been sent. Until then, past
 * REQUESTS_PER_CONNECTION_MAX replies, or past the budget the socket is not read. Whoever does not
 * read his replies keeps them encoded in our memory: as long as nobody else waits for memory.
 * Closing is a wish: the socket is shut down, ops and requests come home, then it is freed.
 * Lives on one reactor.
 */
#ifndef NET_CONNECTION_H
#define NET_CONNECTION_H

#include "core/list.h"
#include "core/reactor.h"
#include "net/frame.h"
#include "net/reply.h"

#include <stdatomic.h>

enum { REQUESTS_PER_CONNECTION_MAX = 64 /* unanswered ones that overlap */ };

struct server_options {
    uint32_t frame_bytes_max; /* socket.request.max.bytes; the reserve's largest piece if less */
    uint64_t idle_us;         /* connections.max.idle.ms; 0: never */
    uint64_t progress_us;     /* by then an unfinished frame is whole or has grown fourfold */
    uint64_t stalled_us;      /* replies that are not read are kept so long, if memory is short */
};

/* A core's part of the wire. */
struct server {
    struct reactor *reactor;
    struct server_options options;
    void *owner; /* the shard */
    /* A whole frame. The handler owns it. It calls connection_next exactly once, or closes. */
    void (*request)(struct connection *connection, struct frame frame);
    _Atomic uint32_t connections_count; /* written here; the listener reads it from its core */

    /* net/ only */
    struct list connections; /* the longest idle first */
    struct list unfinished;  /* with a frame under way, the oldest first */
    struct list hungry;      /* waiting for memory, in the order they came */
    struct list stalled;     /* with replies that the peer does not read, the longest first */
    struct op feed;
    bool feed_due;
    struct timer sweep;
    uint64_t sweep_us; /* when it runs */
    bool stopping;
    struct timer grace;
    struct op *stopped;
    op_fn *stopped_then;
};

struct connection {
    struct server *server;
    int fd;
    bool closing;

    /* net/ only */
    struct link link; /* in server->connections */
    uint64_t active_us;
    struct op end; /* frees it, later */
    bool end_due;
    struct input input;
    struct output output;
};

void server_init(struct server *server, struct reactor *reactor,
                 const struct server_options *options, void *owner,
                 void (*request)(struct connection *connection, struct frame frame));

/* The largest frame for which the reserve has room: one core's memory decides. */
uint32_t server_frame_bytes_max(const struct slabs *slabs);

/* Takes over a socket that was accepted, here or on another core. */
void server_adopt(struct server *server, int fd);

/* Stops reading; what is in flight is answered, for SERVER_GRACE_US at most; then closes all. */
enum { SERVER_GRACE_US = 1000 * 1000 };
void server_stop(struct server *server, struct op *op, op_fn *then);

/* The next frame may be handed up. */
void connection_next(struct connection *connection);

/* cause: a constant, counted and reported; NULL: nobody's fault. */
void connection_close(struct connection *connection, const char *cause);

/* -- for frame.c and reply.c --------------------------------------------------------------------- */

/* Bytes came or went. */
void connection_touch(struct connection *connection);
/* Something has come home: if that was all, the connection ends. */
void connection_settle(struct connection *connection);
/* The sweep runs when the next connection is overdue. */
void server_arm_sweep(struct server *server);

#endif
