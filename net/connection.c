#include "net/connection.h"

#include <assert.h>
#include <stdlib.h>

enum { SWEEP_US_MIN = 1000 * 1000 /* closing a silent client a second late hurts nobody */ };

static void connection_ended(struct op *op);
static void server_swept(struct op *op);
static void server_grace_over(struct op *op);

/* -- connections --------------------------------------------------------------------------------- */

void server_adopt(struct server *server, int fd)
{
    struct connection *connection = server->stopping ? NULL : calloc(1, sizeof *connection);
    if (!connection) {
        metric_add(&server->reactor->metrics, METRIC_CONNECTIONS_REFUSED, 1);
        reactor_close(server->reactor, fd);
        return;
    }
    connection->server = server;
    connection->fd = fd;
    link_init(&connection->link);
    input_init(connection);
    output_init(&connection->output);
    uint32_t count = atomic_load_explicit(&server->connections_count, memory_order_relaxed) + 1;
    atomic_store_explicit(&server->connections_count, count, memory_order_relaxed);
    metric_add(&server->reactor->metrics, METRIC_CONNECTIONS_ACCEPTED, 1);
    metric_set(&server->reactor->metrics, METRIC_CONNECTIONS, count);
    connection_touch(connection);
    server_arm_sweep(server);
    input_start(connection);
}

void connection_touch(struct connection *connection)
{
    connection->active_us = reactor_now_us(connection->server->reactor);
    list_push(&connection->server->connections, &connection->link);
}

/* NOLINTNEXTLINE(misc-no-recursion): settling closes only what is not closing yet */
void connection_close(struct connection *connection, const char *cause)
{
    struct reactor *reactor = connection->server->reactor;
    if (!connection->closing) {
        connection->closing = true;
        if (cause) {
            metric_add(&reactor->metrics, METRIC_FRAMES_MALFORMED, 1);
            report(reactor->reports, REPORT_INFO, reactor_wall_ms(reactor), "connection",
                   "closed a connection: %s", cause);
        }
        reactor_shutdown(reactor, connection->fd);
    }
    input_close(connection);
    output_flush(connection);
    connection_settle(connection);
}

static bool connection_is_home(const struct connection *connection)
{
    return connection->closing && input_is_home(&connection->input) &&
           output_is_home(&connection->output);
}

/* NOLINTNEXTLINE(misc-no-recursion): see connection_close */
void connection_settle(struct connection *connection)
{
    if (connection->closing && !connection->end_due && connection_is_home(connection)) {
        connection->end_due = true;
        reactor_ready(connection->server->reactor, &connection->end, connection_ended);
    }
    if (connection->server->stopping && !connection->closing &&
        connection->output.replies_count == 0 && connection->input.frames_out == 0) {
        connection_close(connection, NULL);
    }
}

static void connection_ended(struct op *op)
{
    struct connection *connection = container_of(op, struct connection, end);
    struct server *server = connection->server;
    assert(connection_is_home(connection));
    input_close(connection);
    link_remove(&connection->link);
    reactor_close(server->reactor, connection->fd);
    free(connection);
    uint32_t count = atomic_load_explicit(&server->connections_count, memory_order_relaxed) - 1;
    atomic_store_explicit(&server->connections_count, count, memory_order_relaxed);
    metric_set(&server->reactor->metrics, METRIC_CONNECTIONS, count);
    if (server->stopping && count == 0) {
        timer_cancel(server->reactor, &server->grace);
        reactor_ready(server->reactor, server->stopped, server->stopped_then);
    }
}

/* -- those who are silent ------------------------------------------------------------------------ */

/* When the longest stalled one has to go, for somebody waits for memory: after its time, or at once
 * when that one has waited as long, behind others that stalled. UINT64_MAX: it may stay. */
static uint64_t server_stalled_due_us(const struct server *server)
{
    const struct link *stalled = list_first(&server->stalled);
    const struct link *hungry = list_first(&server->hungry);
    if (!stalled || !hungry) {
        return UINT64_MAX;
    }
    uint64_t stalled_us = container_of(stalled, struct output, stalled)->stalled_us;
    uint64_t hungry_us = container_of(hungry, struct input, hungry)->hungry_us;
    uint64_t since_us = stalled_us < hungry_us ? stalled_us : hungry_us;
    return since_us + server->options.stalled_us;
}

/* One timer for all connections: it runs when the first of them is overdue, and not at all without
 * one, so that a broker with nothing to do sleeps. */
void server_arm_sweep(struct server *server)
{
    uint64_t due_us = UINT64_MAX;
    struct link *first = list_first(&server->connections);
    if (first && server->options.idle_us) {
        due_us = container_of(first, struct connection, link)->active_us + server->options.idle_us;
    }
    first = list_first(&server->unfinished);
    if (first) {
        uint64_t progress_us = container_of(first, struct input, unfinished)->unfinished_us +
                               server->options.progress_us;
        due_us = progress_us < due_us ? progress_us : due_us;
    }
    first = list_first(&server->stalled);
    if (first && !list_is_empty(&server->hungry)) {
        uint64_t stalled_us =
            container_of(first, struct output, stalled)->stalled_us + server->options.stalled_us;
        due_us = stalled_us < due_us ? stalled_us : due_us;
    }
    uint64_t now_us = reactor_now_us(server->reactor);
    if (due_us == UINT64_MAX || server->stopping) {
        return;
    }
    due_us = due_us < now_us + SWEEP_US_MIN ? now_us + SWEEP_US_MIN : due_us;
    if (!timer_is_running(&server->sweep) || due_us < server->sweep_us) {
        server->sweep_us = due_us;
        timer_start(server->reactor, &server->sweep, due_us - now_us, server_swept);
    }
}

static void server_swept(struct op *op)
{
    struct server *server = container_of(op, struct server, sweep.op);
    uint64_t now_us = reactor_now_us(server->reactor);
    struct link *first;
    while ((first = list_first(&server->unfinished)) != NULL) {
        struct input *input = container_of(first, struct input, unfinished);
        if (input->unfinished_us + server->options.progress_us > now_us) {
            break;
        }
        connection_close(container_of(input, struct connection, input), "a frame came too slowly");
    }
    while (server_stalled_due_us(server) <= now_us) {
        first = list_first(&server->stalled);
        struct output *output = container_of(first, struct output, stalled);
        link_remove(first);
        connection_close(container_of(output, struct connection, output),
                         "it does not read its replies, and memory is short");
    }
    while (server->options.idle_us && (first = list_first(&server->connections)) != NULL) {
        struct connection *connection = container_of(first, struct connection, link);
        if (connection->active_us + server->options.idle_us > now_us) {
            break;
        }
        bool is_ours = link_is_listed(&connection->input.hungry); /* the silence is */
        connection_touch(connection);                             /* behind the others */
        if (!is_ours) {
            connection_close(connection, NULL);
        }
    }
    server_arm_sweep(server);
}

/* -- the server ----------------------------------------------------------------------------------- */

void server_init(struct server *server, struct reactor *reactor,
                 const struct server_options *options, void *owner,
                 void (*request)(struct connection *connection, struct frame frame))
{
    *server = (struct server){
        .reactor = reactor, .options = *options, .owner = owner, .request = request};
    list_init(&server->connections);
    list_init(&server->unfinished);
    list_init(&server->hungry);
    list_init(&server->stalled);
    uint32_t largest = server_frame_bytes_max(&reactor->slabs);
    if (server->options.frame_bytes_max > largest) {
        server->options.frame_bytes_max = largest;
    }
}

uint32_t server_frame_bytes_max(const struct slabs *slabs)
{
    uint32_t largest = SLAB_BYTES_MIN;
    while (largest < SLAB_BYTES_MAX &&
           (uint64_t)largest * 2 <= slabs->budgets[BUDGET_RESERVE].bytes_max) {
        largest *= 2;
    }
    return largest;
}

void server_stop(struct server *server, struct op *op, op_fn *then)
{
    assert(!server->stopping);
    server->stopping = true;
    server->stopped = op;
    server->stopped_then = then;
    timer_cancel(server->reactor, &server->sweep);
    if (list_is_empty(&server->connections)) {
        reactor_ready(server->reactor, op, then);
        return;
    }
    timer_start(server->reactor, &server->grace, SERVER_GRACE_US, server_grace_over);
    for (struct link *link = list_first(&server->connections); link;
         link = list_next(&server->connections, link)) {
        connection_settle(container_of(link, struct connection, link));
    }
}

static void server_grace_over(struct op *op)
{
    struct server *server = container_of(op, struct server, grace.op);
    for (struct link *link = list_first(&server->connections); link;
         link = list_next(&server->connections, link)) {
        connection_close(container_of(link, struct connection, link), NULL);
    }
}
