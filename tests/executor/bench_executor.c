/* What it costs to share out a phase of a step: nanoseconds of a phase whose tasks do nothing, the median of many. */
#include "runtime/cores.h"
#include "runtime/executor.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PHASES 20000
#define SLEEPY_PHASES 500
#define SLEEP_MICROSECONDS 300 /* of the caller, between phases: workers are asleep then */

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

/* How many phases had another lane than the caller's. */
static _Alignas(64) int shared;

static void nothing(void *user, int first, int last, int lane)
{
    (void)user;
    (void)first;
    (void)last;
    if (lane == 1)
        shared++;
}

/* Tasks that take a microsecond or so, as small steps have. */
static void little(void *user, int first, int last, int lane)
{
    (void)user;
    for (int task = first; task < last; task++)
        for (long long until = now() + 1000; now() < until;)
            ;
    if (lane == 1)
        shared++;
}

static void measure(const char *what, struct infer_executor *executor, int tasks, int phases, executor_work *work,
                    useconds_t pause)
{
    static long long times[PHASES];
    shared = 0;
    for (int i = 0; i < phases; i++) {
        if (pause)
            usleep(pause);
        long long start = now();
        executor_run(executor, tasks, tasks, work, NULL);
        times[i] = now() - start;
    }
    qsort(times, (size_t)phases, sizeof *times, compare);
    printf("%-28s %2d threads %3d tasks  median %7lld ns  p90 %7lld ns  shared %3.0f %%\n", what,
           infer_executor_threads(executor), tasks, times[phases / 2], times[phases * 9 / 10], 100.0 * shared / phases);
}

int main(void)
{
    int cores = usable_cores();
    for (int threads = 1; threads <= cores; threads = threads * 2 < cores || threads == cores ? threads * 2 : cores) {
        struct infer_executor *executor;
        struct error error = {0};
        if (executor_create(&default_allocator, threads, &executor, &error) != STATUS_OK) {
            fprintf(stderr, "%s\n", error.text);
            return 1;
        }
        int tasks = threads < 2 ? 2 : threads;
        measure("empty tasks", executor, tasks, PHASES, nothing, 0);
        measure("tasks of 1 us", executor, tasks, PHASES, little, 0);
        measure("tasks of 1 us, after a sleep", executor, tasks, SLEEPY_PHASES, little, SLEEP_MICROSECONDS);
        infer_executor_release(executor);
    }
    return 0;
}
