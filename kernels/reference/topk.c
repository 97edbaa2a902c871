/* Selection by a heap of the best k so far, the worst of them at its root. */
#include "kernels/topk.h"

#include "kernels/reference/numeric_types.h"
#include "kernels/reference/order.h"
#include "kernels/walk.h"

struct candidate {
    uint64_t key; /* the greater stands before the smaller in the result */
    int64_t position;
};

NUMERIC_SUPPORTS(topk)

static int topk_tasks(const void *params)
{
    const struct topk_params *p = params;
    return task_count(p->outer * p->inner, 1 + 16384 / (1 + p->count));
}

static size_t topk_workspace(const void *params)
{
    const struct topk_params *p = params;
    return (size_t)p->k * sizeof(struct candidate);
}

/* A strict total order. */
static bool stands_before(const struct candidate *a, const struct candidate *b)
{
    return a->key != b->key ? a->key > b->key : a->position < b->position;
}

/* Puts `moving` into the heap at `root` or below: every parent stands after its children. */
static void sift(struct candidate *heap, int64_t size, int64_t root, struct candidate moving)
{
    for (int64_t child; (child = 2 * root + 1) < size; root = child) {
        if (child + 1 < size && stands_before(&heap[child], &heap[child + 1]))
            child++;
        if (!stands_before(&moving, &heap[child]))
            break;
        heap[root] = heap[child];
    }
    heap[root] = moving;
}

/* Takes the candidate in, where it is among the best k of those up to its position. */
static void offer(struct candidate *heap, int64_t k, struct candidate candidate)
{
    if (candidate.position >= k) {
        if (stands_before(&candidate, heap))
            sift(heap, k, 0, candidate);
        return;
    }
    heap[candidate.position] = candidate;
    if (candidate.position == k - 1)
        for (int64_t root = k / 2 - 1; root >= 0; root--)
            sift(heap, k, root, heap[root]);
}

/* The best k of a line that begins `offset` elements into x, in order. */
static void choose(const struct topk_params *p, const void *x, int64_t offset, struct candidate *heap)
{
    const uint64_t flip = p->largest ? 0 : UINT64_MAX;
    uint64_t keys[ORDER_STRETCH];
    for (int64_t i = 0; i < p->count; i += ORDER_STRETCH) {
        const int64_t n = least(ORDER_STRETCH, p->count - i);
        order_keys(p->dtype, x, offset + i * p->inner, n, p->inner, keys);
        for (int64_t j = 0; j < n; j++)
            offer(heap, p->k, (struct candidate){keys[j] ^ flip, i + j});
    }
    for (int64_t size = p->k - 1; size > 0; size--) { /* heap sort: the last in order goes to the end */
        const struct candidate moving = heap[size];
        heap[size] = heap[0];
        sift(heap, size, 0, moving);
    }
}

static void topk_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct topk_params *p = plan->params;
    struct candidate *heap = call->workspace;
    const size_t bytes = dtype_bytes(p->dtype, 1);
    char *values = call->outputs[0];
    int64_t *positions = call->outputs[1], first, last;
    task_range(p->outer * p->inner, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last && p->k > 0; i++) {
        const int64_t outer = i / p->inner, inner = i % p->inner, offset = outer * p->count * p->inner + inner;
        choose(p, call->inputs[0], offset, heap);
        for (int64_t j = 0, to = outer * p->k * p->inner + inner; j < p->k; j++, to += p->inner) {
            const int64_t from = offset + heap[j].position * p->inner;
            if (values)
                memcpy(values + (size_t)to * bytes, (const char *)call->inputs[0] + (size_t)from * bytes, bytes);
            if (positions)
                positions[to] = heap[j].position;
        }
    }
}

const struct kernel topk_reference = {
    .name = "topk_reference",
    .family = FAMILY_topk,
    .supports = numeric_supports,
    .workspace_bytes = topk_workspace,
    .tasks = topk_tasks,
    .run = topk_run,
};
