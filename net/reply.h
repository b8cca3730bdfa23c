/*
 * reply -- what one request is answered with: encoded bytes, and records named by where they lie.
 *
 *      head   |size|header|.... partition 0 ....|.... partition 1 ....|..|
 *      named                                ^ 1 MiB of segment 0      ^ 3 KiB of segment 5000
 *
 * The head is written by the codec (core/writer.h), which notes where named bytes belong. When the
 * reply's turn comes its bytes go out in order; of the named ones at most one piece is pinned at a
 * time, asked for by `pin` when it is about to be sent and returned by `unpin` when it has been.
 */
#ifndef NET_REPLY_H
#define NET_REPLY_H

#include "core/op.h"
#include "core/writer.h"

struct connection;

enum { REPLY_PIECE_BYTES_MAX = 256 << 10 };

/* A piece of named bytes, on its way to the socket.
 *   result   bytes at data (1 to bytes_max), or < 0: they are gone, and the connection is closed */
struct reply_piece {
    struct op op;
    uint32_t named;    /* which of the writer's holes */
    uint32_t position; /* in it */
    uint32_t bytes_max;
    const uint8_t *data;
};

struct reply {
    struct writer head; /* starts with 4 bytes for the frame's size, patched by reply_ready */
    /* True: at once; false: `then` will run. NULL when nothing is named. */
    bool (*pin)(struct reply *reply, struct reply_piece *piece, op_fn *then);
    void (*unpin)(struct reply *reply, struct reply_piece *piece);
    /* Exactly once, when the last byte was sent or never will be: nothing is pinned any more, the
     * reply may be freed. */
    void (*done)(struct reply *reply, bool sent);

    /* net/ only */
    struct connection *connection;
    struct reply *next;
    bool ready;
};

/* Takes the reply's place in the order of its connection. In the request's handler, at once. */
void reply_init(struct reply *reply, struct connection *connection);
/* It may go out when those before it have. */
void reply_ready(struct reply *reply);
/* Nothing is to be sent for it (acks=0). */
void reply_skip(struct reply *reply);

#endif
