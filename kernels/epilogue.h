/* What a kernel of another family does to its results before it stores them: a pointwise program, run on pieces of
 * results while they are in the cache. Bias, activation, residual and requantisation are all programs of this kind.
 *
 * A family that takes one has a field `epilogue` in its parameters (NULL: results are stored as they are) and numbers
 * its results 0, 1, 2, ... in an order that it states beside the field. That order is the program's iteration space, in
 * C order, whatever dimensions the program gives it. Input 0 of the program is the result; the others follow the
 * family's own inputs in the step; the output of the program is output 0 of the step, which the family itself does not
 * write. Strides of input 0 are those of the iteration space without gaps. */
#ifndef INFER_KERNELS_EPILOGUE_H
#define INFER_KERNELS_EPILOGUE_H

#include "kernels/pointwise.h"

/* Bytes of workspace that a call needs; 0 for NULL. A multiple of ALIGNMENT. */
size_t epilogue_workspace(const struct pointwise_params *program);

/* Stores results [first, first + count), which lie one after the other in `results`, of the type of the program's input
 * 0. own_inputs: how many inputs of the step are the family's. */
void epilogue_run(const struct pointwise_params *program, const struct kernel_call *call, int own_inputs,
                  const void *results, int64_t first, int64_t count, void *workspace);

#endif
