/*
 * sim_names -- directories of the simulated disk: which names there are, and which would survive.
 *
 * Every directory has two tables, of the names that a reader sees and of those that are certain
 * to be there after a cut. Between them stands the list of renamings, in the order they were made.
 */
#include "core/sim_disk.h"

#include <errno.h>

static char *text_new(struct sim_disk *disk, const char *text, size_t bytes)
{
    char *copy = sim_take(&disk->memory, bytes + 1);
    memcpy(copy, text, bytes);
    return copy;
}

/* -- one table --------------------------------------------------------------------------------- */

/* The first entry whose name is not less. */
static uint32_t directory_place(const struct sim_directory *directory, const char *name)
{
    uint32_t low = 0, high = directory->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (strcmp(directory->entries[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct sim_inode *directory_find(const struct sim_directory *directory, const char *name)
{
    uint32_t place = directory_place(directory, name);
    bool found = place < directory->count && !strcmp(directory->entries[place].name, name);
    return found ? directory->entries[place].inode : NULL;
}

static void directory_unset(struct sim_disk *disk, struct sim_directory *directory,
                            const char *name)
{
    uint32_t place = directory_place(directory, name);
    if (place == directory->count || strcmp(directory->entries[place].name, name)) {
        return;
    }
    struct sim_entry entry = directory->entries[place];
    directory->count--;
    memmove(&directory->entries[place], &directory->entries[place + 1],
            (directory->count - place) * sizeof entry);
    sim_give(&disk->memory, entry.name);
    sim_inode_drop(disk, entry.inode);
}

void sim_directory_set(struct sim_disk *disk, struct sim_directory *directory, const char *name,
                       struct sim_inode *inode)
{
    sim_inode_hold(inode);
    directory_unset(disk, directory, name);
    uint32_t place = directory_place(directory, name);
    directory->entries = sim_room(&disk->memory, directory->entries, &directory->capacity,
                                  directory->count + 1, sizeof(struct sim_entry));
    memmove(&directory->entries[place + 1], &directory->entries[place],
            (directory->count - place) * sizeof(struct sim_entry));
    directory->entries[place].name = text_new(disk, name, strlen(name));
    directory->entries[place].inode = inode;
    directory->count++;
}

void sim_directory_clear(struct sim_disk *disk, struct sim_directory *directory)
{
    while (directory->count > 0) {
        directory_unset(disk, directory, directory->entries[directory->count - 1].name);
    }
    if (directory->entries) {
        sim_give(&disk->memory, directory->entries);
    }
    *directory = (struct sim_directory){0};
}

/* -- renamings --------------------------------------------------------------------------------- */

struct sim_renaming *sim_renaming_new(struct sim_disk *disk, struct sim_inode *inode,
                                      struct sim_inode *from, const char *from_name,
                                      struct sim_inode *to, const char *to_name)
{
    struct sim_renaming *renaming = sim_take(&disk->memory, sizeof *renaming);
    renaming->inode = inode;
    renaming->from = from;
    renaming->to = to;
    sim_inode_hold(inode);
    if (from) {
        sim_inode_hold(from);
        renaming->from_name = text_new(disk, from_name, strlen(from_name));
    }
    if (to) {
        sim_inode_hold(to);
        renaming->to_name = text_new(disk, to_name, strlen(to_name));
    }
    renaming->ended = disk->count++;
    *disk->renamings_tail = renaming;
    disk->renamings_tail = &renaming->next;
    return renaming;
}

static bool same_slot(const struct sim_inode *a, const char *a_name, const struct sim_inode *b,
                      const char *b_name)
{
    return a && a == b && !strcmp(a_name, b_name);
}

bool sim_renaming_rests_on(const struct sim_renaming *later, const struct sim_renaming *earlier)
{
    return later->inode == earlier->inode || later->from == earlier->inode ||
           later->to == earlier->inode ||
           same_slot(later->from, later->from_name, earlier->from, earlier->from_name) ||
           same_slot(later->from, later->from_name, earlier->to, earlier->to_name) ||
           same_slot(later->to, later->to_name, earlier->from, earlier->from_name) ||
           same_slot(later->to, later->to_name, earlier->to, earlier->to_name);
}

void sim_renaming_settle(struct sim_disk *disk, struct sim_renaming *renaming, bool kept)
{
    struct sim_renaming **link = &disk->renamings;
    while (*link != renaming) {
        link = &(*link)->next;
    }
    *link = renaming->next;
    if (!renaming->next) {
        disk->renamings_tail = link;
    }
    if (kept && renaming->from) {
        directory_unset(disk, &renaming->from->durable_names, renaming->from_name);
    }
    if (kept && renaming->to) {
        sim_directory_set(disk, &renaming->to->durable_names, renaming->to_name, renaming->inode);
    }
    if (renaming->from) {
        sim_inode_drop(disk, renaming->from);
        sim_give(&disk->memory, renaming->from_name);
    }
    if (renaming->to) {
        sim_inode_drop(disk, renaming->to);
        sim_give(&disk->memory, renaming->to_name);
    }
    sim_inode_drop(disk, renaming->inode);
    sim_give(&disk->memory, renaming);
}

/* Of the renamings that ended in time: those of one directory (NULL: all), and what they rest on.*/
static void renamings_flush(struct sim_disk *disk, struct sim_inode *directory, uint64_t begin)
{
    for (struct sim_renaming *one = disk->renamings; one; one = one->next) {
        one->marked =
            one->ended < begin && (!directory || one->from == directory || one->to == directory);
    }
    for (bool more = true; more;) { /* a chain of n needs at most n rounds */
        more = false;
        for (struct sim_renaming *later = disk->renamings; later; later = later->next) {
            if (!later->marked) {
                continue;
            }
            for (struct sim_renaming *one = disk->renamings; one != later; one = one->next) {
                if (!one->marked && later->inode != directory &&
                    sim_renaming_rests_on(later, one)) {
                    one->marked = more = true;
                }
            }
        }
    }
    for (struct sim_renaming *one = disk->renamings, *next; one; one = next) {
        next = one->next;
        if (one->marked) {
            sim_renaming_settle(disk, one, true);
        }
    }
}

void sim_disk_flush_directory(struct sim_disk *disk, struct sim_inode *inode, uint64_t begin)
{
    renamings_flush(disk, inode, begin);
}

void sim_disk_flush_names(struct sim_disk *disk, uint64_t begin)
{
    renamings_flush(disk, NULL, begin);
}

/* -- paths ------------------------------------------------------------------------------------- */

/* The directory that holds, or would hold, the path's last name. */
static int path_parent(struct sim_disk *disk, const char *path, struct sim_inode **parent,
                       char name[SIM_NAME_BYTES_MAX + 1])
{
    struct sim_inode *inode = disk->root;
    name[0] = '\0';
    for (;;) {
        path += strspn(path, "/");
        size_t bytes = strcspn(path, "/");
        if (bytes == 0) {
            *parent = inode;
            return name[0] ? 0 : -EINVAL;
        }
        if (bytes > SIM_NAME_BYTES_MAX) {
            return -ENAMETOOLONG;
        }
        memcpy(name, path, bytes);
        name[bytes] = '\0';
        path += bytes;
        if (path[strspn(path, "/")] == '\0') {
            *parent = inode;
            return 0;
        }
        if (strcmp(name, ".") != 0) {
            inode = directory_find(&inode->names, name);
            if (!inode) {
                return -ENOENT;
            }
        }
        if (!inode->is_directory) {
            return -ENOTDIR;
        }
    }
}

int sim_disk_find(struct sim_disk *disk, const char *path, struct sim_inode **inode)
{
    char name[SIM_NAME_BYTES_MAX + 1];
    struct sim_inode *parent;
    *inode = NULL;
    if (path[strspn(path, "/.")] == '\0') { /* "/", "." */
        *inode = disk->root;
        return 0;
    }
    int error = path_parent(disk, path, &parent, name);
    if (error) {
        return error;
    }
    *inode = directory_find(&parent->names, name);
    return *inode ? 0 : -ENOENT;
}

/* A new file or directory takes a block of space. */
static int inode_create(struct sim_disk *disk, struct sim_inode *parent, const char *name,
                        bool is_directory, struct sim_inode **inode)
{
    if (disk->bytes_used + SIM_BLOCK_BYTES > disk->bytes_max) {
        return -ENOSPC;
    }
    *inode = sim_inode_new(disk, is_directory);
    sim_directory_set(disk, &parent->names, name, *inode);
    sim_renaming_new(disk, *inode, NULL, NULL, parent, name);
    return 0;
}

int sim_disk_open(struct sim_disk *disk, const char *path, int flags, struct sim_inode **inode)
{
    char name[SIM_NAME_BYTES_MAX + 1];
    struct sim_inode *parent;
    int error = path_parent(disk, path, &parent, name);
    if (error) {
        return error;
    }
    *inode = directory_find(&parent->names, name);
    if (!*inode && !(flags & FILES_CREATE)) {
        return -ENOENT;
    }
    if (*inode && (flags & FILES_CREATE) && (flags & FILES_EXCLUSIVE)) {
        return -EEXIST;
    }
    if (*inode && (*inode)->is_directory && !(flags & FILES_READ)) {
        return -EISDIR;
    }
    if (!*inode) {
        error = inode_create(disk, parent, name, false, inode);
        if (error) {
            return error;
        }
    } else if ((flags & FILES_TRUNCATE) && (*inode)->current.bytes > 0) {
        error = sim_disk_truncate(disk, *inode, 0);
        assert(!error);
    }
    sim_inode_hold(*inode);
    return 0;
}

int sim_disk_make_directory(struct sim_disk *disk, const char *path)
{
    char name[SIM_NAME_BYTES_MAX + 1];
    struct sim_inode *parent, *inode;
    int error = path_parent(disk, path, &parent, name);
    if (error) {
        return error;
    }
    if (directory_find(&parent->names, name)) {
        return -EEXIST;
    }
    return inode_create(disk, parent, name, true, &inode);
}

int sim_disk_rename(struct sim_disk *disk, const char *from, const char *to)
{
    char from_name[SIM_NAME_BYTES_MAX + 1], to_name[SIM_NAME_BYTES_MAX + 1];
    struct sim_inode *from_parent, *to_parent;
    int error = path_parent(disk, from, &from_parent, from_name);
    if (!error) {
        error = path_parent(disk, to, &to_parent, to_name);
    }
    if (error) {
        return error;
    }
    struct sim_inode *inode = directory_find(&from_parent->names, from_name);
    struct sim_inode *there = directory_find(&to_parent->names, to_name);
    if (!inode) {
        return -ENOENT;
    }
    if (there == inode) {
        return 0;
    }
    if (there && there->is_directory != inode->is_directory) {
        return there->is_directory ? -EISDIR : -ENOTDIR;
    }
    if (there && there->names.count > 0) {
        return -ENOTEMPTY;
    }
    sim_renaming_new(disk, inode, from_parent, from_name, to_parent, to_name);
    sim_directory_set(disk, &to_parent->names, to_name, inode);
    directory_unset(disk, &from_parent->names, from_name);
    return 0;
}

int sim_disk_remove(struct sim_disk *disk, const char *path, bool directory)
{
    char name[SIM_NAME_BYTES_MAX + 1];
    struct sim_inode *parent;
    int error = path_parent(disk, path, &parent, name);
    if (error) {
        return error;
    }
    struct sim_inode *inode = directory_find(&parent->names, name);
    if (!inode) {
        return -ENOENT;
    }
    if (inode->is_directory != directory) {
        return directory ? -ENOTDIR : -EISDIR;
    }
    if (inode->names.count > 0) {
        return -ENOTEMPTY;
    }
    sim_renaming_new(disk, inode, parent, name, NULL, NULL);
    directory_unset(disk, &parent->names, name);
    return 0;
}
