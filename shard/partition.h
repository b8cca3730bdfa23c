/*
 * partition -- the partitions that this core owns, by topic id and index.
 *
 *      topic id --> bucket --> owned topic --> [index] --> partition --> log
 *
 * The image says who owns what. A log appears with the first append, or because recovery found it:
 * to ask for a partition that was never written costs nothing. Who waits for its first record makes
 * a partition without a log, which goes when nobody waits any more. Lives on the owner's core.
 */
#ifndef SHARD_PARTITION_H
#define SHARD_PARTITION_H

#include "core/uuid.h"
#include "net/error.h"
#include "shard/shard.h"

struct partition {
    struct uuid topic_id;
    int32_t index;
    struct log *log; /* NULL: nothing was ever appended */
    struct log_watchers watchers;

    /* partition.c only */
    struct op drop;
    struct partitions_drop *dropping; /* of its topic, which outlives the op */
};

struct partition_found {
    struct log *log; /* NULL: nothing was ever appended */
    int32_t leader_epoch;
};

/* Which core owns a partition. Not in the metadata log: any start may have other cores. */
static inline uint32_t partition_owner(const struct uuid *topic_id, int32_t index, uint32_t cores)
{
    uint64_t spread;
    memcpy(&spread, topic_id->bytes, sizeof spread);
    return (uint32_t)((spread + (uint64_t)index) % cores);
}

/* Is there anything of it on this core: a log, or somebody who waits for one? */
bool partition_is_remembered(const struct shard *shard, const struct uuid *topic_id, int32_t index);

[[nodiscard]] int partitions_init(struct shard *shard);
void partitions_deinit(struct shard *shard);

/* The partition as it is. False: the image does not know it or another core owns it
 * (UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER in *error). */
[[nodiscard]] bool partition_find(struct shard *shard, const struct uuid *topic_id, int32_t index,
                                  struct partition_found *found, enum kafka_error *error);
/* Its log, made if need be, to be appended to. NULL: as above, or there can be no log
 * (KAFKA_STORAGE_ERROR). */
struct log *partition_log(struct shard *shard, const struct uuid *topic_id, int32_t index,
                          enum kafka_error *error);

/* Of a partition that partition_find has found: tell of its commits, also of the first. It is
 * told and no more linked when the topic is deleted. False: out of memory. */
[[nodiscard]] bool partition_watch(struct shard *shard, const struct uuid *topic_id, int32_t index,
                                   struct log_watch *watch, void (*fired)(struct log_watch *watch));
void partition_unwatch(struct shard *shard, struct log_watch *watch);

/* At start: a log that recovery found and that the image knows. */
[[nodiscard]] int partition_adopt(struct shard *shard, const struct uuid *topic_id, int32_t index,
                                  struct log *log);

/* The topic is gone from the image: parked fetches are told, logs dropped, entries forgotten.
 *   op result   0, or the first -errno */
void partitions_drop_topic(struct shard *shard, const struct uuid *topic_id, struct op *op,
                           op_fn *then);

#endif
