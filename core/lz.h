/*
 * lz -- decoding lz4 frames and snappy streams, a piece at a time.
 *
 *     history  | ...... decoded before ...... | written until now |  (a ring; `given` bytes are out)
 *
 * Both formats are literals and copies of what was decoded before. So one ring, as large as a copy
 * may reach back, is all the memory that decoding needs, however large a block claims to become.
 *
 * lz4: standard frames with independent blocks, no dictionary, header and block checksums checked,
 * as Kafka's Java reader does; what follows the frame is not looked at.
 * snappy: xerial's stream of blocks, or one bare block, as Kafka's Java reader does (librdkafka
 * writes bare blocks).
 */
#ifndef CORE_LZ_H
#define CORE_LZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LZ_LZ4_HISTORY_BYTES = 64 << 10,   /* a copy reaches back 65535 bytes at most */
    LZ_SNAPPY_HISTORY_BYTES = 4 << 20, /* the format allows more; its widest encoder makes blocks of
                                          4 MiB, all others of 64 KiB */
};

#endif
