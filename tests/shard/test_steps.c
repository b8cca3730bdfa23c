/* Requests as long as a client likes take many turns of the reactor, each of them short. */
#include "tests/log/pack.h"
#include "tests/shard/broker_fixture.h"

enum { MANY = 5000 };

/* Sends what was begun; how many turns until its answer was there. */
static uint32_t turns_of(struct client *client)
{
    uint32_t turns = 0;
    client_send(client);
    client_forget(client);
    for (; turns < RIG_TURNS_MAX && !client_has_answer(client) && !client->ended; turns++) {
        rig_turn(client->rig);
    }
    cr_assert(!client->ended, "closed");
    return turns;
}

static struct fetch_response ask(struct client *client, struct fetch_request *request,
                                 uint32_t *turns)
{
    struct fetch_response response;
    fetch_request_encode(request, client_begin(client, API_FETCH, 12), 12);
    *turns = turns_of(client);
    struct cursor body = client_receive(client, API_FETCH, 12);
    cr_assert(fetch_response_decode(&response, &body, 12, &client->arena));
    cr_assert_eq(response.error_code, KAFKA_NONE);
    return response;
}

Test(steps, a_session_resolves_and_forgets_many_partitions_in_many_turns)
{
    struct rig *rig = rig_new(2, NULL);
    struct client client;
    uint32_t turns;
    client_open(&client, rig);
    static struct fetch_request_partition partitions[MANY];
    static int32_t forgotten[MANY];
    for (int32_t i = 0; i < MANY; i++) {
        fetch_request_partition_init(&partitions[i]);
        partitions[i].partition = i;
        forgotten[i] = i;
    }
    struct fetch_request_topic topic;
    fetch_request_topic_init(&topic);
    topic.topic = view_of_text("none");
    topic.partitions = partitions;
    topic.partitions_count = MANY;
    struct fetch_request request;
    fetch_request_init(&request);
    request.session_epoch = 0;
    request.topics = &topic;
    request.topics_count = 1;
    struct fetch_response response = ask(&client, &request, &turns);
    cr_assert_eq(response.responses[0].partitions_count, MANY);

    struct fetch_request_forgotten_topic forget = {
        .topic = view_of_text("none"), .partitions = forgotten, .partitions_count = MANY};
    request.session_id = response.session_id;
    request.session_epoch = 1;
    request.topics_count = 0;
    request.forgotten_topics_data = &forget;
    request.forgotten_topics_data_count = 1;
    response = ask(&client, &request, &turns);
    cr_assert_eq(response.responses_count, 0);
    cr_assert_gt(turns, 2 * MANY / 64, "%u", turns);

    client_create(&client, "known", MANY, NULL, 0); /* the same, of partitions that have owners */
    topic.topic = forget.topic = view_of_text("known");
    fetch_request_init(&request);
    request.session_epoch = 0;
    request.topics = &topic;
    request.topics_count = 1;
    response = ask(&client, &request, &turns);
    request.session_id = response.session_id;
    request.session_epoch = 1;
    request.topics_count = 0;
    request.forgotten_topics_data = &forget;
    request.forgotten_topics_data_count = 1;
    response = ask(&client, &request, &turns);
    cr_assert_eq(response.responses_count, 0);
    cr_assert_gt(turns, MANY / 64 + MANY / 64 / 2 + MANY / 256, "%u", turns);
    client_close(&client);
    rig_free(rig);
}

Test(steps, many_topics_are_created_and_deleted_in_many_turns)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    static char names[MANY][24];
    static struct create_topics_request_topic topics[MANY];
    static struct delete_topics_request_topic deletions[MANY];
    for (int32_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "a topic %d", i); /* no legal name */
        topics[i] = (struct create_topics_request_topic){
            .name = view_of_text(names[i]), .num_partitions = 1, .replication_factor = 1};
        deletions[i] = (struct delete_topics_request_topic){.name = view_of_text(names[i])};
    }
    struct create_topics_request create = {
        .topics = topics, .topics_count = MANY, .timeout_ms = 5000};
    create_topics_request_encode(&create, client_begin(&client, API_CREATE_TOPICS, 7), 7);
    uint32_t turns = turns_of(&client);
    (void)client_receive(&client, API_CREATE_TOPICS, 7);
    cr_assert_gt(turns, 2 * MANY / 64, "%u", turns);

    struct create_topics_request_topic legal = {
        .name = view_of_text("t"), .num_partitions = MANY, .replication_factor = 1};
    create.topics = &legal;
    create.topics_count = 1;
    create_topics_request_encode(&create, client_begin(&client, API_CREATE_TOPICS, 7), 7);
    turns = turns_of(&client);
    (void)client_receive(&client, API_CREATE_TOPICS, 7);
    cr_assert_gt(turns, MANY / 64, "%u", turns);

    struct delete_topics_request delete = {
        .topics = deletions, .topics_count = MANY, .timeout_ms = 5000};
    delete_topics_request_encode(&delete, client_begin(&client, API_DELETE_TOPICS, 6), 6);
    turns = turns_of(&client);
    (void)client_receive(&client, API_DELETE_TOPICS, 6);
    cr_assert_gt(turns, 3 * MANY / 64, "%u", turns);
    client_close(&client);
    rig_free(rig);
}

/* A Produce of the same batch to so many partitions; the turns until it was answered. */
static uint32_t produce_turns(struct client *client, const char *name, const uint8_t *batch,
                              size_t bytes, int32_t count)
{
    static struct produce_request_partition partitions[MANY];
    for (int32_t i = 0; i < count; i++) {
        partitions[i] = (struct produce_request_partition){
            .index = i, .records = {.data = batch, .bytes = (int32_t)bytes}};
    }
    struct produce_request_topic topic = {
        .name = view_of_text(name), .partition_data = partitions, .partition_data_count = count};
    struct produce_request request = {.transactional_id = VIEW_NULL,
                                      .acks = -1,
                                      .timeout_ms = 5000,
                                      .topic_data = &topic,
                                      .topic_data_count = 1};
    produce_request_encode(&request, client_begin(client, API_PRODUCE, 9), 9);
    uint32_t turns = turns_of(client);
    struct cursor body = client_receive(client, API_PRODUCE, 9);
    struct produce_response response;
    cr_assert(produce_response_decode(&response, &body, 9, &client->arena));
    for (int32_t i = 0; i < count; i++) {
        cr_assert_eq(response.responses[0].partition_responses[i].error_code, KAFKA_NONE);
    }
    return turns;
}

Test(steps, small_batches_that_inflate_far_take_many_turns)
{
    enum { PLAIN_BYTES = 2 << 20, TURN_BYTES = 64 << 10, PARTITIONS = 8 };
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    client_create(&client, "t", PARTITIONS, NULL, 0);
    uint8_t *plain = malloc(PLAIN_BYTES), *packed = malloc(PLAIN_BYTES);
    size_t plain_bytes =
        make_records(plain, PLAIN_BYTES, 500, 4096, reactor_wall_ms(&rig->fixture.reactors[0]));
    for (enum codec codec = CODEC_GZIP; codec < CODECS; codec++) {
        size_t bytes = pack(plain, plain_bytes, codec, packed, PLAIN_BYTES);
        cr_assert(bytes > 0 && bytes < plain_bytes / 10);
        uint32_t turns = produce_turns(&client, "t", packed, bytes, 1);
        cr_assert_gt(turns, plain_bytes / TURN_BYTES, "codec %d: %u", codec, turns);
        turns = produce_turns(&client, "t", packed, bytes, PARTITIONS);
        cr_assert_gt(turns, PARTITIONS * plain_bytes / TURN_BYTES, "codec %d: %u", codec, turns);
    }
    free(plain);
    free(packed);
    client_close(&client);
    rig_free(rig);
}

/* How many jobs a reactor was given. */
static struct backend counting;
static const struct backend *counted;
static uint32_t jobs_count;

static void count_job(struct reactor *reactor, struct job *job)
{
    jobs_count++;
    counted->job(reactor, job);
}

Test(steps, what_is_slow_to_compress_is_compressed_by_a_job)
{
    enum { PLAIN_BYTES = 1 << 20 };
    static const struct {
        const char *codec, *key, *level;
        bool is_slow;
    } ways[] = {{"zstd", "compression.zstd.level", "3", false},
                {"zstd", "compression.zstd.level", "5", true},
                {"lz4", "compression.lz4.level", "9", false},
                {"lz4", "compression.lz4.level", "17", true},
                {"gzip", "compression.gzip.level", "1", true},
                {"snappy", "compression.zstd.level", "5", false}};
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    struct reactor *reactor = &rig->fixture.reactors[0];
    counted = reactor->backend;
    counting = *counted;
    counting.job = count_job;
    uint8_t *plain = malloc(PLAIN_BYTES);
    size_t bytes = make_records(plain, PLAIN_BYTES, 240, 4096, reactor_wall_ms(reactor));
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%zu", i);
        struct create_topics_request_config config[2] = {
            {.name = view_of_text("compression.type"), .value = view_of_text(ways[i].codec)},
            {.name = view_of_text(ways[i].key), .value = view_of_text(ways[i].level)}};
        client_create(&client, name, 1, config, 2);
        produce_turns(&client, name, plain, bytes, 1); /* its directory is there */
        reactor->backend = &counting;
        jobs_count = 0;
        uint32_t turns = produce_turns(&client, name, plain, bytes, 1);
        cr_expect_gt(turns, bytes / (64 << 10), "%s: %u", ways[i].codec, turns);
        cr_expect_eq(jobs_count >= bytes / (64 << 10), ways[i].is_slow, "%s %s: %u jobs",
                     ways[i].codec, ways[i].level, jobs_count);
        reactor->backend = counted;
    }
    free(plain);
    client_close(&client);
    rig_free(rig);
}
