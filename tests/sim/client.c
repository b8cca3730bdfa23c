#include "tests/sim/client.h"

#include <stdarg.h>

enum {
    AGAIN_US = 20 * 1000, /* between two attempts to connect */
    DOZE_US_MAX = 2 * 1000 * 1000,
};

static void client_greeted(struct dialogue *dialogue, struct cursor *body, int16_t version);

bool client_fail(struct client *client, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return proof_fail(client->world->proof, "%s, at %.3f s: %s", client->role->name,
                      (double)client_now_us(client) / 1e6, text);
}

/* -- a connection ------------------------------------------------------------------------------ */

static void client_forget(struct client *client)
{
    sim_event_cancel(&client->world->computer->sim, &client->wake_up);
    client->asked_first = client->asked_count = 0;
    client->greeted = client->leaves = false;
    client->role->broken(client);
}

static void client_woken(struct sim *sim, struct sim_event *event)
{
    struct client *client = container_of(event, struct client, event);
    if (client->world->proof->failed) {
        return;
    }
    if (client->leaves) {
        client_hang_up(client);
    } else if (client->greeted) {
        client->role->work(client);
    } else if (!dialogue_is_open(&client->dialogue)) {
        struct api_versions_request request;
        int16_t version = (int16_t)sim_between(client_dice(client), API_VERSIONS_VERSION_MIN,
                                               API_VERSIONS_VERSION_MAX);
        dialogue_connect(&client->dialogue, sim, client->world->computer->node, BROKER_PORT);
        api_versions_request_init(&request);
        request.client_software_name = view_of_text("sim");
        request.client_software_version = view_of_text("1");
        api_versions_request_encode(&request, client_ask(client, API_VERSIONS_KEY, version),
                                    version);
        client_asked(client, client_greeted, 0);
    }
}

static void client_awake(struct sim *sim, struct sim_event *event)
{
    struct client *client = container_of(event, struct client, wake_up);
    sim_client_pause(&client->dialogue.client, false);
}

void client_wake(struct client *client)
{
    sim_event_cancel(&client->world->computer->sim, &client->wake_up);
    sim_client_pause(&client->dialogue.client, false);
}

static void client_wait(struct client *client, uint64_t us)
{
    sim_event_cancel(&client->world->computer->sim, &client->event);
    sim_event_start(&client->world->computer->sim, &client->event, us, client_woken);
}

static void client_broken(struct dialogue *dialogue, int error)
{
    struct client *client = client_of(dialogue);
    client_forget(client);
    client_wait(client, AGAIN_US);
}

void client_init(struct client *client, struct world *world, const struct role *role)
{
    *client = (struct client){.world = world, .role = role};
    dialogue_init(&client->dialogue, client_broken, NULL);
}

void client_deinit(struct client *client)
{
    dialogue_deinit(&client->dialogue);
}

void client_pause(struct client *client)
{
    client_wait(client, sim_below(client_dice(client), client->world->pause_us_max + 1));
}

void client_hang_up(struct client *client)
{
    dialogue_reset(&client->dialogue);
    client_forget(client);
    client_wait(client, AGAIN_US);
}

void client_rest(struct client *client)
{
    sim_event_cancel(&client->world->computer->sim, &client->event);
    dialogue_reset(&client->dialogue);
    client_forget(client);
}

static void client_greeted(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct client *client = client_of(dialogue);
    struct api_versions_response response;
    if (!CLIENT_DECODE(client, api_versions, &response, body, version)) {
        return;
    }
    if (response.error_code != 0 || response.api_keys_count != (int32_t)apis_count) {
        client_fail(client, "ApiVersions: error %d, %d rows", response.error_code,
                    response.api_keys_count);
        return;
    }
    client->greeted = true;
    client_pause(client);
}

/* -- asking ------------------------------------------------------------------------------------ */

struct writer *client_ask(struct client *client, int16_t key, int16_t version)
{
    return dialogue_begin(&client->dialogue, key, version);
}

static void client_replied(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct client *client = client_of(dialogue);
    if (client->world->proof->failed || !client_is_served(client)) {
        return;
    }
    dialogue_fn *replied = client->asked[client->asked_first].replied;
    client->asked_first = (client->asked_first + 1) % DIALOGUE_OPEN_MAX;
    client->asked_count--;
    client->world->counts[2]++;
    replied(dialogue, body, version);
}

void client_asked(struct client *client, dialogue_fn *replied, uint64_t within_us)
{
    if (replied) {
        assert(client->asked_count < DIALOGUE_OPEN_MAX);
        uint32_t at = (client->asked_first + client->asked_count++) % DIALOGUE_OPEN_MAX;
        client->asked[at].replied = replied;
        client->asked[at].due_us = client_now_us(client) + within_us + ANSWER_US_MAX;
    }
    dialogue_end(&client->dialogue, replied ? client_replied : NULL);
    if (sim_below(client_dice(client), 1000) < client->world->hang_up_permille) {
        client->leaves = true;
        client_pause(client);
    } else if (client->wake_up.place == 0 &&
               sim_chance(client_dice(client), client->world->doze_percent)) {
        sim_client_pause(&client->dialogue.client, true);
        sim_event_start(&client->world->computer->sim, &client->wake_up,
                        sim_below(client_dice(client), DOZE_US_MAX), client_awake);
    }
}

bool client_is_served(const struct client *client)
{
    if (client->dialogue.problem) {
        return client_fail((struct client *)client, "%s", client->dialogue.problem);
    }
    if (client->asked_count > 0 &&
        client_now_us(client) > client->asked[client->asked_first].due_us) {
        return client_fail((struct client *)client, "a request is not answered in time");
    }
    return true;
}

static void client_informed(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct client *client = client_of(dialogue);
    struct metadata_response response;
    bool all = true;
    if (!CLIENT_DECODE(client, metadata, &response, body, version)) {
        return;
    }
    for (int32_t i = 0; i < response.topics_count; i++) {
        const struct metadata_response_topic *found = &response.topics[i];
        int16_t error = found->error_code;
        if (error == KAFKA_NONE) {
            client->role->found(client,
                                book_topic(&client->world->book, found->name, &found->topic_id,
                                           (uint32_t)found->partitions_count));
        } else if (error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION ||
                   error == KAFKA_LEADER_NOT_AVAILABLE ||
                   world_forgives(client->world, MAY_REFUSE_CHANGES, error)) {
            all = false;
        } else {
            client_fail(client, "Metadata: error %d", error);
        }
    }
    client->role->informed(client, all);
    client_pause(client);
}

void client_ask_topics(struct client *client, const uint32_t *names, uint32_t names_count)
{
    struct metadata_request_topic topics[NAMES_MAX];
    struct metadata_request request;
    int16_t version = (int16_t)sim_between(client_dice(client), 10, METADATA_VERSION_MAX);
    metadata_request_init(&request);
    for (uint32_t i = 0; i < names_count; i++) {
        metadata_request_topic_init(&topics[i]);
        topics[i].name = view_of_text(client->world->names[names[i]]);
    }
    request.topics = topics;
    request.topics_count = (int32_t)names_count;
    request.allow_auto_topic_creation = true;
    metadata_request_encode(&request, client_ask(client, METADATA_KEY, version), version);
    client_asked(client, client_informed, 0);
}

void list_offsets_write(struct writer *writer, const struct book_topic *topic, int32_t index,
                        int64_t timestamp, int16_t version)
{
    struct list_offsets_request_topic asked;
    struct list_offsets_request_partition part;
    struct list_offsets_request request;
    list_offsets_request_partition_init(&part);
    part.partition_index = index;
    part.timestamp = timestamp;
    list_offsets_request_topic_init(&asked);
    asked.name = view_of_text(topic->name);
    asked.partitions = &part;
    asked.partitions_count = 1;
    list_offsets_request_init(&request);
    request.replica_id = -1;
    request.topics = &asked;
    request.topics_count = 1;
    list_offsets_request_encode(&request, writer, version);
}
