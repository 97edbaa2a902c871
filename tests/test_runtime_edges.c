/* Where the runtime puts values: outputs of every kind, views, sizes that the run decides, graphs inside graphs. Each
 * model runs in sessions with passes and without, into buffers of the caller and of the context, for shapes in turn. */
#include "tests/model_maker.h"
#include "tests/suites.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64 /* elements of an input or a caller's buffer here */

/* In loop tests: bit 0 of the index: no passes; bit 1: buffers of the caller. */
#define WAYS 4

static struct running begin(infer_model *model, int way)
{
    return running_begin(model, &(infer_session_options){.no_optimize = way & 1, .threads = 2});
}

struct results {
    infer_tensor tensors[8];
    double room[8][MOST]; /* the caller's buffers, aligned for all types */
};

static void run_into(struct running *r, int way, const infer_tensor *inputs, size_t input_count,
                     struct results *results, size_t count)
{
    memset(results, 0xa5, sizeof *results);
    memset(results->tensors, 0, sizeof results->tensors);
    for (size_t i = 0; i < count && way & 2; i++) {
        results->tensors[i].data = results->room[i];
        results->tensors[i].bytes = sizeof results->room[i];
    }
    run_well(r->context, inputs, input_count, results->tensors, count);
    for (size_t i = 0; i < count && way & 2; i++)
        ck_assert_ptr_eq(results->tensors[i].data, results->room[i]);
}

static void expect_f32(const infer_tensor *tensor, int64_t count, const float *expected)
{
    ck_assert_int_eq(tensor->dtype, INFER_FLOAT32);
    ck_assert_uint_eq(tensor->bytes, (size_t)count * sizeof *expected);
    for (int64_t i = 0; i < count; i++)
        ck_assert_msg(((const float *)tensor->data)[i] == expected[i], "element %d is %g instead of %g", (int)i,
                      (double)((const float *)tensor->data)[i], (double)expected[i]);
}

static void expect_zeros(const infer_tensor *tensor, int rank, int64_t count)
{
    float zeros[MOST] = {0};
    ck_assert_int_eq(tensor->rank, rank);
    expect_f32(tensor, count, zeros);
}

/* --- outputs --------------------------------------------------------------------------------------------- */

/* x, a constant, what a node makes, the same again, views of an input and of a node's value, and what reads them. */
static infer_model *every_output_model(struct maker *maker)
{
    static const float three[2] = {3, 4};
    struct graph *graph = maker->graph = graph_create(&maker->region, "outputs");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")});
    struct value *constant = graph_add_constant(graph, "constant", DTYPE_F32, 1, (int64_t[]){2}, three);
    struct value *row = make_ints(graph, "row", 2, (int64_t[]){1, -1});
    struct value *made = make_node1(graph, "Neg", "made", x);
    struct value *outputs[] = {x,
                               constant,
                               made,
                               made,
                               make_node2(graph, "Reshape", "input_view", x, row),
                               make_node2(graph, "Reshape", "made_view", made, row),
                               make_node1(graph, "Abs", "reader", made),
                               constant};
    return maker_finish(maker, 1, &x, 8, outputs, NULL);
}

START_TEST(outputs_of_every_kind)
{
    const float x[5] = {1, -2, 3, -4, 5}, negative[5] = {-1, 2, -3, 4, -5}, absolute[5] = {1, 2, 3, 4, 5};
    const float constant[2] = {3, 4};
    struct maker maker = maker_start();
    struct running r = begin(every_output_model(&maker), _i);
    for (int round = 0; round < 8; round++) {
        int64_t n = (int64_t[]){5, 0, 1, 3}[round % 4];
        struct results results;
        infer_tensor in = f32_tensor(x, 1, n, 0);
        run_into(&r, _i, &in, 1, &results, 8);
        const float *const expected[] = {x, constant, negative, negative, x, negative, absolute, constant};
        for (int i = 0; i < 8; i++)
            expect_f32(&results.tensors[i], expected[i] == constant ? 2 : n, expected[i]);
        ck_assert_int_eq(results.tensors[4].rank, 2);
        ck_assert_int_eq(results.tensors[4].dims[1], n);
    }
    running_end(&r, &maker);
}
END_TEST

START_TEST(the_last_outputs_may_be_left_out)
{
    const float x[2] = {1, -2}, negative[2] = {-1, 2};
    struct maker maker = maker_start();
    struct running r = begin(every_output_model(&maker), _i);
    for (size_t count = 0; count <= 8; count++) {
        struct results results;
        infer_tensor in = f32_tensor(x, 1, 2, 0);
        run_into(&r, _i, &in, 1, &results, count);
        if (count > 2)
            expect_f32(&results.tensors[2], 2, negative);
    }
    running_end(&r, &maker);
}
END_TEST

/* An output that later steps read lies in the caller's buffer, and nothing may be written over it. */
START_TEST(what_reads_an_output_does_not_write_over_it)
{
    const float x[3] = {1, -2, 3}, once[3] = {-1, 2, -3}, absolute[3] = {1, 2, 3}, last[3] = {-1, -2, -3};
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "chain");
    struct value *in = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")});
    struct value *a = make_node1(graph, "Neg", "a", in), *b = make_node1(graph, "Abs", "b", a);
    struct value *hidden = make_node1(graph, "Relu", "hidden", b), *c = make_node1(graph, "Neg", "c", hidden);
    struct running r = begin(maker_finish(&maker, 1, &in, 3, (struct value *[]){c, a, b}, NULL), _i);
    for (int round = 0; round < 2; round++) {
        struct results results;
        infer_tensor tensor = f32_tensor(x, 1, 3, 0);
        run_into(&r, _i, &tensor, 1, &results, 3);
        expect_f32(&results.tensors[0], 3, last);
        expect_f32(&results.tensors[1], 3, once);
        expect_f32(&results.tensors[2], 3, absolute);
    }
    running_end(&r, &maker);
}
END_TEST

START_TEST(a_result_may_not_lie_on_an_input)
{
    float x[4] = {1, -2, 3, -4};
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "two");
    struct value *in = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")});
    struct value *out[2] = {make_node1(graph, "Neg", "a", in), make_node1(graph, "Abs", "b", in)};
    struct running r = begin(maker_finish(&maker, 1, &in, 2, out, NULL), 0);
    infer_tensor tensor = f32_tensor(x, 1, 3, 0), results[2] = {{.data = x + 2, .bytes = 12}, {0}};
    infer_error error = {0};
    ck_assert_int_eq(infer_run(r.context, &tensor, 1, results, 2, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "output 'a' and input 'x' lie in the same memory");
    results[0] = (infer_tensor){0};
    run_well(r.context, &tensor, 1, results, 2);
    infer_tensor again = results[1];
    memset(results, 0, sizeof results);
    ck_assert_int_eq(infer_run(r.context, &again, 1, results, 2, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "output 'b' and input 'x' lie in the same memory");
    running_end(&r, &maker);
}
END_TEST

/* --- several segments ------------------------------------------------------------------------------------ */

static infer_tensor list_of(const int64_t *data, int64_t count)
{
    return i64_tensor(data, 1, count);
}

/* The content of a value and of views of it, each decides a shape. */
static infer_model *shapes_by_content_model(struct maker *maker)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "contents");
    struct value *n = graph_add_value(graph, "n", DTYPE_I64, 1, (int64_t[]){graph_symbol(graph, "R")});
    struct value *all = make_ints(graph, "all", 1, (int64_t[]){-1});
    struct value *m = make_node1(graph, "Abs", "m", n), *view = make_node2(graph, "Reshape", "view", m, all);
    struct value *view2 = make_node1(graph, "Identity", "view2", view);
    struct value *outputs[] = {make_node1(graph, "ConstantOfShape", "a", m),
                               make_node1(graph, "ConstantOfShape", "b", view),
                               make_node1(graph, "ConstantOfShape", "c", view2),
                               view2,
                               m,
                               make_node1(graph, "Neg", "after", view)};
    return maker_finish(maker, 1, &n, 6, outputs, NULL);
}

START_TEST(views_of_a_value_whose_content_is_known)
{
    struct maker maker = maker_start();
    struct running r = begin(shapes_by_content_model(&maker), _i);
    for (int round = 0; round < 6; round++) {
        int64_t n[2] = {-2 - round % 2, 3}, rank = round % 3, count = rank == 0 ? 1 : rank == 1 ? -n[0] : -n[0] * n[1];
        struct results results;
        infer_tensor in = list_of(n, rank);
        run_into(&r, _i, &in, 1, &results, 6);
        for (int i = 0; i < 3; i++)
            expect_zeros(&results.tensors[i], (int)rank, count);
        for (int64_t i = 0; i < rank; i++) {
            ck_assert_int_eq(((int64_t *)results.tensors[3].data)[i], llabs(n[i]));
            ck_assert_int_eq(((int64_t *)results.tensors[4].data)[i], llabs(n[i]));
            ck_assert_int_eq(((int64_t *)results.tensors[5].data)[i], -llabs(n[i]));
        }
    }
    running_end(&r, &maker);
}
END_TEST

/* An empty list the caller gives without memory is a shape too: a scalar's. */
START_TEST(an_empty_list_decides_a_shape)
{
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "empty");
    struct value *n = graph_add_value(graph, "n", DTYPE_I64, 1, (int64_t[]){graph_symbol(graph, "R")});
    struct value *y = make_node1(graph, "ConstantOfShape", "y", n);
    struct running r = begin(maker_finish(&maker, 1, &n, 1, &y, NULL), _i);
    struct results results;
    infer_tensor in = list_of(NULL, 0);
    run_into(&r, _i, &in, 1, &results, 1);
    expect_zeros(&results.tensors[0], 0, 1);
    running_end(&r, &maker);
}
END_TEST

static struct value *positions(struct graph *graph, const char *name, const char *list, struct value *x)
{
    struct value *all = make_ints(graph, "", 1, (int64_t[]){-1});
    return make_node2(graph, "Reshape", list, make_node1(graph, "NonZero", name, x), all);
}

/* Three sizes that only the run tells, one after another; values and views made before them that are read after all,
 * outputs that are made early, in the middle and late, one of them twice and three whose own sizes are such. */
static infer_model *segments_model(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "segments");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")});
    struct value *column = make_ints(graph, "column", 2, (int64_t[]){-1, 1});
    struct value *early = make_node1(graph, "Neg", "early", x);
    struct value *kept = make_node1(graph, "Abs", "kept", x),
                 *view = make_node2(graph, "Reshape", "view", kept, column);
    struct value *first = positions(graph, "first", "first_list", make_node1(graph, "Relu", "positive", x));
    struct value *chosen = make_node2(graph, "Gather", "chosen", early, first);
    struct value *second = make_node1(graph, "NonZero", "second", make_node1(graph, "Floor", "floor", chosen));
    struct value *third = positions(graph, "third", "third_list", make_node1(graph, "Relu", "both", early));
    struct value *late = make_node2(graph, "Gather", "late", view, third);
    struct value *unique[4] = {graph_add_value(graph, "unique", DTYPE_NONE, -1, NULL), NULL, NULL,
                               graph_add_value(graph, "counts", DTYPE_NONE, -1, NULL)};
    graph_add_node(graph, op_find("", "Unique"), NEWEST_OPSET, "unique", 1, &early, 4, unique, 0, NULL);
    struct value *outputs[] = {early, chosen, second, late, early, kept, unique[3], unique[0]};
    return maker_finish(maker, 1, &x, 8, outputs, options);
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void expect_segments(const struct results *results, const float *x, int64_t n)
{
    float early[MOST], kept[MOST], chosen[MOST], late[MOST];
    int64_t positive = 0, negative = 0, second = 0;
    for (int64_t i = 0; i < n; i++) {
        early[i] = -x[i];
        kept[i] = fabsf(x[i]);
        if (x[i] > 0) {
            chosen[positive++] = -x[i];
            second += floorf(-x[i]) != 0;
        }
        if (x[i] < 0)
            late[negative++] = -x[i];
    }
    expect_f32(&results->tensors[0], n, early);
    expect_f32(&results->tensors[1], positive, chosen);
    ck_assert_int_eq(results->tensors[2].dims[1], second);
    expect_f32(&results->tensors[3], negative, late);
    ck_assert_int_eq(results->tensors[3].rank, 2);
    expect_f32(&results->tensors[4], n, early);
    expect_f32(&results->tensors[5], n, kept);
    ck_assert_int_eq(results->tensors[6].dims[0], n);
    qsort(early, (size_t)n, sizeof *early, compare_floats); /* no two are equal */
    expect_f32(&results->tensors[7], n, early);
}

START_TEST(values_live_across_segments)
{
    const float x[7] = {1, -2, 3, 0, -5, 6, 7};
    struct maker maker = maker_start();
    struct running r = begin(segments_model(&maker, NULL), _i);
    for (int round = 0; round < 20; round++) {
        int64_t n = round * 3 % 8, start = n == 7 ? 0 : round % (7 - n);
        struct results results;
        infer_tensor in = f32_tensor(x + start, 1, n, 0);
        run_into(&r, _i, &in, 1, &results, 8);
        expect_segments(&results, x + start, n);
    }
    running_end(&r, &maker);
}
END_TEST

struct sightings {
    int count;
    float sum;
};

static void see_view(void *user, const char *name, const infer_tensor *tensor)
{
    struct sightings *seen = user;
    if (strcmp(name, "view") != 0)
        return;
    seen->count++;
    ck_assert_int_eq(tensor->dims[0], 3);
    for (int i = 0; i < 3; i++)
        seen->sum += ((const float *)tensor->data)[i];
}

START_TEST(an_observer_sees_a_view_once)
{
    const float x[3] = {1, -2, 4};
    struct maker maker = maker_start();
    struct running r = begin(segments_model(&maker, NULL), _i);
    struct sightings seen = {0};
    infer_observer observer = {.value = see_view, .user = &seen};
    infer_context_observe(r.context, &observer);
    struct results results;
    infer_tensor in = f32_tensor(x, 1, 3, 0);
    run_into(&r, _i, &in, 1, &results, 8);
    ck_assert_int_eq(seen.count, 1);
    ck_assert_float_eq(seen.sum, 7);
    running_end(&r, &maker);
}
END_TEST

/* --- graphs in graphs ------------------------------------------------------------------------------------ */

static struct value *scalar(struct graph *graph, const char *name, enum dtype dtype)
{
    return graph_add_value(graph, name, dtype, 0, NULL);
}

static struct value *list(struct graph *graph, const char *name)
{
    return graph_add_value(graph, name, DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")});
}

/* A branch with one input, which it hands through or gives to an operator. */
static const struct graph *branch(struct region *region, const char *op)
{
    struct graph *graph = graph_create(region, op ? op : "through");
    struct value *x = list(graph, "captured"), *y = op ? make_node1(graph, op, "result", x) : x;
    graph_set_inputs(graph, 1, &x);
    graph_set_outputs(graph, 1, &y);
    return graph;
}

static struct value *make_if(struct graph *graph, const char *name, struct value *condition, struct value *x,
                             const char *then_op, const char *else_op)
{
    const struct attribute branches[] = {
        {.name = "then_branch", .kind = ATTRIBUTE_GRAPH, .graph = branch(graph->region, then_op)},
        {.name = "else_branch", .kind = ATTRIBUTE_GRAPH, .graph = branch(graph->region, else_op)},
    };
    return make_node(graph, "If", name, 2, (struct value *[]){condition, x}, 2, branches);
}

static const struct graph *finish_body(struct graph *body, int input_count, struct value *const *inputs,
                                       int output_count, struct value *const *outputs)
{
    graph_set_inputs(body, input_count, inputs);
    graph_set_outputs(body, output_count, outputs);
    return body;
}

static void make_control(struct graph *graph, const char *op, int input_count, struct value *const *inputs,
                         int output_count, struct value **outputs, const struct graph *body, int extra_count,
                         const struct attribute *extra)
{
    struct attribute attributes[8] = {{.name = "body", .kind = ATTRIBUTE_GRAPH, .graph = body}};
    for (int i = 0; i < extra_count; i++)
        attributes[1 + i] = extra[i];
    for (int i = 0; i < output_count; i++)
        if (!outputs[i])
            outputs[i] = graph_add_value(graph, "", DTYPE_NONE, -1, NULL);
    graph_add_node(graph, op_find("", op), NEWEST_OPSET, op, input_count, inputs, output_count, outputs,
                   1 + extra_count, attributes);
}

/* state' = If(i is even) -|state| else state (as it is); stacks |state'|, and swaps a second state with it. */
static const struct graph *if_body(struct region *region)
{
    static const int64_t two = 2;
    static const uint8_t zero[8] = {0};
    struct graph *body = graph_create(region, "body");
    struct value *in[] = {scalar(body, "i", DTYPE_I64), scalar(body, "go", DTYPE_BOOL), list(body, "a"),
                          list(body, "b")};
    struct value *half =
        make_node2(body, "Mod", "half", in[0], graph_add_constant(body, "two", DTYPE_I64, 0, NULL, &two));
    struct value *even =
        make_node2(body, "Equal", "even", half, graph_add_constant(body, "zero", DTYPE_I64, 0, NULL, zero));
    struct value *changed = make_node1(body, "Neg", "changed", in[2]);
    struct value *next = make_if(body, "next", even, changed, "Abs", NULL);
    struct value *out[] = {in[1], in[3], next, make_node1(body, "Abs", "slice", next)};
    out[0]->dtype = DTYPE_BOOL;
    out[3]->dtype = DTYPE_F32;
    return finish_body(body, 4, in, 4, out);
}

START_TEST(an_if_in_a_loop)
{
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "loop");
    struct value *trip = scalar(graph, "trip", DTYPE_I64), *x = list(graph, "x"), *out[3] = {NULL};
    make_control(graph, "Loop", 4, (struct value *[]){trip, NULL, x, x}, 3, out, if_body(&maker.region), 0, NULL);
    struct running r = begin(maker_finish(&maker, 2, (struct value *[]){trip, x}, 3, out, NULL), _i);
    const float x0[2] = {-1, 2};
    for (int64_t round = 0; round < 12; round++) {
        int64_t n = 1 + round % 2, times = round % 6;
        float a[2] = {x0[0], x0[1]}, b[2] = {x0[0], x0[1]}, stacked[20];
        for (int64_t i = 0; i < times; i++)
            for (int64_t k = 0; k < n; k++) {
                float next = i % 2 == 0 ? fabsf(-a[k]) : -a[k];
                a[k] = b[k];
                b[k] = next;
                stacked[i * n + k] = fabsf(next);
            }
        struct results results;
        infer_tensor in[2] = {i64_tensor(&times, 0, 0), f32_tensor(x0, 1, n, 0)};
        run_into(&r, _i, in, 2, &results, 3);
        expect_f32(&results.tensors[0], n, a);
        expect_f32(&results.tensors[1], n, b);
        expect_f32(&results.tensors[2], times * n, stacked);
    }
    running_end(&r, &maker);
}
END_TEST

/* Adds `step`, which it gets from outside, to its state. */
static const struct graph *adding_body(struct region *region)
{
    struct graph *body = graph_create(region, "inner");
    struct value *in[] = {scalar(body, "k", DTYPE_I64), scalar(body, "go", DTYPE_BOOL), list(body, "s"),
                          list(body, "step")};
    struct value *out[] = {make_node1(body, "Identity", "still", in[1]), make_node2(body, "Add", "next", in[2], in[3]),
                           make_node1(body, "Identity", "was", in[2])};
    out[0]->dtype = DTYPE_BOOL;
    out[1]->dtype = out[2]->dtype = DTYPE_F32;
    return finish_body(body, 4, in, 3, out);
}

/* Iteration i adds x to the state i times by a loop of its own; stacks the last state. */
static const struct graph *outer_body(struct region *region)
{
    struct graph *body = graph_create(region, "outer");
    struct value *in[] = {scalar(body, "i", DTYPE_I64), scalar(body, "go", DTYPE_BOOL), list(body, "s"),
                          list(body, "x")};
    struct value *made[2] = {NULL};
    make_control(body, "Loop", 4, (struct value *[]){in[0], NULL, in[2], in[3]}, 2, made, adding_body(region), 1,
                 &ATTRIBUTE_I("captures", 1));
    struct value *out[] = {make_node1(body, "Identity", "still", in[1]), made[0],
                           make_node1(body, "Neg", "slice", made[0])};
    out[0]->dtype = DTYPE_BOOL;
    out[2]->dtype = DTYPE_F32;
    return finish_body(body, 4, in, 3, out);
}

START_TEST(a_loop_in_a_loop)
{
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "loops");
    struct value *trip = scalar(graph, "trip", DTYPE_I64), *x = list(graph, "x"), *out[2] = {NULL};
    struct value *start = make_node1(graph, "Abs", "start", x), *step = make_node1(graph, "Neg", "step", x);
    make_control(graph, "Loop", 4, (struct value *[]){trip, NULL, start, step}, 2, out, outer_body(&maker.region), 1,
                 &ATTRIBUTE_I("captures", 1));
    struct value *outputs[] = {out[0], out[1], start, make_node2(graph, "Add", "sum", out[0], step), out[0]};
    struct running r = begin(maker_finish(&maker, 2, (struct value *[]){trip, x}, 5, outputs, NULL), _i);
    const float x0[3] = {1, -2, 3};
    for (int64_t round = 0; round < 10; round++) {
        int64_t n = 1 + round % 3, times = round % 5;
        float state[3], slices[20], first[3], sum[3];
        for (int64_t k = 0; k < n; k++)
            state[k] = first[k] = fabsf(x0[k]);
        for (int64_t i = 0; i < times; i++)
            for (int64_t k = 0; k < n; k++) {
                state[k] -= (float)i * x0[k];
                slices[i * n + k] = -state[k];
            }
        for (int64_t k = 0; k < n; k++)
            sum[k] = state[k] - x0[k];
        struct results results;
        infer_tensor in[2] = {i64_tensor(&times, 0, 0), f32_tensor(x0, 1, n, 0)};
        run_into(&r, _i, in, 2, &results, 5);
        expect_f32(&results.tensors[0], n, state);
        expect_f32(&results.tensors[1], times * n, slices);
        expect_f32(&results.tensors[2], n, first);
        expect_f32(&results.tensors[3], n, sum);
        expect_f32(&results.tensors[4], n, state);
    }
    running_end(&r, &maker);
}
END_TEST

/* state' = state + a - b for slices a and b; gives state' and a. */
static const struct graph *scan_body(struct region *region)
{
    struct graph *body = graph_create(region, "scan_body");
    struct value *in[] = {list(body, "s"), list(body, "a"), list(body, "b")};
    struct value *sum = make_node2(body, "Add", "sum", in[0], in[1]);
    struct value *out[] = {make_node2(body, "Sub", "next", sum, in[2]), NULL,
                           make_node1(body, "Identity", "same", in[1])};
    out[1] = make_node1(body, "Identity", "shown", out[0]);
    return finish_body(body, 3, in, 3, out);
}

/* Scans x (2 x 3) along axis 1 forwards and y (3 x 2) along axis 0 backwards; stacks states along axis 1, from the end,
 * and the slices of x along axis 0 backwards. */
START_TEST(a_scan_along_axes_and_backwards)
{
    static const int64_t axes[2] = {-1, 0}, directions[2] = {0, 1}, output_axes[2] = {-1, 0},
                         output_directions[2] = {0, 1};
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "scan");
    struct value *in[3] = {graph_add_value(graph, "s", DTYPE_F32, 1, (int64_t[]){2}),
                           graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){2, graph_symbol(graph, "T")}),
                           graph_add_value(graph, "y", DTYPE_F32, 2, (int64_t[]){graph_symbol(graph, "T"), 2})};
    struct value *out[3] = {NULL};
    const struct attribute attributes[] = {
        ATTRIBUTE_I("num_scan_inputs", 2), ATTRIBUTE_LIST("scan_input_axes", 2, axes),
        ATTRIBUTE_LIST("scan_input_directions", 2, directions), ATTRIBUTE_LIST("scan_output_axes", 2, output_axes),
        ATTRIBUTE_LIST("scan_output_directions", 2, output_directions)};
    make_control(graph, "Scan", 3, in, 3, out, scan_body(&maker.region), 5, attributes);
    struct running r = begin(maker_finish(&maker, 3, in, 3, out, NULL), _i);
    const float s[2] = {10, 20}, x[6] = {1, 2, 3, 4, 5, 6}, y[6] = {.5F, 1, 2, 4, 8, 16};
    for (int64_t round = 0; round < 4; round++) {
        int64_t t = 3 - round % 3;
        float state[2] = {s[0], s[1]}, states[6], slices[6];
        for (int64_t i = 0; i < t; i++)
            for (int64_t k = 0; k < 2; k++) {
                state[k] += x[k * t + i] - y[(t - 1 - i) * 2 + k];
                states[k * t + i] = state[k];
                slices[(t - 1 - i) * 2 + k] = x[k * t + i];
            }
        struct results results;
        infer_tensor tensors[3] = {f32_tensor(s, 1, 2, 0), f32_tensor(x, 2, 2, t), f32_tensor(y, 2, t, 2)};
        run_into(&r, _i, tensors, 3, &results, 3);
        expect_f32(&results.tensors[0], 2, state);
        expect_f32(&results.tensors[1], 2 * t, states);
        expect_f32(&results.tensors[2], 2 * t, slices);
    }
    running_end(&r, &maker);
}
END_TEST

/* A body whose condition is a number, and a branch that would read what is absent: files may say so. */
START_TEST(a_body_must_make_a_condition)
{
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "loop"),
                 *body = graph_create(&maker.region, "body");
    struct value *in[] = {scalar(body, "i", DTYPE_I64), scalar(body, "go", DTYPE_BOOL), list(body, "s")};
    graph_set_inputs(body, 3, in);
    graph_set_outputs(body, 2, (struct value *[]){make_node1(body, "Neg", "still", in[2]), in[2]});
    struct value *x = list(graph, "x"), *out[1] = {NULL};
    make_control(graph, "Loop", 3, (struct value *[]){NULL, NULL, x}, 1, out, body, 0, NULL);
    struct running r = begin(maker_finish(&maker, 1, &x, 1, out, NULL), _i);
    const float data[2] = {1, 2};
    infer_tensor tensor = f32_tensor(data, 1, 2, 0), result = {0};
    infer_error error = {0};
    ck_assert_int_eq(infer_run(r.context, &tensor, 1, &result, 1, &error), INFER_INVALID_MODEL);
    ck_assert_str_eq(error.message, "node 'Loop' (Loop): the condition that its body makes is float32 of 8 bytes; it "
                                    "must be one bool");
    running_end(&r, &maker);
}
END_TEST

START_TEST(a_branch_reads_nothing_absent)
{
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "if");
    struct value *condition = scalar(graph, "condition", DTYPE_BOOL);
    struct value *y = make_if(graph, "y", condition, NULL, "Neg", "Abs");
    struct running r = begin(maker_finish(&maker, 1, &condition, 1, &y, NULL), _i);
    uint8_t yes = 1;
    infer_tensor tensor = {.data = &yes, .bytes = 1, .dtype = INFER_BOOL}, result = {0};
    infer_error error = {0};
    ck_assert_int_eq(infer_run(r.context, &tensor, 1, &result, 1, &error), INFER_INVALID_MODEL);
    ck_assert_msg(strncmp(error.message, "node 'y' (If): input 1", 22) == 0, "%s", error.message);
    running_end(&r, &maker);
}
END_TEST

/* Weights that only a branch has, and one that both have. */
START_TEST(weights_of_branches_count)
{
    static const float weights[3][16] = {{1}, {2}, {3}};
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "if");
    struct value *condition = scalar(graph, "condition", DTYPE_BOOL);
    struct attribute branches[2] = {{.name = "then_branch", .kind = ATTRIBUTE_GRAPH},
                                    {.name = "else_branch", .kind = ATTRIBUTE_GRAPH}};
    for (int i = 0; i < 2; i++) {
        struct graph *inner = graph_create(&maker.region, branches[i].name);
        struct value *own = graph_add_constant(inner, "own", DTYPE_F32, 1, (int64_t[]){16}, weights[i]);
        struct value *both = graph_add_constant(inner, "both", DTYPE_F32, 1, (int64_t[]){16}, weights[2]);
        struct value *sum = make_node2(inner, "Add", "sum", own, both);
        graph_set_inputs(inner, 0, NULL);
        graph_set_outputs(inner, 1, &sum);
        branches[i].graph = inner;
    }
    struct value *y = make_node(graph, "If", "y", 1, &condition, 2, branches);
    infer_model *model = maker_finish(&maker, 1, &condition, 1, &y, NULL);
    ck_assert_uint_eq(infer_model_weight_bytes(model), sizeof weights);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* --- failures that pass ---------------------------------------------------------------------------------- */

struct failing {
    long calls, fail_at;
};

static void *allocate_but_once(void *user, size_t bytes, size_t alignment)
{
    struct failing *failing = user;
    return failing->calls++ == failing->fail_at ? NULL : default_allocator.allocate(NULL, bytes, alignment);
}

static void release_plainly(void *user, void *memory, size_t bytes)
{
    (void)user;
    default_allocator.release(NULL, memory, bytes);
}

static infer_status run_segments(struct running *r, int64_t n)
{
    const float x[7] = {1, -2, 3, 0, -5, 6, 7};
    struct results results = {.tensors = {{0}}};
    infer_tensor in = f32_tensor(x, 1, n, 0);
    infer_error error = {0};
    infer_status status = infer_run(r->context, &in, 1, results.tensors, 8, &error);
    if (status == INFER_OK)
        expect_segments(&results, x, n);
    return status;
}

/* One allocation fails in a run, whichever: the same context runs afterwards, and so does every other shape. */
START_TEST(a_context_runs_on_after_memory_was_short)
{
    for (long fail_at = 0;; fail_at++) {
        struct failing failing = {.fail_at = -1};
        infer_allocator allocator = {allocate_but_once, release_plainly, &failing};
        struct maker maker = maker_start();
        struct running r = running_begin(segments_model(&maker, &(infer_model_options){.allocator = &allocator}),
                                         &(infer_session_options){.threads = 1});
        failing = (struct failing){.fail_at = fail_at};
        infer_status status = run_segments(&r, 7);
        failing.fail_at = -1;
        for (int64_t n = 1; n <= 7; n++)
            ck_assert_int_eq(run_segments(&r, n), INFER_OK);
        running_end(&r, &maker);
        if (status == INFER_OK)
            break;
        ck_assert_int_eq(status, INFER_OUT_OF_MEMORY);
    }
}
END_TEST

Suite *runtime_edges_suite(void)
{
    Suite *suite = suite_create("runtime_edges");
    TCase *tests = tcase_create("runtime_edges");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, outputs_of_every_kind, 0, WAYS);
    tcase_add_loop_test(tests, the_last_outputs_may_be_left_out, 0, WAYS);
    tcase_add_loop_test(tests, what_reads_an_output_does_not_write_over_it, 0, WAYS);
    tcase_add_test(tests, a_result_may_not_lie_on_an_input);
    tcase_add_loop_test(tests, views_of_a_value_whose_content_is_known, 0, WAYS);
    tcase_add_loop_test(tests, an_empty_list_decides_a_shape, 0, WAYS);
    tcase_add_loop_test(tests, values_live_across_segments, 0, WAYS);
    tcase_add_loop_test(tests, an_observer_sees_a_view_once, 0, WAYS);
    tcase_add_loop_test(tests, an_if_in_a_loop, 0, WAYS);
    tcase_add_loop_test(tests, a_loop_in_a_loop, 0, WAYS);
    tcase_add_loop_test(tests, a_scan_along_axes_and_backwards, 0, WAYS);
    tcase_add_loop_test(tests, a_body_must_make_a_condition, 0, WAYS);
    tcase_add_loop_test(tests, a_branch_reads_nothing_absent, 0, WAYS);
    tcase_add_test(tests, weights_of_branches_count);
    tcase_add_test(tests, a_context_runs_on_after_memory_was_short);
    suite_add_tcase(suite, tests);
    return suite;
}
