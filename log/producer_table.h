/*
 * producer_table -- a log's producers, found by id, and in the order in which they wrote.
 *
 *      id --> bucket --> place --> place ...       chunks   [64 producers] [64] [..  ]
 *      oldest writer <--> ... <--> newest          places   0 ............... count-1
 *
 * Places are dense: the last producer takes that of one that goes. The table grows by one chunk, or
 * one bucket's split (linear hashing), at a time, so no step is long however many there are.
 * Held by struct producers; nobody else looks inside.
 */
#ifndef LOG_PRODUCER_TABLE_H
#define LOG_PRODUCER_TABLE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PRODUCER_BATCHES_MAX = 5, /* Kafka's: a producer has at most five requests in flight */
    PRODUCERS_PER_CHUNK = 64, /* a small table has less: 1, 2, 4, ... */
};
#define NO_PRODUCER UINT32_MAX

struct producer_batch {
    int32_t last_sequence;
    int32_t offset_delta; /* last offset - base offset */
    int64_t last_offset;
    int64_t timestamp; /* largest of its records */
};

struct producer {
    int64_t producer_id;
    int16_t producer_epoch;
    uint8_t batches_count;
    int32_t coordinator_epoch; /* of the last marker; -1: none yet */
    int64_t last_timestamp;    /* of its newest batch or marker: expiry counts from here */
    int64_t txn_first_offset;  /* -1: no open transaction */
    struct producer_batch batches[PRODUCER_BATCHES_MAX]; /* oldest first */
    uint32_t touched_s;                                  /* when it wrote last, by our clock */

    /* producer_table.c only: places */
    uint32_t older, newer;
    uint32_t next; /* in its bucket */
};

struct producer_table {
    uint32_t count;
    uint32_t oldest, newest; /* places; NO_PRODUCER: none */

    /* producer_table.c only */
    uint64_t seed;
    struct producer **chunks; /* [chunks_room] */
    uint32_t chunks_room;
    uint32_t room;      /* for producers */
    uint32_t **buckets; /* pages of first places */
    uint32_t pages_room;
    uint32_t buckets_count, buckets_room;
};

void producer_table_init(struct producer_table *table);
void producer_table_deinit(struct producer_table *table);
/* Clients choose ids: who does not know the seed cannot gather them in one bucket. While the table
 * is small; all in it are linked anew. */
void producer_table_seed(struct producer_table *table, uint64_t seed);

static inline struct producer *producer_at(const struct producer_table *table, uint32_t place)
{
    return &table->chunks[place / PRODUCERS_PER_CHUNK][place % PRODUCERS_PER_CHUNK];
}

/* Pointers and places are good until a producer is added or goes. NULL: not there. */
struct producer *producer_table_find(const struct producer_table *table, int64_t producer_id);
/* One that is not there, as the newest: all zero but for its id. NULL: out of memory. */
struct producer *producer_table_add(struct producer_table *table, int64_t producer_id);
/* It is the newest writer now. */
void producer_table_touch(struct producer_table *table, struct producer *producer);
void producer_table_remove(struct producer_table *table, uint32_t place);

#endif
