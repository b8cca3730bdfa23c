#include "core/writer.h"

#include <stdalign.h>

enum {
    WRITER_CHUNK_BYTES_MIN = 512, /* holds the common reply whole */
    WRITER_CHUNK_BYTES_MAX = 64 * 1024,
    WRITER_CHUNK_GROWTH = 4,
    WRITER_TAKE_BYTES_MAX = 16, /* what a chunk always has room for: a uuid */
    WRITER_PIECE_MIN = 64,      /* with less room for it, the piece behind a hole opens a chunk */
};

struct writer_chunk {
    struct writer_chunk *next; /* the one filled before */
    size_t granted;
    alignas(16) uint8_t data[];
};

static bool writer_open_chunk(struct writer *writer);
static void writer_open_piece(struct writer *writer, uint8_t *at);

void writer_init(struct writer *writer, struct memory *memory, size_t taken_max)
{
    *writer = (struct writer){.memory = memory, .taken_max = taken_max};
}

void writer_init_measure(struct writer *writer)
{
    *writer = (struct writer){.memory = NULL};
}

void writer_give_all(struct writer *writer)
{
    while (!writer_give_some(writer, UINT32_MAX)) {
    }
}

bool writer_give_some(struct writer *writer, uint32_t count)
{
    struct writer_chunk *chunk = writer->chunks;
    for (uint32_t i = 0; chunk && i < count; i++) {
        struct writer_chunk *next = chunk->next;
        writer->memory->give(writer->memory, chunk, chunk->granted);
        chunk = next;
    }
    writer->chunks = chunk;
    if (!chunk) {
        writer_init(writer, writer->memory, writer->taken_max);
    }
    return !chunk;
}

size_t writer_position(const struct writer *writer)
{
    size_t in_last = writer->last ? (size_t)(writer->at - writer->last->data) : 0;
    return writer->bytes_before + in_last;
}

bool writer_finish(struct writer *writer)
{
    if (writer->last) {
        writer->last->bytes = (uint32_t)(writer->at - writer->last->data);
    }
    return !writer->failed;
}

void writer_join(const struct writer *writer, uint8_t *to)
{
    for (const struct writer_piece *piece = writer->first; piece; piece = piece->next) {
        assert(piece->hole_bytes == 0);
        memcpy(to, piece->data, piece->bytes);
        to += piece->bytes;
    }
}

uint8_t *writer_take_slow(struct writer *writer, size_t bytes)
{
    assert(bytes <= WRITER_TAKE_BYTES_MAX);
    if (!writer->memory) {
        writer->bytes_before += bytes;
        return NULL;
    }
    if (!writer_open_chunk(writer)) {
        return NULL;
    }
    uint8_t *to = writer->at;
    writer->at += bytes;
    return to;
}

void writer_uvarint64_long(struct writer *writer, uint64_t value)
{
    uint8_t groups[10];
    size_t count = 0;
    do {
        groups[count++] = (uint8_t)(value | 0x80);
        value >>= 7;
    } while (value > 0);
    groups[count - 1] &= 0x7f;
    uint8_t *to = writer_take(writer, count);
    if (to) {
        memcpy(to, groups, count);
    }
}

void writer_view(struct writer *writer, struct view view)
{
    const uint8_t *from = view.data;
    size_t left = view.bytes > 0 ? (size_t)view.bytes : 0;
    if (!writer->memory) {
        writer->bytes_before += left;
        return;
    }
    while (left > 0) {
        size_t room = (size_t)(writer->end - writer->at);
        if (room == 0) {
            if (!writer_open_chunk(writer)) {
                return;
            }
            continue;
        }
        size_t part = left < room ? left : room;
        memcpy(writer->at, from, part);
        writer->at += part;
        from += part;
        left -= part;
    }
}

void writer_hole(struct writer *writer, uint32_t bytes, void *name)
{
    if (bytes == 0) {
        return;
    }
    if (!writer->memory) {
        writer->bytes_before += bytes;
        return;
    }
    if (!writer->last && !writer_open_chunk(writer)) {
        return;
    }
    struct writer_piece *piece = writer->last;
    uintptr_t mask = alignof(struct writer_piece) - 1;
    uint8_t *next = writer->at + (-(uintptr_t)writer->at & mask);
    bool has_room =
        writer->end - writer->at >= (ptrdiff_t)(mask + sizeof *piece + WRITER_PIECE_MIN);
    if (has_room) {
        writer_open_piece(writer, next);
    } else if (!writer_open_chunk(writer)) {
        return;
    }
    piece->hole_bytes = bytes;
    piece->hole_name = name;
    writer->bytes_before += bytes;
}

/* The next byte asks for a chunk, and gets none. */
static void writer_fail(struct writer *writer)
{
    writer->failed = true;
    writer->end = writer->at;
}

static bool writer_open_chunk(struct writer *writer)
{
    size_t left = writer->taken < writer->taken_max ? writer->taken_max - writer->taken : 0;
    size_t wish = WRITER_CHUNK_BYTES_MIN;
    if (writer->chunks) {
        wish = writer->chunks->granted * WRITER_CHUNK_GROWTH;
    }
    if (wish > WRITER_CHUNK_BYTES_MAX) {
        wish = WRITER_CHUNK_BYTES_MAX;
    }
    if (wish > left && left >= WRITER_CHUNK_BYTES_MIN) {
        wish = left;
    }
    size_t granted = 0;
    struct writer_chunk *chunk = NULL;
    if (wish <= left && !writer->failed) {
        chunk = writer->memory->take(writer->memory, wish, &granted);
    }
    if (!chunk) {
        writer_fail(writer);
        return false;
    }
    chunk->next = writer->chunks;
    chunk->granted = granted;
    writer->chunks = chunk;
    writer->taken += granted;
    writer_open_piece(writer, chunk->data);
    writer->end = (uint8_t *)chunk + granted;
    return true;
}

/* The last piece is complete; the next one's head stands at `at`, its bytes behind it. */
static void writer_open_piece(struct writer *writer, uint8_t *at)
{
    struct writer_piece *piece = (struct writer_piece *)at;
    *piece = (struct writer_piece){.data = at + sizeof *piece};
    if (writer->last) {
        writer->last->bytes = (uint32_t)(writer->at - writer->last->data);
        writer->last->next = piece;
        writer->bytes_before += writer->last->bytes;
    } else {
        writer->first = piece;
    }
    writer->last = piece;
    writer->at = at + sizeof *piece;
}

static void writer_length(struct writer *writer, bool compact, int32_t bytes)
{
    if (compact) {
        writer_compact_count_or_null(writer, bytes);
    } else {
        writer_int32(writer, bytes);
    }
}

void writer_string_or_null(struct writer *writer, struct view view)
{
    if (view.bytes > INT16_MAX) {
        writer_fail(writer);
        return;
    }
    writer_int16(writer, (int16_t)view.bytes);
    writer_view(writer, view);
}

void writer_string(struct writer *writer, struct view view)
{
    assert(!view_is_null(view));
    writer_string_or_null(writer, view);
}

void writer_compact_string_or_null(struct writer *writer, struct view view)
{
    if (view.bytes > INT16_MAX) {
        writer_fail(writer);
        return;
    }
    writer_length(writer, true, view.bytes);
    writer_view(writer, view);
}

void writer_compact_string(struct writer *writer, struct view view)
{
    assert(!view_is_null(view));
    writer_compact_string_or_null(writer, view);
}

void writer_bytes_or_null(struct writer *writer, struct view view)
{
    writer_length(writer, false, view.bytes);
    writer_view(writer, view);
}

void writer_bytes(struct writer *writer, struct view view)
{
    assert(!view_is_null(view));
    writer_bytes_or_null(writer, view);
}

void writer_compact_bytes_or_null(struct writer *writer, struct view view)
{
    writer_length(writer, true, view.bytes);
    writer_view(writer, view);
}

void writer_compact_bytes(struct writer *writer, struct view view)
{
    assert(!view_is_null(view));
    writer_compact_bytes_or_null(writer, view);
}
