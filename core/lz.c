#include "core/lz.h"

#include "core/big_endian.h"

#include <assert.h>
#include <string.h>

enum {
    WILD_BYTES =
        16, /* runs are copied in words of this size, past their end: what is overwritten */
    LZ_HISTORY_MARGIN_BYTES =
        2 * WILD_BYTES, /* there is the oldest in the ring, or lies behind it */
    LZ_MARGIN_BYTES = LZ_HISTORY_MARGIN_BYTES + WILD_BYTES,
    LZ4_MAGIC = 0x184d2204,
    LZ4_COPY_BYTES_MIN = 4,
    LZ4_BLOCK_BYTES_LOG_MIN = 4, /* codes 4 to 7: 64 KiB, 256 KiB, 1 MiB, 4 MiB */
    SNAPPY_EXPANSION_MAX = 22,   /* three bytes become 64 at most */
    XERIAL_HEADER_BYTES = 16,
    LZ_STEP_WORK = 16, /* of a token, or of a block's begin or end */
};

static const uint8_t xerial_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};

static uint32_t load_little(const uint8_t *from, int bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++) {
        value |= (uint32_t)from[i] << (8 * i);
    }
    return value;
}

static size_t left(const struct lz *lz)
{
    return (size_t)(lz->end - lz->at);
}

/* -- the ring ----------------------------------------------------------------------------------- */

static struct lz *start(void *memory, size_t memory_bytes, const void *from, size_t bytes)
{
    struct lz *lz = memory;
    assert(memory_bytes > sizeof(*lz) + LZ_MARGIN_BYTES);
    *lz = (struct lz){
        .at = from,
        .end = (const uint8_t *)from + bytes,
        .ring = (uint8_t *)(lz + 1),
        .ring_bytes = memory_bytes - sizeof(*lz) - WILD_BYTES,
        .history_bytes = memory_bytes - sizeof(*lz) - LZ_MARGIN_BYTES,
    };
    return lz;
}

static void wrote(struct lz *lz, size_t bytes)
{
    lz->ring_at += bytes;
    lz->block_written += bytes;
    lz->block_left -= bytes;
}

/* Both copy at most `room` bytes: as many as are wanted and fit before the end of the ring. */
static size_t copy_literal(struct lz *lz, size_t room)
{
    size_t count = lz->literal_left < room ? (size_t)lz->literal_left : room;
    if (count <= WILD_BYTES && left(lz) >= WILD_BYTES) {
        memcpy(lz->ring + lz->ring_at, lz->at, WILD_BYTES);
    } else {
        memcpy(lz->ring + lz->ring_at, lz->at, count);
    }
    lz->at += count;
    lz->literal_left -= count;
    wrote(lz, count);
    return count;
}

static size_t copy_history(struct lz *lz, size_t room)
{
    size_t count = lz->copy_left < room ? (size_t)lz->copy_left : room;
    size_t offset = lz->copy_offset;
    size_t from_at = lz->ring_at;
    if (from_at >= offset) {
        from_at -= offset;
    } else {
        from_at += lz->ring_bytes - offset;
        if (count > lz->ring_bytes - from_at) {
            count = lz->ring_bytes - from_at; /* up to the end of the ring; the rest next time */
        }
    }
    uint8_t *to = lz->ring + lz->ring_at;
    const uint8_t *from = lz->ring + from_at;
    if (offset >= WILD_BYTES) {
        for (size_t i = 0; i < count; i += WILD_BYTES) {
            memcpy(to + i, from + i, WILD_BYTES);
        }
    } else {
        for (size_t i = 0; i < count; i++) { /* a pattern that repeats itself */
            to[i] = from[i];
        }
    }
    lz->copy_left -= count;
    wrote(lz, count);
    return count;
}

/* A copy has been read from the input: can it be? */
static bool begin_copy(struct lz *lz, uint32_t offset, uint64_t bytes)
{
    lz->copy_offset = offset;
    lz->copy_left = bytes;
    return offset > 0 && offset <= lz->block_written && offset <= lz->history_bytes &&
           bytes <= lz->block_left;
}

static bool begin_literal(struct lz *lz, uint64_t bytes)
{
    lz->literal_left = bytes;
    return bytes <= (size_t)(lz->block_end - lz->at) && bytes <= lz->block_left;
}

static void begin_block(struct lz *lz, size_t input_bytes, uint64_t decoded_bytes)
{
    lz->in_block = true;
    lz->block_end = lz->at + input_bytes;
    lz->block_left = decoded_bytes;
    lz->block_written = 0;
}

/* -- lz4 ---------------------------------------------------------------------------------------- */

size_t lz_lz4_memory_bytes(void)
{
    return sizeof(struct lz) + LZ_LZ4_HISTORY_BYTES + LZ_MARGIN_BYTES;
}

struct lz *lz_lz4_start(void *memory, size_t memory_bytes, const void *from, size_t bytes)
{
    struct lz *lz = start(memory, memory_bytes, from, bytes);
    lz->is_lz4 = true;
    const uint8_t *at = from;
    if (bytes < 7 || load_little(at, 4) != LZ4_MAGIC) {
        return NULL;
    }
    uint8_t flags = at[4], sizes = at[5];
    bool is_version_1 = flags >> 6 == 1;
    bool is_independent = flags >> 5 & 1;
    bool has_content_bytes = flags >> 3 & 1;
    bool is_reserved = flags & 3; /* a dictionary among it */
    int log_code = sizes >> 4;    /* its top bit is reserved, and so are the lower four */
    size_t header_bytes = has_content_bytes ? 14 : 6;
    if (!is_version_1 || !is_independent || is_reserved || (sizes & 15) ||
        log_code < LZ4_BLOCK_BYTES_LOG_MIN || log_code > 7 || bytes <= header_bytes ||
        at[header_bytes] != (uint8_t)(xxh32(at + 4, header_bytes - 4) >> 8)) {
        return NULL;
    }
    lz->has_block_checksum = flags >> 4 & 1;
    lz->block_bytes_max = 1u << (8 + 2 * log_code);
    lz->at += header_bytes + 1;
    return lz;
}

/* False: broken. At the frame's end `ended` is set. */
static bool next_lz4_block(struct lz *lz)
{
    if (left(lz) < 4) {
        return false;
    }
    uint32_t word = load_little(lz->at, 4);
    uint32_t bytes = word & 0x7fffffff;
    lz->at += 4;
    if (bytes == 0) {
        lz->ended = true;
        return true;
    }
    if (bytes > lz->block_bytes_max || bytes > left(lz)) {
        return false;
    }
    begin_block(lz, bytes, lz->block_bytes_max);
    lz->needs_copy = false;
    xxh32_start(&lz->block_hash, lz->at);
    lz->is_plain = word >> 31;
    return !lz->is_plain || begin_literal(lz, bytes);
}

static bool end_lz4_block(struct lz *lz)
{
    lz->in_block = false;
    if (!lz->has_block_checksum) {
        return true;
    }
    if (left(lz) < 4) {
        return false;
    }
    uint32_t hash = load_little(lz->at, 4);
    lz->at += 4;
    return hash == xxh32_end(&lz->block_hash, lz->block_end);
}

/* A length's further bytes: each 255 says that another follows. */
static bool read_lz4_length(struct lz *lz, uint64_t *bytes)
{
    uint8_t byte;
    do {
        if (lz->at >= lz->block_end || *bytes > lz->block_bytes_max) {
            return false;
        }
        byte = *lz->at++;
        *bytes += byte;
    } while (byte == 255);
    return true;
}

/* Between literals and copies. False: broken. */
static bool next_lz4_token(struct lz *lz)
{
    if (lz->needs_copy) {
        lz->needs_copy = false;
        if (lz->at == lz->block_end) {
            return end_lz4_block(lz); /* the last sequence has no copy */
        }
        if (lz->block_end - lz->at < 2) {
            return false;
        }
        uint32_t offset = load_little(lz->at, 2);
        uint64_t bytes = lz->copy_token;
        lz->at += 2;
        if (bytes == 15 && !read_lz4_length(lz, &bytes)) {
            return false;
        }
        return begin_copy(lz, offset, bytes + LZ4_COPY_BYTES_MIN);
    }
    if (lz->at == lz->block_end) {
        return lz->is_plain && end_lz4_block(lz); /* else cut off: literals come last */
    }
    uint8_t token = *lz->at++;
    uint64_t bytes = token >> 4;
    lz->copy_token = token & 15;
    lz->needs_copy = true;
    if (bytes == 15 && !read_lz4_length(lz, &bytes)) {
        return false;
    }
    return begin_literal(lz, bytes);
}

/* Whole sequences as long as they are plainly in bounds: short, from 16 bytes back or more, nothing
 * near an end. That is most of a stream; whatever else comes is left to the steps above. */
static size_t run_lz4(struct lz *lz, size_t room)
{
    enum { INPUT_MARGIN = 1 + 14 + 2 + 1 + WILD_BYTES, OUTPUT_MARGIN = 14 + 273 + 2 * WILD_BYTES };
    const uint8_t *at = lz->at;
    uint8_t *start = lz->ring + lz->ring_at, *to = start;
    uint64_t reach = lz->block_written < lz->ring_at ? lz->block_written : lz->ring_at;
    room = room < lz->block_left ? room : (size_t)lz->block_left;
    while ((size_t)(to - start) + OUTPUT_MARGIN <= room && lz->block_end - at >= INPUT_MARGIN) {
        size_t literal = *at >> 4, count = *at & 15;
        const uint8_t *behind = at + 1 + literal;
        uint32_t offset = behind[0] | (uint32_t)behind[1] << 8;
        bool is_long = count == 15;
        count += is_long ? behind[2] : 0;
        if (literal == 15 || count == 15 + 255 || offset < WILD_BYTES ||
            offset > reach + (size_t)(to - start) + literal) {
            break;
        }
        memcpy(to, at + 1, WILD_BYTES);
        to += literal;
        count += LZ4_COPY_BYTES_MIN;
        for (size_t i = 0; i < count; i += WILD_BYTES) {
            memcpy(to + i, to + i - offset, WILD_BYTES);
        }
        to += count;
        at = behind + 2 + is_long;
    }
    lz->at = at;
    wrote(lz, (size_t)(to - start));
    return (size_t)(to - start);
}

/* -- snappy ------------------------------------------------------------------------------------- */

size_t lz_snappy_memory_bytes(size_t bytes)
{
    size_t decoded_max = bytes * SNAPPY_EXPANSION_MAX;
    size_t history =
        decoded_max < LZ_SNAPPY_HISTORY_BYTES ? decoded_max : (size_t)LZ_SNAPPY_HISTORY_BYTES;
    return sizeof(struct lz) + history + LZ_MARGIN_BYTES + 1;
}

static bool begin_snappy_block(struct lz *lz, size_t bytes)
{
    uint64_t decoded_bytes = 0;
    const uint8_t *block_end = lz->at + bytes;
    for (int shift = 0;; shift += 7) {
        if (lz->at == block_end || shift > 28) {
            return false;
        }
        uint8_t byte = *lz->at++;
        decoded_bytes |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            break;
        }
    }
    begin_block(lz, (size_t)(block_end - lz->at), decoded_bytes);
    return decoded_bytes <= UINT32_MAX;
}

static bool skip_xerial_header(struct lz *lz)
{
    if (left(lz) < XERIAL_HEADER_BYTES || memcmp(lz->at, xerial_magic, sizeof(xerial_magic)) != 0 ||
        (int32_t)big_endian_load32(lz->at + 12) < 1) { /* the oldest reader that understands it */
        return false;
    }
    lz->at += XERIAL_HEADER_BYTES;
    return true;
}

struct lz *lz_snappy_start(void *memory, size_t memory_bytes, const void *from, size_t bytes)
{
    struct lz *lz = start(memory, memory_bytes, from, bytes);
    lz->is_framed =
        bytes >= XERIAL_HEADER_BYTES && memcmp(from, xerial_magic, sizeof(xerial_magic)) == 0;
    bool begun = lz->is_framed ? skip_xerial_header(lz) : begin_snappy_block(lz, bytes);
    return begun ? lz : NULL;
}

static bool next_snappy_block(struct lz *lz)
{
    if (!lz->is_framed || left(lz) < 4) { /* too little for another: as Kafka's reader, the end */
        lz->ended = true;
        return true;
    }
    if (memcmp(lz->at, xerial_magic, 4) == 0) {
        return skip_xerial_header(lz); /* two streams, one behind the other */
    }
    uint32_t bytes = big_endian_load32(lz->at);
    lz->at += 4;
    return bytes <= left(lz) && begin_snappy_block(lz, bytes);
}

static bool next_snappy_tag(struct lz *lz)
{
    if (lz->at == lz->block_end) {
        lz->in_block = false;
        return lz->block_left == 0;
    }
    size_t bytes_left = (size_t)(lz->block_end - lz->at);
    uint8_t tag = lz->at[0];
    uint32_t bytes = (tag >> 2) + 1u;
    int kind = tag & 3;
    int operand = kind == 3 ? 4 : kind;
    if (kind == 0) {
        operand = bytes > 60 ? (int)bytes - 60 : 0;
    }
    if (bytes_left < (size_t)operand + 1) {
        return false;
    }
    uint32_t value = load_little(lz->at + 1, operand);
    lz->at += operand + 1;
    switch (kind) {
    case 0:
        return begin_literal(lz, operand == 0 ? bytes : (uint64_t)value + 1);
    case 1:
        return begin_copy(lz, (uint32_t)(tag >> 5) << 8 | value, 4 + (tag >> 2 & 7));
    default:
        return begin_copy(lz, value, bytes);
    }
}

/* As run_lz4: tags with short literals, and copies from 16 bytes back or more. */
static size_t run_snappy(struct lz *lz, size_t room)
{
    enum { INPUT_MARGIN = 1 + 60 + WILD_BYTES, OUTPUT_MARGIN = 64 + WILD_BYTES };
    const uint8_t *at = lz->at;
    uint8_t *start = lz->ring + lz->ring_at, *to = start;
    uint64_t reach = lz->block_written < lz->ring_at ? lz->block_written : lz->ring_at;
    room = room < lz->block_left ? room : (size_t)lz->block_left;
    while ((size_t)(to - start) + OUTPUT_MARGIN <= room && lz->block_end - at >= INPUT_MARGIN) {
        uint8_t tag = *at;
        int kind = tag & 3; /* 1 and 2: a copy, with as many bytes of offset behind the tag */
        size_t count = (tag >> 2) + 1u, behind_tag;
        const uint8_t *from;
        if (kind == 0) {
            from = at + 1;
            behind_tag = count;
        } else {
            uint32_t offset = at[1] | (uint32_t)at[2] << 8;
            if (kind == 1) {
                count = 4 + (tag >> 2 & 7);
                offset = (uint32_t)(tag >> 5) << 8 | at[1];
            }
            if (kind == 3 || offset < WILD_BYTES || offset > reach + (size_t)(to - start)) {
                break;
            }
            from = to - offset;
            behind_tag = (size_t)kind;
        }
        if (kind == 0 && count > 60) { /* its length stands behind the tag */
            break;
        }
        for (size_t i = 0; i < count; i += WILD_BYTES) {
            memcpy(to + i, from + i, WILD_BYTES);
        }
        to += count;
        at += 1 + behind_tag;
    }
    lz->at = at;
    wrote(lz, (size_t)(to - start));
    return (size_t)(to - start);
}

/* -- reading ------------------------------------------------------------------------------------ */

static bool advance(struct lz *lz)
{
    if (lz->is_lz4) {
        return lz->in_block ? next_lz4_token(lz) : next_lz4_block(lz);
    }
    return lz->in_block ? next_snappy_tag(lz) : next_snappy_block(lz);
}

/* Decodes up to `room` bytes to the ring, which has that many before its end. */
static size_t decode(struct lz *lz, size_t room, uint64_t work_max)
{
    size_t written = 0;
    const uint8_t *from = lz->at;
    while (!lz->ended && !lz->broken && lz->work < work_max) {
        if (lz->literal_left > 0 || lz->copy_left > 0) {
            if (written == room) {
                break;
            }
            written += lz->literal_left > 0 ? copy_literal(lz, room - written)
                                            : copy_history(lz, room - written);
        } else {
            if (lz->in_block && !lz->needs_copy && !lz->is_plain) {
                written +=
                    lz->is_lz4 ? run_lz4(lz, room - written) : run_snappy(lz, room - written);
            }
            lz->broken = !advance(lz);
            lz->work += LZ_STEP_WORK;
        }
    }
    lz->work += written + (size_t)(lz->at - from);
    if (lz->is_lz4 && lz->in_block && lz->has_block_checksum) {
        xxh32_advance(&lz->block_hash, lz->at); /* piece by piece, not 4 MiB at the block's end */
    }
    return written;
}

int64_t lz_read(struct lz *lz, void *into, size_t bytes, uint64_t work_max)
{
    size_t given = 0;
    while (given < bytes && !lz->ended && !lz->broken && lz->work < work_max) {
        if (lz->ring_at == lz->ring_bytes) {
            lz->ring_at = 0;
        }
        size_t room = lz->ring_bytes - lz->ring_at;
        room = room < bytes - given ? room : bytes - given;
        const uint8_t *decoded = lz->ring + lz->ring_at;
        size_t count = decode(lz, room, work_max);
        memcpy((uint8_t *)into + given, decoded, count);
        given += count;
    }
    return given > 0 ? (int64_t)given : lz->broken ? -1 : 0;
}
