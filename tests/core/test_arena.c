#include "core/arena.h"

#include <criterion/criterion.h>
#include <string.h>

Test(arena, gives_aligned_pieces_that_do_not_overlap)
{
    struct memory memory;
    memory_init_heap(&memory);
    struct arena arena;
    arena_init(&arena, &memory, 1 << 20);
    uint8_t *pieces[200];
    for (int i = 0; i < 200; i++) {
        pieces[i] = arena_take(&arena, (size_t)i);
        cr_assert_not_null(pieces[i]);
        cr_assert_eq((uintptr_t)pieces[i] % 8, 0);
        memset(pieces[i], i, (size_t)i);
    }
    for (int i = 0; i < 200; i++) {
        for (int j = 0; j < i; j++) {
            cr_assert_eq(pieces[i][j], i);
        }
    }
    arena_give_all(&arena);
}

Test(arena, refuses_what_is_beyond_its_limit)
{
    struct memory memory;
    memory_init_heap(&memory);
    struct arena arena;
    arena_init(&arena, &memory, 4096);
    cr_assert_null(arena_take(&arena, SIZE_MAX));
    cr_assert_null(arena_take(&arena, 4097));
    size_t taken = 0;
    while (arena_take(&arena, 64)) {
        taken += 64;
    }
    cr_assert_geq(taken, 2048, "most of the limit can be had");
    cr_assert_leq(arena.bytes, 4096);
    arena_give_all(&arena);
}

Test(arena, draws_nothing_before_its_first_take)
{
    struct memory memory;
    memory_init_heap(&memory);
    struct arena arena;
    arena_init(&arena, &memory, 4096);
    cr_assert_eq(arena.bytes, 0);
    cr_assert_not_null(arena_take(&arena, 8));
    cr_assert_gt(arena.bytes, 0);
    arena_give_all(&arena);
    cr_assert_eq(arena.bytes, 0);
}

Test(arena, can_be_used_again_after_it_gave_all)
{
    struct memory memory;
    memory_init_heap(&memory);
    struct arena arena;
    arena_init(&arena, &memory, 100000);
    for (int i = 0; i < 10; i++) {
        cr_assert_not_null(arena_take(&arena, 90000));
        arena_give_all(&arena);
    }
}

static void *none_take(struct memory *memory, size_t bytes, size_t *granted)
{
    return NULL;
}

Test(arena, says_so_when_its_source_is_dry)
{
    struct memory memory = {.take = none_take};
    struct arena arena;
    arena_init(&arena, &memory, 4096);
    cr_assert_null(arena_take(&arena, 8));
    cr_assert_null(arena_take(&arena, 8));
    arena_give_all(&arena);
}

Test(arena, gives_back_a_large_one_in_parts)
{
    struct memory memory;
    struct arena arena;
    memory_init_heap(&memory);
    arena_init(&arena, &memory, 1 << 20);
    for (int i = 0; i < 8; i++) {
        cr_assert_not_null(arena_take(&arena, 100 << 10));
    }
    uint32_t parts = 1;
    while (!arena_give_some(&arena, 3)) {
        parts++;
    }
    cr_assert_eq(parts, 3);
    cr_assert_eq(arena.bytes, 0);
    cr_assert_not_null(arena_take(&arena, 100));
    arena_give_all(&arena);
}
