/*
 * view -- bytes that somebody else keeps: a string or a blob, with null as the wire has it.
 *
 * Null has bytes -1. Any view of 0 bytes is the empty one, whatever its data, so a zeroed view is
 * the empty string. Text is not terminated and not checked: it may hold anything.
 */
#ifndef CORE_VIEW_H
#define CORE_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct view {
    const uint8_t *data; /* whoever hands out a view says how long this stays */
    int32_t bytes;       /* -1: null */
};

#define VIEW_NULL ((struct view){.data = NULL, .bytes = -1})

static inline struct view view_of(const void *data, int32_t bytes)
{
    return (struct view){.data = data, .bytes = bytes};
}

/* text: NULL is null */
static inline struct view view_of_text(const char *text)
{
    return text ? view_of(text, (int32_t)strlen(text)) : VIEW_NULL;
}

static inline bool view_is_null(struct view view)
{
    return view.bytes < 0;
}

/* Null equals null only. */
static inline bool view_equal(struct view view, struct view other)
{
    return view.bytes == other.bytes &&
           (view.bytes <= 0 || memcmp(view.data, other.data, (size_t)view.bytes) == 0);
}

static inline bool view_equal_text(struct view view, const char *text)
{
    return view_equal(view, view_of_text(text));
}

#endif
