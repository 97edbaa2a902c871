#include "tests/kernels/define.h"

const struct definition *definition_of(enum kernel_family family)
{
    static const struct definition *const definitions[FAMILY_COUNT] = {
        [FAMILY_conv] = &define_conv,
        [FAMILY_copy] = &define_copy,
        [FAMILY_matmul] = &define_matmul,
    };
    return definitions[family];
}
