/* Family pointwise: a small program that is run for every element of a broadcast iteration space. One elementwise
 * operator is a program of one instruction; a fused chain is a longer one. */
#ifndef INFER_KERNELS_POINTWISE_H
#define INFER_KERNELS_POINTWISE_H

#include "kernels/kernel.h"

#define POINTWISE_MAX_OPERANDS 12     /* inputs + outputs of one program */
#define POINTWISE_MAX_REGISTERS 24    /* inputs occupy the first ones */
#define POINTWISE_MAX_INSTRUCTIONS 48 /* plenty for the longest chain seen in real models */

/* What a register holds. Storage types widen on load and round (floats) or wrap (integers) on store: f32, f16, bf16,
 * f8, f4 → F32; f64 → F64; u64 → U64; every other integer and bool (as 0 or 1) → I64. */
enum pointwise_class { CLASS_F32, CLASS_F64, CLASS_I64, CLASS_U64, CLASS_COUNT };
enum pointwise_class pointwise_class_of(enum dtype dtype);

enum pointwise_opcode {
#define POINTWISE(name, arity) POINTWISE_##name,
#include "kernels/pointwise.def"
#undef POINTWISE
    POINTWISE_OPCODE_COUNT
};
int pointwise_arity(enum pointwise_opcode opcode);
const char *pointwise_name(enum pointwise_opcode opcode);

struct pointwise_instruction {
    uint8_t opcode; /* enum pointwise_opcode */
    uint8_t class;  /* of the operands; comparisons and predicates write I64 0 or 1 whatever this is */
    uint8_t target, a, b, c;
    double immediate[2]; /* alpha, beta, bounds: see pointwise.def */
};

struct pointwise_operand {
    uint8_t dtype;             /* enum dtype, as it lies in memory */
    uint8_t reg;               /* outputs: the register stored */
    uint8_t rounding;          /* outputs of type F8E8M0: enum e8m0_rounding */
    bool saturate;             /* outputs of an 8-bit or smaller float type: clamp instead of overflow to inf or NaN */
    int64_t strides[MAX_RANK]; /* in elements; 0 along a broadcast axis */
};

struct pointwise_params {
    int rank; /* of the iteration space, adjacent axes already merged; at least 1 */
    int64_t dims[MAX_RANK];
    int input_count, output_count, instruction_count;
    struct pointwise_operand operands[POINTWISE_MAX_OPERANDS]; /* inputs, then outputs */
    struct pointwise_instruction code[POINTWISE_MAX_INSTRUCTIONS];
};

/* A single number gets the one axis that there must be. */
void pointwise_add_axis(struct pointwise_params *params);
/* Merges axes that every operand walks without a gap, so that the inner loop is as long as can be. */
void pointwise_merge_axes(struct pointwise_params *params);

#endif
