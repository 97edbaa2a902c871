#include "kernels/epilogue.h"

bool epilogue_fit(const struct epilogue *epilogue, struct pointwise_params *program)
{
    pointwise_merge_axes(program);
    return pointwise_split_axes(program, EPILOGUE_AXES, epilogue->dims);
}

void epilogue_axes(const struct epilogue *epilogue, int *first)
{
    const struct pointwise_params *program = epilogue->program;
    first[EPILOGUE_AXES] = program->rank;
    for (int i = EPILOGUE_AXES - 1; i >= 0; i--) {
        int axis = first[i + 1];
        for (int64_t extent = 1; extent < epilogue->dims[i]; extent *= program->dims[axis])
            axis--;
        first[i] = axis;
    }
}
