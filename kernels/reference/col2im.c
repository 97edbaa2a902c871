#include "kernels/col2im.h"

#include "kernels/reference/numeric_types.h"

static int64_t product(const int64_t *sizes)
{
    return sizes[0] * sizes[1] * sizes[2];
}

/* The block, as a number, whose tap falls on the pixel; -1 where there is none. */
static int64_t block_of(const struct window *w, int64_t pixel, int64_t tap)
{
    int64_t number = 0, step = 1;
    for (int axis = SPATIAL_AXES - 1; axis >= 0; axis--) {
        int64_t block = window_source(w, axis, pixel % w->output[axis], tap % w->kernel[axis]);
        if (block < 0)
            return -1;
        number += block * step;
        step *= w->input[axis];
        pixel /= w->output[axis];
        tap /= w->kernel[axis];
    }
    return number;
}

static int col2im_tasks(const void *params)
{
    const struct col2im_params *p = params;
    return task_count(p->planes * product(p->window.output), 1 + 16384 / (1 + product(p->window.kernel)));
}

#define BODY "kernels/reference/col2im.inc"
#include "kernels/reference/numeric_types.inc"

NUMERIC_SUPPORTS(col2im)
NUMERIC_RUN(col2im)

const struct kernel col2im_reference = {
    .name = "col2im_reference",
    .family = FAMILY_col2im,
    .supports = numeric_supports,
    .tasks = col2im_tasks,
    .run = numeric_run,
};
