/*
 * segment -- one file of a partition's log: record batches end to end, in offset order.
 *
 *     0          settled     written    committed   appended      file_bytes
 *     |= durable =|- written -|- to write -|- commit --|.. allocated, 0 ..|
 *                 |<----- also in live journal entries ----->|
 *
 * settled <= written <= committed <= appended <= file_bytes. Only committed bytes are written back:
 * a write to a block whose bytes are not all in the journal could tear what was acknowledged.
 * settled is `appended` itself, or a multiple of FILE_BLOCK_BYTES: a block that still grows is never
 * counted as durable, and when one that was counted grows, the journal gets all of it again.
 *
 * The last segment of a log is active and takes appends; the others are sealed, and end where they
 * end for ever. A sealed one's file is cut to its size by the settling that covers its last byte.
 *
 * A segment's file is opened when it is needed and closed when too many are open (store->fds_max).
 * Lives on the store's core.
 */
#ifndef LOG_SEGMENT_H
#define LOG_SEGMENT_H

#include "core/list.h"
#include "core/reactor.h"
#include "log/offset_index.h"
#include "log/tail.h"
#include "log/time_index.h"

struct log;
struct log_settings;
struct store;

enum { SEGMENT_PATH_BYTES = 4096, EXTENT_BYTES_MIN = 16 << 10, EXTENT_BYTES_MAX = 32 << 20 };

struct segment {
    struct log *log;
    int64_t base_offset;
    bool is_sealed;
    bool is_index_whole;       /* sealed, and its index files say all, durably */
    bool is_cut;               /* sealed, and the file ends where the records do, durably */
    bool is_loaded;            /* the indexes are in memory, and the end is known */
    bool is_extending;         /* the job is out, ... */
    bool is_extent_waited_for; /* ... and an append cannot go on without it */
    uint32_t settled;
    uint32_t written;
    uint32_t committed;
    uint32_t readable; /* the end of the last whole batch that is committed */
    uint32_t appended;
    uint32_t file_bytes;   /* allocated; 0: there is no file yet */
    uint32_t extent_bytes; /* of the next step ahead */
    uint64_t extended_us;
    struct chunks chunks;

    struct offset_index offset_index;
    struct time_index time_index;
    uint32_t offset_entries_settled; /* how many are durable in the index files */
    uint32_t time_entries_settled;
    int64_t first_timestamp; /* largest of the first batch, -1: none; when to roll */
    int64_t created_ms;

    /* segment.c only */
    int fd;
    uint32_t holds;           /* reads and writes that use fd */
    bool is_opening;          /* the job is out */
    struct op_queue fd_waits; /* holds that wait for it */
    struct link fd_link;      /* store->fds, the one used last at the end */
    struct link load_link;    /* store->loaded: sealed ones whose indexes are in memory */
    struct op_queue load_waits;

    /* write_back.c only */
    struct link write_link;  /* store->writes.queue */
    struct link settle_link; /* store->settle.pending: written, not settled */
    uint32_t write_to;       /* write back up to here now */
    bool is_pressed;         /* settling waits for write_to */
    bool is_writing;
};

/* NULL: out of memory. position: where it ends. */
struct segment *segment_new(struct log *log, int64_t base_offset, uint32_t position);
/* Nothing may be in flight for it. */
void segment_free(struct segment *segment);

static inline uint32_t block_floor(uint32_t position)
{
    return position & ~(uint32_t)(FILE_BLOCK_BYTES - 1);
}

static inline uint64_t block_ceiling(uint64_t position)
{
    return (position + FILE_BLOCK_BYTES - 1) & ~(uint64_t)(FILE_BLOCK_BYTES - 1);
}

/* `<directory>/<name>/<base offset>.<suffix>` */
void segment_path(char path[SEGMENT_PATH_BYTES], const char *directory, const char *name,
                  int64_t base_offset, const char *suffix);

/* Its file is open, as segment->fd, until segment_drop. True: at once; False: `then` runs, with
 * op->result 0 and the hold taken, or -errno and none. */
[[nodiscard]] bool segment_hold(struct segment *segment, struct op *op, op_fn *then);
void segment_drop(struct segment *segment);
/* A job has opened it: keep this fd. */
void segment_keep_fd(struct segment *segment, int fd);

/* A sealed segment's indexes and exact end. True: they are there; False: `then` runs, op->result 0
 * or -errno. They may be dropped again by the next load. */
[[nodiscard]] bool segment_load(struct segment *segment, struct op *op, op_fn *then);

/* It is sealed, settled and cut: its indexes may be dropped from now on. */
void segment_cut(struct segment *segment);

/* What a roll or a clean stop adds to the time index. */
void segment_seal(struct segment *segment);

/* Close what is open beyond store->options.fds_max; close these, in a job. */
void segments_close_some(struct store *store);
void segments_close_fds(struct store *store, const int *fds, uint32_t count);

#endif
