/*
 * state -- what a STATE entry says: the complete starting point of one log.
 *
 * Written when a log is made, rolled, dropped, given another log start, moved, stopped, and when
 * the journal file of its newest STATE is wanted back.
 */
#ifndef LOG_STATE_H
#define LOG_STATE_H

#include "log/directory.h"
#include "log/epochs.h"
#include "log/producers.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

struct log_state {
    uint64_t log_id;       /* the entry's, as the next one: the payload does not repeat them */
    uint64_t log_sequence; /* of this STATE: what it says is true after all entries below it */
    uint64_t data_from;    /* DATA from this sequence on may not be in the segments */
    bool dropped;
    uint8_t topic_id[16];
    int32_t partition;
    char name[LOG_NAME_BYTES_MAX + 1]; /* of the directory: topic-partition */
    int64_t segment_base;              /* of the active segment */
    uint32_t position;                 /* its end, of whole batches */
    uint32_t placed; /* >= position: so far the parts of a large batch reach that is on its way */
    /* Sealed segments from this base on may still be longer than their records: zeros, allocated
     * ahead, follow. The active base: there are none. */
    int64_t uncut_base;
    int64_t log_start;
    int64_t log_end;
    int64_t high_watermark;
    int64_t max_timestamp; /* of the active segment, -1 none; and the offset that has it */
    int64_t max_timestamp_offset;
    uint32_t index_bytes; /* durable entries of the active segment's files */
    uint32_t time_index_bytes;
    struct epochs epochs;
    /* All of them, at log_end; or, in a STATE of ours, those of its basis, if it names one. */
    struct producers producers;
    struct producers_basis basis; /* `encoded` NULL and no file: this STATE itself */
};

/* A STATE has a bound, whatever the log has seen: it fits any commit. */
enum {
    STATE_BYTES_MAX = 2 + 2 + 16 + 4 + 8 + 8 + 4 + 4 + 8 * 6 + 4 + 4 + 8 + 8 + 4 + 2 +
                      LOG_NAME_BYTES_MAX + 4 + EPOCHS_MAX * 12 + 4 + STATE_PRODUCERS_BYTES_MAX,
};
static_assert(STATE_BYTES_MAX <= 10 << 10, "several fit into the smallest commit, and into a step");

/* Bytes that state_encode will write. */
uint32_t state_bytes(const struct log_state *state);
void state_encode(const struct log_state *state, void *buffer);
/* 0, -ENOMEM, or -EBADMSG: not a STATE of a version that we know. On failure nothing is held;
 * otherwise state_deinit gives back what epochs and producers hold. */
[[nodiscard]] int state_decode(struct log_state *state, const void *bytes, uint32_t count);
void state_deinit(struct log_state *state);

/* topic-partition, in the characters that Kafka allows: one step of a path, and never "." or "..". */
[[nodiscard]] bool state_name_is_good(const char *name);

#endif
