#include "kernels/reduce.h"

#include "tools/problems/make.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define WORK 32768 /* elements that make a task */

static int64_t folded_count(const struct reduce_params *p)
{
    int64_t count = 1;
    for (int i = 0; i < p->folded_rank; i++)
        count *= p->folded[i];
    return count;
}

/* Roundings of a sum of many terms partly make up for each other, but not where one term is added again and again:
 * they all go the same way as long as the sum has the same exponent. */
static double roundings_of(const struct reduce_params *p)
{
    for (int i = 0; i < p->folded_rank; i++)
        if (p->folded_strides[i] == 0)
            return (double)folded_count(p);
    return 2 * sqrt((double)folded_count(p));
}

static struct bound bound_of(const struct reduce_params *p)
{
    double units = 4 + roundings_of(p);
    switch (p->kind) {
    case REDUCE_MAX:
    case REDUCE_MIN:
        return (struct bound){.bits = false};
    case REDUCE_PROD:
        return (struct bound){.relative = 2 + (double)folded_count(p)};
    case REDUCE_MEAN:
        return (struct bound){.sum = units, .divisor = (double)folded_count(p)};
    case REDUCE_SUM:
    case REDUCE_L1:
    case REDUCE_SUM_SQUARE:
        return (struct bound){.sum = units};
    case REDUCE_L2:
        return (struct bound){.sum = units, .root = true};
    default: /* logarithms: of a number near 1 they are near 0 */
        return (struct bound){.relative = units, .absolute = p->dtype == DTYPE_F32 ? units * 0x1p-23 : units * 0x1p-52};
    }
}

static void add_operands(struct maker *maker, const struct reduce_params *p)
{
    struct operand *x = add_input(maker, "x", p->bytes ? p->bytes : p->dtype), *y = add_output(maker, "y", p->dtype);
    for (int i = 0; i < p->kept_rank; i++)
        strided_axis(&x->at, p->kept[i], p->kept_strides[i]);
    for (int i = 0; i < p->folded_rank; i++)
        strided_axis(&x->at, p->folded[i], p->folded_strides[i]);
    strided_contiguous(&y->at, p->kept_rank, p->kept);
    if (dtype_is_float(p->dtype))
        y->bound = bound_of(p);
}

static void choose_sizes(struct maker *maker, struct reduce_params *p)
{
    int64_t *sizes[MAX_RANK], dims[MAX_RANK], strides[MAX_RANK];
    int rank = (int)random_between(&maker->random, 1, 5);
    for (int i = 0; i < rank; i++) {
        dims[i] = make_size(maker, 60);
        sizes[i] = &dims[i];
    }
    make_fit_tasks(maker, rank, sizes, 1, WORK);
    if (random_once_in(&maker->random, 40))
        dims[rank - 1] = 0;
    make_strides(maker, LAYOUT_READ, rank, dims, strides);
    for (int i = 0; i < rank; i++) {
        if (dims[i] > 0 && random_once_in(&maker->random, 2)) {
            p->kept_strides[p->kept_rank] = strides[i];
            p->kept[p->kept_rank++] = dims[i];
        } else {
            p->folded_strides[p->folded_rank] = strides[i];
            p->folded[p->folded_rank++] = dims[i];
        }
    }
}

static void make_reduce(struct maker *maker)
{
    static const char *const kinds[] = {"sum", "mean", "prod", "max", "min", "l1", "l2", "square", "log", "log_exp"};
    struct reduce_params *p = make_params(maker, sizeof *p);
    p->kind = (enum reduce_kind)random_below(&maker->random, REDUCE_COUNT);
    if (random_once_in(&maker->random, 6)) /* of which there are the most: of bytes, of sums past the range */
        p->kind = REDUCE_MEAN;
    p->dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F32, DTYPE_F64, DTYPE_I8, DTYPE_I16, DTYPE_I32, DTYPE_I64,
                                        DTYPE_U8, DTYPE_U16, DTYPE_U32, DTYPE_U64, DTYPE_BOOL));
    if (p->dtype == DTYPE_F32 && p->kind == REDUCE_MEAN && random_once_in(&maker->random, 2))
        p->bytes = random_once_in(&maker->random, 2) ? DTYPE_U8 : DTYPE_I8;
    if (p->dtype == DTYPE_BOOL)
        p->kind = random_once_in(&maker->random, 2) ? REDUCE_MAX : REDUCE_MIN;
    choose_sizes(maker, p);
    add_operands(maker, p);
    struct operand *x = &maker->problem->inputs[0];
    if (p->kind == REDUCE_LOG_SUM || p->kind == REDUCE_PROD) {
        x->low = dtype_is_float(p->dtype) ? 0.5 : 1;
        x->high = dtype_is_float(p->dtype) ? 1.7 : 4;
    } else {
        make_numbers(maker, x);
        if (p->kind == REDUCE_MEAN && dtype_is_float(p->dtype) && !p->bytes && random_once_in(&maker->random, 2))
            x->fill = FILL_EXTREME; /* sums may be f32, and pass its range */
    }
    describe(maker, " %s %s%s%s", kinds[p->kind], dtype_name(p->dtype), p->bytes ? " of " : "",
             p->bytes ? dtype_name(p->bytes) : "");
    describe_numbers(maker, "kept", p->kept_rank, p->kept);
    describe_numbers(maker, "strides", p->kept_rank, p->kept_strides);
    describe_numbers(maker, "folded", p->folded_rank, p->folded);
    describe_numbers(maker, "strides", p->folded_rank, p->folded_strides);
    if (wants_epilogue(maker) && p->dtype != DTYPE_BOOL && p->kept_rank > 0) {
        maker->problem->plain_params = memcpy(make_room(maker, 1, sizeof *p), p, sizeof *p);
        p->epilogue = make_epilogue(maker, p->kept_rank, p->kept, p->kept_rank > 1 ? 1 : 0, reduce_epilogue(p).dims);
    }
}

/* --- real ones ----------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int64_t kept, kept_stride, folded, folded_stride;
    enum dtype bytes;
} cases[] = {{"rows 1024x768", 1024, 768, 768, 1, DTYPE_NONE},
             {"columns 1024x768", 768, 1, 1024, 768, DTYPE_NONE},
             {"images 1280x49", 1280, 49, 49, 1, DTYPE_NONE},
             {"pairs 25700x2", 25700, 2, 2, 1, DTYPE_NONE},
             {"channels of bytes 384x400", 384, 1, 400, 384, DTYPE_U8}};

static void make_listed(struct maker *maker, size_t index)
{
    struct reduce_params *p = make_params(maker, sizeof *p);
    *p = (struct reduce_params){
        .dtype = DTYPE_F32,
        .kind = REDUCE_MEAN,
        .bytes = cases[index].bytes,
        .kept_rank = 1,
        .folded_rank = 1,
        .kept = {cases[index].kept},
        .kept_strides = {cases[index].kept_stride},
        .folded = {cases[index].folded},
        .folded_strides = {cases[index].folded_stride},
    };
    add_operands(maker, p);
    snprintf(maker->problem->name, sizeof maker->problem->name, "reduce mean of %s", cases[index].name);
}

const struct family_problems reduce_problems = {
    .family = FAMILY_reduce,
    .make = make_reduce,
    .share = NUMERIC_TYPES,
    .table_count = sizeof cases / sizeof cases[0],
    .make_listed = make_listed,
};
