/*
 * sim_image -- what is left of a disk after a cut.
 *
 *      disk --copy--> image --settle--> image after a cut
 *
 * The image is first a whole copy, changes and renamings included, which shares the blocks. After
 * a SIGKILL the kernel still holds what was not flushed, and a later power cut can take it; so only
 * what was in flight is settled, by a draw. After a power cut everything is.
 *
 * Each image draws a temper, so that besides the thorough mixtures also the pure cases come up:
 * everything lost, everything kept, names in order but data lost, and so on.
 */
#include "core/sim_disk.h"

/* -- the copy ---------------------------------------------------------------------------------- */

static void change_copy(struct sim_disk *image, const struct sim_change *from,
                        struct sim_inode *inode)
{
    struct sim_change *to = sim_change_new(image, inode, from->kind, from->position, from->bytes);
    to->resizes = from->resizes;
    to->ended = from->ended;
    to->size_after = from->size_after;
    if (from->kind == SIM_CHANGE_WRITE) {
        memcpy(to->data, from->data, from->bytes);
        memcpy(to->live, from->live, from->bytes / SIM_SECTOR_BYTES);
    }
}

static void directory_copy(struct sim_disk *image, struct sim_directory *to,
                           const struct sim_directory *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        sim_directory_set(image, to, from->entries[i].name, from->entries[i].inode->image);
    }
}

static struct sim_disk *disk_copy(struct sim_disk *disk)
{
    struct sim_disk *image = sim_disk_new(&disk->memory, disk->bytes_max);
    image->count = disk->count;
    image->garbles = disk->garbles;
    disk->root->image = image->root;
    for (struct sim_inode *from = disk->inodes; from; from = from->next) {
        struct sim_inode *to = from == disk->root ? image->root : sim_inode_new(image, false);
        from->image = to;
        to->is_directory = from->is_directory;
        sim_inode_hold(to); /* until all names are there */
        sim_content_copy(image, &to->current, &from->current);
        sim_content_copy(image, &to->durable, &from->durable);
        for (const struct sim_change *change = from->changes; change; change = change->next) {
            change_copy(image, change, to);
        }
    }
    for (struct sim_inode *from = disk->inodes; from; from = from->next) {
        directory_copy(image, &from->image->names, &from->names);
        directory_copy(image, &from->image->durable_names, &from->durable_names);
    }
    for (const struct sim_renaming *one = disk->renamings; one; one = one->next) {
        struct sim_renaming *copy =
            sim_renaming_new(image, one->inode->image, one->from ? one->from->image : NULL,
                             one->from_name, one->to ? one->to->image : NULL, one->to_name);
        copy->ended = one->ended;
    }
    image->count = disk->count;
    return image;
}

/* -- dice -------------------------------------------------------------------------------------- */

enum fate { FATE_LOST, FATE_KEPT, FATE_PREFIX, FATE_SUFFIX, FATE_EACH, FATES };

struct temper {             /* of one cut */
    uint32_t data_percent;  /* how likely a change is kept whole; 101: each has a fate of its own */
    uint32_t names_percent; /* the same of names; 101: those up to some moment */
    uint64_t names_until;
    bool garbles;
};

static struct temper temper_draw(const struct sim_disk *disk, struct sim_random *random)
{
    static const uint32_t percents[] = {0, 100, 10, 50, 90, 101, 101, 101};
    struct temper temper;
    temper.data_percent = percents[sim_below(random, 8)];
    temper.names_percent = percents[sim_below(random, 8)];
    temper.names_until = sim_below(random, disk->count + 1);
    temper.garbles = disk->garbles && sim_chance(random, 30);
    return temper;
}

/* Which of the change's sectors made it: `live` says so afterwards. grain: sectors that share a
 * fate. */
static void change_draw(struct sim_change *change, const struct temper *temper, uint64_t grain,
                        struct sim_random *random)
{
    uint64_t count = change->bytes / SIM_SECTOR_BYTES;
    enum fate fate = sim_chance(random, temper->data_percent) ? FATE_KEPT : FATE_LOST;
    if (temper->data_percent > 100) {
        fate = sim_below(random, FATES);
    }
    uint64_t at = sim_below(random, count + 1);
    bool kept = false;
    for (uint64_t i = 0; i < count; i++) {
        if (i == 0 || (change->position / SIM_SECTOR_BYTES + i) % grain == 0) {
            kept = fate == FATE_KEPT || (fate == FATE_PREFIX && i < at) ||
                   (fate == FATE_SUFFIX && i >= at) ||
                   (fate == FATE_EACH && sim_chance(random, 50));
        }
        change->live[i] = change->live[i] && kept;
    }
}

/* Some of the sectors, if they are kept, were being written when the power went: torn at a byte, or
 * noise. */
static void change_garble(struct sim_change *change, const struct temper *temper,
                          struct sim_random *random)
{
    if (!temper->garbles || sim_chance(random, 50)) {
        return;
    }
    for (uint64_t i = 0; i < change->bytes / SIM_SECTOR_BYTES; i++) {
        uint8_t *sector = change->data + i * SIM_SECTOR_BYTES;
        uint64_t position = change->position + i * SIM_SECTOR_BYTES;
        if (change->live[i] && sim_chance(random, 20)) {
            size_t torn = sim_below(random, SIM_SECTOR_BYTES);
            bool is_noise = sim_chance(random, 50);
            memcpy(sector + torn, sim_content_at(&change->inode->durable, position) + torn,
                   SIM_SECTOR_BYTES - torn);
            for (size_t at = 0; is_noise && at < SIM_SECTOR_BYTES; at++) {
                sector[at] = (uint8_t)sim_draw(random);
            }
        }
    }
}

/* -- settling ---------------------------------------------------------------------------------- */

/* What was in flight has ended, as far as it got. */
static void inode_end_flights(struct sim_disk *image, struct sim_inode *inode,
                              const struct temper *temper, struct sim_random *random)
{
    for (struct sim_change *change = inode->changes, *next; change; change = next) {
        next = change->next;
        if (change->ended == UINT64_MAX) {
            change_draw(change, temper, SIM_BLOCK_SECTORS, random);
            if (change->resizes && sim_chance(random, 50)) {
                change->resizes = false;
                change->size_after = 0;
            }
            sim_disk_write_end(image, change, false);
        }
    }
}

/* Blocks never written before whose extent's conversion was lost read as zeros. */
static void change_unconvert(struct sim_change *change, const struct temper *temper,
                             struct sim_random *random)
{
    const struct sim_content *durable = &change->inode->durable;
    bool lost = false;
    for (uint64_t i = 0; i < change->bytes / SIM_SECTOR_BYTES; i++) {
        uint64_t block = (change->position + i * SIM_SECTOR_BYTES) / SIM_BLOCK_BYTES;
        if (i == 0 || (change->position / SIM_SECTOR_BYTES + i) % SIM_BLOCK_SECTORS == 0) {
            bool converted =
                block < durable->extents_capacity && durable->extents[block] == SIM_EXTENT_WRITTEN;
            lost = !converted && temper->data_percent != 100 && sim_chance(random, 30);
        }
        change->live[i] = change->live[i] && !lost;
    }
}

static void inode_lose_power(struct sim_disk *image, struct sim_inode *inode,
                             const struct temper *temper, struct sim_random *random)
{
    uint32_t sizes = 0;
    for (struct sim_change *change = inode->changes; change; change = change->next) {
        sizes += change->resizes;
    }
    uint64_t sizes_kept = temper->data_percent == 0     ? 0
                          : temper->data_percent == 100 ? sizes
                                                        : sim_below(random, sizes + 1);
    while (inode->changes) {
        struct sim_change *change = inode->changes;
        if (change->kind == SIM_CHANGE_WRITE) {
            change_garble(change, temper, random);
            change_draw(change, temper, 1, random);
            change_unconvert(change, temper, random);
        }
        if (!change->resizes) {
            sim_change_settle_size(image, change);
        } else if (sizes_kept > 0) {
            sizes_kept--;
            sim_change_settle_size(image, change);
        }
        sim_change_settle_sectors(image, change);
        sim_change_forget(image, change);
    }
    sim_content_clip(image, &inode->durable);
    sim_content_copy(image, &inode->current, &inode->durable);
}

/* A renaming that is lost takes along what rests on it. */
static void names_lose_power(struct sim_disk *image, const struct temper *temper,
                             struct sim_random *random)
{
    for (struct sim_renaming *one = image->renamings; one; one = one->next) {
        one->marked = temper->names_percent > 100 ? one->ended < temper->names_until
                                                  : sim_chance(random, temper->names_percent);
        for (struct sim_renaming *earlier = image->renamings; one->marked && earlier != one;
             earlier = earlier->next) {
            if (!earlier->marked && sim_renaming_rests_on(one, earlier)) {
                one->marked = false;
            }
        }
    }
    while (image->renamings) {
        sim_renaming_settle(image, image->renamings, image->renamings->marked);
    }
    for (struct sim_inode *inode = image->inodes; inode; inode = inode->next) {
        sim_directory_clear(image, &inode->names);
        for (uint32_t i = 0; i < inode->durable_names.count; i++) {
            const struct sim_entry *entry = &inode->durable_names.entries[i];
            sim_directory_set(image, &inode->names, entry->name, entry->inode);
        }
    }
}

struct sim_disk *sim_disk_image(struct sim_disk *disk, enum sim_cut cut, struct sim_random *random)
{
    struct sim_disk *image = disk_copy(disk);
    struct temper temper = temper_draw(disk, random);
    for (struct sim_inode *inode = image->inodes; inode; inode = inode->next) {
        if (cut == SIM_CUT_POWER) {
            inode_lose_power(image, inode, &temper, random);
        } else {
            inode_end_flights(image, inode, &temper, random);
        }
    }
    if (cut == SIM_CUT_POWER) {
        names_lose_power(image, &temper, random);
    }
    for (struct sim_inode *inode = disk->inodes; inode; inode = inode->next) {
        struct sim_inode *copy = inode->image;
        inode->image = NULL;
        sim_inode_drop(image, copy); /* what has no name left is gone */
    }
    image->bytes_used = 0;
    for (struct sim_inode *inode = image->inodes; inode; inode = inode->next) {
        image->bytes_used += sim_content_space(&inode->current);
    }
    return image;
}

/* -- comparing --------------------------------------------------------------------------------- */

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the directories, a few levels */
static bool inode_equal(const struct sim_inode *a, const struct sim_inode *b)
{
    if (a->is_directory != b->is_directory || a->names.count != b->names.count ||
        a->current.bytes != b->current.bytes) {
        return false;
    }
    for (uint64_t at = 0; at < a->current.bytes; at += SIM_SECTOR_BYTES) {
        if (memcmp(sim_content_at(&a->current, at), sim_content_at(&b->current, at),
                   SIM_SECTOR_BYTES) != 0) {
            return false;
        }
    }
    for (uint32_t i = 0; i < a->names.count; i++) {
        if (strcmp(a->names.entries[i].name, b->names.entries[i].name) != 0 ||
            !inode_equal(a->names.entries[i].inode, b->names.entries[i].inode)) {
            return false;
        }
    }
    return true;
}

bool sim_disk_equal(const struct sim_disk *a, const struct sim_disk *b)
{
    return inode_equal(a->root, b->root);
}
