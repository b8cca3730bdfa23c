/*
 * fuzz -- one input for the decoders of one schema.
 *
 *     | which message | which version | 2 * slice     | the message ...
 *     | which message | which version | 2 * slice + 1 | seed, 4 bytes | place, 2 bytes; value | ...
 *
 * It is decoded and encoded in slices of so much, or straight (0), and then straight again.
 *
 * In the second form the message is a valid one, made at random from the seed, with the bytes at
 * some places set to other values: so that no decoder has to be guessed right from its first byte.
 * Whatever it holds, nothing is read past its end. And what was decoded and encoded again is read
 * as the same: it encodes to the same bytes once more.
 */
#ifndef TESTS_CODEC_FUZZ_H
#define TESTS_CODEC_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* What libFuzzer wants returned. */
int fuzz_schema(const char *schema, const uint8_t *data, size_t bytes);

#endif
