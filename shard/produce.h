/*
 * produce -- batches for many partitions, from request to reply.
 *
 *     connection's shard ("home")              partitions' shards ("owners")
 *     produce_start: decode, count_step
 *     parts_step: each batch in slices
 *     shares_leave    ---- one share each -->  share_arrived
 *                                              shares_step: log_append ...
 *                                                  | journal
 *     share_returned  <---- shard_run -------  part_appended, the last one
 *     rows_step, when the last share is home; produce_reply
 *
 * The connection's next request starts when the shares have left: so what one connection sends to
 * one partition is appended in its order, and an owner begins appends in the order of arrival.
 * What is under way to one core has a limit: past it a request waits at home, and its connection
 * with it, so that a stalled disk holds up only those who need it.
 * A batch is checked at home, part by part; what is refused stays there.
 */
#ifndef SHARD_PRODUCE_H
#define SHARD_PRODUCE_H

#include "log/rebuild.h"
#include "net/codec/produce.h"
#include "shard/request.h"

struct produce_share { /* what one owner has to do of one request */
    struct op op;
    struct produce *produce; /* outlives its shares */
    struct shard *owner;
    struct produce_part *first; /* through part->next */
    struct produce_part **end;
    uint64_t bytes;
    struct produce_part *begin_next; /* owner: the next one to be appended */
    uint32_t left;                   /* owner: appends that have not ended, and the walk itself */
};

struct produce_part {         /* one partition's batch */
    struct log_append append; /* batch and bytes: in the frame, or rebuilt */
    struct produce_share *share;
    struct produce_part *next; /* for the same owner */
    struct uuid topic_id;
    int32_t index;
    int64_t log_append_time_ms;
    int64_t log_start_offset;
    uint8_t *rebuilt; /* its slab, or NULL */
    size_t rebuilt_bytes;
    enum kafka_error error;
    const char *why;      /* constant text, or NULL */
    int32_t leader_epoch; /* told when we are not the leader */
    int32_t record_errors_count;
    struct produce_response_record_error *record_errors;
};

struct produce {
    struct request *request;
    struct produce_request asked;
    struct produce_part *parts; /* [parts_count], in the order of the request; set up to `at` */
    uint32_t parts_count;
    struct produce_share **shares; /* [cores], NULL: nothing for that one */
    uint32_t shares_out;
    uint32_t leave_at; /* the next share to leave */

    /* checking: one part at a time */
    struct op step;
    struct timer wait;        /* for memory, ... */
    uint64_t memory_until_us; /* ... by all parts of the request no longer than this; 0: not yet */
    uint32_t at;              /* the part at hand: of counting, then checking, then replying */
    int32_t at_topic, at_partition; /* ... in the request */
    enum part_state {
        PART_NEW,        /* not looked at */
        PART_VALIDATING, /* memory is there, steps go on */
        PART_REBUILDING,
        PART_CHECKED,
    } state;
    struct validation_rules rules;
    struct validation validation;
    enum validation_progress validated;
    struct rebuild rebuild;
    struct job rebuild_job; /* its steps, if they are slow; nothing else looks at it meanwhile */
    enum validation_progress rebuilt;
    int32_t codec_level;
    uint32_t segment_bytes;
    void *memory; /* of validation, then of rebuild */
    size_t memory_bytes;

    /* replying */
    struct produce_response response;
    struct produce_response_partition *rows; /* [parts_count] */
    struct produce_response_node_endpoint endpoint;
    bool some_failed;
};

#endif
