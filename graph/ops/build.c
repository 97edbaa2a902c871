#include "graph/ops/build.h"

#include "graph/ops/tools.h"

#include <string.h>

/* Turns a NULL, which only a lack of memory makes here, into an error. */
static struct value *made(struct op_context *c, struct value *value)
{
    if (!value)
        op_no_memory(c);
    return value;
}

struct value *build_with(struct op_context *c, const char *name, int count, struct value *const *inputs,
                         int attribute_count, const struct attribute *attributes)
{
    return op_build(c, name, count, inputs,
                    &(struct op_build_options){.attribute_count = attribute_count, .attributes = attributes});
}

struct value *build_own(struct op_context *c, const char *name, int count, struct value *const *inputs,
                        int attribute_count, const struct attribute *attributes)
{
    return op_build(
        c, name, count, inputs,
        &(struct op_build_options){.domain = OWN_DOMAIN, .attribute_count = attribute_count, .attributes = attributes});
}

int build_attributes(const struct op_context *c, int count, const char *const *names, struct attribute *attributes)
{
    int found = 0;
    for (int i = 0; i < count; i++) {
        const struct attribute *attribute = node_attribute(c->node, names[i]);
        if (attribute)
            attributes[found++] = *attribute;
    }
    return found;
}

struct value *build_number(struct op_context *c, enum dtype dtype, double number)
{
    return made(c, op_constant_scalar(c, dtype, number));
}

struct value *build_ints(struct op_context *c, int count, const int64_t *ints)
{
    return made(c, op_constant_ints(c, count, ints));
}

struct value *build_iota(struct op_context *c, int64_t count, int rank, int axis)
{
    return made(c, op_iota(c, count, rank, axis));
}

struct value *build_cast(struct op_context *c, struct value *x, enum dtype dtype)
{
    const struct attribute to = ATTRIBUTE_I("to", dtype);
    return build_with(c, "Cast", 1, &x, 1, &to);
}

struct value *build_as(struct op_context *c, struct value *x, enum dtype dtype)
{
    return !x || x->dtype == dtype ? x : build_cast(c, x, dtype);
}

struct value *build_reshape(struct op_context *c, struct value *x, int rank, const int64_t *dims)
{
    const struct attribute zero = ATTRIBUTE_I("allowzero", 1); /* a 0 among the dimensions means 0 */
    struct value *shape = build_ints(c, rank, dims);
    return build_with(c, "Reshape", 2, (struct value *[]){x, shape}, 1, &zero);
}

struct value *build_transpose(struct op_context *c, struct value *x, int rank, const int64_t *order)
{
    int64_t *kept = region_array(c->graph->region, (size_t)rank, sizeof *kept); /* the node refers to it */
    if (!kept)
        return made(c, NULL);
    memcpy(kept, order, (size_t)rank * sizeof *kept);
    const struct attribute permutation = ATTRIBUTE_LIST("perm", rank, kept);
    return build_with(c, "Transpose", 1, &x, 1, &permutation);
}

struct value *build_select(struct op_context *c, struct value *condition, struct value *yes, struct value *no)
{
    return op_build(c, "Where", 3, (struct value *[]){condition, yes, no}, NULL);
}

struct value *build_concat(struct op_context *c, struct value *a, struct value *b, int64_t axis)
{
    const struct attribute along = ATTRIBUTE_I("axis", axis);
    return build_with(c, "Concat", 2, (struct value *[]){a, b}, 1, &along);
}

struct value *build_slice(struct op_context *c, struct value *x, int64_t axis, int64_t begin, int64_t end)
{
    struct value *starts = build_ints(c, 1, &begin), *ends = build_ints(c, 1, &end);
    struct value *axes = build_ints(c, 1, &axis);
    return op_build(c, "Slice", 4, (struct value *[]){x, starts, ends, axes}, NULL);
}

struct value *build_expand(struct op_context *c, struct value *x, int rank, const int64_t *dims)
{
    return op_build2(c, "Expand", x, build_ints(c, rank, dims));
}

struct value *build_reduce(struct op_context *c, const char *name, struct value *x, int64_t axis)
{
    return op_build2(c, name, x, build_ints(c, 1, &axis));
}

struct value *build_reduce_all(struct op_context *c, const char *name, struct value *x)
{
    const struct attribute keep = ATTRIBUTE_I("keepdims", 0);
    return build_with(c, name, 1, &x, 1, &keep);
}

enum status build_output(struct op_context *c, int i, struct value *x)
{
    struct value *output = op_output(c, i);
    return output && op_built(c) == STATUS_OK ? op_build_identity(c, x, output) : op_built(c);
}
