/*
 * client -- an actor outside the simulated broker: it connects, speaks, is cut off and comes again.
 *
 *      AWAY --connect--> GREETING --ApiVersions--> work --broken--> AWAY, and after a pause again
 *
 * A role (sender.h, ...) is what it does from then on: `work` is called when it is greeted and
 * after each pause. Every request has a time by which it must have been answered.
 */
#ifndef TESTS_SIM_CLIENT_H
#define TESTS_SIM_CLIENT_H

#include "net/error.h"
#include "tests/sim/book.h"
#include "tests/sim/dialogue.h"
#include "tests/sim/proof.h"

enum {
    NAMES_MAX = 4,
    BROKER_PORT = 9092,
    ANSWER_US_MAX = 20 * 1000 * 1000, /* whatever the disk and the network were drawn to be */
};

enum may_refuse { /* what a broker in trouble may refuse, with KAFKA_STORAGE_ERROR */
                  MAY_REFUSE_APPENDS = 1,
                  MAY_REFUSE_READS = 2,
                  MAY_REFUSE_CHANGES = 4,  /* of topics; and no new producer ids */
                  MAY_REFUSE_ANYTHING = 8, /* with any error: its directory is offline */
};

struct world { /* what the clients of one scene share */
    struct proof *proof;
    struct computer *computer;
    struct book book;
    struct sim_random dice;
    bool passing_trouble; /* may come: who cannot tell a repeat sends one batch at a time */
    uint32_t refusals;    /* enum may_refuse; whatever is refused, nothing may be lost */
    uint32_t pause_us_max;
    uint32_t batch_bytes_max;
    uint32_t large_percent;    /* of batches; the others are small */
    uint32_t hang_up_permille; /* after so many requests */
    uint32_t doze_percent;     /* of the requests: their answer is not read for a while */
    char names[NAMES_MAX][BOOK_NAME_BYTES];
    uint32_t names_count;
    uint32_t names_lasting; /* the first ones: nobody deletes them */
    uint64_t counts[3];     /* produced batches, fetched pieces, answers in all */
};

static inline bool world_forgives(const struct world *world, enum may_refuse what, int16_t error)
{
    bool is_refusal = error == KAFKA_KAFKA_STORAGE_ERROR ||
                      (what == MAY_REFUSE_READS && error == KAFKA_NOT_LEADER_OR_FOLLOWER) ||
                      (what == MAY_REFUSE_CHANGES && error == KAFKA_COORDINATOR_NOT_AVAILABLE);
    return (world->refusals & MAY_REFUSE_ANYTHING) || ((world->refusals & what) && is_refusal);
}

struct client {
    struct world *world;
    const struct role *role;
    struct dialogue dialogue;
    struct sim_event event;
    struct sim_event wake_up; /* it reads again */
    bool greeted;
    bool leaves; /* soon, whatever comes first */
    struct {
        uint64_t due_us;
        dialogue_fn *replied;
    } asked[DIALOGUE_OPEN_MAX];
    uint32_t asked_first, asked_count;
};

struct role {
    const char *name;
    void (*work)(struct client *client);
    void (*broken)(struct client *client); /* what was asked will not be answered */
    /* To client_ask_topics: each topic that there is, then whether these are all. */
    void (*found)(struct client *client, struct book_topic *topic);
    void (*informed)(struct client *client, bool all);
};

void client_init(struct client *client, struct world *world, const struct role *role);
void client_deinit(struct client *client);
/* Begins, or begins again. */
void client_pause(struct client *client);
/* Of its own will, whatever is on its way. */
void client_hang_up(struct client *client);
/* Reads what has come, if it was dozing. */
void client_wake(struct client *client);
/* No more is done, also not after a pause. */
void client_rest(struct client *client);

struct writer *client_ask(struct client *client, int16_t key, int16_t version);
/* within_us: on top of what an answer takes. replied: NULL: there will be none. */
void client_asked(struct client *client, dialogue_fn *replied, uint64_t within_us);
/* False, and the proof has failed: something should have been answered by now. */
bool client_is_served(const struct client *client);

/* For `replied`: ends with the proof's failure if the answer cannot be decoded. */
#define CLIENT_DECODE(client, api, response, body, version)                                 \
    (api##_response_decode(response, body, version, dialogue_arena(&(client)->dialogue)) || \
     client_fail(client, "an answer to " #api " version %d cannot be decoded", (int)(version)))
bool client_fail(struct client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline struct client *client_of(struct dialogue *dialogue)
{
    return container_of(dialogue, struct client, dialogue);
}

static inline uint64_t client_now_us(const struct client *client)
{
    return client->world->computer->sim.now_us;
}

static inline struct sim_random *client_dice(struct client *client)
{
    return &client->world->dice;
}

/* Metadata for names of the world, which makes them; role->informed ends it. */
void client_ask_topics(struct client *client, const uint32_t *names, uint32_t names_count);
/* A ListOffsets of one partition. */
void list_offsets_write(struct writer *writer, const struct book_topic *topic, int32_t index,
                        int64_t timestamp, int16_t version);

#endif
