/* Device memory: a window of addresses that only device work may touch, in which every allocation is known. */
#include "inside.h"

#include <cstdio>
#include <map>
#include <sys/mman.h>
#include <vector>

namespace emulation
{

#define PAGE ((size_t)4096)
/* Between allocations, so that a stray access meets none. */
#define GAP (16 * PAGE)
#define POISON 0xff /* NaN in every floating type */

uintptr_t window;

struct allocation {
    uintptr_t start;
    size_t bytes;
};

static std::vector<allocation> allocations; /* by number; those freed have no bytes */
static uint32_t *numbers;                   /* by page of the window: number + 1 */
static std::map<uintptr_t, size_t> pinned;
static size_t used, capacity = (size_t)8 << 30, next_free;
static bool is_open;

static void *reserve(size_t bytes, int protection)
{
    void *memory = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("emulated GPU: no room for its addresses");
        abort();
    }
    return memory;
}

static void make_window()
{
    if (window)
        return;
    window = (uintptr_t)reserve(WINDOW_BYTES, PROT_NONE);
    numbers = (uint32_t *)reserve(WINDOW_BYTES / PAGE * sizeof *numbers, PROT_READ | PROT_WRITE);
}

static size_t whole_pages(size_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static void protect(const allocation &a, bool open)
{
    if (a.bytes)
        mprotect((void *)a.start, whole_pages(a.bytes), open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void open_window()
{
    if (is_open)
        return;
    for (const allocation &a : allocations)
        protect(a, true);
    is_open = true;
}

void close_window()
{
    if (!is_open)
        return;
    for (const allocation &a : allocations)
        protect(a, false);
    is_open = false;
}

static allocation *find(const void *address)
{
    if (!window || !in_window(address))
        return nullptr;
    uint32_t number = numbers[((uintptr_t)address - window) / PAGE];
    return number ? &allocations[number - 1] : nullptr;
}

const char *memory_fault(const void *address, size_t bytes)
{
    const allocation *a = find(address);
    static thread_local char text[200];
    if (a && (uintptr_t)address >= a->start && (uintptr_t)address + bytes <= a->start + a->bytes)
        return nullptr;
    if (a)
        snprintf(text, sizeof text, "%lld bytes past the end of an allocation of %zu bytes",
                 (long long)((uintptr_t)address + bytes - a->start - a->bytes), a->bytes);
    else if (in_window(address))
        snprintf(text, sizeof text, "device memory that is not allocated");
    else
        snprintf(text, sizeof text, "memory of the host");
    return text;
}

bool is_pinned(const void *address)
{
    auto after = pinned.upper_bound((uintptr_t)address);
    if (after == pinned.begin())
        return false;
    --after;
    return (uintptr_t)address < after->first + after->second;
}

static void set_numbers(uintptr_t start, size_t bytes, uint32_t number)
{
    for (size_t page = (start - window) / PAGE; page < (start - window + whole_pages(bytes)) / PAGE; page++)
        numbers[page] = number;
}

static bool is_taken(size_t offset, size_t bytes)
{
    for (const allocation &a : allocations)
        if (a.bytes && window + offset < a.start + whole_pages(a.bytes) + GAP &&
            a.start < window + offset + bytes + GAP)
            return true;
    return false;
}

/* Sets next_free. Addresses are not used twice until they run out, so that what is freed is not met again. */
static bool find_room(size_t bytes)
{
    for (int turn = 0; turn < 2; turn++, next_free = 0)
        for (; next_free + whole_pages(bytes) + GAP <= WINDOW_BYTES; next_free += GAP)
            if (!is_taken(next_free, whole_pages(bytes)))
                return true;
    return false;
}

static uint32_t free_number()
{
    for (size_t i = 0; i < allocations.size(); i++)
        if (allocations[i].bytes == 0)
            return (uint32_t)i;
    allocations.push_back({});
    return (uint32_t)allocations.size() - 1;
}

} // namespace emulation

using namespace emulation;

extern "C" {

size_t emulation_bytes(void)
{
    return used;
}

const char *emulation_memory_fault(const void *memory, size_t bytes)
{
    std::lock_guard<std::recursive_mutex> hold(lock);
    return memory_fault(memory, bytes);
}

void emulation_set_capacity(size_t bytes)
{
    capacity = bytes;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    std::lock_guard<std::recursive_mutex> hold(lock);
    *free_bytes = capacity > used ? capacity - used : 0;
    *total = capacity;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    std::lock_guard<std::recursive_mutex> hold(lock);
    *memory = nullptr;
    if (failed)
        return failed;
    if (bytes == 0)
        return cudaSuccess;
    make_window();
    if (bytes > capacity || used > capacity - bytes || !find_room(bytes))
        return cudaErrorMemoryAllocation;
    allocation made = {window + next_free, bytes};
    next_free += whole_pages(bytes) + GAP;
    uint32_t number = free_number();
    allocations[number] = made;
    set_numbers(made.start, bytes, number + 1);
    protect(made, true);
    if (bytes <= (size_t)1 << 28) /* larger ones are for addresses that nobody fills */
        memset((void *)made.start, POISON, bytes);
    protect(made, is_open);
    used += bytes;
    *memory = (void *)made.start;
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory)
{
    std::lock_guard<std::recursive_mutex> hold(lock);
    if (!memory)
        return cudaSuccess;
    cudaError_t waited = cudaDeviceSynchronize();
    allocation *a = find(memory);
    if (!a || a->start != (uintptr_t)memory)
        return cudaErrorInvalidValue;
    used -= a->bytes;
    set_numbers(a->start, a->bytes, 0);
    madvise((void *)a->start, whole_pages(a->bytes), MADV_DONTNEED);
    protect(*a, false);
    *a = {};
    return waited;
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned)
{
    std::lock_guard<std::recursive_mutex> hold(lock);
    *memory = bytes ? aligned_alloc(PAGE, whole_pages(bytes)) : nullptr;
    if (!*memory)
        return bytes ? cudaErrorMemoryAllocation : cudaSuccess;
    memset(*memory, POISON, bytes);
    pinned[(uintptr_t)*memory] = bytes;
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    return cudaHostAlloc(memory, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *memory)
{
    std::lock_guard<std::recursive_mutex> hold(lock);
    if (!memory)
        return cudaSuccess;
    cudaError_t waited = cudaDeviceSynchronize();
    if (!pinned.erase((uintptr_t)memory))
        return cudaErrorInvalidValue;
    free(memory);
    return waited;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *pointer)
{
    std::lock_guard<std::recursive_mutex> hold(lock);
    *attributes = {};
    if (find(pointer)) {
        attributes->type = cudaMemoryTypeDevice;
        attributes->devicePointer = (void *)pointer;
    } else if (is_pinned(pointer)) {
        attributes->type = cudaMemoryTypeHost;
        attributes->devicePointer = attributes->hostPointer = (void *)pointer;
    }
    return cudaSuccess;
}

int emulation_pinned(void);
int emulation_pinned(void)
{
    return (int)pinned.size();
}
}
