/* segment -- its file, open while it is used, and its indexes, loaded while they are. */
#include "log/segment.h"

#include "log/log.h"
#include "log/log_files.h"
#include "log/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LOADED_BYTES_MAX = 16 << 20 /* indexes of sealed segments in memory, per store */ };

static void segment_opened(struct op *op);
static void segment_loaded(struct op *op);
static void fds_closed(struct op *op);

struct segment *segment_new(struct log *log, int64_t base_offset, uint32_t position)
{
    struct segment *segment = malloc(sizeof(*segment));
    if (!segment) {
        return NULL;
    }
    *segment = (struct segment){
        .log = log,
        .base_offset = base_offset,
        .settled = position,
        .written = position,
        .committed = position,
        .readable = position,
        .appended = position,
        .extent_bytes = EXTENT_BYTES_MIN,
        .first_timestamp = BATCH_NO_TIMESTAMP,
        .created_ms = reactor_wall_ms(log->store->reactor),
        .fd = -1,
    };
    link_init(&segment->fd_link);
    link_init(&segment->load_link);
    link_init(&segment->write_link);
    link_init(&segment->settle_link);
    offset_index_init(&segment->offset_index, base_offset, log->settings.index_bytes_max,
                      log->settings.index_interval_bytes);
    time_index_init(&segment->time_index, base_offset, log->settings.index_bytes_max);
    return segment;
}

static uint64_t indexes_bytes(const struct segment *segment)
{
    return (uint64_t)segment->offset_index.count * sizeof(struct offset_index_entry) +
           (uint64_t)segment->time_index.count * sizeof(struct time_index_entry);
}

static void segment_unload(struct segment *segment)
{
    struct store *store = segment->log->store;
    if (link_is_listed(&segment->load_link)) {
        store->loaded_bytes -= indexes_bytes(segment);
        link_remove(&segment->load_link);
    }
    segment->is_loaded = false;
    offset_index_deinit(&segment->offset_index);
    time_index_deinit(&segment->time_index);
}

void segments_close_fds(struct store *store, const int *fds, uint32_t count)
{
    struct close_job *job = malloc(sizeof(*job));
    if (!job) {
        return; /* they stay open until the process ends; a later one may succeed */
    }
    *job = (struct close_job){.job.run = close_job_run, .store = store, .count = count};
    memcpy(job->fds, fds, count * sizeof(*fds));
    store->jobs++;
    reactor_job(store->reactor, &job->job, fds_closed);
}

static void fds_closed(struct op *op)
{
    struct close_job *job = container_of(op, struct close_job, job.op);
    struct store *store = job->store;
    store->jobs--;
    free(job);
    store_go_on(store);
}

void segment_free(struct segment *segment)
{
    struct store *store = segment->log->store;
    assert(segment->holds == 0 && !segment->is_opening && !segment->is_writing);
    if (segment->fd >= 0) {
        link_remove(&segment->fd_link);
        store->fds_count--;
        segments_close_fds(store, &segment->fd, 1);
    }
    link_remove(&segment->write_link);
    link_remove(&segment->settle_link);
    segment_unload(segment);
    chunks_drop(&segment->chunks, &store->tail);
    free(segment);
}

/* -- its file ---------------------------------------------------------------------------------- */

void segments_close_some(struct store *store)
{
    if (store->fds_count <= store->options.fds_max) {
        return;
    }
    int fds[CLOSE_JOB_FDS];
    uint32_t count = 0;
    struct link *link = store->fds.head.next;
    while (link != &store->fds.head && count < CLOSE_JOB_FDS &&
           store->fds_count > store->options.fds_max) {
        struct segment *segment = container_of(link, struct segment, fd_link);
        link = link->next;
        if (segment->holds == 0) {
            link_remove(&segment->fd_link);
            fds[count++] = segment->fd;
            segment->fd = -1;
            store->fds_count--;
        }
    }
    if (count > 0) {
        segments_close_fds(store, fds, count);
    }
}

void segment_keep_fd(struct segment *segment, int fd)
{
    struct store *store = segment->log->store;
    if (segment->fd >= 0) {
        segments_close_fds(store, &fd, 1);
        return;
    }
    segment->fd = fd;
    store->fds_count++;
    list_push(&store->fds, &segment->fd_link);
    segments_close_some(store);
}

bool segment_hold(struct segment *segment, struct op *op, op_fn *then)
{
    struct store *store = segment->log->store;
    if (segment->fd >= 0) {
        segment->holds++;
        list_push(&store->fds, &segment->fd_link); /* used last */
        return true;
    }
    op->then = then;
    op->waits_for = "a segment's file";
    op_queue_push(&segment->fd_waits, op);
    if (segment->is_opening) {
        return false;
    }
    struct open_job *job = malloc(sizeof(*job));
    if (!job) {
        op_queue_pop(&segment->fd_waits);
        op->result = -ENOMEM;
        reactor_ready(store->reactor, op, then);
        return false;
    }
    *job = (struct open_job){
        .job.run = open_job_run,
        .segment = segment,
        .place = {.directory = store->options.directory, .name = segment->log->name},
        .base_offset = segment->base_offset,
    };
    segment->is_opening = true;
    segment->log->busy++;
    reactor_job(store->reactor, &job->job, segment_opened);
    return false;
}

static void segment_opened(struct op *op)
{
    struct open_job *job = container_of(op, struct open_job, job.op);
    struct segment *segment = job->segment;
    struct log *log = segment->log;
    int64_t result = op->result;
    free(job);
    segment->is_opening = false;
    uint32_t waiting = 0;
    for (struct op *wait = segment->fd_waits.head; wait && result >= 0; wait = wait->next) {
        waiting++;
    }
    segment->holds += waiting; /* before it can be closed again */
    if (result >= 0) {
        segment_keep_fd(segment, (int)result);
    }
    struct op_queue waits = segment->fd_waits;
    segment->fd_waits = (struct op_queue){0};
    for (struct op *wait; (wait = op_queue_pop(&waits));) {
        wait->result = result < 0 ? result : 0;
        reactor_ready(log->store->reactor, wait, wait->then);
    }
    log_came_home(log);
}

void segment_drop(struct segment *segment)
{
    assert(segment->holds > 0);
    segment->holds--;
    if (segment->holds == 0) {
        segments_close_some(segment->log->store);
    }
}

/* -- its indexes ------------------------------------------------------------------------------- */

bool segment_load(struct segment *segment, struct op *op, op_fn *then)
{
    struct store *store = segment->log->store;
    if (segment->is_loaded) {
        if (link_is_listed(&segment->load_link)) {
            list_push(&store->loaded, &segment->load_link);
        }
        return true;
    }
    assert(segment->is_sealed);
    op->then = then;
    op->waits_for = "a segment's indexes";
    bool is_first = op_queue_is_empty(&segment->load_waits);
    op_queue_push(&segment->load_waits, op);
    if (!is_first) {
        return false;
    }
    struct load_job *job = malloc(sizeof(*job));
    if (!job) {
        op_queue_pop(&segment->load_waits);
        op->result = -ENOMEM;
        reactor_ready(store->reactor, op, then);
        return false;
    }
    *job = (struct load_job){
        .job.run = load_job_run,
        .segment = segment,
        .place = {.directory = store->options.directory, .name = segment->log->name},
        .content = {.base_offset = segment->base_offset,
                    .is_sealed = true,
                    .offset_bytes = INT64_MAX,
                    .time_bytes = INT64_MAX},
    };
    segment->log->busy++;
    reactor_job(store->reactor, &job->job, segment_loaded);
    return false;
}

/* A damaged index of a sealed segment costs time, not records: it is taken as empty. */
static void content_take(struct segment *segment, struct segment_content *content)
{
    segment->settled = segment->written = segment->committed = content->end;
    segment->readable = segment->appended = content->end;
    offset_index_init(&segment->offset_index, segment->base_offset, INT32_MAX, 0);
    time_index_init(&segment->time_index, segment->base_offset, INT32_MAX);
    offset_index_take(&segment->offset_index, &content->offset_index);
    time_index_take(&segment->time_index, &content->time_index);
    segment->is_loaded = true;
}

/* The indexes are in memory, and on disk: they may go for others'. */
static void segment_cache(struct segment *segment)
{
    struct store *store = segment->log->store;
    store->loaded_bytes += indexes_bytes(segment);
    list_push(&store->loaded, &segment->load_link);
    while (store->loaded_bytes > LOADED_BYTES_MAX) {
        struct segment *oldest =
            container_of(list_first(&store->loaded), struct segment, load_link);
        if (oldest == segment) {
            break; /* one alone may be larger */
        }
        segment_unload(oldest);
    }
}

void segment_cut(struct segment *segment)
{
    assert(segment->is_sealed && segment->is_loaded);
    segment->is_cut = true;
    segment->file_bytes = segment->appended;
    segment_cache(segment);
}

static void segment_loaded(struct op *op)
{
    struct load_job *job = container_of(op, struct load_job, job.op);
    struct segment *segment = job->segment;
    struct log *log = segment->log;
    int64_t result = op->result;
    if (result >= 0) {
        content_take(segment, &job->content);
        segment_cache(segment);
    }
    segment_content_free(&job->content);
    free(job);
    struct op_queue waits = segment->load_waits;
    segment->load_waits = (struct op_queue){0};
    for (struct op *wait; (wait = op_queue_pop(&waits));) {
        wait->result = result;
        reactor_ready(log->store->reactor, wait, wait->then);
    }
    log_came_home(log);
}

void segment_seal(struct segment *segment)
{
    segment->is_sealed = true;
    (void)time_index_append(&segment->time_index); /* one that is missing costs a longer walk */
}
