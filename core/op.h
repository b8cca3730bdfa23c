/*
 * op -- something begun now that ends later.
 *
 * An op is embedded in the struct that waits, so that starting one allocates nothing. `then` runs
 * exactly once, on the reactor that began the op, never inside the call that began it. Until then
 * the struct stays where it is and belongs to whoever holds the op.
 */
#ifndef CORE_OP_H
#define CORE_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct op;
typedef void op_fn(struct op *op);

struct op {
    op_fn *then;           /* what happens next */
    struct op *next;       /* link for whoever holds the op */
    const char *waits_for; /* "disk", "mailbox": what a report on a stuck request prints */
    int64_t result;        /* >= 0, or -errno; whoever starts the op says of what */
};

/* First in, first out; linked through op->next. */
struct op_queue {
    struct op *head;
    struct op *tail;
};

static inline void op_queue_push(struct op_queue *queue, struct op *op)
{
    op->next = NULL;
    if (queue->tail) {
        queue->tail->next = op;
    } else {
        queue->head = op;
    }
    queue->tail = op;
}

static inline struct op *op_queue_pop(struct op_queue *queue)
{
    struct op *op = queue->head;
    if (op) {
        queue->head = op->next;
        if (!queue->head) {
            queue->tail = NULL;
        }
        op->next = NULL;
    }
    return op;
}

/* All of `from`, in their order, behind what is in `to`. */
static inline void op_queue_move(struct op_queue *to, struct op_queue *from)
{
    if (!from->head) {
        return;
    }
    if (to->tail) {
        to->tail->next = from->head;
    } else {
        to->head = from->head;
    }
    to->tail = from->tail;
    *from = (struct op_queue){0};
}

static inline bool op_queue_is_empty(const struct op_queue *queue)
{
    return queue->head == NULL;
}

/* The struct that embeds `member`. */
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
