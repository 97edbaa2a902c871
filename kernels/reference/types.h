/* Names for functions that a kernel file includes once a type: NAME(run) is run_f32 where TYPE_NAME is f32. */
#ifndef INFER_KERNELS_REFERENCE_TYPES_H
#define INFER_KERNELS_REFERENCE_TYPES_H

#define TYPES_JOIN_(a, b) a##_##b
#define TYPES_JOIN(a, b) TYPES_JOIN_(a, b)
#define NAME(function) TYPES_JOIN(function, TYPE_NAME)

/* The kernel of a family for one element type, the `dtype` of its parameters; the rest of the struct follows. */
#define REFERENCE_KERNEL(family_name, type, type_dtype, ...)                         \
    static bool family_name##_supports_##type(const void *params)                    \
    {                                                                                \
        return ((const struct family_name##_params *)params)->dtype == (type_dtype); \
    }                                                                                \
    const struct kernel family_name##_##type##_reference = {                         \
        .name = #family_name "_" #type "_reference",                                 \
        .family = FAMILY_##family_name,                                              \
        .supports = family_name##_supports_##type,                                   \
        __VA_ARGS__,                                                                 \
    };

#endif
