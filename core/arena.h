/*
 * arena -- memory that is taken piece by piece and given back all at once.
 *
 *     last chunk                         earlier chunks
 *     | head | taken .... | free |  -->  | head | taken ....... |  -->  NULL
 *                         ^      ^
 *                         at    end
 *
 * It holds what a decoded request needs beyond its frame. bytes_max bounds what it may draw from
 * its source, so that small frames cannot become large structures. One owner, no locks.
 */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/memory.h"

struct arena {
    size_t bytes;     /* drawn from the source */
    size_t bytes_max; /* nothing is asked for beyond this; the source may round the last piece up */

    /* arena.c only */
    struct memory *memory;
    struct arena_chunk *last;
    uint8_t *at;
    uint8_t *end;
};

/* memory: outlives the arena. Draws nothing yet. */
void arena_init(struct arena *arena, struct memory *memory, size_t bytes_max);

/* `bytes` aligned to 8, not cleared; NULL past bytes_max or when the source has none. Taking 0
 * bytes succeeds with a place that must not be read. */
[[nodiscard]] void *arena_take(struct arena *arena, size_t bytes);

/* Everything taken is gone; the arena can be used again. */
void arena_give_all(struct arena *arena);
/* The same for an arena too large to be given back at once: so many pieces of it. True: that was
 * the last; before that nothing may be taken. */
[[nodiscard]] bool arena_give_some(struct arena *arena, uint32_t count);

#endif
