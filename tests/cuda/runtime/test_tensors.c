/* Tensors that lie on the device, under the emulation, which closes its memory to the host. */
#include "tests/cuda/runtime/test_tensors.h"

#include "runtime/infer_predictor.h"
#include "runtime/session.h"
#include "tests/cuda/emulation/emulation.h"
#include "tests/cuda/runtime/stand_ins.h"
#include "tests/model_maker.h"

#include <string.h>

#define WIDTH 16 /* a row is as long as the alignment of the device's tensors */
#define ROWS 4
#define BYTES (ROWS * WIDTH * sizeof(float))

infer_tensor tensor_there(infer_session *session, const infer_tensor *tensor, void **memory)
{
    infer_tensor there = *tensor;
    ck_assert_int_eq(infer_device_allocate(session, tensor->bytes, memory, NULL), INFER_OK);
    ck_assert_int_eq(infer_device_copy(session, *memory, tensor->data, tensor->bytes, NULL), INFER_OK);
    there.data = *memory;
    there.device = INFER_DEVICE_CUDA;
    return there;
}

/* y = Relu(x w), z = -x, x itself, and a constant. */
struct four {
    struct maker maker;
    infer_session *session;
    infer_context *context;
    float weights[WIDTH * WIDTH];
};

static void four_start(struct four *f, infer_device device, size_t limit)
{
    f->maker = maker_start();
    for (int i = 0; i < WIDTH * WIDTH; i++)
        f->weights[i] = (float)(i % 7 - 3) / 4;
    struct graph *graph = f->maker.graph = graph_create(&f->maker.region, "four");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){-1, WIDTH});
    x->dims[0] = graph_symbol(graph, "n");
    struct value *w = graph_add_constant(graph, "w", DTYPE_F32, 2, (int64_t[]){WIDTH, WIDTH}, f->weights);
    struct value *y = make_node1(graph, "Relu", "y", make_node2(graph, "MatMul", "p", x, w));
    struct value *z = make_node1(graph, "Neg", "z", x);
    infer_model *model = maker_finish(&f->maker, 1, &x, 4, (struct value *[]){y, z, x, w}, NULL);
    const infer_session_options options = {.device = device, .device_memory_limit = limit, .threads = 1};
    ck_assert_int_eq(infer_session_create(model, &options, &f->session, NULL), INFER_OK);
    f->session->facts.kernels = stand_ins(~(UINT64_C(1) << FAMILY_pointwise % 64)); /* z is the host's */
    ck_assert_int_eq(infer_context_create(f->session, &f->context, NULL), INFER_OK);
    infer_model_release(model);
    emulation_abort_on_complaint(true);
}

static void four_end(struct four *f)
{
    infer_context_release(f->context);
    infer_session_release(f->session);
    region_free(&f->maker.region);
    stand_ins_forget();
}

static void fill(float *x, int seed)
{
    for (int i = 0; i < ROWS * WIDTH; i++)
        x[i] = (float)((i * 5 + seed) % 11 - 5) / 8;
}

static void fetch(infer_session *session, const infer_tensor *tensor, void *to)
{
    if (tensor->device == INFER_DEVICE_CPU)
        memcpy(to, tensor->data, tensor->bytes);
    else
        ck_assert_int_eq(infer_device_copy(session, to, tensor->data, tensor->bytes, NULL), INFER_OK);
}

/* Each output where the bits of _i say, the input where its last bit says: always what the host makes of it. */
START_TEST(any_tensor_may_lie_there)
{
    struct four host, device;
    float x[ROWS * WIDTH], expected[WIDTH * WIDTH], found[WIDTH * WIDTH];
    four_start(&host, INFER_DEVICE_CPU, 0);
    four_start(&device, INFER_DEVICE_CUDA, 0);
    infer_tensor inputs[] = {f32_tensor(x, 2, ROWS, WIDTH)};
    for (int run = 0; run < 4; run++) {
        infer_tensor wanted[4] = {{0}}, outputs[4] = {{0}}, given = inputs[0];
        void *memory = NULL;
        fill(x, run);
        if (_i >> 4)
            given = tensor_there(device.session, &inputs[0], &memory);
        for (int i = 0; i < 4; i++)
            outputs[i].device = (infer_device)(_i >> i & 1);
        run_well(host.context, inputs, 1, wanted, 4);
        run_well(device.context, &given, 1, outputs, 4);
        for (int i = 0; i < 4; i++) {
            ck_assert_int_eq(outputs[i].device, _i >> i & 1);
            ck_assert_uint_eq(outputs[i].bytes, wanted[i].bytes);
            fetch(host.session, &wanted[i], expected);
            fetch(device.session, &outputs[i], found);
            ck_assert_msg(memcmp(expected, found, outputs[i].bytes) == 0, "run %d, output %d", run, i);
        }
        infer_device_free(device.session, memory, given.bytes);
    }
    four_end(&host);
    four_end(&device);
    ck_assert_uint_eq(emulation_bytes(), 0);
}
END_TEST

/* What the first model leaves on the device the second reads there: in the same place run after run, so both are
 * captured, and nothing goes to the host but the end. */
START_TEST(one_model_feeds_the_next)
{
    struct four host[2], device[2];
    float x[ROWS * WIDTH], expected[ROWS * WIDTH], found[ROWS * WIDTH];
    infer_tensor between = {.device = INFER_DEVICE_CUDA};
    for (int i = 0; i < 2; i++) {
        four_start(&host[i], INFER_DEVICE_CPU, 0);
        four_start(&device[i], INFER_DEVICE_CUDA, 0);
    }
    for (int run = 0; run < 5; run++) {
        infer_tensor input = f32_tensor(x, 2, ROWS, WIDTH), middle = {0}, last = {0};
        fill(x, run);
        run_well(host[0].context, &input, 1, &middle, 1);
        run_well(host[1].context, &middle, 1, &last, 1);
        memcpy(expected, last.data, BYTES);
        const void *before = between.data;
        last = infer_output(found, sizeof found);
        run_well(device[0].context, &input, 1, &between, 1);
        ck_assert(run == 0 || between.data == before);
        run_well(device[1].context, &between, 1, &last, 1);
        ck_assert_msg(memcmp(expected, found, BYTES) == 0, "run %d", run);
    }
    for (int i = 0; i < 2; i++) {
        four_end(&host[i]);
        four_end(&device[i]);
    }
}
END_TEST

/* A graph that was captured has the addresses of the run before. */
START_TEST(addresses_may_change)
{
    struct four f;
    float x[2][ROWS * WIDTH], expected[2][ROWS * WIDTH], found[ROWS * WIDTH];
    void *in[2], *out[2];
    infer_tensor tensors[2];
    four_start(&f, INFER_DEVICE_CUDA, 0);
    for (int i = 0; i < 2; i++) {
        fill(x[i], 3 * i);
        infer_tensor given = f32_tensor(x[i], 2, ROWS, WIDTH), output = infer_output(expected[i], BYTES);
        run_well(f.context, &given, 1, &output, 1);
        tensors[i] = tensor_there(f.session, &given, &in[i]);
        ck_assert_int_eq(infer_device_allocate(f.session, BYTES, &out[i], NULL), INFER_OK);
    }
    ck_assert(memcmp(expected[0], expected[1], BYTES) != 0);
    static const int order[] = {0, 0, 0, 1, 0, 1, 1, 1, 0, 0, 0, 1};
    for (size_t run = 0; run < sizeof order / sizeof order[0]; run++) {
        int from = order[run], to = run % 3 == 2;
        infer_tensor output = infer_output(out[to], BYTES);
        output.device = INFER_DEVICE_CUDA;
        run_well(f.context, &tensors[from], 1, &output, 1);
        ck_assert_ptr_eq(output.data, out[to]);
        fetch(f.session, &output, found);
        ck_assert_msg(memcmp(expected[from], found, BYTES) == 0, "run %zu", run);
    }
    for (int i = 0; i < 2; i++) {
        infer_device_free(f.session, in[i], BYTES);
        infer_device_free(f.session, out[i], BYTES);
    }
    four_end(&f);
}
END_TEST

static void expect_refused(infer_context *context, infer_tensor input, infer_tensor output, const char *why)
{
    infer_error error = {0};
    ck_assert_int_eq(infer_run(context, &input, 1, &output, 1, &error), INFER_INVALID_ARGUMENT);
    ck_assert_msg(strstr(error.message, why), "%s", error.message);
}

START_TEST(memory_that_lies_elsewhere_is_refused)
{
    struct four host, device;
    float x[ROWS * WIDTH], y[ROWS * WIDTH];
    void *memory;
    infer_error error = {0};
    four_start(&host, INFER_DEVICE_CPU, 0);
    four_start(&device, INFER_DEVICE_CUDA, 0);
    fill(x, 1);
    const infer_tensor none = {0}, here = f32_tensor(x, 2, ROWS, WIDTH);
    infer_tensor there = tensor_there(device.session, &here, &memory), wrong = here, out = infer_output(y, sizeof y);
    expect_refused(host.context, there, none, "the session runs on the CPU alone");
    expect_refused(host.context, here, (infer_tensor){.device = INFER_DEVICE_CUDA},
                   "the session runs on the CPU alone");
    wrong.device = INFER_DEVICE_CUDA;
    expect_refused(device.context, wrong, none, "input 'x' is said to lie on the GPU");
    wrong = there;
    wrong.device = INFER_DEVICE_CPU;
    expect_refused(device.context, wrong, none, "`device` does not say so");
    wrong.device = (infer_device)7;
    expect_refused(device.context, wrong, none, "device number 7");
    wrong = there;
    wrong.data = (char *)memory + 32;
    wrong.dims[0] = 1;
    expect_refused(device.context, wrong, none, "no multiple of 64");
    out.device = INFER_DEVICE_CUDA;
    expect_refused(device.context, here, out, "output 'y' is said to lie on the GPU");
    out = infer_output(memory, BYTES);
    expect_refused(device.context, here, out, "output 'y' lies on the GPU");
    out.device = INFER_DEVICE_CUDA;
    expect_refused(device.context, there, out, "same memory");
    infer_device_free(device.session, memory, BYTES);
    expect_refused(device.context, there, none, "or none any more");
    ck_assert_int_eq(infer_device_allocate(host.session, 64, &memory, &error), INFER_INVALID_ARGUMENT);
    ck_assert_msg(strstr(error.message, "CPU alone"), "%s", error.message);
    ck_assert_ptr_null(memory);
    ck_assert_int_eq(infer_device_copy(device.session, y, x, sizeof x, &error), INFER_INVALID_ARGUMENT);
    ck_assert_int_eq(infer_device_copy(host.session, y, x, sizeof x, &error), INFER_INVALID_ARGUMENT);
    four_end(&host);
    four_end(&device);
}
END_TEST

/* What a context lent goes with it, and is not taken for memory afterwards; a tensor outlives its session's release. */
START_TEST(memory_goes_with_its_owner)
{
    struct four f, other;
    float x[ROWS * WIDTH], found[ROWS * WIDTH];
    void *memory;
    four_start(&f, INFER_DEVICE_CUDA, 0);
    four_start(&other, INFER_DEVICE_CUDA, 0);
    fill(x, 2);
    infer_tensor here = f32_tensor(x, 2, ROWS, WIDTH), lent = {.device = INFER_DEVICE_CUDA}, out = {0};
    infer_tensor there = tensor_there(f.session, &here, &memory);
    run_well(f.context, &there, 1, &lent, 1);
    run_well(other.context, &lent, 1, &out, 1);
    infer_session *session = f.session;
    four_end(&f);
    expect_refused(other.context, lent, (infer_tensor){0}, "or none any more");
    ck_assert_int_eq(infer_device_copy(session, found, memory, BYTES, NULL), INFER_OK);
    ck_assert(memcmp(found, x, BYTES) == 0);
    infer_device_free(session, memory, BYTES);
    four_end(&other);
    ck_assert_uint_eq(emulation_bytes(), 0);
}
END_TEST

START_TEST(the_bill_has_them)
{
    struct four f;
    float x[ROWS * WIDTH];
    void *memory;
    infer_memory bill;
    infer_error error = {0};
    four_start(&f, INFER_DEVICE_CUDA, 8192);
    fill(x, 3);
    infer_tensor here = f32_tensor(x, 2, ROWS, WIDTH), outputs[4] = {{0}};
    for (int i = 0; i < 3; i++)
        outputs[i].device = INFER_DEVICE_CUDA;
    infer_tensor there = tensor_there(f.session, &here, &memory);
    run_well(f.context, &there, 1, outputs, 4);
    ck_assert_int_eq(infer_session_memory(f.session, &bill, NULL), INFER_OK);
    ck_assert_uint_eq(bill.device_tensor_bytes, BYTES);
    ck_assert_uint_eq(bill.device_result_bytes, 3 * BYTES);
    ck_assert_uint_eq(bill.result_bytes, sizeof f.weights);
    ck_assert_uint_le(emulation_bytes(), bill.device_arena_bytes + bill.device_weight_bytes + bill.device_result_bytes +
                                             bill.device_tensor_bytes + sizeof(struct device_fault));
    ck_assert_int_eq(infer_device_allocate(f.session, 8192, &memory, &error), INFER_MEMORY_LIMIT);
    ck_assert_msg(strstr(error.message, "8,192"), "%s", error.message);
    infer_device_free(f.session, there.data, BYTES);
    ck_assert_int_eq(infer_session_memory(f.session, &bill, NULL), INFER_OK);
    ck_assert_uint_eq(bill.device_tensor_bytes, 0);
    four_end(&f);
    ck_assert_uint_eq(emulation_bytes(), 0);
}
END_TEST

/* Whatever memory there is, a run succeeds or says that there is too little; and then there is enough again. */
START_TEST(too_little_memory_for_results_is_survived)
{
    struct four f;
    float x[ROWS * WIDTH];
    void *memory;
    infer_error error = {0};
    int refused = 0;
    four_start(&f, INFER_DEVICE_CUDA, 0);
    fill(x, 4);
    infer_tensor here = f32_tensor(x, 2, ROWS, WIDTH);
    for (size_t capacity = 0;; capacity += 64) {
        infer_tensor outputs[4] = {{0}};
        for (int i = 0; i < 4; i++)
            outputs[i].device = INFER_DEVICE_CUDA;
        emulation_set_capacity(capacity);
        infer_status status = infer_run(f.context, &here, 1, outputs, 4, &error);
        if (status == INFER_OK)
            break;
        refused++;
        ck_assert_msg(status == INFER_OUT_OF_MEMORY, "%s", error.message);
    }
    ck_assert_int_gt(refused, 8);
    ck_assert_int_eq(infer_device_allocate(f.session, BYTES, &memory, &error),
                     INFER_OK); /* the program's constant goes */
    infer_device_free(f.session, memory, BYTES);
    ck_assert_int_eq(infer_device_allocate(f.session, 1 << 20, &memory, &error), INFER_OUT_OF_MEMORY);
    ck_assert_msg(strstr(error.message, "are free"), "%s", error.message);
    four_end(&f);
    ck_assert_uint_eq(emulation_bytes(), 0);
}
END_TEST

START_TEST(a_predictor_takes_none)
{
    struct four f;
    float x[ROWS * WIDTH], y[ROWS * WIDTH];
    void *memory;
    infer_predictor *predictor;
    infer_error error = {0};
    four_start(&f, INFER_DEVICE_CUDA, 0);
    fill(x, 5);
    infer_tensor here = f32_tensor(x, 2, ROWS, WIDTH), out = infer_output(y, sizeof y), there_out;
    infer_tensor there = tensor_there(f.session, &here, &memory);
    ck_assert_int_eq(infer_predictor_create(&(infer_predictor_options){.model = f.session->model, .session = f.session},
                                            &predictor, &error),
                     INFER_OK);
    ck_assert_int_eq(infer_predict(predictor, &there, 1, &out, 1, NULL, &error), INFER_INVALID_ARGUMENT);
    ck_assert_msg(strstr(error.message, "lies on a GPU"), "%s", error.message);
    there_out = infer_output(memory, BYTES);
    there_out.device = INFER_DEVICE_CUDA;
    ck_assert_int_eq(infer_predict(predictor, &here, 1, &there_out, 1, NULL, &error), INFER_INVALID_ARGUMENT);
    ck_assert_msg(strstr(error.message, "lies on a GPU"), "%s", error.message);
    ck_assert_int_eq(infer_predict(predictor, &here, 1, &out, 1, NULL, &error), INFER_OK);
    infer_predictor_release(predictor);
    infer_device_free(f.session, memory, BYTES);
    four_end(&f);
}
END_TEST

TCase *tensor_tests(void)
{
    TCase *tests = tcase_create("tensors on the device");
    tcase_add_loop_test(tests, any_tensor_may_lie_there, 0, 32);
    tcase_add_test(tests, one_model_feeds_the_next);
    tcase_add_test(tests, addresses_may_change);
    tcase_add_test(tests, memory_that_lies_elsewhere_is_refused);
    tcase_add_test(tests, memory_goes_with_its_owner);
    tcase_add_test(tests, the_bill_has_them);
    tcase_add_test(tests, too_little_memory_for_results_is_survived);
    tcase_add_test(tests, a_predictor_takes_none);
    return tests;
}
