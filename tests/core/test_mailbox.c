#include "core/mailbox.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* Threads are for tests/tsan; here is what one can see alone. */

static struct mailbox *mailbox_new(uint32_t counters)
{
    struct mailbox *mailbox = aligned_alloc(alignof(struct mailbox), sizeof(*mailbox));
    atomic_init(&mailbox->written, counters);
    atomic_init(&mailbox->read, counters);
    return mailbox;
}

Test(mailbox, keeps_order_also_where_its_counters_wrap)
{
    static struct op ops[10 * MAILBOX_SLOTS];
    struct mailbox *mailbox = mailbox_new(UINT32_MAX - 3 * MAILBOX_SLOTS);
    uint32_t pushed = 0, drained = 0, turn = 0;
    while (drained < 10 * MAILBOX_SLOTS) {
        for (uint32_t i = 0; i < turn % 100 && pushed < 10 * MAILBOX_SLOTS; i++) {
            bool full = pushed - drained == MAILBOX_SLOTS;
            cr_assert_neq(mailbox_push(mailbox, &ops[pushed]), full);
            pushed += full ? 0 : 1;
        }
        struct op *got[70];
        uint32_t count = mailbox_drain(mailbox, got, turn % 70);
        for (uint32_t i = 0; i < count; i++) {
            cr_assert_eq(got[i], &ops[drained + i]);
        }
        drained += count;
        turn++;
    }
    free(mailbox);
}

Test(mailbox, refuses_when_full_and_is_empty_when_drained)
{
    static struct op ops[MAILBOX_SLOTS + 1];
    struct mailbox *mailbox = mailbox_new(0);
    struct op *got[MAILBOX_SLOTS + 1];
    cr_assert_eq(mailbox_drain(mailbox, got, MAILBOX_SLOTS), 0);
    for (uint32_t i = 0; i < MAILBOX_SLOTS; i++) {
        cr_assert(mailbox_push(mailbox, &ops[i]));
    }
    cr_assert_not(mailbox_push(mailbox, &ops[MAILBOX_SLOTS]));
    cr_assert_eq(mailbox_drain(mailbox, got, MAILBOX_SLOTS + 1), MAILBOX_SLOTS);
    cr_assert_eq(mailbox_drain(mailbox, got, 1), 0);
    free(mailbox);
}
