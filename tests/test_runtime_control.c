/* Graphs inside graphs: If in Loop, Loop in Loop, Scan along axes and backwards, and bodies that break the rules. */
#include "tests/counting_allocator.h"
#include "tests/model_maker.h"
#include "tests/suites.h"

#include <math.h>
#include <string.h>

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
    struct running r = begin_way(maker_finish(&maker, 2, (struct value *[]){trip, x}, 3, out, NULL), _i);
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
        run_way(&r, _i, in, 2, &results, 3);
        expect_floats(&results.tensors[0], n, a);
        expect_floats(&results.tensors[1], n, b);
        expect_floats(&results.tensors[2], times * n, stacked);
    }
    running_end(&r, &maker);
}
END_TEST

/* Results and state change places after each iteration, so an odd number of them leaves both elsewhere. */
START_TEST(a_loop_that_ran_before_allocates_nothing)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "loop");
    struct value *trip = scalar(graph, "trip", DTYPE_I64), *x = list(graph, "x"), *out[3] = {NULL};
    make_control(graph, "Loop", 4, (struct value *[]){trip, NULL, x, x}, 3, out, if_body(&maker.region), 0, NULL);
    infer_model *model =
        maker_finish(&maker, 2, (struct value *[]){trip, x}, 3, out, &(infer_model_options){.allocator = &allocator});
    struct running r = running_begin(model, NULL);
    const float x0[2] = {-1, 2};
    int64_t times = _i;
    long calls = 0;
    for (int run = 0; run < 5; run++) {
        infer_tensor in[2] = {i64_tensor(&times, 0, 0), f32_tensor(x0, 1, 2, 0)}, results[3] = {{0}};
        run_well(r.context, in, 2, results, 3);
        if (run == 0)
            calls = atomic_load(&counting.calls);
        ck_assert_int_eq(atomic_load(&counting.calls), calls);
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
    struct running r = begin_way(maker_finish(&maker, 2, (struct value *[]){trip, x}, 5, outputs, NULL), _i);
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
        run_way(&r, _i, in, 2, &results, 5);
        expect_floats(&results.tensors[0], n, state);
        expect_floats(&results.tensors[1], times * n, slices);
        expect_floats(&results.tensors[2], n, first);
        expect_floats(&results.tensors[3], n, sum);
        expect_floats(&results.tensors[4], n, state);
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
    struct running r = begin_way(maker_finish(&maker, 3, in, 3, out, NULL), _i);
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
        run_way(&r, _i, tensors, 3, &results, 3);
        expect_floats(&results.tensors[0], 2, state);
        expect_floats(&results.tensors[1], 2 * t, states);
        expect_floats(&results.tensors[2], 2 * t, slices);
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
    struct running r = begin_way(maker_finish(&maker, 1, &x, 1, out, NULL), _i);
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
    struct error error = {0};
    graph_set_inputs(graph, 1, &condition);
    graph_set_outputs(graph, 1, &y);
    ck_assert_int_eq(graph_validate(graph, &error), STATUS_INVALID_MODEL);
    ck_assert_str_eq(error.text, "node 'y' (If): input 1 is missing");
    region_free(&maker.region);
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

Suite *runtime_control_suite(void)
{
    Suite *suite = suite_create("runtime_control");
    TCase *tests = tcase_create("runtime_control");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, an_if_in_a_loop, 0, WAYS);
    tcase_add_loop_test(tests, a_loop_that_ran_before_allocates_nothing, 0, 5);
    tcase_add_loop_test(tests, a_loop_in_a_loop, 0, WAYS);
    tcase_add_loop_test(tests, a_scan_along_axes_and_backwards, 0, WAYS);
    tcase_add_loop_test(tests, a_body_must_make_a_condition, 0, WAYS);
    tcase_add_test(tests, a_branch_reads_nothing_absent);
    tcase_add_test(tests, weights_of_branches_count);
    suite_add_tcase(suite, tests);
    return suite;
}
