/* Reductions, for the operators that are made of them. */
#ifndef INFER_GRAPH_OPS_REDUCE_H
#define INFER_GRAPH_OPS_REDUCE_H

#include "graph/op.h"
#include "kernels/reduce.h"

/* Folds the axes whose bits are set; the output holds the kept ones in order, with or without axes of size 1. */
enum status op_reduce(struct op_context *c, enum reduce_kind kind, struct value *input, unsigned axes,
                      struct value *output);

#endif
