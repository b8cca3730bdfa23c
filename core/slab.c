#include "core/slab.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_ASAN 1
#endif
#endif
#ifdef SLAB_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(piece, bytes) ((void)(piece), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(piece, bytes) ((void)(piece), (void)(bytes))
#endif

enum {
    OPEN_STEP_BYTES = 2 << 20,  /* one mprotect for so much: a huge page, should it become one */
    COLD_BYTES_MIN = 1 << 20,   /* below, giving memory back costs more than it frees, ... */
    TRIM_BYTES_MIN = 16 << 10,  /* ... unless others need it: a page of the piece stays behind */
    TRIM_BYTES_MAX = 1 << 20,   /* given back in one go: less than 100 us */
    WARM_BYTES_MAX = 128 << 20, /* of one class: what a burst may need again at once */
    PAGE_BYTES = 4096,
};

static_assert(SLAB_BYTES_MIN << (SLAB_CLASSES - 1) == SLAB_BYTES_MAX, "classes are powers of two");

static uint32_t class_of(size_t bytes)
{
    if (bytes <= SLAB_BYTES_MIN) {
        return 0;
    }
    return 64 - __builtin_clzll(bytes - 1) - __builtin_ctz(SLAB_BYTES_MIN);
}

static size_t class_bytes(uint32_t class)
{
    return (size_t)SLAB_BYTES_MIN << class;
}

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

int slabs_init(struct slabs *slabs, uint64_t memory_bytes)
{
    static const uint16_t shares[BUDGET_TERMS] = {
#define BUDGET(TERM, name, share, why) share,
#include "core/budget.def"
#undef BUDGET
    };
    *slabs = (struct slabs){.bytes_max = memory_bytes};
    for (uint32_t term = 0; term < BUDGET_TERMS; term++) {
        slabs->budgets[term].bytes_max = memory_bytes / 1000 * shares[term];
    }
    for (uint32_t i = 0; i < SLAB_CLASSES; i++) {
        uint64_t unit = class_bytes(i) > OPEN_STEP_BYTES ? class_bytes(i) : OPEN_STEP_BYTES;
        slabs->classes[i].region_bytes = round_up(memory_bytes, unit);
        slabs->range_bytes += slabs->classes[i].region_bytes;
    }
    slabs->range = mmap(NULL, slabs->range_bytes, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slabs->range == MAP_FAILED) {
        slabs->range = NULL;
        return -errno;
    }
    uint8_t *region = slabs->range;
    for (uint32_t i = 0; i < SLAB_CLASSES; i++) {
        slabs->classes[i].region = region;
        region += slabs->classes[i].region_bytes;
    }
    return 0;
}

void slabs_deinit(struct slabs *slabs)
{
    if (!slabs->range) {
        return;
    }
    for (uint32_t i = 0; i < SLAB_CLASSES; i++) { /* the addresses may serve another mapping */
        ASAN_UNPOISON_MEMORY_REGION(slabs->classes[i].region, slabs->classes[i].open_bytes);
    }
    munmap(slabs->range, slabs->range_bytes);
    slabs->range = NULL;
}

static void *list_pop(void **list)
{
    void **piece = *list;
    ASAN_UNPOISON_MEMORY_REGION(piece, sizeof(*piece));
    *list = *piece;
    return piece;
}

static void list_push(void **list, void *piece)
{
    *(void **)piece = *list;
    *list = piece;
}

/* -- memory that lies idle ---------------------------------------------------------------------- */

static uint64_t idle_behind(const struct slab_class *class)
{
    return class->idle_end > class->used_bytes ? class->idle_end - class->used_bytes : 0;
}

/* One warm piece becomes cold. How many bytes went back. */
static uint64_t class_cool(struct slab_class *class, size_t bytes)
{
    void *piece = list_pop(&class->warm);
    class->warm_count--;
    (void)madvise((uint8_t *)piece + PAGE_BYTES, bytes - PAGE_BYTES, MADV_DONTNEED);
    list_push(&class->cold, piece);
    ASAN_POISON_MEMORY_REGION(piece, bytes);
    return bytes - PAGE_BYTES;
}

static bool class_can_shrink(const struct slab_class *class)
{
    return (class->out_count == 0 && class->used_bytes > 0) || class->idle_end > class->used_bytes;
}

/* A class of which all pieces are idle begins anew. What it had touched goes back from the end. */
static uint64_t class_shrink(struct slab_class *class)
{
    if (class->out_count == 0 && class->used_bytes > 0) {
        class->idle_end = class->used_bytes > class->idle_end ? class->used_bytes : class->idle_end;
        class->used_bytes = 0;
        class->warm = NULL;
        class->warm_count = 0;
    }
    uint64_t end = class->idle_end;
    uint64_t from = round_up(class->used_bytes, PAGE_BYTES);
    if (end <= from) {
        class->idle_end = class->used_bytes; /* of a page that is in use */
        return end - class->used_bytes;
    }
    if (end - from > TRIM_BYTES_MIN) {
        from = (end - TRIM_BYTES_MIN) / PAGE_BYTES * PAGE_BYTES;
    }
    (void)madvise(class->region + from, end - from, MADV_DONTNEED);
    class->idle_end = from;
    return end - from;
}

static bool is_over(const struct slabs *slabs, size_t wanted)
{
    return slabs->out_bytes + slabs->idle_bytes + wanted > slabs->bytes_max;
}

/* A step, of so many bytes, towards having no more touched than the budget, with `wanted` bytes
 * more: as large as what is taken or given, so that it keeps up with most. */
static void slabs_trim(struct slabs *slabs, size_t wanted, size_t bytes)
{
    size_t limit = bytes < TRIM_BYTES_MAX ? bytes : TRIM_BYTES_MAX;
    uint64_t trimmed = 0;
    for (uint32_t i = 0; i < SLAB_CLASSES; i++) {
        struct slab_class *class = &slabs->classes[i];
        bool is_small = class_bytes(i) < TRIM_BYTES_MIN;
        while (is_small ? class_can_shrink(class) : class->warm != NULL) {
            if (trimmed >= limit || !is_over(slabs, wanted)) {
                return;
            }
            uint64_t back = is_small ? class_shrink(class) : class_cool(class, class_bytes(i));
            slabs->idle_bytes -= back;
            trimmed += back;
        }
    }
}

/* -- pieces ------------------------------------------------------------------------------------- */

/* A piece that was never taken before, or NULL if the kernel refuses to open its pages. */
static void *class_extend(struct slab_class *class, size_t bytes)
{
    assert(class->used_bytes + bytes <= class->region_bytes);
    if (class->used_bytes + bytes > class->open_bytes) {
        uint64_t step = bytes > OPEN_STEP_BYTES ? bytes : OPEN_STEP_BYTES;
        if (mprotect(class->region + class->open_bytes, step, PROT_READ | PROT_WRITE) != 0) {
            return NULL;
        }
        class->open_bytes += step;
    }
    void *piece = class->region + class->used_bytes;
    class->used_bytes += bytes;
    return piece;
}

void *slab_take(struct slabs *slabs, enum budget_term term, size_t bytes)
{
    if (bytes > SLAB_BYTES_MAX) {
        return NULL;
    }
    uint32_t index = class_of(bytes);
    struct slab_class *class = &slabs->classes[index];
    struct budget *budget = &slabs->budgets[term];
    bytes = class_bytes(index);
    if (bytes > budget->bytes_max - budget->bytes) {
        return NULL;
    }

    if (!class->warm && is_over(slabs, bytes)) {
        slabs_trim(slabs, bytes, bytes);
    }
    void *piece;
    uint64_t idle_before = idle_behind(class);
    if (class->warm) {
        piece = list_pop(&class->warm);
        class->warm_count--;
        slabs->idle_bytes -= bytes;
    } else if (class->cold) {
        piece = list_pop(&class->cold);
        slabs->idle_bytes -= PAGE_BYTES;
    } else {
        piece = class_extend(class, bytes);
        if (!piece) {
            return NULL;
        }
        slabs->idle_bytes -= idle_before - idle_behind(class);
    }
    ASAN_UNPOISON_MEMORY_REGION(piece, bytes);
    class->out_count++;
    slabs->out_bytes += bytes;
    budget->bytes += bytes;
    if (budget->bytes > budget->bytes_peak) {
        budget->bytes_peak = budget->bytes;
    }
    return piece;
}

void slab_give(struct slabs *slabs, enum budget_term term, void *piece, size_t bytes)
{
    if (!piece) {
        return;
    }
    uint32_t index = class_of(bytes);
    struct slab_class *class = &slabs->classes[index];
    struct budget *budget = &slabs->budgets[term];
    bytes = class_bytes(index);
    uint64_t position = (uint8_t *)piece - class->region;
    assert(position < class->used_bytes && position % bytes == 0); /* ours, and of this size */
    assert(budget->bytes >= bytes);
    budget->bytes -= bytes;
    slabs->out_bytes -= bytes;
    class->out_count--;

    bool cold = bytes >= COLD_BYTES_MIN && (class->warm_count + 1) * bytes > WARM_BYTES_MAX;
    if (cold) { /* but for the page that holds the link */
        (void)madvise((uint8_t *)piece + PAGE_BYTES, bytes - PAGE_BYTES, MADV_DONTNEED);
        list_push(&class->cold, piece);
        slabs->idle_bytes += PAGE_BYTES;
    } else {
        list_push(&class->warm, piece);
        class->warm_count++;
        slabs->idle_bytes += bytes;
    }
    ASAN_POISON_MEMORY_REGION(piece, bytes);
    if (is_over(slabs, 0)) {
        slabs_trim(slabs, 0, bytes);
    }
}

size_t slab_bytes(size_t bytes)
{
    assert(bytes <= SLAB_BYTES_MAX);
    return class_bytes(class_of(bytes));
}

bool slab_recharge(struct slabs *slabs, enum budget_term from, enum budget_term to, size_t bytes)
{
    bytes = slab_bytes(bytes);
    struct budget *lender = &slabs->budgets[from];
    struct budget *taker = &slabs->budgets[to];
    assert(lender->bytes >= bytes);
    if (from == to) {
        return true;
    }
    if (bytes > taker->bytes_max - taker->bytes) {
        return false;
    }
    lender->bytes -= bytes;
    taker->bytes += bytes;
    if (taker->bytes > taker->bytes_peak) {
        taker->bytes_peak = taker->bytes;
    }
    return true;
}
