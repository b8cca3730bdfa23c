#include "net/api.h"

#include "tests/shard/broker_fixture.h"

static struct create_topics_response
create(struct client *client, struct create_topics_request_topic *topics, int32_t count)
{
    struct create_topics_request request = {
        .topics = topics, .topics_count = count, .timeout_ms = 5000};
    create_topics_request_encode(&request, client_begin(client, API_CREATE_TOPICS, 7), 7);
    struct cursor body = client_call(client);
    struct create_topics_response response;
    cr_assert(create_topics_response_decode(&response, &body, 7, &client->arena));
    return response;
}

static struct create_topics_request_topic topic_of(const char *name)
{
    return (struct create_topics_request_topic){
        .name = view_of_text(name), .num_partitions = 1, .replication_factor = 1};
}

Test(create_topics, answers_a_name_that_comes_twice_once_and_refuses_it)
{
    struct rig *rig = rig_new(2, NULL);
    struct client client;
    client_open(&client, rig);
    struct create_topics_request_topic topics[] = {topic_of("a"), topic_of("b"), topic_of("a"),
                                                   topic_of("c"), topic_of("a")};
    struct create_topics_response response = create(&client, topics, 5);
    cr_assert_eq(response.topics_count, 3);
    static const char *const names[] = {"a", "b", "c"};
    for (int32_t i = 0; i < 3; i++) {
        cr_assert(view_equal_text(response.topics[i].name, names[i]));
        cr_assert_eq(response.topics[i].error_code, i == 0 ? KAFKA_INVALID_REQUEST : KAFKA_NONE);
    }
    cr_assert(view_equal_text(response.topics[0].error_message, "Duplicate topic name."));
    client_close(&client);
    rig_free(rig);
}

Test(create_topics, refuses_assignments_by_hand_as_kafka_does)
{
    struct rig *rig = rig_new(2, NULL);
    struct client client;
    client_open(&client, rig);
    int32_t own = rig->broker.options.settings.node_id;
    static const char prefix[] = "The manual partition assignment includes";
    char unknown[160], twice[160];
    snprintf(unknown, sizeof unknown, "%s broker %d, but no such broker is registered.", prefix,
             own + 6);
    snprintf(twice, sizeof twice, "%s the broker %d more than once.", prefix, own);
    const struct {
        int32_t indexes[2], brokers[2], brokers_count;
        const char *message;
    } rows[] = {
        {{1, 0}, {own}, 1, NULL},
        {{1, 1}, {own}, 1, "Found multiple manual partition assignments for partition 1"},
        {{0, 2}, {own}, 1, "partitions should be a consecutive 0-based integer sequence"},
        {{-1, 0}, {own}, 1, "partitions should be a consecutive 0-based integer sequence"},
        {{0, 1}, {0}, 0, "The manual partition assignment includes an empty replica list."},
        {{0, 1}, {own + 6}, 1, unknown},
        {{0, 1}, {own + 6, own}, 2, unknown},
        {{0, 1}, {own, own}, 2, twice},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%zu", i);
        struct create_topics_request_assignment assignments[2];
        for (size_t k = 0; k < 2; k++) {
            assignments[k] = (struct create_topics_request_assignment){
                .partition_index = rows[i].indexes[k],
                .broker_ids = (int32_t *)rows[i].brokers,
                .broker_ids_count = rows[i].brokers_count};
        }
        struct create_topics_request_topic topic = topic_of(name);
        topic.num_partitions = topic.replication_factor = -1;
        topic.assignments = assignments;
        topic.assignments_count = 2;
        struct create_topics_response response = create(&client, &topic, 1);
        struct create_topics_response_topic *row = &response.topics[0];
        if (!rows[i].message) {
            cr_assert_eq(row->error_code, KAFKA_NONE);
            cr_assert_eq(row->num_partitions, 2);
            continue;
        }
        cr_assert_eq(row->error_code, KAFKA_INVALID_REPLICA_ASSIGNMENT);
        cr_assert(view_equal_text(row->error_message, rows[i].message), "%zu: %.*s", i,
                  row->error_message.bytes, (const char *)row->error_message.data);
    }
    client_close(&client);
    rig_free(rig);
}

Test(create_topics, tells_all_configs_and_which_were_set)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    struct create_topics_request_config configs[] = {
        {.name = view_of_text("segment.bytes"), .value = view_of_text("1048576")},
        {.name = view_of_text("retention.ms"), .value = view_of_text("1000")},
        {.name = view_of_text("segment.bytes"), .value = view_of_text("2097152")},
    };
    struct create_topics_request_topic topic = topic_of("t");
    topic.configs = configs;
    topic.configs_count = 3;
    struct create_topics_response response = create(&client, &topic, 1);
    cr_assert_eq(response.topics[0].configs_count, TOPIC_CONFIGS);
    uint32_t set = 0;
    for (int32_t i = 0; i < response.topics[0].configs_count; i++) {
        struct create_topics_response_config *config = &response.topics[0].configs[i];
        set += config->config_source == 1;
        if (view_equal_text(config->name, "segment.bytes")) {
            cr_assert(view_equal_text(config->value, "2097152"));
            cr_assert_eq(config->config_source, 1);
        }
    }
    cr_assert_eq(set, 2);
    client_close(&client);
    rig_free(rig);
}
