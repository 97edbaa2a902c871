/* Runs the threads of a block as fibers. One runs until it meets a barrier or does something together with its warp,
 * then another one that chance picks: what a barrier is missing for has not happened, in some order. */
#include "inside.h"

#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>

namespace emulation
{

#define STACK_BYTES ((size_t)128 << 10)
#define GUARD_BYTES ((size_t)4096)
#define WARPS (BLOCK_THREADS / 32)

enum state { READY, AT_BLOCK, AT_WARP, ENDED };

struct in_flight {
    unsigned char *to;
    const unsigned char *from;
    size_t bytes;
    bool zero;
    unsigned group;
};

struct fiber {
    thread is; /* first: `self` points here */
    void *stack_pointer;
    const given *seen; /* what the exchange gave */
    in_flight copies[256];
    unsigned copy_count, group; /* group: that its next asynchronous copies belong to */
};

__thread thread *self;
__thread block *here;
uint64_t launch_number, block_meetings;
uint32_t warp_meetings[WARPS];

static block current;
static fiber *fibers;
static unsigned char *stacks;
static given (*views)[32]; /* by thread: the lowest of a mask keeps what all of it gave */
static unsigned thread_count;
/* By thread, side by side, since all of them are looked at after each round. */
static enum state states[BLOCK_THREADS];
static unsigned masks[BLOCK_THREADS]; /* of the warp barrier it waits at */
static given offers[BLOCK_THREADS];   /* at an exchange */
static void *scheduler;
static caller *kernel_call;
static const void *kernel_function, *kernel_arguments;

extern "C" void emulation_switch(void **save, void *load);
/* Saves what a call preserves on the stack, and takes the other stack. */
asm(".text\n.globl emulation_switch\n.type emulation_switch, @function\nemulation_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
    ".size emulation_switch, .-emulation_switch\n");

static fiber *mine()
{
    return (fiber *)self;
}

static void yield()
{
    emulation_switch(&mine()->stack_pointer, scheduler);
}

static void begin()
{
    kernel_call(kernel_function, kernel_arguments);
    if (mine()->copy_count)
        complain("thread %u ends while asynchronous copies of its own are under way", thread_number());
    states[thread_number()] = ENDED;
    for (;;)
        yield();
}

void abandon()
{
    states[thread_number()] = ENDED;
    for (;;)
        yield();
}

extern "C" char __executable_start, end;

bool is_private(const void *address)
{
    uintptr_t a = (uintptr_t)address;
    return a - (uintptr_t)stacks < BLOCK_THREADS * STACK_BYTES ||
           a - (uintptr_t)fibers < BLOCK_THREADS * sizeof *fibers ||
           a - (uintptr_t)&__executable_start < (uintptr_t)(&end - &__executable_start) ||
           a - (uintptr_t)&self < sizeof self || a - (uintptr_t)&here < sizeof here;
}

static void allocate()
{
    if (fibers)
        return;
    fibers = (fiber *)calloc(BLOCK_THREADS, sizeof *fibers);
    views = (given(*)[32])calloc(BLOCK_THREADS, sizeof *views);
    current.shared = (unsigned char *)aligned_alloc(4096, SHARED_BYTES + 4096);
    stacks = (unsigned char *)mmap(nullptr, BLOCK_THREADS * STACK_BYTES, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!fibers || !views || !current.shared || stacks == MAP_FAILED) {
        perror("emulated GPU");
        abort();
    }
    for (unsigned i = 0; i < BLOCK_THREADS; i++)
        mprotect(stacks + i * STACK_BYTES, GUARD_BYTES, PROT_NONE);
}

static void prepare_fiber(unsigned i)
{
    const dim3 &dim = current.dim;
    fiber &f = fibers[i];
    f.is = {{i % dim.x, i / dim.x % dim.y, i / dim.x / dim.y}, i % 32, i / 32};
    states[i] = READY;
    f.copy_count = f.group = 0;
    void **top = (void **)(stacks + (i + 1) * STACK_BYTES);
    *--top = nullptr; /* as a call leaves the stack: 8 bytes off a multiple of 16 */
    *--top = (void *)begin;
    top -= 6;
    f.stack_pointer = top;
}

/* Each thread that can run does so until it waits, in any order; some are left for the next round. */
static unsigned run_ready()
{
    unsigned ready[BLOCK_THREADS], count = 0;
    for (unsigned i = 0; i < thread_count; i++)
        if (states[i] == READY)
            ready[count++] = i;
    for (unsigned left = count; left > 0 && failed == cudaSuccess; left--) {
        unsigned at = chance_below(left);
        fiber &f = fibers[ready[at]];
        ready[at] = ready[left - 1];
        if (chance_below(16) == 0)
            continue;
        self = &f.is;
        emulation_switch(&scheduler, f.stack_pointer);
    }
    return count;
}

/* Lanes that wait for each other, all of them; they go on. */
static bool release_mask(unsigned warp, unsigned mask)
{
    unsigned first = warp * 32;
    unsigned lowest = (unsigned)__builtin_ctz(mask);
    for (unsigned lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1))
            continue;
        if (first + lane >= thread_count || states[first + lane] == ENDED) {
            complain("lane %u of warp %u waits for lane %u, which %s (mask %08x)", lowest, warp, lane,
                     first + lane >= thread_count ? "there is not" : "has ended", mask);
            return false;
        }
        if (states[first + lane] != AT_WARP || masks[first + lane] != mask)
            return false;
    }
    given *view = views[first + lowest];
    for (unsigned lane = 0; lane < 32; lane++)
        if (mask >> lane & 1) {
            view[lane] = offers[first + lane];
            fibers[first + lane].seen = view;
            states[first + lane] = READY;
        }
    warp_meetings[warp]++;
    return true;
}

static bool release_warps()
{
    bool any = false;
    for (unsigned i = 0; i < thread_count && failed == cudaSuccess; i++)
        if (states[i] == AT_WARP && (unsigned)__builtin_ctz(masks[i]) == i % 32)
            any |= release_mask(i / 32, masks[i]);
    return any;
}

static bool release_block()
{
    bool any = false;
    for (unsigned i = 0; i < thread_count; i++)
        if (states[i] != AT_BLOCK && states[i] != ENDED)
            return false;
    watch_meeting();
    block_meetings++;
    for (unsigned i = 0; i < thread_count; i++)
        if (states[i] == AT_BLOCK) {
            states[i] = READY;
            any = true;
        }
    return any;
}

static bool has_ended()
{
    for (unsigned i = 0; i < thread_count; i++)
        if (states[i] != ENDED)
            return false;
    return true;
}

static void say_stuck()
{
    static const char *const waits[] = {"could run", "waits at __syncthreads", "waits for its warp", "has ended"};
    for (unsigned i = 0; i < thread_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (states[i] != states[j] || (states[i] == AT_WARP && masks[i] != masks[j])) {
                complain("the block is stuck: thread %u %s (mask %08x), thread %u %s (mask %08x)", j, waits[states[j]],
                         masks[j], i, waits[states[i]], masks[i]);
                return;
            }
    complain("the block is stuck");
}

static void run_block()
{
    for (unsigned i = 0; i < thread_count; i++)
        prepare_fiber(i);
    block_meetings++;
    while (failed == cudaSuccess) {
        if (run_ready() || failed != cudaSuccess)
            continue;
        if (has_ended())
            break;
        bool warps = release_warps();
        if (!warps && failed == cudaSuccess && !release_block())
            say_stuck();
    }
    watch_meeting();
    counters->blocks++;
    counters->threads += thread_count;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    return b ? common_divisor(b, a % b) : a;
}

void run_kernel(caller *call, const void *kernel, const shape &shape, const void *arguments)
{
    uint64_t blocks = (uint64_t)shape.grid.x * shape.grid.y * shape.grid.z;
    uint64_t at = blocks > 1 ? chance() % blocks : 0, stride = 1 + chance() % blocks;
    allocate();
    while (common_divisor(stride, blocks) != 1)
        stride++;
    kernel_call = call;
    kernel_function = kernel;
    kernel_arguments = arguments;
    thread_count = shape.block.x * shape.block.y * shape.block.z;
    current.dim = shape.block;
    current.grid = shape.grid;
    here = &current;
    launch_number++;
    count_for(kernel);
    counters->launches++;
    watch_launch();
    for (uint64_t i = 0; i < blocks && failed == cudaSuccess; i++, at = (at + stride) % blocks) {
        current.index = {(unsigned)(at % shape.grid.x), (unsigned)(at / shape.grid.x % shape.grid.y),
                         (unsigned)(at / shape.grid.x / shape.grid.y)};
        watch_block(shape.shared);
        run_block();
    }
    here = nullptr;
}

/* --- for threads ------------------------------------------------------------------------------------------------ */

void block_barrier()
{
    states[thread_number()] = AT_BLOCK;
    yield();
}

const given *exchange(unsigned mask, const void *from, size_t bytes)
{
    unsigned me = thread_number();
    if (!(mask >> self->lane & 1)) {
        complain("lane %u takes part in what mask %08x does together, and is not of it", self->lane, mask);
        abandon();
    }
    memcpy(offers[me].bytes, from, bytes);
    masks[me] = mask;
    states[me] = AT_WARP;
    yield();
    return mine()->seen;
}

void warp_barrier(unsigned mask)
{
    exchange(mask, nullptr, 0);
}

/* The bytes land when the thread waits for them; until then what lies there is rubbish. */
void copy_async(void *to, const void *from, size_t bytes, bool zero, const void *pc)
{
    fiber *f = mine();
    if ((bytes != 4 && bytes != 8 && bytes != 16) || (uintptr_t)to % bytes || (!zero && (uintptr_t)from % bytes)) {
        complain("an asynchronous copy of %zu bytes is not aligned to as many", bytes);
        abandon();
    }
    if (!zero)
        watch(from, bytes, false, pc, false);
    watch(to, bytes, true, (const char *)pc + 1, false); /* another access than the read */
    watch_in_flight(to, bytes);
    if (f->copy_count == sizeof f->copies / sizeof f->copies[0]) {
        complain("more than %u asynchronous copies of one thread are under way", f->copy_count);
        abandon();
    }
    f->copies[f->copy_count++] = {(unsigned char *)to, (const unsigned char *)from, bytes, zero, f->group};
}

void copy_async_commit()
{
    mine()->group++;
}

void copy_async_wait(int groups_left)
{
    fiber *f = mine();
    unsigned kept = 0;
    for (unsigned i = 0; i < f->copy_count; i++) {
        const in_flight &c = f->copies[i];
        if ((int)(f->group - c.group) <= groups_left) {
            f->copies[kept++] = c;
            continue;
        }
        if (c.zero)
            memset(c.to, 0, c.bytes);
        else
            memcpy(c.to, c.from, c.bytes);
        watch(c.to, c.bytes, true, nullptr, false);
    }
    f->copy_count = kept;
}

} // namespace emulation
