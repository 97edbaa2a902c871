/* One allocation fails, whichever it is, somewhere in a program that uses all of the interface: that call says so,
 * called again it does what it should, and nothing is lost. */
#include "tests/model_maker.h"
#include "tests/suites.h"

#include "formats/model_file.h"

#include <stdatomic.h>
#include <string.h>

#define WIDTH 64
#define ROWS 3
#define OUTPUTS 3

struct once {
    atomic_long calls, bytes;
    long fail_at; /* the call, from 0 on; -1: none */
};

static void *allocate_but_once(void *user, size_t bytes, size_t alignment)
{
    struct once *once = user;
    if (atomic_fetch_add(&once->calls, 1) == once->fail_at)
        return NULL;
    atomic_fetch_add(&once->bytes, (long)bytes);
    return default_allocator.allocate(NULL, bytes, alignment);
}

static void release_counted(void *user, void *memory, size_t bytes)
{
    struct once *once = user;
    atomic_fetch_sub(&once->bytes, (long)bytes);
    default_allocator.release(NULL, memory, bytes);
}

/* `call`, a status with an error, must end as `expected` says: at once, or the second time where the first one found no
 * memory. */
#define DO(expected, call)                                                               \
    do {                                                                                 \
        infer_error error = {INFER_OK, ""};                                              \
        infer_status status = (call);                                                    \
        if (status == INFER_OUT_OF_MEMORY) {                                             \
            ck_assert_msg(*error.message, "no sentence for " #call);                     \
            error = (infer_error){INFER_OK, ""};                                         \
            status = (call);                                                             \
        }                                                                                \
        ck_assert_msg(status == (expected), "%s: %d, %s", #call, status, error.message); \
    } while (0)

/* x w, whose weights are packed; a Loop that doubles; and a shape that only the run tells. */
static void make_file(struct maker *maker, void **bytes, size_t *size)
{
    static float weights[WIDTH * WIDTH];
    struct model_metadata metadata = {.name = "everything", .producer = "a test", .description = ""};
    struct graph *graph = maker->graph = graph_create(&maker->region, "everything");
    struct graph *body = graph_create(&maker->region, "body");
    struct value *in[] = {graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){graph_symbol(graph, "N"), WIDTH}),
                          graph_add_value(graph, "trip", DTYPE_I64, 0, NULL)};
    struct value *inner[] = {graph_add_value(body, "i", DTYPE_I64, 0, NULL),
                             graph_add_value(body, "go", DTYPE_BOOL, 0, NULL),
                             graph_add_value(body, "state", DTYPE_F32, 1, (int64_t[]){4})};
    for (int i = 0; i < WIDTH * WIDTH; i++)
        weights[i] = (float)(i * 7919 % 101) / 101 - 0.5f;
    graph_set_inputs(body, 3, inner);
    graph_set_outputs(body, 2, (struct value *[]){inner[1], make_node2(body, "Add", "next", inner[2], inner[2])});
    struct value *w = graph_add_constant(graph, "w", DTYPE_F32, 2, (int64_t[]){WIDTH, WIDTH}, weights);
    struct value *y = make_node1(graph, "Relu", "y", make_node2(graph, "MatMul", "xw", in[0], w));
    const float ones[4] = {1, 1, 1, 1};
    const struct attribute attribute = {.name = "body", .kind = ATTRIBUTE_GRAPH, .graph = body};
    struct value *begin = graph_add_constant(graph, "ones", DTYPE_F32, 1, (int64_t[]){4}, ones);
    struct value *doubled =
        make_node(graph, "Loop", "doubled", 3, (struct value *[]){in[1], NULL, begin}, 1, &attribute);
    struct value *places = make_node1(graph, "Abs", "places", make_node1(graph, "NonZero", "found", y));
    graph_set_inputs(graph, 2, in);
    graph_set_outputs(graph, OUTPUTS, (struct value *[]){y, doubled, places});
    struct error error = {0};
    ck_assert_msg(model_write(graph, &metadata, &maker->region, bytes, size, &error) == STATUS_OK, "%s", error.text);
}

static void fill_inputs(infer_tensor inputs[2])
{
    static float x[ROWS * WIDTH];
    static const int64_t trip = 5;
    for (int i = 0; i < ROWS * WIDTH; i++)
        x[i] = (float)(i % 13) - 6;
    inputs[0] = f32_tensor(x, 2, ROWS, WIDTH);
    inputs[1] = i64_tensor(&trip, 0, 0);
}

static void count_step(void *user, const infer_step *step)
{
    ck_assert_ptr_nonnull(step->node);
    ++*(int *)user;
}

static void count_value(void *user, const char *name, const infer_tensor *tensor)
{
    ck_assert(*name && tensor->dtype != INFER_NONE);
    ++*(int *)user;
}

/* Watched, timed, stopped in each way, and again; results in memory of the context and of the caller. */
static void use_context(infer_context *context, float *first)
{
    static float room[ROWS * WIDTH];
    infer_tensor inputs[2], outputs[OUTPUTS] = {{0}}, mine[OUTPUTS];
    infer_step_time times[16];
    int steps = 0, values = 0;
    fill_inputs(inputs);
    DO(INFER_CANCELLED, (infer_context_cancel(context), infer_run(context, inputs, 2, outputs, OUTPUTS, &error)));
    DO(INFER_OK, infer_context_limit(context, &(infer_run_limits){.loop_turns = 4}, &error));
    DO(INFER_WORK_LIMIT, infer_run(context, inputs, 2, outputs, OUTPUTS, &error));
    DO(INFER_OK, infer_context_limit(context, &(infer_run_limits){.multiply_adds = 100}, &error));
    DO(INFER_WORK_LIMIT, infer_run(context, inputs, 2, outputs, OUTPUTS, &error));
    DO(INFER_OK, infer_context_limit(context, &(infer_run_limits){.seconds = 1e-9}, &error));
    DO(INFER_DEADLINE, infer_run(context, inputs, 2, outputs, OUTPUTS, &error));
    DO(INFER_OK, infer_context_limit(context, &(infer_run_limits){.seconds = 1000, .loop_turns = 5}, &error));
    infer_context_time_steps(context, true);
    DO(INFER_OK, infer_run(context, inputs, 2, outputs, OUTPUTS, &error));
    size_t count = infer_context_step_times(context, times, 16);
    ck_assert(count >= 3 && count <= 16);
    infer_context_time_steps(context, false);
    ck_assert_float_eq(((const float *)outputs[1].data)[0], 32);
    ck_assert_int_eq(outputs[2].dims[0], 2);
    if (*first == 0)
        memcpy(first, outputs[0].data, sizeof room);
    infer_context_observe(context, &(infer_observer){.before = count_step, .after = count_step, .user = &steps});
    DO(INFER_OK, infer_run(context, inputs, 2, outputs, OUTPUTS, &error));
    ck_assert_int_ge(steps, 2 * (int)count);
    infer_context_observe(context, &(infer_observer){.value = count_value, .user = &values});
    mine[0] = infer_output(room, sizeof room);
    mine[1] = mine[2] = infer_output(NULL, INFER_LEFT_OUT);
    DO(INFER_OK, infer_run(context, inputs, 2, mine, OUTPUTS, &error));
    ck_assert_int_gt(values, 0);
    ck_assert_int_eq(memcmp(room, first, sizeof room), 0);
    infer_context_observe(context, NULL);
}

static void use_session(infer_model *model, const infer_session_options *options, float *first)
{
    infer_session *session = NULL;
    infer_context *contexts[2] = {NULL};
    infer_memory memory;
    infer_tensor inputs[2], outputs[OUTPUTS] = {{0}};
    fill_inputs(inputs);
    DO(INFER_OK, infer_session_create(model, options, &session, &error));
    inputs[0].data = NULL;
    DO(INFER_OK, infer_session_prepare(session, inputs, 2, &memory, &error));
    ck_assert(!memory.complete);
    fill_inputs(inputs);
    DO(INFER_OK, infer_session_prepare(session, inputs, 2, NULL, &error));
    DO(INFER_OK, infer_session_outputs(session, inputs, 2, outputs, OUTPUTS, &error));
    ck_assert_int_eq(outputs[0].dims[0], ROWS);
    DO(INFER_OK, infer_session_memory(session, &memory, &error));
    for (int i = 0; i < 2; i++) {
        DO(INFER_OK, infer_context_create(session, &contexts[i], &error));
        use_context(contexts[i], first);
    }
    for (int i = 0; i < 2; i++)
        infer_context_release(contexts[i]);
    infer_session_release(session);
}

/* True where the call that was to fail has come. */
static bool use_everything(const void *bytes, size_t size, struct once *once, bool copy)
{
    const infer_allocator allocator = {allocate_but_once, release_counted, once};
    infer_model *model = NULL;
    infer_executor *executor = NULL;
    infer_value value;
    float first[ROWS * WIDTH] = {0};
    size_t index = 9, keys = 0;
    infer_model_options options = {.allocator = &allocator, .copy_file = copy};
    infer_executor_options threads = {.allocator = &allocator, .threads = 2};
    DO(INFER_OK, infer_model_open_memory(bytes, size, "everything.bin", &options, &model, &error));
    DO(INFER_OK, infer_executor_create(&threads, &executor, &error));
    while (infer_model_metadata_key(model, keys))
        ck_assert_ptr_nonnull(infer_model_metadata(model, infer_model_metadata_key(model, keys++)));
    ck_assert_uint_ge(keys, 3);
    ck_assert_int_eq(infer_model_find_input(model, "trip", &index), INFER_OK);
    ck_assert_int_eq(infer_model_input(model, index, &value), INFER_OK);
    ck_assert_int_eq(value.dtype, INFER_INT64);
    use_session(model, &(infer_session_options){.executor = executor, .cached_programs = 2}, first);
    infer_executor_release(executor);
    use_session(model, &(infer_session_options){.threads = 2, .memory_limit = 1 << 20, .memory_saving = true}, first);
    use_session(model, &(infer_session_options){.threads = 1, .no_optimize = true}, first);
    infer_model_release(model);
    return atomic_load(&once->calls) > once->fail_at;
}

#define PARTS 4

START_TEST(any_call_may_fail_once)
{
    struct maker maker = maker_start();
    void *bytes;
    size_t size;
    bool comes = true;
    long fail_at = _i;
    make_file(&maker, &bytes, &size);
    for (; comes; fail_at += PARTS) {
        struct once once = {.fail_at = fail_at};
        comes = use_everything(bytes, size, &once, _i & 1);
        ck_assert_int_eq(atomic_load(&once.bytes), 0);
    }
    ck_assert_int_gt(fail_at, 200);
    region_free(&maker.region);
}
END_TEST

Suite *runtime_allocations_suite(void)
{
    Suite *suite = suite_create("runtime_allocations");
    TCase *tests = tcase_create("runtime_allocations");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, any_call_may_fail_once, 0, PARTS);
    suite_add_tcase(suite, tests);
    return suite;
}
