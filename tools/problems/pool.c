#include "kernels/pool.h"

#include "tools/problems/images.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define WORK 16384 /* elements seen that make a task */

static double work_of(const struct pool_params *p)
{
    return (double)(p->batch * p->channels) * (double)(window_positions(&p->window) * window_taps(&p->window));
}

static void settle(struct maker *maker, struct pool_params *p)
{
    struct window *w = &p->window;
    double least = maker->large ? 2.5 * WORK : 0, most = maker->large ? 10.0 * WORK : 0.5 * WORK;
    int64_t *const sizes[] = {&p->batch, &p->channels, &w->input[1], &w->input[2]};
    for (int tries = 0; tries < 200; tries++) {
        int64_t *size = sizes[random_below(&maker->random, 4)];
        if (work_of(p) > most)
            *size = *size > 1 ? *size / 2 : 1;
        else if (work_of(p) < least)
            *size = *size * 2 + random_below(&maker->random, 2);
        else
            break;
        window_settle(w);
    }
}

static void add_operands(struct maker *maker, const struct pool_params *p)
{
    const struct window *w = &p->window;
    strided_image(&add_input(maker, "x", p->dtype)->at, p->batch, p->channels, w->input, &p->x);
    struct operand *y = add_output(maker, "y", p->dtype);
    strided_image(&y->at, p->batch, p->channels, w->output, &p->y);
    if (p->kind == POOL_AVERAGE) {
        y->bound.sum = 4 + 2 * sqrt((double)window_taps(w));
        y->bound.divisor = (double)window_taps(w);
    }
    if (p->kind == POOL_LP) {
        y->bound.relative = 16 + 2 * sqrt((double)window_taps(w));
        y->bound.absolute = pow(p->dtype == DTYPE_F32 ? 0x1p-120 : 0x1p-1000, 1 / (double)p->power); /* underflow */
    }
    if (p->indices) {
        struct operand *index = add_output(maker, "indices", DTYPE_I64);
        strided_image(&index->at, p->batch, p->channels, w->output, &p->y);
        index->bound.bits = true;
    } else {
        add_absent(maker, "indices", true);
    }
}

static void make_pool(struct maker *maker)
{
    static const char *const kinds[] = {"max", "average", "lp"};
    struct pool_params *p = make_params(maker, sizeof *p);
    p->dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F32, DTYPE_F64, DTYPE_I8, DTYPE_U8));
    p->kind = dtype_is_float(p->dtype) ? (enum pool_kind)random_below(&maker->random, 3) : POOL_MAX;
    p->batch = random_between(&maker->random, 1, 3);
    p->channels = make_size(maker, 40);
    p->count_padding = random_once_in(&maker->random, 2);
    p->power = random_between(&maker->random, 1, 3);
    p->window = make_window(maker, false);
    settle(maker, p);
    p->indices = p->kind == POOL_MAX && random_once_in(&maker->random, 2);
    bool rides = !p->indices && wants_epilogue(maker);
    const struct window *w = &p->window;
    p->x = make_image(maker, LAYOUT_READ, p->batch, p->channels, w->input);
    p->y = make_image(maker, rides ? LAYOUT_C : LAYOUT_ANY, p->batch, p->channels, w->output);
    p->index = make_image(maker, LAYOUT_DENSE, p->batch, p->channels, w->input);
    add_operands(maker, p);
    struct operand *x = &maker->problem->inputs[0];
    make_numbers(maker, x);
    x->odd_in = 12;
    if (p->kind == POOL_MAX && random_once_in(&maker->random, 3))
        x->fill = FILL_SPECIAL;
    if (p->kind == POOL_LP && x->fill == FILL_EXTREME) /* sums of powers pass any range */
        x->fill = FILL_NUMBERS;
    describe(maker, " %s %s batch=%lld channels=%lld count_padding=%d power=%lld", kinds[p->kind], dtype_name(p->dtype),
             (long long)p->batch, (long long)p->channels, p->count_padding, (long long)p->power);
    describe_window(maker, w);
    describe_image(maker, "x", &p->x);
    describe_image(maker, "y", &p->y);
    if (p->indices)
        describe_image(maker, "index", &p->index);
    if (rides) {
        const int64_t dims[] = {p->batch, p->channels, w->output[0], w->output[1], w->output[2]};
        maker->problem->plain_params = memcpy(make_room(maker, 1, sizeof *p), p, sizeof *p);
        p->epilogue = make_epilogue(maker, 5, dims, 1, pool_epilogue(p).dims);
    }
}

/* --- real ones ----------------------------------------------------------------------------------------------- */

static const struct image_case cases[] = {
    {"max 3x3/2 64 112", 64, 64, 112, 3, 2, 1},
    {"average 7x7 2048 7", 2048, 2048, 7, 7, 7, 1},
};

static void make_listed(struct maker *maker, size_t index)
{
    const struct image_case *from = &cases[index / 2];
    bool channels_last = index % 2 == 1;
    struct pool_params *p = make_params(maker, sizeof *p);
    *p = (struct pool_params){
        .dtype = DTYPE_F32,
        .kind = strncmp(from->name, "max", 3) == 0 ? POOL_MAX : POOL_AVERAGE,
        .batch = 1,
        .channels = from->channels,
        .window = square_window(from),
        .x = square_image(from->channels, from->size, channels_last),
    };
    p->y = square_image(from->channels, p->window.output[1], channels_last);
    add_operands(maker, p);
    snprintf(maker->problem->name, sizeof maker->problem->name, "pool %s %s", from->name,
             channels_last ? "nhwc" : "nchw");
}

const struct family_problems pool_problems = {
    .family = FAMILY_pool,
    .make = make_pool,
    .table_count = 2 * sizeof cases / sizeof cases[0],
    .make_listed = make_listed,
};
