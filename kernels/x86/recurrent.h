/* What goes on inside a recurrent cell: sums of products become gates, and gates a new state. */
#ifndef INFER_KERNELS_X86_RECURRENT_H
#define INFER_KERNELS_X86_RECURRENT_H

#include "kernels/recurrent.h"
#include "kernels/x86/vector.h"

/* One direction. All arrays here but x have `room` floats a gate, the hidden size rounded up to WIDE: whole vectors are
 * read and written, and what lies past the hidden size is rubbish that reaches no result. */
struct cell {
    const struct recurrent_params *p;
    const struct recurrent_function *functions;
    int64_t room;
    const float *bias; /* [gates + 1]: both biases added; of a GRU whose reset gate acts after R, that of R stands last,
                          and in its own gate's place that of the input alone. NULL: none */
    const float *peepholes; /* [3]; NULL: none */
};

/* One sequence. */
struct cell_state {
    float *h, *c;
    float *gates; /* [gates]: products of the state and the weights */
    float *reset; /* of a GRU */
};

/* x: the products of the input at this step, of `hidden` floats a gate. */
void SET_NAME(recurrent_finish)(const struct cell *cell, const struct cell_state *state, const float *x);
/* Of a GRU whose reset gate acts before R, ahead of recurrent_finish: makes `reset`, the state that the last gate's
 * weights are multiplied by. */
void SET_NAME(recurrent_reset)(const struct cell *cell, const struct cell_state *state, const float *x);

static inline bool recurrent_resets_first(const struct recurrent_params *p)
{
    return p->cell == RECURRENT_GRU && !p->linear_before_reset;
}

#endif
