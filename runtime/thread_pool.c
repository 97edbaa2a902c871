#include "runtime/thread_pool.h"

#include "runtime/cores.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Turns of a waiting loop before a thread sleeps: some ten microseconds. The next step of a program comes sooner, and
 * waking a thread takes about as long. */
#define SPINS 1000

/* A job is one word, so that a worker reads it whole: a number that grows, and how many threads take part. A worker
 * that takes part holds up the caller, so it may read the job's other fields; one that does not leaves them alone. */
#define JOB_BITS 16
#define JOB_THREADS ((UINT64_C(1) << JOB_BITS) - 1)
#define JOB_STOP JOB_THREADS /* in place of a number of threads */
_Static_assert(THREAD_POOL_MOST < JOB_STOP, "the number of threads fits its place in a job");

struct worker {
    struct thread_pool *pool;
    int index; /* from 1 on: thread 0 is the caller */
    pthread_t thread;
};

struct thread_pool {
    /* Written by the caller, read by all. */
    _Alignas(ALIGNMENT) _Atomic uint64_t job;
    void (*task)(void *user, int task, int thread);
    void *user;
    int tasks;

    /* Written by all. */
    _Alignas(ALIGNMENT) _Atomic int remaining; /* workers that are not done with the job */
    _Atomic int sleepers;                      /* workers that sleep, or are about to */
    _Atomic bool caller_sleeps;
    pthread_mutex_t lock; /* only to fall asleep and to wake */
    pthread_cond_t work, done;

    /* Never changed. */
    _Alignas(ALIGNMENT) const struct allocator *allocator;
    size_t bytes;
    int threads, spins;
    struct worker workers[];
};

static inline void relax(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#endif
}

static void run_share(const struct thread_pool *pool, int thread, int threads)
{
    int first = (int)((int64_t)pool->tasks * thread / threads);
    int last = (int)((int64_t)pool->tasks * (thread + 1) / threads);
    for (int i = first; i < last; i++)
        pool->task(pool->user, i, thread);
}

/* --- workers ------------------------------------------------------------------------------------------------------ */

/* Falling asleep is the same on both sides: say so, then look once more. The other side changes what is looked at, then
 * asks whether anyone said so. All four are sequentially consistent, so one of the two notices; and as sleepers hold
 * the lock from saying so until they wait, a wake-up that takes the lock cannot come in between. */
static uint64_t next_job(struct thread_pool *pool, uint64_t last)
{
    uint64_t job;
    for (int i = 0; i < pool->spins; i++) {
        if ((job = atomic_load_explicit(&pool->job, memory_order_acquire)) != last)
            return job;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while ((job = atomic_load(&pool->job)) == last)
        pthread_cond_wait(&pool->work, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static void finish(struct thread_pool *pool)
{
    if (atomic_fetch_sub(&pool->remaining, 1) == 1 && atomic_load(&pool->caller_sleeps)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_signal(&pool->done);
        pthread_mutex_unlock(&pool->lock);
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct thread_pool *pool = worker->pool;
    for (uint64_t job = 0;;) {
        job = next_job(pool, job);
        int threads = (int)(job & JOB_THREADS);
        if (threads == (int)JOB_STOP)
            return NULL;
        if (worker->index < threads) {
            run_share(pool, worker->index, threads);
            finish(pool);
        }
    }
}

/* --- the caller --------------------------------------------------------------------------------------------------- */

static void publish(struct thread_pool *pool, uint64_t threads)
{
    uint64_t number = atomic_load_explicit(&pool->job, memory_order_relaxed) >> JOB_BITS;
    atomic_store(&pool->job, (number + 1) << JOB_BITS | threads);
    if (atomic_load(&pool->sleepers) > 0) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->lock);
    }
}

static void wait_for_workers(struct thread_pool *pool)
{
    for (int i = 0; i < pool->spins; i++) {
        if (atomic_load_explicit(&pool->remaining, memory_order_acquire) == 0)
            return;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_sleeps, true);
    while (atomic_load(&pool->remaining) != 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->lock);
}

void thread_pool_run(struct thread_pool *pool, int tasks, void (*task)(void *user, int task, int thread), void *user)
{
    int threads = tasks < pool->threads ? tasks : pool->threads;
    if (threads <= 1) {
        for (int i = 0; i < tasks; i++)
            task(user, i, 0);
        return;
    }
    pool->task = task;
    pool->user = user;
    pool->tasks = tasks;
    atomic_store_explicit(&pool->remaining, threads - 1, memory_order_relaxed);
    publish(pool, (uint64_t)threads);
    run_share(pool, 0, threads);
    wait_for_workers(pool);
}

int thread_pool_threads(const struct thread_pool *pool)
{
    return pool->threads;
}

/* --- beginning and end -------------------------------------------------------------------------------------------- */

static void stop(struct thread_pool *pool, int started)
{
    publish(pool, JOB_STOP);
    for (int i = 0; i < started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->done);
    release(pool->allocator, pool, pool->bytes);
}

/* Signals are the program's own affair: its handlers must not run on our threads. */
static int start_quietly(struct worker *worker)
{
    sigset_t all, before;
    char name[16]; /* as long as the system allows */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&worker->thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0) {
        snprintf(name, sizeof name, "infer-%d", worker->index);
        pthread_setname_np(worker->thread, name);
    }
    return code;
}

static enum status start_workers(struct thread_pool *pool, struct error *error)
{
    for (int i = 0; i < pool->threads - 1; i++) {
        pool->workers[i] = (struct worker){.pool = pool, .index = i + 1};
        int code = start_quietly(&pool->workers[i]);
        if (code != 0) {
            int threads = pool->threads;
            stop(pool, i);
            return error_set(error, STATUS_OUT_OF_MEMORY, "cannot start thread %d of %d: %s", i + 2, threads,
                             strerror(code));
        }
    }
    return STATUS_OK;
}

size_t thread_pool_bytes(int threads)
{
    return align_up(sizeof(struct thread_pool) + (size_t)(threads - 1) * sizeof(struct worker), ALIGNMENT);
}

enum status thread_pool_create(const struct allocator *allocator, int threads, struct thread_pool **pool,
                               struct error *error)
{
    *pool = NULL;
    if (threads < 1 || threads > THREAD_POOL_MOST)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%d threads were asked for; 1 to %d are possible", threads,
                         THREAD_POOL_MOST);
    size_t bytes = thread_pool_bytes(threads);
    struct thread_pool *made = allocate(allocator, bytes, ALIGNMENT);
    if (!made)
        return error_set(error, STATUS_OUT_OF_MEMORY, "no memory for a pool of %d threads", threads);
    memset(made, 0, bytes);
    made->allocator = allocator;
    made->bytes = bytes;
    made->threads = threads;
    /* Where threads share a core, one that spins keeps the one it waits for from running. */
    made->spins = threads <= usable_cores() ? SPINS : 0;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->work, NULL);
    pthread_cond_init(&made->done, NULL);
    enum status status = start_workers(made, error);
    if (status == STATUS_OK)
        *pool = made;
    return status;
}

void thread_pool_destroy(struct thread_pool *pool)
{
    if (pool)
        stop(pool, pool->threads - 1);
}
