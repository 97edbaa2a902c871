/* Moving a few bytes at a time. */
#ifndef INFER_KERNELS_X86_MOVE_H
#define INFER_KERNELS_X86_MOVE_H

#include "kernels/x86/vector.h"

#include <string.h>

INLINE void move_vector(char *to, const char *from)
{
    vf_store((float *)(void *)to, vf_load((const float *)(const void *)from));
}

/* n bytes; a size known to the compiler becomes a load and a store. */
INLINE void move_bytes(char *to, const char *from, int64_t n)
{
    if (n > 1024) {
        memcpy(to, from, (size_t)n);
        return;
    }
#define ENDS(bytes)                                          \
    if (n >= (bytes)) {                                      \
        memcpy(to, from, bytes);                             \
        memcpy(to + n - (bytes), from + n - (bytes), bytes); \
        return;                                              \
    }
    const int64_t vector = LANES * sizeof(float);
    if (n >= vector) {
        for (int64_t i = 0; i + vector <= n; i += vector)
            move_vector(to + i, from + i);
        move_vector(to + n - vector, from + n - vector);
        return;
    }
    ENDS(32)
    ENDS(16)
    ENDS(8)
    ENDS(4)
#undef ENDS
    for (int64_t i = 0; i < n; i++)
        to[i] = from[i];
}

INLINE void move_strided(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t n, const int64_t bytes)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(to + i * to_step, from + i * from_step, (size_t)bytes);
}

/* move(..., size) with a size known to the compiler, which is `bytes`: 1, 2, 4, 8 or 16. */
#define MOVE_BY_SIZE(bytes, move, ...) \
    switch (bytes) {                   \
    case 1:                            \
        move(__VA_ARGS__, 1);          \
        break;                         \
    case 2:                            \
        move(__VA_ARGS__, 2);          \
        break;                         \
    case 4:                            \
        move(__VA_ARGS__, 4);          \
        break;                         \
    case 8:                            \
        move(__VA_ARGS__, 8);          \
        break;                         \
    default:                           \
        move(__VA_ARGS__, 16);         \
    }

#endif
