#include "core/slab.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint64_t GIB = 1 << 30;

Test(slab, gives_pieces_of_their_class)
{
    cr_assert_eq(slab_bytes(0), 512);
    cr_assert_eq(slab_bytes(512), 512);
    cr_assert_eq(slab_bytes(513), 1024);
    cr_assert_eq(slab_bytes((64 << 10) + 1), 128 << 10);
    cr_assert_eq(slab_bytes(SLAB_BYTES_MAX), SLAB_BYTES_MAX);
}

Test(slab, aligns_pieces_and_lets_all_of_each_be_written)
{
    struct slabs slabs;
    cr_assert_eq(slabs_init(&slabs, 4 * GIB), 0);
    for (size_t bytes = 512; bytes <= 16 << 20; bytes *= 2) {
        uint8_t *first = slab_take(&slabs, BUDGET_TAIL, bytes);
        uint8_t *second = slab_take(&slabs, BUDGET_TAIL, bytes);
        cr_assert_eq((uintptr_t)second % (bytes < 4096 ? bytes : 4096), 0);
        memset(first, 1, bytes);
        memset(second, 2, bytes);
        cr_assert_eq(first[bytes - 1], 1);
        slab_give(&slabs, BUDGET_TAIL, first, bytes);
        slab_give(&slabs, BUDGET_TAIL, second, bytes - 1); /* the same class */
    }
    cr_assert_eq(slabs.budgets[BUDGET_TAIL].bytes, 0);
    slabs_deinit(&slabs);
}

Test(slab, reuses_the_warmest_piece_first)
{
    struct slabs slabs;
    cr_assert_eq(slabs_init(&slabs, GIB), 0);
    void *first = slab_take(&slabs, BUDGET_TAIL, 4096);
    void *second = slab_take(&slabs, BUDGET_TAIL, 4096);
    slab_give(&slabs, BUDGET_TAIL, first, 4096);
    slab_give(&slabs, BUDGET_TAIL, second, 4096);
    cr_assert_eq(slab_take(&slabs, BUDGET_TAIL, 4096), second);
    cr_assert_eq(slab_take(&slabs, BUDGET_TAIL, 4096), first);
    slabs_deinit(&slabs);
}

Test(slab, refuses_at_the_limit_of_a_term_and_leaves_the_others_theirs)
{
    struct slabs slabs;
    cr_assert_eq(slabs_init(&slabs, 10 << 20), 0);
    uint64_t bytes_max = slabs.budgets[BUDGET_FRAMES].bytes_max;
    uint64_t taken = 0;
    while (slab_take(&slabs, BUDGET_FRAMES, 64 << 10)) {
        taken += 64 << 10;
        cr_assert_leq(taken, bytes_max);
    }
    cr_assert_gt(taken + (64 << 10), bytes_max, "not before the limit is reached");
    cr_assert_eq(slabs.budgets[BUDGET_FRAMES].bytes, taken);
    cr_assert_not_null(slab_take(&slabs, BUDGET_TAIL, 64 << 10));
    cr_assert_null(slab_take(&slabs, BUDGET_TAIL, (size_t)SLAB_BYTES_MAX + 1));
    cr_assert_null(slab_take(&slabs, BUDGET_TAIL, SIZE_MAX));
    slab_give(&slabs, BUDGET_TAIL, NULL, 0);
    slabs_deinit(&slabs);
}

Test(slab, moves_a_charge_between_terms)
{
    struct slabs slabs;
    cr_assert_eq(slabs_init(&slabs, 10 << 20), 0);
    void *piece = slab_take(&slabs, BUDGET_FRAMES, 1 << 20);
    cr_assert(slab_recharge(&slabs, BUDGET_FRAMES, BUDGET_TAIL, 1 << 20));
    cr_assert_eq(slabs.budgets[BUDGET_FRAMES].bytes, 0);
    cr_assert_eq(slabs.budgets[BUDGET_TAIL].bytes, 1 << 20);
    cr_assert_not(slab_recharge(&slabs, BUDGET_TAIL, BUDGET_JOURNAL, 1 << 20), "4 %% of 10 MiB");
    cr_assert_eq(slabs.budgets[BUDGET_TAIL].bytes, 1 << 20);
    slab_give(&slabs, BUDGET_TAIL, piece, 1 << 20);
    slabs_deinit(&slabs);
}

/* No mixture of sizes, in whatever order taken and given, runs dry before the budget. */
Test(slab, never_fails_before_its_budget_is_used_up)
{
    enum { PIECES = 4096, STEPS = 20000 };
    static struct {
        void *piece;
        size_t bytes;
    } held[PIECES];
    struct slabs slabs;
    cr_assert_eq(slabs_init(&slabs, 64 << 20), 0);
    struct budget *budget = &slabs.budgets[BUDGET_TAIL];
    srandom(1);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t i = random() % PIECES;
        if (held[i].piece) {
            slab_give(&slabs, BUDGET_TAIL, held[i].piece, held[i].bytes);
            held[i].piece = NULL;
            continue;
        }
        held[i].bytes = 1 + random() % (1u << random() % 24);
        uint64_t before = budget->bytes;
        held[i].piece = slab_take(&slabs, BUDGET_TAIL, held[i].bytes);
        bool fits = before + slab_bytes(held[i].bytes) <= budget->bytes_max;
        cr_assert_eq(held[i].piece != NULL, fits);
    }
    cr_assert_geq(budget->bytes_peak, budget->bytes);
    slabs_deinit(&slabs);
}

static uint64_t resident_bytes(void)
{
    char text[128] = "", *second;
    FILE *statm = fopen("/proc/self/statm", "r");
    cr_assert_not_null(fgets(text, sizeof(text), statm));
    fclose(statm);
    (void)strtoull(text, &second, 10); /* the first number is the size */
    return strtoull(second, NULL, 10) * sysconf(_SC_PAGESIZE);
}

Test(slab, returns_large_idle_pieces_to_the_kernel)
{
    enum { PIECES = 160, PIECE_BYTES = 2 << 20, WARM_BYTES = 128 << 20 };
    struct slabs slabs;
    cr_assert_eq(slabs_init(&slabs, GIB), 0);
    uint64_t before = resident_bytes();
    void *pieces[PIECES];
    for (uint32_t i = 0; i < PIECES; i++) {
        pieces[i] = slab_take(&slabs, BUDGET_TAIL, PIECE_BYTES);
        memset(pieces[i], 1, PIECE_BYTES);
    }
    cr_assert_gt(resident_bytes(), before + 300 * (1 << 20));
    for (uint32_t i = 0; i < PIECES; i++) {
        slab_give(&slabs, BUDGET_TAIL, pieces[i], PIECE_BYTES);
    }
    /* a sanitizer keeps its shadow, an eighth */
    cr_assert_lt(resident_bytes(), before + WARM_BYTES + 48 * (1 << 20));
    slabs_deinit(&slabs);
}

/* As clients do who send frames of one size after frames of another: each class has had all of it. */
Test(slab, keeps_no_more_touched_than_the_budget)
{
    enum { BUDGET_BYTES = 64 << 20, PIECES = BUDGET_BYTES / SLAB_BYTES_MIN };
    static void *pieces[PIECES];
    struct slabs slabs;
    cr_assert_eq(slabs_init(&slabs, BUDGET_BYTES), 0);
    struct budget *budget = &slabs.budgets[BUDGET_FRAMES];
    budget->bytes_max = BUDGET_BYTES / 2;
    uint64_t before = resident_bytes();
    for (int lap = 0; lap < 3; lap++) {
        for (size_t bytes = SLAB_BYTES_MIN; bytes <= 1 << 20; bytes *= 2) {
            uint32_t count = 0;
            while ((pieces[count] = slab_take(&slabs, BUDGET_FRAMES, bytes))) {
                memset(pieces[count++], 1, bytes);
            }
            cr_assert_eq(budget->bytes, budget->bytes_max);
            while (count > 0) {
                slab_give(&slabs, BUDGET_FRAMES, pieces[--count], bytes);
            }
            cr_assert_eq(slabs.out_bytes, 0);
            cr_assert_leq(slabs.idle_bytes, BUDGET_BYTES);
            /* a sanitizer keeps its shadow, an eighth of all that was ever touched: 48 MiB */
            cr_assert_leq(resident_bytes(), before + 2 * BUDGET_BYTES, "%zu", bytes);
        }
    }
    slabs_deinit(&slabs);
}

/* What went back is as good as new, and a class that began anew gives no piece twice. */
Test(slab, gives_each_piece_to_one_when_memory_comes_and_goes)
{
    enum { PIECES = 6000, STEPS = 300000 };
    static struct {
        uint32_t *piece;
        size_t bytes;
    } held[PIECES];
    struct slabs slabs;
    cr_assert_eq(slabs_init(&slabs, 16 << 20), 0);
    struct budget *budget = &slabs.budgets[BUDGET_TAIL];
    budget->bytes_max = 15 << 20;
    srandom(2);
    uint32_t shift = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t i = random() % PIECES;
        shift = step % 10000 ? shift : random() % 10; /* the sizes of the hour */
        if (held[i].piece) {
            cr_assert_eq(held[i].piece[0], i);
            cr_assert_eq(held[i].piece[held[i].bytes / 4 - 1], i);
            slab_give(&slabs, BUDGET_TAIL, held[i].piece, held[i].bytes);
            held[i].piece = NULL;
        } else {
            held[i].bytes = (size_t)SLAB_BYTES_MIN << (shift + random() % 2);
            held[i].piece = slab_take(&slabs, BUDGET_TAIL, held[i].bytes);
            if (held[i].piece) {
                held[i].piece[0] = held[i].piece[held[i].bytes / 4 - 1] = i;
            }
        }
        cr_assert_eq(slabs.out_bytes, budget->bytes);
    }
    slabs_deinit(&slabs);
}

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>

Test(slab, shows_a_use_of_what_was_given_back)
{
    struct slabs slabs;
    cr_assert_eq(slabs_init(&slabs, GIB), 0);
    for (size_t bytes = 512; bytes <= 16 << 20; bytes *= 32) {
        uint8_t *piece = slab_take(&slabs, BUDGET_TAIL, bytes);
        cr_assert_null(__asan_region_is_poisoned(piece, bytes));
        slab_give(&slabs, BUDGET_TAIL, piece, bytes);
        cr_assert(__asan_address_is_poisoned(piece));
        cr_assert(__asan_address_is_poisoned(piece + bytes - 1));
        cr_assert_eq(slab_take(&slabs, BUDGET_TAIL, bytes), piece);
        cr_assert_null(__asan_region_is_poisoned(piece, bytes));
    }
    slabs_deinit(&slabs);
}
#endif
