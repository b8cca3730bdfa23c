/*
 * broker_fixture -- a whole broker for tests, of real reactors turned by one thread, and clients
 * that speak to it over loopback with the generated codec.
 *
 *     struct rig *rig = rig_new(2);
 *     struct client client;
 *     client_open(&client, rig);
 *     writer = client_begin(&client, API_PRODUCE, 9);
 *     produce_request_encode(&request, writer, 9);
 *     struct cursor body = client_call(&client);
 */
#ifndef TESTS_SHARD_BROKER_FIXTURE_H
#define TESTS_SHARD_BROKER_FIXTURE_H

#include "core/memory.h"
#include "log/record.h"
#include "net/api.h"
#include "net/codec/header.h"
#include "shard/broker.h"
#include "tests/core/reactor_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENT_BYTES_MAX = 8 << 20, RIG_TURNS_MAX = 20 * 1000 * 1000 };

struct rig {
    struct fixture fixture;
    struct config config;
    struct broker_options options;
    struct broker broker;
    char directory[64];
    struct op op;
    bool done;
    int64_t result;
};

static inline void rig_turn(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->fixture.count; i++) {
        reactor_turn(&rig->fixture.reactors[i], false);
    }
}

static inline void rig_turn_often(struct rig *rig, uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++) {
        rig_turn(rig);
    }
}

static inline int64_t rig_now_ms(const struct rig *rig)
{
    return reactor_wall_ms(&rig->fixture.reactors[0]);
}

static inline void rig_ended(struct op *op)
{
    struct rig *rig = container_of(op, struct rig, op);
    rig->result = op->result;
    rig->done = true;
}

static inline int64_t rig_await_result(struct rig *rig)
{
    for (uint32_t i = 0; i < RIG_TURNS_MAX && !rig->done; i++) {
        rig_turn(rig);
    }
    cr_assert(rig->done, "took too long");
    rig->done = false;
    return rig->result;
}

static inline void rig_await(struct rig *rig)
{
    int64_t result = rig_await_result(rig);
    cr_assert_eq(result, 0, "%s: %s", strerror((int)-result), rig->broker.problem);
}

static inline void rig_set(struct rig *rig, const char *assignment)
{
    char why[512];
    cr_assert(config_override(&rig->config, assignment, why, sizeof why), "%s", why);
}

/* more: further settings, ended by NULL; may be NULL. */
static inline struct rig *rig_new(uint32_t cores, const char *const *more)
{
    char text[512];
    struct rig *rig = calloc(1, sizeof *rig);
    fixture_init(&rig->fixture, cores, "");
    snprintf(rig->directory, sizeof rig->directory, "/tmp/odradek-test-XXXXXX");
    cr_assert(mkdtemp(rig->directory));
    cr_assert_eq(config_init(&rig->config, settings_table, SETTINGS_COUNT), 0);
    snprintf(text, sizeof text, "log.dirs=%s", rig->directory);
    rig_set(rig, text);
    rig_set(rig, "listeners=PLAINTEXT://127.0.0.1:0");
    for (uint32_t i = 0; more && more[i]; i++) {
        rig_set(rig, more[i]);
    }
    cr_assert(settings_resolve(&rig->config, &rig->options, text, sizeof text), "%s", text);
    for (uint32_t i = 0; i < cores; i++) {
        rig->fixture.peers[i] = &rig->fixture.reactors[i];
    }
    cr_assert_eq(broker_init(&rig->broker, &rig->options, rig->fixture.peers, cores), 0);
    broker_start(&rig->broker, &rig->op, rig_ended);
    rig_await(rig);
    return rig;
}

/* expected: what the stop ends with. */
static inline void rig_end(struct rig *rig, int64_t expected)
{
    char command[128];
    broker_stop(&rig->broker, &rig->op, rig_ended);
    cr_assert_eq(rig_await_result(rig), expected);
    for (uint32_t i = 0; i < rig->fixture.count; i++) { /* nothing that a request took is left */
        struct slabs *slabs = &rig->fixture.reactors[i].slabs;
        cr_assert_eq(slabs->budgets[BUDGET_FRAMES].bytes, 0);
        cr_assert_eq(slabs->budgets[BUDGET_RESERVE].bytes, 0);
        cr_assert_eq(slabs->budgets[BUDGET_REPLIES].bytes, 0);
        cr_assert_eq(slabs->budgets[BUDGET_SCRATCH].bytes, 0);
    }
    broker_deinit(&rig->broker);
    fixture_deinit(&rig->fixture);
    config_deinit(&rig->config);
    snprintf(command, sizeof command, "rm -rf %s", rig->directory);
    cr_assert_eq(system(command), 0);
    free(rig);
}

static inline void rig_free(struct rig *rig)
{
    rig_end(rig, 0);
}

/* -- a client --------------------------------------------------------------------------------------- */

struct client {
    struct rig *rig;
    int fd;
    struct memory memory;
    struct writer writer;
    struct arena arena; /* of decoded answers, until the next call */
    uint8_t *size;
    int16_t key, version;
    int32_t correlation_id;
    uint8_t *in;
    size_t in_bytes;
    size_t in_done; /* of the answer read last */
    bool ended;
};

static inline void client_open(struct client *client, struct rig *rig)
{
    *client = (struct client){.rig = rig, .in = malloc(CLIENT_BYTES_MAX)};
    memory_init_heap(&client->memory);
    arena_init(&client->arena, &client->memory, 64 << 20);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(rig->broker.options.listeners[0].port)};
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(client->fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(fcntl(client->fd, F_SETFL, O_NONBLOCK), 0);
    cr_assert_eq(setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0);
    rig_turn_often(rig, 50); /* it is accepted, and handed over */
}

static inline void client_close(struct client *client)
{
    close(client->fd);
    arena_give_all(&client->arena);
    free(client->in);
    rig_turn_often(client->rig, 50);
}

static inline struct writer *client_begin(struct client *client, int16_t key, int16_t version)
{
    const struct api *api = api_find(key);
    int16_t header_version = api_request_header_version(api, version);
    struct request_header header = {.request_api_key = key,
                                    .request_api_version = version,
                                    .correlation_id = ++client->correlation_id,
                                    .client_id = view_of_text("test")};
    client->key = key;
    client->version = version;
    writer_init(&client->writer, &client->memory, 64 << 20);
    client->size = writer_reserve32(&client->writer);
    request_header_encode(&header, &client->writer, header_version);
    return &client->writer;
}

static inline void client_write(struct client *client, const void *data, size_t bytes)
{
    size_t at = 0;
    for (uint32_t i = 0; at < bytes && i < RIG_TURNS_MAX && !client->ended; i++) {
        ssize_t sent = send(client->fd, (const uint8_t *)data + at, bytes - at, MSG_NOSIGNAL);
        cr_assert(sent > 0 || errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
        client->ended |= sent < 0 && errno != EAGAIN;
        at += sent > 0 ? (size_t)sent : 0;
        if (at < bytes) {
            rig_turn(client->rig);
        }
    }
}

static inline void client_send(struct client *client)
{
    cr_assert(writer_finish(&client->writer));
    writer_patch32(client->size, (uint32_t)writer_position(&client->writer) - 4);
    for (struct writer_piece *piece = client->writer.first; piece; piece = piece->next) {
        client_write(client, piece->data, piece->bytes);
    }
    writer_give_all(&client->writer);
}

/* All but the request's last byte arrive first; then that one is sent. So what happens in the turns
 * that follow is the request's handling, not its receipt. */
static inline void client_send_whole(struct client *client)
{
    cr_assert(writer_finish(&client->writer));
    size_t bytes = writer_position(&client->writer);
    uint8_t *frame = malloc(bytes);
    writer_patch32(client->size, (uint32_t)bytes - 4);
    writer_join(&client->writer, frame);
    writer_give_all(&client->writer);
    client_write(client, frame, bytes - 1);
    for (uint32_t i = 0; i < 200; i++) {
        rig_turn(client->rig);
    }
    client_write(client, frame + bytes - 1, 1);
    free(frame);
}

/* False: there is no whole answer yet. */
static inline bool client_has_answer(struct client *client)
{
    ssize_t bytes =
        recv(client->fd, client->in + client->in_bytes, CLIENT_BYTES_MAX - client->in_bytes, 0);
    client->ended |= bytes == 0 || (bytes < 0 && errno != EAGAIN);
    client->in_bytes += bytes > 0 ? (size_t)bytes : 0;
    return client->in_bytes >= 4 && client->in_bytes >= 4 + big_endian_load32(client->in);
}

/* The answer read last is done with. */
static inline void client_forget(struct client *client)
{
    if (client->in_done > 0) {
        memmove(client->in, client->in + client->in_done, client->in_bytes - client->in_done);
        client->in_bytes -= client->in_done;
        client->in_done = 0;
    }
}

static inline bool client_is_silent(struct client *client)
{
    client_forget(client);
    return !client_has_answer(client) && !client->ended;
}

/* The next answer's body. key and version: of its request. */
static inline struct cursor client_receive(struct client *client, int16_t key, int16_t version)
{
    client_forget(client);
    arena_give_all(&client->arena);
    for (uint32_t i = 0; i < RIG_TURNS_MAX && !client_has_answer(client) && !client->ended; i++) {
        rig_turn(client->rig);
    }
    cr_assert(!client->ended, "closed");
    struct cursor body;
    uint32_t bytes = big_endian_load32(client->in);
    cursor_init(&body, client->in + 4, bytes);
    struct response_header header;
    cr_assert(response_header_decode(
        &header, &body, api_response_header_version(api_find(key), version), &client->arena));
    client->in_done = 4 + bytes;
    return body;
}

/* How many turns the request's handling takes, until its answer is there or the connection closed. */
static inline uint32_t client_call_turns(struct client *client)
{
    client_forget(client);
    client_send_whole(client);
    uint32_t turns = 0;
    while (turns < RIG_TURNS_MAX && !client_has_answer(client) && !client->ended) {
        rig_turn(client->rig);
        turns++;
    }
    return turns;
}

static inline struct cursor client_call(struct client *client)
{
    client_send(client);
    return client_receive(client, client->key, client->version);
}

static inline void client_await_close(struct client *client)
{
    for (uint32_t i = 0; i < RIG_TURNS_MAX && !client->ended; i++) {
        (void)client_has_answer(client);
        rig_turn(client->rig);
    }
    cr_assert(client->ended);
}

/* -- what tests ask for ------------------------------------------------------------------------------ */

/* The topic's id. */
static inline struct uuid client_create(struct client *client, const char *name, int32_t partitions,
                                        struct create_topics_request_config *configs,
                                        int32_t configs_count)
{
    struct create_topics_request_topic topic = {.name = view_of_text(name),
                                                .num_partitions = partitions,
                                                .replication_factor = 1,
                                                .configs = configs,
                                                .configs_count = configs_count};
    struct create_topics_request request = {
        .topics = &topic, .topics_count = 1, .timeout_ms = 5000};
    create_topics_request_encode(&request, client_begin(client, API_CREATE_TOPICS, 7), 7);
    struct cursor body = client_call(client);
    struct create_topics_response response;
    cr_assert(create_topics_response_decode(&response, &body, 7, &client->arena));
    cr_assert_eq(response.topics[0].error_code, KAFKA_NONE);
    return response.topics[0].topic_id;
}

/* A Produce of some partitions of one topic (its name, or its id), ready to be sent. */
static inline void client_begin_produce(struct client *client, int16_t version, int16_t acks,
                                        struct produce_request_topic topic,
                                        struct produce_request_partition *partitions, int32_t count)
{
    topic.partition_data = partitions;
    topic.partition_data_count = count;
    struct produce_request request = {.transactional_id = VIEW_NULL,
                                      .acks = acks,
                                      .timeout_ms = 5000,
                                      .topic_data = &topic,
                                      .topic_data_count = 1};
    produce_request_encode(&request, client_begin(client, API_PRODUCE, version), version);
}

/* A batch of so many records of value_bytes each; its bytes. */
static inline size_t make_records(uint8_t *to, size_t room, uint32_t count, uint32_t value_bytes,
                                  int64_t timestamp)
{
    uint8_t value[4096];
    struct batch_builder builder;
    batch_build_start(&builder, to, room);
    for (uint32_t i = 0; i < count; i++) {
        memset(value, 'a' + (int)(i % 26), value_bytes);
        struct record record = {.timestamp = timestamp + i,
                                .key = VIEW_NULL,
                                .value = view_of(value, (int32_t)value_bytes)};
        batch_build_record(&builder, &record);
    }
    struct batch header = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .partition_leader_epoch = -1};
    return batch_build_end(&builder, &header);
}

/* A batch of so many records is acknowledged; its bytes. */
static inline size_t client_append(struct client *client, const char *name, int32_t index,
                                   uint32_t count, uint32_t value_bytes, int64_t timestamp)
{
    static uint8_t batch[1 << 20];
    size_t bytes = make_records(batch, sizeof batch, count, value_bytes, timestamp);
    struct produce_request_partition partition = {
        .index = index, .records = {.data = batch, .bytes = (int32_t)bytes}};
    client_begin_produce(client, 9, -1, (struct produce_request_topic){.name = view_of_text(name)},
                         &partition, 1);
    struct cursor body = client_call(client);
    struct produce_response response;
    cr_assert(produce_response_decode(&response, &body, 9, &client->arena));
    cr_assert_eq(response.responses[0].partition_responses[0].error_code, KAFKA_NONE);
    return bytes;
}

/* -- a meeting: a broker with a topic "t", and who speaks to it -------------------------------------- */

static inline struct rig *meet(struct client *client, uint32_t cores, int32_t partitions)
{
    struct rig *rig = rig_new(cores, NULL);
    client_open(client, rig);
    client_create(client, "t", partitions, NULL, 0);
    return rig;
}

static inline void part(struct client *client)
{
    struct rig *rig = client->rig;
    client_close(client);
    rig_free(rig);
}

static inline struct rig *meet_two(struct client *reader, struct client *writer, uint32_t cores,
                                   int32_t partitions)
{
    struct rig *rig = meet(writer, cores, partitions);
    client_open(reader, rig);
    return rig;
}

static inline void part_two(struct client *reader, struct client *writer)
{
    client_close(reader);
    part(writer);
}

#endif
