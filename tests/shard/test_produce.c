#include "shard/produce.h"

#include "tests/log/kafka_bytes.h"
#include "tests/shard/broker_fixture.h"

static void send_batch(struct client *client, int16_t version, int16_t acks, const char *name,
                       const struct uuid *id, int32_t index, const uint8_t *batch, size_t bytes)
{
    struct produce_request_partition partition = {
        .index = index, .records = {.data = batch, .bytes = (int32_t)bytes}};
    struct produce_request_topic topic = {.name = view_of_text(name)};
    if (id) {
        topic.topic_id = *id;
    }
    client_begin_produce(client, version, acks, topic, &partition, 1);
    client_send(client);
}

static struct produce_response_partition receive_answer(struct client *client, int16_t version)
{
    struct cursor body = client_receive(client, API_PRODUCE, version);
    struct produce_response response;
    cr_assert(produce_response_decode(&response, &body, version, &client->arena));
    cr_assert_eq(response.responses_count, 1);
    cr_assert_eq(response.responses[0].partition_responses_count, 1);
    return response.responses[0].partition_responses[0];
}

static struct produce_response_partition produce(struct client *client, int16_t version,
                                                 const char *name, const uint8_t *batch,
                                                 size_t bytes)
{
    send_batch(client, version, -1, name, NULL, 0, batch, bytes);
    return receive_answer(client, version);
}

Test(produce, appends_in_every_version)
{
    struct rig *rig = rig_new(2, NULL);
    struct client client;
    client_open(&client, rig);
    struct uuid id = client_create(&client, "t", 3, NULL, 0);
    uint8_t batch[4096];
    size_t bytes = make_records(batch, sizeof batch, 5, 10, rig_now_ms(rig));
    for (int16_t version = PRODUCE_VERSION_MIN; version <= PRODUCE_VERSION_MAX; version++) {
        send_batch(&client, version, -1, "t", &id, 0, batch, bytes);
        struct produce_response_partition answer = receive_answer(&client, version);
        cr_assert_eq(answer.error_code, KAFKA_NONE);
        cr_assert_eq(answer.base_offset, (version - PRODUCE_VERSION_MIN) * 5);
        cr_assert_eq(answer.log_append_time_ms, -1);
    }
    part(&client);
}

Test(produce, reaches_partitions_of_all_cores_with_one_request)
{
    struct client client;
    struct rig *rig = meet(&client, 3, 100);
    uint8_t batch[4096];
    size_t bytes = make_records(batch, sizeof batch, 3, 10, rig_now_ms(rig));
    struct produce_request_partition partitions[101];
    for (int32_t i = 0; i < 101; i++) { /* the last one does not exist */
        partitions[i] = (struct produce_request_partition){
            .index = i, .records = {.data = batch, .bytes = (int32_t)bytes}};
    }
    for (int64_t round = 0; round < 3; round++) {
        client_begin_produce(&client, 9, -1,
                             (struct produce_request_topic){.name = view_of_text("t")}, partitions,
                             101);
        struct cursor body = client_call(&client);
        struct produce_response response;
        cr_assert(produce_response_decode(&response, &body, 9, &client.arena));
        cr_assert_eq(response.responses[0].partition_responses_count, 101);
        for (int32_t i = 0; i < 101; i++) {
            const struct produce_response_partition *answer =
                &response.responses[0].partition_responses[i];
            cr_assert_eq(answer->index, i);
            cr_assert_eq(answer->error_code,
                         i < 100 ? KAFKA_NONE : KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
            cr_assert_eq(answer->base_offset, i < 100 ? round * 3 : -1);
        }
    }
    part(&client);
}

Test(produce, answers_pipelined_requests_in_order)
{
    struct client client;
    struct rig *rig = meet(&client, 2, 1);
    uint8_t batch[4096];
    size_t bytes = make_records(batch, sizeof batch, 2, 10, rig_now_ms(rig));
    for (uint32_t i = 0; i < 200; i++) {
        send_batch(&client, 9, -1, "t", NULL, 0, batch, bytes);
    }
    for (int64_t i = 0; i < 200; i++) {
        struct produce_response_partition answer = receive_answer(&client, 9);
        cr_assert_eq(answer.error_code, KAFKA_NONE);
        cr_assert_eq(answer.base_offset, 2 * i);
    }
    part(&client);
}

/* The partition of "t" that core 1 owns. */
static int32_t partition_of_core_1(const struct rig *rig)
{
    const struct topic *topic = image_topic_by_name(rig->broker.shards[0].image, view_of_text("t"));
    uint32_t index = 0;
    while (topic->partitions[index].owner != 1) {
        index++;
    }
    return (int32_t)index;
}

Test(produce, lets_all_leave_for_whom_there_is_room_in_the_order_they_came)
{
    enum { SMALL = 4 };
    static uint8_t large[24 << 10], small[1024];
    struct rig *rig = rig_new(2, NULL);
    struct reactor *home = &rig->fixture.reactors[0], *owner = &rig->fixture.reactors[1];
    struct client clients[2 * (SMALL + 1)]; /* every second one lives on core 0 */
    for (uint32_t i = 0; i < 2 * (SMALL + 1); i++) {
        client_open(&clients[i], rig);
    }
    client_create(&clients[0], "t", 8, NULL, 0);
    home->slabs.budgets[BUDGET_FRAMES].bytes_max = 64 << 10; /* a line has a quarter of it */
    size_t large_bytes = make_records(large, sizeof large, 5, 4000, rig_now_ms(rig));
    size_t small_bytes = make_records(small, sizeof small, 1, 100, rig_now_ms(rig));
    cr_assert_gt(large_bytes, 16 << 10);
    int32_t index = partition_of_core_1(rig);
    struct produce_line *line = &rig->broker.shards[0].produce_lines[1];

    send_batch(&clients[0], 9, -1, "t", NULL, index, large, large_bytes);
    for (uint32_t i = 0; i < RIG_TURNS_MAX && line->bytes_out == 0; i++) {
        reactor_turn(home, false); /* and not the owner */
    }
    cr_assert_eq(line->bytes_out, large_bytes);
    for (uint32_t i = 1; i <= SMALL; i++) {
        send_batch(&clients[2 * i], 9, -1, "t", NULL, index, small, small_bytes);
        const struct op *last = line->waiting.tail;
        for (uint32_t k = 0; k < RIG_TURNS_MAX && line->waiting.tail == last; k++) {
            reactor_turn(home, false);
        }
        cr_assert_eq(line->bytes_out, large_bytes); /* it waits */
    }
    for (uint32_t i = 0; i < RIG_TURNS_MAX && line->bytes_out >= large_bytes; i++) {
        reactor_turn(owner, false);
        reactor_turn(home, false);
    }
    cr_assert_eq(line->bytes_out, SMALL * small_bytes);
    cr_assert(op_queue_is_empty(&line->waiting));
    for (uint32_t i = 0; i <= SMALL; i++) {
        struct produce_response_partition answer = receive_answer(&clients[2 * i], 9);
        cr_assert_eq(answer.error_code, KAFKA_NONE);
        cr_assert_eq(answer.base_offset, i == 0 ? 0 : 4 + i);
    }
    cr_assert_eq(line->bytes_out, 0);
    for (uint32_t i = 0; i < 2 * (SMALL + 1); i++) {
        client_close(&clients[i]);
    }
    rig_free(rig);
}

Test(produce, keeps_only_its_reply_for_a_client_that_does_not_read)
{
    enum { PARTITIONS = 2000, REQUESTS_MAX = 2000 };
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    static struct produce_request_partition partitions[PARTITIONS];
    for (int32_t i = 0; i < PARTITIONS; i++) {
        partitions[i] = (struct produce_request_partition){.index = i, .records = {.bytes = -1}};
    }
    client_begin_produce(&client, 8, -1,
                         (struct produce_request_topic){.name = view_of_text("nowhere")},
                         partitions, PARTITIONS);
    cr_assert(writer_finish(&client.writer));
    size_t bytes = writer_position(&client.writer), at = 0;
    uint8_t *frame = malloc(bytes);
    writer_patch32(client.size, (uint32_t)bytes - 4);
    writer_join(&client.writer, frame);
    writer_give_all(&client.writer);

    struct server *server = &rig->broker.shards[0].server;
    uint32_t sent = 0, idle = 0;
    while (sent < REQUESTS_MAX && idle < 5000) { /* until the broker reads no more */
        ssize_t part = send(client.fd, frame + at, bytes - at, MSG_NOSIGNAL);
        idle = part > 0 ? 0 : idle + 1;
        at += part > 0 ? (size_t)part : 0;
        if (at == bytes) {
            at = 0;
            sent++;
        }
        rig_turn(rig);
    }
    const struct connection *connection =
        container_of(list_first(&server->connections), struct connection, link);
    cr_assert_eq(connection->output.replies_count, REQUESTS_PER_CONNECTION_MAX);
    const struct budget *budgets = rig->fixture.reactors[0].slabs.budgets;
    /* received behind them: a hot buffer full, and a frame that has begun */
    cr_assert_leq(budgets[BUDGET_FRAMES].bytes, 128 << 10, "%lu",
                  (unsigned long)budgets[BUDGET_FRAMES].bytes);
    cr_assert_leq(budgets[BUDGET_SCRATCH].bytes, REQUESTS_PER_CONNECTION_MAX * 2048);
    client_close(&client);
    free(frame);
    rig_free(rig);
}

Test(produce, refuses_what_kafka_refuses)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    struct uuid id = client_create(&client, "t", 1, NULL, 0);
    uint8_t good[4096], bad[4096];
    size_t bytes = make_records(good, sizeof good, 2, 10, rig_now_ms(rig));

    cr_assert_eq(produce(&client, 9, "none", good, bytes).error_code,
                 KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    send_batch(&client, 9, -1, "t", NULL, 1, good, bytes);
    cr_assert_eq(receive_answer(&client, 9).error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    send_batch(&client, 9, -1, "t", NULL, -1, good, bytes);
    cr_assert_eq(receive_answer(&client, 9).error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    send_batch(&client, 9, 2, "t", NULL, 0, good, bytes);
    cr_assert_eq(receive_answer(&client, 9).error_code, KAFKA_INVALID_REQUIRED_ACKS);
    id.bytes[3] ^= 1;
    send_batch(&client, 13, -1, "", &id, 0, good, bytes);
    cr_assert_eq(receive_answer(&client, 13).error_code, KAFKA_UNKNOWN_TOPIC_ID);

    memcpy(bad, good, bytes);
    bad[bytes - 1] ^= 1;
    cr_assert_eq(produce(&client, 9, "t", bad, bytes).error_code, KAFKA_CORRUPT_MESSAGE);
    cr_assert_eq(produce(&client, 9, "t", good, 0).error_code, KAFKA_INVALID_RECORD);
    memcpy(bad, good, bytes);
    memcpy(bad + bytes, good, bytes);
    cr_assert_eq(produce(&client, 9, "t", bad, 2 * bytes).error_code, KAFKA_INVALID_RECORD);
    for (size_t cut = 1; cut < bytes; cut++) {
        cr_assert_neq(produce(&client, 9, "t", good, cut).error_code, KAFKA_NONE);
    }
    cr_assert_eq(produce(&client, 9, "t", good, bytes).base_offset, 0); /* nothing came in */
    part(&client);
}

Test(produce, names_the_records_that_spoil_a_batch)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    struct create_topics_request_config config = {.name = view_of_text("cleanup.policy"),
                                                  .value = view_of_text("compact")};
    client_create(&client, "t", 1, &config, 1);
    uint8_t batch[4096];
    size_t bytes = make_records(batch, sizeof batch, 3, 10, rig_now_ms(rig));
    struct produce_response_partition answer = produce(&client, 9, "t", batch, bytes);
    cr_assert_eq(answer.error_code, KAFKA_INVALID_RECORD);
    cr_assert_eq(answer.record_errors_count, 3);
    cr_assert_eq(answer.record_errors[1].batch_index, 1);
    cr_assert_not(view_is_null(answer.error_message));
    part(&client);
}

Test(produce, closes_a_connection_whose_unanswered_produce_failed)
{
    struct client client;
    struct rig *rig = meet(&client, 2, 1);
    uint8_t batch[4096];
    size_t bytes = make_records(batch, sizeof batch, 3, 10, rig_now_ms(rig));
    send_batch(&client, 9, 0, "t", NULL, 0, batch, bytes);
    cr_assert_eq(produce(&client, 9, "t", batch, bytes).base_offset, 3); /* no answer between */
    send_batch(&client, 9, 0, "none", NULL, 0, batch, bytes);
    client_await_close(&client);
    part(&client);
}

Test(produce, takes_large_batches)
{
    struct client client;
    struct rig *rig = meet(&client, 2, 2);
    size_t room = 1 << 20;
    uint8_t *batch = malloc(room);
    size_t bytes = make_records(batch, room, 240, 4096, rig_now_ms(rig));
    cr_assert_gt(bytes, 900000);
    for (int64_t i = 0; i < 4; i++) {
        send_batch(&client, 9, -1, "t", NULL, (int32_t)(i % 2), batch, bytes);
        cr_assert_eq(receive_answer(&client, 9).base_offset, i / 2 * 240);
    }
    free(batch);
    part(&client);
}

Test(produce, refuses_at_the_owner_what_home_passed_on_unread)
{
    struct rig *rig = rig_new(2, NULL);
    struct client client;
    client_open(&client, rig);
    struct create_topics_request_config config = {.name = view_of_text("odradek.validate"),
                                                  .value = view_of_text("headers")};
    client_create(&client, "t", 2, &config, 1);
    size_t room = 1 << 20;
    uint8_t *batch = malloc(room);
    static const uint32_t counts[] = {3, 240}; /* in one step, and in several */
    for (int32_t i = 0; i < 4; i++) {
        size_t bytes = make_records(batch, room, counts[i / 2], 4000, rig_now_ms(rig));
        batch[bytes - 1] ^= 1;
        send_batch(&client, 9, -1, "t", NULL, i % 2, batch, bytes);
        struct produce_response_partition answer = receive_answer(&client, 9);
        cr_assert_eq(answer.error_code, KAFKA_CORRUPT_MESSAGE);
        cr_assert_eq(answer.base_offset, -1);
        batch[bytes - 1] ^= 1;
        send_batch(&client, 9, -1, "t", NULL, i % 2, batch, bytes);
        answer = receive_answer(&client, 9);
        cr_assert_eq(answer.error_code, KAFKA_NONE);
        cr_assert_eq(answer.base_offset, i / 2 * counts[0]);
    }
    free(batch);
    client_close(&client);
    rig_free(rig);
}

Test(produce, recompresses_where_the_topic_says_so)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    static const char *const codecs[] = {"gzip", "snappy", "lz4", "zstd", "uncompressed"};
    size_t room = 1 << 20;
    uint8_t *batch = malloc(room);
    size_t bytes = make_records(batch, room, 100, 4000, rig_now_ms(rig));
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
        struct create_topics_request_config config = {.name = view_of_text("compression.type"),
                                                      .value = view_of_text(codecs[i])};
        client_create(&client, codecs[i], 1, &config, 1);
        cr_assert_eq(produce(&client, 9, codecs[i], batch, bytes).error_code, KAFKA_NONE);
        cr_assert_eq(produce(&client, 9, codecs[i], batch, bytes).base_offset, 100);
    }
    free(batch);
    part(&client);
}

Test(produce, does_not_wait_for_memory_that_its_own_batches_hold)
{
    enum { PARTS = 2000 };
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    struct create_topics_request_config config[2] = {
        {.name = view_of_text("compression.type"), .value = view_of_text("zstd")},
        {.name = view_of_text("message.timestamp.before.max.ms"),
         .value = view_of_text("9223372036854775807")}};
    client_create(&client, "t", 1, config, 2);
    struct produce_request_partition *partitions = calloc(PARTS, sizeof *partitions);
    for (uint32_t i = 0; i < PARTS; i++) {
        partitions[i].records =
            (struct codec_records){.data = kafka_batch_gzip, .bytes = sizeof kafka_batch_gzip};
    }
    partitions[PARTS - 1].records = (struct codec_records){
        .data = kafka_batch_zstd, .bytes = sizeof kafka_batch_zstd}; /* takes more to inflate */
    client_begin_produce(&client, 9, -1, (struct produce_request_topic){.name = view_of_text("t")},
                         partitions, PARTS);
    struct cursor body = client_call(&client);
    struct produce_response response;
    cr_assert(produce_response_decode(&response, &body, 9, &client.arena));
    const struct produce_response_partition *rows = response.responses[0].partition_responses;
    cr_assert_eq(rows[0].error_code, KAFKA_NONE);
    cr_assert_eq(rows[PARTS - 1].error_code, KAFKA_REQUEST_TIMED_OUT);
    free(partitions);
    part(&client);
}

Test(produce, closes_at_a_request_that_is_cut_short)
{
    struct client client;
    struct rig *rig = meet(&client, 1, 1);
    uint8_t batch[512], whole[1024];
    size_t bytes = make_records(batch, sizeof batch, 1, 10, rig_now_ms(rig));
    struct produce_request_partition partition = {
        .index = 0, .records = {.data = batch, .bytes = (int32_t)bytes}};
    client_begin_produce(&client, 9, -1, (struct produce_request_topic){.name = view_of_text("t")},
                         &partition, 1);
    cr_assert(writer_finish(&client.writer));
    size_t total = client.writer.first->bytes;
    memcpy(whole, client.writer.first->data, total);
    writer_give_all(&client.writer);
    client_close(&client);
    for (size_t cut = 10; cut < total - 4; cut++) { /* the prefix of the message is the frame */
        client_open(&client, rig);
        big_endian_store32(whole, (uint32_t)cut);
        client_write(&client, whole, 4 + cut);
        client_await_close(&client);
        client_close(&client);
    }
    rig_free(rig);
}

/* -- of very many partitions ------------------------------------------------------------------------- */

enum { MANY = 10000 };

/* All but the first and the last partition of one topic are of another, which nobody knows. */
static void begin_many(struct client *client, struct produce_request_partition *partitions,
                       int16_t acks)
{
    static uint8_t batch[512];
    size_t bytes = make_records(batch, sizeof batch, 1, 10, rig_now_ms(client->rig));
    for (uint32_t i = 0; i < MANY; i++) {
        partitions[i].records = (struct codec_records){.data = batch, .bytes = (int32_t)bytes};
    }
    struct produce_request_topic topics[3];
    for (uint32_t i = 0; i < 3; i++) {
        produce_request_topic_init(&topics[i]);
        topics[i].name = view_of_text(i == 1 ? "none" : "t");
        topics[i].partition_data_count = i == 1 ? MANY - 2 : 1;
        topics[i].partition_data = &partitions[i == 0 ? 0 : i == 1 ? 1 : MANY - 1];
    }
    struct produce_request request;
    produce_request_init(&request);
    request.acks = acks;
    request.topic_data = topics;
    request.topic_data_count = 3;
    produce_request_encode(&request, client_begin(client, API_PRODUCE, 9), 9);
}

Test(produce, takes_many_turns_for_many_partitions)
{
    struct client client;
    meet(&client, 2, 1);
    static struct produce_request_partition partitions[MANY];
    for (int32_t i = 0; i < MANY; i++) {
        produce_request_partition_init(&partitions[i]);
        partitions[i].index = i == MANY - 1 ? 0 : i;
    }
    begin_many(&client, partitions, -1);
    /* decoded, checked, given its rows, and encoded */
    cr_assert_gt(client_call_turns(&client), MANY / 1024 + MANY / 64 + MANY / 512 + MANY / 1024);
    struct cursor body = client_receive(&client, API_PRODUCE, 9);
    struct produce_response response;
    cr_assert(produce_response_decode(&response, &body, 9, &client.arena));
    cr_assert_eq(response.responses_count, 3);
    cr_assert_eq(response.responses[0].partition_responses[0].error_code, KAFKA_NONE);
    cr_assert_eq(response.responses[0].partition_responses[0].base_offset, 0);
    cr_assert_eq(response.responses[2].partition_responses[0].base_offset, 1);
    cr_assert_eq(response.responses[1].partition_responses_count, MANY - 2);
    for (int32_t i = 0; i < MANY - 2; i++) {
        const struct produce_response_partition *row =
            &response.responses[1].partition_responses[i];
        cr_assert_eq(row->index, i + 1);
        cr_assert_eq(row->error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
        cr_assert_eq(row->base_offset, -1);
    }

    begin_many(&client, partitions, 0); /* where only a close can tell that some failed */
    cr_assert_gt(client_call_turns(&client), MANY / 1024 + MANY / 64 + MANY / 512);
    cr_assert(client.ended);
    part(&client);
}

Test(produce, takes_many_turns_for_many_topics_without_partitions)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    static struct produce_request_topic topics[MANY];
    for (int32_t i = 0; i < MANY; i++) {
        produce_request_topic_init(&topics[i]);
        topics[i].name = view_of_text("t");
    }
    struct produce_request request;
    produce_request_init(&request);
    request.acks = 1;
    request.topic_data = topics;
    request.topic_data_count = MANY;
    produce_request_encode(&request, client_begin(&client, API_PRODUCE, 9), 9);
    cr_assert_gt(client_call_turns(&client), MANY / 1024 + MANY / 4096 + MANY / 512 + MANY / 1024);
    struct cursor body = client_receive(&client, API_PRODUCE, 9);
    struct produce_response response;
    cr_assert(produce_response_decode(&response, &body, 9, &client.arena));
    cr_assert_eq(response.responses_count, MANY);
    cr_assert(view_equal_text(response.responses[MANY - 1].name, "t"));
    cr_assert_eq(response.responses[MANY - 1].partition_responses_count, 0);
    part(&client);
}
