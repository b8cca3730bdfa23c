/*
 * bump -- memory for a library that insists on allocating, out of one piece that is given to it.
 *
 * Taken from the front, never given back: all of it ends with the piece.
 */
#ifndef CORE_BUMP_H
#define CORE_BUMP_H

#include <stddef.h>
#include <stdint.h>

struct bump {
    uint8_t *at;
    uint8_t *end;
};

/* NULL: too little is left. Aligned to 16, as the piece is. */
static inline void *bump_take(struct bump *bump, size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes > (size_t)(bump->end - bump->at)) {
        return NULL;
    }
    void *taken = bump->at;
    bump->at += bytes;
    return taken;
}

/* As zlib asks for it. */
static inline void *bump_zlib_take(void *bump, unsigned count, unsigned bytes)
{
    return bump_take(bump, (size_t)count * bytes);
}

static inline void bump_zlib_give(void *bump, void *taken)
{
    (void)bump;
    (void)taken;
}

#endif
