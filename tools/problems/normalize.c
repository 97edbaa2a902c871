#include "kernels/normalize.h"

#include "tools/problems/programs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define WORK 16384 /* elements that make a task */

static void place(struct strided *at, const struct normalize_params *p, const struct normalize_strides *strides)
{
    for (int i = 0; i < p->kept_rank; i++)
        strided_axis(at, p->kept[i], strides->kept[i]);
    for (int i = 0; i < p->folded_rank; i++)
        strided_axis(at, p->folded[i], strides->folded[i]);
}

/* Which axes make a group: the last ones, the middle ones, any. */
static void choose_axes(struct maker *maker, struct normalize_params *p)
{
    int64_t dims[5], *sizes[5];
    int rank = (int)random_between(&maker->random, 1, 5);
    for (int i = 0; i < rank; i++) {
        dims[i] = make_size(maker, 60);
        sizes[i] = &dims[i];
    }
    make_fit_tasks(maker, rank, sizes, 1, WORK);
    bool any = random_once_in(&maker->random, 4);
    int first_folded = (int)random_between(&maker->random, 0, rank - 1);
    for (int i = 0; i < rank; i++) {
        bool folded = any ? random_once_in(&maker->random, 2) : i >= first_folded;
        if (folded)
            p->folded[p->folded_rank++] = dims[i];
        else
            p->kept[p->kept_rank++] = dims[i];
    }
    if (p->folded_rank == 0)
        p->folded[p->folded_rank++] = 1;
}

static struct normalize_strides make_walk(struct maker *maker, enum layout_choice choice,
                                          const struct normalize_params *p, bool repeats)
{
    struct normalize_strides walk;
    int64_t dims[2 * MAX_RANK], strides[2 * MAX_RANK];
    memcpy(dims, p->kept, (size_t)p->kept_rank * sizeof *dims);
    memcpy(dims + p->kept_rank, p->folded, (size_t)p->folded_rank * sizeof *dims);
    make_strides(maker, choice, p->kept_rank + p->folded_rank, dims, strides);
    for (int i = 0; i < p->kept_rank + p->folded_rank; i++) {
        int64_t stride = repeats && random_once_in(&maker->random, 2) ? 0 : strides[i];
        *(i < p->kept_rank ? &walk.kept[i] : &walk.folded[i - p->kept_rank]) = stride;
    }
    return walk;
}

static int64_t product(int rank, const int64_t *dims)
{
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= dims[i];
    return count;
}

/* Elements lie in [-2, 2), as scales and biases do. Of eight and more some are far apart; of fewer the factor may be as
 * large as epsilon lets it. */
static double error_of(const struct normalize_params *p, double factor)
{
    double n = (double)product(p->folded_rank, p->folded);
    double unit = p->dtype == DTYPE_F32 ? 0x1p-23 : 0x1p-52;
    return unit * (32 + 2 * sqrt(n)) * 4 * factor;
}

static void add_statistics(struct maker *maker, const struct normalize_params *p, bool wanted, double factor)
{
    static const char *const names[] = {"mean", "factor"};
    for (int i = 0; i < 2; i++) {
        if (!wanted || random_once_in(&maker->random, 4)) {
            add_absent(maker, names[i], true);
            continue;
        }
        struct operand *output = add_output(maker, names[i], p->dtype);
        strided_contiguous(&output->at, p->kept_rank, p->kept);
        output->bound.absolute = error_of(p, i == 0 ? 1 : factor * factor);
    }
}

static void add_operands(struct maker *maker, struct normalize_params *p, bool has_statistics)
{
    static const char *const names[] = {"scale", "bias"};
    struct normalize_strides *const strides[] = {&p->scale, &p->bias};
    place(&add_input(maker, "x", p->dtype)->at, p, &p->x);
    for (int i = 0; i < 2; i++) {
        if (random_once_in(&maker->random, 4)) {
            add_absent(maker, names[i], false);
            continue;
        }
        *strides[i] = make_walk(maker, LAYOUT_READ, p, true);
        struct operand *operand = add_input(maker, names[i], p->dtype);
        operand->constant = true;
        place(&operand->at, p, strides[i]);
    }
    struct operand *y = add_output(maker, "y", p->dtype);
    double factor = product(p->folded_rank, p->folded) < 8 ? 1 / sqrt(p->epsilon) : 4;
    place(&y->at, p, &p->x);
    y->bound.absolute = error_of(p, factor);
    add_statistics(maker, p, has_statistics, factor);
}

static void describe_params(struct maker *maker, const struct normalize_params *p)
{
    const struct problem *problem = maker->problem;
    const struct normalize_strides *const all[] = {&p->x, &p->scale, &p->bias};
    describe(maker, " %s centred=%d epsilon=%g", dtype_name(p->dtype), p->centred, p->epsilon);
    describe_numbers(maker, "kept", p->kept_rank, p->kept);
    describe_numbers(maker, "folded", p->folded_rank, p->folded);
    for (int i = 0; i < 3; i++) {
        if (problem->inputs[i].absent)
            continue;
        describe_numbers(maker, problem->inputs[i].name, p->kept_rank, all[i]->kept);
        describe_numbers(maker, "and", p->folded_rank, all[i]->folded);
    }
}

static bool lies_in_order(const struct strided *at)
{
    int64_t expected = 1;
    for (int i = at->rank - 1; i >= 0; i--) {
        if (at->dims[i] != 1 && at->strides[i] != expected)
            return false;
        expected *= at->dims[i];
    }
    return true;
}

/* A program that only moves results, which then lie in order; without one they would lie as x does. */
static const struct pointwise_params *make_move(struct maker *maker, enum dtype dtype, int rank, const int64_t *dims)
{
    int64_t strides[MAX_RANK];
    struct program program = program_begin(maker, rank, dims);
    make_strides(maker, LAYOUT_C, rank, dims, strides);
    int reg = program_input(&program, dtype, strides);
    reg = program_code(&program, POINTWISE_MOVE, pointwise_class_of(dtype), reg, 0, 0, 0, 0);
    program_output(&program, dtype, reg, strides);
    return program_build(&program, false);
}

static void add_epilogue(struct maker *maker, struct normalize_params *p)
{
    struct problem *problem = maker->problem;
    int rank = p->kept_rank + p->folded_rank;
    int64_t dims[MAX_RANK];
    memcpy(dims, p->kept, (size_t)p->kept_rank * sizeof *dims);
    memcpy(dims + p->kept_rank, p->folded, (size_t)p->folded_rank * sizeof *dims);
    struct normalize_params *plain = memcpy(make_room(maker, 1, sizeof *p), p, sizeof *p);
    plain->epilogue = make_move(maker, p->dtype, rank, dims);
    problem->plain_params = plain;
    strided_contiguous(&problem->outputs[0].at, rank, dims);
    problem->output_count = 1;
    p->epilogue = make_epilogue(maker, rank, dims, rank > 1 ? 1 : 0, normalize_epilogue(p).dims);
    const struct operand *x = &problem->inputs[0], *y = &problem->outputs[0];
    if (lies_in_order(&x->at) && lies_in_order(&y->at) && dtype_bits(x->dtype) == dtype_bits(y->dtype))
        problem->in_place |= 1;
}

static void make_normalize(struct maker *maker)
{
    static const double epsilons[] = {1e-5, 1e-3, 0.1};
    struct normalize_params *p = make_params(maker, sizeof *p);
    p->dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F64));
    p->centred = !random_once_in(&maker->random, 4);
    p->epsilon = epsilons[random_below(&maker->random, 3)];
    choose_axes(maker, p);
    bool rides = wants_epilogue(maker), in_order = random_once_in(&maker->random, 2);
    p->x = make_walk(maker, in_order ? LAYOUT_C : rides ? LAYOUT_READ : LAYOUT_ANY, p, false);
    add_operands(maker, p, !rides);
    maker->problem->in_place = 1;
    describe_params(maker, p);
    if (rides)
        add_epilogue(maker, p);
}

/* --- real ones ----------------------------------------------------------------------------------------------- */

/* Groups and their elements, where both lie in x, and whether scale and bias go along the elements. */
static const struct {
    const char *name;
    int64_t groups, elements, group_stride, element_stride;
    bool layer;
} cases[] = {{"layer 128x384", 128, 384, 384, 1, true},
             {"instance 64x3136", 64, 3136, 3136, 1, false},
             {"instance 64x3136, channels last", 64, 3136, 1, 64, false}};

static void make_listed(struct maker *maker, size_t index)
{
    struct normalize_params *p = make_params(maker, sizeof *p);
    *p = (struct normalize_params){
        .dtype = DTYPE_F32,
        .centred = true,
        .epsilon = 1e-5,
        .kept_rank = 1,
        .folded_rank = 1,
        .kept = {cases[index].groups},
        .folded = {cases[index].elements},
        .x = {.kept = {cases[index].group_stride}, .folded = {cases[index].element_stride}},
        .scale = {.kept = {!cases[index].layer}, .folded = {cases[index].layer}},
        .bias = {.kept = {!cases[index].layer}, .folded = {cases[index].layer}},
    };
    place(&add_input(maker, "x", p->dtype)->at, p, &p->x);
    place(&add_input(maker, "scale", p->dtype)->at, p, &p->scale);
    place(&add_input(maker, "bias", p->dtype)->at, p, &p->bias);
    struct operand *y = add_output(maker, "y", p->dtype);
    place(&y->at, p, &p->x);
    y->bound.absolute = error_of(p, 4);
    add_absent(maker, "mean", true);
    add_absent(maker, "factor", true);
    snprintf(maker->problem->name, sizeof maker->problem->name, "normalize %s", cases[index].name);
}

const struct family_problems normalize_problems = {
    .family = FAMILY_normalize,
    .make = make_normalize,
    .table_count = sizeof cases / sizeof cases[0],
    .make_listed = make_listed,
};
