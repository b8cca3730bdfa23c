/*
 * partition -- the partitions that this core owns, by topic id and index.
 *
 *      topic id --> bucket --> owned topic --> [index] --> partition --> log
 *
 * The image says who owns what; an entry here appears when a partition is first touched, or when
 * recovery found its log. Its log may still be absent: nothing is on disk before the first append.
 * Lives on the owner's core.
 */
#ifndef SHARD_PARTITION_H
#define SHARD_PARTITION_H

#include "core/uuid.h"
#include "net/error.h"
#include "shard/shard.h"

struct partition {
    struct uuid topic_id;
    int32_t index;
    struct log *log;

    /* partition.c only */
    struct op drop;
    struct partitions_drop *dropping; /* of its topic, which outlives the op */
};

/* Which core owns a partition. Not in the metadata log: any start may have other cores. */
static inline uint32_t partition_owner(const struct uuid *topic_id, int32_t index, uint32_t cores)
{
    uint64_t spread;
    memcpy(&spread, topic_id->bytes, sizeof spread);
    return (uint32_t)((spread + (uint64_t)index) % cores);
}

[[nodiscard]] int partitions_init(struct shard *shard);
void partitions_deinit(struct shard *shard);

/* The partition, made with an empty log if need be. NULL: the image does not know it or another
 * core owns it (UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER in *error), or out of memory. */
struct partition *partition_find(struct shard *shard, const struct uuid *topic_id, int32_t index,
                                 enum kafka_error *error);

/* At start: a log that recovery found and that the image knows. */
[[nodiscard]] int partition_adopt(struct shard *shard, const struct uuid *topic_id, int32_t index,
                                  struct log *log);

/* The topic is gone from the image: parked fetches are told, logs dropped, entries forgotten.
 *   op result   0, or the first -errno */
void partitions_drop_topic(struct shard *shard, const struct uuid *topic_id, struct op *op,
                           op_fn *then);

#endif
