#include "core/deflate.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PLAIN_BYTES = 300000 };

static uint8_t *plain_bytes(void)
{
    uint8_t *plain = malloc(PLAIN_BYTES);
    srandom(3);
    for (size_t i = 0; i < PLAIN_BYTES; i++) { /* words, and stretches of noise */
        plain[i] = (uint8_t)(i % 70000 < 20000 ? random() : "a word and another "[i % 19]);
    }
    return plain;
}

/* In pieces of this size. Bytes, or the error. */
static int64_t deflated(enum codec codec, int level, const uint8_t *plain, size_t bytes,
                        size_t piece, uint8_t *into, size_t bytes_max)
{
    size_t memory_bytes = deflate_memory_bytes(codec, level, bytes);
    void *memory = aligned_alloc(64, (memory_bytes + 127) & ~(size_t)63);
    struct deflate deflate;
    deflate_start(&deflate, codec, level, bytes, memory, memory_bytes, into, bytes_max);
    for (size_t at = 0; at < bytes; at += piece) {
        (void)!deflate_write(&deflate, plain + at, bytes - at < piece ? bytes - at : piece);
    }
    int result = deflate_end(&deflate);
    free(memory);
    return result < 0 ? result : (int64_t)deflate.bytes_used;
}

static void expect_inflates(enum codec codec, const uint8_t *packed, size_t count,
                            const uint8_t *plain, size_t bytes)
{
    size_t memory_bytes = inflate_memory_bytes(codec, packed, count);
    void *memory = aligned_alloc(64, (memory_bytes + 127) & ~(size_t)63);
    uint8_t *out = malloc(bytes + 1);
    struct inflate inflate;
    size_t total = 0;
    int64_t got;
    cr_assert_eq(inflate_start(&inflate, codec, packed, count, memory, memory_bytes), 0);
    while ((got = inflate_read(&inflate, out + total, bytes + 1 - total)) > 0) {
        total += (size_t)got;
        cr_assert_leq(total, bytes);
    }
    cr_assert_eq(got, 0);
    cr_assert_eq(total, bytes);
    cr_assert_eq(memcmp(out, plain, bytes), 0);
    free(out);
    free(memory);
}

Test(deflate, writes_what_inflate_reads)
{
    uint8_t *plain = plain_bytes(), *packed = malloc(2 * PLAIN_BYTES);
    static const size_t sizes[] = {PLAIN_BYTES, 65536, 65535, 32768, 100, 1};
    static const size_t pieces[] = {100000, 1000, 77};
    for (enum codec codec = CODEC_GZIP; codec < CODECS; codec++) {
        for (size_t s = 0; s < 6; s++) {
            for (size_t p = 0; p < 3; p++) {
                int64_t count = deflated(codec, DEFLATE_LEVEL_DEFAULT, plain, sizes[s], pieces[p],
                                         packed, 2 * PLAIN_BYTES);
                cr_assert_gt(count, 0);
                expect_inflates(codec, packed, (size_t)count, plain, sizes[s]);
            }
        }
    }
    free(plain);
    free(packed);
}

Test(deflate, knows_the_levels_that_kafka_allows)
{
    uint8_t *plain = plain_bytes(), *packed = malloc(2 * PLAIN_BYTES);
    static const struct {
        enum codec codec;
        int level;
    } levels[] = {{CODEC_GZIP, -1}, {CODEC_GZIP, 1},  {CODEC_GZIP, 9},
                  {CODEC_LZ4, 1},   {CODEC_LZ4, 17},  {CODEC_ZSTD, -131072},
                  {CODEC_ZSTD, 1},  {CODEC_ZSTD, 19}, {CODEC_ZSTD, 22}};
    for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
        int64_t count = deflated(levels[i].codec, levels[i].level, plain, 100000, 30000, packed,
                                 2 * PLAIN_BYTES);
        cr_assert_gt(count, 0);
        expect_inflates(levels[i].codec, packed, (size_t)count, plain, 100000);
    }
    size_t memory_bytes = deflate_memory_bytes(CODEC_ZSTD, 22, UINT64_C(1) << 30);
    cr_expect_leq(memory_bytes, DEFLATE_MEMORY_BYTES_MAX + 65536);
    free(plain);
    free(packed);
}

Test(deflate, says_so_when_there_is_no_room)
{
    uint8_t *plain = plain_bytes(), *packed = malloc(2 * PLAIN_BYTES);
    for (enum codec codec = CODEC_NONE; codec < CODECS; codec++) {
        int64_t whole =
            deflated(codec, DEFLATE_LEVEL_DEFAULT, plain, 50000, 1000, packed, 2 * PLAIN_BYTES);
        cr_assert_gt(whole, 0);
        for (int64_t room = 0; room <= whole; room += room + 300 < whole ? 300 : 1) {
            memset(packed + room, 0x77, 64);
            int64_t count =
                deflated(codec, DEFLATE_LEVEL_DEFAULT, plain, 50000, 1000, packed, (size_t)room);
            if (room < whole) {
                cr_assert_eq(count, -ENOSPC, "codec %d, %ld of %ld", codec, (long)room,
                             (long)whole);
            }
            for (int i = 0; i < 64; i++) {
                cr_assert_eq(packed[room + i], 0x77);
            }
        }
    }
    free(plain);
    free(packed);
}
