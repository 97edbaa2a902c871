/* Families that read images between their elements: grid_sample, roi. */
#include "kernels/grid_sample.h"
#include "kernels/roi.h"
#include "tools/problems/make.h"
#include "tools/problems/number.h"

#include <string.h>

/* --- grid_sample --------------------------------------------------------------------------------------------- */

/* The coordinate of a position that is far from a tie, inside the axis or a little outside. */
static double coordinate(struct maker *maker, const struct grid_sample_params *p, int64_t n)
{
    double size = (double)n;
    double x = (double)random_between(&maker->random, -3, n + 2) + random_real(&maker->random, -0.4, 0.4);
    if (p->align_corners)
        return n > 1 ? 2 * x / (size - 1) - 1 : 0;
    return (2 * x + 1) / size - 1;
}

static void give_grid(struct maker *maker, const struct grid_sample_params *p)
{
    struct operand *grid = add_input(maker, "grid", (enum dtype)p->dtype);
    strided_contiguous(&grid->at, 3, (int64_t[]){p->batch, p->points, p->rank});
    void *given = make_room(maker, operand_bytes(grid), 1);
    for (int64_t i = 0; i < p->batch * p->points * p->rank; i++)
        number_put(grid->dtype, given, i, (number)coordinate(maker, p, p->dims[p->rank - 1 - i % p->rank]));
    grid->fill = FILL_GIVEN;
    grid->given = given;
}

static void make_grid_sample(struct maker *maker)
{
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    struct grid_sample_params *p = make_params(maker, sizeof *p);
    enum dtype dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F64));
    int64_t image[2 + GRID_MAX_RANK];
    p->dtype = (uint8_t)dtype;
    p->batch = random_between(&maker->random, 1, 3);
    p->channels = make_size(maker, 12);
    p->points = make_size(maker, 200);
    make_fit_tasks(maker, 1, (int64_t *const[]){&p->points}, p->batch * (1 + p->channels), 4600);
    p->rank = (int)random_between(&maker->random, 1, GRID_MAX_RANK);
    p->mode = (uint8_t)random_below(&maker->random, 3);
    p->padding = (uint8_t)random_below(&maker->random, 3);
    p->align_corners = random_once_in(&maker->random, 2);
    image[0] = p->batch;
    image[1] = p->channels;
    for (int i = 0; i < p->rank; i++)
        image[2 + i] = p->dims[i] = make_size(maker, 12);
    strided_contiguous(&add_input(maker, "image", dtype)->at, 2 + p->rank, image);
    give_grid(maker, p);
    struct operand *y = add_output(maker, "y", dtype);
    strided_contiguous(&y->at, 3, (int64_t[]){p->batch, p->channels, p->points});
    y->bound.largest = p->mode == GRID_NEAREST ? 0 : 512; /* a position is rounded */
    describe(maker, " %s %s %s align_corners=%d batch=%lld channels=%lld points=%lld", dtype_name(dtype),
             modes[p->mode], paddings[p->padding], p->align_corners, (long long)p->batch, (long long)p->channels,
             (long long)p->points);
    describe_numbers(maker, "dims", p->rank, p->dims);
}

const struct family_problems grid_sample_problems = {.family = FAMILY_grid_sample, .make = make_grid_sample};

/* --- roi ----------------------------------------------------------------------------------------------------- */

/* The first and the last corner of a region along an axis, in quarters of an element. */
static void choose_region(struct maker *maker, const struct roi_params *p, int64_t size, int64_t *corners)
{
    struct random *random = &maker->random;
    corners[0] = random_between(random, -4, 4 * size);
    corners[1] = corners[0] + random_between(random, p->half_pixel ? 1 : -2, 4 * size);
    if (p->kind == ROI_MAX || !random_once_in(random, 3))
        return;
    /* Its middle, where a sample may lie, at an edge, past which samples are 0. */
    int64_t reach = random_between(random, 2, 2 * size + 2), edge = random_once_in(random, 2) ? size : -1;
    corners[0] = 4 * edge + (p->half_pixel ? 2 : 0) - reach;
    corners[1] = corners[0] + 2 * reach;
}

/* Corners at quarters of an element are exact. */
static void give_regions(struct maker *maker, const struct roi_params *p, bool outside)
{
    struct operand *regions = add_input(maker, "regions", p->dtype);
    strided_contiguous(&regions->at, 2, (int64_t[]){p->regions, p->columns});
    void *given = make_room(maker, operand_bytes(regions), 1);
    for (int64_t i = 0; i < p->regions; i++) {
        const int64_t sizes[] = {p->width, p->height};
        int64_t batch = random_below(&maker->random, p->batch);
        if (p->columns == 5)
            number_put(p->dtype, given, 5 * i, (number)(outside && i == 0 ? p->batch : batch));
        for (int k = 0; k < 2; k++) {
            int64_t corners[2], at = i * p->columns + p->columns - 4 + k;
            choose_region(maker, p, sizes[k], corners);
            for (int j = 0; j < 2; j++)
                number_put(p->dtype, given, at + 2 * j, (number)corners[j] / (4 * (number)p->scale));
        }
    }
    regions->fill = FILL_GIVEN;
    regions->given = given;
}

static void add_batches(struct maker *maker, const struct roi_params *p, bool outside)
{
    struct operand *batches = add_input(maker, "batches", DTYPE_I64);
    int64_t *given = make_room(maker, (size_t)p->regions, sizeof *given);
    for (int64_t i = 0; i < p->regions; i++)
        given[i] = random_below(&maker->random, p->batch);
    if (outside)
        given[random_below(&maker->random, p->regions)] = random_once_in(&maker->random, 2) ? -1 : p->batch;
    strided_contiguous(&batches->at, 1, &p->regions);
    batches->fill = FILL_GIVEN;
    batches->given = given;
}

static void make_roi(struct maker *maker)
{
    static const char *const kinds[] = {"average", "max", "whole_max"};
    struct roi_params *p = make_params(maker, sizeof *p);
    bool outside = random_once_in(&maker->random, 12);
    p->dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F64));
    p->kind = (enum roi_kind)random_below(&maker->random, 3);
    p->batch = random_between(&maker->random, 1, 3);
    p->channels = make_size(maker, 12);
    p->height = make_size(maker, 20);
    p->width = make_size(maker, 20);
    p->regions = make_size(maker, 20);
    p->pooled_height = random_between(&maker->random, 1, 7);
    p->pooled_width = random_between(&maker->random, 1, 7);
    make_fit_tasks(maker, 2, (int64_t *const[]){&p->regions, &p->channels}, 1 + p->pooled_height * p->pooled_width,
                   4600);
    p->columns = p->kind == ROI_MAX ? 5 : 4;
    p->scale = random_once_in(&maker->random, 2) ? 0.5 : 1;
    p->half_pixel = p->kind != ROI_MAX && random_once_in(&maker->random, 2);
    p->samples = random_below(&maker->random, 4);
    struct operand *x = add_input(maker, "x", p->dtype);
    strided_contiguous(&x->at, 4, (int64_t[]){p->batch, p->channels, p->height, p->width});
    give_regions(maker, p, outside);
    if (p->kind == ROI_MAX)
        add_absent(maker, "batches", false);
    else
        add_batches(maker, p, outside);
    struct operand *y = add_output(maker, "y", p->dtype);
    strided_contiguous(&y->at, 4, (int64_t[]){p->regions, p->channels, p->pooled_height, p->pooled_width});
    y->bound.largest = p->kind == ROI_MAX ? 0 : 512;
    describe(maker, " %s %s batch=%lld channels=%lld size=%lld,%lld regions=%lld pooled=%lld,%lld", kinds[p->kind],
             dtype_name(p->dtype), (long long)p->batch, (long long)p->channels, (long long)p->height,
             (long long)p->width, (long long)p->regions, (long long)p->pooled_height, (long long)p->pooled_width);
    describe(maker, " scale=%g half_pixel=%d samples=%lld outside=%d", p->scale, p->half_pixel, (long long)p->samples,
             outside);
}

const struct family_problems roi_problems = {.family = FAMILY_roi, .make = make_roi};
