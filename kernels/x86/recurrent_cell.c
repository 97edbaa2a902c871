#include "kernels/x86/recurrent.h"

#include "kernels/x86/vector_math.h"

#include <math.h>
#include <string.h>

/* --- activations --------------------------------------------------------------------------------------------- */

#define EACH(expression)                                             \
    for (int64_t i = 0; i < count; i += LANES) {                     \
        const vf x = vf_min(high, vf_max(low, vf_load(values + i))); \
        vf_store(values + i, expression);                            \
    }                                                                \
    break;

/* Of `count` values, a multiple of LANES, clipped first. */
static void activate(const struct recurrent_function *f, double clip, float *values, int64_t count)
{
    const vf low = vf_set((float)-clip), high = vf_set((float)clip), zero = vf_set(0), one = vf_set(1);
    const vf alpha = vf_set(f->alpha), beta = vf_set(f->beta);
    switch (f->kind) {
    case ACTIVATION_RELU:
        EACH(vf_select(vf_less(x, zero), zero, x))
    case ACTIVATION_TANH:
        EACH(vf_tanh(x))
    case ACTIVATION_SIGMOID:
        EACH(vf_sigmoid(x))
    case ACTIVATION_AFFINE:
        EACH(vf_fma(alpha, x, beta))
    case ACTIVATION_LEAKY_RELU:
        EACH(vf_select(vf_less(x, zero), vf_mul(alpha, x), x))
    case ACTIVATION_THRESHOLDED_RELU:
        EACH(vf_select(vf_less(alpha, x), x, zero))
    case ACTIVATION_SCALED_TANH:
        EACH(vf_mul(alpha, vf_tanh(vf_mul(beta, x))))
    case ACTIVATION_HARD_SIGMOID: /* of a NaN 0, as fmax has it */
        EACH(vf_min(vf_max(vf_fma(alpha, x, beta), zero), one))
    case ACTIVATION_ELU:
        EACH(vf_elu(x, f->alpha))
    case ACTIVATION_SOFTSIGN:
        EACH(vf_div(x, vf_add(one, vf_abs(x))))
    default: /* ACTIVATION_SOFTPLUS */
        EACH(vf_softplus(x))
    }
}

/* --- sums ---------------------------------------------------------------------------------------------------- */

/* x + bias, for one vector of a gate. */
INLINE vf from_input(const struct cell *cell, const float *x, int64_t gate, int64_t i)
{
    const float *from = x + gate * cell->p->hidden + i;
    vf sum = i + LANES <= cell->units ? vf_load(from) : vf_load_part(from, cell->units - i);
    return cell->bias ? vf_add(sum, vf_load(cell->bias + gate * cell->room + i)) : sum;
}

static void add_input(const struct cell *cell, const struct cell_state *s, const float *x, int64_t first, int64_t last)
{
    for (int64_t gate = first; gate < last; gate++) {
        float *sums = s->gates + gate * cell->room;
        for (int64_t i = 0; i < cell->units; i += LANES)
            vf_store(sums + i, vf_add(from_input(cell, x, gate, i), vf_load(sums + i)));
    }
}

/* gate += peephole c */
static void add_peephole(const struct cell *cell, const struct cell_state *s, int64_t gate)
{
    float *sums = s->gates + gate * cell->room;
    const float *peephole = cell->peepholes + gate * cell->room;
    for (int64_t i = 0; i < cell->room; i += LANES)
        vf_store(sums + i, vf_fma(vf_load(peephole + i), vf_load(s->c + i), vf_load(sums + i)));
}

/* --- cells --------------------------------------------------------------------------------------------------- */

static void finish_rnn(const struct cell *cell, const struct cell_state *s, const float *x)
{
    add_input(cell, s, x, 0, 1);
    activate(&cell->functions[0], cell->p->clip, s->gates, cell->room);
    memcpy(s->h, s->gates, (size_t)cell->room * sizeof *s->h);
}

static void open_gru(const struct cell *cell, const struct cell_state *s, const float *x)
{
    add_input(cell, s, x, 0, 2);
    activate(&cell->functions[0], cell->p->clip, s->gates, 2 * cell->room);
}

void SET_NAME(recurrent_reset)(const struct cell *cell, const struct cell_state *s, const float *x)
{
    open_gru(cell, s, x);
    for (int64_t i = 0; i < cell->room; i += LANES)
        vf_store(s->reset + i, vf_mul(vf_load(s->gates + cell->room + i), vf_load(s->h + i)));
}

/* The reset gate acts on what R makes of the state. */
static void reset_products(const struct cell *cell, const struct cell_state *s, const float *x)
{
    const float *reset = s->gates + cell->room, *bias = cell->bias ? cell->bias + 3 * cell->room : NULL;
    float *fresh = s->gates + 2 * cell->room;
    for (int64_t i = 0; i < cell->units; i += LANES) {
        vf inner = bias ? vf_add(vf_load(fresh + i), vf_load(bias + i)) : vf_load(fresh + i);
        vf_store(fresh + i, vf_fma(vf_load(reset + i), inner, from_input(cell, x, 2, i)));
    }
}

static void finish_gru(const struct cell *cell, const struct cell_state *s, const float *x)
{
    float *update = s->gates, *fresh = s->gates + 2 * cell->room;
    if (recurrent_resets_first(cell->p)) {
        add_input(cell, s, x, 2, 3);
    } else {
        open_gru(cell, s, x);
        reset_products(cell, s, x);
    }
    activate(&cell->functions[1], cell->p->clip, fresh, cell->room);
    for (int64_t i = 0; i < cell->room; i += LANES) {
        vf z = vf_load(update + i), kept = vf_mul(z, vf_load(s->h + i));
        vf_store(s->h + i, vf_fma(vf_sub(vf_set(1), z), vf_load(fresh + i), kept));
    }
}

static void finish_lstm(const struct cell *cell, const struct cell_state *s, const float *x)
{
    const struct recurrent_function *f = cell->functions;
    int64_t room = cell->room;
    double clip = cell->p->clip;
    float *in = s->gates, *out = in + room, *forget = out + room, *fresh = forget + room;
    add_input(cell, s, x, 0, 4);
    if (cell->peepholes) {
        add_peephole(cell, s, 0);
        add_peephole(cell, s, 2);
    }
    activate(&f[0], clip, in, room);
    activate(&f[0], clip, forget, room);
    activate(&f[1], clip, fresh, room);
    for (int64_t i = 0; i < room; i += LANES) {
        vf a = vf_load(in + i), keep = cell->p->couple_forget ? vf_sub(vf_set(1), a) : vf_load(forget + i);
        vf c = vf_fma(keep, vf_load(s->c + i), vf_mul(a, vf_load(fresh + i)));
        vf_store(s->c + i, c);
        vf_store(fresh + i, c);
    }
    if (cell->peepholes)
        add_peephole(cell, s, 1);
    activate(&f[0], clip, out, room);
    activate(&f[2], cell->p->quantized ? (double)INFINITY : clip, fresh, room);
    for (int64_t i = 0; i < room; i += LANES)
        vf_store(s->h + i, vf_mul(vf_load(out + i), vf_load(fresh + i)));
}

void SET_NAME(recurrent_finish)(const struct cell *cell, const struct cell_state *s, const float *x)
{
    switch (cell->p->cell) {
    case RECURRENT_RNN:
        finish_rnn(cell, s, x);
        break;
    case RECURRENT_GRU:
        finish_gru(cell, s, x);
        break;
    default: /* RECURRENT_LSTM */
        finish_lstm(cell, s, x);
    }
}
