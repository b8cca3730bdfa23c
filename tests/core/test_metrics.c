#include "core/metrics.h"

#include <criterion/criterion.h>
#include <string.h>

Test(metrics, count_and_are_set)
{
    static struct metrics metrics;
    metric_add(&metrics, METRIC_REQUESTS, 2);
    metric_add(&metrics, METRIC_REQUESTS, 3);
    metric_set(&metrics, METRIC_CONNECTIONS, 7);
    cr_assert_eq(metric_value(&metrics, METRIC_REQUESTS), 5);
    cr_assert_eq(metric_value(&metrics, METRIC_CONNECTIONS), 7);
}

Test(metrics, put_each_value_into_the_bucket_of_its_bits)
{
    static struct metrics metrics;
    static const uint64_t values[] = {0, 1, 2, 3, 4, 255, 256, UINT64_MAX};
    static const uint32_t buckets[] = {0, 1, 2, 2, 3, 8, 9, 64};
    for (uint32_t i = 0; i < 8; i++) {
        uint64_t before = metrics.histograms[HISTOGRAM_COMMIT_US].buckets[buckets[i]];
        metric_observe(&metrics, HISTOGRAM_COMMIT_US, values[i]);
        cr_assert_eq(metrics.histograms[HISTOGRAM_COMMIT_US].buckets[buckets[i]], before + 1);
    }
    cr_assert_eq(metrics.histograms[HISTOGRAM_COMMIT_US].count, 8);
    cr_assert_eq(metrics.histograms[HISTOGRAM_COMMIT_US].sum, 0 + 1 + 2 + 3 + 4 + 255 + 256 - 1);
}

Test(metrics, all_have_a_name_and_help)
{
    for (uint32_t i = 0; i < METRICS; i++) {
        const struct metric_name *name = metric_name(i);
        cr_assert_eq(strncmp(name->name, "odradek_", 8), 0);
        cr_assert_neq(name->help[0], '\0');
        size_t bytes = strlen(name->name);
        bool total = bytes > 6 && strcmp(name->name + bytes - 6, "_total") == 0;
        cr_assert_eq(total, name->grows, "%s", name->name);
    }
    for (uint32_t i = 0; i < HISTOGRAMS; i++) {
        cr_assert_eq(strncmp(histogram_name(i)->name, "odradek_", 8), 0);
    }
}
