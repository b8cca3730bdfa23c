/*
 * memory -- where an arena or a writer gets its pieces: a reactor's slabs, or the heap where there
 * is no reactor.
 */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H

#include <stddef.h>

#include "core/slab.h"

struct memory {
    /* At least `bytes`, aligned to 16, not cleared; *granted says how many. NULL: none now. */
    void *(*take)(struct memory *memory, size_t bytes, size_t *granted);
    void (*give)(struct memory *memory, void *piece, size_t granted);

    /* memory.c only */
    struct slabs *slabs;
    enum budget_term term;
};

void memory_init_heap(struct memory *memory);

/* slabs: outlive the memory. Pieces are charged to the term, whose limit is then one more. */
void memory_init_slabs(struct memory *memory, struct slabs *slabs, enum budget_term term);

#endif
