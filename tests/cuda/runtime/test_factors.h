#ifndef INFER_TESTS_CUDA_RUNTIME_TEST_FACTORS_H
#define INFER_TESTS_CUDA_RUNTIME_TEST_FACTORS_H

#include <check.h>

TCase *factors_tests(void);

#endif
