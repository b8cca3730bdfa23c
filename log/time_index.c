#include "log/time_index.h"

#include "core/big_endian.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { NO_TIMESTAMP = -1 };

void time_index_init(struct time_index *index, int64_t base_offset, uint32_t bytes_max)
{
    *index = (struct time_index){
        .base_offset = base_offset,
        .max_timestamp = NO_TIMESTAMP,
        .max_offset = base_offset,
        .count_max = bytes_max / TIME_INDEX_ENTRY_BYTES,
    };
}

void time_index_deinit(struct time_index *index)
{
    free(index->entries);
    index->entries = NULL;
    index->count = index->room = 0;
}

bool time_index_is_full(const struct time_index *index)
{
    return index->count + 1 >= index->count_max;
}

static bool make_room(struct time_index *index, uint32_t count)
{
    if (count <= index->room) {
        return true;
    }
    uint32_t room = index->room ? index->room : 4;
    while (room < count) {
        room *= 2;
    }
    struct time_index_entry *entries = realloc(index->entries, room * sizeof(*entries));
    if (!entries) {
        return false;
    }
    index->entries = entries;
    index->room = room;
    return true;
}

void time_index_note(struct time_index *index, int64_t max_timestamp, int64_t last_offset)
{
    if (max_timestamp > index->max_timestamp) {
        index->max_timestamp = max_timestamp;
        index->max_offset = last_offset;
    }
}

int time_index_append(struct time_index *index)
{
    int64_t last_timestamp =
        index->count > 0 ? index->entries[index->count - 1].timestamp : NO_TIMESTAMP;
    if (index->max_timestamp <= last_timestamp) {
        return 0;
    }
    int64_t relative = index->max_offset - index->base_offset;
    assert(relative >= 0 && relative <= INT32_MAX);
    if (!make_room(index, index->count + 1)) {
        return -ENOMEM;
    }
    index->entries[index->count++] = (struct time_index_entry){
        .timestamp = index->max_timestamp, .relative_offset = (uint32_t)relative};
    return 1;
}

int64_t time_index_lookup(const struct time_index *index, int64_t timestamp)
{
    uint32_t low = 0, high = index->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (index->entries[middle].timestamp <= timestamp) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return index->base_offset + (low > 0 ? index->entries[low - 1].relative_offset : 0);
}

/* What is known of the largest timestamp without reading batches. */
static void recall_last(struct time_index *index)
{
    index->max_timestamp = NO_TIMESTAMP;
    index->max_offset = index->base_offset;
    if (index->count > 0) {
        const struct time_index_entry *last = &index->entries[index->count - 1];
        time_index_note(index, last->timestamp, index->base_offset + last->relative_offset);
    }
}

void time_index_truncate(struct time_index *index, int64_t offset)
{
    while (index->count > 0 &&
           index->base_offset + index->entries[index->count - 1].relative_offset >= offset) {
        index->count--;
    }
    recall_last(index);
}

void time_index_encode(const struct time_index *index, uint32_t first, uint32_t end, void *to)
{
    assert(end <= index->count);
    uint8_t *at = to;
    for (uint32_t i = first; i < end; i++, at += TIME_INDEX_ENTRY_BYTES) {
        big_endian_store64(at, (uint64_t)index->entries[i].timestamp);
        big_endian_store32(at + 8, index->entries[i].relative_offset);
    }
}

static bool is_unwritten(const uint8_t *at)
{
    return big_endian_load64(at) == 0 && big_endian_load32(at + 8) == 0;
}

int time_index_load(struct time_index *index, const void *from, size_t bytes)
{
    assert(index->count == 0);
    if (bytes % TIME_INDEX_ENTRY_BYTES != 0 || bytes > INT32_MAX) {
        return -EBADMSG;
    }
    size_t count = bytes / TIME_INDEX_ENTRY_BYTES;
    const uint8_t *at = from;
    while (count > 0 && is_unwritten(at + (count - 1) * TIME_INDEX_ENTRY_BYTES)) {
        count--;
    }
    if (!make_room(index, (uint32_t)count)) {
        return -ENOMEM;
    }
    struct time_index_entry last = {.timestamp = NO_TIMESTAMP};
    for (size_t i = 0; i < count; i++, at += TIME_INDEX_ENTRY_BYTES) {
        struct time_index_entry entry = {.timestamp = (int64_t)big_endian_load64(at),
                                         .relative_offset = big_endian_load32(at + 8)};
        bool rises = entry.timestamp > last.timestamp &&
                     (i == 0 || entry.relative_offset >= last.relative_offset);
        if (!rises || entry.relative_offset > INT32_MAX) {
            return -EBADMSG;
        }
        index->entries[i] = last = entry;
    }
    index->count = (uint32_t)count;
    recall_last(index);
    return 0;
}

void time_index_take(struct time_index *index, struct time_index *from)
{
    assert(index->count == 0);
    free(index->entries);
    index->entries = from->entries;
    index->count = from->count;
    index->room = from->room;
    from->entries = NULL;
    from->count = from->room = 0;
    recall_last(index);
}
