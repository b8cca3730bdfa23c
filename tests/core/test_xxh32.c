#include "core/xxh32.h"

#include <criterion/criterion.h>

Test(xxh32, gives_the_published_values)
{
    cr_expect_eq(xxh32("", 0), 0x02cc5d05);
    cr_expect_eq(xxh32("a", 1), 0x550d7456);
    cr_expect_eq(xxh32("abc", 3), 0x32d153ff);
    cr_expect_eq(xxh32("Nobody inspects the spammish repetition", 39), 0xe2293b2f);
}

Test(xxh32, is_the_same_piece_by_piece)
{
    uint8_t bytes[100];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
        struct xxh32 hash;
        xxh32_start(&hash, bytes);
        xxh32_advance(&hash, bytes + cut);
        cr_expect_eq(xxh32_end(&hash, bytes + sizeof(bytes)), xxh32(bytes, sizeof(bytes)));
    }
}
