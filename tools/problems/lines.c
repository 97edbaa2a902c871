/* Families that go along one axis: argmax, cumulative, topk. */
#include "kernels/argmax.h"
#include "kernels/cumulative.h"
#include "kernels/topk.h"
#include "tools/problems/make.h"

#include <math.h>

/* Numbers of which some are equal. */
static void choose_numbers(struct maker *maker, struct operand *x)
{
    make_numbers(maker, x);
    x->odd_in = 8;
    if (random_once_in(&maker->random, 2))
        return;
    x->fill = FILL_WHOLE;
    x->low = dtype_is_unsigned_integer(x->dtype) ? 0 : -4;
    x->high = 5;
}

static void choose_sizes(struct maker *maker, int64_t *outer, int64_t *count, int64_t *inner)
{
    *outer = make_size(maker, 20);
    *count = make_size(maker, 200);
    *inner = random_once_in(&maker->random, 2) ? 1 : make_size(maker, 20);
    make_fit_tasks(maker, 3, (int64_t *const[]){outer, count, inner}, 1, 18000);
}

static void make_argmax(struct maker *maker)
{
    struct argmax_params *p = make_params(maker, sizeof *p);
    p->dtype = make_dtype(maker, 10, numeric_dtypes);
    p->minimum = random_once_in(&maker->random, 2);
    p->last = random_once_in(&maker->random, 2);
    choose_sizes(maker, &p->outer, &p->axis, &p->inner);
    struct operand *x = add_input(maker, "x", p->dtype), *y = add_output(maker, "y", DTYPE_I64);
    strided_contiguous(&x->at, 3, (int64_t[]){p->outer, p->axis, p->inner});
    strided_contiguous(&y->at, 2, (int64_t[]){p->outer, p->inner});
    y->bound.bits = true;
    choose_numbers(maker, x);
    describe(maker, " %s minimum=%d last=%d outer=%lld axis=%lld inner=%lld", dtype_name(p->dtype), p->minimum, p->last,
             (long long)p->outer, (long long)p->axis, (long long)p->inner);
}

static void make_cumulative(struct maker *maker)
{
    struct cumulative_params *p = make_params(maker, sizeof *p);
    enum dtype dtype = make_dtype(maker, 12, numeric_dtypes);
    p->dtype = (uint8_t)dtype;
    p->product = random_once_in(&maker->random, 2);
    p->exclusive = random_once_in(&maker->random, 2);
    p->reverse = random_once_in(&maker->random, 2);
    choose_sizes(maker, &p->outer, &p->count, &p->inner);
    struct operand *x = add_input(maker, "x", dtype), *y = add_output(maker, "y", dtype);
    strided_contiguous(&x->at, 3, (int64_t[]){p->outer, p->count, p->inner});
    strided_contiguous(&y->at, 3, (int64_t[]){p->outer, p->count, p->inner});
    make_numbers(maker, x);
    double units = 4 + 2 * sqrt((double)p->count);
    if (dtype_is_float(dtype) && p->product) {
        y->bound.relative = units;
        x->fill = FILL_NUMBERS;
        x->low = 0.8;
        x->high = 1.25;
    } else if (dtype_is_float(dtype)) {
        y->bound.sum = units;
    }
    describe(maker, " %s product=%d exclusive=%d reverse=%d outer=%lld count=%lld inner=%lld", dtype_name(dtype),
             p->product, p->exclusive, p->reverse, (long long)p->outer, (long long)p->count, (long long)p->inner);
}

static void make_topk(struct maker *maker)
{
    struct topk_params *p = make_params(maker, sizeof *p);
    enum dtype dtype = make_dtype(maker, 12, numeric_dtypes);
    p->dtype = (uint8_t)dtype;
    p->largest = random_once_in(&maker->random, 2);
    choose_sizes(maker, &p->outer, &p->count, &p->inner);
    p->k = random_once_in(&maker->random, 4) ? p->count : random_between(&maker->random, 1, p->count);
    struct operand *x = add_input(maker, "x", dtype);
    strided_contiguous(&x->at, 3, (int64_t[]){p->outer, p->count, p->inner});
    choose_numbers(maker, x);
    static const char *const names[] = {"values", "positions"};
    int absent = random_once_in(&maker->random, 3) ? (int)random_below(&maker->random, 2) : -1;
    for (int i = 0; i < 2; i++) {
        if (i == absent) {
            add_absent(maker, names[i], true);
            continue;
        }
        struct operand *output = add_output(maker, names[i], i ? DTYPE_I64 : dtype);
        strided_contiguous(&output->at, 3, (int64_t[]){p->outer, p->k, p->inner});
        output->bound.bits = true;
    }
    describe(maker, " %s largest=%d outer=%lld count=%lld inner=%lld k=%lld", dtype_name(dtype), p->largest,
             (long long)p->outer, (long long)p->count, (long long)p->inner, (long long)p->k);
}

const struct family_problems argmax_problems = {.family = FAMILY_argmax, .make = make_argmax};
const struct family_problems cumulative_problems = {
    .family = FAMILY_cumulative, .make = make_cumulative, .share = NUMERIC_TYPES};
const struct family_problems topk_problems = {.family = FAMILY_topk, .make = make_topk, .share = NUMERIC_TYPES};
