#include "core/op.h"

#include <criterion/criterion.h>

Test(op, queue_gives_back_in_order)
{
    struct op ops[3];
    struct op_queue queue = {0};
    cr_assert(op_queue_is_empty(&queue));
    cr_assert_null(op_queue_pop(&queue));
    op_queue_push(&queue, &ops[0]);
    op_queue_push(&queue, &ops[1]);
    cr_assert_eq(op_queue_pop(&queue), &ops[0]);
    cr_assert_null(ops[0].next, "it may be pushed elsewhere at once");
    op_queue_push(&queue, &ops[2]);
    op_queue_push(&queue, &ops[0]);
    cr_assert_eq(op_queue_pop(&queue), &ops[1]);
    cr_assert_eq(op_queue_pop(&queue), &ops[2]);
    cr_assert_eq(op_queue_pop(&queue), &ops[0]);
    cr_assert(op_queue_is_empty(&queue));
    op_queue_push(&queue, &ops[1]);
    cr_assert_eq(op_queue_pop(&queue), &ops[1]);
}

Test(op, queue_takes_all_of_another)
{
    struct op ops[3];
    struct op_queue queue = {0}, other = {0};
    op_queue_move(&queue, &other);
    cr_assert(op_queue_is_empty(&queue));
    op_queue_push(&other, &ops[0]);
    op_queue_move(&queue, &other);
    cr_assert(op_queue_is_empty(&other));
    op_queue_push(&other, &ops[1]);
    op_queue_push(&other, &ops[2]);
    op_queue_move(&queue, &other);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(op_queue_pop(&queue), &ops[i]);
    }
    cr_assert(op_queue_is_empty(&queue) && op_queue_is_empty(&other));
}

Test(op, is_found_in_the_struct_that_waits)
{
    struct waiting {
        int first;
        struct op op;
    } waiting;
    cr_assert_eq(container_of(&waiting.op, struct waiting, op), &waiting);
}
