#include "core/table.h"

#include <assert.h>

enum { FIRST_SEGMENT_BITS = 4, FIRST_SEGMENT = 1 << FIRST_SEGMENT_BITS };

void table_init(struct table *table, struct arena *arena, uint32_t seed)
{
    *table = (struct table){.arena = arena, .seed = seed};
}

uint32_t table_hash(const struct table *table, const void *bytes, size_t count, uint32_t number)
{
    uint32_t hash = 2166136261 ^ table->seed; /* FNV-1a */
    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 16777619;
    }
    hash ^= number; /* and Murmur's last step, so that each bit has its part in all others */
    hash = (hash ^ hash >> 16) * 0x85ebca6b;
    hash = (hash ^ hash >> 13) * 0xc2b2ae35;
    return hash ^ hash >> 16;
}

/* The largest power of two that is at most this. */
static uint32_t floor_bits(uint32_t number)
{
    return 31 - (uint32_t)__builtin_clz(number);
}

/* The segment of a bucket, and its place there. */
static uint32_t segment_of(uint32_t bucket, uint32_t *at)
{
    if (bucket < FIRST_SEGMENT) {
        *at = bucket;
        return 0;
    }
    uint32_t bits = floor_bits(bucket);
    *at = bucket - (1U << bits);
    return bits - FIRST_SEGMENT_BITS + 1;
}

static struct table_link **bucket_at(const struct table *table, uint32_t bucket)
{
    uint32_t at;
    uint32_t segment = segment_of(bucket, &at);
    return &table->segments[segment][at];
}

static struct table_link **bucket_of(const struct table *table, uint32_t hash)
{
    uint32_t half = 1U << floor_bits(table->buckets_count);
    uint32_t bucket = hash & (2 * half - 1);
    return bucket_at(table, bucket < table->buckets_count ? bucket : bucket & (half - 1));
}

static struct table_link *with_hash(struct table_link *link, uint32_t hash)
{
    while (link && link->hash != hash) {
        link = link->next;
    }
    return link;
}

struct table_link *table_first(const struct table *table, uint32_t hash)
{
    return table->buckets_count > 0 ? with_hash(*bucket_of(table, hash), hash) : NULL;
}

struct table_link *table_next(const struct table_link *link)
{
    return with_hash(link->next, link->hash);
}

/* One bucket more: takes its part of the one that stood for it until now. */
static bool table_grow(struct table *table)
{
    uint32_t bucket = table->buckets_count, at;
    uint32_t segment = segment_of(bucket, &at);
    if (segment == TABLE_SEGMENTS) {
        return true; /* chains grow instead; no budget lets it come to that */
    }
    if (at == 0) {
        size_t count = segment == 0 ? FIRST_SEGMENT : bucket;
        table->segments[segment] = arena_take(table->arena, count * sizeof(struct table_link *));
        if (!table->segments[segment]) {
            return false;
        }
    }
    struct table_link **to = bucket_at(table, bucket);
    *to = NULL;
    table->buckets_count++;
    if (bucket == 0) {
        return true;
    }
    uint32_t half = 1U << floor_bits(bucket);
    struct table_link **from = bucket_at(table, bucket - half);
    while (*from) {
        struct table_link *link = *from;
        if (link->hash & half) {
            *from = link->next;
            link->next = *to;
            *to = link;
        } else {
            from = &link->next;
        }
    }
    return true;
}

bool table_add(struct table *table, struct table_link *link, uint32_t hash)
{
    if (table->entries_count >= table->buckets_count && !table_grow(table)) {
        return false;
    }
    struct table_link **bucket = bucket_of(table, hash);
    *link = (struct table_link){.next = *bucket, .hash = hash};
    *bucket = link;
    table->entries_count++;
    return true;
}

void table_remove(struct table *table, struct table_link *link)
{
    struct table_link **at = bucket_of(table, link->hash);
    while (*at != link) {
        assert(*at);
        at = &(*at)->next;
    }
    *at = link->next;
    table->entries_count--;
}
