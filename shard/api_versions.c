/*
 * api_versions -- what this broker speaks: the first thing that a client asks.
 */
#include "net/api.h"
#include "shard/control.h"
#include "shard/registration.h"
#include "shard/request.h"

static bool is_alphanumeric(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9');
}

/* Letters and digits, and between them dots and hyphens (KIP-511). */
static bool software_name_is_legal(struct view name)
{
    for (int32_t i = 0; i < name.bytes; i++) {
        bool inside = i > 0 && i < name.bytes - 1;
        if (!is_alphanumeric(name.data[i]) &&
            !(inside && (name.data[i] == '.' || name.data[i] == '-'))) {
            return false;
        }
    }
    return name.bytes > 0;
}

static void reply(struct request *request, enum kafka_error error)
{
    struct api_versions_response_api *rows = arena_take(&request->arena, apis_count * sizeof *rows);
    if (!rows) {
        request_close(request, "memory");
        return;
    }
    struct api_versions_response response;
    api_versions_response_init(&response);
    response.error_code = (int16_t)error;
    response.api_keys = rows;
    for (uint32_t i = 0; error == KAFKA_NONE && i < apis_count; i++) {
        rows[response.api_keys_count++] =
            (struct api_versions_response_api){.api_key = apis[i].key,
                                               .min_version = apis[i].version_min_told,
                                               .max_version = apis[i].version_max};
    }
    struct api_versions_response_supported_feature supported = {
        .name = view_of_text("metadata.version"),
        .min_version = 7,
        .max_version = METADATA_VERSION_LEVEL};
    struct api_versions_response_finalized_feature finalized = {
        .name = view_of_text("metadata.version"),
        .min_version_level = METADATA_VERSION_LEVEL,
        .max_version_level = METADATA_VERSION_LEVEL};
    if (error == KAFKA_NONE) {
        response.supported_features = &supported;
        response.supported_features_count = 1;
        response.finalized_features = &finalized;
        response.finalized_features_count = 1;
        response.finalized_features_epoch = request->shard->image->offset - 1;
    }
    api_versions_response_encode(&response, &request->reply.head, request->version);
    request_reply(request);
}

void api_versions_start(struct request *request)
{
    struct api_versions_request asked;
    if (!api_versions_request_decode(&asked, &request->body, request->version, &request->arena)) {
        request_close(request, "ApiVersions cannot be read");
        return;
    }
    bool legal = request->version < 3 || (software_name_is_legal(asked.client_software_name) &&
                                          software_name_is_legal(asked.client_software_version));
    reply(request, legal ? KAFKA_NONE : KAFKA_INVALID_REQUEST);
}

/* A version that is not ours was asked for, and the body was not looked at: the answer has the oldest
 * form and names only the versions of this API, so that the client can ask again. */
void api_versions_start_unsupported(struct request *request)
{
    const struct api *api = api_find(API_API_VERSIONS);
    struct api_versions_response_api row = {
        .api_key = api->key, .min_version = api->version_min_told, .max_version = api->version_max};
    struct api_versions_response response;
    api_versions_response_init(&response);
    response.error_code = KAFKA_UNSUPPORTED_VERSION;
    response.api_keys = &row;
    response.api_keys_count = 1;
    api_versions_response_encode(&response, &request->reply.head, 0);
    request_reply(request);
}
