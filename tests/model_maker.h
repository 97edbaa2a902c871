/* Models made by hand, and runs of them through the public header. */
#ifndef INFER_TESTS_MODEL_MAKER_H
#define INFER_TESTS_MODEL_MAKER_H

#include "graph/op.h"
#include "runtime/infer.h"

/* A model in the making: a graph and, in the end, its file. All of it lives in the region. */
struct maker {
    struct region region;
    struct graph *graph;
};

struct maker maker_start(void);
/* A node with one output, which it returns; the node has the output's name. */
struct value *make_node(struct graph *graph, const char *op, const char *output, int input_count,
                        struct value *const *inputs, int attribute_count, const struct attribute *attributes);
struct value *make_node1(struct graph *graph, const char *op, const char *output, struct value *a);
struct value *make_node2(struct graph *graph, const char *op, const char *output, struct value *a, struct value *b);
/* A float32 output of the model, whose dimensions the file tells. */
struct value *make_declared(struct value *value, int rank, const int64_t *dims);
struct value *make_ints(struct graph *graph, const char *name, int count, const int64_t *ints); /* a constant list */
/* The model file of the graph, opened; NULL only where its allocator fails. */
infer_model *maker_finish(struct maker *maker, int input_count, struct value *const *inputs, int output_count,
                          struct value *const *outputs, const infer_model_options *options);

infer_tensor f32_tensor(const float *data, int rank, int64_t a, int64_t b);
infer_tensor i64_tensor(const int64_t *data, int rank, int64_t a);

struct running {
    infer_session *session;
    infer_context *context;
};

struct running running_begin(infer_model *model, const infer_session_options *options); /* takes the model */
void running_end(struct running *running, struct maker *maker);
/* A run that must succeed. */
void run_well(infer_context *context, const infer_tensor *inputs, size_t input_count, infer_tensor *outputs,
              size_t output_count);

/* --- every way of running: a session with passes or without, buffers of the context or of the caller --------- */

#define MOST 64 /* elements of an input or a caller's buffer */
/* In loop tests: bit 0 of the index: no passes; bit 1: buffers of the caller. */
#define WAYS 4

struct results {
    infer_tensor tensors[8];
    double room[8][MOST]; /* the caller's buffers, aligned for all types */
};

struct running begin_way(infer_model *model, int way);
void run_way(struct running *running, int way, const infer_tensor *inputs, size_t input_count, struct results *results,
             size_t count);
void expect_floats(const infer_tensor *tensor, int64_t count, const float *expected);

#endif
