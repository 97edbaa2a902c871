/* Strips for speed: a large intermediate goes to a cache far away, or to memory, and comes back, which thin layers
 * (depthwise convolutions, 1x1 convolutions of few channels, pools) take longer for than for their arithmetic. */
#include "graph/passes/rewrite.h"
#include "graph/passes/strips_plan.h"

#define LONGEST_NEAR 12 /* stages of a region */
#define MOST_TIMES 4    /* strips: of as many as one far intermediate takes to be near */
#define MOST_THREADS 4  /* more have too little to do in a strip, and caches enough */

/* What is saved and what it costs. */
#define SECONDS_A_BYTE 30e-12 /* written far away and read from there */
#define SECONDS_A_WORK 20e-12
#define SECONDS_A_STEP 2e-6

/* Layers on integers are faster than those on floating numbers by about what their images are smaller. */
struct limits {
    size_t near;  /* bytes of a strip, at most */
    size_t far;   /* of an intermediate that is worth it, at least */
    double least; /* seconds saved in all threads together, before steps: less is within the error of the estimate */
    double price; /* seconds that a byte less may cost where nearly the most are alive */
};

static const struct limits of_floats = {2 << 20, 3 << 20, 20e-6, 0}, of_bytes = {384 << 10, 768 << 10, 5e-6, 15e-12};

static const struct limits *limits_of(const struct value *image)
{
    return dtype_bits(image->dtype) == 8 ? &of_bytes : &of_floats;
}

static bool is_far(const struct value *image, size_t bytes)
{
    return bytes >= limits_of(image)->far;
}

static const int strip_counts[] = {2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48};

struct search {
    const struct stages *stages;
    const struct stage_order *order;
    struct sweep sweep;
    int threads;
    double *saved;               /* by position: the most seconds that regions save before it */
    struct strip_region *chosen; /* the last of them; strips 0: the stage before is in none */
};

bool strip_plan_has_far(const struct graph *graph, int threads)
{
    for (int n = 0; threads > 0 && threads <= MOST_THREADS && n < graph->node_count; n++) {
        const struct node *node = graph->nodes[n];
        const struct value *output = node->output_count > 0 ? node->outputs[0] : NULL;
        if (output && output->rank > ROW_AXIS && !output->dims_at_run && is_far(output, value_bytes(output)))
            return true;
    }
    return false;
}

/* Whether bits may depend on where a strip begins: kernels transform tiles of such convolutions. Parts of a
 * concatenation are written where they belong if it is not cut. */
static bool stays_whole(const struct stage *stage)
{
    const struct node *head = stage->head;
    const struct window *w = &stage->map.window;
    for (int i = 0; i < stage->node_count; i++)
        if (is_op(stage->nodes[i], "Concat"))
            return true;
    if (!head || !is_op(head, "Conv"))
        return false;
    const struct value *weights = head->inputs[1];
    return weights->dims[1] > 1 && w->kernel[1] == 3 && w->kernel[2] == 3 && w->stride[1] == 1 && w->stride[2] == 1;
}

/* The largest of what a stage reads; NULL: nothing of it is far. */
static const struct value *reads_far(const struct search *search, const struct stage *stage)
{
    const struct value *most = NULL;
    const size_t *bytes = search->stages->bytes;
    for (int n = 0; n < stage->node_count; n++)
        for (int i = 0; i < stage->nodes[n]->input_count; i++) {
            const struct value *input = stage->nodes[n]->inputs[i];
            if (input && is_far(input, bytes[input->id]) && (!most || bytes[input->id] > bytes[most->id]))
                most = input;
        }
    return most;
}

/* Whether it adds to another large image, which it may overwrite as a whole but not in strips. */
static bool may_overwrite(const struct stages *stages, const struct stage *stage)
{
    size_t bytes = stages->bytes[stage->output->id];
    for (int n = 1; is_far(stage->output, bytes) && n < stage->node_count; n++)
        for (int i = 0; i < stage->nodes[n]->input_count; i++)
            if (stage->nodes[n]->inputs[i] && stages->bytes[stage->nodes[n]->inputs[i]->id] == bytes)
                return true;
    return false;
}

/* The peak of all stages counts parts of a concatenation twice. */
static bool is_nearly(size_t bytes, size_t peak)
{
    return bytes > peak / 4 * 3;
}

/* Makes the stage at the beginning of the sweep a part of regions, the best of which ends at `end`. `bytes`: that its
 * intermediates do not write; `whole`: most bytes alive without strips. */
static void judge(struct search *search, int end, size_t bytes, size_t whole, const struct limits *limits)
{
    const struct sweep *sweep = &search->sweep;
    size_t peak = search->order->entering[sweep->begin] + sweep->results + sweep->strip_peak;
    double steps = (double)(sweep->strips - 1) * (end - sweep->begin);
    double gain = (double)bytes * SECONDS_A_BYTE - sweep->extra * SECONDS_A_WORK;
    double saved = gain / search->threads - steps * SECONDS_A_STEP + search->saved[sweep->begin];
    if (is_nearly(whole, search->order->peak) && peak < whole)
        saved += (double)(whole - peak) * limits->price;
    if (gain < limits->least || peak > whole || saved <= search->saved[end])
        return;
    search->saved[end] = saved;
    search->chosen[end] = (struct strip_region){sweep->begin, end, sweep->strips};
}

/* Regions at whose end `far` is read. */
static void find_regions(struct search *search, int end, const struct value *far, int strips)
{
    struct sweep *sweep = &search->sweep;
    size_t bytes = 0, whole = 0;
    sweep_begin(sweep, end, strips);
    while (sweep_add(sweep) && sweep->strip_peak <= limits_of(far)->near) {
        const struct stage *stage = &search->stages->list[search->order->stages[sweep->begin]];
        if (stays_whole(stage) || may_overwrite(search->stages, stage))
            break;
        size_t made = search->stages->bytes[stage->output->id];
        if (!is_result(sweep, stage->output) && is_far(stage->output, made))
            bytes += made - limits_of(stage->output)->near;
        size_t live = search->order->live[sweep->begin];
        whole = live > whole ? live : whole;
        judge(search, end, bytes, whole, limits_of(far));
    }
}

static bool collect(const struct search *search, struct strip_plan *plan)
{
    int count = 0;
    for (int end = search->stages->count; end > 0;) {
        const struct strip_region *region = &search->chosen[end];
        count += region->strips > 0;
        end = region->strips > 0 ? region->begin : end - 1;
    }
    plan->region_count = count;
    plan->regions = region_array(search->stages->region, (size_t)count, sizeof *plan->regions);
    for (int end = search->stages->count; plan->regions && end > 0;) {
        const struct strip_region *region = &search->chosen[end];
        if (region->strips > 0)
            plan->regions[--count] = *region;
        end = region->strips > 0 ? region->begin : end - 1;
    }
    return plan->regions != NULL;
}

bool strip_plan_make_near(const struct stages *stages, int threads, struct strip_plan *plan)
{
    size_t count = (size_t)stages->count + 1;
    struct search search = {.stages = stages, .order = order_given(stages), .threads = threads};
    search.saved = region_array(stages->region, count, sizeof *search.saved);
    search.chosen = region_array(stages->region, count, sizeof *search.chosen);
    if (!search.order || !search.saved || !search.chosen ||
        !sweep_create(&search.sweep, stages, search.order, LONGEST_NEAR))
        return false;
    for (int end = 1; end <= stages->count; end++) {
        search.saved[end] = search.saved[end - 1];
        /* Fewer strips would be too large, and many more have too many rows twice. */
        const struct value *far = reads_far(&search, &stages->list[search.order->stages[end - 1]]);
        size_t least = far ? stages->bytes[far->id] / limits_of(far)->near : 0;
        for (size_t k = 0; k < sizeof strip_counts / sizeof *strip_counts; k++)
            if (least > 0 && (size_t)strip_counts[k] > least && (size_t)strip_counts[k] <= MOST_TIMES * least)
                find_regions(&search, end, far, strip_counts[k]);
    }
    *plan = (struct strip_plan){.stages = stages, .order = search.order};
    return collect(&search, plan);
}
