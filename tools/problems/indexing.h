/* What gather and scatter share: an iteration space, an index for each of its points, and where it leads. */
#ifndef INFER_TOOLS_PROBLEMS_INDEXING_H
#define INFER_TOOLS_PROBLEMS_INDEXING_H

#include "kernels/gather.h"
#include "tools/problems/make.h"

/* Sizes, strides of data and indices, and how elements are addressed; not the block's. `choice`: of the data. */
void make_addressing(struct maker *maker, struct gather_params *p, enum layout_choice choice);
/* Elements of data: all that the strides reach in C order. */
void strided_data(struct strided *at, const struct gather_params *p);
void strided_block(struct strided *at, const struct gather_params *p);
/* The indices, within their axes, or, once in a while, one of them outside. */
void add_indices(struct maker *maker, const struct gather_params *p);
void describe_addressing(struct maker *maker, const struct gather_params *p);

#endif
