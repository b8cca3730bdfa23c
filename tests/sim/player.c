#include "tests/sim/player.h"

#include <errno.h>

enum {
    CREATE_VERSION = 7,
    PRODUCER_ID_VERSION = 4,
    PRODUCE_VERSION = 9,
    FETCH_VERSION = 12,
    TOPIC_ALREADY_EXISTS = 36,
    UNKNOWN_TOPIC_OR_PARTITION = 3,
    PAUSE_US_MAX = 20000,
};

static void writer_connected(struct sim *sim, struct sim_event *event);
static void writer_created(struct dialogue *dialogue, struct cursor *body, int16_t version);
static void writer_has_id(struct dialogue *dialogue, struct cursor *body, int16_t version);
static void writer_go_on(struct player *player);
static void writer_told(struct dialogue *dialogue, struct cursor *body, int16_t version);
static void reader_connected(struct sim *sim, struct sim_event *event);
static void reader_fetch(struct player *player);
static void reader_fetched(struct dialogue *dialogue, struct cursor *body, int16_t version);

static struct player *player_of(struct dialogue *dialogue)
{
    return dialogue->context;
}

static void wrong(struct player *player, const char *what, int64_t value)
{
    proof_fail(player->proof, "%s: %s: %ld", player->topic->name, what, (long)value);
}

/* The connection is gone: again, after a while. */
static void player_broken(struct dialogue *dialogue, int error)
{
    struct player *player = player_of(dialogue);
    player->request_count = 0;
    if (!player->stopped) {
        sim_event_start(player->sim, &player->event, 1 + sim_below(player->dice, PAUSE_US_MAX),
                        player->event.fire);
    }
}

void player_init(struct player *player, struct proof *proof, struct computer *computer,
                 struct sim_random *dice, struct ledger_topic *topic)
{
    *player = (struct player){.proof = proof,
                              .sim = &computer->sim,
                              .node = computer->node,
                              .dice = dice,
                              .topic = topic};
    dialogue_init(&player->dialogue, player_broken, player);
}

void player_hang_up(struct player *player)
{
    player->stopped = true;
    sim_event_cancel(player->sim, &player->event);
    dialogue_reset(&player->dialogue);
}

void player_deinit(struct player *player)
{
    player_hang_up(player);
    if (player->dialogue.problem) {
        proof_fail(player->proof, "%s: %s", player->topic->name, player->dialogue.problem);
    }
    dialogue_deinit(&player->dialogue);
}

/* -- writing ----------------------------------------------------------------------------------- */

void player_write(struct player *player, uint32_t batches, uint32_t bytes_max)
{
    player->left = batches;
    player->bytes_max = bytes_max;
    sim_event_start(player->sim, &player->event, sim_below(player->dice, PAUSE_US_MAX),
                    writer_connected);
}

bool player_has_written(const struct player *player)
{
    bool done = player->left == 0 && player->topic->is_told;
    for (uint32_t i = 0; i < player->topic->partitions_count; i++) {
        const struct line *line = &player->topic->lines[i];
        done = done && line_told(line) == line->count;
    }
    return done;
}

static void writer_connected(struct sim *sim, struct sim_event *event)
{
    struct player *player = container_of(event, struct player, event);
    struct ledger_topic *topic = player->topic;
    dialogue_connect(&player->dialogue, player->sim, player->node, PLAYER_PORT);
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        player->next[i] = line_told(&topic->lines[i]);
    }
    if (topic->is_told && topic->lines[0].producer_id >= 0) {
        writer_go_on(player);
        return;
    }
    struct create_topics_request_topic wanted;
    struct create_topics_request request;
    create_topics_request_init(&request);
    create_topics_request_topic_init(&wanted);
    wanted.name = view_of_text(topic->name);
    wanted.num_partitions = (int32_t)topic->partitions_count;
    wanted.replication_factor = 1;
    request.topics = &wanted;
    request.topics_count = 1;
    create_topics_request_encode(
        &request, dialogue_begin(&player->dialogue, CREATE_TOPICS_KEY, CREATE_VERSION),
        CREATE_VERSION);
    dialogue_end(&player->dialogue, writer_created);
}

static void writer_created(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct player *player = player_of(dialogue);
    struct create_topics_response response;
    if (!create_topics_response_decode(&response, body, version, dialogue_arena(dialogue)) ||
        response.topics_count != 1) {
        wrong(player, "a reply to CreateTopics that is none", 0);
        return;
    }
    int16_t error = response.topics[0].error_code;
    if (error && error != TOPIC_ALREADY_EXISTS) {
        wrong(player, "CreateTopics", error);
        return;
    }
    if (error == 0 && player->topic->is_told) {
        wrong(player, "a topic that was created is created again", 0);
    }
    player->topic->is_told = true;
    struct init_producer_id_request request;
    init_producer_id_request_init(&request);
    request.transactional_id = VIEW_NULL;
    init_producer_id_request_encode(
        &request, dialogue_begin(dialogue, INIT_PRODUCER_ID_KEY, PRODUCER_ID_VERSION),
        PRODUCER_ID_VERSION);
    dialogue_end(dialogue, writer_has_id);
}

static void writer_has_id(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct player *player = player_of(dialogue);
    struct init_producer_id_response response;
    if (!init_producer_id_response_decode(&response, body, version, dialogue_arena(dialogue)) ||
        response.error_code) {
        wrong(player, "InitProducerId", response.error_code);
        return;
    }
    for (uint32_t i = 0; i < player->topic->partitions_count; i++) {
        player->topic->lines[i].producer_id = response.producer_id;
        player->topic->lines[i].producer_epoch = response.producer_epoch;
    }
    writer_go_on(player);
}

/* For each partition, perhaps: the next batch, an old one again or a new one. */
static bool request_draw(struct player *player, struct player_request *request)
{
    struct ledger_topic *topic = player->topic;
    bool any = false;
    *request = (struct player_request){0};
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        struct line *line = &topic->lines[i];
        if (player->next[i] == line->count && player->left > 0 && sim_chance(player->dice, 60)) {
            uint32_t bytes_max = sim_chance(player->dice, 80) ? 300 : player->bytes_max;
            line_send(line, (uint32_t)sim_between(player->dice, 1, bytes_max), player->dice);
            player->left--;
        }
        if (player->next[i] < line->count) {
            request->has[i] = any = true;
            request->index[i] = player->next[i]++;
        }
    }
    return any;
}

static void writer_produce(struct player *player, const struct player_request *drawn)
{
    struct produce_request_partition partitions[PLAYER_PARTITIONS_MAX];
    struct produce_request_topic topic;
    struct produce_request request;
    produce_request_init(&request);
    produce_request_topic_init(&topic);
    request.acks = -1;
    request.timeout_ms = 30000;
    request.topic_data = &topic;
    request.topic_data_count = 1;
    topic.name = view_of_text(player->topic->name);
    topic.partition_data = partitions;
    for (uint32_t i = 0; i < player->topic->partitions_count; i++) {
        if (drawn->has[i]) {
            const struct sent *sent = &player->topic->lines[i].sent[drawn->index[i]];
            partitions[topic.partition_data_count++] = (struct produce_request_partition){
                .index = (int32_t)i,
                .records = {.data = sent->bytes, .bytes = (int32_t)sent->batch_bytes},
            };
        }
    }
    produce_request_encode(
        &request, dialogue_begin(&player->dialogue, PRODUCE_KEY, PRODUCE_VERSION), PRODUCE_VERSION);
    dialogue_end(&player->dialogue, writer_told);
}

static void writer_go_on(struct player *player)
{
    while (player->request_count < PLAYER_IN_FLIGHT_MAX && !player->proof->failed) {
        uint32_t at = (player->request_first + player->request_count) % PLAYER_IN_FLIGHT_MAX;
        bool is_idle = player->request_count == 0;
        while (!request_draw(player, &player->requests[at])) {
            if (!is_idle || player->left == 0) {
                return;
            }
        }
        player->request_count++;
        writer_produce(player, &player->requests[at]);
        if (sim_chance(player->dice, 30)) {
            return;
        }
    }
}

static void writer_told(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct player *player = player_of(dialogue);
    struct produce_response response;
    if (!produce_response_decode(&response, body, version, dialogue_arena(dialogue)) ||
        response.responses_count != 1) {
        wrong(player, "a reply to Produce that is none", 0);
        return;
    }
    const struct player_request *request = &player->requests[player->request_first];
    const struct produce_response_topic *topic = &response.responses[0];
    for (int32_t i = 0; i < topic->partition_responses_count; i++) {
        const struct produce_response_partition *partition = &topic->partition_responses[i];
        uint32_t index = (uint32_t)partition->index;
        if (index >= player->topic->partitions_count || !request->has[index]) {
            wrong(player, "a reply for a partition that was not asked for", partition->index);
            return;
        }
        struct sent *sent = &player->topic->lines[index].sent[request->index[index]];
        if (partition->error_code) {
            wrong(player, "Produce", partition->error_code);
            return;
        }
        if (partition->base_offset != sent->base_offset) {
            wrong(player, "a batch was appended elsewhere", partition->base_offset);
            return;
        }
        sent->told = true;
    }
    player->request_first = (player->request_first + 1) % PLAYER_IN_FLIGHT_MAX;
    player->request_count--;
    writer_go_on(player);
}

/* -- reading ----------------------------------------------------------------------------------- */

void player_read(struct player *player)
{
    sim_event_start(player->sim, &player->event, sim_below(player->dice, PAUSE_US_MAX),
                    reader_connected);
}

bool player_has_caught_up(const struct player *player)
{
    bool all = true;
    for (uint32_t i = 0; i < player->topic->partitions_count; i++) {
        all = all && player->caught_up[i];
    }
    return all || player->unknown;
}

static void reader_connected(struct sim *sim, struct sim_event *event)
{
    struct player *player = container_of(event, struct player, event);
    if (!dialogue_is_open(&player->dialogue)) {
        dialogue_connect(&player->dialogue, player->sim, player->node, PLAYER_PORT);
    }
    reader_fetch(player);
}

static int64_t offset_after(const struct line *line, uint32_t batches)
{
    return batches == 0 ? 0 : line->sent[batches - 1].base_offset + line->sent[batches - 1].records;
}

static void reader_fetch(struct player *player)
{
    struct fetch_request_partition partitions[PLAYER_PARTITIONS_MAX];
    struct fetch_request_topic topic;
    struct fetch_request request;
    fetch_request_init(&request);
    fetch_request_topic_init(&topic);
    player->was_told = player->topic->is_told;
    request.max_wait_ms = (int32_t)sim_below(player->dice, 50);
    request.min_bytes = 1;
    request.max_bytes = (int32_t)sim_between(player->dice, 1, 1 << 20);
    request.topics = &topic;
    request.topics_count = 1;
    topic.topic = view_of_text(player->topic->name);
    topic.partitions = partitions;
    topic.partitions_count = (int32_t)player->topic->partitions_count;
    for (uint32_t i = 0; i < player->topic->partitions_count; i++) {
        fetch_request_partition_init(&partitions[i]);
        partitions[i].partition = (int32_t)i;
        partitions[i].fetch_offset = offset_after(&player->topic->lines[i], player->read[i]);
        partitions[i].partition_max_bytes = (int32_t)sim_between(player->dice, 1, 1 << 18);
    }
    fetch_request_encode(&request, dialogue_begin(&player->dialogue, FETCH_KEY, FETCH_VERSION),
                         FETCH_VERSION);
    dialogue_end(&player->dialogue, reader_fetched);
}

static void partition_fetched(struct player *player, const struct fetch_response_partition *from)
{
    uint32_t index = (uint32_t)from->partition_index;
    struct ledger_topic *topic = player->topic;
    if (index >= topic->partitions_count) {
        wrong(player, "a partition that was not asked for", from->partition_index);
        return;
    }
    struct line *line = &topic->lines[index];
    if (from->error_code == UNKNOWN_TOPIC_OR_PARTITION && !player->was_told) {
        player->unknown = true;
        return;
    }
    if (from->error_code) {
        wrong(player, "Fetch", from->error_code);
        return;
    }
    player->unknown = false;
    struct batch batch;
    struct batch_walk walk =
        batch_walk(from->records.data, from->records.bytes > 0 ? (size_t)from->records.bytes : 0);
    while (batch_walk_next(&walk, &batch)) {
        const char *what = line_check_batch(line, player->read[index], &batch);
        if (what || !batch_is_intact(&batch)) {
            proof_fail(player->proof, "%s-%u, batch %u at %ld: %s", topic->name, index,
                       player->read[index], (long)batch.base_offset,
                       what ? what : "its CRC is wrong");
            return;
        }
        if (!player->is_looking) {
            line->sent[player->read[index]].told = true;
        }
        player->read[index]++;
    }
    player->caught_up[index] = offset_after(line, player->read[index]) == from->high_watermark;
}

static void reader_fetched(struct dialogue *dialogue, struct cursor *body, int16_t version)
{
    struct player *player = player_of(dialogue);
    struct fetch_response response;
    if (!fetch_response_decode(&response, body, version, dialogue_arena(dialogue)) ||
        response.error_code) {
        wrong(player, "a reply to Fetch that is none", 0);
        return;
    }
    for (int32_t i = 0; i < response.responses_count; i++) {
        const struct fetch_response_topic *topic = &response.responses[i];
        for (int32_t j = 0; j < topic->partitions_count && !player->proof->failed; j++) {
            partition_fetched(player, &topic->partitions[j]);
        }
    }
    if (!player->stopped) {
        sim_event_start(player->sim, &player->event, sim_below(player->dice, 2000),
                        reader_connected);
    }
}
