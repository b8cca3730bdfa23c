/*
 * tail -- the newest bytes of segments, in memory as they stand (or will stand) in the file.
 *
 *      segment     0        4096       12288                 28672        appended
 *      chunks      |- gone -|- cached --|- written, unsettled -|- 512 B ---|
 *
 * A chunk begins at a multiple of FILE_BLOCK_BYTES and covers its bytes without a hole, so the last
 * block of a segment lies in one chunk, whole from its start: it can be journaled again in one
 * piece, and one write takes it to the file. A chunk of 4 KiB or more has a congruent address, and
 * its whole blocks are written from where they lie; a smaller one, which a quiet partition has, goes
 * through a bounce block and is replaced by a larger one as it fills.
 *
 * Chunks whose bytes are settled (durable in the segment) are a cache, dropped oldest first when
 * memory is wanted. One with readers stays; one that was replaced or whose segment is gone is
 * retired and freed when its last reader has gone.
 *
 * Lives on the store's core. The reader count is the one thing that others touch: the owner raises
 * it, whoever has finished with the bytes lowers it.
 */
#ifndef LOG_TAIL_H
#define LOG_TAIL_H

#include "core/list.h"
#include "core/reactor.h"

#include <stdatomic.h>

enum { CHUNK_BYTES_MIN = SLAB_BYTES_MIN, CHUNK_BYTES_MAX = 1 << 20 };

struct chunk {
    uint8_t *data;
    uint32_t position; /* in the segment, multiple of FILE_BLOCK_BYTES */
    uint32_t used;
    uint32_t capacity;
    _Atomic uint32_t readers;

    /* tail.c only */
    struct chunks *chunks; /* NULL: retired */
    struct link link;      /* tail->cached or tail->retired; nowhere while unsettled */
    uint64_t born_us;
};

struct chunks { /* of one segment, by position */
    /* tail.c only */
    struct chunk **at; /* [room]; those from `first` to before `end` */
    uint32_t first, end, room;
};

struct tail { /* of one store */
    struct reactor *reactor;
    struct list cached;  /* settled, oldest first */
    struct list retired; /* only their readers want them */
};

void tail_init(struct tail *tail, struct reactor *reactor);
/* Nobody may be reading. */
void tail_deinit(struct tail *tail);

/* A piece of the tail's memory for something else, short-lived. NULL: none, though everything
 * cached was dropped. */
[[nodiscard]] uint8_t *tail_take(struct tail *tail, uint32_t bytes);
void tail_give(struct tail *tail, uint8_t *piece, uint32_t bytes);

/* Makes room for `bytes` at `position`, the end of what the chunks hold; what is before it in its
 * block must be held (chunks_restore). False: no memory now, though everything cached was dropped.*/
[[nodiscard]] bool chunks_reserve(struct chunks *chunks, struct tail *tail, uint32_t position,
                                  uint32_t bytes);
/* Copies into what was reserved. */
void chunks_append(struct chunks *chunks, uint32_t position, const uint8_t *bytes, uint32_t count);
/* The same; the CRC, so far `crc`, goes on in the same pass. */
[[nodiscard]] uint32_t chunks_append_summed(struct chunks *chunks, uint32_t position,
                                            const uint8_t *bytes, uint32_t count, uint32_t crc);
/* What was appended or reserved from `position` on is not wanted; bytes before `settled` are durable. */
void chunks_take_back(struct chunks *chunks, struct tail *tail, uint32_t position,
                      uint32_t settled);
/* The first bytes of the block at `position` come back from disk. False: no memory. */
[[nodiscard]] bool chunks_restore(struct chunks *chunks, struct tail *tail, uint32_t position,
                                  const uint8_t *bytes, uint32_t count);

/* The chunk that holds the byte at `position`, or NULL. */
struct chunk *chunks_find(const struct chunks *chunks, uint32_t position);

/* Bytes before `position` are durable in the segment, so chunks that hold no others may go. */
void chunks_settled(struct chunks *chunks, struct tail *tail, uint32_t position);

/* The segment is going: gives up chunks, and takes them off `items`. True: there are none left. */
[[nodiscard]] bool chunks_drop_some(struct chunks *chunks, struct tail *tail, uint32_t *items);
/* The segment is gone. */
void chunks_drop(struct chunks *chunks, struct tail *tail);

/* Any core, once for each time the owner raised the count. */
static inline void chunk_unread(struct chunk *chunk)
{
    atomic_fetch_sub_explicit(&chunk->readers, 1, memory_order_release);
}

#endif
