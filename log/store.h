/*
 * store -- what one core has of one data directory: a journal, its logs, and their write-back.
 *
 *      log_append --> tail chunk --> journal --> log_end          (log/append.c, log/journal.h)
 *                         |
 *                         '--> write-back --> segments --> settled      (log/write_back.h)
 *                                                             |
 *                    journal file used again  <-- released <--'
 *
 * What a journal file still holds is listed by file: marks (a log's first unsettled DATA in it) and
 * logs whose newest STATE lies in it. When the journal wants a file back, the marks' logs are
 * written out and settled, the others write a STATE at the head; with nothing left it is released.
 *
 * Opened after recovery with the logs that this core shall own. Lives on one reactor.
 */
#ifndef LOG_STORE_H
#define LOG_STORE_H

#include "core/list.h"
#include "core/reactor.h"
#include "log/clean_stop.h"
#include "log/journal.h"
#include "log/log.h"
#include "log/recovery.h"
#include "log/tail.h"

struct store_options {
    const char *directory; /* outlives the store */
    uint32_t start;
    uint32_t core;
    uint64_t salt;
    uint64_t journal_bytes; /* this core's part of the directory's journal budget */
    uint32_t journal_file_bytes;
    uint32_t fetch_read_bytes;   /* piece of a cold read; 0: 256 KiB */
    uint32_t fds_max;            /* segment files open at once; 0: 256 */
    uint32_t producers_max;      /* per log; 0: a quarter of what the budget has for them */
    int64_t producers_expire_ms; /* producer.id.expiration.ms; 0: never */
    bool was_clean;              /* what no log uses is as a clean stop left it */
    uint64_t idle_us;            /* a log silent for so long is written out; 0: 10 s */
    /* Of one step on the reactor, then it yields: bytes copied, 0: 256 KiB; items (appends ended,
     * logs opened, segments settled), 0: 64. */
    uint32_t step_bytes, step_items;
    /* A write or flush failed: the directory is to be taken offline on all cores. May be NULL. */
    void (*failed)(void *context, int error);
    void *context;
};

struct holders {                      /* of one journal file */
    struct list marks, marks_pressed; /* pressed: on their way out */
    struct list states, states_pressed;
    uint32_t states_in_flight; /* gathered into it, not durable yet */
};

enum { WRITES_MAX = 4 /* in flight per store: two keep the device busy, two are being prepared */ };

struct write { /* write_back.c: one write to a segment */
    struct file_io io;
    struct store *store;
    struct segment *segment; /* NULL: this slot is free */
    bool is_held;            /* the segment's file is open for it */
    uint32_t end;            /* written up to here when it ends */
    uint8_t *bounce;         /* one block, for what does not lie in the tail as it is written */
};

struct settle_job;

struct store {
    struct reactor *reactor;
    struct store_options options;
    struct journal journal;
    bool offline; /* a write or flush failed: nothing more is written here */
    /* Why store_open refused: what is wrong, where, and what to do. Empty: its result says it. */
    char problem[512];
    bool stopping;
    uint32_t log_counter; /* of the next log id */
    struct log *logs;     /* all, linked through log->next */
    struct log **logs_end;
    uint32_t logs_count;

    /* log/ only */
    struct tail tail;
    struct list append_waits; /* logs whose next append waits for journal room or memory */
    struct list larges;       /* append.c: logs with large ones, the first one's is under way */
    struct op large_op;
    bool is_large_due;
    struct list turn_waits; /* append.c: logs for whose next append the turn had no time */
    struct op turn_op;
    bool is_turn_due;
    uint64_t turn_us;    /* which turn it is, ... */
    uint32_t turn_bytes; /* ... and what it has placed */
    struct op resume_op;
    bool is_resuming;
    struct list news;    /* logs whose log_end has moved */
    struct log *telling; /* the one whose watchers are being told */
    struct op news_op;
    bool is_news_due;

    /* store.c */
    struct holders *holders; /* [holders_count], by ordinal */
    uint32_t holders_count;
    struct list state_queue; /* logs that want a STATE */
    uint32_t states_out;     /* with the journal */
    struct op state_op;
    bool is_state_due;
    struct timer retry_timer; /* for memory that only readers hold */
    struct log *failing;      /* the next log to hear that the store is offline */
    struct op fail_op;
    bool is_fail_due;
    int ballast_fd;

    /* snapshot.c */
    struct list snapshots, snapshots_flushing; /* logs with one that is not durable yet */
    uint32_t snapshots_out;                    /* being written */

    /* expiry.c */
    struct list expiring; /* logs with producers, the next to be looked through first */
    uint32_t expiring_count, expiring_left;
    bool is_expiry_due, is_expiry_pressed;
    uint64_t expiry_pressed_us;
    struct timer expiry_timer;
    struct op expiry_op;

    /* store_life.c */
    struct op *op; /* of store_open or store_close */
    struct log_state **open_states;
    uint32_t open_count, open_done;
    struct op open_op, step_op, close_op;
    bool is_step_due;
    bool is_flush_begun;
    int64_t close_result;
    enum store_step {
        STORE_OPENING, /* its journal and its logs */
        STORE_OPEN,
        STORE_SETTLING,  /* closing: everything is written out and settled */
        STORE_FINISHING, /* closing: each log's files are cut and completed */
        STORE_TELLING,   /* closing: final STATEs */
        STORE_WAITING,   /* closing: until nothing is out any more */
        STORE_CLOSING,   /* the journal */
        STORE_CLOSED,    /* and files; all logs are gone */
    } step;
    struct clean_stop_log *stop_logs;
    struct log *next; /* of all logs, for the step that store_life is at */
    uint32_t finishes_out;
    uint32_t stop_count;

    /* segment.c */
    struct list fds;
    uint32_t fds_count;
    struct list loaded;
    uint64_t loaded_bytes;
    uint32_t jobs; /* without a log: closing files */

    /* read.c */
    uint32_t reads_out;         /* buffers that hold what was read from disk */
    struct op_queue read_waits; /* for one of them */

    /* write_back.c */
    struct list writes_queue;
    struct write writes[WRITES_MAX];
    struct op writes_op;
    bool is_writes_due;
    uint32_t pressed_count;     /* segments whose write_to settling waits for */
    struct list settle_pending; /* segments with written > settled */
    bool is_settle_wanted;
    struct settle_job *settling;
    uint64_t wanted;      /* what journal files up to this hold is wanted out, ... */
    uint64_t data_wanted; /* ... and the DATA up to this, once */
    struct op press_op;
    bool is_press_due;
    struct list unsettled; /* logs with marks, the one that was appended to last at the end */
    struct timer idle_timer;
};

/* Takes over the states (moves them out; the array is borrowed until then) of the logs given;
 * journals a STATE for each. Their settings are defaults until the caller sets log->settings.
 * Nothing may be appended or dropped before recovery_finish has ended.
 *   op result   0 or -errno. store->logs then has them in the order given */
void store_open(struct store *store, struct reactor *reactor, const struct store_options *options,
                struct log_state **states, uint32_t states_count, struct op *op, op_fn *then);

/* A log for a new partition; NULL: out of memory, or of log ids. Nothing is on disk before its first
 * append. */
[[nodiscard]] struct log *store_create_log(struct store *store, const uint8_t topic_id[16],
                                           const char *topic, int32_t partition,
                                           const struct log_settings *settings,
                                           int32_t leader_epoch);

/* Clean stop of this core's part: no appends, reads or pins are under way any more. Writes out,
 * settles, cuts files, writes snapshots and final STATEs, closes; all logs are gone then. Fills one
 * clean_stop_log per log on disk into `logs` (room for logs_count).
 *   op result   how many, or -errno: closed, but not clean */
void store_close(struct store *store, struct clean_stop_log *logs, struct op *op, op_fn *then);

/* A write or flush failed, here or on another core: nothing more is written here. Pending appends
 * end with -EIO; what is in memory or on disk can still be read. */
void store_fail(struct store *store, int error);

/* -- log/ only --------------------------------------------------------------------------------- */

/* What opening or closing waits for may have come. */
void store_go_on(struct store *store);
/* The log wants a new STATE in the journal. */
void store_want_state(struct store *store, struct log *log);
/* There may be journal room, or memory. */
void store_resume(struct store *store);
/* The same after a while: memory may be held by readers only, whose going nobody tells. */
void store_retry_later(struct store *store);
struct holders *store_holders(struct store *store, uint64_t ordinal);

#endif
