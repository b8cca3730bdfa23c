/*
 * log_files -- what jobs do in a log's directory, in straight lines: list, load, make, extend,
 * open, close, remove.
 *
 *      <directory>/<topic>-<partition>/   partition.metadata  leader-epoch-checkpoint
 *                                         00000000000000005000.log .index .timeindex .snapshot
 *
 * Each is a struct that the caller fills, runs as reactor_job and frees. It copies what it needs of
 * its log, for a job runs beside the reactor.
 */
#ifndef LOG_LOG_FILES_H
#define LOG_LOG_FILES_H

#include "core/reactor.h"
#include "log/directory.h"
#include "log/segment.h"
#include "log/snapshot.h"

/* Indexes as they stand in their files, and how far the segment goes. */
struct segment_content {
    int64_t base_offset;
    bool is_sealed;
    uint32_t end;                     /* in for the active segment, out for a sealed one */
    int64_t offset_bytes, time_bytes; /* in: what to read of an active one's files; out */
    uint64_t file_bytes;
    int64_t first_timestamp;
    char *offset_entries, *time_entries; /* malloc'd */
    struct offset_index offset_index;    /* out: what they say, entries only */
    struct time_index time_index;
    int index_error; /* ... or why they say nothing */
};

/* The directory's sealed segments, and the active one's content. -ENOENT: its file is not there
 * although the journal knows of bytes in it. */
struct list_job {
    struct job job;
    struct log *log;
    struct log_place place;
    struct segment_content active;
    struct listed_segment {
        int64_t base_offset;
        uint64_t file_bytes;
    } * sealed; /* [sealed_count], by base offset; malloc'd */
    uint32_t sealed_count;

    /* log.c only */
    struct segment **taken; /* [sealed_count + 1], the first taken_count are made */
    uint32_t taken_count;
};
int64_t list_job_run(struct job *job, struct files *files);

struct load_job {
    struct job job;
    struct segment *segment;
    struct log_place place;
    struct segment_content content;
};
int64_t load_job_run(struct job *job, struct files *files);
void segment_content_free(struct segment_content *content);

/* Directory, partition.metadata, the snapshot that a roll left, and the segment's file with its
 * first extent. Nothing is flushed: the journal knows of it all. result: an fd or -errno */
struct make_job {
    struct job job;
    struct segment *segment;
    struct log_place place;
    bool has_directory;
    uint64_t log_id;
    uint8_t topic_id[16];
    int64_t base_offset;
    uint32_t bytes, bytes_min; /* of the extent; the least that serves; out: what there is */
    struct snapshot_task snapshot;
};
int64_t make_job_run(struct job *job, struct files *files);

struct extend_job {
    struct job job;
    struct segment *segment;
    struct log_place place;
    int64_t base_offset;
    uint32_t position;
    uint32_t bytes, bytes_min; /* as above */
};
int64_t extend_job_run(struct job *job, struct files *files);

struct open_job { /* result: an fd or -errno */
    struct job job;
    struct segment *segment;
    struct log_place place;
    int64_t base_offset;
};
int64_t open_job_run(struct job *job, struct files *files);

enum { CLOSE_JOB_FDS = 32 };
struct close_job {
    struct job job;
    struct store *store;
    uint32_t count;
    int fds[CLOSE_JOB_FDS];
};
int64_t close_job_run(struct job *job, struct files *files);

/* The log's name is free again, durably, and its directory and all in it are removed. On failure
 * it is as it was, or has a name of which the next start removes it. */
struct remove_job {
    struct job job;
    struct log *log;
    struct log_place place;
    uint64_t log_id;
};
int64_t remove_job_run(struct job *job, struct files *files);

/* -- parts of larger jobs ------------------------------------------------------------------------ */

/* Index entries made since the last time, up to a position. A sealed segment's file is cut by a later
 * settling than the one that made its indexes whole: so a file that recovery finds cut has them. On
 * a full disk the ballast is given up for it; and if that does not do, the
 * entries stay for the next time, since recovery makes anew what is missing. */
struct index_task {
    struct log_place place;
    int64_t base_offset;
    uint8_t *offset_entries, *time_entries; /* malloc'd, NULL: none */
    uint32_t offset_from, offset_to;        /* entries in the files before and after */
    uint32_t time_from, time_to;
    uint32_t offset_done, time_done; /* encoded up to here */
    bool is_end;  /* these are the last ones, and the index files end with them */
    bool is_cut;  /* the segment's file is cut to its end */
    uint32_t end; /* the segment's */
    bool is_full; /* out: the disk */
};
/* False: out of memory. */
[[nodiscard]] bool index_task_begin(struct index_task *task, const struct segment *segment,
                                    uint32_t position, bool is_end, bool is_cut);
/* Takes what it encodes off `entries`. False: more is to be done. */
[[nodiscard]] bool index_task_encode(struct index_task *task, const struct segment *segment,
                                     uint32_t *entries);
[[nodiscard]] int index_task_run(struct index_task *task, struct files *files, int ballast_fd);
void index_task_settled(const struct index_task *task, struct segment *segment);
void index_task_free(struct index_task *task);

enum { BALLAST_BYTES = 64 << 10 /* some directories and index blocks */ };

/* The file that gives way on a full disk. result: an fd or -errno */
struct ballast_job {
    struct job job;
    struct store *store;
};
int64_t ballast_job_run(struct job *job, struct files *files);

/* A clean stop's share of one log: the active segment's files cut, the producers' snapshot, the
 * leader epochs. Not flushed. */
struct finish_job {
    struct job job;
    struct log *log;
    struct index_task index;
    struct snapshot_task snapshot;
    int64_t log_end;
    int64_t told_snapshot; /* named by a STATE until the final one is durable; -1: none */
    char *epochs;          /* malloc'd */
    size_t epochs_bytes;
    int ballast_fd;
};
int64_t finish_job_run(struct job *job, struct files *files);

struct flush_job {
    struct job job;
    struct store *store;
};
int64_t flush_job_run(struct job *job, struct files *files);

#endif
