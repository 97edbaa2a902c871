/* Pools, reductions, softmax, normalisations. */
#include "tests/kernels/define.h"

#include "kernels/normalize.h"
#include "kernels/pool.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"

#include <math.h>

static double product_of(int rank, const int64_t *dims)
{
    double product = 1;
    for (int i = 0; i < rank; i++)
        product *= (double)dims[i];
    return product;
}

/* --- pool ---------------------------------------------------------------------------------------------------- */

/* What a window has seen so far. */
struct seen {
    number best, sum;
    int64_t where, inside;
};

static number lowest_of(enum dtype dtype)
{
    return dtype == DTYPE_I8 ? INT8_MIN : dtype == DTYPE_U8 ? 0 : -(number)INFINITY;
}

static void see_tap(const struct problem *problem, const struct operands *operands, const int64_t *at,
                    const int64_t *tap, struct seen *seen)
{
    const struct pool_params *p = problem->params;
    int64_t offset = at[0] * p->x.batch + at[1] * p->x.channel;
    int64_t index = at[0] * p->index.batch + at[1] * p->index.channel;
    for (int i = 0; i < SPATIAL_AXES; i++) {
        int64_t place = at[2 + i] * p->window.stride[i] + tap[i] * p->window.dilation[i] - p->window.pad[i];
        if (place < 0 || place >= p->window.input[i])
            return;
        offset += place * p->x.spatial[i];
        index += place * p->index.spatial[i];
    }
    number x = input_at(problem, operands, 0, offset);
    if (x > seen->best || (isnan(x) && !isnan(seen->best))) {
        seen->best = x;
        seen->where = index;
    }
    seen->sum += p->kind == POOL_LP ? powl(fabsl(x), (number)p->power) : x;
    seen->inside++;
}

/* Taps that lie in the input or in its padding. */
static int64_t padded_taps(const struct pool_params *p, const int64_t *at)
{
    int64_t count = 1;
    for (int i = 0; i < SPATIAL_AXES; i++) {
        int64_t along = 0;
        for (int64_t tap = 0; tap < p->window.kernel[i]; tap++)
            along += at[2 + i] * p->window.stride[i] + tap * p->window.dilation[i] - p->window.pad[i] <
                     p->window.input[i] + p->window.pad_after[i];
        count *= along;
    }
    return count;
}

static number pool_element(const struct problem *problem, const struct operands *operands, int output,
                           const int64_t *at)
{
    const struct pool_params *p = problem->params;
    struct seen seen = {.best = lowest_of(p->dtype), .where = at[0] * p->index.batch + at[1] * p->index.channel};
    int64_t tap[SPATIAL_AXES];
    for (tap[0] = 0; tap[0] < p->window.kernel[0]; tap[0]++)
        for (tap[1] = 0; tap[1] < p->window.kernel[1]; tap[1]++)
            for (tap[2] = 0; tap[2] < p->window.kernel[2]; tap[2]++)
                see_tap(problem, operands, at, tap, &seen);
    if (output == 1)
        return (number)seen.where;
    if (p->kind == POOL_LP)
        return powl(seen.sum, 1 / (number)p->power);
    if (p->kind == POOL_AVERAGE)
        return seen.sum / (number)(p->count_padding ? padded_taps(p, at) : seen.inside);
    return seen.best;
}

const struct definition define_pool = {.element = pool_element};

/* --- reduce -------------------------------------------------------------------------------------------------- */

static number fold(enum reduce_kind kind, number folded, number x, number shift)
{
    switch (kind) {
    case REDUCE_PROD:
        return folded * x;
    case REDUCE_MAX:
        return isnan(folded) || folded > x ? folded : x;
    case REDUCE_MIN:
        return isnan(folded) || folded < x ? folded : x;
    case REDUCE_L1:
        return folded + fabsl(x);
    case REDUCE_L2:
    case REDUCE_SUM_SQUARE:
        return folded + x * x;
    case REDUCE_LOG_SUM_EXP:
        return folded + expl(x - shift);
    default:
        return folded + x;
    }
}

static number finish(enum reduce_kind kind, number folded, number count, number shift)
{
    switch (kind) {
    case REDUCE_MEAN:
        return folded / count;
    case REDUCE_L2:
        return sqrtl(folded);
    case REDUCE_LOG_SUM:
        return logl(folded);
    case REDUCE_LOG_SUM_EXP:
        return logl(folded) + shift;
    default:
        return folded;
    }
}

static number start_of(enum reduce_kind kind)
{
    return kind == REDUCE_PROD ? 1 : kind == REDUCE_MAX ? -(number)INFINITY : kind == REDUCE_MIN ? (number)INFINITY : 0;
}

static int64_t kept_offset(const struct reduce_params *p, const int64_t *at)
{
    int64_t offset = 0;
    for (int i = 0; i < p->kept_rank; i++)
        offset += at[i] * p->kept_strides[i];
    return offset;
}

static struct strided folded_walk(const struct reduce_params *p, const int64_t *at)
{
    struct strided walk = {.rank = 0, .offset = kept_offset(p, at)};
    for (int i = 0; i < p->folded_rank; i++) {
        walk.dims[walk.rank] = p->folded[i];
        walk.strides[walk.rank++] = p->folded_strides[i];
    }
    return walk;
}

static number fold_floats(const struct problem *problem, const struct operands *operands, const struct strided *walk)
{
    const struct reduce_params *p = problem->params;
    number shift = -(number)INFINITY, folded = start_of(p->kind);
    int64_t count = strided_count(walk);
    for (int64_t i = 0; i < count && p->kind == REDUCE_LOG_SUM_EXP; i++)
        shift = fold(REDUCE_MAX, shift, input_at(problem, operands, 0, strided_offset(walk, i)), 0);
    shift = isfinite(shift) ? shift : 0;
    for (int64_t i = 0; i < count; i++)
        folded = fold(p->kind, folded, input_at(problem, operands, 0, strided_offset(walk, i)), shift);
    return finish(p->kind, folded, (number)count, shift);
}

/* The least and the greatest value of an integer type. */
static number end_of(enum dtype dtype, bool greatest)
{
    number span = ldexpl(1, (int)dtype_bits(dtype));
    if (dtype == DTYPE_BOOL)
        return greatest;
    if (dtype_is_unsigned_integer(dtype))
        return greatest ? span - 1 : 0;
    return greatest ? span / 2 - 1 : -span / 2;
}

/* In 64 bits, of which the type keeps what fits. */
static number fold_integers(const struct problem *problem, const struct operands *operands, const struct strided *walk)
{
    const struct reduce_params *p = problem->params;
    bool is_signed = dtype_is_signed_integer(p->dtype);
    uint64_t folded = p->kind == REDUCE_PROD;
    number best = end_of(p->dtype, p->kind == REDUCE_MIN);
    int64_t count = strided_count(walk);
    for (int64_t i = 0; i < count; i++) {
        number x = input_at(problem, operands, 0, strided_offset(walk, i));
        uint64_t bits = number_to_bits(x);
        if (p->kind == REDUCE_MAX || p->kind == REDUCE_MIN)
            best = fold(p->kind, best, x, 0);
        else if (p->kind == REDUCE_PROD)
            folded *= bits;
        else if (p->kind == REDUCE_L1)
            folded += x < 0 ? 0 - bits : bits;
        else
            folded += p->kind == REDUCE_L2 || p->kind == REDUCE_SUM_SQUARE ? bits * bits : bits;
    }
    if (p->kind == REDUCE_MAX || p->kind == REDUCE_MIN)
        return best;
    number sum = is_signed ? number_of_signed(folded) : (number)folded;
    if (p->kind == REDUCE_MEAN)
        sum = count ? truncl(sum / (number)count) : 0;
    if (p->kind == REDUCE_L2)
        sum = sum < 0 ? 0 : (number)floor(sqrt((double)sum));
    return wrapped(p->dtype, number_to_bits(sum));
}

static number reduce_element(const struct problem *problem, const struct operands *operands, int output,
                             const int64_t *at)
{
    const struct reduce_params *p = problem->params;
    struct strided walk = folded_walk(p, at);
    (void)output;
    return dtype_is_float(p->dtype) ? fold_floats(problem, operands, &walk) : fold_integers(problem, operands, &walk);
}

static double reduce_cost(const struct problem *problem)
{
    const struct reduce_params *p = problem->params;
    return product_of(p->folded_rank, p->folded);
}

/* Logarithms of integers are what the reference makes of them. */
static bool reduce_covers(const struct problem *problem)
{
    const struct reduce_params *p = problem->params;
    return dtype_is_float(p->dtype) || (p->kind != REDUCE_LOG_SUM && p->kind != REDUCE_LOG_SUM_EXP);
}

const struct definition define_reduce = {.element = reduce_element, .cost = reduce_cost, .covers = reduce_covers};

/* --- softmax ------------------------------------------------------------------------------------------------- */

static number softmax_element(const struct problem *problem, const struct operands *operands, int output,
                              const int64_t *at)
{
    const struct softmax_params *p = problem->params;
    int64_t start = at[0] * p->axis * p->inner + at[2], best = 0;
    number most = input_at(problem, operands, 0, start), sum = 0;
    number x = input_at(problem, operands, 0, start + at[1] * p->inner);
    (void)output;
    for (int64_t i = 1; i < p->axis; i++) {
        number other = input_at(problem, operands, 0, start + i * p->inner);
        if (!isnan(most) && (isnan(other) || other > most)) {
            most = other;
            best = i;
        }
    }
    if (p->kind == SOFTMAX_HARD)
        return best == at[1];
    for (int64_t i = 0; i < p->axis; i++)
        sum += expl(input_at(problem, operands, 0, start + i * p->inner) - most);
    return p->kind == SOFTMAX ? expl(x - most) / sum : x - most - logl(sum);
}

static double softmax_cost(const struct problem *problem)
{
    return (double)((const struct softmax_params *)problem->params)->axis;
}

const struct definition define_softmax = {.element = softmax_element, .cost = softmax_cost};

/* --- normalize ----------------------------------------------------------------------------------------------- */

static int64_t stepped(int rank, const int64_t *at, const int64_t *strides)
{
    int64_t offset = 0;
    for (int i = 0; i < rank; i++)
        offset += at[i] * strides[i];
    return offset;
}

static number mean_power(const struct problem *problem, const struct operands *operands, const struct strided *group,
                         number mean, bool square)
{
    number sum = 0;
    int64_t count = strided_count(group);
    for (int64_t i = 0; i < count; i++) {
        number x = input_at(problem, operands, 0, strided_offset(group, i)) - mean;
        sum += square ? x * x : x;
    }
    return sum / (number)count;
}

static number normalize_element(const struct problem *problem, const struct operands *operands, int output,
                                const int64_t *at)
{
    const struct normalize_params *p = problem->params;
    const int64_t *inside = at + p->kept_rank;
    struct strided group = {.rank = p->folded_rank, .offset = stepped(p->kept_rank, at, p->x.kept)};
    for (int i = 0; i < p->folded_rank; i++) {
        group.dims[i] = p->folded[i];
        group.strides[i] = p->x.folded[i];
    }
    number mean = p->centred ? mean_power(problem, operands, &group, 0, false) : 0;
    number factor = 1 / sqrtl(mean_power(problem, operands, &group, mean, true) + (number)p->epsilon);
    if (output > 0)
        return output == 1 ? mean : factor;
    number y =
        (input_at(problem, operands, 0, group.offset + stepped(p->folded_rank, inside, p->x.folded)) - mean) * factor;
    if (!problem->inputs[1].absent)
        y *= input_at(problem, operands, 1,
                      stepped(p->kept_rank, at, p->scale.kept) + stepped(p->folded_rank, inside, p->scale.folded));
    if (!problem->inputs[2].absent)
        y += input_at(problem, operands, 2,
                      stepped(p->kept_rank, at, p->bias.kept) + stepped(p->folded_rank, inside, p->bias.folded));
    return y;
}

static double normalize_cost(const struct problem *problem)
{
    const struct normalize_params *p = problem->params;
    return 2 * product_of(p->folded_rank, p->folded);
}

const struct definition define_normalize = {.element = normalize_element, .cost = normalize_cost};
