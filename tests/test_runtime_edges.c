/* Where the runtime puts values: outputs of every kind, views, sizes that the run decides. Each model runs in sessions
 * with passes and without, into buffers of the caller and of the context, for shapes in turn. */
#include "tests/model_maker.h"
#include "tests/suites.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void expect_zeros(const infer_tensor *tensor, int rank, int64_t count)
{
    float zeros[MOST] = {0};
    ck_assert_int_eq(tensor->rank, rank);
    expect_floats(tensor, count, zeros);
}

/* --- outputs --------------------------------------------------------------------------------------------- */

/* x, a constant, what a node makes, the same again, views of an input and of a node's value, and what reads them. */
static infer_model *every_output_model(struct maker *maker)
{
    static const float three[2] = {3, 4};
    struct graph *graph = maker->graph = graph_create(&maker->region, "outputs");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")});
    struct value *constant = graph_add_constant(graph, "constant", DTYPE_F32, 1, (int64_t[]){2}, three);
    struct value *row = make_ints(graph, "row", 2, (int64_t[]){1, -1});
    struct value *made = make_node1(graph, "Neg", "made", x);
    struct value *outputs[] = {x,
                               constant,
                               made,
                               made,
                               make_node2(graph, "Reshape", "input_view", x, row),
                               make_node2(graph, "Reshape", "made_view", made, row),
                               make_node1(graph, "Abs", "reader", made),
                               constant};
    return maker_finish(maker, 1, &x, 8, outputs, NULL);
}

START_TEST(outputs_of_every_kind)
{
    const float x[5] = {1, -2, 3, -4, 5}, negative[5] = {-1, 2, -3, 4, -5}, absolute[5] = {1, 2, 3, 4, 5};
    const float constant[2] = {3, 4};
    struct maker maker = maker_start();
    struct running r = begin_way(every_output_model(&maker), _i);
    for (int round = 0; round < 8; round++) {
        int64_t n = (int64_t[]){5, 0, 1, 3}[round % 4];
        struct results results;
        infer_tensor in = f32_tensor(x, 1, n, 0);
        run_way(&r, _i, &in, 1, &results, 8);
        const float *const expected[] = {x, constant, negative, negative, x, negative, absolute, constant};
        for (int i = 0; i < 8; i++)
            expect_floats(&results.tensors[i], expected[i] == constant ? 2 : n, expected[i]);
        ck_assert_int_eq(results.tensors[4].rank, 2);
        ck_assert_int_eq(results.tensors[4].dims[1], n);
    }
    running_end(&r, &maker);
}
END_TEST

START_TEST(the_last_outputs_may_be_left_out)
{
    const float x[2] = {1, -2}, negative[2] = {-1, 2};
    struct maker maker = maker_start();
    struct running r = begin_way(every_output_model(&maker), _i);
    for (size_t count = 0; count <= 8; count++) {
        struct results results;
        infer_tensor in = f32_tensor(x, 1, 2, 0);
        run_way(&r, _i, &in, 1, &results, count);
        if (count > 2)
            expect_floats(&results.tensors[2], 2, negative);
    }
    running_end(&r, &maker);
}
END_TEST

/* An output that later steps read lies in the caller's buffer, and nothing may be written over it. */
START_TEST(what_reads_an_output_does_not_write_over_it)
{
    const float x[3] = {1, -2, 3}, once[3] = {-1, 2, -3}, absolute[3] = {1, 2, 3}, last[3] = {-1, -2, -3};
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "chain");
    struct value *in = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")});
    struct value *a = make_node1(graph, "Neg", "a", in), *b = make_node1(graph, "Abs", "b", a);
    struct value *hidden = make_node1(graph, "Relu", "hidden", b), *c = make_node1(graph, "Neg", "c", hidden);
    struct running r = begin_way(maker_finish(&maker, 1, &in, 3, (struct value *[]){c, a, b}, NULL), _i);
    for (int round = 0; round < 2; round++) {
        struct results results;
        infer_tensor tensor = f32_tensor(x, 1, 3, 0);
        run_way(&r, _i, &tensor, 1, &results, 3);
        expect_floats(&results.tensors[0], 3, last);
        expect_floats(&results.tensors[1], 3, once);
        expect_floats(&results.tensors[2], 3, absolute);
    }
    running_end(&r, &maker);
}
END_TEST

START_TEST(a_result_may_not_lie_on_an_input)
{
    float x[4] = {1, -2, 3, -4};
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "two");
    struct value *in = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")});
    struct value *out[2] = {make_node1(graph, "Neg", "a", in), make_node1(graph, "Abs", "b", in)};
    struct running r = begin_way(maker_finish(&maker, 1, &in, 2, out, NULL), 0);
    infer_tensor tensor = f32_tensor(x, 1, 3, 0), results[2] = {{.data = x + 2, .bytes = 12}, {0}};
    infer_error error = {0};
    ck_assert_int_eq(infer_run(r.context, &tensor, 1, results, 2, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "output 'a' and input 'x' lie in the same memory");
    results[0] = (infer_tensor){0};
    run_well(r.context, &tensor, 1, results, 2);
    infer_tensor again = results[1];
    memset(results, 0, sizeof results);
    ck_assert_int_eq(infer_run(r.context, &again, 1, results, 2, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "output 'b' and input 'x' lie in the same memory");
    running_end(&r, &maker);
}
END_TEST

/* --- several segments ------------------------------------------------------------------------------------ */

static infer_tensor list_of(const int64_t *data, int64_t count)
{
    return i64_tensor(data, 1, count);
}

/* The content of a value and of views of it, each decides a shape. */
static infer_model *shapes_by_content_model(struct maker *maker)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "contents");
    struct value *n = graph_add_value(graph, "n", DTYPE_I64, 1, (int64_t[]){graph_symbol(graph, "R")});
    struct value *all = make_ints(graph, "all", 1, (int64_t[]){-1});
    struct value *m = make_node1(graph, "Abs", "m", n), *view = make_node2(graph, "Reshape", "view", m, all);
    struct value *view2 = make_node1(graph, "Identity", "view2", view);
    struct value *outputs[] = {make_node1(graph, "ConstantOfShape", "a", m),
                               make_node1(graph, "ConstantOfShape", "b", view),
                               make_node1(graph, "ConstantOfShape", "c", view2),
                               view2,
                               m,
                               make_node1(graph, "Neg", "after", view)};
    return maker_finish(maker, 1, &n, 6, outputs, NULL);
}

START_TEST(views_of_a_value_whose_content_is_known)
{
    struct maker maker = maker_start();
    struct running r = begin_way(shapes_by_content_model(&maker), _i);
    for (int round = 0; round < 6; round++) {
        int64_t n[2] = {-2 - round % 2, 3}, rank = round % 3, count = rank == 0 ? 1 : rank == 1 ? -n[0] : -n[0] * n[1];
        struct results results;
        infer_tensor in = list_of(n, rank);
        run_way(&r, _i, &in, 1, &results, 6);
        for (int i = 0; i < 3; i++)
            expect_zeros(&results.tensors[i], (int)rank, count);
        for (int64_t i = 0; i < rank; i++) {
            ck_assert_int_eq(((int64_t *)results.tensors[3].data)[i], llabs(n[i]));
            ck_assert_int_eq(((int64_t *)results.tensors[4].data)[i], llabs(n[i]));
            ck_assert_int_eq(((int64_t *)results.tensors[5].data)[i], -llabs(n[i]));
        }
    }
    running_end(&r, &maker);
}
END_TEST

/* An empty list the caller gives without memory is a shape too: a scalar's. */
START_TEST(an_empty_list_decides_a_shape)
{
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "empty");
    struct value *n = graph_add_value(graph, "n", DTYPE_I64, 1, (int64_t[]){graph_symbol(graph, "R")});
    struct value *y = make_node1(graph, "ConstantOfShape", "y", n);
    struct running r = begin_way(maker_finish(&maker, 1, &n, 1, &y, NULL), _i);
    struct results results;
    infer_tensor in = list_of(NULL, 0);
    run_way(&r, _i, &in, 1, &results, 1);
    expect_zeros(&results.tensors[0], 0, 1);
    running_end(&r, &maker);
}
END_TEST

static struct value *positions(struct graph *graph, const char *name, const char *list, struct value *x)
{
    struct value *all = make_ints(graph, "", 1, (int64_t[]){-1});
    return make_node2(graph, "Reshape", list, make_node1(graph, "NonZero", name, x), all);
}

/* Three sizes that only the run tells, one after another; values and views made before them that are read after all,
 * outputs that are made early, in the middle and late, one of them twice and three whose own sizes are such. */
static infer_model *segments_model(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "segments");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")});
    struct value *column = make_ints(graph, "column", 2, (int64_t[]){-1, 1});
    struct value *early = make_node1(graph, "Neg", "early", x);
    struct value *kept = make_node1(graph, "Abs", "kept", x),
                 *view = make_node2(graph, "Reshape", "view", kept, column);
    struct value *first = positions(graph, "first", "first_list", make_node1(graph, "Relu", "positive", x));
    struct value *chosen = make_node2(graph, "Gather", "chosen", early, first);
    struct value *second = make_node1(graph, "NonZero", "second", make_node1(graph, "Floor", "floor", chosen));
    struct value *third = positions(graph, "third", "third_list", make_node1(graph, "Relu", "both", early));
    struct value *late = make_node2(graph, "Gather", "late", view, third);
    struct value *unique[4] = {graph_add_value(graph, "unique", DTYPE_NONE, -1, NULL), NULL, NULL,
                               graph_add_value(graph, "counts", DTYPE_NONE, -1, NULL)};
    graph_add_node(graph, op_find("", "Unique"), NEWEST_OPSET, "unique", 1, &early, 4, unique, 0, NULL);
    struct value *outputs[] = {early, chosen, second, late, early, kept, unique[3], unique[0]};
    return maker_finish(maker, 1, &x, 8, outputs, options);
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void expect_segments(const struct results *results, const float *x, int64_t n)
{
    float early[MOST], kept[MOST], chosen[MOST], late[MOST];
    int64_t positive = 0, negative = 0, second = 0;
    for (int64_t i = 0; i < n; i++) {
        early[i] = -x[i];
        kept[i] = fabsf(x[i]);
        if (x[i] > 0) {
            chosen[positive++] = -x[i];
            second += floorf(-x[i]) != 0;
        }
        if (x[i] < 0)
            late[negative++] = -x[i];
    }
    expect_floats(&results->tensors[0], n, early);
    expect_floats(&results->tensors[1], positive, chosen);
    ck_assert_int_eq(results->tensors[2].dims[1], second);
    expect_floats(&results->tensors[3], negative, late);
    ck_assert_int_eq(results->tensors[3].rank, 2);
    expect_floats(&results->tensors[4], n, early);
    expect_floats(&results->tensors[5], n, kept);
    ck_assert_int_eq(results->tensors[6].dims[0], n);
    qsort(early, (size_t)n, sizeof *early, compare_floats); /* no two are equal */
    expect_floats(&results->tensors[7], n, early);
}

START_TEST(values_live_across_segments)
{
    const float x[7] = {1, -2, 3, 0, -5, 6, 7};
    struct maker maker = maker_start();
    struct running r = begin_way(segments_model(&maker, NULL), _i);
    for (int round = 0; round < 20; round++) {
        int64_t n = round * 3 % 8, start = n == 7 ? 0 : round % (7 - n);
        struct results results;
        infer_tensor in = f32_tensor(x + start, 1, n, 0);
        run_way(&r, _i, &in, 1, &results, 8);
        expect_segments(&results, x + start, n);
    }
    running_end(&r, &maker);
}
END_TEST

struct sightings {
    int count;
    float sum;
};

static void see_view(void *user, const char *name, const infer_tensor *tensor)
{
    struct sightings *seen = user;
    if (strcmp(name, "view") != 0)
        return;
    seen->count++;
    ck_assert_int_eq(tensor->dims[0], 3);
    for (int i = 0; i < 3; i++)
        seen->sum += ((const float *)tensor->data)[i];
}

START_TEST(an_observer_sees_a_view_once)
{
    const float x[3] = {1, -2, 4};
    struct maker maker = maker_start();
    struct running r = begin_way(segments_model(&maker, NULL), _i);
    struct sightings seen = {0};
    infer_observer observer = {.value = see_view, .user = &seen};
    infer_context_observe(r.context, &observer);
    struct results results;
    infer_tensor in = f32_tensor(x, 1, 3, 0);
    run_way(&r, _i, &in, 1, &results, 8);
    ck_assert_int_eq(seen.count, 1);
    ck_assert_float_eq(seen.sum, 7);
    running_end(&r, &maker);
}
END_TEST

/* What an observer sees of each value, whose names are single letters. */
struct album {
    float *data[26];
    size_t elements[26];
    int seen;
};

static void keep_view(void *user, const char *name, const infer_tensor *tensor)
{
    struct album *album = user;
    int at = name[0] - 'a';
    ck_assert(at >= 0 && at < 26 && !name[1]);
    ck_assert_ptr_null(album->data[at]);
    album->elements[at] = tensor->bytes / sizeof(float);
    album->data[at] = malloc(tensor->bytes);
    memcpy(album->data[at], tensor->data, tensor->bytes);
    album->seen++;
}

/* Convolutions, between which passes may choose another order of axes, and a transposition that they may absorb. */
static infer_model *images_model(struct maker *maker)
{
    static float weights[2][16 * 16 * 9];
    struct graph *graph = maker->graph = graph_create(&maker->region, "images");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 4, (int64_t[]){1, 16, 12, 12}), *w[2];
    const struct attribute padded[] = {ATTRIBUTE_LIST("pads", 4, ((int64_t[]){1, 1, 1, 1}))};
    const struct attribute pool[] = {ATTRIBUTE_LIST("kernel_shape", 2, ((int64_t[]){2, 2}))};
    const struct attribute turn[] = {ATTRIBUTE_LIST("perm", 4, ((int64_t[]){0, 2, 3, 1}))};
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 16 * 16 * 9; k++)
            weights[i][k] = (float)((k * 37 + i) % 23 - 11) / 64;
        w[i] = graph_add_constant(graph, i ? "v" : "w", DTYPE_F32, 4, (int64_t[]){16, 16, 3, 3}, weights[i]);
    }
    struct value *a = make_node(graph, "Conv", "a", 2, (struct value *[]){x, w[0]}, 1, padded);
    struct value *b = make_node(graph, "MaxPool", "b", 1, &a, 1, pool);
    struct value *c = make_node(graph, "Conv", "c", 2, (struct value *[]){b, w[1]}, 1, padded);
    struct value *d = make_node(graph, "Transpose", "d", 1, &c, 1, turn);
    struct value *e = make_node1(graph, "Softmax", "e", d);
    return maker_finish(maker, 1, &x, 1, &e, NULL);
}

static struct album look(bool no_optimize, const infer_tensor *in)
{
    struct maker maker = maker_start();
    struct running r =
        running_begin(images_model(&maker), &(infer_session_options){.threads = 1, .no_optimize = no_optimize});
    struct album album = {.seen = 0};
    infer_tensor out = {0};
    infer_context_observe(r.context, &(infer_observer){.value = keep_view, .user = &album});
    run_well(r.context, in, 1, &out, 1);
    running_end(&r, &maker);
    return album;
}

/* Whatever order the kernels have it in, what is seen of a value is in the model's. */
START_TEST(an_observer_sees_values_in_the_order_of_the_model)
{
    static float x[16 * 12 * 12];
    for (int i = 0; i < 16 * 12 * 12; i++)
        x[i] = (float)(i * 29 % 31 - 15) / 16;
    infer_tensor in = {.data = x, .bytes = sizeof x, .dtype = INFER_FLOAT32, .rank = 4, .dims = {1, 16, 12, 12}};
    struct album plain = look(true, &in), passed = look(false, &in);
    ck_assert_int_eq(plain.seen, 5);
    ck_assert_int_ge(passed.seen, 3);
    for (int i = 0; i < 26; i++) {
        for (size_t k = 0; passed.data[i] && k < passed.elements[i]; k++)
            ck_assert_float_eq_tol(passed.data[i][k], plain.data[i][k], 1e-4f);
        free(plain.data[i]);
        free(passed.data[i]);
    }
}
END_TEST

/* --- failures that pass ---------------------------------------------------------------------------------- */

struct failing {
    long calls, fail_at;
};

static void *allocate_but_once(void *user, size_t bytes, size_t alignment)
{
    struct failing *failing = user;
    return failing->calls++ == failing->fail_at ? NULL : default_allocator.allocate(NULL, bytes, alignment);
}

static void release_plainly(void *user, void *memory, size_t bytes)
{
    (void)user;
    default_allocator.release(NULL, memory, bytes);
}

static infer_status run_segments(struct running *r, int64_t n)
{
    const float x[7] = {1, -2, 3, 0, -5, 6, 7};
    struct results results = {.tensors = {{0}}};
    infer_tensor in = f32_tensor(x, 1, n, 0);
    infer_error error = {0};
    infer_status status = infer_run(r->context, &in, 1, results.tensors, 8, &error);
    if (status == INFER_OK)
        expect_segments(&results, x, n);
    return status;
}

/* One allocation fails in a run, whichever: the same context runs afterwards, and so does every other shape. */
START_TEST(a_context_runs_on_after_memory_was_short)
{
    for (long fail_at = 0;; fail_at++) {
        struct failing failing = {.fail_at = -1};
        infer_allocator allocator = {allocate_but_once, release_plainly, &failing};
        struct maker maker = maker_start();
        struct running r = running_begin(segments_model(&maker, &(infer_model_options){.allocator = &allocator}),
                                         &(infer_session_options){.threads = 1});
        failing = (struct failing){.fail_at = fail_at};
        infer_status status = run_segments(&r, 7);
        failing.fail_at = -1;
        for (int64_t n = 1; n <= 7; n++)
            ck_assert_int_eq(run_segments(&r, n), INFER_OK);
        running_end(&r, &maker);
        if (status == INFER_OK)
            break;
        ck_assert_int_eq(status, INFER_OUT_OF_MEMORY);
    }
}
END_TEST

Suite *runtime_edges_suite(void)
{
    Suite *suite = suite_create("runtime_edges");
    TCase *tests = tcase_create("runtime_edges");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, outputs_of_every_kind, 0, WAYS);
    tcase_add_loop_test(tests, the_last_outputs_may_be_left_out, 0, WAYS);
    tcase_add_loop_test(tests, what_reads_an_output_does_not_write_over_it, 0, WAYS);
    tcase_add_test(tests, a_result_may_not_lie_on_an_input);
    tcase_add_loop_test(tests, views_of_a_value_whose_content_is_known, 0, WAYS);
    tcase_add_loop_test(tests, an_empty_list_decides_a_shape, 0, WAYS);
    tcase_add_loop_test(tests, values_live_across_segments, 0, WAYS);
    tcase_add_loop_test(tests, an_observer_sees_a_view_once, 0, WAYS);
    tcase_add_test(tests, an_observer_sees_values_in_the_order_of_the_model);
    tcase_add_test(tests, a_context_runs_on_after_memory_was_short);
    suite_add_tcase(suite, tests);
    return suite;
}
