/* A pointwise program made ready for a vector kernel: cut into blocks that stay in the L1 cache, and turned into passes
 * over a block, with integers held in 32 bits wherever their range is known to allow it. It does not depend on the
 * instruction set. */
#ifndef INFER_KERNELS_PASSES_H
#define INFER_KERNELS_PASSES_H

#include "kernels/pointwise.h"

enum pass_code {
#define PASS(name) PASS_##name,
#include "kernels/passes.def"
#undef PASS
    PASS_COUNT
};

enum pass_format { FORMAT_F32, FORMAT_I32, FORMAT_I64 };

/* What an input brings or a pass makes. */
struct pass_value {
    uint8_t format;    /* enum pass_format */
    bool scalar;       /* one number for the whole block */
    bool direct;       /* it is read where the input has it */
    int16_t input;     /* -1: a pass makes it */
    int16_t slot;      /* of the workspace; -1: it is direct */
    int64_t low, high; /* integers: the range it lies in; floats: that of a clamped one, else low > high */
};

struct pass {
    uint8_t code; /* enum pass_code */
    int16_t target, a, b, c;
    const struct pointwise_instruction *instruction; /* of the program */
};

#define PASS_BLOCK 512 /* elements of a block at most */

struct passes {
    /* The program over axes in the order of the strides of the output, or of what a byte is made of; at least two. */
    const struct pointwise_params *program;
    int64_t rows, columns; /* of a block, along the last two axes */
    int64_t blocks;        /* in all */
    int value_count, pass_count, slot_count;
    size_t slot_bytes;
    bool direct_output;        /* the last pass writes where the output is */
    struct pass_value *values; /* inputs first */
    struct pass *passes;
    int16_t outputs[POINTWISE_MAX_OPERANDS]; /* values */
};

/* Whether passes can run the program: its types are floats of 16 and 32 bits, integers of 8 bits and more but u64,
 * and bool. */
bool passes_support(const struct pointwise_params *program);
/* In the region. NULL: no memory. */
struct passes *passes_make(const struct pointwise_params *program, struct region *region);
/* The pass that an instruction of class f32 is; PASS_REFERENCE: none. */
enum pass_code passes_float_code(const struct pointwise_instruction *instruction);
size_t passes_workspace(const struct passes *passes);

#endif
