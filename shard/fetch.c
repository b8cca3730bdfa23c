#include "shard/fetch.h"

#include <assert.h>

enum {
    READ_COMMITTED = 1,        /* isolation_level; all others read what is not committed, too */
    CHANGES_PER_STEP_MAX = 64, /* each looks a topic up */
    ENTRIES_PER_STEP_MAX = 256,
    WAKES_PER_STEP_MAX = 64,
};

static void fetch_decoded(struct request *request);
static void fetch_change_step(struct op *op);    /* the partitions asked for go into the session */
static void fetch_read(struct fetch *fetch);     /* ask the owners that have something new to say */
static void fetch_was_read(struct op *op);       /* one of them has answered */
static void fetch_evaluate(struct op *op);       /* is it enough? */
static void fetch_park(struct fetch *fetch);     /* no: wait for news */
static void fetch_timed_out(struct op *op);      /* ... for so long */
static void fetch_unwanted(struct reply *reply); /* ... or until nobody waits for the answer */
static void fetch_fill_step(struct op *op);      /* yes: name what is sent */
static void fetch_reply(struct fetch *fetch);
static void fetch_encoded(struct request *request);

static struct reactor *reactor_of(const struct fetch *fetch)
{
    return fetch->request->shard->reactor;
}

/* -- its session ----------------------------------------------------------------------------------- */

static void fetch_refuse(struct fetch *fetch, enum kafka_error error)
{
    struct request *request = fetch->request;
    struct fetch_response response;
    fetch_response_init(&response);
    response.error_code = (int16_t)error;
    fetch_response_encode(&response, &request->reply.head, request->version);
    request_reply(request);
}

static bool fetch_take_session(struct fetch *fetch)
{
    struct shard *shard = fetch->request->shard;
    fetch->session = session_new(shard, fetch->wants_session, fetch->request->version >= 13);
    if (!fetch->session) {
        return false;
    }
    fetch->session->fetch = fetch;
    return true;
}

/* There is no memory for a session that lasts: one for itself may do. */
static bool fetch_go_without_session(struct fetch *fetch)
{
    sessions_evict(fetch->request->shard);
    fetch->wants_session = false;
    fetch->topic = NULL;
    fetch->at_topic = 0;
    fetch->at_partition = 0;
    return fetch_take_session(fetch);
}

/* A full fetch begins anew, with a session for the next ones or for itself. */
static enum kafka_error fetch_begin_session(struct fetch *fetch)
{
    const struct fetch_request *asked = &fetch->asked;
    if (asked->session_id != SESSION_NONE) {
        session_close_id(fetch->request->shard, asked->session_id);
    }
    fetch->wants_session =
        asked->session_epoch == SESSION_EPOCH_FIRST && fetch->request->version >= 7;
    bool good = fetch_take_session(fetch);
    good = good || (fetch->wants_session && fetch_go_without_session(fetch));
    return good ? KAFKA_NONE : KAFKA_REQUEST_TIMED_OUT;
}

static enum kafka_error fetch_go_on_with_session(struct fetch *fetch)
{
    const struct fetch_request *asked = &fetch->asked;
    struct session *session = session_find(fetch->request->shard, asked->session_id);
    if (!session) {
        return KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    }
    if (session->epoch != asked->session_epoch || session->fetch) {
        return KAFKA_INVALID_FETCH_SESSION_EPOCH;
    }
    if (session->by_id != (fetch->request->version >= 13)) {
        return KAFKA_FETCH_SESSION_TOPIC_ID_ERROR;
    }
    session->epoch = session->epoch == INT32_MAX ? 1 : session->epoch + 1;
    fetch->session = session;
    fetch->session->fetch = fetch;
    fetch->is_incremental = true;
    return KAFKA_NONE;
}

static void fetch_release(struct request *request)
{
    struct fetch *fetch = request->state;
    link_remove(&fetch->parked);
    timer_cancel(reactor_of(fetch), &fetch->timer);
}

static void fetch_init(struct fetch *fetch)
{
    struct request *request = fetch->request;
    const struct fetch_request *asked = &fetch->asked;
    uint32_t most = request->shard->settings->fetch_bytes_max;
    uint32_t wanted = asked->max_bytes > 0 ? (uint32_t)asked->max_bytes : 0;
    uint32_t least = asked->min_bytes > 0 ? (uint32_t)asked->min_bytes : 0;
    fetch->bytes_max = wanted < most ? wanted : most;
    fetch->bytes_min = least < fetch->bytes_max ? least : fetch->bytes_max;
    fetch->replica_id =
        request->version >= 15 ? asked->replica_state.replica_id : asked->replica_id;
    fetch->deadline_us = request->started_us;
    if (asked->max_wait_ms > 0) {
        fetch->deadline_us += (uint64_t)asked->max_wait_ms * 1000;
    }
    link_init(&fetch->parked);
    request->release = fetch_release;
    request->reply.pin = fetch_pin;
    request->reply.unpin = fetch_unpin;
    request->reply.unwanted = fetch_unwanted;
}

void fetch_start(struct request *request)
{
    struct fetch *fetch = arena_take(&request->arena, sizeof *fetch);
    if (!fetch) {
        request_close(request, "memory");
        return;
    }
    *fetch = (struct fetch){.request = request};
    request->state = fetch;
    request_decode(request, fetch_request_decode_slice, &fetch->asked, "Fetch cannot be read",
                   fetch_decoded);
}

static void fetch_decoded(struct request *request)
{
    struct fetch *fetch = request->state;
    fetch_init(fetch);
    bool is_full = request->version < 7 || fetch->asked.session_epoch == SESSION_EPOCH_FIRST ||
                   fetch->asked.session_epoch == SESSION_EPOCH_FINAL;
    enum kafka_error error = is_full ? fetch_begin_session(fetch) : fetch_go_on_with_session(fetch);
    if (error != KAFKA_NONE) {
        fetch_refuse(fetch, error);
        return;
    }
    fetch_change_step(&fetch->step);
}

static void fetch_end(struct fetch *fetch)
{
    struct session *session = fetch->session;
    fetch->session = NULL;
    session_end_fetch(session);
}

/* There is no memory for what is asked. False: that was the end of the fetch. */
static bool fetch_has_no_memory(struct fetch *fetch)
{
    session_close(fetch->session);
    fetch_end(fetch);
    if (fetch->wants_session && fetch_go_without_session(fetch)) {
        return true;
    }
    if (fetch->is_incremental) { /* the next one is a full one, and may do with less */
        fetch_refuse(fetch, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    } else {
        request_close(fetch->request, "no memory for what a Fetch asks");
    }
    return false;
}

/* False: no memory. */
static bool fetch_put_one(struct fetch *fetch)
{
    const struct fetch_request *asked = &fetch->asked;
    if (fetch->at_topic >= asked->topics_count) {
        fetch->change = fetch->is_incremental ? FETCH_RESOLVES : FETCH_CHANGED;
        fetch->last_unowned = session_last_unowned(fetch->session);
        fetch->at_topic = 0;
        return true;
    }
    const struct fetch_request_topic *topic = &asked->topics[fetch->at_topic];
    if (fetch->at_partition == topic->partitions_count) {
        fetch->at_topic++;
        fetch->at_partition = 0;
        fetch->topic = NULL;
        return true;
    }
    return session_put(fetch->session, &fetch->topic, topic,
                       &topic->partitions[fetch->at_partition++], fetch->replica_id);
}

static void fetch_forget_one(struct fetch *fetch)
{
    const struct fetch_request *asked = &fetch->asked;
    if (fetch->at_topic >= asked->forgotten_topics_data_count) {
        fetch->change = FETCH_CHANGED;
        return;
    }
    const struct fetch_request_forgotten_topic *topic =
        &asked->forgotten_topics_data[fetch->at_topic];
    if (fetch->at_partition == topic->partitions_count) {
        fetch->at_topic++;
        fetch->at_partition = 0;
        return;
    }
    session_forget(fetch->session, topic->topic, &topic->topic_id,
                   topic->partitions[fetch->at_partition++]);
}

static void fetch_change_step(struct op *op)
{
    struct fetch *fetch = container_of(op, struct fetch, step);
    for (uint32_t n = 0; n < CHANGES_PER_STEP_MAX; n++) {
        switch (fetch->change) {
        case FETCH_PUTS:
            if (!fetch_put_one(fetch) && !fetch_has_no_memory(fetch)) {
                return;
            }
            break;
        case FETCH_RESOLVES:
            if (!session_resolve_one(fetch->session, fetch->last_unowned)) {
                fetch->change = FETCH_FORGETS;
            }
            break;
        case FETCH_FORGETS:
            fetch_forget_one(fetch);
            break;
        case FETCH_CHANGED:
            fetch_read(fetch);
            return;
        }
    }
    reactor_ready(reactor_of(fetch), op, fetch_change_step);
}

/* -- reading --------------------------------------------------------------------------------------- */

/* Is there anything that this watch could say or be told? */
static bool watch_wants(const struct watch *watch, bool arms)
{
    return watch && watch->entries_count > 0 && (watch->wants_read || (arms && !watch->is_armed));
}

/* Sends out the reads; none: everything is known. */
static bool fetch_send_reads(struct fetch *fetch, bool arms)
{
    struct session *session = fetch->session;
    uint32_t cores = fetch->request->shard->count;
    assert(fetch->reads_out == 0);
    for (uint32_t i = 0; i < cores; i++) {
        fetch->reads_out += watch_wants(session->watches[i], arms);
    }
    uint32_t out = fetch->reads_out;
    for (uint32_t i = 0; out > 0 && i < cores; i++) {
        struct watch *watch = session->watches[i];
        if (watch_wants(watch, arms)) {
            watch_read(watch, arms || watch->was_armed, fetch_was_read);
        }
    }
    return out > 0;
}

static void fetch_begin_evaluation(struct op *op)
{
    struct fetch *fetch = container_of(op, struct fetch, step);
    if (!session_sweep(fetch->session, ENTRIES_PER_STEP_MAX)) {
        reactor_ready(reactor_of(fetch), op, fetch_begin_evaluation);
        return;
    }
    fetch->at = list_first(&fetch->session->entries);
    fetch->bytes = 0;
    fetch->rows_max = 0;
    fetch->is_urgent = false;
    fetch_evaluate(op);
}

/* A session that goes on is told of news even if it never parks: one partition that always has
 * records would hide all others else. */
static void fetch_read(struct fetch *fetch)
{
    if (!fetch_send_reads(fetch, fetch->is_incremental)) {
        fetch_begin_evaluation(&fetch->step);
    }
}

static void fetch_was_read(struct op *op)
{
    struct session *session = container_of(op, struct watch, op)->session;
    if (--session->fetch->reads_out == 0) {
        fetch_begin_evaluation(&session->fetch->step);
    }
}

/* Does the client learn anything that it does not know? */
static bool entry_has_news(const struct fetch *fetch, const struct session_entry *entry)
{
    const struct watch_result *result = &entry->watched.result;
    return !fetch->is_incremental || entry->must_tell || result->bytes > 0 ||
           result->error != KAFKA_NONE || result->diverging_epoch >= 0 ||
           result->high_watermark != entry->told_high_watermark ||
           result->log_start != entry->told_log_start;
}

static bool fetch_is_over(const struct fetch *fetch)
{
    return fetch->is_urgent || fetch->bytes >= fetch->bytes_min ||
           fetch->session->entries_count == 0 || fetch->session->closing ||
           fetch->request->connection->closing || fetch->request->shard->sessions->stopping ||
           reactor_now_us(reactor_of(fetch)) >= fetch->deadline_us;
}

static void fetch_evaluate(struct op *op)
{
    struct fetch *fetch = container_of(op, struct fetch, step);
    const struct list *entries = &fetch->session->entries;
    for (uint32_t n = 0; fetch->at; n++) {
        if (n == ENTRIES_PER_STEP_MAX) {
            reactor_ready(reactor_of(fetch), op, fetch_evaluate);
            return;
        }
        struct session_entry *entry = container_of(fetch->at, struct session_entry, link);
        const struct watch_result *result = &entry->watched.result;
        uint32_t most = entry->watched.bytes_max;
        fetch->bytes += result->bytes < most ? result->bytes : most;
        fetch->is_urgent |= result->error != KAFKA_NONE || result->diverging_epoch >= 0;
        fetch->rows_max += entry_has_news(fetch, entry);
        fetch->at = list_next(entries, fetch->at);
    }
    if (!fetch_is_over(fetch)) {
        fetch_park(fetch);
        return;
    }
    struct arena *arena = &fetch->request->arena;
    fetch->topics = arena_take(arena, fetch->rows_max * sizeof *fetch->topics);
    fetch->rows = arena_take(arena, fetch->rows_max * sizeof *fetch->rows);
    fetch->at = list_first(entries);
    fetch->last = entries->head.previous;
    fetch->bytes_left = fetch->bytes_max;
    fetch_response_init(&fetch->response);
    fetch->response.responses = fetch->topics;
    fetch_fill_step(&fetch->step);
}

/* -- waiting --------------------------------------------------------------------------------------- */

static void fetch_park(struct fetch *fetch)
{
    if (fetch_send_reads(fetch, true)) {
        return; /* links are made, and watches armed; what came meanwhile is seen */
    }
    uint64_t now_us = reactor_now_us(reactor_of(fetch));
    list_push(&fetch->request->shard->sessions->parked, &fetch->parked);
    timer_start(reactor_of(fetch), &fetch->timer, fetch->deadline_us - now_us, fetch_timed_out);
}

static void fetch_wake(struct fetch *fetch)
{
    link_remove(&fetch->parked);
    timer_cancel(reactor_of(fetch), &fetch->timer);
    fetch_read(fetch);
}

void fetch_has_news(struct watch *watch)
{
    struct fetch *fetch = ((struct session *)watch->session)->fetch;
    if (fetch && link_is_listed(&fetch->parked)) {
        fetch_wake(fetch);
    }
}

static void fetch_timed_out(struct op *op)
{
    fetch_wake(container_of(op, struct fetch, timer.op));
}

/* Its connection closes. */
static void fetch_unwanted(struct reply *reply)
{
    struct fetch *fetch = container_of(reply, struct request, reply)->state;
    if (link_is_listed(&fetch->parked)) {
        fetch_wake(fetch);
    }
}

void fetches_wake(struct op *op)
{
    struct sessions *sessions = container_of(op, struct sessions, wake_step);
    struct link *link;
    for (uint32_t n = 0; (link = list_first(&sessions->parked)) != NULL; n++) {
        if (n == WAKES_PER_STEP_MAX) {
            reactor_ready(sessions->shard->reactor, op, fetches_wake);
            return;
        }
        fetch_wake(container_of(link, struct fetch, parked));
    }
}

/* -- replying -------------------------------------------------------------------------------------- */

/* How much of what there is goes out. The first partition that has any gives at least one batch,
 * whatever the limits; a later one gives nothing if its first batch does not fit. */
static uint32_t entry_bytes(const struct fetch *fetch, const struct session_entry *entry)
{
    const struct watch_result *result = &entry->watched.result;
    uint32_t limit = entry->watched.bytes_max;
    limit = limit < fetch->bytes_left ? limit : fetch->bytes_left;
    if (result->bytes == 0) {
        return 0;
    }
    if (result->first_bytes > limit) {
        return fetch->has_records ? 0 : result->first_bytes;
    }
    return result->bytes < limit ? result->bytes : limit;
}

static bool row_name_records(struct fetch *fetch, struct fetch_response_partition *row,
                             const struct session_entry *entry, uint32_t bytes)
{
    struct fetch_range *range = arena_take(&fetch->request->arena, sizeof *range);
    if (!range) {
        return false;
    }
    *range = (struct fetch_range){.topic_id = entry->watched.topic_id,
                                  .index = entry->index,
                                  .owner = entry->watched.watch->owner,
                                  .segment_base = entry->watched.result.segment_base,
                                  .position = entry->watched.result.position};
    row->records.bytes = (int32_t)bytes;
    row->records.name = range;
    fetch->has_records = true;
    fetch->bytes_left -= bytes < fetch->bytes_left ? bytes : fetch->bytes_left;
    return true;
}

static void row_tell_leader(struct fetch *fetch, struct fetch_response_partition *row,
                            const struct session_entry *entry)
{
    const struct shard *shard = fetch->request->shard;
    const struct topic *topic = image_topic_by_id(shard->image, &entry->watched.topic_id);
    if (!topic || (uint32_t)entry->index >= topic->partitions_count) {
        return;
    }
    row->current_leader.leader_id = shard->settings->node_id;
    row->current_leader.leader_epoch = topic->partitions[entry->index].leader_epoch;
    fetch->endpoint = (struct fetch_response_node_endpoint){
        .node_id = shard->settings->node_id,
        .host = view_of_text(shard->settings->advertised_host),
        .port = shard->settings->advertised_port,
        .rack = VIEW_NULL};
    fetch->response.node_endpoints = &fetch->endpoint;
    fetch->response.node_endpoints_count = 1;
}

static void row_fill(struct fetch *fetch, struct fetch_response_partition *row,
                     const struct session_entry *entry)
{
    const struct watch_result *result = &entry->watched.result;
    enum kafka_error error = result->error;
    if (error == KAFKA_KAFKA_STORAGE_ERROR && fetch->request->version <= 5) {
        error = KAFKA_NOT_LEADER_OR_FOLLOWER; /* as old clients know it */
    }
    fetch_response_partition_init(row);
    row->partition_index = entry->index;
    row->error_code = (int16_t)error;
    row->high_watermark = result->high_watermark;
    row->last_stable_offset = result->high_watermark; /* there are no transactions */
    row->log_start_offset = result->log_start;
    if (error == KAFKA_NONE && fetch->asked.isolation_level != READ_COMMITTED) {
        row->aborted_transactions_count = -1; /* not asked for */
    }
    if (result->diverging_epoch >= 0) {
        row->diverging_epoch.epoch = result->diverging_epoch;
        row->diverging_epoch.end_offset = result->diverging_end;
    }
    if (fetch->request->version >= 16 &&
        (error == KAFKA_NOT_LEADER_OR_FOLLOWER || error == KAFKA_FENCED_LEADER_EPOCH)) {
        row_tell_leader(fetch, row, entry);
    }
}

/* The entry's row, behind those of the same topic if it follows them. */
static struct fetch_response_partition *fetch_add_row(struct fetch *fetch,
                                                      const struct session_entry *entry)
{
    const struct session_topic *topic = entry->topic;
    struct fetch_response_partition *row = &fetch->rows[fetch->rows_count++];
    struct fetch_response_topic *last = fetch->response.responses_count > 0
                                            ? &fetch->topics[fetch->response.responses_count - 1]
                                            : NULL;
    if (!last || !uuid_equal(&last->topic_id, &topic->id) ||
        !view_equal(last->topic, topic->name)) {
        last = &fetch->topics[fetch->response.responses_count++];
        *last = (struct fetch_response_topic){
            .topic = topic->name, .topic_id = topic->id, .partitions = row};
    }
    last->partitions_count++;
    return row;
}

/* What the session remembers of what was told; what failed is looked at again next time. */
static void entry_told(struct fetch *fetch, struct session_entry *entry, bool has_records)
{
    struct watch_entry *watched = &entry->watched;
    entry->told_high_watermark = watched->result.high_watermark;
    entry->told_log_start = watched->result.log_start;
    entry->must_tell = watched->result.error != KAFKA_NONE;
    if (watched->result.error == KAFKA_UNKNOWN_TOPIC_ID ||
        watched->result.error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION) {
        session_disown(fetch->session, entry);
    } else if (watched->result.error != KAFKA_NONE && watched->watch) {
        watched->is_changed = true;
        watched->watch->wants_read = true;
    }
    if (has_records && fetch->is_incremental) { /* the others come before it next time */
        list_push(&fetch->session->entries, &entry->link);
    }
}

/* False: there is no memory. */
static bool fetch_answer_entry(struct fetch *fetch, struct session_entry *entry)
{
    uint32_t bytes = entry_bytes(fetch, entry);
    const struct watch_result *result = &entry->watched.result;
    bool is_quiet = result->bytes > 0 && bytes == 0 && !entry->must_tell &&
                    result->high_watermark == entry->told_high_watermark &&
                    result->log_start == entry->told_log_start;
    if (!entry_has_news(fetch, entry) || (fetch->is_incremental && is_quiet)) {
        return true;
    }
    assert(fetch->rows_count < fetch->rows_max);
    struct fetch_response_partition *row = fetch_add_row(fetch, entry);
    row_fill(fetch, row, entry);
    if (bytes > 0 && !row_name_records(fetch, row, entry, bytes)) {
        return false;
    }
    if (fetch->session->is_lasting) {
        entry_told(fetch, entry, bytes > 0);
    }
    return true;
}

static void fetch_fill_step(struct op *op)
{
    struct fetch *fetch = container_of(op, struct fetch, step);
    bool good = fetch->topics && fetch->rows;
    for (uint32_t n = 0; good && fetch->at; n++) {
        if (n == ENTRIES_PER_STEP_MAX) {
            reactor_ready(reactor_of(fetch), op, fetch_fill_step);
            return;
        }
        struct link *link = fetch->at;
        fetch->at = link == fetch->last ? NULL : list_next(&fetch->session->entries, link);
        good = fetch_answer_entry(fetch, container_of(link, struct session_entry, link));
    }
    if (good) {
        fetch_reply(fetch);
    } else {
        request_close(fetch->request, "no memory for a reply");
        fetch_end(fetch);
    }
}

static void fetch_reply(struct fetch *fetch)
{
    struct request *request = fetch->request;
    struct session *session = fetch->session;
    if (fetch->wants_session && session_register(session)) {
        fetch->response.session_id = session->id;
    } else if (fetch->is_incremental) {
        fetch->response.session_id = session->id;
    }
    request_encode(request, fetch_response_encode_slice, &fetch->response, fetch_encoded);
}

/* The session was needed till here: the topics' names are its own. */
static void fetch_encoded(struct request *request)
{
    request_reply(request);
    fetch_end(request->state);
}
