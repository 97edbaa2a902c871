/* How a step walks its operands, and how that walk is changed: most families take strides for each operand, so a tensor
 * need not lie in C order, nor alone. This is what makes copies free: a transposition or a slice is read through
 * strides, a part of a concatenation is written where it belongs, and a layout is changed without a step. */
#ifndef INFER_GRAPH_STEPS_WALK_H
#define INFER_GRAPH_STEPS_WALK_H

#include "graph/steps/step.h"

/* Where the elements of a tensor, so far in C order, have gone: the element with index (i, j, ...) along the axes lies
 * at offset + i * strides[0] + j * strides[1] + ... of another tensor. Axes of extent 1 are left out, and neighbours
 * that can be one are one. */
struct relocation {
    int rank;
    int64_t dims[MAX_RANK], strides[MAX_RANK];
    int64_t offset;
};

/* The relocation that a copy step stands for, seen from its output (whose elements lie in the input) or from its input
 * (whose elements go to the output). False where it does not cover that tensor once and as a whole. */
bool relocation_of_copy(const struct step *copy, bool from_output, struct relocation *relocation);

/* Where element `base` of the relocated tensor, counted in C order, lies. */
int64_t relocated_offset(const struct relocation *relocation, int64_t base);

/* Where a walk begins within its operand: copies say so themselves. */
int64_t step_walk_start(const struct step *step, int operand);

/* A copy of the step, in `region`, that walks an operand (an input, or input_count for output 0) of the relocated
 * tensor, whose walk begins at its element `base`, where its elements have gone. It begins where its operand does. The
 * value that the step names stays the same, and the offset is left to the caller. NULL: no kernel
 * of its family can, or memory ran out. */
struct step *step_relocated(const struct step *step, int operand, const struct relocation *relocation, int64_t base,
                            const struct kernel_facts *facts, struct region *region);

/* A value that stands for a part of `target`, from one of its elements on, as an operand that is walked by strides; it
 * has type and dimensions of `like`. NULL: no memory. */
struct value *strided_view(struct graph *graph, struct value *target, int64_t element, const struct value *like);

/* The step, in a copy in `region`, with every operand that lies in `moved` walked as relocated, in `target`, which may
 * be the same value in another order. The step itself where it touches nothing of it; NULL: it cannot, or no memory. */
struct step *step_redirected(struct step *step, struct graph *graph, const struct value *moved, struct value *target,
                             const struct relocation *relocation, const struct kernel_facts *facts,
                             struct region *region);

#endif
