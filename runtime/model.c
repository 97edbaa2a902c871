#include "runtime/model.h"

#include "graph/op.h"
#include "runtime/session_device.h"

#include <string.h>

_Static_assert((int)INFER_OK == (int)STATUS_OK && (int)INFER_FAULT == (int)STATUS_FAULT &&
                   (int)INFER_INVALID_ARGUMENT == (int)STATUS_INVALID_ARGUMENT &&
                   (int)INFER_INVALID_MODEL == (int)STATUS_INVALID_MODEL &&
                   (int)INFER_UNSUPPORTED == (int)STATUS_UNSUPPORTED &&
                   (int)INFER_OUT_OF_MEMORY == (int)STATUS_OUT_OF_MEMORY &&
                   (int)INFER_MEMORY_LIMIT == (int)STATUS_MEMORY_LIMIT && (int)INFER_IO == (int)STATUS_IO &&
                   (int)INFER_CANCELLED == (int)STATUS_CANCELLED && (int)INFER_DEADLINE == (int)STATUS_DEADLINE &&
                   (int)INFER_WORK_LIMIT == (int)STATUS_WORK_LIMIT && (int)INFER_BUSY == (int)STATUS_BUSY &&
                   (int)INFER_DEVICE_ERROR == (int)STATUS_DEVICE,
               "infer_status mirrors enum status");
_Static_assert((int)INFER_INT2 == (int)DTYPE_I2 && (int)INFER_BFLOAT16 == (int)DTYPE_BF16 &&
                   INFER_MAX_RANK == MAX_RANK && sizeof((infer_error){0}.message) == sizeof((struct error){0}.text),
               "infer.h mirrors kernels/base.h");

infer_status publish_error(infer_error *error, const struct error *from)
{
    if (error) {
        error->status = (infer_status)from->status;
        memcpy(error->message, from->text, sizeof error->message);
    }
    return (infer_status)from->status;
}

infer_status missing_argument(infer_error *error, const char *what)
{
    struct error from = {0};
    error_set(&from, STATUS_INVALID_ARGUMENT, "there is no %s: the pointer is NULL", what);
    return publish_error(error, &from);
}

const char *infer_status_name(infer_status status)
{
    static const char *const names[] = {
        "ok",    "invalid argument", "invalid model", "unsupported", "out of memory", "memory limit", "input/output",
        "fault", "cancelled",        "deadline",      "work limit",  "busy",          "device"};
    return (unsigned)status < sizeof names / sizeof names[0] ? names[status] : "unknown";
}

const char *infer_version(void)
{
    return INFER_VERSION;
}

const char *infer_dtype_name(infer_dtype dtype)
{
    return dtype_name((enum dtype)dtype);
}

unsigned infer_dtype_bits(infer_dtype dtype)
{
    return dtype_bits((enum dtype)dtype);
}

infer_tensor infer_input(const void *data, infer_dtype dtype, int rank, const int64_t *dims)
{
    infer_tensor tensor = {.data = (void *)(uintptr_t)data, .dtype = dtype, .rank = rank};
    for (int i = 0; i < rank && rank <= MAX_RANK && dims; i++)
        tensor.dims[i] = dims[i];
    tensor.bytes = infer_tensor_bytes(dtype, rank, dims);
    return tensor;
}

infer_tensor infer_output(void *data, size_t capacity)
{
    return (infer_tensor){.data = data, .capacity = capacity};
}

size_t infer_tensor_bytes(infer_dtype dtype, int rank, const int64_t *dims)
{
    int64_t elements;
    bool fits = rank >= 0 && rank <= MAX_RANK && (dims || rank == 0) && shape_elements(rank, dims, &elements) &&
                dtype_bits((enum dtype)dtype);
    return fits ? dtype_bytes((enum dtype)dtype, elements) : SIZE_MAX;
}

/* --- opening --------------------------------------------------------------------------------------------- */

enum status choose_allocator(const infer_allocator *from, struct allocator *allocator, struct error *error)
{
    *allocator = default_allocator;
    if (!from)
        return STATUS_OK;
    if (!from->allocate || !from->release)
        return error_set(error, STATUS_INVALID_ARGUMENT, "the allocator has no function to %s memory",
                         from->allocate ? "release" : "allocate");
    *allocator = (struct allocator){from->allocate, from->release, from->user};
    return STATUS_OK;
}

/* `given` and `result` may not be NULL; `what` says what is given. */
static struct infer_model *model_create(const void *given, const char *what, const infer_model_options *options,
                                        struct infer_model **result, struct error *error)
{
    struct allocator allocator;
    if (result)
        *result = NULL;
    if (!given || !result) {
        error_set(error, STATUS_INVALID_ARGUMENT, "there is no %s: the pointer is NULL",
                  given ? "place for the model" : what);
        return NULL;
    }
    if (choose_allocator(options ? options->allocator : NULL, &allocator, error) != STATUS_OK)
        return NULL;
    struct infer_model *model = allocate(&allocator, sizeof *model, ALIGNMENT);
    if (!model) {
        error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while opening a model");
        return NULL;
    }
    memset(model, 0, sizeof *model);
    model->outer = allocator;
    page_pool_init(&model->pool);
    model->allocator = options && options->allocator ? allocator : model->pool.allocator;
    atomic_init(&model->references, 1);
    size_t limit = options && options->memory_limit ? options->memory_limit : SIZE_MAX;
    budget_init(&model->budget, NULL, &model->allocator, limit);
    region_init(&model->region, &model->budget.allocator);
    weights_init(&model->weights, &model->allocator, NULL);
    return model;
}

/* Where the constants of a graph, and of those inside it, begin and end. */
struct span {
    const char *start, *end;
};

static void add_constant(struct span *span, const struct value *value)
{
    const char *start = value->data;
    if (!start)
        return;
    if (!span->start || start < span->start)
        span->start = start;
    if (!span->end || start + value->bytes > span->end)
        span->end = start + value->bytes;
}

static void add_constants(struct span *span, const struct graph *graph)
{
    for (int i = 0; i < graph->value_count; i++)
        add_constant(span, graph->values[i]);
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i]->attribute_count; k++) {
            const struct attribute *attribute = &graph->nodes[i]->attributes[k];
            if (attribute->kind == ATTRIBUTE_TENSOR)
                add_constant(span, attribute->tensor);
            else if (attribute->kind == ATTRIBUTE_GRAPH)
                add_constants(span, attribute->graph);
        }
}

/* They lie in one section of the file, where those of equal content are there once. */
static void find_constants(struct infer_model *model)
{
    struct span span = {NULL, NULL};
    add_constants(&span, model->graph);
    model->constants = span.start;
    model->constant_bytes = (size_t)(span.end - span.start);
    model->weight_bytes = model->constant_bytes + stored_packs_bytes(&model->stored);
}

static enum status model_load(struct infer_model *model, const char *name, const void *bytes, size_t size,
                              const infer_model_options *options, struct error *error)
{
    struct model_read_options read = {.skip_weight_checksum = options && options->trust_weights,
                                      .leaves_packed = true,
                                      .section_limit = model->budget.limit};
    TRY(model_read(name, bytes, size, &read, &model->region, &model->graph, &model->metadata, error));
    if (!stored_packs_init(&model->stored, name, &model->metadata, read.skip_weight_checksum, &model->region))
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while opening a model");
    find_constants(model);
    return STATUS_OK;
}

/* Hands the model to the caller, or releases it. */
static infer_status model_finish(struct infer_model *model, struct error *from, infer_model **result,
                                 infer_error *error)
{
    if (model)
        budget_explain(&model->budget, from);
    if (from->status == STATUS_OK)
        *result = model;
    else
        infer_model_release(model);
    return publish_error(error, from);
}

static struct file_rules rules_of(const struct infer_model *model, const infer_model_options *options)
{
    return (struct file_rules){.limit = model ? model->budget.limit : SIZE_MAX,
                               .copy = options && options->copy_file,
                               .plausible = model_begins};
}

infer_status infer_model_open(const char *path, const infer_model_options *options, infer_model **result,
                              infer_error *error)
{
    struct error from = {0};
    struct infer_model *model = model_create(path, "path", options, result, &from);
    const struct file_rules rules = rules_of(model, options);
    if (model && file_open_path(&model->file, path, &rules, &model->budget.allocator, &from) == STATUS_OK)
        model_load(model, path, model->file.bytes, model->file.size, options, &from);
    return model_finish(model, &from, result, error);
}

infer_status infer_model_open_descriptor(int descriptor, const char *name, const infer_model_options *options,
                                         infer_model **result, infer_error *error)
{
    struct error from = {0};
    struct infer_model *model = model_create(name, "name", options, result, &from);
    const struct file_rules rules = rules_of(model, options);
    if (model &&
        file_open_descriptor(&model->file, name, descriptor, &rules, &model->budget.allocator, &from) == STATUS_OK)
        model_load(model, name, model->file.bytes, model->file.size, options, &from);
    return model_finish(model, &from, result, error);
}

infer_status infer_model_open_memory(const void *bytes, size_t size, const char *name,
                                     const infer_model_options *options, infer_model **result, infer_error *error)
{
    struct error from = {0};
    struct infer_model *model = model_create(name ? bytes : NULL, name ? "memory" : "name", options, result, &from);
    if (model && ((uintptr_t)bytes % ALIGNMENT != 0 || (options && options->copy_file))) {
        model->copy = allocate(&model->budget.allocator, size, ALIGNMENT);
        model->copy_bytes = size;
        if (model->copy)
            bytes = memcpy(model->copy, bytes, size);
        else
            error_set(&from, STATUS_OUT_OF_MEMORY, "%s: out of memory for an aligned copy of %zu bytes", name, size);
    }
    if (from.status == STATUS_OK)
        model_load(model, name, bytes, size, options, &from);
    return model_finish(model, &from, result, error);
}

infer_model *infer_model_retain(infer_model *model)
{
    if (model)
        atomic_fetch_add(&model->references, 1);
    return model;
}

void infer_model_release(infer_model *model)
{
    if (!model || atomic_fetch_sub(&model->references, 1) != 1)
        return;
    weights_free(&model->weights);
    if (DEVICE_BUILT)
        model_free_device(model);
    region_free(&model->region);
    file_unmap(&model->file);
    release(&model->budget.allocator, model->copy, model->copy_bytes);
    page_pool_free(&model->pool);
    struct allocator outer = model->outer;
    release(&outer, model, sizeof *model);
}
