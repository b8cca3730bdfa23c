/*
 * deflate -- plain bytes to compressed ones, a piece at a time, into one buffer of the caller's.
 *
 * Writes what Kafka's Java client writes: gzip; snappy in xerial's blocks of 32 KiB; lz4 frames of
 * independent blocks of 64 KiB; zstd. Nothing is allocated but by libsnappy (its hash table).
 */
#ifndef CORE_DEFLATE_H
#define CORE_DEFLATE_H

#include "core/inflate.h"

/* compression.LEVEL of Kafka's topics; DEFLATE_LEVEL_DEFAULT is each codec's own choice there. */
enum { DEFLATE_LEVEL_DEFAULT = INT32_MIN };

struct deflate {
    uint8_t *into; /* the caller's; the stream starts here */
    size_t bytes_max;
    size_t bytes_used;

    /* deflate.c only */
    enum codec codec;
    int level;
    int result;     /* sticky */
    void *state;    /* a library's, in the caller's memory */
    uint8_t *block; /* snappy, lz4: input of the block being gathered */
    size_t block_bytes;
};

/* plain_bytes: how many will be written in all, exactly; zstd chooses its window by it. */
[[nodiscard]] size_t deflate_memory_bytes(enum codec codec, int level, uint64_t plain_bytes);

/* memory: aligned to 64, as many bytes as deflate_memory_bytes said. */
void deflate_start(struct deflate *deflate, enum codec codec, int level, uint64_t plain_bytes,
                   void *memory, size_t memory_bytes, void *into, size_t bytes_max);

/* 0, or -ENOSPC: the result does not fit into the buffer. Sticky. */
[[nodiscard]] int deflate_write(struct deflate *deflate, const void *from, size_t bytes);
/* Ends the stream; bytes_used is then its size. */
[[nodiscard]] int deflate_end(struct deflate *deflate);

#endif
