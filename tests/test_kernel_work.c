/* What problems are said to take, for limits on the work of a run. */
#include "kernels/argmax.h"
#include "kernels/col2im.h"
#include "kernels/conv.h"
#include "kernels/copy.h"
#include "kernels/cumulative.h"
#include "kernels/deform.h"
#include "kernels/det.h"
#include "kernels/dft.h"
#include "kernels/grid_sample.h"
#include "kernels/linear_attention.h"
#include "kernels/lookup.h"
#include "kernels/matmul.h"
#include "kernels/ngrams.h"
#include "kernels/nms.h"
#include "kernels/nonzero.h"
#include "kernels/normalize.h"
#include "kernels/pool.h"
#include "kernels/random.h"
#include "kernels/recurrent.h"
#include "kernels/reduce.h"
#include "kernels/resample.h"
#include "kernels/roi.h"
#include "kernels/scatter.h"
#include "kernels/softmax.h"
#include "kernels/topk.h"
#include "kernels/trees.h"
#include "kernels/unique.h"
#include "tests/suites.h"

#include <check.h>

START_TEST(products_count_their_multiplications)
{
    struct matmul_params product = {.batch_rank = 2, .batch = {2, 3}, .m = 5, .n = 7, .k = 11};
    ck_assert(kernel_work(FAMILY_matmul, &product) == 2 * 3 * 5 * 7 * 11);
    ck_assert(kernel_flops(FAMILY_matmul, &product) == 2 * kernel_work(FAMILY_matmul, &product));
    struct conv_params conv = {.batch = 2,
                               .groups = 3,
                               .input_channels = 4,
                               .output_channels = 5,
                               .window = {.output = {1, 6, 7}, .kernel = {1, 3, 3}, .spread = {1, 1, 1}}};
    ck_assert(kernel_work(FAMILY_conv, &conv) == 2.0 * 3 * 4 * 5 * 6 * 7 * 9);
}
END_TEST

START_TEST(samples_count)
{
    struct roi_params roi = {.kind = ROI_ALIGN_AVERAGE,
                             .channels = 3,
                             .height = 10,
                             .width = 20,
                             .regions = 2,
                             .pooled_height = 4,
                             .pooled_width = 5,
                             .samples = 65536};
    ck_assert(kernel_work(FAMILY_roi, &roi) == 4.0 * 2 * 3 * 20 * 65536 * 65536);
    roi.samples = 0; /* as many as regions tell */
    ck_assert(kernel_work(FAMILY_roi, &roi) == 4.0 * 2 * 3 * (20 + 200));
    roi.kind = ROI_MAX;
    ck_assert(kernel_work(FAMILY_roi, &roi) == 4.0 * 2 * 3 * (20 + 200));
    struct resample_params resample = {.outer = 2, .input = 1, .output = 1000, .inner = 3, .taps = 4000};
    ck_assert(kernel_work(FAMILY_resample, &resample) == 2.0 * 1000 * 3 * 4000);
    struct pool_params pool = {.batch = 2, .channels = 3, .window = {.output = {1, 4, 4}, .kernel = {1, 100, 100}}};
    ck_assert(kernel_work(FAMILY_pool, &pool) == 2.0 * 3 * 16 * 10000);
}
END_TEST

START_TEST(elements_count)
{
    struct copy_params copy = {.rank = 3, .dims = {2, 3, 4}};
    ck_assert(kernel_work(FAMILY_copy, &copy) == 24);
    struct pointwise_params add = {.rank = 2, .dims = {5, 6}, .instruction_count = 3};
    ck_assert(kernel_work(FAMILY_pointwise, &add) == 30 * 4);
    struct normalize_params norm = {.kept_rank = 1, .kept = {5}, .folded_rank = 2, .folded = {6, 7}};
    ck_assert(kernel_work(FAMILY_normalize, &norm) == 3 * 5 * 42);
    struct scatter_params scatter = {.at = {.rank = 1, .dims = {10}, .components = 2}, .data_elements = 100};
    ck_assert(kernel_work(FAMILY_scatter, &scatter) == 130);
    struct nms_params nms = {.batch = 1, .classes = 2, .boxes = 100};
    ck_assert(kernel_work(FAMILY_nms, &nms) == 20000);
    ck_assert(kernel_flops(FAMILY_copy, &copy) == 0);
}
END_TEST

/* Lengths near to each other take as different times as their factors do. */
START_TEST(transforms_count_their_factors)
{
    struct dft_params smooth = {.outer = 1, .inner = 1, .length = 4096},
                      prime = {.outer = 1, .inner = 1, .length = 4093};
    ck_assert(kernel_work(FAMILY_dft, &smooth) < 4096 * 4 * 30);
    ck_assert(kernel_work(FAMILY_dft, &prime) >= 4.0 * 4093 * 4093);
    struct topk_params sort = {.outer = 2, .count = 1022, .inner = 3, .k = 1};
    ck_assert(kernel_work(FAMILY_topk, &sort) == 2 * 3 * 1022 * 10);
}
END_TEST

START_TEST(lines_count)
{
    const struct argmax_params argmax = {.outer = 2, .axis = 3, .inner = 5};
    ck_assert(kernel_work(FAMILY_argmax, &argmax) == 30);
    const struct cumulative_params cumulative = {.outer = 2, .count = 3, .inner = 7};
    ck_assert(kernel_work(FAMILY_cumulative, &cumulative) == 42);
    const struct softmax_params softmax = {.outer = 2, .axis = 3, .inner = 11};
    ck_assert(kernel_work(FAMILY_softmax, &softmax) == 3 * 66);
    const struct reduce_params reduce = {.kept_rank = 2, .kept = {2, 3}, .folded_rank = 1, .folded = {13}};
    ck_assert(kernel_work(FAMILY_reduce, &reduce) == 78);
    const struct unique_params unique = {.outer = 2, .count = 62, .inner = 3};
    ck_assert(kernel_work(FAMILY_unique, &unique) == 2 * 3 * 62 * 6);
    const struct nonzero_params nonzero = {.rank = 2, .dims = {4, 9}};
    ck_assert(kernel_work(FAMILY_nonzero, &nonzero) == 36);
    const struct random_params random = {.count = 17};
    ck_assert(kernel_work(FAMILY_random, &random) == 17);
}
END_TEST

START_TEST(tables_count_what_is_looked_up)
{
    const struct gather_params gather = {.rank = 2, .dims = {5, 7}, .components = 3};
    ck_assert(kernel_work(FAMILY_gather, &gather) == 35 * 4);
    const struct lookup_params lookup = {.count = 10, .keys = 30};
    ck_assert(kernel_work(FAMILY_lookup, &lookup) == 50);
    const struct ngrams_params ngrams = {
        .rows = 2, .length = 10, .columns = 7, .skips = 1, .counts = {99, 14, 30}, .shortest = 2, .longest = 3};
    ck_assert(kernel_work(FAMILY_ngrams, &ngrams) == 40 * (2 * 4 + 3 * 5) + 14);
    const struct trees_params trees = {.rows = 3, .targets = 2, .most_work = 40};
    ck_assert(kernel_work(FAMILY_trees, &trees) == 3 * 42);
}
END_TEST

START_TEST(neighbours_count)
{
    const struct col2im_params col2im = {.planes = 3, .window = {.output = {1, 4, 5}, .kernel = {1, 2, 3}}};
    ck_assert(kernel_work(FAMILY_col2im, &col2im) == 3 * 20 * 6);
    const struct deform_params deform = {
        .batch = 2, .channels = 3, .axes = 2, .window = {.output = {1, 4, 5}, .kernel = {1, 2, 3}}};
    ck_assert(kernel_work(FAMILY_deform, &deform) == 2 * 3 * 20 * 6 * 4);
    struct grid_sample_params grid = {.batch = 2, .channels = 3, .points = 5, .rank = 2, .mode = GRID_NEAREST};
    ck_assert(kernel_work(FAMILY_grid_sample, &grid) == 30);
    grid.mode = GRID_LINEAR;
    ck_assert(kernel_work(FAMILY_grid_sample, &grid) == 30 * 4);
    grid.mode = GRID_CUBIC;
    ck_assert(kernel_work(FAMILY_grid_sample, &grid) == 30 * 16);
}
END_TEST

START_TEST(states_and_scores_count)
{
    struct recurrent_params recurrent = {.directions = 2, .steps = 3, .batch = 5, .hidden = 7, .cell = RECURRENT_LSTM};
    ck_assert(kernel_work(FAMILY_recurrent, &recurrent) == 2 * 3 * 5 * 4 * 49);
    recurrent.cell = RECURRENT_GRU;
    ck_assert(kernel_work(FAMILY_recurrent, &recurrent) == 2 * 3 * 5 * 3 * 49);
    const struct linear_attention_params linear = {.batch = 2, .steps = 3, .heads = 5, .head = 7, .v_head = 11};
    ck_assert(kernel_work(FAMILY_linear_attention, &linear) == 3 * 30 * 77);
    const struct det_params det = {.batch = 2, .n = 5};
    ck_assert(kernel_work(FAMILY_det, &det) == 250);
}
END_TEST

/* So that no number of steps is for free. */
START_TEST(nothing_counts_as_one)
{
    struct copy_params copy = {.rank = 2, .dims = {0, 1000}};
    ck_assert(kernel_work(FAMILY_copy, &copy) == 1);
}
END_TEST

/* So that those of a family are found without a look at all: in each of three parts, one an ISA. */
START_TEST(kernels_stand_by_family)
{
    int descents = 0;
    for (size_t i = 1; kernel_at(i); i++)
        if (kernel_at(i)->family < kernel_at(i - 1)->family) {
            ck_assert_msg(kernel_at(i)->requires != kernel_at(i - 1)->requires, "'%s' stands after '%s'",
                          kernel_at(i)->name, kernel_at(i - 1)->name);
            descents++;
        }
    ck_assert_int_eq(descents, 2);
}
END_TEST

Suite *kernel_work_suite(void)
{
    Suite *suite = suite_create("kernel_work");
    TCase *tests = tcase_create("kernel_work");
    tcase_add_test(tests, kernels_stand_by_family);
    tcase_add_test(tests, products_count_their_multiplications);
    tcase_add_test(tests, samples_count);
    tcase_add_test(tests, elements_count);
    tcase_add_test(tests, transforms_count_their_factors);
    tcase_add_test(tests, lines_count);
    tcase_add_test(tests, tables_count_what_is_looked_up);
    tcase_add_test(tests, neighbours_count);
    tcase_add_test(tests, states_and_scores_count);
    tcase_add_test(tests, nothing_counts_as_one);
    suite_add_tcase(suite, tests);
    return suite;
}
