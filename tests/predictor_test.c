#include "tests/predictor_test.h"

#include <check.h>
#include <string.h>

infer_model *rows_model(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "rows");
    int64_t n = graph_symbol(graph, "N"), s = graph_symbol(graph, "S");
    float *weights = region_array(&maker->region, WIDTH * WIDTH, sizeof *weights);
    float *table = region_array(&maker->region, ENTRIES * WIDTH, sizeof *table);
    for (int k = 0; k < WIDTH * WIDTH; k++)
        weights[k] = (float)((k * 37) % 19 - 9) / 16;
    for (int k = 0; k < ENTRIES * WIDTH; k++)
        table[k] = (float)k;
    struct value *in[] = {graph_add_value(graph, "x", DTYPE_F32, 3, (int64_t[]){n, s, WIDTH}),
                          graph_add_value(graph, "i", DTYPE_I64, 1, (int64_t[]){n})};
    struct value *w = graph_add_constant(graph, "w", DTYPE_F32, 2, (int64_t[]){WIDTH, WIDTH}, weights);
    struct value *t = graph_add_constant(graph, "t", DTYPE_F32, 2, (int64_t[]){ENTRIES, WIDTH}, table);
    struct value *y = make_node1(graph, "Tanh", "y", make_node2(graph, "MatMul", "xw", in[0], w));
    struct value *out[] = {make_declared(y, 3, (int64_t[]){n, s, WIDTH}),
                           make_declared(make_node2(graph, "Gather", "g", t, in[1]), 2, (int64_t[]){n, WIDTH})};
    return maker_finish(maker, 2, in, 2, out, options);
}

infer_model *state_model(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "state");
    int64_t n = graph_symbol(graph, "N");
    struct value *in[] = {graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){n, STATE_WIDTH}),
                          graph_add_value(graph, "h", DTYPE_F32, 2, (int64_t[]){n, STATE_WIDTH})};
    struct value *y = make_node1(graph, "Tanh", "y", make_node2(graph, "Add", "sum", in[0], in[1]));
    struct value *product = make_node2(graph, "Mul", "product", in[1], y);
    struct value *next = make_node1(graph, "Tanh", "next", make_node2(graph, "Sub", "difference", in[0], product));
    return maker_finish(maker, 2, in, 2, (struct value *[]){y, next}, options);
}

infer_model *endless_model(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "endless");
    struct graph *body = graph_create(&maker->region, "body");
    struct value *turn[] = {graph_add_value(body, "turn", DTYPE_I64, 0, NULL),
                            graph_add_value(body, "go", DTYPE_BOOL, 0, NULL),
                            graph_add_value(body, "state", DTYPE_F32, 1, (int64_t[]){4})};
    graph_set_inputs(body, 3, turn);
    graph_set_outputs(body, 2, (struct value *[]){turn[1], make_node2(body, "Add", "next", turn[2], turn[2])});
    struct value *in[] = {graph_add_value(graph, "trip", DTYPE_I64, 0, NULL),
                          graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){4})};
    struct value *y = make_node(graph, "Loop", "y", 3, (struct value *[]){in[0], NULL, in[1]}, 1,
                                &(struct attribute){.name = "body", .kind = ATTRIBUTE_GRAPH, .graph = body});
    return maker_finish(maker, 2, in, 1, &y, options);
}

void rows_fill(struct rows_request *request, unsigned seed, int64_t rows, int64_t length)
{
    uint32_t state = seed * 2654435761u + 1;
    for (int64_t k = 0; k < rows * length * WIDTH; k++) {
        state = state * 1664525u + 1013904223u;
        request->x[k] = (float)(state >> 8) / (float)(1 << 22) - 2;
    }
    for (int64_t k = 0; k < rows; k++) {
        state = state * 1664525u + 1013904223u;
        request->i[k] = state >> 16 & 3;
    }
    request->inputs[0] = infer_input(request->x, INFER_FLOAT32, 3, (int64_t[]){rows, length, WIDTH});
    request->inputs[1] = infer_input(request->i, INFER_INT64, 1, (int64_t[]){rows});
    memset(request->y, 0xa5, sizeof request->y);
    memset(request->g, 0xa5, sizeof request->g);
    request->results[0] = infer_output(request->y, sizeof request->y);
    request->results[1] = infer_output(request->g, sizeof request->g);
}

bool rows_are_right(infer_context *context, const struct rows_request *request, const infer_tensor *results)
{
    infer_tensor expected[2] = {infer_output(NULL, 0), infer_output(NULL, 0)};
    run_well(context, request->inputs, 2, expected, 2);
    for (int i = 0; i < 2; i++)
        if (results[i].dtype != expected[i].dtype || results[i].rank != expected[i].rank ||
            memcmp(results[i].dims, expected[i].dims, (size_t)expected[i].rank * sizeof(int64_t)) != 0 ||
            results[i].bytes != expected[i].bytes || memcmp(results[i].data, expected[i].data, expected[i].bytes) != 0)
            return false;
    return true;
}

infer_predictor *predictor_make(const infer_predictor_options *options)
{
    infer_predictor *predictor;
    infer_error error = {0};
    infer_predictor_create(options, &predictor, &error);
    ck_assert_msg(predictor != NULL, "%s", error.message);
    return predictor;
}

struct rig rig_start(infer_model *(*make)(struct maker *maker, const infer_model_options *options),
                     infer_predictor_options options)
{
    struct rig rig = {.maker = maker_start()};
    rig.model = make(&rig.maker, &(infer_model_options){.allocator = options.allocator});
    options.model = rig.model;
    rig.predictor = predictor_make(&options);
    ck_assert_int_eq(infer_context_create(infer_predictor_session(rig.predictor), &rig.context, NULL), INFER_OK);
    return rig;
}

void rig_free(struct rig *rig)
{
    infer_predictor_release(rig->predictor);
    infer_context_release(rig->context);
    infer_model_release(rig->model);
    region_free(&rig->maker.region);
}

infer_status rows_predict(infer_predictor *predictor, struct rows_request *request, infer_error *error)
{
    return infer_predict(predictor, request->inputs, 2, request->results, 2, NULL, error);
}

int run_one_test(const char *name, const TTest *test)
{
    Suite *suite = suite_create(name);
    TCase *tests = tcase_create(name);
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, test);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
