/*
 * codec -- what the generated encoders and decoders need beyond core/cursor and core/writer.
 *
 * For each message of net/schema/ the build generates a struct and five functions, for instance in
 * "net/codec/produce.h":
 *
 *     produce_request_init           every field at its default
 *     produce_request_decode         false: cannot be, or does not fit the arena; the struct is no use
 *     produce_request_encode         leaves its verdict in the writer
 *     produce_request_decode_slice   the same two for messages of any length: false is not yet, to
 *     produce_request_encode_slice   be called again; true is the end, well or not
 *
 * A walk keeps how far a message has come. It pauses between any two items of an array, in all the
 * arrays that stand around it; a struct without arrays is never cut.
 *
 *     produce_request    step 1: topic_data        index 7     places[0]
 *       topic            step 1: partition_data    index 812   places[1]
 *         partition      is next
 *
 * What is not an array's item is short: texts, and tagged fields. Those are measured before they are
 * written, which is a pass of its own; so arrays in them, always of brokers, features or directories,
 * hold no more than CODEC_FEW_MAX items, and only the message itself has any.
 *
 * A decoded message points into the bytes it was read from; only arrays are copied, into the arena.
 * Fields that a version does not have are at their defaults after decode, and are not encoded. Bytes
 * that follow the message are left in the cursor: a later version's client may have added them.
 */
#ifndef NET_CODEC_H
#define NET_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/cursor.h"
#include "core/writer.h"

/* A field of type `records`: batches as they are, or at encoding only how many bytes they take. */
struct codec_records {
    const uint8_t *data;
    int32_t bytes; /* -1: null */
    void *name;    /* encode: not NULL leaves a hole of this name instead of copying data */
};

#define RECORDS_NULL ((struct codec_records){.bytes = -1})

enum {
    CODEC_LEVELS_MAX = 4, /* of arrays in arrays */
    CODEC_FEW_MAX = 1024, /* items of a tagged array */
    /* what an item costs of a slice */
    CODEC_SCALAR = 1,
    CODEC_STRUCT = 8, /* some 30 to 100 ns */
};

struct codec_place {
    int32_t step;  /* of a struct: how many of its arrays were begun */
    int32_t index; /* in the last of these */
};

struct codec_walk {
    int64_t left;     /* of this slice; at 0 or less it is spent */
    size_t taken_max; /* encode: it is spent too when the writer has taken more: texts are copied */
    struct codec_place places[CODEC_LEVELS_MAX]; /* all zeros at a message's start and end */
};

/* From its start to its end in one slice. */
#define CODEC_STRAIGHT ((struct codec_walk){.left = INT64_MAX, .taken_max = SIZE_MAX})

/* Go on where the walk stands, or begin; false: the slice is spent. message: a struct of its own
 * kind, the same one each time, as all else. The slice gets at least one item further. */
typedef bool codec_decode_fn(void *message, struct cursor *cursor, int16_t version,
                             struct arena *arena, struct codec_walk *walk);
typedef bool codec_encode_fn(const void *message, struct writer *writer, int16_t version,
                             struct codec_walk *walk);

/* -- for generated code -------------------------------------------------------------------------- */

/* Room for an array just counted; with none left in the arena, cursor and count fail. */
void *codec_take_items(struct cursor *cursor, struct arena *arena, int32_t *count,
                       size_t item_bytes);
/* The same for a tagged array. */
void *codec_take_few(struct cursor *cursor, struct arena *arena, int32_t *count, size_t item_bytes);

/* Room for a struct that may be null, by the byte before it: NULL is null, or a failure. */
void *codec_take_or_null(struct cursor *cursor, struct arena *arena, size_t bytes);

struct codec_records codec_records(struct view view);
void codec_write_records(struct writer *writer, struct codec_records records);
void codec_write_compact_records(struct writer *writer, struct codec_records records);

/* Where a struct was paused, else its start; the next one of its kind begins at its start. */
static inline struct codec_place codec_resume(struct codec_walk *walk, uint32_t level)
{
    struct codec_place place = walk->places[level];
    walk->places[level] = (struct codec_place){0};
    return place;
}

static inline bool codec_pause(struct codec_walk *walk, uint32_t level, int32_t step, int32_t index)
{
    walk->places[level] = (struct codec_place){.step = step, .index = index};
    return false;
}

static inline bool codec_decode_is_spent(const struct codec_walk *walk)
{
    return walk->left <= 0;
}

static inline bool codec_encode_is_spent(const struct codec_walk *walk, const struct writer *writer)
{
    return walk->left <= 0 || writer->taken > walk->taken_max;
}

/* Behind an item, so that a slice always gets further: items around it may take it below 0. */
static inline void codec_spend(struct codec_walk *walk, int64_t cost)
{
    walk->left -= cost;
}

#endif
