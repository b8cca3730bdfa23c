/*
 * slab -- a reactor's memory: pieces in size classes, drawn from one reserved range of addresses.
 *
 *      range   | 512 B ...... | 1 KiB ...... | 2 KiB ...... |  ...  | 128 MiB ...... |
 *      region                 |== used ==|-- open --|. reserved .|
 *
 * One region for each class (powers of two), each as large as the whole budget: so no mixture of
 * sizes can run dry before the budget does. Addresses are reserved at start, opened in steps, and
 * memory is touched on use. Pieces are reused last in, first out (still warm); idle ones of 1 MiB
 * and more, beyond 128 MiB of a class, go back to the kernel. Each piece is charged to a term of
 * core/budget.def. Pieces of 4 KiB and more are aligned to 4096.
 *
 * What idle pieces of one class keep touched serves no other. So when what is out and what is idle
 * come to more than the budget, idle memory goes back, a little with each take and give: pieces of
 * 16 KiB and more one by one, smaller ones when all of their class are idle.
 * Lives on one reactor: a piece may be read elsewhere, but it is given back here.
 */
#ifndef CORE_SLAB_H
#define CORE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum budget_term {
#define BUDGET(TERM, name, share, why) BUDGET_##TERM,
#include "core/budget.def"
#undef BUDGET
    BUDGET_TERMS
};

enum { SLAB_BYTES_MIN = 512, SLAB_BYTES_MAX = 128 << 20, SLAB_CLASSES = 19 };

struct budget {
    uint64_t bytes;     /* in use */
    uint64_t bytes_max; /* the term's limit */
    uint64_t bytes_peak;
};

struct slab_class { /* slab.c only */
    uint8_t *region;
    uint64_t region_bytes;
    uint64_t open_bytes; /* of region: may be touched */
    uint64_t used_bytes; /* of open: has been taken at least once */
    uint64_t idle_end; /* of open: what lies between used_bytes and this is touched all the same */
    void *warm;        /* idle pieces, linked through their first word */
    void *cold;        /* the same, but their memory went back to the kernel, but for a page */
    uint32_t warm_count;
    uint32_t out_count;
};

struct slabs {
    struct budget budgets[BUDGET_TERMS];
    uint64_t bytes_max;  /* of all terms */
    uint64_t out_bytes;  /* in use, by all terms */
    uint64_t idle_bytes; /* not in use, but maybe touched */

    /* slab.c only */
    uint8_t *range;
    uint64_t range_bytes;
    struct slab_class classes[SLAB_CLASSES];
};

/* 0 or -errno. */
[[nodiscard]] int slabs_init(struct slabs *slabs, uint64_t memory_bytes);
void slabs_deinit(struct slabs *slabs);

/* A piece of at least `bytes`, charged to the term; NULL at the term's limit, when bytes exceed
 * SLAB_BYTES_MAX, or when the kernel refuses memory. Not cleared. slab_bytes(bytes) of it may be
 * used, and are charged. */
[[nodiscard]] void *slab_take(struct slabs *slabs, enum budget_term term, size_t bytes);
/* bytes: any number of the same class as asked for. NULL is allowed. */
void slab_give(struct slabs *slabs, enum budget_term term, void *piece, size_t bytes);
/* The size of the piece that holds `bytes`, which are at most SLAB_BYTES_MAX. */
size_t slab_bytes(size_t bytes);

/* Move a piece's charge to another term. False: that term is at its limit, nothing has changed. */
[[nodiscard]] bool slab_recharge(struct slabs *slabs, enum budget_term from, enum budget_term to,
                                 size_t bytes);

#endif
