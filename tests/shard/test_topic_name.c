#include "shard/topic_name.h"

#include "shard/image.h"

#include <criterion/criterion.h>
#include <string.h>

static bool complains(const char *letters, int32_t bytes, const char *of)
{
    static uint8_t name[INT16_MAX];
    char why[200];
    memset(name, 'a', sizeof name);
    memcpy(name + bytes - (int32_t)strlen(letters), letters, strlen(letters));
    const char *said = topic_name_check(view_of(name, bytes), why, sizeof why);
    return said && strstr(said, of);
}

Test(topic_name, may_be_so_long_and_of_such_letters)
{
    char why[200];
    cr_assert_null(topic_name_check(view_of_text("a.B_c-9"), why, sizeof why));
    cr_assert(complains("/", 3, "other than ASCII"));
    cr_assert(complains("", TOPIC_NAME_BYTES_MAX + 1, "the length of"));
    cr_assert(complains("/", TOPIC_NAME_BYTES_MAX + 1, "other than ASCII"));
    /* as long as this it is too long whatever its letters, and they are not looked at */
    cr_assert(complains("/", INT16_MAX, "the length of"));
}
