/* What the files of the emulation share. One lock guards all of it; kernels run in the thread that holds it. */
#ifndef INFER_TESTS_CUDA_INSIDE_H
#define INFER_TESTS_CUDA_INSIDE_H

#include "cuda_runtime.h"
#include "emulation.h"

#include <cstdarg>
#include <mutex>

namespace emulation
{

extern std::recursive_mutex lock;

/* --- chance (emulation.cc) --- */
uint64_t chance();                 /* any number */
unsigned chance_below(unsigned n); /* n > 0 */

/* --- complaints (emulation.cc) --- */
extern cudaError_t failed; /* sticky: cudaSuccess where nothing was complained of */
extern bool counting;
extern emulation_counters *counters; /* of the kernel under way */
void count_for(const void *kernel);
void complain_of(cudaError_t error, const char *format, va_list arguments);

/* --- memory (memory.cc) --- */
/* Device memory lies in one window of addresses. Outside of device work nobody may touch it. */
#define WINDOW_BYTES ((size_t)1 << 36)
extern uintptr_t window;
static inline bool in_window(const void *address)
{
    return (uintptr_t)address - window < WINDOW_BYTES;
}
void open_window();
void close_window();
/* What is wrong with touching these bytes; NULL: nothing. */
const char *memory_fault(const void *address, size_t bytes);
bool is_pinned(const void *address);

/* --- blocks (block.cc) --- */
#define BLOCK_THREADS 1024
#define SHARED_BYTES ((size_t)227 << 10)
extern uint64_t launch_number;
/* Runs all blocks of a kernel, unless there is a complaint. */
void run_kernel(caller *call, const void *kernel, const shape &shape, const void *arguments);
/* Of the thread under way: its number in the block, and how often its block and its warp have met. */
extern uint64_t block_meetings;
extern uint32_t warp_meetings[BLOCK_THREADS / 32];
static inline unsigned thread_number()
{
    return self->warp * 32 + self->lane;
}
static inline uint64_t block_epoch()
{
    return block_meetings;
}
static inline uint32_t warp_epoch()
{
    return warp_meetings[self->warp];
}
/* Ends the kernel from inside a thread; does not return there. */
void abandon();
/* Memory that a thread may touch beside that of the device: its stack, constants, what the emulation has of it. */
bool is_private(const void *address);

/* --- checks (watch.cc) --- */
void watch_launch();
void watch_block(size_t shared);
void watch_meeting(); /* all threads of the block have met, or it is over: what a warp did together is counted */
/* pc: where in the code; NULL: it has been counted. all_writes_known: reading what nobody has written is a fault. */
void watch(const void *address, size_t bytes, bool write, const void *pc, bool atomic, bool all_writes_known = true);
void watch_in_flight(const void *shared, size_t bytes); /* an asynchronous copy will write it */

} // namespace emulation

#endif
