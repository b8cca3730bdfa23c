/*
 * journal_format -- commits and entries as they stand in a journal file.
 *
 *      file   | commit | commit | commit ............ | older lap's, or zeros |
 *      commit | header | entry | entry | ... | zeros up to the next block |
 *      entry  | header | payload |
 *
 * A commit begins on a block and says which journal it belongs to and where it stands, so that one
 * which is found elsewhere is known for what it is. The salt is the directory's secret: bytes that
 * a client sent, and that lie in a payload, cannot look like a commit. docs/formats.md has the bytes.
 */
#ifndef LOG_JOURNAL_FORMAT_H
#define LOG_JOURNAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum entry_type { ENTRY_DATA = 1, ENTRY_STATE = 2, ENTRY_REFERENCE = 3 /* reserved */ };

enum {
    JOURNAL_VERSION = 1,
    JOURNAL_BLOCK_BYTES = 4096,
    COMMIT_HEADER_BYTES = 88,
    ENTRY_HEADER_BYTES = 40,
    COMMIT_BYTES_MAX = 64 << 20, /* what a reader must be ready to hold */
    JOURNAL_NAME_BYTES = 64,     /* odradek-4294967295-4294967295-4294967295.journal */
};

struct commit_header {
    uint32_t start; /* of the directory; with core: which journal */
    uint32_t core;
    uint64_t sequence;    /* of this commit; from 1, never restarts */
    uint64_t oldest_live; /* commits below are not needed any more */
    uint64_t flushed;     /* commits up to here were durable when this one was written */
    uint64_t file_ordinal;
    uint32_t file_position;
    uint32_t bytes; /* header and entries, without what fills the last block */
    uint32_t entries_count;
    uint32_t entries_crc;
};

enum commit_found {
    COMMIT_NONE,  /* no header of this directory */
    COMMIT_NEWER, /* one of a version that we do not know */
    COMMIT_FOUND,
};

void commit_header_encode(const struct commit_header *header, uint64_t salt, void *to);
/* from: at least COMMIT_HEADER_BYTES. Fills in the header only when FOUND; bytes is then sane. */
[[nodiscard]] enum commit_found commit_header_decode(struct commit_header *header, uint64_t salt,
                                                     const void *from);

/* Bytes that a commit takes in its file. */
static inline uint32_t commit_file_bytes(uint32_t bytes)
{
    return (bytes + JOURNAL_BLOCK_BYTES - 1) / JOURNAL_BLOCK_BYTES * JOURNAL_BLOCK_BYTES;
}

struct entry_header {
    enum entry_type type;
    uint32_t bytes; /* of the payload */
    uint64_t log_id;
    uint64_t log_sequence;
    int64_t segment_base; /* DATA only, as the next two; else 0 */
    uint32_t position;
    uint32_t rest_bytes;
};

void entry_header_encode(const struct entry_header *header, void *to);
/* False: no entry of a kind that we know, or one that says it is longer than bytes_left. */
[[nodiscard]] bool entry_header_decode(struct entry_header *header, const void *from,
                                       size_t bytes_left);

/* odradek-<start>-<core>-<slot>.journal */
struct journal_name {
    uint32_t start, core, slot;
};
void journal_name_write(const struct journal_name *name, char text[JOURNAL_NAME_BYTES]);
[[nodiscard]] bool journal_name_parse(struct journal_name *name, const char *text);

#endif
