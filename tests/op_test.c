#include "tests/op_test.h"

#include "formats/model_file.h"
#include "kernels/convert.h"
#include "runtime/infer.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Outputs handed to tests stay reachable here, for as long as the process lives: no test has to free them. */
static void *kept[8192];
static size_t kept_count;

static void *keep_copy(const void *data, size_t bytes)
{
    ck_assert_uint_lt(kept_count, sizeof kept / sizeof kept[0]);
    void *copy = malloc(bytes);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, bytes);
    return kept[kept_count++] = copy;
}

static size_t bytes_of(const struct test_tensor *tensor)
{
    int64_t elements;
    ck_assert(shape_elements(tensor->rank, tensor->dims, &elements));
    return dtype_bytes(tensor->dtype, elements);
}

static bool is_constant(const struct op_call *call, int i)
{
    return (call->constants >> i & 1) != 0;
}

static struct graph *make_graph(const struct op_call *call, struct region *region)
{
    struct value *inputs[64] = {NULL}, *outputs[64] = {NULL}, *given[64];
    int given_count = 0;
    struct graph *graph = graph_create(region, "test");
    const struct op *op = op_find(call->domain ? call->domain : "", call->op);
    ck_assert_msg(op != NULL, "there is no operator %s", call->op);
    for (int i = 0; i < call->input_count; i++) {
        const struct test_tensor *t = &call->inputs[i];
        const char *name = region_format(region, "input_%d", i);
        if (t->dtype == DTYPE_NONE)
            continue;
        if (is_constant(call, i))
            inputs[i] = graph_add_constant(graph, name, t->dtype, t->rank, t->dims, t->data);
        else
            inputs[i] = given[given_count++] = graph_add_value(graph, name, t->dtype, t->rank, t->dims);
    }
    for (int i = 0; i < call->output_count; i++)
        outputs[i] = graph_add_value(graph, region_format(region, "output_%d", i), DTYPE_NONE, -1, NULL);
    graph_add_node(graph, op, call->version ? call->version : NEWEST_OPSET, "node", call->input_count, inputs,
                   call->output_count, outputs, call->attribute_count, call->attributes);
    graph_set_inputs(graph, given_count, given);
    graph_set_outputs(graph, call->output_count, outputs);
    return graph;
}

static infer_status run_model(const struct op_call *call, infer_isa isa, const void *bytes, size_t size,
                              infer_error *error)
{
    const infer_session_options options = {.isa = isa};
    infer_tensor inputs[64], outputs[64];
    memset(outputs, 0, sizeof outputs);
    size_t count = 0;
    infer_model *model = NULL;
    infer_session *session = NULL;
    infer_context *context = NULL;
    for (int i = 0; i < call->input_count; i++) {
        const struct test_tensor *t = &call->inputs[i];
        if (t->dtype == DTYPE_NONE || is_constant(call, i))
            continue;
        inputs[count] = (infer_tensor){
            .data = (void *)(uintptr_t)t->data, .bytes = bytes_of(t), .dtype = (infer_dtype)t->dtype, .rank = t->rank};
        memcpy(inputs[count++].dims, t->dims, sizeof t->dims);
    }
    infer_status status = infer_model_open_memory(bytes, size, "test", NULL, &model, error);
    if (status == INFER_OK)
        status = infer_session_create(model, &options, &session, error);
    if (status == INFER_OK)
        status = infer_context_create(session, &context, error);
    if (status == INFER_OK)
        status = infer_run(context, inputs, count, outputs, (size_t)call->output_count, error);
    for (int i = 0; status == INFER_OK && i < call->output_count; i++) {
        void *copy = keep_copy(outputs[i].data, outputs[i].bytes);
        call->outputs[i] =
            (struct test_tensor){.dtype = (enum dtype)outputs[i].dtype, .rank = outputs[i].rank, .data = copy};
        memcpy(call->outputs[i].dims, outputs[i].dims, sizeof outputs[i].dims);
    }
    infer_context_release(context);
    infer_session_release(session);
    infer_model_release(model);
    return status;
}

static enum status run_on(const struct op_call *call, infer_isa isa, struct error *error)
{
    struct region region;
    struct model_metadata metadata = {.name = "test", .producer = "", .description = ""};
    infer_error public = {0};
    void *bytes;
    size_t size;
    region_init(&region, &default_allocator);
    struct graph *graph = make_graph(call, &region);
    if (model_write(graph, &metadata, &region, &bytes, &size, error) == STATUS_OK) {
        error->status = (enum status)run_model(call, isa, bytes, size, &public);
        memcpy(error->text, public.message, sizeof error->text);
    }
    region_free(&region);
    return error->status;
}

enum status run_op_status(const struct op_call *call, struct error *error)
{
    return run_on(call, INFER_ISA_AUTO, error);
}

static double float_at(const struct test_tensor *tensor, size_t i)
{
    const uint16_t *halves = tensor->data;
    switch (tensor->dtype) {
    case DTYPE_F64:
        return ((const double *)tensor->data)[i];
    case DTYPE_F16:
        return (double)f16_to_f32(halves[i]);
    case DTYPE_BF16:
        return (double)bf16_to_f32(halves[i]);
    default:
        return (double)((const float *)tensor->data)[i];
    }
}

/* Floats may be rounded elsewhere, and bytes by one step where they are made of floats. */
static void expect_near(const struct test_tensor *a, const struct test_tensor *b, int output)
{
    size_t bytes = bytes_of(a);
    ck_assert_int_eq(a->dtype, b->dtype);
    ck_assert_uint_eq(bytes, bytes_of(b));
    if (memcmp(a->data, b->data, bytes) == 0)
        return;
    if (dtype_bits(a->dtype) <= 8) {
        for (size_t i = 0; i < bytes; i++) {
            int step = abs(((const uint8_t *)a->data)[i] - ((const uint8_t *)b->data)[i]);
            ck_assert_msg(step <= 1 || step == 255, "output %d differs on the reference kernels", output);
        }
        return;
    }
    ck_assert_msg(dtype_is_float(a->dtype), "output %d differs on the reference kernels", output);
    double tolerance = a->dtype == DTYPE_BF16 ? 0x1p-7 : a->dtype == DTYPE_F16 ? 0x1p-9 : 1e-5;
    for (size_t i = 0; i < bytes * 8 / dtype_bits(a->dtype); i++) {
        double x = float_at(a, i), y = float_at(b, i);
        bool near = x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= tolerance * fmax(1, fabs(y));
        ck_assert_msg(near, "output %d, element %zu is %.9g, and %.9g on the reference kernels", output, i, x, y);
    }
}

void run_op(const struct op_call *call)
{
    struct error error = {0};
    struct test_tensor folded[64] = {{.dtype = DTYPE_NONE}}, plain[64] = {{.dtype = DTYPE_NONE}};
    struct op_call constant = *call, reference = *call;
    reference.outputs = plain;
    constant.constants = ~UINT64_C(0);
    constant.outputs = folded;
    ck_assert_msg(run_op_status(call, &error) == STATUS_OK, "%s", error.text);
    ck_assert_msg(run_op_status(&constant, &error) == STATUS_OK, "folded: %s", error.text);
    ck_assert_msg(run_on(&reference, INFER_ISA_REFERENCE, &error) == STATUS_OK, "reference: %s", error.text);
    for (int i = 0; i < call->output_count; i++) {
        const struct test_tensor *a = &call->outputs[i], *b = &folded[i];
        ck_assert_int_eq(a->dtype, b->dtype);
        ck_assert_int_eq(a->rank, b->rank);
        ck_assert_mem_eq(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]);
        ck_assert_msg(memcmp(a->data, b->data, bytes_of(a)) == 0, "output %d differs when it is folded", i);
        expect_near(a, &plain[i], i);
    }
}

/* --- expectations ---------------------------------------------------------------------------------------- */

struct test_tensor run_simple(const char *op, int input_count, const struct test_tensor *inputs, int attribute_count,
                              const struct attribute *attributes)
{
    struct test_tensor output;
    run_op(&(struct op_call){.op = op,
                             .input_count = input_count,
                             .inputs = inputs,
                             .output_count = 1,
                             .outputs = &output,
                             .attribute_count = attribute_count,
                             .attributes = attributes});
    return output;
}

void expect_refusal(enum status status, const char *text, const char *op, int input_count,
                    const struct test_tensor *inputs, int attribute_count, const struct attribute *attributes)
{
    struct test_tensor output;
    struct error error = {0};
    const struct op_call call = {.op = op,
                                 .input_count = input_count,
                                 .inputs = inputs,
                                 .output_count = 1,
                                 .outputs = &output,
                                 .attribute_count = attribute_count,
                                 .attributes = attributes};
    ck_assert_int_eq(run_op_status(&call, &error), status);
    ck_assert_msg(strstr(error.text, text) != NULL, "'%s' does not say '%s'", error.text, text);
}

static int64_t expect_shape(const struct test_tensor *tensor, enum dtype dtype, int rank, va_list dims)
{
    int64_t elements = 1;
    ck_assert_str_eq(dtype_name(tensor->dtype), dtype_name(dtype));
    ck_assert_int_eq(tensor->rank, rank);
    for (int i = 0; i < rank; i++) {
        int dim = va_arg(dims, int);
        ck_assert_msg(tensor->dims[i] == dim, "dimension %d is %lld, not %d", i, (long long)tensor->dims[i], dim);
        elements *= dim;
    }
    return elements;
}

void expect_f32(const struct test_tensor *tensor, const float *values, double tolerance, int rank, ...)
{
    va_list dims;
    va_start(dims, rank);
    int64_t elements = expect_shape(tensor, DTYPE_F32, rank, dims);
    va_end(dims);
    const float *data = tensor->data;
    for (int64_t i = 0; i < elements; i++) {
        double want = (double)values[i], have = (double)data[i];
        bool same = isnan(want) ? isnan(have) != 0 : isinf(want) ? have == want : true;
        if (isfinite(want))
            same = fabs(have - want) <= tolerance * fmax(1, fabs(want));
        ck_assert_msg(same, "element %lld is %.9g, not %.9g", (long long)i, have, want);
    }
}

void expect_i64(const struct test_tensor *tensor, const int64_t *values, int rank, ...)
{
    va_list dims;
    va_start(dims, rank);
    int64_t elements = expect_shape(tensor, DTYPE_I64, rank, dims);
    va_end(dims);
    for (int64_t i = 0; i < elements; i++)
        ck_assert_msg(((const int64_t *)tensor->data)[i] == values[i], "element %lld is %lld, not %lld", (long long)i,
                      (long long)((const int64_t *)tensor->data)[i], (long long)values[i]);
}

void expect_bytes(const struct test_tensor *tensor, enum dtype dtype, const void *values, int rank, ...)
{
    va_list dims;
    va_start(dims, rank);
    int64_t elements = expect_shape(tensor, dtype, rank, dims);
    va_end(dims);
    ck_assert_mem_eq(tensor->data, values, dtype_bytes(dtype, elements));
}
