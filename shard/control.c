#include "shard/control.h"

#include "log/record.h"
#include "shard/partition.h"
#include "shard/registration.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECORDS_PER_STEP = 64,
    FREED_PER_STEP = 256,
    ROUND_CHANGES_MAX = 256,
    ROUND_BYTES_MAX = 1 << 20, /* with this much of records a round takes no further change */
};

/*
 * A round, downwards:
 */
static void change_arrived(struct op *op); /* core 0: wait, or begin a round */
static void round_begin(struct control *control);
static void round_step(struct op *op); /* changes become records, and the next image */
static void round_write(struct control *control);
static void round_written(struct op *op);        /* durable, or the metadata log has failed */
static void image_arrived(struct op *op);        /* a core: take the image over */
static void image_returned(struct op *op);       /* core 0: the last one is back */
static void round_drop(struct control *control); /* the next deleted topic */
static void drop_arrived(struct op *op);         /* a core: drop its logs of the topic */
static void drop_returned(struct op *op);
static void round_end(struct control *control); /* the changes go home */
static void round_free(struct op *op);          /* what its image replaced */
static void snapshot_step(struct op *op);       /* if one is worth it */
static void snapshot_written(struct op *op);
static void round_next(struct op *op); /* what has come meanwhile */

/* -- asking ------------------------------------------------------------------------------------- */

static void change_send(struct shard *shard, struct control_change *change, enum control_kind kind,
                        op_fn *then)
{
    change->kind = kind;
    change->home = shard;
    change->then = then;
    change->op.waits_for = "control";
    shard_run(shard, shard->peers[0], &change->op, change_arrived);
}

void control_create_topics(struct shard *shard, struct control_create *create, op_fn *then)
{
    change_send(shard, &create->change, CONTROL_CREATE, then);
}

void control_delete_topics(struct shard *shard, struct control_delete *delete, op_fn *then)
{
    change_send(shard, &delete->change, CONTROL_DELETE, then);
}

void control_producer_ids(struct shard *shard, struct control_producer_ids *ids, op_fn *then)
{
    ids->count = 0;
    change_send(shard, &ids->change, CONTROL_PRODUCER_IDS, then);
}

static struct control_change *change_of(struct op *op)
{
    return container_of(op, struct control_change, op);
}

/* -- applying: records to an image, at start and in every round ---------------------------------- */

static bool apply_partition(struct control *control, const struct partition_record *record)
{
    struct topic *topic = image_edit_topic(control->edit, &record->topic_id);
    if (!topic || record->partition_id < 0 ||
        (uint32_t)record->partition_id > topic->partitions_count) {
        return false;
    }
    struct topic_partition partition = {
        .leader_epoch = record->leader_epoch,
        .partition_epoch = record->partition_epoch,
        .owner = partition_owner(&topic->id, record->partition_id, control->shard->count),
    };
    return topic_set_partition(topic, (uint32_t)record->partition_id, &partition);
}

/* A leader named, even the same one, is a new epoch of its. */
static bool apply_partition_change(struct control *control,
                                   const struct partition_change_record *record)
{
    struct topic *topic = image_edit_topic(control->edit, &record->topic_id);
    if (!topic || record->partition_id < 0 ||
        (uint32_t)record->partition_id >= topic->partitions_count) {
        return false;
    }
    struct topic_partition *partition = &topic->partitions[record->partition_id];
    partition->partition_epoch++;
    partition->leader_epoch += record->leader != -2;
    return true;
}

static bool apply_config(struct control *control, const struct config_record *record)
{
    if (record->resource_type != 2) {
        return true; /* brokers' dynamic settings come with their API */
    }
    const struct topic *named =
        image_topic_by_name(image_edit_view(control->edit), record->resource_name);
    struct topic *topic = named ? image_edit_topic(control->edit, &named->id) : NULL;
    if (!topic || !topic_set_config(topic, record->name, record->value)) {
        return false;
    }
    topic_settings_resolve(&topic->settings, control->shard->settings->topic_defaults,
                           topic->configs, topic->configs_count);
    return true;
}

static bool apply_topic(struct control *control, const struct topic_record *record)
{
    if (record->name.bytes <= 0 || record->name.bytes > TOPIC_NAME_BYTES_MAX) {
        return false;
    }
    struct topic *topic = image_edit_add(control->edit, &record->topic_id, record->name);
    if (topic) {
        topic->internal = view_equal_text(record->name, "__consumer_offsets") ||
                          view_equal_text(record->name, "__transaction_state") ||
                          view_equal_text(record->name, "__share_group_state");
        topic_settings_resolve(&topic->settings, control->shard->settings->topic_defaults, NULL, 0);
    }
    return topic != NULL;
}

static bool apply(struct control *control, const struct metadata_record *record)
{
    switch (record->type) {
    case METADATA_TOPIC:
        return apply_topic(control, &record->topic);
    case METADATA_PARTITION:
        return apply_partition(control, &record->partition);
    case METADATA_PARTITION_CHANGE:
        return apply_partition_change(control, &record->partition_change);
    case METADATA_CONFIG:
        return apply_config(control, &record->config);
    case METADATA_REMOVE_TOPIC:
        return image_edit_remove(control->edit, &record->remove_topic.topic_id);
    case METADATA_PRODUCER_IDS:
        control->next_producer_id = record->producer_ids.next_producer_id;
        return true;
    case METADATA_REGISTER_BROKER:
    case METADATA_FEATURE_LEVEL:
    case METADATA_BROKER_REGISTRATION_CHANGE:
    case METADATA_NO_OP:
    case METADATA_BEGIN_TRANSACTION:
    case METADATA_END_TRANSACTION:
    case METADATA_ABORT_TRANSACTION:
    case METADATA_REGISTER_CONTROLLER:
        return true; /* of one node, registered anew at each start with what it has then */
    }
    return false;
}

/* Into the round's batch, and into its image. */
static bool change_record(struct control *control, const struct metadata_record *record)
{
    metadata_batches_add(&control->batches, record);
    return !control->batches.failed && apply(control, record);
}

/* -- creating ------------------------------------------------------------------------------------ */

static struct control_topic *topic_at(const struct control *control)
{
    struct control_create *create = (struct control_create *)control->change;
    return control->at < create->topics_count ? &create->topics[control->at] : NULL;
}

/* On to the next topic. */
static void topic_next(struct control *control, enum control_state state)
{
    control->at++;
    control->at_item = 0;
    control->state = state;
}

__attribute__((format(printf, 4, 5))) static void topic_refuse(struct control *control,
                                                               enum kafka_error error,
                                                               enum control_state state,
                                                               const char *format, ...)
{
    struct control_topic *topic = topic_at(control);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(topic->message, sizeof topic->message, format, arguments);
    va_end(arguments);
    topic->error = error;
    topic_next(control, state);
}

/* Checks as Kafka's controller does, in its order: first the name, ... */
static void create_check_name(struct control *control)
{
    const struct image *image = image_edit_view(control->edit);
    struct control_topic *topic = topic_at(control);
    const struct topic *other;
    if (!topic) {
        control->at = control->at_item = 0;
        control->state = ROUND_MAKES;
        return;
    }
    topic->error = KAFKA_NONE;
    topic->message[0] = '\0';
    if (image_topic_by_name(image, topic->name)) {
        topic_refuse(control, KAFKA_TOPIC_ALREADY_EXISTS, ROUND_CHECKS,
                     "Topic '%.*s' already exists.", topic->name.bytes,
                     (const char *)topic->name.data);
    } else if ((other = image_topic_collision(image, topic->name))) {
        topic_refuse(control, KAFKA_INVALID_TOPIC_EXCEPTION, ROUND_CHECKS,
                     "Topic '%.*s' collides with existing topic: %s", topic->name.bytes,
                     (const char *)topic->name.data, other->name);
    } else {
        control->state = ROUND_CONFIGS;
    }
}

/* ... last its partitions. */
static void create_check_partitions(struct control *control)
{
    const struct broker_settings *settings = control->shard->settings;
    struct control_topic *topic = topic_at(control);
    int32_t replicas = topic->replication_factor == -1 ? settings->default_replication_factor
                                                       : topic->replication_factor;
    if (topic->assigned_error != KAFKA_NONE) {
        topic_refuse(control, topic->assigned_error, ROUND_CHECKS, "%s", topic->assigned_why);
        return;
    }
    if (topic->assigned_count > 0) {
        topic->partitions_made = topic->assigned_count;
        replicas = 1;
    } else if (topic->replication_factor < -1 || topic->replication_factor == 0) {
        topic_refuse(control, KAFKA_INVALID_REPLICATION_FACTOR, ROUND_CHECKS,
                     "Replication factor must be larger than 0, or -1 to use the default value.");
        return;
    } else if (topic->partitions_count < -1 || topic->partitions_count == 0) {
        topic_refuse(control, KAFKA_INVALID_PARTITIONS, ROUND_CHECKS,
                     "Number of partitions was set to an invalid non-positive value.");
        return;
    } else {
        topic->partitions_made =
            topic->partitions_count == -1 ? settings->num_partitions : topic->partitions_count;
    }
    if (replicas > 1) {
        topic_refuse(control, KAFKA_INVALID_REPLICATION_FACTOR, ROUND_CHECKS,
                     "Unable to replicate the partition %d time(s): The target replication factor "
                     "of %d cannot be reached because only 1 broker(s) are registered.",
                     replicas, replicas);
        return;
    }
    control->records += 1 + (int64_t)topic->configs_count + topic->partitions_made;
    control->too_many |=
        topic->partitions_made >= CONTROL_RECORDS_MAX || control->records > CONTROL_RECORDS_MAX;
    topic_next(control, ROUND_CHECKS);
}

static void create_check_config(struct control *control)
{
    struct control_topic *topic = topic_at(control);
    /* More than there may be are not looked at: the topic is refused anyway. */
    if (control->at_item == topic->configs_count || topic->configs_count > CONTROL_RECORDS_MAX) {
        create_check_partitions(control);
        return;
    }
    const struct create_topics_request_config *config = &topic->configs[control->at_item++];
    enum topic_config_id id = topic_config_find(config->name);
    char why[CONTROL_MESSAGE_BYTES];
    if (id == TOPIC_CONFIGS) {
        topic_refuse(control, KAFKA_INVALID_CONFIG, ROUND_CHECKS, "Unknown topic config name: %.*s",
                     config->name.bytes > 200 ? 200 : config->name.bytes,
                     (const char *)config->name.data);
    } else if (!topic_config_check(id, config->value, why, sizeof why)) {
        topic_refuse(control, KAFKA_INVALID_CONFIG, ROUND_CHECKS, "%s", why);
    }
}

/* False, as for all that make records: out of memory, the round is lost. */
static bool create_topic(struct control *control)
{
    bool validates_only = ((struct control_create *)control->change)->validate_only;
    struct control_topic *topic = topic_at(control);
    if (!topic) {
        control->state = ROUND_NEXT;
    } else if (topic->error == KAFKA_NONE && control->too_many) {
        topic_refuse(control, KAFKA_POLICY_VIOLATION, ROUND_MAKES,
                     "Unable to perform excessively large batch operation.");
    } else if (topic->error != KAFKA_NONE || validates_only) {
        topic_next(control, ROUND_MAKES);
    } else if (image_topic_collision(image_edit_view(control->edit), topic->name)) {
        topic_refuse(control, KAFKA_INVALID_TOPIC_EXCEPTION, ROUND_MAKES,
                     "Topic collides with another topic of the request");
    } else {
        reactor_entropy(control->shard->reactor, topic->id.bytes, sizeof topic->id.bytes);
        topic->id.bytes[6] = (uint8_t)((topic->id.bytes[6] & 0x0f) | 0x40); /* RFC 4122, v. 4 */
        topic->id.bytes[8] = (uint8_t)((topic->id.bytes[8] & 0x3f) | 0x80);
        control->state = ROUND_CONFIGURES;
        return change_record(control, &(struct metadata_record){
                                          .type = METADATA_TOPIC,
                                          .topic = {.name = topic->name, .topic_id = topic->id}});
    }
    return true;
}

static bool create_config(struct control *control)
{
    const struct control_topic *topic = topic_at(control);
    if (control->at_item == topic->configs_count) {
        control->at_item = 0;
        control->state = ROUND_PARTITIONS;
        return true;
    }
    const struct create_topics_request_config *config = &topic->configs[control->at_item++];
    return change_record(control, &(struct metadata_record){.type = METADATA_CONFIG,
                                                            .config = {.resource_type = 2,
                                                                       .resource_name = topic->name,
                                                                       .name = config->name,
                                                                       .value = config->value}});
}

static bool create_partition(struct control *control)
{
    const struct control_topic *topic = topic_at(control);
    int32_t node_id = control->shard->settings->node_id;
    if (control->at_item == (uint32_t)topic->partitions_made) {
        topic_next(control, ROUND_MAKES);
        return true;
    }
    struct metadata_record record = {.type = METADATA_PARTITION};
    partition_record_init(&record.partition);
    record.partition.partition_id = (int32_t)control->at_item++;
    record.partition.topic_id = topic->id;
    record.partition.replicas = record.partition.isr = &node_id;
    record.partition.replicas_count = record.partition.isr_count = 1;
    record.partition.leader = node_id;
    record.partition.leader_epoch = record.partition.partition_epoch = 0;
    record.partition.directories = &control->directory_id;
    record.partition.directories_count = 1;
    return change_record(control, &record);
}

/* -- deleting, producer ids ---------------------------------------------------------------------- */

static bool dropping_push(struct control *control, const struct uuid *id)
{
    if (control->dropping_count == control->dropping_room) {
        uint32_t room = control->dropping_room ? control->dropping_room * 2 : 16;
        struct uuid *larger = realloc(control->dropping, room * sizeof *larger);
        if (!larger) {
            return false;
        }
        control->dropping = larger;
        control->dropping_room = room;
    }
    control->dropping[control->dropping_count++] = *id;
    return true;
}

static bool delete_topic(struct control *control)
{
    struct control_delete *delete = (struct control_delete *)control->change;
    if (control->at == delete->topics_count) {
        control->state = ROUND_NEXT;
        return true;
    }
    struct control_deletion *topic = &delete->topics[control->at++];
    topic->error = KAFKA_NONE;
    if (!image_topic_by_id(image_edit_view(control->edit), &topic->id)) {
        topic->error = KAFKA_UNKNOWN_TOPIC_ID;
    } else if (control->records == CONTROL_RECORDS_MAX) {
        topic->error = KAFKA_UNKNOWN_SERVER_ERROR; /* Kafka's word for it */
    } else {
        control->records++;
        struct metadata_record record = {.type = METADATA_REMOVE_TOPIC,
                                         .remove_topic = {.topic_id = topic->id}};
        return dropping_push(control, &topic->id) && change_record(control, &record);
    }
    return true;
}

static bool give_producer_ids(struct control *control, struct control_producer_ids *ids)
{
    ids->first = control->next_producer_id;
    ids->count = PRODUCER_IDS_BLOCK;
    struct metadata_record record = {
        .type = METADATA_PRODUCER_IDS,
        .producer_ids = {.broker_id = control->shard->settings->node_id,
                         .broker_epoch = control->broker_epoch,
                         .next_producer_id = ids->first + PRODUCER_IDS_BLOCK}};
    return change_record(control, &record);
}

/* -- the round ------------------------------------------------------------------------------------ */

static struct control *control_of_step(struct op *op)
{
    return container_of(op, struct control, step);
}

static void change_arrived(struct op *op)
{
    struct control *control = change_of(op)->home->peers[0]->control;
    op_queue_push(&control->waiting, op);
    round_begin(control);
}

static void round_begin(struct control *control)
{
    if (control->busy || op_queue_is_empty(&control->waiting)) {
        return;
    }
    control->busy = true;
    control->state = ROUND_NEXT;
    control->change = NULL;
    control->round_count = 0;
    control->producer_ids_before = control->next_producer_id;
    control->edit = image_edit_begin(control->image);
    metadata_batches_init(&control->batches, control->log.end_offset, control->log.epoch,
                          reactor_wall_ms(control->shard->reactor));
    round_step(&control->step);
}

/* The round's changes could not be made: nothing of it was. */
static void round_fail(struct control *control)
{
    control->next_producer_id = control->producer_ids_before;
    control->dropping_count = 0;
    for (struct op *op = control->round.head; op; op = op->next) {
        change_of(op)->failed = true;
        if (change_of(op)->kind == CONTROL_PRODUCER_IDS) {
            ((struct control_producer_ids *)change_of(op))->count = 0;
        }
    }
    if (control->edit) {
        image_edit_drop(control->edit);
    }
    round_end(control);
}

/*
 * The next change. Nothing that is not a deletion comes behind one: a topic of the same name may be
 * made when the old one's directories are gone. False: the round is complete.
 */
static bool round_take(struct control *control)
{
    struct op *op = control->waiting.head;
    bool deletes = control->change && control->change->kind == CONTROL_DELETE;
    if (!op || control->round_count == ROUND_CHANGES_MAX ||
        control->batches.bytes_count >= ROUND_BYTES_MAX ||
        (deletes && change_of(op)->kind != CONTROL_DELETE)) {
        return false;
    }
    op_queue_push(&control->round, op_queue_pop(&control->waiting));
    control->round_count++;
    control->change = change_of(op);
    control->change->failed = false;
    control->at = control->at_item = 0;
    control->records = 0;
    control->too_many = false;
    return true;
}

/* False: out of memory. */
static bool change_begin(struct control *control)
{
    switch (control->change->kind) {
    case CONTROL_CREATE:
        control->state = ROUND_CHECKS;
        return true;
    case CONTROL_DELETE:
        control->state = ROUND_DELETES;
        return true;
    case CONTROL_PRODUCER_IDS:
        return give_producer_ids(control, (struct control_producer_ids *)control->change);
    }
    return false;
}

/* Nothing more may be written to the directory. */
static bool is_offline(const struct control *control)
{
    return control->log.failed || control->shard->store.offline;
}

/* As all that cannot be written: then the directory is taken offline on all cores. At a start there
 * is no store yet, and the start fails. */
static void metadata_log_ended(struct control *control, int64_t result)
{
    if (control->log.failed && !control->started) {
        store_fail(&control->shard->store, (int)result);
    }
}

static void round_step(struct op *op)
{
    struct control *control = control_of_step(op);
    bool good = control->edit && !is_offline(control);
    for (uint32_t n = 0; good && n < RECORDS_PER_STEP; n++) {
        switch (control->state) {
        case ROUND_NEXT:
            if (!round_take(control)) {
                round_write(control);
                return;
            }
            good = change_begin(control);
            break;
        case ROUND_CHECKS:
            create_check_name(control);
            break;
        case ROUND_CONFIGS:
            create_check_config(control);
            break;
        case ROUND_MAKES:
            good = create_topic(control);
            break;
        case ROUND_CONFIGURES:
            good = create_config(control);
            break;
        case ROUND_PARTITIONS:
            good = create_partition(control);
            break;
        case ROUND_DELETES:
            good = delete_topic(control);
            break;
        }
    }
    if (good) {
        reactor_ready(control->shard->reactor, op, round_step);
        return;
    }
    while (round_take(control)) { /* they fail too */
    }
    metadata_batches_deinit(&control->batches);
    round_fail(control);
}

static void round_write(struct control *control)
{
    metadata_batches_end(&control->batches);
    if (control->batches.failed) {
        metadata_batches_deinit(&control->batches);
        round_fail(control);
    } else if (control->batches.bytes_count == 0) { /* all were refused, or only asked */
        metadata_batches_deinit(&control->batches);
        image_edit_drop(control->edit);
        round_end(control);
    } else {
        metadata_log_append(&control->log, &control->batches, &control->step, round_written);
    }
}

static void publish(struct control *control)
{
    control->image = image_edit_end(control->edit, control->log.end_offset);
    control->replies_out = control->shard->count;
    for (uint32_t i = 0; i < control->shard->count; i++) {
        struct control_message *message = &control->messages[i];
        message->image = control->image;
        shard_run(control->shard, message->target, &message->op, image_arrived);
    }
}

static void round_written(struct op *op)
{
    struct control *control = control_of_step(op);
    metadata_batches_deinit(&control->batches);
    if (op->result < 0) {
        report(control->shard->reactor->reports, REPORT_ERROR,
               reactor_wall_ms(control->shard->reactor), "metadata log",
               "cannot write %s: %s. Topics cannot be created or deleted until %s.",
               control->log.path, strerror((int)-op->result),
               control->log.failed ? "the broker is started again" : "there is room");
        metadata_log_ended(control, op->result);
        round_fail(control);
    } else {
        publish(control);
    }
}

static void image_arrived(struct op *op)
{
    struct control_message *message = container_of(op, struct control_message, op);
    struct shard *shard = message->target;
    shard->image = message->image;
    shard_run(shard, shard->peers[0], op, image_returned);
}

static void image_returned(struct op *op)
{
    struct control *control = container_of(op, struct control_message, op)->control;
    if (--control->replies_out > 0) {
        return;
    }
    control->dropping_at = 0;
    round_drop(control);
}

static void round_drop(struct control *control)
{
    if (control->dropping_at == control->dropping_count) {
        control->dropping_count = 0;
        round_end(control);
        return;
    }
    control->replies_out = control->shard->count;
    for (uint32_t i = 0; i < control->shard->count; i++) {
        struct control_message *message = &control->messages[i];
        message->topic_id = control->dropping[control->dropping_at];
        shard_run(control->shard, message->target, &message->op, drop_arrived);
    }
}

static void drop_ended(struct op *op) /* on the core that dropped */
{
    struct shard *shard = container_of(op, struct control_message, op)->target;
    shard_run(shard, shard->peers[0], op, drop_returned);
}

static void drop_arrived(struct op *op)
{
    struct control_message *message = container_of(op, struct control_message, op);
    partitions_drop_topic(message->target, &message->topic_id, op, drop_ended);
}

static void drop_returned(struct op *op)
{
    struct control *control = container_of(op, struct control_message, op)->control;
    if (op->result < 0) { /* the topic is gone all the same; its files are not, or not all */
        char id[UUID_TEXT_BYTES + 1];
        uuid_to_text(&control->dropping[control->dropping_at], id);
        report(control->shard->reactor->reports, REPORT_ERROR,
               reactor_wall_ms(control->shard->reactor), "delete",
               "the files of the deleted topic %s could not be removed: error %d. They are not "
               "used; the next start tries again.",
               id, (int)-op->result);
    }
    if (--control->replies_out == 0) {
        control->dropping_at++;
        round_drop(control);
    }
}

static void round_end(struct control *control)
{
    struct op_queue round = control->round;
    control->round = (struct op_queue){0};
    for (struct op *op; (op = op_queue_pop(&round));) {
        struct control_change *change = change_of(op);
        shard_run(control->shard, change->home, op, change->then);
    }
    control->replaced = control->edit;
    control->edit = NULL;
    round_free(&control->step);
}

/* Nobody waits for this but the next round. */
static void round_free(struct op *op)
{
    struct control *control = control_of_step(op);
    struct reactor *reactor = control->shard->reactor;
    if (control->replaced && !image_edit_free_some(control->replaced, FREED_PER_STEP)) {
        reactor_background(reactor, op, round_free);
        return;
    }
    control->replaced = NULL;
    if (control->started) { /* it was the round of the start */
        struct op *started = control->started;
        control->started = NULL;
        control->busy = false;
        started->result = control->log.failed ? -EIO : 0;
        control->started_then(started);
    } else if (!is_offline(control) && metadata_log_is_worth_a_snapshot(&control->log)) {
        registration_snapshot_begin(control, &control->batches);
        reactor_background(reactor, op, snapshot_step);
    } else {
        reactor_ready(reactor, op, round_next);
    }
}

static void snapshot_step(struct op *op)
{
    struct control *control = control_of_step(op);
    bool is_whole = registration_snapshot_go_on(control, &control->batches, RECORDS_PER_STEP);
    if (control->batches.failed) { /* no memory for it now */
        metadata_batches_deinit(&control->batches);
        reactor_ready(control->shard->reactor, op, round_next);
    } else if (is_whole) {
        metadata_log_snapshot(&control->log, &control->batches, op, snapshot_written);
    } else {
        reactor_background(control->shard->reactor, op, snapshot_step);
    }
}

static void snapshot_written(struct op *op)
{
    struct control *control = control_of_step(op);
    metadata_batches_deinit(&control->batches);
    if (op->result < 0) {
        report(control->shard->reactor->reports, REPORT_ERROR,
               reactor_wall_ms(control->shard->reactor), "metadata snapshot",
               "cannot write a snapshot of %s: %s", control->log.path, strerror((int)-op->result));
        metadata_log_ended(control, op->result);
    }
    round_next(op);
}

static void stop_begin(struct control *control);

static void round_next(struct op *op)
{
    struct control *control = control_of_step(op);
    control->busy = false;
    round_begin(control);
    if (!control->busy && control->stopping) {
        stop_begin(control);
    }
}

/* -- start and stop --------------------------------------------------------------------------------- */

/* Before the listeners are open nobody waits for this core: what was loaded is applied, and epochs
 * rise, in one go. */

static void start_loaded(struct op *op);
static void start_epoch_begun(struct op *op);

int control_init(struct control *control, struct shard *shard, const struct uuid *directory_id)
{
    *control = (struct control){.shard = shard, .directory_id = *directory_id};
    control->image = image_new();
    control->messages = calloc(shard->count, sizeof *control->messages);
    if (!control->image || !control->messages) {
        control_deinit(control);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < shard->count; i++) {
        control->messages[i] =
            (struct control_message){.target = shard->peers[i], .control = control};
    }
    reactor_entropy(shard->reactor, control->incarnation_id.bytes,
                    sizeof control->incarnation_id.bytes);
    return 0;
}

void control_start(struct control *control, const char *directory, bool unclean, struct op *op,
                   op_fn *then)
{
    control->busy = true;
    control->unclean = unclean;
    control->started = op;
    control->started_then = then;
    metadata_log_open(&control->log, control->shard->reactor, directory,
                      control->shard->settings->node_id, &control->load, start_loaded);
}

static void start_fail(struct control *control, int64_t error)
{
    struct op *started = control->started;
    if (control->edit) {
        image_edit_drop(control->edit);
        image_edit_free(control->edit);
        control->edit = NULL;
    }
    metadata_batches_deinit(&control->batches);
    metadata_load_free(&control->load);
    control->started = NULL;
    started->result = error;
    control->started_then(started);
}

static bool apply_batches(struct control *control, const uint8_t *bytes, size_t count)
{
    struct memory heap;
    struct arena arena;
    memory_init_heap(&heap);
    arena_init(&arena, &heap, 64 << 20);
    struct batch_walk walk = batch_walk(bytes, count);
    struct batch batch;
    bool good = true;
    while (good && batch_walk_next(&walk, &batch)) {
        struct records records = records_of(&batch, batch.bytes + BATCH_HEADER_BYTES,
                                            batch.batch_bytes - BATCH_HEADER_BYTES);
        struct record record;
        while (good && !(batch.attributes & BATCH_CONTROL) && records_next(&records, &record)) {
            struct metadata_record decoded;
            good =
                metadata_record_decode(&decoded, record.value, &arena) && apply(control, &decoded);
            if (!good) {
                snprintf(control->problem, sizeof control->problem,
                         "%.300s: the record at offset %lld is of a kind that this version of "
                         "the broker does not know, or contradicts those before it",
                         control->log.path, (long long)record.offset);
            }
        }
        arena_give_all(&arena);
    }
    return good;
}

static void start_loaded(struct op *op)
{
    struct metadata_load *load = container_of(op, struct metadata_load, job.op);
    struct control *control = container_of(load, struct control, load);
    if (op->result < 0) {
        snprintf(control->problem, sizeof control->problem, "%s",
                 load->problem[0] ? load->problem : strerror((int)-op->result));
        start_fail(control, op->result);
        return;
    }
    control->edit = image_edit_begin(control->image);
    if (!control->edit || !apply_batches(control, load->snapshot, load->snapshot_bytes) ||
        !apply_batches(control, load->batches, load->batches_bytes)) {
        start_fail(control, -EBADMSG);
        return;
    }
    metadata_load_free(load);
    metadata_log_begin_epoch(&control->log, &control->step, start_epoch_begun);
}

/* After an unclean stop every partition's leader is named again: its epoch rises. */
static bool raise_epochs(struct control *control)
{
    const struct image *image = image_edit_view(control->edit);
    int32_t records = 0;
    for (const struct topic *topic = image_topic_after(image, ""); topic;
         topic = image_topic_after(image, topic->name)) {
        struct uuid id = topic->id;
        uint32_t count = topic->partitions_count;
        for (uint32_t i = 0; i < count; i++) {
            struct metadata_record record = {.type = METADATA_PARTITION_CHANGE};
            partition_change_record_init(&record.partition_change);
            record.partition_change.partition_id = (int32_t)i;
            record.partition_change.topic_id = id;
            record.partition_change.leader = control->shard->settings->node_id;
            if (!change_record(control, &record)) {
                return false;
            }
            if (++records % CONTROL_RECORDS_MAX == 0) {
                metadata_batches_end(&control->batches);
            }
        }
        topic = image_topic_by_id(image, &id); /* it was copied to be changed */
    }
    metadata_batches_end(&control->batches);
    return true;
}

static void start_epoch_begun(struct op *op)
{
    struct control *control = control_of_step(op);
    if (op->result < 0) {
        snprintf(control->problem, sizeof control->problem, "%.300s: cannot write: %s",
                 control->log.path, strerror((int)-op->result));
        start_fail(control, op->result);
        return;
    }
    bool is_new = control->log.end_offset == 0;
    metadata_batches_init(&control->batches, control->log.end_offset, control->log.epoch,
                          reactor_wall_ms(control->shard->reactor));
    metadata_batches_leader_change(&control->batches, control->shard->settings->node_id);
    registration_begin(control, &control->batches, is_new);
    if (control->batches.failed || (control->unclean && !raise_epochs(control))) {
        start_fail(control, -ENOMEM);
        return;
    }
    metadata_log_append(&control->log, &control->batches, &control->step, round_written);
}

static void stop_written(struct op *op);

void control_stop(struct control *control, struct op *op, op_fn *then)
{
    control->stopping = op;
    control->stopping_then = then;
    if (!control->busy) { /* else when the round has ended */
        stop_begin(control);
    }
}

static void stop_begin(struct control *control)
{
    control->busy = true;
    metadata_batches_init(&control->batches, control->log.end_offset, control->log.epoch,
                          reactor_wall_ms(control->shard->reactor));
    registration_end(control, &control->batches);
    if (control->batches.failed || is_offline(control)) {
        control->step.result = 0;
        stop_written(&control->step);
    } else {
        metadata_log_append(&control->log, &control->batches, &control->step, stop_written);
    }
}

static void stop_closed(struct op *op)
{
    struct control *control = control_of_step(op);
    struct op *stopped = control->stopping;
    stopped->result = control->log.failed ? -EIO : 0;
    control->stopping_then(stopped);
}

static void stop_written(struct op *op)
{
    struct control *control = control_of_step(op);
    metadata_batches_deinit(&control->batches);
    if (op->result < 0) {
        metadata_log_ended(control, op->result);
    }
    metadata_log_close(&control->log, &control->step, stop_closed);
}

void control_deinit(struct control *control)
{
    image_free_all(control->image);
    free(control->messages);
    free(control->dropping);
    *control = (struct control){0};
}
