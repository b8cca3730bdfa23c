#include "shard/image.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct uuid id_of(uint32_t number)
{
    struct uuid id = {{0}};
    uint32_t mixed = number * 2654435761u;
    memcpy(id.bytes, &mixed, sizeof mixed);
    memcpy(id.bytes + 8, &number, sizeof number);
    return id;
}

static struct image *with_topic(struct image *image, uint32_t number)
{
    char name[32];
    struct uuid id = id_of(number);
    snprintf(name, sizeof name, "topic-%u", number);
    struct image_edit *edit = image_edit_begin(image);
    struct topic *topic = image_edit_add(edit, &id, view_of_text(name));
    cr_assert(topic_set_partition(topic, 0, &(struct topic_partition){.leader_epoch = 7}));
    return image_edit_end(edit, image->offset + 1);
}

static struct image *replace(struct image *old, struct image *new)
{
    image_edit_free(old->retired);
    return new;
}

Test(image, finds_by_name_and_by_id_what_was_added)
{
    struct image *image = image_new();
    for (uint32_t i = 0; i < 500; i++) {
        image = replace(image, with_topic(image, i));
    }
    for (uint32_t i = 0; i < 500; i++) {
        char name[32];
        snprintf(name, sizeof name, "topic-%u", i);
        struct uuid id = id_of(i);
        const struct topic *topic = image_topic_by_name(image, view_of_text(name));
        cr_assert(topic && uuid_equal(&topic->id, &id));
        cr_assert_eq(image_topic_by_id(image, &id), topic);
    }
    cr_assert_null(image_topic_by_name(image, view_of_text("topic-500")));
    cr_assert_eq(image->topics_count, 500);
    image_free_all(image);
}

Test(image, lists_topics_in_name_order)
{
    struct image *image = image_new();
    for (uint32_t i = 0; i < 100; i++) {
        image = replace(image, with_topic(image, (i * 37) % 100));
    }
    uint32_t count = 0;
    char before[TOPIC_NAME_BYTES_MAX + 1] = "";
    for (const struct topic *topic = image_topic_after(image, ""); topic;
         topic = image_topic_after(image, topic->name)) {
        cr_assert_lt(strcmp(before, topic->name), 0);
        snprintf(before, sizeof before, "%s", topic->name);
        count++;
    }
    cr_assert_eq(count, 100);
    image_free_all(image);
}

Test(image, keeps_an_old_image_as_it_was_while_a_new_one_is_made)
{
    struct image *old = image_new();
    for (uint32_t i = 0; i < 50; i++) {
        old = replace(old, with_topic(old, i));
    }
    struct uuid changed = id_of(7), removed = id_of(8);
    struct image_edit *edit = image_edit_begin(old);
    struct topic *topic = image_edit_topic(edit, &changed);
    topic->partitions[0].leader_epoch = 8;
    cr_assert(topic_set_partition(topic, 1, &(struct topic_partition){0}));
    cr_assert_eq(image_edit_topic(edit, &changed), topic, "one copy for an edit");
    cr_assert(image_edit_remove(edit, &removed));
    struct image *new = image_edit_end(edit, 99);

    cr_assert_eq(image_topic_by_id(old, &changed)->partitions[0].leader_epoch, 7);
    cr_assert_eq(image_topic_by_id(old, &changed)->partitions_count, 1);
    cr_assert_not_null(image_topic_by_id(old, &removed));
    cr_assert_eq(image_topic_by_id(new, &changed)->partitions[0].leader_epoch, 8);
    cr_assert_eq(image_topic_by_name(new, view_of_text("topic-7"))->partitions_count, 2);
    cr_assert_null(image_topic_by_id(new, &removed));
    cr_assert_null(image_topic_by_name(new, view_of_text("topic-8")));
    cr_assert_eq(new->topics_count, 49);
    image_edit_free(old->retired);
    image_free_all(new);
}

Test(image, forgets_a_discarded_edit)
{
    struct image *image = image_new();
    image = replace(image, with_topic(image, 1));
    struct uuid one = id_of(1), two = id_of(2);
    struct image_edit *edit = image_edit_begin(image);
    cr_assert(image_edit_add(edit, &two, view_of_text("two")));
    cr_assert(image_edit_topic(edit, &one));
    cr_assert(image_edit_remove(edit, &one));
    image_edit_drop(edit);
    image_edit_free(edit);
    cr_assert_not_null(image_topic_by_id(image, &one));
    cr_assert_null(image_topic_by_id(image, &two));
    image_free_all(image);
}

Test(image, makes_and_removes_a_topic_in_one_edit)
{
    struct image *image = image_new();
    struct uuid id = id_of(3);
    struct image_edit *edit = image_edit_begin(image);
    cr_assert(image_edit_add(edit, &id, view_of_text("brief")));
    cr_assert(image_edit_remove(edit, &id));
    struct image *new = image_edit_end(edit, 5);
    cr_assert_eq(new->topics_count, 0);
    image_edit_free(image->retired);
    image_free_all(new);
}

Test(image, notices_names_that_differ_only_in_dots_and_underscores)
{
    struct image *image = image_new();
    struct uuid id = id_of(3);
    struct image_edit *edit = image_edit_begin(image);
    cr_assert(image_edit_add(edit, &id, view_of_text("a.b_c")));
    struct image *new = image_edit_end(edit, 1);
    image_edit_free(image->retired);
    cr_assert_not_null(image_topic_collision(new, view_of_text("a_b.c")));
    cr_assert_null(image_topic_collision(new, view_of_text("a.b_c")), "itself");
    cr_assert_null(image_topic_collision(new, view_of_text("a.b_cd")));
    cr_assert_null(image_topic_collision(new, view_of_text("a.b")));
    cr_assert_null(image_topic_collision(new, view_of_text("ab")));
    image_free_all(new);
}

/* Names may be chosen so that all of them have a beginning in common: still a few are looked at. */
Test(image, finds_a_collision_among_many_names_that_begin_alike)
{
    struct image *image = image_new();
    char name[32];
    for (uint32_t i = 0; i < 2000; i++) {
        struct uuid id = id_of(i);
        struct image_edit *edit = image_edit_begin(image);
        snprintf(name, sizeof name, "a%c%u%c%u", i % 2 ? '.' : '_', i, i % 3 ? '.' : '_', i);
        cr_assert(image_edit_add(edit, &id, view_of_text(name)));
        image = replace(image, image_edit_end(edit, i));
    }
    for (uint32_t i = 0; i < 2000; i += 2) {
        struct uuid id = id_of(i);
        struct image_edit *edit = image_edit_begin(image);
        cr_assert(image_edit_remove(edit, &id));
        image = replace(image, image_edit_end(edit, i));
    }
    for (uint32_t i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "a_%u%c%u", i, i % 3 ? '_' : '.', i);
        const struct topic *topic = image_topic_collision(image, view_of_text(name));
        cr_assert_eq(topic != NULL, i % 2 == 1);
        cr_assert(!topic || topic->id.bytes[8] == (uint8_t)i);
        snprintf(name, sizeof name, "a_%u", i);
        cr_assert_null(image_topic_collision(image, view_of_text(name)));
    }
    image_free_all(image);
}

Test(image, frees_what_a_large_round_replaced_in_parts)
{
    struct image *image = image_new();
    for (uint32_t i = 0; i < 300; i++) {
        image = replace(image, with_topic(image, i));
    }
    struct image_edit *edit = image_edit_begin(image);
    for (uint32_t i = 0; i < 300; i++) {
        struct uuid id = id_of(i);
        cr_assert(image_edit_remove(edit, &id));
    }
    struct image *new = image_edit_end(edit, 1);
    uint32_t parts = 1;
    while (!image_edit_free_some(edit, 64)) {
        parts++;
    }
    cr_assert_gt(parts, 300 * (IMAGE_ORDERS + 1) / 64, "%u", parts);
    image_free_all(new);
}

Test(image, keeps_configs_in_name_order_and_unsets_them)
{
    struct image *image = image_new();
    struct uuid id = id_of(3);
    struct image_edit *edit = image_edit_begin(image);
    struct topic *topic = image_edit_add(edit, &id, view_of_text("t"));
    cr_assert(topic_set_config(topic, view_of_text("segment.bytes"), view_of_text("1048576")));
    cr_assert(topic_set_config(topic, view_of_text("cleanup.policy"), view_of_text("delete")));
    cr_assert(topic_set_config(topic, view_of_text("segment.bytes"), view_of_text("2097152")));
    cr_assert_eq(topic->configs_count, 2);
    cr_assert_str_eq(topic->configs[0].name, "cleanup.policy");
    cr_assert_str_eq(topic->configs[1].value, "2097152");
    cr_assert(topic_set_config(topic, view_of_text("cleanup.policy"), VIEW_NULL));
    cr_assert_eq(topic->configs_count, 1);
    struct image *new = image_edit_end(edit, 1);
    image_edit_free(image->retired);
    image_free_all(new);
}

Test(image, grows_a_copied_topic_to_any_number_of_partitions)
{
    struct image *image = image_new();
    image = replace(image, with_topic(image, 1));
    struct uuid id = id_of(1);
    for (uint32_t round = 1; round < 40; round++) {
        struct image_edit *edit = image_edit_begin(image);
        struct topic *topic = image_edit_topic(edit, &id);
        for (uint32_t i = 0; i < round; i++) {
            cr_assert(topic_set_partition(topic, topic->partitions_count,
                                          &(struct topic_partition){.owner = i}));
        }
        image = replace(image, image_edit_end(edit, round));
    }
    cr_assert_eq(image_topic_by_id(image, &id)->partitions_count, 1 + 39 * 40 / 2);
    image_free_all(image);
}
