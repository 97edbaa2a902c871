/* fuse-qdq: products and moves between DequantizeLinear and QuantizeLinear. */
#include "graph/passes/fuse_qdq.h"
#include "tests/pass_test.h"
#include "tests/suites.h"

#include <stdio.h>
#include <string.h>

/* Of the greatest number: float32's own error in sums of some hundred products. */
#define NEAR 1e-5
/* One quantum of 8 bits, where rounding met a tie; results of the cases below fill at least half of the range. */
#define QUANTUM 0.02

/* A constant of a type: random integers, or all the same number. */
static struct value *typed(struct rig *rig, enum dtype dtype, int rank, const int64_t *dims, const double *number)
{
    rig->dtype = dtype;
    struct value *constant = number ? rig_number(rig, rank, dims, *number) : rig_weights(rig, rank, dims);
    rig->dtype = DTYPE_F32;
    return constant;
}

static struct value *zero_of(struct rig *rig, enum dtype dtype, double zero)
{
    return typed(rig, dtype, SCALAR_DIMS, &zero);
}

static struct value *linear(struct rig *rig, const char *op, struct value *x, double scale, enum dtype dtype,
                            double zero)
{
    struct value *inputs[3] = {x, rig_number(rig, SCALAR_DIMS, scale), zero_of(rig, dtype, zero)};
    return rig_node(rig, op, 3, inputs, 0, NULL);
}

static struct value *quantised(struct rig *rig, struct value *x, double scale, double zero)
{
    return linear(rig, "QuantizeLinear", x, scale, DTYPE_U8, zero);
}

static struct value *numbers(struct rig *rig, struct value *x, double scale, double zero)
{
    return linear(rig, "DequantizeLinear", x, scale, DTYPE_U8, zero);
}

/* There and back. */
static struct value *rounded(struct rig *rig, struct value *x, double scale, double zero)
{
    return numbers(rig, quantised(rig, x, scale, zero), scale, zero);
}

/* Weights of int8; axis -1: one scale. Scales along an axis are 0.01 to 0.03. */
static struct value *weights(struct rig *rig, int rank, const int64_t *dims, int axis)
{
    struct value *inputs[3] = {typed(rig, DTYPE_I8, rank, dims, NULL)};
    const struct attribute attribute = ATTRIBUTE_I("axis", axis);
    if (axis < 0) {
        inputs[1] = rig_number(rig, SCALAR_DIMS, 0.02);
        return rig_node(rig, "DequantizeLinear", 2, inputs, 0, NULL);
    }
    int64_t count = dims[axis];
    float *scales = region_allocate(&rig->maker.region, (size_t)count * sizeof *scales);
    for (int64_t i = 0; i < count; i++)
        scales[i] = 0.01f + 0.02f * (float)i / (float)count;
    inputs[1] = graph_add_constant(rig->graph, region_format(&rig->maker.region, "s%d", rig->graph->value_count),
                                   DTYPE_F32, 1, &count, scales);
    const double zero = 0;
    inputs[2] = typed(rig, DTYPE_I8, 1, &count, &zero);
    return rig_node(rig, "DequantizeLinear", 3, inputs, 1, &attribute);
}

/* --- products -------------------------------------------------------------------------------------------- */

START_TEST(a_convolution_between_both)
{
    for (int axis = -1; axis < 1; axis++) {
        struct rig rig;
        rig_begin(&rig);
        static const int64_t pads[] = {1, 1, 1, 1};
        const struct attribute attributes[] = {ATTRIBUTE_LIST("pads", 4, pads)};
        struct value *x = rounded(&rig, rig_open_input(&rig, DIMS(2, 3, 5, 6)), 0.008, 131);
        struct value *inputs[] = {x, weights(&rig, DIMS(4, 3, 3, 3), axis), rig_weights(&rig, DIMS(4))};
        struct value *y = rig_node(&rig, "Conv", 3, inputs, 1, attributes);
        rig_output(&rig, rounded(&rig, rig_op1(&rig, "Relu", y), 0.05, 3));
        rig_expect(&rig, "QuantizeLinear ConvInteger Cast Mul Add Relu QuantizeLinear DequantizeLinear", NULL, QUANTUM);
    }
}
END_TEST

/* The scale of what is quantised goes into the product's constants, where nothing but sums and bounds lie between. */
START_TEST(one_multiplication)
{
    static const char *const activations[] = {"Relu", "Tanh", "Relu"};
    for (int i = 0; i < 3; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rounded(&rig, rig_open_input(&rig, DIMS(2, 4, 5, 6)), 0.008, 131);
        struct value *inputs[] = {x, weights(&rig, DIMS(4, 4, 1, 1), 0), rig_weights(&rig, DIMS(4))};
        struct value *y = rig_op2(&rig, "Add", rig_node(&rig, "Conv", 3, inputs, 0, NULL), x);
        if (i == 2) /* the sum is read as it is, too */
            rig_output(&rig, rig_op1(&rig, "Neg", y));
        rig_output(&rig, rounded(&rig, rig_op1(&rig, activations[i], y), 0.05, 3));
        const struct graph *graph = rig_shaped(&rig);
        int found = 0;
        for (int k = 0; k < graph->node_count; k++) {
            const struct node *node = graph->nodes[k];
            if (!is_op(node, "QuantizeLinear") || node->inputs[0]->rank != 4 || k < 2)
                continue;
            ck_assert_float_eq(*(const float *)node->inputs[1]->data, i == 0 ? 1 : 0.05F);
            found++;
        }
        ck_assert_int_eq(found, 1);
        region_free(&rig.maker.region);
    }
}
END_TEST

/* A list of scales in float16, for numbers of float32; a single one, which moves might pass on, is left alone. */
START_TEST(scales_in_float16)
{
    for (int64_t channels = 1; channels <= 4; channels += 3) {
        struct rig rig;
        rig_begin(&rig);
        const struct attribute attributes[] = {ATTRIBUTE_I("axis", 0), ATTRIBUTE_I("output_dtype", DTYPE_F32)};
        struct value *x = rounded(&rig, rig_open_input(&rig, DIMS(2, 3, 5, 6)), 0.008, 131);
        struct value *integers = typed(&rig, DTYPE_I8, DIMS(channels, 3, 3, 3), NULL);
        rig.dtype = DTYPE_F16;
        struct value *scales = rig_weights(&rig, DIMS(channels));
        rig.dtype = DTYPE_F32;
        struct value *w = rig_node(&rig, "DequantizeLinear", 2, (struct value *[]){integers, scales}, 2, attributes);
        rig_output(&rig, rig_op2(&rig, "Conv", x, w));
        rig_expect(&rig, channels > 1 ? "QuantizeLinear ConvInteger Cast Mul" : "QuantizeLinear DequantizeLinear Conv",
                   NULL, NEAR);
    }
}
END_TEST

START_TEST(a_product_by_columns)
{
    for (int axis = -1; axis < 2; axis++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rounded(&rig, rig_open_input(&rig, DIMS(2, 5, 40)), 0.008, 120);
        struct value *y = rig_op2(&rig, "MatMul", x, weights(&rig, DIMS(40, 7), axis));
        rig_output(&rig, rig_op2(&rig, "Add", y, rig_weights(&rig, DIMS(7))));
        /* A scale a row of the right operand does not leave the sum. */
        rig_expect(&rig,
                   axis == 0 ? "QuantizeLinear DequantizeLinear MatMul Add"
                             : "QuantizeLinear MatMulInteger Cast Mul Add",
                   NULL, NEAR);
    }
}
END_TEST

START_TEST(weights_on_the_left_by_rows)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rounded(&rig, rig_open_input(&rig, DIMS(3, 40, 2)), 0.008, 120);
    rig_output(&rig, rig_op2(&rig, "MatMul", weights(&rig, DIMS(7, 40), 0), x));
    rig_expect(&rig, "QuantizeLinear MatMulInteger Cast Mul", NULL, NEAR);
}
END_TEST

START_TEST(transposed_weights)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rounded(&rig, rig_open_input(&rig, DIMS(5, 40)), 0.008, 120), *w = weights(&rig, DIMS(7, 40), 0);
    rig_output(&rig, rig_op2(&rig, "MatMul", x, rig_op1(&rig, "Transpose", w)));
    rig_expect(&rig, "QuantizeLinear MatMulInteger Cast Mul", NULL, NEAR);
}
END_TEST

START_TEST(gemm_in_every_way)
{
    for (int way = 0; way < 16; way++) {
        bool turn_x = way & 1, turn_w = way & 2, factors = way & 4, bias = way & 8;
        struct rig rig;
        rig_begin(&rig);
        const struct attribute attributes[] = {ATTRIBUTE_I("transA", turn_x), ATTRIBUTE_I("transB", turn_w),
                                               ATTRIBUTE_F("alpha", factors ? 0.5f : 1),
                                               ATTRIBUTE_F("beta", factors ? 3 : 1)};
        struct value *x = turn_x ? rig_input(&rig, DIMS(30, 4)) : rig_input(&rig, DIMS(4, 30));
        struct value *inputs[] = {rounded(&rig, x, 0.008, 128),
                                  turn_w ? weights(&rig, DIMS(6, 30), 0) : weights(&rig, DIMS(30, 6), 1),
                                  bias ? rig_weights(&rig, DIMS(4, 1)) : NULL};
        rig_output(&rig, rig_node(&rig, "Gemm", bias ? 3 : 2, inputs, 4, attributes));
        char nodes[200];
        snprintf(nodes, sizeof nodes, "QuantizeLinear %sMatMulInteger Cast Mul%s", turn_x ? "Transpose " : "",
                 bias ? " Add" : "");
        rig_expect(&rig, nodes, NULL, NEAR);
    }
}
END_TEST

/* Both come from the run: how long the sums are is known with the shapes. */
START_TEST(scores_of_attention)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *q = rounded(&rig, rig_input(&rig, DIMS(2, 5, 8)), 0.008, 128);
    struct value *k = rounded(&rig, rig_input(&rig, DIMS(2, 8, 5)), 0.009, 127);
    rig_output(&rig, rig_op2(&rig, "MatMul", q, k));
    rig_expect_pass(&rig, fuse_qdq, PASS_SHAPED, "QuantizeLinear QuantizeLinear MatMulInteger Cast Mul", NEAR);
}
END_TEST

START_TEST(sums_that_may_pass_int32)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rounded(&rig, rig_open_input(&rig, DIMS(1, 70000)), 0.008, 0);
    rig_output(&rig, rig_op2(&rig, "MatMul", x, weights(&rig, DIMS(70000, 1), -1)));
    rig_expect(&rig, "QuantizeLinear DequantizeLinear DequantizeLinear MatMul", NULL, NEAR);
}
END_TEST

/* Which is wrong, but nothing has looked at shapes yet. */
START_TEST(a_scale_without_elements)
{
    static const float none[1] = {1};
    const int64_t length = 0;
    struct rig rig;
    rig_begin(&rig);
    struct value *integers = quantised(&rig, rig_open_input(&rig, DIMS(2, 4)), 0.008, 100);
    struct value *inputs[] = {integers, graph_add_constant(rig.graph, "none", DTYPE_F32, 1, &length, none)};
    struct value *x = rig_node(&rig, "DequantizeLinear", 2, inputs, 0, NULL);
    rig_output(&rig, rig_op2(&rig, "MatMul", x, weights(&rig, DIMS(4, 3), -1)));
    rig_expect_limited(&rig, 1 << 20, "QuantizeLinear DequantizeLinear MatMul");
}
END_TEST

/* The product of the scales would have lost its digits. */
START_TEST(scales_without_room)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rounded(&rig, rig_open_input(&rig, DIMS(2, 4)), 1e-30, 100);
    struct value *inputs[] = {typed(&rig, DTYPE_I8, DIMS(4, 3), NULL), rig_number(&rig, SCALAR_DIMS, 1e-10)};
    rig_output(&rig, rig_op2(&rig, "MatMul", x, rig_node(&rig, "DequantizeLinear", 2, inputs, 0, NULL)));
    rig_expect(&rig, "QuantizeLinear DequantizeLinear MatMul", NULL, 1);
}
END_TEST

/* Weights that are quantised in the model, as training leaves them. */
START_TEST(weights_quantised_in_the_graph)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rounded(&rig, rig_open_input(&rig, DIMS(3, 16)), 0.008, 128);
    struct value *w = linear(&rig, "QuantizeLinear", rig_weights(&rig, DIMS(16, 5)), 0.01, DTYPE_I8, 0);
    rig_output(&rig, rig_op2(&rig, "MatMul", x, linear(&rig, "DequantizeLinear", w, 0.01, DTYPE_I8, 0)));
    rig_expect(&rig, "QuantizeLinear MatMulInteger Cast Mul", NULL, NEAR);
}
END_TEST

START_TEST(one_quantised_operand_is_no_product_of_integers)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_open_input(&rig, DIMS(3, 16));
    rig_output(&rig, rig_op2(&rig, "MatMul", x, weights(&rig, DIMS(16, 5), 1)));
    rig_output(&rig, rig_op2(&rig, "MatMul", x, weights(&rig, DIMS(16, 2000), 1)));
    /* Large weights stay as they are. */
    rig_expect(&rig, "MatMul MatMulScaled", NULL, 0);
}
END_TEST

/* --- means ----------------------------------------------------------------------------------------------- */

/* Of whole windows; where some reach over the border, or an axis of the window is long, numbers are taken. */
START_TEST(means_of_integers)
{
    static const int64_t window[] = {2, 3}, stride[] = {2, 1}, border[] = {1, 0, 0, 0}, wide[] = {1, 17};
    for (int i = 0; i < 3; i++) {
        struct rig rig;
        rig_begin(&rig);
        const struct attribute attributes[] = {ATTRIBUTE_LIST("kernel_shape", 2, i == 2 ? wide : window),
                                               ATTRIBUTE_LIST("strides", 2, stride), ATTRIBUTE_LIST("pads", 4, border)};
        struct value *x = rounded(&rig, rig_open_input(&rig, DIMS(2, 5, 6, 20)), 0.008, 131);
        struct value *y = rig_node(&rig, "AveragePool", 1, &x, i == 1 ? 3 : 2, attributes);
        rig_output(&rig, rounded(&rig, y, 0.008, 120));
        rig_expect(&rig, "QuantizeLinear DequantizeLinear AveragePool QuantizeLinear DequantizeLinear",
                   i == 0 ? "QuantizeLinear ConvInteger Cast Mul QuantizeLinear DequantizeLinear" : NULL, QUANTUM);
    }
}
END_TEST

/* A whole image's is that of its integers, but where a channel has a scale of its own. */
START_TEST(means_of_whole_images_of_integers)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = quantised(&rig, rig_open_input(&rig, DIMS(2, 5, 6, 7)), 0.008, 131);
    rig_output(&rig, rig_op1(&rig, "GlobalAveragePool", numbers(&rig, x, 0.008, 131)));
    rig_output(&rig,
               rig_op1(&rig, "GlobalAveragePool", rig_op2(&rig, "DequantizeLinear", x, rig_weights(&rig, DIMS(5)))));
    rig_expect(&rig, NULL, "QuantizeLinear GlobalMeanInteger Sub Mul DequantizeLinear GlobalAveragePool", NEAR);
}
END_TEST

/* --- moves ----------------------------------------------------------------------------------------------- */

static struct value *moved(struct rig *rig, const char *op, struct value *x)
{
    static const int64_t order[] = {0, 2, 3, 1}, window[] = {2, 2}, pads[] = {0, 0, 1, 2, 0, 0, 0, 1},
                         shape[] = {2, -1, 3}, starts[] = {1}, ends[] = {4}, axes[] = {3}, index[] = {2, 0},
                         repeats[] = {2, 1, 1, 1, 1};
    const struct attribute perm = ATTRIBUTE_LIST("perm", 4, order), kernel = ATTRIBUTE_LIST("kernel_shape", 2, window);
    const struct attribute axis = ATTRIBUTE_I("axis", 2), nearest = ATTRIBUTE_TEXT("mode", "nearest");
    const struct attribute square = ATTRIBUTE_I("blocksize", 2);
    static const float sizes[] = {1, 1, 2, 3};
    const int64_t four = 4;
    if (!strcmp(op, "Transpose"))
        return rig_node(rig, op, 1, &x, 1, &perm);
    if (!strcmp(op, "MaxPool"))
        return rig_node(rig, op, 1, &x, 1, &kernel);
    if (!strcmp(op, "Pad"))
        return rig_op2(rig, op, x, rig_ints(rig, 8, pads));
    if (!strcmp(op, "Reshape"))
        return rig_op2(rig, op, x, rig_ints(rig, 3, shape));
    if (!strcmp(op, "Gather"))
        return rig_node(rig, op, 2, (struct value *[]){x, rig_ints(rig, 2, index)}, 1, &axis);
    if (!strcmp(op, "Concat"))
        return rig_node(rig, op, 2, (struct value *[]){x, x}, 1, &axis);
    if (!strcmp(op, "Flatten") || !strcmp(op, "Identity"))
        return rig_op1(rig, op, x);
    if (!strcmp(op, "Unsqueeze"))
        return rig_op2(rig, op, x, rig_ints(rig, 2, index));
    if (!strcmp(op, "Squeeze"))
        return rig_op2(rig, op, rig_op2(rig, "Unsqueeze", x, rig_ints(rig, 1, axes)), rig_ints(rig, 1, axes));
    if (!strcmp(op, "Tile") || !strcmp(op, "Expand"))
        return rig_op2(rig, op, x, rig_ints(rig, op[0] == 'T' ? 4 : 5, repeats));
    if (!strcmp(op, "SpaceToDepth"))
        return rig_node(rig, op, 1, &x, 1, &square);
    if (!strcmp(op, "DepthToSpace"))
        return rig_node(rig, op, 1, (struct value *[]){rig_node(rig, "SpaceToDepth", 1, &x, 1, &square)}, 1, &square);
    if (!strcmp(op, "GatherND"))
        return rig_op2(rig, op, x, rig_ints(rig, 1, starts));
    if (!strcmp(op, "GatherElements")) {
        const int64_t dims[] = {1, 1, 2, 1};
        struct value *places = graph_add_constant(rig->graph, "places", DTYPE_I64, 4, dims, index);
        return rig_node(rig, op, 2, (struct value *[]){x, places}, 1, &axis);
    }
    if (!strcmp(op, "Resize")) {
        struct value *scales = graph_add_constant(rig->graph, "scales", DTYPE_F32, 1, &four, sizes);
        return rig_node(rig, op, 3, (struct value *[]){x, NULL, scales}, 1, &nearest);
    }
    ck_assert_str_eq(op, "Slice");
    struct value *inputs[] = {x, rig_ints(rig, 1, starts), rig_ints(rig, 1, ends), rig_ints(rig, 1, axes)};
    return rig_node(rig, op, 4, inputs, 0, NULL);
}

static const struct {
    const char *op, *nodes; /* nodes: NULL: the operator alone */
} moves[] = {{"Transpose", NULL},
             {"MaxPool", NULL},
             {"Pad", NULL},
             {"Reshape", NULL},
             {"Gather", NULL},
             {"Concat", NULL},
             {"Resize", NULL},
             {"Slice", NULL},
             {"Flatten", NULL},
             {"Unsqueeze", NULL},
             {"Squeeze", "Unsqueeze Squeeze"},
             {"Tile", NULL},
             {"Expand", NULL},
             {"SpaceToDepth", NULL},
             {"DepthToSpace", "SpaceToDepth DepthToSpace"},
             {"GatherND", NULL},
             {"GatherElements", NULL}};

START_TEST(moves_between_both_move_integers)
{
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
        for (int same = 0; same < 2; same++) {
            struct rig rig;
            rig_begin(&rig);
            struct value *x = rounded(&rig, rig_open_input(&rig, DIMS(2, 3, 4, 6)), 0.008, 100);
            struct value *y = quantised(&rig, moved(&rig, moves[i].op, x), same ? 0.008 : 0.01, 100);
            rig_output(&rig, y);
            char nodes[200];
            snprintf(nodes, sizeof nodes, "QuantizeLinear %s%s", moves[i].nodes ? moves[i].nodes : moves[i].op,
                     same ? " Identity" : " DequantizeLinear QuantizeLinear");
            rig_expect(&rig, nodes, NULL, 0);
        }
}
END_TEST

START_TEST(what_a_product_reads_is_moved_as_integers)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rounded(&rig, rig_open_input(&rig, DIMS(2, 3, 4, 6)), 0.008, 100);
    x = moved(&rig, "MaxPool", moved(&rig, "Pad", x));
    rig_output(&rig, rig_op2(&rig, "Conv", x, weights(&rig, DIMS(5, 3, 2, 2), 0)));
    rig_expect(&rig, "QuantizeLinear Pad MaxPool ConvInteger Cast Mul", NULL, NEAR);
}
END_TEST

START_TEST(what_moves_integers_stands_for_what_moved_numbers)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rounded(&rig, rig_input(&rig, DIMS(2, 3, 4, 6)), 0.008, 100), *pool = moved(&rig, "MaxPool", x);
    struct value *w = weights(&rig, DIMS(5, 3, 2, 2), 0), *y = rig_op2(&rig, "Conv", pool, w);
    rig_output(&rig, y);
    char sources[200];
    rig_expect_sources(&rig, 1, pool->name);
    snprintf(sources, sizeof sources, "%s %s", w->name, y->name);
    rig_expect_sources(&rig, 2, sources);
    region_free(&rig.maker.region);
}
END_TEST

START_TEST(parts_of_a_split_are_slices_of_integers)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rounded(&rig, rig_input(&rig, DIMS(2, 9)), 0.008, 100), *parts[3];
    rig_split(&rig, x, -1, 3, parts);
    rig_output(&rig, quantised(&rig, parts[1], 0.008, 100));
    rig_output(&rig, rig_op2(&rig, "MatMul", parts[2], weights(&rig, DIMS(3, 4), -1)));
    rig_output(&rig, rig_op1(&rig, "Neg", parts[0]));
    rig_expect(&rig, NULL, NULL, NEAR);
    rig_begin(&rig);
    x = rounded(&rig, rig_input(&rig, DIMS(2, 9)), 0.008, 100);
    rig_split(&rig, x, 1, 3, parts);
    for (int i = 0; i < 3; i++)
        rig_output(&rig, rig_op1(&rig, "Abs", numbers(&rig, quantised(&rig, parts[i], 0.008, 100), 0.008, 100)));
    rig_expect(&rig,
               "QuantizeLinear DequantizeLinear Split QuantizeLinear DequantizeLinear Abs QuantizeLinear "
               "DequantizeLinear Abs QuantizeLinear DequantizeLinear Abs",
               "QuantizeLinear Slice DequantizeLinear Abs Slice DequantizeLinear Abs Slice DequantizeLinear Abs", 0);
}
END_TEST

START_TEST(parts_with_other_parameters_stay)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(2, 3)), *a = rounded(&rig, x, 0.008, 100), *b = rounded(&rig, x, 0.01, 100);
    const struct attribute axis = ATTRIBUTE_I("axis", 1);
    rig_output(&rig, quantised(&rig, rig_node(&rig, "Concat", 2, (struct value *[]){a, b}, 1, &axis), 0.01, 100));
    rig_expect(&rig, "QuantizeLinear DequantizeLinear QuantizeLinear DequantizeLinear Concat QuantizeLinear", NULL, 0);
}
END_TEST

/* No integer stands for the number that is padded with. */
START_TEST(padding_between_two_integers_stays)
{
    static const int64_t pads[] = {1, 0, 0, 1};
    for (int fits = 0; fits < 2; fits++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rounded(&rig, rig_input(&rig, DIMS(2, 3)), 0.125, 100);
        struct value *inputs[] = {x, rig_ints(&rig, 4, pads), rig_number(&rig, SCALAR_DIMS, fits ? 0.25 : 0.3)};
        rig_output(&rig, quantised(&rig, rig_node(&rig, "Pad", 3, inputs, 0, NULL), 0.125, 100));
        rig_expect(&rig, fits ? "QuantizeLinear Pad Identity" : "QuantizeLinear DequantizeLinear Pad QuantizeLinear",
                   NULL, 0);
    }
}
END_TEST

START_TEST(there_and_back_is_nothing)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rounded(&rig, rig_input(&rig, DIMS(2, 3)), 0.008, 100);
    rig_output(&rig, rig_op1(&rig, "Neg", rounded(&rig, x, 0.008, 100)));
    rig_output(&rig, rig_op1(&rig, "Abs", rounded(&rig, x, 0.008, 101)));
    rig_expect(&rig, "QuantizeLinear DequantizeLinear Neg QuantizeLinear DequantizeLinear Abs", NULL, 0);
}
END_TEST

/* With the shapes, and of u8 alone: an integer without a zero point is one. */
START_TEST(a_zero_point_of_zero_is_none)
{
    static const struct {
        enum dtype dtype;
        double zero;
        int quantize, dequantize; /* inputs left */
    } cases[] = {{DTYPE_U8, 0, 2, 2}, {DTYPE_U8, 1, 3, 3}, {DTYPE_I8, 0, 3, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_op1(&rig, "Relu", rig_input(&rig, DIMS(2, 3)));
        x = linear(&rig, "QuantizeLinear", x, 0.008, cases[i].dtype, cases[i].zero);
        rig_output(&rig, x);
        rig_output(&rig, linear(&rig, "DequantizeLinear", x, 0.008, cases[i].dtype, cases[i].zero));
        struct graph *graph = rig_shaped(&rig);
        ck_assert_int_eq(graph->nodes[1]->input_count, cases[i].quantize);
        ck_assert_int_eq(graph->nodes[2]->input_count, cases[i].dequantize);
        rig_expect(&rig, "Relu QuantizeLinear DequantizeLinear", NULL, 0);
    }
}
END_TEST

/* Two of the positions of a table of 1000 rows, by a run's numbers below 1. */
static struct value *rows_of(struct rig *rig, struct value *table)
{
    static const int64_t rows[] = {5, 2, 997};
    const struct attribute to = ATTRIBUTE_I("to", DTYPE_I64);
    struct value *index = rig_node(rig, "Cast", 1, (struct value *[]){rig_open_input(rig, DIMS(3))}, 1, &to);
    return rig_op2(rig, "Gather", table, rig_op2(rig, "Add", index, rig_ints(rig, 3, rows)));
}

START_TEST(rows_of_a_quantised_table)
{
    struct rig rig;
    rig_begin(&rig);
    rig_output(&rig, rig_op1(&rig, "Neg", rows_of(&rig, weights(&rig, DIMS(1000, 40), -1))));
    rig_expect(&rig, "Cast Add Gather DequantizeLinear Neg", NULL, 0);
}
END_TEST

START_TEST(rows_of_a_scaled_table)
{
    static const int64_t dims[][2] = {{1000, 1}, {1, 40}, {1, 1}};
    for (size_t i = 0; i < 3; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *table = typed(&rig, DTYPE_I8, DIMS(1000, 40), NULL);
        const struct attribute to = ATTRIBUTE_I("to", DTYPE_F32);
        table = rig_node(&rig, "Cast", 1, &table, 1, &to);
        table = rig_op2(&rig, "Mul", table, rig_weights(&rig, 2, dims[i]));
        rig_output(&rig, rig_op1(&rig, "Neg", rows_of(&rig, table)));
        rig_expect(&rig, i ? "Cast Add Gather Cast Mul Neg" : "Cast Add Gather Gather Cast Mul Neg", NULL, 0);
    }
}
END_TEST

/* A matrix of 8 bits stays so where a product of float32 reads it, but a small one, one with few columns, and one whose
 * scales are not those of columns. */
START_TEST(matrices_of_bytes)
{
    static const struct {
        int64_t rows, columns, scales[2];
        const char *nodes;
    } cases[] = {{128, 200, {1, 200}, "Neg MatMulScaled"},
                 {128, 200, {1, 1}, "Neg MatMulScaled"},
                 {128, 200, {128, 1}, "Neg Cast Mul MatMul"},
                 {40, 200, {1, 200}, "Neg MatMul"},
                 {2000, 12, {1, 12}, "Neg Cast Mul MatMul"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *matrix = typed(&rig, DTYPE_I8, DIMS(cases[i].rows, cases[i].columns), NULL);
        const struct attribute to = ATTRIBUTE_I("to", DTYPE_F32);
        struct value *x = rig_op1(&rig, "Neg", rig_input(&rig, DIMS(3, cases[i].rows)));
        matrix = rig_node(&rig, "Cast", 1, &matrix, 1, &to);
        matrix = rig_op2(&rig, "Mul", matrix, rig_weights(&rig, 2, cases[i].scales));
        rig_output(&rig, rig_op2(&rig, "MatMul", x, matrix));
        rig_expect(&rig, cases[i].nodes, NULL, 0);
    }
}
END_TEST

Suite *passes_qdq_suite(void)
{
    Suite *suite = suite_create("passes_qdq");
    TCase *products = tcase_create("products");
    tcase_add_test(products, a_convolution_between_both);
    tcase_add_test(products, one_multiplication);
    tcase_add_test(products, scales_in_float16);
    tcase_add_test(products, a_product_by_columns);
    tcase_add_test(products, weights_on_the_left_by_rows);
    tcase_add_test(products, transposed_weights);
    tcase_add_test(products, gemm_in_every_way);
    tcase_add_test(products, scores_of_attention);
    tcase_add_test(products, sums_that_may_pass_int32);
    tcase_add_test(products, a_scale_without_elements);
    tcase_add_test(products, scales_without_room);
    tcase_add_test(products, weights_quantised_in_the_graph);
    tcase_add_test(products, one_quantised_operand_is_no_product_of_integers);
    suite_add_tcase(suite, products);
    TCase *moving = tcase_create("moves");
    tcase_add_test(moving, means_of_integers);
    tcase_add_test(moving, means_of_whole_images_of_integers);
    tcase_add_test(moving, moves_between_both_move_integers);
    tcase_add_test(moving, what_a_product_reads_is_moved_as_integers);
    tcase_add_test(moving, what_moves_integers_stands_for_what_moved_numbers);
    tcase_add_test(moving, parts_of_a_split_are_slices_of_integers);
    tcase_add_test(moving, parts_with_other_parameters_stay);
    tcase_add_test(moving, padding_between_two_integers_stays);
    tcase_add_test(moving, there_and_back_is_nothing);
    tcase_add_test(moving, a_zero_point_of_zero_is_none);
    tcase_add_test(moving, rows_of_a_quantised_table);
    tcase_add_test(moving, rows_of_a_scaled_table);
    tcase_add_test(moving, matrices_of_bytes);
    suite_add_tcase(suite, moving);
    return suite;
}
