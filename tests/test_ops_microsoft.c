#include "tests/op_test.h"
#include "tests/suites.h"

#include <math.h>

START_TEST(quick_gelu)
{
    const float x[] = {-INFINITY, -1, 0, 2}, y[] = {NAN, -0.15420423f, 0, 1.9356586f};
    struct test_tensor in = TENSOR(DTYPE_F32, x, 1, 4), out;
    run_op(&(struct op_call){.domain = "com.microsoft",
                             .op = "QuickGelu",
                             .version = 1,
                             .input_count = 1,
                             .inputs = &in,
                             .output_count = 1,
                             .outputs = &out});
    expect_f32(&out, y, 1e-6, 1, 4);
}
END_TEST

Suite *ops_microsoft_suite(void)
{
    Suite *suite = suite_create("ops_microsoft");
    TCase *tests = tcase_create("ops_microsoft");
    tcase_add_test(tests, quick_gelu);
    suite_add_tcase(suite, tests);
    return suite;
}
