#define ZSTD_STATIC_LINKING_ONLY /* static contexts: in the caller's memory */

#include "core/deflate.h"

#include "core/big_endian.h"
#include "core/bump.h"
#include "core/xxh32.h"

#include <assert.h>
#include <errno.h>
#include <lz4.h>
#include <lz4hc.h>
#include <snappy-c.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum {
    BLOCK_BYTES = 32 << 10,
    LZ4_BLOCK_BYTES = 64 << 10,
    ZSTD_FAST_BLOCK_BYTES = 16 << 10, /* 50 us, or 160 of nothing but short matches */
    ZSTD_FAST_LEVEL_MAX = 3,          /* from 4 on it is ten times that */
    LZ4_FAST_LEVEL = 9, /* what Kafka calls 9 is the fast compressor; all others are lz4hc's */
    ZSTD_LEVEL = 3,
    ZSTD_START_WORK = 8192,
    GZIP_WINDOW_BITS = 15 + 16, /* + 16: a gzip header and trailer */
    GZIP_MEMORY_LEVEL = 8,
    GZIP_MEMORY_BYTES = 320 << 10, /* zlib: 256 KiB of tables, 8 KiB of state */
};

struct gzip_writer {
    z_stream zlib;
    struct bump memory;
};

static int level_of(enum codec codec, int level)
{
    if (level != DEFLATE_LEVEL_DEFAULT) {
        return level;
    }
    switch (codec) {
    case CODEC_GZIP:
        return Z_DEFAULT_COMPRESSION;
    case CODEC_LZ4:
        return LZ4_FAST_LEVEL;
    default:
        return ZSTD_LEVEL;
    }
}

/* Microseconds for a block, lines of a log and the worst found: lz4 60 and 130, its thorough ways 200
 * to 40,000; zstd 3 50 and 160, 5 400 and 490, 22 84,000; gzip 1 270 and 770, 6 600, 9 36,000. */
bool deflate_is_slow(enum codec codec, int level)
{
    switch (codec) {
    case CODEC_GZIP:
        return true;
    case CODEC_LZ4:
        return level_of(codec, level) != LZ4_FAST_LEVEL;
    case CODEC_ZSTD:
        return level_of(codec, level) > ZSTD_FAST_LEVEL_MAX;
    default:
        return false;
    }
}

static size_t block_bytes_max(enum codec codec, int level)
{
    switch (codec) {
    case CODEC_NONE:
        return 0;
    case CODEC_LZ4:
        return LZ4_BLOCK_BYTES;
    case CODEC_ZSTD:
        return deflate_is_slow(codec, level) ? BLOCK_BYTES : ZSTD_FAST_BLOCK_BYTES;
    default:
        return BLOCK_BYTES;
    }
}

/* Of a byte, at the levels that are not slow. */
static uint64_t byte_work(enum codec codec)
{
    return codec == CODEC_ZSTD ? 4 : codec == CODEC_LZ4 ? 1 : codec == CODEC_SNAPPY ? 1 : 0;
}

static size_t zstd_state_bytes(int *level, uint64_t plain_bytes)
{
    for (;; --*level) {
        ZSTD_compressionParameters parameters = ZSTD_getCParams(*level, plain_bytes, 0);
        size_t bytes = ZSTD_estimateCStreamSize_usingCParams(parameters);
        if (bytes <= DEFLATE_MEMORY_BYTES_MAX || *level <= 1) {
            return bytes;
        }
    }
}

static size_t state_bytes(enum codec codec, int *level, uint64_t plain_bytes)
{
    switch (codec) {
    case CODEC_GZIP:
        return GZIP_MEMORY_BYTES;
    case CODEC_SNAPPY:
        return snappy_max_compressed_length(BLOCK_BYTES);
    case CODEC_LZ4:
        return (size_t)(*level == LZ4_FAST_LEVEL ? LZ4_sizeofState() : LZ4_sizeofStateHC());
    case CODEC_ZSTD:
        return zstd_state_bytes(level, plain_bytes);
    default:
        return 0;
    }
}

size_t deflate_memory_bytes(enum codec codec, int level, uint64_t plain_bytes)
{
    level = level_of(codec, level);
    return block_bytes_max(codec, level) + state_bytes(codec, &level, plain_bytes);
}

/* -- output ------------------------------------------------------------------------------------- */

static size_t room(const struct deflate *deflate)
{
    return deflate->bytes_max - deflate->bytes_used;
}

static int append(struct deflate *deflate, const void *from, size_t bytes)
{
    if (bytes > room(deflate)) {
        return -ENOSPC;
    }
    memcpy(deflate->into + deflate->bytes_used, from, bytes);
    deflate->bytes_used += bytes;
    return 0;
}

static int append_little(struct deflate *deflate, uint32_t value)
{
    return append(deflate, &value, sizeof(value)); /* big_endian.h: we are little */
}

/* -- the codecs: a header, then blocks ---------------------------------------------------------- */

static void gzip_start(struct deflate *stream, size_t memory_bytes)
{
    struct bump bump = {.at = stream->state, .end = (uint8_t *)stream->state + memory_bytes};
    struct gzip_writer *gzip = bump_take(&bump, sizeof(*gzip));
    *gzip = (struct gzip_writer){
        .zlib = {.zalloc = bump_zlib_take, .zfree = bump_zlib_give, .opaque = &gzip->memory},
        .memory = bump,
    };
    int result = deflateInit2(&gzip->zlib, stream->level, Z_DEFLATED, GZIP_WINDOW_BITS,
                              GZIP_MEMORY_LEVEL, Z_DEFAULT_STRATEGY);
    assert(result == Z_OK);
}

static int gzip_block(struct deflate *stream, bool is_last)
{
    z_stream *zlib = &((struct gzip_writer *)stream->state)->zlib;
    zlib->next_in = stream->block;
    zlib->avail_in = (unsigned)stream->block_bytes;
    zlib->next_out = stream->into + stream->bytes_used;
    zlib->avail_out = (unsigned)room(stream);
    int result = deflate(zlib, is_last ? Z_FINISH : Z_NO_FLUSH);
    stream->bytes_used = stream->bytes_max - zlib->avail_out;
    bool is_done = is_last ? result == Z_STREAM_END : zlib->avail_in == 0;
    return is_done ? 0 : -ENOSPC;
}

static int snappy_header(struct deflate *deflate)
{
    static const uint8_t header[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,  /* magic */
                                       0,    0,   0,   1,   0,   0,   0,   1}; /* versions */
    return append(deflate, header, sizeof(header));
}

static int snappy_block(struct deflate *deflate)
{
    size_t bytes = snappy_max_compressed_length(BLOCK_BYTES);
    snappy_status status =
        snappy_compress((const char *)deflate->block, deflate->block_bytes, deflate->state, &bytes);
    assert(status == SNAPPY_OK);
    uint8_t length[4];
    big_endian_store32(length, (uint32_t)bytes);
    int result = append(deflate, length, sizeof(length));
    return result < 0 ? result : append(deflate, deflate->state, bytes);
}

static int lz4_header(struct deflate *deflate)
{
    uint8_t header[7] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40}; /* independent blocks of 64 KiB */
    header[6] = (uint8_t)(xxh32(header + 4, 2) >> 8);
    return append(deflate, header, sizeof(header));
}

static int lz4_block(struct deflate *deflate)
{
    const char *from = (const char *)deflate->block;
    uint8_t *to = deflate->into + deflate->bytes_used + 4;
    int bytes = (int)deflate->block_bytes;
    size_t room_behind = room(deflate) > 4 ? room(deflate) - 4 : 0;
    int most = room_behind < deflate->block_bytes ? (int)room_behind : bytes - 1;
    int packed = 0;
    if (most > 0) {
        packed = deflate->level == LZ4_FAST_LEVEL
                     ? LZ4_compress_fast_extState(deflate->state, from, (char *)to, bytes, most, 1)
                     : LZ4_compress_HC_extStateHC(deflate->state, from, (char *)to, bytes, most,
                                                  deflate->level);
    }
    if (packed <= 0) { /* grows: stored as it is */
        int result = append_little(deflate, (uint32_t)bytes | 0x80000000);
        return result < 0 ? result : append(deflate, from, (size_t)bytes);
    }
    int result = append_little(deflate, (uint32_t)packed);
    assert(result == 0);
    deflate->bytes_used += (size_t)packed;
    return result;
}

static void zstd_start(struct deflate *deflate, uint64_t plain_bytes, size_t memory_bytes)
{
    ZSTD_CCtx *zstd = ZSTD_initStaticCCtx(deflate->state, memory_bytes);
    assert(zstd);
    size_t result = ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, deflate->level);
    assert(!ZSTD_isError(result));
    result = ZSTD_CCtx_setPledgedSrcSize(zstd, plain_bytes);
    assert(!ZSTD_isError(result));
    deflate->state = zstd;
    deflate->work = ZSTD_START_WORK;
}

/* Flushed, since zstd would gather blocks of 128 KiB by itself. */
static int zstd_block(struct deflate *deflate, bool is_last)
{
    ZSTD_inBuffer input = {.src = deflate->block, .size = deflate->block_bytes};
    ZSTD_outBuffer output = {
        .dst = deflate->into, .size = deflate->bytes_max, .pos = deflate->bytes_used};
    size_t left =
        ZSTD_compressStream2(deflate->state, &output, &input, is_last ? ZSTD_e_end : ZSTD_e_flush);
    assert(!ZSTD_isError(left));
    deflate->bytes_used = output.pos;
    return left == 0 ? 0 : -ENOSPC;
}

static int write_header(struct deflate *deflate)
{
    switch (deflate->codec) {
    case CODEC_SNAPPY:
        return snappy_header(deflate);
    case CODEC_LZ4:
        return lz4_header(deflate);
    default:
        return 0;
    }
}

static int write_block(struct deflate *deflate, bool is_last)
{
    int result = 0;
    deflate->work += deflate->block_bytes * byte_work(deflate->codec);
    switch (deflate->codec) {
    case CODEC_GZIP:
        result = gzip_block(deflate, is_last);
        break;
    case CODEC_SNAPPY:
        result = deflate->block_bytes > 0 ? snappy_block(deflate) : 0;
        break;
    case CODEC_LZ4:
        result = deflate->block_bytes > 0 ? lz4_block(deflate) : 0;
        break;
    case CODEC_ZSTD:
        result = zstd_block(deflate, is_last);
        break;
    default:
        break;
    }
    deflate->block_bytes = 0;
    return result;
}

/* -- any ---------------------------------------------------------------------------------------- */

void deflate_start(struct deflate *deflate, enum codec codec, int level, uint64_t plain_bytes,
                   void *memory, size_t memory_bytes, void *into, size_t bytes_max)
{
    assert((uintptr_t)memory % 64 == 0 && bytes_max <= INT32_MAX);
    level = level_of(codec, level);
    size_t block_bytes = block_bytes_max(codec, level);
    size_t needed = state_bytes(codec, &level, plain_bytes);
    assert(memory_bytes >= block_bytes + needed);
    *deflate = (struct deflate){
        .into = into,
        .bytes_max = bytes_max,
        .codec = codec,
        .level = level,
        .block = memory,
        .block_bytes_max = block_bytes,
        .state = (uint8_t *)memory + block_bytes,
    };
    if (codec == CODEC_GZIP) {
        gzip_start(deflate, needed);
    } else if (codec == CODEC_ZSTD) {
        zstd_start(deflate, plain_bytes, needed);
    }
    deflate->result = write_header(deflate);
}

int deflate_write(struct deflate *deflate, const void *from, size_t bytes)
{
    if (deflate->codec == CODEC_NONE && deflate->result == 0) {
        deflate->result = append(deflate, from, bytes);
        return deflate->result;
    }
    while (bytes > 0 && deflate->result == 0) {
        size_t piece = deflate->block_bytes_max - deflate->block_bytes;
        piece = piece < bytes ? piece : bytes;
        memcpy(deflate->block + deflate->block_bytes, from, piece);
        deflate->block_bytes += piece;
        from = (const uint8_t *)from + piece;
        bytes -= piece;
        if (deflate->block_bytes == deflate->block_bytes_max) {
            deflate->result = write_block(deflate, false);
        }
    }
    return deflate->result;
}

int deflate_end(struct deflate *deflate)
{
    if (deflate->result == 0) {
        deflate->result = write_block(deflate, true);
    }
    if (deflate->result == 0 && deflate->codec == CODEC_LZ4) {
        deflate->result = append_little(deflate, 0); /* the end mark */
    }
    return deflate->result;
}
