/* Time and memory of runs on a device, under the emulation, which does what is enqueued as late as it may. */
#include "tests/cuda/runtime/test_limits.h"

#include "runtime/session.h"
#include "tests/cuda/emulation/emulation.h"
#include "tests/cuda/runtime/stand_ins.h"
#include "tests/failing_allocator.h"
#include "tests/model_maker.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static infer_context *context_of(infer_model *model, const infer_session_options *options)
{
    infer_session *session;
    infer_context *context;
    ck_assert_int_eq(infer_session_create(model, options, &session, NULL), INFER_OK);
    session->facts.kernels = stand_ins(UINT64_MAX);
    ck_assert_int_eq(infer_context_create(session, &context, NULL), INFER_OK);
    infer_session_release(session);
    emulation_abort_on_complaint(true);
    return context;
}

/* --- time ------------------------------------------------------------------------------------------------------ */

/* Lets go of a kernel once it has been held longer than the deadline. over: the run has ended, perhaps before. */
static void *let_go_late(void *over)
{
    while (!emulation_holds() && !atomic_load((atomic_bool *)over))
        sched_yield();
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    emulation_let_go();
    return NULL;
}

/* y = x w, whose kernel is held. */
START_TEST(a_deadline_that_passes_on_the_stream_is_noticed)
{
    struct maker maker = maker_start();
    float x[64] = {0}, y[64];
    atomic_bool over = false;
    pthread_t thread;
    infer_error error = {0};
    struct graph *graph = maker.graph = graph_create(&maker.region, "slow");
    struct value *in = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){8, 8});
    struct value *w = graph_add_constant(graph, "w", DTYPE_F32, 2, (int64_t[]){8, 8}, x);
    struct value *out = make_node2(graph, "MatMul", "y", in, w);
    infer_model *model = maker_finish(&maker, 1, &in, 1, &out, NULL);
    infer_context *context = context_of(model, &(infer_session_options){.device = INFER_DEVICE_CUDA, .threads = 1});
    infer_tensor input = f32_tensor(x, 2, 8, 8), output = infer_output(y, sizeof y);
    run_well(context, &input, 1, &output, 1);
    ck_assert_int_eq(infer_context_limit(context, &(infer_run_limits){.seconds = 0.01}, NULL), INFER_OK);
    emulation_hold_kernel();
    ck_assert_int_eq(pthread_create(&thread, NULL, let_go_late, &over), 0);
    ck_assert_int_eq(infer_run(context, &input, 1, &output, 1, &error), INFER_DEADLINE);
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    ck_assert_msg(strstr(error.message, "0.01 s"), "%s", error.message);
    ck_assert_int_eq(infer_context_limit(context, NULL, NULL), INFER_OK);
    run_well(context, &input, 1, &output, 1);
    infer_context_release(context);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* An event of the emulated device is a microsecond after the one before, whatever the host's clock says. */
START_TEST(steps_are_timed_by_events)
{
    struct maker maker = maker_start();
    static const float weights[64] = {1, 2};
    float x[64] = {1};
    infer_step_time times[8];
    int on_device = 0;
    struct graph *graph = maker.graph = graph_create(&maker.region, "timed");
    struct value *in = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){8, 8});
    struct value *w = graph_add_constant(graph, "w", DTYPE_F32, 2, (int64_t[]){8, 8}, weights);
    struct value *out = make_node1(graph, "Softmax", "y", make_node2(graph, "MatMul", "p", in, w));
    infer_model *model = maker_finish(&maker, 1, &in, 1, &out, NULL);
    infer_context *context = context_of(model, &(infer_session_options){.device = INFER_DEVICE_CUDA, .threads = 1});
    infer_tensor input = f32_tensor(x, 2, 8, 8), output = {0};
    infer_context_time_steps(context, true);
    for (int run = 0; run < 3; run++)
        run_well(context, &input, 1, &output, 1);
    size_t count = infer_context_step_times(context, times, 8);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(times[i].runs, 3);
        on_device += times[i].nanoseconds == 3000;
    }
    ck_assert_int_eq(on_device, 4); /* a copy there, a product, a softmax, a copy back */
    infer_context_release(context);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* --- memory ---------------------------------------------------------------------------------------------------- */

#define COLUMNS 64
#define MOST_ROWS 80

/* y = x + CumSum(1 everywhere), which is a constant of each shape. */
static infer_model *make_counting(struct maker *maker, const infer_model_options *options)
{
    static const float one = 1;
    static const int64_t axis = 0;
    *maker = maker_start();
    struct graph *graph = maker->graph = graph_create(&maker->region, "counting");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){-1, COLUMNS});
    x->dims[0] = graph_symbol(graph, "n");
    const struct value content = {
        .name = "", .dtype = DTYPE_F32, .rank = 1, .dims = {1}, .data = &one, .bytes = sizeof one};
    const struct attribute value = {.name = "value", .kind = ATTRIBUTE_TENSOR, .count = 1, .tensor = &content};
    struct value *shape = make_node1(graph, "Shape", "shape", x);
    struct value *ones = make_node(graph, "ConstantOfShape", "ones", 1, &shape, 1, &value);
    struct value *along = graph_add_constant(graph, "axis", DTYPE_I64, 0, NULL, &axis);
    struct value *y = make_node2(graph, "Add", "y", x, make_node2(graph, "CumSum", "count", ones, along));
    return maker_finish(maker, 1, &x, 1, &y, options);
}

static infer_status count_rows(infer_context *context, int64_t rows, infer_error *error)
{
    static const float zeros[MOST_ROWS * COLUMNS];
    static float y[MOST_ROWS * COLUMNS];
    infer_tensor input = f32_tensor(zeros, 2, rows, COLUMNS), output = infer_output(y, sizeof y);
    infer_status status = infer_run(context, &input, 1, &output, 1, error);
    for (int64_t i = 0; i < rows && status == INFER_OK; i++)
        ck_assert_float_eq(y[i * COLUMNS], (float)(i + 1));
    return status;
}

/* With room for the constants of a few shapes, by a limit or by what the device has, any number of shapes can run. */
START_TEST(programs_that_nobody_uses_make_room)
{
    struct maker maker;
    infer_model *model = make_counting(&maker, NULL);
    infer_error error = {0};
    const size_t one = MOST_ROWS * COLUMNS * sizeof(float), few = 8 * one;
    const infer_session_options options = {
        .device = INFER_DEVICE_CUDA, .device_memory_limit = _i ? 0 : few, .threads = 1};
    infer_context *context = context_of(model, &options);
    if (_i)
        emulation_set_capacity(few);
    ck_assert_int_eq(count_rows(context, MOST_ROWS, &error), INFER_OK);
    ck_assert_uint_ge(emulation_bytes(), 2 * one); /* the constant does lie there, beside the arena */
    for (int64_t rows = MOST_ROWS - 1; rows > MOST_ROWS / 2; rows--)
        ck_assert_msg(count_rows(context, rows, &error) == INFER_OK, "%lld rows: %s", (long long)rows, error.message);
    ck_assert_uint_le(emulation_bytes(), few);
    infer_context_release(context);
    infer_model_release(model);
    region_free(&maker.region);
    ck_assert_uint_eq(emulation_bytes(), 0);
}
END_TEST

/* What the host has too little of is not said to be the device's. */
START_TEST(memory_of_the_host_is_told_apart)
{
    int refused = 0;
    for (int most = 0; most < 400; most++) {
        struct maker maker;
        struct failing failing = {.allowed = INT_MAX};
        const infer_allocator allocator = {failing_allocate, failing_release, &failing};
        infer_model *model = make_counting(&maker, &(infer_model_options){.allocator = &allocator});
        infer_context *context = context_of(model, &(infer_session_options){.device = INFER_DEVICE_CUDA, .threads = 1});
        infer_error error = {0};
        failing.allowed = most;
        infer_status status = count_rows(context, MOST_ROWS, &error);
        failing.allowed = INT_MAX;
        refused += status != INFER_OK;
        if (status != INFER_OK) {
            ck_assert_int_eq(status, INFER_OUT_OF_MEMORY);
            ck_assert_msg(!strstr(error.message, "of the device"), "%s", error.message);
        }
        infer_context_release(context);
        infer_model_release(model);
        region_free(&maker.region);
        stand_ins_forget();
        if (status == INFER_OK)
            break;
    }
    ck_assert_int_gt(refused, 20);
}
END_TEST

/* Larger than the buffers that it goes through, and by no whole number of them. */
START_TEST(large_constants_go_up_in_parts)
{
    struct maker maker = maker_start();
    const int64_t rows = 1000, columns = 700;
    float *w = malloc((size_t)(rows * columns) * sizeof *w), *y = malloc((size_t)(rows * columns) * sizeof *y);
    for (int64_t i = 0; i < rows * columns; i++)
        w[i] = (float)i;
    struct graph *graph = maker.graph = graph_create(&maker.region, "large");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){1, 1});
    struct value *constant = graph_add_constant(graph, "w", DTYPE_F32, 2, (int64_t[]){rows, columns}, w);
    struct value *out = make_node2(graph, "Add", "y", x, constant);
    infer_model *model = maker_finish(&maker, 1, &x, 1, &out, NULL);
    infer_context *context = context_of(model, &(infer_session_options){.device = INFER_DEVICE_CUDA, .threads = 1});
    infer_tensor input = f32_tensor(&(float){1}, 2, 1, 1),
                 output = infer_output(y, (size_t)(rows * columns) * sizeof *y);
    run_well(context, &input, 1, &output, 1);
    for (int64_t i = 0; i < rows * columns; i++)
        ck_assert_float_eq(y[i], (float)(i + 1));
    infer_context_release(context);
    infer_model_release(model);
    region_free(&maker.region);
    free(w);
    free(y);
}
END_TEST

TCase *limit_tests(void)
{
    TCase *tests = tcase_create("limits");
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, a_deadline_that_passes_on_the_stream_is_noticed);
    tcase_add_test(tests, steps_are_timed_by_events);
    tcase_add_loop_test(tests, programs_that_nobody_uses_make_room, 0, 2);
    tcase_add_test(tests, memory_of_the_host_is_told_apart);
    tcase_add_test(tests, large_constants_go_up_in_parts);
    return tests;
}
