/* The reader of model files. Checksums are made right first, so that mutations reach what is behind them; and whatever
 * is read must be written again, to bytes that are read and written the same. */
#include "tests/model_seal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(const struct graph *graph, const struct model_metadata *metadata, struct region *region)
{
    struct error error = {0};
    struct graph *copy;
    struct model_metadata copied;
    void *first, *second;
    size_t first_size, second_size;
    if (model_write(graph, metadata, region, &first, &first_size, &error) != STATUS_OK ||
        model_read("again", first, first_size, NULL, region, &copy, &copied, &error) != STATUS_OK ||
        model_write(copy, &copied, region, &second, &second_size, &error) != STATUS_OK || first_size != second_size ||
        memcmp(first, second, first_size) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct region region;
    struct graph *graph;
    struct model_metadata metadata;
    struct error error = {0};
    /* Of just that size, so that a read beyond it is seen. */
    uint8_t *bytes = allocate(&default_allocator, size, ALIGNMENT);
    if (!bytes)
        return 0;
    if (size)
        memcpy(bytes, data, size);
    model_seal(bytes, size);
    region_init(&region, &default_allocator);
    if (model_read("fuzzed", bytes, size, NULL, &region, &graph, &metadata, &error) == STATUS_OK)
        write_again(graph, &metadata, &region);
    else if (error.status == STATUS_OK || !*error.text)
        abort();
    region_free(&region);
    release(&default_allocator, bytes, size);
    return 0;
}
