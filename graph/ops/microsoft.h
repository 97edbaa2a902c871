/* Operators of ONNX Runtime's own domain, which exporters emit and which its optimiser writes into a saved model. */
#ifndef INFER_GRAPH_OPS_MICROSOFT_H
#define INFER_GRAPH_OPS_MICROSOFT_H

#include "graph/op.h"

#define MICROSOFT_OPERATOR(op_name, inputs_least, inputs_most, outputs_least, outputs_most, shapes_function, ...) \
    const struct op op_microsoft_##op_name = {                                                                    \
        .domain = "com.microsoft",                                                                                \
        .name = #op_name,                                                                                         \
        .min_inputs = (inputs_least),                                                                             \
        .max_inputs = (inputs_most),                                                                              \
        .min_outputs = (outputs_least),                                                                           \
        .max_outputs = (outputs_most),                                                                            \
        ATTRIBUTES_OF(microsoft_##op_name),                                                                       \
        .shapes = (shapes_function),                                                                              \
        __VA_ARGS__,                                                                                              \
    };

#endif
