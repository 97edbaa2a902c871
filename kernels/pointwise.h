/* Family pointwise: a small program that is run for every element of a broadcast iteration space. One elementwise
 * operator is a program of one instruction; a fused chain is a longer one. */
#ifndef INFER_KERNELS_POINTWISE_H
#define INFER_KERNELS_POINTWISE_H

#include "kernels/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

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
    uint8_t opcode;         /* enum pointwise_opcode */
    uint8_t register_class; /* of the operands; comparisons and predicates write I64 0 or 1 whatever this is */
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

/* As long as its program: the operands, and after them the instructions. Holds no pointer, so its bytes may be copied.
 */
struct pointwise_params {
    int rank; /* of the iteration space; at least 1 */
    int64_t dims[MAX_RANK];
    int input_count, output_count, instruction_count;
    struct pointwise_operand operands[]; /* inputs, then outputs */
};

static inline int pointwise_operand_count(const struct pointwise_params *params)
{
    return params->input_count + params->output_count;
}
static inline const struct pointwise_instruction *pointwise_code(const struct pointwise_params *params)
{
    return (const struct pointwise_instruction *)(const void *)(params->operands + pointwise_operand_count(params));
}
static inline size_t pointwise_bytes(const struct pointwise_params *params)
{
    return sizeof *params + (size_t)pointwise_operand_count(params) * sizeof *params->operands +
           (size_t)params->instruction_count * sizeof(struct pointwise_instruction);
}

/* Parameters in the making: the same, with room for the longest program. */
struct pointwise_builder {
    int rank;
    int64_t dims[MAX_RANK];
    int input_count, output_count, instruction_count;
    struct pointwise_operand operands[POINTWISE_MAX_OPERANDS];
    struct pointwise_instruction code[POINTWISE_MAX_INSTRUCTIONS];
};

/* Memory for the longest program. */
struct pointwise_room {
    uint64_t words[(sizeof(struct pointwise_params) + POINTWISE_MAX_OPERANDS * sizeof(struct pointwise_operand) +
                    POINTWISE_MAX_INSTRUCTIONS * sizeof(struct pointwise_instruction)) /
                   sizeof(uint64_t)];
};

/* The parameters, in the room. A single number gets the one axis that there must be. */
struct pointwise_params *pointwise_build(const struct pointwise_builder *builder, struct pointwise_room *room);
/* A copy in another room. */
struct pointwise_params *pointwise_copy(const struct pointwise_params *params, struct pointwise_room *room);

/* Merges axes that every operand walks without a gap, so that there are as few as can be. */
void pointwise_merge_axes(struct pointwise_params *params);
/* Cuts axes in two until each begins where one of those given does, both counted in C order over as many elements.
 * False, with some cut, where an axis cannot be cut so or there would be too many. */
bool pointwise_split_axes(struct pointwise_params *params, int rank, const int64_t *dims);

#ifdef __cplusplus
}
#endif

#endif
