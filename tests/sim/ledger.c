#include "tests/sim/ledger.h"

#include "log/record.h"

#include <stdio.h>

enum { TIMESTAMP_FIRST = 1000, TIMESTAMP_STEP = 10 };

void line_init(struct line *line, uint32_t topic, uint32_t incarnation, int64_t producer_id,
               uint32_t producers_count)
{
    *line = (struct line){.producer_id = producer_id,
                          .producer_epoch = 3,
                          .producers_count = producers_count,
                          .partition = (int32_t)(topic % 3)};
    snprintf(line->topic, sizeof line->topic, "topic-%u", topic);
    snprintf(line->name, sizeof line->name, "%s-%d", line->topic, line->partition);
    memset(line->topic_id, 0xab, sizeof line->topic_id);
    memcpy(line->topic_id, &topic, sizeof topic);
    memcpy(line->topic_id + 4, &incarnation, sizeof incarnation);
}

void line_deinit(struct line *line)
{
    for (uint32_t i = 0; i < line->count; i++) {
        sim_give(&memory_of_simulators, line->sent[i].bytes);
    }
    if (line->sent) {
        sim_give(&memory_of_simulators, line->sent);
    }
    *line = (struct line){0};
}

/* Records of random bytes, sometimes of one byte only, so that also long runs of it come up. */
static size_t records_fill(struct batch_builder *builder, uint32_t bytes, int64_t timestamp,
                           struct sim_random *random)
{
    static uint8_t value[1 << 21];
    uint32_t records = (uint32_t)sim_between(random, 1, 1 + bytes / 100 % 20);
    uint32_t each = bytes / records;
    bool plain = sim_chance(random, 20);
    uint8_t fill = (uint8_t)sim_draw(random);
    for (uint32_t i = 0; i < records; i++) {
        for (uint32_t at = 0; at < each; at += 8) {
            uint64_t word = plain ? fill * UINT64_C(0x0101010101010101) : sim_draw(random);
            memcpy(value + at, &word, 8);
        }
        struct record record = {.timestamp = timestamp, .value = view_of(value, each)};
        batch_build_record(builder, &record);
    }
    return records;
}

struct sent *line_send(struct line *line, uint32_t bytes, struct sim_random *random)
{
    line->sent = sim_room(&memory_of_simulators, line->sent, &line->capacity, line->count + 1,
                          sizeof *line->sent);
    struct sent *sent = &line->sent[line->count];
    size_t bytes_max = bytes + 4096;
    *sent = (struct sent){
        .base_offset = line->next_offset,
        .timestamp = TIMESTAMP_FIRST + (int64_t)line->count * TIMESTAMP_STEP,
        .bytes = sim_take(&memory_of_simulators, bytes_max),
    };
    struct batch_builder builder;
    batch_build_start(&builder, sent->bytes, bytes_max);
    sent->records = (int32_t)records_fill(&builder, bytes, sent->timestamp, random);
    struct batch header = {
        .partition_leader_epoch = BATCH_NO_LEADER_EPOCH,
        .producer_id = BATCH_NO_PRODUCER_ID,
        .producer_epoch = BATCH_NO_PRODUCER_EPOCH,
        .base_sequence = BATCH_NO_SEQUENCE,
    };
    if (line->producer_id >= 0) {
        sent->producer = (uint32_t)sim_below(random, line->producers_count);
        header.producer_id = line->producer_id + sent->producer;
        header.producer_epoch = line->producer_epoch;
        header.base_sequence = line->next_sequences[sent->producer];
        line->next_sequences[sent->producer] += sent->records;
    }
    sent->batch_bytes = (uint32_t)batch_build_end(&builder, &header);
    assert(sent->batch_bytes > 0);
    line->count++;
    line->next_offset += sent->records;
    return sent;
}

bool line_is_recent(const struct line *line, uint32_t index, uint32_t found)
{
    uint32_t later = 0;
    for (uint32_t i = index + 1; i < found; i++) {
        later += line->sent[i].producer == line->sent[index].producer;
    }
    return later < 5;
}

uint32_t line_told(const struct line *line)
{
    uint32_t told = 0;
    for (uint32_t i = 0; i < line->count; i++) {
        told = line->sent[i].told ? i + 1 : told;
    }
    return told;
}

/* But for what the log writes into it: base offset and leader epoch. */
static bool batch_equal(const struct sent *sent, const struct batch *batch)
{
    return batch->batch_bytes == sent->batch_bytes &&
           !memcmp(batch->bytes + BATCH_LENGTH, sent->bytes + BATCH_LENGTH,
                   BATCH_PARTITION_LEADER_EPOCH - BATCH_LENGTH) &&
           !memcmp(batch->bytes + BATCH_MAGIC, sent->bytes + BATCH_MAGIC,
                   sent->batch_bytes - BATCH_MAGIC);
}

const char *line_check_batch(const struct line *line, uint32_t index, const struct batch *batch)
{
    if (index >= line->count) {
        return "a batch is there that was never sent";
    }
    if (!batch_equal(&line->sent[index], batch)) {
        return "a batch is not the one that was sent next";
    }
    return batch->base_offset == line->sent[index].base_offset ? NULL
                                                               : "a batch has another offset";
}

const char *line_check(const struct line *line, const uint8_t *bytes, size_t bytes_count,
                       int64_t log_end, uint32_t *found)
{
    struct batch_walk walk = batch_walk(bytes, bytes_count);
    struct batch batch;
    int64_t end = 0;
    for (*found = 0; batch_walk_next(&walk, &batch); (*found)++) {
        const char *wrong = line_check_batch(line, *found, &batch);
        if (wrong) {
            return wrong;
        }
        end = batch_last_offset(&batch) + 1;
    }
    if (walk.state != BATCH_WHOLE) {
        return "what is there does not end with a batch";
    }
    if (*found < line_told(line)) {
        return "an acknowledged batch is not there";
    }
    return log_end == end ? NULL : "the log end is not that of the last batch";
}

void line_settle(struct line *line, uint32_t found)
{
    while (line->count > found) {
        struct sent *sent = &line->sent[--line->count];
        line->next_offset = sent->base_offset;
        line->next_sequences[sent->producer] -= sent->records;
        sim_give(&memory_of_simulators, sent->bytes);
    }
    for (uint32_t i = 0; i < found; i++) {
        line->sent[i].told = true;
    }
}
