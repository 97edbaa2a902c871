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

#ifdef __cplusplus
extern "C" {
#endif

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

/* Bytes of all results, in the type of the program's input 0; 0 without a program. */
size_t epilogue_result_bytes(const struct epilogue *epilogue);

/* --- by tile: any program ------------------------------------------------------------------------------------ */

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

/* --- by form: nearly all programs ---------------------------------------------------------------------------- */

/* A result x goes through operations one after the other, each with at most one further operand, and is stored: a
 * kernel may do that while x is in a register. That operand may also be a value made of others beforehand, in the same
 * way: x + (a b + c) begins with a, on the side; or what x was before: x a + x begins with x there. The form is
 * recognised once, in the kernel's plan(). The operations are those of kernels/pointwise.def in f32, each rounded; only
 * these occur:
 *
 *   with an operand  ADD SUB MUL DIV MIN MAX PRELU
 *   without one      CLAMP ROUND RELU LEAKY_RELU HARD_SIGMOID HARD_SWISH SIGMOID SWISH TANH GELU GELU_TANH
 *                    NEG ABS SQRT EXP ELU SELU CELU MISH SOFTPLUS SOFTSIGN ROUND_F16 ROUND_BF16
 *
 * A bias is an ADD whose operand has a stride along the rows alone (of a convolution) or the columns alone (of a
 * product), a residual one with both, a number has none; ReLU6 is MAX and MIN with numbers, or CLAMP; requantisation is
 * DIV, ROUND, ADD and CLAMP.
 *
 * epilogue_apply_form is the meaning: it gives the program's results to the bit. A kernel may differ from it where its
 * sums may differ from those of the reference kernels: a MUL and the ADD after it may be one fused operation, an
 * activation may round otherwise (but for NaN, and which side of a bound x is on). Which of these it does must follow
 * from the problem without its batch, and be the same on every instruction set. */
#define EPILOGUE_OPERATIONS 14
#define EPILOGUE_SIDE (-1)

struct epilogue_operation {
    uint8_t opcode; /* enum pointwise_opcode */
    bool on_side;   /* the value on the side takes the place of x; a MOVE begins it, with the operand or with x */
    bool reversed;  /* the operand comes first: operand - x, operand / x, PRELU of it */
    /* Of the program: the operand, made f32 whatever its type; 0: there is none, EPILOGUE_SIDE: the value on the side.
     */
    int8_t input;
    uint8_t dtype;       /* of the operand: f32, f16, bf16, or an integer of 8 to 32 bits */
    float p, q;          /* immediates */
    int64_t row, column; /* strides of the operand */
};

/* Bounds of x: numbers, or inputs of the program that hold them (0: none). */
struct epilogue_bounds {
    float low, high;
    int8_t low_input, high_input;
};

/* A form that makes bytes of int32 sums, as most do that end in integers:
 *
 *     x = sum factor + addend
 *     x = x gate + x
 *     x = x + (residual - zero) scale
 *     x = hard_swish(x within first) second_factor + second_addend
 *     round(x within second / divisor) + zero, within the range of a byte
 *
 * of which every part may be missing. As long as all numbers are finite, and small enough for what comes of them to be,
 * a bound may be moved past the division and the rounding, and no NaN comes up. */
struct epilogue_requantisation {
    int8_t factor, addend, gate, residual; /* 1 + the index of the operation that has the operand; 0: none */
    /* Inputs of the program that are one number; 0: none. */
    int8_t residual_zero, residual_scale, second_factor, second_addend, divisor, zero;
    bool hard_swish;
    struct epilogue_bounds first, second;
};
struct epilogue_form {
    enum dtype from; /* of x at first: f32, or i32, made f32 before anything else */
    /* Of the output: f32, f16, bf16; or an integer of 8 or 16 bits, which x is truncated to: it is in range by then, or
     * a NaN, which becomes 0. */
    enum dtype to;
    int64_t row, column; /* strides of the output */
    /* Strides hold among rows [0, row_run), among rows [row_run, 2 row_run), and so on: nearly always among all rows;
     * or among those of a group of channels, where the groups have been shuffled. Columns likewise. */
    int64_t row_run, column_run;
    int operation_count;
    struct epilogue_operation operations[EPILOGUE_OPERATIONS];
    bool requantises;
    struct epilogue_requantisation requantisation;
};

/* What epilogue_recognise fills in `requantises` with. */
bool epilogue_requantises(const struct epilogue_form *form, struct epilogue_requantisation *to);

/* False: the program is no such row of operations; it runs by tile. */
bool epilogue_recognise(const struct epilogue *epilogue, struct epilogue_form *form);
/* Where an operand of the program (input_count: the output) has the element of a place, counted in elements. */
int64_t epilogue_offset(const struct epilogue *epilogue, int operand, int64_t batch, int64_t row, int64_t column);
/* Stores the tile by the form, element by element. */
void epilogue_apply_form(const struct epilogue *epilogue, const struct epilogue_form *form,
                         const struct kernel_call *call, const struct epilogue_tile *tile);

#ifdef __cplusplus
}
#endif

#endif
