/* Gather, scatter, resample; and what goes along a line: argmax, cumulative, topk. */
#include "tests/kernels/define.h"

#include "kernels/argmax.h"
#include "kernels/cumulative.h"
#include "kernels/resample.h"
#include "kernels/scatter.h"
#include "kernels/topk.h"

#include <math.h>

/* --- gather, scatter ----------------------------------------------------------------------------------------- */

/* Offset in the data that a point of the iteration space leads to. */
static int64_t addressed(const struct problem *problem, const struct operands *operands, const struct gather_params *p,
                         const int64_t *point)
{
    int64_t offset = 0, index_at = 0;
    for (int i = 0; i < p->rank; i++) {
        offset += point[i] * p->data_strides[i];
        index_at += point[i] * p->index_strides[i];
    }
    for (int j = 0; j < p->components; j++) {
        int64_t index = (int64_t)input_at(problem, operands, 1, index_at + j);
        offset += (index < 0 ? index + p->axis_dims[j] : index) * p->axis_strides[j];
    }
    return offset;
}

static number gather_element(const struct problem *problem, const struct operands *operands, int output,
                             const int64_t *at)
{
    const struct gather_params *p = problem->params;
    int64_t words = p->element_bytes == 16 ? 2 : 1;
    (void)output;
    return input_at(problem, operands, 0, addressed(problem, operands, p, at) * words + (words == 2 ? at[p->rank] : 0));
}

const struct definition define_gather = {.element = gather_element};

static number combined(const struct scatter_params *p, enum dtype dtype, number old, number update)
{
    bool integer = !dtype_is_float(dtype);
    switch (p->reduction) {
    case SCATTER_SET:
        return update;
    case SCATTER_ADD:
        return integer ? wrapped(dtype, number_to_bits(old) + number_to_bits(update)) : old + update;
    case SCATTER_MUL:
        return integer ? wrapped(dtype, number_to_bits(old) * number_to_bits(update)) : old * update;
    case SCATTER_MIN:
        return isnan(old) || old < update ? old : update;
    default:
        return isnan(old) || old > update ? old : update;
    }
}

static void scatter_whole(const struct problem *problem, const struct operands *operands, number *const *values,
                          int64_t (*dims)[MAX_RANK])
{
    (void)dims;
    const struct scatter_params *p = problem->params;
    enum dtype dtype = problem->inputs[0].dtype;
    int64_t words = p->at.element_bytes == 16 ? 2 : 1, elements = p->data_elements * words;
    struct strided space = {.rank = p->at.rank};
    for (int i = 0; i < p->at.rank; i++)
        space.dims[i] = p->at.dims[i];
    for (int64_t i = 0; i < elements; i++)
        values[0][i] = input_at(problem, operands, 0, i);
    int64_t count = strided_count(&space);
    for (int64_t i = 0; i < count; i++) {
        int64_t point[STRIDED_AXES], block = 0;
        strided_indices(&space, i, point);
        for (int k = 0; k < p->at.rank; k++)
            block += point[k] * p->at.block_strides[k];
        int64_t to = addressed(problem, operands, &p->at, point);
        for (int64_t word = 0; word < words; word++) {
            number *place = &values[0][to * words + word];
            *place = combined(p, dtype, *place, input_at(problem, operands, 2, block * words + word));
        }
    }
}

const struct definition define_scatter = {.whole = scatter_whole};

/* --- resample ------------------------------------------------------------------------------------------------ */

static number resample_element(const struct problem *problem, const struct operands *operands, int output,
                               const int64_t *at)
{
    const struct resample_params *p = problem->params;
    number sum = 0;
    (void)output;
    for (int64_t tap = 0; tap < p->taps; tap++) {
        int64_t place = (int64_t)input_at(problem, operands, 1, at[1] * p->taps + tap);
        sum += input_at(problem, operands, 2, at[1] * p->taps + tap) *
               input_at(problem, operands, 0, (at[0] * p->input + place) * p->inner + at[2]);
    }
    return sum;
}

const struct definition define_resample = {.element = resample_element};

/* --- lines --------------------------------------------------------------------------------------------------- */

/* Whether a ranks above b: a NaN above every number. */
static bool above(number a, number b, bool smallest)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && !isnan(b);
    return smallest ? a < b : a > b;
}

/* How many elements beat this one. */
static int64_t beaten_by(const struct problem *problem, const struct operands *operands, int64_t start, int64_t count,
                         int64_t step, int64_t position, bool smallest, bool later_wins)
{
    number x = input_at(problem, operands, 0, start + position * step);
    int64_t beaten = 0;
    for (int64_t i = 0; i < count; i++) {
        number other = input_at(problem, operands, 0, start + i * step);
        bool equal = !above(x, other, smallest) && !above(other, x, smallest);
        beaten += equal ? (later_wins ? i > position : i < position) : above(other, x, smallest);
    }
    return beaten;
}

static number argmax_element(const struct problem *problem, const struct operands *operands, int output,
                             const int64_t *at)
{
    const struct argmax_params *p = problem->params;
    int64_t start = at[0] * p->axis * p->inner + at[1], i = 0;
    (void)output;
    while (i + 1 < p->axis && beaten_by(problem, operands, start, p->axis, p->inner, i, p->minimum, p->last) > 0)
        i++;
    return (number)i;
}

static double argmax_cost(const struct problem *problem)
{
    double axis = (double)((const struct argmax_params *)problem->params)->axis;
    return axis * axis / 2;
}

const struct definition define_argmax = {.element = argmax_element, .cost = argmax_cost};

/* Among the largest a NaN is the first; among the smallest, the last. */
static int64_t topk_rank(const struct problem *problem, const struct operands *operands, int64_t start,
                         int64_t position)
{
    const struct topk_params *p = problem->params;
    if (p->largest)
        return beaten_by(problem, operands, start, p->count, p->inner, position, false, false);
    number x = input_at(problem, operands, 0, start + position * p->inner);
    int64_t before = 0;
    for (int64_t i = 0; i < p->count; i++) {
        number other = input_at(problem, operands, 0, start + i * p->inner);
        bool equal = other == x || (isnan(other) && isnan(x));
        before += equal ? i < position : isnan(x) || other < x;
    }
    return before;
}

static number topk_element(const struct problem *problem, const struct operands *operands, int output,
                           const int64_t *at)
{
    const struct topk_params *p = problem->params;
    int64_t start = at[0] * p->count * p->inner + at[2], position = 0;
    while (position + 1 < p->count && topk_rank(problem, operands, start, position) != at[1])
        position++;
    return output == 1 ? (number)position : input_at(problem, operands, 0, start + position * p->inner);
}

static double topk_cost(const struct problem *problem)
{
    double count = (double)((const struct topk_params *)problem->params)->count;
    return count * count / 2;
}

const struct definition define_topk = {.element = topk_element, .cost = topk_cost};

static number cumulative_element(const struct problem *problem, const struct operands *operands, int output,
                                 const int64_t *at)
{
    const struct cumulative_params *p = problem->params;
    enum dtype dtype = (enum dtype)p->dtype;
    int64_t start = at[0] * p->count * p->inner + at[2];
    number real = p->product;
    uint64_t bits = p->product;
    (void)output;
    for (int64_t i = 0; i < p->count; i++) {
        bool counts = p->reverse ? i > at[1] : i < at[1];
        if (!counts && (i != at[1] || p->exclusive))
            continue;
        number x = input_at(problem, operands, 0, start + i * p->inner);
        if (!dtype_is_float(dtype))
            bits = p->product ? bits * number_to_bits(x) : bits + number_to_bits(x);
        else
            real = p->product ? real * x : real + x;
    }
    return dtype_is_float(dtype) ? real : wrapped(dtype, bits);
}

static double cumulative_cost(const struct problem *problem)
{
    return (double)((const struct cumulative_params *)problem->params)->count;
}

const struct definition define_cumulative = {.element = cumulative_element, .cost = cumulative_cost};
