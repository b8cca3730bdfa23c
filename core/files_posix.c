#define _GNU_SOURCE
#include "core/files_posix.h"

#include "core/reactor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    FILE_MODE = 0644, /* as Kafka's */
    DIRECTORY_MODE = 0755,
    ENTRIES_FIRST = 64, /* of a directory's listing, then doubled */
};

static int result_of(int returned)
{
    return returned < 0 ? -errno : returned;
}

/* O_DIRECT is an economy, not a promise: where a file system has none (tmpfs before 6.6), or wants
 * larger blocks than ours, the page cache serves. */
static int direct_allowed(const struct features *features, int fd)
{
    struct statx status;
    if (!features_has(features, FEATURE_STATX_DIOALIGN) ||
        statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) != 0 ||
        !(status.stx_mask & STATX_DIOALIGN)) {
        return true; /* unknown: open has not refused */
    }
    return status.stx_dio_offset_align != 0 && status.stx_dio_offset_align <= FILE_BLOCK_BYTES &&
           status.stx_dio_mem_align <= FILE_BLOCK_BYTES;
}

static int open_once(const char *path, int flags)
{
    int fd;
    do {
        fd = open(path, flags, FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    return result_of(fd);
}

static int posix_open(struct files *files, const char *path, int flags)
{
    int how = O_CLOEXEC;
    how |= flags & FILES_READ ? O_RDONLY : O_RDWR;
    how |= flags & FILES_CREATE ? O_CREAT : 0;
    how |= flags & FILES_EXCLUSIVE ? O_EXCL : 0;
    how |= flags & FILES_TRUNCATE ? O_TRUNC : 0;
    if (!(flags & FILES_DIRECT)) {
        return open_once(path, how);
    }
    int fd = open_once(path, how | O_DIRECT);
    if (fd == -EINVAL) { /* the file itself may have been made by then */
        return open_once(path, how & ~O_EXCL);
    }
    if (fd >= 0 && !direct_allowed(files->state, fd)) {
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_DIRECT);
    }
    return fd;
}

static void posix_close(struct files *files, int fd)
{
    close(fd);
}

static int64_t posix_read(struct files *files, int fd, void *buffer, size_t bytes,
                          uint64_t position)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t got = pread(fd, (uint8_t *)buffer + done, bytes - done, position + done);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        done += got > 0 ? got : 0;
    }
    return done;
}

static int64_t posix_write(struct files *files, int fd, const void *buffer, size_t bytes,
                           uint64_t position)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t put = pwrite(fd, (const uint8_t *)buffer + done, bytes - done, position + done);
        if (put == 0) {
            return -EIO; /* no progress and no reason */
        }
        if (put < 0 && errno != EINTR) {
            return -errno;
        }
        done += put > 0 ? put : 0;
    }
    return done;
}

static int64_t posix_bytes(struct files *files, int fd)
{
    struct stat status;
    return fstat(fd, &status) < 0 ? -errno : status.st_size;
}

static int posix_truncate(struct files *files, int fd, uint64_t bytes)
{
    int result;
    do {
        result = result_of(ftruncate(fd, bytes));
    } while (result == -EINTR);
    return result;
}

/* Mode 0: the size grows at once, so that later writes inside it need no change of it. */
static int posix_allocate(struct files *files, int fd, uint64_t position, uint64_t bytes)
{
    int result;
    do {
        result = result_of(fallocate(fd, 0, position, bytes));
    } while (result == -EINTR);
    return result;
}

static int posix_flush(struct files *files, int fd)
{
    int result;
    do {
        result = result_of(fdatasync(fd));
    } while (result == -EINTR);
    return result;
}

static int posix_rename(struct files *files, const char *from, const char *to)
{
    return result_of(rename(from, to));
}

static int posix_unlink(struct files *files, const char *path)
{
    return result_of(unlink(path));
}

static int posix_make_directory(struct files *files, const char *path)
{
    return result_of(mkdir(path, DIRECTORY_MODE));
}

static int posix_remove_directory(struct files *files, const char *path)
{
    return result_of(rmdir(path));
}

static int posix_flush_directory(struct files *files, const char *path)
{
    int fd = open_once(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return fd;
    }
    int result = result_of(fsync(fd));
    close(fd);
    return result;
}

static int posix_flush_all(struct files *files, int fd)
{
    int result = result_of(syncfs(fd));
    return result < 0 ? result : posix_flush(files, fd);
}

/* False: out of memory. */
static bool entries_grow(struct files_entry **entries, size_t *room)
{
    size_t larger = *room ? *room * 2 : ENTRIES_FIRST;
    struct files_entry *grown = realloc(*entries, larger * sizeof(*grown));
    if (!grown) {
        return false;
    }
    *entries = grown;
    *room = larger;
    return true;
}

/* False: it is gone meanwhile. Symbolic links are followed, as Kafka does. */
static bool entry_fill(struct files_entry *entry, int directory, const char *name)
{
    struct stat status;
    if (fstatat(directory, name, &status, 0) < 0) {
        return false;
    }
    snprintf(entry->name, sizeof(entry->name), "%s", name); /* NAME_MAX is 255 */
    entry->is_directory = S_ISDIR(status.st_mode);
    entry->bytes = status.st_size;
    return true;
}

static int entry_compare(const void *a, const void *b)
{
    const struct files_entry *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static int64_t posix_list(struct files *files, const char *path, struct files_entry **entries)
{
    DIR *directory = opendir(path);
    if (!directory) {
        return -errno;
    }
    struct files_entry *found = NULL;
    size_t count = 0, room = 0;
    struct dirent *next;
    while (errno = 0, (next = readdir(directory))) {
        if (strcmp(next->d_name, ".") == 0 || strcmp(next->d_name, "..") == 0) {
            continue;
        }
        if (count == room && !entries_grow(&found, &room)) {
            errno = ENOMEM;
            break;
        }
        count += entry_fill(&found[count], dirfd(directory), next->d_name);
    }
    int error = errno;
    closedir(directory);
    if (error) {
        free(found);
        return -error;
    }
    if (count) {
        qsort(found, count, sizeof(*found), entry_compare);
    }
    *entries = found;
    return count;
}

static int64_t posix_free_bytes(struct files *files, const char *path)
{
    struct statvfs status;
    return statvfs(path, &status) < 0 ? -errno : (int64_t)(status.f_bavail * status.f_frsize);
}

/* The same kind of lock as Java's FileLock: POSIX, on the whole file, the process's. */
static int posix_lock(struct files *files, int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int result = result_of(fcntl(fd, F_SETLK, &whole));
    return result == -EACCES ? -EAGAIN : result;
}

static const struct files_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .read = posix_read,
    .write = posix_write,
    .bytes = posix_bytes,
    .truncate = posix_truncate,
    .allocate = posix_allocate,
    .flush = posix_flush,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .make_directory = posix_make_directory,
    .remove_directory = posix_remove_directory,
    .flush_directory = posix_flush_directory,
    .flush_all = posix_flush_all,
    .list = posix_list,
    .free_bytes = posix_free_bytes,
    .lock = posix_lock,
};

void files_posix_init(struct files *files, const struct features *features)
{
    files->ops = &posix_ops;
    files->state = (void *)features;
}
