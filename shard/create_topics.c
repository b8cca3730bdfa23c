/*
 * create_topics -- new topics, each of which is made whole or refused with its reason.
 *
 *     home                                                core 0
 *     create_topics_start: names, duplicates, assignments --> control: the rest, records, image
 *     create_topics_made  <-----------------------------------
 */
#include "core/table.h"
#include "net/api.h"
#include "shard/control.h"
#include "shard/request.h"
#include "shard/topic_name.h"

#include <stdio.h>

enum {
    ROWS_PER_STEP_MAX = 64,
    REPLICAS_LOOKED_AT_MAX = 64, /* of a partition assigned by hand: the first ones tell enough */
};

enum creation_state {
    CREATION_NOTES,    /* names, so that those that come twice are known */
    CREATION_PREPARES, /* a row for each name; what is refused here does not go to control */
    CREATION_ASSIGNS,  /* the topic prepared last: its partitions assigned by hand */
    CREATION_REFUSES,  /* instead of all: too many */
    CREATION_ANSWERS,  /* what control has made of it */
    CREATION_TELLS,    /* the topic answered last: its configs */
};

struct creation_name { /* of the request */
    struct table_link by_name;
    bool is_double; /* it comes again */
    bool is_repeat; /* it was there before */
};

struct creation { /* in the request's arena */
    struct request *request;
    struct create_topics_request asked;
    struct control_create create;
    struct control_topic *topics; /* those that control is asked for, in the request's order */
    int32_t *rows;                /* of the response, for each of topics */
    struct create_topics_response response;
    enum creation_state state;
    struct creation_name *names; /* [asked.topics_count] */
    struct table by_name;
    int32_t at;      /* the next topic: of the request, and then of those that control has made */
    int32_t at_item; /* the next of its assignments or configs */
    bool *assigned;  /* [CONTROL_RECORDS_MAX] partitions that were */
    struct op step;
};

static void create_topics_decoded(struct request *request);
static void creation_step(struct op *op);
static void creation_send(struct creation *creation);
static void create_topics_made(struct op *op);
static void creation_reply(struct creation *creation);

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

static struct creation_name *name_find(const struct creation *creation, uint32_t hash,
                                       struct view name)
{
    for (struct table_link *link = table_first(&creation->by_name, hash); link;
         link = table_next(link)) {
        struct creation_name *other = container_of(link, struct creation_name, by_name);
        if (view_equal(creation->asked.topics[other - creation->names].name, name)) {
            return other;
        }
    }
    return NULL;
}

/* A name that comes twice is answered once, and refused. False: out of memory. */
static bool name_note(struct creation *creation)
{
    struct view name = creation->asked.topics[creation->at].name;
    struct creation_name *own = &creation->names[creation->at++];
    uint32_t hash = table_hash(&creation->by_name, name.data, (size_t)name.bytes, 0);
    struct creation_name *first = name_find(creation, hash, name);
    *own = (struct creation_name){.is_repeat = first != NULL};
    if (first) {
        first->is_double = true;
        return true;
    }
    return table_add(&creation->by_name, &own->by_name, hash);
}

static void refuse_assignment(struct creation *creation, struct control_topic *topic,
                              enum kafka_error error, const char *message)
{
    size_t bytes = strlen(message) + 1;
    char *copy = arena_take(&creation->request->arena, bytes);
    if (copy) {
        memcpy(copy, message, bytes);
    }
    topic->assigned_error = error;
    topic->assigned_why = copy ? copy : "";
}

/* Is the partition assigned to this broker, the only one there is? Looked at as Kafka does it: in
 * the order of ids. */
static void replicas_check(struct creation *creation, struct control_topic *topic,
                           const struct create_topics_request_assignment *assignment)
{
    int32_t node_id = creation->request->shard->settings->node_id;
    int32_t count = assignment->broker_ids_count;
    int32_t smallest = node_id, other = node_id, own_count = 0;
    char why[CONTROL_MESSAGE_BYTES];
    for (int32_t i = 0; i < count && i < REPLICAS_LOOKED_AT_MAX; i++) {
        int32_t id = assignment->broker_ids[i];
        smallest = id < smallest ? id : smallest;
        own_count += id == node_id;
        other = id > node_id && (other == node_id || id < other) ? id : other;
    }
    if (count == 0) {
        snprintf(why, sizeof why,
                 "The manual partition assignment includes an empty replica list.");
    } else if (smallest < node_id || (own_count <= 1 && other != node_id)) {
        snprintf(why, sizeof why,
                 "The manual partition assignment includes broker %d, but no such broker is "
                 "registered.",
                 smallest < node_id ? smallest : other);
    } else if (own_count > 1) {
        snprintf(why, sizeof why,
                 "The manual partition assignment includes the broker %d more than once.", node_id);
    } else {
        return;
    }
    refuse_assignment(creation, topic, KAFKA_INVALID_REPLICA_ASSIGNMENT, why);
}

/* One of the partitions assigned by hand: each comes once. True: that was all of them. */
static bool assignment_check(struct creation *creation)
{
    struct control_topic *topic = &creation->topics[creation->create.topics_count - 1];
    const struct create_topics_request_topic *asked = &creation->asked.topics[creation->at - 1];
    if (topic->assigned_error || creation->at_item == asked->assignments_count) {
        return true;
    }
    const struct create_topics_request_assignment *assignment =
        &asked->assignments[creation->at_item++];
    int32_t index = assignment->partition_index;
    bool is_inside = index >= 0 && index < asked->assignments_count;
    if (is_inside && creation->assigned[index]) {
        char why[CONTROL_MESSAGE_BYTES];
        snprintf(why, sizeof why, "Found multiple manual partition assignments for partition %d",
                 index);
        refuse_assignment(creation, topic, KAFKA_INVALID_REPLICA_ASSIGNMENT, why);
        return true;
    }
    replicas_check(creation, topic, assignment);
    if (is_inside) {
        creation->assigned[index] = true;
    } else if (!topic->assigned_error) {
        refuse_assignment(creation, topic, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                          "partitions should be a consecutive 0-based integer sequence");
    }
    return false;
}

/* False: out of memory. */
static bool topic_prepare(struct creation *creation,
                          const struct create_topics_request_topic *asked,
                          struct control_topic *topic)
{
    *topic = (struct control_topic){.name = asked->name,
                                    .partitions_count = asked->num_partitions,
                                    .replication_factor = asked->replication_factor,
                                    .assigned_count = asked->assignments_count,
                                    .configs_count = (uint32_t)asked->configs_count,
                                    .configs = asked->configs};
    if (asked->assignments_count == 0) {
        return true;
    }
    if (asked->replication_factor != -1) {
        refuse_assignment(creation, topic, KAFKA_INVALID_REQUEST,
                          "A manual partition assignment was specified, but replication factor "
                          "was not set to -1.");
    } else if (asked->num_partitions != -1) {
        refuse_assignment(creation, topic, KAFKA_INVALID_REQUEST,
                          "A manual partition assignment was specified, but numPartitions was not "
                          "set to -1.");
    } else if (asked->assignments_count < CONTROL_RECORDS_MAX) { /* else control refuses it */
        if (!creation->assigned) {
            creation->assigned = arena_take(&creation->request->arena, CONTROL_RECORDS_MAX);
        }
        if (!creation->assigned) {
            return false;
        }
        memset(creation->assigned, 0, (size_t)asked->assignments_count);
        creation->at_item = 0;
        creation->state = CREATION_ASSIGNS;
    }
    return true;
}

static struct create_topics_response_topic *row_add(struct creation *creation, struct view name)
{
    struct create_topics_response_topic *row =
        &creation->response.topics[creation->response.topics_count++];
    create_topics_response_topic_init(row);
    row->name = name;
    row->error_message = VIEW_NULL;
    return row;
}

/* False: out of memory. */
static bool row_prepare(struct creation *creation)
{
    const struct creation_name *noted = &creation->names[creation->at];
    const struct create_topics_request_topic *asked = &creation->asked.topics[creation->at++];
    if (noted->is_repeat) {
        return true;
    }
    char why[CONTROL_MESSAGE_BYTES];
    int32_t at = creation->response.topics_count;
    struct create_topics_response_topic *row = row_add(creation, asked->name);
    if (noted->is_double) {
        row_refuse(row, KAFKA_INVALID_REQUEST, view_of_text("Duplicate topic name."));
    } else if (view_equal_text(asked->name, "__cluster_metadata")) {
        row_refuse(row, KAFKA_INVALID_REQUEST,
                   view_of_text("Creation of internal topic __cluster_metadata is prohibited."));
    } else if (topic_name_check(asked->name, why, sizeof why)) {
        row_refuse(row, KAFKA_INVALID_TOPIC_EXCEPTION, arena_text(&creation->request->arena, why));
    } else {
        uint32_t to = creation->create.topics_count++;
        creation->rows[to] = at;
        return topic_prepare(creation, asked, &creation->topics[to]);
    }
    return true;
}

static bool creation_init(struct creation *creation)
{
    struct arena *arena = &creation->request->arena;
    size_t count = (size_t)creation->asked.topics_count;
    creation->response.topics = arena_take(arena, count * sizeof *creation->response.topics);
    if (count > CONTROL_RECORDS_MAX) { /* than one change may have records */
        creation->state = CREATION_REFUSES;
        return creation->response.topics != NULL;
    }
    creation->names = arena_take(arena, count * sizeof *creation->names);
    creation->rows = arena_take(arena, count * sizeof *creation->rows);
    creation->topics = arena_take(arena, count * sizeof *creation->topics);
    table_init(&creation->by_name, arena,
               (uint32_t)reactor_random(creation->request->shard->reactor));
    return creation->response.topics && creation->names && creation->rows && creation->topics;
}

void create_topics_start(struct request *request)
{
    struct creation *creation = arena_take(&request->arena, sizeof *creation);
    if (!creation) {
        request_close(request, "memory");
        return;
    }
    *creation = (struct creation){.request = request};
    create_topics_response_init(&creation->response);
    request->state = creation;
    request_decode(request, create_topics_request_decode_slice, &creation->asked,
                   "CreateTopics cannot be read", create_topics_decoded);
}

static void create_topics_decoded(struct request *request)
{
    struct creation *creation = request->state;
    if (creation_init(creation)) {
        creation_step(&creation->step);
    } else {
        request_close(request, "memory");
    }
}

/* -- after control ---------------------------------------------------------------------------------- */

/* All of a topic's configs, as DescribeConfigs would tell them: first as if none was set. */
static bool row_add_configs(struct creation *creation, struct create_topics_response_topic *row)
{
    enum { SOURCE_DEFAULT = 5 };
    row->configs = arena_take(&creation->request->arena, TOPIC_CONFIGS * sizeof *row->configs);
    if (!row->configs) {
        return false;
    }
    row->configs_count = TOPIC_CONFIGS;
    for (uint32_t id = 0; id < TOPIC_CONFIGS; id++) {
        row->configs[id] = (struct create_topics_response_config){
            .name = view_of_text(topic_config_name(id)),
            .value = view_of_text(creation->request->shard->settings->topic_defaults[id]),
            .config_source = SOURCE_DEFAULT};
    }
    return true;
}

/* One that was set. True: that was all of them. */
static bool row_set_config(struct creation *creation)
{
    enum { SOURCE_TOPIC = 1 };
    const struct control_topic *topic = &creation->topics[creation->at - 1];
    if ((uint32_t)creation->at_item == topic->configs_count) {
        return true;
    }
    struct create_topics_response_topic *row =
        &creation->response.topics[creation->rows[creation->at - 1]];
    const struct create_topics_request_config *set = &topic->configs[creation->at_item++];
    struct create_topics_response_config *config = &row->configs[topic_config_find(set->name)];
    config->value = set->value;
    config->config_source = SOURCE_TOPIC;
    return false;
}

/* False: out of memory. */
static bool row_answer(struct creation *creation)
{
    struct control_topic *topic = &creation->topics[creation->at];
    struct create_topics_response_topic *row =
        &creation->response.topics[creation->rows[creation->at++]];
    if (topic->error != KAFKA_NONE) {
        row_refuse(row, topic->error, view_of_text(topic->message));
        return true;
    }
    if (creation->create.change.failed) {
        row_refuse(row, KAFKA_KAFKA_STORAGE_ERROR,
                   view_of_text("The metadata log cannot be written; see the broker's reports"));
        return true;
    }
    row->topic_id = topic->id;
    row->num_partitions = topic->partitions_made;
    row->replication_factor = 1;
    creation->at_item = 0;
    creation->state = CREATION_TELLS;
    return row_add_configs(creation, row);
}

static void create_topics_made(struct op *op)
{
    struct creation *creation = container_of(op, struct creation, create.change.op);
    creation->at = 0;
    creation->state = CREATION_ANSWERS;
    creation_step(&creation->step);
}

static void creation_reply(struct creation *creation)
{
    request_encode(creation->request, create_topics_response_encode_slice, &creation->response,
                   request_reply);
}

/* -- all of it, in steps ---------------------------------------------------------------------------- */

static void creation_send(struct creation *creation)
{
    creation->create.topics = creation->topics;
    creation->create.validate_only = creation->asked.validate_only;
    control_create_topics(creation->request->shard, &creation->create, create_topics_made);
}

static void creation_step(struct op *op)
{
    struct creation *creation = container_of(op, struct creation, step);
    bool good = true;
    for (uint32_t n = 0; good && n < ROWS_PER_STEP_MAX; n++) {
        bool is_last = creation->at == creation->asked.topics_count;
        switch (creation->state) {
        case CREATION_NOTES:
            if (!is_last) {
                good = name_note(creation);
            } else {
                creation->at = 0;
                creation->state = CREATION_PREPARES;
            }
            break;
        case CREATION_PREPARES:
            if (is_last) {
                creation_send(creation);
                return;
            }
            good = row_prepare(creation);
            break;
        case CREATION_ASSIGNS:
            if (assignment_check(creation)) {
                creation->state = CREATION_PREPARES;
            }
            break;
        case CREATION_REFUSES:
            if (is_last) {
                creation_reply(creation);
                return;
            }
            row_refuse(row_add(creation, creation->asked.topics[creation->at++].name),
                       KAFKA_POLICY_VIOLATION,
                       view_of_text("Unable to perform excessively large batch operation."));
            break;
        case CREATION_ANSWERS:
            if ((uint32_t)creation->at == creation->create.topics_count) {
                creation_reply(creation);
                return;
            }
            good = row_answer(creation);
            break;
        case CREATION_TELLS:
            if (row_set_config(creation)) {
                creation->state = CREATION_ANSWERS;
            }
            break;
        }
    }
    if (good) {
        reactor_ready(creation->request->shard->reactor, op, creation_step);
    } else {
        request_close(creation->request, "memory");
    }
}
