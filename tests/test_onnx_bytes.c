#include "formats/onnx/name_map.h"
#include "tests/failing_allocator.h"
#include "tests/onnx_models.h"
#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- tensors ------------------------------------------------------------------------------------------------------ */

START_TEST(every_encoding_gives_the_same_bytes)
{
    const struct graph *graph = load("encodings");
    int pairs = 0;
    for (int i = 0; i + 1 < graph->value_count; i++) {
        const struct value *raw = graph->values[i], *list = graph->values[i + 1];
        const char *dot = strchr(raw->name, '.');
        if (!dot || strcmp(dot, ".raw") != 0 || strncmp(raw->name, "empty", 5) == 0)
            continue;
        pairs++;
        char type[40];
        snprintf(type, sizeof type, "%.*s", (int)(dot - raw->name), raw->name);
        ck_assert_str_eq(dtype_name(raw->dtype), type);
        ck_assert_str_eq(dtype_name(list->dtype), type);
        ck_assert_uint_eq(raw->bytes, dtype_bytes(raw->dtype, raw->dims[0]));
        ck_assert_uint_eq(list->bytes, raw->bytes);
        ck_assert_msg(memcmp(raw->data, list->data, raw->bytes) == 0, "%s", raw->name);
    }
    ck_assert_int_eq(pairs, 23);
    assert_constant(graph, "float32.list", DTYPE_F32, "3", (float[]){1.5F, -2, 3});
    assert_constant(graph, "float16.list", DTYPE_F16, "3", (uint16_t[]){0x3e00, 0xc000, 0x4200});
    assert_constant(graph, "uint32.list", DTYPE_U32, "3", (uint32_t[]){1, 2, UINT32_MAX});
    assert_constant(graph, "complex64.list", DTYPE_C64, "3", (float[]){1, 2, 3, -4, 0, 0});
    assert_constant(graph, "int4.list", DTYPE_I4, "3", (uint8_t[]){0xe1, 0x07});
    assert_constant(graph, "uint2.list", DTYPE_U2, "5", (uint8_t[]){0xc9, 0x01});
    assert_constant(graph, "scalar", DTYPE_I64, "scalar", (int64_t[]){7});
    assert_constant(graph, "empty.raw", DTYPE_F32, "2x0x3", "");
    assert_constant(graph, "empty.list", DTYPE_F32, "0", "");
    assert_constant(graph, "odd_bool", DTYPE_BOOL, "3", (uint8_t[]){1, 0, 1});
}
END_TEST

START_TEST(lists_may_be_packed_or_not_and_unknown_fields_are_skipped)
{
    const struct graph *graph = load("packing");
    assert_constant(graph, "w", DTYPE_F32, "2", (float[]){1.5F, -2});
    assert_constant(graph, "v", DTYPE_I64, "1x2", (int64_t[]){5, 6});
    const struct attribute *perm = node_attribute(graph->nodes[0], "perm");
    ck_assert_int_eq(perm->kind, ATTRIBUTE_INTS);
    ck_assert_uint_eq(perm->count, 2);
    ck_assert_int_eq(perm->ints[0], 1);
    ck_assert_int_eq(perm->ints[1], 0);
}
END_TEST

START_TEST(sparse_tensors_become_dense)
{
    const struct graph *graph = load("sparse");
    assert_constant(graph, "flat", DTYPE_F32, "2x2", (float[]){1, 0, 0, 2});
    assert_constant(graph, "pairs", DTYPE_F32, "2x2", (float[]){0, 3, 0, 4});
    assert_constant(graph, "c", DTYPE_F32, "2x2", (float[]){0, 0, 5, 0});
    assert_refused("sparse_outside", STATUS_INVALID_MODEL, ": tensor 'w' is sparse, and index 0 lies outside of it");
    assert_refused("sparse_negative", STATUS_INVALID_MODEL, ": tensor 'w' is sparse, and index 0 lies outside of it");
    assert_refused("sparse_counts", STATUS_INVALID_MODEL,
                   ": tensor 'w' is sparse, and its indices are not int64 of shape [values] or [values, rank]");
    size_t before = region.total;
    error = (struct error){0};
    onnx_import(model_path("sparse_huge"), NULL, &region, &model, &error);
    ck_assert_int_eq(error.status, STATUS_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.text, "tensor 'w' is so sparse"));
    ck_assert_uint_lt(region.total - before, 1 << 20);
}
END_TEST

START_TEST(constant_nodes_become_constants)
{
    const struct graph *graph = load("constants");
    ck_assert_int_eq(graph->node_count, 1);
    assert_constant(graph, "tensor", DTYPE_I32, "1x2", (int32_t[]){1, 2});
    assert_constant(graph, "float", DTYPE_F32, "scalar", (float[]){1.5F});
    assert_constant(graph, "floats", DTYPE_F32, "2", (float[]){1.5F, -2});
    assert_constant(graph, "int", DTYPE_I64, "scalar", (int64_t[]){-7});
    assert_constant(graph, "ints", DTYPE_I64, "3", (int64_t[]){1, 2, 3});
    ck_assert_ptr_eq(graph->nodes[0]->inputs[1], find_value(graph, "float"));
    ck_assert_ptr_eq(graph->outputs[1], find_value(graph, "ints"));
    assert_refused("constant_string", STATUS_UNSUPPORTED,
                   ": node 'text' (Constant) holds strings, which are not supported");
    assert_refused("constant_empty", STATUS_INVALID_MODEL, ": node 'none' (Constant): it has no value");
}
END_TEST

START_TEST(tensors_that_contradict_themselves_are_refused)
{
    assert_refused("tensor_short", STATUS_INVALID_MODEL, ": tensor 'w' has 8 bytes of data; its shape needs 12");
    assert_refused("tensor_few", STATUS_INVALID_MODEL, ": tensor 'w' has 2 entries of float_data; its shape needs 3");
    assert_refused("tensor_negative", STATUS_INVALID_MODEL,
                   ": tensor 'w' has shape [?], which is negative or too large");
    assert_refused("tensor_overflow", STATUS_INVALID_MODEL,
                   ": tensor 'w' has shape 1099511627776x1099511627776, which is negative or too large");
    assert_refused("tensor_ranks", STATUS_UNSUPPORTED, ": tensor 'w' has rank 9; at most 8 is supported");
    assert_refused("tensor_unknown", STATUS_UNSUPPORTED, ": tensor 'w' has data type 99, which is not known");
    assert_refused("tensor_twice", STATUS_INVALID_MODEL, ": 'w' is defined twice in graph 'main'");
    assert_refused("tensor_strings", STATUS_UNSUPPORTED, ": tensor 'w' holds strings, which are not supported");
}
END_TEST

/* --- external data ------------------------------------------------------------------------------------------------ */

START_TEST(external_data_is_mapped_or_copied)
{
    const struct graph *graph = load("external");
    assert_constant(graph, "aligned", DTYPE_F32, "3", (float[]){16, 17, 18});
    assert_constant(graph, "unaligned", DTYPE_F32, "3", (float[]){1, 2, 3});
    assert_constant(graph, "from_start", DTYPE_F32, "3", (float[]){0, 1, 2});
    assert_constant(graph, "none", DTYPE_F32, "0", "");
    const char *start = find_value(graph, "from_start")->data, *aligned = find_value(graph, "aligned")->data;
    ck_assert_ptr_eq(start + 64, aligned);
    ck_assert_ptr_nonnull(model.files);
    onnx_close(&model);
    struct file_map map;
    ck_assert_int_eq(file_map_path(&map, model_path("external"), SIZE_MAX, &default_allocator, &error), STATUS_OK);
    ck_assert_int_eq(onnx_import_bytes("memory", map.bytes, map.size, NULL, NULL, &region, &model, &error),
                     STATUS_INVALID_MODEL);
    ck_assert_str_eq(error.text, "memory: tensor 'aligned': external data 'weights.bin' cannot be found, since the "
                                 "model does not come from a file");
    file_unmap(&map);
}
END_TEST

static void write_file(const char *folder, const char *name)
{
    static const char zeros[256];
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_int_eq(file_write(path, zeros, sizeof zeros, &error), STATUS_OK);
}

/* A folder with everything that a model must not reach by way of its own: ROOT/weights.bin outside of it, and inside
 * links, a folder and a pipe. */
static void make_folders(char *root)
{
    char command[600];
    ck_assert_ptr_nonnull(mkdtemp(root));
    snprintf(
        command, sizeof command,
        "mkdir %s/model %s/model/folder && ln -s ../weights.bin %s/model/link.bin && ln -s folder %s/model/link && "
        "mkfifo %s/model/pipe",
        root, root, root, root, root);
    ck_assert_int_eq(system(command), 0);
    write_file(root, "weights.bin");
    write_file(root, "model/weights.bin");
    write_file(root, "model/folder/weights.bin");
}

START_TEST(external_data_stays_in_its_folder)
{
    static const struct {
        const char *model, *sentence;
    } cases[] = {
        {"up", "'../weights.bin' leads out of the model's folder"},
        {"inner_up", "'folder/../../weights.bin' leads out of the model's folder"},
        {"absolute", "'/etc/passwd' is an absolute path; only the model's own folder is read"},
        {"link", "'link.bin' goes through a symbolic link or a file that is no folder"},
        {"folder_link", "'link/weights.bin' goes through a symbolic link or a file that is no folder"},
        {"folder", "'folder' is not a regular file"},
        {"pipe", "'pipe' is not a regular file"},
        {"missing", "'missing.bin' cannot be opened in '%s/model': No such file or directory"},
        {"below", NULL},
    };
    char root[] = "/tmp/infer-onnx-XXXXXX", folder[64], name[64], expected[300];
    make_folders(root);
    snprintf(folder, sizeof folder, "%s/model", root);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct file_map map;
        snprintf(name, sizeof name, "external_%s", cases[i].model);
        ck_assert_int_eq(file_map_path(&map, model_path(name), SIZE_MAX, &default_allocator, &error), STATUS_OK);
        error = (struct error){0};
        onnx_import_bytes("m", map.bytes, map.size, folder, NULL, &region, &model, &error);
        file_unmap(&map);
        int length = snprintf(expected, sizeof expected, "m: tensor 'w': external data ");
        if (cases[i].sentence && strchr(cases[i].sentence, '%'))
            snprintf(expected + length, sizeof expected - (size_t)length,
                     "'missing.bin' cannot be opened in '%s': No such file or directory", folder);
        else if (cases[i].sentence)
            snprintf(expected + length, sizeof expected - (size_t)length, "%s", cases[i].sentence);
        ck_assert_str_eq(error.text, cases[i].sentence ? expected : "");
        onnx_close(&model);
    }
    snprintf(expected, sizeof expected, "rm -r '%s'", root);
    ck_assert_int_eq(system(expected), 0);
}
END_TEST

START_TEST(external_data_must_be_there)
{
    assert_refused("external_past_end", STATUS_INVALID_MODEL,
                   ": tensor 'w': 12 bytes from byte 248 on pass the end of external data 'weights.bin' (256 bytes)");
    assert_refused("external_far_past_end", STATUS_INVALID_MODEL,
                   ": tensor 'w': 12 bytes from byte 18,446,744,073,709,551,612 on pass the end of external data "
                   "'weights.bin' (256 bytes)");
    assert_refused("external_bad_offset", STATUS_INVALID_MODEL,
                   ": tensor 'w': external data has the offset '-1', which is no number");
    assert_refused("external_big_offset", STATUS_INVALID_MODEL,
                   ": tensor 'w': external data has the offset '18446744073709551616', which is no number");
    assert_refused("external_bad_length", STATUS_INVALID_MODEL,
                   ": tensor 'w': external data has the length 11; its shape needs 12");
    assert_refused("external_no_location", STATUS_INVALID_MODEL, ": tensor 'w': external data without a location");
    assert_refused("external_copies", STATUS_INVALID_MODEL,
                   ": tensor 'w4': tensors share external data more than 4 times over");
}
END_TEST

/* --- damage ------------------------------------------------------------------------------------------------------- */

static const char *const damaged[] = {"encodings", "packing", "functions", "function_bodies", "if",   "loop",
                                      "sparse",    "names",   "shapes",    "constants",       "scan", "ir3",
                                      "lists",     "parts",   "border",    "batched_scan"};

/* One model has sequences at its border. */
static const struct onnx_import_options *options_of(const char *name)
{
    static const struct onnx_elements elements[] = {{"xs", 2}, {"bias", ONNX_ABSENT}, {"ys", 3}};
    static const struct onnx_import_options options = {.elements = elements, .element_count = 3};
    return strcmp(name, "border") == 0 ? &options : NULL;
}

static void import_damaged(const char *name, const void *bytes, size_t size)
{
    struct error failure = {0};
    enum status status = onnx_import_bytes("m", bytes, size, NULL, options_of(name), &region, &model, &failure);
    ck_assert_int_eq(status, failure.status);
    ck_assert(status == STATUS_OK || strncmp(failure.text, "m: ", 3) == 0);
    onnx_close(&model);
    region_free(&region);
}

START_TEST(damaged_files_do_no_harm)
{
    struct file_map map;
    ck_assert_int_eq(file_map_path(&map, model_path(damaged[_i]), SIZE_MAX, &default_allocator, &error), STATUS_OK);
    uint8_t *bytes = malloc(map.size);
    for (size_t size = 0; size < map.size; size++) { /* in a block of its own: a read past it is seen */
        uint8_t *cut = malloc(size ? size : 1);
        memcpy(cut, map.bytes, size);
        import_damaged(damaged[_i], cut, size);
        free(cut);
    }
    memcpy(bytes, map.bytes, map.size);
    for (size_t i = 0; i < map.size; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1u << bit);
            import_damaged(damaged[_i], bytes, map.size);
            bytes[i] ^= (uint8_t)(1u << bit);
        }
    free(bytes);
    file_unmap(&map);
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
    for (int allowed = 0;; allowed++) {
        struct failing failing = {.allowed = allowed};
        const struct allocator allocator = failing_allocator(&failing);
        struct region scarce;
        struct error failure = {0};
        region_init(&scarce, &allocator);
        enum status status = onnx_import(model_path(damaged[_i]), options_of(damaged[_i]), &scarce, &model, &failure);
        ck_assert(status == STATUS_OK || status == STATUS_OUT_OF_MEMORY);
        onnx_close(&model);
        region_free(&scarce);
        ck_assert_int_eq(failing.held, 0);
        ck_assert_uint_eq(failing.bytes, 0);
        if (status == STATUS_OK)
            break;
    }
}
END_TEST

START_TEST(a_name_map_keeps_what_it_is_given)
{
    enum { COUNT = 3000 };
    struct name_map map = {.region = &region};
    bool added;
    ck_assert_ptr_null(name_map_find(&map, ""));
    for (intptr_t i = 0; i < COUNT; i++) {
        char *name = region_format(&region, "%.*s%x", (int)(i % 5), "\xff\xfe///", (unsigned)(i * 7919 % COUNT));
        void **slot = name_map_add(&map, i ? name : "", &added);
        ck_assert(added);
        *slot = (void *)i;
        ck_assert_ptr_eq(name_map_add(&map, i ? name : "", &added), slot);
        ck_assert(!added);
    }
    for (intptr_t i = 1; i < COUNT; i++) {
        char *name = region_format(&region, "%.*s%x", (int)(i % 5), "\xff\xfe///", (unsigned)(i * 7919 % COUNT));
        ck_assert_ptr_eq(*name_map_find(&map, name), (void *)i);
        name[strlen(name) - 1] = '~';
        ck_assert(!name_map_has(&map, name));
    }
    ck_assert(name_map_has(&map, ""));
}
END_TEST

Suite *onnx_bytes_suite(void)
{
    Suite *suite = suite_create("onnx_bytes");
    TCase *tests = tcase_create("onnx_bytes");
    int models = (int)(sizeof damaged / sizeof damaged[0]);
    tcase_add_checked_fixture(tests, open_region, close_region);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_name_map_keeps_what_it_is_given);
    tcase_add_test(tests, every_encoding_gives_the_same_bytes);
    tcase_add_test(tests, lists_may_be_packed_or_not_and_unknown_fields_are_skipped);
    tcase_add_test(tests, sparse_tensors_become_dense);
    tcase_add_test(tests, constant_nodes_become_constants);
    tcase_add_test(tests, tensors_that_contradict_themselves_are_refused);
    tcase_add_test(tests, external_data_is_mapped_or_copied);
    tcase_add_test(tests, external_data_stays_in_its_folder);
    tcase_add_test(tests, external_data_must_be_there);
    tcase_add_loop_test(tests, damaged_files_do_no_harm, 0, models);
    tcase_add_loop_test(tests, memory_may_end_anywhere, 0, models);
    suite_add_tcase(suite, tests);
    return suite;
}
