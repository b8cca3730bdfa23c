/*
 * frame -- one request's bytes, from the socket to whoever handles it.
 *
 *      hot buffer  |..frame|size|frame|size|fra      many small ones in one receive
 *                       |         |          '-----> partial: contiguous in a slab that grows
 *                       v         v                  fourfold, once its bytes have arrived
 *                     slab      slab
 *
 * The rest of a frame of FRAME_LARGE_BYTES and more is received straight into its slab. A claimed
 * size takes no memory, only bytes that have come do. What came behind a frame that must wait is
 * kept in a slab of its own; the socket is not read meanwhile.
 */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include "core/list.h"
#include "core/reactor.h"

enum {
    FRAME_PREFIX_BYTES = 4,
    FRAME_BYTES_MIN = 10, /* the smallest request header: key, version, correlation, null */
    FRAME_LARGE_BYTES = 64 << 10,
};

struct connection;
struct server;

/* One whole request as it came, without its size prefix. Owned by the request; frame_give. */
struct frame {
    uint8_t *data; /* a slab, of slab_bytes */
    uint32_t bytes;
    uint32_t slab_bytes; /* net/ only */
    enum budget_term term;
};

/* The request is done with its frame. May run the server's `closed` later, never at once. */
void frame_give(struct connection *connection, struct frame *frame);
/* Its bytes are done with, but not the request: the connection stays. frame_give follows. */
void frame_empty(struct connection *connection, struct frame *frame);

/* -- for connection.c ---------------------------------------------------------------------------- */

struct input { /* a connection's way in */
    /* frame.c only */
    struct receive receive;
    bool receiving;
    struct op resume;
    bool resume_due;
    bool busy;           /* a frame was handed up and the next one is not wanted yet */
    bool parsing;        /* connection_next came from inside of server->request */
    uint32_t frames_out; /* handed up and not given back */
    uint8_t prefix[FRAME_PREFIX_BYTES];
    uint32_t prefix_bytes;
    struct frame partial; /* bytes: as claimed; data NULL: none is being received */
    uint32_t partial_bytes;
    struct frame larger; /* partial moves there; data NULL: it does not */
    uint32_t moved_bytes;
    struct frame kept; /* received, to be looked at later: [kept_at, kept.bytes) */
    uint32_t kept_at;
    struct link unfinished; /* in server->unfinished */
    uint64_t unfinished_us; /* since when */
    struct link hungry;     /* in server->hungry: waits for memory */
    uint64_t hungry_us;     /* since when; 0: it has what it wanted */
    uint32_t wanted_bytes;
};

void input_init(struct connection *connection);
void input_start(struct connection *connection);
/* Nothing is read any more; give back what is ours. */
void input_close(struct connection *connection);
/* Go on if nothing stands in the way: a reply has left, or frames may be handed up again. */
void input_go_on(struct connection *connection);
bool input_is_home(const struct input *input);

/* A connection that waited for memory may have it now. */
void server_feed(struct server *server);

#endif
