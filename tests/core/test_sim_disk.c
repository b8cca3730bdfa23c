#include "core/sim_disk.h"

#include <criterion/criterion.h>
#include <errno.h>

/* A disk with one file, and what many cuts would leave of it. */
struct world {
    struct sim_disk *disk;
    struct sim_inode *file;
    struct sim_random random;
};

enum { CUTS = 300, BLOCK = SIM_BLOCK_BYTES };

static struct world world_new(void)
{
    struct world world = {.random = {42}};
    world.disk = sim_disk_new(&(struct sim_memory){0}, 64 << 20);
    cr_assert_eq(sim_disk_open(world.disk, "/f", FILES_CREATE, &world.file), 0);
    return world;
}

static void world_free(struct world *world)
{
    sim_disk_free(world->disk);
}

static void flush_all(struct world *world)
{
    sim_disk_flush_all(world->disk, world->disk->count);
}

static struct sim_change *begin(struct world *world, uint64_t position, uint8_t fill, size_t bytes)
{
    uint8_t *data = malloc(bytes);
    memset(data, fill, bytes);
    struct sim_change *change =
        sim_disk_write_begin(world->disk, world->file, position, data, bytes);
    free(data);
    return change;
}

static void write_fill(struct world *world, uint64_t position, uint8_t fill, size_t bytes,
                       bool durable)
{
    sim_disk_write_end(world->disk, begin(world, position, fill, bytes), durable);
}

static void allocate(struct world *world, uint64_t bytes)
{
    cr_assert_eq(sim_disk_allocate(world->disk, world->file, 0, bytes), 0);
}

/* The byte at a position after a cut; -1: past the end, -2: the file has no name any more. */
static int byte_in(struct sim_disk *image, const char *path, uint64_t position)
{
    struct sim_inode *inode;
    if (sim_disk_find(image, path, &inode)) {
        return -2;
    }
    uint8_t byte;
    return sim_disk_read(image, inode, position, &byte, 1, NULL) == 1 ? byte : -1;
}

/* Which bytes came up at a position, over many cuts: seen[byte], seen[256]: past the end,
 * seen[257]: no such file. */
static void cuts(struct world *world, enum sim_cut cut, const char *path, uint64_t position,
                 uint32_t seen[258])
{
    memset(seen, 0, 258 * sizeof *seen);
    for (int i = 0; i < CUTS; i++) {
        struct sim_disk *image = sim_disk_image(world->disk, cut, &world->random);
        int byte = byte_in(image, path, position);
        seen[byte >= 0 ? byte : 255 - byte]++;
        sim_disk_free(image);
    }
}

Test(sim_disk, reads_what_was_written)
{
    struct world world = world_new();
    write_fill(&world, 0, 1, 3 * BLOCK, false);
    write_fill(&world, BLOCK + 100, 2, 50, false); /* not even a sector */
    uint8_t bytes[3 * BLOCK];
    cr_assert_eq(sim_disk_read(world.disk, world.file, 0, bytes, sizeof bytes, NULL), sizeof bytes);
    cr_assert_eq(bytes[BLOCK + 99], 1);
    cr_assert_eq(bytes[BLOCK + 100], 2);
    cr_assert_eq(bytes[BLOCK + 149], 2);
    cr_assert_eq(bytes[BLOCK + 150], 1);
    cr_assert_eq(sim_disk_read(world.disk, world.file, 3 * BLOCK - 1, bytes, 10, NULL), 1);
    world_free(&world);
}

Test(sim_disk, keeps_what_was_flushed_over_any_cut)
{
    struct world world = world_new();
    uint32_t seen[258];
    write_fill(&world, 0, 7, 2 * BLOCK, false);
    flush_all(&world);
    cuts(&world, SIM_CUT_POWER, "/f", BLOCK + 5, seen);
    cr_assert_eq(seen[7], CUTS);
    world_free(&world);
}

Test(sim_disk, may_lose_or_keep_each_unflushed_sector)
{
    struct world world = world_new();
    write_fill(&world, 0, 1, 2 * BLOCK, false);
    flush_all(&world);
    write_fill(&world, 0, 2, 2 * BLOCK, false);
    uint32_t seen[16][2] = {0}, torn = 0;
    for (int i = 0; i < CUTS; i++) {
        struct sim_disk *image = sim_disk_image(world.disk, SIM_CUT_POWER, &world.random);
        for (uint64_t sector = 0; sector < 16; sector++) {
            int byte = byte_in(image, "/f", sector * SIM_SECTOR_BYTES);
            cr_assert(byte == 1 || byte == 2);
            cr_assert_eq(byte, byte_in(image, "/f", (sector + 1) * SIM_SECTOR_BYTES - 1));
            seen[sector][byte - 1]++;
            torn += sector % SIM_BLOCK_SECTORS > 0 &&
                    byte != byte_in(image, "/f", (sector - 1) * SIM_SECTOR_BYTES);
        }
        sim_disk_free(image);
    }
    for (int sector = 0; sector < 16; sector++) {
        cr_assert_gt(seen[sector][0], CUTS / 10);
        cr_assert_gt(seen[sector][1], CUTS / 10);
    }
    cr_assert_gt(torn, CUTS / 4);
    world_free(&world);
}

Test(sim_disk, may_keep_a_later_write_and_lose_an_earlier_one)
{
    struct world world = world_new();
    write_fill(&world, 0, 1, 2 * BLOCK, false);
    flush_all(&world);
    write_fill(&world, 0, 2, BLOCK, false);
    write_fill(&world, BLOCK, 3, BLOCK, false);
    uint32_t reordered = 0;
    for (int i = 0; i < CUTS; i++) {
        struct sim_disk *image = sim_disk_image(world.disk, SIM_CUT_POWER, &world.random);
        reordered += byte_in(image, "/f", 0) == 1 && byte_in(image, "/f", BLOCK) == 3;
        sim_disk_free(image);
    }
    cr_assert_gt(reordered, CUTS / 20);
    world_free(&world);
}

Test(sim_disk, persists_with_a_durable_write_its_own_sectors_only)
{
    struct world world = world_new();
    uint32_t seen[258];
    write_fill(&world, 0, 1, 2 * BLOCK, false);
    flush_all(&world);
    write_fill(&world, 0, 2, BLOCK, false);
    write_fill(&world, BLOCK, 3, BLOCK, true);
    cuts(&world, SIM_CUT_POWER, "/f", BLOCK, seen);
    cr_assert_eq(seen[3], CUTS);
    cuts(&world, SIM_CUT_POWER, "/f", 0, seen);
    cr_assert_gt(seen[1], CUTS / 10);
    cr_assert_gt(seen[2], CUTS / 10);
    world_free(&world);
}

Test(sim_disk, never_lets_an_older_write_come_back_over_a_durable_one)
{
    struct world world = world_new();
    uint32_t seen[258];
    write_fill(&world, 0, 1, BLOCK, false);
    write_fill(&world, 0, 2, BLOCK, true);
    flush_all(&world);
    cuts(&world, SIM_CUT_POWER, "/f", 0, seen);
    cr_assert_eq(seen[2], CUTS);
    world_free(&world);
}

Test(sim_disk, covers_with_a_flush_only_what_ended_before_it_began)
{
    struct world world = world_new();
    uint32_t seen[258];
    write_fill(&world, 0, 1, 2 * BLOCK, false);
    flush_all(&world);
    struct sim_change *slow = begin(&world, 0, 2, BLOCK);
    write_fill(&world, BLOCK, 3, BLOCK, false);
    uint64_t flush_began = world.disk->count;
    sim_disk_write_end(world.disk, slow, false);
    sim_disk_flush(world.disk, world.file, flush_began);
    cuts(&world, SIM_CUT_POWER, "/f", BLOCK, seen);
    cr_assert_eq(seen[3], CUTS);
    cuts(&world, SIM_CUT_POWER, "/f", 0, seen);
    cr_assert_gt(seen[1], 0);
    cr_assert_gt(seen[2], 0);
    world_free(&world);
}

Test(sim_disk, tears_what_is_in_flight)
{
    struct world world = world_new();
    uint32_t seen[258];
    write_fill(&world, 0, 1, BLOCK, false);
    flush_all(&world);
    begin(&world, 0, 2, BLOCK);
    cuts(&world, SIM_CUT_POWER, "/f", 512, seen);
    cr_assert_gt(seen[1], CUTS / 10);
    cr_assert_gt(seen[2], CUTS / 10);
    cuts(&world, SIM_CUT_KILL, "/f", 512, seen);
    cr_assert_gt(seen[1], CUTS / 10);
    cr_assert_gt(seen[2], CUTS / 10);
    world_free(&world);
}

Test(sim_disk, loses_nothing_that_ended_to_a_kill_but_maybe_to_a_power_cut_after_it)
{
    struct world world = world_new();
    uint32_t seen[258];
    flush_all(&world);
    write_fill(&world, 0, 5, BLOCK, false);
    struct sim_disk *killed = sim_disk_image(world.disk, SIM_CUT_KILL, &world.random);
    cr_assert_eq(byte_in(killed, "/f", 0), 5);
    struct world after = {.disk = killed, .random = {43}};
    cuts(&after, SIM_CUT_POWER, "/f", 0, seen);
    cr_assert_gt(seen[5], 0);
    cr_assert_gt(seen[256] + seen[0], 0);
    world_free(&after);
    world_free(&world);
}

Test(sim_disk, may_forget_that_an_extent_was_written)
{
    struct world world = world_new();
    uint32_t seen[258];
    allocate(&world, 4 * BLOCK);
    flush_all(&world);
    cr_assert_eq(byte_in(world.disk, "/f", 2 * BLOCK), 0);
    write_fill(&world, 0, 1, BLOCK, false);
    write_fill(&world, BLOCK, 2, BLOCK, true);
    cuts(&world, SIM_CUT_POWER, "/f", 0, seen);
    cr_assert_gt(seen[0], CUTS / 10);
    cr_assert_gt(seen[1], CUTS / 10);
    cuts(&world, SIM_CUT_POWER, "/f", BLOCK, seen);
    cr_assert_eq(seen[2], CUTS);
    world_free(&world);
}

Test(sim_disk, makes_sizes_durable_in_their_order)
{
    struct world world = world_new();
    uint32_t seen[258];
    write_fill(&world, 0, 1, 4 * BLOCK, false);
    flush_all(&world);
    cr_assert_eq(sim_disk_truncate(world.disk, world.file, BLOCK), 0);
    cuts(&world, SIM_CUT_POWER, "/f", 2 * BLOCK, seen);
    cr_assert_gt(seen[1], 0);
    cr_assert_gt(seen[256], 0);
    cr_assert_eq(sim_disk_truncate(world.disk, world.file, 4 * BLOCK), 0);
    cuts(&world, SIM_CUT_POWER, "/f", 2 * BLOCK, seen);
    cr_assert_gt(seen[0], 0); /* cut and grown: zeros */
    cr_assert_gt(seen[1], 0);
    cr_assert_gt(seen[256], 0);
    sim_disk_flush(world.disk, world.file, world.disk->count);
    sim_disk_flush_names(world.disk, world.disk->count);
    cuts(&world, SIM_CUT_POWER, "/f", 2 * BLOCK, seen);
    cr_assert_eq(seen[0], CUTS);
    world_free(&world);
}

Test(sim_disk, may_lose_the_name_of_a_file_whose_bytes_were_flushed)
{
    struct world world = world_new();
    uint32_t seen[258];
    write_fill(&world, 0, 9, BLOCK, true);
    sim_disk_flush(world.disk, world.file, world.disk->count);
    cuts(&world, SIM_CUT_POWER, "/f", 0, seen);
    cr_assert_gt(seen[257], CUTS / 10);
    cr_assert_gt(seen[9], CUTS / 10);
    cr_assert_eq(seen[257] + seen[9], CUTS);
    cuts(&world, SIM_CUT_KILL, "/f", 0, seen);
    cr_assert_eq(seen[9], CUTS);
    sim_disk_flush_directory(world.disk, world.disk->root, world.disk->count);
    cuts(&world, SIM_CUT_POWER, "/f", 0, seen);
    cr_assert_eq(seen[9], CUTS);
    world_free(&world);
}

Test(sim_disk, renames_as_a_whole_or_not_at_all)
{
    struct world world = world_new();
    struct sim_inode *other;
    write_fill(&world, 0, 1, BLOCK, false);
    cr_assert_eq(sim_disk_open(world.disk, "/g", FILES_CREATE, &other), 0);
    flush_all(&world);
    cr_assert_eq(sim_disk_rename(world.disk, "/f", "/g"), 0);
    cr_assert_eq(byte_in(world.disk, "/f", 0), -2);
    uint32_t before = 0, after = 0;
    for (int i = 0; i < CUTS; i++) {
        struct sim_disk *image = sim_disk_image(world.disk, SIM_CUT_POWER, &world.random);
        int f = byte_in(image, "/f", 0), g = byte_in(image, "/g", 0);
        before += f == 1 && g == -1;
        after += f == -2 && g == 1;
        sim_disk_free(image);
    }
    cr_assert_eq(before + after, CUTS);
    cr_assert_gt(before, CUTS / 10);
    cr_assert_gt(after, CUTS / 10);
    world_free(&world);
}

Test(sim_disk, keeps_no_name_without_what_it_rests_on)
{
    struct world world = world_new();
    struct sim_inode *file;
    cr_assert_eq(sim_disk_make_directory(world.disk, "/d"), 0);
    cr_assert_eq(sim_disk_make_directory(world.disk, "/d"), -EEXIST);
    cr_assert_eq(sim_disk_open(world.disk, "/d/a", FILES_CREATE, &file), 0);
    cr_assert_eq(sim_disk_rename(world.disk, "/d/a", "/d/b"), 0);
    uint32_t kept[2] = {0};
    for (int i = 0; i < CUTS; i++) {
        struct sim_disk *image = sim_disk_image(world.disk, SIM_CUT_POWER, &world.random);
        cr_assert(byte_in(image, "/d/a", 0) == -2 || byte_in(image, "/d/b", 0) == -2);
        kept[0] += byte_in(image, "/d/a", 0) == -1;
        kept[1] += byte_in(image, "/d/b", 0) == -1;
        sim_disk_free(image);
    }
    cr_assert_gt(kept[0], 0);
    cr_assert_gt(kept[1], 0);
    world_free(&world);
}

Test(sim_disk, brings_an_unlinked_file_back_if_the_unlinking_was_lost)
{
    struct world world = world_new();
    uint32_t seen[258];
    write_fill(&world, 0, 4, BLOCK, false);
    flush_all(&world);
    cr_assert_eq(sim_disk_remove(world.disk, "/f", false), 0);
    cr_assert_eq(sim_disk_remove(world.disk, "/f", false), -ENOENT);
    sim_inode_drop(world.disk, world.file);
    cuts(&world, SIM_CUT_POWER, "/f", 0, seen);
    cr_assert_gt(seen[4], 0);
    cr_assert_gt(seen[257], 0);
    flush_all(&world);
    cuts(&world, SIM_CUT_POWER, "/f", 0, seen);
    cr_assert_eq(seen[257], CUTS);
    cr_assert_eq(world.disk->bytes_used, 0);
    world_free(&world);
}

Test(sim_disk, persists_nothing_after_a_flush_that_failed)
{
    struct world world = world_new();
    uint32_t seen[258];
    write_fill(&world, 0, 1, BLOCK, false);
    flush_all(&world);
    write_fill(&world, 0, 2, BLOCK, false);
    sim_disk_flush_fail(world.disk, world.file, &world.random);
    sim_disk_flush(world.disk, world.file, world.disk->count); /* says all is well */
    cr_assert_eq(byte_in(world.disk, "/f", 0), 2);
    uint32_t lost = 0;
    for (uint64_t sector = 0; sector < SIM_BLOCK_SECTORS; sector++) {
        cuts(&world, SIM_CUT_POWER, "/f", sector * SIM_SECTOR_BYTES, seen);
        cr_assert(seen[1] == CUTS || seen[2] == CUTS);
        lost += seen[1] == CUTS;
    }
    cr_assert_gt(lost, 0);
    world_free(&world);
}

Test(sim_disk, garbles_what_was_not_flushed_if_it_is_of_that_kind)
{
    struct world world = world_new();
    uint32_t seen[258];
    write_fill(&world, 0, 1, BLOCK, false);
    flush_all(&world);
    write_fill(&world, 0, 2, BLOCK, false);
    cuts(&world, SIM_CUT_POWER, "/f", 700, seen);
    cr_assert_eq(seen[1] + seen[2], CUTS);
    world.disk->garbles = true;
    cuts(&world, SIM_CUT_POWER, "/f", 700, seen);
    cr_assert_lt(seen[1] + seen[2], CUTS);
    cuts(&world, SIM_CUT_KILL, "/f", 700, seen);
    cr_assert_eq(seen[2], CUTS);
    flush_all(&world);
    cuts(&world, SIM_CUT_POWER, "/f", 700, seen);
    cr_assert_eq(seen[2], CUTS);
    world_free(&world);
}

Test(sim_disk, runs_out_of_space_and_gets_it_back)
{
    struct world world = world_new();
    world.disk->bytes_max = 8 * BLOCK;
    allocate(&world, 6 * BLOCK);
    cr_assert_null(begin(&world, 5 * BLOCK, 1, 4 * BLOCK));
    write_fill(&world, 0, 1, 6 * BLOCK, false); /* is allocated */
    cr_assert_neq(sim_disk_allocate(world.disk, world.file, 0, 9 * BLOCK), 0);
    cr_assert_eq(sim_disk_truncate(world.disk, world.file, 0), 0);
    allocate(&world, 8 * BLOCK);
    world_free(&world);
}

Test(sim_disk, complains_of_two_writes_in_flight_to_one_sector)
{
    struct world world = world_new();
    begin(&world, 0, 1, BLOCK);
    begin(&world, BLOCK, 1, BLOCK);
    cr_assert_null(world.disk->complaint);
    begin(&world, 100, 1, 10);
    cr_assert_not_null(world.disk->complaint);
    world_free(&world);
}

Test(sim_disk, images_share_blocks_and_yet_are_apart)
{
    struct world world = world_new();
    write_fill(&world, 0, 1, BLOCK, false);
    flush_all(&world);
    struct world image = {.random = {1}};
    image.disk = sim_disk_image(world.disk, SIM_CUT_POWER, &world.random);
    cr_assert(sim_disk_equal(world.disk, image.disk));
    cr_assert_eq(sim_disk_find(image.disk, "/f", &image.file), 0);
    write_fill(&image, 0, 2, BLOCK, true);
    cr_assert_eq(byte_in(world.disk, "/f", 0), 1);
    cr_assert_eq(byte_in(image.disk, "/f", 0), 2);
    cr_assert_not(sim_disk_equal(world.disk, image.disk));
    world_free(&image);
    world_free(&world);
}
