#include "core/sim_network.h"

#include "core/sim.h"

#include <errno.h>

enum {
    ROOM_BYTES_MIN = 2048, /* of a stream; drawn for each connection */
    ROOM_BYTES_MAX = 256 << 10,
    HOT_BYTES_MAX = 16 << 10, /* what a receive without a buffer of its own gets at most */
};

struct sim_stream { /* one direction: bytes[0 .. arrived) can be read, the rest is on its way */
    uint8_t *bytes;
    uint32_t count, capacity;
    uint32_t arrived;
    bool ended;       /* the sender sends no more */
    bool end_arrived; /* ... and the receiver knows */
    struct sim_event event;
    struct sim_connection *connection;
};

struct sim_connection {
    struct sim *sim;
    struct sim_connection *next, **link; /* all of the world */
    struct sim_node *node;               /* NULL: the node's end is gone */
    int fd;                              /* the node's; -1: not accepted yet */
    struct sim_client *client;           /* NULL: the client's end is gone */
    struct sim_stream to_node, to_client;
    struct sim_io *receiving, *sending; /* of the node */
    uint32_t room_bytes;
    bool client_paused;
    bool node_shut; /* reactor_shutdown was called */
    bool reset;     /* by the client: the node's operations fail */
    int closing;    /* what the client is told in a while: -ECONNRESET, -ECONNREFUSED */
    struct sim_event closing_event;
    struct sim_connection *queued; /* next in the listener's backlog */
};

struct sim_listener {
    struct sim_listener *next;
    struct sim_node *node;
    int fd;
    uint16_t port;
    struct sim_connection *backlog, **backlog_tail;
    struct sim_io *accepting, **accepting_tail; /* linked through io->waiting */
};

static void node_pump(struct sim_connection *connection);

/* Mostly soon, sometimes not. */
static uint64_t network_latency(struct sim *sim)
{
    uint64_t us = sim_between(&sim->random, 5, 200);
    return sim_chance(&sim->random, 3) ? us * 100 : us;
}

/* -- streams ----------------------------------------------------------------------------------- */

static void stream_arrive(struct sim *sim, struct sim_event *event);

static void stream_go_on(struct sim_stream *stream)
{
    struct sim *sim = stream->connection->sim;
    bool more = stream->arrived < stream->count || (stream->ended && !stream->end_arrived);
    if (more && !stream->event.place) {
        sim_event_start(sim, &stream->event, network_latency(sim), stream_arrive);
    }
}

static void stream_put(struct sim_stream *stream, const void *data, size_t bytes)
{
    struct sim *sim = stream->connection->sim;
    stream->bytes = sim_room(&sim->options.memory, stream->bytes, &stream->capacity,
                             stream->count + (uint32_t)bytes, 1);
    memcpy(stream->bytes + stream->count, data, bytes);
    stream->count += (uint32_t)bytes;
    stream_go_on(stream);
}

static void stream_end(struct sim_stream *stream)
{
    stream->ended = true;
    stream_go_on(stream);
}

static void stream_take(struct sim_stream *stream, size_t bytes)
{
    assert(bytes <= stream->arrived);
    stream->count -= (uint32_t)bytes;
    stream->arrived -= (uint32_t)bytes;
    memmove(stream->bytes, stream->bytes + bytes, stream->count);
}

static void stream_free(struct sim_stream *stream)
{
    struct sim *sim = stream->connection->sim;
    sim_event_cancel(sim, &stream->event);
    if (stream->bytes) {
        sim_give(&sim->options.memory, stream->bytes);
    }
}

/* How many of so many bytes come in one piece: often all, often any number, sometimes one. */
static uint32_t piece_draw(struct sim *sim, uint32_t bytes)
{
    uint32_t choice = (uint32_t)sim_below(&sim->random, 8);
    if (choice == 0) {
        return 1;
    }
    return choice < 4 ? bytes : (uint32_t)sim_between(&sim->random, 1, bytes);
}

/* -- connections ------------------------------------------------------------------------------- */

static void connection_free_if_over(struct sim_connection *connection)
{
    if (connection->node || connection->client) {
        return;
    }
    struct sim *sim = connection->sim;
    stream_free(&connection->to_node);
    stream_free(&connection->to_client);
    sim_event_cancel(sim, &connection->closing_event);
    *connection->link = connection->next;
    if (connection->next) {
        connection->next->link = connection->link;
    }
    sim_give(&sim->options.memory, connection);
}

/* The client's end is over: tell it, and forget it. */
static void client_closed(struct sim_connection *connection, int error)
{
    struct sim_client *client = connection->client;
    connection->client = NULL;
    if (client) {
        client->connection = NULL;
        sim_say(connection->sim, "closed", 0, 0, error);
        client->closed(client, error);
    }
    connection_free_if_over(connection);
}

static void closing_fired(struct sim *sim, struct sim_event *event)
{
    struct sim_connection *connection = container_of(event, struct sim_connection, closing_event);
    client_closed(connection, connection->closing);
}

static void client_close_later(struct sim_connection *connection, int error)
{
    struct sim *sim = connection->sim;
    connection->closing = error;
    sim_event_start(sim, &connection->closing_event, network_latency(sim), closing_fired);
}

/* What has arrived goes to the client at once, unless it looks away. */
static void client_read(struct sim_connection *connection)
{
    struct sim_stream *stream = &connection->to_client;
    struct sim_client *client = connection->client;
    if (!client || connection->client_paused) {
        return;
    }
    uint32_t bytes = stream->arrived;
    bool end = stream->end_arrived && bytes == stream->count;
    if (bytes > 0) {
        uint8_t *copy = sim_take(&connection->sim->options.memory, bytes);
        memcpy(copy, stream->bytes, bytes);
        stream_take(stream, bytes);
        node_pump(connection);
        client->arrived(client, copy, bytes);
        sim_give(&connection->sim->options.memory, copy);
    }
    if (end && client->connection == connection) { /* the client may be gone by now */
        client->closed(client, 0);
    }
}

static void stream_arrive(struct sim *sim, struct sim_event *event)
{
    struct sim_stream *stream = container_of(event, struct sim_stream, event);
    struct sim_connection *connection = stream->connection;
    uint32_t flying = stream->count - stream->arrived;
    if (flying > 0) {
        stream->arrived += piece_draw(sim, flying);
    } else {
        stream->end_arrived = true;
    }
    sim_say(sim, "arrive", stream == &connection->to_node, stream->arrived, stream->count);
    stream_go_on(stream);
    if (stream == &connection->to_node) {
        node_pump(connection);
    } else {
        client_read(connection);
    }
}

/* -- the node's end ---------------------------------------------------------------------------- */

static void receive_end(struct sim_connection *connection, int64_t result)
{
    struct sim_io *io = connection->receiving;
    connection->receiving = NULL;
    sim_fd_of(connection->node, io->fd, SIM_FD_CONNECTION)->pending--;
    sim_io_end(io, result);
}

static void send_end(struct sim_connection *connection, int64_t result)
{
    struct sim_io *io = connection->sending;
    connection->sending = NULL;
    sim_fd_of(connection->node, io->fd, SIM_FD_CONNECTION)->pending--;
    sim_io_end(io, result);
}

static void receive_pump(struct sim_connection *connection)
{
    struct sim *sim = connection->sim;
    struct sim_stream *stream = &connection->to_node;
    struct sim_io *io = connection->receiving;
    struct receive *receive = container_of(io->op, struct receive, op);
    if (connection->reset) {
        receive_end(connection, -ECONNRESET);
    } else if (connection->node_shut) {
        receive_end(connection, 0);
    } else if (stream->arrived > 0) {
        uint32_t bytes_max = receive->into ? receive->bytes_max : HOT_BYTES_MAX;
        uint32_t bytes = stream->arrived < bytes_max ? stream->arrived : bytes_max;
        bytes = piece_draw(sim, bytes);
        if (!receive->into) {
            io->hot = sim_take(&sim->options.memory, bytes);
        }
        receive->data = receive->into ? receive->into : io->hot;
        memcpy(receive->data, stream->bytes, bytes);
        stream_take(stream, bytes);
        receive_end(connection, bytes);
    } else if (stream->end_arrived) {
        receive_end(connection, 0);
    }
}

/* Takes what there is room for; one that waits for room ends when there is a third of it. */
static void send_pump(struct sim_connection *connection)
{
    struct sim_stream *stream = &connection->to_client;
    struct send *send = container_of(connection->sending->op, struct send, op);
    if (connection->reset || connection->node_shut) {
        send_end(connection, connection->reset ? -ECONNRESET : -EPIPE);
        return;
    }
    uint32_t room =
        connection->room_bytes > stream->count ? connection->room_bytes - stream->count : 0;
    if (send->iov_count == 0) {
        if (room >= connection->room_bytes / 3) {
            send_end(connection, 0);
        }
        return;
    }
    uint32_t taken = 0;
    for (uint32_t i = 0; i < send->iov_count && taken < room; i++) {
        size_t bytes = send->iov[i].iov_len;
        bytes = bytes < room - taken ? bytes : room - taken;
        stream_put(stream, send->iov[i].iov_base, bytes);
        taken += (uint32_t)bytes;
    }
    sim_at(connection->node, SIM_POINT_SEND);
    send_end(connection, taken);
}

/* Whatever of the node's operations can go on. */
static void node_pump(struct sim_connection *connection)
{
    if (connection->node && connection->receiving) {
        receive_pump(connection);
    }
    if (connection->node && connection->sending) {
        send_pump(connection);
    }
}

/* The node's end is closed, or its process is gone. */
static void node_leave(struct sim_connection *connection, bool orderly)
{
    bool unread = connection->to_node.count > 0;
    connection->node = NULL;
    connection->fd = -1;
    connection->receiving = connection->sending = NULL;
    if (!connection->client) {
        connection_free_if_over(connection);
    } else if (orderly && !unread) {
        stream_end(&connection->to_client);
    } else { /* as the kernel does: what nobody will read is answered by a reset */
        client_close_later(connection, -ECONNRESET);
    }
}

/* -- the seam ---------------------------------------------------------------------------------- */

static struct sim_core *core_of(struct reactor *reactor)
{
    return reactor->backend_state;
}

int sim_listen(struct reactor *reactor, struct listen_address *address)
{
    struct sim_node *node = core_of(reactor)->node;
    struct sim *sim = node->sim;
    for (struct sim_listener *other = node->listeners; other; other = other->next) {
        if (other->port == address->port) {
            return -EADDRINUSE;
        }
    }
    struct sim_fd *entry;
    int fd = sim_fd_new(node, &entry);
    if (fd < 0) {
        return fd;
    }
    struct sim_listener *listener = sim_take(&sim->options.memory, sizeof *listener);
    listener->node = node;
    listener->fd = fd;
    listener->port = address->port ? address->port : node->next_port++;
    listener->backlog_tail = &listener->backlog;
    listener->accepting_tail = &listener->accepting;
    listener->next = node->listeners;
    node->listeners = listener;
    *entry = (struct sim_fd){.kind = SIM_FD_LISTENER, .listener = listener};
    address->port = listener->port;
    sim_say(sim, "listen", fd, listener->port, 0);
    return fd;
}

/* The first of the backlog is in it no more. */
static void listener_pop(struct sim_listener *listener)
{
    listener->backlog = listener->backlog->queued;
    if (!listener->backlog) {
        listener->backlog_tail = &listener->backlog;
    }
}

/* Accepts meet connections. */
static void listener_pump(struct sim_listener *listener)
{
    struct sim_node *node = listener->node;
    while (listener->accepting && listener->backlog) {
        struct sim_io *io = listener->accepting;
        struct sim_connection *connection = listener->backlog;
        struct sim_fd *entry;
        int fd = sim_fd_new(node, &entry); /* may move the table */
        if (fd >= 0) {
            *entry = (struct sim_fd){.kind = SIM_FD_CONNECTION, .connection = connection};
            connection->fd = fd;
            listener_pop(listener);
        }
        listener->accepting = io->waiting;
        if (!listener->accepting) {
            listener->accepting_tail = &listener->accepting;
        }
        sim_fd_of(node, listener->fd, SIM_FD_LISTENER)->pending--;
        sim_io_end(io, fd);
    }
}

void sim_accept(struct reactor *reactor, int fd, struct op *op)
{
    struct sim_core *core = core_of(reactor);
    struct sim_fd *entry = sim_fd_of(core->node, fd, SIM_FD_LISTENER);
    struct sim_io *io = sim_io_new(core, SIM_IO_NETWORK, fd, op);
    if (!entry) {
        sim_io_end(io, -EBADF);
        return;
    }
    entry->pending++;
    *entry->listener->accepting_tail = io;
    entry->listener->accepting_tail = &io->waiting;
    listener_pump(entry->listener);
}

bool sim_refuse(struct reactor *reactor, int fd)
{
    struct sim_fd *entry = sim_fd_of(core_of(reactor)->node, fd, SIM_FD_LISTENER);
    struct sim_connection *connection = entry ? entry->listener->backlog : NULL;
    if (!connection) {
        return false;
    }
    listener_pop(entry->listener);
    node_leave(connection, true);
    return true;
}

void sim_receive(struct reactor *reactor, struct receive *receive)
{
    struct sim_core *core = core_of(reactor);
    struct sim_fd *entry = sim_fd_of(core->node, receive->fd, SIM_FD_CONNECTION);
    struct sim_io *io = sim_io_new(core, SIM_IO_NETWORK, receive->fd, &receive->op);
    if (!entry || entry->connection->receiving) {
        sim_complain(core->node->sim, "a receive where there cannot be one");
        sim_io_end(io, -EBADF);
        return;
    }
    entry->pending++;
    entry->connection->receiving = io;
    receive_pump(entry->connection);
}

void sim_send(struct reactor *reactor, struct send *send)
{
    struct sim_core *core = core_of(reactor);
    struct sim_fd *entry = sim_fd_of(core->node, send->fd, SIM_FD_CONNECTION);
    struct sim_io *io = sim_io_new(core, SIM_IO_NETWORK, send->fd, &send->op);
    if (!entry || entry->connection->sending) {
        sim_complain(core->node->sim, "a send where there cannot be one");
        sim_io_end(io, -EBADF);
        return;
    }
    entry->pending++;
    entry->connection->sending = io;
    send_pump(entry->connection);
}

void sim_shutdown(struct reactor *reactor, int fd)
{
    struct sim_node *node = core_of(reactor)->node;
    uint32_t place = (uint32_t)(fd - SIM_FD_FIRST);
    if (place < node->fds_capacity && node->fds[place].kind == SIM_FD_LISTENER) {
        struct sim_listener *listener = node->fds[place].listener;
        while (listener->accepting) {
            struct sim_io *io = listener->accepting;
            listener->accepting = io->waiting;
            node->fds[place].pending--;
            sim_io_end(io, -EINVAL);
        }
        listener->accepting_tail = &listener->accepting;
        return;
    }
    struct sim_fd *entry = sim_fd_of(node, fd, SIM_FD_CONNECTION);
    if (entry && !entry->connection->node_shut) {
        entry->connection->node_shut = true;
        stream_end(&entry->connection->to_client);
        node_pump(entry->connection);
    }
}

static void listener_free(struct sim_listener *listener)
{
    struct sim_node *node = listener->node;
    struct sim_listener **link = &node->listeners;
    while (*link != listener) {
        link = &(*link)->next;
    }
    *link = listener->next;
    while (listener->backlog) {
        struct sim_connection *connection = listener->backlog;
        listener->backlog = connection->queued;
        node_leave(connection, false);
    }
    sim_give(&node->sim->options.memory, listener);
}

/* A listener or a connection. */
void sim_network_close(struct sim_node *node, int fd)
{
    struct sim_fd *entry = &node->fds[fd - SIM_FD_FIRST];
    if (entry->kind == SIM_FD_LISTENER) {
        listener_free(entry->listener);
    } else {
        node_leave(entry->connection, true);
    }
}

void sim_network_cut(struct sim_node *node)
{
    while (node->listeners) {
        listener_free(node->listeners);
    }
    for (struct sim_connection *one = node->sim->connections, *next; one; one = next) {
        next = one->next;
        if (one->node == node) {
            node_leave(one, false);
        }
    }
}

void sim_network_free(struct sim *sim)
{
    for (struct sim_connection *one; (one = sim->connections);) {
        if (one->client) {
            one->client->connection = NULL;
        }
        one->client = NULL;
        one->node = NULL;
        connection_free_if_over(one);
    }
}

/* -- the client's end -------------------------------------------------------------------------- */

void sim_connect(struct sim *sim, struct sim_node *node, uint16_t port, struct sim_client *client)
{
    struct sim_connection *connection = sim_take(&sim->options.memory, sizeof *connection);
    connection->sim = sim;
    connection->fd = -1;
    connection->client = client;
    connection->room_bytes = (uint32_t)sim_between(&sim->random, ROOM_BYTES_MIN, ROOM_BYTES_MAX);
    connection->to_node.connection = connection->to_client.connection = connection;
    connection->next = sim->connections;
    connection->link = &sim->connections;
    if (connection->next) {
        connection->next->link = &connection->next;
    }
    sim->connections = connection;
    client->connection = connection;

    struct sim_listener *listener = node->listeners;
    while (listener && listener->port != port) {
        listener = listener->next;
    }
    if (!listener) {
        client_close_later(connection, -ECONNREFUSED);
        return;
    }
    connection->node = node;
    *listener->backlog_tail = connection;
    listener->backlog_tail = &connection->queued;
    listener_pump(listener);
}

void sim_client_send(struct sim_client *client, const void *data, size_t bytes)
{
    struct sim_connection *connection = client->connection;
    if (connection && connection->node) {
        stream_put(&connection->to_node, data, bytes);
    } else if (connection && !connection->closing_event.place) {
        client_close_later(connection, -ECONNRESET);
    }
}

void sim_client_finish(struct sim_client *client)
{
    if (client->connection) {
        stream_end(&client->connection->to_node);
    }
}

void sim_client_reset(struct sim_client *client)
{
    struct sim_connection *connection = client->connection;
    if (!connection) {
        return;
    }
    client->connection = NULL;
    connection->client = NULL;
    connection->reset = true;
    node_pump(connection);
    connection_free_if_over(connection);
}

void sim_client_pause(struct sim_client *client, bool paused)
{
    struct sim_connection *connection = client->connection;
    if (connection) {
        connection->client_paused = paused;
        client_read(connection);
    }
}
