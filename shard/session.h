/*
 * session -- what a consumer fetches, remembered from one Fetch to the next (KIP-227).
 *
 *      session -- entries, in the order in which they are answered
 *         |          |  each in one of
 *         '------ watches, one for each core that owns some of them (shard/watch.h)
 *
 * A Fetch without a session has one too, without an id, until it is answered: so there is one way
 * to serve both. A session's id names its home core (id % cores), where all of it lives, but for
 * what a watch's op has taken to an owner. A request of another core can only close it: to go on
 * with it there is answered by FETCH_SESSION_ID_NOT_FOUND, as if it had been evicted, and the client
 * makes a full fetch. Kafka's sessions belong to the broker; but its clients too begin anew when
 * their connection was lost (FetchSessionHandler.handleError), and use one connection at a time. So
 * nothing is won by passing on a request whose memory and reply belong to its connection's core.
 *
 * Bounds: fetch_sessions_max over all cores, and BUDGET_SESSIONS, of which one may have half.
 * Where that is not enough, a Fetch has a session for itself alone, from BUDGET_SCRATCH.
 */
#ifndef SHARD_SESSION_H
#define SHARD_SESSION_H

#include "core/arena.h"
#include "core/list.h"
#include "core/memory.h"
#include "core/table.h"
#include "net/codec/fetch.h"
#include "net/error.h"
#include "shard/watch.h"

enum {
    SESSION_NONE = 0,
    SESSION_EPOCH_FIRST = 0,  /* a full fetch that wants a session */
    SESSION_EPOCH_FINAL = -1, /* a full fetch that wants none */
};

struct fetch;

struct session_topic {         /* as the client named it */
    struct table_link by_name; /* in session->topics */
    struct uuid id;            /* zero when it is named by name */
    struct view name;          /* empty when by id */
};

struct session_entry {         /* one partition */
    struct link link;          /* in session->entries, ->forgotten or ->spare */
    struct table_link by_name; /* in session->by_name */
    struct session_topic *topic;
    int32_t index;
    bool must_tell; /* in the next answer, news or not */
    int64_t told_high_watermark;
    int64_t told_log_start;
    struct watch_entry watched; /* at its owner */
};

struct session {
    struct link link;     /* in sessions->by_use */
    struct session *next; /* in its bucket of sessions->by_id */
    struct shard *home;
    int32_t id;    /* SESSION_NONE: for one request */
    int32_t epoch; /* of the next request */
    bool is_lasting;
    bool by_id; /* topics are named by id */
    bool closing;
    uint64_t used_us;
    uint64_t made_us;
    struct memory memory;
    struct arena arena; /* all that follows */
    struct list entries;
    uint32_t entries_count;
    struct list forgotten; /* until their owner has let go of them */
    struct list unowned;   /* nobody is known to have them; through watched.link */
    struct list spare;
    struct table by_name;   /* entries, by topic and index */
    struct table topics;    /* all ever named */
    struct watch **watches; /* [cores], NULL: nothing there */
    struct fetch *fetch;    /* the one under way */
    uint32_t watches_out;   /* reads and closes */
    struct op free_step;
};

enum { SESSION_BUCKETS = 1024 };

struct sessions { /* whose home is here */
    struct shard *shard;
    struct list by_use; /* with an id; the longest unused first */
    struct session *by_id[SESSION_BUCKETS];
    uint32_t count;
    uint32_t count_max;
    bool stopping;
    struct list parked; /* fetches that wait for records */
    struct op wake_step;
    struct list ending; /* sessions whose memory is being given back */
};

[[nodiscard]] int sessions_init(struct shard *shard);
/* Fetches that wait are answered with what there is, and from now on none waits. */
void sessions_stop(struct shard *shard);
/* Logs are closed, and no fetch is under way any more. */
void sessions_deinit(struct shard *shard);

/* A session for one request, or a lasting one: then session_register. NULL: no memory. */
[[nodiscard]] struct session *session_new(struct shard *home, bool lasting, bool by_id);
/* There was no memory for one that lasts: the one unused longest ends, if it was silent for long. */
void sessions_evict(struct shard *shard);
/* Gives it an id and a place among the others. False: there is no place, it cannot last. */
bool session_register(struct session *session);
/* Its fetch has been answered. */
void session_end_fetch(struct session *session);
/* On the caller's core; NULL: not here. */
struct session *session_find(struct shard *shard, int32_t id);
/* On any core: it ends soon, if it exists. */
void session_close_id(struct shard *shard, int32_t id);
/* It ends when its watches have come home. */
void session_close(struct session *session);

/* -- its entries --------------------------------------------------------------------------------- */

/* The partition is to be fetched so from now on. topic: NULL for the first partition of `named`, and
 * kept for the others. False: no memory. */
[[nodiscard]] bool session_put(struct session *session, struct session_topic **topic,
                               const struct fetch_request_topic *named,
                               const struct fetch_request_partition *asked, int32_t replica_id);
/* Look again for the first partition that nobody was known to have. It may end up behind the
 * others: `last` is the last of them as they stood, from session_last_unowned. False: that was it. */
[[nodiscard]] bool session_resolve_one(struct session *session, const struct link *last);
static inline struct link *session_last_unowned(const struct session *session)
{
    return session->unowned.head.previous;
}
/* It has an error that only another look at the image can end. */
void session_disown(struct session *session, struct session_entry *entry);
void session_forget(struct session *session, struct view name, const struct uuid *id,
                    int32_t index);
/* Owners have let go of what was forgotten: of so many. False: there are more. */
[[nodiscard]] bool session_sweep(struct session *session, uint32_t count);

#endif
