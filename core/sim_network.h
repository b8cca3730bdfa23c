/*
 * sim_network -- connections of the simulated world: two streams of bytes each.
 *
 *      client (a test's)   == to_node ==>   arrived | in flight      reactor_receive
 *                          <== to_client ==                          reactor_send
 *
 * Bytes arrive in pieces of any length, after any time, in order. A stream has room for so many;
 * who sends more waits. Each direction can end by itself; a reset loses what has not been read.
 */
#ifndef CORE_SIM_NETWORK_H
#define CORE_SIM_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim;
struct sim_node;
struct sim_connection;

struct sim_client { /* the far end of a connection, played by a test */
    void (*arrived)(struct sim_client *client, const uint8_t *data, size_t bytes);
    /* 0: the node sends no more. -ECONNREFUSED, -ECONNRESET: it is over, as after client_reset. */
    void (*closed)(struct sim_client *client, int error);
    struct sim_connection *connection; /* sim_network.c only; NULL: none */
};

void sim_connect(struct sim *sim, struct sim_node *node, uint16_t port, struct sim_client *client);
/* The bytes are copied, and without bound. */
void sim_client_send(struct sim_client *client, const void *data, size_t bytes);
void sim_client_finish(struct sim_client *client); /* sends no more, still reads */
void sim_client_reset(struct sim_client *client);  /* gone; nothing is called any more */
void sim_client_pause(struct sim_client *client, bool paused); /* reads no more for now */

/* -- sim*.c only ------------------------------------------------------------------------------- */

struct listen_address;
struct op;
struct receive;
struct reactor;
struct send;

int sim_listen(struct reactor *reactor, struct listen_address *address);
void sim_accept(struct reactor *reactor, int listener, struct op *op);
bool sim_refuse(struct reactor *reactor, int listener);
void sim_receive(struct reactor *reactor, struct receive *receive);
void sim_send(struct reactor *reactor, struct send *send);
void sim_shutdown(struct reactor *reactor, int fd);
void sim_network_close(struct sim_node *node, int fd);
void sim_network_cut(struct sim_node *node);
void sim_network_free(struct sim *sim);

#endif
