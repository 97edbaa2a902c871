/* Normalisation by the statistics of groups of elements. */
#include "kernels/normalize.h"

#include "graph/ops/microsoft.h"
#include "graph/ops/tools.h"

/* A normalisation before its axes are sorted: x seen as a contiguous tensor of these dimensions, the axes that make a
 * group, and the strides of scale and bias along every axis. */
struct problem {
    int rank;
    int64_t dims[MAX_RANK], scale[MAX_RANK], bias[MAX_RANK];
    unsigned folded;
    bool centred;
    double epsilon;
};

static void append_axis(struct normalize_params *p, const struct problem *problem, int axis, int64_t stride)
{
    bool folded = problem->folded >> axis & 1u;
    int i = folded ? p->folded_rank++ : p->kept_rank++;
    (folded ? p->folded : p->kept)[i] = problem->dims[axis];
    (folded ? p->x.folded : p->x.kept)[i] = stride;
    (folded ? p->scale.folded : p->scale.kept)[i] = problem->scale[axis];
    (folded ? p->bias.folded : p->bias.kept)[i] = problem->bias[axis];
}

/* inputs: x, scale, bias; outputs: y, mean, 1 / deviation; all but x and y may be NULL. */
static enum status emit_normalize(struct op_context *c, const struct problem *problem, struct value *const *inputs,
                                  struct value *const *outputs)
{
    struct normalize_params p = {.dtype = inputs[0]->dtype, .centred = problem->centred, .epsilon = problem->epsilon};
    int64_t strides[MAX_RANK];
    contiguous_strides(problem->rank, problem->dims, strides);
    for (int i = 0; i < problem->rank; i++)
        append_axis(&p, problem, i, strides[i]);
    if (p.folded_rank == 0)
        p.folded[p.folded_rank++] = 1;
    /* In place: a group is read as a whole before any of it is written, and each element once more then. */
    return op_emit(c, FAMILY_normalize, &p, sizeof p, 3, inputs, 3, outputs, 1);
}

static double epsilon_of(const struct op_context *c)
{
    return (double)op_float(c, "epsilon");
}

/* --- LayerNormalization, RMSNormalization, SimplifiedLayerNormalization ------------------------------------ */

/* Scale or bias must broadcast to x without making it larger. */
static enum status check_broadcast(struct op_context *c, int i)
{
    const struct value *x = op_input(c, 0), *y = op_input(c, i);
    for (int k = 1; y && k <= y->rank; k++) {
        if (k <= x->rank && (y->dims[y->rank - k] == 1 || y->dims[y->rank - k] == x->dims[x->rank - k]))
            continue;
        char a[120], b[120];
        return op_error(c, STATUS_INVALID_MODEL, "input %d of shape %s does not broadcast to %s", i,
                        value_shape_text(NULL, y, a, sizeof a), value_shape_text(NULL, x, b, sizeof b));
    }
    return STATUS_OK;
}

static enum status shapes_layer(struct op_context *c)
{
    const struct value *x = op_input(c, 0);
    int axis;
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require(c, 1, TYPES_FLOAT));
    TRY(op_allow(c, 2, TYPES_FLOAT));
    TRY(op_axis(c, "axis", op_int(c, "axis"), x->rank, &axis));
    TRY(check_broadcast(c, 1));
    TRY(check_broadcast(c, 2));
    int64_t dims[MAX_RANK];
    for (int i = 0; i < x->rank; i++)
        dims[i] = i < axis ? x->dims[i] : 1;
    TRY(op_set_output(c, 0, op_input(c, c->node->op->detail)->dtype, x->rank, x->dims));
    TRY(op_set_output(c, 1, DTYPE_F32, x->rank, dims));
    return op_set_output(c, 2, DTYPE_F32, x->rank, dims);
}

/* `value` itself where it has the type, or a converted copy. NULL stays. */
static enum status as_type(struct op_context *c, struct value *value, enum dtype dtype, struct value **result)
{
    *result = value;
    if (!value || value->dtype == dtype)
        return STATUS_OK;
    *result = op_temporary(c, dtype, value->rank, value->dims);
    return *result ? op_cast(c, value, *result, false) : op_no_memory(c);
}

/* A value of the given type that becomes `output`; NULL where nobody wants that. */
static enum status before_cast(struct op_context *c, struct value *output, enum dtype dtype, struct value **result)
{
    *result = output;
    if (!output || output->dtype == dtype)
        return STATUS_OK;
    *result = op_temporary(c, dtype, output->rank, output->dims);
    return *result ? STATUS_OK : op_no_memory(c);
}

static enum status lower_layer(struct op_context *c)
{
    const struct value *x = op_input(c, 0);
    int axis;
    TRY(op_axis(c, "axis", op_int(c, "axis"), x->rank, &axis));
    struct problem problem = {.rank = x->rank, .centred = c->node->op->detail == 0, .epsilon = epsilon_of(c)};
    problem.folded = ((1u << x->rank) - 1) & ~((1u << axis) - 1);
    for (int i = 0; i < x->rank; i++)
        problem.dims[i] = x->dims[i];
    struct value *inputs[3], *outputs[3], *wanted[3] = {op_output(c, 0), op_output(c, 1), op_output(c, 2)};
    if (!problem.centred) { /* there is no mean to tell */
        wanted[2] = wanted[1];
        wanted[1] = NULL;
    }
    for (int i = 0; i < 3; i++) {
        TRY(as_type(c, op_input(c, i), x->dtype, &inputs[i]));
        TRY(before_cast(c, wanted[i], x->dtype, &outputs[i]));
    }
    if (!outputs[0] && !(outputs[0] = op_temporary(c, x->dtype, x->rank, x->dims))) /* only statistics are wanted */
        return op_no_memory(c);
    broadcast_strides(inputs[1], x->rank, problem.scale);
    if (inputs[2])
        broadcast_strides(inputs[2], x->rank, problem.bias);
    TRY(emit_normalize(c, &problem, inputs, outputs));
    for (int i = 0; i < 3; i++)
        if (wanted[i] && outputs[i] != wanted[i])
            TRY(op_cast(c, outputs[i], wanted[i], false));
    return STATUS_OK;
}

/* `detail`: the input whose type the output has; the mean is subtracted where that is x. */
#define NORMALIZATION(op_name, most_inputs, least_inputs, most_outputs, number, shapes_function, lower_function) \
    OPERATOR(op_name, least_inputs, most_inputs, 1, most_outputs, shapes_function, .flags = OP_HALF_AS_F32,      \
             .detail = number, .lower = lower_function)

NORMALIZATION(LayerNormalization, 3, 2, 3, 0, shapes_layer, lower_layer)
NORMALIZATION(RMSNormalization, 2, 2, 1, 1, shapes_layer, lower_layer)
/* ONNX Runtime's RMSNormalization, which it writes into either domain. */
NORMALIZATION(SimplifiedLayerNormalization, 2, 2, 2, 1, shapes_layer, lower_layer)
MICROSOFT_OPERATOR(SimplifiedLayerNormalization, 2, 2, 1, 2, shapes_layer, .flags = OP_HALF_AS_F32, .detail = 1,
                   .lower = lower_layer)

/* --- InstanceNormalization, GroupNormalization ------------------------------------------------------------ */

static enum status check_per_channel(struct op_context *c, int64_t count)
{
    for (int i = 1; i < c->node->input_count; i++) {
        TRY(op_require(c, i, TYPE(op_input(c, 0)->dtype)));
        if (op_input(c, i)->rank != 1 || op_input(c, i)->dims[0] != count)
            return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' must be a list of %lld elements", i,
                            op_input(c, i)->name, (long long)count);
    }
    return STATUS_OK;
}

static enum status check_image(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_FLOAT));
    return op_require_rank(c, 0, 2, MAX_RANK);
}

static int64_t pixels(const struct value *x)
{
    int64_t count = 1;
    for (int i = 2; i < x->rank; i++)
        count *= x->dims[i];
    return count;
}

static enum status shapes_instance(struct op_context *c)
{
    TRY(check_image(c));
    TRY(check_per_channel(c, op_input(c, 0)->dims[1]));
    return op_shapes_as_input(c);
}

static enum status lower_instance(struct op_context *c)
{
    const struct value *x = op_input(c, 0);
    struct problem problem = {
        .rank = 3,
        .dims = {x->dims[0], x->dims[1], pixels(x)},
        .scale = {0, 1, 0},
        .bias = {0, 1, 0},
        .folded = 1u << 2,
        .centred = true,
        .epsilon = epsilon_of(c),
    };
    return emit_normalize(c, &problem, c->node->inputs, (struct value *[]){op_output(c, 0), NULL, NULL});
}

/* Before opset 21 scale and bias have one element a group, then one a channel. */
static bool scales_groups(const struct op_context *c)
{
    return c->node->version < 21;
}

static enum status shapes_group(struct op_context *c)
{
    int64_t groups = op_int(c, "num_groups");
    TRY(check_image(c));
    int64_t channels = op_input(c, 0)->dims[1];
    if (groups < 1 || channels % groups != 0)
        return op_error(c, STATUS_INVALID_MODEL, "%lld channels cannot be cut into %lld groups", (long long)channels,
                        (long long)groups);
    TRY(check_per_channel(c, scales_groups(c) ? groups : channels));
    return op_shapes_as_input(c);
}

static enum status lower_group(struct op_context *c)
{
    const struct value *x = op_input(c, 0);
    int64_t groups = op_int(c, "num_groups"), each = x->dims[1] / groups;
    int64_t group_step = scales_groups(c) ? 1 : each, channel_step = scales_groups(c) ? 0 : 1;
    struct problem problem = {
        .rank = 4,
        .dims = {x->dims[0], groups, each, pixels(x)},
        .scale = {0, group_step, channel_step, 0},
        .bias = {0, group_step, channel_step, 0},
        .folded = 1u << 2 | 1u << 3,
        .centred = true,
        .epsilon = epsilon_of(c),
    };
    return emit_normalize(c, &problem, c->node->inputs, (struct value *[]){op_output(c, 0), NULL, NULL});
}

NORMALIZATION(InstanceNormalization, 3, 3, 1, 0, shapes_instance, lower_instance)
NORMALIZATION(GroupNormalization, 3, 3, 1, 0, shapes_group, lower_group)

/* --- MeanVarianceNormalization ---------------------------------------------------------------------------- */

static enum status variance_axes(struct op_context *c, unsigned *mask)
{
    int count, rank = op_input(c, 0)->rank;
    const int64_t *axes = op_int_list(c, "axes", &count);
    *mask = 0;
    for (int i = 0; i < count; i++) {
        int axis;
        TRY(op_axis(c, "axis", axes[i], rank, &axis));
        *mask |= 1u << axis;
    }
    return STATUS_OK;
}

static enum status shapes_mean_variance(struct op_context *c)
{
    unsigned mask;
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(variance_axes(c, &mask));
    return op_shapes_as_input(c);
}

static enum status lower_mean_variance(struct op_context *c)
{
    const struct value *x = op_input(c, 0);
    /* ONNX divides by the deviation plus 1e-9; what matters of it is that no deviation at all gives 0. */
    struct problem problem = {.rank = x->rank, .centred = true, .epsilon = 1e-18};
    TRY(variance_axes(c, &problem.folded));
    for (int i = 0; i < x->rank; i++)
        problem.dims[i] = x->dims[i];
    return emit_normalize(c, &problem, (struct value *[]){op_input(c, 0), NULL, NULL},
                          (struct value *[]){op_output(c, 0), NULL, NULL});
}

NORMALIZATION(MeanVarianceNormalization, 1, 1, 1, 0, shapes_mean_variance, lower_mean_variance)
