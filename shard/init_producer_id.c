/*
 * init_producer_id -- a producer id of its own for an idempotent producer.
 *
 * Ids come from core 0 in blocks; a core that runs out asks for one block, and its requests wait.
 * Nothing is kept of who has which: the logs remember the producers that wrote to them.
 */
#include "net/api.h"
#include "shard/control.h"
#include "shard/request.h"

#include <stdlib.h>

static void reply(struct request *request, enum kafka_error error, int64_t producer_id,
                  int16_t producer_epoch)
{
    struct init_producer_id_response response;
    init_producer_id_response_init(&response);
    response.error_code = (int16_t)error;
    response.producer_id = producer_id;
    response.producer_epoch = producer_epoch;
    init_producer_id_response_encode(&response, &request->reply.head, request->version);
    request_reply(request);
}

static void refuse(struct request *request, enum kafka_error error)
{
    reply(request, error, -1, -1);
}

static void refilled(struct op *op)
{
    struct control_producer_ids *block = container_of(op, struct control_producer_ids, change.op);
    struct shard *shard = block->change.home;
    struct producer_ids *ids = &shard->producer_ids;
    ids->next = block->first;
    ids->end = block->first + block->count;
    free(block);
    struct op_queue waiting = ids->waiting;
    ids->waiting = (struct op_queue){0};
    for (struct op *next; (next = op_queue_pop(&waiting));) {
        struct request *request = container_of(next, struct request, op);
        if (ids->next < ids->end) {
            reply(request, KAFKA_NONE, ids->next++, 0);
        } else {
            refuse(request, KAFKA_COORDINATOR_NOT_AVAILABLE); /* clients try again */
        }
    }
}

static void take(struct request *request)
{
    struct producer_ids *ids = &request->shard->producer_ids;
    if (ids->next < ids->end) {
        reply(request, KAFKA_NONE, ids->next++, 0);
        return;
    }
    bool first = op_queue_is_empty(&ids->waiting);
    struct control_producer_ids *block = first ? malloc(sizeof *block) : NULL;
    if (first && !block) {
        refuse(request, KAFKA_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    request->op.waits_for = "producer ids";
    op_queue_push(&ids->waiting, &request->op);
    if (block) {
        control_producer_ids(request->shard, block, refilled);
    }
}

void init_producer_id_start(struct request *request)
{
    struct init_producer_id_request asked;
    if (!init_producer_id_request_decode(&asked, &request->body, request->version,
                                         &request->arena)) {
        request_close(request, "InitProducerId cannot be read");
        return;
    }
    bool has_id = asked.producer_id != -1, has_epoch = asked.producer_epoch != -1;
    if (has_id != has_epoch) {
        refuse(request, KAFKA_INVALID_REQUEST);
    } else if (!view_is_null(asked.transactional_id)) {
        /* transactions come with their coordinator; until then there is none to be found */
        refuse(request, asked.transactional_id.bytes == 0 ? KAFKA_INVALID_REQUEST
                                                          : KAFKA_COORDINATOR_NOT_AVAILABLE);
    } else {
        take(request); /* without a transactional id a known producer gets a new one too */
    }
}
