/* The importer. What it accepts must be a model that can be written and read again. External data is looked for among
 * the tests' models. */
#include "formats/onnx/onnx_import.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(enum status status, const struct error *error)
{
    if (status != error->status || (status != STATUS_OK && !*error->text))
        abort();
}

static void write_and_read(const struct onnx_model *model, struct region *region)
{
    struct error error = {0};
    struct graph *graph;
    struct model_metadata metadata;
    void *bytes;
    size_t size;
    enum status status = model_write(model->graph, &model->metadata, region, &bytes, &size, &error);
    must(status, &error);
    if (status == STATUS_OK && model_read("again", bytes, size, NULL, region, &graph, &metadata, &error) != STATUS_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct region region;
    struct onnx_model model;
    struct error error = {0};
    region_init(&region, &default_allocator);
    enum status status = onnx_import_bytes("fuzzed", data, size, "tests/data/onnx", NULL, &region, &model, &error);
    must(status, &error);
    if (status == STATUS_OK)
        write_and_read(&model, &region);
    onnx_close(&model);
    region_free(&region);
    return 0;
}
