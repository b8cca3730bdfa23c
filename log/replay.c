#include "log/replay.h"

#include "core/crc32c.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW_BYTES = 1 << 20, ENTRIES_FIRST = 256, COMMITS_FIRST = 64, PATH_BYTES_MAX = 4096 };

struct replay_commit {
    uint32_t start, core;
    uint64_t sequence, oldest_live, flushed;
    uint32_t file;
    uint32_t position;
    bool whole;
    size_t entries_from; /* in scan.entries */
    uint32_t entries_count;
};

struct scan {
    struct replay *replay;
    struct files *files;
    uint64_t salt;
    struct replay_commit *commits;
    size_t commits_count, commits_room;
    struct replay_entry *entries; /* of all whole commits, stale ones too */
    size_t entries_count, entries_room;

    /* the file being read */
    uint32_t file;
    uint64_t file_bytes;
    uint8_t *window; /* [WINDOW_BYTES]: where headers are looked for */
    uint64_t window_from, window_end;
    uint8_t *commit; /* [commit_room]: the one whose checksum is being verified */
    uint32_t commit_room;
};

static void name_of(const struct scan *scan, uint32_t file, char text[JOURNAL_NAME_BYTES])
{
    journal_name_write(&scan->replay->files[file].name, text);
}

/* NULL: out of memory, and the items are as before. */
static void *room_for(void *items, size_t item_bytes, size_t count, size_t *room, size_t first)
{
    if (count < *room) {
        return items;
    }
    size_t larger = *room ? *room * 2 : first;
    void *grown = realloc(items, larger * item_bytes);
    if (grown) {
        *room = larger;
    }
    return grown;
}

/* -- one file ---------------------------------------------------------------------------------- */

/* COMMIT_HEADER_BYTES at the position, or NULL: the file ends. */
static const uint8_t *scan_at(struct scan *scan, uint64_t position, int *error)
{
    if (position + JOURNAL_BLOCK_BYTES > scan->file_bytes) {
        return NULL;
    }
    if (position < scan->window_from || position + JOURNAL_BLOCK_BYTES > scan->window_end) {
        int64_t got = files_read(scan->files, scan->replay->files[scan->file].fd, scan->window,
                                 WINDOW_BYTES, position);
        if (got < JOURNAL_BLOCK_BYTES) {
            *error = got < 0 ? (int)got : -EIO;
            return NULL;
        }
        scan->window_from = position;
        scan->window_end = position + (uint64_t)got;
    }
    return scan->window + (position - scan->window_from);
}

/* The commit's bytes in scan->commit, if they are what its header says. 1, 0 or -errno */
static int read_commit(struct scan *scan, const struct commit_header *header)
{
    if ((uint64_t)header->file_position + header->bytes > scan->file_bytes) {
        return 0;
    }
    if (header->bytes > scan->commit_room) { /* at most COMMIT_BYTES_MAX, and there in the file */
        uint8_t *grown = realloc(scan->commit, header->bytes);
        if (!grown) {
            return -ENOMEM;
        }
        scan->commit = grown;
        scan->commit_room = header->bytes;
    }
    int64_t got = files_read(scan->files, scan->replay->files[scan->file].fd, scan->commit,
                             header->bytes, header->file_position);
    if (got != header->bytes) {
        return got < 0 ? (int)got : -EIO;
    }
    uint32_t crc =
        crc32c(0, scan->commit + COMMIT_HEADER_BYTES, header->bytes - COMMIT_HEADER_BYTES);
    return crc == header->entries_crc;
}

static int add_entry(struct scan *scan, const struct commit_header *commit,
                     const struct entry_header *header, uint32_t payload_position)
{
    struct replay_entry *entries = room_for(scan->entries, sizeof(*entries), scan->entries_count,
                                            &scan->entries_room, ENTRIES_FIRST);
    if (!entries) {
        return -ENOMEM;
    }
    scan->entries = entries;
    entries[scan->entries_count++] = (struct replay_entry){
        .log_id = header->log_id,
        .log_sequence = header->log_sequence,
        .segment_base = header->segment_base,
        .file_position = (uint64_t)commit->file_position + payload_position,
        .start = commit->start,
        .file = scan->file,
        .position = header->position,
        .rest_bytes = header->rest_bytes,
        .bytes = header->bytes,
        .type = header->type,
    };
    return 0;
}

/* 0, -errno, or -EBADMSG: the checksum is right, and yet we do not know what this says */
static int add_entries(struct scan *scan, const struct commit_header *header)
{
    uint32_t at = COMMIT_HEADER_BYTES;
    for (uint32_t i = 0; i < header->entries_count; i++) {
        struct entry_header entry;
        if (!entry_header_decode(&entry, scan->commit + at, header->bytes - at)) {
            char name[JOURNAL_NAME_BYTES];
            name_of(scan, scan->file, name);
            snprintf(scan->replay->problem, sizeof(scan->replay->problem),
                     "%s: the entry at byte %" PRIu64 " (commit %" PRIu64
                     ") is of a kind unknown to this version; start the version that wrote it",
                     name, (uint64_t)header->file_position + at, header->sequence);
            return -EBADMSG;
        }
        at += ENTRY_HEADER_BYTES;
        int error = add_entry(scan, header, &entry, at);
        if (error) {
            return error;
        }
        at += entry.bytes;
    }
    return 0;
}

static int add_commit(struct scan *scan, const struct commit_header *header, bool whole)
{
    struct replay_commit *commits = room_for(scan->commits, sizeof(*commits), scan->commits_count,
                                             &scan->commits_room, COMMITS_FIRST);
    if (!commits) {
        return -ENOMEM;
    }
    scan->commits = commits;
    commits[scan->commits_count++] = (struct replay_commit){
        .start = header->start,
        .core = header->core,
        .sequence = header->sequence,
        .oldest_live = header->oldest_live,
        .flushed = header->flushed,
        .file = scan->file,
        .position = header->file_position,
        .whole = whole,
        .entries_from = scan->entries_count,
        .entries_count = whole ? header->entries_count : 0,
    };
    return whole ? add_entries(scan, header) : 0;
}

/* What is at the position of the file: bytes to step over, or -errno. */
static int64_t scan_block(struct scan *scan, uint64_t position, const uint8_t *bytes)
{
    const struct journal_name *name = &scan->replay->files[scan->file].name;
    struct commit_header header;
    switch (commit_header_decode(&header, scan->salt, bytes)) {
    case COMMIT_NONE:
        return JOURNAL_BLOCK_BYTES;
    case COMMIT_NEWER: {
        char text[JOURNAL_NAME_BYTES];
        name_of(scan, scan->file, text);
        snprintf(scan->replay->problem, sizeof(scan->replay->problem),
                 "%s: written by a newer version of Odradek; start that one", text);
        return -EBADMSG;
    }
    case COMMIT_FOUND:
        break;
    }
    if (header.start != name->start || header.core != name->core ||
        header.file_position != position) {
        return JOURNAL_BLOCK_BYTES; /* a whole header at the wrong place: a write went astray */
    }
    int whole = read_commit(scan, &header);
    int error = whole < 0 ? whole : add_commit(scan, &header, whole);
    if (error) {
        return error;
    }
    return whole ? commit_file_bytes(header.bytes) : JOURNAL_BLOCK_BYTES;
}

static int scan_file(struct scan *scan, uint32_t file)
{
    int64_t bytes = files_bytes(scan->files, scan->replay->files[file].fd);
    if (bytes < 0) {
        return (int)bytes;
    }
    scan->file = file;
    scan->file_bytes = (uint64_t)bytes < UINT32_MAX ? (uint64_t)bytes : UINT32_MAX;
    scan->window_from = scan->window_end = 0;
    uint64_t position = 0;
    int error = 0;
    for (;;) {
        const uint8_t *at = scan_at(scan, position, &error);
        if (!at) {
            return error;
        }
        int64_t step = scan_block(scan, position, at);
        if (step < 0) {
            return (int)step;
        }
        position += (uint64_t)step;
    }
}

/* -- one journal ------------------------------------------------------------------------------- */

/* By journal, then sequence; of two with one sequence the whole one first. */
static int commit_compare(const void *a, const void *b)
{
    const struct replay_commit *left = a, *right = b;
    if (left->start != right->start) {
        return left->start < right->start ? -1 : 1;
    }
    if (left->core != right->core) {
        return left->core < right->core ? -1 : 1;
    }
    if (left->sequence != right->sequence) {
        return left->sequence < right->sequence ? -1 : 1;
    }
    return (int)right->whole - (int)left->whole;
}

static int rot(struct scan *scan, const struct replay_commit *newest, uint64_t sequence,
               const struct replay_commit *damaged)
{
    char name[JOURNAL_NAME_BYTES], place[JOURNAL_NAME_BYTES + 32] = "its place is not known";
    name_of(scan, newest->file, name);
    if (damaged) {
        char file[JOURNAL_NAME_BYTES];
        name_of(scan, damaged->file, file);
        snprintf(place, sizeof(place), "%s, byte %u", file, damaged->position);
    }
    snprintf(scan->replay->problem, sizeof(scan->replay->problem),
             "commit %" PRIu64
             " of journal %u-%u is damaged (%s), and %s says that it was on stable "
             "storage: the disk has lost acknowledged records; restore the directory, or remove it",
             sequence, newest->start, newest->core, place, name);
    return -EBADMSG;
}

static void keep_entries(struct scan *scan, const struct replay_commit *commit)
{
    struct replay *replay = scan->replay;
    for (uint32_t i = 0; i < commit->entries_count; i++) {
        const struct replay_entry *entry = &scan->entries[commit->entries_from + i];
        replay->entries[replay->entries_count++] = *entry;
        replay->live_bytes += ENTRY_HEADER_BYTES + entry->bytes;
    }
}

/* The commits of one journal, sorted. The live ones are those from the newest header's oldest live
 * one on; its `flushed` says up to where none may be missing. */
static int judge_journal(struct scan *scan, const struct replay_commit *commits, size_t count)
{
    const struct replay_commit *newest = &commits[count - 1];
    uint64_t expected = newest->oldest_live;
    for (size_t i = 0; i < count; i++) {
        const struct replay_commit *commit = &commits[i];
        if (commit->sequence < expected) {
            continue; /* released, or a damaged double of one that is whole */
        }
        if (commit->sequence > expected || !commit->whole) {
            if (expected > newest->flushed) {
                return 0; /* the torn end */
            }
            return rot(scan, newest, expected, commit->sequence == expected ? commit : NULL);
        }
        keep_entries(scan, commit);
        expected++;
    }
    return 0;
}

static int entry_compare(const void *a, const void *b)
{
    const struct replay_entry *left = a, *right = b;
    if (left->log_id != right->log_id) {
        return left->log_id < right->log_id ? -1 : 1;
    }
    if (left->start != right->start) {
        return left->start < right->start ? -1 : 1;
    }
    if (left->log_sequence != right->log_sequence) {
        return left->log_sequence < right->log_sequence ? -1 : 1;
    }
    return 0;
}

static int judge(struct scan *scan)
{
    struct replay *replay = scan->replay;
    if (scan->commits_count == 0) {
        return 0;
    }
    replay->entries = malloc((scan->entries_count + 1) * sizeof(*replay->entries));
    if (!replay->entries) {
        return -ENOMEM;
    }
    qsort(scan->commits, scan->commits_count, sizeof(*scan->commits), commit_compare);
    for (size_t from = 0, end; from < scan->commits_count; from = end) {
        const struct replay_commit *first = &scan->commits[from];
        for (end = from + 1; end < scan->commits_count &&
                             scan->commits[end].start == first->start &&
                             scan->commits[end].core == first->core;) {
            end++;
        }
        int error = judge_journal(scan, first, end - from);
        if (error) {
            return error;
        }
    }
    qsort(replay->entries, replay->entries_count, sizeof(*replay->entries), entry_compare);
    return 0;
}

/* -- the directory ----------------------------------------------------------------------------- */

static int open_file(struct replay *replay, struct files *files, const char *directory,
                     struct replay_file *file)
{
    char text[JOURNAL_NAME_BYTES], path[PATH_BYTES_MAX];
    journal_name_write(&file->name, text);
    int bytes = snprintf(path, sizeof(path), "%s/%s", directory, text);
    if (bytes < 0 || (size_t)bytes >= sizeof(path)) {
        return -ENAMETOOLONG;
    }
    file->fd = files_open(files, path, FILES_READ);
    if (file->fd < 0) {
        snprintf(replay->problem, sizeof(replay->problem), "cannot open %.400s", path);
    }
    return file->fd < 0 ? file->fd : 0;
}

static int list_files(struct replay *replay, struct files *files, const char *directory)
{
    struct files_entry *found = NULL;
    int64_t count = files_list(files, directory, &found);
    if (count < 0) {
        return (int)count;
    }
    replay->files = calloc((size_t)count + 1, sizeof(*replay->files));
    for (int64_t i = 0; i < count && replay->files; i++) {
        struct journal_name name;
        if (!found[i].is_directory && journal_name_parse(&name, found[i].name)) {
            replay->files[replay->files_count++] = (struct replay_file){.name = name, .fd = -1};
        }
    }
    free(found);
    return replay->files ? 0 : -ENOMEM;
}

static int scan_files(struct scan *scan, const char *directory, uint32_t start_min)
{
    struct replay *replay = scan->replay;
    scan->window = malloc(WINDOW_BYTES);
    if (!scan->window) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < replay->files_count; i++) {
        if (replay->files[i].name.start < start_min) {
            continue;
        }
        int error = open_file(replay, scan->files, directory, &replay->files[i]);
        if (!error) {
            error = scan_file(scan, i);
        }
        if (error) {
            return error;
        }
    }
    return judge(scan);
}

int replay_scan(struct replay *replay, struct files *files, const char *directory, uint64_t salt,
                uint32_t start_min)
{
    *replay = (struct replay){0};
    struct scan scan = {.replay = replay, .files = files, .salt = salt};
    int error = list_files(replay, files, directory);
    if (!error) {
        error = scan_files(&scan, directory, start_min);
    }
    if (error && replay->problem[0] == '\0') {
        snprintf(replay->problem, sizeof(replay->problem), "cannot read the journals in %.400s",
                 directory);
    }
    free(scan.window);
    free(scan.commit);
    free(scan.commits);
    free(scan.entries);
    return error;
}

int replay_read(struct replay *replay, struct files *files, const struct replay_entry *entry,
                uint32_t from, void *buffer, uint32_t bytes)
{
    assert((uint64_t)from + bytes <= entry->bytes);
    int64_t got = files_read(files, replay->files[entry->file].fd, buffer, bytes,
                             entry->file_position + from);
    if (got < 0) {
        return (int)got;
    }
    return got == bytes ? 0 : -EIO;
}

void replay_free(struct replay *replay, struct files *files)
{
    for (uint32_t i = 0; i < replay->files_count; i++) {
        if (replay->files[i].fd >= 0) {
            files_close(files, replay->files[i].fd);
        }
    }
    free(replay->files);
    free(replay->entries);
    *replay = (struct replay){0};
}
