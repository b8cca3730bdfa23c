/*
 * visitor -- clients that neither write nor read: one makes and deletes topics, one asks all kinds
 * of questions in all versions, and leaves in the middle of a sentence.
 */
#ifndef TESTS_SIM_VISITOR_H
#define TESTS_SIM_VISITOR_H

#include "tests/sim/client.h"

struct visitor {
    struct client client;
    uint32_t left; /* questions to go */
    bool waits;
    bool deletes;
    struct book_topic *topic; /* what the question is about */
    int64_t told_end;         /* of the line asked for, when it was asked */
    int32_t index;
    int64_t timestamp;
};

void visitor_init(struct visitor *visitor, struct world *world, bool deletes);
void visitor_start(struct visitor *visitor, uint32_t questions);
bool visitor_is_done(const struct visitor *visitor);

#endif
