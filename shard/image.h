/*
 * image -- the cluster's metadata at one offset of the metadata log; never changed once published.
 *
 *      image 41            image 42                  search trees over the same topics, by name,
 *        (m)                 (m')                    by id and by folded name; a change copies
 *       /   \               /    \                   the path to what it touches and shares the
 *     (c)   (t)  <-- shared      (t')                rest
 *
 * The control shard makes a new image for each round of changes, sends it to every core, and frees
 * what the round replaced when all have taken it over. So a pointer into an image is good until the
 * next wait, and not longer. A name is folded by taking '.' for '_', which may not tell topics apart.
 */
#ifndef SHARD_IMAGE_H
#define SHARD_IMAGE_H

#include "core/uuid.h"
#include "core/view.h"
#include "shard/topic_config.h"

enum { TOPIC_NAME_BYTES_MAX = 249 };

struct topic_partition {
    int32_t leader_epoch;
    int32_t partition_epoch;
    uint32_t owner; /* core; this node's own business, not in the metadata log */
};

struct topic {
    struct uuid id;
    char name[TOPIC_NAME_BYTES_MAX + 1];
    bool internal;
    struct topic_settings settings; /* from the topic's configs and the broker's */
    struct topic_config *configs;   /* [configs_count] as set on the topic, in name order */
    uint32_t configs_count;
    struct topic_partition *partitions; /* [partitions_count] */
    uint32_t partitions_count;

    /* image.c only */
    uint64_t round; /* of changes that made it */
};

enum image_order { IMAGE_BY_NAME, IMAGE_BY_ID, IMAGE_BY_FOLDED_NAME, IMAGE_ORDERS };

struct image {
    int64_t offset; /* the next one of the metadata log */
    uint32_t topics_count;

    /* image.c only */
    uint64_t round; /* of changes, from 0 */
    struct image_node *trees[IMAGE_ORDERS];
    struct image_edit *retired; /* what the next image replaced; freed with this one */
};

const struct topic *image_topic_by_name(const struct image *image, struct view name);
const struct topic *image_topic_by_id(const struct image *image, const struct uuid *id);
/* Topics in name order: the first with a name > `after` ("" for the first); NULL at the end. */
const struct topic *image_topic_after(const struct image *image, const char *after);
/* A topic whose name differs from this one only in '.' and '_'; NULL: none, or it is a topic's. */
const struct topic *image_topic_collision(const struct image *image, struct view name);

/* -- for the control shard ---------------------------------------------------------------------- */

/* One round of changes on its way from `base` to a new image. */
struct image_edit;

[[nodiscard]] struct image *image_new(void);
void image_free_all(struct image *image); /* that nobody reads any more */

/* NULL: out of memory, as for all below; the edit is then only good for image_edit_drop. */
[[nodiscard]] struct image_edit *image_edit_begin(struct image *base);
[[nodiscard]] struct topic *image_edit_add(struct image_edit *edit, const struct uuid *id,
                                           struct view name);
/* The topic, to be changed: a copy the first time in an edit. NULL too when there is none. */
[[nodiscard]] struct topic *image_edit_topic(struct image_edit *edit, const struct uuid *id);
[[nodiscard]] bool image_edit_remove(struct image_edit *edit, const struct uuid *id);
/* As it will be: for questions while changes are made. */
const struct image *image_edit_view(const struct image_edit *edit);
/* The new image. */
struct image *image_edit_end(struct image_edit *edit, int64_t offset);
/* It is not wanted after all. */
void image_edit_drop(struct image_edit *edit);
/* After one of these two: frees so many things of the base that the new image does not share, once
 * nobody reads the base any more; or what the dropped edit made. True: all is gone, also `edit`. */
[[nodiscard]] bool image_edit_free_some(struct image_edit *edit, uint32_t count);
static inline void image_edit_free(struct image_edit *edit)
{
    while (!image_edit_free_some(edit, UINT32_MAX)) {
    }
}

[[nodiscard]] bool topic_set_partition(struct topic *topic, uint32_t index,
                                       const struct topic_partition *partition);
/* value NULL: unset it. Settings are not resolved here. */
[[nodiscard]] bool topic_set_config(struct topic *topic, struct view name, struct view value);

#endif
