/* Making pointwise programs: whole ones, and those that ride on other kernels. */
#ifndef INFER_TOOLS_PROBLEMS_PROGRAMS_H
#define INFER_TOOLS_PROBLEMS_PROGRAMS_H

#include "tools/problems/make.h"

/* A program in the making. Inputs first, then code, then outputs. */
struct program {
    struct maker *maker;
    struct pointwise_builder *params;
    int registers;
    uint8_t classes[POINTWISE_MAX_REGISTERS];
};

struct program program_begin(struct maker *maker, int rank, const int64_t *dims);
/* Each returns its register. */
int program_input(struct program *program, enum dtype dtype, const int64_t *strides);
int program_code(struct program *program, enum pointwise_opcode opcode, enum pointwise_class class, int a, int b, int c,
                 double p, double q);
void program_output(struct program *program, enum dtype dtype, int reg, const int64_t *strides);
bool program_is_full(const struct program *program);

/* Whether the opcode works on operands of a class. */
bool opcode_takes(enum pointwise_opcode opcode, enum pointwise_class class);
/* An integer division, which a zero makes a fault. */
bool instruction_divides(const struct pointwise_instruction *code);
/* The value of a register as another class. */
int program_convert(struct program *program, int reg, enum pointwise_class class);
/* An instruction with immediates that suit it, on registers of the right classes. Divisors are rarely zero. */
int program_code_on(struct program *program, enum pointwise_opcode opcode, enum pointwise_class class,
                    const int *operands);
/* The same on any registers there are. */
int program_random_code(struct program *program, enum pointwise_opcode opcode, enum pointwise_class class);

/* The parameters; `merge`: with as few axes as can be, as kernels of the family pointwise get them. */
struct pointwise_params *program_build(const struct program *program, bool merge);

/* Adds the operands of a program to the problem: inputs from `first` on, then outputs. */
void program_operands(struct maker *maker, const struct pointwise_params *params, int first);
/* Inputs of the step, numbered from `own_inputs` for input `first` of the program, that may lie where the output lies,
 * because they lie as it does. */
uint32_t program_in_place(const struct pointwise_params *params, int first, int own_inputs);

#endif
