/*
 * machine -- what of this machine the process may use: CPUs by affinity and cgroup quota, memory by
 * cgroup limit.
 *
 *      reactors = the smaller of the allowed CPUs and the quota rounded up; each is pinned to a CPU
 *                 of its own only when they fill the allowed set, or two would share one and leave
 *                 another idle
 *
 * Read once by main before the reactors start.
 */
#ifndef CORE_MACHINE_H
#define CORE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

enum { MACHINE_CPUS_MAX = 256 };

struct machine {
    uint32_t allowed_count; /* CPUs that this process may run on, at most MACHINE_CPUS_MAX */
    uint16_t allowed[MACHINE_CPUS_MAX]; /* their numbers, ascending */
    uint32_t quota_cpus;   /* how many the cgroup's quota is worth, rounded up; 0: no quota */
    uint64_t memory_bytes; /* installed, or the cgroup's limit */
};

/* root: "" but in tests, which have a /proc and /sys of their own. */
void machine_detect(struct machine *machine, const char *root);

uint32_t machine_reactors(const struct machine *machine);
/* The CPU for a reactor when there are `count` of them, or -1: it is not pinned. */
int32_t machine_pin(const struct machine *machine, uint32_t index, uint32_t count);

/* As many file descriptors as the hard limit allows; how many that is. */
uint64_t machine_raise_descriptors(void);

struct descriptors {
    uint32_t files_per_core; /* of segments, open at once when nobody uses more of them */
    uint32_t connections;
};
/* Sockets must not take what files need. False: there are too few for so many cores. */
[[nodiscard]] bool machine_share_descriptors(uint64_t count, uint32_t cores,
                                             struct descriptors *shares);
/* The fewest with which that is true. */
uint64_t machine_descriptors_min(uint32_t cores);

#endif
