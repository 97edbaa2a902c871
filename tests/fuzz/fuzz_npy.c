/* The reader of NPY files: from memory and from a stream it must say the same; what it read must have a header that is
 * read again as it was written; and memory may end anywhere. */
#include "formats/npy.h"
#include "formats/npy_header.h"
#include "tests/failing_allocator.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum status stream_read(void *user, void *to, size_t size, struct error *error)
{
    const uint8_t **data = user;
    (void)error;
    memcpy(to, *data, size);
    *data += size;
    return STATUS_OK;
}

static void read_stream(const uint8_t *data, size_t size, const struct npy_array *expected)
{
    struct npy_array array;
    struct error error = {0};
    struct npy_source source = {.name = "fuzzed", .left = size, .read = stream_read, .user = &data};
    if (npy_read_source(&array, &source, &default_allocator, &error) != STATUS_OK || array.bytes != expected->bytes ||
        memcmp(array.data, expected->data, array.bytes) != 0)
        abort();
    npy_free(&array);
}

static void write_header(const struct npy_array *array)
{
    char text[NPY_HEADER_MOST_BYTES];
    struct npy_header header;
    struct error error = {0};
    size_t bytes = npy_header_format(text, array->dtype, array->rank, array->dims);
    size_t front = NPY_PREAMBLE_BYTES + 2;
    if (npy_header_parse(&header, "written", text + front, bytes - front, &error) != STATUS_OK ||
        (header.dtype != array->dtype && header.dtype != DTYPE_NONE) || header.rank != array->rank ||
        memcmp(header.dims, array->dims, sizeof header.dims) != 0)
        abort();
}

static void without_memory(const uint8_t *data, size_t size)
{
    for (int allowed = 0; allowed < 2; allowed++) {
        struct npy_array array;
        struct failing failing = {.allowed = allowed};
        const struct allocator allocator = failing_allocator(&failing);
        npy_read_memory(&array, "fuzzed", data, size, &allocator, NULL);
        npy_free(&array);
        if (failing.held || failing.bytes)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct npy_array array;
    struct error error = {0};
    if (npy_read_memory(&array, "fuzzed", data, size, &default_allocator, &error) == STATUS_OK) {
        read_stream(data, size, &array);
        if (array.dtype != DTYPE_NONE)
            write_header(&array);
        npy_reinterpret(&array, "fuzzed", (enum dtype)(size % DTYPE_COUNT), NULL);
    } else if (error.status == STATUS_OK || !*error.text || array.data) {
        abort();
    }
    npy_free(&array);
    without_memory(data, size);
    return 0;
}
