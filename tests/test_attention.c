/* The family attention against sums in double, and the operators that are made of it. */
#include "kernels/attention.h"

#include "tests/kernel_run.h"
#include "tests/model_maker.h"
#include "tests/op_test.h"
#include "tests/suites.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- problems ------------------------------------------------------------------------------------------- */

enum { Q, K, V, MASK, Y, OPERANDS };
enum layout { PLAIN, PACKED, TRANSPOSED, GAPS, LAYOUTS };

struct problem {
    struct attention_params p;
    void *data[OPERANDS];
    size_t elements[OPERANDS];
};

static struct attention_strides lay_out(enum layout layout, int64_t heads, int64_t rows, int64_t columns)
{
    switch (layout) {
    case PACKED:
        return (struct attention_strides){heads * rows * columns, columns, heads * columns, 1};
    case TRANSPOSED:
        return (struct attention_strides){heads * rows * columns, rows * columns, 1, rows};
    case GAPS:
        return (struct attention_strides){heads * rows * (columns + 3) + 5, rows * (columns + 3), columns + 3, 1};
    default:
        return (struct attention_strides){heads * rows * columns, rows * columns, columns, 1};
    }
}

static double get(enum dtype dtype, const void *data, int64_t at)
{
    if (dtype == DTYPE_F32)
        return (double)((const float *)data)[at];
    return dtype == DTYPE_BOOL ? ((const uint8_t *)data)[at] : ((const double *)data)[at];
}

static void put(enum dtype dtype, void *data, int64_t at, double number)
{
    if (dtype == DTYPE_F32)
        ((float *)data)[at] = (float)number;
    else if (dtype == DTYPE_BOOL)
        ((uint8_t *)data)[at] = number > 0;
    else
        ((double *)data)[at] = number;
}

/* Numbers between -2 and 2, by a linear congruential generator (Knuth, MMIX). */
static void *filled(enum dtype dtype, size_t elements, uint64_t seed)
{
    void *data = calloc(dtype_bytes(dtype, (int64_t)elements), 1);
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < elements; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        put(dtype, data, (int64_t)i, (double)(int32_t)(seed >> 32) * 0x1p-30);
    }
    return data;
}

/* Sizes, window and types are given; strides and random operands are made. */
static struct problem make_problem(struct attention_params p, enum layout layout)
{
    int64_t own = p.heads / p.group;
    p.q = lay_out(layout, p.heads, p.queries, p.head);
    p.k = lay_out(layout, own, p.keys, p.head);
    p.v = lay_out(layout, own, p.keys, p.v_head);
    p.y = lay_out(layout, p.heads, p.queries, p.v_head);
    p.mask = lay_out(PLAIN, p.heads, p.queries, p.keys);
    const struct attention_strides *strides[OPERANDS] = {&p.q, &p.k, &p.v, &p.mask, &p.y};
    struct problem problem = {.p = p};
    for (int i = 0; i < OPERANDS; i++) {
        enum dtype dtype = i == MASK ? p.mask_dtype : p.dtype;
        problem.elements[i] = dtype == DTYPE_NONE ? 0 : (size_t)(p.batch * strides[i]->batch);
        problem.data[i] = filled(dtype, problem.elements[i], (uint64_t)i + 1);
    }
    return problem;
}

static void end_problem(struct problem *problem)
{
    for (int i = 0; i < OPERANDS; i++)
        free(problem->data[i]);
}

static int64_t start_of(const struct attention_strides *s, int64_t batch, int64_t head)
{
    return batch * s->batch + head * s->head;
}

/* --- what is right -------------------------------------------------------------------------------------- */

/* Scores of one query, -inf where it sees no key; the largest. */
static double plain_scores(const struct problem *problem, int64_t batch, int64_t head, int64_t i, double *scores)
{
    const struct attention_params *p = &problem->p;
    int64_t q = start_of(&p->q, batch, head) + i * p->q.row, k = start_of(&p->k, batch, head / p->group);
    int64_t mask = start_of(&p->mask, batch, head) + i * p->mask.row;
    double most = -INFINITY;
    for (int64_t j = 0; j < p->keys; j++) {
        double score = 0, bias = 0;
        for (int64_t d = 0; d < p->head; d++)
            score += get(p->dtype, problem->data[Q], q + d * p->q.column) *
                     get(p->dtype, problem->data[K], k + j * p->k.row + d * p->k.column);
        score *= p->scale;
        if (p->softcap > 0)
            score = p->softcap * tanh(score / p->softcap);
        if (p->mask_dtype != DTYPE_NONE)
            bias = get(p->mask_dtype, problem->data[MASK], mask + j * p->mask.column);
        if (p->mask_dtype == DTYPE_BOOL)
            bias = bias != 0 ? 0 : -INFINITY;
        scores[j] = j < i + p->first || j > i + p->last ? -INFINITY : score + bias;
        most = scores[j] > most ? scores[j] : most;
    }
    return most;
}

static void expect_query(const struct problem *problem, int64_t batch, int64_t head, int64_t i)
{
    const struct attention_params *p = &problem->p;
    double scores[400], most = plain_scores(problem, batch, head, i, scores), sum = 0;
    double tolerance = (p->dtype == DTYPE_F32 ? 4e-6 : 1e-14) * (double)(1 + p->head / 8);
    int64_t v = start_of(&p->v, batch, head / p->group), y = start_of(&p->y, batch, head) + i * p->y.row;
    for (int64_t j = 0; j < p->keys; j++)
        sum += exp(scores[j] - most);
    for (int64_t d = 0; d < p->v_head; d++) {
        double want = 0, have = get(p->dtype, problem->data[Y], y + d * p->y.column);
        for (int64_t j = 0; j < p->keys; j++)
            want += exp(scores[j] - most) / sum * get(p->dtype, problem->data[V], v + j * p->v.row + d * p->v.column);
        if (most == -INFINITY)
            want = p->blind_is_zero || p->keys == 0 ? 0 : NAN;
        ck_assert_msg(isnan(want) ? isnan(have) : fabs(want - have) <= tolerance,
                      "batch %lld head %lld query %lld element %lld is %.17g, not %.17g", (long long)batch,
                      (long long)head, (long long)i, (long long)d, have, want);
    }
}

/* --- running ---------------------------------------------------------------------------------------------- */

#define UNTOUCHED 12345.0 /* no result is */

static void run_tasks(struct problem *problem, bool backwards)
{
    const struct kernel_facts facts = {.cpu = cpu_detect(), .threads = 1};
    const struct kernel *kernel = kernel_select(FAMILY_attention, &problem->p, &facts);
    struct kernel_plan plan;
    struct region region;
    ck_assert_ptr_nonnull(kernel);
    region_init(&region, &default_allocator);
    for (size_t i = 0; i < problem->elements[Y]; i++)
        put(problem->p.dtype, problem->data[Y], (int64_t)i, UNTOUCHED);
    if (problem->p.mask_dtype == DTYPE_NONE) {
        free(problem->data[MASK]);
        problem->data[MASK] = NULL;
    }
    ck_assert(kernel_make_plan(kernel, &problem->p, &facts, &region, &plan));
    run_planned(kernel, &plan, (const void *const *)problem->data, &problem->data[Y], backwards);
    region_free(&region);
}

/* The result, in any order of the tasks; nothing between its elements is written. */
static void solve(struct problem *problem)
{
    const struct attention_params *p = &problem->p;
    size_t bytes = problem->elements[Y] * (dtype_bits(p->dtype) / 8), written = 0;
    run_tasks(problem, true);
    void *backwards = malloc(bytes);
    ck_assert_ptr_nonnull(backwards);
    memcpy(backwards, problem->data[Y], bytes);
    run_tasks(problem, false);
    ck_assert_mem_eq(problem->data[Y], backwards, bytes);
    free(backwards);
    for (size_t i = 0; i < problem->elements[Y]; i++)
        written += get(p->dtype, problem->data[Y], (int64_t)i) != UNTOUCHED;
    ck_assert_uint_eq(written, (size_t)(p->batch * p->heads * p->queries * p->v_head));
}

static void expect_right(struct problem *problem)
{
    const struct attention_params *p = &problem->p;
    solve(problem);
    for (int64_t b = 0; b < p->batch; b++)
        for (int64_t h = 0; h < p->heads; h++)
            for (int64_t i = 0; i < p->queries; i++)
                expect_query(problem, b, h, i);
    end_problem(problem);
}

/* --- the kernel ------------------------------------------------------------------------------------------- */

static struct attention_params sizes(int64_t heads, int64_t group, int64_t queries, int64_t keys, int64_t head,
                                     int64_t v_head)
{
    return (struct attention_params){.dtype = DTYPE_F32,
                                     .batch = 2,
                                     .heads = heads,
                                     .group = group,
                                     .queries = queries,
                                     .keys = keys,
                                     .head = head,
                                     .v_head = v_head,
                                     .scale = 0.7,
                                     .first = -queries,
                                     .last = keys};
}

START_TEST(ragged_sizes_in_every_layout)
{
    static const int64_t all[][6] = {{1, 1, 1, 1, 1, 1},   {2, 1, 3, 33, 5, 7},   {4, 2, 33, 128, 8, 3},
                                     {6, 3, 1, 129, 4, 9}, {1, 1, 70, 257, 3, 2}, {2, 2, 32, 300, 131, 130},
                                     {2, 1, 5, 0, 4, 3},   {3, 1, 2, 9, 0, 2}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        for (int layout = PLAIN; layout < LAYOUTS; layout++) {
            const int64_t *n = all[i];
            struct attention_params p = sizes(n[0], n[1], n[2], n[3], n[4], n[5]);
            struct problem floats = make_problem(p, (enum layout)layout);
            expect_right(&floats);
            p.dtype = DTYPE_F64;
            struct problem doubles = make_problem(p, (enum layout)layout);
            expect_right(&doubles);
        }
    }
}
END_TEST

START_TEST(masks_repeat)
{
    for (int axis = 0; axis < 16; axis++) { /* bit by bit: over the batch, the heads, the queries, the keys */
        for (int kind = 0; kind < 3; kind++) {
            struct attention_params p = sizes(4, 2, 34, 140, 4, 3);
            p.mask_dtype = kind == 0 ? DTYPE_F32 : DTYPE_BOOL;
            p.blind_is_zero = kind == 2;
            p.softcap = kind == 1 ? 0.5 : 0;
            struct problem problem = make_problem(p, PLAIN);
            struct attention_strides *mask = &problem.p.mask;
            mask->batch *= axis & 1;
            mask->head *= axis >> 1 & 1;
            mask->row *= axis >> 2 & 1;
            mask->column *= axis >> 3 & 1;
            expect_right(&problem);
        }
    }
}
END_TEST

/* Causal from the first and from the last query, sliding both ways, and windows past either end. */
START_TEST(windows_cut_keys)
{
    static const int64_t edges[][2] = {{-40, 0}, {-40, 260}, {-5, 3},    {100, 200},
                                       {0, 0},   {-40, -3},  {280, 300}, {9, 2}};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        for (int zero = 0; zero < 2; zero++) {
            struct attention_params p = sizes(2, 1, 40, 300, 4, 5);
            p.first = edges[i][0];
            p.last = edges[i][1];
            p.blind_is_zero = zero;
            struct problem problem = make_problem(p, i % 2 ? PACKED : TRANSPOSED);
            expect_right(&problem);
        }
    }
}
END_TEST

/* One head, one query, `keys` keys and values of one element; what comes out. The arrays are repeated to the end. */
static float one_query(struct attention_params p, float query, int count, const float *keys, const float *values,
                       const float *mask)
{
    p.batch = 1;
    p.mask_dtype = mask ? DTYPE_F32 : DTYPE_NONE;
    struct problem problem = make_problem(p, PLAIN);
    put(DTYPE_F32, problem.data[Q], 0, (double)query);
    for (int64_t j = 0; j < p.keys; j++) {
        put(DTYPE_F32, problem.data[K], j, (double)keys[j % count]);
        put(DTYPE_F32, problem.data[V], j, (double)values[j % count]);
        if (mask)
            put(DTYPE_F32, problem.data[MASK], j, (double)mask[j % count]);
    }
    solve(&problem);
    float result = (float)get(DTYPE_F32, problem.data[Y], 0);
    end_problem(&problem);
    return result;
}

static void expect_near(float have, float want)
{
    ck_assert_msg(fabsf(have - want) <= 1e-5f, "%.9g is not %.9g", (double)have, (double)want);
}

START_TEST(extreme_numbers)
{
    const float ends[] = {1, -1}, huge[] = {FLT_MAX, -FLT_MAX}, values[] = {3, 5}, most[] = {FLT_MAX, FLT_MAX};
    const float infinite[] = {1, INFINITY}, nan[] = {1, NAN}, tiny[] = {FLT_TRUE_MIN, 3 * FLT_TRUE_MIN};
    const float zeros[] = {0, 0}, low[] = {-INFINITY, -INFINITY};
    const float low_and_nan[] = {-INFINITY, NAN}, last_low[] = {0, -INFINITY};
    struct attention_params p = sizes(1, 1, 1, 300, 1, 1);
    p.scale = 1;
    expect_near(one_query(p, 1e30f, 2, ends, values, NULL), 3);   /* one score is far above the other */
    expect_near(one_query(p, FLT_MAX, 2, ends, values, NULL), 3); /* and the difference overflows */
    expect_near(one_query(p, 1, 2, huge, values, NULL), 3);
    expect_near(one_query(p, 0, 2, ends, most, NULL) / FLT_MAX, 1); /* a mean, not a sum */
    expect_near(one_query(p, FLT_TRUE_MIN, 2, tiny, values, NULL), 4);
    ck_assert(one_query(p, 0, 2, zeros, tiny, NULL) <= 3 * FLT_TRUE_MIN);
    ck_assert(isnan(one_query(p, 1, 2, infinite, values, NULL))); /* exp(inf - inf) */
    expect_near(one_query(p, -1, 2, infinite, values, NULL), 3);  /* exp(-inf) */
    ck_assert(isnan(one_query(p, -1, 2, infinite, nan, NULL)));   /* 0 times NaN */
    ck_assert(isnan(one_query(p, 1, 2, nan, values, NULL)));
    ck_assert(isnan(one_query(p, 1, 2, ends, nan, NULL)));
    ck_assert(one_query(p, 1, 2, ends, infinite, NULL) == INFINITY);
    ck_assert(isnan(one_query(p, 1, 2, low, values, NULL)));
    ck_assert(isnan(one_query(p, 1, 2, nan, values, low)));
    p.blind_is_zero = true;
    ck_assert(one_query(p, 1, 2, low, values, NULL) == 0);
    ck_assert(one_query(p, 1, 2, nan, values, low) == 0); /* the mask forbids every key */
    ck_assert(isnan(one_query(p, 1, 2, nan, values, zeros)));
    ck_assert(isnan(one_query(p, 1, 2, low_and_nan, values, NULL)));
    ck_assert(isnan(one_query(p, 1, 2, nan, values, last_low))); /* NaN - inf */
    p.last = 0;                                                  /* the second key, NaN or not, is beyond the window */
    expect_near(one_query(p, 1, 2, nan, nan, NULL), 1);
}
END_TEST

/* A whole block of keys forbidden before one that is not, and after. */
START_TEST(blocks_of_forbidden_keys)
{
    for (int64_t seen = 0; seen < 300; seen += 299) {
        struct attention_params p = sizes(1, 1, 33, 300, 2, 2);
        p.batch = 1;
        p.mask_dtype = DTYPE_F32;
        struct problem problem = make_problem(p, PLAIN);
        for (int64_t i = 0; i < 33 * 300; i++)
            put(DTYPE_F32, problem.data[MASK], i, i % 300 == seen ? 0 : -INFINITY);
        expect_right(&problem);
    }
}
END_TEST

/* A boolean mask looks away from a NaN score, and the value behind it counts 0 times; the next query has its own. */
START_TEST(what_a_mask_excludes)
{
    const float values[] = {3, 5};
    struct attention_params p = sizes(1, 1, 2, 2, 1, 1);
    p.batch = 1;
    p.mask_dtype = DTYPE_BOOL;
    struct problem problem = make_problem(p, PLAIN);
    put(DTYPE_F32, problem.data[K], 1, NAN);
    for (int i = 0; i < 2; i++)
        put(DTYPE_F32, problem.data[V], i, (double)values[i]);
    for (int i = 0; i < 4; i++)
        put(DTYPE_BOOL, problem.data[MASK], i, i != 1);
    solve(&problem);
    ck_assert(get(DTYPE_F32, problem.data[Y], 0) == 3);
    ck_assert(isnan(get(DTYPE_F32, problem.data[Y], 1)));
    put(DTYPE_F32, problem.data[V], 1, NAN);
    solve(&problem);
    ck_assert(isnan(get(DTYPE_F32, problem.data[Y], 0)));
    end_problem(&problem);
}
END_TEST

START_TEST(windows_end_with_the_keys)
{
    struct attention_params p = sizes(1, 1, 10, 5, 1, 1);
    int64_t from, to;
    p.first = 3;
    attention_window(&p, 1, &from, &to);
    ck_assert(from == 4 && to == 5);
    attention_window(&p, 9, &from, &to);
    ck_assert(from == 5 && to == 5);
    p.first = p.last = -3;
    attention_window(&p, 2, &from, &to);
    ck_assert(from == 0 && to == 0);
}
END_TEST

START_TEST(operations_are_counted)
{
    struct attention_params p = sizes(4, 2, 10, 100, 3, 5);
    ck_assert(kernel_flops(FAMILY_attention, &p) == 2.0 * 2 * 4 * 10 * 100 * (3 + 5));
    p.last = 0;
    ck_assert(kernel_flops(FAMILY_attention, &p) == 2.0 * 2 * 4 * 55 * (3 + 5));
}
END_TEST

/* --- the operators ---------------------------------------------------------------------------------------- */

/* Attention as one step, and, because its scores are asked for, as the operators that it is made of. */
static void expect_same_in_parts(int input_count, const struct test_tensor *inputs, int attribute_count,
                                 const struct attribute *attributes)
{
    struct test_tensor whole, parts[4];
    struct op_call call = {.op = "Attention",
                           .input_count = input_count,
                           .inputs = inputs,
                           .output_count = 1,
                           .outputs = &whole,
                           .attribute_count = attribute_count,
                           .attributes = attributes};
    run_op(&call);
    call.output_count = 4;
    call.outputs = parts;
    run_op(&call);
    ck_assert_int_eq(whole.rank, 4);
    expect_f32(&whole, parts[0].data, 5e-6, 4, (int)parts[0].dims[0], (int)parts[0].dims[1], (int)parts[0].dims[2],
               (int)parts[0].dims[3]);
}

START_TEST(one_step_gives_what_its_parts_give)
{
    enum { QUERIES = 37, KEYS = 150, VALID = 6 };
    void *data[4];
    for (int i = 0; i < 4; i++)
        data[i] = filled(i == 3 ? DTYPE_BOOL : DTYPE_F32, 2 * 4 * KEYS * KEYS, (uint64_t)i + 5);
    const int64_t valid[] = {140, 20};
    struct test_tensor inputs[7] = {TENSOR(DTYPE_F32, data[0], 4, 2, 4, QUERIES, 8),
                                    TENSOR(DTYPE_F32, data[1], 4, 2, 2, KEYS, 8),
                                    TENSOR(DTYPE_F32, data[2], 4, 2, 2, KEYS, 5)};
    const struct test_tensor masks[] = {
        ABSENT, TENSOR(DTYPE_F32, data[0], 2, QUERIES, KEYS), TENSOR(DTYPE_BOOL, data[3], 4, 2, 1, QUERIES, KEYS),
        TENSOR(DTYPE_BOOL, data[3], 3, 4, 1, KEYS - 30), TENSOR(DTYPE_F32, data[0], 1, KEYS - 1)};
    const struct attribute attributes[] = {ATTRIBUTE_F("softcap", 1.5f), ATTRIBUTE_F("scale", 0.3f),
                                           ATTRIBUTE_I("is_causal", 1), ATTRIBUTE_I("left_window_size", 11),
                                           ATTRIBUTE_I("right_window_size", 4)};
    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++) {
        inputs[3] = masks[m];
        for (int counted = 0; counted < 2; counted++) {
            inputs[VALID] = counted ? TENSOR(DTYPE_I64, valid, 1, 2) : ABSENT;
            for (int first = 0; first < 5; first++)
                expect_same_in_parts(7, inputs, 5 - first, attributes + first);
        }
    }
    for (int i = 0; i < 4; i++)
        free(data[i]);
}
END_TEST

START_TEST(half_precision)
{
    const uint16_t q[] = {0x3c00, 0xbc00}, k[] = {0x3c00, 0x4000, 0x4200}, v[] = {0x3c00, 0x4000, 0x4200};
    const uint16_t mean[] = {0x40a4, 0x3eb8}; /* 2.3202, 1.6798 */
    const struct attribute scale = ATTRIBUTE_F("scale", 0.5f);
    const struct test_tensor inputs[] = {TENSOR(DTYPE_F16, q, 4, 1, 1, 2, 1), TENSOR(DTYPE_F16, k, 4, 1, 1, 3, 1),
                                         TENSOR(DTYPE_F16, v, 4, 1, 1, 3, 1)};
    struct test_tensor y = run_simple("Attention", 3, inputs, 1, &scale);
    expect_bytes(&y, DTYPE_F16, mean, 4, 1, 1, 2, 1);
}
END_TEST

static struct op_call own_call(int input_count, const struct test_tensor *inputs, struct test_tensor *y)
{
    return (struct op_call){.domain = OWN_DOMAIN,
                            .op = "ScaledDotProductAttention",
                            .version = 1,
                            .input_count = input_count,
                            .inputs = inputs,
                            .output_count = 1,
                            .outputs = y};
}

static void expect_refused(const char *words, int input_count, const struct test_tensor *inputs)
{
    struct test_tensor y;
    struct error error = {0};
    const struct op_call call = own_call(input_count, inputs, &y);
    ck_assert_int_ne(run_op_status(&call, &error), STATUS_OK);
    ck_assert_msg(strstr(error.text, words) != NULL, "'%s' does not say '%s'", error.text, words);
}

/* Defaults: the scale is 1 / sqrt(head), every key is seen, a query without keys is NaN. */
START_TEST(our_own_operator_is_one_a_model_can_name)
{
    const float q[] = {2, 0, 0, 0, 2, 0, 0, 0}, k[] = {0, 0, 0, 0, 1.0986123f, 0, 0, 0}, v[] = {1, 5};
    const float quarter[] = {4, 4}, blind[] = {NAN, 4};
    _Alignas(double) const uint8_t allowed[8] = {0, 0, 1, 1};
    struct test_tensor y, inputs[] = {TENSOR(DTYPE_F32, q, 4, 1, 1, 2, 4), TENSOR(DTYPE_F32, k, 4, 1, 1, 2, 4),
                                      TENSOR(DTYPE_F32, v, 4, 1, 1, 2, 1), TENSOR(DTYPE_BOOL, allowed, 2, 2, 2)};
    struct op_call call = own_call(3, inputs, &y);
    run_op(&call);
    expect_f32(&y, quarter, 1e-6, 4, 1, 1, 2, 1);
    call.input_count = 4;
    run_op(&call);
    expect_f32(&y, blind, 1e-6, 4, 1, 1, 2, 1);
    inputs[3] = TENSOR(DTYPE_BOOL, allowed, 1, 3);
    expect_refused("a mask of shape 3 does not broadcast to 1x1x2x2", 4, inputs);
    inputs[3] = TENSOR(DTYPE_F64, allowed, 0, 0);
    expect_refused("is float64", 4, inputs);
    inputs[2] = TENSOR(DTYPE_F32, v, 4, 1, 2, 1, 1);
    expect_refused("do not fit", 3, inputs);
    inputs[2] = TENSOR(DTYPE_F32, v, 3, 1, 2, 1);
    expect_refused("rank 3", 3, inputs);
}
END_TEST

/* --- programs --------------------------------------------------------------------------------------------- */

enum { LONG = 700, HEADS = 4, WIDTH = 16 };

static struct running begin_self_attention(struct maker *maker, const infer_session_options *options)
{
    const struct attribute heads[] = {ATTRIBUTE_I("q_num_heads", HEADS), ATTRIBUTE_I("kv_num_heads", HEADS),
                                      ATTRIBUTE_I("is_causal", 1)};
    *maker = maker_start();
    struct graph *graph = maker->graph = graph_create(&maker->region, "self");
    int64_t dims[3] = {1, graph_symbol(graph, "N"), HEADS * WIDTH};
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 3, dims);
    struct value *y = make_node(graph, "Attention", "y", 3, (struct value *[]){x, x, x}, 3, heads);
    return running_begin(maker_finish(maker, 1, &x, 1, &y, NULL), options);
}

START_TEST(threads_do_not_change_a_bit_and_scores_take_no_memory)
{
    enum { BYTES = LONG * HEADS * WIDTH * sizeof(float) };
    float *x = filled(DTYPE_F32, LONG * HEADS * WIDTH, 3), *expected = malloc(BYTES);
    ck_assert_ptr_nonnull(expected);
    infer_tensor in = {.data = x, .dtype = INFER_FLOAT32, .rank = 3, .dims = {1, LONG, HEADS * WIDTH}, .bytes = BYTES};
    for (int threads = 1; threads <= 3; threads++) {
        struct maker maker;
        struct running r = begin_self_attention(&maker, &(infer_session_options){.threads = threads});
        infer_memory memory;
        infer_tensor out = {0};
        ck_assert_int_eq(infer_session_prepare(r.session, &in, 1, &memory, NULL), INFER_OK);
        ck_assert_uint_lt(memory.arena_bytes, sizeof(float) * LONG * LONG);
        run_well(r.context, &in, 1, &out, 1);
        ck_assert_uint_eq(out.bytes, BYTES);
        if (threads == 1)
            memcpy(expected, out.data, BYTES);
        ck_assert_mem_eq(out.data, expected, BYTES);
        running_end(&r, &maker);
    }
    free(expected);
    free(x);
}
END_TEST

Suite *attention_suite(void)
{
    Suite *suite = suite_create("attention");
    TCase *tests = tcase_create("attention");
    tcase_add_test(tests, ragged_sizes_in_every_layout);
    tcase_add_test(tests, masks_repeat);
    tcase_add_test(tests, windows_cut_keys);
    tcase_add_test(tests, extreme_numbers);
    tcase_add_test(tests, blocks_of_forbidden_keys);
    tcase_add_test(tests, what_a_mask_excludes);
    tcase_add_test(tests, windows_end_with_the_keys);
    tcase_add_test(tests, operations_are_counted);
    tcase_add_test(tests, one_step_gives_what_its_parts_give);
    tcase_add_test(tests, half_precision);
    tcase_add_test(tests, our_own_operator_is_one_a_model_can_name);
    tcase_add_test(tests, threads_do_not_change_a_bit_and_scores_take_no_memory);
    suite_add_tcase(suite, tests);
    return suite;
}
