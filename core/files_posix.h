/*
 * files_posix -- the real file system behind files.h, for the helper threads that run jobs and for
 * main before the reactors start. It keeps no state: any thread may have one.
 */
#ifndef CORE_FILES_POSIX_H
#define CORE_FILES_POSIX_H

#include "core/features.h"
#include "core/files.h"

/* features: outlives files. */
void files_posix_init(struct files *files, const struct features *features);

#endif
