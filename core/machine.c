#define _GNU_SOURCE
#include "core/machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    FILES_PER_CORE_MIN = 8,
    FILES_PER_CORE_MAX = 256,
    OTHERS_PER_CORE = 24, /* its ring, its journal, and what its jobs have open */
    OTHERS = 32,          /* standard streams, listeners, the metadata log, recovery's lock */
    CONNECTIONS_MIN = 16,
};
enum { PATH_BYTES = 1024, LINE_BYTES = 256, CPUS_LOOKED_AT = 4096 };

static void detect_cpus(struct machine *machine)
{
    cpu_set_t *set = CPU_ALLOC(CPUS_LOOKED_AT);
    size_t bytes = CPU_ALLOC_SIZE(CPUS_LOOKED_AT);
    if (set && sched_getaffinity(0, bytes, set) == 0) {
        for (uint32_t cpu = 0; cpu < CPUS_LOOKED_AT; cpu++) {
            if (CPU_ISSET_S(cpu, bytes, set) && machine->allowed_count < MACHINE_CPUS_MAX) {
                machine->allowed[machine->allowed_count++] = (uint16_t)cpu;
            }
        }
    }
    CPU_FREE(set);
    if (machine->allowed_count == 0) {
        machine->allowed_count = 1;
    }
}

/* The first line of a file. False: there is none. */
static bool read_line(const char *path, char *line)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        return false;
    }
    bool ok = fgets(line, LINE_BYTES, file) != NULL;
    fclose(file);
    line[ok ? strcspn(line, "\n") : 0] = '\0';
    return ok;
}

/* "QUOTA PERIOD" in microseconds, or "max PERIOD". */
static void apply_cpu_max(struct machine *machine, const char *line)
{
    char *rest;
    unsigned long long quota_us = strtoull(line, &rest, 10);
    if (rest == line) {
        return;
    }
    unsigned long long period_us = strtoull(rest, NULL, 10);
    if (quota_us == 0 || period_us == 0) {
        return;
    }
    uint64_t cpus = (quota_us + period_us - 1) / period_us;
    if (cpus < MACHINE_CPUS_MAX && (machine->quota_cpus == 0 || cpus < machine->quota_cpus)) {
        machine->quota_cpus = cpus;
    }
}

static void apply_memory_max(struct machine *machine, const char *line)
{
    char *rest;
    unsigned long long bytes = strtoull(line, &rest, 10);
    if (rest != line && bytes && bytes < machine->memory_bytes) {
        machine->memory_bytes = bytes;
    }
}

static void apply_group(struct machine *machine, const char *root, const char *group)
{
    char path[PATH_BYTES + LINE_BYTES], line[LINE_BYTES];
    snprintf(path, sizeof(path), "%s/sys/fs/cgroup%s/cpu.max", root, group);
    if (read_line(path, line)) {
        apply_cpu_max(machine, line);
    }
    snprintf(path, sizeof(path), "%s/sys/fs/cgroup%s/memory.max", root, group);
    if (read_line(path, line)) {
        apply_memory_max(machine, line);
    }
    snprintf(path, sizeof(path), "%s/sys/fs/cgroup%s/memory.high", root, group);
    if (read_line(path, line)) { /* beyond it the process is not killed, but hardly runs */
        apply_memory_max(machine, line);
    }
}

/* Version 2: "0::/our/group"; a limit counts on every level from there to the top. Version 1 has no
 * such line and is passed over: there are the allowed CPUs and settings. */
static void detect_groups(struct machine *machine, const char *root)
{
    char path[PATH_BYTES], line[LINE_BYTES];
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    if (!file) {
        return;
    }
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, "0::/", 4) != 0) {
            continue;
        }
        char *group = line + 3;
        group[strcspn(group, "\n")] = '\0';
        for (char *slash; (slash = strrchr(group, '/')); *slash = '\0') {
            apply_group(machine, root, group);
        }
        apply_group(machine, root, ""); /* the top, which is a container's own */
        break;
    }
    fclose(file);
}

void machine_detect(struct machine *machine, const char *root)
{
    *machine = (struct machine){0};
    detect_cpus(machine);
    machine->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    detect_groups(machine, root);
}

uint32_t machine_reactors(const struct machine *machine)
{
    bool fewer = machine->quota_cpus && machine->quota_cpus < machine->allowed_count;
    return fewer ? machine->quota_cpus : machine->allowed_count;
}

int32_t machine_pin(const struct machine *machine, uint32_t index, uint32_t count)
{
    return count == machine->allowed_count && index < count ? machine->allowed[index] : -1;
}

uint64_t machine_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
            return raised.rlim_cur;
        }
    }
    return limit.rlim_cur;
}

/* In use at once there may be twice as many of a core's files as it keeps open. */
static uint64_t descriptors_of_files(uint32_t cores, uint32_t files_per_core)
{
    return (uint64_t)cores * (2 * files_per_core + OTHERS_PER_CORE) + OTHERS;
}

uint64_t machine_descriptors_min(uint32_t cores)
{
    return descriptors_of_files(cores, FILES_PER_CORE_MIN) + CONNECTIONS_MIN;
}

bool machine_share_descriptors(uint64_t count, uint32_t cores, struct descriptors *shares)
{
    if (count < machine_descriptors_min(cores)) {
        return false;
    }
    uint64_t files = count / 8 / cores; /* which with their doubles is a quarter of all */
    files = files < FILES_PER_CORE_MIN   ? FILES_PER_CORE_MIN
            : files > FILES_PER_CORE_MAX ? FILES_PER_CORE_MAX
                                         : files;
    shares->files_per_core = (uint32_t)files;
    uint64_t connections = count - descriptors_of_files(cores, shares->files_per_core);
    shares->connections = connections < UINT32_MAX ? (uint32_t)connections : UINT32_MAX;
    return true;
}
