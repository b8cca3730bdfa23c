/*
 * features -- which of the kernel's newer abilities are there, and not hidden.
 *
 * Probed once before the first reactor starts, only read since.
 */
#ifndef CORE_FEATURES_H
#define CORE_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum feature {
#define FEATURE(NAME, name, since, what) FEATURE_##NAME,
#include "core/features.def"
#undef FEATURE
    FEATURES
};

struct features {
    uint32_t found;  /* bit n: enum feature n */
    uint32_t hidden; /* by the mask; a feature is used when found and not hidden */
};

/* Ask the kernel. Where io_uring is refused, nothing is found: uring_attach says why. */
void features_probe(struct features *features);

/* Hide those named in `mask`: names with commas between, or "all". False: `unknown` is no feature's
 * name, and nothing has changed. */
[[nodiscard]] bool features_hide(struct features *features, const char *mask, char *unknown,
                                 size_t unknown_bytes);

bool features_has(const struct features *features, enum feature feature);
const char *feature_name(enum feature feature);

#endif
