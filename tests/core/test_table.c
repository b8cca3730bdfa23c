#include "core/table.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { ENTRIES = 20000 };

struct entry {
    struct table_link link;
    uint32_t number;
    bool found;
};

static uint32_t hash_of(const struct table *table, uint32_t number)
{
    return table_hash(table, "name", 4, number);
}

static struct entry *find(const struct table *table, uint32_t number)
{
    for (struct table_link *link = table_first(table, hash_of(table, number)); link;
         link = table_next(link)) {
        struct entry *entry = (struct entry *)link;
        if (entry->number == number) {
            return entry;
        }
    }
    return NULL;
}

Test(table, finds_all_that_was_added_and_not_removed)
{
    struct memory memory;
    struct arena arena;
    struct table table;
    memory_init_heap(&memory);
    arena_init(&arena, &memory, 1 << 20);
    table_init(&table, &arena, 12345);
    cr_assert_null(find(&table, 0));
    struct entry *entries = calloc(ENTRIES, sizeof *entries);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        entries[i].number = i;
        cr_assert(table_add(&table, &entries[i].link, hash_of(&table, i)));
        uint32_t other = i * 7919 % (i + 1);
        cr_assert_eq(find(&table, other), &entries[other]);
    }
    for (uint32_t i = 0; i < ENTRIES; i += 2) {
        table_remove(&table, &entries[i].link);
    }
    cr_assert_eq(table.entries_count, ENTRIES / 2);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        cr_assert_eq(find(&table, i), i % 2 ? &entries[i] : NULL);
    }
    free(entries);
    arena_give_all(&arena);
}

/* Numbers that a client may choose: far apart, so that their low bits are the same. */
Test(table, does_not_gather_chosen_numbers_in_one_bucket)
{
    struct memory memory;
    struct arena arena;
    struct table table;
    memory_init_heap(&memory);
    arena_init(&arena, &memory, 1 << 20);
    table_init(&table, &arena, 99);
    struct entry *entries = calloc(ENTRIES, sizeof *entries);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        cr_assert(table_add(&table, &entries[i].link, hash_of(&table, i << 17)));
    }
    uint32_t longest = 0;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t length = 0;
        for (struct table_link *link = &entries[i].link; link; link = link->next) {
            length++;
        }
        longest = length > longest ? length : longest;
    }
    cr_assert_lt(longest, 64);
    free(entries);
    arena_give_all(&arena);
}

Test(table, refuses_an_entry_when_there_is_no_memory_and_keeps_the_others)
{
    struct memory memory;
    struct arena arena;
    struct table table;
    struct entry entries[600] = {0};
    memory_init_heap(&memory);
    arena_init(&arena, &memory, 1024);
    table_init(&table, &arena, 1);
    uint32_t added = 0;
    while (added < 600 && table_add(&table, &entries[added].link, hash_of(&table, added))) {
        entries[added].number = added;
        added++;
    }
    cr_assert(added > 16 && added < 600);
    for (uint32_t i = 0; i < added; i++) {
        cr_assert_eq(find(&table, i), &entries[i]);
    }
    arena_give_all(&arena);
}
