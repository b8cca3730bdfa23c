#include "shard/topic_name.h"

#include "shard/image.h"

#include <stdio.h>

static bool is_legal(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '.' || byte == '_' || byte == '-';
}

const char *topic_name_check(struct view name, char *why, size_t why_bytes)
{
    if (name.bytes <= 0) {
        snprintf(why, why_bytes, "Topic name is invalid: the empty string is not allowed");
        return why;
    }
    if (view_equal_text(name, ".") || view_equal_text(name, "..")) {
        snprintf(why, why_bytes, "Topic name is invalid: '%.*s' is not allowed", name.bytes,
                 (const char *)name.data);
        return why;
    }
    /* a name is too long past so many bytes, whatever letters they are */
    for (int32_t i = 0; i < name.bytes && i < 3 * TOPIC_NAME_BYTES_MAX; i++) {
        if (!is_legal(name.data[i])) { /* not repeated in the message: it may hold anything */
            snprintf(why, why_bytes,
                     "Topic name is invalid: it contains one or more characters other than ASCII "
                     "alphanumerics, '.', '_' and '-'");
            return why;
        }
    }
    if (name.bytes > TOPIC_NAME_BYTES_MAX) {
        snprintf(why, why_bytes,
                 "Topic name is invalid: the length of '%.40s...' is longer than the max allowed "
                 "length %d",
                 (const char *)name.data, TOPIC_NAME_BYTES_MAX);
        return why;
    }
    return NULL;
}
