/* What a position of the output sees when it pools. */
#ifndef INFER_KERNELS_REFERENCE_POOL_VIEW_H
#define INFER_KERNELS_REFERENCE_POOL_VIEW_H

#include "kernels/pool.h"
#include "kernels/walk.h"

/* The taps of a window that fall inside the input, and where its first tap would lie. */
struct view {
    int64_t first[SPATIAL_AXES], last[SPATIAL_AXES];
    int64_t start[SPATIAL_AXES], dilation[SPATIAL_AXES];
    int64_t counted; /* elements that a mean is taken of */
};

static inline ANYWHERE struct view view_at(const struct pool_params *p, int64_t plane, int64_t line, int64_t column)
{
    const struct window *w = &p->window;
    int64_t position[SPATIAL_AXES] = {plane, line, column};
    struct view view;
    view.counted = 1;
    for (int i = 0; i < SPATIAL_AXES; i++) {
        int64_t start = position[i] * w->stride[i] - w->pad[i];
        int64_t end = w->input[i] + w->pad_after[i];
        int64_t first = least(w->kernel[i], divide_up(-start, w->dilation[i]));
        int64_t last = least(w->kernel[i], divide_up(w->input[i] - start, w->dilation[i]));
        int64_t padded = least(w->kernel[i], divide_up(end - start, w->dilation[i]));
        view.first[i] = first;
        view.last[i] = last > first ? last : first;
        view.start[i] = start;
        view.dilation[i] = w->dilation[i];
        view.counted *= p->count_padding ? padded : view.last[i] - first;
    }
    return view;
}

static inline ANYWHERE int64_t tap_offset(const struct view *view, const int64_t *tap, const int64_t *strides)
{
    int64_t offset = 0;
    for (int i = 0; i < SPATIAL_AXES; i++)
        offset += (view->start[i] + tap[i] * view->dilation[i]) * strides[i];
    return offset;
}

#endif
