/*
 * uuid -- sixteen bytes that name a thing for good: a topic, a directory, a cluster.
 *
 * Their text is base64 for URLs without padding, 22 characters.
 */
#ifndef CORE_UUID_H
#define CORE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/view.h"

struct uuid {
    uint8_t bytes[16]; /* as on the wire and on disk */
};

enum { UUID_TEXT_BYTES = 22 };

static inline bool uuid_is_zero(const struct uuid *uuid)
{
    static const struct uuid zero = {{0}};
    return memcmp(uuid, &zero, sizeof zero) == 0;
}

static inline bool uuid_equal(const struct uuid *uuid, const struct uuid *other)
{
    return memcmp(uuid, other, sizeof *uuid) == 0;
}

/* text: room for the 22 characters and a final zero */
void uuid_to_text(const struct uuid *uuid, char text[UUID_TEXT_BYTES + 1]);

/* False: not 22 characters of the alphabet; uuid is then unchanged. */
[[nodiscard]] bool uuid_from_text(struct uuid *uuid, struct view text);

#endif
