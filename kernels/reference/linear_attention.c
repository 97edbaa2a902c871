#include "kernels/linear_attention.h"

#include <math.h>
#include <string.h>

/* What one head of keys and values needs at one step. */
struct moment {
    const float *q, *k, *v, *decay, *beta;
    float *y;
};

static int linear_attention_tasks(const void *params)
{
    const struct linear_attention_params *p = params;
    return task_count(p->batch * p->kv_heads, 1);
}

static size_t linear_attention_workspace(const void *params)
{
    const struct linear_attention_params *p = params;
    return (size_t)((p->head + 1) * p->v_head) * sizeof(float);
}

static struct moment moment_at(const struct linear_attention_params *p, const struct kernel_call *call, int64_t batch,
                               int64_t kv_head, int64_t step)
{
    int64_t row = batch * p->steps + step, group = p->heads / p->kv_heads;
    int64_t at = row * p->kv_heads + kv_head;
    const float *decay = call->inputs[4], *beta = call->inputs[5];
    return (struct moment){
        .q = (const float *)call->inputs[0] + at * group * p->head,
        .k = (const float *)call->inputs[1] + at * p->head,
        .v = (const float *)call->inputs[2] + at * p->v_head,
        .decay = p->decays ? decay + at * (p->decay_each ? p->head : 1) : NULL,
        .beta = p->corrects ? beta + (p->beta_each ? at : row) : NULL,
        .y = call->outputs[0] ? (float *)call->outputs[0] + at * group * p->v_head : NULL,
    };
}

static void decay_state(const struct linear_attention_params *p, const struct moment *m, float *state)
{
    for (int64_t i = 0; i < p->head; i++) {
        float factor = expf(m->decay[p->decay_each ? i : 0]);
        for (int64_t j = 0; j < p->v_head; j++)
            state[i * p->v_head + j] *= factor;
    }
}

/* result = factor * state^T vector */
static void recall(const struct linear_attention_params *p, const float *state, const float *vector, float factor,
                   float *result)
{
    memset(result, 0, (size_t)p->v_head * sizeof *result);
    for (int64_t i = 0; i < p->head; i++)
        for (int64_t j = 0; j < p->v_head; j++)
            result[j] += vector[i] * state[i * p->v_head + j];
    for (int64_t j = 0; j < p->v_head; j++)
        result[j] *= factor;
}

static void run_step(const struct linear_attention_params *p, const struct moment *m, float *state, float *scratch)
{
    if (m->decay)
        decay_state(p, m, state);
    const float *written = m->v;
    if (m->beta) {
        recall(p, state, m->k, 1, scratch);
        for (int64_t j = 0; j < p->v_head; j++)
            scratch[j] = *m->beta * (m->v[j] - scratch[j]);
        written = scratch;
    }
    for (int64_t i = 0; i < p->head; i++)
        for (int64_t j = 0; j < p->v_head; j++)
            state[i * p->v_head + j] += m->k[i] * written[j];
    for (int64_t g = 0; m->y && g < p->heads / p->kv_heads; g++)
        recall(p, state, m->q + g * p->head, (float)p->scale, m->y + g * p->v_head);
}

static void linear_attention_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct linear_attention_params *p = plan->params;
    int64_t first, last, size = p->head * p->v_head;
    float *state = call->workspace, *scratch = state + size;
    task_range(p->batch * p->kv_heads, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        if (call->inputs[3])
            memcpy(state, (const float *)call->inputs[3] + i * size, (size_t)size * sizeof *state);
        else
            memset(state, 0, (size_t)size * sizeof *state);
        for (int64_t step = 0; step < p->steps; step++) {
            struct moment m = moment_at(p, call, i / p->kv_heads, i % p->kv_heads, step);
            run_step(p, &m, state, scratch);
        }
        if (call->outputs[1])
            memcpy((float *)call->outputs[1] + i * size, state, (size_t)size * sizeof *state);
    }
}

const struct kernel linear_attention_reference = {
    .name = "linear_attention_f32_reference",
    .family = FAMILY_linear_attention,
    .workspace_bytes = linear_attention_workspace,
    .tasks = linear_attention_tasks,
    .run = linear_attention_run,
};
