#include "predictor/histogram.h"

/* Below HISTOGRAM_PARTS a nanosecond is a cell; above, a power of two has HISTOGRAM_PARTS cells. */
static unsigned cell_of(uint64_t nanoseconds)
{
    if (nanoseconds < HISTOGRAM_PARTS)
        return (unsigned)nanoseconds;
    unsigned power = 63u - (unsigned)__builtin_clzll(nanoseconds);
    unsigned shift = power - 5;
    unsigned cell = (shift + 1) * HISTOGRAM_PARTS + (unsigned)(nanoseconds >> shift) - HISTOGRAM_PARTS;
    return cell < HISTOGRAM_CELLS ? cell : HISTOGRAM_CELLS - 1;
}

static int64_t end_of(unsigned cell)
{
    if (cell < HISTOGRAM_PARTS)
        return (int64_t)cell;
    unsigned shift = cell / HISTOGRAM_PARTS - 1;
    return ((int64_t)(cell % HISTOGRAM_PARTS + HISTOGRAM_PARTS + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, int64_t nanoseconds)
{
    int64_t value = nanoseconds > 0 ? nanoseconds : 0;
    histogram->cells[cell_of((uint64_t)value)]++;
    histogram->count++;
    histogram->sum += (double)value;
    if (value > histogram->most)
        histogram->most = value;
}

infer_latency histogram_latency(const struct histogram *histogram)
{
    infer_latency latency = {
        .count = histogram->count, .sum = histogram->sum * 1e-9, .max = (double)histogram->most * 1e-9};
    const double quantiles[] = {0.5, 0.9, 0.99, 0.999};
    double *const places[] = {&latency.p50, &latency.p90, &latency.p99, &latency.p999};
    uint64_t seen = 0;
    for (unsigned cell = 0, q = 0; cell < HISTOGRAM_CELLS && q < 4; cell++) {
        seen += histogram->cells[cell];
        int64_t end = end_of(cell) < histogram->most ? end_of(cell) : histogram->most;
        for (; q < 4 && seen > 0 && (double)seen >= quantiles[q] * (double)histogram->count; q++)
            *places[q] = (double)end * 1e-9;
    }
    return latency;
}
