/*
 * snapshot -- a log's producers on disk: what a STATE names when they are too many to be in it.
 *
 *      segments    |------ sealed ------|---- active ---------------- next_offset
 *      basis                  ^ 32 producers encoded, or NNN.snapshot, durable
 *      written                                   ^ NNN.snapshot, durable with the next flush of all
 *
 * A STATE with few producers has them all. When a further one comes, those few become the basis:
 * the STATEs from then on say "these producers at this offset", and recovery reads the batches that
 * follow. When more than a few times the size of a snapshot lies behind the basis, a STATE has one
 * written; a roll and a clean stop write one anyway, as Kafka does. It is named once a settling has
 * made it durable. So what recovery reads behind a STATE is bounded by the memory for producers and
 * by what passes through the journal until then, and no STATE waits for a file.
 *
 * While the file is written by a job, the log's appends wait: its producers stand still.
 * Lives on the store's core.
 */
#ifndef LOG_SNAPSHOT_H
#define LOG_SNAPSHOT_H

#include "core/reactor.h"
#include "log/directory.h"
#include "log/producers.h"

struct log;
struct store;

/* The producers as they are now. Their table is read by the job, and does not change meanwhile. */
struct snapshot_task {
    struct log_place place;
    int64_t offset;
    const struct producers *producers; /* NULL: there is nothing to be written */
};
/* The file, not flushed. In a job. 0 or -errno */
[[nodiscard]] int snapshot_task_run(const struct snapshot_task *task, struct files *files);

/* Snapshots of the log that stand neither at a segment's base nor at the two offsets, and below
 * `below`, are removed, if that can be done: nobody looks for them. In a job. */
void snapshots_remove(struct files *files, const struct log_place *place, int64_t below,
                      int64_t keep, int64_t keep_too);

/* Before a batch of a new producer is placed: if the set is about to be too large for a STATE, what
 * it is now becomes the basis. -ENOMEM */
[[nodiscard]] int snapshot_basis_ensure(struct log *log, int64_t producer_id);

/* A STATE has been written: is a newer basis worth its while? */
void snapshot_maybe(struct log *log);

/* A snapshot at the end of the log, of a segment's base, was written: named when it is durable. */
void snapshot_written(struct log *log, int64_t offset, int64_t segment_base, uint32_t position);
/* All files are being flushed; they are durable. */
void snapshots_flush_begun(struct store *store);
[[nodiscard]] bool snapshots_flushed(struct store *store, uint32_t count_max); /* true: all */
/* The log goes. */
void snapshot_forget(struct log *log);
/* One of the producers as they are now, at this offset; not written again if a STATE may name it. */
struct snapshot_task snapshot_task_at(struct log *log, int64_t offset);

#endif
