/*
 * lz -- decoding lz4 frames and snappy streams, a piece at a time.
 *
 *     ring   | ... newer | older ... ... ... ... ... ... ... ... new |
 *                        ^ ring_at: where the next byte goes; a copy comes from `offset` before it
 *
 * Both formats are literals and copies of what was decoded before. So one ring, as long as a copy
 * may reach back, is all the memory that decoding needs, however large a block says it becomes.
 * (Their libraries decode a block at once, into a buffer for all of it.)
 *
 * lz4: standard frames with independent blocks and no dictionary; header and block checksums are
 * checked, the content's is not, and what follows the frame is not looked at: as Kafka's reader.
 * snappy: xerial's stream of blocks, or one bare block, as Kafka's reader takes it (librdkafka
 * writes bare blocks).
 */
#ifndef CORE_LZ_H
#define CORE_LZ_H

#include "core/xxh32.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LZ_LZ4_HISTORY_BYTES = 64 << 10,   /* a copy reaches back 65535 bytes at most */
    LZ_SNAPPY_HISTORY_BYTES = 4 << 20, /* the format allows more; its widest encoder makes blocks of
                                          4 MiB, the others of 64 KiB */
};

struct lz {
    bool ended;
    uint64_t work; /* the caller's count, raised by what is done */

    /* lz.c only */
    bool is_lz4;
    bool broken;
    const uint8_t *at; /* input */
    const uint8_t *end;

    const uint8_t *block_end;
    uint64_t block_left;    /* snappy: bytes that the block still has to become; lz4: may become */
    uint64_t block_written; /* bytes that a copy may reach back in it */
    uint64_t literal_left;
    uint64_t copy_left;
    uint32_t copy_offset;
    bool in_block;
    bool is_plain;   /* lz4: the block is stored, not compressed */
    bool needs_copy; /* lz4: the literals of a sequence are done, its copy comes */
    uint8_t copy_token;

    bool is_framed; /* snappy: xerial's stream */
    bool has_block_checksum;
    uint32_t block_bytes_max;
    struct xxh32 block_hash;

    uint8_t *ring;
    size_t ring_bytes;
    size_t ring_at;
    size_t history_bytes;
};

/* What lz_start needs, struct lz included. */
size_t lz_lz4_memory_bytes(void);
size_t lz_snappy_memory_bytes(size_t bytes); /* of input */

/* In the memory; NULL: no such stream starts here. */
struct lz *lz_lz4_start(void *memory, size_t memory_bytes, const void *from, size_t bytes);
struct lz *lz_snappy_start(void *memory, size_t memory_bytes, const void *from, size_t bytes);

/* Bytes decoded, at most `bytes`; 0 at the end, and when `work` has come to work_max with nothing
 * decoded; -1 if the stream is broken. */
[[nodiscard]] int64_t lz_read(struct lz *lz, void *into, size_t bytes, uint64_t work_max);

#endif
