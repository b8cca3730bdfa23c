#include "tests/sim/sender.h"

enum { BACK_OFF_US = 20 * 1000 };

static struct sender *sender_of(struct client *client)
{
    return container_of(client, struct sender, client);
}

static bool is_idempotent(const struct sender *sender)
{
    return sender->client.world->book.kinds[sender->writer] == BOOK_IDEMPOTENT;
}

/* -- before the first batch -------------------------------------------------------------------- */

static void sender_identified(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct client *client = client_of(dialogue);
    struct sender *sender = sender_of(client);
    struct init_producer_id_response response;
    if (!CLIENT_DECODE(client, init_producer_id, &response, body, version)) {
        return;
    }
    if (response.error_code == KAFKA_NONE && response.producer_id >= 0) {
        sender->id = response.producer_id;
        sender->epoch = response.producer_epoch;
    } else if (!world_forgives(client->world, MAY_REFUSE_CHANGES, response.error_code)) {
        client_fail(client, "InitProducerId: error %d", response.error_code);
        return;
    }
    sender->waits = false;
    client_pause(client);
}

static void sender_identify(struct sender *sender)
{
    struct client *client = &sender->client;
    struct init_producer_id_request request;
    int16_t version = (int16_t)sim_between(client_dice(client), 0, 5);
    init_producer_id_request_init(&request);
    request.transactional_id = VIEW_NULL;
    request.transaction_timeout_ms = INT32_MAX;
    init_producer_id_request_encode(&request, client_ask(client, INIT_PRODUCER_ID_KEY, version),
                                    version);
    sender->waits = true;
    client_asked(client, sender_identified, 0);
}

/* Streams for the topic as it is now; those of one that is gone end. */
static void sender_found(struct client *client, struct book_topic *topic)
{
    struct sender *sender = sender_of(client);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sender->streams_count; i++) {
        struct book_topic *other = sender->streams[i].line->topic;
        if (other == topic) {
            return;
        }
        if (strcmp(other->name, topic->name) != 0) {
            sender->streams[kept++] = sender->streams[i];
        }
    }
    sender->streams_count = kept;
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        sender->streams[sender->streams_count++] = (struct sender_stream){.line = &topic->lines[i]};
    }
}

static void sender_informed(struct client *client, bool all)
{
    struct sender *sender = sender_of(client);
    sender->asks = !all;
    sender->waits = false;
}

/* -- batches ----------------------------------------------------------------------------------- */

static uint32_t batch_bytes_draw(struct world *world)
{
    bool large = sim_chance(&world->dice, world->large_percent);
    uint32_t bytes_max = large ? world->batch_bytes_max : 300;
    bytes_max = bytes_max < world->batch_bytes_max ? bytes_max : world->batch_bytes_max;
    return (uint32_t)sim_between(&world->dice, 1, bytes_max);
}

/* One after the other, if a batch may be refused and the next one taken: who cannot tell a repeat,
 * and who the log does not know yet, for it may begin with any sequence. */
static bool may_pipeline(const struct sender *sender, const struct sender_stream *stream)
{
    const struct world *world = sender->client.world;
    return !world->passing_trouble || (is_idempotent(sender) && stream->is_known);
}

static bool stream_is_ready(const struct sender *sender, const struct sender_stream *stream)
{
    return !stream->halted && client_now_us(&sender->client) >= stream->again_us &&
           (stream->on_way == 0 || may_pipeline(sender, stream)) &&
           (stream->on_way < stream->count || (sender->left > 0 && stream->count < SENDER_WINDOW));
}

/* The stream's next batch, in this connection's order. */
static uint32_t stream_next(struct sender *sender, struct sender_stream *stream)
{
    struct world *world = sender->client.world;
    struct book *book = &world->book;
    if (stream->on_way == stream->count) {
        struct book_producer header = {
            .writer = sender->writer,
            .id = is_idempotent(sender) ? sender->id : BATCH_NO_PRODUCER_ID,
            .epoch = is_idempotent(sender) ? sender->epoch : BATCH_NO_PRODUCER_EPOCH,
            .sequence = is_idempotent(sender) ? stream->next_sequence : BATCH_NO_SEQUENCE,
        };
        uint32_t id = book_send(book, stream->line, &header, batch_bytes_draw(world), &world->dice);
        stream->next_sequence += book->batches[id]->records;
        stream->window[stream->count++] = id;
        sender->left--;
        world->counts[0]++;
    }
    return stream->window[stream->on_way++];
}

static void parts_choose(struct sender *sender, struct sender_request *request)
{
    request->parts_count = 0;
    for (uint32_t i = 0; i < sender->streams_count; i++) {
        struct sender_stream *stream = &sender->streams[i];
        if (stream_is_ready(sender, stream) && sim_chance(client_dice(&sender->client), 60)) {
            uint32_t at = request->parts_count++;
            request->parts[at].line = stream->line;
            request->parts[at].batch = stream_next(sender, stream);
        }
    }
}

/* Partitions of one topic stand together. */
static void request_encode(struct sender *sender, const struct sender_request *request,
                           int16_t version)
{
    struct book *book = &sender->client.world->book;
    struct produce_request_topic topics[SENDER_STREAMS_MAX];
    struct produce_request_partition partitions[SENDER_STREAMS_MAX];
    struct produce_request produce;
    const struct book_topic *last = NULL;
    produce_request_init(&produce);
    produce.acks = sender->acks;
    produce.timeout_ms = 30000;
    produce.topic_data = topics;
    for (uint32_t i = 0; i < request->parts_count; i++) {
        struct book_line *line = request->parts[i].line;
        const struct book_batch *batch = book->batches[request->parts[i].batch];
        if (line->topic != last) {
            last = line->topic;
            struct produce_request_topic *topic = &topics[produce.topic_data_count++];
            produce_request_topic_init(topic);
            topic->name = view_of_text(last->name);
            topic->topic_id = last->id;
            topic->partition_data = &partitions[i];
        }
        produce_request_partition_init(&partitions[i]);
        partitions[i].index = line->index;
        partitions[i].records = codec_records(view_of(batch->bytes, (int32_t)batch->batch_bytes));
        topics[produce.topic_data_count - 1].partition_data_count++;
    }
    produce_request_encode(&produce, client_ask(&sender->client, PRODUCE_KEY, version), version);
}

static int16_t version_draw(struct sender *sender, const struct sender_request *request)
{
    const struct book *book = &sender->client.world->book;
    uint64_t least = 3;
    for (uint32_t i = 0; i < request->parts_count; i++) {
        least = book->batches[request->parts[i].batch]->codec == CODEC_ZSTD ? 7 : least;
    }
    return (int16_t)sim_between(client_dice(&sender->client), least, 13);
}

static void sender_produced(struct dialogue *dialogue, struct cursor *body, int16_t version);

static void sender_produce(struct sender *sender)
{
    struct client *client = &sender->client;
    uint32_t at = (sender->requests_first + sender->requests_count) % SENDER_WINDOW;
    struct sender_request *request = &sender->requests[at];
    /* By name, a batch for a topic that is deleted and made again could come to the new one. */
    bool by_name = true;
    for (uint32_t i = 0; i < sender->names_count; i++) {
        by_name = by_name && sender->names[i] < client->world->names_lasting;
    }
    parts_choose(sender, request);
    if (request->parts_count == 0) {
        return;
    }
    int16_t version = by_name ? version_draw(sender, request) : 13;
    request->by_id = version >= 13;
    request_encode(sender, request, version);
    if (sender->acks != 0) {
        sender->requests_count++;
        client_asked(client, sender_produced, 0);
        return;
    }
    client_asked(client, NULL, 0);
    for (uint32_t i = 0; i < sender->streams_count; i++) {
        sender->streams[i].count = sender->streams[i].on_way = 0;
    }
}

/* -- answers ----------------------------------------------------------------------------------- */

static struct sender_stream *stream_of(struct sender *sender, const struct book_line *line)
{
    for (uint32_t i = 0; i < sender->streams_count; i++) {
        if (sender->streams[i].line == line) {
            return &sender->streams[i];
        }
    }
    return NULL;
}

static void batch_accepted(struct sender *sender, struct sender_stream *stream, uint32_t batch,
                           int64_t base_offset)
{
    struct client *client = &sender->client;
    const char *wrong = book_tell(&client->world->book, batch, base_offset);
    uint32_t at = 0;
    /* One that was refused may be in the log: by an earlier attempt, whose connection was cut. */
    bool may_overtake = client->world->passing_trouble && is_idempotent(sender);
    while (may_overtake && at + 1 < stream->count && stream->window[at] != batch) {
        at++;
    }
    if (wrong || stream->on_way == 0 || stream->window[at] != batch ||
        (stream->halted && !may_overtake)) {
        client_fail(client, "%s-%d, batch %u: %s", stream->line->topic->name, stream->line->index,
                    batch, wrong ? wrong : "acknowledged before the one before it");
        return;
    }
    stream->is_known = true;
    stream->count--;
    stream->on_way--;
    memmove(stream->window + at, stream->window + at + 1,
            (stream->count - at) * sizeof *stream->window);
}

static void batch_refused(struct sender *sender, struct sender_stream *stream, uint32_t batch,
                          int16_t error)
{
    struct client *client = &sender->client;
    bool gone = error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION || error == KAFKA_UNKNOWN_TOPIC_ID;
    bool follows = error == KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER && stream->halted;
    if (gone && stream->line->topic->state != BOOK_LIVE) {
        sender->asks = true;
    } else if (!follows && !world_forgives(client->world, MAY_REFUSE_APPENDS, error)) {
        client_fail(client, "%s-%d, batch %u: error %d", stream->line->topic->name,
                    stream->line->index, batch, error);
    }
    stream->halted = true;
    stream->again_us = client_now_us(client) + BACK_OFF_US;
    stream->on_way--;
}

static void part_answered(struct sender *sender, const struct sender_request *request, uint32_t i,
                          const struct produce_response *response)
{
    const struct book_line *line = request->parts[i].line;
    struct sender_stream *stream = stream_of(sender, line);
    for (int32_t j = 0; j < response->responses_count; j++) {
        const struct produce_response_topic *topic = &response->responses[j];
        if (request->by_id ? !uuid_equal(&topic->topic_id, &line->topic->id)
                           : !view_equal_text(topic->name, line->topic->name)) {
            continue;
        }
        for (int32_t k = 0; k < topic->partition_responses_count; k++) {
            const struct produce_response_partition *part = &topic->partition_responses[k];
            if (part->index != line->index || !stream) {
                continue;
            }
            if (part->error_code == KAFKA_NONE) {
                batch_accepted(sender, stream, request->parts[i].batch, part->base_offset);
            } else {
                batch_refused(sender, stream, request->parts[i].batch, part->error_code);
            }
            return;
        }
    }
    client_fail(&sender->client, "an answer to a produce misses %s-%d", line->topic->name,
                line->index);
}

static void sender_produced(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct client *client = client_of(dialogue);
    struct sender *sender = sender_of(client);
    const struct sender_request *request = &sender->requests[sender->requests_first];
    struct produce_response response;
    if (!CLIENT_DECODE(client, produce, &response, body, version)) {
        return;
    }
    for (uint32_t i = 0; i < request->parts_count && !client->world->proof->failed; i++) {
        part_answered(sender, request, i, &response);
    }
    sender->requests_first = (sender->requests_first + 1) % SENDER_WINDOW;
    sender->requests_count--;
    for (uint32_t i = 0; i < sender->streams_count; i++) {
        if (sender->streams[i].on_way == 0) {
            sender->streams[i].halted = false;
        }
    }
    client_pause(client);
}

/* -- its life ---------------------------------------------------------------------------------- */

static void sender_work(struct client *client)
{
    struct sender *sender = sender_of(client);
    if (sender->waits) {
        return;
    }
    if (is_idempotent(sender) && sender->id < 0) {
        sender_identify(sender);
    } else if (sender->asks) {
        if (sender->requests_count == 0) {
            sender->waits = true;
            client_ask_topics(client, sender->names, sender->names_count);
        }
    } else {
        if (sender->requests_count < SENDER_WINDOW) {
            sender_produce(sender);
        }
        if (!sender_is_done(sender)) {
            client_pause(client);
        }
    }
}

static void sender_broken(struct client *client)
{
    struct sender *sender = sender_of(client);
    sender->requests_first = sender->requests_count = 0;
    sender->waits = false;
    for (uint32_t i = 0; i < sender->streams_count; i++) {
        sender->streams[i].on_way = 0;
        sender->streams[i].halted = false;
    }
}

static const struct role sender_role = {
    .name = "sender",
    .work = sender_work,
    .broken = sender_broken,
    .found = sender_found,
    .informed = sender_informed,
};

void sender_init(struct sender *sender, struct world *world, uint32_t writer)
{
    *sender = (struct sender){.writer = writer, .id = BATCH_NO_PRODUCER_ID, .asks = true};
    client_init(&sender->client, world, &sender_role);
    enum book_kind kind = sim_chance(&world->dice, 60)   ? BOOK_IDEMPOTENT
                          : sim_chance(&world->dice, 70) ? BOOK_PLAIN
                                                         : BOOK_FORGETFUL;
    world->book.kinds[writer] = kind;
    sender->acks = kind == BOOK_FORGETFUL                               ? 0
                   : kind == BOOK_PLAIN && sim_chance(&world->dice, 50) ? 1
                                                                        : -1;
    for (uint32_t i = 0; i < world->names_count; i++) {
        if (sim_chance(&world->dice, 60)) {
            sender->names[sender->names_count++] = i;
        }
    }
    sender->names_count += sender->names_count == 0;
}

void sender_start(struct sender *sender, uint32_t batches)
{
    sender->left = batches;
    for (uint32_t i = 0; i < sender->streams_count; i++) {
        sender->streams[i].is_known = false; /* it may have expired since */
    }
    client_pause(&sender->client);
}

bool sender_is_done(const struct sender *sender)
{
    uint32_t open = sender->left + sender->requests_count;
    for (uint32_t i = 0; i < sender->streams_count; i++) {
        open += sender->streams[i].count;
    }
    return open == 0;
}
