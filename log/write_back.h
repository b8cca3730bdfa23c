/*
 * write_back -- from the tail to the segments, until the journal can forget.
 *
 *      committed bytes --> writes (a few in flight) --> written --> settling --> settled
 *        of a log that      whole blocks, or            one job:     marks go, chunks become
 *        has gathered       all when pressed            index        cache, journal files
 *        enough                                         entries,     are released
 *                                                       flush all
 *
 * A mark is the first unsettled DATA of a log in one journal file. All marks of a log are in
 * offset order; the first says from which entry on replay needs the journal for this log.
 *
 * Lives on the store's core.
 */
#ifndef LOG_WRITE_BACK_H
#define LOG_WRITE_BACK_H

#include "log/store.h"

struct mark {
    uint64_t ordinal;  /* of the journal file */
    uint64_t sequence; /* of the log's first unsettled entry in it, ... */
    int64_t segment_base;
    uint32_t position; /* ... and where its bytes belong */
    struct log *log;
    struct mark *next;       /* of this log */
    struct link holder_link; /* in store->holders[ordinal].marks */
};

/* False: out of memory. */
[[nodiscard]] bool write_back_init(struct store *store);
void write_back_deinit(struct store *store);

/* DATA was gathered. False: out of memory; asked for before the entry is appended. */
[[nodiscard]] bool write_back_can_mark(struct log *log);
void write_back_mark(struct log *log, const struct journal_append *entry);
/* The first entry that replay needs for this log; its next entry if none. */
uint64_t write_back_data_from(const struct log *log);
/* The log is being dropped: nothing of it goes to a segment any more. Its marks stay until the
 * journal says that it is dropped: recovery would miss what they stand for. */
void write_back_stop(struct log *log);
/* It is gone: nothing of it needs the journal any more. */
void write_back_forget(struct log *log);

/* More of the segment is committed. */
void write_back_committed(struct segment *segment);

/* It takes no more: its last bytes wait for no others, and its file is to be cut. */
void write_back_sealed(struct segment *segment);

/* The journal wants its files up to `ordinal` back. */
void write_back_press(struct store *store, uint64_t ordinal);
/* Everything is wanted in the segments: memory is short, or the store closes. */
void write_back_press_data(struct store *store);
/* Closing: true once all is settled, and every sealed segment cut; until then store_go_on is called
 * after each settling. */
[[nodiscard]] bool write_back_drain(struct store *store);

/* A holder has let go: release what the journal may use again. */
void write_back_release(struct store *store);

#endif
