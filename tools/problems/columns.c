/* Families that turn images into columns and back: col2im, deform. */
#include "kernels/col2im.h"
#include "kernels/deform.h"
#include "tools/problems/images.h"

#include <math.h>

/* --- col2im -------------------------------------------------------------------------------------------------- */

static struct window make_blocks(struct maker *maker)
{
    struct random *random = &maker->random;
    int axes = (int)random_between(random, 1, 3);
    struct window w;
    for (int i = 0; i < SPATIAL_AXES; i++) {
        bool missing = i < SPATIAL_AXES - axes;
        w.stride[i] = 1;
        w.pad_after[i] = 0;
        w.input[i] = missing ? 1 : make_size(maker, 10);
        w.kernel[i] = missing ? 1 : random_between(random, 1, 4);
        w.spread[i] = missing ? 1 : random_between(random, 1, 3);
        w.dilation[i] = missing ? 1 : -random_between(random, 1, 2);
        w.pad[i] = missing ? 0 : -random_between(random, 0, 2);
        w.output[i] = missing ? 1 : make_size(maker, 20);
    }
    return w;
}

static void make_col2im(struct maker *maker)
{
    struct col2im_params *p = make_params(maker, sizeof *p);
    enum dtype dtype = make_dtype(maker, 12, numeric_dtypes);
    p->dtype = (uint8_t)dtype;
    p->planes = make_size(maker, 12);
    p->window = make_blocks(maker);
    struct window *w = &p->window;
    make_fit_tasks(maker, 3, (int64_t *const[]){&p->planes, &w->output[1], &w->output[2]},
                   w->output[0] * (1 + window_taps(w)), 18000);
    struct operand *x = add_input(maker, "columns", dtype), *y = add_output(maker, "image", dtype);
    strided_contiguous(&x->at, 3, (int64_t[]){p->planes, window_taps(w), w->input[0] * w->input[1] * w->input[2]});
    strided_contiguous(&y->at, 4, (int64_t[]){p->planes, w->output[0], w->output[1], w->output[2]});
    make_numbers(maker, x);
    if (dtype_is_float(dtype))
        y->bound.sum = 4 + 2 * sqrt((double)window_taps(w));
    describe(maker, " %s planes=%lld", dtype_name(dtype), (long long)p->planes);
    describe_window(maker, w);
}

const struct family_problems col2im_problems = {.family = FAMILY_col2im, .make = make_col2im, .share = NUMERIC_TYPES};

/* --- deform -------------------------------------------------------------------------------------------------- */

static void make_deform(struct maker *maker)
{
    struct deform_params *p = make_params(maker, sizeof *p);
    p->dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F64));
    p->batch = random_between(&maker->random, 1, 2);
    p->groups = random_between(&maker->random, 1, 3);
    p->channels = p->groups * random_between(&maker->random, 1, 3);
    p->window = make_window(maker, false);
    struct window *w = &p->window;
    make_fit(maker, 3, (int64_t *const[]){&w->input[0], &w->input[1], &w->input[2]}, 1, 0, 300);
    window_settle(w);
    p->axes = w->input[0] > 1 || w->kernel[0] > 1 ? 3 : (int)random_between(&maker->random, 2, 3);
    const int64_t *in = w->input, *out = w->output;
    int64_t taps = window_taps(w);
    struct operand *x = add_input(maker, "x", p->dtype), *offsets = add_input(maker, "offsets", p->dtype);
    strided_contiguous(&x->at, 5, (int64_t[]){p->batch, p->channels, in[0], in[1], in[2]});
    strided_contiguous(&offsets->at, 5, (int64_t[]){p->batch, p->groups, taps, p->axes, window_positions(w)});
    if (random_once_in(&maker->random, 2)) {
        struct operand *mask = add_input(maker, "mask", p->dtype);
        strided_contiguous(&mask->at, 4, (int64_t[]){p->batch, p->groups, taps, window_positions(w)});
    } else {
        add_absent(maker, "mask", false);
    }
    struct operand *y = add_output(maker, "y", p->dtype);
    strided_contiguous(&y->at, 6, (int64_t[]){p->batch, p->channels, taps, out[0], out[1], out[2]});
    y->bound.largest = 512; /* where a tap falls is rounded */
    describe(maker, " %s batch=%lld channels=%lld groups=%lld axes=%d", dtype_name(p->dtype), (long long)p->batch,
             (long long)p->channels, (long long)p->groups, p->axes);
    describe_window(maker, w);
}

const struct family_problems deform_problems = {.family = FAMILY_deform, .make = make_deform};
