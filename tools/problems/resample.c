#include "kernels/resample.h"

#include "tools/problems/make.h"

#include <math.h>

static void make_resample(struct maker *maker)
{
    struct resample_params *p = make_params(maker, sizeof *p);
    enum dtype dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F64));
    *p = (struct resample_params){.outer = make_size(maker, 20),
                                  .input = make_size(maker, 40),
                                  .output = make_size(maker, 60),
                                  .inner = random_once_in(&maker->random, 2) ? 1 : make_size(maker, 40),
                                  .taps = random_between(&maker->random, 1, 5),
                                  .dtype = (uint8_t)dtype};
    make_fit_tasks(maker, 3, (int64_t *const[]){&p->outer, &p->output, &p->inner}, p->taps, 16384);
    struct operand *x = add_input(maker, "x", dtype), *places = add_input(maker, "places", DTYPE_I32);
    struct operand *weights = add_input(maker, "weights", dtype), *y = add_output(maker, "y", dtype);
    strided_contiguous(&x->at, 3, (int64_t[]){p->outer, p->input, p->inner});
    strided_contiguous(&places->at, 2, (int64_t[]){p->output, p->taps});
    strided_contiguous(&weights->at, 2, (int64_t[]){p->output, p->taps});
    strided_contiguous(&y->at, 3, (int64_t[]){p->outer, p->output, p->inner});
    places->constant = weights->constant = true;
    places->fill = FILL_WHOLE;
    places->low = 0;
    places->high = (double)(p->input - 1);
    y->bound.sum = 4 + 2 * sqrt((double)p->taps);
    make_numbers(maker, x);
    describe(maker, " %s outer=%lld input=%lld output=%lld inner=%lld taps=%lld", dtype_name(dtype),
             (long long)p->outer, (long long)p->input, (long long)p->output, (long long)p->inner, (long long)p->taps);
}

const struct family_problems resample_problems = {.family = FAMILY_resample, .make = make_resample};
