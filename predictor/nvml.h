/* What NVIDIA's management library tells of GPUs. It is no part of this one: it is loaded where it is. */
#ifndef INFER_PREDICTOR_NVML_H
#define INFER_PREDICTOR_NVML_H

#include "runtime/infer_predictor.h"

/* Zeroed: there is none. */
struct nvml {
    void *library;
    unsigned count;
    void *devices[INFER_MOST_GPUS];
    unsigned indices[INFER_MOST_GPUS];
    int (*shutdown)(void);
    int (*utilization)(void *device, void *rates);
    int (*memory)(void *device, void *memory);
};

struct nvml nvml_open(void); /* zeroed where anything is missing */
void nvml_close(struct nvml *nvml);
/* Fills in what there is to say, and returns of how many. Any threads at once. */
size_t nvml_read(const struct nvml *nvml, infer_gpu gpus[INFER_MOST_GPUS]);

#endif
