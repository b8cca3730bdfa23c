#include "net/error.h"

#include <errno.h>

const char *kafka_error_name(int16_t error)
{
    switch (error) {
#define KAFKA_ERROR(number, NAME) \
    case number:                  \
        return #NAME;
#include "net/error.def"
#undef KAFKA_ERROR
    default:
        return "?";
    }
}

enum kafka_error kafka_error_from_errno(int64_t result)
{
    if (result >= 0) {
        return KAFKA_NONE;
    }
    switch (-result) {
    case ENOSPC: /* a full disk: the partition is read-only until there is room */
    case EDQUOT:
    case EIO:
    case EROFS:
    case ENXIO:
    case ENODEV:
        return KAFKA_KAFKA_STORAGE_ERROR;
    case ETIMEDOUT:
        return KAFKA_REQUEST_TIMED_OUT;
    default:
        return KAFKA_UNKNOWN_SERVER_ERROR;
    }
}
