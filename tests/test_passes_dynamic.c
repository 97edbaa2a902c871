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

Suite *passes_dynamic_suite(void)
{
    Suite *suite = suite_create("passes_dynamic");
    TCase *tests = tcase_create("dynamic");
    tcase_add_test(tests, sizes_that_depend_on_data);
    tcase_add_test(tests, a_result_that_is_read_after_the_segment_alone);
    tcase_add_test(tests, bodies_of_loops);
    suite_add_tcase(suite, tests);
    return suite;
}
