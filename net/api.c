#include "net/api.h"

const struct api apis[] = {
#define API(NAME, Name, name_, version_min_told_) \
    {                                             \
        .name = #Name,                            \
        .key = NAME##_KEY,                        \
        .version_min = NAME##_VERSION_MIN,        \
        .version_max = NAME##_VERSION_MAX,        \
        .flexible_min = NAME##_FLEXIBLE_MIN,      \
        .version_min_told = version_min_told_,    \
    },
#include "net/api.def"
#undef API
};

const uint32_t apis_count = sizeof apis / sizeof apis[0];

const struct api *api_find(int16_t key)
{
    for (uint32_t i = 0; i < apis_count; i++) {
        if (apis[i].key == key) {
            return &apis[i];
        }
    }
    return NULL;
}
