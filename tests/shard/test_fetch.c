#include "shard/fetch.h"

#include "shard/partition.h"

#include "tests/shard/broker_fixture.h"

/* Appends a batch of `count` records; its bytes. */
static size_t produce(struct client *client, const char *name, int32_t index, uint32_t count,
                      uint32_t value_bytes)
{
    return client_append(client, name, index, count, value_bytes, rig_now_ms(client->rig));
}

/* A fetch of some partitions of one topic. */
struct asking {
    struct fetch_request request;
    struct fetch_request_topic topic;
    struct fetch_request_partition partitions[100];
};

/* One more partition, from this offset on. */
static void ask_more(struct asking *asking, int32_t index, int64_t offset)
{
    struct fetch_request_partition *partition =
        &asking->partitions[asking->topic.partitions_count++];
    fetch_request_partition_init(partition);
    partition->partition = index;
    partition->partition_max_bytes = 1 << 20;
    partition->fetch_offset = offset;
}

static struct asking ask(const char *name, int32_t partitions_count)
{
    struct asking asking;
    fetch_request_init(&asking.request);
    asking.request.session_epoch = -1;
    fetch_request_topic_init(&asking.topic);
    asking.topic.topic = view_of_text(name);
    for (int32_t i = 0; i < partitions_count; i++) {
        ask_more(&asking, i, 0);
    }
    return asking;
}

/* It may take a minute, and ends with so many bytes. */
static void be_patient(struct asking *asking, int32_t min_bytes)
{
    asking->request.max_wait_ms = 60000;
    asking->request.min_bytes = min_bytes;
}

static void send_fetch(struct client *client, int16_t version, struct asking *asking)
{
    asking->topic.partitions = asking->partitions;
    asking->request.topics = &asking->topic;
    asking->request.topics_count = asking->topic.partitions_count > 0;
    fetch_request_encode(&asking->request, client_begin(client, API_FETCH, version), version);
    client_send(client);
}

static struct fetch_response receive_fetched(struct client *client, int16_t version)
{
    struct cursor body = client_receive(client, API_FETCH, version);
    struct fetch_response response;
    cr_assert(fetch_response_decode(&response, &body, version, &client->arena));
    return response;
}

static struct fetch_response fetch(struct client *client, int16_t version, struct asking *asking)
{
    send_fetch(client, version, asking);
    return receive_fetched(client, version);
}

static struct fetch_response_partition only(const struct fetch_response *response)
{
    cr_assert_eq(response->error_code, KAFKA_NONE);
    cr_assert_eq(response->responses_count, 1);
    cr_assert_eq(response->responses[0].partitions_count, 1);
    return response->responses[0].partitions[0];
}

/* How many records, of whole batches end to end from this offset on. */
static int64_t records_count(struct codec_records records, int64_t base_offset)
{
    struct batch_walk walk = batch_walk(records.data, (size_t)records.bytes);
    struct batch batch;
    int64_t next = base_offset;
    while (batch_walk_next(&walk, &batch)) {
        cr_assert_eq(batch.base_offset, next);
        cr_assert(batch_is_intact(&batch));
        next = batch_last_offset(&batch) + 1;
    }
    return next - base_offset;
}

Test(fetch, returns_what_was_produced_in_every_version)
{
    struct rig *rig = rig_new(2, NULL);
    struct client client;
    client_open(&client, rig);
    struct uuid id = client_create(&client, "t", 2, NULL, 0);
    for (int32_t index = 0; index < 2; index++) {
        produce(&client, "t", index, 5, 10);
        produce(&client, "t", index, 3, 10);
    }
    for (int16_t version = FETCH_VERSION_MIN; version <= FETCH_VERSION_MAX; version++) {
        struct asking asking = ask("t", 2);
        asking.topic.topic_id = id;
        struct fetch_response response = fetch(&client, version, &asking);
        cr_assert_eq(response.error_code, KAFKA_NONE);
        cr_assert_eq(response.responses_count, 1);
        cr_assert_eq(response.responses[0].partitions_count, 2);
        for (int32_t i = 0; i < 2; i++) {
            struct fetch_response_partition *row = &response.responses[0].partitions[i];
            cr_assert_eq(row->partition_index, i);
            cr_assert_eq(row->error_code, KAFKA_NONE);
            cr_assert_eq(row->high_watermark, 8);
            cr_assert_eq(row->last_stable_offset, 8);
            cr_assert_eq(row->aborted_transactions_count, -1);
            cr_assert_eq(records_count(row->records, 0), 8);
        }
    }
    part(&client);
}

Test(fetch, begins_with_the_batch_that_holds_the_offset)
{
    struct client client;
    meet(&client, 1, 1);
    produce(&client, "t", 0, 5, 10);
    produce(&client, "t", 0, 5, 10);
    struct asking asking = ask("t", 1);
    asking.partitions[0].fetch_offset = 7;
    struct fetch_response response = fetch(&client, 12, &asking);
    cr_assert_eq(records_count(only(&response).records, 5), 5);
    asking.partitions[0].fetch_offset = 10; /* the end: nothing, and no error */
    response = fetch(&client, 12, &asking);
    cr_assert_eq(only(&response).error_code, KAFKA_NONE);
    cr_assert_eq(only(&response).records.bytes, 0);
    part(&client);
}

Test(fetch, refuses_offsets_and_partitions_that_are_not_there)
{
    struct rig *rig = rig_new(2, NULL);
    struct client client;
    client_open(&client, rig);
    struct uuid id = client_create(&client, "t", 1, NULL, 0);
    produce(&client, "t", 0, 5, 10);
    struct asking asking = ask("t", 1);
    be_patient(&asking, 1); /* an error does not wait */
    asking.partitions[0].fetch_offset = 6;
    struct fetch_response response = fetch(&client, 12, &asking);
    cr_assert_eq(only(&response).error_code, KAFKA_OFFSET_OUT_OF_RANGE);
    cr_assert_eq(only(&response).high_watermark, -1);
    cr_assert_eq(only(&response).log_start_offset, -1);
    asking = ask("none", 1);
    response = fetch(&client, 12, &asking);
    cr_assert_eq(only(&response).error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    asking = ask("t", 1);
    asking.partitions[0].partition = 1;
    response = fetch(&client, 12, &asking);
    cr_assert_eq(only(&response).error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    asking = ask("", 1);
    asking.topic.topic_id = id;
    asking.topic.topic_id.bytes[5] ^= 1;
    response = fetch(&client, 13, &asking);
    cr_assert_eq(only(&response).error_code, KAFKA_UNKNOWN_TOPIC_ID);
    asking = ask("t", 1);
    asking.partitions[0].current_leader_epoch = 1;
    response = fetch(&client, 12, &asking);
    cr_assert_eq(only(&response).error_code, KAFKA_UNKNOWN_LEADER_EPOCH);
    asking = ask("t", 1);
    asking.request.replica_id = 7; /* no follower of ours */
    response = fetch(&client, 12, &asking);
    cr_assert_eq(only(&response).error_code, KAFKA_NOT_LEADER_OR_FOLLOWER);
    part(&client);
}

Test(fetch, returns_the_first_batch_whole_and_respects_limits_after_it)
{
    struct client client;
    meet(&client, 2, 3);
    size_t bytes = 0;
    for (int32_t i = 0; i < 3; i++) {
        bytes = produce(&client, "t", i, 10, 100);
    }
    struct asking asking = ask("t", 3);
    asking.request.max_bytes = 10;
    struct fetch_response response = fetch(&client, 12, &asking);
    struct fetch_response_partition *rows = response.responses[0].partitions;
    cr_assert_eq(rows[0].records.bytes, (int32_t)bytes);
    cr_assert_eq(rows[1].records.bytes, 0);
    cr_assert_eq(rows[2].records.bytes, 0);
    asking.request.max_bytes = (int32_t)(2 * bytes);
    response = fetch(&client, 12, &asking);
    rows = response.responses[0].partitions;
    cr_assert_eq(rows[1].records.bytes, (int32_t)bytes);
    cr_assert_eq(rows[2].records.bytes, 0);
    asking.request.max_bytes = INT32_MAX;
    asking.partitions[1].partition_max_bytes = 10; /* its first batch does not fit */
    response = fetch(&client, 12, &asking);
    rows = response.responses[0].partitions;
    cr_assert_eq(rows[1].records.bytes, 0);
    cr_assert_eq(rows[2].records.bytes, (int32_t)bytes);
    part(&client);
}

Test(fetch, sends_many_megabytes_from_another_core)
{
    struct client client;
    meet(&client, 2, 2);
    for (int32_t i = 0; i < 4; i++) {
        produce(&client, "t", i % 2, 240, 4096);
    }
    struct asking asking = ask("t", 2);
    asking.partitions[0].partition_max_bytes = asking.partitions[1].partition_max_bytes = 4 << 20;
    struct fetch_response response = fetch(&client, 12, &asking);
    for (int32_t i = 0; i < 2; i++) {
        cr_assert_eq(records_count(response.responses[0].partitions[i].records, 0), 480);
    }
    part(&client);
}

Test(fetch, waits_for_records)
{
    for (uint32_t cores = 1; cores <= 3; cores++) {
        struct client reader, writer;
        struct rig *rig = meet_two(&reader, &writer, cores, 6);
        for (int32_t index = 0; index < 6; index++) {
            struct asking asking = ask("t", 6);
            be_patient(&asking, 1);
            for (int32_t i = 0; i < index; i++) {
                asking.partitions[i].fetch_offset = 2;
            }
            send_fetch(&reader, 12, &asking);
            rig_turn_often(rig, 1000);
            cr_assert(client_is_silent(&reader));
            produce(&writer, "t", index, 2, 10);
            struct fetch_response response = receive_fetched(&reader, 12);
            cr_assert_eq(records_count(response.responses[0].partitions[index].records, 0), 2);
        }
        part_two(&reader, &writer);
    }
}

Test(fetch, waits_for_as_many_bytes_as_it_asks_for)
{
    struct client reader, writer;
    struct rig *rig = meet_two(&reader, &writer, 2, 2);
    struct asking asking = ask("t", 2);
    be_patient(&asking, 1500);
    send_fetch(&reader, 12, &asking);
    produce(&writer, "t", 0, 10, 50);
    produce(&writer, "t", 1, 10, 50);
    rig_turn_often(rig, 1000);
    cr_assert(client_is_silent(&reader));
    produce(&writer, "t", 1, 10, 50);
    struct fetch_response response = receive_fetched(&reader, 12);
    cr_assert_eq(records_count(response.responses[0].partitions[0].records, 0), 10);
    cr_assert_eq(records_count(response.responses[0].partitions[1].records, 0), 20);
    part_two(&reader, &writer);
}

Test(fetch, answers_with_nothing_when_its_time_is_over)
{
    struct client client;
    struct rig *rig = meet(&client, 2, 1);
    struct asking asking = ask("t", 1);
    asking.request.max_wait_ms = 30;
    asking.request.min_bytes = 1;
    uint64_t begun_us = reactor_now_us(&rig->fixture.reactors[0]);
    struct fetch_response response = fetch(&client, 12, &asking);
    cr_assert_eq(only(&response).records.bytes, 0);
    cr_assert_geq(reactor_now_us(&rig->fixture.reactors[0]) - begun_us, 25000);
    part(&client);
}

Test(fetch, ends_when_its_client_is_given_up)
{
    static const char *const hasty[] = {"connections.max.idle.ms=200", NULL};
    struct rig *rig = rig_new(2, hasty);
    struct client client;
    client_open(&client, rig);
    client_create(&client, "t", 1, NULL, 0);
    struct asking asking = ask("t", 1);
    asking.request.max_wait_ms = INT32_MAX;
    asking.request.min_bytes = INT32_MAX;
    send_fetch(&client, 12, &asking);
    client_await_close(&client);
    part(&client);
}

Test(fetch, hears_of_it_when_its_topic_is_deleted)
{
    struct rig *rig = rig_new(2, NULL);
    struct client reader, writer;
    client_open(&reader, rig);
    client_open(&writer, rig);
    struct uuid id = client_create(&writer, "t", 1, NULL, 0);
    produce(&writer, "t", 0, 1, 10);
    struct asking asking = ask("t", 1);
    be_patient(&asking, 1);
    asking.partitions[0].fetch_offset = 1;
    asking.topic.topic_id = id;
    send_fetch(&reader, 13, &asking);
    rig_turn_often(rig, 1000);
    struct delete_topics_request_topic topic = {.name = VIEW_NULL, .topic_id = id};
    struct delete_topics_request request = {
        .topics = &topic, .topics_count = 1, .timeout_ms = 5000};
    delete_topics_request_encode(&request, client_begin(&writer, API_DELETE_TOPICS, 6), 6);
    (void)client_call(&writer);
    struct fetch_response response = receive_fetched(&reader, 13);
    cr_assert_eq(only(&response).error_code, KAFKA_UNKNOWN_TOPIC_ID);
    part_two(&reader, &writer);
}

static uint32_t logs_count(const struct rig *rig)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rig->broker.count; i++) {
        count += rig->broker.shards[i].store.logs_count;
    }
    return count;
}

/* To ask for what was never written makes nothing, and answers as an empty log would. */
Test(fetch, makes_no_log_of_a_partition_that_was_never_written)
{
    struct rig *rig = rig_new(2, NULL);
    struct client reader, writer;
    client_open(&reader, rig);
    client_open(&writer, rig);
    client_create(&writer, "t", 100, NULL, 0);
    struct asking asking = ask("t", 100);
    asking.request.session_epoch = 0;
    struct fetch_response response = fetch(&reader, 12, &asking);
    cr_assert_eq(response.responses[0].partitions_count, 100);
    for (int32_t i = 0; i < 100; i++) {
        struct fetch_response_partition *row = &response.responses[0].partitions[i];
        cr_assert_eq(row->error_code, KAFKA_NONE);
        cr_assert_eq(row->high_watermark, 0);
        cr_assert_eq(row->log_start_offset, 0);
        cr_assert_eq(row->records.bytes, 0);
    }
    static const struct {
        int64_t offset;
        int32_t leader_epoch, last_epoch;
        int16_t error;
        bool diverges;
    } rows[] = {
        {1, -1, -1, KAFKA_OFFSET_OUT_OF_RANGE, false},
        {-1, -1, -1, KAFKA_OFFSET_OUT_OF_RANGE, false},
        {0, 1, -1, KAFKA_UNKNOWN_LEADER_EPOCH, false},
        {0, -2, -1, KAFKA_FENCED_LEADER_EPOCH, false},
        {0, 0, 0, KAFKA_NONE, false},
        {5, 0, 0, KAFKA_NONE, true},
        {0, 0, 3, KAFKA_OFFSET_OUT_OF_RANGE, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        asking = ask("t", 1);
        asking.partitions[0].fetch_offset = rows[i].offset;
        asking.partitions[0].current_leader_epoch = rows[i].leader_epoch;
        asking.partitions[0].last_fetched_epoch = rows[i].last_epoch;
        response = fetch(&reader, 12, &asking);
        cr_assert_eq(only(&response).error_code, rows[i].error, "%zu", i);
        cr_assert_eq(only(&response).diverging_epoch.end_offset, rows[i].diverges ? 0 : -1);
    }
    cr_assert_eq(logs_count(rig), 0);
    client_close(&reader);
    client_close(&writer);
    rig_free(rig);
}

/* How many partitions without a log this broker remembers. */
static uint32_t waited_for(const struct rig *rig, const struct uuid *topic_id, int32_t count)
{
    uint32_t found = 0;
    for (uint32_t core = 0; core < rig->broker.count; core++) {
        for (int32_t i = 0; i < count; i++) {
            found += partition_is_remembered(&rig->broker.shards[core], topic_id, i);
        }
    }
    return found;
}

Test(fetch, wakes_at_the_first_append_of_a_partition)
{
    for (uint32_t cores = 1; cores <= 2; cores++) {
        struct rig *rig = rig_new(cores, NULL);
        struct client reader, writer;
        client_open(&reader, rig);
        client_open(&writer, rig);
        struct uuid id = client_create(&writer, "t", 20, NULL, 0);
        struct asking asking = ask("t", 20);
        asking.request.max_wait_ms = 60000;
        asking.request.min_bytes = 1;
        send_fetch(&reader, 12, &asking);
        for (uint32_t i = 0; i < 1000; i++) {
            rig_turn(rig);
        }
        cr_assert(client_is_silent(&reader));
        cr_assert_eq(logs_count(rig), 0);
        cr_assert_eq(waited_for(rig, &id, 20), 20);
        produce(&writer, "t", 7, 2, 10);
        struct fetch_response response = receive_fetched(&reader, 12);
        cr_assert_eq(records_count(response.responses[0].partitions[7].records, 0), 2);
        for (uint32_t i = 0; i < 1000; i++) {
            rig_turn(rig);
        }
        cr_assert_eq(logs_count(rig), 1);
        cr_assert_eq(waited_for(rig, &id, 20), 1, "nobody waits for the others any more");
        client_close(&reader);
        client_close(&writer);
        rig_free(rig);
    }
}

Test(fetch, hears_of_the_deletion_of_a_topic_that_was_never_written)
{
    struct rig *rig = rig_new(2, NULL);
    struct client readers[3], writer;
    client_open(&writer, rig);
    struct uuid id = client_create(&writer, "t", 10, NULL, 0);
    struct asking asking = ask("t", 10);
    asking.request.max_wait_ms = 60000;
    asking.request.min_bytes = 1;
    asking.topic.topic_id = id;
    for (uint32_t i = 0; i < 3; i++) {
        client_open(&readers[i], rig);
        send_fetch(&readers[i], 13, &asking);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        rig_turn(rig);
    }
    struct delete_topics_request_topic topic = {.name = VIEW_NULL, .topic_id = id};
    struct delete_topics_request request = {
        .topics = &topic, .topics_count = 1, .timeout_ms = 5000};
    delete_topics_request_encode(&request, client_begin(&writer, API_DELETE_TOPICS, 6), 6);
    (void)client_call(&writer);
    for (uint32_t i = 0; i < 3; i++) {
        struct fetch_response response = receive_fetched(&readers[i], 13);
        uint32_t unknown = 0; /* one core may have told of it before the others have heard */
        for (int32_t k = 0; k < 10; k++) {
            unknown += response.responses[0].partitions[k].error_code == KAFKA_UNKNOWN_TOPIC_ID;
        }
        cr_assert_gt(unknown, 0);
        client_close(&readers[i]);
    }
    client_close(&writer);
    rig_free(rig);
}

/* -- sessions --------------------------------------------------------------------------------------- */

static int32_t open_session(struct client *client, const char *name, int32_t partitions_count)
{
    struct asking asking = ask(name, partitions_count);
    asking.request.session_epoch = 0;
    struct fetch_response response = fetch(client, 12, &asking);
    cr_assert_eq(response.error_code, KAFKA_NONE);
    cr_assert_gt(response.session_id, 0);
    return response.session_id;
}

static struct asking ask_session(int32_t session_id, int32_t epoch)
{
    struct asking asking = ask("t", 0);
    asking.request.session_id = session_id;
    asking.request.session_epoch = epoch;
    return asking;
}

Test(fetch, remembers_a_session_and_tells_only_news)
{
    for (uint32_t cores = 1; cores <= 2; cores++) {
        struct client reader, writer;
        struct rig *rig = meet_two(&reader, &writer, cores, 10);
        int32_t session = open_session(&reader, "t", 10);
        struct asking asking = ask_session(session, 1);
        struct fetch_response response = fetch(&reader, 12, &asking);
        cr_assert_eq(response.session_id, session);
        cr_assert_eq(response.responses_count, 0);
        for (int32_t epoch = 2; epoch < 12; epoch++) {
            int32_t index = epoch - 2;
            asking = ask_session(session, epoch);
            be_patient(&asking, 1);
            if (index > 0) { /* the one read last goes on behind what was read */
                ask_more(&asking, index - 1, 2);
            }
            send_fetch(&reader, 12, &asking);
            rig_turn_often(rig, 200);
            produce(&writer, "t", index, 2, 10);
            response = receive_fetched(&reader, 12);
            cr_assert_eq(only(&response).partition_index, index);
            cr_assert_eq(records_count(only(&response).records, 0), 2);
        }
        part_two(&reader, &writer);
    }
}

/* A consumer far behind on one partition never waits, and still has to hear of the others. */
Test(fetch, tells_of_other_partitions_while_one_always_has_records)
{
    for (uint32_t cores = 1; cores <= 2; cores++) {
        struct client reader, writer;
        meet_two(&reader, &writer, cores, 10);
        for (int32_t i = 0; i < 4; i++) {
            produce(&writer, "t", 0, 2, 10);
        }
        int32_t session = open_session(&reader, "t", 10);
        for (int32_t index = 1; index < 10; index++) {
            produce(&writer, "t", index, 2, 10);
        }
        struct asking asking = ask_session(session, 1);
        ask_more(&asking, 0, 2);
        be_patient(&asking, 1);
        struct fetch_response response = fetch(&reader, 12, &asking);
        cr_assert_eq(response.responses_count, 1);
        cr_assert_eq(response.responses[0].partitions_count, 10);
        part_two(&reader, &writer);
    }
}

Test(fetch, forgets_partitions_of_a_session)
{
    struct client client;
    struct rig *rig = meet(&client, 2, 4);
    int32_t session = open_session(&client, "t", 4);
    int32_t indexes[] = {0, 2};
    struct fetch_request_forgotten_topic forgotten = {
        .topic = view_of_text("t"), .partitions = indexes, .partitions_count = 2};
    struct asking asking = ask_session(session, 1);
    asking.request.forgotten_topics_data = &forgotten;
    asking.request.forgotten_topics_data_count = 1;
    struct fetch_response response = fetch(&client, 12, &asking);
    cr_assert_eq(response.error_code, KAFKA_NONE);
    for (int32_t i = 0; i < 4; i++) {
        produce(&client, "t", i, 1, 10);
    }
    asking = ask_session(session, 2);
    rig_turn_often(rig, 100);
    ask_more(&asking, 1, 0); /* looked at again, since nothing was watched yet */
    ask_more(&asking, 3, 0);
    response = fetch(&client, 12, &asking);
    cr_assert_eq(response.responses_count, 1);
    cr_assert_eq(response.responses[0].partitions_count, 2);
    cr_assert_eq(response.responses[0].partitions[0].partition_index, 1);
    cr_assert_eq(response.responses[0].partitions[1].partition_index, 3);
    part(&client);
}

static struct budget *budget_of(struct rig *rig, enum budget_term term)
{
    return &rig->fixture.reactors[0].slabs.budgets[term];
}

/* A full fetch of so many partitions of "t" that wants a session: its id. */
static int32_t want_session(struct client *client, int32_t partitions_count)
{
    struct asking asking = ask("t", partitions_count);
    asking.request.session_epoch = 0;
    struct fetch_response response = fetch(client, 12, &asking);
    cr_assert_eq(response.error_code, KAFKA_NONE);
    cr_assert_eq(response.responses[0].partitions_count, partitions_count);
    return response.session_id;
}

Test(fetch, has_no_session_where_there_is_no_memory_for_one)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    client_create(&client, "t", 100, NULL, 0);
    struct budget *budget = budget_of(rig, BUDGET_SESSIONS);
    uint64_t bytes_max = budget->bytes_max;
    budget->bytes_max = 0;
    cr_assert_eq(want_session(&client, 100), 0);
    budget->bytes_max = 16384; /* for less than half of it */
    cr_assert_eq(want_session(&client, 100), 0);
    for (uint32_t i = 0; i < 100; i++) {
        rig_turn(rig);
    }
    cr_assert_eq(budget->bytes, 0);
    budget->bytes_max = bytes_max;
    cr_assert_gt(want_session(&client, 100), 0);
    cr_assert_gt(budget->bytes, 0);
    client_close(&client);
    rig_free(rig);
}

Test(fetch, ends_a_session_that_cannot_grow)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    client_create(&client, "t", 100, NULL, 0);
    struct budget *budget = budget_of(rig, BUDGET_SESSIONS);
    int32_t session = want_session(&client, 1);
    uint64_t bytes_max = budget->bytes_max;
    budget->bytes_max = budget->bytes;
    struct asking asking = ask("t", 100);
    asking.request.session_id = session;
    asking.request.session_epoch = 1;
    cr_assert_eq(fetch(&client, 12, &asking).error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    for (uint32_t i = 0; i < 100; i++) {
        rig_turn(rig);
    }
    cr_assert_eq(budget->bytes, 0);
    budget->bytes_max = bytes_max;
    cr_assert_gt(want_session(&client, 100), 0);
    client_close(&client);
    rig_free(rig);
}

Test(fetch, ends_a_silent_session_when_another_finds_no_memory)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    client_create(&client, "t", 1, NULL, 0);
    struct budget *budget = budget_of(rig, BUDGET_SESSIONS);
    int32_t first = want_session(&client, 1);
    budget->bytes_max = budget->bytes;
    cr_assert_eq(want_session(&client, 1), 0);
    struct session *session = session_find(&rig->broker.shards[0], first);
    cr_assert(session);
    session->used_us -= 121 * 1000 * 1000;
    cr_assert_eq(want_session(&client, 1), 0);
    cr_assert(!session_find(&rig->broker.shards[0], first));
    cr_assert_gt(want_session(&client, 1), 0);
    client_close(&client);
    rig_free(rig);
}

Test(fetch, holds_a_topic_named_again_and_again_once)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    client_create(&client, "t", 2, NULL, 0);
    int32_t session = want_session(&client, 1);
    uint64_t bytes = 0;
    struct fetch_request_forgotten_topic forgotten = {
        .topic = view_of_text("t"), .partitions = (int32_t[]){0}, .partitions_count = 1};
    for (int32_t epoch = 1; epoch <= 1000; epoch++) { /* come and go */
        struct asking asking = ask("t", epoch % 2);
        asking.request.session_id = session;
        asking.request.session_epoch = epoch;
        asking.request.forgotten_topics_data = &forgotten;
        asking.request.forgotten_topics_data_count = 1 - epoch % 2;
        cr_assert_eq(fetch(&client, 12, &asking).error_code, KAFKA_NONE);
        bytes = epoch == 10 ? budget_of(rig, BUDGET_SESSIONS)->bytes : bytes;
    }
    cr_assert_eq(budget_of(rig, BUDGET_SESSIONS)->bytes, bytes);
    client_close(&client);
    rig_free(rig);
}

/* A session without an id outlasts its reply; who waits for its memory hears that it is free. */
Test(fetch, gives_memory_back_to_who_waits_for_it)
{
    struct rig *rig = rig_new(1, NULL);
    struct slabs *slabs = &rig->fixture.reactors[0].slabs;
    struct budget *budget = budget_of(rig, BUDGET_SCRATCH);
    uint64_t bytes_max = budget->bytes_max;
    struct client reader, waiter;
    client_open(&reader, rig);
    client_open(&waiter, rig);
    client_create(&waiter, "t", 100, NULL, 0);
    void *held = slab_take(slabs, BUDGET_SCRATCH, 1 << 20);
    budget->bytes_max = (budget->bytes + 4096) / 7 * 8; /* tight while that session is there */
    struct asking asking = ask("t", 100);
    asking.request.max_wait_ms = 200;
    asking.request.min_bytes = 1;
    send_fetch(&reader, 12, &asking);
    for (uint32_t i = 0; i < 200; i++) {
        rig_turn(rig);
    }
    send_fetch(&waiter, 12, &asking);
    receive_fetched(&reader, 12);
    cr_assert(client_is_silent(&waiter));
    receive_fetched(&waiter, 12);
    slab_give(slabs, BUDGET_SCRATCH, held, 1 << 20);
    budget->bytes_max = bytes_max;
    client_close(&reader);
    client_close(&waiter);
    rig_free(rig);
}

Test(fetch, refuses_sessions_that_are_not_there_and_epochs_out_of_turn)
{
    struct client client;
    meet(&client, 2, 1);
    int32_t session = open_session(&client, "t", 1);
    struct asking asking = ask_session(session, 2);
    cr_assert_eq(fetch(&client, 12, &asking).error_code, KAFKA_INVALID_FETCH_SESSION_EPOCH);
    asking = ask_session(session + 2, 1);
    cr_assert_eq(fetch(&client, 12, &asking).error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    asking = ask_session(0, -7); /* neither of the two epochs of a full fetch */
    cr_assert_eq(fetch(&client, 12, &asking).error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    asking = ask_session(session, 1);
    cr_assert_eq(fetch(&client, 13, &asking).error_code, KAFKA_FETCH_SESSION_TOPIC_ID_ERROR);
    cr_assert_eq(fetch(&client, 12, &asking).error_code, KAFKA_NONE);
    asking = ask("t", 1); /* closes it, and wants none */
    asking.request.session_id = session;
    cr_assert_eq(fetch(&client, 12, &asking).session_id, 0);
    asking = ask_session(session, 2);
    cr_assert_eq(fetch(&client, 12, &asking).error_code, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    part(&client);
}

Test(fetch, gives_no_more_sessions_than_there_are_places_for)
{
    static const char *const few[] = {"max.incremental.fetch.session.cache.slots=2", NULL};
    struct rig *rig = rig_new(1, few);
    struct client client;
    client_open(&client, rig);
    client_create(&client, "t", 1, NULL, 0);
    (void)open_session(&client, "t", 1);
    (void)open_session(&client, "t", 1);
    struct asking asking = ask("t", 1);
    asking.request.session_epoch = 0;
    struct fetch_response response = fetch(&client, 12, &asking);
    cr_assert_eq(response.session_id, 0);
    cr_assert_eq(only(&response).error_code, KAFKA_NONE);
    part(&client);
}
