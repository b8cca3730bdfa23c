/*
 * journal_crash -- what the journals say after a cut at any moment.
 *
 * A few cores append entries to journals of tiny files and give the files back, so that each file
 * is used again and again. At every image: replay_scan finds no rot, each entry that was told to be
 * durable and whose file was not given back is there, and each entry that is there was once sent.
 */
#include "log/journal.h"
#include "log/replay.h"
#include "tests/sim/proof.h"

enum {
    SALT = 0x0d7ade4,
    LOGS = 3, /* of a core */
    ENTRIES_MAX = 600,
    OUT_MAX = 40,
    STEPS_MAX = 1 << 20,
    IMAGE_STEPS_MAX = 1 << 18,
};

struct sent { /* the ledger of one entry */
    struct journal_append append;
    struct writer *writer;
    uint64_t log_id, log_sequence;
    uint32_t bytes;
    bool told; /* durable, as far as its sender knows */
};

struct writer { /* of one core */
    struct scene *scene;
    struct journal journal;
    struct op opened;
    struct timer timer;
    uint64_t sequences[LOGS];
    struct sent entries[ENTRIES_MAX];
    uint32_t count, out;
    bool open;
};

struct scene {
    struct proof *proof;
    struct computer computer;
    struct sim_random random; /* of images: what they draw disturbs nothing */
    uint32_t rate;
    uint32_t entries_max, bytes_max;
    struct journal_options options;
    struct writer writers[COMPUTER_CORES_MAX];
    uint32_t cores;
    uint64_t found[COMPUTER_CORES_MAX][ENTRIES_MAX / 64 + 1];
};

static uint8_t payload_byte(uint64_t log_id, uint64_t sequence, uint32_t at)
{
    return (uint8_t)sim_mix(log_id * 1000003 + sequence * 31 + at / 7);
}

/* -- the workload ------------------------------------------------------------------------------ */

static void writer_append(struct op *op);

static void entry_durable(struct op *op)
{
    struct sent *sent = container_of(op, struct sent, append.op);
    sent->told = op->result == 0;
    sent->writer->out--;
    if (op->result != 0) {
        proof_fail(sent->writer->scene->proof, "an append ended with %ld", (long)op->result);
    }
}

static void writer_pressed(void *context, uint64_t ordinal)
{
    struct writer *writer = context;
    journal_release(&writer->journal, ordinal + 1);
}

static void writer_room(void *context)
{
}

static void writer_failed(void *context, int error)
{
    proof_fail(((struct writer *)context)->scene->proof, "the journal failed: %d", error);
}

static void writer_append_one(struct writer *writer, uint32_t bytes)
{
    struct scene *scene = writer->scene;
    struct reactor *reactor = writer->journal.reactor;
    uint32_t log = (uint32_t)(reactor_random(reactor) % LOGS);
    struct sent *sent = &writer->entries[writer->count++];
    static uint8_t buffer[1 << 16];
    sent->writer = writer;
    sent->log_id = (uint64_t)(reactor->index + 1) << 32 | log;
    sent->log_sequence = ++writer->sequences[log];
    sent->bytes = bytes;
    for (uint32_t i = 0; i < bytes; i++) {
        buffer[i] = payload_byte(sent->log_id, sent->log_sequence, i);
    }
    sent->append = (struct journal_append){
        .log_id = sent->log_id,
        .log_sequence = sent->log_sequence,
        .type = ENTRY_DATA,
        .segment_base = log,
        .position = (uint32_t)sent->log_sequence,
        .bytes = {{buffer, bytes / 2}, {buffer + bytes / 2, bytes - bytes / 2}},
    };
    writer->out++;
    journal_append(&writer->journal, &sent->append, entry_durable);
    memset(buffer, 0xee, scene->bytes_max); /* it was copied at once, or not at all */
}

static void writer_append(struct op *op)
{
    struct writer *writer = container_of(op, struct writer, timer.op);
    struct scene *scene = writer->scene;
    struct reactor *reactor = writer->journal.reactor;
    uint64_t burst = reactor_random(reactor) % 8;
    for (uint64_t i = 0; i < burst && writer->count < scene->entries_max; i++) {
        uint32_t bytes = 1 + (uint32_t)(reactor_random(reactor) % scene->bytes_max);
        if (writer->out >= OUT_MAX || !journal_has_room(&writer->journal, CLAIM_DATA, bytes)) {
            break;
        }
        writer_append_one(writer, bytes);
    }
    if (writer->count < scene->entries_max) {
        timer_start(reactor, &writer->timer, reactor_random(reactor) % 3000, writer_append);
    }
}

static void writer_opened(struct op *op)
{
    struct writer *writer = container_of(op, struct writer, opened);
    if (op->result != 0) {
        proof_fail(writer->scene->proof, "journal_open: %ld", (long)op->result);
        return;
    }
    writer->open = true;
    timer_start(writer->journal.reactor, &writer->timer, 0, writer_append);
}

static bool scene_is_over(void *context)
{
    struct scene *scene = context;
    for (uint32_t i = 0; i < scene->cores; i++) {
        const struct writer *writer = &scene->writers[i];
        if (writer->count < scene->entries_max || writer->out > 0) {
            return scene->proof->failed;
        }
    }
    return true;
}

/* -- an image ---------------------------------------------------------------------------------- */

struct reader {
    struct job job;
    struct scene *scene;
    bool ended;
};

static struct sent *sent_find(struct scene *scene, const struct replay_entry *entry)
{
    uint32_t core = (uint32_t)(entry->log_id >> 32) - 1;
    if (core >= scene->cores || (uint32_t)entry->log_id >= LOGS) {
        return NULL;
    }
    struct writer *writer = &scene->writers[core];
    for (uint32_t i = 0; i < writer->count; i++) {
        struct sent *sent = &writer->entries[i];
        if (sent->log_id == entry->log_id && sent->log_sequence == entry->log_sequence) {
            scene->found[core][i / 64] |= UINT64_C(1) << i % 64;
            return sent;
        }
    }
    return NULL;
}

static bool entry_check(struct scene *scene, struct replay *replay, struct files *files,
                        const struct replay_entry *entry)
{
    uint8_t payload[1 << 16];
    const struct sent *sent = sent_find(scene, entry);
    if (!sent || entry->bytes != sent->bytes || entry->type != ENTRY_DATA) {
        return proof_fail(scene->proof, "entry %lx:%lu was never sent", (long)entry->log_id,
                          (long)entry->log_sequence);
    }
    int error = replay_read(replay, files, entry, 0, payload, entry->bytes);
    if (error) {
        return proof_fail(scene->proof, "replay_read: %d", error);
    }
    for (uint32_t i = 0; i < entry->bytes; i++) {
        if (payload[i] != payload_byte(entry->log_id, entry->log_sequence, i)) {
            return proof_fail(scene->proof, "entry %lx:%lu has other bytes", (long)entry->log_id,
                              (long)entry->log_sequence);
        }
    }
    return true;
}

static int64_t reader_run(struct job *job, struct files *files)
{
    struct scene *scene = container_of(job, struct reader, job)->scene;
    struct replay replay;
    int error = replay_scan(&replay, files, "/data", SALT, 0);
    if (error) {
        proof_fail(scene->proof, "replay_scan: %d, %s", error, replay.problem);
    }
    memset(scene->found, 0, sizeof scene->found);
    for (size_t i = 0; !error && i < replay.entries_count; i++) {
        if (!entry_check(scene, &replay, files, &replay.entries[i])) {
            break;
        }
    }
    replay_free(&replay, files);
    return error;
}

static void reader_ended(struct op *op)
{
    container_of(op, struct reader, job.op)->ended = true;
}

static bool reader_has_ended(void *context)
{
    return ((struct reader *)context)->ended;
}

static void image_check(struct scene *scene, struct sim_disk *image)
{
    struct computer computer;
    struct reader reader = {.scene = scene, .job.run = reader_run};
    computer_open(&computer, sim_draw(&scene->random), image, NULL);
    computer_start(&computer, 1, 16 << 20);
    reactor_job(&computer.reactors[0], &reader.job, reader_ended);
    if (!sim_run(&computer.sim, reader_has_ended, &reader, IMAGE_STEPS_MAX)) {
        proof_fail(scene->proof, "replay does not end: %s",
                   computer.sim.complaint ? computer.sim.complaint : "it stands still");
    }
    for (uint32_t core = 0; !scene->proof->failed && core < scene->cores; core++) {
        const struct writer *writer = &scene->writers[core];
        for (uint32_t i = 0; i < writer->count; i++) {
            const struct sent *sent = &writer->entries[i];
            bool found = scene->found[core][i / 64] >> i % 64 & 1;
            if (sent->told && sent->append.file_ordinal >= writer->journal.oldest_ordinal &&
                !found) {
                proof_fail(scene->proof, "entry %lx:%lu was durable and is not there",
                           (long)sent->log_id, (long)sent->log_sequence);
                break;
            }
        }
    }
    computer_close(&computer);
}

static void scene_point(struct sim_node *node, enum sim_point point)
{
    struct scene *scene = node->context;
    struct process_memory *was = process_memory_use(NULL);
    if (proof_wants_image(scene->proof, &scene->random, scene->rate)) {
        enum sim_cut cut = sim_chance(&scene->random, 20) ? SIM_CUT_KILL : SIM_CUT_POWER;
        image_check(scene, sim_disk_image(node->disk, cut, &scene->random));
    }
    process_memory_use(was);
}

static void scene_play(struct proof *proof)
{
    static struct scene scene;
    scene = (struct scene){.proof = proof};
    struct sim_random shape = {proof->seed};
    scene.cores = (uint32_t)sim_between(&shape, 1, 3);
    scene.entries_max = (uint32_t)sim_between(&shape, 50, ENTRIES_MAX);
    scene.bytes_max = 1u << sim_between(&shape, 4, 13);
    scene.rate = 1 + scene.entries_max * scene.cores / 100;
    uint32_t commit = FILE_BLOCK_BYTES * (uint32_t)sim_between(&shape, 3, 8);
    scene.options = (struct journal_options){
        .directory = "/data",
        .start = 7,
        .salt = SALT,
        .file_bytes = commit + FILE_BLOCK_BYTES * (uint32_t)sim_between(&shape, 1, 8),
        .files_max = (uint32_t)sim_between(&shape, JOURNAL_FILES_MIN, 6),
        .commit_bytes_max = commit,
        .pressed = writer_pressed,
        .room = writer_room,
        .failed = writer_failed,
    };
    scene.options.ends_max = (uint32_t)sim_between(&shape, 1, 8);
    struct computer *computer = &scene.computer;
    computer_open(computer, proof->seed, NULL, proof->story);
    computer->node->disk->garbles = sim_chance(&shape, 50);
    computer_start(computer, scene.cores, 16 << 20);
    computer->node->point = scene_point;
    computer->node->context = &scene;
    computer_enter(computer);
    for (uint32_t i = 0; i < scene.cores; i++) {
        struct writer *writer = &scene.writers[i];
        writer->scene = &scene;
        scene.options.core = i;
        scene.options.context = writer;
        journal_open(&writer->journal, &computer->reactors[i], &scene.options, &writer->opened,
                     writer_opened);
    }
    computer_leave(computer);
    if (!sim_run(&computer->sim, scene_is_over, &scene, STEPS_MAX)) {
        proof_fail(proof, "the workload does not end: %s",
                   computer->sim.complaint ? computer->sim.complaint : "it stands still");
    }
    proof->trace = computer->sim.trace;
    computer_close(computer);
}

int main(int argc, char **argv)
{
    return proof_main(argc, argv, 20, scene_play);
}
