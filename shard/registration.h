/*
 * registration -- what this node writes of itself into the metadata log, and what a snapshot holds.
 *
 * A start registers the node as controller and as broker, and lifts its fence; a clean stop fences
 * it again, so that whoever opens the directory next finds no broker that seems alive. The first
 * start of all also finalizes the features of Kafka 4.3's format command.
 */
#ifndef SHARD_REGISTRATION_H
#define SHARD_REGISTRATION_H

#include "shard/control.h"

enum { METADATA_VERSION_LEVEL = 30 /* metadata.version 4.3-IV0 */ };

/* Batches of a start, behind the leader change; sets control->broker_epoch. */
void registration_begin(struct control *control, struct metadata_batches *batches, bool is_new);
void registration_end(struct control *control, struct metadata_batches *batches);

/* The image as a snapshot, whole when this many topics, partitions and configs of it have been
 * written, again and again: then true. No round may be under way meanwhile, for control->walk has a
 * pointer into the image. Out of memory: batches->failed. */
void registration_snapshot_begin(struct control *control, struct metadata_batches *batches);
[[nodiscard]] bool registration_snapshot_go_on(struct control *control,
                                               struct metadata_batches *batches, uint32_t count);

#endif
