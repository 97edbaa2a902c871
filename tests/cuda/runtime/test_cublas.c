/* Products by cuBLAS, for which tests/cuda/runtime/fake_cublas.c stands where the linker's path has it. */
#include "tests/cuda/runtime/test_cublas.h"

#include "runtime/session.h"
#include "tests/cuda/emulation/emulation.h"
#include "tests/model_maker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define M 64
#define N 128
#define K 160

static float x[M * K], w[K * N], t[N * K], bias[N];

static void fill(float *to, int count, int seed)
{
    for (int i = 0; i < count; i++)
        to[i] = (float)((i * 7 + seed) % 13 - 6) / 16;
}

/* p = x w, as it is; q = Relu(x w + bias); r = x t', whose right operand lies by columns; s = x w', too small. */
static infer_model *make_products(struct maker *maker)
{
    *maker = maker_start();
    fill(x, M * K, 1);
    fill(w, K * N, 2);
    fill(t, N * K, 3);
    fill(bias, N, 4);
    struct graph *graph = maker->graph = graph_create(&maker->region, "products");
    struct value *in = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){M, K});
    struct value *by_rows = graph_add_constant(graph, "w", DTYPE_F32, 2, (int64_t[]){K, N}, w);
    struct value *by_columns = graph_add_constant(graph, "t", DTYPE_F32, 2, (int64_t[]){N, K}, t);
    struct value *narrow = graph_add_constant(graph, "n", DTYPE_F32, 2, (int64_t[]){K, 4}, w);
    struct value *b = graph_add_constant(graph, "b", DTYPE_F32, 1, (int64_t[]){N}, bias);
    struct value *p = make_node2(graph, "MatMul", "p", in, by_rows);
    struct value *sum = make_node2(graph, "Add", "sum", make_node2(graph, "MatMul", "product", in, by_rows), b);
    struct value *q = make_node1(graph, "Relu", "q", sum);
    struct value *turned = make_node1(graph, "Transpose", "turned", by_columns);
    struct value *r = make_node2(graph, "MatMul", "r", in, turned);
    struct value *s = make_node2(graph, "MatMul", "s", in, narrow);
    return maker_finish(maker, 1, &in, 4, (struct value *[]){p, q, r, s}, NULL);
}

static void count_products(void *user, const infer_step *step)
{
    *(int *)user += strcmp(step->kernel, "matmul_cublas_cuda") == 0;
}

static bool is_there(infer_model *model, infer_error *error)
{
    infer_session *session;
    const infer_session_options options = {.device = INFER_DEVICE_CUDA, .gemm = INFER_GEMM_CUBLAS};
    infer_status status = infer_session_create(model, &options, &session, error);
    infer_session_release(session);
    return status == INFER_OK;
}

START_TEST(large_products_are_its_own)
{
    struct maker maker;
    infer_model *model = make_products(&maker);
    infer_context *contexts[2];
    infer_tensor inputs[] = {f32_tensor(x, 2, M, K)}, outputs[2][4];
    infer_error error = {0};
    int products = 0;
    emulation_abort_on_complaint(true);
    if (!is_there(model, &error)) {
        ck_assert_int_eq(error.status, INFER_UNSUPPORTED);
        ck_assert_msg(strstr(error.message, "device cuda: cuBLAS "), "%s", error.message);
        ck_assert_msg(!getenv("FAKE_CUBLAS"), "the library should be there: %s", error.message);
    }
    for (int side = 0; side < 2 && error.status == INFER_OK; side++) {
        const infer_session_options options = {.device = (infer_device)side, .gemm = (infer_gemm)side};
        infer_session *session;
        ck_assert_int_eq(infer_session_create(model, &options, &session, &error), INFER_OK);
        ck_assert_int_eq(infer_context_create(session, &contexts[side], NULL), INFER_OK);
        infer_session_release(session);
        for (int run = 0; run < 3; run++) { /* as it is enqueued, in the run that captures, and in one that replays */
            memset(outputs[side], 0, sizeof outputs[side]);
            run_well(contexts[side], inputs, 1, outputs[side], 4);
        }
    }
    for (int i = 0; i < 4 && error.status == INFER_OK; i++)
        for (size_t k = 0; k < outputs[0][i].bytes / sizeof(float); k++)
            ck_assert_float_eq_tol(((float *)outputs[0][i].data)[k], ((float *)outputs[1][i].data)[k], 1e-4f);
    if (error.status == INFER_OK) {
        infer_context_observe(contexts[1], &(infer_observer){.before = count_products, .user = &products});
        run_well(contexts[1], inputs, 1, outputs[1], 4);
        ck_assert_int_ge(products, 2);
        infer_context_release(contexts[0]);
        infer_context_release(contexts[1]);
    }
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

START_TEST(the_cpu_has_none)
{
    struct maker maker;
    infer_model *model = make_products(&maker);
    infer_session *session;
    infer_error error = {0};
    infer_session_options options = {.gemm = INFER_GEMM_CUBLAS};
    ck_assert_int_eq(infer_session_create(model, &options, &session, &error), INFER_INVALID_ARGUMENT);
    ck_assert_msg(strstr(error.message, "cuBLAS computes on a GPU"), "%s", error.message);
    options = (infer_session_options){.device = INFER_DEVICE_CUDA, .gemm = (infer_gemm)9};
    ck_assert_int_eq(infer_session_create(model, &options, &session, &error), INFER_INVALID_ARGUMENT);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* Only a process that has not opened it yet can tell. */
START_TEST(one_that_does_not_begin_is_named)
{
    struct maker maker;
    infer_model *model = make_products(&maker);
    infer_error error = {0};
    if (getenv("FAKE_CUBLAS")) {
        setenv("FAKE_CUBLAS", "broken", 1);
        ck_assert(!is_there(model, &error));
        ck_assert_msg(strstr(error.message, "cublasCreate fails with status 1"), "%s", error.message);
        setenv("FAKE_CUBLAS", "well", 1);
        ck_assert(is_there(model, &error));
    }
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

TCase *cublas_tests(void)
{
    TCase *tests = tcase_create("cuBLAS");
    tcase_add_test(tests, large_products_are_its_own);
    tcase_add_test(tests, the_cpu_has_none);
    tcase_add_test(tests, one_that_does_not_begin_is_named);
    return tests;
}
