/*
 * producers -- what one log knows of the producers that wrote to it: enough to recognise a retry,
 * to notice a gap, and to fence a former incarnation.
 *
 *     producer id -> epoch, its last five batches (sequences and offsets), open transaction
 *
 * A batch counts as known from the moment it is appended, before it is durable: a retry that
 * arrives meanwhile is found, and its offset tells the caller that it is still pending.
 *
 * Held: one table per log, growing with the producers up to producers_max; then the one that wrote
 * longest ago goes (an open transaction keeps its producer). Kafka forgets by time alone, which
 * lets one client with ever new ids fill the memory.
 * Lives on the shard that owns the log.
 */
#ifndef LOG_PRODUCERS_H
#define LOG_PRODUCERS_H

#include "log/batch.h"
#include "log/refusal.h"

enum {
    PRODUCER_BATCHES_MAX = 5,      /* Kafka's: a producer has at most five requests in flight */
    PRODUCERS_MAX_DEFAULT = 10000, /* per log, about 2 MB */
};

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

    /* producers.c only: places in the table, oldest writer to newest */
    uint32_t older;
    uint32_t newer;
};

struct producers {
    uint32_t count;
    uint32_t producers_max;

    /* producers.c only */
    struct producer *pool; /* [room]; the first `count` are in use */
    uint32_t *slots;       /* [slots_count], a power of two: place in the pool + 1, or 0 */
    uint32_t room;
    uint32_t slots_count;
    uint32_t oldest;
    uint32_t newest;
    uint32_t expire_at; /* where the next producers_expire goes on */
};

enum producers_answer {
    PRODUCERS_NEW,       /* append it, then producers_apply */
    PRODUCERS_DUPLICATE, /* it is in the log already: answer with `found` */
    PRODUCERS_REFUSED,   /* *refusal says why */
};

void producers_init(struct producers *producers, uint32_t producers_max);
void producers_deinit(struct producers *producers);
void producers_clear(struct producers *producers);

/* May this batch of a client, with a producer id, be appended?
 *   found   PRODUCERS_DUPLICATE: the batch that it repeats. It is pending as long as its
 *           last_offset is not below the log end; the answer then waits for it. */
[[nodiscard]] enum producers_answer producers_check(const struct producers *producers,
                                                    const struct batch *batch,
                                                    struct producer_batch *found,
                                                    enum refusal *refusal);

/* A batch with a producer id is being appended; its offsets are set. Checks nothing: replay and
 * replication come here without producers_check. -ENOMEM. */
[[nodiscard]] int producers_apply(struct producers *producers, const struct batch *batch);

/* A transaction ends: the marker's batch, and the coordinator epoch from its value. */
[[nodiscard]] int producers_apply_marker(struct producers *producers, const struct batch *batch,
                                         int32_t coordinator_epoch);

/* NULL: unknown. The pointer is good until the table changes. */
const struct producer *producers_find(const struct producers *producers, int64_t producer_id);

/* The smallest first offset of an open transaction, or -1. */
int64_t producers_first_open_offset(const struct producers *producers);

/* Forget who has been silent for expiration_ms (producer.id.expiration.ms) and has no open
 * transaction. Looks at no more than count_max producers, and goes on there the next time. */
uint32_t producers_expire(struct producers *producers, int64_t now_ms, int64_t expiration_ms,
                          uint32_t count_max);

/* -- for STATE: everything, in a format of ours ------------------------------------------------- */
size_t producers_encoded_bytes(const struct producers *producers);
/* `to` has producers_encoded_bytes(). */
void producers_encode(const struct producers *producers, void *to);
/* Replaces what is there. -EBADMSG, -ENOMEM: the table is then empty. */
[[nodiscard]] int producers_decode(struct producers *producers, const void *from, size_t bytes);

/* -- Kafka's NNN.snapshot: the last batch of each producer ---------------------------------------- */
size_t producers_snapshot_bytes(const struct producers *producers);
void producers_snapshot_encode(const struct producers *producers, void *to);
[[nodiscard]] int producers_snapshot_decode(struct producers *producers, const void *from,
                                            size_t bytes);

#endif
