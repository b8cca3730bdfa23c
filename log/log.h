/*
 * log -- one partition's records, in offset order.
 *
 *      segments (sealed, by base offset) ...  active segment
 *                                             0       settled    written   appended    file_bytes
 *                                             |= durable =|- written -|== tail ==|.. 0 ..|
 *
 *      log_start <= high_watermark = log_end <= appended end
 *
 * log_end is the journal's commit point: what is appended beyond it is seen by nobody. Offsets are
 * given out on append. Lives on the store's core; no other core touches it, but for bytes of tail
 * chunks that log_pin has held for them.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "core/reactor.h"
#include "log/batch.h"
#include "log/epochs.h"
#include "log/journal.h"
#include "log/offset_index.h"
#include "log/producers.h"
#include "log/refusal.h"
#include "log/state.h"
#include "log/time_index.h"

struct store;

struct log_settings { /* a topic's, may change while the log is open */
    uint32_t segment_bytes;
    int64_t segment_ms;
    uint32_t index_interval_bytes;
    uint32_t index_bytes_max;
};

/* Append one batch.
 *   result   0, a refusal (log/refusal.h), -ENOSPC (nothing was written) or -EIO (offline) */
struct log_append {
    struct op op;
    uint8_t *batch; /* borrowed until then; has passed validation; base offset and leader epoch are
                       written into the copy, not here */
    uint32_t bytes;
    int32_t leader_epoch;
    int64_t base_offset; /* out */
    int64_t last_offset; /* out */
    bool duplicate;      /* out: base_offset is that of the first attempt */

    /* log/ only */
    struct log *log;
    struct journal_append entry;
};

/* Where the bytes of an offset are.
 *   result   0, REFUSAL_OFFSET_OUT_OF_RANGE, -EIO */
struct log_locate {
    struct op op;
    int64_t offset;
    uint32_t bytes_max;
    bool whole_first; /* the first batch is not cut, however large */
    /* out; bytes 0: nothing to read now */
    int64_t segment_base;
    uint32_t position; /* of the batch that holds offset, or the next one */
    uint32_t bytes;    /* up to log_end; the last batch may be cut */
    int64_t log_start, log_end, high_watermark; /* as seen with it */

    /* log/ only */
    struct log *log;
    struct file_io io;
    uint32_t scan_position;
};

/* Bytes of a segment, in memory for as long as they are pinned.
 *   result   bytes (at least 1, at most those asked for), -ESTALE: not there any more, or -EIO */
struct log_pin {
    struct op op;
    int64_t segment_base;
    uint32_t position;
    uint32_t bytes_max;
    const uint8_t *data; /* out */

    /* log/ only */
    struct log *log;
    struct chunk *chunk;  /* a tail chunk, held by its reader count, ... */
    struct file_io io;    /* ... or a buffer read from disk */
    uint32_t buffer_bytes;
};

/* The first record with a timestamp >= target; target LOG_TIME_MAX: the record with the largest.
 *   result   0, or -EIO. offset -1: none */
struct log_lookup {
    struct op op;
    int64_t target_ms;
    int64_t offset, timestamp_ms; /* out */
    int32_t leader_epoch;

    /* log/ only */
    struct log *log;
    struct log_pin pin;
    int64_t segment_base;
    uint32_t position;
};
enum { LOG_TIME_MAX = -3 };

/* Somebody who wants to know of the next commit. Linked into any number of logs by one link each. */
struct log_watch {
    void (*fired)(struct log_watch *watch, struct log *log); /* log_end, or the log's fate, changed */
    struct log *log; /* NULL while not linked */
    struct log_watch *next, **link;
};

struct log {
    struct store *store;
    struct log *next; /* in store->logs */
    struct log_settings settings;
    int64_t log_start;
    int64_t log_end;
    int64_t high_watermark;
    int32_t leader_epoch; /* newest */
    bool dropped;
    struct epochs epochs;

    /* log/ only */
    struct log_private *private;
};

void log_append(struct log *log, struct log_append *append, op_fn *then);

/* True: done at once, `then` will not run. False: `then` will. */
[[nodiscard]] bool log_locate(struct log *log, struct log_locate *locate, op_fn *then);
/* result 0 or more at once (true), or later (false). Every pin that succeeded is unpinned here, on
 * the log's core. A log with pins is closed, rolled and dropped around them. */
[[nodiscard]] bool log_pin(struct log *log, struct log_pin *pin, op_fn *then);
void log_unpin(struct log_pin *pin);
void log_look_up(struct log *log, struct log_lookup *lookup, op_fn *then);

void log_watch(struct log *log, struct log_watch *watch,
               void (*fired)(struct log_watch *watch, struct log *log));
void log_unwatch(struct log_watch *watch);

/* From now on records carry this epoch (a new leader, or an unclean start). */
void log_assign_epoch(struct log *log, int32_t leader_epoch);

/* Never again. Journals STATE "dropped", then removes the directory when no pin holds it. `log` is
 * gone when then runs. op result: 0 or -errno */
void log_drop(struct log *log, struct op *op, op_fn *then);

#endif
