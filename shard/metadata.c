/*
 * metadata -- which brokers and topics there are. A named topic that does not exist may be created
 * on the way: this answer then still says that it is unknown, and the client asks again.
 */
#include "net/api.h"
#include "shard/control.h"
#include "shard/request.h"
#include "shard/topic_name.h"

#include <stdlib.h>

enum {
    /* What a principal may do when nobody restricts it, as bits of Kafka's AclOperation. */
    TOPIC_OPERATIONS = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11,
    CLUSTER_OPERATIONS = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12,
    AUTO_CREATIONS_MAX = 64, /* at a time per core; a client that gets no place asks again anyway */
};

struct metadata_answer {
    struct request *request;
    struct metadata_request asked;
    struct metadata_response response;
    struct metadata_response_broker broker;
    int32_t node_id; /* of the only replica of everything */
};

static void metadata_decoded(struct request *request);

static bool add_partitions(struct metadata_answer *answer, struct metadata_response_topic *row,
                           const struct topic *topic)
{
    row->partitions =
        arena_take(&answer->request->arena, topic->partitions_count * sizeof *row->partitions);
    if (!row->partitions) {
        return false;
    }
    row->partitions_count = (int32_t)topic->partitions_count;
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        row->partitions[i] =
            (struct metadata_response_partition){.partition_index = (int32_t)i,
                                                 .leader_id = answer->node_id,
                                                 .leader_epoch = topic->partitions[i].leader_epoch,
                                                 .replica_nodes = &answer->node_id,
                                                 .replica_nodes_count = 1,
                                                 .isr_nodes = &answer->node_id,
                                                 .isr_nodes_count = 1};
    }
    return true;
}

static struct metadata_response_topic *add_row(struct metadata_answer *answer)
{
    struct metadata_response_topic *row = &answer->response.topics[answer->response.topics_count++];
    metadata_response_topic_init(row);
    return row;
}

static bool add_topic(struct metadata_answer *answer, const struct topic *topic)
{
    struct metadata_response_topic *row = add_row(answer);
    int32_t bytes = (int32_t)strlen(topic->name);
    char *name = arena_take(&answer->request->arena, (size_t)bytes);
    if (!name) {
        return false;
    }
    memcpy(name, topic->name, (size_t)bytes);
    row->name = view_of(name, bytes);
    row->topic_id = topic->id;
    row->is_internal = topic->internal;
    if (answer->asked.include_topic_authorized_operations) {
        row->topic_authorized_operations = TOPIC_OPERATIONS;
    }
    return add_partitions(answer, row, topic);
}

/* -- creating on the way ------------------------------------------------------------------------- */

struct auto_creation { /* owns a copy of the name: nobody waits for it */
    struct control_create create;
    struct control_topic topic;
    uint8_t name[TOPIC_NAME_BYTES_MAX];
};

static void auto_creation_ended(struct op *op)
{
    struct auto_creation *creation = container_of(op, struct auto_creation, create.change.op);
    creation->create.change.home->auto_creations--;
    free(creation);
}

static void auto_create(struct shard *shard, struct view name)
{
    struct auto_creation *creation =
        shard->auto_creations < AUTO_CREATIONS_MAX ? calloc(1, sizeof *creation) : NULL;
    if (!creation) {
        return;
    }
    shard->auto_creations++;
    memcpy(creation->name, name.data, (size_t)name.bytes);
    creation->topic = (struct control_topic){.name = view_of(creation->name, name.bytes),
                                             .partitions_count = -1,
                                             .replication_factor = -1};
    creation->create.topics = &creation->topic;
    creation->create.topics_count = 1;
    control_create_topics(shard, &creation->create, auto_creation_ended);
}

static void add_unknown(struct metadata_answer *answer, struct view name)
{
    struct shard *shard = answer->request->shard;
    struct metadata_response_topic *row = add_row(answer);
    char why[64];
    row->name = name;
    row->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (topic_name_check(name, why, sizeof why)) {
        row->error_code = KAFKA_INVALID_TOPIC_EXCEPTION;
    } else if (answer->asked.allow_auto_topic_creation && shard->settings->auto_create_topics) {
        auto_create(shard, name);
    }
}

/* -- answering ------------------------------------------------------------------------------------ */

static bool answer_all(struct metadata_answer *answer)
{
    const struct image *image = answer->request->shard->image;
    answer->response.topics =
        arena_take(&answer->request->arena, image->topics_count * sizeof *answer->response.topics);
    bool good = answer->response.topics != NULL;
    for (const struct topic *topic = image_topic_after(image, ""); good && topic;
         topic = image_topic_after(image, topic->name)) {
        good = add_topic(answer, topic);
    }
    return good;
}

static int name_order(const void *one, const void *other)
{
    const struct metadata_request_topic *a = one, *b = other;
    int32_t shorter = a->name.bytes < b->name.bytes ? a->name.bytes : b->name.bytes;
    int order = shorter > 0 ? memcmp(a->name.data, b->name.data, (size_t)shorter) : 0;
    order = order ? order : (a->name.bytes > b->name.bytes) - (a->name.bytes < b->name.bytes);
    return order ? order : memcmp(a->topic_id.bytes, b->topic_id.bytes, sizeof a->topic_id.bytes);
}

/* Each topic once, however often it was named. */
static bool answer_named(struct metadata_answer *answer, bool by_id)
{
    const struct image *image = answer->request->shard->image;
    struct metadata_request *asked = &answer->asked;
    answer->response.topics = arena_take(
        &answer->request->arena, (size_t)asked->topics_count * sizeof *answer->response.topics);
    if (!answer->response.topics) {
        return false;
    }
    if (asked->topics_count > 1) {
        qsort(asked->topics, (size_t)asked->topics_count, sizeof *asked->topics, name_order);
    }
    bool good = true;
    for (int32_t i = 0; good && i < asked->topics_count; i++) {
        const struct metadata_request_topic *topic = &asked->topics[i];
        if ((i > 0 && name_order(topic, topic - 1) == 0) ||
            (by_id && uuid_is_zero(&topic->topic_id))) {
            continue;
        }
        const struct topic *found = by_id ? image_topic_by_id(image, &topic->topic_id)
                                          : image_topic_by_name(image, topic->name);
        if (found) {
            good = add_topic(answer, found);
        } else if (by_id) {
            struct metadata_response_topic *row = add_row(answer);
            row->name = VIEW_NULL;
            row->topic_id = topic->topic_id;
            row->error_code = KAFKA_UNKNOWN_TOPIC_ID;
        } else {
            add_unknown(answer, topic->name);
        }
    }
    return good;
}

/* Versions 10 and 11 answer with topic ids, but cannot be asked by them. */
static bool answer_refused(struct metadata_answer *answer)
{
    struct metadata_request *asked = &answer->asked;
    answer->response.topics = arena_take(
        &answer->request->arena, (size_t)asked->topics_count * sizeof *answer->response.topics);
    if (!answer->response.topics) {
        return false;
    }
    for (int32_t i = 0; i < asked->topics_count; i++) {
        struct metadata_response_topic *row = add_row(answer);
        row->name = view_is_null(asked->topics[i].name) ? view_of_text("") : asked->topics[i].name;
        row->topic_id = asked->topics[i].topic_id;
        row->error_code = KAFKA_INVALID_REQUEST;
    }
    return true;
}

static bool answer_topics(struct metadata_answer *answer)
{
    const struct metadata_request *asked = &answer->asked;
    int16_t version = answer->request->version;
    if (asked->topics_count < 0 || (version == 0 && asked->topics_count == 0)) {
        return answer_all(answer);
    }
    bool by_id = false, is_refused = false;
    for (int32_t i = 0; i < asked->topics_count; i++) {
        by_id |= !uuid_is_zero(&asked->topics[i].topic_id);
        is_refused |= version < 12 && (view_is_null(asked->topics[i].name) ||
                                       !uuid_is_zero(&asked->topics[i].topic_id));
    }
    return is_refused ? answer_refused(answer) : answer_named(answer, by_id);
}

void metadata_start(struct request *request)
{
    struct metadata_answer *answer = arena_take(&request->arena, sizeof *answer);
    if (!answer) {
        request_close(request, "memory");
        return;
    }
    *answer = (struct metadata_answer){.request = request};
    request->state = answer;
    request_decode(request, metadata_request_decode_slice, &answer->asked,
                   "Metadata cannot be read", metadata_decoded);
}

static void metadata_decoded(struct request *request)
{
    const struct broker_settings *settings = request->shard->settings;
    struct metadata_answer *answer = request->state;
    struct metadata_response *response = &answer->response;
    metadata_response_init(response);
    answer->node_id = settings->node_id;
    answer->broker =
        (struct metadata_response_broker){.node_id = settings->node_id,
                                          .host = view_of_text(settings->advertised_host),
                                          .port = settings->advertised_port,
                                          .rack = VIEW_NULL};
    response->brokers = &answer->broker;
    response->brokers_count = 1;
    response->cluster_id = view_of_text(settings->cluster_id);
    response->controller_id = settings->node_id;
    if (answer->asked.include_cluster_authorized_operations) {
        response->cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    if (!answer_topics(answer)) {
        request_close(request, "memory");
        return;
    }
    request_encode(request, metadata_response_encode_slice, response, request_reply);
}
