/* The passes over steps beside what only a run can tell: sizes that depend on data, and bodies of loops. */
#include "tests/pass_test.h"
#include "tests/suites.h"

static struct value *transpose(struct rig *rig, struct value *x)
{
    return rig_op1(rig, "Transpose", x);
}

static struct value *concat(struct rig *rig, struct value *a, struct value *b)
{
    return rig_node(rig, "Concat", 2, (struct value *[]){a, b}, 1, (struct attribute[]){ATTRIBUTE_I("axis", 0)});
}

static struct value *to_f32(struct rig *rig, struct value *x)
{
    return rig_node(rig, "Cast", 1, &x, 1, (struct attribute[]){ATTRIBUTE_I("to", DTYPE_F32)});
}

/* Copies and sums on both sides of where the sizes become known; a copy that is made before and read after. */
START_TEST(sizes_that_depend_on_data)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(4, 5)), *y = rig_op2(&rig, "MatMul", x, rig_weights(&rig, DIMS(5, 3)));
    struct value *turned = transpose(&rig, y), *before = rig_op1(&rig, "Exp", turned);
    struct value *places = rig_op1(&rig, "NonZero", rig_op1(&rig, "Relu", x));
    struct value *found = rig_op2(&rig, "GatherND", x, transpose(&rig, places)); /* those above 0 */
    struct value *doubled = concat(&rig, rig_op1(&rig, "Neg", found), rig_op2(&rig, "Add", found, found));
    rig_output(&rig, doubled);
    rig_output(&rig, concat(&rig, before, rig_op1(&rig, "Abs", turned)));
    rig_output(&rig, transpose(&rig, to_f32(&rig, transpose(&rig, places))));
    rig_expect(&rig, NULL, NULL, 0);
}
END_TEST

START_TEST(a_result_that_is_read_after_the_segment_alone)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(4, 5)), *y = rig_op2(&rig, "MatMul", x, rig_weights(&rig, DIMS(5, 3)));
    struct value *sum = rig_op1(&rig, "Relu", y), *parts = concat(&rig, sum, rig_op1(&rig, "Exp", sum));
    struct value *places = rig_op1(&rig, "NonZero", rig_op1(&rig, "Relu", x));
    struct value *count = rig_op1(&rig, "ReduceMax", to_f32(&rig, places)); /* 0 to 4 */
    rig_output(&rig, rig_op2(&rig, "Add", transpose(&rig, parts), count));
    rig_output(&rig, rig_op1(&rig, "Neg", y));
    rig_expect(&rig, NULL, NULL, 0);
}
END_TEST

/* next = transpose(concat(exp(rows of state), captured)); stacks the transposed state. */
static const struct graph *body(struct region *region)
{
    const int64_t square[] = {4, 4}, half[] = {2, 4};
    struct graph *graph = graph_create(region, "body");
    struct value *in[] = {
        graph_add_value(graph, "i", DTYPE_I64, 0, NULL), graph_add_value(graph, "go", DTYPE_BOOL, 0, NULL),
        graph_add_value(graph, "state", DTYPE_F32, 2, square), graph_add_value(graph, "captured", DTYPE_F32, 2, half)};
    struct value *rows = make_node(graph, "Slice", "rows", 4,
                                   (struct value *[]){in[2], make_ints(graph, "from", 1, (int64_t[]){1}),
                                                      make_ints(graph, "to", 1, (int64_t[]){3}),
                                                      make_ints(graph, "axis", 1, (int64_t[]){0})},
                                   0, NULL);
    struct value *parts[] = {make_node1(graph, "Tanh", "tanh", rows), in[3]};
    struct value *joint =
        make_node(graph, "Concat", "joint", 2, parts, 1, (struct attribute[]){ATTRIBUTE_I("axis", 0)});
    struct value *out[] = {in[1], make_node1(graph, "Transpose", "next", joint),
                           make_node1(graph, "Transpose", "slice", in[2])};
    graph_set_inputs(graph, 4, in);
    graph_set_outputs(graph, 3, out);
    return graph;
}

START_TEST(bodies_of_loops)
{
    static const int64_t trips[] = {3};
    struct rig rig;
    rig_begin(&rig);
    struct value *x = rig_input(&rig, DIMS(4, 4)), *y = rig_input(&rig, DIMS(4, 2)), *outputs[2];
    struct value *start = transpose(&rig, rig_op1(&rig, "Exp", x)); /* read by the loop alone */
    struct value *captured = transpose(&rig, y);                    /* and beside it */
    struct value *trip = graph_add_constant(rig.graph, "trip", DTYPE_I64, 0, NULL, trips);
    const struct attribute attributes[] = {{.name = "body", .kind = ATTRIBUTE_GRAPH, .graph = body(&rig.maker.region)},
                                           ATTRIBUTE_I("captures", 1)};
    for (int i = 0; i < 2; i++)
        outputs[i] = graph_add_value(rig.graph, i ? "stack" : "last", DTYPE_NONE, -1, NULL);
    graph_add_node(rig.graph, op_find("", "Loop"), NEWEST_OPSET, "loop", 4,
                   (struct value *[]){trip, NULL, start, captured}, 2, outputs, 2, attributes);
    rig_output(&rig, rig_op1(&rig, "Neg", transpose(&rig, outputs[0])));
    rig_output(&rig, transpose(&rig, rig_op1(&rig, "Abs", outputs[1])));
    rig_output(&rig, rig_op1(&rig, "Abs", captured));
    rig_expect(&rig, NULL, NULL, 0);
}
END_TEST

/* -> x: condition, state, a weight that is handed on, a shift that is handed on through an Identity, and one more scan
 * output, the weight. */
static struct graph *body_with_invariants(struct region *region)
{
    struct graph *graph = graph_create(region, "invariants");
    struct value *in[] = {
        graph_add_value(graph, "i", DTYPE_I64, 0, NULL),      graph_add_value(graph, "go", DTYPE_BOOL, 0, NULL),
        graph_add_value(graph, "state", DTYPE_F32, -1, NULL), graph_add_value(graph, "weight", DTYPE_F32, -1, NULL),
        graph_add_value(graph, "shift", DTYPE_F32, -1, NULL),
    };
    struct value *product[] = {in[2], in[3]};
    struct value *sum[] = {make_node(graph, "MatMul", "product", 2, product, 0, NULL), in[4]};
    struct value *out[] = {in[1], make_node(graph, "Add", "next", 2, sum, 0, NULL), in[3],
                           make_node1(graph, "Identity", "same", in[4]), in[3]};
    graph_set_inputs(graph, 5, in);
    graph_set_outputs(graph, 5, out);
    return graph;
}

static struct node *loop_with_invariants(struct rig *rig, struct value **outputs)
{
    static const int64_t trips[] = {3};
    rig_begin(rig);
    struct value *x = rig_input(rig, DIMS(2, 4)), *weight = rig_weights(rig, DIMS(4, 4));
    struct value *shift = rig_op1(rig, "Exp", rig_input(rig, DIMS(4)));
    struct value *trip = graph_add_constant(rig->graph, "trip", DTYPE_I64, 0, NULL, trips);
    const struct attribute attribute = {
        .name = "body", .kind = ATTRIBUTE_GRAPH, .graph = body_with_invariants(&rig->maker.region)};
    const struct attribute attributes[] = {attribute, ATTRIBUTE_I("captures", 0)};
    static const char *const names[] = {"last", "weight", "shift", "stack"};
    for (int i = 0; i < 4; i++)
        outputs[i] = graph_add_value(rig->graph, names[i], DTYPE_NONE, -1, NULL);
    return graph_add_node(rig->graph, op_find("", "Loop"), NEWEST_OPSET, "loop", 5,
                          (struct value *[]){trip, NULL, x, weight, shift}, 4, outputs, 2, attributes);
}

START_TEST(state_that_stays_is_none)
{
    struct rig rig;
    struct value *outputs[4];
    struct node *loop = loop_with_invariants(&rig, outputs);
    rig_output(&rig, outputs[0]);
    rig_output(&rig, rig_op1(&rig, "Neg", outputs[1]));
    rig_output(&rig, rig_op1(&rig, "Neg", outputs[2]));
    rig_output(&rig, outputs[3]);
    rig_expect(&rig, "Exp Loop Neg", NULL, 0); /* a Neg is known without a run */

    loop = loop_with_invariants(&rig, outputs);
    graph_set_outputs(rig.graph, 2, (struct value *[]){outputs[0], outputs[2]}); /* the shift is read from outside */
    struct error error = {0};
    ck_assert(run_pass_alone(free_loop_invariants, rig.graph, (struct evaluator){0}, &error) == STATUS_OK);
    const struct graph *inside = node_attribute(loop, "body")->graph;
    ck_assert_int_eq(loop->input_count, 4);
    ck_assert_int_eq(loop->output_count, 3);
    ck_assert_int_eq(node_int(loop, "captures"), 0);
    ck_assert_int_eq(inside->input_count, 4);
    ck_assert_int_eq(inside->output_count, 4);
    ck_assert_ptr_nonnull(inside->nodes[0]->inputs[1]->data);
    ck_assert_ptr_eq(inside->nodes[inside->node_count - 1]->inputs[0], inside->nodes[0]->inputs[1]);
    region_free(&rig.maker.region);

    loop = loop_with_invariants(&rig, outputs);
    graph_set_outputs(rig.graph, 1, outputs);
    ck_assert(run_pass_alone(free_loop_invariants, rig.graph, (struct evaluator){0}, &error) == STATUS_OK);
    ck_assert_int_eq(loop->input_count, 4); /* trip count, none, state, and the shift as a capture */
    ck_assert_int_eq(loop->output_count, 2);
    ck_assert_int_eq(node_int(loop, "captures"), 1);
    region_free(&rig.maker.region);
}
END_TEST

START_TEST(the_same_of_a_scan)
{
    struct rig rig;
    rig_begin(&rig);
    struct graph *graph = graph_create(&rig.maker.region, "scanned");
    struct value *in[] = {graph_add_value(graph, "weight", DTYPE_F32, -1, NULL),
                          graph_add_value(graph, "state", DTYPE_F32, -1, NULL),
                          graph_add_value(graph, "slice", DTYPE_F32, -1, NULL)};
    struct value *sum[] = {in[1], make_node(graph, "MatMul", "product", 2, (struct value *[]){in[2], in[0]}, 0, NULL)};
    struct value *next = make_node(graph, "Add", "next", 2, sum, 0, NULL);
    graph_set_inputs(graph, 3, in);
    graph_set_outputs(graph, 3, (struct value *[]){in[0], next, next});
    const struct attribute body_of = {.name = "body", .kind = ATTRIBUTE_GRAPH, .graph = graph};
    const struct attribute attributes[] = {body_of, ATTRIBUTE_I("captures", 0), ATTRIBUTE_I("num_scan_inputs", 1)};
    struct value *weight = rig_weights(&rig, DIMS(4, 4)), *start = rig_input(&rig, DIMS(2, 4)), *outputs[3];
    struct value *inputs[] = {weight, start, rig_input(&rig, DIMS(3, 2, 4))};
    for (int i = 0; i < 3; i++)
        outputs[i] = graph_add_value(rig.graph, (const char *const[]){"a", "b", "c"}[i], DTYPE_NONE, -1, NULL);
    struct node *scan =
        graph_add_node(rig.graph, op_find("", "Scan"), NEWEST_OPSET, "scan", 3, inputs, 3, outputs, 3, attributes);
    rig_output(&rig, outputs[1]);
    rig_output(&rig, outputs[2]);
    graph_set_outputs(rig.graph, 2, outputs + 1);
    struct error error = {0};
    struct graph *whole = graph_clone(rig.graph, &rig.maker.region);
    ck_assert(run_pass_alone(free_loop_invariants, whole, (struct evaluator){0}, &error) == STATUS_OK);
    ck_assert_int_eq(whole->nodes[0]->input_count, 2);
    ck_assert_int_eq(whole->nodes[0]->output_count, 2);
    ck_assert_int_eq(scan->input_count, 3); /* the body of a model is shared: it is not changed */
    ck_assert_ptr_eq(graph->outputs[0], in[0]);
    rig_expect(&rig, "Scan", NULL, 0);
}
END_TEST

Suite *passes_dynamic_suite(void)
{
    Suite *suite = suite_create("passes_dynamic");
    TCase *tests = tcase_create("dynamic");
    tcase_add_test(tests, sizes_that_depend_on_data);
    tcase_add_test(tests, a_result_that_is_read_after_the_segment_alone);
    tcase_add_test(tests, bodies_of_loops);
    tcase_add_test(tests, state_that_stays_is_none);
    tcase_add_test(tests, the_same_of_a_scan);
    suite_add_tcase(suite, tests);
    return suite;
}
