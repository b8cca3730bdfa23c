#include "shard/control.h"

#include "shard/image.h"
#include "tests/shard/broker_fixture.h"

static void send_create(struct client *client, const char *name)
{
    struct create_topics_request_topic topic = {
        .name = view_of_text(name), .num_partitions = 1, .replication_factor = 1};
    struct create_topics_request request = {
        .topics = &topic, .topics_count = 1, .timeout_ms = 5000};
    create_topics_request_encode(&request, client_begin(client, API_CREATE_TOPICS, 7), 7);
    client_send(client);
}

static void send_delete(struct client *client, const struct uuid *id)
{
    struct delete_topics_request_topic topic = {.name = VIEW_NULL, .topic_id = *id};
    struct delete_topics_request request = {
        .topics = &topic, .topics_count = 1, .timeout_ms = 5000};
    delete_topics_request_encode(&request, client_begin(client, API_DELETE_TOPICS, 6), 6);
    client_send(client);
}

static void produce_one(struct client *client, const char *name)
{
    uint8_t batch[512];
    size_t bytes = make_records(batch, sizeof batch, 1, 10,
                                reactor_wall_ms(&client->rig->fixture.reactors[0]));
    struct produce_request_partition partition = {
        .records = {.data = batch, .bytes = (int32_t)bytes}};
    struct produce_request_topic topic = {
        .name = view_of_text(name), .partition_data = &partition, .partition_data_count = 1};
    struct produce_request request = {
        .transactional_id = VIEW_NULL, .acks = -1, .topic_data = &topic, .topic_data_count = 1};
    produce_request_encode(&request, client_begin(client, API_PRODUCE, 9), 9);
    (void)client_call(client);
}

static bool has_log_of(const struct rig *rig, const struct uuid *topic_id)
{
    for (const struct log *log = rig->broker.shards[0].store.logs; log; log = log->next) {
        if (memcmp(log->topic_id, topic_id->bytes, sizeof log->topic_id) == 0) {
            return true;
        }
    }
    return false;
}

/* They have one directory: the removal of the old one must not meet the records of the new one. */
Test(control, shows_no_topic_while_one_of_the_same_name_is_being_removed)
{
    struct rig *rig = rig_new(1, NULL);
    struct client clients[3];
    for (uint32_t i = 0; i < 3; i++) {
        client_open(&clients[i], rig);
    }
    struct uuid old = client_create(&clients[0], "t", 1, NULL, 0);
    produce_one(&clients[0], "t");
    cr_assert(has_log_of(rig, &old));

    send_create(&clients[0], "other"); /* while this is written the others gather for one round */
    for (uint32_t i = 0; i < 10; i++) {
        rig_turn(rig);
    }
    send_delete(&clients[1], &old);
    for (uint32_t i = 0; i < 10; i++) {
        rig_turn(rig);
    }
    send_create(&clients[2], "t");
    const struct topic *topic = NULL;
    for (uint32_t i = 0; i < RIG_TURNS_MAX; i++) {
        rig_turn(rig);
        topic = image_topic_by_name(rig->broker.shards[0].image, view_of_text("t"));
        if (topic && !uuid_equal(&topic->id, &old)) {
            cr_assert_not(has_log_of(rig, &old));
            break;
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        (void)client_receive(&clients[i], i == 1 ? API_DELETE_TOPICS : API_CREATE_TOPICS,
                             i == 1 ? 6 : 7);
        client_close(&clients[i]);
    }
    rig_free(rig);
}
