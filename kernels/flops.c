#include "kernels/attention.h"
#include "kernels/conv.h"
#include "kernels/matmul.h"
#include "kernels/recurrent.h"

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
