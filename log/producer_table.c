#include "log/producer_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS_PER_PAGE = 1024, /* a small table has less: 4, 8, ... */
    BUCKETS_FIRST = 4,
    POINTERS_FIRST = 4,
};

void producer_table_init(struct producer_table *table)
{
    *table = (struct producer_table){.oldest = NO_PRODUCER, .newest = NO_PRODUCER};
}

void producer_table_deinit(struct producer_table *table)
{
    for (uint32_t from = 0; from < table->room; from += PRODUCERS_PER_CHUNK) {
        free(table->chunks[from / PRODUCERS_PER_CHUNK]);
    }
    for (uint32_t from = 0; from < table->buckets_room; from += BUCKETS_PER_PAGE) {
        free(table->buckets[from / BUCKETS_PER_PAGE]);
    }
    free(table->chunks);
    free(table->buckets);
    uint64_t seed = table->seed;
    producer_table_init(table);
    table->seed = seed;
}

/* -- buckets ----------------------------------------------------------------------------------- */

static uint32_t *bucket_at(const struct producer_table *table, uint32_t bucket)
{
    return &table->buckets[bucket / BUCKETS_PER_PAGE][bucket % BUCKETS_PER_PAGE];
}

/* The largest power of two that is not above it. */
static uint32_t power_floor(uint32_t number)
{
    return UINT32_C(1) << (31 - __builtin_clz(number));
}

static uint32_t bucket_of(const struct producer_table *table, int64_t producer_id)
{
    uint64_t mixed = (uint64_t)producer_id ^ table->seed; /* MurmurHash3's last steps */
    mixed = (mixed ^ mixed >> 33) * UINT64_C(0xff51afd7ed558ccd);
    mixed = (mixed ^ mixed >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    uint32_t hash = (uint32_t)(mixed ^ mixed >> 33);
    uint32_t power = power_floor(table->buckets_count);
    uint32_t bucket = hash & (2 * power - 1);
    return bucket < table->buckets_count ? bucket : hash & (power - 1);
}

/* The link that names the place, or would name the id. */
static uint32_t *link_to(const struct producer_table *table, int64_t producer_id)
{
    uint32_t *link = bucket_at(table, bucket_of(table, producer_id));
    while (*link != NO_PRODUCER && producer_at(table, *link)->producer_id != producer_id) {
        link = &producer_at(table, *link)->next;
    }
    return link;
}

struct producer *producer_table_find(const struct producer_table *table, int64_t producer_id)
{
    if (table->count == 0) {
        return NULL;
    }
    uint32_t place = *link_to(table, producer_id);
    return place == NO_PRODUCER ? NULL : producer_at(table, place);
}

void producer_table_seed(struct producer_table *table, uint64_t seed)
{
    assert(table->count <= PRODUCERS_PER_CHUNK);
    table->seed = seed;
    for (uint32_t bucket = 0; bucket < table->buckets_count; bucket++) {
        *bucket_at(table, bucket) = NO_PRODUCER;
    }
    for (uint32_t place = 0; place < table->count; place++) {
        struct producer *producer = producer_at(table, place);
        producer->next = NO_PRODUCER;
        *link_to(table, producer->producer_id) = place;
    }
}

/* Room for one more pointer to a page or chunk. NULL: out of memory */
static void *pointers_grow(void *pointers, uint32_t count, uint32_t *room)
{
    if (count < *room) {
        return pointers;
    }
    uint32_t larger = *room ? *room * 2 : POINTERS_FIRST;
    void *grown = realloc(pointers, larger * sizeof(void *));
    *room = grown ? larger : *room;
    return grown;
}

static bool buckets_make_room(struct producer_table *table)
{
    if (table->buckets_count < table->buckets_room) {
        return true;
    }
    uint32_t page = table->buckets_room / BUCKETS_PER_PAGE;
    uint32_t **pages = pointers_grow(table->buckets, page, &table->pages_room);
    if (!pages) {
        return false;
    }
    table->buckets = pages;
    uint32_t room = BUCKETS_PER_PAGE;
    if (table->buckets_room < BUCKETS_PER_PAGE) { /* the first one */
        room = table->buckets_room ? table->buckets_room * 2 : BUCKETS_FIRST;
    }
    bool is_first = table->buckets_room < BUCKETS_PER_PAGE;
    uint32_t *grown =
        realloc(is_first && table->buckets_room ? pages[0] : NULL, room * sizeof(*grown));
    if (!grown) {
        return false;
    }
    pages[is_first ? 0 : page] = grown;
    table->buckets_room = is_first ? room : table->buckets_room + room;
    return true;
}

/* One bucket more: the one it was part of is shared out. */
static void bucket_split(struct producer_table *table)
{
    uint32_t added = table->buckets_count;
    *bucket_at(table, added) = NO_PRODUCER;
    table->buckets_count++;
    if (added == 0) {
        return;
    }
    uint32_t *link = bucket_at(table, added & (power_floor(added) - 1));
    uint32_t *to = bucket_at(table, added);
    while (*link != NO_PRODUCER) {
        struct producer *producer = producer_at(table, *link);
        if (bucket_of(table, producer->producer_id) == added) {
            *to = *link;
            to = &producer->next;
            *link = producer->next;
        } else {
            link = &producer->next;
        }
    }
    *to = NO_PRODUCER;
}

/* -- ages -------------------------------------------------------------------------------------- */

static void age_unlink(struct producer_table *table, const struct producer *producer)
{
    if (producer->older == NO_PRODUCER) {
        table->oldest = producer->newer;
    } else {
        producer_at(table, producer->older)->newer = producer->newer;
    }
    if (producer->newer == NO_PRODUCER) {
        table->newest = producer->older;
    } else {
        producer_at(table, producer->newer)->older = producer->older;
    }
}

static void age_link_newest(struct producer_table *table, uint32_t place)
{
    struct producer *producer = producer_at(table, place);
    producer->older = table->newest;
    producer->newer = NO_PRODUCER;
    if (table->newest == NO_PRODUCER) {
        table->oldest = place;
    } else {
        producer_at(table, table->newest)->newer = place;
    }
    table->newest = place;
}

void producer_table_touch(struct producer_table *table, struct producer *producer)
{
    if (producer->newer != NO_PRODUCER) {
        uint32_t place = producer_at(table, producer->newer)->older;
        age_unlink(table, producer);
        age_link_newest(table, place);
    }
}

/* -- coming and going -------------------------------------------------------------------------- */

static bool chunks_make_room(struct producer_table *table)
{
    if (table->count < table->room) {
        return true;
    }
    uint32_t chunk = table->room / PRODUCERS_PER_CHUNK;
    struct producer **chunks = pointers_grow(table->chunks, chunk, &table->chunks_room);
    if (!chunks) {
        return false;
    }
    table->chunks = chunks;
    bool is_first = table->room < PRODUCERS_PER_CHUNK;
    uint32_t room = is_first ? (table->room ? table->room * 2 : 1) : PRODUCERS_PER_CHUNK;
    struct producer *grown =
        realloc(is_first && table->room ? chunks[0] : NULL, room * sizeof(*grown));
    if (!grown) {
        return false;
    }
    chunks[is_first ? 0 : chunk] = grown;
    table->room = is_first ? room : table->room + room;
    return true;
}

struct producer *producer_table_add(struct producer_table *table, int64_t producer_id)
{
    if (!buckets_make_room(table) || !chunks_make_room(table)) {
        return NULL;
    }
    if (table->buckets_count <= table->count) { /* one producer a bucket, on average */
        bucket_split(table);
    }
    uint32_t *link = link_to(table, producer_id);
    assert(*link == NO_PRODUCER);
    uint32_t place = table->count++;
    struct producer *producer = producer_at(table, place);
    *producer = (struct producer){.producer_id = producer_id, .next = NO_PRODUCER};
    *link = place;
    age_link_newest(table, place);
    return producer;
}

void producer_table_remove(struct producer_table *table, uint32_t place)
{
    struct producer *producer = producer_at(table, place);
    age_unlink(table, producer);
    *link_to(table, producer->producer_id) = producer->next;
    uint32_t last = --table->count;
    if (place != last) { /* the last one takes its place */
        *link_to(table, producer_at(table, last)->producer_id) = place;
        *producer = *producer_at(table, last);
        if (producer->older == NO_PRODUCER) {
            table->oldest = place;
        } else {
            producer_at(table, producer->older)->newer = place;
        }
        if (producer->newer == NO_PRODUCER) {
            table->newest = place;
        } else {
            producer_at(table, producer->newer)->older = place;
        }
    }
    if (table->room - table->count >= 2 * PRODUCERS_PER_CHUNK) {
        table->room -= PRODUCERS_PER_CHUNK;
        free(table->chunks[table->room / PRODUCERS_PER_CHUNK]);
    }
}
