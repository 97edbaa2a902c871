#include "kernels/stft.h"

#include <math.h>

/* The definition, in double. */
static void transform(const struct stft_params *p, const struct kernel_call *call, const float *signal, int64_t frame,
                      int64_t bin, double *re, double *im)
{
    const float *window = call->inputs[1];
    const double *roots = call->inputs[2];
    *re = *im = 0;
    for (int64_t n = 0, turn = 0; n < p->length; n++, turn += turn + bin < p->length ? bin : bin - p->length) {
        int64_t source = stft_source(p, p->start + frame * p->hop + n);
        double x = source < 0 ? 0 : (double)signal[source] * (double)window[n];
        *re += x * roots[2 * turn];
        *im += x * roots[2 * turn + 1];
    }
}

static void store(const struct stft_params *p, float *frame, int64_t bin, double re, double im)
{
    int64_t pairs = p->result == STFT_PAIRS;
    double power = re * re + im * im;
    float *at = frame + bin * (1 + pairs) * p->y.channel;
    switch (p->result) {
    case STFT_PARTS:
    case STFT_PAIRS:
        at[0] = (float)re;
        at[(pairs ? 1 : p->bins) * p->y.channel] = (float)(p->conjugate ? -im : im);
        break;
    case STFT_POWER:
        *at = (float)power;
        break;
    default:
        *at = (float)sqrt(power);
    }
}

static int stft_tasks(const void *params)
{
    const struct stft_params *p = params;
    return task_count(p->batch * p->frames, 1);
}

static void stft_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct stft_params *p = plan->params;
    int64_t first, last;
    task_range(p->batch * p->frames, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        int64_t item = i / p->frames, frame = i % p->frames;
        const float *signal = (const float *)call->inputs[0] + item * p->x_batch;
        float *y = (float *)call->outputs[0] + item * p->y.batch + frame * p->y.spatial[SPATIAL_AXES - 1];
        for (int64_t bin = 0; bin < p->bins; bin++) {
            double re, im;
            transform(p, call, signal, frame, bin, &re, &im);
            store(p, y, bin, re, im);
        }
    }
}

const struct kernel stft_f32_reference = {
    .name = "stft_f32_reference",
    .family = FAMILY_stft,
    .tasks = stft_tasks,
    .run = stft_run,
};
