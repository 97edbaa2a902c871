#include "kernels/copy.h"

#include "tools/problems/make.h"

#include <stdio.h>
#include <string.h>

#define WORK 32768 /* elements that make a task */

static void add_operands(struct maker *maker, const struct copy_params *p)
{
    enum dtype dtype = moved_dtype(p->element_bytes);
    struct operand *x = add_input(maker, "x", dtype), *y = add_output(maker, "y", dtype);
    x->fill = FILL_BITS;
    y->bound.bits = true;
    x->at.offset = p->input_offset;
    y->at.offset = p->output_offset;
    for (int i = 0; i < p->rank; i++) {
        strided_axis(&x->at, p->dims[i], p->input_strides[i]);
        strided_axis(&y->at, p->dims[i], p->output_strides[i]);
    }
    strided_pairs(&x->at, p->element_bytes);
    strided_pairs(&y->at, p->element_bytes);
}

/* Such that no element lies before the pointer. */
static int64_t make_offset(struct maker *maker, int rank, const int64_t *dims, const int64_t *strides)
{
    int64_t offset = random_once_in(&maker->random, 2) ? 0 : random_between(&maker->random, 1, 9);
    for (int i = 0; i < rank; i++)
        offset += strides[i] < 0 && dims[i] > 0 ? -strides[i] * (dims[i] - 1) : 0;
    return offset;
}

static void choose_any(struct maker *maker, struct copy_params *p)
{
    int64_t *sizes[MAX_RANK];
    p->rank = (int)random_below(&maker->random, 7);
    p->element_bytes = 1u << random_below(&maker->random, 5);
    for (int i = 0; i < p->rank; i++) {
        p->dims[i] = make_size(maker, 20);
        sizes[i] = &p->dims[i];
    }
    if (p->rank > 0)
        make_fit_tasks(maker, p->rank, sizes, 1, WORK);
    if (p->rank > 0 && random_once_in(&maker->random, 30))
        p->dims[random_below(&maker->random, p->rank)] = 0;
    make_strides(maker, LAYOUT_READ, p->rank, p->dims, p->input_strides);
    make_strides(maker, LAYOUT_ANY, p->rank, p->dims, p->output_strides);
}

#define INTERLEAVED 8 /* one problem of so many is rows that become columns without a gap */

static void choose_interleaved(struct maker *maker, struct copy_params *p)
{
    p->rank = 2;
    p->element_bytes = 4;
    p->dims[0] = random_between(&maker->random, 1, 40);
    p->dims[1] = 4 * random_between(&maker->random, 1, 2);
    p->input_strides[0] = 1;
    p->input_strides[1] = p->dims[0] + random_between(&maker->random, 0, 3);
    p->output_strides[0] = p->dims[1];
    p->output_strides[1] = 1;
}

static void make_copy(struct maker *maker)
{
    struct copy_params *p = make_params(maker, sizeof *p);
    (maker->index % INTERLEAVED == INTERLEAVED - 1 ? choose_interleaved : choose_any)(maker, p);
    p->input_offset = make_offset(maker, p->rank, p->dims, p->input_strides);
    p->output_offset = make_offset(maker, p->rank, p->dims, p->output_strides);
    if (random_once_in(&maker->random, 2))
        copy_merge_axes(p);
    add_operands(maker, p);
    describe(maker, " of %u bytes", p->element_bytes);
    describe_numbers(maker, "dims", p->rank, p->dims);
    describe_numbers(maker, "from", p->rank, p->input_strides);
    describe_numbers(maker, "to", p->rank, p->output_strides);
    describe(maker, " offsets=%lld,%lld", (long long)p->input_offset, (long long)p->output_offset);
}

/* --- real ones ----------------------------------------------------------------------------------------------- */

enum { CHANNELS = 64, AREA = 56 * 56 };

static const struct {
    const char *name;
    struct copy_params params;
} cases[] = {
    {"straight", {2, {AREA, CHANNELS}, 0, {CHANNELS, 1}, 0, {CHANNELS, 1}, 4}},
    {"nchw to nhwc", {2, {AREA, CHANNELS}, 0, {1, AREA}, 0, {CHANNELS, 1}, 4}},
    {"nhwc to nchw", {2, {CHANNELS, AREA}, 0, {1, CHANNELS}, 0, {AREA, 1}, 4}},
    {"half of the channels", {2, {AREA, CHANNELS / 2}, 0, {CHANNELS, 1}, 0, {CHANNELS / 2, 1}, 4}},
    {"transposed 4096", {2, {4096, 4096}, 0, {1, 4096}, 0, {4096, 1}, 4}},
    {"transposed bytes", {2, {1024, 1024}, 0, {1, 1024}, 0, {1024, 1}, 1}},
    {"transposed f16", {2, {1024, 1024}, 0, {1, 1024}, 0, {1024, 1}, 2}},
    {"transposed f64", {2, {1024, 1024}, 0, {1, 1024}, 0, {1024, 1}, 8}},
    {"three channels to nhwc", {2, {224 * 224, 3}, 0, {1, 224 * 224}, 0, {3, 1}, 4}},
    {"heads", {3, {12, 128, 64}, 0, {64, 768, 1}, 0, {128 * 64, 64, 1}, 4}},
    {"twice as large nchw", {5, {24, 80, 2, 80, 2}, 0, {6400, 80, 0, 1, 0}, 0, {25600, 320, 160, 2, 1}, 4}},
    {"twice as large nhwc", {5, {80, 2, 80, 2, 24}, 0, {1920, 0, 24, 0, 1}, 0, {15360, 7680, 48, 24, 1}, 4}},
    {"every second column", {2, {64 * 112, 56}, 0, {112, 2}, 0, {56, 1}, 4}},
    {"turned round", {2, {3136, 64}, 63, {64, -1}, 0, {64, 1}, 4}},
};

static void make_listed(struct maker *maker, size_t index)
{
    struct copy_params *p = make_params(maker, sizeof *p);
    *p = cases[index].params;
    copy_merge_axes(p);
    add_operands(maker, p);
    snprintf(maker->problem->name, sizeof maker->problem->name, "copy %s", cases[index].name);
}

const struct family_problems copy_problems = {
    .family = FAMILY_copy,
    .make = make_copy,
    .table_count = sizeof cases / sizeof cases[0],
    .make_listed = make_listed,
};
