/* What is true of every message in every version. */
#include <criterion/criterion.h>

#include "tests/codec/table.h"

enum { MEMORY_MAX = 64 << 20, TURNS = 20 };

static struct memory memory;
static struct arena arena;

static void setup(void)
{
    memory_init_heap(&memory);
    arena_init(&arena, &memory, MEMORY_MAX);
}

TestSuite(messages, .init = setup);

static uint64_t slices_count; /* after which a message went on */

/* A random message as it stands on the wire, on the heap, so that a read past its end is seen. */
static struct view message_on_wire_in(const struct codec_entry *entry, uint64_t seed,
                                      int16_t version, int64_t slice)
{
    struct fill fill;
    struct writer writer;
    uint8_t message[4096];
    cr_assert_leq(entry->bytes, sizeof message);
    fill_init(&fill, seed, &arena);
    writer_init(&writer, &memory, MEMORY_MAX);
    entry->fill(message, &fill, version);
    codec_entry_encode(entry, message, &writer, version, slice, &slices_count);
    cr_assert(writer_finish(&writer));
    size_t bytes = writer_position(&writer);
    uint8_t *data = malloc(bytes ? bytes : 1);
    writer_join(&writer, data);
    writer_give_all(&writer);
    arena_give_all(&arena);
    return view_of(data, (int32_t)bytes);
}

static struct view message_on_wire(const struct codec_entry *entry, uint64_t seed, int16_t version)
{
    return message_on_wire_in(entry, seed, version, 0);
}

static bool message_decodes_in(const struct codec_entry *entry, struct view wire, int16_t version,
                               int64_t slice)
{
    uint8_t message[4096];
    struct cursor cursor;
    cursor_init(&cursor, wire.data, (size_t)wire.bytes);
    bool decoded =
        codec_entry_decode(entry, message, &cursor, version, &arena, slice, &slices_count);
    arena_give_all(&arena);
    return decoded && cursor_is_done(&cursor);
}

static bool message_decodes(const struct codec_entry *entry, struct view wire, int16_t version)
{
    return message_decodes_in(entry, wire, version, 0);
}

/* Decoded in slices and encoded again in one go, a message is what it was. */
static void check_slices(const struct codec_entry *entry, struct view whole, int16_t version,
                         int64_t slice)
{
    uint8_t message[4096];
    struct cursor cursor;
    struct writer writer;
    cursor_init(&cursor, whole.data, (size_t)whole.bytes);
    writer_init(&writer, &memory, MEMORY_MAX);
    cr_assert(codec_entry_decode(entry, message, &cursor, version, &arena, slice, &slices_count));
    cr_assert(cursor_is_done(&cursor));
    entry->encode(message, &writer, version);
    cr_assert(writer_finish(&writer));
    cr_assert_eq(writer_position(&writer), (size_t)whole.bytes);
    uint8_t *again = malloc((size_t)whole.bytes + 1);
    writer_join(&writer, again);
    cr_assert(memcmp(again, whole.data, (size_t)whole.bytes) == 0, "%s %d", entry->name, version);
    free(again);
    writer_give_all(&writer);
    arena_give_all(&arena);
}

Test(messages, of_all_kinds_are_the_same_in_slices)
{
    static const int64_t slices[] = {1, 3, 3 * CODEC_STRUCT};
    uint64_t messages = 0;
    for (uint32_t i = 0; i < codec_entries_count; i++) {
        const struct codec_entry *entry = &codec_entries[i];
        for (int16_t version = entry->version_min; version <= entry->version_max; version++) {
            for (uint64_t turn = 0; turn < 3 * TURNS; turn++, messages++) {
                int64_t slice = slices[turn % 3];
                struct view straight = message_on_wire(entry, turn, version);
                struct view sliced = message_on_wire_in(entry, turn, version, slice);
                cr_assert(view_equal(straight, sliced), "%s %d", entry->name, version);
                check_slices(entry, straight, version, slice);
                if (straight.bytes > 0) {
                    struct view cut = view_of(straight.data, straight.bytes - 1);
                    cr_assert_not(message_decodes_in(entry, cut, version, slice));
                }
                free((void *)straight.data);
                free((void *)sliced.data);
            }
        }
    }
    cr_assert_gt(slices_count, messages, "they do pause");
}

Test(messages, of_all_kinds_are_refused_when_cut_short)
{
    for (uint32_t i = 0; i < codec_entries_count; i++) {
        const struct codec_entry *entry = &codec_entries[i];
        for (int16_t version = entry->version_min; version <= entry->version_max; version++) {
            for (uint64_t turn = 0; turn < TURNS; turn++) {
                struct view whole = message_on_wire(entry, turn, version);
                cr_assert(message_decodes(entry, whole, version), "%s %d", entry->name, version);
                /* every prefix of a short message; of a long one its first and last bytes */
                for (int32_t bytes = 0; bytes < whole.bytes; bytes++) {
                    if (bytes == 500 && whole.bytes > 1000) {
                        bytes = whole.bytes - 500;
                    }
                    uint8_t *exact = malloc((size_t)bytes + !bytes);
                    memcpy(exact, whole.data, (size_t)bytes);
                    cr_assert_not(message_decodes(entry, view_of(exact, bytes), version),
                                  "%s %d: %d of %d bytes", entry->name, version, bytes,
                                  whole.bytes);
                    free(exact);
                }
                free((void *)whole.data);
            }
        }
    }
}

Test(messages, of_all_kinds_leave_what_follows_to_the_caller)
{
    for (uint32_t i = 0; i < codec_entries_count; i++) {
        const struct codec_entry *entry = &codec_entries[i];
        struct view whole = message_on_wire(entry, 1, entry->version_max);
        uint8_t *longer = malloc((size_t)whole.bytes + 3);
        memcpy(longer, whole.data, (size_t)whole.bytes);
        uint8_t message[4096];
        struct cursor cursor;
        cursor_init(&cursor, longer, (size_t)whole.bytes + 3);
        cr_assert(entry->decode(message, &cursor, entry->version_max, &arena));
        cr_assert_eq(cursor_left(&cursor), 3);
        arena_give_all(&arena);
        free(longer);
        free((void *)whole.data);
    }
}

Test(messages, of_all_kinds_are_refused_in_versions_that_are_not_ours)
{
    static const uint8_t zeros[256];
    for (uint32_t i = 0; i < codec_entries_count; i++) {
        const struct codec_entry *entry = &codec_entries[i];
        int16_t strange[] = {INT16_MIN, -1, (int16_t)(entry->version_min - 1),
                             (int16_t)(entry->version_max + 1), INT16_MAX};
        for (size_t j = 0; j < sizeof strange / sizeof strange[0]; j++) {
            cr_assert_not(message_decodes(entry, view_of(zeros, sizeof zeros), strange[j]));
        }
    }
}

/* Bytes of a valid message changed at random: refused or not, nothing is read that is not there. */
Test(messages, of_all_kinds_survive_damage)
{
    struct fill random;
    fill_init(&random, 7, &arena);
    for (uint32_t i = 0; i < codec_entries_count; i++) {
        const struct codec_entry *entry = &codec_entries[i];
        for (int16_t version = entry->version_min; version <= entry->version_max; version++) {
            for (uint64_t turn = 0; turn < TURNS; turn++) {
                struct view whole = message_on_wire(entry, turn, version);
                uint8_t *data = (uint8_t *)whole.data;
                for (int damage = 0; damage < 100 && whole.bytes > 0; damage++) {
                    data[fill_random(&random) % (uint64_t)whole.bytes] =
                        (uint8_t)fill_random(&random);
                    (void)message_decodes(entry, whole, version);
                }
                free(data);
            }
        }
    }
}
