/* Convolutions, products, copies: sums of products, straight from their definitions. */
#include "tests/kernels/define.h"

#include "kernels/conv.h"
#include "kernels/copy.h"
#include "kernels/matmul.h"

#include <string.h>

void sum_add(struct sum *sum, enum dtype dtype, number a, number b)
{
    if (dtype_is_float(dtype))
        sum->real += a * b;
    else
        sum->bits += number_to_bits(a) * number_to_bits(b);
}

number sum_value(const struct sum *sum, enum dtype dtype)
{
    return dtype_is_float(dtype) ? sum->real : wrapped(dtype, sum->bits);
}

number wrapped(enum dtype dtype, uint64_t bits)
{
    return number_rounded(dtype, number_of_signed(bits), false);
}

number input_at(const struct problem *problem, const struct operands *operands, int input, int64_t offset)
{
    const struct operand *operand = &problem->inputs[input];
    int64_t least = 0, most = 0;
    strided_reach(&operand->at, &least, &most);
    return number_get(operand->dtype, operands->inputs[input], offset - least);
}

/* A zero point, which may be absent. */
static number zero_at(const struct problem *problem, const struct operands *operands, int input, int64_t offset)
{
    return problem->inputs[input].absent ? 0 : input_at(problem, operands, input, offset);
}

/* --- conv ---------------------------------------------------------------------------------------------------- */

/* x as the windows see it: an element of f32, each operation rounded. */
static number scaled(const struct problem *problem, const struct operands *operands, number x, int64_t channel)
{
    const struct conv_params *p = problem->params;
    float seen = (float)x * (float)input_at(problem, operands, 3, channel);
    seen += (float)input_at(problem, operands, 4, channel);
    return p->x_cut && seen < 0 ? 0 : seen;
}

static void add_tap(const struct problem *problem, const struct operands *operands, const int64_t *at, int64_t channel,
                    const int64_t *tap, struct sum *sum)
{
    const struct conv_params *p = problem->params;
    int64_t group = at[1] / p->output_channels, output = at[1] % p->output_channels;
    int64_t x = at[0] * p->x.batch + (group * p->input_channels + channel) * p->x.channel;
    int64_t w = p->weight_offset + group * p->weight_group + output * p->weight_output + channel * p->weight_input;
    for (int i = 0; i < SPATIAL_AXES; i++) {
        int64_t place = at[2 + i] * p->window.stride[i] + tap[i] * p->window.dilation[i] - p->window.pad[i];
        if (place < 0 || place % p->window.spread[i] != 0 || place / p->window.spread[i] >= p->window.input[i])
            return;
        x += place / p->window.spread[i] * p->x.spatial[i];
        w += tap[i] * p->weight_spatial[i];
    }
    number left = input_at(problem, operands, 0, x), right = input_at(problem, operands, 1, w);
    if (conv_is_narrow(p)) {
        left -= zero_at(problem, operands, 3, 0);
        right -= zero_at(problem, operands, 4, at[1] * p->w_zero);
    }
    if (p->x_scaled)
        left = scaled(problem, operands, left, group * p->input_channels + channel);
    sum_add(sum, p->dtype, left, right);
}

static number conv_element(const struct problem *problem, const struct operands *operands, int output,
                           const int64_t *at)
{
    const struct conv_params *p = problem->params;
    int64_t tap[SPATIAL_AXES];
    struct sum sum = {0, 0};
    (void)output;
    if (!problem->inputs[2].absent)
        sum_add(&sum, p->dtype, input_at(problem, operands, 2, at[1]), 1);
    for (int64_t channel = 0; channel < p->input_channels; channel++)
        for (tap[0] = 0; tap[0] < p->window.kernel[0]; tap[0]++)
            for (tap[1] = 0; tap[1] < p->window.kernel[1]; tap[1]++)
                for (tap[2] = 0; tap[2] < p->window.kernel[2]; tap[2]++)
                    add_tap(problem, operands, at, channel, tap, &sum);
    return sum_value(&sum, p->dtype);
}

static double conv_cost(const struct problem *problem)
{
    const struct conv_params *p = problem->params;
    return (double)(p->input_channels * p->window.kernel[0] * p->window.kernel[1] * p->window.kernel[2]);
}

const struct definition define_conv = {.element = conv_element, .cost = conv_cost};

/* --- matmul -------------------------------------------------------------------------------------------------- */

static int64_t matrix_at(const struct matmul_params *p, const struct matrix_strides *strides, const int64_t *batch,
                         int64_t row, int64_t column)
{
    int64_t offset = row * strides->row + column * strides->column;
    for (int i = 0; i < p->batch_rank; i++)
        offset += batch[i] * strides->batch[i];
    return offset;
}

static number matmul_element(const struct problem *problem, const struct operands *operands, int output,
                             const int64_t *at)
{
    const struct matmul_params *p = problem->params;
    int64_t row = at[p->batch_rank], column = at[p->batch_rank + 1];
    struct sum sum = {0, 0};
    (void)output;
    for (int64_t d = 0; d < p->k; d++) {
        number left = input_at(problem, operands, 0, matrix_at(p, &p->a, at, row, d)),
               right = input_at(problem, operands, 1, matrix_at(p, &p->b, at, d, column));
        if (matmul_is_narrow(p)) {
            left -= zero_at(problem, operands, 3, matrix_at(p, &p->a_zero, at, row, 0));
            right -= zero_at(problem, operands, 4, matrix_at(p, &p->b_zero, at, 0, column));
        }
        if (matmul_is_scaled(p))
            right =
                (number)((float)right * (float)input_at(problem, operands, 4, matrix_at(p, &p->b_zero, at, 0, column)));
        sum_add(&sum, p->dtype, left, right);
    }
    if (!problem->inputs[2].absent)
        sum_add(&sum, p->dtype, input_at(problem, operands, 2, matrix_at(p, &p->d, at, row, column)), 1);
    return sum_value(&sum, p->dtype);
}

static double matmul_cost(const struct problem *problem)
{
    return (double)((const struct matmul_params *)problem->params)->k;
}

const struct definition define_matmul = {.element = matmul_element, .cost = matmul_cost};

/* --- copy ---------------------------------------------------------------------------------------------------- */

static number copy_element(const struct problem *problem, const struct operands *operands, int output,
                           const int64_t *at)
{
    const struct copy_params *p = problem->params;
    int64_t words = p->element_bytes == 16 ? 2 : 1, offset = p->input_offset;
    (void)output;
    for (int axis = 0; axis < p->rank; axis++)
        offset += at[axis] * p->input_strides[axis];
    return input_at(problem, operands, 0, offset * words + (words == 2 ? at[p->rank] : 0));
}

const struct definition define_copy = {.element = copy_element};
