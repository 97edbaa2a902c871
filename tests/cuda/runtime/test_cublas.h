#ifndef INFER_TESTS_CUDA_RUNTIME_TEST_CUBLAS_H
#define INFER_TESTS_CUDA_RUNTIME_TEST_CUBLAS_H

#include <check.h>

TCase *cublas_tests(void);

#endif
