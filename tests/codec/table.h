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
    codec_decode_fn *decode_slice;
    codec_encode_fn *encode_slice;
    void (*fill)(void *message, struct fill *fill, int16_t version);
};

extern const struct codec_entry codec_entries[];
extern const uint32_t codec_entries_count;

/* In slices of so much (walk->left), 0: straight. slices: counts them, may be NULL. */
static inline bool codec_entry_decode(const struct codec_entry *entry, void *message,
                                      struct cursor *cursor, int16_t version, struct arena *arena,
                                      int64_t slice, uint64_t *slices)
{
    struct codec_walk walk = {.left = slice};
    if (slice == 0) {
        return entry->decode(message, cursor, version, arena);
    }
    while (!entry->decode_slice(message, cursor, version, arena, &walk)) {
        walk.left = slice;
        *(slices ? slices : &(uint64_t){0}) += 1;
    }
    return !cursor->failed;
}

static inline void codec_entry_encode(const struct codec_entry *entry, const void *message,
                                      struct writer *writer, int16_t version, int64_t slice,
                                      uint64_t *slices)
{
    struct codec_walk walk = {.left = slice, .taken_max = SIZE_MAX};
    if (slice == 0) {
        entry->encode(message, writer, version);
        return;
    }
    while (!entry->encode_slice(message, writer, version, &walk)) {
        walk.left = slice;
        *(slices ? slices : &(uint64_t){0}) += 1;
    }
}

#endif
