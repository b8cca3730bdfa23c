/*
 * log -- one partition's records, in offset order.
 *
 *      segments (sealed, by base offset) ...  active segment (log/segment.h)
 *                                             0       settled  written  committed  appended
 *                                             |= durable =|- written -|- tail --|-----|
 *
 *      log_start <= high_watermark = log_end <= next_offset
 *
 * log_end is the journal's commit point: what is appended beyond it is seen by nobody. Offsets are
 * given out on append, from next_offset. Lives on the store's core; no other core touches it, but
 * for bytes of tail chunks that log_pin has held for them.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "core/list.h"
#include "core/reactor.h"
#include "log/batch.h"
#include "log/epochs.h"
#include "log/journal.h"
#include "log/producers.h"
#include "log/record_stream.h"
#include "log/refusal.h"
#include "log/segment.h"
#include "log/state.h"

struct store;

struct log_settings { /* a topic's, may change while the log is open */
    uint32_t segment_bytes;
    int64_t segment_ms;
    uint32_t index_interval_bytes;
    uint32_t index_bytes_max;
};

/* Append one batch.
 *   result   0, a refusal (log/refusal.h), -ENOSPC (nothing was written), -ESTALE (dropped
 *            meanwhile), -ENOMEM, or -EIO (offline) */
struct log_append {
    struct op op;
    uint8_t *batch; /* borrowed until then; has passed validation; base offset and leader epoch are
                       written into it */
    uint32_t bytes;
    int32_t leader_epoch;
    bool is_unread;      /* but for its CRC: that is checked on the way, REFUSAL_CORRUPT_MESSAGE */
    int64_t base_offset; /* out */
    int64_t last_offset; /* out */
    bool duplicate;      /* out: base_offset is that of the first attempt */

    /* append.c only */
    struct log *log;
    struct segment *segment;
    struct batch header;
    struct journal_append entry; /* of the portion that is on its way; of its last slice */
    uint32_t placed_bytes;       /* a large batch goes to the journal in portions, ... */
    uint32_t portion_left;       /* ... and these in slices */
    uint32_t crc, crc_at;        /* of one that is unread: summed up to here, ... */
    bool is_reading;             /* ... on its way to the tail, ... */
    bool is_in_tail;             /* ... where all of it is */
};

/* Where the bytes of an offset are.
 *   result   0, REFUSAL_OFFSET_OUT_OF_RANGE, -ESTALE (dropped), -EIO */
struct log_locate {
    struct op op;
    int64_t offset;
    uint32_t bytes_max;
    bool whole_first; /* the first batch is not cut, however large */
    /* out; bytes 0: nothing to read now */
    int64_t segment_base;
    uint32_t position;    /* of the batch that holds offset, or the next one */
    uint32_t bytes;       /* up to log_end; the last batch may be cut */
    uint32_t first_bytes; /* of the first batch, whole */
    int64_t log_start, log_end, high_watermark; /* as seen with it */

    /* read.c only */
    struct log *log;
    struct segment *segment;
    bool is_indexed; /* scan_position comes from the segment's index */
    struct file_io io;
    uint32_t scan_position;
};

/* Bytes of a segment, in memory for as long as they are pinned.
 *   result   bytes (at least 1, at most those asked for), -ESTALE: not there any more, -ENOBUFS: no
 *            memory for a read from disk now, or -EIO
 * Who holds pins while it waits for another may be waiting for one of its own kind: so only the
 * first one waits. */
struct log_pin {
    struct op op;
    int64_t segment_base;
    uint32_t position;
    uint32_t bytes_max;
    bool holds_others;   /* the caller has pins already: it does not wait for memory */
    const uint8_t *data; /* out */

    /* read.c only */
    struct log *log;
    struct store *store;
    struct segment *segment;
    uint32_t want;       /* bytes from disk */
    struct chunk *chunk; /* a tail chunk, held by its reader count, ... */
    struct file_io io;   /* ... or a buffer read from disk */
};

/* The first record with a timestamp >= target; target LOG_TIME_MAX: the record with the largest.
 *   result   0, -EIO, -ESTALE (dropped) or -ENOBUFS (no memory for it now). offset -1: none */
struct log_lookup {
    struct op op;
    int64_t target_ms;
    int64_t offset, timestamp_ms; /* out */
    int32_t leader_epoch;

    /* look_up.c only */
    struct log *log;
    struct segment *segment; /* being looked at, and ... */
    struct segment *chosen;  /* ... the one in which the record is looked for */
    int64_t wanted_ms;
    struct log_pin pin;
    uint8_t header[BATCH_HEADER_BYTES];
    uint32_t header_bytes;
    uint8_t *batch; /* [batch_bytes] */
    uint32_t batch_bytes, copied_bytes;
    uint32_t crc, crc_at; /* of the batch, summed up to here */
    uint8_t *memory;      /* [memory_bytes], the stream's */
    size_t memory_bytes;
    struct record_stream stream;
};
enum { LOG_TIME_MAX = -3 };

/* Who wants to know of the next commits of a log. They may be there before the log: then of its
 * first. On the log's core. */
struct log_watchers {
    struct log_watch *first;
    struct log_watch *next; /* to be fired */
};

/* One of them, until log_unwatch. */
struct log_watch {
    void (*fired)(struct log_watch *watch); /* log_end has changed; may unwatch */
    struct log_watchers *of;                /* NULL while not linked */
    struct log_watch *next, **link;
};

struct mark; /* write_back.c: the first unsettled DATA of a log in one journal file */

struct log {
    struct store *store;
    struct log *next; /* in store->logs */
    struct log **link;
    char *name; /* of the directory: topic-partition */
    uint8_t topic_id[16];
    int32_t partition;
    struct log_settings settings;
    int64_t log_start;
    int64_t log_end;
    int64_t high_watermark;
    int32_t leader_epoch; /* newest */
    bool dropped;
    struct epochs epochs;

    /* log/ only: what is appended */
    uint64_t id;
    uint64_t sequence;     /* of the next journal entry */
    int64_t next_offset;   /* all whole batches appended */
    uint32_t end_position; /* ... and where they end in the active segment */
    struct producers producers;
    struct producers_basis basis;   /* of a set that is too large for a STATE */
    struct producers_basis written; /* the next one, a file that is not durable yet */
    struct segment **segments;      /* [segments_room]; the last one is active */
    uint32_t segments_count, segments_room;
    bool is_listed; /* all sealed segments are in `segments` */
    bool has_directory;
    bool is_emptied; /* it is going: its segments are freed, some each turn */
    uint32_t busy;   /* jobs, reads and writes that will come back to it */

    /* append.c */
    struct op_queue appends;    /* not placed yet, in order; the first may be in part */
    struct op_queue repeats;    /* of batches that are still pending */
    uint32_t appends_in_flight; /* with the journal */
    bool is_preparing;          /* a job or read is out for the first append to go on */
    bool is_part_out; /* a portion of the first append is with the journal, not the last */
    struct op open_op;
    struct link wait_link;  /* store->append_waits: for journal room or memory */
    struct link turn_link;  /* store->turn_waits: for the next turn */
    struct link large_link; /* store->larges */
    struct file_io rest_io;
    uint64_t full_us; /* when the disk was last found full */

    /* snapshot.c */
    bool are_producers_lent;   /* to a job that writes them down: appends wait */
    struct link snapshot_link; /* store->snapshots, or those being flushed */
    struct link expiry_link;   /* store->expiring: has producers */

    /* store.c: STATEs */
    struct journal_append state_entry;
    bool is_state_out;      /* state_entry is with the journal */
    bool is_state_wanted;   /* another one, once that is durable */
    bool is_dropped_said;   /* by the STATE that is out */
    bool is_dropped_told;   /* by one that is durable */
    int64_t said_snapshot;  /* the producers' snapshot that the STATE that is out names, ... */
    int64_t told_snapshot;  /* ... and the newest durable one; -1: none */
    int64_t state_base;     /* active segment of the newest STATE with the journal, ... */
    int64_t told_base;      /* ... and of the newest durable one; -1: none */
    uint64_t state_ordinal; /* the journal file with the newest durable one */
    struct link state_link; /* in store->holders[ordinal].states */
    struct link state_queue_link; /* in store->state_queue: wants a new one */

    /* write_back.c */
    struct mark *marks, *marks_last;
    struct mark *mark_spare;    /* for the next append */
    struct link unsettled_link; /* store->unsettled, by last append */
    bool is_press_late; /* when it was pressed, bytes were still on their way to the journal */
    uint64_t appended_us;

    /* log.c */
    struct log_watchers *watchers; /* its maker's, who outlives it; NULL: nobody can watch it */
    struct link news_link;         /* store->news */
    struct op *drop_op;
    struct op drop_step;
    struct op_queue open_waits;   /* for is_listed */
    struct op_queue commit_waits; /* look-ups, for the latest record */
};

void log_append(struct log *log, struct log_append *append, op_fn *then);

/* True: done at once, `then` will not run. False: `then` will. */
[[nodiscard]] bool log_locate(struct log *log, struct log_locate *locate, op_fn *then);
/* result 0 or more at once (true), or later (false). Every pin that succeeded is unpinned. A log
 * with pins may be rolled and dropped meanwhile. */
[[nodiscard]] bool log_pin(struct log *log, struct log_pin *pin, op_fn *then);
/* On the log's core; a pin that log_pin_is_shared may be unpinned on any. */
void log_unpin(struct log_pin *pin);
static inline bool log_pin_is_shared(const struct log_pin *pin)
{
    return pin->chunk != NULL;
}
void log_look_up(struct log *log, struct log_lookup *lookup, op_fn *then);

void log_watch(struct log_watchers *watchers, struct log_watch *watch,
               void (*fired)(struct log_watch *watch));
void log_unwatch(struct log_watch *watch); /* not linked: nothing happens */

/* From now on records carry this epoch (a new leader, or an unclean start). */
void log_assign_epoch(struct log *log, int32_t leader_epoch);

/* Never again. Pending appends and reads end. Journals STATE "dropped", then
 * removes the directory. `log` is gone when then runs. op result: 0 or -errno */
void log_drop(struct log *log, struct op *op, op_fn *then);

/* -- log/ only --------------------------------------------------------------------------------- */

/* NULL: out of memory. Takes over what the state holds. */
struct log *log_new(struct store *store, struct log_state *state,
                    const struct log_settings *settings);
void log_free(struct log *log);
/* Ahead of it, in steps: gives up segments and chunks, and takes them off `items`. True: there are
 * none left. */
[[nodiscard]] bool log_empty(struct log *log, uint32_t *items);

static inline struct segment *log_active(const struct log *log)
{
    return log->segments[log->segments_count - 1];
}

/* All its sealed segments are listed, and the active one's indexes loaded. True: they are. False:
 * `then` runs, op->result 0 or -errno. */
[[nodiscard]] bool log_open(struct log *log, struct op *op, op_fn *then);
/* The active segment is sealed; a new one begins at next_offset. 0 or -ENOMEM. */
[[nodiscard]] int log_roll(struct log *log);
/* The segment that holds the offset: the last with base_offset <= offset. */
struct segment *log_segment(const struct log *log, int64_t offset);
/* The one behind it; NULL: it is the active one. */
struct segment *log_segment_after(const struct log *log, const struct segment *segment);
/* The one with this base; NULL: not there. */
struct segment *log_find_segment(const struct log *log, int64_t base_offset);
/* log_end has moved: watches are fired on a turn soon, once. */
void log_has_news(struct log *log);
/* `then` runs when an append of this log has ended, or none will any more: dropped, or offline. There
 * must be one in flight. */
void log_await_commit(struct log *log, struct op *op, op_fn *then);
void log_commit_ended(struct log *log);
/* Something that kept the log has come home. */
void log_came_home(struct log *log);

/* append.c */
void append_pump(struct log *log);

#endif
