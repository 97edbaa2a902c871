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
    bool lines_whole;         /* no place of the window lies in the padding along the first two axes */
    bool whole;               /* nor along the last */
};

static inline bool sees_inside(const struct window *w, int axis, int64_t at)
{
    return at >= 0 && at + (w->kernel[axis] - 1) * w->dilation[axis] < w->input[axis];
}

/* Not by value: a copy would be read while it is still being written, which the CPU waits for. */
static inline void look_at(const struct conv_params *p, const int64_t *position, struct sight *sight)
{
    const struct window *w = &p->window;
    bool whole = true;
    sight->offset = 0;
    for (int axis = 0; axis < SPATIAL_AXES; axis++) {
        int64_t at = position[axis] * w->stride[axis] - w->pad[axis];
        sight->at[axis] = at;
        sight->offset += at * p->x.spatial[axis];
        sight->lines_whole = whole;
        whole = whole && sees_inside(w, axis, at);
    }
    sight->whole = whole;
}

/* The same at the position behind the one that was looked at. */
static inline void look_on(const struct conv_params *p, const int64_t *position, struct sight *sight)
{
    const struct window *w = &p->window;
    if (position[2] == 0) {
        look_at(p, position, sight);
        return;
    }
    sight->at[2] += w->stride[2];
    sight->offset += w->stride[2] * p->x.spatial[2];
    sight->whole = sight->lines_whole && sees_inside(w, 2, sight->at[2]);
}

static inline struct sight look(const struct conv_params *p, const int64_t *position)
{
    struct sight sight;
    look_at(p, position, &sight);
    return sight;
}

/* Whether a place of the window, by its coordinates there, lies in the input. */
static inline bool is_inside(const struct window *w, const struct sight *sight, const int64_t *place)
{
    for (int axis = 0; axis < SPATIAL_AXES; axis++) {
        int64_t at = sight->at[axis] + place[axis] * w->dilation[axis];
        if (at < 0 || at >= w->input[axis])
            return false;
    }
    return true;
}

#endif
