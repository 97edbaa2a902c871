/* Sequences and optionals: lists that are known while a program is made, in every way of running, and what is refused.
 */
#include "tests/model_maker.h"
#include "tests/suites.h"

#include <check.h>
#include <string.h>

/* A model in the making: x is its first input, of rank 2. */
struct rig {
    struct maker maker;
    struct graph *graph;
    struct value *inputs[4], *outputs[8];
    int input_count, output_count, names;
};

static const char *fresh(struct rig *rig, const char *start)
{
    return region_format(&rig->maker.region, "%s%d", start, rig->names++);
}

static void rig_begin(struct rig *rig)
{
    *rig = (struct rig){.maker = maker_start()};
    rig->graph = rig->maker.graph = graph_create(&rig->maker.region, "sequences");
}

static struct value *input(struct rig *rig, enum dtype dtype, int rank)
{
    int64_t dims[2];
    const char *name = fresh(rig, "x");
    for (int i = 0; i < rank; i++)
        dims[i] = graph_symbol(rig->graph, "");
    return rig->inputs[rig->input_count++] = graph_add_value(rig->graph, name, dtype, rank, dims);
}

static struct value *op(struct rig *rig, const char *name, int count, struct value *const *inputs, int attribute_count,
                        const struct attribute *attributes)
{
    return make_node(rig->graph, name, fresh(rig, name), count, inputs, attribute_count, attributes);
}

static struct value *op1(struct rig *rig, const char *name, struct value *a)
{
    return op(rig, name, 1, &a, 0, NULL);
}

static struct value *op2(struct rig *rig, const char *name, struct value *a, struct value *b)
{
    return op(rig, name, 2, (struct value *[]){a, b}, 0, NULL);
}

static struct value *op3(struct rig *rig, const char *name, struct value *a, struct value *b, struct value *c)
{
    return op(rig, name, 3, (struct value *[]){a, b, c}, 0, NULL);
}

static struct value *number(struct rig *rig, int64_t number)
{
    int64_t *data = region_allocate(&rig->maker.region, sizeof *data);
    *data = number;
    return graph_add_constant(rig->graph, fresh(rig, "n"), DTYPE_I64, 0, NULL, data);
}

static struct value *numbers(struct rig *rig, int count, const int64_t *list)
{
    return make_ints(rig->graph, fresh(rig, "l"), count, list);
}

static struct value *join(struct rig *rig, struct value *sequence, int64_t axis, int64_t new_axis)
{
    const struct attribute attributes[] = {ATTRIBUTE_I("axis", axis), ATTRIBUTE_I("new_axis", new_axis)};
    return op(rig, "ConcatFromSequence", 1, &sequence, 2, attributes);
}

static void output(struct rig *rig, struct value *value)
{
    rig->outputs[rig->output_count++] = value;
}

static struct running rig_start(struct rig *rig, int way)
{
    return begin_way(maker_finish(&rig->maker, rig->input_count, rig->inputs, rig->output_count, rig->outputs, NULL),
                     way);
}

/* A run fails, with a sentence that has these words. */
static void rig_refuse(struct rig *rig, const infer_tensor *inputs, const char *words)
{
    infer_error error = {0};
    infer_tensor results[8] = {{0}};
    struct running r = rig_start(rig, 0);
    ck_assert_int_ne(infer_run(r.context, inputs, (size_t)rig->input_count, results, (size_t)rig->output_count, &error),
                     INFER_OK);
    ck_assert_msg(strstr(error.message, words) != NULL, "'%s' is not in: %s", words, error.message);
    running_end(&r, &rig->maker);
}

static const float six[] = {1, 2, 3, 4, 5, 6};

static infer_tensor matrix(void)
{
    return f32_tensor(six, 2, 2, 3);
}

/* --- sequences ---------------------------------------------------------------------------------------------------- */

START_TEST(parts_of_a_tensor)
{
    static const int64_t sizes[] = {1, 0, 2};
    static const struct {
        int kind; /* of parts: 0 one by one, 1 without the axis, 2 of two, 3 of the sizes */
        int64_t at;
        int rank, count;
        float expected[4];
    } cases[] = {
        {0, 1, 2, 2, {2, 5}}, {0, -1, 2, 2, {3, 6}},       {1, 0, 1, 2, {1, 4}}, {2, 0, 2, 4, {1, 2, 4, 5}},
        {2, 1, 2, 2, {3, 6}}, {3, -1, 2, 4, {2, 3, 5, 6}}, {3, 1, 2, 0, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        const struct attribute attributes[] = {ATTRIBUTE_I("axis", i % 2 ? 1 : -1),
                                               ATTRIBUTE_I("keepdims", cases[i].kind != 1)};
        struct value *inputs[] = {input(&rig, DTYPE_F32, 2), NULL};
        if (cases[i].kind == 2)
            inputs[1] = number(&rig, 2);
        else if (cases[i].kind == 3)
            inputs[1] = numbers(&rig, 3, sizes);
        struct value *parts = op(&rig, "SplitToSequence", inputs[1] ? 2 : 1, inputs, 2, attributes);
        output(&rig, op2(&rig, "SequenceAt", parts, number(&rig, cases[i].at)));
        struct running r = rig_start(&rig, _i);
        struct results results;
        run_way(&r, _i, (infer_tensor[]){matrix()}, 1, &results, 1);
        ck_assert_int_eq(results.tensors[0].rank, cases[i].rank);
        expect_floats(&results.tensors[0], cases[i].count, cases[i].expected);
        running_end(&r, &rig.maker);
    }
}
END_TEST

START_TEST(put_together_along_an_axis_of_theirs_or_a_new_one)
{
    static const float rows[] = {1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6},
                       columns[] = {1, 2, 3, -1, -2, -3, 4, 5, 6, -4, -5, -6},
                       last[] = {1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6};
    static const struct {
        int64_t axis, new_axis;
        int rank;
        const float *expected;
    } cases[] = {{0, 0, 2, rows}, {-1, 0, 2, columns}, {0, 1, 3, rows}, {1, 1, 3, columns}, {-1, 1, 3, last}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig rig;
        rig_begin(&rig);
        struct value *x = input(&rig, DTYPE_F32, 2);
        struct value *sequence = op2(&rig, "SequenceConstruct", x, op1(&rig, "Neg", x));
        output(&rig, join(&rig, sequence, cases[i].axis, cases[i].new_axis));
        struct running r = rig_start(&rig, _i);
        struct results results;
        run_way(&r, _i, (infer_tensor[]){matrix()}, 1, &results, 1);
        ck_assert_int_eq(results.tensors[0].rank, cases[i].rank);
        expect_floats(&results.tensors[0], 12, cases[i].expected);
        running_end(&r, &rig.maker);
    }
}
END_TEST

/* Nothing; x; x, 2x; x, 3x, 2x; and without the one in front of the last: x, 2x. */
START_TEST(insertions_and_deletions)
{
    static const float expected[] = {1, 2, 3, 4, 5, 6, 2, 4, 6, 8, 10, 12};
    struct rig rig;
    rig_begin(&rig);
    struct value *x = input(&rig, DTYPE_F32, 2), *twice = op2(&rig, "Add", x, x), *thrice = op2(&rig, "Add", twice, x);
    struct value *s = op(&rig, "SequenceEmpty", 0, NULL, 0, NULL);
    s = op2(&rig, "SequenceInsert", s, x);
    s = op3(&rig, "SequenceInsert", s, twice, number(&rig, 1));
    struct value *three = s = op3(&rig, "SequenceInsert", s, thrice, number(&rig, -1));
    s = op2(&rig, "SequenceErase", s, number(&rig, -2));
    output(&rig, join(&rig, s, 0, 0));
    output(&rig, op1(&rig, "SequenceLength", three));
    output(&rig, op1(&rig, "SequenceLength", op1(&rig, "SequenceErase", three)));
    output(&rig, op2(&rig, "SequenceAt", op1(&rig, "SequenceErase", three), number(&rig, -1)));
    struct running r = rig_start(&rig, _i);
    struct results results;
    run_way(&r, _i, (infer_tensor[]){matrix()}, 1, &results, 4);
    expect_floats(&results.tensors[0], 12, expected);
    ck_assert_int_eq(*(const int64_t *)results.tensors[1].data, 3);
    ck_assert_int_eq(*(const int64_t *)results.tensors[2].data, 2);
    ck_assert(((const float *)results.tensors[3].data)[0] == 3);
    running_end(&r, &rig.maker);
}
END_TEST

/* The run tells which element is meant, and elements whose sizes only the run tells. */
START_TEST(positions_and_sizes_that_the_run_tells)
{
    static const float x[] = {0, 2, 0, 4, -5, 0}, negative[] = {0, -2, 0, -4, 5, 0}, squares[] = {0, 4, 0, 16, 25, 0};
    struct rig rig;
    rig_begin(&rig);
    struct value *data = input(&rig, DTYPE_F32, 2), *position = input(&rig, DTYPE_I64, 0);
    struct value *s = op3(&rig, "SequenceConstruct", data, op1(&rig, "Neg", data), op2(&rig, "Mul", data, data));
    struct value *where = op1(&rig, "NonZero", data); /* 2 x count: the program ends here too */
    struct value *places = op3(&rig, "SequenceConstruct", where, where, op2(&rig, "Add", where, where));
    output(&rig, op2(&rig, "SequenceAt", s, position));
    output(&rig, join(&rig, places, 1, 0));
    output(&rig, op1(&rig, "SequenceLength", s));
    struct running r = rig_start(&rig, _i);
    for (int64_t i = -1; i <= 1; i++) {
        infer_tensor inputs[] = {f32_tensor(x, 2, 2, 3), i64_tensor(&i, 0, 0)};
        struct results results;
        run_way(&r, _i, inputs, 2, &results, 3);
        expect_floats(&results.tensors[0], 6, i < 0 ? squares : i > 0 ? negative : x);
        ck_assert_int_eq(results.tensors[1].dims[1], 9);
        const int64_t *found = results.tensors[1].data;
        ck_assert_int_eq(found[1], 1); /* row of the second that is not 0 */
        ck_assert_int_eq(found[7], 2);
        ck_assert_int_eq(found[9], 1); /* and its column */
        ck_assert_int_eq(*(const int64_t *)results.tensors[2].data, 3);
    }
    running_end(&r, &rig.maker);
}
END_TEST

/* A branch that makes a sequence of what it captures, or hands one through. */
static const struct graph *branch(struct rig *rig, bool makes)
{
    struct graph *graph = graph_create(&rig->maker.region, makes ? "makes" : "hands");
    struct value *inputs[2] = {graph_add_value(graph, "tensor", DTYPE_F32, 2, (int64_t[]){-1, -1}),
                               graph_add_value(graph, "list", DTYPE_NONE, -1, NULL)};
    struct value *y = inputs[1];
    graph_symbol(graph, "");
    if (makes)
        y = make_node2(graph, "SequenceInsert", "longer", inputs[1], make_node1(graph, "Neg", "negative", inputs[0]));
    graph_set_inputs(graph, 2, inputs);
    graph_set_outputs(graph, 1, &y);
    return graph;
}

START_TEST(branches_take_and_make_sequences)
{
    static const float both[] = {1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6};
    struct rig rig;
    rig_begin(&rig);
    const struct attribute branches[] = {
        {.name = "then_branch", .kind = ATTRIBUTE_GRAPH, .graph = branch(&rig, true)},
        {.name = "else_branch", .kind = ATTRIBUTE_GRAPH, .graph = branch(&rig, false)},
    };
    struct value *x = input(&rig, DTYPE_F32, 2), *condition = input(&rig, DTYPE_BOOL, 0);
    struct value *one = op1(&rig, "Identity", op1(&rig, "SequenceConstruct", x));
    struct value *s = op(&rig, "If", 3, (struct value *[]){condition, x, one}, 2, branches);
    output(&rig, join(&rig, s, 0, 0));
    struct running r = rig_start(&rig, _i);
    for (uint8_t yes = 0; yes < 2; yes++) {
        infer_tensor inputs[] = {matrix(), {.data = &yes, .bytes = 1, .dtype = INFER_BOOL}};
        struct results results;
        run_way(&r, _i, inputs, 2, &results, 1);
        expect_floats(&results.tensors[0], yes ? 12 : 6, both);
    }
    running_end(&r, &rig.maker);
}
END_TEST

/* (a, b, c) to (a + b + c, a) for each a of a sequence and b of another. */
static const struct graph *map_body(struct rig *rig)
{
    struct graph *graph = graph_create(&rig->maker.region, "body");
    struct value *inputs[3], *outputs[2];
    const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++)
        inputs[i] = graph_add_value(graph, names[i], DTYPE_F32, -1, NULL);
    outputs[0] = make_node2(graph, "Add", "sum", make_node2(graph, "Add", "part", inputs[0], inputs[1]), inputs[2]);
    outputs[1] = inputs[0];
    graph_set_inputs(graph, 3, inputs);
    graph_set_outputs(graph, 2, outputs);
    return graph;
}

START_TEST(a_body_for_each_element)
{
    static const float ten = 10, expected[] = {13, 22, 16, 25, 19, 28}, third[] = {3, 6};
    struct rig rig;
    rig_begin(&rig);
    const struct attribute body = {.name = "body", .kind = ATTRIBUTE_GRAPH, .graph = map_body(&rig)};
    const struct attribute columns = ATTRIBUTE_I("axis", 1);
    struct value *x = input(&rig, DTYPE_F32, 2), *twice = op2(&rig, "Add", x, x);
    struct value *inputs[] = {op(&rig, "SplitToSequence", 1, &x, 1, &columns),
                              op(&rig, "SplitToSequence", 1, &twice, 1, &columns),
                              graph_add_constant(rig.graph, "c", DTYPE_F32, 0, NULL, &ten)};
    struct value *made[2] = {graph_add_value(rig.graph, "sums", DTYPE_NONE, -1, NULL),
                             graph_add_value(rig.graph, "same", DTYPE_NONE, -1, NULL)};
    graph_add_node(rig.graph, op_find("", "SequenceMap"), NEWEST_OPSET, "map", 3, inputs, 2, made, 1, &body);
    output(&rig, join(&rig, made[0], 0, 0));
    output(&rig, op2(&rig, "SequenceAt", made[1], number(&rig, 2)));
    struct running r = rig_start(&rig, _i);
    struct results results;
    run_way(&r, _i, (infer_tensor[]){matrix()}, 1, &results, 2);
    expect_floats(&results.tensors[0], 6, expected);
    expect_floats(&results.tensors[1], 2, third);
    running_end(&r, &rig.maker);
}
END_TEST

/* --- optionals ---------------------------------------------------------------------------------------------------- */

static bool truth(const infer_tensor *tensor)
{
    ck_assert_int_eq(tensor->dtype, INFER_BOOL);
    ck_assert_int_eq(tensor->rank, 0);
    return *(const uint8_t *)tensor->data;
}

START_TEST(optionals_of_tensors_and_of_sequences)
{
    struct rig rig;
    rig_begin(&rig);
    struct value *x = input(&rig, DTYPE_F32, 2), *full = op1(&rig, "Optional", op1(&rig, "Abs", x));
    struct value *empty = op(&rig, "Optional", 0, NULL, 0, NULL), *absent = NULL;
    struct value *many = op1(&rig, "Optional", op2(&rig, "SequenceConstruct", x, op1(&rig, "Neg", x)));
    output(&rig, op1(&rig, "OptionalGetElement", full));
    output(&rig, op2(&rig, "SequenceAt", op1(&rig, "OptionalGetElement", many), number(&rig, 0)));
    output(&rig, op1(&rig, "OptionalGetElement", x)); /* what is no optional is its own element */
    output(&rig, op1(&rig, "OptionalHasElement", full));
    output(&rig, op1(&rig, "OptionalHasElement", empty));
    output(&rig, op(&rig, "OptionalHasElement", 1, &absent, 0, NULL));
    output(&rig, op(&rig, "OptionalHasElement", 0, NULL, 0, NULL));
    output(&rig, op1(&rig, "OptionalHasElement", op1(&rig, "OptionalGetElement", many)));
    struct running r = rig_start(&rig, _i);
    struct results results;
    run_way(&r, _i, (infer_tensor[]){matrix()}, 1, &results, 8);
    for (int i = 0; i < 3; i++)
        expect_floats(&results.tensors[i], 6, six);
    ck_assert(truth(&results.tensors[3]));
    ck_assert(!truth(&results.tensors[4]));
    ck_assert(!truth(&results.tensors[5]));
    ck_assert(!truth(&results.tensors[6]));
    ck_assert(truth(&results.tensors[7]));
    running_end(&r, &rig.maker);
}
END_TEST

/* An optional that holds a sequence, read in a later part of the program than the one that makes it. */
START_TEST(an_optional_is_known_in_the_next_part)
{
    static const float negative[] = {-1, -2, -3, -4, -5, -6};
    struct rig rig;
    rig_begin(&rig);
    struct value *x = input(&rig, DTYPE_F32, 2), *position = input(&rig, DTYPE_I64, 0);
    struct value *held = op1(&rig, "Optional", op2(&rig, "SequenceConstruct", x, op1(&rig, "Neg", x)));
    struct value *none = op1(&rig, "Optional", op(&rig, "SequenceEmpty", 0, NULL, 0, NULL));
    struct value *first = op2(&rig, "SequenceAt", op1(&rig, "OptionalGetElement", held), position);
    output(&rig, op2(&rig, "SequenceAt", op1(&rig, "OptionalGetElement", held), number(&rig, 1)));
    output(&rig, first);
    output(&rig, op1(&rig, "SequenceLength", op1(&rig, "OptionalGetElement", none)));
    struct running r = rig_start(&rig, _i);
    struct results results;
    int64_t zero = 0;
    run_way(&r, _i, (infer_tensor[]){matrix(), i64_tensor(&zero, 0, 0)}, 2, &results, 3);
    expect_floats(&results.tensors[0], 6, negative);
    expect_floats(&results.tensors[1], 6, six);
    ck_assert_int_eq(*(const int64_t *)results.tensors[2].data, 0);
    running_end(&r, &rig.maker);
}
END_TEST

/* --- refusals ----------------------------------------------------------------------------------------------------- */

/* x, and a sequence of it. */
static struct value *start(struct rig *rig, struct value **x)
{
    rig_begin(rig);
    *x = input(rig, DTYPE_F32, 2);
    return op2(rig, "SequenceConstruct", *x, op1(rig, "Neg", *x));
}

static void refuse(struct rig *rig, struct value *made, const char *words)
{
    output(rig, made);
    rig_refuse(rig, (infer_tensor[]){matrix()}, words);
}

START_TEST(what_sequences_are_not_is_refused)
{
    struct rig rig;
    struct value *x, *s = start(&rig, &x);
    refuse(&rig, op2(&rig, "Add", x, s), "input 1 'SequenceConstruct2' is a sequence, which it cannot take");
    s = start(&rig, &x);
    refuse(&rig, op1(&rig, "Relu", op1(&rig, "Optional", x)), "is an optional, which it cannot take");
    s = start(&rig, &x);
    refuse(&rig, s, "output 0 'SequenceConstruct2' of graph 'sequences' is a sequence, which cannot leave it");
    start(&rig, &x);
    refuse(&rig, op1(&rig, "SequenceLength", x), "input 0 'x0' is no sequence");
    s = start(&rig, &x);
    refuse(&rig, op1(&rig, "SequenceLength", op1(&rig, "Optional", s)), "is no sequence");
    s = start(&rig, &x);
    refuse(&rig, op1(&rig, "SequenceLength", op1(&rig, "SequenceConstruct", s)), "is no tensor");
    s = start(&rig, &x);
    refuse(&rig, op1(&rig, "OptionalHasElement", op1(&rig, "Optional", op1(&rig, "Optional", s))), "no sense");
    start(&rig, &x);
    refuse(&rig, op1(&rig, "OptionalGetElement", op(&rig, "Optional", 0, NULL, 0, NULL)), "the optional is empty");
}
END_TEST

START_TEST(positions_outside_are_refused)
{
    static const int64_t outside[] = {2, -3, INT64_MAX, INT64_MIN};
    struct rig rig;
    struct value *x, *s;
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        s = start(&rig, &x);
        refuse(&rig, op2(&rig, "SequenceAt", s, number(&rig, outside[i])), "is outside a sequence of 2");
        s = start(&rig, &x);
        s = op2(&rig, "SequenceErase", s, number(&rig, outside[i]));
        refuse(&rig, op1(&rig, "SequenceLength", s), "is outside a sequence of 2");
        s = start(&rig, &x);
        s = op3(&rig, "SequenceInsert", s, x, number(&rig, outside[i] == 2 ? 3 : outside[i]));
        refuse(&rig, op1(&rig, "SequenceLength", s), "is outside a sequence of 2");
    }
    start(&rig, &x);
    s = op(&rig, "SequenceEmpty", 0, NULL, 0, NULL);
    refuse(&rig, op1(&rig, "SequenceLength", op1(&rig, "SequenceErase", s)), "the sequence is empty");
    start(&rig, &x);
    refuse(&rig, join(&rig, op(&rig, "SequenceEmpty", 0, NULL, 0, NULL), 0, 0), "the sequence is empty");
    s = start(&rig, &x);
    refuse(&rig, op2(&rig, "SequenceAt", s, numbers(&rig, 2, outside)), "at most 1 make sense");
}
END_TEST

START_TEST(elements_that_do_not_fit_are_refused)
{
    static const int64_t short_of[] = {1, 1}, past[] = {2, 2}, negative[] = {-1, 4};
    const struct attribute columns = ATTRIBUTE_I("axis", 1), integers = ATTRIBUTE_I("dtype", DTYPE_I64);
    struct rig rig;
    struct value *x, *s = start(&rig, &x);
    s = op2(&rig, "SequenceInsert", s, number(&rig, 1));
    refuse(&rig, op1(&rig, "SequenceLength", s), "is int64; the sequence holds float32");
    start(&rig, &x);
    s = op2(&rig, "SequenceInsert", op(&rig, "SequenceEmpty", 0, NULL, 1, &integers), x);
    refuse(&rig, op1(&rig, "SequenceLength", s), "is float32; the sequence holds int64");
    const struct {
        const int64_t *sizes;
        const char *words;
    } cuts[] = {{short_of, "the parts leave 1 elements over"},
                {past, "part 1 has 2 elements, 1 are left"},
                {negative, "part 0 has -1 elements, 3 are left"}};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        start(&rig, &x);
        s = op(&rig, "SplitToSequence", 2, (struct value *[]){x, numbers(&rig, 2, cuts[i].sizes)}, 1, &columns);
        refuse(&rig, op1(&rig, "SequenceLength", s), cuts[i].words);
    }
    start(&rig, &x);
    s = op(&rig, "SplitToSequence", 2, (struct value *[]){x, number(&rig, 0)}, 1, &columns);
    refuse(&rig, op1(&rig, "SequenceLength", s), "parts of 0 elements make no sense");
}
END_TEST

START_TEST(loops_take_no_sequences)
{
    struct rig rig;
    struct value *x, *s = start(&rig, &x);
    struct graph *body = graph_create(&rig.maker.region, "body");
    struct value *inputs[4] = {
        graph_add_value(body, "i", DTYPE_I64, 0, NULL), graph_add_value(body, "go", DTYPE_BOOL, 0, NULL),
        graph_add_value(body, "s", DTYPE_NONE, -1, NULL), graph_add_value(body, "x", DTYPE_F32, -1, NULL)};
    struct value *outputs[2] = {make_node1(body, "Identity", "on", inputs[1]),
                                make_node2(body, "SequenceInsert", "longer", inputs[2], inputs[3])};
    graph_set_inputs(body, 4, inputs);
    graph_set_outputs(body, 2, outputs);
    const struct attribute attributes[] = {{.name = "body", .kind = ATTRIBUTE_GRAPH, .graph = body},
                                           ATTRIBUTE_I("captures", 1)};
    struct value *loop = op(&rig, "Loop", 4, (struct value *[]){number(&rig, 3), NULL, s, x}, 2, attributes);
    refuse(&rig, join(&rig, loop, 0, 0), "(Loop): input 2 'SequenceConstruct2' is a sequence, which it cannot take");
}
END_TEST

/* A few thousand insertions would make lists of as many squared. */
START_TEST(lists_have_a_limit)
{
    struct rig rig;
    struct value *x, *s = start(&rig, &x);
    for (int i = 0; i < 3000; i++)
        s = op2(&rig, "SequenceInsert", s, x);
    refuse(&rig, op1(&rig, "SequenceLength", s), "have more than 4194304 entries together");
    static const float nothing[] = {0};
    rig_begin(&rig);
    x = input(&rig, DTYPE_F32, 2);
    output(&rig, op1(&rig, "SequenceLength", op1(&rig, "SplitToSequence", x)));
    rig_refuse(&rig, (infer_tensor[]){f32_tensor(nothing, 2, 1000000, 0)},
               "a sequence of 1000000 tensors is not supported; at most 32767 are");
}
END_TEST

Suite *sequences_suite(void)
{
    Suite *suite = suite_create("sequences");
    TCase *tests = tcase_create("sequences");
    tcase_add_loop_test(tests, parts_of_a_tensor, 0, WAYS);
    tcase_add_loop_test(tests, put_together_along_an_axis_of_theirs_or_a_new_one, 0, WAYS);
    tcase_add_loop_test(tests, insertions_and_deletions, 0, WAYS);
    tcase_add_loop_test(tests, positions_and_sizes_that_the_run_tells, 0, WAYS);
    tcase_add_loop_test(tests, branches_take_and_make_sequences, 0, WAYS);
    tcase_add_loop_test(tests, a_body_for_each_element, 0, WAYS);
    tcase_add_loop_test(tests, optionals_of_tensors_and_of_sequences, 0, WAYS);
    tcase_add_loop_test(tests, an_optional_is_known_in_the_next_part, 0, WAYS);
    tcase_add_test(tests, what_sequences_are_not_is_refused);
    tcase_add_test(tests, positions_outside_are_refused);
    tcase_add_test(tests, elements_that_do_not_fit_are_refused);
    tcase_add_test(tests, loops_take_no_sequences);
    tcase_add_test(tests, lists_have_a_limit);
    suite_add_tcase(suite, tests);
    return suite;
}
