#include "predictor/scratch.h"

#include <string.h>

#define LEAST_BLOCK 4096

struct scratch_block {
    struct scratch_block *older;
    size_t bytes; /* of the memory after this */
    char padding[ALIGNMENT - sizeof(void *) - sizeof(size_t)];
};

bool buffer_reserve(struct buffer *buffer, const struct allocator *allocator, size_t bytes)
{
    if (bytes <= buffer->bytes && buffer->data)
        return true;
    size_t wanted = bytes ? bytes : 1;
    void *data = allocate(allocator, wanted, ALIGNMENT);
    if (!data)
        return false;
    buffer_free(buffer, allocator);
    *buffer = (struct buffer){data, wanted};
    return true;
}

void buffer_free(struct buffer *buffer, const struct allocator *allocator)
{
    if (buffer->data)
        release(allocator, buffer->data, buffer->bytes);
    *buffer = (struct buffer){NULL, 0};
}

static bool add_block(struct scratch *scratch, const struct allocator *allocator, size_t bytes)
{
    size_t wanted = bytes > LEAST_BLOCK ? bytes : LEAST_BLOCK, all;
    if (!add_size(wanted, sizeof(struct scratch_block), &all))
        return false;
    struct scratch_block *block = allocate(allocator, all, ALIGNMENT);
    if (!block)
        return false;
    *block = (struct scratch_block){.older = scratch->newest, .bytes = wanted};
    scratch->newest = block;
    scratch->used = 0;
    return true;
}

void *scratch_take(struct scratch *scratch, const struct allocator *allocator, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    size_t taken = align_up(bytes ? bytes : 1, ALIGNMENT);
    if ((!scratch->newest || scratch->newest->bytes - scratch->used < taken) && !add_block(scratch, allocator, taken))
        return NULL;
    void *piece = (char *)(scratch->newest + 1) + scratch->used;
    scratch->used += taken;
    scratch->total += taken;
    return piece;
}

void scratch_reset(struct scratch *scratch, const struct allocator *allocator)
{
    size_t total = scratch->total;
    bool scattered = scratch->newest && scratch->newest->older;
    if (scattered) {
        scratch_free(scratch, allocator);
        add_block(scratch, allocator, total); /* where there is no memory now, the next piece asks again */
    }
    scratch->used = scratch->total = 0;
}

void scratch_free(struct scratch *scratch, const struct allocator *allocator)
{
    for (struct scratch_block *block; (block = scratch->newest) != NULL;) {
        scratch->newest = block->older;
        release(allocator, block, block->bytes + sizeof *block);
    }
    *scratch = (struct scratch){NULL, 0, 0};
}
