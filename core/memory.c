#include "core/memory.h"

#include <stdlib.h>

static void *heap_take(struct memory *memory, size_t bytes, size_t *granted)
{
    *granted = bytes;
    return malloc(bytes);
}

static void heap_give(struct memory *memory, void *piece, size_t granted)
{
    free(piece);
}

void memory_init_heap(struct memory *memory)
{
    *memory = (struct memory){.take = heap_take, .give = heap_give};
}

static void *slabs_take(struct memory *memory, size_t bytes, size_t *granted)
{
    if (bytes > SLAB_BYTES_MAX) {
        return NULL;
    }
    *granted = slab_bytes(bytes);
    return slab_take(memory->slabs, memory->term, bytes);
}

static void slabs_give(struct memory *memory, void *piece, size_t granted)
{
    slab_give(memory->slabs, memory->term, piece, granted);
}

void memory_init_slabs(struct memory *memory, struct slabs *slabs, enum budget_term term)
{
    *memory = (struct memory){.take = slabs_take, .give = slabs_give, .slabs = slabs, .term = term};
}
