#include "shard/session.h"

#include "net/frame.h"
#include "shard/fetch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    EVICT_IDLE_US = 120 * 1000 * 1000, /* min.incremental.fetch.session.eviction.ms */
    ID_TRIES_MAX = 16,
    VICTIMS_LOOKED_AT_MAX = 512,
    CHUNKS_PER_STEP = 64, /* of a session's memory, given back */
};

static void session_closed_watch(struct op *op);
static void session_free_step(struct op *op);

/* -- all sessions of a core ------------------------------------------------------------------------ */

int sessions_init(struct shard *shard)
{
    struct sessions *sessions = calloc(1, sizeof *sessions);
    if (!sessions) {
        return -ENOMEM;
    }
    sessions->shard = shard;
    sessions->count_max = shard->settings->fetch_sessions_max / shard->count;
    list_init(&sessions->by_use);
    list_init(&sessions->parked);
    list_init(&sessions->ending);
    shard->sessions = sessions;
    return 0;
}

void sessions_stop(struct shard *shard)
{
    shard->sessions->stopping = true;
    fetches_wake(&shard->sessions->wake_step);
}

static enum budget_term session_term(bool is_lasting)
{
    return is_lasting ? BUDGET_SESSIONS : BUDGET_SCRATCH;
}

static void session_give_itself(struct session *session)
{
    struct slabs *slabs = &session->home->reactor->slabs;
    link_remove(&session->link);
    slab_give(slabs, session_term(session->is_lasting), session, sizeof *session);
}

static void session_free(struct session *session)
{
    list_push(&session->home->sessions->ending, &session->link);
    session_free_step(&session->free_step);
}

static void session_free_step(struct op *op)
{
    struct session *session = container_of(op, struct session, free_step);
    struct shard *home = session->home;
    if (arena_give_some(&session->arena, CHUNKS_PER_STEP)) {
        session_give_itself(session);
        server_feed(&home->server);
    } else {
        reactor_background(home->reactor, op, session_free_step);
    }
}

static void sessions_free_listed(const struct list *list)
{
    struct link *first;
    while ((first = list_first(list)) != NULL) {
        struct session *session = container_of(first, struct session, link);
        arena_give_all(&session->arena);
        session_give_itself(session);
    }
}

void sessions_deinit(struct shard *shard)
{
    struct sessions *sessions = shard->sessions;
    if (sessions) {
        sessions_free_listed(&sessions->by_use);
        sessions_free_listed(&sessions->ending);
    }
    free(sessions);
    shard->sessions = NULL;
}

static struct session **sessions_place(struct sessions *sessions, int32_t id)
{
    uint32_t bucket = (uint32_t)id / sessions->shard->count % SESSION_BUCKETS;
    struct session **at = &sessions->by_id[bucket];
    while (*at && (*at)->id != id) {
        at = &(*at)->next;
    }
    return at;
}

struct session *session_find(struct shard *shard, int32_t id)
{
    return *sessions_place(shard->sessions, id);
}

/* -- making ---------------------------------------------------------------------------------------- */

struct session *session_new(struct shard *home, bool lasting, bool by_id)
{
    struct slabs *slabs = &home->reactor->slabs;
    enum budget_term term = session_term(lasting);
    struct session *session = slab_take(slabs, term, sizeof *session);
    if (!session) {
        return NULL;
    }
    *session = (struct session){.home = home,
                                .is_lasting = lasting,
                                .by_id = by_id,
                                .made_us = reactor_now_us(home->reactor)};
    link_init(&session->link);
    list_init(&session->entries);
    list_init(&session->forgotten);
    list_init(&session->unowned);
    list_init(&session->spare);
    table_init(&session->by_name, &session->arena, (uint32_t)reactor_random(home->reactor));
    table_init(&session->topics, &session->arena, (uint32_t)reactor_random(home->reactor));
    memory_init_slabs(&session->memory, slabs, term);
    arena_init(&session->arena, &session->memory, slabs->budgets[term].bytes_max / 2);
    session->watches = arena_take(&session->arena, home->count * sizeof(struct watch *));
    if (!session->watches) {
        session_free(session);
        return NULL;
    }
    memset(session->watches, 0, home->count * sizeof(struct watch *));
    return session;
}

static bool session_is_silent(const struct session *session)
{
    return reactor_now_us(session->home->reactor) - session->used_us > EVICT_IDLE_US;
}

void sessions_evict(struct shard *shard)
{
    struct link *link = list_first(&shard->sessions->by_use);
    if (link && session_is_silent(container_of(link, struct session, link))) {
        session_close(container_of(link, struct session, link));
    }
}

/* A place for a session of so many partitions: that of one silent for long, or, as in Kafka, of a
 * smaller one that is old enough; but only the least used ones are looked at. */
static bool sessions_make_place(struct sessions *sessions, uint32_t entries_count)
{
    uint64_t now_us = reactor_now_us(sessions->shard->reactor);
    if (sessions->count < sessions->count_max) {
        return true;
    }
    struct session *victim = NULL;
    uint32_t count = 0;
    for (struct link *link = list_first(&sessions->by_use); link && count < VICTIMS_LOOKED_AT_MAX;
         link = list_next(&sessions->by_use, link), count++) {
        struct session *session = container_of(link, struct session, link);
        if (!victim && session_is_silent(session)) {
            victim = session;
            break;
        }
        if (now_us - session->made_us > EVICT_IDLE_US && session->entries_count < entries_count &&
            (!victim || session->entries_count < victim->entries_count)) {
            victim = session;
        }
    }
    if (victim) {
        session_close(victim);
    }
    return victim != NULL;
}

bool session_register(struct session *session)
{
    struct shard *shard = session->home;
    struct sessions *sessions = shard->sessions;
    if (!sessions_make_place(sessions, session->entries_count)) {
        return false;
    }
    for (uint32_t tries = 0; tries < ID_TRIES_MAX; tries++) {
        uint32_t random = (uint32_t)reactor_random(shard->reactor) & INT32_MAX;
        uint32_t id = random - random % shard->count + shard->index;
        if (id != SESSION_NONE && id <= INT32_MAX && !session_find(shard, (int32_t)id)) {
            session->id = (int32_t)id;
            session->epoch = 1;
            session->used_us = reactor_now_us(shard->reactor);
            list_push(&sessions->by_use, &session->link);
            *sessions_place(sessions, session->id) = session;
            sessions->count++;
            return true;
        }
    }
    return false;
}

/* -- ending ---------------------------------------------------------------------------------------- */

static void session_end(struct session *session)
{
    if (session->fetch || session->watches_out > 0) {
        return;
    }
    for (uint32_t i = 0; i < session->home->count; i++) {
        struct watch *watch = session->watches[i];
        if (watch && watch->was_armed && !watch->closes) {
            session->watches_out++;
            watch_close(watch, session_closed_watch);
        }
    }
    if (session->watches_out == 0) {
        session_free(session);
    }
}

static void session_closed_watch(struct op *op)
{
    struct session *session = container_of(op, struct watch, op)->session;
    session->watches_out--;
    session_end(session);
}

void session_close(struct session *session)
{
    if (!session->closing) {
        session->closing = true;
        if (session->id != SESSION_NONE) {
            struct sessions *sessions = session->home->sessions;
            link_remove(&session->link);
            *sessions_place(sessions, session->id) = session->next;
            sessions->count--;
        }
        session_end(session);
    }
}

void session_end_fetch(struct session *session)
{
    session->fetch = NULL;
    if (session->closing) {
        session_end(session);
    } else if (session->id == SESSION_NONE) {
        session_close(session);
    } else {
        session->used_us = reactor_now_us(session->home->reactor);
        list_push(&session->home->sessions->by_use, &session->link);
    }
}

struct session_closing { /* on its way to the session's core */
    struct op op;
    struct shard *from;
    int32_t id;
};

static void session_closing_returned(struct op *op)
{
    struct session_closing *closing = container_of(op, struct session_closing, op);
    slab_give(&closing->from->reactor->slabs, BUDGET_SCRATCH, closing, sizeof *closing);
}

static struct shard *session_home(struct shard *shard, int32_t id)
{
    return shard->peers[(uint32_t)id % shard->count];
}

static void session_closing_arrived(struct op *op)
{
    struct session_closing *closing = container_of(op, struct session_closing, op);
    struct shard *home = session_home(closing->from, closing->id);
    session_close_id(home, closing->id);
    shard_run(home, closing->from, op, session_closing_returned);
}

void session_close_id(struct shard *shard, int32_t id)
{
    struct shard *home = id > 0 ? session_home(shard, id) : shard;
    if (home == shard) {
        struct session *session = session_find(shard, id);
        if (session) {
            session_close(session);
        }
        return;
    }
    struct session_closing *closing =
        slab_take(&shard->reactor->slabs, BUDGET_SCRATCH, sizeof *closing);
    if (closing) { /* else it is evicted in its time */
        *closing = (struct session_closing){.from = shard, .id = id};
        shard_run(shard, home, &closing->op, session_closing_arrived);
    }
}

/* -- entries --------------------------------------------------------------------------------------- */

static uint32_t session_hash(const struct session *session, const struct table *table,
                             struct view name, const struct uuid *id, int32_t index)
{
    const void *bytes = session->by_id ? id->bytes : name.data;
    size_t count = session->by_id ? sizeof id->bytes : name.bytes > 0 ? (size_t)name.bytes : 0;
    return table_hash(table, bytes, count, (uint32_t)index);
}

static bool topic_is(const struct session *session, const struct session_topic *topic,
                     struct view name, const struct uuid *id)
{
    return session->by_id ? uuid_equal(&topic->id, id) : view_equal(topic->name, name);
}

static struct session_entry *session_entry(const struct session *session, uint32_t hash,
                                           struct view name, const struct uuid *id, int32_t index)
{
    for (struct table_link *link = table_first(&session->by_name, hash); link;
         link = table_next(link)) {
        struct session_entry *entry = container_of(link, struct session_entry, by_name);
        if (entry->index == index && topic_is(session, entry->topic, name, id)) {
            return entry;
        }
    }
    return NULL;
}

/* Known or new; NULL: no memory. */
static struct session_topic *session_topic(struct session *session,
                                           const struct fetch_request_topic *named)
{
    uint32_t hash = session_hash(session, &session->topics, named->topic, &named->topic_id, 0);
    for (struct table_link *link = table_first(&session->topics, hash); link;
         link = table_next(link)) {
        struct session_topic *topic = container_of(link, struct session_topic, by_name);
        if (topic_is(session, topic, named->topic, &named->topic_id)) {
            return topic;
        }
    }
    struct session_topic *topic = arena_take(&session->arena, sizeof *topic);
    uint8_t *name = arena_take(&session->arena, (size_t)named->topic.bytes);
    if (!topic || !name) {
        return NULL;
    }
    if (named->topic.bytes > 0) {
        memcpy(name, named->topic.data, (size_t)named->topic.bytes);
    }
    *topic =
        (struct session_topic){.id = named->topic_id, .name = view_of(name, named->topic.bytes)};
    return table_add(&session->topics, &topic->by_name, hash) ? topic : NULL;
}

static struct watch *session_watch(struct session *session, uint32_t owner)
{
    struct watch *watch = session->watches[owner];
    if (!watch) {
        watch = arena_take(&session->arena, sizeof *watch);
        if (watch) {
            watch_init(watch, session->home, session->home->peers[owner], session, fetch_has_news);
            session->watches[owner] = watch;
        }
    }
    return watch;
}

/* Find its owner. Nobody: the error stands in the result until the image says otherwise. */
static void entry_resolve(struct session *session, struct session_entry *entry)
{
    const struct image *image = session->home->image;
    struct watch_entry *watched = &entry->watched;
    const struct topic *topic = session->by_id ? image_topic_by_id(image, &entry->topic->id)
                                               : image_topic_by_name(image, entry->topic->name);
    watched->result =
        (struct watch_result){.high_watermark = -1, .log_start = -1, .diverging_epoch = -1};
    struct watch *watch = NULL;
    if (!topic && session->by_id) {
        watched->result.error = KAFKA_UNKNOWN_TOPIC_ID;
    } else if (!topic || (uint32_t)entry->index >= topic->partitions_count) {
        watched->result.error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    } else {
        watch = session_watch(session, topic->partitions[entry->index].owner);
        watched->result.error = watch ? KAFKA_NONE : KAFKA_REQUEST_TIMED_OUT;
    }
    if (watch) {
        watched->topic_id = topic->id;
        watched->is_changed = true;
        watch_add(watch, watched);
    } else {
        list_push(&session->unowned, &watched->link);
    }
}

bool session_resolve_one(struct session *session, const struct link *last)
{
    struct link *link = list_first(&session->unowned);
    if (link) {
        struct watch_entry *watched = container_of(link, struct watch_entry, link);
        entry_resolve(session, container_of(watched, struct session_entry, watched));
    }
    return link && link != last;
}

void session_disown(struct session *session, struct session_entry *entry)
{
    struct watch *watch = entry->watched.watch;
    if (watch) {
        assert(!watch->is_out);
        watch->entries_count--;
        entry->watched.watch = NULL;
        list_push(&session->unowned, &entry->watched.link);
    }
}

static void entry_spare(struct session *session, struct session_entry *entry)
{
    link_remove(&entry->watched.link);
    list_push(&session->spare, &entry->link);
}

static struct session_entry *session_add(struct session *session, struct session_topic *topic,
                                         int32_t index, uint32_t hash)
{
    struct link *spare = list_first(&session->spare);
    struct session_entry *entry = spare ? container_of(spare, struct session_entry, link)
                                        : arena_take(&session->arena, sizeof *entry);
    if (!entry) {
        return NULL;
    }
    if (spare) {
        link_remove(spare);
    }
    *entry = (struct session_entry){.topic = topic, .index = index, .must_tell = true};
    link_init(&entry->link);
    link_init(&entry->watched.link);
    if (!table_add(&session->by_name, &entry->by_name, hash)) {
        list_push(&session->spare, &entry->link);
        return NULL;
    }
    entry->watched.index = index;
    entry->watched.by_id = session->by_id;
    list_push(&session->entries, &entry->link);
    session->entries_count++;
    entry_resolve(session, entry);
    return entry;
}

bool session_put(struct session *session, struct session_topic **topic,
                 const struct fetch_request_topic *named,
                 const struct fetch_request_partition *asked, int32_t replica_id)
{
    uint32_t hash =
        session_hash(session, &session->by_name, named->topic, &named->topic_id, asked->partition);
    struct session_entry *entry =
        session_entry(session, hash, named->topic, &named->topic_id, asked->partition);
    if (!entry) {
        if (!*topic) {
            *topic = session_topic(session, named);
        }
        entry = *topic ? session_add(session, *topic, asked->partition, hash) : NULL;
    }
    if (!entry) {
        return false;
    }
    struct watch_entry *watched = &entry->watched;
    watched->fetch_offset = asked->fetch_offset;
    watched->bytes_max = asked->partition_max_bytes > 0 ? (uint32_t)asked->partition_max_bytes : 0;
    watched->current_leader_epoch = asked->current_leader_epoch;
    watched->last_fetched_epoch = asked->last_fetched_epoch;
    watched->replica_id = replica_id;
    watched->is_changed = true;
    if (watched->watch) {
        assert(!watched->watch->is_out);
        watched->watch->wants_read = true;
    }
    return true;
}

void session_forget(struct session *session, struct view name, const struct uuid *id, int32_t index)
{
    uint32_t hash = session_hash(session, &session->by_name, name, id, index);
    struct session_entry *entry = session_entry(session, hash, name, id, index);
    if (!entry) {
        return;
    }
    table_remove(&session->by_name, &entry->by_name);
    session->entries_count--;
    struct watch *watch = entry->watched.watch;
    if (watch) { /* its owner has to let go of it first */
        entry->watched.is_forgotten = true;
        watch->wants_read = true;
        list_push(&session->forgotten, &entry->link);
    } else {
        entry_spare(session, entry);
    }
}

bool session_sweep(struct session *session, uint32_t count)
{
    struct link *link;
    for (uint32_t n = 0; n < count && (link = list_first(&session->forgotten)) != NULL; n++) {
        struct session_entry *entry = container_of(link, struct session_entry, link);
        assert(!entry->watched.watch->is_out);
        entry->watched.watch->entries_count--;
        entry_spare(session, entry);
    }
    return list_is_empty(&session->forgotten);
}
