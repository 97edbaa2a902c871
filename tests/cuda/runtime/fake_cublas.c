/* A libcublas.so.13 whose products the emulated GPU's streams do, as cuBLAS' documentation has its calls. It refuses
 * what cuBLAS would, and matrices that reach beyond an allocation. FAKE_CUBLAS=broken: it does not begin. */
#include "tests/cuda/emulation/cuda_runtime_api.h"
#include "tests/cuda/emulation/emulation.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int cublasCreate_v2(void **handle);
int cublasSetStream_v2(void *handle, void *stream);
int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes);
int cublasGemmStridedBatchedEx(void *handle, int transpose_a, int transpose_b, int m, int n, int k, const void *alpha,
                               const void *a, int a_type, int lda, long long stride_a, const void *b, int b_type,
                               int ldb, long long stride_b, const void *beta, void *c, int c_type, int ldc,
                               long long stride_c, int batch, int compute, int algorithm);

enum { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, EXECUTION_FAILED = 13 };

static struct {
    void *stream, *workspace;
    size_t workspace_bytes;
} the_handle;

int cublasCreate_v2(void **handle)
{
    const char *wanted = getenv("FAKE_CUBLAS");
    *handle = &the_handle;
    return wanted && strcmp(wanted, "broken") == 0 ? NOT_INITIALIZED : SUCCESS;
}

/* It takes memory of its own again. */
int cublasSetStream_v2(void *handle, void *stream)
{
    (void)handle;
    the_handle.stream = stream;
    the_handle.workspace = NULL;
    return SUCCESS;
}

int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes)
{
    (void)handle;
    if ((uintptr_t)workspace % 16 != 0 || emulation_memory_fault(workspace, bytes))
        return INVALID_VALUE;
    the_handle.workspace = workspace;
    the_handle.workspace_bytes = bytes;
    return SUCCESS;
}

/* By columns. */
struct product {
    int m, n, k, batch;
    const float *a, *b;
    float *c;
    long long a_row, a_column, b_row, b_column, c_column, a_batch, b_batch, c_batch;
    char *workspace;
    size_t workspace_bytes;
};

static void multiply(void *user)
{
    const struct product *p = user;
    if (p->workspace)
        memset(p->workspace, 0x5a, p->workspace_bytes);
    for (int i = 0; i < p->batch; i++)
        for (int column = 0; column < p->n; column++)
            for (int row = 0; row < p->m; row++) {
                float sum = 0;
                for (int k = 0; k < p->k; k++)
                    sum += p->a[i * p->a_batch + row * p->a_row + k * p->a_column] *
                           p->b[i * p->b_batch + k * p->b_row + column * p->b_column];
                p->c[i * p->c_batch + column * p->c_column + row] = sum;
            }
}

/* Matrices of so many columns, `pitch` apart, each of so many rows. */
static bool is_there(const float *matrix, int rows, int columns, int pitch, long long stride, int batch)
{
    long long most = stride * (batch - 1) + (long long)pitch * (columns - 1) + rows;
    return rows <= pitch && stride >= 0 && !emulation_memory_fault(matrix, (size_t)most * sizeof *matrix);
}

/* Whether no two matrices share a result: they follow each other, or columns of all lie between those of each. */
static bool are_apart(int rows, int columns, int pitch, long long stride, int batch)
{
    return batch == 1 || stride >= (long long)pitch * (columns - 1) + rows ||
           (stride >= rows && stride * (batch - 1) + rows <= pitch);
}

/* What is enqueued may be captured, and done any number of times: nobody frees it. */
int cublasGemmStridedBatchedEx(void *handle, int transpose_a, int transpose_b, int m, int n, int k, const void *alpha,
                               const void *a, int a_type, int lda, long long stride_a, const void *b, int b_type,
                               int ldb, long long stride_b, const void *beta, void *c, int c_type, int ldc,
                               long long stride_c, int batch, int compute, int algorithm)
{
    struct product *product = malloc(sizeof *product);
    (void)handle;
    if (!product || a_type != 0 || b_type != 0 || c_type != 0 || compute != 68 || algorithm != -1 ||
        *(const float *)alpha != 1 || *(const float *)beta != 0 || m < 1 || n < 1 || k < 1 || batch < 1 ||
        transpose_a / 2 != 0 || transpose_b / 2 != 0)
        return INVALID_VALUE;
    if (!are_apart(m, n, ldc, stride_c, batch) || !is_there(c, m, n, ldc, stride_c, batch) ||
        !is_there(a, transpose_a ? k : m, transpose_a ? m : k, lda, stride_a, batch) ||
        !is_there(b, transpose_b ? n : k, transpose_b ? k : n, ldb, stride_b, batch))
        return INVALID_VALUE;
    *product = (struct product){.m = m,
                                .n = n,
                                .k = k,
                                .batch = batch,
                                .a = a,
                                .b = b,
                                .c = c,
                                .a_row = transpose_a ? lda : 1,
                                .a_column = transpose_a ? 1 : lda,
                                .b_row = transpose_b ? ldb : 1,
                                .b_column = transpose_b ? 1 : ldb,
                                .c_column = ldc,
                                .a_batch = stride_a,
                                .b_batch = stride_b,
                                .c_batch = stride_c,
                                .workspace = the_handle.workspace,
                                .workspace_bytes = the_handle.workspace_bytes};
    return cudaLaunchHostFunc(the_handle.stream, multiply, product) == cudaSuccess ? SUCCESS : EXECUTION_FAILED;
}
