/*
 * uring_net -- sockets of the io_uring backend.
 *
 * A receive waits for data without holding a buffer. Once there is some, the kernel picks one of
 * few hot buffers and fills it; the op's `then` runs, and the buffer goes back before the next
 * completion is looked at. Without buffer rings the socket is polled and read into one buffer.
 */
#define _GNU_SOURCE
#include "core/big_endian.h"
#include "core/uring.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 1024 /* connections that arrive while accepting pauses */ };

static struct uring *uring_of(struct reactor *reactor)
{
    return reactor->backend_state;
}

/* -- hot buffers ------------------------------------------------------------------------------- */

static uint8_t *buffer_at(struct uring *uring, uint32_t id)
{
    return uring->buffers + (size_t)id * URING_BUFFER_BYTES;
}

static void buffer_give(struct uring *uring, uint32_t id)
{
    io_uring_buf_ring_add(uring->buffer_ring, buffer_at(uring, id), URING_BUFFER_BYTES, id,
                          io_uring_buf_ring_mask(URING_BUFFERS), 0);
    io_uring_buf_ring_advance(uring->buffer_ring, 1);
}

static void *pages_map(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

int uring_net_init(struct uring *uring)
{
    uring->buffers = pages_map(URING_BUFFERS * URING_BUFFER_BYTES);
    if (!uring->buffers) {
        return -ENOMEM;
    }
    if (!features_has(uring->features, FEATURE_BUFFER_RING)) {
        return 0;
    }
    uring->buffer_ring_bytes = URING_BUFFERS * sizeof(struct io_uring_buf);
    uring->buffer_ring = pages_map(uring->buffer_ring_bytes);
    if (!uring->buffer_ring) {
        return -ENOMEM;
    }
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)uring->buffer_ring,
                                            .ring_entries = URING_BUFFERS,
                                            .bgid = URING_BUFFER_GROUP};
    int error = io_uring_register_buf_ring(&uring->ring, &registration, 0);
    if (error) {
        return error;
    }
    io_uring_buf_ring_init(uring->buffer_ring);
    for (uint32_t id = 0; id < URING_BUFFERS; id++) {
        buffer_give(uring, id);
    }
    return 0;
}

void uring_net_deinit(struct uring *uring) /* the ring is closed already */
{
    if (uring->buffers) {
        munmap(uring->buffers, URING_BUFFERS * URING_BUFFER_BYTES);
    }
    if (uring->buffer_ring) {
        munmap(uring->buffer_ring, uring->buffer_ring_bytes);
    }
    if (uring->spare_fd >= 0) {
        close(uring->spare_fd);
    }
}

/* -- listening --------------------------------------------------------------------------------- */

struct socket_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t bytes;
};

static bool socket_address_from(struct socket_address *to, const struct listen_address *from)
{
    memset(to, 0, sizeof(*to));
    if (inet_pton(AF_INET, from->host, &to->v4.sin_addr) == 1) {
        to->v4.sin_family = AF_INET;
        big_endian_store16(&to->v4.sin_port, from->port);
        to->bytes = sizeof(to->v4);
        return true;
    }
    if (inet_pton(AF_INET6, from->host, &to->v6.sin6_addr) == 1) {
        to->v6.sin6_family = AF_INET6;
        big_endian_store16(&to->v6.sin6_port, from->port);
        to->bytes = sizeof(to->v6);
        return true;
    }
    return false;
}

static void spare_open(struct uring *uring)
{
    if (uring->spare_fd < 0) {
        uring->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}

int uring_listen(struct reactor *reactor, struct listen_address *address)
{
    spare_open(uring_of(reactor));
    struct socket_address at;
    if (!socket_address_from(&at, address)) {
        return -EINVAL;
    }
    int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0) {
        return -errno;
    }
    /* Accepted sockets inherit TCP_NODELAY, which saves each of them a call. "::" takes IPv4 too,
     * as Java's does. */
    int on = 1, off = 0;
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
              setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
              (at.any.sa_family != AF_INET6 ||
               setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0) &&
              bind(fd, &at.any, at.bytes) == 0 && listen(fd, LISTEN_BACKLOG) == 0 &&
              getsockname(fd, &at.any, &at.bytes) == 0;
    if (!ok) {
        int error = -errno;
        close(fd);
        return error;
    }
    address->port =
        big_endian_load16(at.any.sa_family == AF_INET ? &at.v4.sin_port : &at.v6.sin6_port);
    return fd;
}

void uring_accept(struct reactor *reactor, int listener, struct op *op)
{
    struct io_uring_sqe *sqe = uring_sqe(reactor, op, URING_PLAIN);
    sqe->opcode = IORING_OP_ACCEPT;
    sqe->fd = listener;
    sqe->accept_flags = SOCK_CLOEXEC;
}

bool uring_refuse(struct reactor *reactor, int listener)
{
    struct uring *uring = uring_of(reactor);
    struct pollfd waits = {.fd = listener, .events = POLLIN};
    if (poll(&waits, 1, 0) != 1) {
        return false;
    }
    if (uring->spare_fd >= 0) {
        close(uring->spare_fd);
        uring->spare_fd = -1;
    }
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
    spare_open(uring);
    return fd >= 0;
}

/* -- receiving --------------------------------------------------------------------------------- */

/* poll_first: nothing is known to have arrived, so do not try in vain. */
static void receive_begin(struct reactor *reactor, struct receive *receive, bool poll_first)
{
    struct io_uring_sqe *sqe = uring_sqe(reactor, receive, URING_RECEIVE);
    sqe->fd = receive->fd;
    if (!receive->into && !uring_of(reactor)->buffer_ring) {
        sqe->opcode = IORING_OP_POLL_ADD;
        sqe->poll32_events = POLLIN; /* little-endian, as all our machines */
        return;
    }
    sqe->opcode = IORING_OP_RECV;
    sqe->ioprio = poll_first ? IORING_RECVSEND_POLL_FIRST : 0;
    if (receive->into) {
        sqe->addr = (uintptr_t)receive->into;
        sqe->len = receive->bytes_max;
    } else {
        sqe->flags = IOSQE_BUFFER_SELECT;
        sqe->buf_group = URING_BUFFER_GROUP;
        sqe->len = URING_BUFFER_BYTES;
    }
}

void uring_receive(struct reactor *reactor, struct receive *receive)
{
    assert(!receive->into || receive->bytes_max);
    receive_begin(reactor, receive, true);
}

static void receive_end(struct receive *receive, int64_t result)
{
    receive->op.result = result;
    receive->op.then(&receive->op);
}

/* Without a buffer ring: the socket is ready, one hot buffer serves all. */
static void receive_polled(struct reactor *reactor, struct receive *receive)
{
    struct uring *uring = uring_of(reactor);
    ssize_t bytes = recv(receive->fd, uring->buffers, URING_BUFFER_BYTES, MSG_DONTWAIT);
    int64_t result = bytes < 0 ? -errno : bytes;
    if (result == -EAGAIN || result == -EINTR) {
        receive_begin(reactor, receive, true);
        return;
    }
    receive->data = uring->buffers;
    receive_end(receive, result);
}

void uring_received(struct reactor *reactor, struct receive *receive, int32_t result,
                    uint32_t flags)
{
    struct uring *uring = uring_of(reactor);
    if (result == -EINTR || result == -EAGAIN) {
        receive_begin(reactor, receive, true);
    } else if (receive->into) {
        receive_end(receive, result);
    } else if (!uring->buffer_ring) {
        if (result < 0) {
            receive_end(receive, result);
        } else {
            receive_polled(reactor, receive);
        }
    } else if (result == -ENOBUFS) {
        op_queue_push(&uring->starved, &receive->op);
    } else if (flags & IORING_CQE_F_BUFFER) {
        uint32_t id = flags >> IORING_CQE_BUFFER_SHIFT;
        receive->data = buffer_at(uring, id);
        receive_end(receive, result);
        buffer_give(uring, id);
    } else {
        receive_end(receive, result);
    }
}

/* All buffers are free between turns. Those who waited get them before the kernel looks who else is
 * ready, and no more try than can succeed. */
void uring_receive_starved(struct reactor *reactor)
{
    struct uring *uring = uring_of(reactor);
    for (uint32_t i = 0; i < URING_BUFFERS && !op_queue_is_empty(&uring->starved); i++) {
        struct op *op = op_queue_pop(&uring->starved);
        receive_begin(reactor, container_of(op, struct receive, op), false);
    }
}

/* -- sending ----------------------------------------------------------------------------------- */

void uring_send(struct reactor *reactor, struct send *send)
{
    struct io_uring_sqe *sqe = uring_sqe(reactor, send, URING_SEND);
    sqe->fd = send->fd;
    if (send->iov_count == 0) {
        sqe->opcode = IORING_OP_POLL_ADD;
        sqe->poll32_events = POLLOUT;
        return;
    }
    send->message = (struct msghdr){.msg_iov = send->iov, .msg_iovlen = send->iov_count};
    sqe->opcode = IORING_OP_SENDMSG;
    sqe->addr = (uintptr_t)&send->message;
    sqe->len = 1;
    sqe->msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT | (send->more ? MSG_MORE : 0);
}

void uring_sent(struct reactor *reactor, struct send *send, int32_t result)
{
    bool is_wait = send->iov_count == 0;
    if (result == -EINTR || (is_wait && result == -EAGAIN)) {
        uring_send(reactor, send);
        return;
    }
    send->op.result = result == -EAGAIN || (is_wait && result > 0) ? 0 : result;
    send->op.then(&send->op);
}

/* -- ending ------------------------------------------------------------------------------------ */

void uring_shutdown(struct reactor *reactor, int fd)
{
    (void)shutdown(fd, SHUT_RDWR); /* ENOTCONN: the peer was faster */
}

void uring_close(struct reactor *reactor, int fd)
{
    close(fd);
}
