/*
 * error -- the error codes of the protocol: what the client asked for could not be, or not now.
 *
 * The code of success is KAFKA_NONE, 0. Nothing here says how a failure is told to a client.
 */
#ifndef NET_ERROR_H
#define NET_ERROR_H

#include <stdint.h>

enum kafka_error {
#define KAFKA_ERROR(number, NAME) KAFKA_##NAME = number,
#include "net/error.def"
#undef KAFKA_ERROR
};

/* As the protocol spells it, for reports; "?" for a number that is not in the table. */
const char *kafka_error_name(int16_t error);

/* The one bridge from what failed in the machine to what a client is told.
 *   result   -errno; >= 0 is KAFKA_NONE */
enum kafka_error kafka_error_from_errno(int64_t result);

#endif
