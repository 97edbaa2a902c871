#include "kernels/softmax.h"

#include "tools/problems/make.h"

#include <stdio.h>

#define WORK 4096 /* elements that make a task */

static void add_operands(struct maker *maker, const struct softmax_params *p)
{
    const int64_t dims[] = {p->outer, p->axis, p->inner};
    struct operand *x = add_input(maker, "x", p->dtype), *y = add_output(maker, "y", p->dtype);
    strided_contiguous(&x->at, 3, dims);
    strided_contiguous(&y->at, 3, dims);
    maker->problem->in_place = 1;
    if (p->kind == SOFTMAX_HARD)
        return;
    /* x - most is rounded, which the exponential turns into an error of its own size times that of the difference. */
    y->bound.relative = 128;
    y->bound.absolute = p->dtype == DTYPE_F32 ? 0x1p-120 : 0x1p-1000;
    if (p->kind == SOFTMAX_LOG)
        y->bound.absolute = p->dtype == DTYPE_F32 ? 0x1p-20 : 0x1p-49;
}

static void make_softmax(struct maker *maker)
{
    static const char *const kinds[] = {"", " log", " hard"};
    struct softmax_params *p = make_params(maker, sizeof *p);
    *p = (struct softmax_params){.dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F64)),
                                 .kind = (enum softmax_kind)random_below(&maker->random, 3),
                                 .outer = make_size(maker, 20),
                                 .axis = make_size(maker, random_once_in(&maker->random, 4) ? 3000 : 300),
                                 .inner = random_once_in(&maker->random, 2) ? 1 : make_size(maker, 20)};
    make_fit_tasks(maker, 3, (int64_t *const[]){&p->outer, &p->axis, &p->inner}, 1, 2 * WORK);
    add_operands(maker, p);
    struct operand *x = &maker->problem->inputs[0];
    x->fill = random_once_in(&maker->random, 5) ? FILL_SPECIAL : FILL_NUMBERS;
    if (random_once_in(&maker->random, 3))
        x->low = -60, x->high = 60;
    if (p->kind == SOFTMAX_HARD && random_once_in(&maker->random, 2)) /* equal ones */
        x->fill = FILL_WHOLE;
    describe(maker, "%s %s outer=%lld axis=%lld inner=%lld", kinds[p->kind], dtype_name(p->dtype), (long long)p->outer,
             (long long)p->axis, (long long)p->inner);
}

static const struct softmax_params cases[] = {{DTYPE_F32, SOFTMAX, 12 * 128, 128, 1},
                                              {DTYPE_F32, SOFTMAX, 80, 6625, 1}};

static void make_listed(struct maker *maker, size_t index)
{
    struct softmax_params *p = make_params(maker, sizeof *p);
    *p = cases[index];
    add_operands(maker, p);
    snprintf(maker->problem->name, sizeof maker->problem->name, "softmax %lldx%lld", (long long)p->outer,
             (long long)p->axis);
}

const struct family_problems softmax_problems = {
    .family = FAMILY_softmax,
    .make = make_softmax,
    .table_count = sizeof cases / sizeof cases[0],
    .make_listed = make_listed,
};
