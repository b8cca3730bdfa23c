/*
 * book -- what clients sent to a broker, what it told them, and what they have read.
 *
 *      topic (an id: a topic made again under the same name is another one)
 *        line = partition     | a0 | b0 | a1 | b1 | a2 |  batches of several writers
 *          told               | x    x         x |        acknowledged, at these offsets
 *          seen               | x    x    x |             read by somebody, in this order
 *
 * What anybody was told or has read stays true after any cut: it is at that offset for good, and
 * between two batches there is no gap. A batch is known again by its base timestamp, which is its
 * number in the book.
 */
#ifndef TESTS_SIM_BOOK_H
#define TESTS_SIM_BOOK_H

#include "core/inflate.h"
#include "core/uuid.h"
#include "log/batch.h"
#include "tests/sim/process_memory.h"

enum { BOOK_PARTITIONS_MAX = 4, BOOK_WRITERS_MAX = 16, BOOK_NAME_BYTES = 24 };

enum book_state {
    BOOK_LIVE,
    BOOK_DELETING, /* asked for; it may be there or not */
    BOOK_DELETED,  /* told; it is never there again */
};

enum book_kind {                  /* what a writer promises */
                 BOOK_IDEMPOTENT, /* each batch once, in order */
                 BOOK_PLAIN,      /* at least once, the first times in order */
                 BOOK_FORGETFUL,  /* acks=0: at most once, in order, gaps allowed */
};

struct book_line {
    struct book_topic *topic;
    int32_t index;
    uint32_t sent[BOOK_WRITERS_MAX]; /* batches, by writer */
    int64_t told_end;                /* the offset behind the last acknowledged batch */
    uint32_t *seen;                  /* [seen_count]: batches in the order of their offsets */
    uint32_t seen_count, seen_capacity;
};

struct book_topic {
    char name[BOOK_NAME_BYTES];
    struct uuid id;
    enum book_state state;
    uint32_t partitions_count;
    struct book_line lines[BOOK_PARTITIONS_MAX];
};

struct book_batch {
    struct book_line *line;
    uint8_t *bytes; /* as a client sent it */
    uint32_t batch_bytes;
    enum codec codec;
    int32_t records;
    uint32_t writer;
    uint32_t number; /* of this writer in this line */
    bool told;
    int64_t base_offset; /* if it was told */
};

struct book {
    enum book_kind kinds[BOOK_WRITERS_MAX];
    uint32_t packed_percent;    /* of the batches are sent compressed */
    bool repacked;              /* the broker stores them with a codec of its own choice */
    int16_t fetch_version_min;  /* zstd by the topic's choice is not for old clients */
    struct book_topic **topics; /* [topics_count], older before newer */
    uint32_t topics_count, topics_capacity;
    struct book_batch **batches;
    uint32_t batches_count, batches_capacity;
};

void book_deinit(struct book *book);

/* The topic that a broker spoke of; entered if it is new. */
struct book_topic *book_topic(struct book *book, struct view name, const struct uuid *id,
                              uint32_t partitions_count);
/* NULL: unknown. */
struct book_topic *book_topic_by_id(const struct book *book, const struct uuid *id);
/* The newest one of a name that is live; NULL: none. */
struct book_topic *book_topic_by_name(const struct book *book, const char *name);

struct book_producer { /* what goes into a batch's header */
    uint32_t writer;
    int64_t id;
    int16_t epoch;
    int32_t sequence;
};

/* A new batch of about so many bytes. Its number in the book. */
uint32_t book_send(struct book *book, struct book_line *line, const struct book_producer *producer,
                   uint32_t bytes, struct sim_random *random);
/* It was acknowledged. NULL, or what is wrong. */
const char *book_tell(struct book *book, uint32_t batch, int64_t base_offset);

/* -- reading a line from its start ------------------------------------------------------------- */

struct book_reader {
    struct book *book;
    struct book_line *line;
    int64_t offset;       /* the next one */
    uint32_t count;       /* batches so far */
    bool watches;         /* a consumer: what it reads, it has seen */
    uint32_t seen_before; /* with acks=0 more may come while it reads */
    uint32_t told_found;  /* acknowledged batches, each where it was told to be */
    uint32_t next[BOOK_WRITERS_MAX];
};

void book_read_start(struct book_reader *reader, struct book *book, struct book_line *line,
                     bool watches);
/* Whole batches, end to end; the last one may be cut. NULL, or what is wrong. */
const char *book_read(struct book_reader *reader, const uint8_t *bytes, size_t count);
/* That was all there is. NULL, or what is missing. */
const char *book_read_end(struct book_reader *reader);

#endif
