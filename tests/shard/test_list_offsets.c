#include "tests/shard/broker_fixture.h"

static const int64_t BEGUN_MS = 1700000000000;

static void produce(struct client *client, int32_t index, uint32_t count, int64_t timestamp)
{
    client_append(client, "t", index, count, 10, timestamp);
}

static struct list_offsets_response list_of(struct client *client, struct view name,
                                            int16_t version,
                                            struct list_offsets_request_partition *partitions,
                                            int32_t count)
{
    struct list_offsets_request_topic topic = {
        .name = name, .partitions = partitions, .partitions_count = count};
    struct list_offsets_request request = {.replica_id = -1, .topics = &topic, .topics_count = 1};
    list_offsets_request_encode(&request, client_begin(client, API_LIST_OFFSETS, version), version);
    struct cursor body = client_call(client);
    struct list_offsets_response response;
    cr_assert(list_offsets_response_decode(&response, &body, version, &client->arena));
    cr_assert_eq(response.topics[0].partitions_count, count);
    return response;
}

static struct list_offsets_response list(struct client *client, int16_t version,
                                         struct list_offsets_request_partition *partitions,
                                         int32_t count)
{
    return list_of(client, view_of_text("t"), version, partitions, count);
}

static struct list_offsets_response_partition look_up(struct client *client, int16_t version,
                                                      int32_t index, int64_t timestamp)
{
    struct list_offsets_request_partition partition = {
        .partition_index = index, .current_leader_epoch = -1, .timestamp = timestamp};
    return list(client, version, &partition, 1).topics[0].partitions[0];
}

Test(list_offsets, knows_ends_and_times_in_every_version)
{
    struct client client;
    meet(&client, 2, 2);
    for (int32_t index = 0; index < 2; index++) {
        produce(&client, index, 3, BEGUN_MS);
        produce(&client, index, 3, BEGUN_MS + 1000);
    }
    for (int16_t version = LIST_OFFSETS_VERSION_MIN; version <= LIST_OFFSETS_VERSION_MAX;
         version++) {
        for (int32_t index = 0; index < 2; index++) {
            cr_assert_eq(look_up(&client, version, index, -1).offset, 6);
            cr_assert_eq(look_up(&client, version, index, -1).timestamp, -1);
            cr_assert_eq(look_up(&client, version, index, -2).offset, 0);
            cr_assert_eq(look_up(&client, version, index, 0).offset, 0);
            cr_assert_eq(look_up(&client, version, index, BEGUN_MS + 1).offset, 1);
            cr_assert_eq(look_up(&client, version, index, BEGUN_MS + 3).offset, 3);
            cr_assert_eq(look_up(&client, version, index, BEGUN_MS + 3).timestamp, BEGUN_MS + 1000);
            cr_assert_eq(look_up(&client, version, index, BEGUN_MS + 1003).offset, -1);
            cr_assert_eq(look_up(&client, version, index, BEGUN_MS + 1003).error_code, KAFKA_NONE);
        }
    }
    part(&client);
}

Test(list_offsets, knows_each_special_time_from_its_version_on)
{
    struct client client;
    meet(&client, 1, 1);
    produce(&client, 0, 3, BEGUN_MS);
    static const struct {
        int64_t timestamp;
        int16_t since;
        int64_t offset;
    } rows[] = {{-3, 7, 2}, {-4, 8, 0}, {-5, 9, -1}, {-6, 11, -1}, {-7, 99, -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int16_t version = LIST_OFFSETS_VERSION_MIN; version <= LIST_OFFSETS_VERSION_MAX;
             version++) {
            struct list_offsets_response_partition answer =
                look_up(&client, version, 0, rows[i].timestamp);
            bool is_known = version >= rows[i].since;
            cr_assert_eq(answer.error_code, is_known ? KAFKA_NONE : KAFKA_UNSUPPORTED_VERSION);
            cr_assert_eq(answer.offset, is_known ? rows[i].offset : -1);
        }
    }
    part(&client);
}

Test(list_offsets, makes_no_log_of_a_partition_that_was_never_written)
{
    struct rig *rig = rig_new(2, NULL);
    struct client client;
    client_open(&client, rig);
    client_create(&client, "t", 2, NULL, 0);
    static const struct {
        int64_t timestamp, offset;
        int32_t leader_epoch;
    } rows[] = {{-1, 0, 0}, {-2, 0, 0}, {-3, -1, -1}, {-4, 0, 0}, {-5, -1, -1}, {BEGUN_MS, -1, -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int32_t index = 0; index < 2; index++) {
            struct list_offsets_response_partition answer =
                look_up(&client, 9, index, rows[i].timestamp);
            cr_assert_eq(answer.error_code, KAFKA_NONE);
            cr_assert_eq(answer.offset, rows[i].offset);
            cr_assert_eq(answer.leader_epoch, rows[i].leader_epoch);
        }
    }
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(rig->broker.shards[i].store.logs_count, 0);
    }
    client_close(&client);
    rig_free(rig);
}

/* By the time the second comes the first is in a share already. */
Test(list_offsets, refuses_doubles_that_are_far_apart)
{
    enum { PARTITIONS = 300 };
    struct rig *rig = rig_new(2, NULL);
    struct client client;
    struct list_offsets_request_partition partitions[PARTITIONS + 1];
    client_open(&client, rig);
    client_create(&client, "t", PARTITIONS, NULL, 0);
    for (int32_t i = 0; i <= PARTITIONS; i++) {
        partitions[i] = (struct list_offsets_request_partition){
            .partition_index = i % PARTITIONS, .current_leader_epoch = -1, .timestamp = -1};
    }
    struct list_offsets_response response = list(&client, 7, partitions, PARTITIONS + 1);
    for (int32_t i = 0; i <= PARTITIONS; i++) {
        struct list_offsets_response_partition *row = &response.topics[0].partitions[i];
        bool is_double = i == 0 || i == PARTITIONS;
        cr_assert_eq(row->partition_index, i % PARTITIONS);
        cr_assert_eq(row->error_code, is_double ? KAFKA_INVALID_REQUEST : KAFKA_NONE);
        cr_assert_eq(row->offset, is_double ? -1 : 0);
    }
    part(&client);
}

Test(list_offsets, refuses_doubles_and_what_is_not_there)
{
    struct client client;
    meet(&client, 2, 2);
    struct list_offsets_request_partition partitions[] = {
        {.partition_index = 1, .current_leader_epoch = -1, .timestamp = -1},
        {.partition_index = 0, .current_leader_epoch = -1, .timestamp = -1},
        {.partition_index = 1, .current_leader_epoch = -1, .timestamp = -2},
        {.partition_index = 2, .current_leader_epoch = -1, .timestamp = -1},
    };
    struct list_offsets_response response = list(&client, 7, partitions, 4);
    static const int16_t errors[] = {KAFKA_INVALID_REQUEST, KAFKA_NONE, KAFKA_INVALID_REQUEST,
                                     KAFKA_UNKNOWN_TOPIC_OR_PARTITION};
    for (int32_t i = 0; i < 4; i++) {
        cr_assert_eq(response.topics[0].partitions[i].error_code, errors[i]);
    }
    partitions[1].current_leader_epoch = 5;
    response = list(&client, 7, partitions + 1, 1);
    cr_assert_eq(response.topics[0].partitions[0].error_code, KAFKA_UNKNOWN_LEADER_EPOCH);
    partitions[1].current_leader_epoch = -2; /* only -1 says that none is known */
    response = list(&client, 7, partitions + 1, 1);
    cr_assert_eq(response.topics[0].partitions[0].error_code, KAFKA_FENCED_LEADER_EPOCH);
    part(&client);
}

/* What cannot be a topic's name is not looked for among the others. */
Test(list_offsets, does_not_look_for_doubles_of_names_that_are_too_long)
{
    struct client client;
    meet(&client, 1, 1);
    static uint8_t name[INT16_MAX];
    struct list_offsets_request_partition partitions[2] = {{.timestamp = -1}, {.timestamp = -1}};
    struct list_offsets_response response =
        list_of(&client, view_of(name, sizeof name), 7, partitions, 2);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(response.topics[0].partitions[i].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    }
    part(&client);
}
