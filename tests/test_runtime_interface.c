/* What an embedder asks of a model and a session before it runs: names, scales, keys, shapes, and programs that the
 * contents of inputs decide. */
#include "tests/counting_allocator.h"
#include "tests/model_maker.h"
#include "tests/suites.h"

#include "formats/model_file.h"
#include "runtime/session.h"

#include <stdlib.h>
#include <string.h>

/* --- what a model tells ------------------------------------------------------------------------------------- */

static struct value *f32_constant(struct graph *graph, const char *name, const float *number, int rank)
{
    return graph_add_constant(graph, name, DTYPE_F32, rank, (int64_t[]){1}, number);
}

/* y = quantise(tanh(dequantise(x))), and z = x as it is. */
static infer_model *quantised(struct maker *maker)
{
    static const float scales[2] = {0.5f, 0.25f};
    static const uint8_t zero = 128;
    static const int8_t below[8] = {-3};
    struct graph *graph = maker->graph = graph_create(&maker->region, "quantised");
    struct value *x = graph_add_value(graph, "x", DTYPE_U8, 1, (int64_t[]){graph_symbol(graph, "N")});
    struct value *read[] = {x, f32_constant(graph, "sx", &scales[0], 0),
                            graph_add_constant(graph, "zx", DTYPE_U8, 0, NULL, &zero)};
    struct value *real =
        make_node1(graph, "Tanh", "real", make_node(graph, "DequantizeLinear", "in", 3, read, 0, NULL));
    struct value *written[] = {real, f32_constant(graph, "sy", &scales[1], 1),
                               graph_add_constant(graph, "zy", DTYPE_I8, 1, (int64_t[]){1}, below)};
    struct value *outputs[] = {make_node(graph, "QuantizeLinear", "y", 3, written, 0, NULL),
                               make_node1(graph, "Identity", "z", x)};
    return maker_finish(maker, 1, &x, 2, outputs, NULL);
}

START_TEST(values_tell_their_scale_and_zero_point)
{
    struct maker maker = maker_start();
    infer_model *model = quantised(&maker);
    infer_value x, y, z;
    ck_assert_int_eq(infer_model_input(model, 0, &x), INFER_OK);
    ck_assert_int_eq(infer_model_output(model, 0, &y), INFER_OK);
    ck_assert_int_eq(infer_model_output(model, 1, &z), INFER_OK);
    ck_assert(x.quantized && x.scale == 0.5f && x.zero_point == 128);
    ck_assert(y.quantized && y.scale == 0.25f && y.zero_point == -3);
    ck_assert(!z.quantized);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* A zero point of each type, as a model's only node has it. */
START_TEST(zero_points_have_any_type)
{
    static const int8_t i8 = -5;
    static const uint16_t u16 = 40000;
    static const int16_t i16 = -300;
    static const int32_t i32 = -70000;
    static const float scale = 2;
    static const struct {
        enum dtype dtype;
        const void *zero;
        int32_t expected;
    } cases[] = {{DTYPE_I8, &i8, -5}, {DTYPE_U16, &u16, 40000}, {DTYPE_I16, &i16, -300}, {DTYPE_I32, &i32, -70000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct maker maker = maker_start();
        struct graph *graph = maker.graph = graph_create(&maker.region, "zero");
        struct value *x = graph_add_value(graph, "x", cases[i].dtype, 1, (int64_t[]){4});
        struct value *read[] = {x, f32_constant(graph, "s", &scale, 0),
                                graph_add_constant(graph, "z", cases[i].dtype, 0, NULL, cases[i].zero)};
        struct value *y = make_node(graph, "DequantizeLinear", "y", 3, read, 0, NULL);
        infer_model *model = maker_finish(&maker, 1, &x, 1, &y, NULL);
        infer_value told;
        ck_assert_int_eq(infer_model_input(model, 0, &told), INFER_OK);
        ck_assert(told.quantized && told.scale == 2);
        ck_assert_int_eq(told.zero_point, cases[i].expected);
        infer_model_release(model);
        region_free(&maker.region);
    }
}
END_TEST

/* The environment lowers what AUTO chooses, and nothing else. */
START_TEST(the_environment_lowers_the_kernels)
{
    struct maker maker = maker_start();
    infer_model *model = quantised(&maker);
    infer_session *session;
    infer_error error = {0};
    setenv("INFER_ISA", "reference", 1);
    ck_assert_int_eq(infer_session_create(model, NULL, &session, &error), INFER_OK);
    ck_assert_int_eq(infer_session_isa(session), INFER_ISA_REFERENCE);
    infer_session_release(session);
    setenv("INFER_ISA", "auto", 1);
    ck_assert_int_eq(infer_session_create(model, NULL, &session, &error), INFER_OK);
    infer_isa best = infer_session_isa(session);
    infer_session_release(session);
    setenv("INFER_ISA", "mmx", 1);
    ck_assert_int_eq(infer_session_create(model, NULL, &session, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "INFER_ISA is 'mmx'; it must be auto, reference, avx2 or avx512");
    const infer_session_options chosen = {.isa = best}, none = {.isa = (infer_isa)(INFER_ISA_AVX512 + 1)};
    ck_assert_int_eq(infer_session_create(model, &chosen, &session, &error), INFER_OK);
    ck_assert_int_eq(infer_session_isa(session), best);
    infer_session_release(session);
    ck_assert_int_eq(infer_session_create(model, &none, &session, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "ISA number 4 does not exist");
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

START_TEST(values_are_found_by_name)
{
    struct maker maker = maker_start();
    infer_model *model = quantised(&maker);
    size_t index = 7;
    ck_assert_int_eq(infer_model_find_output(model, "w", &index), INFER_INVALID_ARGUMENT);
    ck_assert_int_eq(infer_model_find_input(model, "y", &index), INFER_INVALID_ARGUMENT);
    ck_assert_uint_eq(index, 7);
    ck_assert_int_eq(infer_model_find_output(model, "z", &index), INFER_OK);
    ck_assert_uint_eq(index, 1);
    ck_assert_int_eq(infer_model_find_input(model, "x", &index), INFER_OK);
    ck_assert_uint_eq(index, 0);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

START_TEST(metadata_keys_can_be_listed)
{
    const char *keys[] = {"author", "labels"}, *values[] = {"nobody", "cat,dog"};
    struct model_metadata metadata = {
        .name = "net", .producer = "me", .description = "", .count = 2, .keys = keys, .values = values};
    const char *expected[] = {"name", "producer", "description", "author", "labels"};
    const char *contents[] = {"net", "me", "", "nobody", "cat,dog"};
    struct maker maker = maker_start();
    infer_model_release(quantised(&maker));
    void *bytes;
    size_t size;
    infer_model *model;
    ck_assert_int_eq(model_write(maker.graph, &metadata, &maker.region, &bytes, &size, NULL), STATUS_OK);
    ck_assert_int_eq(infer_model_open_memory(bytes, size, "net", NULL, &model, NULL), INFER_OK);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_str_eq(infer_model_metadata_key(model, i), expected[i]);
        ck_assert_str_eq(infer_model_metadata(model, expected[i]), contents[i]);
    }
    ck_assert_ptr_null(infer_model_metadata_key(model, 5));
    ck_assert_ptr_null(infer_model_metadata_key(model, SIZE_MAX));
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* --- tensors ------------------------------------------------------------------------------------------------ */

START_TEST(tensors_are_made_of_what_the_caller_has)
{
    static const float numbers[6] = {1, 2, 3, 4, 5, 6};
    const int64_t dims[2] = {2, 3}, wrong[2] = {2, -3};
    infer_tensor in = infer_input(numbers, INFER_FLOAT32, 2, dims);
    ck_assert_ptr_eq(in.data, numbers);
    ck_assert_uint_eq(in.bytes, sizeof numbers);
    ck_assert_int_eq(in.dims[1], 3);
    ck_assert_uint_eq(infer_input(numbers, INFER_FLOAT32, 2, wrong).bytes, SIZE_MAX);
    ck_assert_uint_eq(infer_input(numbers, INFER_FLOAT32, 99, dims).bytes, SIZE_MAX);
    infer_tensor out = infer_output(&in, 100);
    ck_assert_ptr_eq(out.data, &in);
    ck_assert_uint_eq(out.capacity, 100);
}
END_TEST

/* Three outputs, of which any may be left out. */
START_TEST(any_output_can_be_left_out)
{
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "three");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){3});
    struct value *outputs[] = {make_node1(graph, "Neg", "a", x), make_node1(graph, "Abs", "b", x),
                               make_node1(graph, "Relu", "c", x)};
    struct running r = running_begin(maker_finish(&maker, 1, &x, 3, outputs, NULL), NULL);
    const float numbers[3] = {-1, 2, -3}, expected[3][3] = {{1, -2, 3}, {1, 2, 3}, {0, 2, 0}};
    for (int wanted = 0; wanted < 8; wanted++) {
        infer_tensor in = f32_tensor(numbers, 1, 3, 0), out[3];
        const infer_tensor left_out = infer_output(NULL, INFER_LEFT_OUT);
        for (int i = 0; i < 3; i++)
            out[i] = wanted >> i & 1 ? infer_output(NULL, 0) : left_out;
        for (int again = 0; again < 2; again++) {
            run_well(r.context, &in, 1, out, 3);
            for (int i = 0; i < 3; i++)
                if (wanted >> i & 1)
                    expect_floats(&out[i], 3, expected[i]);
                else
                    ck_assert_mem_eq(&out[i], &left_out, sizeof left_out);
        }
    }
    running_end(&r, &maker);
}
END_TEST

/* --- prepared by contents ----------------------------------------------------------------------------------- */

/* y = image reshaped as shape says, negated twice by half; `mask` chooses some of it, which only a run can tell. */
static infer_model *decided(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "decided");
    struct value *image = graph_add_value(graph, "image", DTYPE_F32, 2, (int64_t[]){4, 6});
    struct value *shape = graph_add_value(graph, "shape", DTYPE_I64, 1, (int64_t[]){2});
    struct value *mask = graph_add_value(graph, "mask", DTYPE_F32, 1, (int64_t[]){3});
    struct value *inputs[] = {image, shape, mask};
    struct value *wide = make_node1(graph, "Exp", "wide", image);
    struct value *next = make_node2(graph, "Reshape", "again", wide, make_node1(graph, "Abs", "sizes", shape));
    struct value *outputs[] = {make_node1(graph, "Neg", "y", next), make_node1(graph, "NonZero", "places", mask)};
    struct value *size = make_node1(graph, "Shape", "size", outputs[1]);
    outputs[1] = make_node2(graph, "Add", "late", size, size);
    return maker_finish(maker, 3, inputs, 2, outputs, options);
}

static const float picture[24] = {1, 2, 3}, choice[3] = {0, 1, 2};
static const int64_t sizes[2] = {-3, 8};

/* bits 0, 1, 2: the contents of image, shape and mask are given. */
static void fill_inputs(infer_tensor inputs[3], int given)
{
    inputs[0] = infer_input(given & 1 ? picture : NULL, INFER_FLOAT32, 2, (int64_t[]){4, 6});
    inputs[1] = infer_input(given & 2 ? sizes : NULL, INFER_INT64, 1, (int64_t[]){2});
    inputs[2] = infer_input(given & 4 ? choice : NULL, INFER_FLOAT32, 1, (int64_t[]){3});
}

static void check_outputs(infer_session *session, int given)
{
    infer_tensor inputs[3], outputs[2] = {{0}, {0}};
    infer_error error = {0};
    fill_inputs(inputs, given);
    ck_assert_msg(infer_session_outputs(session, inputs, 3, outputs, 2, &error) == INFER_OK, "%s", error.message);
    ck_assert_ptr_null(outputs[0].data);
    bool shaped = (given & 2) != 0, complete = (given & 6) == 6;
    if (shaped) {
        ck_assert_int_eq(outputs[0].rank, 2);
        ck_assert_int_eq(outputs[0].dims[0], 3);
        ck_assert_int_eq(outputs[0].dims[1], 8);
        ck_assert_uint_eq(outputs[0].bytes, 24 * sizeof(float));
    } else {
        ck_assert_uint_eq(outputs[0].bytes, 0);
        ck_assert(outputs[0].rank == -1 || outputs[0].dims[0] == -1);
    }
    ck_assert_int_eq(outputs[1].dtype == INFER_INT64 && outputs[1].rank == 1 && outputs[1].bytes == 16, complete);
}

/* With the contents that shapes depend on, all programs are made: the run makes none. */
START_TEST(preparing_uses_the_contents_that_it_is_given)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    struct running r = running_begin(decided(&maker, &(infer_model_options){.allocator = &allocator}), NULL);
    infer_tensor inputs[3], outputs[2] = {{0}, {0}};
    infer_memory memory;
    infer_error error = {0};
    fill_inputs(inputs, _i);
    long before = atomic_load(&counting.bytes);
    ck_assert_msg(infer_session_prepare(r.session, inputs, 3, &memory, &error) == INFER_OK, "%s", error.message);
    bool complete = (_i & 6) == 6;
    ck_assert_int_eq(memory.complete, complete);
    ck_assert_uint_eq(memory.held_bytes, (size_t)atomic_load(&counting.bytes) + memory.weight_bytes);
    ck_assert_int_gt(atomic_load(&counting.bytes), before);
    ck_assert_int_eq(infer_session_prepare(r.session, inputs, 3, NULL, &error), INFER_OK);
    check_outputs(r.session, _i);
    uint64_t made = r.session->next_id;
    fill_inputs(inputs, 7);
    run_well(r.context, inputs, 3, outputs, 2);
    ck_assert_int_eq(r.session->next_id == made, complete);
    ck_assert_int_eq(outputs[0].dims[0], 3);
    ck_assert_int_eq(((int64_t *)outputs[1].data)[1], 4);
    for (int i = 0; i < 24; i++)
        ck_assert(((float *)outputs[0].data)[i] < 0);
    running_end(&r, &maker);
    ck_assert_int_eq(atomic_load(&counting.bytes), 0);
}
END_TEST

START_TEST(contents_that_are_given_must_be_whole)
{
    struct maker maker = maker_start();
    struct running r = running_begin(decided(&maker, NULL), NULL);
    infer_tensor inputs[3];
    infer_error error = {0};
    fill_inputs(inputs, 6);
    inputs[1].bytes = 8;
    ck_assert_int_eq(infer_session_prepare(r.session, inputs, 3, NULL, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "input 'shape' has 8 bytes; its shape needs 16");
    running_end(&r, &maker);
}
END_TEST

START_TEST(preparing_may_run_out_of_memory)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    struct running r = running_begin(decided(&maker, &(infer_model_options){.allocator = &allocator}), NULL);
    infer_tensor inputs[3];
    long allowed = 0;
    fill_inputs(inputs, 6);
    for (infer_status status = INFER_OUT_OF_MEMORY; status != INFER_OK; allowed++) {
        infer_memory memory;
        counting.fail_at = atomic_load(&counting.calls) + allowed;
        status = infer_session_prepare(r.session, inputs, 3, &memory, NULL);
        counting.fail_at = -1;
        ck_assert(status == INFER_OK || status == INFER_OUT_OF_MEMORY);
    }
    ck_assert_int_gt(allowed, 10);
    check_outputs(r.session, 6);
    running_end(&r, &maker);
    ck_assert_int_eq(atomic_load(&counting.bytes), 0);
}
END_TEST

Suite *runtime_interface_suite(void)
{
    Suite *suite = suite_create("runtime_interface");
    TCase *tests = tcase_create("runtime_interface");
    tcase_add_test(tests, values_tell_their_scale_and_zero_point);
    tcase_add_test(tests, zero_points_have_any_type);
    tcase_add_test(tests, the_environment_lowers_the_kernels);
    tcase_add_test(tests, values_are_found_by_name);
    tcase_add_test(tests, metadata_keys_can_be_listed);
    tcase_add_test(tests, tensors_are_made_of_what_the_caller_has);
    tcase_add_test(tests, any_output_can_be_left_out);
    tcase_add_loop_test(tests, preparing_uses_the_contents_that_it_is_given, 0, 8);
    tcase_add_test(tests, contents_that_are_given_must_be_whole);
    tcase_add_test(tests, preparing_may_run_out_of_memory);
    suite_add_tcase(suite, tests);
    return suite;
}
