/* Damage to random graphs. Whatever is done leaves memory sound: pointers point at what the graph holds, lists are as
 * long as they say. */
#include "tests/random_graph.h"

#include <string.h>

static int64_t odd_number(struct dice *dice)
{
    static const int64_t numbers[] = {-1, 0, 1, 2, 3, -2, 7, 64, INT32_MAX, INT64_C(1) << 31, INT64_MAX, INT64_MIN};
    return numbers[roll(dice, sizeof numbers / sizeof *numbers)];
}

/* Any of the graph, also what is made later, and nothing at all. */
static struct value *any_value(const struct graph *graph, struct dice *dice)
{
    return roll(dice, 6) == 0 ? NULL : graph->values[roll(dice, graph->value_count)];
}

static struct value **longer(struct graph *graph, struct value **values, int count)
{
    struct value **copy = region_array(graph->region, (size_t)count + 1, sizeof *copy);
    if (count)
        memcpy(copy, values, (size_t)count * sizeof *copy);
    return copy;
}

static void damage_inputs(struct graph *graph, struct node *node, struct dice *dice)
{
    int64_t kind = roll(dice, 6), at = node->input_count ? roll(dice, node->input_count) : -1;
    if (kind == 0 || at < 0) {
        node->inputs = longer(graph, node->inputs, node->input_count);
        node->inputs[node->input_count++] = any_value(graph, dice);
    } else if (kind == 1) {
        node->input_count--;
    } else if (kind == 2) {
        node->inputs[at] = NULL;
    } else if (kind == 3) {
        node->inputs[at] = node->inputs[roll(dice, node->input_count)];
    } else {
        node->inputs[at] = any_value(graph, dice);
    }
}

static void damage_outputs(struct graph *graph, struct node *node, struct dice *dice)
{
    int64_t kind = roll(dice, 4), at = node->output_count ? roll(dice, node->output_count) : -1;
    if (kind == 0 || at < 0) {
        node->outputs = longer(graph, node->outputs, node->output_count);
        node->outputs[node->output_count++] = any_value(graph, dice);
    } else if (kind == 1) {
        node->output_count--;
    } else {
        node->outputs[at] = kind == 2 ? NULL : any_value(graph, dice);
    }
}

/* An attribute of that name, of any kind, whose content is sound. */
static struct attribute odd_attribute(struct graph *graph, const char *name, struct dice *dice)
{
    static const char *const strings[] = {"SAME_UPPER", "constant", ""};
    static const float floats[] = {0, -1, 1e30f, 0.5f};
    int64_t *list = region_array(graph->region, 9, sizeof *list), count = roll(dice, 9);
    for (int64_t i = 0; i < count; i++)
        list[i] = odd_number(dice);
    switch (roll(dice, 6)) {
    case 0:
        return ATTRIBUTE_I(name, odd_number(dice));
    case 1:
        return ATTRIBUTE_F(name, floats[roll(dice, 4)]);
    case 2:
        return ATTRIBUTE_TEXT(name, "SAME_UPPER");
    case 3:
        return (struct attribute){.name = name, .kind = ATTRIBUTE_FLOATS, .count = 4, .floats = floats};
    case 4:
        return (struct attribute){.name = name, .kind = ATTRIBUTE_STRINGS, .count = 3, .strings = strings};
    default:
        return ATTRIBUTE_LIST(name, count, list);
    }
}

static void damage_attributes(struct graph *graph, struct node *node, struct dice *dice)
{
    static const char *const names[] = {"axis", "axes",    "perm", "keepdims", "group",     "pads",
                                        "to",   "epsilon", "mode", "auto_pad", "ceil_mode", "kernel_shape"};
    int count = node->attribute_count;
    struct attribute *attributes = region_array(graph->region, (size_t)count + 1, sizeof *attributes);
    if (count)
        memcpy(attributes, node->attributes, (size_t)count * sizeof *attributes);
    node->attributes = attributes;
    if (count == 0 || roll(dice, 3) == 0)
        attributes[node->attribute_count++] =
            odd_attribute(graph, names[roll(dice, sizeof names / sizeof *names)], dice);
    else if (roll(dice, 3) == 0)
        node->attribute_count--;
    else
        attributes[roll(dice, count)] = odd_attribute(graph, attributes[roll(dice, count)].name, dice);
}

/* Another operator over the same operands; none whose results are another each time. */
static void damage_operator(struct node *node, struct dice *dice)
{
    size_t count = 0;
    while (op_at(count))
        count++;
    const struct op *op = op_at((size_t)(roll(dice, 256) * 256 + roll(dice, 256)) % count);
    if (!(op->flags & OP_RANDOM))
        node->op = op;
}

/* What the file declares of a value that a node makes is not so. */
static void damage_type(struct node *node, struct dice *dice)
{
    struct value *output = node->output_count ? node->outputs[0] : NULL;
    if (!output || output->data)
        return;
    output->dtype = (enum dtype)roll(dice, DTYPE_COUNT);
    output->rank = (int)roll(dice, MAX_RANK + 2) - 1;
    for (int i = 0; i < output->rank; i++)
        output->dims[i] = roll(dice, 5);
}

/* A list of integers that a node is given as an input: axes, pads, a shape. */
static void damage_list(struct node *node, struct dice *dice)
{
    for (int i = 0; i < node->input_count; i++) {
        const struct value *list = node->inputs[i];
        if (!list || !list->data || list->dtype != DTYPE_I64 || list->bytes == 0)
            continue;
        int64_t *content = (int64_t *)(uintptr_t)list->data, at = roll(dice, (int64_t)(list->bytes / sizeof *content));
        content[at] = odd_number(dice);
    }
}

void random_graph_damage(struct random_graph *random, struct dice *dice)
{
    struct graph *graph = random->graph;
    random->damaged = true;
    for (int64_t edits = 1 + roll(dice, 3); edits > 0 && graph->node_count > 0; edits--) {
        struct node *node = graph->nodes[roll(dice, graph->node_count)], **other;
        switch (roll(dice, 12)) {
        case 0:
            damage_outputs(graph, node, dice);
            break;
        case 1:
        case 2:
            damage_attributes(graph, node, dice);
            break;
        case 3:
            damage_operator(node, dice);
            break;
        case 4:
            node->version = 1 + (int)roll(dice, NEWEST_OPSET);
            break;
        case 5:
            damage_type(node, dice);
            break;
        case 6:
            damage_list(node, dice);
            break;
        case 7:
            other = &graph->nodes[roll(dice, graph->node_count)];
            graph->nodes[roll(dice, graph->node_count)] = *other;
            break;
        default:
            damage_inputs(graph, node, dice);
        }
    }
}
