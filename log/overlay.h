/*
 * overlay -- one segment file while recovery completes it with what the journal holds.
 *
 *      file     |== as found ==================|.......
 *      window        |#### loaded or laid ####|            written back when it moves
 *                    from        |= dirty =|  end
 *
 * Reads and writes whole blocks past the page cache, so that later direct writes to the segment
 * meet none of its pages. A block that is covered in part is completed from the file; what lies
 * past the file's end reads as zeros. Only blocks that were put are written: others may hold bytes
 * that no journal has any more, and a write that the power interrupts can spoil what it touches.
 * Inside a job.
 */
#ifndef LOG_OVERLAY_H
#define LOG_OVERLAY_H

#include "core/files.h"

struct overlay {
    struct files *files;
    int fd;
    uint64_t file_bytes; /* as it is on disk now */

    /* overlay.c only */
    uint8_t *window; /* [OVERLAY_WINDOW_BYTES] */
    uint64_t from, end;
    uint64_t dirty_from, dirty_end; /* blocks that were put; equal: none */
};

enum { OVERLAY_WINDOW_BYTES = 1 << 20, OVERLAY_LOOK_BYTES_MAX = 64 << 10 };

/* window: aligned to a block, OVERLAY_WINDOW_BYTES, lent until overlay_close.
 * 0 or -errno; flags as files_open, FILES_DIRECT is added */
[[nodiscard]] int overlay_open(struct overlay *overlay, struct files *files, const char *path,
                               int flags, void *window);
/* Whatever was not written before is given up. */
void overlay_close(struct overlay *overlay);

/* A place for up to `bytes` bytes at `position`, to be filled at once; *count says how many.
 * 0 or -errno */
[[nodiscard]] int overlay_put(struct overlay *overlay, uint64_t position, uint64_t bytes,
                              uint8_t **to, uint32_t *count);

/* The bytes at `position`, as they will stand; *count of them, `bytes` (at most
 * OVERLAY_LOOK_BYTES_MAX) but at the file's end. Good until the next call. 0 or -errno */
[[nodiscard]] int overlay_look(struct overlay *overlay, uint64_t position, uint32_t bytes,
                               const uint8_t **at, uint32_t *count);

/* Write what was put. 0 or -errno */
[[nodiscard]] int overlay_write(struct overlay *overlay);

/* Zeros from `end` to the end of its block, and nothing after it. */
[[nodiscard]] int overlay_cut(struct overlay *overlay, uint64_t end);

#endif
