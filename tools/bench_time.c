#include "tools/bench.h"
#include "tools/report.h"

#include <stdlib.h>

#define MOST_RUNS 101

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How many calls a run needs to last long enough (50 us) for the clock. */
static int calls_a_run(void (*call)(void *user), void *user)
{
    double start = seconds_now();
    call(user);
    double once = seconds_now() - start;
    return once >= 50e-6 ? 1 : (int)(50e-6 / (once + 1e-9)) + 1;
}

double median_seconds(void (*call)(void *user), void *user, double budget)
{
    double times[MOST_RUNS];
    int count = 0, calls = calls_a_run(call, user);
    double end = seconds_now() + budget;
    while (count < MOST_RUNS && (count < 3 || seconds_now() < end)) {
        double start = seconds_now();
        for (int i = 0; i < calls; i++)
            call(user);
        times[count++] = (seconds_now() - start) / calls;
    }
    qsort(times, (size_t)count, sizeof *times, compare_doubles);
    return times[count / 2];
}
