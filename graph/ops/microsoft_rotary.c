/* RotaryEmbedding of com.microsoft: (x, positions, cos, sin). As ONNX's, but positions may be one offset for all, and
 * the size of a head may follow from the tables. */
#include "graph/ops/build.h"
#include "graph/ops/microsoft.h"

struct rotation {
    int64_t batch, length, heads, head, turned;
};

/* Sizes of the heads of x [batch, length, elements]. */
static enum status read_heads(struct op_context *c, struct rotation *r)
{
    int64_t elements = op_input(c, 0)->dims[2], heads = op_int_or(c, "num_heads", 0);
    int64_t dim = op_int_or(c, "rotary_embedding_dim", 0), pairs = op_input(c, 2)->dims[1];
    r->turned = dim > 0 ? dim : pairs <= INT64_MAX / 2 ? 2 * pairs : 0;
    r->head = heads > 0 ? elements / heads : r->turned;
    r->heads = r->head > 0 ? elements / r->head : 0;
    if (heads >= 0 && r->heads > 0 && r->heads * r->head == elements)
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_MODEL, "%lld elements cannot be cut into heads of %lld", (long long)elements,
                    (long long)r->head);
}

static enum status read_rotation(struct op_context *c, struct rotation *r)
{
    TRY(op_require(c, 0, TYPES_FLOAT & ~TYPE(DTYPE_F64)));
    TRY(op_require_rank(c, 0, 3, 4));
    const struct value *x = op_input(c, 0), *positions = op_input(c, 1);
    for (int i = 2; i < 4; i++) {
        TRY(op_require(c, i, TYPE(x->dtype)));
        TRY(op_require_rank(c, i, 2, 2));
    }
    TRY(op_require(c, 1, TYPE(DTYPE_I64)));
    *r = (struct rotation){.batch = x->dims[0], .length = x->dims[x->rank - 2]};
    if (op_int_or(c, "is_packed_batching", 0) != 0)
        return op_error(c, STATUS_UNSUPPORTED, "is_packed_batching is not supported");
    if (x->rank == 3) {
        TRY(read_heads(c, r));
    } else {
        r->heads = x->dims[1];
        r->head = x->dims[3];
        r->turned = op_int_or(c, "rotary_embedding_dim", 0) > 0 ? op_int_or(c, "rotary_embedding_dim", 0) : r->head;
    }
    bool one = positions->rank <= 1 && value_elements(positions) == 1;
    if (one || (positions->rank == 2 && positions->dims[0] == r->batch && positions->dims[1] == r->length))
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_ARGUMENT, "there must be one position, or one for each of %lld x %lld tokens",
                    (long long)r->batch, (long long)r->length);
}

static enum status shapes_rotary(struct op_context *c)
{
    struct rotation r;
    TRY(read_rotation(c, &r));
    for (int i = 2; i < 4; i++)
        if (r.turned % 2 != 0 || r.turned > r.head || op_input(c, i)->dims[1] != r.turned / 2)
            return op_error(c, STATUS_INVALID_MODEL, "a table of %lld columns does not fit %lld of %lld elements",
                            (long long)op_input(c, i)->dims[1], (long long)r.turned, (long long)r.head);
    return op_shapes_as_input(c);
}

static enum status expand_rotary(struct op_context *c)
{
    struct rotation r;
    TRY(read_rotation(c, &r));
    struct value *positions = op_input(c, 1);
    if (positions->rank <= 1) {
        struct value *steps = build_iota(c, r.length, 2, 1);
        positions = op_build2(c, "Add", steps, build_reshape(c, positions, 0, NULL));
        positions = build_expand(c, positions, 2, (int64_t[]){r.batch, r.length});
    }
    const struct attribute attributes[3] = {ATTRIBUTE_I("num_heads", r.heads),
                                            ATTRIBUTE_I("interleaved", op_int_or(c, "interleaved", 0)),
                                            ATTRIBUTE_I("rotary_embedding_dim", r.turned)};
    struct value *inputs[4] = {op_input(c, 0), op_input(c, 2), op_input(c, 3), positions};
    return build_output(c, 0, build_with(c, "RotaryEmbedding", 4, inputs, 3, attributes));
}

MICROSOFT_OPERATOR(RotaryEmbedding, 4, 4, 1, 1, shapes_rotary, .expand = expand_rotary)
