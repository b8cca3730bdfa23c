/*
 * recovery -- from what a stop or a crash left in a data directory to logs that can be served.
 *
 * One job, in a straight line (docs/architecture.md, "Recovery"). After it the segments hold all
 * that was acknowledged, durably, and each log's state is here for the store of its new owner to
 * journal. When all stores have done so, recovery_finish declares the old journals void and removes
 * them; until then nothing that the new journals hold may be released, least of all a STATE that
 * says "dropped". It can be interrupted anywhere, and run again.
 */
#ifndef LOG_RECOVERY_H
#define LOG_RECOVERY_H

#include "core/reactor.h"
#include "log/journal_format.h"
#include "log/meta_properties.h"
#include "log/state.h"

struct recovery_options {
    const char *directory; /* outlives the recovery */
    int32_t node_id;
    char cluster_id[META_ID_BYTES]; /* "": the directory's, or a new one for an empty directory */
    uint32_t index_interval_bytes;
};

struct recovery {
    struct job job; /* result: 0 or -errno; see problem */
    struct recovery_options options;
    char problem[512]; /* what is wrong, where, and what to do */

    /* out */
    bool formatted; /* the directory was empty */
    bool was_clean; /* the last stop was clean: nothing had to be replayed */
    uint32_t start; /* this start's number, durable */
    uint64_t salt;
    char cluster_id[META_ID_BYTES];
    char directory_id[META_ID_BYTES];
    uint32_t left_count;    /* directories of deleted topics that could not be removed */
    int left_error;         /* ... why: the last one's -errno */
    int lock_fd;            /* holds the directory's lock while open; -1 after a failure */
    struct log_state *logs; /* not dropped ones, in name order; log_sequence is that of the STATE
                               that the log's store writes first */
    size_t logs_count;

    /* recovery.c only */
    uint8_t entropy[48];           /* for ids and salt, should they be needed */
    struct journal_name *journals; /* found, all of earlier starts */
    uint32_t journals_count;
};

void recovery_begin(struct recovery *recovery, struct reactor *reactor, op_fn *then);

/* A job too: the old journals are void. To be called when every recovered log has a durable STATE
 * in a new journal. job.op result: 0 or -errno. */
void recovery_finish(struct recovery *recovery, struct reactor *reactor, op_fn *then);
/* The lock stays with lock_fd; states that were not moved out are given back. */
void recovery_free(struct recovery *recovery);

#endif
