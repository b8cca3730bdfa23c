/*
 * player -- clients of a topic, each on a connection of its own: one that writes, one that reads.
 *
 *      writer   connect -> create the topic -> a producer id -> produce, five requests in flight
 *                 ^ broken                                        | told: the ledger
 *                 '---- after a while, from the first that was not told, with the same sequences
 *      reader   connect -> fetch each partition from where it was, for ever
 *
 * What a reader has seen counts as told: it must never go away again.
 */
#ifndef TESTS_SIM_PLAYER_H
#define TESTS_SIM_PLAYER_H

#include "tests/sim/dialogue.h"
#include "tests/sim/ledger.h"
#include "tests/sim/proof.h"

enum { PLAYER_PARTITIONS_MAX = 3, PLAYER_IN_FLIGHT_MAX = 5, PLAYER_PORT = 9092 };

struct ledger_topic { /* a topic's ledger */
    char name[32];
    uint32_t partitions_count;
    struct line lines[PLAYER_PARTITIONS_MAX];
    bool is_told; /* that it was created */
};

struct player {
    struct proof *proof;
    struct sim *sim;
    struct sim_node *node;
    struct sim_random *dice;
    struct ledger_topic *topic;
    struct dialogue dialogue;
    struct sim_event event;
    bool stopped;

    /* a writer's */
    uint32_t left; /* batches to go */
    uint32_t bytes_max;
    uint32_t next[PLAYER_PARTITIONS_MAX]; /* batch to send */
    struct player_request {
        bool has[PLAYER_PARTITIONS_MAX];
        uint32_t index[PLAYER_PARTITIONS_MAX];
    } requests[PLAYER_IN_FLIGHT_MAX];
    uint32_t request_first, request_count;

    /* a reader's */
    uint32_t read[PLAYER_PARTITIONS_MAX]; /* batches seen */
    bool caught_up[PLAYER_PARTITIONS_MAX];
    bool is_looking; /* at an image: the ledger does not change, the topic may be unknown */
    bool unknown;
    bool was_told; /* of the topic, when it asked */
};

void player_init(struct player *player, struct proof *proof, struct computer *computer,
                 struct sim_random *dice, struct ledger_topic *topic);
void player_deinit(struct player *player);
void player_write(struct player *player, uint32_t batches, uint32_t bytes_max);
void player_read(struct player *player);
bool player_has_written(const struct player *player);
bool player_has_caught_up(const struct player *player); /* with the high watermark */
void player_hang_up(struct player *player);

#endif
