#include "tests/model_maker.h"

#include "formats/model_file.h"

#include <check.h>
#include <string.h>

struct maker maker_start(void)
{
    struct maker maker = {.graph = NULL};
    region_init(&maker.region, &default_allocator);
    return maker;
}

struct value *make_node(struct graph *graph, const char *op, const char *output, int input_count,
                        struct value *const *inputs, int attribute_count, const struct attribute *attributes)
{
    struct value *made = graph_add_value(graph, output, DTYPE_NONE, -1, NULL);
    const struct op *found = op_find("", op);
    ck_assert_msg(found != NULL, "there is no operator %s", op);
    graph_add_node(graph, found, NEWEST_OPSET, output, input_count, inputs, 1, &made, attribute_count, attributes);
    return made;
}

struct value *make_node1(struct graph *graph, const char *op, const char *output, struct value *a)
{
    return make_node(graph, op, output, 1, &a, 0, NULL);
}

struct value *make_node2(struct graph *graph, const char *op, const char *output, struct value *a, struct value *b)
{
    return make_node(graph, op, output, 2, (struct value *[]){a, b}, 0, NULL);
}

struct value *make_declared(struct value *value, int rank, const int64_t *dims)
{
    value->dtype = DTYPE_F32;
    value->rank = rank;
    memcpy(value->dims, dims, (size_t)rank * sizeof *dims);
    return value;
}

struct value *make_ints(struct graph *graph, const char *name, int count, const int64_t *ints)
{
    size_t bytes = (size_t)count * sizeof *ints;
    void *data = region_allocate(graph->region, bytes);
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < bytes; i++)
        ((char *)data)[i] = ((const char *)ints)[i];
    return graph_add_constant(graph, name, DTYPE_I64, 1, (int64_t[]){count}, data);
}

infer_model *maker_finish(struct maker *maker, int input_count, struct value *const *inputs, int output_count,
                          struct value *const *outputs, const infer_model_options *options)
{
    struct model_metadata metadata = {.name = "test", .producer = "", .description = ""};
    struct error error = {0};
    infer_error failure = {0};
    void *bytes;
    size_t size;
    infer_model *model;
    graph_set_inputs(maker->graph, input_count, inputs);
    graph_set_outputs(maker->graph, output_count, outputs);
    ck_assert_msg(model_write(maker->graph, &metadata, &maker->region, &bytes, &size, &error) == STATUS_OK, "%s",
                  error.text);
    infer_model_open_memory(bytes, size, "test.bin", options, &model, &failure);
    ck_assert_msg(model != NULL || failure.status == INFER_OUT_OF_MEMORY, "%s", failure.message);
    return model;
}

infer_tensor f32_tensor(const float *data, int rank, int64_t a, int64_t b)
{
    infer_tensor tensor = {.data = (void *)(uintptr_t)data, .dtype = INFER_FLOAT32, .rank = rank, .dims = {a, b}};
    tensor.bytes = infer_tensor_bytes(tensor.dtype, rank, tensor.dims);
    return tensor;
}

infer_tensor i64_tensor(const int64_t *data, int rank, int64_t a)
{
    infer_tensor tensor = {.data = (void *)(uintptr_t)data, .dtype = INFER_INT64, .rank = rank, .dims = {a}};
    tensor.bytes = infer_tensor_bytes(tensor.dtype, rank, tensor.dims);
    return tensor;
}

struct running running_begin(infer_model *model, const infer_session_options *options)
{
    struct running running;
    infer_error error = {0};
    infer_session_create(model, options, &running.session, &error);
    ck_assert_msg(running.session != NULL, "%s", error.message);
    infer_context_create(running.session, &running.context, &error);
    ck_assert_msg(running.context != NULL, "%s", error.message);
    infer_model_release(model);
    return running;
}

void running_end(struct running *running, struct maker *maker)
{
    infer_context_release(running->context);
    infer_session_release(running->session);
    region_free(&maker->region);
}

void run_well(infer_context *context, const infer_tensor *inputs, size_t input_count, infer_tensor *outputs,
              size_t output_count)
{
    infer_error error = {0};
    infer_status status = infer_run(context, inputs, input_count, outputs, output_count, &error);
    ck_assert_msg(status == INFER_OK, "%s", error.message);
}

struct running begin_way(infer_model *model, int way)
{
    return running_begin(model, &(infer_session_options){.no_optimize = way & 1, .threads = 2});
}

void run_way(struct running *running, int way, const infer_tensor *inputs, size_t input_count, struct results *results,
             size_t count)
{
    memset(results, 0xa5, sizeof *results);
    memset(results->tensors, 0, sizeof results->tensors);
    for (size_t i = 0; i < count && way & 2; i++) {
        results->tensors[i].data = results->room[i];
        results->tensors[i].bytes = sizeof results->room[i];
    }
    run_well(running->context, inputs, input_count, results->tensors, count);
    for (size_t i = 0; i < count && way & 2; i++)
        ck_assert_ptr_eq(results->tensors[i].data, results->room[i]);
}

void expect_floats(const infer_tensor *tensor, int64_t count, const float *expected)
{
    ck_assert_int_eq(tensor->dtype, INFER_FLOAT32);
    ck_assert_uint_eq(tensor->bytes, (size_t)count * sizeof *expected);
    for (int64_t i = 0; i < count; i++)
        ck_assert_msg(((const float *)tensor->data)[i] == expected[i], "element %d is %g instead of %g", (int)i,
                      (double)((const float *)tensor->data)[i], (double)expected[i]);
}
