/* One allocation fails, whichever it is, somewhere in the life of a predictor: that call says so, or does without;
 * called again it does what it should, and nothing is lost. */
#include "tests/predictor_test.h"
#include "tests/suites.h"

#include <string.h>

#define ITEMS 6
#define CHUNKS 3

struct once {
    atomic_long calls, bytes;
    long fail_at; /* the call, from 0 on */
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

/* `call`, a status with an error, must end well: at once, or the second time where the first one found no memory. */
#define DO(call)                                                                       \
    do {                                                                               \
        infer_error error = {INFER_OK, ""};                                            \
        infer_status status = (call);                                                  \
        if (status == INFER_OUT_OF_MEMORY) {                                           \
            ck_assert_msg(*error.message, "no sentence for " #call);                   \
            error = (infer_error){INFER_OK, ""};                                       \
            status = (call);                                                           \
        }                                                                              \
        ck_assert_msg(status == INFER_OK, "%s: %d, %s", #call, status, error.message); \
    } while (0)

/* --- hooks -------------------------------------------------------------------------------------------------------- */

static infer_status copy(infer_hook *hook, const infer_tensor *from, infer_tensor *to, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = from[i];
        to[i].data = infer_hook_memory(hook, 5000 + from[i].bytes); /* more than fits one block */
        if (!to[i].data)
            return INFER_OUT_OF_MEMORY;
        memcpy(to[i].data, from[i].data, from[i].bytes);
    }
    return INFER_OK;
}

static infer_status copy_given(void *user, infer_hook *hook, const infer_tensor *given, size_t given_count,
                               infer_tensor *inputs, size_t input_count, infer_error *error)
{
    (void)user, (void)input_count, (void)error;
    return copy(hook, given, inputs, given_count);
}

static infer_status copy_outputs(void *user, infer_hook *hook, const infer_tensor *outputs, size_t output_count,
                                 infer_tensor *results, size_t result_count, infer_error *error)
{
    (void)user, (void)result_count, (void)error;
    return copy(hook, outputs, results, output_count);
}

/* --- every way of asking ------------------------------------------------------------------------------------------ */

static struct rows_request requests[ITEMS];

static infer_status ask_async(infer_predictor *predictor, unsigned seed, infer_context *context, infer_error *error)
{
    infer_prediction *prediction;
    rows_fill(&requests[0], seed, 1, 3);
    infer_status status = infer_predict_async(predictor, requests[0].inputs, 2, NULL, 0, NULL, &prediction, error);
    if (status != INFER_OK)
        return status;
    infer_prediction_wait(prediction, -1);
    status = infer_prediction_status(prediction, error);
    if (status == INFER_OK) {
        infer_tensor results[2] = {*infer_prediction_result(prediction, 0), *infer_prediction_result(prediction, 1)};
        ck_assert(rows_are_right(context, &requests[0], results));
    }
    infer_prediction_release(prediction);
    return status;
}

static infer_status ask_batch(infer_predictor *predictor, unsigned seed, infer_context *context, infer_error *error)
{
    infer_item items[ITEMS];
    for (unsigned k = 0; k < ITEMS; k++) {
        rows_fill(&requests[k], seed + k, 1 + k % 3 / 2, 1 + k % 4);
        items[k] = (infer_item){requests[k].inputs, 2, requests[k].results, 2, {0}};
    }
    infer_status status = infer_predict_batch(predictor, items, ITEMS, NULL, error);
    for (unsigned k = 0; k < ITEMS; k++)
        ck_assert(items[k].error.status == INFER_OUT_OF_MEMORY ||
                  rows_are_right(context, &requests[k], requests[k].results));
    return status;
}

static bool keep_text(void *user, const char *text, size_t bytes)
{
    (void)text;
    *(size_t *)user += bytes;
    return true;
}

static void use_rows(infer_model *model, infer_context *context, const infer_allocator *allocator, bool hooks)
{
    static const int64_t sizes[] = {4};
    static const infer_bucket bucket = {"S", sizes, 1, NULL, 1};
    infer_predictor_options options = {.model = model,
                                       .session_options = {.threads = 1},
                                       .allocator = allocator,
                                       .batch_size = 4,
                                       .buckets = &bucket,
                                       .bucket_count = 1,
                                       .cache_bytes = 1 << 16,
                                       .trace_events = 100};
    infer_predictor *predictor = NULL;
    infer_metrics metrics;
    size_t traced = 0;
    if (hooks)
        options.hooks = (infer_hooks){.preprocess = copy_given, .postprocess = copy_outputs};
    DO(infer_predictor_create(&options, &predictor, &error));
    for (unsigned turn = 0; turn < 2; turn++) {
        rows_fill(&requests[0], 1 + turn, 2, 3);
        DO(rows_predict(predictor, &requests[0], &error));
        ck_assert(rows_are_right(context, &requests[0], requests[0].results));
        DO(ask_batch(predictor, 10 * turn, context, &error));
        DO(ask_async(predictor, 30 + turn, context, &error));
        DO(ask_async(predictor, 30 + turn, context, &error)); /* which the cache may know */
    }
    DO(infer_metrics_snapshot(predictor, &metrics, &error));
    DO(infer_predictor_trace(predictor, -1, keep_text, &traced, &error));
    ck_assert_uint_gt(traced, 100);
    infer_predictor_release(predictor);
}

/* A stream from its beginning; where one of its requests finds no memory, its state may have moved on or not. */
static infer_status ask_stream(infer_predictor *predictor, const float (*expected)[STATE_WIDTH], infer_error *error)
{
    static const float x[STATE_WIDTH] = {0.5f, -0.25f, 1, 0};
    infer_status status = INFER_OK;
    for (int k = 0; k < CHUNKS && status == INFER_OK; k++) {
        float y[STATE_WIDTH];
        infer_tensor in[2] = {f32_tensor(x, 2, 1, STATE_WIDTH), {.dtype = INFER_NONE}};
        infer_tensor out = infer_output(y, sizeof y);
        status = infer_predict(predictor, in, 2, &out, 1, &(infer_request_options){.stream = 7}, error);
        if (status == INFER_OK && expected)
            ck_assert_mem_eq(y, expected[k], sizeof y);
    }
    infer_predictor_end_stream(predictor, 7);
    return status;
}

static void use_streams(infer_model *model, const infer_allocator *allocator, const float (*expected)[STATE_WIDTH])
{
    static const infer_state states[] = {{.output = 1, .input = 1}};
    infer_predictor_options options = {
        .model = model, .session_options = {.threads = 1}, .allocator = allocator, .states = states, .state_count = 1};
    infer_predictor *predictor = NULL;
    DO(infer_predictor_create(&options, &predictor, &error));
    DO(ask_stream(predictor, expected, &error));
    DO(ask_stream(predictor, expected, &error));
    infer_predictor_release(predictor);
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

/* A model in memory that is not counted, and a context of it for runs to compare with. */
struct model_in_use {
    struct maker maker;
    infer_model *model;
    infer_session *session;
    infer_context *context;
};

static struct model_in_use begin_use(infer_model *(*make)(struct maker *maker, const infer_model_options *options))
{
    struct model_in_use use = {.maker = maker_start()};
    use.model = make(&use.maker, NULL);
    ck_assert_int_eq(infer_session_create(use.model, &(infer_session_options){.threads = 1}, &use.session, NULL),
                     INFER_OK);
    ck_assert_int_eq(infer_context_create(use.session, &use.context, NULL), INFER_OK);
    return use;
}

static void end_use(struct model_in_use *use)
{
    infer_context_release(use->context);
    infer_session_release(use->session);
    infer_model_release(use->model);
    region_free(&use->maker.region);
}

/* Without and with hooks: bit 0 of the index. Of all calls, every PARTS-th. */
#define PARTS 4

static void fail_each(long first, void (*use)(const infer_allocator *allocator, void *user), void *user)
{
    bool comes = true;
    long fail_at = first;
    for (; comes; fail_at += PARTS) {
        struct once once = {.fail_at = fail_at};
        use(&(infer_allocator){allocate_but_once, release_counted, &once}, user);
        comes = atomic_load(&once.calls) > fail_at;
        ck_assert_int_eq(atomic_load(&once.bytes), 0);
    }
    ck_assert_int_gt(fail_at, 15);
}

static void use_rows_once(const infer_allocator *allocator, void *user)
{
    struct model_in_use *use = user;
    use_rows(use->model, use->context, allocator, false);
}

static void use_hooks_once(const infer_allocator *allocator, void *user)
{
    struct model_in_use *use = user;
    use_rows(use->model, use->context, allocator, true);
}

START_TEST(any_call_of_requests_may_fail_once)
{
    struct model_in_use use = begin_use(rows_model);
    fail_each(_i / 2, _i & 1 ? use_hooks_once : use_rows_once, &use);
    end_use(&use);
}
END_TEST

struct stream_use {
    struct model_in_use use;
    float expected[CHUNKS][STATE_WIDTH];
};

static void use_streams_once(const infer_allocator *allocator, void *user)
{
    struct stream_use *use = user;
    use_streams(use->use.model, allocator, (const float(*)[STATE_WIDTH])use->expected);
}

START_TEST(any_call_of_streams_may_fail_once)
{
    static const float x[STATE_WIDTH] = {0.5f, -0.25f, 1, 0};
    static struct stream_use use;
    float h[2][STATE_WIDTH] = {{0}};
    use.use = begin_use(state_model);
    for (int k = 0; k < CHUNKS; k++) {
        infer_tensor in[2] = {f32_tensor(x, 2, 1, STATE_WIDTH), f32_tensor(h[k % 2], 2, 1, STATE_WIDTH)};
        infer_tensor out[2] = {infer_output(use.expected[k], sizeof h[0]), infer_output(h[(k + 1) % 2], sizeof h[0])};
        run_well(use.use.context, in, 2, out, 2);
    }
    fail_each(_i, use_streams_once, &use);
    end_use(&use.use);
}
END_TEST

/* The model and its session too: what runs ask for is asked of the same allocator. */
static void use_all_once(const infer_allocator *allocator, void *user)
{
    struct model_in_use *other = user;
    struct maker maker = maker_start();
    infer_model *model = rows_model(&maker, &(infer_model_options){.allocator = allocator});
    if (model) {
        use_rows(model, other->context, allocator, true);
        infer_model_release(model);
    }
    region_free(&maker.region);
}

START_TEST(any_call_of_runs_may_fail_once)
{
    struct model_in_use use = begin_use(rows_model);
    fail_each(_i, use_all_once, &use);
    end_use(&use);
}
END_TEST

Suite *predictor_allocations_suite(void)
{
    Suite *suite = suite_create("predictor_allocations");
    TCase *tests = tcase_create("predictor_allocations");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, any_call_of_requests_may_fail_once, 0, 2 * PARTS);
    tcase_add_loop_test(tests, any_call_of_streams_may_fail_once, 0, PARTS);
    tcase_add_loop_test(tests, any_call_of_runs_may_fail_once, 0, PARTS);
    suite_add_tcase(suite, tests);
    return suite;
}
