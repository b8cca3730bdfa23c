#include "shard/image.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * A treap: a search tree that is a heap by priority, so that it stays balanced by chance (its depth
 * is about 2 ln n; that bounds the recursion below). A topic's priority comes from its id, which
 * the broker drew: a client cannot choose it.
 */
struct image_node {
    struct topic *topic;
    struct image_node *left, *right;
    struct image_node *link; /* in the edit's list of those it made, or of those it replaced */
    uint64_t round; /* of changes that made it: of the edit at work, or published already? */
};

struct image_edit {
    struct image *base;
    struct image *next;
    struct image *unwanted;      /* of these two; NULL while changes are made */
    struct image_node *made;     /* unwanted if the edit is dropped */
    struct image_node **retired; /* nodes that only the base, or nobody, still has */
    size_t retired_count, retired_room;
    struct topic **topics_made; /* as the nodes */
    size_t topics_made_count, topics_made_room;
    struct topic **topics_retired;
    size_t topics_retired_count, topics_retired_room;
    uint64_t round;
    bool failed;
};

/* -- looking ------------------------------------------------------------------------------------ */

static int name_compare(const uint8_t *name, size_t bytes, const char *other)
{
    size_t other_bytes = strlen(other);
    int order = memcmp(name, other, bytes < other_bytes ? bytes : other_bytes);
    return order ? order : (bytes > other_bytes) - (bytes < other_bytes);
}

const struct topic *image_topic_by_name(const struct image *image, struct view name)
{
    if (name.bytes <= 0) {
        return NULL;
    }
    const struct image_node *node = image->trees[IMAGE_BY_NAME];
    while (node) {
        int order = name_compare(name.data, (size_t)name.bytes, node->topic->name);
        if (order == 0) {
            return node->topic;
        }
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}

const struct topic *image_topic_by_id(const struct image *image, const struct uuid *id)
{
    const struct image_node *node = image->trees[IMAGE_BY_ID];
    while (node) {
        int order = memcmp(id->bytes, node->topic->id.bytes, sizeof id->bytes);
        if (order == 0) {
            return node->topic;
        }
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}

const struct topic *image_topic_after(const struct image *image, const char *after)
{
    const struct topic *found = NULL;
    const struct image_node *node = image->trees[IMAGE_BY_NAME];
    while (node) {
        if (strcmp(node->topic->name, after) > 0) {
            found = node->topic;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return found;
}

static uint8_t folded(uint8_t character)
{
    return character == '.' ? '_' : character;
}

/* The first difference between folded names. */
static int folded_compare(const char *name, size_t bytes, const char *other)
{
    size_t i = 0;
    while (i < bytes && other[i] != '\0' && folded((uint8_t)name[i]) == folded((uint8_t)other[i])) {
        i++;
    }
    return (i < bytes ? folded((uint8_t)name[i]) : 0) - folded((uint8_t)other[i]);
}

const struct topic *image_topic_collision(const struct image *image, struct view name)
{
    const char *text = (const char *)name.data;
    const struct image_node *node = image->trees[IMAGE_BY_FOLDED_NAME];
    while (node) {
        int order = folded_compare(text, (size_t)name.bytes, node->topic->name);
        if (order == 0) {
            bool is_itself = name_compare(name.data, (size_t)name.bytes, node->topic->name) == 0;
            return is_itself ? NULL : node->topic;
        }
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}

/* -- topics ------------------------------------------------------------------------------------- */

static void topic_free(struct topic *topic)
{
    for (uint32_t i = 0; i < topic->configs_count; i++) {
        free(topic->configs[i].name);
        free(topic->configs[i].value);
    }
    free(topic->configs);
    free(topic->partitions);
    free(topic);
}

/* Room doubles: a power of two, at least 1. */
static size_t partitions_room(uint32_t count)
{
    size_t room = 1;
    while (room < count) {
        room *= 2;
    }
    return room;
}

static struct topic *topic_copy(const struct topic *topic)
{
    struct topic *copy = malloc(sizeof *copy);
    if (!copy) {
        return NULL;
    }
    *copy = *topic;
    copy->configs = NULL;
    copy->configs_count = 0;
    copy->partitions = malloc(partitions_room(topic->partitions_count) * sizeof *copy->partitions);
    if (!copy->partitions) {
        free(copy);
        return NULL;
    }
    memcpy(copy->partitions, topic->partitions, topic->partitions_count * sizeof *copy->partitions);
    for (uint32_t i = 0; i < topic->configs_count; i++) {
        if (!topic_set_config(copy, view_of_text(topic->configs[i].name),
                              view_of_text(topic->configs[i].value))) {
            topic_free(copy);
            return NULL;
        }
    }
    return copy;
}

bool topic_set_partition(struct topic *topic, uint32_t index,
                         const struct topic_partition *partition)
{
    assert(index <= topic->partitions_count); /* the log names them in order */
    if (index == topic->partitions_count) {
        if (!topic->partitions || partitions_room(index) == index) { /* it is full */
            size_t room = partitions_room(index + 1);
            struct topic_partition *larger = realloc(topic->partitions, room * sizeof *larger);
            if (!larger) {
                return false;
            }
            topic->partitions = larger;
        }
        topic->partitions_count++;
    }
    topic->partitions[index] = *partition;
    return true;
}

static char *text_of(struct view view)
{
    char *text = malloc((size_t)view.bytes + 1);
    if (text) {
        memcpy(text, view.data, (size_t)view.bytes);
        text[view.bytes] = '\0';
    }
    return text;
}

static void topic_unset_config(struct topic *topic, uint32_t at)
{
    free(topic->configs[at].name);
    free(topic->configs[at].value);
    memmove(&topic->configs[at], &topic->configs[at + 1],
            (topic->configs_count - at - 1) * sizeof *topic->configs);
    topic->configs_count--;
}

bool topic_set_config(struct topic *topic, struct view name, struct view value)
{
    uint32_t at = 0;
    int order = 1;
    while (at < topic->configs_count &&
           (order = name_compare(name.data, (size_t)name.bytes, topic->configs[at].name)) > 0) {
        at++;
    }
    bool found = at < topic->configs_count && order == 0;
    if (view_is_null(value)) {
        if (found) {
            topic_unset_config(topic, at);
        }
        return true;
    }
    char *value_text = text_of(value);
    if (!value_text) {
        return false;
    }
    if (found) {
        free(topic->configs[at].value);
        topic->configs[at].value = value_text;
        return true;
    }
    char *name_text = text_of(name);
    struct topic_config *larger =
        name_text ? realloc(topic->configs, (topic->configs_count + 1) * sizeof *larger) : NULL;
    if (!larger) {
        free(name_text);
        free(value_text);
        return false;
    }
    topic->configs = larger;
    memmove(&larger[at + 1], &larger[at], (topic->configs_count - at) * sizeof *larger);
    larger[at] = (struct topic_config){.name = name_text, .value = value_text};
    topic->configs_count++;
    return true;
}

/* -- editing ------------------------------------------------------------------------------------ */

static bool pointers_push(void ***array, size_t *count, size_t *room, void *pointer)
{
    if (*count == *room) {
        size_t larger_room = *room ? *room * 2 : 16;
        void **larger = realloc(*array, larger_room * sizeof *larger);
        if (!larger) {
            return false;
        }
        *array = larger;
        *room = larger_room;
    }
    (*array)[(*count)++] = pointer;
    return true;
}

static bool edit_retire(struct image_edit *edit, struct image_node *node)
{
    if (!pointers_push((void ***)&edit->retired, &edit->retired_count, &edit->retired_room, node)) {
        edit->failed = true;
    }
    return !edit->failed;
}

/* A node of this edit's that stands for `node`: itself, or a copy, and `node` is retired. */
static struct image_node *edit_own(struct image_edit *edit, struct image_node *node)
{
    if (node->round == edit->round) {
        return node;
    }
    struct image_node *copy = malloc(sizeof *copy);
    if (!copy || !edit_retire(edit, node)) {
        free(copy);
        edit->failed = true;
        return node;
    }
    *copy = *node;
    copy->round = edit->round;
    copy->link = edit->made;
    edit->made = copy;
    return copy;
}

static int node_order(enum image_order order, const struct topic *topic,
                      const struct image_node *node)
{
    const struct topic *other = node->topic;
    if (order == IMAGE_BY_ID) {
        return memcmp(topic->id.bytes, other->id.bytes, sizeof topic->id.bytes);
    }
    int difference = order == IMAGE_BY_FOLDED_NAME
                         ? folded_compare(topic->name, strlen(topic->name), other->name)
                         : 0;
    return difference ? difference : strcmp(topic->name, other->name);
}

static uint64_t node_priority(const struct image_node *node)
{
    uint64_t priority;
    memcpy(&priority, node->topic->id.bytes, sizeof priority);
    return priority * UINT64_C(0x9E3779B97F4A7C15); /* ids are also the order of one tree */
}

/* Heaps are by priority: a node goes above those with less. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which its priorities keep shallow */
static struct image_node *tree_insert(struct image_edit *edit, enum image_order order,
                                      struct image_node *tree, struct image_node *node)
{
    if (!tree) {
        return node;
    }
    tree = edit_own(edit, tree);
    if (edit->failed) {
        return tree;
    }
    if (node_order(order, node->topic, tree) < 0) {
        tree->left = tree_insert(edit, order, tree->left, node);
        struct image_node *left = tree->left;
        if (!edit->failed && node_priority(left) > node_priority(tree)) {
            tree->left = left->right; /* left is ours: it was inserted or passed on the way */
            left->right = tree;
            return left;
        }
    } else {
        tree->right = tree_insert(edit, order, tree->right, node);
        struct image_node *right = tree->right;
        if (!edit->failed && node_priority(right) > node_priority(tree)) {
            tree->right = right->left;
            right->left = tree;
            return right;
        }
    }
    return tree;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tree */
static struct image_node *tree_merge(struct image_edit *edit, struct image_node *left,
                                     struct image_node *right)
{
    if (!left || !right || edit->failed) {
        return left ? left : right;
    }
    if (node_priority(left) > node_priority(right)) {
        left = edit_own(edit, left);
        left->right = tree_merge(edit, left->right, right);
        return left;
    }
    right = edit_own(edit, right);
    right->left = tree_merge(edit, left, right->left);
    return right;
}

/* with NULL: take the topic out; else: put `with` in its place. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tree */
static struct image_node *tree_replace(struct image_edit *edit, enum image_order order,
                                       struct image_node *tree, const struct topic *topic,
                                       struct topic *with)
{
    assert(tree); /* it is there */
    int side = node_order(order, topic, tree);
    if (side == 0 && !with) {
        struct image_node *rest = tree_merge(edit, tree->left, tree->right);
        edit_retire(edit, tree);
        return rest;
    }
    tree = edit_own(edit, tree);
    if (edit->failed) {
        return tree;
    }
    if (side == 0) {
        tree->topic = with;
    } else if (side < 0) {
        tree->left = tree_replace(edit, order, tree->left, topic, with);
    } else {
        tree->right = tree_replace(edit, order, tree->right, topic, with);
    }
    return tree;
}

struct image *image_new(void)
{
    return calloc(1, sizeof(struct image));
}

struct image_edit *image_edit_begin(struct image *base)
{
    struct image_edit *edit = calloc(1, sizeof *edit);
    struct image *next = malloc(sizeof *next);
    if (!edit || !next) {
        free(edit);
        free(next);
        return NULL;
    }
    *next = *base;
    next->retired = NULL;
    edit->base = base;
    edit->next = next;
    edit->round = next->round = base->round + 1;
    return edit;
}

const struct image *image_edit_view(const struct image_edit *edit)
{
    return edit->next;
}

static struct image_node *node_new(struct image_edit *edit, struct topic *topic)
{
    struct image_node *node = calloc(1, sizeof *node);
    if (!node) {
        edit->failed = true;
        return NULL;
    }
    *node = (struct image_node){.topic = topic, .link = edit->made, .round = edit->round};
    edit->made = node;
    return node;
}

static bool edit_keep_topic(struct image_edit *edit, struct topic *topic)
{
    if (topic && pointers_push((void ***)&edit->topics_made, &edit->topics_made_count,
                               &edit->topics_made_room, topic)) {
        return true;
    }
    if (topic) {
        topic_free(topic);
    }
    edit->failed = true;
    return false;
}

struct topic *image_edit_add(struct image_edit *edit, const struct uuid *id, struct view name)
{
    assert(name.bytes > 0 && name.bytes <= TOPIC_NAME_BYTES_MAX);
    struct topic *topic = calloc(1, sizeof *topic);
    if (!edit_keep_topic(edit, topic)) {
        return NULL;
    }
    topic->id = *id;
    topic->round = edit->round;
    memcpy(topic->name, name.data, (size_t)name.bytes);
    for (uint32_t order = 0; order < IMAGE_ORDERS && !edit->failed; order++) {
        struct image_node *node = node_new(edit, topic);
        struct image_node **tree = &edit->next->trees[order];
        if (node) {
            *tree = tree_insert(edit, order, *tree, node);
        }
    }
    edit->next->topics_count++;
    return edit->failed ? NULL : topic;
}

static bool edit_retire_topic(struct image_edit *edit, struct topic *topic)
{
    if (!pointers_push((void ***)&edit->topics_retired, &edit->topics_retired_count,
                       &edit->topics_retired_room, topic)) {
        edit->failed = true;
    }
    return !edit->failed;
}

static void edit_replace(struct image_edit *edit, const struct topic *topic, struct topic *with)
{
    for (uint32_t order = 0; order < IMAGE_ORDERS; order++) {
        struct image_node **tree = &edit->next->trees[order];
        *tree = tree_replace(edit, order, *tree, topic, with);
    }
}

struct topic *image_edit_topic(struct image_edit *edit, const struct uuid *id)
{
    struct topic *topic = (struct topic *)(uintptr_t)image_topic_by_id(edit->next, id);
    if (!topic || topic->round == edit->round) {
        return topic;
    }
    struct topic *copy = topic_copy(topic);
    if (!edit_keep_topic(edit, copy) || !edit_retire_topic(edit, topic)) {
        return NULL;
    }
    copy->round = edit->round;
    edit_replace(edit, topic, copy);
    return edit->failed ? NULL : copy;
}

bool image_edit_remove(struct image_edit *edit, const struct uuid *id)
{
    struct topic *topic = (struct topic *)(uintptr_t)image_topic_by_id(edit->next, id);
    if (!topic || !edit_retire_topic(edit, topic)) {
        return false;
    }
    edit_replace(edit, topic, NULL);
    edit->next->topics_count--;
    return !edit->failed;
}

struct image *image_edit_end(struct image_edit *edit, int64_t offset)
{
    assert(!edit->failed);
    edit->next->offset = offset;
    edit->base->retired = edit;
    edit->unwanted = edit->base;
    edit->made = NULL;
    edit->topics_made_count = 0;
    return edit->next;
}

void image_edit_drop(struct image_edit *edit)
{
    edit->unwanted = edit->next;
    edit->retired_count = edit->topics_retired_count = 0;
}

bool image_edit_free_some(struct image_edit *edit, uint32_t count)
{
    assert(edit->unwanted);
    for (uint32_t n = 0; n < count; n++) {
        if (edit->made) {
            struct image_node *node = edit->made;
            edit->made = node->link;
            free(node);
        } else if (edit->retired_count > 0) {
            free(edit->retired[--edit->retired_count]);
        } else if (edit->topics_made_count > 0) {
            topic_free(edit->topics_made[--edit->topics_made_count]);
        } else if (edit->topics_retired_count > 0) {
            topic_free(edit->topics_retired[--edit->topics_retired_count]);
        } else {
            free(edit->retired);
            free(edit->topics_made);
            free(edit->topics_retired);
            free(edit->unwanted);
            free(edit);
            return true;
        }
    }
    return false;
}

/* NOLINTNEXTLINE(misc-no-recursion): the right spine by the loop, left subtrees as deep as the tree */
static void tree_free(struct image_node *node, bool with_topics)
{
    while (node) {
        struct image_node *right = node->right;
        tree_free(node->left, with_topics);
        if (with_topics) {
            topic_free(node->topic);
        }
        free(node);
        node = right;
    }
}

void image_free_all(struct image *image)
{
    if (image) {
        assert(!image->retired);
        for (uint32_t order = 0; order < IMAGE_ORDERS; order++) {
            tree_free(image->trees[order], order == IMAGE_ORDERS - 1);
        }
        free(image);
    }
}
