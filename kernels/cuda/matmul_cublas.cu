/* Family matmul by cuBLAS, where a session asks for it. It multiplies alone: D and the epilogue are a pass of ours. */
#include "kernels/cublas.h"
#include "kernels/cuda/matmul.h"

#include <dlfcn.h>
#include <mutex>
#include <stdio.h>

/* --- the library ------------------------------------------------------------------------------------------------- */

/* Of cublas_v2.h, which only the toolkit has; the numbers are those of cuBLAS' documentation. */
enum { OPERATION_N = 0, OPERATION_T = 1, TYPE_F32 = 0, ALGORITHM_DEFAULT = -1 };

struct cublas_library {
    void *library, *handle; /* NULL: it has not been opened */
    int (*create)(void **handle);
    int (*set_stream)(void *handle, void *stream);
    int (*set_workspace)(void *handle, void *workspace, size_t bytes);
    int (*gemm)(void *handle, int transpose_a, int transpose_b, int m, int n, int k, const void *alpha, const void *a,
                int a_type, int lda, long long stride_a, const void *b, int b_type, int ldb, long long stride_b,
                const void *beta, void *c, int c_type, int ldc, long long stride_c, int batch, int compute,
                int algorithm);
};

static cublas_library blas;
static std::mutex blas_mutex; /* of all above, and of the handle's stream and workspace */

template <typename F> static bool find_function(void *library, const char *name, F *function)
{
    *function = (F)dlsym(library, name);
    return *function != nullptr;
}

static bool load(cublas_library *found, char *why, size_t room)
{
    static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so"};
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !found->library; i++)
        found->library = dlopen(names[i], RTLD_NOW);
    if (!found->library) {
        snprintf(why, room, "cuBLAS is not here: none of %s, %s and %s can be loaded", names[0], names[1], names[2]);
        return false;
    }
    if (find_function(found->library, "cublasCreate_v2", &found->create) &&
        find_function(found->library, "cublasSetStream_v2", &found->set_stream) &&
        find_function(found->library, "cublasSetWorkspace_v2", &found->set_workspace) &&
        find_function(found->library, "cublasGemmStridedBatchedEx", &found->gemm))
        return true;
    snprintf(why, room, "the cuBLAS that is here lacks functions that products need");
    return false;
}

extern "C" bool cublas_open(char *why, size_t room)
{
    std::lock_guard<std::mutex> hold(blas_mutex);
    cublas_library found = {};
    if (blas.handle)
        return true;
    bool loaded = load(&found, why, room);
    int status = loaded ? found.create(&found.handle) : 0;
    if (loaded && status == 0) {
        blas = found;
        return true;
    }
    if (loaded)
        snprintf(why, room, "cuBLAS does not begin: cublasCreate fails with status %d", status);
    if (found.library)
        dlclose(found.library);
    return false;
}

/* --- a product --------------------------------------------------------------------------------------------------- */

/* By rows, or by columns, `pitch` apart. */
struct cublas_matrix {
    bool by_rows;
    int64_t pitch;
};

/* false: it lies otherwise. A single row, or column, may have any pitch. */
static bool describe(const struct matrix_strides *s, int64_t rows, int64_t columns, cublas_matrix *matrix)
{
    matrix->by_rows = s->column == 1 || columns == 1;
    int64_t length = matrix->by_rows ? columns : rows, lines = matrix->by_rows ? rows : columns;
    matrix->pitch = matrix->by_rows ? s->row : s->column;
    if (lines == 1 && matrix->pitch < length)
        matrix->pitch = length;
    return (matrix->by_rows || s->row == 1 || rows == 1) && matrix->pitch >= length && matrix->pitch < PRODUCT_LONGEST;
}

/* Of the batch; cuBLAS' documentation knows no steps backwards. */
static int64_t batch_stride(const struct matmul_params *p, const struct matrix_strides *s)
{
    return p->batch_rank ? s->batch[0] : 0;
}

extern "C" bool cublas_takes(const struct matmul_params *p)
{
    cublas_matrix a, b;
    return p->dtype == DTYPE_F32 && p->a_dtype == DTYPE_F32 && p->b_dtype == DTYPE_F32 && p->batch_rank <= 1 &&
           matmul_matrices(p) < PRODUCT_LONGEST && p->m > 0 && p->n > 0 && p->k > 0 && matmul_fits(p) &&
           batch_stride(p, &p->a) >= 0 && batch_stride(p, &p->b) >= 0 && describe(&p->a, p->m, p->k, &a) &&
           describe(&p->b, p->k, p->n, &b);
}

/* C = A B by rows is C' = B' A' by columns, which is how cuBLAS has all its matrices. */
extern "C" int cublas_multiply(const struct matmul_params *p, const void *a, const void *b, void *c, int64_t row,
                               int64_t batch, enum cublas_compute compute, void *stream, void *workspace,
                               size_t workspace_bytes)
{
    const float one = 1, zero = 0;
    cublas_matrix left, right;
    describe(&p->a, p->m, p->k, &left);
    describe(&p->b, p->k, p->n, &right);
    std::lock_guard<std::mutex> hold(blas_mutex);
    int status = blas.set_stream(blas.handle, stream);
    if (status == 0 && workspace)
        status = blas.set_workspace(blas.handle, workspace, workspace_bytes);
    if (status != 0)
        return status;
    return blas.gemm(blas.handle, right.by_rows ? OPERATION_N : OPERATION_T, left.by_rows ? OPERATION_N : OPERATION_T,
                     (int)p->n, (int)p->m, (int)p->k, &one, b, TYPE_F32, (int)right.pitch, batch_stride(p, &p->b), a,
                     TYPE_F32, (int)left.pitch, batch_stride(p, &p->a), &zero, c, TYPE_F32, (int)row, batch,
                     (int)matmul_matrices(p), (int)compute, ALGORITHM_DEFAULT);
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

/* Multiplications from which a product is worth a call of a library. Tests whose problems must be small set fewer. */
#ifndef CUBLAS_LEAST
#define CUBLAS_LEAST 0x1p20
#endif
#define WORKSPACE_BYTES ((size_t)4 << 20) /* of cuBLAS: in the arena, so that no two streams share it */

/* Whether results go to C at once. */
static bool goes_to_c(const struct matmul_params *p, bool has_d)
{
    return !p->epilogue && !has_d && p->c.column == 1 && p->c.row >= p->n && p->c.row < PRODUCT_LONGEST;
}

static void cublas_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct matmul_params *p = (const struct matmul_params *)plan->params;
    bool direct = goes_to_c(p, call->inputs[2] != nullptr);
    char *workspace = (char *)call->shared, *product = workspace + WORKSPACE_BYTES;
    (void)task;
    int status = cublas_multiply(p, call->inputs[0], call->inputs[1], direct ? call->outputs[0] : product,
                                 direct ? p->c.row : p->n, direct && p->batch_rank ? p->c.batch[0] : p->m * p->n,
                                 CUBLAS_COMPUTE_F32, call->stream, workspace, WORKSPACE_BYTES);
    if (status != 0) {
        kernel_fault(call, "cublasGemmStridedBatchedEx fails with status %d", status);
        return;
    }
    if (direct)
        return;
    slices_arguments<float, matmul_finish<float>> a = {
        {matmul_matrices(p), (int)p->m, (int)p->n, (int)p->k, 1, (int)p->k},
        matmul_finish_of<float>(plan, call),
        (const float *)product,
    };
    cuda_launch(call, add_slices<float, matmul_finish<float>>, grid_for(a.sizes.matrices * p->m * p->n, 256), 256, 0,
                a);
    struct epilogue epilogue = matmul_epilogue(p);
    cuda_epilogue_finish(&epilogue, plan, call);
}

static bool cublas_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                        struct kernel_plan *plan)
{
    const struct matmul_params *p = (const struct matmul_params *)params;
    (void)facts;
    (void)region;
    plan->phases = 1;
    plan->tasks[0] = 1;
    /* Whether there is a D, and so whether the product needs room, only a call tells. */
    plan->shared_bytes = WORKSPACE_BYTES + (size_t)(matmul_matrices(p) * p->m * p->n) * sizeof(float);
    struct epilogue epilogue = matmul_epilogue(p);
    cuda_epilogue_reserve(&epilogue, plan);
    return true;
}

static bool cublas_supports(const void *params)
{
    const struct matmul_params *p = (const struct matmul_params *)params;
    return cublas_takes(p) && (double)p->m * (double)p->n * (double)p->k >= CUBLAS_LEAST;
}

extern "C" const struct kernel matmul_cublas_cuda = {
    .name = "matmul_cublas_cuda",
    .family = FAMILY_matmul,
    .requires = DEVICE_CUDA | CUDA_CUBLAS,
    .supports = cublas_supports,
    .plan = cublas_plan,
    .run = cublas_run,
    .explain = cuda_program_explain,
};
