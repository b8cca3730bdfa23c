#include "log/clean_stop.h"

#include "log/checkpoint.h"
#include "log/meta_properties.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES_MAX = 4096 };

static int64_t clean_stop_run(struct job *job, struct files *files);

void clean_stop_begin(struct clean_stop *stop, struct reactor *reactor, op_fn *then)
{
    do {
        reactor_entropy(reactor, &stop->nonce, sizeof(stop->nonce));
    } while (stop->nonce == 0);
    stop->job.op.waits_for = "clean stop";
    stop->job.run = clean_stop_run;
    reactor_job(reactor, &stop->job, then);
}

/* What one checkpoint says of a log, or -1: it has no line there. */
typedef int64_t checkpoint_fn(const struct clean_stop_log *log);

static int64_t recovery_point(const struct clean_stop_log *log)
{
    return log->log_end;
}

static int64_t high_watermark(const struct clean_stop_log *log)
{
    return log->high_watermark;
}

static int64_t log_start(const struct clean_stop_log *log)
{
    return log->log_start_moved ? log->log_start : -1;
}

static int64_t first_dirty(const struct clean_stop_log *log)
{
    return -1; /* nothing was cleaned */
}

/* `text` has room for two lines more than there are logs. */
static size_t print_checkpoint(char *text, const struct clean_stop *stop, checkpoint_fn *offset_of)
{
    size_t count = 0;
    for (size_t i = 0; i < stop->logs_count; i++) {
        count += offset_of(&stop->logs[i]) >= 0;
    }
    size_t used = checkpoint_print_head(text, count);
    for (size_t i = 0; i < stop->logs_count; i++) {
        const struct clean_stop_log *log = &stop->logs[i];
        const char *dash = strrchr(log->name, '-');
        assert(dash);
        struct checkpoint_offset line = {
            .topic = view_of(log->name, (int32_t)(dash - log->name)),
            .partition = (int32_t)strtol(dash + 1, NULL, 10),
            .offset = offset_of(log),
        };
        if (line.offset >= 0) {
            used += checkpoint_print_offset(text + used, &line);
        }
    }
    return used;
}

static int write_checkpoints(const struct clean_stop *stop, struct files *files)
{
    const struct {
        const char *name;
        checkpoint_fn *offset_of;
    } checkpoints[] = {
        {"recovery-point-offset-checkpoint", recovery_point},
        {"replication-offset-checkpoint", high_watermark},
        {"log-start-offset-checkpoint", log_start},
        {"cleaner-offset-checkpoint", first_dirty},
    };
    char *text = malloc((stop->logs_count + 2) * CHECKPOINT_LINE_BYTES_MAX);
    int error = text ? 0 : -ENOMEM;
    for (size_t i = 0; i < sizeof(checkpoints) / sizeof(checkpoints[0]) && !error; i++) {
        char path[PATH_BYTES_MAX];
        int bytes = snprintf(path, sizeof(path), "%s/%s", stop->directory, checkpoints[i].name);
        if (bytes < 0 || (size_t)bytes >= sizeof(path)) {
            error = -ENAMETOOLONG;
        } else {
            size_t used = print_checkpoint(text, stop, checkpoints[i].offset_of);
            error = files_replace_whole(files, path, text, used);
        }
    }
    free(text);
    return error;
}

/* After the first line that fails the directory is still ours, and the next start recovers it. */
static int make_kafkas(const struct clean_stop *stop, struct files *files)
{
    struct meta_properties meta;
    int error = meta_properties_read(&meta, files, stop->directory);
    error = error ? error : write_checkpoints(stop, files);
    error = error ? error
                  : clean_shutdown_write(files, stop->directory, stop->broker_epoch, stop->nonce);
    error = error ? error : files_flush_all(files, stop->lock_fd);
    if (error) {
        return error;
    }
    meta.version = META_VERSION_KAFKA;
    meta.nonce = stop->nonce;
    return meta_properties_replace(&meta, files, stop->directory);
}

static int64_t clean_stop_run(struct job *job, struct files *files)
{
    struct clean_stop *stop = container_of(job, struct clean_stop, job);
    int error = make_kafkas(stop, files);
    files_close(files, stop->lock_fd);
    return error;
}
