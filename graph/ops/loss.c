/* NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss. */
#include "graph/ops/build.h"
#include "graph/ops/tools.h"

#include <string.h>

/* Scores [N, C, d...], targets [N, d...], weights [C]. */
static enum status check_operands(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require(c, 1, TYPES_INDEX));
    TRY(op_allow(c, 2, TYPE(op_input(c, 0)->dtype)));
    TRY(op_require_rank(c, 0, 2, MAX_RANK));
    const struct value *x = op_input(c, 0), *target = op_input(c, 1), *weight = op_input(c, 2);
    TRY(op_require_rank(c, 1, x->rank - 1, x->rank - 1));
    for (int i = 0; i < target->rank; i++)
        if (target->dims[i] != x->dims[i ? i + 1 : 0])
            return op_error(c, STATUS_INVALID_ARGUMENT, "axis %d of the targets has size %lld; it must be %lld", i,
                            (long long)target->dims[i], (long long)x->dims[i ? i + 1 : 0]);
    if (weight && (weight->rank != 1 || weight->dims[0] != x->dims[1]))
        return op_error(c, STATUS_INVALID_MODEL, "there must be one weight for each of %lld classes",
                        (long long)x->dims[1]);
    return STATUS_OK;
}

static enum status shapes_loss(struct op_context *c)
{
    TRY(check_operands(c));
    const struct value *x = op_input(c, 0), *target = op_input(c, 1);
    const char *reduction = op_string(c, "reduction");
    bool none = strcmp(reduction, "none") == 0;
    if (!none && strcmp(reduction, "mean") != 0 && strcmp(reduction, "sum") != 0)
        return op_error(c, STATUS_INVALID_MODEL, "reduction is '%s'; it must be none, mean or sum", reduction);
    TRY(op_set_output(c, 1, x->dtype, x->rank, x->dims));
    return op_set_output(c, 0, x->dtype, none ? target->rank : 0, target->dims);
}

/* The weight of each target; NULL: all 1. */
static struct value *target_weights(struct op_context *c, struct value *target, struct value *ignored)
{
    enum dtype dtype = op_input(c, 0)->dtype;
    struct value *weights = op_input(c, 2) ? op_build2(c, "Gather", op_input(c, 2), target) : NULL;
    if (!ignored)
        return weights;
    return build_select(c, ignored, build_number(c, dtype, 0), weights ? weights : build_number(c, dtype, 1));
}

static struct value *negative_likelihood(struct op_context *c, struct value *log_likelihood, struct value *target)
{
    const struct attribute axis = ATTRIBUTE_I("axis", 1);
    const struct value *shape = op_input(c, 1);
    int64_t dims[MAX_RANK] = {shape->dims[0], 1};
    for (int i = 1; i < shape->rank; i++)
        dims[i + 1] = shape->dims[i];
    struct value *inputs[2] = {log_likelihood, build_reshape(c, target, shape->rank + 1, dims)};
    struct value *chosen =
        op_build(c, "GatherElements", 2, inputs, &(struct op_build_options){.attributes = &axis, .attribute_count = 1});
    return op_build1(c, "Neg", build_reshape(c, chosen, shape->rank, shape->dims));
}

static enum status build_loss(struct op_context *c, struct value *log_likelihood)
{
    const char *reduction = op_string(c, "reduction");
    struct value *target = op_input(c, 1), *ignored = NULL;
    if (op_has(c, "ignore_index")) {
        double index = (double)op_int(c, "ignore_index");
        ignored = op_build2(c, "Equal", target, build_number(c, target->dtype, index));
        /* Any class will do for a target that counts for nothing; its own number may be none. */
        target = build_select(c, ignored, build_number(c, target->dtype, 0), target);
    }
    struct value *weights = target_weights(c, target, ignored);
    struct value *loss = negative_likelihood(c, log_likelihood, target);
    if (weights)
        loss = op_build2(c, "Mul", loss, weights);
    if (strcmp(reduction, "none") == 0)
        return build_output(c, 0, loss);
    bool mean = strcmp(reduction, "mean") == 0;
    struct value *total = build_reduce_all(c, mean && !weights ? "ReduceMean" : "ReduceSum", loss);
    if (mean && weights)
        total = op_build2(c, "Div", total, build_reduce_all(c, "ReduceSum", weights));
    return build_output(c, 0, total);
}

static enum status expand_likelihood(struct op_context *c)
{
    return build_loss(c, op_input(c, 0));
}

static enum status expand_cross_entropy(struct op_context *c)
{
    const struct attribute axis = ATTRIBUTE_I("axis", 1);
    struct value *logarithm = op_build(c, "LogSoftmax", 1, c->node->inputs,
                                       &(struct op_build_options){.attributes = &axis, .attribute_count = 1});
    TRY(build_output(c, 1, logarithm));
    return build_loss(c, logarithm);
}

OPERATOR(NegativeLogLikelihoodLoss, 2, 3, 1, 1, shapes_loss, .expand = expand_likelihood)
OPERATOR(SoftmaxCrossEntropyLoss, 2, 3, 1, 2, shapes_loss, .expand = expand_cross_entropy)
