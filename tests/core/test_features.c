#include "core/features.h"

#include <criterion/criterion.h>
#include <string.h>

Test(features, are_hidden_by_name_or_all_at_once)
{
    struct features features = {.found = UINT32_MAX};
    char unknown[32];
    cr_assert(features_has(&features, FEATURE_MSG_RING));
    cr_assert(features_hide(&features, "msg_ring, ring_fd", unknown, sizeof(unknown)));
    cr_assert_not(features_has(&features, FEATURE_MSG_RING));
    cr_assert_not(features_has(&features, FEATURE_RING_FD));
    cr_assert(features_has(&features, FEATURE_BUFFER_RING));
    cr_assert(features_hide(&features, "all", unknown, sizeof(unknown)));
    for (uint32_t i = 0; i < FEATURES; i++) {
        cr_assert_not(features_has(&features, i));
    }
    cr_assert(features_hide(&features, "", unknown, sizeof(unknown)));
}

Test(features, no_name_is_taken_for_another)
{
    struct features features = {.found = UINT32_MAX};
    char unknown[32];
    cr_assert_not(features_hide(&features, "msg_ring,msg_rin", unknown, sizeof(unknown)));
    cr_assert_str_eq(unknown, "msg_rin");
    cr_assert(features_has(&features, FEATURE_MSG_RING), "nothing has changed");
    for (uint32_t i = 0; i < FEATURES; i++) {
        struct features all = {.found = UINT32_MAX};
        cr_assert(features_hide(&all, feature_name(i), unknown, sizeof(unknown)));
        cr_assert_eq(all.hidden, 1u << i);
    }
}

Test(features, are_found_the_same_each_time)
{
    struct features first, second;
    features_probe(&first);
    features_probe(&second);
    cr_assert_eq(first.found, second.found);
}
