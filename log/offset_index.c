#include "log/offset_index.h"

#include "core/big_endian.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void offset_index_init(struct offset_index *index, int64_t base_offset, uint32_t bytes_max,
                       uint32_t interval_bytes)
{
    *index = (struct offset_index){
        .base_offset = base_offset,
        .count_max = bytes_max / OFFSET_INDEX_ENTRY_BYTES,
        .interval_bytes = interval_bytes,
    };
}

void offset_index_deinit(struct offset_index *index)
{
    free(index->entries);
    index->entries = NULL;
    index->count = index->room = 0;
}

bool offset_index_is_full(const struct offset_index *index)
{
    return index->count >= index->count_max;
}

static bool make_room(struct offset_index *index, uint32_t count)
{
    if (count <= index->room) {
        return true;
    }
    uint32_t room = index->room ? index->room : 4;
    while (room < count) {
        room *= 2;
    }
    struct offset_index_entry *entries = realloc(index->entries, room * sizeof(*entries));
    if (!entries) {
        return false;
    }
    index->entries = entries;
    index->room = room;
    return true;
}

int offset_index_append(struct offset_index *index, int64_t last_offset, uint32_t position,
                        uint32_t batch_bytes)
{
    int64_t relative = last_offset - index->base_offset;
    assert(relative >= 0 && relative <= INT32_MAX);
    int made = 0;
    if (index->bytes_unindexed > index->interval_bytes) {
        assert(!offset_index_is_full(index));
        assert(index->count == 0 || relative > index->entries[index->count - 1].relative_offset);
        if (!make_room(index, index->count + 1)) {
            return -ENOMEM;
        }
        index->entries[index->count++] = (struct offset_index_entry){
            .relative_offset = (uint32_t)relative, .position = position};
        index->bytes_unindexed = 0;
        made = 1;
    }
    index->bytes_unindexed += batch_bytes;
    return made;
}

/* How many entries lie at or before this relative offset. */
static uint32_t count_through(const struct offset_index *index, int64_t relative)
{
    uint32_t low = 0, high = index->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (index->entries[middle].relative_offset <= relative) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t offset_index_lookup(const struct offset_index *index, int64_t offset)
{
    uint32_t count = count_through(index, offset - index->base_offset);
    return count > 0 ? index->entries[count - 1].position : 0;
}

uint32_t offset_index_next(const struct offset_index *index, uint32_t position)
{
    uint32_t low = 0, high = index->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (index->entries[middle].position < position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < index->count ? index->entries[low].position : UINT32_MAX;
}

void offset_index_truncate(struct offset_index *index, int64_t offset)
{
    index->count = count_through(index, offset - index->base_offset - 1);
}

void offset_index_encode(const struct offset_index *index, uint32_t first, uint32_t end, void *to)
{
    assert(end <= index->count);
    uint8_t *at = to;
    for (uint32_t i = first; i < end; i++, at += OFFSET_INDEX_ENTRY_BYTES) {
        big_endian_store32(at, index->entries[i].relative_offset);
        big_endian_store32(at + 4, index->entries[i].position);
    }
}

int offset_index_load(struct offset_index *index, const void *from, size_t bytes,
                      uint64_t segment_bytes)
{
    assert(index->count == 0);
    if (bytes % OFFSET_INDEX_ENTRY_BYTES != 0 || bytes > INT32_MAX) {
        return -EBADMSG;
    }
    size_t count = bytes / OFFSET_INDEX_ENTRY_BYTES;
    const uint8_t *at = from;
    /* An entry of zeros cannot be: the first one is made only after bytes without one. */
    while (count > 0 && big_endian_load64(at + (count - 1) * OFFSET_INDEX_ENTRY_BYTES) == 0) {
        count--;
    }
    if (!make_room(index, (uint32_t)count)) {
        return -ENOMEM;
    }
    struct offset_index_entry last = {0};
    for (size_t i = 0; i < count; i++, at += OFFSET_INDEX_ENTRY_BYTES) {
        struct offset_index_entry entry = {.relative_offset = big_endian_load32(at),
                                           .position = big_endian_load32(at + 4)};
        bool rises = i == 0 || (entry.relative_offset > last.relative_offset &&
                                entry.position > last.position);
        if (!rises || entry.relative_offset > INT32_MAX || entry.position >= segment_bytes) {
            return -EBADMSG;
        }
        index->entries[i] = last = entry;
    }
    index->count = (uint32_t)count;
    return 0;
}

void offset_index_take(struct offset_index *index, struct offset_index *from)
{
    assert(index->count == 0);
    free(index->entries);
    index->entries = from->entries;
    index->count = from->count;
    index->room = from->room;
    from->entries = NULL;
    from->count = from->room = 0;
}
