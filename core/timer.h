/*
 * timer -- a hierarchical wheel of deadlines in ticks of 1 ms.
 *
 *      level 0   [64 slots of 1 tick]            the slot that a deadline's lowest 6 bits name
 *      level 1   [64 slots of 64 ticks]          the next 6 bits; spread over level 0 when reached
 *      ...
 *      level 9   what is left of the 55 bits that microseconds in 64 bits can make
 *
 * A timer lies on the level of the highest bit in which its tick differs from the wheel's. So the
 * lowest level that holds anything holds what comes next, and nothing is ever too far away.
 *
 * Starting and cancelling cost O(1). A timer fires on the first turn at or after its deadline,
 * rounded up to the tick; those of one tick fire in no promised order. timer_cancel takes the op
 * back: its `then` does not run, also when it was about to in this very turn.
 * Lives on one reactor.
 */
#ifndef CORE_TIMER_H
#define CORE_TIMER_H

#include "core/op.h"

struct reactor;

struct timer { /* starts zeroed */
    struct op op;

    /* timer.c only */
    uint64_t tick;
    struct timer *next, **link; /* link is NULL while the timer is not running */
};

enum { TIMER_LEVELS = 10, TIMER_SLOTS = 64, TIMER_TICK_US = 1000 };

struct timers {    /* timer.c only */
    uint64_t tick; /* what is due up to here has fired */
    uint64_t occupied[TIMER_LEVELS];
    struct timer *slots[TIMER_LEVELS][TIMER_SLOTS];
};

/* Starts, or moves a running timer. op.result is 0. */
void timer_start(struct reactor *reactor, struct timer *timer, uint64_t delay_us, op_fn *then);
void timer_cancel(struct reactor *reactor, struct timer *timer); /* allowed when not running */
bool timer_is_running(const struct timer *timer);

/* For the reactor's loop. timers_run fires what is due, how many; what is started meanwhile waits
 * for the next call. timers_next_us: when to call it again (UINT64_MAX: no timer runs); for a far
 * deadline this is when a level spreads, a few times before anything fires. */
void timers_init(struct timers *timers, uint64_t now_us);
uint32_t timers_run(struct timers *timers, uint64_t now_us);
uint64_t timers_next_us(const struct timers *timers);

#endif
