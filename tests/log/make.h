/*
 * make -- batches for tests.
 */
#ifndef TESTS_LOG_MAKE_H
#define TESTS_LOG_MAKE_H

#include "log/batch.h"
#include "log/record.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* A header as a client sends it: no producer, no leader epoch. */
static inline struct batch make_header(void)
{
    return (struct batch){
        .partition_leader_epoch = BATCH_NO_LEADER_EPOCH,
        .producer_id = BATCH_NO_PRODUCER_ID,
        .producer_epoch = BATCH_NO_PRODUCER_EPOCH,
        .base_sequence = BATCH_NO_SEQUENCE,
    };
}

/* `count` records "key N" -> "value N", with timestamps 1000, 1001, ... Returns the bytes. */
static inline size_t make_batch(uint8_t *bytes, size_t bytes_max, int count)
{
    struct batch_builder builder;
    batch_build_start(&builder, bytes, bytes_max);
    for (int i = 0; i < count; i++) {
        char key[32], value[32];
        snprintf(key, sizeof(key), "key %d", i);
        snprintf(value, sizeof(value), "value %d", i);
        struct record record = {
            .timestamp = 1000 + i,
            .key = view_of_text(key),
            .value = view_of_text(value),
        };
        batch_build_record(&builder, &record);
    }
    struct batch header = make_header();
    size_t batch_bytes = batch_build_end(&builder, &header);
    cr_assert_gt(batch_bytes, 0);
    return batch_bytes;
}

static inline struct batch parsed(const void *bytes, size_t count)
{
    struct batch batch;
    cr_assert_eq(batch_parse(&batch, bytes, count), BATCH_WHOLE);
    return batch;
}

#endif
