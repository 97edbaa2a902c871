#include "kernels/dft.h"

#include "kernels/reference/types.h"

#include <string.h>

/* Sums are made in double whatever the type, so that the error of a long transform stays below the type's. */
struct complex {
    double re, im;
};

struct transform {
    const struct complex *roots; /* exp(-2 pi i k / length) */
    int64_t length;
    struct complex *parts; /* room for one butterfly: as many as the largest prime factor */
};

static struct complex multiply(struct complex a, struct complex b)
{
    return (struct complex){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

static int64_t smallest_factor(int64_t n)
{
    for (int64_t factor = 2; factor * factor <= n; factor++)
        if (n % factor == 0)
            return factor;
    return n;
}

/* Cooley and Tukey's recursion over the prime factors of n: the transforms of every factor-th element, each n / factor
 * long, are combined by one butterfly of `factor` parts for each of their bins. */
static void transform(const struct transform *t, const struct complex *in, struct complex *out, int64_t n,
                      int64_t stride)
{
    if (n == 1) {
        *out = *in;
        return;
    }
    int64_t factor = smallest_factor(n), part = n / factor;
    for (int64_t r = 0; r < factor; r++)
        transform(t, in + r * stride, out + r * part, part, stride * factor);
    for (int64_t k = 0; k < part; k++) {
        for (int64_t r = 0; r < factor; r++)
            t->parts[r] = multiply(out[r * part + k], t->roots[r * k * stride]);
        for (int64_t q = 0; q < factor; q++) {
            struct complex sum = t->parts[0];
            for (int64_t r = 1; r < factor; r++) {
                struct complex term = multiply(t->parts[r], t->roots[r * q % factor * part * stride]);
                sum.re += term.re;
                sum.im += term.im;
            }
            out[q * part + k] = sum;
        }
    }
}

/* Completes a half spectrum by X[n - k] = conj X[k]; bins that are their own mirror image are real. */
static void mirror(struct complex *spectrum, int64_t n)
{
    for (int64_t k = 0; k <= n / 2; k++) {
        if (k == 0 || 2 * k == n)
            spectrum[k].im = 0;
        else
            spectrum[n - k] = (struct complex){spectrum[k].re, -spectrum[k].im};
    }
}

static size_t dft_workspace(const void *params)
{
    const struct dft_params *p = params;
    return (size_t)p->length * 3 * sizeof(struct complex);
}

static int dft_tasks(const void *params)
{
    const struct dft_params *p = params;
    return task_count(p->outer * p->inner, 1 + 4096 / p->length);
}

#define T float
#define TYPE_NAME f32
#include "kernels/reference/dft.inc"
#undef T
#undef TYPE_NAME
#define T double
#define TYPE_NAME f64
#include "kernels/reference/dft.inc"
#undef T
#undef TYPE_NAME

#define DFT(type, type_number)                      \
    static bool supports_##type(const void *params) \
    {                                               \
        const struct dft_params *p = params;        \
        return p->dtype == (type_number);           \
    }                                               \
    const struct kernel dft_##type##_reference = {  \
        .name = "dft_" #type "_reference",          \
        .family = FAMILY_dft,                       \
        .supports = supports_##type,                \
        .workspace_bytes = dft_workspace,           \
        .tasks = dft_tasks,                         \
        .run = dft_run_##type,                      \
    };
DFT(f32, DTYPE_F32)
DFT(f64, DTYPE_F64)
