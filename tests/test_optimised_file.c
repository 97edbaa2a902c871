/* What infer-convert --optimize makes of a graph: passes run once and for all, and the file says so. */
#include "formats/model_file.h"
#include "graph/passes/passes.h"
#include "runtime/session.h"
#include "tests/failing_allocator.h"
#include "tests/pass_test.h"
#include "tests/suites.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct maker maker;
static struct model_metadata metadata;

static void start(void)
{
    maker = maker_start();
    maker.graph = graph_create(&maker.region, "g");
    metadata = (struct model_metadata){.name = "", .producer = "", .description = ""};
}

static void finish(void)
{
    region_free(&maker.region);
}

static void set_edges(struct graph *graph, struct value *input, struct value *output)
{
    ck_assert(graph_set_inputs(graph, input != NULL, &input) && graph_set_outputs(graph, 1, &output));
}

/* Numbers between -1 and 1, other ones for each constant. */
static struct value *weights(struct graph *graph, const char *name, int rank, const int64_t *dims)
{
    int64_t count;
    ck_assert(shape_elements(rank, dims, &count));
    float *data = region_array(&maker.region, (size_t)count, sizeof *data);
    ck_assert_ptr_nonnull(data);
    for (int64_t i = 0; i < count; i++)
        data[i] = (float)((i * 7919 + graph->value_count * 104729) % 2003 - 1001) / 1001;
    return graph_add_constant(graph, name, DTYPE_F32, rank, dims, data);
}

static struct value *number(struct graph *graph, const char *name, float content)
{
    float *data = region_allocate(&maker.region, sizeof *data);
    ck_assert_ptr_nonnull(data);
    *data = content;
    return graph_add_constant(graph, name, DTYPE_F32, 0, NULL, data);
}

static void optimise(struct graph *graph)
{
    struct error error = {0};
    ck_assert_msg(optimise_once(graph, evaluator_of(&plain_evaluation), &metadata.passes, &metadata.pass_count,
                                &error) == STATUS_OK,
                  "%s", error.text);
}

static infer_model *store(const struct graph *graph, size_t *size)
{
    struct error error = {0};
    infer_error failure = {0};
    infer_model *model;
    void *bytes;
    ck_assert_msg(model_write(graph, &metadata, &maker.region, &bytes, size, &error) == STATUS_OK, "%s", error.text);
    ck_assert_msg(infer_model_open_memory(bytes, *size, "m", NULL, &model, &failure) == INFER_OK, "%s",
                  failure.message);
    return model;
}

/* The operators of a graph, in order and with blanks between. */
static void expect_ops(const struct graph *graph, const char *expected)
{
    char ops[200] = "";
    for (int i = 0; i < graph->node_count; i++) {
        strcat(ops, i ? " " : "");
        strcat(ops, graph->nodes[i]->op->name);
    }
    ck_assert_str_eq(ops, expected);
}

/* Of a session's graph, after the passes that it runs. */
static void expect_session_ops(infer_model *model, const char *expected)
{
    infer_session *session;
    infer_error error = {0};
    ck_assert_msg(infer_session_create(model, NULL, &session, &error) == INFER_OK, "%s", error.message);
    expect_ops(session->graph, expected);
    infer_session_release(session);
}

/* --- weights ------------------------------------------------------------------------------------------------ */

/* y = Mul(BatchNormalization(Conv(x, w)), 2), in which w has 864 KB: more than is folded when a model is opened, so
 * that the numbers of a channel become a Mul and an Add. */
static void large_conv(void)
{
    struct graph *graph = maker.graph;
    const int64_t x_dims[] = {1, 192, 5, 5}, w_dims[] = {128, 192, 3, 3}, channels[] = {128};
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 4, x_dims);
    struct value *inputs[5] = {make_node2(graph, "Conv", "conv", x, weights(graph, "w", 4, w_dims))};
    static const char *const names[] = {"scale", "bias", "mean", "variance"};
    for (int i = 0; i < 4; i++)
        inputs[i + 1] = weights(graph, names[i], 1, channels);
    float *variance = (float *)(uintptr_t)inputs[4]->data;
    for (int i = 0; i < 128; i++)
        variance[i] = fabsf(variance[i]) + 1;
    struct value *norm = make_node(graph, "BatchNormalization", "norm", 5, inputs, 0, NULL);
    set_edges(graph, x, make_node2(graph, "Mul", "y", norm, number(graph, "two", 2)));
}

#define Y_COUNT (128 * 3 * 3)

static void run_conv(infer_model *model, bool plain, float *y)
{
    float x[192 * 5 * 5];
    for (int i = 0; i < 192 * 5 * 5; i++)
        x[i] = (float)(i * 31 % 101 - 50) / 50;
    struct running running = running_begin(infer_model_retain(model), &(infer_session_options){.no_optimize = plain});
    infer_tensor input = {.data = x, .bytes = sizeof x, .dtype = INFER_FLOAT32, .rank = 4, .dims = {1, 192, 5, 5}};
    infer_tensor output = {.data = y, .bytes = Y_COUNT * sizeof *y};
    run_well(running.context, &input, 1, &output, 1);
    infer_context_release(running.context);
    infer_session_release(running.session);
}

/* A matrix of 8 bits is as large in the file as it was, and a session keeps it so. */
START_TEST(matrices_of_bytes_stay_narrow)
{
    struct graph *graph = maker.graph;
    int8_t integers[128 * 200];
    for (int i = 0; i < 128 * 200; i++)
        integers[i] = (int8_t)(i * 37 % 255 - 127);
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){3, 128});
    struct value *w = graph_add_constant(graph, "w", DTYPE_I8, 2, (int64_t[]){128, 200}, integers);
    const struct attribute to = ATTRIBUTE_I("to", DTYPE_F32);
    struct value *wide = make_node2(graph, "Mul", "wide", make_node(graph, "Cast", "cast", 1, &w, 1, &to),
                                    number(graph, "scale", 0.01F));
    size_t size;
    set_edges(graph, x, make_node2(graph, "MatMul", "y", x, wide));
    optimise(graph);
    expect_ops(graph, "Cast Mul MatMul");
    infer_model *model = store(graph, &size);
    ck_assert_uint_lt(size, 2 * sizeof integers);
    expect_session_ops(model, "MatMulScaled");
    infer_model_release(model);
}
END_TEST

START_TEST(weights_of_every_size_are_folded_and_written_once)
{
    static float plain[Y_COUNT], optimised[Y_COUNT], stored[Y_COUNT];
    size_t size, optimised_size;
    double largest = 0;
    large_conv();
    infer_model *model = store(maker.graph, &size);
    expect_session_ops(model, "Conv Mul Add");
    run_conv(model, true, plain);
    infer_model_release(model);

    optimise(maker.graph);
    model = store(maker.graph, &optimised_size);
    expect_ops(model->graph, "Conv");
    ck_assert_int_eq(model->graph->value_count, 4); /* x, weights, bias, y */
    ck_assert_uint_lt(optimised_size, size);
    ck_assert_uint_gt(optimised_size, 864 * 1024);
    run_conv(model, false, optimised);
    run_conv(model, true, stored); /* no passes: as it is stored */
    infer_model_release(model);
    for (int i = 0; i < Y_COUNT; i++)
        largest = fmax(largest, fabs((double)plain[i]));
    for (int i = 0; i < Y_COUNT; i++)
        ck_assert_msg(fabs((double)optimised[i] - (double)plain[i]) <= 1e-5 * largest, "%d: %.9g, not %.9g", i,
                      (double)optimised[i], (double)plain[i]);
    ck_assert_mem_eq(stored, optimised, sizeof stored);
}
END_TEST

START_TEST(a_node_keeps_the_names_of_all_it_stands_for)
{
    size_t size;
    large_conv();
    optimise(maker.graph);
    infer_model *model = store(maker.graph, &size);
    const struct node *node = model->graph->nodes[0];
    const char *const expected[] = {"y", "norm", "conv"};
    ck_assert_int_eq(node->source_count, 3);
    for (int i = 0; i < 3; i++) {
        bool found = false;
        for (int k = 0; k < 3; k++)
            found = found || strcmp(node->sources[k], expected[i]) == 0;
        ck_assert_msg(found, "%s is missing", expected[i]);
    }
    ck_assert_str_eq(node->outputs[0]->name, "y");
    infer_model_release(model);
}
END_TEST

START_TEST(what_nothing_reads_is_not_written)
{
    size_t size;
    struct graph *graph = maker.graph;
    const int64_t dims[] = {2, 1000};
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, dims);
    weights(graph, "unread", 2, dims);
    struct value *dead = make_node2(graph, "Add", "dead", x, weights(graph, "of the dead", 2, dims));
    make_node1(graph, "Relu", "dead too", dead);
    struct value *doubled = make_node2(graph, "Mul", "doubled", weights(graph, "w", 2, dims), number(graph, "two", 2));
    struct value *y = make_node2(graph, "Add", "y", x, doubled);
    set_edges(graph, x, y);
    optimise(graph);
    infer_model *model = store(graph, &size);
    expect_ops(model->graph, "Add");
    ck_assert_int_eq(model->graph->value_count, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(model->graph->values[i]->id, i);
    ck_assert_uint_eq(model->weight_bytes, 8000);
    infer_model_release(model);
}
END_TEST

/* --- what a file says of itself ------------------------------------------------------------------------------- */

/* y = Add(Identity(Conv(x, w)), b): passes make Conv of it. */
static void small_conv(void)
{
    struct graph *graph = maker.graph;
    const int64_t x_dims[] = {1, 2, 3, 3}, w_dims[] = {2, 2, 1, 1}, b_dims[] = {2, 1, 1};
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 4, x_dims);
    struct value *conv = make_node2(graph, "Conv", "conv", x, weights(graph, "w", 4, w_dims));
    struct value *same = make_node1(graph, "Identity", "same", conv);
    set_edges(graph, x, make_node2(graph, "Add", "y", same, weights(graph, "b", 3, b_dims)));
}

START_TEST(passes_that_a_file_has_been_through_do_not_run)
{
    static const char *const some[] = {"of another build", "identities", "fold-weights"};
    static const struct {
        int count;
        const char *ops;
    } cases[] = {{0, "Conv"}, {1, "Conv"}, {2, "Conv Identity Add"}, {3, "Conv Identity Add"}};
    size_t size;
    small_conv();
    metadata.passes = some;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        metadata.pass_count = cases[i].count;
        infer_model *model = store(maker.graph, &size);
        expect_session_ops(model, cases[i].ops);
        infer_model_release(model);
    }
    /* Without "identities" among them, that pass runs alone. */
    static const char *const all_but_identities[] = {"fold-weights", "constant-chains"};
    metadata.passes = all_but_identities;
    metadata.pass_count = 2;
    infer_model *model = store(maker.graph, &size);
    expect_session_ops(model, "Conv Add");
    infer_model_release(model);
}
END_TEST

START_TEST(every_pass_that_needs_no_shapes_is_named)
{
    size_t size;
    int at = 0;
    small_conv();
    optimise(maker.graph);
    infer_model *model = store(maker.graph, &size);
    for (const struct pass *pass = passes; pass->name; pass++)
        if (pass->times & PASS_ONCE)
            ck_assert_str_eq(model->metadata.passes[at++], pass->name);
    ck_assert_int_eq(model->metadata.pass_count, at);
    ck_assert_int_gt(at, 5);
    infer_model_release(model);
}
END_TEST

/* --- graphs inside -------------------------------------------------------------------------------------------- */

static struct graph *branch(const char *name, struct value **x)
{
    struct graph *graph = graph_create(&maker.region, name);
    *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){1});
    return graph;
}

/* y = If(flag) ? Relu(Identity(x)) + (1 + 2) : x + 1 / 0 in integers, which fails where it is computed. */
static void branching(void)
{
    static const int64_t one = 1, zero = 0;
    struct value *then_x, *other_x;
    struct graph *graph = maker.graph, *then = branch("then", &then_x), *other = branch("else", &other_x);
    struct value *relu = make_node1(then, "Relu", "relu", make_node1(then, "Identity", "same", then_x));
    struct value *three = make_node2(then, "Add", "three", number(then, "one", 1), number(then, "two", 2));
    set_edges(then, then_x, make_node2(then, "Add", "sum", relu, three));
    struct value *quotient =
        make_node2(other, "Div", "quotient", graph_add_constant(other, "n", DTYPE_I64, 0, NULL, &one),
                   graph_add_constant(other, "d", DTYPE_I64, 0, NULL, &zero));
    struct value *cast = make_node(other, "Cast", "cast", 1, &quotient, 1, &ATTRIBUTE_I("to", DTYPE_F32));
    set_edges(other, other_x, make_node2(other, "Add", "sum", other_x, cast));
    struct value *inputs[] = {graph_add_value(graph, "flag", DTYPE_BOOL, 0, NULL),
                              graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){1})};
    struct attribute attributes[] = {{.name = "then_branch", .kind = ATTRIBUTE_GRAPH, .graph = then},
                                     {.name = "else_branch", .kind = ATTRIBUTE_GRAPH, .graph = other}};
    struct value *y = make_node(graph, "If", "y", 2, inputs, 2, attributes);
    ck_assert(graph_set_inputs(graph, 2, inputs) && graph_set_outputs(graph, 1, &y));
}

START_TEST(graphs_inside_are_optimised_unless_they_cannot_be)
{
    size_t size;
    float x = 4;
    unsigned char flag = 1;
    infer_tensor inputs[] = {{.data = &flag, .bytes = 1, .dtype = INFER_BOOL}, f32_tensor(&x, 1, 1, 0)}, output = {0};
    infer_error error = {0};
    branching();
    optimise(maker.graph);
    infer_model *model = store(maker.graph, &size);
    const struct node *node = model->graph->nodes[0];
    expect_ops(node->attributes[0].graph, "Relu Add");
    expect_ops(node->attributes[1].graph, "Div Cast Add");
    ck_assert_int_eq(node->attributes[0].graph->value_count, 4);
    struct running running = running_begin(model, NULL);
    run_well(running.context, inputs, 2, &output, 1);
    expect_floats(&output, 1, (float[]){7});
    flag = 0;
    ck_assert_int_eq(infer_run(running.context, inputs, 2, &output, 1, &error), INFER_FAULT);
    infer_context_release(running.context);
    infer_session_release(running.session);
}
END_TEST

/* --- memory ----------------------------------------------------------------------------------------------------- */

START_TEST(no_memory_is_an_error_wherever_it_happens)
{
    enum status status = STATUS_OUT_OF_MEMORY;
    int points = 0;
    _i ? branching() : small_conv();
    for (; status != STATUS_OK; points++) {
        struct failing failing = {.allowed = points};
        struct allocator allocator = failing_allocator(&failing);
        struct region own;
        struct error error = {0};
        region_init(&own, &allocator);
        struct graph *copy = graph_clone(maker.graph, &own);
        status =
            copy ? optimise_once(copy, evaluator_of(&plain_evaluation), &metadata.passes, &metadata.pass_count, &error)
                 : STATUS_OUT_OF_MEMORY;
        ck_assert_msg(status == STATUS_OK || status == STATUS_OUT_OF_MEMORY, "%s", error.text);
        if (copy && status != STATUS_OK)
            ck_assert_msg(strstr(error.text, "out of memory") != NULL, "%s", error.text);
        region_free(&own);
        ck_assert_int_eq(failing.held, 0);
    }
    ck_assert_int_gt(points, 5);
}
END_TEST

Suite *optimised_file_suite(void)
{
    Suite *suite = suite_create("optimised_file");
    TCase *tests = tcase_create("optimised_file");
    tcase_add_checked_fixture(tests, start, finish);
    tcase_add_test(tests, weights_of_every_size_are_folded_and_written_once);
    tcase_add_test(tests, matrices_of_bytes_stay_narrow);
    tcase_add_test(tests, a_node_keeps_the_names_of_all_it_stands_for);
    tcase_add_test(tests, what_nothing_reads_is_not_written);
    tcase_add_test(tests, passes_that_a_file_has_been_through_do_not_run);
    tcase_add_test(tests, every_pass_that_needs_no_shapes_is_named);
    tcase_add_test(tests, graphs_inside_are_optimised_unless_they_cannot_be);
    tcase_add_loop_test(tests, no_memory_is_an_error_wherever_it_happens, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
