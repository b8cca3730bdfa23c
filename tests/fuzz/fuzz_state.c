/*
 * state_decode: whatever it takes, it says again in the same bytes, but for epochs and producers,
 * of which it may keep fewer than a stranger claims.
 */
#include "log/state.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct log_state state, again;
    if (bytes > UINT32_MAX || state_decode(&state, data, (uint32_t)bytes) != 0) {
        return 0;
    }
    assert(state_name_is_good(state.name));
    assert(state.log_start <= state.log_end && state.uncut_base <= state.segment_base);
    uint32_t encoded_bytes = state_bytes(&state);
    uint8_t *encoded = malloc(encoded_bytes);
    state_encode(&state, encoded);
    int error = state_decode(&again, encoded, encoded_bytes);
    assert(error == 0);
    assert(again.log_end == state.log_end && again.position == state.position);
    assert(again.epochs.count == state.epochs.count);
    assert(again.producers.table.count == state.producers.table.count);
    state_deinit(&again);
    state_deinit(&state);
    free(encoded);
    return 0;
}
