/* Files of every version of the format are read for ever, and give what they gave: see tests/data/model/make.py. */
#include "formats/file.h"
#include "formats/npy.h"
#include "runtime/infer.h"
#include "tests/suites.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const files[] = {"version_1.bin", "version_2.bin", "version_2_optimised.bin"};
#define FILES (sizeof files / sizeof files[0])

/* Some products round to float16 on the way. */
#define TOLERANCE 1e-3

static struct npy_array read_array(const char *kind, int number)
{
    struct npy_array array;
    struct error error = {0};
    char path[64];
    snprintf(path, sizeof path, "tests/data/model/%s_%d.npy", kind, number);
    ck_assert_msg(npy_read(&array, path, &default_allocator, &error) == STATUS_OK, "%s", error.text);
    return array;
}

static infer_tensor tensor_of(const struct npy_array *array)
{
    infer_tensor tensor = {
        .data = array->data, .bytes = array->bytes, .dtype = (infer_dtype)array->dtype, .rank = array->rank};
    memcpy(tensor.dims, array->dims, sizeof tensor.dims);
    return tensor;
}

static void expect_result(const infer_tensor *result, int number)
{
    struct npy_array expected = read_array("output", number);
    ck_assert_int_eq(result->dtype, expected.dtype);
    ck_assert_int_eq(result->rank, expected.rank);
    ck_assert_mem_eq(result->dims, expected.dims, (size_t)expected.rank * sizeof expected.dims[0]);
    const float *got = result->data, *wanted = expected.data;
    if (expected.dtype == DTYPE_F32)
        for (int64_t i = 0; i < expected.elements; i++)
            ck_assert_msg(fabsf(got[i] - wanted[i]) <= (float)TOLERANCE, "output %d, element %lld: %g, not %g", number,
                          (long long)i, (double)got[i], (double)wanted[i]);
    else
        ck_assert_mem_eq(result->data, expected.data, expected.bytes);
    npy_free(&expected);
}

static void run_file(const char *name, const infer_session_options *options)
{
    char path[64];
    infer_model *model;
    infer_session *session;
    infer_context *context;
    infer_error error = {0};
    struct npy_array x = read_array("input", 0);
    snprintf(path, sizeof path, "tests/data/model/%s", name);
    ck_assert_msg(infer_model_open(path, NULL, &model, &error) == INFER_OK, "%s", error.message);
    ck_assert_str_eq(infer_model_metadata(model, "purpose"), "old files stay readable");
    ck_assert_msg(infer_session_create(model, options, &session, &error) == INFER_OK, "%s", error.message);
    ck_assert_msg(infer_context_create(session, &context, &error) == INFER_OK, "%s", error.message);
    for (int flag = 0; flag < 2; flag++) {
        unsigned char bytes = (unsigned char)flag;
        infer_tensor inputs[] = {tensor_of(&x), {.data = &bytes, .bytes = 1, .dtype = INFER_BOOL}}, outputs[3] = {0};
        ck_assert_msg(infer_run(context, inputs, 2, outputs, 3, &error) == INFER_OK, "%s", error.message);
        for (int i = 0; i < 3; i++)
            expect_result(&outputs[i], 3 * flag + i);
    }
    infer_context_release(context);
    infer_session_release(session);
    infer_model_release(model);
    npy_free(&x);
}

START_TEST(a_file_gives_what_it_gave)
{
    run_file(files[_i], &(infer_session_options){.threads = 1});
    run_file(files[_i], &(infer_session_options){.threads = 1, .no_optimize = true});
}
END_TEST

/* Also of an old version. */
START_TEST(every_changed_byte_is_refused)
{
    char path[64];
    struct file_map map;
    struct error error = {0};
    snprintf(path, sizeof path, "tests/data/model/%s", files[_i]);
    ck_assert_msg(file_map_path(&map, path, SIZE_MAX, &default_allocator, &error) == STATUS_OK, "%s", error.text);
    unsigned char *bytes = allocate(&default_allocator, map.size, ALIGNMENT);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, map.bytes, map.size);
    for (size_t i = 0; i < map.size; i++) {
        infer_model *model;
        bytes[i] ^= (unsigned char)(1 << i % 8);
        infer_status status = infer_model_open_memory(bytes, map.size, "changed", NULL, &model, NULL);
        ck_assert_msg(status == INFER_INVALID_MODEL || status == INFER_UNSUPPORTED, "byte %zu: status %d", i, status);
        bytes[i] = ((const unsigned char *)map.bytes)[i];
    }
    release(&default_allocator, bytes, map.size);
    file_unmap(&map);
}
END_TEST

Suite *model_versions_suite(void)
{
    Suite *suite = suite_create("model_versions");
    TCase *tests = tcase_create("model_versions");
    tcase_add_loop_test(tests, a_file_gives_what_it_gave, 0, FILES);
    tcase_add_loop_test(tests, every_changed_byte_is_refused, 0, FILES);
    suite_add_tcase(suite, tests);
    return suite;
}
