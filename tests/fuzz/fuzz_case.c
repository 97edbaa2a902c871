/* A run of a model file: four bytes for its size, the file, then what its inputs hold. Checksums are made right first.
 * make_cases.py makes such inputs of the ONNX backend tests. */
#include "formats/model_file.h"
#include "graph/op.h"
#include "tests/fuzz/run_twice.h"
#include "tests/model_seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_INPUTS 16
#define MOST_INPUT_BYTES ((int64_t)1 << 16)

struct source {
    const uint8_t *at, *end;
};

static bool draw_input(struct source *s, const struct value *value, infer_tensor *tensor)
{
    int64_t elements;
    *tensor = (infer_tensor){.dtype = (infer_dtype)(value->dtype ? value->dtype : DTYPE_F32),
                             .rank = value->rank < 0 ? 2 : value->rank};
    for (int i = 0; i < tensor->rank; i++) {
        bool known = value->rank >= 0 && value->dims[i] >= 0;
        tensor->dims[i] = known ? value->dims[i] : s->at < s->end ? *s->at++ % 8 : 2;
    }
    if (!shape_elements(tensor->rank, tensor->dims, &elements) || elements > MOST_INPUT_BYTES ||
        dtype_bits((enum dtype)tensor->dtype) == 0)
        return false;
    tensor->bytes = infer_tensor_bytes(tensor->dtype, tensor->rank, tensor->dims);
    if (tensor->bytes == 0)
        return true; /* without an address: also allowed */
    tensor->data = calloc(1, tensor->bytes);
    size_t left = (size_t)(s->end - s->at), given = left < tensor->bytes ? left : tensor->bytes;
    if (tensor->data && given) {
        memcpy(tensor->data, s->at, given);
        s->at += given;
    }
    return tensor->data != NULL;
}

/* A model that draws numbers, or loops: how often is its own business, and too often for a fuzzer. */
static bool has_op(const struct graph *graph, unsigned flags, const char *name)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = graph->nodes[i];
        if ((node->op->flags & flags) || strcmp(node->op->name, name) == 0)
            return true;
        for (int k = 0; k < node->attribute_count; k++)
            if (node->attributes[k].kind == ATTRIBUTE_GRAPH && has_op(node->attributes[k].graph, flags, name))
                return true;
    }
    return false;
}

static void run_file(const uint8_t *bytes, size_t size, struct source source)
{
    struct region region;
    struct graph *graph;
    struct model_metadata metadata;
    struct error error = {0};
    infer_tensor inputs[MOST_INPUTS] = {0};
    region_init(&region, &default_allocator);
    bool good = model_read("fuzzed", bytes, size, NULL, &region, &graph, &metadata, &error) == STATUS_OK &&
                graph->input_count <= MOST_INPUTS && graph->output_count <= MOST_OUTPUTS && !has_op(graph, 0, "Loop");
    for (int i = 0; good && i < graph->input_count; i++)
        good = draw_input(&source, graph->inputs[i], &inputs[i]);
    if (good)
        run_twice(bytes, size, inputs, (size_t)graph->input_count, (size_t)graph->output_count,
                  has_op(graph, OP_RANDOM, ""));
    for (int i = 0; i < MOST_INPUTS; i++)
        free(inputs[i].data);
    region_free(&region);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t length;
    if (size < sizeof length)
        return 0;
    memcpy(&length, data, sizeof length);
    if (length > size - sizeof length)
        length = (uint32_t)(size - sizeof length);
    uint8_t *bytes = allocate(&default_allocator, length, ALIGNMENT);
    if (!bytes)
        return 0;
    if (length)
        memcpy(bytes, data + sizeof length, length);
    model_seal(bytes, length);
    run_file(bytes, length, (struct source){data + sizeof length + length, data + size});
    release(&default_allocator, bytes, length);
    return 0;
}
