#include "core/arena.h"

#include <assert.h>
#include <stdalign.h>

enum {
    ARENA_CHUNK_BYTES_MIN = 512,       /* holds the common request whole */
    ARENA_CHUNK_BYTES_MAX = 64 * 1024, /* more only for one larger take */
    ARENA_CHUNK_GROWTH = 4,
    ARENA_ALIGNMENT = 8,
};

struct arena_chunk {
    struct arena_chunk *next; /* the one filled before */
    size_t granted;
    alignas(ARENA_ALIGNMENT) uint8_t data[];
};

static void *arena_take_chunk(struct arena *arena, size_t bytes);

void arena_init(struct arena *arena, struct memory *memory, size_t bytes_max)
{
    assert(bytes_max <= PTRDIFF_MAX); /* so that sizes can be rounded up */
    *arena = (struct arena){.memory = memory, .bytes_max = bytes_max};
}

void *arena_take(struct arena *arena, size_t bytes)
{
    if (bytes > arena->bytes_max) {
        return NULL;
    }
    bytes = (bytes + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
    if (bytes > (size_t)(arena->end - arena->at) || !arena->at) {
        return arena_take_chunk(arena, bytes);
    }
    void *taken = arena->at;
    arena->at += bytes;
    return taken;
}

void arena_give_all(struct arena *arena)
{
    while (!arena_give_some(arena, UINT32_MAX)) {
    }
}

bool arena_give_some(struct arena *arena, uint32_t count)
{
    struct arena_chunk *chunk = arena->last;
    for (uint32_t i = 0; chunk && i < count; i++) {
        struct arena_chunk *next = chunk->next;
        arena->memory->give(arena->memory, chunk, chunk->granted);
        chunk = next;
    }
    arena->last = chunk;
    if (!chunk) {
        arena_init(arena, arena->memory, arena->bytes_max);
    }
    return !chunk;
}

static void *arena_take_chunk(struct arena *arena, size_t bytes)
{
    size_t left = arena->bytes < arena->bytes_max ? arena->bytes_max - arena->bytes : 0;
    size_t need = sizeof(struct arena_chunk) + bytes;
    size_t wish = arena->last ? arena->last->granted * ARENA_CHUNK_GROWTH : ARENA_CHUNK_BYTES_MIN;
    if (wish > ARENA_CHUNK_BYTES_MAX) {
        wish = ARENA_CHUNK_BYTES_MAX;
    }
    if (wish < need || wish > left) {
        wish = need;
    }
    if (wish > left) {
        return NULL;
    }
    size_t granted = 0;
    struct arena_chunk *chunk = arena->memory->take(arena->memory, wish, &granted);
    if (!chunk) {
        return NULL;
    }
    arena->bytes += granted;
    chunk->next = arena->last;
    chunk->granted = granted;
    arena->last = chunk;
    arena->at = chunk->data + bytes;
    arena->end = (uint8_t *)chunk + granted;
    return chunk->data;
}
