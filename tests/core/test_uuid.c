#include "core/uuid.h"

#include <criterion/criterion.h>

Test(uuid, reads_back_its_own_text)
{
    uint32_t random = 1;
    for (int turn = 0; turn < 1000; turn++) {
        struct uuid uuid, read;
        for (int i = 0; i < 16; i++) {
            random = random * 1664525 + 1013904223;
            uuid.bytes[i] = (uint8_t)(random >> 24);
        }
        char text[UUID_TEXT_BYTES + 1];
        uuid_to_text(&uuid, text);
        cr_assert_eq(strlen(text), 22);
        cr_assert(uuid_from_text(&read, view_of_text(text)));
        cr_assert(uuid_equal(&uuid, &read));
    }
}

Test(uuid, has_the_text_that_kafka_gives_it)
{
    struct uuid uuid = {{0}};
    char text[UUID_TEXT_BYTES + 1];
    uuid_to_text(&uuid, text);
    cr_assert_str_eq(text, "AAAAAAAAAAAAAAAAAAAAAA");
    memset(uuid.bytes, 0xff, 16);
    uuid_to_text(&uuid, text);
    cr_assert_str_eq(text, "_____________________w");
    uuid = (struct uuid){{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
    uuid_to_text(&uuid, text);
    cr_assert_str_eq(text, "AAECAwQFBgcICQoLDA0ODw");
}

Test(uuid, refuses_other_texts)
{
    struct uuid uuid;
    cr_assert_not(uuid_from_text(&uuid, view_of_text("")));
    cr_assert_not(uuid_from_text(&uuid, VIEW_NULL));
    cr_assert_not(uuid_from_text(&uuid, view_of_text("AAAAAAAAAAAAAAAAAAAAA")));
    cr_assert_not(uuid_from_text(&uuid, view_of_text("AAAAAAAAAAAAAAAAAAAAAAA")));
    cr_assert_not(uuid_from_text(&uuid, view_of_text("AAAAAAAAAAAAAAAAAAAAA+")));
    cr_assert_not(uuid_from_text(&uuid, view_of("AAAAAAAAAAAAAAAAAAAAA\0", 22)));
    cr_assert_not(uuid_from_text(&uuid, view_of_text("AAAAAAAAAAAAAAAAAAAAAB")), "a 129th bit");
}
