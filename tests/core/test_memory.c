#include "core/memory.h"

#include <criterion/criterion.h>

#include "core/arena.h"
#include "core/writer.h"

Test(memory, from_slabs_is_charged_to_its_term)
{
    struct slabs slabs;
    struct memory memory;
    struct arena arena;
    struct writer writer;
    cr_assert_eq(slabs_init(&slabs, 16 << 20), 0);
    memory_init_slabs(&memory, &slabs, BUDGET_SCRATCH);
    arena_init(&arena, &memory, PTRDIFF_MAX);
    writer_init(&writer, &memory, PTRDIFF_MAX);

    cr_assert_not_null(arena_take(&arena, 100));
    for (int i = 0; i < 10000; i++) {
        writer_int64(&writer, i);
    }
    cr_assert(writer_finish(&writer));
    cr_assert_eq(slabs.budgets[BUDGET_SCRATCH].bytes, arena.bytes + writer.taken);
    arena_give_all(&arena);
    writer_give_all(&writer);
    cr_assert_eq(slabs.budgets[BUDGET_SCRATCH].bytes, 0);
    slabs_deinit(&slabs);
}

Test(memory, from_slabs_ends_at_the_terms_limit)
{
    struct slabs slabs;
    struct memory memory;
    struct arena arena;
    cr_assert_eq(slabs_init(&slabs, 16 << 20), 0);
    memory_init_slabs(&memory, &slabs, BUDGET_SCRATCH);
    arena_init(&arena, &memory, PTRDIFF_MAX);
    cr_assert_null(arena_take(&arena, (size_t)SLAB_BYTES_MAX * 2),
                   "more than there is in one piece");
    while (arena_take(&arena, 1000)) {
    }
    cr_assert_leq(slabs.budgets[BUDGET_SCRATCH].bytes, slabs.budgets[BUDGET_SCRATCH].bytes_max);
    arena_give_all(&arena);
    cr_assert_not_null(arena_take(&arena, 1000));
    arena_give_all(&arena);
    slabs_deinit(&slabs);
}
