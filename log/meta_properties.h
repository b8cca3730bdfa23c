/*
 * meta_properties -- meta.properties: whose directory it is, and where its journals begin.
 *
 *      version=2                      Apache Kafka opens 1 and refuses 2: ours while 2
 *      cluster.id, node.id, directory.id
 *      odradek.format=1               of everything that only we read: journals, STATE
 *      odradek.start=7                counts starts: raised, and durable, before anything is written
 *      odradek.journals.from=7        journals of earlier starts are void
 *      odradek.salt=00c0ffee...       of the journals; a secret
 *      odradek.nonce=...              after a clean stop only: also in .kafka_cleanshutdown
 *
 * Java's properties, as Kafka writes them. Replaced as a whole, atomically and durably.
 */
#ifndef LOG_META_PROPERTIES_H
#define LOG_META_PROPERTIES_H

#include "core/files.h"

enum {
    META_VERSION_KAFKA = 1,
    META_VERSION_OURS = 2,
    META_FORMAT = 1,
    META_ID_BYTES = 32, /* of an id as text: a uuid has 22 characters */
};

struct meta_properties {
    uint32_t version;
    int32_t node_id;
    char cluster_id[META_ID_BYTES];
    char directory_id[META_ID_BYTES]; /* "": none */
    uint32_t format;                  /* 0: never ours */
    uint32_t start;
    uint32_t journals_from;
    uint64_t salt;
    uint64_t nonce; /* 0: none */
};

/* -ENOENT: there is none. -EBADMSG: not what any version writes. */
[[nodiscard]] int meta_properties_read(struct meta_properties *meta, struct files *files,
                                       const char *directory);
[[nodiscard]] int meta_properties_replace(const struct meta_properties *meta, struct files *files,
                                          const char *directory);

/* The nonce in .kafka_cleanshutdown; 0: no such file, or not ours. */
uint64_t clean_shutdown_nonce(struct files *files, const char *directory);
[[nodiscard]] int clean_shutdown_write(struct files *files, const char *directory,
                                       int64_t broker_epoch, uint64_t nonce);
[[nodiscard]] int clean_shutdown_remove(struct files *files, const char *directory);

#endif
