/*
 * time_index -- from a timestamp to an offset, sparsely: Kafka's NNN.timeindex.
 *
 * An entry (timestamp, offset) says: up to this offset no record is later than this timestamp. It
 * is made when the offset index gets one, from the largest timestamp so far and the last offset of
 * the batch that holds it; so timestamps and offsets both rise, whatever producers' clocks do.
 * One more entry is made when the segment is closed. Lives with the segment.
 */
#ifndef LOG_TIME_INDEX_H
#define LOG_TIME_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TIME_INDEX_ENTRY_BYTES = 12 };

struct time_index_entry {
    int64_t timestamp;
    uint32_t relative_offset;
};

struct time_index {
    int64_t base_offset;
    int64_t max_timestamp;            /* so far; -1: none */
    int64_t max_offset;               /* last offset of the batch that holds it */
    struct time_index_entry *entries; /* [room] */
    uint32_t count;
    uint32_t count_max; /* segment.index.bytes / 12 */
    uint32_t room;      /* time_index.c only */
};

void time_index_init(struct time_index *index, int64_t base_offset, uint32_t bytes_max);
void time_index_deinit(struct time_index *index);

bool time_index_is_full(const struct time_index *index); /* but for the entry at the close */

/* A batch is appended to the segment. */
void time_index_note(struct time_index *index, int64_t max_timestamp, int64_t last_offset);
/* Make an entry of what was noted, if it is later than the last one. 1: made; 0: not; -ENOMEM. */
[[nodiscard]] int time_index_append(struct time_index *index);

/* The last entry whose timestamp is <= this one: no record before its offset is later. Returns the
 * segment's base offset if there is none. */
int64_t time_index_lookup(const struct time_index *index, int64_t timestamp);

/* Forget what is at or beyond this offset. What was noted falls back to the last entry, until the
 * caller has walked the batches behind it. */
void time_index_truncate(struct time_index *index, int64_t offset);

void time_index_encode(const struct time_index *index, uint32_t first, uint32_t end, void *to);

/* As offset_index_load. */
[[nodiscard]] int time_index_load(struct time_index *index, const void *from, size_t bytes);
void time_index_take(struct time_index *index, struct time_index *from);

#endif
