/* Activations that exporters spell out become one operator, and what only looks like them does not. Results of the two
 * may differ by the rounding of intermediates. */
#include "tests/pass_test.h"
#include "tests/suites.h"

#define TOLERANCE 2e-6

static const double root_2 = 1.4142135623730951, root_half = 0.7071067811865476, half_pi_root = 0.7978845608028654;

#define EXPECT(time, output, nodes)                                           \
    do {                                                                      \
        rig_output(&rig, (output));                                           \
        rig_expect_pass(&rig, recognise_activations, time, nodes, TOLERANCE); \
    } while (0)

static void begin(struct rig *rig)
{
    rig_begin(rig);
    rig->reach = 4;
}

static struct value *mul(struct rig *rig, struct value *a, struct value *b)
{
    return rig_op2(rig, "Mul", a, b);
}

/* --- Gelu ------------------------------------------------------------------------------------------------- */

static struct value *image(struct rig *rig)
{
    return rig_input(rig, DIMS(1, 3, 4, 5));
}

/* 1 + erf(x / sqrt 2), by one of several spellings. */
static struct value *erf_gate(struct rig *rig, struct value *x, int spelling)
{
    struct value *scaled = spelling & 1 ? rig_with(rig, "Mul", x, root_half) : rig_with(rig, "Div", x, root_2);
    struct value *erf = rig_op1(rig, "Erf", scaled);
    return spelling & 2 ? rig_op2(rig, "Add", rig_number(rig, SCALAR_DIMS, 1), erf) : rig_with(rig, "Add", erf, 1);
}

/* x * gate / 2 in every order. */
static struct value *half_product(struct rig *rig, struct value *x, struct value *gate, int order)
{
    switch (order) {
    case 0:
        return rig_with(rig, "Mul", mul(rig, x, gate), 0.5);
    case 1:
        return mul(rig, x, rig_with(rig, "Mul", gate, 0.5));
    case 2:
        return mul(rig, gate, mul(rig, rig_number(rig, SCALAR_DIMS, 0.5), x));
    default:
        return rig_with(rig, "Div", mul(rig, gate, x), 2);
    }
}

START_TEST(gelu_by_erf_in_every_order)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig);
    struct value *y = half_product(&rig, x, erf_gate(&rig, x, _i / 4 % 4), _i % 4);
    EXPECT(_i < 16 ? PASS_ONCE : PASS_SHAPED, y, "Gelu");
}
END_TEST

/* sqrt(2/pi) (x + 0.044715 x^3), by one of several spellings. */
static struct value *tanh_argument(struct rig *rig, struct value *x, int spelling)
{
    struct value *square = spelling & 1 ? rig_with(rig, "Pow", x, 2) : mul(rig, x, x);
    if (spelling >= 6)
        return mul(rig, rig_with(rig, "Mul", x, half_pi_root),
                   rig_with(rig, "Add", rig_with(rig, "Mul", square, 0.044715), 1));
    struct value *cube = spelling & 2 ? rig_with(rig, "Pow", x, 3) : mul(rig, square, x);
    if (spelling >= 4)
        cube = mul(rig, mul(rig, rig_with(rig, "Mul", x, 0.044715), x), x);
    else
        cube = rig_with(rig, "Mul", cube, 0.044715);
    return rig_with(rig, "Mul", rig_op2(rig, "Add", x, cube), half_pi_root);
}

START_TEST(gelu_by_tanh_in_every_spelling)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig);
    struct value *tanh = rig_op1(&rig, "Tanh", tanh_argument(&rig, x, _i));
    struct value *y = half_product(&rig, x, rig_with(&rig, "Add", tanh, 1), _i % 4);
    EXPECT(PASS_SHAPED, y, "Gelu");
}
END_TEST

START_TEST(gelu_with_other_numbers_stays)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig);
    struct value *erf = rig_op1(&rig, "Erf", rig_with(&rig, "Div", x, _i == 0 ? 1.4142 : root_2));
    struct value *gate = rig_with(&rig, "Add", erf, _i == 1 ? 0.999 : 1);
    struct value *y = rig_with(&rig, "Mul", mul(&rig, x, gate), _i == 2 ? 0.25 : 0.5);
    EXPECT(PASS_SHAPED, y, "Div Erf Add Mul Mul");
}
END_TEST

START_TEST(gelu_whose_gate_is_read_elsewhere_stays)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig), *gate = erf_gate(&rig, x, 0);
    struct value *y = half_product(&rig, x, gate, 0);
    rig_output(&rig, gate);
    EXPECT(PASS_SHAPED, y, ("Div Erf Add Mul Mul"));
}
END_TEST

START_TEST(gelu_whose_argument_is_read_elsewhere_stays)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig), *scaled = rig_with(&rig, "Div", x, root_2);
    struct value *gate = rig_with(&rig, "Add", rig_op1(&rig, "Erf", scaled), 1);
    struct value *y = half_product(&rig, x, gate, 0), *z = rig_op1(&rig, "Neg", scaled);
    rig_output(&rig, z);
    EXPECT(PASS_SHAPED, y, ("Div Erf Add Mul Mul Neg"));
}
END_TEST

START_TEST(gelu_of_another_value_stays)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig), *other = image(&rig);
    struct value *y = half_product(&rig, x, erf_gate(&rig, other, 0), 0);
    EXPECT(PASS_SHAPED, y, "Div Erf Add Mul Mul");
}
END_TEST

START_TEST(gelu_with_a_further_factor_stays)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig), *gate = erf_gate(&rig, x, 0);
    struct value *y = rig_with(&rig, "Mul", mul(&rig, mul(&rig, x, image(&rig)), gate), 0.5);
    EXPECT(PASS_SHAPED, y, "Div Erf Add Mul Mul Mul");
}
END_TEST

/* A number of more axes than x gives the result more axes. */
START_TEST(numbers_that_add_axes_stay)
{
    struct rig rig;
    begin(&rig);
    struct value *x = rig_input(&rig, DIMS(5));
    struct value *erf = rig_op1(&rig, "Erf", rig_with(&rig, "Div", x, root_2));
    struct value *gate = rig_op2(&rig, "Add", erf, rig_number(&rig, DIMS(1, 1), 1));
    struct value *y = half_product(&rig, x, gate, 0);
    EXPECT(PASS_SHAPED, y, "Div Erf Add Mul Mul");
}
END_TEST

/* Before shapes are known, only what has axes for certain takes numbers of one axis. */
START_TEST(numbers_with_axes_need_a_known_rank)
{
    struct rig rig;
    begin(&rig);
    struct value *x = rig_op1(&rig, _i ? "Relu" : "Identity", rig_input(&rig, DIMS(5)));
    x = _i ? rig_op2(&rig, "Add", x, rig_weights(&rig, DIMS(5))) : x;
    struct value *erf = rig_op1(&rig, "Erf", rig_with(&rig, "Div", x, root_2));
    struct value *gate = rig_op2(&rig, "Add", erf, rig_number(&rig, DIMS(1), 1));
    struct value *y = half_product(&rig, x, gate, 0);
    EXPECT(PASS_ONCE, y, _i ? "Relu Add Gelu" : "Identity Div Erf Add Mul Mul");
}
END_TEST

/* A number is meant where it is right to the last digits that its type can hold. */
START_TEST(numbers_are_judged_by_their_type)
{
    static const struct {
        enum dtype dtype;
        double root;
        bool taken;
    } cases[] = {
        {DTYPE_F16, 1.4142, true},   {DTYPE_F16, 1.41, false},      {DTYPE_F32, 1.414214, true},
        {DTYPE_F32, 1.41421, false}, {DTYPE_F64, 1.4142136, false}, {DTYPE_F64, 1.4142135623730951, true},
    };
    struct rig rig;
    begin(&rig);
    rig.dtype = cases[_i].dtype;
    struct value *x = image(&rig);
    struct value *gate = rig_with(&rig, "Add", rig_op1(&rig, "Erf", rig_with(&rig, "Div", x, cases[_i].root)), 1);
    rig_output(&rig, rig_with(&rig, "Mul", mul(&rig, x, gate), 0.5));
    rig_expect_pass(&rig, recognise_activations, PASS_ONCE, cases[_i].taken ? "Gelu" : "Div Erf Add Mul Mul",
                    cases[_i].dtype == DTYPE_F16 ? 2e-3 : TOLERANCE);
}
END_TEST

/* --- Swish, Mish ------------------------------------------------------------------------------------------ */

START_TEST(swish)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig);
    struct value *scaled = _i == 0 ? x : _i == 1 ? rig_with(&rig, "Mul", x, 1) : rig_with(&rig, "Mul", x, 1.702);
    struct value *gate = rig_op1(&rig, "Sigmoid", scaled);
    struct value *y = _i == 3 ? mul(&rig, gate, x) : mul(&rig, x, gate);
    EXPECT(PASS_ONCE, y, "Swish");
}
END_TEST

START_TEST(no_swish)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig);
    struct value *gate = rig_op1(&rig, "Sigmoid", _i == 1 ? rig_with(&rig, "Add", x, 1) : _i == 2 ? image(&rig) : x);
    struct value *y = mul(&rig, x, gate);
    if (_i == 0)
        y = mul(&rig, gate, y);
    EXPECT(PASS_SHAPED, y, ((const char *[]){"Sigmoid Mul Mul", "Add Sigmoid Mul", "Sigmoid Mul"}[_i]));
}
END_TEST

START_TEST(a_factor_beside_swish_stays_beside_it)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig);
    struct value *y = rig_with(&rig, "Mul", mul(&rig, x, rig_op1(&rig, "Sigmoid", x)), 0.5);
    EXPECT(PASS_SHAPED, y, "Swish Mul");
}
END_TEST

START_TEST(mish)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig);
    struct value *softplus =
        _i ? rig_op1(&rig, "Log", rig_with(&rig, "Add", rig_op1(&rig, "Exp", x), 1)) : rig_op1(&rig, "Softplus", x);
    struct value *y = mul(&rig, x, rig_op1(&rig, "Tanh", softplus));
    EXPECT(PASS_ONCE, y, "Mish");
}
END_TEST

START_TEST(no_mish)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig);
    struct value *y = mul(&rig, x, rig_op1(&rig, "Tanh", rig_op1(&rig, "Softplus", image(&rig))));
    EXPECT(PASS_SHAPED, y, "Softplus Tanh Mul");
}
END_TEST

/* --- HardSigmoid, HardSwish -------------------------------------------------------------------------------- */

static struct value *clip(struct rig *rig, struct value *x, double least, double most, int spelling)
{
    const struct attribute bounds[] = {ATTRIBUTE_F("min", (float)least), ATTRIBUTE_F("max", (float)most)};
    switch (spelling) {
    case 0:
        return rig_node(rig, "Clip", 3,
                        (struct value *[]){x, rig_number(rig, SCALAR_DIMS, least), rig_number(rig, SCALAR_DIMS, most)},
                        0, NULL);
    case 1:
        x = rig_node(rig, "Clip", 1, &x, 2, bounds);
        rig->graph->nodes[rig->graph->node_count - 1]->version = 6;
        return x;
    case 2:
        return rig_with(rig, "Min", rig_with(rig, "Max", x, least), most);
    case 3:
        return rig_with(rig, "Max", rig_with(rig, "Min", x, most), least);
    default:
        return rig_with(rig, "Min", rig_op1(rig, "Relu", x), most);
    }
}

START_TEST(hard_swish_by_clip)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig), *gate = clip(&rig, rig_with(&rig, "Add", x, 3), 0, 6, _i % 5);
    struct value *y;
    switch (_i / 5) {
    case 0:
        y = rig_with(&rig, "Div", mul(&rig, x, gate), 6);
        break;
    case 1:
        y = mul(&rig, x, rig_with(&rig, "Mul", gate, 1.0 / 6));
        break;
    case 2:
        y = mul(&rig, gate, rig_with(&rig, "Mul", x, 1.0 / 6));
        break;
    default:
        y = rig_with(&rig, "Mul", mul(&rig, gate, x), 1.0 / 6);
    }
    /* HardSigmoid's alpha is a float: that it means a sixth is known once the type is. */
    EXPECT(_i / 5 == 1 ? PASS_SHAPED : PASS_ONCE, y, "HardSwish");
}
END_TEST

START_TEST(hard_swish_by_hard_sigmoid)
{
    const struct attribute sixth[] = {ATTRIBUTE_F("alpha", (float)(1.0 / 6)), ATTRIBUTE_F("beta", 0.5f)};
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig);
    struct value *gate = _i == 0 ? rig_node(&rig, "HardSigmoid", 1, &x, 2, sixth)
                                 : clip(&rig, rig_with(&rig, "Add", rig_with(&rig, "Div", x, 6), 0.5), 0, 1, 0);
    struct value *y = mul(&rig, x, gate);
    EXPECT(PASS_SHAPED, y, "HardSwish");
}
END_TEST

START_TEST(no_hard_swish)
{
    static const struct {
        double shift, most, divisor;
        const char *nodes;
    } cases[] = {
        {2, 6, 6, "Add Clip Mul Div"},
        {3, 5, 6, "Add Clip Mul Div"},
        {3, 6, 5, "Add Clip Mul Div"},
    };
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig);
    struct value *gate = clip(&rig, rig_with(&rig, "Add", x, cases[_i].shift), 0, cases[_i].most, 0);
    struct value *y = rig_with(&rig, "Div", mul(&rig, x, gate), cases[_i].divisor);
    EXPECT(PASS_SHAPED, y, cases[_i].nodes);
}
END_TEST

START_TEST(hard_sigmoid)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig), *y;
    if (_i == 0)
        y = clip(&rig, rig_with(&rig, "Add", rig_with(&rig, "Mul", x, 0.2), 0.5), 0, 1, 0);
    else if (_i == 1)
        y = clip(&rig, rig_with(&rig, "Add", x, 0.25), 0, 1, 2);
    else if (_i == 2)
        y = rig_with(&rig, "Div", clip(&rig, rig_with(&rig, "Add", x, 3), 0, 6, 4), 6);
    else
        y = rig_with(&rig, "Mul", clip(&rig, rig_with(&rig, "Sub", rig_with(&rig, "Div", x, 2), -1), 0, 4, 0), 0.25);
    EXPECT(PASS_ONCE, y, "HardSigmoid");
}
END_TEST

START_TEST(no_hard_sigmoid)
{
    struct rig rig;
    begin(&rig);
    struct value *x = image(&rig), *y;
    if (_i == 0)
        y = clip(&rig, rig_with(&rig, "Add", x, 0.5), 0.1, 1, 0);
    else if (_i == 1)
        y = clip(&rig, rig_with(&rig, "Add", x, 3), 0, 6, 0);
    else if (_i == 2)
        y = rig_with(&rig, "Div", clip(&rig, rig_with(&rig, "Add", x, 3), 0, 6, 0), 5);
    else
        y = clip(&rig, rig_with(&rig, "Mul", x, 0.5), 0, 1, 0);
    EXPECT(PASS_SHAPED, y, ((const char *[]){"Add Clip", "Add Clip", "Add Clip Div", "Mul Clip"}[_i]));
}
END_TEST

/* --- the suite -------------------------------------------------------------------------------------------- */

#define LOOP(test, count) tcase_add_loop_test(tests, test, 0, count)

Suite *passes_recognise_suite(void)
{
    Suite *suite = suite_create("passes_recognise");
    TCase *tests = tcase_create("recognise");
    LOOP(gelu_by_erf_in_every_order, 32);
    LOOP(gelu_by_tanh_in_every_spelling, 8);
    LOOP(gelu_with_other_numbers_stays, 3);
    tcase_add_test(tests, gelu_whose_gate_is_read_elsewhere_stays);
    tcase_add_test(tests, gelu_whose_argument_is_read_elsewhere_stays);
    tcase_add_test(tests, gelu_of_another_value_stays);
    tcase_add_test(tests, gelu_with_a_further_factor_stays);
    tcase_add_test(tests, numbers_that_add_axes_stay);
    LOOP(numbers_with_axes_need_a_known_rank, 2);
    LOOP(numbers_are_judged_by_their_type, 6);
    LOOP(swish, 4);
    LOOP(no_swish, 3);
    tcase_add_test(tests, a_factor_beside_swish_stays_beside_it);
    LOOP(mish, 2);
    tcase_add_test(tests, no_mish);
    LOOP(hard_swish_by_clip, 20);
    LOOP(hard_swish_by_hard_sigmoid, 2);
    LOOP(no_hard_swish, 3);
    LOOP(hard_sigmoid, 4);
    LOOP(no_hard_sigmoid, 4);
    suite_add_tcase(suite, tests);
    return suite;
}
