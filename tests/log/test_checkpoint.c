#include "log/checkpoint.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

/* Lines of a copy that ends where a sanitizer sees it; -1: broken. */
static int offsets_in(const char *text, size_t bytes)
{
    char *copy = malloc(bytes + 1);
    memcpy(copy + 1, text, bytes);
    struct checkpoint checkpoint = checkpoint_of(copy + 1, bytes);
    struct checkpoint_offset line;
    int count = 0;
    while (checkpoint_next_offset(&checkpoint, &line)) {
        count++;
    }
    free(copy);
    return checkpoint.broken ? -1 : count;
}

static int offsets_of(const char *text)
{
    return offsets_in(text, strlen(text));
}

Test(checkpoint, reads_offsets)
{
    static const char text[] = "0\n2\nlogs 0 1234567890123\nmetrics.raw-2 17 0\n";
    struct checkpoint checkpoint = checkpoint_of(text, sizeof(text) - 1);
    struct checkpoint_offset line;
    cr_assert(checkpoint_next_offset(&checkpoint, &line));
    cr_expect(view_equal_text(line.topic, "logs"));
    cr_expect_eq(line.partition, 0);
    cr_expect_eq(line.offset, 1234567890123);
    cr_assert(checkpoint_next_offset(&checkpoint, &line));
    cr_expect(view_equal_text(line.topic, "metrics.raw-2"));
    cr_expect_eq(line.partition, 17);
    cr_expect(!checkpoint_next_offset(&checkpoint, &line));
    cr_expect(!checkpoint.broken);
}

Test(checkpoint, reads_what_java_reads)
{
    cr_expect_eq(offsets_of(""), 0);
    cr_expect_eq(offsets_of("0"), 0);
    cr_expect_eq(offsets_of("0\n"), 0);
    cr_expect_eq(offsets_of("0\n0"), 0);
    cr_expect_eq(offsets_of("0\n0\n"), 0);
    cr_expect_eq(offsets_of("0\r\n1\r\nlogs\t 0  5\r\n"), 1);
    cr_expect_eq(offsets_of("0\n1\nlogs 0 -1"), 1);
}

Test(checkpoint, notices_what_is_broken)
{
    static const char *const texts[] = {
        "1\n0\n",
        "x\n0\n",
        "0\nx\n",
        "0\n-1\n",
        "0\n1\n",
        "0\n0\nlogs 0 1\n",
        "0\n2\nlogs 0 1\n",
        "0\n1\nlogs 0 1\n\n",
        "0\n1\nlogs 0\n",
        "0\n1\nlogs 0 1 2\n",
        "0\n1\nlogs zero 1\n",
        "0\n1\nlogs -1 1\n",
        "0\n1\nlogs 2147483648 1\n",
        "0\n1\nlogs 0 9223372036854775808\n",
        "0\n99999999999999999999\n",
        "0\n1\nlogs 0 -\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        cr_expect_eq(offsets_of(texts[i]), -1, "%s", texts[i]);
    }
}

Test(checkpoint, is_broken_at_every_prefix_that_loses_a_line)
{
    static const char text[] = "0\n2\nlogs 0 10\nlogs 1 20\n";
    for (size_t bytes = 0; bytes < sizeof(text) - 1; bytes++) {
        int count = offsets_in(text, bytes);
        /* a last digit may be missing unnoticed, as in Kafka: the file is replaced as a whole */
        bool is_unnoticed = bytes <= 2 || bytes >= sizeof(text) - 3;
        cr_expect_eq(count, is_unnoticed ? (bytes <= 2 ? 0 : 2) : -1, "%zu: %d", bytes, count);
    }
}

Test(checkpoint, prints_what_it_reads)
{
    char text[3 * CHECKPOINT_LINE_BYTES_MAX];
    struct checkpoint_offset line = {view_of_text("logs"), 3, INT64_MAX};
    size_t used = checkpoint_print_head(text, 2);
    used += checkpoint_print_offset(text + used, &line);
    line.offset = -1;
    used += checkpoint_print_offset(text + used, &line);
    static const char expected[] = "0\n2\nlogs 3 9223372036854775807\nlogs 3 -1\n";
    cr_assert_eq(used, sizeof(expected) - 1);
    cr_expect_eq(memcmp(text, expected, used), 0);
    cr_expect_eq(offsets_in(text, used), 2);
}

Test(checkpoint, carries_epochs_to_the_next_start)
{
    struct epochs epochs, read;
    epochs_init(&epochs);
    epochs_init(&read);
    cr_assert_eq(epochs_assign(&epochs, 3, 100), 1);
    cr_assert_eq(epochs_assign(&epochs, 5, 1200), 1);
    char text[4 * CHECKPOINT_LINE_BYTES_MAX];
    size_t used = checkpoint_print_epochs(text, &epochs);
    static const char expected[] = "0\n2\n3 100\n5 1200\n";
    cr_assert_eq(used, sizeof(expected) - 1);
    cr_expect_eq(memcmp(text, expected, used), 0);
    cr_assert_eq(checkpoint_read_epochs(&read, text, used), 0);
    cr_expect_eq(read.count, 2);
    cr_expect_eq(read.starts[1].start_offset, 1200);
    cr_expect_eq(checkpoint_read_epochs(&read, text, used - 8), -EBADMSG);
    cr_expect_eq(read.count, 0);
    cr_expect_eq(checkpoint_read_epochs(&read, "0\n1\n-1 5\n", 9), -EBADMSG);
    epochs_deinit(&epochs);
    epochs_deinit(&read);
}
