/*
 * clean_stop -- the last act of a clean stop: the directory becomes one that Apache Kafka opens.
 *
 * A job: the checkpoints of all logs, `.kafka_cleanshutdown` with a nonce of ours, everything on
 * stable storage, and last the rename of meta.properties to version=1 with the same nonce. A start
 * that finds both knows that nobody else was here and trusts the final STATEs.
 * All stores have settled and closed by then.
 */
#ifndef LOG_CLEAN_STOP_H
#define LOG_CLEAN_STOP_H

#include "core/reactor.h"
#include "log/state.h"

struct clean_stop_log {
    char name[LOG_NAME_BYTES_MAX + 1];
    int64_t log_start, log_end, high_watermark;
    bool log_start_moved; /* past the first segment's base */
};

struct clean_stop {
    struct job job; /* result: 0 or -errno */
    const char *directory;
    struct clean_stop_log *logs; /* of all cores */
    size_t logs_count;
    int64_t broker_epoch;
    int lock_fd; /* closed at the end */

    /* clean_stop.c only */
    uint64_t nonce;
};

void clean_stop_begin(struct clean_stop *stop, struct reactor *reactor, op_fn *then);

#endif
