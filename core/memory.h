/*
 * memory -- where an arena or a writer gets its pieces: a reactor's slabs, or in tests the heap.
 */
#ifndef CORE_MEMORY_H
#define CORE_MEMORY_H

#include <stddef.h>

struct memory {
    /* At least `bytes`, aligned to 16, not cleared; *granted says how many. NULL: none now. */
    void *(*take)(struct memory *memory, size_t bytes, size_t *granted);
    void (*give)(struct memory *memory, void *piece, size_t granted);
};

void memory_init_heap(struct memory *memory);

#endif
