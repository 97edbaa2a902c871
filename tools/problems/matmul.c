#include "kernels/matmul.h"

#include "tools/problems/make.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define WORK 1100000 /* multiplications that make a task */

static void place(struct strided *at, const struct matmul_params *p, const struct matrix_strides *strides, int64_t rows,
                  int64_t columns)
{
    for (int i = 0; i < p->batch_rank; i++)
        strided_axis(at, p->batch[i], strides->batch[i]);
    strided_axis(at, rows, strides->row);
    strided_axis(at, columns, strides->column);
}

/* repeats: some axes of the batch, and perhaps rows or columns, are the same for all. */
static struct matrix_strides make_matrix(struct maker *maker, enum layout_choice choice, const struct matmul_params *p,
                                         int64_t rows, int64_t columns, bool repeats)
{
    struct matrix_strides matrix = {.row = 0};
    int64_t dims[MAX_RANK + 2], strides[MAX_RANK + 2];
    memcpy(dims, p->batch, sizeof p->batch);
    dims[p->batch_rank] = rows;
    dims[p->batch_rank + 1] = columns;
    make_strides(maker, choice, p->batch_rank + 2, dims, strides);
    for (int i = 0; i < p->batch_rank; i++)
        matrix.batch[i] = repeats && random_once_in(&maker->random, 3) ? 0 : strides[i];
    matrix.row = strides[p->batch_rank];
    matrix.column = strides[p->batch_rank + 1];
    return matrix;
}

/* The last input: so small that elements of B stay as large as those of A. */
static void add_scales(struct maker *maker, const struct matmul_params *p)
{
    struct operand *scales = add_input(maker, "scales of B", DTYPE_F32);
    place(&scales->at, p, &p->b_zero, 1, p->n);
    scales->low = 0.001;
    scales->high = 0.02;
}

static void add_operands(struct maker *maker, const struct matmul_params *p, bool has_d)
{
    bool narrow = matmul_is_narrow(p);
    struct operand *a = add_input(maker, "A", p->a_dtype);
    place(&a->at, p, &p->a, p->m, p->k);
    struct operand *b = add_input(maker, "B", p->b_dtype);
    b->constant = true;
    a->factor = b->factor = true;
    if (narrow)
        make_bytes(maker, b);
    place(&b->at, p, &p->b, p->k, p->n);
    if (has_d)
        place(&add_input(maker, "D", p->dtype)->at, p, &p->d, p->m, p->n);
    else
        add_absent(maker, "D", false);
    struct operand *zeros =
        narrow ? add_zeros(maker, "zero points of A", p->a_dtype) : add_absent(maker, "zero points of A", false);
    if (zeros && narrow)
        place(&zeros->at, p, &p->a_zero, p->m, 1);
    if (matmul_is_scaled(p)) {
        add_scales(maker, p);
    } else {
        zeros =
            narrow ? add_zeros(maker, "zero points of B", p->b_dtype) : add_absent(maker, "zero points of B", false);
        if (zeros && narrow)
            place(&zeros->at, p, &p->b_zero, 1, p->n);
    }
    struct operand *c = add_output(maker, "C", p->dtype);
    place(&c->at, p, &p->c, p->m, p->n);
    c->bound.sum = narrow ? 0 : sum_of_products(p->k, p->a.column == 0 && p->b.row == 0);
}

static void describe_matrix(struct maker *maker, const char *name, const struct matmul_params *p,
                            const struct matrix_strides *strides)
{
    describe_numbers(maker, name, p->batch_rank, strides->batch);
    describe(maker, "%s%lld,%lld", p->batch_rank ? "," : "", (long long)strides->row, (long long)strides->column);
}

static void describe_params(struct maker *maker, const struct matmul_params *p, bool has_d)
{
    describe(maker, " %s of %s and %s", dtype_name(p->dtype), dtype_name(p->a_dtype), dtype_name(p->b_dtype));
    describe_numbers(maker, "batch", p->batch_rank, p->batch);
    describe(maker, " m=%lld n=%lld k=%lld", (long long)p->m, (long long)p->n, (long long)p->k);
    describe_matrix(maker, "a", p, &p->a);
    describe_matrix(maker, "b", p, &p->b);
    describe_matrix(maker, "c", p, &p->c);
    if (has_d)
        describe_matrix(maker, "d", p, &p->d);
    if (matmul_is_scaled(p))
        describe_matrix(maker, "scales", p, &p->b_zero);
    if (!matmul_is_narrow(p))
        return;
    describe_matrix(maker, maker->problem->inputs[3].absent ? "no a_zero" : "a_zero", p, &p->a_zero);
    describe_matrix(maker, maker->problem->inputs[4].absent ? "no b_zero" : "b_zero", p, &p->b_zero);
}

/* So many matrices that tiles may be large. */
static void choose_matrices(struct maker *maker, struct matmul_params *p, int64_t count)
{
    p->batch_rank = 1;
    p->batch[0] = random_between(&maker->random, count, count + 4);
    p->m = random_between(&maker->random, 65, 140);
    p->n = random_between(&maker->random, 65, 100);
    p->k = random_between(&maker->random, 8, 9);
}

static void choose_sizes(struct maker *maker, struct matmul_params *p)
{
    p->batch_rank = random_once_in(&maker->random, 2) ? 0 : (int)random_between(&maker->random, 1, 3);
    int64_t matrices = 1;
    for (int i = 0; i < p->batch_rank; i++)
        matrices *= p->batch[i] = random_between(&maker->random, 1, 3);
    p->m = random_once_in(&maker->random, 5) ? 1 : make_size(maker, 130);
    p->n = make_size(maker, 200);
    p->k = make_size(maker, 150);
    if (random_once_in(&maker->random, 8)) { /* few columns, long sums */
        p->n = random_between(&maker->random, 1, 4);
        p->k = random_between(&maker->random, 60, 600);
    }
    if (random_once_in(&maker->random, 60)) {
        choose_matrices(maker, p, 128);
        return;
    }
    make_fit_tasks(maker, 3, (int64_t *const[]){&p->m, &p->n, &p->k}, matrices, WORK);
    if (random_once_in(&maker->random, 30))
        p->k = 0;
}

/* Zero points of all, or of each row of A and each column of B, and of each matrix. */
static void choose_zeros(struct maker *maker, struct matmul_params *p)
{
    struct matrix_strides rows = make_matrix(maker, LAYOUT_READ, p, p->m, 1, true),
                          columns = make_matrix(maker, LAYOUT_READ, p, 1, p->n, true);
    rows.column = columns.row = 0;
    if (random_once_in(&maker->random, 3))
        p->a_zero = rows;
    if (random_once_in(&maker->random, 2))
        p->b_zero = columns;
}

/* Of so many problems four, the first two of floats, have large tiles under an emulation, and one of floats a single
 * small one whose k is cut: each run meets them. */
#define TILES 12
#define SMALL_TILE 4

static void make_matmul(struct maker *maker)
{
    int64_t tile = (int64_t)(maker->index % TILES);
    struct matmul_params *p = make_params(maker, sizeof *p);
    bool has_d = random_once_in(&maker->random, 3), rides = wants_epilogue(maker);
    p->dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F32, DTYPE_F64, DTYPE_I32, DTYPE_U32, DTYPE_I64, DTYPE_U64));
    if (tile <= SMALL_TILE)
        p->dtype = DTYPE_F32;
    p->a_dtype = p->b_dtype = p->dtype;
    if (tile <= SMALL_TILE ? tile == 2 || tile == 3 : random_once_in(&maker->random, 3)) {
        p->dtype = DTYPE_I32;
        p->a_dtype = make_byte(maker);
        p->b_dtype = make_byte(maker);
    } else if (p->dtype == DTYPE_F32 && tile > SMALL_TILE && random_once_in(&maker->random, 3)) {
        p->b_dtype = make_byte(maker);
    }
    if (tile == SMALL_TILE) {
        p->m = random_between(&maker->random, 8, 60);
        p->n = random_between(&maker->random, 8, 60);
        p->k = random_between(&maker->random, 70, 150);
    } else if (tile < SMALL_TILE) {
        choose_matrices(maker, p, 8);
        p->m = tile % 2 ? random_between(&maker->random, 129, 140) : random_between(&maker->random, 65, 128);
    } else {
        choose_sizes(maker, p);
    }
    if (matmul_is_narrow(p) || matmul_is_scaled(p))
        choose_zeros(maker, p);
    p->a = make_matrix(maker, LAYOUT_READ, p, p->m, p->k, true);
    p->b = make_matrix(maker, LAYOUT_READ, p, p->k, p->n, true);
    p->c = make_matrix(maker, rides ? LAYOUT_C : LAYOUT_ANY, p, p->m, p->n, false);
    if (has_d) {
        p->d = make_matrix(maker, LAYOUT_READ, p, p->m, p->n, true);
        if (random_once_in(&maker->random, 2))
            p->d.row = 0;
    }
    add_operands(maker, p, has_d);
    for (int i = 0; i < 2; i++)
        make_numbers(maker, &maker->problem->inputs[i]);
    describe_params(maker, p, has_d);
    if (rides) {
        int64_t dims[MAX_RANK + 2];
        memcpy(dims, p->batch, sizeof p->batch);
        dims[p->batch_rank] = p->m;
        dims[p->batch_rank + 1] = p->n;
        maker->problem->plain_params = memcpy(make_room(maker, 1, sizeof *p), p, sizeof *p);
        p->epilogue = make_epilogue(maker, p->batch_rank + 2, dims, p->batch_rank + 1, matmul_epilogue(p).dims);
    }
}

/* --- real ones ----------------------------------------------------------------------------------------------- */

/* MiniLM's layers and attention, a classifier, ResNet's 1x1 convolutions, a square one, one row; each in f32 and of 8
 * bits. */
static const struct {
    int64_t batch, m, n, k;
    bool transposed; /* B lies as [n, k] */
} cases[] = {
    {1, 128, 384, 384, false}, {1, 128, 1536, 384, false}, {1, 128, 384, 1536, false},   {12, 128, 128, 32, true},
    {12, 128, 32, 128, false}, {1, 3136, 64, 256, false},  {1, 1024, 1024, 1024, false}, {1, 1, 1000, 2048, true},
};

static void make_listed(struct maker *maker, size_t index)
{
    const size_t count = sizeof cases / sizeof cases[0];
    bool narrow = index >= count;
    index %= count;
    int64_t batch = cases[index].batch, m = cases[index].m, n = cases[index].n, k = cases[index].k;
    bool transposed = cases[index].transposed;
    struct matmul_params *p = make_params(maker, sizeof *p);
    *p = (struct matmul_params){
        .dtype = narrow ? DTYPE_I32 : DTYPE_F32,
        .a_dtype = narrow ? DTYPE_U8 : DTYPE_F32,
        .b_dtype = narrow ? DTYPE_I8 : DTYPE_F32,
        .batch_rank = 1,
        .batch = {batch},
        .m = m,
        .n = n,
        .k = k,
        .a = {{m * k}, k, 1},
        .b = {{k * n}, transposed ? 1 : n, transposed ? k : 1},
        .c = {{m * n}, n, 1},
    };
    add_operands(maker, p, false);
    if (narrow) {
        maker->problem->plain_params = memcpy(make_room(maker, 1, sizeof *p), p, sizeof *p);
        p->epilogue = make_requantisation(maker, 3, (int64_t[]){batch, m, n}, 2, matmul_epilogue(p).dims);
    }
    char many[24] = "";
    if (batch > 1)
        snprintf(many, sizeof many, "%lld of ", (long long)batch);
    snprintf(maker->problem->name, sizeof maker->problem->name, "matmul %s%s%lldx%lldx%lld%s", narrow ? "i8 " : "",
             many, (long long)m, (long long)n, (long long)k, transposed ? " b^t" : "");
}

const struct family_problems matmul_problems = {
    .family = FAMILY_matmul,
    .make = make_matmul,
    .table_count = 2 * sizeof cases / sizeof cases[0],
    .make_listed = make_listed,
};
