/* What stands around attention in language models: RotaryEmbedding, SwiGLU, CausalConvWithState, LinearAttention. */
#include "graph/ops/build.h"
#include "graph/ops/tools.h"
#include "kernels/linear_attention.h"

#include <math.h>
#include <string.h>

/* --- RotaryEmbedding: (x, cos, sin, positions) ------------------------------------------------------------ */

struct rotation {
    int64_t batch, heads, length, head;
    int64_t turned; /* the first elements of a head, which are turned in pairs; the rest stays */
    bool packed;    /* x is [batch, length, heads * head] rather than [batch, heads, length, head] */
};

static enum status read_rotation(struct op_context *c, struct rotation *r)
{
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require_rank(c, 0, 3, 4));
    const struct value *x = op_input(c, 0);
    int64_t heads = op_int(c, "num_heads");
    *r = (struct rotation){.batch = x->dims[0], .packed = x->rank == 3};
    if (r->packed && (heads < 1 || x->dims[2] % heads != 0))
        return op_error(c, STATUS_INVALID_MODEL, "%lld elements cannot be cut into %lld heads", (long long)x->dims[2],
                        (long long)heads);
    r->heads = r->packed ? heads : x->dims[1];
    r->length = x->dims[r->packed ? 1 : 2];
    r->head = r->packed ? x->dims[2] / heads : x->dims[3];
    int64_t turned = op_int(c, "rotary_embedding_dim");
    r->turned = turned == 0 ? r->head : turned;
    if (r->turned % 2 != 0 || r->turned < 0 || r->turned > r->head)
        return op_error(c, STATUS_INVALID_MODEL, "%lld of %lld elements of a head cannot be turned in pairs",
                        (long long)r->turned, (long long)r->head);
    return STATUS_OK;
}

/* [rows, pairs] with positions, [batch, length, pairs] without. */
static enum status check_table(struct op_context *c, int i, const struct rotation *r)
{
    bool chosen = op_input(c, 3) != NULL;
    TRY(op_require(c, i, TYPE(op_input(c, 0)->dtype)));
    TRY(op_require_rank(c, i, chosen ? 2 : 3, chosen ? 2 : 3));
    const struct value *table = op_input(c, i);
    bool fits = table->dims[table->rank - 1] == r->turned / 2;
    if (!chosen)
        fits = fits && table->dims[0] == r->batch && table->dims[1] == r->length;
    char text[120];
    if (!fits)
        return op_error(c, STATUS_INVALID_ARGUMENT, "table %d of shape %s does not fit %lld pairs at %lld positions", i,
                        value_shape_text(NULL, table, text, sizeof text), (long long)(r->turned / 2),
                        (long long)r->length);
    return STATUS_OK;
}

static enum status shapes_rotary(struct op_context *c)
{
    struct rotation r;
    TRY(read_rotation(c, &r));
    TRY(check_table(c, 1, &r));
    TRY(check_table(c, 2, &r));
    TRY(op_allow(c, 3, TYPE(DTYPE_I64)));
    const struct value *positions = op_input(c, 3);
    if (positions && (positions->rank != 2 || positions->dims[0] != r.batch || positions->dims[1] != r.length))
        return op_error(c, STATUS_INVALID_ARGUMENT, "there must be a position for each of %lld x %lld tokens",
                        (long long)r.batch, (long long)r.length);
    return op_shapes_as_input(c);
}

/* Input i, a table of angles, such that it broadcasts against the halves of the heads. */
static struct value *angles(struct op_context *c, int i, const struct rotation *r)
{
    struct value *table = op_input(c, i);
    if (op_input(c, 3))
        table = op_build2(c, "Gather", table, op_input(c, 3));
    int64_t pairs = r->turned / 2;
    const int64_t packed[4] = {r->batch, r->length, 1, pairs}, plain[4] = {r->batch, 1, r->length, pairs};
    return build_reshape(c, table, 4, r->packed ? packed : plain);
}

/* The pairs' first or second elements; `dims` are those of x with the pairs as last axis. */
static struct value *half(struct op_context *c, struct value *x, const int64_t dims[4], bool interleaved, int which)
{
    int64_t pairs = dims[3];
    if (!interleaved)
        return build_slice(c, x, 3, which * pairs, (which + 1) * pairs);
    struct value *split = build_reshape(c, x, 5, (int64_t[]){dims[0], dims[1], dims[2], pairs, 2});
    return build_reshape(c, build_slice(c, split, 4, which, which + 1), 4, dims);
}

static struct value *joined(struct op_context *c, struct value *a, struct value *b, const int64_t dims[4],
                            bool interleaved)
{
    if (!interleaved)
        return build_concat(c, a, b, 3);
    const int64_t column[5] = {dims[0], dims[1], dims[2], dims[3], 1};
    struct value *pairs = build_concat(c, build_reshape(c, a, 5, column), build_reshape(c, b, 5, column), 4);
    return build_reshape(c, pairs, 4, (int64_t[]){dims[0], dims[1], dims[2], 2 * dims[3]});
}

static enum status expand_rotary(struct op_context *c)
{
    struct rotation r;
    TRY(read_rotation(c, &r));
    bool interleaved = op_int(c, "interleaved") != 0;
    int64_t dims[4] = {r.batch, r.packed ? r.length : r.heads, r.packed ? r.heads : r.length, r.head};
    struct value *x = build_reshape(c, op_input(c, 0), 4, dims), *rest = NULL;
    if (r.turned < r.head)
        rest = build_slice(c, x, 3, r.turned, r.head);
    dims[3] = r.turned / 2;
    struct value *turned = build_slice(c, x, 3, 0, r.turned);
    struct value *a = half(c, turned, dims, interleaved, 0), *b = half(c, turned, dims, interleaved, 1);
    struct value *cosine = angles(c, 1, &r), *sine = angles(c, 2, &r);
    /* One after the other: compilers differ in the order of arguments, and with it steps would. */
    struct value *b_sine = op_build2(c, "Mul", b, sine), *a_cosine = op_build2(c, "Mul", a, cosine);
    struct value *first = op_build2(c, "Sub", a_cosine, b_sine);
    struct value *b_cosine = op_build2(c, "Mul", b, cosine), *a_sine = op_build2(c, "Mul", a, sine);
    struct value *second = op_build2(c, "Add", a_sine, b_cosine);
    struct value *y = joined(c, first, second, dims, interleaved);
    if (rest)
        y = build_concat(c, y, rest, 3);
    return build_output(c, 0, build_reshape(c, y, op_input(c, 0)->rank, op_input(c, 0)->dims));
}

OPERATOR(RotaryEmbedding, 3, 4, 1, 1, shapes_rotary, .expand = expand_rotary)

/* --- SwiGLU: a sigmoid(alpha a) b ------------------------------------------------------------------------- */

static enum status shapes_swiglu(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_FLOAT));
    TRY(op_require(c, 1, TYPE(op_input(c, 0)->dtype)));
    const struct value *a = op_input(c, 0), *b = op_input(c, 1);
    bool same = a->rank == b->rank;
    for (int i = 0; same && i < a->rank; i++)
        same = a->dims[i] == b->dims[i];
    if (!same)
        return op_error(c, STATUS_INVALID_ARGUMENT, "its operands have different shapes");
    return op_shapes_as_input(c);
}

static enum status lower_swiglu(struct op_context *c)
{
    struct value *output = op_output(c, 0);
    uint8_t class = (uint8_t)pointwise_class_of(output->dtype);
    double alpha = (double)op_float(c, "alpha");
    struct pointwise_builder params = {.input_count = 2, .output_count = 1};
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_SWISH, .register_class = class, .target = 2, .a = 0,
                                        .immediate = {alpha}));
    op_instruction(&params, INSTRUCTION(.opcode = POINTWISE_MUL, .register_class = class, .target = 2, .a = 2, .b = 1));
    params.operands[2].reg = 2;
    return op_pointwise(c, &params, c->node->inputs, &output);
}

OPERATOR(SwiGLU, 2, 2, 1, 1, shapes_swiglu, .lower = lower_swiglu)

/* --- CausalConvWithState: (x, weights, bias, past) → (y, present)
 * ----------------------------------------------------- */

static enum status shapes_causal(struct op_context *c)
{
    const char *activation = op_string(c, "activation");
    TRY(op_require(c, 0, TYPES_FLOAT));
    for (int i = 1; i < 4; i++)
        TRY(op_allow(c, i, TYPE(op_input(c, 0)->dtype)));
    TRY(op_require_rank(c, 0, 3, 3));
    TRY(op_require_rank(c, 1, 3, 3));
    const struct value *x = op_input(c, 0), *weights = op_input(c, 1), *bias = op_input(c, 2), *past = op_input(c, 3);
    int64_t channels = x->dims[1], kept = weights->dims[2] - 1;
    if (strcmp(activation, "none") != 0 && strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0)
        return op_error(c, STATUS_INVALID_MODEL, "activation is '%s'; it must be none, silu or swish", activation);
    if (weights->dims[0] != channels || weights->dims[1] != 1 || kept < 0)
        return op_error(c, STATUS_INVALID_MODEL, "the weights do not fit %lld channels", (long long)channels);
    if (bias && (bias->rank != 1 || bias->dims[0] != channels))
        return op_error(c, STATUS_INVALID_MODEL, "the bias does not fit %lld channels", (long long)channels);
    if (past && (past->rank != 3 || past->dims[0] != x->dims[0] || past->dims[1] != channels || past->dims[2] != kept))
        return op_error(c, STATUS_INVALID_ARGUMENT, "the past state must be %lldx%lldx%lld", (long long)x->dims[0],
                        (long long)channels, (long long)kept);
    TRY(op_set_output(c, 1, x->dtype, 3, (int64_t[]){x->dims[0], channels, kept}));
    return op_shapes_as_input(c);
}

static enum status expand_causal(struct op_context *c)
{
    struct value *x = op_input(c, 0), *past = op_input(c, 3);
    int64_t channels = x->dims[1], kept = op_input(c, 1)->dims[2] - 1, length = x->dims[2];
    if (!past)
        past = build_expand(c, build_number(c, x->dtype, 0), 3, (int64_t[]){x->dims[0], channels, kept});
    struct value *all = build_concat(c, past, x, 2);
    const struct attribute group = ATTRIBUTE_I("group", channels);
    struct value *y =
        op_build(c, "Conv", op_input(c, 2) ? 3 : 2, (struct value *[]){all, op_input(c, 1), op_input(c, 2)},
                 &(struct op_build_options){.attributes = &group, .attribute_count = 1});
    if (strcmp(op_string(c, "activation"), "none") != 0)
        y = op_build1(c, "Swish", y);
    TRY(build_output(c, 0, y));
    return build_output(c, 1, build_slice(c, all, 2, length, length + kept));
}

OPERATOR(CausalConvWithState, 2, 4, 1, 2, shapes_causal, .expand = expand_causal)

/* --- LinearAttention: (q, k, v, past, decay, beta) → (y, present)
 * ----------------------------------------------------- */

static enum status read_rule(struct op_context *c, struct linear_attention_params *p)
{
    static const struct {
        const char *name;
        bool decays, corrects;
    } rules[] = {{"linear", false, false}, {"gated", true, false}, {"delta", false, true}, {"gated_delta", true, true}};
    const char *name = op_string(c, "update_rule");
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (strcmp(name, rules[i].name) != 0)
            continue;
        if ((op_input(c, 4) != NULL) != rules[i].decays || (op_input(c, 5) != NULL) != rules[i].corrects)
            return op_error(c, STATUS_INVALID_MODEL, "the rule '%s' %s a decay and %s a beta", name,
                            rules[i].decays ? "takes" : "does not take", rules[i].corrects ? "takes" : "does not take");
        p->decays = rules[i].decays;
        p->corrects = rules[i].corrects;
        return STATUS_OK;
    }
    return op_error(c, STATUS_INVALID_MODEL, "update_rule is '%s'; it must be linear, gated, delta or gated_delta",
                    name);
}

static enum status read_linear_sizes(struct op_context *c, struct linear_attention_params *p)
{
    for (int i = 0; i < 3; i++)
        TRY(op_require_rank(c, i, 3, 3));
    const int64_t *q = op_input(c, 0)->dims, *k = op_input(c, 1)->dims, *v = op_input(c, 2)->dims;
    p->batch = q[0];
    p->steps = q[1];
    p->heads = op_int(c, "q_num_heads");
    p->kv_heads = op_int(c, "kv_num_heads");
    if (p->heads < 1 || p->kv_heads < 1 || p->heads % p->kv_heads != 0)
        return op_error(c, STATUS_INVALID_MODEL, "%lld query heads cannot share %lld heads", (long long)p->heads,
                        (long long)p->kv_heads);
    p->head = k[2] / p->kv_heads;
    p->v_head = v[2] / p->kv_heads;
    bool fits =
        k[2] % p->kv_heads == 0 && v[2] % p->kv_heads == 0 && q[2] % p->heads == 0 && q[2] / p->heads == p->head;
    for (int i = 0; i < 2; i++)
        fits = fits && q[i] == k[i] && q[i] == v[i];
    return fits ? STATUS_OK : op_error(c, STATUS_INVALID_ARGUMENT, "the sizes of query, key and value do not fit");
}

/* Input i is [batch, steps, one of two widths]; its number of elements a step and head. */
static enum status read_gate(struct op_context *c, int i, const struct linear_attention_params *p, int64_t narrow,
                             int64_t wide, bool *is_wide)
{
    const struct value *gate = op_input(c, i);
    if (!gate)
        return STATUS_OK;
    TRY(op_require_rank(c, i, 3, 3));
    *is_wide = gate->dims[2] == wide;
    if (gate->dims[0] != p->batch || gate->dims[1] != p->steps || (!*is_wide && gate->dims[2] != narrow))
        return op_error(c, STATUS_INVALID_ARGUMENT, "input %d must be %lldx%lldx%lld or %lldx%lldx%lld", i,
                        (long long)p->batch, (long long)p->steps, (long long)narrow, (long long)p->batch,
                        (long long)p->steps, (long long)wide);
    return STATUS_OK;
}

static enum status linear_params(struct op_context *c, struct linear_attention_params *p)
{
    *p = (struct linear_attention_params){0};
    TRY(read_linear_sizes(c, p));
    TRY(read_rule(c, p));
    TRY(read_gate(c, 4, p, p->kv_heads, p->kv_heads * p->head, &p->decay_each));
    TRY(read_gate(c, 5, p, 1, p->kv_heads, &p->beta_each));
    double scale = (double)op_float(c, "scale");
    p->scale = scale == 0 ? 1 / sqrt((double)p->head) : scale;
    return STATUS_OK;
}

static enum status shapes_linear(struct op_context *c)
{
    const unsigned types = TYPES_FLOAT & ~TYPE(DTYPE_F64);
    struct linear_attention_params p;
    TRY(op_require(c, 0, types));
    for (int i = 1; i < 6; i++)
        TRY(op_allow(c, i, i == 3 ? types : TYPE(op_input(c, 0)->dtype)));
    TRY(linear_params(c, &p));
    const struct value *past = op_input(c, 3);
    const int64_t state[4] = {p.batch, p.kv_heads, p.head, p.v_head};
    for (int i = 0; past && i < 4; i++)
        if (past->rank != 4 || past->dims[i] != state[i])
            return op_error(c, STATUS_INVALID_ARGUMENT, "the past state does not fit the keys and values");
    enum dtype dtype = op_input(c, 0)->dtype;
    TRY(op_set_output(c, 1, past ? past->dtype : dtype, 4, state));
    return op_set_output(c, 0, dtype, 3, (int64_t[]){p.batch, p.steps, p.heads * p.v_head});
}

static enum status lower_linear(struct op_context *c)
{
    struct linear_attention_params p;
    TRY(linear_params(c, &p));
    struct value *inputs[6];
    for (int i = 0; i < 6; i++)
        inputs[i] = op_input(c, i);
    if (p.batch == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_linear_attention, &p, sizeof p, 6, inputs, 2,
                   (struct value *[]){op_output(c, 0), op_output(c, 1)}, 0);
}

OPERATOR(LinearAttention, 3, 6, 1, 2, shapes_linear, .flags = OP_HALF_AS_F32, .lower = lower_linear)
