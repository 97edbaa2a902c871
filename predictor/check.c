/* Validation of what the model is about to be given. */
#include "predictor/predictor.h"

#include "kernels/convert.h"

#include <float.h>
#include <stdio.h>

static const char *shape_text(int rank, const int64_t *dims, char *text, size_t room)
{
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i < rank && at < room; i++) {
        int written = dims[i] < 0 ? snprintf(text + at, room - at, "%s?", i ? "x" : "")
                                  : snprintf(text + at, room - at, "%s%lld", i ? "x" : "", (long long)dims[i]);
        at += written > 0 ? (size_t)written : 0;
    }
    return rank ? text : "a scalar";
}

static infer_status check_shape(const infer_value *value, const infer_tensor *input, infer_error *error)
{
    char has[200], wants[200];
    const struct legible name = legible(value->name);
    if (input->dtype == INFER_NONE)
        return fail(error, INFER_INVALID_ARGUMENT, "input '%s' is not given", name.text);
    if (input->dtype != value->dtype)
        return fail(error, INFER_INVALID_ARGUMENT, "input '%s' is %s; the model takes %s", name.text,
                    infer_dtype_name(input->dtype), infer_dtype_name(value->dtype));
    if (input->rank < 0 || input->rank > INFER_MAX_RANK)
        return fail(error, INFER_INVALID_ARGUMENT, "input '%s' has %d dimensions; it can be 0 to %d", name.text,
                    input->rank, INFER_MAX_RANK);
    bool fits = value->rank < 0 || value->rank == input->rank;
    for (int i = 0; fits && i < value->rank; i++)
        fits = value->dims[i] < 0 || value->dims[i] == input->dims[i];
    if (!fits)
        return fail(error, INFER_INVALID_ARGUMENT, "input '%s' is %s; the model takes %s", name.text,
                    shape_text(input->rank, input->dims, has, sizeof has),
                    shape_text(value->rank, value->dims, wants, sizeof wants));
    size_t bytes = infer_tensor_bytes(input->dtype, input->rank, input->dims);
    if (bytes == SIZE_MAX)
        return fail(error, INFER_INVALID_ARGUMENT, "input '%s' is %s: no tensor can be", name.text,
                    shape_text(input->rank, input->dims, has, sizeof has));
    if (input->bytes < bytes || (!input->data && bytes))
        return fail(error, INFER_INVALID_ARGUMENT, "input '%s' needs %s bytes and has %s", name.text,
                    grouped(bytes).text, input->data ? grouped(input->bytes).text : "none");
    return INFER_OK;
}

/* --- elements ----------------------------------------------------------------------------------------------------- */

/* FIRST_BAD(name, type, value): the first element for which `value` of `x` is not within bounds; `count`: none. */
#define FIRST_BAD(name, type, value)                                              \
    static size_t name(const void *data, size_t count, double least, double most) \
    {                                                                             \
        const type *elements = data;                                              \
        for (size_t i = 0; i < count; i++) {                                      \
            type x = elements[i];                                                 \
            if (!((double)(value) >= least && (double)(value) <= most))           \
                return i;                                                         \
        }                                                                         \
        return count;                                                             \
    }
FIRST_BAD(bad_f64, double, x)
FIRST_BAD(bad_f32, float, x)
FIRST_BAD(bad_f16, uint16_t, f16_to_f32(x))
FIRST_BAD(bad_bf16, uint16_t, bf16_to_f32(x))
FIRST_BAD(bad_u8, uint8_t, x)
FIRST_BAD(bad_i8, int8_t, x)
FIRST_BAD(bad_u16, uint16_t, x)
FIRST_BAD(bad_i16, int16_t, x)
FIRST_BAD(bad_u32, uint32_t, x)
FIRST_BAD(bad_i32, int32_t, x)
FIRST_BAD(bad_u64, uint64_t, x)
FIRST_BAD(bad_i64, int64_t, x)

static const struct element_check {
    size_t (*first_bad)(const void *data, size_t count, double least, double most);
    bool floating;
} element_checks[] = {
    [INFER_FLOAT64] = {bad_f64, true},   [INFER_FLOAT32] = {bad_f32, true}, [INFER_FLOAT16] = {bad_f16, true},
    [INFER_BFLOAT16] = {bad_bf16, true}, [INFER_UINT8] = {bad_u8, false},   [INFER_BOOL] = {bad_u8, false},
    [INFER_INT8] = {bad_i8, false},      [INFER_UINT16] = {bad_u16, false}, [INFER_INT16] = {bad_i16, false},
    [INFER_UINT32] = {bad_u32, false},   [INFER_INT32] = {bad_i32, false},  [INFER_UINT64] = {bad_u64, false},
    [INFER_INT64] = {bad_i64, false},
};

static infer_status check_elements(const infer_value *value, const infer_input_check *check, const infer_tensor *input,
                                   infer_error *error)
{
    size_t known = sizeof element_checks / sizeof element_checks[0];
    const struct element_check *elements = (size_t)input->dtype < known ? &element_checks[input->dtype] : NULL;
    if (!elements || !elements->first_bad)
        return INFER_OK;
    size_t bytes = infer_tensor_bytes(input->dtype, input->rank, input->dims);
    size_t count = bytes / (infer_dtype_bits(input->dtype) / 8);
    if (check->finite && elements->floating) {
        size_t bad = elements->first_bad(input->data, count, -DBL_MAX, DBL_MAX);
        if (bad < count)
            return fail(error, INFER_INVALID_ARGUMENT, "element %zu of input '%s' is not finite", bad,
                        legible(value->name).text);
    }
    if (check->has_range) {
        size_t bad = elements->first_bad(input->data, count, check->least, check->most);
        if (bad < count)
            return fail(error, INFER_INVALID_ARGUMENT, "element %zu of input '%s' is outside its range of %g to %g",
                        bad, legible(value->name).text, check->least, check->most);
    }
    return INFER_OK;
}

infer_status inputs_check(const struct infer_predictor *predictor, const infer_tensor *inputs, size_t count,
                          bool streams, infer_error *error)
{
    if (count != predictor->input_count)
        return fail(error, INFER_INVALID_ARGUMENT, "%zu inputs were given; the model takes %zu", count,
                    predictor->input_count);
    for (size_t i = 0; i < count; i++) {
        const infer_value *value = &predictor->input_values[i];
        if (inputs[i].dtype == INFER_NONE && (value->has_default || (streams && stream_makes_input(predictor, i))))
            continue;
        if (inputs[i].device != INFER_DEVICE_CPU)
            return fail(error, INFER_INVALID_ARGUMENT, "input '%s' lies on a GPU; predictors take tensors of the host",
                        legible(value->name).text);
        infer_status status = check_shape(value, &inputs[i], error);
        if (status != INFER_OK)
            return status;
    }
    for (size_t i = 0; i < predictor->check_count; i++) {
        const infer_input_check *check = &predictor->checks[i];
        if (inputs[check->input].dtype == INFER_NONE)
            continue;
        infer_status status =
            check_elements(&predictor->input_values[check->input], check, &inputs[check->input], error);
        if (status != INFER_OK)
            return status;
    }
    return INFER_OK;
}
