/*
 * metadata_record -- one change of the cluster's metadata, as KRaft writes it, and batches of them.
 *
 *      record value:   frame version 1 | type | version | fields            (three unsigned varints)
 *
 * One batch is atomic. A batch under construction grows on the heap; how large it gets is bounded
 * by what one request may change (CONTROL_RECORDS_MAX) and by the image, for a snapshot.
 */
#ifndef SHARD_METADATA_RECORD_H
#define SHARD_METADATA_RECORD_H

#include "core/arena.h"
#include "core/cursor.h"
#include "log/batch.h"
#include "net/codec/control_records.h"
#include "net/codec/metadata_log.h"

enum metadata_record_type {
#define METADATA_RECORD(NAME, name, version) METADATA_##NAME = NAME##_RECORD_KEY,
#include "shard/metadata_record.def"
#undef METADATA_RECORD
};

struct metadata_record {
    enum metadata_record_type type;
    union {
#define METADATA_RECORD(NAME, name, version) struct name##_record name;
#include "shard/metadata_record.def"
#undef METADATA_RECORD
    };
};

/* False: broken, or of a kind or version that this broker does not know. `value` is borrowed. */
[[nodiscard]] bool metadata_record_decode(struct metadata_record *record, struct view value,
                                          struct arena *arena);

struct metadata_batches { /* batches end to end, with room to grow; malloc'd, freed by deinit */
    uint8_t *bytes;
    size_t bytes_count;
    size_t bytes_room;
    int64_t next_offset;
    int32_t leader_epoch;
    int64_t now_ms;
    bool failed; /* out of memory; sticky */

    /* metadata_record.c only */
    size_t batch_at; /* where the open batch starts */
    int32_t records_count;
};

void metadata_batches_init(struct metadata_batches *batches, int64_t next_offset,
                           int32_t leader_epoch, int64_t now_ms);
void metadata_batches_deinit(struct metadata_batches *batches);

/* Records go into one batch until it is ended; an empty batch leaves nothing. */
void metadata_batches_add(struct metadata_batches *batches, const struct metadata_record *record);
void metadata_batches_end(struct metadata_batches *batches);

/* A control record, in a batch of its own. */
void metadata_batches_leader_change(struct metadata_batches *batches, int32_t leader_id);
void metadata_batches_snapshot_header(struct metadata_batches *batches, int64_t last_timestamp_ms);
void metadata_batches_snapshot_footer(struct metadata_batches *batches);

#endif
