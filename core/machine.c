#define _GNU_SOURCE
#include "core/machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

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
