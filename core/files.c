#include "core/files.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES_MAX = 4096 };

int files_open(struct files *files, const char *path, int flags)
{
    return files->ops->open(files, path, flags);
}

void files_close(struct files *files, int fd)
{
    files->ops->close(files, fd);
}

int64_t files_read(struct files *files, int fd, void *buffer, size_t bytes, uint64_t position)
{
    return files->ops->read(files, fd, buffer, bytes, position);
}

int64_t files_write(struct files *files, int fd, const void *buffer, size_t bytes,
                    uint64_t position)
{
    return files->ops->write(files, fd, buffer, bytes, position);
}

int64_t files_bytes(struct files *files, int fd)
{
    return files->ops->bytes(files, fd);
}

int files_truncate(struct files *files, int fd, uint64_t bytes)
{
    return files->ops->truncate(files, fd, bytes);
}

int files_allocate(struct files *files, int fd, uint64_t position, uint64_t bytes)
{
    return files->ops->allocate(files, fd, position, bytes);
}

int files_flush(struct files *files, int fd)
{
    return files->ops->flush(files, fd);
}

int files_rename(struct files *files, const char *from, const char *to)
{
    return files->ops->rename(files, from, to);
}

int files_unlink(struct files *files, const char *path)
{
    return files->ops->unlink(files, path);
}

int files_make_directory(struct files *files, const char *path)
{
    return files->ops->make_directory(files, path);
}

int files_remove_directory(struct files *files, const char *path)
{
    return files->ops->remove_directory(files, path);
}

int files_flush_directory(struct files *files, const char *path)
{
    return files->ops->flush_directory(files, path);
}

int files_flush_all(struct files *files, int fd)
{
    return files->ops->flush_all(files, fd);
}

int64_t files_list(struct files *files, const char *path, struct files_entry **entries)
{
    return files->ops->list(files, path, entries);
}

int64_t files_free_bytes(struct files *files, const char *path)
{
    return files->ops->free_bytes(files, path);
}

int files_lock(struct files *files, int fd)
{
    return files->ops->lock(files, fd);
}

/* -- small files at once ------------------------------------------------------------------------ */

/* The size is what the file system says now; a file that shrinks meanwhile reads shorter. */
static int64_t read_open_file(struct files *files, int fd, size_t bytes_max, char **text)
{
    int64_t bytes = files_bytes(files, fd);
    if (bytes < 0) {
        return bytes;
    }
    if ((uint64_t)bytes > bytes_max) {
        return -EFBIG;
    }
    char *into = malloc(bytes + 1);
    if (!into) {
        return -ENOMEM;
    }
    int64_t got = files_read(files, fd, into, bytes, 0);
    if (got < 0) {
        free(into);
        return got;
    }
    into[got] = '\0';
    *text = into;
    return got;
}

int64_t files_read_whole(struct files *files, const char *path, size_t bytes_max, char **text)
{
    int fd = files_open(files, path, FILES_READ);
    if (fd < 0) {
        return fd;
    }
    int64_t result = read_open_file(files, fd, bytes_max, text);
    files_close(files, fd);
    return result;
}

static int write_new_file(struct files *files, const char *path, const void *text, size_t bytes)
{
    int fd = files_open(files, path, FILES_CREATE | FILES_TRUNCATE);
    if (fd < 0) {
        return fd;
    }
    int64_t written = files_write(files, fd, text, bytes, 0);
    int error = written < 0 ? (int)written : files_flush(files, fd);
    files_close(files, fd);
    return error;
}

/* The directory that holds the path: all before the last slash. */
static void directory_of(char *directory, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) {
        path = ".";
    }
    size_t bytes = slash > path ? slash - path : 1;
    memcpy(directory, path, bytes);
    directory[bytes] = '\0';
}

int files_replace_whole(struct files *files, const char *path, const void *text, size_t bytes)
{
    char other[PATH_BYTES_MAX];
    if (strlen(path) + sizeof(".tmp") > sizeof(other)) {
        return -ENAMETOOLONG;
    }
    snprintf(other, sizeof(other), "%s.tmp", path);
    int error = write_new_file(files, other, text, bytes);
    if (!error) {
        error = files_rename(files, other, path);
    }
    if (error) { /* its remains are of no use; what stands at path is as before */
        (void)!files_unlink(files, other);
        return error;
    }
    directory_of(other, path);
    return files_flush_directory(files, other);
}
