/*
 * config -- the values of settings: defaults, then a file, then overrides.
 *
 * Which settings there are is a table supplied from above; an enum made from the same rows gives
 * each its index. Text is checked when it is set, by type, range and allowed words, so what is read
 * back is always valid. Filled before the first reactor starts, only read since.
 */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_type {
    SETTING_BOOL, /* true, false */
    SETTING_INT,  /* 16, 32 or 64 bits: the range says */
    SETTING_SIZE, /* as INT, and with K, M, G or T behind it, which are powers of 1024 */
    SETTING_DOUBLE,
    SETTING_STRING,
    SETTING_WORD, /* one of `words` */
    SETTING_LIST, /* strings with commas between; each one of `words`, where those are given */
};

enum setting_flag {
    SETTING_SECRET = 1,   /* its value is never printed */
    SETTING_READONLY = 2, /* is what it is until the next start */
};

struct setting {
    const char *name;
    enum setting_type type;
    const char *text;    /* the default, as it would stand in a file; NULL: none */
    int64_t least, most; /* INT, SIZE, DOUBLE; both 0: no limit but the type's */
    const char *words;   /* WORD, LIST: "one,two,three"; NULL: any */
    uint32_t flags;
};

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_OVERRIDE };

struct setting_value {
    char *text; /* trimmed; NULL: not set */
    enum config_source source;
    union {
        bool boolean;
        int64_t number;
        double real;
        uint32_t word; /* its index in setting->words */
        uint32_t list_count;
    };
    const char **list; /* [list_count], points into list_text */
    char *list_text;
};

/* What `text` means for a setting. False: `why` says what is allowed; value is untouched. For
 * values kept elsewhere, such as a topic's; config_set and config_read use it too. */
[[nodiscard]] bool setting_parse(const struct setting *setting, const char *text,
                                 struct setting_value *value, char *why, size_t why_bytes);
void setting_value_deinit(struct setting_value *value);

struct config {
    const struct setting *settings; /* [count] */
    uint32_t count;
    struct setting_value *values; /* [count] */

    /* Told of each name that is no setting's; nearest: what may have been meant, or NULL. Such a
     * line is ignored, as Kafka does. May be NULL. */
    void (*unknown)(void *context, const char *where, const char *name, const char *nearest);
    void *context;
};

/* Every setting at its default. 0 or -ENOMEM. */
[[nodiscard]] int config_init(struct config *config, const struct setting *settings,
                              uint32_t count);
void config_deinit(struct config *config);

/* The text of a properties file; file: its name, for messages. False: `why` names file, line,
 * setting, value and what is allowed; what stood before that line has been set. */
[[nodiscard]] bool config_read(struct config *config, const char *file, const char *text,
                               size_t bytes, char *why, size_t why_bytes);
/* "name=value" from the command line. */
[[nodiscard]] bool config_override(struct config *config, const char *assignment, char *why,
                                   size_t why_bytes);

/* index: of the table. For all but config_is_set, a value must be there. */
bool config_is_set(const struct config *config, uint32_t index);
bool config_bool(const struct config *config, uint32_t index);
int64_t config_int(const struct config *config, uint32_t index); /* INT, SIZE */
double config_double(const struct config *config, uint32_t index);
const char *config_text(const struct config *config, uint32_t index); /* of any type */
uint32_t config_word(const struct config *config, uint32_t index);    /* index in `words` */
uint32_t config_list_count(const struct config *config, uint32_t index);
const char *config_list_item(const struct config *config, uint32_t index, uint32_t item);
enum config_source config_source(const struct config *config, uint32_t index);

/* The index of a name, or -1. */
int32_t config_find(const struct config *config, const char *name);

#endif
