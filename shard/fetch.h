/*
 * fetch -- records of many partitions, now or when there are enough of them.
 *
 *     home                                        owners
 *     fetch_start: decode, session
 *     fetch_read     ---- one watch each ---->    watch_read: locate
 *     fetch_evaluate <------------------------
 *        enough, an error, or the time is over --> fetch_reply: names of ranges
 *        else parked  <------- news ----------    a commit
 *
 *     the reply, piece by piece (fetch_send.c)
 *     fetch_pin      ---- if elsewhere ------>    log_pin: tail chunk or disk
 *     sent from there
 *     fetch_unpin    ------------------------>    log_unpin
 *
 * With nothing to send the watches stay armed, and the first commit that matters sends one message
 * home. Home decides alone what goes into the reply, in the order of the client's partitions.
 */
#ifndef SHARD_FETCH_H
#define SHARD_FETCH_H

#include "net/codec/fetch.h"
#include "shard/request.h"
#include "shard/session.h"

enum fetch_change { /* what the session takes over from the request, one after the other */
                    FETCH_PUTS, /* partitions to be fetched from now on */
                    FETCH_RESOLVES, /* those whose owner was not known; a session that goes on only, as the next */
                    FETCH_FORGETS,
                    FETCH_CHANGED,
};

struct fetch {
    struct request *request;
    struct fetch_request asked;
    struct session *session;
    bool is_incremental;
    bool wants_session;
    int32_t replica_id;
    uint32_t bytes_max;
    uint32_t bytes_min;
    uint64_t deadline_us;
    struct op step;
    enum fetch_change change;
    int32_t at_topic, at_partition; /* of asked: the next */
    struct session_topic *topic;
    const struct link *last_unowned;
    uint32_t reads_out;
    /* evaluating */
    struct link *at;
    uint64_t bytes;
    uint32_t rows_max;
    bool is_urgent; /* an error: the client has to know at once */
    /* waiting */
    struct link parked; /* in sessions->parked */
    struct timer timer;
    /* replying */
    struct fetch_response response;
    struct fetch_response_topic *topics;
    struct fetch_response_partition *rows;
    struct link *last; /* of the entries as they stood */
    uint32_t rows_count;
    uint32_t bytes_left;
    bool has_records;
    struct fetch_response_node_endpoint endpoint;
};

struct fetch_range { /* named in the reply; in the request's arena */
    struct uuid topic_id;
    int32_t index;
    struct shard *owner;
    int64_t segment_base;
    uint32_t position;
};

/* A watch of a session has news. */
void fetch_has_news(struct watch *watch);
/* All that wait on this core are answered with what there is. op: sessions->wake_step */
void fetches_wake(struct op *op);

/* reply->pin and reply->unpin of a Fetch (fetch_send.c). */
bool fetch_pin(struct reply *reply, struct reply_piece *piece, op_fn *then);
void fetch_unpin(struct reply *reply, struct reply_piece *piece);

#endif
