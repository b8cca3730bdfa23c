/*
 * inflate -- compressed bytes to plain ones, a piece at a time, within memory that is known before.
 *
 *     from, whole in memory        memory of the caller's          into
 *     |#### done |.......|   -->   | state | last decoded |  -->   | at most what was asked for |
 *
 * gzip and zstd are the work of their libraries. lz4 and snappy are decoded here (core/lz.h): their
 * libraries decode whole blocks only, and a block says by itself how large it becomes.
 * Nothing is allocated, so nothing can be by a claimed length: a stream that needs more than the
 * memory given is refused at its start. A stream may grow to INFLATE_BYTES_MAX, and beyond
 * INFLATE_FREE_BYTES no more than INFLATE_RATIO_MAX times its size: that is a bomb.
 *
 * A read is short whatever the stream is. What it decodes does not bound it: a stream can be members,
 * frames and blocks that hold nothing, or tables for a byte each. So each read counts its work, and
 * ends when it has done INFLATE_READ_WORK, with whatever it has decoded by then.
 */
#ifndef CORE_INFLATE_H
#define CORE_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum codec { CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD, CODECS };

/* The largest is zstd's: a window of 2^27 bytes, as its library accepts if not told otherwise. Only
 * as much of it is ever touched as is decoded. */
enum { INFLATE_ZSTD_WINDOW_LOG_MAX = 27 };
#define INFLATE_BYTES_MAX (UINT64_C(1) << 30)
#define INFLATE_FREE_BYTES (UINT64_C(16) << 20)
#define INFLATE_RATIO_MAX UINT64_C(1024)

/* A unit of work takes 1.5 ns or less, for any stream (bench/bench_inflate). One read may go past
 * this by what a library does at once: of gzip very little, of zstd one block of 128 KiB. */
enum { INFLATE_READ_WORK = 32 << 10 };

struct lz;
struct gzip;
struct ZSTD_DCtx_s;

struct inflate {
    uint64_t bytes_in;  /* of the stream, whole */
    uint64_t bytes_out; /* so far */
    uint64_t work;      /* so far, what inflate_start did included */

    /* inflate.c only */
    enum codec codec;
    int result; /* sticky: 0, or what inflate_read returns from now on */
    bool ended;
    const uint8_t *at; /* gzip, zstd: what was not read yet */
    const uint8_t *end;
    size_t zstd_wants; /* bytes up to the next block */
    union {
        struct gzip *gzip; /* each in the caller's memory */
        struct ZSTD_DCtx_s *zstd;
        struct lz *lz;
    };
};

/* The memory that this stream needs; 0: it cannot be one. At most inflate_memory_bytes_max(). */
[[nodiscard]] size_t inflate_memory_bytes(enum codec codec, const void *from, size_t bytes);
size_t inflate_memory_bytes_max(enum codec codec);

/* from and memory stay as they are until the last read; there is nothing to end. memory is aligned
 * to 64. 0, -EBADMSG (no such stream), -ENOMEM (needs more memory than this). */
[[nodiscard]] int inflate_start(struct inflate *inflate, enum codec codec, const void *from,
                                size_t bytes, void *memory, size_t memory_bytes);

/* Bytes decoded, at most `bytes` (> 0) and maybe fewer; 0 at the end of the stream; -EAGAIN: none
 * yet, all that was read decodes to nothing; -EBADMSG: it is broken or cut short; -EFBIG: it grows
 * past the limits. */
[[nodiscard]] int64_t inflate_read(struct inflate *inflate, void *into, size_t bytes);

#endif
