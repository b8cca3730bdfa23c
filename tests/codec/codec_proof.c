/*
 * codec_proof -- our half of the proof that codec and Kafka's serializer make the same bytes.
 *
 *     codec_proof make SEED COUNT OUT   COUNT random messages of each kind and version, encoded
 *     codec_proof check IN              decode what Kafka encoded, encode it again, compare
 *
 * A file is a row of cases: the message's name, the version of the input, the version of the
 * expected output, the input, the expected output. Usually both are the same; they differ where
 * Kafka put unknown tagged fields into its input, or wrote it again in another version, which
 * shows the defaults of fields that the first does not have. Every other case goes through the codec in
 * slices, of one item and of a few.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/codec/table.h"

enum {
    MEMORY_MAX = 256 << 20,
    FAILURES_SHOWN_MAX = 20,
};

static struct memory memory;

static int64_t slice_of(uint64_t turn)
{
    static const int64_t slices[] = {0, 1, 0, 3 * CODEC_STRUCT};
    return slices[turn % 4];
}

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static struct view file_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        die(path);
    }
    long bytes = ftell(file);
    rewind(file);
    uint8_t *data = malloc((size_t)bytes + 1);
    if (!data || fread(data, 1, (size_t)bytes, file) != (size_t)bytes) {
        die(path);
    }
    fclose(file);
    return view_of(data, (int32_t)bytes);
}

/* All that was written, in one piece from malloc. */
static struct view joined(struct writer *writer)
{
    if (!writer_finish(writer)) {
        fprintf(stderr, "no memory for a message\n");
        exit(2);
    }
    size_t bytes = writer_position(writer);
    uint8_t *data = malloc(bytes + 1);
    if (!data) {
        die("malloc");
    }
    writer_join(writer, data);
    return view_of(data, (int32_t)bytes);
}

static void make_case(FILE *file, const struct codec_entry *entry, int16_t version,
                      const void *message, int64_t slice)
{
    struct writer body, whole;
    writer_init(&body, &memory, MEMORY_MAX);
    writer_init(&whole, &memory, MEMORY_MAX);
    codec_entry_encode(entry, message, &body, version, slice, NULL);
    struct view bytes = joined(&body);
    writer_string(&whole, view_of_text(entry->name));
    writer_int16(&whole, version);
    writer_int16(&whole, version);
    writer_bytes(&whole, bytes);
    writer_bytes(&whole, bytes);
    struct view all = joined(&whole);
    if (fwrite(all.data, 1, (size_t)all.bytes, file) != (size_t)all.bytes) {
        die("write");
    }
    free((void *)bytes.data);
    free((void *)all.data);
    writer_give_all(&body);
    writer_give_all(&whole);
}

static void make(uint64_t seed, uint64_t count, const char *path)
{
    FILE *file = fopen(path, "wb");
    if (!file) {
        die(path);
    }
    for (uint32_t i = 0; i < codec_entries_count; i++) {
        const struct codec_entry *entry = &codec_entries[i];
        void *message = malloc(entry->bytes);
        for (int16_t version = entry->version_min; version <= entry->version_max; version++) {
            for (uint64_t turn = 0; turn < count; turn++) {
                struct arena arena;
                struct fill fill;
                arena_init(&arena, &memory, MEMORY_MAX);
                fill_init(&fill, seed + turn * 1000003 + i * 64 + (uint64_t)version, &arena);
                entry->fill(message, &fill, version);
                make_case(file, entry, version, message, slice_of(turn));
                arena_give_all(&arena);
            }
        }
        free(message);
    }
    if (fclose(file) != 0) {
        die(path);
    }
}

static const struct codec_entry *entry_find(struct view name)
{
    for (uint32_t i = 0; i < codec_entries_count; i++) {
        if (view_equal_text(name, codec_entries[i].name)) {
            return &codec_entries[i];
        }
    }
    return NULL;
}

/* NULL: all is well; otherwise what is not. */
static const char *check_case(const struct codec_entry *entry, int16_t version, int16_t out_version,
                              struct view in, struct view out, int64_t slice)
{
    struct arena arena;
    struct writer writer;
    struct cursor cursor;
    const char *wrong = NULL;
    void *message = malloc(entry->bytes);
    arena_init(&arena, &memory, MEMORY_MAX);
    writer_init(&writer, &memory, MEMORY_MAX);
    cursor_init(&cursor, in.data, (size_t)in.bytes);
    if (!codec_entry_decode(entry, message, &cursor, version, &arena, slice, NULL)) {
        wrong = "is refused";
    } else if (!cursor_is_done(&cursor)) {
        wrong = "is not read to its end";
    } else {
        codec_entry_encode(entry, message, &writer, out_version, slice, NULL);
        struct view again = joined(&writer);
        if (!view_equal(again, out)) {
            wrong = "is encoded otherwise";
        }
        free((void *)again.data);
    }
    writer_give_all(&writer);
    arena_give_all(&arena);
    free(message);
    return wrong;
}

static int check(const char *path)
{
    struct view file = file_read(path);
    struct cursor cursor;
    cursor_init(&cursor, file.data, (size_t)file.bytes);
    int passed = 0;
    int failed = 0;
    while (cursor_left(&cursor) > 0) {
        struct view name = cursor_string(&cursor);
        int16_t version = cursor_int16(&cursor);
        int16_t out_version = cursor_int16(&cursor);
        struct view in = cursor_bytes(&cursor);
        struct view out = cursor_bytes(&cursor);
        const struct codec_entry *entry = entry_find(name);
        const char *wrong = "is not known";
        if (entry && !cursor.failed) {
            wrong = check_case(entry, version, out_version, in, out,
                               slice_of((uint64_t)passed + (uint64_t)failed));
        }
        if (wrong && ++failed <= FAILURES_SHOWN_MAX) {
            printf("%.*s %d -> %d, %" PRId32 " bytes: %s\n", (int)name.bytes, name.data, version,
                   out_version, in.bytes, wrong);
        }
        passed += !wrong;
    }
    printf("Kafka's bytes here: %d passed, %d failed, 0 skipped\n", passed, failed);
    return failed > 0 || passed == 0;
}

int main(int count, char **arguments)
{
    memory_init_heap(&memory);
    if (count == 5 && strcmp(arguments[1], "make") == 0) {
        make(strtoull(arguments[2], NULL, 10), strtoul(arguments[3], NULL, 10), arguments[4]);
        return 0;
    }
    if (count == 3 && strcmp(arguments[1], "check") == 0) {
        return check(arguments[2]);
    }
    fprintf(stderr, "usage: codec_proof make SEED COUNT OUT | check IN\n");
    return 2;
}
