/* TreeEnsemble, and TreeEnsembleRegressor and TreeEnsembleClassifier, which it replaced: raw scores by one step, and
 * simpler nodes for what follows. */
#include "graph/ops/ml_forest.h"

#include <string.h>

/* --- raw scores --------------------------------------------------------------------------------------------------- */

enum form { FORM_NEW, FORM_REGRESSOR, FORM_CLASSIFIER };

static int64_t target_count(const struct op_context *c)
{
    return c->node->op->detail == FORM_CLASSIFIER ? ml_label_count(c, "classlabels_int64s", "classlabels_strings")
                                                  : op_int_or(c, "n_targets", 1);
}

static enum status read_forest(struct op_context *c, struct forest *forest)
{
    *forest = (struct forest){.dtype = op_input(c, 0)->dtype, .targets = target_count(c)};
    if (c->node->op->detail == FORM_NEW)
        return forest_read(c, forest);
    return forest_read_old(c, c->node->op->detail == FORM_REGRESSOR ? "target" : "class", forest);
}

static enum status shapes_scores(struct op_context *c)
{
    int64_t rows, features, targets = target_count(c);
    TRY(ml_matrix(c, &rows, &features));
    if (targets < 1 || targets > INT32_MAX)
        return op_error(c, STATUS_INVALID_MODEL, "it has %lld targets", (long long)targets);
    return op_set_output(c, 0, op_input(c, 0)->dtype, 2, (int64_t[]){rows, targets});
}

static enum status lower_scores(struct op_context *c)
{
    struct forest forest;
    TRY(read_forest(c, &forest));
    return forest_emit(c, &forest, op_input(c, 0), op_output(c, 0));
}

/* Not among the registered operators: expansions alone make such nodes, with the attributes of the node they expand. */
#define SCORES(form, public_name)                                                                         \
    {                                                                                                     \
        .domain = "ai.onnx.ml", .name = #public_name, .min_inputs = 1, .max_inputs = 1, .min_outputs = 1, \
        .max_outputs = 1, .flags = OP_HALF_AS_F32, .detail = form, ATTRIBUTES_OF(ml_##public_name),       \
        .shapes = shapes_scores, .lower = lower_scores                                                    \
    }
static const struct op score_ops[] = {
    SCORES(FORM_NEW, TreeEnsemble),
    SCORES(FORM_REGRESSOR, TreeEnsembleRegressor),
    SCORES(FORM_CLASSIFIER, TreeEnsembleClassifier),
};

/* Old models may give thresholds and weights in double, and the scores are then made in double. */
static enum dtype score_type(const struct op_context *c)
{
    bool wide = op_input(c, 0)->dtype == DTYPE_F64 || op_has(c, "nodes_values_as_tensor") ||
                op_has(c, "target_weights_as_tensor") || op_has(c, "class_weights_as_tensor");
    return wide && c->node->op->detail != FORM_NEW ? DTYPE_F64 : DTYPE_F32;
}

static struct value *build_scores(struct op_context *c, enum dtype dtype)
{
    struct value *x = op_input(c, 0), *scores = graph_add_value(c->graph, "", DTYPE_NONE, -1, NULL);
    x = x->dtype == dtype ? x : build_cast(c, x, dtype);
    if (op_built(c) != STATUS_OK)
        return NULL;
    struct node *node =
        scores ? graph_add_node(c->expansion, &score_ops[c->node->op->detail], c->node->version, c->node->name, 1, &x,
                                1, &scores, c->node->attribute_count, c->node->attributes)
               : NULL;
    if (!node) {
        op_no_memory(c);
        return NULL;
    }
    node->sources = c->node->sources;
    node->source_count = c->node->source_count;
    return scores;
}

/* base_values, or NULL where there are none. */
static struct value *build_base(struct op_context *c, enum dtype dtype)
{
    struct value list;
    if (!ml_numbers(c, NULL, "base_values", "base_values_as_tensor", &list) || list.dims[0] == 0)
        return NULL;
    struct value *base = op_constant(c, list.dtype, 1, list.dims, list.data);
    if (!base)
        op_no_memory(c);
    return list.dtype == dtype ? base : build_cast(c, base, dtype);
}

static struct value *add_base(struct op_context *c, struct value *scores, struct value *base)
{
    return base ? op_build2(c, "Add", scores, base) : scores;
}

/* --- TreeEnsemble, TreeEnsembleRegressor -------------------------------------------------------------------------- */

static enum status shapes_tree_ensemble(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require_rank(c, 0, 2, 2));
    int64_t targets = target_count(c);
    return op_set_output(c, 0, op_input(c, 0)->dtype, 2, (int64_t[]){op_input(c, 0)->dims[0], targets});
}

static enum status expand_tree_ensemble(struct op_context *c)
{
    enum dtype dtype = op_input(c, 0)->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    struct value *scores = ml_post_transform(c, build_scores(c, dtype));
    return build_output(c, 0, build_cast(c, scores, op_input(c, 0)->dtype));
}

static enum status shapes_tree_regressor(struct op_context *c)
{
    TRY(shapes_scores(c));
    return op_set_output(c, 0, DTYPE_F32, 2, op_output(c, 0)->dims);
}

static enum status expand_tree_regressor(struct op_context *c)
{
    enum dtype dtype = score_type(c);
    struct value *scores = add_base(c, build_scores(c, dtype), build_base(c, dtype));
    return build_output(c, 0, build_cast(c, ml_post_transform(c, scores), DTYPE_F32));
}

ML_OPERATOR(TreeEnsemble, 1, 1, 1, 1, shapes_tree_ensemble, .expand = expand_tree_ensemble,
            .flags = OP_LISTS_AS_TENSORS, .detail = FORM_NEW)
ML_OPERATOR(TreeEnsembleRegressor, 1, 1, 1, 1, shapes_tree_regressor, .expand = expand_tree_regressor,
            .flags = OP_LISTS_AS_TENSORS, .detail = FORM_REGRESSOR)

/* --- TreeEnsembleClassifier --------------------------------------------------------------------------------------- */

/* Whether all leaves vote for one and the same class: then there are two, and the score of the other follows. */
static bool is_binary(const struct op_context *c)
{
    struct value ids;
    ml_numbers(c, "class_ids", NULL, NULL, &ids);
    for (int64_t i = 1; i < ids.dims[0]; i++)
        if (ml_integer(&ids, i) != ml_integer(&ids, 0))
            return false;
    return ids.dims[0] > 0 && target_count(c) <= 2;
}

static enum status shapes_tree_classifier(struct op_context *c)
{
    int64_t rows, features, labels = target_count(c);
    struct value list;
    TRY(ml_matrix(c, &rows, &features));
    if (labels < 1)
        return op_error(c, STATUS_INVALID_MODEL, "it has no class labels");
    bool whole = ml_numbers(c, "classlabels_int64s", NULL, NULL, &list) && list.dims[0] > 0;
    if (labels == 1 && !(whole && is_binary(c) && ml_integer(&list, 0) == 1))
        return op_error(c, STATUS_UNSUPPORTED, "a single class label other than 1 is not supported");
    TRY(op_set_output(c, 0, DTYPE_I64, 1, &rows));
    return op_set_output(c, 1, DTYPE_F32, 2, (int64_t[]){rows, is_binary(c) ? 2 : labels});
}

static bool votes_are_positive(const struct op_context *c)
{
    struct value weights;
    ml_numbers(c, NULL, "class_weights", "class_weights_as_tensor", &weights);
    for (int64_t i = 0; i < weights.dims[0]; i++)
        if (forest_number(&weights, i) < 0)
            return false;
    return true;
}

/* All votes are for one of two classes. ONNX leaves open what that says of the other; this is what ONNX Runtime makes
 * of it (tree_ensemble_aggregator.h, 1.32). Votes for class 0, with one base value or none, are for the second class
 * after all: a probability where no weight is negative, else with 0 between the classes. Otherwise the class without
 * votes has the score 0. */
struct binary {
    int64_t class;
    bool positive, paired;
    struct value *score; /* [rows, 1], with its base value */
};

static struct binary read_binary(struct op_context *c, struct value *votes, struct value *base)
{
    struct value ids;
    int64_t bases = base ? base->dims[0] : 0;
    struct binary binary = {.positive = votes_are_positive(c), .score = build_reduce(c, "ReduceSum", votes, 1)};
    if (ml_numbers(c, "class_ids", NULL, NULL, &ids) && target_count(c) == 2)
        binary.class = ml_integer(&ids, 0);
    binary.paired = binary.class == 0 && bases != 2;
    if (bases == 2 || (bases == 1 && binary.paired)) {
        int64_t at = bases == 2 ? binary.class : 0;
        binary.score = add_base(c, binary.score, build_slice(c, base, 0, at, at + 1));
    }
    return binary;
}

static struct value *binary_scores(struct op_context *c, const struct binary *binary, enum dtype dtype)
{
    struct value *score = binary->score;
    if (binary->paired)
        return ml_pair_scores(c, score, binary->positive, dtype);
    struct value *none = op_build2(c, "Sub", score, score);
    return ml_post_transform(c, binary->class == 0 ? build_concat(c, score, none, 1) : build_concat(c, none, score, 1));
}

/* Scores of which the greater one tells the class: the second, where the votes exceed what lies between the two. */
static struct value *binary_choice(struct op_context *c, const struct binary *binary, enum dtype dtype)
{
    struct value *excess = op_build2(c, "Sub", binary->score, build_number(c, dtype, binary->positive ? 0.5 : 0));
    return build_concat(c, op_build1(c, "Neg", excess), excess, 1);
}

static enum status expand_tree_classifier(struct op_context *c)
{
    enum dtype dtype = score_type(c);
    struct value *scores = build_scores(c, dtype), *base = build_base(c, dtype), *choice;
    if (is_binary(c)) {
        struct binary binary = read_binary(c, scores, base);
        scores = binary_scores(c, &binary, dtype);
        choice = binary_choice(c, &binary, dtype);
    } else {
        choice = scores = ml_post_transform(c, add_base(c, scores, base));
    }
    TRY(build_output(c, 1, build_cast(c, scores, DTYPE_F32)));
    if (target_count(c) > 1)
        return build_output(c, 0, ml_label(c, choice, "classlabels_int64s"));
    const struct attribute along[2] = {ATTRIBUTE_I("axis", 1), ATTRIBUTE_I("keepdims", 0)};
    return build_output(
        c, 0, op_build(c, "ArgMax", 1, &choice, &(struct op_build_options){.attributes = along, .attribute_count = 2}));
}

ML_OPERATOR(TreeEnsembleClassifier, 1, 1, 2, 2, shapes_tree_classifier, .expand = expand_tree_classifier,
            .flags = OP_LISTS_AS_TENSORS, .detail = FORM_CLASSIFIER)
