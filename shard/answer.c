#include "shard/answer.h"

#include <errno.h>

enum kafka_error kafka_error_from_refusal(enum refusal refusal)
{
    switch (refusal) {
    case REFUSAL_NONE:
        return KAFKA_NONE;
#define REFUSAL(value, NAME, what) \
    case REFUSAL_##NAME:           \
        return KAFKA_##NAME;
#include "log/refusal.def"
#undef REFUSAL
    }
    return KAFKA_UNKNOWN_SERVER_ERROR;
}

enum kafka_error kafka_error_from_result(int64_t result)
{
    if (result == -ESTALE) {
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    }
    if (result == -ENOMEM || result == -ENOBUFS || result == -EMFILE || result == -ENFILE) {
        return KAFKA_REQUEST_TIMED_OUT; /* the client tries again */
    }
    if (result < -4095) {
        return kafka_error_from_refusal((enum refusal)result);
    }
    return kafka_error_from_errno(result);
}
