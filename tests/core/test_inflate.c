#include "core/inflate.h"

#include "core/big_endian.h"
#include "core/xxh32.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { PLAIN_BYTES = 300000, ROOM_BYTES = 2 * PLAIN_BYTES };

static uint8_t *plain_text(void)
{
    char *text = malloc(PLAIN_BYTES + 256);
    srandom(7);
    for (size_t at = 0; at < PLAIN_BYTES;) {
        at += (size_t)sprintf(text + at, "{\"level\":\"%s\",\"id\":%ld,\"took\":%ld}\n",
                              random() % 9 ? "INFO" : "WARN", random(), random() % 1000);
        if (random() % 50 == 0 && at + 2000 < PLAIN_BYTES) { /* runs, and what does not compress */
            memset(text + at, 'x', 700);
            for (size_t i = 700; i < 1500; i++) {
                text[at + i] = (char)random();
            }
            at += 1500;
        }
    }
    return (uint8_t *)text;
}

static size_t gzipped(const uint8_t *plain, size_t bytes, uint8_t *into)
{
    z_stream zlib = {.next_in = (uint8_t *)(uintptr_t)plain,
                     .avail_in = (unsigned)bytes,
                     .next_out = into,
                     .avail_out = ROOM_BYTES};
    cr_assert_eq(deflateInit2(&zlib, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    cr_assert_eq(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    deflateEnd(&zlib);
    return zlib.total_out;
}

static size_t lz4_framed(const uint8_t *plain, size_t bytes, uint8_t *into, LZ4F_blockSizeID_t id,
                         bool checksums)
{
    LZ4F_preferences_t preferences = {
        .frameInfo = {.blockMode = LZ4F_blockIndependent,
                      .blockSizeID = id,
                      .contentSize = checksums ? bytes : 0,
                      .blockChecksumFlag =
                          checksums ? LZ4F_blockChecksumEnabled : LZ4F_noBlockChecksum}};
    size_t count = LZ4F_compressFrame(into, ROOM_BYTES, plain, bytes, &preferences);
    cr_assert(!LZ4F_isError(count));
    return count;
}

static size_t snappy_bare(const uint8_t *plain, size_t bytes, uint8_t *into)
{
    size_t count = ROOM_BYTES;
    cr_assert_eq(snappy_compress((const char *)plain, bytes, (char *)into, &count), SNAPPY_OK);
    return count;
}

static size_t snappy_xerial(const uint8_t *plain, size_t bytes, uint8_t *into)
{
    static const uint8_t header[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                       0,    0,   0,   1,   0,   0,   0,   1};
    size_t used = sizeof(header);
    memcpy(into, header, sizeof(header));
    for (size_t at = 0; at < bytes; at += 32768) {
        size_t piece = bytes - at < 32768 ? bytes - at : 32768;
        size_t count = snappy_bare(plain + at, piece, into + used + 4);
        big_endian_store32(into + used, (uint32_t)count);
        used += 4 + count;
    }
    return used;
}

static size_t zstd_framed(const uint8_t *plain, size_t bytes, uint8_t *into)
{
    return ZSTD_compress(into, ROOM_BYTES, plain, bytes, 3);
}

enum { STREAMS = 7 };

static enum codec stream_of(int which, const uint8_t *plain, size_t bytes, uint8_t *into,
                            size_t *count)
{
    switch (which) {
    case 0:
        *count = gzipped(plain, bytes, into);
        return CODEC_GZIP;
    case 1:
        *count = snappy_bare(plain, bytes, into);
        return CODEC_SNAPPY;
    case 2:
        *count = snappy_xerial(plain, bytes, into);
        return CODEC_SNAPPY;
    case 3:
        *count = lz4_framed(plain, bytes, into, LZ4F_max64KB, false);
        return CODEC_LZ4;
    case 4:
        *count = lz4_framed(plain, bytes, into, LZ4F_max4MB, true);
        return CODEC_LZ4;
    case 5:
        *count = lz4_framed(plain, bytes, into, LZ4F_max64KB, true);
        return CODEC_LZ4;
    default:
        *count = zstd_framed(plain, bytes, into);
        return CODEC_ZSTD;
    }
}

/* As inflate_read, but for the pauses. */
static int64_t read_on(struct inflate *inflate, void *into, size_t bytes)
{
    int64_t count;
    while ((count = inflate_read(inflate, into, bytes)) == -EAGAIN) {
    }
    return count;
}

/* Inflates a copy that ends where the sanitizer sees it. Bytes, or the error. */
static int64_t inflated(enum codec codec, const uint8_t *from, size_t bytes, uint8_t *into,
                        size_t into_max, size_t piece)
{
    uint8_t *copy = malloc(bytes + 1);
    memcpy(copy + 1, from, bytes);
    size_t memory_bytes = inflate_memory_bytes(codec, copy + 1, bytes);
    void *memory = aligned_alloc(64, (memory_bytes + 64) & ~(size_t)63);
    struct inflate inflate;
    int64_t count = inflate_start(&inflate, codec, copy + 1, bytes, memory, memory_bytes);
    int64_t total = 0;
    uint8_t *out = malloc(piece);
    while (count == 0 && (count = read_on(&inflate, out, piece)) > 0) {
        cr_assert_leq((size_t)count, piece);
        cr_assert_leq((size_t)(total + count), into_max);
        memcpy(into + total, out, (size_t)count);
        total += count;
        count = 0;
    }
    cr_assert(count <= 0);
    if (count == 0) {
        cr_assert_eq(inflate_read(&inflate, out, piece), 0); /* the end stays the end */
    }
    free(out);
    free(memory);
    free(copy);
    return count < 0 ? count : total;
}

Test(inflate, gives_back_what_the_libraries_compressed)
{
    uint8_t *plain = plain_text(), *packed = malloc(ROOM_BYTES), *out = malloc(ROOM_BYTES);
    static const size_t pieces[] = {65536, 1000, 17};
    static const size_t sizes[] = {PLAIN_BYTES, 65536, 65537, 1000, 15, 1};
    for (int which = 0; which < STREAMS; which++) {
        for (size_t s = 0; s < 6; s++) {
            size_t count;
            enum codec codec = stream_of(which, plain, sizes[s], packed, &count);
            for (size_t p = 0; p < 3; p++) {
                memset(out, 0, sizes[s]);
                int64_t got = inflated(codec, packed, count, out, ROOM_BYTES, pieces[p]);
                cr_assert_eq(got, (int64_t)sizes[s], "stream %d, %zu bytes: %ld", which, sizes[s],
                             (long)got);
                cr_assert_eq(memcmp(out, plain, sizes[s]), 0);
            }
        }
    }
    free(plain);
    free(packed);
    free(out);
}

Test(inflate, refuses_every_prefix)
{
    uint8_t *plain = plain_text(), *packed = malloc(ROOM_BYTES), *out = malloc(ROOM_BYTES);
    for (int which = 0; which < STREAMS; which++) {
        size_t count;
        enum codec codec = stream_of(which, plain, 3000, packed, &count);
        for (size_t cut = 0; cut < count; cut++) {
            int64_t got = inflated(codec, packed, cut, out, ROOM_BYTES, 4096);
            if (which == 2 && cut >= 16 && cut < 20) { /* xerial: no block is a stream as well */
                cr_assert_eq(got, 0);
            } else {
                cr_assert_eq(got, -EBADMSG, "stream %d cut at %zu of %zu: %ld", which, cut, count,
                             (long)got);
            }
        }
    }
    free(plain);
    free(packed);
    free(out);
}

Test(inflate, survives_any_flipped_bit)
{
    uint8_t *plain = plain_text(), *packed = malloc(ROOM_BYTES), *out = malloc(64 << 20);
    for (int which = 0; which < STREAMS; which++) {
        size_t count;
        enum codec codec = stream_of(which, plain, 2000, packed, &count);
        for (size_t bit = 0; bit < count * 8; bit += 3) {
            packed[bit / 8] ^= (uint8_t)(1 << bit % 8);
            inflated(codec, packed, count, out, 64 << 20, 65536);
            packed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    free(plain);
    free(packed);
    free(out);
}

Test(inflate, notices_a_wrong_checksum_in_lz4)
{
    uint8_t *plain = plain_text(), *packed = malloc(ROOM_BYTES), *out = malloc(ROOM_BYTES);
    size_t count = lz4_framed(plain, 5000, packed, LZ4F_max64KB, true);
    packed[14] ^= 1; /* the header's */
    cr_expect_eq(inflated(CODEC_LZ4, packed, count, out, ROOM_BYTES, 4096), -EBADMSG);
    packed[14] ^= 1;
    packed[count - 8] ^= 1; /* the block's, before the end mark */
    cr_expect_eq(inflated(CODEC_LZ4, packed, count, out, ROOM_BYTES, 4096), -EBADMSG);
    packed[count - 8] ^= 1;
    cr_expect_eq(inflated(CODEC_LZ4, packed, count, out, ROOM_BYTES, 4096), 5000);
    free(plain);
    free(packed);
    free(out);
}

Test(inflate, refuses_lz4_frames_that_kafka_refuses)
{
    uint8_t *plain = plain_text(), *packed = malloc(ROOM_BYTES), out[256];
    static const uint8_t flips[][2] = {{4, 0x20}, {4, 0x01}, {4, 0x02}, {4, 0xc0},
                                       {5, 0x01}, {5, 0x80}, {5, 0x40}, {0, 0x01}};
    for (size_t i = 0; i < sizeof(flips) / sizeof(*flips); i++) {
        size_t count = lz4_framed(plain, 100, packed, LZ4F_max64KB, false);
        packed[flips[i][0]] ^= flips[i][1];
        packed[6] = (uint8_t)(xxh32(packed + 4, 2) >> 8);
        cr_expect_eq(inflated(CODEC_LZ4, packed, count, out, sizeof(out), 256), -EBADMSG, "%zu", i);
    }
    free(plain);
    free(packed);
}

Test(inflate, looks_behind_a_stream_as_kafka_does)
{
    uint8_t *plain = plain_text(), *packed = malloc(ROOM_BYTES), out[4096];
    size_t count = gzipped(plain, 1000, packed);
    size_t second = gzipped(plain, 1000, packed + count);
    cr_expect_eq(inflated(CODEC_GZIP, packed, count + second, out, 4096, 300), 2000);
    memset(packed + count, 0, 100);
    cr_expect_eq(inflated(CODEC_GZIP, packed, count + 100, out, 4096, 300), 1000);

    count = lz4_framed(plain, 1000, packed, LZ4F_max64KB, false);
    memset(packed + count, 1, 100);
    cr_expect_eq(inflated(CODEC_LZ4, packed, count + 100, out, 4096, 300), 1000);

    count = zstd_framed(plain, 1000, packed);
    second = zstd_framed(plain, 1000, packed + count);
    cr_expect_eq(inflated(CODEC_ZSTD, packed, count + second, out, 4096, 300), 2000);
    memset(packed + count, 1, 100);
    cr_expect_eq(inflated(CODEC_ZSTD, packed, count + 100, out, 4096, 300), -EBADMSG);

    count = snappy_xerial(plain, 1000, packed);
    second = snappy_xerial(plain, 1000, packed + count);
    cr_expect_eq(inflated(CODEC_SNAPPY, packed, count + second, out, 4096, 300), 2000);
    free(plain);
    free(packed);
}

Test(inflate, needs_no_more_memory_for_a_larger_claim)
{
    uint8_t claim[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 'a'}; /* snappy: 4 GiB from 2 bytes */
    uint8_t out[64];
    cr_expect_lt(inflate_memory_bytes(CODEC_SNAPPY, claim, sizeof(claim)), 1024);
    cr_expect_eq(inflated(CODEC_SNAPPY, claim, sizeof(claim), out, 64, 64), -EBADMSG);
    /* zstd: a window of 2^31 bytes is not even begun, one of 2^27 is known before it is */
    uint8_t window[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, (31 - 10) << 3, 0x01, 0x00, 0x00};
    cr_expect_eq(inflate_memory_bytes(CODEC_ZSTD, window, sizeof(window)), 0);
    window[5] = (27 - 10) << 3;
    cr_expect_eq(inflate_memory_bytes(CODEC_ZSTD, window, sizeof(window)),
                 inflate_memory_bytes_max(CODEC_ZSTD));
    struct inflate inflate;
    static alignas(64) uint8_t small[4096];
    cr_expect_eq(inflate_start(&inflate, CODEC_ZSTD, window, sizeof(window), small, sizeof(small)),
                 -ENOMEM);
}

Test(inflate, stops_a_bomb)
{
    size_t zeros = 200 << 20;
    uint8_t *plain = calloc(1, zeros), *packed = malloc(1 << 20);
    size_t count = ZSTD_compress(packed, 1 << 20, plain, zeros, 1);
    cr_assert(!ZSTD_isError(count) && count < zeros / 2048);
    void *memory = aligned_alloc(64, 256 << 20);
    struct inflate inflate;
    cr_assert_eq(inflate_start(&inflate, CODEC_ZSTD, packed, count, memory, 256 << 20), 0);
    int64_t got;
    while ((got = read_on(&inflate, plain, 65536)) > 0) {
    }
    cr_expect_eq(got, -EFBIG);
    cr_expect_leq(inflate.bytes_out, INFLATE_FREE_BYTES + INFLATE_RATIO_MAX * (count + 1));
    cr_expect_eq(inflate_read(&inflate, plain, 65536), -EFBIG);
    free(memory);
    free(packed);
    free(plain);
}

/* -- streams that decode to nothing --------------------------------------------------------------- */

enum { NOTHING_BYTES = 1 << 20 };

/* `head`, then `piece` as often as it fits. */
static size_t repeated(uint8_t *into, const void *head, size_t head_bytes, const void *piece,
                       size_t bytes)
{
    size_t at = head_bytes;
    if (head) {
        memcpy(into, head, head_bytes);
    }
    for (; at + bytes <= NOTHING_BYTES; at += bytes) {
        memcpy(into + at, piece, bytes);
    }
    return at;
}

/* Bits, the lowest first. How many bytes are full; the rest of the bits is held. */
static size_t put_bits(uint8_t *into, uint64_t *held, int *held_count, uint32_t value, int count)
{
    size_t bytes = 0;
    *held |= (uint64_t)value << *held_count;
    for (*held_count += count; *held_count >= 8; *held_count -= 8) {
        into[bytes++] = (uint8_t)*held;
        *held >>= 8;
    }
    return bytes;
}

/* Blocks of one member, each with tables of its own, and nothing behind them but the block's end. */
static size_t gzip_of_tables(uint8_t *into)
{
    static const uint8_t header[10] = {0x1f, 0x8b, 8};
    static const struct {
        uint32_t value;
        int count;
    } fields[] = {
        {0 | 2 << 1, 3},
        {0, 5},
        {0, 5},
        {14, 4}, /* 257 + 1 codes, 18 lengths of lengths: */
        {1 << 6, 3 * 9},
        {1 << 24, 3 * 9}, /* one bit for "many zeros", one for 1 */
        {0, 1},           /* symbol 0: one bit */
        {1 | 127 << 1, 8},
        {1 | 106 << 1, 8}, /* 138 and 117 symbols: none */
        {0, 1},
        {0, 1}, /* the end, and the distance: one bit */
        {1, 1}, /* the end */
    };
    uint64_t held = 0;
    int held_count = 0;
    memcpy(into, header, sizeof header);
    size_t at = sizeof header;
    while (at < NOTHING_BYTES) {
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            at += put_bits(into + at, &held, &held_count, fields[i].value, fields[i].count);
        }
    }
    return at;
}

/* Reads it to its end: the result, and how often it took a read for that. */
static int64_t read_nothing(enum codec codec, const uint8_t *from, size_t bytes, uint32_t *reads)
{
    static uint8_t out[32 << 10];
    size_t memory_bytes = inflate_memory_bytes(codec, from, bytes);
    void *memory = aligned_alloc(64, (memory_bytes + 64) & ~(size_t)63);
    struct inflate inflate;
    cr_assert_eq(inflate_start(&inflate, codec, from, bytes, memory, memory_bytes), 0);
    int64_t result = -EAGAIN;
    for (*reads = 0; result == -EAGAIN; ++*reads) {
        uint64_t work = inflate.work;
        result = inflate_read(&inflate, out, sizeof out);
        cr_assert_leq(inflate.work - work, 2 * INFLATE_READ_WORK);
        cr_assert(result != -EAGAIN || inflate.work - work >= INFLATE_READ_WORK);
    }
    cr_assert_eq(inflate.bytes_out, 0);
    free(memory);
    return result;
}

Test(inflate, pauses_in_what_decodes_to_nothing)
{
    static const uint8_t lz4[7] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82};
    static const uint8_t lz4_block[5] = {1}; /* of one byte: a token of nothing */
    static const uint8_t xerial[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                       0,    0,   0,   1,   0,   0,   0,   1};
    static const uint8_t snappy_block[5] = {0, 0, 0, 1, 0};
    uint8_t *packed = calloc(1, NOTHING_BYTES + ROOM_BYTES), piece[64];
    uint32_t reads;

    size_t bytes = repeated(packed, NULL, 0, piece, gzipped(packed, 0, piece));
    cr_expect_eq(read_nothing(CODEC_GZIP, packed, bytes, &reads), 0);
    cr_expect_gt(reads, 100, "%u", reads);
    memset(packed, 0, NOTHING_BYTES);
    bytes = gzip_of_tables(packed);
    cr_expect_eq(read_nothing(CODEC_GZIP, packed, bytes, &reads), -EBADMSG); /* no end */
    cr_expect_gt(reads, 100, "%u", reads);
    bytes = repeated(packed, NULL, 0, piece, zstd_framed(packed, 0, piece));
    cr_expect_eq(read_nothing(CODEC_ZSTD, packed, bytes, &reads), 0);
    cr_expect_gt(reads, 100, "%u", reads);
    bytes = repeated(packed, xerial, sizeof xerial, snappy_block, sizeof snappy_block);
    cr_expect_eq(read_nothing(CODEC_SNAPPY, packed, bytes, &reads), 0);
    cr_expect_gt(reads, 100, "%u", reads);
    bytes = repeated(packed, lz4, sizeof lz4, lz4_block, sizeof lz4_block);
    memset(packed + bytes, 0, 4); /* the end mark */
    cr_expect_eq(read_nothing(CODEC_LZ4, packed, bytes + 4, &reads), 0);
    cr_expect_gt(reads, 100, "%u", reads);
    free(packed);
}
