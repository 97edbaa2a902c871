/* Attention and recurrent cells. */
#include "tests/kernels/define.h"

#include "kernels/attention.h"
#include "kernels/recurrent.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- attention ----------------------------------------------------------------------------------------------- */

static int64_t place(const struct attention_strides *s, int64_t batch, int64_t head, int64_t row, int64_t column)
{
    return batch * s->batch + head * s->head + row * s->row + column * s->column;
}

/* A key that the window leaves out has no score at all; one that the mask excludes has -inf. */
static number score_of(const struct problem *problem, const struct operands *operands, const int64_t *at, int64_t key)
{
    const struct attention_params *p = problem->params;
    number score = 0, mask = 0;
    for (int64_t d = 0; d < p->head; d++)
        score += input_at(problem, operands, 0, place(&p->q, at[0], at[1], at[2], d)) *
                 input_at(problem, operands, 1, place(&p->k, at[0], at[1] / p->group, key, d));
    score *= (number)p->scale;
    if (p->softcap > 0)
        score = (number)p->softcap * tanhl(score / (number)p->softcap);
    if (p->mask_dtype != DTYPE_NONE)
        mask = input_at(problem, operands, 3, place(&p->mask, at[0], at[1], at[2], key));
    if (p->mask_dtype == DTYPE_BOOL)
        return mask != 0 ? score : -(number)INFINITY;
    return score + mask;
}

static number attention_element(const struct problem *problem, const struct operands *operands, int output,
                                const int64_t *at)
{
    const struct attention_params *p = problem->params;
    number *scores = calloc((size_t)p->keys + 1, sizeof *scores), most = -(number)INFINITY, sum = 0, y = 0;
    (void)output;
    if (!scores)
        abort();
    for (int64_t j = 0; j < p->keys; j++) {
        bool seen = j >= at[2] + p->first && j <= at[2] + p->last;
        scores[j] = seen ? score_of(problem, operands, at, j) : -(number)INFINITY;
        most = scores[j] > most ? scores[j] : most;
    }
    for (int64_t j = 0; j < p->keys && isfinite(most); j++) {
        number weight = expl(scores[j] - most);
        sum += weight;
        y += weight * input_at(problem, operands, 2, place(&p->v, at[0], at[1] / p->group, j, at[3]));
    }
    free(scores);
    if (isfinite(most))
        return y / sum;
    return p->blind_is_zero || p->keys == 0 ? 0 : (number)NAN;
}

static double attention_cost(const struct problem *problem)
{
    const struct attention_params *p = problem->params;
    return (double)p->keys * (double)(p->head + 8);
}

const struct definition define_attention = {.element = attention_element, .cost = attention_cost};

/* --- recurrent ----------------------------------------------------------------------------------------------- */

#define MOST_UNITS 400

static number activated(const struct recurrent_params *p, const struct recurrent_function *f, number x)
{
    number alpha = (number)f->alpha, beta = (number)f->beta, clip = (number)p->clip;
    x = x > clip ? clip : x < -clip ? -clip : x;
    switch (f->kind) {
    case ACTIVATION_RELU:
        return x < 0 ? 0 : x;
    case ACTIVATION_TANH:
        return tanhl(x);
    case ACTIVATION_SIGMOID:
        return 1 / (1 + expl(-x));
    case ACTIVATION_AFFINE:
        return alpha * x + beta;
    case ACTIVATION_LEAKY_RELU:
        return x < 0 ? alpha * x : x;
    case ACTIVATION_THRESHOLDED_RELU:
        return x > alpha ? x : 0;
    case ACTIVATION_SCALED_TANH:
        return alpha * tanhl(beta * x);
    case ACTIVATION_HARD_SIGMOID:
        return fminl(1, fmaxl(0, alpha * x + beta));
    case ACTIVATION_ELU:
        return x < 0 ? alpha * expm1l(x) : x;
    case ACTIVATION_SOFTSIGN:
        return x / (1 + fabsl(x));
    default:
        return log1pl(expl(-fabsl(x))) + (x > 0 ? x : 0);
    }
}

/* One sequence at one step: everything that its equations name. */
struct cell {
    const struct problem *problem;
    const struct operands *operands;
    const struct recurrent_params *p;
    const struct recurrent_function *f;
    int64_t direction, item, time;
    number h[MOST_UNITS], c[MOST_UNITS];
    bool overflows; /* a number has left the type's range: what comes of that is up to the order of sums */
    number scale;   /* of quantised states; 0: they are all 0 */
    number zero;    /* and their zero point */
};

/* x, which a kernel holds in the problem's type. */
static number held(struct cell *cell, number x)
{
    cell->overflows = cell->overflows || !(fabsl(x) <= number_largest(cell->p->dtype));
    return x;
}

static number bias_of(const struct cell *cell, int64_t unit, bool recurrent)
{
    int64_t units = recurrent_gates(cell->p) * cell->p->hidden;
    if (cell->problem->inputs[2].absent)
        return 0;
    return input_at(cell->problem, cell->operands, 2, (cell->direction * 2 + recurrent) * units + unit);
}

static number from_input(const struct cell *cell, int64_t unit)
{
    const struct recurrent_params *p = cell->p;
    int64_t units = recurrent_gates(p) * p->hidden;
    int64_t at =
        cell->direction * p->steps * p->batch * units + cell->time * p->x_step + cell->item * p->x_batch + unit;
    return input_at(cell->problem, cell->operands, 0, at) + bias_of(cell, unit, false);
}

static number byte(number x)
{
    return fminl(255, fmaxl(0, x));
}

static number from_quantized_state(const struct cell *cell, int64_t unit, const number *state)
{
    const struct recurrent_params *p = cell->p;
    int64_t columns = 4 * p->hidden, column = cell->direction * columns + unit;
    bool has_zeros = !cell->problem->inputs[8].absent;
    number sum = 0, zero = has_zeros ? input_at(cell->problem, cell->operands, 8, column) : 0;
    for (int64_t i = 0; i < p->hidden && cell->scale > 0; i++)
        sum += (byte(rintl(state[i] / cell->scale) + cell->zero) - cell->zero) *
               (input_at(cell->problem, cell->operands, 1, (cell->direction * p->hidden + i) * columns + unit) - zero);
    return sum * cell->scale * input_at(cell->problem, cell->operands, 7, column) + bias_of(cell, unit, true);
}

static number from_state(struct cell *cell, int64_t unit, const number *state)
{
    if (cell->p->quantized)
        return from_quantized_state(cell, unit, state);
    const struct recurrent_params *p = cell->p;
    number sum = bias_of(cell, unit, true), magnitudes = fabsl(sum);
    for (int64_t i = 0; i < p->hidden; i++) {
        number term = state[i] * input_at(cell->problem, cell->operands, 1,
                                          (cell->direction * recurrent_gates(p) * p->hidden + unit) * p->hidden + i);
        sum += term;
        magnitudes += fabsl(term);
    }
    held(cell, magnitudes);
    return sum;
}

/* What the cell's state adds to a gate. */
static number peephole(struct cell *cell, int64_t gate, int64_t i)
{
    if (cell->problem->inputs[6].absent)
        return 0;
    int64_t at = (cell->direction * 3 + gate) * cell->p->hidden + i;
    return held(cell, input_at(cell->problem, cell->operands, 6, at) * cell->c[i]);
}

static void step_rnn(struct cell *cell, number *next)
{
    for (int64_t i = 0; i < cell->p->hidden; i++)
        next[i] = activated(cell->p, &cell->f[0], from_input(cell, i) + from_state(cell, i, cell->h));
}

static void step_gru(struct cell *cell, number *next)
{
    const struct recurrent_params *p = cell->p;
    int64_t n = p->hidden;
    number update[MOST_UNITS], reset[MOST_UNITS], gated[MOST_UNITS];
    for (int64_t i = 0; i < n; i++) {
        update[i] = activated(p, &cell->f[0], from_input(cell, i) + from_state(cell, i, cell->h));
        reset[i] = activated(p, &cell->f[0], from_input(cell, n + i) + from_state(cell, n + i, cell->h));
        gated[i] = held(cell, reset[i] * cell->h[i]);
    }
    for (int64_t i = 0; i < n; i++) {
        number inner = p->linear_before_reset ? reset[i] * from_state(cell, 2 * n + i, cell->h)
                                              : from_state(cell, 2 * n + i, gated);
        number fresh = activated(p, &cell->f[1], from_input(cell, 2 * n + i) + held(cell, inner));
        next[i] = held(cell, (1 - update[i]) * fresh) + held(cell, update[i] * cell->h[i]);
    }
}

static void step_lstm(struct cell *cell, number *next)
{
    const struct recurrent_params *p = cell->p;
    int64_t n = p->hidden;
    for (int64_t i = 0; i < n; i++) {
        number gates[4];
        for (int64_t gate = 0; gate < 4; gate++)
            gates[gate] = from_input(cell, gate * n + i) + from_state(cell, gate * n + i, cell->h);
        number in = activated(p, &cell->f[0], gates[0] + peephole(cell, 0, i));
        number forget = activated(p, &cell->f[0], gates[2] + peephole(cell, 2, i));
        if (p->couple_forget)
            forget = 1 - in;
        cell->c[i] = held(cell, forget * cell->c[i]) + held(cell, in * activated(p, &cell->f[1], gates[3]));
        number out = activated(p, &cell->f[0], gates[1] + peephole(cell, 1, i));
        struct recurrent_params unclipped = *p;
        if (p->quantized)
            unclipped.clip = (double)INFINITY;
        next[i] = out * activated(&unclipped, &cell->f[2], cell->c[i]);
    }
}

static void step(struct cell *cell)
{
    number next[MOST_UNITS];
    void (*const steps[])(struct cell *, number *) = {step_rnn, step_gru, step_lstm};
    steps[cell->p->cell](cell, next);
    for (int64_t i = 0; i < cell->p->hidden; i++)
        cell->h[i] = held(cell, next[i]);
}

static void start_states(struct cell *cell)
{
    const struct recurrent_params *p = cell->p;
    int64_t at = cell->direction * p->state_direction + cell->item * p->state_batch;
    for (int64_t i = 0; i < p->hidden; i++) {
        cell->h[i] = cell->problem->inputs[4].absent ? 0 : input_at(cell->problem, cell->operands, 4, at + i);
        cell->c[i] = cell->problem->inputs[5].absent ? 0 : input_at(cell->problem, cell->operands, 5, at + i);
    }
}

static int64_t length_of(const struct cell *cell)
{
    bool absent = cell->problem->inputs[3].absent;
    return absent ? cell->p->steps : (int64_t)input_at(cell->problem, cell->operands, 3, cell->item);
}

/* Axes of y: steps, directions, batch, hidden. */
static void run_step(struct cell *cell, int64_t t, number *const *values)
{
    const struct recurrent_params *p = cell->p;
    int64_t length = length_of(cell), row = (cell->direction * p->batch + cell->item) * p->hidden;
    int64_t step_row = p->directions * p->batch * p->hidden;
    bool backwards = cell->direction == 1 || p->reverse;
    cell->time = t >= length ? t : backwards ? length - 1 - t : t;
    if (t < length)
        step(cell);
    for (int64_t i = 0; i < p->hidden && values[0]; i++)
        values[0][cell->time * step_row + row + i] = t >= length ? 0 : cell->overflows ? ANYTHING : cell->h[i];
}

/* The scale and zero point of the states that go into step `t`. */
static void quantize_states(struct cell *cells, int64_t t)
{
    const struct recurrent_params *p = cells->p;
    number low = 0, high = 0;
    for (int64_t item = 0; item < p->batch; item++)
        for (int64_t i = 0; i < p->hidden && t < length_of(&cells[item]); i++) {
            low = fminl(low, cells[item].h[i]);
            high = fmaxl(high, cells[item].h[i]);
        }
    for (int64_t item = 0; item < p->batch; item++) {
        cells[item].scale = (high - low) / 255;
        cells[item].zero = high > low ? byte(rintl(-low / cells[item].scale)) : 0;
    }
}

/* Axes of the last states: directions, batch, hidden. */
static void run_direction(struct cell *cells, number *const *values)
{
    const struct recurrent_params *p = cells->p;
    for (int64_t t = 0; t < p->steps; t++) {
        if (p->quantized)
            quantize_states(cells, t);
        for (int64_t item = 0; item < p->batch; item++)
            run_step(&cells[item], t, values);
    }
    for (int64_t item = 0; item < p->batch; item++) {
        int64_t row = (cells->direction * p->batch + item) * p->hidden;
        for (int64_t i = 0; i < p->hidden; i++) {
            if (values[1])
                values[1][row + i] = cells[item].overflows ? ANYTHING : cells[item].h[i];
            if (values[2])
                values[2][row + i] = cells[item].overflows ? ANYTHING : cells[item].c[i];
        }
    }
}

static void recurrent_whole(const struct problem *problem, const struct operands *operands, number *const *values,
                            int64_t (*dims)[MAX_RANK])
{
    (void)dims;
    const struct recurrent_params *p = problem->params;
    struct cell *cells = calloc((size_t)p->batch, sizeof *cells);
    if (!cells)
        abort();
    for (int64_t direction = 0; direction < p->directions; direction++) {
        for (int64_t item = 0; item < p->batch; item++) {
            cells[item] = (struct cell){.problem = problem,
                                        .operands = operands,
                                        .p = p,
                                        .f = p->functions[direction],
                                        .direction = direction,
                                        .item = item};
            start_states(&cells[item]);
        }
        run_direction(cells, values);
    }
    free(cells);
}

const struct definition define_recurrent = {.whole = recurrent_whole};
