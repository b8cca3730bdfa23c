/*
 * shard -- the broker's state on one core: its partitions, its connections, its view of the cluster.
 *
 * Shards share nothing. What one needs of another travels by shard_run and comes home.
 */
#ifndef SHARD_SHARD_H
#define SHARD_SHARD_H

#include "core/reactor.h"
#include "log/store.h"
#include "net/connection.h"
#include "shard/image.h"

struct control;
struct metadata_answer;
struct produce;
struct partitions; /* shard/partition.h: those that this core owns */
struct sessions;   /* shard/session.h: fetch sessions whose home is here */

struct broker_settings { /* the same for all cores; resolved from shard/settings.def at start */
    int32_t node_id;
    char cluster_id[32];
    char advertised_host[256];
    uint16_t advertised_port;
    bool auto_create_topics;
    int32_t num_partitions;
    int32_t default_replication_factor;
    bool delete_topic_enable;
    uint32_t fetch_bytes_max;    /* fetch.max.bytes */
    uint32_t fetch_sessions_max; /* max.incremental.fetch.session.cache.slots */
    int64_t producer_id_expiration_ms;
    const char *topic_defaults[TOPIC_CONFIGS]; /* values of topic configs that are not set */
    char roll_ms[24];      /* texts of defaults that come from log.roll.hours ... */
    char retention_ms[24]; /* ... and log.retention.hours */
};

struct shard {
    uint32_t index; /* set before the thread starts, only read since, as the next four */
    uint32_t count;
    struct shard **peers; /* [count] */
    struct reactor *reactor;
    const struct broker_settings *settings;

    const struct image *image; /* replaced by control's messages only */
    struct control *control;   /* on shard 0, else NULL: reach it by shard_run */
    struct store store;
    struct server server;
    struct partitions *partitions;
    struct sessions *sessions;
    struct produce_line {        /* towards each core */
        uint64_t bytes_out;      /* of batches in shares that have left */
        struct op_queue waiting; /* produces whose next share would be too much */
    } produce_lines[MAILROOM_REACTORS_MAX];
    struct op_queue appending; /* produce shares whose appends have not all begun, in order */
    uint32_t auto_creations;   /* topics being created for Metadata requests */
    struct produce *checking;  /* the one large Produce whose batches are being checked ... */
    struct op_queue checks;    /* ... and those behind it: produce->step */
    struct metadata_answer *describing; /* the one long Metadata answer that is being made ... */
    struct op_queue descriptions;       /* ... and those behind it: answer->step */
    struct producer_ids {               /* a block from control, given out by InitProducerId */
        int64_t next, end;
        struct op_queue waiting; /* requests, while a block is on its way */
    } producer_ids;
};

static inline void shard_run(struct shard *shard, struct shard *target, struct op *op, op_fn *then)
{
    reactor_run(shard->reactor, target->reactor, op, then);
}

#endif
