/* Folding many elements into one. Where these lie next to each other, element i of a run goes to partial result i % 16;
 * where results lie next to each other, each lane folds its own, one element after the other. */
#ifndef INFER_KERNELS_X86_FOLD_H
#define INFER_KERNELS_X86_FOLD_H

#include "kernels/walk.h"
#include "kernels/x86/vector_math.h"

#define STRIPES 4 /* vectors of results at a time, where lanes lie along these */

static const int32_t lane_numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* count elements, 0 to LANES, `step` apart. */
static inline vf load_lanes(const float *from, int64_t step, int64_t count)
{
    float lanes[LANES] = {0};
    if (step == 1)
        return count == LANES ? vf_load(from) : vf_load_part(from, count);
    if (step == 0)
        return vf_set(*from);
    if (count == LANES && step == 2)
        return vf_load_every_second(from);
    if (count == LANES && step > 0 && step < INT32_MAX / LANES)
        return vf_gather(from, vi_mul(vi_set((int32_t)step), vi_load(lane_numbers)));
    for (int64_t i = 0; i < count; i++)
        lanes[i] = from[i * step];
    return vf_load(lanes);
}
static inline void store_lanes(float *to, vf x, int64_t step, int64_t count)
{
    float lanes[LANES];
    if (step == 1) {
        vf_store_part(to, x, count);
        return;
    }
    vf_store(lanes, x);
    for (int64_t i = 0; i < count; i++)
        to[i * step] = lanes[i];
}

struct fold {
    void (*along)(struct wide *partial, const float *from, int64_t n, int64_t step, float shift);
    void (*across)(vf *sums, const float *from, int64_t n, int64_t step, int64_t rows, int64_t down, const vf *shifts);
    float (*join)(struct wide partial); /* NULL: it adds, and begins with 0 */
    float start;
};
extern const struct fold SET_NAME(fold_sum);
/* What is folded: elements along at least one axis. */
struct folded {
    int rank;
    const int64_t *dims, *strides;
};
/* Sums of many terms are sums of sums, so that the error does not grow with their number. */
float SET_NAME(fold_along)(const struct fold *fold, const struct folded *folded, const float *from, float shift);
/* n results, at most STRIPES * LANES, whose elements are `step` apart. `shifts` may be the results. */
void SET_NAME(fold_across)(const struct fold *fold, const struct folded *folded, const float *from, int64_t n,
                           int64_t step, const vf *shifts, vf *results);

/* Means of n rows of bytes, at most STRIPES * LANES, whose elements are `step` apart; is_signed: of them. `means` has
 * room for STRIPES * LANES. */
void SET_NAME(mean_bytes)(const struct folded *folded, const uint8_t *from, bool is_signed, int64_t n, int64_t step,
                          float *means);

/* One run of elements `step` apart into 16 partial results; and n outputs, at most STRIPES * LANES of them, `step`
 * apart, for each element of a run `down` apart. */
#define FOLD(name, expression)                                                                                  \
    static void name##_along(struct wide *partial, const float *from, int64_t n, int64_t step, float shift_by)  \
    {                                                                                                           \
        struct wide sums = *partial;                                                                            \
        const vf shift = vf_set(shift_by);                                                                      \
        (void)shift;                                                                                            \
        int64_t i = 0;                                                                                          \
        for (; step == 1 && i + WIDE <= n; i += WIDE)                                                           \
            FOR_PARTS(k)                                                                                        \
            {                                                                                                   \
                const vf s = sums.part[k], x = vf_load(from + i + k * LANES);                                   \
                sums.part[k] = (expression);                                                                    \
            }                                                                                                   \
        for (; i < n; i += WIDE)                                                                                \
            FOR_PARTS(k)                                                                                        \
            {                                                                                                   \
                int64_t left = n - i - k * LANES, count = left < LANES ? left : LANES;                          \
                if (left <= 0)                                                                                  \
                    break;                                                                                      \
                const vf s = sums.part[k], x = load_lanes(from + (i + k * LANES) * step, step, count);          \
                sums.part[k] = vf_select(vm_first(count), (expression), s);                                     \
            }                                                                                                   \
        *partial = sums;                                                                                        \
    }                                                                                                           \
    static void name##_across(vf *sums, const float *from, int64_t n, int64_t step, int64_t rows, int64_t down, \
                              const vf *shifts)                                                                 \
    {                                                                                                           \
        const int64_t whole = step == 1 ? n / LANES : 0;                                                        \
        vf stripes[STRIPES];                                                                                    \
        _Pragma("GCC unroll 4") for (int k = 0; k < STRIPES; k++) stripes[k] = sums[k];                         \
        for (int64_t i = 0; whole > 0 && i < rows; i++) {                                                       \
            _Pragma("GCC unroll 4") for (int k = 0; k < STRIPES; k++)                                           \
            {                                                                                                   \
                if (k >= whole)                                                                                 \
                    break;                                                                                      \
                const vf s = stripes[k], x = vf_load(from + i * down + k * LANES), shift = shifts[k];           \
                (void)shift;                                                                                    \
                stripes[k] = (expression);                                                                      \
            }                                                                                                   \
        }                                                                                                       \
        _Pragma("GCC unroll 4") for (int k = 0; k < STRIPES; k++) sums[k] = stripes[k];                         \
        for (int64_t k = whole; k * LANES < n; k++) {                                                           \
            const int64_t count = least(n - k * LANES, LANES);                                                  \
            const vf shift = shifts[k];                                                                         \
            vf s = sums[k];                                                                                     \
            (void)shift;                                                                                        \
            for (int64_t i = 0; i < rows; i++) {                                                                \
                const vf x = load_lanes(from + i * down + k * LANES * step, step, count);                       \
                s = (expression);                                                                               \
            }                                                                                                   \
            sums[k] = s;                                                                                        \
        }                                                                                                       \
    }

#endif
