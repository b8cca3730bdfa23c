/*
 * table -- a hash table that never stops to grow.
 *
 *      buckets   | split in two | not yet split | what came out of the first |
 *                0              buddy           half                         count
 *
 * Linear hashing: each entry added splits at most one bucket. So no step is longer than the others,
 * however large the table gets, and buckets are touched when they begin to be used. Entries embed a
 * link. Buckets are drawn from an arena and given back with it. Its hash has a seed: whoever
 * chooses the entries does not know it, and cannot gather them in one bucket.
 */
#ifndef CORE_TABLE_H
#define CORE_TABLE_H

#include "core/arena.h"

#include <stdbool.h>

struct table_link {
    struct table_link *next;
    uint32_t hash;
};

enum { TABLE_SEGMENTS = 26 };

struct table {
    uint32_t entries_count;

    /* table.c only */
    struct arena *arena;
    uint32_t seed;
    uint32_t buckets_count;
    struct table_link **segments[TABLE_SEGMENTS]; /* each as large as all before it */
};

/* Draws nothing yet. The arena outlives the table. */
void table_init(struct table *table, struct arena *arena, uint32_t seed);

/* Of some bytes and a number. */
uint32_t table_hash(const struct table *table, const void *bytes, size_t count, uint32_t number);

/* Those with this hash, one after the other; NULL at the end. */
struct table_link *table_first(const struct table *table, uint32_t hash);
struct table_link *table_next(const struct table_link *link);

/* False: no memory. */
[[nodiscard]] bool table_add(struct table *table, struct table_link *link, uint32_t hash);
/* It is in the table. */
void table_remove(struct table *table, struct table_link *link);

#endif
