#include "tests/kernels/fence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MARGIN ((size_t)256 << 10) /* on both sides */
#define CANARY 0xc3

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void no_memory(void)
{
    perror("check-kernels: memory for an operand");
    exit(1);
}

static void make(struct fence *fence, const char *name, size_t bytes, size_t alignment, enum fence_side side)
{
    size_t page = page_bytes(), open = (bytes + alignment + page - 1) / page * page;
    unsigned char *map = mmap(NULL, open + 2 * MARGIN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED || mprotect(map + MARGIN, open, PROT_READ | PROT_WRITE) != 0)
        no_memory();
    *fence = (struct fence){.name = name, .bytes = bytes, .open = map + MARGIN, .open_bytes = open};
    fence->data = side == FENCE_BEFORE ? fence->open : fence->open + (open - bytes) / alignment * alignment;
    memset(fence->open, CANARY, open);
}

static void close_fence(struct fence *fence, bool readable)
{
    if (mprotect(fence->open, fence->open_bytes, readable ? PROT_READ : PROT_NONE) != 0)
        no_memory();
}

static void drop(struct fence *fence)
{
    if (fence->open)
        munmap(fence->open - MARGIN, fence->open_bytes + 2 * MARGIN);
    *fence = (struct fence){.name = NULL};
}

static bool is_broken(const struct fence *fence)
{
    const unsigned char *end = fence->data + fence->bytes;
    for (const unsigned char *at = fence->open; at < fence->data; at++)
        if (*at != CANARY)
            return true;
    for (const unsigned char *at = end; at < fence->open + fence->open_bytes; at++)
        if (*at != CANARY)
            return true;
    return false;
}

const struct fences page_fences = {.make = make, .close = close_fence, .drop = drop, .is_broken = is_broken};

bool fence_explain(const struct fence *fence, uintptr_t address, char *text, size_t room)
{
    uintptr_t begin = (uintptr_t)fence->data, end = begin + fence->bytes;
    uintptr_t lowest = (uintptr_t)fence->open - MARGIN, highest = (uintptr_t)fence->open + fence->open_bytes + MARGIN;
    if (!fence->open || address < lowest || address >= highest)
        return false;
    if (address >= end)
        snprintf(text, room, "%zu bytes past the end of %s", (size_t)(address - end), fence->name);
    else if (address < begin)
        snprintf(text, room, "%zu bytes before the beginning of %s", (size_t)(begin - address), fence->name);
    else
        snprintf(text, room, "%s, at byte %zu", fence->name, (size_t)(address - begin));
    return true;
}
