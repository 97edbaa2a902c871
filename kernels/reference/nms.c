#include "kernels/nms.h"

struct candidate {
    float score;
    int64_t box;
};

struct corners {
    float top, left, bottom, right;
};

static size_t nms_workspace(const void *params)
{
    const struct nms_params *p = params;
    return (size_t)p->boxes * sizeof(struct candidate);
}

static struct corners corners_of(const struct nms_params *p, const float *box)
{
    struct corners c = {box[0], box[1], box[2], box[3]};
    if (p->centered)
        c = (struct corners){box[1] - box[3] / 2, box[0] - box[2] / 2, box[1] + box[3] / 2, box[0] + box[2] / 2};
    return (struct corners){c.top < c.bottom ? c.top : c.bottom, c.left < c.right ? c.left : c.right,
                            c.top < c.bottom ? c.bottom : c.top, c.left < c.right ? c.right : c.left};
}

static float area(struct corners c)
{
    return (c.bottom - c.top) * (c.right - c.left);
}

static bool overlaps(const struct nms_params *p, const float *box_a, const float *box_b, float threshold)
{
    struct corners a = corners_of(p, box_a), b = corners_of(p, box_b), both;
    both.top = a.top > b.top ? a.top : b.top;
    both.left = a.left > b.left ? a.left : b.left;
    both.bottom = a.bottom < b.bottom ? a.bottom : b.bottom;
    both.right = a.right < b.right ? a.right : b.right;
    if (!(both.bottom > both.top && both.right > both.left))
        return false;
    float shared = area(both), whole = area(a) + area(b) - shared;
    return whole > 0 && shared / whole > threshold;
}

static bool stands_before(struct candidate a, struct candidate b)
{
    return a.score == b.score ? a.box < b.box : a.score > b.score;
}

/* A heap with the best candidate at its root. */
static void sift(struct candidate *heap, int64_t size, int64_t root)
{
    struct candidate moving = heap[root];
    for (int64_t child; (child = 2 * root + 1) < size; root = child) {
        if (child + 1 < size && stands_before(heap[child + 1], heap[child]))
            child++;
        if (!stands_before(heap[child], moving))
            break;
        heap[root] = heap[child];
    }
    heap[root] = moving;
}

static int64_t collect(const struct nms_params *p, const float *scores, const float *threshold, struct candidate *heap)
{
    int64_t size = 0;
    for (int64_t i = 0; i < p->boxes; i++)
        if (!(scores[i] != scores[i]) && (!threshold || scores[i] > *threshold))
            heap[size++] = (struct candidate){scores[i], i};
    for (int64_t root = size / 2 - 1; root >= 0; root--)
        sift(heap, size, root);
    return size;
}

/* Selects boxes of one class into rows of the output; returns how many. */
static int64_t select_boxes(const struct nms_params *p, const struct kernel_call *call, int64_t batch, int64_t class,
                            int64_t most, int64_t *rows)
{
    const float *boxes = (const float *)call->inputs[0] + batch * p->boxes * 4;
    const float *scores = (const float *)call->inputs[1] + (batch * p->classes + class) * p->boxes;
    float overlap = call->inputs[3] ? *(const float *)call->inputs[3] : 0;
    struct candidate *heap = call->workspace;
    int64_t size = collect(p, scores, call->inputs[4], heap), selected = 0;
    while (size > 0 && selected < most) {
        int64_t box = heap[0].box;
        bool keep = true;
        heap[0] = heap[--size];
        sift(heap, size > 0 ? size : 1, 0);
        for (int64_t i = 0; i < selected && keep; i++)
            keep = !overlaps(p, boxes + rows[3 * i + 2] * 4, boxes + box * 4, overlap);
        if (!keep)
            continue;
        rows[3 * selected] = batch;
        rows[3 * selected + 1] = class;
        rows[3 * selected++ + 2] = box;
    }
    return selected;
}

static void nms_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    (void)task;
    const struct nms_params *p = plan->params;
    int64_t *rows = call->outputs[0], found = 0;
    int64_t most = call->inputs[2] ? *(const int64_t *)call->inputs[2] : 0;
    for (int64_t batch = 0; batch < p->batch; batch++)
        for (int64_t class = 0; class < p->classes; class ++)
            found += select_boxes(p, call, batch, class, most, rows + 3 * found);
    call->output_dims[0][0] = found;
    call->output_dims[0][1] = 3;
}

const struct kernel nms_reference = {
    .name = "nms_reference",
    .family = FAMILY_nms,
    .workspace_bytes = nms_workspace,
    .run = nms_run,
};
