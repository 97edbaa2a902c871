/* Family recurrent: RNN, GRU and LSTM, from the products of the input and the weights of every step on. */
#ifndef INFER_KERNELS_RECURRENT_H
#define INFER_KERNELS_RECURRENT_H

#include "kernels/kernel.h"

enum recurrent_cell { RECURRENT_RNN, RECURRENT_GRU, RECURRENT_LSTM };

enum recurrent_activation {
    ACTIVATION_RELU,
    ACTIVATION_TANH,
    ACTIVATION_SIGMOID,
    ACTIVATION_AFFINE, /* alpha x + beta */
    ACTIVATION_LEAKY_RELU,
    ACTIVATION_THRESHOLDED_RELU,
    ACTIVATION_SCALED_TANH, /* alpha tanh(beta x) */
    ACTIVATION_HARD_SIGMOID,
    ACTIVATION_ELU,
    ACTIVATION_SOFTSIGN,
    ACTIVATION_SOFTPLUS,
    ACTIVATION_COUNT
};

struct recurrent_function {
    enum recurrent_activation kind;
    float alpha, beta;
};

/* Gates in ONNX's order: RNN one; GRU update, reset, hidden; LSTM input, output, forget, cell. Sizes of the operands
 * with D directions, G gates and H the hidden size:
 * inputs: x W^T [D, steps x batch in the order of the strides, G H], R [D, G H, H], optional: bias [D, 2 G H], int32
 * sequence lengths [batch], initial h, initial c, peepholes [D, 3 H]; outputs, all optional: y, last h, last c.
 *
 * Quantised, an LSTM alone: R [D, H, G H] is of 8 bits, and two more inputs are the scales of its columns [D, G H] and,
 * optional, their zero points. Before each step the states h of all sequences of a direction that have it are made
 * unsigned integers of 8 bits, by one scale and zero point for their range and 0; products are of integers less their
 * zero points, exact, times both scales. Where all states are 0, so are the products. `clip` does not bound what h is
 * made of. */
struct recurrent_params {
    enum dtype dtype; /* f32, f64 */
    enum recurrent_cell cell;
    int64_t directions, steps, batch, hidden;
    bool reverse;             /* of direction 0; direction 1 is always reversed */
    bool couple_forget;       /* LSTM: the forget gate is 1 - the input gate */
    bool linear_before_reset; /* GRU: the reset gate acts after R, not before */
    bool quantized;
    enum dtype weights;                        /* of R, where quantized: u8 or i8 */
    double clip;                               /* bound of what goes into an activation; infinity: none */
    struct recurrent_function functions[2][3]; /* of each direction */
    int64_t x_step, x_batch;                   /* strides in elements */
    int64_t y_step, y_direction, y_batch;
    int64_t state_direction, state_batch; /* of initial and last h and c */
};

static inline ANYWHERE int64_t recurrent_gates(const struct recurrent_params *p)
{
    return p->cell == RECURRENT_LSTM ? 4 : p->cell == RECURRENT_GRU ? 3 : 1;
}

#endif
