/* For programs without the kernels for CUDA: what the runtime asks of them beside the list. */
#include "kernels/cublas.h"

#include <stdio.h>

bool cublas_open(char *why, size_t room)
{
    snprintf(why, room, "cuBLAS is not in this program");
    return false;
}
