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

double quantize_largest(const struct layer *layer)
{
    double largest = 0;
    for (int64_t i = 0; i < value_elements(layer->weights); i++)
        largest = fmax(largest, fabs((double)content(layer)[i]));
    return largest;
}

/* --- int8, a scale a channel ----------------------------------------------------------------------------- */

static float number_to(float number, float scale, float most)
{
    float rounded = rintf(number / scale);
    return rounded > most ? most : rounded < -most ? -most : rounded;
}

static enum status by_channel(struct quantize_plan *plan, struct layer *layer, struct error *error)
{
    struct axis_span {
        int64_t outer, count, inner;
    } span = {1, layer->weights->dims[layer->axis], 1};
    for (int i = 0; i < layer->weights->rank; i++) {
        span.outer *= i < layer->axis ? layer->weights->dims[i] : 1;
        span.inner *= i > layer->axis ? layer->weights->dims[i] : 1;
    }
    int8_t *narrow = region_buffer(plan->region, (size_t)value_elements(layer->weights) + 1);
    layer->scales = region_array(plan->region, (size_t)span.count + 1, sizeof *layer->scales);
    if (!narrow || !layer->scales)
        return no_memory(error);
    const float *x = content(layer);
    for (int64_t o = 0; o < span.outer; o++)
        for (int64_t c = 0; c < span.count; c++)
            for (int64_t i = 0; i < span.inner; i++)
                layer->scales[c] = fmaxf(layer->scales[c], fabsf(x[(o * span.count + c) * span.inner + i]));
    for (int64_t c = 0; c < span.count; c++)
        layer->scales[c] = symmetric_scale((double)layer->scales[c]);
    for (int64_t o = 0; o < span.outer; o++)
        for (int64_t c = 0; c < span.count; c++)
            for (int64_t i = 0; i < span.inner; i++) {
                int64_t at = (o * span.count + c) * span.inner + i;
                narrow[at] = (int8_t)number_to(x[at], layer->scales[c], 127);
            }
    layer->narrow = narrow;
    return STATUS_OK;
}

/* --- int4, a scale a block ------------------------------------------------------------------------------- */

bool quantize_in_blocks(const struct quantize_plan *plan, const struct layer *layer)
{
    return plan->form == QUANTIZE_WEIGHTS && plan->bits == 4 && layer->weights->rank == 2 && layer->kind != LAYER_CONV;
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

/* Of integers of -8 to 7: the one with the least squared error. 1 for a block of zeros. */
static float block_scale(const struct block *block)
{
    double most = 0, lowest = INFINITY;
    float best = 1;
    for (int64_t i = 0; i < block->count; i++)
        most = fmax(most, fabs((double)block->first[i * block->stride]));
    if (most < 0x1p-100)
        return 1;
    for (int i = 0; i < 2 * TRIES; i++) {
        double divisor = 5.5 + 2.5 * (i / 2 + 1) / TRIES;
        float scale = (float)((i % 2 ? -most : most) / divisor);
        double found = error_of(block, scale);
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
    uint8_t *narrow = region_allocate(plan->region, (size_t)value_elements(layer->weights) / 2 + 2);
    layer->scales = region_array(plan->region, (size_t)(channels * blocks) + 1, sizeof *layer->scales);
    if (!narrow || !layer->scales)
        return no_memory(error);
    for (int64_t c = 0; c < channels; c++)
        for (int64_t b = 0; b < blocks; b++) {
            int64_t first = b * plan->block, left = depth - first, at = c * across + first * along;
            struct block block = {content(layer) + at, left < plan->block ? left : plan->block, along};
            float scale = block_scale(&block);
            layer->scales[c * block_across + b * block_along] = scale;
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
    uint16_t *narrow = region_buffer(plan->region, 2 * (size_t)count + 1);
    if (!narrow)
        return no_memory(error);
    for (int64_t i = 0; i < count; i++)
        narrow[i] = f32_to_f16(content(layer)[i]);
    layer->narrow = narrow;
    return STATUS_OK;
}

enum status quantize_weights(struct quantize_plan *plan, struct layer *layer, struct error *error)
{
    if (layer->narrow)
        return STATUS_OK;
    if (plan->form == QUANTIZE_HALF)
        return to_half(plan, layer, error);
    return quantize_in_blocks(plan, layer) ? by_block(plan, layer, error) : by_channel(plan, layer, error);
}
