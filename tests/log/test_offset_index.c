#include "log/offset_index.h"

#include "core/big_endian.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { BASE = 1000, INDEX_BYTES_MAX = 10 << 20, INTERVAL_BYTES = 4096 };

/* Twenty batches of 10 records and 1000 bytes. */
static struct offset_index twenty(void)
{
    struct offset_index index;
    offset_index_init(&index, BASE, INDEX_BYTES_MAX, INTERVAL_BYTES);
    for (uint32_t i = 0; i < 20; i++) {
        cr_assert_geq(offset_index_append(&index, BASE + i * 10 + 9, i * 1000, 1000), 0);
    }
    return index;
}

Test(offset_index, has_an_entry_once_more_than_an_interval_was_appended)
{
    struct offset_index index = twenty();
    cr_assert_eq(index.count, 3);
    for (uint32_t i = 0; i < 3; i++) { /* after five batches, 5000 bytes */
        cr_expect_eq(index.entries[i].position, (i + 1) * 5000);
        cr_expect_eq(index.entries[i].relative_offset, (i + 1) * 50 + 9);
    }
    offset_index_deinit(&index);
}

Test(offset_index, finds_a_batch_at_or_before_an_offset)
{
    struct offset_index index = twenty();
    cr_expect_eq(offset_index_lookup(&index, 0), 0);
    cr_expect_eq(offset_index_lookup(&index, BASE), 0);
    cr_expect_eq(offset_index_lookup(&index, BASE + 58), 0);
    cr_expect_eq(offset_index_lookup(&index, BASE + 59), 5000);
    cr_expect_eq(offset_index_lookup(&index, BASE + 108), 5000);
    cr_expect_eq(offset_index_lookup(&index, INT64_MAX), 15000);
    cr_expect_eq(offset_index_next(&index, 0), 5000);
    cr_expect_eq(offset_index_next(&index, 5000), 5000);
    cr_expect_eq(offset_index_next(&index, 5001), 10000);
    cr_expect_eq(offset_index_next(&index, 15001), UINT32_MAX);
    offset_index_deinit(&index);
}

Test(offset_index, forgets_what_was_truncated)
{
    struct offset_index index = twenty();
    offset_index_truncate(&index, BASE + 110);
    cr_expect_eq(index.count, 2);
    offset_index_truncate(&index, BASE + 109);
    cr_expect_eq(index.count, 1);
    offset_index_truncate(&index, BASE);
    cr_expect_eq(index.count, 0);
    offset_index_deinit(&index);
}

Test(offset_index, comes_back_from_its_file)
{
    struct offset_index index = twenty(), loaded;
    uint8_t file[3 * OFFSET_INDEX_ENTRY_BYTES + 800] = {
        0}; /* zeros behind, as while it is active */
    offset_index_encode(&index, 0, index.count, file);
    cr_expect_eq(big_endian_load32(file), 59);
    cr_expect_eq(big_endian_load32(file + 4), 5000);
    offset_index_init(&loaded, BASE, INDEX_BYTES_MAX, INTERVAL_BYTES);
    cr_assert_eq(offset_index_load(&loaded, file, sizeof(file), 20000), 0);
    cr_assert_eq(loaded.count, 3);
    cr_expect_eq(memcmp(loaded.entries, index.entries, 3 * sizeof(*index.entries)), 0);
    offset_index_deinit(&loaded);

    uint8_t last[OFFSET_INDEX_ENTRY_BYTES];
    offset_index_encode(&index, 2, index.count, last);
    cr_expect_eq(memcmp(last, file + 2 * OFFSET_INDEX_ENTRY_BYTES, sizeof(last)), 0);
    offset_index_deinit(&index);
}

static int load(const void *file, size_t bytes, uint64_t segment_bytes)
{
    struct offset_index index;
    offset_index_init(&index, BASE, INDEX_BYTES_MAX, INTERVAL_BYTES);
    int result = offset_index_load(&index, file, bytes, segment_bytes);
    offset_index_deinit(&index);
    return result;
}

Test(offset_index, refuses_a_file_that_cannot_be)
{
    struct offset_index index = twenty();
    uint8_t file[3 * OFFSET_INDEX_ENTRY_BYTES];
    offset_index_encode(&index, 0, index.count, file);
    offset_index_deinit(&index);
    for (size_t bytes = 0; bytes <= sizeof(file); bytes++) {
        bool is_whole = bytes % OFFSET_INDEX_ENTRY_BYTES == 0;
        cr_expect_eq(load(file, bytes, 20000), is_whole ? 0 : -EBADMSG, "%zu bytes", bytes);
    }
    cr_expect_eq(load(file, sizeof(file), 15000), -EBADMSG); /* beyond the segment */
    big_endian_store32(file + 8, 59);                        /* the offset does not rise */
    cr_expect_eq(load(file, sizeof(file), 20000), -EBADMSG);
    big_endian_store32(file + 8, 109);
    big_endian_store32(file + 12, 4999); /* the position does not rise */
    cr_expect_eq(load(file, sizeof(file), 20000), -EBADMSG);
    big_endian_store32(file + 12, 10000);
    big_endian_store32(file + 16, 0x80000000); /* a negative offset */
    cr_expect_eq(load(file, sizeof(file), 20000), -EBADMSG);
}
