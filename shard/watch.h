/*
 * watch -- what one fetch session has of the partitions of one owner core.
 *
 *      home                                   owner
 *      watch_read  ------------- op ------->  locate each entry that changed or has news
 *      evaluate    <------------ op --------  (linked to the logs, and armed, if asked to)
 *      ... parked ...
 *                                             a commit: the entry is dirty, and if the watch is
 *      watch_ready <----------- news -------  armed: disarmed, and home is told, once
 *      watch_read  ------------- op ------->  ...
 *
 * Links to logs stay from one fetch of a session to the next; cores without news cost no message.
 * The op carries the right to the watch and its entries, but for the fields of the other side.
 */
#ifndef SHARD_WATCH_H
#define SHARD_WATCH_H

#include "core/list.h"
#include "core/uuid.h"
#include "log/log.h"
#include "net/error.h"
#include "shard/shard.h"

struct watch_result { /* of one entry, as last read */
    enum kafka_error error;
    int64_t high_watermark;
    int64_t log_start;
    int64_t segment_base; /* where the records are; bytes 0: none now */
    uint32_t position;
    uint32_t bytes;
    uint32_t first_bytes; /* of the first batch */
    int32_t leader_epoch;
    int32_t diverging_epoch; /* -1: as the client says */
    int64_t diverging_end;
};

struct watch_entry {
    struct link link; /* in watch->entries; unlisted: nobody owns it, result has the error */
    struct watch *watch;
    struct uuid topic_id;
    int32_t index;
    bool by_id;
    /* asked; home's */
    bool is_changed; /* read it, news or not */
    bool is_forgotten;
    int64_t fetch_offset;
    uint32_t bytes_max;
    int32_t current_leader_epoch;
    int32_t last_fetched_epoch;
    int32_t replica_id;
    struct watch_result result;
    /* owner's, always */
    struct log_watch log_watch;
    bool is_dirty;
};

struct watch {
    /* home's */
    struct shard *home;
    struct shard *owner;
    void *session;
    void (*ready)(struct watch *watch); /* there is news */
    bool wants_read;
    bool is_out;        /* op is away */
    bool is_armed;      /* as the last read left it */
    bool was_armed;     /* there may be links at the owner */
    uint32_t news_seen; /* how often `ready` was called */
    struct list entries;
    uint32_t entries_count;
    /* for op's way */
    struct op op;
    op_fn *then;
    bool arms;
    bool closes;         /* let go of everything */
    uint32_t news_known; /* news_seen when op left */
    /* owner's */
    struct watch_entry *at;
    struct log_locate locate;
    bool armed;
    uint32_t news_told;
    struct op news;
};

void watch_init(struct watch *watch, struct shard *home, struct shard *owner, void *session,
                void (*ready)(struct watch *watch));
void watch_add(struct watch *watch, struct watch_entry *entry);

/* Read what has to be read; then, if arms, tell of news. `then` runs at home. */
void watch_read(struct watch *watch, bool arms, op_fn *then);
/* Let go of all logs. */
void watch_close(struct watch *watch, op_fn *then);

#endif
