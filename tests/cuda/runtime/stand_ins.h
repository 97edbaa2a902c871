/* Kernels of a device for tests of the runtime, whichever kernels for CUDA there are: reference kernels that run, as
 * work of the emulated stream, on device memory. So a program whose steps are spread over both sides gives the bits of
 * the reference kernels. */
#ifndef INFER_TESTS_CUDA_STAND_INS_H
#define INFER_TESTS_CUDA_STAND_INS_H

#include "kernels/kernel.h"

/* A list for kernel_facts.kernels: a stand-in for some families, each with one chance in two by the bits of `choice`
 * (all set: for all), and the reference kernels. For one thread at a time; the list is good until the next call. */
const struct kernel *const *stand_ins(uint64_t choice);
/* Lets go of what graphs may have replayed, once no session is left. */
void stand_ins_forget(void);
/* Work that stand-ins have done, since the process began. */
long stand_ins_ran(void);

#endif
