/* What a kernel of another family does to its results before it stores them: a pointwise program. Bias, activation,
 * residual and requantisation are all programs of this kind.
 *
 * A family that takes one has a field `epilogue` in its parameters (NULL: results are stored as they are) and a
 * function FAMILY_epilogue that gives the struct below. Its results lie in one space of three axes:
 *
 *              batch      rows                     columns
 *   conv       images     channels of all groups   positions
 *   pool       images     channels                 positions
 *   matmul     matrices   m                        n
 *   normalize  1          groups                   elements of a group
 *   reduce     1          1                        results
 *
 * The axes of the program make up this space: batch is the first of them, rows the next, columns the rest (each may be
 * none, where its extent is 1, and several, where an operand goes its own way along a part of it). Input 0 of the
 * program is the result; the others follow the family's own inputs in the step; the output of the program is output 0
 * of the step, whose strides in the family's own parameters do not count.
 *
 * An input that has the output's strides may be the output: an element of it is read before the result at its place is
 * stored, and for nothing else. */
#ifndef INFER_KERNELS_EPILOGUE_H
#define INFER_KERNELS_EPILOGUE_H

#include "kernels/pointwise.h"

enum epilogue_axis { EPILOGUE_BATCH, EPILOGUE_ROWS, EPILOGUE_COLUMNS, EPILOGUE_AXES };

struct epilogue {
    const struct pointwise_params *program; /* NULL: there is none */
    int own_inputs;                         /* of the step that are the family's */
    int64_t dims[EPILOGUE_AXES];
};

/* Brings a program over as many elements, in C order, to axes that make up the space. False: there are none such. */
bool epilogue_fit(const struct epilogue *epilogue, struct pointwise_params *program);
/* Axis i of the space is made of axes first[i] to first[i + 1] - 1 of the program; first has EPILOGUE_AXES + 1 entries.
 */
void epilogue_axes(const struct epilogue *epilogue, int *first);

/* Results of one batch index, row `row` and on, column `column` and on. */
struct epilogue_tile {
    const void *results;               /* of the type of the program's input 0 */
    int64_t row_stride, column_stride; /* in results, in elements */
    int64_t batch, row, rows, column, columns;
    bool down; /* go from row to row innermost: channels are last, or there is but one column */
};

/* Bytes of workspace that epilogue_run needs; 0 without a program. A multiple of ALIGNMENT. */
size_t epilogue_workspace(const struct epilogue *epilogue);
/* Stores the tile. */
void epilogue_run(const struct epilogue *epilogue, const struct kernel_call *call, const struct epilogue_tile *tile,
                  void *workspace);

#endif
