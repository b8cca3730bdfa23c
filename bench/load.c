/*
 * load -- a producer that is never the bottleneck: raw Produce requests in a closed loop.
 *
 *     load HOST:PORT TOPIC PARTITIONS CONNECTIONS DEPTH BATCH_BYTES RECORD_BYTES SECONDS [WARM_UP]
 *
 * Each connection keeps DEPTH requests in flight, acks=all, one batch of BATCH_BYTES each, to
 * partitions in turn. The batch is made once, with its CRC; a request costs the client one small
 * header and a gather of the same bytes. Answers are read for their error code only.
 * Prints one line: requests, errors, seconds, bytes of batches, and the latencies' percentiles.
 */
#include "core/crc32c.h"
#include "log/batch.h"
#include "log/record.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    DEPTH_MAX = 64,
    HEAD_BYTES_MAX = 512,
    ANSWER_BYTES_MAX = 64 << 10,
    PIECES_MAX = 2 * DEPTH_MAX
};
enum { HISTOGRAM = 64 * 64 }; /* 64 steps to each power of two of nanoseconds */

struct load {
    const char *topic;
    uint32_t partitions;
    uint32_t depth;
    uint8_t *batch;
    size_t batch_bytes;
    uint64_t requests, errors;
    uint64_t latencies[HISTOGRAM];
    bool counting;
    bool ending; /* nothing new is sent */
    uint32_t in_flight;
};

struct client {
    int fd;
    uint32_t partition;
    uint32_t in_flight;
    uint32_t sent_at, answered_at; /* places in `began` */
    uint64_t began[DEPTH_MAX];
    /* what is to be sent: `queued` requests, of which the first is out by `out_bytes` */
    uint8_t heads[DEPTH_MAX][HEAD_BYTES_MAX];
    uint32_t head_bytes[DEPTH_MAX];
    uint32_t queue_at, queued;
    size_t out_bytes;
    bool wants_out;
    uint8_t answer[ANSWER_BYTES_MAX];
    size_t answer_bytes;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* -- what is sent ------------------------------------------------------------------------------------ */

static uint8_t *put16(uint8_t *to, uint16_t value)
{
    value = htons(value);
    memcpy(to, &value, 2);
    return to + 2;
}

static uint8_t *put32(uint8_t *to, uint32_t value)
{
    value = htonl(value);
    memcpy(to, &value, 4);
    return to + 4;
}

static uint8_t *put_text(uint8_t *to, const char *text)
{
    size_t bytes = strlen(text);
    to = put16(to, (uint16_t)bytes);
    memcpy(to, text, bytes);
    return to + bytes;
}

/* Produce, version 8: the newest of the fixed form, which old and new brokers read. */
static uint32_t head_write(uint8_t *head, const struct load *load, uint32_t partition)
{
    uint8_t *to = head + 4;
    to = put16(to, 0); /* Produce */
    to = put16(to, 8);
    to = put32(to, 0); /* correlation */
    to = put_text(to, "load");
    to = put16(to, 0xffff); /* no transactional id */
    to = put16(to, 0xffff); /* acks=all */
    to = put32(to, 30000);
    to = put32(to, 1);
    to = put_text(to, load->topic);
    to = put32(to, 1);
    to = put32(to, partition);
    to = put32(to, (uint32_t)load->batch_bytes);
    uint32_t bytes = (uint32_t)(to - head);
    put32(head, bytes - 4 + (uint32_t)load->batch_bytes);
    return bytes;
}

/* As many records of record_bytes as make up batch_bytes; at least one. */
static void make_batch(struct load *load, size_t batch_bytes, size_t record_bytes)
{
    size_t room = batch_bytes + record_bytes + 1024;
    uint8_t *value = malloc(record_bytes);
    load->batch = malloc(room);
    if (!load->batch || !value) {
        fail("memory");
    }
    uint64_t random = 88172645463325252;
    struct batch_builder builder;
    batch_build_start(&builder, load->batch, room);
    do {
        for (size_t i = 0; i < record_bytes; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            value[i] = (uint8_t)(' ' + random % 64);
        }
        struct record record = {.timestamp = (int64_t)time(NULL) * 1000,
                                .key = VIEW_NULL,
                                .value = view_of(value, (int32_t)record_bytes)};
        batch_build_record(&builder, &record);
    } while (builder.bytes_used + record_bytes + 8 <= batch_bytes);
    struct batch header = {.partition_leader_epoch = -1,
                           .producer_id = BATCH_NO_PRODUCER_ID,
                           .producer_epoch = BATCH_NO_PRODUCER_EPOCH,
                           .base_sequence = BATCH_NO_SEQUENCE};
    load->batch_bytes = batch_build_end(&builder, &header);
    assert(load->batch_bytes > 0);
    free(value);
}

/* -- a client ---------------------------------------------------------------------------------------- */

static void client_queue(struct load *load, struct client *client)
{
    while (client->in_flight < load->depth && !load->ending) {
        uint32_t at = (client->queue_at + client->queued++) % DEPTH_MAX;
        client->head_bytes[at] = head_write(client->heads[at], load, client->partition);
        client->partition = (client->partition + 1) % load->partitions;
        client->began[client->sent_at] = now_ns();
        client->sent_at = (client->sent_at + 1) % DEPTH_MAX;
        client->in_flight++;
        load->in_flight++;
    }
}

static int client_gather(const struct load *load, struct client *client, struct iovec *iov)
{
    int count = 0;
    size_t skip = client->out_bytes;
    for (uint32_t i = 0; i < client->queued; i++) {
        uint32_t at = (client->queue_at + i) % DEPTH_MAX;
        struct iovec parts[2] = {{client->heads[at], client->head_bytes[at]},
                                 {load->batch, load->batch_bytes}};
        for (int part = 0; part < 2; part++) {
            size_t skipped = skip < parts[part].iov_len ? skip : parts[part].iov_len;
            skip -= skipped;
            if (skipped < parts[part].iov_len) {
                iov[count++] = (struct iovec){(uint8_t *)parts[part].iov_base + skipped,
                                              parts[part].iov_len - skipped};
            }
        }
    }
    return count;
}

static void client_send(const struct load *load, struct client *client, int epoll)
{
    while (client->queued > 0) {
        struct iovec iov[PIECES_MAX];
        int count = client_gather(load, client, iov);
        ssize_t sent = writev(client->fd, iov, count);
        if (sent < 0 && errno != EAGAIN) {
            fail("send");
        }
        if (sent < 0) {
            break;
        }
        client->out_bytes += (size_t)sent;
        while (client->queued > 0 &&
               client->out_bytes >= client->head_bytes[client->queue_at] + load->batch_bytes) {
            client->out_bytes -= client->head_bytes[client->queue_at] + load->batch_bytes;
            client->queue_at = (client->queue_at + 1) % DEPTH_MAX;
            client->queued--;
        }
    }
    bool wants_out = client->queued > 0;
    if (wants_out != client->wants_out) {
        struct epoll_event event = {.events = EPOLLIN | (wants_out ? EPOLLOUT : 0),
                                    .data.ptr = client};
        epoll_ctl(epoll, EPOLL_CTL_MOD, client->fd, &event);
        client->wants_out = wants_out;
    }
}

static uint32_t bucket_of(uint64_t ns)
{
    if (ns < 64) {
        return (uint32_t)ns;
    }
    uint32_t power = 63 - (uint32_t)__builtin_clzll(ns);
    return (power - 5) * 64 + (uint32_t)((ns >> (power - 6)) & 63);
}

static uint64_t bucket_ns(uint32_t bucket)
{
    return bucket < 64 ? bucket : (uint64_t)(64 + bucket % 64) << (bucket / 64 - 1);
}

/* size, correlation, topics: 1, name, partitions: 1, index, error, ... */
static void answer_read(struct load *load, struct client *client, const uint8_t *answer)
{
    uint64_t took = now_ns() - client->began[client->answered_at];
    client->answered_at = (client->answered_at + 1) % DEPTH_MAX;
    client->in_flight--;
    load->in_flight--;
    uint16_t error;
    memcpy(&error, answer + 12 + 2 + strlen(load->topic) + 8, sizeof error);
    if (load->counting) {
        load->requests++;
        load->errors += error != 0;
        load->latencies[bucket_of(took)]++;
    }
}

static void client_receive(struct load *load, struct client *client)
{
    for (;;) {
        ssize_t got = read(client->fd, client->answer + client->answer_bytes,
                           sizeof client->answer - client->answer_bytes);
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        if (got <= 0) {
            fail("receive");
        }
        client->answer_bytes += (size_t)got;
        size_t at = 0;
        while (client->answer_bytes - at >= 4) {
            uint32_t size;
            memcpy(&size, client->answer + at, sizeof size);
            size = ntohl(size) + 4;
            if (client->answer_bytes - at < size) {
                break;
            }
            answer_read(load, client, client->answer + at);
            at += size;
        }
        memmove(client->answer, client->answer + at, client->answer_bytes - at);
        client->answer_bytes -= at;
        if ((size_t)got < sizeof client->answer / 2) {
            return;
        }
    }
}

static struct client *client_new(const char *host, uint16_t port, uint32_t partition, int epoll)
{
    struct client *client = calloc(1, sizeof *client);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (!client || inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        fail("address");
    }
    client->partition = partition;
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(client->fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        fail("connect");
    }
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event) < 0) {
        fail("epoll");
    }
    return client;
}

/* -- the run ------------------------------------------------------------------------------------------ */

static void run_until(struct load *load, int epoll, uint64_t end_ns)
{
    while (now_ns() < end_ns && !(load->ending && load->in_flight == 0)) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll, events, 256, 10);
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (events[i].events & EPOLLIN) {
                client_receive(load, client);
            }
            client_queue(load, client);
            client_send(load, client, epoll);
        }
    }
}

static double percentile_us(const struct load *load, double part)
{
    uint64_t wanted = (uint64_t)((double)load->requests * part), seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM; i++) {
        seen += load->latencies[i];
        if (seen > wanted) {
            return (double)bucket_ns(i) / 1000;
        }
    }
    return 0;
}

int main(int count, char **words)
{
    if (count < 9) {
        fprintf(stderr, "usage: load HOST:PORT TOPIC PARTITIONS CONNECTIONS DEPTH BATCH_BYTES "
                        "RECORD_BYTES SECONDS [WARM_UP]\n");
        return 2;
    }
    static struct load load;
    char host[64];
    uint16_t port;
    if (sscanf(words[1], "%63[^:]:%" SCNu16, host, &port) != 2) {
        fprintf(stderr, "load: '%s' is not HOST:PORT\n", words[1]);
        return 2;
    }
    load.topic = words[2];
    load.partitions = (uint32_t)atoi(words[3]);
    uint32_t clients_count = (uint32_t)atoi(words[4]);
    load.depth = (uint32_t)atoi(words[5]);
    assert(load.depth > 0 && load.depth <= DEPTH_MAX && load.partitions > 0);
    make_batch(&load, (size_t)atol(words[6]), (size_t)atol(words[7]));
    double seconds = atof(words[8]), warm_up = count > 9 ? atof(words[9]) : 1;

    int epoll = epoll_create1(0);
    for (uint32_t i = 0; i < clients_count; i++) {
        struct client *client = client_new(host, port, i % load.partitions, epoll);
        client_queue(&load, client);
        client_send(&load, client, epoll);
    }
    run_until(&load, epoll, now_ns() + (uint64_t)(warm_up * 1e9));
    printf("begin\n"); /* whoever measures the broker reads its CPU time now ... */
    fflush(stdout);
    uint64_t began = now_ns();
    load.counting = true;
    run_until(&load, epoll, began + (uint64_t)(seconds * 1e9));
    load.counting = false;
    double took = (double)(now_ns() - began) / 1e9;
    printf("requests %" PRIu64 " errors %" PRIu64 " seconds %.3f bytes %" PRIu64
           " p50_us %.0f p99_us %.0f p999_us %.0f\n", /* ... and now */
           load.requests, load.errors, took, load.requests * (uint64_t)load.batch_bytes,
           percentile_us(&load, 0.5), percentile_us(&load, 0.99), percentile_us(&load, 0.999));
    fflush(stdout);
    load.ending = true;
    run_until(&load, epoll, now_ns() + 5000000000);
    return load.errors ? 1 : 0;
}
