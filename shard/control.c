#include "shard/control.h"

#include "log/record.h"
#include "shard/partition.h"
#include "shard/registration.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A round, downwards:
 */
static void change_arrived(struct op *op); /* core 0: wait, or begin a round */
static void round_begin(struct control *control);
static void round_written(struct op *op);        /* durable, or the metadata log has failed */
static void image_arrived(struct op *op);        /* a core: take the image over */
static void image_returned(struct op *op);       /* core 0: the last one is back */
static void round_drop(struct control *control); /* the next deleted topic */
static void drop_arrived(struct op *op);         /* a core: drop its logs of the topic */
static void drop_returned(struct op *op);
static void round_end(struct control *control); /* the changes go home */
static void round_next(struct op *op);          /* what has come meanwhile */
static void snapshot_written(struct op *op);

static const char metadata_failed[] =
    "The metadata log cannot be written; see the broker's reports";

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

static void topic_refuse(struct control_topic *topic, enum kafka_error error, const char *message)
{
    topic->error = error;
    snprintf(topic->message, sizeof topic->message, "%s", message);
}

/* Checks as Kafka's controller does, in its order. */
static bool create_check(struct control *control, struct control_topic *topic, bool *too_many)
{
    const struct image *image = image_edit_view(control->edit);
    const struct broker_settings *settings = control->shard->settings;
    const struct topic *other;
    if (image_topic_by_name(image, topic->name)) {
        topic_refuse(topic, KAFKA_TOPIC_ALREADY_EXISTS, "");
        snprintf(topic->message, sizeof topic->message, "Topic '%.*s' already exists.",
                 topic->name.bytes, (const char *)topic->name.data);
        return false;
    }
    if ((other = image_topic_collision(image, topic->name))) {
        topic_refuse(topic, KAFKA_INVALID_TOPIC_EXCEPTION, "");
        snprintf(topic->message, sizeof topic->message,
                 "Topic '%.*s' collides with existing topic: %s", topic->name.bytes,
                 (const char *)topic->name.data, other->name);
        return false;
    }
    for (uint32_t i = 0; i < topic->configs_count; i++) {
        enum topic_config_id id = topic_config_find(topic->configs[i].name);
        if (id == TOPIC_CONFIGS) {
            topic_refuse(topic, KAFKA_INVALID_CONFIG, "");
            snprintf(topic->message, sizeof topic->message, "Unknown topic config name: %.*s",
                     topic->configs[i].name.bytes > 200 ? 200 : topic->configs[i].name.bytes,
                     (const char *)topic->configs[i].name.data);
            return false;
        }
        if (!topic_config_check(id, topic->configs[i].value, topic->message,
                                sizeof topic->message)) {
            topic->error = KAFKA_INVALID_CONFIG;
            return false;
        }
    }
    int32_t replicas = topic->replication_factor == -1 ? settings->default_replication_factor
                                                       : topic->replication_factor;
    if (topic->assigned_error != KAFKA_NONE) {
        topic_refuse(topic, topic->assigned_error, topic->assigned_why);
        return false;
    }
    if (topic->assigned_count > 0) {
        topic->partitions_made = topic->assigned_count;
        replicas = 1;
    } else if (topic->replication_factor < -1 || topic->replication_factor == 0) {
        topic_refuse(topic, KAFKA_INVALID_REPLICATION_FACTOR,
                     "Replication factor must be larger than 0, or -1 to use the default value.");
        return false;
    } else if (topic->partitions_count < -1 || topic->partitions_count == 0) {
        topic_refuse(topic, KAFKA_INVALID_PARTITIONS,
                     "Number of partitions was set to an invalid non-positive value.");
        return false;
    } else {
        topic->partitions_made =
            topic->partitions_count == -1 ? settings->num_partitions : topic->partitions_count;
    }
    if (replicas > 1) {
        topic_refuse(topic, KAFKA_INVALID_REPLICATION_FACTOR, "");
        snprintf(topic->message, sizeof topic->message,
                 "Unable to replicate the partition %d time(s): The target replication factor of "
                 "%d cannot be reached because only 1 broker(s) are registered.",
                 replicas, replicas);
        return false;
    }
    *too_many = topic->partitions_made >= CONTROL_RECORDS_MAX;
    return true;
}

static bool create_partitions(struct control *control, struct control_topic *topic)
{
    int32_t node_id = control->shard->settings->node_id;
    for (int32_t i = 0; i < topic->partitions_made; i++) {
        struct metadata_record record = {.type = METADATA_PARTITION};
        partition_record_init(&record.partition);
        record.partition.partition_id = i;
        record.partition.topic_id = topic->id;
        record.partition.replicas = record.partition.isr = &node_id;
        record.partition.replicas_count = record.partition.isr_count = 1;
        record.partition.leader = node_id;
        record.partition.leader_epoch = record.partition.partition_epoch = 0;
        record.partition.directories = &control->directory_id;
        record.partition.directories_count = 1;
        if (!change_record(control, &record)) {
            return false;
        }
    }
    return true;
}

static bool create_topic(struct control *control, struct control_topic *topic)
{
    reactor_entropy(control->shard->reactor, topic->id.bytes, sizeof topic->id.bytes);
    topic->id.bytes[6] = (uint8_t)((topic->id.bytes[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    topic->id.bytes[8] = (uint8_t)((topic->id.bytes[8] & 0x3f) | 0x80);
    struct metadata_record record = {.type = METADATA_TOPIC,
                                     .topic = {.name = topic->name, .topic_id = topic->id}};
    bool good = change_record(control, &record);
    for (uint32_t i = 0; good && i < topic->configs_count; i++) {
        record = (struct metadata_record){.type = METADATA_CONFIG,
                                          .config = {.resource_type = 2,
                                                     .resource_name = topic->name,
                                                     .name = topic->configs[i].name,
                                                     .value = topic->configs[i].value}};
        good = change_record(control, &record);
    }
    return good && create_partitions(control, topic);
}

/* False: out of memory, the round is lost. */
static bool round_create(struct control *control, struct control_create *create)
{
    int64_t records = 0;
    bool too_many = false;
    for (uint32_t i = 0; i < create->topics_count; i++) {
        struct control_topic *topic = &create->topics[i];
        topic->error = KAFKA_NONE;
        topic->message[0] = '\0';
        bool huge = false;
        if (create_check(control, topic, &huge)) {
            records += 1 + topic->configs_count + topic->partitions_made;
            too_many |= huge || records > CONTROL_RECORDS_MAX;
        }
    }
    for (uint32_t i = 0; i < create->topics_count; i++) {
        struct control_topic *topic = &create->topics[i];
        if (topic->error == KAFKA_NONE && too_many) {
            topic_refuse(topic, KAFKA_POLICY_VIOLATION,
                         "Unable to perform excessively large batch operation.");
        } else if (topic->error == KAFKA_NONE && !create->validate_only) {
            const struct image *image = image_edit_view(control->edit);
            if (image_topic_collision(image, topic->name)) { /* with one of this request */
                topic_refuse(topic, KAFKA_INVALID_TOPIC_EXCEPTION,
                             "Topic collides with another topic of the request");
            } else if (!create_topic(control, topic)) {
                return false;
            }
        }
    }
    metadata_batches_end(&control->batches);
    return true;
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

static bool round_delete(struct control *control, struct control_delete *delete)
{
    for (uint32_t i = 0; i < delete->topics_count; i++) {
        struct control_deletion *topic = &delete->topics[i];
        topic->error = KAFKA_NONE;
        if (!image_topic_by_id(image_edit_view(control->edit), &topic->id)) {
            topic->error = KAFKA_UNKNOWN_TOPIC_ID;
            continue;
        }
        struct metadata_record record = {.type = METADATA_REMOVE_TOPIC,
                                         .remove_topic = {.topic_id = topic->id}};
        if (!dropping_push(control, &topic->id) || !change_record(control, &record)) {
            return false;
        }
    }
    metadata_batches_end(&control->batches);
    return true;
}

static bool round_producer_ids(struct control *control, struct control_producer_ids *ids)
{
    ids->first = control->next_producer_id;
    ids->count = PRODUCER_IDS_BLOCK;
    struct metadata_record record = {
        .type = METADATA_PRODUCER_IDS,
        .producer_ids = {.broker_id = control->shard->settings->node_id,
                         .broker_epoch = control->broker_epoch,
                         .next_producer_id = ids->first + PRODUCER_IDS_BLOCK}};
    bool good = change_record(control, &record);
    metadata_batches_end(&control->batches);
    return good;
}

/* -- the round ------------------------------------------------------------------------------------ */

static void change_arrived(struct op *op)
{
    struct control *control = change_of(op)->home->peers[0]->control;
    op_queue_push(&control->waiting, op);
    round_begin(control);
}

/* The round's changes could not be made: nothing of it was. */
static void change_fail(struct op *op)
{
    struct control_change *change = change_of(op);
    if (change->kind == CONTROL_CREATE) {
        struct control_create *create = (struct control_create *)change;
        for (uint32_t i = 0; i < create->topics_count; i++) {
            if (create->topics[i].error == KAFKA_NONE && !create->validate_only) {
                topic_refuse(&create->topics[i], KAFKA_KAFKA_STORAGE_ERROR, metadata_failed);
            }
        }
    } else if (change->kind == CONTROL_DELETE) {
        struct control_delete *delete = (struct control_delete *)change;
        for (uint32_t i = 0; i < delete->topics_count; i++) {
            delete->topics[i].error = KAFKA_KAFKA_STORAGE_ERROR;
        }
    } else {
        ((struct control_producer_ids *)change)->count = 0;
    }
}

static void round_fail(struct control *control)
{
    if (control->edit) {
        image_edit_discard(control->edit);
        control->edit = NULL;
    }
    control->dropping_count = 0;
    for (struct op *op = control->round.head; op; op = op->next) {
        change_fail(op);
    }
    round_end(control);
}

static bool round_change(struct control *control, struct op *op)
{
    struct control_change *change = change_of(op);
    switch (change->kind) {
    case CONTROL_CREATE:
        return round_create(control, (struct control_create *)change);
    case CONTROL_DELETE:
        return round_delete(control, (struct control_delete *)change);
    case CONTROL_PRODUCER_IDS:
        return round_producer_ids(control, (struct control_producer_ids *)change);
    }
    return false;
}

/* All that wait, but nothing behind a deletion: a topic of the same name may be made when the old
 * one's directories are gone. */
static void round_take(struct control *control)
{
    bool deletes = false;
    while (!op_queue_is_empty(&control->waiting)) {
        bool is_deletion = change_of(control->waiting.head)->kind == CONTROL_DELETE;
        if (deletes && !is_deletion) {
            break;
        }
        deletes = is_deletion;
        op_queue_push(&control->round, op_queue_pop(&control->waiting));
    }
}

static void round_begin(struct control *control)
{
    if (control->busy || op_queue_is_empty(&control->waiting)) {
        return;
    }
    control->busy = true;
    round_take(control);
    int64_t producer_ids_before = control->next_producer_id;
    control->edit = image_edit_begin(control->image);
    metadata_batches_init(&control->batches, control->log.end_offset, control->log.epoch,
                          reactor_wall_ms(control->shard->reactor));
    bool good = control->edit && !control->log.failed;
    for (struct op *op = control->round.head; good && op; op = op->next) {
        good = round_change(control, op);
    }
    if (!good) {
        control->next_producer_id = producer_ids_before;
        metadata_batches_deinit(&control->batches);
        round_fail(control);
    } else if (control->batches.bytes_count == 0) { /* all were refused, or only asked */
        image_edit_discard(control->edit);
        control->edit = NULL;
        metadata_batches_deinit(&control->batches);
        round_end(control);
    } else {
        metadata_log_append(&control->log, &control->batches, &control->step, round_written);
    }
}

static struct control *control_of_step(struct op *op)
{
    return container_of(op, struct control, step);
}

static void publish(struct control *control)
{
    control->replaced = control->image;
    control->image = image_edit_end(control->edit, control->log.end_offset);
    control->edit = NULL;
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
               "cannot write %s: %s. Topics cannot be created or deleted until the broker is "
               "started again.",
               control->log.path, strerror((int)-op->result));
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
    image_free_replaced(control->replaced);
    control->replaced = NULL;
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
    if (control->started) { /* it was the round of the start */
        struct op *started = control->started;
        control->started = NULL;
        control->busy = false;
        started->result = control->log.failed ? -EIO : 0;
        control->started_then(started);
        return;
    }
    if (!control->log.failed && metadata_log_is_worth_a_snapshot(&control->log) &&
        registration_snapshot(control, &control->batches)) {
        metadata_log_snapshot(&control->log, &control->batches, &control->step, snapshot_written);
        return;
    }
    reactor_ready(control->shard->reactor, &control->step, round_next);
}

static void snapshot_written(struct op *op)
{
    struct control *control = control_of_step(op);
    metadata_batches_deinit(&control->batches);
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
        image_edit_discard(control->edit);
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
    if (control->batches.failed || control->log.failed) {
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
    metadata_log_close(&control->log, &control->step, stop_closed);
}

void control_deinit(struct control *control)
{
    image_free_all(control->image);
    free(control->messages);
    free(control->dropping);
    *control = (struct control){0};
}
