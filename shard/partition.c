#include "shard/partition.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    BUCKETS = 1 << 16,   /* half a megabyte of addresses, touched where topics are */
    DROPS_PER_STEP = 64, /* partitions of a deleted topic, and watches of them, at a time */
};

struct owned_topic { /* of which this core has, or had, a partition; until it is deleted */
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

static struct partition *partition_at(const struct shard *shard, const struct uuid *topic_id,
                                      int32_t index)
{
    struct owned_topic *owned = *bucket_of(shard->partitions, topic_id);
    return owned && (uint32_t)index < owned->room ? owned->partitions[index] : NULL;
}

bool partition_is_remembered(const struct shard *shard, const struct uuid *topic_id, int32_t index)
{
    return partition_at(shard, topic_id, index) != NULL;
}

/* The partition, made if it is not there. NULL: out of memory. */
static struct partition *partition_take(struct shard *shard, const struct topic *topic,
                                        int32_t index)
{
    struct partition *partition = partition_at(shard, &topic->id, index);
    if (partition) {
        return partition;
    }
    struct owned_topic *owned =
        owned_topic_take(shard->partitions, &topic->id, topic->partitions_count);
    partition = owned ? malloc(sizeof *partition) : NULL;
    if (partition) {
        *partition = (struct partition){.topic_id = topic->id, .index = index};
        owned->partitions[index] = partition;
    }
    return partition;
}

/* If nobody needs it any more. When its topic is being deleted it goes with that. */
static void partition_let_go(struct shard *shard, struct partition *partition)
{
    struct owned_topic *owned = *bucket_of(shard->partitions, &partition->topic_id);
    if (owned && !partition->log && !partition->watchers.first) {
        owned->partitions[partition->index] = NULL;
        free(partition);
    }
}

static void partition_give_log(struct partition *partition, struct log *log)
{
    partition->log = log;
    log->watchers = &partition->watchers;
}

/* The image's topic, if this core owns the partition. NULL: not. */
static const struct topic *owned_topic_known(const struct shard *shard, const struct uuid *topic_id,
                                             int32_t index, enum kafka_error *error)
{
    const struct topic *topic = image_topic_by_id(shard->image, topic_id);
    if (!topic || (uint32_t)index >= topic->partitions_count) {
        *error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return NULL;
    }
    if (topic->partitions[index].owner != shard->index) {
        *error = KAFKA_NOT_LEADER_OR_FOLLOWER;
        return NULL;
    }
    return topic;
}

bool partition_find(struct shard *shard, const struct uuid *topic_id, int32_t index,
                    struct partition_found *found, enum kafka_error *error)
{
    struct partition *partition = partition_at(shard, topic_id, index);
    if (partition && partition->log) {
        *found = (struct partition_found){.log = partition->log,
                                          .leader_epoch = partition->log->leader_epoch};
        return true;
    }
    const struct topic *topic = owned_topic_known(shard, topic_id, index, error);
    if (topic) {
        *found = (struct partition_found){.leader_epoch = topic->partitions[index].leader_epoch};
    }
    return topic != NULL;
}

struct log *partition_log(struct shard *shard, const struct uuid *topic_id, int32_t index,
                          enum kafka_error *error)
{
    struct partition *partition = partition_at(shard, topic_id, index);
    if (partition && partition->log) {
        return partition->log;
    }
    const struct topic *topic = owned_topic_known(shard, topic_id, index, error);
    if (!topic) {
        return NULL;
    }
    partition = partition_take(shard, topic, index);
    struct log *log =
        partition ? store_create_log(&shard->store, topic->id.bytes, topic->name, index,
                                     &topic->settings.log, topic->partitions[index].leader_epoch)
                  : NULL;
    if (log) {
        partition_give_log(partition, log);
    } else {
        *error = KAFKA_KAFKA_STORAGE_ERROR;
        if (partition) {
            partition_let_go(shard, partition);
        }
    }
    return log;
}

bool partition_watch(struct shard *shard, const struct uuid *topic_id, int32_t index,
                     struct log_watch *watch, void (*fired)(struct log_watch *watch))
{
    struct partition *partition = partition_at(shard, topic_id, index);
    if (!partition) {
        partition = partition_take(shard, image_topic_by_id(shard->image, topic_id), index);
    }
    if (partition) {
        log_watch(&partition->watchers, watch, fired);
    }
    return partition != NULL;
}

void partition_unwatch(struct shard *shard, struct log_watch *watch)
{
    if (watch->of) {
        struct partition *partition = container_of(watch->of, struct partition, watchers);
        log_unwatch(watch);
        partition_let_go(shard, partition);
    }
}

int partition_adopt(struct shard *shard, const struct uuid *topic_id, int32_t index,
                    struct log *log)
{
    const struct topic *topic = image_topic_by_id(shard->image, topic_id);
    assert(topic && (uint32_t)index < topic->partitions_count && log);
    struct partition *partition = partition_take(shard, topic, index);
    if (!partition) {
        return -ENOMEM;
    }
    partition_give_log(partition, log);
    return 0;
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

/* One thing of the partition at hand: somebody who watches it is told, or its log begins to go. */
static void drop_some(struct partitions_drop *drop)
{
    struct partition *partition = drop->topic->partitions[drop->at];
    struct log_watch *watch = partition ? partition->watchers.first : NULL;
    if (watch) {
        log_unwatch(watch);
        watch->fired(watch);
        return;
    }
    drop->topic->partitions[drop->at++] = NULL;
    if (partition && partition->log) {
        drop->out++;
        partition->dropping = drop;
        log_drop(partition->log, &partition->drop, drop_log_gone);
    } else {
        free(partition);
    }
}

static void drop_step(struct op *op)
{
    struct partitions_drop *drop = container_of(op, struct partitions_drop, step);
    for (uint32_t n = 0; n < DROPS_PER_STEP && drop->at < drop->topic->room; n++) {
        drop_some(drop);
    }
    if (drop->at < drop->topic->room) {
        reactor_ready(drop->shard->reactor, op, drop_step);
    } else if (--drop->out == 0) {
        drop_ended(drop);
    }
}

static void drop_log_gone(struct op *op)
{
    struct partition *partition = container_of(op, struct partition, drop);
    struct partitions_drop *drop = partition->dropping;
    if (op->result < 0 && drop->result == 0) {
        drop->result = op->result;
    }
    free(partition);
    if (--drop->out == 0) {
        drop_ended(drop);
    }
}
