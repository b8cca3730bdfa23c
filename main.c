/*
 * main -- the only file that knows all rooms: configuration, limits, start, stop.
 *
 *      odradek serve [-c FILE] [-s key=value]... [--cores N]
 *
 *      main thread: waits for signals          reactor 0 .. n-1: a thread each
 *             \--- uring_post ---------------> reactor 0: broker_stop, then all loops end
 */
#define _GNU_SOURCE /* names of threads */
#include "core/config.h"
#include "core/features.h"
#include "core/machine.h"
#include "core/reactor.h"
#include "core/uring.h"
#include "shard/broker.h"
#include "shard/settings.h"

#include "version.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_STOPPED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };
enum { CONFIG_BYTES_MAX = 1 << 20 };
enum { CORE_MEMORY_BYTES_MIN = 64 << 20 };
enum { CONNECTIONS_USUAL = 4096 /* fewer than this is worth a word */ };
/* By default: a core keeps up with its disk on this, and what was touched once stays resident. */
#define CORE_MEMORY_BYTES_DEFAULT (UINT64_C(2) << 30)

struct core { /* a reactor and its thread */
    struct reactor reactor;
    pthread_t thread;
    struct op stop;
};

struct server_process {
    struct config config;
    struct broker_options options;
    struct broker broker;
    struct features features;
    struct reports *reports;
    struct core *cores;
    struct reactor **reactors;
    uint32_t cores_count;
    uint64_t core_memory_bytes;
    struct op signalled;
    bool serving;       /* reactor 0's, as the next one */
    bool told;          /* to stop */
    _Atomic bool ended; /* reactor 0's loop */
    struct op started;
    struct op stopped;
    uint64_t began_ms;
    int exit_code;
};

static int64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* -- words ---------------------------------------------------------------------------------------- */

static int print_help(FILE *to)
{
    fputs(
        "odradek -- an Apache Kafka-compatible broker\n"
        "\n"
        "  odradek serve [-c FILE] [-s key=value]... [--cores N]\n"
        "      Run a broker. FILE is a properties file with Kafka's names; -s sets one more, and\n"
        "      wins. --cores: so many reactors, else as many as there are CPUs.\n"
        "  odradek --version\n"
        "      Commit, compiler, and the kernel features found.\n"
        "  odradek help\n"
        "      This text.\n"
        "\n"
        "SIGTERM, SIGINT or SIGHUP stops it cleanly; a second one at once, and safely.\n"
        "Exit codes: 0 stopped, 1 failed, 2 usage or configuration.\n",
        to);
    return to == stdout ? EXIT_STOPPED : EXIT_USAGE;
}

static int print_version(void)
{
    struct features features;
    features_probe(&features);
    printf("odradek %s (commit %s)\n%s\nkernel features:", ODRADEK_VERSION, ODRADEK_COMMIT,
           ODRADEK_COMPILER);
    for (uint32_t i = 0; i < FEATURES; i++) {
        printf(" %s%s", features_has(&features, i) ? "" : "no-", feature_name(i));
    }
    printf("\n");
    return EXIT_STOPPED;
}

/* -- configuration --------------------------------------------------------------------------------- */

static void unknown_setting(void *context, const char *where, const char *name, const char *nearest)
{
    fprintf(stderr, "%s: unknown setting '%s' is ignored%s%s%s\n", where, name,
            nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static bool read_config_file(struct config *config, const char *name)
{
    char why[1024], *text = malloc(CONFIG_BYTES_MAX + 1);
    FILE *file = fopen(name, "re");
    if (!file || !text) {
        fprintf(stderr, "odradek: cannot read %s: %s\n", name, strerror(errno));
        if (file) {
            fclose(file);
        }
        free(text);
        return false;
    }
    size_t bytes = fread(text, 1, CONFIG_BYTES_MAX + 1, file);
    bool good = !ferror(file) && bytes <= CONFIG_BYTES_MAX;
    snprintf(why, sizeof why, "%s: at most %d bytes are allowed", name, CONFIG_BYTES_MAX);
    good = good && config_read(config, name, text, bytes, why, sizeof why);
    if (!good) {
        fprintf(stderr, "odradek: %s\n", why);
    }
    fclose(file);
    free(text);
    return good;
}

/* Everything behind "serve". False: it was said what is wrong. */
static bool read_arguments(struct config *config, int count, char **arguments)
{
    char why[1024];
    for (int i = 0; i < count; i += 2) { /* each takes a value */
        const char *argument = arguments[i];
        const char *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (strcmp(argument, "-c") == 0 && value) {
            if (!read_config_file(config, value)) {
                return false;
            }
        } else if (strcmp(argument, "-s") == 0 && value) {
            if (!config_override(config, value, why, sizeof why)) {
                fprintf(stderr, "odradek: %s\n", why);
                return false;
            }
        } else if (strcmp(argument, "--cores") == 0 && value) {
            char assignment[64];
            snprintf(assignment, sizeof assignment, "odradek.cores=%.32s", value);
            if (!config_override(config, assignment, why, sizeof why)) {
                fprintf(stderr, "odradek: %s\n", why);
                return false;
            }
        } else {
            fprintf(stderr, "odradek: '%s' is not understood here\n\n", argument);
            print_help(stderr);
            return false;
        }
    }
    return true;
}

/* -- reactors -------------------------------------------------------------------------------------------- */

enum { MIB = 1 << 20 };

/* What each core gets. False: it was said why that cannot be. */
static bool share_memory(struct server_process *process, const struct machine *machine)
{
    uint32_t cores = process->cores_count;
    uint64_t set = (uint64_t)config_int(&process->config, SETTING_MEMORY_BYTES_ID);
    uint64_t memory = (set ? set : machine->memory_bytes / 2) / cores;
    if (!set && memory > CORE_MEMORY_BYTES_DEFAULT) {
        memory = CORE_MEMORY_BYTES_DEFAULT;
    }
    if (memory < CORE_MEMORY_BYTES_MIN) {
        fprintf(stderr,
                "odradek: %s %llu MiB for %u cores; each needs at least %d MiB. Set "
                "odradek.memory.bytes to %llu or more, or use fewer cores (--cores).\n",
                set ? "odradek.memory.bytes gives" : "half of this machine's memory is",
                (unsigned long long)(set ? set : machine->memory_bytes / 2) / MIB, cores,
                CORE_MEMORY_BYTES_MIN / MIB, (unsigned long long)cores * CORE_MEMORY_BYTES_MIN);
        return false;
    }
    if (set > machine->memory_bytes) {
        report(process->reports, REPORT_WARN, wall_ms(), "start",
               "odradek.memory.bytes gives %llu MiB, and this machine or its cgroup has %llu MiB: "
               "the kernel may kill the broker",
               (unsigned long long)set / MIB, (unsigned long long)machine->memory_bytes / MIB);
    }
    process->core_memory_bytes = memory;
    return true;
}

/* Frames are received into a reserve, which is a part of a core's memory. */
static void tell_memory(struct server_process *process)
{
    const struct slabs *slabs = &process->reactors[0]->slabs;
    uint32_t frame_bytes_max = server_frame_bytes_max(slabs);
    uint64_t memory = process->core_memory_bytes;
    if (frame_bytes_max >= process->options.frame_bytes_max) {
        report(process->reports, REPORT_INFO, wall_ms(), "start", "%u cores with %llu MiB each",
               process->cores_count, (unsigned long long)memory / MIB);
        return;
    }
    uint64_t reserve = slabs->budgets[BUDGET_RESERVE].bytes_max;
    uint64_t wanted = slab_bytes(process->options.frame_bytes_max);
    report(process->reports, REPORT_WARN, wall_ms(), "start",
           "%u cores with %llu MiB each take requests of up to %u bytes, not of "
           "socket.request.max.bytes = %u: for those set odradek.memory.bytes to %lluM or more",
           process->cores_count, (unsigned long long)memory / MIB, frame_bytes_max,
           process->options.frame_bytes_max,
           (unsigned long long)(wanted * (memory / MIB) / reserve + 1) * process->cores_count);
}

/* Files first. False: it was said that there are too few. */
static bool share_descriptors(struct server_process *process)
{
    uint64_t count = machine_raise_descriptors();
    struct broker_options *options = &process->options;
    struct descriptors shares;
    if (!machine_share_descriptors(count, process->cores_count, &shares)) {
        fprintf(stderr,
                "odradek: %llu file descriptors are allowed (ulimit -Hn, LimitNOFILE=); %u cores "
                "need at least %llu, and one more for each connection\n",
                (unsigned long long)count, process->cores_count,
                (unsigned long long)machine_descriptors_min(process->cores_count));
        return false;
    }
    options->segment_files_max = shares.files_per_core;
    bool is_set = config_source(&process->config, SETTING_MAX_CONNECTIONS_ID) != CONFIG_DEFAULT;
    if (options->connections_max > shares.connections) {
        if (is_set || shares.connections < CONNECTIONS_USUAL) {
            report(process->reports, REPORT_WARN, wall_ms(), "start",
                   "%llu file descriptors are allowed (ulimit -Hn, LimitNOFILE=), which is enough "
                   "for %u connections%s",
                   (unsigned long long)count, shares.connections,
                   is_set ? ", fewer than max.connections" : "; busy brokers have thousands");
        }
        options->connections_max = shares.connections;
    }
    return true;
}

static bool make_reactors(struct server_process *process)
{
    struct machine machine;
    machine_detect(&machine, "");
    uint32_t asked = (uint32_t)config_int(&process->config, SETTING_CORES_ID);
    process->cores_count = asked ? asked : machine_reactors(&machine);
    if (!share_descriptors(process) || !share_memory(process, &machine)) {
        return false;
    }
    process->cores = calloc(process->cores_count, sizeof *process->cores);
    process->reactors = calloc(process->cores_count, sizeof *process->reactors);
    if (!process->cores || !process->reactors) {
        fprintf(stderr, "odradek: out of memory\n");
        return false;
    }
    for (uint32_t i = 0; i < process->cores_count; i++) {
        process->reactors[i] = &process->cores[i].reactor;
    }
    for (uint32_t i = 0; i < process->cores_count; i++) {
        uint64_t seed = 0;
        char why[512] = "out of memory";
        struct uring_options options = {.pin_cpu = machine_pin(&machine, i, process->cores_count),
                                        .features = &process->features};
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed ||
            reactor_init(process->reactors[i], i, process->cores_count, process->reactors,
                         process->core_memory_bytes, seed, process->reports) < 0 ||
            uring_attach(process->reactors[i], &options, why, sizeof why) < 0) {
            fprintf(stderr, "odradek: cannot start: %s\n", why);
            return false;
        }
    }
    tell_memory(process);
    return true;
}

static void *core_run(void *context)
{
    struct core *core = context;
    char name[16];
    snprintf(name, sizeof name, "core-%u", core->reactor.index);
    pthread_setname_np(pthread_self(), name);
    reactor_loop(&core->reactor);
    reactor_turn(&core->reactor, false); /* what the last turn began is still submitted */
    return NULL;
}

/* -- from start to stop, on reactor 0 ----------------------------------------------------------------------- */

static void process_started(struct op *op);
static void process_signalled(struct op *op);
static void process_stopped(struct op *op);

static void core_stop_arrived(struct op *op)
{
    reactor_stop(&container_of(op, struct core, stop)->reactor);
}

static void stop_reactors(struct server_process *process)
{
    for (uint32_t i = process->cores_count; i-- > 0;) { /* this one last */
        reactor_run(process->reactors[0], process->reactors[i], &process->cores[i].stop,
                    core_stop_arrived);
    }
}

static void process_start(struct op *op)
{
    struct server_process *process = container_of(op, struct server_process, started);
    broker_start(&process->broker, op, process_started);
}

static void process_started(struct op *op)
{
    struct server_process *process = container_of(op, struct server_process, started);
    struct broker *broker = &process->broker;
    if (op->result < 0) {
        report(process->reports, REPORT_ERROR, wall_ms(), "start", "cannot start: %s",
               broker->problem);
        process->exit_code = EXIT_FAILED;
        stop_reactors(process);
        return;
    }
    for (uint32_t i = 0; i < broker->options.listeners_count; i++) {
        report(process->reports, REPORT_INFO, wall_ms(), "start",
               "listening on %s:%u, %u cores, data in %s, cluster %s, node %d (%llu ms)",
               broker->options.listeners[i].host, broker->options.listeners[i].port, broker->count,
               broker->options.directory, broker->options.settings.cluster_id,
               broker->options.settings.node_id,
               (unsigned long long)(monotonic_ms() - process->began_ms));
    }
    process->serving = true;
    if (process->told) {
        process_signalled(&process->signalled);
    }
}

static void process_signalled(struct op *op)
{
    struct server_process *process = container_of(op, struct server_process, signalled);
    process->told = true;
    if (!process->serving) {
        return; /* still starting, or it could not start */
    }
    report(process->reports, REPORT_INFO, wall_ms(), "stop", "stopping");
    broker_stop(&process->broker, &process->stopped, process_stopped);
}

static void process_stopped(struct op *op)
{
    struct server_process *process = container_of(op, struct server_process, stopped);
    if (op->result < 0) {
        report(process->reports, REPORT_ERROR, wall_ms(), "stop",
               "the data directory is not clean: %s. Nothing acknowledged is lost; the next start "
               "recovers.",
               strerror((int)-op->result));
        process->exit_code = EXIT_FAILED;
    } else {
        report(process->reports, REPORT_INFO, wall_ms(), "stop", "stopped, the data is clean");
    }
    stop_reactors(process);
}

/* The main thread: the first signal stops, the second ends the process where it stands. SIGUSR1 comes
 * from the first core when its loop has ended; from anybody else it means nothing. */
static void wait_for_end(struct server_process *process, const sigset_t *signals)
{
    for (bool told = false; !atomic_load(&process->ended);) {
        int number = sigwaitinfo(signals, NULL);
        if (number < 0 || number == SIGUSR1 || (told && number == SIGHUP)) {
            continue; /* a terminal that closes says so more than once */
        }
        if (told) {
            _exit(EXIT_FAILED);
        }
        told = true;
        uring_post(process->reactors[0], &process->signalled, process_signalled);
    }
}

static void *first_core_run(void *context)
{
    struct server_process *process = context;
    core_run(&process->cores[0]);
    atomic_store(&process->ended, true);
    kill(getpid(), SIGUSR1); /* the main thread waits for it */
    return NULL;
}

static int run(struct server_process *process)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* the threads below inherit it */
    reactor_ready(process->reactors[0], &process->started, process_start);
    for (uint32_t i = 0; i < process->cores_count; i++) {
        struct core *core = &process->cores[i];
        int error = i == 0 ? pthread_create(&core->thread, NULL, first_core_run, process)
                           : pthread_create(&core->thread, NULL, core_run, core);
        if (error) {
            fprintf(stderr, "odradek: cannot start a thread: %s\n", strerror(error));
            return EXIT_FAILED;
        }
    }
    wait_for_end(process, &signals);
    for (uint32_t i = 0; i < process->cores_count; i++) {
        pthread_join(process->cores[i].thread, NULL);
    }
    for (uint32_t i = 0; i < process->cores_count; i++) {
        uring_detach(process->reactors[i]);
    }
    broker_deinit(&process->broker);
    for (uint32_t i = 0; i < process->cores_count; i++) {
        reactor_deinit(process->reactors[i]);
    }
    return process->exit_code;
}

static int serve(int count, char **arguments)
{
    static struct server_process process; /* large; of this thread alone until run() */
    char why[1024];
    process.began_ms = monotonic_ms();
    if (config_init(&process.config, settings_table, SETTINGS_COUNT) < 0) {
        fprintf(stderr, "odradek: out of memory\n");
        return EXIT_FAILED;
    }
    process.config.unknown = unknown_setting;
    if (!read_arguments(&process.config, count, arguments)) {
        return EXIT_USAGE;
    }
    if (!settings_resolve(&process.config, &process.options, why, sizeof why)) {
        fprintf(stderr, "odradek: %s\n", why);
        return EXIT_USAGE;
    }
    features_probe(&process.features);
    char unknown[64];
    if (!features_hide(&process.features, config_text(&process.config, SETTING_FEATURES_MASK_ID),
                       unknown, sizeof unknown)) {
        fprintf(stderr,
                "odradek: odradek.features.mask: '%s' is no feature; `odradek --version` "
                "names them\n",
                unknown);
        return EXIT_USAGE;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write past the limit is then an error as any other */
    process.reports =
        reports_new(STDERR_FILENO, config_word(&process.config, SETTING_REPORT_LEVEL_ID),
                    config_word(&process.config, SETTING_REPORT_FORMAT_ID) == 1);
    if (!process.reports || !make_reactors(&process) ||
        broker_init(&process.broker, &process.options, process.reactors, process.cores_count) < 0) {
        return EXIT_FAILED;
    }
    int code = run(&process);
    reports_free(process.reports);
    free(process.cores);
    free(process.reactors);
    config_deinit(&process.config);
    return code;
}

int main(int count, char **arguments)
{
    if (count >= 2 && strcmp(arguments[1], "serve") == 0) {
        return serve(count - 2, arguments + 2);
    }
    if (count == 2 && strcmp(arguments[1], "--version") == 0) {
        return print_version();
    }
    if (count == 2 && (strcmp(arguments[1], "help") == 0 || strcmp(arguments[1], "--help") == 0)) {
        return print_help(stdout);
    }
    return print_help(stderr);
}
