/* Products of 8-bit integers of com.microsoft that are scaled to floats: QGemm, MatMulIntegerToFloat,
 * DynamicQuantizeMatMul. */
#include "graph/ops/build.h"
#include "graph/ops/microsoft.h"
#include "graph/ops/tools.h"

#define TYPES_8_BIT (TYPE(DTYPE_I8) | TYPE(DTYPE_U8))

/* Input i is absent, has one element, or is a list of one for each of `count` columns. */
static enum status check_columns(struct op_context *c, int i, unsigned types, int64_t count)
{
    TRY(op_allow(c, i, types));
    const struct value *value = op_input(c, i);
    if (!value || value_elements(value) == 1 || (value->rank == 1 && value->dims[0] == count))
        return STATUS_OK;
    return op_error(c, STATUS_INVALID_MODEL, "input %d '%s' has %lld elements; it must have 1 or %lld", i, value->name,
                    (long long)value_elements(value), (long long)count);
}

/* A list of one as a scalar. */
static struct value *scalar(struct op_context *c, struct value *x)
{
    return x && x->rank > 0 && value_elements(x) == 1 ? build_reshape(c, x, 0, NULL) : x;
}

static struct value *integer_product(struct op_context *c, struct value *a, struct value *b, struct value *a_zero,
                                     struct value *b_zero)
{
    return op_build(c, "MatMulInteger", 4, (struct value *[]){a, b, a_zero, b_zero}, NULL);
}

/* sums a_scale b_scale (+ bias) as floats. */
static struct value *scaled(struct op_context *c, struct value *sums, struct value *a_scale, struct value *b_scale,
                            struct value *bias)
{
    struct value *y = op_build2(c, "Mul", build_cast(c, sums, DTYPE_F32), op_build2(c, "Mul", a_scale, b_scale));
    return bias ? op_build2(c, "Add", y, scalar(c, bias)) : y; /* a row by a column is a scalar */
}

static int64_t columns_of(const struct value *b)
{
    return b->rank > 1 ? b->dims[b->rank - 1] : 1;
}

/* The parameter has a row of columns for each matrix of b: b's shape with one row. */
static bool is_by_matrix(const struct value *parameter, const struct value *b)
{
    if (!parameter || parameter->rank != b->rank || b->rank < 2)
        return false;
    for (int i = 0; i < b->rank; i++)
        if (parameter->dims[i] != (i == b->rank - 2 ? 1 : b->dims[i]))
            return false;
    return true;
}

/* As check_columns for a scale or zero point of b, input 1, which may differ from matrix to matrix too. */
static enum status check_parameter_of_b(struct op_context *c, int i, unsigned types)
{
    const struct value *b = op_input(c, 1);
    return is_by_matrix(op_input(c, i), b) ? op_allow(c, i, types) : check_columns(c, i, types, columns_of(b));
}

static enum status product_shapes(struct op_context *c, const char *name, enum dtype dtype)
{
    struct value seen[2] = {*op_input(c, 0), *op_input(c, 1)};
    seen[0].dtype = seen[1].dtype = DTYPE_F32;
    return op_shapes_like(c, name, 2, (struct value *[]){&seen[0], &seen[1]}, dtype);
}

/* --- MatMulIntegerToFloat: (a, b, a scale, b scale, a zero, b zero, bias) --------------------------------- */

static enum status shapes_to_float(struct op_context *c)
{
    TRY(op_require(c, 0, TYPES_8_BIT));
    TRY(op_require(c, 1, TYPES_8_BIT));
    TRY(op_require(c, 2, TYPE(DTYPE_F32)));
    TRY(op_require(c, 3, TYPE(DTYPE_F32)));
    TRY(check_columns(c, 2, TYPE(DTYPE_F32), 1));
    TRY(check_parameter_of_b(c, 3, TYPE(DTYPE_F32)));
    TRY(check_columns(c, 4, TYPE(op_input(c, 0)->dtype), 1));
    TRY(check_parameter_of_b(c, 5, TYPE(op_input(c, 1)->dtype)));
    TRY(op_allow_list(c, 6, TYPE(DTYPE_F32), columns_of(op_input(c, 1))));
    return product_shapes(c, "MatMul", DTYPE_F32);
}

static enum status expand_to_float(struct op_context *c)
{
    struct value *sums =
        integer_product(c, op_input(c, 0), op_input(c, 1), scalar(c, op_input(c, 4)), scalar(c, op_input(c, 5)));
    return build_output(c, 0, scaled(c, sums, scalar(c, op_input(c, 2)), scalar(c, op_input(c, 3)), op_input(c, 6)));
}

MICROSOFT_OPERATOR(MatMulIntegerToFloat, 4, 7, 1, 1, shapes_to_float, .expand = expand_to_float)

/* --- DynamicQuantizeMatMul: (a, b, b scale, b zero, bias) ------------------------------------------------- */

static enum status shapes_dynamic(struct op_context *c)
{
    TRY(op_require(c, 0, TYPE(DTYPE_F32)));
    TRY(op_require(c, 1, TYPES_8_BIT));
    TRY(op_require(c, 2, TYPE(DTYPE_F32)));
    TRY(check_parameter_of_b(c, 2, TYPE(DTYPE_F32)));
    TRY(check_parameter_of_b(c, 3, TYPE(op_input(c, 1)->dtype)));
    TRY(op_allow_list(c, 4, TYPE(DTYPE_F32), columns_of(op_input(c, 1))));
    return product_shapes(c, "MatMul", DTYPE_F32);
}

static enum status expand_dynamic(struct op_context *c)
{
    struct value *a = op_input(c, 0), *quantised[3] = {NULL};
    TRY(op_build_many(c, "", "DynamicQuantizeLinear", 1, &a, 3, quantised, 0, NULL));
    struct value *sums = integer_product(c, quantised[0], op_input(c, 1), quantised[2], scalar(c, op_input(c, 3)));
    return build_output(c, 0, scaled(c, sums, quantised[1], scalar(c, op_input(c, 2)), op_input(c, 4)));
}

MICROSOFT_OPERATOR(DynamicQuantizeMatMul, 3, 5, 1, 1, shapes_dynamic, .expand = expand_dynamic)

/* --- QGemm: (a, a scale, a zero, b, b scale, b zero, c, y scale, y zero) ---------------------------------- */

enum { A, A_SCALE, A_ZERO, B, B_SCALE, B_ZERO, C, Y_SCALE, Y_ZERO };

static enum status shapes_qgemm(struct op_context *c)
{
    for (int i = 0; i < C; i++)
        TRY(op_require(c, i, i % 3 == 1 ? TYPE(DTYPE_F32) : TYPES_8_BIT));
    TRY(op_require(c, A_ZERO, TYPE(op_input(c, A)->dtype)));
    TRY(op_require(c, B_ZERO, TYPE(op_input(c, B)->dtype)));
    TRY(op_require_rank(c, B, 2, 2));
    int64_t columns = op_input(c, B)->dims[op_int(c, "transB") != 0 ? 0 : 1];
    TRY(check_columns(c, A_SCALE, TYPE(DTYPE_F32), 1));
    TRY(check_columns(c, A_ZERO, TYPES_8_BIT, 1));
    TRY(check_columns(c, B_SCALE, TYPE(DTYPE_F32), columns));
    TRY(check_columns(c, B_ZERO, TYPES_8_BIT, columns));
    TRY(check_columns(c, Y_SCALE, TYPE(DTYPE_F32), 1));
    TRY(check_columns(c, Y_ZERO, TYPES_8_BIT, 1));
    TRY(op_allow(c, C, TYPE(DTYPE_I32)));
    if (op_input(c, Y_ZERO) && !op_input(c, Y_SCALE))
        return op_error(c, STATUS_INVALID_MODEL, "a zero point of the result needs its scale");
    const struct value *zero = op_input(c, Y_ZERO);
    struct value seen[3] = {*op_input(c, A), *op_input(c, B)};
    if (op_input(c, C))
        seen[2] = *op_input(c, C);
    seen[0].dtype = seen[1].dtype = seen[2].dtype = DTYPE_I32;
    enum dtype dtype = zero ? zero->dtype : op_input(c, Y_SCALE) ? op_input(c, A)->dtype : DTYPE_F32;
    return op_shapes_like(c, "Gemm", op_input(c, C) ? 3 : 2, (struct value *[]){&seen[0], &seen[1], &seen[2]}, dtype);
}

static enum status expand_qgemm(struct op_context *c)
{
    static const char *const names[] = {"transA", "transB"};
    struct attribute attributes[2];
    struct value *operands[5] = {op_input(c, A), op_input(c, B), op_input(c, C), op_input(c, A_ZERO),
                                 op_input(c, B_ZERO)};
    struct value *sums =
        build_own(c, "GemmInteger", 5, operands, build_attributes(c, 2, names, attributes), attributes);
    struct value *scale = scalar(c, op_input(c, A_SCALE));
    if (op_float(c, "alpha") != 1)
        scale = op_build2(c, "Mul", scale, build_number(c, DTYPE_F32, (double)op_float(c, "alpha")));
    struct value *y = scaled(c, sums, scale, scalar(c, op_input(c, B_SCALE)), NULL);
    if (!op_input(c, Y_SCALE))
        return build_output(c, 0, y);
    struct value *zero = op_input(c, Y_ZERO) ? op_input(c, Y_ZERO) : build_number(c, op_output(c, 0)->dtype, 0);
    return build_output(c, 0,
                        op_build(c, "QuantizeLinear", 3, (struct value *[]){y, op_input(c, Y_SCALE), zero}, NULL));
}

MICROSOFT_OPERATOR(QGemm, 6, 9, 1, 1, shapes_qgemm, .expand = expand_qgemm)
