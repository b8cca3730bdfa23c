#include "core/properties.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads all entries as "line key|value" lines, "!" where malformed. */
static char *read_all(const char *text, size_t bytes)
{
    static char all[4096];
    char *at = all;
    struct properties properties;
    cr_assert_eq(properties_init(&properties, text, bytes), 0);
    enum properties_next next;
    *at = '\0';
    while ((next = properties_read(&properties)) == PROPERTIES_ENTRY) {
        at += snprintf(at, all + sizeof(all) - at, "%u %s|%s\n", properties.line, properties.key,
                       properties.value);
    }
    if (next == PROPERTIES_MALFORMED) {
        cr_assert_not_null(properties.wrong);
        snprintf(at, all + sizeof(all) - at, "%u !\n", properties.line);
    }
    properties_deinit(&properties);
    return all;
}

#define EXPECT(text, entries) cr_expect_str_eq(read_all(text, sizeof(text) - 1), entries)

Test(properties, knows_the_three_separators)
{
    EXPECT("a=1\nb:2\nc 3\nd = 4\ne\t:\t5\nf  =  = 6\n",
           "1 a|1\n2 b|2\n3 c|3\n4 d|4\n5 e|5\n6 f|= 6\n");
}

Test(properties, skips_blank_lines_and_comments_of_both_kinds)
{
    EXPECT("\n  \n# a=1\n  ! b=2 \\\nc=3\n#", "5 c|3\n");
}

Test(properties, knows_every_line_end)
{
    EXPECT("a=1\rb=2\r\nc=3\nd=4", "1 a|1\n2 b|2\n3 c|3\n4 d|4\n");
}

Test(properties, joins_lines_that_end_in_a_backslash)
{
    EXPECT("list = one,\\\n       two,\\\r\n  three\nnext=1\n", "1 list|one,two,three\n4 next|1\n");
    EXPECT("a\\\nb=1\n", "1 ab|1\n");
    EXPECT("a=even\\\\\nb=2\n", "1 a|even\\\n2 b|2\n");
    EXPECT("a=1\\", "1 a|1\n");
}

Test(properties, knows_the_escapes)
{
    EXPECT("a\\ b\\=c=d\\te\\n\\q\n", "1 a b=c|d\te\nq\n");
    EXPECT("a=\\u0041\\u00e4\\u20ac\\ud83d\\ude00\n",
           "1 a|A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n");
    EXPECT("path=/data/\xc3\xa4\n", "1 path|/data/\xc3\xa4\n");
}

Test(properties, keeps_blanks_at_a_values_end_and_allows_empty_ones)
{
    EXPECT("a=1 \nb=\nc\n", "1 a|1 \n2 b|\n3 c|\n");
}

Test(properties, says_where_it_is_malformed)
{
    EXPECT("a=1\nb=\\u12", "1 a|1\n2 !\n");
    EXPECT("a=\\ud83dx\n", "1 !\n");
    EXPECT("a=\\u0000\n", "1 !\n");
    EXPECT("a=\0\n", "1 !\n");
}

Test(properties, ends_for_every_prefix)
{
    static const char text[] = "# c\r\n a\\u0041 \\\r\n  : v\\ud83d\\ude00\\\n  w\\\\\nb=\\";
    for (size_t bytes = 0; bytes < sizeof(text); bytes++) {
        char *copy =
            malloc(bytes + 1); /* its end is the text's: a sanitizer sees a look behind it */
        memcpy(copy + 1, text, bytes);
        (void)read_all(copy + 1, bytes);
        free(copy);
    }
}
