#include "tests/pass_test.h"
#include "tests/suites.h"

#include <stdio.h>

#define NEAR 1e-5

/* --- slices ---------------------------------------------------------------------------------------------- */

static struct value *slice(struct rig *rig, struct value *x, int64_t axis, int64_t begin, int64_t end, int64_t step)
{
    struct value *inputs[] = {x, rig_ints(rig, 1, &begin), rig_ints(rig, 1, &end), rig_ints(rig, 1, &axis),
                              rig_ints(rig, 1, &step)};
    return rig_node(rig, "Slice", 5, inputs, 0, NULL);
}

static struct value *concat(struct rig *rig, int64_t axis, int count, struct value *const *inputs)
{
    const struct attribute attributes[] = {ATTRIBUTE_I("axis", axis)};
    return rig_node(rig, "Concat", count, inputs, 1, attributes);
}

START_TEST(slices_of_slices_are_one)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_open_input(&rig, DIMS(4, 8, 3)), *y = slice(&rig, x, 1, 2, 7, 1), *z;
    y = slice(&rig, y, 0, -3, 100, 1);
    rig_output(&rig, slice(&rig, y, 1, 1, 3, 1));
    z = slice(&rig, slice(&rig, x, 1, 6, 1, -1), 1, 1, 3, 1); /* what is turned round stays */
    rig_output(&rig, slice(&rig, z, 0, 0, 4, 1));
    rig_expect(&rig, NULL, "Slice Slice Slice", 0);
}
END_TEST

static struct value *dropout(struct rig *rig, struct value *x, bool named_mask, struct value **mask)
{
    struct value *outputs[2] = {graph_add_value(rig->graph, "y", DTYPE_NONE, -1, NULL),
                                named_mask ? graph_add_value(rig->graph, "mask", DTYPE_NONE, -1, NULL) : NULL};
    graph_add_node(rig->graph, op_find("", "Dropout"), NEWEST_OPSET, "y", 1, &x, 2, outputs, 0, NULL);
    *mask = outputs[1];
    return outputs[0];
}

/* Its second output, which nobody asked for or nobody reads, is none of an Identity's. */
START_TEST(a_dropout_that_makes_the_result)
{
    for (int named = 0; named < 2; named++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *mask, *x = rig_op1(&rig, "Neg", rig_open_input(&rig, DIMS(2, 3)));
        rig_output(&rig, dropout(&rig, x, named, &mask));
        rig_expect(&rig, "Neg Identity", "Neg Identity", 0);
    }
}
END_TEST

START_TEST(a_dropout_whose_mask_nobody_reads_goes)
{
    struct rig rig;
    struct value *mask;
    rig_begin(&rig);
    rig_output(&rig, rig_op1(&rig, "Neg", dropout(&rig, rig_open_input(&rig, DIMS(2, 3)), true, &mask)));
    rig_expect(&rig, "Neg", "Neg", 0);
    rig_begin(&rig);
    rig_output(&rig, rig_op1(&rig, "Neg", dropout(&rig, rig_open_input(&rig, DIMS(2, 3)), true, &mask)));
    rig_output(&rig, rig_op1(&rig, "Not", mask));
    rig_expect(&rig, "Dropout Neg Not", "Dropout Neg Not", 0);
}
END_TEST

START_TEST(a_slice_of_everything_is_nothing)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *y = slice(&rig, rig_open_input(&rig, DIMS(4, 3)), 1, 0, 3, 1);
    rig_output(&rig, rig_op1(&rig, "Neg", y));
    rig_expect(&rig, "Slice Neg", "Neg", 0);
}
END_TEST

START_TEST(parts_put_together_again_are_the_whole)
{
    static const struct {
        int order[3], count;
        int64_t axis;
        const char *left;
    } cases[] = {{{0, 1, 2}, 3, -1, "Neg"},
                 {{1, 2}, 2, 1, "Slice Neg"},
                 {{0, 2, 1}, 3, 1, "Split Concat Neg"},
                 {{0, 1, 2}, 3, 0, "Split Concat Neg"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_open_input(&rig, DIMS(2, 6)), *parts[3], *chosen[3];
        rig_split(&rig, x, 1, 3, parts);
        for (int k = 0; k < cases[i].count; k++)
            chosen[k] = parts[cases[i].order[k]];
        rig_output(&rig, rig_op1(&rig, "Neg", concat(&rig, cases[i].axis, cases[i].count, chosen)));
        rig_expect(&rig, "Split Concat Neg", cases[i].left, 0);
    }
}
END_TEST

START_TEST(concats_of_concats_are_one)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_open_input(&rig, DIMS(2, 3)), *y = rig_open_input(&rig, DIMS(2, 1)), *inner, *across;
    struct value *empty = slice(&rig, y, 1, 1, 1, 1);
    inner = concat(&rig, 1, 2, (struct value *[]){x, y});
    across = concat(&rig, 0, 2, (struct value *[]){y, y});
    across = slice(&rig, across, 0, 1, 3, 1);
    rig_output(&rig, concat(&rig, -1, 4, (struct value *[]){y, inner, empty, across}));
    rig_output(&rig, concat(&rig, 0, 2, (struct value *[]){concat(&rig, 1, 1, &x), x}));
    rig_expect(&rig, NULL, "Concat Slice Concat Concat", 0);
}
END_TEST

START_TEST(a_slice_of_one_part_of_a_concat_is_a_slice_of_the_part)
{
    static const struct {
        int64_t begin, end;
        const char *left;
    } cases[] = {{0, 3, "Neg"}, {4, 7, "Slice Neg"}, {2, 4, "Concat Slice Neg"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_open_input(&rig, DIMS(2, 3)), *y = rig_open_input(&rig, DIMS(2, 5));
        struct value *both = concat(&rig, 1, 2, (struct value *[]){x, y});
        rig_output(&rig, rig_op1(&rig, "Neg", slice(&rig, both, 1, cases[i].begin, cases[i].end, 1)));
        rig_expect(&rig, "Concat Slice Neg", cases[i].left, 0);
    }
}
END_TEST

START_TEST(one_part_of_a_split_is_a_slice)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_open_input(&rig, DIMS(2, 6)), *parts[3];
    rig_split(&rig, x, 1, 3, parts);
    rig_output(&rig, slice(&rig, parts[1], 1, 1, 2, 1));
    rig_split(&rig, x, 1, 1, parts);
    rig_output(&rig, rig_op1(&rig, "Neg", parts[0]));
    rig_expect(&rig, "Split Slice Split Neg", "Slice Neg", 0);
}
END_TEST

START_TEST(neighbours_are_sliced_not_gathered)
{
    static const struct {
        int rank;
        int64_t count, list[3];
        const char *left;
    } cases[] = {{1, 3, {1, 2, 3}, "Slice Neg"},   {1, 2, {-2, -1}, "Slice Neg"},     {1, 2, {2, 1}, "Gather Neg"},
                 {0, 1, {2}, "Slice Reshape Neg"}, {0, 1, {-1}, "Slice Reshape Neg"}, {1, 2, {3, -1}, "Gather Neg"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        const struct attribute axis[] = {ATTRIBUTE_I("axis", -2)};
        struct value *inputs[] = {rig_open_input(&rig, DIMS(2, 4, 3)), NULL};
        inputs[1] = rig_ints(&rig, (int)cases[i].count, cases[i].list);
        inputs[1]->rank = cases[i].rank;
        rig_output(&rig, rig_op1(&rig, "Neg", rig_node(&rig, "Gather", 2, inputs, 1, axis)));
        rig_expect(&rig, "Gather Neg", cases[i].left, 0);
    }
}
END_TEST

/* --- transposes ------------------------------------------------------------------------------------------ */

static const int64_t to_last[] = {0, 2, 3, 1}, to_first[] = {0, 3, 1, 2}, rolled[] = {3, 0, 1, 2};

static struct value *transpose(struct rig *rig, struct value *x, const int64_t *order)
{
    const struct attribute attributes[] = {ATTRIBUTE_LIST("perm", 4, order)};
    return rig_node(rig, "Transpose", 1, &x, order ? 1 : 0, attributes);
}

START_TEST(transposes_in_a_row_are_one_or_none)
{
    static const struct {
        const int64_t *first, *second;
        const char *left;
    } cases[] = {{to_last, to_first, "Neg"},
                 {to_last, to_last, "Transpose Neg"},
                 {NULL, NULL, "Neg"},
                 {NULL, to_last, "Transpose Neg"},
                 {to_first, NULL, "Transpose Neg"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_open_input(&rig, DIMS(2, 3, 4, 5));
        x = transpose(&rig, transpose(&rig, x, cases[i].first), cases[i].second);
        rig_output(&rig, rig_op1(&rig, "Neg", x));
        rig_expect(&rig, cases[i].left, cases[i].left, 0);
    }
}
END_TEST

/* Swish, a factor for each channel and one for all, between transposes. */
START_TEST(transposes_cancel_across_elementwise_operators)
{
    static const int64_t *const seconds[] = {to_first, rolled};
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = transpose(&rig, rig_op1(&rig, "Neg", rig_open_input(&rig, DIMS(2, 3, 4, 5))), to_last), *y;
        y = rig_op2(&rig, "Mul", x, rig_op1(&rig, "Softplus", x));
        y = rig_op2(&rig, "Mul", rig_weights(&rig, DIMS(3)), y);
        y = rig_op2(&rig, "Div", y, rig_weights(&rig, DIMS(1, 5, 1)));
        y = rig_op2(&rig, "Sub", y, rig_number(&rig, DIMS(1, 1), 2));
        rig_output(&rig, rig_op1(&rig, "Neg", transpose(&rig, y, seconds[i])));
        const char *left = i == 0 ? "Neg Softplus Mul Mul Div Sub Neg" : "Neg Transpose Softplus Mul Mul Div Sub Neg";
        rig_expect(&rig, left, left, 0);
    }
}
END_TEST

START_TEST(transposes_stay_where_they_would_not_become_fewer)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_open_input(&rig, DIMS(2, 3, 4, 5)), *y = transpose(&rig, x, to_last), *z;
    rig_output(&rig, rig_op1(&rig, "Neg", y));
    z = rig_op1(&rig, "Relu", y); /* would be merged to another, beside the one that is read elsewhere */
    rig_output(&rig, rig_op1(&rig, "Neg", z));
    rig_output(&rig, transpose(&rig, z, rolled));
    z = rig_op2(&rig, "Add", transpose(&rig, x, to_first), rig_weights(&rig, DIMS(2, 5, 3, 4)));
    rig_output(&rig, transpose(&rig, z, to_last)); /* the constant would have to be rearranged */
    const char *left = "Transpose Neg Relu Neg Transpose Transpose Add Transpose";
    rig_expect(&rig, left, left, 0);
}
END_TEST

START_TEST(operands_transposed_alike_are_transposed_once)
{
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = transpose(&rig, rig_open_input(&rig, DIMS(2, 3, 4, 5)), to_last);
        struct value *y = transpose(&rig, rig_open_input(&rig, DIMS(2, 1, 4, 5)), i ? rolled : to_last);
        struct value *inputs[] = {x, rig_weights(&rig, DIMS(5, 1)), y};
        y = i ? rig_op2(&rig, "Sub", x, rig_op1(&rig, "ReduceSum", y)) : rig_node(&rig, "Max", 3, inputs, 0, NULL);
        rig_output(&rig, rig_op1(&rig, "Neg", y));
        const char *left = i ? "Transpose Transpose ReduceSum Sub Neg" : "Max Transpose Neg";
        rig_expect(&rig, left, left, 0);
    }
}
END_TEST

START_TEST(moves_that_keep_the_order_are_one_reshape)
{
    struct rig rig;
    rig_begin(&rig);
    static const int64_t twelve[] = {2, -1}, axis = 0;
    struct value *x = rig_open_input(&rig, DIMS(3, 1, 4, 1)), *y = transpose(&rig, x, to_last);
    y = rig_op2(&rig, "Unsqueeze", y, rig_ints(&rig, 1, &axis));
    y = rig_op1(&rig, "Flatten", y);
    rig_output(&rig, rig_op1(&rig, "Neg", rig_op2(&rig, "Reshape", y, rig_ints(&rig, 2, twelve))));
    y = rig_op2(&rig, "Reshape", rig_op1(&rig, "Relu", x), rig_ints(&rig, 2, twelve));
    rig_output(&rig, rig_op1(&rig, "Neg", rig_op2(&rig, "Reshape", y, rig_ints(&rig, 4, rig.input_dims[0]))));
    rig_expect(&rig, NULL, "Reshape Neg Relu Neg", 0);
}
END_TEST

/* --- constant-chains ------------------------------------------------------------------------------------- */

struct chain_case {
    enum dtype dtype;
    const char *first, *second; /* a leading '-': the constant is on the left */
    double a, b;
    const char *left; /* NULL: both */
};

static struct value *apply(struct rig *rig, const char *op, struct value *x, double number)
{
    return *op == '-' ? rig_op2(rig, op + 1, rig_number(rig, SCALAR_DIMS, number), x) : rig_with(rig, op, x, number);
}

START_TEST(constants_in_a_row_are_one)
{
    static const struct chain_case cases[] = {
        {DTYPE_F32, "Mul", "-Mul", 3, 0.7, "Mul"},
        {DTYPE_F32, "Mul", "Div", 3, 0.7, "Mul"},
        {DTYPE_F32, "Div", "Mul", 3, 0.7, "Mul"},
        {DTYPE_F32, "Div", "Div", 3, 0.7, "Div"},
        {DTYPE_F32, "-Div", "Mul", 3, 0.7, NULL},
        {DTYPE_F32, "Add", "Sub", 3, 0.7, "Add"},
        {DTYPE_F32, "-Sub", "Sub", 3, 0.7, "Sub"},
        {DTYPE_F32, "-Sub", "-Sub", 3, 0.7, "Add"},
        {DTYPE_F32, "Sub", "-Sub", 3, 0.7, "Sub"},
        {DTYPE_F32, "Mul", "Add", 3, 0.7, NULL},
        {DTYPE_F32, "Add", "Sub", 0x1.8p23, 0x1.8p23, NULL}, /* this rounds to integers */
        {DTYPE_F32, "Mul", "Mul", 1e30, 1e30, NULL},
        {DTYPE_F32, "Mul", "Mul", 1e-30, 1e-30, NULL},
        {DTYPE_F64, "Mul", "Mul", 1e30, 1e30, "Mul"},
        {DTYPE_F16, "Mul", "Mul", 300, 300, NULL},
        {DTYPE_F16, "Mul", "Div", 300, 200, "Mul"},
        {DTYPE_I32, "Mul", "Mul", 65537, 65539, "Mul"},
        {DTYPE_I8, "-Sub", "-Sub", 100, -100, "Add"},
        {DTYPE_U8, "Sub", "Add", 3, 1, "Add"},
        {DTYPE_I64, "Div", "Div", 2, 3, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct chain_case *c = &cases[i];
        struct rig rig;
        char both[32];
        rig_begin(&rig);
        rig.dtype = c->dtype;
        struct value *x = rig_open_input(&rig, DIMS(7));
        rig_output(&rig, apply(&rig, c->second, apply(&rig, c->first, x, c->a), c->b));
        snprintf(both, sizeof both, "%s %s", c->first + (*c->first == '-'), c->second + (*c->second == '-'));
        double tolerance = dtype_is_integer(c->dtype) ? 0 : c->dtype == DTYPE_F16 ? 2e-3 : NEAR;
        rig_expect(&rig, c->left ? c->left : both, c->left ? c->left : both, c->left ? tolerance : 0);
    }
}
END_TEST

START_TEST(merged_constants_broadcast)
{
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_open_input(&rig, DIMS(2, 3, 4)), *y;
        y = rig_op2(&rig, "Mul", x, i ? rig_weights(&rig, DIMS(3, 1)) : rig_weights(&rig, DIMS(3, 4)));
        rig_output(&rig, rig_op2(&rig, "Mul", y, i ? rig_weights(&rig, DIMS(4)) : rig_weights(&rig, DIMS(3, 1))));
        rig_expect(&rig, i ? "Mul Mul" : "Mul", NULL, NEAR); /* a larger constant would be no gain */
    }
}
END_TEST

START_TEST(what_does_nothing_goes)
{
    static const struct chain_case cases[] = {
        {DTYPE_F32, "-Mul", "", 1, 0, ""},      {DTYPE_F32, "Div", "", 1, 0, ""},
        {DTYPE_F32, "-Div", "", 1, 0, "Div"},   {DTYPE_F32, "Sub", "", 0.0, 0, ""},
        {DTYPE_F32, "Sub", "", -0.0, 0, "Sub"}, {DTYPE_F32, "Add", "", -0.0, 0, ""},
        {DTYPE_F32, "Add", "", 0, 0, "Add"},    {DTYPE_I32, "Add", "", 0, 0, ""},
        {DTYPE_F32, "Pow", "", 1, 0, ""},       {DTYPE_F32, "-Sub", "", 0, 0, "Sub"},
        {DTYPE_I32, "Div", "", 1, 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        char left[32];
        rig_begin(&rig);
        rig.dtype = cases[i].dtype;
        struct value *x = rig_open_input(&rig, DIMS(7));
        rig_output(&rig, rig_op1(&rig, "Abs", apply(&rig, cases[i].first, x, cases[i].a)));
        snprintf(left, sizeof left, "%s%sAbs", cases[i].left, *cases[i].left ? " " : "");
        rig_expect(&rig, left, left, 0);
    }
}
END_TEST

/* One of [1, 1] makes a matrix of a row, and three ones make three columns of one, whatever they multiply. */
START_TEST(ones_that_broadcast_stay)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *row = rig_open_input(&rig, DIMS(3)), *column = rig_open_input(&rig, DIMS(3, 1));
    rig_output(&rig, rig_op2(&rig, "Mul", row, rig_number(&rig, DIMS(1, 1), 1)));
    rig_output(&rig, rig_op2(&rig, "Mul", column, rig_number(&rig, DIMS(3), 1)));
    rig_output(&rig, rig_op1(&rig, "Abs", rig_op2(&rig, "Mul", row, rig_number(&rig, DIMS(3), 1))));
    rig_expect(&rig, "Mul Mul Mul Abs", "Mul Mul Abs", 0);
}
END_TEST

START_TEST(squares_are_products_and_two_signs_are_none)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_open_input(&rig, DIMS(7));
    rig_output(&rig, apply(&rig, "Pow", x, 2));
    rig_output(&rig, apply(&rig, "Pow", x, 3));
    rig_output(&rig, rig_op1(&rig, "Abs", rig_op1(&rig, "Neg", rig_op1(&rig, "Neg", x))));
    rig_expect(&rig, NULL, "Mul Pow Abs", NEAR);
}
END_TEST

START_TEST(casts_of_casts_are_one_where_nothing_is_lost)
{
    static const struct {
        enum dtype from, between, to;
        const char *left;
    } cases[] = {{DTYPE_I32, DTYPE_I64, DTYPE_I32, "Abs"},
                 {DTYPE_I32, DTYPE_I64, DTYPE_F32, "Cast Abs"},
                 {DTYPE_F16, DTYPE_F32, DTYPE_F16, "Abs"},
                 {DTYPE_F32, DTYPE_F16, DTYPE_F32, "Cast Cast Abs"},
                 {DTYPE_I32, DTYPE_F32, DTYPE_I32, "Cast Cast Abs"},
                 {DTYPE_I16, DTYPE_F32, DTYPE_I64, "Cast Abs"},
                 {DTYPE_I8, DTYPE_U8, DTYPE_I32, "Cast Cast Abs"},
                 {DTYPE_U8, DTYPE_BF16, DTYPE_F32, "Cast Abs"},
                 {DTYPE_F16, DTYPE_BF16, DTYPE_F32, "Cast Cast Abs"},
                 {DTYPE_U8, DTYPE_I32, DTYPE_I8, "Cast Abs"},
                 {DTYPE_F32, DTYPE_I32, DTYPE_F32, "Cast Cast Abs"},
                 {DTYPE_F32, DTYPE_F64, DTYPE_F32, "Abs"},
                 {DTYPE_F64, DTYPE_F32, DTYPE_F64, "Cast Cast Abs"},
                 {DTYPE_I32, DTYPE_F64, DTYPE_I32, "Abs"},
                 {DTYPE_U32, DTYPE_F64, DTYPE_I64, "Cast Abs"},
                 {DTYPE_I64, DTYPE_F64, DTYPE_I64, "Cast Cast Abs"},
                 {DTYPE_U8, DTYPE_BOOL, DTYPE_U8, "Cast Cast Abs"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        rig.dtype = cases[i].from;
        const struct attribute between[] = {ATTRIBUTE_I("to", cases[i].between)},
                               to[] = {ATTRIBUTE_I("to", cases[i].to)};
        struct value *x = rig_open_input(&rig, DIMS(64));
        x = rig_node(&rig, "Cast", 1, &x, 1, between);
        rig_output(&rig, rig_op1(&rig, "Abs", rig_node(&rig, "Cast", 1, &x, 1, to)));
        rig_expect(&rig, cases[i].left, cases[i].left, 0);
    }
}
END_TEST

/* --- half precision ------------------------------------------------------------------------------------------ */

/* Where an operator computes in float32, casts around it stand for its node; that of a constant is folded. Integers,
 * and operators that take half precision as it is, are left alone. */
START_TEST(half_precision_is_cast_after_all_passes)
{
    static const enum dtype types[] = {DTYPE_F16, DTYPE_BF16, DTYPE_F32};
    for (int i = 0; i < 3; i++) {
        bool half = types[i] != DTYPE_F32;
        struct rig rig;
        rig_begin(&rig);
        rig.dtype = types[i];
        struct value *x = rig_input(&rig, DIMS(3, 5));
        struct value *y = rig_op2(&rig, "MatMul", x, rig_weights(&rig, DIMS(5, 4)));
        struct value *twice = rig_with(&rig, "Mul", y, 2); /* goes into the weights */
        const char *sources = region_format(&rig.maker.region, "%s %s", y->name, twice->name);
        rig_output(&rig, rig_op1(&rig, "Relu", twice));
        rig_output(&rig, rig_op1(&rig, "ArgMax", twice));
        for (int node = 0; node < (half ? 3 : 1); node++)
            rig_expect_sources(&rig, node, sources);
        rig_expect(&rig, "MatMul Relu ArgMax", half ? "Cast MatMul Cast Relu Cast ArgMax" : "MatMul Relu ArgMax", 0);
    }
}
END_TEST

Suite *passes_tidy_suite(void)
{
    Suite *suite = suite_create("passes_tidy");
    TCase *slices = tcase_create("slices");
    tcase_add_test(slices, slices_of_slices_are_one);
    tcase_add_test(slices, a_dropout_that_makes_the_result);
    tcase_add_test(slices, a_dropout_whose_mask_nobody_reads_goes);
    tcase_add_test(slices, a_slice_of_everything_is_nothing);
    tcase_add_test(slices, parts_put_together_again_are_the_whole);
    tcase_add_test(slices, concats_of_concats_are_one);
    tcase_add_test(slices, a_slice_of_one_part_of_a_concat_is_a_slice_of_the_part);
    tcase_add_test(slices, one_part_of_a_split_is_a_slice);
    tcase_add_test(slices, neighbours_are_sliced_not_gathered);
    TCase *half = tcase_create("half precision");
    tcase_add_test(half, half_precision_is_cast_after_all_passes);
    suite_add_tcase(suite, half);
    suite_add_tcase(suite, slices);
    TCase *transposes = tcase_create("transposes");
    tcase_add_test(transposes, transposes_in_a_row_are_one_or_none);
    tcase_add_test(transposes, transposes_cancel_across_elementwise_operators);
    tcase_add_test(transposes, transposes_stay_where_they_would_not_become_fewer);
    tcase_add_test(transposes, operands_transposed_alike_are_transposed_once);
    tcase_add_test(transposes, moves_that_keep_the_order_are_one_reshape);
    suite_add_tcase(suite, transposes);
    TCase *constants = tcase_create("constant-chains");
    tcase_add_test(constants, constants_in_a_row_are_one);
    tcase_add_test(constants, merged_constants_broadcast);
    tcase_add_test(constants, what_does_nothing_goes);
    tcase_add_test(constants, ones_that_broadcast_stay);
    tcase_add_test(constants, squares_are_products_and_two_signs_are_none);
    tcase_add_test(constants, casts_of_casts_are_one_where_nothing_is_lost);
    suite_add_tcase(suite, constants);
    return suite;
}
