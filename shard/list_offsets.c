/*
 * list_offsets -- the offset at a time, or at one end of a partition.
 *
 *     home                                     owners
 *     list_offsets_start  -- one share each -->  share_step: ends are known, times are looked up
 *     share_returned      <--------------------
 *     the reply, when the last share is home
 */
#include "net/codec/list_offsets.h"

#include "core/table.h"
#include "shard/answer.h"
#include "shard/partition.h"
#include "shard/request.h"

enum { PARTS_PER_STEP_MAX = 64, ROWS_PER_STEP_MAX = 512 };

enum { /* times that stand for a place */
       TIME_LATEST = -1,
       TIME_EARLIEST = -2,
       TIME_MAX = -3,              /* of the record with the largest */
       TIME_EARLIEST_LOCAL = -4,   /* without remote storage: as the earliest */
       TIME_LATEST_TIERED = -5,    /* without remote storage: none */
       TIME_EARLIEST_PENDING = -6, /* likewise */
};

struct offsets_part { /* one partition */
    struct table_link by_name;
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
    uint32_t parts_count;
    struct table by_name;          /* parts */
    struct offsets_share **shares; /* [cores] */
    uint32_t shares_out;
    int32_t at_topic, at_partition; /* of asked: the next */
    uint32_t at;                    /* the same one, of parts */
    struct list_offsets_response response;
    struct list_offsets_response_partition *rows; /* [parts_count] */
    struct op step;
};

static void list_offsets_decoded(struct request *request);
static void count_step(struct op *op); /* how many partitions are named? */
static void parts_step(struct op *op); /* each one to the share of its owner */
static void share_arrived(struct op *op);
static void share_step(struct op *op);
static void part_looked_up(struct op *op);
static void share_returned(struct op *op);
static void offsets_answer(struct offsets *offsets);
static void rows_step(struct op *op);
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

void list_offsets_start(struct request *request)
{
    struct offsets *offsets = arena_take(&request->arena, sizeof *offsets);
    if (!offsets) {
        request_close(request, "memory");
        return;
    }
    *offsets = (struct offsets){.request = request};
    request->state = offsets;
    request_decode(request, list_offsets_request_decode_slice, &offsets->asked,
                   "ListOffsets cannot be read", list_offsets_decoded);
}

static void list_offsets_decoded(struct request *request)
{
    struct offsets *offsets = request->state;
    count_step(&offsets->step);
}

static bool parts_init(struct offsets *offsets)
{
    struct request *request = offsets->request;
    struct arena *arena = &request->arena;
    uint32_t cores = request->shard->count;
    offsets->at_topic = 0;
    offsets->parts = arena_take(arena, offsets->parts_count * sizeof *offsets->parts);
    offsets->shares = arena_take(arena, cores * sizeof(struct offsets_share *));
    if (!offsets->parts || !offsets->shares) {
        return false;
    }
    memset(offsets->shares, 0, cores * sizeof(struct offsets_share *));
    table_init(&offsets->by_name, arena, (uint32_t)reactor_random(request->shard->reactor));
    return true;
}

static void count_step(struct op *op)
{
    struct offsets *offsets = container_of(op, struct offsets, step);
    for (uint32_t n = 0; offsets->at_topic < offsets->asked.topics_count; n++) {
        if (n == ROWS_PER_STEP_MAX) {
            reactor_ready(offsets->request->shard->reactor, op, count_step);
            return;
        }
        offsets->parts_count +=
            (uint32_t)offsets->asked.topics[offsets->at_topic++].partitions_count;
    }
    if (parts_init(offsets)) {
        parts_step(op);
    } else {
        request_close(offsets->request, "no memory for what a ListOffsets asks");
    }
}

/* A partition named twice is refused twice; the first of them may be in a share already, and its
 * owner passes it by. False: no memory. */
static bool part_note(struct offsets *offsets, struct offsets_part *part)
{
    struct table *table = &offsets->by_name;
    struct view name = part->topic->name;
    if (name.bytes > TOPIC_NAME_BYTES_MAX) {
        return true; /* no topic's: refused anyway, and hashing it for each partition takes long */
    }
    uint32_t hash =
        table_hash(table, name.data, (size_t)name.bytes, (uint32_t)part->asked->partition_index);
    for (struct table_link *link = table_first(table, hash); link; link = table_next(link)) {
        struct offsets_part *other = container_of(link, struct offsets_part, by_name);
        if (other->asked->partition_index == part->asked->partition_index &&
            view_equal(other->topic->name, name)) {
            part->error = other->error = KAFKA_INVALID_REQUEST;
            return true; /* one of them is enough to be found again */
        }
    }
    return table_add(table, &part->by_name, hash);
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

static void shares_leave(struct offsets *offsets)
{
    struct shard *shard = offsets->request->shard;
    uint32_t out = offsets->shares_out;
    for (uint32_t i = 0; out > 0 && i < shard->count; i++) {
        struct offsets_share *share = offsets->shares[i];
        if (share) {
            shard_run(shard, share->owner, &share->op, share_arrived);
        }
    }
    if (out == 0) {
        offsets_answer(offsets);
    }
}

static void parts_step(struct op *op)
{
    struct offsets *offsets = container_of(op, struct offsets, step);
    for (uint32_t n = 0; offsets->at_topic < offsets->asked.topics_count; n++) {
        if (n == PARTS_PER_STEP_MAX) {
            reactor_ready(offsets->request->shard->reactor, op, parts_step);
            return;
        }
        const struct list_offsets_request_topic *topic = &offsets->asked.topics[offsets->at_topic];
        if (offsets->at_partition == topic->partitions_count) {
            offsets->at_topic++;
            offsets->at_partition = 0;
            continue;
        }
        struct offsets_part *part = &offsets->parts[offsets->at++];
        *part = (struct offsets_part){.topic = topic,
                                      .asked = &topic->partitions[offsets->at_partition++],
                                      .offset = -1,
                                      .timestamp_ms = -1,
                                      .leader_epoch = -1};
        if (!part_note(offsets, part)) {
            request_close(offsets->request, "no memory for what a ListOffsets asks");
            return;
        }
        part_sort(offsets, part);
    }
    shares_leave(offsets);
}

/* -- owner ----------------------------------------------------------------------------------------- */

static void share_arrived(struct op *op)
{
    struct offsets_share *share = container_of(op, struct offsets_share, op);
    share->at = share->first;
    share_step(op);
}

static enum kafka_error part_check_epoch(const struct offsets_part *part, int32_t leader_epoch)
{
    int32_t epoch = part->asked->current_leader_epoch;
    if (epoch == -1 || epoch == leader_epoch) {
        return KAFKA_NONE;
    }
    return epoch < leader_epoch ? KAFKA_FENCED_LEADER_EPOCH : KAFKA_UNKNOWN_LEADER_EPOCH;
}

/* True: a place, and known at once. A partition that was never written begins and ends at 0. */
static bool part_find_place(struct offsets_part *part, const struct partition_found *found)
{
    const struct log *log = found->log;
    switch (part->asked->timestamp) {
    case TIME_LATEST:
        part->offset = log ? log->high_watermark : 0;
        part->leader_epoch = found->leader_epoch;
        return true;
    case TIME_EARLIEST:
    case TIME_EARLIEST_LOCAL:
        part->offset = log ? log->log_start : 0;
        part->leader_epoch = log ? epochs_of(&log->epochs, log->log_start) : found->leader_epoch;
        return true;
    case TIME_LATEST_TIERED:
    case TIME_EARLIEST_PENDING:
        return true;
    default:
        return !log;
    }
}

/* False: it is being looked up. */
static bool part_answer(struct offsets_share *share, struct offsets_part *part)
{
    struct partition_found found;
    if (part->error != KAFKA_NONE || /* named twice */
        !partition_find(share->owner, &part->topic_id, part->asked->partition_index, &found,
                        &part->error)) {
        return true;
    }
    part->error = part_check_epoch(part, found.leader_epoch);
    if (part->error != KAFKA_NONE || part_find_place(part, &found)) {
        return true;
    }
    int64_t target_ms = part->asked->timestamp;
    share->lookup =
        (struct log_lookup){.target_ms = target_ms == TIME_MAX ? LOG_TIME_MAX : target_ms};
    log_look_up(found.log, &share->lookup, part_looked_up);
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
        offsets_answer(offsets);
    }
}

static void offsets_answer(struct offsets *offsets)
{
    struct arena *arena = &offsets->request->arena;
    struct list_offsets_response *response = &offsets->response;
    list_offsets_response_init(response);
    response->topics_count = offsets->asked.topics_count;
    response->topics = arena_take(arena, (size_t)response->topics_count * sizeof *response->topics);
    offsets->rows = arena_take(arena, offsets->parts_count * sizeof *offsets->rows);
    if (!response->topics || !offsets->rows) {
        request_close(offsets->request, "no memory for a reply");
        return;
    }
    offsets->at = 0;
    offsets->at_topic = 0;
    rows_step(&offsets->step);
}

/* Topics' rows first, each with its place in `rows`, then partitions' rows. */
static void rows_step(struct op *op)
{
    struct offsets *offsets = container_of(op, struct offsets, step);
    for (uint32_t n = 0; n < ROWS_PER_STEP_MAX; n++) {
        if (offsets->at_topic < offsets->response.topics_count) {
            const struct list_offsets_request_topic *topic =
                &offsets->asked.topics[offsets->at_topic];
            offsets->response.topics[offsets->at_topic++] =
                (struct list_offsets_response_topic){.name = topic->name,
                                                     .partitions_count = topic->partitions_count,
                                                     .partitions = offsets->rows + offsets->at};
            offsets->at += (uint32_t)topic->partitions_count;
        } else if (offsets->at > 0) { /* from the last to the first */
            const struct offsets_part *part = &offsets->parts[--offsets->at];
            offsets->rows[offsets->at] = (struct list_offsets_response_partition){
                .partition_index = part->asked->partition_index,
                .error_code = (int16_t)part->error,
                .timestamp = part->timestamp_ms,
                .offset = part->offset,
                .leader_epoch = part->leader_epoch};
        } else {
            offsets_reply(offsets);
            return;
        }
    }
    reactor_ready(offsets->request->shard->reactor, op, rows_step);
}

static void offsets_reply(struct offsets *offsets)
{
    request_encode(offsets->request, list_offsets_response_encode_slice, &offsets->response,
                   request_reply);
}
