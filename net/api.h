/*
 * api -- the kinds of request that the broker answers, and in which versions.
 */
#ifndef NET_API_H
#define NET_API_H

#include <stdbool.h>
#include <stdint.h>

#include "net/codec/api_versions.h"
#include "net/codec/create_topics.h"
#include "net/codec/delete_topics.h"
#include "net/codec/fetch.h"
#include "net/codec/init_producer_id.h"
#include "net/codec/list_offsets.h"
#include "net/codec/metadata.h"
#include "net/codec/produce.h"

enum api_key {
#define API(NAME, Name, name, version_min_told) API_##NAME = NAME##_KEY,
#include "net/api.def"
#undef API
};

struct api {
    const char *name; /* as the protocol spells it */
    int16_t key;
    int16_t version_min;
    int16_t version_max;
    int16_t flexible_min;     /* the first flexible version; INT16_MAX: none */
    int16_t version_min_told; /* what ApiVersions answers, see net/api.def */
};

/* All rows in the order of their keys. */
extern const struct api apis[];
extern const uint32_t apis_count;

/* NULL: no such API here. */
const struct api *api_find(int16_t key);

static inline bool api_has_version(const struct api *api, int16_t version)
{
    return version >= api->version_min && version <= api->version_max;
}

/* Which version of RequestHeader stands before a request. */
static inline int16_t api_request_header_version(const struct api *api, int16_t version)
{
    return version >= api->flexible_min ? 2 : 1;
}

/* And of ResponseHeader before its response. A client that asks for API versions cannot know yet
 * what the broker speaks, so that answer has the oldest header always. */
static inline int16_t api_response_header_version(const struct api *api, int16_t version)
{
    return version >= api->flexible_min && api->key != API_API_VERSIONS ? 1 : 0;
}

#endif
