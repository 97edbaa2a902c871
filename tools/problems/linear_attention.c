#include "kernels/linear_attention.h"

#include "tools/problems/make.h"

#include <math.h>

static struct operand *add(struct maker *maker, const char *name, bool present, int rank, const int64_t *dims,
                           double low, double high)
{
    struct operand *operand = present ? add_input(maker, name, DTYPE_F32) : add_absent(maker, name, false);
    strided_contiguous(&operand->at, rank, dims);
    operand->low = low;
    operand->high = high;
    return operand;
}

static void add_output_of(struct maker *maker, const char *name, bool present, int rank, const int64_t *dims,
                          double units)
{
    struct operand *operand = present ? add_output(maker, name, DTYPE_F32) : add_absent(maker, name, true);
    strided_contiguous(&operand->at, rank, dims);
    operand->bound.largest = units;
    operand->bound.absolute = 1e-6;
}

static void make_linear_attention(struct maker *maker)
{
    struct linear_attention_params *p = make_params(maker, sizeof *p);
    p->batch = random_between(&maker->random, 1, 3);
    p->steps = make_size(maker, 12);
    p->kv_heads = random_between(&maker->random, 1, 3);
    p->heads = p->kv_heads * random_between(&maker->random, 1, 2);
    p->head = make_size(maker, 30);
    p->v_head = make_size(maker, 30);
    p->scale = 1 / sqrt((double)p->head);
    p->decays = random_once_in(&maker->random, 2);
    p->corrects = random_once_in(&maker->random, 2);
    p->decay_each = random_once_in(&maker->random, 2);
    p->beta_each = random_once_in(&maker->random, 2);
    double key = 1 / sqrt((double)p->head), units = 64 + 16 * (double)p->steps + 4 * (double)p->head;
    int64_t b = p->batch, t = p->steps, kv = p->kv_heads;
    const int64_t state[] = {b, kv, p->head, p->v_head};
    int absent = (int)random_below(&maker->random, 6);
    add(maker, "q", true, 3, (int64_t[]){b, t, p->heads * p->head}, -1, 1);
    add(maker, "k", true, 3, (int64_t[]){b, t, kv * p->head}, -key, key);
    add(maker, "v", true, 3, (int64_t[]){b, t, kv * p->v_head}, -2, 2);
    add(maker, "past", random_once_in(&maker->random, 2), 4, state, -1, 1);
    add(maker, "decay", p->decays, 3, (int64_t[]){b, t, kv * (p->decay_each ? p->head : 1)}, -1, 0);
    add(maker, "beta", p->corrects, 3, (int64_t[]){b, t, p->beta_each ? kv : 1}, 0, 1);
    add_output_of(maker, "y", absent != 0, 3, (int64_t[]){b, t, p->heads * p->v_head}, units);
    add_output_of(maker, "state", absent != 1, 4, state, units);
    describe(maker, " batch=%lld steps=%lld heads=%lld kv_heads=%lld head=%lld v_head=%lld", (long long)b, (long long)t,
             (long long)p->heads, (long long)kv, (long long)p->head, (long long)p->v_head);
    describe(maker, " decays=%d corrects=%d decay_each=%d beta_each=%d past=%d", p->decays, p->corrects, p->decay_each,
             p->beta_each, !maker->problem->inputs[3].absent);
}

const struct family_problems linear_attention_problems = {.family = FAMILY_linear_attention,
                                                          .make = make_linear_attention};
