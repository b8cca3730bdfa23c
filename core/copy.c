#include "core/copy.h"

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__

#include <emmintrin.h>

enum { LINE_BYTES = 64 };

void copy_streamed(void *to, const void *from, size_t bytes)
{
    if (bytes < COPY_STREAMED_BYTES_MIN) {
        memcpy(to, from, bytes);
        return;
    }
    size_t head = -(uintptr_t)to & (LINE_BYTES - 1); /* whole lines, or they are written in parts */
    memcpy(to, from, head);
    uint8_t *at = (uint8_t *)to + head;
    const uint8_t *source = (const uint8_t *)from + head;
    bytes -= head;
    for (; bytes >= LINE_BYTES; bytes -= LINE_BYTES) {
        const __m128i *read = (const __m128i *)(const void *)source;
        __m128i *write = (__m128i *)(void *)at;
        __m128i a = _mm_loadu_si128(read), b = _mm_loadu_si128(read + 1);
        __m128i c = _mm_loadu_si128(read + 2), d = _mm_loadu_si128(read + 3);
        _mm_stream_si128(write, a);
        _mm_stream_si128(write + 1, b);
        _mm_stream_si128(write + 2, c);
        _mm_stream_si128(write + 3, d);
        at += LINE_BYTES;
        source += LINE_BYTES;
    }
    _mm_sfence(); /* streamed stores are ordered with nothing else */
    memcpy(at, source, bytes);
}

#else

void copy_streamed(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

#endif
