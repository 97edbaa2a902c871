/* Which values beside the inputs of layers would lie in memory between two steps: where integers are computed before
 * them, they are quantised as well. What a step hands on in registers stays as it is: an elementwise operator is taken
 * in by the one that alone reads it, and the last product that such a group reads takes in the group (graph/steps). */
#include "graph/op.h"
#include "graph/quantize/quantize.h"

#include <string.h>

struct reading {
    int count;  /* operands of nodes, and outputs of the graph */
    int node;   /* the last that reads it; -1: none */
    bool out;   /* the graph hands it out */
    int group;  /* of elementwise nodes, who alone read it; -1: there is none */
    bool small; /* it has one position, as what is pooled over whole images */
    bool suits; /* whoever reads it can do so as integers, and does not hand it out */
};

struct finding {
    struct quantize_plan *plan;
    struct reading *readings; /* by value id */
    int *makers;              /* by value id; -1: none */
    int *groups;              /* by node: the last elementwise one of its group; -1: it is none */
    struct value **riders;    /* by node: what its group takes in from a product; NULL: nothing */
};

static bool is_elementwise(const struct node *node)
{
    return (node->op->flags & OP_ELEMENTWISE) && node->output_count == 1;
}

/* What has an epilogue. */
static bool carries(const struct node *node)
{
    static const char *const names[] = {"AveragePool", "Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_op(node, names[i]))
            return node->output_count == 1;
    return false;
}

static bool is_nearest(const struct node *node)
{
    return is_op(node, "Resize") && strcmp(node_string(node, "mode"), "nearest") == 0;
}

int quantize_moved_inputs(const struct node *node)
{
    static const char *const names[] = {"DepthToSpace", "Flatten", "Identity",  "MaxPool",  "Reshape",
                                        "Slice",        "Squeeze", "Transpose", "Unsqueeze"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_op(node, names[i]))
            return node->output_count == 1;
    return is_op(node, "Concat") ? node->input_count : is_nearest(node);
}

static bool reads_integers(const struct node *node)
{
    return is_elementwise(node) || is_op(node, "AveragePool") || is_op(node, "GlobalAveragePool") ||
           is_op(node, "Conv") || quantize_moved_inputs(node) > 0;
}

/* --- the graph ------------------------------------------------------------------------------------------- */

static void read_node(struct finding *f, int index)
{
    const struct node *node = f->plan->graph->nodes[index];
    bool suits = reads_integers(node);
    for (int k = 0; k < node->output_count && quantize_moved_inputs(node) > 0; k++)
        suits = suits && (!node->outputs[k] || f->readings[node->outputs[k]->id].suits);
    for (int k = 0; k < node->input_count; k++) {
        struct reading *reading = node->inputs[k] ? &f->readings[node->inputs[k]->id] : NULL;
        if (!reading)
            continue;
        reading->count++;
        reading->node = reading->node > index ? reading->node : index;
        reading->suits = reading->suits && suits;
    }
    for (int k = 0; k < node->output_count; k++)
        if (node->outputs[k])
            f->makers[node->outputs[k]->id] = index;
}

static void read_graph(struct finding *f)
{
    const struct graph *graph = f->plan->graph;
    for (int i = 0; i < graph->value_count; i++) {
        f->makers[i] = -1;
        f->readings[i] = (struct reading){.node = -1, .group = -1, .suits = true};
    }
    for (int i = 0; i < graph->output_count; i++)
        f->readings[graph->outputs[i]->id] = (struct reading){.count = 1, .node = -1, .out = true, .group = -1};
    for (int i = graph->node_count - 1; i >= 0; i--)
        read_node(f, i);
    for (int i = 0; i < f->plan->count; i++)
        if (f->plan->layers[i].input)
            f->readings[f->plan->layers[i].input->id].suits = false;
}

static bool pools_all(const struct node *node)
{
    return is_op(node, "GlobalAveragePool") || is_op(node, "GlobalMaxPool");
}

static void find_small(struct finding *f)
{
    const struct graph *graph = f->plan->graph;
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = graph->nodes[i];
        bool small = is_elementwise(node) || is_op(node, "Conv"), any = false;
        for (int k = 0; k < node->input_count; k++) {
            const struct value *input = node->inputs[k];
            bool fixed = !input || input->data;
            small = small && (fixed || f->readings[input->id].small);
            any = any || !fixed;
        }
        if (node->output_count > 0 && node->outputs[0])
            f->readings[node->outputs[0]->id].small = pools_all(node) || (small && any);
    }
}

/* --- groups ---------------------------------------------------------------------------------------------- */

static bool is_small_output(const struct finding *f, const struct node *node)
{
    return node->outputs[0] && f->readings[node->outputs[0]->id].small;
}

/* Readers come before makers, and so their groups are known. What has one position is no part of a group of images. */
static void find_groups(struct finding *f)
{
    const struct graph *graph = f->plan->graph;
    for (int i = graph->node_count - 1; i >= 0; i--) {
        const struct node *node = graph->nodes[i];
        f->groups[i] = is_elementwise(node) ? i : -1;
        if (f->groups[i] >= 0 && node->outputs[0] && f->readings[node->outputs[0]->id].group >= 0)
            f->groups[i] = f->readings[node->outputs[0]->id].group;
        for (int k = 0; k < node->input_count; k++) {
            struct reading *reading = node->inputs[k] ? &f->readings[node->inputs[k]->id] : NULL;
            if (!reading)
                continue;
            bool same = !reading->out && (reading->node == i || reading->group == f->groups[i]) &&
                        reading->small == is_small_output(f, node);
            reading->group = same ? f->groups[i] : -1;
        }
    }
}

static bool is_within(const struct finding *f, const struct value *value, int group)
{
    int maker = f->makers[value->id];
    return maker >= 0 && f->groups[maker] == group;
}

static void find_riders(struct finding *f)
{
    const struct graph *graph = f->plan->graph;
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = graph->nodes[i];
        for (int k = 0; k < node->input_count && f->groups[i] >= 0; k++) {
            struct value *value = node->inputs[k], **rider = &f->riders[f->groups[i]];
            int maker = value ? f->makers[value->id] : -1;
            if (maker >= 0 && f->readings[value->id].group >= 0 && carries(graph->nodes[maker]) &&
                (!*rider || f->makers[(*rider)->id] < maker))
                *rider = value;
        }
    }
}

static bool lies_in_memory(const struct finding *f, const struct value *value)
{
    int group = f->readings[value->id].group;
    return group < 0 || (!is_within(f, value, group) && f->riders[group] != value);
}

enum status quantize_find_points(struct quantize_plan *plan, struct error *error)
{
    const struct graph *graph = plan->graph;
    size_t values = (size_t)graph->value_count, nodes = (size_t)graph->node_count;
    struct finding f = {.plan = plan,
                        .readings = region_array(plan->region, values, sizeof *f.readings),
                        .makers = region_array(plan->region, values, sizeof *f.makers),
                        .groups = region_array(plan->region, nodes, sizeof *f.groups),
                        .riders = region_array(plan->region, nodes, sizeof(struct value *))};
    plan->points = region_array(plan->region, values, sizeof *plan->points);
    plan->point_count = 0;
    if (!f.readings || !f.makers || !f.groups || !f.riders || !plan->points)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while looking for layers");
    read_graph(&f);
    find_small(&f);
    find_groups(&f);
    find_riders(&f);
    for (int i = 0; i < graph->value_count; i++) {
        const struct value *value = graph->values[i];
        if (f.makers[i] >= 0 && !value->data && f.readings[i].count > 0 && f.readings[i].suits &&
            lies_in_memory(&f, value))
            plan->points[plan->point_count++] = (struct point){.value = value};
    }
    return STATUS_OK;
}
