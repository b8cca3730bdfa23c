/*
 * producers -- what one log knows of the producers that wrote to it: enough to recognise a retry,
 * to notice a gap, and to fence a former incarnation.
 *
 *     producer id -> epoch, its last five batches (sequences and offsets), open transaction
 *
 * A batch counts as known from the moment it is appended, before it is durable: a retry that
 * arrives meanwhile is found, and its offset tells the caller that it is still pending.
 *
 * Held: one table per log, within a share of the core's memory. At the limit a new producer takes
 * the place of the one that wrote longest ago, if that was silent for longer than any retry takes;
 * if not, the new one is refused for now. (Kafka forgets by time alone, which lets one client with
 * ever new ids fill the memory.)
 *
 * A STATE names at most STATE_PRODUCERS_MAX of them. Beyond that it says where to begin instead: at
 * its basis, all producers as of one offset, in the STATE itself or in Kafka's `.snapshot`, from
 * which on the log's batches are read again.
 * Lives on the shard that owns the log.
 */
#ifndef LOG_PRODUCERS_H
#define LOG_PRODUCERS_H

#include "core/slab.h"
#include "log/batch.h"
#include "log/producer_table.h"
#include "log/refusal.h"

#include <stddef.h>

enum {
    PRODUCERS_MAX = 1 << 24, /* of any table */
    PRODUCER_ACTIVE_S = 300, /* a retry comes within delivery.timeout.ms, 120 s by default */
    PRODUCER_CHARGE_BYTES = sizeof(struct producer) + 2 * sizeof(uint32_t),
    PRODUCER_ENCODED_BYTES_MAX = 31 + PRODUCER_BATCHES_MAX * 24,
    STATE_PRODUCERS_MAX = 32,
    STATE_PRODUCERS_BYTES_MAX = 5 + STATE_PRODUCERS_MAX * PRODUCER_ENCODED_BYTES_MAX,
};

struct producers {
    struct producer_table table;
    uint32_t producers_max;
    uint32_t now_s;         /* by our clock; whoever checks or applies sets it before */
    uint32_t loaded_s;      /* when those were that have not written since; zero: never */
    struct budget *charged; /* of the core, for PRODUCER_CHARGE_BYTES each; NULL: nobody's */

    /* producers.c only */
    uint32_t expire_at; /* where the next producers_expire goes on */
};

/* Where a STATE's reader begins: these producers at this offset, then the batches from there. */
struct producers_basis {
    int64_t offset;
    int64_t segment_base; /* in this segment ... */
    uint32_t position;    /* ... the batch with the offset begins, or the segment ends */
    bool is_file;         /* in <offset>.snapshot, durably; else in `encoded` */
    uint8_t *encoded;     /* [encoded_bytes] malloc'd, NULL: there is no basis */
    uint32_t encoded_bytes;
    uint64_t bytes_since; /* of batches appended since */
};

enum producers_answer {
    PRODUCERS_NEW,       /* append it, then producers_apply */
    PRODUCERS_DUPLICATE, /* it is in the log already: answer with `found` */
    PRODUCERS_REFUSED,   /* *refusal says why */
};

void producers_init(struct producers *producers, uint32_t producers_max);
void producers_deinit(struct producers *producers);
void producers_clear(struct producers *producers);

static inline uint32_t producers_count(const struct producers *producers)
{
    return producers->table.count;
}

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

/* Forget who has been silent for expiration_ms (producer.id.expiration.ms) by our clock, now_s, and
 * has no open transaction; who has not written since the start, by its records' time too. Looks at
 * no more than count_max producers; false: it goes on there the next time, true: it has been once
 * around. */
bool producers_expire(struct producers *producers, int64_t now_ms, int64_t expiration_ms,
                      uint32_t count_max);

/* Forget who has been silent for so long that no retry can come, no more than count_max of them.
 * True: that is all. */
bool producers_forget_idle(struct producers *producers, uint32_t count_max);

/* The table's memory is the budget's from now on; it may be past its limit, and then does not
 * grow. */
void producers_charge(struct producers *producers, struct budget *charged);

/* -- in a STATE, and behind Kafka's part of a snapshot: everything, in a format of ours ------------ */
size_t producers_encoded_bytes(const struct producers *producers);
/* `to` has producers_encoded_bytes(). */
void producers_encode(const struct producers *producers, void *to);
/* Replaces what is there. -EBADMSG, -ENOMEM: the table is then empty. */
[[nodiscard]] int producers_decode(struct producers *producers, const void *from, size_t bytes);

/* -- Kafka's NNN.snapshot: the last batch of each producer -----------------------------------------
 * If there are more than STATE_PRODUCERS_MAX, everything in our own format follows, under the same
 * checksum: Kafka reads over it, and a retry of any of the last five batches is still recognised.
 */
struct
    producers_snapshot { /* one on its way, piece by piece; the producers do not change meanwhile */
    const struct producers *producers;
    uint32_t crc; /* when all is there */

    /* producers.c only */
    uint32_t next; /* a place */
    enum { SNAPSHOT_HEAD, SNAPSHOT_KAFKAS, SNAPSHOT_OWN_HEAD, SNAPSHOT_OWN, SNAPSHOT_END } stage;
};
enum { SNAPSHOT_PIECE_BYTES_MIN = 256, SNAPSHOT_CRC_POSITION = 2 };

void producers_snapshot_begin(struct producers_snapshot *snapshot,
                              const struct producers *producers);
/* The next bytes of the file, at most `room`; 0: that was all. The crc (4 bytes, big-endian) is
 * written to its place in the file after that. */
size_t producers_snapshot_next(struct producers_snapshot *snapshot, uint8_t *to, size_t room);
/* Replaces what is there, as producers_decode. */
[[nodiscard]] int producers_snapshot_decode(struct producers *producers, const void *from,
                                            size_t bytes);

#endif
