#include "kernels/x86/seen.h"

#include "kernels/x86/sight.h"

/* --- plan ---------------------------------------------------------------------------------------------------- */

static bool is_point(const struct window *w)
{
    for (int axis = 0; axis < SPATIAL_AXES; axis++)
        if (w->kernel[axis] != 1 || w->pad[axis] != 0 || (w->output[axis] - 1) * w->stride[axis] >= w->input[axis])
            return false;
    return true;
}

/* Whether what positions see, a place each, is the same way apart from one to the next. */
static bool is_even(const struct conv_params *p, int64_t *step)
{
    int64_t passed = 1;
    for (int axis = SPATIAL_AXES - 1; axis >= 0; axis--) {
        int64_t apart = p->window.stride[axis] * p->x.spatial[axis], count = p->window.output[axis];
        if (count > 1 && passed == 1)
            *step = apart;
        else if (count > 1 && apart != *step * passed)
            return false;
        passed *= count;
    }
    return true;
}

bool SET_NAME(seen_plan)(const struct conv_params *p, struct region *region, struct seen *seen)
{
    const struct window *w = &p->window;
    *seen = (struct seen){.params = p, .taps = w->kernel[0] * w->kernel[1] * w->kernel[2]};
    int64_t *offsets = region_array(region, (size_t)seen->taps, sizeof *offsets);
    seen->zeros = region_array(region, (size_t)p->input_channels, sizeof *seen->zeros);
    seen->offsets = offsets;
    seen->even = is_point(w) && is_even(p, &seen->point_step);
    for (int64_t tap = 0; offsets && tap < seen->taps; tap++) {
        int64_t place[SPATIAL_AXES];
        coordinates(w->kernel, tap, place);
        for (int axis = 0; axis < SPATIAL_AXES; axis++)
            offsets[tap] += place[axis] * w->dilation[axis] * p->x.spatial[axis];
    }
    return seen->offsets && seen->zeros;
}

/* --- run ----------------------------------------------------------------------------------------------------- */

/* So many strides reach so far; nearly all windows move by one place. */
static int64_t strides_to(int64_t far, int64_t stride)
{
    return stride == 1 ? far : divide_up(far, stride);
}

/* Of `count` positions that follow `sight` along an axis, those that see a place of the window are [*first, *end). */
static void seen_along(const struct window *w, const struct sight *sight, const int64_t *place, int axis, int64_t count,
                       int64_t *first, int64_t *end)
{
    *first = *end = 0;
    for (int i = 0; i < SPATIAL_AXES; i++) {
        int64_t at = sight->at[i] + place[i] * w->dilation[i];
        if (i != axis && (at < 0 || at >= w->input[i]))
            return;
    }
    int64_t at = sight->at[axis] + place[axis] * w->dilation[axis], stride = w->stride[axis];
    *first = at < 0 ? least(strides_to(-at, stride), count) : 0;
    *end = at < w->input[axis] ? least(strides_to(w->input[axis] - at, stride), count) : 0;
}

/* The input under each place of the window at `count` positions of a tile that lie `step` apart, where all of it is
 * seen. */
static void place_whole_line(const struct seen *seen, const float *from, int64_t step, int64_t count,
                             const float **places)
{
    for (int64_t i = 0; i < count; i++, from += step)
        for (int64_t tap = 0; tap < seen->taps; tap++)
            places[tap * TILE_ROWS + i] = from + seen->offsets[tap];
}

/* The same for positions that follow each other along an axis; zeros in the padding. */
static void place_line(const struct seen *seen, const float *image, const int64_t *position, int axis, int64_t count,
                       const float **places)
{
    const struct conv_params *p = seen->params;
    const struct window *w = &p->window;
    struct sight sight = look(p, position);
    int64_t step = w->stride[axis] * p->x.spatial[axis], place[SPATIAL_AXES] = {0}, first, end;
    const float *from = image + sight.offset;
    if (sight.whole && sees_inside(w, axis, sight.at[axis] + (count - 1) * w->stride[axis])) {
        place_whole_line(seen, from, step, count, places);
        return;
    }
    for (int64_t tap = 0; tap < seen->taps; tap++, step_coordinates(w->kernel, place), places += TILE_ROWS) {
        seen_along(w, &sight, place, axis, count, &first, &end);
        const float *at = from + seen->offsets[tap];
        int64_t i = 0;
        for (; i < first; i++)
            places[i] = seen->zeros;
        for (; i < end; i++)
            places[i] = at + i * step;
        for (; i < count; i++)
            places[i] = seen->zeros;
    }
}

static void place_unevenly(const struct seen *seen, const float *image, int64_t row, int64_t rows, const float **places)
{
    const int64_t *sizes = seen->params->window.output;
    int64_t position[SPATIAL_AXES];
    int axis = sizes[2] > 1 ? 2 : sizes[1] > 1 ? 1 : 0;
    coordinates(sizes, row, position);
    for (int64_t i = 0, count; i < rows; i += count) {
        count = least(rows - i, sizes[axis] - position[axis]);
        place_line(seen, image, position, axis, count, places + i);
        position[axis] += count - 1;
        step_coordinates(sizes, position);
    }
}

void SET_NAME(seen_rows)(const struct seen *seen, const float *image, int64_t row, int64_t rows, const float **places)
{
    if (!seen->even) {
        place_unevenly(seen, image, row, rows, places);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        places[i] = image + (row + i) * seen->point_step;
}
