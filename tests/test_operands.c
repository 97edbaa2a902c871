/* Operands that an operator requires: a node without one is refused before anything looks at it. */
#include "tests/op_short.h"
#include "tests/suites.h"

#include "graph/graph.h"

#include <stdio.h>

#define MOST_OPERANDS 24

/* A node of the operator over one value, with so many inputs; and the check of it. */
static enum status check_node(const struct op *op, int input_count, int absent, struct error *error)
{
    struct region region;
    struct value *inputs[MOST_OPERANDS], *outputs[MOST_OPERANDS];
    region_init(&region, &default_allocator);
    struct graph *graph = graph_create(&region, "");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 0, NULL);
    for (int i = 0; i < input_count; i++)
        inputs[i] = i == absent ? NULL : x;
    for (int i = 0; i < op->min_outputs; i++)
        outputs[i] = graph_add_value(graph, "", DTYPE_NONE, -1, NULL);
    const struct node *node = graph_add_node(graph, op, 1, "n", input_count, inputs, op->min_outputs, outputs, 0, NULL);
    *error = (struct error){0};
    enum status status = node_check_operands(node, error);
    region_free(&region);
    return status;
}

START_TEST(every_operator_without_one_of_its_operands)
{
    struct error error;
    const struct op *op;
    for (size_t i = 0; (op = op_at(i)); i++) {
        bool variadic = op->max_inputs == ANY_COUNT;
        int count = op->min_inputs + (variadic ? 3 : 0);
        ck_assert_int_le(count, MOST_OPERANDS);
        ck_assert_msg(check_node(op, count, -1, &error) == STATUS_OK, "%s", error.text);
        for (int k = 0; k < count && !(op->flags & OP_LOOSE_INPUTS); k++) {
            char words[64];
            snprintf(words, sizeof words, "node 'n' (%s): input %d is missing", op->name, k);
            ck_assert_int_eq(check_node(op, count, k, &error), STATUS_INVALID_MODEL);
            ck_assert_str_eq(error.text, words);
        }
        if (count > 0 && op->min_inputs > 0)
            ck_assert_int_eq(check_node(op, op->min_inputs - 1, -1, &error), STATUS_INVALID_MODEL);
        if (!variadic)
            ck_assert_int_eq(check_node(op, op->max_inputs + 1, -1, &error), STATUS_INVALID_MODEL);
    }
}
END_TEST

/* What comes after the required operands of an operator that is not variadic may be absent. */
START_TEST(optional_operands_may_be_absent)
{
    struct error error;
    const struct op *op;
    for (size_t i = 0; (op = op_at(i)); i++)
        for (int k = op->min_inputs; k < op->max_inputs && op->max_inputs != ANY_COUNT; k++)
            ck_assert_msg(check_node(op, op->max_inputs, k, &error) == STATUS_OK, "%s", error.text);
}
END_TEST

START_TEST(variadic_operators_say_so)
{
    static const char *const names[] = {"Min", "Max", "Sum", "Mean", "Concat"};
    const float x[] = {1, 2};
    const struct test_tensor in[] = {F32(x, 1, 2), ABSENT};
    for (int i = 0; i < COUNT(names); i++)
        REFUSED(STATUS_INVALID_MODEL, "input 1 is missing", in, .op = names[i]);
}
END_TEST

Suite *operands_suite(void)
{
    Suite *suite = suite_create("operands");
    TCase *tests = tcase_create("operands");
    tcase_add_test(tests, every_operator_without_one_of_its_operands);
    tcase_add_test(tests, optional_operands_may_be_absent);
    tcase_add_test(tests, variadic_operators_say_so);
    suite_add_tcase(suite, tests);
    return suite;
}
