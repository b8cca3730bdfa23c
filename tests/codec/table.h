/*
 * table -- every message of net/schema/ with its functions, so that tests can go through all.
 */
#ifndef TESTS_CODEC_TABLE_H
#define TESTS_CODEC_TABLE_H

#include "tests/codec/fill.h"

struct codec_entry {
    const char *schema; /* the file that it stands in */
    const char *name;
    size_t bytes; /* of its struct */
    int16_t version_min;
    int16_t version_max;
    bool (*decode)(void *message, struct cursor *cursor, int16_t version, struct arena *arena);
    void (*encode)(const void *message, struct writer *writer, int16_t version);
    void (*fill)(void *message, struct fill *fill, int16_t version);
};

extern const struct codec_entry codec_entries[];
extern const uint32_t codec_entries_count;

#endif
