/* Latency against the rate of arrivals, as a drawing. */
#ifndef INFER_TOOLS_SERVE_SVG_H
#define INFER_TOOLS_SERVE_SVG_H

#include "kernels/base.h"

#include <stddef.h>

struct served_rate {
    double rate;                  /* of arrivals, a second */
    double achieved;              /* requests that ended well, a second */
    double p50, p99, p999, max;   /* seconds from when a request was due to its end; 0: none ended well */
    double batch;                 /* requests in a run, on average */
    size_t sent, refused, failed; /* refused: the queue was full */
};

/* "-" is stdout. */
enum status serve_svg_write(const char *path, const char *title, const struct served_rate *rates, size_t count,
                            struct error *error);

#endif
