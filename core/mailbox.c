#include "core/mailbox.h"

static_assert((MAILBOX_SLOTS & (MAILBOX_SLOTS - 1)) == 0, "counters wrap at a multiple of it");

/* The counters only grow; how many ops lie between them is their difference, also past the wrap. */

bool mailbox_push(struct mailbox *mailbox, struct op *op)
{
    uint32_t written = atomic_load_explicit(&mailbox->written, memory_order_relaxed);
    uint32_t read = atomic_load_explicit(&mailbox->read, memory_order_acquire);
    if (written - read == MAILBOX_SLOTS) {
        return false;
    }
    mailbox->slots[written % MAILBOX_SLOTS] = op;
    atomic_store_explicit(&mailbox->written, written + 1, memory_order_release);
    return true;
}

uint32_t mailbox_drain(struct mailbox *mailbox, struct op **ops, uint32_t max)
{
    uint32_t read = atomic_load_explicit(&mailbox->read, memory_order_relaxed);
    uint32_t written = atomic_load_explicit(&mailbox->written, memory_order_acquire);
    uint32_t count = written - read;
    if (count > max) {
        count = max;
    }
    for (uint32_t i = 0; i < count; i++) {
        ops[i] = mailbox->slots[(read + i) % MAILBOX_SLOTS];
    }
    atomic_store_explicit(&mailbox->read, read + count, memory_order_release);
    return count;
}
