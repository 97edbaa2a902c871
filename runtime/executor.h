/* Threads that share out the numbered tasks of a step, for any number of contexts at once. */
#ifndef INFER_RUNTIME_EXECUTOR_H
#define INFER_RUNTIME_EXECUTOR_H

#include "kernels/base.h"
#include "runtime/infer.h"

#define EXECUTOR_MOST 1024 /* threads */

/* An executor of `threads` in all, the one that calls executor_run among them, with one reference; 0: as many as the
 * cores that this process may use. Where the system starts no further thread, it has those that did start. Errors:
 * INVALID_ARGUMENT for a number out of range; OUT_OF_MEMORY. */
enum status executor_create(const struct allocator *allocator, int threads, struct infer_executor **executor,
                            struct error *error);
/* That it took of its allocator; stacks are the system's. */
size_t executor_bytes(const struct infer_executor *executor);
/* It was made before this process forked off: its threads are another process's. */
bool executor_is_foreign(const struct infer_executor *executor);

/* Tasks [first, last), of lane `lane`. */
typedef void executor_work(void *user, int first, int last, int lane);

/* Has `work` called for each task in [0, tasks), in chunks, and returns when all are done. A lane is one thread for as
 * long as this call lasts, and lanes are numbered below min(lanes, tasks, threads of the executor), so memory of that
 * many is enough. The calling thread takes part; how many others do depends on who is idle. A lane begins with a
 * stretch of neighbouring tasks of its own, from the lowest on, and then helps with those of others: tasks of a stretch
 * are taken in their order, those of two in any. What a task writes is seen by the caller afterwards, and what the
 * caller wrote before by the tasks. Any number of threads may call at once; no task may. Nothing is allocated and no
 * lock taken. */
void executor_run(struct infer_executor *executor, int lanes, int tasks, executor_work *work, void *user);

#endif
