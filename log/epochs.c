#include "log/epochs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void epochs_init(struct epochs *epochs)
{
    *epochs = (struct epochs){0};
}

void epochs_deinit(struct epochs *epochs)
{
    free(epochs->starts);
    epochs_init(epochs);
}

void epochs_clear(struct epochs *epochs)
{
    epochs->count = 0;
}

static bool make_room(struct epochs *epochs)
{
    if (epochs->count < epochs->room) {
        return true;
    }
    if (epochs->room == EPOCHS_MAX) {
        epochs->count--;
        memmove(epochs->starts, epochs->starts + 1, epochs->count * sizeof(*epochs->starts));
        return true;
    }
    uint32_t room = epochs->room ? epochs->room * 2 : 2;
    struct epoch_start *starts = realloc(epochs->starts, room * sizeof(*starts));
    if (!starts) {
        return false;
    }
    epochs->starts = starts;
    epochs->room = room;
    return true;
}

int epochs_assign(struct epochs *epochs, int32_t epoch, int64_t start_offset)
{
    assert(epoch >= 0 && start_offset >= 0);
    if (epochs->count > 0) {
        const struct epoch_start *last = &epochs->starts[epochs->count - 1];
        if (last->epoch == epoch && last->start_offset <= start_offset) {
            return 0;
        }
    }
    uint32_t count = epochs->count;
    while (count > 0 && (epochs->starts[count - 1].epoch >= epoch ||
                         epochs->starts[count - 1].start_offset >= start_offset)) {
        count--;
    }
    if (count == epochs->count && !make_room(epochs)) {
        return -ENOMEM;
    }
    if (count < epochs->count) {
        epochs->count = count; /* the dropped ones leave the room */
    }
    epochs->starts[epochs->count++] =
        (struct epoch_start){.epoch = epoch, .start_offset = start_offset};
    return 1;
}

int32_t epochs_latest(const struct epochs *epochs)
{
    return epochs->count > 0 ? epochs->starts[epochs->count - 1].epoch : -1;
}

/* How many entries have an epoch <= this one. */
static uint32_t count_through_epoch(const struct epochs *epochs, int32_t epoch)
{
    uint32_t low = 0, high = epochs->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (epochs->starts[middle].epoch <= epoch) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* How many entries start at or before this offset. */
static uint32_t count_through_offset(const struct epochs *epochs, int64_t offset)
{
    uint32_t low = 0, high = epochs->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (epochs->starts[middle].start_offset <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct epoch_end epochs_end(const struct epochs *epochs, int32_t epoch, int64_t log_end)
{
    uint32_t known = count_through_epoch(epochs, epoch);
    if (epochs->count == 0 || epoch < 0) {
        return (struct epoch_end){.epoch = -1, .end_offset = -1};
    }
    if (known == epochs->count) {
        bool is_latest = epochs->starts[known - 1].epoch == epoch;
        return (struct epoch_end){.epoch = is_latest ? epoch : -1,
                                  .end_offset = is_latest ? log_end : -1};
    }
    /* Before the first known one, all that can be said is that it ended where that one starts. */
    return (struct epoch_end){.epoch = known > 0 ? epochs->starts[known - 1].epoch : epoch,
                              .end_offset = epochs->starts[known].start_offset};
}

int32_t epochs_of(const struct epochs *epochs, int64_t offset)
{
    uint32_t count = count_through_offset(epochs, offset);
    return count > 0 ? epochs->starts[count - 1].epoch : -1;
}

bool epochs_truncate_end(struct epochs *epochs, int64_t end_offset)
{
    uint32_t count = epochs->count;
    while (count > 0 && epochs->starts[count - 1].start_offset >= end_offset) {
        count--;
    }
    bool changed = count < epochs->count;
    epochs->count = count;
    return changed;
}

bool epochs_truncate_start(struct epochs *epochs, int64_t start_offset)
{
    uint32_t before = count_through_offset(epochs, start_offset);
    if (before == 0 || (before == 1 && epochs->starts[0].start_offset == start_offset)) {
        return false;
    }
    epochs->count -= before - 1; /* the last of them holds on to the records that stay */
    memmove(epochs->starts, epochs->starts + before - 1, epochs->count * sizeof(*epochs->starts));
    epochs->starts[0].start_offset = start_offset;
    return true;
}
