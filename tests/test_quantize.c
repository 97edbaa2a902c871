/* What quantize_apply makes of a graph, and that it computes nearly the same. */
#include "graph/quantize/quantize.h"
#include "kernels/convert.h"
#include "tests/pass_test.h"
#include "tests/suites.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct quantize_plan plan_of(struct rig *rig, enum quantize_form form, int bits, int layers)
{
    struct quantize_plan plan = {
        .graph = rig->graph, .region = &rig->maker.region, .form = form, .bits = bits, .block = 32};
    struct error error = {0};
    graph_set_inputs(rig->graph, rig->input_count, rig->inputs);
    graph_set_outputs(rig->graph, rig->output_count, rig->outputs);
    ck_assert_msg(quantize_find(&plan, &error) == STATUS_OK, "%s", error.text);
    ck_assert_int_eq(plan.count, layers);
    for (int i = 0; i < plan.count; i++)
        plan.layers[i].quantum = quantum_of((struct range){-4, 4});
    return plan;
}

static struct graph *applied(struct quantize_plan *plan, struct region *region)
{
    struct graph *graph;
    struct error error = {0};
    region_init(region, &default_allocator);
    ck_assert_msg(quantize_apply(plan, region, &graph, &error) == STATUS_OK, "%s", error.text);
    return graph;
}

static void expect_nodes(const struct graph *graph, const char *nodes)
{
    char text[800];
    size_t used = 0;
    for (int i = 0; i < graph->node_count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? " " : "", graph->nodes[i]->op->name);
    ck_assert_str_eq(text, nodes);
}

/* One output of the graph, for inputs of numbers between -1 and 1. */
static const infer_tensor *run_graph(struct rig *rig, struct graph *graph, struct running *running)
{
    static infer_tensor output;
    infer_tensor inputs[RIG_MOST];
    struct maker maker = {.graph = graph};
    region_init(&maker.region, &default_allocator);
    memset(inputs, 0, sizeof inputs);
    for (int i = 0; i < graph->input_count; i++) {
        int64_t elements;
        ck_assert(shape_elements(graph->inputs[i]->rank, rig->input_dims[i], &elements));
        float *data = region_array(&rig->maker.region, (size_t)elements, sizeof *data);
        for (int64_t k = 0; k < elements; k++)
            data[k] = (float)sin(0.7 * (double)(k + 1) + (double)(k * k % 17));
        inputs[i] = infer_input(data, INFER_FLOAT32, graph->inputs[i]->rank, rig->input_dims[i]);
    }
    output = infer_output(NULL, 0);
    infer_model *model =
        maker_finish(&maker, graph->input_count, graph->inputs, graph->output_count, graph->outputs, NULL);
    *running = running_begin(model, NULL);
    run_well(running->context, inputs, (size_t)graph->input_count, &output, 1);
    infer_tensor *kept = region_allocate(&rig->maker.region, sizeof *kept);
    void *data = region_allocate(&rig->maker.region, output.bytes);
    memcpy(data, output.data, output.bytes);
    *kept = output;
    kept->data = data;
    running_end(running, &maker);
    return kept;
}

/* The graph with the plan's layers made small: its nodes, and how far its output is from before, as a part of the
 * greatest number. */
static void expect(struct rig *rig, struct quantize_plan *plan, const char *nodes, double tolerance)
{
    struct region region;
    struct running running;
    struct graph *graph = applied(plan, &region);
    expect_nodes(graph, nodes);
    const infer_tensor *before = run_graph(rig, rig->graph, &running), *after = run_graph(rig, graph, &running);
    const float *a = before->data, *b = after->data;
    double greatest = 0, error = 0;
    ck_assert_uint_eq(before->bytes, after->bytes);
    for (size_t i = 0; i < before->bytes / sizeof(float); i++) {
        greatest = fmax(greatest, fabs((double)a[i]));
        error = fmax(error, fabs((double)a[i] - (double)b[i]));
    }
    ck_assert_double_gt(error, 0);
    ck_assert_double_lt(error, tolerance * greatest);
    region_free(&region);
}

static void finish(struct rig *rig)
{
    region_free(&rig->maker.region);
}

START_TEST(a_residual_block)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_op1(&rig, "Relu", rig_input(&rig, DIMS(1, 4, 6, 6)));
    struct value *inputs[] = {x, rig_weights(&rig, DIMS(4, 4, 1, 1)), rig_weights(&rig, DIMS(4))};
    rig_output(&rig, rig_op2(&rig, "Add", x, rig_node(&rig, "Conv", 3, inputs, 0, NULL)));
    struct quantize_plan plan = plan_of(&rig, QUANTIZE_STATIC, 8, 1);
    /* Both the convolution and the sum read what was quantised. */
    expect(&rig, &plan, "Relu QuantizeLinear DequantizeLinear DequantizeLinear Conv Add", 0.05);
    struct region region;
    const struct graph *graph = applied(&plan, &region);
    ck_assert_ptr_eq(graph->nodes[5]->inputs[0], graph->nodes[4]->inputs[0]);
    region_free(&region);
    plan.layers[0].weights_only = true;
    expect(&rig, &plan, "Relu DequantizeLinear Conv Add", 0.02);
    finish(&rig);
}
END_TEST

/* Of a plan with so many points, all chosen. */
static struct quantize_plan plan_with_points(struct rig *rig, int layers, int points)
{
    struct quantize_plan plan = plan_of(rig, QUANTIZE_STATIC, 8, layers);
    ck_assert_int_eq(plan.point_count, points);
    for (int i = 0; i < points; i++) {
        plan.points[i].chosen = true;
        plan.points[i].quantum = quantum_of((struct range){-4, 4});
    }
    return plan;
}

/* The sum rides on the product made last; the other one lies in memory. */
START_TEST(the_other_operand_of_a_sum)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(1, 4, 6, 6));
    struct value *a = rig_op2(&rig, "Conv", x, rig_weights(&rig, DIMS(4, 4, 1, 1)));
    struct value *b = rig_op2(&rig, "Conv", x, rig_weights(&rig, DIMS(4, 4, 1, 1)));
    rig_output(&rig, rig_op1(&rig, "Relu", rig_op2(&rig, "Add", a, b)));
    struct quantize_plan plan = plan_with_points(&rig, 2, 1);
    ck_assert_ptr_eq(plan.points[0].value, a);
    expect(&rig, &plan,
           "QuantizeLinear DequantizeLinear DequantizeLinear Conv QuantizeLinear DequantizeLinear DequantizeLinear "
           "Conv Add Relu",
           0.05);
    plan.layers[0].chosen = false; /* then it does not come of integers */
    expect(&rig, &plan, "QuantizeLinear DequantizeLinear Conv DequantizeLinear Conv Add Relu", 0.05);
    finish(&rig);
}
END_TEST

/* The gate of a squeeze-and-excite block: the image that is pooled and scaled is quantised, its means are not. */
START_TEST(what_is_pooled_over_whole_images)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(1, 4, 6, 6));
    struct value *image = rig_op1(&rig, "Relu", rig_op2(&rig, "Conv", x, rig_weights(&rig, DIMS(4, 4, 1, 1))));
    struct value *gate = rig_op1(&rig, "Sigmoid", rig_op1(&rig, "GlobalAveragePool", image));
    rig_output(&rig, rig_op2(&rig, "Mul", image, gate));
    struct quantize_plan plan = plan_of(&rig, QUANTIZE_STATIC, 8, 1);
    for (int i = 0; i < plan.point_count; i++) {
        plan.points[i].chosen = plan.points[i].value == image;
        plan.points[i].quantum = quantum_of((struct range){0, 4});
    }
    expect(&rig, &plan,
           "QuantizeLinear DequantizeLinear DequantizeLinear Conv Relu QuantizeLinear DequantizeLinear "
           "GlobalAveragePool Sigmoid Mul",
           0.05);
    finish(&rig);
}
END_TEST

/* What the last concatenation is quantised with goes for all that is in it. */
START_TEST(dense_blocks)
{
    struct rig rig;
    rig_begin(&rig);
    const struct attribute axis = ATTRIBUTE_I("axis", 1);
    struct value *x = rig_op2(&rig, "Conv", rig_input(&rig, DIMS(1, 4, 6, 6)), rig_weights(&rig, DIMS(4, 4, 1, 1)));
    for (int i = 0; i < 3; i++) {
        struct value *y = rig_op1(&rig, "Relu", rig_op2(&rig, "Mul", x, rig_weights(&rig, DIMS(4 + 2 * i, 1, 1))));
        y = rig_op2(&rig, "Conv", y, rig_weights(&rig, DIMS(2, 4 + 2 * i, 1, 1)));
        x = rig_node(&rig, "Concat", 2, (struct value *[]){x, y}, 1, &axis);
    }
    rig_output(&rig, rig_op1(&rig, "Tanh", x));
    struct quantize_plan plan = plan_with_points(&rig, 4, 7);
    for (int i = 0; i < plan.point_count; i++)
        plan.points[i].quantum = quantum_of((struct range){-4, 4 + i});
    struct region region;
    const struct graph *graph = applied(&plan, &region);
    const struct quantum last = plan.points[plan.point_count - 1].quantum;
    int concats = 0;
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = graph->nodes[i];
        for (int k = 0; k < node->input_count && is_op(node, "Concat"); k++) {
            const struct value *part = node->inputs[k];
            const struct node *maker = NULL;
            for (int j = 0; j < i; j++)
                maker = graph->nodes[j]->outputs[0] == part ? graph->nodes[j] : maker;
            ck_assert(is_op(maker, "DequantizeLinear"));
            ck_assert_float_eq(*(const float *)maker->inputs[1]->data, last.scale);
            concats++;
        }
    }
    ck_assert_int_eq(concats, 6);
    region_free(&region);
    finish(&rig);
}
END_TEST

START_TEST(windows_that_do_not_overlap)
{
    static const char *const expected[] = {"Conv Relu DepthToSpace", "ConvTranspose Relu"};
    for (int overlap = 0; overlap < 2; overlap++) {
        struct rig rig;
        struct running running;
        struct error error = {0};
        rig_begin(&rig);
        const int64_t strides[] = {overlap ? 1 : 2, 2};
        const struct attribute attributes[] = {ATTRIBUTE_LIST("strides", 2, strides)};
        struct value *inputs[] = {rig_input(&rig, DIMS(2, 3, 5, 4)), rig_weights(&rig, DIMS(3, 4, 2, 2)),
                                  rig_weights(&rig, DIMS(4))};
        rig_output(&rig, rig_op1(&rig, "Relu", rig_node(&rig, "ConvTranspose", 3, inputs, 1, attributes)));
        graph_set_inputs(rig.graph, rig.input_count, rig.inputs);
        graph_set_outputs(rig.graph, 1, rig.outputs);
        const infer_tensor *before = run_graph(&rig, rig.graph, &running);
        struct graph *spread = graph_clone(rig.graph, rig.graph->region);
        ck_assert_ptr_nonnull(spread);
        ck_assert(run_pass_alone(convolve_upsampling, spread, evaluator_of(&plain_evaluation), &error) == STATUS_OK);
        expect_nodes(spread, expected[overlap]);
        const infer_tensor *after = run_graph(&rig, spread, &running);
        ck_assert_uint_eq(before->bytes, after->bytes);
        for (size_t i = 0; i < before->bytes / sizeof(float); i++)
            ck_assert_float_eq_tol(((const float *)before->data)[i], ((const float *)after->data)[i], 1e-5F);
        finish(&rig);
    }
}
END_TEST

START_TEST(what_moves_is_quantised_where_it_comes_from)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_op1(&rig, "Relu", rig_input(&rig, DIMS(1, 4, 6, 6)));
    struct value *y = rig_op1(&rig, "Tanh", rig_input(&rig, DIMS(1, 2, 6, 6)));
    const struct attribute axis = ATTRIBUTE_I("axis", 1);
    struct value *both = rig_node(&rig, "Concat", 2, (struct value *[]){x, y}, 1, &axis);
    rig_output(&rig, rig_op2(&rig, "Conv", both, rig_weights(&rig, DIMS(4, 6, 3, 3))));
    struct quantize_plan plan = plan_of(&rig, QUANTIZE_STATIC, 8, 1);
    expect(&rig, &plan,
           "Relu QuantizeLinear DequantizeLinear Tanh QuantizeLinear DequantizeLinear Concat DequantizeLinear Conv",
           0.05);
    finish(&rig);
}
END_TEST

START_TEST(layers_that_share)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(3, 8)), *w = rig_weights(&rig, DIMS(8, 5));
    struct value *a = rig_op2(&rig, "MatMul", x, w), *b = rig_op2(&rig, "MatMul", x, w);
    rig_output(&rig, rig_op2(&rig, "Add", a, rig_op1(&rig, "Relu", b)));
    struct quantize_plan plan = plan_of(&rig, QUANTIZE_STATIC, 8, 2);
    expect(&rig, &plan, "QuantizeLinear DequantizeLinear DequantizeLinear MatMul MatMul Relu Add", 0.05);
    plan.layers[1].chosen = false; /* it reads numbers that nobody rounded */
    expect(&rig, &plan, "QuantizeLinear DequantizeLinear DequantizeLinear MatMul MatMul Relu Add", 0.05);
    struct region region;
    const struct graph *graph = applied(&plan, &region);
    ck_assert_ptr_eq(graph->nodes[4]->inputs[0], graph->inputs[0]);
    ck_assert_ptr_nonnull(graph->nodes[4]->inputs[1]->data);
    region_free(&region);
    finish(&rig);
}
END_TEST

START_TEST(products_and_tables_in_every_form)
{
    static const struct {
        enum quantize_form form;
        int bits, layers;
        double tolerance;
        const char *nodes;
    } cases[] = {
        {QUANTIZE_STATIC, 8, 2, 0.02,
         "Cast Gather Gather Cast Mul Tanh QuantizeLinear DequantizeLinear DequantizeLinear Gemm"},
        {QUANTIZE_DYNAMIC, 8, 2, 0.02,
         "Cast Gather Gather Cast Mul Tanh DynamicQuantizeLinear Transpose MatMulInteger Cast Mul Mul Add"},
        {QUANTIZE_WEIGHTS, 8, 2, 0.02, "Cast Gather Gather Cast Mul Tanh DequantizeLinear Gemm"},
        {QUANTIZE_WEIGHTS, 4, 2, 0.2, "Cast DequantizeLinear Gather Tanh DequantizeLinear Gemm"},
        {QUANTIZE_HALF, 16, 2, 1e-3, "Cast Cast Gather Cast Tanh Gemm"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        const struct attribute to = ATTRIBUTE_I("to", DTYPE_I64), turned = ATTRIBUTE_I("transB", 1);
        struct value *index = rig_input(&rig, DIMS(3)), *table = rig_weights(&rig, DIMS(200, 70));
        index = rig_node(&rig, "Cast", 1, &index, 1, &to);
        struct value *rows = rig_op1(&rig, "Tanh", rig_op2(&rig, "Gather", table, index));
        struct value *inputs[] = {rows, rig_weights(&rig, DIMS(9, 70)), rig_weights(&rig, DIMS(9))};
        rig_output(&rig, rig_node(&rig, "Gemm", 3, inputs, 1, &turned));
        struct quantize_plan plan = plan_of(&rig, cases[i].form, cases[i].bits, cases[i].layers);
        expect(&rig, &plan, cases[i].nodes, cases[i].tolerance);
        finish(&rig);
    }
}
END_TEST

START_TEST(weights_that_no_small_type_holds)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(2, 8)), *w = rig_weights(&rig, DIMS(8, 8));
    ((float *)(uintptr_t)w->data)[5] = 1e5f;
    rig_output(&rig, rig_op2(&rig, "MatMul", x, w));
    struct quantize_plan half = plan_of(&rig, QUANTIZE_HALF, 16, 1);
    ck_assert_str_eq(half.layers[0].why, "its weights pass the range of float16");
    ck_assert(!half.layers[0].chosen);
    ((float *)(uintptr_t)w->data)[5] = NAN;
    struct quantize_plan integer = plan_of(&rig, QUANTIZE_STATIC, 8, 1);
    ck_assert_str_eq(integer.layers[0].why, "its weights hold NaN or infinity");
    struct region region;
    expect_nodes(applied(&integer, &region), "MatMul");
    region_free(&region);
    finish(&rig);
}
END_TEST

/* The largest error of int8 is half of a scale; four bits find the scale with the least error. */
START_TEST(weights_by_channel_and_by_block)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(2, 70)), *w = rig_weights(&rig, DIMS(70, 6));
    rig_output(&rig, rig_op2(&rig, "MatMul", x, w));
    struct error error = {0};
    struct quantize_plan eight = plan_of(&rig, QUANTIZE_WEIGHTS, 8, 1), four = plan_of(&rig, QUANTIZE_WEIGHTS, 4, 1);
    ck_assert(quantize_weights(&eight, &eight.layers[0], &error) == STATUS_OK);
    ck_assert(quantize_weights(&four, &four.layers[0], &error) == STATUS_OK);
    ck_assert_int_eq(quantize_blocks(&four, &four.layers[0]), 3);
    const float *numbers = w->data;
    for (int64_t k = 0; k < 70; k++)
        for (int64_t n = 0; n < 6; n++) {
            int64_t at = k * 6 + n;
            float scale = eight.layers[0].scales[n], fine = f16_to_f32(four.layers[0].half_scales[k / 32 * 6 + n]);
            int nibble = ((const uint8_t *)four.layers[0].narrow)[at / 2] >> (at % 2 ? 4 : 0) & 15;
            ck_assert_float_le(fabsf((float)((const int8_t *)eight.layers[0].narrow)[at] * scale - numbers[at]),
                               scale * 0.501f);
            /* What passes the range is cut off by no more than a third. */
            ck_assert_float_le(fabsf((float)(nibble < 8 ? nibble : nibble - 16) * fine - numbers[at]),
                               fabsf(fine) * 1.01f);
        }
    finish(&rig);
}
END_TEST

/* Where float16 has room for the scales: rounded up by no more than a part of 1024. */
/* The largest sum of two neighbours of one sign; neighbours are `step` apart, and so are terms. */
static int largest_pair(const int8_t *first, int64_t terms, int64_t step)
{
    int largest = 0;
    for (int64_t i = 0; i + 1 < terms; i += 2) {
        int a = first[i * step], b = first[(i + 1) * step];
        int above = (a > 0 ? a : 0) + (b > 0 ? b : 0), below = (a < 0 ? a : 0) + (b < 0 ? b : 0);
        largest = above > largest ? above : -below > largest ? -below : largest;
    }
    return largest;
}

/* Weights that meet integers in pairs: those of neighbouring input channels, but for depthwise convolutions. */
START_TEST(pairs_of_weights)
{
    struct rig rig;
    struct error error = {0};
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(1, 4, 6, 6));
    const struct attribute group = ATTRIBUTE_I("group", 4);
    struct value *y = rig_op2(&rig, "Conv", x, rig_weights(&rig, DIMS(4, 4, 3, 3)));
    y = rig_node(&rig, "Conv", 2, (struct value *[]){y, rig_weights(&rig, DIMS(4, 1, 3, 3))}, 1, &group);
    rig_output(&rig, rig_op2(&rig, "MatMul", y, rig_weights(&rig, DIMS(4, 5))));
    for (int full = 0; full < 2; full++) {
        struct quantize_plan plan = plan_of(&rig, QUANTIZE_STATIC, 8, 3);
        plan.in_pairs = !full;
        int most = 0, alone = 0;
        for (int i = 0; i < 3; i++)
            ck_assert(quantize_weights(&plan, &plan.layers[i], &error) == STATUS_OK);
        for (int o = 0; o < 4; o++)
            for (int tap = 0; tap < 9; tap++) {
                int pair = largest_pair((const int8_t *)plan.layers[0].narrow + o * 36 + tap, 4, 9);
                most = pair > most ? pair : most;
            }
        for (int n = 0; n < 5; n++) {
            int pair = largest_pair((const int8_t *)plan.layers[2].narrow + n, 4, 5);
            most = pair > most ? pair : most;
        }
        for (int k = 0; k < 36; k++) {
            int magnitude = abs(((const int8_t *)plan.layers[1].narrow)[k]);
            alone = magnitude > alone ? magnitude : alone;
        }
        ck_assert_int_eq(most > 128, full);
        ck_assert_int_ge(most, 126);
        ck_assert_int_eq(alone, 127);
    }
    finish(&rig);
}
END_TEST

START_TEST(scales_in_two_bytes)
{
    for (int small = 0; small < 2; small++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *w = rig_weights(&rig, DIMS(5, 3, 3, 3));
        for (int i = 0; small && i < 27; i++)
            ((float *)w->data)[i] *= 1e-3F;
        rig_output(&rig, rig_op2(&rig, "Conv", rig_input(&rig, DIMS(1, 3, 6, 6)), w));
        struct quantize_plan plan = plan_of(&rig, QUANTIZE_STATIC, 8, 1);
        struct region region;
        const struct graph *graph = applied(&plan, &region);
        const struct value *scales = graph->nodes[2]->inputs[1];
        ck_assert_int_eq(scales->dtype, small ? DTYPE_F32 : DTYPE_F16);
        for (int o = 0; o < 5; o++) {
            float largest = 0, scale = plan.layers[0].scales[o];
            for (int i = 0; i < 27; i++)
                largest = fmaxf(largest, fabsf(((const float *)w->data)[o * 27 + i]));
            ck_assert_float_ge(scale * 127.001F, largest);
            ck_assert_float_le(scale * 127, largest * (small ? 1.00001F : 1 + 1.F / 1024));
            if (!small)
                ck_assert_float_eq(f16_to_f32(((const uint16_t *)scales->data)[o]), scale);
        }
        region_free(&region);
        expect(&rig, &plan, "QuantizeLinear DequantizeLinear DequantizeLinear Conv", 0.05);
        finish(&rig);
    }
}
END_TEST

/* Its weights alone; a layer without an activation. */
START_TEST(a_transposed_convolution)
{
    for (int form = QUANTIZE_STATIC; form <= QUANTIZE_WEIGHTS; form++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_input(&rig, DIMS(1, 4, 5, 5));
        const struct attribute group = ATTRIBUTE_I("group", 2);
        rig_output(&rig, rig_node(&rig, "ConvTranspose", 2, (struct value *[]){x, rig_weights(&rig, DIMS(4, 3, 2, 2))},
                                  1, &group));
        struct quantize_plan plan = plan_of(&rig, (enum quantize_form)form, 8, 1);
        ck_assert_ptr_null(plan.layers[0].input);
        expect(&rig, &plan, "DequantizeLinear ConvTranspose", 0.02);
        finish(&rig);
    }
}
END_TEST

/* Where scales are found in each run: with a bias and without one, of images and of lines. */
START_TEST(a_convolution_that_is_quantised_at_run_time)
{
    static const int64_t strides[] = {2, 2}, ones[] = {1, 1};
    const struct attribute attributes[] = {ATTRIBUTE_LIST("strides", 2, strides), ATTRIBUTE_I("group", 2),
                                           ATTRIBUTE_LIST("dilations", 2, ones)};
    for (int bias = 0; bias < 2; bias++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *inputs[] = {rig_input(&rig, DIMS(1, 6, 7, 7)), rig_weights(&rig, DIMS(4, 3, 3, 3)),
                                  bias ? rig_weights(&rig, DIMS(4)) : NULL};
        struct value *y = rig_node(&rig, "Conv", 2 + bias, inputs, 3, attributes);
        rig_output(&rig, y);
        struct quantize_plan plan = plan_of(&rig, QUANTIZE_DYNAMIC, 8, 1);
        expect(&rig, &plan,
               bias ? "DynamicQuantizeLinear ConvInteger Cast Mul Mul Add"
                    : "DynamicQuantizeLinear ConvInteger Cast Mul Mul",
               0.02);
        struct region region;
        ck_assert_int_eq(applied(&plan, &region)->nodes[1]->attribute_count, 2);
        region_free(&region);
        plan.layers[0].weights_only = true;
        expect(&rig, &plan, "DequantizeLinear Conv", 0.02);
        finish(&rig);
    }
    struct rig rig;
    rig_begin(&rig);
    struct value *lines = rig_input(&rig, DIMS(2, 5, 19)), *w = rig_weights(&rig, DIMS(4, 5, 3));
    rig_output(&rig, rig_op2(&rig, "Conv", lines, w));
    struct quantize_plan plan = plan_of(&rig, QUANTIZE_DYNAMIC, 8, 1);
    expect(&rig, &plan, "DynamicQuantizeLinear ConvInteger Cast Mul Mul", 0.02);
    /* Of inputs whose means are known, what rounding the weights adds is taken back. */
    const double means[] = {0.1, -0.2, 0.1, 0.2, -0.1};
    plan = plan_of(&rig, QUANTIZE_DYNAMIC, 8, 1);
    plan.layers[0].means = means;
    plan.layers[0].mean_count = 5;
    expect(&rig, &plan, "DynamicQuantizeLinear ConvInteger Cast Mul Mul Add", 0.02);
    finish(&rig);
}
END_TEST

/* Sums too short to be worth it, and a bias that is not known: their weights alone. */
START_TEST(convolutions_that_gain_nothing_at_run_time)
{
    for (int known = 0; known < 2; known++) {
        struct rig rig;
        rig_begin(&rig);
        const struct attribute group = ATTRIBUTE_I("group", 4);
        struct value *x = rig_input(&rig, DIMS(1, 4, 9)), *w = rig_weights(&rig, DIMS(4, known ? 1 : 4, 3));
        struct value *inputs[] = {x, w, known ? rig_weights(&rig, DIMS(4)) : rig_input(&rig, DIMS(4))};
        rig_output(&rig, rig_node(&rig, "Conv", 3, inputs, known, &group));
        struct quantize_plan plan = plan_of(&rig, QUANTIZE_DYNAMIC, 8, 1);
        ck_assert(plan.layers[0].weights_only && plan.layers[0].why && !plan.layers[0].input);
        expect(&rig, &plan, "DequantizeLinear Conv", 0.02);
        finish(&rig);
    }
}
END_TEST

/* Two layers of the same weights: these are there once. */
START_TEST(weights_that_dynamic_layers_share)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *w = rig_weights(&rig, DIMS(6, 6)), *x = rig_input(&rig, DIMS(3, 6));
    rig_output(&rig, rig_op2(&rig, "MatMul", rig_op1(&rig, "Tanh", rig_op2(&rig, "MatMul", x, w)), w));
    struct quantize_plan plan = plan_of(&rig, QUANTIZE_DYNAMIC, 8, 2);
    expect(&rig, &plan,
           "DynamicQuantizeLinear MatMulInteger Cast Mul Mul Tanh DynamicQuantizeLinear MatMulInteger Cast Mul Mul",
           0.03);
    struct region region;
    const struct graph *graph = applied(&plan, &region);
    ck_assert_ptr_eq(graph->nodes[1]->inputs[1], graph->nodes[7]->inputs[1]);
    region_free(&region);
    finish(&rig);
}
END_TEST

static struct quantize_plan plan_of_recurrent(struct rig *rig, const char *op, int64_t gates, const char *direction)
{
    const int64_t d = strcmp(direction, "bidirectional") == 0 ? 2 : 1, hidden = 5;
    const struct attribute attributes[] = {
        ATTRIBUTE_I("hidden_size", hidden),
        ATTRIBUTE_I("layout", 0),
        {.name = "direction", .kind = ATTRIBUTE_STRING, .count = strlen(direction), .string = direction}};
    rig_begin(rig);
    struct value *inputs[] = {rig_input(rig, DIMS(6, 2, 7)), rig_weights(rig, DIMS(d, gates * hidden, 7)),
                              rig_weights(rig, DIMS(d, gates * hidden, hidden)),
                              rig_weights(rig, DIMS(d, 2 * gates * hidden))};
    rig_output(rig, rig_node(rig, op, 4, inputs, 3, attributes));
    return plan_of(rig, QUANTIZE_DYNAMIC, 8, 1);
}

/* Weights of both products in 8 bits with a scale a row of each direction; only an LSTM computes on them. */
START_TEST(recurrent_layers)
{
    static const char *const directions[] = {"forward", "reverse", "bidirectional"};
    for (int i = 0; i < 3; i++) {
        struct rig rig;
        struct quantize_plan plan = plan_of_recurrent(&rig, "LSTM", 4, directions[i]);
        expect(&rig, &plan, "DynamicQuantizeLSTM", 0.02);
        struct region region;
        const struct node *node = applied(&plan, &region)->nodes[0];
        ck_assert_int_eq(node->input_count, 12);
        ck_assert_int_eq(node->inputs[8]->dims[1], 20);
        ck_assert_ptr_null(node_attribute(node, "layout"));
        region_free(&region);
        plan.layers[0].weights_only = true;
        expect(&rig, &plan, "DequantizeLinear Reshape DequantizeLinear Reshape LSTM", 0.02);
        finish(&rig);
        plan = plan_of_recurrent(&rig, "GRU", 3, directions[i]);
        ck_assert(plan.layers[0].weights_only && plan.layers[0].why && !plan.layers[0].input);
        expect(&rig, &plan, "DequantizeLinear Reshape DequantizeLinear Reshape GRU", 0.02);
        ((float *)(uintptr_t)plan.layers[0].states->data)[3] = INFINITY;
        plan = plan_of(&rig, QUANTIZE_DYNAMIC, 8, 1);
        ck_assert(!plan.layers[0].chosen);
        finish(&rig);
    }
}
END_TEST

/* What windows are without saying so is left out, and nothing else. */
START_TEST(attributes_that_say_nothing)
{
    static const int64_t ones[] = {1, 1}, zeros[4], twos[] = {2, 2}, window[] = {3, 3};
    struct rig rig;
    rig_begin(&rig);
    const struct attribute plain[] = {ATTRIBUTE_LIST("kernel_shape", 2, window), ATTRIBUTE_LIST("strides", 2, ones),
                                      ATTRIBUTE_LIST("dilations", 2, ones), ATTRIBUTE_LIST("pads", 4, zeros),
                                      ATTRIBUTE_I("group", 1)};
    const struct attribute strided[] = {ATTRIBUTE_LIST("kernel_shape", 2, window), ATTRIBUTE_LIST("strides", 2, twos),
                                        ATTRIBUTE_LIST("pads", 4, zeros)};
    struct value *x = rig_input(&rig, DIMS(1, 2, 9, 9));
    struct value *y = rig_node(&rig, "Conv", 2, (struct value *[]){x, rig_weights(&rig, DIMS(3, 2, 3, 3))}, 5, plain);
    rig_output(&rig, rig_node(&rig, "MaxPool", 1, &y, 3, strided));
    struct quantize_plan plan = plan_of(&rig, QUANTIZE_WEIGHTS, 8, 1);
    struct region region;
    const struct graph *graph = applied(&plan, &region);
    ck_assert_int_eq(graph->nodes[1]->attribute_count, 0);
    ck_assert_int_eq(graph->nodes[2]->attribute_count, 2);
    region_free(&region);
    expect(&rig, &plan, "DequantizeLinear Conv MaxPool", 0.02);
    finish(&rig);
}
END_TEST

/* A BatchNormalization behind a pool, whose rank the pool does not declare, with a Mul and an Add behind it. */
static struct value *normalised(struct rig *rig, struct value *x)
{
    struct value *inputs[5] = {x};
    for (int i = 1; i < 4; i++)
        inputs[i] = rig_weights(rig, DIMS(4));
    inputs[4] = rig_number(rig, DIMS(4), 0.5);
    return rig_node(rig, "BatchNormalization", 5, inputs, 0, NULL);
}

START_TEST(numbers_of_channels_become_two)
{
    static const char *const expected[] = {"MaxPool Mul Add", "MaxPool Mul Add Relu Mul Add"};
    for (int twice = 0; twice < 2; twice++) {
        static const int64_t window[] = {2, 2};
        const struct attribute kernel = ATTRIBUTE_LIST("kernel_shape", 2, window);
        struct rig rig;
        struct running running;
        struct error error = {0};
        rig_begin(&rig);
        struct value *x = rig_input(&rig, DIMS(1, 4, 6, 6));
        struct value *y = normalised(&rig, rig_node(&rig, "MaxPool", 1, &x, 1, &kernel));
        if (twice) /* what is read before the end is made too */
            rig_output(&rig, rig_op1(&rig, "Relu", y));
        y = rig_op2(&rig, "Mul", y, rig_weights(&rig, DIMS(4, 1, 1)));
        rig_output(&rig, rig_op2(&rig, "Add", rig_weights(&rig, DIMS(1, 4, 1, 1)), y));
        graph_set_inputs(rig.graph, rig.input_count, rig.inputs);
        graph_set_outputs(rig.graph, 1, &rig.outputs[twice]);
        if (twice)
            graph_set_outputs(rig.graph, 2, rig.outputs);
        const infer_tensor *before = run_graph(&rig, rig.graph, &running);
        struct graph *merged = graph_clone(rig.graph, rig.graph->region);
        ck_assert_ptr_nonnull(merged);
        ck_assert(run_pass_alone(merge_affine, merged, evaluator_of(&plain_evaluation), &error) == STATUS_OK);
        expect_nodes(merged, expected[twice]);
        const infer_tensor *after = run_graph(&rig, merged, &running);
        ck_assert_uint_eq(before->bytes, after->bytes);
        for (size_t i = 0; i < before->bytes / sizeof(float); i++)
            ck_assert_float_eq_tol(((const float *)before->data)[i], ((const float *)after->data)[i], 1e-5F);
        finish(&rig);
    }
}
END_TEST

/* A branch with weights of its own. */
START_TEST(graphs_inside)
{
    for (int form = QUANTIZE_WEIGHTS; form <= QUANTIZE_HALF; form++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = rig_input(&rig, DIMS(3, 70));
        struct graph *branches[2];
        for (int i = 0; i < 2; i++) {
            struct graph *branch = branches[i] = graph_create(&rig.maker.region, "branch");
            struct value *in = graph_add_value(branch, "in", DTYPE_F32, x->rank, x->dims);
            const struct value *like = rig_weights(&rig, DIMS(70, 40));
            struct value *w = graph_add_constant(branch, "w", DTYPE_F32, 2, like->dims, like->data);
            struct value *y = make_node2(branch, "MatMul", "y", in, w);
            graph_set_inputs(branch, 1, &in);
            graph_set_outputs(branch, 1, &y);
        }
        const struct attribute attributes[] = {{.name = "then_branch", .kind = ATTRIBUTE_GRAPH, .graph = branches[0]},
                                               {.name = "else_branch", .kind = ATTRIBUTE_GRAPH, .graph = branches[1]}};
        const struct attribute to = ATTRIBUTE_I("to", DTYPE_BOOL);
        const int64_t none = 1;
        struct value *first = rig_node(&rig, "Cast", 1, (struct value *[]){rig_input(&rig, 1, &none)}, 1, &to);
        rig_output(&rig, rig_node(&rig, "If", 2, (struct value *[]){first, x}, 2, attributes));
        /* The constants are also in the graph around, where nobody reads them. */
        struct quantize_plan plan = plan_of(&rig, (enum quantize_form)form, 8, form == QUANTIZE_HALF ? 3 : 1);
        expect(&rig, &plan, "Cast If", 0.02);
        struct region region;
        const struct node *node = applied(&plan, &region)->nodes[1];
        expect_nodes(node->attributes[1].graph, form == QUANTIZE_HALF ? "Cast MatMul" : "DequantizeLinear MatMul");
        region_free(&region);
        finish(&rig);
    }
}
END_TEST

/* Of a grouped convolution: outputs 0 and 1 read inputs 0 and 1, outputs 2 and 3 the others. */
START_TEST(rounding_shifts_no_mean)
{
    static const double means[] = {1, -2, 3, 0.5};
    struct rig rig;
    rig_begin(&rig);
    const struct attribute two = ATTRIBUTE_I("group", 2);
    struct value *w = rig_weights(&rig, DIMS(4, 2, 3, 1)), *bias = rig_weights(&rig, DIMS(4));
    struct value *inputs[] = {rig_input(&rig, DIMS(1, 4, 6, 6)), w, bias};
    rig_output(&rig, rig_node(&rig, "Conv", 3, inputs, 1, &two));
    struct quantize_plan plan = plan_of(&rig, QUANTIZE_WEIGHTS, 8, 1);
    plan.layers[0].means = means;
    plan.layers[0].mean_count = 4;
    expect(&rig, &plan, "DequantizeLinear Conv", 0.02);
    struct region region;
    const struct graph *graph = applied(&plan, &region);
    const float *numbers = w->data, *added = graph->nodes[1]->inputs[2]->data;
    for (int o = 0; o < 4; o++) {
        double shift = 0;
        for (int k = 0; k < 6; k++) {
            int at = o * 6 + k;
            double lost =
                (double)numbers[at] - (double)plan.layers[0].scales[o] * ((const int8_t *)plan.layers[0].narrow)[at];
            shift += lost * means[o / 2 * 2 + k / 3];
        }
        ck_assert_double_eq_tol((double)added[o] - (double)((const float *)bias->data)[o], shift, 1e-6);
        ck_assert_double_ne(shift, 0);
    }
    region_free(&region);
    finish(&rig);
}
END_TEST

START_TEST(products_without_a_bias_get_one)
{
    static const double means[40] = {1, 1, -1, 2};
    for (int bits = 4; bits <= 8; bits += 4) {
        struct rig rig;
        rig_begin(&rig);
        struct value *w = rig_weights(&rig, DIMS(40, 3));
        rig_output(&rig, rig_op2(&rig, "MatMul", rig_input(&rig, DIMS(2, 40)), w));
        struct quantize_plan plan = plan_of(&rig, QUANTIZE_WEIGHTS, bits, 1);
        plan.layers[0].means = means;
        plan.layers[0].mean_count = 40;
        expect(&rig, &plan, "DequantizeLinear MatMul Add", 0.2);
        for (int n = 0; n < 3; n++) {
            double shift = 0;
            for (int k = 0; k < 4; k++) {
                int at = k * 3 + n, nibble = ((const uint8_t *)plan.layers[0].narrow)[at / 2] >> (at % 2 ? 4 : 0) & 15;
                double small =
                    bits == 8 ? (double)plan.layers[0].scales[n] * ((const int8_t *)plan.layers[0].narrow)[at]
                              : (double)f16_to_f32(plan.layers[0].half_scales[n]) * (nibble < 8 ? nibble : nibble - 16);
                shift += ((double)((const float *)w->data)[at] - small) * means[k];
            }
            ck_assert_double_eq_tol((double)plan.layers[0].shift[n], shift, 1e-6);
        }
        finish(&rig);
    }
}
END_TEST

Suite *quantize_suite(void)
{
    Suite *suite = suite_create("quantize");
    TCase *graphs = tcase_create("graphs");
    tcase_add_test(graphs, a_residual_block);
    tcase_add_test(graphs, the_other_operand_of_a_sum);
    tcase_add_test(graphs, what_is_pooled_over_whole_images);
    tcase_add_test(graphs, dense_blocks);
    tcase_add_test(graphs, windows_that_do_not_overlap);
    tcase_add_test(graphs, what_moves_is_quantised_where_it_comes_from);
    tcase_add_test(graphs, layers_that_share);
    tcase_add_test(graphs, products_and_tables_in_every_form);
    tcase_add_test(graphs, weights_that_no_small_type_holds);
    tcase_add_test(graphs, weights_by_channel_and_by_block);
    tcase_add_test(graphs, pairs_of_weights);
    tcase_add_test(graphs, scales_in_two_bytes);
    tcase_add_test(graphs, a_transposed_convolution);
    tcase_add_test(graphs, a_convolution_that_is_quantised_at_run_time);
    tcase_add_test(graphs, convolutions_that_gain_nothing_at_run_time);
    tcase_add_test(graphs, weights_that_dynamic_layers_share);
    tcase_add_test(graphs, recurrent_layers);
    tcase_add_test(graphs, attributes_that_say_nothing);
    tcase_add_test(graphs, numbers_of_channels_become_two);
    tcase_add_test(graphs, graphs_inside);
    tcase_add_test(graphs, rounding_shifts_no_mean);
    tcase_add_test(graphs, products_without_a_bias_get_one);
    suite_add_tcase(suite, graphs);
    return suite;
}
