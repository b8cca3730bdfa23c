#define ZSTD_STATIC_LINKING_ONLY /* static contexts: in the caller's memory */

#include "core/inflate.h"

#include "core/bump.h"
#include "core/lz.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

/* -- gzip --------------------------------------------------------------------------------------- */

struct gzip {
    z_stream zlib;
    struct bump memory;
};

enum {
    GZIP_MEMORY_BYTES = 64 << 10, /* zlib: 32 KiB of window and less than 16 KiB of state */
    GZIP_WINDOW_BITS = 15 + 16,   /* the largest; + 16: a gzip header and trailer */
    GZIP_MEMBER_BYTES_MIN = 18,   /* what Java takes for worth looking at behind a member */
    GZIP_BYTE_WORK = 4,     /* of a byte decoded: 2 ns, or 8 if there is nothing but short copies */
    GZIP_BLOCK_WORK = 1024, /* of its tables */
    GZIP_READ_BYTES_MAX = INFLATE_READ_WORK / GZIP_BYTE_WORK,
    GZIP_PIECE_BYTES_MAX = INFLATE_READ_WORK, /* a member's header can be of any length */
};

static struct gzip *gzip_start(void *memory, size_t memory_bytes)
{
    struct bump bump = {.at = memory, .end = (uint8_t *)memory + memory_bytes};
    struct gzip *gzip = bump_take(&bump, sizeof(*gzip));
    *gzip = (struct gzip){
        .zlib = {.zalloc = bump_zlib_take, .zfree = bump_zlib_give, .opaque = &gzip->memory},
        .memory = bump,
    };
    int result = inflateInit2(&gzip->zlib, GZIP_WINDOW_BITS);
    assert(result == Z_OK);
    return gzip;
}

/* Members may follow one another; anything else behind a member is not looked at, as in Java. */
static bool gzip_has_another(const uint8_t *at, const uint8_t *end)
{
    return end - at >= GZIP_MEMBER_BYTES_MIN && at[0] == 0x1f && at[1] == 0x8b && at[2] == 8;
}

static int gzip_block(z_stream *zlib) /* or a part of it */
{
    return inflate(zlib, Z_BLOCK);
}

/* Stops at each block, to count it. */
static int64_t gzip_read(struct inflate *inflate, void *into, size_t bytes, uint64_t work_max)
{
    z_stream *zlib = &inflate->gzip->zlib;
    bytes = bytes < GZIP_READ_BYTES_MAX ? bytes : GZIP_READ_BYTES_MAX;
    zlib->next_out = into;
    zlib->avail_out = (unsigned)bytes;
    while (zlib->avail_out > 0 && !inflate->ended && inflate->work < work_max) {
        size_t left = (size_t)(inflate->end - inflate->at);
        unsigned piece = left < GZIP_PIECE_BYTES_MAX ? (unsigned)left : GZIP_PIECE_BYTES_MAX;
        unsigned room = zlib->avail_out;
        zlib->next_in = (z_const Bytef *)(uintptr_t)inflate->at;
        zlib->avail_in = piece;
        int result = gzip_block(zlib);
        inflate->at = zlib->next_in;
        inflate->work += GZIP_BLOCK_WORK + (piece - zlib->avail_in) +
                         (uint64_t)(room - zlib->avail_out) * GZIP_BYTE_WORK;
        if (result == Z_STREAM_END) {
            inflate->ended = !gzip_has_another(inflate->at, inflate->end);
            if (!inflate->ended && inflateReset(zlib) != Z_OK) {
                return -EBADMSG;
            }
        } else if ((result != Z_OK && result != Z_BUF_ERROR) ||
                   (inflate->at == inflate->end && zlib->avail_out > 0)) {
            return -EBADMSG; /* all was read, there is room, and this is not the end: cut short */
        }
    }
    return (int64_t)(bytes - zlib->avail_out);
}

/* -- zstd --------------------------------------------------------------------------------------- */

enum {
    ZSTD_BLOCK_HEADER_BYTES = 3,
    ZSTD_START_WORK = 8192,
    ZSTD_BLOCK_WORK = 4096, /* of its tables */
};

static size_t zstd_memory_bytes(const void *from, size_t bytes)
{
    ZSTD_frameHeader header;
    if (ZSTD_getFrameHeader(&header, from, bytes) != 0 || header.frameType != ZSTD_frame ||
        header.windowSize > UINT64_C(1) << INFLATE_ZSTD_WINDOW_LOG_MAX) {
        return 0;
    }
    return ZSTD_estimateDStreamSize((size_t)header.windowSize);
}

static ZSTD_DCtx *zstd_start(void *memory, size_t memory_bytes)
{
    ZSTD_DCtx *zstd = ZSTD_initStaticDStream(memory, memory_bytes);
    assert(zstd);
    size_t result = ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax, INFLATE_ZSTD_WINDOW_LOG_MAX);
    assert(!ZSTD_isError(result));
    return zstd;
}

/* At a frame's start: its header, and that of its first block. */
static size_t zstd_wants_first(const uint8_t *at, const uint8_t *end)
{
    size_t bytes = ZSTD_frameHeaderSize(at, (size_t)(end - at));
    return ZSTD_isError(bytes) ? SIZE_MAX : bytes + ZSTD_BLOCK_HEADER_BYTES;
}

/* The library is given one block at a time, which it says how large it is: with more at hand it
 * would go on as long as nothing comes out. */
static int64_t zstd_read(struct inflate *inflate, void *into, size_t bytes, uint64_t work_max)
{
    ZSTD_outBuffer output = {.dst = into, .size = bytes};
    while (output.pos < output.size && !inflate->ended && inflate->work < work_max) {
        size_t left = (size_t)(inflate->end - inflate->at);
        ZSTD_inBuffer input = {
            .src = inflate->at,
            .size = left < inflate->zstd_wants ? left : inflate->zstd_wants,
        };
        size_t before = output.pos;
        size_t result = ZSTD_decompressStream(inflate->zstd, &output, &input);
        inflate->at += input.pos;
        inflate->work += ZSTD_BLOCK_WORK + input.pos + (output.pos - before);
        if (ZSTD_isError(result)) {
            return -EBADMSG;
        }
        inflate->ended = result == 0 && inflate->at == inflate->end;
        if (!inflate->ended && input.pos == 0 && output.pos == before) {
            return -EBADMSG; /* cut short */
        }
        /* 0: the frame has ended; frames may follow one another */
        inflate->zstd_wants = result > 0 ? result : zstd_wants_first(inflate->at, inflate->end);
    }
    return (int64_t)output.pos;
}

/* -- any ---------------------------------------------------------------------------------------- */

size_t inflate_memory_bytes(enum codec codec, const void *from, size_t bytes)
{
    switch (codec) {
    case CODEC_GZIP:
        return GZIP_MEMORY_BYTES;
    case CODEC_SNAPPY:
        return lz_snappy_memory_bytes(bytes);
    case CODEC_LZ4:
        return lz_lz4_memory_bytes();
    case CODEC_ZSTD:
        return zstd_memory_bytes(from, bytes);
    default:
        return 0;
    }
}

size_t inflate_memory_bytes_max(enum codec codec)
{
    switch (codec) {
    case CODEC_SNAPPY:
        return lz_snappy_memory_bytes(UINT32_MAX);
    case CODEC_ZSTD:
        return ZSTD_estimateDStreamSize((size_t)1 << INFLATE_ZSTD_WINDOW_LOG_MAX);
    default:
        return inflate_memory_bytes(codec, NULL, 0);
    }
}

int inflate_start(struct inflate *inflate, enum codec codec, const void *from, size_t bytes,
                  void *memory, size_t memory_bytes)
{
    assert((uintptr_t)memory % 64 == 0 && bytes <= INT32_MAX);
    *inflate = (struct inflate){
        .bytes_in = bytes, .codec = codec, .at = from, .end = (const uint8_t *)from + bytes};
    size_t needed = inflate_memory_bytes(codec, from, bytes);
    if (needed == 0 || needed > memory_bytes) {
        return inflate->result = needed == 0 ? -EBADMSG : -ENOMEM;
    }
    switch (codec) {
    case CODEC_GZIP:
        inflate->gzip = gzip_start(memory, memory_bytes);
        break;
    case CODEC_ZSTD:
        inflate->zstd = zstd_start(memory, memory_bytes);
        inflate->zstd_wants = zstd_wants_first(inflate->at, inflate->end);
        inflate->work = ZSTD_START_WORK;
        break;
    case CODEC_LZ4:
        inflate->lz = lz_lz4_start(memory, needed, from, bytes);
        break;
    default:
        inflate->lz = lz_snappy_start(memory, needed, from, bytes);
        break;
    }
    if ((codec == CODEC_LZ4 || codec == CODEC_SNAPPY) && !inflate->lz) {
        inflate->result = -EBADMSG;
    }
    return inflate->result;
}

static int64_t lz_stream_read(struct inflate *inflate, void *into, size_t bytes, uint64_t work_max)
{
    struct lz *lz = inflate->lz;
    lz->work = inflate->work;
    int64_t count = lz_read(lz, into, bytes, work_max);
    inflate->work = lz->work;
    inflate->ended = lz->ended;
    return count < 0 ? -EBADMSG : count;
}

static int64_t read_codec(struct inflate *inflate, void *into, size_t bytes)
{
    uint64_t work_max = inflate->work + INFLATE_READ_WORK;
    switch (inflate->codec) {
    case CODEC_GZIP:
        return gzip_read(inflate, into, bytes, work_max);
    case CODEC_ZSTD:
        return zstd_read(inflate, into, bytes, work_max);
    default:
        return lz_stream_read(inflate, into, bytes, work_max);
    }
}

static bool is_bomb(const struct inflate *inflate)
{
    return inflate->bytes_out > INFLATE_BYTES_MAX ||
           (inflate->bytes_out > INFLATE_FREE_BYTES &&
            inflate->bytes_out / INFLATE_RATIO_MAX > inflate->bytes_in);
}

int64_t inflate_read(struct inflate *inflate, void *into, size_t bytes)
{
    assert(bytes > 0 && bytes <= INT32_MAX);
    if (inflate->result < 0 || inflate->ended) {
        return inflate->result;
    }
    int64_t count = read_codec(inflate, into, bytes);
    if (count < 0) {
        return inflate->result = (int)count;
    }
    inflate->bytes_out += (uint64_t)count;
    if (is_bomb(inflate)) {
        return inflate->result = -EFBIG;
    }
    return count == 0 && !inflate->ended ? -EAGAIN : count;
}
