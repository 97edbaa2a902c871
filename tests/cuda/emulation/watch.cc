/* Every access of a kernel to memory, looked at. Kernels are compiled with -fsanitize=thread, which has the compiler
 * call a function before each access; the functions are these, not ThreadSanitizer's. */
#include "inside.h"

#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <unordered_map>
#include <vector>

namespace emulation
{

/* Of a byte of shared memory: who has last written and read it, in which epochs (block_epoch, warp_epoch). Blocks run
 * one after another and epochs never come again, so nothing is cleared. Nearly all accesses are to whole words of four
 * bytes: while a block has done nothing else to a word, its first byte stands for all. */
struct shared_byte {
    uint64_t written_at, read_at;
    uint32_t written_by_warp_at, read_by_warp_at;
    uint16_t writer, reader;
    bool read_by_other_warps;
    uint64_t filled_in; /* the block whose thread has written it */
};

/* Of a byte of device memory: the launch and the block that have last written it. */
struct global_byte {
    uint32_t launch, block;
};

static shared_byte *shared_bytes;
static bool is_whole[SHARED_BYTES / 4]; /* by word */
static global_byte *global_bytes;
static size_t shared_size;
static uint64_t block_number;
static uint32_t block_in_grid;

/* What the lanes of a warp do at one place in the code, for the `turn`th time since they met. */
struct warp_access {
    uint64_t addresses[32];
    uint8_t sizes[32];
    uint32_t lanes;
    bool shared;
};
struct place {
    const void *pc;
    uint32_t warp, turn;
    bool operator==(const place &o) const
    {
        return pc == o.pc && warp == o.warp && turn == o.turn;
    }
};
struct place_hash {
    size_t operator()(const place &p) const
    {
        return ((uintptr_t)p.pc * 31 + p.warp) * 1000003 + p.turn;
    }
};
static std::unordered_map<place, warp_access, place_hash> accesses;
static std::unordered_map<uint64_t, uint32_t> turns; /* by place and thread */

static void *reserve(size_t bytes)
{
    void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("emulated GPU");
        abort();
    }
    return memory;
}

void watch_launch()
{
    if (!shared_bytes) {
        shared_bytes = (shared_byte *)reserve(SHARED_BYTES * sizeof *shared_bytes);
        global_bytes = (global_byte *)reserve(WINDOW_BYTES * sizeof *global_bytes);
    }
}

void watch_block(size_t shared)
{
    shared_size = shared;
    block_number++;
    block_in_grid = here->index.x + here->grid.x * (here->index.y + here->grid.y * here->index.z) + 1;
    memset(here->shared, 0xff, shared);
    memset(is_whole, true, (shared + 3) / 4);
}

static void stop(cudaError_t error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void stop(cudaError_t error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain_of(error, format, arguments);
    va_end(arguments);
    abandon();
}

static const char *verb(bool write)
{
    return write ? "writes" : "reads";
}

/* --- shared memory ------------------------------------------------------------------------------------------------ */

/* Whether what another thread did then may happen at the same time as what this one does now. */
static bool races(unsigned thread, uint64_t at, uint32_t by_warp_at)
{
    if (thread == 0 || thread - 1 == thread_number() || at != block_epoch())
        return false;
    return (thread - 1) / 32 != self->warp || by_warp_at == warp_epoch();
}

static void note_read(shared_byte *b)
{
    if (b->read_at != block_epoch())
        b->read_by_other_warps = false;
    else if (b->reader && (b->reader - 1u) / 32 != self->warp)
        b->read_by_other_warps = true;
    b->reader = (uint16_t)(thread_number() + 1);
    b->read_at = block_epoch();
    b->read_by_warp_at = warp_epoch();
}

static void note_write(shared_byte *b)
{
    b->writer = (uint16_t)(thread_number() + 1);
    b->written_at = block_epoch();
    b->written_by_warp_at = warp_epoch();
    b->filled_in = block_number;
}

static void watch_byte(shared_byte *b, bool write, bool atomic, bool all_writes_known)
{
    unsigned me = thread_number();
    size_t byte = (size_t)(b - shared_bytes);
    if (!atomic && races(b->writer, b->written_at, b->written_by_warp_at))
        stop(cudaErrorLaunchFailure,
             "race: thread %u %s byte %zu of shared memory, which thread %u writes with no barrier between", me,
             verb(write), byte, b->writer - 1u);
    if (write && !atomic && races(b->reader, b->read_at, b->read_by_warp_at))
        stop(cudaErrorLaunchFailure,
             "race: thread %u writes byte %zu of shared memory, which thread %u reads with no barrier between", me,
             byte, b->reader - 1u);
    if (write && !atomic && b->read_by_other_warps && b->read_at == block_epoch())
        stop(cudaErrorLaunchFailure,
             "race: thread %u writes byte %zu of shared memory, which other warps read with no barrier between", me,
             byte);
    if (!write && all_writes_known && b->filled_in != block_number)
        stop(cudaErrorLaunchFailure, "thread %u reads byte %zu of shared memory, which nobody has written", me, byte);
    if (write)
        note_write(b);
    else
        note_read(b);
}

static void watch_shared(size_t at, size_t bytes, bool write, bool atomic, bool all_writes_known)
{
    size_t last = at + bytes;
    if (last > shared_size)
        stop(cudaErrorIllegalAddress, "thread %u %s byte %zu of shared memory, of %zu", thread_number(), verb(write),
             last - 1, shared_size);
    while (at < last) {
        size_t word = at / 4;
        bool all = is_whole[word] && at % 4 == 0 && last - at >= 4;
        for (size_t i = 1; i < 4 && is_whole[word] && !all; i++)
            shared_bytes[4 * word + i] = shared_bytes[4 * word];
        is_whole[word] = all;
        watch_byte(shared_bytes + at, write, atomic, all_writes_known);
        at += all ? 4 : 1;
    }
}

void watch_in_flight(const void *shared, size_t bytes)
{
    size_t at = (size_t)((const unsigned char *)shared - here->shared);
    memset((void *)shared, 0xff, bytes);
    for (size_t i = at; i < at + bytes; i += is_whole[i / 4] ? 4 : 1) /* whole words: see copy_async */
        shared_bytes[i].filled_in = 0;
}

/* --- device memory ------------------------------------------------------------------------------------------------ */

static void watch_global(const void *address, size_t bytes, bool write, bool atomic)
{
    const char *fault = memory_fault(address, bytes);
    if (fault)
        stop(cudaErrorIllegalAddress, "thread %u of block %u %s %s", thread_number(), block_in_grid - 1, verb(write),
             fault);
    for (global_byte *b = global_bytes + ((uintptr_t)address - window), *last = b + bytes; b < last; b++) {
        if (b->launch == (uint32_t)launch_number && b->block != block_in_grid && !atomic)
            stop(cudaErrorLaunchFailure, "race: block %u %s device memory that block %u writes", block_in_grid - 1,
                 verb(write), b->block - 1);
        if (write && !atomic)
            *b = {(uint32_t)launch_number, block_in_grid};
    }
}

/* --- what a warp does together ------------------------------------------------------------------------------------ */

static void note_access(const void *address, size_t bytes, const void *pc, bool shared)
{
    uint64_t by = (uint64_t)(uintptr_t)pc << 10 | thread_number();
    warp_access &a = accesses[{pc, self->warp, turns[by]++}];
    a.addresses[self->lane] = (uintptr_t)address;
    a.sizes[self->lane] = (uint8_t)bytes;
    a.lanes |= 1u << self->lane;
    a.shared = shared;
}

/* Cycles that shared memory takes: quarter, half or whole warps at once, by the width of the access; in each, the most
 * different words that one of the 32 banks has to give (CUDA C++ Programming Guide, Shared Memory). One each, where no
 * two of a bank are asked for. */
static void count_shared(const warp_access &a)
{
    unsigned width = 4;
    for (unsigned lane = 0; lane < 32; lane++)
        width = a.lanes >> lane & 1 && a.sizes[lane] > width ? a.sizes[lane] : width;
    unsigned at_once = width < 16 ? 32 / (width / 4) : 8;
    for (unsigned first = 0; first < 32; first += at_once) {
        uint64_t words[8 * 64];
        unsigned count = 0, of_bank[32] = {}, most = 0;
        for (unsigned lane = first; lane < first + at_once; lane++)
            for (unsigned i = 0; a.lanes >> lane & 1 && i < a.sizes[lane]; i += 4) {
                uint64_t word = (a.addresses[lane] + i) / 4;
                bool known = false;
                for (unsigned k = 0; k < count; k++)
                    known |= words[k] == word;
                if (known)
                    continue;
                words[count++] = word;
                unsigned of = ++of_bank[word % 32];
                most = of > most ? of : most;
            }
        counters->shared_cycles += most;
        counters->shared_least_cycles += (count + 31) / 32;
    }
}

static void count_global(const warp_access &a)
{
    std::vector<uint64_t> sectors;
    uint64_t bytes = 0;
    for (unsigned lane = 0; lane < 32; lane++) {
        if (!(a.lanes >> lane & 1))
            continue;
        bytes += a.sizes[lane];
        for (uint64_t s = a.addresses[lane] / 32; s <= (a.addresses[lane] + a.sizes[lane] - 1) / 32; s++) {
            bool known = false;
            for (uint64_t k : sectors)
                known |= k == s;
            if (!known)
                sectors.push_back(s);
        }
    }
    counters->global_sectors += sectors.size();
    counters->global_least_sectors += (bytes + 31) / 32;
}

void watch_meeting()
{
    for (auto &entry : accesses) {
        if (!entry.second.shared) {
            count_global(entry.second);
            continue;
        }
        count_shared(entry.second);
    }
    accesses.clear();
    turns.clear();
}

/* --- all ------------------------------------------------------------------------------------------------------------
 */

void watch(const void *address, size_t bytes, bool write, const void *pc, bool atomic, bool all_writes_known)
{
    if (!here || failed != cudaSuccess)
        return;
    uintptr_t at = (uintptr_t)address;
    bool shared = at - (uintptr_t)here->shared < SHARED_BYTES;
    if (!shared && !in_window(address)) {
        if (!is_private(address))
            stop(cudaErrorIllegalAddress, "thread %u of block %u %s memory of the host", thread_number(),
                 block_in_grid - 1, verb(write));
        return;
    }
    if (bytes > 1 && bytes <= 16 && at % bytes)
        stop(cudaErrorMisalignedAddress, "thread %u of block %u %s %zu bytes at an address that is no multiple of them",
             thread_number(), block_in_grid - 1, verb(write), bytes);
    if (shared)
        watch_shared(at - (uintptr_t)here->shared, bytes, write, atomic, all_writes_known);
    else
        watch_global(address, bytes, write, atomic);
    if (counting && pc)
        note_access(address, bytes, pc, shared);
}

void check_read(const void *from, size_t bytes, const void *pc, bool all_writes_known)
{
    watch(from, bytes, false, pc, false, all_writes_known);
}

void check_write(void *to, size_t bytes, const void *pc)
{
    watch(to, bytes, true, pc, false);
}

void check_atomic(void *at, size_t bytes)
{
    watch(at, bytes, true, __builtin_return_address(0), true);
}

} // namespace emulation

using emulation::watch;

extern "C" {
void __tsan_init(void)
{
}
void __tsan_func_entry(void *)
{
}
void __tsan_func_exit(void)
{
}
#define HOOKS(bytes)                                                \
    void __tsan_read##bytes(void *a)                                \
    {                                                               \
        watch(a, bytes, false, __builtin_return_address(0), false); \
    }                                                               \
    void __tsan_write##bytes(void *a)                               \
    {                                                               \
        watch(a, bytes, true, __builtin_return_address(0), false);  \
    }                                                               \
    void __tsan_unaligned_read##bytes(void *a)                      \
    {                                                               \
        watch(a, bytes, false, __builtin_return_address(0), false); \
    }                                                               \
    void __tsan_unaligned_write##bytes(void *a)                     \
    {                                                               \
        watch(a, bytes, true, __builtin_return_address(0), false);  \
    }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
void __tsan_read_range(void *a, size_t bytes)
{
    watch(a, bytes, false, __builtin_return_address(0), false);
}
void __tsan_write_range(void *a, size_t bytes)
{
    watch(a, bytes, true, __builtin_return_address(0), false);
}
void __tsan_vptr_update(void **, void *)
{
}
}
