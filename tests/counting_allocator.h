/* An allocator that counts what it gives, and may fail from a given call on. For any number of threads. */
#ifndef INFER_TESTS_COUNTING_ALLOCATOR_H
#define INFER_TESTS_COUNTING_ALLOCATOR_H

#include "kernels/base.h"
#include "runtime/infer.h"

#include <check.h>
#include <stdatomic.h>

struct counting {
    atomic_long calls;
    atomic_long bytes; /* given and not released; 0 at the end only where each was released with its own size */
    atomic_long peak;  /* the most of them at once */
    long fail_at;      /* the call, from 0 on; -1: never */
};

static inline void *counting_allocate(void *user, size_t bytes, size_t alignment)
{
    struct counting *counting = user;
    long call = atomic_fetch_add(&counting->calls, 1);
    if (counting->fail_at >= 0 && call >= counting->fail_at)
        return NULL;
    long held = atomic_fetch_add(&counting->bytes, (long)bytes) + (long)bytes;
    for (long peak = atomic_load(&counting->peak); held > peak;)
        if (atomic_compare_exchange_weak(&counting->peak, &peak, held))
            break;
    return default_allocator.allocate(NULL, bytes, alignment);
}

static inline void counting_release(void *user, void *memory, size_t bytes)
{
    struct counting *counting = user;
    ck_assert_ptr_nonnull(memory);
    atomic_fetch_sub(&counting->bytes, (long)bytes);
    default_allocator.release(NULL, memory, bytes);
}

static inline infer_allocator counting_allocator(struct counting *counting)
{
    return (infer_allocator){counting_allocate, counting_release, counting};
}

#endif
