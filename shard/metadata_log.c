#include "shard/metadata_log.h"

#include "log/batch.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 30 };
enum { NAME_BYTES = METADATA_PATH_BYTES + 64 };

static int64_t load_run(struct job *job, struct files *files);
static int64_t begin_epoch_run(struct job *job, struct files *files);
static int64_t append_run(struct job *job, struct files *files);
static int64_t snapshot_run(struct job *job, struct files *files);
static void append_ended(struct op *op);
static void snapshot_ended(struct op *op);
static void job_ended(struct op *op);

static void log_name(const struct metadata_log *log, int64_t base, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "%s/%020" PRId64 ".log", log->path, base);
}

static void snapshot_name(const struct metadata_log *log, int64_t offset, int32_t epoch,
                          char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "%s/%020" PRId64 "-%010" PRId32 ".checkpoint", log->path, offset,
             epoch);
}

/* -- opening ------------------------------------------------------------------------------------ */

void metadata_log_open(struct metadata_log *log, struct reactor *reactor, const char *directory,
                       int32_t node_id, struct metadata_load *load, op_fn *then)
{
    *log = (struct metadata_log){.reactor = reactor, .node_id = node_id, .fd = -1};
    snprintf(log->path, sizeof log->path, "%s/__cluster_metadata-0", directory);
    *load = (struct metadata_load){.log = log, .job.run = load_run};
    reactor_job(reactor, &load->job, then);
}

void metadata_load_free(struct metadata_load *load)
{
    free(load->snapshot);
    free(load->batches);
    load->snapshot = load->batches = NULL;
}

struct found {               /* in the directory */
    int64_t snapshot_offset; /* -1: none */
    int32_t snapshot_epoch;
};

static bool snapshot_name_parse(const char *name, int64_t *offset, int32_t *epoch)
{
    char *end;
    errno = 0;
    *offset = strtoll(name, &end, 10);
    if (end != name + 20 || *end != '-') {
        return false;
    }
    long long epoch_read = strtoll(end + 1, &end, 10);
    *epoch = (int32_t)epoch_read;
    return errno == 0 && *offset >= 0 && epoch_read >= 0 && epoch_read <= INT32_MAX &&
           end == name + 20 + 1 + 10 && strcmp(end, ".checkpoint") == 0;
}

/* The newest snapshot. They appear whole, by rename. */
static int find_snapshot(struct metadata_log *log, struct files *files, struct found *found)
{
    found->snapshot_offset = -1;
    found->snapshot_epoch = 0;
    struct files_entry *entries;
    int64_t count = files_list(files, log->path, &entries);
    if (count < 0) {
        return (int)count;
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t offset;
        int32_t epoch;
        if (snapshot_name_parse(entries[i].name, &offset, &epoch) &&
            offset > found->snapshot_offset) {
            found->snapshot_offset = offset;
            found->snapshot_epoch = epoch;
        }
    }
    free(entries);
    return 0;
}

static bool all_batches_intact(const uint8_t *bytes, size_t count)
{
    struct batch_walk walk = batch_walk(bytes, count);
    struct batch batch;
    while (batch_walk_next(&walk, &batch)) {
        if (!batch_is_intact(&batch)) {
            return false;
        }
    }
    return walk.state == BATCH_WHOLE;
}

static int load_problem(struct metadata_load *load, const char *name, const char *what)
{
    snprintf(load->problem, sizeof load->problem,
             "%.300s: %s. Restore the file from a copy, or start with an empty data directory.",
             name, what);
    return -EBADMSG;
}

static bool epochs_push(struct metadata_log *log, int32_t epoch, int64_t start_offset)
{
    struct metadata_epoch *larger =
        realloc(log->epochs, (log->epochs_count + 1) * sizeof *log->epochs);
    if (!larger) {
        return false;
    }
    log->epochs = larger;
    larger[log->epochs_count++] =
        (struct metadata_epoch){.epoch = epoch, .start_offset = start_offset};
    log->epoch = epoch;
    return true;
}

/*
 * How much of the log is good. A batch that is not, with a good one behind it, is rot: each write
 * was durable before the next began. At the end it is a write that a crash cut short, and that
 * nobody was told of.
 */
static int64_t batches_check(struct metadata_load *load, const char *name)
{
    struct metadata_log *log = load->log;
    struct batch_walk walk = batch_walk(load->batches, load->batches_bytes);
    struct batch batch;
    const uint8_t *good_end = load->batches;
    while (batch_walk_next(&walk, &batch) && batch_is_intact(&batch) &&
           batch.base_offset == log->end_offset) {
        if (batch.partition_leader_epoch > log->epoch &&
            !epochs_push(log, batch.partition_leader_epoch, batch.base_offset)) {
            return -ENOMEM;
        }
        log->end_offset = batch_last_offset(&batch) + 1;
        good_end = batch.bytes + batch.batch_bytes;
    }
    const uint8_t *end = load->batches + load->batches_bytes;
    for (const uint8_t *at = good_end + 1; at + BATCH_HEADER_BYTES <= end; at++) {
        if (at[BATCH_MAGIC] == 2 && batch_parse(&batch, at, (size_t)(end - at)) == BATCH_WHOLE &&
            batch.base_offset >= log->end_offset && batch_is_intact(&batch)) {
            return load_problem(load, name, "a damaged batch lies before a good one");
        }
    }
    return good_end - load->batches;
}

static int64_t load_snapshot(struct metadata_load *load, struct files *files)
{
    struct metadata_log *log = load->log;
    struct found found;
    int error = find_snapshot(log, files, &found);
    if (error || found.snapshot_offset < 0) {
        return error;
    }
    char name[NAME_BYTES];
    snapshot_name(log, found.snapshot_offset, found.snapshot_epoch, name);
    int64_t bytes = files_read_whole(files, name, FILE_BYTES_MAX, (char **)&load->snapshot);
    if (bytes < 0) {
        return bytes;
    }
    load->snapshot_bytes = (size_t)bytes;
    if (bytes == 0 || !all_batches_intact(load->snapshot, load->snapshot_bytes)) {
        return load_problem(load, name, "the snapshot of the cluster's metadata is damaged");
    }
    log->snapshot_bytes = (uint64_t)bytes;
    log->start_offset = log->end_offset = found.snapshot_offset;
    return epochs_push(log, found.snapshot_epoch, found.snapshot_offset) ? 0 : -ENOMEM;
}

/* What is older than the newest snapshot goes; it went already, but for a crash. */
static int remove_old(struct metadata_log *log, struct files *files)
{
    struct files_entry *entries;
    int64_t count = files_list(files, log->path, &entries);
    int64_t error = count < 0 ? count : 0;
    for (int64_t i = 0; i < count && !error; i++) {
        int64_t offset;
        int32_t epoch;
        const char *dot = strrchr(entries[i].name, '.');
        bool is_old = snapshot_name_parse(entries[i].name, &offset, &epoch)
                          ? offset < log->start_offset
                          : dot && strcmp(dot, ".log") == 0 &&
                                strtoll(entries[i].name, NULL, 10) < log->start_offset;
        char name[METADATA_PATH_BYTES + 512];
        snprintf(name, sizeof name, "%s/%s", log->path, entries[i].name);
        if (is_old || (dot && strcmp(dot, ".tmp") == 0)) {
            error = files_unlink(files, name);
        }
    }
    if (count >= 0) {
        free(entries);
    }
    return (int)error;
}

static int64_t load_batches(struct metadata_load *load, struct files *files)
{
    struct metadata_log *log = load->log;
    char name[NAME_BYTES];
    log_name(log, log->start_offset, name);
    log->fd = files_open(files, name, FILES_CREATE);
    if (log->fd < 0) {
        return log->fd;
    }
    int64_t bytes = files_read_whole(files, name, FILE_BYTES_MAX, (char **)&load->batches);
    if (bytes < 0) {
        return bytes;
    }
    load->batches_bytes = (size_t)bytes;
    int64_t good = batches_check(load, name);
    if (good < 0) {
        return good;
    }
    load->batches_bytes = (size_t)good;
    log->log_bytes = (uint64_t)good;
    int error = 0;
    if (good < bytes) {
        error = files_truncate(files, log->fd, (uint64_t)good);
    }
    /*
     * What is applied from now on must not be lost after all. Flushing alone may not do it: after a
     * flush that failed the kernel holds as clean what never reached the disk, and the process that
     * was told so is gone. Written again, it is dirty again.
     */
    int64_t written = error ? error : files_write(files, log->fd, load->batches, (size_t)good, 0);
    return written < 0 ? written : files_flush(files, log->fd);
}

static int64_t load_run(struct job *job, struct files *files)
{
    struct metadata_load *load = container_of(job, struct metadata_load, job);
    struct metadata_log *log = load->log;
    int64_t error = files_make_directory(files, log->path);
    if (error && error != -EEXIST) {
        return error;
    }
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s/partition.metadata", log->path);
    static const char identity[] = "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ";
    error = files_replace_whole(files, name, identity, sizeof identity - 1);
    error = error ? error : load_snapshot(load, files);
    error = error ? error : remove_old(log, files);
    error = error ? error : load_batches(load, files);
    return error ? error : files_flush_directory(files, log->path);
}

/* -- writing ------------------------------------------------------------------------------------ */

static void job_begin(struct metadata_log *log, int64_t (*run)(struct job *, struct files *),
                      struct op *op, op_fn *then, op_fn *ended)
{
    assert(!log->job.op); /* one at a time */
    log->job.job.run = run;
    log->job.log = log;
    log->job.op = op;
    log->job.then = then;
    op->waits_for = "metadata log";
    reactor_job(log->reactor, &log->job.job, ended);
}

static void job_ended(struct op *op)
{
    struct metadata_log_job *job = container_of(op, struct metadata_log_job, job.op);
    struct op *waiting = job->op;
    if (op->result < 0 && !(op->result == -ENOSPC && job->can_be_full)) {
        job->log->failed = true;
    }
    job->can_be_full = false;
    waiting->result = op->result;
    job->op = NULL;
    job->then(waiting);
}

static int write_epochs(struct metadata_log *log, struct files *files)
{
    size_t room = 32 + (size_t)log->epochs_count * 40;
    char *text = malloc(room);
    if (!text) {
        return -ENOMEM;
    }
    int bytes = snprintf(text, room, "0\n%" PRIu32 "\n", log->epochs_count);
    for (uint32_t i = 0; i < log->epochs_count; i++) {
        bytes += snprintf(text + bytes, room - (size_t)bytes, "%" PRId32 " %" PRId64 "\n",
                          log->epochs[i].epoch, log->epochs[i].start_offset);
    }
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s/leader-epoch-checkpoint", log->path);
    int error = files_replace_whole(files, name, text, (size_t)bytes);
    free(text);
    return error;
}

static int64_t begin_epoch_run(struct job *job, struct files *files)
{
    struct metadata_log *log = container_of(job, struct metadata_log_job, job)->log;
    char name[NAME_BYTES], text[256];
    snprintf(name, sizeof name, "%s/quorum-state", log->path);
    int bytes = snprintf(text, sizeof text,
                         "{\"clusterId\":\"\",\"leaderId\":%" PRId32 ",\"leaderEpoch\":%" PRId32
                         ",\"votedId\":-1,\"appliedOffset\":0,\"currentVoters\":[{\"voterId\":"
                         "%" PRId32 "}],\"data_version\":0}",
                         log->node_id, log->epoch, log->node_id);
    int error = files_replace_whole(files, name, text, (size_t)bytes);
    return error ? error : write_epochs(log, files);
}

void metadata_log_begin_epoch(struct metadata_log *log, struct op *op, op_fn *then)
{
    if (!epochs_push(log, log->epoch + 1, log->end_offset)) {
        op->result = -ENOMEM;
        op->then = then;
        reactor_ready(log->reactor, op, then);
        return;
    }
    job_begin(log, begin_epoch_run, op, then, job_ended);
}

/* There was no room for all of it: none of it stays, and the log can go on when there is. */
static int64_t append_undo(struct metadata_log *log, struct files *files)
{
    int64_t error = files_truncate(files, log->fd, log->log_bytes);
    error = error ? error : files_flush(files, log->fd);
    return error ? error : -ENOSPC;
}

static int64_t append_run(struct job *job, struct files *files)
{
    struct metadata_log_job *append = container_of(job, struct metadata_log_job, job);
    struct metadata_log *log = append->log;
    const struct metadata_batches *batches = append->batches;
    struct batch_walk walk = batch_walk(batches->bytes, batches->bytes_count);
    struct batch batch;
    uint64_t position = log->log_bytes;
    /* One by one: a later one must not be whole on the disk while an earlier one is not. Only the
     * round of a start has more than one. */
    while (batch_walk_next(&walk, &batch)) {
        int64_t result = files_write(files, log->fd, batch.bytes, batch.batch_bytes, position);
        if (result == -ENOSPC) {
            return append_undo(log, files);
        }
        if (result >= 0) {
            result = files_flush(files, log->fd);
        }
        if (result < 0) {
            return result;
        }
        position += batch.batch_bytes;
    }
    assert(walk.state == BATCH_WHOLE);
    return 0;
}

static void append_ended(struct op *op)
{
    struct metadata_log_job *job = container_of(op, struct metadata_log_job, job.op);
    if (op->result >= 0) {
        job->log->log_bytes += job->batches->bytes_count;
        job->log->end_offset = job->batches->next_offset;
    }
    job->can_be_full = true;
    job_ended(op);
}

void metadata_log_append(struct metadata_log *log, const struct metadata_batches *batches,
                         struct op *op, op_fn *then)
{
    assert(!batches->failed && batches->bytes_count > 0);
    log->job.batches = batches;
    job_begin(log, append_run, op, then, append_ended);
}

bool metadata_log_is_worth_a_snapshot(const struct metadata_log *log)
{
    return log->log_bytes >= METADATA_LOG_BYTES_WORTH_A_SNAPSHOT &&
           log->log_bytes >= log->snapshot_bytes / 2;
}

/* There was no room for the snapshot: the log goes on where it is. It must not come back. */
static int64_t snapshot_undo(struct metadata_log *log, struct files *files, const char *name)
{
    int error = files_unlink(files, name);
    error = error && error != -ENOENT ? error : files_flush_directory(files, log->path);
    return error ? error : -ENOSPC;
}

/* The empty log, then the snapshot of all before it, then the old ones go. At every moment one pair
 * is whole: a log file without the snapshot of its base is looked at by nobody. */
static int64_t snapshot_run(struct job *job, struct files *files)
{
    struct metadata_log_job *snapshot = container_of(job, struct metadata_log_job, job);
    struct metadata_log *log = snapshot->log;
    char name[NAME_BYTES];
    log_name(log, snapshot->snapshot_offset, name);
    snapshot->fd = files_open(files, name, FILES_CREATE | FILES_TRUNCATE);
    if (snapshot->fd < 0) {
        return snapshot->fd;
    }
    snapshot_name(log, snapshot->snapshot_offset, snapshot->snapshot_epoch, name);
    int error =
        files_replace_whole(files, name, snapshot->batches->bytes, snapshot->batches->bytes_count);
    if (error) {
        files_close(files, snapshot->fd);
        return error == -ENOSPC ? snapshot_undo(log, files, name) : error;
    }
    files_close(files, log->fd);
    log->fd = snapshot->fd;
    log->start_offset = snapshot->snapshot_offset;
    log->epochs[0] = (struct metadata_epoch){.epoch = snapshot->snapshot_epoch,
                                             .start_offset = snapshot->snapshot_offset};
    log->epochs_count = 1;
    error = remove_old(log, files);
    error = error ? error : write_epochs(log, files);
    return error == -ENOSPC ? 0 : error; /* the epochs before are not wrong, only too many */
}

static void snapshot_ended(struct op *op)
{
    struct metadata_log_job *job = container_of(op, struct metadata_log_job, job.op);
    if (op->result >= 0) {
        job->log->log_bytes = 0;
        job->log->snapshot_bytes = job->batches->bytes_count;
    }
    job->can_be_full = true;
    job_ended(op);
}

void metadata_log_snapshot(struct metadata_log *log, const struct metadata_batches *batches,
                           struct op *op, op_fn *then)
{
    assert(!batches->failed);
    log->job.batches = batches;
    log->job.snapshot_offset = log->end_offset;
    log->job.snapshot_epoch = log->epoch;
    job_begin(log, snapshot_run, op, then, snapshot_ended);
}

static int64_t close_run(struct job *job, struct files *files)
{
    struct metadata_log *log = container_of(job, struct metadata_log_job, job)->log;
    if (log->fd >= 0) {
        files_close(files, log->fd);
        log->fd = -1;
    }
    free(log->epochs);
    log->epochs = NULL;
    return 0;
}

void metadata_log_close(struct metadata_log *log, struct op *op, op_fn *then)
{
    job_begin(log, close_run, op, then, job_ended);
}
