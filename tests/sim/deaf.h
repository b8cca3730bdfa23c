/*
 * deaf -- a client that asks for records and for the topics, again and again, and never reads what
 * it is told. Whatever becomes of it, nobody else may notice.
 */
#ifndef TESTS_SIM_DEAF_H
#define TESTS_SIM_DEAF_H

#include "tests/sim/client.h"

struct deaf {
    struct world *world;
    struct dialogue dialogue;
    struct sim_event event;
};

void deaf_init(struct deaf *deaf, struct world *world);
void deaf_deinit(struct deaf *deaf);
void deaf_start(struct deaf *deaf);
/* It hangs up, for good. */
void deaf_rest(struct deaf *deaf);

#endif
