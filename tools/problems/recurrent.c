#include "kernels/recurrent.h"

#include "tools/problems/make.h"

#include <math.h>
#include <stdio.h>

static const char *const activations[] = {"relu",  "tanh",        "sigmoid",     "affine",
                                          "leaky", "thresholded", "scaled_tanh", "hard_sigmoid",
                                          "elu",   "softsign",    "softplus"};

/* Mostly those that keep states small; the others may let them grow with the steps, and roundings of states with them.
 */
static struct recurrent_function make_function(struct maker *maker, bool small)
{
    static const enum recurrent_activation bounded[] = {ACTIVATION_TANH, ACTIVATION_SIGMOID, ACTIVATION_HARD_SIGMOID,
                                                        ACTIVATION_SOFTSIGN, ACTIVATION_SCALED_TANH};
    enum recurrent_activation kind = bounded[random_below(&maker->random, 5)];
    if (!small && random_once_in(&maker->random, 4))
        kind = (enum recurrent_activation)random_below(&maker->random, ACTIVATION_COUNT);
    if (kind == ACTIVATION_THRESHOLDED_RELU) /* jumps: no bound on errors */
        kind = ACTIVATION_RELU;
    return (struct recurrent_function){kind, (float)random_real(&maker->random, 0.2, 0.5),
                                       (float)random_real(&maker->random, 0.2, 0.6)};
}

/* Those with which states double their exponent each step, until they leave the type's range. */
static struct recurrent_function make_growing(struct maker *maker)
{
    static const enum recurrent_activation kinds[] = {ACTIVATION_RELU, ACTIVATION_LEAKY_RELU, ACTIVATION_AFFINE};
    return (struct recurrent_function){kinds[random_below(&maker->random, 3)], 0.5f, 0.5f};
}

static void place_operands(struct recurrent_params *p, bool batch_first)
{
    int64_t units = recurrent_gates(p) * p->hidden, row = p->directions * p->hidden;
    p->x_step = batch_first ? units : p->batch * units;
    p->x_batch = batch_first ? p->steps * units : units;
    p->y_step = batch_first ? row : p->batch * row;
    p->y_batch = batch_first ? p->steps * row : p->hidden;
    p->y_direction = batch_first ? p->hidden : p->batch * p->hidden;
    p->state_direction = batch_first ? p->hidden : p->batch * p->hidden;
    p->state_batch = batch_first ? row : p->hidden;
}

static void choose_sizes(struct maker *maker, struct recurrent_params *p)
{
    p->directions = random_between(&maker->random, 1, 2);
    p->steps = make_size(maker, 12);
    p->batch = make_size(maker, 6);
    p->hidden = make_size(maker, 40);
    int64_t gates = recurrent_gates(p);
    make_fit(maker, 4, (int64_t *const[]){&p->steps, &p->batch, &p->hidden, &p->hidden},
             p->directions * p->hidden * gates, 0, 400000);
    if (p->quantized && random_once_in(&maker->random, 4)) { /* units enough for tasks of some of them */
        p->steps = random_between(&maker->random, 1, 3);
        p->batch = random_between(&maker->random, 8, 10);
        p->hidden = random_between(&maker->random, 140, 150);
    }
    place_operands(p, random_once_in(&maker->random, 2));
}

static struct operand *add_optional(struct maker *maker, const char *name, enum dtype dtype, bool present)
{
    return present ? add_input(maker, name, dtype) : add_absent(maker, name, false);
}

/* Weights small enough that an error does not grow from step to step. */
static void add_weights(struct maker *maker, const struct recurrent_params *p, bool has_bias)
{
    int64_t units = recurrent_gates(p) * p->hidden;
    struct operand *x = add_input(maker, "x", p->dtype);
    struct operand *weights = add_input(maker, "weights", p->quantized ? p->weights : p->dtype);
    strided_axis(&x->at, p->directions, p->steps * p->batch * units);
    strided_axis(&x->at, p->steps, p->x_step);
    strided_axis(&x->at, p->batch, p->x_batch);
    strided_axis(&x->at, units, 1);
    strided_contiguous(&weights->at, 3,
                       (int64_t[]){p->directions, p->quantized ? p->hidden : units, p->quantized ? units : p->hidden});
    weights->constant = true;
    weights->high = 0.8 / (double)p->hidden;
    weights->low = -weights->high;
    if (p->quantized) {
        weights->high = weights->low = 0;
        make_bytes(maker, weights);
    }
    struct operand *bias = add_optional(maker, "bias", p->dtype, has_bias);
    strided_contiguous(&bias->at, 2, (int64_t[]){p->directions, 2 * units});
    bias->constant = true;
}

static void place_states(struct strided *at, const struct recurrent_params *p)
{
    strided_axis(at, p->directions, p->state_direction);
    strided_axis(at, p->batch, p->state_batch);
    strided_axis(at, p->hidden, 1);
}

static void add_states(struct maker *maker, const struct recurrent_params *p)
{
    bool is_lstm = p->cell == RECURRENT_LSTM;
    struct operand *lengths = add_optional(maker, "lengths", DTYPE_I32, random_once_in(&maker->random, 2));
    strided_axis(&lengths->at, p->batch, 1);
    lengths->fill = FILL_WHOLE;
    lengths->high = (double)(random_once_in(&maker->random, 12) ? -1 : p->steps);
    lengths->low = lengths->high < 0 ? -1 : 0;
    place_states(&add_optional(maker, "initial_h", p->dtype, random_once_in(&maker->random, 2))->at, p);
    place_states(&add_optional(maker, "initial_c", p->dtype, is_lstm && random_once_in(&maker->random, 2))->at, p);
    struct operand *peepholes =
        add_optional(maker, "peepholes", p->dtype, is_lstm && random_once_in(&maker->random, 2));
    strided_contiguous(&peepholes->at, 2, (int64_t[]){p->directions, 3 * p->hidden});
    peepholes->constant = true;
    peepholes->low = -0.3;
    peepholes->high = 0.3;
}

/* Of columns of weights that are at most 255 less their zero points. */
static void add_scales(struct maker *maker, const struct recurrent_params *p)
{
    struct operand *scales = add_input(maker, "scales", DTYPE_F32);
    strided_contiguous(&scales->at, 2, (int64_t[]){p->directions, 4 * p->hidden});
    scales->constant = true;
    scales->low = 0.2 / 255 / (double)p->hidden;
    scales->high = 4 * scales->low;
    struct operand *zeros = add_zeros(maker, "zero points", p->weights);
    if (zeros)
        strided_contiguous(&zeros->at, 2, (int64_t[]){p->directions, 4 * p->hidden});
}

/* What a state that is rounded to the other of two neighbours may change, in a few of the elements. */
static double rounding(const struct recurrent_params *p)
{
    return p->quantized ? 0.02 / (double)p->hidden : 0;
}

/* absent: the one that nobody reads; none of them where there is no such. */
static void add_results(struct maker *maker, const struct recurrent_params *p, int absent)
{
    static const char *const names[] = {"y", "last_h", "last_c"};
    for (int i = 0; i < 3; i++) {
        if (i == absent || (i == 2 && p->cell != RECURRENT_LSTM)) {
            add_absent(maker, names[i], true);
            continue;
        }
        struct operand *output = add_output(maker, names[i], p->dtype);
        if (i > 0)
            place_states(&output->at, p);
        if (i == 0) {
            strided_axis(&output->at, p->steps, p->y_step);
            strided_axis(&output->at, p->directions, p->y_direction);
            strided_axis(&output->at, p->batch, p->y_batch);
            strided_axis(&output->at, p->hidden, 1);
        }
        output->bound.largest = 64 + 16 * (double)p->steps + 2 * sqrt((double)p->hidden);
        output->bound.absolute = (p->dtype == DTYPE_F32 ? 1e-6 : 1e-15) + rounding(p);
    }
}

static void make_recurrent(struct maker *maker)
{
    static const char *const cells[] = {"rnn", "gru", "lstm"};
    struct recurrent_params *p = make_params(maker, sizeof *p);
    p->dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F64));
    p->cell = (enum recurrent_cell)random_below(&maker->random, 3);
    p->quantized = p->cell == RECURRENT_LSTM && p->dtype == DTYPE_F32 && random_once_in(&maker->random, 2);
    p->weights = make_byte(maker);
    p->reverse = random_once_in(&maker->random, 2);
    p->couple_forget = random_once_in(&maker->random, 3);
    p->linear_before_reset = random_once_in(&maker->random, 2);
    p->clip = random_once_in(&maker->random, 3) ? random_real(&maker->random, 0.5, 2) : (double)INFINITY;
    choose_sizes(maker, p);
    describe(maker, " %s %s directions=%lld steps=%lld batch=%lld hidden=%lld", cells[p->cell], dtype_name(p->dtype),
             (long long)p->directions, (long long)p->steps, (long long)p->batch, (long long)p->hidden);
    if (p->quantized)
        describe(maker, " quantized %s", dtype_name(p->weights));
    describe(maker, " reverse=%d couple_forget=%d linear_before_reset=%d clip=%g batch_first=%d", p->reverse,
             p->couple_forget, p->linear_before_reset, p->clip, p->x_batch > p->x_step);
    bool grows = p->dtype == DTYPE_F64 && isinf(p->clip) && random_once_in(&maker->random, 4);
    for (int d = 0; d < 2; d++)
        for (int i = 0; i < 3; i++) {
            struct recurrent_function *f = &p->functions[d][i];
            *f = grows ? make_growing(maker) : make_function(maker, p->quantized);
            if (p->quantized && i == 0) /* a gate between 0 and 1 keeps roundings of states small */
                f->kind = random_once_in(&maker->random, 2) ? ACTIVATION_SIGMOID : ACTIVATION_HARD_SIGMOID;
            describe(maker, " %s(%g,%g)", activations[f->kind], (double)f->alpha, (double)f->beta);
        }
    add_weights(maker, p, random_once_in(&maker->random, 2));
    add_states(maker, p);
    if (p->quantized)
        add_scales(maker, p);
    if (grows) {
        maker->problem->inputs[0].high = 1e40;
        maker->problem->inputs[0].low = -1e40;
    }
    add_results(maker, p, (int)random_below(&maker->random, 6));
    describe(maker, " inputs=");
    for (int i = 0; i < maker->problem->input_count; i++)
        describe(maker, "%d", !maker->problem->inputs[i].absent);
}

/* --- real ones ----------------------------------------------------------------------------------------------- */

/* Silero's detector of speech over 32 windows, a speech model's layer in both directions, a small GRU, some sequences
 * at a time, and a layer of VoiceFilter with its 8-bit weights. */
static const struct {
    enum recurrent_cell cell;
    int64_t directions, steps, batch, hidden;
    bool quantized;
} cases[] = {
    {RECURRENT_LSTM, 1, 32, 1, 128, false}, {RECURRENT_LSTM, 2, 80, 1, 256, false},
    {RECURRENT_GRU, 1, 100, 1, 64, false},  {RECURRENT_LSTM, 1, 20, 16, 256, false},
    {RECURRENT_LSTM, 1, 20, 1, 512, true},
};

static void make_listed(struct maker *maker, size_t index)
{
    static const char *const cells[] = {"RNN", "GRU", "LSTM"};
    struct recurrent_params *p = make_params(maker, sizeof *p);
    p->dtype = DTYPE_F32;
    p->cell = cases[index].cell;
    p->quantized = cases[index].quantized;
    p->weights = DTYPE_I8;
    p->linear_before_reset = true;
    p->clip = (double)INFINITY;
    p->directions = cases[index].directions;
    p->steps = cases[index].steps;
    p->batch = cases[index].batch;
    p->hidden = cases[index].hidden;
    place_operands(p, false);
    for (int i = 0; i < 6; i++)
        p->functions[i / 3][i % 3].kind = i % 3 == 0 ? ACTIVATION_SIGMOID : ACTIVATION_TANH;
    add_weights(maker, p, true);
    for (int i = 0; i < 4; i++)
        add_absent(maker, "", false);
    if (p->quantized)
        add_scales(maker, p);
    add_results(maker, p, -1);
    snprintf(maker->problem->name, sizeof maker->problem->name, "%s %lld units, %lldx %lld steps%s%s", cells[p->cell],
             (long long)p->hidden, (long long)p->batch, (long long)p->steps, p->directions == 2 ? ", both ways" : "",
             p->quantized ? ", int8" : "");
}

const struct family_problems recurrent_problems = {
    .family = FAMILY_recurrent,
    .make = make_recurrent,
    .table_count = sizeof cases / sizeof cases[0],
    .make_listed = make_listed,
};
