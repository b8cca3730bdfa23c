/* A log's directory: what is found under its name, and what it is called when it is retired. */
#include "log/directory.h"

#include "tests/log/world.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const uint8_t mine[16] = {1}, others[16] = {2};

struct scene {
    struct log_place place;
    const uint8_t *topic_id;
    uint64_t log_id;
    char retired[LOG_NAME_BYTES_MAX + 1];
};

static int64_t make(struct files *files, void *context)
{
    const struct scene *scene = context;
    return directory_make(files, &scene->place, scene->topic_id, scene->log_id);
}

static int64_t retire(struct files *files, void *context)
{
    struct scene *scene = context;
    return directory_retire(files, &scene->place, scene->log_id, scene->retired);
}

static int64_t belongs_to_topic(struct files *files, void *context)
{
    const struct scene *scene = context;
    uint8_t found[16];
    int64_t error = directory_read_topic_id(files, &scene->place, found);
    return error ? error : memcmp(found, scene->topic_id, sizeof found) == 0;
}

static int64_t entries_count(struct files *files, void *context)
{
    const struct scene *scene = context;
    struct files_entry *entries;
    int64_t count = directory_list(files, &scene->place, &entries);
    free(count < 0 ? NULL : entries);
    return count;
}

Test(directory, is_made_once_for_its_topic)
{
    static struct world world;
    struct scene scene = {{"/data", "orders-0"}, mine, 7, ""};
    world_open(&world, 1);
    cr_assert_eq(world_run(&world, make, &scene), 0);
    world_write(&world, "/data/orders-0/00000000000000000000.log", "x", 1);
    cr_assert_eq(world_run(&world, make, &scene), 0); /* a second try of the same log */
    cr_assert_eq(world_run(&world, entries_count, &scene), 2);
    cr_assert_eq(world_run(&world, belongs_to_topic, &scene), 1);
    world_close(&world);
}

Test(directory, has_nothing_of_another_topic)
{
    static struct world world;
    struct scene scene = {{"/data", "orders-0"}, others, 7, ""};
    world_open(&world, 1);
    cr_assert_eq(world_run(&world, make, &scene), 0);
    world_write(&world, "/data/orders-0/00000000000000000000.log", "x", 1);
    scene.topic_id = mine;
    cr_assert_eq(world_run(&world, belongs_to_topic, &scene), 0);
    cr_assert_eq(world_run(&world, make, &scene), 0);
    cr_assert_eq(world_run(&world, entries_count, &scene), 1);
    cr_assert_eq(world_run(&world, belongs_to_topic, &scene), 1);
    world_close(&world);
}

Test(directory, is_retired_under_a_name_that_kafka_knows)
{
    static struct world world;
    struct scene scene = {{"/data", "orders-0"}, mine, UINT64_C(0xabc), ""};
    world_open(&world, 1);
    for (int i = 0; i < 2; i++) { /* the second one finds the first's name taken */
        char wanted[64], path[128];
        cr_assert_eq(world_run(&world, make, &scene), 0);
        cr_assert_eq(world_run(&world, retire, &scene), 0);
        snprintf(wanted, sizeof wanted, "orders-0.0000000000000abc%016d-delete", i);
        cr_assert_str_eq(scene.retired, wanted);
        cr_assert(directory_name_is_retired(scene.retired));
        snprintf(path, sizeof path, "/data/%s/partition.metadata", wanted);
        char *text;
        cr_assert_gt(world_read(&world, path, &text), 0);
        free(text);
    }
    cr_assert_eq(world_run(&world, retire, &scene), -ENOENT);
    cr_assert_not(directory_name_is_retired("orders-0"));
    cr_assert_not(directory_name_is_retired("-delete"));
    world_close(&world);
}

Test(directory, has_a_longest_name_when_it_is_retired)
{
    static struct world world;
    char name[LOG_NAME_BYTES_MAX + 1];
    memset(name, 't', sizeof name);
    strcpy(name + 249, "-123");
    struct scene scene = {{"/data", name}, mine, 1, ""};
    world_open(&world, 1);
    cr_assert_eq(world_run(&world, make, &scene), 0);
    cr_assert_eq(world_run(&world, retire, &scene), 0);
    cr_assert_eq(strlen(scene.retired), LOG_NAME_BYTES_MAX);
    cr_assert_not_null(strstr(scene.retired, "ttt-123.0000"));
    world_close(&world);
}
