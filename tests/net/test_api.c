#include "net/api.h"

#include <criterion/criterion.h>

Test(api, is_found_by_its_key)
{
    for (uint32_t i = 0; i < apis_count; i++) {
        cr_assert_eq(api_find(apis[i].key), &apis[i]);
    }
    cr_assert_str_eq(api_find(API_LIST_OFFSETS)->name, "ListOffsets");
    cr_assert_null(api_find(4), "removed from the protocol");
    cr_assert_null(api_find(-1));
    cr_assert_null(api_find(INT16_MAX));
}

Test(api, stands_in_the_order_of_keys)
{
    for (uint32_t i = 1; i < apis_count; i++) {
        cr_assert_lt(apis[i - 1].key, apis[i].key);
    }
}

Test(api, has_the_versions_that_kafka_accepts)
{
    const struct api *produce = api_find(API_PRODUCE);
    cr_assert(api_has_version(produce, 3));
    cr_assert(api_has_version(produce, 13));
    cr_assert_not(api_has_version(produce, 2), "told, but not understood");
    cr_assert_not(api_has_version(produce, 14));
    cr_assert_eq(produce->version_min_told, 0);
}

Test(api, puts_the_right_header_before_each_version)
{
    const struct api *metadata = api_find(API_METADATA);
    cr_assert_eq(api_request_header_version(metadata, 8), 1);
    cr_assert_eq(api_request_header_version(metadata, 9), 2);
    cr_assert_eq(api_response_header_version(metadata, 8), 0);
    cr_assert_eq(api_response_header_version(metadata, 9), 1);
    const struct api *api_versions = api_find(API_API_VERSIONS);
    cr_assert_eq(api_request_header_version(api_versions, 4), 2);
    cr_assert_eq(api_response_header_version(api_versions, 4), 0, "always");
}
