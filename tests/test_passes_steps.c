/* Fusion of steps: chains of elementwise steps, and those that ride along with a larger one. */
#include "kernels/conv.h"
#include "tests/step_test.h"
#include "tests/suites.h"

#include <string.h>

static struct value *begin(struct rig *rig, int rank, const int64_t *dims)
{
    rig_begin(rig);
    return rig_input(rig, rank, dims);
}

static struct value *begin_typed(struct rig *rig, enum dtype dtype, int rank, const int64_t *dims)
{
    rig_begin(rig);
    rig->dtype = dtype;
    return rig_input(rig, rank, dims);
}

static struct value *conv(struct rig *rig, struct value *x, int64_t from, int64_t to)
{
    return rig_node(rig, "Conv", 2, (struct value *[]){x, rig_random(rig, DIMS(to, from, 1, 1))}, 0, NULL);
}

static void expect(struct rig *rig, struct value *output, const char *before, const char *after)
{
    rig_output(rig, output);
    rig_expect_steps(rig, before, after);
    rig_end(rig);
}

/* --- chains ---------------------------------------------------------------------------------------------- */

START_TEST(a_chain_becomes_one_program)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(2, 3, 5)), *y = rig_input(&rig, DIMS(3, 1));
    struct value *sum = rig_op2(&rig, "Add", x, y);
    rig_output(&rig, rig_op1(&rig, "Relu", rig_op2(&rig, "Mul", rig_op1(&rig, "Sigmoid", sum), x)));
    rig_expect_steps(&rig, "ADD SIGMOID MUL RELU", "ADD+SIGMOID+MUL+RELU");
    rig_expect_step_sources(&rig, 0, "0 1 2 3");
    rig_end(&rig);
}
END_TEST

START_TEST(a_tree_becomes_one_program)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(4, 6)), *y = rig_input(&rig, DIMS(6)), *z = rig_input(&rig, DIMS(4, 1));
    struct value *left = rig_op1(&rig, "Tanh", rig_op2(&rig, "Sub", x, y));
    struct value *right = rig_op1(&rig, "Neg", rig_op2(&rig, "Mul", x, z));
    rig_output(&rig, rig_op2(&rig, "Sub", left, right));
    rig_expect_steps(&rig, "SUB TANH MUL NEG SUB", "MUL+NEG+SUB+TANH+SUB");
    rig_expect_step_sources(&rig, 0, "2 3 0 1 4");
    rig_end(&rig);
}
END_TEST

START_TEST(both_operands_may_be_the_same_result)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(7)), *y = rig_op1(&rig, "Exp", x);
    expect(&rig, rig_op2(&rig, "Mul", y, y), "EXP MUL", "EXP+MUL");
    x = begin(&rig, DIMS(7)); /* at different times */
    y = rig_op1(&rig, "Exp", x);
    expect(&rig, rig_op2(&rig, "Mul", rig_op1(&rig, "Neg", y), y), "EXP NEG MUL", "EXP+NEG+MUL");
    x = begin(&rig, DIMS(2, 3, 2, 2));
    y = conv(&rig, x, 3, 2);
    expect(&rig, rig_op2(&rig, "Mul", y, y), "conv MUL", "conv+MUL");
}
END_TEST

START_TEST(what_two_steps_read_stays)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(3, 4)), *y = rig_op1(&rig, "Exp", x);
    rig_output(&rig, rig_op1(&rig, "Neg", y));
    expect(&rig, rig_op1(&rig, "Abs", y), "EXP NEG ABS", "EXP NEG ABS");
    x = begin(&rig, DIMS(1, 3, 2, 2));
    y = conv(&rig, x, 3, 2);
    rig_output(&rig, rig_op1(&rig, "Neg", y));
    expect(&rig, rig_op1(&rig, "Abs", y), "conv NEG ABS", "conv NEG ABS");
}
END_TEST

START_TEST(what_the_graph_hands_out_stays)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(3, 4)), *y = rig_op1(&rig, "Exp", x);
    rig_output(&rig, y);
    expect(&rig, rig_op1(&rig, "Neg", y), "EXP NEG", "EXP NEG");
    x = begin(&rig, DIMS(1, 3, 2, 2));
    y = conv(&rig, x, 3, 2);
    rig_output(&rig, y);
    expect(&rig, rig_op1(&rig, "Neg", y), "conv NEG", "conv NEG");
    x = begin(&rig, DIMS(1, 3, 2, 2));
    y = conv(&rig, x, 3, 2);
    rig_output(&rig, rig_reshape(&rig, y, DIMS(8)));
    expect(&rig, rig_op1(&rig, "Neg", y), "conv NEG", "conv NEG");
}
END_TEST

START_TEST(programs_join_through_a_reshape)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(4, 6)), *y = rig_op2(&rig, "Add", x, rig_random(&rig, DIMS(4, 1)));
    y = rig_op2(&rig, "Mul", rig_reshape(&rig, y, DIMS(2, 2, 3, 2)), rig_random(&rig, DIMS(2, 1, 2)));
    expect(&rig, y, "ADD MUL", "ADD+MUL");
    x = begin(&rig, DIMS(4, 6)); /* rows of six and of eight begin at different places */
    y = rig_op2(&rig, "Add", x, rig_random(&rig, DIMS(6)));
    expect(&rig, rig_op2(&rig, "Mul", rig_reshape(&rig, y, DIMS(3, 8)), rig_random(&rig, DIMS(8))), "ADD MUL",
           "ADD MUL");
    x = begin(&rig, DIMS(4, 6)); /* unless nothing repeats along them */
    y = rig_reshape(&rig, rig_op2(&rig, "Add", x, rig_random(&rig, DIMS(4, 6))), DIMS(3, 8));
    expect(&rig, rig_op2(&rig, "Mul", y, rig_random(&rig, DIMS(8))), "ADD MUL", "ADD+MUL");
}
END_TEST

/* The scale is read by five operands, three of which become one: it is made for the other reader all the same. */
START_TEST(a_value_read_in_many_ways_has_all_its_readers)
{
    struct rig rig;
    struct value *x = begin_typed(&rig, DTYPE_U8, DIMS(3, 3));
    rig.dtype = DTYPE_F32;
    struct value *scale = rig_op1(&rig, "Exp", rig_input(&rig, DIMS(3)));
    struct value *y = rig_node(&rig, "DequantizeLinear", 2, (struct value *[]){x, scale}, 1,
                               (struct attribute[]){ATTRIBUTE_I("axis", 0)});
    for (int i = 0; i < 3; i++)
        y = rig_op2(&rig, "Mul", y, scale);
    rig_output(&rig, y);
    expect(&rig, rig_op1(&rig, "Neg", scale), NULL, "EXP TO_F32+MUL+MUL+MUL+MUL NEG");
}
END_TEST

START_TEST(a_smaller_result_is_computed_once)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(3, 4)), *y = rig_input(&rig, DIMS(4));
    expect(&rig, rig_op2(&rig, "Add", x, rig_op1(&rig, "Exp", y)), "EXP ADD", "EXP ADD");
    x = begin(&rig, DIMS(3, 4));
    y = rig_node(&rig, "ReduceSum", 2, (struct value *[]){x, rig_ints(&rig, 1, (int64_t[]){1})}, 0, NULL);
    expect(&rig, rig_op2(&rig, "Sub", x, y), "reduce SUB", "reduce SUB");
    x = begin(&rig, DIMS(1, 4));
    y = rig_op2(&rig, "MatMul", x, rig_random(&rig, DIMS(4, 5)));
    expect(&rig, rig_op2(&rig, "Add", y, rig_random(&rig, DIMS(3, 5))), "matmul ADD", "matmul ADD");
    x = begin(&rig, DIMS(3, 1));
    y = rig_op2(&rig, "MatMul", x, rig_random(&rig, DIMS(1, 3)));
    /* as many elements, but of another order: y + transpose of y would be one */
    expect(&rig, rig_op2(&rig, "Add", rig_reshape(&rig, y, DIMS(3, 3, 1)), rig_random(&rig, DIMS(1, 3))), "matmul ADD",
           "matmul ADD");
}
END_TEST

START_TEST(types_that_memory_wraps_are_stored_between)
{
    static const struct {
        enum dtype dtype;
        const char *steps;
    } cases[] = {{DTYPE_F32, "ADD+MUL"}, {DTYPE_F64, "ADD+MUL"}, {DTYPE_I64, "ADD+MUL"},
                 {DTYPE_U64, "ADD+MUL"}, {DTYPE_I32, "ADD MUL"}, {DTYPE_U32, "ADD MUL"},
                 {DTYPE_I8, "ADD MUL"},  {DTYPE_U8, "ADD MUL"},  {DTYPE_I16, "ADD MUL"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        struct value *x = begin_typed(&rig, cases[i].dtype, DIMS(5, 9)), *y = rig_input(&rig, DIMS(9));
        expect(&rig, rig_op2(&rig, "Mul", rig_op2(&rig, "Add", x, y), y), "ADD MUL", cases[i].steps);
    }
}
END_TEST

START_TEST(truth_values_stay_in_registers)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(5, 9)), *y = rig_input(&rig, DIMS(9));
    struct value *less = rig_op1(&rig, "Not", rig_op2(&rig, "Less", x, y));
    expect(&rig, rig_node(&rig, "Where", 3, (struct value *[]){less, x, y}, 0, NULL), "LESS LOGICAL_NOT SELECT",
           "LESS+LOGICAL_NOT+SELECT");
}
END_TEST

/* A long chain of several operands each: programs have so many instructions, operands and registers. */
START_TEST(programs_end_where_they_are_full)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(3, 5)), *long_chain = x, *wide_chain = x;
    for (int i = 0; i < 2 * POINTWISE_MAX_INSTRUCTIONS + 3; i++)
        long_chain = rig_op1(&rig, i % 2 ? "Neg" : "Sigmoid", long_chain);
    for (int i = 0; i < 2 * POINTWISE_MAX_OPERANDS; i++)
        wide_chain = rig_op2(&rig, "Add", wide_chain, rig_random(&rig, DIMS(3, 5)));
    rig_output(&rig, long_chain);
    rig_output(&rig, wide_chain);
    rig_expect_steps(&rig, NULL, NULL);
    ck_assert_int_eq(rig_lower(&rig, NO_PASSES).steps.count,
                     2 * POINTWISE_MAX_INSTRUCTIONS + 3 + 2 * POINTWISE_MAX_OPERANDS);
    ck_assert_int_eq(rig_lower(&rig, FUSE).steps.count, 3 + 3);
    rig_end(&rig);
}
END_TEST

/* A full binary tree: five results wait in registers at the deepest place, 31 instructions share 24. */
START_TEST(registers_are_used_again)
{
    struct rig rig;
    struct value *level[16], *x = begin(&rig, DIMS(4, 3));
    for (int i = 0; i < 16; i++)
        level[i] = rig_op1(&rig, i % 2 ? "Exp" : "Abs", i < 8 ? x : rig_random(&rig, DIMS(4, 3)));
    for (int n = 8; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            level[i] = rig_op2(&rig, i % 2 ? "Add" : "Sub", level[2 * i], level[2 * i + 1]);
    rig_output(&rig, level[0]);
    rig_expect_steps(&rig, NULL, NULL);
    struct segment segment = rig_lower(&rig, FUSE);
    ck_assert_int_eq(segment.steps.count, 1);
    ck_assert_int_eq(((struct pointwise_params *)segment.steps.steps[0]->params)->instruction_count, 31);
    rig_end(&rig);
}
END_TEST

START_TEST(any_rank)
{
    struct rig rig;
    struct value *x = begin(&rig, 0, NULL);
    expect(&rig, rig_op1(&rig, "Abs", rig_op1(&rig, "Exp", x)), "EXP ABS", "EXP+ABS");
    x = begin(&rig, DIMS(1, 2, 1, 3, 1, 2, 1, 2));
    struct value *y = rig_input(&rig, DIMS(2, 1, 2, 1, 3, 1, 2, 1));
    expect(&rig, rig_op1(&rig, "Abs", rig_op2(&rig, "Add", x, y)), "ADD ABS", "ADD+ABS");
    x = begin(&rig, DIMS(1, 1, 1));
    expect(&rig, rig_op1(&rig, "Abs", rig_op1(&rig, "Exp", x)), "EXP ABS", "EXP+ABS");
}
END_TEST

/* --- epilogues ------------------------------------------------------------------------------------------- */

START_TEST(a_bias_and_an_activation_ride_on_a_convolution)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(2, 3, 4, 5));
    struct value *y = rig_op2(&rig, "Add", conv(&rig, x, 3, 4), rig_random(&rig, DIMS(4, 1, 1)));
    rig_output(&rig, rig_op1(&rig, "Relu", y));
    rig_expect_steps(&rig, "conv ADD RELU", "conv+ADD+RELU");
    rig_expect_step_sources(&rig, 0, "0 1 2");
    rig_end(&rig);
}
END_TEST

/* Every family that takes an epilogue, by operators that make it: a bias along the last axis, and an activation. */
START_TEST(every_family_takes_an_epilogue)
{
    static const struct {
        const char *op;
        int rank;
        int64_t dims[4], weights[4]; /* weights[0] == 0: none */
        bool list;                   /* the second input is a list of one axis */
        const char *family;
    } cases[] = {
        {"Conv", 4, {2, 4, 5, 6}, {3, 4, 3, 3}, false, "conv"},
        {"Conv", 3, {1, 2, 9, 0}, {3, 2, 3, 0}, false, "conv"},
        {"ConvTranspose", 4, {2, 4, 3, 3}, {4, 2, 2, 3}, false, "conv"},
        {"MatMul", 4, {2, 3, 4, 5}, {2, 1, 5, 6}, false, "matmul"},
        {"MatMul", 2, {33, 70, 0, 0}, {70, 65, 0, 0}, false, "matmul"},
        {"Gemm", 2, {3, 4, 0, 0}, {4, 5, 0, 0}, false, "matmul"},
        {"MaxPool", 4, {2, 3, 4, 5}, {0}, false, "pool"},
        {"AveragePool", 4, {2, 3, 4, 5}, {0}, false, "pool"},
        {"LpPool", 4, {2, 3, 4, 5}, {0}, false, "pool"},
        {"ReduceMean", 3, {2, 3, 5, 0}, {1}, true, "reduce"},
        {"ReduceLogSumExp", 3, {2, 3, 5, 0}, {1}, true, "reduce"},
        {"LayerNormalization", 3, {2, 3, 5, 0}, {5}, false, "normalize"},
        {"RMSNormalization", 3, {2, 3, 5, 0}, {5}, false, "normalize"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        int64_t kernel[2] = {2, 3};
        struct value *x = begin(&rig, cases[i].rank, cases[i].dims), *inputs[2] = {x, NULL};
        bool pools = strstr(cases[i].op, "Pool") != NULL;
        if (cases[i].list)
            inputs[1] = rig_ints(&rig, 1, cases[i].weights);
        else if (cases[i].weights[0])
            inputs[1] = rig_random(&rig, strcmp(cases[i].family, "normalize") ? cases[i].rank : 1, cases[i].weights);
        struct value *y = rig_node(&rig, cases[i].op, inputs[1] ? 2 : 1, inputs, pools,
                                   (struct attribute[]){ATTRIBUTE_LIST("kernel_shape", 2, kernel)});
        rig_output(&rig, rig_op1(&rig, "Sigmoid", rig_op2(&rig, "Mul", y, rig_random(&rig, DIMS(1)))));
        rig_expect_steps(&rig, region_format(&rig.maker.region, "%s MUL SIGMOID", cases[i].family),
                         region_format(&rig.maker.region, "%s+MUL+SIGMOID", cases[i].family));
        rig_end(&rig);
    }
}
END_TEST

START_TEST(a_residual_rides_on_the_later_convolution)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(2, 3, 4, 4)), *first = conv(&rig, x, 3, 5), *second = conv(&rig, x, 3, 5);
    rig_output(&rig, rig_op1(&rig, "Relu", rig_op2(&rig, "Add", second, first)));
    rig_expect_steps(&rig, "conv conv ADD RELU", "conv conv+ADD+RELU");
    rig_expect_step_sources(&rig, 0, "0");
    rig_expect_step_sources(&rig, 1, "1 2 3");
    rig_end(&rig);
}
END_TEST

/* The earlier one can take what the later one (a softmax) cannot. */
START_TEST(a_residual_rides_on_what_can_carry_it)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(2, 3, 4, 4)), *first = conv(&rig, x, 3, 5);
    struct value *second = rig_op1(&rig, "Softmax", conv(&rig, x, 3, 5));
    expect(&rig, rig_op2(&rig, "Add", second, first), "conv conv softmax ADD", "conv softmax conv+ADD");
}
END_TEST

START_TEST(what_follows_a_program_joins_it)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(2, 3, 4, 4)), *y = rig_op1(&rig, "Relu", conv(&rig, x, 3, 5));
    y = rig_reshape(&rig, rig_op2(&rig, "Add", y, rig_random(&rig, DIMS(5, 1, 1))), DIMS(10, 16));
    rig_output(&rig, rig_op2(&rig, "Mul", y, rig_random(&rig, DIMS(16))));
    rig_expect_steps(&rig, "conv RELU ADD MUL", "conv+RELU+ADD+MUL");
    rig_expect_step_sources(&rig, 0, "0 1 2 4");
    rig_end(&rig);
    static const struct {
        enum dtype dtype;
        const char *steps;
    } cases[] = {{DTYPE_F64, "matmul+ADD+MUL"}, {DTYPE_I64, "matmul+ADD+MUL"}, {DTYPE_I32, "matmul+ADD MUL"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        x = begin_typed(&rig, cases[i].dtype, DIMS(3, 4));
        y = rig_op2(&rig, "Add", rig_op2(&rig, "MatMul", x, rig_random(&rig, DIMS(4, 5))), rig_random(&rig, DIMS(5)));
        expect(&rig, rig_op2(&rig, "Mul", y, rig_random(&rig, DIMS(3, 1))), "matmul ADD MUL", cases[i].steps);
    }
}
END_TEST

/* Its shortcut's scale is no part of the sum: that rides on the convolution that makes it. */
START_TEST(each_convolution_carries_its_own_scale)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(2, 3, 4, 4)), *scale = rig_random(&rig, DIMS(5, 1, 1));
    struct value *first = rig_op2(&rig, "Mul", conv(&rig, x, 3, 5), scale);
    struct value *second = rig_op2(&rig, "Mul", conv(&rig, x, 3, 5), scale);
    rig_output(&rig, rig_op1(&rig, "Relu", rig_op2(&rig, "Add", first, second)));
    rig_expect_steps(&rig, "conv MUL conv MUL ADD RELU", "conv+MUL conv+MUL+ADD+RELU");
    rig_end(&rig);
}
END_TEST

/* Several elements of a byte, written by rows and by tasks, would overwrite each other. */
START_TEST(elements_that_share_bytes_are_written_in_order)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(1, 3, 9, 9)), *y = conv(&rig, x, 3, 40);
    y = rig_node(&rig, "QuantizeLinear", 2, (struct value *[]){y, rig_random(&rig, DIMS(1))}, 1,
                 (struct attribute[]){ATTRIBUTE_I("output_dtype", DTYPE_U4)});
    y = rig_node(&rig, "Cast", 1, &y, 1, (struct attribute[]){ATTRIBUTE_I("to", DTYPE_U8)});
    expect(&rig, y, NULL, "conv DIV+ROUND+CLAMP+TO_I64 store");
}
END_TEST

START_TEST(an_epilogue_sees_through_a_reshape)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(2, 3, 4, 4)), *y = rig_reshape(&rig, conv(&rig, x, 3, 5), DIMS(10, 16));
    rig_output(&rig, rig_op2(&rig, "Add", y, rig_random(&rig, DIMS(10, 1))));
    rig_expect_steps(&rig, "conv ADD", "conv+ADD");
    rig_expect_step_sources(&rig, 0, "0 2");
    rig_end(&rig);
    x = begin(&rig, DIMS(2, 3, 4, 4)); /* the whole is read beside the view */
    struct value *whole = conv(&rig, x, 3, 5);
    rig_output(&rig, rig_op1(&rig, "Softmax", whole));
    expect(&rig, rig_op1(&rig, "Neg", rig_reshape(&rig, whole, DIMS(10, 16))), "conv softmax NEG", "conv softmax NEG");
    x = begin(&rig, DIMS(4, 4)); /* other numbers in the same bits */
    struct value *bits = rig_node(&rig, "BitCast", 1, (struct value *[]){rig_op2(&rig, "MatMul", x, x)}, 1,
                                  (struct attribute[]){ATTRIBUTE_I("to", DTYPE_I32)});
    expect(&rig, rig_op1(&rig, "Abs", bits), "matmul ABS", "matmul ABS");
}
END_TEST

START_TEST(a_cast_rides_along)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(3, 4)), *y = rig_op2(&rig, "MatMul", x, rig_random(&rig, DIMS(4, 5)));
    y = rig_node(&rig, "Cast", 1, &y, 1, (struct attribute[]){ATTRIBUTE_I("to", DTYPE_U8)});
    expect(&rig, y, "matmul TO_I64", "matmul+TO_I64");
    x = begin(&rig, DIMS(3, 4)); /* wider than what the step computes */
    y = rig_op1(&rig, "Softmax", x);
    y = rig_node(&rig, "LayerNormalization", 2, (struct value *[]){y, rig_random(&rig, DIMS(4))}, 0, NULL);
    y = rig_node(&rig, "Cast", 1, &y, 1, (struct attribute[]){ATTRIBUTE_I("to", DTYPE_F64)});
    expect(&rig, y, "softmax normalize TO_F64", "softmax normalize+TO_F64");
}
END_TEST

/* Half precision is computed in single: the conversion back is an epilogue, and so is the rest of the chain's start. */
START_TEST(half_precision_is_rounded_by_the_epilogue)
{
    struct rig rig;
    struct value *x = begin_typed(&rig, DTYPE_F16, DIMS(3, 4));
    struct value *y = rig_op2(&rig, "MatMul", x, rig_random(&rig, DIMS(4, 5)));
    expect(&rig, rig_op1(&rig, "Relu", y), "store store matmul store RELU", "store store matmul+ROUND_F16+RELU");
}
END_TEST

/* Each result of 16 bits is rounded as it was in memory, in a register. */
START_TEST(half_precision_is_rounded_in_registers)
{
    static const struct {
        enum dtype dtype;
        const char *chain, *residual, *widened;
    } cases[] = {{DTYPE_F16, "ADD+ROUND_F16+MUL+ROUND_F16+SUB", "store store conv+ROUND_F16+ADD+ROUND_F16+RELU",
                  "store store conv+ROUND_F16"},
                 {DTYPE_BF16, "ADD+ROUND_BF16+MUL+ROUND_BF16+SUB", "store store conv+ROUND_BF16+ADD+ROUND_BF16+RELU",
                  "store store conv+ROUND_BF16"}};
    const struct attribute single = ATTRIBUTE_I("to", DTYPE_F32);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        struct value *x = begin_typed(&rig, cases[i].dtype, DIMS(5, 67)), *y = rig_input(&rig, DIMS(67));
        struct value *sum = rig_op2(&rig, "Add", x, y);
        expect(&rig, rig_op2(&rig, "Sub", rig_op2(&rig, "Mul", sum, y), x), "ADD MUL SUB", cases[i].chain);
        x = begin_typed(&rig, cases[i].dtype, DIMS(1, 3, 5, 7));
        y = rig_input(&rig, DIMS(1, 2, 5, 7));
        sum = rig_op2(&rig, "Add", conv(&rig, x, 3, 2), y);
        rig_output(&rig, rig_op1(&rig, "Relu", sum));
        rig_expect_steps(&rig, NULL, cases[i].residual);
        rig_end(&rig);
        x = begin_typed(&rig, cases[i].dtype, DIMS(1, 3, 5, 7)); /* and in single precision from then on */
        y = conv(&rig, x, 3, 2);
        rig_output(&rig, rig_node(&rig, "Cast", 1, &y, 1, &single));
        rig_expect_steps(&rig, NULL, cases[i].widened);
        rig_end(&rig);
    }
}
END_TEST

static struct value *clip(struct rig *rig, struct value *x, double low, double high)
{
    struct value *bounds[] = {x, rig_number(rig, SCALAR_DIMS, low), rig_number(rig, SCALAR_DIMS, high)};
    return rig_node(rig, "Clip", 3, bounds, 0, NULL);
}

/* What chooses among elements, or changes their sign, has nothing to round. */
START_TEST(half_precision_is_rounded_where_it_must_be)
{
    struct rig rig;
    struct value *x = begin_typed(&rig, DTYPE_F16, DIMS(5, 67)), *y = rig_input(&rig, DIMS(67));
    struct value *chosen = rig_op2(&rig, "Min", rig_op1(&rig, "Relu", rig_op2(&rig, "Max", x, y)), y);
    struct value *signs = rig_op1(&rig, "Abs", rig_op1(&rig, "Neg", chosen));
    struct value *where[] = {rig_op2(&rig, "Less", x, y), rig_op1(&rig, "Sign", signs), x};
    rig_output(&rig, rig_op2(&rig, "Add", rig_node(&rig, "Where", 3, where, 0, NULL), x));
    rig_expect_steps(&rig, "MOVE+MAX RELU MOVE+MIN NEG ABS LESS SIGN SELECT ADD",
                     "MOVE+MAX+RELU+MOVE+MIN+NEG+ABS+SIGN+LESS+SELECT+ADD");
    rig_end(&rig);
    x = begin_typed(&rig, DTYPE_F16, DIMS(5, 67));
    y = rig_op1(&rig, "LeakyRelu", rig_op1(&rig, "Relu", x));
    expect(&rig, rig_op1(&rig, "Neg", y), "RELU LEAKY_RELU NEG", "RELU+LEAKY_RELU+ROUND_F16+NEG");
    x = begin_typed(&rig, DTYPE_F16, DIMS(5, 67));
    y = rig_input(&rig, DIMS(67));
    expect(&rig, rig_op2(&rig, "Add", clip(&rig, x, 0, 6), y), NULL, "MAX+MIN+ADD");
}
END_TEST

START_TEST(further_results_leave_no_room)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(2, 3, 4, 4)), *outputs[3];
    int64_t kernel[2] = {2, 2};
    rig_node_many(&rig, "MaxPool", 1, &x, 2, outputs, 1,
                  (struct attribute[]){ATTRIBUTE_LIST("kernel_shape", 2, kernel)});
    rig_output(&rig, outputs[1]);
    expect(&rig, rig_op1(&rig, "Neg", outputs[0]), "pool NEG", "pool NEG");
    x = begin(&rig, DIMS(2, 3, 4));
    rig_node_many(&rig, "LayerNormalization", 2, (struct value *[]){x, rig_random(&rig, DIMS(4))}, 3, outputs, 0, NULL);
    rig_output(&rig, outputs[1]);
    rig_output(&rig, outputs[2]);
    expect(&rig, rig_op1(&rig, "Neg", outputs[0]), "normalize NEG", "normalize NEG");
}
END_TEST

/* Windows over channels, and groups that are not made of the last axes: programs number results in C order. */
START_TEST(results_in_another_order_leave_no_room)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(2, 3, 4, 2));
    struct value *y = rig_node(&rig, "LRN", 1, &x, 1, (struct attribute[]){ATTRIBUTE_I("size", 3)});
    expect(&rig, y, NULL, "MUL pool CONSTANT+CONSTANT+CONSTANT+MUL+ADD+POW+DIV");
    x = begin(&rig, DIMS(2, 3, 4, 2));
    y = rig_node(&rig, "MeanVarianceNormalization", 1, &x, 0, NULL);
    expect(&rig, rig_op1(&rig, "Neg", y), "normalize NEG", "normalize NEG");
}
END_TEST

/* One value along two axes of one program: the scale of rows, and a factor of columns. */
START_TEST(one_operand_walked_in_two_ways)
{
    struct rig rig;
    struct value *x = begin_typed(&rig, DTYPE_U8, DIMS(3, 3));
    rig.dtype = DTYPE_F32;
    struct value *scale = rig_input(&rig, DIMS(3));
    struct value *y = rig_node(&rig, "DequantizeLinear", 2, (struct value *[]){x, scale}, 1,
                               (struct attribute[]){ATTRIBUTE_I("axis", 0)});
    expect(&rig, rig_op2(&rig, "Mul", y, scale), "TO_F32+MUL MUL", "TO_F32+MUL+MUL");
}
END_TEST

START_TEST(integers_take_epilogues_too)
{
    static const enum dtype dtypes[] = {DTYPE_I32, DTYPE_U32, DTYPE_I64, DTYPE_U64};
    struct rig rig;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        struct value *x = begin_typed(&rig, dtypes[i], DIMS(3, 4)), *y = rig_input(&rig, DIMS(4, 5));
        expect(&rig, rig_op2(&rig, "Mul", rig_op2(&rig, "MatMul", x, y), rig_random(&rig, DIMS(5))), "matmul MUL",
               "matmul+MUL");
    }
    static const enum dtype small[] = {DTYPE_I8, DTYPE_U8};
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        struct value *x = begin_typed(&rig, small[i], DIMS(3, 7));
        struct value *y =
            rig_node(&rig, "ReduceMax", 2, (struct value *[]){x, rig_ints(&rig, 1, (int64_t[]){1})}, 0, NULL);
        expect(&rig, rig_op2(&rig, "Add", y, rig_random(&rig, DIMS(3, 1))), "reduce ADD", "reduce+ADD");
    }
}
END_TEST

/* The residual's memory becomes the sum's. */
START_TEST(a_residual_is_overwritten)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(2, 3, 8, 8)), *y = rig_op1(&rig, "Softmax", x);
    struct value *sum = rig_op2(&rig, "Add", conv(&rig, y, 3, 3), y);
    rig_output(&rig, rig_op1(&rig, "Softmax", sum));
    rig_expect_steps(&rig, "softmax conv ADD softmax", "softmax conv+ADD softmax");
    rig_end(&rig);
    x = begin(&rig, DIMS(2, 3, 8, 8));
    struct value *z = rig_op1(&rig, "Softmax", rig_op1(&rig, "Softmax", x));
    sum = rig_op2(&rig, "Add", conv(&rig, x, 3, 3), z);
    rig_output(&rig, rig_op1(&rig, "Softmax", sum));
    rig_expect_steps(&rig, "softmax softmax conv ADD softmax", "softmax softmax conv+ADD softmax");
    struct segment segment = rig_lower(&rig, FUSE);
    ck_assert_uint_eq(segment.steps.steps[2]->in_place, 1u << CONV_INPUTS);
    rig_end(&rig);
}
END_TEST

/* It was as large as the sum, but is not as large as what becomes of that. */
START_TEST(a_residual_of_another_type_is_not_overwritten)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(2, 3, 8, 8)), *y = rig_op1(&rig, "Softmax", x);
    struct value *sum = rig_op2(&rig, "Add", conv(&rig, x, 3, 3), y);
    sum = rig_node(&rig, "Cast", 1, &sum, 1, (struct attribute[]){ATTRIBUTE_I("to", DTYPE_F64)});
    rig_output(&rig, rig_op1(&rig, "Softmax", sum));
    rig_expect_steps(&rig, "softmax conv ADD TO_F64 softmax", "softmax conv+ADD+TO_F64 softmax");
    ck_assert_uint_eq(rig_lower(&rig, FUSE).steps.steps[1]->in_place, 0);
    rig_end(&rig);
}
END_TEST

/* A normalisation is done where its input lies, and so is its epilogue. */
START_TEST(a_normalization_stays_in_place)
{
    struct rig rig;
    struct value *x = begin(&rig, DIMS(2, 3, 300)), *y = rig_op1(&rig, "Softmax", x);
    struct value *inputs[] = {y, rig_random(&rig, DIMS(300))};
    struct value *sum = rig_op2(&rig, "Add", rig_node(&rig, "LayerNormalization", 2, inputs, 0, NULL), y);
    rig_output(&rig, rig_op1(&rig, "Softmax", sum));
    rig_expect_steps(&rig, "softmax normalize ADD softmax", "softmax normalize+ADD softmax");
    struct segment segment = rig_lower(&rig, FUSE);
    ck_assert_uint_eq(segment.steps.steps[1]->in_place, 1u | 1u << 3);
    rig_end(&rig);
}
END_TEST

/* An element of half a byte is stored with a byte's worth of neighbours. */
START_TEST(parts_of_bytes_are_not_overwritten)
{
    static const struct {
        enum dtype from, to;
        unsigned in_place;
    } cases[] = {{DTYPE_I8, DTYPE_U8, 1}, {DTYPE_I4, DTYPE_U4, 0}};
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        struct value *x = begin(&rig, DIMS(5, 7));
        struct value *narrow = rig_node(&rig, "Cast", 1, &x, 1, (struct attribute[]){ATTRIBUTE_I("to", cases[i].from)});
        rig_output(&rig, rig_node(&rig, "Cast", 1, &narrow, 1, (struct attribute[]){ATTRIBUTE_I("to", cases[i].to)}));
        struct segment segment = rig_lower(&rig, NO_PASSES);
        ck_assert_int_eq(segment.steps.count, 2);
        ck_assert_uint_eq(segment.steps.steps[1]->in_place, cases[i].in_place);
        rig_end(&rig);
    }
}
END_TEST

Suite *passes_steps_suite(void)
{
    Suite *suite = suite_create("passes_steps");
    TCase *chains = tcase_create("chains");
    tcase_add_test(chains, a_chain_becomes_one_program);
    tcase_add_test(chains, a_tree_becomes_one_program);
    tcase_add_test(chains, both_operands_may_be_the_same_result);
    tcase_add_test(chains, what_two_steps_read_stays);
    tcase_add_test(chains, what_the_graph_hands_out_stays);
    tcase_add_test(chains, programs_join_through_a_reshape);
    tcase_add_test(chains, a_value_read_in_many_ways_has_all_its_readers);
    tcase_add_test(chains, a_smaller_result_is_computed_once);
    tcase_add_test(chains, types_that_memory_wraps_are_stored_between);
    tcase_add_test(chains, truth_values_stay_in_registers);
    tcase_add_test(chains, programs_end_where_they_are_full);
    tcase_add_test(chains, registers_are_used_again);
    tcase_add_test(chains, one_operand_walked_in_two_ways);
    tcase_add_test(chains, any_rank);
    tcase_add_test(chains, parts_of_bytes_are_not_overwritten);
    suite_add_tcase(suite, chains);
    TCase *epilogues = tcase_create("epilogues");
    tcase_add_test(epilogues, a_bias_and_an_activation_ride_on_a_convolution);
    tcase_add_test(epilogues, every_family_takes_an_epilogue);
    tcase_add_test(epilogues, a_residual_rides_on_the_later_convolution);
    tcase_add_test(epilogues, a_residual_rides_on_what_can_carry_it);
    tcase_add_test(epilogues, what_follows_a_program_joins_it);
    tcase_add_test(epilogues, each_convolution_carries_its_own_scale);
    tcase_add_test(epilogues, elements_that_share_bytes_are_written_in_order);
    tcase_add_test(epilogues, an_epilogue_sees_through_a_reshape);
    tcase_add_test(epilogues, a_cast_rides_along);
    tcase_add_test(epilogues, half_precision_is_rounded_by_the_epilogue);
    tcase_add_test(epilogues, half_precision_is_rounded_in_registers);
    tcase_add_test(chains, half_precision_is_rounded_where_it_must_be);
    tcase_add_test(epilogues, further_results_leave_no_room);
    tcase_add_test(epilogues, results_in_another_order_leave_no_room);
    tcase_add_test(epilogues, integers_take_epilogues_too);
    tcase_add_test(epilogues, a_residual_is_overwritten);
    tcase_add_test(epilogues, a_residual_of_another_type_is_not_overwritten);
    tcase_add_test(epilogues, a_normalization_stays_in_place);
    suite_add_tcase(suite, epilogues);
    return suite;
}
