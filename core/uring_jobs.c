/*
 * uring_jobs -- the helper thread of a reactor, started with the first job.
 *
 *      reactor                                     helper
 *      waiting --(mutex, condition)--------------> run
 *      then   <--(eventfd in the ring)------------ ended <-- uring_post, from any thread
 */
#define _GNU_SOURCE
#include "core/uring.h"

#include "core/files_posix.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

void uring_jobs_init(struct uring *uring)
{
    files_posix_init(&uring->jobs.files, uring->features);
    pthread_mutex_init(&uring->jobs.mutex, NULL);
    pthread_cond_init(&uring->jobs.begun, NULL);
}

void uring_jobs_deinit(struct uring *uring)
{
    struct uring_jobs *jobs = &uring->jobs;
    if (jobs->started) {
        pthread_mutex_lock(&jobs->mutex);
        jobs->stopping = true;
        pthread_cond_signal(&jobs->begun);
        pthread_mutex_unlock(&jobs->mutex);
        pthread_join(jobs->thread, NULL);
    }
    pthread_cond_destroy(&jobs->begun);
    pthread_mutex_destroy(&jobs->mutex);
}

static void *jobs_run(void *argument)
{
    struct uring *uring = argument;
    struct uring_jobs *jobs = &uring->jobs;
    pthread_mutex_lock(&jobs->mutex);
    for (;;) {
        while (op_queue_is_empty(&jobs->waiting) && !jobs->stopping) {
            pthread_cond_wait(&jobs->begun, &jobs->mutex);
        }
        if (jobs->stopping) {
            break;
        }
        struct op *op = op_queue_pop(&jobs->waiting);
        pthread_mutex_unlock(&jobs->mutex);
        struct job *job = container_of(op, struct job, op);
        op->result = job->run(job, &jobs->files);
        pthread_mutex_lock(&jobs->mutex);
        op_queue_push(&jobs->ended, op);
        (void)eventfd_write(uring->eventfd, 1);
    }
    pthread_mutex_unlock(&jobs->mutex);
    return NULL;
}

/* Signals are for the threads that ask for them. */
static int jobs_start(struct uring *uring)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&uring->jobs.thread, NULL, jobs_run, uring);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    uring->jobs.started = error == 0;
    if (!error) {
        (void)pthread_setname_np(uring->jobs.thread, "odradek-jobs");
    }
    return -error;
}

void uring_job(struct reactor *reactor, struct job *job)
{
    struct uring *uring = reactor->backend_state;
    if (!uring->jobs.started) {
        int error = jobs_start(uring);
        if (error) {
            uring_end_later(reactor, &job->op, error);
            return;
        }
    }
    pthread_mutex_lock(&uring->jobs.mutex);
    op_queue_push(&uring->jobs.waiting, &job->op);
    pthread_cond_signal(&uring->jobs.begun);
    pthread_mutex_unlock(&uring->jobs.mutex);
}

void uring_post(struct reactor *target, struct op *op, op_fn *then)
{
    struct uring *uring = target->backend_state;
    op->then = then;
    op->waits_for = "post";
    pthread_mutex_lock(&uring->jobs.mutex);
    op_queue_push(&uring->jobs.ended, op);
    (void)eventfd_write(uring->eventfd, 1);
    pthread_mutex_unlock(&uring->jobs.mutex);
}

uint32_t uring_jobs_ended(struct reactor *reactor)
{
    struct uring_jobs *jobs = &((struct uring *)reactor->backend_state)->jobs;
    pthread_mutex_lock(&jobs->mutex);
    struct op_queue ended = jobs->ended;
    jobs->ended = (struct op_queue){0};
    pthread_mutex_unlock(&jobs->mutex);

    uint32_t count = 0;
    for (struct op *op; (op = op_queue_pop(&ended)); count++) {
        op->then(op);
    }
    return count;
}
