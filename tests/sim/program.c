#include "tests/sim/program.h"

#include <errno.h>
#include <stdarg.h>

enum { PIECE_BYTES = 64 << 10, READ_BYTES_MAX = 64 << 20 };

static bool problem(struct program *program, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool problem(struct program *program, const char *format, ...)
{
    va_list arguments;
    const char *complaint = program->computer->sim.complaint;
    va_start(arguments, format);
    int bytes = vsnprintf(program->problem, sizeof program->problem, format, arguments);
    va_end(arguments);
    if (complaint && bytes < (int)sizeof program->problem) {
        snprintf(program->problem + bytes, sizeof program->problem - (size_t)bytes, "; %s",
                 complaint);
    }
    return false;
}

static struct reactor *reactor_of(struct program *program, uint32_t core)
{
    return &program->computer->reactors[core];
}

/* -- starting ---------------------------------------------------------------------------------- */

static bool recovery_run(struct program *program)
{
    struct recovery *recovery = &program->recovery;
    *recovery = (struct recovery){
        .options =
            {
                .directory = "/data",
                .node_id = 1,
                .index_interval_bytes = program->shape->settings.index_interval_bytes,
            },
    };
    recovery_begin(recovery, reactor_of(program, 0), computer_then);
    if (!computer_wait(program->computer, &recovery->job.op)) {
        return problem(program, "recovery does not end");
    }
    if (recovery->job.op.result < 0) {
        return problem(program, "recovery: %ld, %s", (long)recovery->job.op.result,
                       recovery->problem);
    }
    return true;
}

static void store_failed(void *context, int error)
{
    ((struct program *)context)->failures++;
}

/* Which core gets a log, among so many: not the one it had. */
static uint32_t core_of(const struct program *program, const struct log_state *state)
{
    uint64_t hash = program->recovery.start * 77;
    for (const char *at = state->name; *at; at++) {
        hash = sim_mix(hash + (uint8_t)*at);
    }
    return (uint32_t)(hash % program->cores);
}

static bool store_run(struct program *program, uint32_t core)
{
    struct recovery *recovery = &program->recovery;
    const struct shape *shape = program->shape;
    struct store_options options = {
        .directory = "/data",
        .start = recovery->start,
        .core = core,
        .salt = recovery->salt,
        .journal_bytes = shape->journal_bytes,
        .journal_file_bytes = shape->journal_file_bytes,
        .fetch_read_bytes = shape->read_bytes,
        .fds_max = shape->fds_max,
        .idle_us = shape->idle_us,
        .step_bytes = shape->step_bytes,
        .step_items = shape->step_items,
        .failed = store_failed,
        .context = program,
    };
    struct log_state **states =
        sim_take(&memory_of_simulators, (recovery->logs_count + 1) * sizeof *states);
    uint32_t count = 0;
    for (size_t i = 0; i < recovery->logs_count; i++) {
        if (core_of(program, &recovery->logs[i]) == core) {
            states[count++] = &recovery->logs[i];
        }
    }
    struct op op = {0};
    store_open(&program->stores[core], reactor_of(program, core), &options, states, count, &op,
               computer_then);
    bool arrived = computer_wait(program->computer, &op);
    sim_give(&memory_of_simulators, states);
    if (!arrived || op.result < 0) {
        return problem(program, "store_open: %ld%s", (long)op.result, arrived ? "" : ", never");
    }
    for (struct log *log = program->stores[core].logs; log; log = log->next) {
        log->settings = shape->settings;
    }
    return true;
}

bool program_start(struct program *program, struct computer *computer, const struct shape *shape,
                   uint32_t cores)
{
    *program = (struct program){.computer = computer, .shape = shape, .cores = cores};
    computer_start(computer, cores, shape->memory_bytes);
    computer_enter(computer);
    bool good = recovery_run(program);
    for (uint32_t core = 0; good && core < cores; core++) {
        good = store_run(program, core);
    }
    if (good) {
        struct recovery *recovery = &program->recovery;
        recovery->job.op = (struct op){0};
        recovery_finish(recovery, reactor_of(program, 0), computer_then);
        good = computer_wait(computer, &recovery->job.op) && recovery->job.op.result >= 0;
        if (!good) {
            problem(program, "recovery_finish: %ld, %s", (long)recovery->job.op.result,
                    recovery->problem);
        }
        recovery_free(recovery);
    }
    computer_leave(computer);
    program->open = good;
    return good;
}

void program_forget(struct program *program)
{
    program->open = false;
}

/* -- stopping ---------------------------------------------------------------------------------- */

bool program_stop(struct program *program)
{
    struct computer *computer = program->computer;
    struct clean_stop stop = {.directory = "/data", .lock_fd = program->recovery.lock_fd};
    uint32_t logs_max = 1;
    for (uint32_t core = 0; core < program->cores; core++) {
        logs_max += program->stores[core].logs_count;
    }
    bool good = true;
    computer_enter(computer);
    stop.logs = sim_take(&memory_of_simulators, logs_max * sizeof *stop.logs);
    for (uint32_t core = 0; good && core < program->cores; core++) {
        struct op op = {0};
        store_close(&program->stores[core], stop.logs + stop.logs_count, &op, computer_then);
        good = computer_wait(computer, &op) && op.result >= 0;
        if (!good) {
            problem(program, "store_close: %ld", (long)op.result);
        }
        stop.logs_count += (size_t)op.result;
    }
    if (good) {
        clean_stop_begin(&stop, reactor_of(program, 0), computer_then);
        good = computer_wait(computer, &stop.job.op) && stop.job.op.result >= 0;
        if (!good) {
            problem(program, "clean_stop: %ld", (long)stop.job.op.result);
        }
    }
    sim_give(&memory_of_simulators, stop.logs);
    computer_leave(computer);
    program->open = false;
    return good;
}

/* -- logs -------------------------------------------------------------------------------------- */

struct log *program_log(struct program *program, const char *name)
{
    for (uint32_t core = 0; core < program->cores; core++) {
        for (struct log *log = program->stores[core].logs; log; log = log->next) {
            if (!strcmp(log->name, name)) {
                return log;
            }
        }
    }
    return NULL;
}

struct log *program_create(struct program *program, const struct line *line, uint32_t core)
{
    computer_enter(program->computer);
    struct log *log = store_create_log(&program->stores[core], line->topic_id, line->topic,
                                       line->partition, &program->shape->settings, 0);
    computer_leave(program->computer);
    assert(log);
    return log;
}

/* Bytes [position, position + bytes) of a segment. */
static bool pin_all(struct program *program, struct log *log, const struct log_locate *locate,
                    uint8_t *into)
{
    for (uint32_t done = 0; done < locate->bytes;) {
        struct log_pin pin = {
            .segment_base = locate->segment_base,
            .position = locate->position + done,
            .bytes_max = locate->bytes - done,
        };
        if (!log_pin(log, &pin, computer_then) && !computer_wait(program->computer, &pin.op)) {
            return problem(program, "a pin never ends");
        }
        if (pin.op.result <= 0 || pin.op.result > locate->bytes - done) {
            return problem(program, "%s: pin at %u: %ld", log->name, pin.position,
                           (long)pin.op.result);
        }
        memcpy(into + done, pin.data, (size_t)pin.op.result);
        done += (uint32_t)pin.op.result;
        log_unpin(&pin);
    }
    return true;
}

/* Whole batches from an offset on, at least one; 0: none, or see problem. */
static size_t read_from(struct program *program, struct log *log, int64_t *offset, uint8_t *into)
{
    struct log_locate locate = {.offset = *offset, .bytes_max = PIECE_BYTES, .whole_first = true};
    if (!log_locate(log, &locate, computer_then) && !computer_wait(program->computer, &locate.op)) {
        problem(program, "a locate never ends");
        return 0;
    }
    if (locate.op.result < 0 || locate.bytes == 0) {
        problem(program, "%s: locate %ld: %ld, %u bytes", log->name, (long)*offset,
                (long)locate.op.result, locate.bytes);
        return 0;
    }
    if (!pin_all(program, log, &locate, into)) {
        return 0;
    }
    struct batch_walk walk = batch_walk(into, locate.bytes);
    struct batch batch;
    while (batch_walk_next(&walk, &batch)) {
        *offset = batch_last_offset(&batch) + 1;
        if (!batch_is_intact(&batch)) {
            problem(program, "%s: the CRC of the batch at %ld is wrong", log->name,
                    (long)batch.base_offset);
            return 0;
        }
    }
    if (walk.state == BATCH_BROKEN || walk.at == into) {
        problem(program, "%s: what is given out at %ld is no batch", log->name, (long)*offset);
        return 0;
    }
    return (size_t)(walk.at - into);
}

uint8_t *program_read(struct program *program, struct log *log, size_t *count)
{
    uint32_t capacity = 4 << 20;
    uint8_t *bytes = sim_take(&memory_of_simulators, capacity);
    *count = 0;
    computer_enter(program->computer);
    for (int64_t offset = log->log_start; offset < log->log_end;) {
        bytes = sim_room(&memory_of_simulators, bytes, &capacity, (uint32_t)*count + (2 << 20), 1);
        size_t more = read_from(program, log, &offset, bytes + *count);
        *count += more;
        if (more == 0) {
            sim_give(&memory_of_simulators, bytes);
            bytes = NULL;
            break;
        }
    }
    computer_leave(program->computer);
    return bytes;
}

void program_append(struct program *program, struct log *log, const struct sent *sent,
                    struct log_append *append)
{
    uint8_t *copy = sim_take(&memory_of_simulators, sent->batch_bytes);
    memcpy(copy, sent->bytes, sent->batch_bytes);
    *append = (struct log_append){.batch = copy, .bytes = sent->batch_bytes};
    computer_enter(program->computer);
    log_append(log, append, computer_then);
    if (!computer_wait(program->computer, &append->op)) {
        append->op.result = -ETIME;
    }
    computer_leave(program->computer);
    sim_give(&memory_of_simulators, copy);
}

int64_t program_look_up(struct program *program, struct log *log, int64_t timestamp)
{
    struct log_lookup lookup = {.target_ms = timestamp};
    computer_enter(program->computer);
    log_look_up(log, &lookup, computer_then);
    bool arrived = computer_wait(program->computer, &lookup.op);
    computer_leave(program->computer);
    if (!arrived || lookup.op.result < 0) {
        problem(program, "look up: %ld", (long)lookup.op.result);
        return -2;
    }
    return lookup.offset;
}
