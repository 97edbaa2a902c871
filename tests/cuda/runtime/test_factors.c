/* Products of float32 whose factors a session lets a GPU round. */
#include "tests/cuda/runtime/test_factors.h"

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

/* y = x w, with numbers that neither type holds. */
static infer_model *make_product(struct maker *maker)
{
    *maker = maker_start();
    struct graph *graph = maker->graph = graph_create(&maker->region, "product");
    for (int i = 0; i < M * K; i++)
        x[i] = 1.0f / (float)(3 + i % 29);
    for (int i = 0; i < K * N; i++)
        w[i] = 1.0f / (float)(7 + i % 31);
    struct value *in = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){M, K});
    struct value *weights = graph_add_constant(graph, "w", DTYPE_F32, 2, (int64_t[]){K, N}, w);
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

START_TEST(factors_are_rounded_where_a_session_says_so)
{
    static const char *const kernels[] = {"matmul_cuda", "matmul_tf32_cuda", "matmul_f16_cuda"};
    struct maker maker;
    infer_model *model = make_product(&maker);
    for (int factors = INFER_FACTORS_F32; factors <= INFER_FACTORS_F16 && has_kernel(kernels[factors]); factors++) {
        const infer_session_options options = {.device = INFER_DEVICE_CUDA, .factors = (infer_factors)factors};
        infer_tensor input = f32_tensor(x, 2, M, K), output = {0};
        infer_session *session;
        infer_context *context;
        infer_error error = {0};
        const char *kernel = "";
        ck_assert_msg(infer_session_create(model, &options, &session, &error) == INFER_OK, "%s", error.message);
        ck_assert_int_eq(infer_context_create(session, &context, NULL), INFER_OK);
        infer_context_observe(context, &(infer_observer){.before = note_kernel, .user = &kernel});
        run_well(context, &input, 1, &output, 1);
        ck_assert_str_eq(kernel, kernels[factors]);
        double largest = error_of(output.data);
        ck_assert_double_le(largest, factors ? 1e-3 : 1e-5);
        ck_assert(!factors || largest > 1e-5); /* else nothing was rounded */
        infer_context_release(context);
        infer_session_release(session);
    }
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
        {{.device = INFER_DEVICE_CUDA, .factors = (infer_factors)3}, "factors number 3 do not exist"},
    };
    struct maker maker;
    infer_model *model = make_product(&maker);
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
START_TEST(an_older_gpu_has_no_tf32)
{
    struct maker maker;
    infer_model *model = make_product(&maker);
    infer_session *session = NULL;
    infer_error error = {0};
    infer_session_options options = {.device = INFER_DEVICE_CUDA, .factors = INFER_FACTORS_TF32};
    emulation_set_capability(75);
    ck_assert_int_eq(infer_session_create(model, &options, &session, &error), INFER_UNSUPPORTED);
    ck_assert_msg(strstr(error.message, "device cuda: this GPU has no TF32"), "%s", error.message);
    options.factors = INFER_FACTORS_F16;
    ck_assert_int_eq(infer_session_create(model, &options, &session, &error), INFER_OK);
    infer_session_release(session);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

TCase *factors_tests(void)
{
    TCase *tests = tcase_create("factors");
    tcase_add_test(tests, factors_are_rounded_where_a_session_says_so);
    tcase_add_test(tests, neither_the_cpu_nor_cublas_rounds_them);
    tcase_add_test(tests, an_older_gpu_has_no_tf32);
    return tests;
}
