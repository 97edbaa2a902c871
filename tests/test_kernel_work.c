/* What problems are said to take, for limits on the work of a run. */
#include "kernels/conv.h"
#include "kernels/copy.h"
#include "kernels/dft.h"
#include "kernels/matmul.h"
#include "kernels/nms.h"
#include "kernels/normalize.h"
#include "kernels/pool.h"
#include "kernels/resample.h"
#include "kernels/roi.h"
#include "kernels/scatter.h"
#include "kernels/topk.h"
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
    tcase_add_test(tests, nothing_counts_as_one);
    suite_add_tcase(suite, tests);
    return suite;
}
