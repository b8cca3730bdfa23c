#include "core/reactor.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* A reactor with a clock that the test turns by hand; nothing but timers is used of it. */
static struct reactor *reactor_new(uint64_t now_us)
{
    struct reactor *reactor = calloc(1, sizeof(*reactor));
    reactor->now_us = now_us;
    timers_init(&reactor->timers, now_us);
    return reactor;
}

static uint32_t advance(struct reactor *reactor, uint64_t us)
{
    reactor->now_us += us;
    return timers_run(&reactor->timers, reactor->now_us);
}

struct counter {
    struct timer timer;
    struct reactor *reactor;
    uint32_t fired;
    struct timer *other; /* cancelled when this fires */
};

static void count(struct op *op)
{
    struct counter *counter = container_of(op, struct counter, timer.op);
    counter->fired++;
    if (counter->other) {
        timer_cancel(counter->reactor, counter->other);
    }
}

static void count_and_restart(struct op *op)
{
    struct counter *counter = container_of(op, struct counter, timer.op);
    counter->fired++;
    timer_start(counter->reactor, &counter->timer, 0, count_and_restart);
}

Test(timer, fires_at_its_deadline_and_not_before)
{
    struct reactor *reactor = reactor_new(12345);
    struct counter counter = {0};
    timer_start(reactor, &counter.timer, 5000, count);
    cr_assert(timer_is_running(&counter.timer));
    cr_assert_eq(advance(reactor, 4999), 0);
    cr_assert_eq(advance(reactor, 1000), 1); /* rounded up to the tick */
    cr_assert_eq(counter.fired, 1);
    cr_assert_not(timer_is_running(&counter.timer));
    cr_assert_eq(timers_next_us(&reactor->timers), UINT64_MAX);
    free(reactor);
}

Test(timer, does_not_run_when_cancelled)
{
    struct reactor *reactor = reactor_new(0);
    struct counter counter = {0};
    timer_cancel(reactor, &counter.timer); /* not running: allowed */
    timer_start(reactor, &counter.timer, 5000, count);
    timer_cancel(reactor, &counter.timer);
    cr_assert_eq(timers_next_us(&reactor->timers), UINT64_MAX, "nothing to wake up for");
    cr_assert_eq(advance(reactor, 1000 * 1000), 0);
    cr_assert_eq(counter.fired, 0);
    free(reactor);
}

Test(timer, can_be_cancelled_by_one_that_fires_with_it)
{
    struct reactor *reactor = reactor_new(0);
    struct counter first = {.reactor = reactor}, second = {.reactor = reactor};
    first.other = &second.timer;
    second.other = &first.timer;
    timer_start(reactor, &first.timer, 1000, count);
    timer_start(reactor, &second.timer, 1000, count);
    cr_assert_eq(advance(reactor, 1000), 1, "whichever fires first takes the other back");
    cr_assert_eq(first.fired + second.fired, 1);
    free(reactor);
}

Test(timer, started_with_no_delay_waits_for_the_next_turn)
{
    struct reactor *reactor = reactor_new(7000);
    struct counter counter = {.reactor = reactor};
    timer_start(reactor, &counter.timer, 0, count_and_restart);
    for (uint32_t turn = 1; turn <= 10; turn++) {
        cr_assert_eq(advance(reactor, 0), 1);
        cr_assert_eq(counter.fired, turn);
    }
    free(reactor);
}

Test(timer, moves_when_started_again)
{
    struct reactor *reactor = reactor_new(0);
    struct counter counter = {0};
    timer_start(reactor, &counter.timer, 1000, count);
    timer_start(reactor, &counter.timer, 9000, count);
    cr_assert_eq(advance(reactor, 8000), 0);
    cr_assert_eq(advance(reactor, 1000), 1);
    free(reactor);
}

Test(timer, holds_deadlines_however_far_away)
{
    struct reactor *reactor = reactor_new(1ull << 40);
    struct counter soon = {0}, century = {0}, never = {0};
    uint64_t century_us = 100ull * 365 * 24 * 3600 * 1000 * 1000;
    timer_start(reactor, &never.timer, UINT64_MAX, count);
    timer_start(reactor, &century.timer, century_us, count);
    timer_start(reactor, &soon.timer, 1000, count);
    cr_assert_eq(advance(reactor, century_us - 1000), 1);
    cr_assert_eq(century.fired, 0);
    cr_assert_eq(advance(reactor, 2000), 1);
    cr_assert_eq(century.fired, 1);
    cr_assert_eq(advance(reactor, century_us), 0);
    cr_assert(timer_is_running(&never.timer));
    free(reactor);
}

/* -- against a plain array of deadlines ---------------------------------------------------------- */

enum { MODEL_TIMERS = 300, MODEL_STEPS = 20000 };

struct model_timer {
    struct timer timer;
    uint64_t deadline_us; /* UINT64_MAX: not running */
    bool fired;
};

static void model_fired(struct op *op)
{
    container_of(op, struct model_timer, timer.op)->fired = true;
}

static uint64_t model_delay(uint64_t random)
{
    return (random >> 8) % (1ull << (random % 36)); /* every magnitude is as likely */
}

static void model_advance(struct reactor *reactor, struct model_timer *model, uint64_t us)
{
    advance(reactor, us);
    for (uint32_t i = 0; i < MODEL_TIMERS; i++) {
        uint64_t tick_us =
            (model[i].deadline_us + TIMER_TICK_US - 1) / TIMER_TICK_US * TIMER_TICK_US;
        bool due = model[i].deadline_us != UINT64_MAX && tick_us <= reactor->now_us;
        cr_assert_eq(model[i].fired, due, "timer %u", i);
        if (due) {
            model[i].deadline_us = UINT64_MAX;
            model[i].fired = false;
        }
        cr_assert_eq(timer_is_running(&model[i].timer), model[i].deadline_us != UINT64_MAX);
    }
}

/* Never later than the first deadline, or the loop would sleep through it. */
static void model_check_next(struct reactor *reactor, const struct model_timer *model)
{
    uint64_t next_us = timers_next_us(&reactor->timers);
    bool any = false;
    for (uint32_t i = 0; i < MODEL_TIMERS; i++) {
        if (model[i].deadline_us != UINT64_MAX) {
            any = true;
            cr_assert_leq(next_us, model[i].deadline_us + TIMER_TICK_US);
        }
    }
    cr_assert_eq(any, next_us != UINT64_MAX);
}

Test(timer, agrees_with_a_plain_array_of_deadlines)
{
    static struct model_timer model[MODEL_TIMERS];
    for (uint32_t seed = 0; seed < 4; seed++) {
        struct reactor *reactor = reactor_new((uint64_t)seed << 36);
        reactor->random[0] = seed + 1;
        memset(model, 0, sizeof(model));
        for (uint32_t i = 0; i < MODEL_TIMERS; i++) {
            model[i].deadline_us = UINT64_MAX;
        }
        for (uint32_t step = 0; step < MODEL_STEPS / 4; step++) {
            struct model_timer *timer = &model[reactor_random(reactor) % MODEL_TIMERS];
            uint64_t delay_us = model_delay(reactor_random(reactor));
            switch (reactor_random(reactor) % 4) {
            case 0:
                model_advance(reactor, model, delay_us);
                break;
            case 1:
                timer_cancel(reactor, &timer->timer);
                timer->deadline_us = UINT64_MAX;
                break;
            default:
                timer_start(reactor, &timer->timer, delay_us, model_fired);
                timer->deadline_us = reactor->now_us + delay_us;
            }
            model_check_next(reactor, model);
        }
        free(reactor);
    }
}
