#include "core/metrics.h"

static const struct metric_name metric_names[METRICS] = {
#define COUNTER(NAME, name, help) [METRIC_##NAME] = {name, help, true},
#define GAUGE(NAME, name, help) [METRIC_##NAME] = {name, help, false},
#define HISTOGRAM(NAME, name, help)
#include "core/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
};

static const struct metric_name histogram_names[HISTOGRAMS] = {
#define COUNTER(NAME, name, help)
#define GAUGE(NAME, name, help)
#define HISTOGRAM(NAME, name, help) [HISTOGRAM_##NAME] = {name, help, true},
#include "core/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
};

static void add(_Atomic uint64_t *value, uint64_t amount) /* one writer: no locked instruction */
{
    uint64_t before = atomic_load_explicit(value, memory_order_relaxed);
    atomic_store_explicit(value, before + amount, memory_order_relaxed);
}

void metric_observe(struct metrics *metrics, enum histogram histogram, uint64_t value)
{
    uint32_t bucket = value ? 64 - __builtin_clzll(value) : 0;
    add(&metrics->histograms[histogram].buckets[bucket], 1);
    add(&metrics->histograms[histogram].sum, value);
    add(&metrics->histograms[histogram].count, 1);
}

uint64_t metric_value(const struct metrics *metrics, enum metric metric)
{
    return atomic_load_explicit(&metrics->values[metric], memory_order_relaxed);
}

const struct metric_name *metric_name(enum metric metric)
{
    return &metric_names[metric];
}

const struct metric_name *histogram_name(enum histogram histogram)
{
    return &histogram_names[histogram];
}
