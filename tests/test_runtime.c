/* The runtime by its public header, on graphs made here: programs, memory, threads, segments, loops. */
#include "tests/counting_allocator.h"
#include "tests/model_maker.h"
#include "tests/suites.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* --- models -------------------------------------------------------------------------------------------- */

/* y = tanh(x) + exp(x) * x, relu of it beside; x is N x 64. */
static infer_model *chain_model(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "chain");
    int64_t dims[2] = {graph_symbol(graph, "N"), 64};
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, dims);
    struct value *product = make_node2(graph, "Mul", "product", make_node1(graph, "Exp", "exp", x), x);
    struct value *y = make_node2(graph, "Add", "y", make_node1(graph, "Tanh", "tanh", x), product);
    struct value *out[] = {y, make_node1(graph, "Relu", "relu", y)};
    return maker_finish(maker, 1, &x, 2, out, options);
}

/* What is positive in x (1-D), doubled: a result whose size only the run tells. */
static infer_model *select_model(struct maker *maker)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "select");
    int64_t dims[1] = {graph_symbol(graph, "N")};
    float zero = 0;
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, dims);
    struct value *none = graph_add_constant(graph, "none", DTYPE_F32, 0, NULL, &zero);
    struct value *places = make_node1(graph, "NonZero", "places", make_node2(graph, "Greater", "positive", x, none));
    const int64_t row[1] = {-1};
    struct value *shape = graph_add_constant(graph, "row", DTYPE_I64, 1, (int64_t[]){1}, row);
    struct value *chosen =
        make_node2(graph, "Gather", "chosen", x, make_node2(graph, "Reshape", "indices", places, shape));
    struct value *y = make_node2(graph, "Add", "y", chosen, chosen);
    infer_model *model = maker_finish(maker, 1, &x, 1, &y, NULL);
    return model;
}

/* A branch that adds or multiplies x by itself. */
static const struct graph *branch(struct region *region, const char *op)
{
    struct graph *graph = graph_create(region, op);
    struct value *x = graph_add_value(graph, "captured", DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")});
    struct value *y = make_node2(graph, op, "result", x, x);
    graph_set_inputs(graph, 1, &x);
    graph_set_outputs(graph, 1, &y);
    return graph;
}

static infer_model *if_model(struct maker *maker)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "if");
    struct value *condition = graph_add_value(graph, "condition", DTYPE_BOOL, 0, NULL);
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")});
    const struct attribute branches[] = {
        {.name = "then_branch", .kind = ATTRIBUTE_GRAPH, .graph = branch(&maker->region, "Add")},
        {.name = "else_branch", .kind = ATTRIBUTE_GRAPH, .graph = branch(&maker->region, "Mul")},
    };
    struct value *in[] = {condition, make_node1(graph, "Neg", "negative", x)};
    struct value *y = make_node1(graph, "Neg", "y", make_node(graph, "If", "chosen", 2, in, 2, branches));
    struct value *inputs[] = {condition, x};
    return maker_finish(maker, 2, inputs, 1, &y, NULL);
}

/* Doubles a state `trip` times and stacks what it was. */
static infer_model *loop_model(struct maker *maker)
{
    struct graph *body = graph_create(&maker->region, "body");
    struct value *number = graph_add_value(body, "number", DTYPE_I64, 0, NULL);
    struct value *go_on = graph_add_value(body, "go_on", DTYPE_BOOL, 0, NULL);
    struct value *state = graph_add_value(body, "state", DTYPE_F32, 1, (int64_t[]){graph_symbol(body, "N")});
    struct value *formal[] = {number, go_on, state};
    struct value *still = make_node1(body, "Identity", "still", go_on);
    struct value *next = make_node2(body, "Add", "next", state, state);
    struct value *was = make_node1(body, "Identity", "was", state);
    still->dtype = DTYPE_BOOL;
    next->dtype = was->dtype = DTYPE_F32;
    struct value *made[] = {still, next, was};
    graph_set_inputs(body, 3, formal);
    graph_set_outputs(body, 3, made);

    struct graph *graph = maker->graph = graph_create(&maker->region, "loop");
    struct value *trip = graph_add_value(graph, "trip", DTYPE_I64, 0, NULL);
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")});
    struct value *in[] = {trip, NULL, x};
    struct value *out[] = {graph_add_value(graph, "last", DTYPE_NONE, -1, NULL),
                           graph_add_value(graph, "all", DTYPE_NONE, -1, NULL)};
    const struct attribute attribute = {.name = "body", .kind = ATTRIBUTE_GRAPH, .graph = body};
    graph_add_node(graph, op_find("", "Loop"), NEWEST_OPSET, "loop", 3, in, 2, out, 1, &attribute);
    struct value *inputs[] = {trip, x};
    return maker_finish(maker, 2, inputs, 2, out, NULL);
}

/* --- running -------------------------------------------------------------------------------------------- */

static float *ramp(int64_t count)
{
    static float data[1 << 18];
    for (int64_t i = 0; i < count; i++)
        data[i] = (float)(i % 97) / 50 - 1;
    return data;
}

/* --- memory -------------------------------------------------------------------------------------------- */

START_TEST(a_known_shape_allocates_nothing)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    infer_model_options options = {.allocator = &allocator};
    struct maker maker = maker_start();
    struct running r = running_begin(chain_model(&maker, &options), &(infer_session_options){.threads = 2});
    infer_tensor in[3], out[2];
    for (int i = 0; i < 3; i++)
        in[i] = f32_tensor(ramp(64 * 300), 2, 1 + 100 * i, 64);
    for (int round = 0; round < 3; round++) {
        long before = atomic_load(&counting.calls);
        for (int i = 0; i < 3; i++) {
            memset(out, 0, sizeof out);
            run_well(r.context, &in[i], 1, out, 2);
        }
        if (round > 0)
            ck_assert_int_eq(atomic_load(&counting.calls), before);
    }
    running_end(&r, &maker);
    ck_assert_int_eq(atomic_load(&counting.bytes), 0);
}
END_TEST

/* Everything from opening to the second shape, with the allocator failing from call `fail_at` on. */
static infer_status everything(struct counting *counting)
{
    infer_allocator allocator = counting_allocator(counting);
    infer_model_options options = {.allocator = &allocator};
    struct maker maker = maker_start();
    infer_error error = {0};
    infer_session *session = NULL;
    infer_context *context = NULL;
    infer_model *model = chain_model(&maker, &options);
    infer_status status = model ? INFER_OK : INFER_OUT_OF_MEMORY;
    if (status == INFER_OK)
        status = infer_session_create(model, &(infer_session_options){.threads = 2}, &session, &error);
    if (status == INFER_OK)
        status = infer_context_create(session, &context, &error);
    for (int64_t n = 1; n <= 2 && status == INFER_OK; n++) {
        infer_tensor in = f32_tensor(ramp(64 * n), 2, n, 64), out[2] = {{0}, {0}};
        status = infer_run(context, &in, 1, out, 2, &error);
    }
    ck_assert(status == INFER_OK || !model || error.message[0] != '\0');
    infer_context_release(context);
    infer_session_release(session);
    infer_model_release(model);
    region_free(&maker.region);
    return status;
}

START_TEST(every_allocation_may_fail)
{
    for (long fail_at = 0; fail_at < 10000; fail_at++) {
        struct counting counting = {.fail_at = fail_at};
        infer_status status = everything(&counting);
        ck_assert_int_eq(atomic_load(&counting.bytes), 0);
        if (status == INFER_OK) {
            ck_assert_int_gt(fail_at, 10);
            return;
        }
        ck_assert_int_eq(status, INFER_OUT_OF_MEMORY);
    }
    ck_abort_msg("it never succeeds");
}
END_TEST

START_TEST(a_limit_refuses_before_anything_is_allocated)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    infer_model_options options = {.allocator = &allocator};
    struct maker maker = maker_start();
    struct running r = running_begin(chain_model(&maker, &options),
                                     &(infer_session_options){.memory_limit = 1 << 20, .no_optimize = true});
    infer_tensor in = f32_tensor(ramp(64 * 4000), 2, 4000, 64), out[2] = {{0}, {0}};
    infer_error error = {0};
    infer_memory memory;
    ck_assert_int_eq(infer_run(r.context, &in, 1, out, 2, &error), INFER_MEMORY_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.message, "past the limit of 1048576"));
    ck_assert_int_lt(atomic_load(&counting.bytes), 1 << 19);
    in = f32_tensor(ramp(64 * 4), 2, 4, 64);
    run_well(r.context, &in, 1, out, 2);
    ck_assert_int_eq(infer_session_prepare(r.session, &in, 1, &memory, &error), INFER_OK);
    ck_assert_uint_ge(memory.arena_bytes, memory.lower_bound_bytes);
    ck_assert(memory.complete);
    running_end(&r, &maker);
}
END_TEST

START_TEST(shapes_do_not_pile_up)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    infer_model_options options = {.allocator = &allocator};
    struct maker maker = maker_start();
    struct running r = running_begin(chain_model(&maker, &options), &(infer_session_options){.cached_programs = 4});
    long most = 0;
    for (int i = 0; i < 400; i++) {
        infer_tensor in = f32_tensor(ramp(64 * 50), 2, 1 + i * 7 % 50, 64), out[2] = {{0}, {0}};
        run_well(r.context, &in, 1, out, 2);
        if (i == 100)
            most = atomic_load(&counting.bytes);
    }
    ck_assert_int_le(atomic_load(&counting.bytes), most + 4096);
    running_end(&r, &maker);
}
END_TEST

/* --- results -------------------------------------------------------------------------------------------- */

START_TEST(threads_and_batches_do_not_change_a_bit)
{
    enum { ROWS = 1500 };
    float *x = ramp(64 * ROWS);
    float *expected = malloc(sizeof(float) * 64 * ROWS);
    ck_assert_ptr_nonnull(expected);
    for (int threads = 1; threads <= 5; threads++) {
        struct maker maker = maker_start();
        struct running r = running_begin(chain_model(&maker, NULL), &(infer_session_options){.threads = threads});
        infer_tensor in = f32_tensor(x, 2, ROWS, 64), out[2] = {{0}, {0}};
        run_well(r.context, &in, 1, out, 2);
        ck_assert_uint_eq(out[0].bytes, sizeof(float) * 64 * ROWS);
        if (threads == 1)
            memcpy(expected, out[0].data, out[0].bytes);
        ck_assert_mem_eq(out[0].data, expected, out[0].bytes);
        infer_tensor row = f32_tensor(x + 64 * 17, 2, 1, 64), alone[2] = {{0}, {0}};
        run_well(r.context, &row, 1, alone, 2);
        ck_assert_mem_eq(alone[0].data, expected + 64 * 17, alone[0].bytes);
        running_end(&r, &maker);
    }
    free(expected);
}
END_TEST

START_TEST(no_optimize_gives_the_same)
{
    struct maker maker = maker_start(), plain = maker_start();
    struct running r = running_begin(chain_model(&maker, NULL), NULL);
    struct running s = running_begin(chain_model(&plain, NULL), &(infer_session_options){.no_optimize = true});
    infer_tensor in = f32_tensor(ramp(64 * 9), 2, 9, 64), a[2] = {{0}, {0}}, b[2] = {{0}, {0}};
    run_well(r.context, &in, 1, a, 2);
    run_well(s.context, &in, 1, b, 2);
    ck_assert_mem_eq(a[1].data, b[1].data, a[1].bytes);
    running_end(&r, &maker);
    running_end(&s, &plain);
}
END_TEST

/* y = exp(x) + -exp(x): the negation may not be written over what the sum still reads. */
START_TEST(a_value_read_later_is_not_overwritten)
{
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "later");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")});
    struct value *power = make_node1(graph, "Exp", "power", x);
    struct value *y = make_node2(graph, "Add", "y", power, make_node1(graph, "Neg", "negative", power));
    infer_model *model = maker_finish(&maker, 1, &x, 1, &y, NULL);
    struct running r = running_begin(model, &(infer_session_options){.no_optimize = true});
    const float numbers[3] = {-1, 0, 2}, zeros[3] = {0, 0, 0};
    infer_tensor in = f32_tensor(numbers, 1, 3, 0), out[1] = {{0}};
    run_well(r.context, &in, 1, out, 1);
    expect_floats(&out[0], 3, zeros);
    running_end(&r, &maker);
}
END_TEST

/* y = softmax(exp(x)): the powers lie in y from the start; where a sum reads them after that, in that; or they are
 * handed out themselves. */
START_TEST(a_result_may_be_written_over_what_it_is_made_of)
{
    enum { WIDTH = 1000 };
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "over");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){WIDTH}), *outputs[2];
    struct value *power = make_node1(graph, "Exp", "power", x);
    outputs[0] = make_node1(graph, "Softmax", "y", power);
    outputs[1] = _i == 1 ? make_node2(graph, "Add", "sum", power, outputs[0]) : power;
    infer_model *model = maker_finish(&maker, 1, &x, _i ? 2 : 1, outputs, NULL);
    struct running r = running_begin(model, &(infer_session_options){.no_optimize = true});
    float numbers[WIDTH], powers[WIDTH], y[WIDTH];
    double sum = 0;
    for (int i = 0; i < WIDTH; i++) {
        numbers[i] = (float)(i % 7) / 7;
        powers[i] = expf(numbers[i]);
        sum += exp((double)powers[i]);
    }
    infer_tensor in = f32_tensor(numbers, 1, WIDTH, 0), out[2] = {{.data = y, .capacity = sizeof y}, {0}};
    run_well(r.context, &in, 1, out, _i ? 2 : 1);
    ck_assert_ptr_eq(out[0].data, y);
    for (int i = 0; i < WIDTH; i++) {
        double expected = exp((double)powers[i]) / sum;
        ck_assert_double_eq_tol((double)y[i], expected, 1e-6 * expected + 1e-9);
        if (_i)
            ck_assert_double_eq_tol((double)((const float *)out[1].data)[i],
                                    (double)powers[i] + (_i == 1 ? expected : 0), 1e-5);
    }
    ck_assert_uint_lt(infer_context_arena_bytes(r.context), sizeof powers);
    running_end(&r, &maker);
}
END_TEST

struct worker {
    infer_session *session;
    int seed;
    bool failed;
};

static void *work(void *user)
{
    struct worker *worker = user;
    infer_context *context;
    float x[64 * 8];
    infer_error error = {0};
    if (infer_context_create(worker->session, &context, &error) != INFER_OK) {
        worker->failed = true;
        return NULL;
    }
    for (int i = 0; i < 64 * 8; i++)
        x[i] = (float)((i * worker->seed) % 31) / 31;
    for (int i = 0; i < 60 && !worker->failed; i++) {
        infer_tensor in = f32_tensor(x, 2, 1 + i % 8, 64), out[2] = {{0}, {0}};
        worker->failed = infer_run(context, &in, 1, out, 2, &error) != INFER_OK ||
                         memcmp(out[0].data, out[1].data, out[1].bytes) != 0; /* all positive: relu keeps y */
    }
    infer_context_release(context);
    return NULL;
}

START_TEST(many_threads_share_a_session)
{
    struct maker maker = maker_start();
    struct running r =
        running_begin(chain_model(&maker, NULL), &(infer_session_options){.threads = 2, .cached_programs = 3});
    pthread_t threads[4];
    struct worker workers[4];
    for (int i = 0; i < 4; i++) {
        workers[i] = (struct worker){.session = r.session, .seed = i + 3};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(!workers[i].failed);
    }
    running_end(&r, &maker);
}
END_TEST

START_TEST(results_go_where_the_caller_says)
{
    struct maker maker = maker_start();
    struct running r = running_begin(chain_model(&maker, NULL), NULL);
    float mine[2 * 64];
    infer_tensor in = f32_tensor(ramp(2 * 64), 2, 2, 64), out[2] = {{.data = mine, .bytes = sizeof mine}, {0}};
    infer_error error = {0};
    run_well(r.context, &in, 1, out, 2);
    ck_assert_ptr_eq(out[0].data, mine);
    ck_assert_int_eq(out[0].dims[0], 2);
    infer_tensor small[1] = {{.data = mine, .bytes = 100}};
    ck_assert_int_eq(infer_run(r.context, &in, 1, small, 1, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "output 'y' needs 512 bytes; 100 are given");
    run_well(r.context, &in, 1, out, 2);
    running_end(&r, &maker);
}
END_TEST

START_TEST(wrong_inputs_get_a_sentence)
{
    struct maker maker = maker_start();
    struct running r = running_begin(chain_model(&maker, NULL), NULL);
    infer_tensor in = f32_tensor(ramp(3 * 63), 2, 3, 63), out[2] = {{0}, {0}};
    infer_error error = {0};
    ck_assert_int_eq(infer_run(r.context, &in, 1, out, 2, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "input 'x' is 3x63; the model takes [N, 64]");
    ck_assert_int_eq(infer_run(r.context, &in, 0, out, 2, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "0 inputs are given; the model takes 1");
    in = f32_tensor(ramp(64), 2, 1, 64);
    in.dtype = INFER_INT32;
    ck_assert_int_eq(infer_run(r.context, &in, 1, out, 2, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "input 'x' is int32; the model takes float32");
    in.dtype = INFER_FLOAT32;
    in.bytes = 255;
    ck_assert_int_eq(infer_run(r.context, &in, 1, out, 2, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "input 'x' has 255 bytes; its shape needs 256");
    running_end(&r, &maker);
}
END_TEST

/* --- shapes that data decide ---------------------------------------------------------------------------- */

START_TEST(a_size_that_only_the_run_tells)
{
    struct maker maker = maker_start();
    struct running r = running_begin(select_model(&maker), NULL);
    const float x[6] = {-1, 2, 0, 3, -4, 5}, none[2] = {-1, -2}, doubled[3] = {4, 6, 10};
    for (int round = 0; round < 3; round++) {
        infer_tensor in = f32_tensor(x, 1, 6, 0), out[1] = {{0}};
        run_well(r.context, &in, 1, out, 1);
        ck_assert_int_eq(out[0].dims[0], 3);
        ck_assert_mem_eq(out[0].data, doubled, sizeof doubled);
        in = f32_tensor(none, 1, 2, 0);
        memset(out, 0, sizeof out);
        run_well(r.context, &in, 1, out, 1);
        ck_assert_int_eq(out[0].dims[0], 0);
    }
    running_end(&r, &maker);
}
END_TEST

START_TEST(a_branch_chosen_at_run_time)
{
    struct maker maker = maker_start();
    struct running r = running_begin(if_model(&maker), NULL);
    const float x[3] = {1, 2, 3}, sum[3] = {2, 4, 6}, square[3] = {-1, -4, -9};
    for (int i = 0; i < 4; i++) {
        uint8_t condition = (uint8_t)(i % 2);
        infer_tensor in[2] = {{.data = &condition, .bytes = 1, .dtype = INFER_BOOL}, f32_tensor(x, 1, 3, 0)};
        infer_tensor out[1] = {{0}};
        run_well(r.context, in, 2, out, 1);
        ck_assert_mem_eq(out[0].data, condition ? sum : square, sizeof sum);
    }
    running_end(&r, &maker);
}
END_TEST

START_TEST(a_loop_runs_as_often_as_it_is_told)
{
    struct maker maker = maker_start();
    struct running r = running_begin(loop_model(&maker), NULL);
    const float x[2] = {1, 3};
    for (int64_t trip = 4; trip >= 0; trip -= 2) {
        infer_tensor in[2] = {{.data = &trip, .bytes = 8, .dtype = INFER_INT64}, f32_tensor(x, 1, 2, 0)};
        infer_tensor out[2] = {{0}, {0}};
        run_well(r.context, in, 2, out, 2);
        const float *last = out[0].data, *all = out[1].data;
        ck_assert_float_eq(last[1], 3 * (float)(1 << trip));
        ck_assert_int_eq(out[1].dims[0], trip);
        for (int64_t i = 0; i < trip; i++)
            ck_assert_float_eq(all[2 * i], (float)(1 << i));
    }
    running_end(&r, &maker);
}
END_TEST

struct seen {
    int steps, values, sources;
    char names[400];
};

static void see_step(void *user, const infer_step *step)
{
    struct seen *seen = user;
    ck_assert_uint_gt(step->source_count, 0);
    seen->sources += (int)step->source_count;
    seen->steps++;
}

static void see_value(void *user, const char *name, const infer_tensor *tensor)
{
    struct seen *seen = user;
    ck_assert_ptr_nonnull(tensor->data);
    seen->values++;
    strncat(seen->names, name, 50);
    strncat(seen->names, " ", 2);
}

static struct seen watch(const infer_session_options *options)
{
    struct maker maker = maker_start();
    struct running r = running_begin(chain_model(&maker, NULL), options);
    struct seen seen = {.steps = 0};
    infer_observer observer = {.after = see_step, .value = see_value, .user = &seen};
    infer_tensor in = f32_tensor(ramp(64), 2, 1, 64), out[2] = {{0}, {0}};
    infer_context_observe(r.context, &observer);
    run_well(r.context, &in, 1, out, 2);
    int steps = seen.steps;
    infer_context_observe(r.context, NULL);
    run_well(r.context, &in, 1, out, 2);
    ck_assert_int_eq(seen.steps, steps);
    running_end(&r, &maker);
    return seen;
}

START_TEST(an_observer_sees_every_value_by_its_name)
{
    const char *const names[] = {"exp ", "product ", "tanh ", "y ", "relu "};
    struct seen plain = watch(&(infer_session_options){.no_optimize = true});
    ck_assert_int_eq(plain.steps, 5);
    for (size_t i = 0; i < 5; i++)
        ck_assert_msg(strstr(plain.names, names[i]) != NULL, "%s was not seen", names[i]);
}
END_TEST

START_TEST(a_chain_is_one_step)
{
    struct seen fused = watch(NULL);
    ck_assert_int_eq(fused.steps, 2); /* y is an output, so relu, which reads it, stays a step of its own */
    ck_assert_str_eq(fused.names, "y relu ");
    ck_assert_int_eq(fused.sources, 5);
}
END_TEST

Suite *runtime_suite(void)
{
    Suite *suite = suite_create("runtime");
    TCase *tests = tcase_create("runtime");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_known_shape_allocates_nothing);
    tcase_add_test(tests, every_allocation_may_fail);
    tcase_add_test(tests, a_limit_refuses_before_anything_is_allocated);
    tcase_add_test(tests, shapes_do_not_pile_up);
    tcase_add_test(tests, threads_and_batches_do_not_change_a_bit);
    tcase_add_test(tests, no_optimize_gives_the_same);
    tcase_add_test(tests, a_value_read_later_is_not_overwritten);
    tcase_add_loop_test(tests, a_result_may_be_written_over_what_it_is_made_of, 0, 3);
    tcase_add_test(tests, many_threads_share_a_session);
    tcase_add_test(tests, results_go_where_the_caller_says);
    tcase_add_test(tests, wrong_inputs_get_a_sentence);
    tcase_add_test(tests, a_size_that_only_the_run_tells);
    tcase_add_test(tests, a_branch_chosen_at_run_time);
    tcase_add_test(tests, a_loop_runs_as_often_as_it_is_told);
    tcase_add_test(tests, an_observer_sees_every_value_by_its_name);
    tcase_add_test(tests, a_chain_is_one_step);
    suite_add_tcase(suite, tests);
    return suite;
}
