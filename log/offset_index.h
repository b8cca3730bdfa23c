/*
 * offset_index -- from an offset to a place in a segment, sparsely: Kafka's NNN.index.
 *
 *     segment   | batch | batch | batch | batch | batch | ...
 *     entries           ^ (last offset of this batch, its position)      one per interval_bytes
 *
 * A lookup gives the position of a batch that starts at or before the offset; whoever reads walks
 * on from there. Offsets are relative to the segment's base; both numbers rise strictly.
 * In memory for the active segment, loaded on demand for the others. Lives with the segment.
 */
#ifndef LOG_OFFSET_INDEX_H
#define LOG_OFFSET_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OFFSET_INDEX_ENTRY_BYTES = 8 };

struct offset_index_entry {
    uint32_t relative_offset; /* from the segment's base to the last offset of a batch */
    uint32_t position;        /* where that batch starts */
};

struct offset_index {
    int64_t base_offset;
    struct offset_index_entry *entries; /* [room] */
    uint32_t count;
    uint32_t count_max;       /* segment.index.bytes / 8; the segment rolls when it is reached */
    uint32_t interval_bytes;  /* index.interval.bytes */
    uint32_t bytes_unindexed; /* appended since the last entry */
    uint32_t room;            /* offset_index.c only */
};

void offset_index_init(struct offset_index *index, int64_t base_offset, uint32_t bytes_max,
                       uint32_t interval_bytes);
void offset_index_deinit(struct offset_index *index);

bool offset_index_is_full(const struct offset_index *index);

/* A batch is appended to the segment. 1: it got an entry (and the time index is due one); 0: it
 * did not; -ENOMEM. Not on a full index. */
[[nodiscard]] int offset_index_append(struct offset_index *index, int64_t last_offset,
                                      uint32_t position, uint32_t batch_bytes);

/* The position of a batch that starts at or before `offset`; 0 if none is known. */
uint32_t offset_index_lookup(const struct offset_index *index, int64_t offset);
/* The smallest known position >= `position`, or UINT32_MAX: how far a read may go without a walk. */
uint32_t offset_index_next(const struct offset_index *index, uint32_t position);

/* Forget what is at or beyond this offset. */
void offset_index_truncate(struct offset_index *index, int64_t offset);

/* The file's form of the entries from `first` on; `to` has room for (count - first) of them. */
void offset_index_encode(const struct offset_index *index, uint32_t first, uint32_t end, void *to);

/* Fill an initialised, empty index from a file's bytes; zeros at the end are taken as never written.
 *   segment_bytes   no position may lie beyond
 * -EBADMSG (not rising, out of bounds, not whole entries: rebuild it), -ENOMEM. */
[[nodiscard]] int offset_index_load(struct offset_index *index, const void *from, size_t bytes,
                                    uint64_t segment_bytes);
/* The entries of another one, which is empty then; this one is. */
void offset_index_take(struct offset_index *index, struct offset_index *from);

#endif
