#include "core/crc32c.h"

#include <criterion/criterion.h>
#include <string.h>

static void fill(uint8_t *bytes, size_t count)
{
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)state;
    }
}

Test(crc32c, gives_the_published_check_values)
{
    uint8_t zeros[32] = {0};
    uint8_t ones[32];
    memset(ones, 0xff, sizeof(ones));
    for (enum crc32c_way way = CRC32C_TABLE; way <= crc32c_best(); way++) {
        cr_expect_eq(crc32c_by(way, 0, "123456789", 9), 0xe3069283);
        cr_expect_eq(crc32c_by(way, 0, zeros, 32), 0x8a9136aa); /* RFC 3720 B.4 */
        cr_expect_eq(crc32c_by(way, 0, ones, 32), 0x62a8ab43);
        cr_expect_eq(crc32c_by(way, 0, "", 0), 0);
    }
}

Test(crc32c, is_the_same_whichever_way_it_is_computed)
{
    static uint8_t bytes[4096 + 64];
    fill(bytes, sizeof(bytes));
    for (size_t count = 0; count <= 4096; count += count < 1100 ? 1 : 61) {
        const uint8_t *from = bytes + count % 64;
        uint32_t crc = crc32c_by(CRC32C_TABLE, 7, from, count);
        for (enum crc32c_way way = CRC32C_TABLE; way <= crc32c_best(); way++) {
            cr_assert_eq(crc32c_by(way, 7, from, count), crc, "way %d, %zu bytes", way, count);
        }
        cr_assert_eq(crc32c(7, from, count), crc);
    }
}

Test(crc32c, goes_on_where_it_stopped)
{
    uint8_t bytes[1500];
    fill(bytes, sizeof(bytes));
    uint32_t whole = crc32c(0, bytes, sizeof(bytes));
    for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
        uint32_t crc = crc32c(0, bytes, cut);
        cr_assert_eq(crc32c(crc, bytes + cut, sizeof(bytes) - cut), whole, "cut at %zu", cut);
    }
}

Test(crc32c, notices_each_flipped_bit)
{
    uint8_t bytes[700];
    fill(bytes, sizeof(bytes));
    uint32_t whole = crc32c(0, bytes, sizeof(bytes));
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_neq(crc32c(0, bytes, sizeof(bytes)), whole);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

Test(crc32c, knows_what_a_change_of_the_first_bytes_makes_of_it)
{
    static uint8_t bytes[100000];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 31 >> 3);
    }
    for (size_t behind = 0; behind < sizeof(bytes) - 22; behind += 1 + behind / 3) {
        uint32_t crc = crc32c(0, bytes, 22 + behind), was = crc32c(0, bytes, 22);
        for (size_t i = 0; i < 22; i += 1 + behind % 7) {
            bytes[i] ^= (uint8_t)(behind + i + 1);
        }
        cr_expect_eq(crc32c_changed(crc, was, crc32c(0, bytes, 22), behind),
                     crc32c(0, bytes, 22 + behind));
    }
}

Test(crc32c, copies_what_it_sums)
{
    static uint8_t from[100000], to[100001];
    fill(from, sizeof(from));
    size_t counts[] = {0, 1, 100, 8191, 8192, 8193, 100000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        memset(to, 0, sizeof(to));
        cr_assert_eq(crc32c_copy(5, to, from, counts[i]), crc32c(5, from, counts[i]));
        cr_assert_eq(memcmp(to, from, counts[i]), 0);
        cr_assert_eq(to[counts[i]], 0);
    }
}
