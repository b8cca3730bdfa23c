/*
 * epochs -- which leader wrote from which offset on: the log's leader epochs.
 *
 *     epoch          3 ----------> 5 --------------> 6 ------ ..
 *     start offset   0             1200              1350        log end
 *
 * Both rise strictly. A replica or consumer that asks where an epoch ended finds out from which
 * offset on its log and this one may differ. File: leader-epoch-checkpoint (log/checkpoint).
 * Lives on the shard that owns the log.
 */
#ifndef LOG_EPOCHS_H
#define LOG_EPOCHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All are in each STATE. An epoch is a change of leader with an append after it; the oldest are
 * dropped beyond this, as if the log had been cut at its start. */
enum { EPOCHS_MAX = 256 };

struct epoch_start {
    int32_t epoch;
    int64_t start_offset;
};

struct epochs {
    struct epoch_start *starts; /* [room], by epoch */
    uint32_t count;
    uint32_t room; /* epochs.c only */
};

void epochs_init(struct epochs *epochs);
void epochs_deinit(struct epochs *epochs);
void epochs_clear(struct epochs *epochs);

/* The leader of `epoch` writes at start_offset. 1: news, the file should be written anew; 0: known
 * already; -ENOMEM. What contradicts it (later epochs, later offsets) is dropped. */
[[nodiscard]] int epochs_assign(struct epochs *epochs, int32_t epoch, int64_t start_offset);

int32_t epochs_latest(const struct epochs *epochs); /* -1: none */

/* Kafka's OffsetForLeaderEpoch: the largest known epoch <= the one asked for, and where it ended.
 * epoch and end_offset are -1 if that cannot be said. */
struct epoch_end {
    int32_t epoch;
    int64_t end_offset;
};
struct epoch_end epochs_end(const struct epochs *epochs, int32_t epoch, int64_t log_end);

/* The epoch in which the record at `offset` was written; -1: before the first known. */
int32_t epochs_of(const struct epochs *epochs, int64_t offset);

/* The log now ends, or starts, there. True: something changed. */
bool epochs_truncate_end(struct epochs *epochs, int64_t end_offset);
bool epochs_truncate_start(struct epochs *epochs, int64_t start_offset);

#endif
