#define _GNU_SOURCE
#include "core/machine.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char root[64];
static struct machine machine;

static void write_file(const char *path, const char *text)
{
    char whole[300];
    snprintf(whole, sizeof(whole), "%s%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)mkdir(whole, 0755);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

static void setup(void)
{
    snprintf(root, sizeof(root), "/tmp/odradek-machine-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    return remove(path);
}

static void teardown(void)
{
    cr_assert_eq(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

TestSuite(machine, .init = setup, .fini = teardown);

Test(machine, has_the_cpus_that_affinity_allows)
{
    cpu_set_t set, one;
    cr_assert_eq(sched_getaffinity(0, sizeof(set), &set), 0);
    machine_detect(&machine, root);
    cr_assert_eq(machine.allowed_count, (uint32_t)CPU_COUNT(&set));
    cr_assert_eq(machine.quota_cpus, 0);
    cr_assert_eq(machine_reactors(&machine), machine.allowed_count);
    cr_assert_gt(machine.memory_bytes, 1 << 20);

    int last = machine.allowed[machine.allowed_count - 1];
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    machine_detect(&machine, root);
    cr_assert_eq(machine_reactors(&machine), 1);
    cr_assert_eq(machine_pin(&machine, 0, 1), last);
}

Test(machine, has_what_the_narrowest_group_above_it_allows)
{
    write_file("/proc/self/cgroup", "3:cpu:/ignored\n0::/outer/inner\n");
    write_file("/sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
    write_file("/sys/fs/cgroup/outer/cpu.max", "150000 100000\n");
    write_file("/sys/fs/cgroup/cpu.max", "800000 100000\n");
    write_file("/sys/fs/cgroup/outer/inner/memory.max", "134217728\n");
    write_file("/sys/fs/cgroup/outer/memory.max", "max\n");
    machine_detect(&machine, root);
    cr_assert_eq(machine.quota_cpus, 2, "one and a half, rounded up");
    cr_assert_eq(machine.memory_bytes, 128 << 20);
    write_file("/sys/fs/cgroup/outer/memory.high", "67108864\n");
    machine_detect(&machine, root);
    cr_assert_eq(machine.memory_bytes, 64 << 20);
}

Test(machine, sees_its_containers_group_at_the_top)
{
    write_file("/proc/self/cgroup", "0::/\n");
    write_file("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    machine_detect(&machine, root);
    cr_assert_eq(machine_reactors(&machine), 1);
}

Test(machine, is_not_misled_by_nonsense)
{
    static const char *const nonsense[] = {"", "max", "0 0", "-1 5", "100000", "x y", "1 0"};
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        write_file("/proc/self/cgroup", "0::/a\n");
        write_file("/sys/fs/cgroup/a/cpu.max", nonsense[i]);
        write_file("/sys/fs/cgroup/a/memory.max", "none");
        machine_detect(&machine, root);
        cr_assert_eq(machine.quota_cpus, 0, "%s", nonsense[i]);
        cr_assert_gt(machine.memory_bytes, 1 << 20);
    }
}

Test(machine, pins_only_when_reactors_fill_the_allowed_set)
{
    machine = (struct machine){.allowed_count = 3, .allowed = {1, 4, 5}};
    cr_assert_eq(machine_pin(&machine, 0, 3), 1);
    cr_assert_eq(machine_pin(&machine, 2, 3), 5);
    cr_assert_eq(machine_pin(&machine, 0, 2), -1);
    cr_assert_eq(machine_pin(&machine, 3, 4), -1);
}

Test(machine, raises_its_descriptors_to_the_hard_limit)
{
    struct rlimit limit = {64, 128};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(machine_raise_descriptors(), 128);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(limit.rlim_cur, 128);
}

Test(machine, leaves_descriptors_to_files_before_connections_get_theirs)
{
    struct descriptors shares;
    for (uint32_t cores = 1; cores <= MACHINE_CPUS_MAX; cores++) {
        uint64_t least = machine_descriptors_min(cores);
        cr_assert_not(machine_share_descriptors(least - 1, cores, &shares));
        for (uint64_t count = least; count < 1 << 20; count += 1 + count / 10) {
            cr_assert(machine_share_descriptors(count, cores, &shares));
            cr_assert_geq(shares.files_per_core, 8);
            cr_assert_leq(shares.files_per_core, 256);
            cr_assert_gt(shares.connections, 0);
            cr_assert_leq(shares.connections + 2ull * cores * shares.files_per_core, count);
        }
    }
    cr_assert(machine_share_descriptors(1024, 2, &shares)); /* what many shells allow */
    cr_assert_eq(shares.files_per_core, 64);
    cr_assert_eq(shares.connections, 1024 - 2 * (2 * 64 + 24) - 32);
    cr_assert(machine_share_descriptors(UINT64_MAX, 1, &shares));
    cr_assert_eq(shares.connections, UINT32_MAX);
}
