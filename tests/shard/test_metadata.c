/* Metadata of much: in steps, between which topics come and go. */
#include "net/codec/metadata.h"

#include "tests/shard/broker_fixture.h"

enum { TOPICS = 3, PARTITIONS = 9000, NAMES = 20000 };

static const char *const topic_names[TOPICS] = {"a", "b", "c"};

struct scene {
    struct rig *rig;
    struct client client;
    struct uuid ids[TOPICS];
    uint32_t turns; /* of the answer read last */
};

static void scene_open(struct scene *scene, int32_t partitions)
{
    scene->rig = rig_new(1, NULL);
    client_open(&scene->client, scene->rig);
    for (uint32_t i = 0; i < TOPICS; i++) {
        scene->ids[i] = client_create(&scene->client, topic_names[i], partitions, NULL, 0);
    }
}

static void scene_close(struct scene *scene)
{
    client_close(&scene->client);
    rig_free(scene->rig);
}

static void begin_all(struct client *client)
{
    struct metadata_request request;
    metadata_request_init(&request);
    request.topics_count = -1;
    metadata_request_encode(&request, client_begin(client, API_METADATA, 12), 12);
}

/* The topics of the scene, by name or by id. */
static void begin_asked(struct scene *scene, bool by_id)
{
    struct metadata_request_topic topics[TOPICS];
    struct metadata_request request;
    metadata_request_init(&request);
    for (uint32_t i = 0; i < TOPICS; i++) {
        metadata_request_topic_init(&topics[i]);
        topics[i].name = by_id ? VIEW_NULL : view_of_text(topic_names[i]);
        topics[i].topic_id = by_id ? scene->ids[i] : topics[i].topic_id;
    }
    request.topics = topics;
    request.topics_count = TOPICS;
    request.allow_auto_topic_creation = false;
    metadata_request_encode(&request, client_begin(&scene->client, API_METADATA, 12), 12);
}

static struct metadata_response receive(struct client *client)
{
    struct metadata_response response;
    struct cursor body = client_receive(client, API_METADATA, 12);
    cr_assert(metadata_response_decode(&response, &body, 12, &client->arena));
    return response;
}

static void check_row(const struct metadata_response_topic *row, int32_t partitions)
{
    cr_assert_eq(row->error_code, KAFKA_NONE);
    cr_assert_eq(row->partitions_count, partitions);
    for (int32_t i = 0; i < partitions; i++) {
        cr_assert_eq(row->partitions[i].partition_index, i);
        cr_assert_eq(row->partitions[i].leader_id, row->partitions[i].replica_nodes[0]);
        cr_assert_eq(row->partitions[i].isr_nodes_count, 1);
    }
}

Test(metadata, tells_of_many_partitions_in_many_turns)
{
    struct scene scene;
    scene_open(&scene, PARTITIONS);
    for (uint32_t kind = 0; kind < 3; kind++) {
        if (kind == 0) {
            begin_all(&scene.client);
        } else {
            begin_asked(&scene, kind == 2);
        }
        /* 2,048 of them are listed in a step, and 1,024 encoded */
        cr_assert_gt(client_call_turns(&scene.client),
                     TOPICS * PARTITIONS / 2048 + TOPICS * PARTITIONS / 1024);
        struct metadata_response response = receive(&scene.client);
        cr_assert_eq(response.topics_count, TOPICS);
        for (uint32_t i = 0; i < TOPICS; i++) {
            cr_assert(view_equal_text(response.topics[i].name, topic_names[i]));
            cr_assert(uuid_equal(&response.topics[i].topic_id, &scene.ids[i]));
            check_row(&response.topics[i], PARTITIONS);
        }
    }
    scene_close(&scene);
}

Test(metadata, looks_up_many_names_in_many_turns_and_each_once)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    client_create(&client, "n7", 1, NULL, 0);
    static char texts[NAMES][16];
    static struct metadata_request_topic topics[NAMES];
    for (uint32_t i = 0; i < NAMES; i++) { /* each of them twice */
        snprintf(texts[i], sizeof texts[i], "n%u", i % (NAMES / 2));
        metadata_request_topic_init(&topics[i]);
        topics[i].name = view_of_text(texts[i]);
    }
    struct metadata_request request;
    metadata_request_init(&request);
    request.topics = topics;
    request.topics_count = NAMES;
    request.allow_auto_topic_creation = false;
    metadata_request_encode(&request, client_begin(&client, API_METADATA, 12), 12);
    cr_assert_gt(client_call_turns(&client), NAMES / 1024 + NAMES / 256);
    struct metadata_response response = receive(&client);
    cr_assert_eq(response.topics_count, NAMES / 2);
    for (int32_t i = 0; i < NAMES / 2; i++) {
        cr_assert(view_equal_text(response.topics[i].name, texts[i]));
        cr_assert_eq(response.topics[i].error_code,
                     i == 7 ? KAFKA_NONE : KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    }
    client_close(&client);
    rig_free(rig);
}

/* After so many turns of the answer another image is put in place, without "b". */
static struct metadata_response answer_while_b_goes(struct scene *scene, uint32_t turns)
{
    struct shard *shard = &scene->rig->broker.shards[0];
    const struct image *image = shard->image;
    struct image_edit *edit = image_edit_begin((struct image *)image);
    cr_assert(edit && image_edit_remove(edit, &scene->ids[1]));
    client_send_whole(&scene->client);
    for (uint32_t i = 0; i < turns; i++) {
        rig_turn(scene->rig);
    }
    shard->image = image_edit_view(edit);
    struct metadata_response response = receive(&scene->client);
    shard->image = image;
    image_edit_drop(edit);
    image_edit_free(edit);
    return response;
}

Test(metadata, survives_topics_that_go_between_two_steps)
{
    struct scene scene;
    scene_open(&scene, PARTITIONS);
    uint32_t whole = 0, gone = 0;
    for (uint32_t kind = 0; kind < 3; kind++) {
        for (uint32_t turns = 1; turns < 20; turns++) {
            if (kind == 0) {
                begin_all(&scene.client);
            } else {
                begin_asked(&scene, kind == 2);
            }
            struct metadata_response response = answer_while_b_goes(&scene, turns);
            for (int32_t i = 0; i < response.topics_count; i++) {
                const struct metadata_response_topic *row = &response.topics[i];
                if (uuid_equal(&row->topic_id, &scene.ids[1]) && kind == 2 && row->error_code) {
                    cr_assert_eq(row->error_code, KAFKA_UNKNOWN_TOPIC_ID);
                } else if (row->error_code) {
                    cr_assert(kind == 1 && view_equal_text(row->name, "b"));
                    cr_assert_eq(row->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
                } else {
                    check_row(row, PARTITIONS);
                }
            }
            bool is_whole =
                response.topics_count == TOPICS && response.topics[1].error_code == KAFKA_NONE;
            cr_assert_eq(response.topics_count, kind == 0 && !is_whole ? TOPICS - 1 : TOPICS);
            cr_assert_eq(response.topics[0].error_code, KAFKA_NONE);
            cr_assert_eq(response.topics[response.topics_count - 1].error_code, KAFKA_NONE);
            whole += is_whole;
            gone += !is_whole;
        }
    }
    cr_assert(whole > 0 && gone > 0);
    scene_close(&scene);
}

/* Of long answers one is made at a time; a short one passes by, and one nobody waits for gives way. */
Test(metadata, makes_long_answers_one_after_the_other)
{
    enum { CLIENTS = 5 };
    struct scene scene;
    struct client others[CLIENTS], small;
    scene_open(&scene, PARTITIONS);
    client_open(&small, scene.rig);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        client_open(&others[i], scene.rig);
        begin_all(&others[i]);
        client_send(&others[i]);
    }
    struct metadata_request none;
    metadata_request_init(&none);
    metadata_request_encode(&none, client_begin(&small, API_METADATA, 12), 12);
    cr_assert_eq(receive((client_send(&small), &small)).topics_count, 0);
    uint32_t answered = 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        answered += client_has_answer(&others[i]);
    }
    cr_assert_lt(answered, CLIENTS, "it did not wait for them");
    client_close(&others[1]);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        if (i != 1) {
            struct metadata_response response = receive(&others[i]);
            cr_assert_eq(response.topics_count, TOPICS);
            check_row(&response.topics[2], PARTITIONS);
            client_close(&others[i]);
        }
    }
    client_close(&small);
    scene_close(&scene);
}

/* A request of some bytes may be answered by more rows than a request of its size could have. */
Test(metadata, tells_of_all_partitions_there_are)
{
    enum { LARGE_TOPICS = 9, LARGE_PARTITIONS = 8000 };
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    for (uint32_t i = 0; i < LARGE_TOPICS; i++) {
        char name[8];
        snprintf(name, sizeof name, "large%u", i);
        client_create(&client, name, LARGE_PARTITIONS, NULL, 0);
    }
    begin_all(&client);
    client_send(&client);
    struct metadata_response response = receive(&client);
    cr_assert_eq(response.topics_count, LARGE_TOPICS);
    for (uint32_t i = 0; i < LARGE_TOPICS; i++) {
        check_row(&response.topics[i], LARGE_PARTITIONS);
    }
    client_close(&client);
    rig_free(rig);
}
