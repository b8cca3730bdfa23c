/*
 * record_stream -- the records of a batch one by one, without their keys and values.
 *
 * For whoever must see each record of a batch but needs to hold none: validation, and finding the
 * offset of a timestamp. A record may be larger than the window that it is inflated through, and
 * reading stops wherever its budget ends, in the middle of a value too.
 */
#ifndef LOG_RECORD_STREAM_H
#define LOG_RECORD_STREAM_H

#include "log/body.h"

enum record_stream_progress {
    RECORD_STREAM_RECORD, /* one more record has been read, and it is well-formed */
    RECORD_STREAM_MORE,   /* the budget is used up */
    RECORD_STREAM_END,    /* there were as many records as the batch says, and no byte more */
    RECORD_STREAM_BROKEN, /* ... or not; or one is malformed, or the stream cannot be inflated */
};

struct record_stream {
    /* The last record read. */
    int64_t timestamp;
    int32_t offset_delta;
    int32_t index;                /* from 0 */
    uint32_t bytes_behind_deltas; /* key, value and headers */
    bool has_key;

    /* record_stream.c only */
    struct body body;
    enum record_part {
        RECORD_START,
        RECORD_REST,       /* of a record that the window can hold: all at once */
        RECORD_KEY_LENGTH, /* from here on only of records too large for the window */
        RECORD_KEY,
        RECORD_VALUE_LENGTH,
        RECORD_VALUE,
        RECORD_HEADERS_COUNT,
        RECORD_HEADER_KEY_LENGTH,
        RECORD_HEADER_KEY,
        RECORD_HEADER_VALUE_LENGTH,
        RECORD_HEADER_VALUE,
    } part;
    uint32_t record_left; /* bytes until the record's end, as its length says */
    uint32_t skip_left;   /* bytes of the key or value being skipped */
    uint32_t headers_left;
    int32_t records_left;
    bool broken;
    bool is_log_append_time;
    int64_t base_timestamp;
    int64_t log_append_time;
};

/* As body_memory_bytes and body_start. */
[[nodiscard]] size_t record_stream_memory_bytes(const struct batch *batch);
[[nodiscard]] int record_stream_start(struct record_stream *stream, const struct batch *batch,
                                      void *memory, size_t memory_bytes);

/* Goes on to the end of the next record, or until *budget is used up: bytes of records, or if they
 * are compressed the work of inflating them. */
[[nodiscard]] enum record_stream_progress record_stream_next(struct record_stream *stream,
                                                             size_t *budget);

#endif
