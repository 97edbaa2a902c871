/* Normalisations, softmax and norms that exporters spell out become one operator, and what only looks like them does
 * not. Results of the two may differ by the rounding of intermediates. */
#include "tests/pass_test.h"
#include "tests/suites.h"

#define TOLERANCE 2e-6

#define EXPECT(pass, output, nodes)                                             \
    do {                                                                        \
        rig_output(&rig, (output));                                             \
        rig_expect_pass(&rig, recognise_##pass, PASS_SHAPED, nodes, TOLERANCE); \
    } while (0)

/* --- LayerNormalization, RMSNormalization ----------------------------------------------------------------- */

/* An operator that reduces these axes, and keeps them as size 1. */
static struct value *reduce(struct rig *rig, const char *op, struct value *x, int count, const int64_t *axes)
{
    return rig_op2(rig, op, x, rig_ints(rig, count, axes));
}

/* What to write a layer normalisation of x [2, 3, 4, 5] with; 0: the common way. */
struct layer_spelling {
    bool product, twice, reciprocal, power, no_epsilon, last_two;
};

static struct value *spell_layer(struct rig *rig, struct value *x, struct layer_spelling s)
{
    static const int64_t last[1] = {-1}, last_two[2] = {3, 2};
    const int64_t *axes = s.last_two ? last_two : last;
    int count = s.last_two ? 2 : 1;
    struct value *mean = reduce(rig, "ReduceMean", x, count, axes);
    struct value *centred = rig_op2(rig, "Sub", x, mean), *again = s.twice ? rig_op2(rig, "Sub", x, mean) : centred;
    struct value *square = s.product ? rig_op2(rig, "Mul", centred, centred) : rig_with(rig, "Pow", centred, 2);
    struct value *variance = reduce(rig, "ReduceMean", square, count, axes);
    struct value *sum = s.no_epsilon ? variance : rig_with(rig, "Add", variance, 1e-5);
    struct value *root = s.power ? rig_with(rig, "Pow", sum, -0.5) : rig_op1(rig, "Sqrt", sum);
    if (s.power)
        return rig_op2(rig, "Mul", again, root);
    return s.reciprocal ? rig_op2(rig, "Mul", rig_op1(rig, "Reciprocal", root), again)
                        : rig_op2(rig, "Div", again, root);
}

static struct value *block(struct rig *rig)
{
    return rig_input(rig, DIMS(2, 3, 4, 5));
}

START_TEST(layer_normalization_in_every_spelling)
{
    struct rig rig;
    rig_begin(&rig);
    const struct layer_spelling s = {_i & 1, _i >> 1 & 1, _i >> 2 & 1, _i >> 3 & 1, _i >> 4 & 1, _i >> 5 & 1};
    struct value *y = spell_layer(&rig, block(&rig), s);
    y = rig_op2(&rig, "Add", rig_op2(&rig, "Mul", y, rig_weights(&rig, DIMS(5))), rig_weights(&rig, DIMS(5)));
    EXPECT(normalization, y, "LayerNormalization");
}
END_TEST

START_TEST(scale_and_bias_of_every_shape)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *y = spell_layer(&rig, block(&rig), (struct layer_spelling){.last_two = true});
    struct value *scales[] = {rig_weights(&rig, DIMS(4, 5)), rig_weights(&rig, DIMS(1, 1, 4, 5)),
                              rig_weights(&rig, DIMS(4, 1)), rig_number(&rig, SCALAR_DIMS, 2),
                              rig_input(&rig, DIMS(1, 1, 5))};
    struct value *bias = scales[(_i + 1) % 5];
    y = rig_op2(&rig, "Add", bias, rig_op2(&rig, "Mul", scales[_i], y));
    EXPECT(normalization, y, "LayerNormalization");
}
END_TEST

START_TEST(parts_of_layer_normalization)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *y = spell_layer(&rig, block(&rig), (struct layer_spelling){0});
    if (_i == 1)
        y = rig_op2(&rig, "Mul", y, rig_weights(&rig, DIMS(5)));
    else if (_i == 2)
        y = rig_op2(&rig, "Add", y, rig_weights(&rig, DIMS(5)));
    EXPECT(normalization, y, "LayerNormalization");
}
END_TEST

/* What is not along the axes that were normalised, or comes a second time, stays. */
START_TEST(scale_and_bias_that_are_none_stay)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *y = spell_layer(&rig, block(&rig), (struct layer_spelling){0});
    if (_i == 0)
        y = rig_op2(&rig, "Mul", y, rig_weights(&rig, DIMS(3, 1, 1)));
    else if (_i == 1)
        y = rig_op2(&rig, "Mul", rig_op2(&rig, "Mul", y, rig_weights(&rig, DIMS(5))), rig_weights(&rig, DIMS(5)));
    else if (_i == 2)
        y = rig_op2(&rig, "Add", y, block(&rig));
    else if (_i == 3)
        y = rig_op2(&rig, "Mul", y, rig_weights(&rig, DIMS(2, 1, 1, 1, 5)));
    else
        y = rig_op2(&rig, "Mul", rig_op2(&rig, "Add", y, rig_weights(&rig, DIMS(5))), rig_weights(&rig, DIMS(5)));
    EXPECT(normalization, y, _i == 2 ? "LayerNormalization Add" : "LayerNormalization Mul");
}
END_TEST

START_TEST(an_operator_of_the_model_takes_scale_and_bias_too)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *y = rig_op2(&rig, "LayerNormalization", block(&rig), rig_weights(&rig, DIMS(5)));
    y = rig_op2(&rig, "Add", rig_weights(&rig, DIMS(5)), y);
    EXPECT(normalization, y, "LayerNormalization");
}
END_TEST

#define PARTS "ReduceMean Sub Pow ReduceMean Add Sqrt Div"

START_TEST(layer_normalization_that_is_read_inside_stays)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = block(&rig), *y = spell_layer(&rig, x, (struct layer_spelling){0});
    struct node *quotient = rig.graph->nodes[rig.graph->node_count - 1], *mean = rig.graph->nodes[0];
    struct value *z = rig_op1(&rig, "Neg", _i ? quotient->inputs[1] : mean->outputs[0]);
    /* The mean may be read: what is centred is a value like any other. */
    rig_output(&rig, z);
    EXPECT(normalization, y, (_i ? PARTS " Neg" : "ReduceMean Sub RMSNormalization Neg"));
}
END_TEST

/* Statistics along other axes, an epsilon with axes of its own, and means without their axes. */
START_TEST(no_layer_normalization)
{
    static const int64_t axes[][1] = {{1}, {3}, {3}};
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(5, 5, 5, 5));
    struct value *mean = reduce(&rig, "ReduceMean", x, 1, axes[_i]);
    struct value *centred = rig_op2(&rig, "Sub", x, mean);
    struct value *variance = reduce(&rig, "ReduceMean", rig_with(&rig, "Pow", centred, 2), 1, axes[_i]);
    struct value *epsilon = _i == 1   ? rig_weights(&rig, DIMS(5))
                            : _i == 2 ? rig_number(&rig, DIMS(1, 1, 1, 1, 1), 1)
                                      : rig_number(&rig, SCALAR_DIMS, 1);
    struct value *root = rig_op1(&rig, "Sqrt", rig_op2(&rig, "Add", variance, epsilon));
    struct value *y = rig_op2(&rig, "Div", centred, root);
    EXPECT(normalization, y, PARTS);
}
END_TEST

START_TEST(means_along_other_axes_are_no_layer_normalization)
{
    static const int64_t last[1] = {3}, more[2] = {2, 3};
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(5, 5, 5, 5));
    struct value *centred = rig_op2(&rig, "Sub", x, reduce(&rig, "ReduceMean", x, 2, more));
    struct value *variance = reduce(&rig, "ReduceMean", rig_with(&rig, "Pow", centred, 2), 1, last);
    struct value *root = rig_op1(&rig, "Sqrt", rig_with(&rig, "Add", variance, 1e-5));
    struct value *y = rig_op2(&rig, "Div", centred, root);
    EXPECT(normalization, y, "ReduceMean Sub RMSNormalization");
}
END_TEST

START_TEST(rms_normalization_in_every_spelling)
{
    static const int64_t last[1] = {-1};
    struct rig rig;
    rig_begin(&rig);
    struct value *x = block(&rig);
    struct value *square = _i & 1 ? rig_op2(&rig, "Mul", x, x) : rig_with(&rig, "Pow", x, 2);
    struct value *sum = rig_with(&rig, "Add", reduce(&rig, "ReduceMean", square, 1, last), 1e-6);
    struct value *root = _i & 2 ? rig_with(&rig, "Pow", sum, 0.5) : rig_op1(&rig, "Sqrt", sum);
    struct value *y = _i / 4 == 0 ? rig_op2(&rig, "Div", x, root)
                      : _i / 4 == 1
                          ? rig_op2(&rig, "Mul", x, rig_op1(&rig, "Reciprocal", root))
                          : rig_op2(&rig, "Mul", x, rig_op2(&rig, "Div", rig_number(&rig, SCALAR_DIMS, 1), root));
    y = rig_op2(&rig, "Mul", rig_weights(&rig, DIMS(5)), y);
    EXPECT(normalization, y, "RMSNormalization");
}
END_TEST

START_TEST(no_rms_normalization)
{
    static const int64_t last[1] = {-1};
    struct rig rig;
    rig_begin(&rig);
    struct value *x = block(&rig);
    struct value *mean = reduce(&rig, "ReduceMean", rig_with(&rig, "Pow", x, _i == 0 ? 3 : 2), 1, last);
    struct value *root = rig_op1(&rig, _i == 1 ? "Abs" : "Sqrt", rig_with(&rig, "Add", mean, 1));
    struct value *y = _i == 2 ? rig_op2(&rig, "Div", block(&rig), root) : rig_op2(&rig, "Div", x, root);
    EXPECT(normalization, y, _i == 1 ? "Pow ReduceMean Add Abs Div" : "Pow ReduceMean Add Sqrt Div");
}
END_TEST

/* There is no bias to an RMSNormalization. */
START_TEST(a_bias_after_rms_normalization_stays)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *y = rig_op2(&rig, "RMSNormalization", block(&rig), rig_weights(&rig, DIMS(5)));
    y = rig_op2(&rig, "Add", y, rig_weights(&rig, DIMS(5)));
    EXPECT(normalization, y, "RMSNormalization Add");
}
END_TEST

/* --- GroupNormalization ----------------------------------------------------------------------------------- */

static struct value *ones(struct rig *rig, int count, double number)
{
    struct value *one = rig_number(rig, DIMS(1), number), *dims = rig_ints(rig, 1, (int64_t[]){count});
    return rig_op2(rig, "Expand", one, dims);
}

/* x [2, 6, 4, 5] in groups, normalised each. */
static struct value *spell_group(struct rig *rig, struct value *x, int groups, double scale)
{
    const struct attribute epsilon = ATTRIBUTE_F("epsilon", 1e-3f);
    struct value *rows = rig_op2(rig, "Reshape", x, rig_ints(rig, 3, (int64_t[]){0, groups, -1}));
    struct value *in[] = {rows, ones(rig, groups, scale), ones(rig, groups, 0)};
    struct value *y = rig_node(rig, "InstanceNormalization", 3, in, 1, &epsilon);
    return rig_op2(rig, "Reshape", y, rig_ints(rig, 4, (int64_t[]){2, 6, 4, 5}));
}

START_TEST(group_normalization)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *y = spell_group(&rig, rig_input(&rig, DIMS(2, 6, 4, 5)), 3, 1);
    if (_i)
        y = rig_op2(&rig, "Add", rig_op2(&rig, "Mul", y, rig_weights(&rig, DIMS(6, 1, 1))),
                    rig_weights(&rig, DIMS(1, 6, 1, 1)));
    EXPECT(normalization, y, _i ? "Reshape Reshape GroupNormalization" : "GroupNormalization");
}
END_TEST

START_TEST(no_group_normalization)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(2, 6, 4, 5));
    struct value *y = spell_group(&rig, x, _i == 0 ? 4 : 3, _i == 1 ? 2 : 1);
    if (_i == 2)
        y = rig_op2(&rig, "Mul", y, rig_weights(&rig, DIMS(4, 5)));
    EXPECT(normalization, y, _i == 2 ? "GroupNormalization Mul" : "Reshape InstanceNormalization Reshape");
}
END_TEST

/* --- Softmax ---------------------------------------------------------------------------------------------- */

struct softmax_case {
    int64_t axis, sum_axis;
    const char *largest;
};

static struct value *spell_softmax(struct rig *rig, struct value *x, struct softmax_case s, int spelling)
{
    struct value *shifted = rig_op2(rig, "Sub", x, reduce(rig, s.largest, x, 1, &s.axis));
    struct value *again = spelling == 4 ? rig_op2(rig, "Sub", x, reduce(rig, s.largest, x, 1, &s.axis)) : shifted;
    struct value *power = rig_op1(rig, "Exp", shifted), *sum = reduce(rig, "ReduceSum", power, 1, &s.sum_axis);
    switch (spelling) {
    case 0:
        return rig_op2(rig, "Div", power, sum);
    case 1:
        return rig_op2(rig, "Mul", power, rig_op1(rig, "Reciprocal", sum));
    case 2:
        return rig_op2(rig, "Mul", rig_op2(rig, "Div", rig_number(rig, SCALAR_DIMS, 1), sum), power);
    default:
        return rig_op2(rig, "Sub", again, rig_op1(rig, "Log", sum));
    }
}

START_TEST(softmax_in_every_spelling)
{
    static const int64_t axes[] = {-1, 1, 0};
    struct rig rig;
    rig_begin(&rig);
    struct softmax_case s = {axes[_i / 5], axes[_i / 5], "ReduceMax"};
    struct value *y = spell_softmax(&rig, block(&rig), s, _i % 5);
    EXPECT(softmax, y, _i % 5 < 3 ? "Softmax" : "LogSoftmax");
}
END_TEST

START_TEST(no_softmax)
{
    static const struct softmax_case cases[] = {{-1, 1, "ReduceMax"}, {-1, -1, "ReduceMin"}};
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(4, 5, 5));
    struct value *y = spell_softmax(&rig, x, cases[_i / 2], _i % 2 ? 3 : 0);
    EXPECT(softmax, y,
           ((const char *[]){"ReduceMax Sub Exp ReduceSum Div", "ReduceMax Sub Exp ReduceSum Log Sub",
                             "ReduceMin Sub Exp ReduceSum Div", "ReduceMin Sub Exp ReduceSum Log Sub"}[_i]));
}
END_TEST

START_TEST(softmax_that_is_read_inside_stays)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *y = spell_softmax(&rig, block(&rig), (struct softmax_case){-1, -1, "ReduceMax"}, 0);
    struct value *z = rig.graph->nodes[rig.graph->node_count - 1]->inputs[_i];
    rig_output(&rig, z);
    EXPECT(softmax, y, ("ReduceMax Sub Exp ReduceSum Div"));
}
END_TEST

/* --- norms ------------------------------------------------------------------------------------------------ */

static struct value *squares(struct rig *rig, struct value *x, bool product)
{
    return product ? rig_op2(rig, "Mul", x, x) : rig_with(rig, "Pow", x, 2);
}

START_TEST(sums_of_squares_and_magnitudes)
{
    static const int64_t axes[2] = {1, -1};
    const struct attribute drop = ATTRIBUTE_I("keepdims", 0), list = ATTRIBUTE_LIST("axes", 2, axes);
    struct rig rig;
    rig_begin(&rig);
    struct value *x = block(&rig), *y = _i == 2 ? rig_op1(&rig, "Abs", x) : squares(&rig, x, _i & 1);
    if (_i == 3) {
        y = rig_node(&rig, "ReduceSum", 1, &y, 1, &list);
        rig.graph->nodes[rig.graph->node_count - 1]->version = 11;
    } else {
        y = rig_node(&rig, "ReduceSum", 2, (struct value *[]){y, rig_ints(&rig, 2, axes)}, 1, &drop);
    }
    EXPECT(reductions, y, _i == 2 ? "ReduceL1" : "ReduceSumSquare");
}
END_TEST

START_TEST(the_norm_of_an_l2_normalisation)
{
    static const int64_t last[1] = {-1};
    struct rig rig;
    rig_begin(&rig);
    struct value *x = block(&rig), *sum = reduce(&rig, "ReduceSum", squares(&rig, x, _i), 1, last);
    struct value *norm = rig_with(&rig, "Max", rig_op1(&rig, "Sqrt", sum), 1e-12);
    struct value *y = rig_op2(&rig, "Div", x, norm);
    EXPECT(reductions, y, "ReduceL2 Max Div");
}
END_TEST

START_TEST(other_sums_stay)
{
    static const int64_t last[1] = {-1};
    static const char *const nodes[] = {
        "Pow ReduceSum", "Mul ReduceSum", "Mul ReduceSum Neg", "Abs ReduceSum Neg", "ReduceSumSquare Neg Sqrt",
        "Pow ReduceSum"};
    struct rig rig;
    rig_begin(&rig);
    struct value *x = block(&rig), *y, *z = NULL;
    if (_i == 0)
        y = z = rig_with(&rig, "Pow", x, 3);
    else if (_i == 1)
        y = z = rig_op2(&rig, "Mul", x, block(&rig));
    else if (_i == 5) /* the exponent adds an axis */
        y = z = rig_op2(&rig, "Pow", x, rig_number(&rig, DIMS(1, 1, 1, 1, 1), 2));
    else
        y = _i == 3 ? rig_op1(&rig, "Abs", x) : squares(&rig, x, true);
    struct value *sum = reduce(&rig, "ReduceSum", y, 1, last);
    if (_i == 4)
        y = sum;
    if (!z)
        rig_output(&rig, rig_op1(&rig, "Neg", y));
    y = _i == 4 ? rig_op1(&rig, "Sqrt", sum) : sum;
    EXPECT(reductions, y, nodes[_i]);
}
END_TEST

/* --- the suite -------------------------------------------------------------------------------------------- */

#define LOOP(test, count) tcase_add_loop_test(tests, test, 0, count)

Suite *passes_normalization_suite(void)
{
    Suite *suite = suite_create("passes_normalization");
    TCase *tests = tcase_create("normalization");
    LOOP(layer_normalization_in_every_spelling, 64);
    LOOP(scale_and_bias_of_every_shape, 5);
    LOOP(parts_of_layer_normalization, 3);
    LOOP(scale_and_bias_that_are_none_stay, 5);
    tcase_add_test(tests, an_operator_of_the_model_takes_scale_and_bias_too);
    LOOP(layer_normalization_that_is_read_inside_stays, 2);
    LOOP(no_layer_normalization, 3);
    tcase_add_test(tests, means_along_other_axes_are_no_layer_normalization);
    LOOP(rms_normalization_in_every_spelling, 12);
    LOOP(no_rms_normalization, 3);
    tcase_add_test(tests, a_bias_after_rms_normalization_stays);
    LOOP(group_normalization, 2);
    LOOP(no_group_normalization, 3);
    LOOP(softmax_in_every_spelling, 15);
    LOOP(no_softmax, 4);
    LOOP(softmax_that_is_read_inside_stays, 2);
    LOOP(sums_of_squares_and_magnitudes, 4);
    LOOP(the_norm_of_an_l2_normalisation, 2);
    LOOP(other_sums_stay, 6);
    suite_add_tcase(suite, tests);
    return suite;
}
