/* What a file declares of a value between inputs and outputs, nothing has checked when passes run once a model: where
 * it is not so, results are what they are without passes. */
#include "tests/pass_test.h"
#include "tests/suites.h"

static struct value *declare(struct value *value, enum dtype dtype, int rank)
{
    value->dtype = dtype;
    value->rank = rank;
    for (int i = 0; i < rank; i++)
        value->dims[i] = 1;
    return value;
}

static struct value *matrix(struct rig *rig)
{
    int64_t dims[] = {2, 3};
    return rig_open_input(rig, 2, dims);
}

/* Times one, with more axes than the value has: they are the result's. */
START_TEST(a_rank_that_is_less)
{
    static const char *const ops[] = {"Mul", "Div", "Pow"};
    struct rig rig;
    rig_begin(&rig);
    struct value *y = declare(rig_op1(&rig, "Relu", matrix(&rig)), DTYPE_F32, 4);
    rig_output(&rig, rig_op2(&rig, ops[_i], y, rig_number(&rig, DIMS(1, 1, 1), 1)));
    rig_expect(&rig, NULL, NULL, 0);
}
END_TEST

/* The numbers of x * sigmoid(1 * x) have an axis more than x. */
START_TEST(a_rank_that_a_pattern_is_judged_by)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = declare(rig_op1(&rig, "Exp", matrix(&rig)), DTYPE_F32, 4),
                 *one = rig_number(&rig, DIMS(1, 1, 1), 1);
    struct value *gate = rig_op1(&rig, "Sigmoid", rig_op2(&rig, "Mul", x, one));
    rig_output(&rig, rig_op2(&rig, "Mul", x, gate));
    rig_expect(&rig, NULL, NULL, 0);
}
END_TEST

/* A product's bias and factor with more axes than its result. */
START_TEST(a_rank_before_a_product)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = declare(rig_op1(&rig, "Relu", matrix(&rig)), DTYPE_F32, 3);
    struct value *y = rig_op2(&rig, "MatMul", x, rig_weights(&rig, DIMS(3, 4)));
    y = rig_op2(&rig, "Add", y, rig_weights(&rig, DIMS(1, 1, 4)));
    rig_output(&rig, rig_op2(&rig, "Mul", y, rig_weights(&rig, DIMS(1, 1, 1))));
    rig_expect(&rig, NULL, NULL, 1e-6);
}
END_TEST

static struct value *cast(struct rig *rig, struct value *x, enum dtype dtype)
{
    const struct attribute to = ATTRIBUTE_I("to", dtype);
    return rig_node(rig, "Cast", 1, &x, 1, &to);
}

/* Declared a float16, it would need no cast to that; and a float32 made of it would have been one before. */
START_TEST(a_type)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *y = declare(rig_op1(&rig, "Sigmoid", matrix(&rig)), DTYPE_F16, 2);
    rig_output(&rig, _i ? cast(&rig, cast(&rig, y, DTYPE_F16), DTYPE_F32) : cast(&rig, y, DTYPE_F16));
    rig_expect(&rig, NULL, NULL, 0);
}
END_TEST

/* Weights that are computed, said to be of one tap. */
START_TEST(a_kernel)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(1, 2, 4, 4)), *w = rig_input(&rig, DIMS(2, 2, 3, 3));
    w = declare(rig_op1(&rig, "Relu", w), DTYPE_F32, 4);
    w->dims[0] = w->dims[1] = 2;
    rig_output(&rig, rig_op1(&rig, "GlobalAveragePool", rig_op2(&rig, "Conv", x, w)));
    rig_expect(&rig, "Relu Conv GlobalAveragePool", NULL, 0);
}
END_TEST

Suite *passes_declared_suite(void)
{
    Suite *suite = suite_create("passes_declared");
    TCase *tests = tcase_create("declared");
    tcase_add_loop_test(tests, a_rank_that_is_less, 0, 3);
    tcase_add_test(tests, a_rank_that_a_pattern_is_judged_by);
    tcase_add_test(tests, a_rank_before_a_product);
    tcase_add_loop_test(tests, a_type, 0, 2);
    tcase_add_test(tests, a_kernel);
    suite_add_tcase(suite, tests);
    return suite;
}
