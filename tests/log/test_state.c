#include "log/state.h"

#include "tests/log/make.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

/* A state with something in every field. */
static void fill(struct log_state *state)
{
    *state = (struct log_state){
        .data_from = 40,
        .topic_id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
        .partition = 9,
        .name = "orders.v2-9",
        .segment_base = 5000,
        .position = 123456,
        .placed = 150000,
        .uncut_base = 4000,
        .log_start = 1000,
        .log_end = 6000,
        .high_watermark = 5999,
        .max_timestamp = 1700000000000,
        .max_timestamp_offset = 5500,
        .index_bytes = 80,
        .time_index_bytes = 120,
    };
    epochs_init(&state->epochs);
    producers_init(&state->producers, PRODUCERS_MAX);
    cr_assert_eq(epochs_assign(&state->epochs, 3, 0), 1);
    cr_assert_eq(epochs_assign(&state->epochs, 7, 4500), 1);
    for (int64_t id = 1; id <= 3; id++) {
        struct batch batch = make_header();
        batch.producer_id = id * 1000;
        batch.producer_epoch = 2;
        batch.base_sequence = 10;
        batch.last_offset_delta = 4;
        batch.base_offset = 5990 + id;
        cr_assert_eq(producers_apply(&state->producers, &batch), 0);
    }
}

static uint8_t *encoded(const struct log_state *state, uint32_t *bytes)
{
    *bytes = state_bytes(state);
    uint8_t *buffer = malloc(*bytes); /* exactly: a sanitizer sees what goes past it */
    state_encode(state, buffer);
    return buffer;
}

Test(state, says_what_it_was_told)
{
    struct log_state wrote, read;
    uint32_t bytes;
    fill(&wrote);
    uint8_t *buffer = encoded(&wrote, &bytes);
    cr_assert_eq(state_decode(&read, buffer, bytes), 0);
    cr_assert_eq(read.data_from, wrote.data_from);
    cr_assert_not(read.dropped);
    cr_assert_arr_eq(read.topic_id, wrote.topic_id, 16);
    cr_assert_eq(read.partition, wrote.partition);
    cr_assert_str_eq(read.name, wrote.name);
    cr_assert_eq(read.segment_base, wrote.segment_base);
    cr_assert_eq(read.position, wrote.position);
    cr_assert_eq(read.placed, wrote.placed);
    cr_assert_eq(read.uncut_base, wrote.uncut_base);
    cr_assert_eq(read.log_start, wrote.log_start);
    cr_assert_eq(read.log_end, wrote.log_end);
    cr_assert_eq(read.high_watermark, wrote.high_watermark);
    cr_assert_eq(read.max_timestamp, wrote.max_timestamp);
    cr_assert_eq(read.max_timestamp_offset, wrote.max_timestamp_offset);
    cr_assert_eq(read.index_bytes, wrote.index_bytes);
    cr_assert_eq(read.time_index_bytes, wrote.time_index_bytes);
    cr_assert_eq(read.epochs.count, 2);
    cr_assert_eq(read.epochs.starts[1].epoch, 7);
    cr_assert_eq(read.epochs.starts[1].start_offset, 4500);
    cr_assert_eq(read.producers.table.count, 3);
    const struct producer *producer = producers_find(&read.producers, 2000);
    cr_assert(producer && producer->batches[0].last_sequence == 14);
    state_deinit(&read);
    state_deinit(&wrote);
    free(buffer);
}

Test(state, remembers_that_a_log_was_dropped)
{
    struct log_state wrote, read;
    uint32_t bytes;
    fill(&wrote);
    wrote.dropped = true;
    uint8_t *buffer = encoded(&wrote, &bytes);
    cr_assert_eq(state_decode(&read, buffer, bytes), 0);
    cr_assert(read.dropped);
    state_deinit(&read);
    state_deinit(&wrote);
    free(buffer);
}

Test(state, has_a_bound)
{
    struct log_state state;
    fill(&state);
    memset(state.name, 'n', LOG_NAME_BYTES_MAX - 2);
    strcpy(state.name + LOG_NAME_BYTES_MAX - 2, "-0");
    for (int32_t epoch = 10; epoch < 10 + 2 * EPOCHS_MAX; epoch++) {
        cr_assert_geq(epochs_assign(&state.epochs, epoch, 5000 + epoch), 0);
    }
    for (int64_t i = 0; i < STATE_PRODUCERS_MAX * PRODUCER_BATCHES_MAX; i++) {
        struct batch batch = make_header();
        batch.producer_id = i % (STATE_PRODUCERS_MAX - 3) + 1;
        batch.producer_id = batch.producer_id < 4 ? batch.producer_id * 1000 : batch.producer_id;
        batch.producer_epoch = 2;
        batch.base_offset = 5000 + i;
        cr_assert_eq(producers_apply(&state.producers, &batch), 0);
    }
    cr_assert_leq(state.producers.table.count, STATE_PRODUCERS_MAX);
    cr_assert_geq(state_bytes(&state), STATE_BYTES_MAX - 1000);
    cr_assert_leq(state_bytes(&state), STATE_BYTES_MAX);
    state_deinit(&state);
}

Test(state, names_a_snapshot_for_more_producers)
{
    struct log_state wrote, read;
    uint32_t bytes;
    fill(&wrote);
    wrote.basis = (struct producers_basis){
        .offset = 4800, .segment_base = 4500, .position = 777, .is_file = true};
    uint8_t *buffer = encoded(&wrote, &bytes);
    cr_assert_eq(state_decode(&read, buffer, bytes), 0);
    cr_assert(read.basis.is_file);
    cr_assert_eq(read.basis.offset, 4800);
    cr_assert_eq(read.basis.segment_base, 4500);
    cr_assert_eq(read.basis.position, 777);
    cr_assert_eq(read.producers.table.count, 0);
    state_deinit(&read);
    free(buffer);
    wrote.basis.offset = wrote.log_end + 1; /* that cannot be */
    buffer = encoded(&wrote, &bytes);
    cr_assert_eq(state_decode(&read, buffer, bytes), -EBADMSG);
    free(buffer);
    state_deinit(&wrote);
}

Test(state, is_not_read_from_any_prefix_or_from_more)
{
    struct log_state wrote, read;
    uint32_t bytes;
    fill(&wrote);
    uint8_t *buffer = encoded(&wrote, &bytes);
    for (uint32_t count = 0; count < bytes; count++) {
        uint8_t *prefix = malloc(count + 1);
        memcpy(prefix, buffer, count);
        cr_assert_eq(state_decode(&read, prefix, count), -EBADMSG, "%u bytes", count);
        free(prefix);
    }
    buffer = realloc(buffer, bytes + 1);
    buffer[bytes] = 0;
    cr_assert_eq(state_decode(&read, buffer, bytes + 1), -EBADMSG);
    state_deinit(&wrote);
    free(buffer);
}

Test(state, of_a_newer_version_is_refused)
{
    struct log_state wrote, read;
    uint32_t bytes;
    fill(&wrote);
    uint8_t *buffer = encoded(&wrote, &bytes);
    buffer[1]++;
    cr_assert_eq(state_decode(&read, buffer, bytes), -EBADMSG);
    state_deinit(&wrote);
    free(buffer);
}

Test(state, that_contradicts_itself_is_refused)
{
    for (int wrong = 0; wrong < 6; wrong++) {
        struct log_state wrote, read;
        uint32_t bytes;
        fill(&wrote);
        switch (wrong) {
        case 0:
            wrote.log_start = wrote.log_end + 1;
            break;
        case 1:
            wrote.segment_base = wrote.log_end + 1;
            break;
        case 2:
            wrote.uncut_base = wrote.segment_base + 1;
            break;
        case 3:
            wrote.position = wrote.placed = UINT32_MAX;
            break;
        case 4:
            wrote.high_watermark = wrote.log_end + 1;
            break;
        case 5:
            wrote.placed = wrote.position - 1;
            break;
        }
        uint8_t *buffer = encoded(&wrote, &bytes);
        cr_assert_eq(state_decode(&read, buffer, bytes), -EBADMSG, "%d", wrong);
        state_deinit(&wrote);
        free(buffer);
    }
}

Test(state, names_no_path)
{
    const char *bad[] = {"",      ".",  "..",    ".lock",  "a/b-0",   "/etc-0",  "a b-0",
                         "a\n-0", "-0", "topic", "topic-", "topic-x", "topic-1/"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_not(state_name_is_good(bad[i]), "%s", bad[i]);
    }
    cr_assert(state_name_is_good("__consumer_offsets-49"));
    cr_assert(state_name_is_good("a.b_c-D-0"));
    cr_assert(state_name_is_good(".hidden-0"));
}
