#include "core/copy.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(copy, copies_any_length_at_any_place_and_nothing_around_it)
{
    enum { ROOM = 20000 };
    static uint8_t from[ROOM], to[ROOM], expected[ROOM];
    for (uint32_t i = 0; i < ROOM; i++) {
        from[i] = (uint8_t)(i * 31 + i / 256);
    }
    for (uint32_t start = 0; start < 70; start += 3) {
        for (uint32_t bytes = 0; bytes < 9000; bytes += 1 + bytes / 7) {
            memset(to, 0xee, ROOM);
            memset(expected, 0xee, ROOM);
            memcpy(expected + start, from + (start * 7) % 64, bytes);
            copy_streamed(to + start, from + (start * 7) % 64, bytes);
            cr_assert_arr_eq(to, expected, ROOM, "%u bytes at %u", bytes, start);
        }
    }
}
