#ifndef INFER_TESTS_CUDA_RUNTIME_TEST_TENSORS_H
#define INFER_TESTS_CUDA_RUNTIME_TEST_TENSORS_H

#include "runtime/infer.h"

#include <check.h>

TCase *tensor_tests(void);

/* The same tensor in memory of the session's device, which is the caller's to free. */
infer_tensor tensor_there(infer_session *session, const infer_tensor *tensor, void **memory);

#endif
