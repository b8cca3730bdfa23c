/*
 * restore -- one log's files made to say what its journal entries say.
 *
 *      entries   ... DATA DATA DATA | STATE | DATA DATA DATA
 *                    ^ data_from      its position ->  records read from here on
 *                    bytes only                        bytes and effect
 *
 * The bytes are laid over the segments in the order of their sequences. Behind the STATE's position
 * the batches are read, for their effect on the log's end, producers, epochs and largest timestamp;
 * the last one may lack its end and is cut away. The active segment's indexes are taken up to where
 * the STATE knows them and completed. Sealed segments that may still be longer than their records
 * are cut, and what lies beyond the active segment is removed.
 *
 * Done twice, or interrupted and done again, it comes to the same. Nothing is flushed. Inside a job.
 */
#ifndef LOG_RESTORE_H
#define LOG_RESTORE_H

#include "log/overlay.h"
#include "log/replay.h"
#include "log/state.h"

struct restore {
    struct files *files;
    const char *directory; /* the data directory */
    struct replay *replay;
    void *window; /* as overlay_open wants it */
    uint32_t index_interval_bytes;
    char *problem;    /* out, [RESTORE_PROBLEM_BYTES] */
    bool has_changed; /* out: something was written; stays true from log to log */
};

enum { RESTORE_PROBLEM_BYTES = 512 };

/* state: the log's newest STATE; afterwards what is true at the end of its entries.
 * entries: its DATA from data_from on, without gaps, by sequence.
 * has_directory: it is there already.
 *   0, -errno, or -EBADMSG: the entries and the files contradict each other, see problem */
[[nodiscard]] int restore_log(struct restore *restore, struct log_state *state,
                              const struct replay_entry *entries, size_t entries_count,
                              bool has_directory);

#endif
