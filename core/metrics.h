/*
 * metrics -- what a reactor counts, from one table (core/metrics.def).
 *
 * Written by its reactor with plain relaxed stores, read by anyone. Bucket n of a histogram counts
 * values of n significant bits.
 */
#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum metric {
#define COUNTER(NAME, name, help) METRIC_##NAME,
#define GAUGE(NAME, name, help) METRIC_##NAME,
#define HISTOGRAM(NAME, name, help)
#include "core/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
    METRICS
};

enum histogram {
#define COUNTER(NAME, name, help)
#define GAUGE(NAME, name, help)
#define HISTOGRAM(NAME, name, help) HISTOGRAM_##NAME,
#include "core/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
    HISTOGRAMS
};

enum { HISTOGRAM_BUCKETS = 65 };

struct metrics {
    _Atomic uint64_t values[METRICS];
    struct {
        _Atomic uint64_t count, sum;
        _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
    } histograms[HISTOGRAMS];
};

static inline void metric_add(struct metrics *metrics, enum metric metric, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(&metrics->values[metric], memory_order_relaxed);
    atomic_store_explicit(&metrics->values[metric], value + amount, memory_order_relaxed);
}

static inline void metric_set(struct metrics *metrics, enum metric metric, uint64_t value)
{
    atomic_store_explicit(&metrics->values[metric], value, memory_order_relaxed);
}

void metric_observe(struct metrics *metrics, enum histogram histogram, uint64_t value);

/* For those who read, on any thread. */
struct metric_name {
    const char *name, *help;
    bool grows; /* a counter or histogram; else a gauge */
};
uint64_t metric_value(const struct metrics *metrics, enum metric metric);
const struct metric_name *metric_name(enum metric metric);
const struct metric_name *histogram_name(enum histogram histogram);

#endif
