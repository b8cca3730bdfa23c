/*
 * metadata -- which brokers and topics there are. A named topic that does not exist may be created
 * on the way: this answer then still says that it is unknown, and the client asks again.
 *
 *     METADATA_NOTES   each topic asked for, once      METADATA_LISTS   the ids of all that there are
 *               \                                        /
 *              METADATA_FINDS   the next one: its row  <---.
 *              METADATA_FILLS   its partitions         ----'
 *
 * All of it is done in steps, and between two of them topics come and go. So what a step goes on with
 * is a name or an id, never a place in an image; a topic that went while its partitions were being
 * listed loses its row and is looked for again. What exists from the first step to the last is told.
 * A long answer holds much memory: of those only one is made at a time on a core.
 */
#include "core/table.h"
#include "net/api.h"
#include "shard/control.h"
#include "shard/request.h"
#include "shard/topic_name.h"

#include <assert.h>
#include <stdlib.h>

enum {
    /* What a principal may do when nobody restricts it, as bits of Kafka's AclOperation. */
    TOPIC_OPERATIONS = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11,
    CLUSTER_OPERATIONS = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12,
    AUTO_CREATIONS_MAX = 64, /* at a time per core; a client that gets no place asks again anyway */

    STEP_COST_MAX = 2048, /* some 50 us: */
    PARTITION_COST = 1,
    TOPIC_COST = 32, /* it is looked up */
    NAME_BYTES_PER_COST = 32,
    LISTED_MAX = 128,
};

struct metadata_name { /* one that was asked for */
    struct table_link link;
    bool repeats; /* one before it */
};

struct metadata_listed { /* some of all topics, in the order of their names */
    struct metadata_listed *next;
    uint32_t count;
    struct uuid ids[LISTED_MAX];
};

struct metadata_answer { /* in the request's arena */
    struct request *request;
    struct metadata_request asked;
    struct metadata_response response;
    struct metadata_response_broker broker;
    int32_t node_id; /* of the only replica of everything */
    struct op step;
    enum metadata_state {
        METADATA_NOTES,
        METADATA_LISTS,
        METADATA_FINDS,
        METADATA_FILLS,
        METADATA_REFUSES,
        METADATA_DONE,
    } state;
    int32_t at;           /* the next one asked for, or listed */
    int32_t at_partition; /* of the last row */
    /* asked for */
    struct metadata_name *names; /* [asked.topics_count] */
    struct table by_name;        /* of names: each once */
    bool by_id;
    bool is_refused;
    /* all */
    struct metadata_listed *listed; /* being filled, then being read */
    struct metadata_listed *listed_first;
    char listed_name[TOPIC_NAME_BYTES_MAX + 1]; /* the last one's */
};

static void metadata_decoded(struct request *request);
static void metadata_step(struct op *op);
static void metadata_encoded(struct request *request);

static struct metadata_response_topic *add_row(struct metadata_answer *answer)
{
    struct metadata_response_topic *row = &answer->response.topics[answer->response.topics_count++];
    metadata_response_topic_init(row);
    return row;
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

/* -- the topics asked for -------------------------------------------------------------------------- */

static bool answer_is_of_all(const struct metadata_answer *answer)
{
    int32_t count = answer->asked.topics_count;
    return count < 0 || (count == 0 && answer->request->version == 0);
}

static bool is_known(const struct metadata_answer *answer, uint32_t hash,
                     const struct metadata_request_topic *topic)
{
    struct table_link *link = table_first(&answer->by_name, hash);
    for (; link; link = table_next(link)) {
        const struct metadata_name *name = container_of(link, struct metadata_name, link);
        const struct metadata_request_topic *other = &answer->asked.topics[name - answer->names];
        if (view_equal(topic->name, other->name) &&
            uuid_equal(&topic->topic_id, &other->topic_id)) {
            return true;
        }
    }
    return false;
}

/* Each topic is answered once, however often it was named. */
static bool answer_note(struct metadata_answer *answer, uint32_t *cost)
{
    const struct metadata_request_topic *topic = &answer->asked.topics[answer->at];
    struct metadata_name *name = &answer->names[answer->at++];
    struct table *table = &answer->by_name;
    int32_t bytes = view_is_null(topic->name) ? 0 : topic->name.bytes;
    uint32_t number = table_hash(table, &topic->topic_id, sizeof topic->topic_id, 0);
    uint32_t hash = table_hash(table, topic->name.data, (size_t)bytes, number);
    answer->by_id |= !uuid_is_zero(&topic->topic_id);
    /* versions 10 and 11 answer with topic ids, but cannot be asked by them */
    answer->is_refused |= answer->request->version < 12 &&
                          (view_is_null(topic->name) || !uuid_is_zero(&topic->topic_id));
    *cost += TOPIC_COST / 4 + (uint32_t)bytes / NAME_BYTES_PER_COST;
    name->repeats = is_known(answer, hash, topic);
    return name->repeats || table_add(table, &name->link, hash);
}

static bool answer_begin_rows(struct metadata_answer *answer, enum metadata_state state,
                              uint32_t count)
{
    answer->state = state;
    answer->at = 0;
    answer->response.topics =
        arena_take(&answer->request->arena, (size_t)count * sizeof *answer->response.topics);
    return answer->response.topics != NULL;
}

static bool answer_note_next(struct metadata_answer *answer, uint32_t *cost)
{
    uint32_t count = (uint32_t)answer->asked.topics_count;
    if ((uint32_t)answer->at < count) {
        return answer_note(answer, cost);
    }
    return answer_begin_rows(answer, answer->is_refused ? METADATA_REFUSES : METADATA_FINDS, count);
}

static void answer_refuse_next(struct metadata_answer *answer, uint32_t *cost)
{
    if (answer->at == answer->asked.topics_count) {
        answer->state = METADATA_DONE;
        return;
    }
    const struct metadata_request_topic *topic = &answer->asked.topics[answer->at++];
    struct metadata_response_topic *row = add_row(answer);
    row->name = view_is_null(topic->name) ? view_of_text("") : topic->name;
    row->topic_id = topic->topic_id;
    row->error_code = KAFKA_INVALID_REQUEST;
    *cost += TOPIC_COST / 4;
}

/* -- all topics ------------------------------------------------------------------------------------- */

static bool answer_list(struct metadata_answer *answer, const struct topic *topic)
{
    struct metadata_listed *last = answer->listed;
    if (!last || last->count == LISTED_MAX) {
        struct metadata_listed *more = arena_take(&answer->request->arena, sizeof *more);
        if (!more) {
            return false;
        }
        more->next = NULL;
        more->count = 0;
        *(last ? &last->next : &answer->listed_first) = more;
        answer->listed = last = more;
    }
    last->ids[last->count++] = topic->id;
    memcpy(answer->listed_name, topic->name, strlen(topic->name) + 1);
    answer->at++;
    return true;
}

static bool answer_list_next(struct metadata_answer *answer, uint32_t *cost)
{
    const struct image *image = answer->request->shard->image;
    const struct topic *topic = image_topic_after(image, answer->listed_name);
    *cost += TOPIC_COST;
    if (topic) {
        return answer_list(answer, topic);
    }
    answer->listed = answer->listed_first;
    return answer_begin_rows(answer, METADATA_FINDS, (uint32_t)answer->at);
}

/* -- rows ------------------------------------------------------------------------------------------- */

static bool add_topic(struct metadata_answer *answer, const struct topic *topic)
{
    struct arena *arena = &answer->request->arena;
    struct metadata_response_topic *row = add_row(answer);
    int32_t bytes = (int32_t)strlen(topic->name);
    char *name = arena_take(arena, (size_t)bytes);
    row->partitions = arena_take(arena, topic->partitions_count * sizeof *row->partitions);
    if (!name || !row->partitions) {
        return false;
    }
    memcpy(name, topic->name, (size_t)bytes);
    row->name = view_of(name, bytes);
    row->topic_id = topic->id;
    row->is_internal = topic->internal;
    row->partitions_count = (int32_t)topic->partitions_count;
    if (answer->asked.include_topic_authorized_operations) {
        row->topic_authorized_operations = TOPIC_OPERATIONS;
    }
    answer->at_partition = 0;
    answer->state = METADATA_FILLS;
    return true;
}

static void add_unknown_id(struct metadata_answer *answer, const struct uuid *id)
{
    struct metadata_response_topic *row = add_row(answer);
    row->name = VIEW_NULL;
    row->topic_id = *id;
    row->error_code = KAFKA_UNKNOWN_TOPIC_ID;
}

/* The next one that was asked for. It is stepped over when its row is whole. */
static bool answer_find_asked(struct metadata_answer *answer)
{
    const struct image *image = answer->request->shard->image;
    const struct metadata_request_topic *topic = &answer->asked.topics[answer->at];
    bool is_left_out =
        answer->names[answer->at].repeats || (answer->by_id && uuid_is_zero(&topic->topic_id));
    const struct topic *found = is_left_out     ? NULL
                                : answer->by_id ? image_topic_by_id(image, &topic->topic_id)
                                                : image_topic_by_name(image, topic->name);
    if (found) {
        return add_topic(answer, found);
    }
    if (!is_left_out && answer->by_id) {
        add_unknown_id(answer, &topic->topic_id);
    } else if (!is_left_out) {
        add_unknown(answer, topic->name);
    }
    answer->at++;
    return true;
}

/* The next one of all. One that has gone is left out. */
static bool answer_find_listed(struct metadata_answer *answer)
{
    if (answer->at == LISTED_MAX) {
        answer->listed = answer->listed->next;
        answer->at = 0;
    }
    const struct uuid *id = &answer->listed->ids[answer->at];
    const struct topic *found = image_topic_by_id(answer->request->shard->image, id);
    if (found) {
        return add_topic(answer, found);
    }
    answer->at++;
    return true;
}

static bool answer_find_next(struct metadata_answer *answer, uint32_t *cost)
{
    *cost += TOPIC_COST;
    if (answer_is_of_all(answer)) {
        const struct metadata_listed *listed = answer->listed;
        if (!listed || ((uint32_t)answer->at == listed->count && !listed->next)) {
            answer->state = METADATA_DONE;
            return true;
        }
        return answer_find_listed(answer);
    }
    if (answer->at == answer->asked.topics_count) {
        answer->state = METADATA_DONE;
        return true;
    }
    return answer_find_asked(answer);
}

/* The partitions of the last row, as many as the step has time for. */
static void answer_fill(struct metadata_answer *answer, uint32_t *cost)
{
    struct metadata_response_topic *row =
        &answer->response.topics[answer->response.topics_count - 1];
    const struct topic *topic = image_topic_by_id(answer->request->shard->image, &row->topic_id);
    if (!topic) { /* it has gone since its row was begun */
        answer->response.topics_count--;
        answer->state = METADATA_FINDS;
        return;
    }
    assert(topic->partitions_count >= (uint32_t)row->partitions_count);
    for (; answer->at_partition < row->partitions_count && *cost < STEP_COST_MAX;
         *cost += PARTITION_COST) {
        int32_t i = answer->at_partition++;
        row->partitions[i] =
            (struct metadata_response_partition){.partition_index = i,
                                                 .leader_id = answer->node_id,
                                                 .leader_epoch = topic->partitions[i].leader_epoch,
                                                 .replica_nodes = &answer->node_id,
                                                 .replica_nodes_count = 1,
                                                 .isr_nodes = &answer->node_id,
                                                 .isr_nodes_count = 1};
    }
    if (answer->at_partition == row->partitions_count) {
        answer->at++;
        answer->state = METADATA_FINDS;
    }
}

/* -- in steps --------------------------------------------------------------------------------------- */

/* Of the long answers one is made at a time. */
static void metadata_yield(struct metadata_answer *answer)
{
    struct shard *shard = answer->request->shard;
    if (!shard->describing) {
        shard->describing = answer;
    }
    if (shard->describing == answer) {
        reactor_ready(shard->reactor, &answer->step, metadata_step);
    } else {
        op_queue_push(&shard->descriptions, &answer->step);
    }
}

/* This answer is made: if it was the long one, the next of those may be. */
static void metadata_end(struct metadata_answer *answer)
{
    struct shard *shard = answer->request->shard;
    if (shard->describing != answer) {
        return;
    }
    struct op *op = op_queue_pop(&shard->descriptions);
    shard->describing = op ? container_of(op, struct metadata_answer, step) : NULL;
    if (op) {
        reactor_ready(shard->reactor, op, metadata_step);
    }
}

static void metadata_step(struct op *op)
{
    struct metadata_answer *answer = container_of(op, struct metadata_answer, step);
    struct request *request = answer->request;
    bool good = true;
    for (uint32_t cost = 0; good && cost < STEP_COST_MAX && answer->state != METADATA_DONE;) {
        switch (answer->state) {
        case METADATA_NOTES:
            good = answer_note_next(answer, &cost);
            break;
        case METADATA_LISTS:
            good = answer_list_next(answer, &cost);
            break;
        case METADATA_FINDS:
            good = answer_find_next(answer, &cost);
            break;
        case METADATA_FILLS:
            answer_fill(answer, &cost);
            break;
        case METADATA_REFUSES:
            answer_refuse_next(answer, &cost);
            break;
        case METADATA_DONE:
            break;
        }
    }
    if (!good || request->connection->closing) {
        request_close(request, "memory");
        metadata_end(answer);
    } else if (answer->state == METADATA_DONE) {
        request_encode(request, metadata_response_encode_slice, &answer->response,
                       metadata_encoded);
    } else {
        metadata_yield(answer);
    }
}

static void metadata_encoded(struct request *request)
{
    request_reply(request);
    metadata_end(request->state);
}

/* -- its beginning ---------------------------------------------------------------------------------- */

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

static void metadata_init(struct metadata_answer *answer)
{
    const struct broker_settings *settings = answer->request->shard->settings;
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
}

static void metadata_decoded(struct request *request)
{
    struct metadata_answer *answer = request->state;
    metadata_init(answer);
    request_may_take_more(request);
    if (answer_is_of_all(answer)) {
        answer->state = METADATA_LISTS;
    } else {
        answer->names =
            arena_take(&request->arena, (size_t)answer->asked.topics_count * sizeof *answer->names);
        table_init(&answer->by_name, &request->arena,
                   (uint32_t)reactor_random(request->shard->reactor));
        if (!answer->names) {
            request_close(request, "memory");
            return;
        }
    }
    metadata_step(&answer->step);
}
