/*
 * copy -- bytes to memory that nobody reads soon: past the caches, where the machine can.
 *
 * An ordinary store fetches the line that it is about to overwrite, and throws out of the cache what
 * would have been needed. For a large batch on its way to the tail and the journal that is a third
 * of all memory traffic.
 */
#ifndef CORE_COPY_H
#define CORE_COPY_H

#include <stddef.h>

enum { COPY_STREAMED_BYTES_MIN = 4096 /* below, an ordinary copy is as good */ };

/* As memcpy. */
void copy_streamed(void *to, const void *from, size_t bytes);

#endif
