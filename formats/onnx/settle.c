/* Finds every tensor of a model, wherever it hides, and settles it once. */
#include "formats/onnx/import.h"

#include <string.h>

static enum status settle_graph(struct import *im, Onnx__Graph *graph);

static enum status settle_attribute(struct import *im, const Onnx__Node *node, Onnx__Attribute *attribute)
{
    if (attribute->graph)
        TRY(settle_graph(im, attribute->graph));
    if (!attribute->tensor && !attribute->sparse_tensor)
        return STATUS_OK;
    const char *owner = region_format(&im->scratch, "node '%s' (%s), attribute '%s'", onnx_node_label(node),
                                      text(node->op_type), text(attribute->name));
    if (!owner)
        return onnx_no_memory(im);
    if (attribute->tensor)
        TRY(onnx_settle_tensor(im, owner, attribute->tensor));
    if (!attribute->sparse_tensor)
        return STATUS_OK;
    TRY(onnx_densify(im, owner, attribute->sparse_tensor, &attribute->tensor));
    attribute->has_kind = true;
    attribute->kind = ONNX__ATTRIBUTE__KIND__TENSOR;
    return STATUS_OK;
}

static enum status settle_node(struct import *im, const Onnx__Node *node)
{
    for (size_t i = 0; i < node->n_attributes; i++)
        TRY(settle_attribute(im, node, node->attributes[i]));
    return STATUS_OK;
}

/* Dense ones join the other initialisers. */
static enum status settle_sparse_initializers(struct import *im, Onnx__Graph *graph)
{
    size_t plain = graph->n_initializers, sparse = graph->n_sparse_initializers;
    if (sparse == 0)
        return STATUS_OK;
    Onnx__Tensor **all = region_array(im->region, plain + sparse, sizeof(Onnx__Tensor *));
    if (!all)
        return onnx_no_memory(im);
    if (plain)
        memcpy(all, graph->initializers, plain * sizeof *all);
    for (size_t i = 0; i < sparse; i++)
        TRY(onnx_densify(im, "", graph->sparse_initializers[i], &all[plain + i]));
    graph->initializers = all;
    graph->n_initializers = plain + sparse;
    graph->n_sparse_initializers = 0;
    return STATUS_OK;
}

static enum status settle_graph(struct import *im, Onnx__Graph *graph)
{
    for (size_t i = 0; i < graph->n_initializers; i++)
        TRY(onnx_settle_tensor(im, "", graph->initializers[i]));
    TRY(settle_sparse_initializers(im, graph));
    for (size_t i = 0; i < graph->n_nodes; i++)
        TRY(settle_node(im, graph->nodes[i]));
    return STATUS_OK;
}

enum status onnx_settle(struct import *im, Onnx__Model *model)
{
    for (size_t i = 0; i < model->n_functions; i++) {
        const Onnx__Function *function = model->functions[i];
        for (size_t k = 0; k < function->n_nodes; k++)
            TRY(settle_node(im, function->nodes[k]));
        for (size_t k = 0; k < function->n_defaults; k++) {
            Onnx__Node owner = ONNX__NODE__INIT; /* the function itself, for errors */
            owner.op_type = owner.name = function->name;
            TRY(settle_attribute(im, &owner, function->defaults[k]));
        }
    }
    return settle_graph(im, model->graph);
}
