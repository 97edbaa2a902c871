#include "tools/bench.h"

#ifdef HAVE_OPENBLAS

#include <cblas.h>

struct product {
    const struct matmul_params *params;
    const float *a, *b;
    float *c;
};

static void multiply(void *user)
{
    const struct product *product = user;
    const struct matmul_params *p = product->params;
    bool transposed = p->b.column != 1;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, transposed ? CblasTrans : CblasNoTrans, (int)p->m, (int)p->n, (int)p->k, 1,
                product->a, (int)p->a.row, product->b, (int)(transposed ? p->b.column : p->b.row), 0, product->c,
                (int)p->c.row);
}

double blas_seconds(const struct matmul_params *params, const float *a, const float *b, float *c)
{
    struct product product = {params, a, b, c};
    if (params->batch[0] != 1)
        return 0;
    openblas_set_num_threads(1);
    return median_seconds(multiply, &product, 0.2);
}

#else

double blas_seconds(const struct matmul_params *params, const float *a, const float *b, float *c)
{
    (void)params, (void)a, (void)b, (void)c;
    return 0;
}

#endif
