/*
 * topic_name -- may a topic be called so? Kafka's rules; a name becomes part of a path.
 */
#ifndef SHARD_TOPIC_NAME_H
#define SHARD_TOPIC_NAME_H

#include "core/view.h"

#include <stddef.h>

/* NULL: it may. Else `why` has what is wrong with it, and is returned. */
const char *topic_name_check(struct view name, char *why, size_t why_bytes);

#endif
