#include "predictor/nvml.h"

#include <dlfcn.h>
#include <string.h>

/* They are in libc, but for old ones, which have them in libdl: a program that is linked without it goes without. */
#pragma weak dlopen
#pragma weak dlsym
#pragma weak dlclose

/* nvml.h: nvmlUtilization_t (percent) and nvmlMemory_t (bytes). 0 is success. */
struct rates {
    unsigned gpu, memory;
};
struct memory {
    unsigned long long total, free, used;
};

static bool find(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

static bool find_devices(struct nvml *nvml)
{
    int (*count)(unsigned *), (*device)(unsigned, void **);
    unsigned there = 0;
    if (!find(nvml->library, "nvmlDeviceGetCount_v2", &count) ||
        !find(nvml->library, "nvmlDeviceGetHandleByIndex_v2", &device) ||
        !find(nvml->library, "nvmlDeviceGetUtilizationRates", &nvml->utilization) ||
        !find(nvml->library, "nvmlDeviceGetMemoryInfo", &nvml->memory) || count(&there) != 0)
        return false;
    for (unsigned i = 0; i < there && nvml->count < INFER_MOST_GPUS; i++) {
        nvml->indices[nvml->count] = i;
        nvml->count += device(i, &nvml->devices[nvml->count]) == 0;
    }
    return nvml->count > 0;
}

struct nvml nvml_open(void)
{
    struct nvml nvml = {.library = dlopen && dlsym && dlclose ? dlopen("libnvidia-ml.so.1", RTLD_NOW) : NULL};
    int (*begin)(void);
    if (!nvml.library)
        return nvml;
    bool begun =
        find(nvml.library, "nvmlInit_v2", &begin) && find(nvml.library, "nvmlShutdown", &nvml.shutdown) && begin() == 0;
    if (begun && find_devices(&nvml))
        return nvml;
    if (begun)
        nvml.shutdown();
    dlclose(nvml.library);
    return (struct nvml){.library = NULL};
}

void nvml_close(struct nvml *nvml)
{
    if (!nvml->library)
        return;
    nvml->shutdown();
    dlclose(nvml->library);
    *nvml = (struct nvml){.library = NULL};
}

size_t nvml_read(const struct nvml *nvml, infer_gpu gpus[INFER_MOST_GPUS])
{
    size_t count = 0;
    for (unsigned i = 0; i < nvml->count; i++) {
        struct rates rates = {0, 0};
        struct memory memory = {0, 0, 0};
        if (nvml->utilization(nvml->devices[i], &rates) != 0 || nvml->memory(nvml->devices[i], &memory) != 0)
            continue;
        gpus[count++] = (infer_gpu){nvml->indices[i], rates.gpu / 100.0, (size_t)memory.used, (size_t)memory.total};
    }
    return count;
}
