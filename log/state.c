#include "log/state.h"

#include "core/big_endian.h"
#include "core/cursor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    STATE_VERSION = 2,
    STATE_DROPPED = 1,  /* flags */
    STATE_SNAPSHOT = 2, /* the basis is a file */
    EPOCH_BYTES = 12,
    /* version, flags, topic id, partition, data_from, segment base, position, placed, uncut base,
     * log start, log end, high watermark, max timestamp, its offset, two index lengths; of the
     * basis its offset, segment and position; then three lengths */
    FIXED_BYTES = 2 + 2 + 16 + 4 + 8 + 8 + 4 + 4 + 8 * 6 + 4 + 4 + 8 + 8 + 4,
    LENGTHS_BYTES = 2 + 4 + 4,
};

bool state_name_is_good(const char *name)
{
    size_t bytes = strlen(name);
    const char *dash = strrchr(name, '-');
    if (bytes > LOG_NAME_BYTES_MAX || !dash || dash == name || dash[1] == '\0' ||
        strspn(dash + 1, "0123456789") != strlen(dash + 1)) {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
           bytes;
}

static_assert(STATE_BYTES_MAX == FIXED_BYTES + LENGTHS_BYTES + LOG_NAME_BYTES_MAX +
                                     EPOCHS_MAX * EPOCH_BYTES + STATE_PRODUCERS_BYTES_MAX,
              "the sum of the parts");

static size_t producers_bytes(const struct log_state *state)
{
    return state->basis.is_file   ? 0
           : state->basis.encoded ? state->basis.encoded_bytes
                                  : producers_encoded_bytes(&state->producers);
}

uint32_t state_bytes(const struct log_state *state)
{
    size_t bytes = FIXED_BYTES + LENGTHS_BYTES + strlen(state->name) +
                   (size_t)state->epochs.count * EPOCH_BYTES + producers_bytes(state);
    assert(bytes <= STATE_BYTES_MAX);
    return (uint32_t)bytes;
}

static uint8_t *put16(uint8_t *at, uint16_t value)
{
    big_endian_store16(at, value);
    return at + sizeof(value);
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
    big_endian_store32(at, value);
    return at + sizeof(value);
}

static uint8_t *put64(uint8_t *at, uint64_t value)
{
    big_endian_store64(at, value);
    return at + sizeof(value);
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t count)
{
    memcpy(at, bytes, count);
    return at + count;
}

void state_encode(const struct log_state *state, void *buffer)
{
    assert(state_name_is_good(state->name));
    uint8_t *at = buffer;
    at = put16(at, STATE_VERSION);
    const struct producers_basis *basis = &state->basis;
    bool is_own = !basis->is_file && !basis->encoded;
    at = put16(at, (state->dropped ? STATE_DROPPED : 0) | (basis->is_file ? STATE_SNAPSHOT : 0));
    at = put_bytes(at, state->topic_id, sizeof(state->topic_id));
    at = put32(at, (uint32_t)state->partition);
    at = put64(at, state->data_from);
    at = put64(at, (uint64_t)state->segment_base);
    at = put32(at, state->position);
    at = put32(at, state->placed);
    at = put64(at, (uint64_t)state->uncut_base);
    at = put64(at, (uint64_t)state->log_start);
    at = put64(at, (uint64_t)state->log_end);
    at = put64(at, (uint64_t)state->high_watermark);
    at = put64(at, (uint64_t)state->max_timestamp);
    at = put64(at, (uint64_t)state->max_timestamp_offset);
    at = put32(at, state->index_bytes);
    at = put32(at, state->time_index_bytes);
    at = put64(at, (uint64_t)(is_own ? state->log_end : basis->offset));
    at = put64(at, (uint64_t)(is_own ? state->segment_base : basis->segment_base));
    at = put32(at, is_own ? state->position : basis->position);
    size_t name_bytes = strlen(state->name);
    at = put16(at, (uint16_t)name_bytes);
    at = put_bytes(at, state->name, name_bytes);
    at = put32(at, state->epochs.count);
    for (uint32_t i = 0; i < state->epochs.count; i++) {
        at = put32(at, (uint32_t)state->epochs.starts[i].epoch);
        at = put64(at, (uint64_t)state->epochs.starts[i].start_offset);
    }
    at = put32(at, (uint32_t)producers_bytes(state));
    if (basis->encoded) {
        memcpy(at, basis->encoded, basis->encoded_bytes);
    } else if (is_own) {
        producers_encode(&state->producers, at);
    }
    assert(at + producers_bytes(state) == (uint8_t *)buffer + state_bytes(state));
}

static void read_fixed(struct log_state *state, struct cursor *cursor)
{
    const uint8_t *topic_id = cursor_take(cursor, sizeof(state->topic_id));
    if (topic_id) {
        memcpy(state->topic_id, topic_id, sizeof(state->topic_id));
    }
    state->partition = cursor_int32(cursor);
    state->data_from = (uint64_t)cursor_int64(cursor);
    state->segment_base = cursor_int64(cursor);
    state->position = cursor_uint32(cursor);
    state->placed = cursor_uint32(cursor);
    state->uncut_base = cursor_int64(cursor);
    state->log_start = cursor_int64(cursor);
    state->log_end = cursor_int64(cursor);
    state->high_watermark = cursor_int64(cursor);
    state->max_timestamp = cursor_int64(cursor);
    state->max_timestamp_offset = cursor_int64(cursor);
    state->index_bytes = cursor_uint32(cursor);
    state->time_index_bytes = cursor_uint32(cursor);
    state->basis.offset = cursor_int64(cursor);
    state->basis.segment_base = cursor_int64(cursor);
    state->basis.position = cursor_uint32(cursor);
    uint16_t name_bytes = cursor_uint16(cursor);
    const uint8_t *name = cursor_take(cursor, name_bytes);
    if (name && name_bytes <= LOG_NAME_BYTES_MAX) {
        memcpy(state->name, name, name_bytes);
    }
}

static bool fixed_is_sane(const struct log_state *state)
{
    return state_name_is_good(state->name) && state->partition >= 0 && state->segment_base >= 0 &&
           state->position <= INT32_MAX && state->placed >= state->position &&
           state->placed <= INT32_MAX && state->uncut_base >= 0 &&
           state->uncut_base <= state->segment_base && state->log_start >= 0 &&
           state->log_start <= state->log_end && state->segment_base <= state->log_end &&
           state->high_watermark <= state->log_end && state->basis.segment_base >= 0 &&
           state->basis.segment_base <= state->basis.offset &&
           state->basis.segment_base <= state->segment_base &&
           state->basis.offset <= state->log_end && state->basis.position <= INT32_MAX;
}

static int read_epochs(struct log_state *state, struct cursor *cursor)
{
    int32_t count = cursor_count(cursor, EPOCH_BYTES);
    for (int32_t i = 0; i < count; i++) {
        int32_t epoch = cursor_int32(cursor);
        int64_t start_offset = cursor_int64(cursor);
        const struct epochs *epochs = &state->epochs;
        bool rises =
            epochs->count == 0 || (epoch > epochs->starts[epochs->count - 1].epoch &&
                                   start_offset > epochs->starts[epochs->count - 1].start_offset);
        if (epoch < 0 || start_offset < 0 || !rises) {
            return -EBADMSG;
        }
        int error = epochs_assign(&state->epochs, epoch, start_offset);
        if (error < 0) {
            return error;
        }
    }
    return 0;
}

static int read_producers(struct log_state *state, struct cursor *cursor)
{
    struct producers_basis *basis = &state->basis;
    uint32_t bytes = cursor_uint32(cursor);
    const uint8_t *from = cursor_take(cursor, bytes);
    if (!from || bytes > STATE_PRODUCERS_BYTES_MAX) {
        return -EBADMSG;
    }
    if (basis->is_file) {
        return bytes == 0 ? 0 : -EBADMSG;
    }
    basis->encoded = malloc(bytes + 1);
    if (!basis->encoded) {
        return -ENOMEM;
    }
    memcpy(basis->encoded, from, bytes);
    basis->encoded_bytes = bytes;
    int error = producers_decode(&state->producers, from, bytes);
    return !error && producers_count(&state->producers) > STATE_PRODUCERS_MAX ? -EBADMSG : error;
}

int state_decode(struct log_state *state, const void *bytes, uint32_t count)
{
    struct cursor cursor;
    cursor_init(&cursor, bytes, count);
    *state = (struct log_state){0};
    epochs_init(&state->epochs);
    producers_init(&state->producers, PRODUCERS_MAX);
    uint16_t version = cursor_uint16(&cursor);
    uint16_t flags = cursor_uint16(&cursor);
    if (version != STATE_VERSION || flags > (STATE_DROPPED | STATE_SNAPSHOT)) {
        return -EBADMSG;
    }
    state->dropped = flags & STATE_DROPPED;
    state->basis.is_file = flags & STATE_SNAPSHOT;
    read_fixed(state, &cursor);
    if (cursor.failed || !fixed_is_sane(state)) {
        return -EBADMSG;
    }
    int error = read_epochs(state, &cursor);
    if (!error) {
        error = read_producers(state, &cursor);
    }
    if (!error && !cursor_is_done(&cursor)) {
        error = -EBADMSG;
    }
    if (error) {
        state_deinit(state);
    }
    return error;
}

void state_deinit(struct log_state *state)
{
    epochs_deinit(&state->epochs);
    producers_deinit(&state->producers);
    free(state->basis.encoded);
    state->basis.encoded = NULL;
}
