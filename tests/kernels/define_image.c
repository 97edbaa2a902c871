/* col2im, deform, grid_sample, roi: images read and written at odd places. */
#include "tests/kernels/define.h"

#include "kernels/col2im.h"
#include "kernels/deform.h"
#include "kernels/grid_sample.h"
#include "kernels/roi.h"

#include <math.h>

/* --- col2im -------------------------------------------------------------------------------------------------- */

/* Adds what each tap of each block brings to the pixel that it falls on. */
static void col2im_whole(const struct problem *problem, const struct operands *operands, number *const *values,
                         int64_t (*dims)[MAX_RANK])
{
    (void)dims;
    const struct col2im_params *p = problem->params;
    const struct window *w = &p->window;
    enum dtype dtype = (enum dtype)p->dtype;
    const struct strided columns = {
        .rank = 7,
        .dims = {p->planes, w->kernel[0], w->kernel[1], w->kernel[2], w->input[0], w->input[1], w->input[2]}};
    int64_t count = strided_count(&columns), pixels = strided_count(&problem->outputs[0].at);
    for (int64_t i = 0; i < pixels; i++)
        values[0][i] = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t at[STRIDED_AXES], pixel[SPATIAL_AXES];
        bool inside = true;
        strided_indices(&columns, i, at);
        for (int k = 0; k < SPATIAL_AXES; k++) {
            pixel[k] = at[4 + k] * w->spread[k] + w->pad[k] - at[1 + k] * w->dilation[k];
            inside = inside && pixel[k] >= 0 && pixel[k] < w->output[k];
        }
        if (!inside)
            continue;
        number *sum =
            &values[0][((at[0] * w->output[0] + pixel[0]) * w->output[1] + pixel[1]) * w->output[2] + pixel[2]];
        number x = input_at(problem, operands, 0, i);
        *sum = dtype_is_float(dtype) ? *sum + x : wrapped(dtype, number_to_bits(*sum) + number_to_bits(x));
    }
}

const struct definition define_col2im = {.whole = col2im_whole};

/* --- deform -------------------------------------------------------------------------------------------------- */

/* An image of up to three axes at a point: the tents of the elements around it. */
static number between(const struct problem *problem, const struct operands *operands, int64_t image,
                      const int64_t *dims, const number *point)
{
    number sum = 0;
    int64_t at[SPATIAL_AXES];
    for (at[0] = 0; at[0] < dims[0]; at[0]++)
        for (at[1] = 0; at[1] < dims[1]; at[1]++)
            for (at[2] = 0; at[2] < dims[2]; at[2]++) {
                number weight = 1;
                for (int k = 0; k < SPATIAL_AXES; k++)
                    weight *= fmaxl(0, 1 - fabsl(point[k] - (number)at[k]));
                if (weight > 0)
                    sum += weight * input_at(problem, operands, 0, image + (at[0] * dims[1] + at[1]) * dims[2] + at[2]);
            }
    return sum;
}

/* Axes of y: batch, channel, tap, position. */
static number deform_element(const struct problem *problem, const struct operands *operands, int output,
                             const int64_t *at)
{
    const struct deform_params *p = problem->params;
    const struct window *w = &p->window;
    int64_t taps = w->kernel[0] * w->kernel[1] * w->kernel[2], positions = w->output[0] * w->output[1] * w->output[2];
    int64_t position = (at[3] * w->output[1] + at[4]) * w->output[2] + at[5];
    int64_t moved = (at[0] * p->groups + at[1] / (p->channels / p->groups)) * taps + at[2];
    const int64_t tap[] = {at[2] / w->kernel[2] / w->kernel[1], at[2] / w->kernel[2] % w->kernel[1],
                           at[2] % w->kernel[2]};
    number point[SPATIAL_AXES];
    (void)output;
    for (int i = 0; i < SPATIAL_AXES; i++) {
        int axis = i - (SPATIAL_AXES - p->axes);
        point[i] = (number)(at[3 + i] * w->stride[i] + tap[i] * w->dilation[i] - w->pad[i]);
        if (axis >= 0)
            point[i] += input_at(problem, operands, 1, (moved * p->axes + axis) * positions + position);
    }
    int64_t image = (at[0] * p->channels + at[1]) * w->input[0] * w->input[1] * w->input[2];
    number value = between(problem, operands, image, w->input, point);
    return problem->inputs[2].absent ? value : value * input_at(problem, operands, 2, moved * positions + position);
}

static double deform_cost(const struct problem *problem)
{
    const struct deform_params *p = problem->params;
    return (double)(p->window.input[0] * p->window.input[1] * p->window.input[2]);
}

const struct definition define_deform = {.element = deform_element, .cost = deform_cost};

/* --- grid_sample --------------------------------------------------------------------------------------------- */

/* Walks back and forth between the edges. */
static number mirrored(number x, number low, number high)
{
    if (high <= low)
        return low;
    while (x < low || x > high)
        x = x < low ? 2 * low - x : 2 * high - x;
    return x;
}

static number grid_position(const struct grid_sample_params *p, number coordinate, int64_t n)
{
    number size = (number)n,
           x = p->align_corners ? (coordinate + 1) * (size - 1) / 2 : ((coordinate + 1) * size - 1) / 2;
    if (p->mode == GRID_NEAREST)
        x = rintl(x);
    if (p->padding == GRID_BORDER && p->mode != GRID_CUBIC)
        x = fminl(fmaxl(x, 0), size - 1);
    if (p->padding == GRID_REFLECTION)
        x = mirrored(x, p->align_corners ? 0 : -0.5L, p->align_corners ? size - 1 : size - 0.5L);
    return x;
}

static number cubic(number d)
{
    const number a = -0.75L;
    d = fabsl(d);
    if (d <= 1)
        return (a + 2) * d * d * d - (a + 3) * d * d + 1;
    return d < 2 ? a * (d * d * d - 5 * d * d + 8 * d - 4) : 0;
}

static number grid_weight(const struct grid_sample_params *p, number distance)
{
    if (p->mode == GRID_NEAREST)
        return fabsl(distance) < 0.5L;
    return p->mode == GRID_LINEAR ? fmaxl(0, 1 - fabsl(distance)) : cubic(distance);
}

/* The element that stands at a whole position, which may be outside; -1: a zero does. */
static int64_t grid_element(const struct grid_sample_params *p, number position, int64_t n)
{
    number last = (number)(n - 1);
    if (position >= 0 && position <= last)
        return (int64_t)position;
    if (p->padding == GRID_ZEROS)
        return -1;
    if (p->padding == GRID_REFLECTION)
        position = truncl(mirrored(position, p->align_corners ? 0 : -0.5L, p->align_corners ? last : last + 0.5L));
    return (int64_t)fminl(fmaxl(position, 0), last);
}

static number grid_along(const struct problem *problem, const struct operands *operands, const number *point, int axis,
                         int64_t offset)
{
    const struct grid_sample_params *p = problem->params;
    if (axis == p->rank)
        return input_at(problem, operands, 0, offset);
    number sum = 0, first = floorl(point[axis]) - 1;
    for (int i = 0; i < 4; i++) {
        number weight = grid_weight(p, point[axis] - (first + i));
        int64_t element = grid_element(p, first + i, p->dims[axis]);
        if (weight != 0 && element >= 0)
            sum += weight * grid_along(problem, operands, point, axis + 1, offset * p->dims[axis] + element);
    }
    return sum;
}

static number grid_sample_element(const struct problem *problem, const struct operands *operands, int output,
                                  const int64_t *at)
{
    const struct grid_sample_params *p = problem->params;
    number point[GRID_MAX_RANK];
    (void)output;
    for (int axis = 0; axis < p->rank; axis++)
        point[axis] =
            grid_position(p, input_at(problem, operands, 1, (at[0] * p->points + at[2]) * p->rank + p->rank - 1 - axis),
                          p->dims[axis]);
    return grid_along(problem, operands, point, 0, at[0] * p->channels + at[1]);
}

const struct definition define_grid_sample = {.element = grid_sample_element};

/* --- roi ----------------------------------------------------------------------------------------------------- */

struct bin {
    const struct problem *problem;
    const struct operands *operands;
    int64_t image;            /* its offset */
    number begin[2], size[2]; /* of the region */
};

static struct bin region_of(const struct problem *problem, const struct operands *operands, const int64_t *at)
{
    const struct roi_params *p = problem->params;
    int64_t row = at[0] * p->columns, corner = row + p->columns - 4;
    number batch =
        problem->inputs[2].absent ? input_at(problem, operands, 1, row) : input_at(problem, operands, 2, at[0]);
    struct bin bin = {problem, operands, ((int64_t)batch * p->channels + at[1]) * p->height * p->width, {0}, {0}};
    for (int i = 0; i < 2; i++) {
        number begin = input_at(problem, operands, 1, corner + 1 - i) * (number)p->scale;
        number end = input_at(problem, operands, 1, corner + 3 - i) * (number)p->scale;
        bin.begin[i] = p->half_pixel ? begin - 0.5L : begin;
        bin.size[i] = end - begin;
        if (p->kind == ROI_MAX) {
            bin.begin[i] = roundl(begin);
            bin.size[i] = fmaxl(roundl(end) - bin.begin[i] + 1, 1);
        } else if (!p->half_pixel) {
            bin.size[i] = fmaxl(bin.size[i], 1);
        }
    }
    return bin;
}

/* A sample's four neighbours, each times its weight. Beyond the edges the edge counts, one element far. */
static void weigh_neighbours(const struct bin *bin, const number *point, number *values)
{
    const struct roi_params *p = bin->problem->params;
    const int64_t sizes[] = {p->height, p->width};
    int64_t low[2], high[2];
    number part[2];
    for (int i = 0; i < 2; i++) {
        if (point[i] < -1 || point[i] > (number)sizes[i]) {
            for (int k = 0; k < 4; k++)
                values[k] = 0;
            return;
        }
        number inside = fminl(fmaxl(point[i], 0), (number)(sizes[i] - 1));
        low[i] = (int64_t)floorl(inside);
        high[i] = low[i] + 1 < sizes[i] ? low[i] + 1 : low[i];
        part[i] = inside - (number)low[i];
    }
    for (int k = 0; k < 4; k++) {
        number weight = (k & 2 ? part[0] : 1 - part[0]) * (k & 1 ? part[1] : 1 - part[1]);
        int64_t row = k & 2 ? high[0] : low[0], column = k & 1 ? high[1] : low[1];
        values[k] = weight * input_at(bin->problem, bin->operands, 0, bin->image + row * p->width + column);
    }
}

static number align_bin(const struct bin *bin, const int64_t *at)
{
    const struct roi_params *p = bin->problem->params;
    const int64_t pooled[] = {p->pooled_height, p->pooled_width};
    number sum = 0, most = -(number)INFINITY;
    int64_t samples[2];
    for (int i = 0; i < 2; i++)
        samples[i] = p->samples > 0 ? p->samples : (int64_t)fmaxl(ceill(bin->size[i] / (number)pooled[i]), 0);
    for (int64_t k = 0; k < samples[0] * samples[1]; k++) {
        const int64_t number_of[] = {k / samples[1], k % samples[1]};
        number point[2], values[4];
        for (int i = 0; i < 2; i++) /* exact where it is a place at an edge */
            point[i] = bin->begin[i] + bin->size[i] * (number)(2 * (at[2 + i] * samples[i] + number_of[i]) + 1) /
                                           (number)(2 * pooled[i] * samples[i]);
        weigh_neighbours(bin, point, values);
        for (int i = 0; i < 4; i++) {
            sum += values[i];
            most = fmaxl(most, values[i]);
        }
    }
    if (samples[0] * samples[1] == 0)
        return 0;
    return p->kind == ROI_ALIGN_MAX ? most : sum / (number)(samples[0] * samples[1]);
}

static number whole_bin(const struct bin *bin, const int64_t *at)
{
    const struct roi_params *p = bin->problem->params;
    number height = bin->size[0], width = bin->size[1], rows = (number)p->pooled_height, most = 0;
    number columns = (number)p->pooled_width;
    bool any = false;
    for (int64_t row = 0; row < p->height; row++)
        for (int64_t column = 0; column < p->width; column++) {
            number y = (number)row - bin->begin[0], x = (number)column - bin->begin[1];
            bool inside =
                y >= floorl((number)at[2] * height / rows) && y < ceill((number)(at[2] + 1) * height / rows) &&
                x >= floorl((number)at[3] * width / columns) && x < ceill((number)(at[3] + 1) * width / columns);
            number value = input_at(bin->problem, bin->operands, 0, bin->image + row * p->width + column);
            if (inside && (!any || value > most))
                most = value;
            any = any || inside;
        }
    return most;
}

static number roi_element(const struct problem *problem, const struct operands *operands, int output, const int64_t *at)
{
    const struct roi_params *p = problem->params;
    struct bin bin = region_of(problem, operands, at);
    (void)output;
    return p->kind == ROI_MAX ? whole_bin(&bin, at) : align_bin(&bin, at);
}

static double roi_cost(const struct problem *problem)
{
    const struct roi_params *p = problem->params;
    return (double)(p->height * p->width);
}

const struct definition define_roi = {.element = roi_element, .cost = roi_cost};
