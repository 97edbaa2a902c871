#include "kernels/ngrams.h"

#include <string.h>

struct row {
    const struct ngrams_params *params;
    const void *tokens;
    int64_t first; /* of the row among all tokens */
};

static int64_t token_at(const struct row *row, int64_t i)
{
    return row->params->token_dtype == DTYPE_I32 ? ((const int32_t *)row->tokens)[row->first + i]
                                                 : ((const int64_t *)row->tokens)[row->first + i];
}

static int compare(const struct row *row, int64_t start, int64_t step, const int64_t *ngram, int n)
{
    for (int i = 0; i < n; i++) {
        int64_t token = token_at(row, start + i * step);
        if (token != ngram[i])
            return token < ngram[i] ? -1 : 1;
    }
    return 0;
}

/* Index among the n-grams of the one that begins at `start`, found by halves; -1: not in the pool. */
static int64_t find(const struct row *row, int64_t start, int64_t step, const int64_t *pool, int n)
{
    int64_t low = 0, high = row->params->counts[n - 1];
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = compare(row, start, step, pool + middle * n, n);
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

static void count_row(const struct row *row, const int64_t *pool, const int32_t *columns, float *out)
{
    const struct ngrams_params *p = row->params;
    for (int n = 1; n <= p->longest; n++) {
        /* Tokens that stand alone are not apart from one another, so they count once. */
        int64_t farthest = n == 1 ? 1 : p->skips + 1;
        for (int64_t step = 1; n >= p->shortest && step <= farthest && step * (n - 1) < p->length; step++) {
            for (int64_t start = 0; start + step * (n - 1) < p->length; start++) {
                int64_t found = find(row, start, step, pool, n);
                if (found >= 0)
                    out[columns[found]] += 1;
            }
        }
        pool += p->counts[n - 1] * n;
        columns += p->counts[n - 1];
    }
}

static int ngrams_tasks(const void *params)
{
    const struct ngrams_params *p = params;
    return task_count(p->rows, 1 + 1024 / (1 + p->length));
}

static void ngrams_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct ngrams_params *p = plan->params;
    const float *weights = call->inputs[3];
    int64_t first, last;
    task_range(p->rows, plan->tasks[0], task, &first, &last);
    for (int64_t r = first; r < last; r++) {
        struct row row = {p, call->inputs[0], r * p->length};
        float *out = (float *)call->outputs[0] + r * p->columns;
        memset(out, 0, (size_t)p->columns * sizeof *out);
        count_row(&row, call->inputs[1], call->inputs[2], out);
        for (int64_t i = 0; i < p->columns && p->weighting != NGRAMS_COUNT; i++) {
            float count = p->weighting == NGRAMS_PRESENCE ? (out[i] > 0 ? 1 : 0) : out[i];
            out[i] = weights ? count * weights[i] : count;
        }
    }
}

const struct kernel ngrams_reference = {
    .name = "ngrams_reference",
    .family = FAMILY_ngrams,
    .tasks = ngrams_tasks,
    .run = ngrams_run,
};
