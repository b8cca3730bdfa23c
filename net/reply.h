/*
 * reply -- what one request is answered with: encoded bytes, and records named by where they lie.
 *
 *      head   |size|header|.... partition 0 ....|.... partition 1 ....|..|
 *      named                                ^ 1 MiB of segment 0      ^ 3 KiB of segment 5000
 *
 * The head is written by the codec (core/writer.h), which notes where named bytes belong. When the
 * reply's turn comes its bytes go out in order. The named ones are pinned piece by piece, at most
 * REPLY_PIECE_BYTES_MAX of them at a time per connection: asked for by `pin` when they are about to
 * be sent, returned by `unpin` when the socket has taken what it takes at once. Several small
 * replies leave in one send.
 *
 * Nothing is pinned for a socket that is full: what did not go is asked for again when there is
 * room, in smaller pieces. So a client that does not read holds nothing but its encoded reply, and
 * when memory for those is short it is closed (server->stalled).
 */
#ifndef NET_REPLY_H
#define NET_REPLY_H

#include "core/list.h"
#include "core/reactor.h"
#include "core/writer.h"

struct connection;

enum {
    REPLY_PIECE_BYTES_MAX = 256 << 10,   /* pinned at a time: what the kernel takes in one go */
    REPLY_PIECE_BYTES_MIN = 16 << 10,    /* ... at least, however slowly the peer reads */
    REPLY_PIECES_MAX = 8,                /* and in how many pieces: small partitions side by side */
    REPLY_ENCODED_BYTES_MAX = 256 << 10, /* past so many no further bytes join one send */
};

/* A piece of named bytes, on its way to the socket.
 *   result   bytes at data (1 to bytes_max); -ENOBUFS, if it may not wait: there is no memory for
 *            it now; else < 0: they are gone, and the connection is closed */
struct reply_piece {
    struct op op;
    struct reply *reply;
    void *name;        /* of the hole, as the writer was told */
    uint32_t position; /* in it */
    uint32_t bytes_max;
    bool may_wait; /* for memory: nothing else is pinned here that others may be waiting for */
    const uint8_t *data;
    void *held; /* for whoever pins */
};

struct reply {
    struct writer head; /* starts with 4 bytes for the frame's size, patched by reply_ready */
    /* True: at once; false: `then` will run. NULL when nothing is named. */
    bool (*pin)(struct reply *reply, struct reply_piece *piece, op_fn *then);
    void (*unpin)(struct reply *reply, struct reply_piece *piece);
    /* Exactly once, when the last byte was sent or never will be: nothing is pinned any more, the
     * reply may be freed. */
    void (*done)(struct reply *reply, bool sent);
    /* The connection closes and this reply is not ready: nobody waits for it any more. May be NULL;
     * at most once, and the reply still has to get ready. */
    void (*unwanted)(struct reply *reply);

    /* net/ only */
    struct connection *connection;
    struct reply *next;
    struct op *turn; /* runs when all replies before this one are done */
    bool ready;
    bool skipped;
};

/* Takes the reply's place in the order of its connection. In the request's handler, at once. */
void reply_init(struct reply *reply, struct connection *connection);

/* All replies before this one are done. If not, false: `then` runs when they are, or when the
 * connection closes. */
[[nodiscard]] bool reply_await_turn(struct reply *reply, struct op *op, op_fn *then);

/* It may go out when those before it have. `done` runs later. */
void reply_ready(struct reply *reply);
/* Nothing is to be sent for it (acks=0). */
void reply_skip(struct reply *reply);

/* -- for connection.c ---------------------------------------------------------------------------- */

struct output {          /* a connection's way out */
    struct reply *first; /* unanswered, in order */
    struct reply *last;
    uint32_t replies_count;

    /* reply.c only */
    struct op flush; /* so that what gets ready in one turn leaves in one send */
    bool flush_due;
    bool sending;     /* or waiting for room */
    bool pinning;     /* a pin has not come home yet */
    bool pins_failed; /* one that might not wait: what is there goes first */
    struct send send;
    struct iovec iov[SEND_IOV_MAX];
    struct reply_piece pieces[REPLY_PIECES_MAX]; /* pinned until the send has ended */
    uint32_t pieces_count;
    uint32_t pieces_bytes;
    uint32_t pieces_bytes_max; /* so much at a time: what the socket has taken lately */
    uint64_t send_bytes;
    struct output_place {    /* between two bytes */
        struct reply *reply; /* NULL: before the first one */
        struct writer_piece *piece;
        uint64_t position; /* in the piece: its own bytes, then those of its hole */
    } sent, gathered;      /* up to where the socket has all; up to where all is in iov */
    struct link stalled;   /* in server->stalled */
    uint64_t stalled_us;   /* since when no send went whole */
};

void output_init(struct output *output);
/* Later in this turn: send what is ready, or when the connection closes let it end. */
void output_flush(struct connection *connection);
/* No op is away and no reply is left. */
bool output_is_home(const struct output *output);

#endif
