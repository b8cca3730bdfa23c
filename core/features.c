#define _GNU_SOURCE
#include "core/features.h"

#include "core/uring_shim.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const char *const names[FEATURES] = {
#define FEATURE(NAME, name, since, what) [FEATURE_##NAME] = name,
#include "core/features.def"
#undef FEATURE
};

bool features_has(const struct features *features, enum feature feature)
{
    return features->found & ~features->hidden & 1u << feature;
}

const char *feature_name(enum feature feature)
{
    return names[feature];
}

static bool probe_defer_taskrun(void)
{
    struct io_uring ring;
    if (io_uring_queue_init(1, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)) {
        return false;
    }
    io_uring_queue_exit(&ring);
    return true;
}

static bool probe_buffer_ring(struct io_uring *ring)
{
    enum { ENTRIES = 1 };
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return false;
    }
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)memory,
                                            .ring_entries = ENTRIES};
    bool found = io_uring_register_buf_ring(ring, &registration, 0) == 0;
    if (found) {
        io_uring_unregister_buf_ring(ring, 0);
    }
    munmap(memory, 4096);
    return found;
}

static bool probe_ring_fd(struct io_uring *ring)
{
    if (io_uring_register_ring_fd(ring) != 1) {
        return false;
    }
    io_uring_unregister_ring_fd(ring);
    return true;
}

static bool probe_opcode(struct io_uring *ring, int opcode)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool found = probe && io_uring_opcode_supported(probe, opcode);
    io_uring_free_probe(probe);
    return found;
}

static bool probe_iowq_max_workers(struct io_uring *ring)
{
    unsigned int unchanged[2] = {0, 0};
    return io_uring_register_iowq_max_workers(ring, unchanged) == 0;
}

static bool probe_iowq_affinity(struct io_uring *ring)
{
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0 ||
        io_uring_register_iowq_aff(ring, sizeof(cpus), &cpus) != 0) {
        return false;
    }
    io_uring_unregister_iowq_aff(ring);
    return true;
}

/* Found: the field is known. What a file system says in it is asked for each file. */
static bool probe_statx_dioalign(void)
{
    struct statx status;
    return statx(AT_FDCWD, "/proc/self/exe", 0, STATX_DIOALIGN, &status) == 0 &&
           status.stx_mask & STATX_DIOALIGN;
}

void features_probe(struct features *features)
{
    *features = (struct features){0};
    struct io_uring ring;
    if (io_uring_queue_init(8, &ring, 0) != 0) {
        return;
    }
    const bool found[FEATURES] = {
        [FEATURE_DEFER_TASKRUN] = probe_defer_taskrun(),
        [FEATURE_RING_FD] = probe_ring_fd(&ring),
        [FEATURE_BUFFER_RING] = probe_buffer_ring(&ring),
        [FEATURE_MSG_RING] = probe_opcode(&ring, IORING_OP_MSG_RING),
        [FEATURE_IOWQ_MAX_WORKERS] = probe_iowq_max_workers(&ring),
        [FEATURE_IOWQ_AFFINITY] = probe_iowq_affinity(&ring),
        [FEATURE_STATX_DIOALIGN] = probe_statx_dioalign(),
    };
    io_uring_queue_exit(&ring);
    for (uint32_t i = 0; i < FEATURES; i++) {
        features->found |= (uint32_t)found[i] << i;
    }
}

bool features_hide(struct features *features, const char *mask, char *unknown, size_t unknown_bytes)
{
    uint32_t hidden = features->hidden;
    for (const char *word = mask; *word;) {
        word += strspn(word, ", ");
        size_t count = strcspn(word, ", ");
        uint32_t found = count == 3 && memcmp(word, "all", 3) == 0 ? (1u << FEATURES) - 1 : 0;
        for (uint32_t i = 0; i < FEATURES; i++) {
            if (strlen(names[i]) == count && memcmp(names[i], word, count) == 0) {
                found = 1u << i;
            }
        }
        if (count && !found) {
            snprintf(unknown, unknown_bytes, "%.*s", (int)count, word);
            return false;
        }
        hidden |= found;
        word += count;
    }
    features->hidden = hidden;
    return true;
}
