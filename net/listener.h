/*
 * listener -- one listening socket, on one core, for all of them.
 *
 *      accept --> the core with the fewest connections --mail--> server_adopt there
 *
 * The counts it decides by are read from those cores as they change: a stale one costs nothing.
 * A new connection changes core before its first byte is read. At max.connections accepting pauses,
 * and who comes meanwhile waits in the backlog, as in Kafka. When there is no descriptor left, which
 * connections alone cannot bring about, who comes is closed: he may find another broker.
 * Lives on the accepting core.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/connection.h"

enum { LISTENER_HANDOVERS = 64 /* on their way to other cores; then accepting waits for them */ };

struct listener {
    struct reactor *reactor;
    uint32_t connections_max; /* max.connections, of the whole broker */

    /* listener.c only */
    struct server **servers; /* [servers_count], one for each core; outlive the listener */
    uint32_t servers_count;
    int fd;
    struct op accept;
    bool accepting;
    struct timer pause;
    bool stopping;
    struct op *stopped;
    op_fn *stopped_then;
    struct listener_handover {
        struct op op;
        struct listener *listener;
        struct server *server;
        int fd;
    } handovers[LISTENER_HANDOVERS];
    uint32_t handovers_out;
    struct op_queue handovers_idle;
};

/* The address is taken: who comes waits in the backlog until listener_start.
 *   address   port 0 becomes the one that was given
 *   0 or -errno */
[[nodiscard]] int listener_open(struct listener *listener, struct reactor *reactor,
                                struct listen_address *address, struct server **servers,
                                uint32_t servers_count, uint32_t connections_max);
/* Accept, from here on: the servers are ready. */
void listener_start(struct listener *listener);
/* Started or not. */
void listener_close(struct listener *listener, struct op *op, op_fn *then);

#endif
