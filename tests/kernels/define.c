#include "tests/kernels/define.h"

const struct definition *definition_of(enum kernel_family family)
{
    static const struct definition *const definitions[FAMILY_COUNT] = {
#define DEFINITION(family) [FAMILY_##family] = &define_##family,
#include "tests/kernels/define.def"
#undef DEFINITION
    };
    return definitions[family];
}
