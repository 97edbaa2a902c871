/* Weights in small types. */
#include "graph/op.h"
#include "graph/quantize/quantize.h"
#include "kernels/convert.h"

#include <math.h>
#include <string.h>

static enum status no_memory(struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while making weights small");
}

static const float *content(const struct layer *layer)
{
    return layer->weights->data;
}

static double largest_of(const struct value *weights)
{
    double largest = 0;
    for (int64_t i = 0; weights && i < value_elements(weights); i++)
        largest = fmax(largest, fabs((double)((const float *)weights->data)[i]));
    return largest;
}

double quantize_largest(const struct layer *layer)
{
    return fmax(largest_of(layer->weights), largest_of(layer->states));
}

/* --- int8, a scale a channel ----------------------------------------------------------------------------- */

#define MOST 127

static float number_to(float number, float scale, float most)
{
    float rounded = rintf(number / scale);
    return rounded > most ? most : rounded < -most ? -most : rounded;
}

/* The scale in float16, rounded up so that the largest weight still fits; 0: it has too few digits there. */
static uint16_t half_scale(float scale)
{
    uint16_t half = f32_to_f16(scale);
    if (f16_to_f32(half) < scale)
        half++;
    return scale >= 0x1p-14F && f16_to_f32(half) <= 65504 ? half : 0;
}

/* Scales that a DequantizeLinear reads are stored in two bytes, where float16 has room for all of them. Of a single one
 * there is nothing to gain. */
static enum status halve_scales(struct quantize_plan *plan, struct layer *layer, struct error *error)
{
    int64_t count = layer->weights->dims[layer->axis];
    if (plan->form == QUANTIZE_DYNAMIC || layer->kind == LAYER_TABLE || count == 1)
        return STATUS_OK;
    uint16_t *halves = region_array(plan->region, (size_t)count, sizeof *halves);
    if (!halves)
        return no_memory(error);
    for (int64_t c = 0; c < count; c++)
        if ((halves[c] = half_scale(layer->scales[c])) == 0)
            return STATUS_OK;
    for (int64_t c = 0; c < count; c++)
        layer->scales[c] = f16_to_f32(halves[c]);
    layer->half_scales = halves;
    return STATUS_OK;
}

/* Where term `term` of an output channel's sum is; terms go in the order in which kernels take them: the channels of
 * one place of the window after those of another. */
static int64_t term_at(const struct layer *layer, int64_t channel, int64_t term)
{
    const struct value *weights = layer->weights;
    if (layer->kind == LAYER_PRODUCT)
        return layer->axis == 0 ? channel * weights->dims[1] + term : term * weights->dims[1] + channel;
    int64_t depth = weights->dims[1], window = value_elements(weights) / weights->dims[0] / depth;
    return (channel * depth + term % depth) * window + term / depth;
}

/* The largest sum of two neighbouring terms of one sign. A byte by each of two integers, added, fits 16 bits where the
 * two add up to no more than 128, and CPUs without VNNI multiply such pairs at a time; so scales are made for it. Where
 * rounding adds one to 127, 128 is left. Depthwise convolutions gain nothing by it, and of recurrent layers, whose
 * error comes back with every step, scales are as fine as can be. */
static float largest_pair(const struct layer *layer, int64_t channel)
{
    int64_t terms = value_elements(layer->weights) / layer->weights->dims[layer->axis];
    float largest = 0;
    for (int64_t i = 0; i + 1 < terms; i += 2) {
        float a = content(layer)[term_at(layer, channel, i)], b = content(layer)[term_at(layer, channel, i + 1)];
        float above = fmaxf(a, 0) + fmaxf(b, 0), below = fminf(a, 0) + fminf(b, 0);
        largest = fmaxf(largest, fmaxf(above, -below));
    }
    return largest;
}

static bool takes_pairs(const struct quantize_plan *plan, const struct layer *layer)
{
    return plan->in_pairs && (plan->form == QUANTIZE_STATIC || plan->form == QUANTIZE_DYNAMIC) &&
           layer->weights->rank >= 2 && value_elements(layer->weights) > 0 &&
           ((layer->kind == LAYER_PRODUCT && layer->weights->rank == 2) ||
            (layer->kind == LAYER_CONV && layer->weights->dims[1] > 1));
}

static enum status by_channel(struct quantize_plan *plan, struct layer *layer, struct error *error)
{
    struct axis_span {
        int64_t outer, count, inner;
    } span = {1, quantize_channels(layer), 1};
    for (int i = 0; i < layer->weights->rank; i++) {
        span.outer *= i < layer->axis && layer->kind != LAYER_RECURRENT ? layer->weights->dims[i] : 1;
        span.inner *= i > layer->axis ? layer->weights->dims[i] : 1;
    }
    int8_t *narrow = region_buffer(plan->region, (size_t)value_elements(layer->weights));
    layer->scales = region_array(plan->region, (size_t)span.count, sizeof *layer->scales);
    if (!narrow || !layer->scales)
        return no_memory(error);
    const float *x = content(layer);
    for (int64_t o = 0; o < span.outer; o++)
        for (int64_t c = 0; c < span.count; c++)
            for (int64_t i = 0; i < span.inner; i++)
                layer->scales[c] = fmaxf(layer->scales[c], fabsf(x[(o * span.count + c) * span.inner + i]));
    for (int64_t c = 0; c < span.count && takes_pairs(plan, layer); c++)
        layer->scales[c] = fmaxf(layer->scales[c], largest_pair(layer, c));
    for (int64_t c = 0; c < span.count; c++)
        layer->scales[c] = symmetric_scale((double)layer->scales[c], MOST);
    TRY(halve_scales(plan, layer, error));
    for (int64_t o = 0; o < span.outer; o++)
        for (int64_t c = 0; c < span.count; c++)
            for (int64_t i = 0; i < span.inner; i++) {
                int64_t at = (o * span.count + c) * span.inner + i;
                narrow[at] = (int8_t)number_to(x[at], layer->scales[c], MOST);
            }
    layer->narrow = narrow;
    return STATUS_OK;
}

/* --- int4, a scale a block ------------------------------------------------------------------------------- */

bool quantize_in_blocks(const struct quantize_plan *plan, const struct layer *layer)
{
    return plan->form == QUANTIZE_WEIGHTS && plan->bits == 4 && layer->weights && layer->weights->rank == 2 &&
           layer->kind != LAYER_CONV;
}

int64_t quantize_blocks(const struct quantize_plan *plan, const struct layer *layer)
{
    return (layer->weights->dims[1 - layer->axis] + plan->block - 1) / plan->block;
}

/* Two elements a byte, the first in the low half. */
static void put_nibble(uint8_t *bytes, int64_t at, int number)
{
    int shift = at % 2 ? 4 : 0;
    bytes[at / 2] = (uint8_t)((bytes[at / 2] & ~(15 << shift)) | (number & 15) << shift);
}

struct block {
    const float *first;
    int64_t count, stride; /* in elements */
};

static int to_nibble(float number, float scale)
{
    float rounded = rintf(number / scale);
    return (int)(rounded > 7 ? 7 : rounded < -8 ? -8 : rounded);
}

static double error_of(const struct block *block, float scale)
{
    double sum = 0;
    for (int64_t i = 0; i < block->count; i++) {
        double number = (double)block->first[i * block->stride];
        double error = number - (double)scale * to_nibble((float)number, scale);
        sum += error * error;
    }
    return sum;
}

/* Scales that are tried: they put the largest magnitude at 5.6 to 8. A negative one turns the sixteenth
 * integer, -8, to the side of the largest number. */
#define TRIES 24

/* Of integers of -8 to 7, in float16: the one with the least squared error. 1 for a block of zeros. */
static uint16_t block_scale(const struct block *block)
{
    double most = 0, lowest = INFINITY;
    uint16_t best = f32_to_f16(1);
    for (int64_t i = 0; i < block->count; i++)
        most = fmax(most, fabs((double)block->first[i * block->stride]));
    for (int i = 0; i < 2 * TRIES; i++) {
        double divisor = 5.5 + 2.5 * (i / 2 + 1) / TRIES;
        uint16_t scale = f32_to_f16((float)((i % 2 ? -most : most) / divisor));
        double found = f16_to_f32(scale) != 0 ? error_of(block, f16_to_f32(scale)) : INFINITY;
        if (found < lowest) {
            lowest = found;
            best = scale;
        }
    }
    return best;
}

static enum status by_block(struct quantize_plan *plan, struct layer *layer, struct error *error)
{
    const int64_t *dims = layer->weights->dims, blocks = quantize_blocks(plan, layer), channels = dims[layer->axis];
    const int64_t depth = dims[1 - layer->axis], along = layer->axis == 0 ? 1 : dims[1],
                  across = layer->axis == 0 ? dims[1] : 1;
    const int64_t block_along = layer->axis == 0 ? 1 : channels, block_across = layer->axis == 0 ? blocks : 1;
    uint8_t *narrow = region_allocate(plan->region, ((size_t)value_elements(layer->weights) + 1) / 2);
    layer->half_scales = region_array(plan->region, (size_t)(channels * blocks), sizeof *layer->half_scales);
    if (!narrow || !layer->half_scales)
        return no_memory(error);
    for (int64_t c = 0; c < channels; c++)
        for (int64_t b = 0; b < blocks; b++) {
            int64_t first = b * plan->block, left = depth - first, at = c * across + first * along;
            struct block block = {content(layer) + at, left < plan->block ? left : plan->block, along};
            uint16_t half = block_scale(&block);
            float scale = f16_to_f32(half);
            layer->half_scales[c * block_across + b * block_along] = half;
            for (int64_t k = 0; k < block.count; k++)
                put_nibble(narrow, at + k * along, to_nibble(content(layer)[at + k * along], scale));
        }
    layer->narrow = narrow;
    return STATUS_OK;
}

/* --- float16 --------------------------------------------------------------------------------------------- */

static enum status to_half(struct quantize_plan *plan, struct layer *layer, struct error *error)
{
    int64_t count = value_elements(layer->weights);
    uint16_t *narrow = region_buffer(plan->region, 2 * (size_t)count);
    if (!narrow)
        return no_memory(error);
    for (int64_t i = 0; i < count; i++)
        narrow[i] = f32_to_f16(content(layer)[i]);
    layer->narrow = narrow;
    return STATUS_OK;
}

/* --- what the outputs shift by ---------------------------------------------------------------------------- */

/* What an element of the weights has become. */
static float narrowed(const struct quantize_plan *plan, const struct layer *layer, int64_t at)
{
    const int64_t *dims = layer->weights->dims;
    int64_t inner = 1;
    for (int i = layer->axis + 1; i < layer->weights->rank; i++)
        inner *= dims[i];
    if (!quantize_in_blocks(plan, layer))
        return layer->scales[at / inner % dims[layer->axis]] * (float)((const int8_t *)layer->narrow)[at];
    int64_t row = at / dims[1], column = at % dims[1];
    int64_t place = layer->axis == 0 ? row * quantize_blocks(plan, layer) + column / plan->block
                                     : row / plan->block * dims[1] + column;
    int nibble = ((const uint8_t *)layer->narrow)[at / 2] >> (at % 2 ? 4 : 0) & 15;
    return f16_to_f32(layer->half_scales[place]) * (float)(nibble < 8 ? nibble : nibble - 16);
}

/* The element's output channel and input channel. */
static void channels_of(const struct layer *layer, int64_t at, int64_t *output, int64_t *input)
{
    const int64_t *dims = layer->weights->dims;
    if (layer->kind != LAYER_CONV) {
        *output = layer->axis == 0 ? at / dims[1] : at % dims[1];
        *input = layer->axis == 0 ? at % dims[1] : at / dims[1];
        return;
    }
    int64_t window = value_elements(layer->weights) / dims[0] / dims[1], groups = node_int(layer->node, "group");
    *output = at / window / dims[1];
    *input = *output / (dims[0] / (groups > 0 && dims[0] % groups == 0 ? groups : 1)) * dims[1] + at / window % dims[1];
}

/* Rounding the weights shifts the mean of each output by the sum of what they lose times the means of the inputs. */
static enum status find_shift(struct quantize_plan *plan, struct layer *layer, struct error *error)
{
    int64_t outputs = layer->weights->dims[layer->axis], output, input;
    double *sums = region_array(plan->region, (size_t)outputs, sizeof *sums);
    layer->shift = region_array(plan->region, (size_t)outputs, sizeof *layer->shift);
    if (!sums || !layer->shift)
        return no_memory(error);
    for (int64_t at = 0; at < value_elements(layer->weights); at++) {
        channels_of(layer, at, &output, &input);
        if (input < layer->mean_count)
            sums[output] += ((double)content(layer)[at] - (double)narrowed(plan, layer, at)) * layer->means[input];
    }
    for (int64_t i = 0; i < outputs; i++)
        layer->shift[i] = (float)sums[i];
    return STATUS_OK;
}

static enum status of_recurrent(struct quantize_plan *plan, struct layer *layer, struct error *error)
{
    struct layer states = quantize_states(layer);
    TRY(by_channel(plan, layer, error));
    TRY(by_channel(plan, &states, error));
    layer->narrow_states = states.narrow;
    layer->state_scales = states.scales;
    return STATUS_OK;
}

enum status quantize_weights(struct quantize_plan *plan, struct layer *layer, struct error *error)
{
    if (layer->narrow)
        return STATUS_OK;
    if (layer->kind == LAYER_RECURRENT)
        return of_recurrent(plan, layer, error);
    if (plan->form == QUANTIZE_HALF)
        return to_half(plan, layer, error);
    TRY(quantize_in_blocks(plan, layer) ? by_block(plan, layer, error) : by_channel(plan, layer, error));
    return layer->means ? find_shift(plan, layer, error) : STATUS_OK;
}
