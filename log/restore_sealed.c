/* restore_sealed -- a segment that may not be cut yet: it ends where its records end, with indexes. */
#include "log/restoring.h"

#include <errno.h>

/* Where its records end, walking from `position`: the last one before next_base ends there. index:
 * make index entries on the way; else only note the times. */
static int find_end(struct restoring *log, uint64_t position, int64_t next_base, bool index,
                    uint64_t *end)
{
    for (;;) {
        struct batch batch;
        int found = restoring_next_batch(log, position, log->overlay.file_bytes, &batch);
        if (found != 1) {
            return found == 0 ? -EBADMSG : found;
        }
        int error = 0;
        if (index) {
            error = restore_index_batch(log, &batch, position);
        } else {
            time_index_note(&log->time_index, batch.max_timestamp, batch_last_offset(&batch));
        }
        if (error < 0) {
            return error;
        }
        position += batch.batch_bytes;
        if (batch_last_offset(&batch) + 1 >= next_base) {
            *end = position;
            return batch_last_offset(&batch) + 1 == next_base ? 0 : -EBADMSG;
        }
    }
}

/* Do the index files cover the segment, which ends at the file's end? What is behind the last entry
 * of each is walked, and must add nothing. -EBADMSG: no. */
static int check_sealed(struct restoring *log, int64_t next_base)
{
    const struct offset_index *offsets = &log->offset_index;
    const struct time_index *times = &log->time_index;
    uint64_t end, from = 0, times_from = 0;
    if (offsets->count > 0) {
        from = offsets->entries[offsets->count - 1].position;
    }
    if (times->count > 0) {
        times_from = offset_index_lookup(
            offsets, log->base + times->entries[times->count - 1].relative_offset);
    }
    int error = find_end(log, from, next_base, true, &end);
    if (!error && times_from < from) {
        error = find_end(log, times_from, next_base, false, &end);
    }
    int made = error ? error : time_index_append(&log->time_index);
    if (made < 0) {
        return made;
    }
    return end == log->overlay.file_bytes && offsets->count == log->offsets_known &&
                   times->count == log->times_known
               ? 0
               : -EBADMSG;
}

/* Cut already, and its indexes whole? Its settling may have been under way when the power went, and
 * each of the three files is then what it is. 1, 0 or -errno. */
static int is_whole(struct restoring *log, int64_t next_base)
{
    restore_indexes_init(log);
    int error = restore_indexes_load_sealed(log);
    if (!error) {
        error = check_sealed(log, next_base);
    }
    restore_indexes_deinit(log);
    return error == -EBADMSG ? 0 : error ? error : 1;
}

/* Its file, which is open, ends where its records end; its indexes are made anew. */
static int restore_sealed(struct restoring *log, int64_t next_base)
{
    uint64_t end;
    restore_indexes_init(log);
    int error = find_end(log, 0, next_base, true, &end);
    if (error == -EBADMSG) {
        restore_indexes_deinit(log);
        return restoring_contradiction(log, "a sealed segment lacks its last records", 0);
    }
    if (!error) {
        error = overlay_write(&log->overlay);
    }
    if (!error) {
        error = files_truncate(log->restore->files, log->overlay.fd, end);
    }
    if (!error) {
        error = time_index_append(&log->time_index);
    }
    if (error >= 0) {
        error = restore_indexes_write(log);
    }
    restore_indexes_deinit(log);
    return error;
}

int restore_uncut(struct restoring *log, int64_t base, int64_t next_base, bool was_laid)
{
    int error = restoring_open_segment(log, base, FILES_CREATE);
    if (error) {
        return error;
    }
    int whole = was_laid ? 0 : is_whole(log, next_base);
    if (whole == 0) {
        log->restore->has_changed = true;
        error = restore_sealed(log, next_base);
    }
    overlay_close(&log->overlay);
    return whole < 0 ? whole : error;
}
