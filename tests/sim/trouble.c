#include "tests/sim/trouble.h"

#include <errno.h>

enum {
    FILLS_US_MAX = 300 * 1000, /* when, after the start */
    FILLS_SOON_US_MAX = 3 * 1000,
    FULL_US_MAX = 500 * 1000,   /* for how long */
    ROOM_BYTES_MAX = 256 << 10, /* that is left of it */
};

static const uint32_t refusals[] = {
    [TROUBLE_OFFLINE] = MAY_REFUSE_ANYTHING,
    [TROUBLE_METADATA] = MAY_REFUSE_ANYTHING, /* the directory goes offline, on all cores */
    [TROUBLE_FULL] = MAY_REFUSE_APPENDS | MAY_REFUSE_CHANGES,
    [TROUBLE_READS] = MAY_REFUSE_APPENDS | MAY_REFUSE_READS,
};

static struct sim_node *node_of(const struct trouble *trouble)
{
    return trouble->world->computer->node;
}

static void fail(struct trouble *trouble, enum sim_failing failing, uint64_t after, uint64_t count)
{
    node_of(trouble)->failings[failing].after = after;
    node_of(trouble)->failings[failing].count = count;
    node_of(trouble)->failings[failing].error = -EIO;
    node_of(trouble)->failings[failing].only = trouble->only;
}

/* From some operation on: one of a kind fails, or all. */
static void fail_to_write(struct trouble *trouble, uint64_t after_max)
{
    struct sim_random *dice = &trouble->world->dice;
    enum sim_failing failing = sim_chance(dice, 60) ? SIM_FAILING_WRITE : SIM_FAILING_FLUSH;
    uint64_t after = sim_between(dice, 1, after_max);
    fail(trouble, failing, after, sim_chance(dice, 50) ? 1 : UINT64_MAX);
}

static bool is_log_file(const char *name)
{
    size_t length = strlen(name);
    return length > 4 && !strcmp(name + length - 4, ".log");
}

/* One of the .log files in those directories whose names begin so. False: there is none. */
static bool single_out(struct trouble *trouble, const char *prefix)
{
    struct sim_inode *data;
    uint64_t seen = 0;
    int error = sim_disk_find(node_of(trouble)->disk, "/data", &data);
    assert(!error);
    for (uint32_t i = 0; i < data->names.count; i++) {
        const struct sim_entry *folder = &data->names.entries[i];
        if (!folder->inode->is_directory || strncmp(folder->name, prefix, strlen(prefix)) != 0) {
            continue;
        }
        for (uint32_t j = 0; j < folder->inode->names.count; j++) {
            const struct sim_entry *file = &folder->inode->names.entries[j];
            if (is_log_file(file->name) && sim_below(&trouble->world->dice, ++seen) == 0) {
                trouble->only = file->inode;
            }
        }
    }
    if (trouble->only) {
        sim_inode_hold(trouble->only);
    }
    return trouble->only != NULL;
}

static void disk_fills(struct sim *sim, struct sim_event *event)
{
    struct trouble *trouble = container_of(event, struct trouble, fills);
    struct sim_disk *disk = node_of(trouble)->disk;
    struct sim_random *dice = &trouble->world->dice;
    disk->bytes_max =
        disk->bytes_used + (sim_chance(dice, 50) ? sim_below(dice, ROOM_BYTES_MAX) : 0);
}

static void disk_empties(struct sim *sim, struct sim_event *event)
{
    struct trouble *trouble = container_of(event, struct trouble, empties);
    node_of(trouble)->disk->bytes_max = COMPUTER_DISK_BYTES;
}

void trouble_begin(struct trouble *trouble, struct world *world, enum trouble_kind kind)
{
    struct sim *sim = &world->computer->sim;
    uint64_t fills_us;
    *trouble = (struct trouble){.kind = kind, .world = world};
    world->refusals = refusals[kind];
    switch (kind) {
    case TROUBLE_NONE:
        return;
    case TROUBLE_OFFLINE:
        fail_to_write(trouble, 100);
        return;
    case TROUBLE_METADATA:
        if (single_out(trouble, "__cluster_metadata-0")) {
            fail_to_write(trouble, 10);
        }
        return;
    case TROUBLE_FULL:
        fills_us = sim_below(&world->dice,
                             sim_chance(&world->dice, 50) ? FILLS_SOON_US_MAX : FILLS_US_MAX);
        sim_event_start(sim, &trouble->fills, fills_us, disk_fills);
        sim_event_start(sim, &trouble->empties,
                        fills_us + sim_between(&world->dice, 1, FULL_US_MAX), disk_empties);
        return;
    case TROUBLE_READS:
        if (single_out(trouble, "topic-")) {
            fail(trouble, SIM_FAILING_READ, sim_between(&world->dice, 1, 5),
                 sim_between(&world->dice, 1, 3));
        }
        return;
    }
}

void trouble_end(struct trouble *trouble)
{
    struct sim_node *node = node_of(trouble);
    sim_event_cancel(node->sim, &trouble->fills);
    sim_event_cancel(node->sim, &trouble->empties);
    node->disk->bytes_max = COMPUTER_DISK_BYTES;
    memset(node->failings, 0, sizeof node->failings);
    if (trouble->only) {
        sim_inode_drop(node->disk, trouble->only);
        trouble->only = NULL;
    }
}
