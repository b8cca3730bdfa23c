#include "shard/watch.h"

#include "shard/answer.h"
#include "shard/partition.h"

#include <assert.h>

enum { ENTRIES_PER_STEP_MAX = 64 };

static void watch_arrived(struct op *op);
static void watch_step(struct op *op);
static void entry_located(struct op *op);
static void watch_returned(struct op *op);
static void news_arrived(struct op *op);

void watch_init(struct watch *watch, struct shard *home, struct shard *owner, void *session,
                void (*ready)(struct watch *watch))
{
    *watch = (struct watch){.home = home, .owner = owner, .session = session, .ready = ready};
    list_init(&watch->entries);
}

void watch_add(struct watch *watch, struct watch_entry *entry)
{
    assert(!watch->is_out);
    entry->watch = watch;
    list_push(&watch->entries, &entry->link);
    watch->entries_count++;
    watch->wants_read = true;
}

/* -- home ------------------------------------------------------------------------------------------ */

static void watch_send(struct watch *watch, op_fn *then)
{
    assert(!watch->is_out);
    watch->is_out = true;
    watch->wants_read = false;
    watch->was_armed |= watch->arms;
    watch->news_known = watch->news_seen;
    watch->then = then;
    shard_run(watch->home, watch->owner, &watch->op, watch_arrived);
}

void watch_read(struct watch *watch, bool arms, op_fn *then)
{
    watch->arms = arms;
    watch_send(watch, then);
}

void watch_close(struct watch *watch, op_fn *then)
{
    watch->arms = false;
    watch->closes = true;
    watch_send(watch, then);
}

static void watch_returned(struct op *op)
{
    struct watch *watch = container_of(op, struct watch, op);
    watch->is_out = false;
    watch->then(op);
}

static void news_arrived(struct op *op)
{
    struct watch *watch = container_of(op, struct watch, news);
    watch->news_seen++;
    if (!watch->is_out) {
        watch->is_armed = false; /* else op brings home how it is */
    }
    watch->wants_read = true;
    watch->ready(watch);
}

/* -- owner ----------------------------------------------------------------------------------------- */

static struct watch_entry *entry_of(struct link *link)
{
    return link ? container_of(link, struct watch_entry, link) : NULL;
}

/* Of many commits, and of many partitions, the first is told. */
static void entry_fired(struct log_watch *log_watch)
{
    struct watch_entry *entry = container_of(log_watch, struct watch_entry, log_watch);
    struct watch *watch = entry->watch;
    entry->is_dirty = true;
    if (watch->armed) {
        watch->armed = false;
        watch->news_told++;
        shard_run(watch->owner, watch->home, &watch->news, news_arrived);
    }
}

static void watch_arrived(struct op *op)
{
    struct watch *watch = container_of(op, struct watch, op);
    watch->at = entry_of(list_first(&watch->entries));
    /* News that home has not seen yet is on its way there: it will ask again, and arm then. */
    watch->armed = watch->arms && watch->news_told == watch->news_known;
    watch_step(op);
}

static void entry_fail(struct watch_entry *entry, enum kafka_error error)
{
    entry->result = (struct watch_result){
        .error = error, .high_watermark = -1, .log_start = -1, .diverging_epoch = -1};
}

/* A partition that is not here: as the client named it. */
static enum kafka_error entry_unknown(const struct watch_entry *entry, enum kafka_error error)
{
    return entry->by_id && error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION ? KAFKA_UNKNOWN_TOPIC_ID
                                                                     : error;
}

static enum kafka_error entry_check_epoch(const struct watch_entry *entry, int32_t leader_epoch)
{
    if (entry->current_leader_epoch != -1 && entry->current_leader_epoch < leader_epoch) {
        return KAFKA_FENCED_LEADER_EPOCH;
    }
    if (entry->current_leader_epoch > leader_epoch) {
        return KAFKA_UNKNOWN_LEADER_EPOCH;
    }
    if (entry->replica_id >= 0) { /* a follower, and we have none */
        return entry->current_leader_epoch == leader_epoch ? KAFKA_UNKNOWN_LEADER_EPOCH
                                                           : KAFKA_NOT_LEADER_OR_FOLLOWER;
    }
    return KAFKA_NONE;
}

/* Does the client's log part from ours before its offset (KIP-595)? Then it is told where. */
static bool entry_diverges(struct watch_entry *entry, const struct partition_found *found)
{
    const struct log *log = found->log;
    int32_t last = entry->last_fetched_epoch;
    if (last < 0) {
        return false;
    }
    struct epoch_end end;
    if (log) {
        end = epochs_end(&log->epochs, last, log->log_end);
    } else { /* nothing was written in any epoch up to the leader's */
        bool is_known = last <= found->leader_epoch;
        end = (struct epoch_end){.epoch = is_known ? last : -1, .end_offset = is_known ? 0 : -1};
    }
    if (end.end_offset < 0) {
        entry_fail(entry, KAFKA_OFFSET_OUT_OF_RANGE);
        return true;
    }
    if (end.epoch == last && end.end_offset >= entry->fetch_offset) {
        return false;
    }
    entry->result.high_watermark = log ? log->high_watermark : 0;
    entry->result.log_start = log ? log->log_start : 0;
    entry->result.diverging_epoch = end.epoch;
    entry->result.diverging_end = end.end_offset;
    return true;
}

static void entry_take_location(struct watch_entry *entry, const struct log_locate *locate)
{
    if (locate->op.result < 0) {
        enum kafka_error error = kafka_error_from_result(locate->op.result);
        if (error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION) {
            partition_unwatch(entry->watch->owner, &entry->log_watch);
        }
        entry_fail(entry, entry_unknown(entry, error));
        return;
    }
    entry->result.high_watermark = locate->high_watermark;
    entry->result.log_start = locate->log_start;
    entry->result.segment_base = locate->segment_base;
    entry->result.position = locate->position;
    entry->result.bytes = locate->bytes;
    entry->result.first_bytes = locate->first_bytes;
}

/* A partition to which nothing was ever appended: it begins and ends at 0. */
static void entry_take_nothing(struct watch_entry *entry)
{
    if (entry->fetch_offset != 0) {
        entry_fail(entry, KAFKA_OFFSET_OUT_OF_RANGE);
    }
}

/* False: the answer comes later. */
static bool entry_read(struct watch *watch, struct watch_entry *entry)
{
    enum kafka_error error = KAFKA_NONE;
    struct partition_found found;
    entry->is_changed = false;
    entry->is_dirty = false;
    if (!partition_find(watch->owner, &entry->topic_id, entry->index, &found, &error)) {
        partition_unwatch(watch->owner, &entry->log_watch);
        entry_fail(entry, entry_unknown(entry, error));
        return true;
    }
    if (watch->arms && !entry->log_watch.of &&
        !partition_watch(watch->owner, &entry->topic_id, entry->index, &entry->log_watch,
                         entry_fired)) {
        entry_fail(entry, KAFKA_KAFKA_STORAGE_ERROR);
        return true;
    }
    error = entry_check_epoch(entry, found.leader_epoch);
    if (error != KAFKA_NONE) {
        entry_fail(entry, error);
        return true;
    }
    entry->result =
        (struct watch_result){.leader_epoch = found.leader_epoch, .diverging_epoch = -1};
    if (entry_diverges(entry, &found)) {
        return true;
    }
    if (!found.log) {
        entry_take_nothing(entry);
        return true;
    }
    watch->locate = (struct log_locate){
        .offset = entry->fetch_offset, .bytes_max = entry->bytes_max, .whole_first = true};
    if (!log_locate(found.log, &watch->locate, entry_located)) {
        return false;
    }
    entry_take_location(entry, &watch->locate);
    return true;
}

static void entry_located(struct op *op)
{
    struct watch *watch = container_of(op, struct watch, locate.op);
    entry_take_location(watch->at, &watch->locate);
    watch->at = entry_of(list_next(&watch->entries, &watch->at->link));
    watch_step(&watch->op);
}

static void watch_step(struct op *op)
{
    struct watch *watch = container_of(op, struct watch, op);
    for (uint32_t n = 0; watch->at; n++) {
        struct watch_entry *entry = watch->at;
        if (n == ENTRIES_PER_STEP_MAX) {
            reactor_ready(watch->owner->reactor, op, watch_step);
            return;
        }
        if (watch->closes || entry->is_forgotten) {
            partition_unwatch(watch->owner, &entry->log_watch);
        } else if (entry->is_changed || entry->is_dirty || (watch->arms && !entry->log_watch.of)) {
            if (!entry_read(watch, entry)) {
                return;
            }
        }
        watch->at = entry_of(list_next(&watch->entries, &entry->link));
    }
    watch->is_armed = watch->armed;
    shard_run(watch->owner, watch->home, op, watch_returned);
}
