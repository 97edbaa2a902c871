/* Labels of classes. Strings and maps are no values here: the output of a ZipMap is its input, a row of scores, and
 * that of a classifier with strings for labels is the place of the label among them. The labels go with the model, as
 * metadata `labels:OUTPUT`, a line each. */
#include "formats/onnx/import.h"

#include <stdio.h>
#include <string.h>

/* The list of labels that output 0 of the node stands for; NULL: none. */
static const struct attribute *labels_of(const struct node *node)
{
    static const char *const names[] = {"classlabels_strings", "classlabels_int64s"};
    if (strcmp(node->op->domain, "ai.onnx.ml") != 0)
        return NULL;
    bool is_map = strcmp(node->op->name, "ZipMap") == 0;
    if (!is_map && strcmp(node->op->name, "LinearClassifier") != 0 &&
        strcmp(node->op->name, "TreeEnsembleClassifier") != 0)
        return NULL;
    const struct attribute *strings = node_attribute_of(node, names[0], ATTRIBUTE_STRINGS);
    const struct attribute *ints = is_map ? node_attribute_of(node, names[1], ATTRIBUTE_INTS) : NULL;
    return strings && strings->count > 0 ? strings : ints;
}

enum status onnx_find_labels(struct import *im, struct graph *graph)
{
    im->labels = region_array(&im->scratch, (size_t)graph->value_count, sizeof(const struct attribute *));
    if (!im->labels)
        return onnx_no_memory(im);
    im->labelled = graph->value_count; /* elements of sequences that leave the model come behind */
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = graph->nodes[i];
        struct value *output = node->output_count > 0 ? node->outputs[0] : NULL;
        if (!output || !node->op) /* an operator that nothing here runs: the import fails */
            continue;
        bool passes_on = strcmp(node->op->name, "Identity") == 0 && !*node->op->domain && node->input_count == 1;
        const struct attribute *labels =
            passes_on && node->inputs[0] ? im->labels[node->inputs[0]->id] : labels_of(node);
        im->labels[output->id] = labels;
        if (labels && output->dtype == DTYPE_STRING) /* as it was declared */
            output->dtype = DTYPE_NONE;
    }
    return STATUS_OK;
}

/* A line each; a label that has lines loses them. */
static const char *label_lines(struct import *im, const struct attribute *labels)
{
    size_t bytes = 1;
    for (size_t i = 0; i < labels->count; i++)
        bytes += (labels->kind == ATTRIBUTE_STRINGS ? strlen(labels->strings[i]) : 20) + 1;
    char *lines = region_array(im->region, bytes, 1), *end = lines;
    for (size_t i = 0; lines && i < labels->count; i++) {
        size_t left = bytes - (size_t)(end - lines);
        int length = labels->kind == ATTRIBUTE_STRINGS ? snprintf(end, left, "%s", labels->strings[i])
                                                       : snprintf(end, left, "%lld", (long long)labels->ints[i]);
        for (char *c = end; c < end + length; c++)
            *c = *c == '\n' || *c == '\r' ? ' ' : *c;
        end += length;
        *end++ = '\n';
    }
    if (lines)
        *end = '\0';
    return lines;
}

enum status onnx_add_labels(struct import *im, const struct graph *graph, struct model_metadata *metadata)
{
    size_t most = (size_t)metadata->count + (size_t)graph->output_count;
    const char **keys = region_array(im->region, most, sizeof *keys);
    const char **values = region_array(im->region, most, sizeof *values);
    if (!keys || !values)
        return onnx_no_memory(im);
    for (int i = 0; i < metadata->count; i++) {
        keys[i] = metadata->keys[i];
        values[i] = metadata->values[i];
    }
    for (int i = 0; i < graph->output_count; i++) {
        const struct attribute *labels =
            graph->outputs[i]->id < im->labelled ? im->labels[graph->outputs[i]->id] : NULL;
        if (!labels)
            continue;
        keys[metadata->count] = region_format(im->region, "labels:%s", graph->outputs[i]->name);
        values[metadata->count] = label_lines(im, labels);
        if (!keys[metadata->count] || !values[metadata->count])
            return onnx_no_memory(im);
        metadata->count++;
    }
    metadata->keys = keys;
    metadata->values = values;
    return STATUS_OK;
}
