#include "net/api.h"

#include "tests/shard/broker_fixture.h"

static struct delete_topics_response
delete_all(struct client *client, struct delete_topics_request_topic *topics, int32_t count)
{
    struct delete_topics_request request = {
        .topics = topics, .topics_count = count, .timeout_ms = 5000};
    delete_topics_request_encode(&request, client_begin(client, API_DELETE_TOPICS, 6), 6);
    struct cursor body = client_call(client);
    struct delete_topics_response response;
    cr_assert(delete_topics_response_decode(&response, &body, 6, &client->arena));
    return response;
}

Test(delete_topics, answers_each_topic_once_and_refuses_what_is_named_badly)
{
    struct rig *rig = rig_new(2, NULL);
    struct client client;
    client_open(&client, rig);
    struct uuid one = client_create(&client, "one", 1, NULL, 0);
    struct uuid two = client_create(&client, "two", 3, NULL, 0);
    client_create(&client, "three", 1, NULL, 0);
    struct uuid unknown = {.bytes = {1, 2, 3}};
    struct delete_topics_request_topic topics[] = {
        {.name = view_of_text("one")},                  /* by its id too: refused */
        {.name = view_of_text("three")},                /* twice: refused, once */
        {.name = VIEW_NULL, .topic_id = one},           /* deleted */
        {.name = view_of_text("three")},                /* (of the other one) */
        {.name = VIEW_NULL},                            /* neither */
        {.name = view_of_text("two"), .topic_id = two}, /* both */
        {.name = VIEW_NULL, .topic_id = unknown},       /* no such id */
        {.name = view_of_text("none")},                 /* no such name */
        {.name = view_of_text("two")},                  /* deleted */
    };
    static const struct {
        const char *name; /* "": by id */
        int16_t error;
    } expected[] = {
        {"one", KAFKA_NONE},
        {"", KAFKA_INVALID_REQUEST},
        {"", KAFKA_UNKNOWN_TOPIC_ID},
        {"one", KAFKA_INVALID_REQUEST},
        {"three", KAFKA_INVALID_REQUEST},
        {"two", KAFKA_INVALID_REQUEST},
        {"none", KAFKA_UNKNOWN_TOPIC_OR_PARTITION},
        {"two", KAFKA_NONE},
    };
    struct delete_topics_response response = delete_all(&client, topics, 9);
    cr_assert_eq(response.responses_count, 8);
    for (int32_t i = 0; i < 8; i++) {
        struct delete_topics_response_topic *row = &response.responses[i];
        cr_assert_eq(row->error_code, expected[i].error, "%d: %d", i, row->error_code);
        cr_assert(expected[i].name[0] ? view_equal_text(row->name, expected[i].name)
                                      : view_is_null(row->name));
    }
    const struct image *image = rig->broker.shards[0].image;
    cr_assert_null(image_topic_by_name(image, view_of_text("one")));
    cr_assert_null(image_topic_by_name(image, view_of_text("two")));
    cr_assert_not_null(image_topic_by_name(image, view_of_text("three")));
    client_close(&client);
    rig_free(rig);
}
