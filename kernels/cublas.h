/* cuBLAS, found at run time: no program links it. */
#ifndef INFER_KERNELS_CUBLAS_H
#define INFER_KERNELS_CUBLAS_H

#include "kernels/matmul.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers of cublasComputeType_t: what factors of float32 are rounded to; sums are float32. */
enum cublas_compute {
    CUBLAS_COMPUTE_F32 = 68,
    CUBLAS_COMPUTE_F16 = 74,
    CUBLAS_COMPUTE_BF16 = 75,
    CUBLAS_COMPUTE_TF32 = 77
};

/* Opens the library, once for the process. false: `why`, a sentence. Any thread may ask. */
bool cublas_open(char *why, size_t room);

/* Whether cublas_multiply takes the product: float32, its operands by rows or by columns, one stride for the batch. */
bool cublas_takes(const struct matmul_params *p);
/* C = A B without D and the epilogue, enqueued on the stream; C by rows, `row` and `batch` elements apart. The
 * workspace, of the device, is used until that is done; NULL: cuBLAS takes memory of its own. Returns cuBLAS' status: 0
 * is success. */
int cublas_multiply(const struct matmul_params *p, const void *a, const void *b, void *c, int64_t row, int64_t batch,
                    enum cublas_compute compute, void *stream, void *workspace, size_t workspace_bytes);

#ifdef __cplusplus
}
#endif

#endif
