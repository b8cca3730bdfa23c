#define _GNU_SOURCE
#include "core/files_posix.h"
#include "core/reactor.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct features features;
static struct files files;
static char folder[64];
static char path[sizeof folder + 256];

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void setup(void)
{
    features_probe(&features);
    files_posix_init(&files, &features);
    snprintf(folder, sizeof(folder), "/tmp/odradek-files-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void teardown(void)
{
    struct files_entry *entries = NULL;
    int64_t count = files_list(&files, folder, &entries);
    for (int64_t i = 0; i < count; i++) {
        cr_assert_eq(entries[i].is_directory
                         ? files_remove_directory(&files, in_folder(entries[i].name))
                         : files_unlink(&files, in_folder(entries[i].name)),
                     0);
    }
    free(entries);
    cr_assert_eq(files_remove_directory(&files, folder), 0);
}

TestSuite(files, .init = setup, .fini = teardown);

Test(files, read_what_was_written_where_it_was_written)
{
    int fd = files_open(&files, in_folder("a"), FILES_CREATE);
    char text[16] = "";
    cr_assert_geq(fd, 0);
    cr_assert_eq(files_write(&files, fd, "hello", 5, 3), 5);
    cr_assert_eq(files_bytes(&files, fd), 8);
    cr_assert_eq(files_read(&files, fd, text, sizeof(text), 3), 5, "fewer only at the end");
    cr_assert_str_eq(text, "hello");
    cr_assert_eq(files_truncate(&files, fd, 4), 0);
    cr_assert_eq(files_read(&files, fd, text, sizeof(text), 3), 1);
    cr_assert_eq(files_read(&files, fd, text, sizeof(text), 100), 0);
    cr_assert_eq(files_flush(&files, fd), 0);
    cr_assert_eq(files_flush_all(&files, fd), 0);
    cr_assert_eq(files_flush_directory(&files, folder), 0);
    files_close(&files, fd);
}

Test(files, allocated_space_reads_as_zeros_and_grows_the_file)
{
    enum { BYTES = 3 * FILE_BLOCK_BYTES };
    int fd = files_open(&files, in_folder("a"), FILES_CREATE | FILES_EXCLUSIVE | FILES_DIRECT);
    static alignas(FILE_BLOCK_BYTES) uint8_t block[BYTES];
    memset(block, 0xff, sizeof(block));
    cr_assert_eq(files_allocate(&files, fd, FILE_BLOCK_BYTES, 2 * FILE_BLOCK_BYTES), 0);
    cr_assert_eq(files_bytes(&files, fd), BYTES);
    cr_assert_eq(files_read(&files, fd, block, BYTES, 0), BYTES);
    for (uint32_t i = 0; i < BYTES; i++) {
        cr_assert_eq(block[i], 0);
    }
    files_close(&files, fd);
}

Test(files, open_as_asked)
{
    cr_assert_eq(files_open(&files, in_folder("a"), 0), -ENOENT);
    int fd = files_open(&files, in_folder("a"), FILES_CREATE | FILES_EXCLUSIVE);
    cr_assert_geq(fd, 0);
    cr_assert_eq(files_write(&files, fd, "x", 1, 0), 1);
    files_close(&files, fd);
    cr_assert_eq(files_open(&files, in_folder("a"), FILES_CREATE | FILES_EXCLUSIVE), -EEXIST);
    fd = files_open(&files, in_folder("a"), FILES_READ);
    cr_assert_eq(files_write(&files, fd, "x", 1, 0), -EBADF);
    files_close(&files, fd);
    fd = files_open(&files, in_folder("a"), FILES_TRUNCATE);
    cr_assert_eq(files_bytes(&files, fd), 0);
    files_close(&files, fd);
}

Test(files, are_listed_in_the_order_of_their_names)
{
    struct files_entry *entries = NULL;
    cr_assert_eq(files_list(&files, folder, &entries), 0);
    free(entries);
    cr_assert_eq(files_make_directory(&files, in_folder("b")), 0);
    cr_assert_eq(files_make_directory(&files, in_folder("b")), -EEXIST);
    for (char name[3] = "c0"; name[1] <= '9'; name[1]++) {
        cr_assert_eq(files_replace_whole(&files, in_folder(name), "0123456789", name[1] - '0'), 0);
    }
    cr_assert_eq(files_replace_whole(&files, in_folder("a"), "abc", 3), 0);
    cr_assert_eq(files_list(&files, folder, &entries), 12);
    cr_assert_str_eq(entries[0].name, "a");
    cr_assert_eq(entries[0].bytes, 3);
    cr_assert_str_eq(entries[1].name, "b");
    cr_assert(entries[1].is_directory);
    cr_assert_str_eq(entries[11].name, "c9");
    free(entries);
    cr_assert_eq(files_list(&files, in_folder("none"), &entries), -ENOENT);
}

Test(files, are_replaced_whole_or_not_at_all)
{
    char *text = NULL;
    cr_assert_eq(files_replace_whole(&files, in_folder("a"), "old", 3), 0);
    cr_assert_eq(files_replace_whole(&files, in_folder("a"), "newer", 5), 0);
    cr_assert_eq(files_read_whole(&files, in_folder("a"), 5, &text), 5);
    cr_assert_str_eq(text, "newer");
    free(text);
    cr_assert_eq(files_read_whole(&files, in_folder("a"), 4, &text), -EFBIG);
    cr_assert_eq(files_read_whole(&files, in_folder("b"), 4, &text), -ENOENT);

    cr_assert_eq(files_make_directory(&files, in_folder("a.tmp")), 0); /* in its way */
    cr_assert_lt(files_replace_whole(&files, in_folder("a"), "newest", 6), 0);
    cr_assert_eq(files_read_whole(&files, in_folder("a"), 5, &text), 5);
    cr_assert_str_eq(text, "newer");
    free(text);
    cr_assert_eq(files_replace_whole(&files, in_folder("none/a"), "x", 1), -ENOENT);
}

Test(files, are_locked_against_other_processes)
{
    int fd = files_open(&files, in_folder(".lock"), FILES_CREATE);
    cr_assert_eq(files_lock(&files, fd), 0);
    cr_assert_eq(files_lock(&files, fd), 0, "ours already");
    pid_t other = fork();
    if (other == 0) {
        int again = files_open(&files, in_folder(".lock"), 0);
        _exit(files_lock(&files, again) == -EAGAIN ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(other, &status, 0), other);
    cr_assert_eq(status, 0);
    files_close(&files, fd);
}

Test(files, know_how_much_room_is_left)
{
    cr_assert_gt(files_free_bytes(&files, folder), 0);
    cr_assert_eq(files_free_bytes(&files, in_folder("none")), -ENOENT);
}

Test(files, do_without_direct_io_where_there_is_none)
{
    int fd = files_open(&files, "/dev/shm/odradek-direct", FILES_CREATE | FILES_DIRECT);
    cr_assert_geq(fd, 0);
    cr_assert_eq(files_write(&files, fd, "abc", 3, 0), 3);
    files_close(&files, fd);
    cr_assert_eq(files_unlink(&files, "/dev/shm/odradek-direct"), 0);
}
