/*
 * sim_disk -- a disk and the file system on it, with what a power cut would leave of them.
 *
 *      current     what reads see: every write that has ended
 *      changes     writes, sizes and extents in flight, or ended but not yet flushed
 *      durable     what is certain to be there after a cut
 *
 * A flush moves the changes that ended before it began from `changes` into `durable`. A durable
 * (FUA) write moves itself and nothing else. At a cut each sector of each change is there or not,
 * in any order; sizes and truncations of one file are there up to some point in their order; a
 * block of an extent never written before reads as zeros if the extent's conversion was lost. If the
 * disk garbles, a sector that was not flushed may also hold neither its old bytes nor its new ones.
 *
 * Names live apart from content: creating, renaming and removing are durable after a flush of the
 * directory, or of all; without it each may vanish, if nothing that came later and survived was
 * built on it. A file that was flushed but whose name was not can be gone. Real file systems order
 * more than this; the simulated one keeps what POSIX promises and Linux's ext4 and XFS both do.
 *
 * Time is not modelled here: callers begin a change and end it later (core/sim.c draws when).
 * Nothing is random here but cuts and what a failed flush forgets.
 */
#ifndef CORE_SIM_DISK_H
#define CORE_SIM_DISK_H

#include "core/files.h"
#include "core/sim_memory.h"

enum {
    SIM_SECTOR_BYTES = 512, /* what the device writes whole or not at all */
    SIM_BLOCK_BYTES = 4096,
    SIM_BLOCK_SECTORS = SIM_BLOCK_BYTES / SIM_SECTOR_BYTES,
    SIM_NAME_BYTES_MAX = 255,
};

enum sim_extent { SIM_EXTENT_HOLE, SIM_EXTENT_UNWRITTEN, SIM_EXTENT_WRITTEN };

struct sim_block { /* shared by disks and their images; copied before it is changed */
    uint32_t references;
    uint8_t bytes[SIM_BLOCK_BYTES];
};

struct sim_content {
    struct sim_block **blocks; /* [capacity]; NULL reads as zeros */
    uint8_t *extents;          /* [extents_capacity], enum sim_extent */
    uint32_t capacity, extents_capacity;
    uint64_t bytes; /* the file's size */
};

enum sim_change_kind { SIM_CHANGE_WRITE, SIM_CHANGE_SIZE, SIM_CHANGE_ALLOCATE };

struct sim_change { /* of one file, in the order they began */
    struct sim_change *next;
    struct sim_inode *inode;
    enum sim_change_kind kind;
    bool resizes;      /* the size depends on it */
    uint64_t ended;    /* when, by the disk's count; UINT64_MAX: in flight */
    uint64_t position; /* of whole sectors, if it is a write */
    uint64_t bytes;
    uint64_t size_after; /* a write: the size is at least this; SIZE: exactly this */
    uint8_t *live;       /* [sectors]: not yet overtaken by a later durable write */
    uint8_t *data;       /* [bytes] */
};

struct sim_entry {
    char *name;
    struct sim_inode *inode; /* held */
};

struct sim_directory {
    struct sim_entry *entries; /* sorted by name */
    uint32_t count, capacity;
};

struct sim_inode {
    struct sim_inode *next, **link; /* all of the disk, in order of creation */
    uint32_t references;            /* names of both kinds, renamings, open files */
    bool is_directory;
    bool locked;
    struct sim_content current, durable;
    struct sim_directory names, durable_names;
    struct sim_change *changes, **changes_tail;
    struct sim_inode *image; /* its copy, while an image is being made */
};

struct sim_renaming { /* creating has no `from`, removing no `to` */
    struct sim_renaming *next;
    struct sim_inode *inode;
    struct sim_inode *from, *to; /* directories, held */
    char *from_name, *to_name;
    uint64_t ended;
    bool marked; /* scratch */
};

struct sim_disk {
    struct sim_memory memory;
    struct sim_inode *root;
    struct sim_inode *inodes, **inodes_tail;
    struct sim_renaming *renamings, **renamings_tail;
    uint64_t count;     /* of things that ended: a flush covers what ended before it began */
    uint64_t bytes_max; /* space, allocated blocks */
    uint64_t bytes_used;
    bool garbles; /* what the power left while it was written can be anything; a test sets it */
    const char *complaint; /* something no sane program does: set once, for the test to fail on */
};

/* An empty disk of that much space. */
struct sim_disk *sim_disk_new(const struct sim_memory *memory, uint64_t bytes_max);
void sim_disk_free(struct sim_disk *disk);

/* -- after the end of a process or of power ---------------------------------------------------- */

enum sim_cut {
    SIM_CUT_KILL,  /* SIGKILL: the kernel lives, what ended is kept, what is in flight is drawn */
    SIM_CUT_POWER, /* what is not durable is drawn */
};

/* What the disk would be after a cut at this moment; the disk itself goes on. */
struct sim_disk *sim_disk_image(struct sim_disk *disk, enum sim_cut cut, struct sim_random *random);

/* Equal names, sizes and bytes, as a reader sees them. */
bool sim_disk_equal(const struct sim_disk *a, const struct sim_disk *b);

/* -- names ------------------------------------------------------------------------------------- */

[[nodiscard]] int sim_disk_find(struct sim_disk *disk, const char *path, struct sim_inode **inode);
/* flags: FILES_CREATE, FILES_EXCLUSIVE, FILES_TRUNCATE. The inode is held for the caller. */
[[nodiscard]] int sim_disk_open(struct sim_disk *disk, const char *path, int flags,
                                struct sim_inode **inode);
[[nodiscard]] int sim_disk_make_directory(struct sim_disk *disk, const char *path);
[[nodiscard]] int sim_disk_rename(struct sim_disk *disk, const char *from, const char *to);
/* A file, or an empty directory. */
[[nodiscard]] int sim_disk_remove(struct sim_disk *disk, const char *path, bool directory);

void sim_inode_hold(struct sim_inode *inode);
void sim_inode_drop(struct sim_disk *disk, struct sim_inode *inode);

/* -- content ----------------------------------------------------------------------------------- */

/* Bytes. Of sectors that a write in flight touches, each is the old or the new one. */
size_t sim_disk_read(struct sim_disk *disk, struct sim_inode *inode, uint64_t position, void *into,
                     size_t bytes, struct sim_random *random);
/* NULL: no space for it. */
struct sim_change *sim_disk_write_begin(struct sim_disk *disk, struct sim_inode *inode,
                                        uint64_t position, const void *data, size_t bytes);
void sim_disk_write_end(struct sim_disk *disk, struct sim_change *change, bool durable);
/* Some sectors arrived, some did not, and nobody knows which. */
void sim_disk_write_fail(struct sim_disk *disk, struct sim_change *change,
                         struct sim_random *random);
[[nodiscard]] int sim_disk_truncate(struct sim_disk *disk, struct sim_inode *inode, uint64_t bytes);
[[nodiscard]] int sim_disk_allocate(struct sim_disk *disk, struct sim_inode *inode,
                                    uint64_t position, uint64_t bytes);

/* -- flushes: begin is disk->count at the moment the flush began ------------------------------- */

void sim_disk_flush(struct sim_disk *disk, struct sim_inode *inode, uint64_t begin);
void sim_disk_flush_directory(struct sim_disk *disk, struct sim_inode *inode, uint64_t begin);
void sim_disk_flush_names(struct sim_disk *disk, uint64_t begin);
void sim_disk_flush_all(struct sim_disk *disk, uint64_t begin);
/* A flush failed: the kernel calls the pages clean, though only some arrived. */
void sim_disk_flush_fail(struct sim_disk *disk, struct sim_inode *inode, struct sim_random *random);

/* -- sim_disk.c, sim_names.c and sim_image.c only ---------------------------------------------- */

struct sim_inode *sim_inode_new(struct sim_disk *disk, bool is_directory);
struct sim_change *sim_change_new(struct sim_disk *disk, struct sim_inode *inode,
                                  enum sim_change_kind kind, uint64_t position, uint64_t bytes);
void sim_change_settle_size(struct sim_disk *disk, struct sim_change *change);
void sim_change_settle_sectors(struct sim_disk *disk, struct sim_change *change);
void sim_change_forget(struct sim_disk *disk, struct sim_change *change);

const uint8_t *sim_content_at(const struct sim_content *content, uint64_t position);
void sim_content_put(struct sim_disk *disk, struct sim_content *content, uint64_t position,
                     const uint8_t *sector);
void sim_content_copy(struct sim_disk *disk, struct sim_content *to,
                      const struct sim_content *from);
void sim_content_free(struct sim_disk *disk, struct sim_content *content);
/* Blocks past the size, whose data arrived and whose size did not, read as zeros again. */
void sim_content_clip(struct sim_disk *disk, struct sim_content *content);
uint64_t sim_content_space(const struct sim_content *content);

void sim_directory_set(struct sim_disk *disk, struct sim_directory *directory, const char *name,
                       struct sim_inode *inode);
void sim_directory_clear(struct sim_disk *disk, struct sim_directory *directory);
struct sim_renaming *sim_renaming_new(struct sim_disk *disk, struct sim_inode *inode,
                                      struct sim_inode *from, const char *from_name,
                                      struct sim_inode *to, const char *to_name);
/* `later` cannot be on the disk without `earlier`. */
bool sim_renaming_rests_on(const struct sim_renaming *later, const struct sim_renaming *earlier);
/* Take it off the list; if it is to be kept, it is durable now. */
void sim_renaming_settle(struct sim_disk *disk, struct sim_renaming *renaming, bool kept);

#endif
