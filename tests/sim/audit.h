/*
 * audit -- everything that a broker has, asked for over the wire and held against the book.
 *
 * What was acknowledged is there, where it was said to be; what is there was sent, in order; offsets
 * have no gaps; live topics are there and deleted ones are not. Nothing in the
 * book changes: the broker may run on an image of a disk.
 */
#ifndef TESTS_SIM_AUDIT_H
#define TESTS_SIM_AUDIT_H

#include "tests/sim/book.h"
#include "tests/sim/proof.h"

/* computer: a broker serves there. False, and the proof has failed, if anything is wrong. */
bool audit(struct proof *proof, struct computer *computer, struct book *book,
           struct sim_random *random, const char *when);

#endif
