/*
 * journal -- the commit point of one core in one data directory.
 *
 *      journal_append --> gathering commit            file ring:  [0]--[1]--[2]--[3]
 *                              |  the one in flight is durable      ^oldest      ^head
 *                              v
 *                         in flight: one durable O_DIRECT write --> every op of the commit ends
 *
 * One commit is in flight while the next gathers. Entries of one log are replayed by their sequence,
 * which the log gives out. Files have a size and a number fixed at start: their product is the
 * journal's budget. A file whose turn comes again must have been released: the store is told
 * early (pressed) and releases it.
 *
 * The store asks for room first, and appends only then: so an append is copied into a commit, and
 * that commit has its place in a file, before journal_append returns. It waits for the disk, never
 * for a release. (If it could, a log could not settle the block that its waiting append belongs to,
 * and the file that the append waits for would never be released.) DATA leaves the last free files
 * to STATEs, and these the very last to those that release the oldest: what releases a file can
 * always be written, for it lay in one file before.
 *
 * A large entry is copied in slices, a turn each, as several entries: the first promises the others,
 * which have their room in the same commit, and the commit waits for them and not they for another.
 * The ops of a commit end in slices too, and the next commit is on its way before the first of them.
 * Lives on the store's core. Format: docs/formats.md.
 */
#ifndef LOG_JOURNAL_H
#define LOG_JOURNAL_H

#include "core/reactor.h"
#include "log/journal_format.h"
#include "log/journal_ring.h"

/* One entry on its way to the journal. Embedded in what waits for it.
 *   result   0: durable. -EIO: not, and the journal takes no more; the directory is offline */
struct journal_append {
    struct op op;
    uint64_t log_id;
    uint64_t log_sequence;
    enum entry_type type;
    /* DATA: where the bytes belong */
    int64_t segment_base;
    uint32_t position;
    uint32_t rest_bytes;   /* the first bytes repeat what is durable already */
    struct iovec bytes[2]; /* the entry's bytes, in up to two pieces; copied at once */
    /* The same struct comes again, in later turns, for entries of so many bytes together, headers
     * included: the op ends with the last one. 0: this is the last one. */
    uint32_t follow_bytes;
    uint64_t file_ordinal; /* out, at once: the journal file that holds the entry */

    /* journal.c only */
    uint32_t promised_bytes; /* follow_bytes of the entry before; 0 for the first */
};

struct journal_options {
    const char *directory; /* path; outlives the journal */
    uint32_t start;        /* the directory's start number */
    uint32_t core;
    uint64_t salt;             /* of the directory: a client cannot forge a commit */
    uint32_t file_bytes;       /* a multiple of FILE_BLOCK_BYTES; more than one largest commit */
    uint32_t files_max;        /* at least JOURNAL_FILES_MIN */
    uint32_t commit_bytes_max; /* a multiple of FILE_BLOCK_BYTES, at most COMMIT_BYTES_MAX */
    uint32_t ends_max;         /* ops that end in one step */
    /* The files up to `ordinal` are wanted back: move what they hold, then journal_release. Called
     * again with higher ordinals. */
    void (*pressed)(void *context, uint64_t ordinal);
    /* There may be room again, after journal_has_room said no. Called on a turn of its own. */
    void (*room)(void *context);
    /* A write failed: called once; the store takes the directory offline. */
    void (*failed)(void *context, int error);
    void *context;
};

struct journal_commit; /* journal.c */

struct journal {
    struct reactor *reactor;
    struct journal_options options;
    uint64_t oldest_ordinal; /* the oldest not released */
    bool offline;

    /* journal.c only */
    struct journal_ring ring;
    uint32_t head_bytes; /* of the ring's head, given to commits */
    uint64_t sequence;   /* of the commit begun last; all before it are durable */
    uint64_t pressed_ordinal;
    struct journal_commit *commits; /* [2]: one gathers, one is in flight */
    struct journal_commit *gathering;
    struct journal_commit *in_flight; /* NULL: none */
    struct op start;                  /* begin the gathering commit, at the end of this turn */
    struct op tell;                   /* call the store back */
    uint64_t promised_bytes;          /* to the gathering commit: it is not begun before */
    struct op_queue ended, failed;    /* ops to be ended, those of durable entries first */
    struct op end;                    /* end some of them */
    bool start_pending, tell_pending, end_pending;
    bool room_wanted; /* journal_has_room said no: call options.room when it may say yes */
    bool press_wanted;
    bool closing;
    struct op ring_op; /* opens and closes the ring */
    struct op *waits;  /* for the journal to be open, or closed */
};

/* Makes the first files; further ones are made by jobs ahead of need.
 *   op result   0 or -errno: nothing is open */
void journal_open(struct journal *journal, struct reactor *reactor,
                  const struct journal_options *options, struct op *op, op_fn *then);

enum journal_claim { /* on the last free files; the oldest ones are wanted back long before */
                     CLAIM_DATA,  /* leaves an eighth to STATEs, at least one file */
                     CLAIM_STATE, /* leaves the last file, also when it is the head */
                     CLAIM_RELEASE, /* a STATE without which the oldest file cannot be released: all there is */
};

/* Would an entry of so many bytes be gathered now? False: options.room will be called. For one in
 * slices: all their bytes, and the headers of those behind the first. */
[[nodiscard]] bool journal_has_room(struct journal *journal, enum journal_claim claim,
                                    uint64_t bytes);
uint64_t journal_entry_bytes_max(const struct journal *journal); /* what one commit can hold */

/* Only with journal_has_room. Appends end in the order they began. */
void journal_append(struct journal *journal, struct journal_append *append, op_fn *then);

/* Nothing in files below `ordinal` is needed any more; an ordinal up to that of the last append.
 * They are written again once a commit that says so is durable. */
void journal_release(struct journal *journal, uint64_t ordinal);

/* No append may be out. op result: 0 or -errno */
void journal_close(struct journal *journal, struct op *op, op_fn *then);

/* What recovery would have to read. */
uint64_t journal_live_bytes(const struct journal *journal);

#endif
