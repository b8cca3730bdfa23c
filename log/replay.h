/*
 * replay -- what the journals of a data directory still say, found after a stop or a crash.
 *
 *      a journal   ... | 41 | 42 | 43 | 44 | 45 |xxxx| 39 | 40 | ...      xx: damaged
 *                        ^ oldest live         ^ newest header that is whole
 *
 * Every block of every file is looked at; a commit that is whole is stepped over. Of each journal
 * the newest header says which commits must be there: a hole up to its `flushed` is rot, and the
 * scan fails; anything else that is damaged is the torn end of a write that nobody was told of.
 * So is a damaged last commit that was in fact durable: nothing in a journal can tell them apart.
 *
 * Memory: one commit, and an index of 56 bytes for each entry. Inside a job.
 */
#ifndef LOG_REPLAY_H
#define LOG_REPLAY_H

#include "core/files.h"
#include "log/journal_format.h"

struct replay_entry {
    uint64_t log_id;
    uint64_t log_sequence;
    int64_t segment_base;
    uint64_t file_position; /* of the payload */
    uint32_t start;         /* of the journal that holds it */
    uint32_t file;          /* index into replay.files */
    uint32_t position;
    uint32_t rest_bytes;
    uint32_t bytes; /* payload, without the entry's header */
    enum entry_type type;
};

struct replay_file {
    struct journal_name name;
    int fd; /* -1: void, not read */
};

struct replay {
    /* Live ones only, by log id, then start, then log sequence. */
    struct replay_entry *entries;
    size_t entries_count;
    /* Every journal file found, to be unlinked when its successor serves. */
    struct replay_file *files;
    uint32_t files_count;
    uint64_t live_bytes;
    char problem[512]; /* what is wrong and where, when replay_scan fails */
};

/* Reads the journals of all cores and earlier starts in the directory.
 *   start_min   journals of earlier starts are void: their files are listed, not read
 *   0, -errno, or -EBADMSG (rot, or a newer format); see problem. Free it in any case. */
[[nodiscard]] int replay_scan(struct replay *replay, struct files *files, const char *directory,
                              uint64_t salt, uint32_t start_min);
/* Payload of an entry from byte `from` on; the scan has verified its checksum. 0 or -errno */
[[nodiscard]] int replay_read(struct replay *replay, struct files *files,
                              const struct replay_entry *entry, uint32_t from, void *buffer,
                              uint32_t bytes);
void replay_free(struct replay *replay, struct files *files);

#endif
