/*
 * bench_deflate -- how long one write takes at each level: what a reactor may do by itself, and what
 * is for a job.
 */
#include "core/deflate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    PLAIN_BYTES = 512 << 10,
    PACKED_BYTES = 1 << 20,
    MEMORY_BYTES = 64 << 20,
    PIECE_BYTES = 1 << 10,
    WRITES = PLAIN_BYTES / PIECE_BYTES + 1,
    ROUNDS = 3,
};

struct bench {
    uint8_t plain[PLAIN_BYTES];
    uint8_t packed[PACKED_BYTES];
    double write_us[WRITES]; /* the best of all rounds: what others do to the machine is left out */
    uint8_t *memory;
};

static double now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void measure(struct bench *bench, const char *what, enum codec codec, int level)
{
    static const char *const names[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    double best_us = 1e12, start_us = 1e12, longest_us = 0;
    struct deflate deflate;
    for (int round = 0; round < ROUNDS; round++) {
        size_t memory_bytes = deflate_memory_bytes(codec, level, PLAIN_BYTES);
        double begin = now_us();
        deflate_start(&deflate, codec, level, PLAIN_BYTES, bench->memory, memory_bytes,
                      bench->packed, PACKED_BYTES);
        double at = now_us();
        start_us = at - begin < start_us ? at - begin : start_us;
        for (size_t i = 0; i < WRITES; i++) {
            int result = i + 1 < WRITES
                             ? deflate_write(&deflate, bench->plain + i * PIECE_BYTES, PIECE_BYTES)
                             : deflate_end(&deflate);
            double then = now_us();
            if (result < 0) {
                exit(1);
            }
            if (round == 0 || then - at < bench->write_us[i]) {
                bench->write_us[i] = then - at;
            }
            at = then;
        }
        best_us = at - begin < best_us ? at - begin : best_us;
    }
    for (size_t i = 0; i < WRITES; i++) {
        longest_us = bench->write_us[i] > longest_us ? bench->write_us[i] : longest_us;
    }
    printf("%-6s %7d, %-10s -> %7zu bytes: start %6.1f us, the longest write %8.1f us, "
           "%7.2f ns a byte\n",
           names[codec], level, what, deflate.bytes_used, start_us, longest_us,
           best_us * 1e3 / PLAIN_BYTES);
}

static void measure_all(struct bench *bench, const char *what)
{
    static const struct {
        enum codec codec;
        int level;
    } ways[] = {{CODEC_SNAPPY, 0}, {CODEC_GZIP, 1},  {CODEC_GZIP, 6},  {CODEC_GZIP, 9},
                {CODEC_LZ4, 9},    {CODEC_LZ4, 1},   {CODEC_LZ4, 8},   {CODEC_LZ4, 17},
                {CODEC_ZSTD, -5},  {CODEC_ZSTD, 1},  {CODEC_ZSTD, 3},  {CODEC_ZSTD, 5},
                {CODEC_ZSTD, 9},   {CODEC_ZSTD, 12}, {CODEC_ZSTD, 19}, {CODEC_ZSTD, 22}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        measure(bench, what, ways[i].codec, ways[i].level);
    }
}

static void fill_lines(struct bench *bench)
{
    char *at = (char *)bench->plain, *end = at + PLAIN_BYTES;
    while (end - at > 128) {
        at += sprintf(at,
                      "{\"level\":\"%s\",\"path\":\"/items/%ld\",\"took_us\":%ld,\"id\":\"%lx\"}\n",
                      random() % 10 ? "INFO" : "WARN", random() % 5000, random() % 90000, random());
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

/* Many places look as if they matched, and do for a little: what a search takes longest for. */
static void fill_near(struct bench *bench)
{
    for (size_t i = 0; i < PLAIN_BYTES; i++) {
        bench->plain[i] = i % 24 == 23 ? (uint8_t)(random() >> 8) : (uint8_t)('a' + (i % 24) / 12);
    }
}

int main(void)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (!bench || !(bench->memory = aligned_alloc(64, MEMORY_BYTES))) {
        return 1;
    }
    memset(bench->memory, 1, MEMORY_BYTES);
    fill_lines(bench);
    measure_all(bench, "lines");
    fill_scraps(bench);
    measure_all(bench, "scraps");
    fill_near(bench);
    measure_all(bench, "near");
    memset(bench->plain, 'x', PLAIN_BYTES);
    measure_all(bench, "one byte");
    free(bench->memory);
    free(bench);
    return 0;
}
