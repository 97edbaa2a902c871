/* Products of float32 whose factors a session lets a GPU round. */
#include "tests/cuda/runtime/test_factors.h"

#include "kernels/convert.h"
#include "kernels/kernel.h"
#include "runtime/session.h"
#include "tests/cuda/emulation/emulation.h"
#include "tests/model_maker.h"

#include <math.h>
#include <string.h>

#define M 64
#define N 48
#define K 96

static float x[M * K], w[K * N];

/* y = x w, with weights stored in that type: numbers that no type of 16 bits holds, or that bfloat16 does. */
static infer_model *make_product(struct maker *maker, enum dtype stored)
{
    static uint16_t halves[K * N];
    *maker = maker_start();
    struct graph *graph = maker->graph = graph_create(&maker->region, "product");
    for (int i = 0; i < M * K; i++)
        x[i] = 1.0f / (float)(3 + i % 29);
    for (int i = 0; i < K * N; i++) {
        w[i] = 1.0f / (float)(7 + i % 31);
        halves[i] = f32_to_bf16(w[i]);
        if (stored == DTYPE_BF16)
            w[i] = bf16_to_f32(halves[i]);
    }
    struct value *in = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){M, K});
    struct value *weights =
        graph_add_constant(graph, "w", stored, 2, (int64_t[]){K, N}, stored == DTYPE_BF16 ? (const void *)halves : w);
    if (stored != DTYPE_F32)
        weights = make_node(graph, "Cast", "w32", 1, &weights, 1, &ATTRIBUTE_I("to", DTYPE_F32));
    struct value *y = make_node2(graph, "MatMul", "y", in, weights);
    return maker_finish(maker, 1, &in, 1, &y, NULL);
}

static void note_kernel(void *user, const infer_step *step)
{
    if (strncmp(step->kernel, "matmul_", 7) == 0)
        *(const char **)user = step->kernel;
}

/* The largest difference from the exact product, of its size. */
static double error_of(const float *y)
{
    double largest = 0;
    for (int i = 0; i < M * N; i++) {
        double sum = 0;
        for (int k = 0; k < K; k++)
            sum += (double)x[i / N * K + k] * (double)w[k * N + i % N];
        largest = fmax(largest, fabs((double)y[i] - sum) / sum);
    }
    return largest;
}

static bool has_kernel(const char *name)
{
    for (size_t i = 0; kernel_at(i); i++)
        if (strcmp(kernel_at(i)->name, name) == 0)
            return true;
    return false;
}

/* Runs the product with such factors; the error of the result, and the kernel that made it. */
static double run_product(infer_model *model, infer_factors factors, const char **kernel)
{
    const infer_session_options options = {.device = INFER_DEVICE_CUDA, .factors = factors};
    infer_tensor input = f32_tensor(x, 2, M, K), output = {0};
    infer_session *session;
    infer_context *context;
    infer_error error = {0};
    ck_assert_msg(infer_session_create(model, &options, &session, &error) == INFER_OK, "%s", error.message);
    ck_assert_int_eq(infer_context_create(session, &context, NULL), INFER_OK);
    infer_context_observe(context, &(infer_observer){.before = note_kernel, .user = kernel});
    run_well(context, &input, 1, &output, 1);
    double largest = error_of(output.data);
    infer_context_release(context);
    infer_session_release(session);
    return largest;
}

START_TEST(factors_are_rounded_where_a_session_says_so)
{
    static const struct {
        const char *kernel;
        double least, most; /* error; where nothing is rounded it is less */
    } cases[] = {[INFER_FACTORS_F32] = {"matmul_cuda", 0, 1e-5},
                 [INFER_FACTORS_TF32] = {"matmul_tf32_cuda", 1e-5, 1e-3},
                 [INFER_FACTORS_F16] = {"matmul_f16_cuda", 1e-5, 1e-3},
                 [INFER_FACTORS_BF16] = {"matmul_bf16_cuda", 1e-4, 8e-3}};
    struct maker maker;
    infer_model *model = make_product(&maker, DTYPE_F32);
    for (int i = INFER_FACTORS_F32; i <= INFER_FACTORS_BF16 && has_kernel(cases[i].kernel); i++) {
        const char *kernel = "";
        double largest = run_product(model, (infer_factors)i, &kernel);
        ck_assert_str_eq(kernel, cases[i].kernel);
        ck_assert_double_ge(largest, cases[i].least);
        ck_assert_double_le(largest, cases[i].most);
    }
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* Weights stored as bfloat16 go to tensor cores with the bits that they are stored with. */
START_TEST(stored_bfloat16_is_multiplied_as_it_is)
{
    struct maker maker;
    infer_model *model = make_product(&maker, DTYPE_BF16);
    const char *kernel = "";
    for (int i = 0; i < M * K; i++)
        x[i] = bf16_to_f32(f32_to_bf16(x[i]));
    ck_assert_double_le(run_product(model, INFER_FACTORS_BF16, &kernel), 1e-5);
    ck_assert(!has_kernel("matmul_bf16_cuda") || strcmp(kernel, "matmul_bf16_cuda") == 0);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

START_TEST(neither_the_cpu_nor_cublas_rounds_them)
{
    static const struct {
        infer_session_options options;
        const char *text;
    } cases[] = {
        {{.factors = INFER_FACTORS_F16}, "the session runs on the CPU alone"},
        {{.device = INFER_DEVICE_CUDA, .gemm = INFER_GEMM_CUBLAS, .factors = INFER_FACTORS_TF32},
         "the session runs with cuBLAS"},
        {{.device = INFER_DEVICE_CUDA, .factors = (infer_factors)4}, "factors number 4 do not exist"},
    };
    struct maker maker;
    infer_model *model = make_product(&maker, DTYPE_F32);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        infer_session *session = NULL;
        infer_error error = {0};
        ck_assert_int_eq(infer_session_create(model, &cases[i].options, &session, &error), INFER_INVALID_ARGUMENT);
        ck_assert_msg(strstr(error.message, cases[i].text), "%s", error.message);
    }
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* Before anything else has opened the device. */
START_TEST(an_older_gpu_rounds_to_what_it_has)
{
    static const char *const kernels[] = {[INFER_FACTORS_F32] = "matmul_cuda",
                                          [INFER_FACTORS_TF32] = "matmul_cuda",
                                          [INFER_FACTORS_F16] = "matmul_f16_sm75_cuda",
                                          [INFER_FACTORS_BF16] = "matmul_cuda"};
    struct maker maker;
    infer_model *model = make_product(&maker, DTYPE_F32);
    emulation_set_capability(75);
    for (int i = INFER_FACTORS_F32; i <= INFER_FACTORS_BF16; i++) {
        const char *kernel = "";
        double largest = run_product(model, (infer_factors)i, &kernel);
        ck_assert_double_le(largest, i == INFER_FACTORS_F16 ? 1e-3 : 1e-5);
        ck_assert(!has_kernel(kernels[i]) || strcmp(kernel, kernels[i]) == 0);
    }
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

TCase *factors_tests(void)
{
    TCase *tests = tcase_create("factors");
    tcase_add_test(tests, factors_are_rounded_where_a_session_says_so);
    tcase_add_test(tests, neither_the_cpu_nor_cublas_rounds_them);
    tcase_add_test(tests, stored_bfloat16_is_multiplied_as_it_is);
    tcase_add_test(tests, an_older_gpu_rounds_to_what_it_has);
    return tests;
}
