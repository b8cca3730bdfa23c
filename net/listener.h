/*
 * listener -- a listening socket: accepts, and hands each connection to the least loaded core.
 *
 *      core 0: accept --> which server has the fewest? --mail--> server_adopt there
 *
 * The counts that it decides by are its own: raised when it hands one over, lowered when the server
 * says by mail that one has gone. Out of descriptors (EMFILE): it gives up a spare one to accept
 * and close, so that the peer is told, then pauses for a while; it never spins.
 * Lives on the reactor that opened it.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/connection.h"

struct listener {
    struct reactor *reactor;
    struct server **servers; /* [servers_count], one per core, in the order of the cores */
    uint32_t servers_count;
    uint32_t connections_max; /* of all cores together */
    int fd;

    /* listener.c only */
    struct op accept;
    struct timer pause;
    bool closing;
    struct op *closed;
    op_fn *closed_then;
};

/* Binds, listens and begins to accept. address: port 0 becomes the one that was bound.
 * 0 or -errno; then there is nothing to be closed. */
[[nodiscard]] int listener_open(struct listener *listener, struct reactor *reactor,
                                struct listen_address *address, struct server **servers,
                                uint32_t servers_count, uint32_t connections_max);
/* Accepts no more. */
void listener_close(struct listener *listener, struct op *op, op_fn *then);

#endif
