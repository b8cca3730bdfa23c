#include "tests/codec/fuzz.h"

#include <assert.h>
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

/* Decode and encode again. Null: refused. */
static struct view pass(const struct codec_entry *entry, int16_t version, struct memory *memory,
                        const uint8_t *data, size_t bytes)
{
    _Alignas(8) uint8_t message[MESSAGE_BYTES_MAX];
    assert(entry->bytes <= sizeof message);
    struct arena arena;
    struct writer writer;
    struct cursor cursor;
    struct view again = VIEW_NULL;
    arena_init(&arena, memory, ARENA_BYTES_MAX);
    writer_init(&writer, memory, WRITER_BYTES_MAX);
    cursor_init(&cursor, data, bytes);
    if (entry->decode(message, &cursor, version, &arena)) {
        entry->encode(message, &writer, version);
        bool finished = writer_finish(&writer);
        assert(finished);
        size_t again_bytes = writer_position(&writer);
        uint8_t *copy = malloc(again_bytes + !again_bytes);
        writer_join(&writer, copy);
        again = view_of(copy, (int32_t)again_bytes);
    }
    assert(arena.bytes <= ARENA_BYTES_MAX);
    writer_give_all(&writer);
    arena_give_all(&arena);
    return again;
}

int fuzz_schema(const char *schema, const uint8_t *data, size_t bytes)
{
    if (bytes < 2) {
        return 0;
    }
    const struct codec_entry *entry = entry_choose(schema, data[0]);
    int versions_count = entry->version_max - entry->version_min + 1;
    int16_t version = (int16_t)(entry->version_min + data[1] % versions_count);
    struct memory memory;
    memory_init_heap(&memory);

    struct view once = pass(entry, version, &memory, data + 2, bytes - 2);
    if (!view_is_null(once)) {
        struct view twice = pass(entry, version, &memory, once.data, (size_t)once.bytes);
        assert(view_equal(once, twice));
        free((void *)twice.data);
    }
    free((void *)once.data);
    return 0;
}
