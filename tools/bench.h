/* The parts of infer-bench. */
#ifndef INFER_TOOLS_BENCH_H
#define INFER_TOOLS_BENCH_H

#include "kernels/matmul.h"
#include "runtime/infer.h"
#include "tools/common.h"
#include "tools/shapes.h"

/* Of one core of this machine, measured: multiplications and additions a second with the instructions of `isa` (the
 * reference kernels are held to SSE, which the compiler may use for them), and
 * bytes a second read and written by a copy that no cache holds (0: no memory for it). */
double measure_peak_flops(enum isa isa);
/* The same of operands of 8 bits, exactly: by vpdpbusd where the CPU has it, otherwise by vpmaddubsw and what has to
 * come after it. 0: not with this set. */
double measure_peak_products(enum isa isa);
double measure_peak_bytes(void);

/* Seconds that OpenBLAS takes for the product on one thread; 0 where it is not there or cannot do it as one call. */
double blas_seconds(const struct matmul_params *params, const float *a, const float *b, float *c);

/* Seconds of one call, the median of several. */
double median_seconds(void (*call)(void *user), void *user, double budget);

struct kernels_request {
    const char *filter; /* NULL: all */
    infer_isa isa;
    bool check_only;
    const char *json;
    int random_problems; /* of each family; bench_choice */
};
struct model_request {
    const char *path, *json;
    struct shape_list shapes;
    infer_session_options session; /* threads: the most to try, 0: the cores there are */
};
#define MOST_RATES 64
struct serve_request {
    const char *path, *json, *svg;
    struct shape_list shapes;
    infer_session_options session;
    double rates[MOST_RATES]; /* of arrivals, a second */
    size_t rate_count;
    double seconds; /* at each rate; 0: 5 */
    double delay;   /* that a request waits for a batch to fill, in seconds */
    int batch, contexts;
};
/* The CPU's bits that may be used. False: it lacks the set that is asked for, and that has been said. */
bool requested_cpu(const struct tool *tool, const struct kernels_request *request, unsigned *cpu);
int bench_kernels(const struct tool *tool, const struct kernels_request *request);
int bench_shapes(const struct tool *tool, const struct kernels_request *request);
int bench_choice(const struct tool *tool, const struct kernels_request *request);
int bench_model(const struct tool *tool, const struct model_request *request);
int bench_serve(const struct tool *tool, const struct serve_request *request);

#endif
