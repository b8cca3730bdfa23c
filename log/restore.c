/* restore -- the entries laid over the segments, and the active segment completed. */
#include "log/restore.h"

#include "log/restoring.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int restore_active(struct restoring *log, uint64_t end);

int restoring_path(char path[RESTORE_PATH_BYTES], const struct restoring *log, const char *file)
{
    int bytes = snprintf(path, RESTORE_PATH_BYTES, "%s/%s%s%s", log->restore->directory,
                         log->state->name, file[0] ? "/" : "", file);
    return bytes < 0 || bytes >= RESTORE_PATH_BYTES ? -ENAMETOOLONG : 0;
}

int restoring_segment_path(char path[RESTORE_PATH_BYTES], const struct restoring *log,
                           const char *suffix)
{
    char file[64];
    snprintf(file, sizeof(file), "%020" PRId64 ".%s", log->base, suffix);
    return restoring_path(path, log, file);
}

int restoring_contradiction(const struct restoring *log, const char *what, uint64_t position)
{
    snprintf(log->restore->problem, RESTORE_PROBLEM_BYTES,
             "%s/%s/%020" PRId64 ".log, byte %" PRIu64 ": %s; the journal and the segment "
             "contradict each other: restore the directory, or remove it",
             log->restore->directory, log->state->name, log->base, position, what);
    return -EBADMSG;
}

/* -- the directory ----------------------------------------------------------------------------- */

/* There, and of this topic. One that does not say whose it is was made before a power cut: what it
 * has is what the journal has, or was settled. */
static int make_directory(struct restoring *log, bool has_directory)
{
    const struct log_state *state = log->state;
    struct files *files = log->restore->files;
    struct log_place place = restoring_place(log);
    uint8_t found[16];
    if (has_directory && directory_read_topic_id(files, &place, found) == -ENOENT) {
        return directory_write_topic_id(files, &place, state->topic_id);
    }
    return directory_make(files, &place, state->topic_id, state->log_id);
}

/* -- one segment ------------------------------------------------------------------------------- */

int restoring_open_segment(struct restoring *log, int64_t base, int flags)
{
    char path[RESTORE_PATH_BYTES];
    log->base = base;
    int error = restoring_segment_path(path, log, "log");
    return error ? error
                 : overlay_open(&log->overlay, log->restore->files, path, flags,
                                log->restore->window);
}

int restoring_next_batch(struct restoring *log, uint64_t position, uint64_t end,
                         struct batch *batch)
{
    const uint8_t *at;
    uint32_t count;
    int error = overlay_look(&log->overlay, position, BATCH_HEADER_BYTES, &at, &count);
    if (error) {
        return error;
    }
    if (count < BATCH_HEADER_BYTES || position + BATCH_HEADER_BYTES > end) {
        return 0;
    }
    /* batch_parse reads no more than a header; the rest was summed with its commit */
    switch (batch_parse(batch, at, end - position)) {
    case BATCH_WHOLE:
        return batch->last_offset_delta >= 0 && batch->base_offset >= log->base &&
                       batch_last_offset(batch) - log->base <= INT32_MAX
                   ? 1
                   : -EBADMSG;
    case BATCH_TORN:
        return 0;
    case BATCH_BROKEN:
        return -EBADMSG;
    }
    return -EBADMSG;
}

/* Where the journal begins within a block, that block is settled, or a later entry begins with all of
 * it. What is settled is not written again: the power could go meanwhile, and the journal has not
 * all of what that would spoil. */
static int lay(struct restoring *log, const struct replay_entry *entry, uint32_t bytes)
{
    struct restore *restore = log->restore;
    uint64_t block = ((uint64_t)entry->position + JOURNAL_BLOCK_BYTES - 1) / JOURNAL_BLOCK_BYTES *
                     JOURNAL_BLOCK_BYTES;
    if (log->laid_from == UINT64_MAX || (block == entry->position && block < log->laid_from)) {
        log->laid_from = block;
    }
    uint64_t settled = log->laid_from > entry->position ? log->laid_from - entry->position : 0;
    for (uint32_t done = settled < bytes ? (uint32_t)settled : bytes; done < bytes;) {
        uint8_t *to;
        uint32_t count;
        int error =
            overlay_put(&log->overlay, (uint64_t)entry->position + done, bytes - done, &to, &count);
        if (!error) {
            error = replay_read(restore->replay, restore->files, entry, done, to, count);
        }
        if (error) {
            return error;
        }
        done += count;
    }
    return 0;
}

/* -- the active segment ------------------------------------------------------------------------ */

/* What an append did to the log in memory; for producers see restore_producers. */
static int apply_batch(struct restoring *log, const struct batch *batch)
{
    struct log_state *state = log->state;
    if (batch->base_offset < state->log_end) {
        return -EBADMSG;
    }
    int error = 0;
    if (batch->partition_leader_epoch >= 0) {
        error = epochs_assign(&state->epochs, batch->partition_leader_epoch, batch->base_offset);
    }
    if (error < 0) {
        return error;
    }
    state->log_end = batch_last_offset(batch) + 1;
    if (batch->max_timestamp > state->max_timestamp) {
        state->max_timestamp = batch->max_timestamp;
        state->max_timestamp_offset = batch_last_offset(batch);
    }
    return 0;
}

/* From the last batch that is in the index, or the first, up to the end; *end is moved back to
 * where the last whole batch ends. */
static int walk_active(struct restoring *log, uint64_t *end)
{
    const struct offset_index *index = &log->offset_index;
    uint64_t position = index->count > 0 ? index->entries[index->count - 1].position : 0;
    while (position < *end) {
        struct batch batch;
        int found = restoring_next_batch(log, position, *end, &batch);
        /* Parts of a batch that was never finished, or what an earlier recovery left of them. */
        bool is_torn =
            found == -EBADMSG && position == log->state->position && log->state->placed > position;
        if ((found == 0 && position >= log->state->position) || is_torn) {
            *end = position;
            return 0;
        }
        int error = found == 1 ? restore_index_batch(log, &batch, position) : found;
        if (error >= 0 && found == 1 && position >= log->state->position) {
            error = apply_batch(log, &batch);
        }
        if (error == -EBADMSG || found == 0) {
            return restoring_contradiction(log, "no batch that could follow stands here", position);
        }
        if (error < 0) {
            return error;
        }
        position += batch.batch_bytes;
    }
    return 0;
}

/* Zeros follow the end, but a block of which the journal has nothing is left as it is: it would be
 * written without its bytes being anywhere else. The next append rewrites it, rest and all. */
static uint64_t cut_position(const struct restoring *log, uint64_t end)
{
    uint64_t block = end / JOURNAL_BLOCK_BYTES * JOURNAL_BLOCK_BYTES;
    return log->laid_from <= block || end == block ? end : block + JOURNAL_BLOCK_BYTES;
}

/* `end`: of the bytes that were laid, or of the STATE. */
static int restore_active(struct restoring *log, uint64_t end)
{
    struct log_state *state = log->state;
    restore_indexes_init(log);
    int error = restore_indexes_load(log);
    if (error == -EBADMSG) {
        restore_indexes_deinit(log);
        restore_indexes_init(log);
        error = 0;
    }
    if (!error) {
        error = walk_active(log, &end);
    }
    if (!error) {
        error = overlay_cut(&log->overlay, cut_position(log, end));
    }
    if (!error) {
        error = restore_indexes_write(log);
    }
    if (!error) {
        state->position = state->placed = (uint32_t)end;
        state->index_bytes = log->offset_index.count * OFFSET_INDEX_ENTRY_BYTES;
        state->time_index_bytes = log->time_index.count * TIME_INDEX_ENTRY_BYTES;
    }
    restore_indexes_deinit(log);
    return error;
}

/* -- one log ----------------------------------------------------------------------------------- */

/* How much of an entry counts: what was truncated away before the STATE does not. */
static uint32_t bytes_that_count(const struct log_state *state, const struct replay_entry *entry)
{
    if (entry->log_sequence > state->log_sequence || entry->segment_base < state->segment_base) {
        return entry->bytes;
    }
    if (entry->segment_base > state->segment_base || entry->position >= state->placed) {
        return 0;
    }
    uint32_t left = state->placed - entry->position;
    return entry->bytes < left ? entry->bytes : left;
}

/* The entries of one segment, from *next on; *next is then the first of another. */
static int lay_segment(struct restoring *log, size_t *next, uint64_t *end)
{
    const struct log_state *state = log->state;
    for (; *next < log->entries_count; ++*next) {
        const struct replay_entry *entry = &log->entries[*next];
        uint32_t bytes = bytes_that_count(state, entry);
        if (bytes == 0) {
            continue;
        }
        if (entry->segment_base != log->base) {
            return entry->segment_base > log->base
                       ? 0
                       : restoring_contradiction(log, "entries go back to an earlier segment",
                                                 *end);
        }
        if (entry->position > (*end > log->overlay.file_bytes ? *end : log->overlay.file_bytes) ||
            (entry->log_sequence > state->log_sequence && entry->position > *end)) {
            return restoring_contradiction(log, "bytes are missing before an entry",
                                           entry->position);
        }
        int error = lay(log, entry, bytes);
        if (error) {
            return error;
        }
        uint64_t entry_end = (uint64_t)entry->position + bytes;
        *end = entry_end > *end ? entry_end : *end;
    }
    return 0;
}

int64_t restoring_base_after(const struct restoring *log, const struct files_entry *entries,
                             int64_t count, int64_t base)
{
    for (int64_t i = 0; i < count; i++) { /* in name order, which is the order of bases */
        int64_t other = directory_base_of(entries[i].name, "log");
        if (other > base && other < log->state->segment_base) {
            return other;
        }
    }
    return log->state->segment_base;
}

static int restore_listed(struct restoring *log, const struct files_entry *entries, int64_t count,
                          int64_t laid_from)
{
    const struct log_state *state = log->state;
    int error = 0;
    for (int64_t i = 0; i < count && !error; i++) {
        int64_t base = directory_base_of(entries[i].name, NULL);
        int64_t limit = directory_base_of(entries[i].name, "snapshot") >= 0 ? state->log_end
                                                                            : state->segment_base;
        if (base > limit) {
            char path[RESTORE_PATH_BYTES];
            error = restoring_path(path, log, entries[i].name);
            if (!error) {
                error = files_unlink(log->restore->files, path);
                log->restore->has_changed = true;
            }
        } else if (directory_base_of(entries[i].name, "log") >= 0 && base < state->segment_base &&
                   (base >= state->uncut_base || base >= laid_from)) {
            error = restore_uncut(log, base, restoring_base_after(log, entries, count, base),
                                  base >= laid_from);
        }
    }
    return error;
}

/* Everything that is sealed, or too much. */
static int restore_others(struct restoring *log, int64_t laid_from)
{
    struct files_entry *entries = NULL;
    struct log_place place = restoring_place(log);
    int64_t count = directory_list(log->restore->files, &place, &entries);
    if (count < 0) {
        return (int)count;
    }
    int error = restore_listed(log, entries, count, laid_from);
    free(entries);
    return error;
}

/* What the entries from *next on have for one segment, then the segment itself. */
static int lay_one(struct restoring *log, int64_t base, size_t *next)
{
    const struct log_state *state = log->state;
    int error = restoring_open_segment(log, base, FILES_CREATE);
    if (error) {
        return error;
    }
    log->laid_from = UINT64_MAX;
    bool is_active = base == state->segment_base;
    uint64_t end = is_active ? state->placed : 0;
    error = lay_segment(log, next, &end);
    if (!error) {
        error = overlay_write(&log->overlay);
    }
    if (!error && is_active) {
        error = restore_active(log, end);
    }
    overlay_close(&log->overlay);
    return error;
}

static int lay_all(struct restoring *log, int64_t *laid_from)
{
    const struct log_state *state = log->state;
    int error = 0;
    size_t next = 0;
    *laid_from = INT64_MAX;
    while (next < log->entries_count && !error) {
        int64_t base = log->entries[next].segment_base;
        if (bytes_that_count(state, &log->entries[next]) == 0) {
            next++;
            continue;
        }
        *laid_from = base < *laid_from ? base : *laid_from;
        error = lay_one(log, base, &next);
    }
    if (!error && state->placed > state->position) {
        error = lay_one(log, state->segment_base, &next); /* settled parts of a batch: cut them */
    }
    return error;
}

static int restore_files(struct restoring *log, bool has_directory)
{
    struct log_state *state = log->state;
    bool is_torn = state->placed > state->position;
    if (log->entries_count == 0 && state->uncut_base == state->segment_base && !is_torn) {
        return 0; /* the files say what the STATE says */
    }
    if (log->entries_count > 0 || is_torn) {
        log->restore->has_changed = true;
        int error = make_directory(log, has_directory);
        if (error) {
            return error;
        }
    } else if (!has_directory) {
        return restoring_contradiction(log, "the directory is missing", 0);
    }
    int64_t laid_from;
    int error = lay_all(log, &laid_from);
    if (!error) {
        error = restore_others(log, laid_from);
    }
    if (!error) {
        state->uncut_base = state->segment_base;
        state->high_watermark =
            state->high_watermark < state->log_end ? state->high_watermark : state->log_end;
    }
    return error;
}

int restore_log(struct restore *restore, struct log_state *state,
                const struct replay_entry *entries, size_t entries_count, bool has_directory)
{
    struct restoring log = {
        .restore = restore,
        .state = state,
        .entries = entries,
        .entries_count = entries_count,
        .base = state->segment_base,
    };
    int error = restore_files(&log, has_directory);
    return error ? error : restore_producers(&log);
}
