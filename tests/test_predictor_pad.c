/* Buckets: requests of different lengths in one run, padded, masked, and their results cut to their own size. */
#include "tests/predictor_test.h"
#include "tests/suites.h"

#include <math.h>
#include <string.h>

#define MOST_ITEMS 36

static const int64_t sizes[] = {4, 8};

/* --- with a mask -------------------------------------------------------------------------------------------------- */

/* What an encoder of sentences does: x [N, S, 8] looks at itself where the mask m [N, S] is 1, and at the end the mean
 * of those is taken: a [N, S, 8] and mean [N, 8]. */
static infer_model *masked_model(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "masked");
    int64_t n = graph_symbol(graph, "batch"), s = graph_symbol(graph, "sequence");
    static const float far = 1e9f, one = 1;
    static const int64_t turned[] = {0, 2, 1};
    const struct attribute perm = {.name = "perm", .kind = ATTRIBUTE_INTS, .count = 3, .ints = turned};
    const struct attribute to = {.name = "to", .kind = ATTRIBUTE_INT, .i = INFER_FLOAT32};
    const struct attribute last = {.name = "axis", .kind = ATTRIBUTE_INT, .i = -1};
    const struct attribute drop = {.name = "keepdims", .kind = ATTRIBUTE_INT, .i = 0};
    struct value *in[] = {graph_add_value(graph, "x", DTYPE_F32, 3, (int64_t[]){n, s, WIDTH}),
                          graph_add_value(graph, "m", DTYPE_I64, 2, (int64_t[]){n, s})};
    struct value *mask = make_node(graph, "Cast", "mask", 1, &in[1], 1, &to);
    struct value *less =
        make_node2(graph, "Sub", "less", mask, graph_add_constant(graph, "one", DTYPE_F32, 0, NULL, &one));
    struct value *bias =
        make_node2(graph, "Mul", "bias", less, graph_add_constant(graph, "far", DTYPE_F32, 0, NULL, &far));
    struct value *rows = make_node2(graph, "Unsqueeze", "rows", bias, make_ints(graph, "second", 1, (int64_t[]){1}));
    struct value *scores =
        make_node2(graph, "MatMul", "scores", in[0], make_node(graph, "Transpose", "turned", 1, &in[0], 1, &perm));
    struct value *masked = make_node2(graph, "Add", "masked", scores, rows);
    struct value *weights = make_node(graph, "Softmax", "weights", 1, &masked, 1, &last);
    struct value *a = make_node2(graph, "MatMul", "a", weights, in[0]);
    struct value *columns =
        make_node2(graph, "Unsqueeze", "columns", mask, make_ints(graph, "third", 1, (int64_t[]){2}));
    struct value *axis = make_ints(graph, "axis", 1, (int64_t[]){1});
    struct value *sum = make_node(graph, "ReduceSum", "sum", 2,
                                  (struct value *[]){make_node2(graph, "Mul", "kept", a, columns), axis}, 1, &drop);
    struct value *count = make_node(graph, "ReduceSum", "count", 2, (struct value *[]){columns, axis}, 1, &drop);
    struct value *mean = make_node2(graph, "Div", "mean", sum, count);
    struct value *out[] = {make_declared(a, 3, (int64_t[]){n, s, WIDTH}),
                           make_declared(mean, 2, (int64_t[]){n, WIDTH})};
    return maker_finish(maker, 2, in, 2, out, options);
}

struct masked_request {
    float x[MOST_ROWS * MOST_LENGTH * WIDTH], a[MOST_ROWS * MOST_LENGTH * WIDTH], mean[MOST_ROWS * WIDTH];
    int64_t m[MOST_ROWS * MOST_LENGTH];
    infer_tensor inputs[2], results[2];
};
static struct masked_request masked[MOST_ITEMS];

static void masked_fill(struct masked_request *request, unsigned seed, int64_t rows, int64_t length)
{
    uint32_t state = seed * 2654435761u + 1;
    for (int64_t k = 0; k < rows * length * WIDTH; k++) {
        state = state * 1664525u + 1013904223u;
        request->x[k] = (float)(state >> 8) / (float)(1 << 23) - 1;
    }
    for (int64_t k = 0; k < rows * length; k++)
        request->m[k] = k % length < 2 || (state >> k % 24 & 1);
    request->inputs[0] = infer_input(request->x, INFER_FLOAT32, 3, (int64_t[]){rows, length, WIDTH});
    request->inputs[1] = infer_input(request->m, INFER_INT64, 2, (int64_t[]){rows, length});
    request->results[0] = infer_output(request->a, sizeof request->a);
    request->results[1] = infer_output(request->mean, sizeof request->mean);
}

/* As a run alone has it, but for rounding. */
static void expect_alone(infer_context *context, const infer_tensor *inputs, size_t count, const infer_tensor *results)
{
    infer_tensor expected[2] = {infer_output(NULL, 0), infer_output(NULL, 0)};
    run_well(context, inputs, count, expected, 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(results[i].dtype, expected[i].dtype);
        ck_assert_int_eq(results[i].rank, expected[i].rank);
        ck_assert_mem_eq(results[i].dims, expected[i].dims, (size_t)expected[i].rank * sizeof(int64_t));
        ck_assert_uint_eq(results[i].bytes, expected[i].bytes);
        const float *e = expected[i].data, *r = results[i].data;
        for (size_t k = 0; k < expected[i].bytes / sizeof *e; k++)
            ck_assert_msg(fabsf(e[k] - r[k]) <= 1e-5f, "result %d, element %zu: %g, not %g", i, k, (double)r[k],
                          (double)e[k]);
    }
}

static struct rig masked_rig(infer_predictor_options options)
{
    static const infer_bucket bucket = {"sequence", sizes, 2, "m", 3};
    options.buckets = &bucket;
    options.bucket_count = 1;
    return rig_start(masked_model, options);
}

/* All lengths, also beyond the largest size; some items have several rows. */
START_TEST(masked_results_are_those_alone)
{
    static const int batch_sizes[] = {1, 4, 12};
    struct rig rig = masked_rig((infer_predictor_options){.batch_size = batch_sizes[_i], .contexts = 1 + _i % 2});
    infer_item items[MOST_ITEMS];
    infer_metrics metrics;
    infer_error error;
    for (unsigned k = 0; k < MOST_ITEMS; k++) {
        masked_fill(&masked[k], k, 1 + k % 5 / 4, 2 + k % (MOST_LENGTH - 1));
        items[k] = (infer_item){masked[k].inputs, 2, masked[k].results, 2, {.status = INFER_FAULT}};
    }
    ck_assert_msg(infer_predict_batch(rig.predictor, items, MOST_ITEMS, NULL, &error) == INFER_OK, "%s", error.message);
    for (unsigned k = 0; k < MOST_ITEMS; k++) {
        ck_assert_ptr_eq(masked[k].results[0].data, masked[k].a);
        expect_alone(rig.context, masked[k].inputs, 2, masked[k].results);
    }
    ck_assert_int_eq(infer_metrics_snapshot(rig.predictor, &metrics, NULL), INFER_OK);
    if (batch_sizes[_i] == 12)
        ck_assert_uint_le(metrics.runs, 18); /* lengths alone would make 33 groups of items that lie together */
    rig_free(&rig);
}
END_TEST

START_TEST(results_may_be_left_out_or_lent)
{
    struct rig rig = masked_rig((infer_predictor_options){.batch_size = 4});
    infer_prediction *prediction;
    masked_fill(&masked[0], 1, 1, 3);
    masked[0].results[1] = infer_output(NULL, INFER_LEFT_OUT);
    ck_assert_int_eq(infer_predict(rig.predictor, masked[0].inputs, 2, masked[0].results, 2, NULL, NULL), INFER_OK);
    ck_assert_int_eq(masked[0].results[0].dims[1], 3);
    ck_assert_int_eq(masked[0].results[1].dtype, INFER_NONE);
    ck_assert_int_eq(infer_predict_async(rig.predictor, masked[0].inputs, 2, NULL, 0, NULL, &prediction, NULL),
                     INFER_OK);
    ck_assert(infer_prediction_wait(prediction, -1));
    infer_tensor results[2] = {*infer_prediction_result(prediction, 0), *infer_prediction_result(prediction, 1)};
    expect_alone(rig.context, masked[0].inputs, 2, results);
    ck_assert_mem_eq(results[0].data, masked[0].a, results[0].bytes);
    infer_prediction_release(prediction);
    rig_free(&rig);
}
END_TEST

/* What the model refuses is refused in the same words. */
START_TEST(bad_items_fail_as_without_buckets)
{
    struct rig rig = masked_rig((infer_predictor_options){.batch_size = 4});
    infer_error error, alone;
    infer_tensor outputs[2] = {infer_output(NULL, 0), infer_output(NULL, 0)};
    masked_fill(&masked[0], 1, 1, 3);
    masked[0].inputs[1].dims[1] = 2;
    masked[0].inputs[1].bytes = 16;
    ck_assert_int_ne(infer_run(rig.context, masked[0].inputs, 2, outputs, 2, &alone), INFER_OK);
    ck_assert_int_eq(infer_predict(rig.predictor, masked[0].inputs, 2, masked[0].results, 2, NULL, &error),
                     alone.status);
    ck_assert_str_eq(error.message + strlen("prediction failed: "), alone.message);
    masked_fill(&masked[0], 1, 1, 3);
    masked[0].results[0].capacity = 3 * WIDTH * 4 - 1; /* room is looked at for what is left of the result */
    ck_assert_int_eq(infer_predict(rig.predictor, masked[0].inputs, 2, masked[0].results, 2, NULL, &error),
                     INFER_INVALID_ARGUMENT);
    masked[0].results[0].capacity++;
    ck_assert_int_eq(infer_predict(rig.predictor, masked[0].inputs, 2, masked[0].results, 2, NULL, &error), INFER_OK);
    rig_free(&rig);
}
END_TEST

/* --- without a mask ----------------------------------------------------------------------------------------------- */

/* Nothing in this model looks at its neighbours: results are those alone, bit for bit. */
START_TEST(padding_that_nobody_sees)
{
    static struct rows_request requests[MOST_ITEMS];
    static const infer_bucket bucket = {"S", sizes, 2, NULL, NAN};
    struct rig rig =
        rig_start(rows_model, (infer_predictor_options){.batch_size = 8, .buckets = &bucket, .bucket_count = 1});
    infer_item items[MOST_ITEMS];
    for (unsigned k = 0; k < MOST_ITEMS; k++) {
        rows_fill(&requests[k], k, 1 + k % 3 / 2, 1 + k % MOST_LENGTH);
        items[k] = (infer_item){requests[k].inputs, 2, requests[k].results, 2, {.status = INFER_FAULT}};
    }
    ck_assert_int_eq(infer_predict_batch(rig.predictor, items, MOST_ITEMS, NULL, NULL), INFER_OK);
    for (unsigned k = 0; k < MOST_ITEMS; k++)
        ck_assert(rows_are_right(rig.context, &requests[k], requests[k].results));
    rig_free(&rig);
}
END_TEST

/* Two dimensions at once, neither of them the last, and an input without either: y = x [H, W, 3] + b [3]. */
static infer_model *image_model(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "image");
    int64_t h = graph_symbol(graph, "H"), w = graph_symbol(graph, "W");
    struct value *in[] = {graph_add_value(graph, "x", DTYPE_F32, 3, (int64_t[]){h, w, 3}),
                          graph_add_value(graph, "b", DTYPE_F32, 1, (int64_t[]){3})};
    struct value *y = make_declared(make_node2(graph, "Add", "y", in[0], in[1]), 3, (int64_t[]){h, w, 3});
    return maker_finish(maker, 2, in, 1, &y, options);
}

START_TEST(two_dimensions)
{
    static const int64_t heights[] = {5}, widths[] = {2, 6};
    static const infer_bucket buckets[] = {{"W", widths, 2, NULL, 7}, {"H", heights, 1, NULL, 7}};
    struct rig rig = rig_start(image_model, (infer_predictor_options){.buckets = buckets, .bucket_count = 2});
    float x[7 * 7 * 3], y[7 * 7 * 3], b[3] = {10, 20, 30};
    for (int k = 0; k < 7 * 7 * 3; k++)
        x[k] = (float)k;
    for (int64_t h = 0; h <= 6; h++)
        for (int64_t w = 0; w <= 7; w++) {
            infer_tensor in[2] = {infer_input(x, INFER_FLOAT32, 3, (int64_t[]){h, w, 3}), f32_tensor(b, 1, 3, 0)};
            infer_tensor out = infer_output(y, sizeof y);
            infer_error error = {INFER_OK, ""};
            ck_assert_msg(infer_predict(rig.predictor, in, 2, &out, 1, NULL, &error) == INFER_OK, "%s", error.message);
            ck_assert_int_eq(out.dims[0], h);
            ck_assert_int_eq(out.dims[1], w);
            for (int k = 0; k < h * w * 3; k++)
                ck_assert_float_eq(y[k], (float)k + b[k % 3]);
        }
    rig_free(&rig);
}
END_TEST

/* --- the values --------------------------------------------------------------------------------------------------- */

static const struct padded_type {
    infer_dtype dtype;
    double pad;
    uint64_t bits;
} padded_types[] = {
    {INFER_FLOAT32, 1.5, 0x3FC00000},
    {INFER_FLOAT64, -2, 0xC000000000000000},
    {INFER_FLOAT16, 1.5, 0x3E00},
    {INFER_BFLOAT16, 1.5, 0x3FC0},
    {INFER_INT64, -3, 0xFFFFFFFFFFFFFFFD},
    {INFER_INT32, -3, 0xFFFFFFFD},
    {INFER_INT16, 300, 300},
    {INFER_UINT8, 200, 200},
    {INFER_INT8, -1, 0xFF},
    {INFER_BOOL, 1, 1},
    {INFER_BOOL, 256, 1},
    {INFER_UINT32, 4e9, 4000000000},
    {INFER_FLOAT8E4M3FN, 0, 0},
};

/* twice = x and x again, [2 S]: a dimension of another name, so padding stays in it. */
START_TEST(values_are_of_the_type)
{
    const struct padded_type *type = &padded_types[_i];
    const infer_bucket bucket = {"S", sizes, 2, NULL, type->pad};
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "twice");
    int64_t s = graph_symbol(graph, "S");
    struct value *x = graph_add_value(graph, "x", (enum dtype)type->dtype, 1, &s);
    struct value *twice = make_node(graph, "Concat", "twice", 2, (struct value *[]){x, x}, 1,
                                    &(struct attribute){.name = "axis", .kind = ATTRIBUTE_INT, .i = 0});
    infer_model *model = maker_finish(&maker, 1, &x, 1, &twice, NULL);
    infer_predictor *predictor =
        predictor_make(&(infer_predictor_options){.model = model, .buckets = &bucket, .bucket_count = 1});
    unsigned char given[3 * 8], made[8 * 8];
    size_t element = infer_dtype_bits(type->dtype) / 8;
    memset(given, 1, sizeof given);
    infer_tensor in = infer_input(given, type->dtype, 1, (int64_t[]){3}), out = infer_output(made, sizeof made);
    ck_assert_int_eq(infer_predict(predictor, &in, 1, &out, 1, NULL, NULL), INFER_OK);
    ck_assert_int_eq(out.dims[0], 8);
    for (size_t k = 0; k < 8; k++)
        ck_assert_mem_eq(made + k * element, k % 4 < 3 ? (const void *)given : (const void *)&type->bits, element);
    infer_predictor_release(predictor);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* --- what is refused ---------------------------------------------------------------------------------------------- */

START_TEST(wrong_buckets_are_refused)
{
    static const int64_t falling[] = {4, 4}, none[] = {0};
    static const struct {
        infer_bucket buckets[2];
        size_t count;
        const char *sentence;
    } cases[] = {
        {{{NULL, sizes, 2, NULL, 0}}, 1, "bucket 0 has no dimension"},
        {{{"sequence", sizes, 0, NULL, 0}}, 1, "bucket 0 has no sizes"},
        {{{"sequence", falling, 2, NULL, 0}}, 1, "size 1 of bucket 0 is 4; sizes are above 0 and rise"},
        {{{"sequence", none, 1, NULL, 0}}, 1, "size 0 of bucket 0 is 0; sizes are above 0 and rise"},
        {{{"length", sizes, 2, NULL, 0}}, 1, "bucket 0 is of dimension 'length', which no input has"},
        {{{"sequence", sizes, 2, "mask", 0}}, 1, "no input with dimension 'sequence' has the name 'mask' of its mask"},
        {{{"sequence", sizes, 2, "m", 0}, {"sequence", sizes, 2, "m", 0}},
         2,
         "buckets 0 and 1 are of the same dimension"},
        {{{"batch", sizes, 2, NULL, 0}}, 1, "bucket 0 is of dimension 'batch', along which requests share a batch"},
        {{{"sequence", sizes, 2, NULL, 0}}, 9, "there are 9 buckets; there can be 8"},
    };
    struct maker maker = maker_start();
    infer_model *model = masked_model(&maker, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        infer_predictor *predictor;
        infer_error error;
        infer_predictor_options options = {
            .model = model, .batch_size = 2, .buckets = cases[i].buckets, .bucket_count = cases[i].count};
        ck_assert_int_eq(infer_predictor_create(&options, &predictor, &error), INFER_INVALID_ARGUMENT);
        ck_assert_str_eq(error.message, cases[i].sentence);
    }
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* An input has one number behind it, along whichever dimension. */
START_TEST(different_numbers_are_refused)
{
    static const infer_bucket buckets[] = {{"W", sizes, 2, NULL, 7}, {"H", sizes, 2, "x", 7}};
    struct maker maker = maker_start();
    infer_model *model = image_model(&maker, NULL);
    infer_predictor *predictor;
    infer_error error;
    infer_predictor_options options = {.model = model, .buckets = buckets, .bucket_count = 2};
    ck_assert_int_eq(infer_predictor_create(&options, &predictor, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "buckets pad input 'x' with different numbers");
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

Suite *predictor_pad_suite(void)
{
    Suite *suite = suite_create("predictor_pad");
    TCase *tests = tcase_create("predictor_pad");
    tcase_add_loop_test(tests, masked_results_are_those_alone, 0, 3);
    tcase_add_test(tests, results_may_be_left_out_or_lent);
    tcase_add_test(tests, bad_items_fail_as_without_buckets);
    tcase_add_test(tests, padding_that_nobody_sees);
    tcase_add_test(tests, two_dimensions);
    tcase_add_loop_test(tests, values_are_of_the_type, 0, sizeof padded_types / sizeof padded_types[0]);
    tcase_add_test(tests, wrong_buckets_are_refused);
    tcase_add_test(tests, different_numbers_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
