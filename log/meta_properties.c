#include "log/meta_properties.h"

#include "core/properties.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 16 << 10, PATH_BYTES_MAX = 4096 };

static int path_of(char path[PATH_BYTES_MAX], const char *directory, const char *name)
{
    int bytes = snprintf(path, PATH_BYTES_MAX, "%s/%s", directory, name);
    return bytes < 0 || bytes >= PATH_BYTES_MAX ? -ENAMETOOLONG : 0;
}

/* Decimal or hexadecimal digits and nothing else. */
static bool parse_number(const char *text, int base, uint64_t max, uint64_t *number)
{
    if (*text == '\0' ||
        strspn(text, base == 16 ? "0123456789abcdef" : "0123456789") != strlen(text)) {
        return false;
    }
    errno = 0;
    unsigned long long value = strtoull(text, NULL, base);
    if (errno != 0 || value > max) {
        return false;
    }
    *number = value;
    return true;
}

/* -- reading ----------------------------------------------------------------------------------- */

static bool set_id(char id[META_ID_BYTES], const char *value)
{
    if (strlen(value) >= META_ID_BYTES) {
        return false;
    }
    memcpy(id, value, strlen(value) + 1);
    return true;
}

static bool set_property(struct meta_properties *meta, const char *key, const char *value)
{
    const struct {
        const char *key;
        uint32_t *number;
    } numbers[] = {
        {"version", &meta->version},
        {"node.id", (uint32_t *)&meta->node_id},
        {"odradek.format", &meta->format},
        {"odradek.start", &meta->start},
        {"odradek.journals.from", &meta->journals_from},
    };
    uint64_t number;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(key, numbers[i].key) == 0) {
            uint64_t max = strcmp(key, "node.id") == 0 ? INT32_MAX : UINT32_MAX;
            bool good = parse_number(value, 10, max, &number);
            *numbers[i].number = good ? (uint32_t)number : 0;
            return good;
        }
    }
    if (strcmp(key, "odradek.salt") == 0) {
        return parse_number(value, 16, UINT64_MAX, &meta->salt);
    }
    if (strcmp(key, "odradek.nonce") == 0) {
        return parse_number(value, 16, UINT64_MAX, &meta->nonce);
    }
    if (strcmp(key, "cluster.id") == 0) {
        return set_id(meta->cluster_id, value);
    }
    if (strcmp(key, "directory.id") == 0) {
        return set_id(meta->directory_id, value);
    }
    return true; /* somebody else's */
}

static int parse(struct meta_properties *meta, const char *text, size_t bytes)
{
    struct properties properties;
    int error = properties_init(&properties, text, bytes);
    if (error) {
        return error;
    }
    *meta = (struct meta_properties){.node_id = -1};
    bool good = true;
    enum properties_next next = PROPERTIES_ENTRY;
    while (good && (next = properties_read(&properties)) == PROPERTIES_ENTRY) {
        good = set_property(meta, properties.key, properties.value);
    }
    properties_deinit(&properties);
    good = good && next == PROPERTIES_END && meta->version > 0 && meta->node_id >= 0 &&
           meta->cluster_id[0] != '\0' && (meta->version != META_VERSION_OURS || meta->format > 0);
    return good ? 0 : -EBADMSG;
}

int meta_properties_read(struct meta_properties *meta, struct files *files, const char *directory)
{
    char path[PATH_BYTES_MAX], *text;
    int error = path_of(path, directory, "meta.properties");
    if (error) {
        return error;
    }
    int64_t bytes = files_read_whole(files, path, FILE_BYTES_MAX, &text);
    if (bytes < 0) {
        return (int)bytes;
    }
    error = parse(meta, text, (size_t)bytes);
    free(text);
    return error;
}

/* -- writing ----------------------------------------------------------------------------------- */

/* With a backslash before what Java would read as the end of a key. */
static void escape(char *to, const char *text)
{
    for (; *text; text++) {
        if (strchr("=:#!\\ ", *text)) {
            *to++ = '\\';
        }
        *to++ = *text;
    }
    *to = '\0';
}

int meta_properties_replace(const struct meta_properties *meta, struct files *files,
                            const char *directory)
{
    char path[PATH_BYTES_MAX], text[1024], nonce[64] = "",
                                           directory_id[2 * META_ID_BYTES + 32] = "";
    char id[2 * META_ID_BYTES];
    int error = path_of(path, directory, "meta.properties");
    if (error) {
        return error;
    }
    if (meta->nonce) {
        snprintf(nonce, sizeof(nonce), "odradek.nonce=%016" PRIx64 "\n", meta->nonce);
    }
    if (meta->directory_id[0]) {
        escape(id, meta->directory_id);
        snprintf(directory_id, sizeof(directory_id), "directory.id=%s\n", id);
    }
    escape(id, meta->cluster_id);
    int bytes = snprintf(text, sizeof(text),
                         "#\n"
                         "version=%u\n"
                         "cluster.id=%s\n"
                         "node.id=%d\n"
                         "%s"
                         "odradek.format=%u\n"
                         "odradek.start=%u\n"
                         "odradek.journals.from=%u\n"
                         "odradek.salt=%016" PRIx64 "\n"
                         "%s",
                         meta->version, id, meta->node_id, directory_id, meta->format, meta->start,
                         meta->journals_from, meta->salt, nonce);
    assert(bytes > 0 && (size_t)bytes < sizeof(text));
    return files_replace_whole(files, path, text, (size_t)bytes);
}

/* -- .kafka_cleanshutdown ---------------------------------------------------------------------- */

#define CLEAN_SHUTDOWN ".kafka_cleanshutdown"
#define CLEAN_SHUTDOWN_FORMAT "{\"version\":0,\"brokerEpoch\":%" PRId64 ",\"odradekNonce\":\""
#define CLEAN_SHUTDOWN_NONCE "\"odradekNonce\":\""

uint64_t clean_shutdown_nonce(struct files *files, const char *directory)
{
    char path[PATH_BYTES_MAX], *text;
    if (path_of(path, directory, CLEAN_SHUTDOWN) != 0 ||
        files_read_whole(files, path, FILE_BYTES_MAX, &text) < 0) {
        return 0;
    }
    uint64_t nonce = 0;
    char *at = strstr(text, CLEAN_SHUTDOWN_NONCE);
    if (at) {
        at += strlen(CLEAN_SHUTDOWN_NONCE);
        at[strcspn(at, "\"")] = '\0';
        if (!parse_number(at, 16, UINT64_MAX, &nonce)) {
            nonce = 0;
        }
    }
    free(text);
    return nonce;
}

int clean_shutdown_write(struct files *files, const char *directory, int64_t broker_epoch,
                         uint64_t nonce)
{
    char path[PATH_BYTES_MAX], text[128];
    int error = path_of(path, directory, CLEAN_SHUTDOWN);
    if (error) {
        return error;
    }
    int bytes = snprintf(text, sizeof(text), CLEAN_SHUTDOWN_FORMAT "%016" PRIx64 "\"}",
                         broker_epoch, nonce);
    return files_replace_whole(files, path, text, (size_t)bytes);
}

int clean_shutdown_remove(struct files *files, const char *directory)
{
    char path[PATH_BYTES_MAX];
    int error = path_of(path, directory, CLEAN_SHUTDOWN);
    if (!error) {
        error = files_unlink(files, path);
    }
    if (error) {
        return error == -ENOENT ? 0 : error;
    }
    return files_flush_directory(files, directory);
}
