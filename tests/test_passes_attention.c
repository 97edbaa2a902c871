/* Attention that is spelled out becomes one node, and what only looks like it does not. Results of the two may differ
 * by the rounding of intermediates. */
#include "tests/pass_test.h"
#include "tests/suites.h"

#include <math.h>

#define TOLERANCE 5e-6
#define ATTENTION "ScaledDotProductAttention"

#define EXPECT(output, nodes)                                                      \
    do {                                                                           \
        rig_output(&rig, (output));                                                \
        rig_expect_pass(&rig, recognise_attention, PASS_SHAPED, nodes, TOLERANCE); \
    } while (0)

static struct value *mul(struct rig *rig, struct value *a, struct value *b)
{
    return rig_op2(rig, "MatMul", a, b);
}

static struct value *transpose(struct rig *rig, struct value *x, int rank, const int64_t *perm)
{
    const struct attribute attribute = ATTRIBUTE_LIST("perm", rank, perm);
    return rig_node(rig, "Transpose", 1, &x, 1, &attribute);
}

static struct value *softmax(struct rig *rig, struct value *x, int64_t axis)
{
    const struct attribute attribute = ATTRIBUTE_I("axis", axis);
    return rig_node(rig, "Softmax", 1, &x, 1, &attribute);
}

static struct value *flags(struct rig *rig, int rank, const int64_t *dims)
{
    rig->dtype = DTYPE_BOOL;
    struct value *input = rig_input(rig, rank, dims);
    rig->dtype = DTYPE_F32;
    return input;
}

/* Two batches of three heads, four queries and six keys of five numbers, six values of seven. */
struct heads {
    struct value *q, *k, *v;
};

static const int64_t swap[4] = {0, 1, 3, 2};

static struct heads make_heads(struct rig *rig)
{
    rig_begin(rig);
    rig->reach = 2;
    return (struct heads){rig_input(rig, DIMS(2, 3, 4, 5)), rig_input(rig, DIMS(2, 3, 6, 5)),
                          rig_input(rig, DIMS(2, 3, 6, 7))};
}

static struct value *scores_of(struct rig *rig, struct heads h)
{
    return mul(rig, h.q, transpose(rig, h.k, 4, swap));
}

static struct value *scaled_scores(struct rig *rig, struct heads h)
{
    return rig_with(rig, "Div", scores_of(rig, h), 2.2360679774997896);
}

static struct value *weighed(struct rig *rig, struct value *scores, struct heads h)
{
    return mul(rig, softmax(rig, scores, -1), h.v);
}

/* --- scales ----------------------------------------------------------------------------------------------- */

START_TEST(a_scale_in_every_place)
{
    struct rig rig;
    struct heads h = make_heads(&rig);
    struct value *scores;
    if (_i & 1)
        h.q = rig_with(&rig, "Mul", h.q, 0.7);
    if (_i & 2)
        h.k = rig_with(&rig, "Div", h.k, 2);
    struct value *transposed = transpose(&rig, h.k, 4, swap);
    if (_i & 4)
        transposed = rig_op2(&rig, "Mul", rig_number(&rig, DIMS(1), 0.6), transposed);
    scores = mul(&rig, h.q, transposed);
    if (_i & 8)
        scores = rig_with(&rig, "Div", rig_with(&rig, "Mul", scores, 3), 2);
    struct value *y = weighed(&rig, scores, h);
    EXPECT(y, ATTENTION);
}
END_TEST

START_TEST(factors_that_are_no_scale_stay)
{
    struct rig rig;
    struct heads h = make_heads(&rig);
    struct value *y;
    if (_i == 0)
        y = weighed(&rig, rig_op2(&rig, "Mul", scores_of(&rig, h), rig_weights(&rig, DIMS(6))), h);
    else if (_i == 1)
        y = weighed(&rig, rig_op2(&rig, "Mul", scores_of(&rig, h), rig_number(&rig, DIMS(1, 1, 1, 1, 1), 2)), h);
    else
        y = weighed(
            &rig, scores_of(&rig, (struct heads){rig_op2(&rig, "Mul", h.q, rig_weights(&rig, DIMS(5))), h.k, h.v}), h);
    EXPECT(y, _i == 2 ? "Mul " ATTENTION : "Transpose MatMul Mul Softmax MatMul");
}
END_TEST

/* --- where the keys come from ----------------------------------------------------------------------------- */

START_TEST(keys_by_every_transpose)
{
    static const int64_t merged[4] = {0, 2, 3, 1}, heads_last[4] = {1, 0, 3, 2};
    struct rig rig;
    struct heads h = make_heads(&rig);
    h.k = rig_input(&rig, 4, (int64_t[][4]){{2, 3, 6, 5}, {2, 6, 3, 5}, {3, 2, 6, 5}, {2, 3, 5, 6}}[_i]);
    struct value *transposed = _i == 3 ? h.k : transpose(&rig, h.k, 4, _i == 0 ? swap : _i == 1 ? merged : heads_last);
    struct value *y = weighed(&rig, mul(&rig, h.q, transposed), h);
    rig.inputs[1] = rig.inputs[3];
    memcpy(rig.input_dims[1], rig.input_dims[3], sizeof rig.input_dims[1]);
    rig.input_count = 3;
    EXPECT(y, _i == 0 ? ATTENTION : "Transpose " ATTENTION);
}
END_TEST

START_TEST(keys_that_are_read_elsewhere_are_read_as_they_are)
{
    struct rig rig;
    struct heads h = make_heads(&rig);
    h.k = rig_with(&rig, "Mul", h.k, 2);
    struct value *transposed = transpose(&rig, h.k, 4, swap);
    struct value *y = weighed(&rig, mul(&rig, h.q, transposed), h);
    rig_output(&rig, rig_op1(&rig, "Neg", transposed));
    EXPECT(y, "Mul Transpose " ATTENTION " Neg");
}
END_TEST

START_TEST(heads_without_a_batch)
{
    static const int64_t last_two[3] = {0, 2, 1};
    struct rig rig;
    rig_begin(&rig);
    struct value *q = rig_input(&rig, DIMS(3, 4, 5)), *k = rig_input(&rig, DIMS(3, 6, 5));
    struct value *v = rig_input(&rig, DIMS(3, 6, 7)), *scores = mul(&rig, q, transpose(&rig, k, 3, last_two));
    if (_i)
        scores = rig_op2(&rig, "Add", scores, rig_input(&rig, DIMS(3, 1, 6)));
    struct value *y = mul(&rig, softmax(&rig, scores, 2), v);
    EXPECT(y, "Unsqueeze Unsqueeze Unsqueeze " ATTENTION " Squeeze");
}
END_TEST

START_TEST(heads_that_share_their_keys)
{
    struct rig rig;
    rig_begin(&rig);
    struct heads h = {rig_input(&rig, DIMS(2, 3, 4, 5)), rig_input(&rig, DIMS(2, 1, 6, 5)),
                      rig_input(&rig, DIMS(2, _i ? 3 : 1, 6, 7))};
    struct value *y = weighed(&rig, scores_of(&rig, h), h);
    EXPECT(y, _i ? "Transpose MatMul Softmax MatMul" : ATTENTION);
}
END_TEST

START_TEST(sizes_that_broadcast_otherwise_stay)
{
    struct rig rig;
    rig_begin(&rig);
    int q = _i == 0 ? 1 : 2, k = _i == 1 || _i == 3 ? 1 : 2, v = _i == 3 ? 1 : 2;
    struct heads h = {rig_input(&rig, DIMS(q, 3, 4, 5)), rig_input(&rig, DIMS(k, 3, 6, 5)),
                      _i == 2 ? rig_input(&rig, DIMS(6, 7)) : rig_input(&rig, DIMS(v, 3, 6, 7))};
    struct value *y = weighed(&rig, scores_of(&rig, h), h);
    EXPECT(y, "Transpose MatMul Softmax MatMul");
}
END_TEST

/* Two layers of a network with a softmax between, whose weights are better off packed. */
START_TEST(constant_keys_and_values_stay)
{
    struct rig rig;
    struct heads h = make_heads(&rig);
    struct value *scores = mul(&rig, h.q, _i ? rig_weights(&rig, DIMS(2, 3, 5, 6)) : transpose(&rig, h.k, 4, swap));
    h.v = _i ? h.v : rig_weights(&rig, DIMS(2, 3, 6, 7));
    struct value *y = weighed(&rig, scores, h);
    EXPECT(y, _i ? "MatMul Softmax MatMul" : "Transpose MatMul Softmax MatMul");
}
END_TEST

/* --- masks ------------------------------------------------------------------------------------------------ */

START_TEST(masks_that_are_added)
{
    struct rig rig;
    struct heads h = make_heads(&rig);
    struct value *scores = scaled_scores(&rig, h);
    struct value *mask = _i / 2 == 0   ? rig_input(&rig, DIMS(2, 1, 1, 6))
                         : _i / 2 == 1 ? rig_weights(&rig, DIMS(4, 6))
                                       : rig_input(&rig, DIMS(3, 4, 1));
    scores = _i % 2 ? rig_op2(&rig, "Add", mask, scores) : rig_op2(&rig, "Add", scores, mask);
    struct value *y = weighed(&rig, scores, h);
    EXPECT(y, ATTENTION);
}
END_TEST

static struct value *where(struct rig *rig, struct value *condition, struct value *a, struct value *b)
{
    return rig_node(rig, "Where", 3, (struct value *[]){condition, a, b}, 0, NULL);
}

/* Whole rows are filled: every key of some queries. */
START_TEST(masks_that_fill)
{
    static const double fills[] = {-INFINITY, -3.4028234663852886e38, -1e9};
    struct rig rig;
    struct heads h = make_heads(&rig);
    struct value *scores = scaled_scores(&rig, h);
    struct value *condition = _i / 6 ? flags(&rig, DIMS(1, 3, 4, 1)) : flags(&rig, DIMS(2, 1, 1, 6));
    struct value *fill = rig_number(&rig, SCALAR_DIMS, fills[_i / 2 % 3]);
    scores = _i % 2 ? where(&rig, condition, fill, scores) : where(&rig, condition, scores, fill);
    struct value *y = weighed(&rig, scores, h);
    EXPECT(y, _i / 2 % 3 ? "Where " ATTENTION : _i % 2 ? "Not " ATTENTION : ATTENTION);
}
END_TEST

START_TEST(queries_without_keys_get_zero)
{
    struct rig rig;
    struct heads h = make_heads(&rig);
    struct value *fill = rig_number(&rig, SCALAR_DIMS, -INFINITY), *zero = rig_number(&rig, SCALAR_DIMS, _i ? 1 : 0);
    struct value *weights = softmax(&rig, where(&rig, flags(&rig, DIMS(1, 3, 4, 1)), scaled_scores(&rig, h), fill), -1);
    struct value *y = mul(&rig, where(&rig, rig_op1(&rig, "IsNaN", weights), zero, weights), h.v);
    EXPECT(y, _i ? "Transpose MatMul Div Where Softmax IsNaN Where MatMul" : ATTENTION);
}
END_TEST

START_TEST(masks_that_are_none_stay)
{
    struct rig rig;
    struct heads h = make_heads(&rig);
    struct value *scores = scores_of(&rig, h), *y;
    const char *nodes;
    if (_i == 0) {
        y = weighed(&rig, where(&rig, flags(&rig, DIMS(6)), scores, rig_number(&rig, SCALAR_DIMS, -10000)), h);
        nodes = "Transpose MatMul Where Softmax MatMul";
    } else if (_i == 1) {
        y = weighed(&rig, rig_with(&rig, "Div", rig_op2(&rig, "Add", scores, rig_weights(&rig, DIMS(6))), 2), h);
        nodes = "Transpose MatMul Add Div Softmax MatMul";
    } else if (_i == 2) {
        y = weighed(&rig, rig_op2(&rig, "Add", scores, rig_weights(&rig, DIMS(2, 1, 1, 1, 6))), h);
        nodes = "Transpose MatMul Add Softmax MatMul";
    } else {
        y = weighed(&rig, rig_op2(&rig, "Sub", scores, rig_weights(&rig, DIMS(6))), h);
        nodes = "Transpose MatMul Sub Softmax MatMul";
    }
    EXPECT(y, nodes);
}
END_TEST

/* A mask with more batches, queries or keys than there are. */
START_TEST(a_mask_that_repeats_scores_stays)
{
    struct rig rig;
    rig_begin(&rig);
    int batch = _i == 0 ? 1 : 2, queries = _i == 1 ? 1 : 4, keys = _i == 2 ? 1 : 6;
    struct heads h = {rig_input(&rig, DIMS(batch, 3, queries, 5)), rig_input(&rig, DIMS(batch, 3, keys, 5)),
                      rig_input(&rig, DIMS(batch, 3, 6, 7))};
    struct value *mask = rig_weights(&rig, 4, (int64_t[][4]){{2, 1, 1, 6}, {1, 1, 4, 1}, {1, 1, 1, 6}}[_i]);
    struct value *scores = rig_op2(&rig, "Add", scores_of(&rig, h), mask);
    struct value *y = weighed(&rig, scores, h);
    EXPECT(y, "Transpose MatMul Add Softmax MatMul");
}
END_TEST

/* --- what else is no attention ---------------------------------------------------------------------------- */

START_TEST(attention_that_is_read_inside_stays)
{
    struct rig rig;
    struct heads h = make_heads(&rig);
    struct value *scores = scores_of(&rig, h), *scaled = rig_with(&rig, "Mul", scores, 0.5);
    struct value *weights = softmax(&rig, scaled, 3), *y = mul(&rig, weights, h.v);
    rig_output(&rig, (struct value *[]){scores, scaled, weights}[_i]);
    EXPECT(y, "Transpose MatMul Mul Softmax MatMul");
}
END_TEST

START_TEST(a_softmax_along_the_queries_stays)
{
    struct rig rig;
    struct heads h = make_heads(&rig);
    struct value *y = mul(&rig, softmax(&rig, scores_of(&rig, h), 2), h.v);
    EXPECT(y, "Transpose MatMul Softmax MatMul");
}
END_TEST

START_TEST(values_on_the_left_stay)
{
    struct rig rig;
    struct heads h = make_heads(&rig);
    struct value *weights = softmax(&rig, scores_of(&rig, h), 3);
    struct value *y = mul(&rig, rig_input(&rig, DIMS(2, 3, 8, 4)), weights);
    rig_output(&rig, rig_op1(&rig, "Neg", h.v));
    EXPECT(y, "Transpose MatMul Softmax MatMul Neg");
}
END_TEST

/* --- the suite -------------------------------------------------------------------------------------------- */

#define LOOP(test, count) tcase_add_loop_test(tests, test, 0, count)

Suite *passes_attention_suite(void)
{
    Suite *suite = suite_create("passes_attention");
    TCase *tests = tcase_create("attention");
    LOOP(a_scale_in_every_place, 16);
    LOOP(factors_that_are_no_scale_stay, 3);
    LOOP(keys_by_every_transpose, 4);
    tcase_add_test(tests, keys_that_are_read_elsewhere_are_read_as_they_are);
    LOOP(heads_without_a_batch, 2);
    LOOP(heads_that_share_their_keys, 2);
    LOOP(sizes_that_broadcast_otherwise_stay, 4);
    LOOP(constant_keys_and_values_stay, 2);
    LOOP(masks_that_are_added, 6);
    LOOP(masks_that_fill, 12);
    LOOP(queries_without_keys_get_zero, 2);
    LOOP(masks_that_are_none_stay, 4);
    LOOP(a_mask_that_repeats_scores_stays, 3);
    LOOP(attention_that_is_read_inside_stays, 3);
    tcase_add_test(tests, a_softmax_along_the_queries_stays);
    tcase_add_test(tests, values_on_the_left_stay);
    suite_add_tcase(suite, tests);
    return suite;
}
