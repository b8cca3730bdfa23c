/*
 * delete_topics -- topics are named by name or id; answered when no core serves them any more.
 *
 * Kafka shuffles its answers on purpose; these come in the order of the request, refusals first.
 */
#include "net/api.h"
#include "shard/control.h"
#include "shard/request.h"

#include <stdlib.h>

struct deletion { /* in the request's arena */
    struct request *request;
    struct delete_topics_request asked;
    struct control_delete delete;
    struct control_deletion *topics;
    int32_t *rows; /* of the response, for each of topics */
    struct delete_topics_response response;
};

struct named {        /* one thing that the request names */
    struct view name; /* null: by id */
    struct uuid id;
};

static void delete_topics_done(struct op *op);

static struct delete_topics_response_topic *add_row(struct deletion *deletion, struct view name,
                                                    const struct uuid *id, enum kafka_error error,
                                                    const char *message)
{
    struct delete_topics_response_topic *row =
        &deletion->response.responses[deletion->response.responses_count++];
    delete_topics_response_topic_init(row);
    row->name = name;
    row->topic_id = *id;
    row->error_code = (int16_t)error;
    row->error_message = view_of_text(message);
    return row;
}

static int named_order(const void *one, const void *other)
{
    const struct named *a = one, *b = other;
    int32_t shorter = a->name.bytes < b->name.bytes ? a->name.bytes : b->name.bytes;
    int order = shorter > 0 ? memcmp(a->name.data, b->name.data, (size_t)shorter) : 0;
    order = order ? order : (a->name.bytes > b->name.bytes) - (a->name.bytes < b->name.bytes);
    return order ? order : memcmp(a->id.bytes, b->id.bytes, sizeof a->id.bytes);
}

static bool is_to_be_deleted(const struct deletion *deletion, const struct uuid *id)
{
    for (uint32_t i = deletion->delete.topics_count; i > 0; i--) {
        if (uuid_equal(&deletion->topics[i - 1].id, id)) {
            return true;
        }
    }
    return false;
}

static void topic_accept(struct deletion *deletion, const struct topic *topic)
{
    size_t bytes = strlen(topic->name);
    char *name = arena_take(&deletion->request->arena, bytes); /* the image's goes with the topic */
    if (!name) {
        add_row(deletion, view_of_text(""), &topic->id, KAFKA_UNKNOWN_SERVER_ERROR, "memory");
        return;
    }
    memcpy(name, topic->name, bytes);
    uint32_t to = deletion->delete.topics_count++;
    deletion->rows[to] = deletion->response.responses_count;
    deletion->topics[to] = (struct control_deletion){.id = topic->id};
    add_row(deletion, view_of(name, (int32_t)bytes), &topic->id, KAFKA_NONE, NULL);
}

static void name_resolve(struct deletion *deletion, const struct named *named)
{
    static const struct uuid zero = {{0}};
    const struct image *image = deletion->request->shard->image;
    bool by_id = view_is_null(named->name);
    const struct topic *topic =
        by_id ? image_topic_by_id(image, &named->id) : image_topic_by_name(image, named->name);
    if (!topic) {
        add_row(deletion, named->name, by_id ? &named->id : &zero,
                by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
                by_id ? "This server does not host this topic ID."
                      : "This server does not host this topic-partition.");
    } else if (!by_id && deletion->asked.topics_count > 1 &&
               is_to_be_deleted(deletion, &topic->id)) {
        add_row(deletion, named->name, &topic->id, KAFKA_INVALID_REQUEST,
                "The provided topic name maps to an ID that was already supplied.");
    } else {
        topic_accept(deletion, topic);
    }
}

/* In order of names, ids (whose name is null) first; whatever comes twice is refused once. */
static void names_resolve(struct deletion *deletion, struct named *names, int32_t count)
{
    static const struct uuid zero = {{0}};
    qsort(names, (size_t)count, sizeof *names, named_order);
    for (int32_t i = 0; i < count; i++) {
        bool repeats = false;
        while (i + 1 < count && named_order(&names[i], &names[i + 1]) == 0) {
            repeats = true;
            i++;
        }
        const struct named *named = &names[i];
        bool by_id = view_is_null(named->name);
        if (by_id && uuid_is_zero(&named->id)) {
            add_row(deletion, VIEW_NULL, &zero, KAFKA_INVALID_REQUEST,
                    "Neither topic name nor id were specified.");
        } else if (!by_id && !uuid_is_zero(&named->id)) {
            add_row(deletion, named->name, &named->id, KAFKA_INVALID_REQUEST,
                    "You may not specify both topic name and topic id.");
        } else if (repeats) {
            add_row(deletion, named->name, &named->id, KAFKA_INVALID_REQUEST,
                    by_id ? "Duplicate topic id." : "Duplicate topic name.");
        } else {
            name_resolve(deletion, named);
        }
    }
}

static void refuse_all(struct deletion *deletion, const struct named *names, int32_t count)
{
    bool old = deletion->request->version < 3;
    for (int32_t i = 0; i < count; i++) {
        add_row(deletion, names[i].name, &names[i].id,
                old ? KAFKA_INVALID_REQUEST : KAFKA_TOPIC_DELETION_DISABLED,
                "Topic deletion is disabled.");
    }
}

void delete_topics_start(struct request *request)
{
    struct arena *arena = &request->arena;
    struct deletion *deletion = arena_take(arena, sizeof *deletion);
    if (!deletion) {
        request_close(request, "memory");
        return;
    }
    *deletion = (struct deletion){.request = request};
    delete_topics_response_init(&deletion->response);
    struct delete_topics_request *asked = &deletion->asked;
    if (!delete_topics_request_decode(asked, &request->body, request->version, arena)) {
        request_close(request, "DeleteTopics cannot be read");
        return;
    }
    int32_t count = request->version >= 6 ? asked->topics_count : asked->topic_names_count;
    struct named *names = arena_take(arena, (size_t)count * sizeof *names);
    deletion->topics = arena_take(arena, (size_t)count * sizeof *deletion->topics);
    deletion->rows = arena_take(arena, (size_t)count * sizeof *deletion->rows);
    deletion->response.responses =
        arena_take(arena, (size_t)count * sizeof *deletion->response.responses);
    if (!names || !deletion->topics || !deletion->rows || !deletion->response.responses) {
        request_close(request, "memory");
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        names[i] = request->version >= 6 ? (struct named){.name = asked->topics[i].name,
                                                          .id = asked->topics[i].topic_id}
                                         : (struct named){.name = asked->topic_names[i]};
    }
    if (request->shard->settings->delete_topic_enable) {
        names_resolve(deletion, names, count);
    } else {
        refuse_all(deletion, names, count);
    }
    deletion->delete.topics = deletion->topics;
    control_delete_topics(request->shard, &deletion->delete, delete_topics_done);
}

static void delete_topics_done(struct op *op)
{
    struct deletion *deletion = container_of(op, struct deletion, delete.change.op);
    for (uint32_t i = 0; i < deletion->delete.topics_count; i++) {
        enum kafka_error error = deletion->topics[i].error;
        struct delete_topics_response_topic *row = &deletion->response.responses[deletion->rows[i]];
        row->error_code = (int16_t)error;
        if (error != KAFKA_NONE) {
            row->error_message = view_of_text(kafka_error_name(error));
        }
    }
    struct request *request = deletion->request;
    delete_topics_response_encode(&deletion->response, &request->reply.head, request->version);
    request_reply(request);
}
