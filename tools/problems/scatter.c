#include "kernels/scatter.h"

#include "tools/problems/indexing.h"

#include <math.h>

static int64_t count_of(int rank, const int64_t *dims)
{
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= dims[i];
    return count;
}

/* Data lies in order, without gaps, and perhaps has elements that nothing names. */
static int64_t data_elements(struct maker *maker, const struct gather_params *p)
{
    struct strided at = {.rank = 0};
    int64_t least, most;
    strided_data(&at, p);
    strided_reach(&at, &least, &most);
    return most + 1 + (random_once_in(&maker->random, 3) ? random_below(&maker->random, 20) : 0);
}

static struct bound bound_of(const struct scatter_params *p)
{
    double updates = (double)count_of(p->at.rank, p->at.dims);
    if (p->reduction == SCATTER_SET)
        return (struct bound){.bits = true};
    if (!dtype_is_float((enum dtype)p->dtype) || p->reduction >= SCATTER_MIN)
        return (struct bound){.bits = false};
    return p->reduction == SCATTER_ADD ? (struct bound){.sum = 4 + 2 * sqrt(updates)}
                                       : (struct bound){.relative = 4 + 2 * sqrt(updates)};
}

static void choose_type(struct maker *maker, struct scatter_params *p)
{
    p->reduction = (uint8_t)(random_once_in(&maker->random, 4) ? SCATTER_SET : random_between(&maker->random, 1, 4));
    p->dtype = (uint8_t)make_dtype(maker, 12, numeric_dtypes);
    p->at.element_bytes = dtype_bits((enum dtype)p->dtype) / 8;
    if (p->reduction == SCATTER_SET)
        p->at.element_bytes = 1u << random_below(&maker->random, 5);
}

static void choose_numbers(struct maker *maker, const struct scatter_params *p, struct operand *operand)
{
    make_numbers(maker, operand);
    if (p->reduction == SCATTER_SET)
        operand->fill = FILL_BITS;
    if (p->reduction == SCATTER_MUL && dtype_is_float(operand->dtype)) {
        operand->fill = FILL_NUMBERS;
        operand->low = 0.7;
        operand->high = 1.4;
    }
}

static void make_scatter(struct maker *maker)
{
    static const char *const names[] = {"set", "add", "mul", "min", "max"};
    struct scatter_params *p = make_params(maker, sizeof *p);
    choose_type(maker, p);
    make_addressing(maker, &p->at, LAYOUT_DENSE);
    make_strides(maker, LAYOUT_READ, p->at.rank, p->at.dims, p->at.block_strides);
    p->data_elements = data_elements(maker, &p->at);
    if (random_once_in(&maker->random, 2))
        gather_merge_axes(&p->at);
    bool sets = p->reduction == SCATTER_SET;
    enum dtype dtype = sets ? moved_dtype(p->at.element_bytes) : (enum dtype)p->dtype;
    struct operand *data = add_input(maker, "data", dtype);
    strided_axis(&data->at, p->data_elements, 1);
    strided_pairs(&data->at, p->at.element_bytes);
    choose_numbers(maker, p, data);
    add_indices(maker, &p->at);
    struct operand *updates = add_input(maker, "updates", dtype);
    strided_block(&updates->at, &p->at);
    strided_pairs(&updates->at, p->at.element_bytes);
    choose_numbers(maker, p, updates);
    struct operand *output = add_output(maker, "output", dtype);
    output->at = data->at;
    output->bound = bound_of(p);
    maker->problem->in_place = 1;
    describe(maker, " %s %s elements=%lld", names[p->reduction], dtype_name(dtype), (long long)p->data_elements);
    describe_addressing(maker, &p->at);
}

const struct family_problems scatter_problems = {
    .family = FAMILY_scatter, .make = make_scatter, .share = NUMERIC_TYPES};
