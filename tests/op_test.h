/* Runs one operator through the whole runtime: graph → model.bin → session → run. */
#ifndef INFER_TESTS_OP_TEST_H
#define INFER_TESTS_OP_TEST_H

#include "graph/op.h"

#include <check.h>

/* A tensor of a test. As an input: dtype NONE is an absent optional one. As an output it is filled in; its data stays
 * until the process ends. */
struct test_tensor {
    enum dtype dtype;
    int rank;
    int64_t dims[MAX_RANK];
    const void *data;
};

#define TENSOR(type, array, tensor_rank, ...)                                          \
    (struct test_tensor)                                                               \
    {                                                                                  \
        .dtype = (type), .rank = (tensor_rank), .dims = {__VA_ARGS__}, .data = (array) \
    }
#define ABSENT              \
    (struct test_tensor)    \
    {                       \
        .dtype = DTYPE_NONE \
    }

struct op_call {
    const char *domain, *op; /* domain NULL: "" */
    int version;             /* 0: NEWEST_OPSET */
    int input_count, output_count, attribute_count;
    const struct test_tensor *inputs;
    struct test_tensor *outputs;
    const struct attribute *attributes;
    uint64_t constants; /* bit i: input i is a constant of the model, not an input of the run */
};

/* The status and, on failure, the sentence of whatever failed first. */
enum status run_op_status(const struct op_call *call, struct error *error);

/* Runs it with every input given at run time (but for `constants`), and with every input constant, so that it is
 * folded: both must succeed and agree in every bit of every output. Then on the reference kernels, which must be near.
 */
void run_op(const struct op_call *call);

/* The same for an operator of the newest opset with one output, which it returns. */
struct test_tensor run_simple(const char *op, int input_count, const struct test_tensor *inputs, int attribute_count,
                              const struct attribute *attributes);
/* Such an operator must be refused, with a sentence that holds `text`. */
void expect_refusal(enum status status, const char *text, const char *op, int input_count,
                    const struct test_tensor *inputs, int attribute_count, const struct attribute *attributes);

/* |a - b| <= tolerance * max(1, |b|), NaN equal to NaN, infinities equal. Checks the shape too. */
void expect_f32(const struct test_tensor *tensor, const float *values, double tolerance, int rank, ...);
void expect_i64(const struct test_tensor *tensor, const int64_t *values, int rank, ...);
void expect_bytes(const struct test_tensor *tensor, enum dtype dtype, const void *values, int rank, ...);

#endif
