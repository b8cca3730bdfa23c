#include "shard/produce.h"

#include "shard/answer.h"
#include "shard/partition.h"

#include <assert.h>

enum {
    STEP_WORK = 64 << 10,    /* of a turn, as validation_step counts it: 100 us */
    PARTS_PER_STEP_MAX = 64, /* batches begun in one turn, however small */
    PART_WORK = STEP_WORK / PARTS_PER_STEP_MAX,
    MEMORY_RETRY_US = 1000, /* whoever has the memory is done soon, ... */
    /* ... or waits for memory itself, this request for what its own parts hold: somebody gives up. */
    MEMORY_WAIT_US_MAX = 1000 * 1000,
    REBUILD_SLACK_BYTES = 4096,
    ADMISSIONS_PER_STEP_MAX = 64,
    TOPICS_PER_STEP_MAX = 4096, /* each only counted */
    ROWS_PER_STEP_MAX = 512,
};

static void produce_decoded(struct request *request);
static void count_step(struct op *op);
static void parts_step(struct op *op);
static void parts_may_have_memory(struct op *op);
static int64_t part_rebuild_job(struct job *job, struct files *files);
static void part_rebuild_went_on(struct op *op);
static void shares_leave(struct op *op);
static void share_leave(struct produce *produce, struct produce_share *share);
static void share_admitted(struct op *op); /* it had to wait for room in its line */
static void share_arrived(struct op *op);
static void shares_step(struct shard *shard);
static void shares_step_again(struct op *op);
static void part_appended(struct op *op);
static void share_returned(struct op *op);
static void produce_appended(struct produce *produce);
static void rows_step(struct op *op);
static void produce_reply(struct produce *produce);

static struct slabs *slabs_of(const struct produce *produce)
{
    return &produce->request->shard->reactor->slabs;
}

/* -- home: starting ------------------------------------------------------------------------------- */

static void produce_release(struct request *request)
{
    struct produce *produce = request->state;
    slab_give(slabs_of(produce), BUDGET_SCRATCH, produce->memory, produce->memory_bytes);
}

static bool produce_init(struct produce *produce)
{
    struct request *request = produce->request;
    uint32_t cores = request->shard->count;
    produce->parts = arena_take(&request->arena, produce->parts_count * sizeof *produce->parts);
    produce->shares = arena_take(&request->arena, cores * sizeof(struct produce_share *));
    if (!produce->parts || !produce->shares) {
        return false;
    }
    memset(produce->shares, 0, cores * sizeof(struct produce_share *));
    produce->at_topic = 0;
    request->release = produce_release;
    return true;
}

void produce_start(struct request *request)
{
    struct produce *produce = arena_take(&request->arena, sizeof *produce);
    if (!produce) {
        request_close(request, "memory");
        return;
    }
    *produce = (struct produce){.request = request};
    request->state = produce;
    request_decode(request, produce_request_decode_slice, &produce->asked, "Produce cannot be read",
                   produce_decoded);
}

static void produce_decoded(struct request *request)
{
    struct produce *produce = request->state;
    count_step(&produce->step);
}

/* How many parts there are. */
static void count_step(struct op *op)
{
    struct produce *produce = container_of(op, struct produce, step);
    struct request *request = produce->request;
    for (uint32_t n = 0; produce->at_topic < produce->asked.topic_data_count; n++) {
        if (n == TOPICS_PER_STEP_MAX) {
            reactor_ready(request->shard->reactor, op, count_step);
            return;
        }
        const struct produce_request_topic *topic = &produce->asked.topic_data[produce->at_topic++];
        produce->parts_count += (uint32_t)topic->partition_data_count;
    }
    if (produce_init(produce)) {
        parts_step(op);
    } else {
        request_close(request, "memory");
    }
}

/* -- home: checking batches ------------------------------------------------------------------------ */

static void part_refuse(struct produce_part *part, enum kafka_error error, const char *why)
{
    part->error = error;
    part->why = why;
}

static const struct topic *part_topic(struct produce *produce, struct produce_part *part)
{
    const struct image *image = produce->request->shard->image;
    const struct produce_request_topic *asked = &produce->asked.topic_data[produce->at_topic];
    bool by_id = produce->request->version >= 13;
    const struct topic *topic = by_id ? image_topic_by_id(image, &asked->topic_id)
                                      : image_topic_by_name(image, asked->name);
    if (!topic) {
        part_refuse(part, by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION, NULL);
    } else if ((uint32_t)part->index >= topic->partitions_count) {
        part_refuse(part, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, NULL);
        topic = NULL;
    } else if (topic->internal && !view_equal_text(produce->request->client_id, "__admin_client")) {
        part_refuse(part, KAFKA_INVALID_TOPIC_EXCEPTION, "clients do not write to internal topics");
        topic = NULL;
    }
    return topic;
}

/* What the checks need of the topic, copied: the image may be gone at the next step. */
static void produce_take_rules(struct produce *produce, const struct topic_settings *settings)
{
    produce->rules = (struct validation_rules){
        .batch_bytes_max = settings->message_bytes_max,
        .headers_only = settings->validates_headers_only,
        .zstd_allowed = produce->request->version >= 7,
        .compacted = settings->compacted,
        .log_append_time = settings->log_append_time,
        .keeps_codec = settings->keeps_codec,
        .codec = (enum codec)settings->codec,
        .now_ms = reactor_wall_ms(produce->request->shard->reactor),
        .before_max_ms = settings->timestamp_before_max_ms,
        .after_max_ms = settings->timestamp_after_max_ms,
    };
    produce->codec_level = settings->codec_level;
    produce->segment_bytes = settings->log.segment_bytes;
}

static struct produce_share *produce_share_for(struct produce *produce, uint32_t owner)
{
    struct produce_share *share = produce->shares[owner];
    if (!share) {
        share = arena_take(&produce->request->arena, sizeof *share);
        if (share) {
            *share = (struct produce_share){.produce = produce,
                                            .owner = produce->request->shard->peers[owner]};
            share->end = &share->first;
            produce->shares[owner] = share;
        }
    }
    return share;
}

static void part_new(struct produce *produce, struct produce_part *part)
{
    const struct produce_request_partition *asked =
        &produce->asked.topic_data[produce->at_topic].partition_data[produce->at_partition];
    produce->state = PART_CHECKED;
    *part = (struct produce_part){.index = asked->index, .log_append_time_ms = -1};
    int16_t acks = produce->asked.acks;
    if (acks < -1 || acks > 1) {
        part_refuse(part, KAFKA_INVALID_REQUIRED_ACKS, NULL);
        return;
    }
    const struct topic *topic = part_topic(produce, part);
    if (!topic) {
        return;
    }
    if (acks == -1 && topic->settings.min_insync_replicas > 1) {
        part_refuse(part, KAFKA_NOT_ENOUGH_REPLICAS, "fewer replicas than min.insync.replicas");
        return;
    }
    part->topic_id = topic->id;
    part->leader_epoch = topic->partitions[part->index].leader_epoch;
    part->share = produce_share_for(produce, topic->partitions[part->index].owner);
    part->append.batch = (uint8_t *)asked->records.data; /* the frame is ours */
    part->append.bytes = asked->records.bytes > 0 ? (uint32_t)asked->records.bytes : 0;
    if (!part->share) {
        part_refuse(part, KAFKA_REQUEST_TIMED_OUT, "no memory");
        return;
    }
    produce_take_rules(produce, &topic->settings);
    produce->state = PART_VALIDATING;
    produce->validated = validation_start(&produce->validation, &produce->rules, part->append.batch,
                                          part->append.bytes);
    if (produce->validated == VALIDATION_MORE) {
        produce->memory_bytes = validation_memory_bytes(&produce->validation);
    }
}

/* A transaction would have to be known to its coordinator. */
static void part_check_transaction(struct produce *produce, struct produce_part *part)
{
    if (produce->validation.batch.attributes & BATCH_TRANSACTIONAL) {
        if (view_is_null(produce->asked.transactional_id)) {
            part_refuse(part, KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, NULL);
        } else {
            part_refuse(part, KAFKA_INVALID_TXN_STATE, "the producer has no open transaction");
        }
    }
}

static const char *record_error_text(enum validation_error error)
{
    switch (error) {
    case VALIDATION_NO_KEY:
        return "the topic is compacted and the record has no key";
    case VALIDATION_TIMESTAMP_OUT_OF_RANGE:
        return "the timestamp is outside what the topic allows";
    case VALIDATION_TIMESTAMP_TYPE:
        return "the timestamp type is LogAppendTime, which only the broker may say";
    }
    return NULL;
}

static void part_take_record_errors(struct produce *produce, struct produce_part *part)
{
    const struct validation *validation = &produce->validation;
    uint32_t count = validation->errors_count < VALIDATION_ERRORS_MAX ? validation->errors_count
                                                                      : VALIDATION_ERRORS_MAX;
    part->record_errors =
        arena_take(&produce->request->arena, count * sizeof(struct produce_response_record_error));
    for (uint32_t i = 0; part->record_errors && i < count; i++) {
        part->record_errors[i] = (struct produce_response_record_error){
            .batch_index = validation->errors[i].record_index,
            .batch_index_error_message =
                view_of_text(record_error_text(validation->errors[i].error)),
        };
        part->record_errors_count++;
    }
}

static void produce_give_memory(struct produce *produce)
{
    slab_give(slabs_of(produce), BUDGET_SCRATCH, produce->memory, produce->memory_bytes);
    produce->memory = NULL;
    produce->memory_bytes = 0;
}

/* Room for the new batch, and the work memory. False: it has to wait, or was refused. */
static bool part_begin_rebuild(struct produce *produce, struct produce_part *part)
{
    const struct validation *validation = &produce->validation;
    uint64_t plain = validation->plain_bytes + BATCH_HEADER_BYTES;
    uint64_t room = plain + plain / 8 + REBUILD_SLACK_BYTES;
    room = room < produce->rules.batch_bytes_max ? room : produce->rules.batch_bytes_max;
    part->rebuilt_bytes = room > 0 ? room : 1;
    part->rebuilt = slab_take(slabs_of(produce), BUDGET_SCRATCH, part->rebuilt_bytes);
    produce_give_memory(produce);
    produce->memory_bytes = rebuild_memory_bytes(validation, produce->codec_level);
    produce->memory = slab_take(slabs_of(produce), BUDGET_SCRATCH, produce->memory_bytes);
    if (!part->rebuilt || !produce->memory) {
        part_refuse(part, KAFKA_REQUEST_TIMED_OUT, "no memory to recompress the batch");
        return false;
    }
    produce->rebuilt = VALIDATION_MORE;
    produce->rebuild_job.run = part_rebuild_job;
    rebuild_start(&produce->rebuild, validation, produce->codec_level, produce->memory,
                  produce->memory_bytes, part->rebuilt, part->rebuilt_bytes);
    return true;
}

/* Sound: stamp it, rebuild it, or leave it as it is. */
static void part_accept(struct produce *produce, struct produce_part *part)
{
    struct validation *validation = &produce->validation;
    if (produce->rules.log_append_time) {
        part->log_append_time_ms = produce->rules.now_ms;
    }
    part->append.is_unread = !validation->is_crc_checked; /* its owner checks it as it copies it */
    if (validation->must_rebuild) {
        if (part_begin_rebuild(produce, part)) {
            produce->state = PART_REBUILDING;
        }
    } else if (validation->must_stamp) {
        batch_stamp(part->append.batch, part->append.bytes, validation->log_append_time,
                    validation->max_timestamp);
    }
}

static void part_validated(struct produce *produce, struct produce_part *part)
{
    struct validation *validation = &produce->validation;
    produce->state = PART_CHECKED;
    if (validation->refusal != REFUSAL_NONE) {
        part_refuse(part, kafka_error_from_refusal(validation->refusal), validation->why);
        part_take_record_errors(produce, part);
        return;
    }
    part_check_transaction(produce, part);
    if (part->error == KAFKA_NONE) {
        part_accept(produce, part);
    }
}

static void part_rebuilt(struct produce *produce, struct produce_part *part)
{
    produce->state = PART_CHECKED;
    if (produce->rebuild.refusal != REFUSAL_NONE) {
        part_refuse(part, kafka_error_from_refusal(produce->rebuild.refusal), NULL);
        return;
    }
    part->append.batch = part->rebuilt;
    part->append.bytes = produce->rebuild.batch_bytes;
}

enum part_progress {
    PART_DONE,
    PART_MORE,
    PART_WAITS, /* for memory */
    PART_AWAY,  /* to be rebuilt by a job */
};

/* Memory to inflate into: taken when the part's first step comes. */
static enum part_progress part_take_memory(struct produce *produce, struct produce_part *part)
{
    const struct budget *budget = &slabs_of(produce)->budgets[BUDGET_SCRATCH];
    if (produce->memory_bytes > budget->bytes_max / 2 || produce->memory_bytes > SLAB_BYTES_MAX) {
        part_refuse(part, KAFKA_MESSAGE_TOO_LARGE, "too much memory is needed to decompress it");
        produce->memory_bytes = 0;
        return PART_DONE;
    }
    produce->memory = slab_take(slabs_of(produce), BUDGET_SCRATCH, produce->memory_bytes);
    if (!produce->memory) {
        uint64_t now_us = reactor_now_us(produce->request->shard->reactor);
        if (produce->memory_until_us == 0) {
            produce->memory_until_us = now_us + MEMORY_WAIT_US_MAX;
        }
        if (now_us < produce->memory_until_us) {
            return PART_WAITS;
        }
        part_refuse(part, KAFKA_REQUEST_TIMED_OUT, "no memory to decompress the batch");
        produce->memory_bytes = 0;
        return PART_DONE;
    }
    validation_give_memory(&produce->validation, produce->memory, produce->memory_bytes);
    return PART_MORE;
}

/* One step of the part at hand; lowers *budget by what it did. */
static enum part_progress part_step(struct produce *produce, size_t *budget)
{
    struct produce_part *part = &produce->parts[produce->at];
    switch (produce->state) {
    case PART_NEW:
        part_new(produce, part);
        *budget -= *budget < PART_WORK ? *budget : PART_WORK;
        return produce->state == PART_CHECKED ? PART_DONE : PART_MORE;
    case PART_VALIDATING:
        if (produce->memory_bytes > 0 && !produce->memory) {
            return part_take_memory(produce, part);
        }
        if (part->error != KAFKA_NONE) {
            return PART_DONE;
        }
        if (produce->validated == VALIDATION_MORE) {
            produce->validated = validation_step(&produce->validation, budget);
        }
        if (produce->validated == VALIDATION_DONE) {
            part_validated(produce, part);
        }
        return produce->state == PART_CHECKED ? PART_DONE : PART_MORE;
    case PART_REBUILDING:
        if (produce->rebuilt == VALIDATION_MORE && produce->rebuild.is_slow) {
            return PART_AWAY;
        }
        if (produce->rebuilt == VALIDATION_MORE) {
            produce->rebuilt = rebuild_step(&produce->rebuild, budget);
        }
        if (produce->rebuilt == VALIDATION_DONE) {
            part_rebuilt(produce, part);
        }
        return produce->state == PART_CHECKED ? PART_DONE : PART_MORE;
    case PART_CHECKED:
        break;
    }
    return PART_DONE;
}

/* The part is done with: it joins its owner's share, or stays here with its error. */
static void part_ended(struct produce *produce)
{
    struct produce_part *part = &produce->parts[produce->at];
    produce_give_memory(produce);
    if (part->error == KAFKA_NONE && part->append.bytes > produce->segment_bytes) {
        part_refuse(part, KAFKA_RECORD_LIST_TOO_LARGE, "the batch is larger than segment.bytes");
    }
    if (part->error == KAFKA_NONE) {
        *part->share->end = part;
        part->share->end = &part->next;
        part->share->bytes += part->append.bytes;
    }
    produce->at++;
    produce->at_partition++;
    produce->state = PART_NEW;
}

/* False: this was a topic's end; the next one may have no partitions. */
static bool produce_find_part(struct produce *produce)
{
    const struct produce_request_topic *topic = &produce->asked.topic_data[produce->at_topic];
    if (produce->at_partition < topic->partition_data_count) {
        return true;
    }
    produce->at_topic++;
    produce->at_partition = 0;
    return false;
}

/*
 * Of the batches too large for one step only one is under way on a core at a time: so its bytes are
 * still in the cache when the next pass over them comes (checksum, records, tail, journal). Small
 * ones pass by: they never get here.
 */
static void parts_yield(struct produce *produce)
{
    struct shard *shard = produce->request->shard;
    if (!shard->checking) {
        shard->checking = produce;
    }
    if (shard->checking == produce) {
        reactor_ready(shard->reactor, &produce->step, parts_step);
    } else {
        op_queue_push(&shard->checks, &produce->step);
    }
}

static void parts_next(struct shard *shard)
{
    struct op *op = op_queue_pop(&shard->checks);
    shard->checking = op ? container_of(op, struct produce, step) : NULL;
    if (op) {
        reactor_ready(shard->reactor, op, parts_step);
    }
}

static void parts_step(struct op *op)
{
    struct produce *produce = container_of(op, struct produce, step);
    struct shard *shard = produce->request->shard;
    bool was_checking = shard->checking == produce;
    size_t budget = STEP_WORK;
    while (produce->at < produce->parts_count) {
        if (budget == 0) {
            parts_yield(produce);
            return;
        }
        if (!produce_find_part(produce)) {
            budget -= budget < PART_WORK ? budget : PART_WORK;
            continue;
        }
        enum part_progress progress;
        do {
            progress = part_step(produce, &budget);
        } while (progress == PART_MORE && budget > 0);
        if (progress == PART_WAITS || progress == PART_AWAY) {
            if (progress == PART_WAITS) {
                timer_start(shard->reactor, &produce->wait, MEMORY_RETRY_US, parts_may_have_memory);
            } else {
                reactor_job(shard->reactor, &produce->rebuild_job, part_rebuild_went_on);
            }
            if (was_checking) {
                parts_next(shard);
            }
            return;
        }
        if (progress == PART_DONE) {
            part_ended(produce);
        }
    }
    produce->shares_out = 1; /* until all have left */
    shares_leave(op);
    if (was_checking) {
        parts_next(shard);
    }
}

/* Off the reactor. A slice, since settling waits for its turn with the same thread. */
static int64_t part_rebuild_job(struct job *job, struct files *files)
{
    (void)files;
    struct produce *produce = container_of(job, struct produce, rebuild_job);
    size_t budget = STEP_WORK;
    return rebuild_step(&produce->rebuild, &budget);
}

static void part_rebuild_went_on(struct op *op)
{
    struct produce *produce = container_of(op, struct produce, rebuild_job.op);
    produce->rebuilt = (enum validation_progress)op->result;
    parts_step(&produce->step);
}

static void parts_may_have_memory(struct op *op)
{
    parts_step(&container_of(op, struct produce, wait.op)->step);
}

/* -- home: shares leave ----------------------------------------------------------------------------- */

/* A quarter of what frames may take: the rest is for those who need other cores. One share may
 * always be out. */
static bool line_is_full(const struct shard *shard, const struct produce_line *line)
{
    return line->bytes_out > 0 &&
           line->bytes_out > shard->reactor->slabs.budgets[BUDGET_FRAMES].bytes_max / 4;
}

/* Those who wait go before those who come. */
static void shares_leave(struct op *op)
{
    struct produce *produce = container_of(op, struct produce, step);
    struct shard *shard = produce->request->shard;
    struct connection *connection = produce->request->connection;
    for (; produce->leave_at < shard->count; produce->leave_at++) {
        struct produce_share *share = produce->shares[produce->leave_at];
        struct produce_line *line = &shard->produce_lines[produce->leave_at];
        if (!share || !share->first) {
            continue;
        }
        if (line_is_full(shard, line) || !op_queue_is_empty(&line->waiting)) {
            op_queue_push(&line->waiting, op);
            return;
        }
        line->bytes_out += share->bytes;
        share_leave(produce, share);
    }
    if (!connection->closing) {
        connection_next(connection);
    }
    if (--produce->shares_out == 0) {
        produce_appended(produce);
    }
}

static void share_leave(struct produce *produce, struct produce_share *share)
{
    produce->shares_out++;
    shard_run(produce->request->shard, share->owner, &share->op, share_arrived);
}

/* There is room in a line: it is taken at once for those who have waited longest. If there is more
 * than so many may have now, the others come when one of these is home. */
static void line_admit(struct shard *shard, struct produce_line *line)
{
    for (uint32_t i = 0; i < ADMISSIONS_PER_STEP_MAX && !line_is_full(shard, line); i++) {
        struct op *op = op_queue_pop(&line->waiting);
        if (!op) {
            return;
        }
        struct produce *produce = container_of(op, struct produce, step);
        line->bytes_out += produce->shares[produce->leave_at]->bytes;
        reactor_ready(shard->reactor, op, share_admitted);
    }
}

static void share_admitted(struct op *op)
{
    struct produce *produce = container_of(op, struct produce, step);
    share_leave(produce, produce->shares[produce->leave_at++]);
    shares_leave(op);
}

/* -- owner ------------------------------------------------------------------------------------------ */

static void share_arrived(struct op *op)
{
    struct produce_share *share = container_of(op, struct produce_share, op);
    struct shard *owner = share->owner;
    share->begin_next = share->first;
    share->left = 1;
    bool others_wait = !op_queue_is_empty(&owner->appending);
    op_queue_push(&owner->appending, op);
    if (!others_wait) {
        shares_step(owner);
    }
}

static void share_ended(struct produce_share *share)
{
    shard_run(share->owner, share->produce->request->shard, &share->op, share_returned);
}

static void part_append(struct shard *owner, struct produce_part *part)
{
    struct log *log = partition_log(owner, &part->topic_id, part->index, &part->error);
    if (!log) {
        return;
    }
    part->share->left++;
    part->append.leader_epoch = log->leader_epoch;
    part->log_start_offset = log->log_start;
    log_append(log, &part->append, part_appended);
}

/* Begin the appends of the shares that have arrived, in their order. */
static void shares_step(struct shard *shard)
{
    struct op *op;
    uint32_t begun = 0;
    while ((op = shard->appending.head) != NULL) {
        struct produce_share *share = container_of(op, struct produce_share, op);
        while (share->begin_next) {
            if (begun++ == PARTS_PER_STEP_MAX) {
                reactor_ready(shard->reactor, &share->begin_next->append.op, shares_step_again);
                return;
            }
            struct produce_part *part = share->begin_next;
            share->begin_next = part->next;
            part_append(shard, part);
        }
        (void)op_queue_pop(&shard->appending);
        if (--share->left == 0) {
            share_ended(share);
        }
    }
}

/* The op of the part that comes next was free to wait for this. */
static void shares_step_again(struct op *op)
{
    shares_step(container_of(op, struct produce_part, append.op)->share->owner);
}

static void part_appended(struct op *op)
{
    struct produce_part *part = container_of(op, struct produce_part, append.op);
    struct produce_share *share = part->share;
    part->error = kafka_error_from_result(op->result);
    if (--share->left == 0) {
        share_ended(share);
    }
}

/* -- home: replying ---------------------------------------------------------------------------------- */

static void share_returned(struct op *op)
{
    struct produce_share *share = container_of(op, struct produce_share, op);
    struct produce *produce = share->produce;
    struct shard *home = produce->request->shard;
    struct produce_line *line = &home->produce_lines[share->owner->index];
    line->bytes_out -= share->bytes;
    line_admit(home, line);
    if (--produce->shares_out == 0) {
        produce_appended(produce);
    }
}

/* All that a client can be told with acks=0 is that something failed. */
static void produce_appended(struct produce *produce)
{
    struct arena *arena = &produce->request->arena;
    struct produce_response *response = &produce->response;
    produce->at = 0;
    produce->at_topic = 0;
    produce->at_partition = 0;
    produce_response_init(response);
    if (produce->asked.acks != 0) {
        response->responses_count = produce->asked.topic_data_count;
        response->responses =
            arena_take(arena, (size_t)response->responses_count * sizeof *response->responses);
        produce->rows = arena_take(arena, produce->parts_count * sizeof *produce->rows);
    }
    rows_step(&produce->step);
}

static void row_tell_leader(struct produce *produce, const struct produce_part *part,
                            struct produce_response_partition *row)
{
    const struct broker_settings *settings = produce->request->shard->settings;
    row->current_leader.leader_id = settings->node_id;
    row->current_leader.leader_epoch = part->leader_epoch;
    produce->endpoint =
        (struct produce_response_node_endpoint){.node_id = settings->node_id,
                                                .host = view_of_text(settings->advertised_host),
                                                .port = settings->advertised_port,
                                                .rack = VIEW_NULL};
    produce->response.node_endpoints = &produce->endpoint;
    produce->response.node_endpoints_count = 1;
}

static void part_answer(struct produce *produce, const struct produce_part *part,
                        struct produce_response_partition *row)
{
    produce_response_partition_init(row);
    row->index = part->index;
    row->error_code = (int16_t)part->error;
    row->base_offset = -1;
    row->record_errors = part->record_errors;
    row->record_errors_count = part->record_errors_count;
    if (part->error == KAFKA_NONE) {
        row->base_offset = part->append.base_offset;
        row->log_append_time_ms = part->log_append_time_ms;
        row->log_start_offset = part->log_start_offset;
    } else if (part->why) {
        row->error_message = view_of_text(part->why);
    }
    if (part->error == KAFKA_NOT_LEADER_OR_FOLLOWER) {
        row_tell_leader(produce, part, row);
    }
}

static bool produce_has_rows(const struct produce *produce)
{
    return produce->response.responses && produce->rows;
}

/* The topic at hand is at its start. */
static void topic_answer(struct produce *produce)
{
    const struct produce_request_topic *asked = &produce->asked.topic_data[produce->at_topic];
    produce->response.responses[produce->at_topic] =
        (struct produce_response_topic){.name = asked->name,
                                        .topic_id = asked->topic_id,
                                        .partition_responses_count = asked->partition_data_count,
                                        .partition_responses = produce->rows + produce->at};
}

/* Each part's row, and an end to what it holds: this is done whatever the answer. */
static void rows_step(struct op *op)
{
    struct produce *produce = container_of(op, struct produce, step);
    bool has_rows = produce_has_rows(produce);
    for (uint32_t n = 0; produce->at_topic < produce->asked.topic_data_count; n++) {
        if (n == ROWS_PER_STEP_MAX) {
            reactor_ready(produce->request->shard->reactor, op, rows_step);
            return;
        }
        if (has_rows && produce->at_partition == 0) {
            topic_answer(produce);
        }
        if (!produce_find_part(produce)) {
            continue;
        }
        struct produce_part *part = &produce->parts[produce->at];
        slab_give(slabs_of(produce), BUDGET_SCRATCH, part->rebuilt, part->rebuilt_bytes);
        produce->some_failed |= part->error != KAFKA_NONE;
        if (has_rows) {
            part_answer(produce, part, &produce->rows[produce->at]);
        }
        produce->at++;
        produce->at_partition++;
    }
    produce_reply(produce);
}

static void produce_reply(struct produce *produce)
{
    struct request *request = produce->request;
    if (produce->asked.acks == 0 && produce->some_failed) {
        request_close(request, "a Produce with acks=0 failed");
    } else if (produce->asked.acks == 0) {
        request_skip(request);
    } else if (!produce_has_rows(produce)) {
        request_close(request, "no memory for a reply");
    } else {
        request_encode(request, produce_response_encode_slice, &produce->response, request_reply);
    }
}
