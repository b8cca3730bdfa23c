/*
 * codec -- what the generated encoders and decoders need beyond core/cursor and core/writer.
 *
 * For each message of net/schema/ the build generates a struct and three functions, for instance in
 * "net/codec/produce.h":
 *
 *     produce_request_init     every field at its default
 *     produce_request_decode   false: cannot be, or does not fit the arena; the struct is no use
 *     produce_request_encode   leaves its verdict in the writer
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

/* Room for an array just counted; with none left in the arena, cursor and count fail. */
void *codec_take_items(struct cursor *cursor, struct arena *arena, int32_t *count,
                       size_t item_bytes);

/* Room for a struct that may be null, by the byte before it: NULL is null, or a failure. */
void *codec_take_or_null(struct cursor *cursor, struct arena *arena, size_t bytes);

struct codec_records codec_records(struct view view);
void codec_write_records(struct writer *writer, struct codec_records records);
void codec_write_compact_records(struct writer *writer, struct codec_records records);

#endif
