/*
 * metadata_log -- the cluster's metadata on disk: KRaft's log and its newest snapshot.
 *
 *      __cluster_metadata-0/
 *          00000000000000004711-0000000012.checkpoint     all there is below offset 4711
 *          00000000000000004711.log                       the batches from there on
 *          leader-epoch-checkpoint  quorum-state  partition.metadata
 *
 * Not in the journal: each round of changes is written here and made durable before anybody sees
 * it. When the log has grown as large as a snapshot is worth, a new snapshot replaces both files:
 * so what is read at a start is bounded. One operation at a time. Lives on the control shard.
 */
#ifndef SHARD_METADATA_LOG_H
#define SHARD_METADATA_LOG_H

#include "core/reactor.h"
#include "shard/metadata_record.h"

enum { METADATA_PATH_BYTES = 4096 };
/* A snapshot once the log has grown by this and by half of the last snapshot. */
enum { METADATA_LOG_BYTES_WORTH_A_SNAPSHOT = 1 << 20 };

struct metadata_log {
    struct reactor *reactor;
    char path[METADATA_PATH_BYTES]; /* of __cluster_metadata-0 */
    int32_t node_id;
    int32_t epoch;        /* of the leader, this node: another for each start */
    int64_t start_offset; /* what lies below is in the snapshot */
    int64_t end_offset;
    uint64_t log_bytes;
    uint64_t snapshot_bytes;
    bool failed; /* a write or flush failed: nothing more is written until the next start */

    /* metadata_log.c only */
    int fd;
    struct metadata_log_job {
        struct job job;
        struct op *op;
        op_fn *then;
        struct metadata_log *log;
        const struct metadata_batches *batches;
        int64_t snapshot_offset;
        int32_t snapshot_epoch;
        int fd;
        bool can_be_full; /* -ENOSPC was undone, and is no failure */
    } job;
    struct metadata_epoch {
        int32_t epoch;
        int64_t start_offset;
    } * epochs; /* since start_offset, and the one in force there */
    uint32_t epochs_count;
};

/* What was on disk: to be applied, first the snapshot, then the log. malloc'd. */
struct metadata_load {
    struct job job; /* result: 0, -errno, or -EBADMSG, see problem */
    struct metadata_log *log;
    uint8_t *snapshot;
    size_t snapshot_bytes;
    uint8_t *batches;
    size_t batches_bytes;
    char problem[512];
};

/* directory: the data directory. Reads, and cuts off what a crash left half written. */
void metadata_log_open(struct metadata_log *log, struct reactor *reactor, const char *directory,
                       int32_t node_id, struct metadata_load *load, op_fn *then);
void metadata_load_free(struct metadata_load *load);
void metadata_log_close(struct metadata_log *log, struct op *op, op_fn *then);

/* Begin the next epoch: end_offset and epoch are those of the first batch to be appended now. */
void metadata_log_begin_epoch(struct metadata_log *log, struct op *op, op_fn *then);

/* batches: start at end_offset; borrowed until then. op result: 0, -ENOSPC (none of it is there,
 * and a later one may find room) or another -errno */
void metadata_log_append(struct metadata_log *log, const struct metadata_batches *batches,
                         struct op *op, op_fn *then);

bool metadata_log_is_worth_a_snapshot(const struct metadata_log *log);
/* batches: the snapshot whole, header and footer included, of all below end_offset.
 * op result: 0, -ENOSPC (the log goes on as it is) or another -errno */
void metadata_log_snapshot(struct metadata_log *log, const struct metadata_batches *batches,
                           struct op *op, op_fn *then);

#endif
