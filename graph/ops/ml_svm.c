/* SVMRegressor of ai.onnx.ml, made of simpler nodes. */
#include "graph/ops/ml.h"

#include <string.h>

struct svm {
    int64_t rows, features, supports; /* without support vectors the coefficients are a linear model */
    const float *kernel;              /* gamma, coef0, degree */
};

static enum status read_svm(struct op_context *c, struct svm *svm)
{
    int coefficients, vectors, kernel, rho;
    TRY(ml_matrix(c, &svm->rows, &svm->features));
    svm->supports = op_int(c, "n_supports");
    svm->kernel = op_float_list(c, "kernel_params", &kernel);
    op_float_list(c, "coefficients", &coefficients);
    op_float_list(c, "support_vectors", &vectors);
    op_float_list(c, "rho", &rho);
    int64_t wanted = svm->supports > 0 ? svm->supports : svm->features;
    if (svm->supports < 0 || svm->supports > INT32_MAX || coefficients != wanted || rho < 1 ||
        (svm->supports > 0 &&
         (svm->features < 1 || vectors % svm->features != 0 || vectors / svm->features != svm->supports)))
        return op_error(c, STATUS_INVALID_MODEL, "its support vectors, coefficients and rho do not match");
    if (svm->kernel && kernel != 3)
        return op_error(c, STATUS_INVALID_MODEL, "kernel_params has %d entries; it must have 3", kernel);
    return STATUS_OK;
}

static enum status shapes_svm_regressor(struct op_context *c)
{
    struct svm svm;
    TRY(read_svm(c, &svm));
    return op_set_output(c, 0, DTYPE_F32, 2, (int64_t[]){svm.rows, 1});
}

/* exp(-gamma |x - v|^2) for each row x and each support vector v, from the differences themselves, which do not cancel
 * as a difference of squares would. */
static struct value *radial(struct op_context *c, const struct svm *svm, struct value *x, struct value *vectors,
                            enum dtype dtype, double gamma)
{
    struct value *rows = build_reshape(c, x, 3, (int64_t[]){svm->rows, 1, svm->features});
    struct value *difference = op_build2(c, "Sub", rows, vectors);
    struct value *distance = build_reduce(c, "ReduceSum", op_build2(c, "Mul", difference, difference), 2);
    distance = build_reshape(c, distance, 2, (int64_t[]){svm->rows, svm->supports});
    return op_build1(c, "Exp", op_build2(c, "Mul", distance, build_number(c, dtype, -gamma)));
}

/* The kernel function of each row and each support vector: [rows, supports]. NULL: failed. */
static struct value *kernel_matrix(struct op_context *c, const struct svm *svm, struct value *x, enum dtype dtype)
{
    const char *kernel = op_string(c, "kernel_type");
    double gamma = svm->kernel ? (double)svm->kernel[0] : 0, shift = svm->kernel ? (double)svm->kernel[1] : 0;
    double degree = svm->kernel ? (double)svm->kernel[2] : 0;
    struct value *vectors =
        build_reshape(c, ml_floats(c, "support_vectors", dtype), 2, (int64_t[]){svm->supports, svm->features});
    if (strcmp(kernel, "RBF") == 0)
        return radial(c, svm, x, vectors, dtype, gamma);
    struct value *products = op_build2(c, "MatMul", x, build_transpose(c, vectors, 2, (int64_t[]){1, 0}));
    if (strcmp(kernel, "LINEAR") == 0)
        return products;
    products = op_build2(c, "Mul", products, build_number(c, dtype, gamma));
    products = op_build2(c, "Add", products, build_number(c, dtype, shift));
    if (strcmp(kernel, "POLY") == 0)
        return op_build2(c, "Pow", products, build_number(c, dtype, degree));
    if (strcmp(kernel, "SIGMOID") == 0)
        return op_build1(c, "Tanh", products);
    op_error(c, STATUS_INVALID_MODEL, "kernel_type is '%s'; it must be LINEAR, POLY, RBF or SIGMOID", kernel);
    return NULL;
}

static enum status expand_svm_regressor(struct op_context *c)
{
    struct svm svm;
    TRY(read_svm(c, &svm));
    int rho;
    enum dtype dtype = op_input(c, 0)->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    double shift = (double)op_float_list(c, "rho", &rho)[0];
    struct value *x = build_reshape(c, build_cast(c, op_input(c, 0), dtype), 2, (int64_t[]){svm.rows, svm.features});
    struct value *kernel = svm.supports > 0 ? kernel_matrix(c, &svm, x, dtype) : x;
    int64_t weights = svm.supports > 0 ? svm.supports : svm.features;
    struct value *column = build_reshape(c, ml_floats(c, "coefficients", dtype), 2, (int64_t[]){weights, 1});
    struct value *score = op_build2(c, "Add", op_build2(c, "MatMul", kernel, column), build_number(c, dtype, shift));
    if (op_int(c, "one_class") != 0)
        score = build_select(c, op_build2(c, "Greater", score, build_number(c, dtype, 0)), build_number(c, dtype, 1),
                             build_number(c, dtype, -1));
    return build_output(c, 0, build_cast(c, ml_post_transform(c, score), DTYPE_F32));
}

ML_OPERATOR(SVMRegressor, 1, 1, 1, 1, shapes_svm_regressor, .expand = expand_svm_regressor)
