/* A session's part of a device. Of a build with one. */
#ifndef INFER_RUNTIME_SESSION_DEVICE_H
#define INFER_RUNTIME_SESSION_DEVICE_H

#include "runtime/device/device.h"
#include "runtime/session.h"

struct session_device {
    struct device *device;
    struct budget budget;          /* of memory of the device: weights, tensors, and what contexts have there */
    atomic_size_t tensor_bytes;    /* of infer_device_allocate */
    struct weight_account account; /* of its constants */
    struct program_device program; /* for making programs */
};

/* UNSUPPORTED where no device can be used, or not as the options say. */
enum status session_open_device(struct infer_session *session, const infer_session_options *options,
                                struct error *error);
/* The device's weights of a model that is released. */
void model_free_device(struct infer_model *model);

#endif
