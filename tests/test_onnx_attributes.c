#include "graph/op.h"
#include "tests/onnx_models.h"
#include "tests/suites.h"

#include <check.h>
#include <string.h>

/* --- attributes that are not the operator's ----------------------------------------------------------------------- */

START_TEST(types_are_checked)
{
    assert_refused("attribute_float_for_int", STATUS_INVALID_MODEL,
                   ": node 'n' (ReduceMax): its attribute 'keepdims' is of type FLOAT instead of INT");
    assert_refused("attribute_int_for_float", STATUS_INVALID_MODEL,
                   ": node 'n' (LeakyRelu): its attribute 'alpha' is of type INT instead of FLOAT");
    assert_refused("attribute_int_for_ints", STATUS_INVALID_MODEL,
                   ": node 'n' (Transpose): its attribute 'perm' is of type INT instead of INTS");
    assert_refused("attribute_string_for_int", STATUS_INVALID_MODEL,
                   ": node 'n' (Cast): its attribute 'to' is of type STRING instead of INT");
    assert_refused("attribute_list_of_graphs", STATUS_INVALID_MODEL,
                   ": node 'n' (If): its attribute 'then_branch' is of type UNKNOWN instead of GRAPH");
}
END_TEST

START_TEST(names_are_checked)
{
    assert_refused(
        "attribute_misspelt", STATUS_INVALID_MODEL,
        ": node 'n' (Conv): it has an attribute 'stride', which is none of Conv's (dilations, pads, strides, "
        "auto_pad, group, kernel_shape)");
    assert_refused("attribute_of_none", STATUS_INVALID_MODEL,
                   ": node 'n' (Abs): it has an attribute 'alpha', which is none of Abs's (none)");
    assert_refused("attribute_own", STATUS_INVALID_MODEL,
                   ": node 'n' (Scan): it has an attribute 'captures', which is none of Scan's (body, num_scan_inputs, "
                   "scan_input_axes, scan_input_directions, scan_output_axes, scan_output_directions)");
    assert_refused("attribute_type", STATUS_INVALID_MODEL,
                   ": node 'n' (Abs): it has an attribute 'type', which is none of Abs's (none)");
    assert_refused("attribute_of_ml", STATUS_INVALID_MODEL,
                   ": node 'n' (Scaler): it has an attribute 'scales', which is none of Scaler's (offset, scale)");
    assert_refused("attribute_twice", STATUS_INVALID_MODEL, ": node 'n' (Elu): its attribute 'alpha' is given twice");
}
END_TEST

START_TEST(opsets_are_checked)
{
    assert_refused("attribute_too_new", STATUS_INVALID_MODEL,
                   ": node 'n' (Reshape): its attribute 'allowzero' came with opset 14, and the model uses opset 12");
    assert_refused("attribute_too_old", STATUS_INVALID_MODEL,
                   ": node 'n' (ReduceSum): its attribute 'axes' went with opset 13, and the model uses opset 13");
    assert_refused(
        "attribute_of_ml_too_new", STATUS_INVALID_MODEL,
        ": node 'n' (LabelEncoder): its attribute 'keys_int64s' came with opset 2, and the model uses opset 1");
    assert_refused("attribute_missing", STATUS_INVALID_MODEL, ": node 'n' (Concat): its attribute 'axis' is missing");
    assert_refused("attribute_missing_before", STATUS_INVALID_MODEL, ": node 'n' (TopK): its attribute 'k' is missing");
}
END_TEST

START_TEST(a_constant_has_one_value)
{
    assert_refused("attribute_two_values", STATUS_INVALID_MODEL,
                   ": node 'n' (Constant): it has both 'value_float' and 'value_int'");
    assert_refused("attribute_value_too_new", STATUS_INVALID_MODEL,
                   ": node 'n' (Constant): its attribute 'value_int' came with opset 12, and the model uses opset 11");
}
END_TEST

START_TEST(names_that_files_may_use_are_left_out)
{
    const struct node *node = load("attribute_private")->nodes[0];
    ck_assert_int_eq(node->attribute_count, 1);
    ck_assert_str_eq(node->attributes[0].name, "alpha");
}
END_TEST

/* --- the table ---------------------------------------------------------------------------------------------------- */

static float alpha_of(const char *op, int version)
{
    const struct node node = {.op = op_find("", op), .version = version};
    return node_float(&node, "alpha");
}

START_TEST(defaults_go_by_opset)
{
    const struct node softmax = {.op = op_find("", "Softmax"), .version = 12};
    const struct node later = {.op = op_find("", "Softmax"), .version = 13};
    ck_assert_int_eq(node_int(&softmax, "axis"), 1);
    ck_assert_int_eq(node_int(&later, "axis"), -1);
    ck_assert_float_eq(alpha_of("Selu", 1), 1.6732F);
    ck_assert_float_eq(alpha_of("Selu", 6), 1.67326319217681884765625F);
    /* Before it came: what it came with. After it went: nothing but what it was. */
    const struct node reduction = {.op = op_find("", "ReduceSum"), .version = 1};
    ck_assert_int_eq(op_attribute(reduction.op, 1, "noop_with_empty_axes")->since, 13);
    ck_assert_int_eq(node_int(&reduction, "keepdims"), 1);
    ck_assert_int_eq(op_attribute(reduction.op, 20, "axes")->until, 13);
    ck_assert_ptr_null(op_attribute(reduction.op, 20, "axis"));
}
END_TEST

START_TEST(what_a_node_has_counts_where_its_type_is_right)
{
    const struct attribute given = ATTRIBUTE_I("axis", 2), wrong = ATTRIBUTE_F("axis", 2);
    struct node node = {.op = op_find("", "Flatten"), .version = 21, .attributes = &given, .attribute_count = 1};
    ck_assert_int_eq(node_int(&node, "axis"), 2);
    node.attributes = &wrong;
    ck_assert_int_eq(node_int(&node, "axis"), 1);
}
END_TEST

START_TEST(every_operator_has_its_rows_in_order)
{
    for (size_t i = 0; op_at(i); i++)
        for (const struct op_attribute *row = op_first_attribute(op_at(i)); row < op_attributes_end(op_at(i)); row++) {
            ck_assert_int_lt(row->since, row->until);
            for (const struct op_attribute *other = op_first_attribute(op_at(i)); other < row; other++)
                if (strcmp(other->name, row->name) == 0)
                    ck_assert_msg(other->until <= row->since, "%s of %s", row->name, op_at(i)->name);
        }
}
END_TEST

/* --- opsets before 7 ---------------------------------------------------------------------------------------------- */

static const struct node *last_of(const char *model_name)
{
    const struct graph *graph = load(model_name);
    return graph->nodes[graph->node_count - 1];
}

/* The node before the last, which aligns the second operand of the last with an axis of the first. */
static void assert_aligned(const char *model_name, int64_t axis)
{
    const struct graph *graph = load(model_name);
    ck_assert_int_eq(graph->node_count, 2);
    const struct node *align = graph->nodes[0], *node = graph->nodes[1];
    ck_assert_str_eq(align->op->name, "AlignAxis");
    ck_assert_int_eq(node_int(align, "axis"), axis);
    ck_assert_str_eq(align->inputs[0]->name, "w");
    ck_assert_ptr_eq(align->inputs[1], node->inputs[0]);
    ck_assert_ptr_eq(align->outputs[0], node->inputs[1]);
}

START_TEST(old_operands_are_aligned)
{
    assert_aligned("old_add_axis", 1);
    assert_aligned("old_prelu", 1);
    ck_assert_int_eq(load("old_add_no_broadcast")->node_count, 1);
    ck_assert_int_eq(load("old_add_consumed")->node_count, 1);
}
END_TEST

START_TEST(old_words_become_those_of_today)
{
    ck_assert_int_eq(node_int(last_of("old_cast"), "to"), DTYPE_F64);
    ck_assert_int_eq(node_int(last_of("old_concat"), "axis"), 1);
    ck_assert_int_eq(node_int(last_of("old_norm"), "p"), 1);
    ck_assert_ptr_nonnull(node_attribute_of(last_of("old_pad"), "pads", ATTRIBUTE_INTS));
    const struct value *shape = last_of("old_reshape")->inputs[1];
    ck_assert_int_eq(shape->dims[0], 2);
    ck_assert_mem_eq(shape->data, ((int64_t[]){1, -1}), 16);
    const struct attribute *scales = node_attribute_of(last_of("old_upsample"), "scales", ATTRIBUTE_FLOATS);
    ck_assert_uint_eq(scales->count, 4);
    ck_assert_mem_eq(scales->floats, ((float[]){1, 1, 2, 3}), 16);
    ck_assert_str_eq(last_of("old_dropout")->op->name, "Dropout");
}
END_TEST

START_TEST(old_words_without_a_counterpart_are_refused)
{
#define TRAINING "is_test is 0, so it is there for training, which is not supported in opset 6"
    assert_refused("old_dropout_training", STATUS_UNSUPPORTED, ": node 'n' (Dropout): " TRAINING);
    assert_refused("old_batch_training", STATUS_UNSUPPORTED, ": node 'n' (BatchNormalization): " TRAINING);
    assert_refused("old_cast_unknown", STATUS_INVALID_MODEL, ": node 'n' (Cast): 'double' is no type");
    assert_refused("old_norm_odd", STATUS_UNSUPPORTED,
                   ": node 'n' (GlobalLpPool): p is 1.5; it must be a whole number");
}
END_TEST

Suite *onnx_attributes_suite(void)
{
    Suite *suite = suite_create("onnx_attributes");
    TCase *tests = tcase_create("onnx_attributes");
    tcase_add_checked_fixture(tests, open_region, close_region);
    tcase_add_test(tests, types_are_checked);
    tcase_add_test(tests, names_are_checked);
    tcase_add_test(tests, opsets_are_checked);
    tcase_add_test(tests, a_constant_has_one_value);
    tcase_add_test(tests, names_that_files_may_use_are_left_out);
    tcase_add_test(tests, defaults_go_by_opset);
    tcase_add_test(tests, what_a_node_has_counts_where_its_type_is_right);
    tcase_add_test(tests, every_operator_has_its_rows_in_order);
    tcase_add_test(tests, old_operands_are_aligned);
    tcase_add_test(tests, old_words_become_those_of_today);
    tcase_add_test(tests, old_words_without_a_counterpart_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
