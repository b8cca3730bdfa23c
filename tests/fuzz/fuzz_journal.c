/*
 * replay_scan over a file of any bytes. Every 64 bytes of input become a block: the first 8 are its
 * beginning, the others stand where a commit's entries would. A block that begins with an odd byte
 * is given a header that is right, from what it says; so the fuzzer gets past checksums. Whatever
 * is found lies within the file, and is in order.
 */
#include "core/crc32c.h"
#include "core/cursor.h"
#include "log/replay.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_BYTES = 64, HEADER_INPUT_BYTES = 8, BLOCKS_MAX = 64, FD = 3, SALT = 77 };

struct image {
    uint8_t *bytes;
    size_t count;
};

/* -- a directory with one file in it ------------------------------------------------------------ */

static int image_open(struct files *files, const char *path, int flags)
{
    return FD;
}

static void image_close(struct files *files, int fd)
{
    assert(fd == FD);
}

static int64_t image_read(struct files *files, int fd, void *buffer, size_t bytes,
                          uint64_t position)
{
    const struct image *image = files->state;
    size_t left = position < image->count ? image->count - position : 0;
    size_t got = bytes < left ? bytes : left;
    memcpy(buffer, image->bytes + (got ? position : 0), got);
    return (int64_t)got;
}

static int64_t image_bytes(struct files *files, int fd)
{
    return (int64_t)((const struct image *)files->state)->count;
}

static int64_t image_list(struct files *files, const char *path, struct files_entry **entries)
{
    *entries = calloc(1, sizeof(**entries));
    strcpy((*entries)->name, "odradek-1-0-0.journal");
    return 1;
}

static const struct files_ops image_ops = {
    .open = image_open,
    .close = image_close,
    .read = image_read,
    .bytes = image_bytes,
    .list = image_list,
};

/* -- an input ----------------------------------------------------------------------------------- */

static void make_right(struct image *image, size_t position)
{
    uint8_t *at = image->bytes + position;
    struct cursor cursor;
    cursor_init(&cursor, at, HEADER_INPUT_BYTES);
    (void)cursor_int8(&cursor);
    bool is_right = cursor_int8(&cursor) & 1;
    struct commit_header header = {
        .start = 1,
        .sequence = 1 + cursor_uint16(&cursor) % 64,
        .file_position = (uint32_t)position,
        .entries_count = (uint8_t)cursor_int8(&cursor),
        .bytes = COMMIT_HEADER_BYTES + cursor_uint16(&cursor) % (3 * JOURNAL_BLOCK_BYTES),
    };
    header.flushed = header.sequence - 1;
    header.oldest_live = header.sequence - (uint8_t)cursor_int8(&cursor) % header.sequence;
    if (is_right && position + header.bytes <= image->count) {
        header.entries_crc =
            crc32c(0, at + COMMIT_HEADER_BYTES, header.bytes - COMMIT_HEADER_BYTES);
    }
    commit_header_encode(&header, SALT, at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    size_t blocks = bytes / INPUT_BYTES;
    if (blocks > BLOCKS_MAX) {
        return 0;
    }
    struct image image = {.count = blocks * JOURNAL_BLOCK_BYTES};
    image.bytes = calloc(1, image.count + 1);
    for (size_t i = 0; i < blocks; i++) {
        uint8_t *block = image.bytes + i * JOURNAL_BLOCK_BYTES;
        memcpy(block, data + i * INPUT_BYTES, HEADER_INPUT_BYTES);
        memcpy(block + COMMIT_HEADER_BYTES, data + i * INPUT_BYTES + HEADER_INPUT_BYTES,
               INPUT_BYTES - HEADER_INPUT_BYTES);
    }
    for (size_t at = image.count; at > 0; at -= JOURNAL_BLOCK_BYTES) { /* inner ones first */
        if (image.bytes[at - JOURNAL_BLOCK_BYTES] & 1) {
            make_right(&image, at - JOURNAL_BLOCK_BYTES);
        }
    }
    struct files files = {.ops = &image_ops, .state = &image};
    struct replay replay;
    int error = replay_scan(&replay, &files, "/data", SALT, 0);
    assert(error == 0 || error == -EBADMSG);
    for (size_t i = 0; error == 0 && i < replay.entries_count; i++) {
        const struct replay_entry *entry = &replay.entries[i];
        assert(entry->file_position + entry->bytes <= image.count);
        assert(i == 0 || replay.entries[i - 1].log_id <= entry->log_id);
    }
    assert(error == 0 || replay.problem[0] != '\0');
    replay_free(&replay, &files);
    free(image.bytes);
    return 0;
}
