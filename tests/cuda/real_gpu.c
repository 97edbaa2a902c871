/* What tests of kernels ask of the emulation, where there is a real GPU instead. */
#include "tests/cuda/emulation/emulation.h"

#include <cuda_runtime_api.h>

void emulation_seed(uint64_t seed)
{
    (void)seed;
}

const char *emulation_complaint(void)
{
    return NULL;
}

/* An error of a kernel stays until the device is begun anew. */
void emulation_reset(void)
{
    if (cudaGetLastError() != cudaSuccess)
        cudaDeviceReset();
}

void emulation_abort_on_complaint(bool abort)
{
    (void)abort;
}

void emulation_count(bool on)
{
    (void)on;
}

size_t emulation_take_counters(struct emulation_counters *to, size_t most)
{
    (void)to, (void)most;
    return 0;
}
