#include "shard/broker.h"

#include "tests/shard/broker_fixture.h"

#include <sys/stat.h>

static void rig_stop(struct rig *rig)
{
    broker_stop(&rig->broker, &rig->op, rig_ended);
    rig_await(rig);
    broker_deinit(&rig->broker);
}

/* Its end is in rig->result. */
static void rig_start(struct rig *rig)
{
    rig->done = false;
    cr_assert_eq(broker_init(&rig->broker, &rig->options, rig->fixture.peers, rig->fixture.count),
                 0);
    broker_start(&rig->broker, &rig->op, rig_ended);
    for (uint32_t i = 0; i < 20U * RIG_TURNS_MAX && !rig->done; i++) { /* it tries for seconds */
        rig_turn(rig);
    }
    cr_assert(rig->done);
    rig->done = false;
}

static struct timespec modified(const struct rig *rig, const char *file)
{
    char path[256];
    struct stat stat_of_it;
    snprintf(path, sizeof path, "%s/%s", rig->directory, file);
    cr_assert_eq(stat(path, &stat_of_it), 0, "%s", path);
    return stat_of_it.st_mtim;
}

static bool is_modified(const struct rig *rig, const char *file, struct timespec since)
{
    struct timespec now = modified(rig, file);
    return now.tv_sec != since.tv_sec || now.tv_nsec != since.tv_nsec;
}

static void produce_one(struct rig *rig, const char *topic_name)
{
    uint8_t batch[512];
    struct client client;
    client_open(&client, rig);
    size_t bytes = make_records(batch, sizeof batch, 1, 10, 1700000000000);
    struct produce_request_partition partition = {
        .records = {.data = batch, .bytes = (int32_t)bytes}};
    struct produce_request_topic topic = {
        .name = view_of_text(topic_name), .partition_data = &partition, .partition_data_count = 1};
    struct produce_request request = {.transactional_id = VIEW_NULL,
                                      .acks = -1,
                                      .timeout_ms = 5000,
                                      .topic_data = &topic,
                                      .topic_data_count = 1};
    produce_request_encode(&request, client_begin(&client, API_PRODUCE, 9), 9);
    struct cursor body = client_call(&client);
    struct produce_response response;
    cr_assert(produce_response_decode(&response, &body, 9, &client.arena));
    cr_assert_eq(response.responses[0].partition_responses[0].error_code, KAFKA_NONE);
    client_close(&client);
}

Test(broker, completes_only_the_files_of_busy_logs_when_it_stops)
{
    struct rig *rig = rig_new(1, NULL);
    struct client client;
    client_open(&client, rig);
    client_create(&client, "quiet", 1, NULL, 0);
    client_create(&client, "busy", 1, NULL, 0);
    client_close(&client);
    produce_one(rig, "quiet");
    produce_one(rig, "busy");
    rig_stop(rig);
    struct timespec quiet = modified(rig, "quiet-0/leader-epoch-checkpoint");
    struct timespec busy = modified(rig, "busy-0/leader-epoch-checkpoint");
    rig_start(rig);
    cr_assert_eq(rig->result, 0, "%s", rig->broker.problem);
    produce_one(rig, "busy");
    rig_stop(rig);
    cr_assert(is_modified(rig, "busy-0/leader-epoch-checkpoint", busy));
    cr_assert_not(is_modified(rig, "quiet-0/leader-epoch-checkpoint", quiet));
    rig_start(rig);
    cr_assert_eq(rig->result, 0);
    rig_free(rig);
}

Test(broker, leaves_the_directory_alone_when_its_address_is_taken)
{
    struct rig *rig = rig_new(1, NULL);
    rig_stop(rig);
    struct timespec clean = modified(rig, "meta.properties");
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(rig->options.listeners[0].port)};
    socklen_t length = sizeof address;
    int other = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(other, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(other, 1), 0);
    cr_assert_eq(getsockname(other, (struct sockaddr *)&address, &length), 0);
    rig->options.listeners[0].port = ntohs(address.sin_port);
    rig_start(rig);
    cr_assert_eq(rig->result, -EADDRINUSE);
    cr_assert(strstr(rig->broker.problem, "cannot listen on 127.0.0.1"));
    cr_assert_not(is_modified(rig, "meta.properties", clean));
    broker_deinit(&rig->broker);
    close(other);
    rig_start(rig);
    cr_assert_eq(rig->result, 0, "%s", rig->broker.problem);
    rig_free(rig);
}
