/*
 * properties -- reads the format of Java's properties files, entry by entry.
 *
 *      # a comment            key=value    key : value    key value
 *      key = first part, \
 *            second part      escapes \t \n \r \f \uXXXX, and \ before any other character
 *
 * Bytes beyond ASCII are taken as they stand, so a UTF-8 file gives UTF-8; \uXXXX becomes UTF-8.
 */
#ifndef CORE_PROPERTIES_H
#define CORE_PROPERTIES_H

#include <stddef.h>
#include <stdint.h>

enum properties_next { PROPERTIES_END, PROPERTIES_ENTRY, PROPERTIES_MALFORMED };

struct properties {
    uint32_t line;   /* where the current entry begins, from 1 */
    const char *key; /* of the current entry, until the next */
    const char *value;
    const char *wrong; /* what is malformed in it */

    /* properties.c only */
    const char *at, *end;
    uint32_t lines_passed;
    char *scratch; /* as large as the text: no entry unescaped is larger */
    char *into;
};

/* text: borrowed until deinit. 0 or -ENOMEM. */
[[nodiscard]] int properties_init(struct properties *properties, const char *text, size_t bytes);
void properties_deinit(struct properties *properties);
[[nodiscard]] enum properties_next properties_read(struct properties *properties);

#endif
