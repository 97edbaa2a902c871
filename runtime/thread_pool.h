/* A fixed set of threads that share out numbered tasks. */
#ifndef INFER_RUNTIME_THREAD_POOL_H
#define INFER_RUNTIME_THREAD_POOL_H

#include "kernels/base.h"

#define THREAD_POOL_MOST 1024 /* threads */

struct thread_pool;

/* A pool of `threads` in all, the one that calls thread_pool_run among them: 1 starts none. The
 * allocator must outlive it. Errors: INVALID_ARGUMENT
 * for less than 1 and more than THREAD_POOL_MOST; OUT_OF_MEMORY, also where the system starts no further thread. */
enum status thread_pool_create(const struct allocator *allocator, int threads, struct thread_pool **pool,
                               struct error *error);
/* NULL is allowed. No run may be under way. */
void thread_pool_destroy(struct thread_pool *pool);

int thread_pool_threads(const struct thread_pool *pool);
size_t thread_pool_bytes(int threads); /* that such a pool takes of its allocator; stacks are the system's */

/* Calls task(user, i, t) for each i in [0, tasks) and returns when all are done. Who does what is fixed: of
 * T = min(threads, tasks), thread t in [0, T) does the tasks [t * tasks / T, (t + 1) * tasks / T) in order, and thread
 * 0 is the caller. What a task writes is seen by the caller afterwards, and what the caller wrote before by the tasks.
 * One run at a time: a pool serves one caller, and no task may run tasks of its own in it. Nothing is allocated, and
 * while the workers are awake no lock is taken. */
void thread_pool_run(struct thread_pool *pool, int tasks, void (*task)(void *user, int task, int thread), void *user);

#endif
