/* Determinants, Fourier transforms, linear attention. */
#include "tests/kernels/define.h"

#include "kernels/det.h"
#include "kernels/dft.h"
#include "kernels/linear_attention.h"
#include "kernels/stft.h"

#include <math.h>
#include <stdlib.h>

#define PI 3.14159265358979323846264338327950288L

/* --- det ----------------------------------------------------------------------------------------------------- */

/* Laplace's expansion along the first row, of the columns that are left. */
static number expand(const struct problem *problem, const struct operands *operands, int64_t matrix, int64_t row,
                     unsigned columns)
{
    const struct det_params *p = problem->params;
    number sum = 0, sign = 1;
    if (row == p->n)
        return 1;
    for (int64_t i = 0; i < p->n; i++) {
        if (!(columns >> i & 1))
            continue;
        sum += sign * input_at(problem, operands, 0, (matrix * p->n + row) * p->n + i) *
               expand(problem, operands, matrix, row + 1, columns & ~(1u << i));
        sign = -sign;
    }
    return sum;
}

static number det_element(const struct problem *problem, const struct operands *operands, int output, const int64_t *at)
{
    const struct det_params *p = problem->params;
    (void)output;
    return expand(problem, operands, at[0], 0, (1u << p->n) - 1);
}

static double det_cost(const struct problem *problem)
{
    double cost = 1;
    for (int64_t i = 2; i <= ((const struct det_params *)problem->params)->n; i++)
        cost *= (double)i;
    return 2 * cost;
}

const struct definition define_det = {.element = det_element, .cost = det_cost};

/* --- dft ----------------------------------------------------------------------------------------------------- */

/* Part 0 or 1 of element i of the signal, as long as the transform. */
static number signal_part(const struct problem *problem, const struct operands *operands, const int64_t *at, int64_t i,
                          int part)
{
    const struct dft_params *p = problem->params;
    bool mirrored = p->half && i > p->length / 2;
    int64_t from = mirrored ? p->length - i : i;
    if (from >= p->count || part >= p->parts || (p->half && part == 1 && (i == 0 || 2 * i == p->length)))
        return 0;
    number x = input_at(problem, operands, 0, ((at[0] * p->count + from) * p->inner + at[2]) * p->parts + part);
    return mirrored && part == 1 ? -x : x;
}

static number dft_element(const struct problem *problem, const struct operands *operands, int output, const int64_t *at)
{
    const struct dft_params *p = problem->params;
    number sum = 0, turn = (p->inverse ? 2 : -2) * PI / (number)p->length;
    (void)output;
    for (int64_t i = 0; i < p->length; i++) {
        number angle = turn * (number)(i * at[1] % p->length);
        number re = signal_part(problem, operands, at, i, 0), im = signal_part(problem, operands, at, i, 1);
        sum += at[3] == 0 ? re * cosl(angle) - im * sinl(angle) : re * sinl(angle) + im * cosl(angle);
    }
    return p->inverse ? sum / (number)p->length : sum;
}

static double dft_cost(const struct problem *problem)
{
    return 20 * (double)((const struct dft_params *)problem->params)->length;
}

const struct definition define_dft = {.element = dft_element, .cost = dft_cost};

/* --- stft ---------------------------------------------------------------------------------------------------- */

/* at: signal, channel, two axes of one place, frame. */
static number stft_element(const struct problem *problem, const struct operands *operands, int output,
                           const int64_t *at)
{
    const struct stft_params *p = problem->params;
    bool whole = p->result == STFT_POWER || p->result == STFT_MAGNITUDE, pairs = p->result == STFT_PAIRS;
    int64_t bin = whole ? at[1] : pairs ? at[1] / 2 : at[1] % p->bins, part = pairs ? at[1] % 2 : at[1] / p->bins;
    number re = 0, im = 0;
    (void)output;
    for (int64_t n = 0; n < p->length; n++) {
        int64_t place = p->start + at[4] * p->hop + n, last = p->samples - 1;
        int64_t source = place < 0 ? -place : place > last ? 2 * last - place : place;
        if (source != place && !p->mirrored)
            continue;
        number x = input_at(problem, operands, 0, at[0] * p->x_batch + source) * input_at(problem, operands, 1, n);
        number angle = 2 * PI * (number)(n * bin % p->length) / (number)p->length;
        re += x * cosl(angle);
        im -= x * sinl(angle);
    }
    number power = re * re + im * im;
    if (whole)
        return p->result == STFT_POWER ? power : sqrtl(power);
    return part == 0 ? re : p->conjugate ? -im : im;
}

static double stft_cost(const struct problem *problem)
{
    return 20 * (double)((const struct stft_params *)problem->params)->length;
}

const struct definition define_stft = {.element = stft_element, .cost = stft_cost};

/* --- linear attention ---------------------------------------------------------------------------------------- */

/* One head of keys and values: its matrix S, step by step. */
struct memory {
    const struct problem *problem;
    const struct operands *operands;
    int64_t batch, head;
    number *state, *written;
};

static number part_of(const struct memory *m, int input, int64_t step, int64_t heads, int64_t head, int64_t size,
                      int64_t i)
{
    const struct linear_attention_params *p = m->problem->params;
    return input_at(m->problem, m->operands, input, ((m->batch * p->steps + step) * heads + head) * size + i);
}

static void remember(const struct memory *m, int64_t step)
{
    const struct linear_attention_params *p = m->problem->params;
    for (int64_t i = 0; i < p->head && p->decays; i++) {
        number decay = part_of(m, 4, step, p->kv_heads, m->head, p->decay_each ? p->head : 1, p->decay_each ? i : 0);
        for (int64_t j = 0; j < p->v_head; j++)
            m->state[i * p->v_head + j] *= expl(decay);
    }
    for (int64_t j = 0; j < p->v_head; j++) {
        number recalled = 0, v = part_of(m, 2, step, p->kv_heads, m->head, p->v_head, j);
        for (int64_t i = 0; i < p->head; i++)
            recalled += m->state[i * p->v_head + j] * part_of(m, 1, step, p->kv_heads, m->head, p->head, i);
        m->written[j] = v;
        if (p->corrects)
            m->written[j] =
                (v - recalled) * part_of(m, 5, step, p->beta_each ? p->kv_heads : 1, p->beta_each ? m->head : 0, 1, 0);
    }
    for (int64_t i = 0; i < p->head; i++)
        for (int64_t j = 0; j < p->v_head; j++)
            m->state[i * p->v_head + j] += part_of(m, 1, step, p->kv_heads, m->head, p->head, i) * m->written[j];
}

static void answer(const struct memory *m, int64_t step, number *y)
{
    const struct linear_attention_params *p = m->problem->params;
    int64_t group = p->heads / p->kv_heads;
    for (int64_t head = m->head * group; head < (m->head + 1) * group; head++)
        for (int64_t j = 0; j < p->v_head; j++) {
            number sum = 0;
            for (int64_t i = 0; i < p->head; i++)
                sum += m->state[i * p->v_head + j] * part_of(m, 0, step, p->heads, head, p->head, i);
            y[((m->batch * p->steps + step) * p->heads + head) * p->v_head + j] = (number)p->scale * sum;
        }
}

static void run_head(const struct memory *m, number *const *values)
{
    const struct linear_attention_params *p = m->problem->params;
    int64_t size = p->head * p->v_head, first = (m->batch * p->kv_heads + m->head) * size;
    for (int64_t i = 0; i < size; i++)
        m->state[i] = m->problem->inputs[3].absent ? 0 : input_at(m->problem, m->operands, 3, first + i);
    for (int64_t step = 0; step < p->steps; step++) {
        remember(m, step);
        if (values[0])
            answer(m, step, values[0]);
    }
    for (int64_t i = 0; i < size && values[1]; i++)
        values[1][first + i] = m->state[i];
}

static void linear_attention_whole(const struct problem *problem, const struct operands *operands,
                                   number *const *values, int64_t (*dims)[MAX_RANK])
{
    (void)dims;
    const struct linear_attention_params *p = problem->params;
    struct memory m = {.problem = problem,
                       .operands = operands,
                       .state = calloc((size_t)(p->head * p->v_head), sizeof(number)),
                       .written = calloc((size_t)p->v_head, sizeof(number))};
    if (!m.state || !m.written)
        abort();
    for (m.batch = 0; m.batch < p->batch; m.batch++)
        for (m.head = 0; m.head < p->kv_heads; m.head++)
            run_head(&m, values);
    free(m.state);
    free(m.written);
}

const struct definition define_linear_attention = {.whole = linear_attention_whole};
