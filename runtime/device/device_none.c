/* A build without a device. */
#include "runtime/device/device.h"

enum status device_open(struct device **device, struct error *error)
{
    *device = NULL;
    return error_set(error, STATUS_UNSUPPORTED,
                     "this build has no CUDA backend: build it with `make CUDA=1`, where nvcc is installed");
}
