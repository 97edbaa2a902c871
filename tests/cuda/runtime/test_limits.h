#ifndef INFER_TESTS_CUDA_RUNTIME_TEST_LIMITS_H
#define INFER_TESTS_CUDA_RUNTIME_TEST_LIMITS_H

#include <check.h>

TCase *limit_tests(void);

#endif
