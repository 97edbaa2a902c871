/* FlexAttention of ai.onnx.preview: attention whose scores and weights a subgraph may change; one step without. */
#include "graph/ops/attention.h"
#include "graph/ops/build.h"

#include <math.h>

static enum status read_sizes(struct op_context *c, struct attention *a)
{
    for (int i = 0; i < 3; i++) {
        TRY(op_require(c, i, i == 0 ? TYPES_FLOAT : TYPE(op_input(c, 0)->dtype)));
        TRY(op_require_rank(c, i, 4, 4));
    }
    const int64_t *q = op_input(c, 0)->dims, *k = op_input(c, 1)->dims, *v = op_input(c, 2)->dims;
    if (q[0] != k[0] || k[0] != v[0] || k[1] != v[1] || k[2] != v[2] || q[3] != k[3] || (k[1] ? q[1] % k[1] : q[1]))
        return op_error(c, STATUS_INVALID_ARGUMENT, "the sizes of queries, keys and values do not fit");
    *a = (struct attention){.batch = q[0],
                            .heads = q[1],
                            .kv_heads = k[1],
                            .queries = q[2],
                            .keys = k[2],
                            .head = q[3],
                            .v_head = v[3],
                            .dtype = op_input(c, 0)->dtype};
    return STATUS_OK;
}

static enum status shapes_flex(struct op_context *c)
{
    static const char *const bodies[] = {"score_mod", "prob_mod"};
    struct attention a;
    TRY(read_sizes(c, &a));
    int64_t precision = op_int_or(c, "softmax_precision", DTYPE_F32);
    if (precision < 0 || precision >= DTYPE_COUNT || !(TYPES_FLOAT & TYPE(precision)))
        return op_error(c, STATUS_INVALID_MODEL, "softmax_precision %lld is not a type it can be computed in",
                        (long long)precision);
    for (int i = 0; i < 2; i++) {
        const struct graph *body = op_graph(c, bodies[i]);
        if (body && (body->input_count != c->node->input_count - 2 || body->output_count != 1))
            return op_error(c, STATUS_INVALID_MODEL, "%s must have one input and one output", bodies[i]);
    }
    return op_set_output(c, 0, a.dtype, 4, (int64_t[]){a.batch, a.heads, a.queries, a.v_head});
}

/* What the subgraph makes of x; x itself where there is none. What it uses of outer graphs follows Q, K and V. */
static struct value *modified(struct op_context *c, const char *name, struct value *x)
{
    const struct graph *body = op_graph(c, name);
    int captures = c->node->input_count - 3;
    if (!body || op_built(c) != STATUS_OK)
        return x;
    struct value *result = graph_add_value(c->graph, "", DTYPE_NONE, -1, NULL);
    struct value **inputs = region_array(c->graph->region, (size_t)captures + 1, sizeof *inputs);
    if (!result || !inputs) {
        op_no_memory(c);
        return NULL;
    }
    inputs[0] = x;
    for (int i = 0; i < captures; i++)
        inputs[1 + i] = op_input(c, 3 + i);
    return inline_graph(body, c->graph, c->expansion, inputs, &result, c->error) == STATUS_OK ? result : NULL;
}

static struct value *staged(struct op_context *c, const struct attention *a, enum dtype precision, double scale)
{
    struct value *scores = attention_scores(c, a, op_input(c, 0), op_input(c, 1), scale);
    scores = modified(c, "score_mod", build_cast(c, scores, precision));
    struct value *weights = modified(c, "prob_mod", op_build1(c, "Softmax", scores));
    return build_cast(c, attention_mean(c, a, weights, build_cast(c, op_input(c, 2), precision)), a->dtype);
}

static enum status expand_flex(struct op_context *c)
{
    struct attention a;
    TRY(read_sizes(c, &a));
    enum dtype fallback = a.dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    enum dtype precision = (enum dtype)op_int_or(c, "softmax_precision", fallback);
    double scale = op_has(c, "scale") ? (double)op_float(c, "scale") : 1 / sqrt((double)a.head);
    if (op_graph(c, "score_mod") || op_graph(c, "prob_mod") || !attention_takes_one_step(&a, precision))
        return build_output(c, 0, staged(c, &a, precision, scale));
    const struct attribute given = ATTRIBUTE_F("scale", op_float(c, "scale"));
    return build_output(
        c, 0, attention_node(c, op_input(c, 0), op_input(c, 1), op_input(c, 2), NULL, op_has(c, "scale"), &given));
}

const struct op op_preview_FlexAttention = {
    .domain = "ai.onnx.preview",
    .name = "FlexAttention",
    .min_inputs = 3,
    .max_inputs = ANY_COUNT,
    .min_outputs = 1,
    .max_outputs = 1,
    ATTRIBUTES_OF(preview_FlexAttention),
    .shapes = shapes_flex,
    .expand = expand_flex,
};
