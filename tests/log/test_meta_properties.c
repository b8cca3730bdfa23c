#include "log/meta_properties.h"

#include "tests/log/world.h"

static struct meta_properties all_said(void)
{
    return (struct meta_properties){
        .version = META_VERSION_KAFKA,
        .node_id = 17,
        .cluster_id = "a=b:c #d!e\\f",
        .directory_id = "bk3xFjXPTbCHkkqqOqJ5vA",
        .format = META_FORMAT,
        .start = 4000000000,
        .journals_from = 3999999999,
        .salt = 0xfedcba9876543210,
        .nonce = 1,
    };
}

static int64_t replace_run(struct files *files, void *context)
{
    return meta_properties_replace(context, files, "/data");
}

static int64_t read_run(struct files *files, void *context)
{
    return meta_properties_read(context, files, "/data");
}

static int64_t read_text(struct world *world, struct meta_properties *meta, const char *text,
                         size_t bytes)
{
    world_write(world, "/data/meta.properties", text, bytes);
    return world_run(world, read_run, meta);
}

Test(meta_properties, reads_back_what_it_wrote)
{
    struct world world;
    struct meta_properties wrote = all_said(), read;
    world_open(&world, 1);
    cr_assert_eq(world_run(&world, read_run, &read), -ENOENT);
    cr_assert_eq(world_run(&world, replace_run, &wrote), 0);
    cr_assert_eq(world_run(&world, read_run, &read), 0);
    cr_assert(read.version == wrote.version && read.node_id == wrote.node_id);
    cr_assert_str_eq(read.cluster_id, wrote.cluster_id);
    cr_assert_str_eq(read.directory_id, wrote.directory_id);
    cr_assert(read.format == wrote.format && read.start == wrote.start);
    cr_assert(read.journals_from == wrote.journals_from && read.salt == wrote.salt);
    cr_assert_eq(read.nonce, wrote.nonce);
    world_close(&world);
}

Test(meta_properties, reads_kafkas)
{
    static const char text[] = "#\n#Sat Nov 21 05:00:00 UTC 2026\nnode.id=1\nversion=1\n"
                               "directory.id=bk3xFjXPTbCHkkqqOqJ5vA\n"
                               "cluster.id=MkU3OEVBNTcwNTJENDM2Qg\\=\\=\n";
    struct world world;
    struct meta_properties meta;
    world_open(&world, 1);
    cr_assert_eq(read_text(&world, &meta, text, sizeof(text) - 1), 0);
    cr_assert_eq(meta.version, META_VERSION_KAFKA);
    cr_assert_eq(meta.node_id, 1);
    cr_assert_str_eq(meta.cluster_id, "MkU3OEVBNTcwNTJENDM2Qg==");
    cr_assert(meta.format == 0 && meta.nonce == 0);
    world_close(&world);
}

Test(meta_properties, is_never_half_believed)
{
    struct world world;
    struct meta_properties wrote = all_said(), read;
    char *text;
    wrote.version = META_VERSION_OURS;
    world_open(&world, 1);
    cr_assert_eq(world_run(&world, replace_run, &wrote), 0);
    int64_t bytes = world_read(&world, "/data/meta.properties", &text);
    for (int64_t i = 0; i < bytes; i++) {
        int64_t result = read_text(&world, &read, text, (size_t)i);
        cr_assert(result == -EBADMSG || (result == 0 && read.format == META_FORMAT), "%ld bytes",
                  (long)i);
    }
    const char *wrong[] = {"version=two\n",
                           "node.id=-1\n",
                           "odradek.start=1x\n",
                           "odradek.salt=xyz\n",
                           "odradek.start=4294967296\n",
                           "cluster.id=0123456789012345678901234567890123456789\n"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char both[2048];
        int count = snprintf(both, sizeof(both), "%s%s", text, wrong[i]);
        cr_assert_eq(read_text(&world, &read, both, (size_t)count), -EBADMSG, "%s", wrong[i]);
    }
    free(text);
    world_close(&world);
}
