#include "graph/steps/walk.h"

#include "kernels/attention.h"
#include "kernels/conv.h"
#include "kernels/copy.h"
#include "kernels/gather.h"
#include "kernels/matmul.h"
#include "kernels/normalize.h"
#include "kernels/pool.h"
#include "kernels/reduce.h"
#include "kernels/sort.h"
#include "kernels/stft.h"

#include <string.h>

/* --- relocations ----------------------------------------------------------------------------------------- */

struct axis {
    int64_t dim, own, other; /* strides in the tensor that was in C order, and in the other one */
};

static int by_own_stride(const void *a, const void *b)
{
    const struct axis *x = a, *y = b;
    return (x->own < y->own) - (x->own > y->own);
}

bool relocation_of_copy(const struct step *copy, bool from_output, struct relocation *relocation)
{
    const struct copy_params *p = copy->params;
    struct axis axes[MAX_RANK];
    int count = 0;
    for (int i = 0; i < p->rank; i++)
        if (p->dims[i] != 1)
            axes[count++] = (struct axis){.dim = p->dims[i],
                                          .own = from_output ? p->output_strides[i] : p->input_strides[i],
                                          .other = from_output ? p->input_strides[i] : p->output_strides[i]};
    sort_items(axes, (size_t)count, sizeof *axes, by_own_stride);
    *relocation = (struct relocation){.offset = from_output ? p->input_offset : p->output_offset};
    int64_t covered = 1;
    for (int i = count - 1; i >= 0; i--) {
        if (axes[i].own != covered)
            return false;
        covered *= axes[i].dim;
    }
    for (int i = 0; i < count; i++) {
        int last = relocation->rank - 1;
        if (last >= 0 && relocation->strides[last] == axes[i].dim * axes[i].other) {
            relocation->dims[last] *= axes[i].dim;
            relocation->strides[last] = axes[i].other;
            continue;
        }
        relocation->dims[relocation->rank] = axes[i].dim;
        relocation->strides[relocation->rank++] = axes[i].other;
    }
    return (from_output ? p->output_offset : p->input_offset) == 0;
}

/* --- walks ----------------------------------------------------------------------------------------------- */

#define MOST_AXES (2 * MAX_RANK + 2)

/* Axes that several operands go along together: one of them can be cut in two, for all of them. */
struct space {
    int *rank; /* NULL: there is none */
    int64_t *dims;
    int operand_count;
    int64_t *strides[POINTWISE_MAX_OPERANDS];
};

struct walk {
    int count;
    int64_t extents[MOST_AXES];
    int64_t *strides[MOST_AXES];
    struct space space; /* of the first axes */
};

static void add_axis(struct walk *walk, int64_t extent, int64_t *stride)
{
    walk->extents[walk->count] = extent;
    walk->strides[walk->count++] = stride;
}

static void add_axes(struct walk *walk, int rank, const int64_t *dims, int64_t *strides)
{
    for (int i = 0; i < rank; i++)
        add_axis(walk, dims[i], &strides[i]);
}

static void add_image(struct walk *walk, int64_t batch, int64_t channels, const int64_t *spatial,
                      struct image_strides *strides)
{
    add_axis(walk, batch, &strides->batch);
    add_axis(walk, channels, &strides->channel);
    add_axes(walk, SPATIAL_AXES, spatial, strides->spatial);
}

/* The axes of a space, along which the operand has `strides`. First of all axes of a walk. */
static void add_space(struct walk *walk, int *rank, int64_t *dims, int64_t *strides)
{
    walk->space.rank = rank;
    walk->space.dims = dims;
    add_axes(walk, *rank, dims, strides);
}

static void space_holds(struct walk *walk, int64_t *strides)
{
    walk->space.strides[walk->space.operand_count++] = strides;
}

static void add_program(struct walk *walk, struct pointwise_params *program, int operand)
{
    add_space(walk, &program->rank, program->dims, program->operands[operand].strides);
    for (int i = 0; i < program->input_count + program->output_count; i++)
        space_holds(walk, program->operands[i].strides);
}

static bool walk_conv(struct conv_params *p, int operand, struct walk *walk)
{
    if (operand == 0)
        add_image(walk, p->batch, p->groups * p->input_channels, p->window.input, &p->x);
    else if (operand < 0)
        add_image(walk, p->batch, p->groups * p->output_channels, p->window.output, &p->y);
    return operand <= 0;
}

static bool walk_pool(struct pool_params *p, const struct step *step, int operand, struct walk *walk)
{
    if (operand == 0)
        add_image(walk, p->batch, p->channels, p->window.input, &p->x);
    else
        add_image(walk, p->batch, p->channels, p->window.output, &p->y);
    return !step->outputs[1];
}

static bool walk_stft(struct stft_params *p, int operand, struct walk *walk)
{
    int64_t positions[SPATIAL_AXES] = {1, 1, p->frames};
    add_image(walk, p->batch, stft_channels(p), positions, &p->y);
    return operand < 0;
}

static bool walk_matmul(struct matmul_params *p, int operand, struct walk *walk)
{
    struct matrix_strides *const operands[] = {&p->a, &p->b, &p->d, &p->a_zero, &p->b_zero, &p->c};
    struct matrix_strides *strides = operands[operand < 0 ? MATMUL_INPUTS : operand];
    add_space(walk, &p->batch_rank, p->batch, strides->batch);
    for (int i = 0; i <= MATMUL_INPUTS; i++)
        space_holds(walk, operands[i]->batch);
    add_axis(walk, operand == 1 ? p->k : p->m, &strides->row);
    add_axis(walk, operand == 0 ? p->k : p->n, &strides->column);
    return true;
}

static bool walk_attention(struct attention_params *p, int operand, struct walk *walk)
{
    struct attention_strides *const operands[] = {&p->q, &p->k, &p->v, &p->mask};
    bool query = operand <= 0 || operand == 3;
    struct attention_strides *strides = operand < 0 ? &p->y : operands[operand];
    add_axis(walk, p->batch, &strides->batch);
    add_axis(walk, operand == 1 || operand == 2 ? p->heads / p->group : p->heads, &strides->head);
    add_axis(walk, query ? p->queries : p->keys, &strides->row);
    add_axis(walk, operand == 3 ? p->keys : operand == 2 || operand < 0 ? p->v_head : p->head, &strides->column);
    return true;
}

/* Extremes of whole tensors, which are the same in whatever order elements are taken. */
static bool takes_any_order(const struct reduce_params *p)
{
    return p->kept_rank == 0 && (p->kind == REDUCE_MAX || p->kind == REDUCE_MIN);
}

static bool walk_reduce(struct reduce_params *p, int operand, struct walk *walk)
{
    if (takes_any_order(p)) {
        add_space(walk, &p->folded_rank, p->folded, p->folded_strides);
        space_holds(walk, p->folded_strides);
        return operand == 0;
    }
    add_space(walk, &p->kept_rank, p->kept, p->kept_strides);
    space_holds(walk, p->kept_strides);
    add_axes(walk, p->folded_rank, p->folded, p->folded_strides);
    return operand == 0;
}

/* Without an epilogue y lies as x. */
static bool walk_normalize(struct normalize_params *p, int operand, struct walk *walk)
{
    add_space(walk, &p->kept_rank, p->kept, p->x.kept);
    space_holds(walk, p->x.kept);
    space_holds(walk, p->scale.kept);
    space_holds(walk, p->bias.kept);
    add_axes(walk, p->folded_rank, p->folded, p->x.folded);
    return operand == 0 && p->epilogue;
}

static bool walk_gather(struct gather_params *p, int operand, struct walk *walk)
{
    add_space(walk, &p->rank, p->dims, operand < 0 ? p->block_strides : p->data_strides);
    space_holds(walk, p->data_strides);
    space_holds(walk, p->index_strides);
    space_holds(walk, p->block_strides);
    if (operand == 0)
        add_axes(walk, p->components, p->axis_dims, p->axis_strides);
    return operand <= 0;
}

static bool walk_copy(struct copy_params *p, int operand, struct walk *walk)
{
    add_space(walk, &p->rank, p->dims, operand == 0 ? p->input_strides : p->output_strides);
    space_holds(walk, p->input_strides);
    space_holds(walk, p->output_strides);
    return true;
}

/* The walk of an operand (output 0: -1; other outputs have none); false where the family fixes how it lies. */
static bool walk_of(struct step *step, int operand, struct walk *walk)
{
    struct epilogue epilogue;
    *walk = (struct walk){.count = 0};
    if (step_epilogue(step, &epilogue) && epilogue.program && (operand < 0 || operand >= epilogue.own_inputs)) {
        /* An epilogue is of the region, and its step's alone. */
        struct pointwise_params *program = (struct pointwise_params *)(uintptr_t)epilogue.program;
        add_program(walk, program, operand < 0 ? program->input_count : operand - epilogue.own_inputs + 1);
        return true;
    }
    switch (step->family) {
    case FAMILY_pointwise:
        add_program(walk, step->params, operand < 0 ? ((struct pointwise_params *)step->params)->input_count : operand);
        return true;
    case FAMILY_conv:
        return walk_conv(step->params, operand, walk);
    case FAMILY_pool:
        return walk_pool(step->params, step, operand, walk);
    case FAMILY_matmul:
        return walk_matmul(step->params, operand, walk);
    case FAMILY_attention:
        return walk_attention(step->params, operand, walk);
    case FAMILY_reduce:
        return walk_reduce(step->params, operand, walk);
    case FAMILY_normalize:
        return walk_normalize(step->params, operand, walk);
    case FAMILY_gather:
        return walk_gather(step->params, operand, walk);
    case FAMILY_stft:
        return walk_stft(step->params, operand, walk);
    case FAMILY_copy:
        return walk_copy(step->params, operand, walk);
    default:
        return false;
    }
}

/* --- relocating a walk ----------------------------------------------------------------------------------- */

static void insert_axis(int64_t *array, int rank, int axis, int64_t outer, int64_t inner)
{
    memmove(array + axis + 1, array + axis, (size_t)(rank - axis) * sizeof *array);
    array[axis] = outer;
    array[axis + 1] = inner;
}

/* Cuts an axis of the space, whose inner part gets `inner` elements. */
static bool cut_axis(struct space *space, int axis, int64_t inner)
{
    if (!space->rank || axis >= *space->rank || *space->rank == MAX_RANK || space->dims[axis] % inner != 0)
        return false;
    insert_axis(space->dims, *space->rank, axis, space->dims[axis] / inner, inner);
    for (int i = 0; i < space->operand_count; i++) {
        int64_t stride = space->strides[i][axis];
        insert_axis(space->strides[i], *space->rank, axis, stride * inner, stride);
    }
    ++*space->rank;
    return true;
}

/* The axis of the relocated tensor along which elements `stride` apart in C order lie, and how many elements a step
 * along it passes; -1: there is none. */
static int find_axis(const struct relocation *r, int64_t stride, int64_t *inside)
{
    *inside = 1;
    for (int j = r->rank - 1; j >= 0; j--) {
        if (stride < *inside * r->dims[j])
            return stride % *inside == 0 ? j : -1;
        *inside *= r->dims[j];
    }
    return -1;
}

enum outcome { DONE, CUT, REFUSED };

/* Index along each axis of element `base`. */
static void start_at(const struct relocation *r, int64_t base, int64_t *start)
{
    for (int j = r->rank - 1; j >= 0; j--) {
        start[j] = base % r->dims[j];
        base /= r->dims[j];
    }
}

/* Rewrites the strides; CUT: an axis was cut in two first, and the walk must be taken anew. Element (i, j, ...) of the
 * walk must have indices along the axes of the relocated tensor that are sums of what each of i, j, ... adds: that is
 * so where no sum leaves its axis. */
static enum outcome relocate(struct walk *walk, const struct relocation *r, int64_t base)
{
    int64_t least[MAX_RANK], most[MAX_RANK], changed[MOST_AXES] = {0};
    start_at(r, base, least);
    start_at(r, base, most);
    for (int i = 0; i < walk->count; i++) {
        int64_t stride = *walk->strides[i], forward = stride < 0 ? -stride : stride, inside;
        if (walk->extents[i] == 1 || stride == 0)
            continue;
        int axis = find_axis(r, forward, &inside);
        if (axis < 0)
            return REFUSED;
        int64_t each = forward / inside, reach = each * (walk->extents[i] - 1);
        if (reach >= r->dims[axis])
            return r->dims[axis] % each == 0 && cut_axis(&walk->space, i, r->dims[axis] / each) ? CUT : REFUSED;
        *(stride < 0 ? &least[axis] : &most[axis]) += stride < 0 ? -reach : reach;
        if (least[axis] < 0 || most[axis] >= r->dims[axis])
            return REFUSED;
        changed[i] = stride / inside * r->strides[axis];
    }
    for (int i = 0; i < walk->count; i++)
        *walk->strides[i] = changed[i];
    return DONE;
}

static int by_stride(const void *a, const void *b)
{
    const struct axis *x = a, *y = b;
    return (x->other < y->other) - (x->other > y->other);
}

/* Goes through the elements as they lie. */
static void take_in_order(struct reduce_params *p)
{
    struct axis axes[MAX_RANK];
    int count = p->folded_rank;
    for (int i = 0; i < count; i++)
        axes[i] = (struct axis){.dim = p->folded[i], .other = p->folded_strides[i]};
    sort_items(axes, (size_t)count, sizeof *axes, by_stride);
    p->folded_rank = 0;
    for (int i = 0; i < count; i++) {
        int last = p->folded_rank - 1;
        bool joins = last >= 0 && p->folded_strides[last] == axes[i].dim * axes[i].other;
        int at = joins ? last : p->folded_rank++;
        p->folded[at] = joins ? p->folded[at] * axes[i].dim : axes[i].dim;
        p->folded_strides[at] = axes[i].other;
    }
}

int64_t step_walk_start(const struct step *step, int operand)
{
    const struct copy_params *p = step->params;
    if (!is_family(step, FAMILY_copy))
        return 0;
    return operand < step->input_count ? p->input_offset : p->output_offset;
}

int64_t relocated_offset(const struct relocation *relocation, int64_t base)
{
    int64_t start[MAX_RANK], offset = relocation->offset;
    start_at(relocation, base, start);
    for (int j = 0; j < relocation->rank; j++)
        offset += start[j] * relocation->strides[j];
    return offset;
}

struct step *step_relocated(const struct step *step, int operand, const struct relocation *relocation, int64_t base,
                            const struct kernel_facts *facts, struct region *region)
{
    int index = operand < step->input_count ? operand : -1;
    struct walk walk;
    if (step->control || operand > step->input_count)
        return NULL;
    struct step *copy = step_copy(step, region);
    enum outcome outcome = CUT;
    while (copy && outcome == CUT)
        outcome = walk_of(copy, index, &walk) ? relocate(&walk, relocation, base) : REFUSED;
    if (!copy || outcome == REFUSED)
        return NULL;
    if (copy->family == FAMILY_reduce && takes_any_order(copy->params))
        take_in_order(copy->params);
    if (copy->family == FAMILY_copy) {
        struct copy_params *p = copy->params;
        *(index < 0 ? &p->output_offset : &p->input_offset) = 0;
    }
    if (!family_supports(copy->family, copy->params, facts))
        return NULL;
    copy->in_place = 0; /* it was said of operands in C order */
    step_mark_in_place(copy);
    return copy;
}

struct value *strided_view(struct graph *graph, struct value *target, int64_t element, const struct value *like)
{
    struct value *view = graph_add_value(graph, "", like->dtype, like->rank, like->dims);
    if (!view)
        return NULL;
    view->alias = target;
    view->strided = true;
    view->alias_offset = (size_t)(element * (int64_t)dtype_bits(like->dtype) / 8);
    return view;
}

/* Operand i of `step`, which is a copy of ours already or becomes one. */
static struct step *redirect(struct step *step, int i, struct graph *graph, const struct value *moved,
                             struct value *target, const struct relocation *relocation,
                             const struct kernel_facts *facts, struct region *region)
{
    struct value *operand = i < step->input_count ? step->inputs[i] : step->outputs[i - step->input_count];
    size_t offset, each = dtype_bits(moved->dtype) / 8;
    if (!operand || value_root(operand, &offset) != moved)
        return step;
    if (each == 0 || operand->dtype != moved->dtype || offset % each != 0)
        return NULL;
    int64_t base = (int64_t)(offset / each) + step_walk_start(step, i);
    int64_t start = relocated_offset(relocation, base);
    step = step_relocated(step, i, relocation, base, facts, region);
    bool whole = operand == target && start == 0;
    struct value *view = !step ? NULL : whole ? target : strided_view(graph, target, start, operand);
    if (!view)
        return NULL;
    if (i < step->input_count)
        step->inputs[i] = view;
    else
        step->outputs[i - step->input_count] = view;
    return step;
}

struct step *step_redirected(struct step *step, struct graph *graph, const struct value *moved, struct value *target,
                             const struct relocation *relocation, const struct kernel_facts *facts,
                             struct region *region)
{
    for (int i = 0; step && i < step->input_count + step->output_count; i++)
        step = redirect(step, i, graph, moved, target, relocation, facts, region);
    return step;
}
