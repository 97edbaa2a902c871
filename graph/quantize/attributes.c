/* Attributes of windows that say what holds without them. Of a small network they are a part of the file that shows. */
#include "graph/op.h"
#include "graph/quantize/quantize.h"

#include <string.h>

static bool all_are(const struct attribute *attribute, int64_t number)
{
    for (size_t i = 0; i < attribute->count; i++)
        if (attribute->ints[i] != number)
            return false;
    return true;
}

static bool is_convolution(const struct node *node)
{
    return is_op(node, "Conv") || is_op(node, "ConvInteger") || is_op(node, "ConvTranspose");
}

/* The window of a Conv follows from its weights. */
static bool says_nothing(const struct node *node, const struct attribute *attribute)
{
    const char *name = attribute->name;
    if (attribute->kind == ATTRIBUTE_INT)
        return strcmp(name, "group") == 0 && attribute->i == 1;
    if (attribute->kind != ATTRIBUTE_INTS)
        return false;
    if (strcmp(name, "kernel_shape") == 0)
        return is_convolution(node);
    if (strcmp(name, "pads") == 0)
        return all_are(attribute, 0);
    return (strcmp(name, "strides") == 0 || strcmp(name, "dilations") == 0) && all_are(attribute, 1);
}

static bool has_window(const struct node *node)
{
    return is_convolution(node) || is_op(node, "MaxPool") || is_op(node, "AveragePool");
}

bool quantize_drop_attributes(struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        struct node *node = graph->nodes[i];
        if (!has_window(node))
            continue;
        struct attribute *kept = region_array(graph->region, (size_t)node->attribute_count, sizeof *kept);
        int count = 0;
        if (!kept)
            return false;
        for (int k = 0; k < node->attribute_count; k++)
            if (!says_nothing(node, &node->attributes[k]))
                kept[count++] = node->attributes[k];
        node->attributes = kept;
        node->attribute_count = count;
    }
    return true;
}
