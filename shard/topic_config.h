/*
 * topic_config -- a topic's settings: Kafka's names and rules (shard/topic_config.def), and what
 * they resolve to for those who serve the topic.
 */
#ifndef SHARD_TOPIC_CONFIG_H
#define SHARD_TOPIC_CONFIG_H

#include "core/view.h"
#include "log/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum topic_config_id {
#define TOPIC_CONFIG(NAME, name, type, value, allowed) TOPIC_CONFIG_##NAME,
#include "shard/topic_config.def"
#undef TOPIC_CONFIG
    TOPIC_CONFIGS
};

/* One that was set on a topic. */
struct topic_config {
    char *name;
    char *value;
};

/* Those that change how a topic is served. */
struct topic_settings {
    struct log_settings log;
    uint32_t message_bytes_max; /* max.message.bytes */
    bool keeps_codec;           /* compression.type=producer */
    int8_t codec;               /* enum codec; compression.type else */
    int32_t codec_level;        /* of that codec */
    bool log_append_time;       /* message.timestamp.type */
    int64_t timestamp_before_max_ms;
    int64_t timestamp_after_max_ms;
    bool compacted; /* cleanup.policy has compact: every record needs a key */
    int32_t min_insync_replicas;
    bool validates_headers_only; /* odradek.validate=headers */
};

const char *topic_config_name(enum topic_config_id id);
/* TOPIC_CONFIGS: no such name. */
enum topic_config_id topic_config_find(struct view name);
/* May it have this value? If not, `why` says what is wrong with it, as Kafka would. */
[[nodiscard]] bool topic_config_check(enum topic_config_id id, struct view value, char *why,
                                      size_t why_bytes);

/* defaults: [TOPIC_CONFIGS], the broker's. configs: checked before. */
void topic_settings_resolve(struct topic_settings *settings, const char *const *defaults,
                            const struct topic_config *configs, uint32_t configs_count);
/* Kafka's own defaults, to be overridden by the broker's settings. */
void topic_config_defaults(const char *defaults[TOPIC_CONFIGS]);

#endif
