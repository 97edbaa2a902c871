/* Calls that cannot be right, and callers whose threads are not as we would have them. */
#include "tests/counting_allocator.h"
#include "tests/model_maker.h"
#include "tests/suites.h"

#include "runtime/session.h"

#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined __SSE__
#include <xmmintrin.h>
#endif

#define SIDE 64

/* Softmax(x x), and tanh(x) times a constant that is folded when the session is made. */
static infer_model *two_outputs(struct maker *maker, const infer_model_options *options)
{
    static const float tenth = 0.1f, third = 1.0f / 3;
    struct graph *graph = maker->graph = graph_create(&maker->region, "two");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){SIDE, SIDE});
    struct value *factor =
        make_node2(graph, "Mul", "factor", graph_add_constant(graph, "tenth", DTYPE_F32, 0, NULL, &tenth),
                   graph_add_constant(graph, "third", DTYPE_F32, 0, NULL, &third));
    struct value *out[] = {make_node1(graph, "Softmax", "a", make_node2(graph, "MatMul", "xx", x, x)),
                           make_node2(graph, "Mul", "b", make_node1(graph, "Tanh", "t", x), factor)};
    return maker_finish(maker, 1, &x, 2, out, options);
}

static _Alignas(64) float input[SIDE * SIDE + 1], result[2 * SIDE * SIDE + 1], expected[2 * SIDE * SIDE];

static void fill_input(void)
{
    for (int i = 0; i < SIDE * SIDE; i++)
        input[i] = (float)(i * 7919 % 1009) / 1009 * 1e-3f - (i % 3 == 0 ? 1e-39f : 0.3f);
}

static infer_tensor square(const void *data)
{
    infer_tensor tensor = f32_tensor(NULL, 2, SIDE, SIDE);
    tensor.data = (void *)(uintptr_t)data;
    return tensor;
}

static infer_status run_into(infer_context *context, void *a, void *b, infer_error *error)
{
    infer_tensor in = square(input), out[2] = {square(a), square(b)};
    return infer_run(context, &in, 1, out, 2, error);
}

/* --- the floating-point environment ------------------------------------------------------------------------------- */

#define ROUNDINGS 6

static void take_environment(int way)
{
    static const int roundings[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    fesetenv(FE_DFL_ENV);
    if (way < 4)
        fesetround(roundings[way]);
#if defined __SSE__
    if (way == 4)
        _mm_setcsr(_mm_getcsr() | 0x8040); /* flush to zero, subnormals are zeros */
    if (way == 5)
        _mm_setcsr(_mm_getcsr() & ~0x0f80u); /* traps */
#endif
}

/* Whatever the caller's at creation, preparing and running, bits are the same, and the caller has its own again. */
START_TEST(bits_do_not_depend_on_the_callers_environment)
{
    fill_input();
    for (int way = 0; way < ROUNDINGS; way++) {
        for (int threads = 1; threads <= 3; threads++) {
            struct maker maker = maker_start();
            infer_model *model = two_outputs(&maker, NULL);
            infer_tensor in = square(input);
            infer_memory memory;
            infer_session *session = NULL;
            infer_context *context = NULL;
            take_environment(way);
            fenv_t before, after;
            fegetenv(&before);
            infer_status status =
                infer_session_create(model, &(infer_session_options){.threads = threads}, &session, NULL);
            if (status == INFER_OK)
                status = infer_session_prepare(session, &in, 1, &memory, NULL);
            if (status == INFER_OK)
                status = infer_context_create(session, &context, NULL);
            if (status == INFER_OK)
                status = run_into(context, result, result + SIDE * SIDE, NULL);
            fegetenv(&after);
#if defined __SSE__
            unsigned control = _mm_getcsr();
#endif
            take_environment(0);
            ck_assert_int_eq(status, INFER_OK);
            ck_assert_int_eq(memcmp(&before.__control_word, &after.__control_word, sizeof before.__control_word), 0);
#if defined __SSE__
            ck_assert_uint_eq(control & ~0x3fu, before.__mxcsr & ~0x3fu);
#endif
            if (way == 0 && threads == 1)
                memcpy(expected, result, sizeof expected);
            ck_assert_msg(memcmp(expected, result, sizeof expected) == 0, "environment %d, %d threads", way, threads);
            infer_context_release(context);
            infer_session_release(session);
            infer_model_release(model);
            region_free(&maker.region);
        }
    }
}
END_TEST

/* --- what is handed over ------------------------------------------------------------------------------------------ */

START_TEST(outputs_in_one_buffer_are_refused)
{
    struct maker maker = maker_start();
    struct running r = running_begin(two_outputs(&maker, NULL), NULL);
    infer_error error = {0};
    fill_input();
    ck_assert_int_eq(run_into(r.context, result, result, &error), INFER_INVALID_ARGUMENT);
    ck_assert_msg(strstr(error.message, "lie in the same memory") != NULL, "%s", error.message);
    ck_assert_int_eq(run_into(r.context, result, result + SIDE * SIDE - 1, &error), INFER_INVALID_ARGUMENT);
    ck_assert_int_eq(run_into(r.context, result + SIDE * SIDE - 1, result, &error), INFER_INVALID_ARGUMENT);
    ck_assert_int_eq(run_into(r.context, result, result + SIDE * SIDE, &error), INFER_OK);
    /* the result of one output handed in as the room for the other */
    infer_tensor in = square(input), out[2] = {{0}, {0}};
    run_well(r.context, &in, 1, out, 2);
    for (int i = 0; i < 2; i++) {
        infer_tensor mixed[2] = {{0}, {0}};
        mixed[i] = square(out[1 - i].data);
        ck_assert_int_eq(infer_run(r.context, &in, 1, mixed, 2, &error), INFER_INVALID_ARGUMENT);
    }
    ck_assert_int_eq(run_into(r.context, result, NULL, &error), INFER_OK);
    running_end(&r, &maker);
}
END_TEST

START_TEST(data_off_its_alignment_is_refused)
{
    struct maker maker = maker_start();
    struct running r = running_begin(two_outputs(&maker, NULL), NULL);
    infer_error error = {0};
    fill_input();
    for (uintptr_t off = 1; off < sizeof(float); off++) {
        infer_tensor in = square((char *)input + off), out[2] = {{0}, {0}};
        ck_assert_int_eq(infer_run(r.context, &in, 1, out, 2, &error), INFER_INVALID_ARGUMENT);
        ck_assert_msg(strncmp(error.message, "input 'x' lies at ", 18) == 0 &&
                          strstr(error.message, ", which is no multiple of 4, the bytes of its elements"),
                      "%s", error.message);
        ck_assert_int_eq(run_into(r.context, (char *)result + off, NULL, &error), INFER_INVALID_ARGUMENT);
        ck_assert_int_eq(strncmp(error.message, "output 'a' lies at ", 19), 0);
    }
    ck_assert_int_eq(run_into(r.context, result + 1, NULL, &error), INFER_OK);
    running_end(&r, &maker);
}
END_TEST

/* An observer is called while its context runs. */
struct intruder {
    infer_context *context;
    infer_status status;
    infer_error error;
};

static void *run_too(void *user)
{
    struct intruder *intruder = user;
    intruder->status = run_into(intruder->context, NULL, NULL, &intruder->error);
    return NULL;
}

static void intrude(void *user, const infer_step *step)
{
    struct intruder *intruder = user;
    pthread_t thread;
    if (step->index > 0)
        return;
    ck_assert_int_eq(pthread_create(&thread, NULL, run_too, intruder), 0);
    pthread_join(thread, NULL);
}

START_TEST(a_context_runs_once_at_a_time)
{
    struct maker maker = maker_start();
    struct running r = running_begin(two_outputs(&maker, NULL), NULL);
    struct intruder intruder = {.context = r.context};
    infer_observer observer = {.before = intrude, .user = &intruder};
    fill_input();
    infer_context_observe(r.context, &observer);
    ck_assert_int_eq(run_into(r.context, NULL, NULL, NULL), INFER_OK);
    ck_assert_int_eq(intruder.status, INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(intruder.error.message, "the context is running already; each thread needs one of its own");
    infer_context_observe(r.context, NULL);
    run_too(&intruder);
    ck_assert_int_eq(intruder.status, INFER_OK);
    running_end(&r, &maker);
}
END_TEST

/* The call came back with `status`, and said in `error`, where it has one, that `what` is missing. */
static void refused(infer_status status, infer_error *error, const char *what)
{
    char sentence[120];
    snprintf(sentence, sizeof sentence, "there is no %s: the pointer is NULL", what);
    ck_assert_msg(status == INFER_INVALID_ARGUMENT, "without its %s a call gave %d", what, status);
    if (error) {
        ck_assert_str_eq(error->message, sentence);
        ck_assert_int_eq(error->status, INFER_INVALID_ARGUMENT);
        *error = (infer_error){0};
    }
}

START_TEST(null_is_refused_where_something_is_opened)
{
    struct maker maker = maker_start();
    infer_model *model = two_outputs(&maker, NULL), *none = model;
    infer_session *session = (infer_session *)(void *)model;
    infer_executor *executor = NULL;
    infer_value value;
    size_t index = 7;
    infer_error error = {0};
    refused(infer_model_open(NULL, NULL, &none, &error), &error, "path");
    ck_assert_ptr_null(none);
    refused(infer_model_open("x", NULL, NULL, &error), &error, "place for the model");
    none = model;
    refused(infer_model_open_descriptor(0, NULL, NULL, &none, &error), &error, "name");
    ck_assert_ptr_null(none);
    refused(infer_model_open_descriptor(0, "x", NULL, NULL, &error), &error, "place for the model");
    none = model;
    refused(infer_model_open_memory(NULL, 8, "x", NULL, &none, &error), &error, "memory");
    ck_assert_ptr_null(none);
    none = model;
    refused(infer_model_open_memory("x", 1, NULL, NULL, &none, &error), &error, "name");
    ck_assert_ptr_null(none);
    refused(infer_model_open_memory("x", 1, "x", NULL, NULL, &error), &error, "place for the model");
    refused(infer_model_input(NULL, 0, &value), NULL, "model");
    refused(infer_model_input(model, 0, NULL), NULL, "value");
    refused(infer_model_output(NULL, 0, &value), NULL, "model");
    refused(infer_model_output(model, 0, NULL), NULL, "value");
    refused(infer_model_find_input(NULL, "x", &index), NULL, "model");
    refused(infer_model_find_input(model, NULL, &index), NULL, "name");
    refused(infer_model_find_output(model, "a", NULL), NULL, "index");
    ck_assert_uint_eq(index, 7);
    refused(infer_session_create(NULL, NULL, &session, &error), &error, "model");
    ck_assert_ptr_null(session);
    refused(infer_session_create(model, NULL, NULL, &error), &error, "place for the session");
    refused(infer_executor_create(NULL, NULL, &error), &error, "place for the executor");
    ck_assert_int_eq(infer_executor_create(NULL, &executor, NULL), INFER_OK);
    infer_executor_release(executor);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

START_TEST(null_is_refused)
{
    struct maker maker = maker_start();
    infer_model *model = infer_model_retain(two_outputs(&maker, NULL));
    struct running r = running_begin(model, NULL);
    infer_tensor in = square(input), out[2] = {{0}, {0}};
    infer_context *context = r.context;
    infer_memory memory;
    infer_error error = {0};
    refused(infer_session_prepare(NULL, &in, 1, &memory, &error), &error, "session");
    refused(infer_session_prepare(r.session, NULL, 1, &memory, &error), &error, "inputs");
    refused(infer_session_outputs(NULL, &in, 1, out, 2, &error), &error, "session");
    refused(infer_session_outputs(r.session, NULL, 1, out, 2, &error), &error, "inputs");
    refused(infer_session_outputs(r.session, &in, 1, NULL, 2, &error), &error, "outputs");
    refused(infer_session_memory(NULL, &memory, &error), &error, "session");
    refused(infer_session_memory(r.session, NULL, &error), &error, "place for the numbers");
    refused(infer_context_create(NULL, &context, &error), &error, "session");
    ck_assert_ptr_null(context);
    refused(infer_context_create(r.session, NULL, &error), &error, "place for the context");
    refused(infer_context_limit(NULL, NULL, &error), &error, "context");
    refused(infer_run(NULL, &in, 1, out, 2, &error), &error, "context");
    refused(infer_run(r.context, NULL, 1, out, 2, &error), &error, "inputs");
    refused(infer_run(r.context, &in, 1, NULL, 2, &error), &error, "outputs");
    refused(infer_run(NULL, &in, 1, out, 2, NULL), NULL, "context");
    fill_input();
    ck_assert_int_eq(infer_session_prepare(r.session, &in, 1, NULL, &error), INFER_OK);
    ck_assert_int_eq(infer_context_limit(r.context, NULL, &error), INFER_OK);
    ck_assert_int_eq(infer_run(r.context, &in, 1, NULL, 0, &error), INFER_OK);

    ck_assert_ptr_null(infer_model_retain(NULL));
    ck_assert_ptr_null(infer_session_retain(NULL));
    ck_assert_ptr_null(infer_executor_retain(NULL));
    ck_assert_uint_eq(infer_model_input_count(NULL) + infer_model_output_count(NULL) + infer_model_weight_bytes(NULL),
                      0);
    ck_assert_ptr_null(infer_model_metadata(NULL, "name"));
    ck_assert_ptr_null(infer_model_metadata_key(NULL, 0));
    ck_assert_uint_eq(infer_input(NULL, INFER_FLOAT32, 2, NULL).bytes, SIZE_MAX);
    ck_assert_ptr_null(infer_model_metadata(model, NULL));
    ck_assert_int_eq(infer_session_isa(NULL), INFER_ISA_AUTO);
    ck_assert_int_eq(infer_session_threads(NULL), 0);
    ck_assert_uint_eq(infer_context_arena_bytes(NULL) + infer_context_step_times(NULL, NULL, 0), 0);
    ck_assert_uint_eq(infer_tensor_bytes(INFER_FLOAT32, 1, NULL), SIZE_MAX);
    ck_assert_uint_eq(infer_tensor_bytes(INFER_FLOAT32, 0, NULL), sizeof(float));
    infer_context_observe(NULL, NULL);
    infer_context_time_steps(NULL, true);
    infer_model_release(model);
    running_end(&r, &maker);
}
END_TEST

START_TEST(an_allocator_needs_both_functions)
{
    struct counting counting = {.fail_at = -1};
    const infer_allocator whole = counting_allocator(&counting);
    for (int lacking = 0; lacking < 3; lacking++) {
        infer_allocator allocator = whole;
        if (lacking != 1)
            allocator.allocate = NULL;
        if (lacking != 0)
            allocator.release = NULL;
        infer_model_options options = {.allocator = &allocator};
        infer_model *model;
        infer_error error = {0};
        ck_assert_int_eq(infer_model_open_memory("x", 1, "x", &options, &model, &error), INFER_INVALID_ARGUMENT);
        ck_assert_str_eq(error.message, lacking == 1 ? "the allocator has no function to release memory"
                                                     : "the allocator has no function to allocate memory");
        ck_assert_ptr_null(model);
    }
    ck_assert_int_eq(atomic_load(&counting.calls), 0);
}
END_TEST

/* --- fork --------------------------------------------------------------------------------------------------------- */

/* In the child: 0, or the number of what went wrong. The parent's threads are not there. */
static int child_work(infer_model *model, infer_executor *executor, struct running *r)
{
    infer_error error = {0};
    infer_session *session;
    infer_context *context;
    infer_memory memory;
    infer_tensor in = square(input);
    alarm(20);
    if (run_into(r->context, NULL, NULL, &error) != INFER_INVALID_ARGUMENT ||
        strcmp(error.message, "the session belongs to the process that this one forked off from; here it can only be "
                              "released") != 0)
        return 1;
    if (infer_context_create(r->session, &context, &error) != INFER_INVALID_ARGUMENT || context)
        return 2;
    if (infer_session_prepare(r->session, &in, 1, &memory, NULL) != INFER_INVALID_ARGUMENT ||
        infer_session_memory(r->session, &memory, NULL) != INFER_INVALID_ARGUMENT)
        return 3;
    if (infer_session_create(model, &(infer_session_options){.executor = executor}, &session, &error) !=
            INFER_INVALID_ARGUMENT ||
        session ||
        strcmp(error.message, "the executor belongs to the process that this one forked off from; here it "
                              "can only be released") != 0)
        return 5;
    infer_context_release(r->context);
    infer_session_release(r->session);
    infer_executor_release(executor);
    struct running own = running_begin(infer_model_retain(model), &(infer_session_options){.threads = 1});
    if (run_into(own.context, result, result + SIDE * SIDE, &error) != INFER_OK ||
        memcmp(result, expected, sizeof expected) != 0)
        return 4;
    infer_context_release(own.context);
    infer_session_release(own.session);
    infer_model_release(model);
    return 0;
}

START_TEST(a_child_can_release_what_its_parent_made)
{
    struct maker maker = maker_start();
    infer_model *model = infer_model_retain(two_outputs(&maker, NULL));
    infer_executor *executor;
    ck_assert_int_eq(infer_executor_create(&(infer_executor_options){.threads = 3}, &executor, NULL), INFER_OK);
    struct running r = running_begin(model, &(infer_session_options){.executor = executor});
    fill_input();
    ck_assert_int_eq(run_into(r.context, expected, expected + SIDE * SIDE, NULL), INFER_OK);
    pid_t child = fork();
    if (child == 0)
        _exit(child_work(model, executor, &r));
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %d", status);
    ck_assert_int_eq(run_into(r.context, result, result + SIDE * SIDE, NULL), INFER_OK);
    ck_assert_int_eq(memcmp(result, expected, sizeof expected), 0);
    infer_model_release(model);
    infer_executor_release(executor);
    running_end(&r, &maker);
}
END_TEST

/* --- step times --------------------------------------------------------------------------------------------------- */

/* What an observer sees of the steps, to compare. */
struct seen {
    int count;
    char kernels[16][64];
};

static void see(void *user, const infer_step *step)
{
    struct seen *seen = user;
    snprintf(seen->kernels[seen->count++], sizeof seen->kernels[0], "%s %s", step->kernel, step->node);
}

static infer_model *any_square(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "any");
    int64_t n = graph_symbol(graph, "N");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){n, n});
    struct value *y = make_node1(graph, "Softmax", "s", make_node2(graph, "MatMul", "xx", x, x));
    /* then a shape that only the run tells */
    struct value *z = make_node1(graph, "Abs", "y", make_node1(graph, "NonZero", "places", y));
    return maker_finish(maker, 1, &x, 1, &z, options);
}

static void run_any(infer_context *context, int64_t n)
{
    infer_tensor in = f32_tensor(input, 2, n, n), out = {0};
    run_well(context, &in, 1, &out, 1);
}

START_TEST(steps_are_timed)
{
    struct maker maker = maker_start();
    struct running r = running_begin(any_square(&maker, NULL), &(infer_session_options){.threads = 2});
    struct seen seen = {0};
    infer_step_time times[16];
    fill_input();
    infer_context_observe(r.context, &(infer_observer){.after = see, .user = &seen});
    run_any(r.context, 8);
    infer_context_observe(r.context, NULL);
    ck_assert_uint_eq(infer_context_step_times(r.context, NULL, 0), 0);
    infer_context_time_steps(r.context, true);
    for (uint64_t runs = 1; runs <= 3; runs++) {
        run_any(r.context, 8);
        ck_assert_int_ge(seen.count, 3);
        ck_assert_uint_eq(infer_context_step_times(r.context, NULL, 0), (size_t)seen.count);
        ck_assert_uint_eq(infer_context_step_times(r.context, times, 16), (size_t)seen.count);
        for (int i = 0; i < seen.count; i++) {
            char name[64];
            snprintf(name, sizeof name, "%s %s", times[i].kernel, times[i].node);
            ck_assert_str_eq(name, seen.kernels[i]);
            ck_assert_uint_eq(times[i].runs, runs);
            ck_assert_uint_gt(times[i].nanoseconds, 0);
            ck_assert_uint_lt(times[i].nanoseconds, UINT64_C(60000000000));
        }
    }
    infer_step_time one = {0}, first = times[0];
    run_any(r.context, 8);
    ck_assert_uint_eq(infer_context_step_times(r.context, &one, 1), (size_t)seen.count);
    ck_assert_uint_gt(one.nanoseconds, first.nanoseconds);
    run_any(r.context, 9); /* other shapes begin anew */
    infer_context_step_times(r.context, times, 16);
    ck_assert_uint_eq(times[0].runs, 1);
    infer_context_time_steps(r.context, false);
    run_any(r.context, 9);
    infer_context_step_times(r.context, times, 16);
    ck_assert_uint_eq(times[0].runs, 1);
    infer_context_time_steps(r.context, true);
    ck_assert_uint_eq(infer_context_step_times(r.context, times, 16), 0);
    running_end(&r, &maker);
}
END_TEST

/* A warm run that is timed allocates nothing; each allocation that fails leaves a context that runs again. */
START_TEST(times_that_find_no_memory)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    struct running r = running_begin(any_square(&maker, &(infer_model_options){.allocator = &allocator}),
                                     &(infer_session_options){.threads = 2});
    infer_tensor in = f32_tensor(input, 2, 8, 8), out = {0};
    infer_step_time times[16];
    fill_input();
    run_any(r.context, 8);
    infer_context_time_steps(r.context, true);
    int failures = 0;
    for (infer_status status = INFER_OUT_OF_MEMORY; status != INFER_OK; failures++) {
        infer_error error = {0};
        out = (infer_tensor){0};
        counting.fail_at = atomic_load(&counting.calls) + failures;
        status = infer_run(r.context, &in, 1, &out, 1, &error);
        counting.fail_at = -1;
        ck_assert(status == INFER_OK || status == INFER_OUT_OF_MEMORY);
        infer_context_time_steps(r.context, true);
    }
    ck_assert_int_ge(failures, 2);
    run_any(r.context, 8);
    long calls = atomic_load(&counting.calls);
    run_any(r.context, 8);
    ck_assert_int_eq(atomic_load(&counting.calls), calls);
    infer_context_step_times(r.context, times, 16);
    ck_assert_uint_eq(times[0].runs, 2);
    running_end(&r, &maker);
    ck_assert_int_eq(atomic_load(&counting.bytes), 0);
}
END_TEST

/* What an observer asks for is for the runs that follow: the one that calls it goes on as it began. */
struct meddler {
    infer_context *context;
    int steps, values;
};

static void meddle(struct meddler *meddler)
{
    infer_context_observe(meddler->context, NULL);
    infer_context_time_steps(meddler->context, true);
    infer_context_limit(meddler->context, &(infer_run_limits){.multiply_adds = 1}, NULL);
}

static void meddle_with_step(void *user, const infer_step *step)
{
    struct meddler *meddler = user;
    (void)step;
    meddler->steps++;
    meddle(meddler);
}

static void meddle_with_value(void *user, const char *name, const infer_tensor *tensor)
{
    struct meddler *meddler = user;
    (void)name;
    (void)tensor;
    meddler->values++;
    meddle(meddler);
}

START_TEST(what_an_observer_asks_for_is_for_later_runs)
{
    struct maker maker = maker_start();
    struct running r = running_begin(any_square(&maker, NULL), &(infer_session_options){.threads = 2});
    struct meddler meddler = {.context = r.context};
    const infer_observer observer = {
        .before = meddle_with_step, .after = meddle_with_step, .value = meddle_with_value, .user = &meddler};
    infer_tensor in = f32_tensor(input, 2, 8, 8), out = {0};
    infer_step_time times[16];
    fill_input();
    infer_context_time_steps(r.context, true);
    run_any(r.context, 8);
    int steps = (int)infer_context_step_times(r.context, NULL, 0);
    infer_context_observe(r.context, &observer);
    run_any(r.context, 8);
    ck_assert_int_eq(meddler.steps, 2 * steps);
    ck_assert_int_ge(meddler.values, 3);
    int values = meddler.values;
    ck_assert_int_eq(infer_run(r.context, &in, 1, &out, 1, NULL), INFER_WORK_LIMIT);
    infer_context_limit(r.context, NULL, NULL);
    infer_context_time_steps(r.context, true);
    run_any(r.context, 8);
    ck_assert_int_eq((int)infer_context_step_times(r.context, times, 16), steps);
    ck_assert_uint_eq(times[0].runs, 1);
    ck_assert_int_eq(meddler.steps, 2 * steps);
    ck_assert_int_eq(meddler.values, values);
    running_end(&r, &maker);
}
END_TEST

/* --- version ------------------------------------------------------------------------------------------------------ */

START_TEST(the_version_is_said_in_two_ways)
{
    int major, minor, patch;
    ck_assert_int_eq(sscanf(infer_version(), "%d.%d.%d", &major, &minor, &patch), 3);
    ck_assert_int_eq(INFER_VERSION_NUMBER, major * 10000 + minor * 100 + patch);
    ck_assert_str_eq(infer_status_name(INFER_FAULT), "fault");
    ck_assert_str_eq(infer_status_name(INFER_CANCELLED), "cancelled");
    ck_assert_str_eq(infer_status_name(INFER_DEADLINE), "deadline");
    ck_assert_str_eq(infer_status_name(INFER_WORK_LIMIT), "work limit");
    ck_assert_str_eq(infer_status_name(INFER_BUSY), "busy");
    ck_assert_str_eq(infer_status_name((infer_status)(INFER_DEVICE_ERROR + 1)), "unknown");
}
END_TEST

Suite *runtime_calls_suite(void)
{
    Suite *suite = suite_create("runtime_calls");
    TCase *tests = tcase_create("runtime_calls");
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, bits_do_not_depend_on_the_callers_environment);
    tcase_add_test(tests, outputs_in_one_buffer_are_refused);
    tcase_add_test(tests, data_off_its_alignment_is_refused);
    tcase_add_test(tests, a_context_runs_once_at_a_time);
    tcase_add_test(tests, null_is_refused_where_something_is_opened);
    tcase_add_test(tests, null_is_refused);
    tcase_add_test(tests, an_allocator_needs_both_functions);
    tcase_add_test(tests, a_child_can_release_what_its_parent_made);
    tcase_add_test(tests, steps_are_timed);
    tcase_add_test(tests, times_that_find_no_memory);
    tcase_add_test(tests, what_an_observer_asks_for_is_for_later_runs);
    tcase_add_test(tests, the_version_is_said_in_two_ways);
    suite_add_tcase(suite, tests);
    return suite;
}
