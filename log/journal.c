#include "log/journal.h"

#include "core/crc32c.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_BYTES = 1 << 20, /* of one write; a commit's pieces are written side by side */
    /* The last block of a file is kept for a commit without entries. When every file is full, such
     * a commit is what makes a release known, and the released files free. */
    LAST_BLOCK_BYTES = JOURNAL_BLOCK_BYTES,
};

static_assert((int)JOURNAL_BLOCK_BYTES == (int)FILE_BLOCK_BYTES, "commits go by O_DIRECT");

struct journal_piece {
    struct file_io io;
    struct journal *journal;
};

struct journal_commit {
    uint8_t *buffer;    /* a slab of commit_bytes_max */
    uint32_t bytes;     /* header and entries so far; 0: has no place in a file yet */
    uint32_t bytes_max; /* of its place */
    uint32_t entries_count;
    uint32_t entries_crc;
    uint64_t file_ordinal;
    uint32_t file_position;
    uint64_t released;   /* the oldest ordinal that it names as live */
    struct op_queue ops; /* end with it */
    uint64_t begun_us;
    int64_t error;
    uint32_t pieces_out;
    struct journal_piece *pieces; /* [commit_bytes_max / PIECE_BYTES, rounded up] */
};

static void journal_opened(struct op *op);
static void journal_closed(struct op *op);
static void journal_start(struct op *op); /* end of the turn: write what was gathered */
static void piece_written(struct op *op); /* the last one ends the commit */
static void journal_end(struct op *op);   /* ops of commits that are over, some each turn */
static void journal_tell(struct op *op);  /* the store hears of room and pressure */
static void journal_go_on(void *context); /* a file was made or filled */

/* -- open and close ---------------------------------------------------------------------------- */

static uint32_t pieces_max(const struct journal *journal)
{
    return (journal->options.commit_bytes_max + PIECE_BYTES - 1) / PIECE_BYTES;
}

static void commits_free(struct journal *journal)
{
    for (int i = 0; journal->commits && i < 2; i++) {
        free(journal->commits[i].pieces);
        slab_give(&journal->reactor->slabs, BUDGET_JOURNAL, journal->commits[i].buffer,
                  journal->options.commit_bytes_max);
    }
    free(journal->commits);
    journal->commits = NULL;
}

static bool commits_make(struct journal *journal)
{
    journal->commits = calloc(2, sizeof(*journal->commits));
    for (int i = 0; journal->commits && i < 2; i++) {
        struct journal_commit *commit = &journal->commits[i];
        commit->pieces = calloc(pieces_max(journal), sizeof(*commit->pieces));
        commit->buffer =
            slab_take(&journal->reactor->slabs, BUDGET_JOURNAL, journal->options.commit_bytes_max);
        if (!commit->pieces || !commit->buffer) {
            commits_free(journal);
        }
    }
    return journal->commits != NULL;
}

void journal_open(struct journal *journal, struct reactor *reactor,
                  const struct journal_options *options, struct op *op, op_fn *then)
{
    assert(options->commit_bytes_max % FILE_BLOCK_BYTES == 0);
    assert(options->commit_bytes_max <= COMMIT_BYTES_MAX);
    assert(options->file_bytes % FILE_BLOCK_BYTES == 0);
    assert(options->file_bytes >= options->commit_bytes_max + LAST_BLOCK_BYTES);
    assert(options->ends_max > 0);
    *journal = (struct journal){
        .reactor = reactor,
        .options = *options,
        .oldest_ordinal = 1,
        .start = {.waits_for = "journal"},
        .tell = {.waits_for = "journal"},
        .end = {.waits_for = "journal"},
        .waits = op,
    };
    op->then = then;
    op->waits_for = "journal files";
    if (!commits_make(journal)) {
        op->result = -ENOMEM;
        reactor_ready(reactor, op, then);
        return;
    }
    journal->gathering = &journal->commits[0];
    struct journal_ring_options ring = {
        .directory = options->directory,
        .start = options->start,
        .core = options->core,
        .file_bytes = options->file_bytes,
        .files_max = options->files_max,
        .ready = journal_go_on,
        .context = journal,
    };
    journal_ring_open(&journal->ring, reactor, &ring, &journal->ring_op, journal_opened);
}

static void journal_opened(struct op *op)
{
    struct journal *journal = container_of(op, struct journal, ring_op);
    if (op->result < 0) {
        commits_free(journal);
    }
    journal->waits->result = op->result;
    journal->waits->then(journal->waits);
}

void journal_close(struct journal *journal, struct op *op, op_fn *then)
{
    assert(journal->gathering->entries_count == 0);
    assert(op_queue_is_empty(&journal->ended) && op_queue_is_empty(&journal->failed));
    op->then = then;
    op->waits_for = "journal files";
    journal->waits = op;
    journal->closing = journal->offline = true; /* a start or tell still pending does nothing */
    if (!journal->in_flight) {
        journal_ring_close(&journal->ring, &journal->ring_op, journal_closed);
    }
}

static void journal_closed(struct op *op)
{
    struct journal *journal = container_of(op, struct journal, ring_op);
    commits_free(journal);
    journal->waits->result = op->result;
    journal->waits->then(journal->waits);
}

/* -- room -------------------------------------------------------------------------------------- */

/* Free files that only STATE may begin. */
static uint32_t files_reserved(const struct journal *journal)
{
    uint32_t eighth = journal->ring.files_max / 8;
    return eighth > 0 ? eighth : 1;
}

/* With fewer free files than this, the oldest are wanted back. */
static uint32_t files_wanted(const struct journal *journal)
{
    return files_reserved(journal) + journal->ring.files_max / 3;
}

/* What a commit at the head's end could hold. */
static uint32_t head_room(const struct journal *journal)
{
    uint32_t left = journal->options.file_bytes - LAST_BLOCK_BYTES;
    left = left > journal->head_bytes ? left - journal->head_bytes : 0;
    return left < journal->options.commit_bytes_max ? left : journal->options.commit_bytes_max;
}

uint64_t journal_entry_bytes_max(const struct journal *journal)
{
    return journal->options.commit_bytes_max - COMMIT_HEADER_BYTES - ENTRY_HEADER_BYTES;
}

/* Free files that an entry has to leave. */
static uint32_t files_left(const struct journal *journal, enum journal_claim claim)
{
    switch (claim) {
    case CLAIM_DATA:
        return files_reserved(journal);
    case CLAIM_STATE:
        return 1;
    case CLAIM_RELEASE:
        break;
    }
    return 0;
}

static bool has_room(const struct journal *journal, enum journal_claim claim, uint64_t bytes)
{
    const struct journal_commit *commit = journal->gathering;
    uint64_t needed = ENTRY_HEADER_BYTES + bytes;
    uint32_t free = journal_ring_free(&journal->ring);
    uint32_t left = files_left(journal, claim);
    if (free < left) {
        return false; /* the head is one of them */
    }
    if (commit->bytes > 0) {
        return commit->bytes + journal->promised_bytes + needed <= commit->bytes_max;
    }
    return COMMIT_HEADER_BYTES + needed <= head_room(journal) ||
           (journal_ring_has_next(&journal->ring) && free > left);
}

bool journal_has_room(struct journal *journal, enum journal_claim claim, uint64_t bytes)
{
    assert(bytes <= journal_entry_bytes_max(journal));
    if (journal->offline) {
        return true; /* to be told so by the append */
    }
    bool has = has_room(journal, claim, bytes);
    journal->room_wanted |= !has;
    return has;
}

/* The store's functions run on a turn of their own: what they do may come back here. */
static void journal_tell_soon(struct journal *journal)
{
    if (!journal->tell_pending && (journal->room_wanted || journal->press_wanted)) {
        journal->tell_pending = true;
        reactor_ready(journal->reactor, &journal->tell, journal_tell);
    }
}

static void journal_tell(struct op *op)
{
    struct journal *journal = container_of(op, struct journal, tell);
    bool press = journal->press_wanted, room = journal->room_wanted;
    journal->tell_pending = journal->press_wanted = journal->room_wanted = false;
    if (journal->offline) {
        return;
    }
    if (press) {
        journal->options.pressed(journal->options.context, journal->pressed_ordinal);
    }
    if (room) {
        journal->options.room(journal->options.context);
    }
}

/* With fewer free files than are wanted, the oldest ones are asked for. */
static void journal_press(struct journal *journal)
{
    uint32_t free = journal_ring_free(&journal->ring);
    if (free < files_wanted(journal)) {
        uint64_t missing = files_wanted(journal) - free;
        uint64_t wanted = journal->ring.oldest + missing - 1;
        wanted = wanted < journal->ring.head ? wanted : journal->ring.head - 1;
        if (wanted > journal->pressed_ordinal) {
            journal->pressed_ordinal = wanted;
            journal->press_wanted = true;
            journal_tell_soon(journal);
        }
    }
}

static void journal_go_on(void *context)
{
    struct journal *journal = context;
    if (!journal->offline) {
        journal_press(journal); /* a ring that has to stay small has fewer free files */
        journal_ring_prepare(&journal->ring, journal->head_bytes);
        journal_tell_soon(journal);
    }
}

/* -- gathering --------------------------------------------------------------------------------- */

static void journal_roll(struct journal *journal)
{
    journal_ring_advance(&journal->ring);
    journal->head_bytes = 0;
    journal_press(journal);
}

/* Behind the commit in flight, whose length is known by now. */
static void commit_place(struct journal *journal, struct journal_commit *commit, uint32_t bytes_max)
{
    commit->bytes = COMMIT_HEADER_BYTES;
    commit->bytes_max = bytes_max;
    commit->entries_count = 0;
    commit->entries_crc = 0;
    commit->file_ordinal = journal->ring.head;
    commit->file_position = journal->head_bytes;
}

static void journal_start_soon(struct journal *journal)
{
    if (!journal->start_pending && !journal->in_flight && journal->promised_bytes == 0) {
        journal->start_pending = true;
        reactor_ready(journal->reactor, &journal->start, journal_start);
    }
}

static void commit_add(struct journal_commit *commit, const struct journal_append *append,
                       uint32_t bytes)
{
    struct entry_header header = {
        .type = append->type,
        .bytes = bytes,
        .log_id = append->log_id,
        .log_sequence = append->log_sequence,
        .segment_base = append->type == ENTRY_DATA ? append->segment_base : 0,
        .position = append->type == ENTRY_DATA ? append->position : 0,
        .rest_bytes = append->type == ENTRY_DATA ? append->rest_bytes : 0,
    };
    uint8_t *at = commit->buffer + commit->bytes;
    entry_header_encode(&header, at);
    uint32_t crc = crc32c(commit->entries_crc, at, ENTRY_HEADER_BYTES);
    at += ENTRY_HEADER_BYTES;
    for (int i = 0; i < 2; i++) {
        crc = crc32c_copy(crc, at, append->bytes[i].iov_base, append->bytes[i].iov_len);
        at += append->bytes[i].iov_len;
    }
    commit->entries_crc = crc;
    commit->entries_count++;
    commit->bytes += ENTRY_HEADER_BYTES + bytes;
}

void journal_append(struct journal *journal, struct journal_append *append, op_fn *then)
{
    append->op.then = then;
    append->op.waits_for = "journal";
    bool is_last = append->follow_bytes == 0;
    if (journal->offline) {
        if (is_last) {
            append->op.result = -EIO;
            reactor_ready(journal->reactor, &append->op, then);
        }
        return;
    }
    struct journal_commit *commit = journal->gathering;
    uint64_t bytes = append->bytes[0].iov_len + append->bytes[1].iov_len;
    uint64_t needed = ENTRY_HEADER_BYTES + bytes;
    assert(bytes + append->follow_bytes <= journal_entry_bytes_max(journal));
    if (commit->bytes == 0) {
        if (COMMIT_HEADER_BYTES + needed + append->follow_bytes > head_room(journal)) {
            journal_roll(journal);
        }
        commit_place(journal, commit, head_room(journal));
    }
    assert(append->promised_bytes == 0 || append->promised_bytes == needed + append->follow_bytes);
    journal->promised_bytes += append->follow_bytes;
    journal->promised_bytes -= append->promised_bytes;
    append->promised_bytes = append->follow_bytes;
    assert(commit->bytes + needed + journal->promised_bytes <= commit->bytes_max);
    append->file_ordinal = commit->file_ordinal;
    commit_add(commit, append, (uint32_t)bytes);
    if (is_last) {
        op_queue_push(&commit->ops, &append->op);
    }
    journal_start_soon(journal);
}

void journal_release(struct journal *journal, uint64_t ordinal)
{
    assert(ordinal <= journal->ring.head);
    if (ordinal > journal->oldest_ordinal) {
        journal->oldest_ordinal = ordinal;
        journal_start_soon(journal);
    }
}

/* -- writing ----------------------------------------------------------------------------------- */

/* Is it worth a commit without entries to have the released files back? */
static bool journal_wants_files(const struct journal *journal)
{
    return journal->oldest_ordinal > journal->ring.oldest &&
           journal_ring_free(&journal->ring) < files_wanted(journal);
}

/* A place for a commit without entries: if need be, the block kept for it. */
static bool commit_place_empty(struct journal *journal, struct journal_commit *commit)
{
    if (journal->options.file_bytes - journal->head_bytes < LAST_BLOCK_BYTES) {
        if (!journal_ring_has_next(&journal->ring)) {
            return false;
        }
        journal_roll(journal);
    }
    commit_place(journal, commit, LAST_BLOCK_BYTES);
    return true;
}

static void commit_seal(struct journal *journal, struct journal_commit *commit)
{
    if (commit->file_position == 0) {
        journal_ring_file(&journal->ring, commit->file_ordinal)->first_sequence = journal->sequence;
    }
    commit->released = journal->oldest_ordinal;
    struct commit_header header = {
        .start = journal->options.start,
        .core = journal->options.core,
        .sequence = journal->sequence,
        .oldest_live = journal_ring_file(&journal->ring, commit->released)->first_sequence,
        .flushed = journal->sequence - 1, /* one in flight at a time, each of them durable */
        .file_ordinal = commit->file_ordinal,
        .file_position = commit->file_position,
        .bytes = commit->bytes,
        .entries_count = commit->entries_count,
        .entries_crc = commit->entries_crc,
    };
    commit_header_encode(&header, journal->options.salt, commit->buffer);
    memset(commit->buffer + commit->bytes, 0, commit_file_bytes(commit->bytes) - commit->bytes);
}

static void commit_write(struct journal *journal, struct journal_commit *commit)
{
    uint32_t bytes = commit_file_bytes(commit->bytes);
    int fd = journal_ring_file(&journal->ring, commit->file_ordinal)->fd;
    commit->error = 0;
    commit->begun_us = reactor_now_us(journal->reactor);
    commit->pieces_out = (bytes + PIECE_BYTES - 1) / PIECE_BYTES;
    for (uint32_t i = 0; i < commit->pieces_out; i++) {
        uint32_t from = i * PIECE_BYTES;
        struct journal_piece *piece = &commit->pieces[i];
        *piece = (struct journal_piece){
            .journal = journal,
            .io =
                {
                    .fd = fd,
                    .bytes = bytes - from < PIECE_BYTES ? bytes - from : PIECE_BYTES,
                    .buffer = commit->buffer + from,
                    .position = (uint64_t)commit->file_position + from,
                    .durable = true,
                },
        };
        reactor_write(journal->reactor, &piece->io, piece_written);
    }
}

static void journal_begin_commit(struct journal *journal)
{
    struct journal_commit *commit = journal->gathering;
    if (journal->offline || journal->in_flight || journal->promised_bytes > 0) {
        return;
    }
    if (commit->entries_count == 0 &&
        (!journal_wants_files(journal) || !commit_place_empty(journal, commit))) {
        return;
    }
    journal->sequence++;
    journal->in_flight = commit;
    journal->gathering = &journal->commits[commit == &journal->commits[0]];
    journal->head_bytes = commit->file_position + commit_file_bytes(commit->bytes);
    commit_seal(journal, commit);
    commit_write(journal, commit);
    journal_ring_prepare(&journal->ring, journal->head_bytes);
    journal_tell_soon(journal);
}

static void journal_start(struct op *op)
{
    struct journal *journal = container_of(op, struct journal, start);
    journal->start_pending = false;
    journal_begin_commit(journal);
}

/* It may gather anew; its ops end from the next step on. */
static void commit_end(struct journal *journal, struct journal_commit *commit,
                       struct op_queue *queue)
{
    op_queue_move(queue, &commit->ops);
    commit->bytes = 0;
    commit->entries_count = 0;
    if (!journal->end_pending) {
        journal->end_pending = true;
        reactor_ready(journal->reactor, &journal->end, journal_end);
    }
}

/* Nothing is durable any more after something was not: so these two queues are all in order. */
static void journal_end(struct op *op)
{
    struct journal *journal = container_of(op, struct journal, end);
    for (uint32_t count = 0; count < journal->options.ends_max; count++) {
        bool is_durable = !op_queue_is_empty(&journal->ended);
        op = op_queue_pop(is_durable ? &journal->ended : &journal->failed);
        if (!op) {
            break;
        }
        op->result = is_durable ? 0 : -EIO;
        op->then(op);
    }
    journal->end_pending =
        !op_queue_is_empty(&journal->ended) || !op_queue_is_empty(&journal->failed);
    if (journal->end_pending) {
        reactor_ready(journal->reactor, &journal->end, journal_end);
    }
}

/* What a failed write or flush left behind nobody can say: no retry. */
static void journal_fail(struct journal *journal, struct journal_commit *commit)
{
    journal->offline = true;
    report(journal->reactor->reports, REPORT_ERROR, reactor_wall_ms(journal->reactor), "journal",
           "cannot write the journal in %s: error %d; the directory is offline",
           journal->options.directory, (int)-commit->error);
    journal->options.failed(journal->options.context, (int)commit->error);
    commit_end(journal, commit, &journal->failed);
    commit_end(journal, journal->gathering, &journal->failed);
}

static void commit_ended(struct journal *journal, struct journal_commit *commit)
{
    journal->in_flight = NULL;
    if (journal->closing) { /* it had no entries, or journal_close was called too early */
        assert(commit->entries_count == 0);
        journal_ring_close(&journal->ring, &journal->ring_op, journal_closed);
        return;
    }
    if (commit->error < 0) {
        journal_fail(journal, commit);
        return;
    }
    journal->ring.oldest = commit->released;
    uint32_t bytes = commit_file_bytes(commit->bytes);
    struct metrics *metrics = &journal->reactor->metrics;
    metric_add(metrics, METRIC_COMMITS, 1);
    metric_add(metrics, METRIC_COMMIT_BYTES, bytes);
    metric_observe(metrics, HISTOGRAM_COMMIT_SIZE, bytes);
    metric_observe(metrics, HISTOGRAM_COMMIT_US,
                   reactor_now_us(journal->reactor) - commit->begun_us);
    metric_set(metrics, METRIC_JOURNAL_LIVE_BYTES, journal_live_bytes(journal));
    commit_end(journal, commit, &journal->ended);
    journal_begin_commit(journal);
    journal_tell_soon(journal);
}

static void piece_written(struct op *op)
{
    struct file_io *io = container_of(op, struct file_io, op);
    struct journal *journal = container_of(io, struct journal_piece, io)->journal;
    struct journal_commit *commit = journal->in_flight;
    if (op->result != io->bytes && commit->error == 0) {
        commit->error = op->result < 0 ? op->result : -EIO;
    }
    if (--commit->pieces_out == 0) {
        commit_ended(journal, commit);
    }
}

uint64_t journal_live_bytes(const struct journal *journal)
{
    uint64_t full = journal->ring.head - journal->ring.oldest;
    return full * journal->options.file_bytes + journal->head_bytes;
}
