/*
 * broker -- one node: its cores from start to stop.
 *
 *      broker_start: recovery --> metadata --> each core: its logs --> old journals go --> listen
 *      broker_stop:  no new connections --> answers --> each core: settle --> metadata --> clean
 *
 * A sequence of steps on core 0, each of which waits for all cores. The reactors belong to whoever
 * made them: main.c, or the simulator.
 */
#ifndef SHARD_BROKER_H
#define SHARD_BROKER_H

#include "log/clean_stop.h"
#include "log/recovery.h"
#include "net/listener.h"
#include "shard/control.h"
#include "shard/settings.h"

struct broker_news { /* the directory has failed on some core */
    struct op op;    /* result: -errno */
    struct broker_core *core;
};

struct broker_core { /* what a step on one core needs, and brings home */
    struct op op;
    struct broker *broker;
    struct shard *shard;
    struct log_state **states; /* of the logs that it shall own */
    uint32_t states_count;
    bool is_open;                   /* its store */
    bool is_offline;                /* told so by another core */
    struct broker_news *offline;    /* [count]: to each core, at most once */
    struct log *next_log;           /* to be adopted as a partition */
    struct clean_stop_log *stopped; /* [stopped_count] */
    uint32_t stopped_count;
    int64_t error;
};

struct broker {
    struct broker_options options;
    struct shard *shards; /* [count] */
    struct shard **peers;
    struct broker_core *cores; /* [count] */
    struct server **servers;   /* [count] */
    uint32_t count;
    char problem[1024]; /* why it did not start */

    /* broker.c only */
    struct recovery recovery;
    struct control control;
    struct listener listeners[LISTENERS_MAX];
    uint32_t listeners_open;
    struct timer listen_timer; /* an address may be given up in a moment */
    uint64_t listen_until_us;
    struct clean_stop clean_stop;
    uint32_t cores_out;
    int64_t error;
    op_fn *cores_then; /* the step after all cores */
    struct op step;
    struct op *waiting;
    op_fn *waiting_then;
};

/* reactors: [count], with their backends; outlive the broker. 0 or -ENOMEM. */
[[nodiscard]] int broker_init(struct broker *broker, const struct broker_options *options,
                              struct reactor **reactors, uint32_t count);
/* On reactor 0, as all below. op result: 0: it serves, and options.listeners say where; or -errno,
 * see problem; it is then only good for broker_deinit. */
void broker_start(struct broker *broker, struct op *op, op_fn *then);
/* What is in flight is answered and the directory left clean. op result: 0 or -errno */
void broker_stop(struct broker *broker, struct op *op, op_fn *then);
void broker_deinit(struct broker *broker);

#endif
