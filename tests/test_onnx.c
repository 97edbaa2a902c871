#include "graph/op.h"
#include "tests/onnx_models.h"
#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static const struct node *find_node(const struct graph *graph, const char *name)
{
    for (int i = 0; i < graph->node_count; i++)
        if (strcmp(graph->nodes[i]->name, name) == 0)
            return graph->nodes[i];
    ck_abort_msg("graph '%s' has no node '%s'", graph->name, name);
}

/* "Add 21 (x w) -> (y)", with "-" for what is absent and "#" in front of constants. */
static const char *node_text(const struct node *node)
{
    static char text[400];
    int used = snprintf(text, sizeof text, "%s %d (", node->op->name, node->version);
    for (int i = 0; i < node->input_count; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%s%s", i ? " " : "",
                         node->inputs[i] && node->inputs[i]->data ? "#" : "",
                         node->inputs[i] ? node->inputs[i]->name : "-");
    used += snprintf(text + used, sizeof text - (size_t)used, ") -> (");
    for (int i = 0; i < node->output_count; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%s", i ? " " : "",
                         node->outputs[i] ? node->outputs[i]->name : "-");
    snprintf(text + used, sizeof text - (size_t)used, ")");
    return text;
}

#define assert_node(graph, name, expected) ck_assert_str_eq(node_text(find_node(graph, name)), expected)

static const char *list_text(int count, struct value *const *values)
{
    static char text[400];
    int used = 0;
    text[0] = '\0';
    for (int i = 0; i < count; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%s%s", i ? " " : "", values[i]->data ? "#" : "",
                         values[i]->name);
    return text;
}

#define assert_inputs(graph, expected) ck_assert_str_eq(list_text((graph)->input_count, (graph)->inputs), expected)
#define assert_outputs(graph, expected) ck_assert_str_eq(list_text((graph)->output_count, (graph)->outputs), expected)

static const struct graph *body_of(const struct graph *graph, const char *node, const char *attribute)
{
    const struct attribute *found = node_attribute(find_node(graph, node), attribute);
    ck_assert_ptr_nonnull(found);
    ck_assert_int_eq(found->kind, ATTRIBUTE_GRAPH);
    return found->graph;
}

static int64_t captures_of(const struct graph *graph, const char *node)
{
    const struct attribute *found = node_attribute(find_node(graph, node), "captures");
    ck_assert_ptr_nonnull(found);
    ck_assert_int_eq(found->kind, ATTRIBUTE_INT);
    return found->i;
}

/* --- graphs ------------------------------------------------------------------------------------------------------- */

START_TEST(initialisers_are_no_inputs)
{
    const struct graph *graph = load("ir3");
    assert_inputs(graph, "x");
    assert_node(graph, "Add_y", "Add 8 (x #w) -> (y)");
}
END_TEST

START_TEST(initialisers_are_defaults_since_ir_version_4)
{
    const struct graph *graph = load("optional_input");
    assert_inputs(graph, "w x");
    ck_assert_ptr_nonnull(graph->defaults);
    ck_assert_ptr_null(graph->defaults[1]);
    ck_assert_mem_eq(graph->defaults[0]->data, ((float[]){1, 2}), 8);
    assert_node(graph, "Add_y", "Add 8 (x w) -> (y)");
    assert_refused("optional_input_shape", STATUS_INVALID_MODEL,
                   ": input 0 'w' is float32 3, and its default float32 2");
    assert_refused("optional_input_type", STATUS_INVALID_MODEL, ": input 'w' is int64, and its initialiser float32");
    graph = load("all_inputs_are_weights");
    assert_inputs(graph, "");
    ck_assert_ptr_null(graph->defaults);
    ck_assert_int_eq(load("many_optional_inputs")->input_count, 17);
}
END_TEST

START_TEST(nodes_are_sorted_stably)
{
    const struct graph *graph = load("unsorted");
    static const char *const order[] = {"first", "second", "fourth", "third", "fifth"};
    for (int i = 0; i < 5; i++)
        ck_assert_str_eq(graph->nodes[i]->name, order[i]);
    assert_refused("cycle", STATUS_INVALID_MODEL, ": node 'two' (Abs): it depends on its own output, by way of 'a'");
    assert_refused("made_twice", STATUS_INVALID_MODEL, ": node 'two' (Neg): its output 'y' is made twice");
    assert_refused("makes_input", STATUS_INVALID_MODEL,
                   ": node 'one' (Abs): it depends on its own output, by way of 'x'");
    assert_refused("reads_nothing", STATUS_INVALID_MODEL, ": node 'one' (Add): it reads 'ghost', which nothing makes");
    assert_refused("makes_no_output", STATUS_INVALID_MODEL, ": nothing makes output 'y' of graph 'main'");
}
END_TEST

START_TEST(names_stay_and_new_ones_avoid_them)
{
    const struct graph *graph = load("names");
    assert_node(graph, "call/n", "Abs 21 (x) -> (call/c_2)");
    assert_node(graph, "call_1/n", "Abs 21 (p) -> (call_1/c)");
    assert_node(graph, "call_1/Neg_b", "Neg 21 (call_1/c) -> (q)");
    assert_node(graph, "call/n_1", "Abs 21 (q) -> (call/c)");
    assert_node(graph, "Relu_17", "Relu 21 (call/c) -> (17)");
    assert_node(graph, "twice_1", "Add 21 (y x) -> (call/c_1)");
    assert_node(graph, "split", "Split 21 (call/c_1) -> (- left)");
}
END_TEST

START_TEST(shapes_keep_their_symbols)
{
    const struct graph *graph = load("shapes");
    ck_assert_str_eq(shape_of(graph, "x"), "[batch, 3, ?, ?]");
    ck_assert_str_eq(shape_of(graph, "h"), "[batch, 3, 5, width]");
    ck_assert_str_eq(shape_of(graph, "y"), "[batch, 3, height, width]");
    ck_assert_str_eq(shape_of(graph, "free"), "unknown");
    ck_assert_int_eq(find_value(graph, "x")->dims[0], find_value(graph, "y")->dims[0]);
    ck_assert_int_ne(find_value(graph, "x")->dims[2], find_value(graph, "x")->dims[3]);
    ck_assert_str_eq(model.metadata.name, "main");
    ck_assert_str_eq(model.metadata.producer, "maker 1.2");
    ck_assert_str_eq(model.metadata.description, "what it does");
    ck_assert_int_eq(model.metadata.count, 1);
    ck_assert_str_eq(model.metadata.keys[0], "labels");
    ck_assert_str_eq(model.metadata.values[0], "a,b");
}
END_TEST

START_TEST(symbols_can_be_fixed)
{
    struct onnx_dimension dimensions[] = {{"batch", 4}, {"width", 7}, {"depth", 1}};
    const struct graph *graph =
        load_with("shapes", &(struct onnx_import_options){.dimensions = dimensions, .dimension_count = 2});
    ck_assert_str_eq(shape_of(graph, "h"), "4x3x5x7");
    ck_assert_str_eq(shape_of(graph, "x"), "[4, 3, ?, ?]");
    onnx_import(model_path("shapes"), &(struct onnx_import_options){.dimensions = dimensions, .dimension_count = 3},
                &region, &model, &error);
    ck_assert_str_eq(error.text, DATA "shapes.onnx: the model has no dimension 'depth'; it has 'height', 'n'");
    ck_assert_int_eq(error.status, STATUS_INVALID_ARGUMENT);
    error = (struct error){0};
    dimensions[0].size = 0;
    onnx_import(model_path("shapes"), &(struct onnx_import_options){.dimensions = dimensions, .dimension_count = 1},
                &region, &model, &error);
    ck_assert_str_eq(error.text, DATA "shapes.onnx: dimension 'batch' cannot be fixed to 0");
}
END_TEST

START_TEST(versions_are_checked)
{
    ck_assert_int_eq(load("opset_newest")->nodes[0]->version, NEWEST_OPSET);
    ck_assert_int_eq(load("domain_alias")->nodes[0]->version, 21);
    ck_assert_int_eq(load("domain_imported")->nodes[0]->version, 1);
    assert_refused("opset_none", STATUS_INVALID_MODEL, ": the model does not say which opset it uses");
    assert_refused("domain_not_imported", STATUS_INVALID_MODEL,
                   ": node 's' (Scaler): the model does not say which opset of domain 'ai.onnx.ml' it uses");
    assert_refused("opset_newer", STATUS_UNSUPPORTED, ": the model uses opset 29; the newest that is supported is 28");
    const struct attribute *alpha = node_attribute(load("untyped_attribute")->nodes[0], "alpha");
    ck_assert_int_eq(alpha->kind, ATTRIBUTE_FLOAT);
    ck_assert_float_eq(alpha->f, 0.5F);
}
END_TEST

/* --- subgraphs ---------------------------------------------------------------------------------------------------- */

START_TEST(branches_are_closed)
{
    const struct graph *graph = load("if");
    assert_node(graph, "choose", "If 21 (c h c later x) -> (y)");
    ck_assert_int_eq(captures_of(graph, "choose"), 4);
    const struct graph *then_branch = body_of(graph, "choose", "then_branch");
    const struct graph *else_branch = body_of(graph, "choose", "else_branch");
    assert_inputs(then_branch, "h c later x");
    assert_inputs(else_branch, "h c later x");
    assert_outputs(else_branch, "#w");
    ck_assert_ptr_eq(else_branch->outputs[0]->data, find_value(graph, "w")->data);
    assert_node(then_branch, "deep", "If 21 (c later x local) -> (inner)");
    const struct graph *deep = body_of(then_branch, "deep", "then_branch");
    assert_inputs(deep, "later x local");
    assert_node(deep, "Add_d1", "Add 21 (x #w) -> (d1)");
    assert_node(deep, "Mul_d", "Mul 21 (d1 local) -> (d)");
    assert_refused("if_missing", STATUS_INVALID_MODEL,
                   ": node 'n' (If): its subgraph 'then_branch' uses 'nowhere', which nothing makes");
}
END_TEST

START_TEST(loops_take_captures_behind_their_inputs)
{
    const struct graph *graph = load("loop");
    assert_node(graph, "loop", "Loop 21 (count - x step) -> (y ys)");
    ck_assert_int_eq(captures_of(graph, "loop"), 1);
    assert_inputs(body_of(graph, "loop", "body"), "i go sum step");
    assert_outputs(body_of(graph, "loop", "body"), "go_on next scan");
    assert_node(body_of(graph, "loop", "body"), "Mul_scan", "Mul 21 (next #w) -> (scan)");
    graph = load("loop_short");
    assert_node(graph, "loop", "Loop 21 (count -) -> (ys)");
    ck_assert_int_eq(captures_of(graph, "loop"), 0);
    graph = load("loop_unread");
    assert_node(graph, "loop", "Loop 21 (count - x step) -> (y -)");
    assert_refused("loop_inputs", STATUS_INVALID_MODEL,
                   ": node 'loop' (Loop): its subgraph 'body' has 3 inputs and gets 2");
    graph = load("scan");
    assert_node(graph, "scan", "Scan 21 (x items h) -> (last outs)");
    ck_assert_int_eq(captures_of(graph, "scan"), 1);
    assert_inputs(body_of(graph, "scan", "body"), "state item h");
}
END_TEST

static int64_t positions_in_output(const struct graph *graph, const char *node)
{
    const struct attribute *attribute = node_attribute(find_node(graph, node), MAX_UNPOOL_POSITIONS);
    return attribute ? attribute->i : 0;
}

START_TEST(sequences_and_optionals)
{
    const struct graph *graph = load("sequences");
    assert_inputs(graph, "given");
    ck_assert_int_eq(find_value(graph, "given")->dtype, DTYPE_F32);
    ck_assert_str_eq(shape_of(graph, "given"), "2");
    assert_node(graph, "Optional_none", "Optional 21 () -> (none)");
    assert_node(graph, "ConcatFromSequence_y", "ConcatFromSequence 21 (s) -> (y)");
    assert_refused("loop_sequence", STATUS_UNSUPPORTED,
                   ": node 'grow' (Loop): 's' of its body is a sequence, which is not supported");
    assert_refused("output_sequence", STATUS_UNSUPPORTED, ": output 's' is a sequence, which is not supported");
}
END_TEST

START_TEST(indices_of_a_pool_are_told_apart)
{
    const struct graph *graph = load("unpooling");
    ck_assert_int_eq(positions_in_output(graph, "near"), 1);
    ck_assert_int_eq(positions_in_output(graph, "far"), 1);
    ck_assert_int_eq(positions_in_output(graph, "foreign"), 0);
}
END_TEST

START_TEST(labels_go_with_the_model)
{
    const struct graph *graph = load("labels");
    ck_assert_int_eq(graph->output_count, 3);
    ck_assert_int_eq(find_value(graph, "label")->dtype, DTYPE_NONE);
    ck_assert_int_eq(model.metadata.count, 3);
    ck_assert_str_eq(model.metadata.keys[0], "labels:label");
    ck_assert_str_eq(model.metadata.values[0], "north\nso uth\n");
    ck_assert_str_eq(model.metadata.keys[1], "labels:maps");
    ck_assert_str_eq(model.metadata.values[1], "north\nso uth\n");
    ck_assert_str_eq(model.metadata.keys[2], "labels:numbered");
    ck_assert_str_eq(model.metadata.values[2], "7\n-8\n");
}
END_TEST

START_TEST(nesting_has_its_limits)
{
    const struct graph *graph = load("nested");
    int depth = 0;
    while (graph->nodes[0]->op == op_find("", "If")) {
        graph = node_attribute(graph->nodes[0], "then_branch")->graph;
        depth++;
    }
    ck_assert_int_eq(depth, 19);
    assert_refused("nested_bomb", STATUS_INVALID_MODEL,
                   ": not a valid ONNX file: byte 400: messages are nested more than 100 deep");
}
END_TEST

/* --- functions ---------------------------------------------------------------------------------------------------- */

START_TEST(functions_are_inlined)
{
    const struct graph *graph = load("functions");
    ck_assert_int_eq(graph->node_count, 10);
    assert_node(graph, "o/call/leaky", "LeakyRelu 20 (x) -> (o/call/b)");
    ck_assert_float_eq(node_attribute(find_node(graph, "o/call/leaky"), "alpha")->f, 0.5F);
    ck_assert_int_eq(find_node(graph, "Outer_second/call/leaky")->attribute_count, 0);
    assert_node(graph, "o/call/Add_c", "Add 20 (o/call/b #o/call/k) -> (mid)");
    assert_constant(graph, "o/call/k", DTYPE_F32, "scalar", (float[]){0.25F});
    assert_node(graph, "o/clip", "Clip 21 (mid -) -> (first)");
    assert_node(graph, "Outer_second/clip", "Clip 21 (Outer_second/q x_min) -> (second)");
    assert_node(graph, "o_1", "Identity 28 (x) -> (same)");
    assert_node(graph, "Over_third/Abs_b", "Abs 21 (second) -> (third)");
    assert_node(graph, "Over_fourth/Neg_b", "Neg 21 (third) -> (fourth)");
    assert_outputs(graph, "y mid");
    ck_assert_str_eq(shape_of(graph, "mid"), "2");
}
END_TEST

START_TEST(functions_and_subgraphs_hold_each_other)
{
    const struct graph *graph = body_of(load("function_bodies"), "outer", "then_branch");
    assert_inputs(graph, "x c");
    assert_node(graph, "call/Add_doubled", "Add 21 (x x) -> (call/doubled)");
    assert_node(graph, "call/if", "If 21 (c x call/doubled x) -> (z)");
    const struct graph *then_branch = body_of(graph, "call/if", "then_branch");
    assert_inputs(then_branch, "x call/doubled x_1");
    assert_node(then_branch, "Mul_t", "Mul 21 (call/doubled #k) -> (t)");
    assert_constant(then_branch, "k", DTYPE_F32, "scalar", (float[]){3});
    graph = load("function_graph");
    assert_outputs(body_of(graph, "h/if", "then_branch"), "#z");
    assert_refused("function_graph_free", STATUS_UNSUPPORTED,
                   ": node 'if' (If): its subgraph 'then_branch' comes from outside the function and uses 'x' there, "
                   "which is not supported");
}
END_TEST

START_TEST(functions_that_do_not_fit_are_refused)
{
    assert_refused("function_recursive", STATUS_UNSUPPORTED,
                   ": node 'again' (Own): subgraphs and functions are nested more than 64 deep");
    assert_refused("function_no_result", STATUS_INVALID_MODEL,
                   ": node 'n' (Own): the function does not make its output 'b'");
    assert_refused("function_inputs", STATUS_INVALID_MODEL,
                   ": node 'n' (Own): it has 1 inputs and 1 outputs; the function has 0 and 1");
    assert_refused("function_twice", STATUS_INVALID_MODEL, ": function 'Own' is defined twice");
    assert_refused("function_opset", STATUS_UNSUPPORTED,
                   ": function 'Own': the model uses opset 99; the newest that is supported is 28");
    assert_refused("reference_outside", STATUS_INVALID_MODEL,
                   ": node 'n' (LeakyRelu): attribute 'alpha' refers to one of a function, but this is none");
    error = (struct error){0};
    onnx_import(model_path("function_bomb"), NULL, &region, &model, &error);
    ck_assert_ptr_nonnull(strstr(error.text, ": its functions and subgraphs, written out, take more than"));
    ck_assert_uint_lt(region.total, 64 << 20);
}
END_TEST

/* --- refusals ----------------------------------------------------------------------------------------------------- */

static void note_unsupported(void *user, const char *operator_name, const char *node_name)
{
    char *text = user;
    size_t used = strlen(text);
    snprintf(text + used, 200 - used, "%s:%s ", operator_name, node_name);
}

START_TEST(every_unsupported_operator_is_listed)
{
    char list[200] = "";
    struct onnx_import_options options = {.unsupported = note_unsupported, .user = list};
    ck_assert_int_eq(onnx_import(model_path("unsupported"), &options, &region, &model, &error), STATUS_UNSUPPORTED);
    ck_assert_str_eq(error.text, DATA "unsupported.onnx: 2 operators are not supported: Frobnicate (node 'f1' and 3 "
                                      "more), mill.Grind (node 'g1')");
    ck_assert_str_eq(list, "Frobnicate:f1 Frobnicate:f2 Frobnicate:f3 Frobnicate:w/inside mill.Grind:g1 ");
}
END_TEST

START_TEST(inputs_must_be_tensors)
{
    assert_refused("input_sequence", STATUS_UNSUPPORTED,
                   ": input 's' is a sequence, which is not supported; node 'reader' (Identity) reads it");
    assert_refused("input_optional", STATUS_UNSUPPORTED,
                   ": input 'o' is an optional, which is not supported; node 'reader' (Identity) reads it");
    assert_refused("input_string", STATUS_UNSUPPORTED,
                   ": input 't' is a tensor of strings, which is not supported; node 'reader' (Identity) reads it");
    assert_refused("input_untyped", STATUS_INVALID_MODEL, ": input 'x' has no type");
    assert_refused("no_graph", STATUS_INVALID_MODEL, ": not an ONNX model: the file holds no graph");
}
END_TEST

Suite *onnx_suite(void)
{
    Suite *suite = suite_create("onnx");
    TCase *tests = tcase_create("onnx");
    tcase_add_checked_fixture(tests, open_region, close_region);
    tcase_add_test(tests, initialisers_are_no_inputs);
    tcase_add_test(tests, initialisers_are_defaults_since_ir_version_4);
    tcase_add_test(tests, nodes_are_sorted_stably);
    tcase_add_test(tests, names_stay_and_new_ones_avoid_them);
    tcase_add_test(tests, shapes_keep_their_symbols);
    tcase_add_test(tests, symbols_can_be_fixed);
    tcase_add_test(tests, versions_are_checked);
    tcase_add_test(tests, branches_are_closed);
    tcase_add_test(tests, loops_take_captures_behind_their_inputs);
    tcase_add_test(tests, sequences_and_optionals);
    tcase_add_test(tests, indices_of_a_pool_are_told_apart);
    tcase_add_test(tests, labels_go_with_the_model);
    tcase_add_test(tests, nesting_has_its_limits);
    tcase_add_test(tests, functions_are_inlined);
    tcase_add_test(tests, functions_and_subgraphs_hold_each_other);
    tcase_add_test(tests, functions_that_do_not_fit_are_refused);
    tcase_add_test(tests, every_unsupported_operator_is_listed);
    tcase_add_test(tests, inputs_must_be_tensors);
    suite_add_tcase(suite, tests);
    return suite;
}
