/*
 * directory -- a log's directory: made, known by its topic id, retired, removed.
 *
 *      orders-0/               in use
 *      orders-0.<32 digits>-delete/    retired: nobody finds it under the log's name any more
 *
 * A topic may be deleted and made again under the same name at once. So a directory is retired, by
 * a rename, before anything in it is removed, and one that is found where a new log wants its own
 * is retired too: what cannot be removed can at least not come back. Retired ones are removed by
 * the next start; Apache Kafka, which calls them so, does the same. Inside a job.
 */
#ifndef LOG_DIRECTORY_H
#define LOG_DIRECTORY_H

#include "core/files.h"

enum { LOG_NAME_BYTES_MAX = 255 }; /* of a directory */

struct log_place {         /* where a log's files are */
    const char *directory; /* the store's */
    const char *name;      /* the log's; neither changes while a job is out */
};

/* There, and of this topic. What another topic left under the name is retired, and removed if that
 * can be done. Nothing else is flushed: the journal knows of the log.
 *   log_id   of the log that shall have it */
[[nodiscard]] int directory_make(struct files *files, const struct log_place *place,
                                 const uint8_t topic_id[16], uint64_t log_id);

/* It has another name from here on, which no log can have; durable.
 *   log_id    of the log that had it, or shall have the name
 *   retired   out: the new name
 *   -ENOENT: there is none */
[[nodiscard]] int directory_retire(struct files *files, const struct log_place *place,
                                   uint64_t log_id, char retired[LOG_NAME_BYTES_MAX + 1]);
bool directory_name_is_retired(const char *name);

/* The directory and all files in it. 0 too if it is not there. */
[[nodiscard]] int directory_remove(struct files *files, const struct log_place *place);

/* The topic id in its partition.metadata. -ENOENT: it has none that can be read. */
[[nodiscard]] int directory_read_topic_id(struct files *files, const struct log_place *place,
                                          uint8_t topic_id[16]);
[[nodiscard]] int directory_write_topic_id(struct files *files, const struct log_place *place,
                                           const uint8_t topic_id[16]);

/* 1: no segment in it begins with anything but zeros. 0: one does. Or -errno */
[[nodiscard]] int directory_is_blank(struct files *files, const struct log_place *place);

/* Its entries, as files_list. */
[[nodiscard]] int64_t directory_list(struct files *files, const struct log_place *place,
                                     struct files_entry **entries);

/* NNNNNNNNNNNNNNNNNNNN.suffix: its base offset; -1: another name. suffix NULL: any */
int64_t directory_base_of(const char *name, const char *suffix);

/* An absent file is made, another one emptied; then it holds these bytes. Not flushed. */
[[nodiscard]] int directory_write_file(struct files *files, const char *path, const void *bytes,
                                       size_t count);

#endif
