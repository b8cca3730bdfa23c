#include "net/listener.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    PAUSE_US = 100 * 1000, /* until a descriptor or a connection may be free again */
    REFUSALS_MAX = 64,     /* between two pauses */
};

static void listener_accept(struct listener *listener);
static void listener_accepted(struct op *op);
static void handover_arrived(struct op *op);
static void handover_returned(struct op *op);

int listener_open(struct listener *listener, struct reactor *reactor,
                  struct listen_address *address, struct server **servers, uint32_t servers_count,
                  uint32_t connections_max)
{
    *listener = (struct listener){.reactor = reactor,
                                  .connections_max = connections_max,
                                  .servers = servers,
                                  .servers_count = servers_count};
    listener->fd = reactor_listen(reactor, address);
    if (listener->fd < 0) {
        return listener->fd;
    }
    for (uint32_t i = 0; i < LISTENER_HANDOVERS; i++) {
        op_queue_push(&listener->handovers_idle, &listener->handovers[i].op);
    }
    return 0;
}

void listener_start(struct listener *listener)
{
    listener_accept(listener);
}

/* -- pausing -------------------------------------------------------------------------------------- */

static uint32_t connections_of(const struct server *server)
{
    return atomic_load_explicit(&server->connections_count, memory_order_relaxed);
}

static bool listener_is_full(const struct listener *listener)
{
    uint64_t count = listener->handovers_out;
    for (uint32_t i = 0; i < listener->servers_count; i++) {
        count += connections_of(listener->servers[i]);
    }
    return count >= listener->connections_max;
}

static void listener_paused(struct op *op)
{
    listener_accept(container_of(op, struct listener, pause.op));
}

static void listener_pause(struct listener *listener)
{
    timer_start(listener->reactor, &listener->pause, PAUSE_US, listener_paused);
}

/* -- accepting ------------------------------------------------------------------------------------ */

static void listener_accept(struct listener *listener)
{
    if (listener->stopping || listener->accepting || timer_is_running(&listener->pause) ||
        op_queue_is_empty(&listener->handovers_idle)) {
        return;
    }
    if (listener_is_full(listener)) {
        listener_pause(listener);
        return;
    }
    listener->accepting = true;
    reactor_accept(listener->reactor, listener->fd, &listener->accept, listener_accepted);
}

static struct server *listener_least_loaded(const struct listener *listener)
{
    struct server *least = listener->servers[0];
    for (uint32_t i = 1; i < listener->servers_count; i++) {
        if (connections_of(listener->servers[i]) < connections_of(least)) {
            least = listener->servers[i];
        }
    }
    return least;
}

static void listener_settle(struct listener *listener)
{
    if (listener->stopping && !listener->accepting && listener->handovers_out == 0) {
        reactor_close(listener->reactor, listener->fd);
        reactor_ready(listener->reactor, listener->stopped, listener->stopped_then);
    }
}

static void listener_trouble(struct listener *listener, int error)
{
    uint32_t refused = 0;
    if (error == EMFILE || error == ENFILE) {
        while (refused < REFUSALS_MAX && reactor_refuse(listener->reactor, listener->fd)) {
            refused++;
        }
    }
    if (refused == 0 && (error == EMFILE || error == ENFILE)) {
        return; /* nobody came: the kernel takes the descriptor first */
    }
    metric_add(&listener->reactor->metrics, METRIC_CONNECTIONS_REFUSED, refused);
    report(listener->reactor->reports, REPORT_WARN, reactor_wall_ms(listener->reactor), "listener",
           "cannot accept connections: %s; %u were refused", strerror(error), refused);
}

static void listener_accepted(struct op *op)
{
    struct listener *listener = container_of(op, struct listener, accept);
    listener->accepting = false;
    if (op->result >= 0) {
        struct op *idle = op_queue_pop(&listener->handovers_idle);
        struct listener_handover *handover = container_of(idle, struct listener_handover, op);
        handover->listener = listener;
        handover->server = listener_least_loaded(listener);
        handover->fd = (int)op->result;
        listener->handovers_out++;
        reactor_run(listener->reactor, handover->server->reactor, idle, handover_arrived);
    } else if (!listener->stopping && op->result != -ECONNABORTED) { /* that one has left again */
        listener_trouble(listener, (int)-op->result);
        listener_pause(listener);
    }
    listener_accept(listener);
    listener_settle(listener);
}

static void handover_arrived(struct op *op)
{
    struct listener_handover *handover = container_of(op, struct listener_handover, op);
    server_adopt(handover->server, handover->fd);
    reactor_run(handover->server->reactor, handover->listener->reactor, op, handover_returned);
}

static void handover_returned(struct op *op)
{
    struct listener *listener = container_of(op, struct listener_handover, op)->listener;
    op_queue_push(&listener->handovers_idle, op);
    listener->handovers_out--;
    listener_accept(listener);
    listener_settle(listener);
}

/* -- ending --------------------------------------------------------------------------------------- */

void listener_close(struct listener *listener, struct op *op, op_fn *then)
{
    assert(!listener->stopping);
    listener->stopping = true;
    listener->stopped = op;
    listener->stopped_then = then;
    timer_cancel(listener->reactor, &listener->pause);
    if (listener->accepting) {
        reactor_shutdown(listener->reactor, listener->fd);
    }
    listener_settle(listener);
}
