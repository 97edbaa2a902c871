/* Cross-layer equalisation (Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction,
 * section 4.1). Between two layers with nothing between them but what is positively homogeneous, channel by channel,
 * each channel may have another magnitude: what the first layer's weights and bias are divided by, the second one's
 * weights are multiplied by. Outputs of the first have scales of their own, so nothing is lost there, and the balance
 * is between the activation, as samples show it, whose channels share a scale, and the second one's weights, of which
 * all inputs of an output do. Depthwise weights do not, so there the activation's channels become equal. ReLU6 is not
 * homogeneous: its bound would have to be another for each channel. */
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
    double *reach; /* of the second's input, by channel */
};

struct equalising {
    const struct quantize_plan *plan;
    struct graph *graph;
    struct region scratch;
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

/* The constants of a pair are copies by now. */
static void scale_weights(const struct node *node, bool input, const double *factors)
{
    float *w = (float *)(uintptr_t)node->inputs[1]->data;
    for (int64_t at = 0; at < value_elements(node->inputs[1]); at++)
        w[at] = (float)((double)w[at] * factors[channel_of(node, input, at)]);
}

static bool is_depthwise(const struct node *node)
{
    return is_op(node, "Conv") && node->inputs[1]->dims[1] == 1;
}

/* Whose logarithms add up to 0; the largest relative change. */
static double find_factors(const struct pair *pair, double *factors)
{
    const float *w = pair->second->inputs[1]->data;
    double change = 0, sum = 0;
    memset(factors, 0, (size_t)pair->channels * sizeof *factors);
    for (int64_t at = 0; at < value_elements(pair->second->inputs[1]); at++) {
        double *most = &factors[channel_of(pair->second, true, at)];
        *most = fmax(*most, fabs((double)w[at]));
    }
    for (int64_t i = 0; i < pair->channels; i++) {
        double factor = is_depthwise(pair->second) ? pair->reach[i] : sqrt(pair->reach[i] / factors[i]);
        factors[i] = isfinite(factor) && factor > 0 ? factor : 0;
    }
    int64_t known = 0;
    for (int64_t i = 0; i < pair->channels; i++)
        if (factors[i] > 0) {
            sum += log(factors[i]);
            known++;
        }
    for (int64_t i = 0; i < pair->channels; i++) {
        factors[i] = factors[i] > 0 ? factors[i] / exp(sum / (double)known) : 1;
        change = fmax(change, fabs(factors[i] - 1));
    }
    return change;
}

static double equalise_pair(const struct pair *pair, double *factors)
{
    double change = find_factors(pair, factors);
    scale_weights(pair->second, true, factors);
    for (int64_t i = 0; i < pair->channels; i++) {
        factors[i] = 1 / factors[i];
        pair->reach[i] *= factors[i];
    }
    scale_weights(pair->first, false, factors);
    float *bias = pair->first->input_count > 2 && pair->first->inputs[2]
                      ? (float *)(uintptr_t)pair->first->inputs[2]->data
                      : NULL;
    for (int64_t i = 0; bias && i < pair->channels; i++)
        bias[i] = (float)((double)bias[i] * factors[i]);
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

/* What calibration saw of the layer's input; NULL: nothing. */
static const struct layer *layer_of(const struct equalising *e, const struct node *node)
{
    for (int i = 0; i < e->plan->count; i++)
        if (e->plan->layers[i].node == node)
            return e->plan->layers[i].reach ? &e->plan->layers[i] : NULL;
    return NULL;
}

static enum status add_pair(struct equalising *e, const struct node *first, const struct node *second,
                            const struct layer *layer)
{
    struct pair pair = {first, second, layer->mean_count, NULL};
    size_t bytes = (size_t)pair.channels * sizeof *pair.reach;
    pair.reach = region_allocate(&e->scratch, bytes + 1);
    if (!pair.reach)
        return no_memory(e);
    memcpy(pair.reach, layer->reach, bytes);
    e->pairs[e->count++] = pair;
    TRY(copy_constant(e, first->inputs[1]));
    TRY(copy_constant(e, second->inputs[1]));
    return first->input_count > 2 && first->inputs[2] ? copy_constant(e, first->inputs[2]) : STATUS_OK;
}

static enum status find_pairs(struct equalising *e, int64_t *most_channels)
{
    for (int i = 0; i < e->graph->node_count; i++) {
        const struct node *second = e->graph->nodes[i], *first = is_layer(e, second) ? first_of(e, second) : NULL;
        const struct layer *layer = first ? layer_of(e, second) : NULL;
        if (!layer || layer->mean_count != outputs_of(first))
            continue;
        *most_channels = layer->mean_count > *most_channels ? layer->mean_count : *most_channels;
        TRY(add_pair(e, first, second, layer));
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

static enum status equalise(struct equalising *e, int64_t channels)
{
    double change = 1, *factors = region_array(&e->scratch, (size_t)channels + 1, sizeof *factors);
    if (!factors)
        return no_memory(e);
    for (int sweep = 0; sweep < MOST_SWEEPS && change > SETTLED; sweep++) {
        change = 0;
        for (int i = 0; i < e->count; i++)
            change = fmax(change, equalise_pair(&e->pairs[i], factors));
    }
    return STATUS_OK;
}

enum status quantize_equalise(const struct quantize_plan *plan, struct graph *graph, int *pairs, struct error *error)
{
    struct equalising e = {.plan = plan, .graph = graph, .error = error};
    int64_t channels = 0;
    region_init(&e.scratch, graph->region->allocator);
    e.makers = region_array(&e.scratch, (size_t)graph->value_count + 1, sizeof(struct node *));
    e.readers = region_array(&e.scratch, (size_t)graph->value_count + 1, sizeof *e.readers);
    e.pairs = region_array(&e.scratch, (size_t)graph->node_count + 1, sizeof *e.pairs);
    enum status status = e.makers && e.readers && e.pairs ? STATUS_OK : no_memory(&e);
    if (status == STATUS_OK) {
        read_graph(&e);
        status = find_pairs(&e, &channels);
    }
    if (status == STATUS_OK)
        status = equalise(&e, channels);
    *pairs = e.count;
    region_free(&e.scratch);
    return status;
}
