#include "shard/topic_config.h"

#include "core/inflate.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum config_type { LONG, INT, BOOL, DOUBLE, WORD, WORDS, TEXT };

static const struct {
    const char *name;
    enum config_type type;
    const char *value;
    const char *allowed;
} rows[TOPIC_CONFIGS] = {
#define TOPIC_CONFIG(NAME, name, type, value, allowed) {name, type, value, allowed},
#include "shard/topic_config.def"
#undef TOPIC_CONFIG
};

enum { VALUE_BYTES_MAX = 32767 /* Kafka's */ };

const char *topic_config_name(enum topic_config_id id)
{
    return rows[id].name;
}

enum topic_config_id topic_config_find(struct view name)
{
    uint32_t id = 0;
    while (id < TOPIC_CONFIGS && !view_equal_text(name, rows[id].name)) {
        id++;
    }
    return id;
}

void topic_config_defaults(const char *defaults[TOPIC_CONFIGS])
{
    for (uint32_t id = 0; id < TOPIC_CONFIGS; id++) {
        defaults[id] = rows[id].value;
    }
}

/* -- checking ----------------------------------------------------------------------------------- */

static bool word_is_allowed(const char *allowed, const char *word, size_t bytes)
{
    while (*allowed) {
        size_t allowed_bytes = strcspn(allowed, " ");
        if (allowed_bytes == bytes && memcmp(allowed, word, bytes) == 0) {
            return true;
        }
        allowed += allowed_bytes + strspn(allowed + allowed_bytes, " ");
    }
    return false;
}

static const char *type_name(enum config_type type)
{
    return type == LONG ? "LONG" : type == INT ? "INT" : type == DOUBLE ? "DOUBLE" : "BOOLEAN";
}

static bool refuse(char *why, size_t why_bytes, const char *value, const char *name,
                   const char *what, const char *detail)
{
    snprintf(why, why_bytes, "Invalid value %.100s for configuration %s: %s%.200s", value, name,
             what, detail);
    return false;
}

static bool words_check(enum topic_config_id id, const char *value, char *why, size_t why_bytes)
{
    const char *allowed = rows[id].allowed;
    if (rows[id].type == WORD) {
        return word_is_allowed(allowed, value, strlen(value)) ||
               refuse(why, why_bytes, value, rows[id].name, "it must be one of: ", allowed);
    }
    const char *word = value;
    while (*word) {
        word += strspn(word, " ");
        size_t bytes = strcspn(word, ",");
        size_t trimmed = bytes;
        while (trimmed > 0 && word[trimmed - 1] == ' ') {
            trimmed--;
        }
        if (!word_is_allowed(allowed, word, trimmed)) {
            return refuse(why, why_bytes, value, rows[id].name, "it must be a list of: ", allowed);
        }
        word += bytes;
        word += *word == ',';
    }
    return true;
}

static bool number_check(enum topic_config_id id, const char *value, char *why, size_t why_bytes)
{
    const char *name = rows[id].name;
    char *end;
    errno = 0;
    double number;
    if (rows[id].type == DOUBLE) {
        number = strtod(value, &end);
    } else {
        long long whole = strtoll(value, &end, 10);
        number = (double)whole;
        if (rows[id].type == INT && (whole < INT32_MIN || whole > INT32_MAX)) {
            errno = ERANGE;
        }
    }
    if (*value == '\0' || *end != '\0' || errno) {
        return refuse(why, why_bytes, value, name, "Not a number of type ",
                      type_name(rows[id].type));
    }
    const char *dots = strstr(rows[id].allowed, "..");
    assert(dots);
    if (!(number >= strtod(rows[id].allowed, NULL))) { /* nor is "nan" */
        return refuse(why, why_bytes, value, name, "the range is ", rows[id].allowed);
    }
    if (dots[2] && number > strtod(dots + 2, NULL)) {
        return refuse(why, why_bytes, value, name, "the range is ", rows[id].allowed);
    }
    return true;
}

bool topic_config_check(enum topic_config_id id, struct view value, char *why, size_t why_bytes)
{
    if (value.bytes < 0 || value.bytes > VALUE_BYTES_MAX) {
        snprintf(why, why_bytes, "The value for configuration %s must have at most %d bytes",
                 rows[id].name, VALUE_BYTES_MAX);
        return false;
    }
    if (memchr(value.data, '\0', (size_t)value.bytes)) {
        snprintf(why, why_bytes, "The value for configuration %s has a zero byte in it",
                 rows[id].name);
        return false;
    }
    char *text = malloc((size_t)value.bytes + 1);
    if (!text) {
        snprintf(why, why_bytes, "out of memory");
        return false;
    }
    memcpy(text, value.data, (size_t)value.bytes);
    text[value.bytes] = '\0';
    bool good = true;
    switch (rows[id].type) {
    case WORD:
    case WORDS:
        good = words_check(id, text, why, why_bytes);
        break;
    case BOOL:
        good = strcasecmp(text, "true") == 0 || strcasecmp(text, "false") == 0 ||
               refuse(why, why_bytes, text, rows[id].name, "Expected value to be ",
                      "either true or false");
        break;
    case TEXT:
        break;
    case LONG:
    case INT:
    case DOUBLE:
        good = number_check(id, text, why, why_bytes);
        break;
    }
    free(text);
    return good;
}

/* -- resolving ---------------------------------------------------------------------------------- */

static int64_t number_of(const char *const values[TOPIC_CONFIGS], enum topic_config_id id)
{
    return strtoll(values[id], NULL, 10);
}

static uint32_t bytes_of(const char *const values[TOPIC_CONFIGS], enum topic_config_id id)
{
    return (uint32_t)number_of(values, id); /* checked: 0 to INT32_MAX */
}

static void settings_resolve_codec(struct topic_settings *settings,
                                   const char *const values[TOPIC_CONFIGS])
{
    const char *type = values[TOPIC_CONFIG_COMPRESSION_TYPE];
    settings->keeps_codec = strcmp(type, "producer") == 0;
    settings->codec = CODEC_NONE;
    settings->codec_level = 0;
    if (strcmp(type, "gzip") == 0) {
        settings->codec = CODEC_GZIP;
        settings->codec_level = (int32_t)number_of(values, TOPIC_CONFIG_COMPRESSION_GZIP_LEVEL);
    } else if (strcmp(type, "snappy") == 0) {
        settings->codec = CODEC_SNAPPY;
    } else if (strcmp(type, "lz4") == 0) {
        settings->codec = CODEC_LZ4;
        settings->codec_level = (int32_t)number_of(values, TOPIC_CONFIG_COMPRESSION_LZ4_LEVEL);
    } else if (strcmp(type, "zstd") == 0) {
        settings->codec = CODEC_ZSTD;
        settings->codec_level = (int32_t)number_of(values, TOPIC_CONFIG_COMPRESSION_ZSTD_LEVEL);
    }
}

void topic_settings_resolve(struct topic_settings *settings, const char *const *defaults,
                            const struct topic_config *configs, uint32_t configs_count)
{
    const char *values[TOPIC_CONFIGS];
    memcpy(values, defaults, sizeof values);
    for (uint32_t i = 0; i < configs_count; i++) {
        enum topic_config_id id = topic_config_find(view_of_text(configs[i].name));
        if (id < TOPIC_CONFIGS) { /* a newer broker's, else */
            values[id] = configs[i].value;
        }
    }
    *settings = (struct topic_settings){
        .log = {.segment_bytes = bytes_of(values, TOPIC_CONFIG_SEGMENT_BYTES),
                .segment_ms = number_of(values, TOPIC_CONFIG_SEGMENT_MS),
                .index_interval_bytes = bytes_of(values, TOPIC_CONFIG_INDEX_INTERVAL_BYTES),
                .index_bytes_max = bytes_of(values, TOPIC_CONFIG_SEGMENT_INDEX_BYTES)},
        .message_bytes_max = bytes_of(values, TOPIC_CONFIG_MAX_MESSAGE_BYTES),
        .log_append_time = strcmp(values[TOPIC_CONFIG_TIMESTAMP_TYPE], "LogAppendTime") == 0,
        .timestamp_before_max_ms = number_of(values, TOPIC_CONFIG_TIMESTAMP_BEFORE_MAX_MS),
        .timestamp_after_max_ms = number_of(values, TOPIC_CONFIG_TIMESTAMP_AFTER_MAX_MS),
        .compacted = strstr(values[TOPIC_CONFIG_CLEANUP_POLICY], "compact") != NULL,
        .min_insync_replicas = (int32_t)number_of(values, TOPIC_CONFIG_MIN_INSYNC_REPLICAS),
        .validates_headers_only = strcmp(values[TOPIC_CONFIG_ODRADEK_VALIDATE], "headers") == 0,
    };
    settings_resolve_codec(settings, values);
}
