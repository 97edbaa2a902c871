#include "kernels/attention.h"

#include "tools/problems/make.h"
#include "tools/problems/number.h"

#include <math.h>
#include <stdio.h>

#define WORK 1000000 /* multiplications that make a task */

static void place(struct strided *at, const struct attention_strides *s, int64_t batch, int64_t heads, int64_t rows,
                  int64_t columns)
{
    strided_axis(at, batch, s->batch);
    strided_axis(at, heads, s->head);
    strided_axis(at, rows, s->row);
    strided_axis(at, columns, s->column);
}

static void add_operands(struct maker *maker, const struct attention_params *p)
{
    int64_t own = p->heads / p->group;
    place(&add_input(maker, "q", p->dtype)->at, &p->q, p->batch, p->heads, p->queries, p->head);
    place(&add_input(maker, "k", p->dtype)->at, &p->k, p->batch, own, p->keys, p->head);
    place(&add_input(maker, "v", p->dtype)->at, &p->v, p->batch, own, p->keys, p->v_head);
    if (p->mask_dtype == DTYPE_NONE)
        add_absent(maker, "mask", false);
    else
        place(&add_input(maker, "mask", p->mask_dtype)->at, &p->mask, p->batch, p->heads, p->queries, p->keys);
    struct operand *y = add_output(maker, "y", p->dtype);
    place(&y->at, &p->y, p->batch, p->heads, p->queries, p->v_head);
    /* A result is a mean of values, which lie in [-2, 2); its weights are as wrong as the scores are. */
    double score = 4 * fabs(p->scale) * (double)p->head + 8;
    y->bound.absolute =
        (p->dtype == DTYPE_F32 ? 0x1p-22 : 0x1p-51) * (8 + score + 2 * sqrt((double)(p->keys + p->head)));
}

static struct attention_strides make_rows(struct maker *maker, enum layout_choice choice, int64_t batch, int64_t heads,
                                          int64_t rows, int64_t columns)
{
    const int64_t dims[] = {batch, heads, rows, columns};
    int64_t s[4];
    make_strides(maker, choice, 4, dims, s);
    return (struct attention_strides){.batch = s[0], .head = s[1], .row = s[2], .column = s[3]};
}

static void choose_window(struct maker *maker, struct attention_params *p)
{
    p->first = -p->queries;
    p->last = p->keys;
    if (random_once_in(&maker->random, 2)) /* causal, the past being longer or not */
        p->last = random_between(&maker->random, -p->queries, p->keys);
    if (random_once_in(&maker->random, 4))
        p->first = random_between(&maker->random, -p->queries, p->keys);
}

static void choose_mask(struct maker *maker, struct attention_params *p)
{
    int64_t own = p->heads;
    if (random_once_in(&maker->random, 2))
        return;
    p->mask_dtype = random_once_in(&maker->random, 2) ? DTYPE_BOOL : p->dtype;
    p->mask = make_rows(maker, LAYOUT_READ, p->batch, own, p->queries, p->keys);
    if (random_once_in(&maker->random, 2))
        p->mask.head = 0;
    if (random_once_in(&maker->random, 3))
        p->mask.batch = 0;
}

static void choose_sizes(struct maker *maker, struct attention_params *p)
{
    p->batch = random_between(&maker->random, 1, 2);
    p->group = random_once_in(&maker->random, 3) ? random_between(&maker->random, 2, 3) : 1;
    p->heads = p->group * random_between(&maker->random, 1, 3);
    p->queries = random_once_in(&maker->random, 4) ? 1 : make_size(maker, 80);
    p->keys = make_size(maker, 300);
    p->head = make_size(maker, 140);
    p->v_head = random_once_in(&maker->random, 2) ? p->head : make_size(maker, 140);
    make_fit_tasks(maker, 4, (int64_t *const[]){&p->queries, &p->keys, &p->head, &p->v_head}, p->batch * p->heads,
                   20 * WORK);
    while (maker->large && p->batch * p->heads * p->queries * p->keys * (p->head + p->v_head) < 5 * WORK)
        p->queries *= 2;
    if (random_once_in(&maker->random, 30))
        p->keys = 0;
}

/* An added mask excludes keys by -inf. */
static void give_mask(struct maker *maker, struct operand *mask)
{
    size_t bytes = operand_bytes(mask);
    int64_t count = (int64_t)(bytes * 8 / dtype_bits(mask->dtype)), often = random_between(&maker->random, 1, 4);
    void *given = make_room(maker, bytes, 1);
    for (int64_t i = 0; i < count; i++)
        number_put(mask->dtype, given, i,
                   random_once_in(&maker->random, often) ? -(number)INFINITY
                                                         : (number)random_real(&maker->random, -3, 3));
    mask->fill = FILL_GIVEN;
    mask->given = given;
}

static void make_attention(struct maker *maker)
{
    struct attention_params *p = make_params(maker, sizeof *p);
    p->dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F64));
    choose_sizes(maker, p);
    choose_window(maker, p);
    choose_mask(maker, p);
    p->scale = random_real(&maker->random, 0.1, 1) / sqrt((double)p->head);
    p->softcap = random_once_in(&maker->random, 4) ? random_real(&maker->random, 1, 5) : 0;
    p->blind_is_zero = random_once_in(&maker->random, 2);
    int64_t own = p->heads / p->group;
    p->q = make_rows(maker, LAYOUT_READ, p->batch, p->heads, p->queries, p->head);
    p->k = make_rows(maker, LAYOUT_READ, p->batch, own, p->keys, p->head);
    p->v = make_rows(maker, LAYOUT_READ, p->batch, own, p->keys, p->v_head);
    p->y = make_rows(maker, LAYOUT_ANY, p->batch, p->heads, p->queries, p->v_head);
    add_operands(maker, p);
    if (p->mask_dtype == p->dtype)
        give_mask(maker, &maker->problem->inputs[3]);
    describe(maker,
             " %s batch=%lld heads=%lld group=%lld queries=%lld keys=%lld head=%lld v_head=%lld scale=%g softcap=%g",
             dtype_name(p->dtype), (long long)p->batch, (long long)p->heads, (long long)p->group, (long long)p->queries,
             (long long)p->keys, (long long)p->head, (long long)p->v_head, p->scale, p->softcap);
    describe(maker, " first=%lld last=%lld blind_is_zero=%d mask=%s", (long long)p->first, (long long)p->last,
             p->blind_is_zero, p->mask_dtype ? dtype_name(p->mask_dtype) : "none");
    const struct attention_strides *const all[] = {&p->q, &p->k, &p->v, &p->mask, &p->y};
    static const char *const names[] = {"q", "k", "v", "mask", "y"};
    for (int i = 0; i < 5; i++)
        describe_numbers(maker, names[i], 4,
                         (const int64_t[]){all[i]->batch, all[i]->head, all[i]->row, all[i]->column});
}

/* --- real ones ----------------------------------------------------------------------------------------------- */

/* MiniLM, a vision transformer, a language model's prompt and its next token with shared keys. */
static const struct {
    const char *name;
    int64_t heads, group, queries, keys, head;
    bool causal, packed; /* packed: heads lie next to each other in a row, as projections leave them */
} cases[] = {
    {"12 heads 128x128x32", 12, 1, 128, 128, 32, false, false},
    {"12 heads 128x128x32 packed", 12, 1, 128, 128, 32, false, true},
    {"6 heads 197x197x64 packed", 6, 1, 197, 197, 64, false, true},
    {"8 heads 1024x1024x64 causal", 8, 1, 1024, 1024, 64, true, false},
    {"32 heads 1x2048x64 of 8", 32, 4, 1, 2048, 64, false, false},
};

static struct attention_strides head_strides(int64_t heads, int64_t rows, int64_t columns, bool packed)
{
    return (struct attention_strides){.batch = heads * rows * columns,
                                      .head = packed ? columns : rows * columns,
                                      .row = packed ? heads * columns : columns,
                                      .column = 1};
}

static void make_listed(struct maker *maker, size_t index)
{
    int64_t heads = cases[index].heads, own = heads / cases[index].group, queries = cases[index].queries;
    int64_t keys = cases[index].keys, head = cases[index].head;
    bool packed = cases[index].packed;
    struct attention_params *p = make_params(maker, sizeof *p);
    *p = (struct attention_params){
        .dtype = DTYPE_F32,
        .batch = 1,
        .heads = heads,
        .group = cases[index].group,
        .queries = queries,
        .keys = keys,
        .head = head,
        .v_head = head,
        .scale = 1 / sqrt((double)head),
        .first = -queries,
        .last = cases[index].causal ? 0 : keys,
        .q = head_strides(heads, queries, head, packed),
        .k = head_strides(own, keys, head, packed),
        .v = head_strides(own, keys, head, packed),
        .y = head_strides(heads, queries, head, packed),
    };
    add_operands(maker, p);
    snprintf(maker->problem->name, sizeof maker->problem->name, "attention %s", cases[index].name);
}

const struct family_problems attention_problems = {
    .family = FAMILY_attention,
    .make = make_attention,
    .table_count = sizeof cases / sizeof cases[0],
    .make_listed = make_listed,
};
