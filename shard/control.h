/*
 * control -- the single writer of the cluster's metadata. On shard 0's reactor.
 *
 *      shard_run --> control_create_topics ... --> records --> metadata log (write, fdatasync)
 *                                                                  |
 *                    reply goes home  <-- all cores have the image <-- new image
 *
 * Changes are made one after the other, durable before anybody sees them. What is asked here comes
 * by shard_run from any core, as a struct that embeds its op, and goes home the same way.
 */
#ifndef SHARD_CONTROL_H
#define SHARD_CONTROL_H

#include "core/uuid.h"
#include "net/error.h"
#include "shard/shard.h"

/* Create one topic; several may be asked for at once, each is atomic. */
struct control_topic {
    const char *name; /* borrowed until then, as all pointers here */
    uint32_t name_bytes;
    int32_t partitions_count;   /* -1: num.partitions */
    int16_t replication_factor; /* -1: default.replication.factor */
    bool manual_assignment;     /* was checked by the caller: consecutive, this node only */
    uint32_t configs_count;
    const struct topic_config *configs;
    /* out */
    enum kafka_error error;
    char message[256]; /* "" when there is none */
    struct uuid id;
};

struct control_create {
    struct op op;
    struct shard *home;
    bool validate_only;
    struct control_topic *topics;
    uint32_t topics_count;
};

struct control_delete {
    struct op op;
    struct shard *home;
    struct uuid id; /* of a topic that home's image has */
    enum kafka_error error; /* out */
};

struct control_producer_ids {
    struct op op;
    struct shard *home;
    int64_t first;  /* out */
    int64_t count;  /* out; 0: the metadata log cannot be written */
};

/* From any shard: `then` runs at home once the change is durable and all cores have the image
 * (deleted: once no core serves it any more). */
void control_create_topics(struct control_create *create, op_fn *then);
void control_delete_topic(struct control_delete *delete, op_fn *then);
void control_producer_ids(struct control_producer_ids *ids, op_fn *then);

#endif
