/* Durations in constant memory, to 3 %: each power of two of nanoseconds is cut into 32 parts. */
#ifndef INFER_PREDICTOR_HISTOGRAM_H
#define INFER_PREDICTOR_HISTOGRAM_H

#include "runtime/infer_predictor.h"

#include <stdint.h>

#define HISTOGRAM_PARTS 32
#define HISTOGRAM_POWERS 39 /* the last part ends past 2^43 ns, over two hours; what is longer counts there */
#define HISTOGRAM_CELLS (HISTOGRAM_PARTS * HISTOGRAM_POWERS)

/* Zeroed: empty. */
struct histogram {
    uint64_t cells[HISTOGRAM_CELLS];
    uint64_t count;
    int64_t most;
    double sum;
};

void histogram_add(struct histogram *histogram, int64_t nanoseconds); /* below 0 counts as 0 */
/* Of each quantile the upper end of the part that it falls in, but no more than the longest. Seconds. */
infer_latency histogram_latency(const struct histogram *histogram);

#endif
