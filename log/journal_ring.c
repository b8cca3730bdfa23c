#include "log/journal_ring.h"

#include "log/journal_format.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILES_AHEAD = 2,            /* made beyond the head */
    FILL_SLICE_BYTES = 4 << 20, /* of one job: other jobs of this reactor wait behind it */
    FILL_WRITE_BYTES = 256 << 10,
    PATH_BYTES_MAX = 4096,
};

static void ring_opened(struct op *op);
static void ring_worked(struct op *op);
static void ring_closed(struct op *op);

static struct journal_ring *ring_of(struct op *op)
{
    return container_of(op, struct journal_ring, job.job.op);
}

/* -- jobs -------------------------------------------------------------------------------------- */

static int make_file(struct journal_ring_job *job, struct files *files, uint32_t slot)
{
    struct journal_name name = {.start = job->start, .core = job->core, .slot = slot};
    char text[JOURNAL_NAME_BYTES], path[PATH_BYTES_MAX];
    journal_name_write(&name, text);
    int bytes = snprintf(path, sizeof(path), "%s/%s", job->directory, text);
    if (bytes < 0 || (size_t)bytes >= sizeof(path)) {
        return -ENAMETOOLONG;
    }
    int fd = files_open(files, path, FILES_CREATE | FILES_TRUNCATE | FILES_DIRECT);
    if (fd < 0) {
        return fd;
    }
    int error = files_allocate(files, fd, 0, job->file_bytes);
    if (!error) {
        error = files_flush(files, fd);
    }
    if (error) {
        files_close(files, fd);
        (void)!files_unlink(files, path);
        return error;
    }
    return fd;
}

static int64_t make_run(struct job *base, struct files *files)
{
    struct journal_ring_job *job = container_of(base, struct journal_ring_job, job);
    int error = 0;
    uint32_t made = 0;
    while (made < job->count && !error) {
        int fd = make_file(job, files, job->slot + made);
        if (fd < 0) {
            error = fd;
        } else {
            job->fds[made++] = fd;
        }
    }
    if (!error) {
        error = files_flush_directory(files, job->directory);
    }
    while (error && made > 0) {
        files_close(files, job->fds[--made]);
    }
    return error;
}

static int64_t fill_run(struct job *base, struct files *files)
{
    struct journal_ring_job *job = container_of(base, struct journal_ring_job, job);
    uint8_t *zeros = aligned_alloc(FILE_BLOCK_BYTES, FILL_WRITE_BYTES);
    if (!zeros) {
        return -ENOMEM;
    }
    memset(zeros, 0, FILL_WRITE_BYTES);
    uint64_t end = (uint64_t)job->position + FILL_SLICE_BYTES;
    end = end < job->file_bytes ? end : job->file_bytes;
    int64_t result = 0;
    for (uint64_t position = job->position; position < end && result >= 0;) {
        uint64_t bytes = end - position < FILL_WRITE_BYTES ? end - position : FILL_WRITE_BYTES;
        result = files_write(files, job->fds[0], zeros, bytes, position);
        position += bytes;
    }
    free(zeros);
    if (result >= 0) {
        result = files_flush(files, job->fds[0]);
    }
    return result < 0 ? result : (int64_t)end;
}

/* It reads the ring's files: nobody touches the ring any more until this has ended. */
static int64_t close_run(struct job *base, struct files *files)
{
    struct journal_ring *ring = container_of(base, struct journal_ring, job.job);
    for (uint32_t slot = 0; slot < ring->files_made; slot++) {
        files_close(files, ring->files[slot].fd);
    }
    return 0;
}

static void ring_work(struct journal_ring *ring, int64_t (*run)(struct job *, struct files *),
                      op_fn *then)
{
    assert(!ring->working);
    ring->working = true;
    ring->job.job.run = run;
    reactor_job(ring->reactor, &ring->job.job, then);
}

/* -- open and close ---------------------------------------------------------------------------- */

void journal_ring_open(struct journal_ring *ring, struct reactor *reactor,
                       const struct journal_ring_options *options, struct op *op, op_fn *then)
{
    assert(options->files_max >= JOURNAL_FILES_MIN);
    *ring = (struct journal_ring){
        .files_max = options->files_max,
        .file_bytes = options->file_bytes,
        .head = 1,
        .oldest = 1,
        .reactor = reactor,
        .ready = options->ready,
        .context = options->context,
        .waits = op,
        .job =
            {
                .directory = options->directory,
                .start = options->start,
                .core = options->core,
                .file_bytes = options->file_bytes,
                .count = JOURNAL_FILES_MIN,
            },
    };
    op->then = then;
    ring->files = calloc(options->files_max, sizeof(*ring->files));
    if (!ring->files) {
        op->result = -ENOMEM;
        reactor_ready(reactor, op, then);
        return;
    }
    ring_work(ring, make_run, ring_opened);
}

static void ring_take_made(struct journal_ring *ring)
{
    for (uint32_t i = 0; i < ring->job.count; i++) {
        ring->files[ring->files_made++] = (struct journal_file){.fd = ring->job.fds[i]};
    }
}

static void ring_opened(struct op *op)
{
    struct journal_ring *ring = ring_of(op);
    ring->working = false;
    if (op->result < 0) {
        free(ring->files);
        ring->files = NULL;
    } else {
        ring_take_made(ring);
    }
    ring->waits->result = op->result;
    ring->waits->then(ring->waits);
}

void journal_ring_close(struct journal_ring *ring, struct op *op, op_fn *then)
{
    op->then = then;
    ring->waits = op;
    ring->closing = true;
    if (!ring->working) {
        ring_work(ring, close_run, ring_closed);
    }
}

static void ring_closed(struct op *op)
{
    struct journal_ring *ring = ring_of(op);
    free(ring->files);
    ring->files = NULL;
    ring->waits->result = op->result;
    ring->waits->then(ring->waits);
}

/* -- ahead of need ----------------------------------------------------------------------------- */

static uint32_t slot_of(const struct journal_ring *ring, uint64_t ordinal)
{
    return (uint32_t)((ordinal - 1) % ring->files_max);
}

struct journal_file *journal_ring_file(const struct journal_ring *ring, uint64_t ordinal)
{
    uint32_t slot = slot_of(ring, ordinal);
    assert(slot < ring->files_made);
    return &ring->files[slot];
}

bool journal_ring_has_next(const struct journal_ring *ring)
{
    uint32_t slot = slot_of(ring, ring->head + 1);
    bool being_filled = ring->working && ring->job.count == 0 && ring->job.slot == slot;
    return journal_ring_free(ring) > 0 && slot < ring->files_made && !being_filled;
}

void journal_ring_advance(struct journal_ring *ring)
{
    assert(journal_ring_has_next(ring));
    ring->head++;
}

/* The next file still to be written for the first time that is not yet filled; or files_max. */
static uint32_t slot_to_fill(const struct journal_ring *ring)
{
    if (ring->head >= ring->files_max) {
        return ring->files_max; /* the first lap is over */
    }
    for (uint32_t slot = (uint32_t)ring->head; slot < ring->files_made; slot++) {
        if (ring->files[slot].filled_bytes < ring->file_bytes) {
            return slot;
        }
    }
    return ring->files_max;
}

void journal_ring_prepare(struct journal_ring *ring, uint32_t head_bytes)
{
    if (ring->working || ring->closing) {
        return;
    }
    struct journal_ring_job *job = &ring->job;
    if (ring->files_made < ring->files_max && ring->files_made < ring->head + FILES_AHEAD) {
        job->slot = ring->files_made;
        job->count = 1;
        ring_work(ring, make_run, ring_worked);
        return;
    }
    /* A broker that hardly writes need not fill files: it begins with some way to go. */
    uint32_t slot = slot_to_fill(ring);
    if (slot < ring->files_made && (ring->head > 1 || head_bytes > ring->file_bytes / 8)) {
        job->slot = slot;
        job->count = 0;
        job->fds[0] = ring->files[slot].fd;
        job->position = ring->files[slot].filled_bytes;
        ring_work(ring, fill_run, ring_worked);
    }
}

static void ring_worked(struct op *op)
{
    struct journal_ring *ring = ring_of(op);
    struct journal_ring_job *job = &ring->job;
    ring->working = false;
    if (job->count > 0 && op->result == 0) {
        ring_take_made(ring);
    } else if (job->count > 0) {
        report(ring->reactor->reports, REPORT_WARN, reactor_wall_ms(ring->reactor), "journal",
               "the journal in %s stays at %u files of %u bytes: error %d", job->directory,
               ring->files_made, ring->file_bytes, (int)-op->result);
        ring->files_max =
            ring->files_made; /* still on the first lap: no ordinal changes its slot */
    } else {
        /* Not filled is not wrong, only slower; an error that matters will meet the commits. */
        ring->files[job->slot].filled_bytes =
            op->result < 0 ? ring->file_bytes : (uint32_t)op->result;
    }
    if (ring->closing) {
        ring_work(ring, close_run, ring_closed);
        return;
    }
    ring->ready(ring->context);
}
