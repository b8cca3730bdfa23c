/*
 * settings -- from configuration to what the broker works with. The table is shard/settings.def.
 */
#ifndef SHARD_SETTINGS_H
#define SHARD_SETTINGS_H

#include "core/config.h"
#include "core/reactor.h"
#include "shard/shard.h"

enum setting_id {
#define SETTING(NAME, name, type, text, least, most, words) SETTING_##NAME##_ID,
#define TOPIC_DEFAULT(CONFIG, NAME)
#include "shard/settings.def"
#undef SETTING
#undef TOPIC_DEFAULT
    SETTINGS_COUNT
};

extern const struct setting settings_table[SETTINGS_COUNT];

enum { LISTENERS_MAX = 8 };

/* Everything that core 0 needs to start a broker; the texts belong to the configuration. */
struct broker_options {
    struct broker_settings settings;
    const char *directory;
    struct listen_address listeners[LISTENERS_MAX];
    uint32_t listeners_count;
    uint32_t connections_max;
    uint32_t segment_files_max; /* of a core, open at once; 0: the store's own choice */
    uint32_t frame_bytes_max;
    uint64_t idle_us;
    uint64_t journal_bytes;      /* of the directory, shared by all cores */
    uint32_t journal_file_bytes; /* 0: what suits journal_bytes */
};

/* False: `why` says which setting is impossible, and what is allowed. config: outlives options. */
[[nodiscard]] bool settings_resolve(const struct config *config, struct broker_options *options,
                                    char *why, size_t why_bytes);

#endif
