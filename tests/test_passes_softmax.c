/* Softmax and its logarithm, spelled out: along one axis they become the operator; along more they stay what they are,
 * which no operator is. Results of the two may differ by the rounding of intermediates. */
#include "tests/pass_test.h"
#include "tests/suites.h"

#define TOLERANCE 2e-6

static struct value *reduce(struct rig *rig, const char *op, struct value *x, int count, const int64_t *axes)
{
    return rig_op2(rig, op, x, rig_ints(rig, count, axes));
}

/* exp(x - max x), and the sum of that. */
struct parts {
    struct value *shifted, *power, *sum;
};

static struct parts spell(struct rig *rig, struct value *x, int count, const int64_t *axes)
{
    struct parts parts = {.shifted = rig_op2(rig, "Sub", x, reduce(rig, "ReduceMax", x, count, axes))};
    parts.power = rig_op1(rig, "Exp", parts.shifted);
    parts.sum = reduce(rig, "ReduceSum", parts.power, count, axes);
    return parts;
}

/* By a quotient (0), a product from either side (1, 2), or the logarithm of it (3). */
static struct value *spell_softmax(struct rig *rig, struct value *x, int count, const int64_t *axes, int spelling)
{
    struct parts parts = spell(rig, x, count, axes);
    if (spelling == 0)
        return rig_op2(rig, "Div", parts.power, parts.sum);
    if (spelling == 3)
        return rig_op2(rig, "Sub", parts.shifted, rig_op1(rig, "Log", parts.sum));
    struct value *inverse = rig_op1(rig, "Reciprocal", parts.sum);
    return spelling == 1 ? rig_op2(rig, "Mul", parts.power, inverse) : rig_op2(rig, "Mul", inverse, parts.power);
}

static void expect(struct rig *rig, struct value *y, const char *nodes)
{
    rig_output(rig, y);
    rig_expect_pass(rig, recognise_softmax, PASS_SHAPED, nodes, TOLERANCE);
}

START_TEST(along_one_axis)
{
    struct rig rig;
    rig_begin(&rig);
    int64_t axis = _i / 4 - 2; /* -2, -1, 0, 1, 2 */
    struct value *x = rig_input(&rig, DIMS(2, 3, 4));
    expect(&rig, spell_softmax(&rig, x, 1, &axis, _i % 4), _i % 4 == 3 ? "LogSoftmax" : "Softmax");
}
END_TEST

START_TEST(along_several_axes)
{
    static const char *const stays[] = {
        "ReduceMax Sub Exp ReduceSum Div",
        "ReduceMax Sub Exp ReduceSum Reciprocal Mul",
        "ReduceMax Sub Exp ReduceSum Reciprocal Mul",
        "ReduceMax Sub Exp ReduceSum Log Sub",
    };
    static const int64_t axes[][4] = {{2, 3}, {0, 2}, {-1, 1}, {1, 2, 3}, {0, 1, 2, 3}};
    static const int counts[] = {2, 2, 2, 3, 4};
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(1, 2, 4, 4));
    expect(&rig, spell_softmax(&rig, x, counts[_i / 4], axes[_i / 4], _i % 4), stays[_i % 4]);
}
END_TEST

/* The greatest along one axis, the sum along another. */
START_TEST(along_different_axes)
{
    static const int64_t first[] = {1}, second[] = {2};
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(2, 3, 4)), *most = reduce(&rig, "ReduceMax", x, 1, first);
    struct value *power = rig_op1(&rig, "Exp", rig_op2(&rig, "Sub", x, most));
    expect(&rig, rig_op2(&rig, "Div", power, reduce(&rig, "ReduceSum", power, 1, second)),
           "ReduceMax Sub Exp ReduceSum Div");
}
END_TEST

Suite *passes_softmax_suite(void)
{
    Suite *suite = suite_create("passes_softmax");
    TCase *tests = tcase_create("softmax");
    tcase_add_loop_test(tests, along_one_axis, 0, 20);
    tcase_add_loop_test(tests, along_several_axes, 0, 20);
    tcase_add_test(tests, along_different_axes);
    suite_add_tcase(suite, tests);
    return suite;
}
