#include "core/sim_disk.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* -- disks and inodes -------------------------------------------------------------------------- */

struct sim_disk *sim_disk_new(const struct sim_memory *memory, uint64_t bytes_max)
{
    struct sim_disk *disk = sim_take(memory, sizeof *disk);
    disk->memory = *memory;
    disk->bytes_max = bytes_max;
    disk->inodes_tail = &disk->inodes;
    disk->renamings_tail = &disk->renamings;
    disk->root = sim_inode_new(disk, true);
    sim_inode_hold(disk->root);
    return disk;
}

void sim_disk_free(struct sim_disk *disk)
{
    while (disk->renamings) {
        sim_renaming_settle(disk, disk->renamings, false);
    }
    for (struct sim_inode *inode = disk->inodes; inode; inode = inode->next) {
        sim_inode_hold(inode); /* emptying directories must not free the one we stand on */
    }
    for (struct sim_inode *inode = disk->inodes; inode; inode = inode->next) {
        sim_directory_clear(disk, &inode->names);
        sim_directory_clear(disk, &inode->durable_names);
    }
    while (disk->inodes) {
        disk->inodes->references = 1; /* open files die with their disk */
        sim_inode_drop(disk, disk->inodes);
    }
    struct sim_memory memory = disk->memory;
    sim_give(&memory, disk);
}

struct sim_inode *sim_inode_new(struct sim_disk *disk, bool is_directory)
{
    struct sim_inode *inode = sim_take(&disk->memory, sizeof *inode);
    inode->is_directory = is_directory;
    inode->changes_tail = &inode->changes;
    inode->link = disk->inodes_tail;
    *disk->inodes_tail = inode;
    disk->inodes_tail = &inode->next;
    return inode;
}

void sim_inode_hold(struct sim_inode *inode)
{
    inode->references++;
}

void sim_inode_drop(struct sim_disk *disk, struct sim_inode *inode)
{
    assert(inode->references > 0);
    if (--inode->references > 0) {
        return;
    }
    while (inode->changes) {
        sim_change_forget(disk, inode->changes);
    }
    disk->bytes_used -= sim_content_space(&inode->current);
    sim_content_free(disk, &inode->current);
    sim_content_free(disk, &inode->durable);
    sim_directory_clear(disk, &inode->names);
    sim_directory_clear(disk, &inode->durable_names);
    *inode->link = inode->next;
    if (inode->next) {
        inode->next->link = inode->link;
    } else {
        disk->inodes_tail = inode->link;
    }
    sim_give(&disk->memory, inode);
}

/* -- content ----------------------------------------------------------------------------------- */

static const uint8_t zeros[SIM_BLOCK_BYTES];

static void block_drop(struct sim_disk *disk, struct sim_block *block)
{
    if (block && --block->references == 0) {
        sim_give(&disk->memory, block);
    }
}

/* Room for blocks up to `bytes`; the size is the caller's affair. */
static void content_reach(struct sim_disk *disk, struct sim_content *content, uint64_t bytes)
{
    uint32_t count = (uint32_t)((bytes + SIM_BLOCK_BYTES - 1) / SIM_BLOCK_BYTES);
    content->blocks = sim_room(&disk->memory, content->blocks, &content->capacity, count,
                               sizeof(struct sim_block *));
    content->extents =
        sim_room(&disk->memory, content->extents, &content->extents_capacity, count, 1);
}

/* The sector or block that begins there. */
const uint8_t *sim_content_at(const struct sim_content *content, uint64_t position)
{
    uint64_t index = position / SIM_BLOCK_BYTES;
    if (index >= content->capacity || !content->blocks[index]) {
        return zeros;
    }
    return content->blocks[index]->bytes + position % SIM_BLOCK_BYTES;
}

/* A block of this content alone. */
static struct sim_block *content_own(struct sim_disk *disk, struct sim_content *content,
                                     uint64_t index)
{
    struct sim_block *block = content->blocks[index];
    if (!block || block->references > 1) {
        struct sim_block *own = sim_take(&disk->memory, sizeof *own);
        own->references = 1;
        if (block) {
            memcpy(own->bytes, block->bytes, SIM_BLOCK_BYTES);
            block_drop(disk, block);
        }
        content->blocks[index] = block = own;
    }
    return block;
}

void sim_content_put(struct sim_disk *disk, struct sim_content *content, uint64_t position,
                     const uint8_t *sector)
{
    content_reach(disk, content, position + SIM_SECTOR_BYTES);
    uint64_t index = position / SIM_BLOCK_BYTES;
    struct sim_block *block = content_own(disk, content, index);
    memcpy(block->bytes + position % SIM_BLOCK_BYTES, sector, SIM_SECTOR_BYTES);
    content->extents[index] = SIM_EXTENT_WRITTEN;
}

static void content_truncate(struct sim_disk *disk, struct sim_content *content, uint64_t bytes)
{
    uint64_t index = bytes / SIM_BLOCK_BYTES;
    if (bytes < content->bytes && bytes % SIM_BLOCK_BYTES && index < content->capacity &&
        content->blocks[index]) {
        struct sim_block *block = content_own(disk, content, index);
        memset(block->bytes + bytes % SIM_BLOCK_BYTES, 0,
               SIM_BLOCK_BYTES - bytes % SIM_BLOCK_BYTES);
        index++;
    }
    index = (bytes + SIM_BLOCK_BYTES - 1) / SIM_BLOCK_BYTES;
    for (uint64_t i = index; bytes < content->bytes && i < content->capacity; i++) {
        block_drop(disk, content->blocks[i]);
        content->blocks[i] = NULL;
        content->extents[i] = SIM_EXTENT_HOLE;
    }
    content->bytes = bytes;
}

void sim_content_clip(struct sim_disk *disk, struct sim_content *content)
{
    uint64_t bytes = content->bytes;
    content->bytes = (uint64_t)content->capacity * SIM_BLOCK_BYTES;
    content_truncate(disk, content, bytes);
}

static void content_allocate(struct sim_disk *disk, struct sim_content *content, uint64_t position,
                             uint64_t bytes)
{
    content_reach(disk, content, position + bytes);
    for (uint64_t i = position / SIM_BLOCK_BYTES; i * SIM_BLOCK_BYTES < position + bytes; i++) {
        if (content->extents[i] == SIM_EXTENT_HOLE) {
            content->extents[i] = SIM_EXTENT_UNWRITTEN;
        }
    }
}

void sim_content_copy(struct sim_disk *disk, struct sim_content *to, const struct sim_content *from)
{
    sim_content_free(disk, to);
    content_reach(disk, to, (uint64_t)from->capacity * SIM_BLOCK_BYTES);
    for (uint32_t i = 0; i < from->capacity; i++) {
        to->blocks[i] = from->blocks[i];
        to->extents[i] = i < from->extents_capacity ? from->extents[i] : SIM_EXTENT_HOLE;
        if (to->blocks[i]) {
            to->blocks[i]->references++;
        }
    }
    to->bytes = from->bytes;
}

void sim_content_free(struct sim_disk *disk, struct sim_content *content)
{
    for (uint32_t i = 0; i < content->capacity; i++) {
        block_drop(disk, content->blocks[i]);
    }
    if (content->blocks) {
        sim_give(&disk->memory, content->blocks);
        sim_give(&disk->memory, content->extents);
    }
    *content = (struct sim_content){0};
}

uint64_t sim_content_space(const struct sim_content *content)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < content->extents_capacity; i++) {
        bytes += content->extents[i] != SIM_EXTENT_HOLE ? SIM_BLOCK_BYTES : 0;
    }
    return bytes;
}

/* -- changes ----------------------------------------------------------------------------------- */

struct sim_change *sim_change_new(struct sim_disk *disk, struct sim_inode *inode,
                                  enum sim_change_kind kind, uint64_t position, uint64_t bytes)
{
    struct sim_change *change = sim_take(&disk->memory, sizeof *change);
    change->inode = inode;
    change->kind = kind;
    change->position = position;
    change->bytes = bytes;
    change->ended = UINT64_MAX;
    if (kind == SIM_CHANGE_WRITE) {
        change->data = sim_take(&disk->memory, bytes);
        change->live = sim_take(&disk->memory, bytes / SIM_SECTOR_BYTES);
        memset(change->live, 1, bytes / SIM_SECTOR_BYTES);
    }
    *inode->changes_tail = change;
    inode->changes_tail = &change->next;
    return change;
}

void sim_change_forget(struct sim_disk *disk, struct sim_change *change)
{
    struct sim_inode *inode = change->inode;
    struct sim_change **link = &inode->changes;
    while (*link != change) {
        link = &(*link)->next;
    }
    *link = change->next;
    if (!change->next) {
        inode->changes_tail = link;
    }
    if (change->kind == SIM_CHANGE_WRITE) {
        sim_give(&disk->memory, change->data);
        sim_give(&disk->memory, change->live);
    }
    sim_give(&disk->memory, change);
}

/* From here on nothing before `until` can come back over these bytes. */
static void changes_overtake(struct sim_inode *inode, const struct sim_change *until,
                             uint64_t position, uint64_t end)
{
    for (struct sim_change *change = inode->changes; change != until; change = change->next) {
        if (change->kind != SIM_CHANGE_WRITE || change->ended == UINT64_MAX) {
            continue;
        }
        for (uint64_t i = 0; i < change->bytes / SIM_SECTOR_BYTES; i++) {
            uint64_t at = change->position + i * SIM_SECTOR_BYTES;
            if (at >= position && at < end) {
                change->live[i] = 0;
            }
        }
    }
}

/* What the change does to the durable file's size and extents. */
void sim_change_settle_size(struct sim_disk *disk, struct sim_change *change)
{
    struct sim_content *durable = &change->inode->durable;
    if (change->kind == SIM_CHANGE_SIZE) {
        content_truncate(disk, durable, change->size_after);
        changes_overtake(change->inode, change, change->size_after, UINT64_MAX);
    } else if (change->resizes || change->kind == SIM_CHANGE_ALLOCATE) {
        durable->bytes = most(durable->bytes, change->size_after);
    }
    if (change->kind == SIM_CHANGE_ALLOCATE) {
        content_allocate(disk, durable, change->position, change->bytes);
    }
    change->resizes = false;
}

void sim_change_settle_sectors(struct sim_disk *disk, struct sim_change *change)
{
    if (change->kind != SIM_CHANGE_WRITE) {
        return;
    }
    for (uint64_t i = 0; i < change->bytes / SIM_SECTOR_BYTES; i++) {
        if (change->live[i]) {
            sim_content_put(disk, &change->inode->durable, change->position + i * SIM_SECTOR_BYTES,
                            change->data + i * SIM_SECTOR_BYTES);
        }
    }
}

/* -- reading and writing ----------------------------------------------------------------------- */

size_t sim_disk_read(struct sim_disk *disk, struct sim_inode *inode, uint64_t position, void *into,
                     size_t bytes, struct sim_random *random)
{
    const struct sim_content *current = &inode->current;
    if (position >= current->bytes) {
        return 0;
    }
    bytes = least(bytes, current->bytes - position);
    for (size_t done = 0; done < bytes;) {
        uint64_t at = position + done;
        size_t piece = least(bytes - done, SIM_SECTOR_BYTES - at % SIM_SECTOR_BYTES);
        const uint8_t *from = sim_content_at(current, at);
        for (struct sim_change *change = inode->changes; change; change = change->next) {
            if (change->ended == UINT64_MAX && at >= change->position &&
                at < change->position + change->bytes && sim_chance(random, 50)) {
                from = change->data + (at - change->position);
            }
        }
        memcpy((uint8_t *)into + done, from, piece);
        done += piece;
    }
    return bytes;
}

/* Space for the blocks of a range that have none. */
static bool disk_reserve(struct sim_disk *disk, struct sim_inode *inode, uint64_t position,
                         uint64_t bytes)
{
    uint64_t needed = 0;
    content_reach(disk, &inode->current, position + bytes);
    for (uint64_t i = position / SIM_BLOCK_BYTES; i * SIM_BLOCK_BYTES < position + bytes; i++) {
        needed += inode->current.extents[i] == SIM_EXTENT_HOLE ? SIM_BLOCK_BYTES : 0;
    }
    if (needed > disk->bytes_max - least(disk->bytes_max, disk->bytes_used)) {
        return false;
    }
    disk->bytes_used += needed;
    content_allocate(disk, &inode->current, position, bytes);
    return true;
}

struct sim_change *sim_disk_write_begin(struct sim_disk *disk, struct sim_inode *inode,
                                        uint64_t position, const void *data, size_t bytes)
{
    uint64_t begin = position / SIM_SECTOR_BYTES * SIM_SECTOR_BYTES;
    uint64_t end = (position + bytes + SIM_SECTOR_BYTES - 1) / SIM_SECTOR_BYTES * SIM_SECTOR_BYTES;
    for (struct sim_change *other = inode->changes; other; other = other->next) {
        if (other->ended == UINT64_MAX && begin < other->position + other->bytes &&
            other->position < end) {
            disk->complaint = "two writes in flight touch the same sector";
        }
    }
    if (!disk_reserve(disk, inode, position, bytes)) {
        return NULL;
    }
    struct sim_change *change = sim_change_new(disk, inode, SIM_CHANGE_WRITE, begin, end - begin);
    for (uint64_t at = begin; at < end; at += SIM_SECTOR_BYTES) { /* what surrounds ragged ends */
        memcpy(change->data + (at - begin), sim_content_at(&inode->current, at), SIM_SECTOR_BYTES);
    }
    memcpy(change->data + (position - begin), data, bytes);
    change->size_after = position + bytes;
    change->resizes = change->size_after > inode->current.bytes;
    return change;
}

void sim_disk_write_end(struct sim_disk *disk, struct sim_change *change, bool durable)
{
    struct sim_inode *inode = change->inode;
    for (uint64_t i = 0; i < change->bytes / SIM_SECTOR_BYTES; i++) {
        if (change->live[i]) {
            sim_content_put(disk, &inode->current, change->position + i * SIM_SECTOR_BYTES,
                            change->data + i * SIM_SECTOR_BYTES);
        }
    }
    inode->current.bytes = most(inode->current.bytes, change->size_after);
    change->ended = disk->count++;
    if (!durable) {
        return;
    }
    /* Its own sectors, and what is needed to find them: the file's sizes so far. */
    for (struct sim_change *earlier = inode->changes, *next; earlier != change; earlier = next) {
        next = earlier->next;
        if (earlier->ended == UINT64_MAX) {
            continue;
        }
        sim_change_settle_size(disk, earlier);
        if (earlier->kind != SIM_CHANGE_WRITE) {
            sim_change_forget(disk, earlier);
        }
    }
    changes_overtake(inode, change, change->position, change->position + change->bytes);
    sim_change_settle_size(disk, change);
    sim_change_settle_sectors(disk, change);
    sim_change_forget(disk, change);
}

void sim_disk_write_fail(struct sim_disk *disk, struct sim_change *change,
                         struct sim_random *random)
{
    for (uint64_t i = 0; i < change->bytes / SIM_SECTOR_BYTES; i++) {
        change->live[i] = sim_chance(random, 50);
    }
    if (sim_chance(random, 50)) {
        change->size_after = 0;
        change->resizes = false;
    }
    sim_disk_write_end(disk, change, false);
}

int sim_disk_truncate(struct sim_disk *disk, struct sim_inode *inode, uint64_t bytes)
{
    for (struct sim_change *other = inode->changes; other; other = other->next) {
        if (other->ended == UINT64_MAX && other->position + other->bytes > bytes) {
            disk->complaint = "a file is cut under a write in flight";
        }
    }
    struct sim_change *change = sim_change_new(disk, inode, SIM_CHANGE_SIZE, 0, 0);
    change->size_after = bytes;
    change->resizes = true;
    change->ended = disk->count++;
    disk->bytes_used -= sim_content_space(&inode->current);
    content_truncate(disk, &inode->current, bytes);
    disk->bytes_used += sim_content_space(&inode->current);
    return 0;
}

int sim_disk_allocate(struct sim_disk *disk, struct sim_inode *inode, uint64_t position,
                      uint64_t bytes)
{
    if (!disk_reserve(disk, inode, position, bytes)) {
        return -1;
    }
    struct sim_change *change = sim_change_new(disk, inode, SIM_CHANGE_ALLOCATE, position, bytes);
    change->size_after = position + bytes;
    change->resizes = true;
    change->ended = disk->count++;
    inode->current.bytes = most(inode->current.bytes, change->size_after);
    return 0;
}

/* -- flushes ----------------------------------------------------------------------------------- */

void sim_disk_flush(struct sim_disk *disk, struct sim_inode *inode, uint64_t begin)
{
    for (struct sim_change *change = inode->changes, *next; change; change = next) {
        next = change->next;
        if (change->ended < begin) {
            sim_change_settle_size(disk, change);
            sim_change_settle_sectors(disk, change);
            sim_change_forget(disk, change);
        }
    }
}

void sim_disk_flush_all(struct sim_disk *disk, uint64_t begin)
{
    sim_disk_flush_names(disk, begin);
    for (struct sim_inode *inode = disk->inodes; inode; inode = inode->next) {
        sim_disk_flush(disk, inode, begin);
    }
}

void sim_disk_flush_fail(struct sim_disk *disk, struct sim_inode *inode, struct sim_random *random)
{
    for (struct sim_change *change = inode->changes, *next; change; change = next) {
        next = change->next;
        if (change->ended == UINT64_MAX) {
            continue;
        }
        for (uint64_t i = 0; change->live && i < change->bytes / SIM_SECTOR_BYTES; i++) {
            change->live[i] = change->live[i] && sim_chance(random, 50);
        }
        if (change->kind != SIM_CHANGE_SIZE || sim_chance(random, 50)) {
            sim_change_settle_size(disk, change);
        }
        sim_change_settle_sectors(disk, change);
        sim_change_forget(disk, change);
    }
}
