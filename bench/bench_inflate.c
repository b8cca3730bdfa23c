/*
 * bench_inflate -- how long one read takes, and whether a unit of work is the 1.5 ns that
 * core/inflate.h says, for what clients send and for what only an enemy would.
 */
#include "core/big_endian.h"
#include "core/inflate.h"

#include <errno.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>
#include <zstd.h>

enum {
    PLAIN_BYTES = 1 << 20,
    PACKED_BYTES = 2 << 20,
    MEMORY_BYTES = 16 << 20,
    WINDOW_BYTES = 32 << 10,
    READS_MAX = 1 << 20,
    ROUNDS = 7,
};

struct bench {
    uint8_t plain[PLAIN_BYTES];
    uint8_t packed[PACKED_BYTES];
    size_t packed_bytes;
    uint8_t window[WINDOW_BYTES];
    float
        read_us[READS_MAX]; /* the best of all rounds: what others do to the machine is left out */
    uint8_t *memory;
};

static double now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void measure(struct bench *bench, const char *name, enum codec codec)
{
    double best_us = 1e12, start_us = 1e12, longest_us = 0;
    struct inflate inflate;
    size_t reads = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double begin = now_us();
        int64_t count = inflate_start(&inflate, codec, bench->packed, bench->packed_bytes,
                                      bench->memory, MEMORY_BYTES);
        double at = now_us();
        start_us = at - begin < start_us ? at - begin : start_us;
        for (reads = 0; count >= 0 || count == -EAGAIN; reads++) {
            count = inflate_read(&inflate, bench->window, WINDOW_BYTES);
            double then = now_us();
            if (reads < READS_MAX && (round == 0 || then - at < (double)bench->read_us[reads])) {
                bench->read_us[reads] = (float)(then - at);
            }
            at = then;
            if (count == 0) {
                break;
            }
        }
        best_us = at - begin < best_us ? at - begin : best_us;
    }
    for (size_t i = 0; i <= reads && i < READS_MAX; i++) {
        longest_us =
            (double)bench->read_us[i] > longest_us ? (double)bench->read_us[i] : longest_us;
    }
    printf("%-34s %8zu -> %8lu bytes: start %5.1f us, %7zu reads, the longest %7.1f us, "
           "%5.2f ns a unit of work, %5.2f a byte\n",
           name, bench->packed_bytes, (unsigned long)inflate.bytes_out, start_us, reads, longest_us,
           best_us * 1e3 / (double)inflate.work, best_us * 1e3 / ((double)inflate.bytes_out + 1));
}

/* -- what is packed ------------------------------------------------------------------------------- */

static void fill_lines(struct bench *bench)
{
    char *at = (char *)bench->plain, *end = at + PLAIN_BYTES;
    while (end - at > 128) {
        at += sprintf(at,
                      "{\"level\":\"%s\",\"path\":\"/items/%ld\",\"took_us\":%ld,\"id\":\"%lx\"}\n",
                      random() % 10 ? "INFO" : "WARN", random() % 5000, random() % 90000, random());
    }
}

static void fill_noise(struct bench *bench)
{
    for (size_t i = 0; i < PLAIN_BYTES; i++) {
        bench->plain[i] = (uint8_t)(random() >> 8);
    }
}

/* Short matches, never the same distance. */
static void fill_scraps(struct bench *bench)
{
    for (size_t i = 0; i < PLAIN_BYTES; i++) {
        bench->plain[i] = (uint8_t)(random() >> 8);
        if (i > 40000 && random() % 3 == 0) {
            size_t from = i - 100 - (size_t)random() % 30000;
            for (int k = 0; k < 5 && i < PLAIN_BYTES - 1; k++) {
                bench->plain[i++] = bench->plain[from++];
            }
        }
    }
}

static size_t gzipped(const uint8_t *plain, size_t bytes, uint8_t *into, size_t bytes_max,
                      int flush)
{
    z_stream zlib = {.next_out = into, .avail_out = (unsigned)bytes_max};
    if (deflateInit2(&zlib, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        exit(1);
    }
    size_t piece = flush ? 12 : bytes;
    for (size_t at = 0; at < bytes && zlib.avail_out > 100; at += piece) {
        zlib.next_in = (uint8_t *)(uintptr_t)plain + at;
        zlib.avail_in = (unsigned)(bytes - at < piece ? bytes - at : piece);
        (void)deflate(&zlib, flush);
    }
    (void)deflate(&zlib, Z_FINISH);
    (void)deflateEnd(&zlib);
    return zlib.total_out;
}

static void measure_gzip(struct bench *bench, const char *name)
{
    bench->packed_bytes = gzipped(bench->plain, PLAIN_BYTES, bench->packed, PACKED_BYTES, 0);
    measure(bench, name, CODEC_GZIP);
}

static void measure_zstd(struct bench *bench, const char *name)
{
    bench->packed_bytes = ZSTD_compress(bench->packed, PACKED_BYTES, bench->plain, PLAIN_BYTES, 3);
    measure(bench, name, CODEC_ZSTD);
}

static void measure_lz4(struct bench *bench, const char *name)
{
    LZ4F_preferences_t preferences = {.frameInfo = {.blockMode = LZ4F_blockIndependent}};
    bench->packed_bytes =
        LZ4F_compressFrame(bench->packed, PACKED_BYTES, bench->plain, PLAIN_BYTES, &preferences);
    measure(bench, name, CODEC_LZ4);
}

static void measure_snappy(struct bench *bench, const char *name)
{
    size_t bytes = PACKED_BYTES;
    if (snappy_compress((const char *)bench->plain, PLAIN_BYTES, (char *)bench->packed, &bytes)) {
        exit(1);
    }
    bench->packed_bytes = bytes;
    measure(bench, name, CODEC_SNAPPY);
}

static void measure_all(struct bench *bench, const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "gzip, %s", what);
    measure_gzip(bench, name);
    snprintf(name, sizeof name, "snappy, %s", what);
    measure_snappy(bench, name);
    snprintf(name, sizeof name, "lz4, %s", what);
    measure_lz4(bench, name);
    snprintf(name, sizeof name, "zstd, %s", what);
    measure_zstd(bench, name);
}

/* The piece over and over, behind `at` bytes that are there. */
static void repeat(struct bench *bench, size_t at, const uint8_t *piece, size_t bytes)
{
    for (; at + bytes <= PLAIN_BYTES; at += bytes) {
        memcpy(bench->packed + at, piece, bytes);
    }
    bench->packed_bytes = at;
}

/* -- what only an enemy sends --------------------------------------------------------------------- */

static void measure_empty_streams(struct bench *bench)
{
    uint8_t piece[256];
    size_t bytes = gzipped(bench->plain, 0, piece, sizeof piece, 0);
    repeat(bench, 0, piece, bytes);
    measure(bench, "gzip, empty members", CODEC_GZIP);

    bytes = gzipped(bench->plain, 60, piece, sizeof piece, 0);
    repeat(bench, 0, piece, bytes);
    measure(bench, "gzip, members of 60 bytes", CODEC_GZIP);

    bytes = ZSTD_compress(piece, sizeof piece, bench->plain, 0, 3);
    repeat(bench, 0, piece, bytes);
    measure(bench, "zstd, empty frames", CODEC_ZSTD);

    uint8_t skipped[8] = {0x50, 0x2a, 0x4d, 0x18};
    bytes = ZSTD_compress(bench->packed, PACKED_BYTES, bench->plain, 10, 3);
    repeat(bench, bytes, skipped, sizeof skipped);
    measure(bench, "zstd, skippable frames", CODEC_ZSTD);

    uint8_t lz4[7] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82}, lz4_block[5] = {1, 0, 0, 0, 0};
    memcpy(bench->packed, lz4, sizeof lz4);
    repeat(bench, sizeof lz4, lz4_block, sizeof lz4_block);
    measure(bench, "lz4, empty blocks", CODEC_LZ4);

    uint8_t xerial[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
    uint8_t snappy_block[5] = {0, 0, 0, 1, 0};
    memcpy(bench->packed, xerial, sizeof xerial);
    repeat(bench, sizeof xerial, snappy_block, sizeof snappy_block);
    measure(bench, "snappy, empty blocks", CODEC_SNAPPY);
}

/* Bits, the lowest first, as deflate has them. */
struct bits {
    uint8_t *at;
    uint64_t held;
    int count;
};

static void put(struct bits *bits, uint32_t value, int count)
{
    bits->held |= (uint64_t)value << bits->count;
    for (bits->count += count; bits->count >= 8; bits->count -= 8) {
        *bits->at++ = (uint8_t)bits->held;
        bits->held >>= 8;
    }
}

/* As small as tables can be: two symbols, and of them only the end of the block is used. */
static void measure_empty_tables(struct bench *bench)
{
    static const uint8_t header[10] = {0x1f, 0x8b, 8};
    memcpy(bench->packed, header, sizeof header);
    struct bits bits = {.at = bench->packed + sizeof header};
    while (bits.at < bench->packed + PLAIN_BYTES) {
        put(&bits, 0 | 2 << 1, 3);     /* not the last; tables of its own */
        put(&bits, 0, 5);              /* 257 literals and lengths */
        put(&bits, 0, 5);              /* one distance */
        put(&bits, 14, 4);             /* 18 code lengths: */
        for (int i = 0; i < 18; i++) { /* one bit for "many zeros", one for 1 */
            put(&bits, i == 2 || i == 17, 3);
        }
        put(&bits, 0, 1);                   /* symbol 0 has one bit */
        put(&bits, 1 | (138 - 11) << 1, 8); /* 138 have none, ... */
        put(&bits, 1 | (117 - 11) << 1, 8); /* ... and 117 more */
        put(&bits, 0, 1);                   /* 256, the end, has one bit */
        put(&bits, 0, 1);                   /* and so has the distance */
        put(&bits, 1, 1);                   /* the end */
    }
    bench->packed_bytes = (size_t)(bits.at - bench->packed);
    measure(bench, "gzip, blocks of nothing but tables", CODEC_GZIP);
}

/* A flush after each few bytes: blocks with tables of their own, or what the library finds cheaper. */
static void measure_small_blocks(struct bench *bench)
{
    static const size_t sizes[] = {40, 200, 1000, 4000};
    bench->packed_bytes =
        gzipped(bench->plain, PLAIN_BYTES, bench->packed, PACKED_BYTES, Z_FULL_FLUSH);
    measure(bench, "gzip, blocks of 12 bytes", CODEC_GZIP);
    for (int i = 0; i < 4; i++) {
        char name[64];
        ZSTD_CCtx *zstd = ZSTD_createCCtx();
        ZSTD_outBuffer output = {.dst = bench->packed, .size = PACKED_BYTES};
        for (size_t at = 0; at + sizes[i] <= PLAIN_BYTES && output.pos < PLAIN_BYTES;
             at += sizes[i]) {
            ZSTD_inBuffer input = {.src = bench->plain + at, .size = sizes[i]};
            (void)ZSTD_compressStream2(zstd, &output, &input, ZSTD_e_flush);
        }
        ZSTD_inBuffer input = {0};
        (void)ZSTD_compressStream2(zstd, &output, &input, ZSTD_e_end);
        ZSTD_freeCCtx(zstd);
        bench->packed_bytes = output.pos;
        snprintf(name, sizeof name, "zstd, blocks of %zu bytes", sizes[i]);
        measure(bench, name, CODEC_ZSTD);
    }
}

/* The slowest tokens there are: a literal of one byte, a copy from the byte before. */
static void measure_slow_tokens(struct bench *bench)
{
    uint8_t literal[2] = {0, 'a'}, copy[5] = {0 << 2 | 2, 1, 0, 1, 1}; /* of 1 byte, of 4 */
    uint8_t claim[3] = {0x80, 0x80, 0x40};
    memcpy(bench->packed, claim, sizeof claim);
    repeat(bench, sizeof claim, literal, sizeof literal);
    measure(bench, "snappy, literals of 1 byte", CODEC_SNAPPY);
    memcpy(bench->packed + sizeof claim, literal, sizeof literal);
    repeat(bench, sizeof claim + sizeof literal, copy, 3);
    measure(bench, "snappy, copies of 1 byte", CODEC_SNAPPY);
    repeat(bench, sizeof claim + sizeof literal, copy + 3, 2);
    measure(bench, "snappy, copies of 4 bytes", CODEC_SNAPPY);
    big_endian_store32(bench->packed, 0x04224d18);
    uint8_t lz4[7] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73};
    uint8_t token[3] = {0x00, 1, 0}, first[2] = {0x10, 'a'};
    memcpy(bench->packed, lz4, sizeof lz4);
    uint32_t bytes = PLAIN_BYTES - 16;
    memcpy(bench->packed + 7, &bytes, 4);
    memcpy(bench->packed + 11, first, 2);
    memcpy(bench->packed + 13, token + 1, 2);
    repeat(bench, 15, token, 3);
    measure(bench, "lz4, copies of 4 bytes", CODEC_LZ4);
}

int main(void)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (!bench || !(bench->memory = aligned_alloc(64, MEMORY_BYTES))) {
        return 1;
    }
    memset(bench->memory, 1, MEMORY_BYTES);
    fill_noise(bench);
    measure_all(bench, "noise");
    fill_scraps(bench);
    measure_all(bench, "scraps");
    memset(bench->plain, 'x', PLAIN_BYTES);
    measure_all(bench, "one byte");
    fill_lines(bench);
    measure_all(bench, "lines");
    measure_empty_streams(bench);
    measure_empty_tables(bench);
    measure_small_blocks(bench);
    measure_slow_tokens(bench);
    free(bench->memory);
    free(bench);
    return 0;
}
