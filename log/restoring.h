/*
 * restoring -- a log on its way through recovery: what restore*.c share, and nobody else sees.
 *
 *      restore.c             the entries laid over the segments, in order; the active segment
 *      restore_sealed.c      segments that may not be cut yet
 *      restore_index.c       the index files of one segment
 *      restore_producers.c   the producers, from their basis to the log's end
 */
#ifndef LOG_RESTORING_H
#define LOG_RESTORING_H

#include "log/batch.h"
#include "log/offset_index.h"
#include "log/restore.h"
#include "log/time_index.h"

enum { RESTORE_PATH_BYTES = 4096 };

struct restoring {
    struct restore *restore;
    struct log_state *state;
    const struct replay_entry *entries;
    size_t entries_count;
    struct overlay overlay; /* of the segment at hand */
    int64_t base;
    struct offset_index offset_index; /* of the same */
    struct time_index time_index;
    uint64_t laid_from; /* the journal has the blocks from here on; UINT64_MAX: none */
    uint32_t offsets_known, times_known; /* entries that its files have already */
};

/* `<directory>/<log>[/<file>]` and `<directory>/<log>/<base of the segment at hand>.<suffix>` */
[[nodiscard]] int restoring_path(char path[RESTORE_PATH_BYTES], const struct restoring *log,
                                 const char *file);
[[nodiscard]] int restoring_segment_path(char path[RESTORE_PATH_BYTES], const struct restoring *log,
                                         const char *suffix);
static inline struct log_place restoring_place(const struct restoring *log)
{
    return (struct log_place){.directory = log->restore->directory, .name = log->state->name};
}

/* Says in restore->problem that journal and segment contradict each other there; -EBADMSG. */
[[nodiscard]] int restoring_contradiction(const struct restoring *log, const char *what,
                                          uint64_t position);

/* The segment is at hand: its overlay is open. flags: of files_open */
[[nodiscard]] int restoring_open_segment(struct restoring *log, int64_t base, int flags);
/* A batch's header at the position. 1; 0: there is none whole before `end`; or -errno.
 * batch->bytes is the header alone, good until the next look. */
[[nodiscard]] int restoring_next_batch(struct restoring *log, uint64_t position, uint64_t end,
                                       struct batch *batch);
/* The next segment that there is after `base`, at most the active one. */
int64_t restoring_base_after(const struct restoring *log, const struct files_entry *entries,
                             int64_t count, int64_t base);

/* -- restore_index.c: of the segment at hand ----------------------------------------------------- */
void restore_indexes_init(struct restoring *log);
void restore_indexes_deinit(struct restoring *log);
/* What the STATE knows to be in the active segment's files. -EBADMSG: it is not; begin anew. */
[[nodiscard]] int restore_indexes_load(struct restoring *log);
/* Both index files of a sealed one, as they are. -EBADMSG: one is missing or damaged. */
[[nodiscard]] int restore_indexes_load_sealed(struct restoring *log);
/* >= 0, or -errno */
[[nodiscard]] int restore_index_batch(struct restoring *log, const struct batch *batch,
                                      uint64_t position);
[[nodiscard]] int restore_indexes_write(struct restoring *log);

/* -- restore_sealed.c ---------------------------------------------------------------------------- */
/* A segment that may not be cut yet; was_laid: for sure, and its indexes lag behind. */
[[nodiscard]] int restore_uncut(struct restoring *log, int64_t base, int64_t next_base,
                                bool was_laid);

/* -- restore_producers.c ------------------------------------------------------------------------- */
/* state->producers and its basis, when all segments are what they will be. */
[[nodiscard]] int restore_producers(struct restoring *log);

#endif
