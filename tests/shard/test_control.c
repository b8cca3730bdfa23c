#include "shard/control.h"

#include "shard/image.h"
#include "shard/registration.h"
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

/* The error of a batch for one partition. */
static int16_t produce_error(struct client *client, const char *name, int32_t index)
{
    uint8_t batch[512];
    size_t bytes = make_records(batch, sizeof batch, 1, 10, rig_now_ms(client->rig));
    struct produce_request_partition partition = {
        .index = index, .records = {.data = batch, .bytes = (int32_t)bytes}};
    client_begin_produce(client, 9, -1, (struct produce_request_topic){.name = view_of_text(name)},
                         &partition, 1);
    struct cursor body = client_call(client);
    struct produce_response response;
    cr_assert(produce_response_decode(&response, &body, 9, &client->arena));
    return response.responses[0].partition_responses[0].error_code;
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
    cr_assert_eq(produce_error(&clients[0], "t", 0), KAFKA_NONE);
    cr_assert(has_log_of(rig, &old));

    send_create(&clients[0], "other"); /* while this is written the others gather for one round */
    rig_turn_often(rig, 10);
    send_delete(&clients[1], &old);
    rig_turn_often(rig, 10);
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

/* The file with this suffix in the metadata log's folder; its bytes. */
static size_t read_metadata(const struct rig *rig, const char *suffix, uint8_t **bytes)
{
    char command[256], path[256] = "";
    snprintf(command, sizeof command, "ls %s/__cluster_metadata-0/*%s", rig->directory, suffix);
    FILE *names = popen(command, "r");
    cr_assert(names && fgets(path, sizeof path, names));
    pclose(names);
    path[strcspn(path, "\n")] = '\0';
    FILE *file = fopen(path, "r");
    cr_assert(file);
    *bytes = malloc(16 << 20);
    size_t count = fread(*bytes, 1, 16 << 20, file);
    fclose(file);
    return count;
}

/* How many records of this type; and batches. */
static uint32_t count_records(const uint8_t *bytes, size_t count, enum metadata_record_type type,
                              uint32_t *batches)
{
    struct memory heap;
    struct arena arena;
    memory_init_heap(&heap);
    arena_init(&arena, &heap, 64 << 20);
    struct batch_walk walk = batch_walk(bytes, count);
    struct batch batch;
    uint32_t found = 0;
    *batches = 0;
    while (batch_walk_next(&walk, &batch)) {
        struct records records = records_of(&batch, batch.bytes + BATCH_HEADER_BYTES,
                                            batch.batch_bytes - BATCH_HEADER_BYTES);
        struct record record;
        (*batches)++;
        while (!(batch.attributes & BATCH_CONTROL) && records_next(&records, &record)) {
            struct metadata_record decoded;
            cr_assert(metadata_record_decode(&decoded, record.value, &arena));
            found += decoded.type == type;
        }
    }
    cr_assert_eq(walk.state, BATCH_WHOLE);
    arena_give_all(&arena);
    return found;
}

Test(control, writes_changes_that_come_together_as_one_batch)
{
    struct rig *rig = rig_new(1, NULL);
    struct client clients[6];
    uint32_t batches_before, batches;
    uint8_t *bytes;
    for (uint32_t i = 0; i < 6; i++) {
        client_open(&clients[i], rig);
    }
    size_t count = read_metadata(rig, ".log", &bytes);
    cr_assert_eq(count_records(bytes, count, METADATA_TOPIC, &batches_before), 0);
    free(bytes);
    for (uint32_t i = 0; i < 6; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%u", i);
        send_create(&clients[i], name);
    }
    for (uint32_t i = 0; i < 6; i++) {
        (void)client_receive(&clients[i], API_CREATE_TOPICS, 7);
    }
    count = read_metadata(rig, ".log", &bytes);
    cr_assert_eq(count_records(bytes, count, METADATA_TOPIC, &batches), 6);
    cr_assert_leq(batches - batches_before, 3, "%u", batches - batches_before);
    free(bytes);
    for (uint32_t i = 0; i < 6; i++) {
        client_close(&clients[i]);
    }
    rig_free(rig);
}

Test(control, writes_a_snapshot_of_all_topics_in_steps)
{
    enum { PARTITIONS = 9000, TOPICS = 2 };
    struct rig *rig = rig_new(2, NULL);
    struct client client;
    uint32_t batches;
    uint8_t *bytes;
    client_open(&client, rig);
    struct create_topics_request_config config = {.name = view_of_text("segment.bytes"),
                                                  .value = view_of_text("1048576")};
    client_create(&client, "one", PARTITIONS, &config, 1);
    client_create(&client, "two", PARTITIONS, &config, 1);
    struct control *control = &rig->broker.control;
    for (uint32_t i = 0; i < RIG_TURNS_MAX && control->busy; i++) {
        rig_turn(rig);
    }
    cr_assert_gt(control->log.snapshot_bytes, 0);
    cr_assert_eq(control->log.log_bytes, 0);
    size_t count = read_metadata(rig, ".checkpoint", &bytes);
    cr_assert_eq(count_records(bytes, count, METADATA_PARTITION, &batches), TOPICS * PARTITIONS);
    cr_assert_eq(count_records(bytes, count, METADATA_TOPIC, &batches), TOPICS);
    cr_assert_eq(count_records(bytes, count, METADATA_CONFIG, &batches), TOPICS + 1);
    free(bytes);

    struct metadata_batches snapshot;
    uint32_t steps = 1;
    registration_snapshot_begin(control, &snapshot);
    while (!registration_snapshot_go_on(control, &snapshot, 64)) {
        steps++;
    }
    cr_assert_gt(steps, TOPICS * PARTITIONS / 64);
    metadata_batches_deinit(&snapshot);
    part(&client);
}

Test(control, takes_the_directory_offline_when_the_metadata_log_fails)
{
    struct rig *rig = rig_new(2, NULL);
    struct client client;
    client_open(&client, rig);
    client_create(&client, "t", 2, NULL, 0);
    for (int32_t i = 0; i < 2; i++) {
        cr_assert_eq(produce_error(&client, "t", i), KAFKA_NONE);
    }
    struct metadata_log *log = &rig->broker.control.log;
    int writable = log->fd;
    log->fd = open("/dev/null", O_RDONLY);
    send_create(&client, "u");
    struct cursor body = client_receive(&client, API_CREATE_TOPICS, 7);
    struct create_topics_response response;
    cr_assert(create_topics_response_decode(&response, &body, 7, &client.arena));
    cr_assert_eq(response.topics[0].error_code, KAFKA_KAFKA_STORAGE_ERROR);
    for (int32_t i = 0; i < 2; i++) {
        cr_assert_eq(produce_error(&client, "t", i), KAFKA_KAFKA_STORAGE_ERROR);
    }
    close(log->fd);
    log->fd = writable;
    client_close(&client);
    rig_end(rig, -EIO);
}

Test(control, changes_nothing_while_the_directory_is_offline)
{
    struct rig *rig = rig_new(2, NULL);
    struct client client;
    client_open(&client, rig);
    struct uuid id = client_create(&client, "t", 1, NULL, 0);
    store_fail(&rig->broker.shards[1].store, -EIO);
    for (uint32_t i = 0; i < 50; i++) {
        rig_turn(rig);
    }
    int64_t end_offset = rig->broker.control.log.end_offset;
    send_delete(&client, &id);
    struct cursor body = client_receive(&client, API_DELETE_TOPICS, 6);
    struct delete_topics_response response;
    cr_assert(delete_topics_response_decode(&response, &body, 6, &client.arena));
    cr_assert_eq(response.responses[0].error_code, KAFKA_KAFKA_STORAGE_ERROR);
    cr_assert_eq(rig->broker.control.log.end_offset, end_offset);
    client_close(&client);
    rig_end(rig, -EIO);
}

/* 16 million in one start: then what there is goes on, and what would be new is refused. */
Test(control, refuses_new_partitions_when_there_are_no_log_ids_left)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    client_create(&client, "t", 2, NULL, 0);
    rig->broker.shards[0].store.log_counter = (1 << 24) - 1;
    cr_assert_eq(produce_error(&client, "t", 0), KAFKA_NONE);
    cr_assert_eq(produce_error(&client, "t", 1), KAFKA_KAFKA_STORAGE_ERROR);
    cr_assert_eq(produce_error(&client, "t", 0), KAFKA_NONE);
    client_close(&client);
    rig_free(rig);
}
