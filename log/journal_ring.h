/*
 * journal_ring -- the files of one journal, used one after the other, again and again.
 *
 *      slot      0        1        2        3        4
 *            | old    | oldest |        |  head  | being  |
 *            |        |        |        |        | filled |
 *      ordinal   -        7        8        9
 *
 * Ordinals count up and name a use of a file; the ordinal's slot is its remainder. A file is made
 * by a job ahead of need, its name durable, its space allocated; and on the first lap zeros are
 * written into it, for a first write to allocated space costs the file system a commit of its own,
 * about as much as ours. What is wanted before that is finished is used as it is.
 * When the disk has no room for a further file, the ring stays as large as it is.
 * Lives on the journal's reactor.
 */
#ifndef LOG_JOURNAL_RING_H
#define LOG_JOURNAL_RING_H

#include "core/reactor.h"

enum { JOURNAL_FILES_MIN = 3 /* written, being released, and free for what releases */ };

struct journal_file {
    int fd;
    uint64_t first_sequence; /* of the commits in it; the journal's */
    uint32_t filled_bytes;
};

struct journal_ring_job {
    struct job job;
    const char *directory;
    uint32_t start, core, file_bytes;
    uint32_t slot;
    uint32_t count;    /* files to make; 0: fill, or close */
    uint32_t position; /* fill from here */
    int fds[JOURNAL_FILES_MIN];
};

struct journal_ring {
    uint32_t files_max;
    uint32_t file_bytes;
    uint64_t head;   /* ordinal of the file being written */
    uint64_t oldest; /* the oldest ordinal whose file may not be written again */

    /* journal_ring.c only */
    struct reactor *reactor;
    struct journal_file *files; /* [files_max] */
    uint32_t files_made;
    bool working; /* the job is out */
    bool closing;
    void (*ready)(void *context); /* a file is ready, or will never be */
    void *context;
    struct op *waits; /* for the ring to be open, or closed */
    struct journal_ring_job job;
};

struct journal_ring_options {
    const char *directory;
    uint32_t start, core;
    uint32_t file_bytes, files_max;
    void (*ready)(void *context);
    void *context;
};

/* Makes the first files; the head is then the first.
 *   op result   0 or -errno: nothing is open */
void journal_ring_open(struct journal_ring *ring, struct reactor *reactor,
                       const struct journal_ring_options *options, struct op *op, op_fn *then);
void journal_ring_close(struct journal_ring *ring, struct op *op, op_fn *then);

/* How many files may be written after the head. */
static inline uint32_t journal_ring_free(const struct journal_ring *ring)
{
    return ring->files_max - (uint32_t)(ring->head + 1 - ring->oldest);
}

/* The one after the head can be written now. */
bool journal_ring_has_next(const struct journal_ring *ring);
void journal_ring_advance(struct journal_ring *ring);

struct journal_file *journal_ring_file(const struct journal_ring *ring, uint64_t ordinal);

/* Make and fill what will be wanted next; head_bytes of the head are written. */
void journal_ring_prepare(struct journal_ring *ring, uint32_t head_bytes);

#endif
