/*
 * validate -- may what a client sent be appended? As Kafka decides it, before it acknowledges.
 *
 *     validation_start      the frame of it: one batch, version, codec, base offset, size
 *     validation_step ...   CRC, then the header's sense, then every record: form, key, timestamp
 *     VALIDATION_DONE       refused, or fit to be appended: as it is, stamped, or rebuilt
 *
 * A step ends when it has used up its budget, so that a reactor can turn to others in between.
 * A compressed body is inflated through a window and never held whole.
 *
 * Kafka 4.3 leaves two gaps that are closed here, since what slips through can be read by nobody:
 * offset deltas in an uncompressed batch that are not 0, 1, 2 .. (in a compressed one they make
 * Kafka, and us, rebuild it), and a compressed record whose length is not the sum of its parts.
 * What Kafka answers with UNKNOWN_SERVER_ERROR (a codec that is not known, a stream that cannot be
 * inflated) gets an error here that says what is wrong.
 *
 * Lives on the shard where the request came in. Nothing here waits or allocates.
 */
#ifndef LOG_VALIDATE_H
#define LOG_VALIDATE_H

#include "core/inflate.h"
#include "log/batch.h"
#include "log/record_stream.h"
#include "log/refusal.h"

enum { VALIDATION_ERRORS_MAX = 64 }; /* record errors told by index; the others are only counted */

/* The topic's part of it, and the moment's. */
struct validation_rules {
    uint32_t batch_bytes_max; /* max.message.bytes */
    bool headers_only;        /* odradek.validate=headers: records are not looked at */
    bool zstd_allowed;        /* Produce version 7 and later */
    bool compacted;           /* cleanup.policy has compact: every record needs a key */
    bool log_append_time;     /* message.timestamp.type */
    bool keeps_codec;         /* compression.type=producer */
    enum codec codec;         /* compression.type else; CODEC_NONE is `uncompressed` */
    int64_t now_ms;
    int64_t before_max_ms; /* message.timestamp.before.max.ms */
    int64_t after_max_ms;
};

enum validation_error { /* what is wrong with a record */
                        VALIDATION_NO_KEY,
                        VALIDATION_TIMESTAMP_OUT_OF_RANGE,
                        VALIDATION_TIMESTAMP_TYPE, /* the producer says LogAppendTime */
};

struct validation {
    /* The result, once VALIDATION_DONE. */
    enum refusal refusal;  /* REFUSAL_NONE: append it */
    const char *why;       /* in words, if it was refused */
    uint32_t errors_count; /* records refused; only the first VALIDATION_ERRORS_MAX are listed */
    struct {
        int32_t record_index;
        enum validation_error error;
    } errors[VALIDATION_ERRORS_MAX];
    bool is_crc_checked; /* false: whoever copies the bytes checks the CRC on the way */
    bool must_stamp;     /* batch_stamp() with these two before it is appended: */
    bool log_append_time;
    int64_t max_timestamp;
    bool must_rebuild; /* log/rebuild writes the batch to append instead, with this codec: */
    enum codec codec;
    uint64_t plain_bytes; /* of its records then, before they are compressed */
    struct batch batch;   /* points to the caller's bytes */

    /* validate.c only */
    const struct validation_rules *rules;
    struct record_stream stream;
    void *memory;
    size_t memory_bytes;
    uint32_t crc;
    uint32_t crc_at; /* covered up to here */
    int64_t first_timestamp;
    bool has_timestamp_error;
    enum validation_state {
        VALIDATION_CRC,     /* of [crc_at, end) is still to be computed */
        VALIDATION_RECORDS, /* the header makes sense; the stream has records left */
        VALIDATION_ENDED,
    } state;
};

enum validation_progress { VALIDATION_MORE, VALIDATION_DONE };

/* bytes: one partition's records of a Produce request. They and the rules are borrowed until DONE,
 * and the bytes as long as the batch is used. */
[[nodiscard]] enum validation_progress validation_start(struct validation *validation,
                                                        const struct validation_rules *rules,
                                                        const void *bytes, size_t count);

/* Before the first step: how much memory the steps need, 0 if the batch is not compressed; and the
 * memory, aligned to 64, until DONE. It is not touched before the CRC was found good. */
size_t validation_memory_bytes(const struct validation *validation);
void validation_give_memory(struct validation *validation, void *memory, size_t bytes);

/* *budget: bytes of records to look at, or if they are compressed the work of inflating them
 * (core/inflate.h). It is lowered by what was done: MORE leaves nothing of it, DONE what may be spent
 * on other batches in the same turn. */
[[nodiscard]] enum validation_progress validation_step(struct validation *validation,
                                                       size_t *budget);

#endif
