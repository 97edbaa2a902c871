#include "runtime/compile/trial.h"

#include "graph/op.h"
#include "tests/failing_allocator.h"
#include "tests/suites.h"

#include <check.h>
#include <string.h>

static struct region region;
static struct graph *graph;
static struct error error;

static void setup(void)
{
    error = (struct error){0};
    region_init(&region, &default_allocator);
    graph = graph_create(&region, "main");
}

static void teardown(void)
{
    region_free(&region);
}

static struct value *input(const char *name, enum dtype dtype, int rank, int64_t a, int64_t b)
{
    return graph_add_value(graph, name, dtype, rank, (int64_t[]){a, b});
}

static struct value *node(const char *op, const char *name, struct value *a, struct value *b)
{
    struct value *inputs[] = {a, b}, *output = graph_add_value(graph, name, DTYPE_NONE, -1, NULL);
    graph_add_node(graph, op_find("", op), NEWEST_OPSET, name, b ? 2 : 1, inputs, 1, &output, 0, NULL);
    return output;
}

static enum status try_it(int count, struct value *const *inputs, struct value *output)
{
    graph_set_inputs(graph, count, inputs);
    graph_set_outputs(graph, 1, &output);
    return try_graph(graph, &default_allocator, &error);
}

START_TEST(fixed_shapes_must_fit)
{
    struct value *x[] = {input("x", DTYPE_F32, 2, 2, 3), input("w", DTYPE_F32, 2, 4, 3)};
    ck_assert_int_eq(try_it(2, x, node("MatMul", "y", x[0], x[1])), STATUS_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.text, "node 'y' (MatMul): "));
}
END_TEST

START_TEST(what_lowering_refuses_is_seen_too)
{
    struct value *x[] = {input("x", DTYPE_I32, 2, 2, 3), input("w", DTYPE_I32, 2, 2, 3)};
    ck_assert_int_eq(try_it(2, x, node("BitShift", "y", x[0], x[1])), STATUS_INVALID_MODEL);
    ck_assert_str_eq(error.text, "node 'y' (BitShift): direction is ''; it must be LEFT or RIGHT");
}
END_TEST

START_TEST(types_must_go_together_whatever_the_shapes)
{
    const int64_t n = graph_symbol(graph, "N");
    struct value *x[] = {input("x", DTYPE_F32, 2, n, 3), input("w", DTYPE_I64, 2, n, 3)};
    ck_assert_int_eq(try_it(2, x, node("Add", "y", x[0], x[1])), STATUS_INVALID_MODEL);
    ck_assert_str_eq(error.text, "node 'y' (Add): its operands are float32 and int64; they must have the same type");
    error = (struct error){0};
    ck_assert_int_eq(try_it(2, x, node("Sqrt", "z", x[1], NULL)), STATUS_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.text, "node 'z' (Sqrt): input 0 'w' is int64"));
}
END_TEST

START_TEST(sizes_of_ours_prove_nothing)
{
    const int64_t n = graph_symbol(graph, "N");
    struct value *x[] = {input("x", DTYPE_F32, 2, n, 3), input("w", DTYPE_F32, 2, 80, 3)};
    ck_assert_int_eq(try_it(2, x, node("Add", "y", x[0], x[1])), STATUS_OK);
    ck_assert_str_eq(error.text, "");
    x[1] = input("v", DTYPE_F32, -1, 0, 0);
    ck_assert_int_eq(try_it(2, x, node("MatMul", "z", x[0], x[1])), STATUS_OK);
}
END_TEST

START_TEST(what_nobody_reads_may_be_wrong)
{
    struct value *x[] = {input("x", DTYPE_F32, 2, 2, 3), input("w", DTYPE_F32, 2, 4, 3)};
    node("MatMul", "unread", x[0], x[1]);
    ck_assert_int_eq(try_it(2, x, node("Abs", "y", x[0], NULL)), STATUS_OK);
}
END_TEST

/* A machine with more memory may run it: that there was too little here proves nothing. */
START_TEST(memory_that_ends_proves_nothing)
{
    struct value *x[] = {input("x", DTYPE_F32, 2, 2, 3), input("w", DTYPE_F32, 2, 3, 4)};
    ck_assert_int_eq(try_it(2, x, node("MatMul", "y", x[0], x[1])), STATUS_OK);
    bool ended = true;
    for (int allowed = 0; ended; allowed++) {
        struct failing failing = {.allowed = allowed};
        const struct allocator allocator = failing_allocator(&failing);
        ck_assert_msg(try_graph(graph, &allocator, &error) == STATUS_OK, "%s", error.text);
        ck_assert_int_eq(failing.held, 0);
        ended = failing.allowed < 0;
        ck_assert(ended || allowed > 0);
    }
}
END_TEST

START_TEST(the_graph_stays_as_it_is)
{
    struct value *x[] = {input("x", DTYPE_F32, 2, graph_symbol(graph, "N"), 3)};
    ck_assert_int_eq(try_it(1, x, node("Abs", "y", node("Softmax", "s", x[0], NULL), NULL)), STATUS_OK);
    ck_assert_int_eq(graph->node_count, 2);
    ck_assert_int_eq(x[0]->dims[0], -1);
    ck_assert_int_eq(graph->outputs[0]->rank, -1);
}
END_TEST

Suite *trial_suite(void)
{
    Suite *suite = suite_create("trial");
    TCase *tests = tcase_create("trial");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, fixed_shapes_must_fit);
    tcase_add_test(tests, what_lowering_refuses_is_seen_too);
    tcase_add_test(tests, types_must_go_together_whatever_the_shapes);
    tcase_add_test(tests, sizes_of_ours_prove_nothing);
    tcase_add_test(tests, what_nobody_reads_may_be_wrong);
    tcase_add_test(tests, memory_that_ends_proves_nothing);
    tcase_add_test(tests, the_graph_stays_as_it_is);
    suite_add_tcase(suite, tests);
    return suite;
}
