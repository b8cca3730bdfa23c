#include "log/overlay.h"

#include "core/reactor.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static uint64_t round_down(uint64_t position)
{
    return position / FILE_BLOCK_BYTES * FILE_BLOCK_BYTES;
}

static uint64_t round_up(uint64_t position)
{
    return round_down(position + FILE_BLOCK_BYTES - 1);
}

int overlay_open(struct overlay *overlay, struct files *files, const char *path, int flags,
                 void *window)
{
    *overlay = (struct overlay){.files = files, .window = window};
    overlay->fd = files_open(files, path, flags | FILES_DIRECT);
    if (overlay->fd < 0) {
        return overlay->fd;
    }
    int64_t bytes = files_bytes(files, overlay->fd);
    if (bytes < 0) {
        files_close(files, overlay->fd);
        return (int)bytes;
    }
    overlay->file_bytes = (uint64_t)bytes;
    return 0;
}

void overlay_close(struct overlay *overlay)
{
    files_close(overlay->files, overlay->fd);
    overlay->fd = -1;
}

/* Blocks from the file into the window, zeros where it ends. */
static int load(struct overlay *overlay, uint64_t position, uint64_t bytes)
{
    uint8_t *to = overlay->window + (position - overlay->from);
    int64_t got = 0;
    if (position < overlay->file_bytes) {
        got = files_read(overlay->files, overlay->fd, to, bytes, position);
        if (got < 0) {
            return (int)got;
        }
    }
    memset(to + got, 0, bytes - (uint64_t)got);
    return 0;
}

int overlay_write(struct overlay *overlay)
{
    uint64_t from = overlay->dirty_from, end = overlay->dirty_end;
    if (from == end) {
        return 0;
    }
    int64_t put = files_write(overlay->files, overlay->fd, overlay->window + (from - overlay->from),
                              end - from, from);
    if (put < 0) {
        return (int)put;
    }
    overlay->dirty_from = overlay->dirty_end = 0;
    overlay->file_bytes = end > overlay->file_bytes ? end : overlay->file_bytes;
    return 0;
}

static int move_window(struct overlay *overlay, uint64_t position)
{
    int error = overlay_write(overlay);
    overlay->from = overlay->end = round_down(position);
    return error;
}

/* These blocks of the window are to be written; one stretch at a time. */
static int note_dirty(struct overlay *overlay, uint64_t from, uint64_t end)
{
    if (from > overlay->dirty_end || end < overlay->dirty_from) {
        int error = overlay_write(overlay);
        if (error) {
            return error;
        }
    }
    if (overlay->dirty_from == overlay->dirty_end) {
        overlay->dirty_from = from;
        overlay->dirty_end = end;
    }
    overlay->dirty_from = from < overlay->dirty_from ? from : overlay->dirty_from;
    overlay->dirty_end = end > overlay->dirty_end ? end : overlay->dirty_end;
    return 0;
}

int overlay_put(struct overlay *overlay, uint64_t position, uint64_t bytes, uint8_t **to,
                uint32_t *count)
{
    assert(bytes > 0);
    int error = 0;
    if (position < overlay->from || position > overlay->end ||
        position >= overlay->from + OVERLAY_WINDOW_BYTES) {
        error = move_window(overlay, position);
    }
    uint64_t end = position + bytes;
    if (end > overlay->from + OVERLAY_WINDOW_BYTES) {
        end = overlay->from + OVERLAY_WINDOW_BYTES;
    }
    if (!error && round_up(end) > overlay->end) {
        uint64_t first = overlay->end, last = round_up(end) - FILE_BLOCK_BYTES;
        /* Of the blocks that are new here only the outer ones can be covered in part. */
        if (position > first) {
            error = load(overlay, first, FILE_BLOCK_BYTES);
        }
        if (!error && end < last + FILE_BLOCK_BYTES && !(position > first && first == last)) {
            error = load(overlay, last, FILE_BLOCK_BYTES);
        }
        overlay->end = error ? overlay->end : round_up(end);
    }
    if (error) {
        return error;
    }
    error = note_dirty(overlay, round_down(position), round_up(end));
    if (error) {
        return error;
    }
    *to = overlay->window + (position - overlay->from);
    *count = (uint32_t)(end - position);
    return 0;
}

int overlay_look(struct overlay *overlay, uint64_t position, uint32_t bytes, const uint8_t **at,
                 uint32_t *count)
{
    assert(bytes <= OVERLAY_LOOK_BYTES_MAX);
    if (position < overlay->from || position + bytes > overlay->end) {
        int error = move_window(overlay, position);
        if (error) {
            return error;
        }
        uint64_t left = round_up(overlay->file_bytes);
        left = left > overlay->from ? left - overlay->from : 0;
        uint64_t wanted = left < OVERLAY_WINDOW_BYTES ? left : OVERLAY_WINDOW_BYTES;
        error = load(overlay, overlay->from, wanted);
        if (error) {
            return error;
        }
        overlay->end = overlay->from + wanted;
    }
    uint64_t file_end =
        overlay->dirty_end > overlay->file_bytes ? overlay->dirty_end : overlay->file_bytes;
    uint64_t left = file_end > position ? file_end - position : 0;
    *at = overlay->window + (position - overlay->from);
    *count = left < bytes ? (uint32_t)left : bytes;
    return 0;
}

int overlay_cut(struct overlay *overlay, uint64_t end)
{
    uint64_t bytes = round_up(end);
    int error = 0;
    if (end < bytes) {
        uint8_t *to;
        uint32_t count;
        error = overlay_put(overlay, end, bytes - end, &to, &count);
        if (!error) {
            memset(to, 0, count);
        }
    }
    if (overlay->end > bytes) { /* the window forgets what goes */
        overlay->dirty_end = overlay->dirty_end < bytes ? overlay->dirty_end : bytes;
        overlay->dirty_from =
            overlay->dirty_from < overlay->dirty_end ? overlay->dirty_from : overlay->dirty_end;
        overlay->end = overlay->from < bytes ? bytes : overlay->from;
    }
    if (!error) {
        error = overlay_write(overlay);
    }
    if (!error && overlay->file_bytes > bytes) {
        error = files_truncate(overlay->files, overlay->fd, bytes);
        overlay->file_bytes = bytes;
    }
    return error;
}
