#include "tools/problems/indexing.h"

static void make_gather(struct maker *maker)
{
    struct gather_params *p = make_params(maker, sizeof *p);
    p->element_bytes = 1u << random_below(&maker->random, 5);
    make_addressing(maker, p, LAYOUT_READ);
    make_strides(maker, LAYOUT_ANY, p->rank, p->dims, p->block_strides);
    if (random_once_in(&maker->random, 2))
        gather_merge_axes(p);
    struct operand *data = add_input(maker, "data", moved_dtype(p->element_bytes));
    data->fill = FILL_BITS;
    strided_data(&data->at, p);
    strided_pairs(&data->at, p->element_bytes);
    add_indices(maker, p);
    struct operand *block = add_output(maker, "block", moved_dtype(p->element_bytes));
    block->bound.bits = true;
    strided_block(&block->at, p);
    strided_pairs(&block->at, p->element_bytes);
    describe_addressing(maker, p);
}

const struct family_problems gather_problems = {.family = FAMILY_gather, .make = make_gather};
