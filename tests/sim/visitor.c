#include "tests/sim/visitor.h"

static struct visitor *visitor_of(struct client *client)
{
    return container_of(client, struct visitor, client);
}

static void visitor_answered(struct visitor *visitor)
{
    visitor->waits = false;
    visitor->left -= visitor->left > 0;
    client_pause(&visitor->client);
}

/* -- topics ------------------------------------------------------------------------------------ */

static void visitor_created(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct client *client = client_of(dialogue);
    struct create_topics_response response;
    if (!CLIENT_DECODE(client, create_topics, &response, body, version)) {
        return;
    }
    for (int32_t i = 0; i < response.topics_count; i++) {
        const struct create_topics_response_topic *topic = &response.topics[i];
        if (topic->error_code == KAFKA_NONE && version >= 7) {
            book_topic(&client->world->book, topic->name, &topic->topic_id,
                       (uint32_t)topic->num_partitions);
        } else if (topic->error_code != KAFKA_NONE &&
                   topic->error_code != KAFKA_TOPIC_ALREADY_EXISTS &&
                   !world_forgives(client->world, MAY_REFUSE_CHANGES, topic->error_code)) {
            client_fail(client, "CreateTopics: error %d, %.*s", topic->error_code,
                        topic->error_message.bytes, (const char *)topic->error_message.data);
        }
    }
    visitor_answered(visitor_of(client));
}

static void visitor_create(struct visitor *visitor, uint32_t name)
{
    struct client *client = &visitor->client;
    struct create_topics_request_topic topic;
    struct create_topics_request request;
    int16_t version = (int16_t)sim_between(client_dice(client), CREATE_TOPICS_VERSION_MIN,
                                           CREATE_TOPICS_VERSION_MAX);
    create_topics_request_topic_init(&topic);
    topic.name = view_of_text(client->world->names[name]);
    topic.num_partitions = (int32_t)sim_between(client_dice(client), 1, BOOK_PARTITIONS_MAX);
    topic.replication_factor = 1;
    create_topics_request_init(&request);
    request.topics = &topic;
    request.topics_count = 1;
    create_topics_request_encode(&request, client_ask(client, CREATE_TOPICS_KEY, version), version);
    client_asked(client, visitor_created, 0);
}

static void visitor_deleted(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct client *client = client_of(dialogue);
    struct visitor *visitor = visitor_of(client);
    struct delete_topics_response response;
    if (!CLIENT_DECODE(client, delete_topics, &response, body, version)) {
        return;
    }
    int16_t error = response.responses_count == 1 ? response.responses[0].error_code : -1;
    if (error == KAFKA_NONE || error == KAFKA_UNKNOWN_TOPIC_ID) {
        visitor->topic->state = BOOK_DELETED;
    } else if (!world_forgives(client->world, MAY_REFUSE_CHANGES, error)) {
        client_fail(client, "DeleteTopics: error %d", error);
    }
    visitor_answered(visitor);
}

/* By its id: who knows which one a name is by now. */
static void visitor_delete(struct visitor *visitor, struct book_topic *topic)
{
    struct client *client = &visitor->client;
    struct delete_topics_request_topic named;
    struct delete_topics_request request;
    delete_topics_request_topic_init(&named);
    named.topic_id = topic->id;
    delete_topics_request_init(&request);
    request.topics = &named;
    request.topics_count = 1;
    request.timeout_ms = 30000;
    visitor->topic = topic;
    topic->state = BOOK_DELETING;
    delete_topics_request_encode(&request, client_ask(client, DELETE_TOPICS_KEY, 6), 6);
    client_asked(client, visitor_deleted, 0);
}

/* One that was asked for and not told, or a live one. */
static struct book_topic *topic_to_delete(struct visitor *visitor, uint32_t name)
{
    struct book *book = &visitor->client.world->book;
    for (uint32_t i = 0; i < book->topics_count; i++) {
        if (book->topics[i]->state == BOOK_DELETING) {
            return book->topics[i];
        }
    }
    return book_topic_by_name(book, visitor->client.world->names[name]);
}

static void visitor_change(struct visitor *visitor)
{
    struct world *world = visitor->client.world;
    uint32_t name = (uint32_t)sim_below(&world->dice, world->names_count);
    struct book_topic *topic = topic_to_delete(visitor, name);
    visitor->waits = true;
    if (topic && (topic->state == BOOK_DELETING ||
                  (name >= world->names_lasting && sim_chance(&world->dice, 50)))) {
        visitor_delete(visitor, topic);
    } else {
        visitor_create(visitor, name);
    }
}

/* -- questions --------------------------------------------------------------------------------- */

static void visitor_listed(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct client *client = client_of(dialogue);
    struct visitor *visitor = visitor_of(client);
    struct list_offsets_response response;
    if (!CLIENT_DECODE(client, list_offsets, &response, body, version)) {
        return;
    }
    if (response.topics_count != 1 || response.topics[0].partitions_count != 1) {
        client_fail(client, "ListOffsets: no answer about what was asked");
        return;
    }
    const struct list_offsets_response_partition *part = &response.topics[0].partitions[0];
    bool wrong = part->error_code != KAFKA_NONE &&
                 !world_forgives(client->world, MAY_REFUSE_READS, part->error_code);
    bool told = part->error_code == KAFKA_NONE;
    wrong = wrong || (told && visitor->timestamp == -1 && part->offset < visitor->told_end);
    wrong = wrong || (told && visitor->timestamp == -2 && part->offset != 0);
    if (wrong) {
        client_fail(client, "ListOffsets of %s-%d: error %d, %ld is at %ld; %ld are acknowledged",
                    visitor->topic->name, visitor->index, part->error_code,
                    (long)visitor->timestamp, (long)part->offset, (long)visitor->told_end);
        return;
    }
    visitor_answered(visitor);
}

static void visitor_list(struct visitor *visitor, struct book_topic *topic)
{
    static const int64_t ends[] = {-1, -1, -2, -3, 0, 1010, 1 << 20};
    struct client *client = &visitor->client;
    int64_t timestamp = ends[sim_below(client_dice(client), sizeof ends / sizeof ends[0])];
    int16_t version = (int16_t)sim_between(client_dice(client), timestamp == -3 ? 7 : 1,
                                           LIST_OFFSETS_VERSION_MAX);
    visitor->topic = topic;
    visitor->index = (int32_t)sim_below(client_dice(client), topic->partitions_count);
    visitor->told_end = topic->lines[visitor->index].told_end;
    visitor->timestamp = timestamp;
    list_offsets_write(client_ask(client, LIST_OFFSETS_KEY, version), topic, visitor->index,
                       timestamp, version);
    client_asked(client, visitor_listed, 0);
}

static void visitor_informed(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct client *client = client_of(dialogue);
    struct metadata_response response;
    if (!CLIENT_DECODE(client, metadata, &response, body, version)) {
        return;
    }
    if (response.brokers_count != 1) {
        client_fail(client, "Metadata: %d brokers", response.brokers_count);
        return;
    }
    visitor_answered(visitor_of(client));
}

static void visitor_ask_for_all(struct visitor *visitor)
{
    struct client *client = &visitor->client;
    struct metadata_request request;
    int16_t version =
        (int16_t)sim_between(client_dice(client), METADATA_VERSION_MIN, METADATA_VERSION_MAX);
    metadata_request_init(&request);
    request.topics_count = version == 0 ? 0 : -1;
    metadata_request_encode(&request, client_ask(client, METADATA_KEY, version), version);
    client_asked(client, visitor_informed, 0);
}

/* A question that is not finished: it goes without having got an answer. */
static void visitor_stammer(struct visitor *visitor)
{
    struct client *client = &visitor->client;
    uint8_t bytes[600] = {0, 0, 8, 0, 0, 3, 0, 9};
    sim_client_send(&client->dialogue.client, bytes,
                    1 + sim_below(client_dice(client), sizeof bytes - 1));
    visitor->left -= visitor->left > 0;
    client_pause(client);
}

static void visitor_ask(struct visitor *visitor)
{
    struct world *world = visitor->client.world;
    uint32_t name = (uint32_t)sim_below(&world->dice, world->names_count);
    struct book_topic *topic = book_topic_by_name(&world->book, world->names[name]);
    visitor->waits = true;
    if (topic && name < world->names_lasting && sim_chance(&world->dice, 60)) {
        visitor_list(visitor, topic);
    } else {
        visitor_ask_for_all(visitor);
    }
}

/* -- its life ---------------------------------------------------------------------------------- */

static void visitor_work(struct client *client)
{
    struct visitor *visitor = visitor_of(client);
    if (visitor->left == 0) {
        return;
    }
    if (visitor->deletes) {
        if (!visitor->waits) {
            visitor_change(visitor);
        }
    } else if (visitor->waits || sim_chance(client_dice(client), 10)) {
        client_hang_up(client); /* after half a question, or with one open */
    } else if (sim_chance(client_dice(client), 10)) {
        visitor->waits = true;
        visitor_stammer(visitor);
    } else {
        visitor_ask(visitor);
    }
}

static void visitor_broken(struct client *client)
{
    visitor_of(client)->waits = false;
}

static const struct role visitor_role = {
    .name = "visitor", .work = visitor_work, .broken = visitor_broken};

void visitor_init(struct visitor *visitor, struct world *world, bool deletes)
{
    *visitor = (struct visitor){.deletes = deletes};
    client_init(&visitor->client, world, &visitor_role);
}

void visitor_start(struct visitor *visitor, uint32_t questions)
{
    visitor->left = questions;
    client_pause(&visitor->client);
}

bool visitor_is_done(const struct visitor *visitor)
{
    return visitor->left == 0;
}
