/*
 * sender -- a client that appends to all partitions of some topics, and sends again what was not
 * acknowledged.
 *
 *      stream: one partition      | 4 | 5 | 6 |  window: not acknowledged, in order
 *                                   ^on_way^     sent on this connection
 *
 * At most five requests are on their way, each with at most one batch of a stream. A batch that is
 * refused, for now, halts its stream until what follows it on the way is home too; then it goes on
 * from the first of the window. So it is also after a connection has broken.
 */
#ifndef TESTS_SIM_SENDER_H
#define TESTS_SIM_SENDER_H

#include "tests/sim/client.h"

enum { SENDER_WINDOW = 5, SENDER_STREAMS_MAX = NAMES_MAX * BOOK_PARTITIONS_MAX };

struct sender_stream {
    struct book_line *line;
    uint32_t window[SENDER_WINDOW]; /* batches, by their number in the book */
    uint32_t count;
    uint32_t on_way; /* of the window, from its start */
    bool halted;
    int32_t next_sequence;
    bool is_known;     /* something of it was acknowledged lately */
    uint64_t again_us; /* after a refusal: not before */
};

struct sender {
    struct client client;
    uint32_t writer;
    int16_t acks;
    int64_t id; /* -1: none yet, or none at all */
    int16_t epoch;
    uint32_t left; /* batches to go */
    uint32_t names[NAMES_MAX];
    uint32_t names_count;
    bool asks; /* for its topics, before it goes on */
    struct sender_stream streams[SENDER_STREAMS_MAX];
    uint32_t streams_count;
    struct sender_request { /* on its way */
        struct {
            struct book_line *line;
            uint32_t batch;
        } parts[SENDER_STREAMS_MAX];
        uint32_t parts_count;
        bool by_id;
    } requests[SENDER_WINDOW];
    uint32_t requests_first, requests_count;
    bool waits; /* for a reply other than Produce's */
};

void sender_init(struct sender *sender, struct world *world, uint32_t writer);
void sender_start(struct sender *sender, uint32_t batches);
bool sender_is_done(const struct sender *sender);

#endif
