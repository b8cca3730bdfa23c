#include "log/time_index.h"

#include "core/big_endian.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { BASE = 500, INDEX_BYTES_MAX = 10 << 20 };

static struct time_index three(void)
{
    struct time_index index;
    time_index_init(&index, BASE, INDEX_BYTES_MAX);
    time_index_note(&index, 1000, BASE + 9);
    cr_assert_eq(time_index_append(&index), 1);
    time_index_note(&index, 900, BASE + 19); /* a clock that goes back */
    cr_assert_eq(time_index_append(&index), 0);
    time_index_note(&index, 1500, BASE + 29);
    time_index_note(&index, 1200, BASE + 39);
    cr_assert_eq(time_index_append(&index), 1);
    time_index_note(&index, 2000, BASE + 49);
    cr_assert_eq(time_index_append(&index), 1);
    return index;
}

Test(time_index, rises_whatever_the_clocks_do)
{
    struct time_index index = three();
    cr_assert_eq(index.count, 3);
    cr_expect_eq(index.entries[1].timestamp, 1500);
    cr_expect_eq(index.entries[1].relative_offset, 29);
    cr_expect_eq(index.max_timestamp, 2000);
    cr_expect_eq(index.max_offset, BASE + 49);
    time_index_deinit(&index);
}

Test(time_index, says_from_where_to_look)
{
    struct time_index index = three();
    cr_expect_eq(time_index_lookup(&index, 999), BASE);
    cr_expect_eq(time_index_lookup(&index, 1000), BASE + 9);
    cr_expect_eq(time_index_lookup(&index, 1999), BASE + 29);
    cr_expect_eq(time_index_lookup(&index, INT64_MAX), BASE + 49);
    time_index_deinit(&index);
}

Test(time_index, keeps_room_for_the_entry_of_the_close)
{
    struct time_index index;
    time_index_init(&index, BASE, 3 * TIME_INDEX_ENTRY_BYTES);
    for (int i = 0; i < 2; i++) {
        cr_expect(!time_index_is_full(&index));
        time_index_note(&index, 10 + i, BASE + i);
        cr_assert_eq(time_index_append(&index), 1);
    }
    cr_expect(time_index_is_full(&index));
    time_index_note(&index, 100, BASE + 7);
    cr_expect_eq(time_index_append(&index), 1);
    time_index_deinit(&index);
}

Test(time_index, forgets_what_was_truncated)
{
    struct time_index index = three();
    time_index_truncate(&index, BASE + 49);
    cr_expect_eq(index.count, 2);
    cr_expect_eq(index.max_timestamp, 1500);
    cr_expect_eq(index.max_offset, BASE + 29);
    time_index_truncate(&index, BASE);
    cr_expect_eq(index.count, 0);
    cr_expect_eq(index.max_timestamp, -1);
    time_index_deinit(&index);
}

static int load(const void *file, size_t bytes)
{
    struct time_index index;
    time_index_init(&index, BASE, INDEX_BYTES_MAX);
    int result = time_index_load(&index, file, bytes);
    time_index_deinit(&index);
    return result;
}

Test(time_index, comes_back_from_its_file)
{
    struct time_index index = three(), loaded;
    uint8_t file[3 * TIME_INDEX_ENTRY_BYTES + 120] = {0};
    time_index_encode(&index, 0, index.count, file);
    cr_expect_eq(big_endian_load64(file + 12), 1500);
    cr_expect_eq(big_endian_load32(file + 20), 29);
    time_index_init(&loaded, BASE, INDEX_BYTES_MAX);
    cr_assert_eq(time_index_load(&loaded, file, sizeof(file)), 0);
    cr_expect_eq(loaded.count, 3);
    cr_expect_eq(loaded.max_timestamp, 2000);
    cr_expect_eq(time_index_lookup(&loaded, 1600), BASE + 29);
    time_index_deinit(&loaded);
    time_index_deinit(&index);
}

Test(time_index, refuses_a_file_that_cannot_be)
{
    struct time_index index = three();
    uint8_t file[3 * TIME_INDEX_ENTRY_BYTES];
    time_index_encode(&index, 0, index.count, file);
    time_index_deinit(&index);
    for (size_t bytes = 0; bytes <= sizeof(file); bytes++) {
        bool is_whole = bytes % TIME_INDEX_ENTRY_BYTES == 0;
        cr_expect_eq(load(file, bytes), is_whole ? 0 : -EBADMSG, "%zu bytes", bytes);
    }
    big_endian_store64(file + 12, 1000); /* the time does not rise */
    cr_expect_eq(load(file, sizeof(file)), -EBADMSG);
    big_endian_store64(file + 12, 1500);
    big_endian_store32(file + 20, 8); /* the offset falls */
    cr_expect_eq(load(file, sizeof(file)), -EBADMSG);
}
