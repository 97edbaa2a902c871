/* Kinds of products, attention and recurrent layers. */
#include "kernels/attention.h"
#include "kernels/matmul.h"
#include "kernels/recurrent.h"

#include "tools/problems/sweep.h"

#include <math.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* --- products ------------------------------------------------------------------------------------------------ */

struct product_shape {
    const char *kind;
    int64_t batch, m, n, k;
    bool turned, weights; /* B lies as [n, k]; it is constant and the same for the whole batch */
};

static const struct product_shape products[] = {
    {"plain", 1, 128, 384, 384, false, true},      {"plain", 1, 512, 512, 512, false, true},
    {"plain", 1, 1024, 1024, 1024, false, true},   {"turned", 1, 128, 384, 1536, true, true},
    {"turned", 1, 256, 256, 256, true, true},      {"odd", 1, 127, 383, 129, false, true},
    {"odd", 1, 61, 67, 73, false, true},           {"odd", 1, 197, 771, 193, true, true},
    {"few rows", 1, 4, 1024, 512, false, true},    {"few rows", 1, 8, 384, 384, false, true},
    {"few rows", 1, 17, 512, 512, true, true},     {"few columns", 1, 1024, 8, 256, false, true},
    {"few columns", 1, 2048, 2, 128, false, true}, {"few columns", 1, 512, 30, 300, false, true},
    {"short sums", 1, 512, 512, 8, false, true},   {"short sums", 1, 1024, 96, 3, false, true},
    {"long sums", 1, 32, 32, 8192, false, true},   {"long sums", 1, 16, 64, 25088, true, true},
    {"tall", 1, 12544, 32, 32, false, true},       {"wide", 1, 32, 6625, 120, false, true},
    {"both vary", 12, 128, 128, 32, true, false},  {"both vary", 12, 128, 32, 128, false, false},
    {"both vary", 8, 65, 65, 48, true, false},     {"both vary", 4, 400, 400, 20, true, false},
    {"both vary", 64, 16, 16, 16, false, false},   {"both vary", 1, 256, 256, 256, false, false},
    {"batch", 8, 49, 96, 384, false, true},        {"batch", 32, 10, 128, 64, false, true},
};

/* One row: each weight is read once, so the memory or the cache that holds them is the limit. */
static const struct product_shape rows[] = {
    {"plain", 1, 1, 1024, 1024, false, true},    {"plain", 1, 1, 4096, 1024, false, true},
    {"turned", 1, 1, 1000, 2048, true, true},    {"turned", 1, 1, 384, 384, true, true},
    {"odd", 1, 1, 333, 777, false, true},        {"odd", 1, 1, 6625, 97, true, true},
    {"short", 1, 1, 64, 64, false, true},        {"few columns", 1, 1, 2, 4096, true, true},
    {"few columns", 1, 1, 10, 512, true, true},  {"both vary", 32, 1, 128, 64, true, false},
    {"both vary", 32, 1, 64, 128, false, false}, {"column", 1, 4096, 1, 1024, false, true},
};

static const char *make_product(struct maker *maker, const struct product_shape *s)
{
    struct matmul_params *p = make_params(maker, sizeof *p);
    int64_t columns = s->turned ? s->k : s->n;
    maker->problem->family = FAMILY_matmul;
    *p = (struct matmul_params){
        .dtype = DTYPE_F32,
        .a_dtype = DTYPE_F32,
        .b_dtype = DTYPE_F32,
        .batch_rank = 1,
        .batch = {s->batch},
        .m = s->m,
        .n = s->n,
        .k = s->k,
        .a = {{s->m * s->k}, s->k, 1},
        .b = {{s->weights ? 0 : s->k * s->n}, s->turned ? 1 : columns, s->turned ? columns : 1},
        .c = {{s->m * s->n}, s->n, 1},
    };
    strided_contiguous(&add_input(maker, "A", DTYPE_F32)->at, 3, (int64_t[]){s->batch, s->m, s->k});
    struct operand *b = add_input(maker, "B", DTYPE_F32);
    strided_contiguous(&b->at, 2, (int64_t[]){s->weights ? 1 : s->batch, s->k * s->n});
    b->constant = s->weights;
    add_absent(maker, "D", false);
    add_absent(maker, "zero points of A", false);
    add_absent(maker, "zero points of B", false);
    strided_contiguous(&add_output(maker, "C", DTYPE_F32)->at, 3, (int64_t[]){s->batch, s->m, s->n});
    sweep_name(maker, "%lldx %lldx%lldx%lld%s%s", (long long)s->batch, (long long)s->m, (long long)s->n,
               (long long)s->k, s->turned ? " turned" : "", s->weights ? "" : ", both vary");
    return s->kind;
}

static const char *make_matrix(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    (void)facts;
    return make_product(maker, &products[index]);
}

static const char *make_row(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    (void)facts;
    return make_product(maker, &rows[index]);
}

const struct sweep_group sweep_product = {"product", COUNT(products), make_matrix};
const struct sweep_group sweep_product_row = {"product of a row", COUNT(rows), make_row};

/* --- attention ----------------------------------------------------------------------------------------------- */

static const struct attention_shape {
    const char *kind;
    int64_t batch, heads, group, queries, keys, head;
    bool causal, masked;
} attentions[] = {
    {"plain", 1, 12, 1, 128, 128, 32, false, false},    {"plain", 1, 8, 1, 256, 256, 64, false, false},
    {"masked", 1, 12, 1, 128, 128, 32, false, true},    {"causal", 1, 8, 1, 256, 256, 64, true, false},
    {"odd", 1, 6, 1, 197, 197, 64, false, false},       {"odd", 1, 4, 1, 33, 77, 40, false, false},
    {"small heads", 1, 8, 1, 80, 80, 15, false, false}, {"large heads", 1, 1, 1, 256, 256, 256, false, false},
    {"short", 16, 4, 1, 10, 10, 32, false, false},      {"long", 1, 4, 1, 1500, 1500, 64, false, false},
    {"one query", 1, 16, 1, 1, 448, 64, false, false},  {"shared keys", 1, 16, 4, 64, 64, 64, true, false},
    {"batch", 8, 6, 1, 49, 49, 32, false, false},
};

static struct attention_strides rows_of_heads(int64_t heads, int64_t count, int64_t head)
{
    return (struct attention_strides){.batch = heads * count * head, .head = head, .row = heads * head, .column = 1};
}

static const char *make_attention(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    (void)facts;
    const struct attention_shape *s = &attentions[index];
    int64_t own = s->heads / s->group, q = s->batch * s->heads * s->queries * s->head;
    int64_t k = s->batch * own * s->keys * s->head, mask = s->queries * s->keys;
    struct attention_params *p = make_params(maker, sizeof *p);
    maker->problem->family = FAMILY_attention;
    *p = (struct attention_params){.dtype = DTYPE_F32,
                                   .mask_dtype = s->masked ? DTYPE_F32 : DTYPE_NONE,
                                   .batch = s->batch,
                                   .heads = s->heads,
                                   .group = s->group,
                                   .queries = s->queries,
                                   .keys = s->keys,
                                   .head = s->head,
                                   .v_head = s->head,
                                   .scale = 1 / sqrt((double)s->head),
                                   .first = -s->queries,
                                   .last = s->causal ? s->keys - s->queries : s->keys,
                                   .q = rows_of_heads(s->heads, s->queries, s->head),
                                   .k = rows_of_heads(own, s->keys, s->head),
                                   .v = rows_of_heads(own, s->keys, s->head),
                                   .mask = {.row = s->keys, .column = 1},
                                   .y = rows_of_heads(s->heads, s->queries, s->head)};
    strided_contiguous(&add_input(maker, "q", DTYPE_F32)->at, 1, &q);
    strided_contiguous(&add_input(maker, "k", DTYPE_F32)->at, 1, &k);
    strided_contiguous(&add_input(maker, "v", DTYPE_F32)->at, 1, &k);
    if (s->masked)
        strided_contiguous(&add_input(maker, "mask", DTYPE_F32)->at, 1, &mask);
    else
        add_absent(maker, "mask", false);
    strided_contiguous(&add_output(maker, "y", DTYPE_F32)->at, 1, &q);
    sweep_name(maker, "%lldx %lld heads of %lld, %lld queries, %lld keys", (long long)s->batch, (long long)s->heads,
               (long long)s->head, (long long)s->queries, (long long)s->keys);
    return s->kind;
}

const struct sweep_group sweep_attention = {"attention", COUNT(attentions), make_attention};

/* --- recurrent layers ---------------------------------------------------------------------------------------- */

static const struct recurrent_shape {
    const char *kind;
    enum recurrent_cell cell;
    int64_t directions, steps, batch, hidden;
} recurrents[] = {
    {"lstm", RECURRENT_LSTM, 1, 32, 1, 128},      {"lstm", RECURRENT_LSTM, 1, 100, 1, 256},
    {"one step", RECURRENT_LSTM, 1, 1, 1, 128},   {"both ways", RECURRENT_LSTM, 2, 80, 1, 96},
    {"both ways", RECURRENT_LSTM, 2, 60, 1, 256}, {"gru", RECURRENT_GRU, 1, 100, 1, 128},
    {"gru", RECURRENT_GRU, 1, 50, 1, 400},        {"rnn", RECURRENT_RNN, 1, 100, 1, 256},
    {"odd", RECURRENT_LSTM, 1, 40, 1, 77},        {"odd", RECURRENT_GRU, 1, 40, 1, 45},
    {"small", RECURRENT_GRU, 1, 100, 1, 24},      {"large", RECURRENT_LSTM, 1, 20, 1, 640},
    {"batch", RECURRENT_LSTM, 1, 20, 8, 256},     {"batch", RECURRENT_LSTM, 1, 20, 32, 128},
    {"batch", RECURRENT_GRU, 1, 20, 16, 192},
};

static void add_states(struct maker *maker, const struct recurrent_params *p)
{
    static const char *const names[] = {"lengths", "initial_h", "initial_c", "peepholes"};
    for (int i = 0; i < 4; i++)
        add_absent(maker, names[i], false);
    strided_contiguous(&add_output(maker, "y", DTYPE_F32)->at, 4,
                       (int64_t[]){p->steps, p->directions, p->batch, p->hidden});
    add_absent(maker, "last_h", true);
    add_absent(maker, "last_c", true);
}

static void set_functions(struct recurrent_params *p)
{
    for (int d = 0; d < 2; d++) {
        p->functions[d][0].kind = p->cell == RECURRENT_RNN ? ACTIVATION_TANH : ACTIVATION_SIGMOID;
        p->functions[d][1].kind = ACTIVATION_TANH;
        p->functions[d][2].kind = ACTIVATION_TANH;
    }
}

static const char *make_recurrent(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    (void)facts;
    static const char *const cells[] = {"rnn", "gru", "lstm"};
    const struct recurrent_shape *s = &recurrents[index];
    struct recurrent_params *p = make_params(maker, sizeof *p);
    maker->problem->family = FAMILY_recurrent;
    *p = (struct recurrent_params){.dtype = DTYPE_F32,
                                   .cell = s->cell,
                                   .directions = s->directions,
                                   .steps = s->steps,
                                   .batch = s->batch,
                                   .hidden = s->hidden,
                                   .clip = (double)INFINITY};
    int64_t units = recurrent_gates(p) * s->hidden;
    p->x_step = s->batch * units;
    p->x_batch = units;
    p->y_step = s->directions * s->batch * s->hidden;
    p->y_direction = s->batch * s->hidden;
    p->y_batch = s->hidden;
    p->state_direction = s->batch * s->hidden;
    p->state_batch = s->hidden;
    set_functions(p);
    strided_contiguous(&add_input(maker, "x", DTYPE_F32)->at, 3,
                       (int64_t[]){s->directions, s->steps * s->batch, units});
    struct operand *weights = add_input(maker, "weights", DTYPE_F32), *bias = add_input(maker, "bias", DTYPE_F32);
    strided_contiguous(&weights->at, 3, (int64_t[]){s->directions, units, s->hidden});
    strided_contiguous(&bias->at, 2, (int64_t[]){s->directions, 2 * units});
    weights->constant = bias->constant = true;
    weights->high = 0.8 / (double)s->hidden;
    weights->low = -weights->high;
    add_states(maker, p);
    sweep_name(maker, "%s %lldx %lld steps, %lld units, %lld ways", cells[s->cell], (long long)s->batch,
               (long long)s->steps, (long long)s->hidden, (long long)s->directions);
    return s->kind;
}

const struct sweep_group sweep_recurrent = {"recurrent", COUNT(recurrents), make_recurrent};
