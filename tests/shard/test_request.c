#include "shard/request.h"

#include "tests/shard/broker_fixture.h"

/* A header as bytes: key, version, correlation id, client id. */
static size_t make_header(uint8_t *to, int16_t key, int16_t version, const void *client_id,
                          int16_t bytes)
{
    big_endian_store16(to + 4, (uint16_t)key);
    big_endian_store16(to + 6, (uint16_t)version);
    big_endian_store32(to + 8, 77);
    big_endian_store16(to + 12, (uint16_t)bytes);
    if (bytes > 0) {
        memcpy(to + 14, client_id, (size_t)bytes);
    }
    return 14 + (bytes > 0 ? (size_t)bytes : 0);
}

static void send_frame(struct client *client, uint8_t *frame, size_t bytes)
{
    big_endian_store32(frame, (uint32_t)bytes - 4);
    client_write(client, frame, bytes);
}

static bool is_closed_at(struct rig *rig, int16_t key, int16_t version, const void *client_id,
                         int16_t client_id_bytes)
{
    struct client client;
    uint8_t frame[256];
    client_open(&client, rig);
    send_frame(&client, frame, make_header(frame, key, version, client_id, client_id_bytes));
    bool is_answered = false;
    for (uint32_t i = 0; i < RIG_TURNS_MAX && !client.ended && !is_answered; i++) {
        rig_turn(rig);
        is_answered = client_has_answer(&client);
    }
    client_close(&client);
    return !is_answered;
}

Test(request, closes_at_unknown_apis_and_versions)
{
    struct rig *rig = rig_new(1, NULL);
    cr_assert(is_closed_at(rig, 4, 0, "x", 1)); /* gone since 4.0 */
    cr_assert(is_closed_at(rig, 1000, 0, "x", 1));
    cr_assert(is_closed_at(rig, -1, 0, "x", 1));
    cr_assert(is_closed_at(rig, API_PRODUCE, 2, "x", 1)); /* told, but not spoken */
    cr_assert(is_closed_at(rig, API_PRODUCE, PRODUCE_VERSION_MAX + 1, "x", 1));
    cr_assert_not(is_closed_at(rig, API_API_VERSIONS, -1, "x", 1)); /* answered, as by Kafka */
    cr_assert_not(is_closed_at(rig, API_API_VERSIONS, 0, "x", 1));
    rig_free(rig);
}

Test(request, answers_api_versions_of_a_version_to_come_in_the_oldest_form)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    uint8_t frame[256];
    client_open(&client, rig);
    size_t bytes = make_header(frame, API_API_VERSIONS, 99, "x", 1);
    frame[bytes++] = 0; /* no tags */
    memset(frame + bytes, 0xee, 20);
    send_frame(&client, frame, bytes + 20);
    struct cursor body = client_receive(&client, API_API_VERSIONS, 0);
    struct api_versions_response response;
    cr_assert(api_versions_response_decode(&response, &body, 0, &client.arena));
    cr_assert_eq(response.error_code, KAFKA_UNSUPPORTED_VERSION);
    cr_assert_eq(response.api_keys_count, 1);
    cr_assert_eq(response.api_keys[0].api_key, API_API_VERSIONS);
    part(&client);
}

Test(request, wants_a_client_id_that_is_text)
{
    struct rig *rig = rig_new(1, NULL);
    cr_assert_not(is_closed_at(rig, API_API_VERSIONS, 0, "", 0));
    cr_assert_not(is_closed_at(rig, API_API_VERSIONS, 0, NULL, -1));
    cr_assert_not(is_closed_at(rig, API_API_VERSIONS, 0, "k\xc3\xa4se \xe2\x82\xac", 9));
    static const char *const bad[] = {"\n",   "a\x1b[2J", "\x7f",    "\xff",
                                      "\xc3", "\xc0\x80", "\xe2\x82"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert(is_closed_at(rig, API_API_VERSIONS, 0, bad[i], (int16_t)strlen(bad[i])));
    }
    cr_assert(is_closed_at(rig, API_API_VERSIONS, 0, NULL, -2));
    cr_assert(is_closed_at(rig, API_API_VERSIONS, 0, "x", 1) == false);
    rig_free(rig);
}

Test(request, starts_only_when_those_before_it_are_answered)
{
    struct client client;
    struct rig *rig = meet(&client, 2, 1);
    uint8_t batch[512];
    size_t bytes = make_records(batch, sizeof batch, 1, 10, rig_now_ms(rig));
    struct produce_request_partition partition = {
        .index = 0, .records = {.data = batch, .bytes = (int32_t)bytes}};
    for (uint32_t i = 0; i < 20; i++) { /* and at once: where does it end? */
        client_begin_produce(&client, 9, -1,
                             (struct produce_request_topic){.name = view_of_text("t")}, &partition,
                             1);
        client_send(&client);
    }
    struct list_offsets_request_partition asked = {.current_leader_epoch = -1, .timestamp = -1};
    struct list_offsets_request_topic asked_topic = {
        .name = view_of_text("t"), .partitions = &asked, .partitions_count = 1};
    struct list_offsets_request list = {
        .replica_id = -1, .topics = &asked_topic, .topics_count = 1};
    list_offsets_request_encode(&list, client_begin(&client, API_LIST_OFFSETS, 7), 7);
    client_send(&client);
    for (uint32_t i = 0; i < 20; i++) {
        (void)client_receive(&client, API_PRODUCE, 9);
    }
    struct cursor body = client_receive(&client, API_LIST_OFFSETS, 7);
    struct list_offsets_response response;
    cr_assert(list_offsets_response_decode(&response, &body, 7, &client.arena));
    cr_assert_eq(response.topics[0].partitions[0].offset, 20);
    part(&client);
}

/* -- long messages: in slices, so that others get their turns --------------------------------------- */

enum { MANY = 20000 };

static void begin_many_names(struct client *client, int32_t count)
{
    static char names[MANY][16];
    static struct create_topics_request_topic topics[MANY];
    for (int32_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        create_topics_request_topic_init(&topics[i]);
        topics[i].name = view_of_text(names[i]);
    }
    struct create_topics_request request;
    create_topics_request_init(&request);
    request.topics = topics;
    request.topics_count = count;
    create_topics_request_encode(&request, client_begin(client, API_CREATE_TOPICS, 7), 7);
}

Test(request, reads_and_writes_long_messages_in_slices)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    begin_many_names(&client, MANY);
    cr_assert_gt(client_call_turns(&client), 30);
    struct cursor body = client_receive(&client, API_CREATE_TOPICS, 7);
    struct create_topics_response response;
    cr_assert(create_topics_response_decode(&response, &body, 7, &client.arena));
    cr_assert_eq(response.topics_count, MANY);
    for (uint32_t i = 0; i < MANY; i += 999) {
        char name[8];
        snprintf(name, sizeof name, "t%u", i);
        cr_assert(view_equal_text(response.topics[i].name, name));
        cr_assert_eq(response.topics[i].error_code, KAFKA_POLICY_VIOLATION);
    }
    part(&client);
}

Test(request, closes_at_a_long_message_that_is_wrong_at_its_end)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    begin_many_names(&client, MANY);
    client.writer.at--; /* no tagged fields, but for one byte */
    cr_assert_gt(client_call_turns(&client), 15);
    cr_assert(client.ended);
    part(&client);
}

/* Wherever a long message has come when its connection goes, all it took is given back (rig_free). */
Test(request, ends_when_its_connection_closes_within_a_long_message)
{
    struct rig *rig = rig_new(1, NULL);
    for (uint32_t turns = 1; turns < 60; turns += 3) {
        struct client client;
        client_open(&client, rig);
        begin_many_names(&client, MANY);
        client_send_whole(&client);
        for (uint32_t i = 0; i < turns; i++) {
            rig_turn(rig);
        }
        client_close(&client);
    }
    rig_free(rig);
}
