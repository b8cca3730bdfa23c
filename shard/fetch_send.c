/* fetch_send -- the records that a Fetch's reply names, pinned where they are while they are sent. */
#include "shard/fetch.h"
#include "shard/partition.h"

#include <errno.h>

enum { PIN_RETRY_US = 1000 /* until another read from disk has ended */ };

struct range_pin { /* in a slab of home's, from fetch_pin until the owner has let go */
    struct log_pin pin;
    struct op mail; /* between home and owner */
    struct timer retry;
    struct reply_piece *piece;
    op_fn *then; /* the piece's */
    struct shard *home;
    const struct fetch_range *range; /* in the request; only while the piece is pinned */
    struct shard *owner;
};

static void pin_arrived(struct op *op);
static void pin_ended(struct op *op);
static void pin_returned(struct op *op);
static void pin_again(struct op *op);
static void unpin_arrived(struct op *op);
static void unpin_returned(struct op *op);

static void range_pin_free(struct range_pin *range_pin)
{
    slab_give(&range_pin->home->reactor->slabs, BUDGET_SCRATCH, range_pin, sizeof *range_pin);
}

/* At the owner: true, the result is there. */
static bool range_pin_begin(struct range_pin *range_pin)
{
    const struct fetch_range *range = range_pin->range;
    enum kafka_error error;
    struct partition_found found;
    if (!partition_find(range_pin->owner, &range->topic_id, range->index, &found, &error) ||
        !found.log) {
        range_pin->pin.op.result = -ESTALE;
        return true;
    }
    struct reply_piece *piece = range_pin->piece;
    range_pin->pin = (struct log_pin){.segment_base = range->segment_base,
                                      .position = range->position + piece->position,
                                      .bytes_max = piece->bytes_max,
                                      .holds_others = !piece->may_wait};
    return log_pin(found.log, &range_pin->pin, pin_ended);
}

/* At home: the piece has its bytes, or its error; then nothing is held. */
static void piece_take_result(struct range_pin *range_pin)
{
    struct reply_piece *piece = range_pin->piece;
    piece->op.result = range_pin->pin.op.result;
    piece->data = range_pin->pin.data;
    piece->held = range_pin;
    if (piece->op.result <= 0) {
        range_pin_free(range_pin);
    }
}

bool fetch_pin(struct reply *reply, struct reply_piece *piece, op_fn *then)
{
    struct shard *home = container_of(reply, struct request, reply)->shard;
    struct range_pin *range_pin =
        slab_take(&home->reactor->slabs, BUDGET_SCRATCH, sizeof *range_pin);
    if (!range_pin) {
        piece->op.result = -ENOMEM;
        return true;
    }
    *range_pin =
        (struct range_pin){.piece = piece, .then = then, .home = home, .range = piece->name};
    range_pin->owner = range_pin->range->owner;
    if (range_pin->owner != home) {
        shard_run(home, range_pin->owner, &range_pin->mail, pin_arrived);
        return false;
    }
    if (!range_pin_begin(range_pin)) {
        return false;
    }
    if (range_pin->pin.op.result == -ENOBUFS && piece->may_wait) {
        pin_ended(&range_pin->pin.op);
        return false;
    }
    piece_take_result(range_pin);
    return true;
}

static void pin_arrived(struct op *op)
{
    struct range_pin *range_pin = container_of(op, struct range_pin, mail);
    if (range_pin_begin(range_pin)) {
        pin_ended(&range_pin->pin.op);
    }
}

/* At the owner. */
static void pin_ended(struct op *op)
{
    struct range_pin *range_pin = container_of(op, struct range_pin, pin.op);
    if (op->result == -ENOBUFS && range_pin->piece->may_wait) {
        timer_start(range_pin->owner->reactor, &range_pin->retry, PIN_RETRY_US, pin_again);
        return;
    }
    shard_run(range_pin->owner, range_pin->home, &range_pin->mail, pin_returned);
}

static void pin_again(struct op *op)
{
    pin_arrived(&container_of(op, struct range_pin, retry.op)->mail);
}

static void pin_returned(struct op *op)
{
    struct range_pin *range_pin = container_of(op, struct range_pin, mail);
    struct reply_piece *piece = range_pin->piece;
    op_fn *then = range_pin->then;
    piece_take_result(range_pin);
    then(&piece->op);
}

void fetch_unpin(struct reply *reply, struct reply_piece *piece)
{
    struct range_pin *range_pin = piece->held;
    if (range_pin->owner == range_pin->home) {
        log_unpin(&range_pin->pin);
        range_pin_free(range_pin);
    } else {
        shard_run(range_pin->home, range_pin->owner, &range_pin->mail, unpin_arrived);
    }
}

static void unpin_arrived(struct op *op)
{
    struct range_pin *range_pin = container_of(op, struct range_pin, mail);
    log_unpin(&range_pin->pin);
    shard_run(range_pin->owner, range_pin->home, op, unpin_returned);
}

static void unpin_returned(struct op *op)
{
    range_pin_free(container_of(op, struct range_pin, mail));
}
