#include "tests/sim/deaf.h"

enum {
    AGAIN_US = 200 * 1000, /* between two connections */
    QUESTIONS_MAX = 30,    /* on one */
};

static void deaf_ask_metadata(struct deaf *deaf)
{
    struct metadata_request request;
    metadata_request_init(&request);
    request.topics_count = -1;
    metadata_request_encode(&request, dialogue_begin(&deaf->dialogue, METADATA_KEY, 8), 8);
    dialogue_end(&deaf->dialogue, NULL);
}

/* All partitions of all topics, from their start. */
static void deaf_fetch(struct deaf *deaf)
{
    struct world *world = deaf->world;
    struct fetch_request_partition partitions[BOOK_PARTITIONS_MAX];
    struct fetch_request_topic topics[NAMES_MAX];
    struct fetch_request request;
    for (uint32_t i = 0; i < BOOK_PARTITIONS_MAX; i++) {
        fetch_request_partition_init(&partitions[i]);
        partitions[i].partition = (int32_t)i;
        partitions[i].partition_max_bytes = 1 << sim_between(&world->dice, 8, 20);
    }
    for (uint32_t i = 0; i < world->names_count; i++) {
        fetch_request_topic_init(&topics[i]);
        topics[i].topic = view_of_text(world->names[i]);
        topics[i].partitions = partitions;
        topics[i].partitions_count = BOOK_PARTITIONS_MAX;
    }
    fetch_request_init(&request);
    request.max_bytes = INT32_MAX;
    request.topics = topics;
    request.topics_count = (int32_t)world->names_count;
    request.session_epoch = -1;
    fetch_request_encode(&request, dialogue_begin(&deaf->dialogue, FETCH_KEY, 11), 11);
    dialogue_end(&deaf->dialogue, NULL);
}

static void deaf_come(struct sim *sim, struct sim_event *event)
{
    struct deaf *deaf = container_of(event, struct deaf, event);
    struct sim_random *dice = &deaf->world->dice;
    dialogue_connect(&deaf->dialogue, sim, deaf->world->computer->node, BROKER_PORT);
    sim_client_pause(&deaf->dialogue.client, true);
    for (uint64_t left = sim_between(dice, 1, QUESTIONS_MAX);
         left > 0 && dialogue_is_open(&deaf->dialogue); left--) {
        if (sim_chance(dice, 20)) {
            deaf_ask_metadata(deaf);
        } else {
            deaf_fetch(deaf);
        }
    }
}

static void deaf_come_again(struct deaf *deaf, uint64_t us)
{
    sim_event_cancel(&deaf->world->computer->sim, &deaf->event);
    sim_event_start(&deaf->world->computer->sim, &deaf->event, us, deaf_come);
}

/* Closed, or the broker is gone. */
static void deaf_broken(struct dialogue *dialogue, int error)
{
    deaf_come_again(container_of(dialogue, struct deaf, dialogue), AGAIN_US);
}

void deaf_init(struct deaf *deaf, struct world *world)
{
    *deaf = (struct deaf){.world = world};
    dialogue_init(&deaf->dialogue, deaf_broken, NULL);
}

void deaf_deinit(struct deaf *deaf)
{
    dialogue_deinit(&deaf->dialogue);
}

void deaf_start(struct deaf *deaf)
{
    if (!dialogue_is_open(&deaf->dialogue)) {
        deaf_come_again(deaf, sim_below(&deaf->world->dice, AGAIN_US));
    }
}

void deaf_rest(struct deaf *deaf)
{
    sim_event_cancel(&deaf->world->computer->sim, &deaf->event);
    dialogue_reset(&deaf->dialogue);
}
