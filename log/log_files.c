/* log_files -- the jobs. They touch nothing but their own struct, `files`, and what its place names. */
#include "log/log_files.h"

#include "log/batch.h"
#include "log/log.h"
#include "log/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WALK_BYTES = 64 << 10,          /* read at once to find a sealed segment's end */
    INDEX_FILE_BYTES_MAX = 64 << 20 /* segment.index.bytes is 10 MiB by default */
};

void segment_path(char path[SEGMENT_PATH_BYTES], const char *directory, const char *name,
                  int64_t base_offset, const char *suffix)
{
    snprintf(path, SEGMENT_PATH_BYTES, "%s/%s/%020lld.%s", directory, name, (long long)base_offset,
             suffix);
}

static void place_path(char path[SEGMENT_PATH_BYTES], const struct log_place *place,
                       const char *file)
{
    snprintf(path, SEGMENT_PATH_BYTES, "%s/%s%s%s", place->directory, place->name, *file ? "/" : "",
             file);
}

/* -- loading ----------------------------------------------------------------------------------- */

/* All of an index file, or its first `bytes_max` bytes; a file that is not there is empty. */
static int64_t index_read(struct files *files, const char *path, int64_t bytes_max, char **bytes)
{
    int64_t count = files_read_whole(files, path, INDEX_FILE_BYTES_MAX, bytes);
    if (count == -ENOENT) {
        *bytes = NULL;
        return 0;
    }
    return count > bytes_max ? bytes_max : count;
}

static int indexes_read(struct files *files, const struct log_place *place,
                        struct segment_content *content)
{
    char path[SEGMENT_PATH_BYTES];
    int64_t base = content->base_offset;
    segment_path(path, place->directory, place->name, base, "index");
    content->offset_bytes =
        index_read(files, path, content->offset_bytes, &content->offset_entries);
    if (content->offset_bytes < 0) {
        return (int)content->offset_bytes;
    }
    segment_path(path, place->directory, place->name, base, "timeindex");
    content->time_bytes = index_read(files, path, content->time_bytes, &content->time_entries);
    return content->time_bytes < 0 ? (int)content->time_bytes : 0;
}

/* Here, beside the reactor: a large one takes milliseconds. */
static void indexes_load(struct segment_content *content, uint64_t segment_bytes)
{
    offset_index_init(&content->offset_index, content->base_offset, UINT32_MAX, 0);
    time_index_init(&content->time_index, content->base_offset, UINT32_MAX);
    int error = offset_index_load(&content->offset_index, content->offset_entries,
                                  (size_t)content->offset_bytes, segment_bytes);
    int time_error =
        time_index_load(&content->time_index, content->time_entries, (size_t)content->time_bytes);
    content->index_error = error ? error : time_error;
    free(content->offset_entries);
    free(content->time_entries);
    content->offset_entries = content->time_entries = NULL;
}

/* A header of which all bytes are there, though not of the batch. */
static bool header_parse(struct batch *batch, const uint8_t *bytes, int64_t bytes_left)
{
    return bytes_left >= BATCH_HEADER_BYTES && batch_parse(batch, bytes, INT32_MAX) == BATCH_WHOLE;
}

/* Where the batches from `position` on end: at the file's end, or at zeros that a crash kept from
 * being cut off. */
static int walk_to_end(struct files *files, int fd, uint8_t *buffer, uint64_t position,
                       struct segment_content *content)
{
    for (;;) {
        uint64_t from = position / FILE_BLOCK_BYTES * FILE_BLOCK_BYTES;
        int64_t count = files_read(files, fd, buffer, WALK_BYTES, from);
        if (count < 0) {
            return (int)count;
        }
        struct batch batch;
        while (
            position < from + (uint64_t)count &&
            header_parse(&batch, buffer + (position - from), count - (int64_t)(position - from)) &&
            position + batch.batch_bytes <= content->file_bytes) {
            position += batch.batch_bytes;
        }
        bool is_cut_header =
            position > from && position + BATCH_HEADER_BYTES > from + (uint64_t)count;
        if (!is_cut_header || position + BATCH_HEADER_BYTES > content->file_bytes) {
            content->end = (uint32_t)position;
            return 0;
        }
    }
}

static int log_file_read(struct files *files, const struct log_place *place,
                         struct segment_content *content)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(path, place->directory, place->name, content->base_offset, "log");
    int fd = files_open(files, path, FILES_READ | FILES_DIRECT);
    if (fd < 0) {
        return fd;
    }
    int64_t result = -ENOMEM;
    uint8_t *buffer = aligned_alloc(FILE_BLOCK_BYTES, WALK_BYTES);
    if (!buffer) {
        goto close;
    }
    result = files_bytes(files, fd);
    if (result < 0) {
        goto close;
    }
    content->file_bytes = (uint64_t)result;
    result = files_read(files, fd, buffer, FILE_BLOCK_BYTES, 0);
    struct batch first;
    content->first_timestamp =
        header_parse(&first, buffer, result) ? first.max_timestamp : BATCH_NO_TIMESTAMP;
    if (result >= 0 && content->is_sealed) {
        const struct offset_index *index = &content->offset_index;
        indexes_load(content, content->file_bytes);
        uint32_t from = index->count ? index->entries[index->count - 1].position : 0;
        result = walk_to_end(files, fd, buffer, from, content);
    } else if (result >= 0 && content->file_bytes < content->end) {
        result = -EBADMSG; /* bytes that the journal knows to be there are not */
    }
close:
    free(buffer);
    files_close(files, fd);
    return result < 0 ? (int)result : 0;
}

static int content_read(struct files *files, const struct log_place *place,
                        struct segment_content *content)
{
    int result = indexes_read(files, place, content);
    if (result >= 0 && !content->is_sealed) {
        indexes_load(content, content->end);
    }
    return result < 0 ? result : log_file_read(files, place, content);
}

void segment_content_free(struct segment_content *content)
{
    free(content->offset_entries);
    free(content->time_entries);
    content->offset_entries = content->time_entries = NULL;
    offset_index_deinit(&content->offset_index);
    time_index_deinit(&content->time_index);
}

int64_t load_job_run(struct job *job, struct files *files)
{
    struct load_job *load = container_of(job, struct load_job, job);
    return content_read(files, &load->place, &load->content);
}

int64_t list_job_run(struct job *job, struct files *files)
{
    struct list_job *list = container_of(job, struct list_job, job);
    struct files_entry *entries = NULL;
    int64_t count = directory_list(files, &list->place, &entries);
    if (count == -ENOENT && list->active.end == 0) {
        return 0; /* nothing was ever appended */
    }
    if (count < 0) {
        return count;
    }
    list->sealed = malloc((size_t)(count + 1) * sizeof(*list->sealed));
    if (!list->sealed) {
        free(entries);
        return -ENOMEM;
    }
    for (int64_t i = 0; i < count; i++) { /* in name order, so by offset */
        int64_t base = directory_base_of(entries[i].name, "log");
        if (base >= 0 && base < list->active.base_offset) {
            list->sealed[list->sealed_count++] =
                (struct listed_segment){.base_offset = base, .file_bytes = entries[i].bytes};
        }
    }
    free(entries);
    int result = content_read(files, &list->place, &list->active);
    return result == -ENOENT && list->active.end == 0 ? 0 : result; /* rolled, and not made yet */
}

/* -- making ------------------------------------------------------------------------------------ */

/* As much as was asked for; on a nearly full disk, what is needed now. */
static int extent_allocate(struct files *files, int fd, uint32_t position, uint32_t *bytes,
                           uint32_t bytes_min)
{
    int result = files_allocate(files, fd, position, *bytes);
    if (result == -ENOSPC && *bytes > bytes_min) {
        *bytes = bytes_min;
        result = files_allocate(files, fd, position, bytes_min);
    }
    return result;
}

int64_t make_job_run(struct job *job, struct files *files)
{
    struct make_job *make = container_of(job, struct make_job, job);
    char path[SEGMENT_PATH_BYTES];
    int result =
        make->has_directory ? 0 : directory_make(files, &make->place, make->topic_id, make->log_id);
    if (result < 0) {
        return result;
    }
    result = snapshot_task_run(&make->snapshot, files);
    if (result < 0) {
        return result;
    }
    segment_path(path, make->place.directory, make->place.name, make->base_offset, "log");
    int fd = files_open(files, path, FILES_CREATE | FILES_DIRECT | FILES_TRUNCATE);
    if (fd < 0) {
        return fd;
    }
    result = extent_allocate(files, fd, 0, &make->bytes, make->bytes_min);
    if (result < 0) {
        files_close(files, fd);
        return result;
    }
    return fd;
}

int64_t extend_job_run(struct job *job, struct files *files)
{
    struct extend_job *extend = container_of(job, struct extend_job, job);
    char path[SEGMENT_PATH_BYTES];
    segment_path(path, extend->place.directory, extend->place.name, extend->base_offset, "log");
    int fd = files_open(files, path, FILES_DIRECT);
    if (fd < 0) {
        return fd;
    }
    int result = extent_allocate(files, fd, extend->position, &extend->bytes, extend->bytes_min);
    files_close(files, fd);
    return result;
}

int64_t open_job_run(struct job *job, struct files *files)
{
    struct open_job *open = container_of(job, struct open_job, job);
    char path[SEGMENT_PATH_BYTES];
    segment_path(path, open->place.directory, open->place.name, open->base_offset, "log");
    return files_open(files, path, FILES_DIRECT);
}

int64_t close_job_run(struct job *job, struct files *files)
{
    struct close_job *close = container_of(job, struct close_job, job);
    for (uint32_t i = 0; i < close->count; i++) {
        files_close(files, close->fds[i]);
    }
    return 0;
}

/* -- removing ---------------------------------------------------------------------------------- */

int64_t remove_job_run(struct job *job, struct files *files)
{
    struct remove_job *remove = container_of(job, struct remove_job, job);
    char retired[LOG_NAME_BYTES_MAX + 1];
    int result = directory_retire(files, &remove->place, remove->log_id, retired);
    if (result < 0) {
        return result == -ENOENT ? 0 : result;
    }
    struct log_place place = {.directory = remove->place.directory, .name = retired};
    result = directory_remove(files, &place);
    return result < 0 ? result : files_flush_directory(files, place.directory);
}

/* -- indexes ----------------------------------------------------------------------------------- */

/* The first entry that is not before this position. */
static uint32_t offsets_before(const struct offset_index *index, uint32_t from, uint32_t position)
{
    uint32_t high = index->count;
    while (from < high) {
        uint32_t middle = from + (high - from) / 2;
        if (index->entries[middle].position < position) {
            from = middle + 1;
        } else {
            high = middle;
        }
    }
    return from;
}

/* The first entry beyond this offset. */
static uint32_t times_through(const struct time_index *index, uint32_t from,
                              int64_t relative_offset)
{
    uint32_t high = index->count;
    while (from < high) {
        uint32_t middle = from + (high - from) / 2;
        if (index->entries[middle].relative_offset <= relative_offset) {
            from = middle + 1;
        } else {
            high = middle;
        }
    }
    return from;
}

bool index_task_begin(struct index_task *task, const struct segment *segment, uint32_t position,
                      bool is_end, bool is_cut)
{
    const struct offset_index *offsets = &segment->offset_index;
    const struct time_index *times = &segment->time_index;
    *task = (struct index_task){
        .place = {.directory = segment->log->store->options.directory, .name = segment->log->name},
        .base_offset = segment->base_offset,
        .offset_from = segment->offset_entries_settled,
        .time_from = segment->time_entries_settled,
        .is_end = is_end,
        .is_cut = is_cut,
        .end = segment->appended,
    };
    task->offset_done = task->offset_from;
    task->time_done = task->time_from;
    task->offset_to = offsets_before(offsets, task->offset_from, position);
    int64_t covered = -1;
    if (task->offset_to > 0) {
        covered = offsets->entries[task->offset_to - 1].relative_offset;
    }
    task->time_to = is_end ? times->count : times_through(times, task->time_from, covered);
    bool is_whole = true;
    if (is_end || task->offset_to > task->offset_from) {
        task->offset_entries =
            malloc((size_t)(task->offset_to - task->offset_from) * OFFSET_INDEX_ENTRY_BYTES + 1);
        is_whole = task->offset_entries != NULL;
    }
    if (is_end || task->time_to > task->time_from) {
        task->time_entries =
            malloc((size_t)(task->time_to - task->time_from) * TIME_INDEX_ENTRY_BYTES + 1);
        is_whole = is_whole && task->time_entries;
    }
    if (!is_whole) {
        index_task_free(task);
    }
    return is_whole;
}

static uint32_t entries_take(uint32_t from, uint32_t to, uint32_t *entries)
{
    uint32_t count = to - from < *entries ? to - from : *entries;
    *entries -= count;
    return from + count;
}

bool index_task_encode(struct index_task *task, const struct segment *segment, uint32_t *entries)
{
    uint32_t end = entries_take(task->offset_done, task->offset_to, entries);
    if (end > task->offset_done) {
        size_t at = (size_t)(task->offset_done - task->offset_from) * OFFSET_INDEX_ENTRY_BYTES;
        offset_index_encode(&segment->offset_index, task->offset_done, end,
                            task->offset_entries + at);
        task->offset_done = end;
    }
    end = entries_take(task->time_done, task->time_to, entries);
    if (end > task->time_done) {
        size_t at = (size_t)(task->time_done - task->time_from) * TIME_INDEX_ENTRY_BYTES;
        time_index_encode(&segment->time_index, task->time_done, end, task->time_entries + at);
        task->time_done = end;
    }
    return task->offset_done == task->offset_to && task->time_done == task->time_to;
}

/* count entries behind the first `from`; at the end the file is exactly that long. */
static int entries_write(struct files *files, const struct index_task *task, const char *suffix,
                         const uint8_t *entries, uint64_t from_bytes, uint64_t to_bytes)
{
    if (!entries) {
        return 0;
    }
    char path[SEGMENT_PATH_BYTES];
    segment_path(path, task->place.directory, task->place.name, task->base_offset, suffix);
    int fd = files_open(files, path, FILES_CREATE);
    if (fd < 0) {
        return fd;
    }
    int64_t result = to_bytes > from_bytes
                         ? files_write(files, fd, entries, to_bytes - from_bytes, from_bytes)
                         : 0;
    if (result >= 0 && task->is_end) {
        result = files_truncate(files, fd, to_bytes);
    }
    files_close(files, fd);
    return result < 0 ? (int)result : 0;
}

static int index_files_write(const struct index_task *task, struct files *files)
{
    int result = entries_write(files, task, "index", task->offset_entries,
                               (uint64_t)task->offset_from * OFFSET_INDEX_ENTRY_BYTES,
                               (uint64_t)task->offset_to * OFFSET_INDEX_ENTRY_BYTES);
    return result < 0 ? result
                      : entries_write(files, task, "timeindex", task->time_entries,
                                      (uint64_t)task->time_from * TIME_INDEX_ENTRY_BYTES,
                                      (uint64_t)task->time_to * TIME_INDEX_ENTRY_BYTES);
}

static int log_file_cut(const struct index_task *task, struct files *files)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(path, task->place.directory, task->place.name, task->base_offset, "log");
    int fd = files_open(files, path, FILES_DIRECT);
    if (fd < 0) {
        return fd;
    }
    int result = files_truncate(files, fd, task->end);
    files_close(files, fd);
    return result;
}

int index_task_run(struct index_task *task, struct files *files, int ballast_fd)
{
    if (task->is_cut) {
        int result = log_file_cut(task, files);
        if (result < 0) {
            return result;
        }
    }
    int result = index_files_write(task, files);
    if (result == -ENOSPC && files_truncate(files, ballast_fd, 0) == 0) {
        result = index_files_write(task, files);
    }
    task->is_full = result == -ENOSPC;
    return task->is_full ? 0 : result;
}

void index_task_settled(const struct index_task *task, struct segment *segment)
{
    if (task->is_full) {
        return;
    }
    segment->offset_entries_settled = task->offset_to;
    segment->time_entries_settled = task->time_to;
    segment->is_index_whole |= task->is_end;
    if (task->is_cut) {
        segment_cut(segment);
    }
}

void index_task_free(struct index_task *task)
{
    free(task->offset_entries);
    free(task->time_entries);
    task->offset_entries = task->time_entries = NULL;
}

int64_t ballast_job_run(struct job *job, struct files *files)
{
    struct ballast_job *ballast = container_of(job, struct ballast_job, job);
    const struct store_options *options = &ballast->store->options;
    char path[SEGMENT_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/odradek-%u.ballast", options->directory, options->core);
    int fd = files_open(files, path, FILES_CREATE);
    if (fd >= 0) { /* a full disk is no reason not to start */
        int result = files_allocate(files, fd, 0, BALLAST_BYTES);
        if (result < 0 && result != -ENOSPC) {
            files_close(files, fd);
            return result;
        }
    }
    return fd;
}

/* -- finishing --------------------------------------------------------------------------------- */

int64_t finish_job_run(struct job *job, struct files *files)
{
    struct finish_job *finish = container_of(job, struct finish_job, job);
    const struct log_place *place = &finish->index.place;
    char path[SEGMENT_PATH_BYTES];
    int result = index_task_run(&finish->index, files, finish->ballast_fd);
    if (result == -ENOENT && finish->index.end == 0) {
        result = 0; /* rolled, and nothing was appended since */
    }
    if (result >= 0) {
        result = snapshot_task_run(&finish->snapshot, files);
    }
    if (result >= 0) {
        snapshots_remove(files, place, INT64_MAX, finish->log_end, finish->told_snapshot);
    }
    if (result >= 0) {
        place_path(path, place, "leader-epoch-checkpoint");
        result = directory_write_file(files, path, finish->epochs, finish->epochs_bytes);
    }
    return finish->index.is_full ? -ENOSPC : result;
}

int64_t flush_job_run(struct job *job, struct files *files)
{
    struct flush_job *flush = container_of(job, struct flush_job, job);
    char path[SEGMENT_PATH_BYTES];
    const struct store_options *options = &flush->store->options;
    int result = files_flush_all(files, flush->store->ballast_fd);
    files_close(files, flush->store->ballast_fd);
    snprintf(path, sizeof(path), "%s/odradek-%u.ballast", options->directory, options->core);
    return result < 0 ? result : files_unlink(files, path);
}
