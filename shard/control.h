/*
 * control -- the single writer of the cluster's metadata. On shard 0's reactor.
 *
 *      any core                          core 0                                       all cores
 *      control_create_topics --mail--> waiting --> a round: check, records, edit
 *                                                     |  metadata log: write, flush
 *                                                  publish the new image ---mail---> take it over
 *                                                     |  deleted topics -----mail--> drop their logs
 *      then <-----------------mail------------------- the round's changes go home
 *
 * Changes are made in rounds: what has come while a round was under way makes the next one. They
 * are durable before anybody sees them, and whoever asked hears of it when every core knows.
 */
#ifndef SHARD_CONTROL_H
#define SHARD_CONTROL_H

#include "net/codec/create_topics.h"
#include "net/error.h"
#include "shard/metadata_log.h"
#include "shard/shard.h"

enum {
    CONTROL_RECORDS_MAX = 10000, /* Kafka's MAX_RECORDS_PER_USER_OP */
    CONTROL_MESSAGE_BYTES = 384,
    PRODUCER_IDS_BLOCK = 1000, /* Kafka's */
};

enum control_kind { CONTROL_CREATE, CONTROL_DELETE, CONTROL_PRODUCER_IDS };

/* What all changes begin with: on its way to core 0 and home again. */
struct control_change {
    struct op op;
    enum control_kind kind;
    struct shard *home;
    op_fn *then; /* at home */
};

/* One topic to be created; each is atomic. */
struct control_topic {
    struct view name;                /* borrowed until then, as all here; a legal name */
    int32_t partitions_count;        /* -1: num.partitions */
    int16_t replication_factor;      /* -1: default.replication.factor */
    int32_t assigned_count;          /* > 0: so many partitions were assigned by hand, ... */
    enum kafka_error assigned_error; /* ... and what is wrong with that; told if all else is good */
    const char *assigned_why;
    uint32_t configs_count;
    const struct create_topics_request_config *configs;
    /* out */
    enum kafka_error error;
    char message[CONTROL_MESSAGE_BYTES]; /* "" when there is none */
    struct uuid id;
    int32_t partitions_made;
};

struct control_create {
    struct control_change change;
    bool validate_only;
    struct control_topic *topics;
    uint32_t topics_count;
};

struct control_delete {
    struct control_change change;
    struct control_deletion {
        struct uuid id;
        enum kafka_error error; /* out */
    } * topics;
    uint32_t topics_count;
};

struct control_producer_ids {
    struct control_change change;
    int64_t first; /* out */
    int64_t count; /* out; 0: the metadata log cannot be written */
};

/* From any shard; `then` runs there. Deleted: once no core serves it any more. */
void control_create_topics(struct shard *shard, struct control_create *create, op_fn *then);
void control_delete_topics(struct shard *shard, struct control_delete *delete, op_fn *then);
void control_producer_ids(struct shard *shard, struct control_producer_ids *ids, op_fn *then);

/* -- for the broker's start and stop, on core 0 -------------------------------------------------- */

struct control {
    struct shard *shard;
    struct metadata_log log;
    struct image *image; /* the newest; all cores have it but while publishing */
    struct uuid directory_id;
    struct uuid incarnation_id;
    int64_t broker_epoch;
    int64_t next_producer_id;

    /* control.c only */
    struct op_queue waiting; /* changes */
    struct op_queue round;   /* those of the round under way */
    bool busy;               /* a round or a snapshot is under way */
    struct image_edit *edit;
    struct metadata_batches batches;
    bool image_changed;
    uint32_t replies_out; /* messages to cores that have not come home */
    struct control_message {
        struct op op;
        struct shard *target;
        struct control *control;
        struct image *image;
        struct uuid topic_id;
    } * messages; /* [cores] */
    struct image *replaced;
    struct uuid *dropping; /* topics deleted in this round, [dropping_count] */
    uint32_t dropping_count;
    uint32_t dropping_at;
    uint32_t dropping_room;
    struct metadata_load load;
    char problem[512];
    struct op step; /* the round's */
    struct op *started;
    op_fn *started_then;
    struct op *stopping;
    op_fn *stopping_then;
    bool unclean;
};

/* Loads the metadata log, begins a new epoch with this node registered, and publishes the image to
 * all cores. unclean: leader epochs rise.
 *   op result   0 or -errno, and control->problem says what is wrong */
[[nodiscard]] int control_init(struct control *control, struct shard *shard,
                               const struct uuid *directory_id);
void control_start(struct control *control, const char *directory, bool unclean, struct op *op,
                   op_fn *then);
/* When what was asked for has been done; nothing more may be asked. Fences this node in the log, and closes it. */
void control_stop(struct control *control, struct op *op, op_fn *then);
void control_deinit(struct control *control);

#endif
