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
 * Changes are made in rounds: what has come while a round was written makes the next one, or a part
 * of it. A round is one batch of the metadata log. It is durable before anybody sees it, and whoever
 * asked hears of it when every core knows. All of it goes in steps, so that a request for 10,000
 * partitions, or a snapshot of a million, holds up nobody.
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
    bool failed; /* out: the metadata log could not be written; nothing was done */
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
    int64_t count; /* out; 0: failed */
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
    uint32_t round_count;
    bool busy; /* a round or a snapshot is under way */
    enum control_state {
        ROUND_NEXT,       /* the next change, or the round is complete */
        ROUND_CHECKS,     /* a topic to be created: may it be? */
        ROUND_CONFIGS,    /* ... with these configs? */
        ROUND_MAKES,      /* it may: its first record, */
        ROUND_CONFIGURES, /* ... those of its configs, */
        ROUND_PARTITIONS, /* ... and of its partitions */
        ROUND_DELETES,    /* a topic to be deleted */
    } state;
    struct control_change *change; /* the one at hand */
    uint32_t at;                   /* its topic */
    uint32_t at_item;              /* that topic's config or partition */
    int64_t records;               /* that the change takes */
    bool too_many;                 /* ... are more than it may have */
    int64_t producer_ids_before;
    struct image_edit *edit;
    struct metadata_batches batches;
    struct image_edit *replaced; /* by the round's image; to be freed when nobody reads it */
    struct registration_walk {   /* of a snapshot that is being made */
        const struct topic *topic;
        uint32_t partition;
        bool is_begun;
    } walk;
    uint32_t replies_out; /* messages to cores that have not come home */
    struct control_message {
        struct op op;
        struct shard *target;
        struct control *control;
        struct image *image;
        struct uuid topic_id;
    } * messages;          /* [cores] */
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
