#include "log/directory.h"

#include "core/uuid.h"
#include "log/batch.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATH_BYTES = 4096,
    METADATA_BYTES_MAX = 256,
    SEGMENT_DIGITS = 20,
    RETIRED_BYTES = 1 + 32 + 7, /* ".", digits, "-delete" */
    RETIRES_MAX = 16,           /* directories of one log's name: each try that failed left one */
};

static int path_of(char path[PATH_BYTES], const struct log_place *place, const char *file)
{
    int bytes = snprintf(path, PATH_BYTES, "%s/%s%s%s", place->directory, place->name,
                         file[0] ? "/" : "", file);
    return bytes < 0 || bytes >= PATH_BYTES ? -ENAMETOOLONG : 0;
}

int64_t directory_list(struct files *files, const struct log_place *place,
                       struct files_entry **entries)
{
    char path[PATH_BYTES];
    int error = path_of(path, place, "");
    return error ? error : files_list(files, path, entries);
}

int64_t directory_base_of(const char *name, const char *suffix)
{
    if (strspn(name, "0123456789") != SEGMENT_DIGITS || name[SEGMENT_DIGITS] != '.' ||
        (suffix && strcmp(name + SEGMENT_DIGITS + 1, suffix) != 0)) {
        return -1;
    }
    errno = 0;
    long long base = strtoll(name, NULL, 10);
    return errno == 0 ? base : -1;
}

int directory_write_file(struct files *files, const char *path, const void *bytes, size_t count)
{
    int fd = files_open(files, path, FILES_CREATE | FILES_TRUNCATE);
    if (fd < 0) {
        return fd;
    }
    int64_t result = files_write(files, fd, bytes, count, 0);
    files_close(files, fd);
    return result < 0 ? (int)result : 0;
}

/* -- whose it is ------------------------------------------------------------------------------- */

int directory_read_topic_id(struct files *files, const struct log_place *place,
                            uint8_t topic_id[16])
{
    static const char key[] = "topic_id: ";
    char path[PATH_BYTES], *text;
    int error = path_of(path, place, "partition.metadata");
    if (error) {
        return error;
    }
    int64_t bytes = files_read_whole(files, path, METADATA_BYTES_MAX, &text);
    if (bytes < 0) {
        return bytes == -EFBIG || bytes == -ENOTDIR ? -ENOENT : (int)bytes;
    }
    struct uuid uuid;
    const char *at = strstr(text, key);
    bool good = at && strlen(at) >= sizeof(key) - 1 + UUID_TEXT_BYTES &&
                uuid_from_text(&uuid, view_of(at + sizeof(key) - 1, UUID_TEXT_BYTES));
    free(text);
    if (!good) {
        return -ENOENT;
    }
    memcpy(topic_id, uuid.bytes, sizeof(uuid.bytes));
    return 0;
}

int directory_write_topic_id(struct files *files, const struct log_place *place,
                             const uint8_t topic_id[16])
{
    char path[PATH_BYTES], text[METADATA_BYTES_MAX], id[UUID_TEXT_BYTES + 1];
    struct uuid uuid;
    memcpy(uuid.bytes, topic_id, sizeof(uuid.bytes));
    uuid_to_text(&uuid, id);
    int bytes = snprintf(text, sizeof(text), "version: 0\ntopic_id: %s", id);
    int error = path_of(path, place, "partition.metadata");
    return error ? error : directory_write_file(files, path, text, (size_t)bytes);
}

static int is_file_blank(struct files *files, const char *path)
{
    uint8_t header[BATCH_HEADER_BYTES] = {0};
    static const uint8_t zeros[BATCH_HEADER_BYTES];
    int fd = files_open(files, path, FILES_READ);
    if (fd < 0) {
        return fd;
    }
    int64_t got = files_read(files, fd, header, sizeof(header), 0);
    files_close(files, fd);
    return got < 0 ? (int)got : memcmp(header, zeros, sizeof(header)) == 0;
}

int directory_is_blank(struct files *files, const struct log_place *place)
{
    struct files_entry *entries = NULL;
    int64_t count = directory_list(files, place, &entries);
    if (count < 0) {
        return (int)count;
    }
    int blank = 1;
    for (int64_t i = 0; i < count && blank == 1; i++) {
        char path[PATH_BYTES];
        if (directory_base_of(entries[i].name, "log") >= 0) {
            int error = path_of(path, place, entries[i].name);
            blank = error ? error : is_file_blank(files, path);
        } else if (entries[i].is_directory) {
            blank = 0;
        }
    }
    free(entries);
    return blank;
}

/* -- gone -------------------------------------------------------------------------------------- */

int directory_remove(struct files *files, const struct log_place *place)
{
    char path[PATH_BYTES];
    struct files_entry *entries = NULL;
    int64_t count = directory_list(files, place, &entries);
    if (count < 0) {
        return count == -ENOENT ? 0 : (int)count;
    }
    int error = 0;
    for (int64_t i = 0; i < count && !error; i++) {
        error = path_of(path, place, entries[i].name);
        error = error ? error : files_unlink(files, path);
    }
    free(entries);
    error = error ? error : path_of(path, place, "");
    return error ? error : files_remove_directory(files, path);
}

/* As Kafka: <topic>-<partition>.<32 digits>-delete, the topic cut if that would be too long. */
static void retired_name(char retired[LOG_NAME_BYTES_MAX + 1], const char *name, uint64_t log_id,
                         uint32_t attempt)
{
    const char *dash = strrchr(name, '-');
    assert(dash && strlen(name) <= LOG_NAME_BYTES_MAX);
    int suffix_bytes = (int)strlen(dash) + RETIRED_BYTES;
    int topic_bytes = (int)(dash - name);
    if (topic_bytes + suffix_bytes > LOG_NAME_BYTES_MAX) {
        topic_bytes = LOG_NAME_BYTES_MAX - suffix_bytes;
    }
    snprintf(retired, LOG_NAME_BYTES_MAX + 1, "%.*s%s.%016" PRIx64 "%016" PRIx32 "-delete",
             topic_bytes, name, dash, log_id, attempt);
}

bool directory_name_is_retired(const char *name)
{
    static const char end[] = "-delete";
    size_t bytes = strlen(name);
    return bytes > sizeof(end) - 1 && strcmp(name + bytes - (sizeof(end) - 1), end) == 0;
}

int directory_retire(struct files *files, const struct log_place *place, uint64_t log_id,
                     char retired[LOG_NAME_BYTES_MAX + 1])
{
    char from[PATH_BYTES], to[PATH_BYTES];
    int error = path_of(from, place, "");
    if (error) {
        return error;
    }
    for (uint32_t attempt = 0; attempt < RETIRES_MAX; attempt++) {
        retired_name(retired, place->name, log_id, attempt);
        error = path_of(to, &(struct log_place){place->directory, retired}, "");
        error = error ? error : files_rename(files, from, to);
        if (error != -ENOTEMPTY && error != -EEXIST) {
            break;
        }
    }
    return error ? error : files_flush_directory(files, place->directory);
}

/* -- made -------------------------------------------------------------------------------------- */

int directory_make(struct files *files, const struct log_place *place, const uint8_t topic_id[16],
                   uint64_t log_id)
{
    char path[PATH_BYTES], retired[LOG_NAME_BYTES_MAX + 1];
    uint8_t found[16];
    int error = path_of(path, place, "");
    error = error ? error : files_make_directory(files, path);
    if (error == -EEXIST) {
        error = directory_read_topic_id(files, place, found);
        if (error == 0 && memcmp(found, topic_id, sizeof(found)) == 0) {
            return 0; /* by a try that failed later on */
        }
        error = error && error != -ENOENT ? error : directory_retire(files, place, log_id, retired);
        if (error) {
            return error;
        }
        (void)!directory_remove(files, &(struct log_place){place->directory, retired});
        error = files_make_directory(files, path);
    }
    return error ? error : directory_write_topic_id(files, place, topic_id);
}
