#include "tests/sim/process_memory.h"

#include <errno.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *piece, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
int __real_posix_memalign(void **piece, size_t alignment, size_t bytes);
void __real_free(void *piece);

struct process_memory {
    size_t pieces;
};

/* Piece -> owner: open addressing, always at least half empty. */
struct slot {
    void *piece;
    struct process_memory *owner;
};

static struct {
    struct slot *slots;
    size_t room, used; /* used counts graves too */
    struct process_memory *current;
} table;

static char grave; /* where a piece was: the search goes on behind it */

const struct sim_memory memory_of_simulators = {.allocate = __real_malloc, .release = __real_free};

static struct slot *slot_of(const void *piece)
{
    size_t at = sim_mix((uintptr_t)piece) & (table.room - 1);
    while (table.slots[at].piece && table.slots[at].piece != piece) {
        at = (at + 1) & (table.room - 1);
    }
    return &table.slots[at];
}

static void table_grow(void)
{
    struct slot *old = table.slots;
    size_t old_room = table.room, living = 0;
    for (size_t i = 0; i < old_room; i++) {
        living += old[i].piece && old[i].piece != &grave;
    }
    table.room = 1024;
    while (table.room < living * 4) {
        table.room *= 2;
    }
    table.slots = __real_calloc(table.room, sizeof *table.slots);
    assert(table.slots);
    table.used = living;
    for (size_t i = 0; i < old_room; i++) {
        if (old[i].piece && old[i].piece != &grave) {
            *slot_of(old[i].piece) = old[i];
        }
    }
    __real_free(old);
}

static void *own(void *piece)
{
    if (!piece || !table.current) {
        return piece;
    }
    if ((table.used + 1) * 2 > table.room) {
        table_grow();
    }
    *slot_of(piece) = (struct slot){piece, table.current};
    table.used++;
    table.current->pieces++;
    return piece;
}

static void disown(void *piece)
{
    if (!piece || !table.room) {
        return;
    }
    struct slot *slot = slot_of(piece);
    if (slot->piece) {
        slot->owner->pieces--;
        slot->piece = &grave;
    }
}

struct process_memory *process_memory_new(void)
{
    return __real_calloc(1, sizeof(struct process_memory));
}

void process_memory_drop(struct process_memory *memory)
{
    for (size_t i = 0; memory->pieces > 0 && i < table.room; i++) {
        struct slot *slot = &table.slots[i];
        if (slot->piece && slot->piece != &grave && slot->owner == memory) {
            __real_free(slot->piece);
            slot->piece = &grave;
            memory->pieces--;
        }
    }
    assert(memory->pieces == 0);
    __real_free(memory);
}

struct process_memory *process_memory_use(struct process_memory *memory)
{
    struct process_memory *before = table.current;
    table.current = memory;
    return before;
}

size_t process_memory_pieces(const struct process_memory *memory)
{
    return memory->pieces;
}

/* -- what the linker puts in the place of the C library's ----------------------------------------- */

void *__wrap_malloc(size_t bytes)
{
    return own(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return own(__real_calloc(count, bytes));
}

void *__wrap_realloc(void *piece, size_t bytes)
{
    disown(piece);
    void *moved = __real_realloc(piece, bytes);
    return own(moved ? moved : piece);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return own(__real_aligned_alloc(alignment, bytes));
}

int __wrap_posix_memalign(void **piece, size_t alignment, size_t bytes)
{
    int error = __real_posix_memalign(piece, alignment, bytes);
    if (!error) {
        own(*piece);
    }
    return error;
}

void __wrap_free(void *piece)
{
    disown(piece);
    __real_free(piece);
}

char *__wrap_strndup(const char *text, size_t bytes_max)
{
    size_t bytes = strnlen(text, bytes_max);
    char *copy = __wrap_malloc(bytes + 1);
    if (copy) {
        memcpy(copy, text, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, strlen(text));
}
