/* What tests ask of the emulation of a GPU, beside CUDA's own interface. */
#ifndef INFER_TESTS_CUDA_EMULATION_H
#define INFER_TESTS_CUDA_EMULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The order of threads, blocks and streams follows from the seed. */
void emulation_seed(uint64_t seed);
/* What a program or a kernel did that it must not: the first such thing since the last reset, a sentence; NULL where
 * there is none. As on a GPU it ends the kernel, and every call from then on returns an error, until the reset. */
const char *emulation_complaint(void);
/* Forgets the complaint and all work that is enqueued. Memory, streams and events stay. */
void emulation_reset(void);
/* The next kernel that a stream comes to takes as long as it is held: its stream stands still, the others do not. */
void emulation_hold_kernel(void);
bool emulation_holds(void); /* a stream has come to it */
void emulation_let_go(void);
/* Ends the process with a message at the first complaint, for programs that are not about complaints. */
void emulation_abort_on_complaint(bool abort);

/* Bytes of device memory that are allocated, and the most there may be: beyond it cudaMalloc has none left. */
size_t emulation_bytes(void);
void emulation_set_capacity(size_t bytes);
/* What is wrong with touching so many bytes of the device, a sentence; NULL: they are all of one allocation. */
const char *emulation_memory_fault(const void *memory, size_t bytes);
/* Streams, events, graphs and pinned host buffers that have not been freed. */
int emulation_objects(void);
/* Compute capability that the device claims, 90 for 9.0. */
void emulation_set_capability(int capability);

/* What a kernel did since the counters were last taken; of code compiled with the checks alone. A warp's access to
 * shared memory counts the cycles that banks of 4 bytes need for it, and those its words need without conflicts; one to
 * global memory the sectors of 32 bytes that it touches, and those that its bytes would fill. */
struct emulation_counters {
    uintptr_t kernel; /* its address in the program's file, as tables of symbols give it */
    uint64_t launches, blocks, threads;
    uint64_t shared_cycles, shared_least_cycles;
    uint64_t global_sectors, global_least_sectors;
    uint64_t matrix_products; /* mma instructions of a warp */
};
/* Of at most so many kernels, in the order of their addresses; how many there are. */
size_t emulation_take_counters(struct emulation_counters *to, size_t most);
/* They cost time: off at first. */
void emulation_count(bool on);

#ifdef __cplusplus
}
#endif

#endif
