/* Runs that are ended before their time: cancelled, past a deadline, past a limit on their work. */
#include "tests/counting_allocator.h"
#include "tests/model_maker.h"
#include "tests/suites.h"

#include "kernels/kernel.h"
#include "runtime/session.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long after the fact a run may go on: seconds that its thread works, since the machine may be busy. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SOON 1.0
#else
#define SOON 0.05
#endif

static double seconds_of(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static double worked(void)
{
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

static struct value *add_control(struct graph *graph, const char *op, int input_count, struct value *const *inputs,
                                 const struct graph *body, int extra_count, const struct attribute *extra)
{
    struct attribute attributes[4] = {{.name = "body", .kind = ATTRIBUTE_GRAPH, .graph = body}};
    for (int i = 0; i < extra_count; i++)
        attributes[1 + i] = extra[i];
    struct value *out = graph_add_value(graph, "y", DTYPE_NONE, -1, NULL);
    graph_add_node(graph, op_find("", op), NEWEST_OPSET, op, input_count, inputs, 1, &out, 1 + extra_count, attributes);
    return out;
}

/* state' = state + state, for as long as the trip count says. */
static const struct graph *doubling_body(struct region *region)
{
    struct graph *body = graph_create(region, "body");
    struct value *in[] = {graph_add_value(body, "i", DTYPE_I64, 0, NULL),
                          graph_add_value(body, "go", DTYPE_BOOL, 0, NULL),
                          graph_add_value(body, "state", DTYPE_F32, 1, (int64_t[]){4})};
    struct value *out[] = {in[1], make_node2(body, "Add", "next", in[2], in[2])};
    graph_set_inputs(body, 3, in);
    graph_set_outputs(body, 2, out);
    return body;
}

static infer_model *loop_model(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "loop");
    struct value *in[] = {graph_add_value(graph, "trip", DTYPE_I64, 0, NULL),
                          graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){4})};
    struct value *y =
        add_control(graph, "Loop", 3, (struct value *[]){in[0], NULL, in[1]}, doubling_body(&maker->region), 0, NULL);
    return maker_finish(maker, 2, in, 1, &y, options);
}

/* Loops so often that it ends in any time only where it is stopped. */
static infer_status run_loop(infer_context *context, int64_t trips, infer_error *error)
{
    static const float x[4] = {1, 2, 3, 4};
    infer_tensor in[2] = {i64_tensor(&trips, 0, 0), f32_tensor(x, 1, 4, 0)}, out = {0};
    infer_status status = infer_run(context, in, 2, &out, 1, error);
    if (status == INFER_OK)
        expect_floats(
            &out, 4,
            (float[]){ldexpf(1, (int)trips), ldexpf(2, (int)trips), ldexpf(3, (int)trips), ldexpf(4, (int)trips)});
    return status;
}

struct canceller {
    infer_context *context;
    useconds_t delay;
    clockid_t clock; /* of the thread that runs */
    double at;       /* by it */
    pthread_t thread;
};

static void *cancel_later(void *user)
{
    struct canceller *canceller = user;
    usleep(canceller->delay);
    canceller->at = seconds_of(canceller->clock);
    infer_context_cancel(canceller->context);
    return NULL;
}

static void cancel_soon(struct canceller *canceller, infer_context *context)
{
    *canceller = (struct canceller){.context = context, .delay = 20000};
    ck_assert_int_eq(pthread_getcpuclockid(pthread_self(), &canceller->clock), 0);
    ck_assert_int_eq(pthread_create(&canceller->thread, NULL, cancel_later, canceller), 0);
}

static void expect_cancelled_soon(struct canceller *canceller)
{
    double end = worked();
    pthread_join(canceller->thread, NULL);
    ck_assert_double_lt(end - canceller->at, SOON);
}

START_TEST(a_loop_without_end_is_cancelled)
{
    struct maker maker = maker_start();
    struct running r = running_begin(loop_model(&maker, NULL), &(infer_session_options){.threads = 1 + _i});
    for (int round = 0; round < 3; round++) {
        struct canceller canceller;
        infer_error error = {0};
        ck_assert_int_eq(run_loop(r.context, 3, &error), INFER_OK);
        cancel_soon(&canceller, r.context);
        ck_assert_int_eq(run_loop(r.context, INT64_MAX, &error), INFER_CANCELLED);
        expect_cancelled_soon(&canceller);
        ck_assert_msg(strstr(error.message, "the run was cancelled at node '") != NULL, "%s", error.message);
        ck_assert_int_eq(run_loop(r.context, 5, &error), INFER_OK);
    }
    running_end(&r, &maker);
}
END_TEST

/* A cancel while no run is under way is for the next one, and for that alone. */
START_TEST(a_cancel_is_for_one_run)
{
    struct maker maker = maker_start();
    struct running r = running_begin(loop_model(&maker, NULL), NULL);
    infer_error error = {0};
    ck_assert_int_eq(run_loop(r.context, 1, &error), INFER_OK);
    for (int round = 0; round < 3; round++) {
        infer_context_cancel(r.context);
        infer_context_cancel(r.context);
        ck_assert_int_eq(run_loop(r.context, 1, &error), INFER_CANCELLED);
        ck_assert_str_eq(error.message, "the run was cancelled at node 'Loop' (Loop)");
        ck_assert_int_eq(run_loop(r.context, 1, &error), INFER_OK);
    }
    infer_context_cancel(NULL);
    running_end(&r, &maker);
}
END_TEST

START_TEST(a_loop_without_end_meets_its_deadline)
{
    struct maker maker = maker_start();
    struct running r =
        running_begin(loop_model(&maker, NULL), &(infer_session_options){.run_limits = {.seconds = 0.02}});
    for (int round = 0; round < 2; round++) {
        infer_error error = {0};
        double start = seconds_of(CLOCK_MONOTONIC), before = worked();
        ck_assert_int_eq(run_loop(r.context, INT64_MAX, &error), INFER_DEADLINE);
        ck_assert_double_lt(worked() - before, 0.02 + SOON);
        ck_assert_double_ge(seconds_of(CLOCK_MONOTONIC) - start, 0.02);
        ck_assert_msg(strstr(error.message, "the run was given 0.02 s, which ended ") != NULL, "%s", error.message);
        ck_assert_int_eq(infer_context_limit(r.context, &(infer_run_limits){.seconds = 1e300}, NULL), INFER_OK);
        ck_assert_int_eq(run_loop(r.context, 5, &error), INFER_OK);
        ck_assert_int_eq(infer_context_limit(r.context, NULL, NULL), INFER_OK);
        ck_assert_int_eq(run_loop(r.context, 6, &error), INFER_OK);
        ck_assert_int_eq(infer_context_limit(r.context, &(infer_run_limits){.seconds = 0.02}, NULL), INFER_OK);
    }
    running_end(&r, &maker);
}
END_TEST

START_TEST(turns_are_counted)
{
    struct maker maker = maker_start();
    struct running r =
        running_begin(loop_model(&maker, NULL), &(infer_session_options){.run_limits = {.loop_turns = 1000}});
    infer_error error = {0};
    double start = worked();
    ck_assert_int_eq(run_loop(r.context, INT64_MAX, &error), INFER_WORK_LIMIT);
    ck_assert_double_lt(worked() - start, SOON);
    ck_assert_int_eq(run_loop(r.context, 1001, &error), INFER_WORK_LIMIT);
    ck_assert_str_eq(error.message, "node 'Loop' (Loop) passes the run's limit of 1,000 loop turns");
    ck_assert_int_eq(infer_context_limit(r.context, &(infer_run_limits){.loop_turns = 7}, NULL), INFER_OK);
    ck_assert_int_eq(run_loop(r.context, 7, &error), INFER_OK);
    ck_assert_int_eq(run_loop(r.context, 7, &error), INFER_OK);
    ck_assert_int_eq(run_loop(r.context, 8, &error), INFER_WORK_LIMIT);
    running_end(&r, &maker);
}
END_TEST

/* An addition of 4 elements a turn: from 8 to 24. */
START_TEST(work_in_a_body_is_counted)
{
    struct maker maker = maker_start();
    struct running r = running_begin(loop_model(&maker, NULL), NULL);
    infer_error error = {0};
    uint64_t turns = 0;
    for (uint64_t allowed = 1; allowed <= 512; allowed *= 2) {
        infer_run_limits limits = {.multiply_adds = allowed};
        ck_assert_int_eq(infer_context_limit(r.context, &limits, NULL), INFER_OK);
        while (run_loop(r.context, (int64_t)turns + 1, &error) == INFER_OK)
            turns++;
        ck_assert_int_eq(error.status, INFER_WORK_LIMIT);
        ck_assert_msg(turns >= allowed / 24 && turns <= allowed / 8, "%d turns at %d", (int)turns, (int)allowed);
    }
    ck_assert_msg(strstr(error.message, " multiply-adds; its limit is 512") != NULL, "%s", error.message);
    running_end(&r, &maker);
}
END_TEST

START_TEST(limits_that_are_none_are_refused)
{
    static const double bad[] = {-1, -INFINITY, NAN};
    struct maker maker = maker_start();
    infer_model *model = infer_model_retain(loop_model(&maker, NULL));
    struct running r = running_begin(model, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        infer_session *session;
        infer_error error = {0};
        infer_session_options options = {.run_limits = {.seconds = bad[i]}};
        ck_assert_int_eq(infer_session_create(model, &options, &session, &error), INFER_INVALID_ARGUMENT);
        ck_assert_ptr_null(session);
        ck_assert_int_eq(infer_context_limit(r.context, &options.run_limits, &error), INFER_INVALID_ARGUMENT);
        ck_assert_ptr_nonnull(strstr(error.message, "seconds; it can be 0 (no limit) or more"));
    }
    ck_assert_int_eq(run_loop(r.context, 4, NULL), INFER_OK);
    infer_model_release(model);
    running_end(&r, &maker);
}
END_TEST

/* An input of (2^40, 0) has no byte and makes so many turns. */
static infer_model *scan_model(struct maker *maker)
{
    struct graph *body = graph_create(&maker->region, "body");
    struct value *slice = graph_add_value(body, "slice", DTYPE_F32, 1, (int64_t[]){graph_symbol(body, "M")});
    struct value *made = make_node1(body, "Neg", "made", slice);
    graph_set_inputs(body, 1, &slice);
    graph_set_outputs(body, 1, &made);
    struct graph *graph = maker->graph = graph_create(&maker->region, "scan");
    struct value *x =
        graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){graph_symbol(graph, "N"), graph_symbol(graph, "M")});
    const struct attribute count = {.name = "num_scan_inputs", .kind = ATTRIBUTE_INT, .i = 1};
    struct value *y = add_control(graph, "Scan", 1, &x, body, 1, &count);
    return maker_finish(maker, 1, &x, 1, &y, NULL);
}

START_TEST(a_scan_over_nothing_ends)
{
    static const struct {
        infer_run_limits limits;
        infer_status status;
    } ways[] = {
        {{.seconds = 0.02}, INFER_DEADLINE},
        {{.loop_turns = 1000}, INFER_WORK_LIMIT},
        {{.multiply_adds = 1000}, INFER_WORK_LIMIT},
    };
    struct maker maker = maker_start();
    struct running r = running_begin(scan_model(&maker), NULL);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        infer_error error = {0};
        infer_tensor in = f32_tensor(NULL, 2, (int64_t)1 << 40, 0), out = {0};
        double start = worked();
        ck_assert_int_eq(infer_context_limit(r.context, &ways[i].limits, NULL), INFER_OK);
        ck_assert_int_eq(infer_run(r.context, &in, 1, &out, 1, &error), ways[i].status);
        ck_assert_double_lt(worked() - start, ways[i].limits.seconds + SOON);
        in = f32_tensor((float[]){1, 2}, 2, 2, 1);
        run_well(r.context, &in, 1, &out, 1);
        expect_floats(&out, 2, (float[]){-1, -2});
    }
    running_end(&r, &maker);
}
END_TEST

/* So many samples in a bin that one task takes minutes. */
static infer_model *roi_model(struct maker *maker)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "roi");
    struct value *in[] = {graph_add_value(graph, "x", DTYPE_F32, 4, (int64_t[]){1, 1, 8, 8}),
                          graph_add_value(graph, "regions", DTYPE_F32, 2, (int64_t[]){1, 4}),
                          graph_add_value(graph, "batch", DTYPE_I64, 1, (int64_t[]){1})};
    const struct attribute samples = {.name = "sampling_ratio", .kind = ATTRIBUTE_INT, .i = 65536};
    struct value *y = make_node(graph, "RoiAlign", "y", 3, in, 1, &samples);
    return maker_finish(maker, 3, in, 1, &y, NULL);
}

static infer_status run_roi(infer_context *context, infer_error *error)
{
    static const float x[64] = {1}, regions[4] = {0, 0, 4, 4};
    static const int64_t batch = 0;
    infer_tensor in[3] = {f32_tensor(x, 4, 1, 1), f32_tensor(regions, 2, 1, 4), i64_tensor(&batch, 1, 1)}, out = {0};
    in[0].dims[2] = in[0].dims[3] = 8;
    in[0].bytes = sizeof x;
    return infer_run(context, in, 3, &out, 1, error);
}

START_TEST(a_long_task_ends_within)
{
    struct maker maker = maker_start();
    struct running r = running_begin(roi_model(&maker), &(infer_session_options){.run_limits = {.seconds = 0.05}});
    infer_error error = {0};
    double start = worked();
    ck_assert_int_eq(run_roi(r.context, &error), INFER_DEADLINE);
    ck_assert_double_lt(worked() - start, 0.05 + SOON);
    ck_assert_msg(strstr(error.message, "the run was given 0.05 s, which ended ") != NULL, "%s", error.message);

    ck_assert_int_eq(infer_context_limit(r.context, NULL, NULL), INFER_OK);
    struct canceller canceller;
    cancel_soon(&canceller, r.context);
    ck_assert_int_eq(run_roi(r.context, &error), INFER_CANCELLED);
    expect_cancelled_soon(&canceller);

    ck_assert_int_eq(infer_context_limit(r.context, &(infer_run_limits){.multiply_adds = UINT64_C(10000000000)}, NULL),
                     INFER_OK);
    start = worked();
    ck_assert_int_eq(run_roi(r.context, &error), INFER_WORK_LIMIT);
    ck_assert_double_lt(worked() - start, SOON);
    ck_assert_str_eq(error.message,
                     "with node 'y' (RoiAlign) the run comes to 1.72e+10 multiply-adds; its limit is 10,000,000,000");
    running_end(&r, &maker);
}
END_TEST

/* The same over constants, one node for each number of samples: y, z. */
static infer_model *constant_roi_model(struct maker *maker, int count, const int64_t *samples)
{
    static const char *const names[] = {"y", "z"};
    static const float x[64] = {1}, regions[4] = {0, 0, 4, 4};
    static const int64_t batch = 0;
    struct graph *graph = maker->graph = graph_create(&maker->region, "constants");
    struct value *in[] = {graph_add_constant(graph, "x", DTYPE_F32, 4, (int64_t[]){1, 1, 8, 8}, x),
                          graph_add_constant(graph, "regions", DTYPE_F32, 2, (int64_t[]){1, 4}, regions),
                          graph_add_constant(graph, "batch", DTYPE_I64, 1, (int64_t[]){1}, &batch)};
    struct value *outputs[2];
    for (int i = 0; i < count; i++) {
        const struct attribute ratio = {.name = "sampling_ratio", .kind = ATTRIBUTE_INT, .i = samples[i]};
        outputs[i] = make_node(graph, "RoiAlign", names[i], 3, in, 1, &ratio);
    }
    return maker_finish(maker, 0, NULL, count, outputs, NULL);
}

/* Makes a session and its program: constants are folded with the first or, without optimisation, with the second. */
static infer_status fold(infer_model *model, bool no_optimize, uint64_t multiply_adds, infer_error *error)
{
    infer_session_options options = {.no_optimize = no_optimize, .run_limits = {.multiply_adds = multiply_adds}};
    infer_session *session;
    infer_status status = infer_session_create(model, &options, &session, error);
    if (status == INFER_OK)
        status = infer_session_prepare(session, NULL, 0, NULL, error);
    infer_session_release(session);
    return status;
}

START_TEST(constants_are_bounded)
{
    struct maker maker = maker_start();
    infer_model *model = constant_roi_model(&maker, 1, (int64_t[]){65536});
    for (int no_optimize = 0; no_optimize < 2; no_optimize++) {
        infer_error error = {0};
        ck_assert_int_eq(fold(model, no_optimize, 10000000000, &error), INFER_WORK_LIMIT);
        ck_assert_msg(strstr(error.message, "its constant result brings the work of all that is folded to 1.72e+10 "
                                            "multiply-adds; the limit is 1e+10") != NULL,
                      "%s", error.message);
    }
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* One tree that is a chain: a row takes DEPTH comparisons, an entry of a leaf and a target. */
START_TEST(trees_count_to_their_depth)
{
    enum { DEPTH = 300, NODES = DEPTH + 1 };
    static int64_t zeros[NODES], numbers[NODES], yes[NODES], no[NODES];
    static float splits[NODES];
    static const char *modes[NODES];
    for (int i = 0; i < NODES; i++) {
        numbers[i] = i;
        yes[i] = i + 1;
        no[i] = DEPTH;
        modes[i] = i < DEPTH ? "BRANCH_LEQ" : "LEAF";
    }
    const struct attribute attributes[] = {
        {.name = "nodes_treeids", .kind = ATTRIBUTE_INTS, .count = NODES, .ints = zeros},
        {.name = "nodes_nodeids", .kind = ATTRIBUTE_INTS, .count = NODES, .ints = numbers},
        {.name = "nodes_featureids", .kind = ATTRIBUTE_INTS, .count = NODES, .ints = zeros},
        {.name = "nodes_truenodeids", .kind = ATTRIBUTE_INTS, .count = NODES, .ints = yes},
        {.name = "nodes_falsenodeids", .kind = ATTRIBUTE_INTS, .count = NODES, .ints = no},
        {.name = "nodes_values", .kind = ATTRIBUTE_FLOATS, .count = NODES, .floats = splits},
        {.name = "nodes_modes", .kind = ATTRIBUTE_STRINGS, .count = NODES, .strings = modes},
        {.name = "target_treeids", .kind = ATTRIBUTE_INTS, .count = 1, .ints = zeros},
        {.name = "target_nodeids", .kind = ATTRIBUTE_INTS, .count = 1, .ints = numbers + DEPTH},
        {.name = "target_ids", .kind = ATTRIBUTE_INTS, .count = 1, .ints = zeros},
        {.name = "target_weights", .kind = ATTRIBUTE_FLOATS, .count = 1, .floats = (float[]){5}},
        {.name = "n_targets", .kind = ATTRIBUTE_INT, .i = 1},
    };
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "trees");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){1, 1});
    struct value *y = graph_add_value(graph, "y", DTYPE_NONE, -1, NULL);
    graph_add_node(graph, op_find("ai.onnx.ml", "TreeEnsembleRegressor"), 3, "chain", 1, &x, 1, &y,
                   sizeof attributes / sizeof attributes[0], attributes);
    struct running r = running_begin(maker_finish(&maker, 1, &x, 1, &y, NULL), NULL);
    for (uint64_t enough = 0; enough < 2; enough++) {
        infer_run_limits limits = {.multiply_adds = DEPTH + 1 + enough};
        infer_tensor in = f32_tensor((float[]){0}, 2, 1, 1), out = {0};
        ck_assert_int_eq(infer_context_limit(r.context, &limits, NULL), INFER_OK);
        ck_assert_int_eq(infer_run(r.context, &in, 1, &out, 1, NULL), enough ? INFER_OK : INFER_WORK_LIMIT);
        if (enough)
            expect_floats(&out, 1, (float[]){5});
    }
    running_end(&r, &maker);
}
END_TEST

/* Each of two constants would do; what is folded counts together. */
START_TEST(all_that_is_folded_is_bounded_together)
{
    struct maker maker = maker_start();
    infer_model *model = constant_roi_model(&maker, 2, (int64_t[]){1024, 1000});
    for (int way = 0; way < 4; way++) {
        bool enough = way & 1;
        infer_error error = {0};
        ck_assert_int_eq(fold(model, way & 2, enough ? 10000000 : 6000000, &error),
                         enough ? INFER_OK : INFER_WORK_LIMIT);
        ck_assert(enough || strstr(error.message, "node 'z'"));
    }
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

START_TEST(the_hostile_preset_has_bounds)
{
    infer_model_options model = {.trust_weights = true};
    infer_session_options session = {.threads = 9};
    infer_options_hostile(NULL, NULL);
    infer_options_hostile(&model, &session);
    ck_assert(!model.trust_weights && model.memory_limit == (size_t)1 << 30);
    ck_assert(session.threads == 0 && session.memory_limit == (size_t)1 << 30);
    ck_assert(session.run_limits.seconds == 10 && session.run_limits.multiply_adds == UINT64_C(1000000000000) &&
              session.run_limits.loop_turns == 1000000);
    struct maker maker = maker_start();
    session.run_limits.seconds = 0.1; /* enough for a test */
    struct running r = running_begin(loop_model(&maker, &model), &session);
    ck_assert_int_eq(run_loop(r.context, INT64_MAX, NULL), INFER_DEADLINE);
    ck_assert_int_eq(run_loop(r.context, 9, NULL), INFER_OK);
    running_end(&r, &maker);
}
END_TEST

#define SIDE 160

static float product_x[SIDE * SIDE], product_y[SIDE * SIDE];

/* A row of square products, each cut into tasks. */
static infer_model *products_model(struct maker *maker, int count)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "products");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){SIDE, SIDE}), *y = x;
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "y%d", i);
        y = make_node2(graph, "MatMul", region_string(&maker->region, name), y, x);
    }
    return maker_finish(maker, 1, &x, 1, &y, NULL);
}

/* Then no program is kept, and the next run makes it. */
START_TEST(making_a_program_is_part_of_the_run)
{
    struct maker maker = maker_start();
    struct running r = running_begin(products_model(&maker, 50), &(infer_session_options){.threads = 1});
    infer_tensor in = f32_tensor(product_x, 2, SIDE, SIDE), out = {0};
    infer_error error = {0};
    for (int round = 0; round < 2; round++) {
        infer_context_cancel(r.context);
        ck_assert_int_eq(infer_run(r.context, &in, 1, &out, 1, &error), INFER_CANCELLED);
        ck_assert_str_eq(error.message, "the run was cancelled while its program was made");
        ck_assert_int_eq(infer_context_limit(r.context, &(infer_run_limits){.seconds = 1e-9}, NULL), INFER_OK);
        ck_assert_int_eq(infer_run(r.context, &in, 1, &out, 1, &error), INFER_DEADLINE);
        ck_assert_str_eq(error.message, "the run was given 1e-09 s, which ended while its program was made");
        ck_assert_int_eq(infer_context_limit(r.context, NULL, NULL), INFER_OK);
        ck_assert_int_eq(r.session->cache.count, 0);
    }
    run_well(r.context, &in, 1, &out, 1);
    running_end(&r, &maker);
}
END_TEST

/* A deadline that is too short for making programs is none for preparing them. */
START_TEST(preparing_is_not_timed)
{
    struct maker maker = maker_start();
    infer_session_options options = {.threads = 1, .run_limits = {.seconds = 1e-9}};
    struct running r = running_begin(products_model(&maker, 50), &options);
    infer_tensor in = f32_tensor(product_x, 2, SIDE, SIDE), out = {0};
    infer_error error = {0};
    ck_assert_int_eq(infer_session_prepare(r.session, &in, 1, NULL, NULL), INFER_OK);
    ck_assert_int_eq(infer_run(r.context, &in, 1, &out, 1, &error), INFER_DEADLINE);
    ck_assert_str_eq(error.message, "the run was given 1e-09 s, which ended at node 'y0' (MatMul)");
    running_end(&r, &maker);
}
END_TEST

/* Many threads run, and another one cancels whoever it likes: each run is cancelled, or right to the bit. */
struct victim {
    infer_context *context;
    pthread_t thread;
    atomic_bool *over;
    int done, cancelled, wrong;
};

static void *run_products(void *user)
{
    static _Thread_local float result[SIDE * SIDE];
    struct victim *victim = user;
    for (int i = 0; i < 40 || !atomic_load(victim->over); i++) {
        infer_tensor in = f32_tensor(product_x, 2, SIDE, SIDE), out = f32_tensor(result, 2, SIDE, SIDE);
        infer_status status = infer_run(victim->context, &in, 1, &out, 1, NULL);
        if (status == INFER_CANCELLED)
            victim->cancelled++;
        else if (status == INFER_OK && memcmp(result, product_y, sizeof result) == 0)
            victim->done++;
        else
            victim->wrong++;
    }
    return NULL;
}

START_TEST(cancels_from_another_thread)
{
    for (int i = 0; i < SIDE * SIDE; i++)
        product_x[i] = (float)(i * 37 % 101) / 1000 - 0.05f;
    struct maker maker = maker_start();
    struct running r = running_begin(products_model(&maker, 4), &(infer_session_options){.threads = 3});
    infer_tensor in = f32_tensor(product_x, 2, SIDE, SIDE), out = f32_tensor(product_y, 2, SIDE, SIDE);
    run_well(r.context, &in, 1, &out, 1);
    struct victim victims[3];
    atomic_bool over = false;
    for (int i = 0; i < 3; i++) {
        victims[i] = (struct victim){.over = &over};
        ck_assert_int_eq(infer_context_create(r.session, &victims[i].context, NULL), INFER_OK);
        ck_assert_int_eq(pthread_create(&victims[i].thread, NULL, run_products, &victims[i]), 0);
    }
    for (int i = 0; i < 60; i++) {
        usleep(1000);
        infer_context_cancel(victims[i % 3].context);
    }
    atomic_store(&over, true);
    int cancelled = 0;
    for (int i = 0; i < 3; i++) {
        pthread_join(victims[i].thread, NULL);
        ck_assert_int_eq(victims[i].wrong, 0);
        ck_assert_int_gt(victims[i].done, 0);
        cancelled += victims[i].cancelled;
        infer_context_release(victims[i].context);
    }
    ck_assert_int_gt(cancelled, 0);
    running_end(&r, &maker);
}
END_TEST

Suite *runtime_stop_suite(void)
{
    Suite *suite = suite_create("runtime_stop");
    TCase *tests = tcase_create("runtime_stop");
    tcase_set_timeout(tests, 40);
    tcase_add_loop_test(tests, a_loop_without_end_is_cancelled, 0, 2);
    tcase_add_test(tests, a_cancel_is_for_one_run);
    tcase_add_test(tests, a_loop_without_end_meets_its_deadline);
    tcase_add_test(tests, turns_are_counted);
    tcase_add_test(tests, work_in_a_body_is_counted);
    tcase_add_test(tests, limits_that_are_none_are_refused);
    tcase_add_test(tests, a_scan_over_nothing_ends);
    tcase_add_test(tests, a_long_task_ends_within);
    tcase_add_test(tests, constants_are_bounded);
    tcase_add_test(tests, trees_count_to_their_depth);
    tcase_add_test(tests, all_that_is_folded_is_bounded_together);
    tcase_add_test(tests, the_hostile_preset_has_bounds);
    tcase_add_test(tests, making_a_program_is_part_of_the_run);
    tcase_add_test(tests, preparing_is_not_timed);
    tcase_add_test(tests, cancels_from_another_thread);
    suite_add_tcase(suite, tests);
    return suite;
}
