#include "log/epochs.h"

#include <criterion/criterion.h>

static void assign(struct epochs *epochs, int32_t epoch, int64_t start_offset)
{
    cr_assert_eq(epochs_assign(epochs, epoch, start_offset), 1);
}

static void expect_end(const struct epochs *epochs, int32_t asked, int32_t epoch, int64_t end)
{
    struct epoch_end found = epochs_end(epochs, asked, 2000);
    cr_expect_eq(found.epoch, epoch, "asked for %d: epoch %d", asked, found.epoch);
    cr_expect_eq(found.end_offset, end, "asked for %d: %ld", asked, (long)found.end_offset);
}

static struct epochs three(void)
{
    struct epochs epochs;
    epochs_init(&epochs);
    assign(&epochs, 3, 100);
    assign(&epochs, 5, 1200);
    assign(&epochs, 6, 1350);
    return epochs;
}

Test(epochs, answers_as_kafka_does)
{
    struct epochs epochs = three();
    expect_end(&epochs, -1, -1, -1);
    expect_end(&epochs, 2, 2, 100);
    expect_end(&epochs, 3, 3, 1200);
    expect_end(&epochs, 4, 3, 1200);
    expect_end(&epochs, 5, 5, 1350);
    expect_end(&epochs, 6, 6, 2000);
    expect_end(&epochs, 7, -1, -1);
    cr_expect_eq(epochs_latest(&epochs), 6);
    epochs_clear(&epochs);
    expect_end(&epochs, 3, -1, -1);
    cr_expect_eq(epochs_latest(&epochs), -1);
    epochs_deinit(&epochs);
}

Test(epochs, knows_the_epoch_of_an_offset)
{
    struct epochs epochs = three();
    cr_expect_eq(epochs_of(&epochs, 99), -1);
    cr_expect_eq(epochs_of(&epochs, 100), 3);
    cr_expect_eq(epochs_of(&epochs, 1199), 3);
    cr_expect_eq(epochs_of(&epochs, 1200), 5);
    cr_expect_eq(epochs_of(&epochs, 99999), 6);
    epochs_deinit(&epochs);
}

Test(epochs, takes_an_epoch_once)
{
    struct epochs epochs = three();
    cr_expect_eq(epochs_assign(&epochs, 6, 1350), 0);
    cr_expect_eq(epochs_assign(&epochs, 6, 1999), 0);
    cr_expect_eq(epochs.count, 3);
    epochs_deinit(&epochs);
}

Test(epochs, drops_what_contradicts_a_new_one)
{
    struct epochs epochs = three();
    assign(&epochs, 7, 1350); /* the former leader wrote nothing */
    cr_expect_eq(epochs.count, 3);
    cr_expect_eq(epochs_latest(&epochs), 7);
    assign(&epochs, 5, 1300);
    cr_expect_eq(epochs.count, 2);
    assign(&epochs, 9, 50);
    cr_expect_eq(epochs.count, 1);
    cr_expect_eq(epochs.starts[0].start_offset, 50);
    epochs_deinit(&epochs);
}

Test(epochs, ends_where_the_log_ends)
{
    struct epochs epochs = three();
    cr_expect(!epochs_truncate_end(&epochs, 1351));
    cr_expect(epochs_truncate_end(&epochs, 1350));
    cr_expect_eq(epochs_latest(&epochs), 5);
    cr_expect(epochs_truncate_end(&epochs, 0));
    cr_expect_eq(epochs.count, 0);
    epochs_deinit(&epochs);
}

Test(epochs, starts_where_the_log_starts)
{
    struct epochs epochs = three();
    cr_expect(!epochs_truncate_start(&epochs, 50));
    cr_expect(!epochs_truncate_start(&epochs, 100));
    cr_expect(epochs_truncate_start(&epochs, 500));
    cr_expect_eq(epochs.starts[0].epoch, 3);
    cr_expect_eq(epochs.starts[0].start_offset, 500);
    cr_expect(epochs_truncate_start(&epochs, 1200));
    cr_expect_eq(epochs.count, 2);
    cr_expect_eq(epochs.starts[0].epoch, 5);
    cr_expect(epochs_truncate_start(&epochs, 9999));
    cr_expect_eq(epochs.count, 1);
    cr_expect_eq(epochs.starts[0].epoch, 6);
    cr_expect_eq(epochs.starts[0].start_offset, 9999);
    epochs_deinit(&epochs);
}

Test(epochs, forgets_the_oldest_beyond_its_bound)
{
    struct epochs epochs;
    epochs_init(&epochs);
    for (int32_t epoch = 0; epoch < EPOCHS_MAX + 10; epoch++) {
        assign(&epochs, epoch, epoch * 10);
    }
    cr_expect_eq(epochs.count, EPOCHS_MAX);
    cr_expect_eq(epochs.starts[0].epoch, 10);
    cr_expect_eq(epochs_latest(&epochs), EPOCHS_MAX + 9);
    epochs_deinit(&epochs);
}
