#include "tools/problems/indexing.h"

#include "tools/problems/number.h"

static void choose_sizes(struct maker *maker, struct gather_params *p, int64_t grain)
{
    int64_t *sizes[MAX_RANK];
    p->rank = (int)random_between(&maker->random, 1, 4);
    for (int i = 0; i < p->rank; i++) {
        p->dims[i] = make_size(maker, 40);
        sizes[i] = &p->dims[i];
    }
    make_fit_tasks(maker, p->rank, sizes, 1, grain);
    p->components = (int)(random_once_in(&maker->random, 2) ? 1 : random_below(&maker->random, 4));
    for (int j = 0; j < p->components; j++) {
        p->axis_dims[j] = make_size(maker, 12);
        sizes[j] = &p->axis_dims[j];
    }
    if (p->components > 0)
        make_fit(maker, p->components, sizes, 1, 0, 40);
}

/* Axes that indices name lie outside of those that points count, or inside. */
static void choose_data_strides(struct maker *maker, enum layout_choice choice, struct gather_params *p)
{
    int64_t dims[2 * MAX_RANK], strides[2 * MAX_RANK];
    bool outside = random_once_in(&maker->random, 2);
    int axes = outside ? 0 : p->rank, points = outside ? p->components : 0;
    for (int i = 0; i < p->rank; i++)
        dims[points + i] = p->data_strides[i] ? p->dims[i] : 1;
    for (int j = 0; j < p->components; j++)
        dims[axes + j] = p->axis_dims[j];
    make_strides(maker, choice, p->rank + p->components, dims, strides);
    for (int i = 0; i < p->rank; i++)
        p->data_strides[i] *= strides[points + i];
    for (int j = 0; j < p->components; j++)
        p->axis_strides[j] = strides[axes + j];
}

void make_addressing(struct maker *maker, struct gather_params *p, enum layout_choice choice)
{
    int64_t dims[MAX_RANK + 1], strides[MAX_RANK + 1];
    choose_sizes(maker, p, 16384);
    for (int i = 0; i < p->rank; i++) { /* an axis along which the data is the same is one of indices alone */
        bool addresses = !random_once_in(&maker->random, 3), indexed = random_once_in(&maker->random, 2);
        p->data_strides[i] = addresses;
        p->index_strides[i] = (indexed || !addresses) && p->components > 0;
        dims[i] = p->index_strides[i] ? p->dims[i] : 1;
    }
    choose_data_strides(maker, choice, p);
    dims[p->rank] = p->components ? p->components : 1;
    make_strides(maker, LAYOUT_C, p->rank + 1, dims, strides);
    for (int i = 0; i < p->rank; i++)
        p->index_strides[i] *= strides[i];
    p->index_dtype = (uint8_t)make_dtype(maker, DTYPES(DTYPE_I32, DTYPE_I64));
}

void strided_data(struct strided *at, const struct gather_params *p)
{
    for (int i = 0; i < p->rank; i++)
        strided_axis(at, p->dims[i], p->data_strides[i]);
    for (int j = 0; j < p->components; j++)
        strided_axis(at, p->axis_dims[j], p->axis_strides[j]);
}

void strided_block(struct strided *at, const struct gather_params *p)
{
    for (int i = 0; i < p->rank; i++)
        strided_axis(at, p->dims[i], p->block_strides[i]);
}

void add_indices(struct maker *maker, const struct gather_params *p)
{
    struct operand *indices = add_input(maker, "indices", (enum dtype)p->index_dtype);
    if (p->components == 0) {
        strided_axis(&indices->at, 0, 1);
        return;
    }
    for (int i = 0; i < p->rank; i++)
        strided_axis(&indices->at, p->dims[i], p->index_strides[i]);
    strided_axis(&indices->at, p->components, 1);
    size_t bytes = operand_bytes(indices);
    int64_t count = (int64_t)(bytes * 8 / dtype_bits(indices->dtype));
    void *given = make_room(maker, bytes, 1);
    for (int64_t i = 0; i < count; i++) {
        int64_t axis = p->axis_dims[i % p->components];
        number_put(indices->dtype, given, i, (number)random_between(&maker->random, -axis, axis - 1));
    }
    if (random_once_in(&maker->random, 10)) {
        int64_t i = random_below(&maker->random, count), axis = p->axis_dims[i % p->components];
        number_put(indices->dtype, given, i, (number)(random_once_in(&maker->random, 2) ? axis : -axis - 1));
    }
    indices->fill = FILL_GIVEN;
    indices->given = given;
}

void describe_addressing(struct maker *maker, const struct gather_params *p)
{
    describe(maker, " of %u bytes by %s", p->element_bytes, dtype_name((enum dtype)p->index_dtype));
    describe_numbers(maker, "dims", p->rank, p->dims);
    describe_numbers(maker, "data", p->rank, p->data_strides);
    describe_numbers(maker, "index", p->rank, p->index_strides);
    describe_numbers(maker, "block", p->rank, p->block_strides);
    describe_numbers(maker, "axes", p->components, p->axis_dims);
    describe_numbers(maker, "strides", p->components, p->axis_strides);
}
