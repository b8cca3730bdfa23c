#include "log/restore.h"

#include "core/big_endian.h"
#include "core/cursor.h"
#include "log/offset_index.h"
#include "log/record.h"
#include "log/time_index.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATH_BYTES = 4096,
    CONTROL_BATCH_BYTES_MAX = 4096, /* a marker's batch has about 80 */
};

/* One log on its way. */
struct restoring {
    struct restore *restore;
    struct log_state *state;
    const struct replay_entry *entries;
    size_t entries_count;
    struct overlay overlay; /* of the segment at hand */
    int64_t base;
    struct offset_index offset_index; /* of the same */
    struct time_index time_index;
    uint64_t laid_from; /* the journal has the blocks from here on; UINT64_MAX: none */
    uint32_t offsets_known, times_known; /* entries that its files have already */
};

static int restore_sealed(struct restoring *log, int64_t next_base);
static int restore_active(struct restoring *log, uint64_t end);

static int path_of(char path[PATH_BYTES], const struct restore *restore, const char *name,
                   const char *file)
{
    int bytes =
        snprintf(path, PATH_BYTES, "%s/%s%s%s", restore->directory, name, file[0] ? "/" : "", file);
    return bytes < 0 || bytes >= PATH_BYTES ? -ENAMETOOLONG : 0;
}

static int segment_path(char path[PATH_BYTES], const struct restoring *log, const char *suffix)
{
    char file[64];
    snprintf(file, sizeof(file), "%020" PRId64 ".%s", log->base, suffix);
    return path_of(path, log->restore, log->state->name, file);
}

static int contradiction(const struct restoring *log, const char *what, uint64_t position)
{
    snprintf(log->restore->problem, RESTORE_PROBLEM_BYTES,
             "%s/%s/%020" PRId64 ".log, byte %" PRIu64 ": %s; the journal and the segment "
             "contradict each other: restore the directory, or remove it",
             log->restore->directory, log->state->name, log->base, position, what);
    return -EBADMSG;
}

/* -- the directory ----------------------------------------------------------------------------- */

static struct log_place place_of(const struct restoring *log)
{
    return (struct log_place){.directory = log->restore->directory, .name = log->state->name};
}

/* There, and of this topic. One that does not say whose it is was made before a power cut: what it
 * has is what the journal has, or was settled. */
static int make_directory(struct restoring *log, bool has_directory)
{
    const struct log_state *state = log->state;
    struct files *files = log->restore->files;
    struct log_place place = place_of(log);
    uint8_t found[16];
    if (has_directory && directory_read_topic_id(files, &place, found) == -ENOENT) {
        return directory_write_topic_id(files, &place, state->topic_id);
    }
    return directory_make(files, &place, state->topic_id, state->log_id);
}

/* -- one segment ------------------------------------------------------------------------------- */

static int open_segment(struct restoring *log, int64_t base)
{
    char path[PATH_BYTES];
    log->base = base;
    int error = segment_path(path, log, "log");
    return error ? error
                 : overlay_open(&log->overlay, log->restore->files, path, FILES_CREATE,
                                log->restore->window);
}

/* A batch's header at the position. 1; 0: there is none whole before `end`; or -errno.
 * batch->bytes is the header alone, good until the next look. */
static int next_batch(struct restoring *log, uint64_t position, uint64_t end, struct batch *batch)
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

/* -- indexes ----------------------------------------------------------------------------------- */

static void indexes_init(struct restoring *log)
{
    /* Its limits are the store's matter: it rolls in time. */
    offset_index_init(&log->offset_index, log->base, UINT32_MAX,
                      log->restore->index_interval_bytes);
    time_index_init(&log->time_index, log->base, UINT32_MAX);
    log->offsets_known = log->times_known = 0;
}

static void indexes_deinit(struct restoring *log)
{
    offset_index_deinit(&log->offset_index);
    time_index_deinit(&log->time_index);
}

/* The first `bytes` of an index file, malloc'd. -EBADMSG: it is shorter. */
static int read_index(struct restoring *log, const char *suffix, uint32_t bytes, uint8_t **text)
{
    char path[PATH_BYTES];
    int error = segment_path(path, log, suffix);
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

/* What the STATE knows to be in the active segment's files. -EBADMSG: it is not; begin anew. */
static int load_indexes(struct restoring *log)
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

static int index_batch(struct restoring *log, const struct batch *batch, uint64_t position)
{
    time_index_note(&log->time_index, batch->max_timestamp, batch_last_offset(batch));
    int made = offset_index_append(&log->offset_index, batch_last_offset(batch), (uint32_t)position,
                                   batch->batch_bytes);
    return made == 1 ? time_index_append(&log->time_index) : made;
}

/* The file holds `bytes` from `position` on and nothing after them. */
static int write_index(struct restoring *log, const char *suffix, const void *bytes, uint64_t count,
                       uint64_t position)
{
    char path[PATH_BYTES];
    struct files *files = log->restore->files;
    int error = segment_path(path, log, suffix);
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

static int write_indexes(struct restoring *log)
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

/* -- a sealed segment -------------------------------------------------------------------------- */

/* Where its records end, walking from `position`: the last one before next_base ends there. index:
 * make index entries on the way; else only note the times. */
static int find_end(struct restoring *log, uint64_t position, int64_t next_base, bool index,
                    uint64_t *end)
{
    for (;;) {
        struct batch batch;
        int found = next_batch(log, position, log->overlay.file_bytes, &batch);
        if (found != 1) {
            return found == 0 ? -EBADMSG : found;
        }
        int error = 0;
        if (index) {
            error = index_batch(log, &batch, position);
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

/* Both index files, as they are. -EBADMSG: one is missing or damaged. */
static int load_sealed_indexes(struct restoring *log)
{
    struct files *files = log->restore->files;
    const char *suffixes[] = {"index", "timeindex"};
    for (int i = 0; i < 2; i++) {
        char path[PATH_BYTES], *text;
        int error = segment_path(path, log, suffixes[i]);
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
    indexes_init(log);
    int error = load_sealed_indexes(log);
    if (!error) {
        error = check_sealed(log, next_base);
    }
    indexes_deinit(log);
    return error == -EBADMSG ? 0 : error ? error : 1;
}

/* Its file, which is open, ends where its records end; its indexes are made anew. */
static int restore_sealed(struct restoring *log, int64_t next_base)
{
    uint64_t end;
    indexes_init(log);
    int error = find_end(log, 0, next_base, true, &end);
    if (error == -EBADMSG) {
        indexes_deinit(log);
        return contradiction(log, "a sealed segment lacks its last records", 0);
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
        error = write_indexes(log);
    }
    indexes_deinit(log);
    return error;
}

/* One that may not be cut yet; was_laid: for sure, and its indexes lag behind. */
static int restore_uncut(struct restoring *log, int64_t base, int64_t next_base, bool was_laid)
{
    int error = open_segment(log, base);
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

/* -- the active segment ------------------------------------------------------------------------ */

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

/* What an append did to the log in memory. */
static int apply_batch(struct restoring *log, const struct batch *batch, uint64_t position)
{
    struct log_state *state = log->state;
    if (batch->base_offset < state->log_end) {
        return -EBADMSG;
    }
    int error = 0;
    if (batch->partition_leader_epoch >= 0) {
        error = epochs_assign(&state->epochs, batch->partition_leader_epoch, batch->base_offset);
    }
    if (error >= 0 && batch_has_producer(batch)) {
        error = batch->attributes & BATCH_CONTROL ? apply_marker(log, batch, position)
                                                  : producers_apply(&state->producers, batch);
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
        int found = next_batch(log, position, *end, &batch);
        /* Parts of a batch that was never finished, or what an earlier recovery left of them. */
        bool is_torn =
            found == -EBADMSG && position == log->state->position && log->state->placed > position;
        if ((found == 0 && position >= log->state->position) || is_torn) {
            *end = position;
            return 0;
        }
        int error = found == 1 ? index_batch(log, &batch, position) : found;
        if (error >= 0 && found == 1 && position >= log->state->position) {
            error = apply_batch(log, &batch, position);
        }
        if (error == -EBADMSG || found == 0) {
            return contradiction(log, "no batch that could follow stands here", position);
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
    indexes_init(log);
    int error = load_indexes(log);
    if (error == -EBADMSG) {
        indexes_deinit(log);
        indexes_init(log);
        error = 0;
    }
    if (!error) {
        error = walk_active(log, &end);
    }
    if (!error) {
        error = overlay_cut(&log->overlay, cut_position(log, end));
    }
    if (!error) {
        error = write_indexes(log);
    }
    if (!error) {
        state->position = state->placed = (uint32_t)end;
        state->index_bytes = log->offset_index.count * OFFSET_INDEX_ENTRY_BYTES;
        state->time_index_bytes = log->time_index.count * TIME_INDEX_ENTRY_BYTES;
    }
    indexes_deinit(log);
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
                       : contradiction(log, "entries go back to an earlier segment", *end);
        }
        if (entry->position > (*end > log->overlay.file_bytes ? *end : log->overlay.file_bytes) ||
            (entry->log_sequence > state->log_sequence && entry->position > *end)) {
            return contradiction(log, "bytes are missing before an entry", entry->position);
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

/* The next segment that there is after `base`, at most the active one. */
static int64_t base_after(const struct restoring *log, const struct files_entry *entries,
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
            char path[PATH_BYTES];
            error = path_of(path, log->restore, state->name, entries[i].name);
            if (!error) {
                error = files_unlink(log->restore->files, path);
                log->restore->has_changed = true;
            }
        } else if (directory_base_of(entries[i].name, "log") >= 0 && base < state->segment_base &&
                   (base >= state->uncut_base || base >= laid_from)) {
            error =
                restore_uncut(log, base, base_after(log, entries, count, base), base >= laid_from);
        }
    }
    return error;
}

/* Everything that is sealed, or too much. */
static int restore_others(struct restoring *log, int64_t laid_from)
{
    struct files_entry *entries = NULL;
    struct log_place place = place_of(log);
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
    int error = open_segment(log, base);
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
    bool is_torn = state->placed > state->position;
    if (entries_count == 0 && state->uncut_base == state->segment_base && !is_torn) {
        return 0; /* the files say what the STATE says */
    }
    if (entries_count > 0 || is_torn) {
        restore->has_changed = true;
        int error = make_directory(&log, has_directory);
        if (error) {
            return error;
        }
    } else if (!has_directory) {
        return contradiction(&log, "the directory is missing", 0);
    }
    int64_t laid_from;
    int error = lay_all(&log, &laid_from);
    if (!error) {
        error = restore_others(&log, laid_from);
    }
    if (!error) {
        state->uncut_base = state->segment_base;
        state->high_watermark =
            state->high_watermark < state->log_end ? state->high_watermark : state->log_end;
    }
    return error;
}
