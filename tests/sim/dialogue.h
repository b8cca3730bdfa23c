/*
 * dialogue -- a test's client that speaks Kafka's protocol over the simulated network.
 *
 *     struct writer *writer = dialogue_begin(dialogue, PRODUCE_KEY, 13);
 *     produce_request_encode(&request, writer, 13);
 *     dialogue_end(dialogue, replied);             -> replied(dialogue, &cursor) when it has come
 *
 * Replies come in the order of the requests. Bytes arrive as the network pleases.
 */
#ifndef TESTS_SIM_DIALOGUE_H
#define TESTS_SIM_DIALOGUE_H

#include "core/sim.h"
#include "net/api.h"

enum { DIALOGUE_OPEN_MAX = 64 /* requests without a reply */ };

struct dialogue;
typedef void dialogue_fn(struct dialogue *dialogue, struct cursor *body, int16_t version);

struct dialogue {
    /* The connection is gone; what was not answered never will be. */
    void (*broken)(struct dialogue *dialogue, int error);
    void *context; /* the owner's */
    uint64_t replies;
    const char *problem; /* a reply that cannot be */

    /* dialogue.c only */
    struct sim_client client;
    struct memory memory;
    struct writer writer;
    struct arena arena;
    struct {
        dialogue_fn *replied;
        int16_t key, version;
        int32_t correlation_id;
    } open[DIALOGUE_OPEN_MAX];
    uint32_t open_first, open_count;
    int32_t correlation_id;
    int16_t key, version; /* of the request being written */
    uint8_t *input;
    uint32_t input_bytes, input_capacity;
};

void dialogue_init(struct dialogue *dialogue, void (*broken)(struct dialogue *dialogue, int error),
                   void *context);
void dialogue_deinit(struct dialogue *dialogue);
void dialogue_connect(struct dialogue *dialogue, struct sim *sim, struct sim_node *node,
                      uint16_t port);
bool dialogue_is_open(const struct dialogue *dialogue);
void dialogue_reset(struct dialogue *dialogue); /* hang up; `broken` is not called */

/* replied: NULL for a request that has no reply (acks=0). */
struct writer *dialogue_begin(struct dialogue *dialogue, int16_t key, int16_t version);
void dialogue_end(struct dialogue *dialogue, dialogue_fn *replied);
/* For decoders, until `replied` returns. */
struct arena *dialogue_arena(struct dialogue *dialogue);

#endif
