/* The clock that deadlines, waits and step times go by. */
#ifndef INFER_RUNTIME_CLOCK_H
#define INFER_RUNTIME_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds of the monotonic clock. */
static inline int64_t clock_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

#define NEVER INT64_MAX

/* So many seconds after `from`; NEVER where that would pass the clock's range of 292 years. */
static inline int64_t clock_after(int64_t from, double seconds)
{
    double nanoseconds = seconds * 1e9;
    return nanoseconds < 9e18 - (double)from ? from + (int64_t)nanoseconds : NEVER;
}

/* As the system's waits take it. */
static inline struct timespec clock_timespec(int64_t time)
{
    return (struct timespec){.tv_sec = time / 1000000000, .tv_nsec = time % 1000000000};
}

#endif
