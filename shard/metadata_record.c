#include "shard/metadata_record.h"

#include "log/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_VERSION = 1 };
enum { VALUE_BYTES_MAX = 1 << 20 /* a broker's registration is the largest, and far below */ };

bool metadata_record_decode(struct metadata_record *record, struct view value, struct arena *arena)
{
    struct cursor cursor;
    cursor_init(&cursor, value.data, value.bytes < 0 ? 0 : (size_t)value.bytes);
    uint32_t frame_version = cursor_uvarint32(&cursor);
    uint32_t type = cursor_uvarint32(&cursor);
    uint32_t version = cursor_uvarint32(&cursor);
    if (cursor.failed || frame_version != FRAME_VERSION || version > INT16_MAX) {
        return false;
    }
    bool decoded = false;
    switch (type) {
#define METADATA_RECORD(NAME, name, written)                                             \
    case NAME##_RECORD_KEY:                                                              \
        decoded = version <= NAME##_RECORD_VERSION_MAX &&                                \
                  name##_record_decode(&record->name, &cursor, (int16_t)version, arena); \
        break;
#include "shard/metadata_record.def"
#undef METADATA_RECORD
    default:
        break;
    }
    record->type = (enum metadata_record_type)type;
    return decoded && cursor_is_done(&cursor);
}

static void record_encode(const struct metadata_record *record, struct writer *writer)
{
    writer_uvarint32(writer, FRAME_VERSION);
    writer_uvarint32(writer, record->type);
    switch (record->type) {
#define METADATA_RECORD(NAME, name, written)                  \
    case METADATA_##NAME:                                     \
        writer_uvarint32(writer, written);                    \
        name##_record_encode(&record->name, writer, written); \
        break;
#include "shard/metadata_record.def"
#undef METADATA_RECORD
    }
}

/* -- batches ------------------------------------------------------------------------------------ */

void metadata_batches_init(struct metadata_batches *batches, int64_t next_offset,
                           int32_t leader_epoch, int64_t now_ms)
{
    *batches = (struct metadata_batches){
        .next_offset = next_offset, .leader_epoch = leader_epoch, .now_ms = now_ms};
}

void metadata_batches_deinit(struct metadata_batches *batches)
{
    free(batches->bytes);
    batches->bytes = NULL;
}

static uint8_t *batches_room(struct metadata_batches *batches, size_t bytes)
{
    if (batches->bytes_room - batches->bytes_count < bytes) {
        size_t room = batches->bytes_room ? batches->bytes_room * 2 : 4096;
        while (room - batches->bytes_count < bytes) {
            room *= 2;
        }
        uint8_t *larger = realloc(batches->bytes, room);
        if (!larger) {
            batches->failed = true;
            return NULL;
        }
        batches->bytes = larger;
        batches->bytes_room = room;
    }
    return batches->bytes + batches->bytes_count;
}

static void batches_add_record(struct metadata_batches *batches, const struct record *record)
{
    if (batches->records_count == 0) {
        batches->batch_at = batches->bytes_count;
        if (!batches_room(batches, BATCH_HEADER_BYTES)) {
            return;
        }
        batches->bytes_count += BATCH_HEADER_BYTES;
    }
    size_t bytes = record_bytes(record, 0, batches->records_count);
    uint8_t *at = batches_room(batches, bytes);
    if (at) {
        record_write(record, 0, batches->records_count, at);
        batches->bytes_count += bytes;
        batches->records_count++;
    }
}

static void batches_seal(struct metadata_batches *batches, int16_t attributes)
{
    if (batches->records_count == 0 || batches->failed) {
        return;
    }
    struct batch header = {
        .base_offset = batches->next_offset,
        .last_offset_delta = batches->records_count - 1,
        .partition_leader_epoch = batches->leader_epoch,
        .records_count = batches->records_count,
        .attributes = attributes,
        .producer_epoch = BATCH_NO_PRODUCER_EPOCH,
        .base_sequence = BATCH_NO_SEQUENCE,
        .producer_id = BATCH_NO_PRODUCER_ID,
        .base_timestamp = batches->now_ms,
        .max_timestamp = batches->now_ms,
    };
    batch_seal(batches->bytes + batches->batch_at, &header,
               (uint32_t)(batches->bytes_count - batches->batch_at));
    batches->next_offset += batches->records_count;
    batches->records_count = 0;
}

void metadata_batches_end(struct metadata_batches *batches)
{
    batches_seal(batches, 0);
}

/* What was written, of so many bytes; NULL: not all fitted, or no memory. The writer is done with. */
static uint8_t *writer_copy(struct writer *writer, size_t *bytes)
{
    *bytes = writer_position(writer);
    uint8_t *copy = writer_finish(writer) ? malloc(*bytes ? *bytes : 1) : NULL;
    if (copy) {
        writer_join(writer, copy);
    }
    writer_give_all(writer);
    return copy;
}

void metadata_batches_add(struct metadata_batches *batches, const struct metadata_record *record)
{
    struct memory heap;
    struct writer writer;
    memory_init_heap(&heap);
    writer_init(&writer, &heap, VALUE_BYTES_MAX);
    record_encode(record, &writer);
    size_t bytes;
    uint8_t *value = writer_copy(&writer, &bytes);
    if (!value) {
        batches->failed = true;
        return;
    }
    batches_add_record(batches,
                       &(struct record){.key = VIEW_NULL, .value = view_of(value, (int32_t)bytes)});
    free(value);
}

static void batches_control(struct metadata_batches *batches, int16_t type, struct writer *writer)
{
    metadata_batches_end(batches);
    const uint8_t key[4] = {0, 0, (uint8_t)(type >> 8), (uint8_t)type};
    size_t bytes;
    uint8_t *value = writer_copy(writer, &bytes);
    if (!value) {
        batches->failed = true;
        return;
    }
    batches_add_record(batches, &(struct record){.key = view_of(key, sizeof key),
                                                 .value = view_of(value, (int32_t)bytes)});
    free(value);
    batches_seal(batches, BATCH_CONTROL);
}

void metadata_batches_leader_change(struct metadata_batches *batches, int32_t leader_id)
{
    struct memory heap;
    struct writer writer;
    memory_init_heap(&heap);
    writer_init(&writer, &heap, VALUE_BYTES_MAX);
    struct leader_change_message_voter voter = {.voter_id = leader_id};
    struct leader_change_message message = {
        .leader_id = leader_id,
        .voters = &voter,
        .voters_count = 1,
        .granting_voters = &voter,
        .granting_voters_count = 1,
    };
    leader_change_message_encode(&message, &writer, 0);
    batches_control(batches, LEADER_CHANGE_MESSAGE_KEY, &writer);
}

void metadata_batches_snapshot_header(struct metadata_batches *batches, int64_t last_timestamp_ms)
{
    struct memory heap;
    struct writer writer;
    memory_init_heap(&heap);
    writer_init(&writer, &heap, VALUE_BYTES_MAX);
    struct snapshot_header_record header = {.last_contained_log_timestamp = last_timestamp_ms};
    snapshot_header_record_encode(&header, &writer, 0);
    batches_control(batches, SNAPSHOT_HEADER_RECORD_KEY, &writer);
}

void metadata_batches_snapshot_footer(struct metadata_batches *batches)
{
    struct memory heap;
    struct writer writer;
    memory_init_heap(&heap);
    writer_init(&writer, &heap, VALUE_BYTES_MAX);
    struct snapshot_footer_record footer = {0};
    snapshot_footer_record_encode(&footer, &writer, 0);
    batches_control(batches, SNAPSHOT_FOOTER_RECORD_KEY, &writer);
}
