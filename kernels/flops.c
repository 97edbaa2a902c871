#include "kernels/argmax.h"
#include "kernels/attention.h"
#include "kernels/col2im.h"
#include "kernels/conv.h"
#include "kernels/copy.h"
#include "kernels/cumulative.h"
#include "kernels/deform.h"
#include "kernels/det.h"
#include "kernels/dft.h"
#include "kernels/grid_sample.h"
#include "kernels/linear_attention.h"
#include "kernels/lookup.h"
#include "kernels/matmul.h"
#include "kernels/ngrams.h"
#include "kernels/nms.h"
#include "kernels/nonzero.h"
#include "kernels/normalize.h"
#include "kernels/pool.h"
#include "kernels/random.h"
#include "kernels/recurrent.h"
#include "kernels/reduce.h"
#include "kernels/resample.h"
#include "kernels/roi.h"
#include "kernels/scatter.h"
#include "kernels/softmax.h"
#include "kernels/stft.h"
#include "kernels/topk.h"
#include "kernels/trees.h"
#include "kernels/unique.h"

#include <math.h>

static double attention_flops(const struct attention_params *p)
{
    double pairs = 0;
    for (int64_t i = 0; i < p->queries; i++) {
        int64_t from, to;
        attention_window(p, i, &from, &to);
        pairs += (double)(to - from);
    }
    return 2 * pairs * (double)p->batch * (double)p->heads * (double)(p->head + p->v_head);
}

static double conv_flops(const struct conv_params *p)
{
    double products = (double)p->batch * (double)p->groups * (double)p->input_channels * (double)p->output_channels;
    for (int i = 0; i < SPATIAL_AXES; i++) {
        products *= (double)p->window.output[i] * (double)p->window.kernel[i];
        products /= (double)p->window.spread[i]; /* of a transposed convolution that many taps meet an element */
    }
    return 2 * products;
}

static double matmul_flops(const struct matmul_params *p)
{
    double products = (double)p->m * (double)p->n * (double)p->k;
    for (int i = 0; i < p->batch_rank; i++)
        products *= (double)p->batch[i];
    return 2 * products;
}

static double recurrent_flops(const struct recurrent_params *p)
{
    return 2 * (double)p->directions * (double)p->steps * (double)p->batch * (double)recurrent_gates(p) *
           (double)p->hidden * (double)p->hidden;
}

double kernel_flops(enum kernel_family family, const void *params)
{
    switch (family) {
    case FAMILY_attention:
        return attention_flops(params);
    case FAMILY_conv:
        return conv_flops(params);
    case FAMILY_matmul:
        return matmul_flops(params);
    case FAMILY_recurrent:
        return recurrent_flops(params);
    default:
        return 0;
    }
}

/* --- work of any family ------------------------------------------------------------------------------------------- */

static double elements(int rank, const int64_t *dims)
{
    double count = 1;
    for (int i = 0; i < rank; i++)
        count *= (double)dims[i];
    return count;
}

static double product(int64_t a, int64_t b, int64_t c)
{
    return (double)a * (double)b * (double)c;
}

/* Comparisons to sort so many. */
static double sorting(int64_t count)
{
    return (double)count * log2((double)count + 2);
}

/* Each tap at each position. */
static double sliding(const struct window *w)
{
    return elements(SPATIAL_AXES, w->output) * elements(SPATIAL_AXES, w->kernel);
}

static double col2im_work(const struct col2im_params *p)
{
    return (double)p->planes * sliding(&p->window);
}

static double deform_work(const struct deform_params *p)
{
    return (double)p->batch * (double)p->channels * sliding(&p->window) * (double)(1 << p->axes);
}

static double det_work(const struct det_params *p)
{
    return (double)p->batch * product(p->n, p->n, p->n);
}

/* A butterfly for each prime factor of the length; a complex product is four. */
static double dft_work(const struct dft_params *p)
{
    double factors = 1;
    int64_t left = p->length;
    for (int64_t factor = 2; factor * factor <= left; factor++)
        for (; left % factor == 0; left /= factor)
            factors += (double)factor;
    return 4 * product(p->outer, p->inner, p->length) * (factors + (double)left);
}

static double gather_work(const struct gather_params *p)
{
    return elements(p->rank, p->dims) * (1 + (double)p->components);
}

static double grid_sample_work(const struct grid_sample_params *p)
{
    double taps = p->mode == GRID_NEAREST ? 1 : p->mode == GRID_LINEAR ? 2 : 4;
    return product(p->batch, p->channels, p->points) * pow(taps, p->rank);
}

/* A state of head x v_head is read, corrected and written in each step. */
static double linear_attention_work(const struct linear_attention_params *p)
{
    return 3 * product(p->batch, p->steps, p->heads) * (double)p->head * (double)p->v_head;
}

static double lookup_work(const struct lookup_params *p)
{
    return (double)p->count * log2((double)p->keys + 2);
}

/* Each place and distance is looked up among the n-grams of each length. */
static double ngrams_work(const struct ngrams_params *p)
{
    double lookups = product(p->rows, p->length, p->skips + 1), each = 0;
    for (int n = p->shortest; n <= p->longest; n++)
        each += n * log2((double)p->counts[n - 1] + 2);
    return lookups * each + (double)p->rows * (double)p->columns;
}

/* Where every box is kept, and so compared with every other. */
static double nms_work(const struct nms_params *p)
{
    return product(p->batch, p->classes, p->boxes) * (double)p->boxes;
}

static double normalize_work(const struct normalize_params *p)
{
    return 3 * elements(p->kept_rank, p->kept) * elements(p->folded_rank, p->folded);
}

static double pointwise_work(const struct pointwise_params *p)
{
    return elements(p->rank, p->dims) * (double)(p->instruction_count + 1);
}

static double pool_work(const struct pool_params *p)
{
    return (double)p->batch * (double)p->channels * sliding(&p->window);
}

static double reduce_work(const struct reduce_params *p)
{
    return elements(p->kept_rank, p->kept) * elements(p->folded_rank, p->folded);
}

static double resample_work(const struct resample_params *p)
{
    return product(p->outer, p->output, p->inner) * (double)p->taps;
}

/* Four neighbours a sample; where regions tell how many samples there are, about one for each element of an image. */
static double roi_work(const struct roi_params *p)
{
    double bins = (double)p->pooled_height * (double)p->pooled_width, image = (double)p->height * (double)p->width;
    double samples =
        p->kind == ROI_MAX || p->samples <= 0 ? bins + image : bins * (double)p->samples * (double)p->samples;
    return 4 * (double)p->regions * (double)p->channels * samples;
}

/* As the definition has it, which is what the reference kernel does. */
static double stft_work(const struct stft_params *p)
{
    return 2 * product(p->batch, p->frames, p->bins) * (double)p->length;
}

static double family_work(enum kernel_family family, const void *params)
{
    switch (family) {
    case FAMILY_argmax: {
        const struct argmax_params *p = params;
        return product(p->outer, p->axis, p->inner);
    }
    case FAMILY_attention:
    case FAMILY_conv:
    case FAMILY_matmul:
    case FAMILY_recurrent:
        return kernel_flops(family, params) / 2;
    case FAMILY_col2im:
        return col2im_work(params);
    case FAMILY_copy: {
        const struct copy_params *p = params;
        return elements(p->rank, p->dims);
    }
    case FAMILY_cumulative: {
        const struct cumulative_params *p = params;
        return product(p->outer, p->count, p->inner);
    }
    case FAMILY_deform:
        return deform_work(params);
    case FAMILY_det:
        return det_work(params);
    case FAMILY_dft:
        return dft_work(params);
    case FAMILY_gather:
        return gather_work(params);
    case FAMILY_grid_sample:
        return grid_sample_work(params);
    case FAMILY_linear_attention:
        return linear_attention_work(params);
    case FAMILY_lookup:
        return lookup_work(params);
    case FAMILY_ngrams:
        return ngrams_work(params);
    case FAMILY_nms:
        return nms_work(params);
    case FAMILY_nonzero: {
        const struct nonzero_params *p = params;
        return elements(p->rank, p->dims);
    }
    case FAMILY_normalize:
        return normalize_work(params);
    case FAMILY_pointwise:
        return pointwise_work(params);
    case FAMILY_pool:
        return pool_work(params);
    case FAMILY_random: {
        const struct random_params *p = params;
        return (double)p->count;
    }
    case FAMILY_reduce:
        return reduce_work(params);
    case FAMILY_resample:
        return resample_work(params);
    case FAMILY_roi:
        return roi_work(params);
    case FAMILY_scatter: {
        const struct scatter_params *p = params;
        return gather_work(&p->at) + (double)p->data_elements;
    }
    case FAMILY_softmax: {
        const struct softmax_params *p = params;
        return 3 * product(p->outer, p->axis, p->inner);
    }
    case FAMILY_stft:
        return stft_work(params);
    case FAMILY_topk: {
        const struct topk_params *p = params;
        return (double)p->outer * (double)p->inner * sorting(p->count);
    }
    case FAMILY_trees: {
        const struct trees_params *p = params;
        return (double)p->rows * (p->most_work + (double)p->targets);
    }
    case FAMILY_unique: {
        const struct unique_params *p = params;
        return (double)p->outer * (double)p->inner * sorting(p->count);
    }
    case FAMILY_COUNT:
        break;
    }
    return 0;
}

double kernel_work(enum kernel_family family, const void *params)
{
    return fmax(family_work(family, params), 1);
}
