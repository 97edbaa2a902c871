/* What a run, a session and the bodies of control flow refuse, and the nearest that they take. */
#include "runtime/executor.h"
#include "tests/model_maker.h"
#include "tests/op_test.h"
#include "tests/suites.h"

#include <string.h>

/* --- If, Loop and Scan ----------------------------------------------------------------------------------- */

static const double zeros[64];
static const int64_t one = 1, two = 2;
static struct region region;

#define F32(rank, ...) TENSOR(DTYPE_F32, zeros, rank, __VA_ARGS__)
#define BODY(key, content)                                         \
    (struct attribute)                                             \
    {                                                              \
        .name = (key), .kind = ATTRIBUTE_GRAPH, .graph = (content) \
    }

static struct value *add(struct graph *graph, const char *name, enum dtype dtype, int rank)
{
    return graph_add_value(graph, name, dtype, rank, (int64_t[]){-1, -1, -1, -1});
}

/* Of x, as many times over as there are to be inputs and outputs. */
static const struct graph *branch(int inputs, int outputs)
{
    struct graph *graph = graph_create(&region, "branch");
    struct value *x[4], *y[4];
    for (int i = 0; i < inputs; i++)
        x[i] = add(graph, region_format(&region, "x%d", i), DTYPE_F32, -1);
    for (int i = 0; i < outputs; i++)
        y[i] = make_node1(graph, "Neg", region_format(&region, "y%d", i), x[0]);
    graph_set_inputs(graph, inputs, x);
    graph_set_outputs(graph, outputs, y);
    return graph;
}

START_TEST(branches_that_do_not_fit)
{
    static const uint8_t yes[2] = {1, 1};
    struct test_tensor inputs[] = {TENSOR(DTYPE_BOOL, yes, 1, 2), F32(1, 3)};
    region_init(&region, &default_allocator);
    const struct attribute both[] = {BODY("then_branch", branch(1, 1)), BODY("else_branch", branch(1, 1))};
    expect_refusal(STATUS_INVALID_MODEL, "its condition has 2 elements", "If", 2, inputs, 2, both);
    inputs[0].dims[0] = 1;
    expect_refusal(STATUS_INVALID_MODEL, "a branch is missing", "If", 2, inputs, 1, both + 1);
    const struct attribute wide[] = {BODY("then_branch", branch(2, 1)), BODY("else_branch", branch(1, 1))};
    expect_refusal(STATUS_INVALID_MODEL, "branch 'branch' has 2 inputs and 1 outputs; the node has 1 and 1", "If", 2,
                   inputs, 2, wide);
    const struct attribute empty[] = {BODY("then_branch", branch(1, 0)), BODY("else_branch", branch(1, 1))};
    expect_refusal(STATUS_INVALID_MODEL, "has 1 inputs and 0 outputs", "If", 2, inputs, 2, empty);
    const struct attribute more[] = {BODY("then_branch", branch(1, 2)), BODY("else_branch", branch(1, 1))};
    run_simple("If", 2, inputs, 2, more);
    region_free(&region);
}
END_TEST

/* (i, go, s) → (go, s, what the operator makes of s; NULL: s twice along the last axis; a type or none). */
static const struct graph *loop_body(const char *op, bool declared)
{
    const struct attribute last = ATTRIBUTE_I("axis", -1);
    struct graph *graph = graph_create(&region, "body");
    struct value *in[] = {add(graph, "i", DTYPE_I64, 0), add(graph, "go", DTYPE_BOOL, 0),
                          add(graph, "s", DTYPE_F32, -1)};
    struct value *next = op ? make_node1(graph, op, "next", in[2])
                            : make_node(graph, "Concat", "next", 2, (struct value *[]){in[2], in[2]}, 1, &last);
    struct value *shown = make_node1(graph, "Identity", "shown", in[2]);
    if (declared)
        make_declared(shown, 1, &two);
    graph_set_inputs(graph, 3, in);
    graph_set_outputs(graph, 3, (struct value *[]){in[1], next, shown});
    return graph;
}

#define TRIPS(count) TENSOR(DTYPE_I64, &(count), 0, 0)
#define GO TENSOR(DTYPE_BOOL, "\1", 0, 0)

START_TEST(loops_that_do_not_fit)
{
    region_init(&region, &default_allocator);
    const struct attribute body = BODY("body", loop_body("Neg", true));
    const struct test_tensor well[] = {TRIPS(one), GO, F32(1, 2)},
                             two_counts[] = {TENSOR(DTYPE_I64, zeros, 1, 2), GO, F32(1, 2)},
                             two_conditions[] = {TRIPS(one), TENSOR(DTYPE_BOOL, zeros, 1, 2), F32(1, 2)},
                             absent[] = {TRIPS(one), GO, ABSENT}, many[] = {TRIPS(one), GO, F32(1, 2), F32(1, 2)};
    expect_refusal(STATUS_INVALID_MODEL, "it has no body", "Loop", 3, well, 0, NULL);
    expect_refusal(STATUS_INVALID_MODEL, "its body has 3 inputs and 3 outputs; the node needs 3 and 2", "Loop", 3, well,
                   1, &body);
    expect_refusal(STATUS_INVALID_MODEL, "input 0 must have one element", "Loop", 3, two_counts, 1, &body);
    expect_refusal(STATUS_INVALID_MODEL, "input 1 must have one element", "Loop", 3, two_conditions, 1, &body);
    expect_refusal(STATUS_UNSUPPORTED, "carried input 0 is absent", "Loop", 3, absent, 1, &body);
    expect_refusal(STATUS_INVALID_MODEL, "it has 2 carried inputs and only 1 outputs", "Loop", 4, many, 1, &body);
    region_free(&region);
}
END_TEST

static enum status run_loop(const char *op, bool declared, int64_t trips, struct test_tensor *outputs,
                            struct error *error)
{
    region_init(&region, &default_allocator);
    const struct attribute body = BODY("body", loop_body(op, declared));
    const struct test_tensor inputs[] = {TRIPS(trips), GO, F32(2, 1, 2)};
    const struct op_call call = {.op = "Loop",
                                 .input_count = 3,
                                 .output_count = 2,
                                 .attribute_count = 1,
                                 .inputs = inputs,
                                 .outputs = outputs,
                                 .attributes = &body};
    enum status status = run_op_status(&call, error);
    region_free(&region);
    return status;
}

START_TEST(slices_have_one_shape)
{
    struct test_tensor outputs[2];
    struct error error = {0};
    ck_assert_int_eq(run_loop(NULL, false, 1, outputs, &error), STATUS_OK);
    ck_assert_int_eq(outputs[0].dims[1], 4);
    ck_assert_int_eq(run_loop(NULL, false, 2, outputs, &error), STATUS_FAULT);
    ck_assert_msg(strstr(error.text, "scan output 0 changes its shape in iteration 1"), "%s", error.text);
    ck_assert_int_eq(run_loop("Neg", false, 3, outputs, &error), STATUS_OK);
    ck_assert_int_eq(outputs[1].rank, 3);
    ck_assert_int_eq(outputs[1].dims[0], 3);
}
END_TEST

START_TEST(no_iteration_leaves_what_is_declared)
{
    struct test_tensor outputs[2];
    struct error error = {0};
    ck_assert_int_eq(run_loop("Neg", true, 0, outputs, &error), STATUS_OK);
    ck_assert_int_eq(outputs[1].dtype, DTYPE_F32);
    ck_assert(outputs[1].rank == 2 && outputs[1].dims[0] == 0 && outputs[1].dims[1] == 2);
    ck_assert_int_eq(run_loop("Neg", false, 0, outputs, &error), STATUS_UNSUPPORTED);
    ck_assert_msg(strstr(error.text, "it runs no iteration, and its body does not declare the type of 'shown'"), "%s",
                  error.text);
}
END_TEST

/* Hands on the slices of x, and of y where there are two inputs. */
static const struct graph *scan_body(int inputs, enum dtype dtype)
{
    struct graph *graph = graph_create(&region, "body");
    struct value *in[2], *y;
    for (int i = 0; i < inputs; i++)
        in[i] = add(graph, i ? "y" : "x", dtype, -1);
    y = make_node1(graph, "Identity", "same", in[0]);
    graph_set_inputs(graph, inputs, in);
    graph_set_outputs(graph, 1, &y);
    return graph;
}

static void expect_scan(enum status status, const char *text, int count, const struct test_tensor *inputs,
                        int64_t scanned, int64_t axis, int64_t output_axis)
{
    region_init(&region, &default_allocator);
    const struct attribute attributes[] = {
        BODY("body", scan_body(count, inputs->dtype)), ATTRIBUTE_I("num_scan_inputs", scanned),
        ATTRIBUTE_LIST("scan_input_axes", 1, &axis), ATTRIBUTE_LIST("scan_output_axes", 1, &output_axis)};
    if (text)
        expect_refusal(status, text, "Scan", count, inputs, 4, attributes);
    else
        run_simple("Scan", count, inputs, 4, attributes);
    region_free(&region);
}

START_TEST(scans_that_do_not_fit)
{
    const struct test_tensor x[] = {F32(1, 2), F32(1, 3)}, scalar[] = {F32(0, 0)}, same[] = {F32(1, 2), F32(2, 2, 1)},
                             nibbles[] = {TENSOR(DTYPE_I4, zeros, 1, 2)};
    expect_scan(STATUS_INVALID_MODEL, "num_scan_inputs is 0 for 1 inputs and 1 outputs", 1, x, 0, 0, 0);
    expect_scan(STATUS_INVALID_MODEL, "num_scan_inputs is 0 for 1 inputs and 1 outputs", 1, x, 2, 0, 0);
    expect_scan(STATUS_INVALID_MODEL, "scanned input 0 has no axis to scan", 1, scalar, 1, 0, 0);
    expect_scan(STATUS_UNSUPPORTED, "scanned input 0 is int4", 1, nibbles, 1, 0, 0);
    expect_scan(STATUS_INVALID_ARGUMENT, "scanned inputs have 2 and 3 slices", 2, x, 2, 0, 0);
    expect_scan(STATUS_OK, NULL, 2, same, 2, 0, 0);
    expect_scan(STATUS_UNSUPPORTED, "scan output 0 cannot be stacked along axis 1", 1, x, 1, 0, 1);
    expect_scan(STATUS_UNSUPPORTED, "scan output 0 cannot be stacked along axis -2", 1, x, 1, 0, -2);
    expect_scan(STATUS_OK, NULL, 1, x, 1, -1, -1);
}
END_TEST

/* --- sessions and runs ----------------------------------------------------------------------------------- */

/* y = -x of any rank, or of two axes that may be of any length. */
static infer_model *make_negation(struct maker *maker, int rank)
{
    *maker = maker_start();
    struct graph *graph = maker->graph = graph_create(&maker->region, "negation");
    struct value *x =
        graph_add_value(graph, "x", DTYPE_F32, rank, (int64_t[]){graph_symbol(graph, "n"), graph_symbol(graph, "m")});
    struct value *y = make_node1(graph, "Neg", "y", x);
    return maker_finish(maker, 1, &x, 1, &y, NULL);
}

START_TEST(options_of_sessions)
{
    static const struct {
        infer_session_options options;
        const char *text;
    } cases[] = {
        {{.cached_programs = -1}, "cached_programs is -1; it can be 0 to 65536"},
        {{.cached_programs = 65537}, "cached_programs is 65537"},
        {{.cached_programs = 65536}, NULL},
        {{.threads = -1}, "-1 threads were asked for"},
        {{.threads = EXECUTOR_MOST + 1}, "threads were asked for"},
        {{.isa = (infer_isa)(INFER_ISA_AVX512 + 1)}, "ISA number"},
        {{.isa = INFER_ISA_REFERENCE}, NULL},
        {{.gemm = (infer_gemm)2}, "gemm number 2 does not exist"},
        {{.factors = (infer_factors)4}, "factors number 4 do not exist"},
        {{.factors = (infer_factors)-1}, "factors number -1 do not exist"},
        {{.factors = INFER_FACTORS_TF32}, "the session runs on the CPU alone"},
        {{.device = (infer_device)2}, "device number 2 does not exist"},
    };
    struct maker maker;
    infer_model *model = make_negation(&maker, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        infer_session *session = NULL;
        infer_error error = {0};
        infer_status status = infer_session_create(model, &cases[i].options, &session, &error);
        ck_assert_msg(status == (cases[i].text ? INFER_INVALID_ARGUMENT : INFER_OK) &&
                          strstr(error.message, cases[i].text ? cases[i].text : ""),
                      "case %zu: '%s'", i, error.message);
        infer_session_release(session);
    }
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

static void expect_input(infer_context *context, infer_tensor input, size_t outputs, const char *text)
{
    infer_tensor results[2] = {{0}};
    infer_error error = {0};
    infer_status status = infer_run(context, &input, 1, results, outputs, &error);
    ck_assert_msg(status == (text ? INFER_INVALID_ARGUMENT : INFER_OK) && strstr(error.message, text ? text : ""),
                  "'%s', not '%s'", error.message, text);
}

START_TEST(shapes_of_inputs)
{
    static const float data[4];
    struct maker maker;
    struct running r = running_begin(make_negation(&maker, -1), NULL);
    infer_tensor input = {.data = (void *)(uintptr_t)data, .bytes = sizeof data, .dtype = INFER_FLOAT32};
    for (int i = 0; i < INFER_MAX_RANK; i++)
        input.dims[i] = 1;
    for (input.rank = 0; input.rank <= INFER_MAX_RANK; input.rank++)
        expect_input(r.context, input, 1, NULL);
    expect_input(r.context, input, 1, "input 'x' has rank 9; it can be 0 to 8");
    input.rank = -1;
    expect_input(r.context, input, 1, "input 'x' has rank -1; it can be 0 to 8");
    running_end(&r, &maker);

    r = running_begin(make_negation(&maker, 2), NULL);
    input.rank = 2;
    input.dims[0] = 4;
    expect_input(r.context, input, 1, NULL);
    expect_input(r.context, input, 2, "2 outputs are asked for; the model has 1");
    input.dims[0] = 5;
    expect_input(r.context, input, 1, "input 'x' has 16 bytes; its shape needs 20");
    input.dims[0] = -1;
    expect_input(r.context, input, 1, "the model takes");
    input.dims[0] = input.dims[1] = INT64_MAX;
    expect_input(r.context, input, 1, "its type and dimensions do not make a tensor");
    input.dims[0] = 0;
    input.data = NULL;
    input.bytes = 0;
    input.dims[1] = 3;
    expect_input(r.context, input, 1, NULL);
    running_end(&r, &maker);
}
END_TEST

START_TEST(bytes_of_tensors)
{
    const int64_t dims[INFER_MAX_RANK + 1] = {2, 3, 1, 1, 1, 1, 1, 1, 1}, large[] = {INT64_MAX, 2};
    ck_assert_uint_eq(infer_tensor_bytes(INFER_FLOAT32, 2, dims), 24);
    ck_assert_uint_eq(infer_tensor_bytes(INFER_FLOAT32, 0, NULL), 4);
    ck_assert_uint_eq(infer_tensor_bytes(INFER_FLOAT32, INFER_MAX_RANK, dims), 24);
    ck_assert_uint_eq(infer_tensor_bytes(INFER_FLOAT32, INFER_MAX_RANK + 1, dims), SIZE_MAX);
    ck_assert_uint_eq(infer_tensor_bytes(INFER_FLOAT32, -1, dims), SIZE_MAX);
    ck_assert_uint_eq(infer_tensor_bytes(INFER_FLOAT32, 1, NULL), SIZE_MAX);
    ck_assert_uint_eq(infer_tensor_bytes(INFER_NONE, 1, dims), SIZE_MAX);
    ck_assert_uint_eq(infer_tensor_bytes(INFER_FLOAT32, 2, large), SIZE_MAX);
    ck_assert_int_eq(infer_input(NULL, INFER_FLOAT32, INFER_MAX_RANK, dims).dims[1], 3);
    ck_assert_str_eq(infer_status_name(INFER_DEVICE_ERROR), "device");
    ck_assert_str_eq(infer_status_name((infer_status)(INFER_DEVICE_ERROR + 1)), "unknown");
    ck_assert_str_eq(infer_status_name((infer_status)-1), "unknown");
}
END_TEST

Suite *runtime_refused_suite(void)
{
    Suite *suite = suite_create("runtime_refused");
    TCase *tests = tcase_create("refused");
    tcase_add_test(tests, branches_that_do_not_fit);
    tcase_add_test(tests, loops_that_do_not_fit);
    tcase_add_test(tests, slices_have_one_shape);
    tcase_add_test(tests, no_iteration_leaves_what_is_declared);
    tcase_add_test(tests, scans_that_do_not_fit);
    tcase_add_test(tests, options_of_sessions);
    tcase_add_test(tests, shapes_of_inputs);
    tcase_add_test(tests, bytes_of_tensors);
    suite_add_tcase(suite, tests);
    return suite;
}
