/* Cross-layer equalisation (Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction,
 * section 4.1). Between two layers with nothing between them but what is positively homogeneous, channel by channel,
 * each channel may have another magnitude: what the first layer's weights and bias are divided by, the second one's
 * weights are multiplied by. The number that makes both layers' weights of the channel equally large makes channels of
 * a like magnitude, of which one scale for all fits better. ReLU6 is not homogeneous: its bound would have to be
 * another for each channel. */
#include "graph/op.h"
#include "graph/quantize/quantize.h"

#include <math.h>
#include <string.h>

#define MOST_SWEEPS 20
#define SETTLED 1e-3 /* the largest relative change of a sweep that is the last */

/* A layer and the one before it, by its channels that the other reads. */
struct pair {
    const struct node *first, *second;
    int64_t channels;
};

struct equalising {
    struct graph *graph;
    struct node **makers; /* by value id; NULL: none */
    int *readers;         /* by value id: operands of nodes, and outputs of the graph */
    struct pair *pairs;   /* the first layers last */
    int count;
    struct error *error;
};

static enum status no_memory(struct equalising *e)
{
    return error_set(e->error, STATUS_OUT_OF_MEMORY, "out of memory while equalising graph '%s'", e->graph->name);
}

/* --- what may be scaled ---------------------------------------------------------------------------------- */

static bool is_product(const struct node *node)
{
    return is_op(node, "MatMul") || is_op(node, "Gemm");
}

static bool is_own_constant(const struct equalising *e, const struct value *value)
{
    return value && value->data && value->dtype == DTYPE_F32 && e->readers[value->id] == 1;
}

/* A Conv, or a product, of weights that nothing else reads. */
static bool is_layer(const struct equalising *e, const struct node *node)
{
    if (!is_op(node, "Conv") && !is_product(node))
        return false;
    const struct value *w = node->inputs[1];
    bool fits = is_op(node, "Conv") ? w->rank >= 3 : w->rank == 2;
    return is_own_constant(e, w) && fits &&
           (!is_op(node, "Gemm") || (node_int(node, "transA") == 0 && node_float(node, "alpha") == 1));
}

static int64_t groups_of(const struct node *conv)
{
    int64_t groups = node_int(conv, "group");
    return groups > 0 && conv->inputs[1]->dims[0] % groups == 0 ? groups : 1;
}

/* The axis of a product's weights that its output channels lie along. */
static int output_axis(const struct node *product)
{
    return is_op(product, "Gemm") && node_int(product, "transB") != 0 ? 0 : 1;
}

static int64_t outputs_of(const struct node *node)
{
    return node->inputs[1]->dims[is_op(node, "Conv") ? 0 : output_axis(node)];
}

static int64_t inputs_of(const struct node *node)
{
    const struct value *w = node->inputs[1];
    return is_op(node, "Conv") ? w->dims[1] * groups_of(node) : w->dims[1 - output_axis(node)];
}

/* Its outputs may be divided, channel by channel. */
static bool has_divisible_outputs(const struct equalising *e, const struct node *node)
{
    const struct value *bias = node->input_count > 2 ? node->inputs[2] : NULL;
    bool known = !bias || (is_own_constant(e, bias) && bias->rank == 1 && bias->dims[0] == outputs_of(node));
    return is_layer(e, node) && known && (!is_op(node, "Gemm") || node_float(node, "beta") == 1);
}

static bool is_homogeneous(const struct node *node)
{
    if (is_op(node, "PRelu"))
        return node->inputs[1]->data != NULL;
    return is_op(node, "Relu") || is_op(node, "LeakyRelu") || is_op(node, "Identity");
}

static bool pools(const struct node *node)
{
    static const char *const names[] = {"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_op(node, names[i]))
            return node->output_count == 1;
    return false;
}

/* What makes the node's first input, if nothing else reads that. */
static const struct node *sole_maker(const struct equalising *e, const struct node *node)
{
    const struct value *input = node->inputs[0];
    return e->readers[input->id] == 1 ? e->makers[input->id] : NULL;
}

/* The layer whose output channels are the input channels of `second`; NULL: there is none. Images become rows by a
 * Flatten, which leaves the channels what they are where there are as many columns. */
static const struct node *first_of(const struct equalising *e, const struct node *second)
{
    bool image = is_op(second, "Conv");
    const struct node *node = sole_maker(e, second);
    for (; node; node = sole_maker(e, node)) {
        if (is_op(node, "Flatten") && !image && node_int(node, "axis") == 1)
            image = true;
        else if (!is_homogeneous(node) && !(image && pools(node)))
            break;
    }
    bool fits = node && (image ? is_op(node, "Conv") : is_product(node)) && has_divisible_outputs(e, node);
    return fits && outputs_of(node) == inputs_of(second) ? node : NULL;
}

/* --- channels -------------------------------------------------------------------------------------------- */

/* The input channel, or the output channel, that element `at` of the weights is of. */
static int64_t channel_of(const struct node *node, bool input, int64_t at)
{
    const struct value *w = node->inputs[1];
    if (!is_op(node, "Conv"))
        return (output_axis(node) == 1) == input ? at / w->dims[1] : at % w->dims[1];
    int64_t window = value_elements(w) / w->dims[0] / w->dims[1], output = at / window / w->dims[1];
    return input ? output / (w->dims[0] / groups_of(node)) * w->dims[1] + at / window % w->dims[1] : output;
}

static void find_reach(const struct node *node, bool input, float *reach)
{
    const float *w = node->inputs[1]->data;
    for (int64_t at = 0; at < value_elements(node->inputs[1]); at++) {
        float *most = &reach[channel_of(node, input, at)];
        *most = fmaxf(*most, fabsf(w[at]));
    }
}

/* The constants of a pair are copies by now. */
static void scale_weights(const struct node *node, bool input, const float *factors)
{
    float *w = (float *)(uintptr_t)node->inputs[1]->data;
    for (int64_t at = 0; at < value_elements(node->inputs[1]); at++)
        w[at] *= factors[channel_of(node, input, at)];
}

/* Its channels' factors; the largest relative change. reach: room for twice the channels. */
static double find_factors(const struct pair *pair, float *reach, float *factors)
{
    double change = 0;
    memset(reach, 0, 2 * (size_t)pair->channels * sizeof *reach);
    find_reach(pair->first, false, reach);
    find_reach(pair->second, true, reach + pair->channels);
    for (int64_t i = 0; i < pair->channels; i++) {
        float factor = sqrtf(reach[i] / reach[pair->channels + i]);
        factors[i] = isfinite(factor) && factor > 0 ? factor : 1;
        change = fmax(change, fabs((double)factors[i] - 1));
    }
    return change;
}

static double equalise_pair(const struct pair *pair, float *reach, float *factors)
{
    double change = find_factors(pair, reach, factors);
    scale_weights(pair->second, true, factors);
    for (int64_t i = 0; i < pair->channels; i++)
        factors[i] = 1 / factors[i];
    scale_weights(pair->first, false, factors);
    float *bias = pair->first->input_count > 2 && pair->first->inputs[2]
                      ? (float *)(uintptr_t)pair->first->inputs[2]->data
                      : NULL;
    for (int64_t i = 0; bias && i < pair->channels; i++)
        bias[i] *= factors[i];
    return change;
}

/* --- all of it ------------------------------------------------------------------------------------------- */

static enum status copy_constant(struct equalising *e, struct value *value)
{
    float *copy = region_buffer(e->graph->region, value_bytes(value) + 1);
    if (!copy)
        return no_memory(e);
    memcpy(copy, value->data, value_bytes(value));
    value->data = copy;
    return STATUS_OK;
}

static enum status find_pairs(struct equalising *e, int64_t *most_channels)
{
    for (int i = 0; i < e->graph->node_count; i++) {
        const struct node *second = e->graph->nodes[i], *first = is_layer(e, second) ? first_of(e, second) : NULL;
        if (!first)
            continue;
        e->pairs[e->count++] = (struct pair){first, second, outputs_of(first)};
        *most_channels = outputs_of(first) > *most_channels ? outputs_of(first) : *most_channels;
        TRY(copy_constant(e, first->inputs[1]));
        TRY(copy_constant(e, second->inputs[1]));
        if (first->input_count > 2 && first->inputs[2])
            TRY(copy_constant(e, first->inputs[2]));
    }
    return STATUS_OK;
}

static void read_graph(struct equalising *e)
{
    for (int i = 0; i < e->graph->node_count; i++) {
        struct node *node = e->graph->nodes[i];
        for (int k = 0; k < node->input_count; k++)
            if (node->inputs[k])
                e->readers[node->inputs[k]->id]++;
        for (int k = 0; k < node->output_count; k++)
            if (node->outputs[k])
                e->makers[node->outputs[k]->id] = node;
    }
    for (int i = 0; i < e->graph->output_count; i++)
        e->readers[e->graph->outputs[i]->id]++;
}

enum status quantize_equalise(struct graph *graph, int *pairs, struct error *error)
{
    struct region scratch;
    struct equalising e = {.graph = graph, .error = error};
    int64_t channels = 0;
    region_init(&scratch, graph->region->allocator);
    e.makers = region_array(&scratch, (size_t)graph->value_count + 1, sizeof(struct node *));
    e.readers = region_array(&scratch, (size_t)graph->value_count + 1, sizeof *e.readers);
    e.pairs = region_array(&scratch, (size_t)graph->node_count + 1, sizeof *e.pairs);
    enum status status = e.makers && e.readers && e.pairs ? STATUS_OK : no_memory(&e);
    if (status == STATUS_OK) {
        read_graph(&e);
        status = find_pairs(&e, &channels);
    }
    float *reach = region_array(&scratch, 3 * (size_t)channels + 1, sizeof *reach);
    if (status == STATUS_OK && !reach)
        status = no_memory(&e);
    double change = 1;
    for (int sweep = 0; status == STATUS_OK && sweep < MOST_SWEEPS && change > SETTLED; sweep++) {
        change = 0;
        for (int i = 0; i < e.count; i++)
            change = fmax(change, equalise_pair(&e.pairs[i], reach, reach + 2 * channels));
    }
    *pairs = e.count;
    region_free(&scratch);
    return status;
}
