/*
 * sim_memory -- where the simulator's own memory comes from, and its dice.
 *
 * The simulated broker and the simulator share a thread, and a power cut drops the broker's memory
 * but not the simulator's. A test that tells them apart by counting the broker's mallocs hands the
 * simulator another door to the heap here.
 */
#ifndef CORE_SIM_MEMORY_H
#define CORE_SIM_MEMORY_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct sim_memory {
    void *(*allocate)(size_t bytes); /* NULL: malloc */
    void (*release)(void *piece);    /* NULL: free */
};

/* Cleared. A simulator that runs out of memory has nothing to say: it stops. */
static inline void *sim_take(const struct sim_memory *memory, size_t bytes)
{
    void *piece = memory->allocate ? memory->allocate(bytes) : malloc(bytes);
    assert(piece);
    return memset(piece, 0, bytes);
}

static inline void sim_give(const struct sim_memory *memory, void *piece)
{
    if (memory->release) {
        memory->release(piece);
    } else {
        free(piece);
    }
}

/* The array with room for `count` items: itself, or a larger copy that replaces it. */
static inline void *sim_room(const struct sim_memory *memory, void *items, uint32_t *capacity,
                             uint32_t count, size_t item_bytes)
{
    if (count <= *capacity) {
        return items;
    }
    uint32_t larger = *capacity < 8 ? 8 : *capacity;
    while (larger < count) {
        larger *= 2;
    }
    void *copy = sim_take(memory, larger * item_bytes);
    if (items) {
        memcpy(copy, items, *capacity * item_bytes);
        sim_give(memory, items);
    }
    *capacity = larger;
    return copy;
}

struct sim_random {
    uint64_t state; /* the seed, to begin with */
};

static inline uint64_t sim_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

static inline uint64_t sim_draw(struct sim_random *random)
{
    random->state += 0x9e3779b97f4a7c15; /* splitmix64 */
    return sim_mix(random->state);
}

/* In [0, limit). The bias of the remainder is far below what a test could notice. */
static inline uint64_t sim_below(struct sim_random *random, uint64_t limit)
{
    return sim_draw(random) % limit;
}

static inline uint64_t sim_between(struct sim_random *random, uint64_t least, uint64_t most)
{
    return least + sim_below(random, most - least + 1);
}

static inline bool sim_chance(struct sim_random *random, uint32_t percent)
{
    return sim_below(random, 100) < percent;
}

#endif
