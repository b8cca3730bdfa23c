/*
 * list_offsets -- the offset at a time, or at one end of a partition.
 *
 *     home                                     owners
 *     list_offsets_start  -- one share each -->  share_step: ends are known, times are looked up
 *     share_returned      <--------------------
 *     the reply, when the last share is home
 */
#include "net/codec/list_offsets.h"

#include "shard/answer.h"
#include "shard/partition.h"
#include "shard/request.h"

#include <stdlib.h>

enum { PARTS_PER_STEP_MAX = 64 };

enum { /* times that stand for a place */
       TIME_LATEST = -1,
       TIME_EARLIEST = -2,
       TIME_MAX = -3,              /* of the record with the largest */
       TIME_EARLIEST_LOCAL = -4,   /* without remote storage: as the earliest */
       TIME_LATEST_TIERED = -5,    /* without remote storage: none */
       TIME_EARLIEST_PENDING = -6, /* likewise */
};

struct offsets_part { /* one partition */
    const struct list_offsets_request_topic *topic;
    const struct list_offsets_request_partition *asked;
    struct uuid topic_id;
    struct offsets_part *next; /* of the same owner */
    enum kafka_error error;
    int64_t offset;
    int64_t timestamp_ms;
    int32_t leader_epoch;
};

struct offsets_share {
    struct op op;
    struct offsets *offsets;
    struct shard *owner;
    struct offsets_part *first;
    struct offsets_part *at; /* owner: being looked up */
    struct log_lookup lookup;
};

struct offsets {
    struct request *request;
    struct list_offsets_request asked;
    struct offsets_part *parts; /* [parts_count], in the order of the request */
    struct offsets_part **sorted;
    uint32_t parts_count;
    struct offsets_share **shares; /* [cores] */
    uint32_t shares_out;
    uint32_t at;
    struct op step;
};

static void parts_step(struct op *op);
static void share_arrived(struct op *op);
static void share_step(struct op *op);
static void part_looked_up(struct op *op);
static void share_returned(struct op *op);
static void offsets_reply(struct offsets *offsets);

/* -- home ------------------------------------------------------------------------------------------ */

static bool time_is_supported(int64_t timestamp, int16_t version)
{
    switch (timestamp) {
    case TIME_LATEST:
    case TIME_EARLIEST:
        return true;
    case TIME_MAX:
        return version >= 7;
    case TIME_EARLIEST_LOCAL:
        return version >= 8;
    case TIME_LATEST_TIERED:
        return version >= 9;
    case TIME_EARLIEST_PENDING:
        return version >= 11;
    default:
        return timestamp >= 0;
    }
}

static int part_order(const void *one, const void *other)
{
    const struct offsets_part *a = *(struct offsets_part *const *)one;
    const struct offsets_part *b = *(struct offsets_part *const *)other;
    if (a->asked->partition_index != b->asked->partition_index) {
        return a->asked->partition_index < b->asked->partition_index ? -1 : 1;
    }
    int32_t bytes = a->topic->name.bytes;
    if (bytes != b->topic->name.bytes) {
        return bytes < b->topic->name.bytes ? -1 : 1;
    }
    return bytes > 0 ? memcmp(a->topic->name.data, b->topic->name.data, (size_t)bytes) : 0;
}

/* A partition named twice is refused twice. */
static void offsets_refuse_doubles(struct offsets *offsets)
{
    qsort(offsets->sorted, offsets->parts_count, sizeof(struct offsets_part *), part_order);
    for (uint32_t i = 1; i < offsets->parts_count; i++) {
        if (part_order(&offsets->sorted[i - 1], &offsets->sorted[i]) == 0) {
            offsets->sorted[i - 1]->error = KAFKA_INVALID_REQUEST;
            offsets->sorted[i]->error = KAFKA_INVALID_REQUEST;
        }
    }
}

static bool offsets_init(struct offsets *offsets, struct request *request)
{
    struct arena *arena = &request->arena;
    *offsets = (struct offsets){.request = request};
    if (!list_offsets_request_decode(&offsets->asked, &request->body, request->version, arena)) {
        return false;
    }
    for (int32_t i = 0; i < offsets->asked.topics_count; i++) {
        offsets->parts_count += (uint32_t)offsets->asked.topics[i].partitions_count;
    }
    uint32_t cores = request->shard->count;
    offsets->parts = arena_take(arena, offsets->parts_count * sizeof *offsets->parts);
    offsets->sorted = arena_take(arena, offsets->parts_count * sizeof(struct offsets_part *));
    offsets->shares = arena_take(arena, cores * sizeof(struct offsets_share *));
    if (!offsets->parts || !offsets->sorted || !offsets->shares) {
        return false;
    }
    memset(offsets->shares, 0, cores * sizeof(struct offsets_share *));
    uint32_t at = 0;
    for (int32_t i = 0; i < offsets->asked.topics_count; i++) {
        const struct list_offsets_request_topic *topic = &offsets->asked.topics[i];
        for (int32_t k = 0; k < topic->partitions_count; k++, at++) {
            offsets->parts[at] = (struct offsets_part){.topic = topic,
                                                       .asked = &topic->partitions[k],
                                                       .offset = -1,
                                                       .timestamp_ms = -1,
                                                       .leader_epoch = -1};
            offsets->sorted[at] = &offsets->parts[at];
        }
    }
    offsets_refuse_doubles(offsets);
    return true;
}

void list_offsets_start(struct request *request)
{
    struct offsets *offsets = arena_take(&request->arena, sizeof *offsets);
    if (!offsets || !offsets_init(offsets, request)) {
        request_close(request, "ListOffsets cannot be read");
        return;
    }
    parts_step(&offsets->step);
}

static void part_sort(struct offsets *offsets, struct offsets_part *part)
{
    struct request *request = offsets->request;
    const struct topic *topic = image_topic_by_name(request->shard->image, part->topic->name);
    uint32_t index = (uint32_t)part->asked->partition_index;
    if (part->error != KAFKA_NONE) {
        return;
    }
    if (!time_is_supported(part->asked->timestamp, request->version)) {
        part->error = KAFKA_UNSUPPORTED_VERSION;
        return;
    }
    if (!topic || index >= topic->partitions_count) {
        part->error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    part->topic_id = topic->id;
    uint32_t owner = topic->partitions[index].owner;
    struct offsets_share *share = offsets->shares[owner];
    if (!share) {
        share = arena_take(&request->arena, sizeof *share);
        if (!share) {
            part->error = KAFKA_REQUEST_TIMED_OUT;
            return;
        }
        *share = (struct offsets_share){.offsets = offsets, .owner = request->shard->peers[owner]};
        offsets->shares[owner] = share;
        offsets->shares_out++;
    }
    part->next = share->first;
    share->first = part;
}

static void parts_step(struct op *op)
{
    struct offsets *offsets = container_of(op, struct offsets, step);
    struct shard *shard = offsets->request->shard;
    for (uint32_t n = 0; offsets->at < offsets->parts_count; n++) {
        if (n == PARTS_PER_STEP_MAX) {
            reactor_ready(shard->reactor, op, parts_step);
            return;
        }
        part_sort(offsets, &offsets->parts[offsets->at++]);
    }
    uint32_t out = offsets->shares_out;
    for (uint32_t i = 0; out > 0 && i < shard->count; i++) {
        struct offsets_share *share = offsets->shares[i];
        if (share) {
            shard_run(shard, share->owner, &share->op, share_arrived);
        }
    }
    if (out == 0) {
        offsets_reply(offsets);
    }
}

/* -- owner ----------------------------------------------------------------------------------------- */

static void share_arrived(struct op *op)
{
    struct offsets_share *share = container_of(op, struct offsets_share, op);
    share->at = share->first;
    share_step(op);
}

static enum kafka_error part_check_epoch(const struct offsets_part *part, const struct log *log)
{
    int32_t epoch = part->asked->current_leader_epoch;
    if (epoch < 0 || epoch == log->leader_epoch) {
        return KAFKA_NONE;
    }
    return epoch < log->leader_epoch ? KAFKA_FENCED_LEADER_EPOCH : KAFKA_UNKNOWN_LEADER_EPOCH;
}

/* True: a place, and known at once. */
static bool part_find_place(struct offsets_part *part, const struct log *log)
{
    switch (part->asked->timestamp) {
    case TIME_LATEST:
        part->offset = log->high_watermark;
        part->leader_epoch = log->leader_epoch;
        return true;
    case TIME_EARLIEST:
    case TIME_EARLIEST_LOCAL:
        part->offset = log->log_start;
        part->leader_epoch = epochs_of(&log->epochs, log->log_start);
        return true;
    case TIME_LATEST_TIERED:
    case TIME_EARLIEST_PENDING:
        return true;
    default:
        return false;
    }
}

/* False: it is being looked up. */
static bool part_answer(struct offsets_share *share, struct offsets_part *part)
{
    struct partition *partition =
        partition_find(share->owner, &part->topic_id, part->asked->partition_index, &part->error);
    if (!partition) {
        return true;
    }
    part->error = part_check_epoch(part, partition->log);
    if (part->error != KAFKA_NONE || part_find_place(part, partition->log)) {
        return true;
    }
    int64_t target_ms = part->asked->timestamp;
    share->lookup =
        (struct log_lookup){.target_ms = target_ms == TIME_MAX ? LOG_TIME_MAX : target_ms};
    log_look_up(partition->log, &share->lookup, part_looked_up);
    return false;
}

static void share_step(struct op *op)
{
    struct offsets_share *share = container_of(op, struct offsets_share, op);
    for (uint32_t n = 0; share->at; n++) {
        if (n == PARTS_PER_STEP_MAX) {
            reactor_ready(share->owner->reactor, op, share_step);
            return;
        }
        if (!part_answer(share, share->at)) {
            return;
        }
        share->at = share->at->next;
    }
    shard_run(share->owner, share->offsets->request->shard, op, share_returned);
}

static void part_looked_up(struct op *op)
{
    struct offsets_share *share = container_of(op, struct offsets_share, lookup.op);
    struct offsets_part *part = share->at;
    part->error = kafka_error_from_result(op->result);
    if (part->error == KAFKA_NONE && share->lookup.offset >= 0) {
        part->offset = share->lookup.offset;
        part->timestamp_ms = share->lookup.timestamp_ms;
        part->leader_epoch = share->lookup.leader_epoch;
    }
    share->at = part->next;
    share_step(&share->op);
}

/* -- home ------------------------------------------------------------------------------------------ */

static void share_returned(struct op *op)
{
    struct offsets *offsets = container_of(op, struct offsets_share, op)->offsets;
    if (--offsets->shares_out == 0) {
        offsets_reply(offsets);
    }
}

static void offsets_reply(struct offsets *offsets)
{
    struct request *request = offsets->request;
    struct list_offsets_response response;
    list_offsets_response_init(&response);
    response.topics_count = offsets->asked.topics_count;
    response.topics =
        arena_take(&request->arena, (size_t)response.topics_count * sizeof *response.topics);
    struct list_offsets_response_partition *rows =
        arena_take(&request->arena, offsets->parts_count * sizeof *rows);
    if (!response.topics || !rows) {
        request_close(request, "no memory for a reply");
        return;
    }
    uint32_t at = 0;
    for (int32_t i = 0; i < response.topics_count; i++) {
        const struct list_offsets_request_topic *topic = &offsets->asked.topics[i];
        response.topics[i] =
            (struct list_offsets_response_topic){.name = topic->name,
                                                 .partitions_count = topic->partitions_count,
                                                 .partitions = rows + at};
        for (int32_t k = 0; k < topic->partitions_count; k++, at++) {
            const struct offsets_part *part = &offsets->parts[at];
            rows[at] = (struct list_offsets_response_partition){.partition_index =
                                                                    part->asked->partition_index,
                                                                .error_code = (int16_t)part->error,
                                                                .timestamp = part->timestamp_ms,
                                                                .offset = part->offset,
                                                                .leader_epoch = part->leader_epoch};
        }
    }
    list_offsets_response_encode(&response, &request->reply.head, request->version);
    request_reply(request);
}
