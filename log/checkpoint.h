/*
 * checkpoint -- Kafka's small text files of offsets: a version, how many lines follow, the lines.
 *
 *     0                          leader-epoch-checkpoint, in a partition's directory:
 *     2                              epoch, start offset
 *     3 100
 *     5 1200                     recovery-point-, replication-, log-start-, cleaner-offset-checkpoint,
 *                                in a data directory: topic, partition, offset
 *
 * Text to numbers and back, no more: who reads and writes the files is elsewhere. An empty file, or
 * one with the version only, has no lines, as Kafka takes it.
 */
#ifndef LOG_CHECKPOINT_H
#define LOG_CHECKPOINT_H

#include "core/view.h"
#include "log/epochs.h"

enum { CHECKPOINT_LINE_BYTES_MAX = 255 + 1 + 11 + 1 + 20 + 1 }; /* topic, partition, offset */

struct checkpoint_offset {
    struct view topic; /* points into the text */
    int32_t partition;
    int64_t offset;
};

/* Reading, line by line:
 *
 *     struct checkpoint checkpoint = checkpoint_of(text, bytes);
 *     while (checkpoint_next_offset(&checkpoint, &line)) { ... }
 *     if (checkpoint.broken) ...         a line that is none, or not as many as the file says
 */
struct checkpoint {
    bool broken;

    /* checkpoint.c only */
    const char *at;
    const char *end;
    int64_t lines_left; /* as the file says; nothing is allocated by it */
};

struct checkpoint checkpoint_of(const void *text, size_t bytes);
[[nodiscard]] bool checkpoint_next_offset(struct checkpoint *checkpoint,
                                          struct checkpoint_offset *line);
[[nodiscard]] bool checkpoint_next_epoch(struct checkpoint *checkpoint, struct epoch_start *line);

/* All epochs of a log. -EBADMSG, -ENOMEM: epochs is then empty. */
[[nodiscard]] int checkpoint_read_epochs(struct epochs *epochs, const void *text, size_t bytes);

/* Writing. Each returns the bytes written, at most CHECKPOINT_LINE_BYTES_MAX; there is no zero at
 * the end. */
size_t checkpoint_print_head(char *text, uint64_t lines_count);
size_t checkpoint_print_offset(char *text, const struct checkpoint_offset *line);
/* The whole file; `text` has room for (count + 2) lines. */
size_t checkpoint_print_epochs(char *text, const struct epochs *epochs);

#endif
