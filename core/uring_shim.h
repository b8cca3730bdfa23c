/*
 * uring_shim -- what Debian 12's liburing 2.3 lacks. Who talks to io_uring includes it from here.
 */
#ifndef CORE_URING_SHIM_H
#define CORE_URING_SHIM_H

#include <errno.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Declared in liburing.h, but not exported by the shared library before 2.4. */
static inline int shim_enable_rings(struct io_uring *ring)
{
    long result =
        syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    return result < 0 ? -errno : (int)result;
}

#endif
