/*
 * consumer -- a client that reads all partitions of some topics as they grow, one Fetch after the
 * other.
 *
 * A Fetch waits at the broker until there is news: for so long that a scene would never end if a
 * wake-up were lost, or for a moment only. It has a session or not, by names or by ids.
 */
#ifndef TESTS_SIM_CONSUMER_H
#define TESTS_SIM_CONSUMER_H

#include "tests/sim/client.h"

enum { CONSUMER_READERS_MAX = NAMES_MAX * BOOK_PARTITIONS_MAX };

struct consumer {
    struct client client;
    uint32_t names[NAMES_MAX];
    uint32_t names_count;
    bool asks;  /* for its topics, before it goes on */
    bool waits; /* for any reply */
    bool lasting_only;
    bool uses_session;
    int32_t session_id, session_epoch; /* of the next request */
    int16_t version;                   /* of the Fetch on its way */
    struct consumer_part {
        struct book_reader reader;
        int64_t told_offset; /* in the session; -1: it is not in it */
        int32_t bytes_max;
    } parts[CONSUMER_READERS_MAX];
    uint32_t parts_count;
};

void consumer_init(struct consumer *consumer, struct world *world);
void consumer_start(struct consumer *consumer);
/* All that was acknowledged of its topics has been read. */
bool consumer_is_done(const struct consumer *consumer);

#endif
