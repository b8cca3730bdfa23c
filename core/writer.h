/*
 * writer -- bytes put one after the other into chunks that never move, to be sent as a gather list.
 *
 *     first chunk                              next chunk
 *     | head | piece | bytes | piece | bytes | head | piece | bytes ...... | free |
 *               |       hole ^  |                      |                   ^      ^
 *               '--- next ------'------- next ---------'                   at    end
 *
 * A piece is a run of bytes, after which there may be a hole: bytes that count as written but live
 * elsewhere, known to the caller by a name. Walk the pieces from writer->first to send all in order.
 *
 * A failure is sticky: past bytes_max, or when the memory has none, every write does nothing, and
 * writer_finish says so. So an encoder runs straight down. A writer that only measures has no
 * memory and counts. All integers are big-endian. One owner, no locks.
 */
#ifndef CORE_WRITER_H
#define CORE_WRITER_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/big_endian.h"
#include "core/memory.h"
#include "core/uuid.h"
#include "core/view.h"

struct writer_piece {
    struct writer_piece *next;
    const uint8_t *data;
    void *hole_name;     /* whose bytes follow `data`; the caller's */
    uint32_t bytes;      /* of data; may be 0 */
    uint32_t hole_bytes; /* 0: no hole */
};

struct writer {
    struct writer_piece *first; /* complete after writer_finish; NULL: nothing written */
    size_t taken;               /* drawn from the memory */
    size_t taken_max;           /* nothing is asked for beyond this */
    bool failed;

    /* writer.c only */
    uint8_t *at; /* where the next byte goes */
    uint8_t *end;
    struct memory *memory; /* NULL: only measuring */
    struct writer_piece *last;
    struct writer_chunk *chunks;
    size_t bytes_before; /* written before the last piece, holes included */
};

/* memory: outlives the writer. Draws nothing yet. */
void writer_init(struct writer *writer, struct memory *memory, size_t taken_max);
void writer_init_measure(struct writer *writer);

/* Gives the chunks back: whoever sends them has to be done. The writer can be used again. */
void writer_give_all(struct writer *writer);
/* The same for one too large to be given back at once: so many chunks of it. True: that was the
 * last; before that nothing may be written. */
[[nodiscard]] bool writer_give_some(struct writer *writer, uint32_t count);

/* How far it has come: all bytes written, holes included. */
size_t writer_position(const struct writer *writer);

/* Bring the pieces up to date. False: something did not fit, and what was written is no use. More
 * may be written after it. */
[[nodiscard]] bool writer_finish(struct writer *writer);

/* All that was written, one piece after the other, after writer_finish; there may be no holes.
 *   to   room for writer_position bytes */
void writer_join(const struct writer *writer, uint8_t *to);

uint8_t *writer_take_slow(struct writer *writer, size_t bytes);

/* Room for up to 16 bytes in one piece; NULL: there is none, or we only measure. */
static inline uint8_t *writer_take(struct writer *writer, size_t bytes)
{
    if (bytes > (size_t)(writer->end - writer->at)) {
        return writer_take_slow(writer, bytes);
    }
    uint8_t *to = writer->at;
    writer->at += bytes;
    return to;
}

static inline void writer_int8(struct writer *writer, int8_t value)
{
    uint8_t *to = writer_take(writer, sizeof value);
    if (to) {
        *to = (uint8_t)value;
    }
}

static inline void writer_bool(struct writer *writer, bool value)
{
    writer_int8(writer, value);
}

static inline void writer_uint16(struct writer *writer, uint16_t value)
{
    uint8_t *to = writer_take(writer, sizeof value);
    if (to) {
        big_endian_store16(to, value);
    }
}

static inline void writer_int16(struct writer *writer, int16_t value)
{
    writer_uint16(writer, (uint16_t)value);
}

static inline void writer_uint32(struct writer *writer, uint32_t value)
{
    uint8_t *to = writer_take(writer, sizeof value);
    if (to) {
        big_endian_store32(to, value);
    }
}

static inline void writer_int32(struct writer *writer, int32_t value)
{
    writer_uint32(writer, (uint32_t)value);
}

static inline void writer_int64(struct writer *writer, int64_t value)
{
    uint8_t *to = writer_take(writer, sizeof value);
    if (to) {
        big_endian_store64(to, (uint64_t)value);
    }
}

static inline void writer_float64(struct writer *writer, double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    writer_int64(writer, bits);
}

static inline void writer_uuid(struct writer *writer, struct uuid uuid)
{
    uint8_t *to = writer_take(writer, sizeof uuid.bytes);
    if (to) {
        memcpy(to, uuid.bytes, sizeof uuid.bytes);
    }
}

/* Base-128, low groups first, as short as can be. The signed ones zigzag. */
void writer_uvarint64_long(struct writer *writer, uint64_t value);

static inline void writer_uvarint64(struct writer *writer, uint64_t value)
{
    if (value < 0x80) {
        writer_int8(writer, (int8_t)value);
    } else {
        writer_uvarint64_long(writer, value);
    }
}

static inline void writer_uvarint32(struct writer *writer, uint32_t value)
{
    writer_uvarint64(writer, value);
}

static inline void writer_varint64(struct writer *writer, int64_t value)
{
    writer_uvarint64(writer, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

static inline void writer_varint32(struct writer *writer, int32_t value)
{
    writer_varint64(writer, value);
}

/* Bytes alone, copied. */
void writer_view(struct writer *writer, struct view view);

/* Leave a hole of so many bytes, to be filled by whoever sends. name: found again in the piece. */
void writer_hole(struct writer *writer, uint32_t bytes, void *name);

/* Length and bytes. Null is only for those that say so: elsewhere it is our bug. A string of more
 * than INT16_MAX bytes fails the writer, since a stranger may have a hand in what we say to him. */
void writer_string(struct writer *writer, struct view view);
void writer_string_or_null(struct writer *writer, struct view view);
void writer_compact_string(struct writer *writer, struct view view);
void writer_compact_string_or_null(struct writer *writer, struct view view);

void writer_bytes(struct writer *writer, struct view view);
void writer_bytes_or_null(struct writer *writer, struct view view);
void writer_compact_bytes(struct writer *writer, struct view view);
void writer_compact_bytes_or_null(struct writer *writer, struct view view);

/* Before an array's items; -1 is null. */
static inline void writer_count_or_null(struct writer *writer, int32_t count)
{
    assert(count >= -1);
    writer_int32(writer, count);
}

static inline void writer_count(struct writer *writer, int32_t count)
{
    assert(count >= 0);
    writer_int32(writer, count);
}

static inline void writer_compact_count_or_null(struct writer *writer, int32_t count)
{
    assert(count >= -1);
    writer_uvarint32(writer, (uint32_t)count + 1);
}

static inline void writer_compact_count(struct writer *writer, int32_t count)
{
    assert(count >= 0);
    writer_uvarint32(writer, (uint32_t)count + 1);
}

/*
 * A size that is known only after what follows it:
 *
 *     uint8_t *size = writer_reserve32(writer);
 *     size_t before = writer_position(writer);
 *     ...
 *     writer_patch32(size, (uint32_t)(writer_position(writer) - before));
 */
static inline uint8_t *writer_reserve32(struct writer *writer)
{
    return writer_take(writer, 4);
}

/* place: from writer_reserve32, may be NULL */
static inline void writer_patch32(uint8_t *place, uint32_t value)
{
    if (place) {
        big_endian_store32(place, value);
    }
}

#endif
