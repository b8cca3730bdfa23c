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
 * and the file that the append waits for would never be released.) DATA leaves the last free file
 * to STATE: what releases a file can always be written.
 * Lives on the store's core. Format: docs/formats.md.
 */
#ifndef LOG_JOURNAL_H
#define LOG_JOURNAL_H

#include "core/reactor.h"

enum entry_type { ENTRY_DATA = 1, ENTRY_STATE = 2, ENTRY_REFERENCE = 3 /* reserved */ };

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
    uint32_t rest_bytes; /* the first bytes repeat what is durable already */
    struct iovec bytes[2]; /* the entry's bytes, in up to two pieces; copied at once */
    uint64_t file_ordinal; /* out, at once: the journal file that holds the entry */
};

struct journal_options {
    const char *directory; /* path; outlives the journal */
    uint32_t start;        /* the directory's start number */
    uint32_t core;
    uint64_t salt;           /* of the directory: a client cannot forge a commit */
    uint32_t file_bytes;     /* multiple of FILE_BLOCK_BYTES; holds at least one largest commit */
    uint32_t files_max;      /* at least 3 */
    uint32_t commit_bytes_max;
    /* The files up to `ordinal` are wanted back: move what they hold, then journal_release. Called
     * again with higher ordinals. */
    void (*pressed)(void *context, uint64_t ordinal);
    /* There may be room again, after journal_has_room said no. Called on a turn of its own. */
    void (*room)(void *context);
    /* A write failed: called once; the store takes the directory offline. */
    void (*failed)(void *context, int error);
    void *context;
};

struct journal_file; /* journal.c */
struct journal_commit;

struct journal {
    struct reactor *reactor;
    struct journal_options options;
    uint64_t head_ordinal;   /* of the file being written; ordinals count up from 1, never reused */
    uint64_t oldest_ordinal; /* the oldest not released */
    bool offline;

    /* journal.c only */
    uint64_t sequence;        /* of the next commit */
    uint64_t flushed;         /* commits up to here are durable */
    struct journal_file *files; /* [files_max] */
    struct journal_commit *gathering;
    struct journal_commit *in_flight;
    bool room_wanted; /* journal_has_room said no: call options.room when it may say yes */
};

/* Makes or opens nothing yet: files are made ahead by jobs, the first one here.
 *   op result   0 or -errno */
void journal_open(struct journal *journal, struct reactor *reactor,
                  const struct journal_options *options, struct op *op, op_fn *then);

/* Would an entry of so many bytes be gathered now? False: options.room will be called. */
[[nodiscard]] bool journal_has_room(struct journal *journal, enum entry_type type, uint64_t bytes);
uint64_t journal_entry_bytes_max(const struct journal *journal); /* what one commit can hold */

/* Only with journal_has_room. Appends end in the order they began. */
void journal_append(struct journal *journal, struct journal_append *append, op_fn *then);

/* Nothing in files below `ordinal` is needed any more. */
void journal_release(struct journal *journal, uint64_t ordinal);

/* Nothing may be waiting or in flight. */
void journal_close(struct journal *journal, struct op *op, op_fn *then);

uint64_t journal_live_bytes(const struct journal *journal);

/* -- replay, inside a job ---------------------------------------------------------------------- */

struct replay_entry {
    uint64_t log_id;
    uint64_t log_sequence;
    enum entry_type type;
    int64_t segment_base;
    uint32_t position;
    uint32_t rest_bytes;
    uint32_t bytes;         /* payload, without the entry's header */
    uint32_t file;          /* index into replay.files */
    uint64_t file_position; /* of the payload */
};

struct replay {
    struct replay_entry *entries; /* by log id, then log sequence; without what is not live */
    size_t entries_count;
    char (*files)[256]; /* every journal file found, to be unlinked when its successor serves */
    uint32_t files_count;
    char problem[512]; /* what is wrong and where, when replay_scan fails */
};

/* Reads all journals of all cores and earlier starts in the directory.
 *   0, -errno, or -EBADMSG: rot below a durable point, see problem */
[[nodiscard]] int replay_scan(struct replay *replay, struct files *files, const char *directory,
                              uint64_t salt);
/* Payload of an entry, checksum already verified by the scan. */
[[nodiscard]] int replay_read(struct replay *replay, struct files *files, const char *directory,
                              const struct replay_entry *entry, void *buffer);
void replay_free(struct replay *replay);

#endif
