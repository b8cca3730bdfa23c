/*
 * record_stream -- the records of a batch one by one, without their keys and values: from memory,
 * or from a compressed body through a window.
 *
 *     decoded bytes   | ... | record | record | reco|            a window of RECORD_WINDOW_BYTES;
 *                           ^ at                    ^ end        a record may be larger than it
 *
 * For whoever must see each record of a batch but needs to hold none: validation, rebuilding,
 * finding the offset of a timestamp. Stops wherever its budget ends, in the middle of a value too.
 */
#ifndef LOG_RECORD_STREAM_H
#define LOG_RECORD_STREAM_H

#include "core/inflate.h"
#include "log/batch.h"

enum { RECORD_WINDOW_BYTES = 64 << 10 };

enum record_stream_progress {
    RECORD_STREAM_RECORD, /* one more record has been read, and it is well-formed */
    RECORD_STREAM_MORE,   /* the budget is used up */
    RECORD_STREAM_END, /* there were exactly as many records as the batch says, and no byte more */
    RECORD_STREAM_BROKEN, /* ... or not; or one is malformed, or the stream cannot be inflated */
};

struct record_stream {
    /* The last record read. */
    int64_t timestamp;
    int32_t offset_delta;
    int32_t index; /* from 0 */
    bool has_key;

    uint64_t decoded_bytes; /* read so far */

    /* record_stream.c only */
    const uint8_t *at; /* decoded and not yet read */
    const uint8_t *end;
    uint8_t *window; /* NULL: the body is not compressed, and all of it lies at hand */
    struct inflate inflate;
    bool is_stream_ended;
    enum record_part {
        RECORD_START,
        RECORD_KEY,
        RECORD_VALUE_LENGTH,
        RECORD_VALUE,
        RECORD_HEADERS_COUNT,
        RECORD_HEADER_KEY_LENGTH,
        RECORD_HEADER_KEY,
        RECORD_HEADER_VALUE_LENGTH,
        RECORD_HEADER_VALUE,
        RECORD_END,
    } part;
    uint32_t record_left; /* bytes until the record's end, as its length says */
    uint32_t skip_left;   /* bytes of the key or value being skipped */
    uint32_t headers_left;
    int32_t records_left;
    int64_t base_timestamp;
    int64_t log_append_time;
    bool is_log_append_time;
};

/* Memory needed: 0 for an uncompressed batch; SIZE_MAX: the body cannot be a stream of its codec. */
[[nodiscard]] size_t record_stream_memory_bytes(const struct batch *batch);

/* 0, -EBADMSG, -ENOMEM. The batch's bytes and the memory stay in place while it is read. */
[[nodiscard]] int record_stream_start(struct record_stream *stream, const struct batch *batch,
                                      void *memory, size_t memory_bytes);

/* Goes on to the end of the next record, or until *budget decoded bytes are used up. */
[[nodiscard]] enum record_stream_progress record_stream_next(struct record_stream *stream,
                                                             size_t *budget);

#endif
