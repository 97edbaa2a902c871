#include "kernels/pointwise.h"

#include <string.h>

static const struct {
    const char *name;
    int arity;
} opcodes[POINTWISE_OPCODE_COUNT] = {
#define POINTWISE(name, arity) {#name, arity},
#include "kernels/pointwise.def"
#undef POINTWISE
};

int pointwise_arity(enum pointwise_opcode opcode)
{
    return opcodes[opcode].arity;
}

const char *pointwise_name(enum pointwise_opcode opcode)
{
    return opcodes[opcode].name;
}

enum pointwise_class pointwise_class_of(enum dtype dtype)
{
    if (dtype == DTYPE_F64)
        return CLASS_F64;
    if (dtype == DTYPE_U64)
        return CLASS_U64;
    return dtype_is_float(dtype) ? CLASS_F32 : CLASS_I64;
}

struct pointwise_params *pointwise_build(const struct pointwise_builder *builder, struct pointwise_room *room)
{
    struct pointwise_params *params = (struct pointwise_params *)room;
    int operands = builder->input_count + builder->output_count;
    *params = (struct pointwise_params){
        .rank = builder->rank ? builder->rank : 1,
        .input_count = builder->input_count,
        .output_count = builder->output_count,
        .instruction_count = builder->instruction_count,
    };
    memcpy(params->dims, builder->dims, sizeof params->dims);
    memcpy(params->operands, builder->operands, (size_t)operands * sizeof *params->operands);
    memcpy(params->operands + operands, builder->code,
           (size_t)builder->instruction_count * sizeof(struct pointwise_instruction));
    if (builder->rank == 0)
        params->dims[0] = 1;
    return params;
}

struct pointwise_params *pointwise_copy(const struct pointwise_params *params, struct pointwise_room *room)
{
    return memcpy(room, params, pointwise_bytes(params));
}

/* Axes i and i+1 are one where every operand steps over i as if it had walked all of i+1. */
static bool mergeable(const struct pointwise_params *p, int axis)
{
    for (int i = 0; i < pointwise_operand_count(p); i++) {
        const int64_t *strides = p->operands[i].strides;
        if (strides[axis] != strides[axis + 1] * p->dims[axis + 1])
            return false;
    }
    return true;
}

static void remove_axis(struct pointwise_params *p, int axis)
{
    for (int j = axis; j + 1 < p->rank; j++) {
        p->dims[j] = p->dims[j + 1];
        for (int i = 0; i < pointwise_operand_count(p); i++)
            p->operands[i].strides[j] = p->operands[i].strides[j + 1];
    }
    p->rank--;
}

void pointwise_merge_axes(struct pointwise_params *p)
{
    for (int axis = p->rank - 1; axis >= 0 && p->rank > 1; axis--)
        if (p->dims[axis] == 1)
            remove_axis(p, axis);
    for (int axis = p->rank - 2; axis >= 0; axis--) {
        if (!mergeable(p, axis))
            continue;
        p->dims[axis + 1] *= p->dims[axis];
        remove_axis(p, axis);
    }
}

/* The inner part of an axis gets `inner` elements. */
static void cut_axis(struct pointwise_params *p, int axis, int64_t inner)
{
    size_t moved = (size_t)(p->rank - axis) * sizeof *p->dims;
    memmove(p->dims + axis + 1, p->dims + axis, moved);
    p->dims[axis] /= inner;
    p->dims[axis + 1] = inner;
    for (int i = 0; i < pointwise_operand_count(p); i++) {
        int64_t *strides = p->operands[i].strides;
        memmove(strides + axis + 1, strides + axis, moved);
        strides[axis] *= inner;
    }
    p->rank++;
}

/* An axis begins where `behind` elements are left of it and all axes inside it. */
static bool cut_before(struct pointwise_params *p, int64_t behind)
{
    int axis = p->rank - 1;
    while (behind >= p->dims[axis] && axis > 0) {
        if (behind % p->dims[axis] != 0)
            return false;
        behind /= p->dims[axis--];
    }
    if (behind == 1)
        return true;
    if (behind >= p->dims[axis])
        return behind == p->dims[axis];
    if (p->dims[axis] % behind != 0 || p->rank == MAX_RANK)
        return false;
    cut_axis(p, axis, behind);
    return true;
}

bool pointwise_split_axes(struct pointwise_params *p, int rank, const int64_t *dims)
{
    int64_t behind = 1;
    for (int i = rank - 1; i > 0; i--) {
        behind *= dims[i];
        if (!cut_before(p, behind))
            return false;
    }
    return true;
}
