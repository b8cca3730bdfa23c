/*
 * mailbox -- ops on their way from one reactor to another.
 *
 *      reactor A                                reactor B
 *      spill list for B --> ring A->B  -------> "has mail" bit A set: drain in batches
 *                              \--- wake B if it sleeps (one for a batch)
 *
 * One bounded ring for each ordered pair: A writes, B reads. A full ring spills to a list at the
 * sender, which refills the ring on its next turn; nothing blocks, nothing is dropped, the order of
 * a pair is kept. The ring holds pointers: a message is the op embedded in its sender's object, and
 * comes home to be freed, so how many can exist is bounded by their owners.
 */
#ifndef CORE_MAILBOX_H
#define CORE_MAILBOX_H

#include "core/op.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>

enum { MAILBOX_SLOTS = 256 /* a turn's worth from one peer; beyond it the spill list serves */ };

struct mailbox {                          /* one ordered pair; lives at the reader */
    alignas(64) _Atomic uint32_t written; /* the writer's */
    alignas(64) _Atomic uint32_t read;    /* the reader's */
    alignas(64) struct op *slots[MAILBOX_SLOTS];
};

/* False: full, the caller keeps the op. Writer's thread. */
[[nodiscard]] bool mailbox_push(struct mailbox *mailbox, struct op *op);
/* Up to `max` ops in order; how many. Reader's thread. */
[[nodiscard]] uint32_t mailbox_drain(struct mailbox *mailbox, struct op **ops, uint32_t max);

enum { MAILROOM_REACTORS_MAX = 256, MAILROOM_WORDS = MAILROOM_REACTORS_MAX / 64 };

struct mailroom {             /* all mail of one reactor */
    struct mailbox *from;     /* [reactor count]: each has one writer, this reactor reads */
    struct op_queue *spilled; /* [reactor count]: what did not fit into that one's ring */
    uint64_t spilling[MAILROOM_WORDS]; /* reactors with a spill list that is not empty */
    uint64_t touched[MAILROOM_WORDS];  /* reactors written to in this turn: wake them */
    alignas(64) _Atomic uint64_t has_mail[MAILROOM_WORDS]; /* senders with something for us */
    alignas(64) _Atomic bool sleeping; /* set before the last look at has_mail */
};

#endif
