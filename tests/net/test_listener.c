#include "net/listener.h"

#include "tests/core/reactor_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 10 };

/* Two cores behind one listening socket, turned by one thread. */
struct house {
    struct fixture fixture;
    struct server servers[2];
    struct server *both[2];
    struct listener listener;
    struct listen_address address;
    int clients[CLIENTS + 1];
    struct op op;
    uint32_t stopped;
};

static void never_asked(struct connection *connection, struct frame frame)
{
    cr_assert_fail("nobody sends anything");
}

static void house_turn(struct house *house, uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++) {
        reactor_turn(&house->fixture.reactors[0], false);
        reactor_turn(&house->fixture.reactors[1], false);
    }
}

static struct house *house_new(void)
{
    static const struct server_options options = {
        .frame_bytes_max = 1 << 20, .idle_us = 600000000, .progress_us = 600000000};
    struct house *house = calloc(1, sizeof *house);
    fixture_init(&house->fixture, 2, "");
    for (uint32_t i = 0; i < 2; i++) {
        house->fixture.peers[i] = &house->fixture.reactors[i];
        server_init(&house->servers[i], &house->fixture.reactors[i], &options, house, never_asked);
        house->both[i] = &house->servers[i];
    }
    house->address = (struct listen_address){.host = "127.0.0.1"};
    cr_assert_eq(listener_open(&house->listener, &house->fixture.reactors[0], &house->address,
                               house->both, 2, CLIENTS),
                 0);
    listener_start(&house->listener);
    return house;
}

static void house_connect(struct house *house, uint32_t index)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(house->address.port)};
    house->clients[index] = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(house->clients[index], (struct sockaddr *)&address, sizeof address), 0);
}

static uint32_t house_count(struct house *house)
{
    return house->servers[0].connections_count + house->servers[1].connections_count;
}

static void house_await_count(struct house *house, uint32_t count)
{
    for (uint32_t i = 0; i < 10000000 && house_count(house) != count; i++) {
        house_turn(house, 1);
    }
    cr_assert_eq(house_count(house), count);
}

static void house_stopped(struct op *op)
{
    container_of(op, struct house, op)->stopped++;
}

static void house_free(struct house *house)
{
    listener_close(&house->listener, &house->op, house_stopped);
    for (uint32_t i = 0; i < 1000 && house->stopped == 0; i++) {
        house_turn(house, 1);
    }
    for (uint32_t i = 0; i < 2; i++) {
        server_stop(&house->servers[i], &house->op, house_stopped);
        for (uint32_t k = 0; k < 1000 && house->stopped < 2 + i; k++) {
            house_turn(house, 1);
        }
    }
    cr_assert_eq(house->stopped, 3);
    fixture_deinit(&house->fixture);
    free(house);
}

Test(listener, gives_each_connection_to_the_core_with_the_fewest)
{
    struct house *house = house_new();
    for (uint32_t i = 0; i < CLIENTS; i++) {
        house_connect(house, i);
        house_await_count(house, i + 1);
    }
    cr_assert_eq(house->servers[0].connections_count, CLIENTS / 2);
    cr_assert_eq(house->servers[1].connections_count, CLIENTS / 2);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        close(house->clients[i]);
    }
    house_await_count(house, 0);
    house_free(house);
}

Test(listener, lets_nobody_in_beyond_the_limit_until_somebody_leaves)
{
    struct house *house = house_new();
    for (uint32_t i = 0; i < CLIENTS; i++) {
        house_connect(house, i);
        house_await_count(house, i + 1);
    }
    house_connect(house, CLIENTS); /* waits in the backlog */
    house_turn(house, 1000);
    cr_assert_eq(house_count(house), CLIENTS);
    close(house->clients[0]);
    close(house->clients[1]);
    house_await_count(house, CLIENTS - 1);
    for (uint32_t i = 2; i <= CLIENTS; i++) {
        close(house->clients[i]);
    }
    house_await_count(house, 0);
    house_free(house);
}

/* Every descriptor is taken; those that were, for descriptors_give. */
static uint32_t descriptors_take_all(int fds[256])
{
    struct rlimit limit = {200, 200};
    uint32_t count = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (count < 256 && (fds[count] = dup(0)) >= 0) {
        count++;
    }
    cr_assert_lt(count, 256);
    return count;
}

Test(listener, closes_who_comes_when_there_is_no_descriptor_left)
{
    struct house *house = house_new();
    int fds[256];
    house_connect(house, 0);
    house_await_count(house, 1);
    for (uint32_t round = 0; round < 3; round++) {
        house_connect(house, 1); /* not accepted yet */
        uint32_t count = descriptors_take_all(fds);
        ssize_t bytes = -1;
        char byte;
        for (uint32_t i = 0; i < 10000000 && bytes != 0; i++) {
            house_turn(house, 1);
            bytes = recv(house->clients[1], &byte, 1, MSG_DONTWAIT);
            cr_assert(bytes == 0 || errno == EAGAIN);
        }
        cr_assert_eq(bytes, 0, "it is left hanging");
        while (count > 0) {
            close(fds[--count]);
        }
        close(house->clients[1]);
    }
    cr_assert_eq(house_count(house), 1);
    house_connect(house, 1);
    house_await_count(house, 2);
    close(house->clients[0]);
    close(house->clients[1]);
    house_await_count(house, 0);
    house_free(house);
}
