/* restore_producers -- the producers of a log, from their basis to its end. */
#include "log/restoring.h"

#include "core/cursor.h"
#include "log/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CONTROL_BATCH_BYTES_MAX = 4096, /* a marker's batch has about 80 */
    SNAPSHOT_BYTES_MAX = INT32_MAX, /* ours, and durable before it was named */
};

static int load_snapshot(struct restoring *log)
{
    char path[RESTORE_PATH_BYTES], *bytes = NULL;
    log->base = log->state->basis.offset; /* which names the file */
    int error = restoring_segment_path(path, log, "snapshot");
    if (error) {
        return error;
    }
    int64_t count = files_read_whole(log->restore->files, path, SNAPSHOT_BYTES_MAX, &bytes);
    if (count >= 0) {
        error = producers_snapshot_decode(&log->state->producers, bytes, (size_t)count);
        free(bytes);
    } else {
        error = count == -ENOENT ? -EBADMSG : (int)count;
    }
    if (error == -EBADMSG) {
        snprintf(log->restore->problem, RESTORE_PROBLEM_BYTES,
                 "%.400s is %s: restore the directory, or remove it", path,
                 count < 0 ? "missing" : "damaged");
    }
    return error;
}

/* Key: int16 version, int16 type. Value: int16 version, int32 coordinator epoch. */
static int apply_marker(struct restoring *log, const struct batch *header, uint64_t position)
{
    const uint8_t *at;
    uint32_t count;
    if (header->batch_bytes > CONTROL_BATCH_BYTES_MAX) {
        return -EBADMSG;
    }
    int error = overlay_look(&log->overlay, position, header->batch_bytes, &at, &count);
    if (error || count < header->batch_bytes) {
        return error ? error : -EBADMSG;
    }
    struct batch batch = *header;
    batch.bytes = at;
    struct records records =
        records_of(&batch, at + BATCH_HEADER_BYTES, batch.batch_bytes - BATCH_HEADER_BYTES);
    struct record record;
    if (!records_next(&records, &record) || view_is_null(record.value)) {
        return -EBADMSG;
    }
    struct cursor cursor;
    cursor_init(&cursor, record.value.data, (size_t)record.value.bytes);
    (void)cursor_int16(&cursor);
    int32_t coordinator_epoch = cursor_int32(&cursor);
    return cursor.failed
               ? -EBADMSG
               : producers_apply_marker(&log->state->producers, &batch, coordinator_epoch);
}

/* The batches of the segment at hand, from the position to the end, or to where the next begins. */
static int walk_segment(struct restoring *log, uint64_t position, uint64_t end, int64_t next_base)
{
    struct log_state *state = log->state;
    while (position < end) {
        struct batch batch;
        int found = restoring_next_batch(log, position, end, &batch);
        if (found != 1 || batch_last_offset(&batch) >= next_base) {
            return found < 0 ? found : -EBADMSG;
        }
        int error = 0;
        if (batch_has_producer(&batch)) {
            error = batch.attributes & BATCH_CONTROL ? apply_marker(log, &batch, position)
                                                     : producers_apply(&state->producers, &batch);
        }
        if (error) {
            return error;
        }
        position += batch.batch_bytes;
        state->basis.bytes_since += batch.batch_bytes;
        if (batch_last_offset(&batch) + 1 == next_base) {
            return 0;
        }
    }
    return 0;
}

static int walk_from_basis(struct restoring *log, const struct files_entry *entries, int64_t count)
{
    const struct log_state *state = log->state;
    uint64_t position = state->basis.position;
    for (int64_t base = state->basis.segment_base;;) {
        int64_t next_base = restoring_base_after(log, entries, count, base);
        bool is_active = base == state->segment_base;
        if (is_active && position >= state->position) {
            return 0; /* and it may have no file yet */
        }
        int error = restoring_open_segment(log, base, FILES_READ);
        if (error) {
            return error;
        }
        uint64_t end = is_active ? state->position : log->overlay.file_bytes;
        error = walk_segment(log, position, end, is_active ? INT64_MAX : next_base);
        overlay_close(&log->overlay);
        if (error || is_active) {
            return error;
        }
        base = next_base;
        position = 0;
    }
}

static int walk(struct restoring *log)
{
    struct files_entry *entries = NULL;
    struct log_place place = restoring_place(log);
    int64_t count = directory_list(log->restore->files, &place, &entries);
    if (count < 0) {
        return (int)count;
    }
    int error = walk_from_basis(log, entries, count);
    free(entries);
    return error;
}

int restore_producers(struct restoring *log)
{
    struct log_state *state = log->state;
    struct producers_basis *basis = &state->basis;
    int error = basis->is_file ? load_snapshot(log) : 0;
    if (error) {
        return error;
    }
    if (basis->offset < state->log_end) {
        error = walk(log);
    }
    if (error == -EBADMSG) {
        return restoring_contradiction(log, "the producers cannot be told", basis->position);
    }
    if (!error && producers_count(&state->producers) <= STATE_PRODUCERS_MAX) {
        free(basis->encoded); /* a STATE has them all */
        *basis = (struct producers_basis){0};
    }
    return error;
}
