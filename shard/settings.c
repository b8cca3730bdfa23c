#include "shard/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct setting settings_table[SETTINGS_COUNT] = {
#define SETTING(NAME, name, type, text, least, most, words) \
    {name, SETTING_##type, text, least, most, words, SETTING_READONLY},
#define TOPIC_DEFAULT(CONFIG, NAME)
#include "shard/settings.def"
#undef SETTING
#undef TOPIC_DEFAULT
};

static const struct {
    enum topic_config_id config;
    enum setting_id setting;
} topic_defaults[] = {
#define SETTING(NAME, name, type, text, least, most, words)
#define TOPIC_DEFAULT(CONFIG, NAME) {TOPIC_CONFIG_##CONFIG, SETTING_##NAME##_ID},
#include "shard/settings.def"
#undef SETTING
#undef TOPIC_DEFAULT
};

/* NAME://host:port; an empty host is every address. */
static bool listener_parse(const char *text, char name[64], char host[256], uint16_t *port)
{
    const char *scheme_end = strstr(text, "://");
    const char *colon = strrchr(text, ':');
    if (!scheme_end || scheme_end - text >= 64 || colon < scheme_end + 3) {
        return false;
    }
    snprintf(name, 64, "%.*s", (int)(scheme_end - text), text);
    const char *from = scheme_end + 3, *to = colon;
    if (*from == '[' && to > from && to[-1] == ']') { /* IPv6 */
        from++;
        to--;
    }
    if (to - from >= 256) {
        return false;
    }
    snprintf(host, 256, "%.*s", (int)(to - from), from);
    char *end;
    unsigned long number = strtoul(colon + 1, &end, 10);
    *port = (uint16_t)number;
    return colon[1] && !*end && number <= UINT16_MAX;
}

static bool is_controller(const struct config *config, const char *name)
{
    for (uint32_t i = 0; i < config_list_count(config, SETTING_CONTROLLER_LISTENERS_ID); i++) {
        if (strcmp(config_list_item(config, SETTING_CONTROLLER_LISTENERS_ID, i), name) == 0) {
            return true;
        }
    }
    return false;
}

static const char *protocol_of(const struct config *config, const char *name)
{
    size_t bytes = strlen(name);
    for (uint32_t i = 0; i < config_list_count(config, SETTING_PROTOCOL_MAP_ID); i++) {
        const char *entry = config_list_item(config, SETTING_PROTOCOL_MAP_ID, i);
        if (strncmp(entry, name, bytes) == 0 && entry[bytes] == ':') {
            return entry + bytes + 1;
        }
    }
    return NULL;
}

static bool resolve_listeners(const struct config *config, struct broker_options *options,
                              char *why, size_t why_bytes)
{
    for (uint32_t i = 0; i < config_list_count(config, SETTING_LISTENERS_ID); i++) {
        const char *text = config_list_item(config, SETTING_LISTENERS_ID, i);
        char name[64], host[256];
        uint16_t port;
        if (!listener_parse(text, name, host, &port)) {
            snprintf(why, why_bytes, "listeners: '%s' is not of the form NAME://host:port", text);
            return false;
        }
        if (is_controller(config, name)) {
            continue; /* the quorum is this node alone: nobody calls there */
        }
        const char *protocol = protocol_of(config, name);
        if (!protocol || strcmp(protocol, "PLAINTEXT") != 0) {
            snprintf(why, why_bytes,
                     "listeners: '%s' has the security protocol '%s'; PLAINTEXT is allowed "
                     "(listener.security.protocol.map)",
                     text, protocol ? protocol : "");
            return false;
        }
        if (options->listeners_count == LISTENERS_MAX) {
            snprintf(why, why_bytes, "listeners: at most %d", LISTENERS_MAX);
            return false;
        }
        struct listen_address *address = &options->listeners[options->listeners_count++];
        const char *numeric = !host[0]                         ? "0.0.0.0"
                              : strcmp(host, "localhost") == 0 ? "127.0.0.1"
                                                               : host;
        if (strlen(numeric) >= sizeof address->host) {
            snprintf(why, why_bytes, "listeners: '%s' must name a numeric address to bind", text);
            return false;
        }
        snprintf(address->host, sizeof address->host, "%.*s", (int)sizeof address->host - 1,
                 numeric);
        address->port = port;
    }
    if (options->listeners_count == 0) {
        snprintf(why, why_bytes, "listeners: none for clients; give one as PLAINTEXT://host:port");
        return false;
    }
    return true;
}

/* What clients are told. Port 0: the one that was bound (the broker fills it in). */
static bool resolve_advertised(const struct config *config, struct broker_options *options,
                               char *why, size_t why_bytes)
{
    struct broker_settings *settings = &options->settings;
    for (uint32_t i = 0; i < config_list_count(config, SETTING_ADVERTISED_LISTENERS_ID); i++) {
        const char *text = config_list_item(config, SETTING_ADVERTISED_LISTENERS_ID, i);
        char name[64], host[256];
        uint16_t port;
        if (!listener_parse(text, name, host, &port) || !host[0]) {
            snprintf(why, why_bytes,
                     "advertised.listeners: '%s' is not of the form NAME://host:port", text);
            return false;
        }
        if (!is_controller(config, name)) {
            snprintf(settings->advertised_host, sizeof settings->advertised_host, "%s", host);
            settings->advertised_port = port;
            return true;
        }
    }
    const struct listen_address *first = &options->listeners[0];
    bool is_any = strcmp(first->host, "0.0.0.0") == 0 || strcmp(first->host, "::") == 0;
    snprintf(settings->advertised_host, sizeof settings->advertised_host, "%s",
             is_any ? "localhost" : first->host);
    settings->advertised_port = first->port;
    return true;
}

static bool resolve_directory(const struct config *config, struct broker_options *options,
                              char *why, size_t why_bytes)
{
    options->directory = config_text(config, SETTING_LOG_DIR_ID);
    if (config_is_set(config, SETTING_LOG_DIRS_ID)) {
        if (config_list_count(config, SETTING_LOG_DIRS_ID) != 1) {
            snprintf(why, why_bytes,
                     "log.dirs: '%s' must name one directory; several are not supported yet",
                     config_text(config, SETTING_LOG_DIRS_ID));
            return false;
        }
        options->directory = config_list_item(config, SETTING_LOG_DIRS_ID, 0);
    }
    if (strlen(options->directory) > 2048) {
        snprintf(why, why_bytes, "log.dirs: a path of at most 2048 bytes is allowed");
        return false;
    }
    return true;
}

static void resolve_topic_defaults(const struct config *config, struct broker_settings *settings)
{
    topic_config_defaults(settings->topic_defaults);
    for (size_t i = 0; i < sizeof topic_defaults / sizeof topic_defaults[0]; i++) {
        if (config_is_set(config, topic_defaults[i].setting) &&
            config_source(config, topic_defaults[i].setting) != CONFIG_DEFAULT) {
            settings->topic_defaults[topic_defaults[i].config] =
                config_text(config, topic_defaults[i].setting);
        }
    }
    if (!config_is_set(config, SETTING_ROLL_MS_ID)) {
        snprintf(settings->roll_ms, sizeof settings->roll_ms, "%lld",
                 (long long)config_int(config, SETTING_ROLL_HOURS_ID) * 3600000);
        settings->topic_defaults[TOPIC_CONFIG_SEGMENT_MS] = settings->roll_ms;
    }
    if (!config_is_set(config, SETTING_RETENTION_MS_ID)) {
        int64_t hours = config_int(config, SETTING_RETENTION_HOURS_ID);
        snprintf(settings->retention_ms, sizeof settings->retention_ms, "%lld",
                 hours < 0 ? -1LL : (long long)hours * 3600000);
        settings->topic_defaults[TOPIC_CONFIG_RETENTION_MS] = settings->retention_ms;
    }
}

bool settings_resolve(const struct config *config, struct broker_options *options, char *why,
                      size_t why_bytes)
{
    *options = (struct broker_options){0};
    struct broker_settings *settings = &options->settings;
    settings->node_id = (int32_t)config_int(config, SETTING_NODE_ID_ID);
    if (config_source(config, SETTING_NODE_ID_ID) == CONFIG_DEFAULT &&
        config_is_set(config, SETTING_BROKER_ID_ID)) {
        settings->node_id = (int32_t)config_int(config, SETTING_BROKER_ID_ID);
    }
    snprintf(settings->cluster_id, sizeof settings->cluster_id, "%.31s",
             config_text(config, SETTING_CLUSTER_ID_ID));
    settings->auto_create_topics = config_bool(config, SETTING_AUTO_CREATE_TOPICS_ID);
    settings->num_partitions = (int32_t)config_int(config, SETTING_NUM_PARTITIONS_ID);
    settings->default_replication_factor =
        (int32_t)config_int(config, SETTING_REPLICATION_FACTOR_ID);
    settings->delete_topic_enable = config_bool(config, SETTING_DELETE_TOPIC_ID);
    settings->fetch_bytes_max = (uint32_t)config_int(config, SETTING_FETCH_MAX_BYTES_ID);
    settings->fetch_sessions_max = (uint32_t)config_int(config, SETTING_FETCH_SESSIONS_ID);
    settings->producer_id_expiration_ms = config_int(config, SETTING_PRODUCER_ID_EXPIRATION_MS_ID);
    options->connections_max = (uint32_t)config_int(config, SETTING_MAX_CONNECTIONS_ID);
    options->frame_bytes_max = (uint32_t)config_int(config, SETTING_REQUEST_MAX_BYTES_ID);
    int64_t idle_ms = config_int(config, SETTING_MAX_IDLE_MS_ID);
    options->idle_us = (uint64_t)(idle_ms > INT64_MAX / 1000 ? INT64_MAX / 1000 : idle_ms) * 1000;
    options->journal_bytes = (uint64_t)config_int(config, SETTING_JOURNAL_BYTES_ID);
    resolve_topic_defaults(config, settings);
    return resolve_directory(config, options, why, why_bytes) &&
           resolve_listeners(config, options, why, why_bytes) &&
           resolve_advertised(config, options, why, why_bytes);
}
