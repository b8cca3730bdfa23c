#include "log/snapshot.h"

#include "core/big_endian.h"
#include "log/log.h"
#include "log/segment.h"
#include "log/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PIECE_BYTES = 64 << 10,
    BEHIND_FACTOR = 4, /* so many times a snapshot's size behind the basis is worth a new one */
    PRODUCER_FILE_BYTES = 46 + PRODUCER_ENCODED_BYTES_MAX,
};

struct snapshot_job { /* one that is written between two rolls */
    struct job job;
    struct log *log;
    struct snapshot_task task;
    int64_t told; /* the snapshot that the newest durable STATE names, or -1 */
    int64_t segment_base;
    uint32_t position;
};

static void snapshot_ended(struct op *op);

/* -- in jobs ----------------------------------------------------------------------------------- */

static int pieces_write(const struct snapshot_task *task, struct files *files, int fd,
                        uint8_t *piece)
{
    struct producers_snapshot snapshot;
    producers_snapshot_begin(&snapshot, task->producers);
    uint64_t position = 0;
    for (size_t bytes; (bytes = producers_snapshot_next(&snapshot, piece, PIECE_BYTES)) > 0;) {
        int64_t result = files_write(files, fd, piece, bytes, position);
        if (result < 0) {
            return (int)result;
        }
        position += bytes;
    }
    uint8_t crc[4];
    big_endian_store32(crc, snapshot.crc);
    int64_t result = files_write(files, fd, crc, sizeof(crc), SNAPSHOT_CRC_POSITION);
    return result < 0 ? (int)result : 0;
}

int snapshot_task_run(const struct snapshot_task *task, struct files *files)
{
    if (!task->producers) {
        return 0;
    }
    char path[SEGMENT_PATH_BYTES];
    segment_path(path, task->place.directory, task->place.name, task->offset, "snapshot");
    uint8_t *piece = malloc(PIECE_BYTES);
    int fd = piece ? files_open(files, path, FILES_CREATE | FILES_TRUNCATE) : -ENOMEM;
    int result = fd < 0 ? fd : pieces_write(task, files, fd, piece);
    if (fd >= 0) {
        files_close(files, fd);
    }
    free(piece);
    return result;
}

void snapshots_remove(struct files *files, const struct log_place *place, int64_t below,
                      int64_t keep, int64_t keep_too)
{
    struct files_entry *entries = NULL;
    int64_t count = directory_list(files, place, &entries);
    int64_t segment_base = -1;
    for (int64_t i = 0; i < count; i++) { /* a .log stands before its .snapshot */
        int64_t base = directory_base_of(entries[i].name, "snapshot");
        if (directory_base_of(entries[i].name, "log") >= 0) {
            segment_base = directory_base_of(entries[i].name, "log");
        } else if (base >= 0 && base < below && base != segment_base && base != keep &&
                   base != keep_too) {
            char path[SEGMENT_PATH_BYTES];
            segment_path(path, place->directory, place->name, base, "snapshot");
            (void)!files_unlink(files, path);
        }
    }
    free(entries);
}

static int64_t snapshot_run(struct job *job, struct files *files)
{
    struct snapshot_job *snapshot = container_of(job, struct snapshot_job, job);
    int result = snapshot_task_run(&snapshot->task, files);
    if (result >= 0) { /* nobody will name one that is older than the newest that is named */
        snapshots_remove(files, &snapshot->task.place, snapshot->told, -1, -1);
    }
    return result;
}

/* -- the basis --------------------------------------------------------------------------------- */

int snapshot_basis_ensure(struct log *log, int64_t producer_id)
{
    const struct producers *producers = &log->producers;
    struct producers_basis *basis = &log->basis;
    if (producers_count(producers) != STATE_PRODUCERS_MAX ||
        producers_find(producers, producer_id)) {
        return 0;
    }
    uint32_t bytes = (uint32_t)producers_encoded_bytes(producers);
    uint8_t *encoded = malloc(bytes);
    if (!encoded) {
        return -ENOMEM;
    }
    producers_encode(producers, encoded);
    free(basis->encoded);
    *basis = (struct producers_basis){
        .offset = log->next_offset,
        .segment_base = log_active(log)->base_offset,
        .position = log->end_position,
        .encoded = encoded,
        .encoded_bytes = bytes,
    };
    return 0;
}

void snapshot_maybe(struct log *log)
{
    struct store *store = log->store;
    uint32_t count = producers_count(&log->producers);
    if (count <= STATE_PRODUCERS_MAX || log->dropped || log->are_producers_lent ||
        log->written.is_file || store->stopping || link_is_listed(&log->large_link) ||
        log->basis.bytes_since < (uint64_t)BEHIND_FACTOR * count * PRODUCER_FILE_BYTES) {
        return;
    }
    struct snapshot_job *job = malloc(sizeof(*job));
    if (!job) {
        return; /* the next STATE asks again */
    }
    *job = (struct snapshot_job){
        .job.run = snapshot_run,
        .log = log,
        .task = {.place = {.directory = store->options.directory, .name = log->name},
                 .offset = log->next_offset,
                 .producers = &log->producers},
        .told = log->told_snapshot,
        .segment_base = log_active(log)->base_offset,
        .position = log->end_position,
    };
    log->are_producers_lent = true;
    log->busy++;
    store->snapshots_out++;
    reactor_job(store->reactor, &job->job, snapshot_ended);
}

static void snapshot_ended(struct op *op)
{
    struct snapshot_job *job = container_of(op, struct snapshot_job, job.op);
    struct log *log = job->log;
    struct store *store = log->store;
    log->are_producers_lent = false;
    store->snapshots_out--;
    if (op->result >= 0) {
        snapshot_written(log, job->task.offset, job->segment_base, job->position);
    } else if (op->result == -EIO || op->result == -EROFS) {
        store_fail(store, (int)op->result);
    } /* a full disk: the basis stays where it is */
    free(job);
    append_pump(log);
    log_came_home(log);
    store_go_on(store);
}

/* -- written, durable, named ------------------------------------------------------------------- */

void snapshot_written(struct log *log, int64_t offset, int64_t segment_base, uint32_t position)
{
    if (producers_count(&log->producers) <= STATE_PRODUCERS_MAX || log->written.is_file) {
        return; /* no STATE will name it, or an earlier one first */
    }
    log->written = (struct producers_basis){
        .offset = offset, .segment_base = segment_base, .position = position, .is_file = true};
    list_push(&log->store->snapshots, &log->snapshot_link);
}

void snapshots_flush_begun(struct store *store)
{
    list_take_all(&store->snapshots_flushing, &store->snapshots);
}

bool snapshots_flushed(struct store *store, uint32_t count_max)
{
    for (uint32_t i = 0; i < count_max; i++) {
        struct link *link = list_first(&store->snapshots_flushing);
        if (!link) {
            return true;
        }
        struct log *log = container_of(link, struct log, snapshot_link);
        link_remove(link);
        free(log->basis.encoded);
        log->basis = log->written;
        log->written = (struct producers_basis){0};
    }
    return false;
}

void snapshot_forget(struct log *log)
{
    link_remove(&log->snapshot_link);
    free(log->basis.encoded);
    log->basis = log->written = (struct producers_basis){0};
}

struct snapshot_task snapshot_task_at(struct log *log, int64_t offset)
{
    bool is_there = (log->basis.is_file && log->basis.offset == offset) ||
                    (log->written.is_file && log->written.offset == offset);
    return (struct snapshot_task){
        .place = {.directory = log->store->options.directory, .name = log->name},
        .offset = offset,
        .producers = is_there ? NULL : &log->producers,
    };
}
