/* Where the borders lie: what quantisation, and the passes that prepare a graph for it, take and what they leave. */
#include "graph/quantize/quantize.h"
#include "tests/pass_test.h"
#include "tests/suites.h"

#include <math.h>

#define NEAR 1e-5

/* --- layers ---------------------------------------------------------------------------------------------- */

static struct quantize_plan find(struct rig *rig, enum quantize_form form, int bits)
{
    struct quantize_plan plan = {
        .graph = rig->graph, .region = &rig->maker.region, .form = form, .bits = bits, .block = 32};
    struct error error = {0};
    graph_set_inputs(rig->graph, rig->input_count, rig->inputs);
    graph_set_outputs(rig->graph, rig->output_count, rig->outputs);
    ck_assert_msg(quantize_find(&plan, &error) == STATUS_OK, "%s", error.text);
    return plan;
}

/* How many layers one node is; it reads x, or with `known` a constant in its place. */
static int layers_of(enum quantize_form form, const char *op, int x_rank, const int64_t *x_dims, bool known, int rank,
                     const int64_t *dims, int attribute_count, const struct attribute *attributes)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = known ? rig_weights(&rig, x_rank, x_dims) : rig_input(&rig, x_rank, x_dims);
    struct value *inputs[] = {x, rig_number(&rig, rank, dims, 0.5)};
    rig_output(&rig, rig_node(&rig, op, 2, inputs, attribute_count, attributes));
    int count = find(&rig, form, 8).count;
    region_free(&rig.maker.region);
    return count;
}

#define DEEPEST 66311 /* products of 255 and 127 that an int32 holds the sum of */

START_TEST(layers_are_as_deep_as_their_sums_are_exact)
{
    for (int more = 0; more < 2; more++) {
        int64_t depth = DEEPEST + more, x[] = {1, depth}, w[] = {depth, 1}, image[] = {1, depth, 1};
        int64_t window[] = {1, depth, 1}, turned_w[] = {1, depth};
        const struct attribute turned = ATTRIBUTE_I("transB", 1);
        ck_assert_int_eq(layers_of(QUANTIZE_STATIC, "MatMul", 2, x, false, 2, w, 0, NULL), !more);
        ck_assert_int_eq(layers_of(QUANTIZE_STATIC, "Gemm", 2, x, false, 2, turned_w, 1, &turned), !more);
        ck_assert_int_eq(layers_of(QUANTIZE_STATIC, "Conv", 3, image, false, 3, window, 0, NULL), !more);
    }
}
END_TEST

START_TEST(products_are_of_an_activation_by_constant_columns)
{
    const struct attribute left = ATTRIBUTE_I("transA", 1), twice = ATTRIBUTE_F("alpha", 2),
                           half = ATTRIBUTE_F("beta", 0.5F), once = ATTRIBUTE_F("alpha", 1);
    const int64_t x[] = {3, 3}, w[] = {3, 3}, stack[] = {2, 3, 3}, line[] = {1, 3, 9}, window[] = {3, 3, 3};
    ck_assert_int_eq(layers_of(QUANTIZE_STATIC, "MatMul", 2, x, true, 2, w, 0, NULL), 0);
    ck_assert_int_eq(layers_of(QUANTIZE_STATIC, "MatMul", 2, x, false, 3, stack, 0, NULL), 0);
    ck_assert_int_eq(layers_of(QUANTIZE_STATIC, "Gemm", 2, x, false, 2, w, 1, &left), 0);
    ck_assert_int_eq(layers_of(QUANTIZE_STATIC, "Gemm", 2, x, false, 2, w, 1, &twice), 1);
    ck_assert_int_eq(layers_of(QUANTIZE_DYNAMIC, "Gemm", 2, x, false, 2, w, 1, &twice), 0);
    ck_assert_int_eq(layers_of(QUANTIZE_DYNAMIC, "Gemm", 2, x, false, 2, w, 1, &half), 0);
    ck_assert_int_eq(layers_of(QUANTIZE_DYNAMIC, "Gemm", 2, x, false, 2, w, 1, &once), 1);
    ck_assert_int_eq(layers_of(QUANTIZE_DYNAMIC, "MatMul", 2, x, false, 2, w, 0, NULL), 1);
    ck_assert_int_eq(layers_of(QUANTIZE_DYNAMIC, "Conv", 3, line, false, 3, window, 0, NULL), 1);
    ck_assert_int_eq(layers_of(QUANTIZE_STATIC, "Conv", 3, line, false, 3, window, 0, NULL), 1);
    ck_assert_int_eq(layers_of(QUANTIZE_STATIC, "ConvTranspose", 3, line, false, 3, window, 0, NULL), 1);
    ck_assert_int_eq(layers_of(QUANTIZE_STATIC, "Add", 2, x, false, 2, w, 0, NULL), 0);
}
END_TEST

START_TEST(tables_are_large_and_gathered_by_rows)
{
    static const struct {
        int rank;
        int64_t dims[3], axis;
        int found;
    } cases[] = {{2, {64, 64}, 0, 1}, {2, {4095, 1}, 0, 0}, {2, {64, 64}, 1, 0}, {3, {64, 64, 1}, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        const struct attribute axis = ATTRIBUTE_I("axis", cases[i].axis), to = ATTRIBUTE_I("to", DTYPE_I64);
        struct value *index = rig_input(&rig, DIMS(3));
        index = rig_node(&rig, "Cast", 1, &index, 1, &to);
        struct value *inputs[] = {rig_weights(&rig, cases[i].rank, cases[i].dims), index};
        rig_output(&rig, rig_node(&rig, "Gather", 2, inputs, 1, &axis));
        struct quantize_plan plan = find(&rig, QUANTIZE_DYNAMIC, 8);
        ck_assert_int_eq(plan.count, cases[i].found);
        if (plan.count > 0) {
            ck_assert_int_eq(plan.layers[0].kind, LAYER_TABLE);
            ck_assert_ptr_eq(plan.layers[0].weights, inputs[0]);
            ck_assert_ptr_null(plan.layers[0].input);
        }
        region_free(&rig.maker.region);
    }
}
END_TEST

/* The plan of x w, w being of `rows` rows of 8 and its first number `first`. */
static struct quantize_plan plan_of_product(struct rig *rig, enum quantize_form form, int bits, int64_t rows,
                                            float first)
{
    rig_begin(rig);
    struct value *w = rig_weights(rig, DIMS(rows, 8));
    *(float *)(uintptr_t)w->data = first;
    rig_output(rig, rig_op2(rig, "MatMul", rig_input(rig, DIMS(2, rows)), w));
    return find(rig, form, bits);
}

START_TEST(float16_has_a_range)
{
    static const struct {
        enum quantize_form form;
        int bits;
        float first;
        bool chosen;
    } cases[] = {{QUANTIZE_HALF, 16, 65504, true},       {QUANTIZE_HALF, 16, -65504, true},
                 {QUANTIZE_HALF, 16, 65505, false},      {QUANTIZE_HALF, 16, -65505, false},
                 {QUANTIZE_WEIGHTS, 4, 327520, true},    {QUANTIZE_WEIGHTS, 4, 327600, false},
                 {QUANTIZE_WEIGHTS, 8, 1e30F, true},     {QUANTIZE_WEIGHTS, 8, INFINITY, false},
                 {QUANTIZE_DYNAMIC, 8, -INFINITY, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        struct quantize_plan plan = plan_of_product(&rig, cases[i].form, cases[i].bits, 8, cases[i].first);
        ck_assert_int_eq(plan.count, 1);
        ck_assert_msg(plan.layers[0].chosen == cases[i].chosen, "case %zu", i);
        ck_assert_int_eq(plan.layers[0].why == NULL, cases[i].chosen);
        ck_assert_double_eq(quantize_largest(&plan.layers[0]), fabs((double)cases[i].first));
        region_free(&rig.maker.region);
    }
}
END_TEST

START_TEST(small_constants_stay_as_they_are)
{
    for (int64_t rows = 7; rows <= 8; rows++) { /* of 56 and of 64 elements */
        struct rig rig;
        ck_assert_int_eq(plan_of_product(&rig, QUANTIZE_HALF, 16, rows, 1).count, rows == 8);
        region_free(&rig.maker.region);
    }
}
END_TEST

/* --- weights --------------------------------------------------------------------------------------------- */

/* Two equal neighbours share the range. */
START_TEST(pairs_are_of_what_is_deep)
{
    static const struct {
        bool in_pairs;
        int most;
        bool table;
    } cases[] = {{true, 63, false}, {false, 127, false}, {true, 127, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        struct error error = {0};
        struct quantize_plan plan = plan_of_product(&rig, QUANTIZE_STATIC, 8, 8, 3);
        plan.in_pairs = cases[i].in_pairs;
        for (int64_t k = 0; k < value_elements(plan.layers[0].weights); k++)
            ((float *)(uintptr_t)plan.layers[0].weights->data)[k] = 3;
        if (cases[i].table)
            plan.layers[0].kind = LAYER_TABLE;
        ck_assert(quantize_weights(&plan, &plan.layers[0], &error) == STATUS_OK);
        ck_assert_int_eq(((const int8_t *)plan.layers[0].narrow)[0], cases[i].most);
        ck_assert_int_eq(plan.layers[0].half_scales == NULL, cases[i].table);
        region_free(&rig.maker.region);
    }
}
END_TEST

/* A scale that float16 holds is not rounded up; one that is too small or too large for it leaves all in float32. */
START_TEST(scales_are_halved_where_all_of_them_fit)
{
    static const struct {
        float largest;
        bool halved;
    } cases[] = {
        {127, true}, {127 * 0x1p-14F, true}, {127 * 0x1p-15F, false}, {127 * 65504.F, true}, {127 * 65520.F, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        struct error error = {0};
        struct quantize_plan plan = plan_of_product(&rig, QUANTIZE_WEIGHTS, 8, 8, 127);
        struct layer *layer = &plan.layers[0];
        for (int64_t k = 0; k < 64; k++)
            ((float *)(uintptr_t)layer->weights->data)[k] = cases[i].largest;
        ck_assert(quantize_weights(&plan, layer, &error) == STATUS_OK);
        ck_assert_msg((layer->half_scales != NULL) == cases[i].halved, "case %zu", i);
        ck_assert_float_eq(layer->scales[0], cases[i].largest / 127);
        ck_assert_int_eq(((const int8_t *)layer->narrow)[63], 127);
        region_free(&rig.maker.region);
    }
}
END_TEST

START_TEST(a_single_scale_is_not_worth_halving)
{
    for (int64_t columns = 1; columns <= 2; columns++) {
        struct rig rig;
        struct error error = {0};
        rig_begin(&rig);
        struct value *w = rig_weights(&rig, DIMS(8, columns));
        rig_output(&rig, rig_op2(&rig, "MatMul", rig_input(&rig, DIMS(2, 8)), w));
        struct quantize_plan plan = find(&rig, QUANTIZE_STATIC, 8);
        ck_assert(quantize_weights(&plan, &plan.layers[0], &error) == STATUS_OK);
        ck_assert_int_eq(plan.layers[0].half_scales != NULL, columns == 2);
        region_free(&rig.maker.region);
    }
}
END_TEST

/* A block of zeros has the scale 1; blocks that end where the depth does have no rest. */
START_TEST(blocks_along_the_depth)
{
    struct rig rig;
    struct error error = {0};
    struct quantize_plan plan = plan_of_product(&rig, QUANTIZE_WEIGHTS, 4, 64, 0);
    struct layer *layer = &plan.layers[0];
    float *w = (float *)(uintptr_t)layer->weights->data;
    for (int64_t k = 0; k < 32; k++)
        w[k * 8] = 0;
    ck_assert_int_eq(quantize_blocks(&plan, layer), 2);
    ck_assert(quantize_weights(&plan, layer, &error) == STATUS_OK);
    ck_assert_uint_eq(layer->half_scales[0], 0x3c00);
    ck_assert_uint_ne(layer->half_scales[8], 0x3c00);
    const uint8_t *nibbles = layer->narrow;
    for (int64_t k = 0; k < 32; k++)
        ck_assert_uint_eq(nibbles[k * 4] & 15, 0);
    region_free(&rig.maker.region);
}
END_TEST

/* --- attributes ------------------------------------------------------------------------------------------ */

START_TEST(attributes_that_say_something_stay)
{
    static const int64_t ones[] = {1, 1}, mixed[] = {1, 2}, window[] = {3, 3}, zeros[4], last[] = {0, 0, 0, 1};
    struct {
        const char *op;
        struct attribute attribute;
        bool stays;
    } cases[] = {
        {"Conv", ATTRIBUTE_I("group", 2), true},
        {"Conv", ATTRIBUTE_I("group", 1), false},
        {"Conv", ATTRIBUTE_LIST("strides", 2, mixed), true},
        {"Conv", ATTRIBUTE_LIST("dilations", 2, mixed), true},
        {"Conv", ATTRIBUTE_LIST("dilations", 2, ones), false},
        {"Conv", ATTRIBUTE_LIST("pads", 4, last), true},
        {"Conv", ATTRIBUTE_LIST("pads", 4, zeros), false},
        {"Conv", ATTRIBUTE_LIST("kernel_shape", 2, window), false},
        {"Conv", ATTRIBUTE_TEXT("auto_pad", "SAME_UPPER"), true},
        {"ConvTranspose", ATTRIBUTE_LIST("kernel_shape", 2, window), false},
        {"ConvTranspose", ATTRIBUTE_LIST("output_padding", 2, ones), true},
        {"MaxPool", ATTRIBUTE_LIST("kernel_shape", 2, window), true},
        {"AveragePool", ATTRIBUTE_LIST("strides", 2, ones), false},
        {"LpPool", ATTRIBUTE_LIST("strides", 2, ones), true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *inputs[] = {rig_input(&rig, DIMS(1, 2, 9, 9)), rig_weights(&rig, DIMS(2, 1, 3, 3))};
        rig_node(&rig, cases[i].op, strstr(cases[i].op, "Pool") ? 1 : 2, inputs, 1, &cases[i].attribute);
        ck_assert(quantize_drop_attributes(rig.graph));
        ck_assert_msg(rig.graph->nodes[0]->attribute_count == cases[i].stays, "case %zu", i);
        region_free(&rig.maker.region);
    }
}
END_TEST

/* --- windows that do not overlap ------------------------------------------------------------------------- */

/* A ConvTranspose of x, 4 or more channels. */
struct window_case {
    int64_t kernel[2], strides[2], groups;
    struct attribute attribute; /* one more; no name: none */
    const char *nodes;
    enum { ALL_KNOWN, NO_BIAS, BIAS_READ, WEIGHTS_READ } operands;
};

static const int64_t two_ones[] = {1, 1}, one_two[] = {1, 2}, four_zeros[4], one_row[] = {0, 0, 1, 0}, size[] = {10, 8};

#define SPREAD "Conv DepthToSpace"
#define STAYS "ConvTranspose"
#define NOTHING    \
    {              \
        .name = "" \
    }

START_TEST(windows_that_tile_the_output_are_spread)
{
    const struct window_case cases[] = {
        {{2, 2}, {2, 2}, 1, NOTHING, SPREAD, ALL_KNOWN},
        {{2, 2}, {2, 2}, 1, NOTHING, SPREAD, NO_BIAS},
        {{3, 3}, {3, 3}, 1, NOTHING, SPREAD, ALL_KNOWN},
        {{2, 2}, {2, 2}, 1, NOTHING, STAYS, BIAS_READ},
        {{2, 2}, {2, 2}, 1, NOTHING, STAYS, WEIGHTS_READ},
        {{1, 1}, {1, 1}, 1, NOTHING, STAYS, ALL_KNOWN},
        {{2, 3}, {2, 2}, 1, NOTHING, STAYS, ALL_KNOWN},
        {{2, 2}, {2, 3}, 1, NOTHING, STAYS, ALL_KNOWN},
        {{2, 2}, {3, 2}, 1, NOTHING, STAYS, ALL_KNOWN},
        {{2, 2}, {0, 0}, 1, NOTHING, STAYS, ALL_KNOWN},
        {{2, 2}, {2, 2}, 2, NOTHING, STAYS, ALL_KNOWN},
        {{2, 2}, {2, 2}, 1, ATTRIBUTE_LIST("dilations", 2, two_ones), SPREAD, ALL_KNOWN},
        {{2, 2}, {2, 2}, 1, ATTRIBUTE_LIST("dilations", 2, one_two), STAYS, ALL_KNOWN},
        {{2, 2}, {2, 2}, 1, ATTRIBUTE_LIST("pads", 4, four_zeros), SPREAD, ALL_KNOWN},
        {{2, 2}, {2, 2}, 1, ATTRIBUTE_LIST("pads", 4, one_row), STAYS, ALL_KNOWN},
        {{2, 2}, {2, 2}, 1, ATTRIBUTE_LIST("output_padding", 2, four_zeros), SPREAD, ALL_KNOWN},
        {{2, 2}, {2, 2}, 1, ATTRIBUTE_LIST("output_padding", 2, two_ones), STAYS, ALL_KNOWN},
        {{2, 2}, {2, 2}, 1, ATTRIBUTE_LIST("output_shape", 2, size), STAYS, ALL_KNOWN},
        {{2, 2}, {2, 2}, 1, ATTRIBUTE_TEXT("auto_pad", "NOTSET"), SPREAD, ALL_KNOWN},
        {{2, 2}, {2, 2}, 1, ATTRIBUTE_TEXT("auto_pad", "SAME_UPPER"), STAYS, ALL_KNOWN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct window_case *c = &cases[i];
        struct rig rig;
        struct attribute attributes[3] = {ATTRIBUTE_I("group", c->groups)};
        int count = 1;
        rig_begin(&rig);
        if (c->strides[0])
            attributes[count++] = ATTRIBUTE_LIST("strides", 2, c->strides);
        if (*c->attribute.name)
            attributes[count++] = c->attribute;
        const int64_t dims[] = {4, 6, c->kernel[0], c->kernel[1]}, channels = 6 * c->groups;
        struct value *inputs[] = {rig_input(&rig, DIMS(2, 4, 5, 4)),
                                  c->operands == WEIGHTS_READ ? rig_input(&rig, 4, dims) : rig_weights(&rig, 4, dims),
                                  c->operands == BIAS_READ ? rig_input(&rig, 1, &channels)
                                                           : rig_weights(&rig, 1, &channels)};
        rig_output(&rig, rig_node(&rig, "ConvTranspose", c->operands == NO_BIAS ? 2 : 3, inputs, count, attributes));
        rig_expect_pass(&rig, convolve_upsampling, PASS_ONCE, c->nodes, NEAR);
    }
}
END_TEST

START_TEST(windows_of_one_axis_stay)
{
    struct rig rig;
    const int64_t stride = 2;
    const struct attribute strides = ATTRIBUTE_LIST("strides", 1, &stride);
    rig_begin(&rig);
    struct value *inputs[] = {rig_input(&rig, DIMS(2, 4, 5)), rig_weights(&rig, DIMS(4, 6, 2))};
    rig_output(&rig, rig_node(&rig, "ConvTranspose", 2, inputs, 1, &strides));
    rig_expect_pass(&rig, convolve_upsampling, PASS_ONCE, STAYS, NEAR);
}
END_TEST

static struct value *spread(struct rig *rig)
{
    const struct attribute attributes[] = {ATTRIBUTE_I("blocksize", 2)};
    struct value *x = rig_input(rig, DIMS(1, 8, 3, 3));
    return rig_node(rig, "DepthToSpace", 1, &x, 1, attributes);
}

/* What takes one number beside the image goes before the spreading; what has a number a channel does not. */
START_TEST(elementwise_operators_go_before_the_spreading)
{
    static const struct {
        const char *op, *nodes;
        int count, rank;
        int64_t dims[5];
    } cases[] = {
        {"Relu", "Relu DepthToSpace", 0, 0, {0}},        {"Mul", "Mul DepthToSpace", 1, 0, {0}},
        {"Mul", "Mul DepthToSpace", 1, 4, {1, 1, 1, 1}}, {"Mul", "DepthToSpace Mul", 1, 5, {1, 1, 1, 1, 1}},
        {"Mul", "DepthToSpace Mul", 1, 3, {2, 1, 1}},    {"Clip", "Clip DepthToSpace", 2, 0, {0}},
        {"Max", "DepthToSpace Max", 3, 0, {0}},          {"Softmax", "DepthToSpace Softmax", 0, 0, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *inputs[4] = {spread(&rig)};
        for (int k = 1; k <= cases[i].count; k++)
            inputs[k] = rig_number(&rig, cases[i].rank, cases[i].dims, 0.25 * k - 0.5);
        rig_output(&rig, rig_node(&rig, cases[i].op, 1 + cases[i].count, inputs, 0, NULL));
        rig_expect_pass(&rig, convolve_upsampling, PASS_ONCE, cases[i].nodes, NEAR);
    }
}
END_TEST

START_TEST(what_others_read_stays_spread)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = spread(&rig);
    rig_output(&rig, rig_op2(&rig, "Add", rig_op1(&rig, "Relu", x), x));
    rig_expect_pass(&rig, convolve_upsampling, PASS_ONCE, "DepthToSpace Relu Add", NEAR);
    rig_begin(&rig);
    x = spread(&rig);
    rig_output(&rig, rig_op2(&rig, "Mul", x, x));
    rig_expect_pass(&rig, convolve_upsampling, PASS_ONCE, "DepthToSpace Mul", NEAR);
}
END_TEST

/* --- numbers of channels --------------------------------------------------------------------------------- */

static struct value *normalise(struct rig *rig, struct value *x, int64_t channels, double factor)
{
    struct value *inputs[] = {x, rig_number(rig, 1, &channels, factor), rig_weights(rig, 1, &channels),
                              rig_weights(rig, 1, &channels), rig_number(rig, 1, &channels, 1)};
    return rig_node(rig, "BatchNormalization", 5, inputs, 0, NULL);
}

/* Behind what says what rank it has, and behind what does not. */
START_TEST(the_rank_is_that_of_what_comes_before)
{
    static const char *const ops[] = {"AveragePool", "LpPool", "MaxPool", "Relu"};
    static const int64_t window[] = {2, 2};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        struct rig rig;
        const struct attribute kernel = ATTRIBUTE_LIST("kernel_shape", 2, window);
        rig_begin(&rig);
        struct value *x = rig_input(&rig, DIMS(1, 4, 6, 6));
        x = rig_node(&rig, ops[i], 1, &x, strstr(ops[i], "Pool") ? 1 : 0, &kernel);
        rig_output(&rig, normalise(&rig, x, 4, 0.5));
        const char *left = strcmp(ops[i], "LpPool") ? "Mul Add" : "BatchNormalization";
        rig_expect_pass(&rig, merge_affine, PASS_ONCE, region_format(&rig.maker.region, "%s %s", ops[i], left), NEAR);
    }
}
END_TEST

START_TEST(chains_end_where_float32_does)
{
    static const struct {
        double second, added;
        const char *nodes;
    } cases[] = {{0.5, 1, "Mul Add"}, {1e30, 1, "Mul Add Mul Add"}, {1e7, 3e38, "Mul Add"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = normalise(&rig, rig_input(&rig, DIMS(2, 4)), 4, 1e10);
        x = rig_with(&rig, "Mul", x, cases[i].second);
        rig_output(&rig, rig_with(&rig, "Add", x, cases[i].added));
        struct graph *graph = rig.graph;
        struct error error = {0};
        graph_set_inputs(graph, rig.input_count, rig.inputs);
        graph_set_outputs(graph, rig.output_count, rig.outputs);
        ck_assert(run_pass_alone(merge_affine, graph, evaluator_of(&plain_evaluation), &error) == STATUS_OK);
        char text[80] = "";
        for (int n = 0; n < graph->node_count; n++)
            strcat(strcat(text, n ? " " : ""), graph->nodes[n]->op->name);
        ck_assert_str_eq(text, cases[i].nodes);
        region_free(&rig.maker.region);
    }
}
END_TEST

/* A normalisation alone, and what is read by others too. */
START_TEST(what_others_read_is_made)
{
    struct rig rig;
    rig_begin(&rig);
    rig_output(&rig, normalise(&rig, rig_input(&rig, DIMS(3, 4, 2)), 4, 0.5));
    rig_expect_pass(&rig, merge_affine, PASS_ONCE, "Mul Add", NEAR);
    rig_begin(&rig);
    rig_output(&rig, rig_with(&rig, "Mul", rig_input(&rig, DIMS(3, 4, 2)), 3));
    rig_expect_pass(&rig, merge_affine, PASS_ONCE, "Mul", NEAR);
    rig_begin(&rig);
    struct value *x = normalise(&rig, rig_input(&rig, DIMS(3, 4, 2)), 4, 0.5);
    rig_output(&rig, rig_op2(&rig, "Add", rig_with(&rig, "Mul", x, 3), x));
    rig_expect_pass(&rig, merge_affine, PASS_ONCE, "Mul Add Mul Add", NEAR);
}
END_TEST

Suite *quantize_choice_suite(void)
{
    Suite *suite = suite_create("quantize choice");
    TCase *layers = tcase_create("layers"), *rewritten = tcase_create("passes");
    tcase_add_test(layers, layers_are_as_deep_as_their_sums_are_exact);
    tcase_add_test(layers, products_are_of_an_activation_by_constant_columns);
    tcase_add_test(layers, tables_are_large_and_gathered_by_rows);
    tcase_add_test(layers, float16_has_a_range);
    tcase_add_test(layers, small_constants_stay_as_they_are);
    tcase_add_test(layers, pairs_are_of_what_is_deep);
    tcase_add_test(layers, scales_are_halved_where_all_of_them_fit);
    tcase_add_test(layers, a_single_scale_is_not_worth_halving);
    tcase_add_test(layers, blocks_along_the_depth);
    tcase_add_test(layers, attributes_that_say_something_stay);
    tcase_add_test(rewritten, windows_that_tile_the_output_are_spread);
    tcase_add_test(rewritten, windows_of_one_axis_stay);
    tcase_add_test(rewritten, elementwise_operators_go_before_the_spreading);
    tcase_add_test(rewritten, what_others_read_stays_spread);
    tcase_add_test(rewritten, the_rank_is_that_of_what_comes_before);
    tcase_add_test(rewritten, chains_end_where_float32_does);
    tcase_add_test(rewritten, what_others_read_is_made);
    suite_add_tcase(suite, layers);
    suite_add_tcase(suite, rewritten);
    return suite;
}
