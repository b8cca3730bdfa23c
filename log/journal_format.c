#include "log/journal_format.h"

#include "core/big_endian.h"
#include "core/crc32c.h"
#include "core/cursor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Positions in a commit's header. The first four fields and the checksum stay where they are in
 * every version: so a newer commit is recognised, and refused by name. */
enum {
    COMMIT_AT_MAGIC = 0,
    COMMIT_AT_SALT = 8,
    COMMIT_AT_VERSION = 16,
    COMMIT_AT_CRC = 20, /* of the header's other bytes */
};

static const uint8_t commit_magic[8] = {'O', 'D', 'R', 'A', 'D', 'E', 'K', '\n'};

static uint32_t header_crc(const uint8_t *header)
{
    uint32_t crc = crc32c(0, header, COMMIT_AT_CRC);
    return crc32c(crc, header + COMMIT_AT_CRC + 4, COMMIT_HEADER_BYTES - COMMIT_AT_CRC - 4);
}

void commit_header_encode(const struct commit_header *header, uint64_t salt, void *to)
{
    uint8_t *at = to;
    memcpy(at + COMMIT_AT_MAGIC, commit_magic, sizeof(commit_magic));
    big_endian_store64(at + COMMIT_AT_SALT, salt);
    big_endian_store32(at + COMMIT_AT_VERSION, JOURNAL_VERSION);
    big_endian_store32(at + 24, header->start);
    big_endian_store32(at + 28, header->core);
    big_endian_store64(at + 32, header->sequence);
    big_endian_store64(at + 40, header->oldest_live);
    big_endian_store64(at + 48, header->flushed);
    big_endian_store64(at + 56, header->file_ordinal);
    big_endian_store32(at + 64, header->file_position);
    big_endian_store32(at + 68, header->bytes);
    big_endian_store32(at + 72, header->entries_count);
    big_endian_store32(at + 76, header->entries_crc);
    memset(at + 80, 0, COMMIT_HEADER_BYTES - 80);
    big_endian_store32(at + COMMIT_AT_CRC, header_crc(at));
}

static bool header_is_sane(const struct commit_header *header)
{
    return header->bytes >= COMMIT_HEADER_BYTES && header->bytes <= COMMIT_BYTES_MAX &&
           header->file_position % JOURNAL_BLOCK_BYTES == 0 && header->sequence > 0 &&
           header->flushed < header->sequence && header->oldest_live <= header->sequence &&
           header->entries_count <= (header->bytes - COMMIT_HEADER_BYTES) / ENTRY_HEADER_BYTES;
}

enum commit_found commit_header_decode(struct commit_header *header, uint64_t salt,
                                       const void *from)
{
    const uint8_t *bytes = from;
    struct cursor cursor;
    cursor_init(&cursor, from, COMMIT_HEADER_BYTES);
    const uint8_t *magic = cursor_take(&cursor, sizeof(commit_magic));
    if (memcmp(magic, commit_magic, sizeof(commit_magic)) != 0 ||
        (uint64_t)cursor_int64(&cursor) != salt) {
        return COMMIT_NONE;
    }
    uint32_t version = cursor_uint32(&cursor);
    if (cursor_uint32(&cursor) != header_crc(bytes)) {
        return COMMIT_NONE;
    }
    if (version != JOURNAL_VERSION) {
        return COMMIT_NEWER;
    }
    struct commit_header found = {
        .start = cursor_uint32(&cursor),
        .core = cursor_uint32(&cursor),
        .sequence = (uint64_t)cursor_int64(&cursor),
        .oldest_live = (uint64_t)cursor_int64(&cursor),
        .flushed = (uint64_t)cursor_int64(&cursor),
        .file_ordinal = (uint64_t)cursor_int64(&cursor),
        .file_position = cursor_uint32(&cursor),
        .bytes = cursor_uint32(&cursor),
        .entries_count = cursor_uint32(&cursor),
        .entries_crc = cursor_uint32(&cursor),
    };
    if (!header_is_sane(&found)) {
        return COMMIT_NONE;
    }
    *header = found;
    return COMMIT_FOUND;
}

void entry_header_encode(const struct entry_header *header, void *to)
{
    uint8_t *at = to;
    big_endian_store32(at, header->type);
    big_endian_store32(at + 4, header->bytes);
    big_endian_store64(at + 8, header->log_id);
    big_endian_store64(at + 16, header->log_sequence);
    big_endian_store64(at + 24, (uint64_t)header->segment_base);
    big_endian_store32(at + 32, header->position);
    big_endian_store32(at + 36, header->rest_bytes);
}

bool entry_header_decode(struct entry_header *header, const void *from, size_t bytes_left)
{
    struct cursor cursor;
    cursor_init(&cursor, from, bytes_left < ENTRY_HEADER_BYTES ? bytes_left : ENTRY_HEADER_BYTES);
    header->type = (enum entry_type)cursor_uint32(&cursor);
    header->bytes = cursor_uint32(&cursor);
    header->log_id = (uint64_t)cursor_int64(&cursor);
    header->log_sequence = (uint64_t)cursor_int64(&cursor);
    header->segment_base = cursor_int64(&cursor);
    header->position = cursor_uint32(&cursor);
    header->rest_bytes = cursor_uint32(&cursor);
    if (!cursor_is_done(&cursor) || header->bytes > bytes_left - ENTRY_HEADER_BYTES) {
        return false;
    }
    if (header->type == ENTRY_STATE) {
        return true;
    }
    return header->type == ENTRY_DATA && header->rest_bytes <= header->bytes &&
           header->segment_base >= 0 && header->position <= UINT32_MAX - header->bytes;
}

void journal_name_write(const struct journal_name *name, char text[JOURNAL_NAME_BYTES])
{
    int bytes = snprintf(text, JOURNAL_NAME_BYTES, "odradek-%u-%u-%u.journal", name->start,
                         name->core, name->slot);
    assert(bytes > 0 && bytes < JOURNAL_NAME_BYTES);
}

/* Decimal, as we write it: no sign, no leading zero, within 32 bits. */
static bool parse_number(const char **text, uint32_t *number)
{
    const char *at = *text;
    uint64_t value = 0;
    while (*at >= '0' && *at <= '9' && value <= UINT32_MAX) {
        value = value * 10 + (uint64_t)(*at++ - '0');
    }
    if (at == *text || value > UINT32_MAX || (**text == '0' && at > *text + 1)) {
        return false;
    }
    *text = at;
    *number = (uint32_t)value;
    return true;
}

static bool parse_literal(const char **text, const char *literal)
{
    size_t bytes = strlen(literal);
    if (strncmp(*text, literal, bytes) != 0) {
        return false;
    }
    *text += bytes;
    return true;
}

bool journal_name_parse(struct journal_name *name, const char *text)
{
    return parse_literal(&text, "odradek-") && parse_number(&text, &name->start) &&
           parse_literal(&text, "-") && parse_number(&text, &name->core) &&
           parse_literal(&text, "-") && parse_number(&text, &name->slot) &&
           parse_literal(&text, ".journal") && *text == '\0';
}
