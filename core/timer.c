#include "core/timer.h"

#include "core/reactor.h"

#include <assert.h>
#include <string.h>

enum { LEVEL_BITS = 6 };
static_assert(1 << LEVEL_BITS == TIMER_SLOTS, "a level is one digit of the tick");
static_assert(UINT64_MAX / TIMER_TICK_US < 1ull << (TIMER_LEVELS * LEVEL_BITS - 1),
              "every tick that microseconds can make has a level");

static uint32_t slot_of(uint64_t tick, uint32_t level)
{
    return tick >> (level * LEVEL_BITS) & (TIMER_SLOTS - 1);
}

static void list_push(struct timer **list, struct timer *timer)
{
    timer->next = *list;
    timer->link = list;
    if (timer->next) {
        timer->next->link = &timer->next;
    }
    *list = timer;
}

static void list_remove(struct timer *timer)
{
    *timer->link = timer->next;
    if (timer->next) {
        timer->next->link = timer->link;
    }
    timer->next = NULL;
    timer->link = NULL;
}

static void timers_place(struct timers *timers, struct timer *timer)
{
    uint64_t differs = timer->tick ^ timers->tick;
    uint32_t level = differs ? (63 - __builtin_clzll(differs)) / LEVEL_BITS : 0;
    uint32_t slot = slot_of(timer->tick, level);
    list_push(&timers->slots[level][slot], timer);
    timers->occupied[level] |= 1ull << slot;
}

/* The first slot that holds anything, and the tick at which it comes up. */
static bool timers_next(const struct timers *timers, uint32_t *level, uint32_t *slot,
                        uint64_t *tick)
{
    for (uint32_t l = 0; l < TIMER_LEVELS; l++) {
        if (timers->occupied[l]) {
            *level = l;
            *slot = __builtin_ctzll(timers->occupied[l]);
            uint32_t shift = l * LEVEL_BITS;
            uint64_t above = timers->tick >> (shift + LEVEL_BITS);
            *tick = above << (shift + LEVEL_BITS) | (uint64_t)*slot << shift;
            return true;
        }
    }
    return false;
}

void timer_start(struct reactor *reactor, struct timer *timer, uint64_t delay_us, op_fn *then)
{
    timer_cancel(reactor, timer);
    timer->op.then = then;
    timer->op.waits_for = "timer";
    timer->op.result = 0;

    struct timers *timers = &reactor->timers;
    uint64_t deadline_us;
    if (__builtin_add_overflow(reactor->now_us, delay_us, &deadline_us)) {
        deadline_us = UINT64_MAX;
    }
    timer->tick = deadline_us / TIMER_TICK_US + (deadline_us % TIMER_TICK_US != 0);
    if (timer->tick < timers->tick) {
        timer->tick = timers->tick;
    }
    timers_place(timers, timer);
}

void timer_cancel(struct reactor *reactor, struct timer *timer)
{
    if (!timer->link) {
        return;
    }
    struct timers *timers = &reactor->timers;
    struct timer **list = timer->link;
    list_remove(timer);

    /* The bit of a slot that became empty; a list that timers_run collected lies outside. */
    size_t position = (uintptr_t)list - (uintptr_t)timers->slots;
    if (position < sizeof(timers->slots) && !*list) {
        size_t place = position / sizeof(timers->slots[0][0]);
        timers->occupied[place / TIMER_SLOTS] &= ~(1ull << place % TIMER_SLOTS);
    }
}

bool timer_is_running(const struct timer *timer)
{
    return timer->link != NULL;
}

void timers_init(struct timers *timers, uint64_t now_us)
{
    memset(timers, 0, sizeof(*timers));
    timers->tick = now_us / TIMER_TICK_US;
}

uint32_t timers_run(struct timers *timers, uint64_t now_us)
{
    uint64_t now_tick = now_us / TIMER_TICK_US;
    struct timer *due = NULL; /* collected first: what they start does not prolong this call */
    struct timer **due_end = &due;
    uint32_t level, slot;
    uint64_t tick;
    while (timers_next(timers, &level, &slot, &tick) && tick <= now_tick) {
        timers->tick = tick;
        timers->occupied[level] &= ~(1ull << slot);
        while (timers->slots[level][slot]) {
            struct timer *timer = timers->slots[level][slot];
            list_remove(timer);
            if (level > 0) {
                timers_place(timers, timer);
            } else {
                list_push(due_end, timer);
                due_end = &timer->next;
            }
        }
    }
    if (now_tick > timers->tick) {
        timers->tick = now_tick;
    }

    uint32_t count = 0;
    while (due) {
        struct timer *timer = due;
        list_remove(timer);
        timer->op.then(&timer->op);
        count++;
    }
    return count;
}

uint64_t timers_next_us(const struct timers *timers)
{
    uint32_t level, slot;
    uint64_t tick;
    return timers_next(timers, &level, &slot, &tick) ? tick * TIMER_TICK_US : UINT64_MAX;
}
