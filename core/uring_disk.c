/*
 * uring_disk -- reads and writes of the io_uring backend, resumed until whole.
 *
 * While one is under way io->op.result is how many bytes have been transferred.
 */
#define _GNU_SOURCE
#include "core/uring.h"

#include <errno.h>
#include <sys/uio.h>

static struct io_uring_sqe *transfer_begin(struct reactor *reactor, struct file_io *io,
                                           enum uring_tag tag)
{
    struct io_uring_sqe *sqe = uring_sqe(reactor, io, tag);
    sqe->fd = io->fd;
    sqe->addr = (uintptr_t)(io->buffer + io->op.result);
    sqe->len = io->bytes - io->op.result;
    sqe->off = io->position + io->op.result;
    return sqe;
}

static void read_begin(struct reactor *reactor, struct file_io *io)
{
    transfer_begin(reactor, io, URING_READ)->opcode = IORING_OP_READ;
}

static void write_begin(struct reactor *reactor, struct file_io *io)
{
    struct io_uring_sqe *sqe = transfer_begin(reactor, io, URING_WRITE);
    sqe->opcode = IORING_OP_WRITE;
    sqe->rw_flags = io->durable ? RWF_DSYNC : 0;
}

void uring_read(struct reactor *reactor, struct file_io *io)
{
    io->op.result = 0;
    read_begin(reactor, io);
}

void uring_has_read(struct reactor *reactor, struct file_io *io, int32_t result)
{
    if (result == -EINTR || result == -EAGAIN) {
        read_begin(reactor, io);
        return;
    }
    if (result > 0) {
        io->op.result += result;
        /* An odd rest is the file's end: O_DIRECT could not go on from there anyway. */
        if (io->op.result < io->bytes && result % FILE_BLOCK_BYTES == 0) {
            read_begin(reactor, io);
            return;
        }
    } else if (result < 0) {
        io->op.result = result;
    }
    io->op.then(&io->op);
}

void uring_write(struct reactor *reactor, struct file_io *io)
{
    io->op.result = 0;
    write_begin(reactor, io);
}

void uring_written(struct reactor *reactor, struct file_io *io, int32_t result)
{
    if (result == -EINTR || result == -EAGAIN) {
        write_begin(reactor, io);
        return;
    }
    if (result > 0) {
        io->op.result += result;
        if (io->op.result < io->bytes) {
            write_begin(reactor, io);
            return;
        }
    } else if (result < 0 || io->bytes) {
        io->op.result = result < 0 ? result : -EIO; /* no progress and no reason */
    }
    io->op.then(&io->op);
}

void uring_flush(struct reactor *reactor, int fd, struct op *op)
{
    struct io_uring_sqe *sqe = uring_sqe(reactor, op, URING_PLAIN);
    sqe->opcode = IORING_OP_FSYNC;
    sqe->fd = fd;
    sqe->fsync_flags = IORING_FSYNC_DATASYNC;
}
