/* The pointwise interpreter: instruction by instruction over rows of elements that stay in the L1 cache. */
#ifndef INFER_KERNELS_REFERENCE_INTERPRETER_H
#define INFER_KERNELS_REFERENCE_INTERPRETER_H

#include "kernels/epilogue.h"

/* Whether there is a function for every operand and instruction. */
bool interpreter_supports(const struct pointwise_params *params);
/* Of workspace, for rows of at most `longest` elements. A multiple of ALIGNMENT. */
size_t interpreter_bytes(const struct pointwise_params *params, int64_t longest);
/* One instruction over n elements of registers. False: a divisor is zero, and nothing has been written. */
typedef bool instruct_function(const struct pointwise_instruction *instruction, void *target, const void *a,
                               const void *b, const void *c, int n);
/* Runs the program for n elements, each instruction by `instruct`. Operand i (inputs, then outputs, as the call has
 * them) is read or written at element offsets[i], offsets[i] + steps[i], ... The call's workspace holds the registers.
 */
void interpreter_run(const struct pointwise_params *params, const struct kernel_call *call, const int64_t *offsets,
                     const int64_t *steps, int n, instruct_function *instruct);
/* epilogue_run with another `instruct`. */
void interpreter_epilogue(const struct epilogue *epilogue, const struct kernel_call *call,
                          const struct epilogue_tile *tile, void *workspace, instruct_function *instruct);

/* The parts of it: elements into a register of their class and back, and instructions. */
void interpreter_load(void *reg, const void *memory, int64_t offset, int64_t step, int n, enum dtype dtype);
void interpreter_store(const void *reg, void *memory, int64_t offset, int64_t step, int n,
                       const struct pointwise_operand *operand);
instruct_function interpreter_instruct;
float interpreter_f32(enum pointwise_opcode opcode, float x, float y, const double *immediate);

#endif
