/* Runs a device's kernel for the harness: buffers of the device that are exactly as long as the operands. */
#ifndef INFER_TESTS_CUDA_ON_DEVICE_H
#define INFER_TESTS_CUDA_ON_DEVICE_H

#include "tests/kernels/trial.h"

/* For trial_run_on_device. */
void run_on_device(const struct trial *trial, const struct kernel_call *call);

#endif
