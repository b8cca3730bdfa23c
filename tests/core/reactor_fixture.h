/*
 * reactor_fixture -- real reactors for tests: on io_uring, each test's own, one thread but where it
 * says otherwise.
 */
#ifndef TESTS_CORE_REACTOR_FIXTURE_H
#define TESTS_CORE_REACTOR_FIXTURE_H

#include "core/uring.h"

#include <criterion/criterion.h>

enum { FIXTURE_REACTORS_MAX = 4, FIXTURE_MEMORY_BYTES = 256 << 20 };

struct fixture {
    struct features features;
    uint32_t count;
    struct reactor *peers[FIXTURE_REACTORS_MAX];
    struct reactor reactors[FIXTURE_REACTORS_MAX];
};

static inline void fixture_init(struct fixture *fixture, uint32_t count, const char *mask)
{
    char text[256] = "";
    fixture->count = count;
    features_probe(&fixture->features);
    cr_assert(features_hide(&fixture->features, mask, text, sizeof(text)), "%s", text);
    for (uint32_t i = 0; i < count; i++) {
        struct uring_options options = {.pin_cpu = -1, .features = &fixture->features};
        cr_assert_eq(reactor_init(&fixture->reactors[i], i, count, fixture->peers,
                                  FIXTURE_MEMORY_BYTES, i, NULL),
                     0);
        cr_assert_eq(uring_attach(&fixture->reactors[i], &options, text, sizeof(text)), 0, "%s",
                     text);
    }
}

static inline void fixture_deinit(struct fixture *fixture)
{
    for (uint32_t i = 0; i < fixture->count; i++) {
        uring_detach(&fixture->reactors[i]);
        reactor_deinit(&fixture->reactors[i]);
    }
}

/* Turns the only reactor until `done`, for at most ten seconds. */
static inline void fixture_turn_until(struct fixture *fixture, const bool *done)
{
    struct reactor *reactor = &fixture->reactors[0];
    reactor_turn(reactor, false);
    uint64_t begun_us = reactor_now_us(reactor);
    while (!*done) {
        cr_assert(reactor_now_us(reactor) - begun_us < 10 * 1000 * 1000, "took too long");
        reactor_turn(reactor, false);
    }
}

#endif
