/*
 * create_topics -- new topics, each of which is made whole or refused with its reason.
 *
 *     home                                                core 0
 *     create_topics_start: names, duplicates, assignments --> control: the rest, records, image
 *     create_topics_made  <-----------------------------------
 */
#include "net/api.h"
#include "shard/control.h"
#include "shard/request.h"
#include "shard/topic_name.h"

#include <stdio.h>
#include <stdlib.h>

struct creation { /* in the request's arena */
    struct request *request;
    struct create_topics_request asked;
    struct control_create create;
    struct control_topic *topics; /* those that control is asked for, in the request's order */
    int32_t *rows;                /* which topic of the request each is */
    struct create_topics_response response;
};

static void create_topics_made(struct op *op);

static void row_refuse(struct create_topics_response_topic *row, enum kafka_error error,
                       struct view message)
{
    row->error_code = (int16_t)error;
    row->error_message = message;
}

static struct view arena_text(struct arena *arena, const char *text)
{
    size_t bytes = strlen(text);
    char *copy = arena_take(arena, bytes);
    if (!copy) {
        return VIEW_NULL;
    }
    memcpy(copy, text, bytes);
    return view_of(copy, (int32_t)bytes);
}

/* -- before control: what only the request tells -------------------------------------------------- */

static int assignment_order(const void *one, const void *other)
{
    const struct create_topics_request_assignment *a = one, *b = other;
    return (a->partition_index > b->partition_index) - (a->partition_index < b->partition_index);
}

static void refuse_assignment(struct control_topic *topic, enum kafka_error error,
                              const char *message)
{
    topic->assigned_error = error;
    topic->assigned_why = message;
}

/* Assigned by hand: every partition once, from 0 on, to this broker, the only one there is. */
static void assignment_check(const struct creation *creation,
                             const struct create_topics_request_topic *asked,
                             struct control_topic *topic)
{
    int32_t node_id = creation->request->shard->settings->node_id;
    topic->assigned_count = asked->assignments_count;
    if (asked->replication_factor != -1) {
        refuse_assignment(topic, KAFKA_INVALID_REQUEST,
                          "A manual partition assignment was specified, but replication factor "
                          "was not set to -1.");
    } else if (asked->num_partitions != -1) {
        refuse_assignment(topic, KAFKA_INVALID_REQUEST,
                          "A manual partition assignment was specified, but numPartitions was not "
                          "set to -1.");
    }
    qsort(asked->assignments, (size_t)asked->assignments_count, sizeof *asked->assignments,
          assignment_order);
    for (int32_t i = 0; i < asked->assignments_count && !topic->assigned_error; i++) {
        const struct create_topics_request_assignment *assignment = &asked->assignments[i];
        if (i > 0 && assignment->partition_index == assignment[-1].partition_index) {
            refuse_assignment(topic, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                              "Found multiple manual partition assignments for one partition");
        } else if (assignment->partition_index != i) {
            refuse_assignment(topic, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                              "partitions should be a consecutive 0-based integer sequence");
        } else if (assignment->broker_ids_count == 0) {
            refuse_assignment(topic, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                              "The manual partition assignment includes an empty replica list.");
        } else if (assignment->broker_ids_count > 1 || assignment->broker_ids[0] != node_id) {
            refuse_assignment(topic, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                              "The manual partition assignment includes a broker that is not "
                              "registered, or one broker twice.");
        }
    }
}

static bool topic_prepare(struct creation *creation,
                          const struct create_topics_request_topic *asked,
                          struct control_topic *topic)
{
    *topic = (struct control_topic){.name = asked->name,
                                    .partitions_count = asked->num_partitions,
                                    .replication_factor = asked->replication_factor,
                                    .configs_count = (uint32_t)asked->configs_count};
    if (asked->assignments_count > 0) {
        assignment_check(creation, asked, topic);
    }
    struct control_config *configs =
        arena_take(&creation->request->arena, (size_t)asked->configs_count * sizeof *configs);
    if (!configs) {
        return false;
    }
    for (int32_t i = 0; i < asked->configs_count; i++) {
        configs[i] = (struct control_config){.name = asked->configs[i].name,
                                             .value = asked->configs[i].value};
    }
    topic->configs = configs;
    return true;
}

static int row_order(const void *one, const void *other)
{
    const struct create_topics_request_topic *a = *(struct create_topics_request_topic *const *)one;
    const struct create_topics_request_topic *b =
        *(struct create_topics_request_topic *const *)other;
    int32_t shorter = a->name.bytes < b->name.bytes ? a->name.bytes : b->name.bytes;
    int order = shorter > 0 ? memcmp(a->name.data, b->name.data, (size_t)shorter) : 0;
    return order ? order : (a->name.bytes > b->name.bytes) - (a->name.bytes < b->name.bytes);
}

/* A name that comes twice is answered once, and refused. */
static bool mark_duplicates(struct creation *creation, bool *duplicate, bool *repeated)
{
    int32_t count = creation->asked.topics_count;
    struct create_topics_request_topic **sorted =
        arena_take(&creation->request->arena, (size_t)count * sizeof(void *));
    if (!sorted) {
        return false;
    }
    for (int32_t i = 0; i < count; i++) {
        sorted[i] = &creation->asked.topics[i];
        duplicate[i] = repeated[i] = false;
    }
    qsort(sorted, (size_t)count, sizeof(void *), row_order);
    for (int32_t i = 1; i < count; i++) {
        if (row_order(&sorted[i - 1], &sorted[i]) == 0) {
            duplicate[sorted[i - 1] - creation->asked.topics] = true;
            duplicate[sorted[i] - creation->asked.topics] = true;
            repeated[sorted[i] - creation->asked.topics] = true;
        }
    }
    return true;
}

/* Rows of the response; what is refused here does not go to control. False: out of memory. */
static bool rows_prepare(struct creation *creation, const bool *duplicate, const bool *repeated)
{
    struct arena *arena = &creation->request->arena;
    for (int32_t i = 0; i < creation->asked.topics_count; i++) {
        const struct create_topics_request_topic *asked = &creation->asked.topics[i];
        if (repeated[i]) {
            continue;
        }
        int32_t at = creation->response.topics_count++;
        struct create_topics_response_topic *row = &creation->response.topics[at];
        char why[CONTROL_MESSAGE_BYTES];
        create_topics_response_topic_init(row);
        row->name = asked->name;
        row->error_message = VIEW_NULL;
        if (duplicate[i]) {
            row_refuse(row, KAFKA_INVALID_REQUEST, view_of_text("Duplicate topic name."));
        } else if (view_equal_text(asked->name, "__cluster_metadata")) {
            row_refuse(row, KAFKA_INVALID_REQUEST,
                       view_of_text("Creation of internal topic __cluster_metadata is "
                                    "prohibited."));
        } else if (topic_name_check(asked->name, why, sizeof why)) {
            row_refuse(row, KAFKA_INVALID_TOPIC_EXCEPTION, arena_text(arena, why));
        } else {
            uint32_t to = creation->create.topics_count++;
            creation->rows[to] = at;
            if (!topic_prepare(creation, asked, &creation->topics[to])) {
                return false;
            }
        }
    }
    return true;
}

/* More topics than one change may have records: nothing is looked at any further. */
static void refuse_all(struct creation *creation)
{
    for (int32_t i = 0; i < creation->asked.topics_count; i++) {
        struct create_topics_response_topic *row = &creation->response.topics[i];
        create_topics_response_topic_init(row);
        row->name = creation->asked.topics[i].name;
        row_refuse(row, KAFKA_POLICY_VIOLATION,
                   view_of_text("Unable to perform excessively large batch operation."));
    }
    creation->response.topics_count = creation->asked.topics_count;
    struct request *request = creation->request;
    create_topics_response_encode(&creation->response, &request->reply.head, request->version);
    request_reply(request);
}

void create_topics_start(struct request *request)
{
    struct arena *arena = &request->arena;
    struct creation *creation = arena_take(arena, sizeof *creation);
    if (!creation) {
        request_close(request, "memory");
        return;
    }
    *creation = (struct creation){.request = request};
    create_topics_response_init(&creation->response);
    if (!create_topics_request_decode(&creation->asked, &request->body, request->version, arena)) {
        request_close(request, "CreateTopics cannot be read");
        return;
    }
    size_t count = (size_t)creation->asked.topics_count;
    creation->response.topics = arena_take(arena, count * sizeof *creation->response.topics);
    if (!creation->response.topics) {
        request_close(request, "memory");
        return;
    }
    if (count > CONTROL_RECORDS_MAX) {
        refuse_all(creation);
        return;
    }
    bool *duplicate = arena_take(arena, count);
    bool *repeated = arena_take(arena, count);
    creation->rows = arena_take(arena, count * sizeof *creation->rows);
    creation->topics = arena_take(arena, count * sizeof *creation->topics);
    if (!duplicate || !repeated || !creation->rows || !creation->topics ||
        !mark_duplicates(creation, duplicate, repeated) ||
        !rows_prepare(creation, duplicate, repeated)) {
        request_close(request, "memory");
        return;
    }
    creation->create.topics = creation->topics;
    creation->create.validate_only = creation->asked.validate_only;
    control_create_topics(request->shard, &creation->create, create_topics_made);
}

/* -- after control ---------------------------------------------------------------------------------- */

/* All of a topic's configs, as DescribeConfigs would tell them. */
static bool row_add_configs(struct creation *creation, const struct control_topic *topic,
                            struct create_topics_response_topic *row)
{
    enum { SOURCE_TOPIC = 1, SOURCE_DEFAULT = 5 };
    row->configs = arena_take(&creation->request->arena, TOPIC_CONFIGS * sizeof *row->configs);
    if (!row->configs) {
        return false;
    }
    row->configs_count = TOPIC_CONFIGS;
    for (uint32_t id = 0; id < TOPIC_CONFIGS; id++) {
        struct create_topics_response_config *config = &row->configs[id];
        *config = (struct create_topics_response_config){
            .name = view_of_text(topic_config_name(id)),
            .value = view_of_text(creation->request->shard->settings->topic_defaults[id]),
            .config_source = SOURCE_DEFAULT};
        for (uint32_t i = 0; i < topic->configs_count; i++) {
            if (topic_config_find(topic->configs[i].name) == id) {
                config->value = topic->configs[i].value;
                config->config_source = SOURCE_TOPIC;
            }
        }
    }
    return true;
}

static void create_topics_made(struct op *op)
{
    struct creation *creation = container_of(op, struct creation, create.change.op);
    struct request *request = creation->request;
    for (uint32_t i = 0; i < creation->create.topics_count; i++) {
        struct control_topic *topic = &creation->topics[i];
        struct create_topics_response_topic *row = &creation->response.topics[creation->rows[i]];
        if (topic->error != KAFKA_NONE) {
            row_refuse(row, topic->error, view_of_text(topic->message));
            continue;
        }
        row->topic_id = topic->id;
        row->num_partitions = topic->partitions_made;
        row->replication_factor = 1;
        if (!row_add_configs(creation, topic, row)) {
            request_close(request, "memory");
            return;
        }
    }
    create_topics_response_encode(&creation->response, &request->reply.head, request->version);
    request_reply(request);
}
