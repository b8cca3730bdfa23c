/*
 * timer -- a hierarchical wheel of deadlines in ticks of 1 ms.
 *
 * Starting and cancelling cost O(1). A timer fires on the first turn at or after its deadline,
 * rounded up to the tick. timer_cancel takes the op back: its `then` does not run.
 * Lives on one reactor.
 */
#ifndef CORE_TIMER_H
#define CORE_TIMER_H

#include "core/op.h"

struct reactor;

struct timer {
    struct op op;
    /* timer.c only */
    uint64_t tick;
    struct timer *next, **link; /* link is NULL while the timer is not running */
};

enum { TIMER_LEVELS = 6, TIMER_SLOTS = 64 };

struct timers { /* timer.c only */
    uint64_t tick;
    uint64_t occupied[TIMER_LEVELS];
    struct timer *slots[TIMER_LEVELS][TIMER_SLOTS];
};

/* Starts, or moves a running timer. op.result is 0. */
void timer_start(struct reactor *reactor, struct timer *timer, uint64_t delay_us, op_fn *then);
void timer_cancel(struct reactor *reactor, struct timer *timer);
bool timer_is_running(const struct timer *timer);

/* For the reactor's loop: fire what is due, how many; when the next is due (UINT64_MAX: none). */
void timers_init(struct timers *timers, uint64_t now_us);
uint32_t timers_run(struct timers *timers, uint64_t now_us);
uint64_t timers_next_us(const struct timers *timers);

#endif
