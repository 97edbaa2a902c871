/* The floating-point environment that everything is computed in: round to nearest, subnormals kept, no traps. The one
 * that the calling thread has may differ, so public functions that compute take this one for as long as they last. */
#ifndef INFER_RUNTIME_FLOAT_ENVIRONMENT_H
#define INFER_RUNTIME_FLOAT_ENVIRONMENT_H

#if defined __SSE__

#include <xmmintrin.h>

#define FLOAT_FLAGS 0x3fu /* exceptions that have been: no part of how to compute */
#define FLOAT_DEFAULT 0x1f80u

struct float_environment {
    unsigned control;
};

static inline struct float_environment float_environment_enter(void)
{
    struct float_environment before = {_mm_getcsr()};
    if ((before.control & ~FLOAT_FLAGS) != FLOAT_DEFAULT)
        _mm_setcsr(FLOAT_DEFAULT);
    return before;
}

static inline void float_environment_leave(struct float_environment before)
{
    if ((before.control & ~FLOAT_FLAGS) != FLOAT_DEFAULT)
        _mm_setcsr(before.control);
}

#else

#include <fenv.h>

struct float_environment {
    fenv_t all;
};

static inline struct float_environment float_environment_enter(void)
{
    struct float_environment before;
    fegetenv(&before.all);
    fesetenv(FE_DFL_ENV);
    return before;
}

static inline void float_environment_leave(struct float_environment before)
{
    fesetenv(&before.all);
}

#endif

#endif
