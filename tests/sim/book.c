#include "tests/sim/book.h"

#include "log/record.h"
#include "tests/log/pack.h"

#include <stdio.h>

enum { TIMESTAMP_FIRST = 1000 };

void book_deinit(struct book *book)
{
    const struct sim_memory *memory = &memory_of_simulators;
    for (uint32_t i = 0; i < book->batches_count; i++) {
        sim_give(memory, book->batches[i]->bytes);
        sim_give(memory, book->batches[i]);
    }
    for (uint32_t i = 0; i < book->topics_count; i++) {
        for (uint32_t j = 0; j < BOOK_PARTITIONS_MAX; j++) {
            sim_give(memory, book->topics[i]->lines[j].seen);
        }
        sim_give(memory, book->topics[i]);
    }
    sim_give(memory, book->batches);
    sim_give(memory, book->topics);
    *book = (struct book){0};
}

/* -- topics ------------------------------------------------------------------------------------ */

struct book_topic *book_topic_by_id(const struct book *book, const struct uuid *id)
{
    for (uint32_t i = 0; i < book->topics_count; i++) {
        if (uuid_equal(&book->topics[i]->id, id)) {
            return book->topics[i];
        }
    }
    return NULL;
}

struct book_topic *book_topic_by_name(const struct book *book, const char *name)
{
    for (uint32_t i = book->topics_count; i-- > 0;) {
        struct book_topic *topic = book->topics[i];
        if (topic->state == BOOK_LIVE && !strcmp(topic->name, name)) {
            return topic;
        }
    }
    return NULL;
}

struct book_topic *book_topic(struct book *book, struct view name, const struct uuid *id,
                              uint32_t partitions_count)
{
    struct book_topic *topic = book_topic_by_id(book, id);
    if (topic) {
        return topic;
    }
    assert(name.bytes < BOOK_NAME_BYTES && partitions_count <= BOOK_PARTITIONS_MAX);
    topic = sim_take(&memory_of_simulators, sizeof *topic);
    memcpy(topic->name, name.data, (size_t)name.bytes);
    topic->id = *id;
    topic->partitions_count = partitions_count;
    for (uint32_t i = 0; i < BOOK_PARTITIONS_MAX; i++) {
        topic->lines[i].topic = topic;
        topic->lines[i].index = (int32_t)i;
    }
    book->topics = sim_room(&memory_of_simulators, book->topics, &book->topics_capacity,
                            book->topics_count + 1, sizeof(void *));
    book->topics[book->topics_count++] = topic;
    return topic;
}

/* -- sending ----------------------------------------------------------------------------------- */

enum { VALUE_BYTES_MAX = 1 << 20 };

static int32_t records_fill(struct batch_builder *builder, uint32_t bytes, int64_t timestamp,
                            struct sim_random *random)
{
    static uint8_t value[VALUE_BYTES_MAX];
    uint64_t dull = sim_chance(random, 50); /* the same bytes again: it packs well */
    uint64_t word = 0;
    uint32_t records = (uint32_t)sim_between(random, 1, 1 + bytes / 100 % 20);
    uint32_t each = bytes / records;
    assert(each < sizeof value - 8);
    for (uint32_t i = 0; i < records; i++) {
        for (uint32_t at = 0; at < each; at += 8) {
            word = dull && at > 0 ? word : sim_draw(random);
            memcpy(value + at, &word, 8);
        }
        struct record record = {
            .timestamp = timestamp, .key = VIEW_NULL, .value = view_of(value, (int32_t)each)};
        batch_build_record(builder, &record);
    }
    return (int32_t)records;
}

static void batch_pack(struct book_batch *batch, enum codec codec)
{
    size_t bytes_max = batch->batch_bytes + 4096;
    uint8_t *packed = sim_take(&memory_of_simulators, bytes_max);
    size_t bytes = pack(batch->bytes, batch->batch_bytes, codec, packed, bytes_max);
    assert(bytes > 0);
    sim_give(&memory_of_simulators, batch->bytes);
    batch->bytes = packed;
    batch->batch_bytes = (uint32_t)bytes;
    batch->codec = codec;
}

uint32_t book_send(struct book *book, struct book_line *line, const struct book_producer *producer,
                   uint32_t bytes, struct sim_random *random)
{
    struct book_batch *batch = sim_take(&memory_of_simulators, sizeof *batch);
    size_t bytes_max = bytes + 4096;
    uint32_t id = book->batches_count;
    *batch = (struct book_batch){
        .line = line,
        .bytes = sim_take(&memory_of_simulators, bytes_max),
        .writer = producer->writer,
        .number = line->sent[producer->writer]++,
    };
    struct batch_builder builder;
    batch_build_start(&builder, batch->bytes, bytes_max);
    batch->records = records_fill(&builder, bytes, TIMESTAMP_FIRST + id, random);
    struct batch header = {
        .partition_leader_epoch = BATCH_NO_LEADER_EPOCH,
        .producer_id = producer->id,
        .producer_epoch = producer->epoch,
        .base_sequence = producer->sequence,
    };
    batch->batch_bytes = (uint32_t)batch_build_end(&builder, &header);
    assert(batch->batch_bytes > 0);
    if (sim_chance(random, book->packed_percent)) {
        batch_pack(batch, (enum codec)sim_between(random, CODEC_GZIP, CODEC_ZSTD));
    }
    book->batches = sim_room(&memory_of_simulators, book->batches, &book->batches_capacity, id + 1,
                             sizeof(void *));
    book->batches[book->batches_count++] = batch;
    return id;
}

const char *book_tell(struct book *book, uint32_t id, int64_t base_offset)
{
    struct book_batch *batch = book->batches[id];
    if (batch->told && book->kinds[batch->writer] == BOOK_IDEMPOTENT &&
        batch->base_offset != base_offset) {
        return "a retry was acknowledged at another offset than the first attempt";
    }
    if (batch->told) {
        return NULL;
    }
    batch->told = true;
    batch->base_offset = base_offset;
    if (batch->line->told_end < base_offset + batch->records) {
        batch->line->told_end = base_offset + batch->records;
    }
    return base_offset < 0 ? "a batch was acknowledged without an offset" : NULL;
}

/* -- reading ----------------------------------------------------------------------------------- */

void book_read_start(struct book_reader *reader, struct book *book, struct book_line *line,
                     bool watches)
{
    *reader = (struct book_reader){
        .book = book, .line = line, .watches = watches, .seen_before = line->seen_count};
}

/* But for what the log writes into it: base offset and leader epoch. */
static bool batch_equal(const struct book_batch *sent, const struct batch *batch)
{
    return batch->batch_bytes == sent->batch_bytes &&
           !memcmp(batch->bytes + BATCH_LENGTH, sent->bytes + BATCH_LENGTH,
                   BATCH_PARTITION_LEADER_EPOCH - BATCH_LENGTH) &&
           !memcmp(batch->bytes + BATCH_MAGIC, sent->bytes + BATCH_MAGIC,
                   sent->batch_bytes - BATCH_MAGIC);
}

/* What is left of a batch when the broker has chosen another codec for it. */
static bool batch_equal_unpacked(const struct book_batch *sent, const struct batch *batch)
{
    static uint8_t ours[VALUE_BYTES_MAX], theirs[VALUE_BYTES_MAX];
    struct batch plain;
    enum batch_state state = batch_parse(&plain, sent->bytes, sent->batch_bytes);
    assert(state == BATCH_WHOLE);
    int64_t bytes = unpack(&plain, ours, sizeof ours);
    return unpack(batch, theirs, sizeof theirs) == bytes && bytes >= 0 &&
           !memcmp(ours, theirs, (size_t)bytes) &&
           !memcmp(batch->bytes + BATCH_LAST_OFFSET_DELTA, plain.bytes + BATCH_LAST_OFFSET_DELTA,
                   BATCH_HEADER_BYTES - BATCH_LAST_OFFSET_DELTA);
}

/* Its place among the batches of its writer. */
static const char *number_check(struct book_reader *reader, const struct book_batch *sent)
{
    uint32_t *next = &reader->next[sent->writer];
    enum book_kind kind = reader->book->kinds[sent->writer];
    if (sent->number > *next && kind != BOOK_FORGETFUL) {
        return "a batch is there, and one that was sent before it is not";
    }
    if (sent->number < *next && kind != BOOK_PLAIN) {
        return "a batch is there twice, or behind one that was sent after it";
    }
    if (sent->number >= *next) {
        *next = sent->number + 1;
    }
    return NULL;
}

static const char *seen_check(struct book_reader *reader, uint32_t id)
{
    struct book_line *line = reader->line;
    if (reader->count < line->seen_count) {
        return line->seen[reader->count] == id ? NULL : "somebody has read another batch there";
    }
    if (reader->watches) {
        line->seen = sim_room(&memory_of_simulators, line->seen, &line->seen_capacity,
                              line->seen_count + 1, sizeof *line->seen);
        line->seen[line->seen_count++] = id;
    }
    return NULL;
}

static const char *batch_check(struct book_reader *reader, const struct batch *batch)
{
    int64_t id = batch->base_timestamp - TIMESTAMP_FIRST;
    if (!batch_is_intact(batch)) {
        return "the CRC of a batch is wrong";
    }
    if (id < 0 || id >= reader->book->batches_count) {
        return "a batch is there that was never sent";
    }
    const struct book_batch *sent = reader->book->batches[id];
    if (sent->line != reader->line) {
        return "a batch is there that was sent elsewhere";
    }
    if (!batch_equal(sent, batch) &&
        !(reader->book->repacked && batch_equal_unpacked(sent, batch))) {
        return "a batch is not as it was sent";
    }
    if (batch->base_offset != reader->offset) {
        return "offsets have a gap";
    }
    reader->told_found += sent->told && sent->base_offset == batch->base_offset;
    const char *wrong = number_check(reader, sent);
    wrong = wrong ? wrong : seen_check(reader, (uint32_t)id);
    reader->offset = batch_last_offset(batch) + 1;
    reader->count++;
    return wrong;
}

const char *book_read(struct book_reader *reader, const uint8_t *bytes, size_t count)
{
    struct batch_walk walk = batch_walk(bytes, count);
    struct batch batch;
    while (batch_walk_next(&walk, &batch)) {
        const char *wrong = batch_check(reader, &batch);
        if (wrong) {
            return wrong;
        }
    }
    return walk.state == BATCH_BROKEN ? "what is there is no batch" : NULL;
}

const char *book_read_end(struct book_reader *reader)
{
    if (reader->count < reader->seen_before) {
        return "a batch is gone that somebody has read";
    }
    uint32_t told = 0;
    for (uint32_t i = 0; i < reader->book->batches_count; i++) {
        const struct book_batch *batch = reader->book->batches[i];
        told += batch->line == reader->line && batch->told;
    }
    return reader->told_found == told ? NULL
                                      : "an acknowledged batch is not where it was said to be";
}
