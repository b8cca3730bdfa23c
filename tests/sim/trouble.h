/*
 * trouble -- what befalls the disk while a broker serves, and what may be refused meanwhile.
 *
 *      TROUBLE_OFFLINE    writes or flushes fail      anything is refused until the next start
 *      TROUBLE_METADATA   ... of the metadata log     the same: the directory is offline then
 *      TROUBLE_FULL       no room, then room again    appends and changes are, for a while
 *      TROUBLE_READS      a segment is hard to read   what was asked for is; at the next try it comes
 *
 * The last two pass: a life that has had them comes to its end like any other.
 */
#ifndef TESTS_SIM_TROUBLE_H
#define TESTS_SIM_TROUBLE_H

#include "tests/sim/client.h"

enum trouble_kind {
    TROUBLE_NONE,
    TROUBLE_OFFLINE,
    TROUBLE_METADATA,
    TROUBLE_FULL,
    TROUBLE_READS,
};

struct trouble {
    enum trouble_kind kind;
    struct world *world;

    /* trouble.c only */
    struct sim_event fills, empties;
    struct sim_inode *only; /* held */
};

void trouble_begin(struct trouble *trouble, struct world *world, enum trouble_kind kind);
/* The disk is well again. What the world may be refused stays as it was: answers are on their way. */
void trouble_end(struct trouble *trouble);

#endif
