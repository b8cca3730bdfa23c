/*
 * rebuild -- a validated batch written anew: in another codec, or with its offset deltas put right.
 *
 *     body --> | start | key, value, headers | ...      inflated through a window
 *                  |              |
 *                new start    as they are
 *                  v              v
 *              | start | key, value, headers | ... -->  deflated into the caller's buffer
 *
 * Offset deltas become 0, 1, 2 .., timestamps are told from the first record's, attributes are 0:
 * what Kafka's LogValidator makes of such a batch. The second time that the body is inflated; the
 * first told how large it is, and that it is sound.
 */
#ifndef LOG_REBUILD_H
#define LOG_REBUILD_H

#include "core/deflate.h"
#include "log/body.h"
#include "log/validate.h"

struct rebuild {
    /* The result, once VALIDATION_DONE. */
    enum refusal refusal; /* MESSAGE_TOO_LARGE, or none */
    uint32_t batch_bytes; /* of the new batch; it needs no stamp */

    bool is_slow; /* steps take longer than a reactor has: they are for a job */

    /* rebuild.c only */
    const struct validation *validation;
    struct body body;
    struct deflate deflate;
    uint8_t *into;
    int32_t records_done;
    uint32_t record_left; /* bytes of this record to be copied as they are */
    int64_t base_timestamp;
    uint64_t work_told; /* of deflate */
    uint32_t crc_at;    /* of the new batch, once it is written: covered up to here */
    uint32_t crc;
};

/* codec_level: compression.LEVEL, or DEFLATE_LEVEL_DEFAULT. Aligned to 64. */
size_t rebuild_memory_bytes(const struct validation *validation, int codec_level);

/* validation: DONE, must_rebuild and not refused; it, its batch, the memory and `into` stay until
 * this is DONE.
 *   bytes_max   room at `into`: max.message.bytes, or what the plain batch would take and a little
 *               more, if that is less; what does not fit is MESSAGE_TOO_LARGE */
void rebuild_start(struct rebuild *rebuild, const struct validation *validation, int codec_level,
                   void *memory, size_t memory_bytes, void *into, size_t bytes_max);

/* As validation_step. */
[[nodiscard]] enum validation_progress rebuild_step(struct rebuild *rebuild, size_t *budget);

#endif
