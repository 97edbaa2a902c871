#include "tests/pass_test.h"
#include "tests/suites.h"

#include <math.h>
#include <string.h>

#define NEAR 1e-5
/* Without passes images have their channels first, and the sums of a convolution may be added up in another order. */
#define OTHER_LAYOUT 1e-6

/* --- fold-weights ---------------------------------------------------------------------------------------- */

static struct value *conv(struct rig *rig, const char *op, struct value *x, struct value *w, struct value *bias,
                          int64_t group, int64_t pad)
{
    int64_t *pads = region_array(&rig->maker.region, 4, sizeof *pads);
    pads[0] = pads[1] = pads[2] = pads[3] = pad;
    const struct attribute attributes[] = {ATTRIBUTE_I("group", group), ATTRIBUTE_LIST("pads", 4, pads)};
    return rig_node(rig, op, bias ? 3 : 2, (struct value *[]){x, w, bias}, 2, attributes);
}

static struct value *batch(struct rig *rig, struct value *x, int64_t channels)
{
    struct value *scale = rig_weights(rig, DIMS(channels)), *bias = rig_weights(rig, DIMS(channels)),
                 *mean = rig_weights(rig, DIMS(channels)), *variance = rig_number(rig, DIMS(channels), 0.7);
    return rig_node(rig, "BatchNormalization", 5, (struct value *[]){x, scale, bias, mean, variance}, 0, NULL);
}

/* Normalised, scaled and shifted: by channel, by one number, from either side. */
static struct value *long_tail(struct rig *rig, struct value *y, int64_t channels)
{
    y = batch(rig, y, channels);
    y = rig_op2(rig, "Mul", rig_weights(rig, DIMS(1, channels, 1, 1)), y);
    y = rig_op2(rig, "Add", y, rig_weights(rig, DIMS(channels, 1, 1)));
    y = rig_op2(rig, "Div", y, rig_number(rig, DIMS(1), 3));
    return rig_op2(rig, "Sub", rig_number(rig, SCALAR_DIMS, 0.25), y);
}

START_TEST(numbers_after_a_convolution_go_into_it)
{
    for (int i = 0; i < 8; i++) {
        bool transposed = i & 1, grouped = i & 2, biased = i & 4;
        int64_t group = grouped ? 2 : 1, m = 6, c = 4;
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_input(&rig, DIMS(2, c, 5, 4));
        struct value *w =
            transposed ? rig_weights(&rig, DIMS(c, m / group, 3, 3)) : rig_weights(&rig, DIMS(m, c / group, 3, 3));
        struct value *y = conv(&rig, transposed ? "ConvTranspose" : "Conv", x, w,
                               biased ? rig_weights(&rig, DIMS(m)) : NULL, group, 1);
        rig_output(&rig, long_tail(&rig, y, m));
        rig_expect(&rig, transposed ? "ConvTranspose" : "Conv", NULL, NEAR);
    }
}
END_TEST

/* Opset 7: numbers for each element of the image. */
START_TEST(a_normalisation_by_element_stays)
{
    struct rig rig;
    rig_begin(&rig);
    const struct attribute by_element[] = {ATTRIBUTE_I("spatial", 0)};
    struct value *y = conv(&rig, "Conv", rig_input(&rig, DIMS(1, 2, 3, 3)), rig_weights(&rig, DIMS(2, 2, 1, 1)), NULL,
                           1, 0),
                 *inputs[5] = {y};
    for (int i = 1; i < 5; i++)
        inputs[i] = rig_number(&rig, DIMS(2, 3, 3), 0.5 + i);
    y = rig_node(&rig, "BatchNormalization", 5, inputs, 1, by_element);
    rig.graph->nodes[rig.graph->node_count - 1]->version = 7;
    rig_output(&rig, y);
    rig_expect(&rig, "Conv BatchNormalization", "Conv BatchNormalization", NEAR);
}
END_TEST

START_TEST(folded_nodes_keep_their_sources)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(1, 2, 3, 3));
    struct value *y = conv(&rig, "Conv", x, rig_weights(&rig, DIMS(2, 2, 1, 1)), NULL, 1, 0), *scaled, *shifted;
    scaled = rig_op2(&rig, "Mul", y, rig_number(&rig, DIMS(1), 2));
    shifted = rig_op2(&rig, "Add", scaled, rig_number(&rig, DIMS(1), 2));
    rig_output(&rig, shifted);
    const char *sources = region_format(&rig.maker.region, "%s %s %s", y->name, scaled->name, shifted->name);
    rig_expect_sources(&rig, 0, sources);
    rig_expect(&rig, "Conv", "Conv", NEAR);
}
END_TEST

START_TEST(numbers_that_may_broadcast_stay_outside)
{
    static const struct {
        int rank;
        int64_t dims[5];
    } shapes[] = {{1, {3}}, {4, {1, 1, 1, 3}}, {5, {1, 1, 1, 1, 1}}, {4, {2, 3, 1, 1}}, {3, {1, 3, 1}}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_input(&rig, DIMS(1, 2, 3, 3));
        struct value *y = conv(&rig, "Conv", x, rig_weights(&rig, DIMS(3, 2, 1, 1)), NULL, 1, 0);
        rig_output(&rig, rig_op2(&rig, "Mul", y, rig_weights(&rig, shapes[i].rank, shapes[i].dims)));
        rig_expect(&rig, "Conv Mul", "Conv Mul", 0);
    }
}
END_TEST

START_TEST(a_result_that_others_read_stays)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(1, 2, 3, 3));
    struct value *y = conv(&rig, "Conv", x, rig_weights(&rig, DIMS(3, 2, 1, 1)), NULL, 1, 0);
    rig_output(&rig, y);
    rig_output(&rig, rig_op2(&rig, "Mul", y, rig_number(&rig, DIMS(1), 2)));
    rig_expect(&rig, "Conv Mul", "Conv Mul", 0);
}
END_TEST

START_TEST(gemm_takes_in_its_own_factors_and_what_follows)
{
    for (int i = 0; i < 16; i++) {
        bool ta = i & 1, tb = i & 2, biased = i & 4;
        struct rig rig;
        rig_begin(&rig);
        struct value *x = ta ? rig_input(&rig, DIMS(3, 4)) : rig_input(&rig, DIMS(4, 3));
        struct value *w = tb ? rig_weights(&rig, DIMS(5, 3)) : rig_weights(&rig, DIMS(3, 5));
        struct value *c = i & 8 ? rig_number(&rig, DIMS(1), 0.7) : rig_weights(&rig, DIMS(1, 5));
        const struct attribute attributes[] = {ATTRIBUTE_I("transA", ta), ATTRIBUTE_I("transB", tb),
                                               ATTRIBUTE_F("alpha", 0.5f), ATTRIBUTE_F("beta", -2)};
        struct value *y = rig_node(&rig, "Gemm", biased ? 3 : 2, (struct value *[]){x, w, c}, 4, attributes);
        y = batch(&rig, y, 5);
        y = rig_op2(&rig, "Mul", y, rig_weights(&rig, DIMS(5)));
        rig_output(&rig, rig_op2(&rig, "Add", y, rig_weights(&rig, DIMS(1, 5))));
        rig_expect(&rig, "Gemm", "Gemm", NEAR);
    }
}
END_TEST

START_TEST(matmul_takes_in_factors_and_its_add_the_rest)
{
    for (int biased = 0; biased < 2; biased++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_open_input(&rig, DIMS(2, 4, 3));
        struct value *y = rig_op2(&rig, "MatMul", x, rig_weights(&rig, DIMS(3, 5)));
        if (biased)
            y = rig_op2(&rig, "Add", rig_weights(&rig, DIMS(5)), y);
        y = rig_op2(&rig, "Mul", y, rig_weights(&rig, DIMS(5)));
        y = rig_op2(&rig, "Div", y, rig_number(&rig, SCALAR_DIMS, 4));
        if (biased)
            y = rig_op2(&rig, "Sub", y, rig_weights(&rig, DIMS(1, 1, 5)));
        rig_output(&rig, y);
        rig_expect(&rig, biased ? "MatMul Add" : "MatMul", NULL, NEAR);
    }
}
END_TEST

/* What is shifted before a convolution is not shifted in its padding. */
START_TEST(numbers_before_a_convolution_go_into_it)
{
    for (int i = 0; i < 8; i++) {
        bool padded = i & 1, grouped = i & 2, normalised = i & 4;
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_input(&rig, DIMS(1, 4, 3, 3));
        x = rig_op2(&rig, "Sub", x, rig_weights(&rig, DIMS(4, 1, 1)));
        if (normalised)
            x = batch(&rig, x, 4);
        x = rig_op2(&rig, "Mul", rig_weights(&rig, DIMS(1, 4, 1, 1)), x);
        struct value *w = rig_weights(&rig, DIMS(6, grouped ? 2 : 4, 2, 2));
        struct value *y =
            conv(&rig, "Conv", x, w, grouped ? rig_weights(&rig, DIMS(6)) : NULL, grouped ? 2 : 1, padded);
        rig_output(&rig, long_tail(&rig, y, 6));
        rig_expect(&rig, !padded ? "Conv" : normalised ? "Sub Mul Add Conv" : "Sub Conv", NULL, NEAR);
    }
}
END_TEST

START_TEST(numbers_before_a_transposed_convolution_scale_it)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(1, 4, 3, 3));
    x = rig_op2(&rig, "Add", x, rig_weights(&rig, DIMS(4, 1, 1)));
    x = rig_op2(&rig, "Mul", x, rig_weights(&rig, DIMS(1, 4, 1, 1)));
    rig_output(&rig, conv(&rig, "ConvTranspose", x, rig_weights(&rig, DIMS(4, 3, 2, 2)), NULL, 2, 0));
    rig_expect(&rig, "Add ConvTranspose", NULL, NEAR);
}
END_TEST

START_TEST(numbers_before_a_matrix_product_go_into_it)
{
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_input(&rig, DIMS(2, 4));
        x = rig_op2(&rig, "Mul", x, rig_weights(&rig, DIMS(4)));
        x = rig_op2(&rig, "Sub", rig_number(&rig, SCALAR_DIMS, 1.5), x);
        struct value *y = rig_op2(&rig, i ? "MatMul" : "Gemm", x, rig_weights(&rig, DIMS(4, 3)));
        rig_output(&rig, rig_op2(&rig, "Add", y, rig_weights(&rig, DIMS(3))));
        rig_expect(&rig, i ? "MatMul Add" : "Gemm", NULL, NEAR);
    }
}
END_TEST

/* A grey picture takes on the constant's three channels: without it the convolution would have one too few. */
START_TEST(a_constant_that_repeats_the_input_stays)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(1, 1, 3, 3)), *row = rig_open_input(&rig, DIMS(2, 1)), *y;
    x = rig_op2(&rig, "Mul", x, rig_weights(&rig, DIMS(1, 3, 1, 1)));
    y = conv(&rig, "Conv", x, rig_weights(&rig, DIMS(2, 3, 2, 2)), NULL, 1, 0);
    row = rig_op2(&rig, "Mul", row, rig_weights(&rig, DIMS(4)));
    rig_output(&rig, y);
    rig_output(&rig, rig_op2(&rig, "MatMul", row, rig_weights(&rig, DIMS(4, 3))));
    rig_expect(&rig, "Mul Conv Mul MatMul", NULL, OTHER_LAYOUT);
}
END_TEST

/* Without the factor the input would have an axis too few. */
START_TEST(a_constant_that_adds_an_axis_stays)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(3, 5, 5));
    x = rig_op2(&rig, "Mul", x, rig_number(&rig, DIMS(1, 1, 1, 1), 3));
    rig_output(&rig, conv(&rig, "Conv", x, rig_weights(&rig, DIMS(2, 3, 2, 2)), NULL, 1, 0));
    rig_expect(&rig, "Mul Conv", "Mul Conv", OTHER_LAYOUT);
}
END_TEST

/* Float16 ends at 65504, and loses digits below 2^-14. */
START_TEST(folding_keeps_the_range_of_the_type)
{
    static const struct {
        enum dtype dtype;
        double factor;
        const char *left;
    } cases[] = {
        {DTYPE_F16, 3e4, "Conv Mul"},      {DTYPE_F16, 1e-5, "Conv Mul"},
        {DTYPE_F16, 100, "Conv"},          {DTYPE_F16, 0, "Conv"},
        {DTYPE_F32, 3e4, "Conv"},          {DTYPE_F32, 3e38, "Conv Mul"},
        {DTYPE_F32, INFINITY, "Conv Mul"}, {DTYPE_F32, (double)NAN, "Conv Mul"},
        {DTYPE_F64, 1e300, "Conv"},        {DTYPE_BF16, 3, "Conv"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        rig.dtype = cases[i].dtype;
        struct value *x = rig_input(&rig, DIMS(1, 2, 3, 3));
        struct value *y =
            conv(&rig, "Conv", x, rig_number(&rig, DIMS(3, 2, 1, 1), 3), rig_number(&rig, DIMS(3), 0), 1, 0);
        rig_output(&rig, rig_op2(&rig, "Mul", y, rig_number(&rig, DIMS(1), cases[i].factor)));
        double tolerance = cases[i].dtype == DTYPE_F16 ? 1e-3 : cases[i].dtype == DTYPE_BF16 ? 1e-2 : NEAR;
        rig_expect(&rig, cases[i].left, NULL, tolerance);
    }
}
END_TEST

/* The same before the product, where each channel has a factor of its own. */
START_TEST(factors_by_channel_keep_the_range_of_the_type)
{
    static const float factors[][2] = {{1, 100}, {1, 4e4f}, {4e4f, 1}};
    for (int i = 0; i < 6; i++) {
        bool transposed = i & 1;
        struct rig rig;
        rig_begin(&rig);
        rig.dtype = DTYPE_F16;
        struct value *x = rig_input(&rig, DIMS(1, 2, 3, 3));
        uint16_t *numbers = region_array(&rig.maker.region, 2, sizeof *numbers);
        for (int k = 0; k < 2; k++)
            numbers[k] = f32_to_f16(factors[i / 2][k]);
        x = rig_op2(&rig, "Mul", x, graph_add_constant(rig.graph, "factors", DTYPE_F16, DIMS(2, 1, 1), numbers));
        struct value *w = transposed ? rig_number(&rig, DIMS(2, 3, 1, 1), 3) : rig_number(&rig, DIMS(3, 2, 1, 1), 3);
        rig_output(&rig, conv(&rig, transposed ? "ConvTranspose" : "Conv", x, w, NULL, 1, 0));
        const char *folded = transposed ? "ConvTranspose" : "Conv",
                   *kept = transposed ? "Mul ConvTranspose" : "Mul Conv";
        rig_expect(&rig, i < 2 ? folded : kept, NULL, 1e-3);
    }
}
END_TEST

START_TEST(folding_stays_within_the_limit_on_constants)
{
    for (size_t fits = 0; fits < 2; fits++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_input(&rig, DIMS(1, 2, 3, 3));
        struct value *y = conv(&rig, "Conv", x, rig_weights(&rig, DIMS(3, 2, 1, 1)), NULL, 1, 0);
        rig_output(&rig, rig_op2(&rig, "Mul", y, rig_number(&rig, DIMS(1), 2)));
        rig_expect_limited(&rig, 3 * 2 * 4 + 3 * 4 - 1 + fits, fits ? "Conv" : "Conv Mul");
    }
}
END_TEST

START_TEST(weights_of_no_elements_or_no_floats_stay)
{
    static const struct {
        const char *op;
        enum dtype dtype;
        int64_t depth, columns;
    } cases[] = {{"MatMul", DTYPE_F32, 0, 3}, {"MatMul", DTYPE_F32, 3, 0}, {"Gemm", DTYPE_F32, 0, 3},
                 {"Gemm", DTYPE_F32, 3, 0},   {"MatMul", DTYPE_I32, 4, 3}, {"Gemm", DTYPE_I32, 4, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        rig.dtype = cases[i].dtype;
        struct value *x = rig_input(&rig, DIMS(2, cases[i].depth));
        struct value *w = rig_weights(&rig, DIMS(cases[i].depth, cases[i].columns));
        x = rig_with(&rig, "Mul", rig_op2(&rig, cases[i].op, rig_with(&rig, "Mul", x, 3), w), 2);
        rig_output(&rig, rig_op1(&rig, "Neg", x));
        rig_expect(&rig, NULL, NULL, 0);
    }
}
END_TEST

START_TEST(large_weights_that_others_read_are_not_doubled)
{
    for (int large = 0; large < 2; large++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *w = rig_weights(&rig, DIMS(large ? 256 : 128, 128, 1, 1));
        for (int i = 0; i < 2; i++) {
            struct value *y = conv(&rig, "Conv", rig_input(&rig, DIMS(1, 128, 1, 1)), w, NULL, 1, 0);
            rig_output(&rig, rig_op2(&rig, "Mul", y, rig_number(&rig, DIMS(1), 2 + i)));
        }
        rig_expect(&rig, large ? "Conv Mul Conv Mul" : "Conv Conv", NULL, NEAR);
    }
}
END_TEST

/* --- common-subexpressions ------------------------------------------------------------------------------- */

START_TEST(what_is_computed_twice_is_computed_once)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(2, 3)), *a[2];
    for (int i = 0; i < 2; i++) {
        /* Constants with the same content, attributes in another order. */
        const struct attribute attributes[] = {ATTRIBUTE_F("alpha", 0.3f), ATTRIBUTE_F("beta", 0.4f)},
                               turned[] = {attributes[1], attributes[0]};
        struct value *y = rig_op2(&rig, "Max", x, rig_number(&rig, DIMS(3), 0.25));
        a[i] = rig_node(&rig, "HardSigmoid", 1, &y, 2, i ? turned : attributes);
    }
    rig_output(&rig, rig_op2(&rig, "Sub", a[0], rig_op1(&rig, "Sqrt", a[1])));
    rig_expect(&rig, "Max HardSigmoid Sqrt Sub", NULL, 0);
}
END_TEST

START_TEST(merged_nodes_keep_all_sources)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(2, 3)), *a = rig_op1(&rig, "Sin", x), *b = rig_op1(&rig, "Sin", x);
    rig_output(&rig, rig_op2(&rig, "Sub", a, rig_op1(&rig, "Sqrt", b)));
    rig_expect_sources(&rig, 0, region_format(&rig.maker.region, "%s %s", b->name, a->name));
    rig_expect(&rig, "Sin Sqrt Sub", "Sin Sqrt Sub", 0);
}
END_TEST

START_TEST(what_differs_is_computed_apart)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(2, 4)), *parts[7], *y[5];
    const struct attribute some[] = {ATTRIBUTE_F("alpha", 0.3f)}, others[] = {ATTRIBUTE_F("alpha", 0.4f)};
    y[0] = rig_node(&rig, "Elu", 1, &x, 1, some);
    y[1] = rig_node(&rig, "Elu", 1, &x, 1, others);
    y[2] = rig_op2(&rig, "Max", x, rig_number(&rig, DIMS(4), 0.25));
    y[3] = rig_op2(&rig, "Max", x, rig_number(&rig, DIMS(1, 4), 0.25)); /* the same bytes, another shape */
    y[4] = rig_op2(&rig, "Max", x, rig_number(&rig, DIMS(4), 0.5));
    for (int i = 1; i < 5; i++)
        y[0] = rig_op2(&rig, "Sub", y[0], y[i]);
    rig_split(&rig, x, 1, 2, parts);
    rig_split(&rig, x, 1, 4, parts + 1);
    rig_split(&rig, x, 0, 2, parts + 5);
    rig_output(&rig, y[0]);
    rig_output(&rig, rig_op1(&rig, "Neg", parts[0]));
    rig_output(&rig, rig_op1(&rig, "Neg", parts[1]));
    rig_output(&rig, rig_op1(&rig, "Neg", parts[5]));
    rig_expect(&rig, "Elu Elu Max Max Max Sub Sub Sub Sub Split Split Split Neg Neg Neg", NULL, 0);
}
END_TEST

/* Attributes that are lists or tensors are compared by what they hold, not by where that is. */
START_TEST(lists_and_tensors_are_compared)
{
    static const char *const names[][1] = {{"LeakyRelu"}, {"LeakyRelu"}, {"LeakyRelu"}, {"Elu"}, {"Elu"}};
    static const float slopes[][1] = {{0.25f}, {0.25f}, {0.5f}, {0.5f}, {0.5f}}, filled[] = {1, 1, 2};
    struct rig rig;
    rig_begin(&rig);
    struct value *inputs[] = {rig_input(&rig, DIMS(2, 1, 3)), rig_weights(&rig, DIMS(1, 2, 3)),
                              rig_weights(&rig, DIMS(1, 2, 2))};
    struct value *sum = NULL, *shape = rig_op1(&rig, "Shape", rig_open_input(&rig, DIMS(1, 2)));
    for (int i = 0; i < 5; i++) {
        const struct attribute attributes[] = {
            ATTRIBUTE_I("hidden_size", 2),
            {.name = "activations", .kind = ATTRIBUTE_STRINGS, .count = 1, .strings = names[i]},
            {.name = "activation_alpha", .kind = ATTRIBUTE_FLOATS, .count = 1, .floats = slopes[i]}};
        struct value *y = rig_node(&rig, "RNN", 3, inputs, 3, attributes);
        sum = sum ? rig_op2(&rig, "Sub", rig_op1(&rig, "Sin", sum), y) : y;
    }
    rig_output(&rig, sum);
    sum = NULL;
    for (int i = 0; i < 3; i++) {
        struct value *tensor = graph_add_constant(rig.graph, region_format(&rig.maker.region, "fill%d", i), DTYPE_F32,
                                                  1, (int64_t[]){1}, &filled[i]);
        const struct attribute fill = {.name = "value", .kind = ATTRIBUTE_TENSOR, .tensor = tensor};
        struct value *y = rig_node(&rig, "ConstantOfShape", 1, &shape, 1, &fill);
        sum = sum ? rig_op2(&rig, "Sub", rig_op1(&rig, "Sin", sum), y) : y;
    }
    rig_output(&rig, sum);
    rig_expect(&rig,
               "Shape RNN Sin Sub RNN Sin Sub RNN Sin Sub Sin Sub ConstantOfShape Sin Sub ConstantOfShape Sin Sub",
               NULL, 1e-6);
}
END_TEST

START_TEST(all_outputs_of_a_node_are_merged)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(2, 4)), *a[2], *b[2];
    rig_split(&rig, x, 1, 2, a);
    rig_split(&rig, x, 1, 2, b);
    rig_output(&rig, rig_op2(&rig, "Sub", a[0], b[1]));
    rig_output(&rig, rig_op2(&rig, "Sub", a[1], b[0]));
    rig_expect(&rig, "Split Sub Sub", NULL, 0);
}
END_TEST

START_TEST(an_output_of_the_model_stays)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(2, 4)), *parts[2];
    rig_output(&rig, rig_op1(&rig, "Exp", x));
    rig_output(&rig, rig_op1(&rig, "Exp", x));
    rig_split(&rig, x, 1, 2, parts);
    rig_output(&rig, rig_op1(&rig, "Neg", parts[0]));
    rig_split(&rig, x, 1, 2, parts);
    rig_output(&rig, parts[1]);
    rig_expect(&rig, "Exp Identity Split Neg Split", NULL, 0);
}
END_TEST

START_TEST(random_numbers_are_not_merged)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(64)), *a = rig_op1(&rig, "RandomNormalLike", x);
    struct value *difference = rig_op2(&rig, "Equal", a, rig_op1(&rig, "RandomNormalLike", x));
    rig_output(&rig, rig_op1(&rig, "Not", difference));
    rig_expect(&rig, "RandomNormalLike RandomNormalLike Equal Not", NULL, 0);
}
END_TEST

/* --- fold-pad -------------------------------------------------------------------------------------------- */

static struct value *pad(struct rig *rig, struct value *x, int count, const int64_t *pads, double fill)
{
    struct value *inputs[] = {x, rig_ints(rig, count, pads), rig_number(rig, SCALAR_DIMS, fill)};
    return rig_node(rig, "Pad", 3, inputs, 0, NULL);
}

static struct value *pool(struct rig *rig, const char *op, struct value *x, const int64_t *kernel, const int64_t *pads,
                          const char *extra, int64_t number)
{
    const struct attribute attributes[] = {ATTRIBUTE_LIST("kernel_shape", 2, kernel), ATTRIBUTE_LIST("pads", 4, pads),
                                           ATTRIBUTE_I(extra, number)};
    return rig_node(rig, op, 1, &x, 3, attributes);
}

static const int64_t around[] = {0, 0, 1, 0, 0, 0, 2, 1}, in_channels[] = {0, 1, 1, 1, 0, 0, 1, 1},
                     cropping[] = {0, 0, -1, 1, 0, 0, 1, 1}, none[4], one_each[] = {1, 1, 1, 1},
                     two_by_three[] = {2, 3}, three[] = {3, 3};

struct pad_case {
    const int64_t *pads;
    double fill;
    const char *left;
};

START_TEST(zeros_before_a_convolution_become_its_padding)
{
    static const struct pad_case cases[] = {
        {around, 0, "Conv"}, {around, 0.5, "Pad Conv"}, {in_channels, 0, "Pad Conv"}, {cropping, 0, "Pad Conv"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int64_t own = 0; own < 2; own++) {
            struct rig rig;
            rig_begin(&rig);
            struct value *x = pad(&rig, rig_open_input(&rig, DIMS(1, 3, 5, 4)), 8, cases[i].pads, cases[i].fill);
            struct value *w = rig_weights(&rig, DIMS(2, cases[i].pads == in_channels ? 4 : 3, 3, 3));
            rig_output(&rig, conv(&rig, "Conv", x, w, NULL, 1, own));
            rig_expect(&rig, cases[i].left, cases[i].left, NEAR);
        }
}
END_TEST

START_TEST(padding_of_named_axes_and_modes_is_understood)
{
    static const int64_t axes[] = {-1, 2}, pads[] = {1, 2, 0, 1};
    for (int i = 0; i < 4; i++) {
        static const char *const modes[] = {"VALID", "NOTSET", "SAME_UPPER", "NOTSET"};
        struct rig rig;
        rig_begin(&rig);
        struct value *inputs[] = {rig_input(&rig, DIMS(1, 3, 5, 4)), rig_ints(&rig, 4, pads), NULL,
                                  rig_ints(&rig, 2, axes)};
        const struct attribute edge[] = {ATTRIBUTE_TEXT("mode", "edge")};
        struct attribute mode[] = {ATTRIBUTE_TEXT("auto_pad", "")};
        mode[0].string = modes[i];
        mode[0].count = strlen(modes[i]);
        struct value *padded = rig_node(&rig, "Pad", 4, inputs, i == 3, edge);
        rig_output(&rig,
                   rig_node(&rig, "Conv", 2, (struct value *[]){padded, rig_weights(&rig, DIMS(2, 3, 2, 2))}, 1, mode));
        rig_expect(&rig, i < 2 ? "Conv" : "Pad Conv", NULL, NEAR);
    }
}
END_TEST

START_TEST(zeros_before_a_mean_are_counted)
{
    static const struct {
        const int64_t *own;
        const char *extra;
        int64_t number;
        const char *left;
    } cases[] = {{none, "ceil_mode", 0, "AveragePool"},
                 {none, "ceil_mode", 1, "Pad AveragePool"},
                 {one_each, "ceil_mode", 0, "Pad AveragePool"}, /* some padding counts, some does not */
                 {one_each, "count_include_pad", 1, "AveragePool"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = pad(&rig, rig_input(&rig, DIMS(1, 2, 5, 4)), 8, around, 0);
        rig_output(&rig, pool(&rig, "AveragePool", x, two_by_three, cases[i].own, cases[i].extra, cases[i].number));
        rig_expect(&rig, cases[i].left, cases[i].left, NEAR);
    }
}
END_TEST

START_TEST(padding_before_a_maximum_must_not_win)
{
    static const struct {
        double fill;
        const char *before;
        const int64_t *kernel;
        const char *left;
    } cases[] = {{-INFINITY, "Neg", two_by_three, "Neg MaxPool"},
                 {0, "Neg", three, "Neg Pad MaxPool"},
                 {0, "Relu", three, "Relu MaxPool"},
                 {0, "Relu", two_by_three, "Relu Pad MaxPool"}, /* a window in the padding alone */
                 {0.25, "Relu", three, "Relu Pad MaxPool"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_op1(&rig, cases[i].before, rig_input(&rig, DIMS(1, 2, 5, 4)));
        x = pad(&rig, x, 8, around, cases[i].fill);
        rig_output(&rig, pool(&rig, "MaxPool", x, cases[i].kernel, none, "ceil_mode", 0));
        rig_expect(&rig, cases[i].left, cases[i].left, 0);
    }
}
END_TEST

START_TEST(positions_of_maxima_are_those_in_the_padded_tensor)
{
    struct rig rig;
    rig_begin(&rig);
    const struct attribute kernel[] = {ATTRIBUTE_LIST("kernel_shape", 2, three)};
    struct value *x = pad(&rig, rig_input(&rig, DIMS(1, 2, 5, 4)), 8, around, -INFINITY);
    struct value *outputs[] = {graph_add_value(rig.graph, "y", DTYPE_NONE, -1, NULL),
                               graph_add_value(rig.graph, "positions", DTYPE_NONE, -1, NULL)};
    graph_add_node(rig.graph, op_find("", "MaxPool"), NEWEST_OPSET, "pool", 1, &x, 2, outputs, 1, kernel);
    rig_output(&rig, outputs[0]);
    rig_output(&rig, outputs[1]);
    rig_expect(&rig, "Pad MaxPool", "Pad MaxPool", 0);
}
END_TEST

Suite *passes_simplify_suite(void)
{
    Suite *suite = suite_create("passes_simplify");
    TCase *weights = tcase_create("fold-weights");
    tcase_add_test(weights, numbers_after_a_convolution_go_into_it);
    tcase_add_test(weights, a_normalisation_by_element_stays);
    tcase_add_test(weights, folded_nodes_keep_their_sources);
    tcase_add_test(weights, numbers_that_may_broadcast_stay_outside);
    tcase_add_test(weights, a_result_that_others_read_stays);
    tcase_add_test(weights, gemm_takes_in_its_own_factors_and_what_follows);
    tcase_add_test(weights, matmul_takes_in_factors_and_its_add_the_rest);
    tcase_add_test(weights, numbers_before_a_convolution_go_into_it);
    tcase_add_test(weights, numbers_before_a_transposed_convolution_scale_it);
    tcase_add_test(weights, numbers_before_a_matrix_product_go_into_it);
    tcase_add_test(weights, a_constant_that_repeats_the_input_stays);
    tcase_add_test(weights, a_constant_that_adds_an_axis_stays);
    tcase_add_test(weights, folding_keeps_the_range_of_the_type);
    tcase_add_test(weights, factors_by_channel_keep_the_range_of_the_type);
    tcase_add_test(weights, folding_stays_within_the_limit_on_constants);
    tcase_add_test(weights, weights_of_no_elements_or_no_floats_stay);
    tcase_add_test(weights, large_weights_that_others_read_are_not_doubled);
    suite_add_tcase(suite, weights);
    TCase *common = tcase_create("common-subexpressions");
    tcase_add_test(common, what_is_computed_twice_is_computed_once);
    tcase_add_test(common, merged_nodes_keep_all_sources);
    tcase_add_test(common, what_differs_is_computed_apart);
    tcase_add_test(common, lists_and_tensors_are_compared);
    tcase_add_test(common, all_outputs_of_a_node_are_merged);
    tcase_add_test(common, an_output_of_the_model_stays);
    tcase_add_test(common, random_numbers_are_not_merged);
    suite_add_tcase(suite, common);
    TCase *pads = tcase_create("fold-pad");
    tcase_add_test(pads, zeros_before_a_convolution_become_its_padding);
    tcase_add_test(pads, padding_of_named_axes_and_modes_is_understood);
    tcase_add_test(pads, zeros_before_a_mean_are_counted);
    tcase_add_test(pads, padding_before_a_maximum_must_not_win);
    tcase_add_test(pads, positions_of_maxima_are_those_in_the_padded_tensor);
    suite_add_tcase(suite, pads);
    return suite;
}
