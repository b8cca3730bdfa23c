#include "tests/sim/consumer.h"

enum { FOREVER_MS = 3600 * 1000, MOMENT_MS = 300 };

static struct consumer *consumer_of(struct client *client)
{
    return container_of(client, struct consumer, client);
}

/* -- its topics -------------------------------------------------------------------------------- */

static void consumer_found(struct client *client, struct book_topic *topic)
{
    struct consumer *consumer = consumer_of(client);
    struct world *world = consumer->client.world;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < consumer->parts_count; i++) {
        struct book_topic *other = consumer->parts[i].reader.line->topic;
        if (other == topic) {
            return;
        }
        if (strcmp(other->name, topic->name) != 0) {
            consumer->parts[kept++] = consumer->parts[i];
        }
    }
    consumer->parts_count = kept;
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        struct consumer_part *part = &consumer->parts[consumer->parts_count++];
        part->told_offset = -1;
        part->bytes_max = 1 << sim_below(&world->dice, 21);
        book_read_start(&part->reader, &world->book, &topic->lines[i], true);
    }
}

static void consumer_informed(struct client *client, bool all)
{
    struct consumer *consumer = consumer_of(client);
    consumer->asks = !all;
    consumer->waits = false;
    consumer->session_epoch = 0; /* a new one: the topics may be others */
}

/* -- fetching ---------------------------------------------------------------------------------- */

static void consumer_fetched(struct dialogue *dialogue, struct cursor *body, int16_t version);

/* A session is told only what it does not know. Partitions of one topic stand together. */
static void fetch_encode(struct consumer *consumer, struct fetch_request *fetch)
{
    struct fetch_request_topic topics[CONSUMER_READERS_MAX];
    struct fetch_request_partition partitions[CONSUMER_READERS_MAX];
    const struct book_topic *last = NULL;
    bool full = fetch->session_epoch <= 0;
    uint32_t count = 0;
    fetch->topics = topics;
    for (uint32_t i = 0; i < consumer->parts_count; i++) {
        struct consumer_part *part = &consumer->parts[i];
        const struct book_line *line = part->reader.line;
        if (!full && part->told_offset == part->reader.offset) {
            continue;
        }
        if (line->topic != last) {
            last = line->topic;
            struct fetch_request_topic *topic = &topics[fetch->topics_count++];
            fetch_request_topic_init(topic);
            topic->topic = view_of_text(last->name);
            topic->topic_id = last->id;
            topic->partitions = &partitions[count];
        }
        fetch_request_partition_init(&partitions[count]);
        partitions[count].partition = line->index;
        partitions[count].fetch_offset = part->told_offset = part->reader.offset;
        partitions[count++].partition_max_bytes = part->bytes_max;
        topics[fetch->topics_count - 1].partitions_count++;
    }
    fetch_request_encode(fetch, client_ask(&consumer->client, FETCH_KEY, consumer->version),
                         consumer->version);
}

static void consumer_fetch(struct consumer *consumer)
{
    struct client *client = &consumer->client;
    struct sim_random *dice = client_dice(client);
    struct fetch_request fetch;
    bool forever = sim_chance(dice, 60);
    fetch_request_init(&fetch);
    fetch.max_wait_ms = forever ? FOREVER_MS : (int32_t)sim_below(dice, MOMENT_MS);
    fetch.min_bytes = forever ? 1 : 1 << sim_below(dice, 16);
    fetch.max_bytes = 1 << sim_below(dice, 23);
    /* A session is by names or by ids for as long as it lasts. */
    if (consumer->session_epoch <= 0) {
        int16_t least = consumer->uses_session ? 7 : 4;
        least = least > client->world->book.fetch_version_min
                    ? least
                    : client->world->book.fetch_version_min;
        consumer->version = consumer->lasting_only ? (int16_t)sim_between(dice, (uint64_t)least, 18)
                                                   : (int16_t)sim_between(dice, 13, 18);
    }
    fetch.session_id = consumer->uses_session ? consumer->session_id : 0;
    fetch.session_epoch = consumer->uses_session ? consumer->session_epoch : -1;
    fetch_encode(consumer, &fetch);
    consumer->waits = true;
    client_asked(client, consumer_fetched, (uint64_t)fetch.max_wait_ms * 1000);
}

static struct consumer_part *part_of(struct consumer *consumer,
                                     const struct fetch_response_topic *topic, int32_t index,
                                     int16_t version)
{
    for (uint32_t i = 0; i < consumer->parts_count; i++) {
        const struct book_line *line = consumer->parts[i].reader.line;
        if (line->index == index &&
            (version >= 13 ? uuid_equal(&topic->topic_id, &line->topic->id)
                           : view_equal_text(topic->topic, line->topic->name))) {
            return &consumer->parts[i];
        }
    }
    return NULL;
}

static void part_fetched(struct consumer *consumer, struct consumer_part *part,
                         const struct fetch_response_partition *found)
{
    struct client *client = &consumer->client;
    const struct book_topic *topic = part->reader.line->topic;
    int16_t error = found->error_code;
    int64_t offset = part->reader.offset;
    if ((error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION || error == KAFKA_UNKNOWN_TOPIC_ID) &&
        topic->state != BOOK_LIVE) {
        consumer->asks = true;
        return;
    }
    if (error != KAFKA_NONE && world_forgives(client->world, MAY_REFUSE_READS, error)) {
        return;
    }
    if (error != KAFKA_NONE) {
        client_fail(client, "%s-%d at %ld: error %d", topic->name, part->reader.line->index,
                    (long)offset, error);
        return;
    }
    const char *wrong = found->records.bytes > 0 ? book_read(&part->reader, found->records.data,
                                                             (size_t)found->records.bytes)
                                                 : NULL;
    if (!wrong && part->reader.offset > found->high_watermark) {
        wrong = "it was read past the high watermark";
    }
    if (!wrong && found->records.bytes > 0 && part->reader.offset == offset) {
        wrong = "there are records, and no whole batch";
    }
    if (wrong) {
        client_fail(client, "%s-%d, read from %ld on to %ld of %ld: %s", topic->name,
                    part->reader.line->index, (long)offset, (long)part->reader.offset,
                    (long)found->high_watermark, wrong);
    }
    client->world->counts[1] += found->records.bytes > 0;
}

/* Errors of the request as a whole. False: it is over with this answer. */
static bool session_goes_on(struct consumer *consumer, const struct fetch_response *response)
{
    int16_t error = response->error_code;
    if (error == KAFKA_FETCH_SESSION_ID_NOT_FOUND || error == KAFKA_INVALID_FETCH_SESSION_EPOCH ||
        error == KAFKA_FETCH_SESSION_TOPIC_ID_ERROR) {
        consumer->session_epoch = 0;
        consumer->session_id = 0;
        return false;
    }
    if (error != KAFKA_NONE) {
        client_fail(&consumer->client, "Fetch: error %d", error);
        return false;
    }
    if (consumer->uses_session && response->session_id != 0) {
        consumer->session_id = response->session_id;
        consumer->session_epoch++;
    } else {
        consumer->session_id = consumer->session_epoch = 0;
    }
    return true;
}

static void consumer_fetched(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct client *client = client_of(dialogue);
    struct consumer *consumer = consumer_of(client);
    struct fetch_response response;
    if (!CLIENT_DECODE(client, fetch, &response, body, version)) {
        return;
    }
    consumer->waits = false;
    if (session_goes_on(consumer, &response)) {
        for (int32_t i = 0; i < response.responses_count; i++) {
            const struct fetch_response_topic *topic = &response.responses[i];
            for (int32_t j = 0; j < topic->partitions_count; j++) {
                struct consumer_part *part =
                    part_of(consumer, topic, topic->partitions[j].partition_index, version);
                if (!part) {
                    client_fail(client, "an answer about what was not asked for");
                    return;
                }
                part_fetched(consumer, part, &topic->partitions[j]);
            }
        }
    }
    client_pause(client);
}

/* -- its life ---------------------------------------------------------------------------------- */

static void consumer_work(struct client *client)
{
    struct consumer *consumer = consumer_of(client);
    if (consumer->waits) {
        return;
    }
    if (consumer->asks) {
        consumer->waits = true;
        client_ask_topics(client, consumer->names, consumer->names_count);
    } else {
        consumer_fetch(consumer);
    }
}

static void consumer_broken(struct client *client)
{
    struct consumer *consumer = consumer_of(client);
    consumer->waits = false;
    consumer->session_epoch = 0; /* the old one is named, and so ended, if the dice say so */
    if (sim_chance(client_dice(client), 50)) {
        consumer->session_id = 0;
    }
}

static const struct role consumer_role = {
    .name = "consumer",
    .work = consumer_work,
    .broken = consumer_broken,
    .found = consumer_found,
    .informed = consumer_informed,
};

void consumer_init(struct consumer *consumer, struct world *world)
{
    *consumer = (struct consumer){.asks = true, .lasting_only = true};
    client_init(&consumer->client, world, &consumer_role);
    consumer->uses_session = sim_chance(&world->dice, 60);
    for (uint32_t i = 0; i < world->names_count; i++) {
        if (sim_chance(&world->dice, 70)) {
            consumer->names[consumer->names_count++] = i;
            consumer->lasting_only = consumer->lasting_only && i < world->names_lasting;
        }
    }
    consumer->names_count += consumer->names_count == 0;
    consumer->lasting_only = consumer->lasting_only && world->names_lasting > 0;
}

void consumer_start(struct consumer *consumer)
{
    client_pause(&consumer->client);
}

bool consumer_is_done(const struct consumer *consumer)
{
    const struct world *world = consumer->client.world;
    for (uint32_t i = 0; i < consumer->names_count; i++) {
        const struct book_topic *topic =
            book_topic_by_name(&world->book, world->names[consumer->names[i]]);
        uint32_t caught_up = 0;
        for (uint32_t j = 0; j < consumer->parts_count; j++) {
            const struct book_reader *reader = &consumer->parts[j].reader;
            caught_up += reader->line->topic == topic && reader->offset >= reader->line->told_end;
        }
        if (topic && caught_up < topic->partitions_count) {
            return false;
        }
    }
    return true;
}
