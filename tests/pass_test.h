/* What passes do to a graph, and that its results stay what they were. */
#ifndef INFER_TESTS_PASS_TEST_H
#define INFER_TESTS_PASS_TEST_H

#include "runtime/compile/specialise.h"
#include "tests/kernel_run.h"
#include "tests/model_maker.h"

#include <check.h>

/* By reference kernels, all results in the graph's region. */
extern const struct evaluation plain_evaluation;

#define RIG_MOST 5 /* inputs, or outputs */

/* A model of one type (float32 unless told otherwise) in the making. */
struct rig {
    struct maker maker;
    struct graph *graph; /* the maker's */
    enum dtype dtype;
    struct value *inputs[RIG_MOST], *outputs[RIG_MOST];
    int64_t input_dims[RIG_MOST][MAX_RANK]; /* of the run; the model's may be symbols */
    int input_count, output_count;
    double reach; /* inputs of the run hold numbers between -reach and reach (1) */
    unsigned seed;
};

#define DIMS(...)                                                                \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) \
    {                                                                            \
        __VA_ARGS__                                                              \
    }
#define SCALAR_DIMS 0, NULL

/* Names are made up: i, c or v, and the number of the value. */
void rig_begin(struct rig *rig);
struct value *rig_input(struct rig *rig, int rank, const int64_t *dims);
/* The same, but the model knows no more than its rank. */
struct value *rig_open_input(struct rig *rig, int rank, const int64_t *dims);
/* A constant of numbers between -1 and 1, another each time; of all the same number; of the integers given. */
struct value *rig_weights(struct rig *rig, int rank, const int64_t *dims);
struct value *rig_number(struct rig *rig, int rank, const int64_t *dims, double number);
struct value *rig_ints(struct rig *rig, int count, const int64_t *ints);
struct value *rig_node(struct rig *rig, const char *op, int input_count, struct value *const *inputs,
                       int attribute_count, const struct attribute *attributes);
struct value *rig_op1(struct rig *rig, const char *op, struct value *a);
struct value *rig_op2(struct rig *rig, const char *op, struct value *a, struct value *b);
/* x op number, which has no axes. */
struct value *rig_with(struct rig *rig, const char *op, struct value *x, double number);
/* Two to four outputs. */
void rig_split(struct rig *rig, struct value *a, int64_t axis, int count, struct value **outputs);
void rig_output(struct rig *rig, struct value *output);

/* The operators that remain after the passes over the model, and then for the input's shapes, each list in order and
 * with blanks between ("Conv Relu"); NULL: anything. Then the model is run with passes and without: results differ by
 * no more than `tolerance` times the greatest number of them. Ends the rig. */
void rig_expect(struct rig *rig, const char *once, const char *shaped, double tolerance);
/* The limit on constants leaves so many bytes; no run. */
void rig_expect_limited(struct rig *rig, size_t limit, const char *once);
/* After rig_expect would have: the sources of the node of the shaped list with that index, with blanks between. */
void rig_expect_sources(struct rig *rig, int node, const char *sources);

/* The nodes that remain for the input's shapes; the rig goes on. */
struct graph *rig_shaped(struct rig *rig);

/* The same as rig_expect of one pass at one of its times, whose graph has been through none before. All nodes are among
 * the sources of what is left. */
void rig_expect_pass(struct rig *rig, pass_function *pass, enum pass_time time, const char *nodes, double tolerance);

#endif
