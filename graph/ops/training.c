/* The optimisers of ai.onnx.preview.training: (R, T, tensors..., gradients..., states...) → (tensors..., states...). */
#include "graph/ops/build.h"

#include <string.h>

/* One tensor with its gradient, its states and what the node's attributes say. */
struct update {
    struct value *rate, *count; /* R, and T as a number of R's type */
    struct value *x, *gradient, *states[2];
    struct value *new_x, *new_states[2];
};

static int state_count(const struct op_context *c)
{
    return c->node->op->detail;
}

static int tensor_count(const struct op_context *c)
{
    return (c->node->input_count - 2) / (2 + state_count(c));
}

static enum status shapes_optimiser(struct op_context *c)
{
    int groups = 2 + state_count(c), tensors = tensor_count(c);
    TRY(op_require(c, 0, TYPES_F32_F64));
    TRY(op_require(c, 1, TYPE(DTYPE_I64)));
    TRY(op_require_rank(c, 0, 0, 0));
    TRY(op_require_rank(c, 1, 0, 0));
    if (tensors * groups + 2 != c->node->input_count || c->node->output_count > tensors * (groups - 1))
        return op_error(c, STATUS_INVALID_MODEL, "%d inputs do not make R, T and %d for each tensor",
                        c->node->input_count, groups);
    for (int i = 2; i < c->node->input_count; i++) {
        const struct value *x = op_input(c, 2 + (i - 2) % tensors), *value = op_input(c, i);
        TRY(op_require(c, i, x ? TYPE(x->dtype) & TYPES_F32_F64 : TYPES_F32_F64));
        TRY(op_require_rank(c, i, x->rank, x->rank));
        for (int k = 0; k < x->rank; k++)
            if (x->dims[k] != value->dims[k])
                return op_error(c, STATUS_INVALID_ARGUMENT, "input %d '%s' has another shape than its tensor", i,
                                value->name);
    }
    for (int i = 0; i < c->node->output_count; i++) {
        const struct value *x = op_input(c, 2 + i % tensors);
        TRY(op_set_output(c, i, x->dtype, x->rank, x->dims));
    }
    return STATUS_OK;
}

/* factor * x */
static struct value *times(struct op_context *c, double factor, struct value *x, enum dtype dtype)
{
    return op_build2(c, "Mul", build_number(c, dtype, factor), x);
}

static struct value *plus(struct op_context *c, struct value *x, double term, enum dtype dtype)
{
    return op_build2(c, "Add", x, build_number(c, dtype, term));
}

/* norm_coefficient * x + gradient */
static struct value *regularised(struct op_context *c, const struct update *u)
{
    double norm = (double)op_float(c, "norm_coefficient");
    return op_build2(c, "Add", times(c, norm, u->x, u->x->dtype), u->gradient);
}

/* `later` where T > 0, else `first`. */
static struct value *after_first(struct op_context *c, const struct update *u, struct value *later, struct value *first)
{
    enum dtype dtype = op_input(c, 0)->dtype;
    return build_select(c, op_build2(c, "Greater", u->count, build_number(c, dtype, 0)), later, first);
}

static void update_adagrad(struct op_context *c, struct update *u)
{
    enum dtype rate_type = op_input(c, 0)->dtype, dtype = u->x->dtype;
    double decay = (double)op_float(c, "decay_factor"), epsilon = (double)op_float(c, "epsilon");
    struct value *slower = plus(c, times(c, decay, u->count, rate_type), 1, rate_type);
    struct value *rate = build_cast(c, op_build2(c, "Div", u->rate, slower), dtype), *g = regularised(c, u);
    u->new_states[0] = op_build2(c, "Add", u->states[0], op_build2(c, "Mul", g, g));
    struct value *root = plus(c, op_build1(c, "Sqrt", u->new_states[0]), epsilon, dtype);
    u->new_x = op_build2(c, "Sub", u->x, op_build2(c, "Div", op_build2(c, "Mul", rate, g), root));
}

/* 1 - factor^T */
static struct value *correction(struct op_context *c, const struct update *u, double factor)
{
    enum dtype dtype = op_input(c, 0)->dtype;
    struct value *power = op_build2(c, "Pow", build_number(c, dtype, factor), u->count);
    return op_build2(c, "Sub", build_number(c, dtype, 1), power);
}

/* decay * state + (1 - decay) * term */
static struct value *blend(struct op_context *c, double decay, struct value *state, struct value *term)
{
    return op_build2(c, "Add", times(c, decay, state, state->dtype), times(c, 1 - decay, term, state->dtype));
}

static void update_adam(struct op_context *c, struct update *u)
{
    enum dtype dtype = u->x->dtype;
    double alpha = (double)op_float(c, "alpha"), beta = (double)op_float(c, "beta");
    double epsilon = (double)op_float(c, "epsilon"), norm = (double)op_float(c, "norm_coefficient_post");
    struct value *g = regularised(c, u);
    u->new_states[0] = blend(c, alpha, u->states[0], g);
    u->new_states[1] = blend(c, beta, u->states[1], op_build2(c, "Mul", g, g));
    struct value *root = plus(c, op_build1(c, "Sqrt", u->new_states[1]), epsilon, dtype);
    struct value *corrected = op_build2(c, "Mul", u->rate, op_build1(c, "Sqrt", correction(c, u, beta)));
    corrected = op_build2(c, "Div", corrected, correction(c, u, alpha));
    struct value *rate = build_cast(c, after_first(c, u, corrected, u->rate), dtype);
    struct value *step = op_build2(c, "Mul", rate, op_build2(c, "Div", u->new_states[0], root));
    u->new_x = times(c, 1 - norm, op_build2(c, "Sub", u->x, step), dtype);
}

static void update_momentum(struct op_context *c, struct update *u)
{
    enum dtype dtype = u->x->dtype, rate_type = op_input(c, 0)->dtype;
    double alpha = (double)op_float(c, "alpha"), beta = (double)op_float(c, "beta");
    bool nesterov = strcmp(op_string(c, "mode"), "nesterov") == 0;
    struct value *g = regularised(c, u);
    struct value *weight = after_first(c, u, build_number(c, rate_type, beta), build_number(c, rate_type, 1));
    struct value *fresh = op_build2(c, "Mul", build_cast(c, weight, dtype), g);
    u->new_states[0] = op_build2(c, "Add", times(c, alpha, u->states[0], dtype), fresh);
    struct value *step = u->new_states[0];
    if (nesterov)
        step = op_build2(c, "Add", g, times(c, alpha, step, dtype));
    u->new_x = op_build2(c, "Sub", u->x, op_build2(c, "Mul", build_cast(c, u->rate, dtype), step));
}

static enum status expand_optimiser(struct op_context *c, void (*update)(struct op_context *, struct update *))
{
    int tensors = tensor_count(c), states = state_count(c);
    struct value *count = build_cast(c, op_input(c, 1), op_input(c, 0)->dtype);
    for (int i = 0; i < tensors; i++) {
        struct update u = {
            .rate = op_input(c, 0), .count = count, .x = op_input(c, 2 + i), .gradient = op_input(c, 2 + tensors + i)};
        for (int k = 0; k < states; k++)
            u.states[k] = op_input(c, 2 + (2 + k) * tensors + i);
        update(c, &u);
        TRY(build_output(c, i, u.new_x));
        for (int k = 0; k < states; k++)
            TRY(build_output(c, (1 + k) * tensors + i, u.new_states[k]));
    }
    return op_built(c);
}

static enum status expand_adagrad(struct op_context *c)
{
    return expand_optimiser(c, update_adagrad);
}

static enum status expand_adam(struct op_context *c)
{
    return expand_optimiser(c, update_adam);
}

static enum status expand_momentum(struct op_context *c)
{
    return expand_optimiser(c, update_momentum);
}

/* `detail`: states of a tensor. */
#define OPTIMISER(op_name, states, expand_function) \
    const struct op op_training_##op_name = {       \
        .domain = "ai.onnx.preview.training",       \
        .name = #op_name,                           \
        .min_inputs = 4 + states,                   \
        .max_inputs = ANY_COUNT,                    \
        .min_outputs = 1,                           \
        .max_outputs = ANY_COUNT,                   \
        ATTRIBUTES_OF(training_##op_name),          \
        .detail = states,                           \
        .shapes = shapes_optimiser,                 \
        .expand = expand_function,                  \
    };

OPTIMISER(Adagrad, 1, expand_adagrad)
OPTIMISER(Adam, 2, expand_adam)
OPTIMISER(Momentum, 1, expand_momentum)
