#include "runtime/device/device.h"
#include "runtime/model.h"

#include <string.h>

infer_status infer_device_query(infer_device device, infer_device_info *info, infer_error *error)
{
    struct error from = {0};
    if (!info)
        return missing_argument(error, "place for what the device is");
    infer_device_info found = {.name = "CPU"};
    struct device *opened;
    if (device != INFER_DEVICE_CPU && device != INFER_DEVICE_CUDA)
        error_set(&from, STATUS_INVALID_ARGUMENT, "device number %d does not exist", (int)device);
    else if (device == INFER_DEVICE_CUDA && device_open(&opened, &from) == STATUS_OK && DEVICE_BUILT) {
        strncpy(found.name, device_name(opened), sizeof found.name - 1);
        found.memory_bytes = device_bytes(opened);
        device_free_bytes(opened, &found.free_bytes, &from);
    }
    if (from.status == STATUS_OK)
        *info = found;
    return publish_error(error, &from);
}
