/*
 * store -- what one core has of one data directory: a journal, its logs, and their write-back.
 *
 *      appends --> journal (log/journal.h)
 *         |
 *         v        write-back (log/write_back.h)
 *      tail chunks -------------------------------> segments
 *
 * Opened after recovery with the logs that this core shall own. Lives on one reactor.
 */
#ifndef LOG_STORE_H
#define LOG_STORE_H

#include "core/reactor.h"
#include "log/clean_stop.h"
#include "log/journal.h"
#include "log/log.h"
#include "log/recovery.h"

struct store_options {
    const char *directory;
    uint32_t start;
    uint32_t core;
    uint64_t salt;
    uint64_t journal_bytes; /* this core's part of the directory's journal budget */
    uint32_t journal_file_bytes;
    uint32_t fetch_read_bytes; /* piece of a cold read: 256 KiB */
};

struct store {
    struct reactor *reactor;
    struct store_options options;
    struct journal journal;
    bool offline; /* a write or flush failed: nothing more is written here */
    bool stopping;
    uint64_t log_counter; /* of the next log id */
    struct log *logs;     /* all, linked through log->next */
    uint32_t logs_count;

    /* store.c, write_back.c only */
    struct write_back *write_back;
};

/* Takes over the states (moves them out) of the logs given; journals a STATE for each.
 *   op result   0 or -errno. `logs` then holds them in the order given, see store_logs */
void store_open(struct store *store, struct reactor *reactor, const struct store_options *options,
                struct log_state **states, uint32_t states_count, struct op *op, op_fn *then);

/* A log for a new partition. Nothing is on disk before its first append. */
[[nodiscard]] struct log *store_create_log(struct store *store, const uint8_t topic_id[16],
                                           const char *topic, int32_t partition,
                                           const struct log_settings *settings,
                                           int32_t leader_epoch);

/* Clean stop of this core's part: no appends are running any more. Writes out, settles, cuts files,
 * writes snapshots and final STATEs, closes. Fills one clean_stop_log per log on disk into `logs`
 * (room for logs_count). op result: how many, or -errno. */
void store_close(struct store *store, struct clean_stop_log *logs, struct op *op, op_fn *then);

#endif
