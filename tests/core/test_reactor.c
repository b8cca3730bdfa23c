#include "core/reactor.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Two reactors on a backend that has nothing to do, turned by hand in one thread. */

struct pair {
    struct reactor *peers[2];
    struct reactor left, right;
    uint64_t now_us;
    uint32_t wakes;
    uint64_t slept_us;
};

static struct pair *pair;

static uint32_t no_turn(struct reactor *reactor, uint64_t sleep_us)
{
    pair->slept_us = sleep_us;
    if (sleep_us && sleep_us != UINT64_MAX) {
        pair->now_us += sleep_us;
        reactor_awake(reactor);
    }
    return 0;
}

static void no_clock(struct reactor *reactor, uint64_t *now_us, int64_t *wall_ms)
{
    *now_us = pair->now_us;
    *wall_ms = pair->now_us / 1000;
}

static void count_wake(struct reactor *reactor, struct reactor *target)
{
    pair->wakes++;
}

static const struct backend nothing = {.turn = no_turn, .clock = no_clock, .wake = count_wake};

static void pair_init(void)
{
    pair = calloc(1, sizeof(*pair));
    pair->now_us = 1000 * 1000;
    cr_assert_eq(reactor_init(&pair->left, 0, 2, pair->peers, 1 << 20, 1, NULL), 0);
    cr_assert_eq(reactor_init(&pair->right, 1, 2, pair->peers, 1 << 20, 2, NULL), 0);
    reactor_attach(&pair->left, &nothing, NULL);
    reactor_attach(&pair->right, &nothing, NULL);
}

static void pair_deinit(void)
{
    reactor_deinit(&pair->left);
    reactor_deinit(&pair->right);
    free(pair);
}

TestSuite(reactor, .init = pair_init, .fini = pair_deinit);

struct step {
    struct op op;
    uint32_t number;
};

static uint32_t steps_run;
static uint32_t order[16];

static void step_run(struct op *op)
{
    order[steps_run++ % 16] = container_of(op, struct step, op)->number;
}

static void step_again(struct op *op)
{
    step_run(op);
    reactor_ready(&pair->left, op, step_again);
}

Test(reactor, runs_what_is_ready_in_order_and_its_successors_a_turn_later)
{
    struct step steps[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    reactor_ready(&pair->left, &steps[0].op, step_again);
    reactor_ready(&pair->left, &steps[1].op, step_run);
    cr_assert_eq(steps_run, 0, "never inside the call");
    reactor_turn(&pair->left, true);
    cr_assert_eq(steps_run, 2);
    cr_assert_eq(order[0], 1);
    cr_assert_eq(order[1], 2);
    cr_assert_eq(pair->slept_us, 0);
    reactor_turn(&pair->left, true);
    cr_assert_eq(steps_run, 3);
    cr_assert_eq(pair->slept_us, 0, "work is ready");
}

Test(reactor, always_runs_some_background_work_but_little_beside_requests)
{
    struct step busy = {.number = 1}, background[8];
    reactor_ready(&pair->left, &busy.op, step_run);
    for (uint32_t i = 0; i < 8; i++) {
        background[i].number = 10 + i;
        reactor_background(&pair->left, &background[i].op, step_run);
    }
    reactor_turn(&pair->left, true);
    cr_assert_eq(steps_run, 2);
    reactor_turn(&pair->left, true);
    cr_assert_eq(steps_run, 9);
}

Test(reactor, delivers_in_order_however_much_is_sent_at_once)
{
    enum { MANY = 3 * MAILBOX_SLOTS + 7 };
    static struct step steps[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        steps[i].number = i;
        steps[i].op.result = i;
        reactor_run(&pair->left, &pair->right, &steps[i].op, step_run);
    }
    for (uint32_t turn = 0; steps_run < MANY; turn++) {
        cr_assert_lt(turn, 10);
        uint32_t before = steps_run;
        reactor_turn(&pair->left, true);
        reactor_turn(&pair->right, true);
        for (uint32_t i = before; i < steps_run && steps_run - before <= 16; i++) {
            cr_assert_eq(order[i % 16], i);
        }
        cr_assert_eq(order[(steps_run - 1) % 16], steps_run - 1);
    }
    cr_assert_eq(steps[MANY - 1].op.result, MANY - 1, "the result travels along");
    cr_assert_eq(reactor_sleep_us(&pair->left), UINT64_MAX);
}

Test(reactor, wakes_a_sleeper_once_for_a_batch)
{
    struct step steps[2] = {{.number = 1}, {.number = 2}};
    atomic_store(&pair->right.mailroom.sleeping, true);
    reactor_run(&pair->left, &pair->right, &steps[0].op, step_run);
    reactor_run(&pair->left, &pair->right, &steps[1].op, step_run);
    cr_assert_eq(pair->wakes, 0, "not before its turn ends");
    reactor_turn(&pair->left, true);
    cr_assert_eq(pair->wakes, 1);
    reactor_turn(&pair->left, true);
    cr_assert_eq(pair->wakes, 1);
    reactor_turn(&pair->right, true);
    cr_assert_eq(steps_run, 2);
    cr_assert_eq(pair->slept_us, 0, "it had mail");
}

Test(reactor, run_on_itself_is_ready_work)
{
    struct step step = {.number = 1};
    reactor_run(&pair->left, &pair->left, &step.op, step_run);
    cr_assert_eq(steps_run, 0);
    reactor_turn(&pair->left, true);
    cr_assert_eq(steps_run, 1);
}

Test(reactor, sleeps_without_limit_when_idle_and_else_until_the_timer)
{
    reactor_turn(&pair->left, true);
    cr_assert_eq(pair->slept_us, UINT64_MAX);
    struct timer timer = {0};
    timer_start(&pair->left, &timer, 20 * 1000, step_run);
    cr_assert_leq(reactor_sleep_us(&pair->left), 20 * 1000);
    while (steps_run == 0) {
        reactor_turn(&pair->left, true);
        cr_assert_neq(pair->slept_us, 0);
    }
    cr_assert_eq(pair->now_us, 1020 * 1000);
    reactor_turn(&pair->left, false);
    cr_assert_eq(pair->slept_us, 0);
}

Test(reactor, plays_the_same_random_numbers_from_the_same_seed)
{
    struct reactor again;
    struct reactor *peers[1];
    cr_assert_eq(reactor_init(&again, 0, 1, peers, 1 << 20, 1, NULL), 0);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t number = reactor_random(&again);
        cr_assert_eq(number, reactor_random(&pair->left));
        cr_assert_neq(number, reactor_random(&pair->right));
        seen |= number;
    }
    cr_assert_eq(seen, UINT64_MAX);
    reactor_deinit(&again);
}

/* The first numbers that the authors' own xoshiro256** gives from this state. */
Test(reactor, random_numbers_are_those_of_xoshiro256)
{
    static const uint64_t expected[] = {11520, 0, 1509978240, 1215971899390074240};
    for (uint64_t i = 0; i < 4; i++) {
        pair->left.random[i] = i + 1;
    }
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(reactor_random(&pair->left), expected[i]);
    }
}

static uint32_t bursts;

static void burst(struct op *op)
{
    bursts++;
    reactor_background(&pair->left, op, burst);
}

Test(reactor, background_work_that_never_ends_leaves_every_turn_to_the_others)
{
    struct step step = {.number = 1}, forever;
    reactor_background(&pair->left, &forever.op, burst);
    for (uint32_t turn = 0; turn < 10; turn++) {
        uint32_t before = bursts;
        reactor_ready(&pair->left, &step.op, step_run);
        reactor_turn(&pair->left, true);
        cr_assert_eq(steps_run, turn + 1);
        cr_assert_eq(bursts, before + 1, "beside requests: one slice");
    }
}
