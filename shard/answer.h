/*
 * answer -- what a result of log/ means to a client: the one bridge from refusals and machine
 * failures to the protocol's error codes.
 */
#ifndef SHARD_ANSWER_H
#define SHARD_ANSWER_H

#include "log/refusal.h"
#include "net/error.h"

#include <stdint.h>

enum kafka_error kafka_error_from_refusal(enum refusal refusal);

/* An op's result: >= 0, a refusal, or -errno. A log that was dropped meanwhile (-ESTALE) is a
 * partition that nobody knows. */
enum kafka_error kafka_error_from_result(int64_t result);

#endif
