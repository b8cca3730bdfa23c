/* restore_index -- the index files of one segment: loaded, completed, written. */
#include "log/restoring.h"

#include <errno.h>
#include <stdlib.h>

void restore_indexes_init(struct restoring *log)
{
    /* Its limits are the store's matter: it rolls in time. */
    offset_index_init(&log->offset_index, log->base, UINT32_MAX,
                      log->restore->index_interval_bytes);
    time_index_init(&log->time_index, log->base, UINT32_MAX);
    log->offsets_known = log->times_known = 0;
}

void restore_indexes_deinit(struct restoring *log)
{
    offset_index_deinit(&log->offset_index);
    time_index_deinit(&log->time_index);
}

/* The first `bytes` of an index file, malloc'd. -EBADMSG: it is shorter. */
static int read_index(struct restoring *log, const char *suffix, uint32_t bytes, uint8_t **text)
{
    char path[RESTORE_PATH_BYTES];
    int error = restoring_segment_path(path, log, suffix);
    if (error) {
        return error;
    }
    int fd = files_open(log->restore->files, path, FILES_READ);
    if (fd < 0) {
        return fd == -ENOENT ? -EBADMSG : fd;
    }
    *text = malloc(bytes + 1); /* what our own STATE says, at most a segment's size */
    int64_t got = *text ? files_read(log->restore->files, fd, *text, bytes, 0) : -ENOMEM;
    files_close(log->restore->files, fd);
    if (got != bytes) {
        free(*text);
        return got < 0 ? (int)got : -EBADMSG;
    }
    return 0;
}

int restore_indexes_load(struct restoring *log)
{
    uint8_t *text;
    const struct log_state *state = log->state;
    if (state->index_bytes > 0) {
        int error = read_index(log, "index", state->index_bytes, &text);
        if (error) {
            return error;
        }
        error = offset_index_load(&log->offset_index, text, state->index_bytes, state->position);
        free(text);
        if (error) {
            return error;
        }
    }
    if (state->time_index_bytes > 0) {
        int error = read_index(log, "timeindex", state->time_index_bytes, &text);
        if (error) {
            return error;
        }
        error = time_index_load(&log->time_index, text, state->time_index_bytes);
        free(text);
        if (error) {
            return error;
        }
    }
    log->offsets_known = log->offset_index.count;
    log->times_known = log->time_index.count;
    return log->offsets_known * OFFSET_INDEX_ENTRY_BYTES == state->index_bytes &&
                   log->times_known * TIME_INDEX_ENTRY_BYTES == state->time_index_bytes
               ? 0
               : -EBADMSG;
}

int restore_index_batch(struct restoring *log, const struct batch *batch, uint64_t position)
{
    time_index_note(&log->time_index, batch->max_timestamp, batch_last_offset(batch));
    int made = offset_index_append(&log->offset_index, batch_last_offset(batch), (uint32_t)position,
                                   batch->batch_bytes);
    return made == 1 ? time_index_append(&log->time_index) : made;
}

int restore_indexes_load_sealed(struct restoring *log)
{
    struct files *files = log->restore->files;
    const char *suffixes[] = {"index", "timeindex"};
    for (int i = 0; i < 2; i++) {
        char path[RESTORE_PATH_BYTES], *text;
        int error = restoring_segment_path(path, log, suffixes[i]);
        int64_t bytes = error ? error : files_read_whole(files, path, INT32_MAX, &text);
        if (bytes < 0) {
            return bytes == -ENOENT || bytes == -EFBIG ? -EBADMSG : (int)bytes;
        }
        uint64_t end = log->overlay.file_bytes < UINT32_MAX ? log->overlay.file_bytes : UINT32_MAX;
        error = i == 0 ? offset_index_load(&log->offset_index, text, (size_t)bytes, (uint32_t)end)
                       : time_index_load(&log->time_index, text, (size_t)bytes);
        free(text);
        if (error) {
            return error;
        }
    }
    log->offsets_known = log->offset_index.count;
    log->times_known = log->time_index.count;
    return 0;
}

/* The file holds `bytes` from `position` on and nothing after them. */
static int write_index(struct restoring *log, const char *suffix, const void *bytes, uint64_t count,
                       uint64_t position)
{
    char path[RESTORE_PATH_BYTES];
    struct files *files = log->restore->files;
    int error = restoring_segment_path(path, log, suffix);
    if (error) {
        return error;
    }
    int fd = files_open(files, path, FILES_CREATE);
    if (fd < 0) {
        return fd;
    }
    int64_t result = count > 0 ? files_write(files, fd, bytes, count, position) : 0;
    if (result >= 0) {
        result = files_truncate(files, fd, position + count);
    }
    files_close(files, fd);
    return result < 0 ? (int)result : 0;
}

int restore_indexes_write(struct restoring *log)
{
    uint64_t offsets = (uint64_t)(log->offset_index.count - log->offsets_known);
    uint64_t times = (uint64_t)(log->time_index.count - log->times_known);
    uint64_t bytes = offsets * OFFSET_INDEX_ENTRY_BYTES + times * TIME_INDEX_ENTRY_BYTES;
    uint8_t *text = malloc(bytes + 1);
    if (!text) {
        return -ENOMEM;
    }
    uint8_t *times_at = text + offsets * OFFSET_INDEX_ENTRY_BYTES;
    offset_index_encode(&log->offset_index, log->offsets_known, log->offset_index.count, text);
    time_index_encode(&log->time_index, log->times_known, log->time_index.count, times_at);
    int error = write_index(log, "index", text, offsets * OFFSET_INDEX_ENTRY_BYTES,
                            (uint64_t)log->offsets_known * OFFSET_INDEX_ENTRY_BYTES);
    if (!error) {
        error = write_index(log, "timeindex", times_at, times * TIME_INDEX_ENTRY_BYTES,
                            (uint64_t)log->times_known * TIME_INDEX_ENTRY_BYTES);
    }
    free(text);
    return error;
}
