#include "tests/codec/fuzz.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>

#include "tests/codec/table.h"

enum {
    ARENA_BYTES_MAX = 1 << 20, /* small enough that inputs reach it */
    WRITER_BYTES_MAX = 16 << 20,
    MESSAGE_BYTES_MAX = 4096,
};

static const struct codec_entry *entry_choose(const char *schema, uint8_t choice)
{
    uint32_t found_count = 0;
    const struct codec_entry *found[64];
    for (uint32_t i = 0; i < codec_entries_count && found_count < 64; i++) {
        if (strcmp(codec_entries[i].schema, schema) == 0) {
            found[found_count++] = &codec_entries[i];
        }
    }
    assert(found_count > 0 && "no such schema");
    return found[choice % found_count];
}

/* All that was written, in one piece from malloc, so that a read past its end is seen. */
static struct view joined(struct writer *writer)
{
    bool finished = writer_finish(writer);
    assert(finished);
    size_t bytes = writer_position(writer);
    uint8_t *data = malloc(bytes + !bytes);
    writer_join(writer, data);
    return view_of(data, (int32_t)bytes);
}

/* Decode and encode again, in such slices. Null: refused. */
static struct view pass(const struct codec_entry *entry, int16_t version, struct memory *memory,
                        struct view wire, int64_t slice)
{
    alignas(8) uint8_t message[MESSAGE_BYTES_MAX];
    assert(entry->bytes <= sizeof message);
    struct arena arena;
    struct writer writer;
    struct cursor cursor;
    struct view again = VIEW_NULL;
    arena_init(&arena, memory, ARENA_BYTES_MAX);
    writer_init(&writer, memory, WRITER_BYTES_MAX);
    cursor_init(&cursor, wire.data, (size_t)wire.bytes);
    if (codec_entry_decode(entry, message, &cursor, version, &arena, slice, NULL)) {
        codec_entry_encode(entry, message, &writer, version, slice, NULL);
        again = joined(&writer);
    }
    assert(arena.bytes <= ARENA_BYTES_MAX);
    writer_give_all(&writer);
    arena_give_all(&arena);
    return again;
}

/* The second form's message. */
static struct view message_make(const struct codec_entry *entry, int16_t version,
                                struct memory *memory, struct cursor *how)
{
    alignas(8) uint8_t message[MESSAGE_BYTES_MAX];
    assert(entry->bytes <= sizeof message);
    struct arena arena;
    struct writer writer;
    struct fill fill;
    arena_init(&arena, memory, WRITER_BYTES_MAX);
    writer_init(&writer, memory, WRITER_BYTES_MAX);
    fill_init(&fill, cursor_uint32(how), &arena);
    entry->fill(message, &fill, version);
    entry->encode(message, &writer, version);
    struct view made = joined(&writer);
    uint8_t *data = (uint8_t *)made.data;
    while (cursor_left(how) >= 3 && made.bytes > 0) {
        uint32_t place = cursor_uint16(how) % (uint32_t)made.bytes;
        data[place] = (uint8_t)cursor_int8(how);
    }
    writer_give_all(&writer);
    arena_give_all(&arena);
    return made;
}

int fuzz_schema(const char *schema, const uint8_t *data, size_t bytes)
{
    if (bytes < 3) {
        return 0;
    }
    struct memory memory;
    memory_init_heap(&memory);
    const struct codec_entry *entry = entry_choose(schema, data[0]);
    int versions_count = entry->version_max - entry->version_min + 1;
    int16_t version = (int16_t)(entry->version_min + data[1] % versions_count);

    struct view wire = view_of(data + 3, (int32_t)(bytes - 3));
    struct view made = VIEW_NULL;
    if (data[2] % 2 == 1) {
        struct cursor how;
        cursor_init(&how, wire.data, (size_t)wire.bytes);
        wire = made = message_make(entry, version, &memory, &how);
    }
    struct view once = pass(entry, version, &memory, wire, data[2] / 2);
    if (!view_is_null(once)) {
        struct view twice = pass(entry, version, &memory, once, 0);
        assert(view_equal(once, twice));
        free((void *)twice.data);
    }
    free((void *)once.data);
    free((void *)made.data);
    return 0;
}
