/* tail -- chunks: taken, filled, replaced, evicted. */
#include "log/tail.h"

#include "core/copy.h"
#include "core/crc32c.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    FAST_US = 100 * 1000,  /* a chunk filled within this is followed by one twice as large */
    SLOW_US = 1000 * 1000, /* ... not even within this: by one half as large */
};

static bool chunk_is_read(const struct chunk *chunk)
{
    return atomic_load_explicit(&chunk->readers, memory_order_acquire) != 0;
}

static void chunk_free(struct chunk *chunk, struct tail *tail)
{
    assert(!chunk_is_read(chunk));
    link_remove(&chunk->link);
    slab_give(&tail->reactor->slabs, BUDGET_TAIL, chunk->data, chunk->capacity);
    free(chunk);
}

static void chunk_retire(struct chunk *chunk, struct tail *tail)
{
    chunk->chunks = NULL;
    if (chunk_is_read(chunk)) {
        list_push(&tail->retired, &chunk->link);
    } else {
        chunk_free(chunk, tail);
    }
}

void tail_init(struct tail *tail, struct reactor *reactor)
{
    *tail = (struct tail){.reactor = reactor};
    list_init(&tail->cached);
    list_init(&tail->retired);
}

static void tail_sweep(struct tail *tail)
{
    struct link *link = tail->retired.head.next;
    while (link != &tail->retired.head) {
        struct chunk *chunk = container_of(link, struct chunk, link);
        link = link->next;
        if (!chunk_is_read(chunk)) {
            chunk_free(chunk, tail);
        }
    }
}

void tail_deinit(struct tail *tail)
{
    tail_sweep(tail);
    assert(list_is_empty(&tail->cached) && list_is_empty(&tail->retired));
}

static void chunks_forget(struct chunks *chunks, struct chunk *chunk)
{
    uint32_t i = chunks->first;
    while (chunks->at[i] != chunk) { /* nearly always the first: the oldest goes first */
        i++;
        assert(i < chunks->end);
    }
    for (; i > chunks->first; i--) {
        chunks->at[i] = chunks->at[i - 1];
    }
    chunks->first++;
    if (chunks->first == chunks->end) {
        chunks->first = chunks->end = 0;
    }
}

/* Drops one cached chunk that nobody reads. False: there is none. */
static bool tail_evict(struct tail *tail)
{
    struct link *link = tail->cached.head.next;
    while (link != &tail->cached.head) {
        struct chunk *chunk = container_of(link, struct chunk, link);
        if (!chunk_is_read(chunk)) {
            chunks_forget(chunk->chunks, chunk);
            chunk_free(chunk, tail);
            return true;
        }
        link = link->next;
    }
    return false;
}

uint8_t *tail_take(struct tail *tail, uint32_t bytes)
{
    uint8_t *piece = slab_take(&tail->reactor->slabs, BUDGET_TAIL, bytes);
    if (!piece) {
        tail_sweep(tail);
        piece = slab_take(&tail->reactor->slabs, BUDGET_TAIL, bytes);
    }
    while (!piece && tail_evict(tail)) {
        piece = slab_take(&tail->reactor->slabs, BUDGET_TAIL, bytes);
    }
    return piece;
}

void tail_give(struct tail *tail, uint8_t *piece, uint32_t bytes)
{
    slab_give(&tail->reactor->slabs, BUDGET_TAIL, piece, bytes);
}

static bool chunks_grow(struct chunks *chunks)
{
    if (chunks->end < chunks->room) {
        return true;
    }
    uint32_t count = chunks->end - chunks->first;
    if (chunks->first > count) { /* at least half of it is free at the front */
        memmove(chunks->at, chunks->at + chunks->first, count * sizeof(*chunks->at));
    } else {
        uint32_t room = count ? 2 * chunks->room : 1; /* most partitions have one chunk */
        struct chunk **at = realloc(chunks->at, room * sizeof(struct chunk *));
        if (!at) {
            return false;
        }
        chunks->at = at;
        chunks->room = room;
        memmove(at, at + chunks->first, count * sizeof(*at));
    }
    chunks->first = 0;
    chunks->end = count;
    return true;
}

static struct chunk *chunks_last(const struct chunks *chunks)
{
    return chunks->end > chunks->first ? chunks->at[chunks->end - 1] : NULL;
}

static struct chunk *chunk_new(struct tail *tail, uint32_t position, uint32_t capacity)
{
    struct chunk *chunk = malloc(sizeof(*chunk));
    if (!chunk) {
        return NULL;
    }
    *chunk = (struct chunk){.position = position,
                            .capacity = slab_bytes(capacity),
                            .born_us = reactor_now_us(tail->reactor)};
    link_init(&chunk->link);
    chunk->data = tail_take(tail, chunk->capacity);
    if (!chunk->data) {
        free(chunk);
        return NULL;
    }
    return chunk;
}

/* A chunk behind the last one, which is full. */
static struct chunk *chunks_add(struct chunks *chunks, struct tail *tail, uint32_t position,
                                uint32_t bytes)
{
    uint32_t capacity = bytes;
    struct chunk *last = chunks_last(chunks);
    if (last && last->position + last->capacity == position) {
        uint64_t took_us = reactor_now_us(tail->reactor) - last->born_us;
        uint32_t usual = took_us < FAST_US   ? 2 * last->capacity
                         : took_us > SLOW_US ? last->capacity / 2
                                             : last->capacity;
        capacity = usual > bytes ? usual : bytes;
    }
    if (capacity > CHUNK_BYTES_MAX) {
        capacity = CHUNK_BYTES_MAX;
    }
    struct chunk *chunk = chunk_new(tail, position, capacity); /* may evict `last` */
    if (!chunk) {
        return NULL;
    }
    if (!chunks_grow(chunks)) {
        chunk_free(chunk, tail);
        return NULL;
    }
    chunk->chunks = chunks;
    chunks->at[chunks->end++] = chunk;
    return chunk;
}

/* A small chunk becomes a larger one: at most a block is copied. */
static struct chunk *chunks_enlarge(struct chunks *chunks, struct tail *tail, struct chunk *small,
                                    uint32_t bytes)
{
    assert(small->capacity < FILE_BLOCK_BYTES);
    if (bytes > CHUNK_BYTES_MAX) {
        bytes = CHUNK_BYTES_MAX;
    }
    assert(!link_is_listed(&small->link)); /* not to be evicted to make room for itself */
    struct chunk *large = chunk_new(tail, small->position, bytes);
    if (!large) {
        return NULL;
    }
    memcpy(large->data, small->data, small->used);
    large->used = small->used;
    large->chunks = chunks;
    assert(chunks->at[chunks->end - 1] == small);
    chunks->at[chunks->end - 1] = large;
    chunk_retire(small, tail);
    return large;
}

/* Takes back the last ones, which hold nothing yet. */
static void chunks_unreserve(struct chunks *chunks, struct tail *tail)
{
    while (chunks->end > chunks->first && chunks->at[chunks->end - 1]->used == 0) {
        chunk_free(chunks->at[--chunks->end], tail);
    }
}

bool chunks_reserve(struct chunks *chunks, struct tail *tail, uint32_t position, uint32_t bytes)
{
    struct chunk *last = chunks_last(chunks);
    uint32_t end = position + bytes;
    bool is_cached = false;
    if (last && last->position + last->used == position) {
        is_cached = link_is_listed(&last->link);
        link_remove(&last->link); /* about to hold unsettled bytes: not to be evicted meanwhile */
        if (last->capacity < FILE_BLOCK_BYTES && last->position + last->capacity < end) {
            struct chunk *large = chunks_enlarge(chunks, tail, last, end - last->position);
            if (!large) {
                goto no_memory;
            }
            last = large;
        }
        position = last->position + last->capacity;
    } else {
        last = NULL;
        assert(position % FILE_BLOCK_BYTES == 0); /* else the block's first bytes are missing */
    }
    while (position < end) {
        struct chunk *added = chunks_add(chunks, tail, position, end - position);
        if (!added) {
            goto no_memory;
        }
        position = added->position + added->capacity;
    }
    return true;

no_memory:
    chunks_unreserve(chunks, tail);
    if (is_cached) {
        list_push(&tail->cached, &last->link);
    }
    return false;
}

/* Large appends are read again after many others, if at all. */
enum { STREAMED_BYTES_MIN = 64 << 10 };

static void bytes_put(uint8_t *to, const uint8_t *from, size_t bytes)
{
    if (bytes >= STREAMED_BYTES_MIN) {
        copy_streamed(to, from, bytes);
    } else {
        memcpy(to, from, bytes);
    }
}

/* crc: NULL, or goes on with what is copied. */
static void chunks_put(struct chunks *chunks, uint32_t position, const uint8_t *bytes,
                       uint32_t count, uint32_t *crc)
{
    uint32_t i = chunks->end - 1;
    while (chunks->at[i]->position > position) { /* the few that were reserved */
        assert(i > chunks->first);
        i--;
    }
    for (; count > 0; i++) {
        assert(i < chunks->end);
        struct chunk *chunk = chunks->at[i];
        uint32_t room = chunk->capacity - chunk->used;
        uint32_t piece = count < room ? count : room;
        assert(chunk->position + chunk->used == position);
        if (crc) {
            *crc = crc32c_copy(*crc, chunk->data + chunk->used, bytes, piece);
        } else {
            bytes_put(chunk->data + chunk->used, bytes, piece);
        }
        chunk->used += piece;
        position += piece;
        bytes += piece;
        count -= piece;
    }
}

void chunks_append(struct chunks *chunks, uint32_t position, const uint8_t *bytes, uint32_t count)
{
    chunks_put(chunks, position, bytes, count, NULL);
}

uint32_t chunks_append_summed(struct chunks *chunks, uint32_t position, const uint8_t *bytes,
                              uint32_t count, uint32_t crc)
{
    chunks_put(chunks, position, bytes, count, &crc);
    return crc;
}

void chunks_take_back(struct chunks *chunks, struct tail *tail, uint32_t position, uint32_t settled)
{
    for (uint32_t i = chunks->end; i > chunks->first; i--) {
        struct chunk *chunk = chunks->at[i - 1];
        if (chunk->position + chunk->used <= position) {
            break;
        }
        chunk->used = chunk->position < position ? position - chunk->position : 0;
    }
    chunks_unreserve(chunks, tail);
    chunks_settled(chunks, tail, settled);
}

bool chunks_restore(struct chunks *chunks, struct tail *tail, uint32_t position,
                    const uint8_t *bytes, uint32_t count)
{
    assert(position % FILE_BLOCK_BYTES == 0 && count < FILE_BLOCK_BYTES);
    struct chunk *chunk = chunks_add(chunks, tail, position, count);
    if (!chunk) {
        return false;
    }
    bytes_put(chunk->data, bytes, count);
    chunk->used = count;
    list_push(&tail->cached, &chunk->link);
    return true;
}

struct chunk *chunks_find(const struct chunks *chunks, uint32_t position)
{
    uint32_t low = chunks->first;
    uint32_t high = chunks->end;
    while (low < high) { /* the last one that starts at or before position */
        uint32_t middle = low + (high - low) / 2;
        if (chunks->at[middle]->position <= position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == chunks->first) {
        return NULL;
    }
    struct chunk *chunk = chunks->at[low - 1];
    return position < chunk->position + chunk->used ? chunk : NULL;
}

void chunks_settled(struct chunks *chunks, struct tail *tail, uint32_t position)
{
    uint32_t i = chunks->end;
    while (i > chunks->first && !link_is_listed(&chunks->at[i - 1]->link)) {
        i--; /* those before it were settled earlier */
    }
    for (; i < chunks->end; i++) {
        struct chunk *chunk = chunks->at[i];
        if (chunk->position + chunk->used > position) {
            break;
        }
        list_push(&tail->cached, &chunk->link);
    }
}

bool chunks_drop_some(struct chunks *chunks, struct tail *tail, uint32_t *items)
{
    for (; chunks->first<chunks->end && * items> 0; --*items) {
        struct chunk *chunk = chunks->at[chunks->first++];
        link_remove(&chunk->link);
        chunk_retire(chunk, tail);
    }
    return chunks->first == chunks->end;
}

void chunks_drop(struct chunks *chunks, struct tail *tail)
{
    for (uint32_t i = chunks->first; i < chunks->end; i++) {
        link_remove(&chunks->at[i]->link);
        chunk_retire(chunks->at[i], tail);
    }
    free(chunks->at);
    *chunks = (struct chunks){0};
}
