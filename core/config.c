#include "core/config.h"

#include "core/properties.h"
#include "core/report.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    WHERE_BYTES = 300,
    SHOWN_BYTES = 100,   /* of a name or value in a message */
    NEAREST_BYTES = 100, /* longer names have no nearest one */
    REASON_BYTES = 300,
};

/* -- what a text means --------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static char *copy_trimmed(const char *text, size_t bytes)
{
    while (bytes && is_space(text[0])) {
        text++;
        bytes--;
    }
    while (bytes && is_space(text[bytes - 1])) {
        bytes--;
    }
    return strndup(text, bytes);
}

static bool parse_bool(const char *text, bool *value, char *why, size_t why_bytes)
{
    *value = strcasecmp(text, "true") == 0;
    if (*value || strcasecmp(text, "false") == 0) {
        return true;
    }
    snprintf(why, why_bytes, "true or false is allowed");
    return false;
}

/* Bytes that a unit's letter stands for; 0 if it is none. */
static int64_t unit_of(char letter)
{
    static const char letters[] = "KMGT";
    const char *found = letter ? strchr(letters, letter & ~('a' ^ 'A')) : NULL;
    return found ? (int64_t)1 << (10 * (found - letters + 1)) : 0;
}

static bool in_range(const struct setting *setting, double value)
{
    return (setting->least == 0 && setting->most == 0) ||
           (value >= (double)setting->least && value <= (double)setting->most);
}

static bool parse_number(const struct setting *setting, const char *text, int64_t *value, char *why,
                         size_t why_bytes)
{
    int64_t least = setting->least, most = setting->most;
    if (least == 0 && most == 0) {
        least = INT64_MIN;
        most = INT64_MAX;
    }
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    bool ok = end > text && errno == 0;
    if (ok && *end && setting->type == SETTING_SIZE && end[1] == '\0') {
        int64_t unit = unit_of(*end);
        ok = unit && !__builtin_mul_overflow(number, unit, &number);
    } else if (*end) {
        ok = false;
    }
    if (ok && number >= least && number <= most) {
        *value = number;
        return true;
    }
    const char *units = setting->type == SETTING_SIZE ? ", also with K, M, G or T" : "";
    if (most == INT64_MAX) {
        snprintf(why, why_bytes, "a whole number of at least %" PRId64 "%s is allowed", least,
                 units);
    } else {
        snprintf(why, why_bytes, "a whole number from %" PRId64 " to %" PRId64 "%s is allowed",
                 least, most, units);
    }
    return false;
}

static bool parse_double(const struct setting *setting, const char *text, double *value, char *why,
                         size_t why_bytes)
{
    char *end;
    *value = strtod(text, &end);
    if (end > text && *end == '\0' && *value == *value && in_range(setting, *value)) {
        return true;
    }
    if (setting->least == 0 && setting->most == 0) {
        snprintf(why, why_bytes, "a number is allowed");
    } else {
        snprintf(why, why_bytes, "a number from %" PRId64 " to %" PRId64 " is allowed",
                 setting->least, setting->most);
    }
    return false;
}

static bool parse_word(const struct setting *setting, const char *text, uint32_t *value, char *why,
                       size_t why_bytes)
{
    const char *word = setting->words;
    size_t text_bytes = strlen(text);
    for (uint32_t i = 0; word; i++) {
        size_t bytes = strcspn(word, ",");
        if (bytes == text_bytes && memcmp(word, text, bytes) == 0) {
            *value = i;
            return true;
        }
        word = word[bytes] ? word + bytes + 1 : NULL;
    }
    snprintf(why, why_bytes, "one of %s is allowed", setting->words);
    return false;
}

/* Splits a copy in place; blanks around commas do not count. */
static bool parse_list(const struct setting *setting, const char *text, struct setting_value *value,
                       char *why, size_t why_bytes)
{
    if (*text == '\0') {
        value->list_count = 0;
        return true;
    }
    uint32_t count = 1;
    for (const char *c = text; *c; c++) {
        count += *c == ',';
    }
    value->list_count = count;
    value->list_text = strdup(text);
    value->list = calloc(count, sizeof(*value->list));
    if (!value->list_text || !value->list) {
        snprintf(why, why_bytes, "out of memory");
        return false;
    }
    char *item = value->list_text;
    for (uint32_t i = 0; i < count; i++) {
        char *comma = item + strcspn(item, ",");
        char *end = comma;
        while (is_space(*item)) {
            item++;
        }
        while (end > item && is_space(end[-1])) {
            end--;
        }
        char *next = *comma ? comma + 1 : comma;
        *end = '\0';
        uint32_t word;
        if (setting->words && !parse_word(setting, item, &word, why, why_bytes)) {
            return false;
        }
        value->list[i] = item;
        item = next;
    }
    return true;
}

static bool parse_typed(const struct setting *setting, const char *text,
                        struct setting_value *value, char *why, size_t why_bytes)
{
    switch (setting->type) {
    case SETTING_BOOL:
        return parse_bool(text, &value->boolean, why, why_bytes);
    case SETTING_INT:
    case SETTING_SIZE:
        return parse_number(setting, text, &value->number, why, why_bytes);
    case SETTING_DOUBLE:
        return parse_double(setting, text, &value->real, why, why_bytes);
    case SETTING_STRING:
        return true;
    case SETTING_WORD:
        return parse_word(setting, text, &value->word, why, why_bytes);
    case SETTING_LIST:
        return parse_list(setting, text, value, why, why_bytes);
    }
    return false;
}

bool setting_parse(const struct setting *setting, const char *text, struct setting_value *value,
                   char *why, size_t why_bytes)
{
    char *trimmed = copy_trimmed(text, strlen(text));
    if (!trimmed) {
        snprintf(why, why_bytes, "out of memory");
        return false;
    }
    struct setting_value parsed = {0};
    if (!parse_typed(setting, trimmed, &parsed, why, why_bytes)) {
        setting_value_deinit(&parsed);
        free(trimmed);
        return false;
    }
    parsed.text = trimmed;
    *value = parsed;
    return true;
}

void setting_value_deinit(struct setting_value *value)
{
    free(value->text);
    free(value->list);
    free(value->list_text);
    *value = (struct setting_value){0};
}

/* -- the table's values -------------------------------------------------------------------------- */

int config_init(struct config *config, const struct setting *settings, uint32_t count)
{
    *config = (struct config){.settings = settings, .count = count};
    config->values = calloc(count, sizeof(*config->values));
    if (!config->values) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        char why[REASON_BYTES] = "";
        if (settings[i].text &&
            !setting_parse(&settings[i], settings[i].text, &config->values[i], why, sizeof(why))) {
            assert(strcmp(why, "out of memory") == 0); /* else the table contradicts itself */
            config_deinit(config);
            return -ENOMEM;
        }
    }
    return 0;
}

void config_deinit(struct config *config)
{
    for (uint32_t i = 0; i < config->count && config->values; i++) {
        setting_value_deinit(&config->values[i]);
    }
    free(config->values);
    config->values = NULL;
}

int32_t config_find(const struct config *config, const char *name)
{
    for (uint32_t i = 0; i < config->count; i++) {
        if (strcmp(config->settings[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

/* How many letters to change, add or leave out: Levenshtein's distance, one row kept. */
static uint32_t edit_distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    assert(a_bytes <= NEAREST_BYTES && b_bytes <= NEAREST_BYTES);
    uint32_t row[NEAREST_BYTES + 1];
    for (uint32_t j = 0; j <= b_bytes; j++) {
        row[j] = j;
    }
    for (uint32_t i = 1; i <= a_bytes; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b_bytes; j++) {
            uint32_t change = diagonal + (a[i - 1] != b[j - 1]);
            uint32_t least = row[j] < row[j - 1] ? row[j] : row[j - 1];
            diagonal = row[j];
            row[j] = change < least + 1 ? change : least + 1;
        }
    }
    return row[b_bytes];
}

/* The setting that may have been meant: at most a quarter of the letters differ. */
static const char *config_nearest(const struct config *config, const char *name)
{
    size_t bytes = strlen(name);
    uint32_t nearest = bytes / 4 + 1;
    const char *found = NULL;
    for (uint32_t i = 0; i < config->count && bytes <= NEAREST_BYTES; i++) {
        const char *other = config->settings[i].name;
        size_t other_bytes = strlen(other);
        if (other_bytes > NEAREST_BYTES) {
            continue;
        }
        uint32_t distance = edit_distance(name, bytes, other, other_bytes);
        if (distance < nearest) {
            nearest = distance;
            found = other;
        }
    }
    return found;
}

static bool config_set(struct config *config, const char *where, const char *name, const char *text,
                       enum config_source source, char *why, size_t why_bytes)
{
    int32_t index = config_find(config, name);
    if (index < 0) {
        if (config->unknown) {
            config->unknown(config->context, where, name, config_nearest(config, name));
        }
        return true;
    }
    const struct setting *setting = &config->settings[index];
    struct setting_value value;
    char reason[REASON_BYTES];
    if (!setting_parse(setting, text, &value, reason, sizeof(reason))) {
        char shown[SHOWN_BYTES] = "(hidden)";
        if (!(setting->flags & SETTING_SECRET)) {
            report_escape(shown, sizeof(shown), text, strlen(text));
        }
        snprintf(why, why_bytes, "%s: %s = \"%s\": %s", where, name, shown, reason);
        return false;
    }
    setting_value_deinit(&config->values[index]);
    config->values[index] = value;
    config->values[index].source = source;
    return true;
}

bool config_read(struct config *config, const char *file, const char *text, size_t bytes, char *why,
                 size_t why_bytes)
{
    struct properties properties;
    if (properties_init(&properties, text, bytes) != 0) {
        snprintf(why, why_bytes, "%s: out of memory", file);
        return false;
    }
    bool ok = true;
    enum properties_next next;
    while (ok && (next = properties_read(&properties)) != PROPERTIES_END) {
        char where[WHERE_BYTES];
        snprintf(where, sizeof(where), "%s:%u", file, properties.line);
        if (next == PROPERTIES_MALFORMED) {
            snprintf(why, why_bytes, "%s: %s", where, properties.wrong);
            ok = false;
        } else {
            ok = config_set(config, where, properties.key, properties.value, CONFIG_FILE, why,
                            why_bytes);
        }
    }
    properties_deinit(&properties);
    return ok;
}

bool config_override(struct config *config, const char *assignment, char *why, size_t why_bytes)
{
    static const char where[] = "command line";
    const char *equals = strchr(assignment, '=');
    char shown[SHOWN_BYTES];
    if (!equals) {
        snprintf(why, why_bytes, "%s: \"%s\": name=value is expected", where,
                 report_escape(shown, sizeof(shown), assignment, strlen(assignment)));
        return false;
    }
    char *name = copy_trimmed(assignment, equals - assignment);
    if (!name) {
        snprintf(why, why_bytes, "%s: out of memory", where);
        return false;
    }
    bool ok = config_set(config, where, name, equals + 1, CONFIG_OVERRIDE, why, why_bytes);
    free(name);
    return ok;
}

/* -- reading them -------------------------------------------------------------------------------- */

bool config_is_set(const struct config *config, uint32_t index)
{
    assert(index < config->count);
    return config->values[index].text != NULL;
}

static const struct setting_value *value_of(const struct config *config, uint32_t index,
                                            enum setting_type type)
{
    assert(config_is_set(config, index));
    assert(config->settings[index].type == type);
    return &config->values[index];
}

bool config_bool(const struct config *config, uint32_t index)
{
    return value_of(config, index, SETTING_BOOL)->boolean;
}

int64_t config_int(const struct config *config, uint32_t index)
{
    bool size = config->settings[index].type == SETTING_SIZE;
    return value_of(config, index, size ? SETTING_SIZE : SETTING_INT)->number;
}

double config_double(const struct config *config, uint32_t index)
{
    return value_of(config, index, SETTING_DOUBLE)->real;
}

const char *config_text(const struct config *config, uint32_t index)
{
    return value_of(config, index, config->settings[index].type)->text;
}

uint32_t config_word(const struct config *config, uint32_t index)
{
    return value_of(config, index, SETTING_WORD)->word;
}

uint32_t config_list_count(const struct config *config, uint32_t index)
{
    return value_of(config, index, SETTING_LIST)->list_count;
}

const char *config_list_item(const struct config *config, uint32_t index, uint32_t item)
{
    const struct setting_value *value = value_of(config, index, SETTING_LIST);
    assert(item < value->list_count);
    return value->list[item];
}

enum config_source config_source(const struct config *config, uint32_t index)
{
    assert(index < config->count);
    return config->values[index].source;
}
