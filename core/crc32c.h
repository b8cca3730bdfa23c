/*
 * crc32c -- the Castagnoli CRC, at the machine's best.
 *
 * Three ways to the same number: tables, the CPU's own instruction (three streams at once), and
 * folding by carry-less multiplication of whole 512-bit vectors. Which one runs is decided per
 * call from the CPU's features and the length; there is no state to set up.
 *
 * Incremental: crc32c(crc32c(0, a), b) == crc32c(0, ab).
 */
#ifndef CORE_CRC32C_H
#define CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

[[nodiscard]] uint32_t crc32c(uint32_t crc, const void *from, size_t bytes);

/* Copies, and returns the CRC of what was copied, in one pass through the cache. No overlap. */
[[nodiscard]] uint32_t crc32c_copy(uint32_t crc, void *to, const void *from, size_t bytes);

/* The CRC of bytes of which only the first have changed: was, is -- the CRC of these alone before and
 * after; bytes_behind -- how many follow. It is right if `crc` was. */
[[nodiscard]] uint32_t crc32c_changed(uint32_t crc, uint32_t was, uint32_t is,
                                      uint64_t bytes_behind);

/* Each way by itself, for tests and benchmarks. */
enum crc32c_way { CRC32C_TABLE, CRC32C_INSTRUCTION, CRC32C_FOLD, CRC32C_WAYS };
enum crc32c_way crc32c_best(void); /* of this machine; the ways below it work as well */
[[nodiscard]] uint32_t crc32c_by(enum crc32c_way way, uint32_t crc, const void *from, size_t bytes);

#endif
