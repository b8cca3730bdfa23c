#include "shard/partition.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    BUCKETS = 1 << 16,   /* half a megabyte of addresses, touched where topics are */
    DROPS_PER_STEP = 64, /* partitions of a deleted topic at a time */
};

struct owned_topic { /* of which this core has, or had, a partition */
    struct uuid id;
    struct owned_topic *next;      /* in its bucket */
    struct partition **partitions; /* [room] by index; NULL: not here */
    uint32_t room;
};

struct partitions_drop { /* one deleted topic */
    struct op step;
    struct shard *shard;
    struct owned_topic *topic;
    uint32_t at;  /* the next index to be dropped */
    uint32_t out; /* logs being dropped, and the walk itself */
    int64_t result;
    struct op *op;
    op_fn *then;
};

struct partitions {
    struct owned_topic *buckets[BUCKETS];
};

static struct owned_topic **bucket_of(struct partitions *partitions, const struct uuid *id)
{
    uint32_t hash; /* ids are random */
    memcpy(&hash, id->bytes + 8, sizeof hash);
    struct owned_topic **at = &partitions->buckets[hash % BUCKETS];
    while (*at && !uuid_equal(&(*at)->id, id)) {
        at = &(*at)->next;
    }
    return at;
}

int partitions_init(struct shard *shard)
{
    shard->partitions = calloc(1, sizeof *shard->partitions);
    return shard->partitions ? 0 : -ENOMEM;
}

static void owned_topic_free(struct owned_topic *topic)
{
    for (uint32_t i = 0; i < topic->room; i++) {
        free(topic->partitions[i]);
    }
    free(topic->partitions);
    free(topic);
}

void partitions_deinit(struct shard *shard)
{
    for (uint32_t i = 0; shard->partitions && i < BUCKETS; i++) {
        struct owned_topic *topic = shard->partitions->buckets[i];
        while (topic) {
            struct owned_topic *next = topic->next;
            owned_topic_free(topic);
            topic = next;
        }
    }
    free(shard->partitions);
    shard->partitions = NULL;
}

/* -- finding and making ---------------------------------------------------------------------------- */

/* The topic with room for `count` partitions; NULL: out of memory. */
static struct owned_topic *owned_topic_take(struct partitions *partitions, const struct uuid *id,
                                            uint32_t count)
{
    struct owned_topic **at = bucket_of(partitions, id);
    struct owned_topic *topic = *at;
    if (!topic) {
        topic = calloc(1, sizeof *topic);
        if (!topic) {
            return NULL;
        }
        topic->id = *id;
        *at = topic;
    }
    if (topic->room < count) {
        struct partition **grown = realloc(topic->partitions, count * sizeof *grown);
        if (!grown) {
            return NULL;
        }
        memset(grown + topic->room, 0, (count - topic->room) * sizeof *grown);
        topic->partitions = grown;
        topic->room = count;
    }
    return topic;
}

static struct partition *partition_add(struct shard *shard, const struct topic *topic,
                                       int32_t index, struct log *log)
{
    struct owned_topic *owned =
        owned_topic_take(shard->partitions, &topic->id, topic->partitions_count);
    struct partition *partition = owned ? calloc(1, sizeof *partition) : NULL;
    if (!partition) {
        return NULL;
    }
    *partition = (struct partition){.topic_id = topic->id, .index = index, .log = log};
    if (!log) {
        partition->log =
            store_create_log(&shard->store, topic->id.bytes, topic->name, index,
                             &topic->settings.log, topic->partitions[index].leader_epoch);
    }
    if (!partition->log) {
        free(partition);
        return NULL;
    }
    owned->partitions[index] = partition;
    return partition;
}

struct partition *partition_find(struct shard *shard, const struct uuid *topic_id, int32_t index,
                                 enum kafka_error *error)
{
    struct owned_topic *owned = *bucket_of(shard->partitions, topic_id);
    if (owned && (uint32_t)index < owned->room && owned->partitions[index]) {
        return owned->partitions[index];
    }
    const struct topic *topic = image_topic_by_id(shard->image, topic_id);
    if (!topic || (uint32_t)index >= topic->partitions_count) {
        *error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return NULL;
    }
    if (topic->partitions[index].owner != shard->index) {
        *error = KAFKA_NOT_LEADER_OR_FOLLOWER;
        return NULL;
    }
    struct partition *partition = partition_add(shard, topic, index, NULL);
    if (!partition) {
        *error = KAFKA_KAFKA_STORAGE_ERROR;
    }
    return partition;
}

int partition_adopt(struct shard *shard, const struct uuid *topic_id, int32_t index,
                    struct log *log)
{
    const struct topic *topic = image_topic_by_id(shard->image, topic_id);
    assert(topic && (uint32_t)index < topic->partitions_count && log);
    return partition_add(shard, topic, index, log) ? 0 : -ENOMEM;
}

/* -- dropping -------------------------------------------------------------------------------------- */

static void drop_step(struct op *op);
static void drop_log_gone(struct op *op);

static void drop_ended(struct partitions_drop *drop)
{
    struct op *op = drop->op;
    op->result = drop->result;
    reactor_ready(drop->shard->reactor, op, drop->then);
    owned_topic_free(drop->topic);
    free(drop);
}

void partitions_drop_topic(struct shard *shard, const struct uuid *topic_id, struct op *op,
                           op_fn *then)
{
    struct owned_topic **at = bucket_of(shard->partitions, topic_id);
    struct owned_topic *topic = *at;
    struct partitions_drop *drop = topic ? calloc(1, sizeof *drop) : NULL;
    if (!drop) {
        op->result = topic ? -ENOMEM : 0;
        reactor_ready(shard->reactor, op, then);
        return;
    }
    *at = topic->next; /* from now on nobody finds its partitions */
    *drop =
        (struct partitions_drop){.shard = shard, .topic = topic, .out = 1, .op = op, .then = then};
    drop_step(&drop->step);
}

static void drop_step(struct op *op)
{
    struct partitions_drop *drop = container_of(op, struct partitions_drop, step);
    struct owned_topic *topic = drop->topic;
    for (uint32_t n = 0; n < DROPS_PER_STEP && drop->at < topic->room; n++, drop->at++) {
        struct partition *partition = topic->partitions[drop->at];
        if (partition) {
            drop->out++;
            partition->dropping = drop;
            log_drop(partition->log, &partition->drop, drop_log_gone);
        }
    }
    if (drop->at < topic->room) {
        reactor_ready(drop->shard->reactor, op, drop_step);
    } else if (--drop->out == 0) {
        drop_ended(drop);
    }
}

static void drop_log_gone(struct op *op)
{
    struct partitions_drop *drop = container_of(op, struct partition, drop)->dropping;
    if (op->result < 0 && drop->result == 0) {
        drop->result = op->result;
    }
    if (--drop->out == 0) {
        drop_ended(drop);
    }
}
