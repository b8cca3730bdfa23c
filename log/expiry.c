#include "log/expiry.h"

#include "log/log.h"
#include "log/store.h"

enum {
    CHECK_US = 600 * 1000 * 1000, /* producer.id.expiration.check.interval.ms */
    PRESS_US = 1000 * 1000,       /* between two looks for memory */
    LOGS_PER_TURN = 64,
    PRODUCERS_PER_TURN = 256,
};

static void check_passed(struct op *op);
static void expiry_go_on(struct op *op);

void expiry_note(struct log *log)
{
    struct store *store = log->store;
    if (link_is_listed(&log->expiry_link) || producers_count(&log->producers) == 0) {
        return;
    }
    list_push(&store->expiring, &log->expiry_link);
    store->expiring_count++;
    if (!timer_is_running(&store->expiry_timer) && !store->stopping) {
        timer_start(store->reactor, &store->expiry_timer, CHECK_US, check_passed);
    }
}

/* Logs come to the list's end, so those that are left stand at its front. */
static void expiry_begin(struct store *store, bool is_pressed)
{
    store->is_expiry_pressed |= is_pressed;
    store->expiring_left = store->expiring_count; /* all, once more */
    if (!store->is_expiry_due) {
        store->is_expiry_due = true;
        reactor_background(store->reactor, &store->expiry_op, expiry_go_on);
    }
}

void expiry_press(struct log *log)
{
    struct store *store = log->store;
    struct reactor *reactor = store->reactor;
    uint64_t now_us = reactor_now_us(reactor);
    if (now_us - store->expiry_pressed_us < PRESS_US || store->stopping) {
        return;
    }
    store->expiry_pressed_us = now_us;
    report(reactor->reports, REPORT_WARN, reactor_wall_ms(reactor), "producers",
           "%s/%s: %u idempotent producers have written within %u s, and there is no memory for "
           "more (odradek.memory.bytes): new ones are told to try again later",
           store->options.directory, log->name, producers_count(&log->producers),
           (unsigned)PRODUCER_ACTIVE_S);
    const struct budget *budget = log->producers.charged;
    if (budget->bytes + PRODUCER_CHARGE_BYTES > budget->bytes_max) {
        expiry_begin(store, true); /* else it is this log's own limit, and others need not go */
    }
}

static void check_passed(struct op *op)
{
    expiry_begin(container_of(op, struct store, expiry_timer.op), false);
}

/* True: this log has been looked through. */
static bool expire_some(struct store *store, struct log *log, uint32_t *producers_left)
{
    struct producers *producers = &log->producers;
    if (log->are_producers_lent || log->is_preparing) { /* a job may read them */
        return true;
    }
    uint32_t before = producers_count(producers);
    bool is_done = true;
    producers->now_s = (uint32_t)(reactor_now_us(store->reactor) / 1000000);
    if (store->is_expiry_pressed) {
        is_done = producers_forget_idle(producers, *producers_left);
    } else if (store->options.producers_expire_ms > 0) {
        is_done = producers_expire(producers, reactor_wall_ms(store->reactor),
                                   store->options.producers_expire_ms, *producers_left);
    }
    uint32_t cost = is_done && before < *producers_left ? before : *producers_left;
    *producers_left -= cost;
    return is_done;
}

static void expiry_go_on(struct op *op)
{
    struct store *store = container_of(op, struct store, expiry_op);
    uint32_t producers_left = PRODUCERS_PER_TURN;
    store->is_expiry_due = false;
    for (int i = 0; i < LOGS_PER_TURN && producers_left > 0 && !store->stopping; i++) {
        struct link *link = list_first(&store->expiring);
        if (!link || store->expiring_left == 0) {
            break;
        }
        struct log *log = container_of(link, struct log, expiry_link);
        if (expire_some(store, log, &producers_left)) {
            store->expiring_left--;
            list_push(&store->expiring, link); /* behind those that are still to be looked at */
        }
    }
    if (store->stopping) {
        store_go_on(store);
    } else if (store->expiring_left > 0 && !list_is_empty(&store->expiring)) {
        store->is_expiry_due = true;
        reactor_background(store->reactor, &store->expiry_op, expiry_go_on);
    } else {
        store->is_expiry_pressed = false;
        if (!list_is_empty(&store->expiring) && !timer_is_running(&store->expiry_timer)) {
            timer_start(store->reactor, &store->expiry_timer, CHECK_US, check_passed);
        }
    }
}

void expiry_forget(struct log *log)
{
    if (link_is_listed(&log->expiry_link)) {
        link_remove(&log->expiry_link);
        log->store->expiring_count--;
    }
}

void expiry_stop(struct store *store)
{
    timer_cancel(store->reactor, &store->expiry_timer);
}
