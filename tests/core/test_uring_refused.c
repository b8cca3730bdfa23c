/*
 * What the start says where io_uring is refused. Each test runs in a process of its own, so it may
 * take rights away from itself.
 */
#define _GNU_SOURCE
#include "core/uring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static char why[500];

static int attach(uint32_t entries)
{
    static struct reactor reactor;
    static struct reactor *peers[1];
    static struct features features;
    features_probe(&features);
    struct uring_options options = {.entries = entries, .pin_cpu = -1, .features = &features};
    cr_assert_eq(reactor_init(&reactor, 0, 1, peers, 1 << 20, 1, NULL), 0);
    int error = uring_attach(&reactor, &options, why, sizeof(why));
    if (!error) {
        uring_detach(&reactor);
    }
    reactor_deinit(&reactor);
    return error;
}

/* As a container's runtime does. */
static void forbid_io_uring(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

Test(uring_refused, names_the_calls_that_a_container_must_allow)
{
    forbid_io_uring(EPERM);
    cr_assert_eq(attach(0), -EPERM);
    cr_assert_not_null(strstr(why, "io_uring_setup"), "%s", why);
}

Test(uring_refused, names_the_kernel_that_is_needed)
{
    forbid_io_uring(ENOSYS);
    cr_assert_eq(attach(0), -ENOSYS);
    cr_assert_not_null(strstr(why, "6.1"), "%s", why);
}

/* Root may lock what it likes; so be somebody else with this much. */
static void limit_locked_memory(uint64_t bytes)
{
    struct rlimit limit = {bytes, bytes};
    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (geteuid() == 0) {
        cr_assert_eq(setuid(54321), 0);
    }
}

Test(uring_refused, makes_do_with_a_smaller_ring_where_memory_is_locked_tightly)
{
    limit_locked_memory(64 << 10);
    cr_assert_eq(attach(0), 0, "%s", why);
}

Test(uring_refused, names_the_limit_when_not_even_a_small_ring_fits)
{
    limit_locked_memory(0);
    int error = attach(0);
    bool counted = error != 0; /* kernels before 6.13 do not count rings as locked memory */
    cr_assert_eq(error, counted ? -ENOMEM : 0);
    cr_assert_eq(strstr(why, "RLIMIT_MEMLOCK") != NULL, counted, "%s", why);
}

Test(uring_refused, names_the_limit_of_descriptors)
{
    struct rlimit limit = {8, 8};
    while (dup(1) >= 0 && dup(1) < 7) {
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(attach(0), -EMFILE);
    cr_assert_not_null(strstr(why, "RLIMIT_NOFILE"), "%s", why);
}
