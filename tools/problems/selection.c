/* Families whose results are as many as the data says: nms, nonzero, unique; and random numbers. */
#include "kernels/nms.h"
#include "kernels/nonzero.h"
#include "kernels/random.h"
#include "kernels/unique.h"
#include "tools/problems/make.h"
#include "tools/problems/number.h"

#include <math.h>

/* --- nms ----------------------------------------------------------------------------------------------------- */

/* Corners at quarters: areas are exact. */
static void give_boxes(struct maker *maker, const struct nms_params *p)
{
    struct operand *boxes = add_input(maker, "boxes", DTYPE_F32);
    strided_contiguous(&boxes->at, 3, (int64_t[]){p->batch, p->boxes, 4});
    int64_t count = p->batch * p->boxes * 4;
    float *given = make_room(maker, (size_t)count, sizeof *given);
    for (int64_t i = 0; i < count; i++)
        given[i] = (float)random_between(&maker->random, 0, 40) / 4;
    boxes->fill = FILL_GIVEN;
    boxes->given = given;
}

static void add_limit(struct maker *maker, const char *name, enum dtype dtype, double low, double high, int64_t absent)
{
    static const int64_t one = 1;
    bool present = !random_once_in(&maker->random, absent);
    struct operand *operand = present ? add_input(maker, name, dtype) : add_absent(maker, name, false);
    strided_contiguous(&operand->at, 1, &one);
    operand->low = low;
    operand->high = high;
}

static void make_nms(struct maker *maker)
{
    struct nms_params *p = make_params(maker, sizeof *p);
    p->batch = random_between(&maker->random, 1, 3);
    p->classes = random_between(&maker->random, 1, 4);
    p->boxes = make_size(maker, 60);
    p->centered = random_once_in(&maker->random, 2);
    give_boxes(maker, p);
    struct operand *scores = add_input(maker, "scores", DTYPE_F32);
    strided_contiguous(&scores->at, 3, (int64_t[]){p->batch, p->classes, p->boxes});
    scores->fill = random_once_in(&maker->random, 2) ? FILL_WHOLE : FILL_SPECIAL;
    add_limit(maker, "most", DTYPE_I64, 1, (double)p->boxes + 2, 8);
    add_limit(maker, "overlap", DTYPE_F32, 0.21, 0.83, 5);
    add_limit(maker, "threshold", DTYPE_F32, -1.5, 0.5, 3);
    struct operand *found = add_output(maker, "found", DTYPE_I64);
    strided_contiguous(&found->at, 2, (int64_t[]){p->batch * p->classes * p->boxes, 3});
    found->sized_by_run = true;
    found->bound.bits = true;
    describe(maker, " batch=%lld classes=%lld boxes=%lld centered=%d", (long long)p->batch, (long long)p->classes,
             (long long)p->boxes, p->centered);
}

const struct family_problems nms_problems = {.family = FAMILY_nms, .make = make_nms};

/* --- nonzero ------------------------------------------------------------------------------------------------- */

static void make_nonzero(struct maker *maker)
{
    struct nonzero_params *p = make_params(maker, sizeof *p);
    int64_t *sizes[MAX_RANK], total = 1;
    p->rank = (int)random_between(&maker->random, 1, 4);
    p->element_bytes = 1u << random_below(&maker->random, 4);
    unsigned bits = 8 * p->element_bytes;
    p->mask = random_once_in(&maker->random, 2) ? ~0ull >> (64 - bits) : ~0ull >> (65 - bits);
    for (int i = 0; i < p->rank; i++) {
        p->dims[i] = make_size(maker, 20);
        sizes[i] = &p->dims[i];
    }
    make_fit(maker, p->rank, sizes, 1, 0, 3000);
    for (int i = 0; i < p->rank; i++)
        total *= p->dims[i];
    struct operand *x = add_input(maker, "x", moved_dtype(p->element_bytes));
    strided_contiguous(&x->at, p->rank, p->dims);
    void *given = make_room(maker, operand_bytes(x), 1);
    for (int64_t i = 0; i < total; i++) { /* nothing, the sign alone, or anything */
        uint64_t choice = random_bits(&maker->random), sign = 1ull << (bits - 1);
        uint64_t element = choice % 3 == 0 ? 0 : choice % 3 == 1 ? sign : random_bits(&maker->random) >> (64 - bits);
        number_put(x->dtype, given, i, (number)element);
    }
    x->fill = FILL_GIVEN;
    x->given = given;
    struct operand *y = add_output(maker, "y", DTYPE_I64);
    strided_contiguous(&y->at, 2, (int64_t[]){p->rank, total});
    y->sized_by_run = true;
    y->bound.bits = true;
    describe(maker, " of %u bytes mask=%llx", p->element_bytes, (unsigned long long)p->mask);
    describe_numbers(maker, "dims", p->rank, p->dims);
}

const struct family_problems nonzero_problems = {.family = FAMILY_nonzero, .make = make_nonzero};

/* --- unique -------------------------------------------------------------------------------------------------- */

static void add_result(struct maker *maker, const char *name, enum dtype dtype, int rank, const int64_t *dims,
                       bool sized_by_run)
{
    bool absent = random_once_in(&maker->random, 5);
    struct operand *output = absent ? add_absent(maker, name, true) : add_output(maker, name, dtype);
    strided_contiguous(&output->at, rank, dims);
    output->sized_by_run = sized_by_run && !absent;
    output->bound.bits = true;
}

static void make_unique(struct maker *maker)
{
    struct unique_params *p = make_params(maker, sizeof *p);
    enum dtype dtype = make_dtype(maker, 12, numeric_dtypes);
    bool flat = random_once_in(&maker->random, 2);
    p->dtype = (uint8_t)dtype;
    p->outer = flat ? 1 : make_size(maker, 5);
    p->count = make_size(maker, 60);
    p->inner = flat ? 1 : make_size(maker, 5);
    p->rank = flat ? 1 : 3;
    p->axis = flat ? 0 : 1;
    p->sorted = random_once_in(&maker->random, 2);
    const int64_t dims[] = {p->outer, p->count, p->inner};
    struct operand *x = add_input(maker, "x", dtype);
    strided_contiguous(&x->at, 3, dims);
    make_numbers(maker, x);
    if (!random_once_in(&maker->random, 4)) { /* equal ones */
        x->fill = FILL_WHOLE;
        x->low = 0;
        x->high = flat ? 12 : 1;
    }
    add_result(maker, "values", dtype, p->rank, flat ? &p->count : dims, true);
    add_result(maker, "firsts", DTYPE_I64, 1, &p->count, true);
    add_result(maker, "inverse", DTYPE_I64, 1, &p->count, false);
    add_result(maker, "counts", DTYPE_I64, 1, &p->count, true);
    describe(maker, " %s outer=%lld count=%lld inner=%lld sorted=%d", dtype_name(dtype), (long long)p->outer,
             (long long)p->count, (long long)p->inner, p->sorted);
}

const struct family_problems unique_problems = {.family = FAMILY_unique, .make = make_unique, .share = NUMERIC_TYPES};

/* --- random -------------------------------------------------------------------------------------------------- */

static void make_random(struct maker *maker)
{
    struct random_params *p = make_params(maker, sizeof *p);
    enum dtype dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F64));
    p->dtype = (uint8_t)dtype;
    p->count = make_size(maker, 4000);
    make_fit_tasks(maker, 1, (int64_t *const[]){&p->count}, 1, 4600);
    p->seed = random_bits(&maker->random);
    p->normal = random_once_in(&maker->random, 2);
    p->a = random_real(&maker->random, -2, 2);
    p->b = p->a + random_real(&maker->random, 0.1, 3);
    struct operand *y = add_output(maker, "y", dtype);
    strided_contiguous(&y->at, 1, &p->count);
    y->bound.relative = 4;
    y->bound.absolute = (dtype == DTYPE_F32 ? 0x1p-23 : 0x1p-52) * 64;
    describe(maker, " %s count=%lld seed=%llu a=%g b=%g normal=%d", dtype_name(dtype), (long long)p->count,
             (unsigned long long)p->seed, p->a, p->b, p->normal);
}

const struct family_problems random_problems = {.family = FAMILY_random, .make = make_random};
