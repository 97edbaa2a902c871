/* A pointwise program under construction: programs of several steps joined into one. */
#ifndef INFER_GRAPH_STEPS_DRAFT_H
#define INFER_GRAPH_STEPS_DRAFT_H

#include "graph/steps/step.h"

/* Registers are numbered without limit until draft_settle: inputs first, then one an instruction. */
struct draft {
    int rank;
    int64_t dims[MAX_RANK];
    int input_count, instruction_count;
    struct value *values[POINTWISE_MAX_OPERANDS];
    struct pointwise_operand inputs[POINTWISE_MAX_OPERANDS];
    struct {
        struct pointwise_instruction code; /* immediates, opcode and class; registers are in the fields below */
        int operands[3];
    } instructions[POINTWISE_MAX_INSTRUCTIONS];
    struct pointwise_operand output;
    int result; /* register */
};

/* An empty draft over the iteration space of a program. */
void draft_begin(struct draft *draft, const struct pointwise_params *space);
/* Adds the results that an epilogue takes in, as input 0; `value` stands for them. */
void draft_add_result(struct draft *draft, struct value *value);
/* Adds the inputs of a program, which are these values, but for those that read `joint`. All inputs must be added
 * before any code. False: too many. */
bool draft_add_inputs(struct draft *draft, const struct pointwise_params *program, struct value *const *values,
                      const struct value *joint);
/* Appends a program whose inputs have been added; reads of `joint` take register joint_register. Its result becomes the
 * draft's. False: too long. */
bool draft_add_code(struct draft *draft, const struct pointwise_params *program, struct value *const *values,
                    const struct value *joint, int joint_register);
/* Rounds the result to f16 or bf16, as a store and a load would, unless it is of that type as it is. False: too long.
 */
bool draft_round(struct draft *draft, enum dtype dtype);
/* Gives registers places among the few there are. False: they do not suffice. */
bool draft_settle(const struct draft *draft, struct pointwise_builder *builder);

/* `base`'s node, standing for the ONNX nodes of both; NULL: no memory. */
struct node *joint_node(struct region *region, const struct node *base, const struct node *first,
                        const struct node *second);

#endif
