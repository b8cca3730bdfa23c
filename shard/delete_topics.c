/*
 * delete_topics -- topics are named by name or id; answered when no core serves them any more.
 *
 * Kafka shuffles its answers on purpose; here what was named by id comes first, else they come in
 * the order of the request.
 */
#include "core/table.h"
#include "net/api.h"
#include "shard/control.h"
#include "shard/request.h"

enum { ROWS_PER_STEP_MAX = 64 };

enum deletion_state {
    DELETION_NOTES,   /* what is named, so that what comes twice is known */
    DELETION_IDS,     /* rows for what is named by id ... */
    DELETION_NAMES,   /* ... and for the others; what is refused here does not go to control */
    DELETION_REFUSES, /* instead of all: topics cannot be deleted */
    DELETION_ANSWERS, /* what control has made of it */
};

struct named { /* one thing that the request names */
    struct table_link by_name;
    struct view name; /* null: by id */
    struct uuid id;
    bool is_double;   /* it comes again */
    bool is_repeat;   /* it was there before */
    bool is_accepted; /* by id: to be deleted */
};

struct deletion { /* in the request's arena */
    struct request *request;
    struct delete_topics_request asked;
    struct control_delete delete;
    struct control_deletion *topics;
    int32_t *rows; /* of the response, for each of topics */
    struct delete_topics_response response;
    enum deletion_state state;
    struct named *names; /* [names_count] */
    int32_t names_count;
    struct table by_name;
    int32_t at; /* the next of names, or of topics */
    struct op step;
};

static void delete_topics_decoded(struct request *request);
static void deletion_step(struct op *op);
static void delete_topics_done(struct op *op);
static void deletion_reply(struct deletion *deletion);

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

static uint32_t named_hash(const struct deletion *deletion, const struct named *named)
{
    bool by_id = view_is_null(named->name);
    return by_id ? table_hash(&deletion->by_name, named->id.bytes, sizeof named->id.bytes, 1)
                 : table_hash(&deletion->by_name, named->name.data, (size_t)named->name.bytes, 0);
}

/* The first one that names the same. */
static struct named *named_find(const struct deletion *deletion, const struct named *named)
{
    bool by_id = view_is_null(named->name);
    for (struct table_link *link = table_first(&deletion->by_name, named_hash(deletion, named));
         link; link = table_next(link)) {
        struct named *other = container_of(link, struct named, by_name);
        if (view_is_null(other->name) == by_id &&
            (by_id ? uuid_equal(&other->id, &named->id) : view_equal(other->name, named->name))) {
            return other;
        }
    }
    return NULL;
}

/* False: out of memory. */
static bool named_note(struct deletion *deletion)
{
    const struct delete_topics_request *asked = &deletion->asked;
    struct named *named = &deletion->names[deletion->at];
    *named = deletion->request->version >= 6
                 ? (struct named){.name = asked->topics[deletion->at].name,
                                  .id = asked->topics[deletion->at].topic_id}
                 : (struct named){.name = asked->topic_names[deletion->at]};
    deletion->at++;
    if (view_is_null(named->name) == uuid_is_zero(&named->id)) {
        return true; /* by neither or by both: each one is refused */
    }
    struct named *first = named_find(deletion, named);
    named->is_repeat = first != NULL;
    if (first) {
        first->is_double = true;
        return true;
    }
    return table_add(&deletion->by_name, &named->by_name, named_hash(deletion, named));
}

static bool is_to_be_deleted(const struct deletion *deletion, const struct uuid *id)
{
    const struct named *named = named_find(deletion, &(struct named){.name = VIEW_NULL, .id = *id});
    return named && named->is_accepted;
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

static void name_resolve(struct deletion *deletion, struct named *named)
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
    } else if (!by_id && is_to_be_deleted(deletion, &topic->id)) {
        add_row(deletion, named->name, &topic->id, KAFKA_INVALID_REQUEST,
                "The provided topic name maps to an ID that was already supplied.");
    } else {
        named->is_accepted = true;
        topic_accept(deletion, topic);
    }
}

/* Whatever comes twice is refused once. */
static void named_answer(struct deletion *deletion, struct named *named)
{
    static const struct uuid zero = {{0}};
    bool by_id = view_is_null(named->name);
    if (by_id && uuid_is_zero(&named->id)) {
        add_row(deletion, VIEW_NULL, &zero, KAFKA_INVALID_REQUEST,
                "Neither topic name nor id were specified.");
    } else if (!by_id && !uuid_is_zero(&named->id)) {
        add_row(deletion, named->name, &named->id, KAFKA_INVALID_REQUEST,
                "You may not specify both topic name and topic id.");
    } else if (named->is_double) {
        add_row(deletion, named->name, &named->id, KAFKA_INVALID_REQUEST,
                by_id ? "Duplicate topic id." : "Duplicate topic name.");
    } else if (!named->is_repeat) {
        name_resolve(deletion, named);
    }
}

static void named_refuse(struct deletion *deletion, const struct named *named)
{
    bool is_old = deletion->request->version < 3;
    add_row(deletion, named->name, &named->id,
            is_old ? KAFKA_INVALID_REQUEST : KAFKA_TOPIC_DELETION_DISABLED,
            "Topic deletion is disabled.");
}

static bool deletion_init(struct deletion *deletion)
{
    struct request *request = deletion->request;
    struct arena *arena = &request->arena;
    deletion->names_count =
        request->version >= 6 ? deletion->asked.topics_count : deletion->asked.topic_names_count;
    size_t count = (size_t)deletion->names_count;
    deletion->names = arena_take(arena, count * sizeof *deletion->names);
    deletion->topics = arena_take(arena, count * sizeof *deletion->topics);
    deletion->rows = arena_take(arena, count * sizeof *deletion->rows);
    deletion->response.responses = arena_take(arena, count * sizeof *deletion->response.responses);
    table_init(&deletion->by_name, arena, (uint32_t)reactor_random(request->shard->reactor));
    return deletion->names && deletion->topics && deletion->rows && deletion->response.responses;
}

void delete_topics_start(struct request *request)
{
    struct deletion *deletion = arena_take(&request->arena, sizeof *deletion);
    if (!deletion) {
        request_close(request, "memory");
        return;
    }
    *deletion = (struct deletion){.request = request};
    delete_topics_response_init(&deletion->response);
    request->state = deletion;
    request_decode(request, delete_topics_request_decode_slice, &deletion->asked,
                   "DeleteTopics cannot be read", delete_topics_decoded);
}

static void delete_topics_decoded(struct request *request)
{
    struct deletion *deletion = request->state;
    if (deletion_init(deletion)) {
        deletion_step(&deletion->step);
    } else {
        request_close(request, "memory");
    }
}

/* -- after control ---------------------------------------------------------------------------------- */

static void delete_topics_done(struct op *op)
{
    struct deletion *deletion = container_of(op, struct deletion, delete.change.op);
    deletion->at = 0;
    deletion->state = DELETION_ANSWERS;
    deletion_step(&deletion->step);
}

static void topic_answer(struct deletion *deletion)
{
    enum kafka_error error = deletion->delete.change.failed ? KAFKA_KAFKA_STORAGE_ERROR
                                                            : deletion->topics[deletion->at].error;
    struct delete_topics_response_topic *row =
        &deletion->response.responses[deletion->rows[deletion->at++]];
    row->error_code = (int16_t)error;
    if (error != KAFKA_NONE) {
        row->error_message = view_of_text(kafka_error_name(error));
    }
}

static void deletion_reply(struct deletion *deletion)
{
    request_encode(deletion->request, delete_topics_response_encode_slice, &deletion->response,
                   request_reply);
}

/* -- all of it, in steps ---------------------------------------------------------------------------- */

static void deletion_send(struct deletion *deletion)
{
    deletion->delete.topics = deletion->topics;
    control_delete_topics(deletion->request->shard, &deletion->delete, delete_topics_done);
}

/* From one state to the next, at the end of the names. True: the deletion goes elsewhere. */
static bool deletion_turn(struct deletion *deletion)
{
    bool is_enabled = deletion->request->shard->settings->delete_topic_enable;
    deletion->at = 0;
    switch (deletion->state) {
    case DELETION_NOTES:
        deletion->state = is_enabled ? DELETION_IDS : DELETION_REFUSES;
        return false;
    case DELETION_IDS:
        deletion->state = DELETION_NAMES;
        return false;
    case DELETION_NAMES:
        deletion_send(deletion);
        return true;
    case DELETION_REFUSES:
    case DELETION_ANSWERS:
        deletion_reply(deletion);
        return true;
    }
    return true;
}

static void deletion_step(struct op *op)
{
    struct deletion *deletion = container_of(op, struct deletion, step);
    for (uint32_t n = 0; n < ROWS_PER_STEP_MAX; n++) {
        int32_t count = deletion->state == DELETION_ANSWERS ? (int32_t)deletion->delete.topics_count
                                                            : deletion->names_count;
        if (deletion->at == count) {
            if (deletion_turn(deletion)) {
                return;
            }
            continue;
        }
        struct named *named = &deletion->names[deletion->at];
        switch (deletion->state) {
        case DELETION_NOTES:
            if (!named_note(deletion)) {
                request_close(deletion->request, "memory");
                return;
            }
            break;
        case DELETION_IDS:
        case DELETION_NAMES:
            deletion->at++;
            if (view_is_null(named->name) == (deletion->state == DELETION_IDS)) {
                named_answer(deletion, named);
            }
            break;
        case DELETION_REFUSES:
            deletion->at++;
            named_refuse(deletion, named);
            break;
        case DELETION_ANSWERS:
            topic_answer(deletion);
            break;
        }
    }
    reactor_ready(deletion->request->shard->reactor, op, deletion_step);
}
