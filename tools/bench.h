/* The parts of infer-bench. */
#ifndef INFER_TOOLS_BENCH_H
#define INFER_TOOLS_BENCH_H

#include "kernels/attention.h"
#include "kernels/conv.h"
#include "kernels/copy.h"
#include "kernels/matmul.h"
#include "kernels/pointwise.h"
#include "kernels/pool.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"
#include "runtime/infer.h"
#include "tools/common.h"
#include "tools/shapes.h"

#define MOST_OPERANDS 5

/* A problem that real networks pose, of float32. */
struct problem {
    char name[64];
    enum kernel_family family;
    union {
        struct attention_params attention;
        struct conv_params conv;
        struct copy_params copy;
        struct matmul_params matmul;
        struct pointwise_room pointwise;
        struct pool_params pool;
        struct reduce_params reduce;
        struct softmax_params softmax;
    } params;
    int input_count, output_count;
    int64_t elements[MOST_OPERANDS]; /* inputs, then outputs */
};

size_t problem_count(void);
void problem_make(size_t index, struct problem *problem);
/* Bytes of all operands. */
double problem_bytes(const struct problem *problem);

/* Of one core of this machine, measured: multiplications and additions a second with the instructions of `isa` (the
 * reference kernels are held to SSE, which the compiler may use for them), and
 * bytes a second read and written by a copy that no cache holds (0: no memory for it). */
double measure_peak_flops(enum isa isa);
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
};
struct model_request {
    const char *path, *json;
    struct shape_list shapes;
    infer_session_options session; /* threads: the most to try, 0: the cores there are */
};
int bench_kernels(const struct tool *tool, const struct kernels_request *request);
int bench_model(const struct tool *tool, const struct model_request *request);

#endif
