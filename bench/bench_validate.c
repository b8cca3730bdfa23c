/*
 * bench_validate -- what it costs to look at batches before they are appended, for each codec.
 */
#include "log/rebuild.h"
#include "log/record.h"
#include "log/validate.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH_BYTES_MAX = 2 << 20, MEMORY_BYTES = 16 << 20, STEP_WORK = 64 << 10, ROUNDS = 7 };

struct bench { /* buffers that all measurements share */
    uint8_t plain[BATCH_BYTES_MAX];
    uint8_t packed[BATCH_BYTES_MAX];
    uint8_t *memory;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct validation_rules rules_for(enum codec codec)
{
    return (struct validation_rules){.batch_bytes_max = BATCH_BYTES_MAX,
                                     .zstd_allowed = true,
                                     .codec = codec,
                                     .before_max_ms = INT64_MAX,
                                     .after_max_ms = INT64_MAX};
}

static void validate(struct bench *bench, struct validation *validation,
                     const struct validation_rules *rules, const uint8_t *bytes, size_t count)
{
    if (validation_start(validation, rules, bytes, count) == VALIDATION_MORE) {
        validation_give_memory(validation, bench->memory, MEMORY_BYTES);
        for (size_t left = STEP_WORK; validation_step(validation, &left) == VALIDATION_MORE;
             left = STEP_WORK) {
        }
    }
    if (validation->refusal != REFUSAL_NONE) {
        fprintf(stderr, "refused: %s\n", validation->why);
        exit(1);
    }
}

/* Lines of a log that look alike, in one batch. */
static size_t build(struct bench *bench, int records_count)
{
    struct batch_builder builder;
    batch_build_start(&builder, bench->plain, BATCH_BYTES_MAX);
    for (int i = 0; i < records_count; i++) {
        char line[128];
        int bytes = snprintf(line, sizeof(line),
                             "{\"level\":\"%s\",\"host\":\"web-%02ld\",\"path\":\"/items/%ld\","
                             "\"took_us\":%ld,\"id\":\"%08lx\"}",
                             random() % 10 ? "INFO" : "WARN", random() % 40, random() % 5000,
                             random() % 90000, random());
        struct record record = {.timestamp = i, .key = VIEW_NULL, .value = view_of(line, bytes)};
        batch_build_record(&builder, &record);
    }
    struct batch header = {.producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    size_t count = batch_build_end(&builder, &header);
    if (count == 0) {
        exit(1);
    }
    return count;
}

static size_t compress(struct bench *bench, size_t plain_count, enum codec codec)
{
    struct validation_rules rules = rules_for(codec);
    struct validation validation;
    struct rebuild rebuild;
    validate(bench, &validation, &rules, bench->plain, plain_count);
    rebuild_start(&rebuild, &validation, DEFLATE_LEVEL_DEFAULT, bench->memory, MEMORY_BYTES,
                  bench->packed, BATCH_BYTES_MAX);
    for (size_t left = STEP_WORK; rebuild_step(&rebuild, &left) == VALIDATION_MORE;
         left = STEP_WORK) {
    }
    return rebuild.batch_bytes;
}

static void measure(struct bench *bench, int records_count, enum codec codec)
{
    static const char *const names[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    size_t plain_count = build(bench, records_count);
    const uint8_t *bytes = codec == CODEC_NONE ? bench->plain : bench->packed;
    size_t count = codec == CODEC_NONE ? plain_count : compress(bench, plain_count, codec);
    struct validation_rules rules = rules_for(codec);
    size_t repeats = (16 << 20) / plain_count + 1;
    double best_us = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        struct validation validation;
        double start = now();
        for (size_t i = 0; i < repeats; i++) {
            validate(bench, &validation, &rules, bytes, count);
        }
        double us = (now() - start) / (double)repeats * 1e6;
        best_us = us < best_us ? us : best_us;
    }
    printf("%-6s %7zu bytes (%7zu plain) %6d records: %9.2f us, %6.1f ns a record, %5.2f GB/s\n",
           names[codec], count, plain_count, records_count, best_us, best_us * 1e3 / records_count,
           (double)plain_count / best_us / 1e3);
}

int main(void)
{
    static const int counts[] = {1, 2, 150, 9000};
    struct bench *bench = malloc(sizeof(*bench));
    if (!bench || !(bench->memory = aligned_alloc(64, MEMORY_BYTES))) {
        return 1;
    }
    for (enum codec codec = CODEC_NONE; codec < CODECS; codec++) {
        for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
            measure(bench, counts[i], codec);
        }
    }
    free(bench->memory);
    free(bench);
    return 0;
}
