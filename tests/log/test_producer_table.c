/* Producers by id and by age, against arrays that know the same. */
#include "log/producer_table.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { IDS = 5000 };

static void check_ages(const struct producer_table *table)
{
    uint32_t count = 0, older = NO_PRODUCER;
    int64_t last = -1;
    for (uint32_t place = table->oldest; place != NO_PRODUCER; count++) {
        const struct producer *producer = producer_at(table, place);
        cr_assert_eq(producer->older, older);
        cr_assert_gt(producer->last_timestamp, last);
        last = producer->last_timestamp;
        older = place;
        place = producer->newer;
    }
    cr_assert_eq(count, table->count);
    cr_assert_eq(table->newest, older);
}

Test(producer_table, finds_who_was_added_and_not_removed)
{
    static bool there[IDS];
    struct producer_table table;
    producer_table_init(&table);
    srandom(7);
    uint32_t count = 0;
    for (int64_t step = 0; step < 200000; step++) {
        bool is_growing = step / 40000 % 2 == 0;
        int64_t id = random() % IDS;
        struct producer *producer = producer_table_find(&table, id << 20);
        cr_assert_eq(producer != NULL, there[id]);
        if (!producer && (is_growing || random() % 8 == 0)) {
            producer = producer_table_add(&table, id << 20);
            cr_assert_not_null(producer);
            producer->last_timestamp = step;
            there[id] = true;
            count++;
        } else if (producer && !is_growing) {
            uint32_t place = (uint32_t)random() % table.count;
            there[producer_at(&table, place)->producer_id >> 20] = false;
            producer_table_remove(&table, place);
            count--;
        } else if (producer) {
            producer->last_timestamp = step;
            producer_table_touch(&table, producer);
        }
        cr_assert_eq(table.count, count);
        cr_assert_geq(table.room, table.count);
        cr_assert_lt(table.room - table.count, 2 * PRODUCERS_PER_CHUNK + 1);
        if (step % 10000 == 0) {
            check_ages(&table);
        }
    }
    check_ages(&table);
    while (table.count > 0) {
        producer_table_remove(&table, table.newest);
    }
    cr_assert_eq(table.oldest, NO_PRODUCER);
    cr_assert_null(producer_table_find(&table, 0));
    producer_table_deinit(&table);
}

Test(producer_table, finds_all_after_it_got_its_seed)
{
    struct producer_table table;
    producer_table_init(&table);
    for (int64_t id = 0; id < PRODUCERS_PER_CHUNK; id++) {
        cr_assert_not_null(producer_table_add(&table, id << 50)); /* an ill-chosen lot */
    }
    producer_table_seed(&table, 0x123456789abcdef);
    for (int64_t id = 0; id < PRODUCERS_PER_CHUNK; id++) {
        cr_assert_eq(producer_table_find(&table, id << 50)->producer_id, id << 50);
        cr_assert_null(producer_table_find(&table, (id << 50) + 1));
    }
    producer_table_deinit(&table);
}

Test(producer_table, is_small_for_one)
{
    struct producer_table table;
    producer_table_init(&table);
    cr_assert_not_null(producer_table_add(&table, 4711));
    cr_assert_eq(table.room, 1);
    producer_table_remove(&table, 0);
    cr_assert_null(producer_table_find(&table, 4711));
    producer_table_deinit(&table);
}
