/*
 * bench_crc32c -- each way to a CRC32C, hot in the cache; and what it costs an owner to check a batch
 * that lies in memory, on its way to the tail and the journal.
 *
 * Compared with ISA-L (nothing else needs it) by building it by hand:
 *     cc -O2 -march=x86-64-v2 -std=gnu2x -I. -DWITH_ISAL bench/bench_crc32c.c core/crc32c.c -lisal
 */
#include "core/copy.h"
#include "core/crc32c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef WITH_ISAL
#include <isa-l/crc.h>
#endif

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

typedef uint32_t crc_fn(uint32_t crc, const void *from, size_t bytes);

static uint32_t table(uint32_t crc, const void *from, size_t bytes)
{
    return crc32c_by(CRC32C_TABLE, crc, from, bytes);
}

static uint32_t instruction(uint32_t crc, const void *from, size_t bytes)
{
    return crc32c_by(CRC32C_INSTRUCTION, crc, from, bytes);
}

static uint32_t copying(uint32_t crc, const void *from, size_t bytes)
{
    static uint8_t to[1 << 20];
    return crc32c_copy(crc, to, from, bytes);
}

#ifdef WITH_ISAL
static uint32_t isal(uint32_t crc, const void *from, size_t bytes)
{
    return ~crc32_iscsi((unsigned char *)(uintptr_t)from, (int)bytes, ~crc);
}
#endif

static void measure(const char *name, crc_fn *crc_of, const uint8_t *bytes)
{
    static const size_t counts[] = {64, 200, 256, 1024, 4096, 65536, 1 << 20};
    printf("%-12s", name);
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        double best = 0;
        for (int round = 0; round < 5; round++) {
            size_t repeats = (crc_of == table ? 4 << 20 : 256 << 20) / counts[i] + 1;
            uint32_t crc = 0;
            double start = now();
            for (size_t n = 0; n < repeats; n++) {
                crc ^= crc_of(0, bytes, counts[i]); /* no chain from one batch to the next */
                __asm__ volatile("" : "+r"(crc)::"memory");
            }
            double rate = (double)(repeats * counts[i]) / (now() - start) / 1e9;
            best = rate > best ? rate : best;
        }
        printf(" %6zu: %6.2f", counts[i], best);
    }
    printf("  GB/s\n");
}

/* -- batches ------------------------------------------------------------------------------------ */

enum { AREA_BYTES = 64 << 20, SLICE_BYTES = 256 << 10, STREAMED_BYTES_MIN = 64 << 10 };

struct areas {
    uint8_t *batches, *tail, *journal;
};

typedef uint32_t take_fn(const struct areas *areas, size_t at, size_t bytes);

static void to_tail(const struct areas *areas, size_t at, size_t bytes)
{
    if (bytes >= STREAMED_BYTES_MIN) {
        copy_streamed(areas->tail + at, areas->batches + at, bytes);
    } else {
        memcpy(areas->tail + at, areas->batches + at, bytes);
    }
}

/* Nobody checks it. */
static uint32_t take_read(const struct areas *areas, size_t at, size_t bytes)
{
    to_tail(areas, at, bytes);
    return crc32c_copy(0, areas->journal + at, areas->batches + at, bytes);
}

/* Checked first. */
static uint32_t take_summed(const struct areas *areas, size_t at, size_t bytes)
{
    uint32_t crc = crc32c(0, areas->batches + at, bytes);
    for (size_t done = 0; done < bytes; done += SLICE_BYTES) {
        size_t slice = bytes - done < SLICE_BYTES ? bytes - done : SLICE_BYTES;
        crc ^= take_read(areas, at + done, slice);
    }
    return crc;
}

/* Checked in the pass that copies it to the tail. */
static uint32_t take_in_one_pass(const struct areas *areas, size_t at, size_t bytes)
{
    uint32_t crc = crc32c_copy(0, areas->tail + at, areas->batches + at, bytes);
    return crc ^ crc32c_copy(0, areas->journal + at, areas->batches + at, bytes);
}

static const struct {
    const char *name;
    take_fn *take;
} takes[] = {
    {"not checked", take_read}, {"sum, copy", take_summed}, {"one pass", take_in_one_pass}};
enum { TAKES = sizeof(takes) / sizeof(*takes), TAKE_ROUNDS = 40 };

/* In turns, so that what else the machine does falls on all. */
static void measure_batches(const struct areas *areas, size_t bytes)
{
    size_t step = (bytes + 4095) & ~(size_t)4095;
    double best[TAKES] = {1e9, 1e9, 1e9};
    for (int round = 0; round < TAKE_ROUNDS * TAKES; round++) {
        uint32_t crc = 0, count = 0;
        double start = now();
        for (size_t at = 0; at + bytes <= AREA_BYTES; at += step, count++) {
            crc ^= takes[round % TAKES].take(areas, at, bytes);
        }
        __asm__ volatile("" : "+r"(crc)::"memory");
        double each = (now() - start) / count;
        best[round % TAKES] = each < best[round % TAKES] ? each : best[round % TAKES];
    }
    printf("batch of %7zu:", bytes);
    for (int i = 0; i < TAKES; i++) {
        printf("  %s %.2f us", takes[i].name, best[i] * 1e6);
    }
    printf("\n");
}

int main(void)
{
    struct areas areas = {malloc(AREA_BYTES), malloc(AREA_BYTES), malloc(AREA_BYTES)};
    if (!areas.batches || !areas.tail || !areas.journal) {
        return 1;
    }
    memset(areas.batches, 0x5a, AREA_BYTES);
    memset(areas.tail, 0, AREA_BYTES); /* touched: page faults are not what is measured */
    memset(areas.journal, 0, AREA_BYTES);
    static const size_t counts[] = {200, 4096, 16384, 65536, 262144, 1 << 20};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        measure_batches(&areas, counts[i]);
    }
    free(areas.batches);
    free(areas.tail);
    free(areas.journal);
    uint8_t *bytes = malloc(1 << 20);
    if (!bytes) {
        return 1;
    }
    memset(bytes, 0x5a, 1 << 20);
    measure("table", table, bytes);
    if (crc32c_best() >= CRC32C_INSTRUCTION) {
        measure("instruction", instruction, bytes);
    }
    measure("crc32c", crc32c, bytes);
    measure("crc32c_copy", copying, bytes);
#ifdef WITH_ISAL
    measure("ISA-L", isal, bytes);
#endif
    free(bytes);
    return 0;
}
