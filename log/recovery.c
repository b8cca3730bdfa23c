#include "log/recovery.h"

#include "core/uuid.h"
#include "log/replay.h"
#include "log/restore.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES_MAX = 4096 };

/* The directory as the job works on it. */
struct recovering {
    struct recovery *recovery;
    struct files *files;
    struct meta_properties meta;
    struct replay replay;
    struct restore restore;
    struct files_entry *entries; /* of the directory, when the job began; by name */
    int64_t entries_count;
    struct log_state *states; /* newest of each log, dropped ones too */
    size_t states_count;
};

static int64_t recovery_run(struct job *job, struct files *files);
static int64_t finish_run(struct job *job, struct files *files);

void recovery_begin(struct recovery *recovery, struct reactor *reactor, op_fn *then)
{
    recovery->problem[0] = '\0';
    recovery->lock_fd = -1;
    recovery->logs = NULL;
    recovery->logs_count = 0;
    recovery->journals = NULL;
    recovery->journals_count = 0;
    recovery->formatted = recovery->was_clean = false;
    recovery->left_count = 0;
    reactor_entropy(reactor, recovery->entropy, sizeof(recovery->entropy));
    recovery->job.op.waits_for = "recovery";
    recovery->job.run = recovery_run;
    reactor_job(reactor, &recovery->job, then);
}

static int problem(struct recovery *recovery, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Say it, unless something below has said it better. */
static int problem(struct recovery *recovery, int error, const char *format, ...)
{
    if (recovery->problem[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(recovery->problem, sizeof(recovery->problem), format, arguments);
        va_end(arguments);
    }
    return error;
}

static int path_of(char path[PATH_BYTES_MAX], const char *directory, const char *name)
{
    int bytes = snprintf(path, PATH_BYTES_MAX, "%s/%s", directory, name);
    return bytes < 0 || bytes >= PATH_BYTES_MAX ? -ENAMETOOLONG : 0;
}

/* -- whose directory it is --------------------------------------------------------------------- */

static int lock(struct recovering *at)
{
    struct recovery *recovery = at->recovery;
    const char *directory = recovery->options.directory;
    char path[PATH_BYTES_MAX];
    int fd = path_of(path, directory, ".lock");
    if (!fd) {
        fd = files_open(at->files, path, FILES_CREATE);
    }
    if (fd == -ENOENT) { /* as Kafka, we make a directory that is not there */
        fd = files_make_directory(at->files, directory);
        if (!fd) {
            fd = files_open(at->files, path, FILES_CREATE);
        }
    }
    if (fd < 0) {
        return problem(recovery, fd,
                       "cannot open %.200s/.lock: error %d; is the directory there, "
                       "and may this user write to it?",
                       directory, -fd);
    }
    recovery->lock_fd = fd;
    int error = files_lock(at->files, fd);
    if (error == -EAGAIN) {
        return problem(recovery, error,
                       "%.200s is in use by another process (.lock): stop that one, or give this "
                       "one another directory in log.dirs",
                       directory);
    }
    return error ? problem(recovery, error, "cannot lock %.200s/.lock: error %d", directory, -error)
                 : 0;
}

/* Nothing in it but what a file system or an interrupted first start leaves. */
static bool directory_is_empty(const struct recovering *at)
{
    for (int64_t i = 0; i < at->entries_count; i++) {
        const char *name = at->entries[i].name;
        if (strcmp(name, ".lock") != 0 && strcmp(name, "lost+found") != 0 &&
            strcmp(name, "meta.properties.tmp") != 0) {
            return false;
        }
    }
    return true;
}

static void draw_id(char id[META_ID_BYTES], const uint8_t *entropy)
{
    struct uuid uuid;
    memcpy(uuid.bytes, entropy, sizeof(uuid.bytes));
    uuid.bytes[0] &= 0x7f; /* Kafka wants no id that begins with '-' */
    uuid.bytes[6] = (uuid.bytes[6] & 0x0f) | 0x40;
    uuid.bytes[8] = (uuid.bytes[8] & 0x3f) | 0x80;
    uuid_to_text(&uuid, id);
}

static int format_directory(struct recovering *at)
{
    struct recovery *recovery = at->recovery;
    if (!directory_is_empty(at)) {
        return problem(
            recovery, -EBADMSG,
            "%.200s has no meta.properties, and is not empty: restore that file, or give "
            "an empty directory in log.dirs",
            recovery->options.directory);
    }
    struct meta_properties *meta = &at->meta;
    *meta = (struct meta_properties){
        .version = META_VERSION_OURS,
        .node_id = recovery->options.node_id,
        .format = META_FORMAT,
    };
    memcpy(meta->cluster_id, recovery->options.cluster_id, sizeof(meta->cluster_id));
    if (meta->cluster_id[0] == '\0') {
        draw_id(meta->cluster_id, recovery->entropy);
    }
    draw_id(meta->directory_id, recovery->entropy + 16);
    memcpy(&meta->salt, recovery->entropy + 32, sizeof(meta->salt));
    recovery->formatted = true;
    recovery->was_clean = true;
    return 0;
}

/* Ours: after a crash (version 2), or after a clean stop that nobody came between (version 1). */
static int check_owner(struct recovering *at)
{
    struct recovery *recovery = at->recovery;
    const struct meta_properties *meta = &at->meta;
    const char *directory = recovery->options.directory;
    if (meta->version > META_VERSION_OURS || meta->format > META_FORMAT) {
        return problem(recovery, -EBADMSG,
                       "%.200s was written by a newer version of Odradek (version=%u, "
                       "odradek.format=%u in meta.properties): start that version",
                       directory, meta->version, meta->format);
    }
    if (meta->version == META_VERSION_KAFKA) {
        uint64_t nonce = clean_shutdown_nonce(at->files, directory);
        if (meta->format == 0 || meta->nonce == 0 || nonce != meta->nonce) {
            return problem(recovery, -EBADMSG,
                           "%.200s belongs to Apache Kafka (%s): this version of Odradek cannot "
                           "take it over; give an empty directory in log.dirs",
                           directory,
                           meta->format == 0 ? "it wrote meta.properties"
                                             : "it has used the directory since our last stop");
        }
        recovery->was_clean = true;
    }
    return 0;
}

static int check_ids(struct recovering *at)
{
    struct recovery *recovery = at->recovery;
    const struct meta_properties *meta = &at->meta;
    const struct recovery_options *options = &recovery->options;
    if (meta->node_id != options->node_id) {
        return problem(recovery, -EBADMSG,
                       "%.200s belongs to node %d, and node.id is %d: correct node.id, or give "
                       "another directory in log.dirs",
                       options->directory, meta->node_id, options->node_id);
    }
    struct uuid directory_id;
    if (!uuid_from_text(&directory_id, view_of_text(meta->directory_id))) {
        return problem(recovery, -EBADMSG,
                       "directory.id in %.200s/meta.properties is not a uuid: restore that file",
                       options->directory);
    }
    if (options->cluster_id[0] && strcmp(options->cluster_id, meta->cluster_id) != 0) {
        return problem(recovery, -EBADMSG,
                       "%.200s belongs to cluster %s, and this is cluster %s: give another "
                       "directory in log.dirs",
                       options->directory, meta->cluster_id, options->cluster_id);
    }
    return 0;
}

/* The number of this start is durable, with version 2, before anything else is written. */
static int take_over(struct recovering *at)
{
    struct recovery *recovery = at->recovery;
    const char *directory = recovery->options.directory;
    int error = meta_properties_read(&at->meta, at->files, directory);
    if (error == -ENOENT) {
        error = format_directory(at);
    } else if (error) {
        problem(recovery, error, "cannot read %.200s/meta.properties: error %d", directory, -error);
    } else {
        error = check_owner(at);
        error = error ? error : check_ids(at);
    }
    if (error) {
        return error;
    }
    struct meta_properties *meta = &at->meta;
    if (meta->start == UINT32_MAX) {
        return problem(recovery, -EOVERFLOW, "%.200s has been started too often", directory);
    }
    meta->version = META_VERSION_OURS;
    meta->nonce = 0;
    meta->start++;
    error = meta_properties_replace(meta, at->files, directory);
    error = error ? error : clean_shutdown_remove(at->files, directory);
    if (error) {
        return problem(recovery, error, "cannot write to %.200s: error %d", directory, -error);
    }
    recovery->start = meta->start;
    recovery->salt = meta->salt;
    memcpy(recovery->cluster_id, meta->cluster_id, sizeof(recovery->cluster_id));
    memcpy(recovery->directory_id, meta->directory_id, sizeof(recovery->directory_id));
    return 0;
}

/* -- logs -------------------------------------------------------------------------------------- */

/* The entries of one log: [from, end) of the replay's. A log's newest STATE is the last one in the
 * newest journal that has any, for what an older start wrote after that start's STATE was void. */
struct log_entries {
    size_t from, end;
    size_t state; /* the newest STATE */
};

static const struct replay_entry *entry_at(const struct recovering *at, size_t index)
{
    return &at->replay.entries[index];
}

static bool find_newest_state(const struct recovering *at, struct log_entries *log)
{
    for (log->state = log->end; log->state > log->from; log->state--) {
        if (entry_at(at, log->state - 1)->type == ENTRY_STATE) {
            log->state--;
            return true;
        }
    }
    return false;
}

/* Only those that follow each other without a gap, from data_from (or the oldest that is live:
 * what was released is in the segments) to the newest. */
static int narrow(struct recovering *at, struct log_entries *log, uint64_t data_from)
{
    const struct replay_entry *state = entry_at(at, log->state);
    size_t from = log->state;
    while (from > log->from && entry_at(at, from - 1)->start == state->start &&
           entry_at(at, from - 1)->log_sequence + 1 == entry_at(at, from)->log_sequence &&
           entry_at(at, from - 1)->log_sequence >= data_from) {
        from--;
    }
    size_t end = log->state + 1;
    while (end < log->end && entry_at(at, end)->start == state->start) {
        const struct replay_entry *entry = entry_at(at, end);
        if (entry->log_sequence != entry_at(at, end - 1)->log_sequence + 1) {
            return problem(at->recovery, -EBADMSG,
                           "%.200s: entry %" PRIu64 " of log %016" PRIx64 " is followed by %" PRIu64
                           " in the journal: restore the directory, or remove it",
                           at->recovery->options.directory, entry_at(at, end - 1)->log_sequence,
                           entry->log_id, entry->log_sequence);
        }
        end++;
    }
    log->from = from;
    log->end = end;
    return 0;
}

static int read_state(struct recovering *at, const struct replay_entry *entry,
                      struct log_state *state)
{
    uint8_t *payload = malloc(entry->bytes + 1); /* at most a commit, and there in the file */
    if (!payload) {
        return -ENOMEM;
    }
    int error = replay_read(&at->replay, at->files, entry, 0, payload, entry->bytes);
    if (!error) {
        error = state_decode(state, payload, entry->bytes);
        if (error == -EBADMSG) {
            problem(at->recovery, error,
                    "%.200s: the STATE of log %016" PRIx64 " is not of a kind known to this "
                    "version: start the version that wrote it",
                    at->recovery->options.directory, entry->log_id);
        }
    }
    free(payload);
    state->log_id = entry->log_id;
    state->log_sequence = entry->log_sequence;
    if (!error) {
        producer_table_seed(&state->producers.table, at->meta.salt);
    }
    return error;
}

static bool has_directory(const struct recovering *at, const char *name)
{
    int64_t low = 0, high = at->entries_count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        int order = strcmp(at->entries[middle].name, name);
        if (order == 0) {
            return at->entries[middle].is_directory;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return false;
}

/* The DATA among the log's entries, moved together; the order stays. */
static size_t keep_data(struct recovering *at, const struct log_entries *log)
{
    size_t count = 0;
    for (size_t i = log->from; i < log->end; i++) {
        if (entry_at(at, i)->type == ENTRY_DATA) {
            at->replay.entries[log->from + count++] = *entry_at(at, i);
        }
    }
    return count;
}

static int recover_log(struct recovering *at, struct log_entries *log)
{
    if (!find_newest_state(at, log)) {
        return problem(at->recovery, -EBADMSG,
                       "%.200s: the journal has entries of log %016" PRIx64 " and no STATE of it: "
                       "restore the directory, or remove it",
                       at->recovery->options.directory, entry_at(at, log->from)->log_id);
    }
    struct log_state *state = &at->states[at->states_count];
    int error = read_state(at, entry_at(at, log->state), state);
    if (error) {
        return error;
    }
    at->states_count++;
    error = narrow(at, log, state->data_from);
    if (error || state->dropped) {
        return error;
    }
    uint64_t newest = entry_at(at, log->end - 1)->log_sequence;
    size_t data = keep_data(at, log);
    error = restore_log(&at->restore, state, &at->replay.entries[log->from], data,
                        has_directory(at, state->name));
    if (error) {
        return problem(at->recovery, error, "cannot restore %.200s/%s: error %d",
                       at->recovery->options.directory, state->name, -error);
    }
    state->log_sequence = newest + 1;
    state->data_from = newest + 1;
    return 0;
}

static size_t count_logs(const struct recovering *at)
{
    size_t count = 0;
    for (size_t i = 0; i < at->replay.entries_count; i++) {
        count += i == 0 || entry_at(at, i)->log_id != entry_at(at, i - 1)->log_id;
    }
    return count;
}

static int recover_logs(struct recovering *at)
{
    at->states = calloc(count_logs(at) + 1, sizeof(*at->states));
    if (!at->states) {
        return -ENOMEM;
    }
    int error = 0;
    for (size_t from = 0, end; from < at->replay.entries_count && !error; from = end) {
        for (end = from + 1; end < at->replay.entries_count &&
                             entry_at(at, end)->log_id == entry_at(at, from)->log_id;) {
            end++;
        }
        struct log_entries log = {.from = from, .end = end};
        error = recover_log(at, &log);
    }
    return error;
}

/* -- what must not stay ------------------------------------------------------------------------ */

static const struct log_state *state_named(const struct recovering *at, const char *name)
{
    const struct recovery *recovery = at->recovery;
    size_t low = 0, high = recovery->logs_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(recovery->logs[middle].name, name);
        if (order == 0) {
            return &recovery->logs[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

/* A directory that no log has. It is no reason not to start that it cannot be removed: under its
 * name no log looks for anything. */
static void remove_directory(struct recovering *at, const char *name)
{
    struct log_place place = {at->recovery->options.directory, name};
    at->restore.has_changed = true;
    int error = directory_remove(at->files, &place);
    if (error) {
        at->recovery->left_count++;
        at->recovery->left_error = error;
    }
}

/* A dropped log's directory, unless another topic of that name has it by now. */
static int finish_drop(struct recovering *at, const struct log_state *dropped)
{
    uint8_t topic_id[16];
    if (!has_directory(at, dropped->name)) {
        return 0;
    }
    struct log_place place = {at->recovery->options.directory, dropped->name};
    int error = directory_read_topic_id(at->files, &place, topic_id);
    bool is_its_own = error == 0 && memcmp(topic_id, dropped->topic_id, sizeof(topic_id)) == 0;
    const struct log_state *heir = state_named(at, dropped->name);
    if (heir && (!is_its_own || memcmp(heir->topic_id, topic_id, sizeof(topic_id)) == 0)) {
        return 0;
    }
    if (error && error != -ENOENT) {
        return error;
    }
    char retired[LOG_NAME_BYTES_MAX + 1];
    at->restore.has_changed = true;
    error = directory_retire(at->files, &place, dropped->log_id, retired);
    if (!error) {
        remove_directory(at, retired);
    }
    return error == -ENOENT ? 0 : error; /* restore_log has removed it for an heir */
}

static bool ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

/* Each store makes its own; those of cores that are no more would stay for ever. */
static int remove_ballast(struct recovering *at, const char *name)
{
    char path[PATH_BYTES_MAX];
    if (strncmp(name, "odradek-", 8) != 0 || !ends_with(name, ".ballast")) {
        return 0;
    }
    int error = path_of(path, at->recovery->options.directory, name);
    return error ? error : files_unlink(at->files, path);
}

/* Directories that no STATE knows: of a removal that was interrupted, or of a log whose first
 * append never became durable. Anything with records in it is left alone. */
static int remove_strays(struct recovering *at)
{
    const char *directory = at->recovery->options.directory;
    int error = 0;
    for (int64_t i = 0; i < at->entries_count && !error; i++) {
        const char *name = at->entries[i].name;
        if (!at->entries[i].is_directory) {
            error = remove_ballast(at, name);
            continue;
        }
        if (strncmp(name, "__cluster_metadata-", 19) == 0 || state_named(at, name)) {
            continue;
        }
        if (directory_name_is_retired(name)) {
            remove_directory(at, name);
        } else if (state_name_is_good(name)) {
            int blank = directory_is_blank(at->files, &(struct log_place){directory, name});
            if (blank == 1) {
                remove_directory(at, name);
            }
            error = blank < 0 && blank != -ENOENT ? blank : error;
        }
    }
    return error;
}

static int state_compare(const void *a, const void *b)
{
    const struct log_state *left = a, *right = b;
    if (left->dropped != right->dropped) {
        return left->dropped ? 1 : -1;
    }
    return strcmp(left->name, right->name);
}

/* Live ones first, by name: those are what the stores get. */
static int sort_states(struct recovering *at)
{
    struct recovery *recovery = at->recovery;
    qsort(at->states, at->states_count, sizeof(*at->states), state_compare);
    size_t live = 0;
    while (live < at->states_count && !at->states[live].dropped) {
        if (live > 0 && strcmp(at->states[live].name, at->states[live - 1].name) == 0) {
            return problem(recovery, -EBADMSG,
                           "%.200s: two logs are named %.255s: restore the directory, or remove it",
                           recovery->options.directory, at->states[live].name);
        }
        live++;
    }
    recovery->logs = at->states;
    recovery->logs_count = live;
    return 0;
}

/* After a kill the last commit may be there to be read, and not be durable yet: a directory that
 * went for its sake, while it did not last, would be missed by the next recovery. */
static int flush_drops(struct recovering *at)
{
    for (size_t i = at->recovery->logs_count; i < at->states_count; i++) {
        if (has_directory(at, at->states[i].name)) {
            return files_flush_all(at->files, at->recovery->lock_fd);
        }
    }
    return 0;
}

static int settle_directories(struct recovering *at)
{
    int error = sort_states(at);
    error = error ? error : flush_drops(at);
    for (size_t i = at->recovery->logs_count; i < at->states_count && !error; i++) {
        error = finish_drop(at, &at->states[i]);
    }
    return error ? error : remove_strays(at);
}

/* -- the job ----------------------------------------------------------------------------------- */

static int replay_all(struct recovering *at)
{
    struct recovery *recovery = at->recovery;
    const char *directory = recovery->options.directory;
    int error =
        replay_scan(&at->replay, at->files, directory, at->meta.salt, at->meta.journals_from);
    if (error) {
        return problem(recovery, error, "%.200s: %.300s", directory, at->replay.problem);
    }
    recovery->journals = calloc(at->replay.files_count + 1, sizeof(*recovery->journals));
    if (!recovery->journals) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < at->replay.files_count; i++) {
        recovery->journals[recovery->journals_count++] = at->replay.files[i].name;
    }
    error = recover_logs(at);
    error = error ? error : settle_directories(at);
    if (!error && at->restore.has_changed) {
        error = files_flush_all(at->files, recovery->lock_fd);
    }
    return error;
}

static int recover_directory(struct recovering *at)
{
    const char *directory = at->recovery->options.directory;
    int error = lock(at);
    if (error) {
        return error;
    }
    at->entries_count = files_list(at->files, directory, &at->entries);
    if (at->entries_count < 0) {
        return problem(at->recovery, (int)at->entries_count, "cannot list %.200s: error %d",
                       directory, -(int)at->entries_count);
    }
    error = take_over(at);
    if (error) {
        return error;
    }
    at->restore.window = aligned_alloc(FILE_BLOCK_BYTES, OVERLAY_WINDOW_BYTES);
    return at->restore.window ? replay_all(at) : -ENOMEM;
}

static int64_t recovery_run(struct job *job, struct files *files)
{
    struct recovery *recovery = container_of(job, struct recovery, job);
    struct recovering at = {.recovery = recovery, .files = files};
    at.restore = (struct restore){
        .files = files,
        .directory = recovery->options.directory,
        .replay = &at.replay,
        .index_interval_bytes = recovery->options.index_interval_bytes,
        .problem = recovery->problem,
    };
    int error = recover_directory(&at);
    if (error) {
        problem(recovery, error, "cannot recover %.200s: error %d", recovery->options.directory,
                -error);
    }
    size_t kept = error ? 0 : recovery->logs_count;
    for (size_t i = kept; i < at.states_count; i++) {
        state_deinit(&at.states[i]);
    }
    recovery->logs_count = kept;
    if (error) {
        free(at.states);
        recovery->logs = NULL;
        if (recovery->lock_fd >= 0) {
            files_close(files, recovery->lock_fd);
            recovery->lock_fd = -1;
        }
    }
    replay_free(&at.replay, files);
    free(at.restore.window);
    free(at.entries);
    return error;
}

/* -- afterwards -------------------------------------------------------------------------------- */

void recovery_finish(struct recovery *recovery, struct reactor *reactor, op_fn *then)
{
    recovery->job.op.waits_for = "old journals' removal";
    recovery->job.run = finish_run;
    reactor_job(reactor, &recovery->job, then);
}

/* Void first, and durably: a journal of which some files are gone would look like a damaged one. */
static int64_t finish_run(struct job *job, struct files *files)
{
    struct recovery *recovery = container_of(job, struct recovery, job);
    const char *directory = recovery->options.directory;
    struct meta_properties meta;
    int error = meta_properties_read(&meta, files, directory);
    if (error) {
        return error;
    }
    assert(meta.start == recovery->start);
    meta.journals_from = recovery->start;
    error = meta_properties_replace(&meta, files, directory);
    for (uint32_t i = 0; i < recovery->journals_count && !error; i++) {
        char name[JOURNAL_NAME_BYTES], path[PATH_BYTES_MAX];
        journal_name_write(&recovery->journals[i], name);
        error = path_of(path, directory, name);
        if (!error) {
            error = files_unlink(files, path);
            error = error == -ENOENT ? 0 : error;
        }
    }
    return error ? error : files_flush_directory(files, directory);
}

void recovery_free(struct recovery *recovery)
{
    for (size_t i = 0; i < recovery->logs_count; i++) {
        state_deinit(&recovery->logs[i]);
    }
    free(recovery->logs);
    free(recovery->journals);
    recovery->logs = NULL;
    recovery->journals = NULL;
    recovery->logs_count = recovery->journals_count = 0;
}
