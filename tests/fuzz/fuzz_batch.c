/* Batches as a client sends them: walked, validated in slices, rebuilt, in every codec. */
#include "core/big_endian.h"
#include "core/crc32c.h"
#include "log/batch.h"
#include "log/rebuild.h"
#include "log/record.h"
#include "log/validate.h"

#include <stdlib.h>

enum { MEMORY_BYTES_MAX = 16 << 20, REBUILT_BYTES_MAX = 1 << 20, STEPS_MAX = 2000 };

static void *memory_of(size_t bytes)
{
    return bytes > MEMORY_BYTES_MAX ? NULL : aligned_alloc(64, (bytes + 127) & ~(size_t)63);
}

static void rebuild_whole(const struct validation *validation, size_t budget)
{
    size_t bytes = rebuild_memory_bytes(validation, DEFLATE_LEVEL_DEFAULT);
    void *memory = memory_of(bytes), *into = malloc(REBUILT_BYTES_MAX);
    if (memory && into) {
        struct rebuild rebuild;
        rebuild_start(&rebuild, validation, DEFLATE_LEVEL_DEFAULT, memory, bytes, into,
                      REBUILT_BYTES_MAX);
        for (size_t left = budget; rebuild_step(&rebuild, &left) == VALIDATION_MORE;
             left = budget) {
        }
        struct batch batch;
        if (rebuild.refusal == REFUSAL_NONE &&
            (batch_parse(&batch, into, rebuild.batch_bytes) != BATCH_WHOLE ||
             !batch_is_intact(&batch))) {
            abort();
        }
    }
    free(memory);
    free(into);
}

static void validate(const uint8_t *bytes, size_t count, uint8_t choice)
{
    struct validation_rules rules = {
        .batch_bytes_max = 1 << 20,
        .zstd_allowed = true,
        .headers_only = (choice & 1) != 0,
        .compacted = (choice & 2) != 0,
        .log_append_time = (choice & 4) != 0,
        .keeps_codec = (choice & 8) != 0,
        .codec = (enum codec)(choice >> 4) % CODECS,
        .now_ms = 1700000000000,
        .before_max_ms = INT64_MAX,
        .after_max_ms = 3600000,
    };
    size_t budget = choice & 0x80 ? 4096 : 65536;
    struct validation validation;
    enum validation_progress progress = validation_start(&validation, &rules, bytes, count);
    if (progress == VALIDATION_MORE) {
        size_t memory_bytes = validation_memory_bytes(&validation);
        void *memory = memory_of(memory_bytes);
        validation_give_memory(&validation, memory, memory_bytes);
        for (int i = 0; memory && i < STEPS_MAX && progress == VALIDATION_MORE; i++) {
            size_t left = budget;
            progress = validation_step(&validation, &left);
        }
        free(memory);
    }
    if (progress == VALIDATION_DONE && validation.refusal == REFUSAL_NONE &&
        validation.must_rebuild) {
        rebuild_whole(&validation, budget);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    uint8_t choice = data[0];
    size_t count = size - 1;
    uint8_t *bytes = malloc(count + 1); /* its end is where a read too far is seen */
    memcpy(bytes, data + 1, count);
    struct batch batch;
    struct batch_walk walk = batch_walk(bytes, count);
    while (batch_walk_next(&walk, &batch)) {
        struct records records = records_of(&batch, batch.bytes + BATCH_HEADER_BYTES,
                                            batch.batch_bytes - BATCH_HEADER_BYTES);
        struct record record;
        while (records_next(&records, &record)) {
        }
    }
    if (count >= BATCH_HEADER_BYTES) { /* a length and a CRC are rarely hit by chance */
        big_endian_store64(bytes, 0);
        big_endian_store32(bytes + BATCH_LENGTH, (uint32_t)(count - BATCH_PREFIX_BYTES));
        bytes[BATCH_MAGIC] = 2;
        big_endian_store32(bytes + BATCH_CRC,
                           crc32c(0, bytes + BATCH_ATTRIBUTES, count - BATCH_ATTRIBUTES));
    }
    validate(bytes, count, choice);
    free(bytes);
    return 0;
}
