/* Names for functions that a kernel file includes once a type: NAME(run) is run_f32 where TYPE_NAME is f32. */
#ifndef INFER_KERNELS_REFERENCE_TYPES_H
#define INFER_KERNELS_REFERENCE_TYPES_H

#define TYPES_JOIN_(a, b) a##_##b
#define TYPES_JOIN(a, b) TYPES_JOIN_(a, b)
#define NAME(function) TYPES_JOIN(function, TYPE_NAME)

#endif
