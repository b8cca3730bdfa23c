#include "core/sim.h"

#include <criterion/criterion.h>
#include <errno.h>

enum { STEPS_MAX = 1 << 20, TEXT_BYTES = 100000 };

/* A node that sends back what it receives, and a client that talks to it. */
struct world {
    struct sim sim;
    struct sim_node *node;
    struct reactor reactor, *peers[1];
    struct listen_address address;
    int listener;
    struct op accepting;

    int fd;
    struct receive receive;
    struct send send;
    struct iovec iov;
    uint8_t echo[1 << 16];
    int64_t receive_result, send_result;
    uint32_t receives;
    uint32_t waits; /* sends that were not taken whole */
    uint32_t shortest, longest;
    bool over; /* the node has closed */

    struct sim_client client;
    uint8_t sent[TEXT_BYTES], got[2 * TEXT_BYTES];
    size_t got_bytes;
    bool closed;
    int error;
};

static void node_receive(struct world *world);

static void node_over(struct world *world)
{
    reactor_close(&world->reactor, world->fd);
    world->over = true;
}

static void node_sent(struct op *op)
{
    struct world *world = container_of(op, struct world, send.op);
    bool waited = world->send.iov_count == 0;
    world->send_result = op->result;
    if (op->result < 0) {
        node_over(world);
        return;
    }
    world->iov.iov_base = (uint8_t *)world->iov.iov_base + op->result;
    world->iov.iov_len -= (size_t)op->result;
    if (world->iov.iov_len == 0) {
        node_receive(world);
        return;
    }
    world->waits += !waited;
    world->send.iov_count = waited; /* full: wait for room */
    reactor_send(&world->reactor, &world->send, node_sent);
}

static void node_received(struct op *op)
{
    struct world *world = container_of(op, struct world, receive.op);
    world->receive_result = op->result;
    if (op->result <= 0) {
        node_over(world);
        return;
    }
    uint32_t bytes = (uint32_t)op->result;
    world->receives++;
    world->shortest = bytes < world->shortest ? bytes : world->shortest;
    world->longest = bytes > world->longest ? bytes : world->longest;
    memcpy(world->echo, world->receive.data, bytes);
    world->iov = (struct iovec){world->echo, bytes};
    world->send = (struct send){.fd = world->fd, .iov = &world->iov, .iov_count = 1};
    reactor_send(&world->reactor, &world->send, node_sent);
}

static void node_receive(struct world *world)
{
    world->receive = (struct receive){.fd = world->fd};
    reactor_receive(&world->reactor, &world->receive, node_received);
}

static void node_accepted(struct op *op)
{
    struct world *world = container_of(op, struct world, accepting);
    if (op->result >= 0) {
        world->fd = (int)op->result;
        node_receive(world);
    }
}

static void client_arrived(struct sim_client *client, const uint8_t *data, size_t bytes)
{
    struct world *world = container_of(client, struct world, client);
    cr_assert_leq(world->got_bytes + bytes, sizeof world->got);
    memcpy(world->got + world->got_bytes, data, bytes);
    world->got_bytes += bytes;
}

static void client_closed(struct sim_client *client, int error)
{
    struct world *world = container_of(client, struct world, client);
    world->closed = true;
    world->error = error;
}

static struct world *world_new(uint64_t seed)
{
    struct world *world = calloc(1, sizeof *world);
    sim_init(&world->sim, &(struct sim_options){.seed = seed});
    world->node = sim_node_new(&world->sim, sim_disk_new(&(struct sim_memory){0}, 1 << 20));
    cr_assert_eq(reactor_init(&world->reactor, 0, 1, world->peers, 16 << 20, 1, NULL), 0);
    sim_attach(&world->reactor, world->node);
    world->listener = reactor_listen(&world->reactor, &world->address);
    cr_assert_geq(world->listener, 0);
    reactor_accept(&world->reactor, world->listener, &world->accepting, node_accepted);
    world->client = (struct sim_client){.arrived = client_arrived, .closed = client_closed};
    world->shortest = UINT32_MAX;
    for (size_t i = 0; i < TEXT_BYTES; i++) {
        world->sent[i] = (uint8_t)sim_draw(&world->sim.random);
    }
    return world;
}

static void world_free(struct world *world)
{
    sim_deinit(&world->sim);
    reactor_deinit(&world->reactor);
    free(world);
}

static bool got_all(void *context)
{
    return ((struct world *)context)->got_bytes == TEXT_BYTES;
}

static bool is_closed(void *context)
{
    return ((struct world *)context)->closed;
}

static bool is_over(void *context)
{
    return ((struct world *)context)->over;
}

Test(sim_network, carries_bytes_in_order_in_pieces_of_any_length)
{
    uint32_t ones = 0, many = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world *world = world_new(seed);
        sim_connect(&world->sim, world->node, world->address.port, &world->client);
        sim_client_send(&world->client, world->sent, TEXT_BYTES);
        cr_assert(sim_run(&world->sim, got_all, world, STEPS_MAX));
        cr_assert_arr_eq(world->got, world->sent, TEXT_BYTES);
        ones += world->shortest == 1;
        many += world->longest > 10000;
        world_free(world);
    }
    cr_assert_gt(ones, 5);
    cr_assert_gt(many, 5);
}

Test(sim_network, refuses_where_nobody_listens)
{
    struct world *world = world_new(1);
    sim_connect(&world->sim, world->node, 1, &world->client);
    cr_assert(sim_run(&world->sim, is_closed, world, STEPS_MAX));
    cr_assert_eq(world->error, -ECONNREFUSED);
    cr_assert_eq(reactor_listen(&world->reactor, &world->address), -EADDRINUSE);
    world_free(world);
}

Test(sim_network, ends_each_direction_by_itself)
{
    struct world *world = world_new(2);
    sim_connect(&world->sim, world->node, world->address.port, &world->client);
    sim_client_send(&world->client, world->sent, TEXT_BYTES);
    sim_client_finish(&world->client);
    cr_assert(sim_run(&world->sim, is_closed, world, STEPS_MAX));
    cr_assert_eq(world->error, 0);
    cr_assert_eq(world->got_bytes, TEXT_BYTES);
    cr_assert_eq(world->receive_result, 0);
    sim_client_reset(&world->client);
    world_free(world);
}

Test(sim_network, tells_the_node_of_a_reset)
{
    struct world *world = world_new(3);
    sim_connect(&world->sim, world->node, world->address.port, &world->client);
    sim_client_send(&world->client, world->sent, 1000);
    while (world->receives == 0) {
        cr_assert(sim_step(&world->sim));
    }
    sim_client_reset(&world->client);
    cr_assert(sim_run(&world->sim, is_over, world, STEPS_MAX));
    cr_assert(world->receive_result == -ECONNRESET || world->send_result == -ECONNRESET);
    world_free(world);
}

Test(sim_network, breaks_connections_when_the_node_is_gone)
{
    struct world *world = world_new(4);
    sim_connect(&world->sim, world->node, world->address.port, &world->client);
    sim_client_send(&world->client, world->sent, TEXT_BYTES);
    while (world->got_bytes == 0) {
        cr_assert(sim_step(&world->sim));
    }
    sim_node_cut(world->node, SIM_CUT_KILL);
    cr_assert(sim_run(&world->sim, is_closed, world, STEPS_MAX));
    cr_assert_eq(world->error, -ECONNRESET);
    cr_assert_arr_eq(world->got, world->sent, world->got_bytes);
    world_free(world);
}

Test(sim_network, holds_up_the_sender_when_nobody_reads)
{
    struct world *world = world_new(5);
    sim_connect(&world->sim, world->node, world->address.port, &world->client);
    sim_client_pause(&world->client, true);
    for (int i = 0; i < 10; i++) {
        sim_client_send(&world->client, world->sent, TEXT_BYTES);
    }
    while (sim_step(&world->sim)) { /* until the world stands still */
    }
    cr_assert_eq(world->got_bytes, 0);
    cr_assert_not(world->over);
    cr_assert_eq(world->waits, 1);
    cr_assert_eq(world->send.iov_count, 0); /* and it waits for room */
    reactor_shutdown(&world->reactor, world->fd);
    cr_assert(sim_run(&world->sim, is_over, world, STEPS_MAX));
    cr_assert_eq(world->send_result, -EPIPE);
    world_free(world);
}

Test(sim_network, gives_the_accept_back_when_the_listener_is_shut_down)
{
    struct world *world = world_new(6);
    reactor_shutdown(&world->reactor, world->listener);
    while (sim_step(&world->sim)) {
    }
    cr_assert_eq(world->accepting.result, -EINVAL);
    reactor_close(&world->reactor, world->listener);
    cr_assert_null(world->sim.complaint);
    world_free(world);
}
