/*
 * connection -- one client's socket: frames in, replies out, in order.
 *
 *      socket --> hot buffer --> frame (a slab) --> server->request(connection, frame)
 *                                                        |  reply_init, later reply_ready
 *      socket <-- gather list <-- [reply][reply][reply]  v  in the order of their requests
 *
 * The next frame is handed up only when the request before it says so (connection_next): Produce
 * when its shares have left, anything else when its reply has been sent. Until then, past
 * REQUESTS_PER_CONNECTION_MAX replies, or past the budget the socket is not read.
 * Closing is a wish: the socket is shut down, ops and requests come home, then it is freed.
 * Lives on one reactor; moves to another only while nothing is unanswered and no frame is partial.
 */
#ifndef NET_CONNECTION_H
#define NET_CONNECTION_H

#include "core/reactor.h"
#include "net/reply.h"

enum { REQUESTS_PER_CONNECTION_MAX = 64 /* unanswered ones that overlap */ };

struct connection;

/* One whole request as it came, without its size prefix. Owned by the request; frame_give. */
struct frame {
    uint8_t *data;
    uint32_t bytes;
    /* net/ only */
    enum budget_term term;
    uint8_t *slab;
    uint32_t slab_bytes;
};

struct server_options {
    uint32_t connections_max; /* max.connections, per broker */
    uint32_t frame_bytes_max; /* socket.request.max.bytes */
    uint64_t idle_us;         /* connections.max.idle.ms */
    uint64_t progress_us;     /* an unfinished frame must be whole by then */
};

/* A core's part of the wire. */
struct server {
    struct reactor *reactor;
    struct server_options options;
    void *owner; /* the shard */
    /* A whole frame. The handler owns it, and calls connection_next exactly once. */
    void (*request)(struct connection *connection, struct frame frame);
    /* connection's last request has come home and its memory goes now. May be NULL. */
    void (*closed)(struct connection *connection);

    /* net/ only */
    struct connection *connections;
    uint32_t connections_count;
    bool stopping;
};

void server_init(struct server *server, struct reactor *reactor,
                 const struct server_options *options, void *owner,
                 void (*request)(struct connection *connection, struct frame frame));
/* Takes over a socket that was accepted, here or on another core. */
void server_adopt(struct server *server, int fd);
/* Stops reading; what is in flight is answered; then closes all. */
void server_stop(struct server *server, struct op *op, op_fn *then);

void connection_next(struct connection *connection);
void connection_close(struct connection *connection, const char *cause);
bool connection_is_closing(const struct connection *connection);
void frame_give(struct connection *connection, struct frame *frame);

/* Anything that the layer above keeps per connection (fetch sessions are not: they outlive it). */
void *connection_user(const struct connection *connection);

#endif
