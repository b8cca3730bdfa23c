/*
 * files -- the file system, for jobs: blocking calls, one after the other, in a straight line.
 *
 * Only a job (reactor.h) has a `struct files`, so nothing on a reactor can block. The real one
 * makes system calls on a helper thread; the simulator's runs each job on a stack of its own and
 * may cut the power between any two calls. Paths are absolute, or relative to the process.
 * All return >= 0 or -errno, and resume after EINTR.
 */
#ifndef CORE_FILES_H
#define CORE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum files_flag {
    FILES_READ = 1,      /* for reading only; else for reading and writing */
    FILES_CREATE = 2,    /* make it if it is not there */
    FILES_EXCLUSIVE = 4, /* with CREATE: -EEXIST if it is there */
    FILES_DIRECT = 8,    /* O_DIRECT: multiples of FILE_BLOCK_BYTES only */
    FILES_TRUNCATE = 16, /* start empty */
};

struct files_entry {
    char name[256];
    bool is_directory;
    uint64_t bytes;
};

struct files {
    const struct files_ops *ops;
    void *state; /* the backend's */
};

/* An fd; also good for reactor_read, reactor_write and reactor_flush. */
[[nodiscard]] int files_open(struct files *files, const char *path, int flags);
void files_close(struct files *files, int fd);
/* Bytes transferred; fewer than asked only at the end of the file (read). */
[[nodiscard]] int64_t files_read(struct files *files, int fd, void *buffer, size_t bytes,
                                 uint64_t position);
[[nodiscard]] int64_t files_write(struct files *files, int fd, const void *buffer, size_t bytes,
                                  uint64_t position);
[[nodiscard]] int64_t files_bytes(struct files *files, int fd);
[[nodiscard]] int files_truncate(struct files *files, int fd, uint64_t bytes);
/* Space for [position, position + bytes), reading as zeros; the file grows to hold it. */
[[nodiscard]] int files_allocate(struct files *files, int fd, uint64_t position, uint64_t bytes);
[[nodiscard]] int files_flush(struct files *files, int fd); /* fdatasync */

[[nodiscard]] int files_rename(struct files *files, const char *from, const char *to);
[[nodiscard]] int files_unlink(struct files *files, const char *path);
[[nodiscard]] int files_make_directory(struct files *files, const char *path); /* or -EEXIST */
[[nodiscard]] int files_remove_directory(struct files *files, const char *path);
[[nodiscard]] int files_flush_directory(struct files *files, const char *path);
/* All that was written to the file system that holds `fd` is on stable storage: syncfs, then
 * fdatasync of fd (on XFS syncfs alone sends no device flush when the file system's log is clean).*/
[[nodiscard]] int files_flush_all(struct files *files, int fd);
/* The entries of a directory in name order, in a malloc'd array that the caller frees; count. */
[[nodiscard]] int64_t files_list(struct files *files, const char *path,
                                 struct files_entry **entries);
[[nodiscard]] int64_t files_free_bytes(struct files *files, const char *path);
/* Lock the file for this process (fcntl, as Java does). -EAGAIN: another process has it. */
[[nodiscard]] int files_lock(struct files *files, int fd);

/* Small files at once. read: malloc'd and NUL-terminated, the caller frees; -EFBIG past bytes_max.
 * replace: write PATH.tmp, flush it, rename, flush the directory. */
[[nodiscard]] int64_t files_read_whole(struct files *files, const char *path, size_t bytes_max,
                                       char **text);
[[nodiscard]] int files_replace_whole(struct files *files, const char *path, const void *text,
                                      size_t bytes);

struct files_ops { /* one table per backend; each row is the function of its name above */
    int (*open)(struct files *files, const char *path, int flags);
    void (*close)(struct files *files, int fd);
    int64_t (*read)(struct files *files, int fd, void *buffer, size_t bytes, uint64_t position);
    int64_t (*write)(struct files *files, int fd, const void *buffer, size_t bytes,
                     uint64_t position);
    int64_t (*bytes)(struct files *files, int fd);
    int (*truncate)(struct files *files, int fd, uint64_t bytes);
    int (*allocate)(struct files *files, int fd, uint64_t position, uint64_t bytes);
    int (*flush)(struct files *files, int fd);
    int (*rename)(struct files *files, const char *from, const char *to);
    int (*unlink)(struct files *files, const char *path);
    int (*make_directory)(struct files *files, const char *path);
    int (*remove_directory)(struct files *files, const char *path);
    int (*flush_directory)(struct files *files, const char *path);
    int (*flush_all)(struct files *files, int fd);
    int64_t (*list)(struct files *files, const char *path, struct files_entry **entries);
    int64_t (*free_bytes)(struct files *files, const char *path);
    int (*lock)(struct files *files, int fd);
};

#endif
