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
