/* A libnvidia-ml.so.1 of a machine with three GPUs, the second of which does not answer. FAKE_NVML=broken: it does not
 * begin; empty: there is no GPU. */
#include <stdlib.h>
#include <string.h>

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
int nvmlDeviceGetUtilizationRates(void *device, unsigned rates[2]);
int nvmlDeviceGetMemoryInfo(void *device, unsigned long long memory[3]);

enum { SUCCESS = 0, FAILED = 999 };

static int begun;
static char devices[3];

static int is(const char *kind)
{
    const char *wanted = getenv("FAKE_NVML");
    return wanted && strcmp(wanted, kind) == 0;
}

int nvmlInit_v2(void)
{
    begun += !is("broken");
    return is("broken") ? FAILED : SUCCESS;
}

int nvmlShutdown(void)
{
    if (--begun != 0)
        abort();
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = is("empty") ? 0 : 3;
    return begun ? SUCCESS : FAILED;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    *device = &devices[index];
    return index == 1 ? FAILED : SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *device, unsigned rates[2])
{
    rates[0] = device == &devices[0] ? 37 : 100;
    rates[1] = 5;
    return begun ? SUCCESS : FAILED;
}

int nvmlDeviceGetMemoryInfo(void *device, unsigned long long memory[3])
{
    memory[0] = 80ull << 30;
    memory[2] = device == &devices[0] ? 3ull << 30 : 123456789;
    memory[1] = memory[0] - memory[2];
    return begun ? SUCCESS : FAILED;
}
