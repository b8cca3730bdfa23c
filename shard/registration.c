#include "shard/registration.h"

/* Features as `kafka-storage format` of 4.3 finalizes them, and the ranges that a node tells. */
static const struct {
    const char *name;
    int16_t finalized; /* -1: not in the log */
    int16_t min, max;
} features[] = {
    {"metadata.version", METADATA_VERSION_LEVEL, 7, METADATA_VERSION_LEVEL},
    {"eligible.leader.replicas.version", 1, 0, 1},
    {"group.version", 1, 0, 1},
    {"share.version", 1, 0, 1},
    {"streams.version", 1, 0, 1},
    {"transaction.version", 2, 0, 2},
    {"kraft.version", -1, 0, 1},
};
enum { FEATURES = sizeof features / sizeof features[0] };

static void add_features(struct metadata_batches *batches)
{
    for (size_t i = 0; i < FEATURES; i++) {
        if (features[i].finalized >= 0) {
            metadata_batches_add(batches,
                                 &(struct metadata_record){
                                     .type = METADATA_FEATURE_LEVEL,
                                     .feature_level = {.name = view_of_text(features[i].name),
                                                       .feature_level = features[i].finalized}});
        }
    }
}

/* Eligible leader replicas want the cluster's default written down. */
static void add_min_insync_replicas(struct metadata_batches *batches)
{
    metadata_batches_add(
        batches, &(struct metadata_record){.type = METADATA_CONFIG,
                                           .config = {.resource_type = 4,
                                                      .resource_name = view_of_text(""),
                                                      .name = view_of_text("min.insync.replicas"),
                                                      .value = view_of_text("1")}});
}

static void add_bootstrap(struct metadata_batches *batches)
{
    metadata_batches_add(batches,
                         &(struct metadata_record){
                             .type = METADATA_BEGIN_TRANSACTION,
                             .begin_transaction = {.name = view_of_text("Bootstrap records")}});
    add_features(batches);
    add_min_insync_replicas(batches);
    metadata_batches_add(batches, &(struct metadata_record){.type = METADATA_END_TRANSACTION});
    metadata_batches_end(batches);
}

static void add_controller(struct control *control, struct metadata_batches *batches)
{
    const struct broker_settings *settings = control->shard->settings;
    struct register_controller_record_feature ranges[FEATURES];
    for (size_t i = 0; i < FEATURES; i++) {
        ranges[i] =
            (struct register_controller_record_feature){.name = view_of_text(features[i].name),
                                                        .min_supported_version = features[i].min,
                                                        .max_supported_version = features[i].max};
    }
    struct register_controller_record_end_point end_point = {
        .name = view_of_text("CONTROLLER"),
        .host = view_of_text(settings->advertised_host),
        .port = settings->advertised_port};
    metadata_batches_add(
        batches,
        &(struct metadata_record){.type = METADATA_REGISTER_CONTROLLER,
                                  .register_controller = {.controller_id = settings->node_id,
                                                          .incarnation_id = control->incarnation_id,
                                                          .end_points = &end_point,
                                                          .end_points_count = 1,
                                                          .features = ranges,
                                                          .features_count = FEATURES}});
}

static void add_broker(struct control *control, struct metadata_batches *batches, bool fenced)
{
    const struct broker_settings *settings = control->shard->settings;
    struct register_broker_record_feature ranges[FEATURES];
    for (size_t i = 0; i < FEATURES; i++) {
        ranges[i] =
            (struct register_broker_record_feature){.name = view_of_text(features[i].name),
                                                    .min_supported_version = features[i].min,
                                                    .max_supported_version = features[i].max};
    }
    struct register_broker_record_end_point end_point = {
        .name = view_of_text("PLAINTEXT"),
        .host = view_of_text(settings->advertised_host),
        .port = settings->advertised_port};
    struct metadata_record record = {.type = METADATA_REGISTER_BROKER};
    register_broker_record_init(&record.register_broker);
    record.register_broker.broker_id = settings->node_id;
    record.register_broker.incarnation_id = control->incarnation_id;
    record.register_broker.broker_epoch = control->broker_epoch;
    record.register_broker.end_points = &end_point;
    record.register_broker.end_points_count = 1;
    record.register_broker.features = ranges;
    record.register_broker.features_count = FEATURES;
    record.register_broker.rack = VIEW_NULL;
    record.register_broker.fenced = fenced;
    record.register_broker.log_dirs = &control->directory_id;
    record.register_broker.log_dirs_count = 1;
    metadata_batches_add(batches, &record);
}

static void add_fence(struct control *control, struct metadata_batches *batches, int8_t fenced)
{
    struct metadata_record record = {.type = METADATA_BROKER_REGISTRATION_CHANGE};
    broker_registration_change_record_init(&record.broker_registration_change);
    record.broker_registration_change.broker_id = control->shard->settings->node_id;
    record.broker_registration_change.broker_epoch = control->broker_epoch;
    record.broker_registration_change.fenced = fenced;
    metadata_batches_add(batches, &record);
}

void registration_begin(struct control *control, struct metadata_batches *batches, bool is_new)
{
    if (is_new) {
        add_bootstrap(batches);
    }
    add_controller(control, batches);
    metadata_batches_end(batches);
    control->broker_epoch = batches->next_offset; /* by definition: of the record that follows */
    add_broker(control, batches, true);
    metadata_batches_end(batches);
    add_fence(control, batches, -1);
    metadata_batches_end(batches);
}

void registration_end(struct control *control, struct metadata_batches *batches)
{
    add_fence(control, batches, 1);
    metadata_batches_end(batches);
}

static void add_topic(struct metadata_batches *batches, const struct topic *topic)
{
    struct metadata_record record = {
        .type = METADATA_TOPIC,
        .topic = {.name = view_of_text(topic->name), .topic_id = topic->id}};
    metadata_batches_add(batches, &record);
}

static void add_partition(struct control *control, struct metadata_batches *batches,
                          const struct topic *topic, uint32_t index)
{
    int32_t node_id = control->shard->settings->node_id;
    struct metadata_record record = {.type = METADATA_PARTITION};
    partition_record_init(&record.partition);
    record.partition.partition_id = (int32_t)index;
    record.partition.topic_id = topic->id;
    record.partition.replicas = record.partition.isr = &node_id;
    record.partition.replicas_count = record.partition.isr_count = 1;
    record.partition.leader = node_id;
    record.partition.leader_epoch = topic->partitions[index].leader_epoch;
    record.partition.partition_epoch = topic->partitions[index].partition_epoch;
    record.partition.directories = &control->directory_id;
    record.partition.directories_count = 1;
    metadata_batches_add(batches, &record);
    if (index % CONTROL_RECORDS_MAX == CONTROL_RECORDS_MAX - 1) {
        metadata_batches_end(batches);
    }
}

static void add_configs(struct metadata_batches *batches, const struct topic *topic)
{
    for (uint32_t i = 0; i < topic->configs_count; i++) { /* at most TOPIC_CONFIGS */
        struct metadata_record record = {
            .type = METADATA_CONFIG,
            .config = {.resource_type = 2,
                       .resource_name = view_of_text(topic->name),
                       .name = view_of_text(topic->configs[i].name),
                       .value = view_of_text(topic->configs[i].value)}};
        metadata_batches_add(batches, &record);
    }
}

void registration_snapshot_begin(struct control *control, struct metadata_batches *batches)
{
    int64_t now_ms = reactor_wall_ms(control->shard->reactor);
    metadata_batches_init(batches, 0, control->log.epoch, now_ms);
    metadata_batches_snapshot_header(batches, now_ms);
    add_features(batches);
    metadata_batches_end(batches);
    add_controller(control, batches);
    add_broker(control, batches, false);
    add_min_insync_replicas(batches);
    metadata_batches_end(batches);
    control->walk = (struct registration_walk){.topic = image_topic_after(control->image, "")};
}

static void snapshot_end(struct control *control, struct metadata_batches *batches)
{
    metadata_batches_add(
        batches,
        &(struct metadata_record){.type = METADATA_PRODUCER_IDS,
                                  .producer_ids = {.broker_id = control->shard->settings->node_id,
                                                   .broker_epoch = control->broker_epoch,
                                                   .next_producer_id = control->next_producer_id}});
    metadata_batches_end(batches);
    metadata_batches_snapshot_footer(batches);
}

bool registration_snapshot_go_on(struct control *control, struct metadata_batches *batches,
                                 uint32_t count)
{
    struct registration_walk *walk = &control->walk;
    for (uint32_t n = 0; n < count && !batches->failed; n++) {
        const struct topic *topic = walk->topic;
        if (!topic) {
            snapshot_end(control, batches);
            return true;
        }
        if (!walk->is_begun) {
            add_topic(batches, topic);
            walk->is_begun = true;
        } else if (walk->partition < topic->partitions_count) {
            add_partition(control, batches, topic, walk->partition++);
        } else {
            add_configs(batches, topic);
            metadata_batches_end(batches);
            *walk =
                (struct registration_walk){.topic = image_topic_after(control->image, topic->name)};
        }
    }
    return false;
}
