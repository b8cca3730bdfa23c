/*
 * deflate -- plain bytes to compressed ones, a piece at a time, into one buffer of the caller's.
 *
 * Writes what Kafka's Java client writes: gzip; snappy in xerial's blocks of 32 KiB; lz4 frames of
 * independent blocks of 64 KiB; zstd. Plain bytes are gathered to blocks of these sizes (32 KiB for
 * gzip too, for zstd 32 or 16), and one block is what is compressed at once. What that takes lies
 * between 3 us and 80 ms (bench/bench_deflate): deflate_is_slow says what is not for a reactor.
 * Nothing is allocated but by libsnappy (its hash table).
 */
#ifndef CORE_DEFLATE_H
#define CORE_DEFLATE_H

#include "core/inflate.h"

/* Kafka's own choice for each codec: gzip 6, lz4 the fast one, zstd 3. snappy has no levels. */
enum { DEFLATE_LEVEL_DEFAULT = INT32_MIN };

/* A zstd level that needs more is lowered until it does not. */
enum { DEFLATE_MEMORY_BYTES_MAX = 32 << 20 };

struct deflate {
    uint8_t *into; /* the caller's; the stream starts here */
    size_t bytes_max;
    size_t bytes_used;
    uint64_t work; /* so far, in units of core/inflate.h, if it is not slow */

    /* deflate.c only */
    enum codec codec;
    int level;
    int result; /* sticky: 0 or -ENOSPC */
    uint8_t *block;
    size_t block_bytes;
    size_t block_bytes_max;
    void *state; /* the library's; snappy: room for a compressed block */
};

/* A block can take much longer than a step on a reactor may: to be compressed by a job. */
[[nodiscard]] bool deflate_is_slow(enum codec codec, int level);

/* plain_bytes: how many will be written in all, exactly; zstd chooses its tables by it. */
[[nodiscard]] size_t deflate_memory_bytes(enum codec codec, int level, uint64_t plain_bytes);

/* memory: aligned to 64, as many bytes as deflate_memory_bytes said; both stay until the end. */
void deflate_start(struct deflate *deflate, enum codec codec, int level, uint64_t plain_bytes,
                   void *memory, size_t memory_bytes, void *into, size_t bytes_max);

/* 0, or -ENOSPC: the result does not fit into the buffer. CODEC_NONE copies. */
[[nodiscard]] int deflate_write(struct deflate *deflate, const void *from, size_t bytes);
/* Ends the stream; bytes_used is then its size. */
[[nodiscard]] int deflate_end(struct deflate *deflate);

#endif
