/* What goes on inside a recurrent cell: sums of products become gates, and gates a new state. */
#ifndef INFER_KERNELS_X86_RECURRENT_H
#define INFER_KERNELS_X86_RECURRENT_H

#include "kernels/recurrent.h"
#include "kernels/x86/vector.h"

/* One direction, or some neighbouring units of it. All arrays here but x have `room` floats a gate, the number of units
 * rounded up to WIDE: whole vectors are read and written, and what lies past the units is rubbish that reaches no
 * result. */
struct cell {
    const struct recurrent_params *p;
    const struct recurrent_function *functions;
    int64_t room, units;
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

/* x: the products of the input at this step, from the first of the units on; `hidden` floats a gate. */
void SET_NAME(recurrent_finish)(const struct cell *cell, const struct cell_state *state, const float *x);
/* Of a GRU whose reset gate acts before R, ahead of recurrent_finish: makes `reset`, the state that the last gate's
 * weights are multiplied by. */
void SET_NAME(recurrent_reset)(const struct cell *cell, const struct cell_state *state, const float *x);

/* --- sequences ----------------------------------------------------------------------------------------------- */

#define RECURRENT_LENGTHS 3 /* which input they are */

static inline int64_t recurrent_length(const struct recurrent_params *p, const struct kernel_call *call, int64_t item)
{
    const int32_t *lengths = call->inputs[RECURRENT_LENGTHS];
    return lengths ? lengths[item] : p->steps;
}

/* Of sequences [first, last). False: one is out of range, a fault. */
static inline bool recurrent_check_lengths(const struct recurrent_params *p, const struct kernel_call *call,
                                           int64_t first, int64_t last)
{
    for (int64_t i = first; i < last; i++) {
        int64_t length = recurrent_length(p, call, i);
        if (length >= 0 && length <= p->steps)
            continue;
        kernel_fault(call, "sequence length %lld is not within 0 and %lld", (long long)length, (long long)p->steps);
        return false;
    }
    return true;
}

/* Row of x and y of a sequence of that length that has step t. */
static inline int64_t recurrent_position(const struct recurrent_params *p, int64_t direction, int64_t length, int64_t t)
{
    return p->reverse || direction == 1 ? length - 1 - t : t;
}

static inline bool recurrent_resets_first(const struct recurrent_params *p)
{
    return p->cell == RECURRENT_GRU && !p->linear_before_reset;
}

#endif
