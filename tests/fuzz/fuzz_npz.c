/* The reader of NPZ archives. The checksums and sizes of stored arrays are made right first, so that mutations reach
 * what is behind them; and memory may end anywhere. */
#include "formats/npz.h"
#include "tests/failing_allocator.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t number(const uint8_t *p, int bytes)
{
    size_t value = 0;
    memcpy(&value, p, (size_t)bytes);
    return value;
}

/* Follows the directory of an archive without a comment, as far as it makes sense; see APPNOTE 4.3.12 and 4.3.16. */
static void seal(uint8_t *bytes, size_t size)
{
    if (size < 22)
        return;
    const uint8_t *end = bytes + size - 22;
    for (size_t at = number(end + 16, 4); at <= size && size - at >= 46;) {
        uint8_t *entry = bytes + at;
        size_t packed = number(entry + 20, 4), start = number(entry + 42, 4);
        at += 46 + number(entry + 28, 2) + number(entry + 30, 2) + number(entry + 32, 2);
        if (number(entry + 10, 2) != 0)
            continue;
        memcpy(entry + 24, entry + 20, 4); /* stored: as large unpacked as packed */
        if (start > size || size - start < 30)
            continue;
        size_t head = 30 + number(bytes + start + 26, 2) + number(bytes + start + 28, 2);
        if (head > size - start || packed > size - start - head)
            continue;
        uint32_t crc = (uint32_t)crc32_z(0, bytes + start + head, packed);
        memcpy(entry + 16, &crc, sizeof crc);
    }
}

/* Reads every array; each error must have a sentence. */
static void read_all(const uint8_t *bytes, size_t size, const struct allocator *allocator)
{
    struct npz npz;
    struct error error = {0};
    if (npz_open_memory(&npz, "fuzzed", bytes, size, allocator, &error) != STATUS_OK && !*error.text)
        abort();
    for (int i = 0; i < npz.count; i++) {
        struct npy_array array;
        error = (struct error){0};
        if (npz_find(&npz, npz_name(&npz, i)) < i)
            abort();
        if (npz_read(&npz, i, &array, allocator, &error) != STATUS_OK && (!*error.text || array.data))
            abort();
        npy_free(&array);
    }
    npz_close(&npz);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Of just that size, so that a read beyond it is seen. */
    uint8_t *bytes = malloc(size ? size : 1);
    if (!bytes)
        return 0;
    if (size)
        memcpy(bytes, data, size);
    seal(bytes, size);
    read_all(bytes, size, &default_allocator);
    struct failing failing = {.allowed = (int)(size % 16)};
    const struct allocator allocator = failing_allocator(&failing);
    read_all(bytes, size, &allocator);
    free(bytes);
    if (failing.held || failing.bytes)
        abort();
    return 0;
}
