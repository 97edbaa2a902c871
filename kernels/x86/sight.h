/* What a convolution's window sees at a position of the output, where nothing is spread. */
#ifndef INFER_KERNELS_X86_SIGHT_H
#define INFER_KERNELS_X86_SIGHT_H

#include "kernels/conv.h"

/* Coordinates of element `index` of three axes, in C order. */
static inline void coordinates(const int64_t *sizes, int64_t index, int64_t *at)
{
    at[2] = index % sizes[2];
    at[1] = index / sizes[2] % sizes[1];
    at[0] = index / sizes[2] / sizes[1];
}
/* Those of the next one. */
static inline void step_coordinates(const int64_t *sizes, int64_t *at)
{
    for (int axis = 2; axis >= 0; axis--) {
        if (++at[axis] < sizes[axis] || axis == 0)
            return;
        at[axis] = 0;
    }
}

struct sight {
    int64_t at[SPATIAL_AXES]; /* where the window's first place is, or would be, in the input */
    int64_t offset;           /* of that place, from the image's first element */
    bool whole;               /* no place of the window lies in the padding */
};

static inline struct sight look(const struct conv_params *p, const int64_t *position)
{
    const struct window *w = &p->window;
    struct sight sight = {.whole = true};
    for (int axis = 0; axis < SPATIAL_AXES; axis++) {
        int64_t at = position[axis] * w->stride[axis] - w->pad[axis];
        sight.at[axis] = at;
        sight.offset += at * p->x.spatial[axis];
        sight.whole = sight.whole && at >= 0 && at + (w->kernel[axis] - 1) * w->dilation[axis] < w->input[axis];
    }
    return sight;
}

/* Whether place `tap` of the window lies in the input. */
static inline bool is_inside(const struct window *w, const struct sight *sight, int64_t tap)
{
    if (sight->whole)
        return true;
    int64_t place[SPATIAL_AXES];
    coordinates(w->kernel, tap, place);
    for (int axis = 0; axis < SPATIAL_AXES; axis++) {
        int64_t at = sight->at[axis] + place[axis] * w->dilation[axis];
        if (at < 0 || at >= w->input[axis])
            return false;
    }
    return true;
}

#endif
