/*
 * recovery -- from what a stop or a crash left in a data directory to logs that can be served.
 *
 * One job, in a straight line (docs/architecture.md, "Recovery"). After it the segments hold all
 * that was acknowledged, durably, and each log's state is here for the store of its new owner to
 * journal; old journal files are unlinked by recovery_finish, when all stores have done so.
 */
#ifndef LOG_RECOVERY_H
#define LOG_RECOVERY_H

#include "core/reactor.h"
#include "log/journal.h"
#include "log/state.h"

struct recovery_options {
    const char *directory;
    int32_t node_id;
    char cluster_id[32]; /* "": take the directory's, or the one drawn below when it is new */
    uint8_t entropy[64]; /* for a cluster id, directory id and salt, should they be needed */
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
    char cluster_id[32];
    char directory_id[32];
    int lock_fd;            /* holds the directory's lock while open */
    struct log_state *logs; /* not dropped ones, in name order */
    size_t logs_count;
    struct replay replay;
};

void recovery_begin(struct recovery *recovery, struct reactor *reactor, op_fn *then);

/* A job too: unlink the old journals. To be called when every recovered log has a durable STATE in
 * a new journal. job.op result: 0 or -errno. */
void recovery_finish(struct recovery *recovery, struct reactor *reactor, op_fn *then);
void recovery_free(struct recovery *recovery);

/* The last act of a clean stop, a job: checkpoints, .kafka_cleanshutdown, version=1. All stores
 * have settled and closed. */
struct clean_stop {
    struct job job; /* result: 0 or -errno */
    const char *directory;
    struct clean_stop_log {
        char name[LOG_NAME_BYTES_MAX + 1];
        int64_t log_start, log_end, high_watermark;
        bool log_start_moved; /* past the first segment's base */
    } * logs;                 /* of all cores */
    size_t logs_count;
    int64_t broker_epoch;
    int lock_fd;
};
void clean_stop_begin(struct clean_stop *stop, struct reactor *reactor, op_fn *then);

#endif
