/* What a partition's directory holds beside records, read from arbitrary bytes. */
#include "core/big_endian.h"
#include "core/crc32c.h"
#include "log/checkpoint.h"
#include "log/offset_index.h"
#include "log/producers.h"
#include "log/time_index.h"

#include <stdlib.h>

static void read_snapshot(uint8_t *bytes, size_t count)
{
    struct producers producers;
    producers_init(&producers, 1000);
    if (count >= 10) {
        big_endian_store16(bytes, 1);
        big_endian_store32(bytes + 2, crc32c(0, bytes + 6, count - 6));
    }
    if (producers_snapshot_decode(&producers, bytes, count) == 0) {
        uint8_t again[SNAPSHOT_PIECE_BYTES_MIN];
        struct producers_snapshot snapshot;
        producers_snapshot_begin(&snapshot, &producers);
        while (producers_snapshot_next(&snapshot, again, sizeof(again)) > 0) {
        }
    }
    producers_deinit(&producers);
}

static void read_producers(const uint8_t *bytes, size_t count)
{
    struct producers producers, again;
    producers_init(&producers, 1000);
    producers_init(&again, 1000);
    if (producers_decode(&producers, bytes, count) == 0) {
        size_t encoded_bytes = producers_encoded_bytes(&producers);
        uint8_t *encoded = malloc(encoded_bytes);
        producers_encode(&producers, encoded);
        if (producers_decode(&again, encoded, encoded_bytes) != 0 ||
            again.table.count != producers.table.count) {
            abort();
        }
        free(encoded);
    }
    producers_deinit(&producers);
    producers_deinit(&again);
}

static void read_indexes(const uint8_t *bytes, size_t count)
{
    struct offset_index offsets;
    offset_index_init(&offsets, 1000, 1 << 20, 4096);
    if (offset_index_load(&offsets, bytes, count, UINT32_MAX) == 0) {
        offset_index_lookup(&offsets, 5000);
        offset_index_truncate(&offsets, 3000);
    }
    offset_index_deinit(&offsets);
    struct time_index times;
    time_index_init(&times, 1000, 1 << 20);
    if (time_index_load(&times, bytes, count) == 0) {
        time_index_lookup(&times, 5000);
        time_index_truncate(&times, 3000);
    }
    time_index_deinit(&times);
}

static void read_checkpoints(const uint8_t *bytes, size_t count)
{
    struct epochs epochs;
    epochs_init(&epochs);
    if (checkpoint_read_epochs(&epochs, bytes, count) == 0) {
        epochs_end(&epochs, 5, 1000);
    }
    epochs_deinit(&epochs);
    struct checkpoint checkpoint = checkpoint_of(bytes, count);
    struct checkpoint_offset line;
    while (checkpoint_next_offset(&checkpoint, &line)) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    size_t count = size - 1;
    uint8_t *bytes = malloc(count + 1);
    memcpy(bytes, data + 1, count);
    switch (data[0] % 4) {
    case 0:
        read_snapshot(bytes, count);
        break;
    case 1:
        read_producers(bytes, count);
        break;
    case 2:
        read_indexes(bytes, count);
        break;
    default:
        read_checkpoints(bytes, count);
        break;
    }
    free(bytes);
    return 0;
}
