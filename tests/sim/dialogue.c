#include "tests/sim/dialogue.h"

#include "tests/sim/process_memory.h"

#include "net/codec/header.h"

#include <errno.h>

enum { REQUEST_BYTES_MAX = 8 << 20, ARENA_BYTES_MAX = 8 << 20, REPLY_BYTES_MAX = 64 << 20 };

static void client_arrived(struct sim_client *client, const uint8_t *data, size_t bytes);
static void client_closed(struct sim_client *client, int error);

void dialogue_init(struct dialogue *dialogue, void (*broken)(struct dialogue *dialogue, int error),
                   void *context)
{
    *dialogue = (struct dialogue){
        .broken = broken,
        .context = context,
        .client = {.arrived = client_arrived, .closed = client_closed},
    };
    memory_init_heap(&dialogue->memory);
    writer_init(&dialogue->writer, &dialogue->memory, REQUEST_BYTES_MAX);
    arena_init(&dialogue->arena, &dialogue->memory, ARENA_BYTES_MAX);
}

static void forget(struct dialogue *dialogue)
{
    dialogue->input_bytes = 0;
    dialogue->open_first = dialogue->open_count = 0;
}

void dialogue_deinit(struct dialogue *dialogue)
{
    dialogue_reset(dialogue);
    writer_give_all(&dialogue->writer);
    arena_give_all(&dialogue->arena);
    if (dialogue->input) {
        sim_give(&memory_of_simulators, dialogue->input);
    }
    dialogue->input = NULL;
}

void dialogue_connect(struct dialogue *dialogue, struct sim *sim, struct sim_node *node,
                      uint16_t port)
{
    assert(!dialogue_is_open(dialogue));
    forget(dialogue);
    sim_connect(sim, node, port, &dialogue->client);
}

bool dialogue_is_open(const struct dialogue *dialogue)
{
    return dialogue->client.connection != NULL;
}

void dialogue_reset(struct dialogue *dialogue)
{
    sim_client_reset(&dialogue->client);
    forget(dialogue);
}

/* -- asking ------------------------------------------------------------------------------------ */

struct writer *dialogue_begin(struct dialogue *dialogue, int16_t key, int16_t version)
{
    const struct api *api = api_find(key);
    struct request_header header;
    request_header_init(&header);
    header.request_api_key = key;
    header.request_api_version = version;
    header.correlation_id = ++dialogue->correlation_id;
    header.client_id = view_of_text("dialogue");
    dialogue->key = key;
    dialogue->version = version;
    writer_give_all(&dialogue->writer);
    writer_int32(&dialogue->writer, 0); /* how many bytes follow: known at the end */
    request_header_encode(&header, &dialogue->writer, api_request_header_version(api, version));
    return &dialogue->writer;
}

void dialogue_end(struct dialogue *dialogue, dialogue_fn *replied)
{
    bool good = writer_finish(&dialogue->writer);
    assert(good);
    size_t bytes = writer_position(&dialogue->writer);
    uint8_t *frame = sim_take(&memory_of_simulators, bytes);
    writer_join(&dialogue->writer, frame);
    big_endian_store32(frame, (uint32_t)(bytes - 4));
    if (replied) {
        assert(dialogue->open_count < DIALOGUE_OPEN_MAX);
        uint32_t at = (dialogue->open_first + dialogue->open_count++) % DIALOGUE_OPEN_MAX;
        dialogue->open[at].replied = replied;
        dialogue->open[at].key = dialogue->key;
        dialogue->open[at].version = dialogue->version;
        dialogue->open[at].correlation_id = dialogue->correlation_id;
    }
    sim_client_send(&dialogue->client, frame, bytes);
    sim_give(&memory_of_simulators, frame);
}

/* -- being answered ---------------------------------------------------------------------------- */

struct arena *dialogue_arena(struct dialogue *dialogue)
{
    return &dialogue->arena;
}

/* One whole reply, without its size. */
static void reply_read(struct dialogue *dialogue, const uint8_t *frame, uint32_t bytes)
{
    struct cursor cursor;
    struct response_header header;
    if (dialogue->open_count == 0) {
        dialogue->problem = "a reply to nothing";
        return;
    }
    uint32_t at = dialogue->open_first;
    const struct api *api = api_find(dialogue->open[at].key);
    int16_t version = dialogue->open[at].version;
    cursor_init(&cursor, frame, bytes);
    if (!response_header_decode(&header, &cursor, api_response_header_version(api, version),
                                &dialogue->arena) ||
        header.correlation_id != dialogue->open[at].correlation_id) {
        dialogue->problem = "a reply that belongs to another request";
        return;
    }
    dialogue->open_first = (at + 1) % DIALOGUE_OPEN_MAX;
    dialogue->open_count--;
    dialogue->replies++;
    dialogue->open[at].replied(dialogue, &cursor, version);
    arena_give_all(&dialogue->arena);
}

static void client_arrived(struct sim_client *client, const uint8_t *data, size_t bytes)
{
    struct dialogue *dialogue = container_of(client, struct dialogue, client);
    dialogue->input = sim_room(&memory_of_simulators, dialogue->input, &dialogue->input_capacity,
                               dialogue->input_bytes + (uint32_t)bytes, 1);
    memcpy(dialogue->input + dialogue->input_bytes, data, bytes);
    dialogue->input_bytes += (uint32_t)bytes;
    while (dialogue->input_bytes >= 4 && !dialogue->problem && dialogue_is_open(dialogue)) {
        uint32_t frame_bytes = big_endian_load32(dialogue->input);
        if (frame_bytes > REPLY_BYTES_MAX) {
            dialogue->problem = "a reply of impossible size";
            return;
        }
        if (dialogue->input_bytes - 4 < frame_bytes) {
            return;
        }
        uint8_t *frame = sim_take(&memory_of_simulators, frame_bytes + 1);
        memcpy(frame, dialogue->input + 4, frame_bytes);
        dialogue->input_bytes -= 4 + frame_bytes;
        memmove(dialogue->input, dialogue->input + 4 + frame_bytes, dialogue->input_bytes);
        reply_read(dialogue, frame, frame_bytes);
        sim_give(&memory_of_simulators, frame);
    }
}

static void client_closed(struct sim_client *client, int error)
{
    struct dialogue *dialogue = container_of(client, struct dialogue, client);
    sim_client_reset(client);
    forget(dialogue);
    dialogue->broken(dialogue, error);
}
