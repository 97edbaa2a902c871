#include "graph/op.h"
#include "tests/onnx_models.h"
#include "tests/same_graph.h"
#include "tests/suites.h"

#include <check.h>

static const struct attribute *attribute_of(const struct graph *graph, const char *node, const char *name)
{
    for (int i = 0; i < graph->node_count; i++)
        if (strcmp(graph->nodes[i]->name, node) == 0)
            return node_attribute(graph->nodes[i], name);
    ck_abort_msg("there is no node '%s'", node);
}

static void assert_tensor(const struct graph *graph, const char *node, const char *name, enum dtype dtype,
                          int64_t count, const void *content)
{
    const struct attribute *attribute = attribute_of(graph, node, name);
    ck_assert_msg(attribute != NULL, "node '%s' has no attribute '%s'", node, name);
    ck_assert_int_eq(attribute->kind, ATTRIBUTE_TENSOR);
    const struct value *tensor = attribute->tensor;
    ck_assert_str_eq(tensor->name, name);
    ck_assert_str_eq(dtype_name(tensor->dtype), dtype_name(dtype));
    ck_assert_int_eq(tensor->rank, 1);
    ck_assert_int_eq(tensor->dims[0], count);
    ck_assert_ptr_nonnull(tensor->data);
    ck_assert_uint_eq(tensor->bytes, dtype_bytes(dtype, count));
    if (tensor->bytes)
        ck_assert_msg(memcmp(tensor->data, content, tensor->bytes) == 0, "%s of '%s'", name, node);
}
#define assert_ints(graph, node, ...) assert_tensor(graph, node, "target_ids", __VA_ARGS__)
#define assert_floats(graph, node, ...) assert_tensor(graph, node, "target_weights", DTYPE_F32, __VA_ARGS__)

static void assert_strings(const struct attribute *attribute, size_t count, const char *const *strings)
{
    ck_assert_ptr_nonnull(attribute);
    ck_assert_int_eq(attribute->kind, ATTRIBUTE_STRINGS);
    ck_assert_uint_eq(attribute->count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_str_eq(attribute->strings[i], strings[i]);
}

START_TEST(lists_of_trees_are_tensors_of_the_narrowest_type)
{
    const struct graph *graph = load("lists");
    assert_ints(graph, "u8", DTYPE_U8, 3, (uint8_t[]){0, 255, 7});
    assert_ints(graph, "i8", DTYPE_I8, 3, (int8_t[]){-128, 127, -1});
    assert_ints(graph, "u16", DTYPE_U16, 2, (uint16_t[]){256, 65535});
    assert_ints(graph, "i16", DTYPE_I16, 2, (int16_t[]){-129, 127});
    assert_ints(graph, "i16_high", DTYPE_I16, 2, (int16_t[]){-1, 128});
    assert_ints(graph, "u32", DTYPE_U32, 2, (uint32_t[]){65536, UINT32_MAX});
    assert_ints(graph, "i32", DTYPE_I32, 2, (int32_t[]){-32769, 0});
    assert_ints(graph, "i32_high", DTYPE_I32, 2, (int32_t[]){-1, 32768});
    assert_ints(graph, "i64", DTYPE_I64, 2, (int64_t[]){(int64_t)1 << 32, 1});
    assert_ints(graph, "i64_low", DTYPE_I64, 1, (int64_t[]){(int64_t)INT32_MIN - 1});
    assert_ints(graph, "i64_ends", DTYPE_I64, 2, (int64_t[]){INT64_MIN, INT64_MAX});
    assert_floats(graph, "u8", 2, (float[]){1.5F, -2});
    assert_ints(graph, "none", DTYPE_U8, 0, NULL);
    assert_floats(graph, "none", 0, NULL);
}
END_TEST

START_TEST(entries_come_packed_or_one_by_one)
{
    const struct graph *graph = load("lists");
    assert_ints(graph, "by_hand", DTYPE_U16, 4, (uint16_t[]){5, 300, 1, 6});
    assert_floats(graph, "by_hand", 2, (float[]){3, 4.5F});
}
END_TEST

#define MODES "nodes_modes"

START_TEST(strings_of_trees_are_places_among_words)
{
    static const char *const words[] = {"LEQ", "LEAF", "", "LE"};
    const struct graph *graph = load("lists");
    assert_tensor(graph, "words", MODES, DTYPE_U8, 6, (uint8_t[]){0, 1, 0, 2, 1, 3});
    assert_strings(attribute_of(graph, "words", MODES OP_WORDS), 4, words);
    assert_tensor(graph, "none", MODES, DTYPE_U8, 0, NULL);
    assert_strings(attribute_of(graph, "none", MODES OP_WORDS), 0, NULL);
    ck_assert_int_eq(attribute_of(graph, "all_words", MODES)->kind, ATTRIBUTE_TENSOR);
    ck_assert_uint_eq(attribute_of(graph, "all_words", MODES OP_WORDS)->count, 64);
}
END_TEST

START_TEST(too_many_words_stay_a_list)
{
    const struct graph *graph = load("lists");
    const struct attribute *list = attribute_of(graph, "many_words", MODES);
    ck_assert_int_eq(list->kind, ATTRIBUTE_STRINGS);
    ck_assert_uint_eq(list->count, 65);
    ck_assert_str_eq(list->strings[0], "w0");
    ck_assert_str_eq(list->strings[64], "w64");
    ck_assert_ptr_null(attribute_of(graph, "many_words", MODES OP_WORDS));
}
END_TEST

START_TEST(lists_of_other_nodes_stay_lists)
{
    static const char *const strings[] = {"a", "bc", "a"};
    const struct graph *graph = load("lists");
    const struct attribute *ints = attribute_of(graph, "other", "keys_int64s");
    const struct attribute *floats = attribute_of(graph, "other", "values_floats");
    ck_assert_int_eq(ints->kind, ATTRIBUTE_INTS);
    ck_assert_uint_eq(ints->count, 2);
    ck_assert_mem_eq(ints->ints, ((int64_t[]){1, 2}), 2 * sizeof(int64_t));
    ck_assert_int_eq(floats->kind, ATTRIBUTE_FLOATS);
    ck_assert_uint_eq(floats->count, 2);
    ck_assert_mem_eq(floats->floats, ((float[]){0.5F, 1.5F}), 2 * sizeof(float));
    assert_strings(attribute_of(graph, "other", "keys_strings"), 3, strings);
}
END_TEST

START_TEST(a_model_file_keeps_them)
{
    const struct graph *graph = load("lists");
    struct graph *again;
    struct model_metadata metadata;
    void *bytes;
    size_t size;
    ck_assert_int_eq(model_write(graph, &model.metadata, &region, &bytes, &size, &error), STATUS_OK);
    ck_assert_int_eq(model_read("m", bytes, size, NULL, &region, &again, &metadata, &error), STATUS_OK);
    assert_same_graph(graph, again);
}
END_TEST

/* 4,096 calls of a function whose node has a list of 5,000 numbers. */
START_TEST(lists_of_functions_are_charged_each_time)
{
    size_t before = region.total;
    onnx_import(model_path("function_lists"), NULL, &region, &model, &error);
    ck_assert_int_eq(error.status, STATUS_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.text, ": its functions and subgraphs, written out, take more than"));
    ck_assert_uint_lt(region.total - before, (size_t)192 << 20);
}
END_TEST

START_TEST(messages_may_come_in_parts)
{
    const struct graph *graph = load("parts");
    ck_assert_str_eq(graph->name, "main");
    ck_assert_int_eq(graph->node_count, 2);
    ck_assert_str_eq(graph->nodes[0]->name, "first");
    ck_assert_str_eq(graph->nodes[1]->name, "second");
    ck_assert_str_eq(shape_of(graph, "x"), "[2, N, 5]");
    ck_assert_int_eq(find_value(graph, "x")->dtype, DTYPE_F32);
    assert_constant(graph, "w", DTYPE_F32, "1", (float[]){1.5F});
}
END_TEST

static void assert_malformed(const char *bytes, size_t size, const char *sentence)
{
    error = (struct error){0};
    ck_assert_int_eq(onnx_import_bytes("m", bytes, size, NULL, NULL, &region, &model, &error), STATUS_INVALID_MODEL);
    ck_assert_str_eq(error.text, sentence);
}
#define MALFORMED(bytes, sentence) assert_malformed(bytes, sizeof(bytes) - 1, "m: not a valid ONNX file: " sentence)

/* In hexadecimal, 0a: field 1, of bytes; 10: field 2, a number; 3a: field 7, here the graph, whose 0a is a node. */
START_TEST(what_is_no_message_is_refused)
{
    MALFORMED("\x00\x00", "byte 0: no field begins here");
    MALFORMED("\x3a\x02\x00\x00", "byte 2: no field begins here");
    MALFORMED("\x12\x01x\x00", "byte 3: no field begins here");
    MALFORMED("\xfb\x07\x00", "byte 0: no field begins here");
    MALFORMED("\xff\xff\xff\xff\xff\x01", "byte 0: no field begins here");
    MALFORMED("\xf8\xff\xff\xff\x1f\x00", "byte 0: no field begins here");
    MALFORMED("\x10\x01", "byte 0: a field has the wrong type");
    MALFORMED("\x08\x01\x3a\x02\x08\x00", "byte 4: a field has the wrong type");
#define CUT "a field runs past the end of what holds it (the file may have been cut)"
    MALFORMED("\x12\x05x", "byte 0: " CUT);
    MALFORMED("\x3a\x03\x12\x02x", "byte 2: " CUT);
    MALFORMED("\x08\xff", "byte 0: " CUT);
    MALFORMED("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "byte 0: " CUT);
    MALFORMED("\x4d\x00\x00\x00", "byte 0: " CUT);
    /* A node's attribute with integers (42) and floats (3a) that are packed. */
    MALFORMED("\x3a\x08\x0a\x06\x2a\x04\x42\x02\x01\x80", "byte 9: a list of numbers is malformed");
    MALFORMED("\x3a\x09\x0a\x07\x2a\x05\x3a\x03\x00\x00\x00", "byte 8: a list of numbers is malformed");
}
END_TEST

Suite *onnx_lists_suite(void)
{
    Suite *suite = suite_create("onnx_lists");
    TCase *tests = tcase_create("onnx_lists");
    tcase_add_checked_fixture(tests, open_region, close_region);
    tcase_add_test(tests, lists_of_trees_are_tensors_of_the_narrowest_type);
    tcase_add_test(tests, entries_come_packed_or_one_by_one);
    tcase_add_test(tests, strings_of_trees_are_places_among_words);
    tcase_add_test(tests, too_many_words_stay_a_list);
    tcase_add_test(tests, lists_of_other_nodes_stay_lists);
    tcase_add_test(tests, a_model_file_keeps_them);
    tcase_add_test(tests, lists_of_functions_are_charged_each_time);
    tcase_add_test(tests, messages_may_come_in_parts);
    tcase_add_test(tests, what_is_no_message_is_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
