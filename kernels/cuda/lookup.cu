#include "kernels/lookup.h"

#include "kernels/cuda/index.h"
#include "kernels/cuda/types.h"

#define THREADS 256

struct lookup_arguments {
    struct lookup_params p;
    const void *elements, *keys, *values;
    void *y;
};

template <typename N, typename E> static __global__ void lookup_elements(lookup_arguments a)
{
    typedef typename N::T T;
    typedef typename N::V V;
    const T *keys = (const T *)a.keys;
    for (int64_t i = grid_thread(); i < a.p.count; i += grid_threads()) {
        V x = N::load(((const T *)a.elements)[i]);
        int64_t low = 0, high = a.p.keys; /* the last key that does not stand after x is before `low` in the end */
        while (low < high) {
            int64_t middle = low + (high - low) / 2;
            V key = N::load(keys[middle]);
            bool after = key != key ? x == x : key > x; /* NaN after all numbers */
            high = after ? middle : high;
            low = after ? low : middle + 1;
        }
        V key = low > 0 ? N::load(keys[low - 1]) : (V)0;
        bool found = low > 0 && (key == x || (key != key && x != x));
        ((E *)a.y)[i] = ((const E *)a.values)[found ? low - 1 : a.p.keys];
    }
}

static void lookup_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct lookup_params *p = (const struct lookup_params *)plan->params;
    lookup_arguments a = {*p, call->inputs[0], call->inputs[1], call->inputs[2], call->outputs[0]};
    (void)task;
    if (p->count == 0)
        return;
    with_numeric(p->dtype, [&](auto type) {
        with_bytes(p->value_bytes, [&](auto element) {
            cuda_launch(call, lookup_elements<decltype(type), decltype(element)>, grid_for(p->count, THREADS), THREADS,
                        0, a);
        });
    });
}

static bool lookup_supports(const void *params)
{
    return is_numeric(((const struct lookup_params *)params)->dtype);
}

extern "C" const struct kernel lookup_cuda = {
    .name = "lookup_cuda",
    .family = FAMILY_lookup,
    .requires = DEVICE_CUDA,
    .supports = lookup_supports,
    .run = lookup_run,
};
