#include "shard/broker.h"

#include "shard/partition.h"
#include "shard/request.h"
#include "shard/session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    JOURNAL_FILES_PER_CORE = 8,
    JOURNAL_FILE_BYTES_MAX = 128 << 20,
    JOURNAL_FILE_BYTES_MIN = 4 << 20,
    READ_PIECE_BYTES_MAX = 256 << 10,
    READ_PIECE_BYTES_MIN = 16 << 10,
    LISTEN_TRY_US = 3 * 1000 * 1000,
    LISTEN_AGAIN_US = 20 * 1000,
    /* A frame that has begun must be whole within this, or its slab serves someone else. */
    FRAME_PROGRESS_US = 60 * 1000 * 1000,
    /* A client may look away for so long, though others wait for the memory of its replies. */
    REPLY_STALLED_US = 10 * 1000 * 1000,
};

/*
 * The start, downwards. The addresses are taken first: a start that another broker stands in the
 * way of leaves the directory as it is.
 */
static void start_listen(struct op *op);     /* now, or soon */
static void start_recovered(struct op *op);  /* the segments hold all that was acknowledged */
static void start_controlled(struct op *op); /* all cores have the image */
static void core_open(struct op *op);        /* each core: its store */
static void core_opened(struct op *op);
static void core_told_offline(struct op *op); /* the directory has failed, on another core */
static void core_home(struct op *op);         /* core 0: when the last is home, cores_then */
static void start_opened(struct op *op);      /* every log has a durable STATE */
static void start_finished(struct op *op);    /* the old journals are void */
static void core_adopt(struct op *op);        /* each core: its logs become partitions */
static void core_log_dropped(struct op *op);  /* one that no topic has any more */
static void start_adopted(struct op *op);     /* serve */
static void start_failed(struct op *op);      /* any of these has: give the addresses back */
/*
 * The stop, downwards:
 */
static void stop_listener_closed(struct op *op);
static void core_stop(struct op *op); /* each core: answer what is in flight */
static void core_stopped(struct op *op);
static void stop_answered(struct op *op);
static void stop_uncontrolled(struct op *op);
static void core_close(struct op *op); /* each core: settle and close the store */
static void core_closed(struct op *op);
static void stop_settled(struct op *op);
static void stop_clean(struct op *op);

int broker_init(struct broker *broker, const struct broker_options *options,
                struct reactor **reactors, uint32_t count)
{
    *broker = (struct broker){.options = *options, .count = count};
    broker->shards = calloc(count, sizeof *broker->shards);
    broker->peers = calloc(count, sizeof *broker->peers);
    broker->cores = calloc(count, sizeof *broker->cores);
    broker->servers = calloc(count, sizeof *broker->servers);
    if (!broker->shards || !broker->peers || !broker->cores || !broker->servers) {
        broker_deinit(broker);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct shard *shard = &broker->shards[i];
        broker->peers[i] = shard;
        shard->index = i;
        shard->count = count;
        shard->peers = broker->peers;
        shard->reactor = reactors[i];
        shard->settings = &broker->options.settings;
        broker->cores[i] = (struct broker_core){.broker = broker, .shard = shard};
    }
    for (uint32_t i = 0; i < count; i++) {
        broker->cores[i].offline = calloc(count, sizeof *broker->cores[i].offline);
        if (!broker->cores[i].offline) {
            broker_deinit(broker);
            return -ENOMEM;
        }
    }
    return 0;
}

void broker_deinit(struct broker *broker)
{
    for (uint32_t i = 0; broker->cores && i < broker->count; i++) {
        free(broker->cores[i].states);
        free(broker->cores[i].stopped);
        free(broker->cores[i].offline);
        sessions_deinit(&broker->shards[i]);
        partitions_deinit(&broker->shards[i]);
    }
    recovery_free(&broker->recovery);
    control_deinit(&broker->control);
    free(broker->shards);
    free(broker->peers);
    free(broker->servers);
    free(broker->cores);
    free(broker->clean_stop.logs);
    *broker = (struct broker){0};
}

static struct reactor *broker_reactor(struct broker *broker)
{
    return broker->shards[0].reactor;
}

static void broker_done(struct broker *broker, int64_t result)
{
    struct op *waiting = broker->waiting;
    broker->waiting = NULL;
    waiting->result = result;
    broker->waiting_then(waiting);
}

/* -- a step on every core -------------------------------------------------------------------------- */

static void all_cores(struct broker *broker, op_fn *step, op_fn *then)
{
    broker->cores_out = broker->count;
    broker->cores_then = then;
    broker->error = 0;
    for (uint32_t i = 0; i < broker->count; i++) {
        broker->cores[i].error = 0;
        shard_run(&broker->shards[0], &broker->shards[i], &broker->cores[i].op, step);
    }
}

static struct broker_core *core_of(struct op *op)
{
    return container_of(op, struct broker_core, op);
}

static void core_done(struct broker_core *core, int64_t error)
{
    core->error = error;
    shard_run(core->shard, core->shard->peers[0], &core->op, core_home);
}

static void core_home(struct op *op)
{
    struct broker_core *core = core_of(op);
    struct broker *broker = core->broker;
    if (core->error && !broker->error) {
        broker->error = core->error;
    }
    if (--broker->cores_out == 0) {
        broker->step.result = broker->error;
        reactor_ready(broker_reactor(broker), &broker->step, broker->cores_then);
    }
}

/* -- a failed directory ---------------------------------------------------------------------------- */

/* All cores stop writing. Else a topic could be deleted whose drop one core cannot write down any
 * more, and be made again, in the same folder, on a core that still writes. */
static void core_failed(void *context, int error)
{
    struct broker_core *core = context;
    struct broker *broker = core->broker;
    for (uint32_t i = 0; i < broker->count; i++) {
        if (&broker->cores[i] != core) {
            struct broker_news *news = &core->offline[i];
            news->core = &broker->cores[i];
            news->op.result = error;
            shard_run(core->shard, news->core->shard, &news->op, core_told_offline);
        }
    }
}

static void core_told_offline(struct op *op)
{
    struct broker_core *core = container_of(op, struct broker_news, op)->core;
    struct store *store = &core->shard->store;
    core->is_offline = true; /* if its store is still opening, it fails when it is open */
    if (core->is_open && store->step != STORE_CLOSED) {
        store_fail(store, (int)op->result);
    }
}

/* -- start ------------------------------------------------------------------------------------------- */

static void start_fail(struct broker *broker, int64_t error, const char *what)
{
    if (!broker->problem[0]) {
        snprintf(broker->problem, sizeof broker->problem, "%s: %s", what, strerror((int)-error));
    }
    broker->error = error;
    reactor_ready(broker_reactor(broker), &broker->step, start_failed);
}

static void start_failed(struct op *op)
{
    struct broker *broker = container_of(op, struct broker, step);
    if (broker->listeners_open > 0) {
        listener_close(&broker->listeners[--broker->listeners_open], op, start_failed);
        return;
    }
    broker_done(broker, broker->error);
}

static void init_servers(struct broker *broker)
{
    const struct broker_options *options = &broker->options;
    for (uint32_t i = 0; i < broker->count; i++) {
        struct shard *shard = &broker->shards[i];
        struct server_options server = {.frame_bytes_max = options->frame_bytes_max,
                                        .idle_us = options->idle_us,
                                        .progress_us = FRAME_PROGRESS_US,
                                        .stalled_us = REPLY_STALLED_US};
        server_init(&shard->server, shard->reactor, &server, shard, request_start);
        broker->servers[i] = &shard->server;
    }
}

static int open_listeners(struct broker *broker)
{
    struct broker_options *options = &broker->options;
    while (broker->listeners_open < options->listeners_count) {
        struct listen_address *address = &options->listeners[broker->listeners_open];
        int error =
            listener_open(&broker->listeners[broker->listeners_open], broker_reactor(broker),
                          address, broker->servers, broker->count, options->connections_max);
        if (error < 0) {
            snprintf(broker->problem, sizeof broker->problem,
                     "cannot listen on %s:%u: %s. Another broker may be running there; choose "
                     "another address with `listeners`.",
                     address->host, address->port, strerror(-error));
            return error;
        }
        broker->listeners_open++;
    }
    if (options->settings.advertised_port == 0) {
        options->settings.advertised_port = options->listeners[0].port;
    }
    return 0;
}

void broker_start(struct broker *broker, struct op *op, op_fn *then)
{
    broker->waiting = op;
    broker->waiting_then = then;
    init_servers(broker);
    broker->listen_until_us = reactor_now_us(broker_reactor(broker)) + LISTEN_TRY_US;
    start_listen(&broker->listen_timer.op);
}

/* A broker that was killed just before is gone for the shell, but its ring, and with it the socket,
 * is taken down by the kernel later. */
static void start_listen(struct op *op)
{
    struct broker *broker = container_of(op, struct broker, listen_timer.op);
    struct broker_settings *settings = &broker->options.settings;
    struct reactor *reactor = broker_reactor(broker);
    int error = open_listeners(broker);
    if (error == -EADDRINUSE && reactor_now_us(reactor) < broker->listen_until_us) {
        timer_start(reactor, &broker->listen_timer, LISTEN_AGAIN_US, start_listen);
        return;
    }
    if (error < 0) {
        start_fail(broker, error, "listening");
        return;
    }
    broker->problem[0] = '\0';
    broker->recovery.options = (struct recovery_options){
        .directory = broker->options.directory,
        .node_id = settings->node_id,
        .index_interval_bytes = (uint32_t)strtoul(
            settings->topic_defaults[TOPIC_CONFIG_INDEX_INTERVAL_BYTES], NULL, 10),
    };
    snprintf(broker->recovery.options.cluster_id, sizeof broker->recovery.options.cluster_id, "%s",
             settings->cluster_id);
    recovery_begin(&broker->recovery, reactor, start_recovered);
}

static void start_recovered(struct op *op)
{
    struct recovery *recovery = container_of(op, struct recovery, job.op);
    struct broker *broker = container_of(recovery, struct broker, recovery);
    struct broker_settings *settings = &broker->options.settings;
    if (op->result < 0) {
        snprintf(broker->problem, sizeof broker->problem, "%s", recovery->problem);
        start_fail(broker, op->result, "recovery");
        return;
    }
    struct reactor *reactor = broker_reactor(broker);
    if (recovery->left_count > 0) {
        report(reactor->reports, REPORT_WARN, reactor_wall_ms(reactor), "delete",
               "%u directories of deleted topics in %s cannot be removed: error %d. They are not "
               "used; remove them (*-delete), or let the next start try again.",
               recovery->left_count, broker->options.directory, -recovery->left_error);
    }
    snprintf(settings->cluster_id, sizeof settings->cluster_id, "%s", recovery->cluster_id);
    struct uuid directory_id = {{0}};
    bool parsed = uuid_from_text(&directory_id, view_of_text(recovery->directory_id));
    assert(parsed); /* recovery checked or drew it */
    struct shard *first = &broker->shards[0];
    if (control_init(&broker->control, first, &directory_id) < 0) {
        start_fail(broker, -ENOMEM, "control shard");
        return;
    }
    first->control = &broker->control;
    control_start(&broker->control, broker->options.directory,
                  !recovery->formatted && !recovery->was_clean, &broker->step, start_controlled);
}

/* Which log goes to which core. */
static bool share_out_logs(struct broker *broker)
{
    struct recovery *recovery = &broker->recovery;
    for (uint32_t i = 0; i < broker->count; i++) {
        broker->cores[i].states = calloc(recovery->logs_count + 1, sizeof(void *));
        if (!broker->cores[i].states) {
            return false;
        }
    }
    for (size_t i = 0; i < recovery->logs_count; i++) {
        struct log_state *state = &recovery->logs[i];
        struct uuid topic_id;
        memcpy(topic_id.bytes, state->topic_id, sizeof topic_id.bytes);
        uint32_t owner = partition_owner(&topic_id, state->partition, broker->count);
        struct broker_core *core = &broker->cores[owner];
        core->states[core->states_count++] = state;
    }
    return true;
}

static void start_controlled(struct op *op)
{
    struct broker *broker = container_of(op, struct broker, step);
    if (op->result < 0) {
        snprintf(broker->problem, sizeof broker->problem, "%s", broker->control.problem);
        start_fail(broker, op->result, "metadata log");
    } else if (!share_out_logs(broker)) {
        start_fail(broker, -ENOMEM, "logs");
    } else {
        all_cores(broker, core_open, start_opened);
    }
}

/* Several reads from disk at a time, each a power of two as its slab. */
static uint32_t read_piece_bytes(const struct slabs *slabs)
{
    uint32_t bytes = READ_PIECE_BYTES_MIN;
    while (bytes < READ_PIECE_BYTES_MAX && 4 * bytes <= slabs->budgets[BUDGET_READS].bytes_max) {
        bytes *= 2;
    }
    return bytes;
}

static struct store_options store_options_of(struct broker *broker, uint32_t core)
{
    uint64_t journal_bytes = broker->options.journal_bytes / broker->count;
    uint64_t pinned_max = broker->shards[core].reactor->slabs.budgets[BUDGET_TAIL].bytes_max;
    if (journal_bytes > pinned_max / 2) { /* what the journal holds is pinned in the tail too */
        journal_bytes = pinned_max / 2;
    }
    uint64_t file_bytes = JOURNAL_FILE_BYTES_MIN;
    while (file_bytes < JOURNAL_FILE_BYTES_MAX &&
           file_bytes * 2 * JOURNAL_FILES_PER_CORE <= journal_bytes) {
        file_bytes *= 2;
    }
    if (broker->options.journal_file_bytes) {
        file_bytes = broker->options.journal_file_bytes;
    }
    return (struct store_options){
        .directory = broker->options.directory,
        .start = broker->recovery.start,
        .core = core,
        .salt = broker->recovery.salt,
        .journal_bytes = journal_bytes,
        .journal_file_bytes = (uint32_t)file_bytes,
        .fetch_read_bytes = read_piece_bytes(&broker->shards[core].reactor->slabs),
        .fds_max = broker->options.segment_files_max,
        .was_clean = broker->recovery.was_clean,
        .producers_expire_ms = broker->options.settings.producer_id_expiration_ms,
        .failed = core_failed,
        .context = &broker->cores[core]};
}

static void core_open(struct op *op)
{
    struct broker_core *core = core_of(op);
    struct shard *shard = core->shard;
    if (partitions_init(shard) < 0 || sessions_init(shard) < 0) {
        core_done(core, -ENOMEM);
        return;
    }
    struct store_options options = store_options_of(core->broker, shard->index);
    store_open(&shard->store, shard->reactor, &options, core->states, core->states_count, &core->op,
               core_opened);
}

static void core_opened(struct op *op)
{
    struct broker_core *core = core_of(op);
    core->is_open = op->result >= 0;
    core->next_log = core->shard->store.logs;
    if (core->is_open && core->is_offline) {
        store_fail(&core->shard->store, -EIO);
    }
    core_done(core, op->result < 0 ? op->result : 0);
}

/* Only when the old journals are void: a log that is dropped here must not come back from them. */
static void core_adopt(struct op *op)
{
    struct broker_core *core = core_of(op);
    struct shard *shard = core->shard;
    while (core->next_log) {
        struct log *log = core->next_log;
        core->next_log = log->next;
        struct uuid topic_id;
        memcpy(topic_id.bytes, log->topic_id, sizeof topic_id.bytes);
        const struct topic *topic = image_topic_by_id(shard->image, &topic_id);
        int32_t index = log->partition;
        if (!topic || (uint32_t)index >= topic->partitions_count) {
            log_drop(log, op, core_log_dropped); /* deleted while its removal was under way */
            return;
        }
        log->settings = topic->settings.log;
        if (topic->partitions[index].leader_epoch > log->leader_epoch) {
            log_assign_epoch(log, topic->partitions[index].leader_epoch);
        }
        if (partition_adopt(shard, &topic_id, index, log) < 0) {
            core_done(core, -ENOMEM);
            return;
        }
    }
    core_done(core, 0);
}

static void core_log_dropped(struct op *op)
{
    struct broker_core *core = core_of(op);
    struct reactor *reactor = core->shard->reactor;
    if (op->result < 0 && core->shard->store.offline) {
        core_done(core, op->result);
        return;
    }
    if (op->result < 0) {
        report(reactor->reports, REPORT_WARN, reactor_wall_ms(reactor), "delete",
               "the files of a deleted topic cannot be removed: error %d. They are not used; the "
               "next start tries again.",
               (int)-op->result);
    }
    core_adopt(op); /* the next one */
}

static void start_opened(struct op *op)
{
    struct broker *broker = container_of(op, struct broker, step);
    if (op->result < 0) {
        for (uint32_t i = 0; i < broker->count && !broker->problem[0]; i++) {
            snprintf(broker->problem, sizeof broker->problem, "%s",
                     broker->shards[i].store.problem);
        }
        start_fail(broker, op->result, "opening the logs");
        return;
    }
    recovery_finish(&broker->recovery, broker_reactor(broker), start_finished);
}

static void start_finished(struct op *op)
{
    struct recovery *recovery = container_of(op, struct recovery, job.op);
    struct broker *broker = container_of(recovery, struct broker, recovery);
    if (op->result < 0) {
        start_fail(broker, op->result, "removing old journals");
        return;
    }
    all_cores(broker, core_adopt, start_adopted);
}

static void start_adopted(struct op *op)
{
    struct broker *broker = container_of(op, struct broker, step);
    if (op->result < 0) {
        start_fail(broker, op->result, "taking over the logs");
        return;
    }
    for (uint32_t i = 0; i < broker->listeners_open; i++) {
        listener_start(&broker->listeners[i]);
    }
    broker_done(broker, 0);
}

/* -- stop ---------------------------------------------------------------------------------------------- */

void broker_stop(struct broker *broker, struct op *op, op_fn *then)
{
    broker->waiting = op;
    broker->waiting_then = then;
    broker->step.result = 0;
    reactor_ready(broker_reactor(broker), &broker->step, stop_listener_closed);
}

static void stop_listener_closed(struct op *op)
{
    struct broker *broker = container_of(op, struct broker, step);
    if (broker->listeners_open > 0) {
        listener_close(&broker->listeners[--broker->listeners_open], op, stop_listener_closed);
        return;
    }
    all_cores(broker, core_stop, stop_answered);
}

static void core_stop(struct op *op)
{
    struct broker_core *core = core_of(op);
    sessions_stop(core->shard);
    server_stop(&core->shard->server, op, core_stopped);
}

static void core_stopped(struct op *op)
{
    core_done(core_of(op), 0);
}

static void stop_answered(struct op *op)
{
    struct broker *broker = container_of(op, struct broker, step);
    control_stop(&broker->control, op, stop_uncontrolled);
}

static void stop_uncontrolled(struct op *op)
{
    struct broker *broker = container_of(op, struct broker, step);
    all_cores(broker, core_close, stop_settled);
}

static void core_close(struct op *op)
{
    struct broker_core *core = core_of(op);
    core->stopped = calloc(core->shard->store.logs_count + 1, sizeof *core->stopped);
    if (!core->stopped) {
        core_done(core, -ENOMEM);
        return;
    }
    store_close(&core->shard->store, core->stopped, op, core_closed);
}

static void core_closed(struct op *op)
{
    struct broker_core *core = core_of(op);
    core->stopped_count = op->result < 0 ? 0 : (uint32_t)op->result;
    core_done(core, op->result < 0 ? op->result : 0);
}

static void stop_settled(struct op *op)
{
    struct broker *broker = container_of(op, struct broker, step);
    if (op->result < 0) { /* the next start recovers */
        broker_done(broker, op->result);
        return;
    }
    size_t count = 0;
    for (uint32_t i = 0; i < broker->count; i++) {
        count += broker->cores[i].stopped_count;
    }
    struct clean_stop *stop = &broker->clean_stop;
    stop->logs = malloc((count + 1) * sizeof *stop->logs);
    if (!stop->logs) {
        broker_done(broker, -ENOMEM);
        return;
    }
    for (uint32_t i = 0; i < broker->count; i++) {
        memcpy(stop->logs + stop->logs_count, broker->cores[i].stopped,
               broker->cores[i].stopped_count * sizeof *stop->logs);
        stop->logs_count += broker->cores[i].stopped_count;
    }
    stop->directory = broker->options.directory;
    stop->broker_epoch = broker->control.broker_epoch;
    stop->lock_fd = broker->recovery.lock_fd;
    clean_stop_begin(stop, broker_reactor(broker), stop_clean);
}

static void stop_clean(struct op *op)
{
    struct clean_stop *stop = container_of(op, struct clean_stop, job.op);
    broker_done(container_of(stop, struct broker, clean_stop), op->result);
}
