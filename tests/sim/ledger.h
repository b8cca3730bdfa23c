/*
 * ledger -- what was sent to a store, and what it said of it.
 *
 * A line is one incarnation of a partition: the batches sent to it, in order, all of them different.
 * The store gives out offsets in the order of sending, so a batch's offset is known beforehand.
 *
 *      sent    | 0 | 1 | 2 | 3 | 4 | 5 |
 *      told    | x   x   x |                  acknowledged
 *      found   | x   x   x   x |              after any cut: at least what was told, and no gap
 */
#ifndef TESTS_SIM_LEDGER_H
#define TESTS_SIM_LEDGER_H

#include "log/batch.h"
#include "tests/sim/process_memory.h"

enum line_state {
    LINE_LIVE,
    LINE_DROPPING, /* asked for; it may be there or not */
    LINE_DROPPED,  /* told; it is never there again */
};

struct sent {
    uint8_t *bytes; /* as a client sent it */
    uint32_t batch_bytes;
    int32_t records;
    int64_t base_offset; /* which it has, if it is there */
    int64_t timestamp;   /* of all its records; grows */
    uint32_t producer;   /* of the line's, who sent it */
    bool told;
};

enum { LINE_PRODUCERS_MAX = 100 };

struct line {
    char topic[32];
    int32_t partition;
    char name[48];
    uint8_t topic_id[16];
    enum line_state state;
    int64_t producer_id; /* of the first; BATCH_NO_PRODUCER_ID: none */
    int16_t producer_epoch;
    uint32_t producers_count; /* their ids follow each other */
    int32_t next_sequences[LINE_PRODUCERS_MAX];
    int64_t next_offset;
    struct sent *sent; /* [count] */
    uint32_t count, capacity;
};

/* A topic's incarnation: the number tells topics of one name apart. */
void line_init(struct line *line, uint32_t topic, uint32_t incarnation, int64_t producer_id,
               uint32_t producers_count);
void line_deinit(struct line *line);

/* A new batch at the end, of about so many bytes. */
struct sent *line_send(struct line *line, uint32_t bytes, struct sim_random *random);
/* Has its producer sent fewer than five of the first `found` after it? */
bool line_is_recent(const struct line *line, uint32_t index, uint32_t found);
/* How many of the first were acknowledged. */
uint32_t line_told(const struct line *line);

/* Is this batch the one that was sent at that place? NULL, or what is wrong. */
const char *line_check_batch(const struct line *line, uint32_t index, const struct batch *batch);

/* What a store gives out, whole batches end to end, is right. NULL, or what is wrong.
 *   found   how many batches */
const char *line_check(const struct line *line, const uint8_t *bytes, size_t bytes_count,
                       int64_t log_end, uint32_t *found);
/* After a cut that really happened: what was found is true, and the rest was never sent. */
void line_settle(struct line *line, uint32_t found);

#endif
