/*
 * image -- the cluster's metadata at one offset of the metadata log; never changed once published.
 *
 * The control shard makes a new image for each change by copying the path to what changed, and
 * shares the rest. It sends the image to each core and frees what the change replaced when all have
 * taken it over. So a pointer into an image is good until the next wait, and not longer.
 */
#ifndef SHARD_IMAGE_H
#define SHARD_IMAGE_H

#include "core/uuid.h"
#include "log/log.h"

#include <stdbool.h>
#include <stdint.h>

enum { TOPIC_NAME_BYTES_MAX = 249 };

/* A topic's settings that change how it is served, resolved against the broker's. */
struct topic_settings {
    struct log_settings log;
    uint32_t message_bytes_max;     /* max.message.bytes */
    int8_t compression;             /* enum compression, or COMPRESSION_PRODUCER -1 */
    int32_t compression_level;
    bool log_append_time;           /* message.timestamp.type */
    int64_t timestamp_before_ms_max;
    int64_t timestamp_after_ms_max;
    bool compacted;                 /* cleanup.policy has compact: every record needs a key */
    int32_t min_insync_replicas;
    bool validate_headers_only;     /* odradek.validate=headers */
};

struct topic_partition {
    int32_t leader_epoch;
    int32_t partition_epoch;
    uint32_t owner; /* core; this node's own business, not in the metadata log */
};

struct topic_config {
    char *name;
    char *value;
};

struct topic {
    struct uuid id;
    char name[TOPIC_NAME_BYTES_MAX + 1];
    bool internal;
    struct topic_settings settings;
    uint32_t configs_count;
    struct topic_config *configs; /* as set on the topic, in name order */
    uint32_t partitions_count;
    struct topic_partition partitions[];
};

struct image; /* image.c */

const struct topic *image_topic_by_name(const struct image *image, const char *name, size_t bytes);
const struct topic *image_topic_by_id(const struct image *image, const struct uuid *id);
/* Topics in name order: the first one with a name > `after` ("" for the first); NULL at the end. */
const struct topic *image_topic_after(const struct image *image, const char *after);
uint32_t image_topics_count(const struct image *image);
int64_t image_offset(const struct image *image);

#endif
