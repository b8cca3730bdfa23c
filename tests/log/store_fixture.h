/*
 * store_fixture -- a store on a real reactor and a directory of its own, and logs of which the test
 * knows every byte.
 */
#ifndef TESTS_LOG_STORE_FIXTURE_H
#define TESTS_LOG_STORE_FIXTURE_H

#include "core/big_endian.h"
#include "core/sim.h"
#include "log/clean_stop.h"
#include "log/recovery.h"
#include "log/store.h"
#include "tests/core/reactor_fixture.h"
#include "tests/log/make.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PLACE_BATCHES_MAX = 20000 };

struct place {
    struct fixture fixture; /* a real reactor, or ... */
    struct sim *sim;        /* ... one of this world, on this node */
    struct sim_node *node;
    struct reactor *reactor;
    char directory[64];
    struct store_options options;
    struct recovery recovery;
    struct store store;
    struct op op;
    struct timer timer;
    bool done;
    uint64_t random;
};

static inline uint32_t place_random(struct place *place, uint32_t bound)
{
    place->random = place->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(place->random >> 33) % bound;
}

static inline void place_op_done(struct op *op)
{
    container_of(op, struct place, op)->done = true;
}

/* One step; false: nothing will ever happen any more. */
static inline bool place_turn(struct place *place)
{
    if (place->sim) {
        return sim_step(place->sim);
    }
    reactor_turn(place->reactor, false);
    return true;
}

/* A simulated reactor that sleeps was given something to do from outside of its turns. */
static inline void place_wake(struct place *place)
{
    if (place->sim) {
        place->node->cores[0].asleep = false;
    }
}

static inline void place_until(struct place *place, const bool *done)
{
    uint64_t steps = 0;
    place_wake(place);
    if (!place->sim) {
        fixture_turn_until(&place->fixture, done);
    }
    while (!*done) {
        cr_assert(place_turn(place), "the world stands still");
        cr_assert_lt(++steps, 1 << 22, "took too long");
        cr_assert_null(place->sim->complaint, "%s", place->sim->complaint);
    }
}

static inline void place_wait(struct place *place)
{
    place_until(place, &place->done);
    place->done = false;
}

static inline void place_timer_fired(struct op *op)
{
    container_of(op, struct place, timer.op)->done = true;
}

/* Turns for a while in which nothing is awaited. */
static inline void place_let_pass(struct place *place, uint64_t us)
{
    timer_start(place->reactor, &place->timer, us, place_timer_fired);
    place_wait(place);
}

static inline int64_t place_open(struct place *place, struct log_state **states, uint32_t count)
{
    store_open(&place->store, place->reactor, &place->options, states, count, &place->op,
               place_op_done);
    place_wait(place);
    return place->op.result;
}

static inline int64_t place_close(struct place *place, struct clean_stop_log *logs)
{
    store_close(&place->store, logs, &place->op, place_op_done);
    place_wait(place);
    return place->op.result;
}

static inline void place_recovered(struct op *op)
{
    container_of(op, struct place, recovery.job.op)->done = true;
}

/* As a process starts: recovery, the store, and the end of the old journals. */
static inline void place_start(struct place *place)
{
    place->recovery = (struct recovery){
        .options = {.directory = place->directory, .node_id = 1, .index_interval_bytes = 4096}};
    recovery_begin(&place->recovery, place->reactor, place_recovered);
    place_wait(place);
    cr_assert_eq(place->recovery.job.op.result, 0, "%s", place->recovery.problem);
    place->options.start = place->recovery.start;
    place->options.salt = place->recovery.salt;
    place->options.was_clean = place->recovery.was_clean;
    struct log_state *states[64];
    uint32_t count = (uint32_t)place->recovery.logs_count;
    for (uint32_t i = 0; i < count; i++) {
        states[i] = &place->recovery.logs[i];
    }
    cr_assert_eq(place_open(place, states, count), 0);
    recovery_finish(&place->recovery, place->reactor, place_recovered);
    place_wait(place);
    cr_assert_eq(place->recovery.job.op.result, 0, "%s", place->recovery.problem);
    recovery_free(&place->recovery);
}

struct place_stop {
    struct clean_stop stop;
    struct place *place;
};

static inline void place_stopped(struct op *op)
{
    container_of(op, struct place_stop, stop.job.op)->place->done = true;
}

static inline void place_stop(struct place *place)
{
    struct clean_stop_log stops[64];
    int64_t count = place_close(place, stops);
    cr_assert_geq(count, 0);
    struct place_stop stop = {.place = place,
                              .stop = {.directory = place->directory,
                                       .logs = stops,
                                       .logs_count = (size_t)count,
                                       .lock_fd = place->recovery.lock_fd}};
    clean_stop_begin(&stop.stop, place->reactor, place_stopped);
    place_wait(place);
    cr_assert_eq(stop.stop.job.op.result, 0);
}

/* As a killed process leaves it: nothing more is written, and what was in memory is gone. */
static inline void place_kill(struct place *place)
{
    store_fail(&place->store, -EIO);
    cr_assert_eq(place_close(place, NULL), -EIO);
    fixture_deinit(&place->fixture);
    close(place->recovery.lock_fd);
    memset(&place->fixture, 0, sizeof(place->fixture));
    fixture_init(&place->fixture, 1, "");
}

static inline void place_init(struct place *place)
{
    memset(place, 0, sizeof(*place));
    fixture_init(&place->fixture, 1, "");
    place->reactor = &place->fixture.reactors[0];
    strcpy(place->directory, "/tmp/odradek-test-XXXXXX");
    cr_assert_not_null(mkdtemp(place->directory));
    place->random = 1;
    place->options = (struct store_options){
        .directory = place->directory,
        .start = 1,
        .salt = 4711,
        .journal_bytes = 8 << 20,
        .journal_file_bytes = 1 << 20,
    };
}

/* The same in a simulated world, with a disk of so many bytes. */
static inline void place_init_sim(struct place *place, uint64_t seed, uint64_t disk_bytes)
{
    memset(place, 0, sizeof(*place));
    place->sim = calloc(1, sizeof(*place->sim));
    sim_init(place->sim, &(struct sim_options){.seed = seed});
    struct sim_disk *disk = sim_disk_new(&(struct sim_memory){0}, disk_bytes);
    place->node = sim_node_new(place->sim, disk);
    place->reactor = &place->fixture.reactors[0];
    cr_assert_eq(
        reactor_init(place->reactor, 0, 1, place->fixture.peers, FIXTURE_MEMORY_BYTES, 0, NULL), 0);
    sim_attach(place->reactor, place->node);
    strcpy(place->directory, "/data");
    cr_assert_eq(sim_disk_make_directory(disk, place->directory), 0);
    place->random = seed;
    place->options = (struct store_options){
        .directory = place->directory,
        .start = 1,
        .salt = 4711,
        .journal_bytes = 256 << 10,
        .journal_file_bytes = 64 << 10,
    };
}

static inline void place_deinit_sim(struct place *place)
{
    sim_deinit(place->sim);
    reactor_deinit(place->reactor);
    free(place->sim);
}

static inline void place_deinit(struct place *place)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", place->directory);
    cr_assert_eq(system(command), 0);
    fixture_deinit(&place->fixture);
}

/* -- a log and what was appended to it --------------------------------------------------------- */

struct known_batch {
    struct log_append append;
    struct known *known;
    uint8_t *bytes;
    bool ended;
};

struct known {
    struct place *place;
    struct log *log;
    struct known_batch *batches; /* [PLACE_BATCHES_MAX] */
    uint32_t count, ended;
    bool all_ended;
};

static const struct log_settings known_settings = {
    .segment_bytes = 1 << 30,
    .segment_ms = INT64_MAX,
    .index_interval_bytes = 4096,
    .index_bytes_max = 10 << 20,
};

static inline void known_init(struct known *known, struct place *place, const char *topic,
                              const struct log_settings *settings)
{
    static const uint8_t topic_id[16] = {1, 2, 3};
    *known = (struct known){.place = place};
    known->log = store_create_log(&place->store, topic_id, topic, 0, settings, 0);
    known->batches = calloc(PLACE_BATCHES_MAX, sizeof(*known->batches));
    cr_assert(known->log && known->batches);
}

/* The log again, after a restart. */
static inline void known_find(struct known *known, const char *name,
                              const struct log_settings *settings)
{
    for (known->log = known->place->store.logs; known->log; known->log = known->log->next) {
        if (strcmp(known->log->name, name) == 0) {
            known->log->settings = *settings;
            return;
        }
    }
    cr_assert_fail("%s is not there", name);
}

static inline void known_deinit(struct known *known)
{
    for (uint32_t i = 0; i < known->count; i++) {
        free(known->batches[i].bytes);
    }
    free(known->batches);
}

/* A batch of one record with a value of so many bytes. */
static inline uint8_t *known_bytes(struct place *place, uint32_t value_bytes, int64_t timestamp,
                                   const struct batch *header, uint32_t *bytes)
{
    uint8_t *value = malloc(value_bytes + 1);
    for (uint32_t i = 0; i < value_bytes; i += 1 + place_random(place, 8)) {
        value[i] = (uint8_t)place_random(place, 256);
    }
    uint8_t *batch = malloc(value_bytes + 200);
    struct batch_builder builder;
    batch_build_start(&builder, batch, value_bytes + 200);
    struct record record = {.timestamp = timestamp, .value = {.data = value, .bytes = value_bytes}};
    batch_build_record(&builder, &record);
    *bytes = (uint32_t)batch_build_end(&builder, header);
    cr_assert_gt(*bytes, 0);
    free(value);
    return batch;
}

static inline void known_ended(struct op *op)
{
    struct known_batch *batch = container_of(op, struct known_batch, append.op);
    batch->ended = true;
    batch->known->ended++;
    batch->known->all_ended = batch->known->ended == batch->known->count;
}

static inline struct known_batch *known_append_as(struct known *known, uint32_t value_bytes,
                                                  const struct batch *header)
{
    cr_assert_lt(known->count, PLACE_BATCHES_MAX);
    struct known_batch *batch = &known->batches[known->count++];
    batch->known = known;
    known->all_ended = false;
    batch->bytes =
        known_bytes(known->place, value_bytes, 1000 + known->count, header, &batch->append.bytes);
    batch->append.batch = batch->bytes;
    log_append(known->log, &batch->append, known_ended);
    place_wake(known->place);
    return batch;
}

static inline struct known_batch *known_append(struct known *known, uint32_t value_bytes)
{
    struct batch header = make_header();
    return known_append_as(known, value_bytes, &header);
}

static inline void known_wait(struct known *known)
{
    place_until(known->place, &known->all_ended);
}

struct known_read {
    struct known *known;
    struct log_locate locate;
    struct log_pin pin;
    bool done;
};

static inline void known_located(struct op *op)
{
    container_of(op, struct known_read, locate.op)->done = true;
}

static inline void known_pinned(struct op *op)
{
    container_of(op, struct known_read, pin.op)->done = true;
}

static inline void known_locate(struct known *known, struct known_read *read, int64_t offset,
                                uint32_t bytes_max)
{
    *read = (struct known_read){
        .known = known, .locate = {.offset = offset, .bytes_max = bytes_max, .whole_first = true}};
    if (!log_locate(known->log, &read->locate, known_located)) {
        place_until(known->place, &read->done);
    }
    read->done = false;
}

static inline int64_t known_pin(struct known *known, struct known_read *read, uint32_t bytes_max)
{
    read->pin = (struct log_pin){.segment_base = read->locate.segment_base,
                                 .position = read->locate.position,
                                 .bytes_max = bytes_max};
    if (!log_pin(known->log, &read->pin, known_pinned)) {
        place_until(known->place, &read->done);
    }
    read->done = false;
    return read->pin.op.result;
}

struct known_look_up {
    struct log_lookup lookup;
    bool done;
};

static inline void known_looked_up(struct op *op)
{
    container_of(op, struct known_look_up, lookup.op)->done = true;
}

static inline int64_t known_offset_of(struct known *known, int64_t target_ms)
{
    struct known_look_up look_up = {.lookup = {.target_ms = target_ms}};
    log_look_up(known->log, &look_up.lookup, known_looked_up);
    place_until(known->place, &look_up.done);
    cr_assert_eq(look_up.lookup.op.result, 0);
    return look_up.lookup.offset;
}

/* Everything that was appended successfully, from `first` on, is read back byte for byte. */
static inline void known_verify_from(struct known *known, uint32_t first, uint32_t bytes_max)
{
    uint32_t next = first;
    while (next < known->count) {
        struct known_batch *expected = &known->batches[next];
        if (expected->append.op.result != 0 || expected->append.duplicate) {
            next++;
            continue;
        }
        struct known_read read;
        known_locate(known, &read, expected->append.base_offset, bytes_max);
        cr_assert_eq(read.locate.op.result, 0, "batch %u: %lld", next,
                     (long long)read.locate.op.result);
        cr_assert_geq(read.locate.bytes, expected->append.bytes, "batch %u", next);
        uint32_t at = 0; /* in the batch */
        for (uint32_t left = read.locate.bytes; left > 0;) {
            int64_t got = known_pin(known, &read, left);
            cr_assert_gt(got, 0, "batch %u: %lld", next, (long long)got);
            for (int64_t i = 0; i < got;) {
                expected = &known->batches[next];
                int64_t piece = expected->append.bytes - at;
                piece = piece < got - i ? piece : got - i;
                cr_assert_eq(memcmp(read.pin.data + i, expected->bytes + at, (size_t)piece), 0,
                             "batch %u differs in its bytes %u..", next, at);
                at += (uint32_t)piece;
                i += piece;
                if (at == expected->append.bytes) {
                    at = 0;
                    do {
                        next++;
                    } while (next < known->count && (known->batches[next].append.op.result != 0 ||
                                                     known->batches[next].append.duplicate));
                }
            }
            read.locate.position += (uint32_t)got;
            left -= (uint32_t)got;
            log_unpin(&read.pin);
        }
    }
}

static inline void known_verify(struct known *known)
{
    known_verify_from(known, 0, 1 << 20);
}

/* Appends to some logs, at most `in_flight` of each pending, until each has `count` batches. */
static inline void append_under_load(struct place *place, struct known *known, uint32_t logs,
                                     uint32_t count, uint32_t in_flight, uint32_t bytes_max)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < logs; i++) {
        left += count - known[i].count;
    }
    while (left > 0) {
        for (uint32_t i = 0; i < logs; i++) {
            if (known[i].count < count && known[i].count - known[i].ended < in_flight) {
                known_append(&known[i], place_random(place, bytes_max));
                left--;
            }
        }
        place_turn(place);
    }
    for (uint32_t i = 0; i < logs; i++) {
        known_wait(&known[i]);
    }
}

static inline void all_succeeded(const struct known *known)
{
    int64_t next_offset = 0;
    for (uint32_t i = 0; i < known->count; i++) {
        const struct log_append *append = &known->batches[i].append;
        cr_assert_eq(append->op.result, 0, "batch %u: %lld", i, (long long)append->op.result);
        cr_assert_eq(append->base_offset, next_offset);
        next_offset = append->last_offset + 1;
    }
    cr_assert_eq(known->log->log_end, next_offset);
}

#endif
